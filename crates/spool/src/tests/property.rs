//! However appends are cut into batches, and wherever the process dies: the ledger is the same.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::{Node, Place, request};
use crate::SpoolWriter;

const REQUESTS: u64 = 6;

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit(u64),
    Settle(u64),
    Fail(u64),
    Refuse(u64),
    Fold,
    /// The ledger commits, and the folder does not learn of it.
    FoldAndDie,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_u8..9, 0..REQUESTS).prop_map(|(kind, n)| match kind {
        0 | 1 => Step::Admit(n),
        2 | 3 => Step::Settle(n),
        4 => Step::Fail(n),
        5 => Step::Refuse(n),
        6 => Step::Fold,
        7 => Step::FoldAndDie,
        _ => Step::Restart,
    });
    proptest::collection::vec(step, 1..40)
}

fn writers(node: &Node) -> [SpoolWriter; 2] {
    [node.writer(0), node.writer(1)]
}

/// Runs `steps`; with `folds` as they say, else folding once at the end.
fn play(steps: &[Step], folds: bool) -> Vec<String> {
    let place = Place::new();
    let mut node = place.start();
    let mut threads = writers(&node);
    let ids = &place.ids;
    for step in steps {
        match *step {
            Step::Admit(n) => {
                let thread = &mut threads[usize::from(n % 2 == 1)];
                thread
                    .append_admission(&ids.admission(n, 900))
                    .expect("is admitted");
            }
            Step::Settle(n) => {
                let thread = &mut threads[usize::from(n % 2 == 1)];
                thread
                    .append_outcome(&ids.outcome(n, 300))
                    .expect("is taken");
            }
            Step::Fail(n) => {
                let thread = &mut threads[usize::from(n % 2 == 1)];
                thread.append_outcome(&ids.failure(n)).expect("is taken");
            }
            Step::Refuse(n) => {
                let thread = &mut threads[usize::from(n % 2 == 1)];
                let (admission, failure) = (ids.admission(n, 0), ids.failure(n));
                thread
                    .append_refused(&admission, &failure)
                    .expect("is recorded");
            }
            Step::Fold if folds => {
                node.fold.fold_once().expect("folds");
            }
            Step::FoldAndDie if folds => {
                node.ledger.dies_after_writing.store(true, Ordering::SeqCst);
                let _ = node.fold.fold_once();
                node.ledger
                    .dies_after_writing
                    .store(false, Ordering::SeqCst);
            }
            Step::Restart if folds => {
                drop((threads, node));
                node = place.start();
                threads = writers(&node);
            }
            Step::Fold | Step::FoldAndDie | Step::Restart => {}
        }
    }
    node.fold.drain().expect("folds");
    assert_eq!(node.spool.stats(super::at(0)).backlog_bytes, 0);
    let mut ledger: Vec<String> = (0..REQUESTS)
        .map(|n| {
            format!(
                "{:?}",
                lw_store::ledger::Ledger::request(&*node.ledger, request(n))
            )
        })
        .collect();
    ledger.push(format!("{:?}", node.spend()));
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_into_batches_gives_the_same_ledger(steps in steps()) {
        prop_assert_eq!(play(&steps, true), play(&steps, false));
    }
}
