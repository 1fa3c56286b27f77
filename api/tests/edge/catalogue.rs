//! Every code of the catalogue is met: a request, and where needed a store that fails, for each one that `docs/errors.md`
//! lists. A code that nothing answers with fails here; so does one whose status is another than the page says.

use super::house::{House, OPERATOR, Tenant, sandbox, template};
use super::number::PIXEL;
use super::session::control;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{pending, ready};
use kabar_engine::id::TenantId;
use kabar_schema::records::{After, Nouns, Record, Records};
use kabar_schema::store::Store;
use kabar_schema::{Answer, StoreError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Met under a state that no test of the edge can make in its time: the test that makes the problem from the very
/// value that causes it. A session's outbox is full at a million messages.
const BY_VALUE: &[(&str, u16, &str)] = &[
    ("outbox_full", 429, "problem::tests::a_full_outbox_is_answered_as_one"),
    // With an address of this machine, which has to be allowed.
    ("webhook_unverified", 422, "dialect::an_address_that_does_not_know_the_token_is_told_nothing"),
    // Over a raw socket.
    ("body_unreadable", 400, "limit::a_body_that_stands_still_is_given_up"),
    // With a journal whose segments have ended, which takes a test of its own.
    ("cursor_expired", 410, "event::a_place_before_what_is_kept_is_refused_and_the_end_is_still_good"),
];

/// What the next write of a record comes to.
#[derive(Clone, Copy)]
enum Trouble {
    Fails(StoreError),
    NeverAnswers,
    Panics,
}

/// Records whose writes fail when they are told to.
struct Troubled {
    inner: Arc<dyn Records>,
    next: Arc<Mutex<Option<Trouble>>>,
}

impl Records for Troubled {
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>> {
        self.inner.get(kind, tenant, id)
    }

    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64> {
        let trouble = self.next.lock().unwrap().take();
        match trouble {
            None => self.inner.put(record, expect),
            Some(Trouble::Fails(error)) => ready(Err(error)).boxed(),
            Some(Trouble::NeverAnswers) => pending().boxed(),
            Some(Trouble::Panics) => panic!("planted by a test"),
        }
    }

    fn restore(&self, record: Record) -> Answer<'_, ()> {
        self.inner.restore(record)
    }

    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()> {
        self.inner.delete(kind, tenant, id, expect)
    }

    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>> {
        self.inner.page(kind, tenant, index, after, limit)
    }

    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>> {
        self.inner.find(kind, index, value)
    }

    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>> {
        self.inner.all(kind, after, limit)
    }
}

/// Which codes were met, and with which status.
#[derive(Default)]
struct Met(BTreeMap<String, u16>);

impl Met {
    fn note(&mut self, code: &str, answer: &super::house::Answer) {
        let (status, seen) = answer.problem();
        assert_eq!(seen, code, "{answer:?}");
        self.0.insert(seen, status);
    }
}

/// What a caller with the tenant's key is refused: code, call, body.
async fn bodies(met: &mut Met, tenant: &Tenant<'_>) {
    let session = tenant.idle_session("155001").await;
    let text = |body: &str| json!({"type": "text", "text": {"body": body}});
    let to = |to: &str, body: &str| {
        let mut message = text(body);
        message["session"] = json!(session);
        message["to"] = json!(to);
        message
    };
    let app = tenant.call("POST /v1/apps", json!({"app_secrets": ["s"], "verify_token": "v"})).await.id();
    let linked = json!({"name": "again", "app": app, "phone_number_id": "155001",
        "display_phone_number": "15550200000", "access_token": "t", "validate": false});
    let ana = json!({"address": "+6281234567890"});
    assert_eq!(tenant.call("POST /v1/contacts", ana.clone()).await.status, 201);
    // Said to the session, so that its shard knows at once.
    assert!(
        tenant
            .call("POST /v1/optouts", json!({"address": "+6281234567891", "session": session}))
            .await
            .status
            < 300
    );
    let list = tenant.import("name,phone\nAna,081234567890\n").await["id"].clone();
    let draft = json!({"name": "Promo", "senders": [session], "audience": {"list": list}, "message": {
        "type": "template", "template": {"name": "halo", "language": {"code": "id"}}}});
    let draft = tenant.call("POST /v1/campaigns", draft).await.id();
    let pause = format!("POST /v1/campaigns/{draft}/pause");
    for (code, what, body) in [
        ("operator_only", "POST /v1/tenants", json!({"name": "a"})),
        ("not_found", "GET /v1/nothing", Value::Null),
        ("method_not_allowed", "PATCH /v1/keys", json!({})),
        ("unknown_field", "POST /v1/keys", json!({"name": "a", "role": "x"})),
        ("missing_field", "POST /v1/keys", json!({})),
        ("invalid_value", "POST /v1/keys", json!({"name": 3})),
        ("invalid_query", "GET /v1/keys?limit=0", Value::Null),
        ("upgrade_required", "GET /v1/events/socket", Value::Null),
        ("invalid_address", "POST /v1/messages", to("0812345678", "a")),
        ("invalid_content", "POST /v1/messages", to("6281234567890", "")),
        ("invalid_pattern", "POST /v1/templates", json!({"name": "a", "message": text("{{")})),
        ("unknown_reference", "POST /v1/messages", template("ses_0000000000001", "6281234567890")),
        ("body_too_large", "POST /v1/keys", json!({"name": "x".repeat(4_000)})),
        ("already_linked", "POST /v1/sessions", linked),
        ("contact_exists", "POST /v1/contacts", ana),
        ("wrong_phase", pause.as_str(), Value::Null),
        ("opted_out", "POST /v1/messages", template(&session, "6281234567891")),
        ("window_closed", "POST /v1/messages", to("6281234567890", "a")),
    ] {
        met.note(code, &tenant.call(what, body).await);
    }
}

/// A tenant that lets nobody have more than one marketing message a day.
async fn enough(met: &mut Met, house: &House) {
    let tenant = house.tenant("B").await;
    let cap = json!({"frequency_cap": {"messages": 1, "days": 1}});
    assert_eq!(house.operator(&format!("PATCH /v1/tenants/{}", tenant.id), &[], cap).await.status, 200);
    let session = tenant.idle_session("106000000000777").await;
    let mut promo = template(&session, "6281234567890");
    promo["options"] = json!({"lane": "broadcast"});
    assert_eq!(tenant.call("POST /v1/messages", promo.clone()).await.status, 202);
    met.note("frequency_cap", &tenant.call("POST /v1/messages", promo).await);
}

/// Callers, headers and bodies that are no JSON.
async fn strangers(met: &mut Met, house: &House, tenant: &Tenant<'_>) {
    let (bearer, operator) = (format!("Bearer {}", tenant.key), format!("Bearer {OPERATOR}"));
    let app = tenant.call("POST /v1/apps", json!({"app_secrets": ["s"], "verify_token": "v"})).await.id();
    let webhook = format!("POST /connectors/cloud/{app}");
    let challenge = format!("GET /connectors/cloud/{app}?hub.mode=subscribe&hub.verify_token=x");
    let mine = ("authorization", bearer.as_str());
    for (code, what, headers, body) in [
        ("missing_key", "GET /v1/keys", vec![], ""),
        ("invalid_key", "GET /v1/keys", vec![("authorization", "Bearer kbr_nobody")], ""),
        ("tenant_header", "GET /v1/keys", vec![("authorization", operator.as_str())], ""),
        ("invalid_json", "POST /v1/keys", vec![mine], "{"),
        ("unsupported_media_type", "POST /v1/keys", vec![mine, ("content-type", "text/plain")], "{}"),
        ("idempotency_key", "POST /v1/keys", vec![mine, ("idempotency-key", "")], "{}"),
        ("bad_signature", webhook.as_str(), vec![], "{}"),
        ("challenge_refused", challenge.as_str(), vec![], ""),
    ] {
        met.note(code, &house.call(what, &headers, body).await);
    }
    let key = [("idempotency-key", "once")];
    assert_eq!(tenant.with("POST /v1/keys", &key, json!({"name": "a"})).await.status, 201);
    let other = tenant.with("POST /v1/keys", &key, json!({"name": "b"})).await;
    met.note("idempotency_mismatch", &other);
}

/// Keys that are not good, not good for this, or used too often.
async fn keys(met: &mut Met, house: &House, tenant: &Tenant<'_>) {
    let of = [("kabar-tenant", tenant.id.as_str())];
    let session = tenant.idle_session("155009").await;
    let (old, expired) = house.made_key(&of, json!({"name": "a"})).await;
    let rotate = format!("POST /v1/keys/{old}/rotate");
    assert_eq!(tenant.call(&rotate, json!({"overlap_seconds": 0})).await.status, 201);
    let limited = json!({"name": "b", "scopes": ["sessions:read", "keys:write"], "sessions": [session]});
    let limited = house.made_key(&of, limited).await.1;
    let elsewhere = house.made_key(&of, json!({"name": "c", "networks": ["203.0.113.0/24"]})).await.1;
    let slow = json!({"name": "d", "limits": {"api_per_second": 1, "api_burst": 1}});
    let slow = house.made_key(&of, slow).await.1;
    assert_eq!(house.by(&slow, "GET /v1/key", &[], Value::Null).await.status, 200);
    let other = format!("GET /v1/sessions/{}", tenant.idle_session("155010").await);
    for (code, key, what, body) in [
        ("key_expired", &expired, "GET /v1/key", Value::Null),
        ("scope_missing", &limited, "GET /v1/keys", Value::Null),
        ("session_not_allowed", &limited, other.as_str(), Value::Null),
        ("address_not_allowed", &elsewhere, "GET /v1/key", Value::Null),
        ("exceeds_key", &limited, "POST /v1/keys", json!({"name": "e", "scopes": ["messages:send"]})),
        ("rate_limited", &slow, "GET /v1/key", Value::Null),
    ] {
        met.note(code, &house.by(key, what, &[], body).await);
    }
}

/// One webhook subscription more than may be; nothing is ever brought to the first.
async fn subscriptions(met: &mut Met, tenant: &Tenant<'_>) {
    let wanted = json!({"url": "https://example.com/x", "types": ["campaign.finished"]});
    assert_eq!(tenant.call("POST /v1/webhooks", wanted.clone()).await.status, 201);
    met.note("webhook_limit", &tenant.call("POST /v1/webhooks", wanted).await);
}

/// Contact files.
async fn files(met: &mut Met, house: &House, tenant: &Tenant<'_>) {
    let bearer = format!("Bearer {}", tenant.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/csv")];
    let too_large = Bytes::from("phone\n".to_owned() + &"+6281234567890\n".repeat(100));
    for (code, query, file) in [
        ("import_header", "", Bytes::from_static(b"colour,size\nred,3\n")),
        ("import_column", "?phone_column=mobile", Bytes::from_static(b"name,phone\nAna,+6281234567890\n")),
        ("import_encoding", "", Bytes::from_static(b"name,phone\nA\x00na,+6281234567890\n")),
        ("import_empty", "", Bytes::from_static(b"name,phone\n")),
        ("import_malformed", "", Bytes::from_static(b"name,phone\n\"Ana,+6281234567890\n")),
        ("body_too_large", "", too_large),
    ] {
        let what = format!("POST /v1/contacts/import{query}");
        met.note(code, &house.call(&what, &headers, file).await);
    }
    let kept = tenant.call("POST /v1/media", json!({"base64": "aGFsbw=="})).await.id();
    let disguised = json!({"base64": "aGFsbw==", "mime_type": "image/png"});
    met.note("media_refused", &tenant.call("POST /v1/media", disguised).await);
    let private = json!({"link": "http://127.0.0.1/a.png"});
    met.note("link_unusable", &tenant.call("POST /v1/media", private).await);
    let content = format!("GET /v1/media/{kept}/content");
    let beyond = tenant.with(&content, &[("range", "bytes=9-")], Value::Null).await;
    met.note("range_not_satisfiable", &beyond);
}

/// A store that fails, and one that does not answer in the request's time.
async fn troubles(met: &mut Met, tenant: &Tenant<'_>, next: &Mutex<Option<Trouble>>) {
    let body = json!({"name": "a"});
    for (code, trouble) in [
        ("conflict", Trouble::Fails(StoreError::Conflict)),
        ("overloaded", Trouble::Fails(StoreError::Overloaded)),
        ("unavailable", Trouble::Fails(StoreError::Unavailable)),
        ("outcome_unknown", Trouble::Fails(StoreError::Unknown)),
        ("deadline", Trouble::NeverAnswers),
        ("internal", Trouble::Panics),
    ] {
        *next.lock().unwrap() = Some(trouble);
        met.note(code, &tenant.call("POST /v1/keys", body.clone()).await);
        assert!(next.lock().unwrap().is_none(), "{code}: the write was reached");
    }
}

/// What Meta says no to, and what is known of its templates.
async fn metas(met: &mut Met, house: &House) {
    let (tenant, sandbox) = (house.tenant("C").await, sandbox().await);
    let config = sandbox.config();
    let app = tenant.call("POST /v1/apps", json!({"app_secrets": ["s"], "verify_token": "v"})).await.id();
    let link = |token: &str, number: &str, url: &str| {
        json!({"name": "s", "app": app, "phone_number_id": number, "display_phone_number": "15550200000",
            "access_token": token, "base_url": url})
    };
    let (token, number) = (config.access_tokens[0].as_str(), config.numbers[0].phone_number_id.as_str());
    let (url, of) = (sandbox.base_url(), [("kabar-tenant", tenant.id.as_str())]);
    let blind = json!({"token": "blind", "scopes": ["whatsapp_business_messaging"]});
    control(&sandbox).post("/_sim/token", &blind).await.unwrap();
    for (code, body) in [
        ("token_refused", link("nobodys", number, &url)),
        ("token_lacks_permission", link("blind", number, &url)),
        ("number_unknown", link(token, "106000000000009", &url)),
        ("provider_unreachable", link(token, number, "http://127.0.0.1:9")),
    ] {
        met.note(code, &house.operator("POST /v1/sessions", &of, body).await);
    }
    let session = house.operator("POST /v1/sessions", &of, link(token, number, &url)).await.id();
    let idle = tenant.idle_session("155077").await;
    let picture = tenant.call("POST /v1/media", json!({"base64": PIXEL, "filename": "a.png"})).await.id();
    let templates = format!("POST /v1/sessions/{session}/provider-templates");
    let hello = json!({"name": "hello", "language": "id", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "Halo {{1}}, apa kabar?", "example": {"body_text": [["Ana"]]}}]});
    let hello = tenant.call(&templates, hello).await.id();
    control(&sandbox).post("/_sim/template", &json!({"id": hello, "status": "APPROVED"})).await.unwrap();
    tenant.get(&format!("/v1/sessions/{session}/provider-templates?refresh=true")).await;
    let mut waits = template(&idle, "6281234567890");
    waits["options"] = json!({"send_at": "2027-06-01T10:00:00Z"});
    tenant.call("POST /v1/messages", waits).await.id();
    let unfit = json!({"session": session, "to": "6281234567890", "type": "template",
        "template": {"name": "hello", "language": {"code": "id"}}});
    let bad = json!({"name": "A", "language": "id", "category": "UTILITY", "components": []});
    for (code, what, body) in [
        ("account_unknown", format!("GET /v1/sessions/{idle}/provider-templates"), Value::Null),
        ("app_unknown", format!("PUT /v1/sessions/{idle}/profile"), json!({"picture": picture})),
        ("session_in_use", format!("DELETE /v1/sessions/{idle}"), Value::Null),
        ("invalid_template", templates, bad),
        ("template_unusable", "POST /v1/messages".to_owned(), template(&session, "6281234567890")),
        ("template_mismatch", "POST /v1/messages".to_owned(), unfit),
        (
            "provider_refused",
            format!("POST /v1/sessions/{session}/registration/verify"),
            json!({"code": "000000"}),
        ),
    ] {
        met.note(code, &tenant.call(&what, body).await);
    }
}

/// Code and status as the page lists them.
fn listed(page: &str) -> BTreeMap<String, u16> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| <a id=\""));
    let row = |row: &str| {
        let code = row.split('"').next().unwrap().to_owned();
        (code, row.split('|').nth(1).unwrap().trim().parse().unwrap())
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn every_code_of_the_catalogue_can_be_met() {
    let next = Arc::new(Mutex::new(None));
    let mut store = Store::memory();
    store.records = Arc::new(Troubled { inner: Arc::clone(&store.records), next: Arc::clone(&next) });
    store.nouns = Nouns::new(Arc::clone(&store.records), Arc::clone(&store.keyring));
    let house = House::on(store, |config| {
        config.server.body_max_bytes = 4_000;
        config.server.import_max_bytes = 1_000;
        config.server.request_timeout_ms = 3_000;
        config.server.webhooks_max = 1;
    })
    .await;
    let tenant = house.tenant("A").await;
    let mut met = Met::default();
    bodies(&mut met, &tenant).await;
    enough(&mut met, &house).await;
    strangers(&mut met, &house, &tenant).await;
    keys(&mut met, &house, &tenant).await;
    subscriptions(&mut met, &tenant).await;
    files(&mut met, &house, &tenant).await;
    metas(&mut met, &house).await;
    troubles(&mut met, &tenant, &next).await;
    for (code, _, test) in BY_VALUE {
        let name = test.rsplit("::").next().unwrap();
        let sources = [
            include_str!("../../src/problem.rs"),
            include_str!("dialect.rs"),
            include_str!("event.rs"),
            include_str!("limit.rs"),
        ]
        .concat();
        assert!(sources.contains(&format!("fn {name}()")), "{code}: {test}");
        assert!(!met.0.contains_key(*code), "{code} is met over HTTP as well");
    }
    met.0.extend(BY_VALUE.iter().map(|(code, status, _)| ((*code).to_owned(), *status)));
    let listed = listed(include_str!("../../docs/errors.md"));
    assert!(listed.len() > 30, "{listed:?}");
    assert_eq!(met.0, listed, "left: met by this test, right: listed");
    house.running.shutdown().await;
}
