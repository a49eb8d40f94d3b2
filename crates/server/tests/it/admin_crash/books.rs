//! The store as it lies on disk, read with queries of our own, and what must be true of it at any time.
//!
//! Start at [`Books::problems`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

/// The store.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) providers: BTreeMap<String, Provider>,
    budgets: BTreeMap<String, Budget>,
    /// The `Idempotency-Key`s whose answers are kept.
    receipts: BTreeSet<String>,
    damage: Vec<String>,
}

/// A key with everything that was written down about it.
#[derive(Debug, Default)]
pub(super) struct Key {
    name: String,
    pub(super) status: String,
    description: Option<String>,
    metadata: Value,
    revision: i64,
    scopes: i64,
    /// Audit rows by the revision that they led to.
    pub(super) history: BTreeMap<i64, Act>,
    /// Kinds of its own change events, in their order.
    events: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Provider {
    name: String,
    revision: i64,
    pub(super) acts: Vec<Act>,
    events: Vec<String>,
}

#[derive(Debug, Default)]
struct Budget {
    manager: Option<String>,
    live: bool,
    limit_nano_usd: i64,
    revision: i64,
    created_acts: usize,
    events: Vec<String>,
}

/// An audit row.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) action: String,
    before: Option<Value>,
    pub(super) after: Option<Value>,
}

impl Books {
    pub(super) fn read(data: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(data.join("config.db"), flags).expect("the store");
        db.busy_timeout(Duration::from_secs(10)).expect("a setting");
        // One transaction: one state of the store, whatever is being written at the moment.
        db.execute_batch("BEGIN").expect("a transaction");
        let mut books = Self::default();
        books.rows(&db);
        books.events(&db);
        books.acts(&db);
        let whole: String = db
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("an answer");
        if whole != "ok" {
            books.damage.push(format!("the file is damaged: {whole}"));
        }
        let dangling: Vec<String> = each(&db, "PRAGMA foreign_key_check", |row| text(row, 0));
        for table in dangling {
            books
                .damage
                .push(format!("a row of {table} points nowhere"));
        }
        books
    }

    fn rows(&mut self, db: &Connection) {
        self.keys = each(
            db,
            "SELECT id, name, status, description, metadata, revision,
                    (SELECT count(*) FROM virtual_key_scopes WHERE virtual_key_id = id)
             FROM virtual_keys",
            |row| {
                let key = Key {
                    name: text(row, 1),
                    status: text(row, 2),
                    description: row.get(3).expect("a text"),
                    metadata: json(&text(row, 4)),
                    revision: row.get(5).expect("a number"),
                    scopes: row.get(6).expect("a number"),
                    ..Key::default()
                };
                (text(row, 0), key)
            },
        );
        self.providers = each(
            db,
            "SELECT id, revision, name FROM model_providers",
            |row| {
                let provider = Provider {
                    name: text(row, 2),
                    revision: row.get(1).expect("a number"),
                    ..Provider::default()
                };
                (text(row, 0), provider)
            },
        );
        self.budgets = each(
            db,
            "SELECT id, managed_by_virtual_key_id, archived_at IS NULL, doc, revision FROM budgets",
            |row| {
                let doc = json(&text(row, 3));
                let budget = Budget {
                    manager: row.get(1).expect("a text"),
                    live: row.get(2).expect("a flag"),
                    limit_nano_usd: doc["limit"].as_i64().expect("an amount"),
                    revision: row.get(4).expect("a number"),
                    ..Budget::default()
                };
                (text(row, 0), budget)
            },
        );
        let sql = "SELECT idempotency_key FROM idempotency_receipts";
        self.receipts = each(db, sql, |row| text(row, 0));
    }

    fn events(&mut self, db: &Connection) {
        let mut expected = 0;
        let all: Vec<_> = each(
            db,
            "SELECT revision, kind, virtual_key_id, model_provider_id, budget_id
             FROM change_events ORDER BY revision",
            |row| {
                let revision: i64 = row.get(0).expect("a number");
                let ids: [Option<String>; 3] = [2, 3, 4].map(|at| row.get(at).expect("a text"));
                (revision, text(row, 1), ids)
            },
        );
        for (revision, kind, [key, provider, budget]) in all {
            expected += 1;
            if revision != expected {
                self.damage
                    .push(format!("change {expected} is missing before {revision}"));
                expected = revision;
            }
            let of = if kind.starts_with("BUDGET_") {
                let budget = budget.unwrap_or_default();
                self.budgets.get_mut(&budget).map(|row| &mut row.events)
            } else if kind.starts_with("VK_") {
                let key = key.unwrap_or_default();
                self.keys.get_mut(&key).map(|row| &mut row.events)
            } else {
                let provider = provider.unwrap_or_default();
                self.providers.get_mut(&provider).map(|row| &mut row.events)
            };
            match of {
                Some(events) => events.push(kind),
                None => self.damage.push(format!(
                    "change {revision}, {kind}, is about a row that is not there"
                )),
            }
        }
        let sql = "SELECT revision FROM change_counter";
        let counter: Vec<i64> = each(db, sql, |row| row.get(0).expect("a number"));
        if counter != [expected] {
            self.damage.push(format!(
                "the newest change is {expected}, the counter says {counter:?}"
            ));
        }
    }

    fn acts(&mut self, db: &Connection) {
        let all: Vec<_> = each(
            db,
            "SELECT target_id, action, before_row, after_row FROM audit_log
             WHERE action LIKE 'gateway.%'",
            |row| {
                let parsed = |at| row.get::<_, Option<String>>(at).expect("a text");
                let act = Act {
                    action: text(row, 1),
                    before: parsed(2).as_deref().map(json),
                    after: parsed(3).as_deref().map(json),
                };
                (text(row, 0), act)
            },
        );
        for (target, act) in all {
            let lost = format!("{} of {target}, which is not there", act.action);
            let known = if let Some(key) = self.keys.get_mut(&target) {
                let after = act.after.as_ref().expect("an audited key has an after");
                let revision = after["revision"]
                    .as_str()
                    .and_then(|text| text.parse().ok());
                let revision = revision.expect("a revision");
                if key.history.insert(revision, act).is_some() {
                    self.damage.push(format!(
                        "{target} has two audit rows for revision {revision}"
                    ));
                }
                true
            } else if let Some(provider) = self.providers.get_mut(&target) {
                provider.acts.push(act);
                true
            } else if let Some(budget) = self.budgets.get_mut(&target) {
                budget.created_acts += usize::from(act.action == "gateway.budget.created");
                true
            } else {
                false
            };
            if !known {
                self.damage.push(lost);
            }
        }
    }

    /// Everything in the store that cannot be: a write that is there in part, or twice.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.damage.clone();
        let mut names = BTreeSet::new();
        for (id, key) in &self.keys {
            if !names.insert(&key.name) {
                problems.push(format!("two keys were made for one call: {}", key.name));
            }
            problems.extend(key.problems().map(|problem| format!("{id}: {problem}")));
            let own: Vec<&Budget> = self.budgets_of(id).filter(|budget| budget.live).collect();
            let limits: Vec<i64> = own.iter().map(|budget| budget.limit_nano_usd).collect();
            let said = key.metadata["limit"].as_str();
            let said = said.map(|text| text.parse::<i64>().expect("a number") * 1_000_000_000);
            let expected = if key.status == "REVOKED" { None } else { said };
            if limits != Vec::from_iter(expected) {
                problems.push(format!(
                    "{id}: own budgets are {limits:?}, not {expected:?}"
                ));
            }
        }
        for (id, provider) in &self.providers {
            let Provider {
                name,
                revision,
                acts,
                events,
            } = provider;
            // The first one was there before anybody wrote.
            if name.starts_with("round-") && !names.insert(name) {
                problems.push(format!("two providers were made for one call: {name}"));
            }
            let counts = [acts.len(), events.len()].map(|count| i64::try_from(count).unwrap_or(-1));
            if counts != [*revision; 2] {
                problems.push(format!(
                    "{id}: revision {revision}, audit rows and events {counts:?}"
                ));
            }
        }
        let names: BTreeSet<String> = names.into_iter().cloned().collect();
        if names != self.receipts {
            let odd: Vec<_> = names.symmetric_difference(&self.receipts).collect();
            problems.push(format!(
                "a row without its receipt, or the reverse: {odd:?}"
            ));
        }
        for (id, budget) in &self.budgets {
            let events = i64::try_from(budget.events.len()).unwrap_or(-1);
            let last = budget.events.last().map(String::as_str);
            let manager = budget.manager.as_ref();
            if budget.created_acts != 1
                || events != budget.revision
                || budget.live == (last == Some("BUDGET_DELETED"))
                || manager.is_none_or(|key| !self.keys.contains_key(key))
            {
                problems.push(format!("{id}: {budget:?}"));
            }
        }
        problems
    }

    /// Whether the row of a create is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.keys.values().any(|key| key.name == name)
            || self.providers.values().any(|row| row.name == name)
    }

    fn budgets_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Budget> {
        let all = self.budgets.values();
        all.filter(move |budget| budget.manager.as_deref() == Some(key))
    }
}

impl Key {
    /// Row, audit rows and events tell one story.
    fn problems(&self) -> impl Iterator<Item = String> {
        let Self {
            name: _,
            status,
            description,
            metadata,
            revision,
            scopes,
            history,
            events,
        } = self;
        let mut problems = Vec::new();
        if !history.keys().copied().eq(1..=*revision) {
            let known: Vec<_> = history.keys().collect();
            problems.push(format!("revision {revision}, audited are {known:?}"));
        }
        let told: Vec<&str> = history.values().map(Act::event).collect();
        if told != *events {
            problems.push(format!("audited {told:?}, gateways were told {events:?}"));
        }
        if *scopes != 1 {
            problems.push(format!("{scopes} scopes"));
        }
        let mut earlier: Option<&Value> = None;
        for (revision, act) in history {
            if !alike(earlier, act.before.as_ref()) {
                problems.push(format!(
                    "what came before revision {revision} is not what it says"
                ));
            }
            earlier = act.after.as_ref();
        }
        let row = [
            ("status", Value::from(status.to_ascii_lowercase())),
            ("description", Value::from(description.clone())),
            ("metadata", metadata.clone()),
        ];
        for (field, stored) in row {
            if earlier.is_some_and(|last| last[field] != stored) {
                problems.push(format!("{field} is {stored}, last audited is {earlier:?}"));
            }
        }
        problems.into_iter()
    }
}

impl Act {
    /// What gateways are told of it.
    fn event(&self) -> &'static str {
        match self.action.as_str() {
            "gateway.virtual_key.created" => "VK_CREATED",
            "gateway.virtual_key.updated" => "VK_CONFIG_UPDATED",
            "gateway.virtual_key.rotated" => "VK_ROTATED",
            "gateway.virtual_key.disabled" => "VK_DISABLED",
            "gateway.virtual_key.enabled" => "VK_ENABLED",
            "gateway.virtual_key.revoked" => "VK_REVOKED",
            other => panic!("{other} is no act on a key"),
        }
    }
}

/// Whether two views of a row are the same, whenever it was used last.
pub(super) fn alike(one: Option<&Value>, other: Option<&Value>) -> bool {
    let bare = |view: Option<&Value>| {
        let mut view = view.cloned().unwrap_or_default();
        if let Some(fields) = view.as_object_mut() {
            fields.remove("last_used_at");
        }
        view
    };
    bare(one) == bare(other)
}

fn each<T, C: FromIterator<T>>(db: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> T) -> C {
    let mut statement = db.prepare(sql).expect("the tables of the store");
    let rows = statement.query_map([], |row| Ok(read(row))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

fn text(row: &Row<'_>, at: usize) -> String {
    row.get(at).expect("a text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
