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

/// Marks a seal that is all there is of the thinking (Anthropic `redacted_thinking`): the dialect has no
/// word for it, and callers may drop the ids of items, so it has to stand in `encrypted_content`. No seal
/// has a full stop in it.
const REDACTED: &str = "redacted.";

/// Reads `encrypted_content`: the seal, and whether it is all there is.
fn read_seal(text: &str) -> (Signature, bool) {
    let seal = Signature::read(text, Origin::OpenAi);
    match seal.value.strip_prefix(REDACTED) {
        Some(value) if seal.origin != Origin::OpenAi => (Signature::new(seal.origin, value), true),
        _ => (seal, false),
    }
}

/// Writes `encrypted_content`.
fn write_seal(seal: &Signature, redacted: bool) -> String {
    if redacted && seal.origin != Origin::OpenAi {
        Signature::new(seal.origin, format!("{REDACTED}{}", seal.value)).write(Origin::OpenAi)
    } else {
        seal.write(Origin::OpenAi)
    }
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
