//! What the provider says of a message: its answer to the call, and its reports afterwards. Not the states these lead to.

use crate::cause::Cause;
use crate::pricing::Pricing;
use crate::status::Status;
use crate::time::Timestamp;
use std::sync::Arc;

/// What a call to the provider came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, under this provider id.
    Accepted(Arc<str>),
    /// Refused for good.
    Failed(Cause),
    /// Refused for now; due again then.
    Retry {
        /// Not before.
        due: Timestamp,
        /// Why it was refused.
        cause: Cause,
    },
    /// Not known.
    Ambiguous,
}

/// One status of the provider, for a message or a recipient's index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport<K> {
    /// Which message.
    pub of: K,
    /// Its new status.
    pub status: Status,
    /// When, by the provider's clock.
    pub at: Timestamp,
    /// Why, when failed.
    pub cause: Option<Cause>,
    /// The provider's id, when it says so.
    pub provider_id: Option<Arc<str>>,
    /// What it costs, when it says so.
    pub pricing: Option<Arc<Pricing>>,
}

impl<K> StatusReport<K> {
    /// Whether it says what a delivered message costs: the provider says that once, beside `sent` and again here.
    #[must_use]
    pub fn counts_price(&self) -> bool {
        self.pricing.is_some() && matches!(self.status, Status::Delivered | Status::Read | Status::Played)
    }
}
