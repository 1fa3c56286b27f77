//! Named promises about messages whose reports are awaited before they are written again.

use crate::messages::{accept, claim, promo, report, row};
use crate::world::World;
use kabar_engine::id::MessageId;
use kabar_engine::outgoing::Reference;
use kabar_engine::status::Status;

/// A message that was accepted, written, and then sent.
fn sent(world: &mut World) -> MessageId {
    let id = accept(promo(world, 1), world);
    assert_eq!(world.flush_turn(id.shard()), [id], "a new one is written at once");
    claim(world, 1);
    world.answer(Reference::Message(id), 0);
    id
}

#[test]
fn a_message_that_was_sent_is_written_once_for_all_that_becomes_of_it() {
    let mut world = World::plain();
    let id = sent(&mut world);
    let mut written = Vec::new();
    for status in [Some(Status::Delivered), None, Some(Status::Read), None, None, None] {
        report(&mut world, id, status.as_slice()).expect("reports are taken");
        written.push(world.flush_turn(id.shard()).len());
        world.check();
    }
    assert_eq!(written, [0, 0, 0, 0, 1, 0], "four turns later");
    let marks = world.views.positions[&id.shard()].0;
    assert_eq!(marks, world.home(id.shard()).overlay.position(), "nothing is left to do");
}

#[test]
fn what_is_awaited_stands_in_the_journal_for_a_restart() {
    let mut world = World::plain();
    let id = sent(&mut world);
    report(&mut world, id, &[Status::Delivered]).expect("reports are taken");
    assert!(world.flush_turn(id.shard()).is_empty());
    // Another message's row is written meanwhile, and knows more than the views' position.
    let other = accept(promo(&world, 2), &mut world);
    assert_eq!(world.flush_turn(id.shard()), [other]);
    world.reopen(id.shard());
    assert_eq!(row(&mut world, id).status, Status::Delivered);
    report(&mut world, id, &[Status::Read]).expect("reports are taken");
    world.check();
    assert_eq!(claim(&mut world, 9), [other], "what was sent is not sent again");
    world.settle();
}

#[test]
fn what_ends_or_waits_is_written_at_the_next_turn() {
    let mut world = World::plain();
    let id = sent(&mut world);
    assert!(world.flush_turn(id.shard()).is_empty());
    let failed = accept(promo(&world, 2), &mut world);
    world.flush_turn(id.shard());
    claim(&mut world, 1);
    assert_eq!(world.flush_turn(id.shard()), [failed], "on the wire");
    world.answer(Reference::Message(failed), 3);
    assert_eq!(world.flush_turn(id.shard()), [failed], "refused");
    // Whoever asks for everything gets it.
    world.flush(id.shard());
    let stands = world.views.positions[&id.shard()].0;
    assert_eq!(stands, world.home(id.shard()).overlay.position());
    world.settle();
}
