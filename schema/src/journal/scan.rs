//! Walks the frames of one segment file from an offset to an end, checking each. Decides nothing about what a bad
//! frame means: recovery and readers do.

use super::header::HEADER;
use crate::codec::frame::{self, FRAME_MAX, Frame};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once; at least one whole frame.
const READ: usize = 4 * FRAME_MAX;

/// What comes next.
pub(super) enum Step<'a> {
    /// A frame that passed its CRC, at this offset.
    Frame(u64, Frame<'a>),
    /// The end was reached exactly.
    End,
    /// Here is none.
    Bad(u64),
}

/// A walk.
pub(super) struct Scan {
    file: File,
    salt: u32,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Scan {
    /// From `at` (a frame's beginning; the file's head is passed) to `end`.
    pub(super) fn new(file: File, salt: u32, at: u64, end: u64) -> Self {
        Self { file, salt, at: at.max(HEADER as u64), end, buffer: Vec::new(), buffer_at: 0 }
    }

    /// The next frame.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.at >= self.end {
            return Ok(Step::End);
        }
        let at = self.at;
        self.fill(4)?;
        let len = frame::length(self.rest()).unwrap_or(0);
        self.fill(len)?;
        let from =
            usize::try_from(at - self.buffer_at).expect("invariant: the buffer holds what is looked at");
        match frame::parse(&self.buffer[from..], self.salt) {
            Some(frame) => {
                self.at += frame.len as u64;
                Ok(Step::Frame(at, frame))
            }
            None => Ok(Step::Bad(at)),
        }
    }

    /// The highest `durable` of the good frames that begin behind `at`, wherever they begin.
    pub(super) fn durable_behind(&mut self, at: u64) -> io::Result<Option<u64>> {
        let mut highest = None;
        self.at = at + 1;
        while self.at < self.end {
            self.fill(FRAME_MAX)?;
            let window = self.rest();
            // Most of what is behind is zeros; they are passed in one stride.
            let zeros = leading_zeros(window);
            if zeros > 4 {
                self.at += zeros as u64 - 3;
                continue;
            }
            self.at += match frame::parse(window, self.salt) {
                Some(frame) => {
                    highest = highest.max(Some(frame.durable));
                    frame.len as u64
                }
                None => 1,
            };
        }
        Ok(highest)
    }

    /// Whether something else than zeros lies at `at` or behind it.
    pub(super) fn is_soiled(&mut self, at: u64) -> io::Result<bool> {
        self.at = at;
        while self.at < self.end {
            self.fill(READ)?;
            let window = self.rest();
            if leading_zeros(window) < window.len() {
                return Ok(true);
            }
            self.at += window.len() as u64;
        }
        Ok(false)
    }

    fn rest(&self) -> &[u8] {
        let from = self.at.checked_sub(self.buffer_at).and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.buffer.get(from..)).unwrap_or_default()
    }

    /// Makes at least `need` bytes from `at` available, or all up to the end.
    fn fill(&mut self, need: usize) -> io::Result<()> {
        let left = self.end - self.at;
        let need = need.min(usize::try_from(left).unwrap_or(usize::MAX));
        if self.at >= self.buffer_at && self.rest().len() >= need {
            return Ok(());
        }
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(READ);
        self.buffer.resize(size, 0);
        self.file.read_exact_at(&mut self.buffer, self.at)?;
        self.buffer_at = self.at;
        Ok(())
    }
}

/// How many zeros `bytes` begins with.
fn leading_zeros(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 512] = [0; 512];
    let whole = bytes.chunks(ZEROS.len()).take_while(|chunk| *chunk == &ZEROS[..chunk.len()]).count();
    let passed = (whole * ZEROS.len()).min(bytes.len());
    passed + bytes[passed..].iter().take_while(|byte| **byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::leading_zeros;

    #[test]
    fn zeros_are_counted_over_any_length() {
        for zeros in [0, 1, 511, 512, 513, 2_000] {
            let mut bytes = vec![0; zeros];
            assert_eq!(leading_zeros(&bytes), zeros);
            bytes.extend([1, 0, 0]);
            assert_eq!(leading_zeros(&bytes), zeros);
        }
    }
}
