//! The data plane: from the first byte on a caller's socket to the last byte of the answer.
//!
//! Must never touch SQL, hold a lock across an await, parse a whole body into a tree, or change a byte
//! that it was not told to. It reads compiled bundles and snapshots; facts leave through the spool (money)
//! and the record boxes (traces, metrics, log).
//!
//! Start at `edge::handle` for the walk of a request, and at [`serve`] for the threads it runs on.

mod access;
mod answered;
mod attempt;
pub mod attribution;
mod beginning;
mod budget;
pub mod bundle;
mod caching;
mod call;
pub mod check;
mod connection;
mod convert;
mod counting;
pub mod custody;
mod decisions;
mod edge;
mod ended;
mod exhausted;
pub mod explain;
mod fetch;
mod foreign;
mod gate;
pub mod governed;
mod guarded;
pub mod guardrail;
pub mod headers;
mod inbound;
mod kept;
pub mod keys;
pub mod lane;
mod limit;
pub mod metrics;
pub mod models;
mod ops;
mod policy;
pub mod record;
pub mod redact;
mod refusal;
pub mod refusals;
mod relay;
mod reply;
pub mod serve;
mod setback;
pub mod settings;
pub mod shelf;
mod signs;
mod stages;
mod translated;
mod vectors;
mod walk;
pub mod worker;
