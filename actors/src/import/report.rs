//! The record of an import while it runs: made at the begin, written at most once a second, closed at the end, also
//! when the sender goes away. Not the counting of rows.

use super::retry::insist;
use super::tally::Batch;
use super::{ImportError, ImportRequest};
use kabar_engine::time::Timestamp;
use kabar_runtime::Clock;
use kabar_schema::StoreError;
use kabar_schema::contacts::Upserted;
use kabar_schema::records::{Checkpoint, Import, ImportState, Nouns, Versioned};
use std::sync::atomic::{AtomicBool, Ordering};

/// The record is written when the last time lies so far back.
const SAVE_EVERY_MS: u64 = 1_000;

/// What an import begins with.
pub(super) enum Begun {
    /// It is done already.
    Replay(Import),
    /// There is everything to read.
    Fresh(Report),
}

/// The record of a running import.
pub(super) struct Report {
    nouns: Nouns,
    clock: Clock,
    import: Import,
    /// The record's version when it was written last.
    version: u64,
    /// Whether a write has begun and not ended.
    saving: bool,
    saved_at_ms: u64,
    closed: bool,
    /// Whether it goes on where a killed run stopped.
    resumed: bool,
    /// Whether rows before the checkpoint are still passed over: until then the record is not this run's to close.
    passing: bool,
}

impl Report {
    /// Makes the record, or takes over one that did not end well.
    pub(super) async fn begin(
        nouns: Nouns,
        clock: Clock,
        request: &ImportRequest,
    ) -> Result<Begun, ImportError> {
        let mut import = Import {
            id: request.import,
            tenant: request.tenant,
            name: request.name.clone(),
            state: ImportState::Reading,
            rows_read: 0,
            imported: 0,
            created_contacts: 0,
            updated_contacts: 0,
            duplicate: 0,
            invalid: 0,
            opted_out: 0,
            problems: Vec::new(),
            errors_kept: 0,
            errors_left_off: 0,
            consent_basis: request.consent_basis,
            consent_source: request.consent_source.clone(),
            created: Timestamp(clock.now_ms()),
            finished: None,
            error: None,
            checkpoint: Some(Checkpoint { digest: String::new(), at: Timestamp(clock.now_ms()) }),
        };
        let (mut version, mut taken_over, mut resumed) = (1, false, false);
        match insist(&clock, || nouns.create(&import)).await {
            Ok(()) => {}
            Err(StoreError::Conflict) => {
                let known = insist(&clock, || nouns.get::<Import>(request.tenant, request.import.0)).await?;
                let known = known.ok_or(StoreError::Conflict)?;
                if known.noun.state == ImportState::Done {
                    return Ok(Begun::Replay(known.noun));
                }
                (version, taken_over) = (known.version, true);
                // Only a killed process leaves a record in this state. One without a checkpoint is of an older
                // version.
                resumed = known.noun.state == ImportState::Reading && known.noun.checkpoint.is_some();
                if resumed {
                    import = known.noun;
                } else {
                    // Pages are in the order of creation: a second begin does not move the record.
                    import.created = known.noun.created;
                }
            }
            Err(error) => return Err(error.into()),
        }
        let saved_at_ms = clock.uptime_ms();
        let passing = resumed && import.rows_read > 0;
        let (saving, closed) = (false, false);
        let mut report =
            Self { nouns, clock, import, version, saving, saved_at_ms, closed, resumed, passing };
        if taken_over {
            // Also tells an import that still runs under this id that it has lost the record.
            report.save().await?;
        }
        Ok(Begun::Fresh(report))
    }

    /// The record as it stands.
    pub(super) fn import(&self) -> &Import {
        &self.import
    }

    /// Whether it goes on where a killed run stopped.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether rows before the checkpoint are still passed over.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// The file was the same up to the checkpoint: from here on this run writes.
    pub(super) fn passed(&mut self) {
        self.passing = false;
    }

    /// Counts a batch that was written; `digest` is of all rows up to its end.
    pub(super) fn count(&mut self, batch: Batch, upserted: Upserted, digest: String) {
        let import = &mut self.import;
        import.checkpoint = Some(Checkpoint { digest, at: Timestamp(self.clock.now_ms()) });
        let imported = u64::try_from(batch.drafts.len()).unwrap_or(u64::MAX);
        import.rows_read += imported + batch.duplicate + batch.invalid;
        import.imported += imported;
        import.duplicate += batch.duplicate;
        import.invalid += batch.invalid;
        import.opted_out += u64::try_from(batch.opt_outs.len()).unwrap_or(u64::MAX);
        import.created_contacts += upserted.created;
        import.updated_contacts += upserted.updated;
        let room = Import::PROBLEMS_MAX - import.problems.len();
        import.problems.extend(batch.problems.into_iter().take(room));
    }

    /// Tells how many invalid rows are kept and not.
    pub(super) fn refused(&mut self, kept: u64, left_off: u64) {
        (self.import.errors_kept, self.import.errors_left_off) = (kept, left_off);
    }

    /// Writes the record if the last time was a second ago.
    pub(super) async fn save_sometimes(&mut self) -> Result<(), StoreError> {
        if self.clock.uptime_ms() - self.saved_at_ms < SAVE_EVERY_MS {
            return Ok(());
        }
        self.save().await
    }

    /// Closes the record: everything was read.
    pub(super) async fn done(mut self) -> Result<Import, StoreError> {
        self.import.state = ImportState::Done;
        self.import.finished = Some(Timestamp(self.clock.now_ms()));
        self.import.checkpoint = None;
        self.save().await?;
        self.closed = true;
        let import = self.import.clone();
        tracing::info!(
            import = %import.id,
            rows = import.rows_read,
            imported = import.imported,
            duplicate = import.duplicate,
            invalid = import.invalid,
            opted_out = import.opted_out,
            "a contact file was imported"
        );
        Ok(import)
    }

    /// Closes the record: it ended early. The caller has the error, so a record that cannot be written is logged only.
    pub(super) async fn failed(mut self, error: &ImportError) {
        if self.closed || self.passing {
            return;
        }
        fail(&mut self.import, &self.clock, error);
        let saved = self.save().await;
        self.closed = true;
        if let Err(why) = saved {
            tracing::warn!(import = %self.import.id, %why, "a failed import's record could not be written");
        }
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        self.saving = true;
        let saved = update(&self.nouns, &self.clock, &self.import, self.version).await;
        // Another run under this id has the record: it is not ours to close.
        self.closed |= saved == Err(StoreError::Conflict);
        self.version = saved?;
        self.saving = false;
        self.saved_at_ms = self.clock.uptime_ms();
        Ok(())
    }
}

fn fail(import: &mut Import, clock: &Clock, error: &ImportError) {
    import.state = ImportState::Failed;
    import.finished = Some(Timestamp(clock.now_ms()));
    import.error = Some(error.to_string());
    import.checkpoint = None;
}

/// Writes a record over `version`, and again after an unknown outcome; its new version.
async fn update(nouns: &Nouns, clock: &Clock, import: &Import, version: u64) -> Result<u64, StoreError> {
    let doubtful = AtomicBool::new(false);
    let write = || async {
        let written = nouns.update(import, version).await;
        doubtful.fetch_or(written == Err(StoreError::Unknown), Ordering::Relaxed);
        written
    };
    match insist(clock, write).await {
        Err(StoreError::Conflict) if doubtful.load(Ordering::Relaxed) => {
            let stored = insist(clock, || nouns.get::<Import>(import.tenant, import.id.0)).await?;
            let ours = |stored: &Versioned<Import>| stored.noun == *import;
            stored.filter(ours).map(|stored| stored.version).ok_or(StoreError::Conflict)
        }
        result => result,
    }
}

impl Drop for Report {
    /// The import's future was dropped: nobody is left to say that it failed.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.closed || self.passing {
            return;
        }
        let (nouns, clock, mut import) = (self.nouns.clone(), self.clock.clone(), self.import.clone());
        fail(&mut import, &clock, &ImportError::Body("the sender went away".to_owned()));
        // A write that was under way may have come through.
        let versions = self.version..=self.version + u64::from(self.saving);
        runtime.spawn(async move {
            for version in versions {
                match update(&nouns, &clock, &import, version).await {
                    Ok(_) => return,
                    Err(StoreError::Conflict) => {}
                    Err(error) => {
                        tracing::warn!(import = %import.id, %error, "an abandoned import's record could not be written");
                        return;
                    }
                }
            }
        });
    }
}
