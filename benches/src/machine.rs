//! Where and of what a figure was measured: the machine's processor and memory, the commit of the source.

use std::process::Command;

/// Processor, cores and memory of this machine, in one line.
pub fn machine() -> String {
    let processor = first("/proc/cpuinfo", "model name");
    let memory = first("/proc/meminfo", "MemTotal");
    let gib =
        memory.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1_048_576.0;
    // Not what this process may run on: it ties itself to one core.
    let cores = read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count();
    format!("{processor}, {cores} cores, {gib:.0} GiB")
}

/// What stands behind a word and a colon, on its first line.
fn first(file: &str, word: &str) -> String {
    let text = read(file);
    let line = text.lines().find(|line| line.starts_with(word));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, rest)| rest.trim().to_owned())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The commit of the folder this runs in, `-dirty` when it is not what was committed.
pub fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=10"]).output();
    let text =
        described.ok().filter(|told| told.status.success()).map(|told| told.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}
