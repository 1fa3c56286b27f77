//! Full disk: under load the disk takes nothing more. As root it is a small tmpfs that something else fills; otherwise
//! a limit on the size of files, which only the journal and the databases meet. The journal cannot go on: a clear
//! last line, exit code 74, and everything acknowledged is there once there is room.

use super::super::child::Child;
use super::super::kill::pass;
use super::super::load::Pace;
use super::super::options::Options;
use super::super::postmortem::now_ms;
use super::super::stage::Stage;
use super::super::verdict::Verdict;
use super::{ENDS, EXIT_IO, Seen, WORKING, gone};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Size of the disk.
const SIZE: &str = "size=256m";
/// 512-byte blocks of the largest file, where no disk can be made.
const BLOCKS: &str = "8192";
/// What the other one writes at once.
const CHUNK: usize = 256 * 1024;
/// Who is not ready by then waits for room.
const NOT_READY: Duration = Duration::from_secs(5);
/// It fills the disk more than once: what a process that ended gives back is taken too.
const FILLS: usize = 3;

/// A file system that goes with its value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Result<Self> {
        std::fs::create_dir_all(at)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at).output()?;
        if !mounted.status.success() {
            bail!("no small disk: {}", String::from_utf8_lossy(&mounted.stderr).trim());
        }
        Ok(Self(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Somebody else's file takes all the room there is.
    fn fill(&self) -> Result<u64> {
        let mut file = File::options().create(true).append(true).open(self.ballast())?;
        let mut chunk = vec![7; CHUNK];
        while !chunk.is_empty() {
            // Smaller and smaller, to the last byte.
            if file.write_all(&chunk).is_err() {
                chunk.truncate(chunk.len() / 2);
            }
        }
        Ok(file.metadata()?.len())
    }

    fn make_room(&self) -> Result<()> {
        std::fs::remove_file(self.ballast()).context("the ballast")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What still has files in it goes when they are closed; there is nobody left to tell.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(super) async fn play(options: &Options, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let place = tempfile::tempdir()?;
    // Dropped after the stage: nothing works in it any more then.
    let disk = Mounted::new(&place.path().join("disk"));
    let small = disk.as_ref().ok().map(|disk| disk.0.join("store"));
    let prepare = |_: &Path, child: &mut Child| {
        match small {
            Some(store) => child.place.folder = store,
            None => limit(child),
        }
        Ok(())
    };
    let mut stage = Stage::begin(options, Pace::FULL, prepare).await?;
    stage.works(WORKING).await?;
    match &disk {
        Ok(disk) => {
            seen.note(format!("a tmpfs of {SIZE}, filled up by another file of {} MiB", disk.fill()? >> 20))
        }
        Err(why) => seen.note(format!("no file may be larger than 4 MiB ({why:#})")),
    }
    let Some(ended) = stage.child.ended(ENDS).await? else {
        verdict.broken.push(format!("it does not end within {} s on a full disk", ENDS.as_secs()));
        return Ok(());
    };
    let ended_at = now_ms();
    stage.load.is_up(false);
    seen.ended("in full swing", &ended, (EXIT_IO, &["the journal failed", "acknowledged is safe"]), verdict);
    gone(&mut stage, ended_at, verdict).await?;
    if let Ok(disk) = &disk {
        for _ in 0..FILLS {
            disk.fill()?;
            pass(10).await;
        }
        start_without_room(&mut stage.child, verdict, seen).await?;
        disk.make_room()?;
    } else {
        stage.child.launch_by(&[]);
    }
    let ready = stage.start().await?;
    seen.note(format!("with room again it was ready in {ready} ms"));
    stage.works(WORKING).await?;
    stage.finish(verdict).await
}

/// Opening writes a little; whether it gets so far or not, it must say what is wrong, and is gone afterwards.
async fn start_without_room(child: &mut Child, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let ended = match child.attempt_within(NOT_READY).await? {
        None => {
            let line = child.last_line();
            seen.note(format!("started on the full disk: not ready, and says: {line}"));
            verdict.promise(line.contains("full"), || "it does not say that the disk is full".to_owned());
            return child.kill().await;
        }
        Some(Err(ended)) => Some(ended),
        Some(Ok(())) => child.ended(ENDS).await?,
    };
    let Some(ended) = ended else {
        seen.note("started on the full disk: it stays up as long as nothing is asked of it");
        return child.kill().await;
    };
    seen.note(format!("started on the full disk: ended with {:?}: {}", ended.code, ended.line));
    let clear = ended.code.is_some_and(|code| code != 0) && ended.line.starts_with("kabar: ");
    verdict.promise(clear, || "a start on the full disk does not say what is wrong".to_owned());
    Ok(())
}

/// No file may grow beyond a few MiB; the signal that would kill is not wanted, the error is.
fn limit(child: &mut Child) {
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$0\" \"$@\"");
    child.launch_by(&["/bin/sh", "-c", &script]);
}
