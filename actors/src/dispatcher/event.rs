//! A tenant's events in the order in which Kabar learned them: the journal read in batches, each entry in the engine's
//! words, and what only the live state knows filled in. Keeps nothing: where a reader stands is the reader's.

use super::{DispatchError, Dispatcher};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::event::{About, Draft, Kind, OfMessage, drafts};
use kabar_engine::id::{CampaignId, EventId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Key, Overlay};
use kabar_engine::part::{PartRow, part_of};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, ShardSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Entries that are read at once.
const BATCH: usize = 512;
/// Entries that one question may go through; a rare kind of event then takes several questions.
const SCAN_MAX: usize = 10_000;

/// Which events are asked for.
#[derive(Debug, Clone)]
pub struct EventAsk {
    /// Whose.
    pub tenant: TenantId,
    /// Behind this place; from the oldest on when not said.
    pub after: Option<EventPlace>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Only these kinds; all when not said.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Only this number's.
    pub session: Option<SessionId>,
    /// At most so many.
    pub limit: usize,
}

/// How far a reader of events has come: the entries read of each shard, and how far into the entry behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPlace {
    /// Entries that were read to their end.
    pub cursor: Cursor,
    /// Of the entry behind: how many of its places were passed. Absent: none.
    pub inside: BTreeMap<ShardId, u32>,
}

impl EventPlace {
    /// How many places of the entry at `position` were passed.
    fn passed(&self, shard: ShardId, position: Position) -> u32 {
        let next = self.cursor.at(shard).plus(1) == position;
        self.inside.get(&shard).copied().filter(|_| next).unwrap_or(0)
    }

    fn pass(&mut self, shard: ShardId, position: Position) {
        if position > self.cursor.at(shard) {
            self.cursor.advance(shard, position);
            self.inside.remove(&shard);
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name: the same at every reading.
    pub id: EventId,
    /// Its entry's position in its shard; rises within a session and within a campaign.
    pub seq: u64,
    /// When Kabar learned it.
    pub at: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// To whom or what.
    pub about: About,
}

impl Event {
    /// The number it belongs to.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match &self.about {
            About::Message(of) => of.session,
            About::Conversation { session, .. } => Some(*session),
            About::Notice(notice) => notice.session,
            _ => None,
        }
    }
}

/// Some events.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// In the order in which Kabar learned them.
    pub events: Vec<Event>,
    /// Where to go on.
    pub next: EventPlace,
    /// Whether going on now may give more.
    pub more: bool,
}

/// Why there are no events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The place is none a reader can have come to.
    #[error("no such place")]
    NoSuchPlace,
    /// What followed the place is no longer kept.
    #[error("the place is older than what is kept")]
    Expired,
    /// Something else.
    #[error(transparent)]
    Failed(#[from] DispatchError),
}

impl From<StoreError> for EventError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

type Line = (ShardId, Position, Arc<Entry>);

/// Parts that were looked up, also in vain.
type Parts = BTreeMap<(CampaignId, u32), Option<Arc<PartRow>>>;

/// What one shard is asked for.
#[derive(Debug, Default)]
struct Lookup {
    messages: BTreeSet<MessageId>,
    parts: BTreeSet<(CampaignId, u32)>,
}

/// A walk along the journal.
struct Walk<'a> {
    ask: &'a EventAsk,
    place: EventPlace,
    found: Vec<Event>,
    /// Events that are to be filled in, each with its shard.
    waiting: Vec<(ShardId, Event)>,
    parts: Parts,
}

impl Walk<'_> {
    fn room(&self) -> bool {
        self.found.len() + self.waiting.len() < self.ask.limit
    }

    /// Whether an entry can have events that are asked for. All that is of a session lies in its shard.
    fn fits(&self, shard: ShardId, entry: &Entry) -> bool {
        let EventAsk { tenant, since, session, .. } = self.ask;
        entry.tenant == *tenant
            && since.is_none_or(|since| entry.at >= since)
            && session.is_none_or(|session| ShardId::of_session(*tenant, session) == shard)
    }

    /// Goes through one entry; `false` when it has a further event and there is no room for it.
    fn step(&mut self, (shard, position, entry): &Line) -> bool {
        if self.fits(*shard, entry) {
            let from = self.place.passed(*shard, *position);
            for Draft { index, kind, about } in drafts(entry).skip_while(|draft| draft.index < from) {
                if self.ask.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&kind)) {
                    continue;
                }
                if !self.room() {
                    return false;
                }
                let id = EventId::of(*shard, position.0, index);
                self.place.inside.insert(*shard, index + 1);
                self.waiting.push((*shard, Event { id, seq: position.0, at: entry.at, kind, about }));
            }
        }
        self.place.pass(*shard, *position);
        true
    }

    /// Takes what is complete now.
    fn settle(&mut self) {
        let session = self.ask.session;
        let whole = self.waiting.drain(..).map(|(_, event)| event);
        self.found.extend(whole.filter(|event| session.is_none_or(|of| event.session() == Some(of))));
    }

    /// Shards whose live state must be asked, and for what.
    fn unknown(&self) -> BTreeMap<ShardId, Lookup> {
        let mut unknown: BTreeMap<ShardId, Lookup> = BTreeMap::new();
        for (shard, event) in &self.waiting {
            let About::Message(of) = &event.about else { continue };
            match of.as_ref() {
                OfMessage { session: None, message: Some(id), .. } => {
                    unknown.entry(*shard).or_default().messages.insert(*id);
                }
                OfMessage { recipient: Some((campaign, index)), .. } => {
                    let part = (*campaign, part_of(*index));
                    if !self.parts.contains_key(&part) {
                        unknown.entry(*shard).or_default().parts.insert(part);
                    }
                }
                _ => {}
            }
        }
        unknown
    }

    fn fill(&mut self, rows: &BTreeMap<MessageId, Arc<MessageRow>>) {
        for (_, event) in &mut self.waiting {
            let About::Message(of) = &mut event.about else { continue };
            if let Some((campaign, index)) = of.recipient {
                let part = self.parts.get(&(campaign, part_of(index))).cloned().flatten();
                of.message = part.as_ref().and_then(|part| part.message(index));
                of.session = part.map(|part| part.start.session);
            } else if of.session.is_none()
                && let Some(row) = of.message.and_then(|id| rows.get(&id))
            {
                of.session = Some(row.session);
                of.conversation = Some(row.conversation);
                of.address = Some(row.address.clone());
                of.recipient = row.campaign;
                of.tag = row.tag.clone();
            }
        }
    }
}

impl Dispatcher {
    /// A tenant's events behind a place, in the order in which Kabar learned them.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn events(&self, ask: &EventAsk) -> Result<EventPage, EventError> {
        let begin = match &ask.after {
            Some(after) => self.known(after)?.clone(),
            None => EventPlace { cursor: self.floor().await?, inside: BTreeMap::new() },
        };
        self.events_of(ask, &ShardSet::all(), &begin).await
    }

    /// One event by its name; `None` when it is none of the tenant's.
    ///
    /// # Errors
    /// [`EventError::Expired`] when it is no longer kept.
    pub async fn event(&self, tenant: TenantId, id: EventId) -> Result<Option<Event>, EventError> {
        let (shard, position, index) = id.place();
        let Some(before) = position.checked_sub(1) else { return Ok(None) };
        let after = Cursor::from_iter([(shard, Position(before))]);
        let page = self.0.store().journal.read(&ShardSet::one(shard), &after, 1).await?;
        if self.floor().await?.at(shard) >= Position(position) {
            return Err(EventError::Expired);
        }
        let entry = page.entries.first().filter(|(_, at, entry)| at.0 == position && entry.tenant == tenant);
        let Some((_, _, entry)) = entry else { return Ok(None) };
        let Some(draft) = drafts(entry).find(|draft| draft.index == index) else { return Ok(None) };
        let event = Event { id, seq: position, at: entry.at, kind: draft.kind, about: draft.about };
        let (after, since, kinds, session) = (None, None, None, None);
        let ask = EventAsk { tenant, after, since, kinds, session, limit: 1 };
        let (place, found, waiting) = (EventPlace::default(), Vec::new(), vec![(shard, event)]);
        let mut walk = Walk { ask: &ask, place, found, waiting, parts: BTreeMap::new() };
        self.fill_in(&mut walk).await?;
        Ok(walk.found.pop())
    }

    /// As [`Dispatcher::events`], of these shards alone, from a place that is known to be one.
    pub(super) async fn events_of(
        &self,
        ask: &EventAsk,
        shards: &ShardSet,
        begin: &EventPlace,
    ) -> Result<EventPage, EventError> {
        let (found, waiting, parts) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut walk = Walk { ask, place: begin.clone(), found, waiting, parts };
        let more = self.walk(&mut walk, shards).await?;
        self.kept(begin).await?;
        Ok(EventPage { events: walk.found, next: walk.place, more })
    }

    /// Whether everything behind a place is still there. Asked after a read: what was retired while it read may be
    /// what it missed.
    async fn kept(&self, begin: &EventPlace) -> Result<(), EventError> {
        let gone = self.floor().await?.0;
        let lost = gone.iter().any(|(shard, gone)| *gone > begin.cursor.at(*shard));
        if lost { Err(EventError::Expired) } else { Ok(()) }
    }

    pub(super) async fn floor(&self) -> Result<Cursor, EventError> {
        Ok(self.0.store().journal.floor().await?)
    }

    /// A place that a reader can have come to: no shard stands before it.
    pub(super) fn known<'a>(&self, place: &'a EventPlace) -> Result<&'a EventPlace, EventError> {
        let inside = place.inside.keys().map(|shard| (*shard, place.cursor.at(*shard).plus(1)));
        for (shard, position) in place.cursor.0.iter().map(|(s, p)| (*s, *p)).chain(inside) {
            if position > self.0.shard(shard).peek(Overlay::position) {
                return Err(EventError::NoSuchPlace);
            }
        }
        Ok(place)
    }

    /// Walks until the page is full and more is known to follow, nothing is left, or enough was gone through. Tells
    /// whether there may be more.
    async fn walk(&self, walk: &mut Walk<'_>, shards: &ShardSet) -> Result<bool, EventError> {
        let mut scanned = 0;
        loop {
            let page = self.0.store().journal.read(shards, &walk.place.cursor, BATCH).await?;
            scanned += page.entries.len();
            let mut lines = page.entries.iter();
            let mut line = lines.next();
            while let Some(now) = line {
                if walk.step(now) {
                    line = lines.next();
                    continue;
                }
                self.fill_in(walk).await?;
                if !walk.room() {
                    return Ok(true);
                }
            }
            // Also what the journal passed without giving it.
            page.cursor.0.iter().for_each(|(shard, position)| walk.place.pass(*shard, *position));
            if page.end || scanned >= SCAN_MAX {
                self.fill_in(walk).await?;
                return Ok(!page.end);
            }
        }
    }

    /// Fills in what the entries do not say: one look at each shard that knows more.
    async fn fill_in(&self, walk: &mut Walk<'_>) -> Result<(), EventError> {
        let tenant = walk.ask.tenant;
        let mut rows = BTreeMap::new();
        for (shard, Lookup { messages, parts }) in walk.unknown() {
            let keys = messages.iter().map(|id| Key::Message(*id));
            let keys: Vec<Key> = keys.chain(parts.iter().map(|(c, part)| Key::Part(*c, *part))).collect();
            let look = move |o: &Overlay| {
                let rows: Vec<_> = messages.iter().filter_map(|id| o.message(*id)).collect();
                let parts: Vec<_> = parts.iter().map(|(c, part)| ((*c, *part), o.part(*c, *part))).collect();
                (rows, parts)
            };
            let (found, parts) = self.0.shard(shard).read(&keys, look).await.map_err(DispatchError::from)?;
            rows.extend(found.into_iter().filter(|row| row.tenant == tenant).map(|row| (row.id, row)));
            let own = |row: Option<Arc<PartRow>>| row.filter(|row| row.tenant == tenant);
            walk.parts.extend(parts.into_iter().map(|(part, row)| (part, own(row))));
        }
        walk.fill(&rows);
        walk.settle();
        Ok(())
    }
}
