//! Damaged segment: a byte in the middle of a segment of the journal is another one than was written. What the views do
//! not hold yet is read at the start, so the start is refused and names the file and the place. A segment that the
//! views hold whole is not read at the start: whoever reads its events is refused, and nobody is told of a gap less.

use super::super::child::Child;
use super::super::load::Pace;
use super::super::options::Options;
use super::super::stage::Stage;
use super::super::verdict::Verdict;
use super::{Seen, WORKING};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a segment's head.
const HEAD: u64 = 8 * 1024;
/// A segment with less in it has no middle.
const LEAST: u64 = 64 * 1024;
/// How long (ms) the views wait for their first flush: none of the segments is in them at the kill.
const FLUSH_MS: u64 = 60_000;
/// Events of one page.
const PAGE: &str = "/v1/events?limit=200";

pub(super) async fn play(options: &Options, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let prepare = |_: &Path, child: &mut Child| {
        child.set("KABAR__STORE__SEGMENT_MIB", 1);
        child.set("KABAR__ENGINE__FLUSH_MS", FLUSH_MS);
        Ok(())
    };
    let mut stage = Stage::begin(options, Pace::FULL, prepare).await?;
    stage.works(5 * WORKING).await?;
    verdict.kills.push(stage.kill().await?);
    let segments = segments(&stage.child.place.folder.join("journal"))?;
    let mut refused = 0;
    for (path, used) in &segments {
        let damage = Damage::at(path, HEAD + (used - HEAD) / 2)?;
        match stage.child.attempt().await? {
            Ok(()) => {
                verdict.broken.push(format!("it starts on the damaged {}", path.display()));
                stage.child.kill().await?;
            }
            Err(ended) => {
                let name = path.file_name().and_then(|name| name.to_str()).context("a segment's name")?;
                seen.ended(&format!("{name} damaged"), &ended, (1, &[name, "is damaged at byte"]), verdict);
                refused += 1;
            }
        }
        damage.mend()?;
    }
    verdict.promise(refused > 1, || format!("only {refused} segments were damaged"));
    let ready = stage.start().await?;
    seen.note(format!("mended again it was ready in {ready} ms"));
    stage.works(WORKING).await?;
    covered(&mut stage, &segments, verdict, seen).await?;
    stage.finish(verdict).await
}

/// The same with a segment that the views hold whole.
async fn covered(
    stage: &mut Stage,
    segments: &[(PathBuf, u64)],
    verdict: &mut Verdict,
    seen: &mut Seen,
) -> Result<()> {
    let (path, used) = segments.first().context("no segment")?;
    stage.load.is_up(false);
    stage.child.end().await?;
    let damage = Damage::at(path, HEAD + (used - HEAD) / 2)?;
    match stage.child.attempt().await? {
        Err(ended) => seen.note(format!("a segment the views hold, damaged: refused: {}", ended.line)),
        Ok(()) => {
            let told = stage.world.client.get(PAGE).await?;
            seen.note(format!(
                "a segment the views hold, damaged: it starts; its events: HTTP {}",
                told.status
            ));
            verdict.promise(told.status == 503, || format!("damaged events are answered: {}", told.shown()));
            stage.child.end().await?;
        }
    }
    damage.mend()?;
    stage.start().await?;
    Ok(())
}

/// The journal's segments, oldest first, that have a middle, and how far they are used.
fn segments(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            let bytes = std::fs::read(&path)?;
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            all.extend((used >= HEAD + LEAST).then_some((path, used)));
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// One byte of a file that is another one.
struct Damage {
    file: File,
    offset: u64,
    was: u8,
}

impl Damage {
    fn at(path: &Path, offset: u64) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)?;
        file.write_all_at(&[byte[0] ^ 0x40], offset)?;
        Ok(Self { file, offset, was: byte[0] })
    }

    fn mend(self) -> Result<()> {
        Ok(self.file.write_all_at(&[self.was], self.offset)?)
    }
}
