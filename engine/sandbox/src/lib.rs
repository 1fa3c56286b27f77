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
//! # Control API
//!
//! Everything under `/_sim/` needs `Authorization: Bearer <control_token>`.
//!
//! | call | does |
//! |---|---|
//! | `GET /_sim/stats` | [`Stats`] |
//! | `GET /_sim/ledger?after=&limit=` | `{"rows":[LedgerRow],"next":seq,"total":n}`, `limit` ≤ 10,000 |
//! | `GET /_sim/recipients` | `{"<to>": messages accepted}` |
//! | `POST /_sim/inbound` | [`Inbound`] → `{"id":"wamid…"}`: a user writes |
//! | `POST /_sim/status` | [`StatusOrder`] → an arbitrary status webhook |
//! | `GET /_sim/behaviour`, `POST /_sim/behaviour` | read, merge a part of [`Behaviour`] |
//! | `POST /_sim/webhook` | `{"url":…,"verify":true}`: handshake, then set; `null` unsubscribes |
//! | `POST /_sim/pause_webhooks`, `/_sim/resume_webhooks` | hold webhooks back, let them go |
//! | `POST /_sim/clock` | `{"advance_ms":n}`: the sandbox's clock jumps ahead |
//! | `POST /_sim/reset` | forgets everything but configuration, behaviour and receiver |

mod behaviour;
mod config;
mod graph;
mod network;
mod sandbox;

pub use behaviour::{Behaviour, BehaviourError, Delay, Escape, Faults, Integrity, OverLimit, UserIds};
pub use config::{NumberConfig, SandboxConfig};
pub use graph::control::{AccountEvent, Inbound, InboundMedia, NumberOrder, StatusOrder, TemplateOrder};
pub use graph::delivery::WebhookRefused;
pub use graph::number::VERIFICATION_CODE;
pub use graph::script::{Rule, Then, When};
pub use graph::token::{APP_ID, TokenOrder};
pub use network::ledger::{FaultKind, LedgerRow, Outcome};
pub use network::magic::MAGIC;
pub use network::policy::PhoneOrder;
pub use network::stats::{MediaStats, Settled, Stats, WebhookStats};
pub use sandbox::Sandbox;
