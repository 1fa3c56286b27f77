//! actix as its own documents use it, on one arbiter. A panic would end the whole arbiter, so that its supervisor can only bring
//! back an actor that stops itself.

use super::Kind;
use actix::{Actor, ActorContext, Addr, Context, Handler, Message, Supervised, Supervisor, System};
use anyhow::Result;

pub(super) struct Actix;

#[derive(Default)]
pub(super) struct Counter(u64);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {}

struct Count;
struct Ask;
struct Fail;

impl Message for Count {
    type Result = ();
}

impl Message for Ask {
    type Result = u64;
}

impl Message for Fail {
    type Result = ();
}

impl Handler<Count> for Counter {
    type Result = ();

    fn handle(&mut self, _message: Count, _context: &mut Context<Self>) {
        self.0 += 1;
    }
}

impl Handler<Ask> for Counter {
    type Result = u64;

    fn handle(&mut self, _message: Ask, _context: &mut Context<Self>) -> u64 {
        self.0
    }
}

impl Handler<Fail> for Counter {
    type Result = ();

    fn handle(&mut self, _message: Fail, context: &mut Context<Self>) {
        context.stop();
    }
}

/// Runs what needs actix around it.
pub(super) fn system<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    System::new().block_on(work)
}

impl Kind for Actix {
    type Address = Addr<Counter>;

    async fn spawn(&mut self) -> Result<Addr<Counter>> {
        Ok(Counter::default().start())
    }

    fn tell(&self, to: &Addr<Counter>) -> Result<()> {
        to.do_send(Count);
        Ok(())
    }

    async fn ask(&self, to: &Addr<Counter>) -> Result<u64> {
        Ok(to.send(Ask).await?)
    }

    async fn fail(&mut self, times: u64) -> Result<()> {
        let address = Supervisor::start(|_| Counter::default());
        for _ in 0..times {
            address.do_send(Fail);
            self.ask(&address).await?;
        }
        Ok(())
    }
}
