//! Conversations: they begin with the first word in either direction, and their history is whole, newest first and
//! current, wherever its rows lie.

use super::house::{House, Tenant, sandbox, template};
use kabar_schema::store::Store;
use serde_json::{Value, json};

/// No flush in the time of a test: what is shown comes from where it was just written.
const NEVER_MS: u64 = 600_000;

/// The conversation a message is of.
async fn talk_of(tenant: &Tenant<'_>, message: &str) -> String {
    let message = tenant.get(&format!("/v1/messages/{message}")).await.json();
    message["conversation"].as_str().unwrap().to_owned()
}

async fn send(tenant: &Tenant<'_>, session: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut later = template(session, "6281234567890");
        later["options"] = json!({"send_at": tomorrow(), "valid_for_seconds": 600});
        ids.push(tenant.call("POST /v1/messages", later).await.id());
    }
    ids
}

fn tomorrow() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    kabar_engine::time::Timestamp(now + 86_400_000).to_rfc3339()
}

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}

/// The ids of every page, and how long the pages were.
async fn all(tenant: &Tenant<'_>, path: &str, limit: usize) -> (Vec<String>, Vec<usize>) {
    let (mut list, mut sizes, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = tenant.get(&format!("{path}?limit={limit}&after={after}")).await.json();
        let found = ids(&page);
        sizes.push(found.len());
        list.extend(found);
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return (list, sizes),
        }
    }
}

#[tokio::test]
async fn a_conversation_begins_with_the_first_word_in_either_direction() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let sent = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    let out = talk_of(&tenant, &sent).await;
    let shown = tenant.get(&format!("/v1/conversations/{out}")).await.json();
    assert_eq!(
        shown,
        json!({"id": out, "session": session, "address": "+6281234567890", "aliases": [], "name": null,
            "username": null, "referrals": null, "messages": 1, "unread": 0, "last_message": sent, "window_until": null})
    );
    let word = kabar_sandbox::Inbound {
        phone_number_id: sandbox.config().numbers[0].phone_number_id.clone(),
        from: "6281234567891".into(),
        name: Some("Budi".into()),
        text: Some("Halo".into()),
        ..kabar_sandbox::Inbound::default()
    };
    sandbox.inbound(&word).unwrap();
    let path = format!("/v1/conversations?session={session}");
    let list = tenant.until(&path, |page| page["data"].as_array().is_some_and(|d| d.len() == 2)).await;
    assert_eq!((list["data"][0]["id"].as_str(), &list["next"]), (Some(out.as_str()), &Value::Null));
    let heard = &list["data"][1];
    assert_eq!(
        (heard["address"].as_str(), heard["name"].as_str(), heard["unread"].as_u64()),
        (Some("+6281234567891"), Some("Budi"), Some(1))
    );
    assert!(heard["window_until"].as_str().unwrap().ends_with('Z'));
    let inbound = heard["id"].as_str().unwrap().to_owned();
    let said = tenant.get(&format!("/v1/conversations/{inbound}/messages")).await.json();
    assert_eq!(
        (said["data"][0]["direction"].as_str(), said["data"][0]["id"].clone()),
        (Some("in"), heard["last_message"].clone())
    );
    assert_eq!(said["data"][0]["message"]["text"]["body"], "Halo");
    assert_eq!(all(&tenant, "/v1/conversations", 1).await, (vec![out.clone(), inbound], vec![1, 1, 0]));
    // Somebody else's conversation is none.
    let other = house.tenant("B").await;
    for path in [format!("/v1/conversations/{out}"), format!("/v1/conversations/{out}/messages")] {
        assert_eq!(other.get(&path).await.problem(), (404, "not_found".into()));
    }
    assert_eq!(ids(&other.get("/v1/conversations").await.json()), Vec::<String>::new());
    assert_eq!(other.get(&path).await.problem(), (404, "not_found".into()));
    for path in
        ["/v1/conversations?session=x".to_owned(), format!("/v1/conversations/{out}/messages?after=x")]
    {
        assert_eq!(tenant.get(&path).await.problem(), (400, "invalid_query".into()), "{path}");
    }
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_history_is_newest_first_in_pages_and_waits_for_no_flush() {
    let house = House::with(|config| config.engine.flush_ms = NEVER_MS).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut sent = send(&tenant, &session, 5).await;
    let talk = talk_of(&tenant, &sent[0]).await;
    sent.reverse();
    let path = format!("/v1/conversations/{talk}/messages");
    assert_eq!(all(&tenant, &path, 2).await, (sent.clone(), vec![2, 2, 1]));
    assert_eq!(ids(&tenant.get(&path).await.json()), sent);
    // A place in another conversation is none in this one.
    let elsewhere = tenant.idle_session("106000000000002").await;
    let strange = send(&tenant, &elsewhere, 2).await;
    let strange = talk_of(&tenant, &strange[0]).await;
    let page = tenant.get(&format!("/v1/conversations/{strange}/messages?limit=1")).await.json();
    let foreign = format!("{path}?after={}", page["next"].as_str().unwrap());
    assert_eq!(ids(&tenant.get(&foreign).await.json()), Vec::<String>::new());
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_history_of_old_and_new_rows_is_whole_and_current() {
    let store = Store::memory();
    let house = House::on(store.clone(), |_| {}).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut sent = send(&tenant, &session, 5).await;
    let talk = talk_of(&tenant, &sent[0]).await;
    tenant.until("/v1/conversations", |page| page["data"][0]["messages"].as_u64() == Some(5)).await;
    let known = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
    house.running.shutdown().await;
    // The next server has nothing of it at hand, and writes nothing that is new to the views.
    let house = House::on(store, |config| config.engine.flush_ms = NEVER_MS).await;
    let tenant = house.again(known);
    let cancelled = sent[1].clone();
    assert_eq!(tenant.call(&format!("DELETE /v1/messages/{cancelled}"), Value::Null).await.status, 200);
    sent.extend(send(&tenant, &session, 2).await);
    sent.reverse();
    let path = format!("/v1/conversations/{talk}/messages");
    let page = tenant.get(&path).await.json();
    assert_eq!(ids(&page), sent);
    let failed: Vec<&str> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["status"] == "failed")
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert_eq!(failed, [cancelled.as_str()]);
    for (limit, sizes) in [(1, vec![1, 1, 1, 1, 1, 1, 1, 0]), (2, vec![2, 2, 2, 1]), (3, vec![3, 3, 1])] {
        assert_eq!(all(&tenant, &path, limit).await, (sent.clone(), sizes));
    }
    house.running.shutdown().await;
}
