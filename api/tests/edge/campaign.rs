//! A campaign over the API: what is checked before, and numbers that add up after.

use super::house::{House, sandbox};
use serde_json::{Value, json};

fn spec(session: &str, list: &Value, text: &str) -> Value {
    json!({
        "name": "c", "senders": [session], "audience": {"list": list}, "options": {"spintax": true},
        "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": text}]}]}},
    })
}

#[tokio::test]
async fn a_campaign_is_checked_before_anything_is_promised() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let list = tenant.import("name,phone\nAna,081234567890\n").await["id"].clone();
    let good = spec(&session, &list, "{{name}}");
    let change = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, code, word) in [
        (change("senders", json!([])), "invalid_value", "senders"),
        (change("senders", json!([session, session])), "invalid_value", "each once"),
        (change("senders", json!(["ses_0000000000001"])), "unknown_reference", "senders[0]"),
        (change("audience", json!({"list": "imp_0000000000001"})), "unknown_reference", "audience.list"),
        (change("audience", json!({})), "invalid_value", "everyone"),
        (change("audience", json!({"everyone": true, "list": list})), "invalid_value", "everyone"),
        (change("audience", json!({"filter": {"any": []}})), "invalid_value", "audience.filter"),
        (change("audience", json!({"recipients": [{"to": "0812"}]})), "invalid_address", "recipients[0].to"),
        (
            change("audience", json!({"recipients": [{"to": "6281234567890", "zone": "WIB"}]})),
            "invalid_value",
            "recipients[0].zone",
        ),
        (change("template", json!("tpl_0000000000001")), "invalid_value", "not both"),
        (
            change("options", json!({"recurrence": {"rule": "FREQ=HOURLY", "zone": "UTC"}})),
            "invalid_value",
            "recurrence",
        ),
        (change("message", json!({"type": "text", "text": {}})), "invalid_content", "text.body"),
        (change("options", json!({"valid_for_seconds": 0})), "invalid_value", "valid_for_seconds"),
        (
            change(
                "options",
                json!({"send_window": {"from_minute": 9, "until_minute": 9, "days": [true, true, true, true, true, true, true]}}),
            ),
            "invalid_value",
            "send_window",
        ),
        (change("budget", json!(1)), "unknown_field", "`budget`"),
    ] {
        let answer = tenant.call("POST /v1/campaigns", body).await;
        let status = if code == "unknown_reference" { 404 } else { 422 };
        assert_eq!(answer.problem(), (status, code.to_owned()), "{answer:?}");
        assert!(answer.text.contains(word), "{}", answer.text);
    }
    let broken = tenant.call("POST /v1/campaigns", spec(&session, &list, "a\n {{name")).await;
    assert_eq!(broken.problem(), (422, "invalid_pattern".into()));
    let body = broken.json();
    let place = (body["path"].as_str(), body["line"].as_u64(), body["column"].as_u64());
    assert_eq!(place, (Some("template.components[0].parameters[0].text"), Some(2), Some(2)));
    let id = tenant.call("POST /v1/campaigns", good).await.id();
    let shown = tenant.get(&format!("/v1/campaigns/{id}")).await.json();
    assert_eq!((shown["state"].as_str(), shown["totals"]["recipients"].as_u64()), (Some("draft"), Some(0)));
    for verb in ["pause", "resume", "cancel"] {
        let early = tenant.call(&format!("POST /v1/campaigns/{id}/{verb}"), Value::Null).await;
        assert_eq!(early.problem(), (409, "wrong_phase".into()), "{verb}");
    }
    let other = tenant.call(&format!("POST /v1/campaigns/{id}/dance"), Value::Null).await;
    assert_eq!(other.problem().0, 404);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_campaign_reaches_everyone_it_may_and_its_numbers_add_up() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let mut csv = String::from("name,phone,city,opted_out\n");
    for n in 0..40 {
        let city = if n % 10 == 3 { "" } else { "Bandung" };
        csv.push_str(&format!("Ana,0812345678{n:02},{city},{}\n", if n == 7 { "yes" } else { "no" }));
    }
    csv.push_str("Twice,+62 812-3456-7800,Bandung,no\nNobody,n/a,,no\n");
    let import = tenant.import(&csv).await;
    let count = |field: &str| import[field].as_u64().unwrap();
    assert_eq!((count("rows_read"), count("imported"), count("duplicate"), count("invalid")), (42, 40, 1, 1));
    assert_eq!(import["problems"][0]["row"].as_u64(), Some(43));
    let created = tenant
        .with(
            "POST /v1/campaigns",
            &[("idempotency-key", "c")],
            spec(&session, &import["id"], "{Hai|Halo} {{name}}, {{city}}"),
        )
        .await;
    let id = created.id();
    let again = tenant
        .with(
            "POST /v1/campaigns",
            &[("idempotency-key", "c")],
            spec(&session, &import["id"], "{Hai|Halo} {{name}}, {{city}}"),
        )
        .await;
    assert_eq!((again.id(), again.headers["idempotency-replayed"].to_str().unwrap()), (id.clone(), "true"));
    let launch = format!("POST /v1/campaigns/{id}/launch");
    assert_eq!(tenant.with(&launch, &[("idempotency-key", "l")], json!({})).await.status, 200);
    assert_eq!(tenant.with(&launch, &[("idempotency-key", "l")], json!({})).await.status, 200);
    assert_eq!(tenant.call(&launch, json!({})).await.problem(), (409, "wrong_phase".into()));
    let path = format!("/v1/campaigns/{id}");
    let done = tenant
        .until(&path, |c| c["state"] == "finished" && c["totals"]["read"] == c["totals"]["recipients"])
        .await;
    let n = |field: &str| done["totals"][field].as_u64().unwrap();
    assert_eq!(
        (done["contacts"].as_u64(), done["opted_out"].as_u64(), done["missing_variable"].as_u64()),
        (Some(40), Some(1), Some(4))
    );
    assert_eq!((n("recipients"), n("sent"), n("failed"), n("expired"), n("unknown")), (35, 35, 0, 0, 0));
    let stats = sandbox.stats();
    assert_eq!((stats.accepted, stats.repeated, stats.unique_recipients), (35, 0, 35));
    let listed = tenant.get("/v1/campaigns").await.json();
    assert_eq!(listed["data"][0]["id"].as_str(), Some(id.as_str()));
    house.running.shutdown().await;
    sandbox.stop().await;
}
