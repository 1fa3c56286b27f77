//! A chunk of a frozen audience: up to 512 recipients with their variables, immutable once frozen. Not their
//! marks.

use crate::address::Address;
use crate::id::{CampaignId, TenantId};
use std::sync::Arc;

/// Where a chunk lies in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// Whose.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The attempt to freeze.
    pub attempt: u32,
    /// The chunk's number in the campaign: part × 20 + place in the part.
    pub chunk: u32,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub address: Address,
    /// The IANA zone the contact gives, if any.
    pub zone: Option<Arc<str>>,
    /// One value per column, `None` where the contact has none.
    pub values: Vec<Option<Arc<str>>>,
}

/// Up to 512 recipients, sorted by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The variables' names, the same for every recipient.
    pub columns: Arc<[Arc<str>]>,
    /// The recipients in order.
    pub recipients: Vec<Recipient>,
}

impl Chunk {
    /// The offset of an address.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<u32> {
        self.recipients.binary_search_by(|r| r.address.cmp(address)).ok().and_then(|i| u32::try_from(i).ok())
    }

    /// The value of a variable for the recipient at `offset`.
    #[must_use]
    pub fn value(&self, offset: u32, name: &str) -> Option<&str> {
        let column = self.columns.iter().position(|c| &**c == name)?;
        self.recipients.get(offset as usize)?.values.get(column)?.as_deref()
    }
}
