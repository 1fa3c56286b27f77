//! The verbs that speak to a running Kabar over its own API: `tenant`, `template`, `send`; the others stand in
//! files of their own. Tables for people, the API's own JSON with `--json`. They know nothing the API does not tell.

use super::table;
use crate::client::{Client, ClientError};
use crate::exit::Failure;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the API is and who asks.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// Where Kabar listens.
    #[arg(
        long,
        global = true,
        env = "KABAR_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,
    /// An API key of a tenant, or the operator's.
    #[arg(long, global = true, env = "KABAR_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// With the operator's key: the tenant it acts for.
    #[arg(long, global = true, env = "KABAR_TENANT", value_name = "ten_…")]
    tenant: Option<String>,
    /// The API's JSON instead of a table.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Customers of the installation (the operator's key).
#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Makes one.
    Create { name: String },
    /// Lists them.
    List,
    /// Shows one.
    Show { id: String },
}

/// Stored messages with variables.
#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// Stores one: a JSON file with the body of POST /v1/templates.
    Create { file: PathBuf },
    /// Lists them.
    List,
    /// Shows one and its variables.
    Show { id: String },
    /// Shows what one person would get, or what is missing for it; nothing is sent.
    Preview {
        id: String,
        /// The person whose values are filled in.
        #[arg(long, value_name = "con_…")]
        contact: Option<String>,
        /// The value of a variable; may be given more than once.
        #[arg(long = "value", value_name = "NAME=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
    },
}

/// One message.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The number it leaves from.
    #[arg(long, value_name = "ses_…")]
    session: String,
    /// The recipient: +62812….
    #[arg(long)]
    to: String,
    /// A text (within 24 hours of the person's last message).
    #[arg(long, required_unless_present = "template", conflicts_with = "template")]
    text: Option<String>,
    /// An approved template without parameters.
    #[arg(long)]
    template: Option<String>,
    /// The template's language.
    #[arg(long, default_value = "id")]
    language: String,
    /// The same key again sends nothing twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl From<ClientError> for Failure {
    /// What the caller can mend ends with 2, what the server could not do with 1.
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused { status, .. } if *status < 500 && *status != 429 => {
                Self::usage(error.to_string())
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

impl Access {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let missing = || Failure::usage("say who asks: --key or KABAR_KEY");
        let client = Client::new(&self.url, self.key.as_deref().ok_or_else(missing)?);
        Ok(match &self.tenant {
            Some(tenant) => client.with("kabar-tenant", tenant.clone()),
            None => client,
        })
    }

    /// Whether the API's JSON is wanted.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    pub(super) fn show(&self, answer: &Value, columns: &[&str]) {
        if self.json {
            println!("{answer:#}");
        } else {
            print!("{}", table::written(answer, columns));
        }
    }

    /// Every page of a list; JSON goes out a page at a time.
    pub(super) async fn list(&self, path: &str, columns: &[&str]) -> Result<(), Failure> {
        let client = self.client()?;
        let mut after = String::new();
        loop {
            let and = if path.contains('?') { '&' } else { '?' };
            let page = client.get(&format!("{path}{and}limit=200&after={after}")).await?;
            self.show(&page, columns);
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => return Ok(()),
            }
        }
    }

    pub(super) async fn one(&self, path: String) -> Result<(), Failure> {
        self.show(&self.client()?.get(&path).await?, &[]);
        Ok(())
    }

    pub(super) async fn make(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.show(&self.client()?.post(path, body).await?, &[]);
        Ok(())
    }

    /// A change or a removal; one without an answer shows nothing.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(), Failure> {
        let answer = self.client()?.json(method, path, body).await?;
        if !answer.is_null() {
            self.show(&answer, &[]);
        }
        Ok(())
    }

    pub(super) async fn tenant(&self, verb: Tenant) -> Result<(), Failure> {
        match verb {
            Tenant::Create { name } => self.make("/v1/tenants", &json!({"name": name})).await,
            Tenant::List => self.list("/v1/tenants", &["id", "name", "created"]).await,
            Tenant::Show { id } => self.one(format!("/v1/tenants/{id}")).await,
        }
    }

    pub(super) async fn template(&self, verb: Template) -> Result<(), Failure> {
        match verb {
            Template::Create { file } => self.make("/v1/templates", &body(&file)?).await,
            Template::List => self.list("/v1/templates", &["id", "name", "updated"]).await,
            Template::Show { id } => self.one(format!("/v1/templates/{id}")).await,
            Template::Preview { id, contact, values } => {
                let values: BTreeMap<_, _> = values.into_iter().collect();
                let person = json!({"contact": contact, "values": values});
                self.make(&format!("/v1/templates/{id}/preview"), &person).await
            }
        }
    }

    pub(super) async fn send(&self, send: SendArgs) -> Result<(), Failure> {
        let mut message = json!({"session": send.session, "to": send.to});
        match (send.text, send.template) {
            (Some(text), _) => {
                message["type"] = "text".into();
                message["text"] = json!({"body": text});
            }
            (None, template) => {
                message["type"] = "template".into();
                message["template"] = json!({"name": template, "language": {"code": send.language}});
            }
        }
        let client = self.client()?;
        let client = match send.idempotency_key {
            Some(key) => client.with("idempotency-key", key),
            None => client,
        };
        self.show(&client.post("/v1/messages", &message).await?, &[]);
        Ok(())
    }
}

/// `name=value`; the value may hold more of these signs.
fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write NAME=VALUE".to_owned())
}

/// A JSON file.
pub(super) fn body(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}
