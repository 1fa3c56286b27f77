//! Webhooks on their way as a saved state holds them, and how they come back. Not their delivery.

use std::cmp::Reverse;
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::{Delivery, Post, parse};
use crate::graph::envelope::{self, Update};
use crate::graph::subscription::Routes;
use crate::network::stats::WebhookStats;

/// What is on its way, as a saved state holds it; instants are Unix milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedDelivery {
    url: Option<String>,
    routes: Routes,
    paused: bool,
    waiting: Vec<Update>,
    later: Vec<SavedPost>,
    stats: WebhookStats,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedPost {
    due_ms: i64,
    body: String,
    updates: u64,
    failures: usize,
    first_ms: i64,
    of: (usize, bool),
}

impl Delivery {
    /// What is on its way, once nothing is in flight.
    pub(crate) async fn save(&self) -> SavedDelivery {
        let before = std::mem::replace(&mut self.state.lock().paused, true);
        while self.state.lock().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let ms_of = |ns: u64| self.clock.unix_ms(ns);
        let mut state = self.state.lock();
        let post = |post: &Post| SavedPost {
            due_ms: ms_of(post.due_ns),
            // escaped bodies are ASCII, plain ones UTF-8
            body: String::from_utf8_lossy(&post.body).into_owned(),
            updates: post.updates,
            failures: post.failures,
            first_ms: ms_of(post.first_ns),
            of: post.of,
        };
        let saved = SavedDelivery {
            url: state.url.as_ref().map(Uri::to_string),
            routes: state.routes.clone(),
            paused: before,
            waiting: state.waiting.iter().map(|(_, update)| update.clone()).collect(),
            later: state.later.iter().map(|Reverse(later)| post(later)).collect(),
            stats: state.stats,
        };
        state.paused = before;
        drop(state);
        self.wake.notify_one();
        saved
    }

    /// Takes a saved state's place; what is in flight no longer counts.
    pub(crate) fn load(&self, saved: SavedDelivery) {
        let now = self.clock.now_ns();
        let mut state = self.state.lock();
        state.generation += 1;
        (state.routes, state.paused, state.stats) = (saved.routes, saved.paused, saved.stats);
        state.url = saved.url.and_then(|url| parse(&url).ok());
        state.waiting = saved.waiting.into_iter().map(|update| (now, update)).collect();
        let generation = state.generation;
        let mut order = state.order;
        state.later = saved
            .later
            .into_iter()
            .map(|post| {
                order += 1;
                let body = Bytes::from(post.body);
                Reverse(Post {
                    due_ns: self.clock.ns_of(post.due_ms),
                    order,
                    signature: envelope::signature(&self.secret, &body),
                    body,
                    updates: post.updates,
                    failures: post.failures,
                    first_ns: self.clock.ns_of(post.first_ms),
                    generation,
                    of: post.of,
                })
            })
            .collect();
        state.order = order;
        drop(state);
        self.wake.notify_one();
    }
}
