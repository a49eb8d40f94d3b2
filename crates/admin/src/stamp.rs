//! Rows that count no revisions: when they were changed last says which version they are
//! (management-api 28.3).
//!
//! The stamp of a row moves by at least a millisecond with every change, so that two versions never have
//! the same tag. A writer names the row that it read ([`lw_store::config::Known`]); when somebody else was
//! faster it reads again. Start at [`next`], [`insist`] and [`landed`].

use lw_core::{Code, Error, UnixMicros};
use lw_store::StoreError;
use lw_store::config::Committed;
use serde_json::Value;

use crate::serve::Answer;
use crate::write::Tried;

/// The stamp of a row that is changed at `now` and was changed last at `before`.
pub(crate) fn next(now: UnixMicros, before: UnixMicros) -> UnixMicros {
    if now.millis() > before.millis() {
        now
    } else {
        UnixMicros::from_millis(before.millis().saturating_add(1))
    }
}

/// 200 with a row and its tag.
pub(crate) fn answer(shown: Value, updated_at: UnixMicros) -> Answer {
    Answer::ok(shown).at_revision(updated_at.millis())
}

/// Insists that the version that the caller saw (`If-Match`) is the newest.
///
/// # Errors
/// `revision_conflict` with the newest one.
pub(crate) fn insist(
    seen: Option<i64>,
    updated_at: UnixMicros,
    current: &Value,
) -> Result<(), Error> {
    if seen.is_none_or(|seen| seen == updated_at.millis()) {
        return Ok(());
    }
    Err(conflict().with("current", current.clone()))
}

/// The answer to a writer for whom somebody else was always faster.
pub(crate) fn conflict() -> Error {
    let message = "The row changed since it was read. Read it again and repeat the change.";
    Error::new(Code::RevisionConflict, message)
}

/// How a commit ended: done, to be tried again, or refused as `refused` says.
pub(crate) fn landed<T>(
    committed: Result<Committed, StoreError>,
    done: T,
    refused: impl FnOnce(StoreError) -> Error,
) -> Result<Tried<T>, Error> {
    match committed {
        Ok(_) => Ok(Tried::Done(done)),
        Err(StoreError::Stale) => Ok(Tried::Stale),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_change_has_a_new_tag(before in 0..4_000_000_000_000_000_i64, drift in -5_000..5_000_i64) {
            let before = UnixMicros(before);
            let after = next(before.plus_micros(drift), before);
            prop_assert!(after.millis() > before.millis());
            prop_assert!(after.millis() - before.millis() <= 6);
        }
    }
}
