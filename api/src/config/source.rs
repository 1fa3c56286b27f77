//! Where a value comes from: the embedded defaults, a file over them, the environment over both; and the typed
//! reading of a value, with the key's name and the allowed range in every refusal. Knows no key by itself.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use toml::Value;

/// What environment variables of this configuration begin with.
const PREFIX: &str = "KABAR__";

/// Why a configuration cannot be used. One sentence that names the key, where it stands, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {file} cannot be read: {why}")]
    File {
        /// The file as it was named.
        file: String,
        /// The system's answer.
        why: String,
    },
    /// The file is not TOML.
    #[error("the configuration file {file} is not TOML: {why}")]
    Toml {
        /// The file as it was named.
        file: String,
        /// The parser's answer, with line and column.
        why: String,
    },
    /// There is no such key.
    #[error("there is no key `{key}` ({origin}); {hint}")]
    UnknownKey {
        /// The key, `section.key`.
        key: String,
        /// Where it stands.
        origin: String,
        /// Which keys there are.
        hint: String,
    },
    /// A value is not allowed.
    #[error("`{key}` is {given} ({origin}); allowed is {allowed}")]
    Value {
        /// The key, `section.key`.
        key: String,
        /// What was given; secrets are not shown.
        given: String,
        /// Where it stands.
        origin: String,
        /// What it may be.
        allowed: String,
    },
}

#[derive(Debug, Clone)]
struct Given {
    value: Value,
    origin: String,
}

/// All values by `section.key`, the strongest layer on top.
#[derive(Debug)]
pub(super) struct Source {
    values: BTreeMap<String, Given>,
}

impl Source {
    /// The defaults and `more` keys that are not documented in them.
    pub(super) fn new(defaults: &str, more: &[(&str, &str)]) -> Self {
        let table: toml::Table = defaults.parse().expect("invariant: the embedded defaults are TOML");
        let mut values: BTreeMap<_, _> =
            flat(&table).into_iter().map(|(key, value)| (key, given(value, "the default"))).collect();
        for (key, value) in more {
            values.insert((*key).to_owned(), given(Value::from(*value), "the default"));
        }
        Self { values }
    }

    /// Lays a file over what is there.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { file: file.clone(), why: error.to_string() })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Toml {
            file: file.clone(),
            why: error.to_string().trim().replace('\n', " "),
        })?;
        for (key, value) in flat(&table) {
            self.lay(key, value, &format!("in {file}"))?;
        }
        Ok(())
    }

    /// Lays the environment's `KABAR__SECTION__KEY` over what is there.
    pub(super) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let mut ours: Vec<_> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        for (name, text) in ours {
            let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            self.lay(key, Value::from(text), &format!("in the environment as {name}"))?;
        }
        Ok(())
    }

    fn lay(&mut self, key: String, value: Value, origin: &str) -> Result<(), ConfigError> {
        if !self.values.contains_key(&key) {
            let hint = self.hint(&key);
            return Err(ConfigError::UnknownKey { key, origin: origin.to_owned(), hint });
        }
        self.values.insert(key, given(value, origin));
        Ok(())
    }

    /// The keys of the section, or the sections when there is no such one.
    fn hint(&self, key: &str) -> String {
        let section = key.split('.').next().unwrap_or_default();
        let keys = |mine: bool| {
            let all =
                self.values.keys().filter(|k| !k.starts_with("test.")).filter_map(|k| k.split_once('.'));
            let mut names: Vec<_> =
                all.filter(|(s, _)| !mine || *s == section).map(|(s, k)| if mine { k } else { s }).collect();
            names.dedup();
            names.join(", ")
        };
        let mine = keys(true);
        if mine.is_empty() {
            format!("sections are {}", keys(false))
        } else {
            format!("[{section}] has {mine}")
        }
    }

    fn get(&self, key: &str) -> &Given {
        self.values.get(key).expect("invariant: every key that is read stands in the defaults")
    }

    /// A refusal of this key's value.
    pub(super) fn refuse(&self, key: &str, allowed: impl Display) -> ConfigError {
        let Given { value, origin } = self.get(key);
        let secret = matches!(
            key,
            "auth.operator_key" | "store.master_key" | "store.master_key_before" | "cql.password"
        );
        let given = if secret { "(not shown)".to_owned() } else { value.to_string() };
        ConfigError::Value {
            key: key.to_owned(),
            given,
            origin: origin.clone(),
            allowed: allowed.to_string(),
        }
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<String, ConfigError> {
        match &self.get(key).value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.refuse(key, "a text in quotes")),
        }
    }

    /// A text, `None` when empty.
    pub(super) fn optional(&self, key: &str) -> Result<Option<String>, ConfigError> {
        Ok(Some(self.text(key)?).filter(|text| !text.is_empty()))
    }

    /// Yes or no; the environment writes it as text.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        match &self.get(key).value {
            Value::Boolean(flag) => Ok(*flag),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            _ => Err(self.refuse(key, "true or false")),
        }
    }

    /// A share; the environment writes it as text.
    pub(super) fn share(&self, key: &str) -> Result<f64, ConfigError> {
        let share = match &self.get(key).value {
            Value::Float(share) => Some(*share),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        share.filter(|s| (0.0..=1.0).contains(s)).ok_or_else(|| self.refuse(key, "a share from 0.0 to 1.0"))
    }

    /// A whole number in a range; the environment writes it as text.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let number = match &self.get(key).value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        let allowed = || format!("a whole number from {} to {}", range.start(), range.end());
        number.filter(|n| range.contains(n)).ok_or_else(|| self.refuse(key, allowed()))
    }

    /// A whole number in a range, or 0 for "not set".
    pub(super) fn number_or_none(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let allowed = format!("0, or a whole number from {} to {}", range.start(), range.end());
        match self.number(key, 0..=*range.end()) {
            Ok(0) => Ok(None),
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.refuse(key, allowed)),
        }
    }
}

fn given(value: Value, origin: &str) -> Given {
    Given { value, origin: origin.to_owned() }
}

/// `section.key` and value; a key outside a section or a deeper table keeps the name it has, and is unknown.
fn flat(table: &toml::Table) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(keys) => all.extend(keys.iter().map(|(k, v)| (format!("{section}.{k}"), v.clone()))),
            other => all.push((section.clone(), other.clone())),
        }
    }
    all
}
