//! The wrapper that fails on demand: that it fails as a real store would. Faults of views are used in `model`.

use crate::entries::{check, entries, fence, grow, read_all};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, Journal};
use kabar_schema::memory::MemoryJournal;
use kabar_schema::memory::fault::{Fault, FaultJournal, Faults};
use std::sync::Arc;

#[tokio::test]
async fn a_faulty_append_says_what_it_should_and_did_what_it_says() {
    let faults = Faults::none();
    let journal = FaultJournal::new(Arc::new(MemoryJournal::new()), Arc::clone(&faults));
    let mut tip = Position(0);
    let cases = [
        (Fault::Unavailable, StoreError::Unavailable, 0),
        (Fault::UnknownLost, StoreError::Unknown, 0),
        (Fault::UnknownApplied, StoreError::Unknown, 2),
        (Fault::Torn { rows: 1 }, StoreError::Unknown, 0),
        (Fault::Fenced { current: 9 }, StoreError::Fenced { current: 9 }, 0),
    ];
    for (epoch, (fault, answer, applied)) in (1..).zip(cases) {
        assert_eq!(journal.open(fence(1, epoch)).await, Ok(tip));
        faults.after(1, fault);
        tip = grow(&journal, fence(1, epoch), tip, 3).await.unwrap();
        assert_eq!(grow(&journal, fence(1, epoch), tip, 2).await, Err(answer), "{fault:?}");
        let later = grow(&journal, fence(1, epoch), tip, 1).await;
        assert_eq!(later, Err(StoreError::Unavailable), "{fault:?}: nothing follows a failed append");
        tip = tip.plus(applied);
        let found = check(&read_all(&journal).await, &Cursor::default()).unwrap();
        assert_eq!(found[&ShardId(1)], tip, "{fault:?}");
    }
}

#[tokio::test]
async fn a_held_answer_waits_until_it_is_released() {
    let faults = Faults::none();
    let journal = FaultJournal::new(Arc::new(MemoryJournal::new()), Arc::clone(&faults));
    journal.open(fence(1, 1)).await.unwrap();
    faults.hold();
    let mut held = journal.append(fence(1, 1), Position(1), entries(ShardId(1), Position(1), 2));
    assert!(futures::poll!(&mut held).is_pending());
    faults.release();
    assert_eq!(held.await, Ok(()));
}

#[tokio::test]
async fn the_same_seed_fails_at_the_same_calls() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let faults = Faults::seeded(seed, 4, vec![Fault::Unavailable, Fault::UnknownLost]);
        let journal = FaultJournal::new(Arc::new(MemoryJournal::new()), faults);
        let (mut tip, mut answers) = (Position(0), Vec::new());
        for epoch in 1..60 {
            journal.open(fence(1, epoch)).await.unwrap();
            let answer = grow(&journal, fence(1, epoch), tip, 1).await;
            tip = answer.unwrap_or(tip);
            answers.push(answer);
        }
        assert!(answers.iter().any(Result::is_err) && answers.iter().any(Result::is_ok));
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
