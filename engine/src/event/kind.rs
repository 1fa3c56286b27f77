//! The closed set of kinds of events: each with its word and when it happens. Not what an event is about.

use crate::campaign::Verb;
use crate::cause::Cause;
use crate::notice::Notice;
use crate::status::Status;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $meaning:literal;)+) => {
        /// What kind of thing happened. Words never change their meaning; new ones may come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// Every kind, in the order of the page.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$name),+];

            /// The public word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// When it happens, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }
        }
    };
}

kinds! {
    /// An outbound message is durable.
    MessageAccepted = "message.accepted", "Kabar accepted a message for sending, and it is durable.";
    /// The provider took it.
    MessageSent = "message.sent", "WhatsApp took the message.";
    /// What else the provider said of a message it took.
    MessageSentDetails = "message.sent_details", "WhatsApp said more of a message that it had taken: `pricing` (charged is what `message.delivered` or `message.read` says). What Kabar does not read of it is told in Meta's words alone, as `sent`.";
    /// It reached the phone.
    MessageDelivered = "message.delivered", "It reached the phone.";
    /// The person opened it.
    MessageRead = "message.read", "The person opened it.";
    /// The person played it.
    MessagePlayed = "message.played", "The person played the voice message.";
    /// It will not arrive.
    MessageFailed = "message.failed", "It was refused or could not be delivered; `error` says why.";
    /// Nobody can say whether it was sent.
    MessageUnknown = "message.unknown", "Nobody can say whether it was sent; a later proof still moves it.";
    /// It was not sent in time.
    MessageExpired = "message.expired", "Its validity passed before it could be sent.";
    /// It was cancelled before it was sent.
    MessageCancelled = "message.cancelled", "It was cancelled before it was sent, alone or with its campaign.";
    /// A person wrote.
    MessageReceived = "message.received", "A person wrote.";
    /// What a person sent is kept here.
    MediaStored = "media.stored", "The picture, film, sound or file of a received message is kept here; `media` is its id.";
    /// What a person sent could not be fetched.
    MediaFailed = "media.failed", "It could not be fetched from WhatsApp and will not be; `error` says why.";
    /// A conversation began.
    ConversationOpened = "conversation.opened", "A number and a person exchange their first message.";
    /// A person wants no more messages.
    ContactOptedOut = "contact.opted_out", "A person wants no more messages.";
    /// A person wants messages again.
    ContactOptedIn = "contact.opted_in", "A person wants messages again.";
    /// A campaign was launched.
    CampaignLaunched = "campaign.launched", "The campaign was launched; its audience is being frozen.";
    /// A campaign was paused.
    CampaignPaused = "campaign.paused", "The campaign was paused.";
    /// A campaign goes on.
    CampaignResumed = "campaign.resumed", "The campaign was resumed.";
    /// A campaign was cancelled.
    CampaignCancelled = "campaign.cancelled", "The campaign was cancelled; what was not sent is cancelled too.";
    /// A campaign's recipients are fixed.
    CampaignFrozen = "campaign.frozen", "The campaign's recipients are fixed and counted.";
    /// Every recipient of a campaign has ended.
    CampaignFinished = "campaign.finished", "Every recipient of the campaign has ended.";
    /// A webhook subscription is served no more.
    WebhookDisabled = "webhook.disabled", "No delivery of a webhook subscription succeeded for five days; it is served no more.";
    /// A template was approved, rejected, paused, disabled or something else of that kind.
    TemplateStatusChanged = "template.status_changed", "WhatsApp says how a template stands: approved, rejected, paused, disabled; `event` is its word.";
    /// A template's quality changed.
    TemplateQualityChanged = "template.quality_changed", "WhatsApp rates a template anew; `event` is the new quality.";
    /// A template's category changes.
    TemplateCategoryChanged = "template.category_changed", "WhatsApp has changed a template's category, or warns that it will; `event` is the new one.";
    /// A template's text or buttons changed.
    TemplateComponentsChanged = "template.components_changed", "A template's text or buttons were changed.";
    /// A number's limits or throughput changed.
    NumberQualityChanged = "number.quality_changed", "A number's messaging limit, throughput or quality changed; `event` says which.";
    /// A number's display name was decided on.
    NumberNameChanged = "number.name_changed", "WhatsApp decided on a number's display name; `event` is the decision.";
    /// A number's username changed.
    NumberUsernameChanged = "number.username_changed", "A number's username was approved, reserved or deleted.";
    /// A number's PIN was changed or asked for.
    NumberSecurityChanged = "number.security_changed", "A number's two-step PIN was changed, or somebody asked to; `event` says which.";
    /// An error of a number that belongs to no message.
    NumberFailed = "number.failed", "WhatsApp reports an error of a number that belongs to no message; the value has its code.";
    /// An account was restricted, disabled, reinstated or something else of that kind.
    AccountUpdated = "account.updated", "An account was restricted, disabled, reinstated, connected or changed otherwise; `event` says which.";
    /// An account's review was decided.
    AccountReviewed = "account.reviewed", "WhatsApp decided on an account's review; `event` is the decision.";
    /// WhatsApp warns of something in an account.
    AccountAlerted = "account.alerted", "WhatsApp warns of something in an account; `event` is the kind of warning.";
    /// An account's limits changed.
    AccountCapabilityChanged = "account.capability_changed", "An account's limits changed: people a day, numbers.";
    /// A Flow changed or fails.
    FlowChanged = "flow.changed", "A Flow changed its state, or its endpoint is slow or fails; `event` says which.";
    /// A call began, rang or ended.
    CallChanged = "call.changed", "A call began, rang or ended.";
    /// A group changed.
    GroupChanged = "group.changed", "A group was made, joined, left, changed or suspended.";
    /// A person clicked a link of a marketing message.
    LinkClicked = "link.clicked", "A person clicked a link of a marketing message.";
    /// Earlier messages of a number's phone app.
    PhoneHistory = "phone.history", "Earlier messages of a number that is used in the phone app as well.";
    /// A message was written in the phone app.
    PhoneEcho = "phone.echo", "Somebody wrote a message in the phone app with this number; Kabar did not send it.";
    /// A contact of the phone app changed.
    PhoneContact = "phone.contact", "A contact of the phone app was added or removed.";
    /// A message came while WhatsApp's own agent has the conversation.
    AgentStandby = "agent.standby", "A message came while WhatsApp's own business agent has the conversation.";
    /// A conversation passed to or from WhatsApp's own agent.
    AgentHandover = "agent.handover", "A conversation passed to or from WhatsApp's own business agent.";
    /// Something this version has no word for.
    ProviderUnknown = "provider.unknown", "WhatsApp told something this version has no word for; `field` is WhatsApp's name for it.";
}

impl Kind {
    /// Whether Meta's webhooks have words for it: what they told themselves, and what becomes of messages. Of people's wishes
    /// only for those that Meta told: see [`About::is_metas`](super::About::is_metas).
    #[must_use]
    pub fn is_metas(self) -> bool {
        !matches!(
            self,
            Self::MessageAccepted
                | Self::MessageUnknown
                | Self::MediaStored
                | Self::MediaFailed
                | Self::ConversationOpened
                | Self::CampaignLaunched
                | Self::CampaignPaused
                | Self::CampaignResumed
                | Self::CampaignCancelled
                | Self::CampaignFrozen
                | Self::CampaignFinished
                | Self::WebhookDisabled
        )
    }

    /// The kind a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What a notice is called.
    #[must_use]
    pub fn of_notice(notice: &Notice) -> Self {
        match &*notice.field {
            // The reference's own sample of a template's quality stands under another field.
            "message_template_status_update" if notice.read().get("new_quality_score").is_some() => {
                Self::TemplateQualityChanged
            }
            "message_template_status_update" => Self::TemplateStatusChanged,
            "message_template_quality_update" => Self::TemplateQualityChanged,
            "template_category_update" => Self::TemplateCategoryChanged,
            "message_template_components_update" => Self::TemplateComponentsChanged,
            "phone_number_quality_update" => Self::NumberQualityChanged,
            "phone_number_name_update" => Self::NumberNameChanged,
            "business_username_update" => Self::NumberUsernameChanged,
            "security" => Self::NumberSecurityChanged,
            "errors" => Self::NumberFailed,
            "account_update" => Self::AccountUpdated,
            "account_review_update" => Self::AccountReviewed,
            "account_alerts" => Self::AccountAlerted,
            "business_capability_update" => Self::AccountCapabilityChanged,
            "flows" => Self::FlowChanged,
            "calls" => Self::CallChanged,
            "group_lifecycle_update"
            | "group_participants_update"
            | "group_settings_update"
            | "group_status_update" => Self::GroupChanged,
            "user_actions" => Self::LinkClicked,
            "history" => Self::PhoneHistory,
            "smb_message_echoes" => Self::PhoneEcho,
            "smb_app_state_sync" => Self::PhoneContact,
            "standby" => Self::AgentStandby,
            "messaging_handovers" => Self::AgentHandover,
            _ => Self::ProviderUnknown,
        }
    }

    /// What a provider's status is called.
    pub(super) fn of_status(status: Status) -> Option<Self> {
        match status {
            Status::Sent => Some(Self::MessageSent),
            Status::Delivered => Some(Self::MessageDelivered),
            Status::Read => Some(Self::MessageRead),
            Status::Played => Some(Self::MessagePlayed),
            Status::Failed => Some(Self::MessageFailed),
            Status::Queued | Status::Unknown | Status::Expired | Status::Received => None,
        }
    }

    pub(super) fn of_verb(verb: Verb) -> Self {
        match verb {
            Verb::Launch => Self::CampaignLaunched,
            Verb::Pause => Self::CampaignPaused,
            Verb::Resume => Self::CampaignResumed,
            Verb::Cancel => Self::CampaignCancelled,
        }
    }

    /// How a message ended that was not sent.
    pub(super) fn of_end(cause: Option<Cause>) -> Self {
        match cause {
            None => Self::MessageExpired,
            Some(Cause::CANCELLED) => Self::MessageCancelled,
            Some(_) => Self::MessageFailed,
        }
    }
}
