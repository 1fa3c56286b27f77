//! The command line's verbs against a running server, as a person types them.

use super::house::{House, OPERATOR, sandbox};
use serde_json::Value;
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
