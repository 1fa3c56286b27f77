//! `kabar session`: linked numbers of a running Kabar, over its own API.

use super::remote::{Access, body};
use crate::exit::Failure;
use axum::http::Method;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Linked WhatsApp numbers.
#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// Links one: a JSON file with the body of POST /v1/sessions. Meta is asked first whether its token works.
    Create { file: PathBuf },
    /// Lists them.
    List,
    /// Shows one, how it does now, and what Meta said of its number.
    Show { id: String },
    /// Asks Meta now whether the token works.
    Check { id: String },
    /// Changes one: a JSON file with the body of PATCH /v1/sessions/{id}.
    Change { id: String, file: PathBuf },
    /// Removes one.
    Remove {
        id: String,
        /// Also with messages that wait and campaigns that are not over: they are ended.
        #[arg(long)]
        force: bool,
    },
}

impl Access {
    pub(super) async fn session(&self, verb: Session) -> Result<(), Failure> {
        match verb {
            Session::Create { file } => self.make("/v1/sessions", &body(&file)?).await,
            Session::List => {
                self.list("/v1/sessions", &["id", "name", "display_phone_number", "created"]).await
            }
            Session::Show { id } => self.one(format!("/v1/sessions/{id}")).await,
            Session::Check { id } => self.make(&format!("/v1/sessions/{id}/check"), &json!({})).await,
            Session::Change { id, file } => {
                self.ask(Method::PATCH, &format!("/v1/sessions/{id}"), &body(&file)?).await
            }
            Session::Remove { id, force } => {
                let path = format!("/v1/sessions/{id}?force={force}");
                self.ask(Method::DELETE, &path, &Value::Null).await
            }
        }
    }
}
