//! Decisions: who may do what, which provider may serve a name, which budgets a call counts toward and
//! since when, what a rule's pattern matches, and what a call may and did cost.
//!
//! Pure functions over values. Must never do I/O, read a clock or hold state of its own; the caller
//! brings the facts. Start at [`access`] for permissions, [`resolve`] for names and [`price`] for money.

pub mod access;
pub mod account;
pub mod breaker;
pub mod budget_scope;
pub mod cache_rule;
pub mod eligible;
pub mod guardrail;
pub mod limit;
pub mod pattern;
pub mod period;
pub mod price;
pub mod resolve;
pub mod route;
pub mod rules;
mod steady;
