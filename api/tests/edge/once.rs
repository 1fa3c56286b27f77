//! Actions that are repeated with their idempotency key change nothing, whatever was done meanwhile; also when the server
//! was killed meanwhile, before and after what it knew was in the views.

use super::house::{Answer, House, Tenant, template};
use kabar_engine::time::Timestamp;
use kabar_schema::store::Store;
use serde_json::{Value, json};

/// No flush in the time of a test: what is known comes from the journal's tail.
const NEVER_MS: u64 = 600_000;
/// The life in which everything is in the views.
const LAST: &str = "from the views";
const ANA: &str = "+6281234567890";

/// Asks under a key.
async fn under(tenant: &Tenant<'_>, key: &str, what: &str, body: Value) -> Answer {
    tenant.with(what, &[("idempotency-key", key)], body).await
}

/// Status, and whether the answer says that it is an earlier one.
fn told(answer: &Answer) -> (u16, bool) {
    (answer.status, answer.headers.get("idempotency-replayed").is_some_and(|said| said == "true"))
}

/// The same store under one server after the other, each of which fences the one before off, as if it had been killed:
/// without a flush, without one again, with everything in the views.
struct Lives {
    store: Store,
    known: (String, String, String),
}

impl Lives {
    async fn begin() -> (Self, House) {
        let store = Store::memory();
        let house = House::on(store.clone(), |config| config.engine.flush_ms = NEVER_MS).await;
        let tenant = house.tenant("A").await;
        let known = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
        (Self { store, known }, house)
    }

    fn tenant<'h>(&self, house: &'h House) -> Tenant<'h> {
        house.again(self.known.clone())
    }

    async fn next(&self) -> House {
        House::on(self.store.clone(), |config| config.engine.flush_ms = NEVER_MS).await
    }

    /// Nothing is in the views: what is known is told by the journal's tail.
    async fn is_told_by_the_tail(&self, when: &str) {
        let flushed = !self.store.views.marks().await.unwrap().is_empty();
        assert_eq!(flushed, when == LAST, "{when}");
    }
}

/// Checks at once, after each of two kills without a flush, and after one behind a flush.
async fn in_every_life(lives: &Lives, first: House, check: impl AsyncFn(&Tenant<'_>, &str)) -> House {
    check(&lives.tenant(&first), "at once").await;
    for when in ["after a kill", "after another one"] {
        check(&lives.tenant(&lives.next().await), when).await;
    }
    lives.next().await.running.node.flush().await;
    let last = lives.next().await;
    check(&lives.tenant(&last), LAST).await;
    last
}

/// A campaign that runs and reaches nobody, however slow the test: all days around this one are blacked out.
async fn running(tenant: &Tenant<'_>) -> String {
    const DAY_MS: i64 = 86_400_000;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let day = |off: i64| Timestamp(now + off * DAY_MS).to_rfc3339()[..10].to_owned();
    let blackout: Vec<_> = (-1..=2).map(day).collect();
    let session = tenant.idle_session("106000000000001").await;
    let spec = json!({
        "name": "c", "senders": [session], "audience": {"recipients": [{"to": ANA}]},
        "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}},
        "options": {"blackout": blackout},
    });
    let id = tenant.call("POST /v1/campaigns", spec).await.id();
    let launch = format!("POST /v1/campaigns/{id}/launch");
    assert_eq!(told(&under(tenant, "l", &launch, Value::Null).await), (200, false));
    tenant.until(&format!("/v1/campaigns/{id}"), |c| c["state"] == "running").await;
    id
}

#[tokio::test]
async fn a_pause_repeated_after_a_resume_leaves_the_campaign_running() {
    let (lives, house) = Lives::begin().await;
    let tenant = lives.tenant(&house);
    let id = running(&tenant).await;
    let verb = |verb: &str| format!("POST /v1/campaigns/{id}/{verb}");
    for (key, asked, state) in [("a", "pause", "paused"), ("b", "resume", "running")] {
        let answer = under(&tenant, key, &verb(asked), Value::Null).await;
        assert_eq!((told(&answer), answer.json()["state"].as_str()), ((200, false), Some(state)));
    }
    let house = in_every_life(&lives, house, async |tenant, when| {
        for (key, asked) in [("a", "pause"), ("b", "resume"), ("l", "launch")] {
            let again = under(tenant, key, &verb(asked), Value::Null).await;
            assert_eq!(
                (told(&again), again.json()["id"].as_str()),
                ((200, true), Some(id.as_str())),
                "{when}"
            );
            assert_eq!(again.json()["state"], "running", "{asked} {when}");
        }
        for (key, asked) in [("a", "resume"), ("a", "cancel"), ("b", "pause"), ("l", "pause")] {
            let other = under(tenant, key, &verb(asked), Value::Null).await;
            assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "{key} {asked} {when}");
        }
        assert_eq!(tenant.get(&format!("/v1/campaigns/{id}")).await.json()["state"], "running", "{when}");
    })
    .await;
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_whose_verb_changed_nothing_stays_unused() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let id = running(&tenant).await;
    let verb = |verb: &str| format!("POST /v1/campaigns/{id}/{verb}");
    // It runs already: no refusal with a key, and no replay either.
    assert_eq!(told(&under(&tenant, "a", &verb("resume"), Value::Null).await), (200, false));
    assert_eq!(tenant.call(&verb("resume"), Value::Null).await.problem(), (409, "wrong_phase".into()));
    assert_eq!(told(&under(&tenant, "a", &verb("pause"), Value::Null).await), (200, false));
    let other = under(&tenant, "a", &verb("resume"), Value::Null).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "now it was used, for the pause");
    // Another campaign has keys of its own.
    let clone = tenant.call(&format!("POST /v1/campaigns/{id}/clone"), json!({"name": "d"})).await.id();
    let launch = format!("POST /v1/campaigns/{clone}/launch");
    assert_eq!(told(&under(&tenant, "l", &launch, Value::Null).await), (200, false));
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_opt_out_repeated_after_the_person_came_back_leaves_them_opted_in() {
    for named in [true, false] {
        let (lives, house) = Lives::begin().await;
        let tenant = lives.tenant(&house);
        let session = tenant.idle_session("106000000000001").await;
        let body = |address: &str| match named {
            true => json!({"address": address, "session": session}),
            false => json!({"address": address}),
        };
        for (key, what, out) in [("a", "POST /v1/optouts", true), ("b", "DELETE /v1/optouts", false)] {
            let answer = under(&tenant, key, what, body(ANA)).await;
            assert_eq!((told(&answer), answer.json()["opted_out"].as_bool()), ((200, false), Some(out)));
        }
        let house = in_every_life(&lives, house, async |tenant, when| {
            for (key, what) in [("a", "POST /v1/optouts"), ("b", "DELETE /v1/optouts")] {
                let again = under(tenant, key, what, body(ANA)).await;
                let shown = json!({"address": ANA, "opted_out": false});
                assert_eq!((told(&again), again.json()), ((200, true), shown), "{what} {when}");
            }
            let other = under(tenant, "b", "POST /v1/optouts", body(ANA)).await;
            assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "{when}");
            if named {
                let other = under(tenant, "a", "POST /v1/optouts", body("+6281234567891")).await;
                assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "{when}");
            }
            lives.is_told_by_the_tail(when).await;
        })
        .await;
        let send = lives.tenant(&house).call("POST /v1/messages", template(&session, ANA)).await;
        assert_eq!(send.status, 202, "who has opted out is written to no more");
        house.running.shutdown().await;
    }
}

#[tokio::test]
async fn a_cancel_repeated_with_its_key_is_no_refusal_and_cancels_nothing_else() {
    let (lives, house) = Lives::begin().await;
    let tenant = lives.tenant(&house);
    let session = tenant.idle_session("106000000000001").await;
    let tomorrow = (house.running.node.clock().now_ms() / 1_000 + 86_400) * 1_000;
    let mut later = template(&session, ANA);
    later["options"] = json!({"send_at": kabar_engine::time::Timestamp(tomorrow).to_rfc3339()});
    let first = under(&tenant, "s", "POST /v1/messages", later.clone()).await.id();
    let second = tenant.call("POST /v1/messages", later).await.id();
    let gone = under(&tenant, "c", &format!("DELETE /v1/messages/{first}"), Value::Null).await;
    assert_eq!((told(&gone), gone.json()["error"]["code"].as_str()), ((200, false), Some("cancelled")));
    let house = in_every_life(&lives, house, async |tenant, when| {
        let again = under(tenant, "c", &format!("DELETE /v1/messages/{first}"), Value::Null).await;
        assert_eq!((told(&again), again.json()), ((200, true), gone.json()), "{when}");
        // The session's keys are one kind, whatever was asked under them.
        for key in ["c", "s"] {
            let other = under(tenant, key, &format!("DELETE /v1/messages/{second}"), Value::Null).await;
            assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "{key} {when}");
        }
        let other = under(tenant, "c", "POST /v1/messages", template(&session, ANA)).await;
        assert_eq!(other.problem(), (422, "idempotency_mismatch".into()), "{when}");
        let kept = tenant.get(&format!("/v1/messages/{second}")).await.json();
        assert_eq!(kept["status"], "queued", "{when}");
        let fresh = tenant.call(&format!("DELETE /v1/messages/{first}"), Value::Null).await;
        assert_eq!(fresh.problem(), (409, "wrong_phase".into()), "{when}");
        lives.is_told_by_the_tail(when).await;
    })
    .await;
    house.running.shutdown().await;
}
