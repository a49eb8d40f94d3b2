//! The extra headers of a provider row, opened, replaced, sealed.
//!
//! Their values are secrets like those of the bag: sealed for the store, masked for callers. Must never
//! let a header through that the transport owns. Start at [`Headers`].

use http::HeaderName;
use lw_core::{Error, Secret};
use lw_store::rows::ModelProvider;
use serde_json::{Value, json};

use super::bag::{NOTHING_TO_KEEP, PLACEHOLDER};
use super::sealing::{EXTRA, open, seal};
use super::value::secret;
use crate::Admin;
use crate::input::{Fields, Given, Problems};

/// The most extra headers of a row.
const MOST: usize = 50;

/// Headers that the transport or the credential own.
const OWNED: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
];

/// What a caller wants the extra headers to be: the whole list; `None` keeps the stored value.
pub(crate) type HeadersPatch = Vec<(String, Option<Secret>)>;

/// Opened extra headers, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(String, Secret)>);

impl Headers {
    /// Reads a list of `{key, value}`, or null for none.
    pub(crate) fn read(
        name: &'static str,
        fields: &Fields<'_>,
        problems: &mut Problems,
    ) -> Given<HeadersPatch> {
        fields.list(&[name], problems).map(|entries| {
            let pairs = entries
                .iter()
                .map(|entry| Some((entry.get("key")?.as_str()?, entry.get("value")?)));
            listed(&fields.path(name), pairs, problems)
        })
    }

    /// Reads the headers of the advanced settings: a list as above, or an object of names to values.
    pub(super) fn of_setting(path: &str, setting: &Value, problems: &mut Problems) -> HeadersPatch {
        match setting {
            Value::Array(entries) => {
                let pairs = entries
                    .iter()
                    .map(|entry| Some((entry.get("key")?.as_str()?, entry.get("value")?)));
                listed(path, pairs, problems)
            }
            Value::Object(map) => {
                let pairs = map.iter().map(|(name, value)| Some((name.as_str(), value)));
                listed(path, pairs, problems)
            }
            _ => {
                problems.add(path, "invalid_type", "must be a list or an object");
                HeadersPatch::new()
            }
        }
    }

    /// Opens the headers of a stored row.
    ///
    /// # Errors
    /// `internal_error`.
    pub(crate) fn open(admin: &Admin, row: &ModelProvider) -> Result<Self, Error> {
        let Some(sealed) = &row.sealed_extra_headers else {
            return Ok(Self::default());
        };
        let list: Vec<Header> = open(admin, sealed, EXTRA, row.id.as_str())?;
        Ok(Self(
            list.into_iter()
                .map(|Header { key, value }| (key, Secret::new(value)))
                .collect(),
        ))
    }

    /// Whether a change leaves a stored value in place: that of a header that is sent along as it was read,
    /// or of all of them.
    pub(crate) fn keeps_a_secret(&self, patch: &Given<HeadersPatch>) -> bool {
        !self.0.is_empty()
            && match patch {
                Given::Absent => true,
                Given::Null => false,
                Given::Value(list) => list.iter().any(|(_, value)| value.is_none()),
            }
    }

    /// The headers afterwards. Adds a problem for a placeholder without a stored value.
    pub(crate) fn replaced(self, patch: HeadersPatch, problems: &mut Problems) -> Self {
        let Self(stored) = self;
        let mut headers = Vec::new();
        for (name, value) in patch {
            let kept = || {
                stored
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, old)| old.clone())
            };
            match value.or_else(kept) {
                Some(value) => headers.push((name, value)),
                None => {
                    let path = format!("extra_headers.{name}");
                    problems.add(path, "invalid_value", NOTHING_TO_KEEP);
                }
            }
        }
        Self(headers)
    }

    /// Seals the headers for a row; none is `None`.
    ///
    /// # Errors
    /// `internal_error`.
    pub(crate) fn seal(&self, admin: &Admin, row_id: &str) -> Result<Option<String>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let list: Vec<_> = self
            .0
            .iter()
            .map(|(key, value)| Header {
                key: key.clone(),
                value: value.expose().to_owned(),
            })
            .collect();
        seal(admin, &list, EXTRA, row_id).map(Some)
    }

    /// The headers as callers see them: names in clear, values masked; `null` for none.
    pub(crate) fn masked(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0
            .iter()
            .map(|(key, _)| json!({ "key": key, "value": PLACEHOLDER }))
            .collect()
    }
}

/// Checks pairs of a name and a value; `None` is an entry that is not a pair.
fn listed<'a>(
    path: &str,
    pairs: impl ExactSizeIterator<Item = Option<(&'a str, &'a Value)>>,
    problems: &mut Problems,
) -> HeadersPatch {
    if pairs.len() > MOST {
        problems.add(path, "too_big", format!("must hold at most {MOST} headers"));
    }
    let mut headers = HeadersPatch::new();
    for (place, pair) in pairs.enumerate().take(MOST) {
        let path = format!("{path}.{place}");
        let Some((name, Value::String(value))) = pair else {
            let text = "must be {\"key\": text, \"value\": text}";
            problems.add(path, "invalid_type", text);
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        if HeaderName::from_bytes(name.as_bytes()).is_err() || OWNED.contains(&&*name) {
            let text = "must be the name of a header that may be set";
            problems.add(format!("{path}.key"), "invalid_value", text);
        } else if headers.iter().any(|(known, _)| *known == name) {
            problems.add(format!("{path}.key"), "invalid_value", "is there twice");
        } else if value == PLACEHOLDER {
            headers.push((name, None));
        } else if let Err(message) = secret(value.trim()) {
            problems.add(format!("{path}.value"), "invalid_value", message);
        } else {
            headers.push((name, Some(Secret::new(value.trim()))));
        }
    }
    headers
}

/// The stored form of an extra header; deliberately without `Debug`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    key: String,
    value: String,
}
