//! Meta's templates: held against its rules before it is asked, made and changed there, known here, and looked at before a
//! message or campaign that names one is accepted. Against the simulated WhatsApp.

use super::house::{Answer, House, Tenant, sandbox};
use super::session::control;
use kabar_sandbox::Sandbox;
use serde_json::{Value, json};

fn update() -> Value {
    json!({"name": "order_update", "language": "en_US", "category": "UTILITY", "components": [
        {"type": "BODY", "text": "Hello {{1}}, your parcel {{2}} left our shop.", "example": {"body_text": [["Ana", "A-81"]]}},
        {"type": "FOOTER", "text": "Example shop"}]})
}

fn message(session: &str, parameters: Value) -> Value {
    json!({"session": session, "to": "6281234567890", "type": "template", "template": {"name": "order_update",
        "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": parameters}]}})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

struct Shop<'h> {
    tenant: Tenant<'h>,
    session: String,
    sandbox: Sandbox,
}

impl<'h> Shop<'h> {
    async fn open(house: &'h House) -> Self {
        let (tenant, sandbox) = (house.tenant("A").await, sandbox().await);
        let session = tenant.link(&sandbox).await;
        // What is told by webhooks and what is read must not overtake each other; who tests webhooks lets them go.
        sandbox.pause_webhooks();
        Self { tenant, session, sandbox }
    }

    fn at(&self, what: &str, rest: &str) -> String {
        format!("{what} /v1/sessions/{}/provider-templates{rest}", self.session)
    }

    async fn call(&self, what: &str, rest: &str, body: Value) -> Answer {
        self.tenant.call(&self.at(what, rest), body).await
    }

    async fn order(&self, order: Value) {
        control(&self.sandbox).post("/_sim/template", &order).await.unwrap();
    }

    /// Made, approved, and read by the account's sync.
    async fn approved(&self) -> String {
        let id = self.call("POST", "", update()).await.id();
        self.order(json!({"id": id, "status": "APPROVED"})).await;
        let listed = self.call("GET", "?refresh=true", Value::Null).await.json();
        assert_eq!(listed["data"][0]["status"], "APPROVED", "{listed}");
        id
    }
}

#[tokio::test]
async fn a_template_is_made_listed_changed_and_deleted_at_meta_and_known_here() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let (tenant, session) = (&shop.tenant, &shop.session);
    let made = tenant.call(&format!("POST /v1/sessions/{session}/provider-templates"), update()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = made.json();
    assert_eq!((&shown["status"], &shown["evidence"]), (&json!("PENDING"), &json!("answer")));
    let id = made.id();
    let path = format!("/v1/sessions/{session}/provider-templates/{id}");
    assert_eq!(tenant.get(&format!("/v1/sessions/{session}/provider-templates/{id}")).await.json(), shown);
    shop.order(json!({"id": id, "status": "APPROVED"})).await;
    let listed = tenant.get(&format!("/v1/sessions/{session}/provider-templates?refresh=true")).await.json();
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["status"]), (&json!(id), &json!("APPROVED")));
    assert!(listed["synced"].is_string() && listed["data"][0]["quality"].is_string(), "{listed}");
    // What Meta does is seen when it is asked for.
    shop.order(json!({"id": id, "status": "PAUSED"})).await;
    assert_eq!(tenant.get(&path).await.json()["status"], "APPROVED", "the copy");
    assert_eq!(tenant.get(&format!("{path}?refresh=true")).await.json()["status"], "PAUSED");
    let unpaused = tenant
        .call(&format!("POST /v1/sessions/{session}/provider-templates/{id}/unpause"), Value::Null)
        .await;
    assert_eq!((unpaused.status, &unpaused.json()["status"]), (200, &json!("APPROVED")));
    let again = tenant.call(&format!("POST {path}/unpause"), Value::Null).await;
    assert_eq!(again.problem(), (422, "provider_refused".into()), "Meta says that it did nothing");
    let edit = json!({"components": [{"type": "BODY", "text": "Hello {{1}}, it is here.", "example": {"body_text": [["Ana"]]}}]});
    let changed = tenant.call(&format!("PATCH /v1/sessions/{session}/provider-templates/{id}"), edit).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["components"][0]["text"], "Hello {{1}}, it is here.");
    let refused =
        tenant.call(&format!("PATCH {path}"), json!({"components": [{"type": "FOOTER", "text": "a"}]})).await;
    assert_eq!(refused.problem(), (422, "invalid_template".into()));
    let gone =
        tenant.call(&format!("DELETE /v1/sessions/{session}/provider-templates/{id}"), Value::Null).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(tenant.get(&path).await.json()["status"], "DELETED");
    assert_eq!(shop.call("GET", "", Value::Null).await.json()["data"], json!([]));
    assert_eq!(shop.call("GET", "?status=deleted", Value::Null).await.json()["data"][0]["id"], json!(id));
    // Meta blocks the name of what was deleted: its words come through.
    let blocked = shop.call("POST", "", update()).await;
    assert_eq!(blocked.problem(), (422, "provider_refused".into()));
    assert!(blocked.json()["provider"]["subcode"].is_number(), "{blocked:?}");
    let unknown = tenant.get(&format!("/v1/sessions/{session}/provider-templates/1689556908129832")).await;
    assert_eq!(unknown.problem(), (404, "not_found".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_metas_webhooks_tell_of_a_template_is_known_without_asking() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let id = shop.approved().await;
    shop.order(json!({"id": id, "status": "PAUSED"})).await;
    shop.sandbox.resume_webhooks();
    let list = format!("/v1/sessions/{}/provider-templates", shop.session);
    let paused =
        |page: &Value| page["data"][0]["status"] == "PAUSED" && page["data"][0]["evidence"] == "webhook";
    shop.tenant.until(&list, paused).await;
    let refused = shop
        .tenant
        .call("POST /v1/messages", message(&shop.session, json!([text("Ana"), text("A-81")])))
        .await;
    assert_eq!(refused.problem().1, "template_unusable", "{refused:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_meta_would_refuse_is_refused_before_it_is_asked_with_everything_that_is_wrong() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let mut wrong = update();
    wrong["name"] = json!("Order Update");
    wrong["components"][0]["text"] = json!("{{1}} and {{3}}");
    let refused = shop.call("POST", "", wrong).await;
    assert_eq!(refused.problem(), (422, "invalid_template".into()));
    let told = refused.json();
    let paths: Vec<_> =
        told["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert_eq!((told["path"].as_str(), paths[0]), (Some("name"), "name"), "{told}");
    assert!(paths.len() >= 3 && paths.contains(&"components[0].text"), "{paths:?}");
    assert_eq!(
        shop.call("GET", "?refresh=true", Value::Null).await.json()["data"],
        json!([]),
        "nothing was made"
    );
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_repeat_makes_one_template_and_every_language_of_a_name_is_deleted_at_once() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let key = [("idempotency-key", "once")];
    let first = shop.tenant.with(&shop.at("POST", ""), &key, update()).await;
    let again = shop.tenant.with(&shop.at("POST", ""), &key, update()).await;
    assert_eq!((again.status, again.id()), (201, first.id()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let mut other = update();
    other["language"] = json!("id");
    assert_eq!(shop.call("POST", "", other).await.status, 201);
    assert_eq!(
        shop.call("GET", "?name=order_update&limit=1", Value::Null).await.json()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(shop.call("DELETE", "", Value::Null).await.problem(), (400, "invalid_query".into()));
    let session = &shop.session;
    let gone = shop
        .tenant
        .call(&format!("DELETE /v1/sessions/{session}/provider-templates?name=order_update"), Value::Null)
        .await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(shop.call("GET", "?refresh=true", Value::Null).await.json()["data"], json!([]));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_header_takes_media_of_ours_and_meta_gets_a_handle() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let media = json!({"base64": super::number::PIXEL, "filename": "h.png"});
    let media = shop.tenant.call("POST /v1/media", media).await.id();
    let mut with = update();
    with["components"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"type": "HEADER", "format": "IMAGE", "media": media}));
    let made = shop.call("POST", "", with.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let header = &made.json()["components"][0];
    assert!(header["example"]["header_handle"][0].is_string() && header.get("media").is_none(), "{header}");
    with["components"][0]["media"] = json!("med_0000000000001");
    with["name"] = json!("other");
    let refused = shop.call("POST", "", with).await;
    assert_eq!(refused.problem(), (404, "unknown_reference".into()));
    assert_eq!(refused.json()["path"], "components[0].media");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_message_whose_template_is_known_not_to_take_it_is_refused_and_an_earlier_one_is_still_answered() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let (tenant, session) = (&shop.tenant, shop.session.as_str());
    // Nothing is known yet: Meta will say.
    let good = message(session, json!([text("Ana"), text("A-81")]));
    let mut foreign = good.clone();
    foreign["template"]["name"] = json!("halo");
    assert_eq!(tenant.call("POST /v1/messages", foreign.clone()).await.status, 202);
    let id = shop.approved().await;
    let key = [("idempotency-key", "sent-1")];
    let sent = tenant.with("POST /v1/messages", &key, good.clone()).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    for (wrong, path) in [
        (message(session, json!([text("Ana")])), "template.components[0].parameters"),
        (
            message(session, json!([text("Ana"), {"type": "image", "image": {"id": "1"}}])),
            "template.components[0].parameters[1].type",
        ),
    ] {
        let refused = tenant.call("POST /v1/messages", wrong).await;
        assert_eq!(refused.problem(), (422, "template_mismatch".into()));
        assert_eq!(refused.json()["path"], path);
    }
    let missing = tenant.call("POST /v1/messages", foreign).await;
    assert_eq!(missing.problem(), (422, "template_unusable".into()));
    let many = tenant
        .call("POST /v1/messages/batch", json!({"messages": [message(session, json!([])), good]}))
        .await
        .json();
    assert_eq!(many["data"][0]["status"], 422, "{many}");
    assert_eq!(many["data"][1]["status"], 202, "{many}");
    shop.order(json!({"id": id, "status": "PAUSED"})).await;
    assert_eq!(shop.call("GET", "?refresh=true", Value::Null).await.json()["data"][0]["status"], "PAUSED");
    let stopped = tenant.call("POST /v1/messages", good.clone()).await;
    assert_eq!(stopped.problem(), (422, "template_unusable".into()));
    let told = &stopped.json()["template"];
    assert_eq!((&told["name"], &told["status"]), (&json!("order_update"), &json!("PAUSED")));
    let again = tenant.with("POST /v1/messages", &key, good).await;
    assert_eq!((again.status, again.id()), (202, sent.id()), "a repeat is answered like the first");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_campaign_is_told_of_its_template_before_the_launch_and_not_launched_against_it() {
    let house = House::open().await;
    let shop = Shop::open(&house).await;
    let id = shop.approved().await;
    let list = shop.tenant.import("name,phone,order\nAna,081234567890,A-1\n").await["id"].clone();
    let campaign = async |parameters: Value| {
        let mut message = message(&shop.session, parameters);
        let body = json!({"name": "c", "senders": [shop.session], "audience": {"list": list},
            "message": {"type": "template", "template": message["template"].take()}});
        shop.tenant.call("POST /v1/campaigns", body).await.id()
    };
    let preflight = async |campaign: &str| {
        let report = shop.tenant.get(&format!("/v1/campaigns/{campaign}/preflight")).await.json();
        report["templates"][0].clone()
    };
    let short = campaign(json!([text("{{name}}")])).await;
    let told = preflight(&short).await;
    assert_eq!(
        (&told["status"], &told["problem"]["code"]),
        (&json!("APPROVED"), &json!("template_mismatch")),
        "{told}"
    );
    let refused = shop.tenant.call(&format!("POST /v1/campaigns/{short}/launch"), Value::Null).await;
    assert_eq!(refused.problem(), (422, "template_mismatch".into()));
    assert_eq!(refused.json()["session"], shop.session.as_str());
    let whole = campaign(json!([text("{{name}}"), text("{{order}}")])).await;
    assert_eq!(preflight(&whole).await["problem"], Value::Null);
    shop.order(json!({"id": id, "status": "DISABLED"})).await;
    shop.call("GET", "?refresh=true", Value::Null).await;
    assert_eq!(preflight(&whole).await["problem"]["code"], "template_unusable");
    let launch = format!("POST /v1/campaigns/{whole}/launch");
    assert_eq!(shop.tenant.call(&launch, Value::Null).await.problem(), (422, "template_unusable".into()));
    shop.order(json!({"id": id, "status": "APPROVED"})).await;
    shop.call("GET", "?refresh=true", Value::Null).await;
    assert_eq!(shop.tenant.call(&launch, Value::Null).await.status, 200);
    house.running.shutdown().await;
}
