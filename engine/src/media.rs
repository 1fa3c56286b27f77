//! What media WhatsApp takes: its kinds, the formats of each, how large a file may be, and what a file's first bytes
//! show it to be. Not where media is kept, nor how it travels.
//!
//! Source: Meta's Cloud API reference, supported media types.

use serde::{Deserialize, Serialize};

/// What a message makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A file.
    Document,
    /// A sticker.
    Sticker,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl MediaKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Image, Self::Video, Self::Audio, Self::Document, Self::Sticker];
    /// Most bytes of any kind.
    pub const BYTES_MAX: u64 = 100 * MIB;

    /// As Meta and we write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Sticker => "sticker",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Most bytes of a file.
    #[must_use]
    pub fn bytes_max(self, animated: bool) -> u64 {
        match self {
            Self::Image => 5 * MIB,
            Self::Video | Self::Audio => 16 * MIB,
            Self::Document => Self::BYTES_MAX,
            Self::Sticker if animated => 500 * KIB,
            Self::Sticker => 100 * KIB,
        }
    }

    /// The MIME types it takes, as a list to read.
    #[must_use]
    pub fn formats(self) -> String {
        let names: Vec<_> = FORMATS.iter().filter(|f| f.kind == self).map(|f| f.mime).collect();
        names.join(", ")
    }

    /// Whether a file of this type and size can be sent as this kind. `mime` is one that [`canonical`] gave.
    ///
    /// # Errors
    /// [`Unfit`] naming what is allowed.
    pub fn takes(self, mime: &str, bytes: u64, animated: bool) -> Result<(), Unfit> {
        if !FORMATS.iter().any(|format| format.kind == self && format.mime == mime) {
            return Err(Unfit::Type { kind: self, mime: cut(mime) });
        }
        let limit = self.bytes_max(animated);
        if bytes > limit { Err(Unfit::Size { kind: self, limit, bytes }) } else { Ok(()) }
    }
}

/// Why a file cannot be sent as what it shall be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Of a type the kind does not take.
    #[error("{} is no type of {}: WhatsApp takes {}", .mime, .kind.word(), .kind.formats())]
    Type {
        /// What it shall be.
        kind: MediaKind,
        /// Its type.
        mime: String,
    },
    /// Of a type no kind takes.
    #[error("{mime} is no type WhatsApp takes; it takes {}", all_formats())]
    Foreign {
        /// Its type.
        mime: String,
    },
    /// Larger than the kind may be.
    #[error("{} bytes are too many for {}: WhatsApp takes at most {limit}", .bytes, .kind.word())]
    Size {
        /// What it shall be.
        kind: MediaKind,
        /// Most bytes.
        limit: u64,
        /// How many there are; at least so many.
        bytes: u64,
    },
    /// Its bytes are not what it is said to be.
    #[error("the bytes are not of the type {mime}{}", shown(.seen))]
    Disguised {
        /// What was said.
        mime: String,
        /// What the bytes show.
        seen: Option<&'static str>,
    },
    /// Nothing said what it is, and its bytes do not show it.
    #[error("the bytes do not show what it is: say its type; WhatsApp takes {}", all_formats())]
    Unknown,
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
}

fn all_formats() -> String {
    let of_kind = |kind: MediaKind| format!("as {} {}", kind.word(), kind.formats());
    MediaKind::ALL.map(of_kind).join("; ")
}

fn shown(seen: &Option<&'static str>) -> String {
    seen.map(|what| format!(": they are {what}")).unwrap_or_default()
}

/// A caller's word, short enough to be told back.
fn cut(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(100).collect()
}

struct Format {
    mime: &'static str,
    kind: MediaKind,
    seen: Seen,
    /// Name endings by which it is told from others whose bytes begin alike.
    ending: &'static str,
}

const fn format(mime: &'static str, kind: MediaKind, seen: Seen, ending: &'static str) -> Format {
    Format { mime, kind, seen, ending }
}

/// In the order in which a file that does not say its type is guessed.
const FORMATS: &[Format] = &[
    format("image/jpeg", MediaKind::Image, Seen::Jpeg, "jpg"),
    format("image/png", MediaKind::Image, Seen::Png, "png"),
    format("video/mp4", MediaKind::Video, Seen::Mp4, "mp4"),
    format("video/3gpp", MediaKind::Video, Seen::Gpp, "3gp"),
    format("audio/aac", MediaKind::Audio, Seen::Aac, "aac"),
    format("audio/amr", MediaKind::Audio, Seen::Amr, "amr"),
    format("audio/mpeg", MediaKind::Audio, Seen::Mpeg, "mp3"),
    format("audio/mp4", MediaKind::Audio, Seen::M4a, "m4a"),
    format("audio/ogg", MediaKind::Audio, Seen::Opus, "ogg"),
    format("text/plain", MediaKind::Document, Seen::Text, "txt"),
    format("application/pdf", MediaKind::Document, Seen::Pdf, "pdf"),
    format("application/msword", MediaKind::Document, Seen::Ole, "doc"),
    format("application/vnd.ms-excel", MediaKind::Document, Seen::Ole, "xls"),
    format("application/vnd.ms-powerpoint", MediaKind::Document, Seen::Ole, "ppt"),
    format(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        MediaKind::Document,
        Seen::Zip,
        "docx",
    ),
    format(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        MediaKind::Document,
        Seen::Zip,
        "xlsx",
    ),
    format(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        MediaKind::Document,
        Seen::Zip,
        "pptx",
    ),
    format("image/webp", MediaKind::Sticker, Seen::Webp, "webp"),
];

/// The names some programs give to types that have another one.
const ALIASES: &[(&str, &str)] = &[
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/opus", "audio/ogg"),
    ("audio/x-aac", "audio/aac"),
    ("video/3gp", "video/3gpp"),
    ("application/x-pdf", "application/pdf"),
];

/// A type as the reference names it: lower case, without parameters. What nobody knows stays what it is.
#[must_use]
pub fn canonical(mime: &str) -> String {
    let bare = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ALIASES.iter().find(|(alias, _)| *alias == bare).map_or(bare, |(_, name)| (*name).to_owned())
}

/// How many of a file's first bytes [`look`] wants to see.
pub const HEAD: usize = 4_096;

/// What a file's first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Jpeg,
    Png,
    Webp,
    Mp4,
    M4a,
    Gpp,
    Aac,
    Amr,
    Mpeg,
    Opus,
    Pdf,
    Ole,
    Zip,
    Text,
}

impl Seen {
    fn word(self) -> &'static str {
        match self {
            Self::Jpeg => "a JPEG picture",
            Self::Png => "a PNG picture",
            Self::Webp => "a WebP picture",
            Self::Mp4 | Self::M4a => "an MP4 file",
            Self::Gpp => "a 3GP file",
            Self::Aac => "AAC sound",
            Self::Amr => "AMR sound",
            Self::Mpeg => "MP3 sound",
            Self::Opus => "Opus sound",
            Self::Pdf => "a PDF file",
            Self::Ole => "an older Office file",
            Self::Zip => "a ZIP archive or an Office file",
            Self::Text => "text",
        }
    }

    /// Whether bytes that look like this may be what `format` says. One container serves films and sounds.
    fn may_be(self, said: Self) -> bool {
        let iso = |seen| matches!(seen, Self::Mp4 | Self::M4a | Self::Gpp);
        self == said || (iso(self) && iso(said))
    }

    fn of(head: &[u8]) -> Option<Self> {
        let at = |place: usize, word: &[u8]| head.get(place..place + word.len()) == Some(word);
        let sync = |head: &[u8]| head[0] == 0xff && head[1] & 0xe0 == 0xe0 && head[1] & 0x06 != 0;
        Some(match head {
            _ if at(0, &[0xff, 0xd8, 0xff]) => Self::Jpeg,
            _ if at(0, b"\x89PNG\r\n\x1a\n") => Self::Png,
            _ if at(0, b"RIFF") && at(8, b"WEBP") => Self::Webp,
            _ if at(4, b"ftyp") && at(8, b"3g") => Self::Gpp,
            _ if at(4, b"ftyp") && (at(8, b"M4A") || at(8, b"M4B")) => Self::M4a,
            _ if at(4, b"ftyp") && !at(8, b"qt") => Self::Mp4,
            _ if at(0, b"OggS") && at(28, b"OpusHead") => Self::Opus,
            _ if at(0, b"#!AMR") => Self::Amr,
            _ if at(0, b"ID3") => Self::Mpeg,
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Self::Aac,
            [_, _, ..] if sync(head) => Self::Mpeg,
            _ if at(0, b"%PDF-") => Self::Pdf,
            _ if at(0, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]) => Self::Ole,
            _ if at(0, b"PK\x03\x04") => Self::Zip,
            _ if is_text(head) => Self::Text,
            _ => return None,
        })
    }
}

/// No control characters but those of lines; which encoding does not matter.
fn is_text(head: &[u8]) -> bool {
    !head.is_empty() && head.iter().all(|b| *b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b))
}

/// A file as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Its type, as the reference names it.
    pub mime: String,
    /// What it is good for.
    pub kind: MediaKind,
    /// Whether it is a picture that moves.
    pub animated: bool,
}

/// Looks at a file's first bytes (at most [`HEAD`] are of interest), at what it is said to be, and at its name.
///
/// # Errors
/// [`Unfit`]; never about the size.
pub fn look(head: &[u8], said: Option<&str>, name: Option<&str>) -> Result<Look, Unfit> {
    if head.is_empty() {
        return Err(Unfit::Empty);
    }
    let seen = Seen::of(head);
    let said = said.map(canonical).filter(|mime| !mime.is_empty() && mime != "application/octet-stream");
    let format = match &said {
        Some(mime) => FORMATS
            .iter()
            .find(|format| format.mime == mime)
            .ok_or_else(|| Unfit::Foreign { mime: cut(mime) })?,
        None => guess(seen.ok_or(Unfit::Unknown)?, head, name).ok_or(Unfit::Unknown)?,
    };
    if !seen.is_some_and(|seen| seen.may_be(format.seen)) {
        return Err(Unfit::Disguised { mime: format.mime.to_owned(), seen: seen.map(Seen::word) });
    }
    // The flags of an extended WebP (VP8X): the second bit says that it moves.
    let animated = format.seen == Seen::Webp
        && head.get(12..16) == Some(b"VP8X")
        && head.get(20).is_some_and(|flags| flags & 0x02 != 0);
    Ok(Look { mime: format.mime.to_owned(), kind: format.kind, animated })
}

/// By the bytes alone where they say it; Office files are told apart by what lies in them or by their name.
fn guess(seen: Seen, head: &[u8], name: Option<&str>) -> Option<&'static Format> {
    let fits = || FORMATS.iter().filter(|format| format.seen == seen);
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    let inside = match seen {
        Seen::Zip if holds(b"word/") => Some("docx"),
        Seen::Zip if holds(b"xl/") => Some("xlsx"),
        Seen::Zip if holds(b"ppt/") => Some("pptx"),
        _ => None,
    };
    let ending = name.and_then(|name| Some(name.rsplit_once('.')?.1.to_ascii_lowercase()));
    match inside.or(ending.as_deref()) {
        Some(ending) if matches!(seen, Seen::Zip | Seen::Ole) => fits().find(|f| f.ending == ending),
        _ if matches!(seen, Seen::Zip | Seen::Ole) => None,
        _ => fits().next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F'];

    fn webp(flags: u8) -> Vec<u8> {
        [b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0".as_slice(), &[flags, 0, 0, 0]].concat()
    }

    fn ftyp(brand: &str) -> Vec<u8> {
        [b"\0\0\0\x20ftyp".as_slice(), brand.as_bytes(), b"\0\0\0\0"].concat()
    }

    fn opus() -> Vec<u8> {
        [b"OggS".as_slice(), &[0; 24], b"OpusHead"].concat()
    }

    #[test]
    fn what_a_file_is_shows_in_its_first_bytes() {
        let docx = [b"PK\x03\x04".as_slice(), &[0; 26], b"word/document.xml"].concat();
        for (head, name, mime) in [
            (JPEG.to_vec(), None, "image/jpeg"),
            (b"\x89PNG\r\n\x1a\n....".to_vec(), None, "image/png"),
            (webp(0), None, "image/webp"),
            (ftyp("isom"), None, "video/mp4"),
            (ftyp("3gp4"), None, "video/3gpp"),
            (ftyp("M4A "), None, "audio/mp4"),
            (opus(), None, "audio/ogg"),
            (b"#!AMR\n..".to_vec(), None, "audio/amr"),
            (b"ID3\x04....".to_vec(), None, "audio/mpeg"),
            (vec![0xff, 0xfb, 0x90, 0x64], None, "audio/mpeg"),
            (vec![0xff, 0xf1, 0x50, 0x80], None, "audio/aac"),
            (b"%PDF-1.7\n".to_vec(), None, "application/pdf"),
            (b"Halo,\tdunia\n".to_vec(), None, "text/plain"),
            (vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], Some("a.XLS"), "application/vnd.ms-excel"),
            (docx, None, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ] {
            assert_eq!(look(&head, None, name).map(|look| look.mime), Ok(mime.to_owned()), "{head:?}");
            assert_eq!(look(&head, Some(mime), None).map(|look| look.mime), Ok(mime.to_owned()), "{mime}");
        }
        assert!(
            look(&webp(0x02), None, None).unwrap().animated
                && !look(&webp(0x10), None, None).unwrap().animated
        );
        assert_eq!(look(b"PK\x03\x04", None, Some("a.zip")), Err(Unfit::Unknown));
        assert_eq!(look(&[0, 1, 2, 3], None, Some("a.jpg")), Err(Unfit::Unknown), "an ending proves nothing");
    }

    #[test]
    fn a_type_is_read_as_programs_write_it_and_never_believed_against_the_bytes() {
        for (said, mime) in [
            ("image/jpg", "image/jpeg"),
            ("IMAGE/JPEG; q=1", "image/jpeg"),
            ("application/octet-stream", "image/jpeg"),
        ] {
            assert_eq!(look(JPEG, Some(said), None).unwrap().mime, mime);
        }
        assert_eq!(look(&opus(), Some("audio/ogg; codecs=opus"), None).unwrap().kind, MediaKind::Audio);
        assert_eq!(look(&ftyp("isom"), Some("audio/mp4"), None).unwrap().kind, MediaKind::Audio);
        let disguised = look(b"%PDF-1.4", Some("image/jpeg"), None).unwrap_err().to_string();
        assert_eq!(disguised, "the bytes are not of the type image/jpeg: they are a PDF file");
        assert!(matches!(look(b"OggS....", Some("audio/ogg"), None), Err(Unfit::Disguised { .. })), "Vorbis");
        let foreign = look(JPEG, Some("image/gif"), None).unwrap_err().to_string();
        assert!(
            foreign.starts_with(
                "image/gif is no type WhatsApp takes; it takes as image image/jpeg, image/png; as"
            )
        );
        assert_eq!(look(b"", Some("text/plain"), None), Err(Unfit::Empty));
    }

    #[test]
    fn a_kind_takes_its_types_up_to_its_size() {
        assert_eq!(MediaKind::Image.takes("image/png", 5 << 20, false), Ok(()));
        let large = MediaKind::Image.takes("image/png", (5 << 20) + 1, false).unwrap_err().to_string();
        assert_eq!(large, "5242881 bytes are too many for image: WhatsApp takes at most 5242880");
        let other = MediaKind::Image.takes("image/webp", 1, false).unwrap_err().to_string();
        assert_eq!(other, "image/webp is no type of image: WhatsApp takes image/jpeg, image/png");
        assert!(MediaKind::Sticker.takes("image/webp", 200 << 10, false).is_err());
        assert_eq!(MediaKind::Sticker.takes("image/webp", 200 << 10, true), Ok(()));
        assert_eq!(MediaKind::of_word("sticker"), Some(MediaKind::Sticker));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_look_panic(head in proptest::collection::vec(any::<u8>(), 0..64), said in "\\PC{0,20}") {
            let _ = look(&head, Some(&said), Some(&said));
            let _ = look(&head, None, None);
        }
    }
}
