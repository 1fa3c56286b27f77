//! Timers and clocks.

use std::sync::Arc;
use std::time::Duration;

use kabar_runtime::{Actor, Clock, Context, Next, Timer};
use tokio::sync::watch;

use crate::{FREE, Message, Seen, adder, node, pass, read, settle};

#[tokio::test(start_paused = true)]
async fn timers_fire_when_due_and_die_with_their_actor() {
    let (node, seen) = (node(), Arc::<Seen>::default());
    let supervisor = node.supervisor(0);
    let handle = adder(&supervisor, 1, &seen).await;
    handle.offer(Message::Later(1_000, 7)).unwrap();
    handle.offer(Message::SelfAdd(1)).unwrap();
    settle().await;
    assert_eq!(read(&handle).await, Ok(1));
    tokio::time::advance(Duration::from_millis(999)).await;
    settle().await;
    assert_eq!(read(&handle).await, Ok(1));
    tokio::time::advance(Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(read(&handle).await, Ok(8));
    handle.offer(Message::Later(1_000, 100)).unwrap();
    handle.offer(Message::Cancel).unwrap();
    pass(Duration::from_secs(10)).await;
    assert_eq!(read(&handle).await, Ok(8), "a dropped timer is cancelled");
    handle.offer(Message::Later(1_000, 100)).unwrap();
    handle.offer(Message::Panic).unwrap();
    pass(Duration::from_secs(10)).await;
    assert_eq!(read(&handle).await, Ok(0), "the next incarnation does not hear it");
    node.shutdown().await;
}

struct Leaky(watch::Sender<u64>, Arc<parking_lot::Mutex<Vec<Timer>>>);

impl Actor for Leaky {
    type Message = bool;

    async fn handle(&mut self, fails: bool, ctx: &mut Context<bool>) -> Next {
        self.0.send_modify(|count| *count += 1);
        // The timer is kept elsewhere, so that its drop does not hide the rule.
        self.1.lock().push(ctx.after_ms(500, false));
        assert!(!fails, "on purpose");
        Next::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_kept_elsewhere_does_not_reach_the_next_incarnation() {
    let node = node();
    let (count, timers) = (watch::Sender::new(0), Arc::<parking_lot::Mutex<Vec<Timer>>>::default());
    let make = {
        let (count, timers) = (count.clone(), Arc::clone(&timers));
        move || Leaky(count.clone(), Arc::clone(&timers))
    };
    let handle = node.supervisor(0).activate(1, "leaky", FREE, make).await.unwrap();
    handle.offer(true).unwrap();
    pass(Duration::from_secs(5)).await;
    assert!(handle.is_alive());
    let handled = *count.borrow();
    let done: Vec<_> = timers.lock().iter().map(Timer::is_done).collect();
    assert_eq!((handled, done), (1, vec![true]));
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_virtual_clock_follows_tokio_time_and_a_system_clock_the_wall() {
    let clock = Clock::virtual_at(1_000_000);
    assert_eq!((clock.now_ms(), clock.is_virtual()), (1_000_000, true));
    tokio::time::advance(Duration::from_millis(250)).await;
    assert_eq!((clock.now_ms(), clock.clone().now_ms(), clock.uptime_ms()), (1_000_250, 1_000_250, 250));
    clock.sleep_ms(750).await;
    clock.sleep_until_ms(1_005_000).await;
    assert_eq!(clock.now_ms(), 1_005_000);
    clock.sleep_until_ms(0).await;
    assert_eq!(clock.now_ms(), 1_005_000);
    let wall = Clock::system();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::try_from(wall.now_ms()).unwrap().abs_diff(now) < 10_000 && !wall.is_virtual());
}
