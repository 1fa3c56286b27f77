//! The file as it arrives: pieces of its body, decoded, cut into chunks of rows. Reads no further than it is asked, so
//! that a slow store slows the sender.

use super::ImportError;
use super::decode::Decoder;
use super::formula::unguarded;
use super::split::{FirstLine, Rows, Splitter, can_delimit, guess_delimiter, named_delimiter};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use std::io::ErrorKind;

/// Bytes that are decoded at once: bounds the text in memory when a sender gives the whole file in one piece.
const PIECE: usize = 64 << 10;

/// A file that is being read.
pub(super) struct Source<S> {
    body: S,
    /// What of the body's last piece is not decoded.
    piece: Bytes,
    decoder: Decoder,
    splitter: Splitter,
    text: String,
    /// How far `text` is cut.
    at: usize,
    end: End,
    /// Whether the last row is cut.
    finished: bool,
    header: Vec<String>,
    delimiter: u8,
}

/// What comes behind the text that was decoded.
#[derive(PartialEq, Eq)]
enum End {
    More,
    File,
    NoText,
}

impl<S> Source<S>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    /// Reads the header.
    ///
    /// # Errors
    /// `NoHeader`, `Encoding`, `Malformed`, `Delimiter`, `Body`.
    pub(super) async fn open(body: S, delimiter: Option<u8>) -> Result<Self, ImportError> {
        if let Some(byte) = delimiter.filter(|byte| !can_delimit(*byte)) {
            return Err(ImportError::Delimiter(byte));
        }
        let mut source = Self {
            body,
            piece: Bytes::new(),
            decoder: Decoder::new(),
            splitter: Splitter::new(b','),
            text: String::new(),
            at: 0,
            end: End::More,
            finished: false,
            header: Vec::new(),
            delimiter: b',',
        };
        let guess = source.guess().await?;
        source.delimiter = delimiter.unwrap_or(guess);
        source.splitter = Splitter::new(source.delimiter);
        let rows = source.read(1).await?;
        let mut fields = Vec::new();
        if rows.len() > 0 {
            rows.fields(0, &mut fields);
        }
        source.header = fields.iter().map(|f| unguarded(&plain(f)).to_owned()).collect();
        if source.header.iter().all(String::is_empty) {
            return Err(ImportError::NoHeader);
        }
        Ok(source)
    }

    /// The names of the columns, as [`plain`] makes them.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The byte between two columns.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The name of the encoding, as far as the file is read.
    pub(super) fn encoding(&self) -> &'static str {
        self.decoder.encoding()
    }

    /// The next rows: `enough` of them, or fewer at the end of the file. Reads nothing behind them.
    ///
    /// # Errors
    /// `Encoding`, `Malformed`, `Body`.
    pub(super) async fn first(&mut self, enough: usize) -> Result<Rows, ImportError> {
        self.read(enough).await
    }

    /// The next chunk of rows, never an empty one; `None` at the end of the file.
    ///
    /// # Errors
    /// `Encoding`, `Malformed`, `Body`. There is nothing more to read then.
    pub(super) async fn rows(&mut self) -> Result<Option<Rows>, ImportError> {
        let rows = self.read(usize::MAX).await?;
        Ok((rows.len() > 0).then_some(rows))
    }

    /// Reads until there are `enough` rows, the chunk is full or the file ends.
    async fn read(&mut self, enough: usize) -> Result<Rows, ImportError> {
        let mut rows = Rows::default();
        loop {
            while self.at < self.text.len() {
                self.at += self.splitter.step(&self.text.as_bytes()[self.at..], &mut rows)?;
                if rows.len() >= enough || rows.is_full() {
                    return Ok(rows);
                }
            }
            match self.end {
                End::More => {
                    self.text.clear();
                    self.at = 0;
                    self.fill().await?;
                }
                End::NoText => return Err(ImportError::Encoding { row: self.splitter.row() }),
                End::File => {
                    if !self.finished {
                        self.finished = true;
                        self.splitter.finish(&mut rows)?;
                    }
                    return Ok(rows);
                }
            }
        }
    }

    /// Appends the text of one more piece.
    async fn fill(&mut self) -> Result<(), ImportError> {
        if self.piece.is_empty() {
            match self.body.next().await {
                Some(Ok(bytes)) => self.piece = bytes,
                Some(Err(error)) if error.kind() == ErrorKind::FileTooLarge => {
                    return Err(ImportError::TooLarge(error.to_string()));
                }
                Some(Err(error)) => return Err(ImportError::Body(error.to_string())),
                None => self.end = End::File,
            }
        }
        let bytes = self.piece.split_to(self.piece.len().min(PIECE));
        if self.decoder.push(&bytes, self.end == End::File, &mut self.text).is_err() {
            self.end = End::NoText;
        }
        Ok(())
    }

    /// Reads to the end of the header and guesses from it. Leaves the header to be cut, not a line `sep=;` before it.
    async fn guess(&mut self) -> Result<u8, ImportError> {
        let (mut first, mut named) = (FirstLine::default(), None);
        loop {
            // A header that breaks off where the text stops being text is reported by `read`.
            let Some(line) = first.find(&self.text, self.end != End::More)? else {
                self.fill().await?;
                continue;
            };
            match named_delimiter(line).filter(|byte| named.is_none() && can_delimit(*byte)) {
                Some(byte) => {
                    named = Some(byte);
                    first.skip(&self.text);
                    self.at = first.begin();
                }
                None => return Ok(named.unwrap_or_else(|| guess_delimiter(line))),
            }
        }
    }
}

/// A column's name in one line: trimmed, and a blank for every control character.
pub(super) fn plain(name: &str) -> String {
    name.trim_matches(is_margin).replace(char::is_control, " ")
}

/// What may stand around a column's name: white space, and the mark of a file that was glued to another.
fn is_margin(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}
