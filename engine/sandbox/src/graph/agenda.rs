//! What the face itself has to do later: reviews, ends of pauses, scripted answers. One task for all of it, on the
//! sandbox's clock. Not what happens to messages: that is the network's schedule.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Graph;
use crate::network::pause;
use crate::network::policy::{Judged, Quality};

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Errand {
    /// Decide about a template.
    Review { template: u64 },
    /// End the pause of a template, if it is still this one.
    Unpause { template: u64, pauses: u32 },
    /// Decide about a number's new name.
    Name { number: usize },
    /// Give a number its other rate.
    Upgrade { number: usize, messages_per_second: u32 },
    /// Give a number another quality.
    RateNumber { number: usize, quality: Quality },
    /// Give a template another quality.
    RateTemplate { template: u64, quality: Quality },
    /// A phone says something to a number.
    Say { number: usize, from: String, content: Value, quote: Option<String> },
    /// A phone blocks a number after a template (0: after none).
    Block { number: usize, user: String, template: u64 },
}

impl From<Judged> for Errand {
    fn from(judged: Judged) -> Self {
        match judged {
            Judged::Number(number, quality) => Self::RateNumber { number, quality },
            Judged::Template(template, quality) => Self::RateTemplate { template, quality },
        }
    }
}

impl Errand {
    /// Whether somebody who waits for quiet waits for it.
    fn counts(&self) -> bool {
        matches!(
            self,
            Self::Say { .. } | Self::Block { .. } | Self::RateNumber { .. } | Self::RateTemplate { .. }
        )
    }
}

/// Errands by due time and order, and the last order given.
type Open = (BTreeMap<(u64, u64), Errand>, u64);

/// Errands by their time, in nanoseconds of the sandbox's clock.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    open: Mutex<Open>,
    wake: Notify,
}

impl Agenda {
    pub(crate) fn add(&self, due_ns: u64, errand: Errand) {
        let mut open = self.open.lock();
        open.1 += 1;
        let order = open.1;
        open.0.insert((due_ns, order), errand);
        drop(open);
        self.wake.notify_one();
    }

    /// The next errand if it is due, else when to look again.
    fn take(&self, now_ns: u64) -> Result<Errand, Option<u64>> {
        let mut open = self.open.lock();
        let first = open.0.first_entry().ok_or(None)?;
        let due = first.key().0;
        if due <= now_ns { Ok(first.remove()) } else { Err(Some(due)) }
    }

    /// Errands somebody who waits for quiet waits for.
    pub(crate) fn open(&self) -> u64 {
        self.open.lock().0.values().filter(|errand| errand.counts()).count() as u64
    }

    pub(crate) fn clear(&self) {
        self.open.lock().0.clear();
    }

    pub(crate) fn save(&self) -> Vec<(u64, Errand)> {
        self.open.lock().0.iter().map(|((due, _), errand)| (*due, errand.clone())).collect()
    }
}

impl Graph {
    /// Does what is due, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            match self.agenda.take(self.network.clock.now_ns()) {
                Ok(errand) => {
                    self.perform(errand);
                    if stop.is_cancelled() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                Err(next) => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.agenda.wake.notified() => {}
                    () = pause(next.map(|due| self.network.clock.until(due))) => {}
                },
            }
        }
    }

    /// Does what is due now; whoever puts the clock ahead finds it done.
    pub(crate) fn perform_due(&self) {
        while let Ok(errand) = self.agenda.take(self.network.clock.now_ns()) {
            self.perform(errand);
        }
        self.agenda.wake.notify_one();
    }

    fn perform(&self, errand: Errand) {
        match errand {
            Errand::Review { template } => self.review(template),
            Errand::Unpause { template, pauses } => self.unpause(template, pauses),
            Errand::Name { number } => self.decide_name(number),
            Errand::Upgrade { number, messages_per_second } => self.upgrade(number, messages_per_second),
            Errand::RateNumber { number, quality } => self.rate_number(number, quality.name()),
            Errand::RateTemplate { template, quality } => self.rate_template(template, quality.name()),
            Errand::Say { number, from, content, quote } => self.say(number, &from, content, quote),
            Errand::Block { number, user, template } => self.network.block(number, &user, template),
        }
    }
}
