//! The change feed, the audit log and the receipts.

use super::*;

pub(super) fn changes_are_numbered_in_one_order(store: &dyn Engine) {
    let latest = || store.latest_change().expect("reads");
    assert_eq!(latest(), ChangeRevision(0));
    two_tenants(store);
    assert_eq!(latest(), ChangeRevision(0), "nothing to tell");
    let mut given = Vec::new();
    for (name, organization) in [("1", "a"), ("2", "b"), ("3", "a")] {
        let row = key(organization, name, &[whole(organization)]);
        let change = loud(organization, ChangeKind::VkCreated);
        let committed = store.commit(&[Write::InsertVirtualKey(&row)], &change);
        let committed = committed.expect("creates");
        assert_eq!(committed.events, change.events);
        given.push(committed.revision);
    }
    assert_eq!(given, [1, 2, 3].map(ChangeRevision));
    let shop = team_row("a", "shop", false);
    let quietly = done(store, "a", &[Write::InsertTeam(&shop)]);
    assert_eq!(quietly.revision, ChangeRevision(3), "the newest is named");

    let twin = key("a", "1", &[whole("a")]);
    let change = loud("a", ChangeKind::VkCreated);
    conflicts(
        store.commit(&[Write::InsertVirtualKey(&twin)], &change),
        "id",
    );
    assert_eq!(latest(), ChangeRevision(3), "no gap, no ghost");

    let since = |revision, limit| {
        let rows = store.changes_since(ChangeRevision(revision), limit);
        rows.expect("reads")
    };
    let revisions: Vec<_> = since(0, 2).iter().map(|row| row.revision).collect();
    assert_eq!(revisions, given[..2]);
    let rows = since(2, 9);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].event, event("a", ChangeKind::VkCreated));
    assert!(since(3, 9).is_empty());
}

pub(super) fn events_keep_every_field_and_the_time_of_the_first_audit_row(store: &dyn Engine) {
    two_tenants(store);
    let full = ChangeEvent {
        model_provider_id: Some(mp("1")),
        budget_id: Some(bgt("1")),
        payload: text(r#"{"routing_policy_id":"rp_1"}"#),
        ..event("a", ChangeKind::RoutingPolicyUpdated)
    };
    let plain = ChangeEvent::of(ChangeKind::BudgetUpdated, org("a"));
    let change = Change {
        events: vec![full, plain],
        audit: vec![audit_row("a"), audit_row("a")],
        receipt: None,
    };
    let committed = store.commit(&[], &change).expect("commits");
    assert_eq!(committed.revision, ChangeRevision(2));
    assert_eq!(committed.events, change.events);
    let rows = store.changes_since(ChangeRevision(0), 9).expect("reads");
    let events: Vec<_> = rows.iter().map(|row| row.event.clone()).collect();
    assert_eq!(events, change.events);
    let audited = change.audit[0].created_at;
    assert!(rows.iter().all(|row| row.created_at == audited));
    let newest = &all_audited(store, "a")[..2];
    assert_eq!(newest, [change.audit[1].clone(), change.audit[0].clone()]);

    // Without an audit row: the receipt's time, then the newest that is known.
    let unaudited = |receipt| Change {
        events: vec![ChangeEvent::of(ChangeKind::BudgetUpdated, org("b"))],
        audit: vec![],
        receipt,
    };
    let later = receipt("org_b", "k", 9_000_000, 9_000_001);
    for receipt in [Some(later), None] {
        store.commit(&[], &unaudited(receipt)).expect("commits");
    }
    let rows = store.changes_since(ChangeRevision(2), 9).expect("reads");
    let times: Vec<_> = rows.iter().map(|row| row.created_at).collect();
    assert_eq!(times, [at(9_000_000), at(9_000_000)]);
}

pub(super) fn the_very_first_event_needs_no_time(store: &dyn Engine) {
    let change = Change {
        events: vec![ChangeEvent::of(ChangeKind::BudgetUpdated, org("a"))],
        ..Change::default()
    };
    store.commit(&[], &change).expect("commits");
    let rows = store.changes_since(ChangeRevision(0), 9).expect("reads");
    assert_eq!(rows[0].created_at, UnixMicros(0));
}

pub(super) fn the_audit_log_is_read_newest_first_by_its_own_organization(store: &dyn Engine) {
    two_tenants(store);
    let mut written = Vec::new();
    for name in ["1", "2", "3"] {
        let change = quiet("a");
        let row = Team {
            id: team(name),
            slug: name.to_owned(),
            ..team_row("a", "t", false)
        };
        store
            .commit(&[Write::InsertTeam(&row)], &change)
            .expect("creates");
        written.splice(0..0, change.audit);
    }
    let read = |organization: &str, limit, after: Option<&Cursor>| {
        let page = store.audit(&org(organization), &AuditFilter::default(), limit, after);
        page.expect("reads")
    };
    let first = read("a", 2, None);
    assert_eq!(first.rows, written[..2]);
    let rest = read("a", 9, first.next.as_ref());
    assert_eq!(rest.rows.len(), 2, "the third team and the first start");
    assert_eq!(rest.rows[0], written[2]);
    assert_eq!(rest.next, None);
    assert_eq!(read("b", 9, None).rows.len(), 1);
}

pub(super) fn the_audit_log_is_filtered_by_all_conditions_at_once(store: &dyn Engine) {
    let row = |number: i64, action: &str, target: &str, who: &str, project: &str| AuditRow {
        id: format!("aud_{number}"),
        created_at: at(number),
        action: action.to_owned(),
        target_kind: Some(target.to_owned()),
        target_id: Some(format!("{target}_{number}")),
        user_id: Some(who.to_owned()),
        project_id: Some(proj(project)),
        ..audit_row("a")
    };
    let change = Change {
        audit: vec![
            row(1, "gateway.budget.created", "budget", "ada", "p"),
            row(2, "gateway.budget.updated", "budget", "bob", "p"),
            row(3, "gateway.budgetary", "other", "ada", "q"),
            row(4, "GATEWAY.budget.created", "other", "bob", "q"),
        ],
        ..Change::default()
    };
    store.commit(&[], &change).expect("commits");
    let found = |change: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        let page = store.audit(&org("a"), &filter, 9, None).expect("reads");
        let ids: Vec<_> = page.rows.into_iter().map(|row| row.id).collect();
        ids.join(" ")
    };
    assert_eq!(found(&|_| ()), "aud_4 aud_3 aud_2 aud_1");
    assert_eq!(found(&|f| f.from = Some(at(3))), "aud_4 aud_3");
    assert_eq!(found(&|f| f.to = Some(at(3))), "aud_2 aud_1");
    assert_eq!(
        found(&|f| f.action = text("gateway.budget.")),
        "aud_2 aud_1"
    );
    assert_eq!(
        found(&|f| f.action = text("gateway.budget.created")),
        "aud_1"
    );
    assert_eq!(found(&|f| f.action = text("gateway.budget")), "");
    assert_eq!(found(&|f| f.target_kind = text("budget")), "aud_2 aud_1");
    assert_eq!(found(&|f| f.target_id = text("budget_2")), "aud_2");
    assert_eq!(found(&|f| f.user_id = text("ada")), "aud_3 aud_1");
    assert_eq!(found(&|f| f.project_id = Some(proj("q"))), "aud_4 aud_3");
    let both = found(&|f| {
        f.project_id = Some(proj("p"));
        f.user_id = text("bob");
        f.action = text("gateway.");
    });
    assert_eq!(both, "aud_2");
    let filter = AuditFilter::default();
    let page = store.audit(&org("b"), &filter, 9, None).expect("reads");
    assert!(page.rows.is_empty());
}

pub(super) fn a_receipt_is_kept_until_it_expires_and_then_replaced(store: &dyn Engine) {
    two_tenants(store);
    let with = |receipt: &Receipt| Change {
        receipt: Some(receipt.clone()),
        ..quiet("a")
    };
    let read = |scope: &str, key: &str, second| {
        let found = store.receipt(scope, key, at(second));
        found.expect("reads")
    };
    let row = receipt("proj_1", "k", 10, 20);
    store.commit(&[], &with(&row)).expect("commits");
    assert_eq!(read("proj_1", "k", 19), Some(row.clone()));
    assert_eq!(read("proj_1", "k", 20), None, "expired");
    assert_eq!(read("proj_2", "k", 19), None);
    assert_eq!(read("proj_1", "l", 19), None);
    let elsewhere = receipt("proj_2", "k", 12, 30);
    store.commit(&[], &with(&elsewhere)).expect("another scope");

    let live = receipt("proj_1", "k", 19, 40);
    let team = team_row("a", "shop", false);
    conflicts(
        store.commit(&[Write::InsertTeam(&team)], &with(&live)),
        "idempotency_key",
    );
    assert_eq!(store.team(&org("a"), &team.id).expect("reads"), None);
    let next = Receipt {
        status: 409,
        fingerprint: String::from("another"),
        ..receipt("proj_1", "k", 20, 40)
    };
    store.commit(&[], &with(&next)).expect("commits");
    assert_eq!(read("proj_1", "k", 39), Some(next));
    assert_eq!(read("proj_2", "k", 29), Some(elsewhere), "not touched");
}
