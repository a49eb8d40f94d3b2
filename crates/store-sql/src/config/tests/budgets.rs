//! Budgets and the periods of their buckets.

use super::*;

fn update(row: &Budget, expected: i64) -> Write<'_> {
    Write::UpdateBudget { row, expected }
}

fn read(store: &dyn Engine, name: &str) -> Budget {
    let found = store.budget(&org("a"), &bgt(name)).expect("reads");
    found.expect("a budget")
}

/// One budget for each kind of target; each is named after its kind.
fn one_of_each(store: &dyn Engine) -> Vec<Budget> {
    joined(store, "a", "ada");
    done(
        store,
        "a",
        &[
            Write::InsertGroup(&group("a", "g")),
            Write::InsertVirtualKey(&key("a", "k", &[whole("a")])),
        ],
    );
    let targets = [
        ("organization", BudgetTarget::Organization(org("a"))),
        ("team", BudgetTarget::Team(team("a-default"))),
        ("project", BudgetTarget::Project(proj("a-default"))),
        ("key", BudgetTarget::VirtualKey(vk("k"))),
        ("person", BudgetTarget::Principal(user("ada"))),
        ("group", BudgetTarget::Group(grp("g"))),
        ("users-of-key", BudgetTarget::EndUsersOfKey(vk("k"))),
        (
            "users-of-project",
            BudgetTarget::EndUsersOfProject(proj("a-default")),
        ),
    ];
    let rows: Vec<_> = (10..)
        .zip(targets)
        .map(|(second, (name, target))| Budget {
            created_at: at(second),
            ..budget("a", name, target)
        })
        .collect();
    for row in &rows {
        done(store, "a", &[Write::InsertBudget(row)]);
    }
    rows
}

pub(super) fn a_budget_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let mut row = budget("a", "full", BudgetTarget::Project(proj("a-default")));
    row.description = text("text");
    row.provider_key = Some(mp("1"));
    row.on_breach = OnBreach::Warn;
    row.enforcement = Enforcement::Soft;
    row.timezone = text("Europe/Berlin");
    row.cycle_anchor_at = Some(at(3));
    row.last_reset_at = Some(at(4));
    row.external_id = text("ext");
    row.metadata = BTreeMap::from([(String::from("k"), String::from("v"))]);
    row.managed_by_virtual_key_id = Some(vk("k"));
    row.archived_at = Some(at(5));
    let manager = key("a", "k", &[whole("a")]);
    done(
        store,
        "a",
        &[Write::InsertVirtualKey(&manager), Write::InsertBudget(&row)],
    );
    assert_eq!(read(store, "full"), row);

    let changed = Budget {
        id: row.id.clone(),
        created_by: String::from("somebody"),
        created_at: at(77),
        updated_at: at(20),
        revision: 9,
        ..budget("a", "plain", row.target.clone())
    };
    done(store, "a", &[update(&changed, 1)]);
    let expected = Budget {
        revision: 2,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        ..changed.clone()
    };
    assert_eq!(read(store, "full"), expected);
    stale(tried(store, "a", update(&changed, 1)));
    let stolen = Budget {
        organization_id: org("b"),
        ..changed
    };
    missing(tried(store, "b", update(&stolen, 2)));
    assert_eq!(store.budget(&org("b"), &row.id).expect("reads"), None);
    assert_eq!(read(store, "full"), expected);
}

pub(super) fn a_budget_is_about_something_of_its_own_organization(store: &dyn Engine) {
    two_tenants(store);
    one_of_each(store);
    let theirs = joined(store, "b", "bob");
    done(
        store,
        "b",
        &[
            Write::InsertGroup(&group("b", "theirs")),
            Write::InsertVirtualKey(&key("b", "theirs", &[whole("b")])),
        ],
    );
    for target in [
        BudgetTarget::Organization(org("b")),
        BudgetTarget::Team(team("b-default")),
        BudgetTarget::Project(proj("b-default")),
        BudgetTarget::VirtualKey(vk("theirs")),
        BudgetTarget::Principal(theirs),
        BudgetTarget::Group(grp("theirs")),
        BudgetTarget::EndUsersOfKey(vk("theirs")),
        BudgetTarget::EndUsersOfProject(proj("b-default")),
    ] {
        let row = budget("a", "crossing", target);
        corrupt(tried(store, "a", Write::InsertBudget(&row)));
    }
    let managed = Budget {
        managed_by_virtual_key_id: Some(vk("theirs")),
        ..budget("a", "crossing", BudgetTarget::Organization(org("a")))
    };
    corrupt(tried(store, "a", Write::InsertBudget(&managed)));
}

pub(super) fn a_budget_outlives_its_target(store: &dyn Engine) {
    two_tenants(store);
    one_of_each(store);
    let a = org("a");
    done(
        store,
        "a",
        &[
            Write::DeleteGroup {
                organization: &a,
                id: &grp("g"),
            },
            Write::RemoveMember {
                organization: &a,
                user: &user("ada"),
            },
        ],
    );
    for name in ["group", "person"] {
        let row = Budget {
            archived_at: Some(at(50)),
            ..read(store, name)
        };
        done(store, "a", &[update(&row, 1)]);
        assert_eq!(read(store, name).archived_at, Some(at(50)));
    }
}

pub(super) fn external_ids_and_managers_of_budgets_are_unique(store: &dyn Engine) {
    two_tenants(store);
    let manager = key("a", "k", &[whole("a")]);
    done(store, "a", &[Write::InsertVirtualKey(&manager)]);
    let named = |organization: &str, name: &str| Budget {
        external_id: text("ext"),
        ..budget(
            organization,
            name,
            BudgetTarget::Organization(org(organization)),
        )
    };
    let managed = |name: &str, archived_at| Budget {
        managed_by_virtual_key_id: Some(vk("k")),
        archived_at,
        ..budget("a", name, BudgetTarget::VirtualKey(vk("k")))
    };
    done(store, "a", &[Write::InsertBudget(&named("a", "1"))]);
    let twin = named("a", "2");
    conflicts(tried(store, "a", Write::InsertBudget(&twin)), "external_id");
    done(store, "b", &[Write::InsertBudget(&named("b", "3"))]);

    let (gone, live) = (managed("gone", Some(at(50))), managed("live", None));
    done(
        store,
        "a",
        &[Write::InsertBudget(&gone), Write::InsertBudget(&live)],
    );
    let own = |organization: &str| store.own_budget(&org(organization), &vk("k"));
    assert_eq!(own("a").expect("reads"), Some(live));
    assert_eq!(own("b").expect("reads"), None);
    let second = managed("second", None);
    let field = "managed_by_virtual_key_id";
    conflicts(tried(store, "a", Write::InsertBudget(&second)), field);
}

pub(super) fn a_walk_over_budgets_passes_over_archived_ones_and_other_kinds(store: &dyn Engine) {
    two_tenants(store);
    let rows = one_of_each(store);
    let archived = Budget {
        archived_at: Some(at(50)),
        ..rows[0].clone()
    };
    let named = Budget {
        external_id: text("ext"),
        ..rows[1].clone()
    };
    done(store, "a", &[update(&archived, 1), update(&named, 1)]);
    let list =
        |types: Option<&[&str]>, external_id: Option<&str>, limit, after: Option<&Cursor>| {
            let filter = BudgetFilter {
                scope_types: types.map(|types| types.iter().map(|&word| word.to_owned()).collect()),
                external_id: external_id.map(str::to_owned),
            };
            let page = store
                .budgets(&org("a"), &filter, limit, after)
                .expect("reads");
            let names: Vec<_> = page.rows.into_iter().map(|row| row.name).collect();
            (names.join(" "), page.next)
        };
    let (first, next) = list(None, None, 4, None);
    assert_eq!(first, "users-of-project users-of-key group person");
    let (second, next) = list(None, None, 4, next.as_ref());
    assert_eq!((second.as_str(), next), ("key project team", None));
    let types: &[&str] = &["attributed_user", "team", "organization"];
    let (first, next) = list(Some(types), None, 2, None);
    assert_eq!(first, "users-of-project users-of-key");
    assert_eq!(list(Some(types), None, 2, next.as_ref()).0, "team");
    assert_eq!(list(Some(&["nothing"]), None, 9, None).0, "");
    assert_eq!(list(Some(&[]), None, 9, None).0, "");
    assert_eq!(list(None, Some("ext"), 9, None).0, "team");
    assert_eq!(list(Some(&["key"]), Some("ext"), 9, None).0, "");
    let page = store.budgets(&org("b"), &BudgetFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());

    let theirs = budget("b", "theirs", BudgetTarget::Organization(org("b")));
    done(store, "b", &[Write::InsertBudget(&theirs)]);
    let mut live: Vec<_> = rows[1..].iter().chain([&theirs]).collect();
    live.sort_by(|a, b| a.id.cmp(&b.id));
    let live = live.into_iter();
    let live = live.map(|row| (row.organization_id.clone(), row.id.clone()));
    let live: Vec<_> = live.collect();
    let read = |after, limit| store.live_budgets(after, limit).expect("reads");
    assert_eq!(read(None, 100), live);
    assert_eq!(read(None, 2), live[..2]);
    assert_eq!(read(Some(&live[1].1), 3), live[2..5]);
    assert_eq!(read(live.last().map(|(_, id)| id), 100), []);
}

pub(super) fn budgets_of_targets_come_sorted_by_scope_type_and_id(store: &dyn Engine) {
    two_tenants(store);
    let rows = one_of_each(store);
    let more = budget("a", "a-more", BudgetTarget::Team(team("a-default")));
    let gone = Budget {
        archived_at: Some(at(50)),
        ..budget("a", "gone", BudgetTarget::Team(team("a-default")))
    };
    done(
        store,
        "a",
        &[Write::InsertBudget(&more), Write::InsertBudget(&gone)],
    );
    let of = |organization: &str, targets: &[BudgetTarget]| -> Vec<_> {
        let rows = store
            .budgets_of(&org(organization), targets)
            .expect("reads");
        rows.into_iter().map(|row| row.name).collect()
    };
    let every: Vec<_> = rows
        .iter()
        .chain(&rows)
        .map(|row| row.target.clone())
        .collect();
    assert_eq!(
        of("a", &every),
        [
            "users-of-key",
            "users-of-project",
            "group",
            "organization",
            "person",
            "project",
            "a-more",
            "team",
            "key",
        ]
    );
    assert_eq!(
        of("a", &[BudgetTarget::EndUsersOfKey(vk("k"))]),
        ["users-of-key"]
    );
    assert!(of("a", &[]).is_empty());
    assert!(of("b", &every).is_empty());
}

pub(super) fn archiving_the_budgets_of_a_target_tells_of_each(store: &dyn Engine) {
    two_tenants(store);
    one_of_each(store);
    let a = org("a");
    let second = budget("a", "a-second", BudgetTarget::Project(proj("a-default")));
    done(store, "a", &[Write::InsertBudget(&second)]);
    let archive = |organization: &OrganizationId, target: &BudgetTarget| {
        done(
            store,
            "a",
            &[Write::ArchiveBudgetsOf {
                organization,
                target,
                now: at(60),
            }],
        )
    };
    let project = BudgetTarget::Project(proj("a-default"));
    assert_eq!(archive(&org("b"), &project).counted, 0);
    let committed = archive(&a, &project);
    let told = |budget: &str, project: Option<ProjectId>| ChangeEvent {
        budget_id: Some(bgt(budget)),
        project_id: project,
        ..ChangeEvent::of(ChangeKind::BudgetDeleted, org("a"))
    };
    let project = Some(proj("a-default"));
    assert_eq!(committed.counted, 2);
    assert_eq!(
        committed.events,
        [
            told("a-second", project.clone()),
            told("project", project.clone())
        ]
    );
    let row = read(store, "project");
    assert_eq!(row.archived_at, Some(at(60)));
    assert_eq!((row.revision, row.updated_at), (2, at(60)));
    let template = archive(&a, &BudgetTarget::EndUsersOfProject(proj("a-default")));
    assert_eq!(template.events, [told("users-of-project", project)]);
    let plain = archive(&a, &BudgetTarget::Team(team("a-default")));
    assert_eq!(plain.events, [told("team", None)]);
    assert_eq!(
        archive(&a, &BudgetTarget::Team(team("a-default"))).counted,
        0
    );

    let key = vk("k");
    let of_key = Write::ArchiveBudgetsOfKey {
        organization: &a,
        key: &key,
        now: at(61),
    };
    let managed = Budget {
        managed_by_virtual_key_id: Some(vk("k")),
        ..budget("a", "managed", BudgetTarget::Organization(a.clone()))
    };
    done(store, "a", &[Write::InsertBudget(&managed)]);
    let committed = done(store, "a", &[of_key]);
    assert_eq!(committed.counted, 3);
    assert_eq!(
        committed.events,
        [
            told("managed", None),
            told("key", None),
            told("users-of-key", None)
        ]
    );
    assert_eq!(read(store, "organization").archived_at, None);
    assert_eq!(done(store, "a", &[of_key]).counted, 0);
}

pub(super) fn the_period_of_a_bucket_is_moved_and_forgotten(store: &dyn Engine) {
    two_tenants(store);
    one_of_each(store);
    let (id, other) = (bgt("users-of-key"), bgt("users-of-project"));
    let nobody = bgt("nobody");
    let put = |budget, bucket, second| Write::PutBucketBoundary {
        budget,
        bucket,
        period_started_at: at(second),
    };
    // Both planes ask, each by a trait of its own.
    let read = |budget: &BudgetId, bucket: &str| {
        let told = Policies::bucket_boundary(store, budget, bucket).expect("reads");
        let served = KeySource::bucket_boundary(store, budget, bucket).expect("reads");
        assert_eq!(told, served);
        told
    };
    assert_eq!(read(&id, "vk_k:eve"), None);
    done(
        store,
        "a",
        &[
            put(&id, "vk_k:eve", 5),
            put(&id, "vk_k:eve", 6),
            put(&other, "x", 7),
        ],
    );
    assert_eq!(read(&id, "vk_k:eve"), Some(at(6)));
    assert_eq!(read(&other, "vk_k:eve"), None);
    let all = |budget| store.bucket_boundaries(budget).expect("reads");
    assert_eq!(all(&id), [(String::from("vk_k:eve"), at(6))]);
    assert_eq!(all(&nobody), []);
    corrupt(tried(store, "a", put(&nobody, "x", 1)));
    done(store, "a", &[Write::DeleteBucketBoundaries { budget: &id }]);
    assert_eq!(read(&id, "vk_k:eve"), None);
    assert_eq!(read(&other, "x"), Some(at(7)));
}
