//! What stands beside content and status in a webhook: forwarded, referral, product, usernames, changed numbers, prices. Not
//! the content itself, which `parse.rs` reads.

use kabar_connectors::cloud::{Change, InboundMessage, InboundStatus, NumberEvents, parse};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::time::Timestamp;
use serde_json::{Value, json};

const NUMBER: &str = "106000000000001";
const ANA: &str = "15550100001";
const ANA_ID: &str = "US.13491208655302741918";

fn read(body: &Value) -> NumberEvents {
    match parse(body.to_string().as_bytes()).unwrap().as_slice() {
        [Change::Number(events)] => events.clone(),
        other => panic!("not one number: {other:?}"),
    }
}

fn events(value: Value) -> NumberEvents {
    let mut whole = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550200000", "phone_number_id": NUMBER}});
    for (key, item) in value.as_object().unwrap() {
        whole[key] = item.clone();
    }
    let changes = json!([{"field": "messages", "value": whole}]);
    read(
        &json!({"object": "whatsapp_business_account", "entry": [{"id": "102000000000001", "changes": changes}]}),
    )
}

fn message(contact: Value, message: Value) -> InboundMessage {
    let mut whole = json!({"id": "wamid.IN", "timestamp": "1790000000"});
    for (key, item) in message.as_object().unwrap() {
        whole[key] = item.clone();
    }
    let events = events(json!({"contacts": [contact], "messages": [whole]}));
    assert_eq!(events.unknown, [], "{events:?}");
    events.messages.into_iter().next().unwrap()
}

fn ana() -> Value {
    json!({"profile": {"name": "Ana", "username": "@ana.d"}, "wa_id": ANA, "user_id": ANA_ID,
        "parent_user_id": "US.ENT.77"})
}

fn user_id(id: &str) -> Address {
    Address::user_id(id).unwrap()
}

#[test]
fn forwarded_product_referral_and_username_stand_beside_the_text() {
    let text = json!({"from": ANA, "type": "text", "text": {"body": "Hi"}});
    let with = |context: Value, referral: Value| {
        let mut whole = text.clone();
        (whole["context"], whole["referral"]) = (context, referral);
        message(ana(), whole).beside.unwrap()
    };
    let referral = json!({"source_url": "https://fb.me/x", "source_id": "120", "source_type": "ad", "ctwa_clid": "c",
        "welcome_message": {"text": "Hi"}, "key_of_2030": 1});
    let beside = with(json!({"forwarded": true}), referral.clone());
    assert_eq!(
        (beside.forwarded, beside.frequently_forwarded, beside.referral),
        (true, false, Some(referral))
    );
    assert_eq!(beside.username.as_deref(), Some("ana.d"));
    let product = json!({"catalog_id": "700", "product_retailer_id": "sku1"});
    let context =
        json!({"from": ANA, "id": "wamid.Q", "frequently_forwarded": true, "referred_product": product});
    let beside = with(context, Value::Null);
    assert_eq!((beside.forwarded, beside.frequently_forwarded), (true, true));
    assert_eq!((beside.referred_product, beside.referral), (Some(product), None));
    let plain = message(json!({"profile": {"name": "Ana"}, "wa_id": ANA}), text);
    assert_eq!(plain.beside, None, "nothing costs nothing");
}

#[test]
fn what_is_not_read_is_kept_beside_and_the_usual_message_keeps_nothing() {
    let usual = json!({"from": ANA, "from_user_id": ANA_ID, "type": "image", "context": {"from": "15550200000", "id": "wamid.Q"},
        "image": {"id": "900", "mime_type": "image/png", "sha256": "x", "url": "https://lookaside"}});
    let contact = json!({"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": ANA_ID});
    assert_eq!(
        message(contact.clone(), usual.clone()).beside,
        None,
        "what nearly every message is costs nothing"
    );
    let (mut odd, mut whose) = (usual, contact);
    (odd["identity"], odd["image"]["key_of_2030"]) = (json!({"hash": "h"}), json!([1]));
    odd["from_parent_user_id"] = "US.ENT.77".into();
    whose["identity_key_hash"] = "k".into();
    (whose["key_of_2030"], whose["profile"]["key_of_2030"]) = (json!(2), json!(3));
    whose["profile"]["username"] = "@ana.d".into();
    let read = message(whose, odd);
    assert_eq!(
        (read.name.as_deref(), &read.alias),
        (Some("Ana"), &Some(user_id(ANA_ID))),
        "they are read as ever"
    );
    let beside = read.beside.unwrap();
    assert_eq!(beside.username.as_deref(), Some("ana.d"));
    let rest = beside.rest.unwrap();
    let message =
        json!({"identity": {"hash": "h"}, "image": {"key_of_2030": [1]}, "from_parent_user_id": "US.ENT.77"});
    assert_eq!(Value::Object(rest.message), message);
    let profile = json!({"username": "@ana.d", "key_of_2030": 3});
    let contact = json!({"profile": profile, "identity_key_hash": "k", "key_of_2030": 2});
    assert_eq!(Value::Object(rest.contact), contact);
}

#[test]
fn the_parent_user_id_is_one_more_address() {
    let m =
        message(ana(), json!({"from": ANA, "from_user_id": ANA_ID, "type": "text", "text": {"body": "Hi"}}));
    assert_eq!((m.alias, m.others), (Some(user_id(ANA_ID)), vec![user_id("US.ENT.77")]));
    let hidden = json!({"from_user_id": ANA_ID, "from_parent_user_id": "US.ENT.77", "type": "text", "text": {"body": "Hi"}});
    let m = message(json!({"profile": {"name": "Ana"}, "user_id": ANA_ID}), hidden);
    assert_eq!((m.from, m.alias, m.others), (user_id(ANA_ID), None, vec![user_id("US.ENT.77")]));
}

#[test]
fn a_changed_number_names_the_old_and_the_new_addresses() {
    let system = json!({"type": "user_changed_number", "body": "User A changed", "wa_id": "16660100001",
        "user_id": "US.2", "previous_user_id": ANA_ID});
    let told = json!({"from": ANA, "type": "system", "system": system});
    let events = events(json!({"messages": [
        {"id": "wamid.S", "timestamp": "1790000000", "from": told["from"], "type": "system", "system": system},
        {"id": "wamid.T", "timestamp": "1790000000", "type": "system",
            "system": {"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": ANA_ID}}]}));
    let [number, id] = events.messages.as_slice() else { panic!("{events:?}") };
    let phone = |digits: &str| Address::phone_digits(digits).unwrap();
    assert_eq!(number.from, phone(ANA));
    assert_eq!(number.others, [user_id(ANA_ID), user_id("US.2"), phone("16660100001")]);
    assert!(matches!(&number.content, Content::Other { kind, .. } if kind == "system"));
    assert_eq!((&id.from, id.others.as_slice()), (&user_id(ANA_ID), [user_id("US.2")].as_slice()));
}

#[test]
fn every_type_of_message_is_read_and_none_is_lost() {
    for (kind, object) in [
        ("text", json!({"body": "Hi"})),
        ("image", json!({"mime_type": "image/jpeg", "sha256": "x", "id": "900", "url": "https://lookaside"})),
        ("video", json!({"mime_type": "video/mp4", "sha256": "x", "id": "900"})),
        ("audio", json!({"mime_type": "audio/ogg; codecs=opus", "sha256": "x", "id": "900", "voice": true})),
        (
            "document",
            json!({"filename": "a.pdf", "mime_type": "application/pdf", "sha256": "x", "id": "900"}),
        ),
        ("sticker", json!({"mime_type": "image/webp", "sha256": "x", "id": "900", "animated": false})),
        ("location", json!({"latitude": 48.2, "longitude": 16.37, "url": "https://x"})),
        ("contacts", json!([{"name": {"formatted_name": "B"}, "origin": "other", "vcard": "BEGIN:VCARD"}])),
        ("reaction", json!({"message_id": "wamid.A", "emoji": "👍"})),
        ("reaction", json!({"message_id": "wamid.A"})),
        ("interactive", json!({"type": "button_reply", "button_reply": {"id": "keep", "title": "Keep"}})),
        (
            "interactive",
            json!({"type": "list_reply", "list_reply": {"id": "t1", "title": "09-12", "description": "M"}}),
        ),
        (
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}}),
        ),
        (
            "interactive",
            json!({"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}),
        ),
        ("button", json!({"payload": "STOP_UPDATES", "text": "Stop updates"})),
        (
            "order",
            json!({"catalog_id": "700", "product_items": [{"product_retailer_id": "s", "quantity": 2}]}),
        ),
        ("system", json!({"type": "user_changed_number", "body": "b", "wa_id": "1666"})),
        (
            "edit",
            json!({"original_message_id": "wamid.A", "message": {"type": "text", "text": {"body": "new"}}}),
        ),
        ("revoke", json!({"original_message_id": "wamid.A"})),
        ("request_welcome", json!({})),
        ("type_of_2030", json!({"anything": 1})),
    ] {
        let mut whole = json!({"from": ANA, "type": kind});
        whole[kind] = object;
        assert_eq!(message(ana(), whole).content.kind(), kind);
    }
    let unsupported = json!({"from": ANA, "type": "unsupported", "unsupported": {"type": "poll"},
        "errors": [{"code": 131_051, "title": "Message type unknown"}]});
    let Content::Other { value, .. } = message(ana(), unsupported).content else { panic!("not kept") };
    assert_eq!((&value["type"], &value["errors"][0]["code"]), (&json!("poll"), &json!(131_051)));
}

fn status(extra: Value) -> InboundStatus {
    let mut whole =
        json!({"id": "wamid.OUT", "status": "sent", "timestamp": "1790000003", "recipient_id": ANA});
    for (key, item) in extra.as_object().unwrap() {
        whole[key] = item.clone();
    }
    let events = events(json!({"statuses": [whole]}));
    assert_eq!(events.unknown, [], "{events:?}");
    events.statuses.into_iter().next().unwrap()
}

#[test]
fn a_price_is_read_and_an_odd_one_costs_nothing_but_itself() {
    let price =
        json!({"billable": false, "pricing_model": "PMP", "type": "free_entry_point", "category": "service"});
    let origin = json!({"id": "c", "origin": {"type": "referral_conversion"}, "expiration_timestamp": "1"});
    let line = |extra| status(extra).pricing.map(|pricing| pricing.to_line());
    let whole = line(json!({"pricing": price, "conversation": origin}));
    assert_eq!(whole.as_deref(), Some("0|PMP|free_entry_point|service|referral_conversion"));
    assert_eq!(line(json!({"conversation": origin})).as_deref(), Some("||||referral_conversion"));
    assert_eq!(line(json!({"pricing": {"category": "word_of_2030"}})).as_deref(), Some("|||word_of_2030|"));
    for odd in [json!("free"), json!(7), json!([]), json!({"billable": "maybe"}), json!({"category": {}})] {
        assert_eq!(line(json!({"pricing": odd})), None, "{odd}");
    }
    assert_eq!(line(json!({"conversation": {"origin": "business"}})), None);
    assert_eq!(line(json!({})), None);
}

#[test]
fn a_status_keeps_what_has_no_place_and_the_usual_one_nothing() {
    let rest = |extra| status(extra).rest.map(|rest| Value::Object(rest.read()));
    let price = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"});
    assert_eq!(rest(json!({"pricing": price, "recipient_user_id": "US.1"})), None);
    let odd = json!({"category": "utility", "of_2030": 1});
    let told = status(json!({"pricing": odd, "key_of_2030": [1], "conversation": {"id": "c"}}));
    assert_eq!(told.pricing.unwrap().to_line(), "|||utility|");
    let kept = json!({"pricing": odd, "key_of_2030": [1], "conversation": {"id": "c"}});
    assert_eq!(Value::Object(told.rest.unwrap().read()), kept);
    let nothing = json!({"errors": null, "pricing": null, "conversation": null, "recipient_id": null, "key_of_2030": null});
    assert_eq!((status(nothing.clone()).rest, status(nothing).pricing), (None, None));
    // Reasons of an unknown shape are kept, and it has failed all the same.
    for errors in
        [json!("none"), json!({"code": 1}), json!([]), json!([{"code": "many"}, 7]), json!([{"title": {}}])]
    {
        let failed = status(json!({"status": "failed", "errors": errors}));
        assert_eq!(failed.cause, Some(Cause::UNREADABLE), "{errors}");
        assert_eq!(Value::Object(failed.rest.unwrap().read()), json!({"errors": errors}));
    }
    // What is read must be readable, or the whole is kept as it came.
    for (key, odd) in
        [("biz_opaque_callback_data", json!({})), ("recipient_id", json!([])), ("timestamp", json!("soon"))]
    {
        let mut whole = json!({"id": "wamid.A", "status": "sent", "timestamp": "1790000000"});
        whole[key] = odd;
        let told = events(json!({"statuses": [whole]}));
        assert_eq!((told.statuses.len(), told.unknown.len()), (0, 1), "{key}");
    }
    let beside = events(
        json!({"statuses": [{"id": "wamid.A", "status": "sent", "timestamp": "1"}], "of_2030": {"a": 1}}),
    );
    assert_eq!(
        (beside.statuses.len(), &*beside.unknown[0].field, &*beside.unknown[0].raw),
        (1, "messages.of_2030", r#"{"a":1}"#)
    );
}

#[test]
fn a_field_has_its_account_and_the_entrys_time() {
    let of = |time: Value| {
        let change = json!({"field": "account_update", "value": {"event": "ACCOUNT_DELETED"}});
        let body = json!({"entry": [{"id": 102, "time": time, "changes": [change]}]});
        match parse(body.to_string().as_bytes()).unwrap().remove(0) {
            Change::Unknown { account, at, .. } => (account.unwrap(), at),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of(json!(1_790_000_000)), ("102".to_owned(), Some(Timestamp(1_790_000_000_000))));
    for odd in [json!("soon"), json!({}), json!(null), json!(-4)] {
        assert_eq!(of(odd), ("102".to_owned(), None));
    }
    let number = events(json!({"statuses": []}));
    assert_eq!(number.account.as_deref(), Some("102000000000001"));
}
