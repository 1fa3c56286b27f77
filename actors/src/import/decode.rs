//! Bytes of a file → text, piece by piece: UTF-8 with or without a byte order mark, UTF-16 by its mark, and
//! Windows-1252, which says nothing about itself, for bytes that are no UTF-8 and look like text.
//!
//! It repairs nothing: a replacement character in a name would be sent to its owner.

use encoding_rs::{DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The bytes are no text, or text of two encodings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotText;

/// The decoder of one file.
pub(super) struct Decoder {
    form: Form,
    /// Bytes that wait for more: the file's first ones, or a cut character.
    rest: Vec<u8>,
    /// Whether UTF-8 beyond ASCII, or its mark, was seen: then the file is not Windows-1252.
    is_utf8: bool,
}

enum Form {
    Unknown,
    Utf8,
    Windows1252,
    Utf16(encoding_rs::Decoder),
}

impl Decoder {
    /// A decoder at the file's begin.
    pub(super) fn new() -> Self {
        Self { form: Form::Unknown, rest: Vec::new(), is_utf8: false }
    }

    /// The name of the encoding, as far as the bytes up to here tell.
    pub(super) fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Unknown | Form::Utf8 => "UTF-8",
            Form::Windows1252 => "Windows-1252",
            Form::Utf16(decoder) => decoder.encoding().name(),
        }
    }

    /// Appends the text of these bytes. `last` with the file's last bytes (which may be none). When it fails, the text
    /// before the place where it failed is appended.
    pub(super) fn push(&mut self, bytes: &[u8], last: bool, out: &mut String) -> Result<(), NotText> {
        let mut joined = std::mem::take(&mut self.rest);
        let mut bytes = bytes;
        if !joined.is_empty() {
            joined.extend_from_slice(bytes);
            bytes = &joined;
        }
        if let Form::Unknown = self.form {
            if bytes.len() < 3 && !last {
                self.rest = bytes.to_vec();
                return Ok(());
            }
            bytes = &bytes[self.recognise(bytes)..];
        }
        let begin = out.len();
        match &mut self.form {
            Form::Unknown | Form::Utf8 => self.utf8(bytes, last, out),
            Form::Windows1252 => windows_1252(bytes, out),
            Form::Utf16(decoder) => utf16(decoder, bytes, last, out),
        }?;
        refuse_nul(begin, out)
    }

    /// Decides by the byte order mark; gives its length.
    fn recognise(&mut self, bytes: &[u8]) -> usize {
        let (form, mark) = match bytes {
            [0xef, 0xbb, 0xbf, ..] => (Form::Utf8, 3),
            [0xff, 0xfe, ..] => (Form::Utf16(UTF_16LE.new_decoder_without_bom_handling()), 2),
            [0xfe, 0xff, ..] => (Form::Utf16(UTF_16BE.new_decoder_without_bom_handling()), 2),
            _ => (Form::Utf8, 0),
        };
        self.is_utf8 = mark == 3;
        self.form = form;
        mark
    }

    fn utf8(&mut self, bytes: &[u8], last: bool, out: &mut String) -> Result<(), NotText> {
        let (valid, behind) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let (valid, tail) = bytes.split_at(error.valid_up_to());
                let text = std::str::from_utf8(valid).expect("invariant: valid up to there");
                (text, Some((tail, error.error_len().is_none() && !last)))
            }
        };
        let begin = out.len();
        out.push_str(valid);
        refuse_nul(begin, out)?;
        self.is_utf8 |= !valid.is_ascii();
        match behind {
            None => Ok(()),
            Some((cut, true)) => {
                self.rest = cut.to_vec();
                Ok(())
            }
            Some(_) if self.is_utf8 => Err(NotText),
            Some((tail, false)) => {
                // All before was ASCII, which both have in common.
                self.form = Form::Windows1252;
                windows_1252(tail, out)
            }
        }
    }
}

fn refuse_nul(begin: usize, out: &mut String) -> Result<(), NotText> {
    match out[begin..].find('\0') {
        Some(at) => {
            out.truncate(begin + at);
            Err(NotText)
        }
        None => Ok(()),
    }
}

fn windows_1252(bytes: &[u8], out: &mut String) -> Result<(), NotText> {
    let text = bytes.iter().position(|b| !is_windows_text(*b)).unwrap_or(bytes.len());
    out.push_str(&WINDOWS_1252.decode_without_bom_handling(&bytes[..text]).0);
    if text == bytes.len() { Ok(()) } else { Err(NotText) }
}

/// Every byte is a character of Windows-1252; those that no text has tell a picture or an archive.
fn is_windows_text(byte: u8) -> bool {
    match byte {
        b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => true,
        0x00..0x20 | 0x7f | 0x81 | 0x8d | 0x8f | 0x90 | 0x9d => false,
        _ => true,
    }
}

fn utf16(
    decoder: &mut encoding_rs::Decoder,
    mut bytes: &[u8],
    last: bool,
    out: &mut String,
) -> Result<(), NotText> {
    let begin = out.len();
    loop {
        let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len());
        out.reserve(room);
        let (result, read) = decoder.decode_to_string_without_replacement(bytes, out, last);
        bytes = &bytes[read..];
        match result {
            DecoderResult::InputEmpty => return Ok(()),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                refuse_nul(begin, out)?;
                return Err(NotText);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> (String, Result<(), NotText>) {
        let (mut decoder, mut out) = (Decoder::new(), String::new());
        for piece in pieces {
            if let Err(error) = decoder.push(piece, false, &mut out) {
                return (out, Err(error));
            }
        }
        let end = decoder.push(&[], true, &mut out);
        (out, end)
    }

    fn utf16(text: &str, mark: [u8; 2], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
    }

    proptest! {
        #[test]
        fn every_encoding_in_every_cutting_gives_the_text(text in "[a-z,\n\u{e9}\u{4e16}\u{1f600}]{0,40}", size in 1_usize..7) {
            let forms = [
                text.clone().into_bytes(),
                [b"\xef\xbb\xbf", text.as_bytes()].concat(),
                utf16(&text, [0xff, 0xfe], u16::to_le_bytes),
                utf16(&text, [0xfe, 0xff], u16::to_be_bytes),
            ];
            for bytes in forms {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                prop_assert_eq!(decode(&pieces), (text.clone(), Ok(())));
            }
        }

        #[test]
        fn windows_1252_in_every_cutting_gives_the_text(text in "[a-z,\n]{0,9}[\u{e9}\u{fc}\u{20ac}][a-z\u{e9}]{0,20}", size in 1_usize..7) {
            let bytes = WINDOWS_1252.encode(&text).0.into_owned();
            prop_assume!(std::str::from_utf8(&bytes).is_err());
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(decode(&pieces), (text, Ok(())));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), size in 1_usize..7) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let whole = decode(&[&bytes]);
            prop_assert_eq!(decode(&pieces).1, whole.1);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_the_text_before_it() {
        for (bytes, before) in [
            (&b"phone\n62\x0012"[..], "phone\n62"),
            (b"PK\x03\x04\x14\x00\x06", "PK\u{3}\u{4}\u{14}"),
            (b"\x89PNG\r\n\x1a\n\0", "\u{2030}PNG\r\n"),
            (b"\xff\xfea\0\0\0b\0", "a"),
            (b"\xff\xfea\0\x00\xd8b\0", "a"),
            (b"\xff\xfea\0b", "a"),
            // UTF-8, then Windows-1252.
            (b"Jos\xc3\xa9\nJos\xe9\n", "Jos\u{e9}\nJos"),
            (b"\xef\xbb\xbfJos\xe9\n", "Jos"),
        ] {
            assert_eq!(decode(&[bytes]), (before.to_owned(), Err(NotText)), "{bytes:?}");
        }
    }

    #[test]
    fn a_file_that_ends_within_a_character_is_windows_1252_or_refused() {
        assert_eq!(decode(&[b"Jos\xc3"]), ("Jos\u{c3}".to_owned(), Ok(())));
        assert_eq!(decode(&["\u{e9}".as_bytes(), b"Jos\xc3"]).1, Err(NotText));
        assert_eq!(decode(&[]), (String::new(), Ok(())));
        assert_eq!(decode(&[b"\xff\xfe"]), (String::new(), Ok(())));
    }
}
