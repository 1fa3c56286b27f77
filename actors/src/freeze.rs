//! Freezing an audience: contacts in order of address, less those who opted out, less those who miss a variable,
//! dealt to the sending sessions, packed in chunks and parts, written once. A crash leaves garbage under another
//! attempt's number, nothing else.

use crate::audience::{AudienceWalk, Fate};
use crate::contact_value::contact_value;
use crate::dispatcher::DispatchError;
use crate::frequency::{Lately, LatelyError};
use crate::node::Node;
use kabar_engine::address::Address;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::consent::{SuppressedRow, newest};
use kabar_engine::entry::{Frozen, PartLine};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::mark::CHUNK;
use kabar_engine::optout::Wish;
use kabar_engine::part::CHUNKS;
use kabar_engine::template::ContentPattern;
use kabar_engine::time::Timestamp;
use kabar_schema::contacts::Contact;
use kabar_schema::error::StoreError;
use kabar_schema::ledger::PartManifest;
use kabar_schema::records::Campaign as Spec;
use kabar_schema::views::Views;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::Arc;

/// Contacts read at once.
const PAGE: usize = 1_000;

/// Why an audience could not be frozen.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The store could not.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A shard could not.
    #[error("a shard: {0}")]
    Shard(#[from] DispatchError),
    /// The content does not compile; it was checked when the campaign was made.
    #[error("the content does not compile: {0}")]
    Content(String),
    /// The cap of what people get cannot be told yet.
    #[error(transparent)]
    Lately(#[from] LatelyError),
    /// Nobody is named to send from.
    #[error("the campaign names no sender")]
    NoSender,
}

/// Freezes a launched campaign's audience under a fresh attempt.
pub async fn freeze(
    node: &Arc<Node>,
    spec: &Spec,
    launched: Timestamp,
    attempt: u32,
) -> Result<Frozen, FreezeError> {
    let pattern = ContentPattern::compile(&spec.content, spec.spintax)
        .map_err(|error| FreezeError::Content(error.to_string()))?;
    if spec.senders.is_empty() {
        return Err(FreezeError::NoSender);
    }
    let columns: Arc<[Arc<str>]> = pattern.variables().iter().map(|v| Arc::from(v.name.as_str())).collect();
    let mut press = Press::new(node, spec, attempt, columns);
    let lately = Lately::of(node, spec, Some(launched)).await?;
    let mut walk = AudienceWalk::new(node, spec, &pattern, lately).await?;
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            return press.finish().await;
        }
        for (contact, fate) in page {
            press.audience += 1;
            match fate {
                Fate::OptedOut => press.opted_out += 1,
                Fate::MissingVariable => press.missing += 1,
                Fate::FrequencyCapped => press.capped += 1,
                Fate::Recipient => press.add(contact).await?,
            }
        }
    }
}

/// An audience of nobody: how a campaign ends that sent nothing itself.
#[must_use]
pub fn freeze_nobody(spec: &Spec, attempt: u32) -> Frozen {
    let (campaign, digest) = (spec.id, Sha256::new().finalize().into());
    Frozen {
        campaign,
        attempt,
        audience: 0,
        opted_out: 0,
        missing_variable: 0,
        frequency_capped: 0,
        parts: Vec::new(),
        digest,
    }
}

/// The place in `senders` of whoever sends to somebody: the same person always gets the same sender.
#[must_use]
pub fn sender_of(address: &Address, senders: usize) -> usize {
    let hash = xxhash_rust::xxh3::xxh3_64(address.key().as_bytes());
    usize::try_from(hash % (senders.max(1) as u64)).unwrap_or(0)
}

/// The tenant's opt-outs, walked beside the contacts in the same order.
pub struct Consents {
    views: Arc<dyn Views>,
    tenant: TenantId,
    rows: VecDeque<SuppressedRow>,
    after: Option<Address>,
    ended: bool,
}

impl Consents {
    /// From the first address on.
    pub fn new(node: &Node, tenant: TenantId) -> Self {
        let views = Arc::clone(&node.store().views);
        Self { views, tenant, rows: VecDeque::new(), after: None, ended: false }
    }

    /// Whether the person has opted out; addresses must be asked in their order.
    pub async fn opted_out(&mut self, address: &Address) -> Result<bool, StoreError> {
        let mut own = Vec::new();
        loop {
            if self.rows.is_empty() && !self.ended {
                self.more().await?;
            }
            match self.rows.front() {
                Some(row) if row.address < *address => _ = self.rows.pop_front(),
                Some(row) if row.address == *address => own.extend(self.rows.pop_front()),
                _ => break,
            }
        }
        Ok(newest(&own).is_some_and(|(wish, _)| wish == Wish::OptOut))
    }

    /// Reads the next page; an address whose rows may go on behind the page is left for the next one.
    async fn more(&mut self) -> Result<(), StoreError> {
        let mut page = self.views.consents(self.tenant, self.after.clone(), PAGE).await?;
        if page.len() < PAGE {
            self.ended = true;
        } else if let Some(last) = page.last().map(|r| r.address.clone()) {
            // At most 256 rows (one a shard) have the same address, so something is left.
            page.retain(|r| r.address != last);
        }
        self.after = page.last().map(|r| r.address.clone()).or(self.after.take());
        self.rows.extend(page);
        Ok(())
    }
}

/// Recipients of one sender that do not fill a chunk yet, and the part they will be in.
struct Tray {
    session: SessionId,
    part: Option<u32>,
    chunks: Vec<(Address, u32)>,
    recipients: Vec<Recipient>,
}

struct Press<'a> {
    node: &'a Node,
    spec: &'a Spec,
    attempt: u32,
    columns: Arc<[Arc<str>]>,
    trays: Vec<Tray>,
    parts: Vec<PartLine>,
    digest: Sha256,
    audience: u64,
    opted_out: u64,
    missing: u64,
    capped: u64,
}

impl<'a> Press<'a> {
    fn new(node: &'a Node, spec: &'a Spec, attempt: u32, columns: Arc<[Arc<str>]>) -> Self {
        let tray = |session: &SessionId| Tray {
            session: *session,
            part: None,
            chunks: Vec::new(),
            recipients: Vec::new(),
        };
        let trays = spec.senders.iter().map(tray).collect();
        Self {
            node,
            spec,
            attempt,
            columns,
            trays,
            parts: Vec::new(),
            digest: Sha256::new(),
            audience: 0,
            opted_out: 0,
            missing: 0,
            capped: 0,
        }
    }

    async fn add(&mut self, contact: Contact) -> Result<(), StoreError> {
        let place = sender_of(&contact.address, self.trays.len());
        let values =
            self.columns.iter().map(|column| contact_value(&contact, column).map(Arc::from)).collect();
        let zone = contact.zone.as_deref().map(Arc::from);
        self.trays[place].recipients.push(Recipient { address: contact.address, zone, values });
        if self.trays[place].recipients.len() == CHUNK as usize {
            self.press_chunk(place).await?;
        }
        Ok(())
    }

    async fn press_chunk(&mut self, place: usize) -> Result<(), StoreError> {
        let tray = &mut self.trays[place];
        let Some(first) = tray.recipients.first().map(|r| r.address.clone()) else { return Ok(()) };
        let part = *tray.part.get_or_insert_with(|| {
            self.parts.push(PartLine { session: tray.session, recipients: 0 });
            u32::try_from(self.parts.len() - 1).unwrap_or(u32::MAX)
        });
        let number = part * CHUNKS + u32::try_from(tray.chunks.len()).unwrap_or(0);
        let recipients = std::mem::take(&mut tray.recipients);
        let count = u32::try_from(recipients.len()).unwrap_or(CHUNK);
        tray.chunks.push((first, count));
        self.parts[part as usize].recipients += count;
        let full = tray.chunks.len() == CHUNKS as usize;
        for recipient in &recipients {
            self.digest.update(recipient.address.key().as_bytes());
            for value in &recipient.values {
                self.digest.update([0]);
                self.digest.update(value.as_deref().unwrap_or_default().as_bytes());
            }
        }
        let key = ChunkKey {
            tenant: self.spec.tenant,
            campaign: self.spec.id,
            attempt: self.attempt,
            chunk: number,
        };
        let chunk = Chunk { columns: Arc::clone(&self.columns), recipients };
        self.node.store().ledger.put_chunk(key, chunk).await?;
        if full {
            self.close_part(place).await?;
        }
        Ok(())
    }

    async fn close_part(&mut self, place: usize) -> Result<(), StoreError> {
        let tray = &mut self.trays[place];
        let Some(part) = tray.part.take() else { return Ok(()) };
        let manifest = PartManifest { session: tray.session, chunks: std::mem::take(&mut tray.chunks) };
        let (tenant, campaign) = (self.spec.tenant, self.spec.id);
        self.node.store().ledger.put_part(tenant, campaign, self.attempt, part, manifest).await
    }

    async fn finish(mut self) -> Result<Frozen, FreezeError> {
        for place in 0..self.trays.len() {
            self.press_chunk(place).await?;
            self.close_part(place).await?;
        }
        Ok(Frozen {
            campaign: self.spec.id,
            attempt: self.attempt,
            audience: self.audience,
            opted_out: self.opted_out,
            missing_variable: self.missing,
            frequency_capped: self.capped,
            parts: self.parts,
            digest: self.digest.finalize().into(),
        })
    }
}
