//! The views of every backend against memory as the model: random changes, repeats, late flushes, closing and opening,
//! and after each of them every read is the same. Not the suite of fixed promises.

use crate::backend::Backend;
use crate::snapshot::snapshot;
use crate::world::{KINDS, Step, World};
use kabar_schema::memory::MemoryViews;
use kabar_schema::views::{ShardFlush, Views};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    /// Rows change.
    Change(Step),
    /// What changed is flushed.
    Flush,
    /// An earlier flush comes again, perhaps with the latest one in the same apply.
    Again(proptest::sample::Index, bool),
    /// The store is closed and opened.
    Reopen,
    /// Everything is read in pages of this size.
    Read(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let step = (0..KINDS, 0..4_u8, 0..8_u8, any::<u8>());
    let change = step.prop_map(|(kind, place, slot, seed)| Act::Change(Step { kind, place, slot, seed }));
    prop_oneof![
        24 => change,
        4 => Just(Act::Flush),
        2 => (any::<proptest::sample::Index>(), any::<bool>()).prop_map(|(at, with)| Act::Again(at, with)),
        1 => Just(Act::Reopen),
        1 => (1..5_usize).prop_map(Act::Read),
    ]
}

async fn run(backend: Backend, acts: Vec<Act>) {
    let mut world = World::default();
    let mut opened = backend.open().await;
    let model = MemoryViews::default();
    let mut done: Vec<Vec<ShardFlush>> = Vec::new();
    let end = [Act::Flush, Act::Reopen, Act::Read(2)];
    for act in acts.into_iter().chain(end) {
        let mut flush = None;
        match act {
            Act::Change(step) => world.step(step),
            Act::Flush => {
                done.push(world.flush());
                flush = done.last().cloned();
            }
            Act::Again(at, with_last) if !done.is_empty() => {
                let mut again = done[at.index(done.len())].clone();
                if with_last {
                    again.extend(done.last().expect("not empty").clone());
                }
                flush = Some(again);
            }
            Act::Again(..) => {}
            Act::Reopen => opened = opened.reopen().await,
            Act::Read(page) => {
                let expected = snapshot(&model, &world, page).await;
                assert_eq!(snapshot(&*opened.store.views, &world, page).await, expected);
            }
        }
        if let Some(flush) = flush {
            model.apply(flush.clone()).await.unwrap();
            opened.store.views.apply(flush).await.unwrap();
        }
    }
}

fn block_on(run: impl Future<Output = ()>) {
    let builder = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    builder.unwrap().block_on(run);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn embedded_views_are_the_model_whatever_happens(acts in proptest::collection::vec(act(), 1..160)) {
        block_on(run(Backend::Embedded, acts));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn cql_views_are_the_model_whatever_happens(acts in proptest::collection::vec(act(), 1..160)) {
        block_on(run(Backend::Cql, acts));
    }
}
