//! `/v1/sessions/{id}/profile`: what people read who open the number's profile in WhatsApp.

use super::account;
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::account::ProfileEdit;
use kabar_engine::id::{MediaId, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Meta's words for trades (the public reference, 2025).
const VERTICALS: [&str; 22] = [
    "OTHER",
    "AUTO",
    "BEAUTY",
    "APPAREL",
    "EDU",
    "ENTERTAIN",
    "EVENT_PLAN",
    "FINANCE",
    "GROCERY",
    "GOVT",
    "HOTEL",
    "HEALTH",
    "NONPROFIT",
    "PROF_SERVICES",
    "RETAIL",
    "TRAVEL",
    "RESTAURANT",
    "ALCOHOL",
    "ONLINE_GAMBLING",
    "PHYSICAL_GAMBLING",
    "OTC_DRUGS",
    "MATRIMONY_SERVICE",
];
/// Most websites, and longest one.
const WEBSITES: (usize, usize) = (2, 256);

/// What of a profile is replaced; what is not said stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProfileChange, example = json!({"about": "We answer from 9 to 5.", "websites": ["https://shop.example"], "vertical": "RETAIL"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// 1 to 139 characters.
    about: Option<String>,
    /// At most 256 characters; empty takes it back.
    address: Option<String>,
    /// At most 512 characters; empty takes it back.
    description: Option<String>,
    /// At most 128 characters; empty takes it back.
    email: Option<String>,
    /// At most two, each at most 256 characters; none takes them back.
    websites: Option<Vec<String>>,
    /// The trade, one of Meta's words.
    vertical: Option<String>,
    /// The handle of a picture that was uploaded to Meta.
    profile_picture_handle: Option<String>,
    /// A picture that is media of yours; it is uploaded to Meta.
    #[schema(value_type = Option<shapes::MediaId>)]
    picture: Option<MediaId>,
}

/// A profile as Meta has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
pub(crate) struct Shown {
    about: Option<String>,
    address: Option<String>,
    description: Option<String>,
    email: Option<String>,
    profile_picture_url: Option<String>,
    websites: Vec<String>,
    vertical: Option<String>,
}

impl From<Value> for Shown {
    fn from(said: Value) -> Self {
        let text = |field: &str| said[field].as_str().map(str::to_owned);
        let websites = said["websites"].as_array().into_iter().flatten();
        Self {
            about: text("about"),
            address: text("address"),
            description: text("description"),
            email: text("email"),
            profile_picture_url: text("profile_picture_url"),
            websites: websites.filter_map(|site| site.as_str().map(str::to_owned)).collect(),
            vertical: text("vertical"),
        }
    }
}

/// `GET /v1/sessions/{id}/profile`: asked at Meta.
#[utoipa::path(get, path = "/v1/sessions/{id}/profile", tag = "numbers", operation_id = "getProfile", summary = "Read the number's business profile at Meta",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 200, body = Shown, description = "As Meta has it.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable", "outcome_unknown"]))))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(account(&state, &whom, id).await?.profile().await?.into()))
}

/// `PUT /v1/sessions/{id}/profile`: twice comes to the same as once.
#[utoipa::path(put, path = "/v1/sessions/{id}/profile", tag = "numbers", operation_id = "changeProfile", summary = "Change the number's business profile at Meta",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 200, body = Shown, description = "As Meta has it now.")),
    extensions(("x-problems" = json!(["app_unknown", "unknown_reference", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Wanted>,
) -> Result<axum::Json<Shown>, Problem> {
    let account = account(&state, &whom, id).await?;
    let picture = body.value.picture;
    let mut edit = check(body.value)?;
    if let Some(picture) = picture {
        let handle = state.dispatcher.upload_sample(&account, picture).await;
        edit.profile_picture_handle = Some(handle.map_err(|error| Problem::from(error).at("picture"))?);
    }
    account.set_profile(&edit).await?;
    Ok(axum::Json(account.profile().await?.into()))
}

fn check(wanted: Wanted) -> Result<ProfileEdit, Problem> {
    for (field, text, min, max) in [
        ("about", &wanted.about, 1, 139),
        ("address", &wanted.address, 0, 256),
        ("description", &wanted.description, 0, 512),
        ("email", &wanted.email, 0, 128),
    ] {
        let length = text.as_ref().map(|text| text.chars().count());
        if length.is_some_and(|length| !(min..=max).contains(&length)) {
            return Err(Problem::invalid(field, format!("a text of {min} to {max} characters")));
        }
    }
    let site = |site: &String| site.starts_with("http") && site.len() <= WEBSITES.1;
    if wanted.websites.as_ref().is_some_and(|all| all.len() > WEBSITES.0 || !all.iter().all(site)) {
        let allowed = format!(
            "at most {} addresses of at most {} characters, each with http(s)://",
            WEBSITES.0, WEBSITES.1
        );
        return Err(Problem::invalid("websites", allowed));
    }
    if wanted.vertical.as_deref().is_some_and(|word| !VERTICALS.contains(&word)) {
        return Err(Problem::invalid("vertical", format!("one of {}", VERTICALS.join(", "))));
    }
    Ok(ProfileEdit {
        about: wanted.about,
        address: wanted.address,
        description: wanted.description,
        email: wanted.email,
        websites: wanted.websites,
        vertical: wanted.vertical,
        profile_picture_handle: wanted.profile_picture_handle,
    })
}
