//! The bytes of every kind, held for ever, and the properties of the codec. The golden file is never rewritten
//! for a kind that has been released: a change of bytes is a new kind.

mod provider;

use super::arbitrary::{self, TENANT};
use super::frame::{self, ENTRY_MAX, FRAME_MAX, FrameError};
use super::{DecodeError, Decoded, NEWEST_KIND, content_place, decode, encode, open_content, seal_content};
use crate::journal::Fence;
use crate::memory::MemoryRecords;
use crate::seal::{Keyring, SealError};
use kabar_engine::address::Address;
use kabar_engine::beside::{Beside, Rest};
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::entry::{
    ConsentSource, ConversationOpened, Entry, Frozen, Idempotency, Inbound, Intent, Outcome, PartLine,
    Position, Quoted, Range, StatusReport, StatusRest, What,
};
use kabar_engine::id::{
    CampaignId, CommandId, ConversationId, KeyId, MediaId, MessageId, SessionId, ShardId, TenantId, WebhookId,
};
use kabar_engine::notice::Notice;
use kabar_engine::once::Once;
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Words;
use kabar_engine::pacing::{Held, Hold, Lane};
use kabar_engine::part::{ChunkLine, PartStart};
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

const GOLDEN: &str = include_str!("../../tests/schema/golden/entries.hex");
const AT: Timestamp = Timestamp(1_790_000_000_123);
const SESSION: SessionId = SessionId(11);
const CAMPAIGN: CampaignId = CampaignId(1_234_567);

fn keyring() -> Keyring {
    Keyring::fixed(TENANT, &[3; 32], Arc::new(MemoryRecords::default()))
}

fn ids() -> Vec<MessageId> {
    vec![MessageId(1 << 40), MessageId((1 << 40) + 1), MessageId(1 << 39)]
}

fn person() -> Address {
    Address::phone_digits("6281234567890").unwrap()
}

fn message_kinds() -> Vec<What> {
    let conversation = ConversationId(900);
    let content = Arc::new(Content::plain("halo"));
    let idempotency = Some(Idempotency { key: 1 << 100, body: 2 });
    let accepted = Outcome::Accepted("wamid.A".into());
    let retry = Outcome::Retry { due: AT.plus_ms(60_000), cause: Cause(130_429) };
    vec![
        What::Opened { epoch: 300 },
        What::Conversation(Box::new(ConversationOpened {
            id: conversation,
            session: SESSION,
            address: person(),
        })),
        What::Alias { session: SESSION, conversation, address: Address::user_id("ID.99x").unwrap() },
        What::Intent(Box::new(Intent {
            id: MessageId(5),
            session: SESSION,
            conversation,
            to: person(),
            content: Arc::clone(&content),
            lane: Lane::Transactional,
            due: AT,
            valid_until: AT.plus_ms(86_400_000),
            context: Some("wamid.Q".into()),
            idempotency,
            by: None,
            tag: None,
            identity: None,
        })),
        What::Claim { session: SESSION, messages: ids(), held: None },
        What::Released { session: SESSION, messages: ids() },
        What::Parked { session: SESSION, messages: ids() },
        What::Results(vec![
            (MessageId(5), accepted),
            (MessageId(6), Outcome::Failed(Cause(131_026))),
            (MessageId(7), retry),
            (MessageId(8), Outcome::Ambiguous),
        ]),
        What::Statuses(vec![StatusReport {
            of: MessageId(5),
            status: Status::Failed,
            at: AT.plus_ms(-1_000),
            cause: Some(Cause(131_049)),
            provider_id: Some("wamid.A".into()),
            pricing: None,
            rest: None,
        }]),
        What::Resolved { again: true, messages: ids() },
        What::Ended { cause: Some(Cause::OPTED_OUT), messages: ids(), once: None },
        What::Inbound(Box::new(Inbound {
            id: MessageId(9),
            session: SESSION,
            conversation,
            from: Address::lid("123456").unwrap(),
            name: Some("Siti".to_owned()),
            provider_id: "wamid.IN".into(),
            sent_at: AT.plus_ms(-2_000),
            content,
            context: None,
            beside: None,
        })),
        What::Consent { address: person(), wish: Wish::OptOut, source: ConsentSource::Word, once: None },
    ]
}

fn campaign_kinds() -> Vec<What> {
    let campaign = CAMPAIGN;
    let ranges = vec![Range { first: 10_240, count: 256 }, Range { first: 12_000, count: 1 }];
    let (command, part) = (CommandId(44), 3);
    vec![
        What::Frozen(Box::new(Frozen {
            campaign,
            attempt: 2,
            audience: 10_000,
            opted_out: 12,
            missing_variable: 8,
            frequency_capped: 0,
            parts: vec![PartLine { session: SESSION, recipients: 9_980 }],
            digest: [0xab; 32],
        })),
        What::Moved { campaign, verb: Verb::Pause, command, once: None },
        What::Obeyed { campaign, command, parts: vec![0, 3, 300] },
        What::Finished { campaign },
        What::PartStarted(Box::new(PartStart {
            campaign,
            part,
            attempt: 2,
            session: SESSION,
            launched: AT,
            valid_until: AT.plus_ms(3_600_000),
            chunks: vec![ChunkLine { first: person(), count: 512, base: MessageId(1 << 41) }],
            command,
        })),
        What::PartMoved { campaign, part, verb: Verb::Cancel, command },
        What::PartClaim { campaign, ranges: ranges.clone(), held: None },
        What::PartReleased { campaign, ranges: ranges.clone() },
        What::PartParked { campaign, ranges: ranges.clone() },
        What::PartResults {
            campaign,
            results: vec![(10_240, Outcome::Accepted("wamid.B".into())), (10_241, Outcome::Ambiguous)],
        },
        What::PartStatuses {
            campaign,
            statuses: vec![StatusReport {
                of: 10_240,
                status: Status::Read,
                at: AT.plus_ms(-500),
                cause: None,
                provider_id: None,
                pricing: None,
                rest: None,
            }],
        },
        What::PartResolved { campaign, again: false, ranges: ranges.clone() },
        What::PartEnded { campaign, cause: None, ranges: ranges.clone() },
        What::PartDeferred { campaign, due: AT.plus_ms(7_200_000), ranges },
        What::PartFinished { campaign, part },
        What::Touched {
            campaign,
            index: 10_241,
            session: SESSION,
            conversation: ConversationId(900),
            message: MessageId((1 << 41) + 1),
        },
    ]
}

fn webhook_kinds() -> Vec<What> {
    vec![What::WebhookDisabled { webhook: WebhookId(1_234_567), since: AT.plus_ms(-432_000_000) }]
}

/// With numbers of their own: those before them are others'.
fn media_kinds() -> Vec<What> {
    let message = MessageId(5);
    vec![
        What::MediaStored { message, media: MediaId(1_234_567) },
        What::MediaFailed { message, cause: Cause::MEDIA_EXPIRED },
    ]
}

/// What was asked under an idempotency key.
fn once_kinds() -> Vec<What> {
    let (campaign, command) = (CAMPAIGN, CommandId(44));
    let once = Some(Box::new(Once { scope: 1_234_567, key: 1 << 100, body: 2 }));
    vec![
        What::Moved { campaign, verb: Verb::Pause, command, once: once.clone() },
        What::Consent {
            address: person(),
            wish: Wish::OptIn,
            source: ConsentSource::Api,
            once: once.clone(),
        },
        What::Ended { cause: Some(Cause::CANCELLED), messages: ids(), once },
    ]
}

/// With who asked, and with what had held them up.
fn told_kinds() -> Vec<What> {
    let intent = Intent {
        id: MessageId(5),
        session: SESSION,
        conversation: ConversationId(900),
        to: person(),
        content: Arc::new(Content::plain("halo")),
        lane: Lane::Broadcast,
        due: AT,
        valid_until: AT.plus_ms(86_400_000),
        context: None,
        idempotency: None,
        by: Some(KeyId(1_234_567)),
        tag: None,
        identity: None,
    };
    let capped = Frozen {
        campaign: CAMPAIGN,
        attempt: 2,
        audience: 10_000,
        opted_out: 12,
        missing_variable: 8,
        frequency_capped: 300,
        parts: vec![PartLine { session: SESSION, recipients: 9_680 }],
        digest: [0xab; 32],
    };
    let held = |by| Some(Held { by, since: AT.plus_ms(-2_500) });
    let ranges = vec![Range { first: 10_240, count: 256 }];
    let tagged = Intent { tag: Some("order-81".into()), ..intent.clone() };
    vec![
        What::Intent(Box::new(intent)),
        What::Claim { session: SESSION, messages: ids(), held: held(Hold::Throttled) },
        What::PartClaim { campaign: CAMPAIGN, ranges, held: held(Hold::Turn) },
        What::Frozen(Box::new(capped)),
        What::Intent(Box::new(tagged)),
    ]
}

/// A message for somebody who must still be the same.
fn identified() -> Vec<What> {
    let intent = |tag: Option<&str>, by| {
        What::Intent(Box::new(Intent {
            id: MessageId(6),
            session: SESSION,
            conversation: ConversationId(900),
            to: person(),
            content: Arc::new(Content::plain("halo")),
            lane: Lane::Reply,
            due: AT,
            valid_until: AT.plus_ms(60_000),
            context: None,
            idempotency: None,
            by,
            tag: tag.map(Arc::from),
            identity: Some("DF2lS5v2W6x=".into()),
        }))
    };
    vec![intent(None, None), intent(Some("order-81"), Some(KeyId(1_234_567)))]
}

fn samples() -> Vec<Entry> {
    let kinds = message_kinds().into_iter().chain(campaign_kinds()).chain(once_kinds());
    let kinds = kinds
        .chain(webhook_kinds())
        .chain(told_kinds())
        .chain(media_kinds())
        .chain(provider::kinds())
        .chain(identified())
        .chain(provider::said_kinds());
    kinds.map(|what| Entry { tenant: TENANT, at: AT, what }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn bytes(entry: &Entry, keyring: &Keyring) -> Vec<u8> {
    let mut out = Vec::new();
    encode(entry, keyring, &mut out).unwrap();
    out
}

#[test]
fn the_bytes_of_every_kind_are_golden() {
    let mut written = String::new();
    for entry in samples() {
        writeln!(written, "{} {}", entry.what.name(), hex(&bytes(&entry, &keyring()))).unwrap();
    }
    assert_eq!(written, GOLDEN, "a released kind never changes its bytes; a new one is appended:\n{written}");
}

#[test]
fn golden_bytes_still_mean_the_same() {
    let lines: Vec<_> = GOLDEN.lines().collect();
    let samples = samples();
    assert_eq!(lines.len(), samples.len());
    for (line, entry) in lines.iter().zip(samples) {
        let (name, hex) = line.split_once(' ').unwrap();
        assert_eq!(name, entry.what.name());
        assert_eq!(decode(&unhex(hex), &keyring()), Ok(Decoded::Entry(entry)));
    }
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let kinds: BTreeSet<u8> = samples().iter().map(|entry| bytes(entry, &keyring())[0]).collect();
    assert_eq!(kinds, (1..=NEWEST_KIND).collect());
}

#[test]
fn a_kind_of_a_later_version_is_named() {
    let mut later = bytes(&samples()[0], &keyring());
    later[0] = NEWEST_KIND + 1;
    assert_eq!(decode(&later, &keyring()), Err(DecodeError::UnknownKind(NEWEST_KIND + 1)));
    later[0] = 0;
    assert_eq!(decode(&later, &keyring()), Err(DecodeError::UnknownKind(0)));
}

#[tokio::test]
async fn entries_of_an_erased_tenant_say_nothing_any_more() {
    let keyring = keyring();
    let written: Vec<_> = samples().iter().map(|entry| bytes(entry, &keyring)).collect();
    keyring.erase(TENANT).await.unwrap();
    for (bytes, entry) in written.iter().zip(samples()) {
        let expected =
            if matches!(entry.what, What::Opened { .. }) { Decoded::Entry(entry) } else { Decoded::Erased };
        assert_eq!(decode(bytes, &keyring), Ok(expected));
    }
}

#[test]
fn nothing_is_written_for_a_tenant_without_a_key() {
    // It would read back as erased: lost without a word.
    let stranger = Entry { tenant: TenantId(78), ..samples().remove(4) };
    assert_eq!(encode(&stranger, &keyring(), &mut Vec::new()), Err(SealError::NoKey));
}

#[test]
fn a_body_opens_only_as_the_body_of_its_message() {
    let (keyring, content) = (keyring(), Content::plain("rahasia"));
    let sealed = seal_content(&keyring, TENANT, &content, &content_place(MessageId(5))).unwrap();
    assert!(!sealed.windows(7).any(|w| w == b"rahasia"));
    let opened = open_content(&keyring, TENANT, &sealed, &content_place(MessageId(5)));
    assert_eq!(opened, Ok(Some(content)));
    let moved = open_content(&keyring, TENANT, &sealed, &content_place(MessageId(6)));
    assert_eq!(moved, Err(DecodeError::Seal(SealError::Broken)));
}

#[test]
fn names_and_bodies_do_not_lie_open() {
    for entry in samples() {
        let bytes = bytes(&entry, &keyring());
        for secret in ["halo", "Siti"] {
            assert!(!bytes.windows(4).any(|w| w == secret.as_bytes()), "{} shows it", entry.what.name());
        }
    }
}

fn long(bytes: usize) -> Arc<Entry> {
    let mut intent = message_kinds().remove(3);
    if let What::Intent(intent) = &mut intent {
        intent.content = Arc::new(Content::plain(&"x".repeat(bytes)));
    }
    Arc::new(Entry { tenant: TENANT, at: AT, what: intent })
}

#[test]
fn a_frame_of_positions_that_no_shard_can_reach_is_none() {
    let fence = Fence { shard: ShardId(3), epoch: 1 };
    let entry = || Arc::new(Entry { tenant: TENANT, at: AT, what: What::Opened { epoch: 300 } });
    let entries = [entry(), entry()];
    for (base, whole) in [(u64::MAX - 2, true), (u64::MAX - 1, false), (u64::MAX, false)] {
        let mut bytes = frame::build(fence, Position(base), 7, &entries, &keyring()).unwrap();
        frame::finish(&mut bytes, 1, 0);
        assert_eq!(frame::parse(&bytes, 1).is_some(), whole, "{base}");
        assert!(frame::parse(&bytes, 1).is_none_or(|frame| frame.entries().is_ok_and(|e| e.len() == 2)));
    }
}

#[test]
fn a_frame_holds_what_fits_and_says_what_does_not() {
    let fence = Fence { shard: ShardId(1), epoch: 1 };
    let build = |entries: &[Arc<Entry>]| frame::build(fence, Position(1), 9, entries, &keyring());
    assert_eq!(build(&[]), Err(FrameError::Empty));
    assert!(matches!(build(&[long(ENTRY_MAX)]), Err(FrameError::EntryTooLarge { kind: "intent", .. })));
    assert!(frame::check(&[long(ENTRY_MAX)]).is_err());
    let many: Vec<_> = (0..9).map(|_| long(20_000)).collect();
    assert_eq!(build(&many), Err(FrameError::TooLarge { entries: 9 }));
    let batches = frame::split(many.clone());
    assert_eq!(batches.concat(), many);
    assert_eq!(batches.len(), 3);
    for batch in batches {
        assert!(build(&batch).unwrap().len() <= FRAME_MAX);
        assert_eq!(frame::check(&batch), Ok(()));
    }
}

proptest! {
    #[test]
    fn every_entry_reads_back(entry in arbitrary::entry()) {
        let keyring = keyring();
        let bytes = bytes(&entry, &keyring);
        prop_assert!(bytes.len() <= frame::entry_len(&entry));
        prop_assert_eq!(decode(&bytes, &keyring), Ok(Decoded::Entry(entry)));
    }

    #[test]
    fn a_cut_entry_is_never_another_one(entry in arbitrary::entry(), cut in any::<prop::sample::Index>()) {
        let keyring = keyring();
        let bytes = bytes(&entry, &keyring);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())], &keyring).is_err());
        let mut longer = bytes;
        longer.push(0);
        prop_assert!(decode(&longer, &keyring).is_err());
    }

    #[test]
    fn garbage_is_refused_and_panics_nobody(kind in 0..=NEWEST_KIND + 1, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let keyring = keyring();
        let _ = decode(&bytes, &keyring);
        // A plausible head lets more of it be read as fields.
        let mut plausible = vec![kind, 77, 0];
        plausible.append(&mut bytes);
        let _ = decode(&plausible, &keyring);
        let _ = frame::parse(&plausible, 0);
    }
}
