//! The small path language of `--jq` and the dotted fields of `--json`.
//!
//! `.`, `.a.b`, `.items[]`, `.items[].x`, and a terminal `| length`; nothing else. A root array may
//! be walked with `.[]`, because `virtual-keys list` prints one.

use thiserror::Error;

use crate::json::Json;

/// A parsed `--jq` expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    steps: Vec<Step>,
    length: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Each,
}

/// The text is outside the language.
#[derive(Debug, Error, PartialEq)]
#[error(
    "Invalid --jq expression \"{0}\". Supported: \".\", \".a.b\", \".items[]\", \".items[].x\", and a final \"| length\"."
)]
pub(crate) struct InvalidPath(String);

impl Path {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath(text.to_owned());
        let (path, length) = match text.split_once('|') {
            Some((path, "")) => return Err(InvalidPath(format!("{path}|"))),
            Some((path, tail)) if tail.trim() == "length" => (path.trim(), true),
            Some(_) => return Err(invalid()),
            None => (text.trim(), false),
        };
        let mut rest = path.strip_prefix('.').ok_or_else(invalid)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("[]") {
                steps.push(Step::Each);
                rest = after;
            } else {
                let end = rest.find(|c: char| !is_identifier(c)).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                if !key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    return Err(invalid());
                }
                steps.push(Step::Key(key.to_owned()));
                rest = after;
            }
            match rest.strip_prefix('.') {
                Some("") => return Err(invalid()),
                // After a dot comes a key: `.a.[]` is not ours.
                Some(after) if after.starts_with('[') => return Err(invalid()),
                Some(after) => rest = after,
                None if rest.is_empty() || rest.starts_with("[]") => {}
                None => return Err(invalid()),
            }
        }
        Ok(Self { steps, length })
    }

    /// What the path finds; a missing field is null, and nested iteration is one flat list.
    pub(crate) fn apply(&self, value: &Json) -> Json {
        let mut found = vec![value];
        let mut iterated = false;
        for step in &self.steps {
            match step {
                Step::Key(key) => {
                    for slot in &mut found {
                        *slot = slot.get(key).unwrap_or(&Json::Null);
                    }
                }
                Step::Each => {
                    iterated = true;
                    found = found.into_iter().flat_map(Json::items).collect();
                }
            }
        }
        let result = if iterated {
            Json::Array(found.into_iter().cloned().collect())
        } else {
            found.into_iter().next().cloned().unwrap_or(Json::Null)
        };
        if self.length { length(&result) } else { result }
    }
}

/// The named fields of an object, or of each item of an array. The dotted spelling is the key.
pub(crate) fn select(value: &Json, fields: &[String]) -> Json {
    match value {
        Json::Array(items) => {
            Json::Array(items.iter().map(|item| select_one(item, fields)).collect())
        }
        other => select_one(other, fields),
    }
}

fn select_one(value: &Json, fields: &[String]) -> Json {
    let pick = |field: &String| {
        let path: Vec<&str> = field.split('.').collect();
        (
            field.clone(),
            value.at(&path).cloned().unwrap_or(Json::Null),
        )
    };
    Json::Object(fields.iter().map(pick).collect())
}

fn is_identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn length(value: &Json) -> Json {
    match value {
        Json::Null => Json::from(0_usize),
        Json::String(text) => Json::from(text.chars().count()),
        Json::Array(items) => Json::from(items.len()),
        Json::Object(fields) => Json::from(fields.len()),
        Json::Bool(_) | Json::Number(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, select};
    use crate::json::Json;

    fn run(path: &str) -> String {
        let value = Json::parse(
            r#"{"a":{"b":1},"items":[{"x":"p","t":[1,2]},{"x":"q","t":[3]},{"t":[]}],"k-2":null}"#,
        )
        .expect("valid");
        Path::parse(path)
            .expect("in the language")
            .apply(&value)
            .compact()
    }

    #[test]
    fn paths_find_what_they_name() {
        for (path, expected) in [
            (".a.b", "1"),
            (".a.missing.deeper", "null"),
            (".k-2", "null"),
            (".items[].x", r#"["p","q",null]"#),
            (".items[].t[]", "[1,2,3]"),
            (".items | length", "3"),
            (".items[].t[]|length", "3"),
            (".items[1]", ""),
            (". | length", "3"),
            (".a[]", "[]"),
        ] {
            if expected.is_empty() {
                assert!(Path::parse(path).is_err(), "{path}");
            } else {
                assert_eq!(run(path), expected, "{path}");
            }
        }
        assert!(run(".").starts_with(r#"{"a""#));
    }

    #[test]
    fn a_root_array_can_be_walked() {
        let keys = Json::parse(r#"[{"id":"vk_1"},{"id":"vk_2"}]"#).expect("valid");
        let path = Path::parse(".[].id").expect("in the language");
        assert_eq!(path.apply(&keys).compact(), r#"["vk_1","vk_2"]"#);
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for text in [
            "",
            "a",
            "..",
            ".a.",
            ".a..b",
            ".[0]",
            ".a[0]",
            ".a |",
            ".a | keys",
            ".1a",
            ".a | .b",
            ".a b",
            ".a.[]",
            "map(.)",
            ".a[]b",
            ".a[] | length | length",
        ] {
            let error = Path::parse(text).expect_err(text);
            assert!(
                error.to_string().starts_with("Invalid --jq expression"),
                "{error}"
            );
        }
    }

    #[test]
    fn fields_keep_their_dotted_name_and_missing_ones_are_null() {
        let value = Json::parse(r#"[{"id":1,"a":{"b":2}},{"id":3}]"#).expect("valid");
        let fields = ["a.b".to_owned(), "id".to_owned()];
        assert_eq!(
            select(&value, &fields).compact(),
            r#"[{"a.b":2,"id":1},{"a.b":null,"id":3}]"#
        );
    }
}
