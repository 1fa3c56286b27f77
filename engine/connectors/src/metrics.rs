//! The names of this room's metrics, in one place. Labels are words of closed sets: no number, no id, no body.

use kabar_engine::outgoing::{Accepted, SendError};
use metrics::{counter, histogram};
use std::time::Duration;

const SENDS: &str = "kabar_connector_sends_total";
const SEND_SECONDS: &str = "kabar_connector_send_seconds";
const ITEMS: &str = "kabar_webhook_items_total";

/// One send came to its outcome.
pub(crate) fn sent(outcome: &Result<Accepted, SendError>, took: Duration) {
    let word = match outcome {
        Ok(Accepted { held: true, .. }) => "held",
        Ok(_) => "accepted",
        Err(SendError::RetryAfter { .. }) => "retry_after",
        Err(SendError::Rejected(_)) => "rejected",
        Err(SendError::Ambiguous) => "ambiguous",
        Err(SendError::LinkLost(_)) => "link_lost",
        Err(SendError::Held { .. }) => "held_back",
    };
    counter!(SENDS, "outcome" => word).increment(1);
    histogram!(SEND_SECONDS).record(took.as_secs_f64());
}

/// A webhook held so many items of a kind.
pub(crate) fn items(kind: &'static str, count: usize) {
    if count > 0 {
        counter!(ITEMS, "kind" => kind).increment(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
    use std::cell::RefCell;

    /// Writes down what is counted.
    #[derive(Default)]
    struct Notes(RefCell<Vec<String>>);

    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.0.borrow_mut().extend(key.labels().map(|label| label.value().to_owned()));
            Counter::noop()
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn a_status_is_not_counted_before_it_is_known_to_be_news() {
        let body = br#"{"object":"whatsapp_business_account","entry":[{"id":"2","changes":[{"field":"messages","value":{
            "messaging_product":"whatsapp","metadata":{"display_phone_number":"15550200000","phone_number_id":"1"},
            "statuses":[{"id":"wamid.1","status":"read","timestamp":"1790000000","recipient_id":"628120000001"}],
            "errors":[{"code":1,"title":"t"}]}}]}]}"#;
        let notes = Notes::default();
        let changes = metrics::with_local_recorder(&notes, || crate::cloud::parse(body)).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(*notes.0.borrow(), ["error"]);
    }
}
