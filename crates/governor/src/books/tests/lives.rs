//! Any sequence of calls, changes, resets and sweeps, against the rows of a ledger that does not lag.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(i64),
    /// A key is compiled that counts toward these budgets.
    Compile([bool; BUDGETS]),
    Evict(Index),
    Hold(Index, i64, i64),
    Grow(Index, i64),
    Settle(Index, i64),
    Drop(Index),
    Fold,
    Sweep,
    Limit(Index, i64),
    Reset(Index),
}

const BUDGETS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..400_i64).prop_map(Step::Pass),
        3 => any::<[bool; BUDGETS]>().prop_map(Step::Compile),
        2 => any::<Index>().prop_map(Step::Evict),
        8 => (any::<Index>(), 0..60_i64, 0..20_i64)
            .prop_map(|(key, strict, soft)| Step::Hold(key, strict, soft)),
        2 => (any::<Index>(), 0..30_i64).prop_map(|(hold, more)| Step::Grow(hold, more)),
        6 => (any::<Index>(), 0..60_i64).prop_map(|(hold, cost)| Step::Settle(hold, cost)),
        2 => any::<Index>().prop_map(Step::Drop),
        3 => Just(Step::Fold),
        3 => Just(Step::Sweep),
        1 => (any::<Index>(), 1..300_i64).prop_map(|(budget, limit)| Step::Limit(budget, limit)),
        1 => any::<Index>().prop_map(Step::Reset),
    ]
}

/// An open hold, and what it is in each budget.
struct Open {
    hold: Hold,
    admitted: UnixMicros,
    held: [Option<i64>; BUDGETS],
}

struct World {
    now: UnixMicros,
    ledger: Arc<Lagging>,
    books: Books,
    budgets: Vec<Budget>,
    folded_through: UnixMicros,
    keys: Vec<([bool; BUDGETS], Accounts)>,
    open: Vec<Open>,
}

impl World {
    fn new() -> Self {
        let (ledger, books) = books();
        let anchor = Schedule::opening(Window::Hour, Some(later(700)), NOON);
        let mut anchored = budget("e", Window::Hour, 150);
        anchored.cycle_anchor_at = anchor.anchor;
        anchored.current_period_started_at = anchor.period_started_at;
        anchored.resets_at = anchor.resets_at;
        Self {
            now: NOON,
            ledger,
            books,
            budgets: vec![
                budget("a", Window::Hour, 300),
                Budget {
                    on_breach: OnBreach::Warn,
                    ..budget("b", Window::Total, 50)
                },
                Budget {
                    enforcement: Enforcement::Soft,
                    ..budget("c", Window::Minute, 80)
                },
                budget("d", Window::Manual, 400),
                anchored,
            ],
            folded_through: NOON,
            keys: Vec::new(),
            open: Vec::new(),
        }
    }

    fn floor(&self, index: usize) -> Option<UnixMicros> {
        let terms = terms(&self.budgets[index], None).expect("a window");
        terms.counts_from(self.now)
    }

    fn spent(&self, index: usize) -> i64 {
        let bucket = self.budgets[index].id.as_str();
        self.ledger.truth(bucket, self.floor(index))
    }

    fn reserved(&self, index: usize) -> i64 {
        let floor = self.floor(index);
        let here = self.open.iter().filter(|open| floor <= Some(open.admitted));
        here.filter_map(|open| open.held[index]).sum()
    }

    /// Whether the limit lets `amount` in on top of what is spent and held.
    fn fits(&self, index: usize, amount: i64) -> bool {
        self.spent(index) + self.reserved(index) + amount <= self.budgets[index].limit.0
    }

    /// Whether a budget refuses calls that are admitted at `admitted` when they do not fit.
    fn enforced(&self, index: usize, admitted: UnixMicros) -> bool {
        self.budgets[index].on_breach == OnBreach::Block && self.floor(index) <= Some(admitted)
    }

    fn amount(&self, index: usize, strict: i64, soft: i64) -> i64 {
        match self.budgets[index].enforcement {
            Enforcement::Strict => strict,
            Enforcement::Soft => soft,
        }
    }

    fn accounts(&self, of: [bool; BUDGETS]) -> Accounts {
        let chosen = self.budgets.iter().zip(of).filter(|(_, chosen)| *chosen);
        let opened = chosen.map(|(budget, _)| self.books.account(budget, "", None, self.now));
        opened.map(|account| account.expect("reads")).collect()
    }

    /// A changed row reaches all keys before anybody is answered.
    fn announce(&mut self) {
        let keys: Vec<_> = self.keys.iter().map(|(of, _)| *of).collect();
        self.keys = keys.into_iter().map(|of| (of, self.accounts(of))).collect();
        // Of calls too that go on with accounts of a key that is gone.
        let kept: Vec<_> = self
            .open
            .iter()
            .map(|open| open.held.map(|held| held.is_some()))
            .collect();
        for of in kept {
            self.accounts(of);
        }
    }

    fn hold(&mut self, key: Index, strict: i64, soft: i64) {
        if self.keys.is_empty() {
            return;
        }
        let key = key.index(self.keys.len());
        let of = self.keys[key].0;
        let amounts = Amounts {
            strict: NanoUsd(strict),
            soft: NanoUsd(soft),
        };
        let mut held = [None; BUDGETS];
        let mut refused = None;
        for index in (0..BUDGETS).filter(|index| of[*index]) {
            let amount = self.amount(index, strict, soft);
            let left = self.spent(index) < self.budgets[index].limit.0;
            let fits = left && self.fits(index, amount);
            if refused.is_none() && self.enforced(index, self.now) && !fits {
                refused = Some(index);
            }
            held[index] = Some(amount);
        }
        match self.keys[key].1.hold(amounts, self.now) {
            Ok(hold) => {
                assert_eq!(refused, None, "it should have been refused");
                self.open.push(Open {
                    hold,
                    admitted: self.now,
                    held,
                });
            }
            Err(refusal) => {
                let index = refused.expect("it should have been taken");
                assert_eq!(*refusal.account.budget(), self.budgets[index].id);
                assert_eq!(Some(refusal.needed.0), held[index]);
            }
        }
    }

    fn grow(&mut self, pick: Index, more: i64) {
        if self.open.is_empty() {
            return;
        }
        let pick = pick.index(self.open.len());
        let admitted = self.open[pick].admitted;
        let amounts = Amounts {
            strict: NanoUsd::ZERO,
            soft: NanoUsd(more),
        };
        let in_budget = |index: &usize| self.open[pick].held[*index].is_some();
        let grown: Vec<_> = (0..BUDGETS)
            .filter(in_budget)
            .map(|index| (index, self.amount(index, 0, more)))
            .collect();
        let refuses = |(index, amount): &(usize, i64)| {
            *amount > 0 && self.enforced(*index, admitted) && !self.fits(*index, *amount)
        };
        let expected = grown
            .iter()
            .find(|each| refuses(each))
            .map(|(index, _)| *index);
        let got = self.open[pick].hold.grow(amounts, self.now);
        let got = got.err().map(|refusal| refusal.account.budget().clone());
        assert_eq!(got, expected.map(|index| self.budgets[index].id.clone()));
        if expected.is_none() {
            for (index, amount) in grown {
                if let Some(held) = &mut self.open[pick].held[index] {
                    *held += amount;
                }
            }
        }
    }

    fn settle(&mut self, pick: Index, cost: i64) {
        if self.open.is_empty() {
            return;
        }
        let pick = pick.index(self.open.len());
        let Open {
            hold,
            admitted,
            held: _,
        } = self.open.swap_remove(pick);
        for account in hold.accounts().iter() {
            self.ledger.write(account.name(), admitted, cost);
        }
        hold.settle(NanoUsd(cost));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(seconds) => self.now = self.now.plus_micros(seconds * SECOND),
            Step::Compile(of) => self.keys.push((of, self.accounts(of))),
            Step::Evict(key) if !self.keys.is_empty() => {
                self.keys.swap_remove(key.index(self.keys.len()));
            }
            Step::Hold(key, strict, soft) => self.hold(key, strict, soft),
            Step::Grow(hold, more) => self.grow(hold, more),
            Step::Settle(hold, cost) => self.settle(hold, cost),
            Step::Drop(hold) if !self.open.is_empty() => {
                self.open.swap_remove(hold.index(self.open.len()));
            }
            Step::Fold => {
                self.ledger.fold();
                self.folded_through = self.now;
            }
            Step::Sweep => {
                self.books.sweep(self.folded_through, self.now);
            }
            Step::Limit(budget, limit) => {
                let budget = &mut self.budgets[budget.index(BUDGETS)];
                budget.limit = NanoUsd(limit);
                budget.revision += 1;
                self.announce();
            }
            Step::Reset(budget) => {
                self.now = self.now.plus_micros(1);
                reset(&mut self.budgets[budget.index(BUDGETS)], self.now);
                self.announce();
                // Nobody is admitted in the very instant.
                self.now = self.now.plus_micros(1);
            }
            Step::Evict(_) | Step::Drop(_) => {}
        }
    }

    /// Whatever accounts anybody holds, and any that are opened now, say what the ledger would.
    fn check(&self) {
        let keys = self.keys.iter().map(|(_, accounts)| accounts);
        let calls = self.open.iter().map(|open| open.hold.accounts());
        for account in keys.chain(calls).flat_map(Accounts::iter) {
            let find = |budget: &Budget| budget.id == *account.budget();
            let index = self.budgets.iter().position(find).expect("one of them");
            let expected = (self.spent(index), self.reserved(index));
            assert_eq!(figures(account, self.now), expected, "{}", account.name());
        }
    }
}

proptest! {
    #[test]
    fn accounts_always_say_what_a_ledger_without_lag_would(steps in vec(step(), 1..100)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        // Calls end, and what is opened at the very end was not forgotten either.
        world.open.clear();
        world.keys.push(([true; BUDGETS], world.accounts([true; BUDGETS])));
        world.check();
    }
}
