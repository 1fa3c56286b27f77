//! Text → rows: where rows and fields end, by the rules of CSV (quotes, doubled quotes, newlines inside quotes; LF,
//! CRLF or CR between rows), and which sign separates the columns. What the fields mean is not known here.

use super::ImportError;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Rows of a full chunk.
const CHUNK_ROWS: usize = 1_000;
/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of the longest row. A row of a contact file is far shorter; a quote that is not closed is not.
const ROW_MAX: usize = 64 << 10;
/// The signs a delimiter is guessed among; the earlier one wins when they are as many.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Rows of a file, the text of all their fields in one piece.
#[derive(Debug, Default)]
pub(super) struct Rows {
    text: String,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
    /// Of each row its number in the file and the count of fields up to its end.
    rows: Vec<(u64, usize)>,
}

impl Rows {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is time to begin another chunk.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK_ROWS || self.text.len() >= CHUNK_BYTES
    }

    /// Gives the fields of a row, and its number in the file: from 1, the header and blank lines counted, as a
    /// spreadsheet does.
    pub(super) fn fields<'a>(&'a self, index: usize, into: &mut Vec<&'a str>) -> u64 {
        into.clear();
        let first = index.checked_sub(1).map_or(0, |before| self.rows[before].1);
        let (row, end) = self.rows[index];
        let mut begin = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        for field in &self.ends[first..end] {
            into.push(&self.text[begin..*field]);
            begin = *field;
        }
        row
    }

    fn push(&mut self, row: u64, text: &str, ends: &[usize]) {
        let base = self.text.len();
        self.text.push_str(text);
        self.ends.extend(ends.iter().map(|end| base + end));
        self.rows.push((row, self.ends.len()));
    }
}

/// Cuts text into rows, however it is cut itself.
pub(super) struct Splitter {
    reader: Reader,
    /// The row in progress: its text, the ends of its fields, and how far both are filled.
    text: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    fields: usize,
    /// The number of the row in progress, or of the next one.
    row: u64,
    between_rows: bool,
    after_cr: bool,
}

impl Splitter {
    /// A splitter at the file's begin.
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            text: vec![0; 1_024],
            ends: vec![0; 32],
            filled: 0,
            fields: 0,
            row: 1,
            between_rows: true,
            after_cr: false,
        }
    }

    /// The number of the row in progress, or of the next one; the header's is 1.
    pub(super) fn row(&self) -> u64 {
        self.row
    }

    /// Reads at most to the end of a row, which it appends; gives how many bytes it read, at least one of a text that
    /// is not empty.
    ///
    /// # Errors
    /// `Malformed` for a row that does not end.
    pub(super) fn step(&mut self, input: &[u8], rows: &mut Rows) -> Result<usize, ImportError> {
        let mut read = if self.between_rows { self.skip_blank_lines(input) } else { 0 };
        while read < input.len() {
            self.between_rows = false;
            let (result, bytes, filled, fields) = self.reader.read_record(
                &input[read..],
                &mut self.text[self.filled..],
                &mut self.ends[self.fields..],
            );
            read += bytes;
            self.filled += filled;
            self.fields += fields;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull if self.text.len() >= ROW_MAX => return Err(self.too_long()),
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= ROW_MAX => return Err(self.too_long()),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.after_cr = input[read - 1] == b'\r';
                    self.take(rows)?;
                    break;
                }
            }
        }
        Ok(read)
    }

    /// Ends the last row, if a newline did not.
    ///
    /// # Errors
    /// `Malformed` for a quote that is not closed.
    pub(super) fn finish(&mut self, rows: &mut Rows) -> Result<(), ImportError> {
        // The reader would take the end of the file for the end of a quote; a newline it takes for text.
        while !self.between_rows {
            let row = self.row;
            self.step(b"\n", rows)?;
            if !self.between_rows {
                let message =
                    "has a quote that is never closed: close it, or remove it, and import the file again";
                return Err(ImportError::Malformed { row, message: message.to_owned() });
            }
        }
        Ok(())
    }

    /// The reader skips them too, but does not count them.
    fn skip_blank_lines(&mut self, input: &[u8]) -> usize {
        for (at, byte) in input.iter().enumerate() {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' => self.row += 1,
                b'\r' => {
                    self.row += 1;
                    self.after_cr = true;
                }
                _ => return at,
            }
        }
        input.len()
    }

    fn take(&mut self, rows: &mut Rows) -> Result<(), ImportError> {
        let text = std::str::from_utf8(&self.text[..self.filled])
            .map_err(|_| ImportError::Encoding { row: self.row })?;
        // A line of nothing but white space is blank; a field that is quoted and empty is not.
        let blank = self.fields == 1 && !text.is_empty() && text.trim().is_empty();
        if !blank {
            rows.push(self.row, text, &self.ends[..self.fields]);
        }
        (self.filled, self.fields, self.between_rows) = (0, 0, true);
        self.row += 1;
        Ok(())
    }

    fn too_long(&self) -> ImportError {
        let message = format!(
            "is longer than {} KiB: close its quote, or remove it, and import the file again",
            ROW_MAX >> 10
        );
        ImportError::Malformed { row: self.row, message }
    }
}

/// Finds the first line that is not blank, in a text that grows.
#[derive(Debug, Default)]
pub(super) struct FirstLine {
    scanned: usize,
    begin: usize,
    quoted: bool,
}

impl FirstLine {
    /// The line without its end, once the text holds its end or `last` says that no more comes.
    ///
    /// # Errors
    /// `Malformed` when it does not end.
    pub(super) fn find<'a>(&mut self, text: &'a str, last: bool) -> Result<Option<&'a str>, ImportError> {
        let bytes = text.as_bytes();
        while let Some(byte) = bytes.get(self.scanned) {
            match byte {
                b'"' => self.quoted = !self.quoted,
                b'\r' | b'\n' if !self.quoted => {
                    let line = &text[self.begin..self.scanned];
                    if !line.trim().is_empty() {
                        return Ok(Some(line));
                    }
                    self.begin = self.scanned + 1;
                }
                _ => {}
            }
            self.scanned += 1;
        }
        if self.scanned - self.begin > ROW_MAX {
            let message = format!("is longer than {} KiB: begin the file with column names", ROW_MAX >> 10);
            return Err(ImportError::Malformed { row: 1, message });
        }
        Ok(last.then(|| &text[self.begin..]))
    }

    /// Where the line begins that was found.
    pub(super) fn begin(&self) -> usize {
        self.begin
    }

    /// Goes on behind the line that was found.
    pub(super) fn skip(&mut self, text: &str) {
        self.scanned = (self.scanned + 1).min(text.len());
        self.begin = self.scanned;
    }
}

/// The delimiter a spreadsheet's own line `sep=;` names.
pub(super) fn named_delimiter(line: &str) -> Option<u8> {
    match line.as_bytes() {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => Some(*delimiter),
        _ => None,
    }
}

/// The sign that stands most often in the header, quotes left out; a comma when none does.
pub(super) fn guess_delimiter(header: &str) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header.bytes() {
        match DELIMITERS.iter().position(|d| *d == byte) {
            Some(index) if !quoted => counts[index] += 1,
            _ => quoted ^= byte == b'"',
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let index = counts.iter().position(|count| *count == most).unwrap_or(0);
    DELIMITERS[index]
}

/// Whether columns can be separated by it.
pub(super) fn can_delimit(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_punctuation() && byte != b'"') || byte == b' '
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (u64, Vec<String>);

    fn split(text: &str, piece: usize) -> Result<Vec<Read>, ImportError> {
        let (mut splitter, mut rows) = (Splitter::new(b','), Rows::default());
        for piece in text.as_bytes().chunks(piece) {
            let mut at = 0;
            while at < piece.len() {
                at += splitter.step(&piece[at..], &mut rows)?;
            }
        }
        splitter.finish(&mut rows)?;
        let mut fields = Vec::new();
        let read = |index| {
            let row = rows.fields(index, &mut fields);
            (row, fields.iter().map(|f| (*f).to_owned()).collect())
        };
        Ok((0..rows.len()).map(read).collect())
    }

    fn row(row: u64, fields: &[&str]) -> Read {
        (row, fields.iter().map(|f| (*f).to_owned()).collect())
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_shows_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "\na,b\n\n\"1\n\n2\",3\n   \n\"\"\n,\n\nx,\"y\"\"z\"".replace('\n', end);
            let inside = format!("1{end}{end}2");
            let expected = vec![
                row(2, &["a", "b"]),
                row(4, &[&inside, "3"]),
                row(6, &[""]),
                row(7, &["", ""]),
                row(9, &["x", "y\"z"]),
            ];
            for piece in [1, 2, 3, 1_000] {
                assert_eq!(split(&text, piece).as_ref(), Ok(&expected), "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_names_its_row() {
        for (text, bad) in [("a,b\n1,\"2\n3,4\n", 2), ("a\n\n\"", 3), ("a\n\"x\"\"", 2)] {
            for piece in [1, 1_000] {
                let error = split(text, piece).unwrap_err();
                assert!(
                    matches!(error, ImportError::Malformed { row, .. } if row == bad),
                    "{text:?}: {error:?}"
                );
            }
        }
        let endless = format!("a\nb\n\"{}", "x\n".repeat(ROW_MAX));
        assert!(matches!(split(&endless, 4_096), Err(ImportError::Malformed { row: 3, .. })));
        let commas = ",".repeat(ROW_MAX + 1);
        assert!(matches!(split(&commas, 4_096), Err(ImportError::Malformed { row: 1, .. })));
    }

    proptest! {
        #[test]
        fn fields_go_there_and_back_in_every_cutting(
            rows in proptest::collection::vec(proptest::collection::vec("[a\",\n\r\u{e9} ]{0,6}", 2..4), 0..6),
            piece in 1_usize..9,
        ) {
            let line = |row: &Vec<String>| {
                row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect::<Vec<_>>().join(",")
            };
            let text: String = rows.iter().map(|row| line(row) + "\n").collect();
            let read: Vec<Vec<String>> = split(&text, piece).unwrap().into_iter().map(|(_, fields)| fields).collect();
            prop_assert_eq!(read, rows);
        }
    }

    #[test]
    fn the_delimiter_is_the_most_frequent_sign_outside_quotes() {
        for (header, delimiter) in [
            ("phone,name", b','),
            ("phone;name, full;city", b';'),
            ("phone\tname", b'\t'),
            ("phone|name", b'|'),
            ("\"a,b,c\";d", b';'),
            ("phone", b','),
        ] {
            assert_eq!(guess_delimiter(header), delimiter, "{header}");
        }
    }

    #[test]
    fn the_first_line_is_found_when_it_is_whole() {
        let mut first = FirstLine::default();
        assert_eq!(first.find("\n \r\n\"a", false), Ok(None));
        assert_eq!(first.find("\n \r\n\"a\nb\",c", false), Ok(None));
        assert_eq!(first.find("\n \r\n\"a\nb\",c\r", false), Ok(Some("\"a\nb\",c")));
        assert_eq!(FirstLine::default().find("a,b", true), Ok(Some("a,b")));
        assert_eq!(FirstLine::default().find("", true), Ok(Some("")));
        assert!(FirstLine::default().find(&"x".repeat(ROW_MAX + 1), false).is_err());
    }
}
