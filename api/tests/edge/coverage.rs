//! Every operation of the description has a test that calls it. The list is read from the sources of these tests, so a
//! new route without one fails here; `api/docs/operations.md` is the list.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// One call in a test: method, path, the test's name.
struct Call {
    method: String,
    path: String,
    test: String,
}

fn calls(source: &str, file: &str) -> Vec<Call> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("/v1/") {
        let before = &source[..at];
        let path: String =
            source[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_-/{}.".contains(*c)).collect();
        let opening = before.rfind('"').map_or("", |quote| &before[quote + 1..]);
        // A bare address is what a test reads.
        let method = if opening.trim().is_empty() { "GET" } else { opening.trim() };
        let test = before.rfind("async fn ").map(|begin| &before[begin + 9..]);
        let test = test.and_then(|rest| rest.split(['(', '<']).next()).unwrap_or_default();
        // What stands outside of every function is a table of addresses, not a call.
        if test.is_empty() {
            continue;
        }
        found.push(Call { method: method.to_owned(), path, test: format!("{file}::{test}") });
    }
    found
}

/// Whether a path as a test writes it is one of this address.
fn fits(address: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (address.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

#[test]
fn every_operation_of_the_description_is_called_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = Vec::new();
    for file in std::fs::read_dir(root.join("tests/edge")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "coverage" {
            seen.extend(calls(&std::fs::read_to_string(path).unwrap(), &name));
        }
    }
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let mut lines = BTreeMap::new();
    for (address, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let upper = method.to_uppercase();
            let by: BTreeSet<_> = seen
                .iter()
                .filter(|c| c.method == upper && fits(address, &c.path))
                .map(|c| &c.test)
                .collect();
            assert!(!by.is_empty(), "no test in api/tests/edge calls {upper} {address}");
            let name = operation["operationId"].as_str().unwrap();
            let tests: Vec<_> = by.iter().take(3).map(|test| format!("`{test}`")).collect();
            lines.insert(
                (address.clone(), upper.clone()),
                format!("| `{upper} {address}` | {name} | {} |", tests.join(", ")),
            );
        }
    }
    let mut page = String::from(
        "# Operations\n\nEvery operation of the API and tests that call it; written from both, a test fails when it differs.\n\n\
         | operation | name | tests |\n|---|---|---|\n",
    );
    for line in lines.values() {
        writeln!(page, "{line}").unwrap();
    }
    let file = root.join("docs/operations.md");
    if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(committed == page, "api/docs/operations.md is old: run this test with KABAR_WRITE_PAGES=1");
}
