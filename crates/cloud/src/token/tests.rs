//! Exchanges that succeed, fail, hang and are dropped, on a clock that is moved by hand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::time::advance;

use super::*;
use crate::outside::{Background, HttpFailure};
use crate::testing::{START, World};

/// How one exchange goes.
#[derive(Debug, Clone)]
enum Plan {
    /// A token that lives for so many seconds.
    Token(i64),
    /// A token without an end.
    Endless,
    Failure,
    Hang,
    /// As the other one, after so many seconds.
    After(u64, Box<Plan>),
}

/// Tokens are numbered from 0; exchanges beyond the script go like the last one.
struct Source {
    plans: Mutex<VecDeque<Plan>>,
    fetches: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// Told when an exchange begins.
    begun: Notify,
}

impl Source {
    fn new(plans: impl IntoIterator<Item = Plan>) -> Arc<Self> {
        Arc::new(Self {
            plans: Mutex::new(plans.into_iter().collect()),
            fetches: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            begun: Notify::new(),
        })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

/// Counts exchanges under way, also of those that are dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn failure() -> CloudError {
    CloudError::Transport {
        endpoint: "sts.test".to_owned(),
        failure: HttpFailure::Unreachable,
    }
}

impl TokenSource<usize> for Arc<Source> {
    fn cloud(&self) -> Cloud {
        Cloud::Google
    }

    fn fetch<'a>(
        &'a self,
        outside: &'a Outside,
    ) -> BoxFuture<'a, Result<Fresh<usize>, CloudError>> {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst);
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        self.begun.notify_one();
        let mut plan = {
            let mut plans = self.plans.lock();
            let last = plans.len() == 1;
            let plan = if last {
                plans.front().cloned()
            } else {
                plans.pop_front()
            };
            plan.expect("a plan")
        };
        Box::pin(async move {
            let _guard = UnderWay(&self.under_way);
            while let Plan::After(seconds, then) = plan {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                plan = *then;
            }
            match plan {
                Plan::Token(life) => Ok(Fresh {
                    value: number,
                    expires_at: Some(outside.now().plus_micros(life * SECOND_US)),
                }),
                Plan::Endless => Ok(Fresh {
                    value: number,
                    expires_at: None,
                }),
                Plan::Failure => Err(failure()),
                Plan::Hang | Plan::After(..) => std::future::pending().await,
            }
        })
    }
}

fn cached(plans: impl IntoIterator<Item = Plan>) -> (Arc<Source>, CachedToken<usize>, Outside) {
    let source = Source::new(plans);
    let cached = CachedToken::new(source.clone());
    (source, cached, World::new(&[], &[]).outside)
}

/// What is there without waiting.
fn at_once(cached: &CachedToken<usize>, outside: &Outside) -> Option<Result<usize, CloudError>> {
    let got = cached.get(outside).now_or_never()?;
    Some(got.map(|value| *value))
}

/// Lets spawned tasks run without moving the clock.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn seconds(seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_one_exchange() {
    let (source, cached, outside) = cached([Plan::After(2, Box::new(Plan::Token(3_600)))]);
    let got = join_all((0..1_000).map(|_| cached.get(&outside))).await;
    assert!(got.iter().all(|got| got.as_deref() == Ok(&0)));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_with_all_who_waited() {
    let (source, cached, outside) = cached([Plan::After(2, Box::new(Plan::Failure))]);
    let got = join_all((0..1_000).map(|_| cached.get(&outside))).await;
    assert!(got.iter().all(|got| got.as_ref() == Err(&failure())));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_five_minutes_ahead_while_nobody_waits() {
    let slow = Plan::After(20, Box::new(Plan::Token(3_600)));
    let (source, cached, outside) = cached([Plan::Token(3_600), slow]);
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    seconds(3_299).await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
    settle().await;
    assert_eq!(source.fetches(), 1);
    seconds(1).await;
    for _ in 0..10 {
        assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
        settle().await;
    }
    assert_eq!(source.fetches(), 2);
    seconds(20).await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(1)));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_renewed_at_half_its_life() {
    let (source, cached, outside) = cached([Plan::Token(60)]);
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    seconds(29).await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
    settle().await;
    assert_eq!(source.fetches(), 1);
    seconds(1).await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
    settle().await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_fetched_once() {
    let (source, cached, outside) = cached([Plan::Endless]);
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    seconds(400 * 24 * 3_600).await;
    assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_used_while_renewing_fails_and_not_after_its_end() {
    let (source, cached, outside) = cached([Plan::Token(3_600), Plan::Failure]);
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    seconds(3_300).await;
    for _ in 0..290 {
        assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
        seconds(1).await;
    }
    // Ten seconds before its end, so that a request can arrive.
    assert_eq!(at_once(&cached, &outside), Some(Err(failure())));
    // 1 + 2 + 4 + 8 + 16 + 30 + 30 ... seconds apart.
    assert!(
        (12..=15).contains(&source.fetches()),
        "{}",
        source.fetches()
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_is_left_alone_for_one_second_doubling_to_thirty() {
    let (source, cached, outside) = cached([Plan::Failure]);
    let mut tried_at = Vec::new();
    for second in 0..130 {
        let before = source.fetches();
        let got = cached.get(&outside).await;
        assert_eq!(got, Err(failure()));
        if source.fetches() > before {
            tried_at.push(second);
        }
        seconds(1).await;
    }
    assert_eq!(tried_at, [0, 1, 3, 7, 15, 31, 61, 91, 121]);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_pauses() {
    let plans = [
        Plan::Failure,
        Plan::Failure,
        Plan::Failure,
        Plan::Token(60),
        Plan::Failure,
    ];
    let (source, cached, outside) = cached(plans);
    for wait in [1, 2, 4] {
        assert!(cached.get(&outside).await.is_err());
        seconds(wait).await;
    }
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&3));
    seconds(60).await;
    assert!(cached.get(&outside).await.is_err());
    assert_eq!(source.fetches(), 5);
    seconds(1).await;
    assert!(cached.get(&outside).await.is_err());
    assert_eq!(source.fetches(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_hangs_ends_after_its_limit() {
    let (source, cached, outside) = cached([Plan::Hang, Plan::Token(3_600)]);
    let error = CloudError::TimedOut { seconds: 30 };
    assert_eq!(cached.get(&outside).await, Err(error));
    seconds(1).await;
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&1));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_had_expired_on_arrival_is_an_error() {
    let (_, cached, outside) = cached([Plan::Token(0)]);
    let error = CloudError::AlreadyExpired {
        cloud: Cloud::Google,
    };
    assert_eq!(cached.get(&outside).await, Err(error));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_leaves_the_exchange_to_the_others() {
    let (source, cached, outside) = cached([Plan::After(2, Box::new(Plan::Token(3_600)))]);
    let first = cached.get(&outside);
    let mut first = Box::pin(first);
    assert!(first.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_dropped_once_and_not_while_it_is_young() {
    let (source, cached, outside) = cached([Plan::Token(3_600)]);
    let first = cached.get(&outside).await.expect("a token");
    seconds(29).await;
    assert!(!cached.invalidate(&first, outside.now()), "too young");
    assert_eq!(at_once(&cached, &outside), Some(Ok(0)));
    seconds(1).await;
    assert!(cached.invalidate(&first, outside.now()));
    assert!(!cached.invalidate(&first, outside.now()), "already gone");
    let second = cached.get(&outside).await.expect("a token");
    assert_eq!(*second, 1);
    seconds(60).await;
    assert!(
        !cached.invalidate(&first, outside.now()),
        "not the current one"
    );
    assert_eq!(at_once(&cached, &outside), Some(Ok(1)));
    assert_eq!(source.fetches(), 2);
    assert!(
        cached.invalidate(&second, START),
        "a clock that was set back does not make a token young"
    );
}

/// Drops the first so many tasks instead of running them.
struct Drops(AtomicUsize);

impl Background for Drops {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let left = self.0.load(Ordering::SeqCst);
        if left > 0 {
            self.0.store(left - 1, Ordering::SeqCst);
            drop(task);
        } else {
            tokio::spawn(task);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_exchanges_are_started_again_but_not_for_ever() {
    let (source, cached, mut outside) = cached([Plan::Token(3_600)]);
    outside.tasks = Arc::new(Drops(AtomicUsize::new(2)));
    assert_eq!(cached.get(&outside).await.as_deref(), Ok(&0));
    assert_eq!(source.fetches(), 1);

    let (source, cached, mut outside) = self::cached([Plan::Token(3_600)]);
    outside.tasks = Arc::new(Drops(AtomicUsize::new(usize::MAX)));
    assert_eq!(cached.get(&outside).await, Err(CloudError::Abandoned));
    assert_eq!(source.fetches(), 0);
}

#[test]
fn when_an_event_loop_stops_within_an_exchange_a_caller_on_another_takes_over() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
    };
    let source = Source::new([Plan::Hang, Plan::Token(3_600)]);
    let cached = CachedToken::new(source.clone());
    let (waits, waiting) = std::sync::mpsc::channel();

    let stopping = runtime();
    let (starter, their_source) = (cached.clone(), source.clone());
    stopping.block_on(async move {
        let outside = World::new(&[], &[]).outside;
        tokio::spawn(async move { starter.get(&outside).await });
        their_source.begun.notified().await;
    });
    let other = std::thread::spawn(move || {
        runtime().block_on(async move {
            let outside = World::new(&[], &[]).outside;
            let mut got = Box::pin(cached.get(&outside));
            assert!(got.as_mut().now_or_never().is_none(), "it waits");
            waits.send(()).expect("the test waits");
            got.await.map(|value| *value)
        })
    });
    waiting.recv().expect("the other one waits");
    assert_eq!(source.fetches(), 1);
    drop(stopping);
    assert_eq!(other.join().expect("no panic"), Ok(1));
    assert_eq!(source.fetches(), 2);
}

/// What happens next in the property below.
#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    Ask,
    /// Asks, and hangs up before the answer.
    AskAndLeave,
    Refuse,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..400_u64).prop_map(Happening::Pass),
        1 => (0..4_u64).prop_map(Happening::Pass),
        4 => Just(Happening::Ask),
        1 => Just(Happening::AskAndLeave),
        1 => Just(Happening::Refuse),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let end = prop_oneof![
        4 => (1..4_000_i64).prop_map(Plan::Token),
        2 => Just(Plan::Failure),
        1 => Just(Plan::Hang),
        1 => Just(Plan::Token(0)),
    ];
    (end, 0..40_u64).prop_map(|(end, after)| Plan::After(after, Box::new(end)))
}

proptest! {
    #[test]
    fn no_expired_token_is_handed_out_and_no_two_exchanges_run(
        plans in prop::collection::vec(plan(), 1..12),
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let (source, cached, outside) = cached(plans);
            // The last token that was handed out, while it must still be there.
            let mut last: Option<Arc<usize>> = None;
            for happening in happenings {
                match happening {
                    Happening::Pass(time) => seconds(time).await,
                    Happening::AskAndLeave => drop(cached.get(&outside).now_or_never()),
                    Happening::Refuse => if let Some(token) = last.take() {
                        cached.invalidate(&token, outside.now());
                    },
                    Happening::Ask => {
                        let held = cached.shared.held.load_full();
                        let usable = held.is_some_and(|held| held.usable(outside.now()));
                        let before = outside.now();
                        let got = cached.get(&outside).await;
                        if usable {
                            // Nobody waits when there is one.
                            prop_assert!(got.is_ok());
                            prop_assert_eq!(outside.now(), before);
                        }
                        // Nobody waits longer than two exchanges.
                        prop_assert!(outside.now().0 - before.0 <= 61 * SECOND_US);
                        if let Ok(token) = got {
                            let held = cached.shared.held.load_full().expect("held");
                            prop_assert!(Arc::ptr_eq(&held.value, &token));
                            prop_assert!(held.usable(outside.now()));
                            last = Some(token);
                        }
                    }
                }
                prop_assert!(source.most_under_way.load(Ordering::SeqCst) <= 1);
            }
            Ok(())
        })?;
    }
}
