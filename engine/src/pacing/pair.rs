//! The limit between a number and one person, as the provider counts it: one message in 6 s, up to 45 at once
//! borrowed from the future. A generic cell rate algorithm: per person one moment, no counters.

use crate::hash::HashMap;
use crate::time::{SECOND_MS, Timestamp};

/// Milliseconds that one message costs.
const INTERVAL_MS: i64 = 6 * SECOND_MS;
/// Messages at once.
const BURST: i64 = 45;
/// One message may be faster on its way than the one before it: what goes exactly when it may would then come too early
/// there, and be throttled. Lost once, not for every message.
const MARGIN_MS: i64 = 500;
/// No moment is named further behind the first one: who was named one may never come, and who comes now may be more urgent.
const NAMED_MS: i64 = 4 * INTERVAL_MS;
/// How far the account of a person may lie in the future and still allow one more.
const TOLERANCE_MS: i64 = (BURST - 1) * INTERVAL_MS - MARGIN_MS;
/// Below so many persons nothing is swept.
const SWEEP_MIN: usize = 1_024;
/// The longest wait after a throttling answer: 4^4 seconds.
const PENALTY_STEPS: u32 = 4;

/// Accounts of the persons one number wrote to lately. An account that is even again is dropped, so there are
/// at most as many as messages leave in [its interval](INTERVAL_MS), and those that wait out a penalty.
#[derive(Debug, Clone)]
pub struct PairLimit {
    accounts: HashMap<u64, Account>,
    /// Sweep when there are so many.
    sweep_at: usize,
    last: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    /// When everything sent is paid for.
    even_at: Timestamp,
    /// After a throttling answer: nothing before.
    blocked_until: Timestamp,
    /// The last moment that was named to one who came too early.
    promised: Timestamp,
}

impl Account {
    fn even(now: Timestamp) -> Self {
        Self { even_at: now, blocked_until: now, promised: now }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.even_at <= now && self.blocked_until <= now && self.promised <= now
    }
}

impl Default for PairLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl PairLimit {
    /// No accounts.
    #[must_use]
    pub fn new() -> Self {
        Self { accounts: HashMap::default(), sweep_at: SWEEP_MIN, last: None }
    }

    /// Counts one message to the person `key` (a hash of the address), or says when it may go. Two persons with
    /// one hash share an account: both get less, never more.
    ///
    /// # Errors
    /// The moment at which it may go; nothing was counted. Each that comes too early is named a moment of its own, so that
    /// of many who wait for one person none is looked at before its turn.
    pub fn check(&mut self, now: Timestamp, key: u64) -> Result<(), Timestamp> {
        self.advance(now);
        let account = self.accounts.entry(key).or_insert(Account::even(now));
        let free_at = account.even_at.plus_ms(-TOLERANCE_MS).max(account.blocked_until);
        if free_at > now {
            let waits = account.promised > now;
            let next = if waits { free_at.max(account.promised.plus_ms(INTERVAL_MS)) } else { free_at };
            account.promised = next.min(free_at.plus_ms(NAMED_MS));
            return Err(account.promised);
        }
        account.even_at = account.even_at.max(now).plus_ms(INTERVAL_MS);
        Ok(())
    }

    /// Takes back one counted message that did not go.
    pub fn give_back(&mut self, key: u64) {
        if let Some(account) = self.accounts.get_mut(&key) {
            account.even_at = account.even_at.plus_ms(-INTERVAL_MS);
        }
    }

    /// The provider said "too many to this person" for the `attempt`th time (from 0): the person waits
    /// 4^attempt seconds, at most 256. Others do not. Returns when it may go again.
    pub fn penalise(&mut self, now: Timestamp, key: u64, attempt: u32) -> Timestamp {
        self.advance(now);
        let until = now.plus_ms(SECOND_MS * 4_i64.pow(attempt.min(PENALTY_STEPS)));
        let account = self.accounts.entry(key).or_insert(Account::even(now));
        account.blocked_until = account.blocked_until.max(until);
        account.blocked_until
    }

    /// How many accounts are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Drops what is even, now and then, so that the cost per message stays constant.
    fn advance(&mut self, now: Timestamp) {
        let last = self.last.replace(now).unwrap_or(now);
        if now < last {
            // The clock stepped back: everybody keeps the remaining wait.
            let back = now.since_ms(last);
            for account in self.accounts.values_mut() {
                account.even_at = account.even_at.plus_ms(back);
                account.blocked_until = account.blocked_until.plus_ms(back);
                account.promised = account.promised.plus_ms(back);
            }
        }
        if self.accounts.len() >= self.sweep_at {
            self.accounts.retain(|_, account| !account.is_over(now));
            self.sweep_at = (self.accounts.len() * 2).max(SWEEP_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn forty_five_at_once_but_for_the_margin_then_one_in_six_seconds() {
        let mut limit = PairLimit::new();
        for sent in 0..44 {
            assert_eq!(limit.check(T, 1), Ok(()), "{sent}");
        }
        assert_eq!(limit.check(T, 1), Err(T.plus_ms(MARGIN_MS)));
        let begun = T.plus_ms(MARGIN_MS);
        assert_eq!(limit.check(begun, 1), Ok(()));
        assert_eq!(limit.check(begun, 2), Ok(()), "others do not wait");
        assert_eq!(limit.check(begun.plus_ms(5_999), 1), Err(begun.plus_ms(6_000)));
        assert_eq!(limit.check(begun.plus_ms(6_000), 1), Ok(()));
        assert_eq!(limit.check(begun.plus_ms(6_000), 1), Err(begun.plus_ms(12_000)));
        limit.give_back(1);
        assert_eq!(limit.check(begun.plus_ms(6_000), 1), Ok(()));
    }

    #[test]
    fn each_that_comes_too_early_is_named_a_moment_of_its_own_and_may_go_then() {
        let mut limit = PairLimit::new();
        while limit.check(T, 1).is_ok() {}
        // The first was named by the loop.
        let named: Vec<_> = (1..5).map(|_| limit.check(T, 1).unwrap_err()).collect();
        let wanted: Vec<_> = (1..5).map(|n| T.plus_ms(MARGIN_MS + n * INTERVAL_MS)).collect();
        assert_eq!(named, wanted);
        for _ in 0..100 {
            assert_eq!(limit.check(T, 1), Err(wanted[3]), "nobody is sent further away");
        }
        assert_eq!(limit.check(T.plus_ms(MARGIN_MS), 1), Ok(()));
        for at in named {
            assert_eq!(limit.check(at, 1), Ok(()), "{at:?}");
        }
    }

    #[test]
    fn a_penalty_is_four_to_the_attempt_and_for_one_person() {
        let mut limit = PairLimit::new();
        let waits = [0, 1, 2, 3, 4, 5, u32::MAX]
            .map(|attempt| limit.penalise(T, u64::from(attempt), attempt).since_ms(T) / 1_000);
        assert_eq!(waits, [1, 4, 16, 64, 256, 256, 256]);
        assert_eq!(limit.check(T, 2), Err(T.plus_ms(16_000)));
        assert_eq!(limit.check(T, 99), Ok(()));
        assert_eq!(limit.check(T.plus_ms(16_000), 2), Ok(()));
    }

    #[test]
    fn memory_follows_the_rate_and_not_the_audience() {
        let mut limit = PairLimit::new();
        for person in 0..100_000_i64 {
            // 1,000 a second: 6,000 accounts are open at any moment.
            limit.check(T.plus_ms(person), u64::try_from(person).unwrap()).unwrap();
            assert!(limit.len() <= 12_001, "{}", limit.len());
        }
    }

    #[test]
    fn a_clock_that_steps_back_keeps_the_remaining_wait() {
        let mut limit = PairLimit::new();
        for _ in 0..44 {
            limit.check(T, 1).unwrap();
        }
        let earlier = T.plus_ms(-3_600_000);
        assert_eq!(limit.check(earlier, 1), Err(earlier.plus_ms(MARGIN_MS)));
        assert_eq!(limit.check(earlier, 2), Ok(()));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_gets_more_than_burst_and_rate(
            steps in proptest::collection::vec((prop_oneof![4 => 0_i64..400, 1 => 0_i64..30_000], 0_u64..2), 1..400),
        ) {
            let mut limit = PairLimit::new();
            let mut now = T;
            let mut grants: [Vec<i64>; 2] = Default::default();
            let mut named: [Option<Timestamp>; 2] = Default::default();
            for (step, person) in steps {
                now = now.plus_ms(step);
                match limit.check(now, person) {
                    Ok(()) => grants[usize::try_from(person).unwrap()].push(now.0),
                    Err(at) => {
                        prop_assert!(at > now);
                        prop_assert_eq!(limit.clone().check(at, person), Ok(()));
                        let named = &mut named[usize::try_from(person).unwrap()];
                        match named.replace(at).filter(|named| *named > now) {
                            None => prop_assert!(limit.clone().check(at.plus_ms(-1), person).is_err()),
                            Some(before) => prop_assert!(at >= before),
                        }
                    }
                }
            }
            for list in grants {
                for begin in 0..list.len() {
                    for end in begin..list.len() {
                        let count = i64::try_from(end - begin + 1).unwrap();
                        prop_assert!(count <= 45 + (list[end] - list[begin]) / 6_000);
                    }
                }
            }
        }
    }
}
