//! A provider's webhook: verified over its raw bytes, parsed, grouped by session, journaled, and only then
//! answered. What belongs to nobody is kept as a stray. Not HTTP: the api turns the answer into a status code.

mod consequence;
mod trouble;
mod unsigned;

pub(crate) use unsigned::Unsigned;

use crate::conversation;
use crate::health;
use crate::media::received;
use crate::metrics;
use crate::node::{Link, Node};
use crate::shard::DoorError;
use crate::trace;
use bytes::Bytes;
use consequence::Failure;
use kabar_connectors::cloud::{
    Change, Claim, InboundMessage, InboundStatus, NumberEvents, UnknownItem, parse,
};
use kabar_engine::content::Content;
use kabar_engine::entry::{ConsentSource, StatusReport};
use kabar_engine::health::Health;
use kabar_engine::id::SessionId;
use kabar_engine::notice::{Notice, VALUE_BYTES};
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::Received;
use kabar_engine::overlay::{Answer, Input};
use kabar_engine::time::Timestamp;
use kabar_runtime::Reply;
use kabar_schema::records::MetaApp;
use kabar_schema::records::Stray;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Statuses put to a shard at once.
const STATUSES: usize = 512;
/// Bytes of a stray that are kept.
const STRAY_BYTES: usize = 32 * 1024;
/// A received body above this is replaced by a note of its kind and size; the raw bytes are kept as a stray.
const CONTENT_BYTES: usize = 24 * 1024;
/// What Meta is told to wait.
const RETRY_MS: u64 = 1_000;
/// Tries to reach a conversation's actor that is being restarted.
const TRIES: u32 = 40;
/// Wait between them.
const TRY_WAIT_MS: u64 = 25;

/// What a webhook brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Statuses that were news.
    pub statuses: usize,
    /// Messages that were new.
    pub messages: usize,
    /// Repeats, foreign references, unknown items.
    pub known: usize,
    /// Numbers nobody here has; kept as strays.
    pub strays: usize,
    /// Notices of numbers and accounts that were news.
    pub notices: usize,
}

/// Why a webhook was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No such app.
    #[error("no such app")]
    UnknownApp,
    /// The signature does not fit the bytes.
    #[error("the signature does not fit the body")]
    BadSignature,
    /// Not a webhook's JSON.
    #[error("the body cannot be read")]
    Unreadable,
    /// Larger than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// Not durable; the provider is to repeat it.
    #[error("not durable yet")]
    Unavailable {
        /// When.
        retry_after_ms: u64,
    },
}

impl From<DoorError> for WebhookError {
    fn from(_: DoorError) -> Self {
        Self::Unavailable { retry_after_ms: RETRY_MS }
    }
}

/// A webhook whose body is worth reading: its app is known, and what it is signed with can be a signature.
#[derive(Debug, Clone)]
pub struct Expected {
    owner: Arc<MetaApp>,
    claim: Claim,
}

/// Looks at what a webhook says before its body: a stranger's is not waited for.
///
/// # Errors
/// [`WebhookError`].
pub async fn expect(node: &Node, app: u64, signature: Option<&str>) -> Result<Expected, WebhookError> {
    let owner = node.app(app).await.map_err(|_| DoorError::Unavailable)?.ok_or(WebhookError::UnknownApp)?;
    match Claim::read(signature) {
        Some(claim) => Ok(Expected { owner, claim }),
        None => Err(unsigned(node, &owner)),
    }
}

fn unsigned(node: &Node, owner: &MetaApp) -> WebhookError {
    node.unsigned().note(owner.id, node.clock().now_ms());
    WebhookError::BadSignature
}

/// Takes a webhook; `Ok` only when everything in it is durable.
///
/// # Errors
/// [`WebhookError`]; after `Unavailable` parts of it may be durable, and a repeat is absorbed.
pub async fn receive(node: &Arc<Node>, expected: Expected, body: &Bytes) -> Result<Receipt, WebhookError> {
    if body.len() > node.options().webhook_max_bytes {
        return Err(WebhookError::TooLarge);
    }
    let Expected { owner, claim } = expected;
    if !claim.fits(&owner.app_secrets, body) {
        return Err(unsigned(node, &owner));
    }
    let mut changes = parse(body).map_err(|_| WebhookError::Unreadable)?;
    let mut receipt = Receipt::default();
    let one = |change| accept(node, &owner, change, body);
    // Nearly every webhook has one change: it needs no list of futures.
    let taken = match (changes.pop(), changes.is_empty()) {
        (Some(only), true) => vec![one(only).await],
        (last, _) => futures::future::join_all(changes.into_iter().chain(last).map(one)).await,
    };
    for one in taken {
        let one = one?;
        receipt.statuses += one.statuses;
        receipt.messages += one.messages;
        receipt.known += one.known;
        receipt.strays += one.strays;
        receipt.notices += one.notices;
    }
    metrics::webhook("status", receipt.statuses);
    metrics::webhook("message", receipt.messages);
    metrics::webhook("known", receipt.known);
    metrics::webhook("stray", receipt.strays);
    metrics::webhook("notice", receipt.notices);
    Ok(receipt)
}

async fn accept(
    node: &Arc<Node>,
    owner: &Arc<MetaApp>,
    change: Change,
    body: &Bytes,
) -> Result<Receipt, WebhookError> {
    match change {
        Change::Number(number) => take(node, owner, number, body).await,
        Change::Unknown { field, raw, account, at } => {
            let notice = Notice { at, ..Notice::new(&field, account.as_deref(), &raw) };
            let mut receipt = Receipt::default();
            tell(node, owner, (None, notice), body, &mut receipt).await?;
            Ok(receipt)
        }
    }
}

/// One number's events, in order: statuses first to their shard, then each conversation's messages.
async fn take(
    node: &Arc<Node>,
    owner: &Arc<MetaApp>,
    number: NumberEvents,
    body: &Bytes,
) -> Result<Receipt, WebhookError> {
    let link = node.link_by_number(&number.phone_number_id).await.map_err(|_| DoorError::Unavailable)?;
    let now = Timestamp(node.clock().now_ms());
    let mut troubles = Vec::new();
    let Some(link) = link.filter(|l| l.session.app == owner.id && l.session.tenant == owner.tenant) else {
        stray(node, owner, body).await?;
        return Ok(Receipt { strays: 1, ..Receipt::default() });
    };
    let mut receipt = Receipt::default();
    let (tenant, session) = (link.session.tenant, link.session.id);
    if number.account.is_some() && link.health.account != number.account {
        let account = &number.account;
        let learn = |health: &mut Health| {
            let news = health.account != *account;
            health.account.clone_from(account);
            news
        };
        node.observe((tenant, session), learn).await.map_err(DoorError::from)?;
    }
    let errors = number.errors.into_iter().map(|error| {
        troubles.push((trouble::of_number(&error), None));
        UnknownItem { field: "errors".to_owned(), raw: error.raw }
    });
    let told: Vec<UnknownItem> = errors.chain(number.unknown).collect();
    for item in told {
        let notice = Notice::new(&item.field, number.account.as_deref(), &item.raw);
        tell(node, owner, (Some(session), notice), body, &mut receipt).await?;
    }
    troubles.extend(number.statuses.iter().filter_map(|status| trouble::of_status(status, now)));
    let failures: Vec<Failure> =
        number.statuses.iter().filter_map(|status| Failure::of(status, now)).collect();
    statuses(node, &link, number.statuses, &mut receipt).await?;
    if !failures.is_empty() {
        consequence::follow(node, &link, failures).await?;
    }
    if !number.messages.is_empty() {
        messages(node, &link, number.messages, (owner, body), &mut receipt).await?;
    }
    for preference in number.preferences {
        let wish = if preference.stop { Wish::OptOut } else { Wish::OptIn };
        let (tenant, address) = (link.session.tenant, preference.address);
        let shard = node.shard_of_session(tenant, link.session.id);
        let (session, source) = (Some(link.session.id), ConsentSource::Provider);
        shard.ask(Input::Consent { tenant, session, address, wish, source, idempotency: None }).await?;
    }
    trouble::meet(node, (tenant, session), troubles).await;
    Ok(receipt)
}

/// Journals a notice; a value that is too long for an entry is kept as a stray.
async fn tell(
    node: &Arc<Node>,
    owner: &Arc<MetaApp>,
    (of, mut notice): (Option<SessionId>, Notice),
    body: &Bytes,
    receipt: &mut Receipt,
) -> Result<(), WebhookError> {
    if notice.value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES) {
        notice.stray = Some(stray(node, owner, body).await?);
        notice.value = None;
    }
    match health::hear(node, owner, of, notice).await? {
        true => receipt.notices += 1,
        false => receipt.known += 1,
    }
    Ok(())
}

async fn statuses(
    node: &Arc<Node>,
    link: &Link,
    list: Vec<InboundStatus>,
    receipt: &mut Receipt,
) -> Result<(), WebhookError> {
    let (tenant, session) = (link.session.tenant, link.session.id);
    let shard = node.shard_of_session(tenant, session);
    let mut reports: Vec<StatusReport<Reference>> = Vec::with_capacity(list.len());
    for status in list {
        match status.reference {
            Some(of) => reports.push(StatusReport {
                of,
                status: status.status,
                at: status.at,
                cause: status.cause,
                provider_id: Some(status.provider_id),
                pricing: status.pricing,
                rest: status.rest,
            }),
            None => receipt.known += 1,
        }
    }
    let told = trace::is_heard().then(|| reports.clone());
    let mut waiting = Vec::with_capacity(1);
    while !reports.is_empty() {
        let rest = reports.split_off(reports.len().min(STATUSES));
        let input = Input::Statuses { tenant, session, reports: std::mem::replace(&mut reports, rest) };
        waiting.push(shard.ask_in_order(input).await);
    }
    for asked in waiting {
        count(asked.conclude().await?, &mut receipt.statuses, &mut receipt.known);
    }
    trace::reported(node, shard.id(), session, &told.unwrap_or_default());
    Ok(())
}

fn count(answer: Answer, new: &mut usize, known: &mut usize) {
    if let Answer::Counted { new: fresh, known: old } = answer {
        *new += fresh;
        *known += old;
    }
}

async fn messages(
    node: &Arc<Node>,
    link: &Link,
    list: Vec<InboundMessage>,
    (owner, body): (&Arc<MetaApp>, &Bytes),
    receipt: &mut Receipt,
) -> Result<(), WebhookError> {
    let mut talks: BTreeMap<u64, Vec<Received>> = BTreeMap::new();
    let (mut fetches, now) = (Vec::new(), Timestamp(node.clock().now_ms()));
    for message in list {
        let (content, cut) = bounded(message.content);
        if cut {
            stray(node, owner, body).await?;
        }
        fetches.extend(received::wanted(link, &message.provider_id, &content, now));
        let received = Received {
            provider_id: message.provider_id,
            from: message.from,
            alias: message.alias,
            others: message.others,
            beside: message.beside,
            name: message.name,
            sent_at: message.at,
            content: Arc::new(content),
            context: message.context,
        };
        talks.entry(conversation::hash(&received.from)).or_default().push(received);
    }
    let asked = talks.into_iter().map(|(talk, list)| converse(node, link, talk, list));
    // What came with them is noted beside, and fetched when both are durable.
    let (answers, noted) = futures::join!(futures::future::join_all(asked), received::note(node, &fetches));
    noted?;
    for answer in answers {
        count(answer?, &mut receipt.messages, &mut receipt.known);
    }
    node.media().received.hurry(fetches, now);
    Ok(())
}

/// Hands a conversation its messages; an actor that is being restarted is waited for.
async fn converse(
    node: &Arc<Node>,
    link: &Link,
    talk: u64,
    list: Vec<Received>,
) -> Result<Answer, WebhookError> {
    for _ in 0..TRIES {
        let (reply, answer) = Reply::channel();
        let message = conversation::Message::Receive(list.clone(), reply);
        let told = node.converse(link.session.tenant, link.session.id, talk, message).await;
        if told.is_ok()
            && let Ok(answer) = answer.await
        {
            return Ok(answer?);
        }
        // Nothing was decided, or the actor died over it and a repeat is absorbed.
        node.clock().sleep_ms(TRY_WAIT_MS).await;
    }
    Err(WebhookError::Unavailable { retry_after_ms: RETRY_MS })
}

/// An entry's body is bounded; what is longer is kept whole as a stray.
fn bounded(content: Content) -> (Content, bool) {
    let size = serde_json::to_vec(&content).map_or(0, |bytes| bytes.len());
    if size <= CONTENT_BYTES {
        return (content, false);
    }
    let kind = content.kind().to_owned();
    let value = serde_json::json!({ "kept_as": "stray", "bytes": size });
    (Content::Other { kind, value }, true)
}

/// Keeps what belongs to nobody, under the app's tenant, before the answer. A repeat of the same bytes is one.
async fn stray(node: &Arc<Node>, owner: &Arc<MetaApp>, body: &Bytes) -> Result<u64, WebhookError> {
    let kept = body.slice(..body.len().min(STRAY_BYTES));
    let at = Timestamp(node.clock().now_ms());
    let id = xxhash_rust::xxh3::xxh3_64(body) >> 1;
    let noun = Stray { id, tenant: owner.tenant, app: owner.id, at, bytes: kept.to_vec() };
    match node.store().nouns.create(&noun).await {
        Ok(_) | Err(kabar_schema::error::StoreError::Conflict) => Ok(id),
        Err(error) => Err(DoorError::from(error).into()),
    }
}
