//! What a simulation is made of besides the house: dice of the seed, the storm that ends in calm, and a life of the node,
//! after whose end nothing of it reaches the store or the provider any more.

use kabar_actors::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Virtual time passes: the simulation's clock stands still but for this.
pub async fn pass(time: Duration) {
    Clock::virtual_at(0).sleep_ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).await;
}

/// Dice of one concern: what happens elsewhere does not change what they show.
pub struct Chance(Mutex<StdRng>);

impl Chance {
    /// The dice of a seed for one concern.
    pub fn new(seed: u64, concern: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ concern)))
    }

    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.0.lock().expect("invariant: nobody panics with the dice in hand").random_range(0..n.max(1))
    }

    /// A number from `a` to `b`.
    pub fn between(&self, a: u64, b: u64) -> u64 {
        a + self.below(b - a + 1)
    }

    /// Whether one of `n` cases comes; never when there are none.
    pub fn one_in(&self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("an index fits")]
    }
}

/// How bad it is. In one case of so many.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// An append fails.
    pub append: u64,
    /// A flush of the views fails or is torn.
    pub flush: u64,
    /// A record or a chunk is not written.
    pub record: u64,
    /// A row is not read.
    pub read: u64,
    /// What a start reads is not read.
    pub boot: u64,
    /// A call to the provider meets something out of the ordinary.
    pub call: u64,
}

/// The storm, until it is over.
pub struct Weather {
    rates: Rates,
    calm: AtomicBool,
    /// Rung where a kill would hurt most.
    doom: Notify,
}

impl Weather {
    /// A storm that begins now.
    pub fn new(rates: Rates) -> Self {
        Self { rates, calm: AtomicBool::new(false), doom: Notify::new() }
    }

    /// From now on nothing goes wrong by itself.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Release);
    }

    /// Whether nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    /// A kill would hurt now.
    pub fn doom(&self) {
        self.doom.notify_one();
    }

    /// Returns when one would.
    pub async fn doomed(&self) {
        self.doom.notified().await;
    }

    /// Whether this one goes wrong.
    pub fn strikes(&self, chance: &Chance, rate: impl Fn(&Rates) -> u64) -> bool {
        !self.is_calm() && chance.one_in(rate(&self.rates))
    }
}

/// One life of the node, from its start to its kill.
pub struct Life {
    over: AtomicBool,
    end: Notify,
    calls: AtomicUsize,
}

/// Counts a call while it is under way.
pub struct Calling<'a>(&'a AtomicUsize);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Life {
    /// A life that begins.
    pub fn begin() -> Self {
        Self { over: AtomicBool::new(false), end: Notify::new(), calls: AtomicUsize::new(0) }
    }

    /// It is over: whoever waits for the store or the provider in it waits for ever.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.end.notify_waiters();
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Returns when it is over.
    pub async fn over(&self) {
        let mut end = pin!(self.end.notified());
        end.as_mut().enable();
        if !self.is_over() {
            end.await;
        }
    }

    /// A call to the provider begins.
    pub fn call(&self) -> Calling<'_> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        Calling(&self.calls)
    }

    /// Whether no call is under way.
    pub fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Acquire) == 0
    }

    /// Goes on at once, or never.
    pub async fn live(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }
}
