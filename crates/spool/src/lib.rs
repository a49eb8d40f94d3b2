//! The local spool of spend: what keeps money safe from the death of the process.
//!
//! A data thread appends an admission (with its hold) before it dials the provider and an outcome
//! before the last bytes leave for the caller. Both are one `write(2)` into a file of its own, so they
//! survive `kill -9`; [`Spool::sync`], called every 100 ms, makes them survive a loss of power. A
//! [`Folder`] on a thread of its own turns the lines into ledger rows and deletes what was folded.
//!
//! Must never drop a record silently, block a data thread on another one, or carry content. A spool
//! that is full or cannot be written refuses admissions (503); outcomes are always taken.
//!
//! # Files
//!
//! | name | what it is |
//! |---|---|
//! | `lock` | held by the one process that uses this folder |
//! | `active-<pod>-<20 digits>.ndjson` | being written; the digits are the `pod_seq` of its first line |
//! | `seg-<pod>-<20 digits>.ndjson` | complete (1 MiB, or left by an earlier process); deleted once folded |
//!
//! A pod is one writer: `<node id>-<index of the data thread>`, or `<node id>-late` for outcomes that
//! had to wait for the disk. An empty `active-` file is not litter: it keeps the next `pod_seq`.
//!
//! Start at [`Spool::open`]; lines are described in [`record`], the other end in [`fold`].

pub mod fold;
pub mod record;
mod segment;
mod spool;
mod stop;
mod writer;

#[cfg(test)]
mod tests;

pub use fold::{FoldError, FoldReport, Folder, Recovery};
pub use record::{Admission, Attribution, Outcome, Period, Record};
pub use spool::{DEFAULT_MAX_BYTES, Spool, SpoolError, SpoolStats};
pub use stop::Stop;
pub use writer::{SpoolWriter, Taken};
