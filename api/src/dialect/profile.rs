//! A number's profile in Meta's words: asked for and written at Meta.

use super::speak::Fields;
use super::{Node, session};
use crate::auth::For;
use crate::body::Query;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::account::ProfileEdit;
use serde_json::{Value, json};

/// What can be changed.
const KEYS: [&str; 7] =
    ["about", "address", "description", "email", "websites", "vertical", "profile_picture_handle"];

/// `GET /{version}/{phone_number_id}/whatsapp_business_profile`
pub(super) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Node(number): Node,
    Query(asked): Query<super::number::Asked>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session(&state, &whom, &number).await?;
    let account = state.dispatcher.account(whom.tenant, session.id).await?;
    let profile = super::number::selected(account.profile().await?, asked.fields());
    Ok(axum::Json(json!({"data": [profile]})))
}

/// `POST /{version}/{phone_number_id}/whatsapp_business_profile`
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(number): Node,
    body: Fields,
) -> Result<axum::Json<Value>, Problem> {
    let session = session(&state, &whom, &number).await?;
    let mut fields = body.value;
    fields.remove("messaging_product");
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Problem::new(Code::UnknownField, format!("Unexpected key `{unknown}`.")).at(unknown));
    }
    let edit: ProfileEdit = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Problem::new(Code::InvalidValue, format!("{error}.")))?;
    let account = state.dispatcher.account(whom.tenant, session.id).await?;
    account.set_profile(&edit).await?;
    Ok(axum::Json(json!({"success": true})))
}
