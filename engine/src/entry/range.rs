//! Runs of recipients' indexes, as entries about campaigns hold them.

/// A run of recipients' indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first index.
    pub first: u32,
    /// How many; at least 1.
    pub count: u32,
}

impl Range {
    /// Packs sorted indexes into as few ranges as possible.
    #[must_use]
    pub fn pack(indexes: &[u32]) -> Vec<Self> {
        let mut ranges: Vec<Self> = Vec::new();
        for index in indexes {
            match ranges.last_mut() {
                Some(last) if last.first + last.count == *index => last.count += 1,
                _ => ranges.push(Self { first: *index, count: 1 }),
            }
        }
        ranges
    }

    /// The indexes again.
    pub fn indexes(ranges: &[Self]) -> impl Iterator<Item = u32> + '_ {
        ranges.iter().flat_map(|r| r.first..r.first.saturating_add(r.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_hold_exactly_the_indexes_packed(set in proptest::collection::btree_set(0..5_000_u32, 0..400)) {
            let list: Vec<u32> = set.into_iter().collect();
            let packed = Range::pack(&list);
            prop_assert_eq!(Range::indexes(&packed).collect::<Vec<_>>(), list);
            prop_assert!(packed.windows(2).all(|w| w[0].first + w[0].count < w[1].first));
        }
    }
}
