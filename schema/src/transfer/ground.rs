//! Whether the target may be written to, and how far a move has come there: one record says so. Not the moving.

use super::{Line, Mover, On, Phase, Side, Sum, TransferError};
use crate::error::StoreError;
use crate::journal::{Cursor, ShardSet};
use crate::records::{DataKey, Key, Moved, MovedKind, Noun, Record, Session, Tenant};

/// The record of the move.
pub(super) struct Ground {
    moved: Moved,
    version: u64,
}

impl Ground {
    /// The half-finished move of this folder, or a new one in an empty target.
    pub(super) async fn find(m: &Mover<'_>) -> Result<Self, TransferError> {
        let source = format!("{:032x}", m.export.fingerprint().await.on(Side::Source, Phase::Numbers)?);
        let target = |answer| On::on(answer, Side::Target, Phase::Numbers);
        let tenant = kabar_engine::id::TenantId(0);
        let stored = m.target.records.get(Moved::KIND, tenant, Moved::ID).await;
        let stored: Option<Record> = stored.on(Side::Target, Phase::Numbers)?;
        if let Some(record) = stored {
            let moved: Moved = record.noun().on(Side::Target, Phase::Numbers)?;
            if moved.source != source {
                return Err(TransferError::Another);
            }
            return Ok(Self { moved, version: record.version });
        }
        if let Some(what) = target(found(m).await)? {
            return Err(TransferError::NotEmpty { what });
        }
        let mut ground = Self { moved: Moved { source, steps: 0, complete: None }, version: 0 };
        ground.keep(m).await?;
        Ok(ground)
    }

    /// What the finished move came to.
    pub(super) fn finished(&self) -> Result<Option<Vec<Line>>, TransferError> {
        let Some(kinds) = &self.moved.complete else { return Ok(None) };
        let line = |kind: &MovedKind| {
            let digest = u128::from_str_radix(&kind.digest, 16).map_err(|_| StoreError::Unavailable);
            let digest = digest.on(Side::Target, Phase::Verify)?;
            Ok(Line { kind: kind.kind.clone(), sum: Sum { rows: kind.rows, digest } })
        };
        kinds.iter().map(line).collect::<Result<_, _>>().map(Some)
    }

    /// Steps that are finished.
    pub(super) fn steps(&self) -> usize {
        self.moved.steps
    }

    /// A step is finished.
    pub(super) async fn reached(&mut self, m: &Mover<'_>, steps: usize) -> Result<(), TransferError> {
        self.moved.steps = steps;
        self.keep(m).await
    }

    /// All is there and compared.
    pub(super) async fn finish(&mut self, m: &Mover<'_>, lines: &[Line]) -> Result<(), TransferError> {
        let kind = |line: &Line| MovedKind {
            kind: line.kind.clone(),
            rows: line.sum.rows,
            digest: format!("{:032x}", line.sum.digest),
        };
        self.moved.complete = Some(lines.iter().map(kind).collect());
        self.keep(m).await
    }

    async fn keep(&mut self, m: &Mover<'_>) -> Result<(), TransferError> {
        let put = async {
            let record = Record::of(&self.moved)?;
            m.target.records.put(record, self.version).await
        };
        self.version = put.await.on(Side::Target, Phase::Numbers)?;
        Ok(())
    }
}

/// Something in the target, if anything is there. Everything else stands on one of these.
async fn found(m: &Mover<'_>) -> Result<Option<&'static str>, StoreError> {
    for kind in [Tenant::KIND, DataKey::KIND, Key::KIND, Session::KIND] {
        if !m.target.records.all(kind, None, 1).await?.is_empty() {
            return Ok(Some("records"));
        }
    }
    if !m.target.views.marks().await?.is_empty() {
        return Ok(Some("views"));
    }
    let journal = m.target.journal.read(&ShardSet::all(), &Cursor::default(), 1).await?;
    if !journal.entries.is_empty() || m.target.journal.floor().await? != Cursor::default() {
        return Ok(Some("a journal"));
    }
    Ok(None)
}
