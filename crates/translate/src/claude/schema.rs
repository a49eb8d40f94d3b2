//! The two things that Anthropic wants of a JSON Schema and other vendors do not.
//!
//! A schema that has them stays the caller's bytes. Must never make a schema wider than it was.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, Obj, Object};

/// Schemas that are nested deeper are taken as they are.
const DEEPEST: usize = 48;

/// A tool's schema, which must say that it is an object.
pub(crate) fn typed(schema: &str) -> Cow<'_, str> {
    let text = schema.trim();
    let says_type = Object::of_body(text.as_bytes()).is_ok_and(|object| object.has("type"));
    let Some(rest) = text.strip_prefix('{').filter(|_| !says_type) else {
        return Cow::Borrowed(text);
    };
    let rest = rest.trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    Cow::Owned(format!(r#"{{"type":"object"{comma}{rest}"#))
}

/// An output schema, whose objects must say that they have no other properties. What follows the closed
/// schema follows the open one as well.
pub(crate) fn closed(schema: &str) -> Cow<'_, str> {
    match RawValue::from_string(schema.to_owned()) {
        Ok(raw) => close(&raw, DEEPEST).map_or(Cow::Borrowed(schema), Cow::Owned),
        Err(_) => Cow::Borrowed(schema),
    }
}

/// The schema with its objects closed; `None` when nothing has to change.
fn close(schema: &RawValue, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let object = Object::read(schema, "schema").ok()?;
    let mut changed = false;
    let mut out = Obj::new();
    for (key, value) in object.iter() {
        let new = match key {
            "properties" | "$defs" | "definitions" => close_map(value, depth),
            "items" | "not" | "additionalProperties" => close(value, depth),
            "anyOf" | "allOf" | "oneOf" | "prefixItems" => close_list(value, depth),
            _ => None,
        };
        changed |= new.is_some();
        out = out.raw(key, new.as_deref().unwrap_or_else(|| value.get()));
    }
    let is_object = object
        .get("type")
        .is_some_and(|kind| kind.get() == "\"object\"")
        || object.has("properties");
    if is_object && object.iter().all(|(key, _)| key != "additionalProperties") {
        changed = true;
        out = out.raw("additionalProperties", "false");
    }
    changed.then(|| out.end())
}

fn close_map(map: &RawValue, depth: usize) -> Option<String> {
    let object = Object::read(map, "schema").ok()?;
    let mut changed = false;
    let mut out = Obj::new();
    for (name, schema) in object.iter() {
        let new = close(schema, depth);
        changed |= new.is_some();
        out = out.raw(name, new.as_deref().unwrap_or_else(|| schema.get()));
    }
    changed.then(|| out.end())
}

fn close_list(list: &RawValue, depth: usize) -> Option<String> {
    let mut changed = false;
    let items: Vec<String> = json::list(list, "schema")
        .ok()?
        .into_iter()
        .map(|schema| {
            let new = close(schema, depth);
            changed |= new.is_some();
            new.unwrap_or_else(|| schema.get().to_owned())
        })
        .collect();
    changed.then(|| json::array(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_without_a_type_is_one_of_an_object() {
        for (schema, expected) in [
            ("{}", r#"{"type":"object"}"#),
            (
                r#"{ "properties": {"a": {}} }"#,
                r#"{"type":"object","properties": {"a": {}} }"#,
            ),
            (r#"{"type": "object" }"#, r#"{"type": "object" }"#),
            ("7", "7"),
        ] {
            assert_eq!(typed(schema), expected);
        }
    }

    #[test]
    fn objects_are_closed_where_they_say_nothing_and_nothing_else_changes() {
        let settled = r#"{ "type":"object", "additionalProperties" : false, "n": 1.10 }"#;
        assert!(matches!(closed(settled), Cow::Borrowed(text) if text == settled));
        assert_eq!(
            closed(
                r#"{"type":"object","properties":{"properties":{"type":"object"},"l":{"type":"array","items":{"anyOf":[{"properties":{}},{"type":"null"}]}},"n":{"const":{"type":"object"},"minimum":1.10}}}"#
            ),
            r#"{"type":"object","properties":{"properties":{"type":"object","additionalProperties":false},"l":{"type":"array","items":{"anyOf":[{"properties":{},"additionalProperties":false},{"type":"null"}]}},"n":{"const":{"type":"object"},"minimum":1.10}},"additionalProperties":false}"#
        );
        let open = r#"{"type":"object","additionalProperties":true}"#;
        assert_eq!(closed(open), open, "the provider judges");
        let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(500), "}".repeat(500));
        assert_eq!(closed(&deep), deep);
    }
}
