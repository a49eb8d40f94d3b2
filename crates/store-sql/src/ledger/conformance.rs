//! What every [`Ledger`] must do, whatever the engine. Each case takes an empty one.

use lw_core::{
    ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, UnixMicros, Usage, VirtualKeyId,
};
use lw_store::ledger::{
    Certainty, Detail, Entry, EntryKind, KeySpend, Ledger, Progress, SpendQuery, Spenders,
};
use lw_store::objects::ProviderObjects;

pub(super) mod budgets;

/// 2026-11-23T14:00:00Z.
pub(super) const NOON: i64 = 1_795_442_400_000_000;

/// The request number `n`, admitted `n` milliseconds after [`NOON`].
pub(super) fn request(n: u64) -> RequestId {
    let mut bytes = [7; 15];
    let millis = (u64::try_from(NOON / 1_000).expect("positive") + n).to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    RequestId::from_bytes(bytes)
}

pub(super) fn at(n: u64) -> UnixMicros {
    UnixMicros(NOON + i64::try_from(n).expect("small") * 1_000)
}

pub(super) fn key(name: &str) -> VirtualKeyId {
    VirtualKeyId::parse(&format!("vk_{name}")).expect("a key id")
}

pub(super) fn row(n: u64, kind: EntryKind, amount: i64) -> Entry {
    Entry {
        request_id: request(n),
        attempt: 0,
        kind,
        at: at(n),
        amount: NanoUsd(amount),
        certainty: Certainty::Exact,
        priced: true,
        price_version: Some(String::from("registry@2026-11-01")),
        period: String::from("2026-11"),
        organization_id: OrganizationId::parse("org_a").expect("an id"),
        project_id: ProjectId::parse("proj_a").expect("an id"),
        virtual_key_id: key("a"),
        model_provider_id: Some(ModelProviderId::parse("mp_a").expect("an id")),
        model: String::from("gpt-5-mini"),
        usage: Usage::default(),
        detail: Detail {
            request_type: String::from("chat"),
            end_user_id: Some(String::from("u-172")),
            trace_id: String::from("4bf92f3577b34da6a3ce929d0e0e4736"),
            labels: vec![String::from("tier:pro")],
            metadata: Some(String::from(r#"{"tenant":"acme \"172\""}"#)),
            ..Detail::default()
        },
        made: Vec::new(),
        budgets: String::new(),
    }
}

/// All amounts of the requests, as (request, attempt, kind, amount, certainty).
fn rows(ledger: &dyn Both, n: u64) -> Vec<(EntryKind, i64, Certainty)> {
    let record = ledger.request(request(n)).expect("reads");
    let entries = record.map(|record| record.entries).unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| (entry.kind, entry.amount.0, entry.certainty))
        .collect()
}

fn spend(ledger: &dyn Both) -> (i64, i64, u64) {
    let all = (UnixMicros(0), UnixMicros(i64::MAX));
    let KeySpend {
        spent,
        reserved,
        requests,
    } = ledger.key_spend(&key("a"), all.0, all.1).expect("reads");
    (spent.0, reserved.0, requests)
}

/// A ledger that knows the owners of what its requests made.
pub(super) trait Both: Ledger + ProviderObjects {}
impl<T: Ledger + ProviderObjects> Both for T {}

type Case = (&'static str, fn(&dyn Both));

const ALL: &[Case] = &[
    ("a row reads back as it was", a_row_reads_back_as_it_was),
    (
        "appending twice changes nothing",
        appending_twice_changes_nothing,
    ),
    (
        "a hold is reserved until its outcome",
        a_hold_is_reserved_until_its_outcome,
    ),
    (
        "an outcome may come before its hold",
        an_outcome_may_come_before_its_hold,
    ),
    ("the first outcome wins", the_first_outcome_wins),
    (
        "attempts are separate and one request",
        attempts_are_separate_and_one_request,
    ),
    (
        "an orphan is charged once and corrected once",
        an_orphan_is_charged_and_corrected_once,
    ),
    (
        "a release takes an orphaned charge back",
        a_release_takes_an_orphaned_charge_back,
    ),
    (
        "orphans are those before the start",
        orphans_are_those_before_the_start,
    ),
    ("unpriced rows stay unpriced", unpriced_rows_stay_unpriced),
    (
        "spend counts where the request was admitted",
        spend_counts_where_admitted,
    ),
    (
        "spend is summed over keys, projects and providers",
        spend_is_summed_over_keys_projects_and_providers,
    ),
    (
        "progress is kept and forgotten",
        progress_is_kept_and_forgotten,
    ),
    ("an unknown request is none", an_unknown_request_is_none),
    (
        "what a request made is its project's",
        what_a_request_made_is_its_projects,
    ),
    (
        "what is made by itself is the last maker's",
        what_is_made_by_itself_is_the_last_makers,
    ),
];

/// Runs every case on a ledger of its own.
pub(super) fn run<L: Both>(fresh: impl Fn() -> L) {
    for (name, case) in ALL.iter().chain(budgets::CASES) {
        println!("{name}");
        case(&fresh());
    }
}

fn a_row_reads_back_as_it_was(ledger: &dyn Both) {
    let hold = row(1, EntryKind::Hold, 900);
    let mut settle = row(1, EntryKind::Settle, 300);
    settle.certainty = Certainty::Estimated;
    settle.model = String::from("gpt-5-mini-2026-01");
    settle.model_provider_id = None;
    settle.usage = Usage {
        input: 1,
        cache_read: 2,
        cache_write_5m: 3,
        cache_write_1h: 4,
        output: 5,
        reasoning: 6,
        input_audio: 7,
        output_audio: 8,
    };
    settle.detail.response_id = Some(String::from("chatcmpl-1"));
    settle.detail.http_status = Some(200);
    settle.detail.duration_ms = Some(3_878);
    let rows = [hold, settle];
    assert_eq!(ledger.append(&rows, &[]).expect("appends"), 2);
    let record = ledger
        .request(request(1))
        .expect("reads")
        .expect("is there");
    assert_eq!(record.entries, rows);
}

fn appending_twice_changes_nothing(ledger: &dyn Both) {
    let batch = [
        row(1, EntryKind::Hold, 900),
        row(1, EntryKind::Settle, 300),
        row(2, EntryKind::Hold, 0),
        row(2, EntryKind::Release, 0),
    ];
    assert_eq!(ledger.append(&batch, &[]).expect("appends"), 4);
    assert_eq!(ledger.append(&batch, &[]).expect("appends"), 0);
    assert_eq!(spend(ledger), (300, 0, 2));
}

fn a_hold_is_reserved_until_its_outcome(ledger: &dyn Both) {
    ledger
        .append(
            &[row(1, EntryKind::Hold, 900), row(2, EntryKind::Hold, 50)],
            &[],
        )
        .expect("appends");
    assert_eq!(spend(ledger), (0, 950, 0));
    ledger
        .append(&[row(1, EntryKind::Settle, 300)], &[])
        .expect("appends");
    assert_eq!(spend(ledger), (300, 50, 1));
    ledger
        .append(&[row(2, EntryKind::Release, 0)], &[])
        .expect("appends");
    assert_eq!(spend(ledger), (300, 0, 2));
}

fn an_outcome_may_come_before_its_hold(ledger: &dyn Both) {
    ledger
        .append(&[row(1, EntryKind::Settle, 300)], &[])
        .expect("appends");
    ledger
        .append(&[row(1, EntryKind::Hold, 900)], &[])
        .expect("appends");
    assert_eq!(spend(ledger), (300, 0, 1));
    assert_eq!(ledger.charge_orphans(at(1_000)).expect("charges"), 0);
    assert_eq!(spend(ledger), (300, 0, 1));
}

fn the_first_outcome_wins(ledger: &dyn Both) {
    ledger
        .append(&[row(1, EntryKind::Settle, 300)], &[])
        .expect("appends");
    assert_eq!(
        ledger
            .append(&[row(1, EntryKind::Settle, 400)], &[])
            .expect("appends"),
        0
    );
    assert_eq!(
        ledger
            .append(&[row(1, EntryKind::Release, 0)], &[])
            .expect("appends"),
        0
    );
    ledger
        .append(&[row(2, EntryKind::Release, 0)], &[])
        .expect("appends");
    assert_eq!(
        ledger
            .append(&[row(2, EntryKind::Settle, 400)], &[])
            .expect("appends"),
        0
    );
    assert_eq!(spend(ledger), (300, 0, 2));
}

fn attempts_are_separate_and_one_request(ledger: &dyn Both) {
    let second = |mut entry: Entry| {
        entry.attempt = 1;
        entry
    };
    let batch = [
        row(1, EntryKind::Hold, 900),
        row(1, EntryKind::Release, 0),
        second(row(1, EntryKind::Hold, 700)),
        second(row(1, EntryKind::Settle, 200)),
    ];
    ledger.append(&batch, &[]).expect("appends");
    assert_eq!(spend(ledger), (200, 0, 1));
    let record = ledger
        .request(request(1))
        .expect("reads")
        .expect("is there");
    assert_eq!(record.entries, batch);
}

fn an_orphan_is_charged_and_corrected_once(ledger: &dyn Both) {
    use Certainty::{Exact, Orphaned};
    use EntryKind::{Adjust, Hold, Settle};
    ledger.append(&[row(1, Hold, 900)], &[]).expect("appends");
    assert_eq!(ledger.charge_orphans(at(1_000)).expect("charges"), 1);
    assert_eq!(ledger.charge_orphans(at(1_000)).expect("charges"), 0);
    assert_eq!(
        rows(ledger, 1),
        [(Hold, 900, Exact), (Settle, 900, Orphaned)]
    );
    assert_eq!(spend(ledger), (900, 0, 1));
    for new in [1, 0] {
        let mut truth = row(1, Settle, 300);
        truth.usage.output = 12;
        assert_eq!(ledger.append(&[truth], &[]).expect("appends"), new);
    }
    let expected = [
        (Hold, 900, Exact),
        (Settle, 900, Orphaned),
        (Adjust, -600, Exact),
    ];
    assert_eq!(rows(ledger, 1), expected);
    assert_eq!(spend(ledger), (300, 0, 1));
    let record = ledger
        .request(request(1))
        .expect("reads")
        .expect("is there");
    assert_eq!(record.entries[1].detail, record.entries[0].detail);
    assert_eq!(record.entries[2].usage.output, 12);
}

fn a_release_takes_an_orphaned_charge_back(ledger: &dyn Both) {
    ledger
        .append(&[row(1, EntryKind::Hold, 900)], &[])
        .expect("appends");
    ledger.charge_orphans(at(1_000)).expect("charges");
    assert_eq!(
        ledger
            .append(&[row(1, EntryKind::Release, 0)], &[])
            .expect("appends"),
        1
    );
    assert_eq!(
        ledger
            .append(&[row(1, EntryKind::Release, 0)], &[])
            .expect("appends"),
        0
    );
    assert_eq!(spend(ledger), (0, 0, 1));
}

fn orphans_are_those_before_the_start(ledger: &dyn Both) {
    ledger
        .append(
            &[row(1, EntryKind::Hold, 900), row(5, EntryKind::Hold, 50)],
            &[],
        )
        .expect("appends");
    assert_eq!(ledger.charge_orphans(at(5)).expect("charges"), 1);
    assert_eq!(spend(ledger), (900, 50, 1));
}

fn unpriced_rows_stay_unpriced(ledger: &dyn Both) {
    let mut hold = row(1, EntryKind::Hold, 0);
    (hold.priced, hold.price_version) = (false, None);
    ledger.append(&[hold], &[]).expect("appends");
    ledger.charge_orphans(at(1_000)).expect("charges");
    let record = ledger
        .request(request(1))
        .expect("reads")
        .expect("is there");
    assert_eq!(record.entries.len(), 2);
    for entry in record.entries {
        assert!(!entry.priced);
        assert_eq!((entry.price_version, entry.amount), (None, NanoUsd::ZERO));
    }
}

fn spend_counts_where_admitted(ledger: &dyn Both) {
    let mut other = row(3, EntryKind::Settle, 7_000);
    other.virtual_key_id = key("b");
    let mut moved = row(4, EntryKind::Settle, 40);
    moved.project_id = ProjectId::parse("proj_b").expect("an id");
    let batch = [
        row(1, EntryKind::Settle, 1),
        row(2, EntryKind::Settle, 20),
        other,
        moved,
        row(5, EntryKind::Hold, 500),
        row(6, EntryKind::Hold, 6_000),
    ];
    ledger.append(&batch, &[]).expect("appends");
    let spend = ledger.key_spend(&key("a"), at(2), at(6)).expect("reads");
    let expected = KeySpend {
        spent: NanoUsd(60),
        reserved: NanoUsd(500),
        requests: 2,
    };
    assert_eq!(spend, expected);
}

fn spend_is_summed_over_keys_projects_and_providers(ledger: &dyn Both) {
    let paid = |n, amount, key_name: &str, project: &str, provider: Option<&str>| {
        let mut entry = row(n, EntryKind::Settle, amount);
        entry.virtual_key_id = key(key_name);
        entry.project_id = ProjectId::parse(project).expect("an id");
        entry.model_provider_id =
            provider.map(|id| ModelProviderId::parse(id).expect("a provider id"));
        entry
    };
    let mut foreign = paid(6, 100_000, "f", "proj_a", Some("mp_a"));
    foreign.organization_id = OrganizationId::parse("org_b").expect("an id");
    let batch = [
        paid(1, 1, "a", "proj_a", Some("mp_a")),
        paid(2, 20, "a", "proj_b", Some("mp_b")),
        paid(3, 300, "b", "proj_a", Some("mp_b")),
        paid(4, 4_000, "b", "proj_b", None),
        row(5, EntryKind::Hold, 50_000),
        foreign,
    ];
    ledger.append(&batch, &[]).expect("appends");
    let sum = |keys: &[&str], projects: &[&str], provider: Option<&str>| {
        let query = SpendQuery {
            organization_id: OrganizationId::parse("org_a").expect("an id"),
            spenders: Spenders::Any {
                keys: keys.iter().map(|name| key(name)).collect(),
                projects: projects
                    .iter()
                    .map(|id| ProjectId::parse(id).expect("an id"))
                    .collect(),
            },
            model_provider_id: provider.map(|id| ModelProviderId::parse(id).expect("an id")),
            from: at(1),
            to: at(100),
        };
        ledger.spent(&query).expect("reads").0
    };
    assert_eq!(sum(&[], &[], None), 0);
    assert_eq!(sum(&["a"], &[], None), 21);
    assert_eq!(sum(&["a", "a", "b"], &[], None), 4_321);
    assert_eq!(sum(&[], &["proj_a"], None), 301);
    assert_eq!(sum(&["a"], &["proj_a", "proj_a"], None), 321);
    assert_eq!(sum(&["a", "b"], &[], Some("mp_b")), 320);
    assert_eq!(sum(&["a", "b"], &[], Some("mp_nobody")), 0);
    assert_eq!(sum(&["f"], &[], None), 0, "of another organization");
    let everybody = |from, to| {
        let query = SpendQuery {
            organization_id: OrganizationId::parse("org_a").expect("an id"),
            spenders: Spenders::Organization,
            model_provider_id: None,
            from,
            to,
        };
        ledger.spent(&query).expect("reads").0
    };
    assert_eq!(everybody(at(0), at(100)), 4_321);
    assert_eq!(everybody(at(2), at(4)), 320, "a boundary opens a period");
    assert_eq!(everybody(UnixMicros(0), UnixMicros(i64::MAX)), 4_321);
}

fn progress_is_kept_and_forgotten(ledger: &dyn Both) {
    let step = |file: &str, offset| Progress {
        file: file.to_owned(),
        offset,
    };
    ledger
        .append(&[], &[step("a", 10), step("b", 20)])
        .expect("appends");
    ledger.append(&[], &[step("a", 30)]).expect("appends");
    let sorted = || {
        let mut found = ledger.progress().expect("reads");
        found.sort_by(|a, b| a.file.cmp(&b.file));
        found
    };
    assert_eq!(sorted(), [step("a", 30), step("b", 20)]);
    ledger
        .forget(&[String::from("a"), String::from("nowhere")])
        .expect("forgets");
    assert_eq!(sorted(), [step("b", 20)]);
}

fn an_unknown_request_is_none(ledger: &dyn Both) {
    assert_eq!(ledger.request(request(1)).expect("reads"), None);
    assert_eq!(spend(ledger), (0, 0, 0));
}

fn provider(name: &str) -> ModelProviderId {
    ModelProviderId::parse(&format!("mp_{name}")).expect("an id")
}

/// The owners of `ids`, without their prefix; `-` for none.
fn owners(ledger: &dyn Both, at: &str, ids: &[&str]) -> Vec<String> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let owners = ledger.owners(&provider(at), &ids).expect("reads");
    let name = |owner: Option<ProjectId>| owner.map_or_else(|| "-".into(), |id| id.to_string());
    owners.into_iter().map(name).collect()
}

fn what_a_request_made_is_its_projects(ledger: &dyn Both) {
    assert_eq!(owners(ledger, "a", &["resp_1"]), ["-"]);
    let made = |n: u64, project: &str, ids: &[&str]| {
        let mut row = row(n, EntryKind::Settle, 1);
        row.project_id = ProjectId::parse(project).expect("an id");
        row.made = ids.iter().map(|id| (*id).to_owned()).collect();
        row
    };
    let rows = [
        made(1, "proj_a", &["resp_1", "rs_1"]),
        made(2, "proj_b", &["resp_2", "resp_1"]),
    ];
    assert_eq!(ledger.append(&rows, &[]).expect("appends"), 2);
    // Folded again, and beside something new.
    let again = [rows[0].clone(), made(3, "proj_b", &["resp_3"])];
    assert_eq!(ledger.append(&again, &[]).expect("appends"), 1);
    let all = ["resp_2", "rs_1", "resp_1", "unknown", "resp_3"];
    let expected = ["proj_b", "proj_a", "proj_a", "-", "proj_b"];
    assert_eq!(owners(ledger, "a", &all), expected);
    assert_eq!(owners(ledger, "b", &all), ["-"; 5]);
    assert_eq!(owners(ledger, "a", &[]), [""; 0]);
    let record = ledger.request(request(1)).expect("reads").expect("a row");
    assert!(record.entries[0].made.is_empty());
}

fn what_is_made_by_itself_is_the_last_makers(ledger: &dyn Both) {
    for project in ["proj_a", "proj_b"] {
        let project = ProjectId::parse(project).expect("an id");
        ledger
            .keep(&provider("a"), &project, "cachedContents/1", at(1))
            .expect("writes");
        let owner = owners(ledger, "a", &["cachedContents/1"]);
        assert_eq!(owner, [project.as_str()]);
    }
    // A row of the same file that comes later finds the numbers that were given.
    let rows = [row(1, EntryKind::Hold, 9), row(1, EntryKind::Settle, 3)];
    assert_eq!(ledger.append(&rows, &[]).expect("appends"), 2);
    assert_eq!(spend(ledger).0, 3);
}
