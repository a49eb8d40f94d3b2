//! Google's schemas, a subset of OpenAPI 3.0 with types in upper case, as JSON Schema.
//!
//! Key order, numbers and texts stay; what JSON Schema has no word for (`propertyOrdering`, `example`) is
//! left out. Start at [`json_schema`].

use serde_json::value::RawValue;

use crate::ir::Raw;
use crate::json::{self, Obj, Object, array};

/// Nesting that is converted; what lies deeper stays as it is.
const DEPTH: u8 = 48;

/// The schema as JSON Schema.
pub(super) fn json_schema(raw: &RawValue) -> Raw {
    json::raw(convert(raw, 0))
}

fn convert(raw: &RawValue, depth: u8) -> String {
    let object = if depth < DEPTH {
        Object::read(raw, "schema").ok()
    } else {
        None
    };
    let Some(object) = object else {
        return raw.get().to_owned();
    };
    let nullable = object.get("nullable").map(RawValue::get) == Some("true");
    let mut out = Obj::new();
    for (key, value) in object.iter() {
        if value.get() == "null" && key != "default" && key != "const" {
            continue;
        }
        out = match key {
            "nullable" | "propertyOrdering" | "property_ordering" | "example" => out,
            "type" => match types(value, nullable) {
                Some(types) => out.raw("type", &types),
                None => out,
            },
            "format" if value.get() == "\"enum\"" => out,
            "enum" => out.raw("enum", &choices(value, nullable)),
            "properties" | "patternProperties" | "$defs" | "definitions" => {
                out.raw(key, &each_member(value, depth))
            }
            "defs" => out.raw("$defs", &each_member(value, depth)),
            "ref" => out.raw("$ref", &value.get().replace("#/defs/", "#/$defs/")),
            "items" | "not" => out.raw(key, &convert(value, depth + 1)),
            "additionalProperties" | "additional_properties" => {
                out.raw("additionalProperties", &convert(value, depth + 1))
            }
            "anyOf" | "any_of" => {
                let null = nullable && !object.has("type");
                out.raw("anyOf", &each_element(value, depth, null))
            }
            "oneOf" | "allOf" => out.raw(key, &each_element(value, depth, false)),
            "prefixItems" | "prefix_items" => {
                out.raw("prefixItems", &each_element(value, depth, false))
            }
            _ => match count_name(key) {
                Some(name) => out.raw(name, number(value)),
                None => out.raw(key, value.get()),
            },
        };
    }
    out.end()
}

/// Counts are 64-bit numbers, which Google's JSON writes as texts.
fn count_name(key: &str) -> Option<&'static str> {
    Some(match key {
        "minItems" | "min_items" => "minItems",
        "maxItems" | "max_items" => "maxItems",
        "minLength" | "min_length" => "minLength",
        "maxLength" | "max_length" => "maxLength",
        "minProperties" | "min_properties" => "minProperties",
        "maxProperties" | "max_properties" => "maxProperties",
        _ => return None,
    })
}

fn number(raw: &RawValue) -> &str {
    let inner = raw
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or(raw.get())
}

/// The type or types; `None` when it is not said.
fn types(raw: &RawValue, nullable: bool) -> Option<String> {
    let quoted = |word: String| serde_json::Value::from(word).to_string();
    match json::text(raw) {
        Some(word) => {
            let word = word.to_ascii_lowercase();
            if word == "type_unspecified" {
                return None;
            }
            let null = nullable && word != "null";
            let word = quoted(word);
            Some(if null {
                format!("[{word},\"null\"]")
            } else {
                word
            })
        }
        None => {
            let words: Vec<String> = serde_json::from_str(raw.get()).unwrap_or_default();
            let words = words.into_iter().map(|word| word.to_ascii_lowercase());
            Some(array(words.map(quoted)))
        }
    }
}

fn choices(raw: &RawValue, nullable: bool) -> String {
    let Ok(list) = json::list(raw, "enum") else {
        return raw.get().to_owned();
    };
    let null = nullable && !list.iter().any(|choice| choice.get() == "null");
    let choices = list.into_iter().map(|choice| choice.get().to_owned());
    array(choices.chain(null.then(|| "null".to_owned())))
}

fn each_member(raw: &RawValue, depth: u8) -> String {
    let Ok(object) = Object::read(raw, "properties") else {
        return raw.get().to_owned();
    };
    let members = object.iter().fold(Obj::new(), |out, (key, value)| {
        out.raw(key, &convert(value, depth + 1))
    });
    members.end()
}

fn each_element(raw: &RawValue, depth: u8, null: bool) -> String {
    let Ok(list) = json::list(raw, "anyOf") else {
        return raw.get().to_owned();
    };
    let schemas = list.into_iter().map(|one| convert(one, depth + 1));
    array(schemas.chain(null.then(|| r#"{"type":"null"}"#.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(json: &str) -> String {
        json_schema(&json::raw(json.to_owned())).get().to_owned()
    }

    #[test]
    fn types_are_lowered_and_null_is_a_type_of_its_own() {
        for (google, expected) in [
            (
                r#"{"type":"OBJECT","properties":{"city":{"type":"STRING","nullable":true,"example":"Paris"},"type":{"type":"INTEGER","minimum":1.50}},"required":["city"],"propertyOrdering":["city"]}"#,
                r#"{"type":"object","properties":{"city":{"type":["string","null"]},"type":{"type":"integer","minimum":1.50}},"required":["city"]}"#,
            ),
            (
                r#"{"type":"ARRAY","items":{"type":"STRING","format":"enum","enum":["a","b"],"nullable":true},"minItems":"1","max_items":3}"#,
                r#"{"type":"array","items":{"type":["string","null"],"enum":["a","b",null]},"minItems":1,"maxItems":3}"#,
            ),
            (
                r#"{"any_of":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"number"},{"type":"null"}]}"#,
            ),
            (
                r##"{"defs":{"A":{"type":"BOOLEAN"}},"ref":"#/defs/A"}"##,
                r##"{"$defs":{"A":{"type":"boolean"}},"$ref":"#/$defs/A"}"##,
            ),
            (
                r#"{"type":["string","null"]}"#,
                r#"{"type":["string","null"]}"#,
            ),
            (r#"{"type":"TYPE_UNSPECIFIED"}"#, "{}"),
            ("true", "true"),
        ] {
            assert_eq!(converted(google), expected);
        }
    }

    #[test]
    fn a_schema_that_is_nested_without_end_is_no_danger() {
        let deep = format!(
            "{}{}",
            r#"{"items":"#.repeat(5_000),
            "1".to_owned() + &"}".repeat(5_000)
        );
        assert!(converted(&deep).len() > 5_000);
    }
}
