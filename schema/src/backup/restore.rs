//! The way back: a backup is checked byte by byte while it is copied, opened once to prove that it opens, and only
//! then gets its name. The backup itself stays untouched.

use super::files::{Target, digest};
use super::manifest::Manifest;
use super::partial::Partial;
use super::{BackupError, JOURNAL, Step, Watch, damaged};
use crate::error::OpenError;
use crate::journal::{OnFailure, archive};
use crate::seal::MasterKey;
use crate::store::{EmbeddedOptions, Store};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads every file of a backup and compares it with the manifest.
///
/// # Errors
/// [`BackupError::Damaged`] naming the first file that is not what was written, and as [`Manifest::read`].
pub fn verify(from: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(from)?;
    (watch.0)(Step::Ahead(manifest.bytes()));
    for line in &manifest.files {
        let path = from.join(&line.path);
        let found = digest(&path, watch).map_err(|error| missing(&path, error))?;
        check(&path, (line.bytes, &line.sha256), (found.0, &found.1))?;
    }
    Ok(manifest)
}

fn check(path: &Path, wanted: (u64, &str), found: (u64, &str)) -> Result<(), BackupError> {
    if found.0 != wanted.0 {
        return Err(damaged(path, format!("it has {} bytes instead of {}", found.0, wanted.0)));
    }
    if found.1 != wanted.1 {
        return Err(damaged(path, "its digest is not that of the manifest".to_owned()));
    }
    Ok(())
}

/// A file that is not there, or short, is damage like any other.
fn missing(path: &Path, error: BackupError) -> BackupError {
    if error.is_passing() { damaged(path, "it is missing or short".to_owned()) } else { error }
}

/// A backup that was copied and compared, not yet at its place. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Unpacked {
    partial: Partial,
    /// What the backup says of itself.
    pub manifest: Manifest,
}

impl Unpacked {
    /// Copies a backup beside `to`, which must be empty or not there, comparing every byte. Blocks on files.
    ///
    /// # Errors
    /// As [`verify`]; [`BackupError::Occupied`].
    pub fn copy(from: &Path, to: &Path, watch: Watch<'_>) -> Result<Self, BackupError> {
        let manifest = Manifest::read(from)?;
        let partial = Partial::begin(to)?;
        (watch.0)(Step::Ahead(manifest.bytes()));
        let target = Target { folder: &partial.path, watch };
        for line in &manifest.files {
            let path = from.join(&line.path);
            let found = std::fs::metadata(&path).map_err(BackupError::io("look at", &path));
            let found = found.map_err(|error| missing(&path, error))?;
            check(&path, (line.bytes, ""), (found.len(), ""))?;
            let copied = target.copy(&path, &line.path, line.bytes).map_err(|error| missing(&path, error))?;
            check(&path, (line.bytes, &line.sha256), (copied.bytes, &copied.sha256))?;
        }
        Ok(Self { partial, manifest })
    }

    /// Opens the copy as a server would, with its keys, and compares where the shards stand.
    ///
    /// # Errors
    /// [`OpenError`] as [`Store::embedded`]; [`BackupError::Damaged`] when the shards stand elsewhere.
    pub async fn prove(&self, master: MasterKey) -> Result<(), BackupError> {
        let folder = &self.partial.path;
        let options =
            EmbeddedOptions { fail: OnFailure::Poison, ..EmbeddedOptions::new(folder.clone(), master) };
        let store = Store::embedded(options).await?;
        let marks = store.views.marks().await.map_err(OpenError::from);
        store.close().await;
        let views: BTreeMap<_, _> = marks?.into_iter().map(|mark| (mark.shard.0, mark.position.0)).collect();
        let seen = archive::look(&folder.join(JOURNAL))?;
        let journal: BTreeMap<_, _> = seen.tips.into_iter().map(|(shard, at)| (shard.0, at.0)).collect();
        for line in &self.manifest.shards {
            let at = |all: &BTreeMap<u8, u64>| all.get(&line.shard).copied().unwrap_or_default();
            if (at(&views), at(&journal)) != (line.views, line.journal) {
                let what = format!("shard {} does not stand where the manifest says", line.shard);
                return Err(damaged(folder, what));
            }
        }
        Ok(())
    }

    /// Gives the copy its name.
    ///
    /// # Errors
    /// As the operating system answers; [`BackupError::Occupied`] when something came to stand there meanwhile.
    pub fn finish(self) -> Result<Manifest, BackupError> {
        let Self { partial, manifest } = self;
        partial.finish()?;
        Ok(manifest)
    }
}
