//! The tenant: a customer of the installation, and what was decided for all its sessions. Not its keys.

use super::Noun;
use kabar_engine::frequency::FrequencyCap;
use kabar_engine::id::{ResellerId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, as the operator wrote it.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// How long a message whose outcome is not known waits for proof (ms): 1 s to 24 h.
    #[serde(default = "unknown_after_ms")]
    pub unknown_after_ms: u64,
    /// Whether such a message is then sent once more instead of becoming `unknown`.
    #[serde(default)]
    pub resend_unknown: bool,
    /// Whose customer it is; `None`: the operator's own.
    #[serde(default)]
    pub reseller: Option<ResellerId>,
    /// Its share of a busy node, beside the weights of the others: 1 to 100.
    #[serde(default = "weight")]
    pub weight: u32,
    /// How much marketing one person may get; `None`: no limit.
    #[serde(default)]
    pub frequency_cap: Option<FrequencyCap>,
    /// How its programs are answered that speak Meta's dialect.
    #[serde(default)]
    pub meta: MetaAnswers,
    /// Hash of the request that made it, so that a repeat is told from another request; empty before version 2.
    #[serde(default)]
    pub body_hash: String,
}

/// When a send in Meta's dialect is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaAck {
    /// When it is durable here.
    #[default]
    Early,
    /// When Meta has answered, or when that takes too long.
    Provider,
}

/// How a tenant's programs are answered that speak Meta's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetaAnswers {
    /// When a send is answered.
    pub ack: MetaAck,
    /// The HTTP status of "too much": 429 or 400.
    pub throttle: u16,
}

impl Default for MetaAnswers {
    fn default() -> Self {
        Self { ack: MetaAck::Early, throttle: 429 }
    }
}

impl MetaAnswers {
    /// What "too much" is told with: Meta's table says 400, others of its pages and other providers 429.
    pub const THROTTLES: [u16; 2] = [429, 400];
}

impl Tenant {
    /// A quarter of an hour.
    pub const UNKNOWN_AFTER_MS: u64 = 900_000;
    /// One second.
    pub const UNKNOWN_AFTER_MIN_MS: u64 = 1_000;
    /// One day.
    pub const UNKNOWN_AFTER_MAX_MS: u64 = 86_400_000;
    /// The weight when none is said.
    pub const WEIGHT: u32 = 10;
    /// Weights a tenant can have.
    pub const WEIGHTS: RangeInclusive<u32> = 1..=100;
}

fn unknown_after_ms() -> u64 {
    Tenant::UNKNOWN_AFTER_MS
}

fn weight() -> u32 {
    Tenant::WEIGHT
}

impl Noun for Tenant {
    const KIND: &'static str = "tenant";
    /// Of version 1 there was no reseller: a binary that knows none would show a reseller's tenant to nobody but the
    /// operator and forget whose it is when it writes.
    const VERSION: u32 = 2;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.id
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_of_the_first_version_is_the_operators_own_with_the_weight_of_everybody() {
        let json = r#"{"id":"ten_0000000000001","name":"Toko","created":7}"#;
        let tenant = Tenant::read(1, json).unwrap();
        assert_eq!((tenant.reseller, tenant.weight, tenant.frequency_cap), (None, 10, None));
        assert_eq!(tenant.unknown_after_ms, 900_000);
        assert_eq!(tenant.meta, MetaAnswers { ack: MetaAck::Early, throttle: 429 });
        let meta = MetaAnswers { ack: MetaAck::Provider, throttle: 400 };
        let tenant = Tenant { meta, ..tenant };
        let cap = Some(FrequencyCap { messages: 3, days: 7 });
        let tenant = Tenant { reseller: Some(ResellerId(4)), frequency_cap: cap, ..tenant };
        assert_eq!(Tenant::read(2, &serde_json::to_string(&tenant).unwrap()).unwrap(), tenant);
    }
}
