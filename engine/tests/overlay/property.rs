//! Random lives of a world: anything in any order, flushes, crashes and torn flushes; what must always hold is
//! judged after every step, and in the end everything must come to rest.

use crate::action::Action;
use crate::steps::Op;
use crate::world::World;
use proptest::prelude::*;
use proptest::test_runner::Config;

/// Lives of each kind.
const CASES: u32 = 500;

fn bits() -> impl Strategy<Value = Vec<bool>> {
    let even = proptest::collection::vec(any::<bool>(), 1..24);
    let most = proptest::collection::vec(prop::bool::weighted(0.9), 1..48);
    prop_oneof![even, most, Just(vec![true])]
}

fn single() -> impl Strategy<Value = Op> {
    let key = proptest::option::weighted(0.4, 0..3_u8);
    let due = prop_oneof![3 => Just(0_i64), 1 => Just(20_000), 1 => Just(150_000)];
    let valid = prop_oneof![1 => Just(5_000_i64), 3 => Just(600_000), 2 => Just(86_400_000)];
    let send = (0..3_usize, 0..8_usize, 0..3_u8, key, due, valid);
    let statuses = proptest::collection::vec((0..12_usize, 0..5_u8), 1..5);
    let receive = (0..3_usize, 0..8_usize, 0..5_u8, any::<bool>(), any::<bool>());
    prop_oneof![
        8 => send.prop_map(|(desk, who, kind, key, due_ms, valid_ms)| Op::Send { desk, who, kind, key, due_ms, valid_ms }),
        8 => (0..3_usize, 1..5_usize).prop_map(|(desk, max)| Op::Claim { desk, max }),
        9 => (0..12_usize, 0..9_u8).prop_map(|(nth, how)| Op::Answer { nth, how }),
        2 => (0..12_usize).prop_map(|nth| Op::Take { nth }),
        1 => (0..12_usize).prop_map(|nth| Op::Release { nth }),
        3 => (0..3_usize).prop_map(|desk| Op::Adopt { desk }),
        4 => (0..3_usize).prop_map(|desk| Op::Due { desk }),
        1 => (0..12_usize).prop_map(|nth| Op::Cancel { nth }),
        5 => statuses.prop_map(Op::Statuses),
        5 => receive.prop_map(|(desk, who, say, repeat, alias)| Op::Receive { desk, who, say, repeat, alias }),
        1 => (0..3_usize, 0..8_usize, any::<bool>()).prop_map(|(desk, who, out)| Op::Consent { desk, who, out }),
    ]
}

fn keyed() -> impl Strategy<Value = Op> {
    let action = prop_oneof![
        (0..12_usize).prop_map(|nth| Action::Cancel { nth }),
        (0..3_usize, 0..8_usize, any::<bool>(), any::<bool>())
            .prop_map(|(desk, who, out, named)| Action::Consent { desk, who, out, named }),
        (0..2_usize).prop_map(|score| Action::Launch { score }),
        (0..2_usize, 0..2_u8).prop_map(|(score, verb)| Action::Move { score, verb }),
    ];
    (0..3_u8, action).prop_map(|(key, action)| Op::Keyed { key, action })
}

fn campaign() -> impl Strategy<Value = Op> {
    let which = || (0..2_usize, 0..3_usize);
    prop_oneof![
        2 => (0..2_usize).prop_map(|score| Op::Launch { score }),
        3 => (0..2_usize).prop_map(|score| Op::Freeze { score }),
        2 => (0..2_usize, 0..3_u8).prop_map(|(score, verb)| Op::Move { score, verb }),
        5 => (which(), any::<bool>()).prop_map(|((score, part), told)| Op::Order { score, part, told }),
        1 => (0..12_usize).prop_map(|nth| Op::OldOrder { nth }),
        8 => (which(), 1..4_usize, prop::bool::weighted(0.1))
            .prop_map(|((score, part), max, free_form)| Op::PartClaim { score, part, max, free_form }),
        2 => which().prop_map(|(score, part)| Op::PartAdopt { score, part }),
        3 => which().prop_map(|(score, part)| Op::PartDue { score, part }),
        1 => (0..2_usize).prop_map(|score| Op::Finish { score }),
        1 => Just(Op::Listen),
    ]
}

fn world() -> impl Strategy<Value = Op> {
    let tick = prop_oneof![3 => Just(400_i64), 3 => Just(7_000), 3 => Just(61_000), 1 => Just(700_000)];
    prop_oneof![
        4 => tick.prop_map(|ms| Op::Tick { ms }),
        4 => (0..4_usize, prop_oneof![Just(1_u8), Just(4)]).prop_map(|(shard, times)| Op::Flush { shard, times }),
        2 => (0..4_usize, bits()).prop_map(|(shard, bits)| Op::Torn { shard, bits }),
        1 => (0..4_usize, bits()).prop_map(|(shard, bits)| Op::Twice { shard, bits }),
        1 => (0..4_usize).prop_map(|shard| Op::Reopen { shard }),
        1 => bits().prop_map(|bits| Op::Crash { bits }),
        1 => (0..3_usize, 0..8_usize).prop_map(|(desk, who)| Op::LostAppend { desk, who }),
        2 => (0..4_usize, 0..8_usize).prop_map(|(shard, nth)| Op::Early { shard, nth }),
        2 => (0..4_usize).prop_map(|shard| Op::Late { shard }),
        2 => (0..7_u8, 0..24_usize, any::<bool>()).prop_map(|(what, nth, by)| Op::Forge { what, nth, by }),
    ]
}

fn live(bounds: (usize, usize), resend: bool, ops: &[Op]) {
    let mut world = World::new(bounds, resend);
    for op in ops {
        world.act(op);
        world.check();
    }
    world.explain();
    world.settle();
    world.explain();
}

fn bounds() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![Just((0_usize, 0_usize)), Just((20_000, 64))]
}

proptest! {
    #![proptest_config(Config { cases: CASES, max_shrink_iters: 4_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_left_hanging(
        bounds in bounds(),
        resend in any::<bool>(),
        ops in proptest::collection::vec(prop_oneof![8 => single(), 6 => campaign(), 2 => keyed(), 4 => world()], 1..90),
    ) {
        live(bounds, resend, &ops);
    }

    #[test]
    fn messages_alone_survive_anything(
        bounds in bounds(),
        resend in any::<bool>(),
        ops in proptest::collection::vec(prop_oneof![3 => single(), 2 => world()], 1..60),
    ) {
        live(bounds, resend, &ops);
    }

    #[test]
    fn campaigns_alone_survive_anything(
        bounds in bounds(),
        resend in any::<bool>(),
        ops in proptest::collection::vec(prop_oneof![
            6 => campaign(),
            2 => (0..12_usize, 0..9_u8).prop_map(|(nth, how)| Op::Answer { nth, how }),
            2 => proptest::collection::vec((0..12_usize, 0..5_u8), 1..5).prop_map(Op::Statuses),
            1 => (0..3_usize, 0..8_usize, 0..5_u8)
                .prop_map(|(desk, who, say)| Op::Receive { desk, who, say, repeat: false, alias: false }),
            2 => keyed(),
            4 => world(),
        ], 1..60),
    ) {
        let begin = [0, 1].map(|score| Op::Launch { score }).into_iter();
        let begin = begin.chain([0, 1].map(|score| Op::Freeze { score }));
        let ops: Vec<Op> = begin.chain(ops).collect();
        live(bounds, resend, &ops);
    }
    #[test]
    fn what_is_unproven_is_sent_once_more_at_most(
        bounds in bounds(),
        resend in any::<bool>(),
        ops in proptest::collection::vec(prop_oneof![
            3 => (1..3_usize).prop_map(|max| Op::Claim { desk: 0, max }),
            3 => (0..3_usize).prop_map(|part| Op::PartClaim { score: 0, part, max: 2, free_form: false }),
            5 => (0..6_usize, 0..3_u8).prop_map(|(nth, how)| Op::Answer { nth, how }),
            1 => (0..6_usize, 5..8_u8).prop_map(|(nth, how)| Op::Answer { nth, how }),
            3 => Just(Op::Due { desk: 0 }),
            3 => (0..3_usize).prop_map(|part| Op::PartDue { score: 0, part }),
            3 => Just(Op::Tick { ms: 77_000 }),
            1 => (0..3_usize).prop_map(|part| Op::PartAdopt { score: 0, part }),
            1 => Just(Op::Adopt { desk: 0 }),
            2 => (0..4_usize).prop_map(|shard| Op::Flush { shard, times: 1 }),
            1 => (0..4_usize, bits()).prop_map(|(shard, bits)| Op::Torn { shard, bits }),
            1 => bits().prop_map(|bits| Op::Crash { bits }),
            1 => (0..6_usize, 0..5_u8).prop_map(|one| Op::Statuses(vec![one])),
        ], 1..60),
    ) {
        let send = |who| Op::Send { desk: 0, who, kind: 0, key: None, due_ms: 0, valid_ms: 86_400_000 };
        let order = |part| Op::Order { score: 0, part, told: true };
        let begin = vec![Op::Launch { score: 0 }, Op::Freeze { score: 0 }, order(0), order(0), order(0), send(6), send(7)];
        let ops: Vec<Op> = begin.into_iter().chain(ops).collect();
        live(bounds, resend, &ops);
    }
}
