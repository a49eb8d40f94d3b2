//! OpenAI Responses: callers (Codex, the SDKs) and providers (OpenAI, Azure).
//!
//! The request is read in `read` (its items in `items`, its tools in `tools`) and written in `write`
//! (its items in `conversation`). A
//! whole answer is `answer`, a stream `stream_read` and `stream_write`; what both kinds of answer consist
//! of is in `output` (items) and `envelope` (the Response object around them, with the fields that it
//! repeats from the request). Must never keep state between requests: what stands for state at the provider
//! is refused or left to `crate::drops`.

mod answer;
mod conversation;
mod envelope;
pub(crate) mod freeform;
mod items;
mod output;
mod read;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod tools;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use read::read_request;
pub use stream_read::Reader;
pub use stream_write::Writer;
pub(crate) use write::write_request;

use crate::Problem;
use crate::signature::{Origin, Signature};

/// Writes `encrypted_content`: the id of an item of this dialect stands beside it.
fn write_seal(seal: &Signature, redacted: bool) -> String {
    let (_, sealed) = seal.item();
    Signature::new(seal.origin, sealed).write_marked(Origin::OpenAi, redacted)
}

/// Puts the path of the surrounding object before the key that a problem names.
fn under<T>(path: &str, result: Result<T, Problem>) -> Result<T, Problem> {
    result.map_err(|problem| match problem {
        Problem::Bad { message, param } => {
            let full = format!("{path}.{param}");
            let message = message.replacen(&format!("`{param}`"), &format!("`{full}`"), 1);
            Problem::bad(message, full)
        }
        other => other,
    })
}
