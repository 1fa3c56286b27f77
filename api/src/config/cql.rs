//! `[cql]`: the cluster that remembers when `store.kind` is `cql`. Not the connection to it.

use super::source::{ConfigError, Source};
use std::fmt::Write;
use std::path::PathBuf;

/// `[cql]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Cql {
    /// Some nodes, `host:port`.
    pub nodes: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// Its replication, as CQL writes it.
    pub replication: String,
    /// The datacenter asked first.
    pub datacenter: Option<String>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// Certificates that sign the nodes'.
    pub tls_ca_file: Option<PathBuf>,
    /// Our own certificate and its key.
    pub tls_client: Option<(PathBuf, PathBuf)>,
}

impl std::fmt::Debug for Cql {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cql")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .field("replication", &self.replication)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Both or none of two keys.
fn both(
    s: &Source,
    first: &'static str,
    second: &'static str,
) -> Result<Option<(String, String)>, ConfigError> {
    match (s.optional(first)?, s.optional(second)?) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(s.refuse(second, format!("a value when `{first}` has one"))),
        (None, Some(_)) => Err(s.refuse(first, format!("a value when `{second}` has one"))),
    }
}

pub(super) fn read(s: &Source) -> Result<Cql, ConfigError> {
    let nodes: Vec<String> = s.text("cql.nodes")?.split(',').map(|n| n.trim().to_owned()).collect();
    let fits = |node: &String| {
        node.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !nodes.iter().all(fits) {
        return Err(s.refuse("cql.nodes", "host:port, commas between, such as 10.0.0.1:9042,10.0.0.2:9042"));
    }
    let keyspace = s.text("cql.keyspace")?;
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !keyspace.starts_with(|c: char| c.is_ascii_lowercase())
        || !keyspace.chars().all(letter)
        || keyspace.len() > 48
    {
        let rule = "up to 48 lower-case letters, digits and underscores, a letter first";
        return Err(s.refuse("cql.keyspace", rule));
    }
    let replication = s.text("cql.replication")?;
    if !(replication.starts_with('{') && replication.ends_with('}') && !replication.contains(';')) {
        let form = "a map such as {'class': 'NetworkTopologyStrategy', 'replication_factor': 3}";
        return Err(s.refuse("cql.replication", form));
    }
    Ok(Cql {
        nodes,
        keyspace,
        replication,
        datacenter: s.optional("cql.datacenter")?,
        login: both(s, "cql.user", "cql.password")?,
        tls: s.flag("cql.tls")?,
        tls_ca_file: s.optional("cql.tls_ca_file")?.map(PathBuf::from),
        tls_client: both(s, "cql.tls_certificate_file", "cql.tls_key_file")?
            .map(|(certificate, key)| (PathBuf::from(certificate), PathBuf::from(key))),
    })
}

impl Cql {
    /// As TOML; the password is named and not shown.
    pub(super) fn shown(&self) -> String {
        let file =
            |path: Option<&PathBuf>| format!("{:?}", path.map_or(String::new(), |p| p.display().to_string()));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "[cql]\nnodes = {:?}\nkeyspace = {:?}\nreplication = {:?}\ndatacenter = {:?}\nuser = {:?}\n\
             password = {}\ntls = {}\ntls_ca_file = {}\ntls_certificate_file = {}\ntls_key_file = {}\n\n",
            self.nodes.join(","),
            self.keyspace,
            self.replication,
            self.datacenter.as_deref().unwrap_or_default(),
            self.login.as_ref().map_or("", |l| &l.0),
            if self.login.is_some() { "\"(set)\"" } else { "\"\"" },
            self.tls,
            file(self.tls_ca_file.as_ref()),
            file(self.tls_client.as_ref().map(|c| &c.0)),
            file(self.tls_client.as_ref().map(|c| &c.1)),
        );
        text
    }
}
