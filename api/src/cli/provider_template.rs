//! `kabar provider-template`: Meta's templates, over Kabar's own API.

use super::remote::{Access, body};
use crate::exit::Failure;
use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Templates that Meta keeps for the account of a number.
#[derive(Debug, Subcommand)]
pub(super) enum ProviderTemplate {
    /// Lists them as Meta last told them.
    List {
        #[arg(value_name = "ses_…")]
        session: String,
        /// Read the whole account at Meta first.
        #[arg(long)]
        refresh: bool,
        /// Only those with this status: approved, paused, rejected ….
        #[arg(long)]
        status: Option<String>,
    },
    /// Shows one.
    Show {
        #[arg(value_name = "ses_…")]
        session: String,
        /// Meta's id of it.
        id: String,
        /// Ask Meta first.
        #[arg(long)]
        refresh: bool,
    },
    /// Makes one: a JSON file with the body of POST /v1/sessions/{id}/provider-templates.
    Create {
        #[arg(value_name = "ses_…")]
        session: String,
        file: PathBuf,
    },
    /// Changes one: a JSON file with what is replaced.
    Change {
        #[arg(value_name = "ses_…")]
        session: String,
        /// Meta's id of it.
        id: String,
        file: PathBuf,
    },
    /// Asks that a paused one goes again.
    Unpause {
        #[arg(value_name = "ses_…")]
        session: String,
        /// Meta's id of it.
        id: String,
    },
    /// Deletes one; its name cannot be used again for 30 days.
    Delete {
        #[arg(value_name = "ses_…")]
        session: String,
        /// Meta's id of it.
        id: String,
    },
}

impl Access {
    pub(super) async fn provider_template(&self, verb: ProviderTemplate) -> Result<(), Failure> {
        let path = |session: &str, rest: &str| format!("/v1/sessions/{session}/provider-templates{rest}");
        match verb {
            ProviderTemplate::List { session, refresh, status } => {
                if refresh {
                    self.client()?.get(&path(&session, "?refresh=true&limit=1")).await?;
                }
                let status = status.map(|status| format!("?status={status}")).unwrap_or_default();
                let columns = ["id", "name", "language", "status", "category", "quality", "seen"];
                self.list(&path(&session, &status), &columns).await
            }
            ProviderTemplate::Show { session, id, refresh } => {
                self.one(path(&session, &format!("/{id}?refresh={refresh}"))).await
            }
            ProviderTemplate::Create { session, file } => self.make(&path(&session, ""), &body(&file)?).await,
            ProviderTemplate::Change { session, id, file } => {
                self.ask(Method::PATCH, &path(&session, &format!("/{id}")), &body(&file)?).await
            }
            ProviderTemplate::Unpause { session, id } => {
                self.make(&path(&session, &format!("/{id}/unpause")), &json!({})).await
            }
            ProviderTemplate::Delete { session, id } => {
                self.ask(Method::DELETE, &path(&session, &format!("/{id}")), &Value::Null).await
            }
        }
    }
}
