//! What operators rely on: health, metrics, a folder that is found again, a configuration that is checked first.

use super::house::House;
use kabar_api::client::Client;
use kabar_api::config::Config;
use kabar_api::metrics;
use kabar_api::serve::start;
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn every_promised_metric_is_there_and_names_nobody() {
    let house = House::open().await;
    let tenant = house.tenant("Toko Ana").await;
    tenant.import("name,phone\nAna,081234567890\n").await;
    for path in ["GET /healthz", "GET /readyz"] {
        assert_eq!(house.call(path, &[], "").await.status, 200, "{path}");
    }
    let text = house.call("GET /metrics", &[], "").await.text;
    for name in [
        metrics::ACTORS,
        metrics::RESTARTS,
        metrics::REFUSALS,
        metrics::SYNCS,
        metrics::LAG,
        metrics::DIRTY,
        metrics::CLAIMS,
        metrics::OVERLAY,
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing:\n{text}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    assert!(!text.contains("6281234567890") && !text.contains("Toko"));
    let errors = house.call("GET /docs/errors", &[], "").await;
    assert!(errors.text.contains("`idempotency_mismatch`"));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_folder_is_found_again_with_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let config = || {
        let mut config = Config::defaults();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.store.folder = folder.path().join("data");
        config
    };
    let first = start(config()).await.unwrap();
    assert!(first.operator_key_is_new);
    let operator_key = first.operator_key.clone();
    let locked = start(config()).await.err().unwrap().to_string();
    assert!(locked.contains("another process"), "{locked}");
    let operator = Client::new(&first.url(), &operator_key);
    let tenant = operator.post("/v1/tenants", &json!({"name": "A"})).await.unwrap();
    let of_tenant = operator.with("kabar-tenant", tenant["id"].as_str().unwrap());
    let key = of_tenant.post("/v1/keys", &json!({"name": "k"})).await.unwrap();
    first.shutdown().await;
    let second = start(config()).await.unwrap();
    assert!(!second.operator_key_is_new && second.operator_key == operator_key);
    let api = Client::new(&second.url(), key["secret"].as_str().unwrap());
    assert_eq!(api.get("/v1/keys").await.unwrap()["data"][0]["id"], key["id"]);
    second.shutdown().await;
}

fn kabar(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kabar"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_wrong_configuration_names_itself_and_ends_with_two() {
    let (code, shown, _) = kabar(&["check-config"], &[]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("listen = \"127.0.0.1:8080\""));
    for (variable, value, words) in [
        ("KABAR__STORE__SYNC_GAP_MS", "fast", "0 to 1000"),
        ("KABAR__SERVER__PORT", "80", "listen"),
        ("KABAR__ENGINE__PROOF_MS", "1", "1000 to 86400000"),
    ] {
        for command in ["check-config", "serve"] {
            let (code, stdout, stderr) = kabar(&[command], &[(variable, value)]);
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
            assert!(stderr.contains(variable) && stderr.contains(words), "{stderr}");
        }
    }
    let (code, _, stderr) = kabar(&["--config", "nowhere.toml", "serve"], &[]);
    assert!(code == Some(2) && stderr.contains("nowhere.toml"), "{stderr}");
    assert_eq!(kabar(&["dance"], &[]).0, Some(2));
}

#[test]
fn a_port_that_is_taken_is_said_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("data").display().to_string();
    let (code, _, stderr) =
        kabar(&["serve"], &[("KABAR__SERVER__LISTEN", listen.as_str()), ("KABAR__STORE__FOLDER", &folder)]);
    assert!(code == Some(2) && stderr.contains(&listen) && stderr.contains("server.listen"), "{stderr}");
}

#[tokio::test]
async fn the_description_is_served_and_its_page_asks_no_other_server() {
    let house = House::open().await;
    let served = house.call("GET /openapi.json", &[], "").await;
    let document: serde_json::Value = serde_json::from_str(&served.text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let committed = include_str!("../../docs/openapi.json");
    let committed: serde_json::Value = serde_json::from_str(committed).unwrap();
    assert!(document == committed, "what is served is not what is committed");
    let page = house.call("GET /docs", &[], "").await.text;
    let sources: Vec<_> = page.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(sources, ["/docs/viewer.js"]);
    assert!(!page.contains("//cdn") && !page.contains("http"), "{page}");
    assert!(house.call("GET /docs/viewer.js", &[], "").await.text.len() > 500_000);
    house.running.shutdown().await;
}
