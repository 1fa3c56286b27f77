//! The phones: who a number is (name, business-scoped user id) and how it is set (reachable, read
//! receipts). All of it follows from the number and the seed; nothing is stored.

use std::borrow::Cow;

use super::dice::{Dice, Stream, key};
use crate::behaviour::Behaviour;

const NAMES: &[&str] = &[
    "Ana Diaz",
    "Budi Santoso",
    "Siti Aminah",
    "Wayan Putra",
    "José Muñoz",
    "Zoë Müller",
    "Dewi 🌸",
    "李雷",
    "Agus",
    "Maria",
    "Đặng Anh",
    "Rina Wulandari",
    "Tom O'Neil",
    "Ayu \"Ay\" Lestari",
    "Yusuf",
    "Chloé",
];

/// Country calling codes a business-scoped user id is prefixed for, longest first.
const COUNTRIES: &[(&str, &str)] = &[
    ("966", "SA"),
    ("971", "AE"),
    ("999", "ZZ"),
    ("27", "ZA"),
    ("31", "NL"),
    ("33", "FR"),
    ("34", "ES"),
    ("39", "IT"),
    ("44", "GB"),
    ("49", "DE"),
    ("52", "MX"),
    ("55", "BR"),
    ("60", "MY"),
    ("61", "AU"),
    ("62", "ID"),
    ("63", "PH"),
    ("65", "SG"),
    ("66", "TH"),
    ("81", "JP"),
    ("84", "VN"),
    ("91", "IN"),
    ("1", "US"),
];

/// Odd, so that multiplying by it can be undone.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// How one phone is set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    pub(crate) unreachable: bool,
    pub(crate) no_read: bool,
}

/// Every phone there could be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phones {
    seed: u64,
}

impl Phones {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The digits of a number as people write it, `None` if it cannot be one.
    pub(crate) fn wa_id(input: &str) -> Option<Cow<'_, str>> {
        let written = |b: u8| b.is_ascii_digit() || b"+-() ".contains(&b);
        if !input.bytes().all(written) {
            return None;
        }
        let digits = if input.bytes().all(|b| b.is_ascii_digit()) {
            Cow::Borrowed(input)
        } else {
            Cow::Owned(input.chars().filter(char::is_ascii_digit).collect())
        };
        ((7..=15).contains(&digits.len()) && !digits.starts_with('0')).then_some(digits)
    }

    /// The user id behind a number: the same for every business of the sandbox.
    pub(crate) fn user_id(&self, address: &str) -> String {
        let Some(number) = Self::number(address) else { return address.to_owned() };
        let country = COUNTRIES.iter().find(|(prefix, _)| address.starts_with(prefix)).map_or("XX", |c| c.1);
        format!("{country}.{}", number.wrapping_mul(SPREAD) ^ self.seed)
    }

    /// The number behind a user id this sandbox made; `None` for any other.
    pub(crate) fn behind(&self, user_id: &str) -> Option<String> {
        let (_, digits) = user_id.split_once('.')?;
        let number = (digits.parse::<u64>().ok()? ^ self.seed).wrapping_mul(inverse(SPREAD));
        let address = number.to_string();
        ((7..=15).contains(&address.len()) && self.user_id(&address) == user_id).then_some(address)
    }

    pub(crate) fn name(&self, address: &str) -> &'static str {
        let at = (key(&[address]) as u64 ^ self.seed) % NAMES.len() as u64;
        NAMES[at as usize]
    }

    pub(crate) fn traits(&self, address: &str, behaviour: &Behaviour) -> Traits {
        if behaviour.undeliverable == 0.0 && behaviour.no_read == 0.0 {
            return Traits::default();
        }
        let mut dice = Dice::new(self.seed, key(&[address]), 0, Stream::Phone);
        Traits { unreachable: dice.chance(behaviour.undeliverable), no_read: dice.chance(behaviour.no_read) }
    }

    /// A number as digits without a leading zero; a user id is none.
    fn number(address: &str) -> Option<u64> {
        address.parse().ok().filter(|_| !address.starts_with(['0', '+']))
    }
}

/// The form WhatsApp knows a number by where it differs from what people dial: Brazil without the ninth digit (outside
/// the area codes 11 to 28, which keep it), Mexico with a 1, Argentina with a 9.
pub(crate) fn own_form(digits: Cow<'_, str>) -> Cow<'_, str> {
    let area =
        |from: usize| digits.get(from..from + 2).and_then(|area| area.parse::<u32>().ok()).unwrap_or(0);
    if digits.starts_with("55") && digits.len() == 13 && digits.as_bytes()[4] == b'9' && area(2) > 28 {
        return Cow::Owned(format!("{}{}", &digits[..4], &digits[5..]));
    }
    if digits.starts_with("52") && digits.len() == 12 {
        return Cow::Owned(format!("521{}", &digits[2..]));
    }
    if digits.starts_with("54") && digits.len() == 12 {
        return Cow::Owned(format!("549{}", &digits[2..]));
    }
    digits
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each step doubles the right bits.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(Phones::wa_id("+62 812-3456 (789)").as_deref(), Some("628123456789"));
        assert_eq!(Phones::wa_id("15550100001").as_deref(), Some("15550100001"));
        for wrong in ["", "12", "0812345678", "62812x4567", "1234567890123456"] {
            assert_eq!(Phones::wa_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn some_countries_are_known_by_another_form() {
        for (dialled, known) in [
            ("5584912345678", "558412345678"),
            ("5511912345678", "5511912345678"),
            ("525512345678", "5215512345678"),
            ("541112345678", "5491112345678"),
            ("628123456789", "628123456789"),
        ] {
            assert_eq!(own_form(Cow::Borrowed(dialled)), known);
        }
    }

    #[test]
    fn a_user_id_leads_back_to_its_number_and_a_foreign_one_nowhere() {
        let phones = Phones::new(42);
        for (address, country) in [("628123456789", "ID."), ("15550100001", "US."), ("3725550001", "XX.")] {
            let id = phones.user_id(address);
            assert!(id.starts_with(country), "{id}");
            assert_eq!(phones.behind(&id).as_deref(), Some(address));
        }
        assert_eq!(phones.behind("US.13491208655302741918"), None);
        assert_eq!(phones.user_id("US.abc"), "US.abc");
    }

    #[test]
    fn about_the_given_share_of_phones_is_unreachable() {
        let behaviour = Behaviour { undeliverable: 0.1, ..Behaviour::default() };
        let phones = Phones::new(1);
        let lost =
            (0..5_000).filter(|n| phones.traits(&format!("6281{n:07}"), &behaviour).unreachable).count();
        assert!((400..600).contains(&lost), "{lost}");
    }
}
