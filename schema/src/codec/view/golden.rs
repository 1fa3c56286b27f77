//! Golden bytes of the packed rows: what is stored in these forms is read for ever.

use super::{campaign, conversation, discovered, idempotency, message, outbox, part};
use crate::codec::DecodeError;
use kabar_engine::address::Address;
use kabar_engine::campaign::{CampaignRow, Phase, Verb};
use kabar_engine::cause::Cause;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{Frozen, PartLine, Position};
use kabar_engine::id::{CampaignId, CommandId, ConversationId, MessageId, SessionId, TenantId};
use kabar_engine::message::{MessageRow, Stage, Times};
use kabar_engine::overlay::{DiscoveredRow, IdempotencyRow, OutboxKey, OutboxLine};
use kabar_engine::pacing::Lane;
use kabar_engine::part::{ChunkLine, PartPhase, PartRow, PartStart};
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::{ID_EPOCH_MS, Timestamp};
use std::collections::BTreeMap;

const TENANT: TenantId = TenantId(1);
const SESSION: SessionId = SessionId(2);

fn at(ms: i64) -> Timestamp {
    Timestamp(ID_EPOCH_MS + ms)
}

fn phone() -> Address {
    Address::phone_digits("628120000001").unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_message() {
    let id = MessageId((1_000 << 22) | (9 << 14) | 5);
    let row = MessageRow {
        id,
        tenant: TENANT,
        session: SESSION,
        conversation: ConversationId(id.0 - 3),
        address: phone(),
        content: None,
        lane: Lane::Reply,
        status: Status::Failed,
        stage: Stage::Done,
        attempts: 3,
        due: at(1_001),
        valid_until: at(2_000),
        times: Times {
            accepted: at(1_000),
            claimed: Some(at(1_100)),
            read: Some(at(999)),
            ..Times::default()
        },
        provider_id: Some("wamid.1".into()),
        cause: Some(Cause(131_026)),
        context: Some("c".into()),
        tag: None,
        beside: None,
        pricing: None,
        detailed: false,
        campaign: Some((CampaignId(7), 8)),
        prev: Some(MessageId(id.0 - 1)),
        number: 300,
        upto: Position(70_000),
    };
    let bytes = message::pack(&row);
    assert_eq!(hex(&bytes), MESSAGE);
    assert_eq!(message::unpack(id, &bytes), Ok(row.clone()));
    let priced = MessageRow { pricing: Some(std::sync::Arc::new(price())), ..row };
    let more = message::pack(&priced);
    assert_eq!(hex(&more), format!("{MESSAGE}{PRICED}"), "a price stands behind what was there before");
    assert_eq!(message::unpack(id, &more), Ok(priced.clone()));
    let detailed = MessageRow { detailed: true, ..priced };
    let marked = message::pack(&detailed);
    let place = more.iter().zip(&marked).position(|(before, now)| before != now).unwrap();
    assert_eq!((more[place], marked[place]), (3, 0x83), "a flag in the stage's byte, and nothing else");
    assert_eq!((&more[place + 1..], message::unpack(id, &marked)), (&marked[place + 1..], Ok(detailed)));
    assert_eq!(message::unpack(id, &[2]), Err(DecodeError::Invalid("form")));
    for end in 0..bytes.len() {
        assert!(message::unpack(id, &bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_conversation() {
    let id = ConversationId(11);
    let row = ConversationRow {
        id,
        tenant: TENANT,
        session: SESSION,
        address: phone(),
        aliases: vec![Address::user_id("ID.9").unwrap()],
        name: None,
        username: None,
        referrals: None,
        last: Some(MessageId(12)),
        count: 13,
        unread: 14,
        window_until: Some(Timestamp(15)),
        upto: Position(16),
    };
    let bytes = conversation::pack(&row, Some(&[0xaa, 0xbb]));
    assert_eq!(hex(&bytes), CONVERSATION);
    assert_eq!(conversation::unpack(id, &bytes), Ok((row, Some([0xaa, 0xbb].as_slice()))));
}

#[test]
fn a_campaign_and_a_part() {
    let id = CampaignId(7);
    let parts = vec![PartLine { session: SESSION, recipients: 600 }];
    let frozen = Frozen {
        campaign: id,
        attempt: 1,
        audience: 600,
        opted_out: 2,
        missing_variable: 3,
        frequency_capped: 0,
        parts,
        digest: [5; 32],
    };
    let row = CampaignRow {
        id,
        tenant: TENANT,
        phase: Phase::Paused,
        paused: true,
        launched: Timestamp(4),
        ended: Some(Timestamp(5)),
        command: CommandId(6),
        verb: Verb::Pause,
        obeyed: [0, 300].into(),
        frozen: Some(Box::new(frozen)),
        upto: Position(8),
    };
    let bytes = campaign::pack(&row);
    assert_eq!(hex(&bytes), CAMPAIGN);
    assert_eq!(campaign::unpack(id, &bytes), Ok(row));
    let start = PartStart {
        campaign: id,
        part: 1,
        attempt: 2,
        session: SESSION,
        launched: Timestamp(3),
        valid_until: Timestamp(4),
        chunks: vec![ChunkLine { first: phone(), count: 512, base: MessageId(1 << 30) }],
        command: CommandId(5),
    };
    let (phase, command) = (PartPhase::Paused, CommandId(6));
    let row = PartRow {
        tenant: TENANT,
        start,
        phase,
        command,
        finished: true,
        charged: BTreeMap::new(),
        upto: Position(7),
    };
    let bytes = part::pack(&row);
    assert_eq!(hex(&bytes), PART);
    assert_eq!(part::unpack(id, 1, &bytes), Ok(row.clone()));
    let charged = PartRow { charged: [(price(), 600)].into(), ..row };
    let more = part::pack(&charged);
    assert_eq!(hex(&more), format!("{PART}{CHARGED}"), "a price stands behind what was there before");
    assert_eq!(part::unpack(id, 1, &more), Ok(charged));
}

fn price() -> Pricing {
    Pricing::from_line("1|PMP|regular|utility|").unwrap()
}

#[test]
fn the_small_ones() {
    let key = OutboxKey { minute: 9, lane: Lane::Broadcast, message: MessageId(3) };
    let (tenant, session, valid_until) = (TENANT, SESSION, Timestamp(300));
    let line = OutboxLine::Open { tenant, key, session, stage: Stage::Parked, valid_until };
    assert_eq!(hex(&outbox::pack(&line)), OUTBOX);
    assert_eq!(outbox::unpack(key, &outbox::pack(&line)), Ok(line));
    let gone = OutboxLine::Gone(key);
    assert_eq!((outbox::pack(&gone), outbox::unpack(key, &[])), (Vec::new(), Ok(gone)));
    let (message, at, upto) = (MessageId(4), Timestamp(5), Position(6));
    let used = IdempotencyRow { session, key: 7, body: 8, message, at, upto };
    assert_eq!(hex(&idempotency::pack(&used)), IDEMPOTENCY);
    assert_eq!(idempotency::unpack(session, 7, &idempotency::pack(&used)), Ok(used));
    let met = DiscoveredRow { tenant, address: phone(), name: None, session, at, upto };
    let bytes = discovered::pack(&met, Some(&[0xcc]));
    assert_eq!(hex(&bytes), DISCOVERED);
    assert_eq!(discovered::unpack(tenant, phone(), &bytes), Ok((met.clone(), Some([0xcc].as_slice()))));
    // At the same instant the smaller session has the greater bytes.
    let later = DiscoveredRow { session: SessionId(session.0 + 1), ..met };
    assert!(bytes > discovered::pack(&later, Some(&[0xff])));
}

const MESSAGE: &str = "01010205010c3632383132303030303030310007030302d00f0001c801000000010100010777616d69642e3101d2ff070101630107080101ac02f0a204";
const CONVERSATION: &str = "010102010c36323831323030303030303101020449442e390102aabb010c0d0e011e10";
const CAMPAIGN: &str = "010103010208010a060300ac02012a0101d804020305050505050505050505050505050505050505050505050505050505050505050102d80408";
const PART: &str = "010102060201061a0102040501010c3632383132303030303030318004808080800807";
const PRICED: &str = "16317c504d507c726567756c61727c7574696c6974797c";
const CHARGED: &str = "1916317c504d507c726567756c61727c7574696c6974797cd804";
const OUTBOX: &str = "01010202d804";
const IDEMPOTENCY: &str = "0100000000000000000000000000000008040a06";
const DISCOVERED: &str = "01fffffffffffffffd0a060101cc";
