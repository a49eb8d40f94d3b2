//! What Gemini keeps between calls: cached contents and files, as metadata only.
//!
//! In memory, and gone with a reset. Start at [`Shelves`].

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::Value;

use crate::clock::rfc3339;
use crate::json::{Obj, quote};
use crate::target::Shelf;

/// How long a cached content lives when the caller does not say, in seconds.
const KEPT: u64 = 3_600;

#[derive(Default)]
pub(crate) struct Shelves {
    /// By full name, such as `files/mock-1`.
    things: Mutex<BTreeMap<String, String>>,
}

impl Shelves {
    /// Keeps what the body describes and answers with its metadata. `words` counts its tokens.
    pub(crate) fn put(&self, shelf: Shelf, n: u64, body: &Value, words: u64, now: u64) -> String {
        let name = format!("{}/mock-{n}", shelf.name());
        let text = |value: &Value, key: &str| {
            let value = value.get(key).and_then(Value::as_str);
            value.map(quote)
        };
        let made = rfc3339(now);
        let json = match shelf {
            Shelf::CachedContents => {
                let ttl = body.get("ttl").and_then(Value::as_str);
                let ttl = ttl.and_then(|ttl| ttl.strip_suffix('s')?.parse().ok());
                let until = rfc3339(now.saturating_add(ttl.unwrap_or(KEPT)));
                Obj::new()
                    .str("name", &name)
                    .raw_if("model", text(body, "model").as_deref())
                    .raw_if("displayName", text(body, "displayName").as_deref())
                    .str("createTime", &made)
                    .str("updateTime", &made)
                    .str("expireTime", &until)
                    .raw(
                        "usageMetadata",
                        &Obj::new().num("totalTokenCount", words).end(),
                    )
                    .end()
            }
            Shelf::Files => {
                let file = body.get("file").unwrap_or(body);
                Obj::new()
                    .str("name", &name)
                    .raw_if("displayName", text(file, "displayName").as_deref())
                    .raw_if("mimeType", text(file, "mimeType").as_deref())
                    .str("sizeBytes", "0")
                    .str("createTime", &made)
                    .str("updateTime", &made)
                    .str("expirationTime", &rfc3339(now.saturating_add(48 * KEPT)))
                    .str(
                        "uri",
                        &format!("https://generativelanguage.googleapis.com/v1beta/{name}"),
                    )
                    .str("state", "ACTIVE")
                    .end()
            }
        };
        self.things.lock().insert(name, json.clone());
        match shelf {
            Shelf::CachedContents => json,
            Shelf::Files => Obj::new().raw("file", &json).end(),
        }
    }

    pub(crate) fn list(&self, shelf: Shelf) -> String {
        let prefix = format!("{}/", shelf.name());
        let things = self.things.lock();
        let on = things.iter().filter(|(name, _)| name.starts_with(&prefix));
        let all: Vec<&str> = on.map(|(_, json)| json.as_str()).collect();
        if all.is_empty() {
            return String::from("{}");
        }
        Obj::new()
            .raw(shelf.name(), &format!("[{}]", all.join(",")))
            .end()
    }

    /// By full name.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.things.lock().get(name).cloned()
    }

    /// Whether it was there.
    pub(crate) fn take(&self, name: &str) -> bool {
        self.things.lock().remove(name).is_some()
    }

    pub(crate) fn clear(&self) {
        self.things.lock().clear();
    }
}
