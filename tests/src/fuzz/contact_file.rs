//! Contact files: the importer on the memory store, as the API feeds it, and the preview of the same file.

use super::{kind, words_of};
use bytes::Bytes;
use futures::{FutureExt, Stream, stream};
use kabar_actors::import::{
    ImportError, ImportRequest, Importer, ImporterParts, Mapping, Preview, RowOutcome,
};
use kabar_engine::id::{ImportId, TenantId};
use kabar_runtime::{Clock, Node, NodeOptions};
use kabar_schema::records::{ConsentBasis, Import};
use kabar_schema::store::Store;
use std::sync::Arc;

pub(super) const WORDS: &[&str] = &[
    "phone,name\n",
    "no hp;nama;berhenti\n",
    "Phone\tName\n",
    "sep=;\n",
    "+62 812-3456-7890",
    "081234567890",
    "+1 415 555 2671",
    "0062 812 3456 7890",
    "6.28E+12",
    "\"",
    "\"\"",
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\r",
    "\r\n",
    "\u{feff}",
    "=cmd()",
    "yes",
    "ya",
    "Asia/Jakarta",
    "WIB",
    "zone",
    "opted_out",
    "kabar_error",
    "٠٨١٢",
    "８１２",
];

const TENANT: TenantId = TenantId(5);
/// Sizes of the pieces a file comes in.
const CUTS: [usize; 3] = [1, 7, usize::MAX];

/// Any bytes are a file whose rows add up, are all listed and look in the preview as they count in the import, however the file
/// is cut on its way; or they are refused with the row, and never for a reason that is not the file's.
///
/// # Panics
/// When one of these is not so.
pub fn contact_file(data: &[u8]) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("invariant: a runtime without input and output always starts");
    runtime.block_on(async {
        let seen = preview(data, usize::MAX).await;
        let told = import(data, CUTS[data.len() % CUTS.len()]).await;
        match (&told, &seen) {
            (Ok(import), Ok(seen)) => agree(import, seen),
            (Err(error), _) => refused(data, error),
            // The preview reads less, so it may only see less of what is wrong.
            (Ok(_), Err(error)) => panic!("an import of what cannot be looked at: {error}"),
        }
        assert_eq!(rows_of(&preview(data, 3).await), rows_of(&seen), "a file is the same in pieces");
        outcome(&told, &seen)
    })
}

/// All but the encoding: the preview tells that of as much as has come.
fn rows_of(seen: &Result<Preview, ImportError>) -> String {
    format!("{:?}", seen.as_ref().map(|seen| (seen.delimiter, &seen.columns, &seen.rows)))
}

fn outcome(told: &Result<Import, ImportError>, seen: &Result<Preview, ImportError>) -> u64 {
    let columns = seen.as_ref().map_or(0, |seen| seen.columns.len().min(6));
    match told {
        Ok(import) => {
            let counts = [import.imported, import.duplicate, import.invalid, import.opted_out];
            let delimiter = seen.as_ref().map_or((0, ""), |seen| (seen.delimiter, seen.encoding));
            kind(("read", counts.map(|count| count.min(3)), columns, delimiter))
        }
        Err(error) => kind(("refused", words_of(&error.to_string()), columns)),
    }
}

fn agree(import: &Import, seen: &Preview) {
    assert_eq!(import.imported + import.duplicate + import.invalid, import.rows_read, "rows add up");
    assert!(import.opted_out <= import.imported + import.duplicate);
    let count = |wanted| seen.rows.iter().filter(|row| row.outcome == wanted).count() as u64;
    let [valid, duplicate, invalid] =
        [RowOutcome::Valid, RowOutcome::Duplicate, RowOutcome::Invalid].map(count);
    if import.rows_read as usize == seen.rows.len() {
        assert_eq!((valid, duplicate, invalid), (import.imported, import.duplicate, import.invalid));
    } else {
        assert!(import.rows_read as usize > seen.rows.len(), "the preview saw more rows than there are");
    }
    for row in &seen.rows {
        assert_eq!(row.address.is_some(), row.outcome != RowOutcome::Invalid, "a valid row is somebody's");
    }
}

fn refused(data: &[u8], error: &ImportError) {
    // Rows end at line feeds and carriage returns, also of encodings of two bytes.
    let rows = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64 + 1;
    match error {
        ImportError::Encoding { row } | ImportError::Malformed { row, .. } => {
            assert!((1..=rows).contains(row), "row {row} of {rows}");
        }
        ImportError::NoHeader
        | ImportError::NoPhoneColumn { .. }
        | ImportError::Empty
        | ImportError::Delimiter(_) => {}
        other => panic!("not the file's fault: {other:?}"),
    }
    assert!(error.to_string().chars().count() < 4_096);
}

/// Imports the file into a fresh store; what it lists is compared with what it says.
async fn import(data: &[u8], size: usize) -> Result<Import, ImportError> {
    let (store, importer) = house();
    let import = importer.run(request(), pieces(data, size), |import| {
        assert_eq!(import.imported + import.duplicate + import.invalid, import.rows_read, "at every instant");
    });
    let import = import.await?;
    let listed = store.contacts.count(TENANT, Some(ImportId(1))).await.expect("memory answers");
    assert_eq!(listed, import.imported, "everybody who was imported is listed");
    Ok(import)
}

async fn preview(data: &[u8], size: usize) -> Result<Preview, ImportError> {
    house().1.preview(&request(), pieces(data, size)).await
}

fn request() -> ImportRequest {
    ImportRequest {
        tenant: TENANT,
        import: ImportId(1),
        name: "file".to_owned(),
        mapping: Mapping::default(),
        consent_basis: ConsentBasis::default(),
        consent_source: None,
        default_region: "ID".parse().ok(),
        delimiter: None,
    }
}

fn house() -> (Store, Importer) {
    let store = Store::memory();
    let clock = Clock::virtual_at(1_800_000_000_000);
    let node: Node<u64> = Node::new(NodeOptions::with_clock(clock.clone()));
    let importer = Importer::new(ImporterParts {
        contacts: Arc::clone(&store.contacts),
        nouns: store.nouns.clone(),
        compute: node.compute().clone(),
        clock,
        opt_out: Arc::new(|_, _| std::future::ready(Ok(())).boxed()),
        settled: Arc::new(|| std::future::ready(()).boxed()),
    });
    (store, importer)
}

fn pieces(data: &[u8], size: usize) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + use<> {
    let mut file = Bytes::copy_from_slice(data);
    let piece = move || (!file.is_empty()).then(|| Ok(file.split_to(size.min(file.len()))));
    stream::iter(std::iter::from_fn(piece))
}
