//! What a subscriber in Meta's words is told of what a simpler relay would lose: keys around a value, what Meta tells with `sent`
//! alone, the file in an edit.

use super::dialect::{PNG, error, template, welcoming};
use super::envelope::{ANA, hooked, items, pictured, said};
use super::house::sandbox;
use super::notice::Desk;
use super::receiver::Call;
use kabar_sandbox::{Behaviour, Delay, Sandbox, SandboxConfig};
use serde_json::{Value, json};

/// The calls in which something stands that nobody knows, each without the id of its account and the time of it.
fn odd(calls: &[Call]) -> Vec<Value> {
    let all = calls.iter().map(Call::event).filter(|told| told.to_string().contains("of_2030"));
    all.map(|mut told| {
        let entry = told["entry"][0].as_object_mut().unwrap();
        assert_eq!(entry.remove("id"), Some("102000000000001".into()));
        entry.remove("time");
        told
    })
    .collect()
}

#[tokio::test]
async fn keys_that_nobody_knows_around_a_value_are_told_where_they_stood_and_once() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let receiver = hooked(&desk.tenant).await;
    let text = json!([{"from": ANA, "id": "wamid.IN", "timestamp": "1790000000", "type": "text", "text": {"body": "Halo"}}]);
    let mut value = desk.value(json!({"messages": text}));
    value["metadata"]["of_2030"] = json!("in the metadata");
    let account = json!({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}, "of_2030": "beside an account's"});
    let of_number = json!({"id": "102000000000001", "time": 1_790_000_000, "of_2030": ["in the entry"],
        "changes": [{"field": "messages", "value": value, "of_2030": {"beside": "the value"}}]});
    let of_account = json!({"id": "102000000000001", "time": 1_790_000_000, "changes": [account], "of_2030": "in an account's entry"});
    let whole = json!({"object": "whatsapp_business_account", "entry": [of_number, of_account], "of_2030": "around all"});
    desk.webhook(&house, &whole).await;
    let calls = receiver.until(|calls| odd(calls).len() >= 6 && items(calls, "messages").len() == 1).await;
    let bare = desk.value(json!({}));
    let mut in_metadata = bare.clone();
    in_metadata["metadata"]["of_2030"] = json!("in the metadata");
    let around =
        |change: Value| json!({"object": "whatsapp_business_account", "entry": [{"changes": [change]}]});
    let messages = |value: &Value| around(json!({"field": "messages", "value": value}));
    let mut meant = vec![
        messages(&in_metadata),
        around(json!({"field": "messages", "value": bare, "of_2030": {"beside": "the value"}})),
        messages(&bare),
        messages(&bare),
        around(json!({"field": "account_update", "value": {}, "of_2030": "beside an account's"})),
        around(json!({"field": "messages", "value": {}})),
    ];
    meant[2]["entry"][0]["of_2030"] = json!(["in the entry"]);
    meant[3]["of_2030"] = json!("around all");
    meant[5]["entry"][0]["of_2030"] = json!("in an account's entry");
    let mut told = odd(&calls);
    for one in &meant {
        let place = told.iter().position(|told| told == one);
        told.remove(place.unwrap_or_else(|| panic!("{one} is not among {told:#?}")));
    }
    assert_eq!(told, Vec::<Value>::new());
    // Meta repeats itself, and nothing of it is news.
    let of_2030 = "/v1/events?limit=200&types=provider.unknown";
    let known = desk.tenant.get(of_2030).await.json()["data"].as_array().unwrap().len();
    assert!(known >= meant.len(), "{known}");
    desk.webhook(&house, &whole).await;
    let last = json!([{"from": ANA, "id": "wamid.LAST", "timestamp": "1790000001", "type": "text", "text": {"body": "Dan"}}]);
    desk.tell(&house, "messages", desk.value(json!({"messages": last}))).await;
    receiver.until(|calls| items(calls, "messages").iter().any(|m| m["id"] == "wamid.LAST")).await;
    let after = desk.tenant.get(of_2030).await.json()["data"].as_array().unwrap().len();
    assert_eq!((after, odd(&receiver.calls()).len()), (known, meant.len()));
    receiver.stop();
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_meta_tells_with_sent_alone_is_told_once_though_its_answer_told_of_sent_before() {
    let behaviour = Behaviour::default();
    // Long after the answer to the call.
    let late = json!({"integrity": {"webhook_version": 23}, "duplicate": 1.0, "sent_ms": Delay::fixed(400)});
    let behaviour = behaviour.merged(&late).unwrap();
    let sandbox = Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap();
    let house = welcoming().await;
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let receiver = hooked(&tenant).await;
    let mut message = template(ANA);
    message.as_object_mut().unwrap().remove("messaging_product");
    message["session"] = session.clone().into();
    assert_eq!(tenant.call("POST /v1/messages", message).await.status, 202);
    let list = tenant.import("name,phone\nBudi,6281234567891\n").await["id"].clone();
    let spec = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "message": {"type": "template", "template": {"name": "hello", "language": {"code": "en_US"}}}});
    let id = tenant.call("POST /v1/campaigns", spec).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{id}/launch"), json!({})).await.status, 200);
    let of = |calls: &[Call], to: &str, status: &str| -> Vec<Value> {
        let all = items(calls, "statuses").into_iter();
        all.filter(|told| told["recipient_id"] == to && told["status"] == status).collect()
    };
    for to in [ANA, "6281234567891"] {
        let calls = receiver
            .until(|calls| of(calls, to, "sent").len() == 2 && !of(calls, to, "read").is_empty())
            .await;
        let sent = of(&calls, to, "sent");
        assert_eq!((&sent[0]["conversation"], &sent[0]["pricing"]), (&Value::Null, &Value::Null));
        assert!(sent[1]["conversation"]["expiration_timestamp"].is_string(), "{sent:#?}");
        assert_eq!(sent[1]["pricing"]["pricing_model"], "PMP", "{sent:#?}");
        assert_eq!(sent[0]["id"], sent[1]["id"]);
    }
    // In Kabar's own words a message is sent once, and what was said later is a kind of its own.
    let events = tenant.get("/v1/events?limit=200&types=message.sent,message.sent_details").await.json();
    let kinds = |kind: &str| events["data"].as_array().unwrap().iter().filter(|e| e["type"] == kind).count();
    assert_eq!((kinds("message.sent"), kinds("message.sent_details")), (2, 2), "{events}");
    receiver.stop();
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_file_in_an_edit_is_read_by_the_id_in_the_hook() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let receiver = hooked(&tenant).await;
    let first = pictured(&sandbox, &receiver, PNG).await["id"].clone();
    let talk = tenant.until("/v1/conversations?limit=1", |page| page["data"][0]["id"].is_string()).await;
    let talk = talk["data"][0]["id"].clone();
    let page = format!("/v1/conversations/{}/messages?limit=1", talk.as_str().unwrap());
    let page = tenant.get(&page).await.json();
    let metas = page["data"][0]["message"]["image"].clone();
    assert!(metas["id"].is_string(), "{page}");
    let image = json!({"id": metas["id"], "mime_type": "image/png", "sha256": metas["sha256"],
        "url": "https://lookaside.example", "caption": "Lihat ini!", "key_of_2030": 1});
    let edit = json!({"type": "edit", "edit": {"original_message_id": "wamid.elsewhere", "key_of_2030": 2,
        "message": {"type": "image", "image": image, "context": {"id": "wamid.Q"}}}});
    let mut told = said(&sandbox, &receiver, edit.clone()).await["edit"].take();
    let id = told["message"]["image"]["id"].take();
    assert!(id.is_string() && id != first && id != metas["id"], "{id}");
    let read = tenant.get(&format!("/v23.0/{}", id.as_str().unwrap())).await;
    assert_eq!((read.status, &read.json()["file_size"]), (200, &json!(PNG.len().to_string())), "{read:?}");
    let mut meant = edit["edit"].clone();
    meant["message"]["image"]["id"] = Value::Null;
    // Meta's own address is for Meta's token.
    meant["message"]["image"].as_object_mut().unwrap().remove("url");
    assert_eq!(told, meant);
    // What is no file is told as it came, and harms nobody.
    let odd = json!({"type": "edit", "edit": {"message": {"type": "image", "image": ["123"]}}});
    assert_eq!(said(&sandbox, &receiver, odd.clone()).await["edit"], odd["edit"]);
    let near = format!("/v23.0/1{}", id.as_str().unwrap());
    assert_eq!(error(&tenant.get(&near).await), (400, 100, Some(33)));
    receiver.stop();
    house.running.shutdown().await;
}
