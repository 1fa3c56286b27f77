//! Everything of the Graph API that is no send: which node and edge a path names, who may call it, and how often. What a
//! call does stands under its noun.

use std::collections::BTreeMap;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::argument::Arguments;
use super::refusal::Refusal;
use super::token::{APP_ID, MANAGEMENT, MESSAGING};
use super::{Answer, Graph, answer_json};
use crate::behaviour::Behaviour;

const HOUR_MS: i64 = 3_600 * 1_000;
/// Edges of an account that count towards its requests per hour.
const COUNTED: &[&str] = &["message_templates", "phone_numbers", "subscribed_apps", "assigned_users"];

/// Calls per account in the hour under way.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<BTreeMap<String, (i64, u32)>>);

impl Usage {
    /// Counts one call: how many there were in this hour, and milliseconds until it is over.
    fn count(&self, account: &str, now_ms: i64) -> (u32, i64) {
        let mut hours = self.0.lock();
        let hour = hours.entry(account.to_owned()).or_insert((now_ms, 0));
        if now_ms - hour.0 >= HOUR_MS {
            *hour = (now_ms, 0);
        }
        hour.1 += 1;
        (hour.1, hour.0 + HOUR_MS - now_ms)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Graph {
    /// Answers a call that is no send.
    pub(super) async fn edge(&self, nodes: &[&str], head: &Parts, body: Incoming) -> Answer {
        let account = nodes.first().copied().filter(|id| self.is_account(id));
        let messaging = ["media", "whatsapp_business_profile", "block_users"];
        let scope = match nodes {
            ["whatsapp_business", "attachments"] => MESSAGING,
            [_, edge] if messaging.contains(edge) => MESSAGING,
            [id] if self.network.number(id).is_none() && account.is_none() && *id != "debug_token" => {
                MESSAGING
            }
            _ => MANAGEMENT,
        };
        let behaviour = self.network.behaviour.get();
        // a token may ask about itself whatever it is good for
        let outcome = if *nodes == ["debug_token"] {
            self.authorise_any(head, &behaviour)
        } else {
            self.authorise(head, scope, &behaviour)
        };
        if let Err(refusal) = outcome {
            return self.stranger(&refusal);
        }
        if *nodes == ["whatsapp_business", "attachments"] {
            return self.download(head);
        }
        let counted = nodes.get(1).is_none_or(|edge| COUNTED.contains(edge));
        let mut used = None;
        if let Some(account) = account.filter(|_| counted) {
            let limit = behaviour.management_limit_per_hour;
            let (calls, left_ms) = self.usage.count(account, self.now_ms());
            if limit > 0 && calls > limit {
                let mut answer = self.throttled(80_007, behaviour.throttle_status);
                show_usage(&mut answer, account, 100, left_ms);
                return answer;
            }
            used = Some((account, (calls * 100).checked_div(limit).unwrap_or(0)));
        }
        let mut answer = match self.call(nodes, head, body).await {
            Ok(value) => answer_json(StatusCode::OK, value.to_string()),
            Err(refusal) if refusal.is_unknown_object() => self.stranger(&refusal),
            Err(refusal) => self.refused(&refusal),
        };
        if let Some((account, percent)) = used {
            show_usage(&mut answer, account, percent, 0);
        }
        answer
    }

    fn authorise_any(&self, head: &Parts, behaviour: &Behaviour) -> Result<(), Refusal> {
        self.authorise(head, MANAGEMENT, behaviour).or_else(|_| self.authorise(head, MESSAGING, behaviour))
    }

    fn is_account(&self, id: &str) -> bool {
        self.network.numbers.iter().any(|number| number.waba_id == id)
    }

    async fn call(&self, nodes: &[&str], head: &Parts, body: Incoming) -> Result<Value, Refusal> {
        let path = head.uri.path();
        let verb = match head.method {
            Method::GET => "get",
            Method::DELETE => "delete",
            _ => "post",
        };
        match nodes {
            [id] if id.starts_with("upload:") => self.upload(id, head, body).await,
            ["debug_token"] if verb == "get" => {
                let arguments = Arguments::read(head, body).await?;
                Ok(self.debug_token(&arguments.required("input_token")?))
            }
            [APP_ID, "uploads"] if verb == "post" => self.begin_upload(&Arguments::read(head, body).await?),
            [id] => self.node(id, verb, head, body).await,
            [id, edge] => match (self.network.number(id), self.is_account(id)) {
                (Some(number), _) if *edge == "media" && verb == "post" => {
                    self.upload_media(number, head, body).await
                }
                (Some(number), _) => self.edge_of_number(number, edge, head, body).await,
                (None, true) => self.edge_of_account(id, edge, head, body).await,
                (None, false) => match id.parse().ok().and_then(|id| self.templates.find(id)) {
                    Some(template) if *edge == "unpause" && verb == "post" => self.unpause_now(&template),
                    Some(_) => Err(Refusal::unknown_path(path)),
                    None => Err(Refusal::unknown_object(verb, id)),
                },
            },
            _ => Err(Refusal::unknown_path(path)),
        }
    }

    /// A node by its id: a number, an account, a template or a medium.
    async fn node(&self, id: &str, verb: &str, head: &Parts, body: Incoming) -> Result<Value, Refusal> {
        let arguments = Arguments::read(head, body).await?;
        if let Some(number) = self.network.number(id) {
            return match verb {
                "get" => Ok(self.number_fields(number, &arguments)),
                "post" => self.set_number(number, &arguments).await,
                _ => Err(Refusal::unknown_object(verb, id)),
            };
        }
        if self.is_account(id) {
            return match verb {
                "get" => Ok(self.account(id, &arguments)),
                "post" => self.set_account(id, &arguments),
                _ => Err(Refusal::unknown_object(verb, id)),
            };
        }
        if let Some(template) = id.parse().ok().and_then(|id| self.templates.find(id)) {
            return match verb {
                "get" => Ok(self.template(&template, &arguments)),
                "post" => self.edit_template(&template, &arguments),
                _ => self.delete_all(&[template]),
            };
        }
        match verb {
            "get" => self.medium(id, &arguments, head),
            "delete" => self.delete_medium(id, &arguments),
            _ => Err(Refusal::unknown_object(verb, id)),
        }
    }

    async fn edge_of_number(
        &self,
        number: usize,
        edge: &str,
        head: &Parts,
        body: Incoming,
    ) -> Result<Value, Refusal> {
        let arguments = Arguments::read(head, body).await?;
        let path = head.uri.path();
        match (&head.method, edge) {
            (&Method::POST, "register") => self.register(number, &arguments),
            (&Method::POST, "deregister") => self.deregister(number),
            (&Method::POST, "request_code") => self.request_code(number, &arguments),
            (&Method::POST, "verify_code") => self.verify_code(number, &arguments),
            (&Method::GET, "settings") => Ok(self.settings(number, &arguments)),
            (&Method::POST, "settings") => self.set_settings(number, &arguments),
            (&Method::GET, "whatsapp_business_profile") => Ok(self.profile(number, &arguments)),
            (&Method::POST, "whatsapp_business_profile") => self.set_profile(number, &arguments),
            (&Method::GET, "block_users") => self.blocked(number, &arguments, path),
            (method @ (&Method::POST | &Method::DELETE), "block_users") => {
                self.block(number, method, &arguments)
            }
            _ => Err(Refusal::unknown_path(path)),
        }
    }

    async fn edge_of_account(
        &self,
        account: &str,
        edge: &str,
        head: &Parts,
        body: Incoming,
    ) -> Result<Value, Refusal> {
        let arguments = Arguments::read(head, body).await?;
        let path = head.uri.path();
        match (&head.method, edge) {
            (&Method::GET, "message_templates") => self.list_templates(account, &arguments, path),
            (&Method::POST, "message_templates") => self.create_template(account, &arguments),
            (&Method::DELETE, "message_templates") => self.delete_templates(account, &arguments),
            (&Method::GET, "phone_numbers") => {
                let own =
                    self.network.numbers.iter().enumerate().filter(|(_, number)| number.waba_id == account);
                let items = own.map(|(at, number)| {
                    let whole = self.describe(at);
                    let shown = if arguments.get("fields").is_some() {
                        whole
                    } else {
                        self.number_fields(at, &arguments)
                    };
                    (number.phone_number_id.clone(), shown)
                });
                let mut items: Vec<_> = items.collect();
                items.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                arguments.page(items, path)
            }
            (method @ (&Method::GET | &Method::POST | &Method::DELETE), "subscribed_apps") => {
                self.subscribed_apps(method, account, &arguments).await
            }
            _ => Err(Refusal::unknown_path(path)),
        }
    }

    /// `GET /{account}`.
    fn account(&self, id: &str, arguments: &Arguments) -> Value {
        let insights = self.insights.lock().contains(id);
        let numbers: Vec<Value> = (0..self.network.numbers.len())
            .filter(|at| self.network.numbers[*at].waba_id == id)
            .map(|at| self.number_fields(at, &Arguments::default()))
            .collect();
        let whole = json!({
            "id": id,
            "name": "Kabar Sandbox",
            "currency": "USD",
            "timezone_id": "1",
            "message_template_namespace": format!("{id}_sandbox"),
            "account_review_status": "APPROVED",
            "business_verification_status": "verified",
            "country": "US",
            "ownership_type": "SELF",
            "status": "ACTIVE",
            "is_enabled_for_insights": insights,
            "marketing_messages_lite_api_status": "INELIGIBLE",
            "health_status": {"can_send_message": "AVAILABLE",
                "entities": [{"entity_type": "WABA", "id": id, "can_send_message": "AVAILABLE"}]},
            "owner_business_info": {"id": "101000000000001", "name": "Kabar Sandbox"},
            "phone_numbers": {"data": numbers},
        });
        match arguments.text("fields") {
            Some(_) => arguments.select(whole),
            None => super::argument::select(whole, "name,timezone_id,message_template_namespace"),
        }
    }

    /// `POST /{account}`.
    fn set_account(&self, id: &str, arguments: &Arguments) -> Result<Value, Refusal> {
        match arguments.flag("is_enabled_for_insights") {
            Some(true) => self.insights.lock().insert(id.to_owned()),
            Some(false) => return Err(Refusal::parameter("Insights cannot be switched off again.")),
            None if arguments.get("name").is_some() => false,
            None => return Err(Refusal::parameter("Nothing that can be changed was given.")),
        };
        Ok(json!({"id": id}))
    }
}

fn show_usage(answer: &mut Answer, account: &str, percent: u32, left_ms: i64) {
    let minutes = (left_ms + 59_999) / 60_000;
    let usage = json!({account: [{"type": "whatsapp_business_management", "call_count": percent, "total_cputime": 0,
        "total_time": 0, "estimated_time_to_regain_access": minutes}]});
    let app = json!({"call_count": percent, "total_time": 0, "total_cputime": 0});
    for (name, value) in [("x-business-use-case-usage", usage), ("x-app-usage", app)] {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            answer.headers_mut().insert(name, value);
        }
    }
}
