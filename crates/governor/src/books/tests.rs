//! Books over a ledger that lags, holds over several accounts, and many threads at once.

mod lives;
mod sweeping;
mod threads;

use std::sync::Arc;

use lw_core::{
    BudgetId, BudgetTarget, GroupId, ModelProviderId, NanoUsd, OrganizationId, UnixMicros,
    VirtualKeyId,
};
use lw_engine::period::{Schedule, Window};
use lw_store::StoreError;
use lw_store::rows::{Budget, Enforcement, OnBreach};
use parking_lot::Mutex;

use super::*;

const SECOND: i64 = 1_000_000;
/// 2026-07-01T12:00:00Z, a Wednesday.
const NOON: UnixMicros = UnixMicros(1_782_907_200_000_000);

fn later(seconds: i64) -> UnixMicros {
    NOON.plus_micros(seconds * SECOND)
}

/// A budget for the organization that refuses, is never overspent and was created at noon.
fn budget(id: &str, window: Window, limit: i64) -> Budget {
    let Schedule {
        window,
        anchor,
        period_started_at,
        resets_at,
        last_reset_at,
    } = Schedule::opening(window, None, NOON);
    let organization = OrganizationId::parse("org_acme").expect("an id");
    Budget {
        id: BudgetId::parse(&format!("bgt_{id}")).expect("an id"),
        target: BudgetTarget::Organization(organization.clone()),
        organization_id: organization,
        name: id.to_owned(),
        description: None,
        provider_key: None,
        window: window.as_str().to_owned(),
        limit: NanoUsd(limit),
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: anchor,
        current_period_started_at: period_started_at,
        resets_at,
        last_reset_at,
        external_id: None,
        metadata: Default::default(),
        managed_by_virtual_key_id: None,
        archived_at: None,
        created_by: String::from("user_a"),
        made_from: None,
        revision: 1,
        created_at: NOON,
        updated_at: NOON,
    }
}

/// The budget after a reset at `now`.
fn reset(budget: &mut Budget, now: UnixMicros) {
    let terms = terms(budget, None).expect("a window");
    let Schedule {
        window: _,
        anchor: _,
        period_started_at,
        resets_at,
        last_reset_at,
    } = terms.schedule.reset(now);
    budget.current_period_started_at = period_started_at;
    budget.resets_at = resets_at;
    budget.last_reset_at = last_reset_at;
    budget.revision += 1;
}

/// One settled call in one bucket.
#[derive(Debug, Clone)]
struct Row {
    bucket: String,
    admitted: UnixMicros,
    cost: i64,
}

/// A ledger behind a spool: rows are read only once they are folded.
#[derive(Debug, Default)]
struct Lagging(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    rows: Vec<Row>,
    folded: usize,
    reads: usize,
    broken: bool,
}

impl Lagging {
    fn write(&self, bucket: &str, admitted: UnixMicros, cost: i64) {
        self.0.lock().rows.push(Row {
            bucket: bucket.to_owned(),
            admitted,
            cost,
        });
    }

    fn fold(&self) {
        let mut kept = self.0.lock();
        kept.folded = kept.rows.len();
    }

    fn reads(&self) -> usize {
        self.0.lock().reads
    }

    /// What a ledger that does not lag would say.
    fn truth(&self, bucket: &str, from: Option<UnixMicros>) -> i64 {
        sum(&self.0.lock().rows, bucket, from)
    }
}

fn sum(rows: &[Row], bucket: &str, from: Option<UnixMicros>) -> i64 {
    let counted = |row: &&Row| row.bucket == bucket && from <= Some(row.admitted);
    rows.iter().filter(counted).map(|row| row.cost).sum()
}

impl Spending for Lagging {
    fn budget_spent(
        &self,
        budget: &BudgetId,
        member: &str,
        from: UnixMicros,
    ) -> Result<NanoUsd, StoreError> {
        let mut kept = self.0.lock();
        kept.reads += 1;
        if kept.broken {
            return Err(StoreError::Unavailable(String::from("it is locked")));
        }
        let name = account::name(budget, member);
        Ok(NanoUsd(sum(&kept.rows[..kept.folded], &name, Some(from))))
    }
}

fn books() -> (Arc<Lagging>, Books) {
    let ledger = Arc::new(Lagging::default());
    (ledger.clone(), Books::new(ledger))
}

fn both(amount: i64) -> Amounts {
    Amounts {
        strict: NanoUsd(amount),
        soft: NanoUsd(amount),
    }
}

/// Spent and reserved.
fn figures(account: &Account, now: UnixMicros) -> (i64, i64) {
    let standing = account.standing(now);
    (standing.spent.0, standing.reserved.0)
}

#[test]
fn an_account_is_read_from_the_ledger_once_and_shared() {
    let (ledger, books) = books();
    let day = budget("day", Window::Day, 100);
    ledger.write("bgt_day", later(-3_600), 30);
    ledger.write("bgt_day", later(-86_400), 5);
    ledger.write("bgt_other", NOON, 7);
    ledger.fold();
    let account = books.account(&day, "", None, NOON).expect("reads");
    let again = books.account(&day, "", None, NOON).expect("reads");
    assert!(Arc::ptr_eq(&account, &again));
    assert_eq!((figures(&account, NOON), ledger.reads()), ((30, 0), 1));
    assert_eq!(books.len(), 1);
}

#[test]
fn a_budget_whose_window_changes_counts_what_was_spent_in_the_new_one() {
    let (ledger, books) = books();
    let mut own = budget("own", Window::Day, 100);
    // In the month before, in this month, in this week (from Monday, June the 29th), today.
    for (seconds, cost) in [
        (-40 * 86_400, 1),
        (-3 * 86_400, 2),
        (-86_400, 4),
        (-3_600, 8),
    ] {
        ledger.write("bgt_own", later(seconds), cost);
    }
    ledger.fold();
    let account = books.account(&own, "", None, NOON).expect("reads");
    let accounts: Accounts = [account.clone()].into_iter().collect();
    assert_eq!(figures(&account, NOON), (8, 0));
    // Some of today is not in the ledger yet, and some is under way.
    accounts
        .hold(both(20), NOON)
        .expect("room")
        .settle(NanoUsd(16));
    ledger.write("bgt_own", NOON, 16);
    let open = accounts.hold(both(5), NOON).expect("room");
    for (window, before) in [
        (Window::Week, 4),
        // The first of July is a Wednesday: this month's first day is today.
        (Window::Month, 0),
        (Window::Total, 7),
        (Window::Day, 0),
        (Window::Total, 7),
        (Window::Week, 4),
        (Window::Day, 0),
    ] {
        let Schedule {
            period_started_at,
            resets_at,
            ..
        } = Schedule::opening(window, None, NOON);
        own.window = window.as_str().to_owned();
        own.current_period_started_at = period_started_at;
        own.resets_at = resets_at;
        own.revision += 1;
        let again = books.account(&own, "", None, NOON).expect("reads");
        assert!(Arc::ptr_eq(&account, &again));
        assert_eq!(figures(&account, NOON), (before + 24, 5), "{window:?}");
        assert_eq!(account.window(), window.as_str());
    }
    // Under terms that are older nothing moves.
    let mut late = own.clone();
    late.window = Window::Total.as_str().to_owned();
    late.revision -= 1;
    books.account(&late, "", None, NOON).expect("reads");
    assert_eq!(figures(&account, NOON), (24, 5));
    open.settle(NanoUsd(3));
    // And the next day is a day.
    let tomorrow = later(86_400);
    assert_eq!(figures(&account, tomorrow), (0, 0));
}

#[test]
fn members_of_one_budget_have_accounts_of_their_own() {
    let (ledger, books) = books();
    let mut group = budget("g", Window::Month, 100);
    group.target = BudgetTarget::Group(GroupId::parse("grp_3").expect("an id"));
    ledger.write("bgt_g:user_a", NOON, 30);
    ledger.write("bgt_g:a:b|c", NOON, 4);
    ledger.fold();
    for (member, spent, name) in [
        ("user_a", 30, "bgt_g:user_a"),
        ("a:b|c", 4, "bgt_g:a:b|c"),
        ("", 0, "bgt_g"),
    ] {
        let account = books.account(&group, member, None, NOON).expect("reads");
        assert_eq!(figures(&account, NOON), (spent, 0));
        assert_eq!((account.member(), account.name()), (member, name));
    }
    assert_eq!(books.len(), 3);
}

#[test]
fn an_account_knows_what_headers_and_errors_call_it() {
    let (_, books) = books();
    let mut template = budget("t", Window::Week, 100);
    let (key, provider) = (VirtualKeyId::parse("vk_1"), ModelProviderId::parse("mp_a"));
    template.target = BudgetTarget::EndUsersOfKey(key.expect("an id"));
    template.provider_key = provider.ok();
    let account = books.account(&template, "u", None, NOON).expect("reads");
    let words = (account.scope(), account.scope_id(), account.window());
    assert_eq!(words, ("attributed_user", "vk_1", "week"));
    assert_eq!(account.budget().as_str(), "bgt_t");
    assert_eq!(
        account.provider().map(ModelProviderId::as_str),
        Some("mp_a")
    );
    assert_eq!(*account.target(), template.target);
}

#[test]
fn what_cannot_be_read_makes_no_account() {
    let (ledger, books) = books();
    let day = budget("day", Window::Day, 100);
    ledger.0.lock().broken = true;
    let failed = books.account(&day, "", None, NOON);
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
    ledger.0.lock().broken = false;
    let odd = Budget {
        window: String::from("fortnight"),
        ..day.clone()
    };
    let failed = books.account(&odd, "", None, NOON);
    assert!(matches!(failed, Err(StoreError::Corrupt(_))));
    assert!(books.is_empty());
    books.account(&day, "", None, NOON).expect("reads again");
}

#[test]
fn changed_terms_reach_accounts_that_are_in_use() {
    let (_, books) = books();
    let mut total = budget("total", Window::Total, 100);
    let account = books.account(&total, "", None, NOON).expect("reads");
    let accounts = Accounts::from_iter([account.clone()]);
    let amounts = Amounts {
        strict: NanoUsd(90),
        soft: NanoUsd(1),
    };
    let first = accounts.hold(amounts, NOON).expect("fits");
    let refusal = accounts.hold(amounts, NOON).expect_err("full");
    assert_eq!(refusal.needed, NanoUsd(90));

    let old = total.clone();
    total.enforcement = Enforcement::Soft;
    total.revision = 2;
    books.account(&total, "", None, NOON).expect("reads");
    books.account(&old, "", None, NOON).expect("a late reader");
    let second = accounts.hold(amounts, NOON).expect("holds little");
    assert_eq!(figures(&account, NOON), (0, 91));

    total.on_breach = OnBreach::Warn;
    total.limit = NanoUsd(50);
    total.revision = 3;
    books.account(&total, "", None, NOON).expect("reads");
    let third = accounts.hold(amounts, NOON).expect("only warns");
    first.settle(NanoUsd(45));
    drop((second, third));
    assert_eq!(figures(&account, NOON), (45, 0));
    let near: Vec<_> = accounts.near(NOON).collect();
    assert_eq!(near.len(), 1);
    assert_eq!((near[0].standing.percent, near[0].exhausted), (90, false));
}

#[test]
fn a_hold_is_in_all_accounts_or_in_none() {
    let (_, books) = books();
    let open = |budget: &Budget| books.account(budget, "", None, NOON).expect("reads");
    let wide = open(&budget("a", Window::Day, 1_000));
    let narrow = open(&budget("b", Window::Minute, 100));
    let mut soft = budget("c", Window::Total, 100);
    soft.enforcement = Enforcement::Soft;
    let soft = open(&soft);
    // In any order, and more than once.
    let accounts = Accounts::from_iter([&soft, &narrow, &wide, &narrow].map(Arc::clone));
    let names: Vec<_> = accounts.iter().map(|account| account.name()).collect();
    assert_eq!(names, ["bgt_a", "bgt_b", "bgt_c"]);

    let amounts = |strict, soft| Amounts {
        strict: NanoUsd(strict),
        soft: NanoUsd(soft),
    };
    let mut hold = accounts.hold(amounts(80, 10), NOON).expect("fits");
    let all = |now| [&wide, &narrow, &soft].map(|account| figures(account, now));
    assert_eq!(all(NOON), [(0, 80), (0, 80), (0, 10)]);

    let now = later(15);
    let refusal = accounts.hold(amounts(21, 5), now).expect_err("b is full");
    assert!(Arc::ptr_eq(&refusal.account, &narrow));
    assert_eq!(refusal.needed, NanoUsd(21));
    assert_eq!(refusal.standing.reserved, NanoUsd(80));
    assert_eq!(refusal.retry_after_s, Some(45));
    assert_eq!(all(now), [(0, 80), (0, 80), (0, 10)]);

    hold.grow(amounts(0, 90), now).expect("c has room");
    assert_eq!(all(now), [(0, 80), (0, 80), (0, 100)]);
    let refusal = hold.grow(amounts(0, 1), now).expect_err("c is full");
    assert!(Arc::ptr_eq(&refusal.account, &soft));
    assert_eq!(refusal.retry_after_s, None);
    let refusal = hold.grow(amounts(30, 0), now).expect_err("b is full");
    assert!(Arc::ptr_eq(&refusal.account, &narrow));
    assert_eq!(all(now), [(0, 80), (0, 80), (0, 100)]);

    hold.settle(NanoUsd(110));
    assert_eq!(all(now), [(110, 0), (110, 0), (110, 0)]);
    assert!(accounts.hold(Amounts::default(), now).is_err());
}

#[test]
fn a_hold_outlives_the_period_of_one_account_and_not_of_another() {
    let (_, books) = books();
    let open = |budget: &Budget| books.account(budget, "", None, NOON).expect("reads");
    let minute = open(&budget("minute", Window::Minute, 100));
    let hour = open(&budget("hour", Window::Hour, 200));
    let accounts = Accounts::from_iter([minute.clone(), hour.clone()]);
    let mut long = accounts.hold(both(100), NOON).expect("fits");
    let given_back = accounts.hold(both(1), NOON);
    assert!(given_back.is_err(), "the minute is full");

    let next = later(60);
    let fresh = accounts.hold(both(70), next).expect("a new minute");
    assert_eq!(figures(&minute, next), (0, 70));
    assert_eq!(figures(&hour, next), (0, 170));
    // The minute that it was admitted in is over; the hour is not.
    long.grow(both(30), next).expect("the hour has room");
    let refusal = long.grow(both(1), next).expect_err("and no more");
    assert!(Arc::ptr_eq(&refusal.account, &hour));
    long.settle(NanoUsd(125));
    assert_eq!(figures(&minute, next), (0, 70));
    assert_eq!(figures(&hour, next), (125, 70));
    drop(fresh);
    assert_eq!(figures(&minute, next), (0, 0));
    assert_eq!(figures(&hour, next), (125, 0));
}

#[test]
fn budgets_are_told_of_from_eighty_percent_on_until_their_period_ends() {
    let (ledger, books) = books();
    let open = |budget: &Budget| books.account(budget, "", None, NOON).expect("reads");
    for (bucket, spent) in [("bgt_a", 79), ("bgt_b", 80), ("bgt_c", 100), ("bgt_d", 130)] {
        ledger.write(bucket, NOON, spent);
    }
    ledger.fold();
    let warning = Budget {
        on_breach: OnBreach::Warn,
        ..budget("d", Window::Total, 100)
    };
    let accounts = Accounts::from_iter([
        open(&budget("a", Window::Minute, 100)),
        open(&budget("b", Window::Minute, 100)),
        open(&budget("c", Window::Minute, 100)),
        open(&warning),
    ]);
    let told = |now| {
        let each = |near: Near<'_>| {
            let id = near.account.budget().to_string();
            (
                id,
                near.standing.percent,
                near.exhausted,
                near.retry_after_s,
            )
        };
        accounts.near(now).map(each).collect::<Vec<_>>()
    };
    let forever = (String::from("bgt_d"), 130, false, None);
    assert_eq!(
        told(later(59)),
        [
            (String::from("bgt_b"), 80, false, Some(1)),
            (String::from("bgt_c"), 100, true, Some(1)),
            forever.clone(),
        ]
    );
    assert_eq!(told(later(60)), [forever]);
}

#[test]
fn a_call_that_counts_toward_nothing_is_never_refused() {
    let accounts = Accounts::default();
    assert!(accounts.is_empty());
    let mut hold = accounts
        .hold(both(i64::MAX), NOON)
        .expect("nothing refuses");
    hold.grow(both(i64::MAX), NOON).expect("nothing refuses");
    assert!(hold.accounts().is_empty());
    hold.settle(NanoUsd(1));
    assert_eq!(accounts.near(NOON).count(), 0);
}

#[test]
fn accounts_of_one_provider_are_added_to_those_of_all() {
    let (_, books) = books();
    let open = |id| {
        let budget = budget(id, Window::Day, 100);
        books.account(&budget, "", None, NOON).expect("reads")
    };
    let all = Accounts::from_iter([open("m"), open("z")]);
    let lane = all.with([open("n"), open("m")]);
    let names: Vec<_> = lane.iter().map(|account| account.name()).collect();
    assert_eq!(names, ["bgt_m", "bgt_n", "bgt_z"]);
}
