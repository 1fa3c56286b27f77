//! Shapes of values that other rooms own, told to the description: ids, moments, words of closed sets. The rooms
//! themselves know nothing of OpenAPI.

use std::borrow::Cow;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

fn text(pattern: Option<&str>, example: &str, what: &str) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(what));
    text.pattern(pattern).examples([serde_json::Value::from(example)])
}

/// The shape of a moment.
pub(crate) fn moment() -> RefOr<Schema> {
    let what = "A moment, RFC 3339 in UTC with milliseconds.";
    let date = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    text(None, "2026-12-24T11:00:00.000Z", what).format(Some(date)).build().into()
}

macro_rules! ids {
    ($($name:ident $prefix:expr, $what:literal;)+) => {$(
        #[doc = $what]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let pattern = format!("^{}_[0-9a-hjkmnp-tv-z]{{13}}$", $prefix);
                let example = format!("{}_0dwd35p6e5amv", $prefix);
                text(Some(&pattern), &example, $what).build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

ids! {
    TenantId kabar_engine::id::TenantId::PREFIX, "A tenant's id.";
    ResellerId kabar_engine::id::ResellerId::PREFIX, "A reseller's id.";
    SessionId kabar_engine::id::SessionId::PREFIX, "A session's id.";
    KeyId kabar_engine::id::KeyId::PREFIX, "An API key's id.";
    ImportId kabar_engine::id::ImportId::PREFIX, "An import's id; also the list of the contacts it brought.";
    MessageId kabar_engine::id::MessageId::PREFIX, "A message's id.";
    ConversationId kabar_engine::id::ConversationId::PREFIX, "A conversation's id.";
    CampaignId kabar_engine::id::CampaignId::PREFIX, "A campaign's id.";
    TemplateId kabar_engine::id::TemplateId::PREFIX, "A stored template's id.";
    ContactId kabar_engine::id::ContactId::PREFIX, "A contact's id.";
    EventId kabar_engine::id::EventId::PREFIX, "An event's id.";
    MediaId kabar_engine::id::MediaId::PREFIX, "A media file's id; it follows from the bytes.";
    WebhookId kabar_engine::id::WebhookId::PREFIX, "A webhook subscription's id.";
    AppId "app", "An app's id.";
}

macro_rules! words {
    ($($name:ident: $what:literal = $($word:literal)+;)+) => {$(
        #[doc = $what]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = ObjectBuilder::new().schema_type(Type::String).description(Some($what));
                words.enum_values(Some([$($word),+])).build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

words! {
    ImportState: "Where an import is." = "reading" "done" "failed";
    Becomes: "What becomes of a column's values." = "phone" "name" "zone" "opted_out" "field" "ignored";
    RowOutcome: "What a row counts as." = "valid" "invalid" "duplicate";
    ConsentBasis: "Why the people of an import may be written to." = "opt_in" "existing_customer" "legitimate_interest" "unknown";
    MediaKind: "What a media file is good for." = "image" "video" "audio" "document" "sticker";
    MediaState: "Where a file is that a person sent." = "pending" "stored" "failed";
    MediaOrigin: "How a media file came here first." = "upload" "inline" "link" "received";
    Status: "Where a message is." = "queued" "unknown" "sent" "delivered" "read" "played" "failed" "expired" "received";
    MetaAck: "When a send in Meta's dialect is answered." = "early" "provider";
    Lane: "The order in which waiting messages of a session leave." = "reply" "transactional" "broadcast";
    Fault: "Whose fault a failure is." = "recipient" "sender" "provider" "kabar";
    CampaignState: "Where a campaign is." = "draft" "scheduled" "freezing" "running" "settling" "paused" "cancelled" "finished";
    WaitReason: "What a campaign can wait for." = "start" "recurrence" "paused" "blackout" "quiet_hours" "send_window" "retry" "throttled" "link_lost" "restricted" "template" "pace";
    AudienceKind: "Whom a campaign goes to." = "contacts" "named" "unreached";
    Purpose: "What a campaign is for." = "marketing" "utility";
    Relation: "How a campaign comes from another." = "clone" "retry" "occurrence";
    Verb: "What can be wanted of a campaign." = "launch" "pause" "resume" "cancel";
    ZoneSource: "Where a time zone was read from." = "contact" "number" "default";
    EventType: "What happened; new types may come." = "message.accepted" "message.sent" "message.sent_details" "message.delivered" "message.read" "message.played" "message.failed" "message.unknown" "message.expired" "message.cancelled" "message.received" "media.stored" "media.failed" "conversation.opened" "contact.opted_out" "contact.opted_in" "campaign.launched" "campaign.paused" "campaign.resumed" "campaign.cancelled" "campaign.frozen" "campaign.finished" "webhook.disabled" "template.status_changed" "template.quality_changed" "template.category_changed" "template.components_changed" "number.quality_changed" "number.name_changed" "number.username_changed" "number.security_changed" "number.failed" "account.updated" "account.reviewed" "account.alerted" "account.capability_changed" "flow.changed" "call.changed" "group.changed" "link.clicked" "phone.history" "phone.echo" "phone.contact" "agent.standby" "agent.handover" "provider.unknown";
    ConsentSource: "Where a wish was said: in a message, to WhatsApp, or by this API." = "word" "provider" "api";
    Envelope: "In whose words a subscription is told: Kabar's events, or the webhooks of Meta's Cloud API." = "kabar" "meta";
    WhyDisabled: "Why a subscription is not served." = "asked" "failing";
    AttemptOutcome: "What an attempt came to." = "delivered" "again" "failed";
    AttemptError: "Why an attempt had no answer that counts." = "timeout" "closed" "malformed" "dns" "blocked" "refused" "tls" "url" "gone";
    WhyReason: "What a message can wait for; new reasons may come." = "start" "retry" "hours" "blackout" "quiet_hours" "send_window" "paused" "pace" "throttled" "link_lost" "room" "lane" "turn" "queue" "answer" "proof" "recurrence" "restricted" "template";
    WhySource: "Where a step is known from: the journal (exact), what the message itself remembers (a campaign's to 16 seconds), the log of webhook attempts, or the moment of the question." = "journal" "message" "webhook_log" "now";
    WhyMissing: "Why steps are missing: they are no longer kept; more lies between the message's moments than one question may read; the log of webhook attempts is longer than that." = "retention" "length" "webhooks";
    WhyBy: "Who asked for a message: an API key, the operator, a campaign." = "key" "operator" "campaign";
    WhyChosen: "How a message's number was chosen: named in the request, or by the campaign's split of its audience among its senders." = "named" "split";
    WhyResolution: "What became of a message without proof, as the tenant chose." = "unknown" "sent_again";
    Blocks: "What a restriction keeps from the wire: nothing, everything but answers, or everything." = "nothing" "initiated" "all";
    KeyKind: "Whose a key is." = "operator" "reseller" "tenant";
    CodeMethod: "How the code that proves a number comes." = "sms" "voice";
    Evidence: "How what is known of a template came here: its account was read, by Meta's webhook, by Meta's answer to a change." = "sync" "webhook" "answer";
    SessionState: "How a session does now." = "idle" "working" "throttled" "restricted" "link_lost";
}

/// What a key may be good for.
pub(crate) struct Scope;

impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        let words = kabar_schema::records::Scope::ALL.iter().map(|scope| scope.word());
        let what = "What a key may be good for; new scopes may come.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(what))
            .enum_values(Some(words))
            .build()
            .into()
    }
}

impl ToSchema for Scope {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Scope")
    }
}

/// A time zone and why it was taken.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct Zone {
    /// Its IANA name.
    #[schema(example = "Asia/Jakarta")]
    name: String,
    source: ZoneSource,
}

/// Hours in which messages may be sent, on the recipient's wall clock.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct SendWindow {
    /// First minute of the day.
    #[schema(minimum = 0, maximum = 1439)]
    from_minute: u16,
    /// First minute after. Not after `from_minute`: the window ends on the next day.
    #[schema(minimum = 1, maximum = 1440)]
    until_minute: u16,
    /// On which days it opens, Monday first.
    #[schema(min_items = 7, max_items = 7)]
    days: Vec<bool>,
}

/// Hours in which nothing is sent, on the recipient's wall clock, every day.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct QuietHours {
    /// First quiet minute of the day.
    #[schema(minimum = 0, maximum = 1439)]
    from_minute: u16,
    /// First minute after. Not after `from_minute`: they end on the next day.
    #[schema(minimum = 1, maximum = 1440)]
    until_minute: u16,
}

/// When a campaign comes again. It sends nothing itself then: each time is a campaign of its own, with this one as its
/// origin. Its first possible moment is `start_at`, or the launch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct Recurrence {
    /// An iCalendar rule of FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH,
    /// BYSETPOS, WKST.
    #[schema(max_length = 200, example = "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=8")]
    rule: String,
    /// The IANA zone whose wall clock the rule follows.
    #[schema(example = "Asia/Jakarta")]
    zone: String,
}

/// One condition on a contact; texts are compared without regard to case. A contact without a value fits `not` alone.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(no_recursion, min_properties = 1, max_properties = 1)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct Filter {
    /// Every one of them.
    all: Option<Vec<Filter>>,
    /// At least one of them.
    any: Option<Vec<Filter>>,
    /// Not this.
    not: Option<Box<Filter>>,
    equals: Option<FieldText>,
    one_of: Option<FieldTexts>,
    contains: Option<FieldText>,
    starts_with: Option<FieldText>,
    /// The field has a value that is not blank.
    exists: Option<FieldName>,
    at_least: Option<FieldNumber>,
    at_most: Option<FieldNumber>,
}

/// A field (`name`, `phone`, `zone` or one of the contact's own) and a text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct FieldText {
    field: String,
    value: String,
}

/// A field and several texts.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct FieldTexts {
    field: String,
    values: Vec<String>,
}

/// A field.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct FieldName {
    field: String,
}

/// A field and a number.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is of interest; the engine owns the thing")]
pub(crate) struct FieldNumber {
    field: String,
    value: f64,
}

/// The members of a filter, by name.
pub(crate) fn filters() -> [(&'static str, serde_json::Value); 4] {
    let read = |schema: RefOr<Schema>| serde_json::to_value(schema).unwrap_or_default();
    [
        ("FieldText", read(FieldText::schema())),
        ("FieldTexts", read(FieldTexts::schema())),
        ("FieldName", read(FieldName::schema())),
        ("FieldNumber", read(FieldNumber::schema())),
    ]
}

/// A row that did not become a contact, or a value that was left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest; the schema room owns the thing")]
pub(crate) struct ImportProblem {
    /// The row, from 1; the header is row 1.
    row: u64,
    /// The column's name.
    column: String,
    /// Stable word.
    #[schema(example = "too_short")]
    code: String,
    /// One sentence with what to do; never the value itself.
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_that_are_given_have_the_shape_that_is_described() {
        let schema = serde_json::to_value(TenantId::schema()).unwrap();
        let pattern = schema["pattern"].as_str().unwrap();
        let id = kabar_engine::id::TenantId(0x7fff_ffff_ffff_ffff).to_string();
        let (prefix, digits) = id.split_once('_').unwrap();
        assert!(pattern.starts_with(&format!("^{prefix}_")) && digits.len() == 13, "{id} {pattern}");
        assert!(digits.bytes().all(|b| b"0123456789abcdefghjkmnpqrstvwxyz".contains(&b)), "{id}");
        assert!(schema["examples"][0].as_str().unwrap().parse::<kabar_engine::id::TenantId>().is_ok());
    }

    #[test]
    fn the_words_described_are_the_words_written() {
        fn same<S: PartialSchema>(written: impl serde::Serialize) {
            let schema = serde_json::to_value(S::schema()).unwrap();
            assert_eq!(schema["enum"], serde_json::to_value(written).unwrap());
        }
        use kabar_actors::view::CampaignState as C;
        use kabar_actors::view::WaitReason as W;
        use kabar_engine::cause::Fault as F;
        use kabar_engine::frequency::Purpose as P;
        use kabar_engine::schedule::ZoneSource as Z;
        use kabar_schema::records::Relation as R;
        use kabar_schema::records::{ConsentBasis as B, ImportState as I};
        same::<Purpose>([P::Marketing, P::Utility]);
        same::<ConsentBasis>([B::OptIn, B::ExistingCustomer, B::LegitimateInterest, B::Unknown]);
        same::<ImportState>([I::Reading, I::Done, I::Failed]);
        same::<CampaignState>([
            C::Draft,
            C::Scheduled,
            C::Freezing,
            C::Running,
            C::Settling,
            C::Paused,
            C::Cancelled,
            C::Finished,
        ]);
        same::<WaitReason>([
            W::Start,
            W::Recurrence,
            W::Paused,
            W::Blackout,
            W::QuietHours,
            W::SendWindow,
            W::Retry,
            W::Throttled,
            W::LinkLost,
            W::Restricted,
            W::Template,
            W::Pace,
        ]);
        use kabar_engine::health::Blocks as H;
        same::<Blocks>([H::Nothing, H::Initiated, H::All]);
        same::<Relation>([R::Clone, R::Retry, R::Occurrence]);
        same::<Fault>([F::Recipient, F::Sender, F::Provider, F::Kabar]);
        same::<WhyReason>(kabar_engine::why::Reason::ALL);
        use kabar_engine::why::Source as S;
        same::<WhySource>([S::Journal, S::Message, S::WebhookLog, S::Now]);
        same::<ZoneSource>([Z::Contact, Z::Number, Z::Default]);
        same::<Verb>((1..=4).filter_map(kabar_engine::campaign::Verb::from_byte).collect::<Vec<_>>());
        same::<Status>((1..=9).filter_map(kabar_engine::status::Status::from_byte).collect::<Vec<_>>());
        same::<EventType>(kabar_engine::event::Kind::ALL.map(kabar_engine::event::Kind::word).to_vec());
        same::<Lane>(kabar_engine::pacing::Lane::ALL);
    }
}
