//! What travels through the network: kinds and price categories of messages, the statuses they
//! pass through. Neither bodies nor JSON: the network never looks at what a message says.

use serde::{Deserialize, Serialize};

/// The kinds of message a business can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Text,
    Image,
    Video,
    Audio,
    Document,
    Sticker,
    Location,
    Contacts,
    Reaction,
    Interactive,
    Template,
    Pin,
    /// A read receipt or typing indicator; not a message.
    Receipt,
    /// What could not be told from a refused request.
    Unknown,
}

const KINDS: &[(&str, Kind)] = &[
    ("text", Kind::Text),
    ("image", Kind::Image),
    ("video", Kind::Video),
    ("audio", Kind::Audio),
    ("document", Kind::Document),
    ("sticker", Kind::Sticker),
    ("location", Kind::Location),
    ("contacts", Kind::Contacts),
    ("reaction", Kind::Reaction),
    ("interactive", Kind::Interactive),
    ("template", Kind::Template),
    ("pin", Kind::Pin),
];

impl Kind {
    /// The kind a request names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Unknown => "unknown",
            sent => KINDS.iter().find(|(_, kind)| *kind == sent).map_or("unknown", |(name, _)| name),
        }
    }
}

/// What a message is charged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Category {
    Marketing,
    Utility,
    Authentication,
    Service,
}

impl Category {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
            Self::Service => "service",
        }
    }
}

/// The statuses WhatsApp reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Sent,
    Delivered,
    Read,
    Played,
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }
}

/// One message as a face hands it to the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Index of the business number.
    pub(crate) number: usize,
    /// The user: digits, or a user id nobody's number is known for.
    pub(crate) to: &'a str,
    pub(crate) kind: Kind,
    pub(crate) category: Category,
    pub(crate) reference: Option<&'a str>,
    /// The code it fails with later, whoever it is for.
    pub(crate) doom: Option<u32>,
    /// The template it is of, 0 for none the account has.
    pub(crate) template: u64,
    /// Seconds after which it is no longer delivered.
    pub(crate) ttl_s: Option<u64>,
    /// Whether a script answers it instead of chance.
    pub(crate) scripted: bool,
}
