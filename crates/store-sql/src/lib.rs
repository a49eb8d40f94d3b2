//! The SQL engines behind the ports of `lw-store`.
//!
//! One file per aggregate, statements in a subset that SQLite and PostgreSQL share, as literals or put
//! together from literals where a row is written or a list is filtered (`config/statement.rs`): `$1` parameters, integer micros for times, integer nanos for money, text for ids, JSON as text. What the
//! engine must do in its own way lives in `sqlite.rs` and nowhere else.
//!
//! Must never decide anything that a port leaves to its caller (permissions, ids, the time). Start at
//! [`config`].

pub mod config;
pub mod ledger;
mod migrations;
mod sqlite;
pub mod trace;

pub use sqlite::Tuning;
