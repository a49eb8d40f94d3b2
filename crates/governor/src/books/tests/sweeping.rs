//! What a sweep forgets, and what it must not.

use proptest::prelude::*;

use super::*;

/// Longer than an unused account stays.
const LONG: i64 = 2 * IDLE_US / SECOND;

/// Books with one budget's account, in which 10 were spent of a call that the ledger has not folded.
fn spent_ten() -> (Arc<Lagging>, Books, Budget) {
    let (ledger, books) = books();
    let total = budget("total", Window::Total, 100);
    let accounts = Accounts::from_iter([books.account(&total, "", None, NOON).expect("reads")]);
    let hold = accounts.hold(both(10), NOON).expect("fits");
    ledger.write("bgt_total", NOON, 10);
    hold.settle(NanoUsd(10));
    (ledger, books, total)
}

#[test]
fn an_account_goes_when_it_is_folded_unused_and_was_so_for_minutes() {
    let (ledger, books, total) = spent_ten();
    // The first sweep sees that it was used.
    assert_eq!(books.sweep(NOON, later(1)), 0);
    // Not folded: the sweep cannot know when before `later(1)` it was settled.
    assert_eq!(books.sweep(later(1), later(LONG)), 0);
    ledger.fold();
    assert_eq!(books.sweep(later(2), later(IDLE_US / SECOND)), 0);
    assert_eq!(books.sweep(later(2), later(1 + IDLE_US / SECOND)), 1);
    assert!(books.is_empty());
    let again = books.account(&total, "", None, later(LONG)).expect("reads");
    assert_eq!((figures(&again, later(LONG)), ledger.reads()), ((10, 0), 2));
}

#[test]
fn an_account_stays_while_a_key_or_a_call_has_it_and_for_minutes_after() {
    let (ledger, books, total) = spent_ten();
    ledger.fold();
    let key = Accounts::from_iter([books.account(&total, "", None, NOON).expect("reads")]);
    for now in [later(LONG), later(2 * LONG)] {
        assert_eq!(books.sweep(now, now), 0);
    }
    let hold = key.hold(both(5), later(2 * LONG)).expect("fits");
    drop(key);
    for now in [later(3 * LONG), later(4 * LONG)] {
        assert_eq!(books.sweep(now, now), 0);
    }
    drop(hold);
    // Use is noted when it is seen, however long ago it was.
    assert_eq!(books.sweep(later(5 * LONG), later(5 * LONG)), 0);
    assert_eq!(books.sweep(later(6 * LONG), later(6 * LONG)), 1);
}

#[test]
fn an_account_that_is_used_between_two_sweeps_stays() {
    let (ledger, books, total) = spent_ten();
    ledger.fold();
    for round in 1..5 {
        let now = later(round * LONG);
        assert_eq!(books.sweep(now, now), 0);
        books.account(&total, "", None, now).expect("is there");
    }
    assert_eq!(ledger.reads(), 1);
}

/// Does something in the middle of the first read.
struct Interrupted {
    ledger: Arc<Lagging>,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Spending for Interrupted {
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        let read = self.ledger.budget_spent(budget, member, from);
        let then = self.then.lock().take();
        if let Some(then) = then {
            then();
        }
        read
    }
}

/// Books whose first read of the ledger is overtaken by `then`.
fn interrupted(then: impl FnOnce(&Books, &Lagging) + Send + 'static) -> (Arc<Lagging>, Arc<Books>) {
    let ledger = Arc::new(Lagging::default());
    let books = Arc::new_cyclic(|books: &std::sync::Weak<Books>| {
        let (books, rows) = (books.clone(), ledger.clone());
        let then: Box<dyn FnOnce() + Send> =
            Box::new(move || then(&books.upgrade().expect("they are read"), &rows));
        Books::new(Arc::new(Interrupted {
            ledger: ledger.clone(),
            then: Mutex::new(Some(then)),
        }))
    });
    (ledger, books)
}

fn spend(books: &Books, ledger: &Lagging, cost: i64) {
    let total = budget("total", Window::Total, 100);
    let accounts = Accounts::from_iter([books.account(&total, "", None, NOON).expect("reads")]);
    let hold = accounts.hold(both(cost), NOON).expect("fits");
    ledger.write("bgt_total", NOON, cost);
    hold.settle(NanoUsd(cost));
}

#[test]
fn of_two_who_build_an_account_at_once_the_later_takes_the_earliers() {
    let (ledger, books) = interrupted(|books, ledger| spend(books, ledger, 10));
    let total = budget("total", Window::Total, 100);
    let account = books.account(&total, "", None, NOON).expect("reads");
    assert_eq!(figures(&account, NOON), (10, 0));
    assert_eq!((ledger.reads(), books.len()), (2, 1));
}

#[test]
fn what_was_read_before_a_sweep_is_not_used_after_it() {
    let (ledger, books) = interrupted(|books, ledger| {
        spend(books, ledger, 10);
        ledger.fold();
        books.sweep(later(1), NOON);
        assert_eq!(books.sweep(later(1), later(LONG)), 1);
    });
    let total = budget("total", Window::Total, 100);
    let account = books.account(&total, "", None, later(LONG)).expect("reads");
    assert_eq!(figures(&account, later(LONG)), (10, 0));
    assert_eq!(ledger.reads(), 3);
}

#[test]
fn books_do_not_grow_with_what_was_once_used() {
    let (ledger, books) = books();
    let template = budget("t", Window::Day, 100);
    for user in 0..2_000 {
        books
            .account(&template, &format!("user {user}"), None, NOON)
            .expect("reads");
    }
    assert_eq!((books.len(), ledger.reads()), (2_000, 2_000));
    assert_eq!(books.sweep(later(1), NOON), 0);
    assert_eq!(books.sweep(later(1), later(LONG)), 2_000);
    let room = |shard: &Mutex<Shard>| shard.lock().accounts.capacity();
    assert_eq!(books.shards.iter().map(room).sum::<usize>(), 0);
}

proptest! {
    #[test]
    fn a_sweep_at_any_instant_loses_no_spend(
        moves in proptest::collection::vec((0..4_u8, 0..400_i64), 1..60),
    ) {
        let (ledger, books) = books();
        let total = budget("total", Window::Total, i64::MAX);
        let (mut now, mut folded_through) = (NOON, UnixMicros::default());
        let mut swept = 0;
        for (kind, seconds) in moves {
            now = now.plus_micros(seconds * SECOND);
            match kind {
                0 => {
                    let account = books.account(&total, "", None, now).expect("reads");
                    let accounts = Accounts::from_iter([account]);
                    let hold = accounts.hold(both(3), now).expect("fits");
                    ledger.write("bgt_total", now, 2);
                    hold.settle(NanoUsd(2));
                }
                1 => {
                    ledger.fold();
                    folded_through = now;
                }
                _ => swept += books.sweep(folded_through, now),
            }
            if kind == 3 {
                let account = books.account(&total, "", None, now).expect("reads");
                prop_assert_eq!(figures(&account, now), (ledger.truth("bgt_total", None), 0));
            }
        }
        prop_assert!(ledger.reads() <= swept + 1);
    }
}
