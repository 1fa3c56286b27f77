//! What an import costs: a contact file made while it is read, through the real importer, into the embedded store on a
//! temporary folder, without HTTP. Beside it the ceiling: the same bytes made and only cut into rows.

use crate::figures::rounded;
use crate::store::{TENANT, node};
use crate::{Options, cpu};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use csv_core::{ReadRecordResult, Reader};
use futures::stream;
use kabar_actors::Node;
use kabar_actors::import::{ImportRequest, Mapping};
use kabar_engine::id::ImportId;
use kabar_schema::records::{ConsentBasis, Import};
use kabar_schema::seal::MasterKey;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rows of a whole run.
const ROWS: u64 = 1_000_000;
/// Rows that leave the generator in one piece of the body.
const PIECE: u64 = 500;
/// Where the first look at the memory is, in rows of a hundred.
const EARLY_PERCENT: u64 = 10;

/// What one run came to.
struct Figures {
    seconds: f64,
    cpu_us: f64,
    peak_mb: u64,
    early_mb: u64,
    end_mb: u64,
    ceiling: f64,
    import: Import,
}

/// Runs it and prints it.
pub fn run(options: Options, rows: Option<u64>) -> Result<()> {
    let rows = rows.unwrap_or_else(|| options.scaled(ROWS));
    ensure!(rows > 0, "--rows must be at least 1");
    let ceiling = ceiling(rows)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let node = node(folder.path(), &MasterKey::random()).await?;
        let figures = measure(&node, rows, ceiling).await;
        node.shutdown().await;
        figures
    })?;
    print(options, rows, &figures);
    Ok(())
}

fn print(options: Options, rows: u64, figures: &Figures) {
    let rate = rows as f64 / figures.seconds;
    let Figures { seconds, cpu_us, peak_mb, early_mb, end_mb, ceiling, import } = figures;
    println!("import: {rows} rows in {seconds:.2} s, {rate:.0} rows/s, {cpu_us:.1} CPU us per row");
    println!(
        "ceiling: {ceiling:.0} rows/s, the same bytes made and only cut into rows by csv-core, one core"
    );
    println!(
        "memory: {early_mb} MB at {EARLY_PERCENT} % of the rows, {end_mb} MB at the end, peak {peak_mb} MB"
    );
    println!(
        "counts: {} imported, {} duplicate, {} invalid, {} opted out",
        import.imported, import.duplicate, import.invalid, import.opted_out
    );
    if options.json {
        let object = json!({
            "rows": rows, "seconds": rounded(*seconds), "rows_per_second": rounded(rate),
            "cpu_us_per_row": rounded(*cpu_us), "peak_mb": peak_mb, "mb_at_10_percent": early_mb,
            "mb_at_100_percent": end_mb, "ceiling": "csv-core", "ceiling_rows_per_second": rounded(*ceiling),
            "imported": import.imported, "duplicate": import.duplicate, "invalid": import.invalid,
            "opted_out": import.opted_out,
        });
        println!("{object}");
    }
}

async fn measure(node: &Arc<Node>, rows: u64, ceiling: f64) -> Result<Figures> {
    let (begin, spent) = (Instant::now(), cpu::spent());
    // When the last line was printed with the rows of then; and the memory of the first look.
    let told = Mutex::new((begin, 0_u64, None::<u64>));
    let progress = |import: &Import| {
        let Ok(mut told) = told.lock() else { return };
        if told.2.is_none() && import.rows_read * 100 >= rows * EARLY_PERCENT {
            told.2 = Some(cpu::resident_mb());
        }
        let since = told.0.elapsed();
        if since >= Duration::from_secs(1) {
            let rate = (import.rows_read - told.1) as f64 / since.as_secs_f64();
            eprintln!("{} of {rows} rows, {rate:.0} rows/s, {} MB", import.rows_read, cpu::resident_mb());
            (told.0, told.1) = (Instant::now(), import.rows_read);
        }
    };
    let body = stream::iter(pieces(rows).map(|piece| Ok(Bytes::from(piece))));
    let import = node.dispatcher().importer().run(request(), body, progress).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu_us = (cpu::spent() - spent).as_secs_f64() * 1e6 / rows as f64;
    let end_mb = cpu::resident_mb();
    ensure!(import.rows_read == rows, "{} rows were read instead of {rows}", import.rows_read);
    let early_mb = told.into_inner().ok().and_then(|told| told.2).context("nothing was read")?;
    Ok(Figures { seconds, cpu_us, peak_mb: cpu::peak_mb(), early_mb, end_mb, ceiling, import })
}

fn request() -> ImportRequest {
    ImportRequest {
        tenant: TENANT,
        import: ImportId(1),
        name: "bench".to_owned(),
        mapping: Mapping::default(),
        consent_basis: ConsentBasis::Unknown,
        consent_source: None,
        default_region: "ID".parse().ok(),
        delimiter: None,
    }
}

/// The file in pieces, made when they are asked for.
fn pieces(rows: u64) -> impl Iterator<Item = String> + Send + Unpin {
    let header = std::iter::once("name,phone,city,opted_out\n".to_owned());
    header.chain((0..rows.div_ceil(PIECE)).map(move |piece| {
        let first = piece * PIECE;
        (first..rows.min(first + PIECE)).map(row).collect()
    }))
}

/// One in fifty says an earlier number again, one in a hundred none; hardly anybody has opted out.
fn row(n: u64) -> String {
    let city = ["Jakarta", "Bandung", "Medan", "Solo", "Makassar"][usize::try_from(n % 5).unwrap_or(0)];
    let opted_out = if n % 100_000 == 9 { "yes" } else { "no" };
    match n % 100 {
        7 => format!("Siti {n},12,{city},no\n"),
        13 | 63 => format!("Budi {n},+62 812 {:08},{city},no\n", shuffled(n - 1)),
        // Numbers do not come in order, as in a real file.
        _ => format!("\"Budi {n}, S.E.\",0812{:08},{city},{opted_out}\n", shuffled(n)),
    }
}

/// Another number of eight digits for each of the first hundred million.
fn shuffled(n: u64) -> u64 {
    n * 48_271 % 100_000_000
}

/// Rows per second when the same bytes are only made and cut.
fn ceiling(rows: u64) -> Result<f64> {
    let begin = Instant::now();
    let (mut reader, mut cut) = (Reader::new(), 0_u64);
    let (mut fields, mut ends) = ([0_u8; 4_096], [0_usize; 16]);
    let (mut written, mut ended) = (0, 0);
    for piece in pieces(rows).map(Some).chain(std::iter::once(None)) {
        let (bytes, last) = piece.map_or((Vec::new(), true), |text| (text.into_bytes(), false));
        let mut at = 0;
        while last || at < bytes.len() {
            let (result, read, wrote, found) =
                reader.read_record(&bytes[at..], &mut fields[written..], &mut ends[ended..]);
            (at, written, ended) = (at + read, written + wrote, ended + found);
            match result {
                ReadRecordResult::Record => (cut, written, ended) = (cut + 1, 0, 0),
                ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    anyhow::bail!("a row of the bench is too long for it")
                }
            }
        }
    }
    ensure!(cut == rows + 1, "{cut} rows were cut, the header counted, instead of {}", rows + 1);
    Ok(rows as f64 / begin.elapsed().as_secs_f64())
}
