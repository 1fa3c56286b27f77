//! What the driver's errors mean for a caller: certainly not done, or perhaps. Whatever is not listed as certain is
//! `Unknown`: the driver tells of the last attempt only, and its enums grow.

use crate::error::StoreError;
use crate::sealing::Unsealed;
use scylla::errors::{DbError, ExecutionError, PagerExecutionError, RequestAttemptError};

/// The answer to a failed write. `once`: it was tried at most once, so that an error from before the sending is
/// the whole truth.
pub(super) fn of_write(error: &ExecutionError, once: bool) -> StoreError {
    let answer = match error {
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan if once => StoreError::Unavailable,
        ExecutionError::BadQuery(_) | ExecutionError::PrepareError(_) => StoreError::Unavailable,
        ExecutionError::LastAttemptError(attempt) => of_attempt(attempt),
        _ => StoreError::Unknown,
    };
    tracing::debug!(%error, %answer, "a write failed");
    answer
}

fn of_attempt(error: &RequestAttemptError) -> StoreError {
    match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId => StoreError::Unavailable,
        RequestAttemptError::DbError(
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::ConfigError,
            what,
        ) => {
            tracing::error!(what, "the cluster refuses a statement");
            StoreError::Unavailable
        }
        RequestAttemptError::DbError(DbError::IsBootstrapping, _) => StoreError::Unavailable,
        _ => StoreError::Unknown,
    }
}

/// The answer to a failed read: a read has no effect, so it is only not available.
pub(super) fn of_read(error: &ExecutionError) -> StoreError {
    tracing::debug!(%error, "a read failed");
    StoreError::Unavailable
}

/// The same for a read of several pages.
pub(super) fn of_pages(error: &PagerExecutionError) -> StoreError {
    tracing::debug!(%error, "a read failed");
    StoreError::Unavailable
}

/// A row that is not what this version writes.
pub(super) fn damaged(what: &str) -> StoreError {
    tracing::error!(what, "a stored row cannot be read");
    StoreError::Unavailable
}

impl From<Unsealed> for StoreError {
    fn from(error: Unsealed) -> Self {
        match error {
            Unsealed::Unavailable => Self::Unavailable,
            Unsealed::Damaged(what) => damaged(what),
        }
    }
}

/// The answer when something failed that only prepared a write: the write itself was never sent.
pub(super) fn before(error: StoreError) -> StoreError {
    if error == StoreError::Unknown { StoreError::Unavailable } else { error }
}
