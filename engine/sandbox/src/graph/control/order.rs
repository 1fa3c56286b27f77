//! Orders of the control API about accounts: tokens, numbers, templates, news of an account. Not about messages: those
//! stand in `control`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Graph;
use super::super::agenda::Errand;
use super::super::envelope::Update;
use super::super::number::VERIFICATION_CODE;
use super::super::script::Rule;
use super::super::template::{Template, TemplateStatus};
use super::super::token::TokenOrder;

use crate::network::phone::Phones;
use crate::network::policy::PhoneOrder;

/// Sends of a number are refused so long while it is given a higher rate.
const UPGRADE_MS: u64 = 60_000;

/// What changes about a number; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberOrder {
    /// Which.
    pub phone_number_id: String,
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    pub quality_rating: Option<String>,
    /// `CONNECTED`, `FLAGGED`, `RESTRICTED`, `BANNED`, …
    pub status: Option<String>,
    /// `VERIFIED`, `NOT_VERIFIED` or `EXPIRED`.
    pub code_verification_status: Option<String>,
    /// Code every send is refused with (131031, 368, …); 0 lifts it.
    pub restriction: Option<u32>,
    /// Another throughput: refused with 131057 for a minute, then `THROUGHPUT_UPGRADE` is told.
    pub messages_per_second: Option<u32>,
    /// Its verified name.
    pub verified_name: Option<String>,
    /// Whether it is an official business account.
    pub official: Option<bool>,
}

/// What changes about a template; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateOrder {
    /// Which one by its id.
    pub id: Option<String>,
    /// Or all languages of a name.
    pub name: Option<String>,
    /// The account of the name; otherwise that of the first number.
    pub waba_id: Option<String>,
    /// `APPROVED`, `REJECTED`, `PAUSED`, `DISABLED`, …, told as a webhook.
    pub status: Option<String>,
    /// Reason told with the status.
    pub reason: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` (which pauses) or `UNKNOWN`, told as a webhook.
    pub quality: Option<String>,
    /// Another category, told as a webhook.
    pub category: Option<String>,
}

/// News of an account: any webhook field but `messages`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountEvent {
    /// The webhook field: `account_update`, `account_alerts`, `user_preferences`, …
    pub field: String,
    /// Its value, told as it is.
    pub value: Value,
    /// The account; otherwise that of the first number.
    pub waba_id: Option<String>,
}

impl Graph {
    pub(super) fn order_token(&self, order: TokenOrder) -> Result<Value, String> {
        if order.token.is_empty() {
            return Err("`token` is needed".into());
        }
        let shown = super::to_value(&order)?;
        self.tokens.set(order);
        Ok(shown)
    }

    pub(super) fn numbers_shown(&self) -> Value {
        let number = |at: usize| {
            let mut shown = self.describe(at);
            let own = self.numbers.read(at, |state| (state.pin.clone(), state.registered, state.restriction));
            let (pin, registered, restriction) = own.unwrap_or_default();
            shown["pin"] = pin.into();
            shown["registered"] = registered.into();
            shown["restriction"] = restriction.into();
            shown["verification_code"] = VERIFICATION_CODE.into();
            shown["waba_id"] = self.network.numbers[at].waba_id.as_str().into();
            shown
        };
        json!({"numbers": (0..self.network.numbers.len()).map(number).collect::<Vec<_>>()})
    }

    /// Replaces the rules phones answer by.
    pub(crate) fn order_scripts(&self, rules: Vec<Rule>) -> Result<Value, String> {
        self.scripts.set(rules)?;
        super::to_value(&self.scripts.rules()).map(|rules| json!({"rules": rules}))
    }

    /// Sets a phone; what it thinks of marketing is told.
    pub(crate) fn order_phone(&self, order: &PhoneOrder) -> Result<Value, String> {
        if Phones::wa_id(&order.wa_id).as_deref() != Some(order.wa_id.as_str()) {
            return Err("`wa_id` must be the digits of a number".into());
        }
        if let Some(number) = &order.blocks {
            self.network.block(self.known(number)?, &order.wa_id, 0);
        }
        if let Some(number) = &order.unblocks {
            self.network.unblock(self.known(number)?, &order.wa_id);
        }
        self.network.set_phone(order);
        self.perform_due();
        if let Some(stopped) = order.marketing_stopped {
            let (value, verb) = if stopped { ("stop", "stop") } else { ("resume", "resume") };
            let preference = json!({"wa_id": order.wa_id, "detail": format!("User requested to {verb} marketing messages"),
                "category": "marketing_messages", "value": value, "timestamp": self.now_ms() / 1_000});
            for (number, config) in self.network.numbers.iter().enumerate() {
                let told = json!({"messaging_product": "whatsapp",
                    "metadata": {"display_phone_number": config.display_phone_number, "phone_number_id": config.phone_number_id},
                    "contacts": [{"profile": {"name": self.network.phones.name(&order.wa_id)}, "wa_id": order.wa_id}],
                    "user_preferences": [preference]});
                self.delivery.offer(Update::account(number, "user_preferences", &told));
            }
        }
        super::to_value(order)
    }

    /// Changes a number and tells of it.
    pub(crate) fn order_number(&self, order: &NumberOrder) -> Result<Value, String> {
        let number = self.known(&order.phone_number_id)?;
        let config = &self.network.numbers[number];
        if let Some(quality) = &order.quality_rating {
            self.rate_number(number, quality);
        }
        self.numbers.change(number, |state| {
            for (own, given) in [
                (&mut state.status, &order.status),
                (&mut state.code_verification_status, &order.code_verification_status),
                (&mut state.verified_name, &order.verified_name),
            ] {
                if let Some(given) = given {
                    own.clone_from(given);
                }
            }
            if let Some(code) = order.restriction {
                state.restriction = (code != 0).then_some(code);
            }
            if let Some(official) = order.official {
                state.official = official;
            }
        });
        if let Some(rate) = order.messages_per_second {
            if rate == 0 {
                return Err("`messages_per_second` must be at least 1".into());
            }
            self.numbers.change(number, |state| state.restriction = Some(131_057));
            self.agenda.add(self.due_in(UPGRADE_MS), Errand::Upgrade { number, messages_per_second: rate });
        }
        tracing::debug!(number = %config.phone_number_id, "number changed by order");
        Ok(self.describe(number))
    }

    /// The number has its other rate now.
    pub(in crate::graph) fn upgrade(&self, number: usize, messages_per_second: u32) {
        self.network.set_rate(number, messages_per_second);
        self.numbers.change(number, |state| {
            state.restriction = state.restriction.filter(|code| *code != 131_057);
            state.messages_per_second = messages_per_second;
        });
        self.tell_quality(number, "THROUGHPUT_UPGRADE");
    }

    /// Gives a number another quality, and tells of it.
    pub(in crate::graph) fn rate_number(&self, number: usize, quality: &str) {
        let before = self
            .numbers
            .change(number, |state| std::mem::replace(&mut state.quality_rating, quality.to_owned()));
        let rank = |quality: &str| ["RED", "YELLOW", "GREEN"].iter().position(|known| *known == quality);
        if let Some(before) = before.filter(|before| before != quality) {
            // Meta's page names no downgrade any more; receivers still meet the older events
            self.tell_quality(number, if rank(quality) < rank(&before) { "FLAGGED" } else { "UNFLAGGED" });
        }
    }

    fn tell_quality(&self, number: usize, event: &str) {
        let config = &self.network.numbers[number];
        let tier = self.network.behaviour.get().messaging_tier();
        let value = json!({"display_phone_number": config.display_phone_number, "event": event,
            "current_limit": tier, "max_daily_conversations_per_business": tier});
        self.announce(&config.waba_id, "phone_number_quality_update", &value);
    }

    /// Changes templates and tells of it.
    pub(crate) fn order_template(&self, order: &TemplateOrder) -> Result<Value, String> {
        let account = self.account_of(order.waba_id.as_deref())?;
        let ids = match (&order.id, &order.name) {
            (Some(id), _) => vec![id.parse::<u64>().map_err(|_| "`id` is not a template's")?],
            (None, Some(name)) => self.templates.named(&account, name),
            (None, None) => return Err("`id` or `name` is needed".into()),
        };
        let found: Vec<Template> = ids.iter().filter_map(|id| self.templates.find(*id)).collect();
        if found.is_empty() {
            return Err("there is no such template".into());
        }
        for template in &found {
            self.order_one_template(template, order)?;
        }
        Ok(json!({"changed": found.len()}))
    }

    fn order_one_template(&self, template: &Template, order: &TemplateOrder) -> Result<(), String> {
        if let Some(quality) = &order.quality {
            self.rate_template(template.id, quality);
        }
        if let Some(category) = &order.category {
            let before = self
                .templates
                .change(template.id, |own| std::mem::replace(&mut own.category, category.clone()));
            if let Some((before, now)) = before {
                let value = json!({"message_template_id": now.id, "message_template_name": now.name,
                    "message_template_language": now.language.replace('_', "-"), "previous_category": before, "new_category": category});
                self.announce(&now.account, "template_category_update", &value);
            }
        }
        match order.status.as_deref() {
            None => {}
            Some("PAUSED") => self.pause_template(template.id),
            Some(status) => {
                let known: TemplateStatus = serde_json::from_value(status.into())
                    .map_err(|_| format!("`status` {status} is unknown"))?;
                let changed = self.templates.change(template.id, |own| {
                    own.status = known;
                    own.reason = order.reason.clone().unwrap_or_else(|| "NONE".into());
                });
                if let Some((_, now)) = changed {
                    self.tell_template(&now, status, None);
                }
            }
        }
        Ok(())
    }

    /// Tells news of an account; a ban closes its numbers, a reinstatement opens them.
    pub(crate) fn order_event(&self, event: &AccountEvent) -> Result<Value, String> {
        let account = self.account_of(event.waba_id.as_deref())?;
        if event.field.is_empty() || event.field == "messages" || !event.value.is_object() {
            return Err("`field` must be a webhook field other than `messages`, `value` an object".into());
        }
        if event.field == "account_update" {
            let ban = event.value.pointer("/ban_info/waba_ban_state").and_then(Value::as_str);
            let code = match (event.value["event"].as_str(), ban) {
                (Some("ACCOUNT_RESTRICTION"), _) => Some(Some(368)),
                (Some("DISABLED_UPDATE"), Some("DISABLE")) => Some(Some(131_031)),
                (Some("DISABLED_UPDATE"), Some("REINSTATE")) => Some(None),
                _ => None,
            };
            let own = self.network.numbers.iter().enumerate().filter(|(_, number)| number.waba_id == account);
            for (number, code) in own.filter_map(|(number, _)| Some((number, code?))) {
                self.numbers.change(number, |state| state.restriction = code);
            }
        }
        self.announce(&account, &event.field, &event.value);
        Ok(json!({"told": true}))
    }

    fn account_of(&self, given: Option<&str>) -> Result<String, String> {
        let first = self.network.numbers.first().map(|number| number.waba_id.as_str());
        let account = given.or(first).ok_or("there is no number")?;
        if self.network.numbers.iter().any(|number| number.waba_id == account) {
            Ok(account.to_owned())
        } else {
            Err("`waba_id` is not an account of this sandbox".into())
        }
    }
}
