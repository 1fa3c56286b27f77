//! What an operator watches is there: every metric of a running binary stands on the page and every one of the page in
//! the binary, and every name in the alert rules and on the board is one of them.

use super::busy::Busy;
use super::drain::session;
use super::house::template;
use super::killed::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Names and kinds of the families in an exposition.
fn families(exposition: &str) -> BTreeMap<String, String> {
    let lines = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, kind)| (name.into(), kind.into())).collect()
}

/// Rows of the page: name, kind, when it is there.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = read("api/docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `kabar_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), cells[4].to_owned()))
    })
    .collect()
}

/// Every name of ours that a text mentions, without the endings of a histogram.
fn mentioned(text: &str, families: &BTreeMap<String, String>) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let base = |word: &str| {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        let of_histogram = stem.filter(|stem| families.get(*stem).is_some_and(|kind| kind == "histogram"));
        of_histogram.unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("kabar_")).map(base).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_documented_and_every_name_in_alerts_and_board_is_a_metric_of_the_running_binary() {
    let place = tempfile::tempdir().unwrap();
    let busy = Busy::run(&place.path().join("data"), &[], Stdio::null()).await;
    let (status, exposition) = busy.server.text("GET /metrics").await;
    assert_eq!(status, 200);
    busy.kill().await;
    let (shown, documented) = (families(&exposition), documented());
    assert!(shown.len() > 25, "{shown:?}");
    for (name, kind) in &shown {
        let row = documented.get(name);
        assert_eq!(row.map(|(kind, _)| kind), Some(kind), "{name} is not on the page as what it is");
    }
    for (name, (_, there)) in documented.iter().filter(|(_, (_, there))| there == "always") {
        assert!(shown.contains_key(name), "{name} is {there} there, and is not");
    }
    // A message, a campaign and an import were enough for nearly all the others.
    let absent: Vec<_> = documented.keys().filter(|name| !shown.contains_key(*name)).collect();
    let seldom = |name: &str| {
        name.starts_with("kabar_cql")
            || name.starts_with("kabar_actor_")
            || matches!(name, "kabar_leases_held" | "kabar_hold_seconds")
    };
    let wrong: Vec<_> =
        absent.into_iter().filter(|name| !seldom(name) && *name != "kabar_refusals_total").collect();
    assert!(wrong.is_empty(), "documented, and not shown by a busy binary: {wrong:?}");

    for path in ["deploy/prometheus/alerts.yml", "deploy/grafana/kabar.json"] {
        let names = mentioned(&read(path), &shown);
        assert!(names.len() > 10, "{path}: {names:?}");
        for name in names {
            assert!(shown.contains_key(&name), "{path} asks for {name}, which the binary does not show");
        }
    }
    let board: serde_json::Value = serde_json::from_str(&read("deploy/grafana/kabar.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.iter().filter(|p| p["type"] != "row").all(|p| p["targets"][0]["expr"].is_string()));
    // Labels that a rule chooses by exist as well.
    for label in [
        "cause=\"in_flight\"",
        "reason=\"full\"",
        "outcome=\"accepted\"",
        "status=\"202\"",
        "kabar_delivery_attempts_total{outcome=\"delivered\"}",
        "kabar_delivery_attempts_total{outcome=\"again\"}",
    ] {
        assert!(exposition.contains(label), "{label}");
    }
}

/// Names of metrics in the rooms' `metrics.rs`, whether a test makes them appear or not.
fn written(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(&path, found);
        } else if path.ends_with("metrics.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let words = text.split('"').filter(|word| word.starts_with("kabar_") && !word.contains(' '));
            found.extend(words.filter(|word| !word.ends_with('_')).map(str::to_owned));
        }
    }
}

#[test]
fn every_name_that_is_written_is_on_the_page_also_those_that_are_seldom_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    for room in ["engine", "schema", "actors", "api"] {
        written(&root.join(room), &mut found);
    }
    let documented = documented();
    let absent: Vec<_> = found.iter().filter(|name| !documented.contains_key(*name)).collect();
    assert!(found.len() > 30 && absent.is_empty(), "{} names, not on the page: {absent:?}", found.len());
}

/// A counter of a running binary by its name and one label.
async fn counted(server: &Server, name: &str, label: &str) -> u64 {
    let text = server.text("GET /metrics").await.1;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{{label}}} ")));
    line.map_or(0, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_to_go_later_is_counted_as_a_wait_and_one_that_nobody_may_have_as_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let bearer = server.tenant().await;
    let session = session(&server, &bearer, "http://127.0.0.1:9").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let tomorrow = kabar_engine::time::Timestamp(i64::try_from(now).unwrap() + 86_400_000);
    let mut later = template(&session, "6281234567890");
    later["options"] = serde_json::json!({"send_at": tomorrow.to_rfc3339(), "valid_for_seconds": 600});
    let text = serde_json::json!({"session": session, "to": "6281234567899", "text": {"body": "x"}});
    let (wait, refusal) = ("cause=\"start\"", "reason=\"window_closed\"");
    assert_eq!(counted(&server, "kabar_waits_total", wait).await, 0);
    for (body, status) in [(later, 202), (text, 422)] {
        let headers = [("authorization", bearer.as_str())];
        let answer = server.call("POST /v1/messages", &headers, body.to_string()).await;
        assert_eq!(answer.0, status, "{}", answer.1);
    }
    assert_eq!(counted(&server, "kabar_waits_total", wait).await, 1);
    assert_eq!(counted(&server, "kabar_refusals_total", refusal).await, 1);
    server.end().await;
}
