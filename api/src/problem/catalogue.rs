//! The closed set of problems the API answers with: stable code, HTTP status, meaning, remedy, whether a repeat can
//! help. `api/docs/errors.md` is written from it. Not the causes of failed messages: those are the engine's.

use axum::http::StatusCode;
use kabar_engine::cause::{Cause, Fault};
use std::fmt::Write;

/// A stable code. Clients branch on it; the words beside it may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    MissingKey,
    InvalidKey,
    KeyExpired,
    OperatorOnly,
    ScopeMissing,
    SessionNotAllowed,
    AddressNotAllowed,
    ExceedsKey,
    TenantHeader,
    NotFound,
    MethodNotAllowed,
    InvalidJson,
    UnknownField,
    MissingField,
    InvalidValue,
    InvalidQuery,
    InvalidAddress,
    InvalidContent,
    InvalidPattern,
    UnknownReference,
    UnsupportedMediaType,
    MediaRefused,
    LinkUnusable,
    RangeNotSatisfiable,
    BodyTooLarge,
    BodyUnreadable,
    IdempotencyKey,
    IdempotencyMismatch,
    AlreadyLinked,
    TokenRefused,
    TokenLacksPermission,
    NumberUnknown,
    AccountUnknown,
    AppUnknown,
    SessionInUse,
    InvalidTemplate,
    TemplateUnusable,
    TemplateMismatch,
    ProviderRefused,
    ContactExists,
    Conflict,
    CursorExpired,
    UpgradeRequired,
    WrongPhase,
    OptedOut,
    WindowClosed,
    FrequencyCap,
    OutboxFull,
    ImportHeader,
    ImportColumn,
    ImportEncoding,
    ImportEmpty,
    ImportMalformed,
    BadSignature,
    ChallengeRefused,
    WebhookUnverified,
    WebhookLimit,
    RateLimited,
    Overloaded,
    Unavailable,
    ProviderUnreachable,
    OutcomeUnknown,
    Deadline,
    Internal,
}

/// What is known of a code.
pub(crate) struct Entry {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) remedy: &'static str,
    pub(crate) retryable: bool,
}

const fn entry(status: StatusCode, code: &'static str, title: &'static str, remedy: &'static str) -> Entry {
    Entry { status, code, title, remedy, retryable: false }
}

const fn passing(status: StatusCode, code: &'static str, title: &'static str, remedy: &'static str) -> Entry {
    Entry { status, code, title, remedy, retryable: true }
}

impl Code {
    /// Whose fault it is.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::OptedOut => Fault::Recipient,
            Self::ProviderUnreachable => Fault::Provider,
            Self::Overloaded | Self::Unavailable | Self::OutcomeUnknown | Self::Deadline | Self::Internal => {
                Fault::Kabar
            }
            _ => Fault::Sender,
        }
    }

    /// Every code, in the order of the page.
    pub(crate) const ALL: [Self; 64] = [
        Self::MissingKey,
        Self::InvalidKey,
        Self::KeyExpired,
        Self::OperatorOnly,
        Self::ScopeMissing,
        Self::SessionNotAllowed,
        Self::AddressNotAllowed,
        Self::ExceedsKey,
        Self::TenantHeader,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::InvalidJson,
        Self::UnknownField,
        Self::MissingField,
        Self::InvalidValue,
        Self::InvalidQuery,
        Self::InvalidAddress,
        Self::InvalidContent,
        Self::InvalidPattern,
        Self::UnknownReference,
        Self::UnsupportedMediaType,
        Self::MediaRefused,
        Self::LinkUnusable,
        Self::RangeNotSatisfiable,
        Self::BodyTooLarge,
        Self::BodyUnreadable,
        Self::IdempotencyKey,
        Self::IdempotencyMismatch,
        Self::AlreadyLinked,
        Self::TokenRefused,
        Self::TokenLacksPermission,
        Self::NumberUnknown,
        Self::AccountUnknown,
        Self::AppUnknown,
        Self::SessionInUse,
        Self::InvalidTemplate,
        Self::TemplateUnusable,
        Self::TemplateMismatch,
        Self::ProviderRefused,
        Self::ContactExists,
        Self::Conflict,
        Self::CursorExpired,
        Self::UpgradeRequired,
        Self::WrongPhase,
        Self::OptedOut,
        Self::WindowClosed,
        Self::FrequencyCap,
        Self::OutboxFull,
        Self::ImportHeader,
        Self::ImportColumn,
        Self::ImportEncoding,
        Self::ImportEmpty,
        Self::ImportMalformed,
        Self::BadSignature,
        Self::ChallengeRefused,
        Self::WebhookUnverified,
        Self::WebhookLimit,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
        Self::ProviderUnreachable,
        Self::OutcomeUnknown,
        Self::Deadline,
        Self::Internal,
    ];

    /// What is known of it.
    #[rustfmt::skip]
    pub(crate) fn entry(self) -> Entry {
        use StatusCode as S;
        match self {
            Self::MissingKey => entry(S::UNAUTHORIZED, "missing_key", "The request carries no key.", "Send `Authorization: Bearer <key>`."),
            Self::InvalidKey => entry(S::UNAUTHORIZED, "invalid_key", "The key is not known here, or was revoked.", "Check the key, or have a new one made with POST /v1/keys."),
            Self::KeyExpired => entry(S::UNAUTHORIZED, "key_expired", "The time of the key is over.", "Use the key that replaced it, or have a new one made with POST /v1/keys."),
            Self::OperatorOnly => entry(S::FORBIDDEN, "operator_only", "Only the operator may do this, or a reseller where the detail says so.", "Use the operator's key, or a reseller's where the detail says so."),
            Self::ScopeMissing => entry(S::FORBIDDEN, "scope_missing", "The key is not good for this.", "Use a key that has the scope the field `scope` names."),
            Self::SessionNotAllowed => entry(S::FORBIDDEN, "session_not_allowed", "The key is for other sessions.", "Use a key that is for this session, or for all of them."),
            Self::AddressNotAllowed => entry(S::FORBIDDEN, "address_not_allowed", "The key may not be used from this address.", "Ask from one of the key's `networks`, or change them with PATCH /v1/keys/{id}."),
            Self::ExceedsKey => entry(S::FORBIDDEN, "exceeds_key", "A key would get more than the key that asks has.", "Ask for less, or use a key that has what the field `path` names."),
            Self::TenantHeader => entry(S::BAD_REQUEST, "tenant_header", "The operator or reseller did not say for whom.", "Send `Kabar-Tenant: ten_…`, or use an API key of the tenant."),
            Self::NotFound => entry(S::NOT_FOUND, "not_found", "There is no such thing, or it is not yours.", "Check the id and whose key you use."),
            Self::MethodNotAllowed => entry(S::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take this method.", "See the `Allow` header."),
            Self::InvalidJson => entry(S::BAD_REQUEST, "invalid_json", "The body is not JSON.", "Correct the body at the place the detail names."),
            Self::UnknownField => entry(S::UNPROCESSABLE_ENTITY, "unknown_field", "The body has a field that does not exist.", "Take the named field out, or correct its name."),
            Self::MissingField => entry(S::UNPROCESSABLE_ENTITY, "missing_field", "A required field is missing.", "Add the named field."),
            Self::InvalidValue => entry(S::UNPROCESSABLE_ENTITY, "invalid_value", "A field has a value that is not allowed.", "Correct the named field."),
            Self::InvalidQuery => entry(S::BAD_REQUEST, "invalid_query", "The query string has an unknown or wrong parameter.", "Correct the named parameter."),
            Self::InvalidAddress => entry(S::UNPROCESSABLE_ENTITY, "invalid_address", "The recipient is no address.", "Write the number with + and its country code."),
            Self::InvalidContent => entry(S::UNPROCESSABLE_ENTITY, "invalid_content", "WhatsApp would refuse this message.", "Correct the field that `path` names."),
            Self::InvalidPattern => entry(S::UNPROCESSABLE_ENTITY, "invalid_pattern", "A variable or alternative cannot be read.", "Correct the text at `path`, `line` and `column`."),
            Self::UnknownReference => entry(S::NOT_FOUND, "unknown_reference", "A field names something that does not exist.", "Check the id in the named field; it must belong to the same tenant."),
            Self::UnsupportedMediaType => entry(S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is of another kind than this address takes.", "Send the `Content-Type` that the detail names."),
            Self::MediaRefused => entry(S::UNPROCESSABLE_ENTITY, "media_refused", "The file is none that WhatsApp takes.", "Send a file of a type and size that the detail names, and say its true type or none."),
            Self::LinkUnusable => entry(S::UNPROCESSABLE_ENTITY, "link_unusable", "The link leads to no file that can be fetched.", "Check that anybody can fetch the link, or send the file itself."),
            Self::RangeNotSatisfiable => entry(S::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "The file has no such bytes.", "Ask for a range within the file's length, which the detail names."),
            Self::BodyTooLarge => entry(S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than this installation takes.", "Send less at once, or have the operator raise the limit."),
            Self::BodyUnreadable => entry(S::BAD_REQUEST, "body_unreadable", "The body did not arrive whole or cannot be understood.", "Send it again."),
            Self::IdempotencyKey => entry(S::BAD_REQUEST, "idempotency_key", "The Idempotency-Key is not usable.", "Use 1 to 255 printable ASCII characters, e.g. a UUID."),
            Self::IdempotencyMismatch => entry(S::UNPROCESSABLE_ENTITY, "idempotency_mismatch", "The Idempotency-Key was used with another request.", "Use a new key for a new request; repeat the old one unchanged."),
            Self::AlreadyLinked => entry(S::CONFLICT, "already_linked", "The phone number id belongs to another session.", "Use that session, or check the id."),
            Self::TokenRefused => entry(S::UNPROCESSABLE_ENTITY, "token_refused", "Meta does not take the access token.", "Give a token that works; a system user's does not end by itself. `provider` has Meta's words."),
            Self::TokenLacksPermission => entry(S::UNPROCESSABLE_ENTITY, "token_lacks_permission", "The access token works, and may not do this.", "Give the token the permission that `scope` names, for the account the number is of."),
            Self::NumberUnknown => entry(S::UNPROCESSABLE_ENTITY, "number_unknown", "The access token sees no number of this id.", "Check `phone_number_id`, and that the token is of the account the number is of."),
            Self::AccountUnknown => entry(S::CONFLICT, "account_unknown", "Which WhatsApp Business Account the number is of is not known.", "Say it with PATCH /v1/sessions/{id} and `waba_id`."),
            Self::AppUnknown => entry(S::CONFLICT, "app_unknown", "Meta's id of the app is not known, and files are uploaded to it.", "Say it with PATCH /v1/apps/{id} and `app_id`."),
            Self::SessionInUse => entry(S::CONFLICT, "session_in_use", "The session has messages that wait, or campaigns that are not over.", "Wait for their end, or repeat with `?force=true`, which ends them."),
            Self::InvalidTemplate => entry(S::UNPROCESSABLE_ENTITY, "invalid_template", "Meta would refuse this template.", "Correct what `errors` names, each with its path."),
            Self::TemplateUnusable => entry(S::UNPROCESSABLE_ENTITY, "template_unusable", "The template cannot be sent now: it is missing, rejected, paused or disabled.", "Read it at /v1/sessions/{id}/provider-templates, mend it there, or use another."),
            Self::TemplateMismatch => entry(S::UNPROCESSABLE_ENTITY, "template_mismatch", "The message does not fit the template it names.", "Give a parameter for each of the template's variables, of the kind it takes."),
            Self::ProviderRefused => entry(S::UNPROCESSABLE_ENTITY, "provider_refused", "Meta refused it.", "See `provider` for Meta's words and the trace id its support asks for."),
            Self::ContactExists => entry(S::CONFLICT, "contact_exists", "The address is known already.", "Change the contact that the detail names with PATCH /v1/contacts/{id}."),
            Self::Conflict => passing(S::CONFLICT, "conflict", "Somebody else changed it at the same time.", "Read it again and repeat."),
            Self::CursorExpired => entry(S::GONE, "cursor_expired", "What followed this place is no longer kept.", "Begin again without `after`, and read the things themselves for what was missed."),
            Self::UpgradeRequired => entry(S::UPGRADE_REQUIRED, "upgrade_required", "This address speaks WebSocket alone.", "Open it with a WebSocket client, or read `/v1/events/stream`."),
            Self::WrongPhase => entry(S::CONFLICT, "wrong_phase", "It is not possible where the thing stands.", "Read its state first."),
            Self::OptedOut => entry(S::UNPROCESSABLE_ENTITY, "opted_out", "The recipient has opted out.", "Do not write to this person until they opt in again."),
            Self::FrequencyCap => entry(S::UNPROCESSABLE_ENTITY, "frequency_cap", "The recipient has had enough marketing from this tenant lately.", "Leave the person out this time; what the person has asked for goes by the lane `transactional` or `reply`, which the cap does not count."),
            Self::WindowClosed => entry(S::UNPROCESSABLE_ENTITY, "window_closed", "Free-form content needs a message from the recipient within the last 24 hours.", "Send a template, or wait until the person writes."),
            Self::OutboxFull => passing(S::TOO_MANY_REQUESTS, "outbox_full", "The session has as many messages waiting as it may.", "Wait until some have left."),
            Self::ImportHeader => entry(S::UNPROCESSABLE_ENTITY, "import_header", "The file has no usable header or no column with phone numbers.", "Begin with a row of column names, or name the column with `phone_column`."),
            Self::ImportColumn => entry(S::UNPROCESSABLE_ENTITY, "import_column", "The file has no column of that name.", "Use one of the columns the detail names."),
            Self::ImportEncoding => entry(S::UNPROCESSABLE_ENTITY, "import_encoding", "The file's text cannot be read.", "Save it as CSV in UTF-8."),
            Self::ImportEmpty => entry(S::UNPROCESSABLE_ENTITY, "import_empty", "The file has no rows.", "Send a file with a header and at least one row."),
            Self::ImportMalformed => entry(S::UNPROCESSABLE_ENTITY, "import_malformed", "The file is not CSV as it claims.", "Correct the row the detail names."),
            Self::BadSignature => entry(S::UNAUTHORIZED, "bad_signature", "The webhook is not signed with a secret of this app.", "Check the app secret at both ends."),
            Self::ChallengeRefused => entry(S::FORBIDDEN, "challenge_refused", "The verify token is not the app's.", "Enter the app's verify token at Meta."),
            Self::WebhookUnverified => entry(S::UNPROCESSABLE_ENTITY, "webhook_unverified", "The address did not answer Meta's handshake.", "Answer `GET ?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…` with 200 and the challenge as plain text, when the token is yours."),
            Self::WebhookLimit => entry(S::CONFLICT, "webhook_limit", "The tenant has as many webhook subscriptions as it may.", "Delete one that nobody needs, or let one address take the events of several."),
            Self::RateLimited => passing(S::TOO_MANY_REQUESTS, "rate_limited", "The key has asked more than its rate allows.", "Wait `retry_after` seconds; the headers RateLimit and RateLimit-Policy tell what is left."),
            Self::Overloaded => passing(S::TOO_MANY_REQUESTS, "overloaded", "Too much is waiting here.", "Repeat after `retry_after` seconds."),
            Self::Unavailable => passing(S::SERVICE_UNAVAILABLE, "unavailable", "It is not possible now; nothing was done.", "Repeat after `retry_after` seconds."),
            Self::ProviderUnreachable => passing(S::SERVICE_UNAVAILABLE, "provider_unreachable", "Meta was not reached, or is too busy; nothing was done.", "Repeat after `retry_after` seconds. Linking a number works without Meta with `\"validate\": false`."),
            Self::OutcomeUnknown => passing(S::SERVICE_UNAVAILABLE, "outcome_unknown", "It may or may not have been done.", "Repeat with the same Idempotency-Key; without one, look first."),
            Self::Deadline => passing(S::GATEWAY_TIMEOUT, "deadline", "The request took too long; it may or may not have been done.", "Repeat with the same Idempotency-Key; without one, look first."),
            Self::Internal => entry(S::INTERNAL_SERVER_ERROR, "internal", "Something broke in Kabar; it may or may not have been done.", "Look whether it was done, and give the operator the `trace_id`."),
        }
    }
}

/// As it is written in JSON.
fn word(fault: Fault) -> String {
    format!("{fault:?}").to_lowercase()
}

/// `api/docs/errors.md`.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Errors\n\nWritten from the code; a test fails when it differs.\n\nEvery refusal is `application/problem+json` (RFC 9457): \
         `type`, `title`, `status`, `code`, `fault`, `detail`, `remedy`, `retryable`,\nperhaps `retry_after` (seconds, also as the \
         header `Retry-After`), perhaps `path`, `line` and `column`, and `trace_id`\n(also as the header `Trace-Id`). \
         Branch on `code`: it never changes its meaning.\n\n## Answers of the API\n\n\
         | code | status | whose fault | meaning | what to do | repeat helps |\n|---|---|---|---|---|---|\n",
    );
    // Writing into a string cannot fail.
    for code in Code::ALL {
        let Entry { status, code: entry_code, title, remedy, retryable } = code.entry();
        let yes = if retryable { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| <a id=\"{at}\"></a>`{at}` | {} | {} | {title} | {remedy} | {yes} |",
            status.as_u16(),
            word(code.fault()),
            at = entry_code
        );
    }
    page.push_str(
        "\n## Why a message failed\n\nThe `error` of a message and the `causes` of a campaign. Kabar's own stand first; \
         all other numbers are Meta's codes. A code that is in no line is explained by the family of its number, and is kept.\n\n| code | number | whose fault | meaning | what to do | repeat helps |\n|---|---|---|---|---|---|\n",
    );
    for (codes, e) in Cause::lines() {
        let (first, last) = (codes.start().number(), codes.end().number());
        let number = if first == last { first.to_string() } else { format!("{first}–{last}") };
        let yes = if e.retryable { "yes" } else { "no" };
        let fault = word(e.fault);
        let _ =
            writeln!(page, "| `{}` | {number} | {fault} | {} | {} | {yes} |", e.code, e.meaning, e.remedy);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_stands_once_on_the_page_that_is_committed() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|c| c.entry().code).collect();
        assert_eq!(words.len(), Code::ALL.len());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == page(), "api/docs/errors.md is old: run this test with KABAR_WRITE_PAGES=1");
    }

    #[test]
    fn what_may_pass_by_itself_is_never_the_callers_fault() {
        for code in Code::ALL {
            let e = code.entry();
            let passing = matches!(e.status.as_u16(), 409 | 429 | 503 | 504);
            assert!(!e.retryable || passing, "{}", e.code);
            assert!(e.title.ends_with('.') && e.remedy.ends_with('.'), "{}", e.code);
        }
    }
}
