//! What an import promises, from bytes to contacts, on the memory store.

mod house;
mod promises;
mod resume;

use super::{ImportError, Mapping};
use house::{House, TENANT, pieces};
use kabar_engine::address::Address;
use kabar_engine::id::ImportId;
use kabar_schema::records::{Import, ImportState};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One row of a generated file, and what it counts as.
#[derive(Debug, Clone)]
enum Line {
    Number { which: u32, spelling: usize, flag: &'static str },
    Bad(&'static str),
    Fields(&'static str),
    Blank(&'static str),
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Number { which, spelling, flag } => {
                let tail = format!("{which:04}");
                let number = match spelling {
                    0 => format!("0812-3456-{tail}"),
                    1 => format!("+62 812 3456 {tail}"),
                    2 => format!("628123456{tail}"),
                    3 => format!("\"0062 (812) 3456{tail}\""),
                    _ => format!("\"\n+628123456{tail} \""),
                };
                format!("\"Budi, \"\"{which}\"\"\",{number},{flag}")
            }
            Self::Bad(number) => format!("Siti,{number},yes"),
            Self::Fields(row) | Self::Blank(row) => (*row).to_owned(),
        }
    }
}

fn any_line() -> impl Strategy<Value = Line> {
    let flag = prop::sample::select(&["", "no", "yes", "TRUE", "1", "ya", "Y", "perhaps"][..]);
    prop_oneof![
        6 => (0_u32..12, 0_usize..5, flag)
            .prop_map(|(which, spelling, flag)| Line::Number { which, spelling, flag }),
        2 => prop::sample::select(&["", "12", "call me", "6.28E+12", "+999 123456789", "0812#345"][..])
            .prop_map(Line::Bad),
        1 => prop::sample::select(&["alone", "081234560001", "a,b,c,d", ",,,,"][..]).prop_map(Line::Fields),
        1 => prop::sample::select(&["", "   ", "\t"][..]).prop_map(Line::Blank),
    ]
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    rows_read: u64,
    imported: u64,
    duplicate: u64,
    invalid: u64,
    opted_out: u64,
}

impl Counts {
    fn of(import: &Import) -> Self {
        Self {
            rows_read: import.rows_read,
            imported: import.imported,
            duplicate: import.duplicate,
            invalid: import.invalid,
            opted_out: import.opted_out,
        }
    }

    /// The reference: plain sets over what was generated.
    fn expected(lines: &[Line]) -> Self {
        let (mut seen, mut opted_out) = (BTreeSet::new(), BTreeSet::new());
        let mut counts = Self::default();
        for line in lines {
            counts.rows_read += u64::from(!matches!(line, Line::Blank(_)));
            match line {
                Line::Blank(_) => {}
                Line::Bad(_) | Line::Fields(_) => counts.invalid += 1,
                Line::Number { which, flag, .. } => {
                    let first = seen.insert(*which);
                    counts.imported += u64::from(first);
                    counts.duplicate += u64::from(!first);
                    if !matches!(*flag, "" | "no" | "perhaps") && opted_out.insert(*which) {
                        counts.opted_out += 1;
                    }
                }
            }
        }
        counts
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_row_counts_once_and_as_what_it_is(
        lines in prop::collection::vec(any_line(), 1..60),
        newline in prop::sample::select(&["\n", "\r\n", "\r"][..]),
        sizes in prop::collection::vec(1_usize..40, 1..8),
    ) {
        prop_assume!(lines.iter().any(|line| !matches!(line, Line::Blank(_))));
        let rows: Vec<String> = lines.iter().map(Line::text).collect();
        let file = format!("nama,no hp,berhenti{newline}{}", rows.join(newline));
        let expected = Counts::expected(&lines);
        House::run(async |house| {
            let import = house.import(1, pieces(file.as_bytes(), &sizes)).await.unwrap();
            assert_eq!(Counts::of(&import), expected, "{file:?}");
            assert_eq!(import.imported + import.duplicate + import.invalid, import.rows_read);
            assert_eq!(import.created_contacts, import.imported);
            assert_eq!(house.listed(1).await.len() as u64, import.imported);
            let opted_out: BTreeSet<Address> = house.opt_outs().into_iter().collect();
            assert_eq!(house.opt_outs().len(), opted_out.len(), "an opt-out is recorded once");
            assert_eq!(opted_out.len() as u64, import.opted_out);
            assert_eq!(house.settled() > 0, import.opted_out > 0);
        });
    }
}

#[test]
fn the_first_row_of_an_address_wins_and_its_columns_become_fields() {
    let file = "Kota;Nama;No. WA;Zona Waktu;Saldo (Rp)\n\
        Bandung ; Budi ;0812-3456-7890;WIB;1.000\n\
        Medan;Lain;+6281234567890;Asia/Makassar;2.000\n\
        ;;+1 415 555 2671;Nowhere/Land;\n";
    House::run(async |house| {
        let import = house.import(1, pieces(file.as_bytes(), &[7])).await.unwrap();
        let contacts = house.listed(1).await;
        assert_eq!((import.imported, import.duplicate, contacts.len()), (2, 1, 2));
        let budi = &contacts[1];
        assert_eq!((budi.name.as_deref(), budi.zone.as_deref()), (Some("Budi"), Some("Asia/Jakarta")));
        assert_eq!(budi.input, "0812-3456-7890");
        let fields: Vec<(&str, &str)> = budi.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("kota", "Bandung"), ("nama", "Budi"), ("saldo_rp", "1.000")]);
        let other = &contacts[0];
        assert_eq!((&other.name, &other.zone, other.fields.len()), (&None, &None, 0));
        let problem = &import.problems[0];
        assert_eq!(
            (problem.row, problem.column.as_str(), problem.code.as_str()),
            (4, "Zona Waktu", "unknown_zone")
        );
    });
}

#[test]
fn every_encoding_brings_the_same_names() {
    let file = "phone,name\n+6281234567890,José Müller\n";
    let utf16 = |mark: u16, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(mark).chain(file.encode_utf16()).flat_map(bytes).collect()
    };
    let files = [
        file.as_bytes().to_vec(),
        [b"\xef\xbb\xbf", file.as_bytes()].concat(),
        utf16(0xfeff, u16::to_le_bytes),
        utf16(0xfeff, u16::to_be_bytes),
        encoding_rs::WINDOWS_1252.encode(file).0.into_owned(),
    ];
    for file in files {
        for size in [1, 2, 5, 1_000] {
            House::run(async |house| {
                house.import(1, pieces(&file, &[size])).await.unwrap();
                let contacts = house.listed(1).await;
                assert_eq!(contacts[0].name.as_deref(), Some("José Müller"), "{file:?} by {size}");
            });
        }
    }
}

#[test]
fn quoted_newlines_are_part_of_a_value_wherever_the_body_is_cut() {
    let mut file = "phone,name,address\n".to_owned();
    for index in 0..2_500 {
        file += &format!("\"+62812{index:08}\",\"Budi\r\n{index}\",\"Jl. \"\"Mawar\"\"\n\n{index}\"\n");
    }
    for sizes in [&[1][..], &[3, 1, 4, 1, 5, 9, 2, 6], &[4_096]] {
        House::run(async |house| {
            let import = house.import(1, pieces(file.as_bytes(), sizes)).await.unwrap();
            assert_eq!((import.rows_read, import.imported, import.invalid), (2_500, 2_500, 0));
            for (index, contact) in house.listed(1).await.iter().enumerate() {
                assert_eq!(contact.name.as_deref(), Some(format!("Budi  {index}").as_str()));
                assert_eq!(contact.fields["address"], format!("Jl. \"Mawar\"\n\n{index}"));
            }
        });
    }
}

#[test]
fn a_name_holds_no_control_characters() {
    let file = "phone,name\n+6281234567890,\"Bu\tdi\nS\u{7}\"\n+6281234567891,\u{1b}\u{7}\n";
    House::run(async |house| {
        house.import(1, pieces(file.as_bytes(), &[5])).await.unwrap();
        let names: Vec<_> = house.listed(1).await.into_iter().map(|contact| contact.name).collect();
        assert_eq!(names, [Some("Bu di S".to_owned()), None]);
    });
}

#[test]
fn delimiters_are_guessed_named_or_given() {
    for (file, delimiter) in [
        ("phone,city\n+6281234567890,Solo", None),
        ("phone;city\r\n+6281234567890;Solo", None),
        ("\n\nphone\tcity\n+6281234567890\tSolo", None),
        ("phone|city\n+6281234567890|Solo", None),
        ("sep=;\r\nphone;city\r\n+6281234567890;Solo", None),
        ("sep=^\nphone^city\n+6281234567890^Solo", None),
        ("phone~city,x\n+6281234567890~Solo", Some(b'~')),
    ] {
        House::run(async |mut house| {
            house.request.delimiter = delimiter;
            for (id, size) in [(1, 1), (2, 1_000)] {
                house.import(id, pieces(file.as_bytes(), &[size])).await.unwrap();
                let contacts = house.listed(id).await;
                let city = contacts[0].fields.values().next();
                assert_eq!(city.map(String::as_str), Some("Solo"), "{file:?}");
            }
        });
    }
}

#[test]
fn a_phone_column_without_a_telling_name_is_found_by_its_values() {
    for (file, found) in [
        ("id,joined,kontak_1\n10,2024-01-31,0812-3456-7890\n11,2024-02-01,\n", true),
        ("kode,x\n3174012345678901,+6281234567890\n", true),
        ("a,b\nx,y\nz,12\n", false),
    ] {
        House::run(async |house| match house.import(1, pieces(file.as_bytes(), &[9])).await {
            Ok(import) => assert_eq!((found, import.imported), (true, 1), "{file}"),
            Err(error) => {
                assert!(!found, "{file}: {error}");
                assert_eq!(
                    error.to_string(),
                    "none of the columns `a`, `b` holds phone numbers: call the column `phone`, or say which one it is"
                );
            }
        });
    }
}

#[test]
fn a_file_that_cannot_be_imported_says_what_to_do_and_its_record_says_the_same() {
    let unknown = Mapping { phone: Some("telepon".to_owned()), ..Mapping::default() };
    let guess = Mapping::default();
    let cases: [(&[u8], &Mapping, &str); 12] = [
        (b"", &guess, "the file does not begin with a row of column names"),
        (b" \n\r\n", &guess, "the file does not begin with a row of column names"),
        (b",,\n1,2,3\n", &guess, "the file does not begin with a row of column names"),
        (b"+6281234567890\n+6281234567891\n", &guess, "the file does not begin with a row of column names"),
        (b"phone,name\n\n \n", &guess, "the file has a header but no rows"),
        (b"phone,name\n1,2", &unknown, "the file has no column `telepon`: name one of `phone`, `name`"),
        (b"PK\x03\x04\x14\x00\x06\x00", &guess, "row 1 cannot be read as text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", &guess, "row 2 cannot be read as text"),
        (b"phone\n+6281234567890\n+62\x0012\n", &guess, "row 3 cannot be read as text"),
        (b"phone,n\n1,Jos\xc3\xa9\n2,Jos\xe9\n", &guess, "row 3 cannot be read as text"),
        (b"p\0", &guess, "row 1 cannot be read as text"),
        (b"phone,name\n+6281234567890,\"Bu\n+62", &guess, "row 2 has a quote that is never closed"),
    ];
    for (file, mapping, sentence) in cases {
        for size in [1, 1_000] {
            House::run(async |mut house| {
                house.request.mapping = mapping.clone();
                let error = house.import(1, pieces(file, &[size])).await.unwrap_err();
                assert!(error.to_string().starts_with(sentence), "{file:?}: {error}");
                let record = house.record(1).await;
                assert_eq!(record.state, ImportState::Failed);
                assert_eq!(record.error, Some(error.to_string()));
                assert!(record.finished.is_some());
            });
        }
    }
}

#[test]
fn rows_before_an_unreadable_one_are_counted_in_the_failed_record() {
    let mut file = "phone\n".to_owned();
    (0..2_000).for_each(|index| file += &format!("+62812{index:08}\n"));
    file += "\"";
    House::run(async |house| {
        let error = house.import(1, pieces(file.as_bytes(), &[4_096])).await.unwrap_err();
        assert!(matches!(error, ImportError::Malformed { row: 2_002, .. }), "{error:?}");
        assert_eq!(house.record(1).await.imported, 2_000);
        assert_eq!(house.listed(1).await.len(), 2_000);
    });
}

#[test]
fn problems_name_row_column_and_remedy_and_the_first_hundred_are_kept() {
    let mut file = "name,phone,opted_out\nA,12,\nB,+6281234567890,\"maybe\"\n\nC,1,2,3,4\nD\n".to_owned();
    (0..200).for_each(|_| file += "X,,\n");
    House::run(async |house| {
        let import = house.import(1, pieces(file.as_bytes(), &[100])).await.unwrap();
        assert_eq!((import.rows_read, import.imported, import.invalid), (204, 1, 203));
        assert_eq!(import.problems.len(), Import::PROBLEMS_MAX);
        let told: Vec<(u64, &str, &str)> =
            import.problems.iter().take(5).map(|p| (p.row, p.column.as_str(), p.code.as_str())).collect();
        let expected = [
            (2, "phone", "too_short"),
            (3, "opted_out", "opt_out_unclear"),
            (5, "", "fields"),
            (6, "", "fields"),
            (7, "phone", "empty"),
        ];
        assert_eq!(told, expected);
        assert_eq!(import.problems[2].message, "row 5 has 5 fields, the header has 3");
        assert_eq!(import.problems[3].message, "row 6 has 1 field, the header has 3");
    });
}

#[test]
fn an_opt_out_in_any_row_of_an_address_is_recorded_once() {
    let file =
        "phone,opted_out\n0812-3456-7890,no\n+6281234567890,ya\n6281234567890,yes\n+14155552671,y\n12,yes\n";
    House::run(async |house| {
        let import = house.import(1, pieces(file.as_bytes(), &[50])).await.unwrap();
        assert_eq!((import.imported, import.duplicate, import.opted_out), (2, 2, 2));
        let told: Vec<String> = house.opt_outs().iter().map(Address::to_text).collect();
        assert_eq!(told, ["+6281234567890", "+14155552671"]);
        assert_eq!(house.settled(), 1);
    });
}

#[test]
fn an_import_is_found_by_its_id_while_and_after_it_runs() {
    House::run(async |house| {
        let import = house.import(7, pieces(b"phone\n+6281234567890\n", &[3])).await.unwrap();
        assert_eq!((import.id, import.tenant, import.name.as_str()), (ImportId(7), TENANT, "customers"));
        assert_eq!(import.state, ImportState::Done);
        assert_eq!(house.record(7).await, import);
    });
}
