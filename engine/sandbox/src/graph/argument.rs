//! What a management call is given: query, form or JSON body, in one map; and how an answer is cut to the fields and
//! the page that were asked for. Not what any of it means.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use super::collect;
use super::refusal::Refusal;

/// Meta's own bound is lower; this one only keeps the sandbox's memory.
pub(super) const BODY_LIMIT: usize = 1 << 20;
const PAGE_DEFAULT: usize = 25;
const PAGE_LIMIT: usize = 1_000;

/// The parameters of one call, the body's before the query's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(super) async fn read(head: &Parts, body: Incoming) -> Result<Self, Refusal> {
        let mut all: Map<String, Value> = pairs(head.uri.query().unwrap_or_default())
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        let raw = collect(body, BODY_LIMIT)
            .await
            .ok_or_else(|| Refusal::parameter("The request body could not be read."))?;
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            all.extend(pairs(&String::from_utf8_lossy(&raw)).map(|(key, value)| (key, from_form(value))));
        } else if !raw.is_empty() {
            match serde_json::from_slice(&raw) {
                Ok(Value::Object(given)) => all.extend(given),
                Ok(Value::Null) => {}
                _ => return Err(Refusal::parameter("The request body is not valid JSON.")),
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A text; numbers count as their digits.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub(crate) fn required(&self, key: &str) -> Result<String, Refusal> {
        self.text(key).filter(|text| !text.is_empty()).ok_or_else(|| Refusal::required(key))
    }

    /// A whole number, written as one or as its digits.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::parameter(&format!("Param {key} must be an integer.")))
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether `messaging_product` says what it must.
    pub(crate) fn of_whatsapp(&self) -> Result<(), Refusal> {
        match self.required("messaging_product")?.as_str() {
            "whatsapp" => Ok(()),
            _ => Err(Refusal::parameter("Param messaging_product must be one of {WHATSAPP}")),
        }
    }

    /// Everything that was given.
    pub(crate) fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// One page of a list whose items are named by a key that orders them.
    pub(crate) fn page(&self, items: Vec<(String, Value)>, path: &str) -> Result<Value, Refusal> {
        let limit = self.number("limit")?.unwrap_or(PAGE_DEFAULT as i64);
        let limit = usize::try_from(limit).unwrap_or(0).clamp(1, PAGE_LIMIT);
        let cursor = |key: &str| self.text(key).map(|text| read_cursor(&text)).transpose();
        let (after, before) = (cursor("after")?, cursor("before")?);
        let from = after.map_or(0, |after| items.partition_point(|(key, _)| *key <= after));
        let upto = before.map_or(items.len(), |before| items.partition_point(|(key, _)| *key < before));
        let page = items.get(from..upto.max(from)).unwrap_or_default();
        // `before` walks backwards: the page ends in front of it
        let page = if self.get("before").is_some() {
            &page[page.len().saturating_sub(limit)..]
        } else {
            &page[..page.len().min(limit)]
        };
        let data: Vec<Value> = page.iter().map(|(_, item)| self.select(item.clone())).collect();
        let mut answer = json!({ "data": data });
        if let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) {
            answer["paging"] =
                json!({"cursors": {"before": write_cursor(first), "after": write_cursor(last)}});
            if items.last().is_some_and(|(key, _)| key > last) {
                answer["paging"]["next"] =
                    Value::from(format!("{path}?limit={limit}&after={}", write_cursor(last)));
            }
            if items.first().is_some_and(|(key, _)| key < first) {
                answer["paging"]["previous"] =
                    Value::from(format!("{path}?limit={limit}&before={}", write_cursor(first)));
            }
        }
        Ok(answer)
    }

    /// `fields=a,b{c}`: only those, and always the id.
    pub(crate) fn select(&self, object: Value) -> Value {
        match self.text("fields") {
            Some(fields) => select(object, &fields),
            None => object,
        }
    }
}

/// Keeps the named fields of an object, `id` always.
pub(super) fn select(object: Value, fields: &str) -> Value {
    let Value::Object(all) = object else { return object };
    let wanted: Vec<(&str, Option<&str>)> = split(fields).chain([("id", None)]).collect();
    let kept = all.into_iter().filter_map(|(key, value)| {
        let (_, inner) = wanted.iter().find(|(name, _)| *name == key)?;
        let value = match inner {
            Some(inner) if value.is_object() => select(value, inner),
            _ => value,
        };
        Some((key, value))
    });
    Value::Object(kept.collect())
}

/// Names at the top of a field list, each with what stands in its braces; modifiers behind a dot are left out.
fn split(fields: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = fields;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut depth = 0_usize;
        let end = rest.find(|sign| {
            match sign {
                '{' | '(' => depth += 1,
                '}' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            sign == ',' && depth == 0
        });
        let (field, behind) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
        rest = behind;
        let inner = field.split_once('{').map(|(_, inner)| inner.trim_end_matches('}'));
        let name = field.split(['{', '.', '(']).next().unwrap_or_default().trim();
        Some((name, inner))
    })
}

fn write_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

fn read_cursor(text: &str) -> Result<String, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Refusal::parameter("Invalid cursor: it is none this edge gave."))
}

/// Graph takes objects and lists of a form as JSON in text.
fn from_form(text: String) -> Value {
    if text.starts_with(['{', '[']) {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    } else {
        Value::String(text)
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let code = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(code.unwrap_or(b'%'));
            }
            plain => bytes.push(plain),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(query: &str) -> Arguments {
        Arguments(pairs(query).map(|(key, value)| (key, Value::String(value))).collect())
    }

    #[test]
    fn fields_select_also_inside_braces_and_keep_the_id() {
        let whole = json!({"id": "1", "a": {"x": 1, "y": 2}, "b": 3, "c": 4});
        assert_eq!(select(whole, "a{x},b.limit(2)"), json!({"id": "1", "a": {"x": 1}, "b": 3}));
    }

    #[test]
    fn pages_follow_their_cursors_to_the_end_and_back() {
        let items: Vec<_> = (0..5).map(|n| (n.to_string(), json!({"id": n}))).collect();
        let first = given("limit=2").page(items.clone(), "/x").unwrap();
        assert_eq!(first["data"], json!([{"id": 0}, {"id": 1}]));
        assert!(first["paging"].get("previous").is_none());
        let after = first["paging"]["cursors"]["after"].as_str().unwrap();
        let second = given(&format!("limit=2&after={after}")).page(items.clone(), "/x").unwrap();
        assert_eq!(second["data"], json!([{"id": 2}, {"id": 3}]));
        let before = second["paging"]["cursors"]["before"].as_str().unwrap();
        let back = given(&format!("limit=1&before={before}")).page(items.clone(), "/x").unwrap();
        assert_eq!(back["data"], json!([{"id": 1}]));
        assert!(given("after=!!").page(items, "/x").is_err());
    }

    #[test]
    fn a_query_is_decoded() {
        let arguments = given("name=a%20b+c%26d&limit=7&on=true");
        assert_eq!(arguments.text("name").as_deref(), Some("a b c&d"));
        assert_eq!(arguments.number("limit").unwrap(), Some(7));
        assert_eq!(arguments.flag("on"), Some(true));
        assert!(arguments.required("missing").is_err());
    }
}
