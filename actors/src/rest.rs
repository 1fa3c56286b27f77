//! People who get no marketing for a while, because WhatsApp said, in an answer or in a status, that they have had enough of
//! everybody (131049). Whoever tries sooner is suppressed for longer, so what is marketing waits here. Records, so that a
//! restart forgets nobody; what is in memory is read again once a minute, because other nodes hear of people as well.

use crate::node::Node;
use dashmap::DashMap;
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::health::TemplateName;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::outgoing::{Outgoing, SendError};
use kabar_engine::pacing::{Throttle, backoff};
use kabar_engine::time::{DAY_MS, MINUTE_MS, Timestamp};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Noun, ProviderTemplate, Rest};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// What other nodes heard is read so often.
const LOOK_MS: i64 = MINUTE_MS;
/// Clocks of nodes may differ by so much.
const OVERLAP_MS: i64 = MINUTE_MS;
/// So long after its end a rest still makes the next one longer.
const REMEMBERED_MS: i64 = 7 * DAY_MS;
/// Rests grow so often.
const LONGER_MAX: u32 = 2;
/// People of one tenant that are remembered; those whose rest ends first go first.
const PEOPLE_MAX: usize = 200_000;
/// Records read at once.
const PAGE: usize = 500;

/// The rests of all tenants that send templates here.
#[derive(Default)]
pub(crate) struct Rests {
    tenants: DashMap<TenantId, Arc<Mutex<Known>>>,
}

/// Those of one tenant.
#[derive(Default)]
struct Known {
    people: HashMap<u64, Rest>,
    /// What was begun before was read.
    read_to: Option<Timestamp>,
    read_at: Option<Timestamp>,
}

impl Known {
    /// Takes a rest over, if it ends later than the one that is known.
    fn learn(&mut self, rest: Rest) {
        match self.people.entry(rest.person) {
            Entry::Occupied(mut known) if known.get().until < rest.until => {
                known.insert(rest);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(rest);
            }
        }
    }

    /// The rest that begins at `at`; `None` when one that ends later is known already.
    fn next(&self, (tenant, person): (TenantId, u64), template: u64, at: Timestamp) -> Option<Rest> {
        let last = self.people.get(&person).filter(|rest| at.since_ms(rest.until) < REMEMBERED_MS);
        let before = last.map_or(0, |rest| rest.before.saturating_add(1));
        let wait = backoff(Throttle::Person, before.min(LONGER_MAX), 0).unwrap_or(0);
        let until = at.plus_ms(i64::try_from(wait).unwrap_or(DAY_MS));
        // Several messages were on their way: that is one refusal, told several times.
        let same = last.is_some_and(|rest| at < rest.until || rest.until >= until);
        (!same).then_some(Rest { tenant, person, template, until, before, created: at })
    }

    /// Drops what is over, and what there is no room for.
    fn sweep(&mut self, now: Timestamp) {
        self.people.retain(|_, rest| now.since_ms(rest.until) < REMEMBERED_MS);
        if self.people.len() > PEOPLE_MAX {
            let mut ends: Vec<Timestamp> = self.people.values().map(|rest| rest.until).collect();
            let place = ends.len() - PEOPLE_MAX;
            let (_, first, _) = ends.select_nth_unstable(place);
            let first = *first;
            self.people.retain(|_, rest| rest.until >= first);
        }
    }
}

impl Rests {
    /// The tenant's, as they are known within a minute.
    async fn known<'a>(
        &self,
        node: &Node,
        tenant: TenantId,
        slot: &'a Mutex<Known>,
    ) -> Result<MutexGuard<'a, Known>, StoreError> {
        let now = Timestamp(node.clock().now_ms());
        let mut known = slot.lock().await;
        if known.read_at.is_some_and(|at| now.since_ms(at).abs() < LOOK_MS) {
            return Ok(known);
        }
        let nouns = &node.store().nouns;
        let mut after = known.read_to.map(|at| (at.plus_ms(-OVERLAP_MS), 0));
        loop {
            let page = nouns.page::<Rest>(tenant, None, after, PAGE).await?;
            for found in &page {
                let rest = found.noun;
                if now.since_ms(rest.until) < REMEMBERED_MS {
                    known.learn(rest);
                } else {
                    // Another node may have been faster; one that stays is met again.
                    let _gone = nouns.delete::<Rest>(tenant, rest.id(), found.version).await;
                }
            }
            after = page.last().map(|found| (found.noun.created, found.noun.id())).or(after);
            if let Some(last) = page.last() {
                known.read_to = known.read_to.max(Some(last.noun.created));
            }
            if page.len() < PAGE {
                break;
            }
        }
        known.sweep(now);
        known.read_at = Some(now);
        Ok(known)
    }

    fn slot(&self, tenant: TenantId) -> Arc<Mutex<Known>> {
        match self.tenants.get(&tenant) {
            Some(slot) => Arc::clone(&slot),
            None => Arc::clone(&self.tenants.entry(tenant).or_default()),
        }
    }

    /// WhatsApp said at `at` that a person has had enough, of this template among others. Durable when it returns.
    ///
    /// # Errors
    /// What the store could not do.
    pub(crate) async fn note(
        &self,
        node: &Node,
        tenant: TenantId,
        (person, template): (&Address, Option<&TemplateName>),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let slot = self.slot(tenant);
        let mut known = self.known(node, tenant, &slot).await?;
        let template = template.map_or(0, |name| hash(tenant, name));
        let Some(rest) = known.next((tenant, Rest::person(tenant, person)), template, at) else {
            return Ok(());
        };
        match node.store().nouns.create(&rest).await {
            Ok(()) | Err(StoreError::Conflict) => known.learn(rest),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The person's rest, while it lasts. When the store does not answer, what was known before counts.
    async fn of(&self, node: &Node, tenant: TenantId, person: &Address) -> Option<Rest> {
        let slot = self.slot(tenant);
        let known = match self.known(node, tenant, &slot).await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "rests could not be read");
                slot.lock().await
            }
        };
        if known.people.is_empty() {
            return None;
        }
        let now = Timestamp(node.clock().now_ms());
        known.people.get(&Rest::person(tenant, person)).copied().filter(|rest| rest.until > now)
    }
}

fn hash(tenant: TenantId, name: &TemplateName) -> u64 {
    TenantId::derived(tenant, [name.name.as_str(), &name.language].join("\0").as_bytes()).0
}

/// What a message is answered instead of being sent, when it is marketing to a person who has had enough. `marketing`: its
/// campaign is. What a template is for is Meta's word; where that is not known, the campaign's, or that it was this very
/// template that was refused.
pub(crate) async fn instead(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    outgoing: &Outgoing,
    marketing: bool,
) -> Option<SendError> {
    if !matches!(*outgoing.content, Content::Template(_)) {
        return None;
    }
    let rest = node.rests.of(node, tenant, &outgoing.to).await?;
    let name = TemplateName::of(&outgoing.content)?;
    let marketing = match category(node, (tenant, session), &name).await {
        Some(category) => category.eq_ignore_ascii_case("MARKETING"),
        None => marketing || rest.template == hash(tenant, &name),
    };
    let now = Timestamp(node.clock().now_ms());
    let after_ms = u64::try_from(rest.until.since_ms(now)).unwrap_or(0);
    let (throttle, cause, words) = (Throttle::Person, Cause::ENOUGH_MARKETING, None);
    marketing.then_some(SendError::RetryAfter { throttle, after_ms, cause, words })
}

/// What Meta says a template is for.
async fn category(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    name: &TemplateName,
) -> Option<String> {
    let number = node.accounts.number(node, tenant, session).await.ok()??;
    let id = ProviderTemplate::id_of(tenant, number.waba_id.as_deref()?, &name.name, &name.language);
    node.accounts.template(node, tenant, id).await.ok()??.category.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_790_000_000_000);
    const WHO: (TenantId, u64) = (TenantId(1), 7);

    #[test]
    fn each_rest_that_follows_another_is_longer_and_one_refusal_told_twice_is_one() {
        let mut known = Known::default();
        let first = known.next(WHO, 0, T).unwrap();
        assert_eq!(first.until, T.plus_ms(DAY_MS));
        known.learn(first);
        assert_eq!(known.next(WHO, 0, T.plus_ms(60_000)), None, "it rests already");
        let mut at = first.until.plus_ms(1);
        for days in [2, 4, 4] {
            let next = known.next(WHO, 0, at).unwrap();
            assert_eq!(next.until, at.plus_ms(days * DAY_MS));
            known.learn(next);
            at = next.until.plus_ms(1);
        }
        let later = at.plus_ms(REMEMBERED_MS);
        assert_eq!(known.next(WHO, 0, later).unwrap().until, later.plus_ms(DAY_MS), "long forgotten");
    }

    #[test]
    fn of_two_rests_the_longer_one_counts_and_what_is_over_is_forgotten() {
        let mut known = Known::default();
        let rest = known.next(WHO, 0, T).unwrap();
        known.learn(rest);
        known.learn(Rest { until: T.plus_ms(5), ..rest });
        assert_eq!(known.people[&7], rest);
        known.sweep(rest.until.plus_ms(REMEMBERED_MS - 1));
        assert_eq!(known.people.len(), 1);
        known.sweep(rest.until.plus_ms(REMEMBERED_MS));
        assert!(known.people.is_empty());
    }
}
