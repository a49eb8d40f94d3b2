//! The conditions of a rule: those about the key are decided here, those about requests are kept.
//!
//! Start at [`read`].

use serde_json::Value;

use super::window::Window;
use super::{KeyFacts, RequestFacts};
use crate::resolve::ModelList;

/// What a rule asks of a request. All of it has to hold; nothing holds always.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    /// The resolved model.
    model: Option<ModelList>,
    /// Request headers and their values.
    headers: Vec<(Box<str>, Box<str>)>,
    /// When.
    window: Option<Window>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub(super) const fn is_empty(&self) -> bool {
        let Self {
            model,
            headers,
            window,
        } = self;
        model.is_none() && headers.is_empty() && window.is_none()
    }

    /// Whether all of it holds.
    pub(super) fn hold(&self, request: &RequestFacts<'_>) -> bool {
        let Self {
            model,
            headers,
            window,
        } = self;
        model
            .as_ref()
            .is_none_or(|model| model.allows(request.kind, request.model))
            && headers
                .iter()
                .all(|(name, value)| (request.header)(name) == Some(&**value))
            && window
                .as_ref()
                .is_none_or(|window| window.contains(request.now))
    }
}

/// Reads conditions; what is null is not set. `None` when the rule can never apply to the key: a condition
/// about it does not hold, or one is not understood.
pub(super) fn read(stored: &Value, key: &KeyFacts<'_>) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    for (name, value) in stored.as_object()? {
        if value.is_null() && is_known(name) {
            continue;
        }
        let holds = match name.as_str() {
            "vk_id" => {
                let wanted = value.as_str()?;
                wanted == key.id || (!wanted.is_empty() && wanted == key.display_prefix)
            }
            "vk_prefix" => key.display_prefix.starts_with(value.as_str()?),
            "vk_tags" => {
                let has = |tag: &Value| tag.as_str().is_some_and(|tag| has_tag(key, tag));
                value.as_array()?.iter().all(has)
            }
            "principal_id" => key.principal_id == Some(value.as_str()?),
            "model" => {
                conditions.model = Some(model(value.as_str()?)?);
                true
            }
            "request_metadata" => {
                for (name, value) in value.as_object()? {
                    let header = (name.as_str().into(), value.as_str()?.into());
                    conditions.headers.push(header);
                }
                true
            }
            "time_window" => {
                conditions.window = Some(Window::read(value)?);
                true
            }
            _ => false,
        };
        if !holds {
            return None;
        }
    }
    Some(conditions)
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "vk_id"
            | "vk_prefix"
            | "vk_tags"
            | "principal_id"
            | "model"
            | "request_metadata"
            | "time_window"
    )
}

fn has_tag(key: &KeyFacts<'_>, tag: &str) -> bool {
    key.tags.iter().any(|own| own == tag)
}

/// A name, or the beginning of names with a `*` at its end; nothing else has a `*`.
fn model(entry: &str) -> Option<ModelList> {
    let literal = entry.strip_suffix('*').unwrap_or(entry);
    (!literal.contains('*')).then(|| ModelList::new(vec![entry.to_owned()]))
}
