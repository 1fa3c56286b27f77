//! The log of a subscription's attempts on its way to the records: pages of so many lines, the oldest dropped. A page is
//! written again until it is full; nobody else writes it.

use kabar_engine::id::{TenantId, WebhookId};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::records::{AttemptLine, AttemptLog, Noun, Nouns};

/// Pages that are kept.
const PAGES_MAX: u64 = 1_000;
/// A page older than this is dropped when a new one begins.
const KEEP_MS: i64 = 14 * 86_400_000;
/// Pages dropped at once.
const DROP_MAX: u64 = 4;

/// The end of a log.
pub(super) struct Log {
    page: AttemptLog,
    version: u64,
    fresh: Vec<AttemptLine>,
    /// The first page that is kept.
    begin: u64,
}

impl Log {
    /// The log whose standing says that it lies between these pages. A kill may have left it longer than was said.
    pub(super) async fn load(
        nouns: &Nouns,
        (tenant, webhook): (TenantId, WebhookId),
        (begin, end): (u64, u64),
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut number = end;
        let mut found = nouns.get::<AttemptLog>(tenant, AttemptLog::id_of(webhook, number)).await?;
        while found.as_ref().is_some_and(|page| page.noun.lines.len() >= AttemptLog::LINES) {
            number += 1;
            found = nouns.get(tenant, AttemptLog::id_of(webhook, number)).await?;
        }
        let empty = AttemptLog { webhook, tenant, page: number, created: now, lines: Vec::new() };
        let (page, version) = found.map_or((empty, 0), |found| (found.noun, found.version));
        Ok(Self { page, version, fresh: Vec::new(), begin })
    }

    /// Lines that are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// The first page that is kept, and the one that is being written.
    pub(super) fn pages(&self) -> (u64, u64) {
        (self.begin, self.page.page)
    }

    pub(super) fn note(&mut self, line: AttemptLine) {
        self.fresh.push(line);
    }

    /// Writes what is new. After an error the same lines are written again.
    pub(super) async fn write(&mut self, nouns: &Nouns, now: Timestamp) -> Result<(), StoreError> {
        while !self.fresh.is_empty() {
            let room = AttemptLog::LINES.saturating_sub(self.page.lines.len());
            if room == 0 {
                self.turn(nouns, now).await?;
                continue;
            }
            let count = room.min(self.fresh.len());
            let mut page = self.page.clone();
            page.lines.extend_from_slice(&self.fresh[..count]);
            self.version = put(nouns, &page, self.version).await?;
            self.page = page;
            self.fresh.drain(..count);
        }
        Ok(())
    }

    /// Begins the next page, and drops the oldest.
    async fn turn(&mut self, nouns: &Nouns, now: Timestamp) -> Result<(), StoreError> {
        let (tenant, webhook) = (self.page.tenant, self.page.webhook);
        for _ in 0..DROP_MAX {
            let many = self.page.page - self.begin >= PAGES_MAX;
            let id = AttemptLog::id_of(webhook, self.begin);
            if self.begin >= self.page.page {
                break;
            }
            match nouns.get::<AttemptLog>(tenant, id).await? {
                Some(oldest) if many || now.since_ms(oldest.noun.created) > KEEP_MS => {
                    nouns.delete::<AttemptLog>(tenant, id, oldest.version).await?;
                }
                Some(_) => break,
                None => {}
            }
            self.begin += 1;
        }
        let page = self.page.page + 1;
        self.page = AttemptLog { webhook, tenant, page, created: now, lines: Vec::new() };
        self.version = 0;
        Ok(())
    }
}

/// Writes a noun that nobody else writes: a conflict is an earlier write of our own whose answer was lost.
pub(super) async fn put<N: Noun>(nouns: &Nouns, noun: &N, version: u64) -> Result<u64, StoreError> {
    let written =
        if version == 0 { nouns.create(noun).await.map(|()| 1) } else { nouns.update(noun, version).await };
    match written {
        Err(StoreError::Conflict) => {
            let stored = nouns.get::<N>(noun.tenant(), noun.id()).await?;
            nouns.update(noun, stored.map_or(0, |stored| stored.version)).await
        }
        other => other,
    }
}
