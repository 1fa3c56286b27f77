//! What an import promises when its process is killed: the same file finishes it, and nothing is written twice.

use super::house::{House, pieces};
use super::promises::flaky;
use crate::import::{ImportError, ImportRequest, Importer};
use bytes::Bytes;
use futures::future::{Either, select};
use futures::{Stream, StreamExt};
use kabar_engine::id::ImportId;
use kabar_runtime::Clock;
use kabar_schema::records::{Import, ImportState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Rows; every tenth says an earlier number again, every thirtieth none; the last ones opt out.
fn file(rows: u32) -> String {
    let row = |index: u32| match index % 30 {
        29 => format!("12,Siti {index},no\n"),
        9 | 19 => format!("+62812{:08},Again {index},no\n", index - 1),
        _ => format!("+62812{index:08},Budi {index},{}\n", if index % 1_000 == 7 { "yes" } else { "no" }),
    };
    std::iter::once("phone,name,opted_out\n".to_owned()).chain((0..rows).map(row)).collect()
}

/// A body of which a piece, about a thousand rows, comes every 300 ms.
fn slow(file: &str) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + use<> {
    Box::pin(pieces(file.as_bytes(), &[32_000]).then(|piece| async {
        Clock::virtual_at(0).sleep_ms(300).await;
        piece
    }))
}

/// Imports, and is killed after so many ms: nothing that would run at the end does.
async fn killed(house: &House, id: u64, file: &str, ms: u64) {
    let request = ImportRequest { import: ImportId(id), ..house.request.clone() };
    let (importer, body) = (Importer::new(house.parts.clone()), slow(file));
    let run = Box::pin(async move { importer.run(request, body, |_| ()).await });
    match select(run, Box::pin(Clock::virtual_at(0).sleep_ms(ms))).await {
        Either::Right(((), run)) => std::mem::forget(run),
        Either::Left((ended, _)) => panic!("it ended before, well: {}", ended.is_ok()),
    }
}

/// A house that counts the rows it is given to write, with a few contacts known for long.
async fn counting(mut house: House) -> (House, Arc<AtomicU64>) {
    house.import(99, pieces(file(700).as_bytes(), &[4_096])).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    let written = flaky(&mut house, &[]);
    (house, written)
}

/// All that a run comes to, without its moments.
fn totals(import: Import) -> Import {
    let zero = kabar_engine::time::Timestamp(0);
    Import { id: ImportId(0), created: zero, finished: None, ..import }
}

#[test]
fn a_killed_import_goes_on_at_its_checkpoint_and_its_totals_are_those_of_an_uninterrupted_one() {
    let file = file(12_500);
    let mut whole = None;
    House::run(async |house| {
        let (house, _) = counting(house).await;
        whole = Some(totals(house.import(1, pieces(file.as_bytes(), &[4_096])).await.unwrap()));
    });
    let whole = whole.unwrap();
    assert!(whole.updated_contacts > 0 && whole.created_contacts > 9_000 && whole.opted_out > 0);
    House::run(async |house| {
        let (house, written) = counting(house).await;
        killed(&house, 1, &file, 2_800).await;
        let cut = house.record(1).await;
        let (first, listed) = (written.swap(0, Ordering::SeqCst), house.listed(1).await.len() as u64);
        assert_eq!(cut.state, ImportState::Reading);
        // Rows stand behind the checkpoint, or the test would not see that they are counted as created.
        assert!(0 < cut.imported && cut.imported < listed && listed == first, "{} of {listed}", cut.imported);
        tokio::time::advance(Duration::from_secs(60)).await;
        let import = house.import(1, pieces(file.as_bytes(), &[999])).await.unwrap();
        assert_eq!((import.created, import.checkpoint.clone()), (cut.created, None));
        assert_eq!(written.load(Ordering::SeqCst), whole.imported - cut.imported, "only what is behind it");
        assert_eq!(totals(import), whole);
        assert_eq!(house.listed(1).await.len() as u64, whole.imported);
    });
}

#[test]
fn an_import_killed_twice_and_once_before_its_first_checkpoint_comes_to_the_same_totals() {
    let file = file(20_000);
    House::run(async |house| {
        let (house, _) = counting(house).await;
        killed(&house, 1, &file, 950).await;
        assert_eq!(house.record(1).await.rows_read, 0);
        assert!(!house.listed(1).await.is_empty());
        for ms in [1_900, 3_300] {
            tokio::time::advance(Duration::from_secs(60)).await;
            killed(&house, 1, &file, ms).await;
        }
        assert!(house.record(1).await.rows_read > 1_000);
        let resumed = totals(house.import(1, pieces(file.as_bytes(), &[5_000])).await.unwrap());
        // Contacts known before are the same hundreds.
        assert_eq!(resumed.updated_contacts, house.record(99).await.imported);
        assert_eq!(resumed.created_contacts + resumed.updated_contacts, resumed.imported);
        assert_eq!(resumed.imported, house.listed(1).await.len() as u64);
    });
}

#[test]
fn another_file_under_a_killed_import_is_refused_and_changes_nothing() {
    let right = file(6_000);
    let one_name = right.replacen("Budi 3,", "Bodi 3,", 1);
    let short = file(800);
    House::run(async |house| {
        let (mut house, written) = counting(house).await;
        killed(&house, 1, &right, 1_600).await;
        let (cut, before) = (house.record(1).await, written.load(Ordering::SeqCst));
        assert!(cut.rows_read > 800 && right != one_name);
        for other in
            [one_name.as_str(), &short, "", "a,b\nx,y\n", "phone,name,opted_out\n\"", "phone,name\n1,2\n"]
        {
            let refused = house.import(1, pieces(other.as_bytes(), &[4_096])).await;
            assert_eq!(refused, Err(ImportError::OtherFile), "{}", &other[..other.len().min(40)]);
            assert_eq!(house.record(1).await, cut);
        }
        let region = house.request.default_region.take();
        let refused = house.import(1, pieces(right.as_bytes(), &[4_096])).await;
        assert_eq!(refused, Err(ImportError::OtherFile), "other columns");
        house.request.default_region = region;
        let torn = pieces(&right.as_bytes()[..9_000], &[4_096]);
        let torn = torn.chain(futures::stream::iter([Err(std::io::Error::other("reset"))]));
        assert!(matches!(house.import(1, torn).await, Err(ImportError::Body(_))));
        assert_eq!((house.record(1).await, written.load(Ordering::SeqCst)), (cut, before));
        let import = house.import(1, pieces(right.as_bytes(), &[4_096])).await.unwrap();
        assert_eq!((import.state, import.rows_read), (ImportState::Done, 6_000));
    });
}

#[test]
fn a_file_that_is_broken_behind_the_checkpoint_fails_and_says_where() {
    let broken = format!("{}\"", file(9_000));
    House::run(async |house| {
        let (house, _) = counting(house).await;
        killed(&house, 1, &broken, 1_600).await;
        let error = house.import(1, pieces(broken.as_bytes(), &[4_096])).await.unwrap_err();
        assert!(matches!(error, ImportError::Malformed { row: 9_002, .. }), "{error:?}");
        let record = house.record(1).await;
        assert_eq!((record.state, record.rows_read, record.checkpoint), (ImportState::Failed, 9_000, None));
    });
}
