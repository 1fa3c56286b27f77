//! Passivation: who leaves when, and that nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kabar_runtime::{Clock, Node, NodeOptions, Refused};
use tokio::sync::Semaphore;

use crate::{Adder, Message, Seen, adder, limits, node, pass, read, settle, until};

#[tokio::test(start_paused = true)]
async fn an_idle_actor_is_passivated_and_activated_again() {
    let (node, seen) = (node(), Arc::<Seen>::default());
    let supervisor = node.supervisor(0);
    let start = || supervisor.activate(1, "adder", limits(8, 1_000), Adder::make(&seen));
    let handle = start().await.unwrap();
    pass(Duration::from_millis(900)).await;
    handle.offer(Message::Add(1)).unwrap();
    pass(Duration::from_millis(900)).await;
    assert!(handle.is_alive(), "a message starts the idle time again");
    pass(Duration::from_millis(101)).await;
    assert_eq!(handle.offer(Message::Add(1)), Err(Refused::Gone));
    assert_eq!((node.tally("adder").alive, seen.stopped.load(Ordering::SeqCst)), (0, 1));
    let again = start().await.unwrap();
    assert_eq!(read(&again).await, Ok(0));
    // An actor with a message in hand is not idle, however long it takes.
    let gate = Arc::new(Semaphore::new(0));
    again.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    pass(Duration::from_secs(60)).await;
    assert!(again.is_alive());
    gate.add_permits(1);
    assert_eq!(read(&again).await, Ok(0));
    node.shutdown().await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passivation_never_loses_an_offered_message() {
    const KEYS: u64 = 8;
    const SENDERS: u64 = 4;
    const EACH: u64 = 4_000;
    let node: Node<u64> = Node::new(NodeOptions { max_resident: 3, ..NodeOptions::default() });
    let seen = Arc::<Seen>::default();
    let accepted = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (node, seen, accepted) = (node.clone(), Arc::clone(&seen), Arc::clone(&accepted));
            tokio::spawn(async move {
                for n in 0..EACH {
                    let key = (n * 7 + sender) % KEYS;
                    let supervisor = node.supervisor(u16::try_from(key % 2).unwrap());
                    let sent = supervisor
                        .deliver(key, "adder", limits(64, 1), Adder::make(&seen), Message::Add(1))
                        .await;
                    match sent {
                        Ok(()) => drop(accepted.fetch_add(1, Ordering::SeqCst)),
                        Err(Refused::Overloaded { .. }) => tokio::task::yield_now().await,
                        Err(Refused::Gone) => panic!("deliver activates again, it is never gone"),
                    }
                    // Races with the door from the outside too, without waiting for a clock.
                    if n % 3 == 0
                        && let Some(handle) = node.directory().get::<Message>(&key)
                    {
                        handle.passivate();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no sender fails");
    }
    until("everything accepted is handled", || node.in_flight() == 0).await;
    assert_eq!(seen.handled.load(Ordering::SeqCst), accepted.load(Ordering::SeqCst));
    assert!(accepted.load(Ordering::SeqCst) > SENDERS * EACH / 4, "most messages pass");
    assert!(seen.made.load(Ordering::SeqCst) > 100, "many actors came and went");
    node.shutdown().await;
    assert_eq!((node.panics(), node.tally("adder").alive, node.directory().count()), (0, 0, 0));
    assert_eq!(seen.started.load(Ordering::SeqCst), seen.stopped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn the_longest_quiet_actor_leaves_when_a_label_is_full() {
    let max_resident_by_label = [("adder", 2)].into();
    let node =
        Node::new(NodeOptions { max_resident_by_label, ..NodeOptions::with_clock(Clock::virtual_at(0)) });
    let (seen, gate) = (Arc::<Seen>::default(), Arc::new(Semaphore::new(0)));
    let start = |key: u64| {
        let supervisor = node.supervisor(u16::try_from(key).unwrap());
        let make = Adder::make(&seen);
        async move { supervisor.activate(key, "adder", limits(8, 3_600_000), make).await }
    };
    let (one, two) = (start(1).await.unwrap(), start(2).await.unwrap());
    tokio::time::advance(Duration::from_millis(10)).await;
    assert_eq!(read(&one).await, Ok(0));
    tokio::time::advance(Duration::from_millis(10)).await;
    let three = start(3).await.unwrap();
    assert_eq!((one.is_alive(), two.is_alive(), three.is_alive()), (true, false, true));
    settle().await;
    assert_eq!((node.tally("adder").alive, seen.stopped.load(Ordering::SeqCst)), (2, 1));
    // Busy actors do not leave: the newcomer is refused instead.
    one.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    three.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    assert!(matches!(start(4).await, Err(Refused::Overloaded { .. })));
    // Actors without an idle limit are not counted.
    adder(&node.supervisor(9), 9, &seen).await;
    gate.add_permits(2);
    settle().await;
    start(4).await.expect("somebody may leave now");
    node.shutdown().await;
}
