//! Read-only: under load the folder and all files in it may only be read any more, as after a restore by the wrong
//! user. What is open stays writable, so the node goes on until the journal needs its next file; then a clear last
//! line and exit code 74. It does not start before the files may be written again, and then nothing is lost.

use super::super::child::Child;
use super::super::load::Pace;
use super::super::options::Options;
use super::super::postmortem::now_ms;
use super::super::stage::Stage;
use super::super::verdict::Verdict;
use super::{ENDS, EXIT_IO, Seen, WORKING, gone, is_root};
use anyhow::{Context, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Root may write what may only be read; without this it may not.
const POWERLESS: [&str; 3] =
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];

pub(super) async fn play(options: &Options, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let prepare = |_: &Path, child: &mut Child| {
        // The next file is never far away.
        child.set("KABAR__STORE__SEGMENT_MIB", 1);
        if is_root() {
            child.launch_by(&POWERLESS);
        }
        Ok(())
    };
    let mut stage = Stage::begin(options, Pace::FULL, prepare).await?;
    stage.works(WORKING).await?;
    let store = stage.child.place.folder.clone();
    let files = permit(&store, (0o555, 0o444))?;
    let Some(ended) = stage.child.ended(ENDS).await? else {
        verdict.broken.push(format!("it does not end within {} s", ENDS.as_secs()));
        return Ok(());
    };
    let ended_at = now_ms();
    stage.load.is_up(false);
    seen.note(format!("{files} files and folders were made read-only"));
    seen.ended(
        "in full swing",
        &ended,
        (EXIT_IO, &["the journal failed", ".segment", "acknowledged is safe"]),
        verdict,
    );
    match stage.child.attempt().await? {
        Ok(()) => verdict.broken.push("it starts on files it may not write".to_owned()),
        Err(ended) => {
            seen.ended("started on read-only files", &ended, (1, &["kabar: cannot", "store"]), verdict)
        }
    }
    permit(&store, (0o755, 0o644))?;
    gone(&mut stage, ended_at, verdict).await?;
    let ready = stage.start().await?;
    seen.note(format!("with files that may be written again it was ready in {ready} ms"));
    stage.works(WORKING).await?;
    stage.finish(verdict).await
}

/// Gives a folder and everything in it these modes (of folders, of files); tells how many.
fn permit(folder: &Path, modes: (u32, u32)) -> Result<u64> {
    let mut count = 1;
    // Before it is listed: it may not be readable, and after: it may not be enterable.
    std::fs::set_permissions(folder, Permissions::from_mode(modes.0 | 0o700))?;
    for entry in std::fs::read_dir(folder).context("the folder of the store")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += permit(&entry.path(), modes)?;
        } else {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(modes.1))?;
            count += 1;
        }
    }
    std::fs::set_permissions(folder, Permissions::from_mode(modes.0))?;
    Ok(count)
}
