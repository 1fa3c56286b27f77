//! Following a tenant's events as they come: a place that moves on, woken when the tenant's shards have something new.
//! Reads nothing that is not the tenant's once it has caught up. What became of an event is the follower's matter.

use super::event::{EventAsk, EventError, EventPage, EventPlace};
use super::{DispatchError, Dispatcher, RETRY_MS};
use crate::tide::Watching;
use kabar_engine::time::Timestamp;
use kabar_schema::journal::ShardSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Followers that one tenant may have by the API.
const FOLLOWERS_MAX: usize = 128;
/// A follower of a silent tenant moves its place on this often, so that it never grows older than what is kept.
const STALE: Duration = Duration::from_secs(60);

/// Where a follower begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// With what comes from now on.
    Now,
    /// With the oldest that is kept.
    Oldest,
    /// Behind this place.
    After(EventPlace),
}

/// A reader that follows.
pub struct Follower {
    dispatcher: Dispatcher,
    watching: Watching,
    ask: EventAsk,
    place: EventPlace,
    /// Whether everything was read once; before that what is behind is not known by the tide.
    caught_up: bool,
}

impl Dispatcher {
    /// Begins to follow what is asked for; `ask.limit` is the size of a page.
    ///
    /// # Errors
    /// [`EventError`]; overloaded when the tenant has too many followers.
    pub async fn follow(&self, ask: EventAsk, from: Follow) -> Result<Follower, EventError> {
        let watching = self.0.tide().watch(ask.tenant, FOLLOWERS_MAX);
        let overloaded = DispatchError::Overloaded { retry_after_ms: RETRY_MS };
        self.follower(ask, from, watching.ok_or(overloaded)?).await
    }

    /// As [`Dispatcher::follow`], for those that this house itself keeps few.
    pub(crate) async fn follow_unbounded(&self, ask: EventAsk, from: Follow) -> Result<Follower, EventError> {
        let watching = self.0.tide().watch(ask.tenant, usize::MAX);
        let overloaded = DispatchError::Overloaded { retry_after_ms: RETRY_MS };
        self.follower(ask, from, watching.ok_or(overloaded)?).await
    }

    async fn follower(
        &self,
        ask: EventAsk,
        from: Follow,
        watching: Watching,
    ) -> Result<Follower, EventError> {
        let place = match from {
            Follow::Now => EventPlace { cursor: self.0.tips(), ..EventPlace::default() },
            Follow::Oldest => EventPlace { cursor: self.floor().await?, ..EventPlace::default() },
            Follow::After(place) => self.known(&place)?.clone(),
        };
        let dispatcher = self.clone();
        Ok(Follower { dispatcher, watching, ask, place, caught_up: false })
    }
}

impl Follower {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &EventPlace {
        &self.place
    }

    /// Goes on behind another place.
    ///
    /// # Errors
    /// [`EventError::NoSuchPlace`].
    pub fn seek(&mut self, place: EventPlace) -> Result<(), EventError> {
        self.place = self.dispatcher.known(&place)?.clone();
        self.caught_up = false;
        Ok(())
    }

    /// What is there now; empty when nothing is new. Its `more` says that the next look finds more.
    ///
    /// # Errors
    /// [`EventError`]; the follower stands where it stood.
    pub async fn look(&mut self) -> Result<EventPage, EventError> {
        // In this order: of the tenant's, whatever lies up to these tips has risen in the tide before.
        let tips = self.dispatcher.0.tips();
        let behind = self.watching.behind(&self.place.cursor);
        let shards = if self.caught_up { behind } else { ShardSet::all() };
        let mut page = if shards.is_empty() {
            EventPage { events: Vec::new(), next: self.place.clone(), more: false }
        } else {
            self.dispatcher.events_of(&self.ask, &shards, &self.place).await?
        };
        if !page.more {
            self.caught_up = true;
            for (shard, tip) in tips.0 {
                if tip > page.next.cursor.at(shard) {
                    page.next.cursor.advance(shard, tip);
                    page.next.inside.remove(&shard);
                }
            }
        }
        self.place = page.next.clone();
        Ok(page)
    }

    /// Waits until there are events, and gives them. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`EventError`]; the follower stands where it stood.
    pub async fn next(&mut self) -> Result<EventPage, EventError> {
        loop {
            let before = self.place.clone();
            let page = self.look().await?;
            if !page.events.is_empty() {
                return Ok(page);
            }
            debug_assert!(!page.more || page.next != before, "there is more, and the place did not move on");
            if !page.more {
                // A look after a while finds nothing new and moves the place on.
                let _ = timeout(STALE, self.watching.risen()).await;
            }
        }
    }

    /// Rings when there is something to look at.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.watching.bell()
    }

    /// At most so many events at once, from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.ask.limit = limit;
    }

    /// Goes back to the oldest that is kept, and passes what is from before this moment.
    pub(crate) async fn rewind(&mut self, since: Option<Timestamp>) -> Result<(), EventError> {
        let cursor = self.dispatcher.floor().await?;
        self.place = EventPlace { cursor, ..EventPlace::default() };
        (self.ask.since, self.caught_up) = (since, false);
        Ok(())
    }
}
