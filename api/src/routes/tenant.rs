//! `/v1/tenants`: the customers of the installation, for the operator alone.

use super::name;
use crate::auth::Operator;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, record_cursor};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::TenantId;
use kabar_schema::records::Tenant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTenant, example = json!({"name": "Toko Ana", "unknown_after_ms": 900000}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    unknown_after_ms: Option<u64>,
    resend_unknown: Option<bool>,
}

/// A tenant as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::TenantId)]
    id: TenantId,
    name: String,
    unknown_after_ms: u64,
    resend_unknown: bool,
    created: Time,
}

impl From<Tenant> for Shown {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            unknown_after_ms: tenant.unknown_after_ms,
            resend_unknown: tenant.resend_unknown,
            created: Time(tenant.created),
        }
    }
}

/// `POST /v1/tenants`
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", operation_id = "createTenant", summary = "Create a tenant (operator)",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    _: Operator,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let wanted = body.value;
    let unknown_after_ms = wanted.unknown_after_ms.unwrap_or(Tenant::UNKNOWN_AFTER_MS);
    let range = Tenant::UNKNOWN_AFTER_MIN_MS..=Tenant::UNKNOWN_AFTER_MAX_MS;
    if !range.contains(&unknown_after_ms) {
        let allowed = format!("from {} to {}", range.start(), range.end());
        return Err(Problem::invalid("unknown_after_ms", allowed));
    }
    let now = state.now();
    let tenant = Tenant {
        // Keys of the operator have no tenant yet: they are told apart under none.
        id: key.id(|k| TenantId::derived(TenantId::default(), k), |r| TenantId::random(now, r)),
        name: name(&wanted.name)?,
        created: now,
        unknown_after_ms,
        resend_unknown: wanted.resend_unknown.unwrap_or(false),
        weight: Tenant::WEIGHT,
        frequency_cap: None,
    };
    let same = |a: &Tenant, b: &Tenant| *a == Tenant { created: a.created, ..b.clone() };
    let created = create(&state, &key, tenant, same).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
}

/// `GET /v1/tenants`
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "listTenants", summary = "List tenants (operator)",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: Operator,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let limit = ask.limit()?;
    // A tenant is its own tenant, so all of them lie in the order of their ids.
    let after = ask.after_record()?.map(|(_, id)| (TenantId(id), id));
    let found = state.nouns().all::<Tenant>(after, limit).await?;
    let cursor = found.last().map(|t| record_cursor(t.noun.created, t.noun.id.0));
    Ok(axum::Json(Page::new(found.into_iter().map(|t| t.noun.into()).collect(), limit, cursor)))
}

/// `GET /v1/tenants/{id}`
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "getTenant", summary = "Read a tenant (operator)",
    params(("id" = shapes::TenantId, Path, description = "The tenant.")), responses((status = 200, body = Shown, description = "The tenant.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    _: Operator,
    Id(id): Id<TenantId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Tenant>(id, id.0).await?;
    Ok(axum::Json(found.ok_or_else(|| Problem::no_such("tenant"))?.noun.into()))
}
