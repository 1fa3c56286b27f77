//! Meta's nodes that are numbers, with the fields that are asked for: what Meta said of a number when it was last looked at.
//! And the nodes of other kinds that are read and written by their id alone.

use super::speak::Fields;
use super::{Node, media, no_such_object, session, template};
use crate::auth::For;
use crate::body::Query;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::{Request, State};
use kabar_engine::health::Health;
use kabar_schema::records::{AsOf, Newest, Number, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most numbers of an account that are shown.
const NUMBERS_MAX: usize = 200;

/// What a reading may ask for; whatever else stands in the query is Graph's own affair.
#[derive(Deserialize)]
pub(super) struct Asked {
    fields: Option<String>,
    /// Of which number a file is said to be.
    phone_number_id: Option<String>,
}

impl Asked {
    pub(super) fn fields(&self) -> Option<&str> {
        self.fields.as_deref()
    }
}

/// Whether the number that a file is said to be of is the caller's, where one is named.
async fn owned(state: &ApiState, whom: &For, number: Option<&str>) -> Result<(), Problem> {
    match number {
        Some(number) => session(state, whom, number).await.map(drop),
        None => Ok(()),
    }
}

/// `GET /{version}/{id}`: a number, a file or a template.
pub(super) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Node(id): Node,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<axum::Json<Value>, Problem> {
    match session(&state, &whom, &id).await {
        Ok(session) => {
            let number = state.dispatcher.number(whom.tenant, session.id).await?;
            let health = state.node.health(whom.tenant, session.id).await?;
            return Ok(axum::Json(selected(shown(&session, number.as_deref(), &health), asked.fields())));
        }
        Err(problem) if problem.code() == Code::NotFound => {}
        Err(problem) => return Err(problem),
    }
    owned(&state, &whom, asked.phone_number_id.as_deref()).await?;
    if let Some(file) = media::described(&state, &whom, (&id, request.uri(), request.headers())).await? {
        return Ok(axum::Json(selected(file, asked.fields())));
    }
    let found = template::one(&state, &whom, &id, asked.fields()).await?;
    found.map(axum::Json).ok_or_else(no_such_object)
}

/// `POST /{version}/{id}`: a template is changed. What Meta lets a number be told stands under `/v1/sessions`.
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(id): Node,
    body: Fields,
) -> Result<axum::Json<Value>, Problem> {
    let done = template::edit(&state, &whom, (&id, body.value)).await?;
    done.map(axum::Json).ok_or_else(no_such_object)
}

/// `DELETE /{version}/{id}`: a file is deleted.
pub(super) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Node(id): Node,
    Query(said): Query<Asked>,
) -> Result<axum::Json<Value>, Problem> {
    owned(&state, &whom, said.phone_number_id.as_deref()).await?;
    let gone = media::delete(&state, &whom, &id).await?;
    if gone { Ok(axum::Json(json!({"success": true}))) } else { Err(no_such_object()) }
}

/// `GET /{version}/{waba_id}/phone_numbers`: those that are linked here.
pub(super) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Value>, Problem> {
    let index = Some((Number::WABA_ID, waba.as_str()));
    let numbers = state.nouns().page::<Number>(whom.tenant, index, None, NUMBERS_MAX).await?;
    let mut data = Vec::new();
    for number in numbers.into_iter().map(|found| found.noun).filter(|number| whom.may_use(number.session)) {
        if let Some(found) = state.nouns().get::<Session>(whom.tenant, number.session.0).await? {
            let health = state.node.health(whom.tenant, number.session).await?;
            data.push(selected(shown(&found.noun, Some(&number), &health), asked.fields()));
        }
    }
    if data.is_empty() {
        return Err(no_such_object());
    }
    Ok(axum::Json(json!({ "data": data })))
}

/// A number as Meta showed it when it was last looked at, with what webhooks said since.
fn shown(session: &Session, number: Option<&Number>, health: &Health) -> Value {
    let mut shown = number.map(|number| number.said.clone()).unwrap_or_default();
    let unknown = Number::unknown(session.tenant, session.id, session.created);
    let Newest { quality, throughput, tier } = number.unwrap_or(&unknown).newest(health);
    let word = |word: Option<AsOf>| word.map(|word| Value::from(word.value));
    let newest = [
        ("quality_rating", word(quality)),
        ("throughput", throughput.map(|word| json!({ "level": word.value }))),
        ("whatsapp_business_manager_messaging_limit", word(tier)),
    ];
    shown.extend(newest.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    let level = if session.messages_per_second >= 1_000 { "HIGH" } else { "STANDARD" };
    let own = [
        ("verified_name", session.name.clone().into()),
        ("platform_type", "CLOUD_API".into()),
        ("throughput", json!({ "level": level })),
    ];
    for (field, value) in own {
        shown.entry(field).or_insert(value);
    }
    shown.insert("id".into(), session.phone_number_id.clone().into());
    shown.insert("display_phone_number".into(), session.display_phone_number.clone().into());
    Value::Object(shown)
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
