//! A world of shards over one set of views: the door, the projector, crashes and what is taken up after them,
//! as the actors do it. Nothing is awaited; every append is durable at once.

use crate::cast::{BEGIN, Desk, Score, desks, ledger, scores};
use crate::views::Views;
use crate::watch::Watch;
use crate::wire::{Fate, Wire};
use kabar_engine::entry::{Entry, Position, What};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::PartOrder;
use kabar_engine::overlay::{Answer, Effect, Input, Key, Overlay, Refusal, Row, Wake};
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;

/// Rounds of loading that a question may take.
const ROUNDS: usize = 8;

/// One shard: its live state and its journal.
pub struct Home {
    /// The live state.
    pub overlay: Overlay,
    /// Every entry so far; the first one has position 1.
    pub journal: Vec<Entry>,
    /// Loads under way: read, not yet told.
    early: Vec<(u32, Key, Row)>,
}

/// What an input came to.
#[derive(Debug)]
pub struct Asked {
    /// The answer.
    pub reply: Result<Answer, Refusal>,
    /// What was journaled.
    pub entries: Vec<Entry>,
    /// Who was woken.
    pub wakes: Vec<Wake>,
}

/// Everything.
pub struct World {
    pub now: Timestamp,
    pub desks: [Desk; 3],
    pub scores: [Score; 2],
    pub views: Views,
    pub homes: BTreeMap<ShardId, Home>,
    pub wire: Wire,
    pub watch: Watch,
    /// Orders given so far, to be given again.
    pub orders: Vec<PartOrder>,
    /// How long proof is waited for, and whether the tenant resends.
    pub policy: (i64, bool),
    /// When the keeper last looked for opt-outs.
    pub looked: BTreeMap<(ShardId, TenantId), Timestamp>,
    /// Counts what needs a fresh name.
    pub fresh: u64,
    bounds: (usize, usize),
}

impl World {
    /// An empty world whose overlays forget clean rows beyond `bounds`.
    pub fn new(bounds: (usize, usize), resend: bool) -> Self {
        let scores = scores();
        let views = Views { ledger: ledger(&scores), ..Views::default() };
        let wire = Wire { allowed: if resend { 2 } else { 1 }, ..Wire::default() };
        Self {
            now: BEGIN,
            desks: desks(),
            scores,
            views,
            homes: BTreeMap::new(),
            wire,
            watch: Watch::default(),
            orders: Vec::new(),
            policy: (60_000, resend),
            looked: BTreeMap::new(),
            fresh: 0,
            bounds,
        }
    }

    /// A roomy world whose tenants never resend.
    pub fn plain() -> Self {
        Self::new((20_000, 64), false)
    }

    /// The shards anything happens in.
    pub fn shards(&self) -> Vec<ShardId> {
        let desks = self.desks.iter().map(|d| d.shard);
        let mut list: Vec<ShardId> = desks.chain(self.scores.iter().map(Score::shard)).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// A shard's home, opened when first asked for.
    pub fn home(&mut self, shard: ShardId) -> &mut Home {
        let bounds = self.bounds;
        self.homes.entry(shard).or_insert_with(|| Home {
            overlay: Overlay::bounded(shard, Position(0), 0, bounds),
            journal: Vec::new(),
            early: Vec::new(),
        })
    }

    /// Loads what is missing under `keys`, as a read of the live state does.
    pub fn know(&mut self, shard: ShardId, keys: &[Key]) -> &Overlay {
        self.home(shard);
        let (now, views) = (self.now, &self.views);
        let home = self.homes.get_mut(&shard).expect("opened above");
        for _ in 0..ROUNDS {
            let missing: Vec<&Key> = keys.iter().filter(|k| !home.overlay.knows(k)).collect();
            let generation = home.overlay.generation();
            missing
                .into_iter()
                .for_each(|k| _ = home.overlay.insert(generation, k.clone(), views.load(k), now));
        }
        assert!(keys.iter().all(|k| home.overlay.knows(k)), "a read never has what it needs");
        &home.overlay
    }

    /// The effects of an input, nothing folded yet.
    pub fn decide(&mut self, shard: ShardId, input: &Input) -> Vec<Effect> {
        self.home(shard);
        let (now, views) = (self.now, &self.views);
        let overlay = &mut self.homes.get_mut(&shard).expect("opened above").overlay;
        for round in 0.. {
            let missing = overlay.needs(input, now);
            if missing.is_empty() {
                break;
            }
            assert!(round < ROUNDS, "needs never becomes empty: {missing:?} of {input:?}");
            let generation = overlay.generation();
            for key in missing {
                let row = views.load(&key);
                assert!(overlay.insert(generation, key, row, now), "a fresh load is refused");
            }
        }
        overlay.decide(input, now)
    }

    /// The one door.
    pub fn ask(&mut self, shard: ShardId, input: &Input) -> Asked {
        let effects = self.decide(shard, input);
        let appended = effects.iter().take_while(|e| matches!(e, Effect::Append(_))).count();
        let late = effects[appended..].iter().any(|e| matches!(e, Effect::Append(_)));
        assert!(!late, "something is answered before it is appended: {effects:?}");
        let mut asked = Asked { reply: Ok(Answer::Done), entries: Vec::new(), wakes: Vec::new() };
        for effect in effects {
            match effect {
                Effect::Append(entry) => {
                    self.append(shard, &entry);
                    asked.entries.push(entry);
                }
                Effect::Reply(reply) => asked.reply = reply,
                Effect::Wake(wake) => asked.wakes.push(wake),
            }
        }
        self.carry(shard, input, &asked);
        asked
    }

    fn append(&mut self, shard: ShardId, entry: &Entry) {
        let home = self.home(shard);
        let at = home.overlay.position().plus(1);
        home.overlay.fold(at, entry);
        home.journal.push(entry.clone());
        assert_eq!(home.journal.len() as u64, at.0, "a position is skipped");
        match &entry.what {
            What::Resolved { again: true, messages } => {
                messages.iter().for_each(|id| self.wire.again(Reference::Message(*id)));
            }
            What::PartResolved { again: true, campaign, ranges } => {
                let indexes = kabar_engine::entry::Range::indexes(ranges);
                indexes.for_each(|i| self.wire.again(Reference::Campaign(*campaign, i)));
            }
            _ => {}
        }
        self.watch.heard(shard, entry);
    }

    /// Puts what an answer hands out on the wire.
    fn carry(&mut self, shard: ShardId, input: &Input, asked: &Asked) {
        match (&asked.reply, input) {
            (Ok(Answer::Transmit(list)), _) => {
                for outgoing in list {
                    self.wire.hand(outgoing.reference);
                    let Reference::Message(id) = outgoing.reference else { panic!("not a message") };
                    let row = self.homes[&shard].overlay.message(id).expect("what is claimed is known");
                    self.watch.may_leave(&row, self.now);
                    // An answer inside the window may go out to anybody.
                    if row.lane != kabar_engine::pacing::Lane::Reply {
                        self.watch.wants(shard, (row.tenant, &row.address), Timestamp(0));
                    }
                }
            }
            (Ok(Answer::Picked(list)), Input::PartClaim(claim)) => {
                for picked in list {
                    self.wire.hand(Reference::Campaign(claim.campaign, picked.index));
                    let recipient = &picked.chunk.recipients[picked.offset as usize];
                    let part = self.homes[&shard].overlay.part(claim.campaign, claim.part);
                    let frozen = part.expect("claimed from").start.launched.plus_ms(-60_000);
                    self.watch.wants(shard, (claim.tenant, &recipient.address), frozen);
                    let key = (claim.campaign, picked.index);
                    self.watch.recipient_may_leave(key, self.now);
                }
            }
            _ => {}
        }
    }

    /// Drains, writes everything, and says so.
    pub fn flush(&mut self, shard: ShardId) {
        let home = self.home(shard);
        let changes = home.overlay.drain();
        let mark = (home.overlay.position(), home.overlay.last_id());
        self.views.apply(shard, &changes, || true);
        self.views.positions.insert(shard, mark);
        self.home(shard).overlay.flushed();
        self.watch.outbox_is_the_open_messages(shard, &self.views);
    }

    /// A flush that is torn and then tried again by the same process.
    pub fn flush_twice(&mut self, shard: ShardId, mut keep: impl FnMut() -> bool) {
        let home = self.home(shard);
        let changes = home.overlay.drain();
        let mark = (home.overlay.position(), home.overlay.last_id());
        self.views.apply(shard, &changes, &mut keep);
        self.views.apply(shard, &changes, || true);
        self.views.positions.insert(shard, mark);
        self.home(shard).overlay.flushed();
    }

    /// A flush that is torn by a crash of the shard: what was written stays, its position does not.
    pub fn torn(&mut self, shard: ShardId, keep: impl FnMut() -> bool) {
        let changes = self.home(shard).overlay.drain();
        self.views.apply(shard, &changes, keep);
        self.reopen(shard);
    }

    /// Reads rows now that are told later.
    pub fn read_early(&mut self, shard: ShardId, keys: &[Key]) {
        let rows: Vec<(Key, Row)> = keys.iter().map(|k| (k.clone(), self.views.load(k))).collect();
        let home = self.home(shard);
        let generation = home.overlay.generation();
        home.early.extend(rows.into_iter().map(|(k, r)| (generation, k, r)));
    }

    /// Tells what was read early.
    pub fn tell_late(&mut self, shard: ShardId) {
        let now = self.now;
        let home = self.home(shard);
        for (generation, key, row) in std::mem::take(&mut home.early) {
            home.overlay.insert(generation, key, row, now);
        }
    }

    /// The live state as a restart makes it: views, what they say is unfinished, the tail.
    pub fn replica(&self, shard: ShardId) -> Overlay {
        let (position, last_id) = self.views.positions.get(&shard).copied().unwrap_or_default();
        let mut overlay = Overlay::bounded(shard, position, last_id, self.bounds);
        let (now, views) = (self.now, &self.views);
        for row in views.campaigns.range((shard, kabar_engine::id::CampaignId(0))..) {
            if row.0.0 == shard && row.1.is_live() {
                overlay.insert(0, Key::Campaign(row.1.id), Row::Campaign(row.1.clone()), now);
            }
        }
        for ((_, campaign, part), _) in views.parts.iter().filter(|(k, p)| k.0 == shard && !p.finished) {
            let key = Key::Part(*campaign, *part);
            overlay.insert(0, key.clone(), views.load(&key), now);
        }
        views.outbox.iter().filter(|(k, _)| k.0 == shard).for_each(|(_, l)| overlay.learn_outbox(*l, now));
        let journal = self.homes.get(&shard).map(|h| h.journal.as_slice()).unwrap_or_default();
        for (at, entry) in (1..).map(Position).zip(journal).filter(|(at, _)| *at > position) {
            for round in 0.. {
                let missing = overlay.needs_of(entry);
                if missing.is_empty() {
                    break;
                }
                assert!(round < ROUNDS, "needs_of never becomes empty: {missing:?}");
                missing.into_iter().for_each(|k| {
                    let row = views.load(&k);
                    overlay.insert(0, k, row, now);
                });
            }
            overlay.fold(at, entry);
        }
        overlay
    }

    /// The shard is dropped and taken again; calls under way go on.
    pub fn reopen(&mut self, shard: ShardId) {
        let overlay = self.replica(shard);
        let home = self.home(shard);
        home.overlay = overlay;
        home.early.clear();
    }

    /// The process dies: every shard is dropped, and nobody waits for the calls under way.
    pub fn crash(&mut self, mut taken: impl FnMut() -> bool) {
        for reference in self.wire.flying() {
            self.wire.landed(reference, Fate::Perhaps, taken());
        }
        for shard in self.homes.keys().copied().collect::<Vec<_>>() {
            self.reopen(shard);
        }
    }

    /// The desk a reference leaves from.
    pub fn desk_of(&self, reference: Reference) -> Desk {
        match reference {
            Reference::Message(id) => {
                let session = self.watch.session_of(id);
                *self.desks.iter().find(|d| d.session == session).expect("every session has a desk")
            }
            Reference::Campaign(campaign, index) => {
                let score = self.scores.iter().find(|s| s.campaign == campaign).expect("one of two");
                self.desks[score.parts[kabar_engine::part::part_of(index) as usize].desk]
            }
        }
    }

    /// Checks everything that must hold at any time.
    pub fn check(&mut self) {
        for shard in self.homes.keys().copied().collect::<Vec<_>>() {
            let live = self.watch.picture(shard, &self.homes[&shard].overlay, &self.views);
            let replica = self.replica(shard);
            let again = self.watch.picture(shard, &replica, &self.views);
            for (overlay, picture, name) in
                [(&self.homes[&shard].overlay, &live, "live"), (&replica, &again, "replayed")]
            {
                assert_eq!(overlay.impossible(), 0, "{name}: an entry made no sense");
                picture.assert_sound(overlay, &self.desks, name);
            }
            again.assert_same(&live);
            assert_eq!(replica.last_id(), self.homes[&shard].overlay.last_id(), "ids could be given twice");
            self.watch.is_honest(&live, &self.wire.flying());
            self.watch.only_forward(&live);
        }
    }
}
