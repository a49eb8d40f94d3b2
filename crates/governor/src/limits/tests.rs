//! Grants and how they end, what is remembered, and exact counts under many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lw_engine::limit::Dimension;

use super::*;

const NOW: UnixMicros = UnixMicros(1_782_864_000_000_000);
const NONE: Ceilings = Ceilings {
    rpm: None,
    tpm: None,
    rpd: None,
    concurrent: None,
};
const ONE_AT_A_TIME: Ceilings = Ceilings {
    concurrent: Some(1),
    ..NONE
};

fn key(name: impl std::fmt::Display) -> Subject {
    Subject::Key(VirtualKeyId::parse(&format!("vk_{name}")).expect("an id"))
}

fn provider(name: &str) -> Subject {
    Subject::Provider(ModelProviderId::parse(&format!("mp_{name}")).expect("an id"))
}

fn tokens_left(limits: &Limits, subject: &Subject, ceilings: &Ceilings) -> u64 {
    let standing = limits.standing(subject, ceilings, NOW);
    standing.tokens.expect("limited").remaining
}

#[test]
fn a_grant_is_settled_given_back_or_dropped() {
    let limits = Limits::default();
    let ceilings = Ceilings {
        rpm: Some(10),
        tpm: Some(1_000),
        concurrent: Some(1),
        ..NONE
    };
    let subject = key("a");
    let take = || limits.take(&subject, &ceilings, NOW, 100);
    let left = || {
        let standing = limits.standing(&subject, &ceilings, NOW);
        let requests = standing.requests.expect("limited").remaining;
        (requests, tokens_left(&limits, &subject, &ceilings))
    };
    let grant = take().expect("fits");
    assert_eq!(
        grant.standing(&ceilings, NOW),
        limits.standing(&subject, &ceilings, NOW)
    );
    assert_eq!(left(), (9, 900));
    let denied = take().expect_err("one at a time");
    assert_eq!(denied.dimension, Dimension::Concurrent);
    grant.settle(NOW, 40);
    assert_eq!(left(), (9, 960));
    take().expect("fits").give_back(NOW);
    assert_eq!(left(), (9, 960));
    drop(take().expect("fits"));
    assert_eq!(left(), (8, 860), "whoever vanished may have been served");
    assert_eq!(limits.standing(&subject, &ceilings, NOW).open, 0);
}

#[test]
fn a_key_gets_back_what_its_provider_has_no_room_for() {
    let limits = Limits::default();
    let ceilings = |tpm| Ceilings {
        tpm: Some(tpm),
        ..NONE
    };
    let (of_key, of_provider) = (ceilings(1_000), ceilings(100));
    let (key, provider) = (key("a"), provider("a"));
    let _other = limits.take(&provider, &of_provider, NOW, 100);
    let grant = limits.take(&key, &of_key, NOW, 60).expect("fits");
    let denied = limits.take(&provider, &of_provider, NOW, 60);
    let denied = denied.expect_err("another key was faster");
    assert_eq!(
        (denied.dimension, denied.retry_after_s),
        (Dimension::Tpm, 36)
    );
    grant.give_back(NOW);
    assert_eq!(tokens_left(&limits, &key, &of_key), 1_000);
}

#[test]
fn a_key_and_a_provider_are_never_the_same_subject() {
    let limits = Limits::default();
    let _key = limits.take(&key("a"), &ONE_AT_A_TIME, NOW, 0);
    assert!(limits.take(&key("b"), &ONE_AT_A_TIME, NOW, 0).is_ok());
    assert!(limits.take(&provider("a"), &ONE_AT_A_TIME, NOW, 0).is_ok());
    assert!(limits.take(&key("a"), &ONE_AT_A_TIME, NOW, 0).is_err());
}

#[test]
fn without_ceilings_and_for_who_only_asks_nothing_is_remembered() {
    let limits = Limits::default();
    let grant = limits.take(&key("a"), &NONE, NOW, 5).expect("no limit");
    assert_eq!(
        limits.standing(&key("a"), &ONE_AT_A_TIME, NOW),
        Standing::default()
    );
    assert_eq!(grant.standing(&ONE_AT_A_TIME, NOW), Standing::default());
    grant.settle(NOW, 7);
    assert!(limits.is_empty());
}

#[test]
fn the_registry_is_bounded_and_never_forgets_who_has_a_request_under_way() {
    let limits = Limits::new(64);
    let subjects: Vec<_> = (0..200).map(|n| key(format_args!("held{n}"))).collect();
    let take = |subject: &Subject| limits.take(subject, &ONE_AT_A_TIME, NOW, 0);
    let held: Vec<_> = subjects.iter().map(take).collect();
    assert!(held.iter().all(Result::is_ok));
    let crowd = |name: &str| {
        for n in 0..2_000 {
            drop(take(&key(format_args!("{name}{n}"))));
        }
    };
    crowd("first");
    assert!(subjects.iter().all(|subject| take(subject).is_err()));
    drop(held);
    assert!(subjects.iter().all(|subject| take(subject).is_ok()));
    crowd("second");
    assert!(limits.len() <= 64, "{} subjects", limits.len());
}

#[test]
fn eight_threads_get_exactly_what_there_is() {
    let limits = Limits::new(64);
    let ceilings = Ceilings {
        rpm: Some(1_000),
        tpm: Some(1_000_000),
        rpd: Some(5_000),
        concurrent: Some(5),
    };
    let subjects = [key("a"), key("b"), provider("a")];
    let counters = || subjects.each_ref().map(|_| AtomicU64::new(0));
    let (counted, used, open) = (counters(), counters(), counters());
    // So that the three are not forgotten while they have nothing under way.
    let _pinned = subjects.each_ref().map(|subject| limits.level(subject));
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (limits, subjects) = (&limits, &subjects);
            let (counted, used, open) = (&counted, &used, &open);
            scope.spawn(move || {
                for round in 0..3_000 {
                    let at = usize::try_from((worker + round) % 3).expect("small");
                    // Others come and go, so that the registry is always about to evict.
                    let other = key(format_args!("{worker}-{round}"));
                    drop(limits.take(&other, &ceilings, NOW, 1));
                    let Ok(grant) = limits.take(&subjects[at], &ceilings, NOW, 10) else {
                        continue;
                    };
                    let running = open[at].fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(running <= 5, "{running} at once");
                    thread::yield_now();
                    open[at].fetch_sub(1, Ordering::SeqCst);
                    let (requests, tokens) = match round % 3 {
                        0 => (0, 0),
                        1 => (1, round),
                        _ => (1, 10),
                    };
                    match round % 3 {
                        0 => grant.give_back(NOW),
                        1 => grant.settle(NOW, round),
                        _ => drop(grant),
                    }
                    counted[at].fetch_add(requests, Ordering::SeqCst);
                    used[at].fetch_add(tokens, Ordering::SeqCst);
                }
            });
        }
    });
    for (at, subject) in subjects.iter().enumerate() {
        let standing = limits.standing(subject, &ceilings, NOW);
        let requests = standing.requests.expect("limited");
        let counted = counted[at].load(Ordering::SeqCst);
        assert_eq!(requests.remaining, 1_000 - counted);
        assert_eq!(
            tokens_left(&limits, subject, &ceilings),
            1_000_000_u64.saturating_sub(used[at].load(Ordering::SeqCst))
        );
        assert_eq!(standing.open, 0);
    }
}
