//! The vendors' wire shapes, written from their documentation and from nothing of ours.
//!
//! Each module writes one endpoint from a [`crate::answer::Draft`], whole or as frames. Never reads
//! a request and never knows about faults. Start at [`chat`].

pub(crate) mod chat;
pub(crate) mod converse;
pub(crate) mod embeddings;
pub(crate) mod gemini;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod responses;

/// A server-sent event whose name equals its payload's `type`.
fn named_event(name: &str, payload: &str) -> String {
    format!("event: {name}\ndata: {payload}\n\n")
}
