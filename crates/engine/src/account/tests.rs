//! Balances: single rules by hand, and any sequence of them against a list of calls.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::period::{NEVER, Window};

const SECOND: i64 = 1_000_000;

fn at(text: &str) -> UnixMicros {
    UnixMicros::parse_rfc3339(text).expect(text)
}

fn terms(window: Window, limit: i64, now: UnixMicros) -> Terms {
    Terms {
        revision: 1,
        schedule: Schedule::opening(window, None, now),
        boundary: None,
        limit: NanoUsd(limit),
        refuses: true,
        strict: true,
    }
}

/// Limit, spent, reserved, percent.
fn figures(balance: &Balance) -> (i64, i64, i64, u64) {
    let Standing {
        limit,
        spent,
        reserved,
        percent,
    } = balance.standing();
    (limit.0, spent.0, reserved.0, percent)
}

const NOON: &str = "2026-07-01T12:00:00Z";

#[test]
fn a_call_begins_while_it_fits_to_the_last_nano_and_not_above() {
    let now = at(NOON);
    let mut balance = Balance::open(terms(Window::Day, 100, now), NanoUsd(40), now);
    assert!(balance.admits(NanoUsd(60), now));
    assert!(!balance.admits(NanoUsd(61), now));
    let first = balance.take(NanoUsd(50), now);
    assert!(balance.admits(NanoUsd(10), now));
    assert!(!balance.admits(NanoUsd(11), now));
    assert_eq!(figures(&balance), (100, 40, 50, 40));
    balance.settle(first, now, NanoUsd(5));
    assert_eq!(figures(&balance), (100, 45, 0, 45));
    assert!(balance.admits(NanoUsd(55), now));
}

#[test]
fn what_is_spent_refuses_even_a_call_that_costs_nothing() {
    let now = at(NOON);
    let mut balance = Balance::open(terms(Window::Day, 100, now), NanoUsd(99), now);
    assert!(balance.admits(NanoUsd::ZERO, now) && !balance.exhausted());
    let claim = balance.take(NanoUsd::ZERO, now);
    balance.settle(claim, now, NanoUsd(1));
    assert!(!balance.admits(NanoUsd::ZERO, now) && balance.exhausted());
}

#[test]
fn a_budget_that_warns_takes_everything_and_one_without_a_limit_is_none() {
    let now = at(NOON);
    let warning = Terms {
        refuses: false,
        ..terms(Window::Day, 100, now)
    };
    let mut balance = Balance::open(warning, NanoUsd(250), now);
    assert!(balance.admits(NanoUsd(1_000), now) && balance.warns() && !balance.exhausted());
    let _claim = balance.take(NanoUsd(1_000), now);
    assert_eq!(figures(&balance), (100, 250, 1_000, 250));

    for limit in [0, -5] {
        let unlimited = Balance::open(terms(Window::Day, limit, now), NanoUsd(250), now);
        assert!(unlimited.admits(NanoUsd(i64::MAX), now));
        assert!(!unlimited.warns() && !unlimited.exhausted());
        assert_eq!(unlimited.standing().percent, 0);
    }
}

#[test]
fn a_cost_above_what_is_held_counts_in_full_and_a_negative_one_as_nothing() {
    let now = at(NOON);
    let mut balance = Balance::open(terms(Window::Day, 100, now), NanoUsd::ZERO, now);
    let (soft, wrong) = (
        balance.take(NanoUsd(10), now),
        balance.take(NanoUsd(-7), now),
    );
    balance.settle(soft, now, NanoUsd(130));
    balance.settle(wrong, now, NanoUsd(-50));
    assert_eq!(figures(&balance), (100, 130, 0, 130));
}

#[test]
fn eighty_percent_warn_and_percent_are_rounded_down() {
    let now = at(NOON);
    for (limit, spent, percent, warns) in [
        (1_000, 799, 79, false),
        (1_000, 800, 80, true),
        (3, 2, 66, false),
        (999, 998, 99, true),
        (1, 1, 100, true),
        (1, i64::MAX, u64::MAX, true),
        (i64::MAX, i64::MAX - 1, 99, true),
    ] {
        let balance = Balance::open(terms(Window::Total, limit, now), NanoUsd(spent), now);
        assert_eq!(balance.standing().percent, percent, "{spent}/{limit}");
        assert_eq!(balance.warns(), warns, "{spent}/{limit}");
    }
}

#[test]
fn amounts_at_the_end_of_their_range_leave_no_trace_once_they_are_given_back() {
    let now = at(NOON);
    let warning = Terms {
        refuses: false,
        ..terms(Window::Total, 100, now)
    };
    let mut balance = Balance::open(warning, NanoUsd(1), now);
    let mut claims: Vec<_> = (0..3)
        .map(|_| balance.take(NanoUsd(i64::MAX), now))
        .collect();
    balance.extend(&mut claims[0], now, NanoUsd(i64::MAX));
    assert_eq!(figures(&balance), (100, 1, i64::MAX, 1));
    for claim in claims {
        balance.settle(claim, now, NanoUsd::ZERO);
    }
    assert_eq!(figures(&balance), (100, 1, 0, 1));
}

#[test]
fn a_hold_grows_only_into_room_and_nothing_always_fits() {
    let now = at(NOON);
    let mut balance = Balance::open(terms(Window::Day, 100, now), NanoUsd::ZERO, now);
    let mut claim = balance.take(NanoUsd(90), now);
    assert!(balance.has_room(&mut claim, now, NanoUsd(10)));
    assert!(!balance.has_room(&mut claim, now, NanoUsd(11)));
    balance.extend(&mut claim, now, NanoUsd(10));
    let lower = Terms {
        revision: 2,
        limit: NanoUsd(50),
        ..*balance.terms()
    };
    balance.change(lower, now);
    assert!(balance.has_room(&mut claim, now, NanoUsd::ZERO));
    assert!(!balance.has_room(&mut claim, now, NanoUsd(1)));
    balance.settle(claim, now, NanoUsd(95));
    assert_eq!(figures(&balance), (50, 95, 0, 190));
}

#[test]
fn a_new_period_starts_from_nothing_and_calls_of_the_old_one_stay_there() {
    let noon = at(NOON);
    let mut balance = Balance::open(terms(Window::Minute, 100, noon), NanoUsd(70), noon);
    let ended_before = balance.take(NanoUsd(10), noon);
    let mut ended_after = balance.take(NanoUsd(20), noon);
    // The period is over, but nobody has looked: this one goes with it.
    balance.settle(ended_before, noon, NanoUsd(10));

    let last = noon.plus_micros(60 * SECOND - 1);
    balance.turn(last);
    assert_eq!(figures(&balance), (100, 80, 20, 80));
    assert_eq!(balance.retry_after_s(last), Some(1));
    let next = noon.plus_micros(60 * SECOND);
    balance.turn(next);
    assert_eq!(figures(&balance), (100, 0, 0, 0));
    assert_eq!(balance.retry_after_s(next), Some(60));

    assert!(balance.has_room(&mut ended_after, noon, NanoUsd(1_000)));
    balance.extend(&mut ended_after, noon, NanoUsd(1_000));
    balance.settle(ended_after, noon, NanoUsd(500));
    assert_eq!(figures(&balance), (100, 0, 0, 0));
}

#[test]
fn a_clock_that_is_set_back_finds_the_newest_period() {
    let noon = at(NOON);
    let mut balance = Balance::open(terms(Window::Minute, 100, noon), NanoUsd(70), noon);
    balance.turn(noon.plus_micros(60 * SECOND));
    let claim = balance.take(NanoUsd(30), noon);
    balance.turn(noon);
    balance.change(terms(Window::Minute, 100, noon), noon);
    balance.settle(claim, noon, NanoUsd(30));
    assert_eq!(figures(&balance), (100, 30, 0, 30));
    assert_eq!(balance.retry_after_s(noon), Some(120));
    balance.turn(noon.plus_micros(119 * SECOND));
    assert_eq!(figures(&balance), (100, 30, 0, 30));
    balance.turn(noon.plus_micros(120 * SECOND));
    assert_eq!(figures(&balance), (100, 0, 0, 0));
}

#[test]
fn anchored_months_and_a_reset_have_the_boundaries_of_their_schedule() {
    // The worked example of billing 16.6.
    let anchor = at("2026-01-31T09:00:00Z");
    let created = at("2026-01-15T00:00:00Z");
    let opened = Terms {
        schedule: Schedule::opening(Window::Month, Some(anchor), created),
        ..terms(Window::Month, 100, created)
    };
    let mut balance = Balance::open(opened, NanoUsd::ZERO, created);
    let spend = |balance: &mut Balance, now: &str| {
        let now = at(now);
        balance.turn(now);
        let claim = balance.take(NanoUsd(10), now);
        balance.settle(claim, now, NanoUsd(10));
        (balance.standing().spent.0, balance.retry_after_s(now))
    };
    let seconds = |from: &str, to: &str| {
        let wait = at(to).0 - at(from).0;
        u64::try_from(wait / SECOND).ok()
    };
    let reset = opened.schedule.reset(at("2026-03-10T12:00:00Z"));
    for (now, spent, next) in [
        // Ahead of the anchor nothing counts.
        ("2026-01-20T00:00:00Z", 0, "2026-01-31T09:00:00Z"),
        ("2026-01-31T08:59:59Z", 0, "2026-01-31T09:00:00Z"),
        ("2026-01-31T09:00:00Z", 10, "2026-02-28T09:00:00Z"),
        ("2026-02-28T08:59:59Z", 20, "2026-02-28T09:00:00Z"),
        ("2026-02-28T09:00:00Z", 10, "2026-03-31T09:00:00Z"),
        ("2026-03-10T12:00:00Z", 20, "2026-03-31T09:00:00Z"),
    ] {
        assert_eq!(
            spend(&mut balance, now),
            (spent, seconds(now, next)),
            "{now}"
        );
    }
    let after = Terms {
        revision: 2,
        schedule: reset,
        ..opened
    };
    balance.change(after, at("2026-03-10T12:00:00Z"));
    for (now, spent, next) in [
        ("2026-03-15T00:00:00Z", 10, "2026-03-31T09:00:00Z"),
        ("2026-03-31T08:59:59Z", 20, "2026-03-31T09:00:00Z"),
        ("2026-04-01T00:00:00Z", 10, "2026-04-30T09:00:00Z"),
    ] {
        assert_eq!(
            spend(&mut balance, now),
            (spent, seconds(now, next)),
            "{now}"
        );
    }
}

#[test]
fn ahead_of_its_anchor_a_budget_neither_refuses_nor_holds() {
    let now = at(NOON);
    let anchor = now.plus_micros(90 * SECOND);
    let later = Terms {
        schedule: Schedule::opening(Window::Day, Some(anchor), now),
        ..terms(Window::Day, 100, now)
    };
    let mut balance = Balance::open(later, NanoUsd::ZERO, now);
    assert!(balance.admits(NanoUsd(1_000), now));
    let mut early = balance.take(NanoUsd(1_000), now);
    assert_eq!(figures(&balance), (100, 0, 0, 0));
    assert_eq!(balance.retry_after_s(now), Some(90));
    balance.turn(anchor);
    assert!(!balance.admits(NanoUsd(101), anchor));
    assert!(balance.has_room(&mut early, now, NanoUsd(500)));
    balance.extend(&mut early, now, NanoUsd(500));
    balance.settle(early, now, NanoUsd(1_500));
    assert_eq!(figures(&balance), (100, 0, 0, 0));
}

#[test]
fn calls_that_are_admitted_between_a_reset_and_word_of_it_belong_to_the_new_period() {
    let noon = at(NOON);
    for window in [Window::Total, Window::Manual, Window::Day] {
        let opened = terms(window, 100, noon.plus_micros(-SECOND));
        let mut balance = Balance::open(opened, NanoUsd(30), noon);
        let before = balance.take(NanoUsd(10), noon);
        let reset = noon.plus_micros(SECOND);
        let between = [reset, reset.plus_micros(5)];
        let [first, mut second] = between.map(|now| balance.take(NanoUsd(20), now));
        let after = Terms {
            revision: 2,
            schedule: opened.schedule.reset(reset),
            ..opened
        };
        balance.change(after, reset.plus_micros(9));
        assert_eq!(figures(&balance), (100, 0, 0, 0));
        balance.settle(before, noon, NanoUsd(10));
        assert_eq!(figures(&balance), (100, 0, 0, 0));
        balance.settle(first, between[0], NanoUsd(15));
        assert_eq!(figures(&balance), (100, 15, 0, 15));
        assert!(!balance.has_room(&mut second, between[1], NanoUsd(66)));
        balance.extend(&mut second, between[1], NanoUsd(5));
        assert_eq!(figures(&balance), (100, 15, 25, 15));
        balance.settle(second, between[1], NanoUsd(1));
        assert_eq!(figures(&balance), (100, 16, 0, 16));
    }
}

#[test]
fn older_terms_change_nothing_and_a_buckets_own_reset_never_goes_back() {
    let noon = at(NOON);
    let opened = terms(Window::Total, 100, noon);
    let mut balance = Balance::open(opened, NanoUsd(30), noon);
    let reset = noon.plus_micros(SECOND);
    let newer = Terms {
        revision: 3,
        boundary: Some(reset),
        limit: NanoUsd(200),
        strict: false,
        ..opened
    };
    balance.change(newer, reset);
    assert_eq!(figures(&balance), (200, 0, 0, 0));
    let claim = balance.take(NanoUsd(7), reset);
    balance.settle(claim, reset, NanoUsd(7));
    balance.change(opened, reset);
    assert_eq!(*balance.terms(), newer);
    assert_eq!(figures(&balance), (200, 7, 0, 3));
    assert_eq!(balance.terms().amount(AMOUNTS), NanoUsd(2));
    // A reset of one bucket is no change of the budget.
    let again = reset.plus_micros(1);
    let bucket = Terms {
        boundary: Some(again),
        ..opened
    };
    balance.change(bucket, again);
    assert_eq!(figures(&balance), (200, 0, 0, 0));
}

const AMOUNTS: Amounts = Amounts {
    strict: NanoUsd(3),
    soft: NanoUsd(2),
};

#[test]
fn windows_that_do_not_cycle_name_no_time_to_come_back() {
    let now = at(NOON);
    for window in [Window::Total, Window::Manual] {
        let balance = Balance::open(terms(window, 100, now), NanoUsd(100), now);
        assert_eq!(balance.retry_after_s(now), None);
        assert_eq!(balance.turns_at, NEVER);
    }
}

/// One step of a random life. Times are in units that make periods turn now and then.
#[derive(Debug, Clone)]
enum Step {
    Pass(i64),
    Ask(i64),
    Grow(Index, i64),
    Settle(Index, i64),
    Change {
        limit: i64,
        refuses: bool,
    },
    Reset,
    ResetBucket,
    /// Somebody brings terms of an earlier revision.
    Stale(Index),
}

fn step(back: bool) -> impl Strategy<Value = Step> {
    let least = if back { -20 } else { 0 };
    prop_oneof![
        4 => (least..30_i64).prop_map(Step::Pass),
        6 => (-1..60_i64).prop_map(Step::Ask),
        2 => (any::<Index>(), -1..40_i64).prop_map(|(call, more)| Step::Grow(call, more)),
        6 => (any::<Index>(), -1..70_i64).prop_map(|(call, cost)| Step::Settle(call, cost)),
        1 => (-1..200_i64, any::<bool>()).prop_map(|(limit, refuses)| Step::Change { limit, refuses }),
        1 => Just(Step::Reset),
        1 => Just(Step::ResetBucket),
        1 => any::<Index>().prop_map(Step::Stale),
    ]
}

/// A call as the oracle remembers it, and its claim while it is open.
#[derive(Debug)]
struct Call {
    admitted: UnixMicros,
    /// From when on its period counts; `None` when it counts in none.
    home: Option<Option<UnixMicros>>,
    held: i64,
    cost: i64,
    claim: Option<Claim>,
}

/// The obvious way: all calls ever, and sums over them.
#[derive(Debug)]
struct Oracle {
    terms: Terms,
    opening: i64,
    first: Option<UnixMicros>,
    from: Option<UnixMicros>,
    calls: Vec<Call>,
}

impl Oracle {
    fn sum(&self, of: impl Fn(&Call) -> i64) -> i64 {
        let here = self
            .calls
            .iter()
            .filter(|call| call.home == Some(self.from));
        here.map(of).sum()
    }

    fn spent(&self) -> i64 {
        let opening = if self.from == self.first {
            self.opening
        } else {
            0
        };
        opening + self.sum(|call| call.cost)
    }

    fn reserved(&self) -> i64 {
        self.sum(|call| if call.claim.is_some() { call.held } else { 0 })
    }

    fn look(&mut self, now: UnixMicros) {
        self.from = self.from.max(self.terms.counts_from(now));
    }

    fn counts(&self, now: UnixMicros) -> bool {
        let anchor = self.terms.schedule.anchor;
        !(anchor.is_some() && self.from == anchor && anchor > Some(now))
    }

    fn open_call(&self, pick: Index) -> Option<usize> {
        let open = |(at, call): (usize, &Call)| call.claim.is_some().then_some(at);
        let open: Vec<_> = self.calls.iter().enumerate().filter_map(open).collect();
        (!open.is_empty()).then(|| open[pick.index(open.len())])
    }

    /// What a balance does when it sees a claim.
    fn see(&mut self, call: usize) -> (UnixMicros, bool) {
        let from = self.from;
        let call = &mut self.calls[call];
        if from.is_some_and(|from| call.admitted >= from) {
            call.home = Some(from);
        }
        (call.admitted, call.home == Some(from))
    }
}

fn unit(window: Window) -> i64 {
    match window {
        Window::Minute => SECOND,
        Window::Hour => 60 * SECOND,
        Window::Day => 3_600 * SECOND,
        Window::Week => 6 * 3_600 * SECOND,
        Window::Month | Window::Total | Window::Manual => 24 * 3_600 * SECOND,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_life_of_a_balance_has_the_figures_of_a_list_of_its_calls(
        window in select(Window::ALL),
        anchor in option::of(-100..100_i64),
        opening in 0..50_i64,
        steps in vec(step(true), 1..80),
    ) {
        let unit = unit(window);
        let mut now = at("2026-02-20T12:34:56Z");
        let anchor = anchor.map(|off| now.plus_micros(off * unit));
        let opened = Terms {
            schedule: Schedule::opening(window, anchor, now),
            ..terms(window, 100, now)
        };
        // Before the anchor the ledger has nothing.
        let opening = if opened.counts_from(now) > Some(now) { 0 } else { opening };
        let mut balance = Balance::open(opened, NanoUsd(opening), now);
        let from = opened.counts_from(now);
        let mut oracle = Oracle { terms: opened, opening, first: from, from, calls: Vec::new() };
        let mut history = vec![opened];
        for step in steps {
            match step {
                Step::Pass(units) => now = now.plus_micros(units * unit),
                Step::Ask(amount) => {
                    balance.turn(now);
                    oracle.look(now);
                    let (held, limit) = (amount.max(0), oracle.terms.limit.0);
                    let counts = oracle.counts(now);
                    let fits = oracle.spent() < limit
                        && oracle.spent() + oracle.reserved() + held <= limit;
                    let free = !oracle.terms.refuses || limit <= 0 || !counts;
                    prop_assert_eq!(balance.admits(NanoUsd(amount), now), free || fits);
                    if free || fits {
                        let claim = balance.take(NanoUsd(amount), now);
                        let home = counts.then_some(oracle.from);
                        oracle.calls.push(Call { admitted: now, home, held, cost: 0, claim: Some(claim) });
                    }
                }
                Step::Grow(pick, more) => {
                    let Some(call) = oracle.open_call(pick) else { continue };
                    balance.turn(now);
                    oracle.look(now);
                    let (admitted, here) = oracle.see(call);
                    let limit = oracle.terms.limit.0;
                    let fits = oracle.spent() + oracle.reserved() + more <= limit;
                    let free = !oracle.terms.refuses || limit <= 0 || !here || more <= 0;
                    let claim = oracle.calls[call].claim.as_mut().expect("open");
                    let room = balance.has_room(claim, admitted, NanoUsd(more));
                    prop_assert_eq!(room, free || fits);
                    if room {
                        balance.extend(claim, admitted, NanoUsd(more));
                        oracle.calls[call].held += more.max(0);
                    }
                }
                Step::Settle(pick, cost) => {
                    let Some(call) = oracle.open_call(pick) else { continue };
                    let (admitted, _) = oracle.see(call);
                    let call = &mut oracle.calls[call];
                    call.cost = cost.max(0);
                    balance.settle(call.claim.take().expect("open"), admitted, NanoUsd(cost));
                }
                Step::Change { limit, refuses } => {
                    let revision = oracle.terms.revision + 1;
                    let limit = NanoUsd(limit);
                    oracle.terms = Terms { revision, limit, refuses, ..oracle.terms };
                }
                Step::Reset => {
                    let revision = oracle.terms.revision + 1;
                    let schedule = oracle.terms.schedule.reset(now);
                    oracle.terms = Terms { revision, schedule, ..oracle.terms };
                }
                Step::ResetBucket => {
                    let boundary = oracle.terms.boundary.max(Some(now));
                    oracle.terms.boundary = boundary;
                }
                Step::Stale(pick) => {
                    balance.change(history[pick.index(history.len())], now);
                    oracle.look(now);
                }
            }
            if history.last() != Some(&oracle.terms) {
                history.push(oracle.terms);
                balance.change(oracle.terms, now);
                oracle.look(now);
            }
            prop_assert_eq!(*balance.terms(), oracle.terms);
            balance.turn(now);
            oracle.look(now);
            let limit = oracle.terms.limit.0;
            let (spent, reserved) = (oracle.spent(), oracle.reserved());
            let percent = if limit > 0 { u64::try_from(spent * 100 / limit).expect("small") } else { 0 };
            prop_assert_eq!(figures(&balance), (limit, spent, reserved, percent));
            prop_assert_eq!(balance.warns(), limit > 0 && percent >= 80);
            prop_assert_eq!(balance.exhausted(), oracle.terms.refuses && limit > 0 && spent >= limit);
        }
    }

    #[test]
    fn what_was_settled_is_what_the_ledger_sums_from_the_schedules_floor(
        window in select(Window::ALL),
        anchor in option::of(-100..100_i64),
        steps in vec(step(false), 1..80),
    ) {
        let unit = unit(window);
        let mut now = at("2026-02-20T12:34:56Z");
        let anchor = anchor.map(|off| now.plus_micros(off * unit));
        let mut terms = Terms {
            schedule: Schedule::opening(window, anchor, now),
            refuses: false,
            ..terms(window, 100, now)
        };
        let mut balance = Balance::open(terms, NanoUsd::ZERO, now);
        let mut open: Vec<(UnixMicros, Claim)> = Vec::new();
        let mut ledger: Vec<(UnixMicros, i64)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(units) => now = now.plus_micros(units * unit),
                Step::Ask(amount) => {
                    balance.turn(now);
                    open.push((now, balance.take(NanoUsd(amount), now)));
                }
                Step::Settle(pick, cost) if !open.is_empty() => {
                    let (admitted, claim) = open.swap_remove(pick.index(open.len()));
                    ledger.push((admitted, cost.max(0)));
                    balance.settle(claim, admitted, NanoUsd(cost));
                }
                Step::Reset | Step::ResetBucket => {
                    // After everything that was settled so far.
                    now = now.plus_micros(1);
                    if matches!(step, Step::Reset) {
                        terms.schedule = terms.schedule.reset(now);
                        terms.revision += 1;
                    } else {
                        terms.boundary = Some(now);
                    }
                    // Calls go on being admitted until word of it comes.
                    open.push((now, balance.take(NanoUsd(9), now)));
                    now = now.plus_micros(1);
                    balance.change(terms, now);
                }
                Step::Settle(..) | Step::Grow(..) | Step::Change { .. } | Step::Stale(_) => {}
            }
            balance.turn(now);
            let from = terms.counts_from(now);
            let summed: i64 = ledger.iter().filter(|(at, _)| from <= Some(*at)).map(|(_, cost)| cost).sum();
            prop_assert_eq!(balance.standing().spent, NanoUsd(summed));
        }
    }
}
