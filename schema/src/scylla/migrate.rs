//! The tables, and the steps from version to version. A step only adds (expand); what nobody reads any more is
//! dropped by a later step of its own, whose file ends in `_contract`, one release after the last reader. Two
//! migrators do not meet: the one who holds the lock works, the other waits.

use super::cluster::{Cluster, Lwt, refused};
use super::statement::Migration;
use crate::error::{OpenError, StoreError};
use std::time::{Duration, Instant};

/// The steps: the n-th leads to version n.
pub(super) const STEPS: &[(&str, &str)] = &[("001_begin", include_str!("../../cql/001_begin.cql"))];

/// The two tables migration itself stands on.
const GROUND: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS schema_version (everything smallint, version int, name text, PRIMARY KEY ((everything), version))",
    "CREATE TABLE IF NOT EXISTS schema_lock (everything smallint PRIMARY KEY, owner text)",
];

/// How long another migrator is waited for: its lock ends by itself before that.
const PATIENCE: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(200);

/// The statements of a step.
pub(super) fn statements(step: &str) -> impl Iterator<Item = String> + '_ {
    let code = step.lines().filter(|line| !line.trim_start().starts_with("--"));
    let code: Vec<&str> = code.map(|line| line.split(" --").next().unwrap_or(line)).collect();
    let code = code.join("\n");
    code.split(";\n")
        .map(|s| s.trim().trim_end_matches(';').to_owned())
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

fn store(error: StoreError) -> OpenError {
    OpenError::Store(error)
}

/// Brings the keyspace to the newest version; tells which one it had.
///
/// # Errors
/// [`OpenError::Cluster`]: a newer version wrote there, another migration does not end, a table cannot be made.
pub async fn run(cluster: &Cluster) -> Result<usize, OpenError> {
    for text in GROUND {
        cluster.define(text).await?;
    }
    cluster.agree().await?;
    let sql = Migration::prepare(cluster).await?;
    let found = version(cluster, &sql).await?;
    if found == STEPS.len() {
        return Ok(found);
    }
    let me = format!("{:016x}", rand::random::<u64>());
    lock(cluster, &sql, &me).await?;
    let done = steps(cluster, &sql).await;
    // Whatever came of it: the next one need not wait for the lock to end by itself.
    let freed = cluster.lwt(&sql.unlock, (&me,)).await;
    done?;
    freed.map_err(store)?;
    Ok(found)
}

async fn version(cluster: &Cluster, sql: &Migration) -> Result<usize, OpenError> {
    let newest: Option<(i32,)> = cluster.row(&sql.version, ()).await.map_err(store)?;
    let found = newest.map_or(0, |(v,)| usize::try_from(v).unwrap_or(0));
    if found > STEPS.len() {
        let what = format!("the keyspace has version {found}, this binary knows up to {}", STEPS.len());
        return Err(refused("a newer version wrote here; start that one", what));
    }
    Ok(found)
}

async fn lock(cluster: &Cluster, sql: &Migration, me: &str) -> Result<(), OpenError> {
    let begun = Instant::now();
    loop {
        match cluster.lwt(&sql.lock, (me,)).await {
            Ok(Lwt::Applied) => return Ok(()),
            // An unknown outcome may have been ours: the owner says.
            Ok(Lwt::Refused) | Err(StoreError::Unknown) => {
                let owner: Option<(Option<String>,)> = cluster.row(&sql.owner, ()).await.map_err(store)?;
                if owner.and_then(|(o,)| o).as_deref() == Some(me) {
                    return Ok(());
                }
            }
            Err(error) => return Err(store(error)),
        }
        if begun.elapsed() > PATIENCE {
            return Err(refused("another migration", "it holds the lock and does not end"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Read again under the lock: somebody else may have done the steps meanwhile.
async fn steps(cluster: &Cluster, sql: &Migration) -> Result<(), OpenError> {
    let found = version(cluster, sql).await?;
    for (at, (name, step)) in STEPS.iter().enumerate().skip(found) {
        for text in statements(step) {
            cluster.define(&text).await?;
        }
        cluster.agree().await?;
        let number = i32::try_from(at + 1).unwrap_or(i32::MAX);
        cluster.write(&sql.reached, (number, *name)).await.map_err(store)?;
        tracing::info!(version = number, name, "the keyspace was brought to a new version");
    }
    Ok(())
}
