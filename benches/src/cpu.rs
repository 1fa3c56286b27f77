//! The processor: pinning to one core, checking it, and the time this process spent on it.

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::time::Duration;

/// The kernel's ticks in a second, as it tells them to user space on every machine this runs on.
const TICKS: u64 = 100;

/// Ties this process, and every thread it starts from here on, to one core.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("pinning to core {core}"))
}

/// Whether every thread of this process may only run on `core`.
pub fn check_pinned(core: usize) -> Result<usize> {
    let mut threads = 0;
    for entry in std::fs::read_dir("/proc/self/task")? {
        let thread: i32 = entry?.file_name().to_string_lossy().parse()?;
        let set = sched_getaffinity(Pid::from_raw(thread))?;
        let allowed: Vec<usize> = (0..CpuSet::count()).filter(|c| set.is_set(*c).unwrap_or(false)).collect();
        ensure!(allowed == [core], "thread {thread} may run on cores {allowed:?}, not only on {core}");
        threads += 1;
    }
    Ok(threads)
}

/// Processor time of this process, all threads.
pub fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Processor time all of the machine has spent on anything, waiting for the disk and for the host left out.
pub fn everybody() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(|f| f.parse().unwrap_or(0)).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = [0, 1, 2, 5, 6].map(|at| ticks.get(at).copied().unwrap_or(0)).iter().sum::<u64>();
    Duration::from_millis(busy * 1_000 / TICKS)
}

/// Peak resident memory in MB.
pub fn peak_mb() -> u64 {
    status_kib("VmHWM:") / 1_024
}

/// Resident memory now, in MB.
pub fn resident_mb() -> u64 {
    resident_kib() / 1_024
}

/// Resident memory now, in KiB.
pub fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field));
    line.and_then(|l| l.split_whitespace().nth(1)).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
}
