//! The cluster of the CQL suites: a running one (`KABAR_TEST_CQL=host:port`), or one that `deploy/cassandra/run`
//! starts and that ends with this process; and keyspaces that are used again, emptied. Not a suite.

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
        let name = match used {
            Some(name) => {
                clean(&name).await;
                name
            }
            None => format!("kabar_test_{:016x}", rand::random::<u64>()),
        };
        Self { name, master: MasterKey::random() }
    }

    pub fn options(&self) -> CqlOptions {
        CqlOptions::new(vec![server().to_owned()], self.name.clone(), self.master.clone())
    }
}

async fn session() -> Session {
    SessionBuilder::new().known_node(server()).auto_await_schema_agreement(false).build().await.unwrap()
}

/// Empties the tables that have something in them; the schema's own stay.
async fn clean(keyspace: &str) {
    let session = session().await;
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables = session.query_unpaged(tables, (keyspace,)).await.unwrap().into_rows_result().unwrap();
    for row in tables.rows::<(String,)>().unwrap() {
        let (table,) = row.unwrap();
        if table.starts_with("schema_") {
            continue;
        }
        let any =
            session.query_unpaged(format!("SELECT * FROM {keyspace}.{table} LIMIT 1"), ()).await.unwrap();
        if any.into_rows_result().unwrap().rows_num() > 0 {
            session.query_unpaged(format!("TRUNCATE {keyspace}.{table}"), ()).await.unwrap();
        }
    }
}
