//! The headers that a callout sends: names are shown, values go in and never come out.
//!
//! They are sealed in the row's `sealed_settings`, a JSON object of names and values with the row bound in.
//! A placeholder keeps a stored value, but only for the server that it was stored for: whoever points a
//! callout elsewhere has to know the secret. Start at [`Wishes`] and [`Kept`].

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use lw_core::{Code, Error, Secret};
use lw_crypto::Place;
use lw_store::rows::Guardrail;
use serde_json::{Map, Value};

use super::callout::origin;
use crate::Admin;
use crate::input::{Fields, Problems};
use crate::providers::PLACEHOLDER;

/// The most headers of a callout.
pub(super) const HEADERS: usize = 20;
/// The longest value, in bytes.
pub(super) const VALUE: usize = 4 * 1024;
/// Headers that the transport or the callout itself own.
const OWNED: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
    "expect",
];

/// The headers that a caller wants; `None` keeps the stored value.
#[derive(Clone, Default)]
pub(super) struct Wishes(BTreeMap<String, Option<Secret>>);

impl fmt::Debug for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Wishes {
    /// Reads `headers`: names and values. Names are kept in lower case.
    pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Self {
        let Some(sent) = fields.object(&["headers"], problems).value() else {
            return Self::default();
        };
        if sent.map().len() > HEADERS {
            let text = format!("must hold at most {HEADERS} headers");
            problems.add(fields.path("headers"), "too_big", text);
        }
        let mut wishes = BTreeMap::new();
        for (name, value) in sent.map().iter().take(HEADERS) {
            let path = sent.path(name);
            let name = name.trim().to_ascii_lowercase();
            let free = name.len() <= 256
                && HeaderName::from_bytes(name.as_bytes()).is_ok()
                && !OWNED.contains(&name.as_str());
            if !free {
                let text = "must be the name of a header that may be set";
                problems.add(path, "invalid_value", text);
                continue;
            }
            let wish = match value.as_str() {
                Some(PLACEHOLDER) => None,
                Some(text) if is_value(text.trim()) => Some(Secret::new(text.trim())),
                _ => {
                    let text = format!("must be 1 to {VALUE} characters of printable ASCII");
                    problems.add(path, "invalid_value", text);
                    continue;
                }
            };
            if wishes.insert(name, wish).is_some() {
                problems.add(path, "invalid_value", "is there twice");
            }
        }
        Self(wishes)
    }

    /// The headers afterwards. Adds a problem for each placeholder that nothing stands behind.
    pub(super) fn over(
        &self,
        kept: &Kept,
        stored_url: Option<&str>,
        url: Option<&str>,
        problems: &mut Problems,
    ) -> Kept {
        let same_server = stored_url.and_then(origin).is_some()
            && stored_url.and_then(origin) == url.and_then(origin);
        let mut out = BTreeMap::new();
        for (name, wish) in &self.0 {
            let old = kept.0.get(name);
            let problem = match (wish, old) {
                (Some(value), _) => {
                    out.insert(name.clone(), value.clone());
                    continue;
                }
                (None, Some(value)) if same_server => {
                    out.insert(name.clone(), value.clone());
                    continue;
                }
                (None, Some(_)) => "must be sent again: the callout goes to another server now",
                (None, None) => "there is no stored value that the placeholder could stand for",
            };
            let path = format!("evaluator.settings.headers.{name}");
            problems.add(path, "invalid_value", problem);
        }
        Kept(out)
    }
}

/// Whether a text may travel as the value of a header.
fn is_value(text: &str) -> bool {
    (1..=VALUE).contains(&text.len()) && text.is_ascii() && HeaderValue::from_str(text).is_ok()
}

/// Opened headers.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<String, Secret>);

impl Kept {
    /// Opens the headers of a stored row.
    ///
    /// # Errors
    /// `internal_error`: the sealing key is another one, or the row was altered.
    pub(super) fn open(admin: &Admin, row: &Guardrail) -> Result<Self, Error> {
        let Some(sealed) = &row.sealed_settings else {
            return Ok(Self::default());
        };
        let broken = || {
            let text = "the headers of a guardrail could not be opened";
            Error::new(Code::InternalError, text)
        };
        let text = admin
            .sealer
            .open(sealed, place(row.id.as_str()))
            .map_err(|error| broken().because(error))?;
        // The parser's message could quote what it read: it stays out of the log.
        let map: BTreeMap<String, String> = serde_json::from_slice(&text)
            .map_err(|_quotes| broken().because("they are not of the stored form"))?;
        let opened = map
            .into_iter()
            .map(|(name, value)| (name, Secret::new(value)));
        Ok(Self(opened.collect()))
    }

    /// Seals the headers for a row; none is `None`.
    ///
    /// # Errors
    /// `internal_error`.
    pub(super) fn seal(&self, admin: &Admin, row_id: &str) -> Result<Option<String>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let broken = || {
            let text = "the headers of a guardrail could not be sealed";
            Error::new(Code::InternalError, text)
        };
        let map: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let text = serde_json::to_vec(&map).map(lw_crypto::Zeroizing::new);
        let text = text.map_err(|error| broken().because(error))?;
        let sealed = admin
            .sealer
            .seal(&text, place(row_id), admin.entropy.as_ref());
        sealed.map(Some).map_err(|error| broken().because(error))
    }

    /// The headers as callers see them: names in clear, values masked.
    pub(super) fn masked(&self) -> Value {
        let masked = self.0.keys().map(|name| (name.clone(), PLACEHOLDER.into()));
        Value::Object(masked.collect::<Map<_, _>>())
    }
}

const fn place(row_id: &str) -> Place<'_> {
    Place {
        table: "guardrails",
        column: "sealed_settings",
        row_id,
    }
}
