//! Named promises about single messages and what people write.

use crate::cast::{ANA, BUDI, Desk, person, template, text, user_id};
use crate::steps::{Op, draft};
use crate::world::World;
use kabar_engine::cause::Cause;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{StatusReport, What};
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::message::{MessageRow, Stage};
use kabar_engine::outgoing::{Accepted, Reference, SendError};
use kabar_engine::overlay::decide::{Draft, Received};
use kabar_engine::overlay::{Answer, Input, Key, Refusal, Wake};
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_engine::time::{DAY_MS, Timestamp};
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

/// A template to a person, due now, valid for an hour.
fn promo(world: &World, who: usize) -> Draft {
    draft(world.desks[0], who, 0, None, (world.now, world.now.plus_ms(HOUR)))
}

fn ask(world: &mut World, input: &Input) -> Result<Answer, Refusal> {
    let shard = world.desks[0].shard;
    world.ask(shard, input).reply
}

fn accept(draft: Draft, world: &mut World) -> MessageId {
    match ask(world, &Input::Send(Box::new(draft))) {
        Ok(Answer::Accepted { message, replayed: false }) => message,
        other => panic!("not accepted: {other:?}"),
    }
}

fn row(world: &mut World, id: MessageId) -> Arc<MessageRow> {
    world.know(id.shard(), &[Key::Message(id)]).message(id).expect("it was accepted")
}

fn state(world: &mut World, id: MessageId) -> (Status, Stage, Option<Cause>) {
    let row = row(world, id);
    (row.status, row.stage, row.cause)
}

fn talk(world: &mut World, who: usize) -> Arc<ConversationRow> {
    let Desk { session, shard, .. } = world.desks[0];
    let overlay = world.know(shard, &[Key::Address(session, person(who))]);
    let id = overlay.conversation_of(session, &person(who)).expect("they have talked");
    world.know(shard, &[Key::Conversation(id)]).conversation(id).expect("an address leads to one")
}

fn claim(world: &mut World, max: usize) -> Vec<MessageId> {
    let Desk { tenant, session, .. } = world.desks[0];
    match ask(world, &Input::Claim { tenant, session, max, held: None }) {
        Ok(Answer::Transmit(list)) => list
            .iter()
            .map(|o| match o.reference {
                Reference::Message(id) => id,
                Reference::Campaign(..) => panic!("a session claims messages"),
            })
            .collect(),
        other => panic!("not claimed: {other:?}"),
    }
}

fn report(world: &mut World, of: MessageId, statuses: &[Status]) -> Result<Answer, Refusal> {
    let Desk { tenant, session, .. } = world.desks[0];
    let at = world.now;
    let one = |status: &Status| StatusReport {
        of: Reference::Message(of),
        status: *status,
        at,
        cause: (*status == Status::Failed).then_some(Cause(131_026)),
        provider_id: None,
        pricing: None,
        rest: None,
    };
    ask(world, &Input::Statuses { tenant, session, reports: statuses.iter().map(one).collect() })
}

fn written(world: &World, id: &str, body: &str) -> Received {
    Received {
        provider_id: id.into(),
        from: person(1),
        alias: None,
        name: None,
        sent_at: world.now,
        content: text(body),
        context: None,
        others: Vec::new(),
        beside: None,
    }
}

fn hear(world: &mut World, messages: Vec<Received>) -> (usize, usize) {
    let Desk { tenant, session, .. } = world.desks[0];
    match ask(world, &Input::Receive { tenant, session, messages }) {
        Ok(Answer::Counted { new, known }) => (new, known),
        other => panic!("not received: {other:?}"),
    }
}

fn due(world: &mut World) {
    world.due(world.desks[0]);
}

#[test]
fn a_message_is_accepted_claimed_sent_and_read() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    assert_eq!(state(&mut world, id), (Status::Queued, Stage::Waiting, None));
    assert_eq!(claim(&mut world, 9), [id]);
    assert_eq!(claim(&mut world, 9), []);
    world.answer(Reference::Message(id), 0);
    assert_eq!(state(&mut world, id).0, Status::Sent);
    report(&mut world, id, &[Status::Delivered, Status::Read]).unwrap();
    assert_eq!(state(&mut world, id), (Status::Read, Stage::Done, None));
    let times = row(&mut world, id).times;
    assert!(times.sent.is_some() && times.delivered.is_some() && times.read.is_some(), "{times:?}");
}

#[test]
fn accepting_wakes_the_session_after_the_answer() {
    let mut world = World::plain();
    let input = Input::Send(Box::new(promo(&world, 1)));
    let asked = world.ask(world.desks[0].shard, &input);
    assert_eq!(asked.wakes, [Wake::Session(ANA, SessionId(1))]);
    let names: Vec<&str> = asked.entries.iter().map(|e| e.what.name()).collect();
    assert_eq!(names, ["conversation", "intent"]);
}

#[test]
fn every_status_of_one_batch_counts_in_any_order() {
    for statuses in
        [[Status::Read, Status::Sent, Status::Delivered], [Status::Sent, Status::Failed, Status::Sent]]
    {
        let mut world = World::plain();
        let id = accept(promo(&world, 1), &mut world);
        claim(&mut world, 1);
        report(&mut world, id, &statuses).unwrap();
        let end = statuses.iter().fold(Status::Queued, |s, n| s.join(*n));
        assert_eq!(state(&mut world, id).0, end, "{statuses:?}");
        let sent = row(&mut world, id).times.sent;
        assert!(sent.is_some(), "the last report of a batch is not lost");
        world.check();
    }
}

#[test]
fn an_idempotent_repeat_gives_the_same_message_across_flush_and_crash() {
    let mut world = World::plain();
    let first = || Draft {
        idempotency: Some(kabar_engine::entry::Idempotency { key: 5, body: 8 }),
        ..promo(&World::plain(), 1)
    };
    let id = accept(first(), &mut world);
    for step in 0..3 {
        match step {
            1 => world.reopen(id.shard()),
            2 => world.flush(id.shard()),
            _ => {}
        }
        let again = ask(&mut world, &Input::Send(Box::new(first())));
        assert!(
            matches!(again, Ok(Answer::Accepted { message, replayed: true }) if message == id),
            "{again:?}"
        );
    }
    world.now = world.now.plus_ms(DAY_MS);
    let fresh = accept(first(), &mut world);
    assert_ne!(fresh, id, "a day later the key is free");
}

#[test]
fn a_key_with_another_body_is_refused_and_nothing_is_journaled() {
    let mut world = World::plain();
    let with = |world: &World, body| Draft {
        idempotency: Some(kabar_engine::entry::Idempotency { key: 5, body }),
        ..promo(world, 1)
    };
    accept(with(&World::plain(), 1), &mut world);
    let input = Input::Send(Box::new(with(&world, 2)));
    let asked = world.ask(world.desks[0].shard, &input);
    assert_eq!(asked.reply.unwrap_err(), Refusal::IdempotencyMismatch);
    assert!(asked.entries.is_empty());
}

#[test]
fn free_form_content_needs_an_open_window_at_accepting_and_at_its_turn() {
    let mut world = World::plain();
    let answer = |w: &World| draft(w.desks[0], 1, 1, None, (w.now, w.now.plus_ms(3 * DAY_MS)));
    let early = Input::Send(Box::new(answer(&world)));
    assert_eq!(ask(&mut world, &early).unwrap_err(), Refusal::WindowClosed);
    let question = written(&world, "a", "apa kabar?");
    assert_eq!(hear(&mut world, vec![question]), (1, 0));
    let id = accept(answer(&world), &mut world);
    world.now = world.now.plus_ms(DAY_MS);
    assert_eq!(claim(&mut world, 1), []);
    assert_eq!(state(&mut world, id), (Status::Failed, Stage::Done, Some(Cause::WINDOW_CLOSED)));
}

#[test]
fn a_person_who_opted_out_gets_nothing_but_answers() {
    let mut world = World::plain();
    let waiting = accept(promo(&world, 1), &mut world);
    let stop = written(&world, "a", "BERHENTI");
    hear(&mut world, vec![stop]);
    let refused = Input::Send(Box::new(promo(&world, 1)));
    assert_eq!(ask(&mut world, &refused).unwrap_err(), Refusal::OptedOut);
    let reply = accept(draft(world.desks[0], 1, 1, None, (world.now, world.now.plus_ms(HOUR))), &mut world);
    assert_eq!(claim(&mut world, 9), [reply]);
    assert_eq!(state(&mut world, waiting), (Status::Failed, Stage::Done, Some(Cause::OPTED_OUT)));
    let back = written(&world, "b", "mulai");
    world.now = world.now.plus_ms(1);
    hear(&mut world, vec![back]);
    accept(promo(&world, 1), &mut world);
}

#[test]
fn an_opt_out_in_another_shard_holds_here_once_it_is_in_the_views() {
    let mut world = World::plain();
    accept(promo(&world, 1), &mut world);
    world.act(&Op::Receive { desk: 2, who: 1, say: 1, repeat: false, alias: false });
    world.flush(world.desks[2].shard);
    world.now = world.now.plus_ms(1_001);
    let refused = Input::Send(Box::new(promo(&world, 1)));
    assert_eq!(ask(&mut world, &refused).unwrap_err(), Refusal::OptedOut);
    assert_eq!(claim(&mut world, 9), [], "and at its turn");
}

#[test]
fn a_provider_that_says_stop_opts_the_person_out() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    claim(&mut world, 1);
    world.answer(Reference::Message(id), 4);
    assert_eq!(state(&mut world, id).2, Some(Cause(131_050)));
    let refused = Input::Send(Box::new(promo(&world, 1)));
    assert_eq!(ask(&mut world, &refused).unwrap_err(), Refusal::OptedOut);
}

#[test]
fn what_is_not_sent_in_time_expires_by_the_clock_or_at_its_turn() {
    for by_clock in [true, false] {
        let mut world = World::plain();
        let id = accept(promo(&world, 1), &mut world);
        world.now = world.now.plus_ms(HOUR);
        due(&mut world);
        assert_eq!(state(&mut world, id).0, Status::Queued, "valid up to its last millisecond");
        let wake = world.home(id.shard()).overlay.outbox(SessionId(1)).and_then(|o| o.wake_settling(0));
        assert_eq!(wake, Some(world.now.plus_ms(1)));
        world.now = world.now.plus_ms(1);
        if by_clock {
            due(&mut world)
        } else {
            assert_eq!(claim(&mut world, 1), [])
        }
        assert_eq!(state(&mut world, id), (Status::Expired, Stage::Done, None));
    }
}

#[test]
fn a_message_is_cancelled_until_it_is_on_the_wire() {
    let mut world = World::plain();
    let [a, b] = [1, 2].map(|who| accept(promo(&World::plain(), who), &mut world));
    let cancel = |message| Input::CancelMessage { tenant: ANA, message, idempotency: None };
    ask(&mut world, &cancel(a)).unwrap();
    assert_eq!(state(&mut world, a), (Status::Failed, Stage::Done, Some(Cause::CANCELLED)));
    assert_eq!(claim(&mut world, 9), [b]);
    for message in [a, b] {
        assert_eq!(ask(&mut world, &cancel(message)).unwrap_err(), Refusal::WrongPhase);
    }
    let foreign = Input::CancelMessage { tenant: BUDI, message: a, idempotency: None };
    assert_eq!(ask(&mut world, &foreign).unwrap_err(), Refusal::NotFound);
}

#[test]
fn lanes_leave_in_order_and_a_later_moment_is_kept_across_a_restart() {
    let mut world = World::plain();
    let mut with = |lane, who, wait| {
        let due = crate::cast::BEGIN.plus_ms(wait);
        accept(Draft { lane, due, content: template(), ..promo(&World::plain(), who) }, &mut world)
    };
    let broadcast = with(Lane::Broadcast, 1, 0);
    let urgent = with(Lane::Transactional, 2, 0);
    let later = with(Lane::Reply, 3, 50_000);
    world.flush(later.shard());
    world.reopen(later.shard());
    assert_eq!(claim(&mut world, 1), [urgent]);
    assert_eq!(claim(&mut world, 9), [broadcast], "a line of the view knows the minute only");
    world.now = world.now.plus_ms(49_999);
    assert_eq!(claim(&mut world, 9), []);
    world.now = world.now.plus_ms(1);
    assert_eq!(claim(&mut world, 9), [later]);
}

#[test]
fn a_refusal_for_now_is_tried_again_no_sooner_than_asked() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    claim(&mut world, 1);
    world.answer(Reference::Message(id), 8);
    assert_eq!(state(&mut world, id), (Status::Queued, Stage::Waiting, Some(Cause(130_429))));
    world.now = world.now.plus_ms(89_999);
    assert_eq!(claim(&mut world, 1), []);
    world.now = world.now.plus_ms(1);
    assert_eq!(claim(&mut world, 1), [id]);
}

#[test]
fn an_unproven_message_is_unknown_after_the_wait_and_a_late_status_moves_it() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    claim(&mut world, 1);
    world.answer(Reference::Message(id), 1);
    world.now = world.now.plus_ms(59_999);
    due(&mut world);
    assert_eq!(state(&mut world, id).1, Stage::Parked);
    world.now = world.now.plus_ms(1);
    due(&mut world);
    assert_eq!(state(&mut world, id), (Status::Unknown, Stage::Done, None));
    assert_eq!(claim(&mut world, 1), [], "never a second time");
    report(&mut world, id, &[Status::Delivered]).unwrap();
    assert_eq!(state(&mut world, id).0, Status::Delivered);
}

#[test]
fn a_tenant_that_resends_sends_an_unproven_message_once_more_and_no_more() {
    let mut world = World::new((20_000, 64), true);
    let id = accept(promo(&world, 1), &mut world);
    for round in 0..2 {
        assert_eq!(claim(&mut world, 1), [id], "round {round}");
        world.answer(Reference::Message(id), 2);
        world.flush(id.shard());
        world.crash(|| false);
        world.now = world.now.plus_ms(60_000);
        due(&mut world);
        world.now = world.now.plus_ms(60_000);
        due(&mut world);
    }
    assert_eq!(state(&mut world, id).0, Status::Unknown);
    assert_eq!(world.wire.handed(Reference::Message(id)), 2);
}

#[test]
fn a_crash_parks_what_was_claimed_and_a_status_proves_it() {
    let mut world = World::plain();
    let [a, b] = [1, 2].map(|who| accept(promo(&World::plain(), who), &mut world));
    claim(&mut world, 9);
    world.crash(|| true);
    assert_eq!(claim(&mut world, 9), []);
    world.adopt(world.desks[0]);
    assert_eq!([state(&mut world, a).1, state(&mut world, b).1], [Stage::Parked; 2]);
    report(&mut world, a, &[Status::Sent]).unwrap();
    assert_eq!(state(&mut world, a), (Status::Sent, Stage::Done, None));
    assert_eq!(world.home(a.shard()).overlay.open_claims(), 0);
}

#[test]
fn a_status_that_overtakes_the_answer_stands() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    claim(&mut world, 1);
    report(&mut world, id, &[Status::Delivered]).unwrap();
    for result in [Err(SendError::Ambiguous), Ok(Accepted { provider_id: "w".into(), held: false })] {
        let Desk { tenant, session, .. } = world.desks[0];
        ask(&mut world, &Input::Answers { tenant, session, results: vec![(id, result)], random: 1 }).unwrap();
        assert_eq!(state(&mut world, id), (Status::Delivered, Stage::Done, None));
    }
    assert_eq!(row(&mut world, id).provider_id.as_deref(), Some("w"));
}

#[test]
fn a_repeated_webhook_is_journaled_no_second_time() {
    let mut world = World::plain();
    let [a, b] = ["a", "b"].map(|id| written(&World::plain(), id, "halo"));
    assert_eq!(hear(&mut world, vec![a.clone(), a.clone()]), (1, 1));
    world.flush(world.desks[0].shard);
    world.reopen(world.desks[0].shard);
    assert_eq!(hear(&mut world, vec![a, b]), (1, 1));
    let row = talk(&mut world, 1);
    assert_eq!((row.count, row.unread), (2, 2));
    let id = accept(promo(&world, 1), &mut world);
    claim(&mut world, 1);
    report(&mut world, id, &[Status::Sent]).unwrap();
    let again = report(&mut world, id, &[Status::Sent]);
    assert!(matches!(again, Ok(Answer::Counted { new: 0, known: 1 })), "{again:?}");
}

#[test]
fn a_phone_and_a_user_id_meet_in_one_conversation() {
    let mut world = World::plain();
    let both = Received { alias: Some(user_id(1)), ..written(&world, "a", "halo") };
    let id = Received { from: user_id(1), ..written(&world, "b", "STOP") };
    hear(&mut world, vec![both, id]);
    let row = talk(&mut world, 1);
    assert_eq!((row.count, row.aliases.clone()), (2, vec![user_id(1)]));
    let entries = &world.homes[&world.desks[0].shard].journal;
    let begun = entries.iter().filter(|e| matches!(e.what, What::Conversation(_))).count();
    assert_eq!(begun, 1);
}

#[test]
fn a_torn_flush_that_wrote_the_conversation_keeps_the_chain() {
    let mut world = World::plain();
    accept(promo(&world, 1), &mut world);
    world.flush(world.desks[0].shard);
    accept(promo(&world, 1), &mut world);
    accept(promo(&world, 1), &mut world);
    // Two messages and the conversation are written, then nothing more.
    let mut writes = 0;
    world.torn(world.desks[0].shard, || {
        writes += 1;
        writes <= 3
    });
    world.check();
    world.settle();
}

#[test]
fn a_tail_replayed_over_a_newer_row_changes_nothing() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    world.flush(id.shard());
    claim(&mut world, 1);
    world.answer(Reference::Message(id), 5);
    world.now = world.now.plus_ms(10_000);
    assert_eq!(claim(&mut world, 1), [id]);
    world.torn(id.shard(), || true);
    assert_eq!(row(&mut world, id).attempts, 2);
    world.check();
}

#[test]
fn a_stale_line_of_a_torn_flush_never_sends_a_message_again() {
    let mut world = World::plain();
    let id = accept(promo(&world, 1), &mut world);
    world.flush(id.shard());
    claim(&mut world, 1);
    world.answer(Reference::Message(id), 0);
    // The message's row is written, its outbox line is not taken away.
    let mut writes = 0;
    world.torn(id.shard(), || {
        writes += 1;
        writes <= 1
    });
    assert_eq!(state(&mut world, id).0, Status::Sent);
    assert_eq!(claim(&mut world, 9), []);
    world.flush(id.shard());
    assert!(world.views.outbox.is_empty(), "the stale line is gone");
}

#[test]
fn a_row_read_before_a_flush_and_told_after_it_changes_nothing() {
    for flushes in 0..6 {
        // Clean rows are forgotten as soon as they may be.
        let mut world = World::new((0, 0), false);
        let id = accept(promo(&world, 1), &mut world);
        world.flush(id.shard());
        world.read_early(id.shard(), &[Key::Message(id)]);
        claim(&mut world, 1);
        (0..flushes).for_each(|_| world.flush(id.shard()));
        world.tell_late(id.shard());
        world.check();
        assert_eq!(state(&mut world, id).1, Stage::Claimed, "{flushes} flushes");
        assert_eq!(claim(&mut world, 1), []);
    }
}

#[test]
fn another_tenants_session_takes_nothing() {
    let mut world = World::plain();
    accept(promo(&world, 1), &mut world);
    let theft = Input::Send(Box::new(Draft { tenant: BUDI, ..promo(&world, 1) }));
    assert_eq!(ask(&mut world, &theft).unwrap_err(), Refusal::NotFound);
    let messages = vec![written(&world, "a", "halo")];
    let forged = Input::Receive { tenant: BUDI, session: SessionId(1), messages };
    assert_eq!(ask(&mut world, &forged).unwrap_err(), Refusal::NotFound);
    assert_eq!(talk(&mut world, 1).count, 1);
}

#[test]
fn ids_are_never_given_twice_by_a_clock_that_steps_back() {
    let mut world = World::plain();
    let first = accept(promo(&world, 1), &mut world);
    world.now = Timestamp(world.now.0 - HOUR);
    world.reopen(first.shard());
    let until = first.at().plus_ms(HOUR);
    let second = accept(Draft { valid_until: until, ..promo(&world, 1) }, &mut world);
    assert!(second > first);
}
