//! What a subscriber in Meta's words is told: what Meta told, to the letter, but for the ids of what was sent here and of files,
//! which are those that this side knows. Not the signature and the handshake, which are `dialect.rs`'s.

use super::dialect::{NUMBER, PNG, error, template, welcoming};
use super::house::{House, Tenant, sandbox};
use super::notice::Desk;
use super::receiver::{Call, Receiver, VERIFY_TOKEN};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_sandbox::Sandbox;
use serde_json::{Value, json};

pub const ANA: &str = "6281234567890";
const ANA_ID: &str = "ID.13491208655302741918";

pub async fn hooked(tenant: &Tenant<'_>) -> Receiver {
    let receiver = Receiver::open(|_, _| 200).await;
    let hook = json!({"url": receiver.url(), "envelope": "meta", "verify_token": VERIFY_TOKEN});
    let made = tenant.call("POST /v1/webhooks", hook).await;
    assert_eq!(made.status, 201, "{made:?}");
    receiver
}

/// Field and value of the one change a call brings.
fn change(call: &Call) -> (String, Value) {
    let mut change = call.event()["entry"][0]["changes"][0].take();
    (change["field"].as_str().unwrap().to_owned(), change["value"].take())
}

/// Items of a list in the values of all calls.
pub fn items(calls: &[Call], list: &str) -> Vec<Value> {
    let all = calls.iter().map(|call| change(call).1);
    all.flat_map(|value| value[list].as_array().cloned().unwrap_or_default()).collect()
}

/// The value that tells of a message with this id of Meta's.
async fn heard(receiver: &Receiver, id: &str) -> Value {
    let calls = receiver.until(|calls| items(calls, "messages").iter().any(|m| m["id"] == id)).await;
    calls.iter().map(|call| change(call).1).find(|value| value["messages"][0]["id"] == id).unwrap()
}

/// Ana does something on her phone; the message as the subscriber is told of it.
pub async fn said(sandbox: &Sandbox, receiver: &Receiver, message: Value) -> Value {
    let order = json!({"phone_number_id": NUMBER, "from": ANA, "name": "Ana", "message": message});
    let id = sandbox.inbound(&serde_json::from_value(order).unwrap()).unwrap();
    heard(receiver, &id).await["messages"][0].take()
}

fn tap(id: &str) -> Value {
    json!({"type": "button", "button": {"payload": "KEEP", "text": "Keep"}, "context": {"from": "15550200000", "id": id}})
}

fn reaction(id: &str) -> Value {
    json!({"type": "reaction", "reaction": {"message_id": id, "emoji": "\u{1f44d}"}})
}

#[tokio::test]
async fn what_a_person_taps_quotes_or_reacts_to_has_the_id_its_sender_was_told() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let receiver = hooked(&tenant).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let mut sent = Vec::new();
    for _ in 0..2 {
        let answer = tenant.call(&post, template(ANA)).await.json();
        let id = answer["messages"][0]["id"].as_str().unwrap().to_owned();
        let left = |calls: &[Call]| items(calls, "statuses").iter().any(|s| s["id"] == id.as_str());
        receiver.until(left).await;
        let metas = sandbox.ledger().last().unwrap().wamid.clone().unwrap();
        assert_ne!(metas, id);
        sent.push((metas, id));
    }
    for (metas, ours) in &sent {
        let tapped = said(&sandbox, &receiver, tap(metas)).await;
        assert_eq!((&tapped["context"]["id"], &tapped["button"]["payload"]), (&json!(ours), &json!("KEEP")));
        let felt = said(&sandbox, &receiver, reaction(metas)).await;
        assert_eq!(felt["reaction"], json!({"message_id": ours, "emoji": "\u{1f44d}"}));
    }
    // What she wrote herself is known by Meta's id, and so is what was never here.
    let own =
        said(&sandbox, &receiver, json!({"type": "text", "text": {"body": "Halo"}})).await["id"].clone();
    for id in [own.as_str().unwrap(), "wamid.elsewhere"] {
        let quoted = json!({"type": "text", "text": {"body": "this"}, "context": {"from": ANA, "id": id}});
        let quoted = said(&sandbox, &receiver, quoted).await;
        assert_eq!(quoted["context"], json!({"from": ANA, "id": id}));
        let edit = json!({"original_message_id": id, "message": {"type": "text", "text": {"body": "Hai"}}});
        let edited = said(&sandbox, &receiver, json!({"type": "edit", "edit": edit})).await;
        assert_eq!(edited["edit"], edit);
        let back =
            said(&sandbox, &receiver, json!({"type": "revoke", "revoke": {"original_message_id": id}})).await;
        assert_eq!(back["revoke"]["original_message_id"], id);
    }
    receiver.stop();
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_answer_to_a_campaign_names_the_id_that_its_statuses_have() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let receiver = hooked(&tenant).await;
    let list = tenant.import(&format!("name,phone\nAna,{ANA}\nBudi,6281234567891\n")).await["id"].clone();
    let spec = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "message": {"type": "template", "template": {"name": "hello", "language": {"code": "en_US"}}}});
    let id = tenant.call("POST /v1/campaigns", spec).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{id}/launch"), json!({})).await.status, 200);
    let to_ana = |calls: &[Call]| {
        items(calls, "statuses").into_iter().find(|s| s["recipient_id"] == ANA && s["status"] == "read")
    };
    let calls = receiver.until(|calls| to_ana(calls).is_some()).await;
    let ours = to_ana(&calls).unwrap()["id"].clone();
    let metas = sandbox.ledger().into_iter().find(|row| row.to == ANA).unwrap().wamid.unwrap();
    assert_eq!(said(&sandbox, &receiver, tap(&metas)).await["context"]["id"], ours);
    assert_eq!(said(&sandbox, &receiver, reaction(&metas)).await["reaction"]["message_id"], ours);
    // An id that says of itself that a person wrote the message is no campaign's, wherever that message is.
    let persons = "wamid.HBgLMTU1NTAxMDAwMDEVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
    assert_eq!(said(&sandbox, &receiver, tap(persons)).await["context"]["id"], persons);
    receiver.stop();
    house.running.shutdown().await;
}

/// Ana sends a picture; the object of it as the subscriber is told.
pub async fn pictured(sandbox: &Sandbox, receiver: &Receiver, bytes: &[u8]) -> Value {
    let media = json!({"mime_type": "image/png", "base64": STANDARD.encode(bytes), "caption": "Lihat!"});
    let order = json!({"phone_number_id": NUMBER, "from": ANA, "media": media});
    let id = sandbox.inbound(&serde_json::from_value(order).unwrap()).unwrap();
    heard(receiver, &id).await["messages"][0]["image"].take()
}

#[tokio::test]
async fn a_file_that_a_person_sent_is_read_by_the_id_in_the_hook_and_by_nobody_else() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let other = house.tenant("B").await;
    let receiver = hooked(&tenant).await;
    let image = pictured(&sandbox, &receiver, PNG).await;
    let keys: Vec<_> = image.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["caption", "id", "mime_type", "sha256"], "Meta's own url is for Meta's token");
    let id = image["id"].as_str().unwrap();
    let about = tenant.get(&format!("/v23.0/{id}")).await;
    assert_eq!(about.status, 200, "{about:?}");
    let about = about.json();
    assert_eq!(
        (&about["id"], &about["mime_type"], &about["file_size"]),
        (&json!(id), &json!("image/png"), &json!(PNG.len().to_string()))
    );
    let path = about["url"].as_str().unwrap().strip_prefix(&house.running.url()).unwrap().to_owned();
    let read = tenant.raw(&path).await;
    assert_eq!((read.0, read.1.as_ref()), (200, PNG));
    // Nobody else's: another tenant, a key for another number, an id that is nearly this one.
    let elsewhere = tenant.idle_session("106000000000009").await;
    let narrow = json!({"name": "n", "sessions": [elsewhere], "scopes": ["sessions:read", "messages:read", "messages:send"]});
    let narrow = house.made_key(&[("kabar-tenant", &tenant.id)], narrow).await.1;
    for what in [format!("GET /v23.0/{id}"), format!("GET {path}"), format!("DELETE /v23.0/{id}")] {
        assert_eq!(error(&other.call(&what, Value::Null).await), (400, 100, Some(33)), "{what}");
        assert_eq!(error(&house.by(&narrow, &what, &[], Value::Null).await), (400, 100, Some(33)), "{what}");
    }
    let near = format!("{}{}", &id[..id.len() - 1], if id.ends_with('0') { '1' } else { '0' });
    assert_eq!(error(&tenant.get(&format!("/v23.0/{near}")).await), (400, 100, Some(33)));
    // It can be sent on by the same id, as a file of the tenant's own.
    let on = json!({"messaging_product": "whatsapp", "to": ANA, "type": "image", "image": {"id": id}});
    assert_eq!(tenant.call(&format!("POST /v23.0/{NUMBER}/messages"), on).await.status, 200);
    tenant.until("/v1/conversations?limit=1", |page| page["data"][0]["session"] == session.as_str()).await;
    assert_eq!(
        tenant.call(&format!("DELETE /v23.0/{id}"), Value::Null).await.json(),
        json!({"success": true})
    );
    assert_eq!(error(&tenant.get(&format!("/v23.0/{id}")).await), (400, 100, Some(33)));
    receiver.stop();
    house.running.shutdown().await;
}

/// A picture that Meta has under this id, as a webhook's value.
fn picture(desk: &Desk<'_>, id: &str) -> Value {
    desk.value(json!({"contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA}],
        "messages": [{"from": ANA, "id": "wamid.IN", "timestamp": "1790000000", "type": "image",
            "image": {"id": id, "mime_type": "image/png", "sha256": "x"}}]}))
}

#[tokio::test]
async fn a_file_that_is_still_fetched_is_asked_for_later_and_one_that_meta_lost_is_unknown() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    // Nobody answers at this address: the file is fetched again and again.
    let waiting = Desk::at(&house, (&sandbox, "http://127.0.0.1:9")).await;
    let receiver = hooked(&waiting.tenant).await;
    waiting.tell(&house, "messages", picture(&waiting, "900")).await;
    let id = heard(&receiver, "wamid.IN").await["messages"][0]["image"]["id"].clone();
    let path = format!("/v23.0/{}", id.as_str().unwrap());
    for path in [path.clone(), format!("{path}/content")] {
        let busy = waiting.tenant.get(&path).await;
        assert_eq!((busy.status, busy.json()["error"]["code"].as_u64()), (503, Some(2)), "{busy:?}");
        assert_eq!(busy.json()["error"]["is_transient"], true);
        assert!(busy.headers.contains_key("retry-after"), "{busy:?}");
    }
    receiver.stop();
    house.running.shutdown().await;
    // This one does, and knows no such file.
    let house = welcoming().await;
    let lost = Desk::open(&house, &sandbox).await;
    let receiver = hooked(&lost.tenant).await;
    lost.tell(&house, "messages", picture(&lost, "900")).await;
    let id = heard(&receiver, "wamid.IN").await["messages"][0]["image"]["id"].clone();
    assert_eq!(
        error(&lost.tenant.get(&format!("/v23.0/{}", id.as_str().unwrap())).await),
        (400, 100, Some(33))
    );
    receiver.stop();
    house.running.shutdown().await;
}

/// The value that a subscriber is told for one that Meta told.
async fn relayed(
    house: &House,
    desk: &Desk<'_>,
    receiver: &Receiver,
    (field, value): (&str, &Value),
) -> (String, Value) {
    let before = receiver.calls().len();
    desk.tell(house, field, value.clone()).await;
    let calls = receiver.until(|calls| calls.len() > before).await;
    change(&calls[before])
}

#[tokio::test]
async fn items_of_a_numbers_value_are_told_in_metas_value_again() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let receiver = hooked(&desk.tenant).await;
    let details = json!({"details": "Message failed to send because there were too many messages sent"});
    let failed = json!([{"code": 130_429, "title": "Rate limit hit", "message": "Rate limit hit", "error_data": details}]);
    let clicked = json!([{"action_type": "marketing_messages_link_click", "timestamp": "1790000000"}]);
    let unknown =
        json!([{"id": "wamid.A", "status": "word_of_2030", "timestamp": "1790000000", "recipient_id": ANA}]);
    let grouped = json!([{"from": ANA, "group_id": "G1", "id": "wamid.G", "timestamp": "1790000000", "type": "text",
        "text": {"body": "Halo"}}]);
    for (list, items) in
        [("errors", failed), ("user_actions", clicked), ("statuses", unknown), ("messages", grouped)]
    {
        let mut value = desk.value(json!({list: items}));
        let told = relayed(&house, &desk, &receiver, ("messages", &value)).await;
        if list == "messages" {
            value["contacts"] = json!([{"wa_id": ANA}]);
        }
        assert_eq!(told, ("messages".to_owned(), value.clone()), "{list}");
        // Whom the value names is named again.
        value["contacts"] = json!([{"profile": {"name": "Ana", "key_of_2030": 1}, "wa_id": ANA}]);
        let told = relayed(&house, &desk, &receiver, ("messages", &value)).await;
        assert_eq!(told, ("messages".to_owned(), value), "{list}");
    }
    // What nobody knows beside the lists is told in a value of its own.
    let beside = json!({"user_actions": [{"action_type": "of_2030"}], "key_of_2030": {"a": [1]}});
    let before = receiver.calls().len();
    desk.tell(&house, "messages", desk.value(beside)).await;
    let calls = receiver.until(|calls| calls.len() > before + 1).await;
    let told: Vec<_> = calls[before..].iter().map(change).collect();
    for alone in [json!({"user_actions": [{"action_type": "of_2030"}]}), json!({"key_of_2030": {"a": [1]}})] {
        assert!(told.contains(&("messages".to_owned(), desk.value(alone))), "{told:?}");
    }
    // A value of an unknown list is whole, and is told whole.
    let value = desk.value(json!({"list_of_2030": [{"a": 1}]}));
    assert_eq!(relayed(&house, &desk, &receiver, ("messages", &value)).await, ("messages".to_owned(), value));
    receiver.stop();
    house.running.shutdown().await;
}

/// The statuses of two messages as Meta tells them, each with more than is read; `of` is the message's reference.
fn statuses(of: &[String]) -> Vec<Value> {
    let common = |nth: usize, status: &str| {
        json!({"id": "wamid.A", "status": status, "timestamp": "1790000000", "recipient_id": ANA,
            "biz_opaque_callback_data": of[nth]})
    };
    let with = |mut status: Value, more: Value| {
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    };
    let price = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"});
    let talk = json!({"id": "c0ffee", "expiration_timestamp": "1790086400", "origin": {"type": "utility"}});
    let mut odd = price.clone();
    odd["of_2030"] = json!([1]);
    let words = json!([{"code": 131_026, "title": "Message undeliverable", "message": "Message undeliverable",
        "error_data": {"details": "Words of Meta's own."}, "href": "https://example.com", "of_2030": 1}]);
    let parent = json!({"parent_recipient_user_id": "ID.ENT.7", "recipient_type": "individual", "key_of_2030": {"a": 1}});
    vec![
        with(common(0, "sent"), json!({"conversation": talk, "pricing": price})),
        with(with(common(0, "delivered"), parent), json!({"pricing": odd})),
        common(0, "read"),
        with(common(1, "failed"), json!({"errors": words})),
    ]
}

#[tokio::test]
async fn what_meta_said_of_a_status_is_told_as_it_came_with_keys_that_nobody_knows() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    // Nobody answers at this address: what is told of the messages is what the webhooks say.
    let desk = Desk::at(&house, (&sandbox, "http://127.0.0.1:9")).await;
    let receiver = hooked(&desk.tenant).await;
    let mut sent = Vec::new();
    for _ in 0..2 {
        let mut message = template(ANA);
        message.as_object_mut().unwrap().remove("messaging_product");
        message["session"] = desk.session.clone().into();
        let answer = desk.tenant.call("POST /v1/messages", message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        sent.push(answer.id());
    }
    let references =
        sent.iter().map(|id| kabar_engine::outgoing::Reference::Message(id.parse().unwrap()).to_string());
    let told = statuses(&references.collect::<Vec<_>>());
    let contact =
        json!({"profile": {"key_of_2030": 7}, "wa_id": ANA, "parent_user_id": "ID.ENT.77", "key_of_2030": 8});
    for status in &told {
        let mut value = json!({"statuses": [status]});
        if status["status"] != "failed" {
            value["contacts"] = json!([contact]);
        }
        desk.tell(&house, "messages", desk.value(value)).await;
    }
    let calls = receiver.until(|calls| items(calls, "statuses").len() >= told.len()).await;
    for mut heard in items(&calls, "statuses") {
        let word = heard["status"].clone();
        let mut meta = told.iter().find(|status| status["status"] == word).unwrap().clone();
        // Ids are ours, and the reference is nobody's business.
        meta.as_object_mut().unwrap().remove("biz_opaque_callback_data");
        meta["id"] = heard["id"].take();
        heard["id"] = meta["id"].clone();
        assert_eq!(heard, meta, "{word}");
    }
    let people = items(&calls, "contacts");
    assert_eq!(people, vec![contact; told.len() - 1], "a failure names nobody");
    let why = desk.tenant.get(&format!("/v1/messages/{}/why", sent[1])).await.json();
    let failed = why["steps"].as_array().unwrap().iter().find(|step| step["status"] == "failed").unwrap();
    assert_eq!(failed["said"]["detail"], "Words of Meta's own.", "{why}");
    receiver.stop();
    house.running.shutdown().await;
}

#[tokio::test]
async fn who_stops_marketing_messages_at_whatsapp_is_told_as_meta_tells_it() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let receiver = hooked(&desk.tenant).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for word in ["stop", "resume"] {
        let preference = json!({"wa_id": ANA, "category": "marketing_messages", "value": word,
            "detail": format!("User requested to {word} marketing messages"), "timestamp": now});
        let value = desk.value(json!({"contacts": [{"wa_id": ANA}], "user_preferences": [preference]}));
        let (field, mut told) = relayed(&house, &desk, &receiver, ("user_preferences", &value)).await;
        // Kabar's time of it.
        let at = told["user_preferences"][0]["timestamp"].take().as_u64().unwrap();
        assert!(at.abs_diff(now) < 60, "{at} {now}");
        told["user_preferences"][0]["timestamp"] = now.into();
        assert_eq!((field.as_str(), told), ("user_preferences", value));
    }
    // What nobody knows beside a wish is told beside it, as it came.
    let odd = json!({"wa_id": ANA, "category": "marketing_messages", "value": "stop", "detail": "d", "timestamp": now, "of_2030": 1});
    let value = desk.value(json!({"contacts": [{"wa_id": ANA, "of_2030": 2}], "user_preferences": [odd]}));
    let told = relayed(&house, &desk, &receiver, ("user_preferences", &value)).await;
    assert_eq!(told, ("user_preferences".to_owned(), value));
    // A wish that is none of Meta's is not told, and is no delivery that failed.
    let wish = json!({"address": format!("+{ANA}"), "session": desk.session});
    assert_eq!(desk.tenant.call("POST /v1/optouts", wish).await.status, 200);
    // What nobody reads yet is told as it came.
    let other = json!({"wa_id": ANA, "category": "category_of_2030", "value": "stop", "timestamp": now});
    let value = desk.value(json!({"contacts": [{"wa_id": ANA}], "user_preferences": [other]}));
    let told = relayed(&house, &desk, &receiver, ("user_preferences", &value)).await;
    assert_eq!(told, ("user_preferences".to_owned(), value));
    let hook = desk.tenant.get("/v1/webhooks").await.json()["data"][0]["id"].clone();
    let log = format!("/v1/webhooks/{}/deliveries", hook.as_str().unwrap());
    let log =
        desk.tenant.until(&log, |log| log["data"].as_array().is_some_and(|lines| lines.len() >= 3)).await;
    assert!(log["data"].as_array().unwrap().iter().all(|line| line["outcome"] == "delivered"), "{log}");
    receiver.stop();
    house.running.shutdown().await;
}

/// Messages with whatever may stand in them, one of each kind that is told otherwise than it is kept.
fn messages() -> Vec<Value> {
    let errors = json!([{"code": 131_051, "title": "Message type unknown",
        "error_data": {"details": "Message type is currently not supported."}}]);
    let product = json!({"catalog_id": "700", "product_retailer_id": "sku1"});
    vec![
        json!({"type": "text", "text": {"body": "Halo", "key_of_2030": {"a": [1]}}, "key_of_2030": 1}),
        json!({"type": "text", "text": {"body": "Halo"}, "context": {"forwarded": true, "frequently_forwarded": true}}),
        json!({"type": "text", "text": {"body": "Halo"}, "from_parent_user_id": "ID.ENT.77",
            "identity": {"acknowledged": true, "created_timestamp": "1790000000", "hash": "h"},
            "context": {"from": "15550200000", "id": "wamid.elsewhere", "referred_product": product, "key_of_2030": 2}}),
        json!({"type": "text", "text": {"body": "Halo"}, "referral": {"source_id": "1", "source_type": "ad", "key_of_2030": 3}}),
        json!({"type": "image", "image": {"id": "900", "mime_type": "image/png", "sha256": "x", "caption": "c", "key_of_2030": 4}}),
        json!({"type": "audio", "audio": {"id": "901", "mime_type": "audio/ogg", "sha256": "x", "voice": true}}),
        json!({"type": "sticker", "sticker": {"id": "902", "mime_type": "image/webp", "sha256": "x", "animated": false}}),
        json!({"type": "location", "location": {"latitude": 48.2, "longitude": 16.37, "url": "https://x", "key_of_2030": 5}}),
        json!({"type": "reaction", "reaction": {"message_id": "wamid.elsewhere", "key_of_2030": 6}}),
        json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "B"}, "origin": "other", "vcard": "BEGIN"}]}),
        json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "t1", "title": "a"}}}),
        json!({"type": "order", "order": {"catalog_id": "7", "product_items": [{"item_price": 9.5, "quantity": 2}]}}),
        json!({"type": "unsupported", "unsupported": {"type": "poll"}, "errors": errors}),
        json!({"type": "unsupported", "errors": errors}),
        json!({"type": "type_of_2030", "type_of_2030": {"a": 1}}),
    ]
}

#[tokio::test]
async fn what_a_person_wrote_is_told_as_meta_told_it_with_keys_that_nobody_knows() {
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let desk = Desk::open(&house, &sandbox).await;
    let receiver = hooked(&desk.tenant).await;
    let contact = json!({"profile": {"name": "Ana", "username": "@ana.d", "key_of_2030": 7}, "wa_id": ANA, "user_id": ANA_ID,
        "parent_user_id": "ID.ENT.77", "identity_key_hash": "k", "key_of_2030": 8});
    for (nth, mut message) in messages().into_iter().enumerate() {
        for (key, value) in [("from", ANA), ("from_user_id", ANA_ID), ("timestamp", "1790000000")] {
            message[key] = value.into();
        }
        let id = format!("wamid.IN{nth}");
        message["id"] = id.as_str().into();
        let value = desk.value(json!({"contacts": [contact], "messages": [message]}));
        desk.tell(&house, "messages", value.clone()).await;
        let mut told = heard(&receiver, &id).await;
        // A file's id is the one it is read by here.
        for kind in ["image", "audio", "sticker"] {
            if message.get(kind).is_some() {
                assert_ne!(told["messages"][0][kind]["id"], message[kind]["id"]);
                told["messages"][0][kind]["id"] = message[kind]["id"].clone();
            }
        }
        // Whom a quoted message is from follows from the message.
        if !message["context"]["id"].is_null() {
            told["messages"][0]["context"]["from"] = message["context"]["from"].clone();
        }
        assert_eq!(told, value, "{message}");
    }
    // Meta introduces nobody in a message of the system.
    let moved = json!({"type": "user_changed_number", "body": "Ana changed", "wa_id": "6281234567899"});
    let system = json!({"from": ANA, "from_user_id": ANA_ID, "id": "wamid.S", "timestamp": "1790000000", "type": "system", "system": moved});
    let value = desk.value(json!({"messages": [system]}));
    desk.tell(&house, "messages", value.clone()).await;
    assert_eq!(heard(&receiver, "wamid.S").await, value);
    // What was kept for this alone is shown nowhere else.
    let talks = desk.tenant.get("/v1/conversations").await.json();
    let talk = talks["data"][0]["id"].as_str().unwrap();
    let page = desk.tenant.get(&format!("/v1/conversations/{talk}/messages?limit=50")).await.json();
    assert!(!page.to_string().contains("key_of_2030\":8"), "{page}");
    receiver.stop();
    house.running.shutdown().await;
}
