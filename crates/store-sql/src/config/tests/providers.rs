//! Model providers: what they keep, who sees them, in which order they are reached.

use super::*;

fn names(rows: &[ModelProvider]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

fn update(row: &ModelProvider, expected: i64) -> Write<'_> {
    Write::UpdateModelProvider { row, expected }
}

pub(super) fn a_provider_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        project_scope("a-default"),
        whole("a"),
        team_scope("a-default"),
    ];
    let mut row = provider("a", "full", &scopes);
    row.routing_handle = text("main");
    row.enabled = false;
    row.sealed_extra_headers = text("lw1.headers");
    row.custom_models = Some(vec![String::from("m1").into(), String::from("m2").into()]);
    row.custom_embeddings_models = Some(vec![String::from("e1").into()]);
    row.deployment_mapping = Some(BTreeMap::from([(String::from("m1"), String::from("d1"))]));
    row.rate_limit = RateLimit {
        rpm: Some(1),
        tpm: Some(2),
        rpd: Some(3),
        concurrent: Some(4),
    };
    row.fallback_priority_global = Some(-4);
    row.provider_config = text(r#"{"region":"eu"}"#);
    row.disabled_at = Some(at(30));
    done(store, "a", &[Write::InsertModelProvider(&row)]);
    let found = || store.model_provider(&org("a"), &row.id).expect("reads");
    assert_eq!(found(), Some(row.clone()));

    let changed = ModelProvider {
        id: row.id.clone(),
        created_at: at(77),
        updated_at: at(20),
        ..provider("a", "plain", &[whole("a")])
    };
    done(store, "a", &[update(&changed, 1)]);
    let expected = ModelProvider {
        revision: 2,
        created_at: row.created_at,
        ..changed
    };
    assert_eq!(found(), Some(expected));
}

pub(super) fn a_provider_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = ModelProvider {
        revision: 9,
        ..provider("a", "p", &[whole("a")])
    };
    done(store, "a", &[Write::InsertModelProvider(&row)]);
    let change = || loud("a", ChangeKind::ModelProviderUpdated);
    store.commit(&[update(&row, 1)], &change()).expect("writes");
    let before = store.latest_change().expect("reads");
    stale(store.commit(&[update(&row, 1)], &change()));
    let after = store.latest_change().expect("reads");
    assert_eq!(after, before, "nothing was announced");
    store.commit(&[update(&row, 2)], &change()).expect("writes");
    let nobody = provider("a", "nobody", &[whole("a")]);
    missing(store.commit(&[update(&nobody, 1)], &change()));
}

pub(super) fn a_handle_is_unique_in_its_organization_only(store: &dyn Engine) {
    two_tenants(store);
    let handled = |organization: &str, name: &str| ModelProvider {
        routing_handle: text("main"),
        ..provider(organization, name, &[whole(organization)])
    };
    let field = "routing_handle";
    done(
        store,
        "a",
        &[Write::InsertModelProvider(&handled("a", "1"))],
    );
    let second = handled("a", "2");
    conflicts(
        tried(store, "a", Write::InsertModelProvider(&second)),
        field,
    );
    done(
        store,
        "b",
        &[Write::InsertModelProvider(&handled("b", "3"))],
    );
    for name in ["4", "5"] {
        let row = provider("a", name, &[whole("a")]);
        // No handle is no conflict.
        done(store, "a", &[Write::InsertModelProvider(&row)]);
    }
    conflicts(tried(store, "a", update(&handled("a", "5"), 1)), field);
    let twin = provider("a", "1", &[]);
    conflicts(tried(store, "a", Write::InsertModelProvider(&twin)), "id");
}

pub(super) fn a_deleted_provider_is_gone_with_its_scopes(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let row = provider("a", "p", &[whole("a")]);
    done(store, "a", &[Write::InsertModelProvider(&row)]);
    let delete = |organization, expected| Write::DeleteModelProvider {
        organization,
        id: &row.id,
        expected,
    };
    missing(tried(store, "b", delete(&b, None)));
    missing(tried(store, "b", delete(&b, Some(1))));
    stale(tried(store, "a", delete(&a, Some(2))));
    done(store, "a", &[delete(&a, Some(1))]);
    assert_eq!(store.model_provider(&a, &row.id).expect("reads"), None);
    assert!(
        store
            .reachable_providers(&a, &[])
            .expect("reads")
            .is_empty()
    );
    missing(tried(store, "a", delete(&a, None)));
    // Its id is free again, and so are its scopes.
    done(
        store,
        "a",
        &[Write::InsertModelProvider(&row), delete(&a, None)],
    );
}

pub(super) fn providers_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    done(store, "a", &[Write::InsertModelProvider(&row)]);
    let read = |organization| {
        store
            .model_provider(&org(organization), &row.id)
            .expect("reads")
    };
    assert_eq!(read("b"), None);
    let stolen = ModelProvider {
        organization_id: org("b"),
        scopes: vec![],
        ..row.clone()
    };
    missing(tried(store, "b", update(&stolen, 1)));
    let page = store.model_providers(&org("b"), &ModelProviderFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());
    for scope in [
        whole("b"),
        team_scope("b-default"),
        project_scope("b-default"),
    ] {
        let crossing = provider("a", "crossing", &[scope]);
        corrupt(tried(store, "a", Write::InsertModelProvider(&crossing)));
        let moved = ModelProvider {
            id: row.id.clone(),
            ..crossing
        };
        corrupt(tried(store, "a", update(&moved, 1)));
    }
    assert_eq!(read("a"), Some(row));
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
        if number < 2 {
            row.scopes = vec![team_scope("a-default"), project_scope("a-default")];
        }
        done(store, "a", &[Write::InsertModelProvider(&row)]);
    }
    let list = |filter: &ModelProviderFilter, limit, after: Option<&Cursor>| {
        let page = store.model_providers(&org("a"), filter, limit, after);
        page.expect("reads")
    };
    let every = ModelProviderFilter::default();
    let first = list(&every, 2, None);
    assert_eq!(names(&first.rows), ["p5", "p4"]);
    // The row that the cursor names goes, and a newer one comes.
    let newer = ModelProvider {
        created_at: at(99),
        ..provider("a", "new", &[whole("a")])
    };
    let gone = Write::DeleteModelProvider {
        organization: &org("a"),
        id: &mp("p4"),
        expected: None,
    };
    done(store, "a", &[gone, Write::InsertModelProvider(&newer)]);
    let second = list(&every, 3, first.next.as_ref());
    assert_eq!(names(&second.rows), ["p3", "p2", "p1"]);
    let third = list(&every, 2, second.next.as_ref());
    assert_eq!(names(&third.rows), ["p0"]);
    assert_eq!(third.next, None);
    let full = list(&every, 5, None);
    assert_eq!(full.next.expect("a cursor").id, "mp_p1");

    let of_kind = |kind: &str, scopes: Option<&[Scope]>| ModelProviderFilter {
        provider: text(kind),
        scopes: scopes.map(<[Scope]>::to_vec),
    };
    assert_eq!(
        names(&list(&of_kind("anthropic", None), 9, None).rows),
        ["p5"]
    );
    assert_eq!(list(&of_kind("nobody", None), 9, None).rows, []);
    let scoped = |scopes: &[Scope]| ModelProviderFilter {
        provider: None,
        scopes: Some(scopes.to_vec()),
    };
    let everywhere = [
        project_scope("a-default"),
        team_scope("a-default"),
        whole("a"),
    ];
    let page = list(&scoped(&everywhere), 3, None);
    assert_eq!(names(&page.rows), ["new", "p5", "p3"]);
    let page = list(&scoped(&everywhere), 9, page.next.as_ref());
    assert_eq!(names(&page.rows), ["p2", "p1", "p0"], "each once");
    assert_eq!(page.rows[2].scopes.len(), 2, "scopes are complete");
    let page = list(&scoped(&everywhere[..1]), 9, None);
    assert_eq!(names(&page.rows), ["p1", "p0"]);
    assert_eq!(list(&scoped(&[]), 9, None).rows, []);
    assert_eq!(list(&scoped(&[whole("b")]), 9, None).rows, []);
    let both = of_kind("anthropic", Some(&everywhere));
    assert_eq!(names(&list(&both, 9, None).rows), ["p5"]);
}

pub(super) fn reachable_providers_come_in_dispatch_order(store: &dyn Engine) {
    two_tenants(store);
    let cart = project_row("a", "shop", "cart", ProjectKind::Application);
    done(
        store,
        "a",
        &[
            Write::InsertTeam(&team_row("a", "shop", false)),
            Write::InsertProject(&cart),
        ],
    );
    let (shop, cart) = (team_scope("a-shop"), project_scope("a-cart"));
    let default = project_scope("a-default");
    let rows: [(&str, &[Scope], Option<i64>, i64); 9] = [
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
        ("withdrawn", &[whole("a")], Some(0), 1),
    ];
    for (name, scopes, priority, created) in rows {
        let mut row = provider("a", name, scopes);
        (row.fallback_priority_global, row.created_at) = (priority, at(created));
        row.enabled = name != "off";
        row.disabled_at = (name == "withdrawn").then_some(at(5));
        done(store, "a", &[Write::InsertModelProvider(&row)]);
    }
    let safety = ModelProvider {
        provider: String::from("azure_safety"),
        ..provider("a", "safety", &[whole("a")])
    };
    done(store, "a", &[Write::InsertModelProvider(&safety)]);
    let foreign = provider("b", "foreign", &[whole("b"), team_scope("b-default")]);
    done(store, "b", &[Write::InsertModelProvider(&foreign)]);

    let reach = |scopes: &[Scope]| {
        let rows = store.reachable_providers(&org("a"), scopes).expect("reads");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    let organization = ["second", "unset-old", "unset-a", "unset-b"];
    assert_eq!(reach(&[whole("a")]), organization);
    assert_eq!(reach(&[]), organization, "its own is always reached");
    for elsewhere in [
        whole("b"),
        team_scope("b-default"),
        project_scope("b-default"),
    ] {
        assert_eq!(reach(&[elsewhere]), organization, "another one never is");
    }
    assert_eq!(
        reach(std::slice::from_ref(&shop)),
        ["second-older", "second", "unset-old", "unset-a", "unset-b"]
    );
    let near = [
        "first",
        "second-older",
        "second",
        "unset-old",
        "unset-a",
        "unset-b",
    ];
    assert_eq!(reach(&[cart.clone(), shop]), near);
    let rows = store
        .reachable_providers(&org("a"), &[cart])
        .expect("reads");
    assert_eq!(names(&rows), near);
    assert_eq!(rows[2].scopes.len(), 3, "scopes are complete");
}
