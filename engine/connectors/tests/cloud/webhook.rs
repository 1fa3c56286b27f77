//! Webhooks of the sandbox, signed and escaped as Meta does: received over HTTP, verified and parsed.

use super::send::{api, config, message, sandbox};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kabar_connectors::Connector;
use kabar_connectors::cloud::{Change, InboundMessage, InboundStatus, challenge, parse, verify};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::status::Status;
use kabar_sandbox::{Behaviour, Escape, Inbound, Sandbox, StatusOrder, UserIds};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);

/// Receives as Kabar's edge would; what was verified and parsed waits here.
struct Receiver {
    url: String,
    changes: mpsc::UnboundedReceiver<Change>,
    statuses: VecDeque<InboundStatus>,
    messages: VecDeque<InboundMessage>,
}

impl Receiver {
    async fn start(secret: &str, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, changes) = mpsc::unbounded_channel();
        let (secret, token) = (secret.to_owned(), token.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, secret, token) = (tell.clone(), secret.clone(), token.clone());
                let service = hyper::service::service_fn(move |request| {
                    let (tell, secret, token) = (tell.clone(), secret.clone(), token.clone());
                    async move { Ok::<_, Infallible>(answer(request, &secret, &token, &tell).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, changes, statuses: VecDeque::new(), messages: VecDeque::new() }
    }

    async fn more(&mut self) {
        let change =
            tokio::time::timeout(PATIENCE, self.changes.recv()).await.expect("a webhook comes in time");
        match change.expect("the receiver runs") {
            Change::Number(events) => {
                assert_eq!(events.unknown, []);
                self.statuses.extend(events.statuses);
                self.messages.extend(events.messages);
            }
            Change::Unknown { field, raw, .. } => panic!("{field}: {raw}"),
        }
    }

    async fn status(&mut self) -> InboundStatus {
        loop {
            match self.statuses.pop_front() {
                Some(status) => return status,
                None => self.more().await,
            }
        }
    }

    async fn message(&mut self) -> InboundMessage {
        loop {
            match self.messages.pop_front() {
                Some(message) => return message,
                None => self.more().await,
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    secret: &str,
    token: &str,
    tell: &mpsc::UnboundedSender<Change>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let reply = |status: u16, text: String| {
        Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap()
    };
    if head.method == hyper::Method::GET {
        let query = head.uri.query().unwrap_or_default();
        let field =
            |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == name));
        let field = |name| field(name).map(|(_, value)| value);
        let echo = challenge(token, field("hub.mode"), field("hub.verify_token"), field("hub.challenge"));
        return echo.map_or_else(|| reply(403, String::new()), |echo| reply(200, echo));
    }
    let body = body.collect().await.unwrap().to_bytes();
    let header = head.headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    if !verify(&["the next secret", secret], header, &body) {
        return reply(401, String::new());
    }
    for change in parse(&body).unwrap() {
        tell.send(change).unwrap();
    }
    reply(200, String::new())
}

async fn both(behaviour: Behaviour) -> (Sandbox, Receiver) {
    let sandbox = sandbox(behaviour).await;
    let receiver = Receiver::start(&sandbox.config().app_secret, &sandbox.config().verify_token).await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    (sandbox, receiver)
}

#[tokio::test]
async fn the_statuses_of_a_send_come_back_under_its_reference() {
    let (sandbox, mut receiver) = both(Behaviour::default()).await;
    let m = message(1);
    let accepted = api(config(&sandbox)).send(&m).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..3 {
        let status = receiver.status().await;
        assert_eq!(status.reference, Some(m.reference));
        assert_eq!(status.provider_id, accepted.provider_id);
        assert_eq!(status.recipient.as_ref(), Some(&m.to));
        heard.push(status.status);
    }
    heard.sort();
    assert_eq!(heard, [Status::Sent, Status::Delivered, Status::Read]);
}

#[tokio::test]
async fn a_late_failure_has_its_cause() {
    let (sandbox, mut receiver) = both(Behaviour::default()).await;
    let mut m = message(1);
    m.to = Address::phone_digits("9995131049").unwrap();
    api(config(&sandbox)).send(&m).await.unwrap();
    let failed = loop {
        let status = receiver.status().await;
        if status.status == Status::Failed {
            break status;
        }
    };
    assert_eq!((failed.reference, failed.cause), (Some(m.reference), Some(Cause(131_049))));
    assert!(failed.detail.is_some());
}

#[tokio::test]
async fn messages_are_read_however_their_bytes_are_escaped() {
    let text = "Sí, mañana 👍 <a href=\"https://x.example/?a=1&b=2\">100%</a>";
    for escape in [Escape::Unicode, Escape::UnicodeAndSigns, Escape::None] {
        let (sandbox, mut receiver) = both(Behaviour { escape, ..Behaviour::default() }).await;
        let order = Inbound {
            phone_number_id: sandbox.config().numbers[0].phone_number_id.clone(),
            from: "6281234567".into(),
            name: Some("Añá".into()),
            text: Some(text.into()),
            context_id: Some("wamid.Q".into()),
            ..Inbound::default()
        };
        let id = sandbox.inbound(&order).unwrap();
        let message = receiver.message().await;
        assert_eq!(message.content, Content::plain(text));
        assert_eq!((&*message.provider_id, message.name.as_deref()), (id.as_str(), Some("Añá")));
        assert_eq!(message.from, Address::phone_digits("6281234567").unwrap());
        assert!(message.alias.is_some_and(|alias| !alias.is_phone()));
        assert_eq!(message.context.as_deref(), Some("wamid.Q"));
    }
}

#[tokio::test]
async fn a_hidden_number_and_a_foreign_status_are_read() {
    let (sandbox, mut receiver) = both(Behaviour { user_ids: UserIds::UserId, ..Behaviour::default() }).await;
    let phone_number_id = sandbox.config().numbers[0].phone_number_id.clone();
    let order = Inbound {
        phone_number_id: phone_number_id.clone(),
        from: "6281234567".into(),
        text: Some("STOP".into()),
        ..Inbound::default()
    };
    sandbox.inbound(&order).unwrap();
    let message = receiver.message().await;
    assert!(!message.from.is_phone() && message.alias.is_none());

    let order = StatusOrder {
        wamid: Some("wamid.FOREIGN".into()),
        status: "delivered".into(),
        phone_number_id: Some(phone_number_id),
        to: Some("6281234567".into()),
        reference: Some("another system's".into()),
        ..StatusOrder::default()
    };
    sandbox.status(&order).unwrap();
    let status = receiver.status().await;
    assert_eq!((status.reference, &*status.provider_id), (None, "wamid.FOREIGN"));
}
