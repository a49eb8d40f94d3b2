//! From the spool to the ledger, over restarts.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lw_core::{BudgetId, ManualClock, NanoUsd, UnixMicros};
use lw_store::ledger::{Certainty, EntryKind, Ledger};

use super::{Place, at, request};
use crate::{Admission, FoldError, FoldReport, Folder, Stop, Taken};

#[test]
fn a_request_becomes_a_hold_and_a_settle() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    assert_eq!(node.fold.fold_once().expect("folds").rows, 1);
    assert_eq!(node.spend(), (0, 900, 0));
    let taken = writer
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    assert_eq!(taken, Taken::Spooled);
    assert_eq!(node.fold.fold_once().expect("folds").rows, 1);
    assert_eq!(node.spend(), (300, 0, 1));
    let stats = node.spool.stats(at(1));
    assert_eq!(
        (stats.appended, stats.folded, stats.backlog_bytes),
        (2, 2, 0)
    );
    assert_eq!(node.fold.fold_once().expect("folds"), FoldReport::default());
}

#[test]
fn a_refused_request_is_two_lines_and_costs_nothing() {
    let place = Place::new();
    let mut node = place.start();
    let (admission, failure) = (place.ids.admission(1, 0), place.ids.failure(1));
    node.writer(0)
        .append_refused(&admission, &failure)
        .expect("is recorded");
    assert_eq!(node.fold.drain().expect("folds").rows, 2);
    let exact = Certainty::Exact;
    assert_eq!(
        node.rows(1),
        [(EntryKind::Hold, 0, exact), (EntryKind::Release, 0, exact)]
    );
}

#[test]
fn files_explain_themselves_and_are_private() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    assert_eq!(place.files(), ["active-gw-a-0-00000000000000000001.ndjson"]);
    let mode = |path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(place.dir()), 0o700);
    assert_eq!(mode(place.dir().join("lock")), 0o600);
    assert_eq!(mode(place.dir().join(&place.files()[0])), 0o600);
    drop((writer, node));
    let node = place.start();
    let expected = [
        "active-gw-a-0-00000000000000000002.ndjson",
        "seg-gw-a-0-00000000000000000001.ndjson",
    ];
    assert_eq!(place.files(), expected);
    drop(node);
}

#[test]
fn a_file_is_sealed_at_a_mebibyte_and_deleted_when_it_is_folded() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    let mut requests = 0;
    while place.files().len() < 3 {
        requests += 1;
        writer
            .append_admission(&place.ids.admission(requests, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(requests, 300))
            .expect("is taken");
    }
    for name in place.files() {
        let length = fs::metadata(place.dir().join(&name)).expect("exists").len();
        assert!(length <= 1 << 20, "{name} has {length} bytes");
    }
    let report = node.fold.drain().expect("folds");
    assert_eq!((report.records, report.rows), (2 * requests, 2 * requests));
    assert_eq!(
        node.spend(),
        (300 * i64::try_from(requests).expect("small"), 0, requests)
    );
    assert_eq!(place.files().len(), 1, "the active one stays");
    assert_eq!(node.spool.stats(at(0)).sequence_gaps, 0);
    let progress = node.ledger.progress().expect("reads");
    assert_eq!(progress.len(), 1, "{progress:?}");
}

#[test]
fn numbers_go_on_after_a_restart_also_when_everything_was_folded() {
    let place = Place::new();
    for round in 0..3 {
        let mut node = place.start();
        node.fold.recover(at(0)).expect("recovers");
        let expected = format!("active-gw-a-0-{:020}.ndjson", 1 + 2 * round);
        let mut writer = node.writer(0);
        assert_eq!(place.files(), [expected]);
        writer
            .append_admission(&place.ids.admission(round, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(round, 300))
            .expect("is taken");
        node.fold.drain().expect("folds");
        assert_eq!(node.spool.stats(at(0)).sequence_gaps, 0);
    }
}

#[test]
fn a_writer_that_is_given_back_goes_on_in_its_file() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(3);
    assert!(node.spool.writer(3).is_err(), "one thread, one writer");
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    drop(writer);
    node.writer(3)
        .append_admission(&place.ids.admission(2, 900))
        .expect("is admitted");
    assert_eq!(place.files(), ["active-gw-a-3-00000000000000000001.ndjson"]);
}

#[test]
fn a_torn_last_line_is_dropped_and_counted() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    writer
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    drop((writer, node));
    let path = place.dir().join(&place.files()[0]);
    let mut file = fs::File::options().append(true).open(path).expect("opens");
    file.write_all(b"{\"command\":\"admitSpend\",\"payl")
        .expect("writes");
    let mut node = place.start();
    assert_eq!(node.spool.stats(at(0)).torn, 1);
    let recovery = node.fold.recover(at(1_000)).expect("recovers");
    assert_eq!(
        (
            recovery.folded.rows,
            recovery.folded.malformed,
            recovery.orphans
        ),
        (2, 0, 0)
    );
    assert_eq!(node.spend(), (300, 0, 1));
    assert_eq!(place.files(), ["active-gw-a-0-00000000000000000003.ndjson"]);
}

#[test]
fn a_malformed_line_is_counted_and_skipped() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    drop((writer, node));
    let path = place.dir().join(&place.files()[0]);
    let good = fs::read(&path).expect("reads");
    let text = String::from_utf8(good).expect("text");
    let second = text.replace(&request(1).to_string(), &request(2).to_string());
    let bad = b"{\"command\":\"admitSpend\",\"payload\":{}}\n\xFF\xFE\n\n";
    fs::write(&path, [text.as_bytes(), bad, second.as_bytes()].concat()).expect("writes");
    let mut node = place.start();
    let report = node.fold.drain().expect("folds");
    assert_eq!((report.rows, report.malformed), (2, 3));
    assert_eq!(node.spool.stats(at(0)).malformed, 3);
    assert_eq!(node.spend(), (0, 1_800, 0));
}

#[test]
fn a_line_whose_buckets_cannot_be_read_is_counted_and_folded() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    let admission = Admission {
        budgets: r#"["bgt_a"]"#,
        ..place.ids.admission(1, 900)
    };
    writer.append_admission(&admission).expect("is admitted");
    drop((writer, node));
    let path = place.dir().join(&place.files()[0]);
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, text.replace(r#"["bgt_a"]"#, r#"[{"id":1}]"#)).expect("writes");
    let mut node = place.start();
    let report = node.fold.drain().expect("folds");
    assert_eq!((report.rows, report.malformed), (1, 1));
    assert_eq!(node.spend(), (0, 900, 0));
}

#[test]
fn a_process_that_died_leaves_its_holds_to_the_budgets_that_they_name() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    for n in [1, 2] {
        let admission = Admission {
            budgets: r#"["bgt_a","bgt_b:user_1"]"#,
            ..place.ids.admission(n, 900)
        };
        writer.append_admission(&admission).expect("is admitted");
        // One of them is in the ledger when the process dies.
        if n == 1 {
            node.fold.drain().expect("folds");
        }
    }
    drop((writer, node));
    let mut node = place.start();
    assert_eq!(node.fold.recover(at(1_000)).expect("recovers").orphans, 2);
    for (budget, member) in [("bgt_a", ""), ("bgt_b", "user_1")] {
        let budget = BudgetId::parse(budget).expect("an id");
        let spent = node.ledger.budget_spent(&budget, member, at(0));
        assert_eq!(spent.expect("reads"), NanoUsd(1_800));
    }
}

#[test]
fn a_crash_between_commit_and_deletion_folds_nothing_twice() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    for n in 1..20 {
        writer
            .append_admission(&place.ids.admission(n, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(n, 300))
            .expect("is taken");
    }
    drop((writer, node));
    // The next process commits, and dies before it learns so.
    let mut node = place.start();
    node.ledger.dies_after_writing.store(true, Ordering::SeqCst);
    node.fold.drain().expect_err("dies");
    assert_eq!(node.spend(), (5_700, 0, 19));
    assert_eq!(place.files().len(), 2, "nothing is deleted yet");
    drop(node);
    let mut node = place.start();
    assert_eq!(
        node.spool.stats(at(0)).backlog_bytes,
        0,
        "the ledger knows how far it came"
    );
    assert_eq!(node.fold.drain().expect("folds").records, 0);
    assert_eq!(node.spend(), (5_700, 0, 19));
    assert_eq!(place.files().len(), 1);
}

#[test]
fn a_failed_answer_of_the_ledger_folds_the_same_rows_again_without_effect() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    writer
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    node.ledger.dies_after_writing.store(true, Ordering::SeqCst);
    node.fold.fold_once().expect_err("seems to fail");
    node.ledger
        .dies_after_writing
        .store(false, Ordering::SeqCst);
    let report = node.fold.fold_once().expect("folds");
    assert_eq!((report.records, report.rows), (2, 0));
    assert_eq!(node.spend(), (300, 0, 1));
}

#[test]
fn files_that_come_back_are_folded_without_effect() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    for n in 1..20 {
        writer
            .append_admission(&place.ids.admission(n, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(n, 300))
            .expect("is taken");
    }
    drop((writer, node));
    let backup = place.folder.path().join("backup");
    Place::copy(&place.dir(), &backup);
    let mut node = place.start();
    assert_eq!(node.fold.drain().expect("folds").rows, 38);
    drop(node);
    Place::copy(&backup, &place.dir());
    let mut node = place.start();
    assert_eq!(node.fold.drain().expect("folds").rows, 0);
    assert_eq!(node.spend(), (5_700, 0, 19));
}

#[test]
fn the_progress_of_a_lost_file_does_not_hide_new_lines() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    for n in 1..10 {
        writer
            .append_admission(&place.ids.admission(n, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(n, 300))
            .expect("is taken");
    }
    node.fold.fold_once().expect("folds");
    drop((writer, node));
    // A loss of power right after the ledger's commit: the file was never synced.
    fs::remove_file(place.dir().join(&place.files()[0])).expect("removes");
    let mut node = place.start();
    let mut writer = node.writer(0);
    assert_eq!(place.files(), ["active-gw-a-0-00000000000000000001.ndjson"]);
    writer
        .append_admission(&place.ids.admission(50, 900))
        .expect("is admitted");
    writer
        .append_outcome(&place.ids.outcome(50, 300))
        .expect("is taken");
    assert_eq!(node.fold.drain().expect("folds").rows, 2);
    assert_eq!(node.spend(), (3_000, 0, 10));
}

#[test]
fn an_outcome_may_be_folded_before_its_admission() {
    let place = Place::new();
    let mut node = place.start();
    let (mut first, mut second) = (node.writer(0), node.writer(1));
    first
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    node.fold.fold_once().expect("folds");
    assert_eq!(node.spend(), (300, 0, 1));
    second
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    node.fold.fold_once().expect("folds");
    assert_eq!(node.spend(), (300, 0, 1));
    assert_eq!(node.fold.recover(at(1_000)).expect("recovers").orphans, 0);
}

#[test]
fn an_admission_without_an_outcome_is_charged_once_and_corrected_by_a_late_truth() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    drop((writer, node));
    for orphans in [1, 0] {
        let mut node = place.start();
        assert_eq!(
            node.fold.recover(at(1_000)).expect("recovers").orphans,
            orphans
        );
        assert_eq!(node.spend(), (900, 0, 1));
    }
    let mut node = place.start();
    node.writer(0)
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    node.fold.drain().expect("folds");
    assert_eq!(node.spend(), (300, 0, 1));
    let expected = [
        (EntryKind::Hold, 900, Certainty::Exact),
        (EntryKind::Settle, 900, Certainty::Orphaned),
        (EntryKind::Adjust, -600, Certainty::Exact),
    ];
    assert_eq!(node.rows(1), expected);
}

#[test]
fn files_of_another_node_id_are_folded_and_leave_nothing() {
    let place = Place::new();
    let node = place.start();
    node.writer(0)
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    drop(node);
    for name in place.files() {
        let other = name.replace("gw-a", "gw-b");
        fs::rename(place.dir().join(name), place.dir().join(other)).expect("renames");
    }
    let mut node = place.start();
    assert_eq!(node.fold.recover(at(1_000)).expect("recovers").orphans, 1);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn there_is_one_folder_for_a_spool() {
    let place = Place::new();
    let node = place.start();
    let ledger = Arc::clone(&node.ledger) as Arc<dyn Ledger>;
    let second = Folder::new(&node.spool, ledger, Arc::new(ManualClock::at(at(0))));
    assert!(matches!(second, Err(FoldError::Taken)));
}

#[test]
fn the_age_of_the_backlog_is_that_of_its_oldest_record() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    assert_eq!(node.spool.stats(at(9_000)).oldest_unfolded, Duration::ZERO);
    writer
        .append_admission(&place.ids.admission(1_000, 900))
        .expect("is admitted");
    writer
        .append_admission(&place.ids.admission(2_000, 900))
        .expect("is admitted");
    assert_eq!(
        node.spool.stats(at(9_000)).oldest_unfolded,
        Duration::from_secs(8)
    );
    node.fold.fold_once().expect("folds");
    assert_eq!(node.spool.stats(at(9_000)).oldest_unfolded, Duration::ZERO);
}

#[test]
fn threads_write_while_one_folds() {
    const REQUESTS: u64 = 400;
    let place = Place::new();
    let Node {
        spool,
        ledger,
        mut fold,
    } = place.start();
    let (stop, ids) = (Stop::new(), &place.ids);
    let fold = std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            fold.run(&stop, Duration::from_millis(1));
            fold
        });
        let syncing = scope.spawn(|| spool.run(&stop, Duration::from_millis(1)));
        let writing: Vec<_> = (0..4)
            .map(|index| {
                let mut writer = spool.writer(index).expect("a writer");
                let first = u64::try_from(index).expect("small") * REQUESTS;
                scope.spawn(move || {
                    for n in first..first + REQUESTS {
                        writer
                            .append_admission(&ids.admission(n, 900))
                            .expect("is admitted");
                        writer
                            .append_outcome(&ids.outcome(n, 300))
                            .expect("is taken");
                    }
                })
            })
            .collect();
        for thread in writing {
            thread.join().expect("writes");
        }
        stop.stop();
        syncing.join().expect("syncs");
        folding.join().expect("folds")
    });
    let mut node = Node {
        spool,
        ledger,
        fold,
    };
    node.fold.drain().expect("folds");
    assert_eq!(node.spend(), (4 * 300 * 400, 0, 4 * REQUESTS));
    let stats = node.spool.stats(UnixMicros(0));
    assert_eq!((stats.appended, stats.folded), (8 * REQUESTS, 8 * REQUESTS));
    assert_eq!(
        (stats.backlog_bytes, stats.malformed, stats.sequence_gaps),
        (0, 0, 0)
    );
}

use super::Node;
