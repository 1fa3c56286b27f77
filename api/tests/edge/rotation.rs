//! A new master key on the real binary, killed in the middle: what was sealed is readable at every moment with the keys
//! that are there, and with the old one alone no more at the end.

use super::house::OPERATOR;
use super::killed::Server;
use kabar_engine::id::TenantId;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// So many data keys that a kill after the first word comes in the middle.
const TENANTS: u64 = 600;

fn kabar(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.args(arguments).env("KABAR__STORE__FOLDER", folder).env("KABAR__AUTH__OPERATOR_KEY", OPERATOR);
    command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn rotate(folder: &Path) -> Output {
    kabar(folder, &["rotate-key", "--json"]).output().await.unwrap()
}

/// Whether this key alone opens the folder.
async fn opens(folder: &Path, key: &MasterKey) -> bool {
    match Store::embedded(EmbeddedOptions::new(folder, key.clone())).await {
        Ok(store) => {
            store.close().await;
            true
        }
        Err(_) => false,
    }
}

async fn template(server: &Server, bearer: &str) -> Value {
    let (_, page) = server.call("GET /v1/templates", &[("authorization", bearer)], "").await;
    page["data"][0]["message"]["text"]["body"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_killed_in_the_middle_costs_nothing_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let server = Server::start(folder).await;
    let bearer = server.tenant().await;
    let stored = r#"{"name": "halo", "message": {"type": "text", "text": {"body": "rahasia"}}}"#;
    let (status, made) = server.call("POST /v1/templates", &[("authorization", &bearer)], stored).await;
    assert_eq!(status, 201, "{made}");
    // Not while a server runs.
    let refused = rotate(folder).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    server.end().await;
    let old = MasterKey::from_file(&folder.join("master.key")).unwrap();
    let store = Store::embedded(EmbeddedOptions::new(folder, old.clone())).await.unwrap();
    for tenant in 1..=TENANTS {
        store.keyring.ensure(TenantId(tenant)).await.unwrap();
    }
    store.close().await;
    drop(store);

    let mut run = kabar(folder, &["rotate-key"]).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
    let first = said.next_line().await.unwrap().expect("it says how far it is");
    assert!(first.ends_with("50 data keys"), "{first}");
    run.kill().await.unwrap();
    let next = MasterKey::from_file(&folder.join("master.key.next")).unwrap();
    assert!(!opens(folder, &old).await && !opens(folder, &next).await, "it was not in the middle");
    let unfinished = kabar(folder, &["backup", "--to", "nowhere"]).output().await.unwrap();
    assert_eq!(unfinished.status.code(), Some(2), "{unfinished:?}");
    // The server runs with both, and seals for people it had not met.
    let server = Server::start(folder).await;
    assert_eq!(template(&server, &bearer).await, "rahasia");
    let newcomer = server.tenant().await;
    let (status, _) = server.call("POST /v1/templates", &[("authorization", &newcomer)], stored).await;
    assert_eq!(status, 201);
    server.end().await;

    let finished = rotate(folder).await;
    assert!(finished.status.success(), "{finished:?}");
    let told: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let (wrapped, before) = (told["wrapped"].as_u64().unwrap(), told["wrapped_before"].as_u64().unwrap());
    assert!(wrapped > 0 && before >= 50 && wrapped + before == TENANTS + 2, "{told}");
    assert!(!folder.join("master.key.next").exists());
    let new = MasterKey::from_file(&folder.join("master.key")).unwrap();
    assert_eq!(new.to_hex(), next.to_hex());
    let kept = MasterKey::from_file(Path::new(told["old_key"].as_str().unwrap())).unwrap();
    assert_eq!(kept.to_hex(), old.to_hex());
    assert!(opens(folder, &new).await && !opens(folder, &old).await);
    let server = Server::start(folder).await;
    assert_eq!(
        (template(&server, &bearer).await, template(&server, &newcomer).await),
        ("rahasia".into(), "rahasia".into())
    );
    server.end().await;
}

#[tokio::test]
async fn a_key_of_the_configuration_is_replaced_by_one_of_the_configuration() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let (old, new) = (MasterKey::random(), MasterKey::random());
    let store = Store::embedded(EmbeddedOptions::new(folder, old.clone())).await.unwrap();
    store.keyring.ensure(TenantId(1)).await.unwrap();
    store.close().await;
    drop(store);
    let with = |key: &MasterKey, before: &str| {
        let mut command = kabar(folder, &["rotate-key", "--json"]);
        command.env("KABAR__STORE__MASTER_KEY", key.to_hex()).env("KABAR__STORE__MASTER_KEY_BEFORE", before);
        command
    };
    let alone = with(&old, "").output().await.unwrap();
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(alone.status.code() == Some(2) && said.contains("store.master_key_before"), "{said}");
    assert!(!said.contains(&old.to_hex()));
    let wrong = with(&new, &MasterKey::random().to_hex()).output().await.unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let done = with(&new, &old.to_hex()).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(opens(folder, &new).await && !opens(folder, &old).await);
    assert!(!folder.join("master.key").exists() && !folder.join("master.key.next").exists());
}
