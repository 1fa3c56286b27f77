//! What is taken, what is refused, and what a message costs.

use std::sync::Arc;

use kabar_runtime::{Clock, Limits, Node, NodeOptions, Refused};
use tokio::sync::Semaphore;

use crate::{Adder, FREE, Message, adder, node, read, settle};

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_with_a_retry_and_frees_when_handled() {
    let (node, seen, gate) = (node(), Arc::default(), Arc::new(Semaphore::new(0)));
    let supervisor = node.supervisor(7);
    let two = Limits { mailbox: 2, idle_ms: None };
    let handle = supervisor.activate(1, "adder", two, Adder::make(&seen)).await.unwrap();
    handle.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    handle.offer(Message::Add(1)).unwrap();
    let refused = handle.offer(Message::Add(1)).unwrap_err();
    assert!(matches!(refused, Refused::Overloaded { retry_after_ms } if retry_after_ms > 0));
    assert_eq!((handle.mailbox_len(), node.in_flight(), node.tally("adder").refusals), (2, 2, 1));
    handle.force(Message::Add(10)).expect("control messages pass the bound");
    gate.add_permits(1);
    settle().await;
    assert_eq!((handle.mailbox_len(), node.in_flight()), (0, 0));
    assert_eq!(read(&handle).await, Ok(11));
    node.shutdown().await;
    assert_eq!(node.panics(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_refuses_what_its_actors_would_take() {
    let options =
        NodeOptions { in_flight: 3.try_into().unwrap(), ..NodeOptions::with_clock(Clock::virtual_at(0)) };
    let (node, seen, gate) = (Node::new(options), Arc::default(), Arc::new(Semaphore::new(0)));
    let supervisor = node.supervisor(0);
    let (one, other) = (adder(&supervisor, 1, &seen).await, adder(&supervisor, 2, &seen).await);
    for _ in 0..3 {
        one.offer(Message::Wait(Arc::clone(&gate))).unwrap();
    }
    assert!(matches!(other.offer(Message::Add(1)), Err(Refused::Overloaded { .. })));
    assert!(matches!(
        supervisor.activate(3, "adder", FREE, Adder::make(&seen)).await,
        Err(Refused::Overloaded { .. })
    ));
    gate.add_permits(3);
    settle().await;
    other.offer(Message::Add(1)).expect("the node has room again");
    assert_eq!(read(&other).await, Ok(1));
    node.shutdown().await;
    assert_eq!(node.in_flight(), 0);
}

/// Prints what a message costs; asserts nothing about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_message_is_printed() {
    const N: u32 = 50_000;
    let node: Node<u64> =
        Node::new(NodeOptions { in_flight: (N + 10).try_into().unwrap(), ..NodeOptions::default() });
    let seen = Arc::default();
    let wide = Limits { mailbox: N + 1, idle_ms: None };
    let handle = node.supervisor(0).activate(1, "adder", wide, Adder::make(&seen)).await.unwrap();
    let start = std::time::Instant::now();
    for _ in 0..N {
        handle.offer(Message::Add(1)).unwrap();
    }
    assert_eq!(read(&handle).await, Ok(u64::from(N)));
    let tell = start.elapsed() / N;
    let start = std::time::Instant::now();
    for _ in 0..N {
        read(&handle).await.unwrap();
    }
    println!("tell {} ns, ask {} ns", tell.as_nanos(), (start.elapsed() / N).as_nanos());
    node.shutdown().await;
    assert_eq!(node.panics(), 0);
}
