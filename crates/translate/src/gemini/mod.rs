//! Gemini `generateContent`: callers of the Gemini API, and Gemini models on the Gemini API and on
//! Vertex AI.
//!
//! Google's JSON has two spellings for every key and optional ids for calls; both are dealt with at the
//! edge, so that nothing inside knows of them. A function call is always whole, and a seal may stand on any
//! part.
//!
//! Must never read a provider's answer strictly: Google adds kinds of parts and reasons as it goes. Start at
//! [`read_request`] and [`write_request`] for requests, at `chunk` for answers.

mod answer;
mod chunk;
mod citations;
mod fields;
mod logprobs;
mod request;
mod schema;
mod seal;
mod stream;
mod thinking;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use request::{read_request, write_request};
pub use stream::{Reader, Writer};
