//! Anthropic Messages: the caller's dialect of Claude Code and the Anthropic SDKs, and the provider's of
//! Anthropic itself, of Claude on Vertex and on Bedrock `invoke`, and of servers that imitate it.
//!
//! Must never give a provider thinking that it did not seal itself, nor a caller a stream that the official
//! accumulators would choke on. Start at `read_request` and `write_request`; answers are in `answer`,
//! streams in `stream`, and the small edits for Claude on other clouds in [`near_native`].

mod answer;
mod blocks;
#[cfg(test)]
mod cases;
mod citation;
mod client_tools;
mod hosted;
mod media;
mod near_native;
mod read;
mod stream;
mod turns;
mod usage;
mod write;

pub(crate) use answer::{read_answer, write_answer};
pub use near_native::{Door, near_native};
pub(crate) use read::read_request;
pub use stream::{Reader, Writer};
pub(crate) use write::write_request;

use crate::Caller;

/// How many hex digits of the request's id stand in ids that have to be made.
const ID_DIGITS: usize = 24;

/// The number that stands for this answer in ids that have to be made (providers 16).
fn message_number(caller: &Caller) -> &str {
    let hex = caller.request_hex.as_str();
    hex.get(..ID_DIGITS).unwrap_or(hex)
}

/// The answer's id when the provider gave none.
fn message_id(caller: &Caller) -> String {
    format!("msg_lwgw_{}", message_number(caller))
}

/// The id of a call when the provider gave none. `index` is the block's.
fn call_id(caller: &Caller, index: usize) -> String {
    format!("toolu_lwgw_{}_{index}", message_number(caller))
}
