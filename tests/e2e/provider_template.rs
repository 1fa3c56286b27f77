//! Meta's templates as a node knows them: read anew by the clock, told by webhooks, and no reason to refuse anything once they
//! are old. Against the simulated WhatsApp, on a virtual clock where time has to pass.

use crate::house::{House, Plan};
use kabar_actors::DispatchError;
use kabar_actors::account::NewProviderTemplate;
use kabar_actors::provider_template::{TemplateBarrier, TemplateName, TemplateNews, note_status};
use kabar_engine::content::Content;
use kabar_engine::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use kabar_schema::records::{Evidence, Number, ProviderTemplate, Session, TemplateSync};
use kabar_tests::wait;
use serde_json::{Map, json};
use std::sync::Arc;

const WABA: &str = "102000000000001";

fn name(name: &str) -> TemplateName<'_> {
    // Webhooks write the language with a hyphen.
    TemplateName { waba: WABA, name, language: "en-US", id: Some("1689556908129832") }
}

fn event(event: &str) -> TemplateNews {
    TemplateNews::Status { event: event.into(), reason: Some("NONE".into()) }
}

async fn house() -> House {
    let begins = Timestamp::from_rfc3339("2027-03-13T22:30:00Z");
    let house = House::new(Plan { begins, ..Plan::default() }).await;
    let (desk, session) = (house.desk(), house.sessions[0]);
    let record =
        house.node.store().nouns.get::<Session>(house.tenant, session.0).await.unwrap().unwrap().noun;
    let look = desk.look(&record, None).await.unwrap();
    assert_eq!(look.waba.as_deref(), Some(WABA));
    desk.note_number((house.tenant, session), Ok(&look), |_| {}).await.unwrap();
    house
}

async fn made(house: &House, name: &str) {
    let wanted = NewProviderTemplate {
        name: name.into(),
        language: "en_US".into(),
        category: "UTILITY".into(),
        parameter_format: None,
        message_send_ttl_seconds: None,
        components: vec![json!({"type": "BODY", "text": "Hello."})],
        rest: Map::new(),
    };
    house.desk().create_provider_template((house.tenant, house.sessions[0]), &wanted, None).await.unwrap();
}

async fn copy(house: &House, name: &str) -> ProviderTemplate {
    let id = ProviderTemplate::id_of(house.tenant, WABA, name, "en_US");
    house.node.store().nouns.get::<ProviderTemplate>(house.tenant, id).await.unwrap().unwrap().noun
}

async fn send(house: &House, name: &str) -> Result<(), DispatchError> {
    let content = json!({"type": "template", "template": {"name": name, "language": {"code": "en_US"}}});
    let mut draft = house.draft(1, 0);
    (draft.content, draft.idempotency) = (Arc::new(Content::from_json(&content).unwrap()), None);
    house.desk().send(draft).await.map(|_| ())
}

#[tokio::test]
async fn what_a_webhook_tells_of_a_template_is_kept_and_what_it_does_not_tell_stays() {
    let house = house().await;
    made(&house, "order_update").await;
    let tell = async |of: &str, news: TemplateNews| {
        note_status(&house.node, house.tenant, name(of), (&news, None)).await.unwrap();
        copy(&house, of).await
    };
    let paused = TemplateNews::Status { event: "PAUSED".into(), reason: Some("LOW_QUALITY".into()) };
    let seen = tell("order_update", paused.clone()).await;
    assert_eq!((seen.status.as_str(), seen.reason.as_deref()), ("PAUSED", Some("LOW_QUALITY")));
    assert_eq!(
        (seen.language.as_str(), seen.evidence),
        ("en_US", Evidence::Webhook),
        "one template, not two"
    );
    assert!(seen.components.is_some(), "what is not told stays");
    assert_eq!(tell("order_update", paused).await.status, "PAUSED", "twice is once");
    assert!(matches!(send(&house, "order_update").await, Err(DispatchError::Template(_))));
    let seen = tell("order_update", TemplateNews::Quality("YELLOW".into())).await;
    assert_eq!((seen.status.as_str(), seen.quality.as_deref()), ("PAUSED", Some("YELLOW")));
    assert_eq!(tell("order_update", event("FLAGGED")).await.status, "PAUSED", "a warning is no status");
    assert_eq!(tell("order_update", event("REINSTATED")).await.status, "APPROVED");
    assert_eq!(
        tell("order_update", TemplateNews::Category("MARKETING".into())).await.category.as_deref(),
        Some("MARKETING")
    );
    assert_eq!(tell("order_update", TemplateNews::Components).await.components, None);
    let other = tell("never_heard_of", event("REJECTED")).await;
    assert_eq!((other.status.as_str(), other.provider_id.as_deref()), ("REJECTED", Some("1689556908129832")));
    house.node.shutdown().await;
}

#[tokio::test]
async fn a_webhook_of_what_was_before_the_last_reading_changes_nothing_however_late_it_comes() {
    let house = house().await;
    made(&house, "order_update").await;
    house.desk().sync_provider_templates(house.tenant, house.sessions[0]).await.unwrap();
    let read = copy(&house, "order_update").await;
    let tell = async |ms: i64| {
        let at = Some(house.now().plus_ms(ms));
        let told = event("DISABLED");
        note_status(&house.node, house.tenant, name("order_update"), (&told, at)).await.unwrap();
        copy(&house, "order_update").await
    };
    assert_eq!(tell(-HOUR_MS).await, read);
    assert_eq!(tell(-1_000).await.status, "DISABLED", "the clocks are not that much alike");
    house.node.shutdown().await;
}

#[tokio::test]
async fn an_account_is_read_anew_every_hour_and_what_is_gone_is_marked() {
    let house = house().await;
    made(&house, "order_update").await;
    house.desk().sync_provider_templates(house.tenant, house.sessions[0]).await.unwrap();
    let told = |of, event_of: &'static str| {
        let (node, tenant) = (Arc::clone(&house.node), house.tenant);
        async move { note_status(&node, tenant, name(of), (&event(event_of), None)).await.unwrap() }
    };
    told("order_update", "REJECTED").await;
    told("ghost", "APPROVED").await;
    let validated = async || {
        let number = house.node.store().nouns.get::<Number>(house.tenant, house.sessions[0].0).await.unwrap();
        number.unwrap().noun.validated.unwrap()
    };
    let before = validated().await;
    house.jump_to(house.now().plus_ms(HOUR_MS / 2)).await;
    assert_eq!(copy(&house, "ghost").await.status, "APPROVED", "not before an hour has passed");
    house.jump_to(house.now().plus_ms(HOUR_MS)).await;
    wait::so("the account was read anew", async || copy(&house, "ghost").await.status == "DELETED").await;
    let seen = copy(&house, "order_update").await;
    // Its review may end at the same moment, and be told by a webhook after the reading.
    assert!(matches!(seen.status.as_str(), "PENDING" | "APPROVED"), "{seen:?}");
    wait::so("the number was looked at", async || validated().await > before).await;
    house.node.shutdown().await;
}

#[tokio::test]
async fn an_account_that_was_empty_is_read_again_before_a_template_it_has_not_is_taken() {
    let house = house().await;
    let (tenant, session) = (house.tenant, house.sessions[0]);
    house.desk().sync_provider_templates(tenant, session).await.unwrap();
    send(&house, "other").await.expect("an account that shows no template may hide them");
    made(&house, "order_update").await;
    house.jump_to(house.now().plus_ms(2 * MINUTE_MS)).await;
    let refused = send(&house, "other").await;
    assert!(
        matches!(&refused, Err(DispatchError::Template(why)) if matches!(**why, TemplateBarrier::Missing { .. })),
        "{refused:?}"
    );
    house.node.shutdown().await;
}

#[tokio::test]
async fn what_is_older_than_a_day_or_cannot_be_asked_again_refuses_nothing() {
    let house = house().await;
    made(&house, "order_update").await;
    let (tenant, session) = (house.tenant, house.sessions[0]);
    house.desk().sync_provider_templates(tenant, session).await.unwrap();
    assert!(
        matches!(send(&house, "other").await, Err(DispatchError::Template(why)) if matches!(*why, TemplateBarrier::Missing { .. }))
    );
    note_status(&house.node, tenant, name("order_update"), (&event("DISABLED"), None)).await.unwrap();
    assert!(matches!(send(&house, "order_update").await, Err(DispatchError::Template(_))));
    // Meta cannot be reached from now on: nothing is read anew.
    let nouns = &house.node.store().nouns;
    let stored = nouns.get::<Session>(tenant, session.0).await.unwrap().unwrap();
    let away = Session { base_url: Some("http://127.0.0.1:9".into()), ..stored.noun };
    nouns.update(&away, stored.version).await.unwrap();
    house.desk().session_changed(&away);
    house.jump_to(house.now().plus_ms(HOUR_MS)).await;
    send(&house, "other").await.expect("Meta does not answer, so it will say itself");
    house.jump_to(house.now().plus_ms(DAY_MS)).await;
    send(&house, "order_update").await.expect("what was known is a day old");
    let sync =
        nouns.get::<TemplateSync>(tenant, TemplateSync::id_of(tenant, WABA)).await.unwrap().unwrap().noun;
    assert!(sync.at.is_some(), "the last whole reading stays known");
    house.node.shutdown().await;
}
