//! A running server: store, node and HTTP edge, wired in this order and taken down in the other. `kabar serve`,
//! `kabar demo`, tests and benches all start here. Not the signals and not the words on the terminal.

use crate::auth::ring::Ring;
use crate::config::{Config, Edge, Planted, StoreKind};
use crate::edge::Server;
use crate::files;
use crate::metrics::Exposition;
use crate::router::routes;
use crate::secret;
use crate::state::ApiState;
use kabar_actors::subscription::Courier;
use kabar_actors::{Clock, Connectors, Dice, Guard, Node, NodeOptions, Plant};
use kabar_schema::OpenError;
use kabar_schema::journal::{Disk, NotingDisk, OnFailure, RealDisk};
use kabar_schema::records::Nouns;
use kabar_schema::scylla::{CqlOptions, CqlTls};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store, holds_data};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The master key's file in the store's folder.
pub(crate) const MASTER_KEY: &str = "master.key";
/// The operator's key's file beside the master key's.
pub(crate) const OPERATOR_KEY: &str = "operator.key";

/// How often it is written down when keys were used.
const USES: Duration = Duration::from_secs(60);

/// How long the end may wait for that.
const LAST_USES: Duration = Duration::from_secs(1);

/// What connections that do not end, actors and the last calls have together beyond the time of requests in flight. One
/// time for the whole end: with 7 s for the requests 9 s, and a second is left to write what was done.
const LAST: Duration = Duration::from_secs(2);

/// Why a server does not start: what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The node cannot begin.
    #[error(transparent)]
    Node(#[from] kabar_actors::StartError),
    /// The port cannot be opened.
    #[error("cannot listen on {listen}: {source}; free the port or set `server.listen`")]
    Listen {
        /// What was configured.
        listen: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key file cannot be read or made.
    #[error("cannot use the key file {file}: {source}")]
    KeyFile {
        /// The file.
        file: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A server that runs. Dropping it leaves it running with the process; [`Running::shutdown`] ends it in order.
pub struct Running {
    /// Where the API listens.
    pub addr: SocketAddr,
    /// The node behind it.
    pub node: Arc<Node>,
    /// The operator's key in force.
    pub operator_key: String,
    /// Whether the key was made by this start; then it has never been shown.
    pub operator_key_is_new: bool,
    store: Store,
    server: Server,
    ring: Arc<Ring>,
    upkeep: [JoinHandle<()>; 2],
    drain: Duration,
}

/// How the configured cluster is opened.
pub(crate) fn cql_options(config: &Config, master: MasterKey) -> CqlOptions {
    let cql = config.cql.clone();
    CqlOptions {
        nodes: cql.nodes,
        keyspace: cql.keyspace,
        replication: cql.replication,
        datacenter: cql.datacenter,
        login: cql.login,
        tls: cql.tls.then_some(CqlTls { ca_file: cql.tls_ca_file, client: cql.tls_client }),
        master,
    }
}

/// Opens the configured store and starts on it.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let folder = &config.store.folder;
    std::fs::create_dir_all(folder).map_err(OpenError::io("create the folder", folder.clone()))?;
    let master = master_key(&config)?;
    let store = match config.store.kind {
        StoreKind::Cql => Store::cql(cql_options(&config, master)).await?,
        StoreKind::Embedded => {
            let options = EmbeddedOptions {
                sync_gap_ms: config.store.sync_gap_ms,
                segment_bytes: config.store.segment_bytes,
                fail: OnFailure::Exit,
                disk: disk(&config)?,
                ..EmbeddedOptions::new(folder.clone(), master)
            };
            Store::embedded(options).await?
        }
    };
    let (key, is_new) = operator_key(&config)?;
    start_on(config, store, key).await.map(|running| Running { operator_key_is_new: is_new, ..running })
}

/// The machine's disk, unless a proof wants to know what was asked of it.
fn disk(config: &Config) -> Result<Arc<dyn Disk>, OpenError> {
    let Some(notes) = &config.disk_notes else { return Ok(Arc::new(RealDisk)) };
    Ok(Arc::new(NotingDisk::new(notes).map_err(OpenError::io("open", notes))?))
}

/// Starts on a store that is open already.
///
/// # Errors
/// [`StartError`]; nothing is left running.
pub async fn start_on(config: Config, store: Store, operator_key: String) -> Result<Running, StartError> {
    let exposition = Exposition::install();
    let listen = config.server.listen;
    // Taken before the node begins: a taken port must not interrupt a node's work.
    let listener = TcpListener::bind(listen).await.map_err(|source| StartError::Listen { listen, source })?;
    let addr = listener.local_addr().map_err(|source| StartError::Listen { listen, source })?;
    let node = Node::start(node_options(&config), store.clone(), Clock::system()).await?;
    let courier = Courier::calling(crate::dialect::envelope::renderer(&node), node.options().guard.clone());
    node.dispatcher().serve_webhooks(courier);
    let drain = Duration::from_millis(config.server.drain_timeout_ms);
    let limits = Edge { connections_max: files::room(config.edge.connections_max), ..config.edge.clone() };
    let state = ApiState::new(Arc::clone(&node), config, operator_key.clone(), exposition.clone());
    let (draining, ring) = (state.admission.draining.clone(), Arc::clone(&state.ring));
    let server = Server::start(listener, routes(state), limits, draining);
    let uses = tokio::spawn(keep_uses(Arc::clone(&ring), store.nouns.clone()));
    let upkeep = [tokio::spawn(exposition.keep_up()), uses];
    Ok(Running { addr, node, operator_key, operator_key_is_new: false, store, server, ring, upkeep, drain })
}

/// Writes down when keys were used, once a minute, until dropped.
async fn keep_uses(ring: Arc<Ring>, nouns: Nouns) {
    let mut turn = tokio::time::interval(USES);
    loop {
        turn.tick().await;
        ring.keep_uses(&nouns).await;
    }
}

impl Running {
    /// `http://address:port`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Takes no further request, lets those in flight end and calls to providers as well, then the node, then the
    /// store.
    pub async fn shutdown(self) {
        let Self { node, store, server, ring, upkeep, drain, .. } = self;
        let end = Instant::now() + drain + LAST;
        tokio::join!(server.drain(drain), node.drain());
        upkeep.iter().for_each(JoinHandle::abort);
        // What the last minute saw; a store that does not answer now must not hold the end back.
        let _ = tokio::time::timeout(LAST_USES, ring.keep_uses(&store.nouns)).await;
        let rest = end.saturating_duration_since(Instant::now()).as_millis();
        node.shutdown_within(u64::try_from(rest).unwrap_or(u64::MAX)).await;
        store.close().await;
    }
}

fn node_options(config: &Config) -> NodeOptions {
    let engine = &config.engine;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    NodeOptions {
        proof_ms: engine.proof_ms,
        call_deadline_ms: engine.call_deadline_ms,
        flush_ms: engine.flush_ms,
        connections_per_session: engine.connections_per_session,
        compute_workers: engine.compute_workers.unwrap_or_else(|| cores.saturating_sub(1).max(1)),
        webhook_max_bytes: engine.webhook_max_bytes,
        guard: Guard::PublicAnd(config.outbound.allow_networks.clone()),
        connectors: Connectors::default(),
        dice: Dice::default(),
        plant: match config.plant {
            Planted::Nothing => Plant::None,
            Planted::ResendAmbiguous => Plant::ResendAmbiguous,
            Planted::AckBeforeAppend => Plant::AckBeforeAppend,
            Planted::ViewsAhead => Plant::ViewsAheadOfJournal,
        },
    }
}

/// The file of the master key; `None` when the configuration holds the key itself.
pub(crate) fn master_key_file(config: &Config) -> Option<PathBuf> {
    let place = || config.store.folder.join(MASTER_KEY);
    config.store.master_key.is_none().then(|| config.store.master_key_file.clone().unwrap_or_else(place))
}

/// Where the next master key stands while `kabar rotate-key` has not ended.
pub(crate) fn next_key_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// From the configuration, the named file, or the folder's own file, which is made when it is absent. While it is being
/// replaced, the next one, which opens what the one before it wrapped as well.
pub(crate) fn master_key(config: &Config) -> Result<MasterKey, StartError> {
    let of = |hex: &String| MasterKey::from_hex(hex).expect("invariant: the configuration was checked");
    if let Some(key) = config.store.master_key.as_ref().map(of) {
        let before = config.store.master_key_before.as_ref().map(of);
        return Ok(before.map_or(key.clone(), |before| key.replacing(&before)));
    }
    let file = master_key_file(config).expect("invariant: the configuration has no key itself");
    if !file.exists() {
        if holds_data(&config.store.folder) {
            let what = "it is not there, but the folder holds data: put the key it was written with there";
            return Err(StartError::KeyFile { file, source: std::io::Error::other(what) });
        }
        write_secret(&file, &MasterKey::random().to_hex())?;
    }
    let (key, next) = (MasterKey::from_file(&file)?, next_key_file(&file));
    if next.exists() { Ok(MasterKey::from_file(&next)?.replacing(&key)) } else { Ok(key) }
}

/// The file of the operator's key; `None` when the configuration holds the key itself. Never in the store's folder unless
/// the master key is there too: a folder that is stolen without its key must show no secret.
pub(crate) fn operator_key_file(config: &Config) -> Result<Option<PathBuf>, StartError> {
    if config.auth.operator_key.is_some() {
        return Ok(None);
    }
    if let Some(file) = &config.auth.operator_key_file {
        return Ok(Some(file.clone()));
    }
    let beside = config.store.master_key_file.clone().or_else(|| master_key_file(config));
    match beside {
        Some(master) => Ok(Some(master.with_file_name(OPERATOR_KEY))),
        None => {
            let what = "the master key is kept out of the folder, so this key must not lie in it: set \
                        `auth.operator_key` or `auth.operator_key_file`, and move a key that is there";
            let file = config.store.folder.join(OPERATOR_KEY);
            Err(StartError::KeyFile { file, source: std::io::Error::other(what) })
        }
    }
}

/// From the configuration or a file, which is made when it is absent; and whether it was.
fn operator_key(config: &Config) -> Result<(String, bool), StartError> {
    let Some(file) = operator_key_file(config)? else {
        return Ok((config.auth.operator_key.clone().unwrap_or_default(), false));
    };
    bring(&config.store.folder.join(OPERATOR_KEY), &file)?;
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().len() >= 16 => Ok((text.trim().to_owned(), false)),
        Ok(_) => {
            let source = std::io::Error::other("it holds no key; delete it and a new one is made");
            Err(StartError::KeyFile { file, source })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = fresh_operator_key();
            write_secret(&file, &key)?;
            Ok((key, true))
        }
        Err(source) => Err(StartError::KeyFile { file, source }),
    }
}

/// Takes a key out of the folder, where an earlier version kept it, to its place.
fn bring(old: &Path, file: &Path) -> Result<(), StartError> {
    if old == file || file.exists() || !old.exists() {
        return Ok(());
    }
    let failed = |source| StartError::KeyFile { file: old.to_owned(), source };
    let key = std::fs::read_to_string(old).map_err(failed)?;
    write_secret(file, key.trim())?;
    std::fs::remove_file(old).map_err(failed)
}

/// A key nobody has seen.
pub(crate) fn fresh_operator_key() -> String {
    format!("kbo_{}", secret::base32(&secret::random()))
}

/// A new file that only its owner can read, durable before it is used.
pub(crate) fn write_secret(file: &Path, text: &str) -> Result<(), StartError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut open| {
        open.write_all(format!("{text}\n").as_bytes())?;
        open.sync_all()
    });
    written.map_err(|source| StartError::KeyFile { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> Config {
        let mut config = Config::defaults();
        config.store.folder = folder.to_owned();
        config
    }

    #[test]
    fn keys_are_made_once_and_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (key, is_new) = operator_key(&config).unwrap();
        assert!(is_new && key.starts_with("kbo_"));
        assert_eq!(operator_key(&config).unwrap(), (key, false));
        let master = master_key(&config).unwrap().to_hex();
        assert_eq!(master_key(&config).unwrap().to_hex(), master);
        #[cfg(unix)]
        for file in ["master.key", "operator.key"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_key_file_that_holds_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("operator.key"), "short").unwrap();
        let error = operator_key(&config(folder.path())).unwrap_err().to_string();
        assert!(error.contains("operator.key") && error.contains("delete it"), "{error}");
        std::fs::write(folder.path().join("master.key"), "zz").unwrap();
        let error = master_key(&config(folder.path())).unwrap_err().to_string();
        assert!(error.contains("master.key") && error.contains("64"), "{error}");
    }
}
