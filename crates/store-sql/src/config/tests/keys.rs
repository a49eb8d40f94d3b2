//! Virtual keys: what they keep, who sees them, how they are found.

use super::*;

fn update(row: &VirtualKey, expected: i64) -> Write<'_> {
    Write::UpdateVirtualKey { row, expected }
}

/// A configuration that attaches these guardrails.
fn attaching(guardrails: &[&str]) -> String {
    let attachment = json!({ "direction": "pre", "guardrailIds": guardrails });
    json!({ "guardrailAttachments": [attachment.clone(), attachment] }).to_string()
}

fn read(store: &dyn Engine, name: &str) -> VirtualKey {
    let found = store.virtual_key(&org("a"), &vk(name)).expect("reads");
    found.expect("a key")
}

pub(super) fn a_key_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        team_scope("a-default"),
        whole("a"),
        project_scope("a-default"),
    ];
    let mut row = key("a", "full", &scopes);
    row.description = text("text");
    row.status = KeyStatus::Disabled;
    row.purpose = KeyPurpose::Langy;
    row.external_id = text("ext");
    row.metadata = BTreeMap::from([(String::from("k"), String::from("v"))]);
    row.principal_user_id = Some(user("admin"));
    row.routing_mode = RoutingMode::Policy;
    row.routing_policy_id = Some(rp("p"));
    row.expires_at = Some(at(50));
    row.config = attaching(&["guard_1", "guard_2"]);
    row.previous_hashed_secret = text("old");
    row.previous_secret_valid_until = Some(at(51));
    row.disabled_reason = text("why");
    row.disabled_at = Some(at(52));
    row.revoked_at = Some(at(53));
    row.revoked_by = text("user_x");
    row.last_used_at = Some(at(54));
    let policy = policy("a", "p", &[whole("a")]);
    done(
        store,
        "a",
        &[
            Write::InsertRoutingPolicy(&policy),
            Write::InsertVirtualKey(&row),
        ],
    );
    assert_eq!(read(store, "full"), row);

    let plain = VirtualKey {
        id: row.id.clone(),
        created_by: String::from("somebody"),
        created_at: at(77),
        ..key("a", "plain", &[whole("a")])
    };
    done(store, "a", &[update(&plain, 1)]);
    let expected = VirtualKey {
        revision: 2,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        ..plain
    };
    assert_eq!(read(store, "full"), expected);
}

pub(super) fn a_key_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = VirtualKey {
        revision: 9,
        ..key("a", "k", &[whole("a")])
    };
    done(store, "a", &[Write::InsertVirtualKey(&row)]);
    assert_eq!(read(store, "k").revision, 1);
    done(store, "a", &[update(&row, 1)]);
    stale(tried(store, "a", update(&row, 1)));
    let nobody = VirtualKey {
        id: vk("nobody"),
        ..row
    };
    missing(tried(store, "a", update(&nobody, 1)));
}

pub(super) fn external_ids_are_unique_in_their_organization_and_hashes_everywhere(
    store: &dyn Engine,
) {
    two_tenants(store);
    let named = |organization: &str, name: &str| VirtualKey {
        external_id: text("ext"),
        ..key(organization, name, &[whole(organization)])
    };
    done(store, "a", &[Write::InsertVirtualKey(&named("a", "1"))]);
    let second = named("a", "2");
    conflicts(
        tried(store, "a", Write::InsertVirtualKey(&second)),
        "external_id",
    );
    done(store, "b", &[Write::InsertVirtualKey(&named("b", "3"))]);
    let twin = VirtualKey {
        hashed_secret: String::from("hash-1"),
        ..key("b", "4", &[whole("b")])
    };
    conflicts(
        tried(store, "b", Write::InsertVirtualKey(&twin)),
        "hashed_secret",
    );
    let row = key("a", "5", &[whole("a")]);
    done(store, "a", &[Write::InsertVirtualKey(&row)]);
    conflicts(
        tried(store, "a", update(&named("a", "5"), 1)),
        "external_id",
    );
    conflicts(tried(store, "a", Write::InsertVirtualKey(&row)), "id");
}

pub(super) fn keys_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let theirs = policy("b", "theirs", &[whole("b")]);
    done(store, "b", &[Write::InsertRoutingPolicy(&theirs)]);
    let row = key("a", "k", &[whole("a")]);
    done(store, "a", &[Write::InsertVirtualKey(&row)]);
    assert_eq!(store.virtual_key(&org("b"), &row.id).expect("reads"), None);
    let stolen = VirtualKey {
        organization_id: org("b"),
        scopes: vec![whole("b")],
        trace_project_id: proj("b-default"),
        ..row.clone()
    };
    missing(tried(store, "b", update(&stolen, 1)));
    let page = store.virtual_keys(&org("b"), &VirtualKeyFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());

    let elsewhere = VirtualKey {
        trace_project_id: proj("b-default"),
        ..row.clone()
    };
    corrupt(tried(store, "a", update(&elsewhere, 1)));
    for policy in [theirs.id, rp("nobody")] {
        let routed = VirtualKey {
            routing_mode: RoutingMode::Policy,
            routing_policy_id: Some(policy),
            ..row.clone()
        };
        corrupt(tried(store, "a", update(&routed, 1)));
        let routed = VirtualKey {
            id: vk("new"),
            hashed_secret: String::from("new"),
            ..routed
        };
        corrupt(tried(store, "a", Write::InsertVirtualKey(&routed)));
    }
    let stranger = VirtualKey {
        principal_user_id: Some(joined(store, "b", "bob")),
        ..key("a", "stranger", &[whole("a")])
    };
    corrupt(tried(store, "a", Write::InsertVirtualKey(&stranger)));
    let given_away = VirtualKey {
        id: row.id.clone(),
        ..stranger
    };
    corrupt(tried(store, "a", update(&given_away, 1)));
    for scope in [
        whole("b"),
        team_scope("b-default"),
        project_scope("b-default"),
    ] {
        let crossing = key("a", "crossing", &[scope]);
        corrupt(tried(store, "a", Write::InsertVirtualKey(&crossing)));
    }
    assert_eq!(read(store, "k"), row);
}

pub(super) fn a_walk_over_keys_is_stable_under_writes_and_filters(store: &dyn Engine) {
    two_tenants(store);
    let policy = policy("a", "p", &[whole("a")]);
    done(store, "a", &[Write::InsertRoutingPolicy(&policy)]);
    for number in 0..5_i64 {
        let mut row = key("a", &format!("k{number}"), &[whole("a")]);
        row.created_at = at(10 + number / 2);
        row.external_id = Some(format!("ext{number}"));
        if number % 2 == 1 {
            row.status = KeyStatus::Revoked;
            row.principal_user_id = Some(user("admin"));
        } else {
            row.routing_mode = RoutingMode::Policy;
            row.routing_policy_id = Some(policy.id.clone());
            row.scopes = vec![team_scope("a-default"), project_scope("a-default")];
        }
        done(store, "a", &[Write::InsertVirtualKey(&row)]);
    }
    let list = |filter: &VirtualKeyFilter, limit, after: Option<&Cursor>| {
        let page = store.virtual_keys(&org("a"), filter, limit, after);
        let page = page.expect("reads");
        let names: Vec<_> = page.rows.into_iter().map(|row| row.name).collect();
        (names.join(" "), page.next)
    };
    let every = VirtualKeyFilter::default();
    let (first, next) = list(&every, 2, None);
    assert_eq!(first, "k4 k3");
    let changed = VirtualKey {
        principal_user_id: Some(user("admin")),
        status: KeyStatus::Revoked,
        external_id: text("ext3"),
        ..key("a", "k3", &[whole("a")])
    };
    let newer = VirtualKey {
        created_at: at(99),
        ..key("a", "new", &[whole("a")])
    };
    done(
        store,
        "a",
        &[update(&changed, 1), Write::InsertVirtualKey(&newer)],
    );
    let (second, next) = list(&every, 3, next.as_ref());
    assert_eq!(second, "k2 k1 k0");
    assert_eq!(list(&every, 3, next.as_ref()), (String::new(), None));

    let filter = |change: &dyn Fn(&mut VirtualKeyFilter)| {
        let mut filter = VirtualKeyFilter::default();
        change(&mut filter);
        list(&filter, 9, None).0
    };
    assert_eq!(filter(&|f| f.status = Some(KeyStatus::Revoked)), "k3 k1");
    assert_eq!(filter(&|f| f.external_id = text("ext2")), "k2");
    assert_eq!(filter(&|f| f.routing_policy_id = Some(rp("p"))), "k4 k2 k0");
    assert_eq!(
        filter(&|f| f.principal_user_id = Some(user("admin"))),
        "k3 k1"
    );
    let both = filter(&|f| {
        f.external_id = text("ext2");
        f.status = Some(KeyStatus::Revoked);
    });
    assert_eq!(both, "");
    let near = [project_scope("a-default"), team_scope("a-default")];
    assert_eq!(filter(&|f| f.scopes = Some(near.to_vec())), "k4 k2 k0");
    assert_eq!(filter(&|f| f.scopes = Some(vec![whole("a")])), "new k3 k1");
    assert_eq!(filter(&|f| f.scopes = Some(vec![whole("b")])), "");
    assert_eq!(filter(&|f| f.scopes = Some(vec![])), "");
    let both = filter(&|f| {
        f.scopes = Some(vec![whole("a"), near[0].clone()]);
        f.status = Some(KeyStatus::Active);
    });
    assert_eq!(both, "new k4 k2 k0");
    let anywhere = VirtualKeyFilter {
        scopes: Some(vec![whole("a"), near[0].clone(), near[1].clone()]),
        ..every
    };
    let (page, next) = list(&anywhere, 3, None);
    assert_eq!(page, "new k4 k3");
    assert_eq!(list(&anywhere, 9, next.as_ref()).0, "k2 k1 k0", "each once");
}

pub(super) fn a_key_is_touched_forwards_without_a_new_revision(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    done(store, "a", &[Write::InsertVirtualKey(&row)]);
    let before = store.latest_change().expect("reads");
    store.touch_virtual_keys(&[]).expect("nothing to do");
    for (touch, seen) in [(20, 20), (10, 20), (30, 30)] {
        store
            .touch_virtual_keys(&[(vk("nobody"), at(1)), (vk("k"), at(touch))])
            .expect("writes");
        let found = read(store, "k");
        assert_eq!((found.last_used_at, found.revision), (Some(at(seen)), 1));
    }
    assert_eq!(store.latest_change().expect("reads"), before);
}

pub(super) fn a_hash_of_an_old_pepper_is_replaced_where_it_stands(store: &dyn Engine) {
    two_tenants(store);
    let rotated = VirtualKey {
        previous_hashed_secret: text("before-1"),
        ..key("a", "1", &[whole("a")])
    };
    let other = key("a", "2", &[whole("a")]);
    done(
        store,
        "a",
        &[
            Write::InsertVirtualKey(&rotated),
            Write::InsertVirtualKey(&other),
        ],
    );
    let before = store.latest_change().expect("reads");
    for (old, new) in [("hash-1", "new-1"), ("before-1", "new-0"), ("nobody", "x")] {
        store.rehash_virtual_key(old, new).expect("writes");
    }
    let expected = VirtualKey {
        hashed_secret: String::from("new-1"),
        previous_hashed_secret: text("new-0"),
        ..rotated
    };
    assert_eq!(read(store, "1"), expected, "no new revision");
    assert_eq!(read(store, "2"), other);
    assert_eq!(store.latest_change().expect("reads"), before);
}

pub(super) fn a_presented_key_is_found_by_its_current_or_previous_hash(store: &dyn Engine) {
    two_tenants(store);
    let project = project_scope("a-default");
    let near = ModelProvider {
        fallback_priority_global: Some(1),
        ..provider("a", "near", std::slice::from_ref(&project))
    };
    let policy = policy("a", "p", &[whole("a")]);
    let mut row = key("a", "k", &[project]);
    row.routing_mode = RoutingMode::Policy;
    row.routing_policy_id = Some(policy.id.clone());
    row.previous_hashed_secret = text("old");
    // The grace is over; the caller is the one with a clock.
    row.previous_secret_valid_until = Some(at(0));
    let prices = [price("a", "any", None), price("a", "one", Some("openai"))];
    done(
        store,
        "a",
        &[
            Write::InsertModelProvider(&provider("a", "org", &[whole("a")])),
            Write::InsertModelProvider(&near),
            Write::InsertRoutingPolicy(&policy),
            Write::InsertModelPrice(&prices[1]),
            Write::InsertModelPrice(&prices[0]),
            Write::InsertVirtualKey(&row),
        ],
    );

    let find = |hashes: &[&str]| {
        let hashes: Vec<_> = hashes.iter().map(|hash| (*hash).to_owned()).collect();
        store.key_by_hash(&hashes).expect("reads")
    };
    let found = find(&["hash-k"]).expect("a key");
    assert_eq!(found.key, row);
    assert!(!found.previous_secret);
    assert_eq!(found.organization, organization_row("a"));
    assert_eq!(found.trace_project.id, proj("a-governance"));
    let names: Vec<_> = found.providers.iter().map(|row| &row.name).collect();
    assert_eq!(names, ["near", "org"]);
    assert_eq!(found.policy, Some(policy));
    assert_eq!(found.prices, prices);
    assert!(find(&["old"]).expect("a key").previous_secret);
    let found = find(&["under another pepper", "hash-k"]).expect("a key");
    assert!(!found.previous_secret);
    assert!(find(&["nobody"]).is_none());
    assert!(find(&[]).is_none());

    let other = VirtualKey {
        hashed_secret: String::from("old2"),
        ..key("b", "o", &[whole("b")])
    };
    done(store, "b", &[Write::InsertVirtualKey(&other)]);
    let first = find(&["old2", "hash-k"]).expect("a key");
    assert_eq!(first.key.id, other.id, "the first hash wins");
    assert!(first.providers.is_empty() && first.prices.is_empty());
    assert_eq!(first.policy, None);
}

pub(super) fn the_keys_of_a_person_are_revoked_with_the_budgets_that_end_with_them(
    store: &dyn Engine,
) {
    two_tenants(store);
    let a = org("a");
    let admin = user("admin");
    let personal = |name: &str| VirtualKey {
        principal_user_id: Some(user("admin")),
        previous_hashed_secret: Some(format!("old-{name}")),
        previous_secret_valid_until: Some(at(50)),
        ..key("a", name, &[whole("a")])
    };
    let disabled = VirtualKey {
        status: KeyStatus::Disabled,
        ..personal("2")
    };
    let revoked = VirtualKey {
        status: KeyStatus::Revoked,
        revoked_at: Some(at(1)),
        ..personal("3")
    };
    let own = Budget {
        managed_by_virtual_key_id: Some(vk("1")),
        ..budget("a", "own", BudgetTarget::VirtualKey(vk("1")))
    };
    let of_users = budget("a", "users", BudgetTarget::EndUsersOfKey(vk("2")));
    let of_person = budget("a", "person", BudgetTarget::Principal(admin.clone()));
    done(
        store,
        "a",
        &[
            Write::InsertVirtualKey(&personal("1")),
            Write::InsertVirtualKey(&disabled),
            Write::InsertVirtualKey(&revoked),
            Write::InsertVirtualKey(&key("a", "4", &[whole("a")])),
            Write::InsertBudget(&own),
            Write::InsertBudget(&of_users),
            Write::InsertBudget(&of_person),
        ],
    );
    let revoke = |organization| Write::RevokeKeysOf {
        organization,
        user: &admin,
        by: "user_boss",
        now: at(60),
    };
    let b = org("b");
    let elsewhere = done(store, "b", &[revoke(&b)]);
    assert_eq!((elsewhere.counted, elsewhere.events.len()), (0, 0));

    let committed = done(store, "a", &[revoke(&a)]);
    assert_eq!(committed.counted, 2);
    let seen: Vec<_> = committed
        .events
        .iter()
        .map(|event| {
            let about = event.virtual_key_id.as_ref().map(VirtualKeyId::as_str);
            let budget = event.budget_id.as_ref().map(BudgetId::as_str);
            (event.kind, about.or(budget).expect("about something"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            (ChangeKind::VkRevoked, "vk_1"),
            (ChangeKind::VkRevoked, "vk_2"),
            (ChangeKind::BudgetDeleted, "bgt_own"),
            (ChangeKind::BudgetDeleted, "bgt_users"),
        ]
    );
    let expected = VirtualKey {
        status: KeyStatus::Revoked,
        revoked_at: Some(at(60)),
        revoked_by: text("user_boss"),
        previous_hashed_secret: None,
        previous_secret_valid_until: None,
        revision: 2,
        updated_at: at(60),
        ..personal("1")
    };
    assert_eq!(read(store, "1"), expected);
    assert_eq!(read(store, "3"), revoked, "not revoked twice");
    assert_eq!(read(store, "4").status, KeyStatus::Active);
    let archived = |name: &str| store.budget(&a, &bgt(name)).expect("reads").expect("one");
    assert_eq!(archived("own").archived_at, Some(at(60)));
    assert_eq!(archived("own").revision, 2);
    assert_eq!(archived("person").archived_at, None);
    assert_eq!(done(store, "a", &[revoke(&a)]).counted, 0);

    // Its principal may leave; the key stays what it is.
    let leave = Write::RemoveMember {
        organization: &a,
        user: &admin,
    };
    done(store, "a", &[leave, update(&read(store, "1"), 2)]);
    assert_eq!(read(store, "1").principal_user_id, Some(admin));
}

pub(super) fn a_guardrail_bumps_the_keys_that_attach_it(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    for (organization, name, config) in [
        ("a", "1", attaching(&["guard_x", "guard_y"])),
        ("a", "2", attaching(&["guard_y"])),
        ("a", "3", String::from("{}")),
        ("b", "4", attaching(&["guard_x"])),
    ] {
        let row = VirtualKey {
            config,
            ..key(organization, name, &[whole(organization)])
        };
        done(store, organization, &[Write::InsertVirtualKey(&row)]);
    }
    let bump = |guardrail| {
        let write = Write::BumpKeysWithGuardrail {
            organization: &a,
            guardrail,
            now: at(60),
        };
        let committed = done(store, "a", &[write]);
        let keys: Vec<_> = committed
            .events
            .into_iter()
            .map(|event| {
                assert_eq!(event.kind, ChangeKind::VkConfigUpdated);
                assert_eq!(event.project_id, Some(proj("a-governance")));
                event.virtual_key_id.expect("a key").to_string()
            })
            .collect();
        assert_eq!(committed.counted, keys.len() as u64);
        keys.join(" ")
    };
    assert_eq!(bump("guard_x"), "vk_1");
    assert_eq!(bump("guard_y"), "vk_1 vk_2");
    assert_eq!(bump("guard_z"), "");
    let found = read(store, "1");
    assert_eq!((found.revision, found.updated_at), (3, at(60)));
    let theirs = store.virtual_key(&org("b"), &vk("4")).expect("reads");
    assert_eq!(theirs.expect("a key").revision, 1);

    // Detached: the link goes with the configuration.
    done(store, "a", &[update(&key("a", "1", &[whole("a")]), 3)]);
    assert_eq!(bump("guard_x"), "");
}
