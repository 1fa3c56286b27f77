//! One bound value of a write whose statement is chosen while running. Not a type of its own in the tables: each is
//! written as what it wraps, and refused when the column is another.

use scylla::frame::response::result::ColumnType;
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Flag(bool),
    Small(i16),
    Int(i32),
    Big(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl SerializeValue for Cell {
    fn serialize<'b>(
        &self,
        column: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Flag(value) => value.serialize(column, writer),
            Self::Small(value) => value.serialize(column, writer),
            Self::Int(value) => value.serialize(column, writer),
            Self::Big(value) => value.serialize(column, writer),
            Self::Text(value) => value.serialize(column, writer),
            Self::Bytes(value) => value.serialize(column, writer),
        }
    }
}

macro_rules! from {
    ($($type:ty => $name:ident),+) => {$(
        impl From<$type> for Cell {
            fn from(value: $type) -> Self {
                Self::$name(value)
            }
        }
    )+};
}

from!(bool => Flag, i16 => Small, i32 => Int, i64 => Big, String => Text, Vec<u8> => Bytes);

impl From<u64> for Cell {
    /// Ids and positions have 63 bits, so their order is kept.
    fn from(value: u64) -> Self {
        Self::Big(value.cast_signed())
    }
}

impl From<u8> for Cell {
    fn from(value: u8) -> Self {
        Self::Small(value.into())
    }
}

/// A row of cells.
macro_rules! cells {
    ($($value:expr),+ $(,)?) => { vec![$(crate::scylla::cell::Cell::from($value)),+] };
}
pub(super) use cells;
