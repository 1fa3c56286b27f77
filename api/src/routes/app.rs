//! `/v1/apps`: the tenant's apps at Meta, which sign the webhooks. The secrets go in and never come out.

use super::{TRIES, present};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, records};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::{IdError, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::StoreError;
use kabar_schema::records::{MetaApp, Versioned};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// App secrets at once: the old and the new one while they change, and one to spare.
const SECRETS_MAX: usize = 3;
/// Longest secret or token, characters.
const SECRET_MAX: usize = 256;

/// An app's id. Written like every other id; inside it is a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppId(pub(crate) u64);

const PREFIX: &str = "app";

impl std::fmt::Display for AppId {
    /// The digits are those of the engine's ids; only the prefix is ours.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = TenantId(self.0).to_string();
        write!(f, "{PREFIX}{}", &text[TenantId::PREFIX.len()..])
    }
}

impl std::str::FromStr for AppId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError { prefix: PREFIX, text: text.chars().take(64).collect() };
        let digits = text.strip_prefix(PREFIX).ok_or_else(refuse)?;
        let id: TenantId = format!("{}{digits}", TenantId::PREFIX).parse().map_err(|_| refuse())?;
        Ok(Self(id.0))
    }
}

impl Serialize for AppId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewApp, example = json!({"app_secrets": ["0123456789abcdef0123456789abcdef"], "verify_token": "a-token-of-yours", "app_id": "670843887433847"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    app_secrets: Vec<String>,
    verify_token: String,
    /// Meta's own id of the app; needed where files are uploaded to it (headers of templates, a profile's picture).
    app_id: Option<String>,
}

/// A merge patch: what is absent stays. While one secret replaces another give both, the new one first.
#[derive(Deserialize, ToSchema)]
#[schema(as = AppPatch, example = json!({"app_secrets": ["fedcba9876543210fedcba9876543210", "0123456789abcdef0123456789abcdef"]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    app_secrets: Option<Vec<String>>,
    verify_token: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    app_id: Option<Option<String>>,
}

/// An app as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = App)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::AppId)]
    id: AppId,
    /// Meta's own id of it, when it was told.
    app_id: Option<String>,
    /// How many secrets are accepted now.
    app_secrets: usize,
    /// Where Meta is to send webhooks, below this server's public address.
    webhook_path: String,
    created: Time,
}

impl From<MetaApp> for Shown {
    fn from(app: MetaApp) -> Self {
        let id = AppId(app.id);
        Self {
            id,
            app_id: app.meta_id,
            app_secrets: app.app_secrets.len(),
            webhook_path: format!("/connectors/cloud/{id}"),
            created: Time(app.created),
        }
    }
}

fn fresh(tenant: TenantId, key: &Idempotent, now: Timestamp) -> u64 {
    let tagged = |k: &[u8]| TenantId::derived(tenant, &[b"app:", k].concat()).0;
    key.id(tagged, |r| TenantId::random(now, r).0)
}

/// `POST /v1/apps`
#[utoipa::path(post, path = "/v1/apps", tag = "apps", operation_id = "createApp", summary = "Register an app at Meta",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let now = state.now();
    let app = MetaApp {
        id: fresh(whom.tenant, &key, now),
        tenant: whom.tenant,
        app_secrets: wanted.app_secrets,
        verify_token: wanted.verify_token,
        meta_id: wanted.app_id,
        created: now,
    };
    check(&app)?;
    let same = |a: &MetaApp, b: &MetaApp| *a == MetaApp { created: a.created, ..b.clone() };
    let created = create(&state, &key, app, same).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
}

fn check(app: &MetaApp) -> Result<(), Problem> {
    let fits = |text: &String| (1..=SECRET_MAX).contains(&text.len()) && text.trim() == text;
    if !(1..=SECRETS_MAX).contains(&app.app_secrets.len()) || !app.app_secrets.iter().all(fits) {
        let allowed = format!("1 to {SECRETS_MAX} texts of 1 to {SECRET_MAX} characters");
        return Err(Problem::invalid("app_secrets", allowed));
    }
    if !fits(&app.verify_token) {
        return Err(Problem::invalid("verify_token", format!("a text of 1 to {SECRET_MAX} characters")));
    }
    match &app.meta_id {
        Some(id) if !is_meta_id(id) => Err(Problem::invalid("app_id", "5 to 20 digits, as Meta shows them")),
        _ => Ok(()),
    }
}

/// An id of Meta's: an app, an account, a template.
pub(crate) fn is_meta_id(text: &str) -> bool {
    (5..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

async fn found(state: &ApiState, tenant: TenantId, id: AppId) -> Result<Versioned<MetaApp>, Problem> {
    let found = state.nouns().get::<MetaApp>(tenant, id.0).await?;
    found.ok_or_else(|| Problem::no_such("app"))
}

/// `GET /v1/apps/{id}`
#[utoipa::path(get, path = "/v1/apps/{id}", tag = "apps", operation_id = "getApp", summary = "Read an app",
    params(("id" = shapes::AppId, Path, description = "The app.")), responses((status = 200, body = Shown, description = "The app.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<AppId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(found(&state, whom.tenant, id).await?.noun.into()))
}

/// `PATCH /v1/apps/{id}`: twice comes to the same as once.
#[utoipa::path(patch, path = "/v1/apps/{id}", tag = "apps", operation_id = "changeApp", summary = "Change an app: its secrets while they rotate, its verify token",
    params(("id" = shapes::AppId, Path, description = "The app.")), request_body = Patch, responses((status = 200, body = Shown, description = "The app as it is now.")))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<AppId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    let patch = body.value;
    for _ in 0..TRIES {
        let stored = found(&state, whom.tenant, id).await?;
        let mut app = stored.noun.clone();
        app.app_secrets = patch.app_secrets.clone().unwrap_or(app.app_secrets);
        app.verify_token = patch.verify_token.clone().unwrap_or(app.verify_token);
        app.meta_id = patch.app_id.clone().unwrap_or(app.meta_id);
        check(&app)?;
        if app != stored.noun {
            match state.nouns().update(&app, stored.version).await {
                Ok(_) => state.node.forget_app(id.0),
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(axum::Json(app.into()));
    }
    Err(StoreError::Conflict.into())
}

/// `GET /v1/apps`
#[utoipa::path(get, path = "/v1/apps", tag = "apps", operation_id = "listApps", summary = "List apps",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<MetaApp, _>(&state, whom.tenant, &ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_is_written_like_every_other_id() {
        let id = AppId(0x0123_4567_89ab_cdef);
        let text = id.to_string();
        assert!(text.starts_with("app_") && text.len() == 17, "{text}");
        assert_eq!(text.parse(), Ok(id));
        for wrong in ["", "app_", "ten_0000000000000", "app_0000000000000x"] {
            assert!(wrong.parse::<AppId>().is_err(), "{wrong}");
        }
    }
}
