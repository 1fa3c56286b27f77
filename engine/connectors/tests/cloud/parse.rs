//! The webhook parser against the shapes of Meta's reference, and against everything else.

use kabar_connectors::cloud::{Change, InboundStatus, NumberEvents, ParseError, parse};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, MessageId};
use kabar_engine::outgoing::Reference;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const NUMBER: &str = "106000000000001";
const ANA: &str = "15550100001";
const ANA_ID: &str = "US.13491208655302741918";

fn envelope(field: &str, value: Value) -> Value {
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": "102000000000001", "changes": [{"field": field, "value": value}]}]})
}

fn value(extra: Value) -> Value {
    let mut value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550200000", "phone_number_id": NUMBER}});
    for (key, item) in extra.as_object().unwrap() {
        value[key] = item.clone();
    }
    value
}

fn messages(extra: Value) -> Value {
    envelope("messages", value(extra))
}

fn inbound(message: Value) -> Value {
    let mut whole = json!({"from": ANA, "from_user_id": ANA_ID, "id": "wamid.IN", "timestamp": "1790000000"});
    for (key, item) in message.as_object().unwrap() {
        whole[key] = item.clone();
    }
    messages(json!({
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": ANA_ID}], "messages": [whole]
    }))
}

fn status(extra: Value) -> Value {
    let mut status = json!({"id": "wamid.OUT", "status": "delivered", "timestamp": "1790000003",
        "recipient_id": ANA, "recipient_user_id": ANA_ID});
    for (key, item) in extra.as_object().unwrap() {
        status[key] = item.clone();
    }
    status
}

fn read(body: &Value) -> Vec<Change> {
    parse(body.to_string().as_bytes()).unwrap()
}

fn events(body: &Value) -> NumberEvents {
    match read(body).as_slice() {
        [Change::Number(events)] => events.clone(),
        other => panic!("not one number: {other:?}"),
    }
}

fn phone(digits: &str) -> Address {
    Address::phone_digits(digits).unwrap()
}

fn user_id(id: &str) -> Address {
    Address::user_id(id).unwrap()
}

#[test]
fn a_status_carries_reference_time_and_recipient() {
    let reference = Reference::Campaign(CampaignId(99), 7);
    let body = messages(json!({"statuses": [
        status(json!({"biz_opaque_callback_data": reference.to_string(),
            "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"}})),
        status(json!({"status": "read", "biz_opaque_callback_data": "t7|somebody else's"})),
        status(json!({"status": "played", "recipient_id": null})),
        status(json!({"status": "sent", "timestamp": 1_790_000_001, "recipient_id": "group-id=="})),
    ]}));
    let events = events(&body);
    assert_eq!(events.phone_number_id, NUMBER);
    let first = InboundStatus {
        reference: Some(reference),
        provider_id: "wamid.OUT".into(),
        status: Status::Delivered,
        at: Timestamp(1_790_000_003_000),
        cause: None,
        detail: None,
        recipient: Some(phone(ANA)),
        pricing: Pricing::from_line("1|PMP|regular|utility|").map(Arc::new),
        rest: None,
    };
    let pricing = None;
    let with = |status, recipient| InboundStatus {
        reference: None,
        status,
        recipient,
        pricing: pricing.clone(),
        ..first.clone()
    };
    let sent =
        InboundStatus { at: Timestamp(1_790_000_001_000), ..with(Status::Sent, Some(user_id(ANA_ID))) };
    let read = with(Status::Read, Some(phone(ANA)));
    let played = with(Status::Played, Some(user_id(ANA_ID)));
    assert_eq!(events.statuses, [first, read, played, sent]);
}

#[test]
fn a_failure_carries_code_and_words_and_is_one_without_them() {
    let errors =
        json!([{"code": 131_049, "title": "t", "message": "m", "error_data": {"details": "d"}, "href": "h"}]);
    let body = messages(json!({"statuses": [
        status(json!({"status": "failed", "errors": errors})),
        status(json!({"status": "failed", "errors": [{"code": "131026", "title": "t"}]})),
        status(json!({"status": "failed"})),
    ]}));
    let found: Vec<_> = events(&body).statuses.into_iter().map(|s| (s.status, s.cause, s.detail)).collect();
    let failed = |code, detail: Option<&str>| (Status::Failed, Some(code), detail.map(str::to_owned));
    let expected = [
        failed(Cause(131_049), Some("d")),
        failed(Cause(131_026), Some("t")),
        failed(Cause::UNREADABLE, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_message_carries_sender_alias_name_and_content() {
    let body = inbound(
        json!({"type": "text", "text": {"body": "Halo \u{1f44d}"}, "context": {"from": "15550200000", "id": "wamid.Q"}}),
    );
    let events = events(&body);
    let [message] = events.messages.as_slice() else { panic!("{events:?}") };
    assert_eq!((&message.from, &message.alias), (&phone(ANA), &Some(user_id(ANA_ID))));
    assert_eq!(message.name.as_deref(), Some("Ana"));
    assert_eq!(message.at, Timestamp(1_790_000_000_000));
    assert_eq!(message.content, Content::plain("Halo \u{1f44d}"));
    assert_eq!((&*message.provider_id, message.context.as_deref()), ("wamid.IN", Some("wamid.Q")));
    assert_eq!(events.unknown, []);
}

#[test]
fn a_sender_who_hides_the_number_is_known_by_the_user_id() {
    let text = json!({"type": "text", "text": {"body": "Hi"}});
    let mut no_from = inbound(text.clone());
    let value = &mut no_from["entry"][0]["changes"][0]["value"];
    value["messages"][0].as_object_mut().unwrap().remove("from");
    value["contacts"][0].as_object_mut().unwrap().remove("wa_id");
    let message = events(&no_from).messages.remove(0);
    assert_eq!((message.from, message.alias), (user_id(ANA_ID), None));
    assert_eq!(message.name.as_deref(), Some("Ana"));

    let mut only_contact = no_from.clone();
    let value = &mut only_contact["entry"][0]["changes"][0]["value"];
    value["messages"][0].as_object_mut().unwrap().remove("from_user_id");
    assert_eq!(events(&only_contact).messages[0].from, user_id(ANA_ID));

    let mut nobody = only_contact;
    nobody["entry"][0]["changes"][0]["value"].as_object_mut().unwrap().remove("contacts");
    let events = events(&nobody);
    assert_eq!((events.messages.len(), events.unknown.len()), (0, 1));
}

/// One message of every type of the reference.
fn every_type() -> Vec<Value> {
    let media = json!({"mime_type": "image/jpeg", "sha256": "aGFzaA==", "id": "900", "url": "https://lookaside.example/x"});
    vec![
        json!({"type": "text", "text": {"body": "Hi"}, "context": {"forwarded": true}}),
        json!({"type": "image", "image": media}),
        json!({"type": "video", "video": media}),
        json!({"type": "audio", "audio": {"mime_type": "audio/ogg; codecs=opus", "sha256": "x", "id": "1", "voice": true}}),
        json!({"type": "document", "document": {"filename": "a.pdf", "mime_type": "application/pdf", "sha256": "x", "id": "1"}}),
        json!({"type": "sticker", "sticker": {"mime_type": "image/webp", "sha256": "x", "id": "1", "animated": false}}),
        json!({"type": "location", "location": {"latitude": 48.2, "longitude": 16.37, "name": "Shop"}}),
        json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "B"}, "phones": [{"phone": "+1555"}]}]}),
        json!({"type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": "\u{1f44d}"}}),
        json!({"type": "reaction", "reaction": {"message_id": "wamid.X"}}),
        json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "keep", "title": "Keep"}}}),
        json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "t1", "title": "09-12"}}}),
        json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}}}),
        json!({"type": "button", "button": {"payload": "STOP_UPDATES", "text": "Stop updates"}}),
        json!({"type": "order", "order": {"catalog_id": "7", "product_items": [{"product_retailer_id": "s", "quantity": 2}]}}),
        json!({"type": "system", "system": {"type": "user_changed_number", "body": "b", "wa_id": "15550100002"}}),
        json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Message type unknown"}]}),
        json!({"type": "edit", "edit": {"original_message_id": "wamid.X", "message": {"type": "text", "text": {"body": "new"}}}}),
        json!({"type": "revoke", "revoke": {"original_message_id": "wamid.X"}}),
        json!({"type": "type_of_2030", "type_of_2030": {"a": [1, 2.5, null]}}),
    ]
}

#[test]
fn every_type_of_message_is_read_or_kept_as_it_came() {
    for message in every_type() {
        let kind = message["type"].as_str().unwrap().to_owned();
        let events = events(&inbound(message.clone()));
        assert_eq!(events.unknown, [], "{kind}");
        assert_eq!(events.messages[0].content.kind(), kind);
        if let Content::Other { value, .. } = &events.messages[0].content {
            let payload = message.get(&kind).unwrap_or(&message["errors"]);
            assert_eq!(value, payload, "{kind}");
        }
    }
}

#[test]
fn preferences_and_errors_of_the_number_are_read() {
    let preference = |value: &str, category: &str| {
        json!({"wa_id": ANA, "detail": "d", "category": category,
        "value": value, "timestamp": 1_790_000_000})
    };
    let body = envelope(
        "user_preferences",
        value(json!({"contacts": [{"wa_id": ANA}], "user_preferences": [
        preference("stop", "marketing_messages"), preference("resume", "marketing_messages"),
        preference("stop", "news"), preference("maybe", "marketing_messages")]})),
    );
    let found = events(&body);
    let wishes: Vec<_> = found.preferences.iter().map(|p| (p.address.clone(), p.stop, p.at)).collect();
    let at = Timestamp(1_790_000_000_000);
    assert_eq!(wishes, [(phone(ANA), true, at), (phone(ANA), false, at)]);
    assert_eq!(found.unknown.len(), 2);

    let found = events(&messages(json!({"errors": [
        {"code": 130_429, "title": "Rate limit hit", "error_data": {"details": "too many"}}, {"title": "no code"}]})));
    assert_eq!(
        (found.errors[0].cause, found.errors[0].detail.as_deref()),
        (Cause(130_429), Some("too many"))
    );
    assert_eq!(found.unknown[0].field, "errors");
}

#[test]
fn one_bad_item_never_costs_the_others() {
    let good = status(json!({}));
    let message = json!({"from": ANA, "id": "wamid.IN", "timestamp": "1790000000", "type": "text", "text": {"body": "Hi"}});
    for bad in [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        status(json!({"timestamp": "soon"})),
        status(json!({"status": "warning"})),
        status(json!({"id": {}})),
        status(json!({"id": ""})),
        status(json!({"timestamp": -1})),
    ] {
        let body = messages(
            json!({"statuses": [good, bad, good], "messages": [message, {"type": "text"}, bad, message]}),
        );
        let events = events(&body);
        assert_eq!((events.statuses.len(), events.messages.len()), (2, 2), "{bad}");
        let raws: Vec<Value> = events.unknown.iter().map(|u| serde_json::from_str(&u.raw).unwrap()).collect();
        assert_eq!(raws, [bad.clone(), json!({"type": "text"}), bad], "nothing is lost");
    }
}

#[test]
fn malformed_changes_and_entries_are_kept_and_the_rest_is_read() {
    let good = json!({"field": "messages", "value": value(json!({"statuses": [status(json!({}))]}))});
    let body = json!({"entry": [
        3,
        {"id": 102, "changes": [good, {"field": "messages"}, {"field": "messages", "value": {"statuses": []}}, good]},
        {"changes": {}},
        {"id": "102", "changes": [{"field": "account_update", "value": {"event": "DISABLED_UPDATE"}}, good]},
    ]});
    let changes = read(&body);
    let shown: Vec<_> = changes
        .iter()
        .map(|change| match change {
            Change::Number(events) => (events.phone_number_id.as_str(), events.statuses.len()),
            Change::Unknown { field, .. } => (field.as_str(), 0),
        })
        .collect();
    let expected =
        [("entry", 0), (NUMBER, 3), ("change", 0), ("messages", 0), ("entry", 0), ("account_update", 0)];
    assert_eq!(shown, expected);
    let Some(Change::Unknown { raw, account, .. }) = changes.last() else { panic!("{changes:?}") };
    assert_eq!((raw.as_str(), account.as_deref()), (r#"{"event":"DISABLED_UPDATE"}"#, Some("102")));
}

#[test]
fn fields_of_no_use_yet_are_kept() {
    for field in [
        "standby",
        "history",
        "smb_message_echoes",
        "calls",
        "message_template_status_update",
        "field_of_2030",
    ] {
        let value = value(json!({"messages": [{"anything": 1}]}));
        let changes = read(&envelope(field, value.clone()));
        let [Change::Unknown { field: found, raw, .. }] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((found.as_str(), serde_json::from_str::<Value>(raw).unwrap()), (field, value));
    }
    let clicks = json!([{"action_type": "marketing_messages_link_click"}]);
    assert_eq!(events(&messages(json!({"user_actions": clicks}))).unknown[0].field, "user_actions");
    assert_eq!(events(&messages(json!({"list_of_2030": [1]}))).unknown[0].field, "messages");
    let group = inbound(json!({"type": "text", "text": {"body": "Hi"}, "group_id": "Z3JvdXA="}));
    assert_eq!(events(&group).messages, [], "a group is no conversation with one person");
}

#[test]
fn events_are_grouped_by_number_in_order() {
    let of = |number: &str, id: &str| {
        let mut value = value(json!({"statuses": [status(json!({"id": id}))]}));
        value["metadata"]["phone_number_id"] = json!(number);
        json!({"field": "messages", "value": value})
    };
    let body = json!({"entry": [{"id": "1", "changes": [of("11", "a"), of("22", "b")]}, {"id": "2", "changes": [of("11", "c"), of("22", "d")]}]});
    let found: Vec<_> = read(&body)
        .into_iter()
        .map(|change| match change {
            Change::Number(e) => {
                (e.phone_number_id, e.statuses.iter().map(|s| s.provider_id.to_string()).collect())
            }
            Change::Unknown { field, .. } => panic!("{field}"),
        })
        .collect();
    let ids = |ids: [&str; 2]| ids.map(str::to_owned).to_vec();
    assert_eq!(found, [("11".to_owned(), ids(["a", "c"])), ("22".to_owned(), ids(["b", "d"]))]);
}

#[test]
fn a_body_that_is_no_webhook_is_an_error_that_shows_nothing_of_it() {
    for (body, error) in [
        (&b""[..], ParseError::Json { line: 1, column: 0 }),
        (b"{\"entry\":[+15550100001]}", ParseError::Json { line: 1, column: 11 }),
        (b"\"\xff\"", ParseError::Json { line: 1, column: 3 }),
        (b"{}", ParseError::Envelope),
        (b"[]", ParseError::Envelope),
        (b"{\"entry\":{}}", ParseError::Envelope),
    ] {
        let found = parse(body).unwrap_err();
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&error), "{body:?}");
        assert!(!found.to_string().contains("1555"));
    }
    assert_eq!(parse(br#"{"entry":[]}"#), Ok(vec![]));
}

#[test]
fn deep_nesting_is_kept_or_refused_but_never_overflows() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"entry":[{{"id":"1","changes":[{{"field":"x","value":{deep}}}]}}]}}"#);
    assert!(
        matches!(parse(body.as_bytes()).unwrap().as_slice(), [Change::Unknown { raw, .. }] if *raw == deep)
    );
    let message = inbound(json!({"type": "order", "order": 1}))
        .to_string()
        .replace(r#""order":1"#, &format!(r#""order":{deep}"#));
    assert!(parse(message.as_bytes()).is_ok());
}

fn fixtures() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Value> = every_type().into_iter().map(inbound).collect();
    bodies.push(messages(json!({"statuses": [status(json!({})), status(json!({"status": "failed", "errors": [{"code": 1}]}))]})));
    bodies.push(envelope(
        "user_preferences",
        value(json!({"user_preferences": [{"wa_id": ANA, "value": "stop",
        "category": "marketing_messages", "timestamp": 1}]})),
    ));
    bodies.into_iter().map(|body| body.to_string().into_bytes()).collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts `new` at the `at`-th place of the tree, counted depth first.
fn graft(tree: &mut Value, at: &mut usize, new: &Value) {
    if *at == 0 {
        *tree = new.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    match tree {
        Value::Array(items) => items.iter_mut().for_each(|item| graft(item, at, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| graft(field, at, new)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_torn_or_flipped_body_never_panics(
        fixture in proptest::sample::select(fixtures()), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(), torn: bool,
    ) {
        let mut body = fixture;
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if torn {
            body.truncate(cut.index(body.len()));
        }
        let _ = parse(&body);
    }

    #[test]
    fn any_value_in_any_place_costs_at_most_what_it_replaced(
        fixture in proptest::sample::select(fixtures()), at in 0..40_usize, new in any_json(),
    ) {
        // A good change stands beside the one that is damaged, and must come through whatever happens to it.
        let good = json!({"field": "messages", "value": value(json!({"statuses": [status(json!({"id": "wamid.GOOD"}))]}))});
        let mut whole: Value = serde_json::from_slice(&fixture).unwrap();
        let mut change = whole["entry"][0]["changes"][0].clone();
        graft(&mut change, &mut { at }, &new);
        whole["entry"][0]["changes"] = json!([change, good]);
        let changes = parse(whole.to_string().as_bytes()).unwrap();
        let found = changes.iter().any(|change| match change {
            Change::Number(events) => events.statuses.iter().any(|s| &*s.provider_id == "wamid.GOOD"),
            Change::Unknown { .. } => false,
        });
        prop_assert!(found, "{changes:?}");
    }
}

/// Prints what a status costs; asserts nothing about time.
#[test]
fn the_cost_of_a_status_is_printed() {
    let reference = Reference::Message(MessageId(77 << 22)).to_string();
    let one = status(json!({"biz_opaque_callback_data": reference,
        "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"}}));
    for count in [1, 20] {
        let list: Vec<Value> = (0..count).map(|_| one.clone()).collect();
        let body =
            messages(json!({"contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA}], "statuses": list}))
                .to_string();
        let rounds = 5_000_u32;
        let began = Instant::now();
        for _ in 0..rounds {
            black_box(parse(black_box(body.as_bytes())).unwrap());
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds * count);
        println!("status in a webhook of {count}: {each:.2} µs");
    }
}
