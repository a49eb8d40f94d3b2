//! The conformance suite on SQLite, and what only this engine promises.

use std::time::Duration;

use proptest::prelude::*;

use lw_store::objects::ProviderObjects;

use super::conformance::budgets::{budget, naming};
use super::conformance::{self, at, key, row};
use super::*;

fn tuning() -> Tuning {
    Tuning {
        busy_timeout: Duration::from_millis(1),
        ..Tuning::default()
    }
}

fn open(folder: &tempfile::TempDir) -> SqliteLedger {
    SqliteLedger::open(&folder.path().join("ledger.db"), tuning()).expect("opens")
}

/// A ledger that takes its folder with it.
struct Temporary(
    SqliteLedger,
    #[expect(dead_code, reason = "kept for its drop")] tempfile::TempDir,
);

impl Ledger for Temporary {
    fn append(&self, entries: &[Entry], progress: &[Progress]) -> Result<u64, StoreError> {
        self.0.append(entries, progress)
    }
    fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        self.0.progress()
    }
    fn forget(&self, files: &[String]) -> Result<(), StoreError> {
        self.0.forget(files)
    }
    fn charge_orphans(&self, before: UnixMicros) -> Result<u64, StoreError> {
        self.0.charge_orphans(before)
    }
    fn request(&self, id: RequestId) -> Result<Option<SpendRecord>, StoreError> {
        self.0.request(id)
    }
    fn key_spend(
        &self,
        key: &VirtualKeyId,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<KeySpend, StoreError> {
        self.0.key_spend(key, from, to)
    }
    fn spent(&self, query: &SpendQuery) -> Result<NanoUsd, StoreError> {
        self.0.spent(query)
    }
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.0.budget_spent(budget, member, from)
    }
    fn budget_spent_in_all(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.0.budget_spent_in_all(budget, from)
    }
    fn budget_members(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, NanoUsd)>, StoreError> {
        self.0.budget_members(budget, from, after, limit)
    }
    fn last_opened(&self) -> Result<Option<BudgetId>, StoreError> {
        self.0.last_opened()
    }
    fn open_budgets(&self, budgets: &[(BudgetId, Vec<Opening>)]) -> Result<(), StoreError> {
        self.0.open_budgets(budgets)
    }
}

impl ProviderObjects for Temporary {
    fn owners(
        &self,
        provider: &ModelProviderId,
        ids: &[String],
    ) -> Result<Vec<Option<ProjectId>>, StoreError> {
        self.0.owners(provider, ids)
    }
    fn keep(
        &self,
        provider: &ModelProviderId,
        project: &ProjectId,
        id: &str,
        at: UnixMicros,
    ) -> Result<(), StoreError> {
        self.0.keep(provider, project, id, at)
    }
}

#[test]
fn sqlite_is_a_ledger() {
    conformance::run(|| {
        let folder = tempfile::tempdir().expect("a folder");
        Temporary(open(&folder), folder)
    });
}

#[test]
fn open_holds_are_found_again_by_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder);
    ledger
        .append(&[row(1, EntryKind::Hold, 900)], &[])
        .expect("appends");
    ledger
        .append(&[row(2, EntryKind::Hold, 50)], &[])
        .expect("appends");
    ledger
        .append(
            &[row(3, EntryKind::Hold, 4), row(2, EntryKind::Settle, 9)],
            &[],
        )
        .expect("appends");
    drop(ledger);
    let ledger = open(&folder);
    let spend = ledger.key_spend(&key("a"), at(0), at(100)).expect("reads");
    let expected = KeySpend {
        spent: NanoUsd(9),
        reserved: NanoUsd(904),
        requests: 1,
    };
    assert_eq!(spend, expected);
    assert_eq!(ledger.charge_orphans(at(100)).expect("charges"), 2);
    drop(ledger);
    assert_eq!(open(&folder).charge_orphans(at(100)).expect("charges"), 0);
}

#[test]
fn a_hold_that_is_older_than_all_open_ones_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder);
    ledger
        .append(&[row(9, EntryKind::Hold, 900)], &[])
        .expect("appends");
    ledger
        .append(&[row(9, EntryKind::Settle, 900)], &[])
        .expect("appends");
    ledger.append(&[], &[]).expect("appends");
    ledger
        .append(&[row(1, EntryKind::Hold, 50)], &[])
        .expect("appends");
    ledger.append(&[], &[]).expect("appends");
    drop(ledger);
    assert_eq!(open(&folder).charge_orphans(at(100)).expect("charges"), 1);
}

#[test]
fn a_locked_file_is_unavailable_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder);
    let other = Connection::open(folder.path().join("ledger.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let batch = [row(1, EntryKind::Hold, 900)];
    let error = ledger.append(&batch, &[]).expect_err("is refused");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(
        ledger
            .charge_orphans(at(100))
            .is_ok_and(|charged| charged == 0)
    );
    other.execute_batch("ROLLBACK").expect("unlocks");
    assert_eq!(ledger.append(&batch, &[]).expect("appends"), 1);
}

/// At most one bucket of each budget: a request of one key has no more.
const LISTS: [&str; 5] = [
    "",
    r#"["bgt_a"]"#,
    r#"["bgt_a","bgt_b:u"]"#,
    r#"["bgt_b:v","bgt_a"]"#,
    r#"["bgt_b:v"]"#,
];

/// Within minutes, hours or days.
fn milliseconds() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..200_000, 0_u64..9_000_000, 0_u64..400_000_000]
}

/// The sums, sorted: span, start, account, provider, amount.
fn sums(db: &Connection) -> Vec<[i64; 5]> {
    let sql = "SELECT span, start, account_id, provider_id, amount FROM spent ORDER BY 1, 2, 3, 4";
    let mut statement = db.prepare(sql).expect("prepares");
    let read = |row: &Row<'_>| {
        Ok([
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ])
    };
    let rows = statement.query_map([], read).expect("reads");
    rows.collect::<Result<_, _>>().expect("reads")
}

#[test]
fn the_sums_of_an_older_file_are_made_from_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder);
    let mut batch = Vec::new();
    for n in 0..40 {
        let mut first = row(n * 5_000_011, EntryKind::Settle, 7);
        first.virtual_key_id = key(["a", "b"][usize::from(n % 3 == 0)]);
        let mut second = row(n * 5_000_011, EntryKind::Settle, 30);
        second.virtual_key_id = first.virtual_key_id.clone();
        second.attempt = 1;
        second.model_provider_id = None;
        batch.push(row(n * 5_000_011 + 1, EntryKind::Hold, 1));
        batch.extend([first, second]);
    }
    ledger.append(&batch, &[]).expect("appends");
    ledger.charge_orphans(at(1_000_000)).expect("charges");
    ledger
        .append(&[row(1, EntryKind::Settle, 5)], &[])
        .expect("corrects an orphan");
    let asked = |ledger: &SqliteLedger| {
        let (from, to) = (at(3), at(100_000_000));
        ["a", "b"].map(|name| ledger.key_spend(&key(name), from, to).expect("reads"))
    };
    let expected = asked(&ledger);
    drop(ledger);

    let path = folder.path().join("ledger.db");
    let db = Connection::open(&path).expect("opens");
    let before = sums(&db);
    assert!(before.len() > 100);
    db.execute_batch(
        "DROP TABLE budget; DROP TABLE bucket; DROP TABLE listed; DROP TABLE opening;
         DROP TABLE charged; ALTER TABLE entry DROP COLUMN budgets_id;
         DROP TABLE spent; DROP INDEX account_by_project; DROP TABLE provider_object;
         DELETE FROM schema_version WHERE version >= 2;
         CREATE TABLE spent (span INTEGER NOT NULL);",
    )
    .expect("goes back to the first version");
    drop(db);
    let ledger = open(&folder);
    assert_eq!(asked(&ledger), expected);
    drop(ledger);
    assert_eq!(sums(&Connection::open(&path).expect("opens")), before);
}

#[test]
fn answers_that_an_older_version_stored_are_their_projects() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(&folder);
    let answered = |n: u64, request_type: &str, id: &str| {
        let mut row = row(n, EntryKind::Settle, 1);
        row.detail.request_type = String::from(request_type);
        row.detail.response_id = Some(String::from(id));
        row
    };
    let rows = [
        answered(1, "responses", "resp_1"),
        answered(2, "chat", "chatcmpl-1"),
        row(3, EntryKind::Settle, 1),
    ];
    ledger.append(&rows, &[]).expect("appends");
    drop(ledger);
    let db = Connection::open(folder.path().join("ledger.db")).expect("opens");
    db.execute_batch(
        "DROP TABLE budget; DROP TABLE bucket; DROP TABLE listed; DROP TABLE opening;
         DROP TABLE charged; ALTER TABLE entry DROP COLUMN budgets_id;
         DROP TABLE provider_object; DELETE FROM schema_version WHERE version >= 3;",
    )
    .expect("goes back to the second version");
    drop(db);
    let ids = ["resp_1", "chatcmpl-1"].map(String::from);
    let provider = ModelProviderId::parse("mp_a").expect("an id");
    let owners = open(&folder).owners(&provider, &ids).expect("reads");
    assert_eq!(owners, [ProjectId::parse("proj_a").ok(), None]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Ranges are answered from days, hours, minutes and rows; the sum over the rows is the oracle.
    #[test]
    fn any_range_adds_up(
        charges in proptest::collection::vec((milliseconds(), 0_i64..1_000), 1..40),
        ranges in proptest::collection::vec((milliseconds(), milliseconds()), 1..20),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open(&folder);
        let charges: BTreeMap<u64, i64> = charges.into_iter().collect();
        let rows: Vec<Entry> = charges
            .iter()
            .map(|(n, amount)| row(*n, EntryKind::Settle, *amount))
            .collect();
        for batch in rows.chunks(7) {
            ledger.append(batch, &[]).expect("appends");
        }
        for (from, to) in ranges {
            let found = ledger.key_spend(&key("a"), at(from), at(to)).expect("reads");
            let inside = charges.iter().filter(|(n, _)| (from..to).contains(*n));
            let (spent, requests) = inside.fold((0, 0), |sum, row| (sum.0 + row.1, sum.1 + 1));
            prop_assert_eq!((found.spent.0, found.requests), (spent, requests));
        }
    }

    /// Whatever comes in whatever order: each attempt counts where its last outcome says, in full.
    #[test]
    fn buckets_add_up_to_the_rows(
        steps in proptest::collection::vec((0_usize..10, 0_u64..8, 0_usize..LISTS.len(), 0_i64..100), 1..60),
        gap in prop_oneof![Just(7_u64), Just(20_011), Just(3_000_017), Just(50_000_021)],
        froms in proptest::collection::vec((0_u64..8, 0_u64..2), 1..8),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = open(&folder);
        let mut batch = Vec::new();
        for (kind, n, list, amount) in steps {
            let kind = match kind {
                0..=2 => EntryKind::Hold,
                3..=5 => EntryKind::Settle,
                6 => EntryKind::Release,
                other => {
                    ledger.append(&std::mem::take(&mut batch), &[]).expect("appends");
                    if other >= 8 {
                        ledger.charge_orphans(at(1_000_000_000)).expect("charges");
                    }
                    continue;
                }
            };
            let amount = if kind == EntryKind::Release { 0 } else { amount };
            batch.push(naming(row(n * gap, kind, amount), LISTS[list]));
        }
        ledger.append(&batch, &[]).expect("appends");
        let mut charges: Vec<(u64, i64, Vec<String>)> = Vec::new();
        for n in (0..8).map(|n| n * gap) {
            let found = ledger.request(conformance::request(n)).expect("reads");
            let rows = found.map(|record| record.entries).unwrap_or_default();
            let mut outcomes = rows.iter().filter(|row| row.kind != EntryKind::Hold);
            let amount = outcomes.clone().map(|row| row.amount.0).sum();
            let last = outcomes.next_back().map_or("", |row| row.budgets.as_str());
            charges.push((n, amount, serde_json::from_str(last).unwrap_or_default()));
        }
        for from in froms.into_iter().map(|(n, past)| n * gap + past).chain([0, 1]) {
            let sum = |wanted: &dyn Fn(&str) -> bool| -> i64 {
                let counts = |(n, _, list): &&(u64, i64, Vec<String>)| {
                    *n >= from && list.iter().any(|bucket| wanted(bucket))
                };
                charges.iter().filter(counts).map(|charge| charge.1).sum()
            };
            for (name, member) in [("a", ""), ("b", "u"), ("b", "v"), ("b", "")] {
                let bucket = format!("bgt_{name}{}{member}", if member.is_empty() { "" } else { ":" });
                let found = ledger.budget_spent(&budget(name), member, at(from)).expect("reads");
                prop_assert_eq!(found.0, sum(&|each| each == bucket), "{} from {}", bucket, from);
            }
            let in_all = ledger.budget_spent_in_all(&budget("b"), at(from)).expect("reads");
            prop_assert_eq!(in_all.0, sum(&|each| each.starts_with("bgt_b:")));
            let members = ledger.budget_members(&budget("b"), at(from), None, 9).expect("reads");
            let named = members.iter().map(|(member, spent)| (member.as_str(), spent.0));
            let expected = ["u", "v"].map(|member| (member, sum(&|each| each == format!("bgt_b:{member}"))));
            let expected = expected.into_iter().filter(|(_, spent)| *spent != 0);
            prop_assert!(named.eq(expected), "{:?} from {}", members, from);
        }
    }
}
