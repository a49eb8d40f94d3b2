//! Buckets: each charge once, to whom it names, from any instant on.

use lw_core::BudgetId;
use lw_store::ledger::Opening;

use super::*;

pub(super) const CASES: &[Case] = &[
    (
        "a charge counts in every bucket that it names",
        a_charge_counts_in_every_bucket_that_it_names,
    ),
    ("buckets are charged once", buckets_are_charged_once),
    (
        "an orphan is charged to the buckets of its hold",
        an_orphan_is_charged_to_the_buckets_of_its_hold,
    ),
    (
        "a late truth charges the buckets that it names",
        a_late_truth_charges_the_buckets_that_it_names,
    ),
    ("each attempt has its buckets", each_attempt_has_its_buckets),
    (
        "buckets are summed from any instant on",
        buckets_are_summed_from_any_instant_on,
    ),
    (
        "members are those that something was charged to",
        members_are_those_that_something_was_charged_to,
    ),
    ("members come in pages", members_come_in_pages),
    (
        "a budget is opened once, at what was spent before",
        a_budget_is_opened_once,
    ),
    (
        "an odd list of buckets costs nobody anything",
        an_odd_list_of_buckets_costs_nobody_anything,
    ),
];

pub(in super::super) fn budget(name: &str) -> BudgetId {
    BudgetId::parse(&format!("bgt_{name}")).expect("an id")
}

pub(in super::super) fn naming(mut entry: Entry, budgets: &str) -> Entry {
    entry.budgets = budgets.to_owned();
    entry
}

fn settle(n: u64, amount: i64, budgets: &str) -> Entry {
    naming(row(n, EntryKind::Settle, amount), budgets)
}

fn spent(ledger: &dyn Both, name: &str, member: &str) -> i64 {
    let spent = ledger.budget_spent(&budget(name), member, UnixMicros(0));
    spent.expect("reads").0
}

fn members(ledger: &dyn Both, name: &str, from: u64) -> Vec<(String, i64)> {
    let found = ledger.budget_members(&budget(name), at(from), None, 100);
    let found = found.expect("reads").into_iter();
    found.map(|(member, spent)| (member, spent.0)).collect()
}

fn a_charge_counts_in_every_bucket_that_it_names(ledger: &dyn Both) {
    let all = r#"["bgt_a","bgt_b:user_1","bgt_c:a:b|provider:\" 7"]"#;
    let batch = [
        naming(row(1, EntryKind::Hold, 900), all),
        settle(1, 300, all),
        settle(2, 20, r#"["bgt_b:user_2","bgt_a","bgt_a"]"#),
        settle(3, 1, ""),
    ];
    assert_eq!(ledger.append(&batch, &[]).expect("appends"), 4);
    assert_eq!(spent(ledger, "a", ""), 320);
    assert_eq!(spent(ledger, "b", "user_1"), 300);
    assert_eq!(spent(ledger, "b", "user_2"), 20);
    assert_eq!(spent(ledger, "b", ""), 0);
    assert_eq!(spent(ledger, "c", "a:b|provider:\" 7"), 300);
    assert_eq!(spent(ledger, "nobody", ""), 0);
    let in_all = ledger.budget_spent_in_all(&budget("b"), UnixMicros(0));
    assert_eq!(in_all.expect("reads"), NanoUsd(320));
    let record = ledger.request(request(1)).expect("reads").expect("a row");
    assert_eq!(record.entries, batch[..2]);
}

fn buckets_are_charged_once(ledger: &dyn Both) {
    let all = r#"["bgt_a"]"#;
    let batch = [
        naming(row(1, EntryKind::Hold, 900), all),
        settle(1, 300, all),
    ];
    ledger.append(&batch, &[]).expect("appends");
    ledger.append(&batch, &[]).expect("appends");
    // The first outcome wins, and something new stands beside it.
    let later = [
        settle(1, 700, r#"["bgt_a","bgt_b"]"#),
        naming(row(1, EntryKind::Release, 0), all),
        settle(2, 5, all),
    ];
    assert_eq!(ledger.append(&later, &[]).expect("appends"), 1);
    assert_eq!((spent(ledger, "a", ""), spent(ledger, "b", "")), (305, 0));
}

fn an_orphan_is_charged_to_the_buckets_of_its_hold(ledger: &dyn Both) {
    let all = r#"["bgt_a","bgt_b:user_1"]"#;
    let batch = [
        naming(row(1, EntryKind::Hold, 900), all),
        row(2, EntryKind::Hold, 50),
    ];
    ledger.append(&batch, &[]).expect("appends");
    assert_eq!(spent(ledger, "a", ""), 0);
    for charged in [2, 0] {
        assert_eq!(ledger.charge_orphans(at(1_000)).expect("charges"), charged);
    }
    assert_eq!(spent(ledger, "a", ""), 900);
    assert_eq!(members(ledger, "b", 0), [("user_1".to_owned(), 900)]);
    assert_eq!(members(ledger, "b", 2), []);
}

fn a_late_truth_charges_the_buckets_that_it_names(ledger: &dyn Both) {
    let held = r#"["bgt_a","bgt_b:user_1"]"#;
    let truths = [
        settle(1, 300, r#"["bgt_b:user_1","bgt_c"]"#),
        naming(row(2, EntryKind::Release, 0), held),
        settle(3, 40, held),
    ];
    let holds = [1, 2, 3].map(|n| naming(row(n, EntryKind::Hold, 900), held));
    ledger.append(&holds, &[]).expect("appends");
    ledger.charge_orphans(at(1_000)).expect("charges");
    assert_eq!(spent(ledger, "a", ""), 2_700);
    for new in [3, 0] {
        assert_eq!(ledger.append(&truths, &[]).expect("appends"), new);
        let sums = ["a", "c"].map(|name| spent(ledger, name, ""));
        assert_eq!(sums, [40, 300]);
        assert_eq!(spent(ledger, "b", "user_1"), 340);
        // The same within the minute, where the rows answer.
        assert_eq!(members(ledger, "a", 1), [(String::new(), 40)]);
        assert_eq!(members(ledger, "b", 1), [("user_1".to_owned(), 340)]);
        assert_eq!(members(ledger, "b", 2), [("user_1".to_owned(), 40)]);
        assert_eq!(members(ledger, "c", 1), [(String::new(), 300)]);
    }
}

fn each_attempt_has_its_buckets(ledger: &dyn Both) {
    let mut second = settle(1, 20, r#"["bgt_a","bgt_b"]"#);
    second.attempt = 1;
    let batch = [settle(1, 1, r#"["bgt_a"]"#), second];
    ledger.append(&batch, &[]).expect("appends");
    assert_eq!((spent(ledger, "a", ""), spent(ledger, "b", "")), (21, 20));
}

fn buckets_are_summed_from_any_instant_on(ledger: &dyn Both) {
    let all = r#"["bgt_a"]"#;
    let batch: Vec<Entry> = [(0, 1), (5, 20), (60_000, 300), (90_000_000, 4_000)]
        .into_iter()
        .map(|(n, amount)| settle(n, amount, all))
        .collect();
    ledger.append(&batch, &[]).expect("appends");
    let from = |from| {
        let spent = ledger.budget_spent(&budget("a"), "", from);
        spent.expect("reads").0
    };
    for (n, expected) in [
        (0, 4_321),
        (1, 4_320),
        (5, 4_320),
        (6, 4_300),
        (60_001, 4_000),
        (90_000_000, 4_000),
        (90_000_001, 0),
    ] {
        assert_eq!(from(at(n)), expected, "{n}");
    }
    assert_eq!(from(UnixMicros(NOON + 1)), 4_320, "between milliseconds");
    assert_eq!(from(UnixMicros(i64::MIN)), 4_321);
    assert_eq!(from(UnixMicros(i64::MAX)), 0);
}

fn members_are_those_that_something_was_charged_to(ledger: &dyn Both) {
    let mut free = settle(2, 0, r#"["bgt_t:free"]"#);
    free.usage.output = 5;
    let mut blocked = settle(3, 0, r#"["bgt_t:blocked"]"#);
    blocked.usage.input = 5;
    blocked.detail.error_type = Some(String::from("guardrail_blocked"));
    let batch = [
        settle(1, 9, r#"["bgt_t:paid"]"#),
        free,
        blocked,
        settle(4, 0, r#"["bgt_t:nothing"]"#),
        naming(row(5, EntryKind::Release, 0), r#"["bgt_t:refused"]"#),
        naming(row(6, EntryKind::Hold, 90), r#"["bgt_t:holding"]"#),
    ];
    ledger.append(&batch, &[]).expect("appends");
    let expected = [("free".to_owned(), 0), ("paid".to_owned(), 9)];
    // From the sums, and from the rows of the minute.
    assert_eq!(members(ledger, "t", 0), expected);
    assert_eq!(members(ledger, "t", 1), expected);
    assert_eq!(members(ledger, "t", 2), expected[..1]);
    assert_eq!(members(ledger, "t", 7), []);
}

fn members_come_in_pages(ledger: &dyn Both) {
    let names = ["", "a", "b:1", "b:2", "é"];
    let batch: Vec<Entry> = (1..)
        .zip(names)
        .map(|(n, name)| settle(n, 7, &format!(r#"["bgt_t:{name}"]"#)))
        .collect();
    ledger.append(&batch, &[]).expect("appends");
    let page = |after: Option<&str>, limit| -> Vec<String> {
        let found = ledger.budget_members(&budget("t"), at(0), after, limit);
        let found = found.expect("reads").into_iter();
        found.map(|(member, _)| member).collect()
    };
    assert_eq!(page(None, 9), names);
    assert_eq!(page(None, 2), names[..2]);
    assert_eq!(page(Some(""), 2), names[1..3]);
    assert_eq!(page(Some("b"), 9), names[2..]);
    assert_eq!(page(Some("b:1"), 1), names[3..4]);
    assert_eq!(page(Some("é"), 9), [""; 0]);
    assert_eq!(page(None, 0), [""; 0]);
}

fn a_budget_is_opened_once(ledger: &dyn Both) {
    let ids = ["b", "a", "c"].map(budget);
    let last = || ledger.last_opened().expect("reads");
    assert_eq!(last(), None);
    // Charged before it is opened, which makes it no opened one.
    let batch = [settle(5, 1, r#"["bgt_a","bgt_b:user_1"]"#)];
    ledger.append(&batch, &[]).expect("appends");
    assert_eq!(last(), None);
    let opening = |member: &str, n, amount| Opening {
        member: member.to_owned(),
        at: at(n),
        amount: NanoUsd(amount),
    };
    let before = [opening("", 0, 300), opening("", 3, 20)];
    let of_members = [opening("user_1", 3, 20), opening("user_2", 3, 4_000)];
    let both = [
        (ids[1].clone(), before.to_vec()),
        (ids[0].clone(), of_members.to_vec()),
    ];
    for opened in [&both[..1], &both, &both] {
        ledger.open_budgets(opened).expect("opens");
    }
    assert_eq!(last().as_ref(), Some(&ids[0]));
    let third = [(ids[2].clone(), Vec::new())];
    ledger.open_budgets(&third).expect("opens");
    assert_eq!(last().as_ref(), Some(&ids[2]));
    let from = |n| {
        let spent = ledger.budget_spent(&budget("a"), "", at(n));
        spent.expect("reads").0
    };
    assert_eq!([0, 1, 3, 4, 6].map(from), [321, 21, 21, 1, 0]);
    let expected = [("user_1".to_owned(), 21), ("user_2".to_owned(), 4_000)];
    assert_eq!(members(ledger, "b", 3), expected);
    assert_eq!(members(ledger, "b", 4), [("user_1".to_owned(), 1)]);
}

fn an_odd_list_of_buckets_costs_nobody_anything(ledger: &dyn Both) {
    let lists = ["[]", "nonsense", r#"["", "team_a:x", "bgt_", "bgt_a"]"#];
    let batch: Vec<Entry> = (1..)
        .zip(lists)
        .map(|(n, list)| settle(n, 7, list))
        .collect();
    assert_eq!(ledger.append(&batch, &[]).expect("appends"), 3);
    assert_eq!(spent(ledger, "a", ""), 7);
    assert_eq!(super::spend(ledger), (21, 0, 3));
}
