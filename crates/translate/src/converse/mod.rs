//! Bedrock Converse, as a provider speaks it (providers 7.3, 15, 16, 17).
//!
//! Requests are written ([`request`]), answers and streams read ([`answer`], [`stream`]). Converse checks
//! the structure of a request, so nothing is written that it does not know; what only some models know goes
//! into `additionalModelRequestFields`, which Converse gives on unread. Nobody calls the gateway in this
//! dialect: there is no reader of requests and no writer of answers.

mod answer;
mod block;
mod request;
mod stream;

pub(crate) use answer::read_answer;
pub(crate) use request::write_request;
pub use stream::{Reader, invoke_chunk};
