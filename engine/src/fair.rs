//! Whose turn it is where many share one thing: start-time fair queueing. Who has had little for its weight goes first,
//! who was away saves nothing up. Not how much there is to share: that is the asker's affair.

use crate::hash::HashMap;
use std::collections::BTreeMap;
use std::hash::Hash;

/// One unit of cost at weight 1, in the units of virtual time.
const UNIT: u64 = 1 << 20;
/// Sharers whose past is kept before those are forgotten that have none left.
const KEPT: usize = 1_024;

/// Who asks, what it counts for, and how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share<K> {
    /// Who.
    pub of: K,
    /// What it counts for beside the others; 0 counts as 1.
    pub weight: u32,
    /// How much is asked for.
    pub cost: u32,
}

impl<K> Share<K> {
    fn length(&self) -> u64 {
        u64::from(self.cost) * UNIT / u64::from(self.weight.max(1))
    }
}

/// Those who wait. Of two classes the smaller always goes first; within one, turns are shared by weight.
#[derive(Debug)]
pub struct Queue<K, T> {
    /// Virtual time: the begin of the last turn that was given.
    now: u64,
    /// Keeps those apart that began at the same time, in the order they came.
    came: u64,
    /// When each sharer's turns so far end, in virtual time.
    ends: HashMap<K, u64>,
    waiting: BTreeMap<(u8, u64, u64), (Share<K>, T)>,
}

impl<K: Copy + Eq + Hash, T> Default for Queue<K, T> {
    fn default() -> Self {
        Self { now: 0, came: 0, ends: HashMap::default(), waiting: BTreeMap::new() }
    }
}

impl<K: Copy + Eq + Hash, T> Queue<K, T> {
    /// Lets somebody wait.
    pub fn push(&mut self, class: u8, share: Share<K>, item: T) {
        let begin = self.begin(&share);
        self.came += 1;
        self.waiting.insert((class, begin, self.came), (share, item));
    }

    /// Who is next.
    #[must_use]
    pub fn first(&self) -> Option<(&Share<K>, &T)> {
        self.waiting.first_key_value().map(|(_, (share, item))| (share, item))
    }

    /// Gives the next one its turn.
    pub fn pop(&mut self) -> Option<(Share<K>, T)> {
        let ((_, begin, _), next) = self.waiting.pop_first()?;
        self.now = self.now.max(begin);
        Some(next)
    }

    /// There is room for all and nobody waits: whoever takes something now takes it from nobody.
    pub fn rest(&mut self) {
        debug_assert!(self.is_empty(), "somebody waits");
        self.ends.clear();
    }

    /// So much of a turn was not used: it does not count. What already waits keeps its place.
    pub fn refund(&mut self, share: &Share<K>) {
        if let Some(end) = self.ends.get_mut(&share.of) {
            *end = end.saturating_sub(share.length());
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When this turn begins: behind the sharer's others, and not in the past. Its end is noted.
    fn begin(&mut self, share: &Share<K>) -> u64 {
        if self.ends.len() >= KEPT {
            let now = self.now;
            self.ends.retain(|_, end| *end > now);
        }
        let end = self.ends.entry(share.of).or_default();
        let begin = (*end).max(self.now);
        *end = begin.saturating_add(share.length());
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: u8 = 1;

    fn share(of: u8, weight: u32, cost: u32) -> Share<u8> {
        Share { of, weight, cost }
    }

    /// Everybody asks again as soon as it had its turn; what each had after `turns` turns.
    fn shared(sharers: &[Share<u8>], turns: usize) -> Vec<u64> {
        let mut queue = Queue::default();
        sharers.iter().for_each(|s| queue.push(ONE, *s, ()));
        let mut had = vec![0; sharers.len()];
        for _ in 0..turns {
            let (next, ()) = queue.pop().unwrap();
            had[usize::from(next.of)] += u64::from(next.cost);
            queue.push(ONE, next, ());
        }
        had
    }

    #[test]
    fn turns_are_shared_by_weight_whatever_their_size() {
        assert_eq!(shared(&[share(0, 10, 8), share(1, 10, 8)], 1_000), [4_000, 4_000]);
        let had = shared(&[share(0, 30, 8), share(1, 10, 8)], 1_000);
        assert!((5_990..=6_010).contains(&had[0]), "{had:?}");
        // One asks for 256 at a time, the other for one.
        let had = shared(&[share(0, 10, 256), share(1, 10, 1)], 10_000);
        assert!(had[0].abs_diff(had[1]) <= 256, "{had:?}");
    }

    #[test]
    fn who_comes_back_after_a_while_waits_for_one_turn_and_saves_nothing_up() {
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.push(ONE, share(0, 1, 100), ());
            queue.pop();
        }
        queue.push(ONE, share(0, 1, 100), ());
        (0..200).for_each(|_| queue.push(ONE, share(1, 1, 1), ()));
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|(s, ())| s.of).collect();
        let before = order.iter().position(|of| *of == 0).unwrap();
        assert!(before <= 101, "a thousand turns of the other were not saved up: {before}");
        assert_eq!(order[..before].len(), before);
    }

    #[test]
    fn a_smaller_class_goes_first_and_equals_in_the_order_they_came() {
        let mut queue = Queue::default();
        for (class, of) in [(2, 0), (1, 1), (0, 2), (1, 3), (0, 4)] {
            queue.push(class, share(of, 1, 1), ());
        }
        assert_eq!((queue.len(), queue.first().unwrap().0.of), (5, 2));
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|(s, ())| s.of).collect();
        assert_eq!(order, [2, 4, 1, 3, 0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_was_not_used_does_not_count() {
        let mut queue = Queue::default();
        for _ in 0..10 {
            queue.push(ONE, share(0, 1, 100), ());
            queue.pop();
            queue.refund(&share(0, 1, 99));
        }
        queue.push(ONE, share(0, 1, 1), ());
        queue.push(ONE, share(1, 1, 1), ());
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|(s, ())| s.of).collect();
        assert_eq!(order, [1, 0], "ten units were used, not a thousand");
        queue.push(ONE, share(0, 1, 20), ());
        queue.push(ONE, share(1, 1, 100), ());
        queue.push(ONE, share(1, 1, 1), ());
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop()).map(|(s, ())| s.of).collect();
        assert_eq!(order, [1, 0, 1]);
    }

    #[test]
    fn the_past_of_those_who_left_is_forgotten() {
        let mut queue: Queue<u32, ()> = Queue::default();
        for of in 0..10_000 {
            queue.push(ONE, Share { of, weight: 1, cost: 1 }, ());
            queue.push(ONE, Share { of: 10_000, weight: 1, cost: 2 }, ());
            _ = (queue.pop(), queue.pop());
        }
        assert!(queue.ends.len() <= KEPT + 1, "{}", queue.ends.len());
        queue.rest();
        assert!(queue.ends.is_empty());
    }

    proptest! {
        #[test]
        fn nobody_falls_behind_by_more_than_a_turn_of_each(
            weights in proptest::collection::vec((1..100_u32, 1..256_u32), 2..6)
        ) {
            let sharers: Vec<_> =
                (0..).zip(&weights).map(|(of, (weight, cost))| share(of, *weight, *cost)).collect();
            let had = shared(&sharers, 20_000);
            let served = |n: usize| had[n] as f64 / f64::from(sharers[n].weight);
            let slack: f64 = sharers.iter().map(|s| f64::from(s.cost) / f64::from(s.weight)).sum();
            for n in 1..sharers.len() {
                prop_assert!((served(0) - served(n)).abs() <= 2.0 * slack + 1.0, "{had:?}");
            }
        }
    }
}
