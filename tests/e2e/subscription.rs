//! Webhook subscriptions on a virtual clock: the whole schedule of a failing event, the end of a subscription that fails
//! for five days, and what a restart leaves of both. The address is a function here: no socket waits on a clock that
//! jumps.

use crate::house::{furnish, person};
use bytes::Bytes;
use kabar_actors::dispatcher::{EventAsk, Replay};
use kabar_actors::subscription::{Courier, Delivered, Delivery};
use kabar_actors::{Clock, Node, NodeOptions, Told};
use kabar_engine::event::Kind;
use kabar_engine::id::{EventId, TenantId, WebhookId};
use kabar_engine::optout::Wish;
use kabar_engine::subscription::{GIVE_UP_MS, SCHEDULE_MS};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{AttemptLog, AttemptOutcome, Subscription, WhyDisabled};
use kabar_schema::store::Store;
use kabar_tests::wait;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const TENANT: TenantId = TenantId(77);
const WEBHOOK: WebhookId = WebhookId(5_000);
const BEGIN: Timestamp = Timestamp(1_798_110_000_000);

/// What an address was brought: the event, when, and whether it was taken.
type Calls = Arc<Mutex<Vec<(EventId, Timestamp, bool)>>>;

struct Desk {
    node: Arc<Node>,
    clock: Clock,
    calls: Calls,
    /// Whether the address takes what comes.
    good: Arc<AtomicBool>,
}

impl Desk {
    async fn open(store: Store, clock: Clock, calls: Calls, good: Arc<AtomicBool>) -> Self {
        let node = Node::start(NodeOptions::default(), store, clock.clone()).await.unwrap();
        let (to, well) = (Arc::clone(&calls), Arc::clone(&good));
        let call = move |delivery: Delivery| -> futures::future::BoxFuture<'static, Delivered> {
            // Who is named by their event in a body is refused until all is well.
            let taken = well.load(Ordering::Acquire) || !delivery.body.ends_with(b"refused");
            to.lock().unwrap().push((delivery.id.parse().unwrap(), delivery.at, taken));
            let status = Some(if taken { 200 } else { 500 });
            Box::pin(std::future::ready(Delivered { status, error: None, took_ms: 3 }))
        };
        let render =
            |_, event: kabar_actors::dispatcher::Event, _| -> futures::future::BoxFuture<'static, _> {
                let refused = match &event.about {
                    kabar_engine::event::About::Contact { address, .. } => *address == person(1),
                    _ => false,
                };
                let text = Bytes::from(if refused { "refused" } else { "taken" });
                Box::pin(std::future::ready(Ok(Some(text))))
            };
        let verify =
            |_, _| -> futures::future::BoxFuture<'static, bool> { Box::pin(std::future::ready(true)) };
        let courier = Courier { render: Arc::new(render), call: Arc::new(call), verify: Arc::new(verify) };
        node.dispatcher().serve_webhooks(courier);
        Self { node, clock, calls, good }
    }

    async fn new() -> Self {
        let store = Store::memory();
        furnish(&store, TENANT, 5).await;
        let desk = Self::open(store, Clock::virtual_at(BEGIN.0), Calls::default(), Arc::default()).await;
        desk.subscribe(WEBHOOK).await;
        desk
    }

    /// The node ends in order, and another one begins on what it left.
    async fn restart(self) -> Self {
        let store = self.node.store().clone();
        self.node.shutdown().await;
        Self::open(store, self.clock, self.calls, self.good).await
    }

    async fn subscribe(&self, id: WebhookId) {
        let record = Subscription {
            id,
            tenant: TENANT,
            url: "http://tenant.test/".into(),
            envelope: kabar_engine::subscription::Envelope::Kabar,
            types: None,
            sessions: None,
            secret: "whsec_AAAA".into(),
            old_secrets: Vec::new(),
            rotation: None,
            disabled: None,
            switched: self.now(),
            body_hash: String::new(),
            created: self.now(),
        };
        self.node.dispatcher().begin_webhook(TENANT, id).await.unwrap();
        self.node.store().nouns.create(&record).await.unwrap();
        self.node.dispatcher().webhook_changed(TENANT, id).await.unwrap();
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    /// An event about a person; one lane each.
    async fn happen(&self, nth: u64, wish: Wish) {
        let told = Told { session: None, address: person(nth), wish };
        self.node.dispatcher().consent(TENANT, told, None).await.unwrap();
    }

    fn calls(&self) -> Vec<(EventId, Timestamp, bool)> {
        self.calls.lock().unwrap().clone()
    }

    async fn until(&self, what: &str, so: impl Fn(&[(EventId, Timestamp, bool)]) -> bool) {
        wait::so(what, async || so(&self.calls())).await;
    }

    async fn jump(&self, ms: i64) {
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_millis(u64::try_from(ms).unwrap())).await;
        tokio::time::resume();
    }

    async fn log(&self) -> Vec<(EventId, u32, AttemptOutcome)> {
        let page = self.node.store().nouns.get::<AttemptLog>(TENANT, AttemptLog::id_of(WEBHOOK, 0)).await;
        let lines = page.unwrap().map(|page| page.noun.lines).unwrap_or_default();
        lines.into_iter().map(|line| (line.event, line.attempt, line.outcome)).collect()
    }
}

fn of(calls: &[(EventId, Timestamp, bool)], event: EventId) -> Vec<Timestamp> {
    calls.iter().filter(|(id, ..)| *id == event).map(|(_, at, _)| *at).collect()
}

#[tokio::test]
async fn a_failing_event_walks_the_whole_schedule_over_a_restart_and_holds_back_nobody_else() {
    let mut desk = Desk::new().await;
    desk.happen(1, Wish::OptOut).await;
    desk.until("the first attempt", |calls| calls.len() == 1).await;
    let first = desk.calls()[0].0;
    // Behind it in its own lane, and one of somebody else.
    desk.happen(1, Wish::OptIn).await;
    desk.happen(2, Wish::OptOut).await;
    desk.until("the other's event", |calls| calls.len() == 2).await;
    assert!(desk.calls()[1].2 && desk.calls()[1].0 != first);
    for (nth, wait) in SCHEDULE_MS.iter().enumerate().skip(1) {
        if nth == 3 {
            desk = desk.restart().await;
        }
        desk.jump(wait * 6 / 5 + 1).await;
        desk.until(&format!("attempt {}", nth + 1), |calls| of(calls, first).len() == nth + 1).await;
    }
    // The second of its lane comes when the first was given up, and not before.
    let next =
        |calls: &[(EventId, Timestamp, bool)]| calls.iter().find(|call| call.0 != first && !call.2).copied();
    desk.until("the lane goes on", |calls| next(calls).is_some()).await;
    let (second, ..) = next(&desk.calls()).unwrap();
    let given_up = *of(&desk.calls(), first).last().unwrap();
    assert!(of(&desk.calls(), second)[0] >= given_up);
    let at = of(&desk.calls(), first);
    for (nth, pair) in at.windows(2).enumerate() {
        // A jump goes as far as chance may; what it is short of is the wait itself.
        assert!(pair[1].since_ms(pair[0]) >= SCHEDULE_MS[nth + 1], "attempt {}: {at:?}", nth + 2);
    }
    assert_eq!(at.len(), SCHEDULE_MS.len());
    wait::so("the log", async || desk.log().await.len() >= 10).await;
    let log = desk.log().await;
    let lines: Vec<_> = log.iter().filter(|line| line.0 == first).map(|line| (line.1, line.2)).collect();
    let expected: Vec<_> =
        (1..=8).map(|n| (n, if n == 8 { AttemptOutcome::Failed } else { AttemptOutcome::Again })).collect();
    assert_eq!(lines, expected);
    // What was missed comes when it is asked for, once.
    desk.good.store(true, Ordering::Release);
    let replayed = desk.node.dispatcher().replay(TENANT, WEBHOOK, Replay::Missed).await.unwrap();
    assert_eq!((replayed.events, replayed.more), (Some(1), false));
    // The second may have been tried twice meanwhile.
    desk.jump(SCHEDULE_MS[2] * 6 / 5 + 1).await;
    desk.until("both are taken", |calls| {
        let taken: BTreeSet<_> = calls.iter().filter(|call| call.2).map(|call| call.0).collect();
        taken.contains(&first) && taken.contains(&second)
    })
    .await;
    wait::so("the log tells it", async || {
        desk.log().await.iter().filter(|line| line.2 == AttemptOutcome::Delivered).count() == 3
    })
    .await;
    let none = desk.node.dispatcher().replay(TENANT, WEBHOOK, Replay::Missed).await.unwrap();
    assert_eq!(none.events, Some(0));
    desk.node.shutdown().await;
}

#[tokio::test]
async fn a_subscription_that_fails_for_five_days_is_switched_off_and_its_tenant_is_told() {
    let desk = Desk::new().await;
    for _ in 0..12 {
        desk.happen(1, Wish::OptOut).await;
        desk.happen(1, Wish::OptIn).await;
    }
    let record = async || {
        let found = desk.node.store().nouns.get::<Subscription>(TENANT, WEBHOOK.0).await.unwrap();
        found.unwrap().noun
    };
    let mut count = 0;
    while record().await.disabled.is_none() {
        let more = async || desk.calls().len() > count || record().await.disabled.is_some();
        wait::so("an attempt, or the end", more).await;
        count = desk.calls().len();
        assert!(desk.now().since_ms(BEGIN) < GIVE_UP_MS + 2 * 86_400_000, "{count} attempts and no end");
        // One at a time: after the last attempt of an event the next event's first comes at once.
        if let Some(wait) = SCHEDULE_MS.get(count % SCHEDULE_MS.len()).filter(|wait| **wait > 0) {
            desk.jump(wait * 6 / 5 + 1).await;
        }
    }
    let off = record().await;
    assert_eq!(off.disabled, Some(WhyDisabled::Failing));
    assert!(off.switched.since_ms(BEGIN) >= GIVE_UP_MS, "after five days, not before");
    let kinds = Some(BTreeSet::from([Kind::WebhookDisabled]));
    let (tenant, after, since, session, limit) = (TENANT, None, None, None, 9);
    let ask = EventAsk { tenant, after, since, kinds, session, limit };
    let told = desk.node.dispatcher().events(&ask).await.unwrap().events;
    assert_eq!(told.len(), 1, "{told:?}");
    // Nobody calls any more, until it is switched on again: then it goes on where it stood.
    let before = desk.calls().len();
    desk.good.store(true, Ordering::Release);
    desk.jump(86_400_000).await;
    desk.happen(2, Wish::OptOut).await;
    assert_eq!(desk.calls().len(), before);
    let stored = desk.node.store().nouns.get::<Subscription>(TENANT, WEBHOOK.0).await.unwrap().unwrap();
    let on = Subscription { disabled: None, switched: desk.now(), ..stored.noun };
    desk.node.store().nouns.update(&on, stored.version).await.unwrap();
    desk.node.dispatcher().webhook_changed(TENANT, WEBHOOK).await.unwrap();
    desk.jump(SCHEDULE_MS[7] * 6 / 5).await;
    let opted: EventAsk = EventAsk { kinds: Some(BTreeSet::from([Kind::ContactOptedOut])), limit: 99, ..ask };
    let all = desk.node.dispatcher().events(&opted).await.unwrap().events;
    let last = all.last().unwrap().id;
    desk.until("it goes on", |calls| calls.iter().any(|call| call.0 == last && call.2)).await;
    assert!(record().await.disabled.is_none());
    desk.node.shutdown().await;
}
