//! Sixteen slices of what would be one large partition: which slice a thing is in, and one ordered page out of all of
//! them. Not a statement.

use crate::error::StoreError;
use futures::future::try_join_all;
use kabar_engine::id::hash64;
use std::collections::VecDeque;

/// How many slices. Never changes: it would move every row.
pub(super) const SLICES: i16 = 16;
/// Least rows asked of a slice at once.
const LEAST: usize = 8;

/// The slice of a key.
pub(super) fn slice_of(text: &str) -> i16 {
    let slice = hash64(text.as_bytes()) % u64::from(SLICES.unsigned_abs());
    i16::try_from(slice).expect("invariant: less than sixteen")
}

/// What is read of one slice ahead of the page.
struct Ahead<T> {
    rows: VecDeque<(String, T)>,
    last: String,
    ended: bool,
}

/// The first `limit` rows behind `after` in the order of their keys. `fetch(slice, after, rows)` reads a slice in that
/// order; fewer rows than asked for mean its end.
pub(super) async fn merged<T, F, R>(
    limit: usize,
    after: &str,
    fetch: F,
) -> Result<Vec<(String, T)>, StoreError>
where
    F: Fn(i16, String, usize) -> R,
    R: Future<Output = Result<Vec<(String, T)>, StoreError>>,
{
    if limit == 0 {
        return Ok(Vec::new());
    }
    // A slice holds about a sixteenth of a page; whichever holds more is asked again.
    let many = (limit.div_ceil(16) + LEAST).min(limit);
    let fetch = &fetch;
    let fill = |slice: i16, last: String| async move {
        let rows = fetch(slice, last.clone(), many).await?;
        let ended = rows.len() < many;
        let last = rows.last().map_or(last, |(key, _)| key.clone());
        Ok::<_, StoreError>(Ahead { rows: rows.into(), last, ended })
    };
    let mut slices = try_join_all((0..SLICES).map(|slice| fill(slice, after.to_owned()))).await?;
    let mut page = Vec::new();
    while page.len() < limit {
        let first = slices.iter().enumerate().filter_map(|(at, s)| Some((&s.rows.front()?.0, at))).min();
        let Some((_, at)) = first else { break };
        page.extend(slices[at].rows.pop_front());
        // An empty slice that goes on may hold the next key of all.
        if slices[at].rows.is_empty() && !slices[at].ended {
            let slice = i16::try_from(at).expect("invariant: less than sixteen");
            slices[at] = fill(slice, std::mem::take(&mut slices[at].last)).await?;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_golden() {
        // Changing the hash would lose every contact of every installation: these values never change.
        let slices: Vec<i16> =
            ["1:6281234567890", "1:6281234567891", "2:ID.7", "3:42"].into_iter().map(slice_of).collect();
        assert_eq!(slices, [14, 0, 2, 2]);
    }

    #[tokio::test]
    async fn a_merged_page_is_what_one_partition_would_give() {
        let keys: Vec<String> = (0..500).map(|n| format!("1:{:04}", n * 37 % 1_009)).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        // Evenly spread, and all in one slice.
        for lopsided in [false, true] {
            let of = |key: &str| if lopsided { 3 } else { slice_of(key) };
            for limit in [1, 7, 100, 1_000] {
                let (mut found, mut after) = (Vec::new(), String::new());
                loop {
                    let fetch = |slice: i16, after: String, many: usize| {
                        let rows = sorted.iter().filter(move |k| of(k) == slice && **k > after).take(many);
                        std::future::ready(Ok(rows.map(|k| (k.clone(), ())).collect()))
                    };
                    let page = merged(limit, &after, fetch).await.unwrap();
                    assert!(page.len() <= limit);
                    let Some((last, ())) = page.last() else { break };
                    after.clone_from(last);
                    found.extend(page.into_iter().map(|(key, ())| key));
                }
                assert_eq!(found, sorted, "limit {limit}");
            }
        }
    }
}
