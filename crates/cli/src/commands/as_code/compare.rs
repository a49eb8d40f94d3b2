//! When two values say the same, and where they differ.
//!
//! [`comparable`] fills in what is left out and hides secrets, so that two ways to say the same are
//! equal. [`pruned`] is its opposite: what an export need not say.

use super::shape::{Field, Object, Preset, Shape};
use super::value::{is_empty, is_masked, is_reference, map_values, set};
use crate::json::Json;

/// Stands for a secret wherever values are compared or shown.
pub(super) const SECRET: &str = "(secret)";

/// The value with everything said and no secret: equal when the server would behave the same.
pub(super) fn comparable(shape: &Shape, value: &Json) -> Json {
    match shape {
        Shape::Nullable(_) if value.is_null() => Json::Null,
        Shape::Blankable(_) if is_empty(value) => Json::Null,
        Shape::Nullable(inner) | Shape::Some(inner) => comparable(inner, value),
        Shape::Blankable(inner) => {
            let whole = comparable(inner, value);
            // All defaults is as good as nothing.
            if whole == comparable(inner, &Json::Object(Vec::new())) {
                Json::Null
            } else {
                whole
            }
        }
        Shape::List(inner) => {
            let items = value.items().iter();
            Json::Array(items.map(|item| comparable(inner, item)).collect())
        }
        Shape::Set(inner) => {
            let items = value.items().iter();
            set(items.map(|item| comparable(inner, item)).collect())
        }
        Shape::Object(object) => filled(object, value),
        Shape::Texts(_) | Shape::ModelMap => sorted(value),
        Shape::Any | Shape::AnyMap => sorted(value),
        Shape::CustomKeys => sorted(&map_values(value, |_, value| hidden(value))),
        Shape::Headers => {
            let headers = value.items().iter();
            set(headers
                .map(|header| header.text("key").unwrap_or_default().to_ascii_lowercase())
                .map(Json::from)
                .collect())
        }
        Shape::EvaluatorSettings => {
            let mut settings = value.clone();
            if let Some(headers) = value.get("headers") {
                // The server keeps the names of headers in lower case.
                let mut names = Json::Object(Vec::new());
                for (name, _) in headers.fields() {
                    names.set(&name.to_ascii_lowercase(), SECRET.into());
                }
                settings.set("headers", names);
            }
            sorted(&settings)
        }
        _ => value.clone(),
    }
}

fn hidden(value: &Json) -> Json {
    if is_reference(value) || is_masked(value) {
        SECRET.into()
    } else {
        value.clone()
    }
}

/// The value with the names of its maps in order.
fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let mut fields: Vec<(String, Json)> =
                fields.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Json::Object(fields)
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Every field with its value or its preset, comparable.
pub(super) fn filled(object: &Object, value: &Json) -> Json {
    let mut out = Json::Object(Vec::new());
    for field in object.fields {
        let preset = || field.preset.json();
        if let Some(given) = value.get(field.name).cloned().or_else(preset) {
            out.set(field.name, comparable(&field.shape, &given));
        }
    }
    out
}

/// The value without what goes without saying; `None` when nothing is left to say.
pub(super) fn pruned(field: &Field, value: &Json) -> Option<Json> {
    let own = comparable(&field.shape, value);
    if own.is_null() && !matches!(field.preset, Preset::Unknown) {
        return None;
    }
    let preset = field.preset.json();
    if preset.is_some_and(|preset| comparable(&field.shape, &preset) == own) {
        return None;
    }
    Some(pruned_inside(&field.shape, value))
}

fn pruned_inside(shape: &Shape, value: &Json) -> Json {
    match shape {
        Shape::Nullable(inner) | Shape::Blankable(inner) | Shape::Some(inner)
            if !value.is_null() =>
        {
            pruned_inside(inner, value)
        }
        Shape::List(inner) | Shape::Set(inner) => {
            let items = value.items().iter();
            Json::Array(items.map(|item| pruned_inside(inner, item)).collect())
        }
        Shape::Object(object) => {
            let mut out = Json::Object(Vec::new());
            for field in object.fields {
                if let Some(value) = value.get(field.name).and_then(|v| pruned(field, v)) {
                    out.set(field.name, value);
                }
            }
            out
        }
        _ => value.clone(),
    }
}

/// One difference, for a person.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) old: Json,
    pub(super) new: Json,
}

/// The differences between two comparable values, as deep as both are maps.
pub(super) fn differences(path: &str, old: &Json, new: &Json, out: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Json::Object(before), Json::Object(after)) = (old, new) else {
        out.push(Change {
            field: path.to_owned(),
            old: old.clone(),
            new: new.clone(),
        });
        return;
    };
    let added = after.iter().filter(|(name, _)| old.get(name).is_none());
    for (name, _) in before.iter().chain(added) {
        let side = |value: &Json| value.get(name).cloned().unwrap_or(Json::Null);
        differences(&format!("{path}.{name}"), &side(old), &side(new), out);
    }
}
