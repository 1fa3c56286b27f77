//! How our numbers stand in SQLite's signed 64-bit integers, and how a stored one is read back. Not a codec.

use super::database::Fault;
use kabar_engine::address::Address;
use kabar_engine::time::Timestamp;
use rusqlite::Row;

/// An id or position as SQLite's integer: ids have 63 bits, so their order is kept.
pub(super) fn int(value: u64) -> i64 {
    value.cast_signed()
}

/// A stored row that cannot be what this code wrote.
pub(super) fn damaged(what: &'static str) -> Fault {
    Fault::Damaged(what)
}

/// Typed reads of a row's columns, by place.
pub(super) trait Columns {
    /// An id or position.
    fn id(&self, at: usize) -> Result<u64, Fault>;
    /// An id, when there is one.
    fn id_option(&self, at: usize) -> Result<Option<u64>, Fault>;
    /// A moment.
    fn time(&self, at: usize) -> Result<Timestamp, Fault>;
    /// A moment, when there is one.
    fn time_option(&self, at: usize) -> Result<Option<Timestamp>, Fault>;
    /// An address by its key.
    fn address(&self, at: usize) -> Result<Address, Fault>;
    /// A byte that stands for one of a closed set.
    fn choice<T>(&self, at: usize, of: impl Fn(u8) -> Option<T>) -> Result<T, Fault>;
}

impl Columns for Row<'_> {
    fn id(&self, at: usize) -> Result<u64, Fault> {
        Ok(self.get::<_, i64>(at)?.cast_unsigned())
    }

    fn id_option(&self, at: usize) -> Result<Option<u64>, Fault> {
        Ok(self.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned))
    }

    fn time(&self, at: usize) -> Result<Timestamp, Fault> {
        Ok(Timestamp(self.get(at)?))
    }

    fn time_option(&self, at: usize) -> Result<Option<Timestamp>, Fault> {
        Ok(self.get::<_, Option<i64>>(at)?.map(Timestamp))
    }

    fn address(&self, at: usize) -> Result<Address, Fault> {
        let key = self.get_ref(at)?.as_str().map_err(|_| damaged("an address is no text"))?;
        Address::from_key(key).map_err(|_| damaged("an address key has another form"))
    }

    fn choice<T>(&self, at: usize, of: impl Fn(u8) -> Option<T>) -> Result<T, Fault> {
        of(self.get(at)?).ok_or(damaged("a code is not one this version knows"))
    }
}
