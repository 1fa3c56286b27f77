//! A conversation (session × contact): its 24-hour window, its chain of messages, and whether a message may go
//! out to it now. Not the message, not the session.

use crate::address::Address;
use crate::beside::{Beside, Referrals};
use crate::content::Content;
use crate::entry::{ConversationOpened, Position};
use crate::id::{ConversationId, MessageId, SessionId, TenantId};
use crate::pacing::Lane;
use crate::time::{DAY_MS, MINUTE_MS, Timestamp};

/// Free-form content may follow a person's message for 24 hours by Meta's clock; ours closes a minute early.
pub const WINDOW_MS: i64 = DAY_MS - MINUTE_MS;

/// A conversation as a view row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    /// Its id.
    pub id: ConversationId,
    /// Whose.
    pub tenant: TenantId,
    /// The number.
    pub session: SessionId,
    /// The person's first known address.
    pub address: Address,
    /// Further addresses of the same person.
    pub aliases: Vec<Address>,
    /// The name the person shows.
    pub name: Option<String>,
    /// The name the person chose at WhatsApp.
    pub username: Option<String>,
    /// Where the person came from: the first and the last advertisement.
    pub referrals: Option<Box<Referrals>>,
    /// The newest message: the head of the chain.
    pub last: Option<MessageId>,
    /// Messages in it.
    pub count: u64,
    /// Received and not looked at.
    pub unread: u32,
    /// Free-form content may be sent until then.
    pub window_until: Option<Timestamp>,
    /// The last entry that changed it.
    pub upto: Position,
}

/// Whether a received content is the person speaking: it opens the window and is to be read. A changed number is not, and
/// neither is what a person does to an earlier message of its own: edit it, take it back.
#[must_use]
pub fn speaks(content: &Content) -> bool {
    !matches!(content.kind(), "system" | "edit" | "revoke")
}

/// Why a message may not go out to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// The person opted out.
    OptedOut,
    /// Free-form content outside the window.
    WindowClosed,
}

impl ConversationRow {
    /// A conversation that begins.
    #[must_use]
    pub fn begin(tenant: TenantId, opened: &ConversationOpened) -> Self {
        Self {
            id: opened.id,
            tenant,
            session: opened.session,
            address: opened.address.clone(),
            aliases: Vec::new(),
            name: None,
            username: None,
            referrals: None,
            last: None,
            count: 0,
            unread: 0,
            window_until: None,
            upto: Position::default(),
        }
    }

    /// A message joined; gives the one before it, and the how manieth it is.
    pub fn joined(&mut self, message: MessageId) -> (Option<MessageId>, u64) {
        self.count += 1;
        (self.last.replace(message), self.count)
    }

    /// The person wrote at `sent_at` by the provider's clock. A late repeat never shortens the window.
    pub fn heard(&mut self, sent_at: Timestamp, name: Option<&str>) {
        self.unread = self.unread.saturating_add(1);
        let until = sent_at.plus_ms(WINDOW_MS);
        self.window_until = Some(self.window_until.map_or(until, |w| w.max(until)));
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            self.name = Some(name.to_owned());
        }
    }

    /// What stood beside a message that was written at `sent_at`.
    pub fn learned(&mut self, beside: &Beside, sent_at: Timestamp) {
        if let Some(referral) = &beside.referral {
            Referrals::join(&mut self.referrals, referral, sent_at);
        }
        if beside.username.is_some() {
            self.username.clone_from(&beside.username);
        }
    }

    /// Whether free-form content may go out at `now`.
    #[must_use]
    pub fn window_open(&self, now: Timestamp) -> bool {
        self.window_until.is_some_and(|w| now <= w)
    }
}

/// Whether `content` may go out at `now`: the one check every source passes. An answer to a person who wrote
/// within the window may be given even after an opt-out; nothing else may.
///
/// # Errors
/// The first barrier met; the opt-out comes before the window.
pub fn may_send(
    conversation: Option<&ConversationRow>,
    opted_out: bool,
    content: &Content,
    lane: Lane,
    now: Timestamp,
) -> Result<(), Barrier> {
    let open = conversation.is_some_and(|c| c.window_open(now));
    if opted_out && !(lane == Lane::Reply && open) {
        return Err(Barrier::OptedOut);
    }
    if content.needs_window() && !open {
        return Err(Barrier::WindowClosed);
    }
    Ok(())
}

/// Whether a conversation, if there is one, has its window open.
#[must_use]
pub fn may_send_free_form(conversation: Option<&ConversationRow>, now: Timestamp) -> bool {
    conversation.is_some_and(|c| c.window_open(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Text;

    fn talk() -> ConversationRow {
        let address = Address::phone_digits("6281234567890").unwrap();
        let opened = ConversationOpened { id: ConversationId(1), session: SessionId(1), address };
        ConversationRow::begin(TenantId(1), &opened)
    }

    #[test]
    fn the_window_is_the_persons_last_message_and_a_late_repeat_never_shortens_it() {
        let mut row = talk();
        assert!(!row.window_open(Timestamp(0)));
        row.heard(Timestamp(1_000_000), Some("Ana"));
        row.heard(Timestamp(500_000), Some(""));
        let end = Timestamp(1_000_000 + WINDOW_MS);
        assert!(row.window_open(end));
        assert!(!row.window_open(end.plus_ms(1)));
        assert_eq!((row.unread, row.name.as_deref()), (2, Some("Ana")));
    }

    #[test]
    fn an_opt_out_stops_everything_but_an_answer_inside_the_window() {
        let text = Content::Text(Text { body: "hi".into(), preview_url: None });
        let mut row = talk();
        row.heard(Timestamp(0), None);
        let ask = |out, lane, now| may_send(Some(&row), out, &text, lane, Timestamp(now));
        assert_eq!(ask(true, Lane::Broadcast, 5), Err(Barrier::OptedOut));
        assert_eq!(ask(true, Lane::Transactional, 5), Err(Barrier::OptedOut));
        assert_eq!(ask(true, Lane::Reply, 5), Ok(()));
        assert_eq!(ask(true, Lane::Reply, DAY_MS), Err(Barrier::OptedOut));
        assert_eq!(ask(false, Lane::Reply, DAY_MS), Err(Barrier::WindowClosed));
        assert_eq!(may_send(None, false, &text, Lane::Reply, Timestamp(0)), Err(Barrier::WindowClosed));
    }
}
