//! Why a message did not arrive: one catalogue of stable codes, each with whose fault it is, whether a repeat
//! can help, and what to do. Meta's numeric codes are kept as they are; Kabar's own are below 1,000.
//!
//! Not an HTTP matter: the connectors translate answers into a [`Cause`], the api translates a cause into text.

use serde::{Deserialize, Serialize};

/// A stable numeric code. Below 1,000 Kabar's own, otherwise Meta's (cloud API error codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(pub u32);

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The person on the other side: not on WhatsApp, opted out, blocked.
    Recipient,
    /// The tenant: content, template, token, payment.
    Sender,
    /// WhatsApp: limits, maintenance, its own errors.
    Provider,
    /// This installation.
    Kabar,
}

/// What the catalogue knows of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Stable word, e.g. `opted_out`.
    pub code: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same message can succeed later without a change.
    pub retryable: bool,
    /// What to do.
    pub remedy: &'static str,
}

impl Cause {
    /// Cancelled by the tenant before it was sent.
    pub const CANCELLED: Self = Self(1);
    /// The recipient had opted out when its turn came.
    pub const OPTED_OUT: Self = Self(2);
    /// Free-form content outside the 24-hour window.
    pub const WINDOW_CLOSED: Self = Self(3);
    /// Its content could not be rendered for this recipient.
    pub const RENDER: Self = Self(4);
    /// Tried as often as allowed.
    pub const GAVE_UP: Self = Self(5);
    /// The session has no working credentials.
    pub const LINK_LOST: Self = Self(6);
    /// The provider's answer could not be understood.
    pub const UNREADABLE: Self = Self(7);
    /// Kabar could not build the request.
    pub const INTERNAL: Self = Self(8);
    /// Its session was removed before it was sent.
    pub const SESSION_REMOVED: Self = Self(9);
    /// The media it names is not stored any more.
    pub const MEDIA_GONE: Self = Self(20);
    /// WhatsApp no longer has the media that somebody sent.
    pub const MEDIA_EXPIRED: Self = Self(21);
    /// The media that came is not the one that was announced.
    pub const MEDIA_DAMAGED: Self = Self(22);
    /// WhatsApp does not give the media out.
    pub const MEDIA_WITHHELD: Self = Self(23);
    /// The media is larger than any WhatsApp takes.
    pub const MEDIA_TOO_LARGE: Self = Self(24);
    /// WhatsApp did not take the media it names.
    pub const MEDIA_UPLOAD: Self = Self(131_053);
    /// Too many messages to one person in a short time.
    pub const PAIR_RATE: Self = Self(131_056);

    /// The catalogue's entry; an unknown provider code is explained as such.
    #[must_use]
    pub fn explain(self) -> Explanation {
        CATALOGUE.iter().find(|(code, _)| *code == self.0).map_or(FOREIGN, |(_, e)| *e)
    }

    /// Every code the catalogue explains, in order.
    pub fn all() -> impl Iterator<Item = (Self, Explanation)> {
        CATALOGUE.iter().map(|(code, e)| (Self(*code), *e))
    }
}

const FOREIGN: Explanation = entry(
    "provider_error",
    "WhatsApp refused the message with a code this version does not know.",
    Fault::Provider,
    false,
    "Look the number up in Meta's error codes.",
);

const fn entry(
    code: &'static str,
    meaning: &'static str,
    fault: Fault,
    retryable: bool,
    remedy: &'static str,
) -> Explanation {
    Explanation { code, meaning, fault, retryable, remedy }
}

use Fault::{Kabar, Provider, Recipient, Sender};

/// Source of the numeric codes: Meta's Cloud API error codes.
#[rustfmt::skip]
const CATALOGUE: &[(u32, Explanation)] = &[
    (1, entry("cancelled", "The tenant cancelled it before it was sent.", Sender, false, "Nothing; send it again if it was a mistake.")),
    (2, entry("opted_out", "The recipient had opted out when its turn came.", Recipient, false, "Do not write to this person until they opt in again.")),
    (3, entry("window_closed", "Free-form content needs a message from the recipient within the last 24 hours.", Sender, false, "Send a template, or wait until the person writes.")),
    (4, entry("render_failed", "The content could not be rendered for this recipient.", Sender, false, "Give the missing variable a default or fill it in the contact.")),
    (5, entry("gave_up", "WhatsApp refused it for a passing reason as often as it may be tried.", Provider, true, "Send it again later.")),
    (6, entry("link_lost", "The session's credentials do not work.", Sender, true, "Renew the session's access token.")),
    (7, entry("unreadable_answer", "WhatsApp's answer could not be understood.", Provider, false, "Report it with the message id.")),
    (8, entry("internal", "Kabar could not build the request.", Kabar, false, "Report it with the message id.")),
    (9, entry("session_removed", "Its session was removed before it was sent.", Sender, false, "Send it from another session.")),
    (20, entry("media_gone", "The media the message names was deleted before its turn came.", Sender, false, "Store the file again and send the message with its new id.")),
    (21, entry("media_expired", "WhatsApp no longer has the media the person sent.", Kabar, false, "Ask the person to send it again.")),
    (22, entry("media_damaged", "The bytes WhatsApp gave are not those it announced.", Provider, false, "Ask the person to send it again.")),
    (23, entry("media_withheld", "WhatsApp does not give out the media the person sent.", Provider, false, "Check the session's access token, and ask the person to send it again.")),
    (24, entry("media_too_large", "The media the person sent is larger than any WhatsApp lets a business send.", Recipient, false, "Ask the person for a smaller file.")),
    (100, entry("invalid_parameter", "WhatsApp calls a field of the message invalid.", Sender, false, "Correct the message; the detail names the field.")),
    (190, entry("token_expired", "The access token is expired or invalid.", Sender, true, "Renew the session's access token.")),
    (368, entry("policy_block", "The account is temporarily blocked for policy violations.", Sender, true, "Appeal in WhatsApp Manager.")),
    (80007, entry("request_limit", "The account made too many requests.", Provider, true, "Wait; Kabar slows down by itself.")),
    (130403, entry("blocked_by_you", "The recipient is on the number's block list.", Sender, false, "Unblock the person first.")),
    (130429, entry("throughput", "The number sent faster than it may.", Provider, true, "Wait; Kabar slows down by itself.")),
    (130472, entry("experiment", "WhatsApp keeps this person out of marketing for an experiment.", Provider, false, "Nothing; send no marketing to this person now.")),
    (130497, entry("country_restricted", "The number may not write to this country.", Sender, false, "Use a number that may.")),
    (131000, entry("provider_failed", "WhatsApp failed for a reason it does not tell.", Provider, true, "Send it again.")),
    (131008, entry("parameter_missing", "A required field of the message is missing.", Sender, false, "Correct the message; the detail names the field.")),
    (131009, entry("parameter_invalid", "A field of the message has a value WhatsApp does not accept.", Sender, false, "Correct the message; the detail names the field.")),
    (131016, entry("service_unavailable", "WhatsApp is temporarily unavailable.", Provider, true, "Send it again.")),
    (131021, entry("self", "Recipient and sender are the same number.", Sender, false, "Remove the own number from the audience.")),
    (131026, entry("undeliverable", "Not on WhatsApp, an old client, or terms not accepted; WhatsApp does not tell which.", Recipient, false, "Check the number with the person.")),
    (131030, entry("not_in_test_list", "A test number may only write to its listed recipients.", Sender, false, "Add the recipient to the test list or use a real number.")),
    (131031, entry("account_locked", "The business account is locked.", Sender, true, "See WhatsApp Manager.")),
    (131037, entry("display_name", "The number's display name is not approved.", Sender, true, "Have the display name approved.")),
    (131042, entry("payment", "The account has a payment problem.", Sender, true, "Add a payment method in WhatsApp Manager.")),
    (131047, entry("window_closed_provider", "More than 24 hours have passed since the person last wrote.", Sender, false, "Send a template.")),
    (131048, entry("spam_limit", "Too many earlier messages were blocked or reported.", Sender, true, "Lower the volume and improve the content.")),
    (131049, entry("ecosystem", "WhatsApp limits marketing messages to this person.", Provider, true, "Wait at least 24 hours; do not repeat sooner.")),
    (131050, entry("marketing_stopped", "The person stopped marketing messages from this business.", Recipient, false, "Respect it; Kabar recorded the opt-out.")),
    (131051, entry("unsupported_type", "The message type is not supported.", Sender, false, "Use another type.")),
    (131052, entry("media_download", "WhatsApp could not fetch the media link.", Sender, false, "Make the link public and small enough.")),
    (131053, entry("media_upload", "The media file was refused.", Sender, false, "Check type and size of the file.")),
    (131056, entry("pair_rate", "Too many messages to this person in a short time.", Provider, true, "Wait; Kabar waits by itself.")),
    (131057, entry("maintenance", "The number is being upgraded.", Provider, true, "Wait a minute.")),
    (132000, entry("template_parameters", "The template's number of parameters does not match.", Sender, false, "Fill every variable of the template.")),
    (132001, entry("template_unknown", "The template does not exist in this language.", Sender, false, "Check name and language, or wait for approval.")),
    (132005, entry("template_too_long", "The filled template is too long.", Sender, false, "Shorten the variables.")),
    (132007, entry("template_policy", "The template's content violates a policy.", Sender, false, "Change the template.")),
    (132012, entry("template_format", "A parameter has the wrong kind.", Sender, false, "Check the parameter kinds.")),
    (132015, entry("template_paused", "The template is paused for low quality.", Sender, true, "Improve it or wait until the pause ends.")),
    (132016, entry("template_disabled", "The template was disabled for low quality.", Sender, false, "Make a new template.")),
    (133010, entry("not_registered", "The number is not registered with the Cloud API.", Sender, false, "Register the number.")),
    (135000, entry("provider_generic", "WhatsApp refused the message without a reason.", Provider, false, "Report it to Meta with the trace id.")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_and_each_word_stands_once() {
        assert!(CATALOGUE.is_sorted_by(|a, b| a.0 < b.0));
        let mut words: Vec<_> = CATALOGUE.iter().map(|(_, e)| e.code).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), CATALOGUE.len());
    }

    #[test]
    fn an_unknown_code_is_still_explained() {
        assert_eq!(Cause(424_242).explain().code, "provider_error");
        assert_eq!(Cause::OPTED_OUT.explain().fault, Fault::Recipient);
    }
}
