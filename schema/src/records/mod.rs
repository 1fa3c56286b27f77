//! Records: the plain nouns nobody races for (a tenant, a key, a template), with a version each. A noun declares
//! itself once, in a file of its own here; no backend knows any noun.
//!
//! Not the log of what happened (that is the journal) and not what is folded from it (those are the views).

mod campaign;
mod data_key;
mod health;
mod import;
mod import_errors;
mod key;
mod media;
mod media_fetch;
mod meta_app;
mod moved;
mod noun;
mod number;
mod provider_template;
mod reseller;
mod rest;
mod session;
mod stray;
mod subscription;
mod template;
mod tenant;

pub use campaign::{Campaign, Origin, Relation, Timing};
pub use data_key::DataKey;
pub use health::SessionHealth;
pub use import::{Checkpoint, ConsentBasis, Import, ImportState, Problem};
pub use import_errors::{ErrorRow, ImportErrors};
pub use key::{Key, KeyLimits, KeyOwner, KeyUse, Scope};
pub use media::{Media, MediaCopy, MediaOrigin};
pub use media_fetch::{MediaFetch, ReceivedMedia};
pub use meta_app::MetaApp;
pub use moved::{Moved, MovedKind};
pub use noun::{Noun, Nouns, Versioned};
pub use number::{AsOf, FailedLook, Newest, Number};
pub use provider_template::{Evidence, ProviderTemplate, TemplateSync};
pub use reseller::{Reseller, ResellerTenant};
pub use rest::Rest;
pub use session::Session;
pub use stray::Stray;
pub use subscription::{
    AttemptLine, AttemptLog, AttemptOutcome, OldSecret, Standing, Subscription, Waiting, WhyDisabled,
};
pub use template::Template;
pub use tenant::{MetaAck, MetaAnswers, Tenant};

use crate::Answer;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;

/// One record as a backend keeps it. Its key is (kind, tenant, id).
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The noun's stable name.
    pub kind: &'static str,
    /// Whose.
    pub tenant: TenantId,
    /// Its id; unique per kind and tenant.
    pub id: u64,
    /// How often it was put; 0 before the first time.
    pub version: u64,
    /// Its creation: pages are ordered by (created, id).
    pub created: Timestamp,
    /// What it can be found by: (index, value). Told at a put; what is read has none.
    pub indexes: Vec<(&'static str, String)>,
    /// The noun's bytes, see [`Noun`].
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Record {
    /// Without the body and the index values: they may be a secret's hash or a number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("version", &self.version)
            .field("created", &self.created)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where a page of records goes on: after this (created, id).
pub type After = (Timestamp, u64);

/// The store of records. Every method but `find` and `all` names a tenant and sees no other.
pub trait Records: Send + Sync {
    /// The record, if there is one.
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>>;

    /// Writes when the stored version is `expect` (0: there must be none) and answers the new version,
    /// `expect + 1`; otherwise `Conflict`. `record.version` is not looked at.
    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64>;

    /// Deletes when the stored version is `expect`; otherwise, also when there is none, `Conflict`.
    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()>;

    /// Writes a record as it was elsewhere, with its version (at least 1) and its indexes. The same again is Ok;
    /// when something else stands there, `Conflict`, and nothing is written.
    fn restore(&self, record: Record) -> Answer<'_, ()>;

    /// A tenant's records of a kind by (created, id), at most `limit`; with an index only those whose value
    /// equals it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the question, and there is one such method"
    )]
    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>>;

    /// The record with this index value, across tenants: an API key by its hash, a session by its phone number
    /// id. Of several, the one that comes first by (tenant, created, id).
    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>>;

    /// All tenants' records of a kind by (tenant, id), at most `limit`: for the start of a node.
    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>>;
}
