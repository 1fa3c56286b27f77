//! The demo: its numbers add up and are those of the file; what cannot be used is said in one sentence.

use kabar_api::demo::{Demo, Generator};
use kabar_api::exit::USAGE;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_demo_adds_up_to_the_file_and_to_the_ledger() {
    let demo = Demo { rows: Some(300), seed: 5, ..Demo::default() };
    let mut generator = Generator::new(300, 5);
    generator.write(&mut Vec::new()).unwrap();
    let expected = generator.expected();
    let (figures, differences) = demo.figures().await.unwrap();
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!((figures.rows_read, figures.imported), (300, expected.imported));
    assert_eq!((figures.duplicate, figures.invalid), (expected.duplicate, expected.invalid));
    assert_eq!((figures.opted_out, figures.missing_variable), (expected.opted_out, expected.missing_city));
    assert_eq!(figures.recipients, expected.imported - expected.opted_out - expected.missing_city);
    assert_eq!(figures.sent + figures.failed + figures.expired + figures.unknown, figures.recipients);
    assert!(figures.sent > figures.delivered / 2 && figures.read > 0 && figures.replied > 0, "{figures:?}");
    assert_eq!(figures.repeated, 0);
    assert!(figures.seconds > 0.0 && figures.per_second > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_said_in_one_sentence_and_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Some(path)
    };
    let wrong = |contacts| Demo { contacts, ..Demo::default() };
    for (demo, words) in [
        (wrong(Some(folder.path().join("nowhere.csv"))), "nowhere.csv"),
        (wrong(Some(folder.path().to_owned())), "not a file"),
        (wrong(file("empty.csv", b"")), "column names"),
        (wrong(file("header.csv", b"name,phone\n")), "no rows"),
        (wrong(file("columns.csv", b"a,b\nx,y\n")), "--phone-column"),
        (wrong(file("numbers.csv", b"name,phone\nAna,n/a\nBudi,-\n")), "none of the 2 rows"),
        (wrong(file("out.csv", b"name,phone,opted_out\nAna,081234567890,yes\n")), "nobody is left"),
        (wrong(file("binary.csv", &[0x50, 0x4b, 3, 4, 0, 0, 0xff, 0xfe, 0, 0xd8])), ""),
        (
            Demo {
                phone_column: Some("Nomor HP".into()),
                contacts: file("named.csv", b"name,phone\nAna,081234567890\n"),
                ..Demo::default()
            },
            "no column `Nomor HP`",
        ),
        (Demo { rows: Some(0), ..Demo::default() }, "--rows"),
    ] {
        let failure = demo.figures().await.expect_err(words);
        assert_eq!(failure.code, USAGE, "{failure}");
        assert!(failure.sentence.contains(words) && !failure.sentence.contains('\n'), "{failure}");
    }
}

#[test]
fn the_object_is_the_last_line_of_stdout_and_people_read_stderr() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_kabar")).args(["demo", "--rows", "60", "--json"]).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let object: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!(object["rows_read"].as_u64(), Some(60));
    assert_eq!(object["sandbox"]["repeated"].as_u64(), Some(0));
    assert!(stderr.contains("recipients") && stderr.contains("ledger agrees"), "{stderr}");
}

#[test]
fn a_contact_file_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contacts.csv");
    let output = Command::new(env!("CARGO_BIN_EXE_kabar"))
        .args(["demo", "--rows", "2000", "--write-contacts"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2_001);
}
