//! The live state that governance decides on: levels of rate limits, circuit breakers, and what is spent
//! and held of budgets. One of each for the process, shared by all data threads.
//!
//! The arithmetic is the engine's; this crate keeps its values, finds them fast, and makes changes atomic.
//! Must never hold a lock across an await, never do SQL on a data thread, and never grow with what exists:
//! only with what is in use. Start at [`limits`], [`breakers`], [`books`] and [`spender`].

pub mod books;
pub mod breakers;
pub mod limits;
pub mod spender;
