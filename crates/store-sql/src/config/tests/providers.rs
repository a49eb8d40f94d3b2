//! Model providers: what they keep, who sees them, in which order they are reached.

use super::*;

pub(super) fn a_provider_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        Scope::Project(proj("a-default")),
        whole("a"),
        Scope::Team(team("a-default")),
    ];
    let mut row = provider("a", "full", &scopes);
    row.routing_handle = Some(String::from("main"));
    row.sealed_extra_headers = Some(String::from("lw1.headers"));
    row.custom_models = Some(vec![String::from("m1"), String::from("m2")]);
    row.custom_embeddings_models = Some(vec![String::from("e1")]);
    row.deployment_mapping = Some(BTreeMap::from([(String::from("m1"), String::from("d1"))]));
    row.rate_limit = RateLimit {
        rpm: Some(1),
        tpm: Some(2),
        rpd: Some(3),
    };
    row.fallback_priority_global = Some(-4);
    row.provider_config = Some(String::from(r#"{"region":"eu"}"#));
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );

    let plain = provider("a", "plain", &[whole("a")]);
    let changed = ModelProvider {
        id: row.id.clone(),
        updated_at: at(20),
        ..plain
    };
    let written = store
        .update_model_provider(&changed, 1, &quiet("a"))
        .expect("writes");
    assert!(written.is_some());
    let found = store.model_provider(&org("a"), &row.id).expect("reads");
    assert_eq!(
        found,
        Some(ModelProvider {
            revision: 2,
            ..changed
        })
    );
}

pub(super) fn a_provider_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    store
        .update_model_provider(&row, 1, &loud("a", ChangeKind::ModelProviderUpdated))
        .expect("ok");
    let before = store.latest_change().expect("reads");
    let change = loud("a", ChangeKind::ModelProviderUpdated);
    let stale = store.update_model_provider(&row, 1, &change);
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert_eq!(
        store.latest_change().expect("reads"),
        before,
        "nothing was announced"
    );
    assert!(
        store
            .update_model_provider(&row, 2, &change)
            .expect("writes")
            .is_some()
    );
}

pub(super) fn a_handle_is_unique_in_its_organization_only(store: &dyn Engine) {
    two_tenants(store);
    let handled = |organization: &str, name: &str| ModelProvider {
        routing_handle: Some(String::from("main")),
        ..provider(organization, name, &[whole(organization)])
    };
    store
        .create_model_provider(&handled("a", "1"), &quiet("a"))
        .expect("creates");
    conflicts(
        store.create_model_provider(&handled("a", "2"), &quiet("a")),
        "routing_handle",
    );
    store
        .create_model_provider(&handled("b", "3"), &quiet("b"))
        .expect("creates");
    for name in ["4", "5"] {
        let row = provider("a", name, &[whole("a")]);
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("no handle is no conflict");
    }
    conflicts(
        store.update_model_provider(&handled("a", "5"), 1, &quiet("a")),
        "routing_handle",
    );
    conflicts(
        store.create_model_provider(&provider("a", "1", &[]), &quiet("a")),
        "id",
    );
}

pub(super) fn a_deleted_provider_is_gone_with_its_scopes(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    let change = loud("a", ChangeKind::ModelProviderUpdated);
    let foreign = store
        .delete_model_provider(&org("b"), &row.id, &quiet("b"))
        .expect("answers");
    assert_eq!(foreign, None);
    assert!(
        store
            .delete_model_provider(&org("a"), &row.id, &change)
            .expect("writes")
            .is_some()
    );
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        None
    );
    assert!(
        store
            .reachable_providers(&org("a"), &[whole("a")])
            .expect("reads")
            .is_empty()
    );
    let again = loud("a", ChangeKind::ModelProviderUpdated);
    assert_eq!(
        store
            .delete_model_provider(&org("a"), &row.id, &again)
            .expect("answers"),
        None
    );
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("its id is free again");
}

pub(super) fn providers_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.model_provider(&org("b"), &row.id).expect("reads"),
        None
    );
    let stolen = ModelProvider {
        organization_id: org("b"),
        scopes: vec![],
        ..row.clone()
    };
    assert_eq!(
        store
            .update_model_provider(&stolen, 1, &quiet("b"))
            .expect("answers"),
        None
    );
    let page = store.model_providers(&org("b"), &ModelProviderFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());
    for scope in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        let crossing = provider("a", "crossing", &[scope]);
        let refused = store.create_model_provider(&crossing, &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
        let moved = ModelProvider {
            id: row.id.clone(),
            ..crossing
        };
        let refused = store.update_model_provider(&moved, 1, &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        Some(row)
    );
}

pub(super) fn a_walk_over_providers_is_stable_under_writes(store: &dyn Engine) {
    two_tenants(store);
    // Two share each instant: the id decides.
    for number in 0..6_i64 {
        let mut row = provider("a", &format!("p{number}"), &[whole("a")]);
        row.created_at = at(10 + number / 2);
        if number == 5 {
            row.provider = String::from("anthropic");
        }
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("creates");
    }
    let list = |kind: Option<&str>, limit, after: Option<&Cursor>| {
        let filter = ModelProviderFilter {
            provider: kind.map(str::to_owned),
        };
        store
            .model_providers(&org("a"), &filter, limit, after)
            .expect("reads")
    };
    let first = list(None, 2, None);
    assert_eq!(names(&first.rows), ["p5", "p4"]);
    // The row that the cursor names goes, and a newer one comes.
    store
        .delete_model_provider(&org("a"), &mp("p4"), &quiet("a"))
        .expect("deletes");
    let newer = ModelProvider {
        created_at: at(99),
        ..provider("a", "new", &[whole("a")])
    };
    store
        .create_model_provider(&newer, &quiet("a"))
        .expect("creates");
    let second = list(None, 3, first.next.as_ref());
    assert_eq!(names(&second.rows), ["p3", "p2", "p1"]);
    let third = list(None, 2, second.next.as_ref());
    assert_eq!(names(&third.rows), ["p0"]);
    assert_eq!(third.next, None);
    assert_eq!(names(&list(Some("anthropic"), 9, None).rows), ["p5"]);
    assert_eq!(
        list(Some("nobody"), 9, None),
        Page {
            rows: vec![],
            next: None
        }
    );
    assert_eq!(
        list(None, 5, None).next.map(|cursor| cursor.id),
        Some(String::from("mp_p1"))
    );
}

pub(super) fn reachable_providers_come_in_dispatch_order(store: &dyn Engine) {
    two_tenants(store);
    store
        .create_team(&team_row("a", "shop", false), &quiet("a"))
        .expect("creates");
    let row = project_row("a", "shop", "cart", ProjectKind::Application);
    store.create_project(&row, &quiet("a")).expect("creates");
    let (shop, cart) = (Scope::Team(team("a-shop")), Scope::Project(proj("a-cart")));
    let default = Scope::Project(proj("a-default"));
    let rows: [(&str, &[Scope], Option<i64>, i64); 8] = [
        ("unset-old", &[whole("a")], None, 1),
        ("unset-b", &[whole("a")], None, 2),
        ("unset-a", &[whole("a")], None, 2),
        (
            "second",
            &[whole("a"), shop.clone(), cart.clone()],
            Some(2),
            9,
        ),
        ("first", std::slice::from_ref(&cart), Some(-1), 9),
        ("second-older", std::slice::from_ref(&shop), Some(2), 8),
        ("default", &[default], Some(0), 1),
        ("off", &[whole("a")], Some(0), 1),
    ];
    for (name, scopes, priority, created) in rows {
        let mut row = provider("a", name, scopes);
        (row.fallback_priority_global, row.created_at) = (priority, at(created));
        row.enabled = name != "off";
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("creates");
    }
    let safety = ModelProvider {
        provider: String::from("azure_safety"),
        ..provider("a", "safety", &[whole("a")])
    };
    store
        .create_model_provider(&safety, &quiet("a"))
        .expect("creates");
    let foreign = provider(
        "b",
        "foreign",
        &[whole("b"), Scope::Team(team("b-default"))],
    );
    store
        .create_model_provider(&foreign, &quiet("b"))
        .expect("creates");

    let reach = |scopes: &[Scope]| {
        let rows = store.reachable_providers(&org("a"), scopes).expect("reads");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    let organization = ["second", "unset-old", "unset-a", "unset-b"];
    assert_eq!(reach(&[whole("a")]), organization);
    assert_eq!(
        reach(&[]),
        organization,
        "its own organization is always reached"
    );
    for elsewhere in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        assert_eq!(reach(&[elsewhere]), organization, "another one never is");
    }
    assert_eq!(
        reach(std::slice::from_ref(&shop)),
        ["second-older", "second", "unset-old", "unset-a", "unset-b"]
    );
    assert_eq!(
        reach(&[cart.clone(), shop]),
        [
            "first",
            "second-older",
            "second",
            "unset-old",
            "unset-a",
            "unset-b"
        ]
    );
    let rows = store
        .reachable_providers(&org("a"), &[cart])
        .expect("reads");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[2].scopes.len(), 3, "scopes are complete");
}

// Virtual keys.
