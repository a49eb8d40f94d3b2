//! The change feed and the audit log.

use super::*;

pub(super) fn changes_are_numbered_in_one_order(store: &dyn Engine) {
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(0));
    two_tenants(store);
    assert_eq!(
        store.latest_change().expect("reads"),
        ChangeRevision(0),
        "nothing to tell"
    );
    let mut given = Vec::new();
    for (name, organization) in [("1", "a"), ("2", "b"), ("3", "a")] {
        let row = key(organization, name, &[whole(organization)]);
        let change = loud(organization, ChangeKind::VkCreated);
        given.push(store.create_virtual_key(&row, &change).expect("creates"));
    }
    assert_eq!(given, [1, 2, 3].map(ChangeRevision));
    let quietly = store
        .create_team(&team_row("a", "shop", false), &quiet("a"))
        .expect("creates");
    assert_eq!(
        quietly,
        ChangeRevision(3),
        "a change without an event names the newest"
    );

    let twin = key("a", "1", &[whole("a")]);
    let refused = store.create_virtual_key(&twin, &loud("a", ChangeKind::VkCreated));
    conflicts(refused, "id");
    assert_eq!(
        store.latest_change().expect("reads"),
        ChangeRevision(3),
        "no gap, no ghost"
    );

    let rows = store.changes_since(ChangeRevision(0), 2).expect("reads");
    assert_eq!(
        rows.iter().map(|row| row.revision).collect::<Vec<_>>(),
        given[..2]
    );
    let rows = store.changes_since(ChangeRevision(2), 9).expect("reads");
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].event,
        loud("a", ChangeKind::VkCreated).event.expect("an event")
    );
    assert!(
        store
            .changes_since(ChangeRevision(3), 9)
            .expect("reads")
            .is_empty()
    );
}

pub(super) fn a_change_that_cannot_be_audited_does_not_happen(store: &dyn Engine) {
    two_tenants(store);
    let change = loud("a", ChangeKind::VkCreated);
    store
        .create_virtual_key(&key("a", "1", &[whole("a")]), &change)
        .expect("creates");
    // The same audit id again.
    conflicts(
        store.create_virtual_key(&key("a", "2", &[whole("a")]), &change),
        "id",
    );
    assert_eq!(store.virtual_key(&org("a"), &vk("2")).expect("reads"), None);
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(1));
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
        store.create_team(&row, &change).expect("creates");
        written.insert(0, change.audit);
    }
    let first = store.audit(&org("a"), 2, None).expect("reads");
    assert_eq!(first.rows, written[..2]);
    let rest = store
        .audit(&org("a"), 9, first.next.as_ref())
        .expect("reads");
    assert_eq!(rest.rows.len(), 2, "the third team and the first start");
    assert_eq!(rest.rows[0], written[2]);
    assert_eq!(rest.next, None);
    assert_eq!(
        store.audit(&org("b"), 9, None).expect("reads").rows.len(),
        1
    );
}
