//! Kabar's own causes: each is named with the test that reaches it, and those that no other test reaches are reached
//! here. Not Meta's: those are met in the connectors' tests.

use crate::steps::draft;
use crate::world::World;
use kabar_engine::cause::{Cause, Fault};
use kabar_engine::id::MessageId;
use kabar_engine::message::Stage;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::overlay::{Answer, Input, Key};
use kabar_engine::status::Status;

/// Codes from here on are Meta's.
const METAS: u32 = 100;
const HOUR: i64 = 3_600_000;
/// Tries of a passing refusal: the first and eight more.
const TRIES: usize = 9;

/// Cause, how a source names it, the source and the test that reach it.
const REACHED: &[(Cause, &str, &str, &str)] = &[
    (
        Cause::CANCELLED,
        "CANCELLED",
        include_str!("messages.rs"),
        "a_message_is_cancelled_until_it_is_on_the_wire",
    ),
    (
        Cause::OPTED_OUT,
        "OPTED_OUT",
        include_str!("messages.rs"),
        "a_person_who_opted_out_gets_nothing_but_answers",
    ),
    (
        Cause::WINDOW_CLOSED,
        "WINDOW_CLOSED",
        include_str!("messages.rs"),
        "free_form_content_needs_an_open_window_at_accepting_and_at_its_turn",
    ),
    // The freeze leaves out who lacks a value, so the error itself is made.
    (
        Cause::RENDER,
        "RENDER",
        include_str!("../../../actors/src/part/tests.rs"),
        "what_cannot_be_rendered_is_refused_with_the_variable_named",
    ),
    (Cause::GAVE_UP, "GAVE_UP", include_str!("causes.rs"), "a_passing_refusal_is_given_up_after_its_tries"),
    (
        Cause::LINK_LOST,
        "LINK_LOST",
        include_str!("causes.rs"),
        "a_lost_link_keeps_the_message_waiting_and_says_why",
    ),
    (
        Cause::UNREADABLE,
        "UNREADABLE",
        include_str!("../../connectors/tests/cloud/parse.rs"),
        "a_failure_carries_code_and_words_and_is_one_without_them",
    ),
    (
        Cause::INTERNAL,
        "INTERNAL",
        include_str!("campaigns.rs"),
        "a_lost_chunk_fails_its_recipients_instead_of_holding_the_part_up",
    ),
    (
        Cause::SESSION_REMOVED,
        "SESSION_REMOVED",
        include_str!("causes.rs"),
        "what_waits_for_a_number_that_is_removed_fails_and_what_is_on_the_wire_does_not",
    ),
    (
        Cause::MEDIA_GONE,
        "MEDIA_GONE",
        include_str!("../../../tests/e2e/media.rs"),
        "a_file_that_is_refused_or_gone_fails_its_message_and_leaves_no_doubt",
    ),
    (
        Cause::MEDIA_EXPIRED,
        "MEDIA_EXPIRED",
        include_str!("../../../tests/e2e/received.rs"),
        "what_the_provider_no_longer_has_says_so",
    ),
    (
        Cause::MEDIA_DAMAGED,
        "MEDIA_DAMAGED",
        include_str!("../../../tests/e2e/received.rs"),
        "bytes_that_are_not_those_announced_are_not_kept",
    ),
    // No provider of ours does that: what its answer means is asked for.
    (
        Cause::MEDIA_WITHHELD,
        "MEDIA_WITHHELD",
        include_str!("../../../actors/src/media/received.rs"),
        "what_comes_to_nothing_is_tried_again_unless_it_never_can_be",
    ),
    (
        Cause::MEDIA_TOO_LARGE,
        "MEDIA_TOO_LARGE",
        include_str!("../../../actors/src/media/received.rs"),
        "what_comes_to_nothing_is_tried_again_unless_it_never_can_be",
    ),
];

#[test]
fn every_cause_of_kabars_own_is_reached_by_a_test_that_names_it() {
    let own: Vec<_> = Cause::all().map(|(cause, _)| cause).filter(|cause| cause.0 < METAS).collect();
    assert_eq!(REACHED.iter().map(|(cause, ..)| *cause).collect::<Vec<_>>(), own);
    for (_, word, source, test) in REACHED {
        let begin = source.find(&format!("fn {test}()")).expect(test);
        let end = source[begin..].find("\n}\n").or_else(|| source[begin..].find("\n    }\n")).expect(test);
        assert!(
            source[begin..begin + end].contains(&format!("Cause::{word}")),
            "{test} does not ask for {word}"
        );
    }
}

fn promo(world: &World) -> Draft {
    draft(world.desks[0], 1, 0, None, (world.now, world.now.plus_ms(HOUR)))
}

fn accepted(world: &mut World) -> MessageId {
    let input = Input::Send(Box::new(promo(world)));
    match world.ask(world.desks[0].shard, &input).reply {
        Ok(Answer::Accepted { message, .. }) => message,
        other => panic!("not accepted: {other:?}"),
    }
}

fn claimed(world: &mut World) -> usize {
    let desk = world.desks[0];
    let input = Input::Claim { tenant: desk.tenant, session: desk.session, max: 9, held: None };
    match world.ask(desk.shard, &input).reply {
        Ok(Answer::Transmit(list)) => list.len(),
        other => panic!("not claimed: {other:?}"),
    }
}

fn state(world: &mut World, id: MessageId) -> (Status, Stage, Option<Cause>) {
    let row = world.know(id.shard(), &[Key::Message(id)]).message(id).expect("it was accepted");
    (row.status, row.stage, row.cause)
}

#[test]
fn a_passing_refusal_is_given_up_after_its_tries() {
    let mut world = World::plain();
    let id = accepted(&mut world);
    for tried in 1..=TRIES {
        assert_eq!(claimed(&mut world), 1, "try {tried}");
        world.answer(Reference::Message(id), 6);
        if tried < TRIES {
            assert_eq!(state(&mut world, id), (Status::Queued, Stage::Waiting, Some(Cause(131_016))));
        }
        // The longest wait between two tries.
        world.now = world.now.plus_ms(60_000);
    }
    assert_eq!(state(&mut world, id), (Status::Failed, Stage::Done, Some(Cause::GAVE_UP)));
    assert_eq!(claimed(&mut world), 0);
    assert_eq!(Cause::GAVE_UP.explain().fault, Fault::Provider);
}

#[test]
fn a_lost_link_keeps_the_message_waiting_and_says_why() {
    let mut world = World::plain();
    let id = accepted(&mut world);
    claimed(&mut world);
    world.answer(Reference::Message(id), 7);
    assert_eq!(state(&mut world, id), (Status::Queued, Stage::Waiting, Some(Cause::LINK_LOST)));
    assert!(Cause::LINK_LOST.explain().retryable);
    world.now = world.now.plus_ms(60_000);
    assert_eq!(claimed(&mut world), 1);
}

#[test]
fn what_waits_for_a_number_that_is_removed_fails_and_what_is_on_the_wire_does_not() {
    let mut world = World::plain();
    let on_the_wire = accepted(&mut world);
    assert_eq!(claimed(&mut world), 1);
    let waits = accepted(&mut world);
    let desk = world.desks[0];
    world
        .ask(desk.shard, &Input::Clear { tenant: desk.tenant, session: desk.session })
        .reply
        .expect("it is done");
    assert_eq!(state(&mut world, waits), (Status::Failed, Stage::Done, Some(Cause::SESSION_REMOVED)));
    assert_eq!(state(&mut world, on_the_wire).1, Stage::Claimed);
    assert_eq!(claimed(&mut world), 0);
}
