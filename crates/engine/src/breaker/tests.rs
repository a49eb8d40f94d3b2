//! The published example, the corners of a probe, and any order of events against a model that keeps
//! every event.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SECOND: i64 = 1_000_000;
const START: UnixMicros = UnixMicros(1_782_864_000_000_000);

fn after(seconds: i64) -> UnixMicros {
    START.plus_micros(seconds * SECOND)
}

fn defaults() -> Settings {
    Settings::default()
}

fn admit(breaker: &mut Breaker, now: UnixMicros) -> Pass {
    breaker.admit(&defaults(), now).expect("admitted")
}

fn refused(breaker: &mut Breaker, now: UnixMicros) -> u64 {
    let refused = breaker.admit(&defaults(), now).expect_err("refused");
    refused.retry_after_s
}

fn fail(breaker: &mut Breaker, now: UnixMicros) -> bool {
    let pass = admit(breaker, now);
    breaker.failed(&defaults(), pass, now)
}

/// Open since `START`.
fn open() -> Breaker {
    let mut breaker = Breaker::default();
    for count in 1..=10 {
        assert_eq!(fail(&mut breaker, START), count == 10);
    }
    breaker
}

#[test]
fn ten_failures_in_half_a_minute_open_it_for_a_minute() {
    let mut breaker = Breaker::default();
    for second in 0..9 {
        assert!(!fail(&mut breaker, after(second)));
    }
    assert_eq!(breaker.state(after(9)), State::Closed);
    assert!(fail(&mut breaker, after(9)));
    assert_eq!(breaker.state(after(9)), State::Open);
    assert_eq!(breaker.opened_at(), Some(after(9)));
    assert_eq!(refused(&mut breaker, after(9)), 60);
    assert_eq!(refused(&mut breaker, after(69).plus_micros(-1)), 1);
    assert_eq!(breaker.state(after(69)), State::HalfOpen);
    let probe = admit(&mut breaker, after(69));
    assert!(matches!(probe, Pass::Probe { .. }));
    assert_eq!(refused(&mut breaker, after(70)), 1);
    assert!(breaker.succeeded(probe));
    assert_eq!(breaker.state(after(70)), State::Closed);
    assert_eq!(breaker.opened_at(), None);
    assert!(breaker.calm().is_some());
}

#[test]
fn failures_that_are_half_a_minute_old_no_longer_count() {
    let mut breaker = Breaker::default();
    for second in [0, 1, 2, 3, 4, 5, 6, 7, 8, 30] {
        assert!(!fail(&mut breaker, after(second)));
    }
    assert!(fail(&mut breaker, after(30)));
}

#[test]
fn a_success_clears_the_count() {
    let mut breaker = Breaker::default();
    for _ in 0..9 {
        fail(&mut breaker, START);
    }
    assert_eq!(breaker.calm(), None);
    let pass = admit(&mut breaker, START);
    assert!(!breaker.succeeded(pass));
    assert!(breaker.calm().is_some());
    for _ in 0..9 {
        assert!(!fail(&mut breaker, START));
    }
}

#[test]
fn a_probe_that_fails_opens_it_for_another_full_cool_down() {
    let mut breaker = open();
    assert!(fail(&mut breaker, after(65)));
    assert_eq!(refused(&mut breaker, after(65)), 60);
    assert_eq!(breaker.opened_at(), Some(START), "it never closed");
    assert!(matches!(
        admit(&mut breaker, after(125)),
        Pass::Probe { .. }
    ));
}

#[test]
fn a_probe_whose_caller_left_frees_its_place_and_says_nothing() {
    let mut breaker = open();
    let probe = admit(&mut breaker, after(60));
    breaker.abandoned(probe);
    assert_eq!(breaker.state(after(60)), State::HalfOpen);
    let next = admit(&mut breaker, after(60));
    assert_ne!(probe, next);
    // Said twice, it frees nobody else's.
    breaker.abandoned(probe);
    assert_eq!(refused(&mut breaker, after(60)), 1);
}

#[test]
fn a_lost_probe_holds_nobody_up_for_longer_than_a_cool_down() {
    let mut breaker = open();
    let lost = admit(&mut breaker, after(60));
    assert_eq!(refused(&mut breaker, after(119)), 1);
    let next = admit(&mut breaker, after(120));
    assert!(matches!(next, Pass::Probe { .. }));
    // It was slow, not lost: what it says is true all the same.
    assert!(breaker.succeeded(lost));
    assert!(!breaker.succeeded(next));
    assert_eq!(breaker.state(after(121)), State::Closed);
}

#[test]
fn what_was_under_way_when_it_opened_can_neither_close_nor_reopen_it() {
    let mut breaker = Breaker::default();
    let early: Vec<_> = (0..20).map(|_| admit(&mut breaker, START)).collect();
    for _ in 0..10 {
        fail(&mut breaker, START);
    }
    assert!(!breaker.succeeded(early[0]));
    assert!(!breaker.failed(&defaults(), early[1], after(30)));
    assert_eq!(refused(&mut breaker, after(59)), 1);
    let probe = admit(&mut breaker, after(60));
    assert!(breaker.succeeded(probe));
    for pass in early {
        assert!(!breaker.failed(&defaults(), pass, after(61)));
    }
    assert_eq!(breaker.state(after(61)), State::Closed);
    assert!(breaker.calm().is_some());
}

#[test]
fn a_clock_that_was_set_back_keeps_nobody_waiting_longer() {
    let mut breaker = open();
    assert_eq!(refused(&mut breaker, after(20)), 40);
    assert_eq!(refused(&mut breaker, after(-3_600)), 40);
    let later = after(-3_600 + 40);
    assert!(matches!(admit(&mut breaker, later), Pass::Probe { .. }));
}

#[test]
fn a_threshold_of_nothing_opens_at_the_first_failure() {
    let settings = Settings {
        threshold: 0,
        ..defaults()
    };
    let mut breaker = Breaker::default();
    let pass = breaker.admit(&settings, START).expect("closed");
    assert!(breaker.failed(&settings, pass, START));
}

#[test]
fn states_have_their_published_names_and_numbers() {
    let states = [State::Closed, State::Open, State::HalfOpen];
    let published = states.map(|state| (state.as_str(), state.gauge()));
    assert_eq!(published, [("closed", 0), ("open", 1), ("half_open", 2)]);
}

#[test]
fn it_is_idle_when_forgetting_it_would_change_nothing_that_matters() {
    let settings = defaults();
    let mut breaker = Breaker::default();
    assert!(breaker.is_idle(&settings, START));
    fail(&mut breaker, START);
    assert!(!breaker.is_idle(&settings, after(29)));
    assert!(breaker.is_idle(&settings, after(30)));
    let mut breaker = open();
    assert!(!breaker.is_idle(&settings, after(119)));
    assert!(breaker.is_idle(&settings, after(120)));
    let _probe = admit(&mut breaker, after(120));
    assert!(!breaker.is_idle(&settings, after(239)));
    assert!(breaker.is_idle(&settings, after(240)));
}

/// What a call did, as a model remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Opened(i64),
    Closed,
    Failed(i64),
    Succeeded,
    Probed { at: i64, call: usize },
    Abandoned { call: usize },
}

/// Everything that counted, and for every call how many periods there had been.
#[derive(Default)]
struct Model {
    events: Vec<Event>,
    calls: Vec<(usize, bool)>,
}

impl Model {
    fn period(&self) -> usize {
        let turn = |event: &&Event| matches!(event, Event::Opened(_) | Event::Closed);
        self.events.iter().filter(turn).count()
    }

    fn opened(&self) -> Option<i64> {
        self.events.iter().rev().find_map(|event| match *event {
            Event::Opened(at) => Some(Some(at)),
            Event::Closed => Some(None),
            Event::Failed(_)
            | Event::Succeeded
            | Event::Probed { .. }
            | Event::Abandoned { .. } => None,
        })?
    }

    /// The probe that holds the place at `at`.
    fn probing(&self, settings: &Settings, at: i64) -> bool {
        let last = self.events.iter().rev().find_map(|event| match *event {
            Event::Probed { at, call } => Some(Some((at, call))),
            Event::Opened(_) | Event::Closed => Some(None),
            Event::Failed(_) | Event::Succeeded | Event::Abandoned { .. } => None,
        });
        last.flatten().is_some_and(|(since, call)| {
            at < since + settings.cooldown_us && !self.events.contains(&Event::Abandoned { call })
        })
    }

    fn state(&self, settings: &Settings, at: i64) -> State {
        match self.opened() {
            None => State::Closed,
            Some(since) if at < since + settings.cooldown_us => State::Open,
            Some(_) => State::HalfOpen,
        }
    }

    /// Whether the call is admitted, and as a probe.
    fn admit(&mut self, settings: &Settings, at: i64) -> Option<bool> {
        let probe = match self.state(settings, at) {
            State::Closed => false,
            State::Open => return None,
            State::HalfOpen if self.probing(settings, at) => return None,
            State::HalfOpen => true,
        };
        let call = self.calls.len();
        self.calls.push((self.period(), probe));
        if probe {
            self.events.push(Event::Probed { at, call });
        }
        Some(probe)
    }

    fn succeeded(&mut self, call: usize) -> bool {
        let (period, probe) = self.calls[call];
        if period != self.period() {
            return false;
        }
        let event = if probe {
            Event::Closed
        } else {
            Event::Succeeded
        };
        self.events.push(event);
        probe
    }

    fn failed(&mut self, settings: &Settings, call: usize, at: i64) -> bool {
        let (period, probe) = self.calls[call];
        if period != self.period() {
            return false;
        }
        self.events.push(Event::Failed(at));
        let in_a_row = self
            .events
            .iter()
            .rev()
            .filter(|event| !matches!(event, Event::Abandoned { .. }))
            .take_while(
                |event| matches!(event, Event::Failed(since) if at - since < settings.window_us),
            );
        let opens = probe || in_a_row.count() >= settings.threshold as usize;
        if opens {
            self.events.push(Event::Opened(at));
        }
        opens
    }
}

#[derive(Debug, Clone)]
enum Op {
    Wait(i64),
    Admit,
    Succeed(Index),
    Fail(Index),
    Abandon(Index),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0_i64..20).prop_map(Op::Wait),
        6 => Just(Op::Admit),
        1 => any::<Index>().prop_map(Op::Succeed),
        4 => any::<Index>().prop_map(Op::Fail),
        1 => any::<Index>().prop_map(Op::Abandon),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_leaves_it_as_the_model_says(
        threshold in 1_u32..4,
        window_us in 1_i64..30,
        cooldown_us in 1_i64..30,
        ops in vec(op(), 1..200),
    ) {
        let settings = Settings { window_us, threshold, cooldown_us };
        let (mut breaker, mut model) = (Breaker::default(), Model::default());
        let mut now = START;
        let mut calls = Vec::new();
        for op in ops {
            match op {
                Op::Wait(micros) => now = now.plus_micros(micros),
                Op::Admit => {
                    let call = model.calls.len();
                    let pass = breaker.admit(&settings, now);
                    let probe = pass.ok().map(|pass| matches!(pass, Pass::Probe { .. }));
                    prop_assert_eq!(probe, model.admit(&settings, now.0));
                    calls.extend(pass.map(|pass| (call, pass)));
                }
                Op::Succeed(at) if !calls.is_empty() => {
                    let (call, pass) = calls.swap_remove(at.index(calls.len()));
                    prop_assert_eq!(breaker.succeeded(pass), model.succeeded(call));
                }
                Op::Fail(at) if !calls.is_empty() => {
                    let (call, pass) = calls.swap_remove(at.index(calls.len()));
                    let opened = breaker.failed(&settings, pass, now);
                    prop_assert_eq!(opened, model.failed(&settings, call, now.0));
                }
                Op::Abandon(at) if !calls.is_empty() => {
                    let (call, pass) = calls.swap_remove(at.index(calls.len()));
                    breaker.abandoned(pass);
                    model.events.push(Event::Abandoned { call });
                }
                Op::Succeed(_) | Op::Fail(_) | Op::Abandon(_) => {}
            }
            prop_assert_eq!(breaker.state(now), model.state(&settings, now.0));
            prop_assert!(breaker.failures.len() < threshold as usize);
            prop_assert_eq!(breaker.opened_at().is_some(), model.opened().is_some());
        }
    }

    #[test]
    fn it_is_never_open_for_longer_than_a_cool_down_however_the_clock_jumps(
        jumps in vec(-200 * SECOND..SECOND, 1..20),
    ) {
        let mut breaker = open();
        let mut now = START;
        for jump in jumps {
            now = now.plus_micros(jump);
            match breaker.admit(&defaults(), now) {
                Ok(_) => break,
                Err(refused) => prop_assert!(refused.retry_after_s <= 61),
            }
            let wait = refused(&mut breaker, now);
            let mut later = breaker.clone();
            let then = now.plus_micros(i64::try_from(wait).expect("a wait") * SECOND);
            prop_assert!(later.admit(&defaults(), then).is_ok());
        }
    }
}
