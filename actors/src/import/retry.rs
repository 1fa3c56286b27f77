//! Trying a call of the store again when it may succeed later. Every call that comes here is idempotent, so an unknown
//! outcome is tried again too. Not a queue: the import stands still meanwhile, and so does its sender.

use kabar_runtime::Clock;
use kabar_schema::StoreError;

/// The pauses between the tries, in ms: eight seconds in all, then the import fails.
pub(super) const PAUSES_MS: [u64; 5] = [50, 200, 800, 2_000, 5_000];

/// Calls until it is done, refused, or the pauses are used up.
pub(super) async fn insist<T, F>(clock: &Clock, mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pauses = PAUSES_MS.iter();
    loop {
        match (call().await, pauses.next()) {
            (Err(error), Some(pause)) if may_succeed_later(error) => clock.sleep_ms(*pause).await,
            (result, _) => return result,
        }
    }
}

/// Whether the same call may end otherwise when it is made again.
pub(super) fn may_succeed_later(error: StoreError) -> bool {
    match error {
        StoreError::Overloaded | StoreError::Unavailable | StoreError::Unknown => true,
        StoreError::Fenced { .. } | StoreError::Conflict => false,
    }
}
