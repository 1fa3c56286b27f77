//! Keyspaces on a test server: made once, lent to one test after the other, emptied between two. Not the server, and
//! not a suite.

use kabar_schema::scylla::{Cluster, CqlOptions, CqlViews, migrate};
use kabar_schema::seal::{Keyring, MasterKey};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::sync::{Arc, Mutex};

/// Names of keyspaces that no test uses now. Making the tables takes seconds, emptying the few that were written
/// does not.
static IDLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The views' tables.
const TABLES: [&str; 21] = [
    "shard_mark",
    "message",
    "history",
    "conversation",
    "conversation_list",
    "address",
    "seen",
    "idempotency",
    "outbox",
    "outbox_minute",
    "campaign",
    "campaign_live",
    "part",
    "part_of_session",
    "part_open",
    "marks",
    "run",
    "suppressed",
    "suppressed_at",
    "suppressed_hour",
    "discovered",
];

fn server() -> String {
    std::env::var("KABAR_TEST_CQL").unwrap_or_else(|_| {
        panic!("KABAR_TEST_CQL is not set: name a test server as host:port (deploy/cassandra/run starts one)")
    })
}

/// A keyspace with empty tables, this test's alone until it is dropped.
pub struct Keyspace {
    name: String,
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            IDLE.lock().unwrap().push(std::mem::take(&mut self.name));
        }
    }
}

impl Keyspace {
    pub async fn fresh() -> Self {
        let idle = IDLE.lock().unwrap().pop();
        let Some(name) = idle else {
            let name = format!("kabar_test_{:016x}", rand::random::<u64>());
            let keyspace = Self { name };
            migrate(&keyspace.cluster().await).await.unwrap();
            return keyspace;
        };
        let session: Session = SessionBuilder::new().known_node(server()).build().await.unwrap();
        for table in TABLES {
            let read = format!("SELECT * FROM {name}.{table} LIMIT 1");
            let found = session.query_unpaged(read, ()).await.unwrap().into_rows_result().unwrap();
            if found.rows_num() > 0 {
                session.query_unpaged(format!("TRUNCATE {name}.{table}"), ()).await.unwrap();
            }
        }
        Self { name }
    }

    async fn cluster(&self) -> Cluster {
        let options = CqlOptions::new(vec![server()], self.name.clone(), MasterKey::random());
        Cluster::connect(&options).await.unwrap()
    }

    /// The views, over a connection of their own.
    pub async fn views(&self, keyring: Arc<Keyring>) -> Arc<CqlViews> {
        Arc::new(CqlViews::open(Arc::new(self.cluster().await), keyring).await.unwrap())
    }
}
