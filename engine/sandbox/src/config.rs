//! What a sandbox is started with: its seed, its port, its secrets and its business numbers.
//! Not how it behaves: that is [`Behaviour`].

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;

/// Everything a sandbox needs to start. All secrets are made up and guard nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Same seed, same inputs, same fates.
    pub seed: u64,
    /// Where the Graph face listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Key of the webhook signature (`X-Hub-Signature-256`).
    pub app_secret: String,
    /// Token of the webhook verification handshake.
    pub verify_token: String,
    /// Bearer token of the control API under `/_sim/`.
    pub control_token: String,
    /// Bearer tokens the Graph face accepts.
    pub access_tokens: Vec<String>,
    /// The business numbers that exist.
    pub numbers: Vec<NumberConfig>,
    /// Where webhooks go from the start, without a handshake; `None`: nowhere until told.
    pub webhook_url: Option<String>,
    /// What URLs of media begin with, e.g. `http://sandbox:8090` where it runs in a container; `None`: the host a
    /// caller asked for, and in webhooks the address it listens on.
    pub public_url: Option<String>,
    /// When its clock starts, Unix milliseconds; `None`: now.
    pub starts_at_ms: Option<i64>,
    /// Delays, rates, limits and faults.
    pub behaviour: Behaviour,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            app_secret: "sandbox-app-secret".into(),
            verify_token: "sandbox-verify-token".into(),
            control_token: "sandbox-control-token".into(),
            access_tokens: vec!["sandbox-access-token".into()],
            numbers: vec![NumberConfig::default()],
            webhook_url: None,
            public_url: None,
            starts_at_ms: None,
            behaviour: Behaviour::default(),
        }
    }
}

/// One business number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberConfig {
    /// Graph id, decimal digits.
    pub phone_number_id: String,
    /// The number itself, digits only.
    pub display_phone_number: String,
    /// The WhatsApp Business Account it belongs to, decimal digits.
    pub waba_id: String,
    /// Throughput level: 80 (standard), 1000 (high) or 20 (coexistence); any rate from 1 is taken.
    pub messages_per_second: u32,
}

impl Default for NumberConfig {
    fn default() -> Self {
        Self {
            phone_number_id: "106000000000001".into(),
            display_phone_number: "15550200000".into(),
            waba_id: "102000000000001".into(),
            messages_per_second: 80,
        }
    }
}

impl SandboxConfig {
    /// One sentence that names the first wrong value.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut seen = HashSet::new();
        for number in &self.numbers {
            for (key, value) in [
                ("phone_number_id", &number.phone_number_id),
                ("display_phone_number", &number.display_phone_number),
                ("waba_id", &number.waba_id),
            ] {
                if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(format!("numbers.{key}: `{value}` is not a string of digits"));
                }
            }
            if number.messages_per_second == 0 {
                return Err("numbers.messages_per_second must be at least 1".into());
            }
            if !seen.insert(number.phone_number_id.as_str()) {
                return Err(format!("numbers.phone_number_id: `{}` stands twice", number.phone_number_id));
            }
        }
        if self.numbers.len() >= usize::from(u16::MAX) {
            return Err("numbers: at most 65,534".into());
        }
        self.behaviour.check().map_err(|wrong| format!("behaviour: {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_names_the_key() {
        let mut config = SandboxConfig::default();
        config.numbers.push(NumberConfig::default());
        assert!(config.check().unwrap_err().contains("stands twice"));
        config.numbers[1].phone_number_id = "+62".into();
        assert!(config.check().unwrap_err().contains("phone_number_id"));
        assert!(serde_json::from_str::<SandboxConfig>(r#"{"sed":3}"#).is_err());
        assert!(serde_json::from_str::<SandboxConfig>(r#"{"seed":3}"#).unwrap().check().is_ok());
    }
}
