//! Tickets and how they end, what is kept, and exact decisions under many threads.

use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;

const SECOND: i64 = 1_000_000;
const START: UnixMicros = UnixMicros(1_782_864_000_000_000);

fn after(seconds: i64) -> UnixMicros {
    START.plus_micros(seconds * SECOND)
}

fn id(name: impl std::fmt::Display) -> ModelProviderId {
    ModelProviderId::parse(&format!("mp_{name}")).expect("an id")
}

/// Fails as often as it takes; whether the last one opened it.
fn open(breaker: &Arc<SharedBreaker>, now: UnixMicros) {
    let fail = |_| breaker.admit(now).expect("closed").fail(now);
    let opened: Vec<_> = (0..10).map(fail).collect();
    assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
    assert_eq!(opened.last(), Some(&true));
}

#[test]
fn a_credential_that_keeps_failing_is_skipped_until_a_probe_succeeds() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    open(&breaker, START);
    let skipped = breaker.admit(after(1)).expect_err("open");
    assert_eq!(skipped.retry_after_s, 59);
    assert_eq!(breaker.state(after(1)), State::Open);
    let probe = breaker.admit(after(60)).expect("half-open");
    assert_eq!(probe.met(), State::HalfOpen);
    assert!(breaker.admit(after(60)).is_err());
    assert!(probe.succeed());
    let ticket = breaker.admit(after(61)).expect("closed");
    assert_eq!(ticket.met(), State::Closed);
    assert!(!ticket.succeed());
}

#[test]
fn a_probe_that_is_dropped_leaves_its_place_to_the_next() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    open(&breaker, START);
    drop(breaker.admit(after(60)).expect("half-open"));
    assert_eq!(breaker.state(after(60)), State::HalfOpen);
    let probe = breaker.admit(after(60)).expect("half-open still");
    assert!(probe.fail(after(60)));
    assert_eq!(breaker.state(after(60)), State::Open);
}

#[test]
fn a_caller_who_left_neither_counts_as_a_failure_nor_clears_them() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    let fail = || breaker.admit(START).expect("closed").fail(START);
    for _ in 0..9 {
        assert!(!fail());
        drop(breaker.admit(START).expect("closed"));
    }
    assert!(fail());
}

#[test]
fn a_success_clears_the_count_also_when_it_was_admitted_before_the_failures() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    let early = breaker.admit(START).expect("closed");
    let fail = || breaker.admit(START).expect("closed").fail(START);
    assert!((0..9).all(|_| !fail()));
    assert!(!early.succeed());
    assert!((0..9).all(|_| !fail()));
    assert!(fail());
}

#[test]
fn what_began_before_it_opened_says_nothing_after_it_closed() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    let admit = |_| breaker.admit(START).expect("closed");
    let early: Vec<_> = (0..20).map(admit).collect();
    open(&breaker, START);
    assert!(breaker.admit(after(60)).expect("half-open").succeed());
    let opened = early.into_iter().any(|ticket| ticket.fail(after(61)));
    assert!(!opened);
    assert_eq!(breaker.state(after(61)), State::Closed);
}

#[test]
fn one_credential_has_one_breaker_and_others_have_theirs() {
    let breakers = Breakers::default();
    let a = breakers.breaker(&id("a"), START);
    let b = breakers.breaker(&id("b"), START);
    open(&breakers.breaker(&id("a"), START), START);
    assert!(a.admit(START).is_err() && b.admit(START).is_ok());
    let circuit = |name, state, opened_at| Circuit {
        id: id(name),
        state,
        opened_at,
    };
    let expected = [
        circuit("a", State::Open, Some(START)),
        circuit("b", State::Closed, None),
    ];
    assert_eq!(breakers.circuits(after(1)), expected);
}

#[test]
fn compiling_a_provider_anew_does_not_close_its_circuit() {
    let breakers = Breakers::default();
    open(&breakers.breaker(&id("a"), START), START);
    assert_eq!(breakers.circuits(after(90)).len(), 1);
    assert!(
        breakers
            .breaker(&id("a"), after(30))
            .admit(after(30))
            .is_err()
    );
}

#[test]
fn what_nobody_holds_and_has_nothing_to_say_is_forgotten() {
    let breakers = Breakers::default();
    let held = breakers.breaker(&id("held"), START);
    open(&breakers.breaker(&id("open"), START), START);
    for n in 0..SWEPT_FROM * 3 {
        drop(breakers.breaker(&id(n), START));
        assert!(breakers.kept.lock().breakers.len() <= SWEPT_FROM + 1);
    }
    let ids = |now| breakers.circuits(now).into_iter().map(|circuit| circuit.id);
    assert_eq!(ids(after(1)).collect::<Vec<_>>(), [id("held"), id("open")]);
    // Due for a probe and another minute without anybody who would make one.
    assert_eq!(ids(after(120)).collect::<Vec<_>>(), [id("held")]);
    assert!(Arc::ptr_eq(&held, &breakers.breaker(&id("held"), START)));
    drop(held);
    assert_eq!(ids(after(120)).count(), 0);
}

#[test]
fn under_many_threads_it_opens_once_and_one_call_probes() {
    let breakers = Breakers::new(Settings {
        threshold: 100,
        ..Settings::default()
    });
    let (opened, probes, passed) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let count = |counter: &AtomicUsize, yes: bool| {
        counter.fetch_add(usize::from(yes), Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let breaker = breakers.breaker(&id("a"), START);
                while let Ok(ticket) = breaker.admit(START) {
                    count(&passed, true);
                    count(&opened, ticket.fail(START));
                }
            });
        }
    });
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    // Each thread may have had one more under way when it opened.
    assert!((100..108).contains(&passed.load(Ordering::SeqCst)));
    let breaker = breakers.breaker(&id("a"), START);
    let tickets: Vec<_> = thread::scope(|scope| {
        let ask = || {
            let ticket = breaker.admit(after(60));
            count(&probes, ticket.is_ok());
            ticket
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| worker.join().expect("no panic");
        workers.into_iter().map(join).collect()
    });
    assert_eq!(probes.load(Ordering::SeqCst), 1);
    let closed = tickets.into_iter().flatten().map(Ticket::succeed);
    assert_eq!(closed.collect::<Vec<_>>(), [true]);
    assert!(breaker.calm().is_some());
}

#[test]
fn while_nothing_fails_no_lock_is_taken() {
    let breakers = Breakers::default();
    let breaker = breakers.breaker(&id("a"), START);
    let (done, told) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let locked = breaker.breaker.lock();
        scope.spawn(|| {
            let ticket = breaker.admit(START).expect("closed");
            let closed = breaker.state(START) == State::Closed;
            let dropped = breaker.admit(START).is_ok();
            done.send(closed && dropped && !ticket.succeed())
        });
        let outcome = told.recv_timeout(std::time::Duration::from_secs(30));
        drop(locked);
        assert_eq!(outcome, Ok(true));
    });
}
