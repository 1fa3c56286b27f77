//! Contacts one by one and as a file: made once, changed by merge patches, seen by their tenant alone, exported so
//! that they import again.

use super::house::{Answer, House, Tenant};
use kabar_schema::store::Store;
use serde_json::{Value, json};

/// No flush in the time of a test.
const NEVER_MS: u64 = 600_000;

const ANA: &str = "+6281234567890";

async fn ana(tenant: &Tenant<'_>) -> Value {
    let body = json!({
        "address": "+62 812-3456-7890", "name": " Ana ", "zone": "asia/makassar",
        "fields": {"city": "Bandung", "plan": "gold"},
    });
    let answer = tenant.call("POST /v1/contacts", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn patch(tenant: &Tenant<'_>, id: &str, body: Value) -> Answer {
    tenant.call(&format!("PATCH /v1/contacts/{id}"), body).await
}

fn id(contact: &Value) -> &str {
    contact["id"].as_str().unwrap()
}

/// Every contact of the tenant, without its times and the spelling of its number.
async fn book(tenant: &Tenant<'_>) -> Vec<Value> {
    let mut contacts = tenant.get("/v1/contacts").await.json()["data"].as_array().unwrap().clone();
    for contact in &mut contacts {
        for field in ["updated", "input"] {
            contact.as_object_mut().unwrap().remove(field);
        }
    }
    contacts
}

#[tokio::test]
async fn a_contact_is_made_read_and_deleted_once() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = ana(&tenant).await;
    assert_eq!((made["address"].as_str(), made["name"].as_str()), (Some(ANA), Some("Ana")));
    assert_eq!(made["zone"], "Asia/Makassar");
    assert_eq!(made["zone_used"], json!({"name": "Asia/Makassar", "source": "contact"}));
    assert_eq!(made["opted_out"], false);
    let path = format!("/v1/contacts/{}", id(&made));
    assert_eq!(tenant.get(&path).await.json(), made);
    assert_eq!(tenant.call(&format!("DELETE {path}"), Value::Null).await.status, 204);
    for method in ["DELETE", "GET", "PATCH"] {
        let gone = tenant.call(&format!("{method} {path}"), json!({})).await;
        assert_eq!(gone.problem(), (404, "not_found".into()), "{method}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_contact_says_whether_the_person_has_opted_out_also_after_it_was_made_anew() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("155001").await;
    let made = ana(&tenant).await;
    let path = format!("/v1/contacts/{}", id(&made));
    // Heard by the session's shard, which is not the address's own.
    tenant.call("POST /v1/optouts", json!({"address": ANA, "session": session})).await;
    assert_eq!(tenant.get(&path).await.json()["opted_out"], true);
    tenant.call(&format!("DELETE {path}"), Value::Null).await;
    assert_eq!(ana(&tenant).await["opted_out"], true);
    tenant.call("DELETE /v1/optouts", json!({"address": ANA})).await;
    assert_eq!(tenant.get(&path).await.json()["opted_out"], false);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_wish_is_told_at_once_wherever_it_was_heard_and_after_a_crash_before_any_flush() {
    let store = Store::memory();
    let house = House::on(store.clone(), |config| config.engine.flush_ms = NEVER_MS).await;
    let tenant = house.tenant("A").await;
    let (first, second) = (tenant.idle_session("155001").await, tenant.idle_session("155002").await);
    let path = format!("/v1/contacts/{}", id(&ana(&tenant).await));
    tenant.call("POST /v1/optouts", json!({"address": ANA, "session": first})).await;
    assert_eq!(tenant.get(&path).await.json()["opted_out"], true);
    // Two wishes of one millisecond are no order between shards: the opt-out would win.
    let heard = house.running.node.clock().now_ms();
    while house.running.node.clock().now_ms() == heard {
        tokio::task::yield_now().await;
    }
    tenant.call("DELETE /v1/optouts", json!({"address": ANA, "session": second})).await;
    assert_eq!(tenant.get(&path).await.json()["opted_out"], false, "the newest wish of all shards");
    tenant.call("POST /v1/optouts", json!({"address": ANA})).await;
    assert_eq!(patch(&tenant, path.rsplit('/').next().unwrap(), json!({})).await.json()["opted_out"], true);
    assert!(store.views.marks().await.unwrap().is_empty(), "nothing was flushed: not a read's work");
    let known = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
    // The first server is fenced off with nothing in the views, as one that was killed.
    let again = House::on(store.clone(), |config| config.engine.flush_ms = NEVER_MS).await;
    let tenant = again.again(known);
    assert_eq!(tenant.get(&path).await.json()["opted_out"], true);
    again.running.node.flush().await;
    assert_eq!(tenant.get(&path).await.json()["opted_out"], true, "from the views");
    again.running.shutdown().await;
}

#[tokio::test]
async fn another_tenants_contact_is_not_there() {
    let house = House::open().await;
    let (owner, other) = (house.tenant("A").await, house.tenant("B").await);
    let made = ana(&owner).await;
    for method in ["GET", "PATCH", "DELETE"] {
        let what = format!("{method} /v1/contacts/{}", id(&made));
        assert_eq!(other.call(&what, json!({"name": "Mine"})).await.problem().0, 404, "{method}");
    }
    let list = owner.import("name,phone\nBudi,081234567891\n").await;
    let path = format!("/v1/contacts/export?list={}", id(&list));
    assert_eq!(other.get(&path).await.problem().0, 404);
    assert_eq!(other.get("/v1/contacts/export").await.text, "phone,name,zone,opted_out\r\n");
    assert_eq!(owner.get(&format!("/v1/contacts/{}", id(&made))).await.json(), made);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_null_clears() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = ana(&tenant).await;
    let changed =
        patch(&tenant, id(&made), json!({"zone": null, "fields": {"plan": null, "tier": "1"}})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!(changed["fields"], json!({"city": "Bandung", "tier": "1"}));
    assert_eq!((&changed["zone"], changed["name"].as_str()), (&Value::Null, Some("Ana")));
    assert_eq!(changed["zone_used"], json!({"name": "Asia/Jakarta", "source": "number"}));
    assert_eq!(tenant.get(&format!("/v1/contacts/{}", id(&made))).await.json(), changed);
    let again = patch(&tenant, id(&made), json!({"zone": null, "fields": {"plan": null, "tier": "1"}})).await;
    assert_eq!(again.json(), changed, "a patch that changes nothing leaves the time of change");
    let bare = patch(&tenant, id(&made), json!({"name": null, "fields": null})).await.json();
    assert_eq!((&bare["name"], &bare["fields"]), (&Value::Null, &json!({})));
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_is_not_allowed_is_named_and_changes_nothing() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = ana(&tenant).await;
    let many: serde_json::Map<String, Value> = (0..99).map(|n| (format!("f{n}"), "x".into())).collect();
    for (body, code, path) in [
        (json!({"nmae": "B"}), "unknown_field", "nmae"),
        (json!({"address": "+6281234567891"}), "invalid_value", "address"),
        (json!({"address": null}), "invalid_value", "address"),
        (json!({"zone": "Bandung"}), "invalid_value", "zone"),
        (json!({"name": ""}), "invalid_value", "name"),
        (json!({"fields": many}), "invalid_value", "fields"),
        (json!({"fields": {"": "x"}}), "invalid_value", "fields"),
        (json!({"fields": {"a": "x".repeat(4_097)}}), "invalid_value", "fields.a"),
    ] {
        let answer = patch(&tenant, id(&made), body.clone()).await;
        assert_eq!(answer.problem(), (422, code.into()), "{body}");
        assert_eq!(answer.json()["path"], path, "{body}");
        let mut new = body;
        if path != "address" {
            new["address"] = "+6281234567899".into();
            if path == "fields" && new["fields"].get("f0").is_some() {
                new["fields"]["g"] = "x".into();
                new["fields"]["h"] = "x".into();
            }
            assert_eq!(tenant.call("POST /v1/contacts", new).await.problem(), (422, code.into()), "{path}");
        }
    }
    let wrong = tenant.call("POST /v1/contacts", json!({"address": "0812"})).await;
    assert_eq!(wrong.problem(), (422, "invalid_address".into()));
    assert_eq!(tenant.get(&format!("/v1/contacts/{}", id(&made))).await.json(), made);
    assert_eq!(book(&tenant).await.len(), 1);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_known_address_is_refused_by_its_contacts_id_and_a_repeat_is_answered_again() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = ana(&tenant).await;
    let same = json!({"address": ANA, "name": "Ana", "fields": {"city": "Bandung"}});
    let known = tenant.call("POST /v1/contacts", same.clone()).await;
    assert_eq!(known.problem(), (409, "contact_exists".into()));
    assert!(known.json()["detail"].as_str().unwrap().contains(id(&made)), "{known:?}");
    let key = [("idempotency-key", "k1")];
    let again = tenant.with("POST /v1/contacts", &key, same).await;
    assert_eq!((again.status, again.headers["idempotency-replayed"].to_str().unwrap()), (201, "true"));
    assert_eq!(again.json(), made);
    let other = json!({"address": ANA, "name": "Ani"});
    let other = tenant.with("POST /v1/contacts", &key, other).await;
    assert_eq!(other.problem(), (409, "contact_exists".into()));
    assert_eq!(tenant.get(&format!("/v1/contacts/{}", id(&made))).await.json(), made, "nothing was merged");
    house.running.shutdown().await;
}

#[tokio::test]
async fn patches_at_the_same_time_are_all_kept() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = ana(&tenant).await;
    let (a, b, c) = tokio::join!(
        patch(&tenant, id(&made), json!({"fields": {"a": "1"}})),
        patch(&tenant, id(&made), json!({"fields": {"b": "2"}})),
        patch(&tenant, id(&made), json!({"fields": {"c": "3"}})),
    );
    assert_eq!([a.status, b.status, c.status], [200; 3]);
    let fields = tenant.get(&format!("/v1/contacts/{}", id(&made))).await.json()["fields"].clone();
    assert_eq!(fields, json!({"city": "Bandung", "plan": "gold", "a": "1", "b": "2", "c": "3"}));
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_export_imports_again_as_the_same_contacts() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let odd = "Budi, \"the second\"";
    for (address, name, note) in [
        (ANA, odd, "=1+1"),
        ("+6281234567891", "=HYPERLINK(1)", "'=quoted"),
        ("+6281234567892", "'s Gravenhage", "-"),
    ] {
        let body = json!({"address": address, "name": name, "fields": {"note": note, "city": "Kota,\nLama"}});
        assert_eq!(tenant.call("POST /v1/contacts", body).await.status, 201);
    }
    tenant.call("POST /v1/optouts", json!({"address": "+6281234567891"})).await;
    let file = tenant.get("/v1/contacts/export").await;
    assert_eq!(
        (file.status, file.headers["content-type"].to_str().unwrap()),
        (200, "text/csv; charset=utf-8")
    );
    assert!(file.text.starts_with("phone,name,zone,opted_out,city,note\r\n+6281234567890,"), "{}", file.text);
    assert!(
        file.text.contains("\"Budi, \"\"the second\"\"\",,no,\"Kota,\nLama\",'=1+1\r\n"),
        "{}",
        file.text
    );
    assert!(file.text.contains("+6281234567891,'=HYPERLINK(1),,yes,"), "{}", file.text);
    let before = book(&tenant).await;
    let import = tenant.import(&file.text).await;
    let counts = ["imported", "created_contacts", "updated_contacts", "invalid", "opted_out"];
    assert_eq!(counts.map(|count| import[count].as_u64().unwrap()), [3, 0, 3, 0, 1], "{import}");
    assert_eq!(book(&tenant).await, before);
    // What was lost comes back from the file.
    for contact in &before {
        tenant.call(&format!("DELETE /v1/contacts/{}", id(contact)), Value::Null).await;
    }
    assert_eq!(tenant.import(&file.text).await["created_contacts"], 3);
    assert_eq!(tenant.get("/v1/contacts/export").await.text, file.text);
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_export_of_many_has_every_contact_of_the_list_once_and_the_columns_that_are_asked_for() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    tenant.import("phone,city\n081234567890,Solo\n").await;
    let mut people = "phone,name,city,plan\n".to_owned();
    (0..2_500).for_each(|n| people += &format!("08129{n:07},P{n},Bandung,gold\n"));
    let list = tenant.import(&people).await;
    let path = format!("/v1/contacts/export?list={}&fields=plan,none", id(&list));
    let file = tenant.get(&path).await.text;
    let mut expected = "phone,name,zone,opted_out,plan,none\r\n".to_owned();
    (0..2_500).for_each(|n| expected += &format!("+628129{n:07},P{n},,no,gold,\r\n"));
    assert!(file == expected, "{}", file.chars().take(300).collect::<String>());
    for wrong in ["fields=a,a", "list=people", "colour=red"] {
        let refused = tenant.get(&format!("/v1/contacts/export?{wrong}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".into()), "{wrong}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_import_keeps_why_its_people_may_be_written_to() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    assert_eq!(tenant.import("phone\n081234567890\n").await["consent_basis"], "unknown");
    let bearer = format!("Bearer {}", tenant.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/csv")];
    let call = async |query: &str| {
        let what = format!("POST /v1/contacts/import?{query}");
        house.call(&what, &headers, "phone\n+6281234567890\n".to_owned()).await
    };
    let import = call("consent_basis=opt_in&consent_source=shop%20form").await.json();
    let read = tenant.get(&format!("/v1/imports/{}", import["id"].as_str().unwrap())).await.json();
    assert_eq!(read, import);
    assert_eq!((&read["consent_basis"], &read["consent_source"]), (&"opt_in".into(), &"shop form".into()));
    for refused in [
        "consent_basis=perhaps".to_owned(),
        format!("consent_source={}", "x".repeat(201)),
        "consent_source=a%0Ab".to_owned(),
    ] {
        assert_eq!(call(&refused).await.status, 400, "{refused}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_list_of_opt_outs_holds_who_wants_nothing_now_and_nobody_elses() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.idle_session("155001").await;
    for nth in 0..5 {
        let wish = json!({"address": format!("628123456780{nth}"), "session": session});
        assert_eq!(tenant.call("POST /v1/optouts", wish).await.status, 200);
    }
    tenant.call("DELETE /v1/optouts", json!({"address": "6281234567802", "session": session})).await;
    other.call("POST /v1/optouts", json!({"address": "6281234567809"})).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.get(&format!("/v1/optouts?limit=3{after}")).await.json();
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|o| o["address"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ["+6281234567800", "+6281234567801", "+6281234567803", "+6281234567804"]);
    house.running.shutdown().await;
}
