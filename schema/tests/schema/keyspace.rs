//! The cluster of the CQL suites: a running one (`KABAR_TEST_CQL=host:port`), or one that `deploy/cassandra/run`
//! starts and that ends with this process; and keyspaces that are used again, emptied. Not a suite.

use futures::StreamExt;
use kabar_schema::scylla::CqlOptions;
use kabar_schema::seal::MasterKey;
use parking_lot::Mutex;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

struct Server {
    address: String,
    /// Ends when its stdin does, thus with this process.
    _own: Option<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn server() -> &'static str {
    let start = || {
        if let Ok(address) = std::env::var("KABAR_TEST_CQL") {
            return Server { address, _own: None };
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/cassandra/run");
        let mut command = Command::new(script);
        let mut own = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(own.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value =
            serde_json::from_str(&line).expect("deploy/cassandra/run says why above");
        Server { address: told["address"].as_str().unwrap().to_owned(), _own: Some(own) }
    };
    &SERVER.get_or_init(start).address
}

/// A keyspace of one test, given back when dropped.
pub struct Keyspace {
    name: String,
    pub master: MasterKey,
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        FREE.lock().push(std::mem::take(&mut self.name));
    }
}

impl Keyspace {
    /// An empty one. Making its tables takes seconds, so a used one is emptied instead.
    pub async fn empty() -> Self {
        let used = FREE.lock().pop();
        let master = MasterKey::random();
        let Some(name) = used else {
            let keyspace = Self { name: format!("kabar_test_{:016x}", rand::random::<u64>()), master };
            kabar_schema::scylla::upgrade(&keyspace.options()).await.unwrap();
            return keyspace;
        };
        let keyspace = Self { name, master };
        clean(&keyspace).await;
        keyspace
    }

    /// A connection below the store: to look at rows, and to damage them.
    pub async fn session(&self) -> Session {
        let builder = SessionBuilder::new().known_node(server()).fetch_schema_metadata(false);
        let session = builder.build().await.unwrap();
        session.use_keyspace(&self.name, false).await.unwrap();
        session
    }

    pub fn options(&self) -> CqlOptions {
        CqlOptions::new(vec![server().to_owned()], self.name.clone(), self.master.clone())
    }
}

/// Empties the tables that have something in them; the schema's own stay.
async fn clean(keyspace: &Keyspace) {
    let session = &keyspace.session().await;
    let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let found = session.query_unpaged(text, (&keyspace.name,)).await.unwrap().into_rows_result().unwrap();
    let tables: Vec<String> = found.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect();
    let tables = tables.into_iter().filter(|name| !name.starts_with("schema_"));
    let each = futures::stream::iter(tables).for_each_concurrent(8, |table| async move {
        let any = session.query_unpaged(format!("SELECT * FROM {table} LIMIT 1"), ()).await.unwrap();
        if any.into_rows_result().unwrap().rows_num() > 0 {
            session.query_unpaged(format!("TRUNCATE {table}"), ()).await.unwrap();
        }
    });
    each.await;
}
