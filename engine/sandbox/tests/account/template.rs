//! Templates: made by Meta's rules, reviewed, listed, changed, deleted; and what a send must fit.

use hyper::Method;
use kabar_sandbox::Behaviour;
use serde_json::{Value, json};

use super::{ACCOUNT, create, news, told};
use crate::harness::{Client, Receiver, sandbox, swift};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn body(text: &str, examples: &[&str]) -> Value {
    if examples.is_empty() {
        json!([{"type": "BODY", "text": text}])
    } else {
        json!([{"type": "BODY", "text": text, "example": {"body_text": [examples]}}])
    }
}

fn sent(name: &str, language: &str, components: Value) -> Value {
    json!({"messaging_product": "whatsapp", "to": "15550100001", "type": "template",
        "template": {"name": name, "language": {"code": language}, "components": components}})
}

fn texts(texts: &[&str]) -> Value {
    let parameters: Vec<Value> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!([{"type": "body", "parameters": parameters}])
}

#[tokio::test]
async fn a_template_is_reviewed_on_the_sandboxs_clock_and_told_of() {
    let sandbox = sandbox(Behaviour { review_ms: 3_600_000, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let made = create(
        &mut client,
        "order_update",
        "UTILITY",
        body("Hello {{1}}, your parcel left our shop.", &["Ana"]),
    )
    .await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (made.json()["status"].as_str(), made.json()["category"].as_str()),
        (Some("PENDING"), Some("UTILITY"))
    );
    assert_eq!(
        client.send(&sent("order_update", "en_US", texts(&["Ana"]))).await.code(),
        132_001,
        "not approved yet"
    );
    create(&mut client, "reject_me", "MARKETING", body("Buy our lamps today!", &[])).await;
    assert_eq!(
        client.get(&format!("/{id}?fields=status")).await.json(),
        json!({"id": id, "status": "PENDING"})
    );
    sandbox.advance(3_600_000);
    let values = told(&mut receiver, "message_template_status_update", 2).await;
    let of = |event: &str| values.iter().find(|value| value["event"] == event).unwrap();
    let approved = of("APPROVED");
    assert_eq!(approved["message_template_id"].to_string(), id, "a number here, a string elsewhere");
    assert_eq!(
        (approved["message_template_language"].as_str(), approved["reason"].as_str()),
        (Some("en-US"), Some("NONE"))
    );
    assert_eq!(of("REJECTED")["reason"], "INVALID_FORMAT");
    let body: Value = serde_json::from_slice(&receiver.posts()[0].body).unwrap();
    assert!(body["entry"][0]["time"].is_i64() && body["entry"][0]["id"] == ACCOUNT, "{body}");
    let whole = client.get(&format!("/{id}")).await.json();
    assert_eq!(
        (whole["status"].as_str(), whole["parameter_format"].as_str()),
        (Some("APPROVED"), Some("POSITIONAL"))
    );
    assert_eq!(client.send(&sent("order_update", "en_US", texts(&["Ana"]))).await.status, 200);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_its_subcode() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let long = "x ".repeat(513);
    let footer = json!([{"type": "BODY", "text": "Hello there"}, {"type": "FOOTER", "text": "Bye {{1}}"}]);
    let header = json!([{"type": "BODY", "text": "Hello there"}, {"type": "HEADER", "format": "IMAGE"}]);
    for (components, subcode) in [
        (body(&long, &[]), 2_388_040),
        (body("{{1}} is on the way to you", &["A"]), 2_388_299),
        (body("On the way to you: {{1}}", &["A"]), 2_388_299),
        (body("Hi {{1}} {{2}} {{3}} x", &["a", "b", "c"]), 2_388_293),
        (body("Dear {{2}}, your parcel left", &["A"]), 2_388_072),
        (body("Dear {{1}}, your parcel left", &[]), 2_388_072),
        (footer, 2_388_073),
        (header, 2_388_047),
    ] {
        let heard = create(&mut client, "broken", "UTILITY", components.clone()).await;
        let error = &heard.json()["error"];
        assert_eq!((heard.status, heard.code()), (400, 100), "{components}");
        assert_eq!(error["error_subcode"], subcode, "{components} {error}");
        assert!(error["error_user_title"].is_string() && error["error_user_msg"].is_string());
    }
    for (name, category, components) in [
        ("Upper", "UTILITY", body("Hello there", &[])),
        ("lower", "POEM", body("Hello there", &[])),
        ("lower", "UTILITY", json!([{"type": "FOOTER", "text": "Bye"}])),
        ("otp", "AUTHENTICATION", json!([{"type": "BODY"}])),
        (
            "replies",
            "UTILITY",
            json!([{"type": "BODY", "text": "Hi you"}, {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "a"}, {"type": "URL", "text": "b", "url": "https://x.example"}, {"type": "QUICK_REPLY", "text": "c"}]}]),
        ),
    ] {
        assert_eq!(
            create(&mut client, name, category, components.clone()).await.code(),
            100,
            "{name} {category} {components}"
        );
    }
    assert_eq!(create(&mut client, "twice", "UTILITY", body("Hello there", &[])).await.status, 200);
    let again = create(&mut client, "twice", "UTILITY", body("Hello there", &[])).await;
    assert_eq!(again.json()["error"]["error_subcode"], 2_388_024);
}

#[tokio::test]
async fn lists_are_filtered_paged_and_cut_to_fields() {
    let sandbox = sandbox(Behaviour { review_ms: 0, ..swift() }).await;
    let mut client = Client::to(&sandbox);
    for name in ["offer_a", "offer_b", "offer_c", "reject_d", "news_e"] {
        create(
            &mut client,
            name,
            if name == "news_e" { "UTILITY" } else { "MARKETING" },
            body("Hello there", &[]),
        )
        .await;
    }
    sandbox.advance(1);
    let edge = format!("/v26.0/{ACCOUNT}/message_templates");
    let names = |answer: &Value| -> Vec<String> {
        answer["data"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = format!("{edge}?limit=2");
    loop {
        let page = client.get(&path).await.json();
        assert!(page["data"].as_array().unwrap().len() <= 2);
        seen.extend(names(&page));
        if page["paging"].get("next").is_none() {
            break;
        }
        path = format!("{edge}?limit=2&after={}", page["paging"]["cursors"]["after"].as_str().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["news_e", "offer_a", "offer_b", "offer_c", "reject_d"]);
    assert_eq!(names(&client.get(&format!("{edge}?name=offer_b")).await.json()), ["offer_b"]);
    assert_eq!(names(&client.get(&format!("{edge}?category=UTILITY")).await.json()), ["news_e"]);
    assert_eq!(names(&client.get(&format!("{edge}?status=REJECTED")).await.json()), ["reject_d"]);
    assert_eq!(client.get(&format!("{edge}?language=id")).await.json()["data"], json!([]));
    let cut = client.get(&format!("{edge}?fields=name,quality_score&name=news_e")).await.json();
    let keys: Vec<&String> = cut["data"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "name", "quality_score"]);
    assert_eq!(client.get(&format!("{edge}?after=!")).await.code(), 100);
}

#[tokio::test]
async fn a_send_must_fit_the_template_and_unknown_names_pass_until_strict() {
    let sandbox = sandbox(Behaviour { review_ms: 0, ..swift() }).await;
    let mut client = Client::to(&sandbox);
    let named = json!([
        {"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["4::x"]}},
        {"type": "BODY", "text": "Hello {{first_name}}, your parcel left our shop.",
            "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ana"}]}},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}", "example": ["https://shop.example/1"]}]}]);
    let create = json!({"name": "parcel", "language": "en_US", "category": "UTILITY", "parameter_format": "NAMED", "components": named});
    assert_eq!(client.post(&format!("/{ACCOUNT}/message_templates"), &create).await.status, 200);
    super::create(
        &mut client,
        "plain",
        "UTILITY",
        body("Hello {{1}}, your parcel left {{2}} today.", &["a", "b"]),
    )
    .await;
    sandbox.advance(1);
    let header = json!({"type": "header", "parameters": [{"type": "document", "document": {"link": "https://x.example/a.pdf"}}]});
    let text = |name: &str| json!({"type": "body", "parameters": [{"type": "text", "parameter_name": name, "text": "Ana"}]});
    let button = json!({"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "81"}]});
    let image = json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x.example/a.png"}}]});
    for (body, code) in [
        (sent("parcel", "en_US", json!([header, text("first_name"), button])), 0),
        (sent("parcel", "en-US", json!([header, text("first_name"), button])), 0),
        (sent("parcel", "id", json!([header, text("first_name"), button])), 132_001),
        (sent("parcel", "en_US", json!([text("first_name"), button])), 132_012),
        (sent("parcel", "en_US", json!([image, text("first_name"), button])), 132_012),
        (sent("parcel", "en_US", json!([header, button])), 132_000),
        (sent("parcel", "en_US", json!([header, text("name"), button])), 132_012),
        (sent("parcel", "en_US", json!([header, text("first_name")])), 131_008),
        (sent("plain", "en_US", texts(&["a", "b"])), 0),
        (sent("plain", "en_US", texts(&["a"])), 132_000),
        (sent("plain", "en_US", texts(&["a", "b", "c"])), 132_000),
        (sent("nobody_knows", "en_US", json!([])), 0),
    ] {
        assert_eq!(client.send(&body).await.code(), code, "{body}");
    }
    sandbox.set_behaviour(Behaviour { strict_templates: true, ..swift() }).unwrap();
    let heard = client.send(&sent("nobody_knows", "en_US", json!([]))).await;
    assert_eq!((heard.status, heard.code()), (404, 132_001));
}

#[tokio::test]
async fn a_template_pauses_for_three_hours_then_six_and_is_then_disabled() {
    let sandbox =
        sandbox(Behaviour { review_ms: 0, pause_after_sends: 2, pair_limit: false, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    create(&mut client, "pause_soon", "MARKETING", body("Buy our lamps today!", &[])).await;
    told(&mut receiver, "message_template_status_update", 1).await;
    let lamp = sent("pause_soon", "en_US", json!([]));
    for (told_so_far, hours) in [(2, 3), (4, 6)] {
        for code in [0, 0, 132_015] {
            assert_eq!(client.send(&lamp).await.code(), code);
        }
        told(&mut receiver, "message_template_status_update", told_so_far).await;
        sandbox.advance(hours * 3_600_000 - 60_000);
        assert_eq!(client.send(&lamp).await.code(), 132_015, "{hours} hours are not over");
        sandbox.advance(60_000);
        told(&mut receiver, "message_template_status_update", told_so_far + 1).await;
    }
    for code in [0, 0, 132_016] {
        assert_eq!(client.send(&lamp).await.code(), code);
    }
    let values = told(&mut receiver, "message_template_status_update", 6).await;
    let mut titles: Vec<&str> =
        values.iter().filter_map(|value| value["other_info"]["title"].as_str()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["DISABLED", "FIRST_PAUSE", "SECOND_PAUSE", "UNPAUSED", "UNPAUSED"]);
}

#[tokio::test]
async fn an_approved_template_is_edited_once_a_day_and_a_deleted_name_is_blocked() {
    let sandbox = sandbox(Behaviour { review_ms: 0, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let made = create(&mut client, "offer", "MARKETING", body("Buy our lamps today!", &[])).await;
    let path = format!("/{}", made.json()["id"].as_str().unwrap());
    told(&mut receiver, "message_template_status_update", 1).await;
    let change = json!({"components": body("Buy our chairs today!", &[])});
    assert_eq!(client.post(&path, &change).await.json()["success"], true);
    assert_eq!(client.get(&path).await.json()["components"][0]["text"], "Buy our chairs today!");
    told(&mut receiver, "message_template_status_update", 2).await;
    assert_eq!(client.post(&path, &change).await.json()["error"]["error_subcode"], 2_388_039);
    sandbox.advance(DAY_MS);
    assert_eq!(
        client.post(&path, &json!({"category": "UTILITY"})).await.json()["error"]["error_subcode"],
        2_388_039
    );
    assert_eq!(client.post(&path, &change).await.status, 200);

    let edge = format!("/{ACCOUNT}/message_templates");
    let gone = client.try_call(Method::DELETE, &format!("{edge}?name=offer"), b"").await.unwrap();
    assert_eq!(gone.json(), json!({"success": true}));
    assert_eq!(
        client.try_call(Method::DELETE, &format!("{edge}?name=offer"), b"").await.unwrap().code(),
        100
    );
    assert_eq!(client.send(&sent("offer", "en_US", json!([]))).await.code(), 132_001);
    let again = create(&mut client, "offer", "MARKETING", body("Buy our lamps today!", &[])).await;
    assert_eq!(again.json()["error"]["error_subcode"], 2_388_023);
    sandbox.advance(30 * DAY_MS);
    assert_eq!(
        create(&mut client, "offer", "MARKETING", body("Buy our lamps today!", &[])).await.status,
        200
    );
}

#[tokio::test]
async fn the_control_api_orders_what_happens_to_a_template() {
    let sandbox = sandbox(Behaviour { review_ms: 0, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    create(&mut client, "offer", "MARKETING", body("Buy our lamps today!", &[])).await;
    told(&mut receiver, "message_template_status_update", 1).await;
    let order = json!({"name": "offer", "quality": "RED", "category": "UTILITY"});
    assert_eq!(control.post("/_sim/template", &order).await.json(), json!({"changed": 1}));
    let quality = told(&mut receiver, "message_template_quality_update", 1).await;
    assert_eq!(
        (quality[0]["previous_quality_score"].as_str(), quality[0]["new_quality_score"].as_str()),
        (Some("UNKNOWN"), Some("RED"))
    );
    let category = told(&mut receiver, "template_category_update", 1).await;
    assert_eq!(
        (category[0]["previous_category"].as_str(), category[0]["new_category"].as_str()),
        (Some("MARKETING"), Some("UTILITY"))
    );
    told(&mut receiver, "message_template_status_update", 2).await;
    assert_eq!(client.send(&sent("offer", "en_US", json!([]))).await.code(), 132_015, "red pauses");
    assert_eq!(
        control.post("/_sim/template", &json!({"name": "offer", "status": "DISABLED"})).await.status,
        200
    );
    told(&mut receiver, "message_template_status_update", 3).await;
    assert_eq!(client.send(&sent("offer", "en_US", json!([]))).await.code(), 132_016);
    assert_eq!(control.post("/_sim/template", &json!({"name": "none"})).await.status, 400);
    assert_eq!(news(&receiver.posts(), "message_template_status_update").len(), 3);
}
