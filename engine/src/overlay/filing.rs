//! Where the outbox view's lines lie, and what must be corrected there: the view is only written for messages
//! that changed, so what it holds must be known to be deleted. Not the order of sending (that is the
//! [`super::Outbox`]).

use super::{OutboxKey, OutboxLine, Overlay};
use crate::hash::HashMap;
use crate::id::MessageId;
use crate::message::MessageRow;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Lines as the views hold them.
#[derive(Debug, Default)]
pub(super) struct Filing {
    /// Of every message with a line in the views.
    lines: HashMap<MessageId, OutboxKey>,
    /// How many of those lines lie in each minute.
    minutes: BTreeMap<u32, usize>,
    /// Further lines of the same message, which a torn flush left; all but one are wrong.
    doubles: HashMap<MessageId, Vec<OutboxKey>>,
    /// Messages whose line in the views is not what their row says.
    wrong: BTreeSet<MessageId>,
    /// Lines of messages that do not exist.
    orphans: Vec<OutboxKey>,
}

impl Filing {
    fn learn(&mut self, key: OutboxKey) {
        match self.lines.get(&key.message).copied() {
            None => {
                self.put(key);
            }
            Some(known) if known != key => self.doubles.entry(key.message).or_default().push(key),
            Some(_) => {}
        }
    }

    /// Notes a message's line; gives the one it had.
    fn put(&mut self, key: OutboxKey) -> Option<OutboxKey> {
        *self.minutes.entry(key.minute).or_default() += 1;
        let was = self.lines.insert(key.message, key);
        was.inspect(|was| self.leave(was.minute))
    }

    /// Forgets a message's line and gives it.
    fn take(&mut self, message: MessageId) -> Option<OutboxKey> {
        self.lines.remove(&message).inspect(|was| self.leave(was.minute))
    }

    fn leave(&mut self, minute: u32) {
        if let Some(count) = self.minutes.get_mut(&minute) {
            *count -= 1;
            if *count == 0 {
                self.minutes.remove(&minute);
            }
        }
    }

    /// The lines to write for a message that changed; gone ones first.
    fn lines_of(&mut self, message: &MessageRow) -> Vec<OutboxLine> {
        let now = message.is_open().then(|| OutboxKey::of(message));
        let was = match now {
            Some(key) => self.put(key),
            None => self.take(message.id),
        };
        let doubles = self.doubles.remove(&message.id).unwrap_or_default();
        let gone = was.into_iter().chain(doubles).filter(|key| Some(*key) != now).map(OutboxLine::Gone);
        let mut list: Vec<OutboxLine> = gone.collect();
        list.extend(now.map(|key| OutboxLine::Open {
            tenant: message.tenant,
            key,
            session: message.session,
            stage: message.stage,
            valid_until: message.valid_until,
        }));
        list
    }

    /// The first minute in which a line lies.
    pub(super) fn floor(&self) -> Option<u32> {
        self.minutes.keys().next().copied()
    }

    /// Messages whose lines wait to be corrected.
    pub(super) fn dirty(&self) -> usize {
        self.wrong.len() + self.orphans.len()
    }
}

impl Overlay {
    /// Files a message in its session's outbox as its row stands.
    pub(super) fn file(&mut self, id: MessageId) {
        let Some(row) = self.messages.shared(&id) else { return };
        let outbox = self.outbox.entry(row.session).or_default();
        outbox.file(&row);
        if outbox.is_empty() {
            self.outbox.remove(&row.session);
        }
    }

    /// Tells one line of the outbox view at a start.
    pub fn learn_outbox(&mut self, line: OutboxLine, now: Timestamp) {
        if let OutboxLine::Open { tenant, key, session, stage, valid_until } = line {
            let known = self.messages.get(&key.message).map(MessageRow::is_open);
            self.filing.learn(key);
            if known != Some(false) {
                self.outbox.entry(session).or_default().learn((tenant, key), stage, valid_until, now);
            }
        }
    }

    /// A message's row was told by the views, where its line is as coarse as the view's key, or was left behind
    /// by a torn flush.
    pub(super) fn row_told(&mut self, id: MessageId, told: &MessageRow) {
        if told.is_open() && !self.filing.lines.contains_key(&id) {
            self.filing.put(OutboxKey::of(told));
        }
        let Some(row) = self.messages.shared(&id) else { return };
        let line = row.is_open().then(|| OutboxKey::of(&row));
        let filed = self.filing.lines.get(&id).copied();
        let stage = self.outbox.get(&row.session).and_then(|o| o.stage(id));
        let strays = self.filing.doubles.contains_key(&id);
        let torn = row.upto > self.position;
        if torn || strays || filed != line || stage.is_some_and(|s| s != row.stage) {
            self.filing.wrong.insert(id);
        }
        self.file(id);
    }

    /// The views have no such message: a line of it is a stray.
    pub(super) fn row_absent(&mut self, id: MessageId) {
        if self.messages.get(&id).is_some() {
            return;
        }
        if let Some(key) = self.filing.take(id) {
            self.filing.orphans.push(key);
            self.filing.orphans.extend(self.filing.doubles.remove(&id).unwrap_or_default());
            self.outbox.values_mut().for_each(|outbox| outbox.drop_line(id));
            self.outbox.retain(|_, outbox| !outbox.is_empty());
        }
    }

    /// The outbox lines of a flush that carries `messages`.
    pub(super) fn outbox_lines(&mut self, messages: &[std::sync::Arc<MessageRow>]) -> Vec<OutboxLine> {
        let mut lines: Vec<OutboxLine> = self.filing.orphans.drain(..).map(OutboxLine::Gone).collect();
        lines.extend(messages.iter().flat_map(|m| self.filing.lines_of(m)));
        for id in std::mem::take(&mut self.filing.wrong) {
            if let Some(row) = self.messages.shared(&id) {
                lines.extend(self.filing.lines_of(&row));
            }
        }
        lines
    }
}
