//! The edge proof: Schemathesis holds the real binary against its own description, with requests that the document allows and
//! that it forbids, until enough were sent. No answer may be a 5xx, none may differ from the document, and nothing that it forbids
//! may be taken. The two streams of events are left out: they have no end to wait for.
//!
//! `deploy/contract` installs the tool and calls this with few cases; a long run is `prove edge` itself. Not the fuzz targets:
//! those are ordinary tests.

use super::child::Child;
use super::client::Client;
use super::options::Options as OfTheNode;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Cases of a long run.
const CASES: u64 = 10_000;
const CASES_MAX: u64 = 10_000_000;
/// Generated cases of an operation in one round, beside those that cover its document.
const EXAMPLES: u32 = 100;
/// What is checked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection";
const WITHOUT: &str = "^/v1/events/(stream|socket)$";
/// What Schemathesis calls a 5xx; every other failure differs from the document.
const SERVER_ERROR: &str = "ServerError";
/// Its own word that answers were as described, or were not.
const CODES: [i32; 2] = [0, 1];

/// How to prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Cases that are sent at least.
    pub cases: u64,
    /// Of the first round; each further one has the next.
    pub seed: u32,
    /// Schemathesis; where `deploy/contract` keeps it when nothing is said.
    pub tool: Option<PathBuf>,
    /// Ends with one JSON object on stdout.
    pub json: bool,
}

/// Reads the arguments behind `edge`.
///
/// # Errors
/// A sentence that names what is wrong.
pub(super) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { cases: CASES, seed: rand::random::<u32>() >> 1, tool: None, json: false };
    while let Some(name) = arguments.next() {
        if name == "--json" {
            options.json = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value, or is not known."))?;
        let refused = || format!("`{name} {value}` is not possible.");
        match name.as_str() {
            "--cases" => {
                let cases = value.parse().ok().filter(|n| (1..=CASES_MAX).contains(n));
                options.cases = cases.ok_or_else(refused)?;
            }
            "--seed" => options.seed = value.parse().map_err(|_| refused())?,
            "--tool" => options.tool = Some(value.into()),
            _ => return Err(refused()),
        }
    }
    Ok(options)
}

/// What the rounds came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proof {
    seed: u32,
    rounds: u32,
    operations: u64,
    cases: u64,
    server_errors: u64,
    violations: u64,
    /// What could not be asked, and rounds that broke off.
    errors: u64,
    failures: Vec<Value>,
    wanted: u64,
}

impl Proof {
    /// Whether enough was asked, and every answer was as described.
    #[must_use]
    pub fn holds(&self) -> bool {
        let bad = self.server_errors + self.violations + self.errors;
        self.cases >= self.wanted && self.operations > 0 && bad == 0
    }

    /// The figures as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "cases": self.cases,
            "failures": self.server_errors + self.violations,
            "server_errors": self.server_errors,
            "schema_violations": self.violations,
            "errors": self.errors,
            "failed": self.failures,
            "operations": self.operations,
            "rounds": self.rounds,
            "seed": self.seed,
            "holds": self.holds(),
        })
    }

    /// Adds a round as Schemathesis tells of it.
    fn add(&mut self, report: &Value) -> Result<()> {
        let count = |of: &str, name: &str| {
            report[of][name].as_u64().with_context(|| format!("Schemathesis' report has no {of}.{name}"))
        };
        self.rounds += 1;
        self.operations = count("operations", "tested")?;
        self.cases += count("test_cases", "generated")?;
        self.errors += count("test_cases", "errored")? + count("operations", "errored")?;
        self.errors += u64::from(report["complete"] != json!(true));
        let failures = report["failures"].as_array().context("Schemathesis' report has no failures")?;
        for failure in failures {
            let times = failure["count"].as_u64().unwrap_or(1);
            let of =
                if failure["type"] == SERVER_ERROR { &mut self.server_errors } else { &mut self.violations };
            *of += times;
            self.failures.push(failure.clone());
        }
        // What failed and is in no list failed all the same.
        let failed = count("test_cases", "with_failures")?;
        if failures.is_empty() {
            self.violations += failed;
        }
        Ok(())
    }
}

/// Runs the proof.
///
/// # Errors
/// The proof could not be made.
pub async fn run(options: &Options) -> Result<Proof> {
    let tool = match &options.tool {
        Some(tool) => tool.clone(),
        None => installed().await?,
    };
    let folder = tempfile::tempdir()?;
    let node = OfTheNode {
        kills: 0,
        seed: options.seed.into(),
        plant: None,
        json: options.json,
        cql: None,
        seconds: 0,
        events: 0,
        reader_only: false,
    };
    let mut child = Child::new(folder.path(), &node)?;
    child.start().await?;
    let operator = Client::new(&child.base(), &child.operator);
    let tenant = operator.post("/v1/tenants", "tenant", &json!({"name": "Contract"})).await?.text("id")?;
    let mut proof = Proof { seed: options.seed, wanted: options.cases, ..Proof::default() };
    while proof.cases < options.cases {
        let seed = options.seed.wrapping_add(proof.rounds);
        eprintln!("edge proof: {} of {} cases, seed {seed}", proof.cases, options.cases);
        let before = proof.cases;
        proof.add(&round(&tool, folder.path(), (&child, &tenant), seed).await?)?;
        if !proof.failures.is_empty() || proof.errors > 0 {
            eprintln!("the server said last: {}", child.last_words());
            break;
        }
        ensure!(proof.cases > before, "a round without a case");
    }
    // Who has answered all that must still end in order.
    child.end().await?;
    Ok(proof)
}

/// One run of Schemathesis; its report.
async fn round(tool: &Path, folder: &Path, (child, tenant): (&Child, &str), seed: u32) -> Result<Value> {
    let report = folder.join("report.json");
    let status = Command::new(tool)
        .arg("run")
        .arg(format!("{}/openapi.json", child.base()))
        .args(["--no-color", "--seed", &seed.to_string(), "--max-examples", &EXAMPLES.to_string()])
        .args(["--exclude-path-regex", WITHOUT, "--checks", CHECKS])
        .args(["-H", &format!("Authorization: Bearer {}", child.operator)])
        .args(["-H", &format!("Kabar-Tenant: {tenant}")])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        .current_dir(folder)
        .stdin(Stdio::null())
        // Standard output ends with this proof's own object.
        .stdout(std::io::stderr())
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| tool.display().to_string())?;
    ensure!(status.code().is_some_and(|code| CODES.contains(&code)), "Schemathesis broke off: {status}");
    let text = std::fs::read_to_string(&report).context("Schemathesis wrote no report")?;
    let told: Value = serde_json::from_str(&text)?;
    std::fs::remove_file(&report)?;
    let failed = told["failures"].as_array().is_some_and(|list| !list.is_empty());
    ensure!(failed || status.success(), "Schemathesis failed without a failure in its report: {text}");
    Ok(told)
}

/// Where `deploy/contract` keeps the tool; installs it when it is not there.
async fn installed() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/contract");
    let told = Command::new(&script)
        .arg("--install")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| script.display().to_string())?;
    ensure!(told.status.success(), "deploy/contract --install: {}", told.status);
    let line = String::from_utf8_lossy(&told.stdout).lines().last().map(str::to_owned);
    line.map(PathBuf::from).filter(|tool| tool.is_file()).context("deploy/contract --install names no file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(generated: u64, with_failures: u64, failures: &Value) -> Value {
        json!({"complete": true, "operations": {"tested": 99, "errored": 0}, "failures": failures,
            "test_cases": {"generated": generated, "with_failures": with_failures, "errored": 0}})
    }

    fn proof() -> Proof {
        Proof { wanted: 100, ..Proof::default() }
    }

    #[test]
    fn answers_as_described_hold_once_enough_was_asked() {
        let mut proof = proof();
        proof.add(&report(60, 0, &json!([]))).unwrap();
        assert!(!proof.holds(), "too few");
        proof.add(&report(60, 0, &json!([]))).unwrap();
        assert!(proof.holds());
        assert_eq!((proof.json()["cases"].as_u64(), proof.json()["failures"].as_u64()), (Some(120), Some(0)));
    }

    #[test]
    fn a_server_error_a_violation_and_a_round_that_broke_off_each_fail() {
        let error = json!([{"type": "ServerError", "count": 2, "operations": ["GET /v1/a"]}]);
        let other = json!([{"type": "JsonSchemaError", "count": 3, "operations": ["GET /v1/a"]}]);
        for (failures, server_errors, violations) in [(error, 2, 0), (other, 0, 3), (json!([]), 0, 5)] {
            let mut proof = proof();
            proof.add(&report(200, 5, &failures)).unwrap();
            assert!(!proof.holds());
            assert_eq!((proof.server_errors, proof.violations), (server_errors, violations));
        }
        let mut broken = report(200, 0, &json!([]));
        broken["complete"] = json!(false);
        let mut told = proof();
        told.add(&broken).unwrap();
        assert!(!told.holds());
        assert!(proof().add(&json!({})).is_err(), "a report of another form is none");
    }
}
