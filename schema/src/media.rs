//! Blobs of the embedded store: a file each below `media/`, sealed piece by piece, in place under its hash only when it is
//! whole and on disk. Not a cache: what is here is the only copy.

use crate::Answer;
use crate::blobs::{
    BlobHash, BlobRef, Blobs, Content, Cutter, Head, PIECE, damaged, fresh_number, open_head, open_piece,
    pieces, seal_head, seal_piece,
};
use crate::error::{OpenError, StoreError};
use crate::seal::Keyring;
use bytes::Bytes;
use kabar_engine::id::TenantId;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a file is written before it has its name. What is here at a start is what a crash left.
const NEW: &str = "new";
/// What sealing adds to a piece is less than this.
const SEAL: usize = 64;

/// The embedded store's blobs.
#[derive(Debug)]
pub struct EmbeddedBlobs {
    folder: PathBuf,
    keyring: Arc<Keyring>,
}

impl EmbeddedBlobs {
    /// Blobs below `folder`, which nobody else has open; made when it is missing. Files a crash left half written are
    /// taken away.
    ///
    /// # Errors
    /// [`OpenError::Io`] when the folder cannot be made or read.
    pub fn open(folder: PathBuf, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        let new = folder.join(NEW);
        std::fs::create_dir_all(&new).map_err(OpenError::io("create", &new))?;
        for entry in std::fs::read_dir(&new).map_err(OpenError::io("read", &new))? {
            let path = entry.map_err(OpenError::io("read", &new))?.path();
            std::fs::remove_file(&path).map_err(OpenError::io("remove", &path))?;
        }
        Ok(Self { folder, keyring })
    }

    fn folder_of(&self, tenant: TenantId) -> PathBuf {
        self.folder.join(format!("{:016x}", tenant.0))
    }

    fn path(&self, tenant: TenantId, hash: &BlobHash) -> PathBuf {
        let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder_of(tenant).join(name)
    }

    async fn write(
        &self,
        tenant: TenantId,
        mut cutter: Cutter<'_>,
        half: &Arc<Half>,
    ) -> Result<BlobRef, StoreError> {
        let (stored, mut count) = (fresh_number(), 0);
        while let Some(plain) = cutter.next().await? {
            let sealed = seal_piece(&self.keyring, tenant, (stored, count), &plain)?;
            half.append(vec![length(&sealed).to_vec(), sealed]).await?;
            count += 1;
        }
        let blob = cutter.finish();
        let head = seal_head(&self.keyring, tenant, &blob.hash, Head { stored, bytes: blob.bytes })?;
        let length = length(&head).to_vec();
        half.append(vec![head, length]).await?;
        half.keep(self.folder.clone(), self.folder_of(tenant), self.path(tenant, &blob.hash)).await?;
        Ok(blob)
    }

    fn begin(&self) -> Result<Arc<Half>, StoreError> {
        let path = self.folder.join(NEW).join(format!("{:016x}", fresh_number()));
        let file = File::create_new(&path).map_err(|error| failed("make a file for a blob", &error))?;
        Ok(Arc::new(Half { path, file }))
    }
}

/// The blobs below a store's `media/`, by tenant and hash.
pub(crate) fn listed(folder: &Path) -> Result<Vec<(TenantId, BlobHash)>, StoreError> {
    let names = |folder: &Path| -> Result<Vec<String>, StoreError> {
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("list blobs", &error))?,
        };
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            Ok(entry
                .map_err(|error| failed("list blobs", &error))?
                .file_name()
                .to_string_lossy()
                .into_owned())
        };
        entries.map(name).collect()
    };
    let mut list = Vec::new();
    for name in names(folder)? {
        let Ok(tenant) = u64::from_str_radix(&name, 16) else { continue };
        for file in names(&folder.join(&name))? {
            let byte = |n: usize| file.get(2 * n..2 * n + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
            let hash: Option<Vec<u8>> = (0..32).map(byte).collect();
            if let Some(hash) = hash.and_then(|bytes| BlobHash::try_from(bytes).ok())
                && file.len() == 64
            {
                list.push((TenantId(tenant), hash));
            }
        }
    }
    list.sort_unstable();
    Ok(list)
}

/// A file that has no name yet; what is not kept goes away with it.
#[derive(Debug)]
struct Half {
    path: PathBuf,
    file: File,
}

impl Drop for Half {
    fn drop(&mut self) {
        // After a rename there is nothing left here.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Half {
    async fn append(self: &Arc<Self>, parts: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let half = Arc::clone(self);
        blocking(move || {
            let written = parts.iter().try_for_each(|part| (&half.file).write_all(part));
            written.map_err(|error| failed("write a blob", &error))
        })
        .await
    }

    /// Puts the whole file under its name, durably. A file that has the name already holds the same.
    async fn keep(
        self: &Arc<Self>,
        media: PathBuf,
        folder: PathBuf,
        path: PathBuf,
    ) -> Result<(), StoreError> {
        let half = Arc::clone(self);
        blocking(move || {
            let prepared = half.file.sync_all().and_then(|()| std::fs::create_dir_all(&folder));
            let prepared = prepared.and_then(|()| sync_folder(&media));
            prepared.map_err(|error| failed("sync a blob", &error))?;
            std::fs::rename(&half.path, &path).map_err(|error| failed("name a blob", &error))?;
            sync_folder(&folder).map_err(|error| {
                failed("sync a blob's name", &error);
                StoreError::Unknown
            })
        })
        .await
    }
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("invariant: a piece is short").to_be_bytes()
}

fn failed(doing: &str, error: &std::io::Error) -> StoreError {
    tracing::error!(%error, doing, "the folder of blobs");
    StoreError::Unavailable
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Unavailable))
}

/// Length in front, at most that of a piece; then as many bytes. For the file's own cursor.
fn read_framed(mut file: &File) -> Result<Vec<u8>, StoreError> {
    let mut length = [0; 4];
    file.read_exact(&mut length).map_err(|error| failed("read a blob", &error))?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > PIECE + SEAL {
        return Err(damaged("a piece is longer than a piece can be"));
    }
    let mut sealed = vec![0; length];
    file.read_exact(&mut sealed).map_err(|error| failed("read a blob", &error))?;
    Ok(sealed)
}

/// The open file with its sealed head, its cursor on the first piece; `None`: there is no such file.
fn open_file(path: &Path) -> Result<Option<(File, Vec<u8>)>, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open a blob", &error)),
    };
    let read = |file: &mut File, back: i64, many: usize| {
        let mut bytes = vec![0; many];
        let done = file.seek(SeekFrom::End(-back)).and_then(|_| file.read_exact(&mut bytes));
        done.map(|()| bytes).map_err(|error| failed("read a blob", &error))
    };
    let length: [u8; 4] = read(&mut file, 4, 4)?.try_into().expect("invariant: four bytes were read");
    let length = u32::from_be_bytes(length);
    if length as usize > SEAL {
        return Err(damaged("its head is longer than a head can be"));
    }
    let head = read(&mut file, i64::from(length) + 4, length as usize)?;
    file.rewind().map_err(|error| failed("read a blob", &error))?;
    Ok(Some((file, head)))
}

impl Blobs for EmbeddedBlobs {
    fn put<'a>(&'a self, tenant: TenantId, content: Content<'a>, max_bytes: u64) -> Answer<'a, BlobRef> {
        Box::pin(async move {
            self.keyring.ensure(tenant).await?;
            let half = self.begin()?;
            self.write(tenant, Cutter::new(content, max_bytes), &half).await
        })
    }

    fn get(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, Option<Content<'static>>> {
        Box::pin(async move {
            let path = self.path(tenant, &hash);
            let Some((file, head)) = blocking(move || open_file(&path)).await? else { return Ok(None) };
            let Some(head) = open_head(&self.keyring, tenant, &hash, &head)? else { return Ok(None) };
            let (file, keyring) = (Arc::new(Mutex::new(file)), Arc::clone(&self.keyring));
            Ok(Some(pieces(head, move |piece| {
                let (file, keyring) = (Arc::clone(&file), Arc::clone(&keyring));
                blocking(move || -> Result<Bytes, StoreError> {
                    let sealed = read_framed(&file.lock())?;
                    open_piece(&keyring, tenant, (head, piece), &sealed)
                })
            })))
        })
    }

    fn delete(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, bool> {
        let (folder, path) = (self.folder_of(tenant), self.path(tenant, &hash));
        Box::pin(blocking(move || match std::fs::remove_file(&path) {
            Ok(()) => sync_folder(&folder).map(|()| true).map_err(|error| {
                failed("sync a blob's end", &error);
                StoreError::Unknown
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("delete a blob", &error)),
        }))
    }
}
