//! The connection to a cluster: options, execution profiles, and the few ways in which a statement is run. Not the
//! statements and not what they mean.

use super::fault;
use super::statement::Kind;
use crate::error::{OpenError, StoreError};
use futures::{StreamExt, TryStreamExt};
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::serialize::batch::BatchValues;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::Batch;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a plain write: above the servers' own 2 s, so that their answer is heard.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a conditional write.
const LWT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a page of a read: above the servers' own 5 s.
const READ_TIMEOUT: Duration = Duration::from_secs(6);
/// A silent connection is asked this often, and given up after as long again: a frozen node is noticed in 4 s.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Rows of a page.
const PAGE_ROWS: i32 = 1_000;

/// TLS towards the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CqlTls {
    /// Certificates that sign the nodes' own, PEM; `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and key, PEM, when the nodes ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How a store is opened on a cluster.
#[derive(Clone)]
pub struct CqlOptions {
    /// Some nodes, `host:port`.
    pub nodes: Vec<String>,
    /// The keyspace; made when it is missing.
    pub keyspace: String,
    /// Its replication, as CQL writes it: `{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}`.
    pub replication: String,
    /// The datacenter to prefer; `None`: any.
    pub datacenter: Option<String>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// TLS; `None`: plain.
    pub tls: Option<CqlTls>,
    /// What the tenants' keys are wrapped with.
    pub master: crate::seal::MasterKey,
}

impl std::fmt::Debug for CqlOptions {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlOptions")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .field("replication", &self.replication)
            .finish_non_exhaustive()
    }
}

impl CqlOptions {
    /// One copy, no login, no TLS: a test server.
    #[must_use]
    pub fn new(nodes: Vec<String>, keyspace: impl Into<String>, master: crate::seal::MasterKey) -> Self {
        Self {
            nodes,
            keyspace: keyspace.into(),
            replication: "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}".into(),
            datacenter: None,
            login: None,
            tls: None,
            master,
        }
    }
}

/// An open connection to a cluster, and the profiles statements are run with.
pub struct Cluster {
    session: Session,
    keyspace: String,
    read: ExecutionProfileHandle,
    write: ExecutionProfileHandle,
    lwt: ExecutionProfileHandle,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

fn profile(timeout: Duration, retry: Arc<dyn RetryPolicy>) -> ExecutionProfileHandle {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(timeout))
        .retry_policy(retry)
        .build()
        .into_handle()
}

/// What is wrong with opening a cluster.
pub(super) fn refused(doing: &str, error: impl std::fmt::Display) -> OpenError {
    OpenError::Cluster { what: format!("{doing}: {error}") }
}

/// Whether a name may stand in a statement as it is.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && name.len() <= 48
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl Cluster {
    /// Connects, makes the keyspace when it is missing, and uses it.
    ///
    /// # Errors
    /// [`OpenError::Cluster`]: no node answers, the login is refused, the keyspace cannot be made.
    pub async fn connect(options: &CqlOptions) -> Result<Self, OpenError> {
        if !is_name(&options.keyspace) {
            let rule = "up to 48 lower-case letters, digits and underscores, a letter first";
            return Err(refused("the keyspace's name", format!("`{}`: {rule}", options.keyspace)));
        }
        let mut builder = SessionBuilder::new()
            .known_nodes(&options.nodes)
            .tcp_nodelay(true)
            .connection_timeout(Duration::from_secs(5))
            .keepalive_interval(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            .schema_agreement_interval(Duration::from_millis(50))
            .auto_await_schema_agreement(false)
            .fetch_schema_metadata(false);
        if let Some(datacenter) = &options.datacenter {
            builder = builder.prefer_datacenter(datacenter.clone());
        }
        if let Some((user, password)) = &options.login {
            builder = builder.user(user, password);
        }
        if let Some(tls) = &options.tls {
            builder = builder.tls_context(Some(super::tls::config(tls)?));
        }
        let nodes = options.nodes.join(", ");
        let session =
            builder.build().await.map_err(|e| refused(&format!("no node of {nodes} answers"), e))?;
        let cluster = Self {
            session,
            keyspace: options.keyspace.clone(),
            read: profile(READ_TIMEOUT, Arc::new(DefaultRetryPolicy::new())),
            write: profile(WRITE_TIMEOUT, Arc::new(DefaultRetryPolicy::new())),
            lwt: profile(LWT_TIMEOUT, Arc::new(FallthroughRetryPolicy::new())),
        };
        cluster.make_keyspace(&options.replication).await?;
        Ok(cluster)
    }

    /// ScyllaDB tells how its nodes are sharded, Cassandra has nothing of the kind.
    fn is_scylla(&self) -> bool {
        self.session.get_cluster_state().get_nodes_info().iter().any(|node| node.sharder().is_some())
    }

    async fn make_keyspace(&self, replication: &str) -> Result<(), OpenError> {
        // Not every release of ScyllaDB has LWT on tablets, and it cannot be changed afterwards.
        let tablets = if self.is_scylla() { " AND tablets = {'enabled': false}" } else { "" };
        let keyspace = &self.keyspace;
        let text = format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication} AND durable_writes = true{tablets}"
        );
        self.define(&text).await?;
        self.agree().await?;
        self.session
            .use_keyspace(keyspace.clone(), false)
            .await
            .map_err(|e| refused("the keyspace cannot be used", e))
    }

    /// Runs a statement that changes the schema.
    pub(super) async fn define(&self, text: &str) -> Result<(), OpenError> {
        let mut statement = scylla::statement::Statement::new(text);
        statement.set_request_timeout(Some(Duration::from_secs(60)));
        let done = self.session.query_unpaged(statement, ()).await;
        done.map(|_| ()).map_err(|e| refused(&format!("`{}…`", text.chars().take(60).collect::<String>()), e))
    }

    /// Waits until all nodes have the same schema.
    pub(super) async fn agree(&self) -> Result<(), OpenError> {
        let agreed = self.session.await_schema_agreement().await;
        agreed.map(|_| ()).map_err(|e| refused("the nodes do not agree on the schema", e))
    }

    /// Prepares a statement to be run as its kind is.
    pub(crate) async fn prepare(&self, kind: Kind, text: &str) -> Result<PreparedStatement, OpenError> {
        let prepared = self.session.prepare(text).await;
        let mut prepared = prepared.map_err(|e| refused(&format!("`{text}`"), e))?;
        prepared.set_page_size(PAGE_ROWS);
        prepared.set_is_idempotent(kind != Kind::Lwt);
        let profile = match kind {
            Kind::Read | Kind::Serial => &self.read,
            Kind::Write => &self.write,
            Kind::Lwt => &self.lwt,
        };
        prepared.set_execution_profile_handle(Some(profile.clone()));
        if kind == Kind::Serial {
            prepared.set_consistency(Consistency::LocalSerial);
        }
        Ok(prepared)
    }

    /// All rows of a read, page after page.
    pub(super) async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static,
    {
        let pager = self.session.execute_iter(statement.clone(), values).await;
        let pager = pager.map_err(|e| fault::of_pages(&e))?;
        let rows = pager.rows_stream::<R>().map_err(|_| fault::damaged("columns of another type"))?;
        rows.map_err(|e| {
            tracing::debug!(error = %e, "a read failed");
            StoreError::Unavailable
        })
        .try_collect()
        .await
    }

    /// The first row of a read.
    pub(super) async fn row<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let result = self.session.execute_unpaged(statement, values).await.map_err(|e| fault::of_read(&e))?;
        let rows = result.into_rows_result().map_err(|_| fault::damaged("a read without rows"))?;
        rows.maybe_first_row::<R>().map_err(|_| fault::damaged("columns of another type"))
    }

    /// A plain write.
    pub(super) async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        let done = self.session.execute_unpaged(statement, values).await;
        done.map(|_| ()).map_err(|e| fault::of_write(&e, false))
    }

    /// Plain writes of one partition at once.
    pub(super) async fn write_batch(
        &self,
        batch: &mut Batch,
        values: impl BatchValues,
    ) -> Result<(), StoreError> {
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.write.clone()));
        self.session.batch(batch, values).await.map(|_| ()).map_err(|e| fault::of_write(&e, false))
    }

    /// A conditional write: `None` when it was applied, else the row that stood in its way. `R` has the columns
    /// that both servers give back: `[applied]` first.
    pub(super) async fn lwt(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Lwt, StoreError> {
        let result =
            self.session.execute_unpaged(statement, values).await.map_err(|e| fault::of_write(&e, true))?;
        Lwt::of(result)
    }

    /// Conditional writes of one partition: all or none.
    pub(super) async fn lwt_batch(
        &self,
        batch: &mut Batch,
        values: impl BatchValues,
    ) -> Result<Lwt, StoreError> {
        batch.set_is_idempotent(false);
        batch.set_execution_profile_handle(Some(self.lwt.clone()));
        let result = self.session.batch(batch, values).await.map_err(|e| fault::of_write(&e, true))?;
        Lwt::of(result)
    }

    /// Hands the driver's own numbers to the metrics.
    pub(super) fn publish(&self) {
        crate::metrics::driver(&self.session.get_metrics());
    }
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lwt {
    /// It was done.
    Applied,
    /// The condition did not hold; nothing was done. What stands there is read separately, because the two
    /// servers give back different columns.
    Refused,
}

impl Lwt {
    fn of(result: scylla::response::query_result::QueryResult) -> Result<Self, StoreError> {
        let rows = result.into_rows_result().map_err(|_| StoreError::Unknown)?;
        let mut all = rows.rows::<scylla::value::Row>().map_err(|_| StoreError::Unknown)?;
        let first = all.next().transpose().map_err(|_| StoreError::Unknown)?;
        let applied =
            first.and_then(|row| row.columns.into_iter().next().flatten()).and_then(|v| v.as_boolean());
        match applied {
            Some(true) => Ok(Self::Applied),
            Some(false) => Ok(Self::Refused),
            None => Err(StoreError::Unknown),
        }
    }
}

/// Runs many writes, at most `at_once` on the wire; the first error is the answer, and what was begun is finished.
pub(super) async fn all<F>(at_once: usize, writes: impl IntoIterator<Item = F>) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut stream = futures::stream::iter(writes).buffer_unordered(at_once);
    let mut answer = Ok(());
    while let Some(done) = stream.next().await {
        answer = answer.and(done);
    }
    answer
}
