//! Writes a JSON value as block-style YAML.
//!
//! Only writing, only what JSON can hold. A string that any YAML reader might take for something
//! else is double-quoted with JSON escapes, which YAML 1.2 reads the same way.

use crate::json::Json;

/// The value as a YAML document, ending in a newline.
pub(crate) fn to_yaml(value: &Json) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0, Place::Line);
    out
}

/// Where the value goes: at the start of a line, or behind `key:` or `-`.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Line,
    AfterKey,
    AfterDash,
}

fn write_value(out: &mut String, value: &Json, depth: usize, place: Place) {
    match value {
        Json::Array(items) if !items.is_empty() => {
            if place == Place::AfterKey {
                out.push('\n');
            }
            for (i, item) in items.iter().enumerate() {
                indent(out, depth, place == Place::AfterDash && i == 0);
                out.push('-');
                write_value(out, item, depth + 1, Place::AfterDash);
            }
        }
        Json::Object(fields) if !fields.is_empty() => {
            if place == Place::AfterKey {
                out.push('\n');
            }
            for (i, (key, item)) in fields.iter().enumerate() {
                indent(out, depth, place == Place::AfterDash && i == 0);
                out.push_str(&scalar(key));
                out.push(':');
                write_value(out, item, depth + 1, Place::AfterKey);
            }
        }
        other => {
            if place != Place::Line {
                out.push(' ');
            }
            let text = match other {
                Json::String(text) => scalar(text),
                empty_or_plain => empty_or_plain.compact(),
            };
            out.push_str(&text);
            out.push('\n');
        }
    }
}

fn indent(out: &mut String, depth: usize, behind_dash: bool) {
    if behind_dash {
        out.push(' ');
    } else {
        out.push_str(&"  ".repeat(depth));
    }
}

/// Bare when it cannot be misread, else quoted.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 10] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan",
    ];
    let first_ok = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let rest_ok = text.chars().all(|c| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | ' ' | '@' | '+' | '(' | ')')
    });
    let reserved = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if first_ok && rest_ok && !reserved && !text.ends_with(' ') {
        text.to_owned()
    } else {
        Json::from(text).compact()
    }
}

#[cfg(test)]
mod tests {
    use super::to_yaml;
    use crate::json::Json;

    #[test]
    fn nested_values_and_risky_strings() {
        let value = Json::parse(
            r#"{"id":"vk_1","n":1.5,"none":null,"empty":[],"no":{},"scopes":[{"t":"org","ids":["a","b"]},
                [[1],2]],"word":"yes","num":"12","colon":"a: b","lines":"x\ny","yes":true}"#,
        )
        .expect("valid");
        insta::assert_snapshot!(to_yaml(&value), @r#"
        id: vk_1
        "n": 1.5
        none: null
        empty: []
        "no": {}
        scopes:
          - t: org
            ids:
              - a
              - b
          - - - 1
            - 2
        word: "yes"
        num: "12"
        colon: "a: b"
        lines: "x\ny"
        "yes": true
        "#);
        assert_eq!(to_yaml(&Json::from("plain text")), "plain text\n");
    }
}
