//! What an import promises when it is repeated, when the store fails or the sender goes away, and how fast it is.

use super::house::{House, TENANT, pieces};
use crate::import::{ImportError, ImportRequest, Importer};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future, stream};
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_runtime::Clock;
use kabar_schema::contacts::{Contact, ContactDraft, Contacts, Upserted};
use kabar_schema::records::{Import, ImportState};
use kabar_schema::{Answer, StoreError};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FILE: &[u8] = b"phone,name\n+6281234567890,Budi\n+14155552671,Ann\n0812-3456-7890,Budi\n12,X\n";

#[test]
fn a_done_import_is_given_again_without_reading() {
    House::run(async |house| {
        let first = house.import(1, pieces(FILE, &[9])).await.unwrap();
        let never = stream::pending::<std::io::Result<Bytes>>();
        assert_eq!(house.import(1, never).await, Ok(first));
    });
}

#[test]
fn the_same_file_under_another_id_finds_the_same_contacts() {
    House::run(async |house| {
        let first = house.import(1, pieces(FILE, &[9])).await.unwrap();
        let second = house.import(2, pieces(FILE, &[4])).await.unwrap();
        assert_eq!((first.created_contacts, first.updated_contacts), (2, 0));
        assert_eq!((second.created_contacts, second.updated_contacts), (0, 2));
        assert_eq!((second.imported, second.duplicate, second.invalid), (2, 1, 1));
        assert_eq!(house.listed(1).await, house.listed(2).await);
        assert_eq!(house.store.contacts.count(TENANT, None).await, Ok(2));
    });
}

#[test]
fn a_failed_import_begins_anew_under_its_id() {
    House::run(async |house| {
        let broken = [FILE, b"\""].concat();
        house.import(1, pieces(&broken, &[9])).await.unwrap_err();
        let failed = house.record(1).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        let import = house.import(1, pieces(FILE, &[9])).await.unwrap();
        assert_eq!((import.rows_read, import.imported, import.error), (4, 2, None));
        assert_eq!((import.state, import.created), (ImportState::Done, failed.created));
    });
}

#[test]
fn a_later_run_under_the_same_id_wins_while_both_run() {
    House::run(async |house| {
        let run = || {
            let (sender, body) = futures::channel::mpsc::unbounded();
            sender.unbounded_send(Ok(Bytes::from_static(FILE))).unwrap();
            let (importer, request) = (Importer::new(house.parts.clone()), house.request.clone());
            (sender, tokio::spawn(async move { importer.run(request, body, |_| ()).await }))
        };
        let (first_sender, first) = run();
        tokio::task::yield_now().await;
        let (second_sender, second) = run();
        tokio::task::yield_now().await;
        drop(first_sender);
        assert_eq!(first.await.unwrap(), Err(ImportError::Store(StoreError::Conflict)));
        // Whatever the first one leaves behind has run by then.
        Clock::virtual_at(0).sleep_ms(1).await;
        assert_eq!(house.record(1).await.state, ImportState::Reading);
        drop(second_sender);
        assert_eq!(second.await.unwrap(), Ok(house.record(1).await));
        assert_eq!(house.record(1).await.state, ImportState::Done);
    });
}

#[test]
fn a_body_that_breaks_off_fails_the_import() {
    House::run(async |house| {
        let torn = stream::iter([Ok(Bytes::from_static(FILE)), Err(std::io::Error::other("reset"))]);
        let error = house.import(1, torn).await.unwrap_err();
        assert_eq!(error.to_string(), "the file did not arrive completely (reset): send it again");
        assert_eq!(house.record(1).await.state, ImportState::Failed);
    });
}

#[test]
fn an_import_whose_sender_goes_away_ends_as_failed() {
    House::run(async |house| {
        let body = pieces(FILE, &[9]).chain(stream::pending());
        assert!(house.import(1, Box::pin(body)).now_or_never().is_none());
        assert_eq!(house.record(1).await.state, ImportState::Reading);
        // The writer was spawned when the future was dropped; on one thread it runs when this task waits.
        Clock::virtual_at(0).sleep_ms(1).await;
        let record = house.record(1).await;
        assert_eq!(record.state, ImportState::Failed);
        let error = "the file did not arrive completely (the sender went away): send it again";
        assert_eq!(record.error.as_deref(), Some(error));
    });
}

#[test]
fn progress_is_told_after_every_chunk_and_written_once_a_second() {
    let mut file = "phone\n".to_owned();
    (0..10_500).for_each(|index| file += &format!("+62812{index:08}\n"));
    House::run(async |house| {
        // Every piece, about a chunk, comes 400 ms after the one before.
        let slow = pieces(file.as_bytes(), &[15_000]).then(|piece| async {
            Clock::virtual_at(0).sleep_ms(400).await;
            piece
        });
        let told = Mutex::new(Vec::new());
        let importer = Importer::new(house.parts.clone());
        let progress = |import: &Import| {
            assert_eq!(import.imported + import.duplicate + import.invalid, import.rows_read);
            told.lock().push(import.rows_read);
        };
        let import = importer.run(house.request.clone(), Box::pin(slow), progress).await.unwrap();
        let expected: Vec<u64> = (1..=10).map(|n| n * 1_000).chain([10_500]).collect();
        assert_eq!(*told.lock(), expected);
        assert_eq!(import.rows_read, 10_500);
        let record = house.store.nouns.get::<Import>(TENANT, 1).await.unwrap().unwrap();
        // Made, written after 1 s or more while 4.4 s passed, closed.
        assert!((3..=6).contains(&record.version), "{}", record.version);
    });
}

/// Contacts that answer from a script first.
struct Flaky {
    inner: Arc<dyn Contacts>,
    /// The error, and whether the rows are written all the same.
    script: Mutex<VecDeque<(StoreError, bool)>>,
    /// Rows it was given to write.
    written: Arc<AtomicU64>,
}

impl Contacts for Flaky {
    fn upsert(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Answer<'_, Upserted> {
        self.written.fetch_add(rows.len() as u64, Ordering::SeqCst);
        let Some((error, applied)) = self.script.lock().pop_front() else {
            return self.inner.upsert(tenant, list, rows, now);
        };
        async move {
            if applied {
                self.inner.upsert(tenant, list, rows, now).await?;
            }
            Err(error)
        }
        .boxed()
    }
    fn get(&self, tenant: TenantId, id: ContactId) -> Answer<'_, Option<Contact>> {
        self.inner.get(tenant, id)
    }
    fn by_address<'a>(&'a self, tenant: TenantId, address: &'a Address) -> Answer<'a, Option<Contact>> {
        self.inner.by_address(tenant, address)
    }
    fn page(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<Contact>> {
        self.inner.page(tenant, list, after, limit)
    }
    fn count(&self, tenant: TenantId, list: Option<ImportId>) -> Answer<'_, u64> {
        self.inner.count(tenant, list)
    }
    fn restore(&self, contact: Contact, lists: Vec<ImportId>) -> Answer<'_, ()> {
        self.inner.restore(contact, lists)
    }
    fn replace(&self, contact: Contact, expect: u64) -> Answer<'_, u64> {
        self.inner.replace(contact, expect)
    }
    fn delete(&self, tenant: TenantId, id: ContactId) -> Answer<'_, bool> {
        self.inner.delete(tenant, id)
    }
}

/// Contacts that fail by this script first; gives the count of the rows that are to be written.
pub(super) fn flaky(house: &mut House, script: &[(StoreError, bool)]) -> Arc<AtomicU64> {
    let inner = Arc::clone(&house.store.contacts);
    let script = Mutex::new(script.iter().copied().collect());
    let written = Arc::new(AtomicU64::new(0));
    house.parts.contacts = Arc::new(Flaky { inner, script, written: Arc::clone(&written) });
    written
}

#[test]
fn a_store_that_fails_for_a_while_loses_and_doubles_nothing() {
    House::run(async |mut house| {
        let script = [
            (StoreError::Unavailable, false),
            (StoreError::Overloaded, false),
            (StoreError::Unknown, false),
            (StoreError::Unknown, true),
        ];
        flaky(&mut house, &script);
        let import = house.import(1, pieces(FILE, &[9])).await.unwrap();
        assert_eq!((import.imported, import.duplicate, import.invalid), (2, 1, 1));
        assert_eq!(house.listed(1).await.len(), 2);
    });
}

#[test]
fn a_store_that_keeps_failing_fails_the_import_and_counts_nothing() {
    House::run(async |mut house| {
        flaky(&mut house, &[(StoreError::Unavailable, false); 20]);
        let error = house.import(1, pieces(FILE, &[9])).await.unwrap_err();
        assert_eq!(error, ImportError::Store(StoreError::Unavailable));
        let record = house.record(1).await;
        assert_eq!((record.state, record.rows_read), (ImportState::Failed, 0));
    });
}

#[test]
fn an_opt_out_that_cannot_be_recorded_keeps_its_contact_out() {
    House::run(async |mut house| {
        house.parts.opt_out = Arc::new(|_, _| future::ready(Err(StoreError::Unavailable)).boxed());
        let file = b"phone,opted_out\n+6281234567890,yes\n";
        let error = house.import(1, pieces(file, &[9])).await.unwrap_err();
        assert_eq!(error, ImportError::Store(StoreError::Unavailable));
        assert!(house.listed(1).await.is_empty());
    });
}

/// Two hundred thousand rows, made while they are read: the file is never in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_rows_pass_on_the_real_pool() {
    const ROWS: u64 = 200_000;
    let house = House::new(Clock::system());
    let header = std::iter::once("phone,name,city,note\n".to_owned());
    let rows = (0..ROWS).map(|index| match index % 20 {
        7 => format!("12,Siti {index},Solo,\"too\nshort\"\n"),
        13 => format!("+62 812 {:08},Budi {index},Medan,again\n", index - 1),
        _ => format!("0812{index:08},Budi {index},Bandung,\"a, \"\"b\"\"\"\n"),
    });
    let body =
        stream::iter(header.chain(rows).map(|row| Ok(Bytes::from(row)))).ready_chunks(500).map(|rows| {
            let rows: Vec<Bytes> = rows.into_iter().collect::<std::io::Result<_>>()?;
            Ok(Bytes::from(rows.concat()))
        });
    let began = Instant::now();
    let request = ImportRequest { import: ImportId(9), ..house.request.clone() };
    let import = Importer::new(house.parts.clone()).run(request, body, |_| ()).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    let rate = ROWS as f64 / seconds;
    println!("{ROWS} rows in {seconds:.2} s: {rate:.0} rows/s");
    let counts = (import.rows_read, import.imported, import.duplicate, import.invalid);
    assert_eq!(counts, (ROWS, ROWS / 20 * 18, ROWS / 20, ROWS / 20));
    assert_eq!(house.store.contacts.count(TENANT, Some(ImportId(9))).await, Ok(import.imported));
    house.node.shutdown().await;
}

#[test]
fn an_import_that_begins_anew_keeps_the_invalid_rows_of_its_last_try_alone() {
    use kabar_schema::records::ImportErrors;
    let mut failing = "phone,note\n".to_owned();
    (0..4_500).for_each(|n| failing += &format!("12,{n}\n"));
    failing += "\"";
    House::run(async |house| {
        house.import(1, pieces(failing.as_bytes(), &[4_096])).await.unwrap_err();
        assert!(house.record(1).await.errors_kept >= 4_000);
        house.import(2, pieces(b"phone,note\n12,other\n", &[9])).await.unwrap();
        let import = house.import(1, pieces(b"phone,note\n13,last\n+6281234567890,\n", &[9])).await.unwrap();
        assert_eq!((import.invalid, import.errors_kept, import.errors_left_off), (1, 1, 0));
        let nouns = &house.store.nouns;
        let index = Some((ImportErrors::IMPORT, "1"));
        let batches = nouns.page::<ImportErrors>(TENANT, index, None, 100).await.unwrap();
        let rows: Vec<_> = batches.iter().flat_map(|batch| &batch.noun.rows).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].row, &rows[0].values[..]), (2, &["13".to_owned(), "last".to_owned()][..]));
    });
}
