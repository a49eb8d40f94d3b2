//! OpenAI Chat Completions: what most callers speak, and most servers.
//!
//! As the caller's dialect it is read with every field of OpenAI and those that vendors added
//! ([`read_request`]), and answered with [`write_answer`] and [`Writer`]. As a provider's dialect it is
//! written for custom servers and OpenAI-like vendors ([`write_request`], whose differences stand in
//! `quirks`) and read leniently ([`read_answer`], [`Reader`]). Must never see a native lane: those bytes
//! pass untouched.

mod answer;
mod details;
mod node;
mod quirks;
mod read;
mod read_messages;
mod shared;
mod stream;
mod stream_write;
mod write;
mod write_messages;

#[cfg(test)]
mod tests;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub use stream::Reader;
pub use stream_write::Writer;
pub(crate) use write::write_request;
