//! The sandbox: a simulated WhatsApp. One seeded network of phones (delays, receipts, replies,
//! limits, faults) behind a Graph API face on a loopback port.
//!
//! It is not a mock and never kind: it does not deduplicate, it repeats webhooks while the receiver
//! is down, and it limits by its own clock. It depends on nothing of ours and shares no code with
//! the connectors, so that their mistakes do not cancel.
//!
//! # Magic recipients
//!
//! Numbers of the reserved country code 999 behave as their ending says, see [`MAGIC`]. Template
//! names beginning with `missing_`, `mismatch_` and `paused_` are refused with 132001, 132000 and
//! 132015. A template whose name contains `promo` or `marketing` is priced as marketing, `otp` or
//! `auth` as authentication, every other one as utility.
//!
//! # What it knows of an account
//!
//! Media with their sizes, hashes and lives; resumable uploads; templates with rules, review, quality and pauses;
//! numbers with registration, verification, profile, settings and blocks; receivers per account and number; tokens with
//! permissions and ends. Templates called `reject_…` are rejected, `pause_…` pause after a few sends. Names an account
//! never had pass unchecked until `strict_templates` is on.
//!
//! # Control API
//!
//! Everything under `/_sim/` needs `Authorization: Bearer <control_token>`. [`openapi`] is its document, also at
//! `GET /_sim/openapi.json`: counters and ledger, users that write, statuses, phones and their scripts, numbers,
//! templates, tokens, news of accounts, the clock, behaviour, and the whole state saved and loaded.

mod behaviour;
mod config;
mod graph;
mod network;
mod sandbox;

pub use behaviour::{Behaviour, BehaviourError, Delay, Escape, Faults, Integrity, OverLimit, UserIds};
pub use config::{NumberConfig, SandboxConfig};
pub use graph::control::{
    AccountEvent, Inbound, InboundMedia, NumberOrder, StatusOrder, TemplateOrder, openapi,
};
pub use graph::delivery::WebhookRefused;
pub use graph::number::VERIFICATION_CODE;
pub use graph::script::{Rule, Then, When};
pub use graph::token::{APP_ID, TokenOrder};
pub use network::ledger::{FaultKind, LedgerRow, Outcome};
pub use network::magic::MAGIC;
pub use network::policy::PhoneOrder;
pub use network::stats::{MediaStats, Settled, Stats, WebhookStats};
pub use sandbox::Sandbox;
