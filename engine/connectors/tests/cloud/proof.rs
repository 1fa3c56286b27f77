//! The proof of the app's secret, against a sandbox that demands it: every call carries it, and a secret that is being changed
//! stops nothing.

use super::send::{api, config, message, sandbox};
use bytes::Bytes;
use futures::StreamExt;
use kabar_connectors::client::{Broken, Client};
use kabar_connectors::cloud::{CloudConfig, File, Graph, GraphConfig, GraphFailure, Proofs, upload_media};
use kabar_connectors::{Connector, Secret};
use kabar_engine::outgoing::SendError;
use kabar_sandbox::{Behaviour, Sandbox};
use std::sync::Arc;

async fn strict() -> (Sandbox, Secret, String) {
    let sandbox = sandbox(Behaviour { require_appsecret_proof: true, ..Behaviour::quiet() }).await;
    let token = Secret::new(sandbox.config().access_tokens[0].as_str());
    let secret = sandbox.config().app_secret.clone();
    (sandbox, token, secret)
}

fn graph(sandbox: &Sandbox, token: &Secret, proofs: Arc<Proofs>) -> Graph {
    let config = GraphConfig {
        base_url: sandbox.base_url(),
        api_version: "v26.0".into(),
        access_token: token.clone(),
        proofs,
        deadline_ms: 10_000,
    };
    Graph::new(Client::for_providers(), config).expect("the sandbox has a URL")
}

fn image() -> File {
    let bytes = Bytes::from_static(b"\xff\xd8\xff\xe0\0\x10JFIF");
    let length = bytes.len() as u64;
    let flow = futures::stream::iter([Ok::<_, Broken>(bytes)]).boxed();
    File { mime: "image/jpeg".into(), name: "a.jpg".into(), length, flow }
}

#[tokio::test]
async fn an_app_that_demands_the_proof_gets_it_with_every_call() {
    let (sandbox, token, secret) = strict().await;
    let number = sandbox.config().numbers[0].phone_number_id.clone();
    let bare = api(config(&sandbox)).send(&message(1)).await;
    assert!(matches!(&bare, Err(SendError::Rejected(reason)) if reason.cause.0 == 100), "{bare:?}");
    let proofs = Arc::new(Proofs::of(&[secret], &token));
    let whole = CloudConfig { proofs: Arc::clone(&proofs), ..config(&sandbox) };
    assert!(api(whole).send(&message(2)).await.is_ok());
    let graph = graph(&sandbox, &token, proofs);
    assert_eq!(graph.number(&number).await.unwrap().id, number);
    assert!(upload_media(&graph, &number, image()).await.is_ok());
}

#[tokio::test]
async fn while_a_secret_is_being_changed_the_other_one_is_tried_and_kept_to() {
    let (sandbox, token, secret) = strict().await;
    let number = sandbox.config().numbers[0].phone_number_id.clone();
    let rotating = || Arc::new(Proofs::of(&["not-yet-at-meta", secret.as_str()], &token));
    let whole = api(CloudConfig { proofs: rotating(), ..config(&sandbox) });
    for index in 1..=3 {
        assert!(whole.send(&message(index)).await.is_ok(), "{index}");
    }
    assert_eq!(sandbox.ledger().len(), 3, "a refused proof sends nothing");
    assert!(graph(&sandbox, &token, rotating()).number(&number).await.is_ok());
    // What was poured out cannot be poured again: whoever brought it tries again, and then it goes.
    let pouring = graph(&sandbox, &token, rotating());
    assert_eq!(upload_media(&pouring, &number, image()).await, Err(GraphFailure::NotReached));
    assert!(upload_media(&pouring, &number, image()).await.is_ok());
}

#[tokio::test]
async fn a_token_of_another_app_goes_without_a_proof_where_none_is_demanded() {
    let sandbox = sandbox(Behaviour::quiet()).await;
    let token = Secret::new(sandbox.config().access_tokens[0].as_str());
    let proofs = Arc::new(Proofs::of(&["of-another-app"], &token));
    assert!(api(CloudConfig { proofs, ..config(&sandbox) }).send(&message(1)).await.is_ok());
}
