//! Spans for a tracing system: what the rooms tell of requests and messages, on its way to an OTLP receiver. Lines of
//! the log are the subscriber's matter (`cli.rs`); what is told stands where it happens.
//!
//! Nothing waits for it: spans go into a bounded queue, and what finds it full is dropped and counted.

mod export;
mod layer;
pub(crate) mod trace;

pub(crate) use export::Export;
pub(crate) use layer::Spans;

use crate::config::Telemetry;
use crate::metrics;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

/// What a request is told under: its span, and the event at its end.
pub(crate) const REQUEST: &str = "kabar::request";
/// Spans that wait.
const QUEUE: usize = 4_096;

/// The two ends of the queue; `None` when the configuration names no receiver.
pub(crate) fn begin(config: &Telemetry) -> Option<(Spans, Export)> {
    config.otlp_endpoint.as_ref()?;
    let (sender, queue) = mpsc::channel(QUEUE);
    Some((Spans::new(Sender(sender), config.sample_ratio), Export::new(config.clone(), queue)))
}

/// The end of the queue that spans are put in.
pub(crate) struct Sender(mpsc::Sender<SpanData>);

impl Sender {
    fn send(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            metrics::spans("queue_full", 1);
        }
    }
}
