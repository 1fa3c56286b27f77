//! Sends against the sandbox: every fault becomes the right error, and the ledger agrees.

use super::client::{impossible_host, refusing_port};
use kabar_connectors::client::Client;
use kabar_connectors::cloud::{CloudApi, CloudConfig};
use kabar_connectors::{Connector, Secret};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, SessionId};
use kabar_engine::outgoing::{Accepted, Outgoing, Reason, Reference, SendError};
use kabar_engine::pacing::Throttle;
use kabar_sandbox::{Behaviour, Faults, LedgerRow, Outcome, Sandbox, SandboxConfig};
use std::collections::HashMap;
use std::sync::Arc;

const DEADLINE_MS: u64 = 10_000;

pub(crate) async fn sandbox(behaviour: Behaviour) -> Sandbox {
    Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap()
}

pub(crate) fn config(sandbox: &Sandbox) -> CloudConfig {
    CloudConfig {
        base_url: sandbox.base_url(),
        api_version: "v26.0".into(),
        phone_number_id: sandbox.config().numbers[0].phone_number_id.clone(),
        access_token: Secret::new(sandbox.config().access_tokens[0].as_str()),
        proofs: Arc::default(),
        deadline_ms: DEADLINE_MS,
    }
}

pub(crate) fn api(config: CloudConfig) -> CloudApi {
    CloudApi::new(Client::for_providers(), config)
}

pub(crate) fn message(index: u32) -> Outgoing {
    to(index, Address::phone_digits(&format!("6281{index:08}")).unwrap())
}

fn to(index: u32, to: Address) -> Outgoing {
    Outgoing {
        session: SessionId(1),
        reference: Reference::Campaign(CampaignId(5), index),
        to,
        content: Arc::new(Content::plain("Halo")),
        context: None,
        identity: None,
    }
}

fn lost(code: u32) -> Result<Accepted, SendError> {
    let detail = "The access token has expired.".to_owned();
    Err(SendError::LinkLost(Reason { cause: Cause(code), detail, trace: None }))
}

fn faulty(faults: Faults) -> Behaviour {
    Behaviour { faults, ..Behaviour::quiet() }
}

/// One send under one behaviour: what the caller hears, and the ledger's only row about it.
async fn one(behaviour: Behaviour, deadline_ms: u64) -> (Result<Accepted, SendError>, LedgerRow) {
    let sandbox = sandbox(behaviour).await;
    let m = message(1);
    let heard = api(CloudConfig { deadline_ms, ..config(&sandbox) }).send(&m).await;
    let mut rows = sandbox.ledger();
    assert_eq!(rows.len(), 1, "one call, made once");
    assert_eq!(rows[0].reference.as_deref(), Some(m.reference.to_string().as_str()));
    (bare(heard), rows.remove(0))
}

fn retry(throttle: Throttle, after_ms: u64, code: u32) -> Result<Accepted, SendError> {
    Err(SendError::RetryAfter { throttle, after_ms, cause: Cause(code), words: None })
}

/// Without the words of the sandbox and the name of the call, which is another every time.
fn bare(mut heard: Result<Accepted, SendError>) -> Result<Accepted, SendError> {
    match &mut heard {
        Err(SendError::RetryAfter { words, .. }) => *words = None,
        Err(SendError::LinkLost(reason) | SendError::Rejected(reason)) => reason.trace = None,
        _ => {}
    }
    heard
}

#[tokio::test]
async fn an_accepted_message_has_the_id_of_the_ledger() {
    let (heard, row) = one(Behaviour::quiet(), DEADLINE_MS).await;
    assert_eq!(Some(&*heard.unwrap().provider_id), row.wamid.as_deref());
    assert_eq!(
        (row.outcome, row.to.as_str(), row.kind.as_str()),
        (Outcome::Accepted, "628100000001", "text")
    );
}

#[tokio::test]
async fn a_user_id_is_a_recipient() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let id = "US.13491208655302741918";
    let m = Outgoing { context: Some("wamid.QUOTED".into()), ..to(1, Address::user_id(id).unwrap()) };
    assert!(api(config(&sandbox)).send(&m).await.is_ok());
    assert_eq!(sandbox.ledger()[0].to, id);
}

#[tokio::test]
async fn a_429_slows_the_number_and_is_not_accepted() {
    let behaviour = faulty(Faults { rate_429: 1.0, ..Faults::default() });
    let (heard, row) = one(behaviour.clone(), DEADLINE_MS).await;
    assert_eq!((heard, row.outcome), (retry(Throttle::Throughput, 0, 130_429), Outcome::Rejected));
    let (heard, _) = one(Behaviour { throttle_retry_after_s: 7, ..behaviour }, DEADLINE_MS).await;
    assert_eq!(heard, retry(Throttle::Throughput, 7_000, 130_429));
}

#[tokio::test]
async fn a_500_with_a_graph_body_is_decided_by_its_code() {
    for (code, expected) in [
        (131_016, retry(Throttle::Transient, 0, 131_016)),
        (131_057, retry(Throttle::Maintenance, 0, 131_057)),
        (190, lost(190)),
    ] {
        let faults = Faults { rate_500_graph: 1.0, graph_500_code: code, ..Faults::default() };
        let (heard, row) = one(faulty(faults), DEADLINE_MS).await;
        assert_eq!((heard, row.outcome), (expected, Outcome::Rejected));
    }
}

#[tokio::test]
async fn a_bare_502_is_ambiguous_whether_accepted_or_not() {
    for (accepted_share, outcome) in [(0.0, Outcome::Lost), (1.0, Outcome::Accepted)] {
        let faults = Faults { rate_bare_502: 1.0, accepted_share, ..Faults::default() };
        let (heard, row) = one(faulty(faults), DEADLINE_MS).await;
        assert_eq!((heard, row.outcome), (Err(SendError::Ambiguous), outcome));
    }
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_ambiguous() {
    let faults = Faults { rate_slow: 1.0, slow_ms: 60_000, ..Faults::default() };
    let (heard, row) = one(faulty(faults), 300).await;
    assert_eq!((heard, row.outcome), (Err(SendError::Ambiguous), Outcome::Accepted));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_ambiguous() {
    let dropped = Faults { rate_drop_after_accept: 1.0, ..Faults::default() };
    let reset = Faults { rate_reset_before_accept: 1.0, ..Faults::default() };
    for (faults, outcome) in [(dropped, Outcome::Accepted), (reset, Outcome::Lost)] {
        let (heard, row) = one(faulty(faults), DEADLINE_MS).await;
        assert_eq!((heard, row.outcome), (Err(SendError::Ambiguous), outcome));
    }
}

#[tokio::test]
async fn a_refused_port_and_an_unknown_host_are_not_ambiguous() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let (_held, port) = refusing_port();
    for base_url in [format!("http://127.0.0.1:{port}"), format!("https://{}", impossible_host())] {
        let api = api(CloudConfig { base_url, ..config(&sandbox) });
        assert_eq!(api.send(&message(1)).await, retry(Throttle::Unreachable, 0, 131_016));
    }
}

#[tokio::test]
async fn a_refusal_in_the_answer_is_final_and_has_its_code() {
    let behaviour =
        Behaviour { fail_in_answer: 1.0, fail_in_answer_codes: vec![131_009], ..Behaviour::quiet() };
    let (heard, row) = one(behaviour, DEADLINE_MS).await;
    let Err(SendError::Rejected(Reason { cause, detail, .. })) = heard else { panic!("{heard:?}") };
    assert_eq!((cause, row.outcome, row.code), (Cause(131_009), Outcome::Rejected, Some(131_009)));
    assert!(!detail.is_empty());
}

#[tokio::test]
async fn the_pair_limit_names_its_bucket() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let m = to(1, Address::phone_digits("9995131056").unwrap());
    let heard = api(config(&sandbox)).send(&m).await;
    let words = heard.as_ref().unwrap_err().words().unwrap();
    assert!(words.detail.contains("too many messages") && words.trace.is_some(), "{words:?}");
    assert_eq!(bare(heard), retry(Throttle::Pair, 0, 131_056));
}

#[tokio::test]
async fn a_dead_token_or_a_number_that_is_not_there_loses_the_link() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let good = config(&sandbox);
    for broken in [
        CloudConfig { access_token: "other".into(), ..good.clone() },
        CloudConfig { phone_number_id: "999".into(), ..good.clone() },
        CloudConfig { base_url: "not a url".into(), ..good.clone() },
    ] {
        let heard = api(broken).send(&message(1)).await;
        assert!(matches!(heard, Err(SendError::LinkLost(_))), "{heard:?}");
    }
    assert_eq!(sandbox.ledger(), []);
}

#[tokio::test]
async fn under_mixed_faults_every_answer_agrees_with_the_ledger() {
    let faults = Faults {
        rate_429: 0.1,
        rate_500_graph: 0.1,
        rate_bare_502: 0.1,
        rate_drop_after_accept: 0.1,
        rate_reset_before_accept: 0.1,
        ..Faults::default()
    };
    let sandbox = sandbox(Behaviour { fail_in_answer: 0.1, ..faulty(faults) }).await;
    let api = Arc::new(api(config(&sandbox)));
    let mut heard = Vec::new();
    // Waves of sixteen over kept connections, of which the faults close some meanwhile.
    for wave in 0..40_u32 {
        let sends = (0..16).map(|n| {
            let (api, m) = (Arc::clone(&api), message(wave * 16 + n));
            tokio::spawn(async move { (m.reference.to_string(), api.send(&m).await) })
        });
        for send in sends.collect::<Vec<_>>() {
            heard.push(send.await.unwrap());
        }
    }
    let mut rows: HashMap<String, Vec<LedgerRow>> = HashMap::new();
    for row in sandbox.ledger() {
        rows.entry(row.reference.clone().unwrap()).or_default().push(row);
    }
    let mut seen = [0; 4];
    for (reference, outcome) in heard {
        let rows = rows.remove(&reference).unwrap_or_default();
        assert!(rows.len() <= 1, "{reference} went out {} times", rows.len());
        let accepted = rows.iter().find(|row| row.outcome == Outcome::Accepted);
        match outcome {
            Ok(Accepted { provider_id, .. }) => {
                seen[0] += 1;
                assert_eq!(accepted.and_then(|row| row.wamid.as_deref()), Some(&*provider_id));
            }
            Err(SendError::Ambiguous) => seen[1] += 1,
            Err(SendError::RetryAfter { .. }) => {
                seen[2] += 1;
                assert_eq!(accepted, None, "{reference} would be sent twice");
            }
            Err(SendError::Rejected(_)) => {
                seen[3] += 1;
                assert_eq!(accepted, None, "{reference} would be called failed");
            }
            Err(SendError::LinkLost(_)) => panic!("the link is good"),
            Err(SendError::Held { .. }) => panic!("nothing is held"),
        }
    }
    assert!(rows.is_empty(), "nothing stands in the ledger that was not asked for");
    assert!(seen.iter().all(|count| *count >= 20), "every outcome was met: {seen:?}");
}
