//! What the tenant's webhooks came to for a message's events: read from each subscription's log of attempts, from the
//! page that was begun before the first event.

use crate::dispatcher::{DispatchError, Dispatcher};
use kabar_engine::id::{EventId, TenantId, WebhookId};
use kabar_engine::message::MessageRow;
use kabar_engine::time::Timestamp;
use kabar_schema::records::{AttemptLine, AttemptLog, AttemptOutcome, Nouns, Standing, Subscription};
use std::collections::BTreeSet;

/// Subscriptions that are looked at.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Pages of one subscription's log that are read.
const PAGES_MAX: u64 = 24;

/// One attempt of one subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The subscription.
    pub webhook: WebhookId,
    /// The attempt.
    pub line: AttemptLine,
}

impl Dispatcher {
    /// The attempts for these events, and whether all of them were read.
    pub(super) async fn attempts(
        &self,
        row: &MessageRow,
        events: &[EventId],
    ) -> Result<(Vec<Attempt>, bool), DispatchError> {
        let nouns = &self.0.store().nouns;
        let (mut found, mut whole) = (Vec::new(), true);
        if events.is_empty() {
            return Ok((found, whole));
        }
        let all = nouns.page::<Subscription>(row.tenant, None, None, SUBSCRIPTIONS_MAX + 1).await?;
        whole &= all.len() <= SUBSCRIPTIONS_MAX;
        for stored in all.into_iter().take(SUBSCRIPTIONS_MAX) {
            let record = stored.noun;
            if record.sessions.is_some_and(|of| !of.contains(&row.session)) {
                continue;
            }
            let log = Log { nouns, tenant: row.tenant, webhook: record.id };
            let all = log.lines(events, row.times.accepted).await?;
            found.extend(all.0.into_iter().map(|line| Attempt { webhook: record.id, line }));
            whole &= all.1;
        }
        found.sort_by_key(|attempt| (attempt.line.at, attempt.webhook));
        Ok((found, whole))
    }
}

struct Log<'a> {
    nouns: &'a Nouns,
    tenant: TenantId,
    webhook: WebhookId,
}

impl Log<'_> {
    async fn page(&self, number: u64) -> Result<Option<AttemptLog>, DispatchError> {
        let id = AttemptLog::id_of(self.webhook, number);
        Ok(self.nouns.get::<AttemptLog>(self.tenant, id).await?.map(|page| page.noun))
    }

    /// Lines of these events, from `since` on; and whether no more can be there.
    async fn lines(
        &self,
        events: &[EventId],
        since: Timestamp,
    ) -> Result<(Vec<AttemptLine>, bool), DispatchError> {
        let mut found = Vec::new();
        let Some(standing) = self.nouns.get::<Standing>(self.tenant, self.webhook.0).await? else {
            return Ok((found, true));
        };
        // The log may be a page longer than was written down.
        let (begin, end) = (standing.noun.log_begin, standing.noun.log_end + 1);
        let mut open: BTreeSet<EventId> = events.iter().copied().collect();
        let mut number = self.first(begin, end, since).await?;
        let last = number + PAGES_MAX;
        while number <= end && !open.is_empty() {
            if number == last {
                return Ok((found, false));
            }
            for line in self.page(number).await?.into_iter().flat_map(|page| page.lines) {
                if events.contains(&line.event) {
                    if line.outcome != AttemptOutcome::Again {
                        open.remove(&line.event);
                    }
                    found.push(line);
                }
            }
            number += 1;
        }
        Ok((found, true))
    }

    /// The last page that was begun before this moment.
    async fn first(&self, begin: u64, end: u64, since: Timestamp) -> Result<u64, DispatchError> {
        let (mut low, mut high) = (begin, end);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.page(middle).await? {
                Some(page) if page.created <= since => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }
}
