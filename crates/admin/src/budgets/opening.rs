//! What had been spent in its current period before there was a budget: a new monthly cap counts the spend
//! of the whole month.
//!
//! From its opening on a budget counts what names it, and nothing else: whoever joins or leaves what it is
//! for takes no spend along. Must come before the commit that creates the budget, so that there is no
//! live budget without its opening; one whose budget is never committed does no harm. Start at [`open`].

use std::collections::BTreeSet;

use lw_core::{BudgetId, Code, Error, NanoUsd, OrganizationId, UnixMicros};
use lw_engine::period::{Window, calendar_start};
use lw_store::ledger::{Opening, SpendQuery, Spenders};
use lw_store::rows::{Budget, BudgetTarget};

use super::counting::{Books, Counting};
use super::view::schedule;
use crate::Admin;
use crate::edge::stored;

/// Budgets that are read, and opened, at once.
const PAGE: usize = 1_000;

/// Opens a budget that is about to be created.
///
/// # Errors
/// A store failed. The budget must not be created: it would never learn what was spent before.
pub(crate) fn open(admin: &Admin, row: &Budget, now: UnixMicros) -> Result<(), Error> {
    let counting = Counting::of(Books::of(admin), &row.organization_id);
    let opened = [(row.id.clone(), openings(&counting, row, now)?)];
    admin.ledger.open_budgets(&opened).map_err(stored)
}

/// Opens a budget of something that is just being created, so that nothing can have been spent on it.
///
/// # Errors
/// The ledger failed.
pub(crate) fn open_empty(admin: &Admin, row: &Budget) -> Result<(), Error> {
    let opened = [(row.id.clone(), Vec::new())];
    admin.ledger.open_budgets(&opened).map_err(stored)
}

/// Opens the live budgets that come after the last open one: those of a version that had no openings, or
/// all that a ledger put back from a copy does not know. Call it before anything is served. Returns how many
/// were opened; when there is none it asks each store once, however many budgets there are.
///
/// Looking behind the last one is enough. Whoever creates a budget opens it first; ids follow the time; and
/// this goes through them in their order, page by page, so that it never leaves one behind when it is cut
/// short.
///
/// A budget whose row makes no sense is passed over: it must not keep the others from being served.
///
/// # Errors
/// A store cannot be asked. What was opened stays open; the next call goes on from there.
pub fn open_missing(books: Books<'_>, now: UnixMicros) -> Result<u64, Error> {
    let mut last = books.ledger.last_opened().map_err(stored)?;
    let mut opened = 0;
    loop {
        let page = books.store.live_budgets(last.as_ref(), PAGE);
        let page = page.map_err(stored)?;
        let mut found = Vec::new();
        for (organization, id) in &page {
            match openings_of(books, organization, id, now) {
                Ok(openings) => found.push((id.clone(), openings)),
                Err(error) if error.code() == Code::StoreUnavailable => return Err(error),
                Err(error) => tracing::error!(%error, budget = %id, "a budget cannot be opened"),
            }
        }
        books.ledger.open_budgets(&found).map_err(stored)?;
        opened += found.len() as u64;
        match page.into_iter().next_back() {
            Some((_, id)) => last = Some(id),
            None => return Ok(opened),
        }
    }
}

fn openings_of(
    books: Books<'_>,
    organization: &OrganizationId,
    id: &BudgetId,
    now: UnixMicros,
) -> Result<Vec<Opening>, Error> {
    match books.store.budget(organization, id).map_err(stored)? {
        Some(row) => openings(&Counting::of(books, organization), &row, now),
        None => Ok(Vec::new()),
    }
}

fn openings(counting: &Counting<'_>, row: &Budget, now: UnixMicros) -> Result<Vec<Opening>, Error> {
    let mut openings = Vec::new();
    match &row.target {
        // Nobody kept apart what an end user spent.
        BudgetTarget::EndUsersOfKey(_) | BudgetTarget::EndUsersOfProject(_) => {}
        BudgetTarget::Group(group) => {
            let store = counting.books().store;
            let members = store.group_members(&row.organization_id, group);
            for member in members.map_err(stored)? {
                let person = BudgetTarget::Principal(member.id.clone());
                spent_before(
                    counting,
                    row,
                    &person,
                    member.id.as_str(),
                    now,
                    &mut openings,
                )?;
            }
        }
        target => spent_before(counting, row, target, "", now, &mut openings)?,
    }
    Ok(openings)
}

/// Adds what whoever stands behind `target` has spent.
fn spent_before(
    counting: &Counting<'_>,
    row: &Budget,
    target: &BudgetTarget,
    member: &str,
    now: UnixMicros,
    openings: &mut Vec<Opening>,
) -> Result<(), Error> {
    let Some(spenders) = counting.behind(target)? else {
        tracing::warn!(budget = %row.id, "too many keys to tell what was spent before the budget");
        return Ok(());
    };
    let starts = starts(row, now)?;
    let ends = starts.iter().skip(1).copied().chain([UnixMicros(i64::MAX)]);
    for (from, to) in starts.iter().copied().zip(ends) {
        let amount = sum(counting, row, spenders.clone(), from, to)?;
        if amount.0 != 0 {
            openings.push(Opening {
                member: member.to_owned(),
                at: from,
                amount,
            });
        }
    }
    Ok(())
}

fn sum(
    counting: &Counting<'_>,
    row: &Budget,
    spenders: Spenders,
    from: UnixMicros,
    to: UnixMicros,
) -> Result<NanoUsd, Error> {
    let query = SpendQuery {
        organization_id: row.organization_id.clone(),
        spenders,
        model_provider_id: row.provider_key.clone(),
        from,
        to,
    };
    counting.books().ledger.spent(&query).map_err(stored)
}

/// When the parts begin that earlier spend is told in, oldest first. One, the current period, unless the
/// budget is a key's own: its window can change, so each window that it may have can be summed.
fn starts(row: &Budget, now: UnixMicros) -> Result<Vec<UnixMicros>, Error> {
    let current = schedule(row)?.counts_from(now).unwrap_or_default();
    let mut starts = BTreeSet::from([current]);
    if row.managed_by_virtual_key_id.is_some() {
        let windows = [Window::Day, Window::Week, Window::Month];
        starts.extend(
            windows
                .iter()
                .filter_map(|window| calendar_start(*window, now)),
        );
    }
    Ok(starts.into_iter().collect())
}
