//! What stands under `deploy/` says nothing of the binary that is not so: its settings are settings, its ports and
//! paths are the server's, it leaves the server the time it was promised, and a rule has all that a rule needs.

use super::house::House;
use std::path::Path;
use std::process::Command;

const UNIT: &str = "deploy/systemd/kabar.service";
const IMAGE: &str = "deploy/docker/Dockerfile";
const COMPOSE: &str = "deploy/compose/kabar.yaml";
const RULES: &str = "deploy/prometheus/alerts.yml";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The value behind a word that begins a line.
fn value<'t>(text: &'t str, word: &str) -> &'t str {
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word}")).trim()
}

/// Settings a file gives: `KABAR__A__B=value` or `KABAR__A__B: value`, comments left out.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split("KABAR__").skip(1));
    words
        .map(|rest| {
            let (name, value) = rest.split_once(['=', ':']).unwrap();
            let value = value.split_whitespace().next().unwrap();
            (format!("KABAR__{name}"), value.to_owned())
        })
        .collect()
}

fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap()
}

#[test]
fn every_setting_under_deploy_is_one_of_the_binarys() {
    let folder = tempfile::tempdir().unwrap();
    let check = |settings: &[(String, String)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
        command.arg("check-config").envs(settings.iter().cloned());
        command.env("KABAR__STORE__FOLDER", folder.path()).output().unwrap()
    };
    for path in [UNIT, IMAGE, COMPOSE] {
        let settings = settings(&read(path));
        assert!(!settings.is_empty(), "{path} sets nothing");
        let checked = check(&settings);
        assert!(checked.status.success(), "{path}: {}", String::from_utf8_lossy(&checked.stderr));
        // A setting of the same form that is none is seen.
        let wrong = [settings, vec![("KABAR__SERVER__LISTENS".to_owned(), "x".to_owned())]].concat();
        assert_eq!(check(&wrong).status.code(), Some(2));
    }
}

#[tokio::test]
async fn unit_image_and_compose_start_ask_and_end_the_server_as_it_is() {
    let (unit, image, compose) = (read(UNIT), read(IMAGE), read(COMPOSE));
    assert_eq!(value(&unit, "ExecStart="), "/usr/local/bin/kabar serve");
    assert!(image.contains(" /usr/local/bin/kabar\n") && value(&image, "CMD [\"serve") == "\"]");
    // SIGTERM, and more than the 10 s it is promised to take.
    assert_eq!((value(&unit, "KillSignal="), value(&image, "STOPSIGNAL ")), ("SIGTERM", "SIGTERM"));
    assert!(
        seconds(value(&unit, "TimeoutStopSec=")) > 10 && seconds(value(&compose, "stop_grace_period:")) > 10
    );
    // Neither wrong usage nor a failing disk is mended by another start; 74 is the journal's own.
    assert_eq!(value(&unit, "RestartPreventExitStatus="), "2 74");
    let house = House::open().await;
    let asked = image.split("http://127.0.0.1:8080").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(house.call(&format!("GET {asked}"), &[], "").await.status, 200, "{asked}");
    house.running.shutdown().await;
    let port = value(&image, "EXPOSE ");
    let listen = settings(&image).into_iter().find(|(name, _)| name == "KABAR__SERVER__LISTEN").unwrap().1;
    assert_eq!(listen, format!("0.0.0.0:{port}"));
    assert!(
        compose.contains(&format!(":{port}\"")) && compose.contains("dockerfile: deploy/docker/Dockerfile")
    );
    let scraped = read("deploy/prometheus/prometheus.yml");
    assert!(scraped.contains(&format!("kabar:{port}")) && scraped.contains("- alerts.yml"));
    let job = value(&scraped, "- job_name:");
    assert!(read(RULES).contains(&format!("up{{job=\"{job}\"}}")));
}

/// What stands between the operators of a sum or a ratio; brackets keep their own to themselves.
fn operands(expression: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_i32);
    for word in expression.split(' ') {
        if depth == 0 && ["+", "-", "*", "/", "and", "or", "unless"].contains(&word) {
            parts.push(String::new());
            continue;
        }
        let part = parts.last_mut().unwrap();
        part.push_str(word);
        part.push(' ');
        let count = |of: [char; 2]| word.chars().filter(|c| of.contains(c)).count() as i32;
        depth += count(['(', '{']) - count([')', '}']);
    }
    parts
}

/// A series is combined with one of the same labels: one side summed and the other not never meet, and such a rule is
/// silent for ever.
#[test]
fn both_sides_of_an_alert_rules_operator_are_summed_or_neither_is() {
    let text = read(RULES);
    let mut combined = 0;
    for rule in text.split("- alert: ").skip(1) {
        let expression = value(rule, "expr:");
        let compared = [" > ", " == ", " < "].iter().find_map(|sign| expression.rsplit_once(sign));
        let (left, right) = compared.unwrap();
        assert!(right.parse::<f64>().is_ok(), "{expression} is compared with no number");
        let parts = operands(left);
        let summed = parts.iter().filter(|part| part.starts_with("sum(")).count();
        assert!(summed == 0 || summed == parts.len(), "{expression}");
        combined += usize::from(parts.len() > 1);
    }
    assert!(combined > 3, "{combined}");
}

#[test]
fn every_alert_rule_is_whole() {
    let text = read(RULES);
    let rules: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 10);
    let mut names = std::collections::BTreeSet::new();
    for rule in rules {
        let name = rule.lines().next().unwrap();
        assert!(names.insert(name) && name.starts_with("Kabar"), "{name} stands twice, or is not ours");
        let expression = value(rule, "expr:");
        let balance = |open: char, close: char| {
            let depth = expression.chars().try_fold(0_i32, |depth, c| {
                let depth = depth + i32::from(c == open) - i32::from(c == close);
                (depth >= 0).then_some(depth)
            });
            depth == Some(0)
        };
        assert!(balance('(', ')') && balance('[', ']') && balance('{', '}'), "{name}: {expression}");
        assert!(
            [" > ", " == ", " < "].iter().any(|sign| expression.contains(sign)),
            "{name} compares nothing"
        );
        let severity = value(rule, "labels: {severity:").trim_end_matches('}').trim();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        for part in ["summary:", "action:"] {
            assert!(value(rule, part).ends_with('.'), "{name}: {part}");
        }
    }
}
