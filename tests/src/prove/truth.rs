//! What the journal has as its readers are told: the events of a tenant, page by page from their begin. What webhooks
//! and streams brought is held against it; it says nothing of what they should have brought when.

use super::client::Client;
use anyhow::{Context, Result, ensure};
use kabar_engine::id::EventId;
use std::collections::BTreeSet;

/// What the journal has.
pub(super) struct Truth {
    /// Its events, and the conversations they are of.
    pub(super) events: Vec<(EventId, Option<String>)>,
    /// The messages that were accepted.
    pub(super) messages: BTreeSet<String>,
}

/// Reads all events of these types (separated by commas; all when empty).
pub(super) async fn truth(client: &Client, types: &str) -> Result<Truth> {
    let (mut events, mut messages, mut after) = (Vec::new(), BTreeSet::new(), String::new());
    let only = if types.is_empty() { String::new() } else { format!("&types={types}") };
    loop {
        let told = client.get(&format!("/v1/events?limit=200{only}&after={after}")).await?;
        ensure!(told.is_good(), "the events cannot be listed: {}", told.shown());
        let page = told.json();
        for event in page["data"].as_array().context("a page of events")? {
            let id = event["id"].as_str().context("an event's id")?.parse()?;
            events.push((id, event["data"]["conversation"].as_str().map(str::to_owned)));
            if event["type"] == "message.accepted" {
                messages.insert(event["data"]["message"].as_str().context("a message")?.to_owned());
            }
        }
        after = page["next"].as_str().context("a cursor")?.to_owned();
        if page["more"] == false {
            return Ok(Truth { events, messages });
        }
    }
}
