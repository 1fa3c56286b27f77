//! Every code of Meta's in the catalogue of causes, as the answer to a send and as a failed status: it is kept, and
//! explained as the catalogue says. Not Kabar's own causes: those are met in the engine's tests.

use super::send::{api, config, message, sandbox};
use kabar_connectors::Connector;
use kabar_connectors::cloud::{Change, parse};
use kabar_engine::cause::{Cause, Explanation, Fault};
use kabar_engine::outgoing::SendError;
use kabar_engine::status::Status;
use kabar_sandbox::Behaviour;
use serde_json::json;

fn metas() -> impl Iterator<Item = (Cause, Explanation)> {
    Cause::all().filter(|(cause, _)| cause.is_provider())
}

#[tokio::test]
async fn every_code_that_answers_a_send_is_kept_and_explained() {
    for (cause, explanation) in metas() {
        let behaviour = Behaviour {
            fail_in_answer: 1.0,
            fail_in_answer_codes: vec![cause.number()],
            ..Behaviour::quiet()
        };
        let sandbox = sandbox(behaviour).await;
        let heard = api(config(&sandbox)).send(&message(1)).await;
        assert_eq!(sandbox.ledger()[0].code, Some(cause.number()), "the sandbox answered with it");
        let error = heard.expect_err("it was refused");
        let kept = error.cause().expect("it was told why");
        assert_eq!((kept, kept.explain()), (cause, explanation));
        let waits = !matches!(error, SendError::Rejected(_));
        assert!(!waits || explanation.retryable, "{} is tried again and called in vain", explanation.code);
    }
}

#[test]
fn every_code_that_fails_a_status_is_kept_and_explained() {
    for (cause, explanation) in metas() {
        let status = json!({"id": "wamid.OUT", "status": "failed", "timestamp": "1790000003",
            "recipient_id": "15550100001",
            "errors": [{"code": cause.number(), "title": "t", "error_data": {"details": "as Meta says"}}]});
        let value = json!({"messaging_product": "whatsapp", "statuses": [status],
            "metadata": {"display_phone_number": "15550200000", "phone_number_id": "106000000000001"}});
        let body = json!({"object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]});
        let changes = parse(body.to_string().as_bytes()).unwrap();
        let [Change::Number(events)] = changes.as_slice() else { panic!("{changes:?}") };
        let [failed] = events.statuses.as_slice() else { panic!("{events:?}") };
        let kept = failed.cause.unwrap();
        assert_eq!((failed.status, kept, kept.explain()), (Status::Failed, cause, explanation));
        assert_eq!(failed.detail.as_deref(), Some("as Meta says"));
    }
}

#[test]
fn a_code_the_catalogue_does_not_know_is_told_from_those_it_does() {
    let unknown = Cause(424_242).explain();
    assert_eq!((unknown.code, unknown.fault), ("provider_error", Fault::Provider));
    assert!(metas().count() > 30 && metas().all(|(_, known)| known.code != unknown.code));
}
