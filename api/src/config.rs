//! The configuration: one TOML file over embedded defaults, overridden by `KABAR__SECTION__KEY`, checked before the
//! first port opens. Not what tenants decide for themselves: that is records.

mod cql;
mod edge;
mod source;
mod telemetry;

pub use cql::Cql;
pub use edge::{Edge, Limits, Outbound, Written};
pub use source::ConfigError;
pub use telemetry::{Log, Telemetry};

use source::Source;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The defaults, every key documented.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// For tests alone and therefore not in the documented file: `test.plant` puts a known bug into the node, and
/// `test.disk_notes` names a file in which the journal's writes and syncs are noted.
const HIDDEN: &[(&str, &str)] = &[("test.plant", ""), ("test.disk_notes", "")];

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The HTTP side.
    pub server: Server,
    /// What connections and requests may cost.
    pub edge: Edge,
    /// Where tenants' URLs may lead.
    pub outbound: Outbound,
    /// What is remembered, and where.
    pub store: StoreFolder,
    /// The cluster that remembers, when the store is one.
    pub cql: Cql,
    /// Who may come in.
    pub auth: Auth,
    /// How much one API key may ask.
    pub limits: Limits,
    /// How the node works.
    pub engine: Engine,
    /// What is logged.
    pub log: Log,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// A bug planted for a test.
    pub plant: Planted,
    /// Where a proof wants the journal's writes and syncs noted.
    pub disk_notes: Option<PathBuf>,
}

impl Server {
    /// Largest JSON body that brings a media file, bytes: its base64, and what stands around it.
    #[must_use]
    pub fn media_inline_bytes(&self) -> usize {
        self.media_inline_max_bytes / 3 * 4 + 16 * 1024
    }
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Largest JSON body, bytes.
    pub body_max_bytes: usize,
    /// Largest contact file, bytes.
    pub import_max_bytes: u64,
    /// Contact files read at once.
    pub imports_max: usize,
    /// Media files taken in at once.
    pub media_at_once: usize,
    /// Largest media file that may come as base64, bytes.
    pub media_inline_max_bytes: usize,
    /// Webhook subscriptions of one tenant.
    pub webhooks_max: usize,
    /// Longest time of a request, ms.
    pub request_timeout_ms: u64,
    /// Longest wait for requests in flight at the end, ms.
    pub drain_timeout_ms: u64,
}

/// What remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The folder.
    Embedded,
    /// A cluster.
    Cql,
}

/// `[store]`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFolder {
    /// What remembers.
    pub kind: StoreKind,
    /// The folder.
    pub folder: PathBuf,
    /// Wait for company before a sync, ms.
    pub sync_gap_ms: u64,
    /// Size of a journal file, bytes.
    pub segment_bytes: u64,
    /// The master key's file, when it is not in the folder.
    pub master_key_file: Option<PathBuf>,
    /// The master key as 64 hex digits, instead of a file.
    pub master_key: Option<String>,
    /// The one before it, while it is replaced.
    pub master_key_before: Option<String>,
}

impl std::fmt::Debug for StoreFolder {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFolder")
            .field("folder", &self.folder)
            .field("sync_gap_ms", &self.sync_gap_ms)
            .field("segment_bytes", &self.segment_bytes)
            .field("master_key_file", &self.master_key_file)
            .finish_non_exhaustive()
    }
}

/// `[auth]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The operator's key; `None`: in a file.
    pub operator_key: Option<String>,
    /// Which; `None`: beside the master key's.
    pub operator_key_file: Option<PathBuf>,
    /// How long a checked key is remembered, ms.
    pub key_cache_ms: u64,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Written,
}

impl std::fmt::Debug for Auth {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("key_cache_ms", &self.key_cache_ms)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Wait for proof of an unknown outcome, ms; `None`: as the tenant says.
    pub proof_ms: Option<i64>,
    /// Longest provider call, ms.
    pub call_deadline_ms: u64,
    /// Pause between writings of the views, ms.
    pub flush_ms: u64,
    /// Calls in flight per session.
    pub connections_per_session: usize,
    /// Threads for heavy work; `None`: one less than there are cores.
    pub compute_workers: Option<usize>,
    /// Largest webhook body, bytes.
    pub webhook_max_bytes: usize,
}

/// A bug that a test plants to see itself turn red.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Planted {
    /// None, as always outside such a test.
    #[default]
    Nothing,
    /// Ambiguous sends are sent again.
    ResendAmbiguous,
    /// Answers do not wait for the journal.
    AckBeforeAppend,
    /// Views are written before the journal.
    ViewsAhead,
}

impl Config {
    /// The embedded defaults.
    #[must_use]
    pub fn defaults() -> Self {
        let source = Source::new(DEFAULTS, HIDDEN);
        Self::read(&source).expect("invariant: the embedded defaults are allowed")
    }

    /// The defaults, a file over them, the environment over both.
    ///
    /// # Errors
    /// [`ConfigError`] for the first key that is unknown or wrong.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut source = Source::new(DEFAULTS, HIDDEN);
        if let Some(file) = file {
            source.file(file)?;
        }
        source.environment(environment)?;
        Self::read(&source)
    }

    fn read(s: &Source) -> Result<Self, ConfigError> {
        Ok(Self {
            server: read_server(s)?,
            edge: edge::read_edge(s)?,
            outbound: edge::read_outbound(s)?,
            store: read_store(s)?,
            cql: cql::read(s)?,
            auth: read_auth(s)?,
            limits: edge::read_limits(s)?,
            engine: read_engine(s)?,
            log: telemetry::read_log(s)?,
            telemetry: telemetry::read_telemetry(s)?,
            plant: read_plant(s)?,
            disk_notes: Some(s.text("test.disk_notes")?).filter(|p| !p.is_empty()).map(PathBuf::from),
        })
    }

    /// What is in force, as TOML; secrets are named and not shown.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self { server, edge, outbound, store, cql, auth, limits, engine, log, telemetry, .. } = self;
        let secret = |set: bool| if set { "\"(set)\"" } else { "\"\"" };
        let master = store.master_key_file.as_ref().map_or_else(String::new, |p| p.display().to_string());
        let operator = auth.operator_key_file.as_ref().map_or_else(String::new, |p| p.display().to_string());
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "[server]\nlisten = \"{}\"\nbody_max_kib = {}\nimport_max_mib = {}\nimports_max = {}\n\
             media_at_once = {}\nmedia_inline_max_mib = {}\nwebhooks_max = {}\n\
             request_timeout_ms = {}\ndrain_timeout_ms = {}\n\n{}",
            server.listen,
            server.body_max_bytes >> 10,
            server.import_max_bytes >> 20,
            server.imports_max,
            server.media_at_once,
            server.media_inline_max_bytes >> 20,
            server.webhooks_max,
            server.request_timeout_ms,
            server.drain_timeout_ms,
            edge.shown(outbound),
        );
        let _ = write!(
            text,
            "[store]\nkind = \"{}\"\nfolder = {:?}\nsync_gap_ms = {}\nsegment_mib = {}\nmaster_key_file = {master:?}\n\
             master_key = {}\nmaster_key_before = {}\n\n{}[auth]\noperator_key = {}\noperator_key_file = {operator:?}\nkey_cache_ms = {}\ntrusted_proxies = {:?}\n\n{}",
            if store.kind == StoreKind::Cql { "cql" } else { "embedded" },
            store.folder.display().to_string(),
            store.sync_gap_ms,
            store.segment_bytes >> 20,
            secret(store.master_key.is_some()),
            secret(store.master_key_before.is_some()),
            cql.shown(),
            secret(auth.operator_key.is_some()),
            auth.key_cache_ms,
            auth.trusted_proxies.text,
            limits.shown(),
        );
        let _ = write!(
            text,
            "[engine]\nproof_ms = {}\ncall_deadline_ms = {}\nflush_ms = {}\nconnections_per_session = {}\n\
             compute_workers = {}\nwebhook_max_kib = {}\n\n{}{}",
            engine.proof_ms.unwrap_or(0),
            engine.call_deadline_ms,
            engine.flush_ms,
            engine.connections_per_session,
            engine.compute_workers.unwrap_or(0),
            engine.webhook_max_bytes >> 10,
            log.shown(),
            telemetry.shown(),
        );
        text
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn read_server(s: &Source) -> Result<Server, ConfigError> {
    let listen = s.text("server.listen")?;
    let listen = listen
        .parse()
        .map_err(|_| s.refuse("server.listen", "an address and a port such as 127.0.0.1:8080"))?;
    Ok(Server {
        listen,
        body_max_bytes: size(s.number("server.body_max_kib", 1..=65_536)?) << 10,
        import_max_bytes: s.number("server.import_max_mib", 1..=1_048_576)? << 20,
        imports_max: size(s.number("server.imports_max", 1..=64)?),
        media_at_once: size(s.number("server.media_at_once", 1..=1_000)?),
        media_inline_max_bytes: size(s.number("server.media_inline_max_mib", 1..=100)?) << 20,
        webhooks_max: size(s.number("server.webhooks_max", 1..=1_000)?),
        request_timeout_ms: s.number("server.request_timeout_ms", 1_000..=600_000)?,
        drain_timeout_ms: s.number("server.drain_timeout_ms", 0..=600_000)?,
    })
}

fn read_store(s: &Source) -> Result<StoreFolder, ConfigError> {
    let folder = s.text("store.folder")?;
    if folder.trim().is_empty() {
        return Err(s.refuse("store.folder", "the path of a folder"));
    }
    let master_key = s.optional("store.master_key")?;
    let hex = |key: &String| key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit());
    if master_key.as_ref().is_some_and(|key| !hex(key)) {
        return Err(s.refuse("store.master_key", "64 hex digits"));
    }
    let master_key_before = s.optional("store.master_key_before")?;
    if master_key_before.as_ref().is_some_and(|key| !hex(key) || master_key.is_none()) {
        return Err(s.refuse("store.master_key_before", "64 hex digits, beside store.master_key"));
    }
    let kind = match s.text("store.kind")?.as_str() {
        "embedded" => StoreKind::Embedded,
        "cql" => StoreKind::Cql,
        _ => return Err(s.refuse("store.kind", "\"embedded\" or \"cql\"")),
    };
    Ok(StoreFolder {
        kind,
        folder: PathBuf::from(folder),
        sync_gap_ms: s.number("store.sync_gap_ms", 0..=1_000)?,
        segment_bytes: s.number("store.segment_mib", 1..=1_024)? << 20,
        master_key_file: s.optional("store.master_key_file")?.map(PathBuf::from),
        master_key,
        master_key_before,
    })
}

fn read_auth(s: &Source) -> Result<Auth, ConfigError> {
    let operator_key = s.optional("auth.operator_key")?;
    let fits = |key: &String| key.len() >= 16 && key.bytes().all(|b| b.is_ascii_graphic());
    if operator_key.as_ref().is_some_and(|key| !fits(key)) {
        return Err(s.refuse("auth.operator_key", "16 or more printable ASCII characters without spaces"));
    }
    let trusted_proxies = edge::networks(s, "auth.trusted_proxies")?;
    let operator_key_file = s.optional("auth.operator_key_file")?.map(PathBuf::from);
    let key_cache_ms = s.number("auth.key_cache_ms", 0..=60_000)?;
    Ok(Auth { operator_key, operator_key_file, key_cache_ms, trusted_proxies })
}

fn read_engine(s: &Source) -> Result<Engine, ConfigError> {
    let proof = s.number_or_none("engine.proof_ms", 1_000..=86_400_000)?;
    Ok(Engine {
        proof_ms: proof.map(|ms| i64::try_from(ms).expect("invariant: a day fits")),
        call_deadline_ms: s.number("engine.call_deadline_ms", 1_000..=120_000)?,
        flush_ms: s.number("engine.flush_ms", 10..=60_000)?,
        connections_per_session: size(s.number("engine.connections_per_session", 1..=4_096)?),
        compute_workers: s.number_or_none("engine.compute_workers", 1..=64)?.map(size),
        webhook_max_bytes: size(s.number("engine.webhook_max_kib", 64..=16_384)?) << 10,
    })
}

fn read_plant(s: &Source) -> Result<Planted, ConfigError> {
    match s.text("test.plant")?.as_str() {
        "" => Ok(Planted::Nothing),
        "resend_ambiguous" => Ok(Planted::ResendAmbiguous),
        "ack_before_append" => Ok(Planted::AckBeforeAppend),
        "views_ahead" => Ok(Planted::ViewsAhead),
        _ => Err(s.refuse("test.plant", "resend_ambiguous, ack_before_append or views_ahead")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let all: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::load(None, all.into_iter())
    }

    fn file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kabar.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), std::iter::empty())
    }

    #[test]
    fn what_is_shown_can_be_read_again_and_is_the_same() {
        let defaults = Config::defaults();
        assert_eq!(file(&defaults.shown()).unwrap(), defaults);
        assert_eq!(defaults.server.listen.to_string(), "127.0.0.1:8080");
        let documented: toml::Table = DEFAULTS.parse().unwrap();
        let shown: toml::Table = defaults.shown().parse().unwrap();
        let keys = |t: &toml::Table| -> Vec<String> {
            t.iter()
                .flat_map(|(s, v)| v.as_table().unwrap().keys().map(move |k| format!("{s}.{k}")))
                .collect()
        };
        assert_eq!(keys(&documented), keys(&shown));
    }

    #[test]
    fn the_environment_beats_the_file_and_the_file_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kabar.toml");
        std::fs::write(&path, "[engine]\nflush_ms = 50\nproof_ms = 5000\n").unwrap();
        let over =
            [("KABAR__ENGINE__FLUSH_MS".to_owned(), "70".to_owned()), ("HOME".to_owned(), "x".to_owned())];
        let config = Config::load(Some(&path), over.into_iter()).unwrap();
        assert_eq!((config.engine.flush_ms, config.engine.proof_ms), (70, Some(5_000)));
        assert_eq!(config.engine.call_deadline_ms, 30_000);
    }

    #[test]
    fn a_wrong_key_or_value_names_itself_and_what_is_allowed() {
        for (given, expected) in [
            (file("[server]\nport = 1\n"), vec!["server.port", "listen", "kabar.toml"]),
            (
                file("[sever]\nlisten = \"a\"\n"),
                vec![
                    "sever.listen",
                    "auth, cql, edge, engine, limits, log, outbound, server, store, telemetry",
                ],
            ),
            (file("listen = \"a\"\n"), vec!["`listen`", "sections are"]),
            (file("[server\n"), vec!["not TOML", "line 1"]),
            (file("[store]\nsync_gap_ms = 5000\n"), vec!["store.sync_gap_ms", "5000", "0 to 1000"]),
            (file("[store]\nsync_gap_ms = \"soon\"\n"), vec!["store.sync_gap_ms", "soon"]),
            (file("[store]\nfolder = 3\n"), vec!["store.folder", "text"]),
            (
                environment(&[("KABAR__SERVER__LISTEN", "here")]),
                vec!["server.listen", "here", "KABAR__SERVER__LISTEN"],
            ),
            (environment(&[("KABAR__ENGINE__PROOF_MS", "10")]), vec!["engine.proof_ms", "1000 to 86400000"]),
            (environment(&[("KABAR__LOG__FORMAT", "xml")]), vec!["log.format", "\"text\" or \"json\""]),
            (environment(&[("KABAR__LOG__FILTER", "a=b=c")]), vec!["log.filter", "a=b=c"]),
            (environment(&[("KABAR__TEST__PLANT", "weeds")]), vec!["test.plant", "views_ahead"]),
            (environment(&[("KABAR__TELEMETRY__SAMPLE_RATIO", "1.5")]), vec!["sample_ratio", "0.0 to 1.0"]),
            (environment(&[("KABAR__TELEMETRY__OTLP_ENDPOINT", "collector")]), vec!["otlp_endpoint", "4318"]),
            (environment(&[("KABAR__FLUSH", "1")]), vec!["`flush`"]),
            (environment(&[("KABAR__STORE__KIND", "mongo")]), vec!["store.kind", "mongo", "\"cql\""]),
            (environment(&[("KABAR__CQL__NODES", "10.0.0.1")]), vec!["cql.nodes", "10.0.0.1", "host:port"]),
            (environment(&[("KABAR__CQL__KEYSPACE", "Kabar; x")]), vec!["cql.keyspace", "lower-case"]),
            (environment(&[("KABAR__CQL__TLS", "maybe")]), vec!["cql.tls", "true or false"]),
            (environment(&[("KABAR__CQL__USER", "kabar")]), vec!["cql.password", "cql.user"]),
            (file("[cql]\nreplication = \"3\"\n"), vec!["cql.replication", "NetworkTopologyStrategy"]),
        ] {
            let error = given.unwrap_err().to_string();
            for word in expected {
                assert!(error.contains(word), "`{word}` is not in: {error}");
            }
        }
    }

    #[test]
    fn a_wrong_secret_is_not_repeated() {
        let error = environment(&[("KABAR__AUTH__OPERATOR_KEY", "hunter2")]).unwrap_err().to_string();
        assert!(error.contains("auth.operator_key") && !error.contains("hunter2"), "{error}");
        let config = environment(&[("KABAR__AUTH__OPERATOR_KEY", "correct-horse-battery")]).unwrap();
        assert!(!format!("{config:?}{}", config.shown()).contains("horse"));
        let login = [("KABAR__CQL__USER", "kabar"), ("KABAR__CQL__PASSWORD", "staple")];
        let config = environment(&login).unwrap();
        assert_eq!(config.cql.login, Some(("kabar".into(), "staple".into())));
        assert!(!format!("{config:?}{}", config.shown()).contains("staple"));
    }
}
