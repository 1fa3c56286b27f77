//! The shared cell behind all handles of one actor: which incarnation is live, and the door in front of it.
//!
//! Every message passes the door under its read lock, and the door is closed under its write lock; that is why
//! passivation can be sure that nothing slipped in. Not the mailbox itself.

use std::any::Any;
use std::sync::Arc;

use parking_lot::RwLock;
use ractor::{ActorCell, ActorId, ActorRef, MessagingErr};

use crate::actor::Name;
use crate::admission::{Meter, Ticket};
use crate::handle::Refused;

/// Wait suggested in the moment between a panic and its supervisor's notice.
const FALLING_RETRY_MS: u64 = 10;

/// One message with its place in the bounds.
pub(crate) struct Envelope<M> {
    pub(crate) message: M,
    pub(crate) ticket: Ticket,
}

enum Door<M> {
    /// No incarnation yet, or the last one failed.
    Starting {
        retry_at: u64,
    },
    Live(ActorRef<Envelope<M>>),
    /// Told to end; `None` if there was no incarnation to tell.
    Closing(Option<ActorCell>),
    Broken {
        until: u64,
    },
    Ended,
}

/// What a supervisor needs to know of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being started or restarted.
    Starting,
    /// Takes messages.
    Live,
    /// Ending in good order.
    Closing,
    /// Put aside until the cool-down is over.
    Broken,
    /// Over.
    Ended,
}

/// A cell whose message type is erased.
pub(crate) trait AnyCell: Any + Send + Sync {
    fn name(&self) -> &Name;
    fn meter(&self) -> &Arc<Meter>;
    fn phase(&self) -> Phase;
    /// After a failure: wait for the restart at `retry_at`. False if the actor was told to end meanwhile.
    fn fall(&self, retry_at: u64) -> bool;
    /// After one failure too many. False if the actor was told to end meanwhile.
    fn give_up(&self, until: u64) -> bool;
    /// Closes the door if nothing waits and nothing runs; says whether it did.
    fn passivate(&self) -> bool;
    /// Closes the door and lets the actor handle what was accepted.
    fn close(&self);
    /// Closes the door and ends the actor after the message in hand.
    fn halt(&self);
    /// Closes the door and ends the actor now.
    fn kill(&self);
    /// The last incarnation is over.
    fn end(&self);
}

/// The cell of one actor, from its activation to its end.
pub(crate) struct Cell<M> {
    name: Name,
    meter: Arc<Meter>,
    door: RwLock<Door<M>>,
}

impl<M: Send + 'static> Cell<M> {
    pub(crate) fn new(name: Name, meter: Meter) -> Arc<Self> {
        let retry_at = meter.label.clock.uptime_ms();
        Arc::new(Self { name, meter: Arc::new(meter), door: RwLock::new(Door::Starting { retry_at }) })
    }

    /// Opens the door to a new incarnation. False if the actor was told to end before it started.
    pub(crate) fn open(&self, actor: ActorRef<Envelope<M>>) -> bool {
        let mut door = self.door.write();
        let starting = matches!(*door, Door::Starting { .. });
        if starting {
            self.meter.touch();
            *door = Door::Live(actor);
        }
        starting
    }

    /// Puts a message into the mailbox of the live incarnation (`only`: of that incarnation).
    pub(crate) fn push(&self, message: M, bounded: bool, only: Option<ActorId>) -> Result<(), (Refused, M)> {
        let label = &self.meter.label;
        let door = self.door.read();
        let actor = match &*door {
            Door::Live(actor) => actor,
            Door::Starting { .. } if only.is_some() => return Err((Refused::Gone, message)),
            Door::Starting { retry_at } => {
                let wait = retry_at.saturating_sub(label.clock.uptime_ms());
                return Err((label.refuse("restarting", wait), message));
            }
            Door::Broken { until } => {
                let wait = until.saturating_sub(label.clock.uptime_ms());
                // After the cool-down the caller shall activate the key again.
                let refused = if wait == 0 { label.refuse_gone() } else { label.refuse("broken", wait) };
                return Err((refused, message));
            }
            Door::Closing(_) | Door::Ended => return Err((label.refuse_gone(), message)),
        };
        if only.is_some_and(|incarnation| incarnation != actor.get_id()) {
            return Err((Refused::Gone, message));
        }
        let ticket = match self.meter.admit(bounded) {
            Ok(ticket) => ticket,
            Err(refused) => return Err((refused, message)),
        };
        // The read lock is held over the send: a door that closes later counts this message.
        actor.send_message(Envelope { message, ticket }).map_err(|error| match error {
            MessagingErr::SendErr(envelope) => {
                (label.refuse("restarting", FALLING_RETRY_MS), envelope.message)
            }
            MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => {
                unreachable!("invariant: the cell and its actor take the same messages, boxing cannot fail")
            }
        })
    }

    /// Closes the door; `then` is told the running incarnation, if any.
    fn shut(&self, then: impl FnOnce(&ActorCell)) {
        let mut door = self.door.write();
        let actor = match &*door {
            Door::Live(actor) => Some(actor.get_cell()),
            Door::Closing(actor) => actor.clone(),
            Door::Starting { .. } => None,
            Door::Broken { .. } | Door::Ended => return,
        };
        if let Some(actor) = &actor {
            then(actor);
        }
        *door = Door::Closing(actor);
    }

    fn fail_into(&self, next: Door<M>) -> bool {
        let mut door = self.door.write();
        if !matches!(*door, Door::Live(_) | Door::Starting { .. }) {
            return false;
        }
        let before = std::mem::replace(&mut *door, next);
        drop(door);
        // With the last reference a straggling message may be dropped, and its drop is somebody else's code.
        drop(before);
        true
    }
}

impl<M: Send + 'static> AnyCell for Cell<M> {
    fn name(&self) -> &Name {
        &self.name
    }

    fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    fn phase(&self) -> Phase {
        match *self.door.read() {
            Door::Starting { .. } => Phase::Starting,
            Door::Live(_) => Phase::Live,
            Door::Closing(_) => Phase::Closing,
            Door::Broken { .. } => Phase::Broken,
            Door::Ended => Phase::Ended,
        }
    }

    fn fall(&self, retry_at: u64) -> bool {
        self.fail_into(Door::Starting { retry_at })
    }

    fn give_up(&self, until: u64) -> bool {
        self.fail_into(Door::Broken { until })
    }

    fn passivate(&self) -> bool {
        let mut door = self.door.write();
        let Door::Live(actor) = &*door else { return false };
        if self.meter.pending() > 0 {
            return false;
        }
        let actor = actor.get_cell();
        let _dead_already = actor.drain();
        *door = Door::Closing(Some(actor));
        true
    }

    fn close(&self) {
        self.shut(|actor| {
            let _dead_already = actor.drain();
        });
    }

    fn halt(&self) {
        self.shut(|actor| actor.stop(None));
    }

    fn kill(&self) {
        self.shut(ActorCell::kill);
    }

    fn end(&self) {
        let before = std::mem::replace(&mut *self.door.write(), Door::Ended);
        drop(before);
    }
}
