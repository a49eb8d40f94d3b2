//! From stored rows to a key's guardrails.
//!
//! What cannot be compiled stays on its list as a check that fails: dropping it would open what it guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use lw_crypto::{Place, Sealer};
use lw_engine::guardrail::{Evaluator, HttpCallout};
use lw_store::rows::{FailureMode, Guardrail, GuardrailDirection};
use serde::Deserialize;

use super::callout::Callout;
use super::{Check, Guard, Guards, List};

/// `guardrailAttachments[]` of a key's configuration (domain 7.5).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// When they run.
    pub direction: GuardrailDirection,
    /// Which, in order.
    #[serde(default)]
    pub guardrail_ids: Vec<String>,
}

impl Guards {
    /// Compiles what a key attaches. `rows` are the guardrails of the key's guardrail project; ids that are not
    /// among them, archived ones, and those of another direction are left out (internal-protocol 9 and 17).
    #[must_use]
    pub fn compile(rows: &[Guardrail], attachments: &[Attachment], sealer: &Sealer) -> Self {
        let list = |direction: GuardrailDirection| {
            let mut found: Vec<&Guardrail> = Vec::new();
            let ids = attachments
                .iter()
                .filter(|attachment| attachment.direction == direction)
                .flat_map(|attachment| &attachment.guardrail_ids);
            for id in ids {
                let row = rows.iter().find(|row| row.id.as_str() == id.as_str());
                found.extend(row.filter(|row| {
                    row.archived_at.is_none()
                        && row.direction == direction
                        && !found.iter().any(|known| known.id == row.id)
                }));
            }
            List {
                fails_open: found
                    .iter()
                    .all(|row| row.failure_mode == FailureMode::FailOpen),
                guards: found.into_iter().map(|row| guard(row, sealer)).collect(),
            }
        };
        Self {
            request: list(GuardrailDirection::Pre),
            response: list(GuardrailDirection::Post),
            stream_chunk: list(GuardrailDirection::StreamChunk),
        }
    }
}

fn guard(row: &Guardrail, sealer: &Sealer) -> Guard {
    let check = match Evaluator::compile(&row.evaluator_slug, &row.settings) {
        Ok(Evaluator::BuiltIn(built)) => Check::BuiltIn(Arc::new(built)),
        Ok(Evaluator::HttpCallout(HttpCallout { url, timeout })) => headers(row, sealer)
            .and_then(|headers| Callout::new(&url, headers, timeout))
            .map_or_else(Check::Broken, |callout| Check::Callout(Box::new(callout))),
        Err(error) => Check::Broken(error.to_string()),
    };
    if let Check::Broken(reason) = &check {
        tracing::warn!(
            guardrail = row.id.as_str(),
            reason,
            "a guardrail cannot be used"
        );
    }
    Guard {
        id: row.id.clone(),
        name: row.name.clone(),
        check,
    }
}

/// The headers of a callout, opened.
fn headers(row: &Guardrail, sealer: &Sealer) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let Some(sealed) = &row.sealed_settings else {
        return Ok(headers);
    };
    let place = Place {
        table: "guardrails",
        column: "sealed_settings",
        row_id: row.id.as_str(),
    };
    let text = sealer
        .open(sealed, place)
        .map_err(|_error| "its headers cannot be opened".to_owned())?;
    // The parser's message could quote what it read.
    let values: BTreeMap<String, String> = serde_json::from_slice(&text)
        .map_err(|_quotes| "its headers are not of the stored form".to_owned())?;
    for (name, value) in values {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(&value)) else {
            return Err("one of its headers cannot be sent".to_owned());
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
