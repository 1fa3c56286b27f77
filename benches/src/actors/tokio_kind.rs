//! The least an actor can be: a task that reads a channel. Its supervisor is a task that waits for its end.

use super::Kind;
use anyhow::Result;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};

pub(super) struct Tokio;

pub(super) enum Message {
    Count,
    Ask(oneshot::Sender<u64>),
    Fail,
}

pub(super) type Address = mpsc::UnboundedSender<Message>;

/// Counts until nobody can tell it anything any more.
async fn work(messages: &mut mpsc::UnboundedReceiver<Message>) {
    let mut count = 0;
    while let Some(message) = messages.recv().await {
        match message {
            Message::Count => count += 1,
            Message::Ask(reply) => _ = reply.send(count),
            Message::Fail => panic!("on purpose"),
        }
    }
}

impl Kind for Tokio {
    type Address = Address;

    async fn spawn(&mut self) -> Result<Address> {
        let (address, mut messages) = mpsc::unbounded_channel();
        tokio::spawn(async move { work(&mut messages).await });
        Ok(address)
    }

    fn tell(&self, to: &Address) -> Result<()> {
        Ok(to.send(Message::Count)?)
    }

    async fn ask(&self, to: &Address) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        to.send(Message::Ask(reply))?;
        Ok(answer.await?)
    }

    async fn fail(&mut self, times: u64) -> Result<()> {
        let (address, messages) = mpsc::unbounded_channel();
        let messages = Arc::new(Mutex::new(messages));
        tokio::spawn(async move {
            loop {
                let messages = Arc::clone(&messages);
                let task = tokio::spawn(async move { work(&mut *messages.lock().await).await });
                if task.await.is_ok() {
                    return;
                }
            }
        });
        for _ in 0..times {
            address.send(Message::Fail)?;
            self.ask(&address).await?;
        }
        Ok(())
    }
}
