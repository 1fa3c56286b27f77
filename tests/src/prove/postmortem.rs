//! What the journal says after a kill: which claims were open at that instant, and how long before it something was
//! claimed or flushed. Read from a copy of the folder before the node starts again, so that the node's own recovery
//! finds what the kill left. It reads entries and knows no fold.

use super::place::Place;
use anyhow::Result;
use kabar_engine::entry::{Entry, Range, What};
use kabar_engine::outgoing::Reference;
use kabar_schema::journal::{Cursor, EmbeddedJournal, Journal, JournalOptions, OnFailure, ShardSet};
use kabar_schema::seal::Keyring;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries read at once.
const PAGE: usize = 20_000;
/// The file every flush of the projector writes first.
const FLUSHED: &str = "views.db-wal";

/// The journal as far as it was read: goes on from one kill to the next.
#[derive(Default)]
pub(super) struct Postmortem {
    cursor: Cursor,
    /// What opens its entries, once a whole folder was opened.
    keyring: Option<Arc<Keyring>>,
    open: BTreeSet<Reference>,
    /// Every claim, and when (Unix ms).
    claims: Vec<(i64, Reference)>,
    /// When something was last claimed (Unix ms).
    last_claim: i64,
    /// Inbound messages by the provider's id, and how often each was journaled.
    pub(super) inbound: BTreeMap<String, u32>,
}

/// What was found after one kill.
pub(super) struct Found {
    /// Claims without a result.
    pub(super) open: BTreeSet<Reference>,
    /// Milliseconds from the last claim to the kill.
    pub(super) claim_ago: i64,
    /// Milliseconds from the last flush to the kill.
    pub(super) flush_ago: i64,
}

/// Unix time in milliseconds.
pub(super) fn now_ms() -> i64 {
    ms(SystemTime::now())
}

fn ms(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Postmortem {
    /// Looks at what a node that was killed at `killed_at` left. On a cluster the last flush cannot be dated.
    pub(super) async fn look(&mut self, place: &Place, killed_at: i64) -> Result<Found> {
        let written = std::fs::metadata(place.folder.join(FLUSHED)).and_then(|m| m.modified()).map_or(0, ms);
        if place.cql.is_some() {
            let store = place.open().await?;
            self.read(&*store.journal).await?;
        } else {
            self.look_at_files(place).await?;
        }
        Ok(Found {
            open: self.open.clone(),
            claim_ago: killed_at - self.last_claim,
            flush_ago: killed_at - written,
        })
    }

    /// The journal alone, from where the look before ended: a thousand looks cost no more each than the first.
    async fn look_at_files(&mut self, place: &Place) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let keyring = match &self.keyring {
            Some(keyring) => Arc::clone(keyring),
            None => {
                copy(&place.folder, scratch.path())?;
                let left = Place { folder: scratch.path().to_owned(), ..place.clone() };
                let store = left.open().await?;
                let keyring = Arc::clone(&store.keyring);
                store.close().await;
                Arc::clone(self.keyring.insert(keyring))
            }
        };
        let folder = scratch.path().join("segments");
        copy_segments(&place.folder.join("journal"), &folder)?;
        let options = JournalOptions { on_failure: OnFailure::Poison, ..JournalOptions::new(folder) };
        // What was read before is not looked at again.
        let floors: Vec<_> = self.cursor.0.iter().map(|(shard, position)| (*shard, *position)).collect();
        let opening = move || EmbeddedJournal::open(options, keyring, &floors);
        let journal = tokio::task::spawn_blocking(opening).await??;
        self.read(&journal).await?;
        tokio::task::spawn_blocking(move || journal.close()).await?;
        Ok(())
    }

    /// What was claimed between two instants.
    pub(super) fn claimed_between(&self, from: i64, to: i64) -> BTreeSet<Reference> {
        self.claims.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, of)| *of).collect()
    }

    /// Reads on to the end.
    pub(super) async fn read(&mut self, journal: &dyn Journal) -> Result<()> {
        loop {
            let page = journal.read(&ShardSet::all(), &self.cursor, PAGE).await?;
            for (_, _, entry) in &page.entries {
                self.take(entry);
            }
            self.cursor = page.cursor;
            if page.end {
                return Ok(());
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        match &entry.what {
            What::Claim { messages, .. } => {
                self.claims.extend(messages.iter().map(|id| (entry.at.0, Reference::Message(*id))));
                self.last_claim = self.last_claim.max(entry.at.0);
                self.open.extend(messages.iter().map(|id| Reference::Message(*id)));
            }
            What::PartClaim { campaign, ranges, .. } => {
                let claimed = Range::indexes(ranges).map(|i| (entry.at.0, Reference::Campaign(*campaign, i)));
                self.claims.extend(claimed);
                self.last_claim = self.last_claim.max(entry.at.0);
                self.open.extend(Range::indexes(ranges).map(|i| Reference::Campaign(*campaign, i)));
            }
            What::Released { messages, .. }
            | What::Parked { messages, .. }
            | What::Resolved { messages, .. }
            | What::Ended { messages, .. } => {
                self.close(messages.iter().map(|id| Reference::Message(*id)));
            }
            What::Results(results) => self.close(results.iter().map(|(id, _)| Reference::Message(*id))),
            What::Statuses(list) => self.close(list.iter().map(|s| Reference::Message(s.of))),
            What::PartReleased { campaign, ranges }
            | What::PartParked { campaign, ranges }
            | What::PartResolved { campaign, ranges, .. }
            | What::PartEnded { campaign, ranges, .. } => {
                self.close(Range::indexes(ranges).map(|i| Reference::Campaign(*campaign, i)));
            }
            What::PartResults { campaign, results } => {
                self.close(results.iter().map(|(i, _)| Reference::Campaign(*campaign, *i)));
            }
            What::PartStatuses { campaign, statuses } => {
                self.close(statuses.iter().map(|s| Reference::Campaign(*campaign, s.of)));
            }
            What::Inbound(inbound) => {
                *self.inbound.entry(inbound.provider_id.to_string()).or_default() += 1;
            }
            _ => {}
        }
    }

    fn close(&mut self, references: impl Iterator<Item = Reference>) {
        for reference in references {
            self.open.remove(&reference);
        }
    }
}

/// Copies the journal's segments. All but the last are never written again: a second name is enough for them.
fn copy_segments(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let name = entry?.file_name();
        names.extend(Path::new(&name).extension().is_some_and(|e| e == "segment").then_some(name));
    }
    names.sort_unstable();
    let last = names.pop();
    for name in &names {
        let (from, to) = (from.join(name), to.join(name));
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(from, to)?;
        }
    }
    last.map_or(Ok(()), |name| std::fs::copy(from.join(&name), to.join(&name)).map(|_| ()))
}

/// Copies a folder with everything below it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
