//! Two public SDKs for the Cloud API, from their registries and unmodified: what a bot written with them does at Meta works
//! here with another base URL and a key as the token.

use super::house::{House, Tenant, sandbox};
use super::package::installed;
use kabar_sandbox::Sandbox;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What every bot sends, and what the people's phones got of it.
const SENT: [&str; 7] = ["text", "image by id", "image by link", "template", "buttons", "list", "reaction"];

fn folder(of: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sdk").join(of)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}

/// Runs a bot to its end.
async fn ran(program: &Path, script: &Path, (tenant, sandbox): (&Tenant<'_>, &Sandbox), url: &str) {
    let config = sandbox.config();
    let ran = Command::new(program)
        .arg(script)
        .env("KABAR_URL", url)
        .env("KABAR_KEY", &tenant.key)
        .env("PHONE_NUMBER_ID", &config.numbers[0].phone_number_id)
        .env("SANDBOX_URL", sandbox.base_url())
        .env("CONTROL_TOKEN", &config.control_token)
        .env("LINK", "https://cdn.example/picture.jpg")
        .output();
    let ran = ran.await.unwrap_or_else(|error| panic!("{} is needed: {error}", program.display()));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}: {out}{err}", script.display());
    let told =
        out.lines().find_map(|line| line.strip_prefix("done ")).unwrap_or_else(|| panic!("{out}{err}"));
    let told: serde_json::Value = serde_json::from_str(told).unwrap();
    for what in SENT {
        assert!(told[what].as_str().is_some_and(|id| id.starts_with("wamid.")), "{what}: {told}");
    }
    println!("{}: {} kinds sent and delivered", script.display(), SENT.len());
}

#[tokio::test]
async fn bots_written_with_public_sdks_work_with_another_base_url_and_token() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let sandbox = sandbox().await;
    let tenant = house.tenant("Toko Ana").await;
    tenant.link(&sandbox).await;
    let (python, npm) = (folder("python"), folder("npm"));
    let pip: &[&str] = &["bin/pip", "install", "--quiet", "--disable-pip-version-check", "pywa==4.5.0"];
    installed(
        &python,
        "bin/pywa-4.5.0",
        &[&["python3", "-m", "venv", "."], pip, &["touch", "bin/pywa-4.5.0"]],
    )
    .await;
    let kapso = "@kapso/whatsapp-cloud-api@0.3.0";
    let add: &[&str] = &["npm", "install", "--silent", "--no-save", "--prefix", ".", kapso];
    installed(&npm, "node_modules/@kapso/whatsapp-cloud-api", &[add]).await;
    // A module finds its packages from where it lies.
    let client = npm.join("client.mjs");
    std::fs::copy(script("client.mjs"), &client).unwrap();
    let url = house.running.url();
    ran(&python.join("bin/python"), &script("client.py"), (&tenant, &sandbox), &url).await;
    ran(Path::new("node"), &client, (&tenant, &sandbox), &url).await;
    // Every kind reached the phones as the bots meant it.
    let kinds: Vec<_> = sandbox.ledger().into_iter().map(|row| row.kind).collect();
    for (kind, count) in [("text", 2), ("image", 4), ("template", 2), ("interactive", 4), ("reaction", 2)] {
        assert_eq!(kinds.iter().filter(|is| *is == kind).count(), count, "{kind}: {kinds:?}");
    }
    house.running.shutdown().await;
}
