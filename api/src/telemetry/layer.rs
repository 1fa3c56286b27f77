//! Events of requests and messages become spans: a request's is the server's in its caller's trace, a message's lie in
//! the message's own trace, which its id leads to, with a link to the request that asked for it.

use super::trace::{Trace, is_sampled, of_message, root};
use super::{REQUEST, Sender};
use kabar_actors::trace::TARGET;
use kabar_engine::id::MessageId;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status as Outcome, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Makes spans of events.
pub(crate) struct Spans {
    out: Sender,
    ratio: f64,
}

/// What an event says.
#[derive(Debug, Default)]
struct Said {
    name: String,
    message: Option<MessageId>,
    took_us: u64,
    status: Option<u64>,
    trace: u128,
    span: u64,
    parent: Option<u64>,
    sampled: Option<bool>,
    attributes: Vec<KeyValue>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.name),
            "message_id" => {
                self.message = value.parse().ok();
                self.attribute("message_id", value.to_owned());
            }
            "trace_id" => self.trace = u128::from_str_radix(value, 16).unwrap_or_default(),
            name => self.attribute(name, value.to_owned()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "took_us" => self.took_us = value,
            "status" => self.status = Some(value),
            "span_id" => self.span = value,
            "parent_id" => self.parent = Some(value),
            name => self.attribute(name, i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "sampled" => self.sampled = Some(value),
            name => self.attribute(name, value),
        }
    }
}

impl Said {
    fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(name, value.into()));
    }
}

impl Spans {
    pub(super) fn new(out: Sender, ratio: f64) -> Self {
        Self { out, ratio }
    }

    /// Beside whatever else listens, of these targets alone.
    pub(crate) fn layer<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
    {
        let wanted = Targets::new().with_target(REQUEST, Level::DEBUG).with_target(TARGET, Level::DEBUG);
        self.with_filter(wanted)
    }

    fn request(&self, said: Said) {
        if !said.sampled.unwrap_or_else(|| is_sampled(said.trace, self.ratio)) {
            return;
        }
        let status = said.status.unwrap_or_default();
        let mut attributes = said.attributes;
        attributes
            .push(KeyValue::new("http.response.status_code", i64::try_from(status).unwrap_or_default()));
        let outcome = if status >= 500 { Outcome::error("server") } else { Outcome::Unset };
        let place = (said.trace, said.span, said.parent.unwrap_or_default());
        let mut span = span(("request", SpanKind::Server), place, said.took_us, attributes);
        (span.status, span.parent_span_is_remote) = (outcome, said.parent.is_some());
        self.out.send(span);
    }

    fn message(&self, message: MessageId, said: Said, request: Option<&Trace>) {
        let trace = of_message(message);
        if !is_sampled(trace, self.ratio) {
            return;
        }
        let root = root(message);
        let (name, own, parent): (Cow<'static, str>, u64, u64) = match said.name.as_str() {
            "accepted" => ("accept".into(), root, 0),
            "claimed" => ("claim".into(), rand::random::<u64>().max(1), root),
            "called" => ("call".into(), rand::random::<u64>().max(1), root),
            "status" => ("status".into(), rand::random::<u64>().max(1), root),
            _ => return,
        };
        let kind = if name == "call" { SpanKind::Client } else { SpanKind::Internal };
        let mut span = span((name, kind), (trace, own, parent), said.took_us, said.attributes);
        if let Some(request) = request {
            let mut links = SpanLinks::default();
            links.links.push(Link::with_context(context(request.trace, request.span)));
            span.links = links;
        }
        self.out.send(span);
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if attributes.metadata().target() != REQUEST {
            return;
        }
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = ctx.span(id) {
            let Said { trace, span: own, parent, sampled, .. } = said;
            span.extensions_mut().insert(Trace { trace, span: own, parent, sampled });
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        match (event.metadata().target(), said.message) {
            (REQUEST, _) => self.request(said),
            (_, Some(message)) => {
                let above = ctx.event_scope(event).into_iter().flatten();
                let request = above.filter_map(|span| span.extensions().get::<Trace>().cloned()).next();
                self.message(message, said, request.as_ref());
            }
            _ => {}
        }
    }
}

fn context(trace: u128, span: u64) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(trace.to_be_bytes()), SpanId::from_bytes(span.to_be_bytes()));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
}

/// A span that ends now.
fn span(
    (name, span_kind): (impl Into<Cow<'static, str>>, SpanKind),
    (trace, own, parent): (u128, u64, u64),
    took_us: u64,
    attributes: Vec<KeyValue>,
) -> SpanData {
    let end_time = SystemTime::now();
    SpanData {
        span_context: context(trace, own),
        parent_span_id: SpanId::from_bytes(parent.to_be_bytes()),
        parent_span_is_remote: false,
        span_kind,
        name: name.into(),
        start_time: end_time.checked_sub(Duration::from_micros(took_us)).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Outcome::Unset,
        instrumentation_scope: InstrumentationScope::builder("kabar").build(),
    }
}
