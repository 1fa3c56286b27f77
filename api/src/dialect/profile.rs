//! A number's profile in Meta's words: asked for and written at Meta.

use super::{Node, session};
use crate::auth::For;
use crate::body::{Json, Query};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::account::ProfileEdit;
use serde_json::{Map, Value, json};

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
    body: Json<Map<String, Value>>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session(&state, &whom, &number).await?;
    let mut fields = body.value;
    fields.remove("messaging_product");
    let edit: ProfileEdit = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Problem::new(Code::InvalidValue, format!("{error}.")))?;
    let account = state.dispatcher.account(whom.tenant, session.id).await?;
    account.set_profile(&edit).await?;
    Ok(axum::Json(json!({"success": true})))
}
