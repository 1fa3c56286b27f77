//! The contact file of the demo, made from a seed: numbers of six countries as people and spreadsheets write them,
//! duplicates in another spelling, rows without a number, people who opted out, missing fields. The file shipped in
//! `api/data/contacts.csv` is 10,000 rows of seed 1, and a test makes it again.

use super::places::{ABROAD, Country, FIRST, HOME, LAST, NO_NUMBER};
use std::collections::VecDeque;
use std::io;

/// Rows of the shipped file.
pub const SHIPPED_ROWS: u64 = 10_000;
/// Its seed.
pub const SHIPPED_SEED: u64 = 1;
/// Most rows that can be made without repeating a number by accident.
pub const ROWS_MAX: u64 = 10_000_000;
/// The first row.
pub const HEADER: &str = "name,phone,city,opted_out\n";

/// How far back a duplicate's first row may stand.
const MEMORY: usize = 500;
/// Coprime to every power of ten, so that counting up meets no number twice.
const STRIDE: u64 = 48_271;

/// What a generated file comes to, counted while it is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Rows, the header not counted.
    pub rows_read: u64,
    /// Distinct valid numbers.
    pub imported: u64,
    /// Rows whose number stood in an earlier row.
    pub duplicate: u64,
    /// Rows without a valid number.
    pub invalid: u64,
    /// Of the imported, those marked as opted out.
    pub opted_out: u64,
    /// Of the rest, those without a city.
    pub missing_city: u64,
}

/// A person with a number.
#[derive(Clone)]
struct Person {
    name: String,
    city: &'static str,
    country: &'static Country,
    national: String,
}

/// Makes one row after the other.
pub struct Generator {
    dice: Dice,
    seed: u64,
    left: u64,
    made: [u64; 1 + ABROAD.len()],
    recent: VecDeque<Person>,
    expected: Expected,
}

impl Generator {
    /// Rows from a seed; the same seed gives the same rows on every machine.
    #[must_use]
    pub fn new(rows: u64, seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            seed,
            left: rows.min(ROWS_MAX),
            made: [0; 1 + ABROAD.len()],
            recent: VecDeque::with_capacity(MEMORY),
            expected: Expected::default(),
        }
    }

    /// What the rows made so far come to.
    #[must_use]
    pub fn expected(&self) -> Expected {
        self.expected
    }

    /// Writes header and all rows.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&mut self, out: &mut impl io::Write) -> io::Result<()> {
        out.write_all(HEADER.as_bytes())?;
        for row in self {
            out.write_all(row.as_bytes())?;
        }
        Ok(())
    }

    fn person(&mut self) -> Person {
        let abroad = self.dice.below(10) >= 7;
        let place = if abroad { 1 + self.dice.below(ABROAD.len()) } else { 0 };
        let country = if place == 0 { &HOME } else { &ABROAD[place - 1] };
        let space = 10_u64.pow(u32::try_from(country.digits).expect("invariant: eight digits at most"));
        let number = (self.made[place] * STRIDE + self.seed * 7_919) % space;
        self.made[place] += 1;
        let range = country.ranges[self.dice.below(country.ranges.len())];
        let national = format!("{range}{number:0width$}", width = country.digits);
        Person { name: self.name(), city: self.city(country), country, national }
    }

    fn name(&mut self) -> String {
        let (first, last) = (self.dice.pick(FIRST), self.dice.pick(LAST));
        let full = if last.is_empty() { first.to_owned() } else { format!("{first} {last}") };
        match self.dice.below(40) {
            0..=5 => full.to_uppercase(),
            6..=12 => full.to_lowercase(),
            13 | 14 => format!("  {full} "),
            15 => format!("{full}, S.E."),
            16 => format!("{first} \"{}\" {last}", &first[..1]).trim_end().to_owned(),
            17 | 18 => String::new(),
            _ => full,
        }
    }

    fn city(&mut self, country: &Country) -> &'static str {
        if self.dice.below(25) == 0 { "" } else { self.dice.pick(country.cities) }
    }

    fn next_row(&mut self) -> String {
        self.expected.rows_read += 1;
        match self.dice.below(1_000) {
            0..20 => {
                self.expected.invalid += 1;
                let (name, phone) = (self.name(), self.dice.pick(NO_NUMBER));
                let city = self.city(&HOME);
                row(&name, phone, city, "no")
            }
            20..50 if !self.recent.is_empty() => {
                self.expected.duplicate += 1;
                let person = self.recent[self.dice.below(self.recent.len())].clone();
                let phone = self.spell(&person);
                row(&person.name, &phone, person.city, "no")
            }
            sort => {
                let person = self.person();
                let opted_out = (50..65).contains(&sort);
                self.expected.imported += 1;
                self.expected.opted_out += u64::from(opted_out);
                self.expected.missing_city += u64::from(!opted_out && person.city.is_empty());
                let phone = self.spell(&person);
                let text = row(&person.name, &phone, person.city, if opted_out { "yes" } else { "no" });
                if self.recent.len() == MEMORY {
                    self.recent.pop_front();
                }
                self.recent.push_back(person);
                text
            }
        }
    }

    /// One of the ways in which this number may be written. National forms only at home: the import is told one
    /// default region.
    fn spell(&mut self, person: &Person) -> String {
        let (code, n) = (person.country.code, &person.national);
        let (a, b) = n.split_at(3);
        let (b, c) = b.split_at(b.len() / 2);
        let ways = if code == HOME.code { 9 } else { 5 };
        match self.dice.below(ways) {
            0 => format!("+{code}{n}"),
            1 => format!("+{code} {a}-{b}-{c}"),
            2 => format!("+{code} {a} {b} {c}"),
            3 => format!("00{code}{n}"),
            4 => format!("+{code} ({a}) {b}.{c}"),
            5 => format!("0{n}"),
            6 => format!("0{a}-{b}-{c}"),
            7 => format!("{code}{n}"),
            _ => format!("{code} {a} {b} {c}"),
        }
    }
}

impl Iterator for Generator {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        Some(self.next_row())
    }
}

fn row(name: &str, phone: &str, city: &str, opted_out: &str) -> String {
    format!("{},{},{},{opted_out}\n", quoted(name), quoted(phone), quoted(city))
}

/// A CSV field (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// SplitMix64: a few lines that give the same numbers for ever, which a crate does not promise.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).expect("invariant: below a usize")
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::SHIPPED;
    use super::*;
    use kabar_engine::address::Address;
    use std::collections::BTreeSet;

    fn made(rows: u64, seed: u64) -> (String, Expected) {
        let mut generator = Generator::new(rows, seed);
        let mut text = Vec::new();
        generator.write(&mut text).unwrap();
        (String::from_utf8(text).unwrap(), generator.expected())
    }

    #[test]
    fn the_shipped_file_is_made_again_byte_for_byte() {
        let (text, expected) = made(SHIPPED_ROWS, SHIPPED_SEED);
        assert!(
            text.as_bytes() == SHIPPED,
            "write it again: kabar demo --write-contacts api/data/contacts.csv"
        );
        assert_eq!(expected.rows_read, SHIPPED_ROWS);
    }

    #[test]
    fn what_is_counted_while_making_is_what_the_numbers_say() {
        for seed in [1, 2, 77] {
            let (text, expected) = made(4_000, seed);
            let region = Some("ID".parse().unwrap());
            let mut found = Expected::default();
            let mut seen = BTreeSet::new();
            let mut countries = BTreeSet::new();
            for line in text.lines().skip(1) {
                let (rest, opted_out) = line.rsplit_once(',').unwrap();
                let (rest, city) = rest.rsplit_once(',').unwrap();
                let (_, phone) = rest.rsplit_once(',').unwrap();
                found.rows_read += 1;
                match Address::parse(phone, region) {
                    Err(_) => found.invalid += 1,
                    Ok(parsed) if !seen.insert(parsed.address.clone()) => found.duplicate += 1,
                    Ok(parsed) => {
                        countries.insert(parsed.address.country_calling_code());
                        found.imported += 1;
                        found.opted_out += u64::from(opted_out == "yes");
                        found.missing_city += u64::from(opted_out != "yes" && city.is_empty());
                    }
                }
            }
            assert_eq!(found, expected, "seed {seed}");
            assert_eq!(countries.len(), 6);
            let all = [found.imported, found.duplicate, found.invalid, found.opted_out, found.missing_city];
            assert!(all.iter().all(|n| *n > 0), "{found:?}");
        }
    }

    #[test]
    fn numbers_of_a_large_file_do_not_meet_by_accident() {
        let mut generator = Generator::new(0, 9);
        let mut seen = BTreeSet::new();
        for _ in 0..50_000 {
            let person = generator.person();
            assert!(seen.insert(format!("{}{}", person.country.code, person.national)));
        }
    }
}
