//! Keyset pages: `{"data": […], "next": "…"}`. The cursor is opaque outside; inside it is where the page ended.

use crate::problem::{Code, Problem};
use crate::state::ApiState;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kabar_engine::address::Address;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use kabar_schema::records::Noun;
use serde::{Deserialize, Serialize};

/// Most things on one page.
const LIMIT_MAX: usize = 200;
/// Looks for one page among things that are not wanted.
const LOOKS_MAX: usize = 32;
/// Things on a page when nothing is asked.
const LIMIT: usize = 50;

/// The query of every list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Ask {
    /// Things on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl Ask {
    /// A question with these parts.
    pub(crate) fn new(limit: Option<usize>, after: Option<String>) -> Self {
        Self { limit, after }
    }

    /// How many are wanted.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        let refused = format!("`limit` must be from 1 to {LIMIT_MAX}.");
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::new(Code::InvalidQuery, refused))
        }
    }

    fn cursor(&self) -> Result<Option<String>, Problem> {
        let Some(after) = self.after.as_deref().filter(|a| !a.is_empty()) else { return Ok(None) };
        let read = URL_SAFE_NO_PAD.decode(after).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        read.map(Some).ok_or_else(wrong_cursor)
    }

    /// Behind which record the page begins.
    pub(crate) fn after_record(&self) -> Result<Option<(Timestamp, u64)>, Problem> {
        let Some(cursor) = self.cursor()? else { return Ok(None) };
        let parts = cursor
            .split_once('.')
            .and_then(|(created, id)| Some((Timestamp(created.parse().ok()?), id.parse().ok()?)));
        parts.map(Some).ok_or_else(wrong_cursor)
    }

    /// Behind which address the page begins.
    pub(crate) fn after_address(&self) -> Result<Option<Address>, Problem> {
        let Some(cursor) = self.cursor()? else { return Ok(None) };
        Address::from_key(&cursor).map(Some).map_err(|_| wrong_cursor())
    }

    /// Behind which place of somebody else's list the page begins.
    pub(crate) fn after_text(&self) -> Result<Option<String>, Problem> {
        self.cursor()
    }

    /// Behind which id the page begins.
    pub(crate) fn after_id(&self) -> Result<Option<u64>, Problem> {
        let Some(cursor) = self.cursor()? else { return Ok(None) };
        cursor.parse().map(Some).map_err(|_| wrong_cursor())
    }
}

fn wrong_cursor() -> Problem {
    Problem::new(Code::InvalidQuery, "`after` must be the `next` of an earlier page.")
}

/// A cursor behind a record.
pub(crate) fn record_cursor(created: Timestamp, id: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{id}", created.0))
}

/// A cursor behind an address.
pub(crate) fn address_cursor(address: &Address) -> String {
    URL_SAFE_NO_PAD.encode(address.key())
}

/// A cursor that is somebody else's.
pub(crate) fn text_cursor(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A cursor behind an id.
pub(crate) fn id_cursor(id: u64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

/// A page.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    /// The things, in a fixed order.
    data: Vec<T>,
    /// What to ask `after` for the next page; null on the last.
    next: Option<String>,
}

impl<T> Page<T> {
    /// What was found, the cursor behind its last one, and whether it filled the page.
    pub(crate) fn new(data: Vec<T>, limit: usize, cursor: Option<String>) -> Self {
        let next = cursor.filter(|_| data.len() == limit);
        Self { data, next }
    }
}

impl<T> Page<T> {
    /// What was found, and where to go on, which whoever looked knows.
    pub(crate) fn until(data: Vec<T>, next: Option<String>) -> Self {
        Self { data, next }
    }
}

/// A page of a tenant's records of one noun, the oldest first.
pub(crate) async fn records<N: Noun, S: From<N>>(
    state: &ApiState,
    tenant: TenantId,
    ask: &Ask,
) -> Result<axum::Json<Page<S>>, Problem> {
    chosen(state, tenant, None, ask, |_: &N| true).await
}

/// A page of those that have this value in an index, or of all, and are wanted. Where few are, a page can be short and have
/// a next one all the same.
pub(crate) async fn chosen<N: Noun, S: From<N>>(
    state: &ApiState,
    tenant: TenantId,
    index: Option<(&'static str, &str)>,
    ask: &Ask,
    wanted: impl Fn(&N) -> bool,
) -> Result<axum::Json<Page<S>>, Problem> {
    let (limit, mut after, mut data) = (ask.limit()?, ask.after_record()?, Vec::new());
    for _ in 0..LOOKS_MAX {
        let found = state.nouns().page::<N>(tenant, index, after, limit).await?;
        let ended = found.len() < limit;
        for noun in found.into_iter().map(|found| found.noun) {
            after = Some((noun.created(), noun.id()));
            if wanted(&noun) {
                data.push(S::from(noun));
            }
            if data.len() == limit {
                return Ok(axum::Json(Page::until(data, after.map(|(at, id)| record_cursor(at, id)))));
            }
        }
        if ended {
            return Ok(axum::Json(Page::until(data, None)));
        }
    }
    Ok(axum::Json(Page::until(data, after.map(|(at, id)| record_cursor(at, id)))))
}

/// A moment as RFC 3339 in UTC.
pub(crate) struct Time(pub(crate) Timestamp);

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        crate::openapi::shapes::moment()
    }
}

impl utoipa::ToSchema for Time {}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_and_a_made_up_one_is_refused() {
        let ask = Ask::new(None, Some(record_cursor(Timestamp(17), 42)));
        assert_eq!(ask.after_record().unwrap(), Some((Timestamp(17), 42)));
        let address = Address::phone_digits("6281234567890").unwrap();
        let ask = Ask::new(Some(200), Some(address_cursor(&address)));
        assert_eq!((ask.after_address().unwrap(), ask.limit().unwrap()), (Some(address), 200));
        let ask = Ask::new(None, Some(id_cursor(u64::MAX >> 1)));
        assert_eq!(ask.after_id().unwrap(), Some(u64::MAX >> 1));
        assert!(Ask::new(None, Some(record_cursor(Timestamp(17), 42))).after_id().is_err());
        for wrong in ["?", "AAAA", "MTc"] {
            assert!(Ask::new(None, Some(wrong.into())).after_record().is_err(), "{wrong}");
        }
        assert!(Ask::new(Some(0), None).limit().is_err() && Ask::new(Some(201), None).limit().is_err());
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        assert_eq!(Page::new(vec![1, 2], 2, Some("x".into())).next.as_deref(), Some("x"));
        assert_eq!(Page::new(vec![1], 2, Some("x".into())).next, None);
    }
}
