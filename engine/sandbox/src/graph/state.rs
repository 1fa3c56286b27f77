//! Everything a sandbox knows, saved as one JSON object and loaded again: the same answers follow. Secrets and the
//! address are no part of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Graph;
use super::agenda::Errand;
use super::delivery::SavedDelivery;
use super::media::SavedMedium;
use super::number::NumberState;
use super::script::Rule;
use super::template::Shelf;
use super::token::TokenOrder;
use super::upload::Session;
use crate::behaviour::Behaviour;
use crate::config::NumberConfig;
use crate::network::saved::SavedNetwork;

/// Raised when an older sandbox must not read it.
const VERSION: u32 = 1;

/// A sandbox at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    version: u32,
    pub(crate) seed: u64,
    /// Unix milliseconds of its clock.
    pub(crate) clock_ms: i64,
    pub(crate) numbers: Vec<NumberConfig>,
    behaviour: Behaviour,
    states: Vec<NumberState>,
    tokens: Vec<TokenOrder>,
    media_made: u64,
    media: Vec<SavedMedium>,
    uploads: HashMap<String, Session>,
    templates: Shelf,
    blocks: Vec<BTreeMap<String, i64>>,
    insights: BTreeSet<String>,
    scripts: Vec<Rule>,
    /// Due time in Unix milliseconds, and what is to be done.
    errands: Vec<(i64, Errand)>,
    network: SavedNetwork,
    webhooks: SavedDelivery,
}

/// Reads a saved state, or says in one sentence what is wrong with it.
pub(crate) fn read(saved: &Value) -> Result<Saved, String> {
    let version = saved["version"].as_u64();
    if version != Some(u64::from(VERSION)) {
        return Err(format!("a state of version {VERSION} is needed, this is {version:?}"));
    }
    Saved::deserialize(saved).map_err(|wrong| format!("the state cannot be read: {wrong}"))
}

impl Graph {
    /// Everything; webhooks are held back and those in flight waited for meanwhile.
    pub(crate) async fn save(&self) -> Result<Value, String> {
        while self.network.is_telling() {
            tokio::task::yield_now().await;
        }
        let webhooks = self.delivery.save().await;
        let (media_made, media) = self.media.save();
        let clock = &self.network.clock;
        let errands = self.agenda.save();
        let saved = Saved {
            version: VERSION,
            seed: self.seed,
            clock_ms: self.now_ms(),
            numbers: self.network.numbers.to_vec(),
            behaviour: Behaviour::clone(&self.network.behaviour.get()),
            states: self.numbers.save(),
            tokens: self.tokens.save(),
            media_made,
            media,
            uploads: self.uploads.save(),
            templates: self.templates.save(),
            blocks: self.blocks.save(),
            insights: self.insights.lock().clone(),
            scripts: self.scripts.rules(),
            errands: errands.into_iter().map(|(due, errand)| (clock.unix_ms(due), errand)).collect(),
            network: self.network.save(),
            webhooks,
        };
        serde_json::to_value(&saved).map_err(|wrong| wrong.to_string())
    }

    /// Takes a saved state's place. Nothing changes when it does not fit.
    pub(crate) fn load(&self, saved: Saved) -> Result<(), String> {
        if saved.seed != self.seed {
            return Err(format!("the state is of seed {}, this sandbox of seed {}", saved.seed, self.seed));
        }
        let ids =
            |numbers: &[NumberConfig]| numbers.iter().map(|n| n.phone_number_id.clone()).collect::<Vec<_>>();
        if ids(&saved.numbers) != ids(&self.network.numbers) {
            return Err("the state has other numbers than this sandbox".into());
        }
        saved.behaviour.check().map_err(|wrong| wrong.to_string())?;
        let clock = &self.network.clock;
        clock.set(saved.clock_ms);
        self.network.load(saved.network)?;
        self.media.load(saved.media_made, saved.media)?;
        self.network.behaviour.set(saved.behaviour);
        for (number, state) in saved.states.iter().enumerate() {
            self.network.set_rate(number, state.messages_per_second);
        }
        self.numbers.load(saved.states);
        self.tokens.load(saved.tokens);
        self.uploads.load(saved.uploads);
        self.templates.load(saved.templates);
        self.blocks.load(saved.blocks);
        self.usage.clear();
        *self.insights.lock() = saved.insights;
        self.scripts.set(saved.scripts)?;
        self.agenda.clear();
        for (due_ms, errand) in saved.errands {
            self.agenda.add(clock.ns_of(due_ms), errand);
        }
        self.delivery.load(saved.webhooks);
        Ok(())
    }
}
