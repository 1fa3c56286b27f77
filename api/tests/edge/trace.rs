//! The same id everywhere: a message sent through a real server is found under its id in the log, in the spans a
//! receiver of OTLP gets, and in the list of its steps; and no number nor body goes with it.

use super::house::{OPERATOR, sandbox, template};
use super::killed::Server;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// The one person who is written to, and what stands in the message.
const PERSON: &str = "6281234567890";
const BODY: &str = "resi-barang-778899";
const DEADLINE: Duration = Duration::from_secs(30);

/// What a receiver of spans got.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

async fn take(State(got): State<Receiver>, body: Bytes) -> Bytes {
    got.0.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    Bytes::new()
}

impl Receiver {
    async fn open() -> (Self, String) {
        let got = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/traces", post(take)).with_state(got.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (got, url)
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.0.lock().unwrap();
        let scopes = got.iter().flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Waits until the spans are as wanted.
    async fn until(&self, wanted: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut turn = tokio::time::interval(Duration::from_millis(20));
        let begin = std::time::Instant::now();
        loop {
            turn.tick().await;
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(begin.elapsed() < DEADLINE, "waited in vain: {names:?}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn said<'s>(span: &'s Span, name: &str) -> Option<&'s str> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        StringValue(text) => Some(text),
        _ => None,
    }
}

/// A tenant of the server with a number on the sandbox; the headers of the operator in its name.
async fn linked(server: &Server, sandbox: &kabar_sandbox::Sandbox) -> (Vec<(&'static str, String)>, String) {
    let operator = format!("Bearer {OPERATOR}");
    let (_, made) =
        server.call("POST /v1/tenants", &[("authorization", &operator)], r#"{"name":"Toko"}"#).await;
    let owned = vec![("authorization", operator), ("kabar-tenant", made["id"].as_str().unwrap().to_owned())];
    let headers: Vec<_> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = sandbox.config();
    let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token}).to_string();
    let (_, app) = server.call("POST /v1/apps", &headers, app).await;
    let number = &config.numbers[0];
    let session = json!({
        "name": "test", "app": app["id"], "phone_number_id": number.phone_number_id,
        "display_phone_number": number.display_phone_number, "access_token": config.access_tokens[0],
        "messages_per_second": number.messages_per_second, "base_url": sandbox.base_url(),
    });
    let (_, session) = server.call("POST /v1/sessions", &headers, session.to_string()).await;
    let webhook = format!("http://{}{}", server.at, app["webhook_path"].as_str().unwrap());
    sandbox.set_webhook(&webhook).await.unwrap();
    (owned, session["id"].as_str().unwrap().to_owned())
}

fn message(session: &str) -> String {
    let mut message = template(session, PERSON);
    message["template"]["components"] =
        json!([{"type": "body", "parameters": [{"type": "text", "text": BODY}]}]);
    message.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_found_by_one_id_in_the_log_the_spans_and_its_steps_and_nobodys_number_is() {
    let (receiver, url) = Receiver::open().await;
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    let more = [
        ("KABAR__TELEMETRY__OTLP_ENDPOINT", url.as_str()),
        ("KABAR__TELEMETRY__SERVICE_NAME", "kabar-under-test"),
        ("KABAR__LOG__FORMAT", "json"),
        ("KABAR__LOG__FILTER", "info,kabar::message=debug,kabar_api=debug"),
    ];
    let mut server = Server::with(folder.path(), &more, Stdio::piped()).await;
    let mut stderr = server.child.stderr.take().unwrap();
    let (owned, session) = linked(&server, &sandbox).await;
    let mut headers: Vec<_> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    let (status, sent) = server.call("POST /v1/messages", &headers, message(&session)).await;
    assert_eq!(status, 202, "{sent}");
    let id = sent["id"].as_str().unwrap();
    // A refusal has no id: it is found by the trace alone.
    let refused = message(&session).replace(PERSON, "0812");
    let (status, refused) = server.call("POST /v1/messages", &headers, refused).await;
    assert_eq!(
        (status, &refused["trace_id"]),
        (422, &json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        "{refused}"
    );
    let own = |span: &&Span| said(span, "message_id") == Some(id);
    let names =
        |spans: &[Span]| -> Vec<String> { spans.iter().filter(own).map(|s| s.name.clone()).collect() };
    let all = |spans: &[Span]| {
        let names = names(spans);
        let has = |name: &str| names.iter().any(|n| n == name);
        ["accept", "claim", "call", "status"].into_iter().all(has)
            && spans.iter().any(|s| said(s, "route") == Some("/v1/messages"))
    };
    let spans = receiver.until(all).await;
    let (_, why) = server.call(&format!("GET /v1/messages/{id}/why"), &headers[..2], "").await;
    // One trace, which the message's steps name; the request's trace is its caller's, and the message points there.
    for span in spans.iter().filter(own) {
        assert_eq!(hex(&span.trace_id), why["trace_id"].as_str().unwrap(), "{span:?}");
    }
    let of = |name: &str| spans.iter().filter(own).find(|span| span.name == name).unwrap();
    let (accept, call) = (of("accept"), of("call"));
    assert_eq!(call.parent_span_id, accept.span_id);
    assert!(call.end_time_unix_nano > call.start_time_unix_nano && said(call, "outcome") == Some("accepted"));
    let request = spans.iter().find(|span| said(span, "route") == Some("/v1/messages")).unwrap();
    assert_eq!(hex(&request.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    let link = &accept.links[0];
    assert_eq!((&link.trace_id, &link.span_id), (&request.trace_id, &request.span_id));
    // The log: one line of the acceptance has the message and the request's trace, and the refusal its trace.
    sandbox.stop().await;
    server.end().await;
    let mut log = String::new();
    stderr.read_to_string(&mut log).await.unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| {
        lines.iter().find(|line| line["fields"]["message"] == name).unwrap_or_else(|| panic!("{name}: {log}"))
    };
    let accepted = of("accepted");
    assert_eq!(accepted["fields"]["message_id"], id);
    assert_eq!(accepted["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{accepted}");
    assert_eq!(of("request refused")["fields"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    for name in ["claimed", "called", "status"] {
        assert_eq!(of(name)["fields"]["message_id"], id, "{name}");
    }
    assert_eq!(why["id"], id);
    // Ids only.
    let got = format!("{:?}", receiver.0.lock().unwrap());
    assert!(got.contains("kabar-under-test") && got.contains(id));
    for (place, text) in [("spans", &got), ("log", &log), ("steps", &why.to_string())] {
        assert!(!text.contains(&PERSON[2..]) && !text.contains(BODY), "{place}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_spans_that_does_not_answer_costs_nothing_but_the_spans() {
    let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
    // Taken and never answered: the slowest of receivers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let server =
        Server::with(folder.path(), &[("KABAR__TELEMETRY__OTLP_ENDPOINT", &url)], Stdio::null()).await;
    let (owned, session) = linked(&server, &sandbox).await;
    let headers: Vec<_> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // More than may wait: each message is several spans.
    let row = |nth: usize| template(&session, &format!("628123{nth:07}"));
    for turn in 0..5 {
        let rows = json!({"messages": (0..1_000).map(|nth| row(turn * 1_000 + nth)).collect::<Vec<_>>()});
        let (status, batch) = server.call("POST /v1/messages/batch", &headers, rows.to_string()).await;
        assert_eq!((status, &batch["accepted"]), (200, &json!(1_000)));
    }
    let count = |text: &str, outcome: &str| -> u64 {
        let name = format!("kabar_telemetry_spans_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    let (_, metrics) = server.text("GET /metrics").await;
    assert!(count(&metrics, "queue_full") > 0 && count(&metrics, "sent") == 0, "{metrics}");
    drop(silent);
    server.end().await;
    sandbox.stop().await;
}
