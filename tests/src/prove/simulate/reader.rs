//! Two who look on while the storm lasts: a reader that follows the first tenant's events over every life of the node with
//! nothing but its place, and a witness that sees no message's status go backwards.

use super::town::Town;
use super::weather::{Chance, pass};
use kabar_actors::dispatcher::{EventAsk, EventPlace, Follow};
use kabar_engine::id::{EventId, MessageId};
use kabar_engine::status::Status;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Messages the witness looks at in one turn.
const LOOKS: u64 = 6;

/// What a reader has read, in its order.
pub type Read = Arc<Mutex<Vec<EventId>>>;

/// Follows for as long as the simulation lasts.
pub async fn follow(town: Arc<Town>, tenant: usize, read: Read) {
    let mut place = EventPlace::default();
    loop {
        let alive = town.alive().await;
        let ask = EventAsk {
            tenant: town.tenants[tenant],
            after: None,
            since: None,
            kinds: None,
            session: None,
            limit: 40,
        };
        let desk = alive.node.dispatcher();
        let following = async {
            let Ok(mut follower) = desk.follow(ask, Follow::After(place.clone())).await else { return };
            while let Ok(page) = follower.next().await {
                let mut read = read.lock().expect("invariant: nobody panics with the list in hand");
                read.extend(page.events.iter().map(|event| event.id));
                // Where a client would go on after a break.
                place = page.next;
            }
        };
        tokio::select! {
            biased;
            () = alive.life.over() => {}
            () = following => {}
        }
        pass(Duration::from_millis(250)).await;
    }
}

/// Looks at some messages again and again.
pub async fn witness(town: Arc<Town>, dice: Chance) {
    let mut last: BTreeMap<MessageId, Status> = BTreeMap::new();
    loop {
        pass(Duration::from_millis(dice.between(200, 900))).await;
        let accepted = town.book.accepted();
        if accepted.is_empty() {
            continue;
        }
        let alive = town.alive().await;
        for _ in 0..LOOKS {
            let one = accepted[usize::try_from(dice.below(accepted.len() as u64)).expect("an index fits")];
            let desk = alive.node.dispatcher();
            let seen = tokio::select! {
                biased;
                seen = desk.message(one.tenant, one.message) => seen.ok(),
                () = alive.life.over() => None,
            };
            let status = match seen {
                Some(Some(view)) => view.row.status,
                Some(None) => {
                    town.book.wrong("accepted_is_kept", format!("{} is not there any more", one.message));
                    continue;
                }
                None => continue,
            };
            let before = last.insert(one.message, status).unwrap_or(status);
            if !may_follow(before, status) {
                let sentence = format!("{} was {before:?} and is {status:?}", one.message);
                town.book.wrong("status_never_backwards", sentence);
            }
        }
    }
}

/// Whether a status may be seen after another one, with one unseen between them.
fn may_follow(before: Status, now: Status) -> bool {
    let between = [Status::Unknown, Status::Sent, Status::Delivered, Status::Read, Status::Failed];
    before == now
        || before.may_become(now)
        || between.into_iter().any(|status| before.may_become(status) && status.may_become(now))
}
