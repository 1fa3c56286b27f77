//! What manages an account at Meta: the very calls that go out, and what is read from the answers. Against the recorder;
//! against Meta's document they are held in `document.rs`.

use super::recorder::Recorder;
use kabar_connectors::cloud::{CodeMethod, GraphFailure, Override, ProfileEdit};
use serde_json::{Value, json};

fn graph_error(code: u32, words: &str) -> Value {
    json!({"error": {"message": words, "type": "OAuthException", "code": code, "fbtrace_id": "A1",
        "error_data": {"messaging_product": "whatsapp", "details": words}}})
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_keeps_what_is_not_known() {
    let recorder = Recorder::start(|seen| {
        let second = seen.query.contains("after=c1");
        let (id, paging) = if second {
            (json!("2"), json!({"cursors": {"after": "c2"}}))
        } else {
            (json!(1), json!({"cursors": {"after": "c1"}, "next": "https://x"}))
        };
        let quality = json!({"score": "GREEN", "date": 1});
        (200, json!({"data": [{"id": id, "name": "a", "language": "en_US", "status": "APPROVED", "category": "UTILITY",
            "quality_score": quality, "colour": "red"}], "paging": paging}))
    })
    .await;
    let all = recorder.graph().templates("102", Some("a b")).await.unwrap();
    assert_eq!(all.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["1", "2"], "numbers and texts");
    assert_eq!((all[0].quality(), all[0].rest["colour"].as_str()), (Some("GREEN"), Some("red")));
    let seen = recorder.seen();
    assert_eq!(
        seen.iter().map(super::recorder::Seen::line).collect::<Vec<_>>(),
        ["GET 102/message_templates"; 2]
    );
    assert!(seen[0].query.contains("name=a%20b") && seen[1].query.contains("after=c1"), "{seen:?}");
}

#[tokio::test]
async fn a_list_without_end_and_a_page_that_fails_give_nothing() {
    let endless = Recorder::start(|_| {
        let paging = json!({"cursors": {"after": "again"}, "next": "https://x"});
        (200, json!({"data": [{"id": "1", "display_phone_number": "1"}], "paging": paging}))
    })
    .await;
    assert_eq!(endless.graph().numbers("102").await, Err(GraphFailure::Unclear));
    let broken = Recorder::start(|seen| match seen.query.contains("after") {
        true => (400, graph_error(100, "no")),
        false => (200, json!({"data": [{"id": "1"}], "paging": {"cursors": {"after": "c"}, "next": "x"}})),
    })
    .await;
    assert!(matches!(broken.graph().numbers("102").await, Err(GraphFailure::Refused(_))));
}

#[tokio::test]
async fn a_number_is_asked_for_less_where_the_version_knows_less() {
    let recorder = Recorder::start(|seen| match seen.query.contains("throughput") {
        true => (400, graph_error(100, "Tried accessing nonexisting field (throughput)")),
        false => (200, json!({"id": "106", "verified_name": "Shop", "quality_rating": "GREEN"})),
    })
    .await;
    let facts = recorder.graph().number("106").await.unwrap();
    assert_eq!((facts.verified_name.as_deref(), recorder.seen().len()), (Some("Shop"), 3));
    let gone = Recorder::start(|_| {
        let mut error = graph_error(100, "Object with ID '106' does not exist");
        error["error"]["error_subcode"] = json!(33);
        (400, error)
    })
    .await;
    assert!(
        matches!(gone.graph().number("106").await, Err(GraphFailure::Refused(no)) if no.subcode == Some(33))
    );
    assert_eq!(gone.seen().len(), 1, "what is not there is asked for once");
}

#[tokio::test]
async fn a_numbers_health_and_its_token_name_the_account() {
    let recorder = Recorder::start(|seen| match seen.path.as_str() {
        "debug_token" => (200, json!({"data": {"app_id": 700, "type": "SYSTEM_USER", "is_valid": true, "expires_at": 0,
            "scopes": ["whatsapp_business_messaging"], "granular_scopes": [
                {"scope": "whatsapp_business_management", "target_ids": ["102", "103"]},
                {"scope": "whatsapp_business_messaging", "target_ids": ["102"]}, {"scope": "business_management"}]}})),
        _ => (200, json!({"id": "106", "throughput": {"level": "HIGH"}, "messaging_limit_tier": "TIER_2K", "health_status": {
            "can_send_message": "AVAILABLE", "entities": [{"entity_type": "PHONE_NUMBER", "id": "106"},
                {"entity_type": "WABA", "id": "102"}]}})),
    })
    .await;
    let facts = recorder.graph().number("106").await.unwrap();
    assert_eq!(
        (facts.waba(), facts.throughput_level(), facts.tier()),
        (Some("102"), Some("HIGH"), Some("TIER_2K"))
    );
    let token = recorder.graph().debug_token(&"EAAG x".into()).await.unwrap();
    assert_eq!((token.app_id.as_str(), token.is_valid, token.wabas()), ("700", true, vec!["102", "103"]));
    assert!(token.has("business_management") && !token.has("ads_read"));
    assert_eq!(recorder.seen()[1].query, "input_token=EAAG%20x");
}

#[tokio::test]
async fn of_a_block_list_every_person_is_answered_for() {
    let recorder = Recorder::start(|seen| match seen.method.as_str() {
        "POST" => {
            let mut answer = graph_error(139_100, "Failed to block some users");
            answer["messaging_product"] = json!("whatsapp");
            answer["block_users"] = json!({"added_users": [{"input": "1", "wa_id": "1"}], "failed_users": [
                {"input": "2", "wa_id": "2", "errors": [{"code": 131_047, "message": "Re-engagement"}]}]});
            (400, answer)
        }
        "DELETE" => (200, json!({"block_users": {"removed_users": [{"input": "1", "wa_id": "1"}]}})),
        _ => (
            200,
            json!({"data": [{"messaging_product": "whatsapp", "wa_id": "1"}],
            "paging": {"cursors": {"after": "c"}, "next": "https://x"}}),
        ),
    })
    .await;
    let graph = recorder.graph();
    let outcome = graph.block("106", &["1".to_owned(), "2".to_owned()]).await.unwrap();
    assert_eq!((outcome.done.len(), outcome.failed[0].code), (1, 131_047));
    assert_eq!(graph.unblock("106", &["1".to_owned()]).await.unwrap().done[0].input, "1");
    let page = graph.blocked("106", Some("b"), 1).await.unwrap();
    assert_eq!((page.users[0].wa_id.as_str(), page.after.as_deref()), ("1", Some("c")));
    let users = json!({"messaging_product": "whatsapp", "block_users": [{"user": "1"}]});
    assert_eq!(recorder.seen()[1].body, users);
}

#[tokio::test]
async fn a_profile_comes_flat_or_wrapped_and_only_what_is_said_is_changed() {
    let recorder = Recorder::start(|seen| match seen.method.as_str() {
        "POST" => (200, json!({"success": true})),
        _ if seen.path.starts_with("106") => {
            (200, json!({"data": [{"about": "Hi", "websites": ["https://a"]}]}))
        }
        _ => (200, json!({"data": [{"business_profile": {"about": "Ho"}, "id": "1"}]})),
    })
    .await;
    let graph = recorder.graph();
    assert_eq!(graph.profile("106").await.unwrap()["websites"][0], "https://a");
    assert_eq!(graph.profile("107").await.unwrap()["about"], "Ho");
    graph
        .set_profile("106", &ProfileEdit { about: Some("Hey".into()), ..ProfileEdit::default() })
        .await
        .unwrap();
    assert_eq!(recorder.seen()[2].body, json!({"messaging_product": "whatsapp", "about": "Hey"}));
}

#[tokio::test]
async fn an_id_that_would_lead_elsewhere_is_never_asked() {
    let recorder = Recorder::start(|_| (200, json!({"success": true}))).await;
    let graph = recorder.graph();
    for id in ["", "../me", "102/x", "102?fields=a", "102#", "1 2"] {
        assert_eq!(graph.deregister(id).await, Err(GraphFailure::NotReached), "{id}");
        assert_eq!(graph.delete_template(id, "a", None).await, Err(GraphFailure::NotReached), "{id}");
    }
    assert!(recorder.seen().is_empty());
    let to = Override { url: "https://a/b".into(), verify_token: "s3cret".into() };
    graph.subscribe_app("102", Some(&to)).await.unwrap();
    graph.subscribe_app("102", None).await.unwrap();
    graph.request_code("106", CodeMethod::Voice, "en_US").await.unwrap();
    let bodies: Vec<_> = recorder.seen().into_iter().map(|seen| seen.body).collect();
    let wanted = json!({"override_callback_uri": "https://a/b", "verify_token": "s3cret"});
    assert_eq!(bodies, [wanted, json!({}), json!({"code_method": "VOICE", "language": "en_US"})]);
    assert!(!format!("{to:?}").contains("s3cret"));
}
