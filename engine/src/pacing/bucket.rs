//! The token bucket of a number: whole milliseconds and whole micro-tokens, no floating point. It slows down
//! when the provider says so and recovers by itself (additive increase, multiplicative decrease).

use crate::time::{SECOND_MS, Timestamp};

/// One token in micro-tokens.
const TOKEN: u64 = 1_000_000;
/// Milli-tokens per second of the slowest rate.
const SLOWEST: u64 = 1_000;

/// A bucket that grants messages. Over any stretch of time it grants at most rate × time + burst.
///
/// A clock that steps back gives nothing and costs nothing: pauses and recovery keep their remaining length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Milli-tokens per second, which is micro-tokens per millisecond, when nothing slows it down.
    full: u64,
    /// The rate now, at most `full`.
    rate: u64,
    /// Most micro-tokens it holds.
    most: u64,
    /// Micro-tokens it holds at `last`.
    level: u64,
    /// Up to when it is filled; `None` before its first use.
    last: Option<Timestamp>,
    /// While slowed: when the rate rises next.
    rises_at: Timestamp,
    /// When it was last slowed down.
    slowed_at: Option<Timestamp>,
    paused_until: Option<Timestamp>,
}

impl Bucket {
    /// A full bucket. A rate or burst of 0 counts as 1: pausing has its own call.
    #[must_use]
    pub fn new(rate_per_second: u32, burst: u32) -> Self {
        let full = u64::from(rate_per_second.max(1)) * SLOWEST;
        let most = u64::from(burst.max(1)) * TOKEN;
        Self {
            full,
            rate: full,
            most,
            level: most,
            last: None,
            rises_at: Timestamp(0),
            slowed_at: None,
            paused_until: None,
        }
    }

    /// Takes up to `want` tokens and says how many were granted; 0 while paused.
    pub fn take(&mut self, now: Timestamp, want: u32) -> u32 {
        self.fill(now);
        if self.paused_until.is_some() {
            return 0;
        }
        let granted = u32::try_from(self.level / TOKEN).unwrap_or(u32::MAX).min(want);
        self.level -= u64::from(granted) * TOKEN;
        granted
    }

    /// When the next token can be taken; `now` when there is one already.
    #[must_use]
    pub fn ready_at(&self, now: Timestamp) -> Timestamp {
        let mut bucket = *self;
        bucket.fill(now);
        let mut at = now;
        while bucket.level < TOKEN {
            let wait = (TOKEN - bucket.level).div_ceil(bucket.rate);
            let reached = at.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX));
            at = if bucket.rate < bucket.full { reached.min(bucket.rises_at) } else { reached };
            bucket.fill(at);
        }
        bucket.paused_until.map_or(at, |until| until.max(at))
    }

    /// The provider said "too fast": empties the bucket and halves the rate, not below one a second. It then
    /// rises by 5 % of the full rate a second. Several answers within one second halve it once, for they
    /// speak of the same burst.
    pub fn slow_down(&mut self, now: Timestamp) {
        self.fill(now);
        self.level = 0;
        if self.slowed_at.is_some_and(|at| now.since_ms(at) < SECOND_MS) {
            return;
        }
        self.rate = (self.rate / 2).max(SLOWEST);
        self.slowed_at = Some(now);
        self.rises_at = now.plus_ms(SECOND_MS);
    }

    /// Grants nothing before `at`; an earlier pause that ends later stays.
    pub fn pause_until(&mut self, at: Timestamp) {
        self.paused_until = Some(self.paused_until.map_or(at, |until| until.max(at)));
    }

    /// Returns tokens that were taken and not used.
    pub fn give_back(&mut self, count: u32) {
        self.level = self.level.saturating_add(u64::from(count) * TOKEN).min(self.most);
    }

    /// Another full rate and burst, e.g. after an upgrade by the provider. What is slowed stays slowed.
    pub fn set_rate(&mut self, now: Timestamp, rate_per_second: u32, burst: u32) {
        self.fill(now);
        let changed = Self::new(rate_per_second, burst);
        let slowed = self.rate < self.full;
        self.rate = if slowed { self.rate.min(changed.full) } else { changed.full };
        self.full = changed.full;
        self.most = changed.most;
        self.level = self.level.min(self.most);
    }

    /// Whole tokens it holds at `now`, paused or not.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> u32 {
        let mut bucket = *self;
        bucket.fill(now);
        u32::try_from(bucket.level / TOKEN).unwrap_or(u32::MAX)
    }

    /// How long from `now` until it is full at its full rate (ms), if nothing is taken.
    #[must_use]
    pub fn full_in_ms(&self, now: Timestamp) -> u64 {
        let mut bucket = *self;
        bucket.fill(now);
        (bucket.most - bucket.level).div_ceil(bucket.full)
    }

    /// Whole messages a second at `now`, at least 1: less than the full rate while slowed.
    #[must_use]
    pub fn rate(&self, now: Timestamp) -> u32 {
        let mut bucket = *self;
        bucket.fill(now);
        u32::try_from(bucket.rate / SLOWEST).unwrap_or(u32::MAX)
    }

    /// Adds what time has brought, one rise of the rate after the other.
    fn fill(&mut self, now: Timestamp) {
        let mut last = self.last.unwrap_or(now);
        if now < last {
            self.step_back(last.since_ms(now));
            last = now;
        }
        while self.rate < self.full && self.rises_at <= now {
            let at = self.rises_at.max(last);
            self.add(at.since_ms(last));
            last = at;
            self.rate = (self.rate + self.full / 20).min(self.full);
            self.rises_at = self.rises_at.plus_ms(SECOND_MS);
        }
        self.add(now.since_ms(last));
        self.last = Some(now);
        self.paused_until = self.paused_until.filter(|until| *until > now);
    }

    fn add(&mut self, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or(0);
        self.level = self.level.saturating_add(self.rate.saturating_mul(ms)).min(self.most);
    }

    fn step_back(&mut self, ms: i64) {
        self.rises_at = self.rises_at.plus_ms(-ms);
        self.slowed_at = self.slowed_at.map(|at| at.plus_ms(-ms));
        self.paused_until = self.paused_until.map(|at| at.plus_ms(-ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn tokens_come_at_the_rate_and_not_beyond_the_burst() {
        let mut bucket = Bucket::new(80, 10);
        assert_eq!(bucket.take(T, 100), 10);
        assert_eq!(bucket.take(T, 1), 0);
        assert_eq!(bucket.ready_at(T), T.plus_ms(13));
        assert_eq!(bucket.take(T.plus_ms(12), 1), 0);
        assert_eq!(bucket.take(T.plus_ms(13), 1), 1);
        assert_eq!(bucket.take(T.plus_ms(60_000), 100), 10);
    }

    #[test]
    fn over_a_minute_nothing_of_the_rate_is_lost() {
        for rate in [1, 3, 7, 80, 1_000] {
            let mut bucket = Bucket::new(rate, 1_000);
            bucket.take(T, 1_000);
            let granted: u32 = (1..=60_000).map(|ms| bucket.take(T.plus_ms(ms), u32::MAX)).sum();
            assert_eq!(granted, rate * 60);
        }
    }

    #[test]
    fn a_slowed_bucket_halves_and_recovers_five_percent_a_second() {
        let mut bucket = Bucket::new(100, 100);
        bucket.slow_down(T);
        bucket.slow_down(T.plus_ms(999));
        assert_eq!(bucket.take(T.plus_ms(999), 1), 0, "emptied");
        assert_eq!(bucket.rate(T.plus_ms(999)), 50);
        let rates = [1_000, 2_000, 9_999, 10_000, 60_000].map(|ms| bucket.rate(T.plus_ms(ms)));
        assert_eq!(rates, [55, 60, 95, 100, 100]);
        bucket.slow_down(T.plus_ms(1_000));
        assert_eq!(bucket.rate(T.plus_ms(1_000)), 27);
        for second in 2..40 {
            bucket.slow_down(T.plus_ms(second * 1_000));
        }
        assert!(bucket.rate(T.plus_ms(39_000)) >= 1);
        let mut slow = Bucket::new(1, 1);
        slow.slow_down(T);
        assert_eq!(slow.ready_at(T), T.plus_ms(1_000));
    }

    #[test]
    fn what_is_left_and_when_it_is_full_again_is_told_without_taking() {
        let mut bucket = Bucket::new(80, 10);
        assert_eq!((bucket.left(T), bucket.full_in_ms(T)), (10, 0));
        bucket.take(T, 4);
        assert_eq!((bucket.left(T), bucket.full_in_ms(T)), (6, 50));
        assert_eq!((bucket.left(T.plus_ms(49)), bucket.full_in_ms(T.plus_ms(49))), (9, 1));
        assert_eq!((bucket.left(T.plus_ms(50)), bucket.full_in_ms(T.plus_ms(50))), (10, 0));
        bucket.take(T.plus_ms(60), 3);
        bucket.give_back(9);
        assert_eq!(bucket.left(T.plus_ms(60)), 10, "never above the burst");
    }

    #[test]
    fn a_pause_holds_and_the_longer_one_wins() {
        let mut bucket = Bucket::new(10, 5);
        bucket.pause_until(T.plus_ms(5_000));
        bucket.pause_until(T.plus_ms(1_000));
        assert_eq!(bucket.ready_at(T), T.plus_ms(5_000));
        assert_eq!(bucket.take(T.plus_ms(4_999), 1), 0);
        assert_eq!(bucket.take(T.plus_ms(5_000), 1), 1);
        assert_eq!(bucket.ready_at(T.plus_ms(5_000)), T.plus_ms(5_000));
    }

    #[test]
    fn a_clock_that_steps_back_keeps_pauses_as_long_as_they_were() {
        let mut bucket = Bucket::new(10, 5);
        bucket.take(T, 0);
        bucket.pause_until(T.plus_ms(5_000));
        let earlier = T.plus_ms(-3_600_000);
        assert_eq!(bucket.take(earlier, 1), 0);
        assert_eq!(bucket.ready_at(earlier), earlier.plus_ms(5_000));
        assert_eq!(bucket.take(earlier.plus_ms(5_000), 1), 1);
    }

    #[test]
    fn unused_tokens_come_back_and_another_rate_counts_at_once() {
        let mut bucket = Bucket::new(1, 5);
        assert_eq!(bucket.take(T, 5), 5);
        bucket.give_back(3);
        assert_eq!(bucket.take(T, 5), 3);
        bucket.give_back(u32::MAX);
        assert_eq!(bucket.take(T, 50), 5);
        bucket.set_rate(T, 1_000, 1_000);
        assert_eq!(bucket.take(T.plus_ms(100), 1_000), 100);
        bucket.set_rate(T.plus_ms(100), 1, 1);
        assert_eq!(bucket.take(T.plus_ms(90_000), 1_000), 1);
    }

    #[derive(Debug, Clone)]
    enum Move {
        Take(u32),
        SlowDown,
        Pause(i64),
        UseHalf,
    }

    fn moves() -> impl Strategy<Value = Vec<(i64, Move)>> {
        let one = prop_oneof![
            8 => (0_u32..300).prop_map(Move::Take),
            1 => Just(Move::SlowDown),
            1 => (-100_i64..3_000).prop_map(Move::Pause),
            1 => Just(Move::UseHalf),
        ];
        let step = prop_oneof![9 => 0_i64..2_000, 1 => -5_000_i64..0];
        proptest::collection::vec((step, one), 1..80)
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_gets_more_than_rate_and_burst(
            rate in 1_u32..300, burst in 1_u32..300, moves in moves(),
        ) {
            let mut bucket = Bucket::new(rate, burst);
            let (mut now, mut elapsed) = (T, 0_i64);
            let mut grants: Vec<(i64, u64)> = Vec::new();
            for (step, next) in moves {
                now = now.plus_ms(step);
                elapsed += step.max(0);
                match next {
                    Move::Take(want) => {
                        let granted = bucket.take(now, want);
                        prop_assert!(granted <= want);
                        grants.push((elapsed, u64::from(granted)));
                    }
                    Move::SlowDown => bucket.slow_down(now),
                    Move::Pause(ms) => bucket.pause_until(now.plus_ms(ms)),
                    Move::UseHalf => {
                        let granted = bucket.take(now, 10);
                        bucket.give_back(granted / 2);
                        grants.push((elapsed, u64::from(granted - granted / 2)));
                    }
                }
            }
            for begin in 0..grants.len() {
                let mut sum = 0;
                for (at, granted) in &grants[begin..] {
                    sum += granted;
                    let ms = u64::try_from(at - grants[begin].0).unwrap();
                    prop_assert!(sum * 1_000 <= u64::from(rate) * ms + u64::from(burst) * 1_000);
                }
            }
        }

        #[test]
        fn ready_at_is_the_first_moment_of_a_grant(
            rate in 1_u32..300, burst in 1_u32..50, moves in moves(),
        ) {
            let mut bucket = Bucket::new(rate, burst);
            let mut now = T;
            for (step, next) in moves {
                now = now.plus_ms(step);
                match next {
                    Move::Take(want) => { bucket.take(now, want); }
                    Move::SlowDown => bucket.slow_down(now),
                    Move::Pause(ms) => bucket.pause_until(now.plus_ms(ms)),
                    Move::UseHalf => bucket.give_back(1),
                }
                // A step back of the clock is noted by a take, not by the question.
                bucket.take(now, 0);
                let ready = bucket.ready_at(now);
                prop_assert!(ready >= now);
                let (mut early, mut there) = (bucket, bucket);
                prop_assert_eq!(there.take(ready, 1), 1);
                if ready > now {
                    prop_assert_eq!(early.take(ready.plus_ms(-1), 1), 0);
                }
            }
        }
    }
}
