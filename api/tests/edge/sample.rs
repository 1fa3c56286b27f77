//! The samples of `api/docs/samples` are run as a reader would run them: with a real shell, Python and Node, against a
//! server whose session leads to the sandbox.

use super::house::{House, sandbox};
use std::path::Path;
use tokio::process::Command;

#[tokio::test]
async fn the_samples_in_curl_python_and_javascript_send_a_message() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("Toko Ana").await;
    let session = tenant.link(&sandbox).await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples");
    for (program, file) in [("bash", "send.sh"), ("python3", "send.py"), ("node", "send.mjs")] {
        let ran = Command::new(program)
            .arg(samples.join(file))
            .env("KABAR_URL", house.running.url())
            .env("KABAR_KEY", &tenant.key)
            .env("KABAR_SESSION", &session)
            .output();
        let ran = ran.await.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{file}: {out}{err}");
        let id = out.trim().strip_prefix("sent ").unwrap_or_else(|| panic!("{file}: {out}{err}"));
        let read = tenant.get(&format!("/v1/messages/{id}")).await.json();
        assert!(["sent", "delivered", "read"].contains(&read["status"].as_str().unwrap()), "{file}: {read}");
    }
    house.running.shutdown().await;
}
