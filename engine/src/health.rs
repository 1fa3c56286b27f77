//! How a number does in the provider's eyes: quality, limits, restrictions, held templates, the last error; each with when
//! it was told and by what. Not whether it is linked, and not its pace, which is the session's.

mod hear;

use crate::cause::Cause;
use crate::id::EventId;
use crate::pacing::Throttle;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Templates whose standing is kept; the oldest that holds nothing goes first.
const TEMPLATES: usize = 100;
/// An error of the same code is noted again after this (ms).
const ERROR_AGAIN_MS: i64 = 60_000;

/// A template by name and language.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateName {
    /// Its name.
    pub name: String,
    /// Its language as the API writes it: `en_US`. Webhooks write `en-US`.
    pub language: String,
}

impl TemplateName {
    /// The language's dashes become underscores.
    #[must_use]
    pub fn new(name: &str, language: &str) -> Self {
        Self { name: name.to_owned(), language: language.replace('-', "_") }
    }

    /// The template a message is of.
    #[must_use]
    pub fn of(content: &crate::content::Content) -> Option<Self> {
        let crate::content::Content::Template(template) = content else { return None };
        Some(Self::new(&template.name, &template.language.code))
    }

    fn key(&self) -> String {
        format!("{} {}", self.name, self.language)
    }
}

/// What said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A webhook, which is this event.
    Event(EventId),
    /// The code of an answer or of a failed status.
    Code(Cause),
}

/// A value with when it was told and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told<T> {
    /// What.
    pub value: T,
    /// When it was so: the provider's clock, where it says it.
    pub at: Timestamp,
    /// What said it.
    pub by: Evidence,
}

/// What a restriction keeps from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// Nothing of what Kabar sends.
    Nothing,
    /// What people did not ask for: everything but answers.
    Initiated,
    /// Everything.
    All,
}

/// A restriction of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// The provider's words, e.g. `RESTRICTED_BIZ_INITIATED_MESSAGING`, with commas between.
    pub kind: String,
    /// What it keeps from the wire.
    pub blocks: Blocks,
    /// When it ends, where that was said.
    pub until: Option<Timestamp>,
    /// When answers are free again before the rest is, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Timestamp>,
}

/// How a template stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The provider's word, e.g. `PAUSED`.
    pub state: String,
    /// Its quality, where that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    /// Messages of it are not sent now.
    #[serde(default)]
    pub held: bool,
    /// Until then; `None`: until it is told otherwise.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// An error that was more than one message's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// The provider's code.
    pub cause: Cause,
    /// The provider's words, at most 512 characters.
    pub detail: String,
}

/// How a number does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The WhatsApp Business Account its webhooks name.
    pub account: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`.
    pub quality: Option<Told<String>>,
    /// How many people may be written to first in 24 hours, e.g. `TIER_2K`.
    pub messaging_limit: Option<Told<String>>,
    /// `HIGH` after the upgrade to 1,000 messages a second.
    pub throughput: Option<Told<String>>,
    /// What became of the display name: `APPROVED`, `REJECTED`, `DEFERRED`.
    pub display_name: Option<Told<String>>,
    /// What became of the account's review.
    pub review: Option<Told<String>>,
    /// The newest alert.
    pub alert: Option<Told<String>>,
    /// What the account may not do.
    pub restriction: Option<Told<Restriction>>,
    /// Templates by name and language, with a space between.
    pub templates: BTreeMap<String, Told<Standing>>,
    /// The newest error that was more than one message's.
    pub last_error: Option<Told<LastError>>,
}

/// An error of the provider's that was more than one message's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is held or slowed down by it; `None`: nothing, or the link is lost.
    pub holds: Option<Throttle>,
    /// The provider's code.
    pub cause: Cause,
    /// The provider's words.
    pub detail: String,
    /// The template it is about.
    pub template: Option<TemplateName>,
}

impl Health {
    /// What a restriction keeps from the wire at `now`, and until when that is known.
    #[must_use]
    pub fn blocks(&self, now: Timestamp) -> (Blocks, Option<Timestamp>) {
        let restriction = self.restriction.as_ref().map(|told| &told.value);
        match restriction.filter(|r| r.until.is_none_or(|until| until > now)) {
            Some(r) => match r.answers.filter(|_| r.blocks == Blocks::All) {
                Some(free) if free <= now => (Blocks::Initiated, r.until),
                free => (r.blocks, free.or(r.until)),
            },
            None => (Blocks::Nothing, None),
        }
    }

    /// Whether messages of the template are held at `now`, and until when that is known.
    #[must_use]
    pub fn holds(&self, template: &TemplateName, now: Timestamp) -> Option<Option<Timestamp>> {
        if self.templates.is_empty() {
            return None;
        }
        let standing = &self.templates.get(&template.key())?.value;
        let holds = standing.held && standing.until.is_none_or(|until| until > now);
        holds.then_some(standing.until)
    }

    /// Whether the number was upgraded to the provider's highest throughput.
    #[must_use]
    pub fn is_upgraded(&self) -> bool {
        self.throughput.as_ref().is_some_and(|told| told.value == "HIGH")
    }

    /// Notes an error; `false` when that says nothing new.
    pub fn note(&mut self, trouble: &Trouble, now: Timestamp) -> bool {
        let by = Evidence::Code(trouble.cause);
        let fresh = self.last_error.as_ref().is_none_or(|told| {
            told.value.cause != trouble.cause || now.since_ms(told.at).abs() >= ERROR_AGAIN_MS
        });
        if fresh {
            let value = LastError { cause: trouble.cause, detail: trouble.detail.clone() };
            self.last_error = Some(Told { value, at: now, by });
        }
        let held = trouble.holds == Some(Throttle::Template);
        let template = trouble.template.as_ref().filter(|name| held && self.holds(name, now).is_none());
        if let Some(name) = template {
            let (state, ms) = hear::held_by(trouble.cause);
            let (quality, until) = (None, ms.map(|ms| now.plus_ms(ms)));
            let value = Standing { state: state.to_owned(), quality, held: true, until };
            self.put_template(name, Told { value, at: now, by });
        }
        fresh || template.is_some()
    }

    fn put_template(&mut self, name: &TemplateName, told: Told<Standing>) {
        self.templates.insert(name.key(), told);
        while self.templates.len() > TEMPLATES {
            let oldest =
                self.templates.iter().min_by_key(|(_, t)| (t.value.held, t.at)).map(|(k, _)| k.clone());
            let Some(oldest) = oldest else { return };
            self.templates.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
