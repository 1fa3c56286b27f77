//! What each column of a file is: told by name, guessed from the header, or, for the phone number, from the first rows.
//! Not the reading of a row.

use super::source::plain;
use super::split::Rows;
use super::{ImportError, Mapping};
use kabar_engine::address::{Address, AddressError, Region};
use std::collections::BTreeSet;

/// Rows that are looked at to find the phone column.
const SAMPLE: usize = 50;
/// Digits of a number that may be one of some country.
const LIKELY_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;

/// Names of a column with phone numbers, the surer ones first. Compared as [`variable_name`] writes them.
#[rustfmt::skip]
const PHONE: &[&str] = &[
    "phone", "phone_number", "phonenumber", "msisdn", "whatsapp", "whatsapp_number", "no_whatsapp", "nomor_whatsapp",
    "wa", "no_wa", "nomor_wa", "wa_number", "wa_id", "mobile", "mobile_number", "mobile_phone", "cell", "cellphone",
    "cell_phone", "hp", "no_hp", "nohp", "nomor_hp", "handphone", "no_handphone", "nomor_handphone", "telepon",
    "no_telepon", "nomor_telepon", "telp", "no_telp", "notelp", "nomor_telp", "tlp", "no_tlp", "tel", "telephone",
    "telephone_number", "telefon", "telefono", "telefone", "celular", "movil", "number", "nomor", "to", "recipient",
    "penerima", "tujuan",
];
/// Names of a column with people's names.
#[rustfmt::skip]
const NAME: &[&str] = &[
    "name", "full_name", "fullname", "nama", "nama_lengkap", "contact_name", "customer_name", "nama_pelanggan",
    "nama_kontak", "display_name",
];
/// Names of a column with time zones.
const ZONE: &[&str] = &["timezone", "time_zone", "tz", "zone", "zona_waktu", "zona", "iana_zone"];
/// Names of a column that says who has opted out.
#[rustfmt::skip]
const OPTED_OUT: &[&str] = &[
    "opted_out", "opt_out", "optout", "optedout", "unsubscribed", "unsubscribe", "berhenti", "do_not_contact", "dnc",
];

/// The last columns of an error file: the row's number in the file it comes from, and what is wrong with it. They are
/// passed over when the corrected file is imported.
pub const ERROR_COLUMNS: [&str; 2] = ["kabar_row", "kabar_problem"];

/// The columns of a file.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// As the header names them.
    pub(super) names: Vec<String>,
    phone: Option<usize>,
    /// What an error file says about its rows: nothing of the person.
    ignored: BTreeSet<usize>,
    /// The person's name.
    pub(super) name: Option<usize>,
    /// The IANA zone.
    pub(super) zone: Option<usize>,
    /// Whether the person has opted out.
    pub(super) opted_out: Option<usize>,
    /// Columns that become fields, with the variable's name.
    pub(super) fields: Vec<(usize, String)>,
    /// The region of numbers without a country code.
    pub(super) region: Option<Region>,
}

impl Columns {
    /// What the names of the columns tell.
    ///
    /// # Errors
    /// `UnknownColumn`; `NoHeader` when the first row holds a number instead of names.
    pub(super) fn by_name(
        names: &[String],
        mapping: &Mapping,
        region: Option<Region>,
    ) -> Result<Self, ImportError> {
        let mut free: BTreeSet<usize> = (0..names.len()).collect();
        let told = [&mapping.phone, &mapping.name, &mapping.zone, &mapping.opted_out]
            .map(|wanted| wanted.as_deref().map(|wanted| named(names, wanted)).transpose());
        let [phone, name, zone, opted_out] = told;
        let (phone, name, zone, opted_out) = (phone?, name?, zone?, opted_out?);
        let variables: Vec<String> = names.iter().map(|name| variable_name(name)).collect();
        let ignored = free.iter().copied().filter(|c| ERROR_COLUMNS.contains(&variables[*c].as_str()));
        let mut ignored: BTreeSet<usize> = ignored.collect();
        // What is told is told: a column that was named is not guessed for something else.
        for told in [phone, name, zone, opted_out].into_iter().flatten() {
            free.remove(&told);
            ignored.remove(&told);
        }
        let mut guess = |told: Option<usize>, known: &[&str]| {
            let found = told.or_else(|| {
                let mut columns = known.iter().filter_map(|k| variables.iter().position(|v| v == k));
                columns.find(|column| free.contains(column))
            })?;
            free.remove(&found);
            Some(found)
        };
        let columns = Self {
            phone: guess(phone, PHONE),
            name: guess(name, NAME),
            zone: guess(zone, ZONE),
            opted_out: guess(opted_out, OPTED_OUT),
            fields: Vec::new(),
            ignored,
            names: names.to_vec(),
            region,
        };
        if columns.phone.is_none() && names.iter().any(|name| is_likely(name, region)) {
            return Err(ImportError::NoHeader);
        }
        Ok(columns.with_fields())
    }

    /// Whether the column says nothing of the person.
    pub(super) fn is_ignored(&self, column: usize) -> bool {
        self.ignored.contains(&column)
    }

    /// Whether the phone column is known.
    pub(super) fn has_phone(&self) -> bool {
        self.phone.is_some()
    }

    /// The phone column.
    pub(super) fn phone(&self) -> usize {
        self.phone.expect("invariant: rows are read once the phone column is known")
    }

    /// Takes for the phone column the one that most often holds a number, if at least every second of its values is
    /// one.
    ///
    /// # Errors
    /// `NoPhoneColumn`.
    pub(super) fn by_content(mut self, rows: &Rows) -> Result<Self, ImportError> {
        let mut likely = vec![0_usize; self.names.len()];
        let mut filled = vec![0_usize; self.names.len()];
        let mut fields = Vec::new();
        for index in 0..rows.len().min(SAMPLE) {
            rows.fields(index, &mut fields);
            if fields.len() != self.names.len() {
                continue;
            }
            for (column, value) in fields.iter().enumerate() {
                filled[column] += usize::from(!value.trim().is_empty());
                likely[column] += usize::from(is_likely(value, self.region));
            }
        }
        let taken = [self.name, self.zone, self.opted_out];
        let is_free = |c: &usize| !taken.contains(&Some(*c)) && !self.ignored.contains(c);
        let candidates =
            (0..self.names.len()).filter(|c| is_free(c) && likely[*c] > 0 && likely[*c] * 2 >= filled[*c]);
        // Of several equal ones the first.
        self.phone = candidates.rev().max_by_key(|column| likely[*column]);
        if self.phone.is_none() {
            return Err(ImportError::NoPhoneColumn { columns: self.names });
        }
        Ok(self.with_fields())
    }

    /// All that is left becomes fields. A column such as `nama` is the person's name and a field too, so that a template
    /// may use the name the file has for it.
    fn with_fields(mut self) -> Self {
        let mut variables = BTreeSet::new();
        self.fields.clear();
        for (column, header) in self.names.iter().enumerate() {
            if self.ignored.contains(&column)
                || [self.phone, self.zone, self.opted_out].contains(&Some(column))
            {
                continue;
            }
            let mut variable = variable_name(header);
            if variable.is_empty() {
                variable = format!("column_{}", column + 1);
            }
            if self.name == Some(column) && variable == "name" {
                continue;
            }
            let (plain, mut count) = (variable.clone(), 1);
            while !variables.insert(variable.clone()) {
                count += 1;
                variable = format!("{plain}_{count}");
            }
            self.fields.push((column, variable));
        }
        self
    }
}

/// The variable that a column's values fill: the header in lower case, everything but `a` to `z`, digits and `_` made
/// `_`, none doubled or at an end. `Nama Lengkap` becomes `nama_lengkap`; empty when nothing is left.
#[must_use]
pub fn variable_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for c in header.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    name
}

fn named(names: &[String], wanted: &str) -> Result<usize, ImportError> {
    let wanted = plain(wanted);
    let trimmed = wanted.as_str();
    let lower = trimmed.to_lowercase();
    let exact = names.iter().position(|name| name == trimmed);
    exact
        .or_else(|| names.iter().position(|name| name.to_lowercase() == lower))
        .ok_or_else(|| ImportError::UnknownColumn { name: wanted.clone(), columns: names.to_vec() })
}

/// Whether a value is a phone number, or would be one if its country were known. A date has fewer digits.
fn is_likely(value: &str, region: Option<Region>) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    match Address::parse(value, region) {
        Ok(_) => true,
        Err(AddressError::NoCountryCode) => LIKELY_DIGITS.contains(&digits),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn guessed(names: &[&str]) -> Columns {
        Columns::by_name(&header(names), &Mapping::default(), None).unwrap()
    }

    #[test]
    fn names_of_columns_are_recognised_however_they_are_written() {
        for phone in
            ["phone", "Phone Number", "MSISDN", "No. HP", "no_hp", "Nomor WhatsApp", "WA", "Telepon", "To"]
        {
            let columns = guessed(&["Kota", phone, "Nama Lengkap", "Time-Zone", "Opt Out"]);
            assert_eq!(columns.phone, Some(1), "{phone}");
            assert_eq!((columns.name, columns.zone, columns.opted_out), (Some(2), Some(3), Some(4)));
            let fields = [(0, "kota".to_owned()), (2, "nama_lengkap".to_owned())];
            assert_eq!(columns.fields, fields);
        }
    }

    #[test]
    fn the_surer_name_wins_and_the_other_becomes_a_field() {
        let columns = guessed(&["number", "name", "phone"]);
        assert_eq!((columns.phone, columns.name), (Some(2), Some(1)));
        assert_eq!(columns.fields, [(0, "number".to_owned())]);
    }

    #[test]
    fn what_is_told_is_not_guessed_otherwise() {
        let mapping = Mapping { name: Some(" PHONE".to_owned()), ..Mapping::default() };
        let columns = Columns::by_name(&header(&["phone", "wa"]), &mapping, None).unwrap();
        assert_eq!((columns.name, columns.phone), (Some(0), Some(1)));
        let mapping = Mapping { zone: Some("city".to_owned()), ..Mapping::default() };
        let error = Columns::by_name(&header(&["phone", "town"]), &mapping, None).unwrap_err();
        assert_eq!(error.to_string(), "the file has no column `city`: name one of `phone`, `town`");
    }

    #[test]
    fn every_field_has_a_name_of_its_own() {
        let columns = guessed(&["phone", "", "Kota!", "kota", "e-mail (kantor)", "Ciudad año"]);
        let names: Vec<&str> = columns.fields.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["column_2", "kota", "kota_2", "e_mail_kantor", "ciudad_a_o"]);
    }

    #[test]
    fn a_first_row_with_a_number_is_no_header() {
        for names in [&["Budi", "+62 812 3456 7890"][..], &["081234567890"]] {
            let error = Columns::by_name(&header(names), &Mapping::default(), None).unwrap_err();
            assert_eq!(error, ImportError::NoHeader);
        }
    }
}
