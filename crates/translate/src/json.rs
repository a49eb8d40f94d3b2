//! JSON objects read key by key without a tree, and written in a chosen order.
//!
//! Reading borrows: a value is a slice of the body until somebody wants it. A key that stands twice is
//! refused, because two readers could take different copies. Start at [`Object::read`] and [`Obj`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::Problem;
use crate::ir::Raw;

/// An object whose values are still text, in the order of the body.
#[derive(Debug, Default, Clone)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not a JSON object, or a key stands twice.
    pub fn of_body(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body).map_err(|error| {
            Problem::bad(format!("the body is not a usable JSON object: {error}"), "")
        })
    }

    /// Reads a value that must be an object. `at` names it in the message.
    ///
    /// # Errors
    /// It is not an object, or a key stands twice.
    pub fn read(raw: &'a RawValue, at: &str) -> Result<Self, Problem> {
        serde_json::from_str(raw.get()).map_err(|error| {
            let what = if raw.get().starts_with('{') {
                "is not usable"
            } else {
                "must be an object"
            };
            Problem::bad(format!("`{at}` {what}: {error}"), at)
        })
    }

    /// Whether a key is there and not `null`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A value, unless it is `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(name, _)| name == key)?.1;
        (found.get() != "null").then_some(found)
    }

    /// Takes a value out; `null` counts as absent.
    pub fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        let (_, found) = self.0.remove(at);
        (found.get() != "null").then_some(found)
    }

    /// Takes a text. A value of another type is a problem at `key`.
    ///
    /// # Errors
    /// The value is not a text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Problem> {
        self.typed(key, "a string")
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// The value is neither `true` nor `false`.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>, Problem> {
        self.typed(key, "true or false")
    }

    /// Takes a whole number that is not negative.
    ///
    /// # Errors
    /// The value is something else.
    pub fn count(&mut self, key: &str) -> Result<Option<u64>, Problem> {
        self.typed(key, "a whole number")
    }

    /// Takes a number.
    ///
    /// # Errors
    /// The value is something else.
    pub fn number(&mut self, key: &str) -> Result<Option<Number>, Problem> {
        self.typed(key, "a number")
    }

    /// Takes a list.
    ///
    /// # Errors
    /// The value is something else.
    pub fn list(&mut self, key: &str) -> Result<Option<Vec<&'a RawValue>>, Problem> {
        self.take(key).map(|raw| list(raw, key)).transpose()
    }

    /// Takes an object.
    ///
    /// # Errors
    /// The value is something else.
    pub fn object(&mut self, key: &str) -> Result<Option<Object<'a>>, Problem> {
        self.take(key).map(|raw| Object::read(raw, key)).transpose()
    }

    fn typed<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.take(key) else {
            return Ok(None);
        };
        let read = serde_json::from_str(raw.get());
        read.map(Some)
            .map_err(|_| Problem::bad(format!("`{key}` must be {what}"), key))
    }

    /// What has not been taken, `null` left out, in the order of the body.
    #[must_use]
    pub fn rest(self) -> Vec<(String, Raw)> {
        let kept = self
            .0
            .into_iter()
            .filter(|(_, value)| value.get() != "null");
        kept.map(|(key, value)| (key.into_owned(), value.to_owned()))
            .collect()
    }

    /// What is there, in the order of the body.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(raw) = map.next_key::<&'de RawValue>()? {
                    let key = key(raw).map_err(A::Error::custom)?;
                    if entries.iter().any(|(name, _)| *name == key) {
                        return Err(A::Error::custom(format!("the key `{key}` stands twice")));
                    }
                    entries.push((key, map.next_value()?));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn key(raw: &RawValue) -> Result<Cow<'_, str>, serde_json::Error> {
    let text = raw.get();
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(text).map(Cow::Owned),
    }
}

/// A list of values.
///
/// # Errors
/// It is not a list.
pub fn list<'a>(raw: &'a RawValue, at: &str) -> Result<Vec<&'a RawValue>, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::bad(format!("`{at}` must be a list"), at))
}

/// The text of a JSON string; `None` when it is something else.
#[must_use]
pub fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether a value is a string.
#[must_use]
pub fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Takes JSON text over as it is; what is not JSON becomes a JSON string.
#[must_use]
pub fn raw(json: String) -> Raw {
    RawValue::from_string(json).unwrap_or_else(|error| quoted(&error.to_string()))
}

fn quoted(text: &str) -> Raw {
    let json = serde_json::Value::from(text).to_string();
    RawValue::from_string(json).unwrap_or_default()
}

/// Writes a JSON string, quotes included.
pub fn quote(text: &str, out: &mut String) {
    // A text can always be written; there is nothing to report.
    if let Ok(json) = serde_json::to_string(text) {
        out.push_str(&json);
    }
}

/// An object that is written in the order of the calls.
#[derive(Debug, Default)]
#[must_use]
pub struct Obj(String);

impl Obj {
    /// An empty object.
    pub fn new() -> Self {
        Self(String::new())
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        quote(key, &mut self.0);
        self.0.push(':');
    }

    /// A text.
    pub fn str(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        quote(value, &mut self.0);
        self
    }

    /// JSON as it is.
    pub fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    /// A number, a truth value: what prints as JSON.
    pub fn num(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.key(key);
        self.0.push_str(&value.to_string());
        self
    }

    /// A text, when there is one.
    pub fn str_if(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.str(key, value),
            None => self,
        }
    }

    /// JSON, when there is some.
    pub fn raw_if(self, key: &str, json: Option<&str>) -> Self {
        match json {
            Some(json) => self.raw(key, json),
            None => self,
        }
    }

    /// A number or truth value, when there is one.
    pub fn num_if(self, key: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.num(key, value),
            None => self,
        }
    }

    /// A list of JSON values.
    pub fn list(mut self, key: &str, items: impl IntoIterator<Item = String>) -> Self {
        self.key(key);
        self.0.push_str(&array(items));
        self
    }

    /// A list of JSON values, unless it is empty.
    pub fn list_if(self, key: &str, items: Vec<String>) -> Self {
        if items.is_empty() {
            self
        } else {
            self.list(key, items)
        }
    }

    /// A list of texts, unless it is empty.
    pub fn texts_if(self, key: &str, items: &[String]) -> Self {
        let quoted = items.iter().map(|item| {
            let mut out = String::new();
            quote(item, &mut out);
            out
        });
        self.list_if(key, quoted.collect())
    }

    /// The object.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// A list of JSON values.
#[must_use]
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_order_and_bytes_and_refuses_a_second_copy() {
        let mut object =
            Object::of_body(br#"{"b": 1.10, "a\u0062": "x", "n": null}"#).expect("an object");
        assert_eq!(object.get("b").map(RawValue::get), Some("1.10"));
        assert_eq!(object.text("ab"), Ok(Some("x".to_owned())));
        assert!(!object.has("n"));
        let rest: Vec<String> = object.rest().into_iter().map(|(key, _)| key).collect();
        assert_eq!(rest, ["b"]);
        assert!(Object::of_body(br#"{"a":1,"\u0061":2}"#).is_err());
        assert!(Object::of_body(b"[]").is_err());
    }

    #[test]
    fn a_written_object_is_json_in_the_order_of_the_calls() {
        let json = Obj::new()
            .str("a\"", "é\n")
            .num("n", 7)
            .raw_if("x", None)
            .list("l", ["1".to_owned(), "{}".to_owned()])
            .end();
        assert_eq!(json, r#"{"a\"":"é\n","n":7,"l":[1,{}]}"#);
        assert_eq!(Obj::new().end(), "{}");
    }
}
