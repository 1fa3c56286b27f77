//! The promises of the runtime, from the outside: the actor the tests use and what they see of it.

mod admission;
mod compute;
mod failure;
mod isolation;
mod residence;
mod timing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use kabar_runtime::{
    Actor, Clock, Context, Handle, Limits, Next, Node, NodeOptions, Refused, Reply, Supervisor, Timer,
};
use tokio::sync::Semaphore;

/// Wall-clock deadline for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the tests see of their actors.
#[derive(Default)]
struct Seen {
    made: AtomicU32,
    started: AtomicU32,
    stopped: AtomicU32,
    handled: AtomicU64,
}

enum Message {
    /// Adds and counts.
    Add(u64),
    Read(Reply<u64>),
    /// Takes a permit of the gate before it is done.
    Wait(Arc<Semaphore>),
    Later(u64, u64),
    /// Drops its timers.
    Cancel,
    SelfAdd(u64),
    Panic,
    /// A question whose reply is never sent.
    PanicAsked(Reply<u64>),
    Stop,
}

/// Adds up numbers.
struct Adder {
    seen: Arc<Seen>,
    sum: u64,
    timers: Vec<Timer>,
    panics_at_start: bool,
}

impl Adder {
    fn make(seen: &Arc<Seen>) -> impl Fn() -> Self + Send + Sync + 'static {
        let seen = Arc::clone(seen);
        move || {
            seen.made.fetch_add(1, Ordering::SeqCst);
            Self { seen: Arc::clone(&seen), sum: 0, timers: Vec::new(), panics_at_start: false }
        }
    }
}

impl Actor for Adder {
    type Message = Message;

    async fn started(&mut self, _ctx: &mut Context<Message>) -> Next {
        self.seen.started.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics_at_start, "on purpose, at the start");
        Next::Continue
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Message>) -> Next {
        self.seen.handled.fetch_add(1, Ordering::SeqCst);
        match message {
            Message::Add(n) => self.sum += n,
            Message::Read(reply) => reply.send(self.sum),
            Message::Wait(gate) => gate.acquire().await.expect("the gate is never closed").forget(),
            Message::Later(ms, n) => self.timers.push(ctx.after_ms(ms, Message::Add(n))),
            Message::Cancel => self.timers.clear(),
            Message::SelfAdd(n) => ctx.tell_self(Message::Add(n)),
            Message::Panic => panic!("on purpose"),
            Message::PanicAsked(_reply) => panic!("on purpose, asked"),
            Message::Stop => return Next::Stop,
        }
        Next::Continue
    }

    async fn stopped(&mut self) {
        self.seen.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

const FREE: Limits = Limits { mailbox: 1_000, idle_ms: None };

fn limits(mailbox: u32, idle_ms: u64) -> Limits {
    Limits { mailbox, idle_ms: Some(idle_ms) }
}

fn node() -> Node<u64> {
    Node::new(NodeOptions::with_clock(Clock::virtual_at(1_700_000_000_000)))
}

async fn adder(supervisor: &Supervisor<u64>, key: u64, seen: &Arc<Seen>) -> Handle<Message> {
    supervisor.activate(key, "adder", FREE, Adder::make(seen)).await.expect("the adder starts")
}

async fn read(handle: &Handle<Message>) -> Result<u64, Refused> {
    handle.ask(Message::Read).await
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("not within the deadline: {what}"));
}

/// Lets virtual time pass: under a paused clock nobody waits for real.
async fn pass(time: Duration) {
    let ms = u64::try_from(time.as_millis()).expect("invariant: tests pass seconds, not ages");
    Clock::virtual_at(0).sleep_ms(ms).await;
}
