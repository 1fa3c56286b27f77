//! Campaigns as their actors drive them, and the drive to the end: whoever the shards say has something to do
//! does it, the provider says yes, and time passes until nothing is left.

use crate::cast::{ATTEMPT, person};
use crate::steps::pick;
use crate::world::World;
use kabar_engine::campaign::{CampaignRow, Phase, Verb};
use kabar_engine::id::ShardId;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::{PartClaim, PartOrder};
use kabar_engine::overlay::{Answer, Input, Key, Refusal};
use kabar_engine::part::{PartPhase, Totals};
use kabar_engine::schedule::{Hours, SendWindow};
use std::sync::Arc;

/// How long a campaign's recipients may wait (ms).
pub const VALID_MS: i64 = 3_600_000;

impl World {
    /// A campaign's row as it stands.
    pub fn campaign(&mut self, n: usize) -> Option<Arc<CampaignRow>> {
        let score = self.scores[n].clone();
        self.know(score.shard(), &[Key::Campaign(score.campaign)]).campaign(score.campaign)
    }

    /// A campaign's totals, asked from its parts.
    pub fn totals(&mut self, n: usize) -> Totals {
        let score = self.scores[n].clone();
        let mut sum = Totals::default();
        for (part, plan) in (0_u32..).zip(&score.parts) {
            let shard = self.desks[plan.desk].shard;
            let overlay = self.know(shard, &[Key::Part(score.campaign, part)]);
            sum.add(&overlay.totals(score.campaign, part).unwrap_or_default());
        }
        sum
    }

    /// The campaign's actor gives the latest command to one part that has not taken it over.
    pub fn order(&mut self, n: usize, nth: usize, told: bool) {
        let score = self.scores[n].clone();
        let Some(row) = self.campaign(n) else { return };
        let Some(part) = pick(&row.disobedient(), nth) else { return };
        let plan = &score.parts[part as usize];
        let desk = self.desks[plan.desk];
        let order = PartOrder {
            tenant: score.tenant,
            campaign: score.campaign,
            part,
            attempt: ATTEMPT,
            session: desk.session,
            launched: row.launched,
            valid_until: row.launched.plus_ms(VALID_MS),
            chunks: plan.chunks.iter().map(|c| (person(c[0]), c.len() as u32)).collect(),
            verb: row.verb,
            command: row.command,
        };
        self.orders.push(order.clone());
        self.ask(desk.shard, &Input::Order(Box::new(order))).reply.expect("an order is taken");
        if told {
            let (tenant, campaign, command) = (score.tenant, score.campaign, row.command);
            let input = Input::Obey { tenant, campaign, command, parts: vec![part] };
            self.ask(score.shard(), &input).reply.expect("obedience is taken");
        }
    }

    fn part_of(&self, n: usize, nth: usize) -> (u32, ShardId) {
        let parts = &self.scores[n].parts;
        let part = nth % parts.len();
        (part as u32, self.desks[parts[part].desk].shard)
    }

    pub fn part_claim(&mut self, n: usize, nth: usize, max: usize, free_form: bool) {
        self.part_claim_in(n, nth, (max, free_form), None);
    }

    /// A claim of a part; in `window` of the recipients' wall clocks.
    pub fn part_claim_in(
        &mut self,
        n: usize,
        nth: usize,
        (max, free_form): (usize, bool),
        window: Option<SendWindow>,
    ) {
        let (part, shard) = self.part_of(n, nth);
        let (tenant, campaign) = (self.scores[n].tenant, self.scores[n].campaign);
        let hours = Hours { send_window: window, ..Hours::default() };
        let claim = PartClaim { tenant, campaign, part, max, free_form, hours, held: None };
        let asked = self.ask(shard, &Input::PartClaim(claim));
        let begun = self.watch.parts.contains_key(&(shard, campaign, part));
        assert!(if begun { asked.reply.is_ok() } else { matches!(asked.reply, Err(Refusal::NotFound)) });
    }

    /// A new part's actor adopts what is claimed, when no call of the part is under way.
    pub fn part_adopt(&mut self, n: usize, nth: usize) {
        let (part, shard) = self.part_of(n, nth);
        let (tenant, campaign) = (self.scores[n].tenant, self.scores[n].campaign);
        let own =
            |r: &Reference| matches!(r, Reference::Campaign(c, i) if (*c, i / 10_240) == (campaign, part));
        if !self.wire.flying().iter().any(own) {
            self.ask(shard, &Input::PartAdopt { tenant, campaign, part });
        }
    }

    pub fn part_due(&mut self, n: usize, nth: usize) {
        let (part, shard) = self.part_of(n, nth);
        let (tenant, campaign) = (self.scores[n].tenant, self.scores[n].campaign);
        let (proof_ms, resend) = self.policy;
        self.ask(shard, &Input::PartDue { tenant, campaign, part, proof_ms, resend });
    }

    /// The campaign's actor ends it when every part has taken the latest command over and has ended.
    pub fn finish(&mut self, n: usize) {
        let Some(row) = self.campaign(n) else { return };
        let running = matches!(row.phase, Phase::Running | Phase::Paused);
        if running && row.disobedient().is_empty() && self.totals(n).is_finished() {
            let (tenant, campaign) = (self.scores[n].tenant, row.id);
            let shard = self.scores[n].shard();
            self.ask(shard, &Input::Finish { tenant, campaign }).reply.expect("a campaign ends");
        }
    }

    /// Everybody does what there is to do once.
    pub fn turn(&mut self) {
        self.listen();
        for n in 0..2 {
            if let Some(row) = self.campaign(n).filter(|r| r.is_live()) {
                match row.phase {
                    Phase::Freezing => self.act(&crate::steps::Op::Freeze { score: n }),
                    Phase::Paused => self.act(&crate::steps::Op::Move { score: n, verb: 1 }),
                    _ => {}
                }
                while self.campaign(n).is_some_and(|r| r.frozen.is_some() && !r.disobedient().is_empty()) {
                    self.order(n, 0, true);
                }
                self.finish(n);
            }
        }
        for shard in self.homes.keys().copied().collect::<Vec<_>>() {
            let overlay = &self.homes[&shard].overlay;
            let sessions = overlay.due_sessions(self.now);
            let parts: Vec<_> = overlay.open_parts().map(|p| (p.start.campaign, p.start.part)).collect();
            for (_, session) in sessions {
                let desk = *self.desks.iter().find(|d| d.session == session).expect("a desk");
                self.adopt(desk);
                self.due(desk);
                self.claim(desk, 3);
            }
            for (campaign, part) in parts {
                let n = self.scores.iter().position(|s| s.campaign == campaign).expect("one of two");
                self.part_adopt(n, part as usize);
                self.part_due(n, part as usize);
                self.part_claim(n, part as usize, 3, false);
            }
        }
        for reference in self.wire.flying() {
            self.answer(reference, 0);
        }
    }

    /// Drives everything to its end.
    pub fn settle(&mut self) {
        for round in 0..120 {
            self.turn();
            if self.is_settled() {
                break;
            }
            self.now = self.now.plus_ms(if round < 60 { 30_000 } else { 3_600_000 });
        }
        self.check();
        assert!(self.is_settled(), "something never ends");
        for n in 0..2 {
            let row = self.campaign(n);
            assert!(row.is_none_or(|r| !r.is_live()), "a campaign never ends");
        }
        for shard in self.shards() {
            let open = self.home(shard).overlay.open_parts().count();
            assert_eq!(open, 0, "a part never ends");
            self.flush(shard);
            assert_eq!(self.home(shard).overlay.dirty(), 0, "something stays dirty");
        }
        assert!(self.views.outbox.is_empty(), "a line of the outbox view stays");
    }

    fn is_settled(&mut self) -> bool {
        let quiet = |w: &mut Self, shard: ShardId| {
            let overlay = &w.home(shard).overlay;
            overlay.open_sessions().next().is_none() && overlay.open_parts().next().is_none()
        };
        let shards = self.shards();
        let ended = (0..2).all(|n| self.campaign(n).is_none_or(|r| !r.is_live()));
        ended && shards.into_iter().all(|s| quiet(self, s)) && self.wire.flying().is_empty()
    }

    /// Launches a campaign, freezes it and starts its parts.
    pub fn start(&mut self, n: usize) {
        let score = self.scores[n].clone();
        let (tenant, campaign) = (score.tenant, score.campaign);
        let asked = self.ask(score.shard(), &Input::Launch { tenant, campaign, idempotency: None });
        assert!(matches!(asked.reply, Ok(Answer::Commanded(_))), "{:?}", asked.reply);
        self.act(&crate::steps::Op::Freeze { score: n });
        (0..score.parts.len()).for_each(|_| self.order(n, 0, true));
    }

    /// Moves a campaign and tells its parts.
    pub fn shift(&mut self, n: usize, verb: Verb) {
        let score = self.scores[n].clone();
        let (tenant, campaign) = (score.tenant, score.campaign);
        self.ask(score.shard(), &Input::Move { tenant, campaign, verb, idempotency: None })
            .reply
            .expect("it may move");
        (0..score.parts.len()).for_each(|_| self.order(n, 0, true));
    }

    /// The phase of a part.
    pub fn phase(&mut self, n: usize, part: u32) -> Option<PartPhase> {
        let (number, shard) = self.part_of(n, part as usize);
        let campaign = self.scores[n].campaign;
        self.know(shard, &[Key::Part(campaign, number)]).part(campaign, number).map(|p| p.phase)
    }
}
