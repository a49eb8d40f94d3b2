//! The published numbers, the clock's misfortunes, and every operation against an oracle that keeps the
//! whole history and knows nothing of refilling.

mod oracle;

use lw_core::civil::DAY_US;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use oracle::Oracle;

const SECOND: i64 = 1_000_000;
const START: UnixMicros = UnixMicros(1_782_864_000_000_000);
const NONE: Ceilings = Ceilings {
    rpm: None,
    tpm: None,
    rpd: None,
    concurrent: None,
};

fn after(seconds: i64) -> UnixMicros {
    START.plus_micros(seconds * SECOND)
}

fn rpm(rpm: u64) -> Ceilings {
    Ceilings {
        rpm: Some(rpm),
        ..NONE
    }
}

fn tpm(tpm: u64) -> Ceilings {
    Ceilings {
        tpm: Some(tpm),
        ..NONE
    }
}

fn rpd(rpd: u64) -> Ceilings {
    Ceilings {
        rpd: Some(rpd),
        ..NONE
    }
}

fn concurrent(concurrent: u64) -> Ceilings {
    Ceilings {
        concurrent: Some(concurrent),
        ..NONE
    }
}

fn denied(dimension: Dimension, retry_after_s: u64) -> Denied {
    Denied {
        dimension,
        retry_after_s,
    }
}

/// Takes and ends a request at once.
fn pass(level: &mut Level, ceilings: &Ceilings, now: UnixMicros) -> Result<(), Denied> {
    let taken = level.take(ceilings, now, 0)?;
    level.release(taken);
    Ok(())
}

#[test]
fn a_minute_of_requests_may_come_at_once_and_then_one_by_one() {
    let (mut level, ceilings) = (Level::default(), rpm(20));
    for _ in 0..20 {
        assert_eq!(pass(&mut level, &ceilings, START), Ok(()));
    }
    let refused = Err(denied(Dimension::Rpm, 3));
    assert_eq!(pass(&mut level, &ceilings, START), refused);
    let early = after(3).plus_micros(-1);
    let refused = Err(denied(Dimension::Rpm, 1));
    assert_eq!(pass(&mut level, &ceilings, early), refused);
    assert_eq!(pass(&mut level, &ceilings, after(3)), Ok(()));
    assert!(pass(&mut level, &ceilings, after(3)).is_err());
}

#[test]
fn a_day_begins_with_the_first_request_after_the_one_before() {
    let (mut level, ceilings) = (Level::default(), rpd(2));
    assert_eq!(pass(&mut level, &ceilings, START), Ok(()));
    assert_eq!(pass(&mut level, &ceilings, after(3_600)), Ok(()));
    let refused = Err(denied(Dimension::Rpd, 82_800));
    assert_eq!(pass(&mut level, &ceilings, after(3_600)), refused);
    let last = START.plus_micros(DAY_US - 1);
    let refused = Err(denied(Dimension::Rpd, 1));
    assert_eq!(pass(&mut level, &ceilings, last), refused);
    // The next one begins an hour late, and lasts from then on.
    assert_eq!(pass(&mut level, &ceilings, after(90_000)), Ok(()));
    assert_eq!(pass(&mut level, &ceilings, after(2 * 86_400)), Ok(()));
    let refused = Err(denied(Dimension::Rpd, 3_600));
    assert_eq!(pass(&mut level, &ceilings, after(2 * 86_400)), refused);
}

#[test]
fn a_day_whose_only_request_came_back_has_not_begun() {
    let (mut level, ceilings) = (Level::default(), rpd(1));
    let taken = level.take(&ceilings, START, 0).expect("fits");
    level.give_back(after(10), taken);
    assert_eq!(pass(&mut level, &ceilings, after(100)), Ok(()));
    let refused = Err(denied(Dimension::Rpd, 86_400));
    assert_eq!(pass(&mut level, &ceilings, after(100)), refused);
}

#[test]
fn a_request_of_yesterday_is_not_given_back_to_today() {
    let (mut level, ceilings) = (Level::default(), rpd(1));
    let taken = level.take(&ceilings, START, 0).expect("fits");
    assert_eq!(pass(&mut level, &ceilings, after(86_400)), Ok(()));
    level.give_back(after(86_401), taken);
    assert!(pass(&mut level, &ceilings, after(86_401)).is_err());
}

#[test]
fn an_estimate_is_a_quarter_of_the_text_and_at_most_a_quarter_of_the_limit_for_the_answer() {
    let limit = tpm(1_000);
    assert_eq!(estimate(401, None, &limit), 101);
    assert_eq!(estimate(400, Some(50), &limit), 150);
    assert_eq!(estimate(400, Some(50_000), &limit), 350);
    assert_eq!(estimate(400, Some(50_000), &NONE), 50_100);
    assert_eq!(estimate(0, Some(1), &tpm(3)), 0);
    assert_eq!(
        estimate(u64::MAX, Some(u64::MAX), &NONE),
        u64::MAX,
        "saturates"
    );
}

#[test]
fn tokens_are_held_by_estimate_and_settled_by_what_was_used() {
    let (mut level, ceilings) = (Level::default(), tpm(600));
    let first = level.take(&ceilings, START, 400).expect("fits");
    let refused = Err(denied(Dimension::Tpm, 10));
    assert_eq!(level.take(&ceilings, START, 300), refused);
    level.settle(START, first, 100);
    let second = level.take(&ceilings, START, 300).expect("fits by now");
    level.settle(START, second, 900);
    let debt = level.standing(&ceilings, START).tokens.expect("limited");
    assert_eq!((debt.remaining, debt.reset_us), (0, 100_000_000));
    // 400 in debt: even a request of nothing waits until that is paid.
    let refused = Err(denied(Dimension::Tpm, 40));
    assert_eq!(level.take(&ceilings, START, 0), refused);
    assert!(level.take(&ceilings, after(40), 0).is_ok());
}

#[test]
fn a_request_larger_than_the_limit_waits_for_a_full_bucket() {
    let (mut level, ceilings) = (Level::default(), tpm(60));
    let small = level.take(&ceilings, START, 1).expect("fits");
    level.release(small);
    let refused = Err(denied(Dimension::Tpm, 1));
    assert_eq!(level.take(&ceilings, START, 1_000), refused);
    let large = level.take(&ceilings, after(1), 1_000).expect("it is full");
    level.give_back(after(1), large);
    assert!(level.take(&ceilings, after(1), 60).is_ok());
}

#[test]
fn places_are_freed_however_a_request_ends() {
    let (mut level, ceilings) = (Level::default(), concurrent(1));
    let refused = Err(denied(Dimension::Concurrent, 1));
    for end in 0..3 {
        let taken = level.take(&ceilings, START, 5).expect("there is a place");
        assert_eq!(level.take(&ceilings, START, 5), refused);
        match end {
            0 => level.settle(START, taken, 7),
            1 => level.give_back(START, taken),
            _ => level.release(taken),
        }
    }
    assert_eq!(level.standing(&ceilings, START).open, 0);
}

#[test]
fn dimensions_are_checked_in_their_order() {
    let mut ceilings = Ceilings {
        rpm: Some(1),
        tpm: Some(1),
        rpd: Some(1),
        concurrent: Some(1),
    };
    let mut level = Level::default();
    let _open = level.take(&ceilings, START, 1).expect("fits");
    let mut order = Vec::new();
    for _ in Dimension::ALL {
        let refused = level.take(&ceilings, START, 1).expect_err("full");
        order.push(refused.dimension);
        match refused.dimension {
            Dimension::Rpm => ceilings.rpm = None,
            Dimension::Rpd => ceilings.rpd = None,
            Dimension::Tpm => ceilings.tpm = None,
            Dimension::Concurrent => ceilings.concurrent = None,
        }
    }
    assert_eq!(order, Dimension::ALL);
    let names: Vec<_> = order.into_iter().map(Dimension::as_str).collect();
    assert_eq!(names, ["rpm", "rpd", "tpm", "concurrent"]);
    assert!(level.take(&ceilings, START, 1).is_ok());
}

#[test]
fn none_and_zero_are_no_limit() {
    let zero = Ceilings {
        rpm: Some(0),
        tpm: Some(0),
        rpd: Some(0),
        concurrent: Some(0),
    };
    assert!(NONE.is_empty() && zero.is_empty() && !rpd(1).is_empty() && !concurrent(1).is_empty());
    let mut level = Level::default();
    for ceilings in [NONE, zero] {
        for _ in 0..100 {
            assert!(level.take(&ceilings, START, u64::MAX).is_ok());
        }
        let standing = level.standing(&ceilings, START);
        assert_eq!((standing.requests, standing.tokens), (None, None));
    }
    assert_eq!(level.standing(&NONE, START).open, 200);
}

#[test]
fn headers_show_the_requests_that_run_out_first() {
    let both = Ceilings {
        rpm: Some(60),
        rpd: Some(100),
        ..NONE
    };
    let mut level = Level::default();
    let requests = |level: &Level, now| level.standing(&both, now).requests.expect("limited");
    let gauge = |limit, remaining, reset_us| Gauge {
        limit,
        remaining,
        reset_us,
    };
    assert_eq!(requests(&level, START), gauge(60, 60, 0));
    for second in 0..99 {
        assert_eq!(pass(&mut level, &both, after(second)), Ok(()));
    }
    assert_eq!(requests(&level, after(98)), gauge(100, 1, 86_302_000_000));
    let day_only = level.standing(&rpd(100), after(98)).requests;
    assert_eq!(day_only, Some(gauge(100, 1, 86_302_000_000)));
    // What another ceiling would show: a fresh bucket.
    let other = level.standing(&rpm(7), after(98)).requests;
    assert_eq!(other, Some(gauge(7, 7, 0)));
    assert_eq!(requests(&level, after(86_400)), gauge(60, 60, 0));
}

#[test]
fn a_new_ceiling_counts_from_the_next_request_on_and_the_others_keep_their_state() {
    let mut ceilings = Ceilings {
        rpm: Some(1),
        rpd: Some(2),
        ..NONE
    };
    let mut level = Level::default();
    assert_eq!(pass(&mut level, &ceilings, START), Ok(()));
    assert!(pass(&mut level, &ceilings, START).is_err());
    ceilings.rpm = Some(5);
    assert_eq!(pass(&mut level, &ceilings, START), Ok(()));
    let refused = Err(denied(Dimension::Rpd, 86_400));
    assert_eq!(pass(&mut level, &ceilings, START), refused);
    ceilings.rpd = Some(3);
    for _ in 0..3 {
        assert_eq!(pass(&mut level, &ceilings, START), Ok(()));
    }
    assert_eq!(pass(&mut level, &ceilings, START), refused);
}

#[test]
fn a_place_limit_that_is_set_later_counts_what_is_running() {
    let mut level = Level::default();
    let running = level.take(&rpm(10), START, 0).expect("fits");
    let refused = Err(denied(Dimension::Concurrent, 1));
    assert_eq!(level.take(&concurrent(1), START, 0), refused);
    level.settle(START, running, 0);
    assert!(level.take(&concurrent(1), START, 0).is_ok());
}

#[test]
fn a_clock_that_was_set_back_costs_nobody_time() {
    let (mut level, ceilings) = (Level::default(), rpm(1));
    assert_eq!(pass(&mut level, &ceilings, after(0)), Ok(()));
    assert!(pass(&mut level, &ceilings, after(30)).is_err());
    // Half of the minute has passed, and an hour back it still has.
    let back = -3_600;
    let refused = Err(denied(Dimension::Rpm, 30));
    assert_eq!(pass(&mut level, &ceilings, after(back)), refused);
    assert_eq!(pass(&mut level, &ceilings, after(back + 30)), Ok(()));

    let (mut level, ceilings) = (Level::default(), rpd(1));
    assert_eq!(pass(&mut level, &ceilings, after(0)), Ok(()));
    assert!(pass(&mut level, &ceilings, after(7_200)).is_err());
    let refused = Err(denied(Dimension::Rpd, 79_200));
    assert_eq!(pass(&mut level, &ceilings, after(-7_200)), refused);
    assert_eq!(pass(&mut level, &ceilings, after(72_000)), Ok(()));
}

#[test]
fn extreme_numbers_saturate() {
    let all = Ceilings {
        rpm: Some(u64::MAX),
        tpm: Some(u64::MAX),
        rpd: Some(u64::MAX),
        concurrent: Some(u64::MAX),
    };
    let mut level = Level::default();
    for now in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN] {
        let now = UnixMicros(now);
        if let Ok(taken) = level.take(&all, now, u64::MAX) {
            level.settle(now, taken, u64::MAX);
        }
        let standing = level.standing(&all, now);
        assert!(standing.requests.is_some() && standing.tokens.is_some());
    }
    let (mut level, ceilings) = (Level::default(), tpm(1));
    let taken = level.take(&ceilings, START, 0).expect("fits");
    level.settle(START, taken, u64::MAX);
    let refused = level.take(&ceilings, START, 0).expect_err("in debt");
    assert_eq!(refused.dimension, Dimension::Tpm);
}

/// A request whose reservation was made under `old` ends under `new`, in the given way.
fn straggler(old: Ceilings, new: Ceilings, end: u8) -> (Standing, Standing) {
    let mut level = Level::default();
    let stale = level.take(&old, START, 3).expect("fits");
    let current = level.take(&new, START, 4).expect("fits");
    let before = level.standing(&new, START);
    match end {
        0 => level.give_back(START, stale),
        1 => level.settle(START, stale, 0),
        _ => level.settle(START, stale, 9),
    }
    let with_place = Standing {
        open: before.open - 1,
        ..before
    };
    level.settle(START, current, 4);
    let last = Standing {
        open: with_place.open - 1,
        ..with_place
    };
    (level.standing(&new, START), last)
}

fn ceiling(most: u64) -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.7, 1..=most)
}

#[derive(Debug, Clone)]
enum Op {
    Wait(i64),
    Take(u64),
    GiveBack(prop::sample::Index),
    Settle(prop::sample::Index, u64),
    Release(prop::sample::Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_i64..20 * SECOND).prop_map(Op::Wait),
        1 => prop::sample::select(vec![0, 1, DAY_US / 2, DAY_US - 1, DAY_US]).prop_map(Op::Wait),
        6 => (0_u64..400).prop_map(Op::Take),
        2 => any::<prop::sample::Index>().prop_map(Op::GiveBack),
        2 => (any::<prop::sample::Index>(), 0_u64..500).prop_map(|(at, used)| Op::Settle(at, used)),
        1 => any::<prop::sample::Index>().prop_map(Op::Release),
    ]
}

/// A denial says how long: not shorter and not longer.
fn check_wait(
    level: Level,
    ceilings: &Ceilings,
    now: UnixMicros,
    tokens: u64,
    denied: Denied,
) -> Result<(), TestCaseError> {
    if denied.dimension == Dimension::Concurrent {
        prop_assert_eq!(denied.retry_after_s, 1);
        return Ok(());
    }
    let wait = i64::try_from(denied.retry_after_s).expect("a wait");
    let refused_by = |seconds: i64| {
        let mut later = level;
        let outcome = later.take(ceilings, now.plus_micros(seconds * SECOND), tokens);
        outcome.err().map(|refused| refused.dimension)
    };
    prop_assert_ne!(refused_by(wait), Some(denied.dimension));
    if wait > 1 {
        prop_assert_eq!(refused_by(wait - 1), Some(denied.dimension));
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_operation_decides_and_counts_as_the_whole_history_says(
        ceilings in (ceiling(6), ceiling(300), ceiling(12), ceiling(4)).prop_map(
            |(rpm, tpm, rpd, concurrent)| Ceilings { rpm, tpm, rpd, concurrent },
        ),
        ops in vec(op(), 1..80),
    ) {
        let (mut level, mut oracle) = (Level::default(), Oracle::new(ceilings));
        let mut now = START;
        let mut open = Vec::new();
        for op in ops {
            match op {
                Op::Wait(micros) => now = now.plus_micros(micros),
                Op::Take(tokens) => {
                    let before = level;
                    let taken = level.take(&ceilings, now, tokens);
                    let expected = oracle.take(now.0, tokens);
                    match (taken, expected) {
                        (Ok(taken), Ok(id)) => open.push((id, taken)),
                        (Err(denied), Err(dimension)) => {
                            prop_assert_eq!(denied.dimension, dimension);
                            check_wait(before, &ceilings, now, tokens, denied)?;
                            check_wait(level, &ceilings, now, tokens, denied)?;
                        }
                        (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
                    }
                }
                Op::GiveBack(at) if !open.is_empty() => {
                    let (id, taken) = open.swap_remove(at.index(open.len()));
                    level.give_back(now, taken);
                    oracle.give_back(now.0, id);
                }
                Op::Settle(at, used) if !open.is_empty() => {
                    let (id, taken) = open.swap_remove(at.index(open.len()));
                    level.settle(now, taken, used);
                    oracle.settle(now.0, id, used);
                }
                Op::Release(at) if !open.is_empty() => {
                    let (id, taken) = open.swap_remove(at.index(open.len()));
                    level.release(taken);
                    oracle.release(id);
                }
                Op::GiveBack(_) | Op::Settle(..) | Op::Release(_) => {}
            }
            prop_assert_eq!(level.standing(&ceilings, now), oracle.standing(now.0));
        }
    }

    #[test]
    fn no_interval_admits_more_than_burst_plus_rate(
        ceiling in 1_u64..20,
        gaps in vec(0_i64..10 * SECOND, 1..200),
    ) {
        let (mut level, ceilings) = (Level::default(), rpm(ceiling));
        let (mut now, mut admitted) = (START, Vec::new());
        for gap in gaps {
            now = now.plus_micros(gap);
            if pass(&mut level, &ceilings, now).is_ok() {
                admitted.push(now.0);
            }
        }
        let cap = i64::try_from(ceiling).expect("small");
        for (from, first) in admitted.iter().enumerate() {
            for (to, last) in admitted.iter().enumerate().skip(from) {
                let count = i64::try_from(to - from + 1).expect("small");
                prop_assert!(count * 60 * SECOND <= cap * 60 * SECOND + cap * (last - first));
            }
        }
    }

    #[test]
    fn no_window_of_a_day_admits_more_than_its_ceiling(
        ceiling in 1_usize..6,
        gaps in vec(0_i64..DAY_US / 2, 1..100),
    ) {
        let (mut level, ceilings) = (Level::default(), rpd(ceiling as u64));
        let (mut now, mut windows) = (START, Vec::<(i64, usize)>::new());
        for gap in gaps {
            now = now.plus_micros(gap);
            let open = windows.last_mut().filter(|(start, _)| now.0 < start + DAY_US);
            match (pass(&mut level, &ceilings, now).is_ok(), open) {
                (true, None) => windows.push((now.0, 1)),
                (true, Some((_, count))) => *count += 1,
                (false, open) => prop_assert_eq!(open.map(|(_, count)| *count), Some(ceiling)),
            }
        }
        prop_assert!(windows.iter().all(|(_, count)| *count <= ceiling));
    }

    #[test]
    fn a_clock_that_jumps_admits_no_more_than_its_forward_moves_and_keeps_its_promises(
        ceiling in 1_u64..20,
        moves in vec(-100 * SECOND..100 * SECOND, 1..100),
    ) {
        let (mut level, ceilings) = (Level::default(), rpm(ceiling));
        let cap = i64::try_from(ceiling).expect("small");
        let (mut now, mut forward, mut admitted) = (START, 0, 0);
        for step in moves {
            now = now.plus_micros(step);
            forward += step.max(0);
            loop {
                match pass(&mut level, &ceilings, now) {
                    Ok(()) => admitted += 1,
                    Err(denied) => {
                        check_wait(level, &ceilings, now, 0, denied)?;
                        prop_assert!(denied.retry_after_s <= 60_u64.div_ceil(ceiling) + 1);
                        break;
                    }
                }
            }
            prop_assert!(admitted * 60 * SECOND <= cap * 60 * SECOND + cap * forward);
        }
    }

    #[test]
    fn readings_that_come_late_invent_no_time(
        ceiling in 1_u64..2_000,
        steps in vec((0_i64..SECOND, 0_i64..=SECOND), 1..200),
    ) {
        let (mut level, ceilings) = (Level::default(), rpm(ceiling));
        let cap = i64::try_from(ceiling).expect("small");
        let (mut clock, mut admitted) = (START, 0);
        pass(&mut level, &ceilings, clock).expect("fits");
        for (step, late) in steps {
            clock = clock.plus_micros(step);
            while pass(&mut level, &ceilings, clock.plus_micros(-late)).is_ok() {
                admitted += 1;
            }
            prop_assert!((admitted + 1) * 60 * SECOND <= cap * (60 * SECOND + clock.0 - START.0));
        }
    }

    #[test]
    fn what_was_reserved_of_an_old_bucket_is_neither_charged_nor_given_back(
        old in (10_u64..20, 10_u64..20, 10_u64..20),
        new in (20_u64..30, 20_u64..30, 20_u64..30),
        end in 0_u8..3,
    ) {
        let ceilings = |(rpm, tpm, rpd)| Ceilings {
            rpm: Some(rpm),
            tpm: Some(tpm),
            rpd: Some(rpd),
            concurrent: None,
        };
        let (found, expected) = straggler(ceilings(old), ceilings(new), end);
        prop_assert_eq!(found, expected);
        let (found, expected) = straggler(NONE, ceilings(new), end);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn the_same_ceiling_set_again_is_another_bucket() {
    let (mut level, ten) = (Level::default(), rpm(10));
    let stale = level.take(&ten, START, 0).expect("fits");
    for ceilings in [rpm(20), ten] {
        pass(&mut level, &ceilings, START).expect("fits");
    }
    level.give_back(START, stale);
    let left = level.standing(&ten, START).requests.expect("limited");
    assert_eq!(left.remaining, 9);
}
