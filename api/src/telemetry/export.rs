//! The way out: spans in batches to the receiver, as protobuf over the house's own client. A batch that is not taken is
//! counted and gone; nobody waits for it, and nothing is tried again.

use crate::config::Telemetry;
use crate::metrics;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use kabar_actors::{Client, Guard, Limits};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Spans of one batch.
const BATCH: usize = 512;
/// A span waits at most this long for company.
const LINGER: Duration = Duration::from_secs(1);
/// Longest call to the receiver.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is left at the end has this long to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// What will send spans once it is begun.
pub(crate) struct Export {
    config: Telemetry,
    queue: mpsc::Receiver<SpanData>,
}

/// An export that runs.
pub(crate) struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Export {
    pub(super) fn new(config: Telemetry, queue: mpsc::Receiver<SpanData>) -> Self {
        Self { config, queue }
    }

    /// Sends spans from now on.
    pub(crate) fn begin(self) -> Result<Exporting, ExporterBuildError> {
        let out = exporter(&self.config)?;
        let (stop, stopped) = oneshot::channel();
        Ok(Exporting { stop, task: tokio::spawn(run(self.queue, out, stopped)) })
    }
}

impl Exporting {
    /// Sends what is there, for a little while.
    pub(crate) async fn end(self) {
        let _gone = self.stop.send(());
        if timeout(FAREWELL, self.task).await.is_err() {
            tracing::debug!("spans were left behind at the end");
        }
    }
}

fn exporter(config: &Telemetry) -> Result<SpanExporter, ExporterBuildError> {
    let base = config.otlp_endpoint.as_deref().unwrap_or_default().trim_end_matches('/');
    let mut out = SpanExporter::builder()
        .with_http()
        .with_http_client(Caller(Client::new(Limits { idle_per_host: 2, ..Limits::default() }, Guard::Open)))
        .with_retry_policy(RetryPolicy::disabled())
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(DEADLINE)
        .build()?;
    let named = KeyValue::new("service.name", config.service_name.clone());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    out.set_resource(&Resource::builder_empty().with_attributes([named, version]).build());
    Ok(out)
}

async fn run(mut queue: mpsc::Receiver<SpanData>, out: SpanExporter, mut stopped: oneshot::Receiver<()>) {
    let mut well = true;
    loop {
        let mut batch = Vec::new();
        let last = tokio::select! {
            got = queue.recv() => {
                batch.extend(got);
                let until = Instant::now() + LINGER;
                gather(&mut queue, &mut batch, (until, &mut stopped)).await
            }
            _ = &mut stopped => true,
        };
        while let Ok(span) = queue.try_recv() {
            batch.push(span);
            if batch.len() >= BATCH {
                well = send(&out, std::mem::take(&mut batch), well).await;
            }
        }
        well = send(&out, batch, well).await;
        if last {
            return;
        }
    }
}

/// Waits for company; `true` when it is the end.
async fn gather(
    queue: &mut mpsc::Receiver<SpanData>,
    batch: &mut Vec<SpanData>,
    (until, stopped): (Instant, &mut oneshot::Receiver<()>),
) -> bool {
    while batch.len() < BATCH {
        tokio::select! {
            got = timeout_at(until, queue.recv()) => match got {
                Ok(Some(span)) => batch.push(span),
                Ok(None) => return true,
                Err(_) => return false,
            },
            _ = &mut *stopped => return true,
        }
    }
    false
}

/// One batch; tells whether it was taken. A change is a line of the log, its going on is not.
async fn send(out: &SpanExporter, batch: Vec<SpanData>, well: bool) -> bool {
    if batch.is_empty() {
        return well;
    }
    let count = batch.len() as u64;
    match timeout(DEADLINE, out.export(batch)).await {
        Ok(Ok(())) => {
            metrics::spans("sent", count);
            if !well {
                tracing::info!("the receiver of spans takes them again");
            }
            true
        }
        answer => {
            metrics::spans("not_taken", count);
            if well {
                let why = answer.map_or_else(
                    |_| "no answer".to_owned(),
                    |r| r.err().map_or_else(String::new, |e| e.to_string()),
                );
                tracing::warn!(why, "the receiver of spans does not take them");
            }
            false
        }
    }
}

/// The house's client, as the exporter wants one.
#[derive(Debug)]
struct Caller(Client);

impl HttpClient for Caller {
    fn send_bytes<'s, 'a>(
        &'s self,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let answer = self.0.call(request.map(Full::new), DEADLINE).await?;
            let mut response = Response::new(answer.body);
            (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
            Ok(response)
        })
    }
}
