//! What a rule does: `{mode, ttl?, salt?}`. Start at [`read`].

use std::sync::Arc;

use serde_json::Value;

use super::{CacheMode, within_a_day};

/// The lifetime that the word `persistent` stands for, in seconds: the longest that providers have.
const PERSISTENT: u32 = 3_600;

/// A rule's action.
pub(super) struct Action {
    pub(super) mode: CacheMode,
    pub(super) salt: Option<Arc<str>>,
}

/// Reads an action; what is null is not set. `None` when anything in it is not understood.
pub(super) fn read(stored: &Value) -> Option<Action> {
    let mut word = None;
    let mut ttl = None;
    let mut salt = None;
    for (name, value) in stored.as_object()? {
        match (name.as_str(), value) {
            ("mode", Value::String(mode)) => word = Some(mode.as_str()),
            ("ttl", Value::Number(seconds)) => ttl = Some(within_a_day(seconds.as_u64()?)),
            ("ttl", Value::String(text)) if text == "persistent" => ttl = Some(PERSISTENT),
            ("salt", Value::String(text)) => salt = Some(text.as_str()),
            ("ttl" | "salt", Value::Null) => {}
            _ => return None,
        }
    }
    Some(Action {
        mode: CacheMode::plain(word?, ttl)?,
        salt: salt.filter(|salt| !salt.is_empty()).map(Arc::from),
    })
}
