//! Whom a campaign goes to, what it would be, and campaigns made from it, over the API.

use super::house::{House, Tenant, sandbox};
use serde_json::{Value, json};

fn message(text: &str) -> Value {
    json!({"type": "template", "template": {"name": "halo", "language": {"code": "id"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": text}]}]}})
}

fn spec(session: &str, audience: Value, text: &str) -> Value {
    json!({"name": "c", "senders": [session], "audience": audience, "message": message(text)})
}

async fn finished(tenant: &Tenant<'_>, id: &str) -> Value {
    let launched = tenant.call(&format!("POST /v1/campaigns/{id}/launch"), json!({})).await;
    assert_eq!(launched.status, 200, "{launched:?}");
    tenant.until(&format!("/v1/campaigns/{id}"), |c| c["state"] == "finished").await
}

const PEOPLE: &str = "name,phone,city,age\nAna,081234567801,Bandung,31\nBudi,081234567802,Bogor,17\n\
    Citra,081234567803,bandung,44\nDewi,081234567804,Bandung,\n";

#[tokio::test]
async fn a_filter_over_the_address_book_reaches_those_who_fit_and_nobody_else() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let list = tenant.import(PEOPLE).await["id"].clone();
    tenant.import("name,phone,city,age\nElsewhere,081234567809,Bandung,50\n").await;
    let adults = json!({"all": [{"equals": {"field": "city", "value": "Bandung"}}, {"at_least": {"field": "age", "value": 18}}]});
    for (audience, contacts) in [
        (json!({"list": list, "filter": adults}), 2),
        (json!({"filter": adults}), 3),
        (json!({"everyone": true}), 5),
    ] {
        let made = tenant.call("POST /v1/campaigns", spec(&session, audience.clone(), "{{name}}")).await;
        let done = finished(&tenant, &made.id()).await;
        assert_eq!(
            (done["contacts"].as_u64(), done["totals"]["sent"].as_u64()),
            (Some(contacts), Some(contacts)),
            "{audience}"
        );
        assert_eq!(done["audience"]["kind"], "contacts");
    }
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn people_named_with_the_campaign_need_be_no_contacts_and_an_opt_out_holds_for_them_too() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    tenant.call("POST /v1/optouts", json!({"address": "6281234567802"})).await;
    let people = json!({"recipients": [
        {"to": "6281234567803", "name": "Citra", "fields": {"order": "A-3"}},
        {"to": "+62 812-3456-7802", "name": "Budi", "fields": {"order": "A-2"}},
        {"to": "6281234567801", "name": "Ana", "zone": "Asia/Makassar"},
    ]});
    let id = tenant.call("POST /v1/campaigns", spec(&session, people, "{{name}}: {{order}}")).await.id();
    let report = tenant.get(&format!("/v1/campaigns/{id}/preflight")).await.json();
    let n = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((n("contacts"), n("valid"), n("opted_out"), n("missing_variable")), (3, 1, 1, 1), "{report}");
    assert_eq!(report["missing"], json!([{"variable": "order", "contacts": 1}]));
    let done = finished(&tenant, &id).await;
    assert_eq!((done["totals"]["sent"].as_u64(), done["audience"]["named"].as_u64()), (Some(1), Some(3)));
    let page = tenant.get(&format!("/v1/campaigns/{id}/recipients")).await.json();
    assert_eq!(page["data"][0]["to"], "+6281234567803");
    let said =
        tenant.get(&format!("/v1/messages/{}", page["data"][0]["message"].as_str().unwrap())).await.json();
    assert!(said.to_string().contains("Citra: A-3"), "{said}");
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn the_preflight_report_counts_what_the_launch_then_does_and_says_when_it_is_through() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let csv = format!("{PEOPLE}Twice,+62 812-3456-7801,Bogor,1\nNobody,n/a,,\n");
    let list = tenant.import(&csv).await["id"].clone();
    tenant.call("POST /v1/optouts", json!({"address": "6281234567803"})).await;
    let id = tenant
        .call("POST /v1/campaigns", spec(&session, json!({"list": list}), "{{name}} {{age}}"))
        .await
        .id();
    let report = tenant.get(&format!("/v1/campaigns/{id}/preflight")).await.json();
    let n = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((n("contacts"), n("valid"), n("invalid"), n("duplicate")), (4, 2, 1, 1), "{report}");
    assert_eq!((n("opted_out"), n("missing_variable"), n("capped")), (1, 1, 0), "{report}");
    assert_eq!(report["missing"], json!([{"variable": "age", "contacts": 1}]));
    assert_eq!(report["zones"], json!([{"zone": "Asia/Jakarta", "recipients": 2}]));
    assert!(report["expected_finish"].as_str() >= report["begins"].as_str(), "{report}");
    let done = finished(&tenant, &id).await;
    for field in ["contacts", "opted_out", "missing_variable"] {
        assert_eq!(done[field], report[field], "{field}");
    }
    assert_eq!(done["totals"]["recipients"], report["valid"]);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn the_preview_is_the_very_message_the_campaign_sends() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let list = tenant.import(PEOPLE).await["id"].clone();
    let mut body = spec(&session, json!({"list": list}), "{Hai|Halo|Hei} {{name}}, {{age}}");
    body["options"] = json!({"spintax": true});
    let id = tenant.call("POST /v1/campaigns", body).await.id();
    let contacts = tenant.get("/v1/contacts").await.json();
    let mut previews = std::collections::BTreeMap::new();
    for contact in contacts["data"].as_array().unwrap() {
        let path = format!("/v1/campaigns/{id}/preview?contact={}", contact["id"].as_str().unwrap());
        let preview = tenant.get(&path).await.json();
        let name = contact["name"].as_str().unwrap();
        assert_eq!(preview["missing"], if name == "Dewi" { json!(["age"]) } else { json!([]) }, "{preview}");
        assert_eq!(preview["zone"]["name"], "Asia/Jakarta");
        previews.insert(contact["address"].as_str().unwrap().to_owned(), preview["message"].clone());
    }
    finished(&tenant, &id).await;
    let page = tenant.get(&format!("/v1/campaigns/{id}/recipients")).await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 3);
    for recipient in page["data"].as_array().unwrap() {
        let path = format!("/v1/messages/{}", recipient["message"].as_str().unwrap());
        let said = tenant.get(&path).await.json();
        let preview = &previews[recipient["to"].as_str().unwrap()];
        assert_eq!(&said["message"], preview, "{said} {preview}");
    }
    let nobody = tenant.get(&format!("/v1/campaigns/{id}/preview?contact=con_0000000000001")).await;
    assert_eq!(nobody.problem(), (404, "unknown_reference".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_retry_goes_to_those_who_failed_and_is_linked_and_a_clone_is_the_same_once_more() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    // A number at which the simulated WhatsApp accepts and fails later.
    let people = json!({"recipients": [{"to": "6281234567801"}, {"to": "9995131026"}]});
    let id = tenant.call("POST /v1/campaigns", spec(&session, people, "Halo")).await.id();
    let early = tenant.call(&format!("POST /v1/campaigns/{id}/retry"), json!({})).await;
    assert_eq!(early.problem(), (409, "wrong_phase".into()));
    finished(&tenant, &id).await;
    let done = tenant.until(&format!("/v1/campaigns/{id}"), |c| c["totals"]["failed"] == 1).await;
    assert_eq!(done["totals"]["causes"][0]["code"], "undeliverable", "{done}");
    let failed =
        tenant.get(&format!("/v1/campaigns/{id}/recipients?status=failed&cause=undeliverable")).await.json();
    assert_eq!((failed["data"].as_array().unwrap().len(), failed["next"].is_null()), (1, true));
    assert_eq!(failed["data"][0]["cause"]["number"], 131_026);
    let none = tenant.get(&format!("/v1/campaigns/{id}/recipients?cause=131047")).await.json();
    assert_eq!(none["data"], json!([]));
    let file = tenant.get(&format!("/v1/campaigns/{id}/export")).await.text;
    assert_eq!(file.lines().count(), 3, "{file}");
    assert!(file.contains(",failed,undeliverable,131026,"), "{file}");
    let asked = format!("POST /v1/campaigns/{id}/retry");
    let key = [("idempotency-key", "again")];
    let retry = tenant.with(&asked, &key, json!({"causes": [131_026]})).await;
    let repeat = tenant.with(&asked, &key, json!({"causes": [131_026]})).await;
    assert_eq!(repeat.id(), retry.id());
    assert_eq!(tenant.with(&asked, &key, json!({})).await.problem(), (422, "idempotency_mismatch".into()));
    let again = finished(&tenant, &retry.id()).await;
    assert_eq!((again["contacts"].as_u64(), again["origin"]["relation"].as_str()), (Some(1), Some("retry")));
    let clone = tenant.call(&format!("POST /v1/campaigns/{id}/clone"), json!({"name": "twice"})).await;
    let shown = clone.json();
    assert_eq!((shown["name"].as_str(), shown["state"].as_str()), (Some("twice"), Some("draft")));
    assert_eq!(shown["origin"], json!({"campaign": id, "relation": "clone"}));
    let linked = tenant.get(&format!("/v1/campaigns?origin={id}")).await.json();
    assert_eq!(linked["data"].as_array().unwrap().len(), 2);
    let other = house.tenant("B").await;
    for what in [
        format!("POST /v1/campaigns/{id}/clone"),
        format!("POST /v1/campaigns/{id}/retry"),
        format!("GET /v1/campaigns/{id}/recipients"),
        format!("GET /v1/campaigns/{id}/export"),
        format!("GET /v1/campaigns/{id}/preflight"),
        format!("GET /v1/campaigns/{id}/preview?contact=con_0000000000001"),
    ] {
        assert_eq!(other.call(&what, json!({})).await.problem().0, 404, "{what}");
    }
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn pages_of_recipients_show_each_once() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let rows: String = (0..40).map(|n| format!("0812345678{n:02}\n")).collect();
    let list = tenant.import(&format!("phone\n{rows}")).await["id"].clone();
    let id = tenant.call("POST /v1/campaigns", spec(&session, json!({"list": list}), "Halo")).await.id();
    let before = tenant.get(&format!("/v1/campaigns/{id}/recipients")).await.json();
    assert_eq!(before["data"], json!([]));
    finished(&tenant, &id).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.get(&format!("/v1/campaigns/{id}/recipients?limit=7{after}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|r| r["to"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all = seen.len();
    seen.dedup();
    assert_eq!((all, seen.len()), (40, 40));
    let wrong = tenant.get(&format!("/v1/campaigns/{id}/recipients?status=lost")).await;
    assert_eq!(wrong.problem(), (400, "invalid_query".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}
