//! All or nothing, and one after the other.

use super::*;

pub(super) fn a_write_that_fails_takes_the_writes_before_it_along(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let shop = team_row("a", "shop", false);
    let twin = Team {
        slug: String::from("shop"),
        ..team_row("a", "other", false)
    };
    let audited = all_audited(store, "a").len();
    let change = || loud("a", ChangeKind::VkCreated);
    let first = Write::InsertTeam(&shop);
    conflicts(
        store.commit(&[first, Write::InsertTeam(&twin)], &change()),
        "slug",
    );
    let nobody = Write::RemoveMember {
        organization: &a,
        user: &user("nobody"),
    };
    missing(store.commit(&[first, nobody], &change()));
    let crossing = key("a", "k", &[whole("b")]);
    corrupt(store.commit(&[first, Write::InsertVirtualKey(&crossing)], &change()));

    assert_eq!(store.team(&a, &shop.id).expect("reads"), None);
    assert_eq!(store.virtual_key(&a, &crossing.id).expect("reads"), None);
    assert_eq!(all_audited(store, "a").len(), audited);
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(0));
    store.commit(&[first], &change()).expect("alone it is fine");
}

pub(super) fn a_change_that_cannot_be_recorded_does_not_happen(store: &dyn Engine) {
    two_tenants(store);
    let change = Change {
        receipt: Some(receipt("proj_1", "k", 10, 20)),
        ..loud("a", ChangeKind::VkCreated)
    };
    let write = |name: &str, change: &Change| {
        let row = key("a", name, &[whole("a")]);
        store.commit(&[Write::InsertVirtualKey(&row)], change)
    };
    write("1", &change).expect("creates");
    let audited = all_audited(store, "a").len();
    // The same audit id again; the same receipt again.
    let same_audit = Change {
        receipt: Some(receipt("proj_1", "l", 10, 20)),
        ..change.clone()
    };
    conflicts(write("2", &same_audit), "id");
    let same_receipt = Change {
        receipt: change.receipt,
        ..loud("a", ChangeKind::VkCreated)
    };
    conflicts(write("2", &same_receipt), "idempotency_key");
    assert_eq!(store.virtual_key(&org("a"), &vk("2")).expect("reads"), None);
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(1));
    assert_eq!(all_audited(store, "a").len(), audited);
    let left = store.receipt("proj_1", "l", at(15)).expect("reads");
    assert_eq!(left, None, "the receipt went with it");
}

pub(super) fn events_of_the_change_come_before_those_of_its_writes(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let target = BudgetTarget::Organization(a.clone());
    let row = VirtualKey {
        config: json!({ "guardrailAttachments": [{ "guardrailIds": ["guard_g"] }] }).to_string(),
        ..key("a", "k", &[whole("a")])
    };
    done(
        store,
        "a",
        &[
            Write::InsertVirtualKey(&row),
            Write::InsertBudget(&budget("a", "1", target.clone())),
            Write::InsertBudget(&budget("a", "2", target.clone())),
        ],
    );
    let committed = store.commit(
        &[
            Write::ArchiveBudgetsOf {
                organization: &a,
                target: &target,
                now: at(60),
            },
            Write::BumpKeysWithGuardrail {
                organization: &a,
                guardrail: "guard_g",
                now: at(60),
            },
        ],
        &loud("a", ChangeKind::ModelProviderUpdated),
    );
    let committed = committed.expect("commits");
    assert_eq!(committed.counted, 3, "the sum of both");
    assert_eq!(committed.revision, ChangeRevision(4));
    let kinds: Vec<_> = committed.events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            ChangeKind::ModelProviderUpdated,
            ChangeKind::BudgetDeleted,
            ChangeKind::BudgetDeleted,
            ChangeKind::VkConfigUpdated,
        ]
    );
    let rows = store.changes_since(ChangeRevision(0), 9).expect("reads");
    let stored: Vec<_> = rows.into_iter().map(|row| row.event).collect();
    assert_eq!(stored, committed.events);
}

pub(super) fn of_many_writers_with_one_revision_exactly_one_wins(store: &dyn Engine) {
    two_tenants(store);
    let (threads, rounds) = (32_u32, 5_i64);
    let row = budget("a", "b", BudgetTarget::Organization(org("a")));
    done(store, "a", &[Write::InsertBudget(&row)]);
    for expected in 1..=rounds {
        let wins: u32 = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..threads)
                .map(|number| {
                    let row = Budget {
                        name: format!("{expected}-{number}"),
                        ..row.clone()
                    };
                    scope.spawn(move || {
                        let write = Write::UpdateBudget {
                            row: &row,
                            expected,
                        };
                        match store.commit(&[write], &loud("a", ChangeKind::BudgetUpdated)) {
                            Ok(_) => 1,
                            Err(StoreError::Stale) => 0,
                            Err(other) => panic!("{other:?}"),
                        }
                    })
                })
                .collect();
            let writers = writers.into_iter();
            writers.map(|writer| writer.join().expect("joins")).sum()
        });
        assert_eq!(wins, 1, "revision {expected}");
    }
    let found = store.budget(&org("a"), &row.id).expect("reads");
    assert_eq!(found.expect("a budget").revision, 1 + rounds);
    let latest = store.latest_change().expect("reads");
    assert_eq!(latest, ChangeRevision(rounds), "losers announce nothing");
}
