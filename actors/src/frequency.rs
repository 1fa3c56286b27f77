//! How much marketing people got of a tenant lately, over all its campaigns and numbers. A recipient of a frozen campaign
//! counts from the campaign's begin on, unless sending to it failed; a single message of the lane `broadcast` from when
//! it was accepted. Asked of one person before a single message, and beside an audience that is being frozen. What is
//! enough is the engine's to say ([`kabar_engine::frequency`]).

use crate::dispatcher::{DispatchError, Dispatcher};
use crate::node::Node;
use crate::recipients::{OfSender, Recipients};
use kabar_engine::address::Address;
use kabar_engine::campaign::Phase;
use kabar_engine::chunk::ChunkKey;
use kabar_engine::frequency::{FrequencyCap, Purpose};
use kabar_engine::id::{CampaignId, MessageId, SessionId, TenantId};
use kabar_engine::overlay::{Key, Row};
use kabar_engine::pacing::Lane;
use kabar_engine::part::PART;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use kabar_schema::records::{Campaign as Spec, Session};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Records, people and messages read at once.
const PAGE: usize = 500;
/// Messages of one conversation that are looked through, the newest first.
const LOOKED_THROUGH: usize = 5_000;

/// Why an audience cannot be held to the cap now.
#[derive(Debug, thiserror::Error)]
pub enum LatelyError {
    /// Another campaign of the tenant was launched before and is being frozen: its recipients are not known yet.
    #[error("campaign {0} is frozen first")]
    Earlier(CampaignId),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] DispatchError),
}

/// What people got lately, walked beside an audience in the order of addresses.
pub struct Lately {
    node: Arc<Node>,
    tenant: TenantId,
    cap: FrequencyCap,
    since: Timestamp,
    senders: Vec<Walk>,
    sessions: Vec<SessionId>,
    /// Single messages to those that are asked for next.
    singles: HashMap<Address, usize>,
}

/// The recipients of one sender of one campaign.
struct Walk {
    of: OfSender,
    read: VecDeque<Address>,
    ended: bool,
}

impl Lately {
    /// For a campaign that is frozen now, or would be; `None` where nothing is capped.
    ///
    /// # Errors
    /// [`LatelyError::Earlier`] with `launched`, when another one is to be frozen before it.
    pub async fn of(
        node: &Arc<Node>,
        spec: &Spec,
        launched: Option<Timestamp>,
    ) -> Result<Option<Self>, LatelyError> {
        let tenant = spec.tenant;
        let cap = node.policy(tenant).await.cap.filter(|_| spec.purpose == Purpose::Marketing);
        let Some(cap) = cap else { return Ok(None) };
        // What was sent a moment ago stands in the views then.
        node.flush().await;
        let now = Timestamp(node.clock().now_ms());
        let since = cap.since(now);
        let mut senders = Vec::new();
        for other in others(node, spec).await? {
            let shard = node.shard_of_campaign(tenant, other.id);
            let id = other.id;
            let row = shard.read(&[Key::Campaign(id)], move |o| o.campaign(id)).await;
            let Some(row) = row.map_err(DispatchError::from)? else { continue };
            let begins = other.begins(row.launched);
            if begins <= since {
                continue;
            }
            if row.phase == Phase::Freezing {
                let before = launched.is_some_and(|own| (row.launched, id) < (own, spec.id));
                if before && begins <= now && other.timing.recurrence.is_none() {
                    return Err(LatelyError::Earlier(id));
                }
                continue;
            }
            let Some(all) = Recipients::of(node, tenant, id).await? else { continue };
            let each = OfSender::each(all, Arc::new(|mark| mark.counts()));
            senders.extend(each.into_iter().map(|of| Walk { of, read: VecDeque::new(), ended: false }));
        }
        let sessions = sessions(node, tenant).await?;
        let singles = HashMap::new();
        Ok(Some(Self { node: Arc::clone(node), tenant, cap, since, senders, sessions, singles }))
    }

    /// Reads what single messages went to people who are asked for next.
    pub async fn look_ahead(
        &mut self,
        people: impl Iterator<Item = &Address> + Clone,
    ) -> Result<(), DispatchError> {
        self.singles.clear();
        let door = self.node.dispatcher();
        for session in &self.sessions {
            let keys = people.clone().map(|address| Key::Address(*session, address.clone()));
            let shard = kabar_engine::id::ShardId::of_session(self.tenant, *session);
            let found = self.node.store().views.load(shard, keys.collect()).await?;
            for (_, row) in found {
                let Row::Address(row) = row else { continue };
                let whose = (self.tenant, *session);
                let count = singles(&door, whose, &row.address, (self.since, self.cap)).await?;
                if count > 0 {
                    *self.singles.entry(row.address.clone()).or_default() += count;
                }
            }
        }
        Ok(())
    }

    /// Whether the person has had enough; addresses must be asked in their order.
    pub async fn is_enough(&mut self, address: &Address) -> Result<bool, DispatchError> {
        let mut count = self.singles.get(address).copied().unwrap_or_default();
        for walk in &mut self.senders {
            count += usize::from(walk.meets(address).await?);
        }
        Ok(self.cap.is_reached(count))
    }
}

impl Walk {
    /// Whether the address is among them.
    async fn meets(&mut self, address: &Address) -> Result<bool, DispatchError> {
        loop {
            while self.read.front().is_some_and(|first| first < address) {
                self.read.pop_front();
            }
            if let Some(first) = self.read.front() {
                return Ok(first == address);
            }
            if self.ended {
                return Ok(false);
            }
            let more = self.of.more(PAGE).await?;
            self.ended = more.is_empty();
            self.read.extend(more.into_iter().map(|standing| standing.recipient.address));
        }
    }
}

/// The tenant's other campaigns that are marketing.
async fn others(node: &Node, spec: &Spec) -> Result<Vec<Spec>, DispatchError> {
    let (mut others, mut after) = (Vec::new(), None);
    loop {
        let page = node.store().nouns.page::<Spec>(spec.tenant, None, after, PAGE).await?;
        after = page.last().map(|found| (found.noun.created, found.noun.id.0));
        let ended = page.len() < PAGE;
        let counts = |other: &Spec| other.id != spec.id && other.purpose == Purpose::Marketing;
        others.extend(page.into_iter().map(|found| found.noun).filter(counts));
        if ended {
            return Ok(others);
        }
    }
}

async fn sessions(node: &Node, tenant: TenantId) -> Result<Vec<SessionId>, DispatchError> {
    let (mut sessions, mut after) = (Vec::new(), None);
    loop {
        let page = node.store().nouns.page::<Session>(tenant, None, after, PAGE).await?;
        after = page.last().map(|found| (found.noun.created, found.noun.id.0));
        sessions.extend(page.iter().map(|found| found.noun.id));
        if page.len() < PAGE {
            return Ok(sessions);
        }
    }
}

/// Whether one person has had enough of a tenant, as it stands now on every number.
pub async fn has_enough(
    node: &Arc<Node>,
    tenant: TenantId,
    address: &Address,
    cap: FrequencyCap,
) -> Result<bool, DispatchError> {
    let since = cap.since(Timestamp(node.clock().now_ms()));
    let (door, mut count) = (node.dispatcher(), 0);
    for session in sessions(node, tenant).await? {
        count += singles(&door, (tenant, session), address, (since, cap)).await?;
        count += campaigns(node, (tenant, session), address, since).await?;
        if cap.is_reached(count) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Single marketing messages to one person from one number, as many as matter.
async fn singles(
    door: &Dispatcher,
    whose: (TenantId, SessionId),
    address: &Address,
    (since, cap): (Timestamp, FrequencyCap),
) -> Result<usize, DispatchError> {
    let (mut count, mut looked, mut before): (usize, usize, Option<MessageId>) = (0, 0, None);
    while looked < LOOKED_THROUGH && !cap.is_reached(count) {
        let rows = door.conversation_rows(whose, address, before, PAGE).await?;
        let marketing = rows.iter().take_while(|row| row.times.accepted > since).filter(|row| {
            row.lane == Lane::Broadcast
                && row.campaign.is_none()
                && !matches!(row.status, Status::Received | Status::Failed | Status::Expired)
        });
        count += marketing.count();
        looked += rows.len();
        match rows.last() {
            Some(last) if rows.len() == PAGE && last.times.accepted > since => before = Some(last.id),
            _ => break,
        }
    }
    Ok(count)
}

/// Campaigns of one number that went to one person, or will.
async fn campaigns(
    node: &Arc<Node>,
    (tenant, session): (TenantId, SessionId),
    address: &Address,
    since: Timestamp,
) -> Result<usize, DispatchError> {
    let shard = node.shard_of_session(tenant, session);
    let whom = address.clone();
    let look = move |o: &kabar_engine::overlay::Overlay| o.parts_holding((tenant, session), &whom, since);
    let parts = shard.read(&[Key::SessionParts(session)], look).await?;
    let mut count = 0;
    for (campaign, number) in parts {
        let spec = node.store().nouns.get::<Spec>(tenant, campaign.0).await?;
        if spec.is_none_or(|found| found.noun.purpose != Purpose::Marketing) {
            continue;
        }
        let part = shard.read(&[Key::Part(campaign, number)], move |o| o.part(campaign, number)).await?;
        let Some((part, chunk)) = part.and_then(|part| part.chunk_of(address).map(|chunk| (part, chunk)))
        else {
            continue;
        };
        let key = ChunkKey { tenant, campaign, attempt: part.start.attempt, chunk };
        let Some(stored) = node.store().ledger.get_chunk(key).await? else { continue };
        let Some(offset) = stored.find(address) else { continue };
        let index = chunk * kabar_engine::mark::CHUNK + offset;
        debug_assert_eq!(index / PART, number, "a part holds its own chunks");
        let mark = shard.read(&[Key::Part(campaign, number)], move |o| o.mark(campaign, index)).await?;
        count += usize::from(mark.is_none_or(kabar_engine::mark::Mark::counts));
    }
    Ok(count)
}
