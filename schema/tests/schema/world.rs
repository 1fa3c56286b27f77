//! A small world of rows that change as an overlay would change them: static columns stay, positions rise,
//! outbox lines follow their messages. Gives flushes; knows no store.

use kabar_engine::address::Address;
use kabar_engine::campaign::{CampaignRow, Verb};
use kabar_engine::cause::Cause;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::content::Content;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{ConsentSource, ConversationOpened, Frozen, Intent, Outcome, PartLine, Position};
use kabar_engine::id::{
    CampaignId, CommandId, ConversationId, MessageId, Sequence, SessionId, ShardId, TenantId,
};
use kabar_engine::mark::MarksRow;
use kabar_engine::message::MessageRow;
use kabar_engine::optout::Wish;
use kabar_engine::overlay::{
    AddressRow, Changes, DiscoveredRow, IdempotencyRow, Key, OutboxKey, OutboxLine, RunRow, SeenRow,
};
use kabar_engine::pacing::Lane;
use kabar_engine::part::{CHUNKS, ChunkLine, PartRow, PartStart};
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use kabar_schema::views::{ShardFlush, ShardMark};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const BEGIN: Timestamp = Timestamp(1_790_000_000_000);
/// Words that must never be readable on disk.
pub const SECRET: &str = "rahasia-9f3a";

/// One change: what, where, which of them, and how.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub kind: u8,
    pub place: u8,
    pub slot: u8,
    pub seed: u8,
}

pub const KINDS: u8 = 12;

/// A session with its tenant and shard.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub tenant: TenantId,
    pub session: SessionId,
    pub shard: ShardId,
}

/// Four sessions of two tenants.
pub fn place(number: u8) -> Place {
    let number = u64::from(number % 4);
    let (tenant, session) = (TenantId(1 + number % 2), SessionId(10 + number));
    Place { tenant, session, shard: ShardId::of_session(tenant, session) }
}

pub fn phone(number: u32) -> Address {
    Address::phone_digits(&format!("62812{number:08}")).unwrap()
}

type Slot = (u8, u8);

#[derive(Default)]
pub struct World {
    tick: i64,
    positions: BTreeMap<ShardId, u64>,
    sequences: BTreeMap<ShardId, Sequence>,
    pending: BTreeMap<ShardId, Changes>,
    pub messages: BTreeMap<u8, Vec<MessageRow>>,
    pub conversations: BTreeMap<Slot, ConversationRow>,
    campaigns: BTreeMap<Slot, CampaignRow>,
    pub parts: BTreeMap<Slot, PartRow>,
    marks: BTreeMap<Slot, MarksRow>,
    runs: Vec<RunRow>,
    filed: BTreeMap<MessageId, OutboxKey>,
}

fn put<T>(list: &mut Vec<Arc<T>>, row: T, same: impl Fn(&T) -> bool) {
    list.retain(|old| !same(old));
    list.push(Arc::new(row));
}

impl World {
    pub fn now(&self) -> Timestamp {
        BEGIN.plus_ms(self.tick * 1_700)
    }

    fn next(&mut self, place: Place) -> Position {
        self.tick += 1;
        let position = self.positions.entry(place.shard).or_default();
        *position += 1;
        Position(*position)
    }

    fn id(&mut self, place: Place) -> u64 {
        let now = self.now();
        self.sequences.entry(place.shard).or_default().next(place.shard, now)
    }

    fn changes(&mut self, place: Place) -> &mut Changes {
        self.pending.entry(place.shard).or_default()
    }

    pub fn step(&mut self, step: Step) {
        let Step { kind, place: number, slot, seed } = step;
        match kind % KINDS {
            0 => self.message(number, slot, seed),
            1 => self.status(number, slot, seed),
            2 => self.conversation(number, slot, seed),
            3..=5 => self.hash(kind % KINDS, number, slot, seed),
            6 => self.campaign(number, slot, seed),
            7 => self.part(number, slot, seed),
            8 => self.mark(number, slot, seed),
            9 => self.run(number, slot),
            10 => self.consent(number, slot, seed),
            _ => self.discover(number, slot, seed),
        }
    }

    /// The conversation of a slot, made when it is not there.
    fn opened(&mut self, number: u8, slot: u8) -> ConversationRow {
        let key = (number % 4, slot % 3);
        if !self.conversations.contains_key(&key) {
            let place = place(number);
            let id = ConversationId(self.id(place));
            let address = phone(u32::from(slot % 3));
            let opened = ConversationOpened { id, session: place.session, address };
            self.conversations.insert(key, ConversationRow::begin(place.tenant, &opened));
        }
        self.conversations[&key].clone()
    }

    fn keep_conversation(&mut self, number: u8, slot: u8, mut row: ConversationRow) {
        let place = place(number);
        row.upto = self.next(place);
        self.conversations.insert((number % 4, slot % 3), row.clone());
        let id = row.id;
        put(&mut self.changes(place).conversations, row, |old| old.id == id);
    }

    fn conversation(&mut self, number: u8, slot: u8, seed: u8) {
        let mut row = self.opened(number, slot);
        let name = (!seed.is_multiple_of(3)).then(|| format!("{SECRET} nama {seed}"));
        row.heard(self.now(), name.as_deref());
        if seed.is_multiple_of(5) && row.aliases.len() < 3 {
            row.aliases.push(Address::user_id(&format!("ID.{seed}{}", row.aliases.len())).unwrap());
        }
        self.keep_conversation(number, slot, row);
    }

    fn message(&mut self, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let mut conversation = self.opened(number, slot);
        let id = MessageId(self.id(place));
        let (prev, how_manieth) = conversation.joined(id);
        let content = match seed % 4 {
            0 => Content::plain(&format!("{SECRET} halo {seed} — ünï")),
            1 => Content::Other { kind: "order".into(), value: serde_json::json!({"n": seed, "s": SECRET}) },
            2 => Content::plain(&"panjang ".repeat(usize::from(seed))),
            _ => Content::plain(""),
        };
        let now = self.now();
        let intent = Intent {
            id,
            session: place.session,
            conversation: conversation.id,
            to: conversation.address.clone(),
            content: Arc::new(content),
            lane: Lane::ALL[usize::from(seed % 3)],
            due: now.plus_ms(i64::from(seed) * 7_000),
            valid_until: now.plus_ms(3_600_000),
            context: (seed % 6 == 1).then(|| "wamid.before".into()),
            idempotency: None,
            by: None,
            tag: (seed % 5 == 2).then(|| format!("{SECRET} \"81\"}}").into()),
            identity: (seed % 4 == 1).then(|| format!("{SECRET}=").into()),
        };
        let mut row = MessageRow::accepted(place.tenant, now, &intent);
        (row.prev, row.number) = (prev, how_manieth);
        if seed % 7 == 6 {
            (row.content, row.tag, row.beside) = (None, None, None);
            row.campaign = Some((CampaignId(77), u32::from(seed)));
        }
        self.keep_conversation(number, slot, conversation);
        row.upto = Position(self.positions[&place.shard]);
        self.messages.entry(number % 4).or_default().push(row.clone());
        put(&mut self.changes(place).messages, row, |old| old.id == id);
    }

    fn status(&mut self, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let upto = self.next(place);
        let now = self.now();
        let Some(list) = self.messages.get_mut(&(number % 4)) else { return };
        let at = usize::from(slot) % list.len();
        let row = &mut list[at];
        match seed % 8 {
            0 => row.claimed(now),
            1 => row.released(),
            2 => row.parked(now),
            3 => row.answered(now, &Outcome::Accepted(format!("wamid.{seed}").into())),
            4 => row.answered(now, &Outcome::Retry { due: now.plus_ms(90_000), cause: Cause(130_429) }),
            5 => row.heard(Status::Delivered, now, None),
            6 => row.heard(Status::Failed, now, Some(Cause(131_026))),
            _ => row.resolved(now, seed > 100),
        }
        row.upto = upto;
        let row = row.clone();
        let id = row.id;
        put(&mut self.changes(place).messages, row, |old| old.id == id);
    }

    fn hash(&mut self, kind: u8, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let (upto, at) = (self.next(place), self.now());
        let Place { tenant, session, .. } = place;
        let message = MessageId(u64::from(seed));
        let changes = self.changes(place);
        match kind {
            3 => {
                let address = phone(u32::from(slot));
                let conversation = ConversationId(u64::from(seed));
                let row = AddressRow { tenant, session, address: address.clone(), conversation, upto };
                put(&mut changes.addresses, row, |old| old.session == session && old.address == address);
            }
            4 => {
                let hash = (u64::MAX >> 1) - u64::from(slot);
                let row = SeenRow { session, hash, message, at, upto };
                put(&mut changes.seen, row, |old| old.session == session && old.hash == hash);
            }
            _ => {
                let key = u128::MAX - u128::from(slot);
                let row = IdempotencyRow { session, key, body: u128::from(seed), message, at, upto };
                put(&mut changes.idempotency, row, |old| old.session == session && old.key == key);
            }
        }
    }

    pub fn campaign_id(number: u8, slot: u8) -> CampaignId {
        CampaignId(1_000 + u64::from(number % 4) * 10 + u64::from(slot % 3))
    }

    fn campaign(&mut self, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let (upto, now) = (self.next(place), self.now());
        let id = Self::campaign_id(number, slot);
        let row = self
            .campaigns
            .entry((number % 4, slot % 3))
            .or_insert_with(|| CampaignRow::launched(place.tenant, id, now, CommandId(1)));
        let command = CommandId(upto.0 + 10);
        match seed % 6 {
            0 => row.moved(Verb::Pause, command, now),
            1 => row.moved(Verb::Resume, command, now),
            2 => row.moved(Verb::Cancel, command, now),
            3 => row.obeyed(row.command, &[0, u32::from(seed)]),
            4 => row.finish(now),
            _ => row.freeze(&Frozen {
                campaign: id,
                attempt: 1,
                audience: 3_000_000_000,
                opted_out: 7,
                missing_variable: 0,
                frequency_capped: 0,
                parts: vec![PartLine { session: place.session, recipients: u32::from(seed) }; 2],
                digest: [seed; 32],
            }),
        }
        row.upto = upto;
        let row = row.clone();
        put(&mut self.changes(place).campaigns, row, |old| old.id == id);
    }

    fn begun(&mut self, number: u8, slot: u8) -> PartRow {
        let place = place(number);
        let now = self.now();
        let line =
            |n: u32| ChunkLine { first: phone(n * 512), count: 4 + n, base: MessageId(u64::from(n) << 30) };
        let start = PartStart {
            campaign: Self::campaign_id(number, slot),
            part: u32::from(slot % 3),
            attempt: 2,
            session: place.session,
            launched: now,
            valid_until: now.plus_ms(1_000_000),
            chunks: (0..2).map(line).collect(),
            command: CommandId(4),
        };
        self.parts
            .entry((number % 4, slot % 3))
            .or_insert_with(|| PartRow::begin(place.tenant, start))
            .clone()
    }

    fn part(&mut self, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let mut row = self.begun(number, slot);
        row.upto = self.next(place);
        match seed % 4 {
            0 => row.finished = true,
            1 => row.moved(Verb::Pause, CommandId(row.upto.0 + 10)),
            2 => row.moved(Verb::Cancel, CommandId(row.upto.0 + 10)),
            _ => row.moved(Verb::Resume, CommandId(row.upto.0 + 10)),
        }
        self.parts.insert((number % 4, slot % 3), row.clone());
        let key = (row.start.campaign, row.start.part);
        put(&mut self.changes(place).parts, row, |old| (old.start.campaign, old.start.part) == key);
    }

    fn mark(&mut self, number: u8, slot: u8, seed: u8) {
        let place = place(number);
        let upto = self.next(place);
        let campaign = Self::campaign_id(number, slot);
        let chunk = u32::from(slot % 3) * CHUNKS + u32::from(seed % 2);
        let row = self
            .marks
            .entry((number % 4, (slot % 3) * 2 + seed % 2))
            .or_insert_with(|| MarksRow::fresh((place.tenant, campaign), place.shard, chunk, 512));
        let at = u32::from(seed);
        let mut mark = row.get(at).expect("a chunk has 512 marks");
        mark.claimed();
        row.set(at, mark);
        row.upto = upto;
        let row = row.clone();
        put(&mut self.changes(place).marks, row, |old| old.campaign == campaign && old.chunk == chunk);
    }

    fn run(&mut self, number: u8, slot: u8) {
        let place = place(number);
        let (upto, now) = (self.next(place), self.now());
        let count = 300;
        let base = MessageId(self.sequences.entry(place.shard).or_default().run(place.shard, now, count));
        let campaign = Self::campaign_id(number, slot);
        let row = RunRow { tenant: place.tenant, base, count, campaign, part: 0, chunk: 1, upto };
        self.runs.push(row.clone());
        put(&mut self.changes(place).runs, row, |old| old.base == base);
    }

    fn consent(&mut self, number: u8, slot: u8, seed: u8) {
        let Place { tenant, shard, .. } = place(number);
        let (upto, at) = (self.next(place(number)), self.now());
        let address = phone(u32::from(slot % 4));
        let wish = if seed.is_multiple_of(2) { Wish::OptOut } else { Wish::OptIn };
        let source = if seed > 99 { ConsentSource::Api } else { ConsentSource::Word };
        let row = SuppressedRow { tenant, address: address.clone(), shard, wish, at, source, upto };
        put(&mut self.changes(place(number)).suppressed, row, |old| {
            old.tenant == tenant && old.address == address
        });
    }

    fn discover(&mut self, number: u8, slot: u8, seed: u8) {
        let Place { tenant, session, .. } = place(number);
        let (upto, at) = (self.next(place(number)), self.now());
        let address = phone(u32::from(slot % 4));
        let name = (seed > 50).then(|| format!("{SECRET} orang {seed}"));
        let row = DiscoveredRow { tenant, address: address.clone(), name, session, at, upto };
        let list = &mut self.changes(place(number)).discovered;
        // An overlay puts an unknown sender once.
        if !list.iter().any(|old| old.tenant == tenant && old.address == address) {
            list.push(Arc::new(row));
        }
    }

    /// What changed since the last flush, one flush a shard.
    pub fn flush(&mut self) -> Vec<ShardFlush> {
        let pending = std::mem::take(&mut self.pending);
        let mut flushes = Vec::new();
        for (shard, mut changes) in pending {
            let lines: Vec<OutboxLine> = changes.messages.iter().flat_map(|m| self.refile(m)).collect();
            changes.outbox = lines;
            let open = self.filed.iter().filter(|(message, _)| message.shard() == shard);
            changes.outbox_floor = open.map(|(_, key)| key.minute).min();
            let position = Position(self.positions[&shard]);
            let last_id = self.sequences.get(&shard).map_or(0, Sequence::last);
            flushes.push(ShardFlush { mark: ShardMark { shard, position, last_id }, changes });
        }
        flushes
    }

    /// As the overlay files an open message.
    fn refile(&mut self, message: &MessageRow) -> Vec<OutboxLine> {
        let now = message.is_open().then(|| OutboxKey::of(message));
        let was = match now {
            Some(key) => self.filed.insert(message.id, key),
            None => self.filed.remove(&message.id),
        };
        let gone = was.filter(|was| Some(*was) != now).map(OutboxLine::Gone);
        let open = now.map(|key| OutboxLine::Open {
            key,
            tenant: message.tenant,
            session: message.session,
            stage: message.stage,
            valid_until: message.valid_until,
        });
        gone.into_iter().chain(open).collect()
    }

    /// The shards of all places.
    pub fn shards() -> Vec<ShardId> {
        (0..4).map(|n| place(n).shard).collect()
    }

    /// Every key a store could be asked for, present or not.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for row in self.messages.values().flatten() {
            keys.extend([Key::Message(row.id), Key::Run(row.id), Key::Message(MessageId(row.id.0 + 1))]);
        }
        keys.extend(self.conversations.values().map(|row| Key::Conversation(row.id)));
        for run in &self.runs {
            let ids =
                [MessageId(run.base.0 - 1), run.base, run.base.plus(run.count - 1), run.base.plus(run.count)];
            keys.extend(ids.map(Key::Run));
        }
        for number in 0..4_u8 {
            let Place { tenant, session, .. } = place(number);
            keys.push(Key::SessionParts(session));
            for slot in 0..8_u8 {
                keys.push(Key::Address(session, phone(u32::from(slot))));
                keys.push(Key::Seen(session, (u64::MAX >> 1) - u64::from(slot)));
                keys.push(Key::Idempotency(session, u128::MAX - u128::from(slot)));
                keys.push(Key::Consent(tenant, phone(u32::from(slot))));
                let campaign = Self::campaign_id(number, slot);
                keys.push(Key::Campaign(campaign));
                keys.push(Key::Part(campaign, u32::from(slot % 3)));
                keys.push(Key::Marks(campaign, u32::from(slot % 3) * CHUNKS));
            }
        }
        keys
    }
}

/// A fixed long walk through every kind.
pub fn walk(steps: u32) -> impl Iterator<Item = Step> {
    (0..steps).map(|n| {
        // A multiplicative walk: every kind at every place, without a generator's state.
        let mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9).to_be_bytes();
        Step { kind: mixed[0] % KINDS, place: mixed[1], slot: mixed[2] % 8, seed: mixed[3] }
    })
}
