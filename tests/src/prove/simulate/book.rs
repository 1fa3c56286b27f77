//! What was promised to whom in a simulation: accepted messages, launched campaigns, people's messages; and the promises that
//! were found broken. Not the checks themselves.

use kabar_engine::id::{CampaignId, MessageId, TenantId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// Sentences that are kept of one broken promise.
const KEPT: usize = 3;

/// An accepted message.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    pub tenant: TenantId,
    pub message: MessageId,
    pub key: u128,
}

#[derive(Default)]
struct Pages {
    accepted: Vec<Accepted>,
    campaigns: Vec<(TenantId, CampaignId)>,
    written: Vec<String>,
    wrong: BTreeMap<&'static str, Vec<String>>,
    clients: usize,
}

/// The book of one seed.
#[derive(Default)]
pub struct Book(Mutex<Pages>);

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("invariant: nobody panics with the book in hand")
    }

    /// A promise is broken.
    pub fn wrong(&self, promise: &'static str, sentence: String) {
        let mut pages = self.pages();
        let list = pages.wrong.entry(promise).or_default();
        if list.len() < KEPT {
            list.push(sentence);
        }
    }

    /// What is broken, by promise.
    pub fn broken(&self) -> BTreeMap<&'static str, Vec<String>> {
        self.pages().wrong.clone()
    }

    pub fn accept(&self, accepted: Accepted) {
        self.pages().accepted.push(accepted);
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        self.pages().accepted.clone()
    }

    pub fn launched(&self, tenant: TenantId, campaign: CampaignId) {
        self.pages().campaigns.push((tenant, campaign));
    }

    pub fn campaigns(&self) -> Vec<(TenantId, CampaignId)> {
        self.pages().campaigns.clone()
    }

    /// A person wrote a message of this id.
    pub fn wrote(&self, id: String) {
        self.pages().written.push(id);
    }

    pub fn written(&self) -> Vec<String> {
        self.pages().written.clone()
    }

    /// A client comes.
    pub fn enter(&self) {
        self.pages().clients += 1;
    }

    /// It has everything it wanted.
    pub fn leave(&self) {
        self.pages().clients -= 1;
    }

    /// Whether every client has.
    pub fn is_quiet(&self) -> bool {
        self.pages().clients == 0
    }
}
