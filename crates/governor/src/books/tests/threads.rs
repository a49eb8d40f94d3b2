//! Many threads over the same accounts.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use super::*;

const THREADS: u64 = 16;
const CALLS: u64 = 1_500;

/// A small generator of its own for each thread, so that a run can be told by its seeds.
struct Dice(u64);

impl Dice {
    /// Never zero, which would stay zero.
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn amount(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).expect("small")
    }
}

/// Ten budgets: every third only warns, every fourth is soft.
fn budgets() -> Vec<Budget> {
    let each = |index: usize| {
        let mut budget = budget(&format!("b{index}"), Window::Total, 100_000);
        if index % 3 == 2 {
            budget.on_breach = OnBreach::Warn;
        }
        if index % 4 == 3 {
            budget.enforcement = Enforcement::Soft;
        }
        budget
    };
    (0..10).map(each).collect()
}

#[test]
fn strict_budgets_are_never_overspent_and_nothing_is_lost_or_invented() {
    let (_, books) = books();
    let budgets = budgets();
    let open = |budget: &Budget| books.account(budget, "", None, NOON).expect("reads");
    let all: Vec<_> = budgets.iter().map(open).collect();
    let settled: Vec<_> = budgets.iter().map(|_| AtomicI64::new(0)).collect();
    let refused = AtomicI64::new(0);
    let strict = |budget: &Budget| {
        budget.on_breach == OnBreach::Block && budget.enforcement == Enforcement::Strict
    };
    let keep = || {
        for (budget, account) in budgets
            .iter()
            .zip(&all)
            .filter(|(budget, _)| strict(budget))
        {
            let standing = account.standing(NOON);
            let used = standing.spent + standing.reserved;
            assert!(used <= budget.limit, "{}: {standing:?}", account.name());
        }
    };
    let work = |seed: u64| {
        let mut dice = Dice::of(seed);
        for _ in 0..CALLS {
            // In the order of the dice: the set sorts.
            let mut chosen: Vec<_> = (0..5).map(|_| dice.roll(10)).collect();
            let picked = chosen
                .iter()
                .map(|index| all[usize::try_from(*index).expect("small")].clone());
            let accounts: Accounts = picked.collect();
            let most = dice.amount(100);
            let amounts = Amounts {
                strict: NanoUsd(most),
                soft: NanoUsd(most / 3),
            };
            let Ok(mut hold) = accounts.hold(amounts, NOON) else {
                refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let more = dice.amount(20);
            let grown = hold.grow(both(more), NOON).is_ok();
            keep();
            if dice.roll(5) == 0 {
                continue;
            }
            let cost = dice.amount(1 + most.unsigned_abs()) + if grown { more } else { 0 };
            chosen.sort_unstable();
            chosen.dedup();
            for index in chosen {
                settled[usize::try_from(index).expect("small")].fetch_add(cost, Ordering::Relaxed);
            }
            hold.settle(NanoUsd(cost));
        }
    };
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            scope.spawn(move || work(seed));
        }
    });
    keep();
    for (account, settled) in all.iter().zip(&settled) {
        let expected = (settled.load(Ordering::Relaxed), 0);
        assert_eq!(figures(account, NOON), expected, "{}", account.name());
    }
    assert!(refused.load(Ordering::Relaxed) > 0, "no limit was reached");
}

#[test]
fn accounts_that_are_always_used_together_are_never_seen_apart() {
    let (_, books) = books();
    let open = |id| {
        let budget = budget(id, Window::Total, 1_000);
        books.account(&budget, "", None, NOON).expect("reads")
    };
    let [first, second] = ["a", "b"].map(open);
    let accounts = Accounts::from_iter([second.clone(), first.clone()]);
    let work = |seed: u64| {
        let mut dice = Dice::of(seed);
        for _ in 0..CALLS {
            match accounts.hold(both(dice.amount(300)), NOON) {
                Ok(mut hold) => {
                    // Whatever fits into the first fits into the second, at every instant.
                    if let Err(refusal) = hold.grow(both(dice.amount(300)), NOON) {
                        assert!(Arc::ptr_eq(&refusal.account, &first));
                    }
                }
                Err(refusal) => assert!(Arc::ptr_eq(&refusal.account, &first)),
            }
        }
    };
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            scope.spawn(move || work(seed));
        }
    });
    assert_eq!(
        [&first, &second].map(|account| figures(account, NOON)),
        [(0, 0); 2]
    );
}

#[test]
fn periods_turn_terms_change_and_sweeps_run_while_calls_go_on() {
    let (ledger, books) = books();
    let clock = AtomicI64::new(NOON.0);
    let now = || UnixMicros(clock.load(Ordering::SeqCst));
    let minute = Budget {
        on_breach: OnBreach::Warn,
        ..budget("minute", Window::Minute, 1_000)
    };
    let total = budget("total", Window::Total, i64::MAX);
    let done = AtomicBool::new(false);
    let spent = AtomicI64::new(0);
    let call = |seed: u64| {
        let mut dice = Dice::of(seed);
        for _ in 0..CALLS / 5 {
            let at = now();
            let open = |budget: &Budget| books.account(budget, "", None, at).expect("reads");
            let accounts = Accounts::from_iter([open(&total), open(&minute)]);
            let hold = accounts.hold(both(5), at).expect("nobody refuses");
            let cost = dice.amount(9);
            ledger.write("bgt_total", at, cost);
            ledger.write("bgt_minute", at, cost);
            spent.fetch_add(cost, Ordering::Relaxed);
            hold.settle(NanoUsd(cost));
        }
    };
    thread::scope(|scope| {
        let calls: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || call(seed)))
            .collect();
        scope.spawn(|| {
            let mut changed = minute.clone();
            while !done.load(Ordering::Acquire) {
                let folded_through = now();
                ledger.fold();
                clock.fetch_add(90 * SECOND, Ordering::SeqCst);
                changed.revision += 1;
                changed.limit = NanoUsd(changed.revision);
                books.account(&changed, "", None, now()).expect("reads");
                books.sweep(folded_through, now());
            }
        });
        for each in calls {
            each.join().expect("no call fails");
        }
        done.store(true, Ordering::Release);
    });
    let at = now();
    let account = books.account(&total, "", None, at).expect("reads");
    assert_eq!(figures(&account, at), (spent.load(Ordering::Relaxed), 0));
    let account = books.account(&minute, "", None, at).expect("reads");
    assert_eq!(figures(&account, at).1, 0);
}
