//! `api/docs/events.md`: every type of event, when it happens and an example of its data. Written from the engine's
//! list and from what is really shown; a test fails when the committed page differs.

use super::shown::Shown;
use kabar_actors::dispatcher::Event;
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::entry::ConsentSource;
use kabar_engine::event::{About, Kind, OfMessage};
use kabar_engine::id::{
    CampaignId, ConversationId, EventId, MediaId, MessageId, SessionId, ShardId, TenantId, WebhookId,
};
use kabar_engine::notice::Notice;
use kabar_engine::pricing::Pricing;
use kabar_engine::time::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

const AT: Timestamp = Timestamp(1_798_110_000_000);

const FOLLOWING: &str = "## Following

`id` is the event's place in the journal (shard, position, place in the entry): the same at every reading, and what readers
know repeats by. Events are kept for seven days; a cursor from before that is refused with `cursor_expired`, never passed over.
The same cursor goes on in the list, the stream and the socket.

`GET /v1/events/stream` is server-sent events: `data:` is an event, `id:` a cursor, told at the end of what there is, at most once
a second in between and with the heartbeat of every 15 seconds. It begins now, at `since`, or behind `after`; a browser's
EventSource comes back with `Last-Event-ID` by itself. Between two cursors some events come again. An event named `problem` is the
last one; when the server ends, the stream does.

`GET /v1/events/socket` is a WebSocket: every text frame is `{\"cursor\": …, \"events\": […]}`, the place behind its events. The
caller may say `{\"after\": cursor}` at any time. Closed with 4400 (no such cursor), 4408 (nothing was taken for
`edge.write_stall_ms`, or no ping was answered), 4410 (`cursor_expired`), 4503, or 1001 when the server ends.

`GET /v1/events` itself answers in these forms too: the stream with `Accept: text/event-stream` (and without `application/json`), the
socket with the upgrade to a WebSocket.

";
const WEBHOOKS: &str = "## Webhooks

`POST /v1/webhooks` subscribes an address to what happens from then on. Each event is one POST of the same JSON as above, signed as
[Standard Webhooks](https://www.standardwebhooks.com) has it: `webhook-id` (the event's id, the same at every attempt),
`webhook-timestamp` (seconds), `webhook-signature` (`v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`; the secret is
`whsec_` and base64). The packages `standardwebhooks` of Python and npm verify it unchanged. After `rotate-secret` both secrets
sign for 24 hours.

Only addresses of the public internet are called, and networks the operator allows (`outbound.allow_networks`). That is judged
at every connection, of the address that was found; an address whose text shows it is refused with 422 when it is given.

An answer of 200 to 299 within 15 seconds counts; redirects are not followed. Otherwise the event is tried again 5 s, 5 min, 30 min,
2 h, 5 h, 10 h and 10 h after the attempt before, each up to a fifth longer, and then given up. Events of one conversation come
in their order: one that fails holds back the later ones of its conversation and nothing else; a campaign's message that nobody
answered counts as a conversation of its own. Events can come more than once: after a crash, what was brought in the last second
or two. Up to 1,000 events of a subscription wait; what comes then is read from the journal when some have ended. A tenant has at
most `server.webhooks_max` (50) subscriptions; one more is refused with `webhook_limit`.

When every attempt has failed for five days (a day without one begins them anew) the subscription is switched off with the event
`webhook.disabled`; `enable` goes on where it stood. `GET /v1/webhooks/{id}/deliveries` is the log of attempts, kept for 14 days and 128,000 attempts. `replay` brings one event,
everything since a moment, or with `missed` all that was given up. `webhook.test` is what `test` brings; it happened to nobody.

";

/// One event of each kind.
fn sample(kind: Kind) -> Event {
    let address = || Address::phone_digits("6281234567890").unwrap();
    let campaign = CampaignId(9);
    let of = |reported_at, cause| {
        let (message, session) = (Some(MessageId(7)), Some(SessionId(5)));
        let (conversation, address) = (Some(ConversationId(6)), Some(address()));
        let (recipient, priced) = (None, kind == Kind::MessageSentDetails);
        About::Message(Box::new(OfMessage {
            message,
            session,
            conversation,
            address,
            recipient,
            reported_at,
            cause,
            media: (kind == Kind::MediaStored).then_some(MediaId(4)),
            pricing: priced.then(|| Pricing::from_line("1|PMP|regular|utility|").map(Arc::new)).flatten(),
            ..OfMessage::default()
        }))
    };
    let about = match kind {
        Kind::MessageAccepted
        | Kind::MessageSent
        | Kind::MessageUnknown
        | Kind::MessageExpired
        | Kind::MediaStored => of(None, None),
        Kind::MediaFailed => of(None, Some(Cause::MEDIA_EXPIRED)),
        Kind::MessageSentDetails
        | Kind::MessageDelivered
        | Kind::MessageRead
        | Kind::MessagePlayed
        | Kind::MessageReceived => of(Some(AT.plus_ms(-1_000)), None),
        Kind::MessageFailed => of(Some(AT.plus_ms(-1_000)), Some(Cause(131_026))),
        Kind::MessageCancelled => of(None, Some(Cause::CANCELLED)),
        Kind::ConversationOpened => {
            About::Conversation { conversation: ConversationId(6), session: SessionId(5), address: address() }
        }
        Kind::ContactOptedOut => About::Contact { address: address(), source: ConsentSource::Word },
        Kind::ContactOptedIn => About::Contact { address: address(), source: ConsentSource::Api },
        Kind::CampaignLaunched
        | Kind::CampaignPaused
        | Kind::CampaignResumed
        | Kind::CampaignCancelled
        | Kind::CampaignFinished => About::Campaign(campaign),
        Kind::WebhookDisabled => About::Webhook { webhook: WebhookId(8), since: AT.plus_ms(-432_000_000) },
        Kind::CampaignFrozen => About::Frozen {
            campaign,
            contacts: 40,
            opted_out: 1,
            missing_variable: 4,
            frequency_capped: 0,
            recipients: 35,
        },
        kind => told(kind),
    };
    Event { id: EventId::of(ShardId(1), 41, 0), seq: 41, at: AT, kind, about }
}

/// What Meta tells.
fn told(kind: Kind) -> About {
    match kind {
        Kind::TemplateStatusChanged => notice("message_template_status_update", PAUSED),
        Kind::TemplateQualityChanged => notice("message_template_quality_update", RATED),
        Kind::TemplateCategoryChanged => notice("template_category_update", RECATEGORISED),
        Kind::TemplateComponentsChanged => notice("message_template_components_update", "{}"),
        Kind::NumberQualityChanged => notice("phone_number_quality_update", UPGRADED),
        Kind::NumberNameChanged => notice("phone_number_name_update", r#"{"decision": "APPROVED"}"#),
        Kind::NumberUsernameChanged => notice("business_username_update", r#"{"status": "approved"}"#),
        Kind::NumberSecurityChanged => notice("security", r#"{"event": "PIN_CHANGED"}"#),
        Kind::NumberFailed => notice("errors", r#"{"code": 130429, "title": "Rate limit hit"}"#),
        Kind::AccountUpdated => notice("account_update", RESTRICTED),
        Kind::AccountReviewed => notice("account_review_update", r#"{"decision": "APPROVED"}"#),
        Kind::AccountAlerted => notice("account_alerts", r#"{"alert_info": {"alert_type": "OBA_APPROVED"}}"#),
        Kind::AccountCapabilityChanged => notice("business_capability_update", "{}"),
        Kind::FlowChanged => notice("flows", r#"{"event": "FLOW_STATUS_CHANGE"}"#),
        Kind::CallChanged => notice("calls", "{}"),
        Kind::GroupChanged => notice("group_lifecycle_update", "{}"),
        Kind::LinkClicked => notice("user_actions", "{}"),
        Kind::PhoneHistory => notice("history", "{}"),
        Kind::PhoneEcho => notice("smb_message_echoes", "{}"),
        Kind::PhoneContact => notice("smb_app_state_sync", "{}"),
        Kind::AgentStandby => notice("standby", "{}"),
        Kind::AgentHandover => notice("messaging_handovers", "{}"),
        Kind::ProviderUnknown => notice("field_of_2030", r#"{"anything": 1}"#),
        kind => panic!("{kind:?} has no sample"),
    }
}

const PAUSED: &str =
    r#"{"event": "PAUSED", "message_template_name": "promo", "message_template_language": "en-US"}"#;
const RATED: &str =
    r#"{"new_quality_score": "RED", "message_template_name": "promo", "message_template_language": "en-US"}"#;
const RECATEGORISED: &str = r#"{"new_category": "MARKETING", "message_template_name": "promo", "message_template_language": "en-US"}"#;
const UPGRADED: &str =
    r#"{"event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": "TIER_100K"}"#;
const RESTRICTED: &str = r#"{"event": "ACCOUNT_RESTRICTION"}"#;

/// A notice of the number or, where it is about a template or an account, of none.
fn notice(field: &str, value: &str) -> About {
    let of_none = ["template", "account", "business_capability"].iter().any(|word| field.contains(word));
    let session = (!of_none).then_some(SessionId(5));
    let at = Some(AT.plus_ms(-1_000));
    About::Notice(Box::new(Notice { session, at, ..Notice::new(field, Some("102000000000001"), value) }))
}

fn shown(event: Event) -> Value {
    serde_json::to_value(Shown::of(TenantId(3), event)).unwrap()
}

fn page() -> String {
    let mut page = String::from(
        "# Events\n\nWritten from the code; a test fails when it differs.\n\n`GET /v1/events` gives what happened, in the \
         order in which Kabar learned it; `kabar events --follow` prints it as it comes.\nAsk `after` = the `next` of the \
         page before: `next` is always given, `more` says whether asking on now may give more. A cursor\nthat is older \
         than what is kept is refused with `cursor_expired`.\n\nEvery event has `id` (the same at every reading), `seq` \
         (rises within a session and within a campaign; several events can\nshare one), `occurred_at` (when Kabar learned \
         it), `type`, `version` of its `data`, `tenant`, `session` (null for contacts and\ncampaigns) and `data`. \
         New types and new fields of `data` may come.\n\nAn event tells what Kabar heard. WhatsApp's reports overtake one \
         another and its answer to the call: `message.sent` can come\ntwice, or after `message.delivered`. The furthest \
         that was told holds; a report that is merely repeated is no event again.\n\nIn `data` of `message.*`: `reported_at` is WhatsApp's own \
         time, where it said one; `campaign` is the campaign and the\nrecipient's `index` in it. A campaign's message \
         that nobody answered has no conversation and no address here: read the\nmessage. `error` is explained in \
         [errors.md](errors.md). `pricing` is what WhatsApp says of the price and `referral` (of `message.received`) the \
         advertisement or post\nthe person came from; both stand there only where they were told.\n\nWhat WhatsApp tells \
         beside messages (`template.*`, `number.*`, `account.*`, `flow.*`, `call.*`, `group.*`, `link.*`, `phone.*`,\n`agent.*`, \
         `provider.*`) has in `data`: `field` (WhatsApp's name), `account`, `event` (its word for what happened), \
         `template`,\n`reported_at`, and `value` as it came, null when it was longer than 20 KiB: an item of a number's value \
         stands in its list beside\nthe `contacts` that came with it, where any came. `session` is the number where it names one. A repeat\nwithin seven days is no event again. What such an event says of a number is the \
         session's `health`.\n\n",
    );
    page.push_str(FOLLOWING);
    page.push_str(WEBHOOKS);
    page.push_str("## Types\n\n| type | when | example of `data` |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let data = &shown(sample(kind))["data"];
        writeln!(page, "| `{}` | {} | `{data}` |", kind.word(), kind.meaning()).unwrap();
    }
    page
}

#[test]
fn every_type_stands_on_the_page_that_is_committed() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page(), "api/docs/events.md is old: run this test with KABAR_WRITE_PAGES=1");
}

/// Integrations are written against these shapes: a field never goes and never changes its meaning.
#[test]
fn an_events_json_is_golden() {
    let of_message = |reported: Value, error: Value| {
        json!({"message": "msg_0000000000007", "conversation": "cnv_0000000000006", "address": "+6281234567890",
            "campaign": null, "reported_at": reported, "error": error, "biz_opaque_callback_data": null})
    };
    let reported = json!("2026-12-24T10:59:59.000Z");
    let of_campaign = json!({"campaign": "cmp_0000000000009"});
    let contact = |source: &str| json!({"address": "+6281234567890", "source": source});
    for kind in Kind::ALL {
        let data = match kind.word() {
            "message.accepted" | "message.sent" | "message.unknown" | "message.expired" => {
                of_message(Value::Null, Value::Null)
            }
            "message.delivered" | "message.read" | "message.played" | "message.received" => {
                of_message(reported.clone(), Value::Null)
            }
            "message.sent_details" => {
                let mut data = of_message(reported.clone(), Value::Null);
                data["pricing"] = json!({"billable": true, "model": "PMP", "type": "regular", "category": "utility",
                    "origin": null});
                data
            }
            "message.failed" => of_message(
                reported.clone(),
                json!({"code": "undeliverable", "number": 131_026, "fault": "recipient", "retryable": false,
                    "meaning": "Not on WhatsApp, an old client, or terms not accepted; WhatsApp does not tell which.",
                    "remedy": "Check the number with the person."}),
            ),
            "message.cancelled" => of_message(
                Value::Null,
                json!({"code": "cancelled", "number": 1, "fault": "sender", "retryable": false,
                    "meaning": "The tenant cancelled it before it was sent.",
                    "remedy": "Nothing; send it again if it was a mistake."}),
            ),
            "media.stored" => {
                let mut data = of_message(Value::Null, Value::Null);
                data["media"] = json!("med_0000000000004");
                data
            }
            "media.failed" => of_message(
                Value::Null,
                json!({"code": "media_expired", "number": 21, "fault": "kabar", "retryable": false,
                    "meaning": "WhatsApp no longer has the media the person sent.",
                    "remedy": "Ask the person to send it again."}),
            ),
            "conversation.opened" => {
                json!({"conversation": "cnv_0000000000006", "address": "+6281234567890"})
            }
            "contact.opted_out" => contact("word"),
            "contact.opted_in" => contact("api"),
            "campaign.frozen" => json!({"campaign": "cmp_0000000000009", "contacts": 40, "opted_out": 1,
                "missing_variable": 4, "frequency_capped": 0, "recipients": 35}),
            "campaign.launched" | "campaign.paused" | "campaign.resumed" | "campaign.cancelled"
            | "campaign.finished" => of_campaign.clone(),
            "webhook.disabled" => {
                json!({"webhook": "whk_0000000000008", "since": "2026-12-19T11:00:00.000Z"})
            }
            _ if matches!(sample(kind).about, About::Notice(_)) => of_notice(&sample(kind)),
            other => panic!("{other} has no golden form"),
        };
        let numbered = sample(kind).session().is_some();
        let session = if numbered { json!("ses_0000000000005") } else { Value::Null };
        let whole = json!({"id": "evt_010000000mg00", "seq": 41, "occurred_at": "2026-12-24T11:00:00.000Z",
            "type": kind.word(), "version": 1, "tenant": "ten_0000000000003", "session": session, "data": data});
        assert_eq!(shown(sample(kind)), whole);
    }
}

/// The form of every notice: what WhatsApp said, and what Kabar reads in it.
fn of_notice(event: &Event) -> Value {
    let About::Notice(notice) = &event.about else { panic!("no notice") };
    let value: Value = serde_json::from_str(notice.value.as_deref().unwrap()).unwrap();
    let word = match &*notice.field {
        "message_template_status_update" => json!("PAUSED"),
        "message_template_quality_update" => json!("RED"),
        "template_category_update" => json!("MARKETING"),
        "phone_number_quality_update" => json!("THROUGHPUT_UPGRADE"),
        "phone_number_name_update" | "account_review_update" => json!("APPROVED"),
        "business_username_update" => json!("approved"),
        "security" => json!("PIN_CHANGED"),
        "account_update" => json!("ACCOUNT_RESTRICTION"),
        "account_alerts" => json!("OBA_APPROVED"),
        "flows" => json!("FLOW_STATUS_CHANGE"),
        _ => Value::Null,
    };
    let promo = json!({"name": "promo", "language": "en_US"});
    let template = if value.get("message_template_name").is_some() { promo } else { Value::Null };
    json!({"field": &*notice.field, "account": "102000000000001", "event": word, "template": template,
        "reported_at": "2026-12-24T10:59:59.000Z", "value": value})
}

#[test]
fn a_price_and_a_referral_stand_beside_the_rest() {
    let pricing = Pricing::from_line("1|PMP|regular|utility|").map(Arc::new);
    let referral = Some(Box::new(json!({"source_id": "1"})));
    let about = About::Message(Box::new(OfMessage { pricing, referral, ..OfMessage::default() }));
    let data = &shown(Event { about, ..sample(Kind::MessageDelivered) })["data"];
    let price =
        json!({"billable": true, "model": "PMP", "type": "regular", "category": "utility", "origin": null});
    assert_eq!((&data["pricing"], &data["referral"]), (&price, &json!({"source_id": "1"})));
}

#[test]
fn a_recipients_event_names_its_campaign() {
    let recipient = Some((CampaignId(9), 12));
    let about = About::Message(Box::new(OfMessage { recipient, ..OfMessage::default() }));
    let event = Event { about, ..sample(Kind::MessageSent) };
    let campaign = json!({"id": "cmp_0000000000009", "index": 12});
    assert_eq!(
        shown(event)["data"],
        json!({"message": null, "conversation": null, "address": null, "campaign": campaign,
            "reported_at": null, "error": null, "biz_opaque_callback_data": null})
    );
}
