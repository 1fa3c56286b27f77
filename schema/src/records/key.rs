//! The API key: only its hash is kept; the secret is shown once. What it may do stands in it, so that a copy of the
//! secret is worth no more than the key. Not the data key, which seals, and not the operator's, which is configured.

use super::Noun;
use kabar_engine::id::{KeyId, ResellerId, SessionId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where the keys of resellers lie: no tenant has them.
const NOBODY: TenantId = TenantId(0);

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyOwner {
    /// A tenant's.
    Tenant(TenantId),
    /// A reseller's.
    Reseller(ResellerId),
}

impl KeyOwner {
    /// Under whom its records lie.
    #[must_use]
    pub fn place(self) -> TenantId {
        match self {
            Self::Tenant(tenant) => tenant,
            Self::Reseller(_) => NOBODY,
        }
    }

    /// What its records are found by in that place, when others lie there too.
    #[must_use]
    pub fn index(self) -> Option<(&'static str, String)> {
        match self {
            Self::Tenant(_) => None,
            Self::Reseller(reseller) => Some((Key::RESELLER, reseller.to_string())),
        }
    }

    /// A number of its own among all owners, for ids that follow from an idempotency key.
    #[must_use]
    pub fn root(self) -> TenantId {
        match self {
            Self::Tenant(tenant) => tenant,
            Self::Reseller(reseller) => TenantId(reseller.0),
        }
    }
}

macro_rules! scopes {
    ($($name:ident = $word:literal, $what:literal;)+) => {
        /// What a key may be good for; each operation of the API needs one of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Scope {
            $(#[doc = $what] #[serde(rename = $word)] $name,)+
        }

        impl Scope {
            /// All of them, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it is written.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it lets a caller do, one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }
        }
    };
}

scopes! {
    MessagesSend = "messages:send", "Send single messages and batches, and cancel what waits.";
    MessagesRead = "messages:read", "Read messages with their timelines.";
    MediaRead = "media:read", "Read media files and what is known of them.";
    MediaWrite = "media:write", "Keep and delete media files.";
    ConversationsRead = "conversations:read", "Read conversations and what was said in them.";
    CampaignsRead = "campaigns:read", "Read campaigns, their reports and recipients.";
    CampaignsWrite = "campaigns:write", "Make, clone and retry campaigns; nothing is sent by that.";
    CampaignsRun = "campaigns:run", "Launch, pause, resume and cancel campaigns.";
    ContactsRead = "contacts:read", "Read contacts and imports, and export them.";
    ContactsWrite = "contacts:write", "Make, change, delete and import contacts.";
    OptOutsRead = "optouts:read", "Read who wants no messages.";
    OptOutsWrite = "optouts:write", "Record that somebody wants no messages, or wants them again.";
    TemplatesRead = "templates:read", "Read and preview stored messages.";
    TemplatesWrite = "templates:write", "Make, change and delete stored messages.";
    SessionsRead = "sessions:read", "Read sessions and apps.";
    SessionsWrite = "sessions:write", "Link numbers and register apps.";
    WebhooksRead = "webhooks:read", "Read webhook subscriptions and their deliveries.";
    WebhooksWrite = "webhooks:write", "Make, change, test, replay and end webhook subscriptions.";
    EventsRead = "events:read", "Read and follow events.";
    KeysRead = "keys:read", "Read API keys; never their secrets.";
    KeysWrite = "keys:write", "Make, change, rotate and revoke API keys that may no more than this one.";
    TenantsRead = "tenants:read", "Read the reseller's tenants; for keys of resellers alone.";
    TenantsWrite = "tenants:write", "Make and change the reseller's tenants; for keys of resellers alone.";
}

impl Scope {
    /// Whether only a reseller's key can have it.
    #[must_use]
    pub fn is_resellers(self) -> bool {
        matches!(self, Self::TenantsRead | Self::TenantsWrite)
    }
}

/// Rates of a key that differ from the configured ones; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Requests a second.
    pub api_per_second: Option<u32>,
    /// Requests at once.
    pub api_burst: Option<u32>,
    /// Messages a second.
    pub send_per_second: Option<u32>,
    /// Messages at once.
    pub send_burst: Option<u32>,
}

/// An API key of a tenant or a reseller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub owner: KeyOwner,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the secret, in hex.
    pub hash: String,
    /// The first characters of the secret, so that people recognise it.
    pub prefix: String,
    /// What it is good for; `None`: everything its owner may, also what is still to come.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The sessions it is good for; `None`: all.
    pub sessions: Option<BTreeSet<SessionId>>,
    /// From when on it is good no more.
    pub expires: Option<Timestamp>,
    /// The networks it may be used from, as they were written; empty: all.
    pub networks: Vec<String>,
    /// Rates of its own.
    pub limits: Option<KeyLimits>,
    /// The key it was made to replace.
    pub rotates: Option<KeyId>,
    /// The key that was made to replace it.
    pub replaced_by: Option<KeyId>,
    /// Hash of the request that made it, so that a repeat is told from another request; empty before version 2.
    pub body_hash: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
}

impl Key {
    /// The index by the secret's hash.
    pub const HASH: &'static str = "hash";
    /// The index of resellers' keys by their reseller.
    pub const RESELLER: &'static str = "reseller";
}

impl Noun for Key {
    const KIND: &'static str = "key";
    const VERSION: u32 = 2;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.owner.place()
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        let mut indexes = vec![(Self::HASH, self.hash.clone())];
        indexes.extend(self.owner.index());
        indexes
    }
    fn read(version: u32, json: &str) -> Result<Self, serde_json::Error> {
        match version {
            1 => serde_json::from_str::<First>(json).map(Self::from),
            _ => serde_json::from_str(json),
        }
    }
}

/// Version 1: a tenant's key, good for everything.
#[derive(Deserialize)]
struct First {
    id: KeyId,
    tenant: TenantId,
    name: String,
    hash: String,
    prefix: String,
    created: Timestamp,
    #[serde(default)]
    revoked: Option<Timestamp>,
}

impl From<First> for Key {
    fn from(first: First) -> Self {
        Self {
            id: first.id,
            owner: KeyOwner::Tenant(first.tenant),
            name: first.name,
            hash: first.hash,
            prefix: first.prefix,
            scopes: None,
            sessions: None,
            expires: None,
            networks: Vec::new(),
            limits: None,
            rotates: None,
            replaced_by: None,
            body_hash: String::new(),
            created: first.created,
            revoked: first.revoked,
        }
    }
}

/// When a key was last used, apart from the key: it is written every minute, and a change of the key must not meet it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key.
    pub id: KeyId,
    /// Whose.
    pub owner: KeyOwner,
    /// When the key was created: uses lie in the order of their keys.
    pub created: Timestamp,
    /// When it was last used.
    pub at: Timestamp,
    /// From which network, e.g. `203.0.113.0/24`; never the whole address.
    pub from: Option<String>,
}

impl Noun for KeyUse {
    const KIND: &'static str = "key_use";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.owner.place()
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.owner.index().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_first_version_is_good_for_everything_and_is_written_as_the_second() {
        let json = r#"{"id":"key_0000000000001","tenant":"ten_0000000000002","name":"k","hash":"h","prefix":"kbr_abc",
            "created":7,"revoked":9}"#;
        let key = Key::read(1, json).unwrap();
        assert_eq!(key.owner, KeyOwner::Tenant(TenantId(2)));
        assert_eq!((&key.scopes, &key.sessions, key.expires), (&None, &None, None));
        assert!(key.networks.is_empty() && key.limits.is_none() && key.revoked == Some(Timestamp(9)));
        let again = serde_json::to_string(&key).unwrap();
        assert_eq!(Key::read(2, &again).unwrap(), key);
        assert!(Key::read(2, json).is_err());
    }

    #[test]
    fn a_scope_is_written_as_its_word_and_stands_once() {
        let words: BTreeSet<_> = Scope::ALL.iter().map(|scope| scope.word()).collect();
        assert_eq!(words.len(), Scope::ALL.len());
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.word());
            assert!(scope.meaning().ends_with('.'), "{}", scope.word());
        }
    }

    #[test]
    fn keys_of_resellers_lie_together_and_are_told_apart_by_their_index() {
        let owner = KeyOwner::Reseller(ResellerId(5));
        let json = serde_json::to_string(&owner).unwrap();
        assert_eq!(json, r#"{"reseller":"rsl_0000000000005"}"#);
        assert_eq!((owner.place(), owner.root()), (TenantId(0), TenantId(5)));
        assert_eq!(owner.index(), Some((Key::RESELLER, "rsl_0000000000005".into())));
        assert_eq!(KeyOwner::Tenant(TenantId(5)).index(), None);
    }
}
