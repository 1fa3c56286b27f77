//! A new master key: every tenant's data key is wrapped anew under it, one record after the other, and nothing that was
//! sealed is touched. Broken off anywhere it goes on; meanwhile both keys together open everything. Not the key files.

use crate::error::OpenError;
use crate::records::{DataKey, Noun, Record, Records};
use crate::seal::MasterKey;

/// Data keys read at once.
const PAGE: usize = 500;

/// What a rotation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys wrapped anew.
    pub wrapped: u64,
    /// Data keys that were under the new key already.
    pub before: u64,
}

/// Wraps what is not yet under `to` anew. `to` was made with [`MasterKey::replacing`]; nobody else may write data keys
/// meanwhile. `step` is told after every record.
///
/// # Errors
/// [`OpenError::MasterKey`] when neither key opens one of them; [`OpenError::Store`] as the records answer. What was
/// done stays done.
pub async fn rotate(
    records: &dyn Records,
    to: &MasterKey,
    step: &(dyn Fn(Rotated) + Sync),
) -> Result<Rotated, OpenError> {
    let (mut rotated, mut after) = (Rotated::default(), None);
    loop {
        let page = records.all(DataKey::KIND, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(rotated) };
        after = Some((last.tenant, last.id));
        for record in &page {
            match to.rewrap(&record.noun()?)? {
                Some(key) => {
                    records.put(Record::of(&key)?, record.version).await?;
                    rotated.wrapped += 1;
                }
                None => rotated.before += 1,
            }
            step(rotated);
        }
    }
}
