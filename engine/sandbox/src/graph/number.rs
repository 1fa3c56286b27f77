//! Business numbers as their owner manages them: what they are, registration, verification, the two-step PIN, settings.
//! Not their throughput: that is the network's.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Graph;
use super::argument::Arguments;
use super::refusal::Refusal;
use crate::config::NumberConfig;

/// The code every verification call or text message of the sandbox says.
pub const VERIFICATION_CODE: &str = "135790";

const HOUR_MS: i64 = 3_600 * 1_000;
const REGISTRATIONS: usize = 10;
const REGISTRATIONS_MS: i64 = 72 * HOUR_MS;
const WRONG_PINS: usize = 5;
const DEFAULT_FIELDS: &str = "verified_name,code_verification_status,display_phone_number,quality_rating,\
     platform_type,throughput,last_onboarded_time,webhook_configuration";

/// What can change about one number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NumberState {
    pub(crate) verified_name: String,
    /// Asked for and not yet decided.
    pub(crate) new_name: Option<String>,
    pub(crate) name_status: String,
    pub(crate) code_verification_status: String,
    pub(crate) quality_rating: String,
    pub(crate) status: String,
    pub(crate) account_mode: String,
    pub(crate) messages_per_second: u32,
    pub(crate) registered: bool,
    pub(crate) official: bool,
    /// Every send is refused with this code.
    pub(crate) restriction: Option<u32>,
    pub(crate) pin: Option<String>,
    registrations: Vec<i64>,
    wrong_pins: Vec<i64>,
    asked_code: bool,
    settings: Map<String, Value>,
    pub(crate) profile: Map<String, Value>,
}

impl Default for NumberState {
    fn default() -> Self {
        Self {
            verified_name: "Kabar Sandbox".into(),
            new_name: None,
            name_status: "APPROVED".into(),
            code_verification_status: "VERIFIED".into(),
            quality_rating: "GREEN".into(),
            status: "CONNECTED".into(),
            account_mode: "LIVE".into(),
            messages_per_second: 0,
            registered: true,
            official: false,
            restriction: None,
            pin: None,
            registrations: Vec::new(),
            wrong_pins: Vec::new(),
            asked_code: false,
            settings: Map::new(),
            profile: Map::new(),
        }
    }
}

/// The numbers of one sandbox, in the order of its configuration.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Code every send of the number is refused with; 0: none. Read by every send, so it stands apart.
    gates: Box<[AtomicU32]>,
    states: Mutex<Vec<NumberState>>,
}

impl Numbers {
    pub(crate) fn new(numbers: &[NumberConfig]) -> Self {
        Self {
            gates: numbers.iter().map(|_| AtomicU32::new(0)).collect(),
            states: Mutex::new(fresh(numbers)),
        }
    }

    /// Code the number's sends are refused with.
    pub(crate) fn gate(&self, number: usize) -> Option<u32> {
        let code = self.gates.get(number)?.load(Ordering::Relaxed);
        (code != 0).then_some(code)
    }

    pub(crate) fn read<T>(&self, number: usize, look: impl FnOnce(&NumberState) -> T) -> Option<T> {
        self.states.lock().get(number).map(look)
    }

    /// Changes a number, and what its sends meet.
    pub(crate) fn change<T>(&self, number: usize, change: impl FnOnce(&mut NumberState) -> T) -> Option<T> {
        let mut states = self.states.lock();
        let state = states.get_mut(number)?;
        let done = change(state);
        self.close(number, state);
        Some(done)
    }

    fn close(&self, number: usize, state: &NumberState) {
        let code = if state.registered { state.restriction.unwrap_or(0) } else { 133_010 };
        if let Some(gate) = self.gates.get(number) {
            gate.store(code, Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self, numbers: &[NumberConfig]) {
        self.load(fresh(numbers));
    }

    pub(crate) fn save(&self) -> Vec<NumberState> {
        self.states.lock().clone()
    }

    pub(crate) fn load(&self, saved: Vec<NumberState>) {
        let mut states = self.states.lock();
        for (number, (state, saved)) in states.iter_mut().zip(saved).enumerate() {
            *state = saved;
            self.close(number, state);
        }
    }
}

fn fresh(numbers: &[NumberConfig]) -> Vec<NumberState> {
    let state = |number: &NumberConfig| NumberState {
        messages_per_second: number.messages_per_second,
        ..NumberState::default()
    };
    numbers.iter().map(state).collect()
}

fn pin_of(arguments: &Arguments) -> Result<String, Refusal> {
    let pin = arguments.required("pin")?;
    if pin.len() == 6 && pin.bytes().all(|b| b.is_ascii_digit()) {
        Ok(pin)
    } else {
        Err(Refusal::parameter("Param pin must be 6 characters long."))
    }
}

impl Graph {
    /// A number with every field there is.
    pub(super) fn describe(&self, number: usize) -> Value {
        let config = &self.network.numbers[number];
        let state = self.numbers.read(number, Clone::clone).unwrap_or_default();
        let level = if state.messages_per_second >= 1_000 { "HIGH" } else { "STANDARD" };
        let blocked = !state.registered || state.restriction.is_some();
        let can = if blocked { "BLOCKED" } else { "AVAILABLE" };
        let limit = self.network.behaviour.get().messaging_tier();
        json!({
            "id": config.phone_number_id,
            "verified_name": state.verified_name,
            "new_display_name": state.new_name,
            "name_status": state.name_status,
            "new_name_status": if state.new_name.is_some() { "PENDING_REVIEW" } else { "NONE" },
            "code_verification_status": state.code_verification_status,
            "display_phone_number": config.display_phone_number,
            "quality_rating": state.quality_rating,
            "quality_score": {"score": state.quality_rating},
            "status": state.status,
            "platform_type": if state.registered { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "throughput": {"level": level},
            "account_mode": state.account_mode,
            "whatsapp_business_manager_messaging_limit": limit,
            "messaging_limit_tier": limit,
            "is_official_business_account": state.official,
            "is_pin_enabled": state.pin.is_some(),
            "last_onboarded_time": "2026-01-01T00:00:00+0000",
            "health_status": {"can_send_message": can, "entities": [
                {"entity_type": "PHONE_NUMBER", "id": config.phone_number_id, "can_send_message": can},
                {"entity_type": "WABA", "id": config.waba_id, "can_send_message": "AVAILABLE"}]},
            "webhook_configuration": self.delivery.webhook_configuration(number),
        })
    }

    pub(super) fn number_fields(&self, number: usize, arguments: &Arguments) -> Value {
        let whole = self.describe(number);
        match arguments.text("fields") {
            Some(_) => arguments.select(whole),
            None => super::argument::select(whole, DEFAULT_FIELDS),
        }
    }

    /// `POST /{number}`: the PIN, a webhook of its own, another name.
    pub(super) async fn set_number(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        let mut told = false;
        if arguments.get("pin").is_some() {
            let pin = pin_of(arguments)?;
            self.numbers.change(number, |state| state.pin = Some(pin));
            let config = &self.network.numbers[number];
            let value = json!({"display_phone_number": config.display_phone_number, "event": "PIN_CHANGED", "requester": "10000000000001"});
            self.announce(&config.waba_id, "security", &value);
            told = true;
        }
        if let Some(configuration) = arguments.get("webhook_configuration") {
            self.override_number(number, configuration).await?;
            told = true;
        }
        if let Some(name) = arguments.text("new_display_name") {
            self.numbers.change(number, |state| state.new_name = Some(name));
            let wait = self.network.behaviour.get().review_ms;
            self.agenda.add(self.due_in(wait), super::agenda::Errand::Name { number });
            told = true;
        }
        if told {
            Ok(json!({"success": true}))
        } else {
            Err(Refusal::parameter("Nothing that can be changed was given."))
        }
    }

    /// `POST /{number}/register`.
    pub(super) fn register(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        arguments.of_whatsapp()?;
        let (pin, now) = (pin_of(arguments)?, self.now_ms());
        let done = self.numbers.change(number, |state| {
            state.registrations.retain(|at| now - at < REGISTRATIONS_MS);
            state.wrong_pins.retain(|at| now - at < HOUR_MS);
            if state.registrations.len() >= REGISTRATIONS {
                return Err(Refusal::of(133_016));
            }
            if state.code_verification_status != "VERIFIED" {
                return Err(Refusal::of(133_006));
            }
            if state.wrong_pins.len() >= WRONG_PINS {
                return Err(Refusal::of(133_008));
            }
            if state.pin.as_deref().is_some_and(|known| known != pin) {
                state.wrong_pins.push(now);
                return Err(Refusal::of(133_005));
            }
            state.registrations.push(now);
            state.wrong_pins.clear();
            (state.pin, state.registered, state.status) = (Some(pin), true, "CONNECTED".into());
            Ok(json!({"success": true}))
        });
        done.unwrap_or_else(|| Err(Refusal::of(131_000)))
    }

    /// `POST /{number}/deregister`.
    pub(super) fn deregister(&self, number: usize) -> Result<Value, Refusal> {
        let done = self.numbers.change(number, |state| {
            if !state.registered {
                return Err(Refusal::of(133_010));
            }
            (state.registered, state.status) = (false, "DISCONNECTED".into());
            Ok(json!({"success": true}))
        });
        done.unwrap_or_else(|| Err(Refusal::of(131_000)))
    }

    /// `POST /{number}/request_code`. The code is always [`VERIFICATION_CODE`].
    pub(super) fn request_code(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        let method = arguments.required("code_method")?;
        if !["SMS", "VOICE"].contains(&method.as_str()) {
            return Err(Refusal::parameter("Param code_method must be one of {SMS, VOICE}"));
        }
        arguments.required("language")?;
        let done = self.numbers.change(number, |state| {
            if state.registered && state.code_verification_status == "VERIFIED" {
                let message =
                    "(#136024) Request code error: the phone number is verified and registered already.";
                return Err(Refusal::plain(400, 136_024, message));
            }
            (state.asked_code, state.code_verification_status) = (true, "NOT_VERIFIED".into());
            Ok(json!({"success": true}))
        });
        done.unwrap_or_else(|| Err(Refusal::of(131_000)))
    }

    /// `POST /{number}/verify_code`.
    pub(super) fn verify_code(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        let code = arguments.required("code")?;
        let done = self.numbers.change(number, |state| {
            if !state.asked_code || code.replace('-', "") != VERIFICATION_CODE {
                let message = "(#136025) Verify code error: the code is not right, or none was asked for.";
                return Err(Refusal::plain(400, 136_025, message));
            }
            (state.asked_code, state.code_verification_status) = (false, "VERIFIED".into());
            Ok(json!({"success": true, "id": self.network.numbers[number].phone_number_id}))
        });
        done.unwrap_or_else(|| Err(Refusal::of(131_000)))
    }

    /// `GET /{number}/settings`.
    pub(super) fn settings(&self, number: usize, arguments: &Arguments) -> Value {
        let own = self.numbers.read(number, |state| state.settings.clone()).unwrap_or_default();
        let mut whole = json!({
            "storage_configuration": {"status": "DEFAULT"},
            "calling": {"status": "DISABLED"},
            "user_identity_change": {"enable_identity_key_check": false},
            "payload_encryption": {"status": "DISABLED"},
        });
        for (key, value) in own {
            whole[key] = value;
        }
        match arguments.text("fields") {
            Some(fields) => {
                let Value::Object(mut kept) = super::argument::select(whole, &fields) else {
                    return Value::Null;
                };
                kept.remove("id");
                Value::Object(kept)
            }
            None => whole,
        }
    }

    /// `POST /{number}/settings`.
    pub(super) fn set_settings(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        let known = ["calling", "user_identity_change", "payload_encryption", "storage_configuration"];
        let given: Vec<_> = arguments.all().iter().filter(|(key, _)| known.contains(&key.as_str())).collect();
        if given.is_empty() {
            return Err(Refusal::parameter(
                "Param settings must be one of {CALLING, PAYLOAD_ENCRYPTION, STORAGE_CONFIGURATION, USER_IDENTITY_CHANGE}",
            ));
        }
        self.numbers.change(number, |state| {
            state.settings.extend(given.into_iter().map(|(key, value)| (key.clone(), value.clone())));
        });
        Ok(json!({"success": true}))
    }

    /// A name that was asked for is decided: names with `reject` in them are not taken.
    pub(super) fn decide_name(&self, number: usize) {
        let decided = self.numbers.change(number, |state| {
            let name = state.new_name.take()?;
            let taken = !name.to_ascii_lowercase().contains("reject");
            if taken {
                state.verified_name.clone_from(&name);
            }
            Some((name, taken))
        });
        if let Some((name, taken)) = decided.flatten() {
            let config = &self.network.numbers[number];
            let (decision, reason) =
                if taken { ("APPROVED", Value::Null) } else { ("REJECTED", "NAME_NOT_CONSISTENT".into()) };
            let value = json!({"display_phone_number": config.display_phone_number, "decision": decision,
                "requested_verified_name": name, "rejection_reason": reason});
            self.announce(&config.waba_id, "phone_number_name_update", &value);
        }
    }
}
