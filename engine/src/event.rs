//! What the outside is told of an [`Entry`]: a closed set of kinds of events, and a function from an entry to the
//! events it is. Not their JSON, which is the edge's; not a store: events are the journal, read in other words.

mod kind;

pub use kind::Kind;

use crate::address::Address;
use crate::cause::Cause;
use crate::entry::{
    ConsentSource, Entry, Frozen, Inbound, Intent, Outcome, Range, StatusReport, StatusRest, What,
};
use crate::id::{CampaignId, ConversationId, MediaId, MessageId, SessionId, WebhookId, hash64};
use crate::notice::Notice;
use crate::optout::Wish;
use crate::pricing::Pricing;
use crate::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// One event, as far as its entry alone tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its place in the entry; rises, with gaps where a line of the entry is no event.
    pub index: u32,
    /// What happened.
    pub kind: Kind,
    /// To whom or what.
    pub about: About,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// A message.
    Message(Box<OfMessage>),
    /// A conversation.
    Conversation {
        /// Which.
        conversation: ConversationId,
        /// The number it belongs to.
        session: SessionId,
        /// The person.
        address: Address,
    },
    /// A person's wish.
    Contact {
        /// The person.
        address: Address,
        /// Where it was said.
        source: ConsentSource,
    },
    /// A campaign.
    Campaign(CampaignId),
    /// A campaign's fixed audience.
    Frozen {
        /// The campaign.
        campaign: CampaignId,
        /// Contacts in the audience.
        contacts: u64,
        /// Of them opted out.
        opted_out: u64,
        /// Of the rest, those that miss a variable.
        missing_variable: u64,
        /// Of the rest, those that have had enough marketing.
        frequency_capped: u64,
        /// Those it is sent to.
        recipients: u64,
    },
    /// A webhook subscription.
    Webhook {
        /// Which.
        webhook: WebhookId,
        /// Since when no delivery has succeeded.
        since: Timestamp,
    },
    /// A provider's notice.
    Notice(Box<Notice>),
}

impl About {
    /// Whether Meta has words for it, where it has some for the kind: a wish that a person typed, or that was told over the
    /// API, is none of Meta's.
    #[must_use]
    pub fn is_metas(&self) -> bool {
        !matches!(self, Self::Contact { source: ConsentSource::Word | ConsentSource::Api, .. })
    }

    /// What keeps its order on the way out: a conversation, or a thing that has none. The same events are always of
    /// the same lane.
    #[must_use]
    pub fn lane(&self) -> u64 {
        let of = |word: &str, id: u64, index: u32| {
            hash64(&[word.as_bytes(), &id.to_be_bytes(), &index.to_be_bytes()].concat())
        };
        let conversation = |id: ConversationId| of("conversation", id.0, 0);
        match self {
            Self::Message(message) => match message.as_ref() {
                OfMessage { conversation: Some(id), .. } => conversation(*id),
                OfMessage { recipient: Some((campaign, index)), .. } => of("recipient", campaign.0, *index),
                OfMessage { message, .. } => of("message", message.unwrap_or_default().0, 0),
            },
            Self::Conversation { conversation: id, .. } => conversation(*id),
            Self::Contact { address, .. } => of("contact", hash64(address.key().as_bytes()), 0),
            Self::Campaign(campaign) | Self::Frozen { campaign, .. } => of("campaign", campaign.0, 0),
            Self::Webhook { webhook, .. } => of("webhook", webhook.0, 0),
            Self::Notice(notice) => match (notice.session, &notice.account) {
                (Some(session), _) => of("session", session.0, 0),
                (None, account) => {
                    of("account", hash64(account.as_deref().unwrap_or_default().as_bytes()), 0)
                }
            },
        }
    }
}

/// A message in an event. What its entry does not say is filled in by who knows the message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfMessage {
    /// The message; `None` for a recipient whose part is not known here.
    pub message: Option<MessageId>,
    /// The number.
    pub session: Option<SessionId>,
    /// Its conversation.
    pub conversation: Option<ConversationId>,
    /// The person.
    pub address: Option<Address>,
    /// The campaign and the recipient's index in it.
    pub recipient: Option<(CampaignId, u32)>,
    /// When it happened by the provider's clock.
    pub reported_at: Option<Timestamp>,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// What it costs, where the provider said it.
    pub pricing: Option<Arc<Pricing>>,
    /// What else the provider said of it.
    pub rest: Option<Arc<StatusRest>>,
    /// What the caller wants to see again.
    pub tag: Option<Arc<str>>,
    /// The file that came with it and is kept now.
    pub media: Option<MediaId>,
    /// The advertisement or post the person came from, in the provider's shape.
    pub referral: Option<Box<Value>>,
}

impl OfMessage {
    fn of(message: MessageId) -> Self {
        Self { message: Some(message), ..Self::default() }
    }

    fn to(campaign: CampaignId, index: u32) -> Self {
        Self { recipient: Some((campaign, index)), ..Self::default() }
    }
}

/// The events of an entry in their order. A pure reading: the same entry is always the same events.
#[must_use]
pub fn drafts(entry: &Entry) -> Box<dyn Iterator<Item = Draft> + '_> {
    match &entry.what {
        What::Conversation(opened) => {
            let (conversation, session) = (opened.id, opened.session);
            let address = opened.address.clone();
            one(Kind::ConversationOpened, About::Conversation { conversation, session, address })
        }
        What::Intent(intent) => one(Kind::MessageAccepted, accepted(intent)),
        What::Inbound(inbound) => one(Kind::MessageReceived, received(inbound)),
        What::MediaStored { message, media } => {
            let of = OfMessage { media: Some(*media), ..OfMessage::of(*message) };
            one(Kind::MediaStored, About::Message(Box::new(of)))
        }
        What::MediaFailed { message, cause } => {
            let of = OfMessage { cause: Some(*cause), ..OfMessage::of(*message) };
            one(Kind::MediaFailed, About::Message(Box::new(of)))
        }
        What::Results(results) => {
            list(results.iter().map(|(id, outcome)| answered(OfMessage::of(*id), outcome)))
        }
        What::PartResults { campaign, results } => {
            list(results.iter().map(|(index, outcome)| answered(OfMessage::to(*campaign, *index), outcome)))
        }
        What::Statuses(reports) => list(reports.iter().map(|r| reported(OfMessage::of(r.of), r))),
        What::PartStatuses { campaign, statuses } => {
            list(statuses.iter().map(|r| reported(OfMessage::to(*campaign, r.of), r)))
        }
        What::Resolved { again: false, messages } => {
            list(messages.iter().map(|id| Some((Kind::MessageUnknown, OfMessage::of(*id)))))
        }
        What::PartResolved { campaign, again: false, ranges } => {
            list(recipients(*campaign, ranges).map(|of| Some((Kind::MessageUnknown, of))))
        }
        What::Ended { cause, messages, .. } => {
            list(messages.iter().map(|id| ended(OfMessage::of(*id), *cause)))
        }
        What::PartEnded { campaign, cause, ranges } => {
            list(recipients(*campaign, ranges).map(|of| ended(of, *cause)))
        }
        What::Consent { address, wish, source, .. } => {
            let kind = match wish {
                Wish::OptOut => Kind::ContactOptedOut,
                Wish::OptIn => Kind::ContactOptedIn,
            };
            one(kind, About::Contact { address: address.clone(), source: *source })
        }
        What::Frozen(frozen) => one(Kind::CampaignFrozen, counted(frozen)),
        What::Moved { campaign, verb, .. } => one(Kind::of_verb(*verb), About::Campaign(*campaign)),
        What::Finished { campaign } => one(Kind::CampaignFinished, About::Campaign(*campaign)),
        What::WebhookDisabled { webhook, since } => {
            one(Kind::WebhookDisabled, About::Webhook { webhook: *webhook, since: *since })
        }
        What::Notice(notice) => one(Kind::of_notice(notice), About::Notice(notice.clone())),
        What::Opened { .. }
        | What::Quoted(_)
        | What::Alias { .. }
        | What::Claim { .. }
        | What::Released { .. }
        | What::Parked { .. }
        | What::Resolved { again: true, .. }
        | What::Obeyed { .. }
        | What::PartStarted(_)
        | What::PartMoved { .. }
        | What::PartClaim { .. }
        | What::PartReleased { .. }
        | What::PartParked { .. }
        | What::PartResolved { again: true, .. }
        | What::PartDeferred { .. }
        | What::PartFinished { .. }
        | What::Touched { .. } => Box::new(std::iter::empty()),
    }
}

fn one(kind: Kind, about: About) -> Box<dyn Iterator<Item = Draft> + 'static> {
    Box::new(std::iter::once(Draft { index: 0, kind, about }))
}

fn list<'a>(
    lines: impl Iterator<Item = Option<(Kind, OfMessage)>> + 'a,
) -> Box<dyn Iterator<Item = Draft> + 'a> {
    Box::new((0..).zip(lines).filter_map(|(index, line)| {
        line.map(|(kind, of)| Draft { index, kind, about: About::Message(Box::new(of)) })
    }))
}

fn recipients(campaign: CampaignId, ranges: &[Range]) -> impl Iterator<Item = OfMessage> + '_ {
    Range::indexes(ranges).map(move |index| OfMessage::to(campaign, index))
}

fn accepted(intent: &Intent) -> About {
    About::Message(Box::new(OfMessage {
        session: Some(intent.session),
        conversation: Some(intent.conversation),
        address: Some(intent.to.clone()),
        tag: intent.tag.clone(),
        ..OfMessage::of(intent.id)
    }))
}

fn received(inbound: &Inbound) -> About {
    About::Message(Box::new(OfMessage {
        session: Some(inbound.session),
        conversation: Some(inbound.conversation),
        address: Some(inbound.from.clone()),
        reported_at: Some(inbound.sent_at),
        referral: inbound.beside.as_ref().and_then(|beside| beside.referral.clone()).map(Box::new),
        ..OfMessage::of(inbound.id)
    }))
}

/// An answer that is final; what is tried again is no event.
fn answered(of: OfMessage, outcome: &Outcome) -> Option<(Kind, OfMessage)> {
    match outcome {
        Outcome::Accepted(_) => Some((Kind::MessageSent, of)),
        Outcome::Failed(cause) => Some((Kind::MessageFailed, OfMessage { cause: Some(*cause), ..of })),
        Outcome::Retry { .. } | Outcome::Ambiguous => None,
    }
}

fn reported<K>(of: OfMessage, report: &StatusReport<K>) -> Option<(Kind, OfMessage)> {
    let alone = report.rest.as_ref().is_some_and(|rest| rest.is_alone());
    let kind = if alone { Kind::MessageSentDetails } else { Kind::of_status(report.status)? };
    let (reported_at, cause, pricing) = (Some(report.at), report.cause, report.pricing.clone());
    Some((kind, OfMessage { reported_at, cause, pricing, rest: report.rest.clone(), ..of }))
}

fn ended(of: OfMessage, cause: Option<Cause>) -> Option<(Kind, OfMessage)> {
    Some((Kind::of_end(cause), OfMessage { cause, ..of }))
}

fn counted(frozen: &Frozen) -> About {
    About::Frozen {
        campaign: frozen.campaign,
        contacts: frozen.audience,
        opted_out: frozen.opted_out,
        missing_variable: frozen.missing_variable,
        frequency_capped: frozen.frequency_capped,
        recipients: frozen.parts.iter().map(|line| u64::from(line.recipients)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantId;

    fn told(what: What) -> Vec<(u32, &'static str)> {
        let entry = Entry { tenant: TenantId(1), at: Timestamp(5), what };
        drafts(&entry).map(|draft| (draft.index, draft.kind.word())).collect()
    }

    #[test]
    fn every_kind_has_a_word_of_its_own_that_leads_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
            assert!(kind.meaning().ends_with('.'));
        }
        assert_eq!(Kind::from_word("message"), None);
    }

    #[test]
    fn only_final_answers_are_events_and_each_keeps_its_place() {
        let retry = Outcome::Retry { due: Timestamp(9), cause: Cause(130_429) };
        let lines =
            [Outcome::Ambiguous, Outcome::Accepted("w".into()), retry, Outcome::Failed(Cause::RENDER)];
        let seen = told(What::Results((1..).map(MessageId).zip(lines.clone()).collect()));
        assert_eq!(seen, [(1, "message.sent"), (3, "message.failed")]);
        let results = (7..).zip(lines).collect();
        assert_eq!(told(What::PartResults { campaign: CampaignId(1), results }), seen);
    }

    #[test]
    fn an_end_is_named_by_its_cause() {
        let ends = [
            (None, "message.expired"),
            (Some(Cause::CANCELLED), "message.cancelled"),
            (Some(Cause::OPTED_OUT), "message.failed"),
        ];
        for (cause, word) in ends {
            let messages = vec![MessageId(4)];
            assert_eq!(told(What::Ended { cause, messages, once: None }), [(0, word)]);
            let ranges = vec![Range { first: 3, count: 2 }, Range { first: 9, count: 1 }];
            let whole = told(What::PartEnded { campaign: CampaignId(1), cause, ranges });
            assert_eq!(whole, [(0, word), (1, word), (2, word)]);
        }
    }

    #[test]
    fn a_doubt_is_an_event_only_when_it_stays() {
        for (again, count) in [(false, 1), (true, 0)] {
            assert_eq!(told(What::Resolved { again, messages: vec![MessageId(4)] }).len(), count);
            let ranges = vec![Range { first: 0, count: 1 }];
            assert_eq!(told(What::PartResolved { campaign: CampaignId(1), again, ranges }).len(), count);
        }
    }
}
