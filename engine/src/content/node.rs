//! A place in a JSON value that knows its path, for checks that name it. Paths are written only in errors.

use super::ContentError;
use serde_json::Value;

/// One place: a value, or the absence of one.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    value: Option<&'a Value>,
    parent: Option<&'a Node<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Node<'a> {
    pub(super) fn root(name: &'a str, value: &'a Value) -> Self {
        Self { value: Some(value), parent: None, step: Step::Key(name) }
    }

    pub(super) fn key(&'a self, key: &'a str) -> Node<'a> {
        Node { value: self.value.and_then(|v| v.get(key)), parent: Some(self), step: Step::Key(key) }
    }

    /// The items of an array; none when it is absent.
    pub(super) fn items(&'a self) -> impl Iterator<Item = Node<'a>> {
        self.value.and_then(Value::as_array).into_iter().flatten().enumerate().map(|(index, value)| Node {
            value: Some(value),
            parent: Some(self),
            step: Step::Index(index),
        })
    }

    pub(super) fn path(&self) -> String {
        let mut path = self.parent.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
        path
    }

    pub(super) fn value(&self) -> Option<&'a Value> {
        self.value
    }

    pub(super) fn exists(&self) -> bool {
        self.value.is_some_and(|value| !value.is_null())
    }

    /// The string here, `None` when it is absent or of another kind.
    pub(super) fn str(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    pub(super) fn missing(&self) -> ContentError {
        ContentError::Missing { path: self.path() }
    }

    pub(super) fn invalid(&self, expected: &str) -> ContentError {
        ContentError::Invalid { path: self.path(), expected: expected.to_owned() }
    }

    /// A string that must be there, not blank and at most `limit` characters.
    pub(super) fn text(&self, limit: usize) -> Result<&'a str, ContentError> {
        match self.value {
            None | Some(Value::Null) => Err(self.missing()),
            Some(Value::String(text)) if text.trim().is_empty() => Err(self.missing()),
            Some(Value::String(text)) => within(text, limit, || self.path()).map(|()| text.as_str()),
            Some(_) => Err(self.invalid("a string")),
        }
    }

    /// Like [`Node::text`], but it may be absent.
    pub(super) fn text_if_any(&self, limit: usize) -> Result<(), ContentError> {
        if self.exists() { self.text(limit).map(|_| ()) } else { Ok(()) }
    }

    /// An array that must be there with `min` to `max` items.
    pub(super) fn count(&self, min: usize, max: usize) -> Result<usize, ContentError> {
        match self.value {
            None | Some(Value::Null) => Err(self.missing()),
            Some(Value::Array(items)) if (min..=max).contains(&items.len()) => Ok(items.len()),
            Some(Value::Array(items)) => {
                Err(ContentError::Count { path: self.path(), min, max, value: items.len() })
            }
            Some(_) => Err(self.invalid("an array")),
        }
    }

    pub(super) fn refuse_if_any(&self, reason: &'static str) -> Result<(), ContentError> {
        if self.exists() { Err(ContentError::NotAllowed { path: self.path(), reason }) } else { Ok(()) }
    }
}

/// At most `limit` characters.
pub(super) fn within(text: &str, limit: usize, path: impl Fn() -> String) -> Result<(), ContentError> {
    // Bytes are never fewer than characters: the usual text is not counted.
    if text.len() <= limit {
        return Ok(());
    }
    let value = text.chars().count();
    if value <= limit { Ok(()) } else { Err(ContentError::TooLong { path: path(), limit, value }) }
}
