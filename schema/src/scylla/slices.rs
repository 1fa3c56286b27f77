//! Lists that are spread over sixteen partitions, and how they are read as one in the order of their keys. Not what
//! is in them.

use crate::error::StoreError;
use futures::future::try_join_all;
use kabar_engine::address::Address;
use kabar_engine::id::{SessionId, ShardId, TenantId, hash64};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Slices of a list; for ever, like the hash below.
pub(super) const SLICES: i16 = 16;
/// So many rows are asked of a slice at least.
const FEW: usize = 16;

fn of(hash: ShardId) -> i16 {
    i16::from(hash.0) % SLICES
}

/// The slice of a key that begins in its tenant's partitions.
pub(super) fn of_key(key: &str) -> i16 {
    let slice = hash64(key.as_bytes()) % u64::from(SLICES.unsigned_abs());
    i16::try_from(slice).expect("invariant: less than sixteen")
}

/// The slice of an address.
pub(super) fn of_address(tenant: TenantId, address: &Address) -> i16 {
    of(ShardId::of_address(tenant, address))
}

/// The slice of an id. Ids grow with time: their low bits alone would put neighbours together.
pub(super) fn of_id(tenant: TenantId, id: u64) -> i16 {
    of(ShardId::of_session(tenant, SessionId(id)))
}

/// What is at hand of a slice.
struct Slice<K, R> {
    rows: VecDeque<(K, R)>,
    last: Option<K>,
    /// Whether the store may have more behind `last`.
    more: bool,
}

impl<K: Clone, R> Slice<K, R> {
    fn of(rows: Vec<(K, R)>, asked: usize) -> Self {
        Self { last: rows.last().map(|(key, _)| key.clone()), more: rows.len() >= asked, rows: rows.into() }
    }
}

/// The first `limit` rows of all slices in the order of their keys, behind `after`. `fetch(slice, after, count)`
/// gives the next rows of one slice in the same order; each is asked for a small page first, and again only when
/// it ran dry.
pub(super) async fn merge<K, R, F, A>(
    after: Option<K>,
    limit: usize,
    fetch: F,
) -> Result<Vec<(K, R)>, StoreError>
where
    K: Ord + Clone,
    F: Fn(i16, Option<K>, usize) -> A,
    A: Future<Output = Result<Vec<(K, R)>, StoreError>>,
{
    if limit == 0 {
        return Ok(Vec::new());
    }
    let asked = limit.min(FEW.max(limit / 8));
    let first = try_join_all((0..SLICES).map(|slice| fetch(slice, after.clone(), asked))).await?;
    let mut slices: Vec<Slice<K, R>> = first.into_iter().map(|rows| Slice::of(rows, asked)).collect();
    let head = |at: usize, slice: &Slice<K, R>| slice.rows.front().map(|(key, _)| Reverse((key.clone(), at)));
    let mut heads: BinaryHeap<_> = slices.iter().enumerate().filter_map(|(at, s)| head(at, s)).collect();
    let mut merged = Vec::with_capacity(limit.min(1_024));
    while let Some(Reverse((_, at))) = heads.pop() {
        let slice = &mut slices[at];
        merged.extend(slice.rows.pop_front());
        if merged.len() == limit {
            break;
        }
        if slice.rows.is_empty() && slice.more {
            let number = i16::try_from(at).expect("invariant: there are sixteen slices");
            *slice = Slice::of(fetch(number, slice.last.clone(), asked).await?, asked);
        }
        heads.extend(head(at, slice));
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    #[test]
    fn slices_are_golden() {
        // Another slice would hide every row that is stored: these values never change.
        let phone = |n: u32| Address::phone_digits(&format!("62812{n:08}")).unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| of_address(TenantId(7), &phone(n))), ADDRESSES);
        assert_eq!([1, 2, 1 << 22, u64::MAX >> 1].map(|id| of_id(TenantId(7), id)), IDS);
    }

    #[test]
    fn slices_of_keys_are_golden() {
        let keys = ["1:6281234567890", "1:6281234567891", "2:ID.7", "3:42"];
        assert_eq!(keys.map(of_key), KEYS);
    }
    const KEYS: [i16; 4] = [14, 0, 2, 2];
    const ADDRESSES: [i16; 4] = [5, 15, 15, 9];
    const IDS: [i16; 4] = [11, 7, 15, 15];

    type Rows = BTreeMap<i16, Vec<u32>>;

    async fn read(rows: &Rows, after: Option<u32>, limit: usize, asked: &Cell<usize>) -> Vec<(u32, i16)> {
        let fetch = |slice: i16, after: Option<u32>, count: usize| {
            asked.set(asked.get() + 1);
            let list = rows.get(&slice).into_iter().flatten().copied();
            let next = list.filter(move |key| after.is_none_or(|after| *key > after)).take(count);
            std::future::ready(Ok(next.map(|key| (key, slice)).collect()))
        };
        merge(after, limit, fetch).await.unwrap()
    }

    proptest! {
        #[test]
        fn the_slices_are_read_as_one_list(
            spread in proptest::collection::vec(0..SLICES, 0..400), after in 0_u32..500, limit in 0_usize..300,
        ) {
            let mut rows = Rows::new();
            for (key, slice) in (0_u32..).zip(&spread) {
                rows.entry(*slice).or_default().push(key);
            }
            let after = (after < 400).then_some(after);
            let all = (0_u32..).zip(&spread).filter(|(key, _)| after.is_none_or(|after| *key > after));
            let expected: Vec<(u32, i16)> = all.map(|(key, slice)| (key, *slice)).take(limit).collect();
            let found = futures::executor::block_on(read(&rows, after, limit, &Cell::new(0)));
            prop_assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn a_slice_is_asked_again_only_when_it_ran_dry() {
        let asked = Cell::new(0);
        let even: Rows = (0..SLICES)
            .map(|s| (s, (0..40).map(|n| n * 16 + u32::from(s.unsigned_abs())).collect()))
            .collect();
        assert_eq!(read(&even, None, 160, &asked).await.len(), 160);
        assert_eq!(asked.get(), 16, "ten of each were needed");
        asked.set(0);
        let crooked = Rows::from([(3, (0..160).collect())]);
        assert_eq!(read(&crooked, None, 160, &asked).await.len(), 160);
        assert_eq!(asked.get(), 16 + 7, "eight pages of one slice");
    }
}
