//! The README's first campaign by curl: its blocks are run one after the other in one bash, as a new user runs them,
//! against the real binary on free ports; what it comes to is what the README shows.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// What stands between the fences of one language, block by block.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let inside = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    inside.map(str::to_owned).collect()
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn the_first_campaign_by_curl_goes_as_the_readme_says_within_three_minutes() {
    let readme = include_str!("../../../README.md");
    let tour = readme.split("<!-- tour -->").nth(1).unwrap().split("<!-- /tour -->").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("api")).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    std::os::unix::fs::symlink(data, folder.path().join("api/data")).unwrap();
    // What a failed block has started ends with it.
    let begin = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n";
    let script = format!("{begin}{}", blocks(tour, "sh").concat());
    let (listen, phones) = (free_address(), free_address());
    let begun = Instant::now();
    let ran = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("KABAR", env!("CARGO_BIN_EXE_kabar"))
        .env("KABAR_URL", format!("http://{listen}"))
        .env("KABAR__SERVER__LISTEN", &listen)
        .env("PHONES", &phones)
        .kill_on_drop(true)
        .output();
    let ran =
        tokio::time::timeout(Duration::from_secs(180), ran).await.expect("under three minutes").unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "after {:?}: {out}\n{err}", begun.elapsed());
    // Every line shown stands in the output; how many failed is drawn anew each time.
    let drawn = |line: &&str| !line.starts_with("\"sent\"") && !line.starts_with("\"failed\"");
    for block in blocks(tour, "text") {
        for line in block.lines().filter(drawn) {
            assert!(out.contains(line), "the README shows {line}: {out}");
        }
    }
    let count = |field: &str| -> u64 {
        let line = out.lines().rfind(|line| line.starts_with(&format!("\"{field}\":"))).unwrap();
        line.split(':').nth(1).unwrap().trim().parse().unwrap()
    };
    assert_eq!(count("sent") + count("failed"), count("recipients"), "{out}");
    assert!(out.contains("\"valid\":8931,") && out.contains("8932"), "{out}");
}
