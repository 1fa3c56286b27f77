//! Actions that may come under an idempotency key: how they are done to a world, and what their keys promise.

use crate::cast::{Desk, person};
use crate::steps::pick;
use crate::world::{Asked, World};
use kabar_engine::campaign::Verb;
use kabar_engine::entry::{ConsentSource, Idempotency};
use kabar_engine::id::{CampaignId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::{Answer, Input, Refusal};
use kabar_engine::time::DAY_MS;

/// What a tenant can do twice by accident. Numbers are taken modulo what there is; a consent is said through the desk's
/// session where that is `named`.
#[derive(Debug, Clone)]
pub enum Action {
    Cancel { nth: usize },
    Consent { desk: usize, who: usize, out: bool, named: bool },
    Launch { score: usize },
    Move { score: usize, verb: u8 },
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Session(SessionId),
    Campaign(CampaignId),
    Person(TenantId, usize),
}

impl World {
    /// Does it, under a key or without; and holds the key to its promise.
    pub fn carry_out(&mut self, action: &Action, key: Option<u8>) -> Option<Asked> {
        let asked = |body: u64| key.map(|k| Idempotency { key: u128::from(k), body: u128::from(body) });
        Some(match action {
            Action::Cancel { nth } => {
                let message = pick(&self.watch.messages(), *nth)?;
                let Desk { tenant, session, shard } = self.desk_of(Reference::Message(message));
                let idempotency = asked(message.0);
                let input = Input::CancelMessage { tenant, message, idempotency };
                self.once(shard, &input, (Scope::Session(session), idempotency))
            }
            Action::Consent { desk, who, out, named } => {
                let (Desk { tenant, session, shard }, who) = (self.desks[desk % 3], who % 8);
                let (address, session) = (person(who), named.then_some(session));
                let home = if *named { shard } else { ShardId::of_address(tenant, &address) };
                let scope = session.map_or(Scope::Person(tenant, who), Scope::Session);
                let (wish, source) = (if *out { Wish::OptOut } else { Wish::OptIn }, ConsentSource::Api);
                let idempotency = asked(100 + 2 * who as u64 + u64::from(*out));
                let input = Input::Consent { tenant, session, address, wish, source, idempotency };
                self.once(home, &input, (scope, idempotency))
            }
            Action::Launch { score } => {
                let score = self.scores[score % 2].clone();
                let (tenant, campaign, idempotency) = (score.tenant, score.campaign, asked(200));
                let input = Input::Launch { tenant, campaign, idempotency };
                self.once(score.shard(), &input, (Scope::Campaign(campaign), idempotency))
            }
            Action::Move { score, verb } => {
                let score = self.scores[score % 2].clone();
                let nth = usize::from(verb % 3);
                let (tenant, campaign, idempotency) = (score.tenant, score.campaign, asked(201 + nth as u64));
                let verb = [Verb::Pause, Verb::Resume, Verb::Cancel][nth];
                let input = Input::Move { tenant, campaign, verb, idempotency };
                self.once(score.shard(), &input, (Scope::Campaign(campaign), idempotency))
            }
        })
    }

    /// An input, and what its key promises: whatever happened meanwhile, it is done once within a day.
    fn once(&mut self, shard: ShardId, input: &Input, of: (Scope, Option<Idempotency>)) -> Asked {
        let (scope, key) = of;
        let before = key.and_then(|k| self.watch.keys.get(&(scope, k.key)).copied());
        let before = before.filter(|(.., at)| self.now.since_ms(*at) < DAY_MS);
        let asked = self.ask(shard, input);
        match (before, &asked.reply) {
            (Some((body, ..)), reply) => {
                assert!(asked.entries.is_empty(), "a repeat is journaled: {input:?}");
                let same = body == key.expect("asked with one").body;
                match reply {
                    Ok(Answer::Replayed) => assert!(same, "another request is called a repeat: {input:?}"),
                    Err(Refusal::IdempotencyMismatch) => assert!(!same, "a repeat is refused: {input:?}"),
                    other => panic!("a used key is answered {other:?}"),
                }
            }
            (None, Ok(Answer::Done | Answer::Commanded(_))) => {
                assert!(!asked.entries.is_empty(), "what changes nothing is called done: {input:?}");
                if let Some(k) = key {
                    self.watch.keys.insert((scope, k.key), (k.body, MessageId(0), self.now));
                }
            }
            (None, Err(Refusal::WrongPhase | Refusal::NotFound)) => assert!(asked.entries.is_empty()),
            (None, other) => panic!("an unused key is answered {other:?}"),
        }
        asked
    }
}
