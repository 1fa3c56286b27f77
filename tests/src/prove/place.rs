//! Where the node under proof remembers: a folder, or a keyspace of its own on a cluster. Opened by the proof itself
//! when the node does not run.

use anyhow::{Context, Result};
use kabar_schema::journal::OnFailure;
use kabar_schema::scylla::CqlOptions;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use std::path::PathBuf;

/// The place, and the key to it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The node's folder; on a cluster there is nothing in it to read.
    pub(super) folder: PathBuf,
    /// The cluster and the keyspace.
    pub(super) cql: Option<(String, String)>,
    pub(super) master: String,
}

impl Place {
    /// How the node is told.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("KABAR__STORE__FOLDER", self.folder.display().to_string()),
            ("KABAR__STORE__MASTER_KEY", self.master.clone()),
        ];
        if let Some((node, keyspace)) = &self.cql {
            all.push(("KABAR__STORE__KIND", "cql".to_owned()));
            all.push(("KABAR__CQL__NODES", node.clone()));
            all.push(("KABAR__CQL__KEYSPACE", keyspace.clone()));
            all.push(("KABAR__CQL__REPLICATION", self.options(node, keyspace).replication));
        }
        all
    }

    fn key(&self) -> MasterKey {
        MasterKey::from_hex(&self.master).expect("the proof's own key")
    }

    fn options(&self, node: &str, keyspace: &str) -> CqlOptions {
        CqlOptions::new(vec![node.to_owned()], keyspace, self.key())
    }

    /// Opens what a node that does not run has left.
    pub(super) async fn open(&self) -> Result<Store> {
        let opened = match &self.cql {
            Some((node, keyspace)) => Store::cql(self.options(node, keyspace)).await,
            None => {
                let options = EmbeddedOptions::new(&self.folder, self.key());
                Store::embedded(EmbeddedOptions { fail: OnFailure::Poison, ..options }).await
            }
        };
        opened.context("what the node left does not open")
    }
}
