//! Virtual keys: what they keep, who sees them, how they are found.

use super::*;

pub(super) fn a_key_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        Scope::Team(team("a-default")),
        whole("a"),
        Scope::Project(proj("a-default")),
    ];
    let mut row = key("a", "full", &scopes);
    row.description = Some(String::from("text"));
    row.status = KeyStatus::Disabled;
    row.external_id = Some(String::from("ext"));
    row.metadata = BTreeMap::from([(String::from("k"), String::from("v"))]);
    row.principal_user_id = Some(UserId::parse("user_admin").expect("an id"));
    row.expires_at = Some(at(50));
    row.config = String::from(r#"{"cache":{"mode":"force"}}"#);
    row.previous_hashed_secret = Some(String::from("old"));
    row.previous_secret_valid_until = Some(at(51));
    row.disabled_reason = Some(String::from("why"));
    row.disabled_at = Some(at(52));
    row.revoked_at = Some(at(53));
    row.last_used_at = Some(at(54));
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );

    let plain = VirtualKey {
        id: row.id.clone(),
        created_by: String::from("somebody"),
        created_at: at(77),
        ..key("a", "plain", &[whole("a")])
    };
    assert!(
        store
            .update_virtual_key(&plain, 1, &quiet("a"))
            .expect("writes")
            .is_some()
    );
    let expected = VirtualKey {
        revision: 2,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        ..plain
    };
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(expected)
    );
}

pub(super) fn a_key_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    store
        .update_virtual_key(&row, 1, &quiet("a"))
        .expect("writes");
    let stale = store.update_virtual_key(&row, 1, &quiet("a"));
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    let nobody = VirtualKey {
        id: vk("nobody"),
        ..row
    };
    assert_eq!(
        store
            .update_virtual_key(&nobody, 1, &quiet("a"))
            .expect("answers"),
        None
    );
}

pub(super) fn external_ids_are_unique_in_their_organization_and_hashes_everywhere(
    store: &dyn Engine,
) {
    two_tenants(store);
    let named = |organization: &str, name: &str| VirtualKey {
        external_id: Some(String::from("ext")),
        ..key(organization, name, &[whole(organization)])
    };
    store
        .create_virtual_key(&named("a", "1"), &quiet("a"))
        .expect("creates");
    conflicts(
        store.create_virtual_key(&named("a", "2"), &quiet("a")),
        "external_id",
    );
    store
        .create_virtual_key(&named("b", "3"), &quiet("b"))
        .expect("creates");
    let twin = VirtualKey {
        hashed_secret: String::from("hash-1"),
        ..key("b", "4", &[whole("b")])
    };
    conflicts(
        store.create_virtual_key(&twin, &quiet("b")),
        "hashed_secret",
    );
    let row = key("a", "5", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    conflicts(
        store.update_virtual_key(&named("a", "5"), 1, &quiet("a")),
        "external_id",
    );
    conflicts(store.create_virtual_key(&row, &quiet("a")), "id");
}

pub(super) fn keys_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(store.virtual_key(&org("b"), &row.id).expect("reads"), None);
    let stolen = VirtualKey {
        trace_project_id: proj("b-default"),
        ..VirtualKey {
            organization_id: org("b"),
            scopes: vec![whole("b")],
            ..row.clone()
        }
    };
    assert_eq!(
        store
            .update_virtual_key(&stolen, 1, &quiet("b"))
            .expect("answers"),
        None
    );
    let page = store.virtual_keys(&org("b"), &VirtualKeyFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());
    let elsewhere = VirtualKey {
        trace_project_id: proj("b-default"),
        ..row.clone()
    };
    let refused = store.update_virtual_key(&elsewhere, 1, &quiet("a"));
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    for scope in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        let refused = store.create_virtual_key(&key("a", "crossing", &[scope]), &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(row)
    );
}

pub(super) fn a_walk_over_keys_is_stable_under_writes_and_filters(store: &dyn Engine) {
    two_tenants(store);
    for number in 0..5_i64 {
        let mut row = key("a", &format!("k{number}"), &[whole("a")]);
        row.created_at = at(10 + number / 2);
        row.external_id = Some(format!("ext{number}"));
        if number % 2 == 1 {
            row.status = KeyStatus::Revoked;
        }
        store
            .create_virtual_key(&row, &quiet("a"))
            .expect("creates");
    }
    let list = |filter: &VirtualKeyFilter, limit, after: Option<&Cursor>| {
        let page = store
            .virtual_keys(&org("a"), filter, limit, after)
            .expect("reads");
        let names: Vec<_> = page.rows.into_iter().map(|row| row.name).collect();
        (names, page.next)
    };
    let every = VirtualKeyFilter::default();
    let (first, next) = list(&every, 2, None);
    assert_eq!(first, ["k4", "k3"]);
    let changed = VirtualKey {
        name: String::from("renamed"),
        ..key("a", "k3", &[whole("a")])
    };
    store
        .update_virtual_key(&changed, 1, &quiet("a"))
        .expect("writes");
    let newer = VirtualKey {
        created_at: at(99),
        ..key("a", "new", &[whole("a")])
    };
    store
        .create_virtual_key(&newer, &quiet("a"))
        .expect("creates");
    let (second, next) = list(&every, 3, next.as_ref());
    assert_eq!(second, ["k2", "k1", "k0"]);
    let (third, next) = list(&every, 3, next.as_ref());
    assert!(third.is_empty() && next.is_none());

    let revoked = VirtualKeyFilter {
        status: Some(KeyStatus::Revoked),
        ..every.clone()
    };
    assert_eq!(list(&revoked, 9, None).0, ["k1"]);
    let named = VirtualKeyFilter {
        external_id: Some(String::from("ext2")),
        ..every
    };
    assert_eq!(list(&named, 9, None).0, ["k2"]);
    let both = VirtualKeyFilter {
        status: Some(KeyStatus::Revoked),
        ..named
    };
    assert!(list(&both, 9, None).0.is_empty());
}

pub(super) fn a_key_is_touched_forwards_without_a_new_revision(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    let before = store.latest_change().expect("reads");
    store.touch_virtual_keys(&[]).expect("nothing to do");
    for (touch, seen) in [(20, 20), (10, 20), (30, 30)] {
        store
            .touch_virtual_keys(&[(vk("nobody"), at(1)), (vk("k"), at(touch))])
            .expect("writes");
        let found = store
            .virtual_key(&org("a"), &row.id)
            .expect("reads")
            .expect("a key");
        assert_eq!((found.last_used_at, found.revision), (Some(at(seen)), 1));
    }
    assert_eq!(store.latest_change().expect("reads"), before);
}

pub(super) fn a_presented_key_is_found_by_its_current_or_previous_hash(store: &dyn Engine) {
    two_tenants(store);
    let project = Scope::Project(proj("a-default"));
    store
        .create_model_provider(&provider("a", "org", &[whole("a")]), &quiet("a"))
        .expect("ok");
    let near = ModelProvider {
        fallback_priority_global: Some(1),
        ..provider("a", "near", std::slice::from_ref(&project))
    };
    store
        .create_model_provider(&near, &quiet("a"))
        .expect("creates");
    let mut row = key("a", "k", &[project]);
    row.previous_hashed_secret = Some(String::from("old"));
    // The grace is over; the caller is the one with a clock.
    row.previous_secret_valid_until = Some(at(0));
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");

    let find = |hashes: &[&str]| {
        let hashes: Vec<_> = hashes.iter().map(|hash| (*hash).to_owned()).collect();
        store.key_by_hash(&hashes).expect("reads")
    };
    let found = find(&["hash-k"]).expect("a key");
    assert_eq!(found.key, row);
    assert!(!found.previous_secret);
    assert_eq!(found.trace_project.id, proj("a-governance"));
    assert_eq!(names(&found.providers), ["near", "org"]);
    assert!(find(&["old"]).expect("a key").previous_secret);
    assert!(
        !find(&["under another pepper", "hash-k"])
            .expect("a key")
            .previous_secret
    );
    assert!(find(&["nobody"]).is_none());
    assert!(find(&[]).is_none());

    let other = VirtualKey {
        hashed_secret: String::from("old2"),
        ..key("b", "o", &[whole("b")])
    };
    store
        .create_virtual_key(&other, &quiet("b"))
        .expect("creates");
    let first = find(&["old2", "hash-k"]).expect("a key");
    assert_eq!(first.key.id, other.id, "the first hash wins");
    assert!(first.providers.is_empty());
}

// The record of changes.
