//! Named promises about campaigns: parts, marks, opt-outs, answers.

use crate::cast::{ANA, BEGIN, person, text};
use crate::steps::Op;
use crate::world::World;
use kabar_engine::campaign::{Phase, Verb};
use kabar_engine::cause::Cause;
use kabar_engine::entry::{Entry, StatusReport, What};
use kabar_engine::mark::MarkState;
use kabar_engine::optout::Wish;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::decide::Received;
use kabar_engine::overlay::{Answer, Input, Key, Refusal};
use kabar_engine::part::{PartPhase, Totals};
use kabar_engine::schedule::SendWindow;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;

/// Indexes of Ana's campaign, people 0 to 7 in order; the parts are 0, 2 and 1.
const INDEXES: [u32; 8] = [0, 1, 2, 512, 20_480, 20_481, 10_240, 10_241];

fn started() -> World {
    let mut world = World::plain();
    world.start(0);
    world
}

fn reference(world: &World, who: usize) -> Reference {
    Reference::Campaign(world.scores[0].campaign, INDEXES[who])
}

fn state(world: &mut World, who: usize) -> (MarkState, Option<Cause>) {
    let (campaign, index) = (world.scores[0].campaign, INDEXES[who]);
    let shard = world.desk_of(Reference::Campaign(campaign, index)).shard;
    let mark = world.know(shard, &[Key::Part(campaign, index / 10_240)]).mark(campaign, index);
    let mark = mark.expect("a recipient has a mark");
    (mark.state(), mark.cause())
}

fn send_all(world: &mut World) {
    (0..3).for_each(|part| world.part_claim(0, part, 256, false));
}

fn answers(world: &mut World, how: u8) {
    world.wire.flying().into_iter().for_each(|reference| world.answer(reference, how));
}

fn report(world: &mut World, who: usize, statuses: &[(Status, Option<Cause>)]) {
    let of = reference(world, who);
    let (desk, at) = (world.desk_of(of), world.now);
    let one = |(status, cause): &(Status, Option<Cause>)| StatusReport {
        of,
        status: *status,
        at,
        cause: *cause,
        provider_id: None,
        pricing: None,
        rest: None,
    };
    let reports = statuses.iter().map(one).collect();
    let (tenant, session) = (desk.tenant, desk.session);
    world.ask(desk.shard, &Input::Statuses { tenant, session, reports }).reply.expect("reports are taken");
}

fn write(world: &mut World, desk: usize, who: usize, body: &str) -> Vec<Entry> {
    world.fresh += 1;
    let message = Received {
        provider_id: format!("in.{}", world.fresh).into(),
        from: person(who),
        alias: None,
        name: None,
        sent_at: world.now,
        content: text(body),
        context: None,
        others: Vec::new(),
        beside: None,
    };
    let desk = world.desks[desk];
    let (tenant, session) = (desk.tenant, desk.session);
    let asked = world.ask(desk.shard, &Input::Receive { tenant, session, messages: vec![message] });
    asked.reply.expect("people may write");
    asked.entries
}

#[test]
fn a_campaign_runs_to_its_end_and_its_totals_add_up() {
    let mut world = started();
    assert_eq!(world.totals(0), Totals { recipients: 8, waiting: 8, ..Totals::default() });
    send_all(&mut world);
    assert_eq!(world.totals(0), Totals { recipients: 8, on_wire: 8, ..Totals::default() });
    answers(&mut world, 0);
    report(&mut world, 0, &[(Status::Delivered, None), (Status::Read, None)]);
    report(&mut world, 1, &[(Status::Failed, None)]);
    let causes = [(Cause::UNREADABLE, 1)].into();
    let end =
        Totals { recipients: 8, sent: 7, delivered: 1, read: 1, failed: 1, causes, ..Totals::default() };
    assert_eq!(world.totals(0), end);
    world.settle();
    assert_eq!(world.campaign(0).map(|c| c.phase), Some(Phase::Finished));
    assert_eq!(world.totals(0), end);
}

#[test]
fn the_same_order_twice_begins_a_part_once() {
    let mut world = started();
    let orders = world.orders.clone();
    for order in orders {
        let shard = kabar_engine::id::ShardId::of_session(order.tenant, order.session);
        let asked = world.ask(shard, &Input::Order(Box::new(order)));
        assert!(asked.reply.is_ok() && asked.entries.is_empty(), "{asked:?}");
    }
    world.check();
}

#[test]
fn a_pause_while_freezing_holds_the_parts_back_until_it_is_resumed() {
    let mut world = World::plain();
    world.act(&Op::Launch { score: 0 });
    world.act(&Op::Move { score: 0, verb: 0 });
    assert_eq!(world.campaign(0).map(|c| c.phase), Some(Phase::Freezing));
    world.act(&Op::Freeze { score: 0 });
    assert_eq!(world.campaign(0).map(|c| c.phase), Some(Phase::Paused));
    (0..3).for_each(|_| world.order(0, 0, true));
    send_all(&mut world);
    assert_eq!(world.totals(0).waiting, 8);
    assert_eq!(world.phase(0, 0), Some(PartPhase::Paused));
    world.shift(0, Verb::Resume);
    send_all(&mut world);
    assert_eq!(world.totals(0).on_wire, 8);
}

#[test]
fn a_cancel_while_freezing_ends_the_campaign_and_refuses_the_audience() {
    let mut world = World::plain();
    world.act(&Op::Launch { score: 0 });
    world.act(&Op::Move { score: 0, verb: 2 });
    world.act(&Op::Freeze { score: 0 });
    let row = world.campaign(0).unwrap();
    assert_eq!((row.phase, row.is_live(), row.frozen.is_some()), (Phase::Cancelled, false, false));
}

#[test]
fn a_cancel_fails_who_waits_and_is_honest_about_who_is_on_the_wire() {
    let mut world = started();
    world.part_claim(0, 0, 2, false);
    let order = world.orders[0].clone();
    world.shift(0, Verb::Cancel);
    let cancelled = (MarkState::Failed, Some(Cause::CANCELLED));
    assert_eq!([2, 3, 4, 7].map(|who| state(&mut world, who)), [cancelled; 4]);
    assert_eq!([0, 1].map(|who| state(&mut world, who).0), [MarkState::Claimed; 2]);
    world.answer(reference(&world, 0), 0);
    world.answer(reference(&world, 1), 5);
    assert_eq!(state(&mut world, 0).0, MarkState::Sent);
    world.part_due(0, 0);
    assert_eq!(state(&mut world, 1), cancelled, "refused for now is not tried again");
    world.ask(world.desks[0].shard, &Input::Order(Box::new(order))).reply.unwrap();
    assert_eq!(world.phase(0, 0), Some(PartPhase::Cancelled), "an old order revives nothing");
    world.settle();
    assert_eq!(world.campaign(0).map(|c| c.phase), Some(Phase::Cancelled));
}

#[test]
fn a_part_that_a_cancel_reaches_first_begins_and_ends_at_once() {
    let mut world = World::plain();
    world.act(&Op::Launch { score: 0 });
    world.act(&Op::Freeze { score: 0 });
    world.shift(0, Verb::Cancel);
    let totals = world.totals(0);
    assert_eq!((totals.failed, totals.causes.get(&Cause::CANCELLED)), (8, Some(&8)));
    world.settle();
}

#[test]
fn an_overtaken_cancel_ends_nobody() {
    let mut world = started();
    let mut stale = world.orders[0].clone();
    (stale.verb, stale.command) = (Verb::Cancel, kabar_engine::id::CommandId(1));
    let asked = world.ask(world.desks[0].shard, &Input::Order(Box::new(stale)));
    assert!(asked.entries.is_empty(), "{:?}", asked.entries);
}

#[test]
fn a_stop_during_the_campaign_fails_the_rest_in_the_same_session_at_once() {
    for restarted in [false, true] {
        let mut world = started();
        world.listen();
        write(&mut world, 0, 0, "STOP");
        if restarted {
            world.flush(world.desks[0].shard);
            world.crash(|| false);
        }
        send_all(&mut world);
        assert_eq!(
            state(&mut world, 0),
            (MarkState::Failed, Some(Cause::OPTED_OUT)),
            "restarted: {restarted}"
        );
        assert_eq!(world.totals(0).on_wire, 7);
    }
}

#[test]
fn a_running_part_and_a_stop_are_remembered_however_long_nobody_asks() {
    let mut world = World::new((0, 0), false);
    world.start(0);
    world.listen();
    write(&mut world, 0, 0, "STOP");
    let shard = world.desks[0].shard;
    (0..6).for_each(|_| world.flush(shard));
    assert_eq!(world.home(shard).overlay.open_parts().count(), 2);
    send_all(&mut world);
    assert_eq!(state(&mut world, 0), (MarkState::Failed, Some(Cause::OPTED_OUT)));
}

#[test]
fn a_stop_in_another_shard_fails_the_rest_once_it_is_handed_in() {
    let mut world = started();
    world.listen();
    write(&mut world, 2, 0, "berhenti");
    world.flush(world.desks[2].shard);
    world.listen();
    send_all(&mut world);
    assert_eq!(state(&mut world, 0), (MarkState::Failed, Some(Cause::OPTED_OUT)));
    assert_eq!(state(&mut world, 6).0, MarkState::Claimed);
}

#[test]
fn a_provider_that_says_stop_opts_a_recipient_out_by_answer_and_by_status() {
    for by_status in [false, true] {
        let mut world = started();
        world.part_claim(0, 0, 1, false);
        // The chunk was forgotten meanwhile.
        world.reopen(world.desks[0].shard);
        if by_status {
            report(&mut world, 0, &[(Status::Failed, Some(Cause(131_050)))]);
        } else {
            world.answer(reference(&world, 0), 4);
        }
        let told = world.homes[&world.desks[0].shard].journal.iter().any(
            |e| matches!(&e.what, What::Consent { address, wish: Wish::OptOut, .. } if *address == person(0)),
        );
        assert!(told, "by status: {by_status}");
    }
}

#[test]
fn the_first_answer_joins_the_campaigns_message_before_itself_and_later_ones_do_not() {
    let mut world = started();
    send_all(&mut world);
    answers(&mut world, 0);
    let names = |entries: Vec<Entry>| entries.iter().map(|e| e.what.name()).collect::<Vec<_>>();
    assert_eq!(names(write(&mut world, 0, 4, "halo")), ["conversation", "touched", "inbound"]);
    world.flush(world.desks[0].shard);
    world.crash(|| false);
    assert_eq!(names(write(&mut world, 0, 4, "lagi")), ["inbound"]);
    assert_eq!(world.totals(0).replied, 1);
    let shard = world.desks[0].shard;
    let touched = world.homes[&shard].journal.iter().find_map(|e| match &e.what {
        What::Touched { message, index, .. } => Some((*message, *index)),
        _ => None,
    });
    let (message, index) = touched.expect("touched once");
    assert_eq!(index, INDEXES[4]);
    let campaign = world.scores[0].campaign;
    let part = world.know(shard, &[Key::Part(campaign, 2)]).part(campaign, 2);
    assert_eq!(part.and_then(|p| p.message(index)), Some(message));
    assert_eq!(names(write(&mut world, 2, 4, "siapa?")), ["conversation", "inbound"], "another session's");
    world.check();
}

#[test]
fn an_answer_resets_no_wait_for_proof() {
    let mut world = started();
    send_all(&mut world);
    answers(&mut world, 1);
    world.now = world.now.plus_ms(40_000);
    write(&mut world, 0, 0, "halo");
    world.now = world.now.plus_ms(20_000);
    world.part_due(0, 0);
    assert_eq!(state(&mut world, 0).0, MarkState::Unknown);
    assert_eq!(world.totals(0).replied, 1);
}

#[test]
fn a_recipient_outside_its_hours_waits_for_them() {
    let mut world = started();
    // Jakarta is at UTC+7; the world begins at 12:00 UTC, 19:00 there.
    let window = SendWindow::new(8 * 60, 18 * 60, [true; 7]).unwrap();
    world.part_claim_in(0, 0, (256, false), Some(window));
    assert_eq!(world.totals(0).on_wire, 0);
    let due = kabar_engine::overlay::Overlay::part_due;
    let shard = world.desks[0].shard;
    let at = due(&world.homes[&shard].overlay, world.scores[0].campaign, 0, world.now, 60_000);
    let expiry = BEGIN.plus_ms(crate::settle::VALID_MS + 1);
    assert_eq!((at.ready, at.next), (false, Some(expiry)), "it would open after the validity");
    let opens = Timestamp(BEGIN.0 + 13 * 3_600_000);
    let deferred = world.homes[&shard].journal.iter().find_map(|e| match &e.what {
        What::PartDeferred { due, ranges, .. } => Some((*due, ranges.len())),
        _ => None,
    });
    assert_eq!(deferred, Some((opens, 2)));
}

#[test]
fn free_form_content_goes_only_to_people_with_an_open_window() {
    let mut world = started();
    write(&mut world, 0, 1, "halo");
    world.part_claim(0, 0, 256, true);
    assert_eq!(state(&mut world, 0), (MarkState::Failed, Some(Cause::WINDOW_CLOSED)));
    assert_eq!(state(&mut world, 1).0, MarkState::Claimed);
}

#[test]
fn an_unproven_recipient_is_sent_once_more_and_no_more_also_across_restarts() {
    let mut world = World::new((20_000, 64), true);
    world.start(0);
    for _ in 0..4 {
        world.part_claim(0, 1, 256, false);
        answers(&mut world, 2);
        world.flush(world.desks[2].shard);
        world.crash(|| false);
        world.now = world.now.plus_ms(60_000);
        world.part_due(0, 1);
        world.flush(world.desks[2].shard);
        world.crash(|| false);
        world.now = world.now.plus_ms(60_000);
    }
    assert_eq!(state(&mut world, 6).0, MarkState::Unknown);
    assert_eq!(world.wire.handed(reference(&world, 6)), 2);
}

#[test]
fn a_late_status_moves_an_unknown_recipient_also_of_a_finished_part() {
    let mut world = started();
    send_all(&mut world);
    answers(&mut world, 1);
    world.settle();
    assert_eq!(world.totals(0).unknown, 8);
    report(&mut world, 6, &[(Status::Delivered, None)]);
    let totals = world.totals(0);
    assert_eq!((totals.unknown, totals.sent, totals.delivered), (7, 1, 1));
    world.check();
}

#[test]
fn recipients_whose_validity_passes_expire_also_in_a_paused_part() {
    let mut world = started();
    world.part_claim(0, 0, 1, false);
    answers(&mut world, 0);
    world.shift(0, Verb::Pause);
    world.now = BEGIN.plus_ms(crate::settle::VALID_MS + 1);
    (0..3).for_each(|part| world.part_due(0, part));
    let totals = world.totals(0);
    assert_eq!((totals.sent, totals.expired), (1, 7));
}

#[test]
fn a_lost_chunk_fails_its_recipients_instead_of_holding_the_part_up() {
    let mut world = started();
    world.views.ledger.retain(|key, _| key.chunk != 0);
    world.part_claim(0, 0, 256, false);
    assert_eq!(state(&mut world, 0), (MarkState::Failed, Some(Cause::INTERNAL)));
    assert_eq!(state(&mut world, 3).0, MarkState::Claimed);
}

#[test]
fn a_torn_flush_that_wrote_a_part_without_its_marks_loses_nobody() {
    for kept in 0..8 {
        let mut world = started();
        world.part_claim(0, 0, 2, false);
        let mut writes = 0;
        world.torn(world.desks[0].shard, || {
            writes += 1;
            writes - 1 == kept
        });
        world.check();
        assert_eq!(world.totals(0).recipients, 8, "kept {kept}");
        world.settle();
    }
}

#[test]
fn a_recipients_message_is_found_by_its_id_before_and_after_the_flush() {
    let mut world = started();
    let (shard, campaign) = (world.desks[0].shard, world.scores[0].campaign);
    let part = world.know(shard, &[Key::Part(campaign, 0)]).part(campaign, 0).unwrap();
    let id = part.message(INDEXES[2]).unwrap();
    let chunk = |world: &mut World| {
        world.know(shard, &[Key::Run(id)]).run(id).map(|r| (r.base.plus(2) == id, r.chunk))
    };
    for step in 0..5 {
        assert_eq!(chunk(&mut world), Some((true, 0)), "step {step}");
        world.flush(shard);
    }
    world.crash(|| false);
    assert_eq!(chunk(&mut world), Some((true, 0)));
    assert_eq!(world.know(shard, &[Key::Run(id.plus(40))]).run(id.plus(40)), None, "past the run");
}

#[test]
fn another_tenant_learns_nothing_of_a_campaign() {
    let mut world = started();
    let (campaign, shard) = (world.scores[0].campaign, world.scores[0].shard());
    let tenant = crate::cast::BUDI;
    for verb in [Verb::Pause, Verb::Cancel] {
        let asked = world.ask(shard, &Input::Move { tenant, campaign, verb, idempotency: None });
        assert_eq!(asked.reply.unwrap_err(), Refusal::NotFound);
    }
    let again = world.ask(shard, &Input::Launch { tenant: ANA, campaign, idempotency: None });
    assert_eq!(again.reply.unwrap_err(), Refusal::WrongPhase);
    let first = world.ask(shard, &Input::PartAdopt { tenant, campaign, part: 0 });
    assert!(matches!(first.reply, Ok(Answer::Counted { new: 0, .. })));
}
