//! Reads Google's JSON: every key may stand in camel or in snake case, and whole numbers may be texts.
//!
//! Start at [`Fields`].

use serde_json::Number;
use serde_json::value::RawValue;

use crate::Problem;
use crate::ir::Raw;
use crate::json::{self, Object};

/// An object with the place where it stands, for messages.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    object: Object<'a>,
    at: String,
}

impl<'a> Fields<'a> {
    /// Reads a body.
    pub(super) fn of_body(body: &'a [u8]) -> Result<Self, Problem> {
        Ok(Self {
            object: Object::of_body(body)?,
            at: String::new(),
        })
    }

    /// Reads a value that must be an object.
    pub(super) fn read(raw: &'a RawValue, at: &str) -> Result<Self, Problem> {
        Ok(Self {
            object: Object::read(raw, at)?,
            at: at.to_owned(),
        })
    }

    /// The path of a field.
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.at)
        }
    }

    /// Takes a field by its name in camel case; `null` counts as absent.
    pub(super) fn take(&mut self, camel: &str) -> Option<&'a RawValue> {
        self.object
            .take(camel)
            .or_else(|| self.object.take(&snake(camel)))
    }

    /// Takes a text.
    pub(super) fn text(&mut self, camel: &str) -> Result<Option<String>, Problem> {
        self.typed(camel, "a string", json::text)
    }

    /// Takes a word of an enumeration, in upper case.
    pub(super) fn word(&mut self, camel: &str) -> Result<Option<String>, Problem> {
        let word = self.text(camel)?.map(|word| word.to_ascii_uppercase());
        Ok(word.filter(|word| !word.is_empty() && !word.ends_with("_UNSPECIFIED")))
    }

    /// Takes a truth value.
    pub(super) fn flag(&mut self, camel: &str) -> Result<Option<bool>, Problem> {
        self.typed(camel, "true or false", |raw| match raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })
    }

    /// Takes a whole number.
    pub(super) fn whole(&mut self, camel: &str) -> Result<Option<i64>, Problem> {
        self.typed(camel, "a whole number", whole)
    }

    /// Takes a whole number that is not negative.
    pub(super) fn count(&mut self, camel: &str) -> Result<Option<u64>, Problem> {
        self.typed(camel, "a whole number", |raw| {
            whole(raw).and_then(|number| u64::try_from(number).ok())
        })
    }

    /// Takes a number.
    pub(super) fn number(&mut self, camel: &str) -> Result<Option<Number>, Problem> {
        self.typed(camel, "a number", |raw| {
            serde_json::from_str(bare(raw.get())).ok()
        })
    }

    /// Takes a list.
    pub(super) fn list(&mut self, camel: &str) -> Result<Option<Vec<&'a RawValue>>, Problem> {
        let at = self.path(camel);
        self.take(camel).map(|raw| json::list(raw, &at)).transpose()
    }

    /// Takes an object.
    pub(super) fn object(&mut self, camel: &str) -> Result<Option<Self>, Problem> {
        let at = self.path(camel);
        self.take(camel).map(|raw| Self::read(raw, &at)).transpose()
    }

    fn typed<T>(
        &mut self,
        camel: &str,
        what: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(raw) = self.take(camel) else {
            return Ok(None);
        };
        let at = self.path(camel);
        match read(raw) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::bad(format!("`{at}` must be {what}"), at)),
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        !self.object.iter().any(|(_, value)| value.get() != "null")
    }

    /// What has not been taken, in the caller's spelling.
    pub(super) fn rest(self) -> Vec<(String, Raw)> {
        self.object.rest()
    }
}

/// A number without the quotes that it may stand in.
fn bare(json: &str) -> &str {
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(json)
}

/// A whole number: `7`, `"7"` or `7.0`.
fn whole(raw: &RawValue) -> Option<i64> {
    let text = bare(raw.get());
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// The snake-case spelling of a name.
fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// The camel-case spelling of a name.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' && !out.is_empty() {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.push(letter.to_ascii_uppercase());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_numbers_in_quotes_are_read() {
        let body =
            br#"{"max_output_tokens":"256","topK":40.0,"top_p":0.90,"includeThoughts":true,"x":1}"#;
        let mut fields = Fields::of_body(body).expect("an object");
        assert_eq!(fields.count("maxOutputTokens"), Ok(Some(256)));
        assert_eq!(fields.whole("topK"), Ok(Some(40)));
        assert_eq!(fields.flag("includeThoughts"), Ok(Some(true)));
        assert!(fields.number("topP").is_ok_and(|number| number.is_some()));
        assert_eq!(fields.rest().len(), 1);
    }

    #[test]
    fn a_wrong_type_is_named_with_its_path() {
        let raw = json::raw(r#"{"max_output_tokens":-1}"#.to_owned());
        let mut fields = Fields::read(&raw, "generationConfig").expect("an object");
        let Err(Problem::Bad { param, .. }) = fields.count("maxOutputTokens") else {
            panic!("a problem was expected");
        };
        assert_eq!(param, "generationConfig.maxOutputTokens");
    }

    #[test]
    fn names_are_respelled() {
        assert_eq!(snake("responseJsonSchema"), "response_json_schema");
        assert_eq!(camel("google_search"), "googleSearch");
        assert_eq!(camel("urlContext"), "urlContext");
    }
}
