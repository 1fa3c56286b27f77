//! The network as a saved state holds it, and how it comes back: ledger, plans, paces. Instants are Unix milliseconds
//! there, since a loaded sandbox counts from another start. Not the account's part: that is the face's.

use serde::{Deserialize, Serialize};

use super::Network;
use super::clock::Clock;
use super::fate::{self, Act};
use super::ledger::SavedLedger;
use super::message::Status;
use super::schedule::Event;

/// A network at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedNetwork {
    ledger: SavedLedger,
    events: Vec<SavedEvent>,
    /// Pairs that are over their pace, until when.
    paces: Vec<(u64, i64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedEvent {
    due_ms: i64,
    row: u64,
    unix_s: i64,
    act: SavedAct,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedAct {
    Status { status: Status, code: u32, priced: bool },
    Reply { text: String, quote: bool },
    Block,
}

impl SavedAct {
    fn of(act: Act) -> Self {
        match act {
            Act::Status { status, code, priced } => Self::Status { status, code, priced },
            Act::Reply { text, quote } => Self::Reply { text: text.to_owned(), quote },
            Act::Block => Self::Block,
        }
    }

    fn act(&self) -> Result<Act, String> {
        Ok(match self {
            Self::Status { status, code, priced } => {
                Act::Status { status: *status, code: *code, priced: *priced }
            }
            Self::Reply { text, quote } => {
                let text = fate::phrase(text).ok_or_else(|| format!("no phone says `{text}`"))?;
                Act::Reply { text, quote: *quote }
            }
            Self::Block => Act::Block,
        })
    }
}

impl Network {
    /// Whether something is just happening that neither ledger nor plans tell of.
    pub(crate) fn is_telling(&self) -> bool {
        self.schedule.is_telling()
    }

    pub(crate) fn save(&self) -> SavedNetwork {
        let ms_of = |ns: u64| self.clock.unix_ms(ns);
        let event = |event: Event| SavedEvent {
            due_ms: ms_of(event.due_ns),
            row: event.row,
            unix_s: event.unix_s,
            act: SavedAct::of(event.act),
        };
        let now = self.clock.now_ns();
        SavedNetwork {
            events: self.schedule.all().into_iter().map(event).collect(),
            ledger: self.ledger.lock().save(),
            paces: self.limits.paces(now).into_iter().map(|(pair, until)| (pair, ms_of(until))).collect(),
        }
    }

    /// Takes a saved network's place; the clock must be set before.
    pub(crate) fn load(&self, saved: SavedNetwork) -> Result<(), String> {
        let acts: Vec<Act> = saved.events.iter().map(|event| event.act.act()).collect::<Result<_, _>>()?;
        self.schedule.clear();
        self.limits.clear();
        let generation = {
            let mut ledger = self.ledger.lock();
            ledger.load(saved.ledger);
            ledger.generation
        };
        let ns_of = |ms: i64| Clock::ns_of(&self.clock, ms);
        self.schedule.add(saved.events.iter().zip(acts).map(|(event, act)| Event {
            due_ns: ns_of(event.due_ms),
            row: event.row,
            generation,
            unix_s: event.unix_s,
            act,
        }));
        self.limits.set_paces(saved.paces.into_iter().map(|(pair, until)| (pair, ns_of(until))));
        Ok(())
    }
}
