//! Reading a message's entries: on from its begin, in jumps to the moments it remembers where too much lies between,
//! bounded in entries and in time.

use super::{
    MARGIN_MS, MessageRow, Missing, PROVIDER_MS, ShardId, Status, TAIL_MAX, Timestamp, WINDOW_MAX, Why, seek,
};
use crate::dispatcher::DispatchError;
use crate::node::Node;
use kabar_engine::entry::Position;
use kabar_schema::journal::{Cursor, ShardSet};
use std::sync::Arc;

/// Entries that are read at once.
const BATCH: u64 = 512;
/// Entries that one question may read.
const READ_MAX: usize = 60_000;
/// Milliseconds that one question may read.
const TIME_MS: u64 = 3_000;

/// A reader of one message's entries.
pub(super) struct Reading<'a> {
    node: &'a Arc<Node>,
    shard: ShardId,
    /// Nothing behind it is of interest.
    end: Position,
    /// Up to where it has read.
    at: Position,
    /// Where it began.
    first: Position,
    left: usize,
    until_ms: u64,
    /// What was read.
    pub(super) why: Why,
    /// What is known to be missing.
    pub(super) missing: Option<Missing>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(node: &'a Arc<Node>, shard: ShardId, end: Position, why: Why) -> Self {
        let until_ms = u64::try_from(node.clock().now_ms()).unwrap_or(0) + TIME_MS;
        let at = Position::default();
        Self { node, shard, end, at, first: at, left: READ_MAX, until_ms, why, missing: None }
    }

    async fn place(&self, at: Timestamp) -> Result<Position, DispatchError> {
        Ok(seek(&*self.node.store().journal, self.shard, at, self.end).await?)
    }

    /// Begins at this moment.
    pub(super) async fn begin(&mut self, at: Timestamp) -> Result<(), DispatchError> {
        self.at = self.place(at).await?;
        self.first = self.at;
        Ok(())
    }

    /// Goes on at this moment, if that lies ahead.
    pub(super) async fn jump(&mut self, at: Timestamp) -> Result<(), DispatchError> {
        let place = self.place(at).await?;
        self.jump_to(place);
        Ok(())
    }

    fn jump_to(&mut self, place: Position) {
        if place > self.at {
            self.why.skip();
            self.at = place;
        }
    }

    /// Whether all that lies ahead may be read.
    pub(super) fn fits(&self) -> bool {
        self.end.0 - self.at.0.min(self.end.0) <= self.left as u64
    }

    /// Whether something was left out that can still be of the message, or of those it waits among.
    pub(super) fn is_cut(&self) -> bool {
        self.at < self.end && !self.why.is_settled()
    }

    /// Reads on: to the end, at most so many entries, or until it is enough.
    pub(super) async fn on(
        &mut self,
        most: usize,
        enough: impl Fn(&Why) -> bool,
    ) -> Result<(), DispatchError> {
        let (one, mut most) = (ShardSet::one(self.shard), most);
        while self.at < self.end && !enough(&self.why) {
            let now_ms = u64::try_from(self.node.clock().now_ms()).unwrap_or(0);
            let may = (most.min(self.left) as u64).min(BATCH).min(self.end.0 - self.at.0);
            if may == 0 || now_ms > self.until_ms {
                return Ok(());
            }
            let after = Cursor::from_iter([(self.shard, self.at)]);
            let count = usize::try_from(may).unwrap_or(usize::MAX);
            let page = self.node.store().journal.read(&one, &after, count).await?;
            let passed = page.cursor.at(self.shard);
            for (_, position, entry) in &page.entries {
                if enough(&self.why) || *position > self.end {
                    return Ok(());
                }
                self.why.read(*position, entry);
                self.at = *position;
            }
            self.left = self.left.saturating_sub(page.entries.len());
            most = most.saturating_sub(page.entries.len());
            // What was erased is passed unread; behind the journal's end there is nothing.
            self.at =
                if page.entries.is_empty() && passed <= self.at { self.end } else { self.at.max(passed) };
        }
        Ok(())
    }

    /// Its begin is not where it should be.
    pub(super) async fn lost(&mut self) -> Result<(), DispatchError> {
        let floor = self.node.store().journal.floor().await?.at(self.shard);
        let gone = floor.0 > 0 && self.first <= floor;
        self.missing = Some(if gone { Missing::Retention } else { Missing::Length });
        self.why.skip();
        Ok(())
    }

    /// What came after its end: all of it when that is little, else what lies around the moments it remembers.
    pub(super) async fn tail(&mut self, row: &MessageRow) -> Result<(), DispatchError> {
        if self.end.0 - self.at.0.min(self.end.0) <= TAIL_MAX && self.missing.is_none() {
            return self.on(usize::MAX, |_| false).await;
        }
        let times = &row.times;
        let moments = [
            (Status::Sent, times.sent),
            (Status::Delivered, times.delivered),
            (Status::Read, times.read),
            (row.status, times.ended),
        ];
        for (status, at) in moments {
            let Some(at) = at.filter(|_| !self.why.has_told(status)) else { continue };
            self.jump(at.plus_ms(-PROVIDER_MS)).await?;
            self.on(WINDOW_MAX, |why| why.has_told(status)).await?;
        }
        // The last change of a row is known to the entry.
        if row.campaign.is_none() && self.at < self.end && self.end == row.upto {
            self.jump_to(Position(self.end.0 - 1));
            self.on(1, |_| false).await?;
        }
        Ok(())
    }

    /// When the campaign's audience was fixed: an entry of the campaign's own shard.
    pub(super) async fn frozen(
        &mut self,
        home: ShardId,
        from: Timestamp,
        tip: Position,
    ) -> Result<(), DispatchError> {
        let journal = &self.node.store().journal;
        let mut at = seek(&**journal, home, from, tip).await?;
        let (one, mut left) = (ShardSet::one(home), WINDOW_MAX);
        while at < tip && left > 0 {
            let after = Cursor::from_iter([(home, at)]);
            let count = usize::try_from((tip.0 - at.0).min(BATCH)).unwrap_or(usize::MAX).min(left);
            let page = journal.read(&one, &after, count).await?;
            if page.entries.iter().any(|(_, _, entry)| self.why.read_campaign(entry)) {
                return Ok(());
            }
            left = left.saturating_sub(page.entries.len().max(1));
            at = if page.entries.is_empty() { tip } else { page.cursor.at(home) };
        }
        let gone = journal.floor().await?.at(home);
        let from = seek(&**journal, home, from.plus_ms(-MARGIN_MS), tip).await?;
        let gone = gone.0 > 0 && from <= gone;
        self.missing = Some(if gone { Missing::Retention } else { Missing::Length });
        Ok(())
    }
}
