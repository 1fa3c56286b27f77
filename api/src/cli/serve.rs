//! `kabar serve`: starts, says where, waits for a signal, drains.

use crate::config::{Config, StoreKind};
use crate::exit::Failure;
use crate::serve::{StartError, cql_options, master_key, operator_key_file, start};
use crate::telemetry::Export;

/// Runs until SIGTERM or SIGINT.
pub(super) async fn run(config: Config, spans: Option<Export>) -> Result<(), Failure> {
    // Before anything starts: a signal that comes early is not lost.
    let ends = ending()?;
    let refused = |error: &dyn std::fmt::Display| Failure::failed(format!("spans cannot be sent: {error}"));
    let spans = spans.map(Export::begin).transpose().map_err(|error| refused(&error))?;
    let refused = |error: StartError| Failure::usage(error.to_string());
    let file = operator_key_file(&config).map_err(refused)?;
    let running = start(config).await.map_err(|error| match error {
        StartError::Listen { .. } | StartError::KeyFile { .. } => Failure::usage(error.to_string()),
        other => Failure::failed(other.to_string()),
    })?;
    let key = if running.operator_key_is_new {
        format!("operator key, shown once: {}", running.operator_key)
    } else if let Some(file) = file {
        format!("operator key: in {}", file.display())
    } else {
        "operator key: as configured".to_owned()
    };
    println!("Kabar listens on {} · {key} · make a tenant with POST /v1/tenants", running.url());
    ends.await;
    tracing::info!("draining");
    running.shutdown().await;
    if let Some(spans) = spans {
        spans.end().await;
    }
    Ok(())
}

/// `kabar migrate`: the schema alone.
pub(super) async fn migrate(config: Config) -> Result<(), Failure> {
    if config.store.kind == StoreKind::Embedded {
        println!("an embedded folder is brought to this version when it is opened; nothing to do");
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let master = master_key(&config).map_err(|e| failed(&e))?;
    let options = cql_options(&config, master);
    let (found, now) = kabar_schema::scylla::upgrade(&options).await.map_err(|e| failed(&e))?;
    println!("keyspace {}: version {now}, it was {found}", options.keyspace);
    Ok(())
}

/// Ends when the process is asked to.
fn ending() -> Result<impl Future<Output = ()>, Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    {
        Ok(async {
            let _ = tokio::signal::ctrl_c().await;
        })
    }
}
