//! The conformance suite on SQLite, and what only this engine promises.

use std::time::Duration;

use super::conformance::{self, at, body, query, record, request};
use super::*;

fn open(folder: &tempfile::TempDir) -> SqliteTraces {
    let tuning = Tuning {
        busy_timeout: Duration::from_millis(1),
        ..Tuning::default()
    };
    SqliteTraces::open(&folder.path().join("traces.db"), tuning).expect("opens")
}

/// A store that takes its folder with it.
struct Temporary(
    SqliteTraces,
    #[expect(dead_code, reason = "kept for its drop")] tempfile::TempDir,
);

impl TraceStore for Temporary {
    fn append(&self, records: &[TraceRecord]) -> Result<(), StoreError> {
        self.0.append(records)
    }
    fn by_request(&self, id: RequestId) -> Result<Option<TraceRecord>, StoreError> {
        self.0.by_request(id)
    }
    fn by_trace(&self, id: TraceId) -> Result<Vec<TraceRecord>, StoreError> {
        self.0.by_trace(id)
    }
    fn trace_ids(
        &self,
        projects: &[ProjectId],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<TraceId>, StoreError> {
        self.0.trace_ids(projects, prefix, limit)
    }
    fn search(&self, query: &TraceQuery) -> Result<(Vec<TraceRecord>, u64), StoreError> {
        self.0.search(query)
    }
}

#[test]
fn sqlite_is_a_trace_store() {
    conformance::run(|| {
        let folder = tempfile::tempdir().expect("a folder");
        Temporary(open(&folder), folder)
    });
}

#[test]
fn records_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    open(&folder).append(&[record(1)]).expect("appends");
    assert_eq!(
        open(&folder).by_request(request(1)).expect("reads"),
        Some(record(1))
    );
}

#[test]
fn a_locked_file_is_unavailable_and_nothing_of_the_batch_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let traces = open(&folder);
    let other = Connection::open(folder.path().join("traces.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let error = traces
        .append(&[record(1), record(2)])
        .expect_err("is refused");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(traces.by_request(request(1)).expect("reads"), None);
    other.execute_batch("ROLLBACK").expect("unlocks");
    traces.append(&[record(1), record(2)]).expect("appends");
}

#[test]
fn a_new_file_is_private_and_has_large_pages() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let size: i64 = open(&folder)
        .database
        .read(|db| Ok(db.pragma_query_value(None, "page_size", |row| row.get(0))?))
        .expect("reads");
    assert_eq!(size, 16_384);
    let file = std::fs::metadata(folder.path().join("traces.db")).expect("a file");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

/// A record whose ids come from a number of any size.
fn numbered(n: u64) -> TraceRecord {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    let started_at = UnixMicros(at(0).0 + i64::try_from(n).expect("small"));
    TraceRecord {
        request_id: RequestId::from_bytes(*bytes.first_chunk().expect("long enough")),
        trace_id: TraceId::from_bytes(bytes).expect("not zero"),
        started_at,
        ..record(1)
    }
}

#[test]
fn counts_and_text_searches_end_at_ten_thousand() {
    let folder = tempfile::tempdir().expect("a folder");
    let traces = open(&folder);
    let mut records: Vec<TraceRecord> = (0..10_050).map(numbered).collect();
    records[40].input = Some(body("needle"));
    records[60].input = Some(body("needle"));
    traces.append(&records).expect("appends");
    let (page, total) = traces.search(&query(&["a"])).expect("searches");
    assert_eq!((page.len(), total), (50, 10_000));
    let text = TraceQuery {
        text: Some(String::from("needle")),
        ..query(&["a"])
    };
    let (page, total) = traces.search(&text).expect("searches");
    assert_eq!((page.len(), total), (1, 1), "the older one is out of reach");
    assert_eq!(page[0].request_id, records[60].request_id);
    let older = TraceQuery {
        before: Some((at(0).plus_micros(50), request(0))),
        ..query(&["a"])
    };
    let (page, _) = traces.search(&older).expect("searches");
    assert_eq!(page.len(), 50, "without text, pages go on to the oldest");
}

#[test]
fn lists_are_answered_from_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    for statement in [COUNT, NEWEST, NEWEST_BEFORE] {
        let plan: Vec<String> = open(&folder)
            .database
            .read(|db| {
                let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
                let rows = statement.raw_query().mapped(|row| row.get(3));
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .expect("explains");
        assert!(
            plan.iter()
                .any(|step| step.contains("COVERING INDEX trace_project")),
            "{plan:?}"
        );
        assert!(
            !plan.iter().any(|step| step.contains("TEMP B-TREE")),
            "{plan:?}"
        );
    }
}
