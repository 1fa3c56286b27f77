//! The three paths of the store bench: what the API, a webhook and a campaign do to a shard, message by message,
//! with statuses that come later. A closed loop of batches; the generator's own cost is small and counted in.

use crate::cpu;
use crate::store::{SESSION, TENANT};
use anyhow::{Result, ensure};
use kabar_actors::Node;
use kabar_actors::shard::{DoorError, Shard};
use kabar_engine::address::Address;
use kabar_engine::campaign::Verb;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::content::Content;
use kabar_engine::entry::{Idempotency, StatusReport};
use kabar_engine::id::{CampaignId, CommandId, MessageId, SessionId, TenantId};
use kabar_engine::mark::CHUNK;
use kabar_engine::outgoing::{Accepted, Reference};
use kabar_engine::overlay::decide::{Draft, PartClaim, PartOrder, Received};
use kabar_engine::overlay::{Answer, Input};
use kabar_engine::pacing::Lane;
use kabar_engine::part::{CHUNKS, PART};
use kabar_engine::schedule::Hours;
use kabar_engine::status::Status;
use kabar_engine::time::{DAY_MS, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a path costs when so many messages are stored.
pub struct Mark {
    /// Messages stored.
    pub stored: u64,
    /// Processor time per message, of the last tenth before the mark.
    pub cpu_us: f64,
    /// Bytes of journal per message, of the same.
    pub journal_bytes: f64,
}

const OVERLOADED_WAIT: Duration = Duration::from_millis(2);
/// Messages asked at the same time.
const BATCH: u64 = 64;
/// Delivered comes this many batches later, read that many.
const DELIVERED_AFTER: usize = 300;
const READ_AFTER: usize = 600;
const SOON: usize = 30;
/// The window every mark is measured over.
const WINDOW: u64 = 10;
/// And at least so many messages.
const WINDOW_MIN: u64 = 4_000;

struct Meter<'a> {
    node: &'a Node,
    marks: Vec<u64>,
    begun: Option<(u64, Duration, u64)>,
    done: Vec<Mark>,
}

impl<'a> Meter<'a> {
    fn new(node: &'a Node, marks: Vec<u64>) -> Self {
        Self { node, marks, begun: None, done: Vec::new() }
    }

    /// Looks at the clock when a window begins or ends, once the views have everything: what one window leaves to the
    /// projector is not the next one's.
    async fn at(&mut self, stored: u64) {
        let Some(mark) = self.marks.get(self.done.len()).copied() else { return };
        let window = (mark / WINDOW).max(WINDOW_MIN.min(mark / 2));
        match self.begun {
            None if stored >= mark - window => self.begun = Some(self.now(stored).await),
            Some((from, spent, bytes)) if stored >= mark && stored > from => {
                let (_, now_spent, now_bytes) = self.now(stored).await;
                let count = (stored - from) as f64;
                self.done.push(Mark {
                    stored: mark,
                    cpu_us: (now_spent - spent).as_secs_f64() * 1e6 / count,
                    journal_bytes: (now_bytes - bytes) as f64 / count,
                });
                self.begun = None;
            }
            _ => {}
        }
    }

    async fn now(&self, stored: u64) -> (u64, Duration, u64) {
        self.node.flush().await;
        (stored, cpu::spent(), self.node.store().journal.stats().bytes)
    }
}

fn address(n: u64) -> Address {
    Address::phone_digits(&format!("62812{:07}", n % 10_000)).expect("invariant: twelve digits")
}

/// Asks the shard; while too much waits for the projector the caller waits, as one who got a 429 would.
pub async fn ask(shard: &Arc<Shard>, input: Input) -> Result<Answer> {
    loop {
        match shard.ask(input.clone()).await {
            Err(DoorError::Overloaded) => tokio::time::sleep(OVERLOADED_WAIT).await,
            other => return Ok(other?),
        }
    }
}

/// A body of about 300 bytes.
fn content(n: u64) -> Arc<Content> {
    let text =
        format!("Your order {n} is on its way and will arrive between nine and twelve. {}", "x".repeat(180));
    let value = serde_json::json!({
        "type": "template",
        "template": {"name": "order_update", "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": text}]}]},
    });
    Arc::new(Content::from_json(&value).expect("invariant: a template in Meta's shape"))
}

/// The nth message of the API path.
pub fn draft(n: u64, now: Timestamp) -> Input {
    draft_of((TENANT, SESSION), n, now)
}

/// The nth message of a session.
pub fn draft_of((tenant, session): (TenantId, SessionId), n: u64, now: Timestamp) -> Input {
    Input::Send(Box::new(Draft {
        tenant,
        session,
        to: address(n.wrapping_mul(2_654_435_761)),
        content: content(n),
        lane: Lane::Transactional,
        due: now,
        valid_until: now.plus_ms(DAY_MS),
        context: None,
        idempotency: Some(Idempotency { key: u128::from(n) + 1, body: u128::from(n) }),
        by: None,
        tag: None,
        identity: None,
        had_enough: false,
    }))
}

/// The first number of a turn: a path that is walked again on the same node repeats no key and no id.
pub fn first_of(turn: u64) -> u64 {
    turn << 32
}

/// Accept, claim, answer, sent, delivered and read of every message.
pub async fn api(node: Arc<Node>, turn: u64, marks: [u64; 2]) -> Result<Vec<Mark>> {
    single(node, turn, marks.to_vec(), [DELIVERED_AFTER, READ_AFTER]).await
}

/// The same with so many marks as there are; statuses come soon, so that the first mark has all of them too.
pub async fn growing(node: Arc<Node>, marks: Vec<u64>) -> Result<Vec<Mark>> {
    single(node, 0, marks, [SOON, SOON]).await
}

/// `after` says how many batches later delivered comes, and after that read.
async fn single(node: Arc<Node>, turn: u64, marks: Vec<u64>, after: [usize; 2]) -> Result<Vec<Mark>> {
    let shard = node.shard_of_session(TENANT, SESSION);
    let last = marks.last().copied().unwrap_or(0);
    let mut meter = Meter::new(&node, marks);
    let (mut late, mut later): (VecDeque<Vec<MessageId>>, VecDeque<Vec<MessageId>>) = Default::default();
    for batch in 0..last.div_ceil(BATCH) {
        let now = Timestamp(node.clock().now_ms());
        meter.at(batch * BATCH).await;
        let sends = (0..BATCH).map(|n| ask(&shard, draft(first_of(turn) + batch * BATCH + n, now)));
        for sent in futures::future::join_all(sends).await {
            sent?;
        }
        let claim = Input::Claim { tenant: TENANT, session: SESSION, max: BATCH as usize, held: None };
        let Answer::Transmit(list) = ask(&shard, claim).await? else { anyhow::bail!("no claim") };
        ensure!(list.len() == BATCH as usize, "claimed {} of {BATCH}", list.len());
        let ids: Vec<MessageId> = list.iter().filter_map(|o| message_of(o.reference)).collect();
        let accepted = |id: &MessageId| {
            let provider_id = Arc::from(format!("wamid.HBgMNjI4MTI{:020}", id.0));
            (*id, Ok(Accepted { provider_id, held: false }))
        };
        let results = ids.iter().map(accepted).collect();
        ask(&shard, Input::Answers { tenant: TENANT, session: SESSION, results, random: batch }).await?;
        report(&shard, &ids, Status::Sent, now).await?;
        late.push_back(ids);
        if late.len() > after[0]
            && let Some(ids) = late.pop_front()
        {
            report(&shard, &ids, Status::Delivered, now).await?;
            later.push_back(ids);
        }
        if later.len() > after[1]
            && let Some(ids) = later.pop_front()
        {
            report(&shard, &ids, Status::Read, now).await?;
        }
    }
    meter.at(last.div_ceil(BATCH) * BATCH).await;
    Ok(meter.done)
}

fn message_of(reference: Reference) -> Option<MessageId> {
    match reference {
        Reference::Message(id) => Some(id),
        Reference::Campaign(..) => None,
    }
}

async fn report(shard: &Arc<Shard>, ids: &[MessageId], status: Status, at: Timestamp) -> Result<()> {
    let of = |id: &MessageId| StatusReport {
        of: Reference::Message(*id),
        status,
        at,
        cause: None,
        provider_id: None,
        pricing: None,
        rest: None,
    };
    let reports = ids.iter().map(of).collect();
    ask(shard, Input::Statuses { tenant: TENANT, session: SESSION, reports }).await?;
    Ok(())
}

/// Received messages of 10,000 people, durable before the answer.
pub async fn inbound(node: Arc<Node>, turn: u64, marks: [u64; 2]) -> Result<Vec<Mark>> {
    let shard = node.shard_of_session(TENANT, SESSION);
    let mut meter = Meter::new(&node, marks.to_vec());
    for batch in 0..marks[1] / BATCH {
        let now = Timestamp(node.clock().now_ms());
        meter.at(batch * BATCH).await;
        let asked = (0..BATCH).map(|n| {
            let n = first_of(turn) + batch * BATCH + n;
            let received = Received {
                provider_id: Arc::from(format!("wamid.HBgMNjI4MTI{:020}", n)),
                from: address(n.wrapping_mul(2_654_435_761)),
                alias: None,
                name: Some("Ana".to_owned()),
                sent_at: now,
                content: Arc::new(Content::plain(&format!("message {n} {}", "y".repeat(250)))),
                context: None,
                others: Vec::new(),
                beside: None,
            };
            ask(&shard, Input::Receive { tenant: TENANT, session: SESSION, messages: vec![received] })
        });
        for answer in futures::future::join_all(asked).await {
            answer?;
        }
    }
    meter.at(marks[1]).await;
    Ok(meter.done)
}

/// Claims, answers and three statuses of every recipient of campaigns of one part after the other.
pub async fn campaign(node: Arc<Node>, turn: u64, marks: [u64; 2]) -> Result<Vec<Mark>> {
    let shard = node.shard_of_session(TENANT, SESSION);
    let mut meter = Meter::new(&node, marks.to_vec());
    let (id, launched) = (CampaignId(7 + turn), Timestamp(node.clock().now_ms()));
    let parts = u32::try_from(marks[1].div_ceil(u64::from(PART)))?;
    for part in 0..parts {
        let chunks = freeze(&node, id, part).await?;
        meter.at(u64::from(part * PART)).await;
        let order = PartOrder {
            tenant: TENANT,
            campaign: id,
            part,
            attempt: 1,
            session: SESSION,
            launched,
            valid_until: launched.plus_ms(DAY_MS),
            chunks,
            verb: Verb::Launch,
            command: CommandId(1),
        };
        ask(&shard, Input::Order(Box::new(order))).await?;
        run_part(&node, id, part).await?;
        meter.at(u64::from((part + 1) * PART)).await;
    }
    Ok(meter.done)
}

async fn freeze(node: &Node, campaign: CampaignId, part: u32) -> Result<Vec<(Address, u32)>> {
    let mut lines = Vec::new();
    for place in 0..CHUNKS {
        let chunk = part * CHUNKS + place;
        let recipient = |n: u32| Recipient {
            address: Address::phone_digits(&format!("62{:010}", chunk * CHUNK + n))
                .expect("invariant: digits"),
            zone: None,
            values: vec![Some(Arc::from("Ana"))],
        };
        let recipients: Vec<Recipient> = (0..CHUNK).map(recipient).collect();
        lines.push((recipients[0].address.clone(), CHUNK));
        let key = ChunkKey { tenant: TENANT, campaign, attempt: 1, chunk };
        let columns = Arc::from([Arc::from("name")]);
        node.store().ledger.put_chunk(key, Chunk { columns, recipients }).await?;
    }
    Ok(lines)
}

async fn run_part(node: &Node, campaign: CampaignId, part: u32) -> Result<()> {
    let shard = node.shard_of_session(TENANT, SESSION);
    loop {
        let (tenant, max) = (TENANT, 256);
        let claim =
            PartClaim { tenant, campaign, part, max, free_form: false, hours: Hours::default(), held: None };
        let Answer::Picked(picked) = ask(&shard, Input::PartClaim(claim)).await? else { return Ok(()) };
        if picked.is_empty() {
            break;
        }
        let accepted = |index: u32| Accepted {
            provider_id: Arc::from(format!("wamid.HBgMNjI4MTI{index:020}")),
            held: false,
        };
        for half in picked.chunks(128) {
            let results = half.iter().map(|p| (p.index, Ok(accepted(p.index)))).collect();
            ask(&shard, Input::PartAnswers { tenant, campaign, part, results, random: 1 }).await?;
        }
    }
    for status in [Status::Sent, Status::Delivered, Status::Read] {
        // Scattered over the part, as people read.
        for lane in 0..40 {
            let at = Timestamp(node.clock().now_ms());
            let of = |n: u32| StatusReport {
                of: Reference::Campaign(campaign, part * PART + n * 40 + lane),
                status,
                at,
                cause: None,
                provider_id: None,
                pricing: None,
                rest: None,
            };
            let reports = (0..PART / 40).map(of).collect();
            ask(&shard, Input::Statuses { tenant: TENANT, session: SESSION, reports }).await?;
        }
    }
    let due = Input::PartDue { tenant: TENANT, campaign, part, proof_ms: 1_000, resend: false };
    ask(&shard, due).await?;
    Ok(())
}

/// Fills the outbox.
pub async fn fill(node: &Node, count: u64) -> Result<()> {
    let shard = node.shard_of_session(TENANT, SESSION);
    for batch in 0..count / 500 {
        let now = Timestamp(node.clock().now_ms());
        let sends = (0..500).map(|n| ask(&shard, draft(batch * 500 + n, now)));
        for sent in futures::future::join_all(sends).await {
            sent?;
        }
    }
    Ok(())
}

/// Claims the first `count` pending messages, as a session's actor would.
pub async fn claim(node: &Node, count: usize) -> Result<()> {
    let shard = node.shard_of_session(TENANT, SESSION);
    let mut claimed = 0;
    while claimed < count {
        let claim = Input::Claim { tenant: TENANT, session: SESSION, max: 250, held: None };
        let Answer::Transmit(list) = ask(&shard, claim).await? else { anyhow::bail!("no claim") };
        ensure!(!list.is_empty(), "only {claimed} of {count} were pending");
        claimed += list.len();
    }
    Ok(())
}
