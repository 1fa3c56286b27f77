//! The calls of the connector that Meta's description knows, with an answer each, and contents of every kind. Not a test.

use kabar_connectors::BoxFuture;
use kabar_connectors::cloud::{
    CodeMethod, Graph, GraphFailure, NewProviderTemplate, Override, ProfileEdit, ProviderTemplateEdit,
};
use serde_json::{Map, Value, json};

pub(super) type Call = Box<dyn Fn(Graph) -> BoxFuture<'static, Result<(), GraphFailure>> + Send + Sync>;

/// One call and what Meta answers to it.
pub(super) struct Case {
    pub(super) operation: &'static str,
    pub(super) answer: Value,
    pub(super) call: Call,
}

fn case<F>(operation: &'static str, answer: Value, call: impl Fn(Graph) -> F + Send + Sync + 'static) -> Case
where
    F: Future<Output = Result<(), GraphFailure>> + Send + 'static,
{
    Case { operation, answer, call: Box::new(move |graph| Box::pin(call(graph))) }
}

fn done() -> Value {
    json!({"success": true})
}

fn paging() -> Value {
    json!({"cursors": {"before": "b", "after": "a"}})
}

pub(super) fn templates() -> Vec<Case> {
    let components = || {
        vec![
            json!({"type": "HEADER", "format": "TEXT", "text": "Order"}),
            json!({"type": "BODY", "text": "Hi {{1}}, hello.", "example": {"body_text": [["Ana"]]}}),
            json!({"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Look", "url": "https://a.example"}]}),
        ]
    };
    let shown = || {
        json!({"id": "1", "name": "a", "language": "id", "status": "APPROVED", "category": "UTILITY", "components": [
            {"type": "BODY", "text": "Hi."}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}]}]})
    };
    let made = json!({"id": "1", "status": "PENDING", "category": "UTILITY"});
    vec![
        case("post {WABA-ID}/message_templates", made, move |g| async move {
            let wanted = NewProviderTemplate {
                name: "a".into(),
                language: "id".into(),
                category: "UTILITY".into(),
                parameter_format: Some("POSITIONAL".into()),
                message_send_ttl_seconds: Some(600),
                components: components(),
                rest: Map::new(),
            };
            g.create_template("102", &wanted).await.map(|made| assert_eq!(made.id, "1"))
        }),
        case(
            "get {WABA-ID}/message_templates",
            json!({"data": [shown()], "paging": paging()}),
            |g| async move {
                g.templates("102", Some("a")).await.map(|all| assert_eq!(all[0].components.len(), 2))
            },
        ),
        case("delete {WABA-ID}/message_templates", done(), |g| async move {
            g.delete_template("102", "a", None).await.map(|_| ())
        }),
        case("delete {WABA-ID}/message_templates", done(), |g| async move {
            g.delete_template("102", "a", Some("1")).await.map(|_| ())
        }),
        case("get {TEMPLATE_ID}", shown(), |g| async move {
            g.template("1").await.map(|one| assert_eq!(one.status, "APPROVED"))
        }),
        case("post {TEMPLATE_ID}", done(), move |g| async move {
            let body =
                json!({"type": "BODY", "text": "Hi {{1}}, hello.", "example": {"body_text": [["Ana"]]}});
            let edit = ProviderTemplateEdit {
                components: Some(vec![body]),
                category: Some("MARKETING".into()),
                message_send_ttl_seconds: Some(43_200),
                rest: Map::new(),
            };
            g.edit_template("1", &edit).await.map(|_| ())
        }),
    ]
}

pub(super) fn numbers() -> Vec<Case> {
    let number = || json!({"id": "106", "display_phone_number": "15550200000", "verified_name": "Shop", "status": "LINKED", "quality_rating": "GREEN"});
    let info = json!({"id": "106", "display_phone_number": "15550200000", "verified_name": "Shop", "quality_rating": "GREEN",
        "code_verification_status": "VERIFIED", "name_status": "APPROVED"});
    let elsewhere = || Override { url: "https://a.example/x".into(), verify_token: "v".into() };
    vec![
        case(
            "get {WABA-ID}/phone_numbers",
            json!({"data": [number()], "paging": paging()}),
            |g| async move { g.numbers("102").await.map(|all| assert_eq!(all[0].id, "106")) },
        ),
        case("get {Phone-Number-ID}", info, |g| async move {
            g.number("106").await.map(|one| assert_eq!(one.verified_name.as_deref(), Some("Shop")))
        }),
        case("post {Phone-Number-ID}/request_code", done(), |g| async move {
            g.request_code("106", CodeMethod::Sms, "id_ID").await.map(|_| ())
        }),
        case("post {Phone-Number-ID}/verify_code", json!({"success": true, "id": "106"}), |g| async move {
            g.verify_code("106", &"123456".into()).await.map(|_| ())
        }),
        case("post {Phone-Number-ID}/register", done(), |g| async move {
            g.register("106", &"123456".into(), Some("ID")).await.map(|_| ())
        }),
        case("post {Phone-Number-ID}/deregister", done(), |g| async move {
            g.deregister("106").await.map(|_| ())
        }),
        case("post {Phone-Number-ID}", done(), |g| async move {
            g.set_pin("106", &"123456".into()).await.map(|_| ())
        }),
        case("post {Phone-Number-ID}", done(), move |g| async move {
            g.override_number("106", &elsewhere()).await.map(|_| ())
        }),
        case(
            "get {WABA-ID}/subscribed_apps",
            json!({"data": [{"id": "700", "name": "App"}]}),
            |g| async move { g.subscribed_apps("102").await.map(|_| ()) },
        ),
        case("post {WABA-ID}/subscribed_apps", done(), |g| async move {
            g.subscribe_app("102", None).await.map(|_| ())
        }),
        case("post {WABA-ID}/subscribed_apps", done(), move |g| async move {
            g.subscribe_app("102", Some(&elsewhere())).await.map(|_| ())
        }),
        case("delete {WABA-ID}/subscribed_apps", done(), |g| async move {
            g.unsubscribe_app("102").await.map(|_| ())
        }),
    ]
}

pub(super) fn profiles() -> Vec<Case> {
    let profile = json!({"data": [{"business_profile": {"messaging_product": "whatsapp", "about": "Hi", "vertical": "RETAIL"}}]});
    let blocked = json!({"data": [{"messaging_product": "whatsapp", "wa_id": "1"}], "paging": paging()});
    let outcome = |list: &str| json!({"messaging_product": "whatsapp", "block_users": {list: [{"input": "1", "wa_id": "1"}]}});
    vec![
        case("get {Phone-Number-ID}/whatsapp_business_profile", profile, |g| async move {
            g.profile("106").await.map(|profile| assert_eq!(profile["about"], "Hi"))
        }),
        case("post {Phone-Number-ID}/whatsapp_business_profile", done(), |g| async move {
            let edit = ProfileEdit {
                about: Some("Hi".into()),
                address: Some("Jalan 1".into()),
                description: Some("A shop".into()),
                email: Some("a@shop.example".into()),
                websites: Some(vec!["https://shop.example".into()]),
                vertical: Some("RETAIL".into()),
                profile_picture_handle: Some("4::a".into()),
            };
            g.set_profile("106", &edit).await.map(|_| ())
        }),
        case("get {Phone-Number-ID}/block_users", blocked, |g| async move {
            g.blocked("106", Some("b"), 50).await.map(|page| assert_eq!(page.users.len(), 1))
        }),
        case("post {Phone-Number-ID}/block_users", outcome("added_users"), |g| async move {
            g.block("106", &["1".into()]).await.map(|outcome| assert_eq!(outcome.done.len(), 1))
        }),
        case("delete {Phone-Number-ID}/block_users", outcome("removed_users"), |g| async move {
            g.unblock("106", &["1".into()]).await.map(|outcome| assert_eq!(outcome.done.len(), 1))
        }),
    ]
}

/// Contents of messages, one of every kind that is sent.
pub(super) fn contents() -> Vec<Value> {
    let button = |kind: &str, action: Value| json!({"type": "interactive", "interactive": {"type": kind, "body": {"text": "?"}, "action": action}});
    vec![
        json!({"type": "text", "text": {"body": "Halo", "preview_url": true}}),
        json!({"type": "image", "image": {"id": "900", "caption": "Blue"}}),
        json!({"type": "video", "video": {"link": "https://cdn.example/a.mp4"}}),
        json!({"type": "audio", "audio": {"id": "900"}}),
        json!({"type": "document", "document": {"id": "900", "filename": "a.pdf"}}),
        json!({"type": "sticker", "sticker": {"id": "900"}}),
        json!({"type": "location", "location": {"latitude": "48.2", "longitude": "16.3", "name": "Shop", "address": "Graben 1"}}),
        json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ana Diaz", "first_name": "Ana"}}]}),
        json!({"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}}),
        button("button", json!({"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]})),
        button(
            "list",
            json!({"button": "Open", "sections": [{"title": "A", "rows": [{"id": "1", "title": "One"}]}]}),
        ),
        button(
            "cta_url",
            json!({"name": "cta_url", "parameters": {"display_text": "Look", "url": "https://a.example"}}),
        ),
        json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
            {"type": "body", "parameters": [{"type": "text", "text": "Ana"}]},
            {"type": "button", "sub_type": "copy_code", "index": "0", "parameters": [{"type": "coupon_code", "coupon_code": "A"}]}]}}),
    ]
}
