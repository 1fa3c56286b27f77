//! A price in the provider's words, as messages, events and campaigns show it. No route: it has no address of its own.

use kabar_engine::pricing::Pricing;
use serde::Serialize;
use utoipa::ToSchema;

/// What a message costs in WhatsApp's words; never an amount.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pricing)]
pub(crate) struct Shown {
    /// Whether it is charged; null when WhatsApp did not say.
    billable: Option<bool>,
    /// `PMP`: per message.
    model: Option<String>,
    /// `regular`, `free_customer_service`, `free_entry_point`.
    r#type: Option<String>,
    /// `marketing`, `utility`, `authentication`, `service`, …
    category: Option<String>,
    /// What began the conversation, where WhatsApp tells it: `referral_conversion` after an advertisement.
    origin: Option<String>,
}

impl From<&Pricing> for Shown {
    fn from(pricing: &Pricing) -> Self {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        Self {
            billable: pricing.billable,
            model: word(&pricing.model),
            r#type: word(&pricing.kind),
            category: word(&pricing.category),
            origin: word(&pricing.origin),
        }
    }
}
