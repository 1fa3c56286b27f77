//! What a backup says of itself: `backup.json`, written last. Every file with its length and digest, and where the
//! shards stood; the paper itself carries a digest too, so that a damaged one is not believed.

use super::{BackupError, damaged};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Component, Path};

/// The manifest's name.
pub const MANIFEST: &str = "backup.json";
/// The newest format this code reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// A backup's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this paper and of the folder around it.
    pub format: u32,
    /// The version of Kabar that wrote it.
    pub kabar: String,
    /// When the backup began, RFC 3339: everything accepted before is in it.
    pub began: String,
    /// Whether the key files are in it.
    pub with_key: bool,
    /// Messages in the views.
    pub messages: u64,
    /// Those of them that were not ended.
    pub open: u64,
    /// Entries that the journal has and the views not yet.
    pub behind: u64,
    /// Every shard that was ever used.
    pub shards: Vec<ShardLine>,
    /// Every other file of the backup.
    pub files: Vec<FileLine>,
    /// SHA-256 of this paper with an empty digest.
    pub digest: String,
}

/// Where a shard stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardLine {
    /// The shard.
    pub shard: u8,
    /// The last entry whose meaning the views hold.
    pub views: u64,
    /// The last entry of the journal.
    pub journal: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Its path within the backup, with `/` between names.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The manifest with its digest.
    pub(super) fn sealed(self) -> Self {
        let plain = Self { digest: String::new(), ..self };
        Self { digest: hex(&Sha256::digest(plain.to_text())), ..plain }
    }

    /// The paper.
    pub(super) fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("invariant: numbers, texts and lists become JSON") + "\n"
    }

    /// Reads the paper of a backup.
    ///
    /// # Errors
    /// [`BackupError::NoBackup`] without one, [`BackupError::Newer`] for a later format, [`BackupError::Damaged`] when
    /// it is not what was written.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(BackupError::NoBackup { folder: folder.to_owned() });
            }
            Err(error) => return Err(BackupError::io("read", &path)(error)),
        };
        // The format alone first: a later one may have any shape.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if let Ok(Format { format }) = serde_json::from_slice(&text)
            && format > FORMAT
        {
            return Err(BackupError::Newer { file: path, found: format, known: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| damaged(&path, format!("not readable: {error}")))?;
        // Blanks count too: every byte is either what was written or damage.
        if manifest.to_text().as_bytes() != text || manifest.clone().sealed() != manifest {
            return Err(damaged(&path, "it is not what was written".to_owned()));
        }
        for file in &manifest.files {
            let plain = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || file.path.is_empty() {
                return Err(damaged(&path, format!("{:?} is no file of a backup", file.path)));
            }
        }
        Ok(manifest)
    }
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
