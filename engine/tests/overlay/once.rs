//! Actions are done once under their idempotency key, whatever came after them: an opposite action, a flush, a crash, the
//! tail folded again.

use crate::action::Action;
use crate::cast::{ANA, BUDI, person};
use crate::steps::{Op, draft};
use crate::world::World;
use kabar_engine::campaign::Phase;
use kabar_engine::entry::Idempotency;
use kabar_engine::id::{MessageId, ShardId};
use kabar_engine::overlay::{Answer, Input, Key, Refusal};
use kabar_engine::time::DAY_MS;

const LAUNCH: Action = Action::Launch { score: 0 };
const PAUSE: Action = Action::Move { score: 0, verb: 0 };
const RESUME: Action = Action::Move { score: 0, verb: 1 };

/// Does it under a key and tells the answer.
fn under(world: &mut World, key: u8, action: &Action) -> Result<Answer, Refusal> {
    world.carry_out(action, Some(key)).expect("there is something to act on").reply
}

/// What a shard lives through between two requests.
fn fates(world: &mut World, shard: ShardId, mut check: impl FnMut(&mut World, &str)) {
    check(world, "at once");
    world.reopen(shard);
    check(world, "after a crash");
    world.torn(shard, || false);
    check(world, "after the tail was folded again");
    let mut every_other = [true, false].into_iter().cycle();
    world.torn(shard, || every_other.next().expect("without end"));
    check(world, "after a torn flush");
    for _ in 0..5 {
        world.flush(shard);
    }
    check(world, "after flushes");
    world.crash(|| false);
    check(world, "from the views alone");
}

#[test]
fn a_pause_repeated_after_a_resume_changes_nothing() {
    // One overlay keeps everything, the other forgets what is clean.
    for bounds in [(20_000, 64), (0, 0)] {
        let mut world = World::new(bounds, false);
        let (shard, campaign) = (world.scores[0].shard(), world.scores[0].campaign);
        under(&mut world, 1, &LAUNCH).unwrap();
        world.act(&Op::Freeze { score: 0 });
        under(&mut world, 2, &PAUSE).unwrap();
        under(&mut world, 3, &RESUME).unwrap();
        fates(&mut world, shard, |world, when| {
            for (key, action) in [(2, PAUSE), (3, RESUME), (1, LAUNCH)] {
                let again = under(world, key, &action);
                assert!(matches!(again, Ok(Answer::Replayed)), "{when}: {again:?}");
            }
            let row = world.know(shard, &[Key::Campaign(campaign)]).campaign(campaign).unwrap();
            assert_eq!((row.phase, row.paused), (Phase::Running, false), "{when}");
            world.check();
        });
        world.now = world.now.plus_ms(DAY_MS);
        let late = under(&mut world, 2, &PAUSE);
        assert!(matches!(late, Ok(Answer::Commanded(_))), "a day later the key is free: {late:?}");
    }
}

#[test]
fn a_key_with_another_verb_is_refused_and_nothing_is_journaled() {
    let mut world = World::plain();
    let shard = world.scores[0].shard();
    under(&mut world, 1, &LAUNCH).unwrap();
    fates(&mut world, shard, |world, when| {
        for action in [PAUSE, RESUME, Action::Move { score: 0, verb: 2 }] {
            assert_eq!(under(world, 1, &action).unwrap_err(), Refusal::IdempotencyMismatch, "{when}");
        }
    });
    // Another campaign's keys are its own.
    under(&mut world, 1, &Action::Launch { score: 1 }).unwrap();
}

#[test]
fn an_opt_out_repeated_after_the_person_came_back_changes_nothing() {
    for named in [true, false] {
        let mut world = World::plain();
        let out = Action::Consent { desk: 0, who: 1, out: true, named };
        let back = Action::Consent { desk: 0, who: 1, out: false, named };
        let shard = if named { world.desks[0].shard } else { ShardId::of_address(ANA, &person(1)) };
        under(&mut world, 1, &out).unwrap();
        world.now = world.now.plus_ms(1);
        under(&mut world, 2, &back).unwrap();
        fates(&mut world, shard, |world, when| {
            let again = under(world, 1, &out);
            assert!(matches!(again, Ok(Answer::Replayed)), "{when}: {again:?}");
            assert_eq!(under(world, 2, &out).unwrap_err(), Refusal::IdempotencyMismatch, "{when}");
            let key = Key::Consent(ANA, person(1));
            assert!(!world.know(shard, &[key]).opted_out(ANA, &person(1)), "{when}");
        });
    }
}

#[test]
fn a_session_tells_the_keys_of_its_sends_and_actions_apart() {
    let mut world = World::plain();
    let send = |world: &World, key| draft(world.desks[0], 1, 0, key, (world.now, world.now.plus_ms(DAY_MS)));
    let first = send(&world, Some(1));
    world.send(world.desks[0], first.clone());
    let shard = world.desks[0].shard;
    let cancel = Action::Cancel { nth: 0 };
    under(&mut world, 2, &cancel).unwrap();
    fates(&mut world, shard, |world, when| {
        // The send's key asked for something else than the cancel, and the other way round.
        assert_eq!(under(world, 1, &cancel).unwrap_err(), Refusal::IdempotencyMismatch, "{when}");
        let asked = world.ask(shard, &Input::Send(Box::new(send(world, Some(2)))));
        assert_eq!(asked.reply.unwrap_err(), Refusal::IdempotencyMismatch, "{when}");
        world.send(world.desks[0], first.clone());
        let again = under(world, 2, &cancel);
        assert!(matches!(again, Ok(Answer::Replayed)), "{when}: {again:?}");
    });
    assert_eq!(
        under(&mut world, 3, &cancel).unwrap_err(),
        Refusal::WrongPhase,
        "a fresh key is a fresh request"
    );
}

#[test]
fn another_tenant_learns_nothing_of_a_key() {
    let mut world = World::plain();
    let idempotency = Some(Idempotency { key: 1, body: 200 });
    let (shard, campaign) = (world.scores[0].shard(), world.scores[0].campaign);
    under(&mut world, 1, &LAUNCH).unwrap();
    let stolen = world.ask(shard, &Input::Launch { tenant: BUDI, campaign, idempotency });
    assert_eq!(stolen.reply.unwrap_err(), Refusal::WrongPhase, "as without a key");
    let verb = kabar_engine::campaign::Verb::Pause;
    let stolen = world.ask(shard, &Input::Move { tenant: BUDI, campaign, verb, idempotency });
    assert_eq!(stolen.reply.unwrap_err(), Refusal::NotFound);
    let message = sent(&mut world);
    let idempotency = Some(Idempotency { key: 2, body: u128::from(message.0) });
    under(&mut world, 2, &Action::Cancel { nth: 0 }).unwrap();
    let stolen = world.ask(message.shard(), &Input::CancelMessage { tenant: BUDI, message, idempotency });
    assert_eq!(stolen.reply.unwrap_err(), Refusal::NotFound);
}

fn sent(world: &mut World) -> MessageId {
    let desk = world.desks[0];
    let draft = draft(desk, 1, 0, None, (world.now, world.now.plus_ms(DAY_MS)));
    world.send(desk, draft);
    world.watch.messages()[0]
}
