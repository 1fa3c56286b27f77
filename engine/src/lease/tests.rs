//! The machine's rules, one by one. What they come to together is simulated in `kabar-tests`.

use super::*;

const SHARD: ShardId = ShardId(7);

fn me() -> Owner {
    Owner::new("a", 1)
}

fn other() -> Owner {
    Owner::new("b", 2)
}

fn row(owner: Option<Owner>, epoch: u64, ctr: u64) -> LeaseRow {
    LeaseRow { shard: SHARD, owner, epoch, ctr }
}

fn asks(lease: &mut Lease, now: u64, call: Call) {
    assert_eq!(lease.poll(now), Some(Order::Ask(call)), "at {now}");
}

/// A lease taken at `now` under epoch 1.
fn held(now: u64) -> Lease {
    let mut lease = Lease::new(SHARD, me(), false);
    asks(&mut lease, now, Call::Read);
    lease.hear(Heard::Row(LeaseRow::fresh(SHARD)), now);
    asks(&mut lease, now, Call::Take(LeaseRow::fresh(SHARD)));
    lease.hear(Heard::Applied, now);
    lease
}

#[test]
fn a_row_nobody_has_is_taken_at_once_and_renewed_every_three_seconds() {
    let mut lease = held(100);
    assert_eq!(lease.term(), Some(Term { epoch: 1, until: 100 + ACT_MS }));
    assert_eq!(lease.poll(3_099), None);
    asks(&mut lease, 3_100, Call::Renew { epoch: 1, ctr: 0 });
    assert_eq!(lease.poll(3_200), None, "one question at a time");
    lease.hear(Heard::Applied, 4_000);
    // From the sending, not from the answer.
    assert_eq!(lease.may_act_until(), Some(3_100 + ACT_MS));
    asks(&mut lease, 6_100, Call::Renew { epoch: 1, ctr: 1 });
}

#[test]
fn a_call_is_only_begun_when_the_lease_outlives_it() {
    let lease = held(0);
    assert!(lease.holds_for(0, ACT_MS - 1) && lease.holds_for(1_999, 5_000));
    assert!(!lease.holds_for(0, ACT_MS) && !lease.holds_for(2_000, 5_000));
    assert!(!Lease::new(SHARD, me(), false).holds_for(0, 0));
}

#[test]
fn a_foreign_row_is_taken_after_it_stood_still_for_9_9_seconds_and_not_sooner() {
    let mut lease = Lease::new(SHARD, me(), false);
    asks(&mut lease, 0, Call::Read);
    lease.hear(Heard::Row(row(Some(other()), 4, 9)), 50);
    assert_eq!(lease.waits_for(1_050), Some((&other(), 8_900)));
    let mut now = 50;
    let seen = row(Some(other()), 4, 10);
    // It moves once: the wait begins anew.
    asks(&mut lease, 1_050, Call::Read);
    lease.hear(Heard::Row(seen.clone()), 1_060);
    while now < 1_060 + CHALLENGE_MS {
        if lease.poll(now) == Some(Order::Ask(Call::Read)) {
            lease.hear(Heard::Row(seen.clone()), now);
        }
        now += 10;
    }
    assert_eq!(lease.poll(1_060 + CHALLENGE_MS - 1), None);
    asks(&mut lease, 1_060 + CHALLENGE_MS, Call::Take(seen));
    lease.hear(Heard::Refused(row(Some(other()), 4, 11)), 11_000);
    assert_eq!(lease.poll(11_000), None, "it moved in the last moment");
    assert_eq!(lease.term(), None);
}

#[test]
fn a_lease_that_another_took_is_stopped_and_watched() {
    let mut lease = held(0);
    asks(&mut lease, 3_000, Call::Renew { epoch: 1, ctr: 0 });
    lease.hear(Heard::Refused(row(Some(other()), 2, 0)), 3_010);
    assert_eq!(lease.term(), None);
    assert_eq!(lease.poll(3_010), Some(Order::Stop));
    assert_eq!(lease.poll(3_010), None);
    asks(&mut lease, 4_010, Call::Read);
}

#[test]
fn a_lease_that_cannot_be_renewed_lapses_and_is_taken_anew_under_a_higher_epoch() {
    let mut lease = held(0);
    let mut now = 3_000;
    while now < ACT_MS {
        if let Some(order) = lease.poll(now) {
            assert_eq!(order, Order::Ask(Call::Renew { epoch: 1, ctr: 0 }));
            lease.hear(Heard::Unavailable, now);
        }
        now += 100;
    }
    assert_eq!(lease.poll(ACT_MS), Some(Order::Stop));
    assert_eq!(lease.term(), None);
    asks(&mut lease, 7_400, Call::Read);
    // Nobody else wanted it: there is nobody to wait for.
    lease.hear(Heard::Row(row(Some(me()), 1, 0)), 7_500);
    asks(&mut lease, 7_500, Call::Take(row(Some(me()), 1, 0)));
    lease.hear(Heard::Applied, 7_510);
    assert_eq!(lease.term(), Some(Term { epoch: 2, until: 7_500 + ACT_MS }));
}

#[test]
fn a_renewal_that_comes_back_after_the_lapse_brings_nothing_back() {
    let mut lease = held(0);
    asks(&mut lease, 3_000, Call::Renew { epoch: 1, ctr: 0 });
    assert_eq!(lease.poll(ACT_MS), Some(Order::Stop));
    lease.hear(Heard::Applied, 7_100);
    assert_eq!(lease.term(), None);
    asks(&mut lease, 7_100, Call::Read);
}

#[test]
fn an_unknown_renewal_is_read_back_and_counts_from_its_oldest_try() {
    let mut lease = held(0);
    asks(&mut lease, 3_000, Call::Renew { epoch: 1, ctr: 0 });
    lease.hear(Heard::Unknown, 4_000);
    asks(&mut lease, 4_000, Call::Read);
    lease.hear(Heard::Row(row(Some(me()), 1, 0)), 4_010);
    assert_eq!(lease.may_act_until(), Some(ACT_MS), "not done, as far as one can see");
    asks(&mut lease, 4_010, Call::Renew { epoch: 1, ctr: 0 });
    // The first one was done late, so the second one is refused.
    lease.hear(Heard::Refused(row(Some(me()), 1, 1)), 4_020);
    assert_eq!(lease.may_act_until(), Some(3_000 + ACT_MS));
    asks(&mut lease, 6_000, Call::Renew { epoch: 1, ctr: 1 });
}

#[test]
fn an_unknown_take_is_read_back_and_counts_from_its_oldest_try() {
    let mut lease = Lease::new(SHARD, me(), false);
    asks(&mut lease, 0, Call::Read);
    let seen = row(None, 5, 3);
    lease.hear(Heard::Row(seen.clone()), 0);
    asks(&mut lease, 0, Call::Take(seen.clone()));
    lease.hear(Heard::Unknown, 2_000);
    asks(&mut lease, 2_000, Call::Read);
    lease.hear(Heard::Row(seen.clone()), 2_010);
    assert_eq!(lease.term(), None);
    asks(&mut lease, 2_010, Call::Take(seen));
    lease.hear(Heard::Refused(row(Some(me()), 6, 0)), 2_020);
    assert_eq!(lease.term(), Some(Term { epoch: 6, until: ACT_MS }));
}

#[test]
fn an_unknown_take_that_another_overtook_is_not_ours() {
    let mut lease = Lease::new(SHARD, me(), false);
    asks(&mut lease, 0, Call::Read);
    lease.hear(Heard::Row(row(None, 5, 3)), 0);
    asks(&mut lease, 0, Call::Take(row(None, 5, 3)));
    lease.hear(Heard::Unknown, 10);
    asks(&mut lease, 10, Call::Read);
    lease.hear(Heard::Row(row(Some(other()), 6, 0)), 20);
    assert_eq!((lease.term(), lease.poll(20)), (None, None));
}

#[test]
fn a_released_lease_is_free_at_once_and_its_owner_takes_nothing_any_more() {
    let mut lease = held(0);
    lease.leave();
    assert_eq!(lease.term(), None);
    asks(&mut lease, 10, Call::Release { epoch: 1 });
    lease.hear(Heard::Unknown, 20);
    asks(&mut lease, 20, Call::Read);
    lease.hear(Heard::Row(row(Some(me()), 1, 0)), 20);
    asks(&mut lease, 20, Call::Release { epoch: 1 });
    lease.hear(Heard::Applied, 30);
    assert!(lease.has_left() && lease.poll(30).is_none());
    let mut next = Lease::new(SHARD, other(), false);
    asks(&mut next, 0, Call::Read);
    next.hear(Heard::Row(row(None, 1, 0)), 0);
    asks(&mut next, 0, Call::Take(row(None, 1, 0)));
}

#[test]
fn who_has_nothing_has_nothing_to_give_back() {
    let mut lease = Lease::new(SHARD, me(), false);
    asks(&mut lease, 0, Call::Read);
    lease.leave();
    lease.hear(Heard::Row(row(Some(other()), 3, 0)), 0);
    assert_eq!(lease.poll(0), None);
    assert!(lease.has_left());
}

#[test]
fn a_table_of_ones_own_needs_no_waiting_and_no_renewing() {
    let mut lease = Lease::new(SHARD, me(), true);
    asks(&mut lease, 0, Call::Read);
    lease.hear(Heard::Row(row(Some(other()), 8, 2)), 0);
    asks(&mut lease, 0, Call::Take(row(Some(other()), 8, 2)));
    lease.hear(Heard::Applied, 0);
    assert_eq!(lease.term(), Some(Term { epoch: 9, until: u64::MAX }));
    assert_eq!(lease.poll(1_000_000), None);
}

#[test]
fn a_renounced_lease_comes_back_under_a_higher_epoch() {
    let mut lease = held(0);
    asks(&mut lease, 3_000, Call::Renew { epoch: 1, ctr: 0 });
    lease.renounce(3_001);
    assert_eq!(lease.term(), None);
    lease.hear(Heard::Applied, 3_010);
    asks(&mut lease, 3_010, Call::Take(row(Some(me()), 1, 0)));
    lease.hear(Heard::Refused(row(Some(me()), 1, 1)), 3_020);
    asks(&mut lease, 3_020, Call::Take(row(Some(me()), 1, 1)));
    lease.hear(Heard::Applied, 3_030);
    assert_eq!(lease.term().map(|t| t.epoch), Some(2));
}
