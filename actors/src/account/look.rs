//! A look at a number through its token: does the token work for it, may it send, which account is it of, and what does
//! Meta say of it. Made before a session is stored, when somebody asks, and every hour. It changes nothing at Meta.

use super::{AccountError, graph};
use crate::node::Node;
use kabar_connectors::Secret;
use kabar_connectors::cloud::{Graph, GraphFailure, NumberFacts, Refusal, TokenFacts};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::records::{FailedLook, Number, Session};

/// Accounts of a token that are searched for the number.
const ACCOUNTS_MAX: usize = 5;
/// Meta's code for an object that is not there, or not for this token.
const INVALID: u32 = 100;
const NO_OBJECT: u32 = 33;
/// The permission to send.
const MESSAGING: &str = "whatsapp_business_messaging";
/// The permission to look at numbers and templates.
const MANAGEMENT: &str = "whatsapp_business_management";
/// Tries to write what others write at the same time.
const TRIES: u32 = 5;

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLook {
    /// The number.
    pub facts: NumberFacts,
    /// The token, when Meta told of it.
    pub token: Option<TokenFacts>,
    /// The account the number is of, when it could be found out.
    pub waba: Option<String>,
}

/// Why a token is no good for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Meta does not take the token.
    TokenRefused,
    /// The token sees no such number.
    NumberUnknown,
    /// The token works, and lacks a permission.
    Permission,
    /// The number is of another account than was said.
    OtherAccount,
    /// Meta was not reached, or is busy.
    Unreachable,
    /// Meta refused for another reason.
    Refused,
}

impl WhyNot {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TokenRefused => "token_refused",
            Self::NumberUnknown => "number_unknown",
            Self::Permission => "token_lacks_permission",
            Self::OtherAccount => "other_account",
            Self::Unreachable => "provider_unreachable",
            Self::Refused => "provider_refused",
        }
    }
}

/// A look that failed, with Meta's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: WhyNot,
    /// What Meta said, when it said something.
    pub said: Option<Box<Refusal>>,
    /// The permission that is missing.
    pub scope: Option<&'static str>,
}

impl From<WhyNot> for Refused {
    fn from(why: WhyNot) -> Self {
        Self { why, said: None, scope: None }
    }
}

/// How fast a number may send by itself: messages a second.
#[must_use]
pub fn rate(facts: &NumberFacts) -> u32 {
    match facts.throughput_level() {
        _ if facts.is_shared() => 20,
        Some(level) if level.eq_ignore_ascii_case("HIGH") => 1_000,
        _ => 80,
    }
}

/// Looks at a session's number, whether it is stored or not.
///
/// # Errors
/// [`Refused`].
pub async fn look(node: &Node, session: &Session, given: Option<&str>) -> Result<NumberLook, Refused> {
    let graph = graph(node, session).await.map_err(|_| WhyNot::Unreachable)?;
    let secret = Secret::new(session.access_token.clone());
    let id = &session.phone_number_id;
    let facts = match graph.number(id).await {
        Ok(facts) => facts,
        Err(failure) => return Err(refused(failure, &graph, &secret).await),
    };
    // An app's own token may be asked for by any that is as good; where it is not, nothing is known of it.
    let token = graph.debug_token(&secret).await.ok();
    if let Some(token) = &token {
        if !token.is_valid {
            return Err(WhyNot::TokenRefused.into());
        }
        if !token.scopes.is_empty() && !token.has(MESSAGING) {
            return Err(Refused { why: WhyNot::Permission, said: None, scope: Some(MESSAGING) });
        }
    }
    let waba = account(&graph, id, (&facts, token.as_ref()), given).await?;
    Ok(NumberLook { facts, token, waba })
}

async fn refused(failure: GraphFailure, graph: &Graph, token: &Secret) -> Refused {
    let GraphFailure::Refused(said) = failure else { return WhyNot::Unreachable.into() };
    let (why, scope) = match said.code {
        10 | 200..=299 => (WhyNot::Permission, Some(MANAGEMENT)),
        _ if said.retryable => (WhyNot::Unreachable, None),
        // Meta says the same of what is not there and of what the token may not see.
        INVALID if said.subcode == Some(NO_OBJECT) => match graph.debug_token(token).await {
            Ok(token) if !token.is_valid => (WhyNot::TokenRefused, None),
            Ok(token) if !token.scopes.is_empty() && !token.has(MANAGEMENT) => {
                (WhyNot::Permission, Some(MANAGEMENT))
            }
            _ => (WhyNot::NumberUnknown, None),
        },
        _ if said.link_lost || said.status == 401 => (WhyNot::TokenRefused, None),
        _ if said.status == 404 => (WhyNot::NumberUnknown, None),
        _ => (WhyNot::Refused, None),
    };
    Refused { why, said: Some(said), scope }
}

/// The account the number is of: what was given when the number is there, else what its health or the token names.
async fn account(
    graph: &Graph,
    number: &str,
    (facts, token): (&NumberFacts, Option<&TokenFacts>),
    given: Option<&str>,
) -> Result<Option<String>, Refused> {
    let told = facts.waba();
    if let Some(given) = given {
        if told == Some(given) {
            return Ok(Some(given.to_owned()));
        }
        return match graph.numbers(given).await {
            Ok(numbers) if !numbers.iter().any(|n| n.id == number) => Err(WhyNot::OtherAccount.into()),
            // An account that cannot be looked at now is believed: the tenant said so.
            _ => Ok(Some(given.to_owned())),
        };
    }
    if let Some(told) = told {
        return Ok(Some(told.to_owned()));
    }
    for waba in token.map(TokenFacts::wabas).unwrap_or_default().into_iter().take(ACCOUNTS_MAX) {
        if graph.numbers(waba).await.is_ok_and(|numbers| numbers.iter().any(|n| n.id == number)) {
            return Ok(Some(waba.to_owned()));
        }
    }
    Ok(None)
}

/// Writes down what was seen, or that it failed, and what is changed besides; gives what is known then.
///
/// # Errors
/// What the store could not do.
pub async fn noted(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    seen: Option<Result<&NumberLook, &Refused>>,
    change: impl Fn(&mut Number) + Send + Sync,
) -> Result<Number, StoreError> {
    let now = Timestamp(node.clock().now_ms());
    let nouns = &node.store().nouns;
    for _ in 0..TRIES {
        let stored = nouns.get::<Number>(tenant, session.0).await?;
        let version = stored.as_ref().map(|stored| stored.version);
        let mut number = stored.map_or_else(|| Number::unknown(tenant, session, now), |stored| stored.noun);
        match seen {
            Some(Ok(look)) => apply(&mut number, look, now),
            Some(Err(refused)) => number.failed = Some(failed(refused, now)),
            None => {}
        }
        change(&mut number);
        let written = match version {
            Some(version) => nouns.update(&number, version).await.map(|_| ()),
            None => nouns.create(&number).await,
        };
        node.accounts.forget(session);
        match written {
            Ok(()) => return Ok(number),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

fn apply(number: &mut Number, look: &NumberLook, now: Timestamp) {
    let facts = &look.facts;
    (number.validated, number.failed) = (Some(now), None);
    number.verified_name = facts.verified_name.clone();
    number.quality = facts.quality_rating.clone();
    number.throughput = facts.throughput_level().map(str::to_owned);
    number.tier = facts.tier().map(str::to_owned);
    number.status = facts.status.clone();
    if let Ok(serde_json::Value::Object(said)) = serde_json::to_value(facts) {
        number.said = said;
    }
    if !number.waba_given && look.waba.is_some() {
        number.waba_id = look.waba.clone();
    }
    if let Some(token) = &look.token {
        number.app_id = Some(token.app_id.clone()).filter(|id| !id.is_empty());
        number.token_expires =
            (token.expires_at > 0).then(|| Timestamp(token.expires_at.saturating_mul(1_000)));
    }
}

fn failed(refused: &Refused, at: Timestamp) -> FailedLook {
    let said = refused.said.as_ref();
    FailedLook {
        at,
        why: refused.why.word().to_owned(),
        detail: said.map(|said| said.detail.clone()).unwrap_or_default(),
        trace: said.and_then(|said| said.trace.clone()),
    }
}

impl From<&AccountError> for WhyNot {
    /// For what is no look: as near as it comes.
    fn from(error: &AccountError) -> Self {
        match error {
            AccountError::Graph(GraphFailure::Refused(said)) if said.link_lost => Self::TokenRefused,
            AccountError::Graph(GraphFailure::Refused(said)) if said.retryable => Self::Unreachable,
            AccountError::Graph(GraphFailure::Refused(_)) => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}
