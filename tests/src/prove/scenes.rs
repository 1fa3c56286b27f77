//! The scenes: what befalls a node on its machine beside a kill. It is frozen for seconds, its disk is full, its files
//! become read-only, a segment of its journal is damaged, the power goes. Each scene is played under load from all
//! sides, says what it saw, and ends like the kill proof: everything settles and is counted.
//!
//! One file a scene; what happens at the provider is the faults' affair, what happens to a cluster the outage's.

mod damaged;
mod frozen;
mod full;
mod power;
mod read_only;

use super::child::Ended;
use super::options::Options;
use super::stage::Stage;
use super::verdict::{Kill, Verdict};
use anyhow::Result;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Messages that leave before anything happens: campaigns, single messages and webhooks are in full swing.
const WORKING: u64 = 1_500;
/// Longest time until a node ends whose journal cannot go on.
const ENDS: Duration = Duration::from_secs(30);
/// How a node ends whose journal cannot go on (EX_IOERR).
const EXIT_IO: i32 = 74;

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// SIGSTOP for 15 s, then SIGCONT.
    Frozen,
    /// The disk takes nothing more, and later it does again.
    FullDisk,
    /// Folder and files may only be read, and later they may be written again.
    ReadOnly,
    /// A byte in the middle of a segment is another one.
    DamagedSegment,
    /// The machine loses its power, again and again.
    PowerLoss,
}

impl Scene {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Frozen, Self::FullDisk, Self::ReadOnly, Self::DamagedSegment, Self::PowerLoss];

    /// As the command line calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::FullDisk => "full-disk",
            Self::ReadOnly => "read-only",
            Self::DamagedSegment => "damaged-segment",
            Self::PowerLoss => "power-loss",
        }
    }

    /// The scenes of a word: one, or all.
    #[must_use]
    pub fn named(word: &str) -> Option<Vec<Self>> {
        if word == "all" {
            return Some(Self::ALL.to_vec());
        }
        Self::ALL.into_iter().find(|scene| scene.name() == word).map(|scene| vec![scene])
    }
}

/// What was seen of a scene, in sentences.
#[derive(Debug, Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        eprintln!("  {sentence}");
        self.0.push(sentence);
    }

    /// Notes how the node ended; it must have said why.
    fn ended(&mut self, when: &str, ended: &Ended, (code, words): (i32, &[&str]), verdict: &mut Verdict) {
        let shown = ended.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        self.note(format!("{when}: ended with {shown}: {}", ended.line));
        verdict.promise(ended.code == Some(code), || format!("{when}: exit code {shown}, not {code}"));
        for word in words {
            verdict.promise(ended.line.contains(word), || {
                format!("{when}: the last line does not say `{word}`: {}", ended.line)
            });
        }
    }
}

/// Plays them one after the other; whether every promise held.
///
/// # Errors
/// A scene could not be played, which is not the same as a broken promise.
pub async fn run(options: &Options, scenes: &[Scene]) -> Result<bool> {
    let (mut told, mut holds) = (Vec::new(), true);
    for scene in scenes {
        let (verdict, seen) = play(*scene, options).await?;
        holds &= verdict.holds();
        let mut figures = verdict.figures();
        figures["scene"] = json!(scene.name());
        figures["seen"] = json!(seen);
        told.push(figures);
    }
    if options.json {
        let whole: Value = json!({"scenes": told, "holds": holds, "seed": options.seed});
        println!("{whole}");
    }
    Ok(holds)
}

/// Plays one: what it came to, and what was seen.
pub(super) async fn play(scene: Scene, options: &Options) -> Result<(Verdict, Vec<String>)> {
    eprintln!("scene {}, seed {}", scene.name(), options.seed);
    let begin = Instant::now();
    let (mut verdict, mut seen) = (Verdict::of_scene(options), Seen::default());
    let played = match scene {
        Scene::Frozen => Box::pin(frozen::play(options, &mut verdict, &mut seen)).await,
        Scene::FullDisk => Box::pin(full::play(options, &mut verdict, &mut seen)).await,
        Scene::ReadOnly => Box::pin(read_only::play(options, &mut verdict, &mut seen)).await,
        Scene::DamagedSegment => Box::pin(damaged::play(options, &mut verdict, &mut seen)).await,
        Scene::PowerLoss => Box::pin(power::play(options, &mut verdict, &mut seen)).await,
    };
    // A node that does not come back is what a scene is there to find.
    if let Err(broken) = played {
        verdict.broken.push(format!("{broken:#}"));
    }
    verdict.seconds = begin.elapsed().as_secs();
    verdict.tell();
    let (name, spent) = (scene.name(), verdict.seconds);
    let word = if verdict.holds() { "held" } else { "BROKEN" };
    eprintln!("scene {name}: {word} ({spent} s)");
    Ok((verdict, seen.0))
}

/// What a node that ended by itself left open: only that may be unknown.
async fn gone(stage: &mut Stage, at: i64, verdict: &mut Verdict) -> Result<()> {
    let found = stage.look(at).await?;
    verdict.kills.push(Kill {
        open: found.open,
        unacknowledged: stage.world.sandbox.stats().webhooks.pending,
        claim_ago: found.claim_ago,
        flush_ago: found.flush_ago,
        start_ms: 0,
        counts: false,
    });
    Ok(())
}

/// Whether this process may do what only root may.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
