//! One actor per key, one node apart from another, one shard stopped as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kabar_runtime::{Node, NodeOptions, Refused, Supervisor};
use tokio::sync::Semaphore;

use crate::{Adder, FREE, Message, Seen, adder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn stop_handles_what_was_accepted_and_refuses_the_rest() {
    let (node, seen, gate) = (node(), Arc::<Seen>::default(), Arc::new(Semaphore::new(0)));
    let supervisor = node.supervisor(0);
    let handle = adder(&supervisor, 1, &seen).await;
    handle.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    handle.offer(Message::Stop).unwrap();
    handle.offer(Message::Add(1)).unwrap();
    gate.add_permits(1);
    settle().await;
    assert_eq!(handle.offer(Message::Add(1)), Err(Refused::Gone));
    assert_eq!((seen.handled.load(Ordering::SeqCst), seen.stopped.load(Ordering::SeqCst)), (3, 1));
    let next = adder(&supervisor, 1, &seen).await;
    next.offer(Message::Add(4)).unwrap();
    next.stop();
    assert_eq!(next.offer(Message::Add(1)), Err(Refused::Gone));
    settle().await;
    assert_eq!((seen.handled.load(Ordering::SeqCst), seen.stopped.load(Ordering::SeqCst)), (4, 2));
    assert_eq!((supervisor.children(), node.directory().count(), node.panics()), (0, 0, 0));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn two_nodes_with_the_same_keys_do_not_see_each_other() {
    let (one, other, seen) = (node(), node(), Arc::<Seen>::default());
    let handle = adder(&one.supervisor(1), 1, &seen).await;
    handle.offer(Message::Add(1)).unwrap();
    assert!(other.directory().get::<Message>(&1).is_none());
    let twin = adder(&other.supervisor(1), 1, &seen).await;
    assert_eq!((read(&handle).await, read(&twin).await), (Ok(1), Ok(0)));
    one.shutdown().await;
    assert_eq!(handle.offer(Message::Add(1)), Err(Refused::Gone));
    assert_eq!(read(&twin).await, Ok(0));
    assert_eq!((one.directory().count(), other.directory().count()), (0, 1));
    assert!(matches!(
        one.supervisor(5).activate(1, "adder", FREE, Adder::make(&seen)).await,
        Err(Refused::Gone)
    ));
    drop(other);
    settle().await;
    assert_eq!(twin.offer(Message::Add(1)), Err(Refused::Gone), "a dropped node ends its actors");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn activation_is_single_flight() {
    let node: Node<u64> = Node::new(NodeOptions::default());
    let seen = Arc::<Seen>::default();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (supervisor, seen) = (node.supervisor(0), Arc::clone(&seen));
            tokio::spawn(async move { adder(&supervisor, 1, &seen).await.offer(Message::Add(1)) })
        })
        .collect();
    for task in tasks {
        task.await.expect("no caller fails").expect("it is taken");
    }
    let handle = node.directory().get::<Message>(&1).expect("it lives");
    assert_eq!(read(&handle).await, Ok(64));
    assert_eq!(seen.made.load(Ordering::SeqCst), 1);
    assert!(node.directory().get::<u8>(&1).is_none(), "a handle for other messages is not given");
    assert_eq!(node.directory().count_by_label().get("adder"), Some(&1));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_activation_waits_until_the_ending_actor_has_stopped() {
    let (node, seen, gate) = (node(), Arc::<Seen>::default(), Arc::new(Semaphore::new(0)));
    let supervisor = node.supervisor(0);
    let handle = adder(&supervisor, 1, &seen).await;
    handle.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    handle.stop();
    let (fresh, stopped_before) = tokio::join!(adder(&supervisor, 1, &seen), async {
        settle().await;
        let made = seen.made.load(Ordering::SeqCst);
        gate.add_permits(1);
        made
    });
    assert_eq!((stopped_before, seen.stopped.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(read(&fresh).await, Ok(0));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn stop_all_stops_the_actors_of_its_shard_and_no_other() {
    let (node, seen) = (node(), Arc::<Seen>::default());
    let (gate, never) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (supervisor, elsewhere) = (node.supervisor(1), Supervisor::start(&node, 2));
    let survivor = adder(&elsewhere, 100, &seen).await;
    let mut handles = Vec::new();
    for key in 0..20 {
        handles.push(adder(&supervisor, key, &seen).await);
    }
    handles[0].offer(Message::Wait(Arc::clone(&gate))).unwrap();
    handles[0].offer(Message::Add(1)).unwrap();
    handles[1].offer(Message::Panic).unwrap();
    handles[2].offer(Message::Wait(never)).unwrap();
    settle().await;
    assert_eq!(supervisor.children(), 20);
    let start = node.clock().uptime_ms();
    let (asked, (), ()) = tokio::join!(read(&handles[0]), supervisor.stop_all(), async {
        settle().await;
        assert!(handles.iter().all(|handle| !handle.is_alive()), "doors close at once");
        gate.add_permits(1);
    });
    assert_eq!(asked, Err(Refused::Gone));
    assert_eq!(node.clock().uptime_ms() - start, 10_000, "the one that hangs is killed at the deadline");
    assert_eq!((supervisor.children(), node.tally("adder").alive, elsewhere.children()), (0, 1, 1));
    assert_eq!(seen.stopped.load(Ordering::SeqCst), 18, "all but the failed one and the killed one");
    assert!(handles.iter().all(|handle| handle.offer(Message::Add(1)) == Err(Refused::Gone)));
    assert_eq!(read(&survivor).await, Ok(0));
    let back = adder(&supervisor, 0, &seen).await;
    assert_eq!(read(&back).await, Ok(0), "the shard can be taken again");
    node.shutdown().await;
}
