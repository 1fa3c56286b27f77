//! How the rows of a flush reach the cluster: gathered phase by phase, those of one partition together, different
//! partitions at the same time. Not which rows, and not what is in them.

use crate::error::StoreError;
use crate::scylla::cell::Cell;
use crate::scylla::cluster::{Cluster, all};
use crate::scylla::statement::ViewWrites;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows of one batch.
const BATCH_ROWS: usize = 50;
/// Batches on the wire.
const ON_WIRE: usize = 64;

/// A row to be written.
#[derive(Debug)]
struct Write<'s> {
    statement: &'s PreparedStatement,
    /// A hash of table and partition key: two partitions that share one by chance share a batch, which is slow and
    /// harmless.
    partition: u64,
    cells: Vec<Cell>,
}

fn partition(statement: &PreparedStatement, cells: &[Cell]) -> u64 {
    let mut hasher = DefaultHasher::new();
    statement.get_table_name().hash(&mut hasher);
    for key in statement.get_variable_pk_indexes() {
        cells.get(usize::from(key.index)).hash(&mut hasher);
    }
    hasher.finish()
}

/// The rows of one phase of an apply.
#[derive(Debug)]
pub(super) struct Phase<'s> {
    /// The statements rows are put with.
    pub(super) sql: &'s ViewWrites,
    writes: Vec<Write<'s>>,
}

impl<'s> Phase<'s> {
    /// Without rows.
    pub(super) fn new(sql: &'s ViewWrites) -> Self {
        Self { sql, writes: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn put(&mut self, statement: &'s PreparedStatement, cells: Vec<Cell>) {
        self.writes.push(Write { statement, partition: partition(statement, &cells), cells });
    }

    /// Rows in it.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Leaves the first rows only.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.writes.truncate(rows);
    }

    /// Writes all of it; the first error is the answer, and what was begun is finished.
    pub(super) async fn run(mut self, cluster: &Cluster) -> Result<(), StoreError> {
        self.writes.sort_by_key(|write| write.partition);
        let mut batches: Vec<Vec<Write<'s>>> = Vec::new();
        for write in self.writes {
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_ROWS && batch[0].partition == write.partition => {
                    batch.push(write);
                }
                _ => batches.push(vec![write]),
            }
        }
        let sends: Vec<_> = batches.into_iter().map(|batch| send(cluster, batch)).collect();
        all(ON_WIRE, sends).await
    }
}

async fn send(cluster: &Cluster, mut writes: Vec<Write<'_>>) -> Result<(), StoreError> {
    if writes.len() == 1 {
        let write = writes.remove(0);
        return cluster.write(write.statement, write.cells).await;
    }
    let mut batch = Batch::new(BatchType::Unlogged);
    let mut rows = Vec::with_capacity(writes.len());
    for write in writes {
        batch.append_statement(write.statement.clone());
        rows.push(write.cells);
    }
    cluster.write_batch(&mut batch, rows).await
}
