//! A launched campaign's recipients one by one: who, where each stands, and the values it was frozen with. Read part by
//! part from marks and ledger; nobody's state is kept here.

use crate::dispatcher::DispatchError;
use crate::node::Node;
use kabar_engine::chunk::{ChunkKey, Recipient};
use kabar_engine::entry::Frozen;
use kabar_engine::id::{CampaignId, MessageId, SessionId, TenantId};
use kabar_engine::mark::{CHUNK, Mark};
use kabar_engine::overlay::{Key, Overlay};
use kabar_engine::part::{PART, PartRow, chunk_of};
use kabar_engine::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// One recipient as it stands now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its index in the campaign; rises, with gaps between parts.
    pub index: u32,
    /// Its message, once its part has begun.
    pub message: Option<MessageId>,
    /// The session it is sent from.
    pub session: SessionId,
    /// Who, with the frozen values.
    pub recipient: Recipient,
    /// The names of the values.
    pub columns: Arc<[Arc<str>]>,
    /// Where it stands.
    pub mark: Mark,
    /// Its mark counts from here.
    pub launched: Timestamp,
}

/// A campaign's recipients.
pub struct Recipients {
    node: Arc<Node>,
    tenant: TenantId,
    campaign: CampaignId,
    frozen: Box<Frozen>,
}

impl Recipients {
    /// Those of a campaign; `None` when its audience is not frozen.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn of(
        node: &Arc<Node>,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Self>, DispatchError> {
        let shard = node.shard_of_campaign(tenant, campaign);
        let row = shard.read(&[Key::Campaign(campaign)], move |o| o.campaign(campaign)).await?;
        let frozen = row.filter(|r| r.tenant == tenant).and_then(|r| r.frozen.clone());
        Ok(frozen.map(|frozen| Self { node: Arc::clone(node), tenant, campaign, frozen }))
    }

    /// How many parts.
    #[must_use]
    pub fn parts(&self) -> u32 {
        u32::try_from(self.frozen.parts.len()).unwrap_or(u32::MAX)
    }

    /// The session a part is sent from.
    #[must_use]
    pub fn sender(&self, part: u32) -> Option<SessionId> {
        self.frozen.parts.get(part as usize).map(|line| line.session)
    }

    /// At most `limit` recipients from index `from` on, of one part, whose mark is `wanted`; fewer means the part has
    /// no more.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn some(
        &self,
        part: u32,
        from: u32,
        limit: usize,
        wanted: impl Fn(Mark) -> bool,
    ) -> Result<Vec<Standing>, DispatchError> {
        let Some(line) = self.frozen.parts.get(part as usize) else { return Ok(Vec::new()) };
        let (row, marks) = self.marks(part, line.session, line.recipients).await?;
        let mut chosen: BTreeMap<u32, Vec<(u32, Mark)>> = BTreeMap::new();
        let fits = marks.into_iter().filter(|(index, mark)| *index >= from && wanted(*mark));
        for (index, mark) in fits.take(limit) {
            chosen.entry(chunk_of(index).0).or_default().push((index, mark));
        }
        let mut found = Vec::new();
        for (chunk, indexes) in chosen {
            let attempt = self.frozen.attempt;
            let key = ChunkKey { tenant: self.tenant, campaign: self.campaign, attempt, chunk };
            let stored = self.node.store().ledger.get_chunk(key).await?;
            let Some(stored) = stored else { continue };
            for (index, mark) in indexes {
                let Some(recipient) = stored.recipients.get(chunk_of(index).1 as usize) else { continue };
                found.push(Standing {
                    index,
                    message: row.as_ref().and_then(|r| r.message(index)),
                    session: line.session,
                    recipient: recipient.clone(),
                    columns: Arc::clone(&stored.columns),
                    mark,
                    launched: row.as_ref().map_or(Timestamp::default(), |r| r.start.launched),
                });
            }
        }
        Ok(found)
    }

    /// Every index of a part with its mark; all wait when the part has not begun.
    async fn marks(
        &self,
        part: u32,
        session: SessionId,
        recipients: u32,
    ) -> Result<(Option<Arc<PartRow>>, Vec<(u32, Mark)>), DispatchError> {
        let (campaign, first) = (self.campaign, part * PART);
        // Every chunk of a part but the last is full, so its indexes have no gap.
        let indexes: Range<u32> = first..first + recipients;
        let look = move |o: &Overlay| {
            let row = o.part(campaign, part);
            let marks = indexes.clone().map(|index| (index, o.mark(campaign, index).unwrap_or_default()));
            (row, marks.collect())
        };
        let shard = self.node.shard_of_session(self.tenant, session);
        Ok(shard.read(&[Key::Part(campaign, part)], look).await?)
    }
}

/// Which marks are wanted.
pub type Choice = Arc<dyn Fn(Mark) -> bool + Send + Sync>;

/// One sender's recipients with a wanted mark: they come in the order of their addresses.
pub struct OfSender {
    all: Arc<Recipients>,
    wanted: Choice,
    parts: VecDeque<u32>,
    from: u32,
}

impl OfSender {
    /// One for each sender.
    #[must_use]
    pub fn each(all: Recipients, wanted: Choice) -> Vec<Self> {
        let all = Arc::new(all);
        let mut senders: Vec<(SessionId, Self)> = Vec::new();
        for part in 0..all.parts() {
            let Some(sender) = all.sender(part) else { continue };
            match senders.iter_mut().find(|(session, _)| *session == sender) {
                Some((_, of)) => of.parts.push_back(part),
                None => {
                    let (all, wanted, parts) =
                        (Arc::clone(&all), Arc::clone(&wanted), VecDeque::from([part]));
                    senders.push((sender, Self { all, wanted, parts, from: 0 }));
                }
            }
        }
        senders.into_iter().map(|(_, of)| of).collect()
    }

    /// The next ones, at most `limit`; none behind the last.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn more(&mut self, limit: usize) -> Result<Vec<Standing>, DispatchError> {
        while let Some(part) = self.parts.front().copied() {
            let from = self.from.max(part * PART);
            let found = self.all.some(part, from, limit, |mark| (self.wanted)(mark)).await?;
            match found.last() {
                Some(last) if found.len() == limit => self.from = last.index + 1,
                _ => _ = self.parts.pop_front(),
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }
}

const _: () = assert!(PART.is_multiple_of(CHUNK), "a part's chunks are numbered by its indexes");
