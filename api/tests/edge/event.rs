//! Events: what happened is told once, in order, to whom it belongs, and a reader that follows the cursor misses
//! nothing.

use super::house::{House, Tenant, template};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use kabar_sandbox::{Behaviour, Delay, Sandbox, SandboxConfig};
use kabar_schema::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn page(tenant: &Tenant<'_>, query: &str) -> Value {
    let answer = tenant.get(&format!("/v1/events?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn events(page: &Value) -> Vec<Value> {
    page["data"].as_array().unwrap().clone()
}

fn word<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap()
}

/// Every page from a place on, and where it ended.
async fn all(tenant: &Tenant<'_>, query: &str, after: &str) -> (Vec<Value>, String) {
    let (mut list, mut after) = (Vec::new(), after.to_owned());
    loop {
        let page = page(tenant, &format!("{query}&after={after}")).await;
        list.extend(events(&page));
        after = word(&page, "next").to_owned();
        if page["more"] == false {
            return (list, after);
        }
    }
}

async fn sandbox(behaviour: Behaviour) -> Sandbox {
    Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap()
}

async fn send_later(tenant: &Tenant<'_>, session: &str, to: &str) -> String {
    let mut later = template(session, to);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let tomorrow = Timestamp(now + 86_400_000).to_rfc3339();
    later["options"] = json!({"send_at": tomorrow, "valid_for_seconds": 600});
    tenant.call("POST /v1/messages", later).await.id()
}

#[tokio::test]
async fn a_messages_life_is_told_in_order_and_to_nobody_else() {
    let apart = Delay::fixed(200);
    let behaviour = Behaviour { delivered_ms: apart, read_ms: apart, ..Behaviour::default() };
    let (house, sandbox) = (House::open().await, sandbox(behaviour).await);
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.link(&sandbox).await;
    let begin = word(&page(&tenant, "").await, "next").to_owned();
    let sent = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    tenant.until(&format!("/v1/messages/{sent}"), |m| m["status"] == "read").await;
    let seen = page(&tenant, &format!("after={begin}")).await;
    let mut life: Vec<_> = events(&seen).iter().map(|e| word(e, "type").to_owned()).collect();
    // WhatsApp's report can be faster than its answer to the call; then both say that it was sent.
    life.dedup();
    assert_eq!(
        life,
        ["conversation.opened", "message.accepted", "message.sent", "message.delivered", "message.read"]
    );
    let conversation = events(&seen)[0]["data"]["conversation"].clone();
    let mut last = 0;
    for event in events(&seen) {
        assert_eq!((word(&event, "tenant"), word(&event, "session")), (tenant.id.as_str(), session.as_str()));
        assert_eq!((event["version"].as_u64(), &event["data"]["conversation"]), (Some(1), &conversation));
        assert_eq!(event["data"]["address"], "+6281234567890");
        assert!(event["seq"].as_u64().unwrap() >= last, "{seen:#}");
        last = event["seq"].as_u64().unwrap();
        if word(&event, "type") != "conversation.opened" {
            assert_eq!(word(&event["data"], "message"), sent);
        }
    }
    let last = &events(&seen)[events(&seen).len() - 1];
    assert!(last["data"]["reported_at"].is_string() && last["seq"] != events(&seen)[1]["seq"], "{seen:#}");
    // A reader that has everything is told where to ask for what is new.
    let end = word(&seen, "next").to_owned();
    let rest = page(&tenant, &format!("after={end}")).await;
    assert_eq!((events(&rest).len(), &rest["more"]), (0, &json!(false)));
    for query in ["".to_owned(), format!("after={begin}")] {
        assert_eq!(events(&page(&other, &query).await), Vec::<Value>::new(), "{query}");
    }
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_reader_that_follows_the_cursor_misses_nothing_and_reads_nothing_twice() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let sessions =
        [tenant.idle_session("106000000000001").await, tenant.idle_session("106000000000002").await];
    let (mut sent, mut read, mut after) = (Vec::new(), Vec::new(), String::new());
    for turn in 0..24 {
        // What comes in while the reader is on its way stands behind its place.
        if turn < 12 {
            sent.push(send_later(&tenant, &sessions[turn % 2], "6281234567890").await);
        }
        let page = page(&tenant, &format!("limit=1&types=message.accepted&after={after}")).await;
        assert!(events(&page).len() <= 1);
        read.extend(events(&page).iter().map(|e| word(&e["data"], "message").to_owned()));
        after = word(&page, "next").to_owned();
    }
    assert_eq!(read, sent);
    let (whole, _) = all(&tenant, "limit=5", "").await;
    let mut ids: Vec<_> = whole.iter().map(|e| word(e, "id").to_owned()).collect();
    assert_eq!(ids.len(), 14, "twelve messages and two conversations: {ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 14);
    let (one, _) = all(&tenant, &format!("limit=3&session={}", sessions[1]), "").await;
    assert!(one.len() == 7 && one.iter().all(|e| e["session"] == sessions[1].as_str()), "{one:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn types_and_since_choose_and_what_is_wrong_is_refused_by_name() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let sent = send_later(&tenant, &session, "6281234567890").await;
    assert_eq!(tenant.call(&format!("DELETE /v1/messages/{sent}"), Value::Null).await.status, 200);
    let wish = json!({"address": "+6281234567891"});
    assert!(tenant.call("POST /v1/optouts", wish).await.status < 300);
    let (found, _) = all(&tenant, "types=message.cancelled,contact.opted_out", "").await;
    let types: Vec<_> = found.iter().map(|e| word(e, "type")).collect();
    assert_eq!(types, ["message.cancelled", "contact.opted_out"]);
    assert_eq!(
        (word(&found[0]["data"], "message"), &found[0]["data"]["error"]["code"]),
        (sent.as_str(), &json!("cancelled"))
    );
    assert_eq!(found[1]["data"], json!({"address": "+6281234567891", "source": "api"}));
    assert_eq!(found[1]["session"], Value::Null);
    let moment = word(&found[1], "occurred_at").to_owned();
    let (late, _) = all(&tenant, &format!("types=contact.opted_out&since={moment}"), "").await;
    assert_eq!(late.len(), 1);
    let (none, _) = all(&tenant, "since=2099-01-01T00:00:00Z", "").await;
    assert_eq!(none, Vec::<Value>::new());
    let ahead = "4f7__wE";
    for (query, named) in [
        ("types=message.sent,message.lost", "message.lost"),
        ("types=", "types"),
        ("after=garbage", "after"),
        ("after=AAAA", "after"),
        (&format!("after={ahead}"), "after"),
        ("since=yesterday", "since"),
        ("session=x", "session"),
        ("limit=0", "limit"),
        ("kind=message.sent", "kind"),
    ] {
        let refused = tenant.get(&format!("/v1/events?{query}")).await;
        assert_eq!(refused.problem(), (400, "invalid_query".into()), "{query}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(named), "{refused:?}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_campaign_tells_each_recipients_message_once() {
    // Without reports all that is heard of a message is the answer to its call.
    let behaviour = Behaviour { statuses: false, ..Behaviour::default() };
    let (house, sandbox) = (House::open().await, sandbox(behaviour).await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let people: String = (0..30).map(|n| format!("Ana,0812345678{n:02}\n")).collect();
    let list = tenant.import(&format!("name,phone\n{people}")).await["id"].clone();
    let spec = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}}});
    let id = tenant.call("POST /v1/campaigns", spec).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{id}/launch"), Value::Null).await.status, 200);
    let finished = |page: &Value| !events(page).is_empty();
    tenant.until("/v1/events?types=campaign.finished", finished).await;
    let (told, _) = all(&tenant, "limit=7", "").await;
    for (kind, count) in [("message.sent", 30), ("message.delivered", 0), ("message.failed", 0)] {
        let of: Vec<_> = told.iter().filter(|e| word(e, "type") == kind).collect();
        let messages: BTreeSet<_> = of.iter().map(|e| word(&e["data"], "message")).collect();
        assert_eq!((of.len(), messages.len()), (count, count), "{kind}");
        for event in of {
            assert_eq!((word(event, "session"), &event["data"]["address"]), (session.as_str(), &Value::Null));
            assert_eq!(word(&event["data"]["campaign"], "id"), id);
        }
    }
    let of = |kind: &str| told.iter().filter(|e| word(e, "type") == kind).collect::<Vec<_>>();
    for kind in ["campaign.launched", "campaign.finished"] {
        assert_eq!(of(kind).iter().map(|e| e["data"].clone()).collect::<Vec<_>>(), [json!({"campaign": id})]);
    }
    let frozen = json!({"campaign": id, "contacts": 30, "opted_out": 0, "missing_variable": 0, "frequency_capped": 0, "recipients": 30});
    assert_eq!(of("campaign.frozen")[0]["data"], frozen);
    // The message itself tells to whom it went.
    let message = word(&of("message.sent")[0]["data"], "message");
    let message = tenant.get(&format!("/v1/messages/{message}")).await.json();
    assert!(message["address"].as_str().unwrap().starts_with("+62812345678"), "{message}");
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_place_before_what_is_kept_is_refused_and_the_end_is_still_good() {
    let store = Store::memory();
    let house = House::on(store.clone(), |_| {}).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    for _ in 0..3 {
        send_later(&tenant, &session, "6281234567890").await;
    }
    let early = word(&page(&tenant, "limit=1").await, "next").to_owned();
    let (_, end) = all(&tenant, "limit=50", "").await;
    let everything: Vec<_> = ShardId::all().map(|shard| (shard, Position(u64::MAX))).collect();
    assert!(store.journal.retire(&everything, Timestamp(i64::MAX)).await.unwrap() > 0);
    let refused = tenant.get(&format!("/v1/events?after={early}")).await;
    assert_eq!(refused.problem(), (410, "cursor_expired".into()));
    let sent = send_later(&tenant, &session, "6281234567890").await;
    for after in [end.as_str(), ""] {
        let (new, _) = all(&tenant, "limit=50", after).await;
        let new: Vec<_> = new.iter().map(|e| word(&e["data"], "message")).collect();
        assert_eq!(new, [sent.as_str()]);
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_page_that_met_only_strangers_is_empty_and_says_that_there_is_more() {
    let house = House::open().await;
    let (tenant, busy) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.idle_session("106000000000001").await;
    let strange = busy.idle_session("106000000000002").await;
    let begin = word(&page(&tenant, "").await, "next").to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let tomorrow = Timestamp(now + 86_400_000).to_rfc3339();
    // More than one question goes through.
    for _ in 0..11 {
        let mut row = template(&strange, "6281234567890");
        row["options"] = json!({"send_at": tomorrow, "valid_for_seconds": 600});
        let rows = vec![row; 1_000];
        let answer = busy.call("POST /v1/messages/batch", json!({"messages": rows})).await;
        assert_eq!(answer.status, 200, "{}", &answer.text[..200]);
    }
    let sent = send_later(&tenant, &session, "6281234567890").await;
    let first = page(&tenant, &format!("after={begin}")).await;
    assert_eq!((events(&first).len(), &first["more"]), (0, &json!(true)));
    let (rest, _) = all(&tenant, "types=message.accepted", word(&first, "next")).await;
    let rest: Vec<_> = rest.iter().map(|e| word(&e["data"], "message")).collect();
    assert_eq!(rest, [sent.as_str()]);
    house.running.shutdown().await;
}
