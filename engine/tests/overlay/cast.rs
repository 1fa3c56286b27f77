//! Who plays: two tenants that share a shard, their sessions, people and campaigns. Not what they do.

use kabar_engine::address::Address;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::content::{Content, Language, TemplateMessage};
use kabar_engine::id::{CampaignId, SessionId, ShardId, TenantId};
use kabar_engine::part::CHUNKS;
use kabar_engine::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// A Tuesday at noon UTC.
pub const BEGIN: Timestamp = Timestamp(1_790_078_400_000);
/// The tenant most tests look at.
pub const ANA: TenantId = TenantId(1);
/// Another one, in the same shard.
pub const BUDI: TenantId = TenantId(2);
/// The attempt to freeze that counts.
pub const ATTEMPT: u32 = 7;

/// A session with its owner and shard.
#[derive(Debug, Clone, Copy)]
pub struct Desk {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub session: SessionId,
    /// Where.
    pub shard: ShardId,
}

/// Ana's first session, Budi's in the same shard, Ana's second one elsewhere.
pub fn desks() -> [Desk; 3] {
    let home = ShardId::of_session(ANA, SessionId(1));
    let beside = (2..).map(SessionId).find(|s| ShardId::of_session(BUDI, *s) == home);
    let away = (1_000_000..).map(SessionId).find(|s| ShardId::of_session(ANA, *s) != home);
    let desk = |tenant, session| Desk { tenant, session, shard: ShardId::of_session(tenant, session) };
    [
        desk(ANA, SessionId(1)),
        desk(BUDI, beside.expect("a hash meets every value")),
        desk(ANA, away.expect("a hash meets every value")),
    ]
}

/// A person by number; both tenants know the same people.
pub fn person(n: usize) -> Address {
    Address::phone_digits(&format!("62812000000{n:02}")).expect("digits are an address")
}

/// The same person's user id.
pub fn user_id(n: usize) -> Address {
    Address::user_id(&format!("ID.10000{n:02}")).expect("a user id")
}

/// A template: may go out without an open window.
pub fn template() -> Arc<Content> {
    let language = Language { code: "id".to_owned(), policy: None };
    let name = "promo".to_owned();
    Arc::new(Content::Template(TemplateMessage { name, language, components: Vec::new() }))
}

/// A plain text: needs an open window.
pub fn text(body: &str) -> Arc<Content> {
    Arc::new(Content::plain(body))
}

/// A part of a campaign before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The sending desk's place.
    pub desk: usize,
    /// The people of each chunk.
    pub chunks: Vec<Vec<usize>>,
}

/// A campaign before it is launched.
#[derive(Debug, Clone)]
pub struct Score {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub campaign: CampaignId,
    /// Its parts by number.
    pub parts: Vec<Plan>,
}

impl Score {
    /// The shard of its phase.
    pub fn shard(&self) -> ShardId {
        ShardId::of_campaign(self.tenant, self.campaign)
    }
}

/// Ana's campaign over both of her sessions, three parts; Budi's with one.
pub fn scores() -> [Score; 2] {
    let plan = |desk, chunks: &[&[usize]]| Plan { desk, chunks: chunks.iter().map(|c| c.to_vec()).collect() };
    [
        Score {
            tenant: ANA,
            campaign: CampaignId(71),
            parts: vec![plan(0, &[&[0, 1, 2], &[3]]), plan(2, &[&[6, 7]]), plan(0, &[&[4, 5]])],
        },
        Score { tenant: BUDI, campaign: CampaignId(72), parts: vec![plan(1, &[&[0, 1], &[2]])] },
    ]
}

/// The ledger's chunks of the campaigns.
pub fn ledger(scores: &[Score]) -> HashMap<ChunkKey, Arc<Chunk>> {
    let mut ledger = HashMap::new();
    for score in scores {
        for (part, plan) in (0_u32..).zip(&score.parts) {
            for (n, people) in (0_u32..).zip(&plan.chunks) {
                let recipient = |n: &usize| Recipient { address: person(*n), zone: None, values: vec![] };
                let recipients = people.iter().map(recipient).collect();
                let (tenant, campaign, chunk) = (score.tenant, score.campaign, part * CHUNKS + n);
                let key = ChunkKey { tenant, campaign, attempt: ATTEMPT, chunk };
                ledger.insert(key, Arc::new(Chunk { columns: Arc::from([]), recipients }));
            }
        }
    }
    ledger
}
