//! The command line's verbs against a running server, as a person types them.

use super::house::{House, OPERATOR, sandbox, template};
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn kabar(house: &House, key: &str, line: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    let ran = command
        .args(line)
        .env("KABAR_URL", house.running.url())
        .env("KABAR_KEY", key)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
}

#[tokio::test]
async fn a_person_makes_a_tenant_imports_people_and_sends_from_the_command_line() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let made = kabar(&house, OPERATOR, &["tenant", "create", "Toko Ana", "--json"]).await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(serde_json::from_str::<Value>(&made.out).unwrap()["id"].as_str().unwrap().starts_with("ten_"));
    let listed = kabar(&house, OPERATOR, &["tenant", "list"]).await.out;
    assert!(listed.starts_with("ID ") && listed.contains("Toko Ana"), "{listed}");

    let tenant = house.tenant("Toko Budi").await;
    let session = tenant.link(&sandbox).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "name,phone\nAna,081234567890\nBudi,081234567891\n").unwrap();
    let imported = kabar(
        &house,
        &tenant.key,
        &["contact", "import", file.to_str().unwrap(), "--region", "ID", "--json"],
    )
    .await;
    let imported: Value = serde_json::from_str(&imported.out).unwrap();
    assert_eq!(imported["imported"], 2);
    assert!(kabar(&house, &tenant.key, &["contact", "list"]).await.out.contains("+6281234567891"));

    let line = ["send", "--session", &session, "--to", "+6281234567890", "--template", "halo", "--json"];
    let sent: Value = serde_json::from_str(&kabar(&house, &tenant.key, &line).await.out).unwrap();
    let path = format!("/v1/messages/{}", sent["id"].as_str().unwrap());
    assert_eq!(tenant.get(&path).await.json()["message"]["template"]["name"], "halo");

    let body = serde_json::json!({"name": "Promo", "senders": [session], "audience": {"list": imported["id"]}, "message": {
        "type": "template", "template": {"name": "halo", "language": {"code": "id"}}}});
    let file = folder.path().join("campaign.json");
    std::fs::write(&file, body.to_string()).unwrap();
    let draft = kabar(&house, &tenant.key, &["campaign", "create", file.to_str().unwrap(), "--json"]).await;
    let draft: Value = serde_json::from_str(&draft.out).unwrap();
    let id = draft["id"].as_str().unwrap();
    let launched = kabar(&house, &tenant.key, &["campaign", "launch", id]).await;
    assert!(launched.code == Some(0) && launched.out.contains("totals.recipients"), "{}", launched.out);
    tenant.until(&format!("/v1/campaigns/{id}"), |c| c["state"] == "finished").await;
    let rows = kabar(&house, &tenant.key, &["campaign", "recipients", id]).await.out;
    assert!(rows.contains("+6281234567891") && rows.starts_with("TO "), "{rows}");
    let file = kabar(&house, &tenant.key, &["campaign", "export", id]).await.out;
    assert_eq!(file.lines().count(), 3, "{file}");
    let clone = kabar(&house, &tenant.key, &["campaign", "clone", id, "--name", "Twice", "--json"]).await.out;
    let clone: Value = serde_json::from_str(&clone).unwrap();
    let report =
        kabar(&house, &tenant.key, &["campaign", "preflight", clone["id"].as_str().unwrap()]).await.out;
    assert!(report.contains("expected_finish") && report.contains("valid"), "{report}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_person_checks_a_number_and_keeps_its_templates_at_meta() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("Toko").await;
    let session = tenant.link(&sandbox).await;
    let checked = kabar(&house, &tenant.key, &["session", "check", &session]).await;
    assert!(checked.code == Some(0) && checked.out.contains("Kabar Sandbox"), "{}", checked.err);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.json").display().to_string();
    let body = serde_json::json!({"name": "hello", "language": "id", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Halo."}]});
    std::fs::write(&file, body.to_string()).unwrap();
    let made = kabar(&house, &tenant.key, &["provider-template", "create", &session, &file, "--json"]).await;
    let made: Value = serde_json::from_str(&made.out).unwrap();
    let id = made["id"].as_str().unwrap();
    let listed = kabar(&house, &tenant.key, &["provider-template", "list", &session, "--refresh"]).await.out;
    assert!(listed.starts_with("ID ") && listed.contains(id) && listed.contains("hello"), "{listed}");
    let shown =
        kabar(&house, &tenant.key, &["provider-template", "show", &session, id, "--refresh"]).await.out;
    assert!(shown.contains("hello"), "{shown}");
    let gone = kabar(&house, &tenant.key, &["provider-template", "delete", &session, id]).await;
    assert_eq!((gone.code, gone.out.as_str()), (Some(0), ""), "{}", gone.err);
    let wrong = kabar(&house, &tenant.key, &["provider-template", "show", &session, "12345"]).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
    std::fs::write(&file, r#"{"name": "Orders"}"#).unwrap();
    let changed = kabar(&house, &tenant.key, &["session", "change", &session, &file]).await;
    assert!(changed.code == Some(0) && changed.out.contains("Orders"), "{}", changed.err);
    let removed = kabar(&house, &tenant.key, &["session", "remove", &session]).await;
    assert!(removed.code == Some(0) && removed.out.contains("ended_messages"), "{}", removed.err);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_person_keeps_a_file_and_gets_it_back() {
    let house = House::open().await;
    let tenant = house.tenant("Toko Ana").await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("halo \"x\".txt"), folder.path().join("back.txt"));
    std::fs::write(&from, "Halo, dunia\n".repeat(20_000)).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let kept = kabar(&house, &tenant.key, &["media", "put", from, "--kind", "document", "--json"]).await;
    let kept: Value = serde_json::from_str(&kept.out).unwrap_or_else(|_| panic!("{}", kept.err));
    assert_eq!((&kept["kind"], &kept["filename"]), (&"document".into(), &"halo _x_.txt".into()));
    let id = kept["id"].as_str().unwrap();
    assert!(kabar(&house, &tenant.key, &["media", "list"]).await.out.contains(id));
    assert!(kabar(&house, &tenant.key, &["media", "show", id]).await.out.contains("text/plain"));
    assert_eq!(kabar(&house, &tenant.key, &["media", "get", id, "--out", to]).await.code, Some(0));
    assert_eq!(std::fs::read(from).unwrap(), std::fs::read(to).unwrap());
    let refused = kabar(&house, &tenant.key, &["media", "put", from, "--kind", "image"]).await;
    assert!(refused.code == Some(2) && refused.err.contains("image/jpeg, image/png"), "{}", refused.err);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_person_stores_a_message_and_sees_what_somebody_would_get() {
    let house = House::open().await;
    let tenant = house.tenant("Toko Ana").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let body = serde_json::json!({"name": "Ready", "message": {"type": "text", "text": {"body": "{{name}}: {{order}}"}}});
    std::fs::write(&file, body.to_string()).unwrap();
    let made = kabar(&house, &tenant.key, &["template", "create", file.to_str().unwrap(), "--json"]).await;
    let made: Value = serde_json::from_str(&made.out).unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(kabar(&house, &tenant.key, &["template", "list"]).await.out.contains("Ready"));
    let shown = kabar(&house, &tenant.key, &["template", "show", id, "--json"]).await.out;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), made);
    let line = ["template", "preview", id, "--value", "name=Ana", "--value", "order=A=1", "--json"];
    let seen: Value = serde_json::from_str(&kabar(&house, &tenant.key, &line).await.out).unwrap();
    assert_eq!(seen["rendered"]["text"]["body"], "Ana: A=1");
    let wrong = kabar(&house, &tenant.key, &["template", "preview", id, "--value", "name"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("NAME=VALUE"), "{}", wrong.err);
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_the_caller_can_mend_ends_with_two_and_an_absent_server_with_one() {
    let house = House::open().await;
    let refused = kabar(&house, "kbr_nobody", &["session", "list"]).await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("not known here"), "{}", refused.err);
    let mut gone = Command::new(env!("CARGO_BIN_EXE_kabar"));
    let gone =
        gone.args(["session", "list", "--url", "http://127.0.0.1:9", "--key", "k"]).output().await.unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let script = kabar(&house, "k", &["completions", "bash"]).await;
    assert!(script.code == Some(0) && script.out.contains("campaign"));
    house.running.shutdown().await;
}

#[tokio::test]
async fn events_are_printed_to_the_end_and_followed_beyond_it() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let first = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    let shown = kabar(&house, &tenant.key, &["events", "--types", "message.accepted"]).await;
    let lines: Vec<_> = shown.out.lines().collect();
    assert!(shown.code == Some(0) && lines.len() == 2 && lines[0].starts_with("OCCURRED "), "{}", shown.out);
    assert!(lines[1].contains(&first) && lines[1].contains("+6281234567890"), "{}", shown.out);
    let wrong = kabar(&house, &tenant.key, &["events", "--types", "message.lost"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("message.lost"), "{}", wrong.err);

    let mut follower = Command::new(env!("CARGO_BIN_EXE_kabar"))
        .args(["events", "--follow", "--json", "--types", "message.accepted", "--session", &session])
        .env("KABAR_URL", house.running.url())
        .env("KABAR_KEY", &tenant.key)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for expected in [first, String::new()] {
        // The second is sent only after the first was read.
        let sent = match expected.as_str() {
            "" => tenant.call("POST /v1/messages", template(&session, "6281234567891")).await.id(),
            known => known.to_owned(),
        };
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(
            (line["data"]["message"].as_str(), line["version"].as_u64()),
            (Some(sent.as_str()), Some(1))
        );
    }
    follower.kill().await.unwrap();
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_person_looks_at_a_file_before_it_is_imported_and_gets_its_wrong_rows_back() {
    let house = House::open().await;
    let tenant = house.tenant("Toko Budi").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "who,no hp\nAna,081234567890\nBudi,12\n").unwrap();
    let file = file.to_str().unwrap();
    let line = ["contact", "preview", file, "--region", "ID", "--name-column", "who"];
    let shown = kabar(&house, &tenant.key, &line).await;
    assert!(
        shown.out.starts_with("NAME ") && shown.out.contains("you named it"),
        "{}{}",
        shown.out,
        shown.err
    );
    assert!(shown.out.contains("ROW ") && shown.out.contains("+6281234567890"), "{}", shown.out);
    let shown = kabar(&house, &tenant.key, &[&line[..], &["--json"]].concat()).await.out;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["columns"][1]["becomes"], "phone");
    let line =
        ["contact", "import", file, "--region", "ID", "--name-column", "who", "--consent-basis", "opt_in"];
    let imported =
        kabar(&house, &tenant.key, &[&line[..], &["--consent-source", "Shop & form", "--json"]].concat())
            .await;
    let imported: Value = serde_json::from_str(&imported.out).unwrap();
    assert_eq!(
        (&imported["consent_basis"], &imported["consent_source"]),
        (&"opt_in".into(), &"Shop & form".into())
    );
    let errors =
        kabar(&house, &tenant.key, &["contact", "errors", imported["id"].as_str().unwrap()]).await.out;
    assert!(errors.starts_with("who,no hp,kabar_row,kabar_problem\r\nBudi,12,3,"), "{errors}");
    let wrong = kabar(&house, &tenant.key, &["contact", "import", file, "--consent-basis", "perhaps"]).await;
    assert_eq!(wrong.code, Some(2));
    house.running.shutdown().await;
}
