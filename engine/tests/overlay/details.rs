//! What the provider says with `sent` beyond that, which it says once: the answer to the call has told of `sent` already.

use crate::cast::Desk;
use crate::steps::draft;
use crate::world::World;
use kabar_engine::entry::{StatusReport, StatusRest};
use kabar_engine::event::{About, Kind, drafts};
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::{Answer, Input};
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use std::sync::Arc;

const SAID: &str = r#"{"id":"c0ffee","expiration_timestamp":"1790086400"}"#;

fn sent(world: &World, of: Reference, said: Option<&str>) -> StatusReport<Reference> {
    StatusReport {
        of,
        status: Status::Sent,
        at: world.now,
        cause: None,
        provider_id: None,
        pricing: Pricing::from_line("1|PMP|regular|utility|").map(Arc::new),
        rest: said.and_then(|said| StatusRest::of([("conversation", said)])).map(Arc::new),
    }
}

/// What is told of a report: each event's kind and what it says more.
fn told(world: &mut World, report: &StatusReport<Reference>) -> Vec<(Kind, Option<String>)> {
    let Desk { tenant, session, shard } = world.desk_of(report.of);
    let asked = world.ask(shard, &Input::Statuses { tenant, session, reports: vec![report.clone()] });
    assert!(matches!(asked.reply, Ok(Answer::Counted { .. })), "{:?}", asked.reply);
    let events = asked.entries.iter().flat_map(|entry| drafts(entry).collect::<Vec<_>>());
    let said = |about: About| match about {
        About::Message(of) => of.rest.map(|rest| rest.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    events.map(|event| (event.kind, said(event.about))).collect()
}

/// A message of its own and a campaign's, both on the wire.
fn flying(world: &mut World) -> [Reference; 2] {
    let desk = world.desks[0];
    let letter = draft(desk, 7, 0, None, (world.now, world.now.plus_ms(3_600_000)));
    let Ok(Answer::Accepted { message, .. }) = world.ask(desk.shard, &Input::Send(Box::new(letter))).reply
    else {
        panic!("not accepted");
    };
    let claim = Input::Claim { tenant: desk.tenant, session: desk.session, max: 9, held: None };
    world.ask(desk.shard, &claim).reply.expect("it waits");
    world.start(0);
    world.part_claim(0, 0, 256, false);
    [Reference::Message(message), Reference::Campaign(world.scores[0].campaign, 0)]
}

#[test]
fn what_comes_with_sent_alone_is_told_once_also_after_the_answer_and_a_restart() {
    let mut world = World::plain();
    let said = Some(format!(r#"{{"conversation":{SAID}}}"#));
    let flying = flying(&mut world);
    // The call itself tells that they are sent.
    world.wire.flying().into_iter().for_each(|reference| world.answer(reference, 0));
    for of in flying {
        let (bare, more) = (sent(&world, of, None), sent(&world, of, Some(SAID)));
        assert_eq!(told(&mut world, &bare), [], "{of:?}: the answer told it");
        assert_eq!(told(&mut world, &more), [(Kind::MessageSentDetails, said.clone())], "{of:?}");
        assert_eq!(told(&mut world, &more), [], "{of:?}: the provider repeats itself");
        let shard = world.desk_of(of).shard;
        world.flush(shard);
        world.reopen(shard);
        assert_eq!(told(&mut world, &more), [], "{of:?}: and does so a day later");
    }
    world.explain();
}

#[test]
fn where_it_overtakes_the_answer_sent_is_told_with_everything_and_a_repeat_is_not() {
    let mut world = World::plain();
    let said = Some(format!(r#"{{"conversation":{SAID}}}"#));
    for of in flying(&mut world) {
        let more = sent(&world, of, Some(SAID));
        assert_eq!(told(&mut world, &more), [(Kind::MessageSent, said.clone())], "{of:?}");
        world.answer(of, 0);
        assert_eq!(told(&mut world, &more), [], "{of:?}");
    }
    world.explain();
}

#[test]
fn in_one_batch_sent_is_told_once_and_what_more_there_is_to_it_once() {
    let mut world = World::plain();
    for of in flying(&mut world) {
        let (bare, more) = (sent(&world, of, None), sent(&world, of, Some(SAID)));
        let Desk { tenant, session, shard } = world.desk_of(of);
        let reports = vec![bare, more.clone(), more.clone()];
        let asked = world.ask(shard, &Input::Statuses { tenant, session, reports });
        assert!(matches!(asked.reply, Ok(Answer::Counted { new: 2, known: 1 })), "{:?}", asked.reply);
        let events = asked.entries.iter().flat_map(|entry| drafts(entry).collect::<Vec<_>>());
        let kinds: Vec<Kind> = events.map(|event| event.kind).collect();
        assert_eq!(kinds, [Kind::MessageSent, Kind::MessageSentDetails], "{of:?}");
        assert_eq!(told(&mut world, &more), [], "{of:?}");
    }
    world.explain();
}

#[test]
fn of_what_failed_without_being_sent_a_late_sent_is_no_news_however_much_it_says() {
    let mut world = World::plain();
    let [_, of] = flying(&mut world);
    let failed = StatusReport { status: Status::Failed, rest: None, ..sent(&world, of, None) };
    assert_eq!(told(&mut world, &failed), [(Kind::MessageFailed, None)]);
    let more = sent(&world, of, Some(SAID));
    assert_eq!(told(&mut world, &more), []);
    world.explain();
}
