//! Any entry of any kind, for properties. Not real traffic.

use kabar_engine::address::Address;
use kabar_engine::beside::{Beside, Rest};
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::entry::{
    ConsentSource, ConversationOpened, Entry, Frozen, Idempotency, Inbound, Intent, Outcome, PartLine,
    Quoted, Range, StatusReport, StatusRest, What,
};
use kabar_engine::id::{
    CampaignId, CommandId, ConversationId, KeyId, MediaId, MessageId, SessionId, TenantId, WebhookId,
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
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

/// The tenant whose key the tests hold.
pub(super) const TENANT: TenantId = TenantId(77);

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        "[1-9][0-9]{5,14}".prop_map(|d| Address::phone_digits(&d).unwrap()),
        "[A-Z]{2}\\.[A-Za-z0-9]{1,40}".prop_map(|d| Address::user_id(&d).unwrap()),
        "[0-9]{1,20}".prop_map(|d| Address::lid(&d).unwrap()),
    ]
}

fn content() -> impl Strategy<Value = Arc<Content>> {
    let odd = ("[a-z]{3,9}x", any::<i32>())
        .prop_map(|(kind, value)| Content::Other { kind, value: serde_json::json!({"n": value}) });
    prop_oneof![".*".prop_map(|text| Content::plain(&text)), odd].prop_map(Arc::new)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    any::<u64>().prop_map(ConversationId)
}

fn campaign() -> impl Strategy<Value = CampaignId> {
    any::<u64>().prop_map(CampaignId)
}

fn command() -> impl Strategy<Value = CommandId> {
    any::<u64>().prop_map(CommandId)
}

fn message() -> impl Strategy<Value = MessageId> {
    any::<u64>().prop_map(MessageId)
}

fn messages() -> impl Strategy<Value = Vec<MessageId>> {
    vec(message(), 0..20)
}

fn ranges() -> impl Strategy<Value = Vec<Range>> {
    vec(any::<(u32, u32)>().prop_map(|(first, count)| Range { first, count }), 0..20)
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    ".{0,40}".prop_map(Arc::from)
}

fn cause() -> impl Strategy<Value = Cause> {
    any::<u32>().prop_map(Cause)
}

fn verb() -> impl Strategy<Value = Verb> {
    prop::sample::select(vec![Verb::Launch, Verb::Pause, Verb::Resume, Verb::Cancel])
}

fn once() -> impl Strategy<Value = Option<Box<Once>>> {
    let once = any::<(u64, u128, u128)>().prop_map(|(scope, key, body)| Box::new(Once { scope, key, body }));
    option::of(once)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        shared().prop_map(Outcome::Accepted),
        cause().prop_map(Outcome::Failed),
        (time(), cause()).prop_map(|(due, cause)| Outcome::Retry { due, cause }),
        Just(Outcome::Ambiguous),
    ]
}

fn report<K: std::fmt::Debug>(of: impl Strategy<Value = K>) -> impl Strategy<Value = StatusReport<K>> {
    let status = (1..=9_u8).prop_map(|byte| Status::from_byte(byte).unwrap());
    let said = (option::of(cause()), option::of(shared()), option::of(pricing()), rest());
    (of, status, time(), said).prop_map(|(of, status, at, (cause, provider_id, pricing, rest))| {
        let pricing = pricing.map(Arc::new);
        StatusReport { of, status, at, cause, provider_id, pricing, rest }
    })
}

/// Few say more, and some of them the same.
fn rest() -> impl Strategy<Value = Option<Arc<StatusRest>>> {
    let rest = prop::sample::select(vec!["1", "[2]", r#"{"id":"c"}"#]);
    option::weighted(0.1, (rest, any::<bool>())).prop_map(|value| {
        let (value, alone) = value?;
        let rest = StatusRest::of([("conversation", value)])?;
        Some(Arc::new(if alone { rest.alone() } else { rest }))
    })
}

fn pricing() -> impl Strategy<Value = Pricing> {
    let word = || {
        prop::sample::select(vec!["", "PMP", "regular", "utility", "word_of_2030"]).prop_map(Pricing::word)
    };
    (option::of(any::<bool>()), word(), word(), word(), word()).prop_map(
        |(billable, model, kind, category, origin)| Pricing { billable, model, kind, category, origin },
    )
}

fn quoted() -> impl Strategy<Value = What> {
    let words = ("[a-c ]{0,3}|.*", option::of("[A-Za-z0-9_-]{23}"))
        .prop_map(|(detail, trace)| Words { detail, trace });
    (option::of(campaign()), vec((any::<u64>(), words), 0..20))
        .prop_map(|(campaign, calls)| What::Quoted(Box::new(Quoted { campaign, calls })))
}

fn notice() -> impl Strategy<Value = What> {
    let about = (option::of(session()), option::of("[0-9]{0,20}"), "[a-z_]{1,30}");
    (about, option::of(shared()), option::of(any::<u64>()), option::of(time())).prop_map(
        |((session, account, field), value, stray, at)| {
            let (account, field) = (account.map(Arc::from), field.into());
            What::Notice(Box::new(Notice { session, account, field, value, stray, at }))
        },
    )
}

fn held() -> impl Strategy<Value = Option<Held>> {
    let by = prop::sample::select(Hold::ALL.to_vec());
    option::of((by, time()).prop_map(|(by, since)| Held { by, since }))
}

fn intent() -> impl Strategy<Value = What> {
    let idempotency = any::<(u128, u128)>().prop_map(|(key, body)| Idempotency { key, body });
    let lane = prop::sample::select(Lane::ALL.to_vec());
    let who = (message(), session(), conversation(), address(), content(), lane);
    let asked = (
        option::of(idempotency),
        option::of(any::<u64>().prop_map(KeyId)),
        option::of(shared()),
        option::of(shared()),
    );
    (who, time(), time(), option::of(shared()), asked).prop_map(
        |(
            (id, session, conversation, to, content, lane),
            due,
            valid_until,
            context,
            (idempotency, by, tag, identity),
        )| {
            What::Intent(Box::new(Intent {
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
            }))
        },
    )
}

fn inbound() -> impl Strategy<Value = What> {
    let who = (message(), session(), conversation(), address(), option::of(".{0,30}"));
    let beside =
        option::of((any::<bool>(), option::of(".{0,9}"), option::of((".{1,9}", ".{0,30}"))).prop_map(
            |(forwarded, username, more)| {
                let message = more.map(|(key, text)| (key, text.into())).into_iter().collect();
                let rest = Rest { message, ..Rest::default() };
                Box::new(Beside { forwarded, username, ..Beside::default() }.with_rest(rest))
            },
        ));
    (who, shared(), time(), content(), (option::of(shared()), beside)).prop_map(
        |((id, session, conversation, from, name), provider_id, sent_at, content, (context, beside))| {
            What::Inbound(Box::new(Inbound {
                id,
                session,
                conversation,
                from,
                name,
                provider_id,
                sent_at,
                content,
                context,
                beside,
            }))
        },
    )
}

fn frozen() -> impl Strategy<Value = What> {
    let line = (session(), any::<u32>()).prop_map(|(session, recipients)| PartLine { session, recipients });
    (campaign(), any::<u32>(), any::<[u64; 4]>(), vec(line, 0..9), any::<[u8; 32]>()).prop_map(
        |(campaign, attempt, [audience, opted_out, missing_variable, frequency_capped], parts, digest)| {
            let frozen = Frozen {
                campaign,
                attempt,
                audience,
                opted_out,
                missing_variable,
                frequency_capped,
                parts,
                digest,
            };
            What::Frozen(Box::new(frozen))
        },
    )
}

fn started() -> impl Strategy<Value = What> {
    let chunk = (address(), any::<u32>(), message()).prop_map(|(first, count, base)| ChunkLine {
        first,
        count,
        base,
    });
    (campaign(), any::<[u32; 2]>(), session(), any::<[i64; 2]>(), (vec(chunk, 0..20), command())).prop_map(
        |(campaign, [part, attempt], session, [launched, valid_until], (chunks, command))| {
            What::PartStarted(Box::new(PartStart {
                campaign,
                part,
                attempt,
                session,
                launched: Timestamp(launched),
                valid_until: Timestamp(valid_until),
                chunks,
                command,
            }))
        },
    )
}

fn about_messages() -> BoxedStrategy<What> {
    let source = prop::sample::select(vec![ConsentSource::Word, ConsentSource::Provider, ConsentSource::Api]);
    let wish = prop::sample::select(vec![Wish::OptIn, Wish::OptOut]);
    prop_oneof![
        any::<u64>().prop_map(|epoch| What::Opened { epoch }),
        (conversation(), session(), address()).prop_map(|(id, session, address)| {
            What::Conversation(Box::new(ConversationOpened { id, session, address }))
        }),
        (session(), conversation(), address()).prop_map(|(session, conversation, address)| What::Alias {
            session,
            conversation,
            address
        }),
        intent(),
        inbound(),
        (session(), messages(), held()).prop_map(|(session, messages, held)| What::Claim {
            session,
            messages,
            held
        }),
        (session(), messages()).prop_map(|(session, messages)| What::Released { session, messages }),
        (session(), messages()).prop_map(|(session, messages)| What::Parked { session, messages }),
        vec((message(), outcome()), 0..9).prop_map(What::Results),
        vec(report(message()), 0..9).prop_map(What::Statuses),
        (any::<bool>(), messages()).prop_map(|(again, messages)| What::Resolved { again, messages }),
        (option::of(cause()), messages(), once()).prop_map(|(cause, messages, once)| What::Ended {
            cause,
            messages,
            once
        }),
        (address(), wish, source, once()).prop_map(|(address, wish, source, once)| What::Consent {
            address,
            wish,
            source,
            once
        }),
    ]
    .boxed()
}

fn about_campaigns() -> BoxedStrategy<What> {
    prop_oneof![
        frozen(),
        (campaign(), verb(), command(), once()).prop_map(|(campaign, verb, command, once)| What::Moved {
            campaign,
            verb,
            command,
            once
        }),
        (campaign(), command(), vec(any::<u32>(), 0..9))
            .prop_map(|(campaign, command, parts)| What::Obeyed { campaign, command, parts }),
        campaign().prop_map(|campaign| What::Finished { campaign }),
        notice(),
        quoted(),
        (any::<u64>(), time())
            .prop_map(|(webhook, since)| What::WebhookDisabled { webhook: WebhookId(webhook), since }),
        (message(), any::<u64>())
            .prop_map(|(message, media)| What::MediaStored { message, media: MediaId(media) }),
        (message(), cause()).prop_map(|(message, cause)| What::MediaFailed { message, cause }),
        started(),
        (campaign(), any::<u32>(), verb(), command())
            .prop_map(|(campaign, part, verb, command)| What::PartMoved { campaign, part, verb, command }),
        (campaign(), any::<u32>()).prop_map(|(campaign, part)| What::PartFinished { campaign, part }),
        (campaign(), any::<u32>(), session(), conversation(), message()).prop_map(
            |(campaign, index, session, conversation, message)| What::Touched {
                campaign,
                index,
                session,
                conversation,
                message,
            },
        ),
    ]
    .boxed()
}

fn about_recipients() -> BoxedStrategy<What> {
    prop_oneof![
        (campaign(), ranges(), held()).prop_map(|(campaign, ranges, held)| What::PartClaim {
            campaign,
            ranges,
            held
        }),
        (campaign(), ranges()).prop_map(|(campaign, ranges)| What::PartReleased { campaign, ranges }),
        (campaign(), ranges()).prop_map(|(campaign, ranges)| What::PartParked { campaign, ranges }),
        (campaign(), vec((any::<u32>(), outcome()), 0..9))
            .prop_map(|(campaign, results)| What::PartResults { campaign, results }),
        (campaign(), vec(report(any::<u32>()), 0..9))
            .prop_map(|(campaign, statuses)| What::PartStatuses { campaign, statuses }),
        (campaign(), any::<bool>(), ranges()).prop_map(|(campaign, again, ranges)| What::PartResolved {
            campaign,
            again,
            ranges
        }),
        (campaign(), option::of(cause()), ranges()).prop_map(|(campaign, cause, ranges)| What::PartEnded {
            campaign,
            cause,
            ranges
        }),
        (campaign(), time(), ranges()).prop_map(|(campaign, due, ranges)| What::PartDeferred {
            campaign,
            due,
            ranges
        }),
    ]
    .boxed()
}

/// Any entry of [`TENANT`].
pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let what = prop_oneof![about_messages(), about_campaigns(), about_recipients()];
    (time(), what).prop_map(|(at, what)| Entry { tenant: TENANT, at, what })
}
