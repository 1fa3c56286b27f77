//! The mark of a move: which folder is being moved here, how far it has come, and what it came to. Not the moving.

use super::Noun;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One kind's rows as they were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedKind {
    /// What.
    pub kind: String,
    /// How many.
    pub rows: u64,
    /// Their digest, in hex.
    pub digest: String,
}

/// The one move into this store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Names the folder as it stood when the move began, in hex.
    pub source: String,
    /// Steps that are finished.
    pub steps: usize,
    /// What was found when all was there; `None` while it is under way.
    #[serde(default)]
    pub complete: Option<Vec<MovedKind>>,
}

impl Moved {
    /// The id of the only one.
    pub const ID: u64 = 1;
}

impl Noun for Moved {
    const KIND: &'static str = "moved";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        TenantId(0)
    }
    fn id(&self) -> u64 {
        Self::ID
    }
    fn created(&self) -> Timestamp {
        Timestamp::default()
    }
}
