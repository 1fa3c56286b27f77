//! The small change of stored bytes: varints, text, addresses, times, options, runs of ids. Used by entries and
//! by packed columns of rows. Not a format of its own: who writes knows what to read.

use super::DecodeError;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::optout::Wish;
use kabar_engine::time::Timestamp;

/// An unsigned number: seven bits a byte, low ones first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// A signed number: zigzag, then as a varint.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Length, then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Length, then UTF-8.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// One byte of kind, then the value as text.
pub fn put_address(out: &mut Vec<u8>, address: &Address) {
    out.push(address.kind() as u8);
    put_text(out, address.value());
}

/// A wish's stable byte.
pub(crate) fn wish_byte(wish: Wish) -> u8 {
    match wish {
        Wish::OptOut => 1,
        Wish::OptIn => 2,
    }
}

/// The wish of a byte.
pub(crate) fn wish_of(byte: u8) -> Option<Wish> {
    [Wish::OptOut, Wish::OptIn].into_iter().find(|wish| wish_byte(*wish) == byte)
}

/// A wish as its stable byte.
pub fn put_wish(out: &mut Vec<u8>, wish: Wish) {
    out.push(wish_byte(wish));
}

/// Milliseconds since 1970.
pub fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    put_signed(out, time.0);
}

/// Milliseconds since `base`: short when the two are near.
pub fn put_time_near(out: &mut Vec<u8>, base: Timestamp, time: Timestamp) {
    put_signed(out, time.0.wrapping_sub(base.0));
}

/// 0 for nothing, 1 and the value otherwise.
pub fn put_option<T: ?Sized>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

/// How many, then each as the difference to the one before: about three bytes for neighbours.
pub fn put_ids(out: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = u64>) {
    put_varint(out, ids.len() as u64);
    let mut last = 0;
    for id in ids {
        put_near(out, &mut last, id);
    }
}

/// A number as the difference to the one before it.
pub fn put_near(out: &mut Vec<u8>, last: &mut u64, value: u64) {
    put_signed(out, value.wrapping_sub(*last).cast_signed());
    *last = value;
}

/// Reads what the functions above wrote; never beyond the bytes, never more memory than they justify.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Reader<'a> {
    /// At the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// That nothing is left over.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] with how much.
    pub fn finish(&self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.bytes.len())) }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`] naming `what`; so do all below, beside what they say.
    pub fn byte(&mut self, what: &'static str) -> Result<u8> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Short(what))?;
        self.bytes = rest;
        Ok(*first)
    }

    /// `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError::Short(what))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// As many bytes as the array holds.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(DecodeError::Short(what))?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// An unsigned number.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] when it does not fit into 64 bits.
    pub fn varint(&mut self, what: &'static str) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Invalid(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid(what))
    }

    /// An unsigned number of 32 bits.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] when it is larger.
    pub fn small(&mut self, what: &'static str) -> Result<u32> {
        u32::try_from(self.varint(what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// How many elements follow; refused when not even one byte for each is left.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn count(&mut self, what: &'static str) -> Result<usize> {
        let count = usize::try_from(self.varint(what)?).map_err(|_| DecodeError::Invalid(what))?;
        if count > self.bytes.len() { Err(DecodeError::Short(what)) } else { Ok(count) }
    }

    /// A signed number.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn signed(&mut self, what: &'static str) -> Result<i64> {
        let value = self.varint(what)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Length and bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let count = self.count(what)?;
        self.take(count, what)
    }

    /// Length and UTF-8.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for other bytes.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// An address.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for an unknown kind or a value that is none of its kind.
    pub fn address(&mut self, what: &'static str) -> Result<Address> {
        let kind = AddressKind::from_byte(self.byte(what)?).ok_or(DecodeError::Invalid(what))?;
        Address::from_parts(kind, self.text(what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// A wish.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for an unknown byte.
    pub fn wish(&mut self, what: &'static str) -> Result<Wish> {
        wish_of(self.byte(what)?).ok_or(DecodeError::Invalid(what))
    }

    /// A moment.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn time(&mut self, what: &'static str) -> Result<Timestamp> {
        self.signed(what).map(Timestamp)
    }

    /// A moment told from `base`.
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn time_near(&mut self, base: Timestamp, what: &'static str) -> Result<Timestamp> {
        self.signed(what).map(|ms| Timestamp(base.0.wrapping_add(ms)))
    }

    /// Nothing or a value.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for a mark that is neither 0 nor 1, and what `read` says.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.byte(what)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(DecodeError::Invalid(what)),
        }
    }

    /// A list: how many, then each.
    ///
    /// # Errors
    /// As [`Reader::count`], and what `read` says.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(what)?;
        let mut list = Vec::with_capacity(count.min(1_024));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// Ids written with [`put_ids`].
    ///
    /// # Errors
    /// As [`Reader::list`].
    pub fn ids<T>(&mut self, what: &'static str, of: impl Fn(u64) -> T) -> Result<Vec<T>> {
        let mut last = 0;
        self.list(what, |reader| reader.near(&mut last, what).map(&of))
    }

    /// A number written with [`put_near`].
    ///
    /// # Errors
    /// As [`Reader::varint`].
    pub fn near(&mut self, last: &mut u64, what: &'static str) -> Result<u64> {
        *last = last.wrapping_add(self.signed(what)?.cast_unsigned());
        Ok(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_lists_read_back(a in any::<u64>(), b in any::<i64>(), ids in proptest::collection::vec(any::<u64>(), 0..40)) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_signed(&mut out, b);
            put_ids(&mut out, ids.iter().copied());
            put_time_near(&mut out, Timestamp(b), Timestamp(i64::MAX));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("a"), Ok(a));
            prop_assert_eq!(reader.signed("b"), Ok(b));
            prop_assert_eq!(reader.ids("ids", |id| id), Ok(ids));
            prop_assert_eq!(reader.time_near(Timestamp(b), "t"), Ok(Timestamp(i64::MAX)));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_memory_is_taken() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX >> 8);
        out.extend_from_slice(&[0; 16]);
        assert_eq!(Reader::new(&out).ids("ids", |id| id), Err(DecodeError::Short("ids")));
        assert_eq!(Reader::new(&[0xff; 10]).varint("n"), Err(DecodeError::Invalid("n")));
        assert_eq!(Reader::new(&[0xff; 4]).varint("n"), Err(DecodeError::Short("n")));
    }
}
