//! ractor as its own documents use it: an actor with a state, and a supervisor that starts it again.

use super::Kind;
use anyhow::{Context, Result};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{mpsc, oneshot};

pub(super) struct Ractor;

pub(super) enum Message {
    Count,
    Ask(oneshot::Sender<u64>),
    Fail,
}

struct Counter;

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Count => *count += 1,
            Message::Ask(reply) => _ = reply.send(*count),
            Message::Fail => panic!("on purpose"),
        }
        Ok(())
    }
}

/// Tells who the actor is, each time it has started it.
struct Parent(mpsc::UnboundedSender<ActorRef<Message>>);

impl Parent {
    async fn start(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let (child, _task) = Actor::spawn_linked(None, Counter, (), myself.get_cell()).await?;
        let _nobody_waits = self.0.send(child);
        Ok(())
    }
}

impl Actor for Parent {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn post_start(&self, myself: ActorRef<()>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if matches!(event, SupervisionEvent::ActorFailed(..)) {
            self.start(&myself).await?;
        }
        Ok(())
    }
}

impl Kind for Ractor {
    type Address = ActorRef<Message>;

    async fn spawn(&mut self) -> Result<Self::Address> {
        Ok(Actor::spawn(None, Counter, ()).await.map_err(|error| anyhow::anyhow!("{error}"))?.0)
    }

    fn tell(&self, to: &Self::Address) -> Result<()> {
        to.send_message(Message::Count).map_err(|_| anyhow::anyhow!("the actor is gone"))
    }

    async fn ask(&self, to: &Self::Address) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        to.send_message(Message::Ask(reply)).map_err(|_| anyhow::anyhow!("the actor is gone"))?;
        Ok(answer.await?)
    }

    async fn fail(&mut self, times: u64) -> Result<()> {
        let (started, mut children) = mpsc::unbounded_channel();
        let spawned = Actor::spawn(None, Parent(started), ()).await;
        let (_parent, _task) = spawned.map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut child = children.recv().await.context("the supervisor is gone")?;
        for _ in 0..times {
            child.send_message(Message::Fail).map_err(|_| anyhow::anyhow!("the actor is gone"))?;
            child = children.recv().await.context("the supervisor is gone")?;
            self.ask(&child).await?;
        }
        Ok(())
    }
}
