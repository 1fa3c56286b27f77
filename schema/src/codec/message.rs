//! Bytes of the entries about shards, conversations, messages and consent. Not those of campaigns and parts.

use super::priced::Prices;
use super::row::{
    Reader, put_address, put_bytes, put_ids, put_near, put_option, put_text, put_time, put_time_near,
    put_varint, put_wish,
};
use super::{
    DecodeError, Fields, Found, Stored, body, content_place, held, kind, once, read_content, rests,
    write_content,
};
use crate::seal::SealError;
use kabar_engine::cause::Cause;
use kabar_engine::entry::{
    ConsentSource, ConversationOpened, Idempotency, Inbound, Intent, Outcome, StatusReport, What,
};
use kabar_engine::id::{ConversationId, KeyId, MessageId, SessionId};
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::sync::Arc;

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(to: &mut Fields<'_>, what: &What) -> Result<Option<u8>, SealError> {
    let out = &mut *to.out;
    Ok(Some(match what {
        What::Opened { epoch } => {
            put_varint(out, *epoch);
            kind::OPENED
        }
        What::Conversation(opened) => {
            put_varint(out, opened.id.0);
            put_varint(out, opened.session.0);
            put_address(out, &opened.address);
            kind::CONVERSATION
        }
        What::Alias { session, conversation, address } => {
            put_varint(out, session.0);
            put_varint(out, conversation.0);
            put_address(out, address);
            kind::ALIAS
        }
        What::Intent(intent) => {
            put_intent(to, intent)?;
            match &**intent {
                Intent { identity: Some(_), .. } => kind::INTENT_IDENTIFIED,
                Intent { tag: Some(_), .. } => kind::INTENT_TAGGED,
                Intent { by: Some(_), .. } => kind::INTENT_BY,
                _ => kind::INTENT,
            }
        }
        What::Claim { session, messages, held } => {
            let kind = held::put(out, to.at, *held, (kind::CLAIM, kind::CLAIM_HELD));
            put_messages(out, *session, messages, kind)
        }
        What::Released { session, messages } => put_messages(out, *session, messages, kind::RELEASED),
        What::Parked { session, messages } => put_messages(out, *session, messages, kind::PARKED),
        What::Results(results) => {
            put_results(out, to.at, results.iter().map(|(id, outcome)| (id.0, outcome)));
            kind::RESULTS
        }
        What::Statuses(reports) if !rests::any(reports) => {
            put_reports(out, to.at, reports, (kind::STATUSES, kind::STATUSES_PRICED), |id| id.0)
        }
        What::Resolved { again, messages } => {
            out.push(u8::from(*again));
            put_ids(out, messages.iter().map(|id| id.0));
            kind::RESOLVED
        }
        What::Ended { cause, messages, once } => {
            put_cause(out, *cause);
            put_ids(out, messages.iter().map(|id| id.0));
            once::put(out, once.as_deref(), (kind::ENDED, kind::ENDED_ONCE))
        }
        What::Inbound(inbound) => {
            put_inbound(to, inbound)?;
            if inbound.beside.is_some() { kind::INBOUND_BESIDE } else { kind::INBOUND }
        }
        What::Consent { address, wish, source, once } => {
            put_address(out, address);
            put_wish(out, *wish);
            out.push(*source as u8);
            once::put(out, once.as_deref(), (kind::CONSENT, kind::CONSENT_ONCE))
        }
        _ => return Ok(None),
    }))
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(from: &mut Stored<'_>) -> Result<Option<Found>, DecodeError> {
    let at = from.at;
    let reader = &mut from.reader;
    let what = match from.kind {
        kind::OPENED => What::Opened { epoch: reader.varint("epoch")? },
        kind::CONVERSATION => What::Conversation(Box::new(ConversationOpened {
            id: ConversationId(reader.varint("conversation")?),
            session: session(reader)?,
            address: reader.address("address")?,
        })),
        kind::ALIAS => What::Alias {
            session: session(reader)?,
            conversation: ConversationId(reader.varint("conversation")?),
            address: reader.address("address")?,
        },
        kind::INTENT | kind::INTENT_BY | kind::INTENT_TAGGED | kind::INTENT_IDENTIFIED => {
            return read_intent(from).map(Some);
        }
        kind::CLAIM | kind::CLAIM_HELD => {
            let held = held::read(reader, at, from.kind, kind::CLAIM_HELD)?;
            What::Claim { session: session(reader)?, messages: messages(reader)?, held }
        }
        kind::RELEASED => What::Released { session: session(reader)?, messages: messages(reader)? },
        kind::PARKED => What::Parked { session: session(reader)?, messages: messages(reader)? },
        kind::RESULTS => What::Results(read_results(reader, at, |id| Ok(MessageId(id)))?),
        kind::STATUSES | kind::STATUSES_PRICED => {
            let prices = Prices::read(reader, from.kind, kind::STATUSES_PRICED)?;
            What::Statuses(read_reports(reader, at, prices.as_ref(), |id| Ok(MessageId(id)))?)
        }
        kind::RESOLVED => What::Resolved { again: flag(reader)?, messages: messages(reader)? },
        kind::ENDED | kind::ENDED_ONCE => What::Ended {
            cause: read_cause(reader)?,
            messages: messages(reader)?,
            once: once::read(reader, from.kind, kind::ENDED_ONCE)?,
        },
        kind::INBOUND | kind::INBOUND_BESIDE => return read_inbound(from).map(Some),
        kind::CONSENT | kind::CONSENT_ONCE => What::Consent {
            address: reader.address("address")?,
            wish: reader.wish("wish")?,
            source: ConsentSource::from_byte(reader.byte("source")?).ok_or(DecodeError::Invalid("source"))?,
            once: once::read(reader, from.kind, kind::CONSENT_ONCE)?,
        },
        _ => return Ok(None),
    };
    Ok(Some(Found::What(what)))
}

fn put_messages(out: &mut Vec<u8>, session: SessionId, messages: &[MessageId], kind: u8) -> u8 {
    put_varint(out, session.0);
    put_ids(out, messages.iter().map(|id| id.0));
    kind
}

fn session(reader: &mut Reader<'_>) -> Result<SessionId, DecodeError> {
    reader.varint("session").map(SessionId)
}

fn messages(reader: &mut Reader<'_>) -> Result<Vec<MessageId>, DecodeError> {
    reader.ids("messages", MessageId)
}

fn put_intent(to: &mut Fields<'_>, intent: &Intent) -> Result<(), SealError> {
    let (out, at) = (&mut *to.out, to.at);
    put_varint(out, intent.id.0);
    put_varint(out, intent.session.0);
    put_varint(out, intent.conversation.0);
    put_address(out, &intent.to);
    out.push(intent.lane as u8);
    put_time_near(out, at, intent.due);
    put_time_near(out, at, intent.valid_until);
    put_option(out, intent.context.as_deref(), put_text);
    put_option(out, intent.idempotency.as_ref(), |out, idempotency| {
        out.extend_from_slice(&idempotency.key.to_le_bytes());
        out.extend_from_slice(&idempotency.body.to_le_bytes());
    });
    let more = intent.tag.is_some() || intent.identity.is_some();
    match intent.by {
        by if more => put_option(out, by.as_ref(), |out, key| put_varint(out, key.0)),
        Some(key) => put_varint(out, key.0),
        None => {}
    }
    // The tag is the caller's own and may name anything, so it is sealed with the body; so is what tells a person.
    to.sealer.seal(out, to.tenant, &content_place(intent.id), |out| {
        if let Some(identity) = &intent.identity {
            put_text(out, identity);
            put_option(out, intent.tag.as_deref(), put_text);
        } else if let Some(tag) = &intent.tag {
            put_text(out, tag);
        }
        write_content(out, &intent.content);
    })
}

fn read_intent(from: &mut Stored<'_>) -> Result<Found, DecodeError> {
    let at = from.at;
    let reader = &mut from.reader;
    let id = MessageId(reader.varint("message")?);
    let session = session(reader)?;
    let conversation = ConversationId(reader.varint("conversation")?);
    let to = reader.address("to")?;
    let lane = Lane::from_byte(reader.byte("lane")?).ok_or(DecodeError::Invalid("lane"))?;
    let due = reader.time_near(at, "due")?;
    let valid_until = reader.time_near(at, "valid until")?;
    let context = read_shared(reader, "context")?;
    let idempotency = reader.option("idempotency", |reader| {
        let key = u128::from_le_bytes(reader.array("idempotency key")?);
        Ok(Idempotency { key, body: u128::from_le_bytes(reader.array("idempotency body")?) })
    })?;
    let by = match from.kind {
        kind::INTENT_BY => Some(KeyId(reader.varint("key")?)),
        kind::INTENT_TAGGED | kind::INTENT_IDENTIFIED => {
            reader.option("key", |reader| reader.varint("key").map(KeyId))?
        }
        _ => None,
    };
    let kind = from.kind;
    let Some(plain) = from.open(&content_place(id), "content")? else { return Ok(Found::Erased) };
    let mut sealed = Reader::new(&plain);
    let (identity, tag) = match kind {
        kind::INTENT_TAGGED => (None, Some(sealed.text("tag")?.into())),
        kind::INTENT_IDENTIFIED => (Some(sealed.text("identity")?.into()), read_shared(&mut sealed, "tag")?),
        _ => (None, None),
    };
    let content = Arc::new(read_content(sealed.rest())?);
    Ok(Found::What(What::Intent(Box::new(Intent {
        id,
        session,
        conversation,
        to,
        content,
        lane,
        due,
        valid_until,
        context,
        idempotency,
        by,
        tag,
        identity,
    }))))
}

fn put_inbound(to: &mut Fields<'_>, inbound: &Inbound) -> Result<(), SealError> {
    let out = &mut *to.out;
    put_varint(out, inbound.id.0);
    put_varint(out, inbound.session.0);
    put_varint(out, inbound.conversation.0);
    put_address(out, &inbound.from);
    put_text(out, &inbound.provider_id);
    put_time(out, inbound.sent_at);
    put_option(out, inbound.context.as_deref(), put_text);
    // The shown name is as personal as the body, so it is sealed with it.
    to.sealer.seal(out, to.tenant, &content_place(inbound.id), |out| {
        put_option(out, inbound.name.as_deref(), put_text);
        if let Some(beside) = &inbound.beside {
            put_bytes(out, &body::beside(beside));
        }
        write_content(out, &inbound.content);
    })
}

fn read_inbound(from: &mut Stored<'_>) -> Result<Found, DecodeError> {
    let reader = &mut from.reader;
    let id = MessageId(reader.varint("message")?);
    let session = session(reader)?;
    let conversation = ConversationId(reader.varint("conversation")?);
    let address = reader.address("from")?;
    let provider_id = reader.text("provider id")?.into();
    let sent_at = reader.time("sent at")?;
    let context = read_shared(reader, "context")?;
    let Some(plain) = from.open(&content_place(id), "content")? else { return Ok(Found::Erased) };
    let mut sealed = Reader::new(&plain);
    let name = sealed.option("name", |reader| reader.text("name").map(str::to_owned))?;
    let beside = match from.kind {
        kind::INBOUND_BESIDE => Some(Box::new(body::read_beside(sealed.bytes("beside")?)?)),
        _ => None,
    };
    let content = Arc::new(read_content(sealed.rest())?);
    Ok(Found::What(What::Inbound(Box::new(Inbound {
        id,
        session,
        conversation,
        from: address,
        name,
        provider_id,
        sent_at,
        content,
        context,
        beside,
    }))))
}

fn read_shared(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<Arc<str>>, DecodeError> {
    reader.option(what, |reader| reader.text(what).map(Arc::from))
}

/// Whether something is so: 0 or 1.
pub(super) fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte("flag")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid("flag")),
    }
}

pub(super) fn put_cause(out: &mut Vec<u8>, cause: Option<Cause>) {
    put_option(out, cause.as_ref(), |out, cause| put_varint(out, u64::from(cause.0)));
}

pub(super) fn read_cause(reader: &mut Reader<'_>) -> Result<Option<Cause>, DecodeError> {
    reader.option("cause", |reader| reader.small("cause").map(Cause))
}

/// Answers of the provider, keyed by message id or index.
pub(super) fn put_results<'a>(
    out: &mut Vec<u8>,
    at: Timestamp,
    results: impl ExactSizeIterator<Item = (u64, &'a Outcome)>,
) {
    put_varint(out, results.len() as u64);
    let mut last = 0;
    for (key, outcome) in results {
        put_near(out, &mut last, key);
        match outcome {
            Outcome::Accepted(provider_id) => {
                out.push(0);
                put_text(out, provider_id);
            }
            Outcome::Failed(cause) => {
                out.push(1);
                put_varint(out, u64::from(cause.0));
            }
            Outcome::Retry { due, cause } => {
                out.push(2);
                put_time_near(out, at, *due);
                put_varint(out, u64::from(cause.0));
            }
            Outcome::Ambiguous => out.push(3),
        }
    }
}

pub(super) fn read_results<K>(
    reader: &mut Reader<'_>,
    at: Timestamp,
    key: impl Fn(u64) -> Result<K, DecodeError>,
) -> Result<Vec<(K, Outcome)>, DecodeError> {
    let mut last = 0;
    reader.list("results", |reader| {
        let key = key(reader.near(&mut last, "result of")?)?;
        let outcome = match reader.byte("outcome")? {
            0 => Outcome::Accepted(reader.text("provider id")?.into()),
            1 => Outcome::Failed(Cause(reader.small("cause")?)),
            2 => Outcome::Retry { due: reader.time_near(at, "due")?, cause: Cause(reader.small("cause")?) },
            3 => Outcome::Ambiguous,
            _ => return Err(DecodeError::Invalid("outcome")),
        };
        Ok((key, outcome))
    })
}

/// Statuses of the provider, keyed by message id or index.
pub(super) fn put_reports<K: Copy>(
    out: &mut Vec<u8>,
    at: Timestamp,
    reports: &[StatusReport<K>],
    kinds: (u8, u8),
    key: impl Fn(K) -> u64,
) -> u8 {
    let (prices, kind) = Prices::put(out, reports, kinds);
    put_lines(out, at, reports, prices.as_ref(), key);
    kind
}

/// The reports alone, each with the number of its price where there are prices.
pub(super) fn put_lines<K: Copy>(
    out: &mut Vec<u8>,
    at: Timestamp,
    reports: &[StatusReport<K>],
    prices: Option<&Prices>,
    key: impl Fn(K) -> u64,
) {
    put_varint(out, reports.len() as u64);
    let mut last = 0;
    for report in reports {
        put_near(out, &mut last, key(report.of));
        out.push(report.status as u8);
        put_time_near(out, at, report.at);
        put_cause(out, report.cause);
        put_option(out, report.provider_id.as_deref(), put_text);
        if let Some(prices) = prices {
            put_varint(out, prices.number(report.pricing.as_ref()));
        }
    }
}

pub(super) fn read_reports<K>(
    reader: &mut Reader<'_>,
    at: Timestamp,
    prices: Option<&Prices>,
    key: impl Fn(u64) -> Result<K, DecodeError>,
) -> Result<Vec<StatusReport<K>>, DecodeError> {
    let mut last = 0;
    reader.list("statuses", |reader| {
        Ok(StatusReport {
            of: key(reader.near(&mut last, "status of")?)?,
            status: Status::from_byte(reader.byte("status")?).ok_or(DecodeError::Invalid("status"))?,
            at: reader.time_near(at, "status at")?,
            cause: read_cause(reader)?,
            provider_id: read_shared(reader, "provider id")?,
            pricing: match prices {
                Some(prices) => prices.of(reader.varint("price's number")?)?,
                None => None,
            },
            rest: None,
        })
    })
}
