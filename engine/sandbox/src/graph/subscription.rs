//! Who hears of what: the app's own receiver, and others in its place for one account or one number. Not the posting:
//! that is `delivery`.

use std::collections::{BTreeMap, BTreeSet};

use hyper::{Method, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::delivery::{WebhookRefused, parse};
use super::refusal::Refusal;
use super::token::APP_ID;
use super::{Graph, argument::Arguments};
use crate::config::NumberConfig;

/// Receivers in the place of the app's, the nearest first: number, account, app.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Routes {
    numbers: BTreeMap<usize, String>,
    accounts: BTreeMap<String, String>,
    /// Accounts no app is subscribed to.
    silent: BTreeSet<String>,
}

impl Routes {
    /// Whether everything goes to the app's own receiver.
    pub(super) fn is_plain(&self) -> bool {
        self.numbers.is_empty() && self.accounts.is_empty() && self.silent.is_empty()
    }

    /// Where news of a number go; what its account is told of goes to the account's receiver.
    pub(super) fn target(
        &self,
        number: (usize, &NumberConfig),
        of_account: bool,
        app: Option<&Uri>,
    ) -> Option<Uri> {
        let (at, config) = number;
        if self.silent.contains(&config.waba_id) {
            return None;
        }
        let own = self.numbers.get(&at).filter(|_| !of_account);
        let nearer = own.or_else(|| self.accounts.get(&config.waba_id));
        nearer.and_then(|url| parse(url).ok()).or_else(|| app.cloned())
    }
}

impl Graph {
    /// `GET`, `POST` and `DELETE /{account}/subscribed_apps`.
    pub(super) async fn subscribed_apps(
        &self,
        method: &Method,
        account: &str,
        arguments: &Arguments,
    ) -> Result<Value, Refusal> {
        if method == Method::GET {
            return Ok(self.delivery.routes(|routes| {
                if routes.silent.contains(account) {
                    return json!({"data": []});
                }
                let mut app = json!({"whatsapp_business_api_data":
                    {"id": APP_ID, "name": "Kabar Sandbox", "link": "https://www.facebook.com/games/?app_id=100000000000001"}});
                if let Some(url) = routes.accounts.get(account) {
                    app["override_callback_uri"] = url.as_str().into();
                }
                json!({"data": [app]})
            }));
        }
        let subscribes = method == Method::POST;
        let url = arguments.text("override_callback_uri").filter(|_| subscribes);
        if let Some(url) = &url {
            self.verified(url, arguments.text("verify_token")).await?;
        }
        self.delivery.routes(|routes| {
            if subscribes {
                routes.silent.remove(account);
            } else {
                routes.silent.insert(account.to_owned());
            }
            match url {
                Some(url) => routes.accounts.insert(account.to_owned(), url),
                // a call without one takes it away again
                None => routes.accounts.remove(account),
            };
        });
        self.delivery.wake();
        Ok(json!({"success": true}))
    }

    /// `webhook_configuration` of `POST /{number}`.
    pub(super) async fn override_number(&self, number: usize, configuration: &Value) -> Result<(), Refusal> {
        let text = |key: &str| configuration.get(key).and_then(Value::as_str).map(str::to_owned);
        let url = text("override_callback_uri").filter(|url| !url.is_empty());
        if let Some(url) = &url {
            self.verified(url, text("verify_token")).await?;
        }
        self.delivery.routes(|routes| match url {
            Some(url) => routes.numbers.insert(number, url),
            None => routes.numbers.remove(&number),
        });
        self.delivery.wake();
        Ok(())
    }

    /// Asks a receiver to prove that it is one, as Meta does before it takes an override.
    async fn verified(&self, url: &str, token: Option<String>) -> Result<(), Refusal> {
        let token = token.ok_or_else(|| Refusal::required("verify_token"))?;
        let outcome = self.delivery.verify(url, &token).await;
        outcome.map_err(|refused| {
            let why = match refused {
                WebhookRefused::Status(status) => format!("HTTP Status Code = {status}"),
                other => other.to_string(),
            };
            Refusal::plain(
                400,
                2200,
                format!("(#2200) Callback verification failed with the following errors: {why}"),
            )
        })
    }
}

impl super::delivery::Delivery {
    /// What a number shows of its receivers.
    pub(crate) fn webhook_configuration(&self, number: usize) -> Value {
        let app = self.url();
        let Some(config) = self.numbers().get(number) else { return Value::Null };
        self.routes(|routes| {
            let mut shown = json!({});
            let named = [
                ("phone_number", routes.numbers.get(&number).cloned()),
                ("whatsapp_business_account", routes.accounts.get(&config.waba_id).cloned()),
                ("application", app),
            ];
            for (key, url) in named {
                if let Some(url) = url {
                    shown[key] = url.into();
                }
            }
            shown
        })
    }
}
