//! A read mark in Meta's words, with or without the bubble of somebody typing.

use super::wamid;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use kabar_schema::records::Session;
use serde_json::{Map, Value, json};

/// `{"status": "read", "message_id": …, "typing_indicator": {"type": "text"}}`
pub(super) async fn mark(
    state: &ApiState,
    session: &Session,
    fields: &Map<String, Value>,
) -> Result<axum::Json<Value>, Problem> {
    let known = ["messaging_product", "status", "message_id", "typing_indicator", "recipient_type"];
    if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Problem::new(Code::UnknownField, format!("Unexpected key `{unknown}`.")).at(unknown));
    }
    if fields["status"] != "read" {
        return Err(Problem::invalid("status", "`read`"));
    }
    let id = fields.get("message_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| super::message::missing("message_id"))?;
    // Nobody reads their own message.
    if wamid::ours(id).is_some() {
        return Err(Problem::invalid("message_id", "a message that was received"));
    }
    let typing = match fields.get("typing_indicator") {
        None => false,
        Some(wanted) if wanted["type"] == "text" => true,
        Some(_) => return Err(Problem::invalid("typing_indicator", "{\"type\": \"text\"}")),
    };
    state.dispatcher.mark_read((session.tenant, session.id), id, typing).await?;
    Ok(axum::Json(json!({"success": true})))
}
