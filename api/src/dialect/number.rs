//! Meta's nodes that are numbers: a phone number by its id with the fields that are asked for, and the numbers of an account.
//! What is shown is what the session knows; nobody is asked for it.

use super::{Node, session};
use crate::auth::For;
use crate::body::Query;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use kabar_schema::records::Session;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a reading may ask for; whatever else stands in the query is Graph's own affair.
#[derive(Deserialize)]
pub(super) struct Asked {
    fields: Option<String>,
}

/// `GET /{version}/{id}`
pub(super) async fn node(
    State(state): State<ApiState>,
    whom: For,
    Node(id): Node,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session(&state, &whom, &id).await?;
    Ok(axum::Json(selected(shown(&session), asked.fields.as_deref())))
}

/// A number as Meta shows it.
pub(super) fn shown(session: &Session) -> Value {
    let level = if session.messages_per_second >= 1_000 { "HIGH" } else { "STANDARD" };
    json!({
        "id": session.phone_number_id,
        "display_phone_number": session.display_phone_number,
        "verified_name": session.name,
        "platform_type": "CLOUD_API",
        "throughput": {"level": level},
    })
}

/// `?fields=a,b`: only those that there are, and always the id. What stands in braces behind a field is not looked at.
pub(super) fn selected(object: Value, fields: Option<&str>) -> Value {
    let (Value::Object(all), Some(fields)) = (&object, fields) else { return object };
    let (mut depth, mut plain) = (0_u32, String::new());
    for c in fields.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let wanted: Vec<&str> = plain.split(',').map(str::trim).chain(["id"]).collect();
    let kept = all.iter().filter(|(key, _)| wanted.contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}
