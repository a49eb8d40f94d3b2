//! An object of a caller's body that knows where it stands, so that what is wrong is named by its path.

use serde_json::value::RawValue;

use crate::Problem;
use crate::ir::CacheMarker;
use crate::json::{self, Object};

/// An object and its path, such as `messages[2].content[0]`.
pub(super) struct Node<'a> {
    object: Object<'a>,
    path: String,
}

impl<'a> Node<'a> {
    /// Reads a value that must be an object.
    pub(super) fn read(raw: &'a RawValue, path: String) -> Result<Self, Problem> {
        let object = Object::read(raw, &path)?;
        Ok(Self { object, path })
    }

    /// The path of one of its keys.
    pub(super) fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// The path of the object.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A problem with one of its keys.
    pub(super) fn bad(&self, key: &str, what: &str) -> Problem {
        let path = self.at(key);
        Problem::bad(format!("`{path}` {what}"), path)
    }

    /// Gives a problem at a bare key its whole path.
    fn placed<T>(&self, found: Result<T, Problem>, key: &str) -> Result<T, Problem> {
        found.map_err(|problem| match problem {
            Problem::Bad { message, .. } => {
                let path = self.at(key);
                Problem::Bad {
                    message: message.replacen(&format!("`{key}`"), &format!("`{path}`"), 1),
                    param: path,
                }
            }
            other @ Problem::Unsupported { .. } => other,
        })
    }

    /// Takes a value out; `null` counts as absent.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a RawValue> {
        self.object.take(key)
    }

    /// Whether a key is there and not `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.object.has(key)
    }

    /// The name of the first key.
    pub(super) fn first_key(&self) -> Option<&str> {
        self.object.iter().next().map(|(key, _)| key)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Problem> {
        let found = self.object.text(key);
        self.placed(found, key)
    }

    /// Takes a text that must be there.
    pub(super) fn required(&mut self, key: &str) -> Result<String, Problem> {
        self.text(key)?
            .ok_or_else(|| self.bad(key, "is missing: it must be a string"))
    }

    /// Takes a truth value.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Problem> {
        let found = self.object.flag(key);
        self.placed(found, key)
    }

    /// Takes a list.
    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<&'a RawValue>>, Problem> {
        let found = self.object.list(key);
        self.placed(found, key)
    }

    /// Takes an object.
    pub(super) fn node(&mut self, key: &str) -> Result<Option<Self>, Problem> {
        let path = self.at(key);
        self.take(key).map(|raw| Self::read(raw, path)).transpose()
    }

    /// Takes an object that must be there.
    pub(super) fn required_node(&mut self, key: &str) -> Result<Self, Problem> {
        self.node(key)?
            .ok_or_else(|| self.bad(key, "is missing: it must be an object"))
    }

    /// Takes JSON that must be an object, as it is written.
    pub(super) fn schema(&mut self, key: &str) -> Result<Option<&'a RawValue>, Problem> {
        match self.take(key) {
            Some(raw) if raw.get().starts_with('{') => Ok(Some(raw)),
            Some(_) => Err(self.bad(key, "must be an object")),
            None => Ok(None),
        }
    }

    /// Takes its cache marker.
    pub(super) fn cache(&mut self) -> Result<Option<CacheMarker>, Problem> {
        let Some(mut marker) = self.node("cache_control")? else {
            return Ok(None);
        };
        let ttl = marker.text("ttl")?;
        Ok(Some(CacheMarker::of(marker.take("type"), ttl.as_deref())))
    }
}

/// The texts of a list of strings.
pub(super) fn texts(list: &[&RawValue]) -> Option<Vec<String>> {
    list.iter().map(|raw| json::text(raw)).collect()
}
