//! `/v1/tenants`: the customers of the installation. The operator has all of them, a reseller has its own and sees no
//! others.

use super::{TRIES, name, present};
use crate::auth::Seller;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, record_cursor};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::frequency::FrequencyCap;
use kabar_engine::id::{ResellerId, TenantId};
use kabar_schema::StoreError;
use kabar_schema::records::{MetaAck, MetaAnswers, ResellerTenant, Tenant, Versioned};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTenant, example = json!({"name": "Toko Ana", "unknown_after_ms": 900000, "frequency_cap": {"messages": 4, "days": 7}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    /// How long a message whose outcome is not known waits for proof; a quarter of an hour when not said.
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    unknown_after_ms: Option<u64>,
    /// Whether it is then sent once more.
    resend_unknown: Option<bool>,
    /// Its share of a busy node beside the others' weights; 10 when not said. The operator's to say for a reseller's tenant.
    #[schema(minimum = 1, maximum = 100)]
    weight: Option<u32>,
    /// How much marketing one person may get from it; no limit when not said.
    frequency_cap: Option<Cap>,
    /// How its programs are answered that speak Meta's dialect.
    meta: Option<Meta>,
}

/// How programs are answered that speak Meta's dialect; what is not said is as when nothing is said.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = MetaAnswers)]
#[serde(deny_unknown_fields)]
pub(crate) struct Meta {
    /// When a send is answered: `early`, when it is durable here; `provider`, when Meta has answered, ten seconds at most.
    #[serde(default)]
    #[schema(value_type = Option<shapes::MetaAck>)]
    ack: MetaAck,
    /// The HTTP status of "too much": 429 or 400.
    #[serde(default = "throttle")]
    #[schema(value_type = Option<u16>, minimum = 400, maximum = 429)]
    throttle: u16,
}

fn throttle() -> u16 {
    MetaAnswers::default().throttle
}

/// At most so many messages to one person within so many days.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = FrequencyCap)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cap {
    #[schema(minimum = 1, maximum = 100)]
    messages: u16,
    #[schema(minimum = 1, maximum = 30)]
    days: u8,
}

/// A merge patch (RFC 7396): what is absent stays, what is null goes back to what it is when nothing is said.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TenantPatch, example = json!({"weight": 20, "frequency_cap": null}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, minimum = 1_000, maximum = 86_400_000)]
    unknown_after_ms: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    resend_unknown: Option<Option<bool>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100)]
    weight: Option<Option<u32>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Cap>)]
    frequency_cap: Option<Option<Cap>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Meta>)]
    meta: Option<Option<Meta>>,
}

/// A tenant as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::TenantId)]
    id: TenantId,
    name: String,
    /// Whose customer it is; null: the operator's own.
    #[schema(value_type = Option<shapes::ResellerId>)]
    reseller: Option<ResellerId>,
    unknown_after_ms: u64,
    resend_unknown: bool,
    weight: u32,
    frequency_cap: Option<Cap>,
    meta: Meta,
    created: Time,
}

impl From<Tenant> for Shown {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            reseller: tenant.reseller,
            unknown_after_ms: tenant.unknown_after_ms,
            resend_unknown: tenant.resend_unknown,
            weight: tenant.weight,
            frequency_cap: tenant.frequency_cap.map(|cap| Cap { messages: cap.messages, days: cap.days }),
            meta: Meta { ack: tenant.meta.ack, throttle: tenant.meta.throttle },
            created: Time(tenant.created),
        }
    }
}

fn waiting(given: Option<u64>) -> Result<u64, Problem> {
    let wait = given.unwrap_or(Tenant::UNKNOWN_AFTER_MS);
    let range = Tenant::UNKNOWN_AFTER_MIN_MS..=Tenant::UNKNOWN_AFTER_MAX_MS;
    let allowed =
        || Problem::invalid("unknown_after_ms", format!("from {} to {}", range.start(), range.end()));
    range.contains(&wait).then_some(wait).ok_or_else(allowed)
}

/// A weight takes from others: a reseller could take the whole node for its own.
fn weight(given: Option<u32>, seller: Seller) -> Result<u32, Problem> {
    if !seller.operator {
        let detail = "`weight` is set by the operator.";
        return Err(Problem::new(Code::OperatorOnly, detail).at("weight"));
    }
    let weight = given.unwrap_or(Tenant::WEIGHT);
    let allowed = || Problem::invalid("weight", "from 1 to 100");
    Tenant::WEIGHTS.contains(&weight).then_some(weight).ok_or_else(allowed)
}

fn cap(given: Option<Cap>) -> Result<Option<FrequencyCap>, Problem> {
    let Some(Cap { messages, days }) = given else { return Ok(None) };
    if FrequencyCap::MESSAGES.contains(&messages) && FrequencyCap::DAYS.contains(&days) {
        Ok(Some(FrequencyCap { messages, days }))
    } else {
        Err(Problem::invalid("frequency_cap", "1 to 100 `messages` in 1 to 30 `days`"))
    }
}

fn answers(given: Option<Meta>) -> Result<MetaAnswers, Problem> {
    let Some(Meta { ack, throttle }) = given else { return Ok(MetaAnswers::default()) };
    let allowed = || Problem::invalid("meta.throttle", "429 or 400");
    MetaAnswers::THROTTLES.contains(&throttle).then_some(MetaAnswers { ack, throttle }).ok_or_else(allowed)
}

/// `POST /v1/tenants`: the reseller's whose key it is, or whom the operator names.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", operation_id = "createTenant", summary = "Create a tenant (operator, reseller)",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    seller: Seller,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (now, body_hash) = (state.now(), body.hash());
    let wanted = body.value;
    // Keys of the operator have no tenant yet: they are told apart under none, a reseller's under itself.
    let root = TenantId(seller.reseller.map_or(0, |reseller| reseller.0));
    let tenant = Tenant {
        id: key.id(|k| TenantId::derived(root, k), |r| TenantId::random(now, r)),
        name: name(&wanted.name)?,
        created: now,
        unknown_after_ms: waiting(wanted.unknown_after_ms)?,
        resend_unknown: wanted.resend_unknown.unwrap_or(false),
        reseller: seller.reseller,
        weight: match wanted.weight {
            None => Tenant::WEIGHT,
            given => weight(given, seller)?,
        },
        frequency_cap: cap(wanted.frequency_cap)?,
        meta: answers(wanted.meta)?,
        body_hash,
    };
    if let Some(reseller) = seller.reseller {
        hint(&state, reseller, &tenant).await?;
    }
    // Before version 2 a tenant was as it was made.
    let same = |asked: &Tenant, stored: &Tenant| match stored.body_hash.as_str() {
        "" => {
            *asked == Tenant { created: asked.created, body_hash: asked.body_hash.clone(), ..stored.clone() }
        }
        hash => hash == asked.body_hash,
    };
    let created = create(&state, &key, tenant, same).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
}

/// By which the tenant is found in its reseller's list; written before it. One that leads nowhere harms nobody.
async fn hint(state: &ApiState, reseller: ResellerId, tenant: &Tenant) -> Result<(), Problem> {
    let hint = ResellerTenant { reseller, tenant: tenant.id, created: tenant.created };
    match state.nouns().create(&hint).await {
        // A repeat, or what a broken-off first time left.
        Ok(()) | Err(StoreError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// `GET /v1/tenants`: all, or the reseller's.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "listTenants", summary = "List tenants (operator, reseller)",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page; a reseller's can be short and have a next one all the same.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    seller: Seller,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let (limit, after) = (ask.limit()?, ask.after_record()?);
    let Some(reseller) = seller.reseller else {
        // A tenant is its own tenant, so all of them lie in the order of their ids.
        let found = state.nouns().all::<Tenant>(after.map(|(_, id)| (TenantId(id), id)), limit).await?;
        let cursor = found.last().map(|t| record_cursor(t.noun.created, t.noun.id.0));
        let data = found.into_iter().map(|t| t.noun.into()).collect();
        return Ok(axum::Json(Page::new(data, limit, cursor)));
    };
    let text = reseller.to_string();
    let index = Some((ResellerTenant::RESELLER, text.as_str()));
    let hints = state.nouns().page::<ResellerTenant>(TenantId::default(), index, after, limit).await?;
    let full = hints.len() == limit;
    let cursor =
        hints.last().filter(|_| full).map(|hint| record_cursor(hint.noun.created, hint.noun.tenant.0));
    let mut data = Vec::with_capacity(hints.len());
    for hint in hints {
        let found = state.nouns().get::<Tenant>(hint.noun.tenant, hint.noun.tenant.0).await?;
        data.extend(found.filter(|t| t.noun.reseller == Some(reseller)).map(|t| Shown::from(t.noun)));
    }
    Ok(axum::Json(Page::until(data, cursor)))
}

/// The operator's tenant, or the reseller's; another's is nobody's.
async fn found(state: &ApiState, seller: Seller, id: TenantId) -> Result<Versioned<Tenant>, Problem> {
    let found = state.nouns().get::<Tenant>(id, id.0).await?;
    let own = |tenant: &Tenant| seller.reseller.is_none() || tenant.reseller == seller.reseller;
    found.filter(|found| own(&found.noun)).ok_or_else(|| Problem::no_such("tenant"))
}

/// `GET /v1/tenants/{id}`
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "getTenant", summary = "Read a tenant (operator, reseller)",
    params(("id" = shapes::TenantId, Path, description = "The tenant.")), responses((status = 200, body = Shown, description = "The tenant.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    seller: Seller,
    Id(id): Id<TenantId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(found(&state, seller, id).await?.noun.into()))
}

/// `PATCH /v1/tenants/{id}`: a JSON merge patch. Twice comes to the same as once. The shards look at a tenant every few
/// seconds, so that it holds without a restart.
#[utoipa::path(patch, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "changeTenant", summary = "Change a tenant (JSON merge patch; operator, reseller)",
    params(("id" = shapes::TenantId, Path, description = "The tenant.")), request_body = Patch, responses((status = 200, body = Shown, description = "The tenant as it is now. What is sent heeds it within a few seconds.")))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    seller: Seller,
    Id(id): Id<TenantId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    for _ in 0..TRIES {
        let stored = found(&state, seller, id).await?;
        let mut tenant = stored.noun.clone();
        apply(&body.value, &mut tenant, seller)?;
        if tenant != stored.noun {
            match state.nouns().update(&tenant, stored.version).await {
                Ok(_) => {}
                // Somebody was faster: the patch goes onto what they wrote.
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(axum::Json(tenant.into()));
    }
    Err(StoreError::Conflict.into())
}

fn apply(patch: &Patch, tenant: &mut Tenant, seller: Seller) -> Result<(), Problem> {
    if let Some(given) = &patch.name {
        tenant.name = name(given)?;
    }
    if let Some(given) = patch.unknown_after_ms {
        tenant.unknown_after_ms = waiting(given)?;
    }
    if let Some(given) = patch.resend_unknown {
        tenant.resend_unknown = given.unwrap_or_default();
    }
    if let Some(given) = patch.weight {
        tenant.weight = weight(given, seller)?;
    }
    if let Some(given) = patch.frequency_cap {
        tenant.frequency_cap = cap(given)?;
    }
    if let Some(given) = patch.meta {
        tenant.meta = answers(given)?;
    }
    Ok(())
}
