//! Waiting for an event with a deadline: looks again and again, and gives up aloud. Never a pause of fixed length.

use std::time::Duration;

/// Longest wait of a test for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until there is something; `None` when there was nothing within `deadline`.
pub async fn within<T>(deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let mut turn = tokio::time::interval(LOOK);
    let search = async {
        loop {
            turn.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    tokio::time::timeout(deadline, search).await.ok()
}

/// Looks until there is something.
///
/// # Panics
/// When there was nothing within [`DEADLINE`]; `what` says what was waited for.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    match within(DEADLINE, look).await {
        Some(found) => found,
        None => panic!("not within {} s: {what}", DEADLINE.as_secs()),
    }
}

/// Looks until it is so.
///
/// # Panics
/// As [`until`].
pub async fn so(what: &str, mut look: impl AsyncFnMut() -> bool) {
    until(what, async || look().await.then_some(())).await;
}
