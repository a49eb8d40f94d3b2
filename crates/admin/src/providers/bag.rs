//! The secrets of a provider row: the credential bag and the extra headers, opened, changed, sealed.
//!
//! The only file of the control plane that looks inside a stored credential. What leaves it is either
//! sealed (for the store) or masked (for callers and the audit log); a value never enters a message, and
//! the types here have no `Debug` that shows one. Start at [`Bag`] and [`Headers`].

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use lw_core::{Code, Error, Secret};
use lw_crypto::Place;
use lw_store::rows::ModelProvider;
use serde_json::{Map, Value, json};
use url::Url;

use super::kind::{Holds, Kind};
use crate::Admin;
use crate::input::{Fields, Given, Problems};

/// What stands for a secret on read, and keeps it on write.
pub(crate) const PLACEHOLDER: &str = "HAS_KEY\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}";

/// The longest value of a credential field or an extra header, in bytes.
const VALUE: usize = 16 * 1024;
/// The most extra headers of a row.
const HEADERS: usize = 50;

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

/// What a caller wants a credential bag to hold: a value, nothing, or what it holds already.
#[derive(Debug, Default)]
pub(crate) struct BagPatch(Vec<(&'static str, Wish)>);

#[derive(Debug)]
enum Wish {
    Keep,
    Drop,
    Set(Secret),
}

impl BagPatch {
    /// Reads `custom_keys` for a kind. Unknown fields are refused by name.
    pub(crate) fn read(
        kind: Kind,
        fields: &Fields<'_>,
        policy: &dyn Fn(&str) -> Result<(), String>,
        problems: &mut Problems,
    ) -> Self {
        let mut wishes = Vec::new();
        for (name, value) in fields.map() {
            let path = fields.path(name);
            let Some(key) = kind.keys().iter().find(|key| key.name == name) else {
                let known: Vec<&str> = kind.keys().iter().map(|key| key.name).collect();
                let text = format!(
                    "is not a key of `{}`: use {}",
                    kind.name(),
                    known.join(", ")
                );
                problems.add(path, "unrecognized_key", text);
                continue;
            };
            let wish = match value {
                Value::Null => Wish::Drop,
                Value::String(text) if text == PLACEHOLDER => Wish::Keep,
                Value::String(text) => {
                    let text = text.trim();
                    let fine = match key.is {
                        Holds::Secret => secret(text),
                        Holds::BaseUrl => base_url(text, policy),
                    };
                    if let Err(message) = fine {
                        problems.add(path, "invalid_value", message);
                        continue;
                    }
                    Wish::Set(Secret::new(text))
                }
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    problems.add(path, "invalid_type", "must be a string or null");
                    continue;
                }
            };
            wishes.push((key.name, wish));
        }
        Self(wishes)
    }
}

/// An opened credential bag.
#[derive(Debug, Default)]
pub(crate) struct Bag(BTreeMap<String, Secret>);

impl Bag {
    /// Opens the bag of a stored row.
    ///
    /// # Errors
    /// `internal_error`: the sealing key is another one, or the row was altered.
    pub(crate) fn open(admin: &Admin, row: &ModelProvider) -> Result<Self, Error> {
        let map: BTreeMap<String, String> =
            open(admin, &row.sealed_keys, place(KEYS, row.id.as_str()))?;
        Ok(Self(
            map.into_iter()
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
        ))
    }

    /// The bag afterwards. Adds a problem for what must be there and is not.
    pub(crate) fn patched(mut self, kind: Kind, patch: BagPatch, problems: &mut Problems) -> Self {
        for (name, wish) in patch.0 {
            match wish {
                Wish::Keep if self.0.contains_key(name) => {}
                Wish::Keep => {
                    let text = "there is no stored value that the placeholder could stand for";
                    problems.add(format!("custom_keys.{name}"), "invalid_value", text);
                }
                Wish::Drop => {
                    self.0.remove(name);
                }
                Wish::Set(value) => {
                    self.0.insert(name.to_owned(), value);
                }
            }
        }
        for key in kind
            .keys()
            .iter()
            .filter(|key| key.required && !self.0.contains_key(key.name))
        {
            let text = format!("is required for `{}`", kind.name());
            let path = format!("custom_keys.{}", key.name);
            problems.add(path, "required", text);
        }
        self
    }

    /// Seals the bag for a row.
    ///
    /// # Errors
    /// `internal_error`.
    pub(crate) fn seal(&self, admin: &Admin, row_id: &str) -> Result<String, Error> {
        let map: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        seal(admin, &map, place(KEYS, row_id))
    }

    /// The bag as callers see it: base URLs in clear, everything else masked.
    pub(crate) fn masked(&self, kind: Option<Kind>) -> Value {
        let clear = |name: &str| {
            let keys = kind.map(Kind::keys).unwrap_or_default();
            keys.iter()
                .any(|key| key.name == name && key.is == Holds::BaseUrl)
        };
        let shown = |name: &String, value: &Secret| -> Value {
            if clear(name) {
                value.expose().into()
            } else {
                PLACEHOLDER.into()
            }
        };
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), shown(name, value)))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// What a caller wants the extra headers to be: the whole list; `None` keeps the stored value.
pub(crate) type HeadersPatch = Vec<(String, Option<Secret>)>;

/// Opened extra headers, in order.
#[derive(Debug, Default)]
pub(crate) struct Headers(Vec<(String, Secret)>);

impl Headers {
    /// Reads `extra_headers`: `[{key, value}]`, or null for none.
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Given<HeadersPatch> {
        fields.list(&["extra_headers"], problems).map(|entries| {
            let path = fields.path("extra_headers");
            if entries.len() > HEADERS {
                let text = format!("must hold at most {HEADERS} headers");
                problems.add(&path, "too_big", text);
            }
            let mut headers: HeadersPatch = Vec::new();
            for (place, entry) in entries.iter().enumerate().take(HEADERS) {
                let path = format!("{path}.{place}");
                let (name, value) = (entry.get("key"), entry.get("value"));
                let (Some(Value::String(name)), Some(Value::String(value))) = (name, value) else {
                    problems.add(
                        path,
                        "invalid_type",
                        "must be {\"key\": text, \"value\": text}",
                    );
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
        })
    }

    /// Opens the headers of a stored row.
    ///
    /// # Errors
    /// `internal_error`.
    pub(crate) fn open(admin: &Admin, row: &ModelProvider) -> Result<Self, Error> {
        let Some(sealed) = &row.sealed_extra_headers else {
            return Ok(Self::default());
        };
        let list: Vec<Header> = open(admin, sealed, place(EXTRA, row.id.as_str()))?;
        Ok(Self(
            list.into_iter()
                .map(|Header { key, value }| (key, Secret::new(value)))
                .collect(),
        ))
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
                    let text = "there is no stored value that the placeholder could stand for";
                    problems.add(format!("extra_headers.{name}"), "invalid_value", text);
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
        seal(admin, &list, place(EXTRA, row_id)).map(Some)
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

/// The stored form of an extra header; deliberately without `Debug`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    key: String,
    value: String,
}

const KEYS: &str = "sealed_keys";
const EXTRA: &str = "sealed_extra_headers";

const fn place<'a>(column: &'a str, row_id: &'a str) -> Place<'a> {
    Place {
        table: "model_providers",
        column,
        row_id,
    }
}

fn seal(admin: &Admin, value: &impl serde::Serialize, place: Place<'_>) -> Result<String, Error> {
    let broken = || Error::new(Code::InternalError, "a credential could not be sealed");
    let text = serde_json::to_vec(value).map(lw_crypto::Zeroizing::new);
    let text = text.map_err(|error| broken().because(error))?;
    admin
        .sealer
        .seal(&text, place, admin.entropy.as_ref())
        .map_err(|error| broken().because(error))
}

fn open<T: serde::de::DeserializeOwned>(
    admin: &Admin,
    sealed: &str,
    place: Place<'_>,
) -> Result<T, Error> {
    let broken = || {
        Error::new(
            Code::InternalError,
            "a stored credential could not be opened",
        )
    };
    let text = admin
        .sealer
        .open(sealed, place)
        .map_err(|error| broken().because(error))?;
    // The parser's message could quote what it read: it stays out of the log.
    serde_json::from_slice(&text)
        .map_err(|_quotes| broken().because("it is not of the stored form"))
}

/// A secret travels in a header: printable ASCII, so that a half-copied mask is refused too.
fn secret(text: &str) -> Result<(), String> {
    let printable = HeaderValue::from_str(text).is_ok() && text.is_ascii();
    match text.len() {
        0 => Err("must not be empty; send null to delete it".into()),
        length if length > VALUE => Err(format!("must be at most {VALUE} bytes long")),
        _ if !printable => Err("must be printable ASCII".into()),
        _ => Ok(()),
    }
}

/// A base URL is http or https with a host, without credentials, query or fragment, and one that the
/// address policy allows.
pub(crate) fn base_url(
    text: &str,
    policy: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    if text.len() > 2_048 {
        return Err("must be at most 2048 characters long".into());
    }
    let url = Url::parse(text).map_err(|_malformed| "must be an http or https URL".to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err("must be an http or https URL".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".into());
    }
    policy(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_has_its_twenty_four_bullets() {
        assert_eq!(PLACEHOLDER, format!("HAS_KEY{}", "\u{2022}".repeat(24)));
    }

    #[test]
    fn base_urls_are_checked_before_the_policy_is_asked() {
        let policy = |url: &str| match url {
            "http://10.0.0.1" => Err("private".to_owned()),
            _ => Ok(()),
        };
        for (url, fine) in [
            ("https://api.example.com/v1", true),
            ("http://10.0.0.1", false),
            ("ftp://x", false),
            ("https://user:pw@example.com", false),
            ("https://example.com/?key=1", false),
            ("example.com", false),
            ("", false),
        ] {
            assert_eq!(base_url(url, &policy).is_ok(), fine, "{url}");
        }
    }
}
