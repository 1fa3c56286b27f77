//! How the program ends: exit codes, and one sentence about why. 0 is well; the journal's own I/O errors end the
//! process with 74 by themselves.

/// Something failed.
pub const FAILURE: u8 = 1;
/// Wrong usage, configuration or input: the caller can mend it.
pub const USAGE: u8 = 2;

/// Why the program ends early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One sentence that says what to do.
    pub sentence: String,
}

impl Failure {
    /// The caller can mend it.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { code: USAGE, sentence: sentence.into() }
    }

    /// It failed.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { code: FAILURE, sentence: sentence.into() }
    }
}
