//! How the rows with a revision are created, changed and deleted: what routing policies, cache rules,
//! guardrails and own prices have in common.
//!
//! A change reads the row, changes it and writes it back against the revision that was read. When somebody
//! else was faster it is done again on the newer row, unless the caller named the revision that it means
//! (`If-Match`). Row, events and audit row land together or not at all.
//!
//! Must never be given a row whose [`Row::show`] holds a secret: the audit log keeps what it shows. Start
//! at [`Change::run`].

use lw_core::{Error, UnixMicros};
use lw_store::StoreError;
use lw_store::config::{self, ChangeEvent, Committed, Write};
use serde_json::{Map, Value};

use crate::Admin;
use crate::caller::Caller;
use crate::edge::{changed_since, stored};
use crate::idempotency::Keep;
use crate::serve::Answer;
use crate::write::{Act, Filed, Tried, commit_answer, until_fresh};

/// A row with a revision.
pub(crate) trait Row: Clone {
    /// The envelope of its answers, and its kind in the audit log: `cache_rule`.
    const KIND: &'static str;

    /// Its id.
    fn id(&self) -> &str;

    /// Its revision.
    fn revision(&self) -> i64;

    /// Makes it the row after a change.
    fn advance(&mut self, now: UnixMicros);

    /// The row as callers see it, without anything secret.
    fn show(&self, admin: &Admin) -> Value;

    /// The answer to a row that does not exist for the caller.
    fn missing() -> Error;

    /// Whose audit log its changes stand in.
    fn filed(&self) -> Filed {
        Filed::Organization
    }

    /// What a store means that refused to write it.
    fn refused(error: StoreError) -> Error {
        stored(error)
    }
}

/// A row as the caller sees it, and its revision.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The resource.
    pub(crate) body: Value,
    /// What the `ETag` says.
    pub(crate) revision: i64,
}

impl Shown {
    /// What callers see of a row.
    pub(crate) fn of<R: Row>(admin: &Admin, row: &R) -> Self {
        Self {
            body: row.show(admin),
            revision: row.revision(),
        }
    }

    /// The answer: the resource in its envelope, and members beside it.
    pub(crate) fn answer<R: Row>(&self, beside: Map<String, Value>) -> Value {
        let mut out = beside;
        out.insert(R::KIND.to_owned(), self.body.clone());
        out.into()
    }

    /// 200 with the resource alone.
    pub(crate) fn ok<R: Row>(&self) -> Answer {
        Answer::ok(self.answer::<R>(Map::new())).at_revision(self.revision)
    }
}

/// Commits a new row with its answer; `beside` are further members of the answer.
///
/// # Errors
/// Those of [`Row::refused`].
pub(crate) fn create<R: Row>(
    admin: &Admin,
    caller: &Caller,
    action: &'static str,
    new: &New<'_, R>,
    keep: &Keep<'_>,
) -> Result<Answer, Error> {
    let New {
        row,
        writes,
        events,
        beside,
        now,
    } = new;
    let shown = Shown::of(admin, *row);
    let act = Act {
        action,
        target_kind: Some(R::KIND),
        target_id: row.id(),
        filed: row.filed(),
        after: Some(shown.body.clone()),
        events: events.clone(),
        ..Act::default()
    };
    let change = act.by(admin, caller, *now);
    let answer = Answer::created(shown.answer::<R>(beside.clone())).at_revision(shown.revision);
    commit_answer(admin, writes, change, answer, keep, R::refused)
}

/// A row that is being created.
pub(crate) struct New<'a, R> {
    /// The row.
    pub(crate) row: &'a R,
    /// Its insertion, and what else is written.
    pub(crate) writes: Vec<Write<'a>>,
    /// What gateways are told.
    pub(crate) events: Vec<ChangeEvent>,
    /// Members of the answer beside the resource.
    pub(crate) beside: Map<String, Value>,
    /// When.
    pub(crate) now: UnixMicros,
}

/// A change of an existing row: what it is called, and which revision the caller means.
pub(crate) struct Change<'a> {
    pub(crate) admin: &'a Admin,
    pub(crate) caller: &'a Caller,
    /// `gateway.cache_rule.updated`.
    pub(crate) action: &'static str,
    /// What the caller said beyond the row.
    pub(crate) args: Option<Value>,
    /// What gateways are told.
    pub(crate) events: Vec<ChangeEvent>,
    /// The revision that the caller saw last.
    pub(crate) seen: Option<i64>,
    /// Whether the row is gone afterwards.
    pub(crate) deletes: bool,
}

/// Whether a change has something to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    /// The row is already as it was asked to be.
    Nothing,
}

/// What is to be written, in one transaction.
pub(crate) struct Writing<'a, R> {
    /// The row afterwards.
    pub(crate) row: &'a R,
    /// The revision that it must still have.
    pub(crate) expected: i64,
    /// When.
    pub(crate) now: UnixMicros,
    /// Events and audit row.
    pub(crate) change: &'a config::Change,
}

/// A change that was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// The row before.
    pub(crate) old: Shown,
    /// The row after.
    pub(crate) new: Shown,
    /// What the transaction counted; `None` when there was nothing to write.
    pub(crate) committed: Option<Committed>,
}

impl Change<'_> {
    /// Reads, changes, writes, announces. `find` also checks that the caller may; `save` commits.
    ///
    /// # Errors
    /// Those of `find` and `edit`, `revision_conflict` with the current row, and those of
    /// [`Row::refused`].
    pub(crate) fn run<R: Row>(
        &self,
        find: impl Fn() -> Result<R, Error>,
        edit: impl Fn(&mut R, UnixMicros) -> Result<Step, Error>,
        save: impl Fn(&Writing<'_, R>) -> Result<Committed, StoreError>,
    ) -> Result<Done, Error> {
        let last = std::cell::Cell::new(Value::Null);
        until_fresh(
            || {
                let before = find()?;
                let old = Shown::of(self.admin, &before);
                if self.seen.is_some_and(|seen| seen != old.revision) {
                    return Err(changed_since(R::KIND, old.body));
                }
                let now = self.admin.clock.now();
                let mut after = before.clone();
                if edit(&mut after, now)? == Step::Nothing {
                    return Ok(Tried::Done(Done {
                        new: old.clone(),
                        old,
                        committed: None,
                    }));
                }
                after.advance(now);
                let new = Shown::of(self.admin, &after);
                let act = Act {
                    action: self.action,
                    target_kind: Some(R::KIND),
                    target_id: before.id(),
                    filed: before.filed().still(after.filed()),
                    before: Some(old.body.clone()),
                    after: Some(new.body.clone()).filter(|_| !self.deletes),
                    args: self.args.clone(),
                    events: self.events.clone(),
                };
                let change = act.by(self.admin, self.caller, now);
                let writing = Writing {
                    row: &after,
                    expected: before.revision(),
                    now,
                    change: &change,
                };
                match save(&writing) {
                    Ok(committed) => Ok(Tried::Done(Done {
                        old,
                        new,
                        committed: Some(committed),
                    })),
                    Err(StoreError::Missing) => Err(R::missing()),
                    Err(StoreError::Stale) => {
                        last.set(old.body);
                        Ok(Tried::Stale)
                    }
                    Err(error) => Err(R::refused(error)),
                }
            },
            || changed_since(R::KIND, last.take()),
        )
    }
}
