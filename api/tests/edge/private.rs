//! What must stay private does: a stolen folder shows nothing without its key, and the log tells of everybody by id
//! alone. The real binary, everything marked, every file read.

use super::busy::{Busy, PERSON, SECRETS};
use super::house::OPERATOR;
use super::killed::Server;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all
}

fn holds(bytes: &[u8], mark: &str) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_folder_without_its_key_shows_no_body_no_variable_and_no_secret() {
    let place = tempfile::tempdir().unwrap();
    let (folder, key_file) = (place.path().join("data"), place.path().join("elsewhere.key"));
    let more = [("KABAR__STORE__MASTER_KEY_FILE", key_file.to_str().unwrap())];
    let busy = Busy::run(&folder, &more, Stdio::null()).await;
    let secrets = [vec![busy.key.clone(), OPERATOR.to_owned()], busy.signing.clone()].concat();
    // As it stands in the middle of work, with everything that was not yet tidied up.
    busy.kill().await;
    let files = files(&folder);
    let names: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    for kind in ["views.db", "records.db", "-wal", "journal/", "media/"] {
        assert!(names.iter().any(|name| name.contains(kind)), "no {kind} among {names:?}");
    }
    let whole: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(whole > 100_000, "only {whole} bytes were written");
    for mark in SECRETS.iter().copied().chain(secrets.iter().map(String::as_str)) {
        for (path, bytes) in &files {
            assert!(!holds(bytes, mark), "{mark} stands in {}", path.display());
        }
    }
    // What may be read is found, so the search sees: an address is a key and stays readable.
    assert!(files.iter().any(|(_, bytes)| holds(bytes, PERSON)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_of_everybody_by_id_and_of_nobody_by_number_or_word() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("stderr");
    let said = std::fs::File::create(&log).unwrap();
    let more = [("KABAR__LOG__FILTER", "debug")];
    let busy = Busy::run(&place.path().join("data"), &more, said.into()).await;
    let (message, webhook) = (busy.message.clone(), busy.webhook.clone());
    let secrets = [vec![busy.key.clone(), OPERATOR.to_owned()], busy.signing.clone()].concat();
    let (_, metrics) = busy.server.text("GET /metrics").await;
    busy.kill().await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains(" DEBUG "), "it was not at debug level: {log}");
    let national = &PERSON[2..];
    let numbers = [PERSON, national, "8127700334", "8127700550", "6281277005"];
    for text in [&log, &metrics] {
        let secrets = secrets.iter().map(String::as_str);
        for mark in SECRETS.iter().copied().chain(secrets).chain(numbers) {
            let line = text.lines().find(|line| line.contains(mark));
            assert!(line.is_none(), "{mark} stands in: {}", line.unwrap_or_default());
        }
    }
    // It is of use all the same: requests with their names, messages with their ids.
    assert!(log.lines().any(|line| line.contains("trace_id")), "no request is named");
    assert!(log.contains(&message), "the message is not named");
    assert!(log.contains(&webhook), "the subscription is not named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_key_lies_beside_the_master_key_and_never_alone_in_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let (folder, keys) = (place.path().join("data"), place.path().join("keys"));
    std::fs::create_dir(&keys).unwrap();
    let file = keys.join("master.key");
    let more = [("KABAR__AUTH__OPERATOR_KEY", ""), ("KABAR__STORE__MASTER_KEY_FILE", file.to_str().unwrap())];
    let opens = async |server: &Server, key: &str| {
        let bearer = format!("Bearer {key}");
        let (status, told) = server.call("GET /v1/tenants", &[("authorization", &bearer)], "").await;
        assert_eq!(status, 200, "{told}");
    };
    let server = Server::with(&folder, &more, Stdio::null()).await;
    let key = std::fs::read_to_string(keys.join("operator.key")).unwrap().trim().to_owned();
    opens(&server, &key).await;
    server.end().await;
    let alone = |key: &str| {
        for (path, bytes) in files(&folder) {
            assert!(!holds(&bytes, key), "it stands in {}", path.display());
        }
    };
    alone(&key);
    // One that an earlier version left in the folder is good still, and is taken out of it.
    std::fs::rename(keys.join("operator.key"), folder.join("operator.key")).unwrap();
    let server = Server::with(&folder, &more, Stdio::null()).await;
    opens(&server, &key).await;
    server.end().await;
    alone(&key);
    // Without a file of the master key there is no such place: it has to be said.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kabar"));
    let master = std::fs::read_to_string(&file).unwrap();
    command.arg("serve").env("KABAR__STORE__FOLDER", place.path().join("other"));
    command.env("KABAR__STORE__MASTER_KEY", master.trim()).env("KABAR__SERVER__LISTEN", "127.0.0.1:0");
    let refused = command.output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && words.contains("auth.operator_key_file"), "{words}");
}
