//! `/v1/resellers`: who has tenants of its own. For the operator alone; a reseller's keys are made at `/v1/keys`.

use super::name;
use crate::auth::Caller;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, records};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::{ResellerId, TenantId};
use kabar_schema::records::Reseller;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewReseller, example = json!({"name": "Mitra Pesan"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
}

/// A reseller as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Reseller)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::ResellerId)]
    id: ResellerId,
    name: String,
    created: Time,
}

impl From<Reseller> for Shown {
    fn from(reseller: Reseller) -> Self {
        Self { id: reseller.id, name: reseller.name, created: Time(reseller.created) }
    }
}

/// `POST /v1/resellers`
#[utoipa::path(post, path = "/v1/resellers", tag = "resellers", operation_id = "createReseller", summary = "Create a reseller (operator)",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    _: Caller,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let now = state.now();
    let reseller = Reseller {
        id: key.id(|k| ResellerId::derived(TenantId::default(), k), |r| ResellerId::random(now, r)),
        name: name(&body.value.name)?,
        created: now,
    };
    let created = create(&state, &key, reseller, |a, b| a.name == b.name).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
}

/// `GET /v1/resellers`
#[utoipa::path(get, path = "/v1/resellers", tag = "resellers", operation_id = "listResellers", summary = "List resellers (operator)",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _: Caller,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Reseller, _>(&state, TenantId::default(), &ask).await
}

/// `GET /v1/resellers/{id}`
#[utoipa::path(get, path = "/v1/resellers/{id}", tag = "resellers", operation_id = "getReseller", summary = "Read a reseller (operator)",
    params(("id" = shapes::ResellerId, Path, description = "The reseller.")), responses((status = 200, body = Shown, description = "The reseller.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    _: Caller,
    Id(id): Id<ResellerId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Reseller>(TenantId::default(), id.0).await?;
    Ok(axum::Json(found.ok_or_else(|| Problem::no_such("reseller"))?.noun.into()))
}
