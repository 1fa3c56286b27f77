//! Figures, printed and not judged (`--nocapture`, best with `--release`): what a flush of messages and an upsert
//! of contacts cost here. The judged ones are in `benches`.

use crate::backend::Backend;
use crate::world::{BEGIN, phone, place};
use kabar_engine::content::Content;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{ConversationOpened, Intent, Outcome, Position};
use kabar_engine::id::{ConversationId, ImportId, MessageId, Sequence, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Changes, Key};
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_schema::contacts::ContactDraft;
use kabar_schema::views::{ShardFlush, ShardMark};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Rows of a batch; a debug build only shows that it works.
const BATCH: u32 = if cfg!(debug_assertions) { 1_500 } else { 15_000 };
const CONTACTS: u32 = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
const CONVERSATIONS: usize = 10_000;

/// Seconds this process has used its processors, all threads; 0 where the system does not say.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

struct Traffic {
    sequence: Sequence,
    conversations: Vec<ConversationRow>,
    position: u64,
    batch: u32,
}

impl Traffic {
    fn new() -> Self {
        let here = place(0);
        let mut sequence = Sequence::default();
        let conversation = |n: usize| {
            let id = ConversationId(sequence.next(here.shard, BEGIN));
            let address = phone(u32::try_from(n).unwrap());
            ConversationRow::begin(here.tenant, &ConversationOpened { id, session: here.session, address })
        };
        let conversations = (0..CONVERSATIONS).map(conversation).collect();
        Self { sequence, conversations, position: 0, batch: 0 }
    }

    fn message(&mut self, n: u32) -> MessageRow {
        let here = place(0);
        let now = BEGIN.plus_ms(i64::from(self.batch) * 1_000 + i64::from(n / 15));
        let id = MessageId(self.sequence.next(here.shard, now));
        // A walk over the conversations that is neither in order nor even.
        let at = (n.wrapping_mul(0x9e37_79b9) ^ self.batch) as usize % CONVERSATIONS;
        let conversation = &mut self.conversations[at];
        let (prev, number) = conversation.joined(id);
        self.position += 1;
        conversation.upto = Position(self.position);
        let body = "Halo, pesanan Anda sudah dikirim dan akan tiba besok pagi. ".repeat(5);
        let intent = Intent {
            id,
            session: here.session,
            conversation: conversation.id,
            to: conversation.address.clone(),
            content: Arc::new(Content::plain(&body)),
            lane: Lane::Transactional,
            due: now,
            valid_until: now.plus_ms(86_400_000),
            context: None,
            idempotency: None,
            by: None,
            tag: None,
            identity: None,
        };
        let mut row = MessageRow::accepted(here.tenant, now, &intent);
        (row.prev, row.number) = (prev, number);
        row.claimed(now);
        row.answered(now, &Outcome::Accepted(format!("wamid.HBgLNjI4MTIzNDU2Nzg5FQIAERgS{id}").into()));
        row.upto = Position(self.position);
        row
    }

    fn flush(&mut self, messages: Vec<Arc<MessageRow>>) -> Vec<ShardFlush> {
        self.batch += 1;
        let from = Position(self.position.saturating_sub(messages.len() as u64));
        let touched = self.conversations.iter().filter(|c| c.upto > from);
        let conversations = touched.map(|c| Arc::new(c.clone())).collect();
        let mark = ShardMark {
            shard: place(0).shard,
            position: Position(self.position),
            last_id: self.sequence.last(),
        };
        vec![ShardFlush { mark, changes: Changes { messages, conversations, ..Changes::default() } }]
    }
}

fn per_row(rows: u32, since: (Instant, f64)) -> String {
    let wall = since.0.elapsed().as_secs_f64();
    let rows = f64::from(rows);
    let (wall, cpu) = (wall * 1e6 / rows, (cpu() - since.1) * 1e6 / rows);
    format!("{wall:.2} µs wall, {cpu:.2} µs CPU a row")
}

#[tokio::test]
async fn a_flush_of_messages_costs() {
    let opened = Backend::Embedded.open().await;
    let views = &opened.store.views;
    let mut traffic = Traffic::new();
    let mut last: Vec<Arc<MessageRow>> = Vec::new();
    for round in 0..4 {
        let batches: Vec<_> = (0..10)
            .map(|_| {
                let messages: Vec<_> = (0..BATCH).map(|n| Arc::new(traffic.message(n))).collect();
                last.clone_from(&messages);
                traffic.flush(messages)
            })
            .collect();
        let (rows, begun) = (BATCH * 10, (Instant::now(), cpu()));
        for batch in batches {
            views.apply(batch).await.unwrap();
        }
        println!("round {round}: new messages with their conversations: {}", per_row(rows, begun));
    }
    let late: Vec<_> = last
        .iter()
        .map(|row| {
            let mut row = (**row).clone();
            row.heard(Status::Delivered, BEGIN.plus_ms(1_000_000), None);
            traffic.position += 1;
            row.upto = Position(traffic.position);
            Arc::new(row)
        })
        .collect();
    let mut flush = traffic.flush(late);
    flush[0].changes.conversations.clear();
    let begun = (Instant::now(), cpu());
    views.apply(flush).await.unwrap();
    println!("late statuses of old messages: {}", per_row(BATCH, begun));
    let keys: Vec<_> = last.iter().map(|row| Key::Message(row.id)).collect();
    let begun = (Instant::now(), cpu());
    assert_eq!(views.load(place(0).shard, keys).await.unwrap().len(), last.len());
    println!("loads of messages, all in one call: {}", per_row(BATCH, begun));
    let begun = (Instant::now(), cpu());
    for row in &last[..1_000] {
        views.load(place(0).shard, vec![Key::Conversation(row.conversation)]).await.unwrap();
    }
    println!("loads of conversations, one a call: {}", per_row(1_000, begun));
}

#[tokio::test]
async fn an_upsert_of_contacts_costs() {
    let opened = Backend::Embedded.open().await;
    let contacts = &opened.store.contacts;
    let tenant = TenantId(1);
    let draft = |n: u32| ContactDraft {
        // As in a file: in no order.
        address: phone(n.wrapping_mul(0x9e37_79b9) % 90_000_000),
        input: format!("0812 {n}"),
        name: Some(format!("Nama {n}")),
        zone: None,
        fields: BTreeMap::from([("kota".to_owned(), "Surabaya".to_owned())]),
    };
    let step = 5_000;
    let begun = (Instant::now(), cpu());
    let mut part = (Instant::now(), cpu());
    for from in (0..CONTACTS).step_by(step as usize) {
        let rows = (from..from + step).map(draft).collect();
        contacts.upsert(tenant, Some(ImportId(1)), rows, BEGIN).await.unwrap();
        if (from + step).is_multiple_of(250_000) {
            println!("contacts up to {}: {}", from + step, per_row(250_000, part));
            part = (Instant::now(), cpu());
        }
    }
    let per_second = f64::from(CONTACTS) / begun.0.elapsed().as_secs_f64();
    println!("contacts: {} ({per_second:.0} a second)", per_row(CONTACTS, begun));
    let (mut after, mut count, begun) = (None, 0, (Instant::now(), cpu()));
    loop {
        let page = contacts.page(tenant, Some(ImportId(1)), after, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        count += u32::try_from(page.len()).unwrap();
    }
    println!("contacts read in pages of a list: {}", per_row(count, begun));
    assert_eq!(u64::from(count), contacts.count(tenant, None).await.unwrap());
}
