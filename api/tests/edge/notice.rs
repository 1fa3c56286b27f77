//! What Meta tells beside messages: every field is an event and nothing is lost, and what it says of a number is the number's
//! health, with the event that said it. Not the webhook's door, which is `webhook.rs`.

use super::house::{Answer, House, OPERATOR, Tenant, sandbox, template};
use hmac::Mac;
use kabar_engine::event::Kind;
use kabar_sandbox::Sandbox;
use kabar_schema::store::Store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NEW: &str = "the-new-secret";
const OLD: &str = "the-old-secret";
const ACCOUNT: &str = "102000000000001";

/// A tenant's app with two secrets, and its number.
pub struct Desk<'a> {
    pub tenant: Tenant<'a>,
    path: String,
    pub session: String,
    number: String,
    display: String,
}

impl<'a> Desk<'a> {
    pub async fn open(house: &'a House, sandbox: &Sandbox) -> Self {
        Self::at(house, (sandbox, &sandbox.base_url())).await
    }

    /// The number of a sandbox at another address.
    pub async fn at(house: &'a House, (sandbox, base_url): (&Sandbox, &str)) -> Self {
        let tenant = house.tenant("A").await;
        let app = json!({"app_secrets": [NEW, OLD], "verify_token": "token"});
        let app = tenant.call("POST /v1/apps", app).await.json();
        let config = &sandbox.config();
        let number = &config.numbers[0];
        let session = json!({"name": "notices", "app": app["id"], "phone_number_id": number.phone_number_id,
            "display_phone_number": number.display_phone_number, "access_token": config.access_tokens[0],
            "base_url": base_url, "validate": base_url == sandbox.base_url()});
        let operator = format!("Bearer {OPERATOR}");
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant.id.as_str())];
        let session = house.call("POST /v1/sessions", &headers, session.to_string()).await.id();
        let path = format!("POST {}", app["webhook_path"].as_str().unwrap());
        let digits = number.display_phone_number.chars().filter(char::is_ascii_digit).collect();
        Self { tenant, path, session, number: number.phone_number_id.clone(), display: digits }
    }

    /// A whole webhook, as it is.
    pub async fn webhook(&self, house: &House, body: &Value) {
        let answer = self.post(house, NEW, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "EVENT_RECEIVED"), "{body}");
    }

    async fn post(&self, house: &House, secret: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        house.call(&self.path, &[("x-hub-signature-256", &format!("sha256={hex}"))], body).await
    }

    /// One change, of now or of so many seconds later.
    pub async fn tell(&self, house: &House, field: &str, value: Value) {
        let entry =
            json!({"id": ACCOUNT, "time": 1_790_000_000, "changes": [{"field": field, "value": value}]});
        self.later(house, entry).await;
    }

    async fn later(&self, house: &House, entry: Value) {
        self.webhook(house, &json!({"object": "whatsapp_business_account", "entry": [entry]})).await;
    }

    async fn events(&self, types: &str) -> Vec<Value> {
        let page = self.tenant.get(&format!("/v1/events?limit=200&{types}")).await.json();
        page["data"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
    }

    async fn session(&self) -> Value {
        self.tenant.get(&format!("/v1/sessions/{}", self.session)).await.json()
    }

    /// A value of the `messages` field.
    pub fn value(&self, extra: Value) -> Value {
        let mut value = json!({"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": self.display, "phone_number_id": self.number}});
        for (key, item) in extra.as_object().unwrap() {
            value[key] = item.clone();
        }
        value
    }

    /// Every field of the reference, the type of its event, and whether it names the number.
    fn fields(&self) -> Vec<(&'static str, Value, &'static str, bool)> {
        let numbered = OF_NUMBER.iter().map(|(field, kind, value)| {
            let mut value: Value = serde_json::from_str(value).unwrap();
            value["display_phone_number"] = json!(self.display);
            (*field, value, *kind, true)
        });
        let listed = LISTED
            .iter()
            .map(|(field, kind, list)| (*field, self.value(json!({*list: [{"anything": 1}]})), *kind, true));
        let others = OF_ACCOUNT
            .iter()
            .map(|(field, kind, value)| (*field, serde_json::from_str(value).unwrap(), *kind, false));
        numbered.chain(listed).chain(others).collect()
    }
}

/// Fields that name the number by its digits: field, type of the event, value.
const OF_NUMBER: [(&str, &str, &str); 4] = [
    ("phone_number_quality_update", "number.quality_changed", r#"{"event": "ONBOARDING"}"#),
    ("phone_number_name_update", "number.name_changed", r#"{"decision": "APPROVED"}"#),
    ("business_username_update", "number.username_changed", r#"{"username": "toko", "status": "approved"}"#),
    ("security", "number.security_changed", r#"{"event": "PIN_CHANGED", "requester": "1"}"#),
];
/// Fields that name it by its id: field, type, the list in them.
const LISTED: [(&str, &str, &str); 10] = [
    ("calls", "call.changed", "calls"),
    ("group_lifecycle_update", "group.changed", "groups"),
    ("group_participants_update", "group.changed", "groups"),
    ("group_settings_update", "group.changed", "groups"),
    ("group_status_update", "group.changed", "groups"),
    ("history", "phone.history", "history"),
    ("smb_message_echoes", "phone.echo", "message_echoes"),
    ("smb_app_state_sync", "phone.contact", "state_sync"),
    ("standby", "agent.standby", "messages"),
    ("messaging_handovers", "agent.handover", "handovers"),
];
/// Fields of an account, and what nobody knows: field, type, value.
const OF_ACCOUNT: [(&str, &str, &str); 11] = [
    (
        "message_template_status_update",
        "template.status_changed",
        r#"{"event": "APPROVED", "message_template_id": 1689556908129832, "message_template_name": "promo", "message_template_language": "en-US"}"#,
    ),
    (
        "message_template_quality_update",
        "template.quality_changed",
        r#"{"new_quality_score": "GREEN", "message_template_name": "promo", "message_template_language": "en-US"}"#,
    ),
    (
        "template_category_update",
        "template.category_changed",
        r#"{"new_category": "MARKETING", "message_template_name": "promo", "message_template_language": "en-US"}"#,
    ),
    (
        "message_template_components_update",
        "template.components_changed",
        r#"{"message_template_name": "promo", "message_template_element": "x"}"#,
    ),
    ("account_update", "account.updated", r#"{"event": "PARTNER_ADDED"}"#),
    ("account_review_update", "account.reviewed", r#"{"decision": "APPROVED"}"#),
    ("account_alerts", "account.alerted", r#"{"alert_info": {"alert_type": "OBA_APPROVED"}}"#),
    ("business_capability_update", "account.capability_changed", r#"{"max_phone_numbers_per_waba": 25}"#),
    ("flows", "flow.changed", r#"{"event": "FLOW_STATUS_CHANGE", "flow_id": "1"}"#),
    ("payment_configuration_update", "provider.unknown", r#"{"status": "x"}"#),
    ("field_of_2030", "provider.unknown", r#"{"anything": {"deep": [1, 2]}}"#),
];

#[tokio::test]
async fn every_field_meta_tells_is_an_event_of_its_type_with_the_raw_value_and_a_repeat_is_none() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    for _twice in 0..2 {
        for (field, value, ..) in desk.fields() {
            desk.tell(&house, field, value).await;
        }
        let errors = json!({"errors": [{"code": 130_429, "title": "Rate limit hit"}]});
        desk.tell(&house, "messages", desk.value(errors)).await;
        let clicks = json!({"user_actions": [{"action_type": "marketing_messages_link_click"}]});
        desk.tell(&house, "messages", desk.value(clicks)).await;
        desk.tell(&house, "messages", desk.value(json!({"statuses": [{"status": "status_of_2030"}]}))).await;
    }
    let events = desk.events("").await;
    let told: Vec<&Value> = events.iter().filter(|e| e["data"].get("field").is_some()).collect();
    assert_eq!(told.len(), desk.fields().len() + 3, "each once: {told:#?}");
    for (field, value, kind, numbered) in desk.fields() {
        let event = told.iter().find(|e| e["data"]["field"] == field).unwrap_or_else(|| panic!("no {field}"));
        assert_eq!((event["type"].as_str(), &event["data"]["value"]), (Some(kind), &value), "{field}");
        assert_eq!((&event["data"]["account"], event["version"].as_u64()), (&json!(ACCOUNT), Some(1)));
        assert_eq!(event["data"]["reported_at"], "2026-09-21T14:13:20.000Z", "{field}");
        let session = if numbered { json!(desk.session) } else { Value::Null };
        assert_eq!(event["session"], session, "{field}");
    }
    let by = |field: &str| told.iter().find(|e| e["data"]["field"] == field).unwrap()["type"].clone();
    assert_eq!(
        [by("errors"), by("user_actions"), by("statuses")].map(|t| t.as_str().unwrap().to_owned()),
        ["number.failed", "link.clicked", "provider.unknown"]
    );
    let promo = json!({"name": "promo", "language": "en_US"});
    let status = told.iter().find(|e| e["type"] == "template.status_changed").unwrap();
    assert_eq!((&status["data"]["template"], &status["data"]["event"]), (&promo, &json!("APPROVED")));
    // Every kind that is a notice's was met here.
    let met: BTreeSet<&str> = told.iter().map(|e| e["type"].as_str().unwrap()).collect();
    let families = [
        "template.",
        "number.",
        "account.",
        "flow.",
        "call.",
        "group.",
        "link.",
        "phone.",
        "agent.",
        "provider.",
    ];
    let all: BTreeSet<&str> =
        Kind::ALL.into_iter().map(Kind::word).filter(|w| families.iter().any(|f| w.starts_with(f))).collect();
    assert_eq!(met, all);
    // What is asked for alone is found alone.
    assert_eq!(desk.events("types=provider.unknown").await.len(), 3);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_value_too_long_for_an_entry_is_told_and_kept_aside() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    desk.tell(&house, "history", desk.value(json!({"history": ["x".repeat(60_000)]}))).await;
    let events = desk.events("types=phone.history").await;
    assert_eq!((events.len(), &events[0]["data"]["value"]), (1, &Value::Null));
    let strays = house.running.node.store().nouns.page::<kabar_schema::records::Stray>(
        desk.tenant.id.parse().unwrap(),
        None,
        None,
        9,
    );
    assert_eq!(strays.await.unwrap()[0].noun.bytes.len(), kabar_schema::records::Stray::BYTES_MAX);
    house.running.shutdown().await;
    sandbox.stop().await;
}

/// What says something of every part of a number's health.
async fn tell_health(house: &House, desk: &Desk<'_>) {
    let upgrade = json!({"display_phone_number": desk.display, "event": "THROUGHPUT_UPGRADE",
        "max_daily_conversations_per_business": "TIER_100K"});
    desk.tell(house, "phone_number_quality_update", upgrade).await;
    let flagged =
        json!({"display_phone_number": desk.display, "event": "FLAGGED", "current_limit": "TIER_1K"});
    desk.tell(house, "phone_number_quality_update", flagged).await;
    desk.tell(
        house,
        "phone_number_name_update",
        json!({"display_phone_number": desk.display, "decision": "REJECTED"}),
    )
    .await;
    desk.tell(house, "account_review_update", json!({"decision": "APPROVED"})).await;
    let paused = json!({"event": "PAUSED", "message_template_name": "promo", "message_template_language": "en-US",
        "other_info": {"title": "FIRST_PAUSE"}});
    desk.tell(house, "message_template_status_update", paused).await;
    let locked =
        json!({"errors": [{"code": 131_031, "title": "locked", "error_data": {"details": "See Manager"}}]});
    desk.tell(house, "messages", desk.value(locked)).await;
}

#[tokio::test]
async fn a_numbers_health_is_shown_with_evidence_and_time_and_survives_a_restart() {
    let (store, sandbox) = (Store::memory(), sandbox().await);
    let house = House::on(store.clone(), |_| {}).await;
    let desk = Desk::open(&house, &sandbox).await;
    assert_eq!(desk.session().await["health"]["quality"], Value::Null);
    tell_health(&house, &desk).await;
    let events: BTreeMap<String, Value> = desk
        .events("")
        .await
        .into_iter()
        .map(|e| (e["type"].as_str().unwrap().to_owned(), e["id"].clone()))
        .collect();
    let shown = desk.session().await;
    let health = &shown["health"];
    let at = "2026-09-21T14:13:20.000Z";
    for (what, value, kind) in [
        ("messaging_limit", "TIER_1K", "number.quality_changed"),
        ("throughput", "HIGH", "number.quality_changed"),
        ("quality", "RED", "number.quality_changed"),
        ("display_name", "REJECTED", "number.name_changed"),
        ("review", "APPROVED", "account.reviewed"),
    ] {
        assert_eq!((&health[what]["value"], &health[what]["at"]), (&json!(value), &json!(at)), "{health:#}");
        let event = &health[what]["evidence"]["event"];
        // Two events of one type: the newer one is in the map.
        assert!(event == &events[kind] || what == "throughput", "{what}: {event}");
        assert_eq!(health[what]["evidence"]["code"], Value::Null);
    }
    let template = &health["templates"][0];
    let told =
        [&template["name"], &template["language"], &template["state"], &template["held"], &template["until"]];
    assert_eq!(
        told,
        [
            &json!("promo"),
            &json!("en_US"),
            &json!("PAUSED"),
            &json!(true),
            &json!("2026-09-21T17:13:20.000Z")
        ]
    );
    let error = &health["last_error"];
    assert_eq!(
        (&error["error"]["code"], &error["detail"]),
        (&json!("account_locked"), &json!("See Manager"))
    );
    assert_eq!(error["evidence"], json!({"event": null, "code": 131_031}));
    assert_eq!(health["account"], ACCOUNT);
    let whose = (desk.tenant.id.clone(), desk.tenant.key.clone(), String::new());
    let session = desk.session.clone();
    house.running.shutdown().await;
    let again = House::on(store, |_| {}).await;
    let tenant = again.again(whose);
    let shown = tenant.get(&format!("/v1/sessions/{session}")).await.json();
    assert_eq!(&shown["health"], health);
    again.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_disabled_account_holds_what_would_be_sent_and_lets_it_go_when_it_is_reinstated() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    desk.tell(&house, "account_update", ban("DISABLE")).await;
    let held = desk.tenant.call("POST /v1/messages", template(&desk.session, "6281234567890")).await.id();
    let path = format!("/v1/messages/{held}");
    let waits = desk.tenant.until(&path, |m| m["wait"]["reason"] == "restricted").await;
    assert_eq!((&waits["status"], &waits["error"]), (&json!("queued"), &Value::Null));
    let shown = desk.session().await;
    let restriction = &shown["health"]["restriction"];
    assert_eq!(
        (&shown["state"], &restriction["blocks"], &restriction["kind"]),
        (&json!("restricted"), &json!("all"), &json!("DISABLE"))
    );
    assert_eq!(sandbox.ledger().len(), 0, "nothing was burned");
    let later = json!({"id": ACCOUNT, "time": 1_790_000_100, "changes": [{"field": "account_update", "value": ban("REINSTATE")}]});
    desk.later(&house, later).await;
    desk.tenant.until(&path, |m| m["status"] == "sent").await;
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_paused_template_holds_its_messages_and_no_others() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let status = |event: &str, title: &str| {
        json!({"event": event, "message_template_name": "halo",
        "message_template_language": "id", "other_info": {"title": title}})
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let entry = |value: Value, after: u64| {
        json!({"id": ACCOUNT, "time": now + after,
        "changes": [{"field": "message_template_status_update", "value": value}]})
    };
    // Accepted before anybody knew of the pause; what is asked for after that is refused at once.
    let mut early = template(&desk.session, "6281234567890");
    let soon = kabar_engine::time::Timestamp(i64::try_from(now).unwrap() * 1_000 + 3_000);
    early["options"] = json!({"send_at": soon.to_rfc3339()});
    let held = desk.tenant.call("POST /v1/messages", early).await.id();
    desk.later(&house, entry(status("PAUSED", "FIRST_PAUSE"), 0)).await;
    let late = desk.tenant.call("POST /v1/messages", template(&desk.session, "6281234567892")).await;
    assert_eq!(late.problem(), (422, "template_unusable".into()));
    let mut other = template(&desk.session, "6281234567891");
    other["template"]["name"] = json!("lain");
    let other = desk.tenant.call("POST /v1/messages", other).await.id();
    desk.tenant.until(&format!("/v1/messages/{other}"), |m| m["status"] == "sent").await;
    let path = format!("/v1/messages/{held}");
    let waits = desk.tenant.until(&path, |m| m["error"]["code"] == "template_paused").await;
    assert_eq!((&waits["status"], &waits["wait"]["reason"]), (&json!("queued"), &json!("retry")));
    assert_eq!(sandbox.ledger().len(), 1);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_referral_a_price_and_a_username_are_told_and_stay() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let write = |id: &str, at: u64, referral: Value| {
        desk.value(json!({
            "contacts": [{"profile": {"name": "Ana", "username": "ana.d"}, "wa_id": "6281234567890", "user_id": "ID.99"}],
            "messages": [{"from": "6281234567890", "id": id, "timestamp": at.to_string(), "type": "text",
                "text": {"body": "Halo"}, "context": {"forwarded": true}, "referral": referral}]}))
    };
    let [first, last] =
        ["120", "130"].map(|id| json!({"source_id": id, "source_type": "ad", "ctwa_clid": "c"}));
    desk.tell(&house, "messages", write("wamid.1", 1_790_000_000, first.clone())).await;
    desk.tell(&house, "messages", write("wamid.2", 1_790_000_060, last.clone())).await;
    let received = desk.events("types=message.received").await;
    assert_eq!(received.iter().map(|e| &e["data"]["referral"]).collect::<Vec<_>>(), [&first, &last]);
    let conversation = received[0]["data"]["conversation"].as_str().unwrap().to_owned();
    let talk = desk.tenant.get(&format!("/v1/conversations/{conversation}")).await.json();
    assert_eq!(
        (&talk["referrals"]["first"]["referral"], &talk["referrals"]["last"]["referral"]),
        (&first, &last)
    );
    assert_eq!(talk["referrals"]["first"]["at"], "2026-09-21T14:13:20.000Z");
    assert_eq!((&talk["username"], &talk["aliases"]), (&json!("ana.d"), &json!(["user_id:ID.99"])));
    let message = received[0]["data"]["message"].as_str().unwrap();
    let shown = desk.tenant.get(&format!("/v1/messages/{message}")).await.json();
    assert_eq!((&shown["beside"]["forwarded"], &shown["beside"]["referral"]), (&json!(true), &first));

    let sent = desk.tenant.call("POST /v1/messages", template(&desk.session, "6281234567891")).await.id();
    desk.tenant.until(&format!("/v1/messages/{sent}"), |m| m["status"] == "sent").await;
    let reference = sandbox.ledger()[0].reference.clone().unwrap();
    let pricing =
        json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "marketing"});
    let delivered = json!({"statuses": [{"id": "wamid.OUT", "status": "delivered", "timestamp": "1790000100",
        "recipient_id": "6281234567891", "biz_opaque_callback_data": reference, "pricing": pricing,
        "conversation": {"id": "c", "origin": {"type": "referral_conversion"}}}]});
    desk.tell(&house, "messages", desk.value(delivered)).await;
    let price = json!({"billable": true, "model": "PMP", "type": "regular", "category": "marketing", "origin": "referral_conversion"});
    let shown = desk.tenant.get(&format!("/v1/messages/{sent}")).await.json();
    assert_eq!((&shown["status"], &shown["pricing"]), (&json!("delivered"), &price));
    let events = desk.events("types=message.delivered").await;
    assert_eq!((events.len(), &events[0]["data"]["pricing"]), (1, &price));
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_changed_number_leads_to_the_same_conversation_and_an_opt_out_moves_along() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let (old, new) = ("6281234567890", "6281999999999");
    let stop = json!({"contacts": [{"profile": {"name": "Ana"}, "wa_id": old}], "messages": [
        {"from": old, "id": "wamid.1", "timestamp": "1790000000", "type": "text", "text": {"body": "STOP"}}]});
    desk.tell(&house, "messages", desk.value(stop)).await;
    let system = json!({"messages": [{"from": old, "id": "wamid.2", "timestamp": "1790000050", "type": "system",
        "system": {"type": "user_changed_number", "body": "changed", "wa_id": new}}]});
    desk.tell(&house, "messages", desk.value(system)).await;
    let talks =
        desk.tenant.until("/v1/conversations", |page| page["data"][0]["aliases"][0].is_string()).await;
    assert_eq!(talks["data"].as_array().unwrap().len(), 1, "{talks:#}");
    let id = talks["data"][0]["id"].as_str().unwrap();
    let talk = desk.tenant.get(&format!("/v1/conversations/{id}")).await.json();
    assert_eq!(
        (&talk["aliases"], &talk["unread"]),
        (&json!([format!("+{new}")]), &json!(1)),
        "a change is not to be read"
    );
    let refused = desk.tenant.call("POST /v1/messages", template(&desk.session, new)).await;
    assert_eq!(refused.problem(), (422, "opted_out".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn both_secrets_are_taken_while_one_replaces_the_other_and_no_third() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let body = json!({"object": "whatsapp_business_account", "entry": []});
    for secret in [NEW, OLD] {
        assert_eq!(desk.post(&house, secret, &body).await.status, 200, "{secret}");
    }
    assert_eq!(desk.post(&house, "another", &body).await.problem(), (401, "bad_signature".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}
