//! The spool against a real ledger: what survives a crash, a full disk, a locked database.

mod faults;
mod folding;
mod property;
mod records;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lw_core::{
    BudgetId, ManualClock, ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId,
    UnixMicros, Usage, VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::ledger::{
    Certainty, Entry, EntryKind, KeySpend, Ledger, Opening, Progress, SpendQuery, SpendRecord,
};
use lw_store_sql::Tuning;
use lw_store_sql::ledger::SqliteLedger;

use crate::{Admission, Attribution, Folder, Outcome, Spool, SpoolWriter};

/// 2026-11-23T14:00:00Z.
const NOON: i64 = 1_795_442_400_000_000;

fn at(n: u64) -> UnixMicros {
    UnixMicros(NOON + i64::try_from(n).expect("small") * 1_000)
}

fn request(n: u64) -> RequestId {
    let mut bytes = [7; 15];
    let millis = (u64::try_from(NOON / 1_000).expect("positive") + n).to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    RequestId::from_bytes(bytes)
}

/// The ids that every record of these tests carries.
struct Ids {
    organization: OrganizationId,
    project: ProjectId,
    key: VirtualKeyId,
    provider: ModelProviderId,
    labels: Vec<String>,
}

fn ids() -> Ids {
    Ids {
        organization: OrganizationId::parse("org_01JD0000000000000000000000").expect("an id"),
        project: ProjectId::parse("proj_01JD0000000000000000000000").expect("an id"),
        key: VirtualKeyId::parse("vk_AAAAAAAAAAAAAAAAAAAAAA").expect("an id"),
        provider: ModelProviderId::parse("mp_01JD0000000000000000000000").expect("an id"),
        labels: vec![String::from("tier:pro")],
    }
}

impl Ids {
    fn who(&self, n: u64) -> Attribution<'_> {
        Attribution {
            request_id: request(n),
            admitted_at: at(n),
            organization_id: &self.organization,
            project_id: &self.project,
            virtual_key_id: &self.key,
            request_type: "chat",
            end_user_id: Some("u-172"),
            trace_id: lw_core::TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736"),
            labels: &self.labels,
            metadata: None,
        }
    }

    fn admission(&self, n: u64, hold: i64) -> Admission<'_> {
        Admission {
            who: self.who(n),
            attempt: 0,
            model: "gpt-5-mini",
            model_provider_id: Some(&self.provider),
            hold: NanoUsd(hold),
            priced: true,
            price_version: Some("registry@2026-11-01"),
            budgets: "",
        }
    }

    fn outcome(&self, n: u64, cost: i64) -> Outcome<'_> {
        Outcome {
            who: self.who(n),
            attempt: 0,
            at: at(n).plus_micros(3_878_000),
            model: "gpt-5-mini-2026-01",
            model_provider_id: Some(&self.provider),
            usage: Usage {
                input: 869,
                output: 207,
                ..Usage::default()
            },
            cost: NanoUsd(cost),
            certainty: Certainty::Exact,
            priced: true,
            price_version: Some("registry@2026-11-01"),
            response_id: Some("chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz01"),
            made: &[],
            http_status: 200,
            error_type: None,
            duration_ms: 3_878,
            budgets: "",
        }
    }

    fn failure(&self, n: u64) -> Outcome<'_> {
        Outcome {
            usage: Usage::default(),
            cost: NanoUsd::ZERO,
            response_id: None,
            http_status: 502,
            error_type: Some("provider_error"),
            ..self.outcome(n, 0)
        }
    }
}

/// A ledger that can be told to fail before or after it has written.
struct Moody {
    ledger: SqliteLedger,
    refuses: AtomicBool,
    dies_after_writing: AtomicBool,
}

impl Ledger for Moody {
    fn append(&self, entries: &[Entry], progress: &[Progress]) -> Result<u64, StoreError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(String::from("moody")));
        }
        let rows = self.ledger.append(entries, progress)?;
        if self.dies_after_writing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(String::from(
                "died after the commit",
            )));
        }
        Ok(rows)
    }
    fn progress(&self) -> Result<Vec<Progress>, StoreError> {
        self.ledger.progress()
    }
    fn forget(&self, files: &[String]) -> Result<(), StoreError> {
        self.ledger.forget(files)
    }
    fn charge_orphans(&self, before: UnixMicros) -> Result<u64, StoreError> {
        self.ledger.charge_orphans(before)
    }
    fn request(&self, id: RequestId) -> Result<Option<SpendRecord>, StoreError> {
        self.ledger.request(id)
    }
    fn key_spend(
        &self,
        key: &VirtualKeyId,
        from: UnixMicros,
        to: UnixMicros,
    ) -> Result<KeySpend, StoreError> {
        self.ledger.key_spend(key, from, to)
    }
    fn spent(&self, query: &SpendQuery) -> Result<NanoUsd, StoreError> {
        self.ledger.spent(query)
    }
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.ledger.budget_spent(budget, member, from)
    }
    fn budget_spent_in_all(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        self.ledger.budget_spent_in_all(budget, from)
    }
    fn budget_members(
        &self,
        budget: &BudgetId,
        from: UnixMicros,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, NanoUsd)>, StoreError> {
        self.ledger.budget_members(budget, from, after, limit)
    }
    fn last_opened(&self) -> Result<Option<BudgetId>, StoreError> {
        self.ledger.last_opened()
    }
    fn open_budgets(&self, budgets: &[(BudgetId, Vec<Opening>)]) -> Result<(), StoreError> {
        self.ledger.open_budgets(budgets)
    }
}

/// A data folder that outlives the processes that use it.
struct Place {
    folder: tempfile::TempDir,
    ids: Ids,
}

/// One process: a spool, its ledger and its folder.
struct Node {
    spool: Spool,
    ledger: Arc<Moody>,
    fold: Folder,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            ids: ids(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("spend-spool")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    fn start(&self) -> Node {
        self.start_with(crate::DEFAULT_MAX_BYTES)
    }

    fn start_with(&self, max_bytes: u64) -> Node {
        let tuning = Tuning {
            busy_timeout: Duration::from_millis(1),
            ..Tuning::default()
        };
        let ledger = Arc::new(Moody {
            ledger: SqliteLedger::open(&self.database(), tuning).expect("opens"),
            refuses: AtomicBool::new(false),
            dies_after_writing: AtomicBool::new(false),
        });
        let spool = Spool::open(&self.dir(), "gw-a", max_bytes).expect("opens");
        let clock = Arc::new(ManualClock::at(at(0)));
        let fold =
            Folder::new(&spool, Arc::clone(&ledger) as Arc<dyn Ledger>, clock).expect("folds");
        Node {
            spool,
            ledger,
            fold,
        }
    }

    /// The names in the spool folder, sorted, without the lock.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir())
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .filter(|name| name != "lock")
            .collect();
        names.sort();
        names
    }

    /// Copies every file of the spool folder to `to`, or back.
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
        }
    }
}

impl Node {
    fn writer(&self, index: usize) -> SpoolWriter {
        self.spool.writer(index).expect("a writer")
    }

    /// (spent, reserved, requests) of the one key.
    fn spend(&self) -> (i64, i64, u64) {
        let spend = self
            .ledger
            .key_spend(&ids().key, UnixMicros(0), UnixMicros(i64::MAX))
            .expect("reads");
        (spend.spent.0, spend.reserved.0, spend.requests)
    }

    fn rows(&self, n: u64) -> Vec<(EntryKind, i64, Certainty)> {
        let record = self.ledger.request(request(n)).expect("reads");
        let entries = record.map(|record| record.entries).unwrap_or_default();
        entries
            .into_iter()
            .map(|entry| (entry.kind, entry.amount.0, entry.certainty))
            .collect()
    }
}
