//! Meta's templates in Meta's words, by the account they are of or their own id: what is read is Kabar's copy, read at Meta
//! first where it never was; what is written goes to Meta.

use super::speak::{Fields, origin, typed};
use super::{Node, no_such_object};
use crate::auth::For;
use crate::body::{Idempotent, Query, refusal};
use crate::problem::Problem;
use crate::routes::provider_template;
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::Uri;
use kabar_actors::account::{NewProviderTemplate, ProviderTemplateEdit};
use kabar_engine::id::SessionId;
use kabar_schema::records::ProviderTemplate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Most templates on a page, and when nothing is said.
const LIMIT_MAX: usize = 200;
const LIMIT: usize = 25;
/// Copies looked through for one page.
const LOOKED_MAX: usize = 10_000;
/// Copies read at once.
const READ: usize = 200;

/// What a list may be asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
    name: Option<String>,
    status: Option<String>,
    language: Option<String>,
    category: Option<String>,
}

/// What names those to be deleted.
#[derive(Deserialize)]
pub(super) struct Named {
    name: Option<String>,
    hsm_id: Option<String>,
}

/// The session through which an account is reached.
pub(super) async fn session_of(state: &ApiState, whom: &For, waba: &str) -> Result<SessionId, Problem> {
    let sessions = state.dispatcher.sessions_of_waba(whom.tenant, waba).await?;
    // A key for some numbers reaches the account through one of them.
    let may = sessions.iter().find(|session| whom.check_session(**session).is_ok());
    let session = may.or(sessions.first()).copied().ok_or_else(no_such_object)?;
    whom.check_session(session)?;
    Ok(session)
}

/// `GET /{version}/{waba_id}/message_templates`
pub(super) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    if asked.before.as_deref().is_some_and(|place| !place.is_empty()) {
        return Err(Problem::invalid("before", "left out: pages are read forwards, with `after`"));
    }
    if state.dispatcher.template_sync(whom.tenant, &waba).await?.is_none() {
        state.dispatcher.sync_provider_templates(whom.tenant, session).await?;
    }
    let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let mut after = asked.after.as_deref().filter(|place| !place.is_empty()).map(cursor).transpose()?;
    let (mut data, mut looked, mut more) = (Vec::new(), 0, true);
    while data.len() < limit && more && looked < LOOKED_MAX {
        let index = Some((ProviderTemplate::WABA_ID, waba.as_str()));
        let page = state.nouns().page::<ProviderTemplate>(whom.tenant, index, after, READ).await?;
        (more, looked) = (page.len() == READ, looked + page.len());
        let mut rest = page.into_iter().map(|found| found.noun).peekable();
        while let Some(template) = rest.next() {
            after = Some((template.created, template.id));
            if fits(&asked, &template) {
                data.push(super::number::selected(template.to_meta(), asked.fields.as_deref()));
                if data.len() == limit {
                    more |= rest.peek().is_some();
                    break;
                }
            }
        }
    }
    let mut answer = json!({"data": data, "paging": {"cursors": {}}});
    if let Some((created, id)) = after {
        let place = format!("{}.{id}", created.0);
        answer["paging"]["cursors"] = json!({ "after": place });
        if more {
            let origin = origin(&state, request.uri(), request.headers());
            answer["paging"]["next"] = format!("{origin}{}", next(request.uri(), limit, &place)).into();
        }
    }
    Ok(axum::Json(answer))
}

/// Where the page behind this place is: the same question, asked from there on.
fn next(uri: &Uri, limit: usize, place: &str) -> String {
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.filter(|(name, _)| !matches!(name.as_ref(), "limit" | "after" | "before")));
    query.append_pair("limit", &limit.to_string()).append_pair("after", place);
    format!("{}?{}", uri.path(), query.finish())
}

fn cursor(text: &str) -> Result<(kabar_engine::time::Timestamp, u64), Problem> {
    let place = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    let (at, id) = place.ok_or_else(|| Problem::invalid("after", "the `after` of an earlier page"))?;
    Ok((kabar_engine::time::Timestamp(at), id))
}

fn fits(asked: &Asked, template: &ProviderTemplate) -> bool {
    let same = |wanted: &Option<String>, is: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    template.status != "DELETED"
        && asked.name.as_deref().is_none_or(|name| template.name.contains(name))
        && same(&asked.status, &template.status)
        && same(&asked.language, &template.language)
        && same(&asked.category, template.category.as_deref().unwrap_or_default())
}

/// Fields of a template that are texts even where they look like a number.
const TEXTS: [&str; 2] = ["name", "library_template_name"];

/// A template as it was written, in a form perhaps: there every value is a text.
fn read<T: DeserializeOwned>(mut fields: Map<String, Value>) -> Result<T, Problem> {
    fields.iter_mut().filter(|(name, _)| !TEXTS.contains(&name.as_str())).for_each(|(_, value)| typed(value));
    serde_json::from_value(Value::Object(fields)).map_err(|error| refusal(&error))
}

/// `POST /{version}/{waba_id}/message_templates`
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    key: Idempotent,
    body: Fields,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    let wanted: NewProviderTemplate = read(body.value)?;
    let (made, _) = provider_template::make(&state, &whom, session, (wanted, &key, &body.bytes)).await?;
    Ok(axum::Json(json!({"id": made.provider_id, "status": made.status, "category": made.category})))
}

/// `DELETE /{version}/{waba_id}/message_templates`
pub(super) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    Query(named): Query<Named>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    let name = named.name.ok_or_else(|| super::message::missing("name"))?;
    let of = (whom.tenant, session);
    state.dispatcher.delete_provider_template(of, &name, named.hsm_id.as_deref()).await?;
    Ok(axum::Json(json!({"success": true})))
}

/// The tenant's template with Meta's id, and the session its account is reached through.
async fn found(
    state: &ApiState,
    whom: &For,
    id: &str,
) -> Result<Option<(SessionId, ProviderTemplate)>, Problem> {
    let index = Some((ProviderTemplate::PROVIDER_ID, id));
    let page = state.nouns().page::<ProviderTemplate>(whom.tenant, index, None, 1).await?;
    let Some(template) = page.into_iter().next().map(|found| found.noun) else { return Ok(None) };
    let session = session_of(state, whom, &template.waba_id).await?;
    Ok(Some((session, template)))
}

/// One by its id; `None` when the id names none of the tenant's.
pub(super) async fn one(
    state: &ApiState,
    whom: &For,
    id: &str,
    fields: Option<&str>,
) -> Result<Option<Value>, Problem> {
    let found = found(state, whom, id).await?;
    Ok(found.map(|(_, template)| super::number::selected(template.to_meta(), fields)))
}

/// Changes one; `None` when the id names none of the tenant's.
pub(super) async fn edit(
    state: &ApiState,
    whom: &For,
    (id, body): (&str, Map<String, Value>),
) -> Result<Option<Value>, Problem> {
    let Some((session, _)) = found(state, whom, id).await? else { return Ok(None) };
    let edit: ProviderTemplateEdit = read(body)?;
    state.dispatcher.edit_provider_template((whom.tenant, session), id, &edit).await?;
    Ok(Some(json!({"success": true})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_of_a_form_has_its_numbers_and_what_is_not_known_here_is_passed_on_to_meta() {
        let written = json!({"name": "1", "language": "id", "category": "UTILITY", "components": [],
            "message_send_ttl_seconds": "3600", "cta_url_link_tracking_opted_out": "true", "sub_category": "ORDER_STATUS"});
        let Value::Object(fields) = written else { unreachable!("an object was written") };
        let wanted: NewProviderTemplate = read(fields).unwrap();
        let told = json!({"name": "1", "language": "id", "category": "UTILITY", "components": [],
            "message_send_ttl_seconds": 3600, "cta_url_link_tracking_opted_out": true, "sub_category": "ORDER_STATUS"});
        assert_eq!(serde_json::to_value(wanted).unwrap(), told);
    }

    #[test]
    fn the_next_page_is_asked_for_as_the_first_was() {
        let uri: Uri = "/v23.0/102/message_templates?fields=name%2Cid&limit=2&after=1.2&status=APPROVED"
            .parse()
            .unwrap();
        assert_eq!(
            next(&uri, 2, "3.4"),
            "/v23.0/102/message_templates?fields=name%2Cid&status=APPROVED&limit=2&after=3.4"
        );
    }
}
