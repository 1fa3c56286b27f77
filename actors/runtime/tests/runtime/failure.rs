//! Panics, restarts and what others see of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_runtime::{Clock, Node, NodeOptions, Refused, RestartPolicy};
use tokio::sync::Semaphore;

use crate::{Adder, FREE, Message, Seen, adder, node, pass, read, settle, until};

#[tokio::test(start_paused = true)]
async fn a_panicking_actor_comes_back_fresh_and_its_handle_stays_valid() {
    let (node, seen) = (node(), Arc::<Seen>::default());
    let supervisor = node.supervisor(3);
    let handle = adder(&supervisor, 1, &seen).await;
    handle.offer(Message::Add(5)).unwrap();
    assert_eq!(read(&handle).await, Ok(5));
    handle.offer(Message::Panic).unwrap();
    handle.offer(Message::Add(100)).unwrap();
    settle().await;
    assert_eq!(
        (node.panics(), node.in_flight()),
        (1, 0),
        "the waiting message is lost and its place is free"
    );
    let refused = handle.offer(Message::Add(1)).unwrap_err();
    assert!(matches!(refused, Refused::Overloaded { retry_after_ms: 1..=13 }), "{refused:?}");
    assert!(!handle.is_alive());
    pass(Duration::from_millis(14)).await;
    assert_eq!(read(&handle).await, Ok(0), "fresh state, same handle");
    assert_eq!((seen.made.load(Ordering::SeqCst), seen.stopped.load(Ordering::SeqCst)), (2, 0));
    assert_eq!((node.tally("adder").restarts, node.tally("adder").alive), (1, 1));
    let again = adder(&supervisor, 1, &seen).await;
    again.offer(Message::Add(2)).unwrap();
    assert_eq!(read(&handle).await, Ok(2));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_keeps_failing_is_broken_for_the_cool_down_and_may_then_start() {
    let restarts = RestartPolicy { limit: 3, ..RestartPolicy::default() };
    let node = Node::new(NodeOptions { restarts, ..NodeOptions::with_clock(Clock::virtual_at(0)) });
    let (supervisor, seen) = (node.supervisor(0), Arc::<Seen>::default());
    let handle = adder(&supervisor, 1, &seen).await;
    for _ in 0..4 {
        until("the actor lives", || handle.is_alive()).await;
        handle.offer(Message::Panic).unwrap();
        settle().await;
        pass(Duration::from_millis(100)).await;
    }
    assert_eq!((node.panics(), node.tally("adder").restarts, node.tally("adder").broken), (4, 3, 1));
    assert_eq!((node.tally("adder").alive, node.directory().count()), (0, 0));
    let refused = supervisor.activate(1, "adder", FREE, Adder::make(&seen)).await.unwrap_err();
    assert!(matches!(refused, Refused::Overloaded { retry_after_ms: 29_000..=30_000 }), "{refused:?}");
    assert!(matches!(handle.offer(Message::Add(1)), Err(Refused::Overloaded { .. })));
    pass(Duration::from_secs(30)).await;
    assert_eq!(handle.offer(Message::Add(1)), Err(Refused::Gone), "the old handle asks for an activation");
    assert_eq!(supervisor.children(), 0, "the key is forgotten");
    let fresh = adder(&supervisor, 1, &seen).await;
    assert_eq!(read(&fresh).await, Ok(0));
    fresh.offer(Message::Panic).unwrap();
    pass(Duration::from_millis(20)).await;
    assert_eq!(read(&fresh).await, Ok(0), "its restarts are counted from the start");
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_started_and_in_the_factory_is_a_failure_like_any_other() {
    let (node, seen) = (node(), Arc::<Seen>::default());
    let supervisor = node.supervisor(0);
    let make = {
        let seen = Arc::clone(&seen);
        move || {
            let made = seen.made.fetch_add(1, Ordering::SeqCst);
            assert!(made != 1, "on purpose, in the factory");
            Adder { seen: Arc::clone(&seen), sum: 0, timers: Vec::new(), panics_at_start: made == 0 }
        }
    };
    let handle = supervisor.activate(1, "adder", FREE, make).await.unwrap();
    pass(Duration::from_millis(60)).await;
    assert_eq!(read(&handle).await, Ok(0));
    assert_eq!((node.panics(), seen.made.load(Ordering::SeqCst)), (2, 3));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_ask_whose_actor_dies_answers_gone() {
    let (node, seen, gate) = (node(), Arc::default(), Arc::new(Semaphore::new(0)));
    let supervisor = node.supervisor(0);
    let handle = adder(&supervisor, 1, &seen).await;
    assert_eq!(handle.ask(Message::PanicAsked).await, Err(Refused::Gone));
    pass(Duration::from_millis(20)).await;
    // Also one that waits behind the panic, and one that waits behind a kill.
    handle.offer(Message::Panic).unwrap();
    assert_eq!(read(&handle).await, Err(Refused::Gone));
    pass(Duration::from_millis(50)).await;
    handle.offer(Message::Wait(gate)).unwrap();
    let (asked, ()) = tokio::join!(read(&handle), async {
        settle().await;
        handle.kill();
    });
    assert_eq!(asked, Err(Refused::Gone));
    assert_eq!(read(&handle).await, Err(Refused::Gone));
    settle().await;
    assert_eq!((node.tally("adder").alive, node.tally("adder").restarts), (0, 2), "killed is not restarted");
    node.shutdown().await;
}
