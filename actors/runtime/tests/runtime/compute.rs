//! The compute pool from the outside; its faults are tested beside it.

use kabar_runtime::{ComputeError, Node, NodeOptions};

use crate::node;

#[tokio::test(start_paused = true)]
async fn compute_jobs_run_inline_under_a_virtual_clock() {
    let node = node();
    let here = std::thread::current().id();
    assert_eq!(node.compute().run("test", move || std::thread::current().id() == here).await, Ok(true));
    assert_eq!(
        node.compute().run("test", || panic!("on purpose")).await,
        Err::<(), _>(ComputeError::Panicked)
    );
    assert_eq!((node.compute().generations(), node.compute().panics(), node.panics()), (0, 1, 0));
    node.shutdown().await;
    assert_eq!(node.compute().run("test", || ()).await, Err(ComputeError::Closed));
}

#[tokio::test]
async fn compute_jobs_run_off_the_tokio_threads_and_survive_a_panic() {
    let node: Node<u64> = Node::new(NodeOptions::default());
    let here = std::thread::current().id();
    let compute = node.compute().clone();
    let away = compute.run("test", move || (std::thread::current().id() != here, tokio_is_absent())).await;
    assert_eq!(away, Ok((true, true)));
    for _ in 0..10 {
        assert_eq!(compute.run("test", || panic!("on purpose")).await, Err::<(), _>(ComputeError::Panicked));
    }
    let many = futures::future::join_all((0..500_u64).map(|n| compute.run("test", move || n * 2))).await;
    assert!(many.into_iter().enumerate().all(|(n, doubled)| doubled == Ok(n as u64 * 2)));
    assert_eq!((compute.panics(), compute.generations()), (10, 1));
    node.shutdown().await;
    node.shutdown().await;
}

fn tokio_is_absent() -> bool {
    tokio::runtime::Handle::try_current().is_err()
}
