//! `kabar campaign`: campaigns of a running Kabar, over its own API.

use super::remote::{Access, body};
use crate::exit::Failure;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;

/// Campaigns.
#[derive(Debug, Subcommand)]
pub(super) enum Campaign {
    /// Makes a draft: a JSON file with the body of POST /v1/campaigns.
    Create { file: PathBuf },
    /// Lists them.
    List {
        /// Only those made from this one: its clones, retries and occurrences.
        #[arg(long, value_name = "cmp_…")]
        origin: Option<String>,
    },
    /// Shows one with its totals and what it waits for.
    Show { id: String },
    /// Reports what would become of it if it were launched now.
    Preflight { id: String },
    /// Shows what one contact would get.
    Preview {
        id: String,
        /// The contact.
        #[arg(value_name = "con_…")]
        contact: String,
    },
    /// Begins to send, or to wait for its start.
    Launch { id: String },
    /// Sends nothing more for now.
    Pause { id: String },
    /// Goes on.
    Resume { id: String },
    /// Ends what is not sent.
    Cancel { id: String },
    /// Makes a draft that is the same once more.
    Clone {
        id: String,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Makes a draft for those who failed.
    Retry {
        id: String,
        /// Those whose time was over, too.
        #[arg(long)]
        expired: bool,
        /// Only those who failed with this cause (Meta's number or Kabar's); may stand several times.
        #[arg(long = "cause", value_name = "NUMBER")]
        causes: Vec<u32>,
    },
    /// Lists its recipients.
    Recipients {
        id: String,
        /// Only those whose message is there now: queued, sent, delivered, read, failed, expired, unknown.
        #[arg(long)]
        status: Option<String>,
        /// Only the failed with this cause: its number or its code.
        #[arg(long)]
        cause: Option<String>,
    },
    /// Prints its recipients as CSV.
    Export { id: String },
}

impl Access {
    pub(super) async fn campaign(&self, verb: Campaign) -> Result<(), Failure> {
        let path = |id: &str, rest: &str| format!("/v1/campaigns/{id}{rest}");
        match verb {
            Campaign::Create { file } => self.make("/v1/campaigns", &body(&file)?).await,
            Campaign::List { origin } => {
                let origin = origin.map(|id| format!("?origin={id}")).unwrap_or_default();
                self.list(&format!("/v1/campaigns{origin}"), &["id", "name", "created"]).await
            }
            Campaign::Show { id } => self.one(path(&id, "")).await,
            Campaign::Preflight { id } => self.one(path(&id, "/preflight")).await,
            Campaign::Preview { id, contact } => {
                self.one(path(&id, &format!("/preview?contact={contact}"))).await
            }
            Campaign::Launch { id } => self.make(&path(&id, "/launch"), &json!({})).await,
            Campaign::Pause { id } => self.make(&path(&id, "/pause"), &json!({})).await,
            Campaign::Resume { id } => self.make(&path(&id, "/resume"), &json!({})).await,
            Campaign::Cancel { id } => self.make(&path(&id, "/cancel"), &json!({})).await,
            Campaign::Clone { id, name } => self.make(&path(&id, "/clone"), &json!({"name": name})).await,
            Campaign::Retry { id, expired, causes } => {
                let statuses = if expired { json!(["failed", "expired"]) } else { json!(["failed"]) };
                let asked = json!({"statuses": statuses, "causes": causes});
                self.make(&path(&id, "/retry"), &asked).await
            }
            Campaign::Recipients { id, status, cause } => {
                let asked = [("status", status), ("cause", cause)];
                let asked = asked.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
                let asked = asked.collect::<Vec<_>>().join("&");
                let rest = if asked.is_empty() { String::new() } else { format!("?{asked}") };
                let columns = ["to", "status", "message", "sent", "delivered", "read"];
                self.list(&path(&id, &format!("/recipients{rest}")), &columns).await
            }
            Campaign::Export { id } => {
                Ok(self.client()?.copy(&path(&id, "/export"), &mut std::io::stdout()).await?)
            }
        }
    }
}
