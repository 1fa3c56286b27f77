//! Meta's refusals as problems of ours: with its code, its words and its trace id in `provider`. What it refused of a
//! message is a cause and no problem: that is the engine's catalogue.

use super::{Code, Problem};
use kabar_actors::account::{AccountError, GraphFailure, Refusal, Refused, WhyNot};
use kabar_actors::provider_template::TemplateBarrier;
use kabar_engine::cause::Cause;
use kabar_engine::content::ContentError;
use serde_json::{Map, Value, json};

/// Meta's codes for a number's registration and certificate.
const REGISTRATION: std::ops::RangeInclusive<u32> = 131_045..=133_016;
/// Meta's codes for a permission that is missing.
const PERMISSION: [std::ops::RangeInclusive<u32>; 2] = [10..=10, 200..=299];

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoSession => Self::no_such("session"),
            AccountError::NoTemplate => Self::no_such("template"),
            AccountError::NoAccount => Self::new(
                Code::AccountUnknown,
                "Meta did not tell which account the number is of: say it with `waba_id`.",
            ),
            AccountError::NoApp => {
                Self::new(Code::AppUnknown, "Say Meta's id of the session's app with `app_id`.")
            }
            AccountError::NotDone(why) => {
                let words = if why.is_empty() { "Meta did nothing, and did not say why." } else { &why };
                Self::new(Code::ProviderRefused, words.to_owned())
            }
            AccountError::NoMedia => Self::unknown_reference("media", "media"),
            AccountError::TooLarge => Self::invalid("media", "a file of at most 16 MiB"),
            AccountError::Store(error) => error.into(),
            AccountError::Graph(failure) => failure.into(),
        }
    }
}

impl From<GraphFailure> for Problem {
    fn from(failure: GraphFailure) -> Self {
        match failure {
            GraphFailure::NotReached => Self::new(Code::ProviderUnreachable, "Meta was not reached."),
            GraphFailure::Unclear => {
                Self::new(Code::OutcomeUnknown, "Meta did not answer, or not in its own words.")
            }
            GraphFailure::Refused(said) => {
                let code = match said.code {
                    code if PERMISSION.iter().any(|codes| codes.contains(&code)) => {
                        Code::TokenLacksPermission
                    }
                    _ if said.retryable => Code::ProviderUnreachable,
                    // A number that is not registered loses its link as well, and its token is good.
                    _ if said.link_lost && !REGISTRATION.contains(&said.code) => Code::TokenRefused,
                    _ => Code::ProviderRefused,
                };
                Self::new(code, sentence(&said, code.entry().title)).said(&said)
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let code = match refused.why {
            WhyNot::TokenRefused => Code::TokenRefused,
            WhyNot::Permission => Code::TokenLacksPermission,
            WhyNot::NumberUnknown => Code::NumberUnknown,
            WhyNot::Unreachable => Code::ProviderUnreachable,
            WhyNot::Refused => Code::ProviderRefused,
            WhyNot::OtherAccount => {
                return Self::invalid("waba_id", "the account the number is of; this one has no such number");
            }
        };
        let path = match code {
            Code::TokenRefused | Code::TokenLacksPermission => Some("access_token"),
            Code::NumberUnknown => Some("phone_number_id"),
            _ => None,
        };
        let words = refused.said.as_ref().map(|said| sentence(said, code.entry().title));
        let mut problem = Self::new(code, words.unwrap_or_else(|| code.entry().title.to_owned()));
        if let Some(said) = &refused.said {
            problem = problem.said(said);
        }
        if let Some(scope) = refused.scope {
            problem = problem.with("scope", scope);
        }
        match path {
            Some(path) => problem.at(path),
            None => problem,
        }
    }
}

/// Meta's words for people, else its words for programs, else ours.
fn sentence(said: &Refusal, ours: &str) -> String {
    let words = said.user.as_ref().map(|(_, text)| text.as_str()).filter(|text| !text.is_empty());
    let words = words.unwrap_or(&said.detail);
    if words.is_empty() { ours.to_owned() } else { format!("Meta says: {words}") }
}

impl Problem {
    /// A message ended before its sender was answered. Kabar's own causes are told by what they come to.
    pub(crate) fn ended(cause: Option<Cause>) -> Self {
        let Some(cause) = cause else { return Self::new(Code::Internal, "The message was not sent.") };
        let told = cause.explain();
        let code = match cause {
            Cause::OPTED_OUT => Code::OptedOut,
            Cause::WINDOW_CLOSED => Code::WindowClosed,
            cause if cause.is_provider() => Code::ProviderRefused,
            _ => Code::Internal,
        };
        let problem = Self::new(code, format!("{} {}", told.meaning, told.remedy));
        if !cause.is_provider() {
            return problem;
        }
        problem.told_more("provider", json!({"code": cause.number(), "message": told.meaning}))
    }

    fn said(self, said: &Refusal) -> Self {
        let mut provider = Map::new();
        provider.insert("code".into(), said.code.into());
        let title = said.user.as_ref().map(|(title, _)| title.clone()).filter(|title| !title.is_empty());
        let more = [
            ("subcode", said.subcode.map(Value::from)),
            ("message", Some(said.detail.clone()).filter(|words| !words.is_empty()).map(Value::from)),
            ("title", title.map(Value::from)),
            ("trace", said.trace.clone().map(Value::from)),
        ];
        provider.extend(more.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
        let problem = self.told_more("provider", Value::Object(provider));
        if problem.code.entry().retryable && said.after_ms > 0 {
            return problem.after(said.after_ms);
        }
        problem
    }

    /// Everything that is wrong with a template.
    pub(crate) fn template(wrong: &[ContentError]) -> Self {
        let errors: Vec<_> =
            wrong.iter().map(|e| json!({"path": e.path(), "detail": format!("{e}.")})).collect();
        let (path, detail) = match wrong.first() {
            Some(first) => (first.path().to_owned(), format!("{first}.")),
            None => (String::new(), String::new()),
        };
        Self::new(Code::InvalidTemplate, detail).at(&path).told_more("errors", errors.into())
    }
}

impl From<TemplateBarrier> for Problem {
    fn from(barrier: TemplateBarrier) -> Self {
        let words = format!("{}.", capital(&barrier.to_string()));
        let mut of = Map::new();
        let (name, language) = match &barrier {
            TemplateBarrier::Missing { name, language }
            | TemplateBarrier::Stopped { name, language, .. }
            | TemplateBarrier::Unfit { name, language, .. } => (name, language),
        };
        of.insert("name".into(), name.clone().into());
        of.insert("language".into(), language.clone().into());
        let (code, path) = match &barrier {
            TemplateBarrier::Missing { .. } => (Code::TemplateUnusable, "template.name"),
            TemplateBarrier::Stopped { status, reason, .. } => {
                of.insert("status".into(), status.clone().into());
                of.extend(reason.iter().map(|reason| ("reason".to_owned(), reason.clone().into())));
                (Code::TemplateUnusable, "template.name")
            }
            TemplateBarrier::Unfit { error, .. } => (Code::TemplateMismatch, error.path()),
        };
        Self::new(code, words).at(path).told_more("template", Value::Object(of))
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
