//! Folders that cannot be used, disks that are full, ledgers that are locked.

use std::fs;
use std::sync::atomic::Ordering;

use lw_store::ledger::{Certainty, EntryKind};

use super::{Place, at};
use crate::{FoldError, Spool, SpoolError, Taken};

#[test]
fn a_folder_that_cannot_be_used_refuses_the_start() {
    let place = Place::new();
    let file = place.folder.path().join("file");
    fs::write(&file, "not a folder").expect("writes");
    for dir in [file.clone(), file.join("below")] {
        let error = Spool::open(&dir, "gw-a", 1).expect_err("refuses");
        assert!(matches!(error, SpoolError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("file"), "{error}");
    }
    fs::create_dir_all(place.dir().join("lock")).expect("creates");
    let error = Spool::open(&place.dir(), "gw-a", 1).expect_err("refuses");
    assert!(matches!(error, SpoolError::Unusable { .. }), "{error}");
}

#[test]
fn two_processes_cannot_share_a_folder() {
    let place = Place::new();
    let node = place.start();
    let error = Spool::open(&place.dir(), "gw-a", 1).expect_err("refuses");
    assert!(matches!(error, SpoolError::InUse { .. }), "{error}");
    drop(node);
    Spool::open(&place.dir(), "gw-a", 1).expect("is free again");
}

#[test]
fn a_node_id_must_fit_into_a_file_name() {
    let place = Place::new();
    for id in ["", "a/b", "a b", "ä", &"x".repeat(101)] {
        let error = Spool::open(&place.dir(), id, 1).expect_err("refuses");
        assert!(matches!(error, SpoolError::InvalidNodeId(_)), "{id}");
    }
}

#[test]
fn a_full_spool_refuses_admissions_and_takes_outcomes() {
    let place = Place::new();
    let mut node = place.start_with(1_000);
    node.ledger.refuses.store(true, Ordering::SeqCst);
    let mut writer = node.writer(0);
    let mut admitted = 0;
    let error = loop {
        match writer.append_admission(&place.ids.admission(admitted, 900)) {
            Ok(()) => admitted += 1,
            Err(error) => break error,
        }
        node.fold.fold_once().expect_err("is refused");
    };
    assert!(
        matches!(error, SpoolError::Full { max: 1_000, .. }),
        "{error}"
    );
    let refused = writer.append_refused(&place.ids.admission(99, 0), &place.ids.failure(99));
    assert!(matches!(refused, Err(SpoolError::Full { .. })));
    for n in 0..admitted {
        let taken = writer
            .append_outcome(&place.ids.outcome(n, 300))
            .expect("is taken");
        assert_eq!(taken, Taken::Spooled);
    }
    node.ledger.refuses.store(false, Ordering::SeqCst);
    node.fold.drain().expect("folds");
    assert_eq!(
        node.spend(),
        (300 * i64::try_from(admitted).expect("small"), 0, admitted)
    );
    writer
        .append_admission(&place.ids.admission(50, 900))
        .expect("there is room again");
}

#[test]
fn a_backlog_that_an_earlier_process_left_counts() {
    let place = Place::new();
    let node = place.start();
    let mut writer = node.writer(0);
    for n in 0..5 {
        writer
            .append_admission(&place.ids.admission(n, 900))
            .expect("is admitted");
    }
    drop((writer, node));
    let mut node = place.start_with(1_000);
    let refused = node
        .writer(0)
        .append_admission(&place.ids.admission(50, 900));
    assert!(matches!(refused, Err(SpoolError::Full { .. })));
    node.fold.drain().expect("folds");
    node.writer(0)
        .append_admission(&place.ids.admission(50, 900))
        .expect("there is room");
}

#[test]
fn a_locked_ledger_loses_nothing() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    let other = rusqlite::Connection::open(place.database()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    for n in 0..50 {
        writer
            .append_admission(&place.ids.admission(n, 900))
            .expect("is admitted");
        writer
            .append_outcome(&place.ids.outcome(n, 300))
            .expect("is taken");
        let error = node.fold.fold_once().expect_err("is locked");
        assert!(matches!(error, FoldError::Ledger(_)), "{error}");
    }
    assert_eq!(node.spend(), (0, 0, 0));
    other.execute_batch("ROLLBACK").expect("unlocks");
    assert_eq!(node.fold.drain().expect("folds").rows, 100);
    assert_eq!(node.spend(), (15_000, 0, 50));
}

#[test]
fn a_write_that_fails_half_way_is_taken_back() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    let fault = &writer.segment().fault;
    fault.room.store(100, Ordering::SeqCst);
    fault.armed.store(true, Ordering::SeqCst);
    let refused = writer.append_admission(&place.ids.admission(2, 900));
    assert!(matches!(refused, Err(SpoolError::Unwritable(_))));
    writer.segment().fault.armed.store(false, Ordering::SeqCst);
    writer
        .append_admission(&place.ids.admission(3, 900))
        .expect("is admitted");
    let report = node.fold.drain().expect("folds");
    assert_eq!((report.rows, report.malformed), (2, 0));
    assert!(node.rows(2).is_empty());
    let stats = node.spool.stats(at(0));
    assert_eq!(
        (stats.write_errors, stats.appended, stats.sequence_gaps),
        (1, 2, 0)
    );
}

#[test]
fn an_outcome_that_cannot_be_written_waits_and_nothing_is_admitted_before_it() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    let fault = &writer.segment().fault;
    fault.room.store(100, Ordering::SeqCst);
    fault.armed.store(true, Ordering::SeqCst);
    let taken = writer
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    assert_eq!(taken, Taken::Waiting);
    assert_eq!(node.spool.stats(at(0)).waiting, 1);
    writer.segment().fault.armed.store(false, Ordering::SeqCst);
    let refused = writer.append_admission(&place.ids.admission(2, 900));
    assert!(matches!(refused, Err(SpoolError::OutcomesWaiting(1))));
    node.spool.sync().expect("writes it");
    assert_eq!(node.spool.stats(at(0)).waiting, 0);
    writer
        .append_admission(&place.ids.admission(2, 900))
        .expect("is admitted");
    let late = "active-gw-a-late-00000000000000000001.ndjson";
    assert!(
        place.files().iter().any(|name| name == late),
        "{:?}",
        place.files()
    );
    assert_eq!(node.fold.drain().expect("folds").rows, 3);
    assert_eq!(node.spend(), (300, 900, 1));
}

#[test]
fn a_drain_writes_what_waits_first() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    writer.segment().fault.armed.store(true, Ordering::SeqCst);
    writer
        .append_outcome(&place.ids.outcome(1, 300))
        .expect("is taken");
    node.fold.drain().expect("folds");
    assert_eq!(node.spend(), (300, 0, 1));
}

#[test]
fn a_file_that_may_end_in_half_a_line_is_left_for_a_new_one() {
    let place = Place::new();
    let mut node = place.start();
    let mut writer = node.writer(0);
    writer
        .append_admission(&place.ids.admission(1, 900))
        .expect("is admitted");
    let fault = &writer.segment().fault;
    fault.room.store(100, Ordering::SeqCst);
    fault.armed.store(true, Ordering::SeqCst);
    fault.no_rollback.store(true, Ordering::SeqCst);
    writer
        .append_admission(&place.ids.admission(2, 900))
        .expect_err("is refused");
    writer
        .append_admission(&place.ids.admission(3, 900))
        .expect("is admitted in a new file");
    assert_eq!(place.files().len(), 2);
    assert_eq!(node.fold.fold_once().expect("folds").rows, 2);
    assert_eq!(place.files().len(), 1);
    assert!(node.rows(2).is_empty());
    drop((writer, node));
    let mut node = place.start();
    node.fold.recover(at(1_000)).expect("recovers");
    let orphan = (EntryKind::Settle, 900, Certainty::Orphaned);
    assert_eq!((node.rows(1)[1], node.rows(3)[1]), (orphan, orphan));
}
