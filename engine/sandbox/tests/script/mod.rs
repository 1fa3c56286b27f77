//! Phones that answer by script: what a rule looks for, and everything a phone can do about it; and every kind of message
//! a user may send.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_sandbox::{Behaviour, Inbound, Sandbox, Stats};
use serde_json::{Value, json};

use crate::account::{create, told};
use crate::harness::{Client, NUMBER, Receiver, sandbox, swift, text, until};

async fn scripted(rules: Value) -> (Sandbox, Receiver) {
    let sandbox = sandbox(Behaviour { review_ms: 0, reply_rate: 1.0, ..swift() }).await;
    let receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let heard = Client::control(&sandbox).post("/_sim/scripts", &json!({"rules": rules})).await;
    assert_eq!(heard.status, 200, "{:?}", heard.json());
    (sandbox, receiver)
}

fn interactive(to: &str, object: Value) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "interactive", "interactive": object})
}

#[tokio::test]
async fn the_first_rule_that_fits_answers_and_chance_answers_the_rest() {
    let (sandbox, mut receiver) = scripted(json!([
        {"when": {"text": "PRICE", "to": "15550100001"}, "then": [{"text": "Too much", "quote": true}], "times": 1},
        {"when": {"text": "price"}, "then": [{"text": "Fine"}]},
    ])).await;
    let mut client = Client::to(&sandbox);
    let says = |to: &str, body: &str| json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}});
    let first = client.send(&says("15550100001", "What a price!")).await.wamid();
    let posts = receiver.until(|posts| !crate::items(posts, "messages").is_empty()).await;
    let message = &crate::items(&posts, "messages")[0];
    assert_eq!(
        (message["text"]["body"].as_str(), message["context"]["id"].as_str()),
        (Some("Too much"), Some(first.as_str()))
    );
    client.send(&says("15550100001", "What a price!")).await;
    client.send(&says("15550100002", "the price is right")).await;
    receiver.until(|posts| crate::items(posts, "messages").len() == 3).await;
    let said: Vec<String> = receiver.items("messages")[1..]
        .iter()
        .map(|m| m["text"]["body"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said, ["Fine", "Fine"], "the first rule is used up");
    assert_eq!(sandbox.stats().replies, 0, "no scripted message is answered by chance too");
    client.send(&says("15550100003", "hello")).await;
    until(&sandbox, |stats| stats.replies == 1).await;
    let used: Vec<u64> = Client::control(&sandbox).get("/_sim/scripts").await.json()["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["used"].as_u64().unwrap())
        .collect();
    assert_eq!(used, [1, 2]);
}

#[tokio::test]
async fn a_script_waits_on_the_sandboxs_clock_and_only_for_what_arrives() {
    let (sandbox, mut receiver) =
        scripted(json!([{"when": {}, "then": [{"after_ms": 3_600_000, "text": "Later"}, {"react": "👍"}]}]))
            .await;
    let mut client = Client::to(&sandbox);
    assert_eq!(client.send(&text("9995131026", "fails")).await.status, 200);
    let wamid = client.send(&text("15550100001", "arrives")).await.wamid();
    let posts = receiver.until(|posts| !crate::items(posts, "messages").is_empty()).await;
    let reaction = &crate::items(&posts, "messages")[0];
    assert_eq!(reaction["reaction"], json!({"message_id": wamid, "emoji": "👍"}));
    assert_eq!(sandbox.stats().inbound, 1);
    assert!(!sandbox.stats().is_settled(), "an answer is still to come");
    sandbox.advance(3_600_000);
    until(&sandbox, Stats::is_settled).await;
    assert_eq!(receiver.items("messages").len(), 2);
}

#[tokio::test]
async fn phones_tap_buttons_rows_and_quick_replies() {
    let (sandbox, mut receiver) = scripted(json!([
        {"when": {"button": "keep"}, "then": [{"tap": 1}]},
        {"when": {"button": "12-15"}, "then": [{"tap": 1}]},
        {"when": {"template": "visit"}, "then": [{"tap": 0}]},
        {"when": {"type": "interactive"}, "then": [{"tap": 0}]},
    ]))
    .await;
    let mut client = Client::to(&sandbox);
    let template = json!([{"type": "BODY", "text": "Will you visit us?"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Of course"}]}]);
    create(&mut client, "visit", "MARKETING", template).await;
    told(&mut receiver, "message_template_status_update", 1).await;
    let reply = |id: &str, title: &str| json!({"type": "reply", "reply": {"id": id, "title": title}});
    let buttons = json!({"type": "button", "body": {"text": "Keep it?"}, "action": {"buttons": [reply("keep", "Keep"), reply("move", "Move")]}});
    let list = json!({"type": "list", "body": {"text": "When?"}, "action": {"button": "Slots", "sections": [{"rows": [{"id": "t1", "title": "09-12"}, {"id": "t2", "title": "12-15"}]}]}});
    let flow = json!({"type": "flow", "body": {"text": "Book"}, "action": {"name": "flow", "parameters": {"flow_token": "t-81", "flow_cta": "Book"}}});
    client.send(&interactive("15550100001", buttons)).await;
    client.send(&interactive("15550100002", list)).await;
    client.send(&interactive("15550100003", flow)).await;
    let sent = |components: Value| {
        json!({"messaging_product": "whatsapp", "to": "15550100004", "type": "template",
        "template": {"name": "visit", "language": {"code": "en_US"}, "components": components}})
    };
    let payload = json!([{"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "YES"}]}]);
    client.send(&sent(payload)).await;
    receiver.until(|posts| crate::items(posts, "messages").len() == 4).await;
    let of =
        |from: &str| receiver.items("messages").into_iter().find(|message| message["from"] == from).unwrap();
    assert_eq!(
        of("15550100001")["interactive"],
        json!({"type": "button_reply", "button_reply": {"id": "move", "title": "Move"}})
    );
    assert_eq!(of("15550100002")["interactive"]["list_reply"]["id"], "t2");
    let nfm = &of("15550100003")["interactive"]["nfm_reply"];
    assert_eq!(
        (nfm["name"].as_str(), nfm["response_json"].as_str()),
        (Some("flow"), Some(r#"{"flow_token":"t-81"}"#))
    );
    let tapped = of("15550100004");
    assert_eq!(tapped["button"], json!({"payload": "YES", "text": "Of course"}));
    assert!(tapped["context"]["id"].as_str().unwrap().starts_with("wamid."));
}

#[tokio::test]
async fn a_scripted_phone_sends_files_and_any_message_and_a_wrong_rule_is_named() {
    let file =
        json!({"mime_type": "audio/ogg; codecs=opus", "base64": STANDARD.encode(b"OggS"), "voice": true});
    let order = json!({"type": "order", "order": {"catalog_id": "700", "product_items": []}});
    let (sandbox, mut receiver) = scripted(
        json!([{"when": {"type": "text"}, "then": [{"media": file}, {"message": order, "after_ms": 1}]}]),
    )
    .await;
    Client::to(&sandbox).send(&text("15550100001", "a")).await;
    receiver.until(|posts| crate::items(posts, "messages").len() == 2).await;
    let messages = receiver.items("messages");
    let audio = messages.iter().find(|message| message["type"] == "audio").unwrap();
    assert!(
        audio["audio"]["voice"] == true
            && audio["audio"]["id"].is_string()
            && audio["audio"]["url"].is_string()
    );
    assert!(messages.iter().any(|message| message["order"]["catalog_id"] == "700"));
    let mut control = Client::control(&sandbox);
    for rules in [
        json!([{"then": [{}]}]),
        json!([{"then": [{"text": "a", "tap": 1}]}]),
        json!([{"then": [{"message": {"text": {}}}]}]),
        json!([{"whenever": {}}]),
    ] {
        let refused = control.post("/_sim/scripts", &json!({"rules": rules})).await;
        assert_eq!(refused.status, 400, "{rules}");
    }
    assert_eq!(
        control.get("/_sim/scripts").await.json()["rules"].as_array().unwrap().len(),
        1,
        "nothing changed"
    );
}

#[tokio::test]
async fn every_kind_of_message_a_user_sends_arrives_as_it_was_ordered() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let medium = json!({"mime_type": "image/jpeg", "sha256": "aGFzaA==", "id": "900"});
    let kinds = [
        json!({"type": "text", "text": {"body": "Hi"}, "context": {"forwarded": true}}),
        json!({"type": "image", "image": medium}),
        json!({"type": "video", "video": medium}),
        json!({"type": "audio", "audio": medium}),
        json!({"type": "document", "document": medium}),
        json!({"type": "sticker", "sticker": medium}),
        json!({"type": "location", "location": {"latitude": 48.2, "longitude": 16.37}}),
        json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ana"}}]}),
        json!({"type": "reaction", "reaction": {"message_id": "wamid.x"}}),
        json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "a", "title": "A"}}}),
        json!({"type": "button", "button": {"payload": "A", "text": "A"}}),
        json!({"type": "order", "order": {"catalog_id": "7", "product_items": []}}),
        json!({"type": "system", "system": {"type": "user_changed_number", "body": "changed", "wa_id": "15550100002"}}),
        json!({"type": "unsupported", "errors": [{"code": 131_051}]}),
        json!({"type": "edit", "edit": {"original_message_id": "wamid.x", "message": {"type": "text", "text": {"body": "new"}}}}),
        json!({"type": "revoke", "revoke": {"original_message_id": "wamid.x"}}),
    ];
    for (nth, message) in kinds.iter().enumerate() {
        let order = Inbound {
            phone_number_id: NUMBER.into(),
            from: format!("155501000{nth:02}"),
            message: Some(message.clone()),
            ..Inbound::default()
        };
        sandbox.inbound(&order).unwrap();
    }
    receiver.until(|posts| crate::items(posts, "messages").len() == kinds.len()).await;
    for (nth, message) in kinds.iter().enumerate() {
        let from = format!("155501000{nth:02}");
        let arrived =
            receiver.items("messages").into_iter().find(|message| message["from"] == from.as_str()).unwrap();
        for (key, value) in message.as_object().unwrap() {
            assert_eq!(arrived[key], *value, "{message}");
        }
    }
}
