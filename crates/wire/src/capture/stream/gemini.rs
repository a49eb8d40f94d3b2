//! Gemini chunks.

use serde_json::Value;
use serde_json::value::RawValue;

use super::events;
use crate::capture::contents::Gathered;

/// The messages of a Gemini stream, or `None` if the bytes are no stream.
pub(in crate::capture) fn gemini(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut gathered = Gathered::default();
    let is_stream = events(bytes, |data| {
        if let Ok(chunk) = serde_json::from_slice::<&RawValue>(data) {
            gathered.take(chunk);
        }
    });
    is_stream.then(|| gathered.messages(true))?
}
