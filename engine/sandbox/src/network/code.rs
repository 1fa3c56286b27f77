//! WhatsApp's error codes as its public reference lists them: title, details, HTTP status.
//! Not the JSON they are wrapped in.

/// One code of the reference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) code: u32,
    pub(crate) http: u16,
    pub(crate) title: &'static str,
    pub(crate) details: &'static str,
}

const fn code(code: u32, http: u16, title: &'static str, details: &'static str) -> Code {
    Code { code, http, title, details }
}

const GENERIC: &str = "The message could not be sent.";

/// Sorted by code.
const CODES: &[Code] = &[
    code(1, 400, "API Unknown", "Invalid request or possible server error."),
    code(2, 503, "API Service", "Temporary due to downtime or being overloaded."),
    code(4, 400, "API Too Many Calls", "The app has reached its API call rate limit."),
    code(10, 403, "API Permission Denied", "Permission is either not granted or has been removed."),
    code(
        100,
        400,
        "Invalid parameter",
        "The request included one or more unsupported or misspelled parameters.",
    ),
    code(190, 401, "Access token has expired", "The access token has expired."),
    code(200, 403, "API Permission", "Permission is either not granted or has been removed."),
    code(368, 403, "Temporarily blocked for policies violations", "The account has been restricted."),
    code(80007, 400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit."),
    code(130_403, 400, "User blocked", "The user has been blocked by the business."),
    code(
        130_429,
        400,
        "Rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number in a short period of time",
    ),
    code(
        130_472,
        400,
        "User's number is part of an experiment",
        "Failed to send message because this user's phone number is part of an experiment",
    ),
    code(
        130_497,
        403,
        "Business account is restricted from messaging users in this country",
        "Business account is restricted from messaging users in this country.",
    ),
    code(131_000, 500, "Something went wrong", "Message failed to send due to an unknown error."),
    code(131_005, 403, "Access denied", "Permission is either not granted or has been removed."),
    code(131_008, 400, "Required parameter is missing", "The request is missing a required parameter."),
    code(131_009, 400, "Parameter value is not valid", "One or more parameter values are invalid."),
    code(131_016, 500, "Service unavailable", "A service is temporarily unavailable."),
    code(131_021, 400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    code(131_026, 400, "Message undeliverable", "Message Undeliverable."),
    code(
        131_030,
        400,
        "Recipient phone number not in allowed list",
        "Recipient phone number not in allowed list: add it and try again.",
    ),
    code(131_031, 403, "Business Account locked", "The account has been locked."),
    code(131_037, 400, "Display name approval needed", "The display name of the 555 number needs approval."),
    code(131_041, 400, "Unknown group", "The group does not exist."),
    code(
        131_042,
        400,
        "Business eligibility payment issue",
        "Message failed to send because there were one or more errors related to your payment method.",
    ),
    code(
        131_045,
        500,
        "Incorrect certificate",
        "Message failed to send due to a phone number registration error.",
    ),
    code(
        131_047,
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    code(
        131_048,
        400,
        "Spam rate limit hit",
        "Message failed to send because there are restrictions on how many messages can be sent from this phone number.",
    ),
    code(
        131_049,
        400,
        "This message was not delivered to maintain healthy ecosystem engagement.",
        "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    ),
    code(
        131_050,
        400,
        "User has stopped receiving marketing messages",
        "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp from your business.",
    ),
    code(131_051, 400, "Unsupported message type", "Unsupported message type."),
    code(131_052, 400, "Media download error", "Unable to download the media sent by the user."),
    code(131_053, 400, "Media upload error", "Unable to upload the media used in the message."),
    code(
        131_056,
        400,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time.",
    ),
    code(131_057, 500, "Account in maintenance mode", "Business Account is in maintenance mode."),
    code(
        131_062,
        400,
        "Business-scoped user id recipient not supported for this message",
        "This message needs a phone number.",
    ),
    code(131_063, 400, "Marketing templates are disabled on Cloud API", "Use the Marketing Messages API."),
    code(
        131_064,
        400,
        "Messaging limit",
        "The messaging limit was lowered for template classification violations.",
    ),
    code(
        132_000,
        400,
        "Template Param Count Mismatch",
        "The number of variable parameter values included in the request did not match the number of variable parameters defined in the template",
    ),
    code(
        132_001,
        404,
        "Template does not exist",
        "The template does not exist in the specified language or the template has not been approved.",
    ),
    code(132_005, 400, "Template Hydrated Text Too Long", "Translated text is too long."),
    code(
        132_007,
        400,
        "Template Format Character Policy Violated",
        "Template content violates a WhatsApp policy.",
    ),
    code(
        132_012,
        400,
        "Template Parameter Format Mismatch",
        "Variable parameter values formatted incorrectly.",
    ),
    code(
        132_015,
        400,
        "Template is Paused",
        "Template is paused due to low quality so it cannot be sent in a template message.",
    ),
    code(
        132_016,
        400,
        "Template is Disabled",
        "Template has been paused too many times due to low quality and is now permanently disabled.",
    ),
    code(132_068, 400, "Flow is blocked", "Flow is in blocked state."),
    code(132_069, 400, "Flow is throttled", "Flow is in throttled state."),
    code(133_004, 503, "Server Temporarily Unavailable", "Server is temporarily unavailable."),
    code(133_005, 400, "Two step verification PIN Mismatch", "Two-step verification PIN incorrect."),
    code(
        133_006,
        400,
        "Phone number re-verification needed",
        "Phone number needs to be verified before registering.",
    ),
    code(
        133_008,
        400,
        "Too Many two step verification PIN Guesses",
        "Too many two-step verification PIN guesses for this phone number.",
    ),
    code(
        133_009,
        400,
        "Two step verification PIN Guessed Too Fast",
        "Two-step verification PIN was entered too quickly.",
    ),
    code(
        133_010,
        400,
        "Phone number Not Registered",
        "Phone number not registered on the Whatsapp Business Platform.",
    ),
    code(
        133_016,
        400,
        "Account register deregister rate limit exceeded",
        "Registration or Deregistration failed because there were too many attempts for this phone number in a short period of time.",
    ),
    code(134_011, 400, "Payments terms of service", "Accept the WhatsApp payments terms of service."),
    code(
        135_000,
        400,
        "Generic user error",
        "Message failed to send because of an unknown error with your request parameters.",
    ),
    code(137_000, 400, "Identity key hash mismatch", "The recipient's identity key hash does not match."),
    code(139_100, 400, "Bulk blocking failed", "Failed to block or unblock some users."),
    code(139_101, 400, "Blocklist limit reached", "The blocklist of this phone number is full."),
];

/// The code's entry in the reference, if it has one.
pub(crate) fn find(code: u32) -> Option<&'static Code> {
    CODES.binary_search_by_key(&code, |known| known.code).ok().map(|at| &CODES[at])
}

/// The code's entry, or a generic one.
pub(crate) fn describe(number: u32) -> Code {
    find(number).copied().unwrap_or_else(|| code(number, 400, "Message failed", GENERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_answers() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(describe(131_026).title, "Message undeliverable");
        assert_eq!(describe(999).code, 999);
        assert!(find(131_001).is_none());
    }
}
