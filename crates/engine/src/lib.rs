//! Decisions: which provider may serve a name, and what a call may and did cost.
//!
//! Pure functions over values. Must never do I/O, read a clock or hold state of its own; the caller
//! brings the facts. Start at [`resolve`] for names and [`price`] for money.

pub mod price;
pub mod resolve;
