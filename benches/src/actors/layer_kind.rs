//! Kabar's own layer: ractor with a directory, admission and supervision. Its restart is a policy of pauses, here of none.

use super::Kind;
use anyhow::Result;
use kabar_runtime::{
    Actor, Clock, Context, Handle, Limits, Next, Node, NodeOptions, Refused, Reply, RestartPolicy,
};

pub(super) struct Layer {
    node: Node<u64>,
    next: u64,
}

pub(super) enum Message {
    Count,
    Ask(Reply<u64>),
    Fail,
}

#[derive(Default)]
struct Counter(u64);

impl Actor for Counter {
    type Message = Message;

    async fn handle(&mut self, message: Message, _context: &mut Context<Message>) -> Next {
        match message {
            Message::Count => self.0 += 1,
            Message::Ask(reply) => reply.send(self.0),
            Message::Fail => panic!("on purpose"),
        }
        Next::Continue
    }
}

impl Layer {
    pub(super) fn new() -> Self {
        let restarts =
            RestartPolicy { first_ms: 0, cap_ms: 0, limit: u32::MAX, window_ms: 1, cool_down_ms: 0 };
        let options =
            NodeOptions { restarts, max_resident: usize::MAX, ..NodeOptions::with_clock(Clock::system()) };
        Self { node: Node::new(options), next: 0 }
    }
}

impl Kind for Layer {
    type Address = Handle<Message>;

    async fn spawn(&mut self) -> Result<Handle<Message>> {
        self.next += 1;
        let limits = Limits { mailbox: 4_096, idle_ms: None };
        Ok(self.node.supervisor(0).activate(self.next, "count", limits, Counter::default).await?)
    }

    fn tell(&self, to: &Handle<Message>) -> Result<()> {
        Ok(to.offer(Message::Count)?)
    }

    async fn ask(&self, to: &Handle<Message>) -> Result<u64> {
        Ok(to.ask(Message::Ask).await?)
    }

    async fn fail(&mut self, times: u64) -> Result<()> {
        let handle = self.spawn().await?;
        for _ in 0..times {
            handle.offer(Message::Fail)?;
            loop {
                match handle.ask(Message::Ask).await {
                    Ok(_) => break,
                    // Gone: it waited in the mailbox of the one that failed. Overloaded: it is being started.
                    Err(Refused::Gone | Refused::Overloaded { .. }) => tokio::task::yield_now().await,
                }
            }
        }
        Ok(())
    }
}
