//! Keyspaces for tests on the server that `KABAR_TEST_CQL` names. Making all tables takes seconds, so that a keyspace
//! is used by one test after the other: who takes one finds it empty. Not a suite.

use futures::StreamExt;
use kabar_schema::records::{Nouns, Records};
use kabar_schema::scylla::{Cluster, CqlBlobs, CqlContacts, CqlLedger, CqlOptions, CqlRecords};
use kabar_schema::seal::{Keyring, MasterKey};
use kabar_schema::store::Store;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::sync::{Arc, Mutex};

const SERVER: &str = "KABAR_TEST_CQL";

/// Names of keyspaces no test is using now.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A keyspace of one test.
pub struct Keyspace {
    name: String,
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        FREE.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!(
            "{SERVER} must name a server, host:port; deploy/cassandra/run starts one and prints its address"
        )
    })
}

impl Keyspace {
    /// One with all tables and nothing in them.
    pub async fn take() -> Self {
        let free = FREE.lock().unwrap().pop();
        if let Some(name) = free {
            let keyspace = Self { name };
            keyspace.empty().await;
            return keyspace;
        }
        let keyspace = Self { name: format!("kabar_test_{:016x}", rand::random::<u64>()) };
        keyspace.cluster().await.migrate().await.unwrap();
        keyspace
    }

    pub async fn cluster(&self) -> Cluster {
        let options = CqlOptions::new(vec![server()], &self.name, MasterKey::random());
        Cluster::connect(&options).await.unwrap()
    }

    /// A connection below the store: to look at rows, and to damage them.
    pub async fn session(&self) -> Session {
        let builder = SessionBuilder::new().known_node(server()).fetch_schema_metadata(false);
        let session = builder.build().await.unwrap();
        session.use_keyspace(&self.name, false).await.unwrap();
        session
    }

    async fn empty(&self) {
        let session = self.session().await;
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let found = session.query_unpaged(text, (&self.name,)).await.unwrap().into_rows_result().unwrap();
        let tables: Vec<String> = found.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect();
        let tables = tables.into_iter().filter(|name| !name.starts_with("schema_"));
        let each = futures::stream::iter(tables).for_each_concurrent(8, |table| {
            let session = &session;
            async move {
                let text = format!("SELECT * FROM {table} LIMIT 1");
                let rows = session.query_unpaged(text, ()).await.unwrap().into_rows_result().unwrap();
                if rows.rows_num() > 0 {
                    session.query_unpaged(format!("TRUNCATE {table}"), ()).await.unwrap();
                }
            }
        });
        each.await;
    }

    /// A store over it: the seams the cluster has, the others in memory.
    pub async fn store(&self, master: MasterKey) -> Store {
        let cluster = Arc::new(self.cluster().await);
        let records: Arc<dyn Records> = Arc::new(CqlRecords::open(Arc::clone(&cluster)).await.unwrap());
        let keyring = Arc::new(Keyring::new(master, Arc::clone(&records)));
        keyring.load().await.unwrap();
        let mut store = Store::memory();
        store.nouns = Nouns::new(Arc::clone(&records), Arc::clone(&keyring));
        store.records = records;
        store.contacts =
            Arc::new(CqlContacts::open(Arc::clone(&cluster), Arc::clone(&keyring)).await.unwrap());
        store.blobs = Arc::new(CqlBlobs::open(Arc::clone(&cluster), Arc::clone(&keyring)).await.unwrap());
        store.ledger = Arc::new(CqlLedger::open(cluster, Arc::clone(&keyring)).await.unwrap());
        store.keyring = keyring;
        store
    }
}
