//! The data plane: from the first byte on a caller's socket to the last byte of the answer.
//!
//! Must never touch SQL, hold a lock across an await, parse a whole body into a tree, or change a byte
//! that it was not told to. It reads compiled bundles and snapshots; facts leave through the spool (money)
//! and the record boxes (traces, metrics, log).
//!
//! Start at `edge::handle` for the walk of a request, and at [`serve`] for the threads it runs on.

mod access;
pub mod attribution;
pub mod bundle;
mod call;
pub mod check;
mod connection;
mod convert;
mod counting;
pub mod custody;
mod dispatch;
mod edge;
mod ended;
mod fetch;
mod foreign;
pub mod guardrail;
pub mod headers;
mod inbound;
mod kept;
pub mod keys;
pub mod lane;
pub mod metrics;
pub mod models;
mod ops;
pub mod record;
pub mod redact;
mod relay;
mod reply;
pub mod serve;
pub mod settings;
pub mod shelf;
mod signs;
mod stages;
mod translated;
mod vectors;
pub mod worker;
