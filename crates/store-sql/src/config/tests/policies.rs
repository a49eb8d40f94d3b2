//! Routing policies, cache rules, guardrails, own prices.

use super::*;

fn update(row: &RoutingPolicy, expected: i64) -> Write<'_> {
    Write::UpdateRoutingPolicy { row, expected }
}

fn read(store: &dyn Engine, name: &str) -> Option<RoutingPolicy> {
    store.routing_policy(&org("a"), &rp(name)).expect("reads")
}

pub(super) fn a_policy_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        team_scope("a-default"),
        whole("a"),
        project_scope("a-default"),
    ];
    let mut row = policy("a", "full", &scopes);
    row.description = text("text");
    row.strategy = Strategy::Priority;
    row.model_provider_ids = vec![mp("2"), mp("gone")];
    row.model_aliases = BTreeMap::from([(String::from("fast"), String::from("openai/m"))]);
    row.default_model = text("openai/m");
    row.policy_rules = json!({ "models": { "deny": ["x"], "allow": null } });
    row.fallback = Some(json!({ "maxAttempts": 2 }));
    row.is_default = true;
    done(store, "a", &[Write::InsertRoutingPolicy(&row)]);
    assert_eq!(read(store, "full"), Some(row.clone()));

    let changed = RoutingPolicy {
        id: row.id.clone(),
        created_at: at(77),
        updated_at: at(20),
        revision: 9,
        ..policy("a", "plain", &[whole("a")])
    };
    done(store, "a", &[update(&changed, 1)]);
    let expected = RoutingPolicy {
        revision: 2,
        created_at: row.created_at,
        ..changed.clone()
    };
    assert_eq!(read(store, "full"), Some(expected.clone()));
    stale(tried(store, "a", update(&changed, 1)));

    let stolen = RoutingPolicy {
        organization_id: org("b"),
        scopes: vec![whole("b")],
        ..changed
    };
    missing(tried(store, "b", update(&stolen, 2)));
    let foreign = store.routing_policy(&org("b"), &row.id).expect("reads");
    assert_eq!(foreign, None);
    for scope in [whole("b"), team_scope("b-default"), project_scope("nobody")] {
        let crossing = policy("a", "crossing", &[scope]);
        corrupt(tried(store, "a", Write::InsertRoutingPolicy(&crossing)));
    }
    assert_eq!(read(store, "full"), Some(expected));
}

pub(super) fn policies_are_listed_with_the_defaults_first(store: &dyn Engine) {
    two_tenants(store);
    let named = |organization, id: &str, name: &str, is_default| RoutingPolicy {
        name: name.to_owned(),
        is_default,
        ..policy(organization, id, &[whole(organization)])
    };
    for row in [
        named("a", "1", "beta", false),
        named("a", "3", "alpha", false),
        named("a", "2", "alpha", false),
        named("a", "4", "omega", true),
        named("b", "5", "alpha", true),
    ] {
        let organization = if row.organization_id == org("a") {
            "a"
        } else {
            "b"
        };
        done(store, organization, &[Write::InsertRoutingPolicy(&row)]);
    }
    let rows = store.routing_policies(&org("a")).expect("reads");
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["rp_4", "rp_2", "rp_3", "rp_1"]);
}

pub(super) fn a_new_default_takes_the_flag_from_those_that_share_a_scope(store: &dyn Engine) {
    two_tenants(store);
    let (here, there) = (team_scope("a-default"), project_scope("a-default"));
    let default = |name: &str, scopes: &[Scope]| RoutingPolicy {
        is_default: true,
        ..policy("a", name, scopes)
    };
    let foreign = RoutingPolicy {
        is_default: true,
        ..policy("b", "foreign", &[whole("b")])
    };
    done(
        store,
        "a",
        &[
            Write::InsertRoutingPolicy(&default("new", &[whole("a"), here.clone()])),
            Write::InsertRoutingPolicy(&default("both", &[here.clone(), whole("a")])),
            Write::InsertRoutingPolicy(&default("other", &[there])),
            Write::InsertRoutingPolicy(&policy("a", "plain", &[whole("a")])),
        ],
    );
    done(store, "b", &[Write::InsertRoutingPolicy(&foreign)]);
    let clear = Write::ClearDefaultPolicies {
        organization: &org("a"),
        scopes: &[whole("a"), here, whole("b")],
        except: &rp("new"),
        now: at(60),
    };
    assert_eq!(done(store, "a", &[clear]).counted, 0);
    let state = |name: &str| {
        let row = read(store, name).expect("a policy");
        (row.is_default, row.revision, row.updated_at)
    };
    assert_eq!(state("new"), (true, 1, at(10)));
    assert_eq!(state("both"), (false, 2, at(60)), "counted once");
    assert_eq!(state("other"), (true, 1, at(10)));
    assert_eq!(state("plain"), (false, 1, at(10)));
    let theirs = store.routing_policy(&org("b"), &foreign.id).expect("reads");
    assert_eq!(theirs, Some(foreign));
    // Whoever read it before sees that it changed.
    let before = default("both", &[whole("a")]);
    stale(tried(store, "a", update(&before, 1)));
}

pub(super) fn the_keys_of_a_policy_are_bumped_and_moved(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let routed = |organization: &str, name: &str, policy: &str| VirtualKey {
        routing_mode: RoutingMode::Policy,
        routing_policy_id: Some(rp(policy)),
        ..key(organization, name, &[whole(organization)])
    };
    for (organization, name) in [("a", "old"), ("a", "new"), ("b", "theirs")] {
        let row = policy(organization, name, &[whole(organization)]);
        done(store, organization, &[Write::InsertRoutingPolicy(&row)]);
    }
    for (organization, name, policy) in [
        ("a", "1", "old"),
        ("a", "2", "old"),
        ("a", "3", "new"),
        ("b", "4", "theirs"),
    ] {
        let row = routed(organization, name, policy);
        done(store, organization, &[Write::InsertVirtualKey(&row)]);
    }
    let (old, new) = (rp("old"), rp("new"));
    let bump = |organization| Write::BumpKeysWithPolicy {
        organization,
        policy: &old,
        now: at(50),
    };
    assert_eq!(done(store, "b", &[bump(&b)]).counted, 0);
    let committed = done(store, "a", &[bump(&a)]);
    assert_eq!((committed.counted, committed.events.len()), (2, 0));

    let delete = |organization, id, replacement| Write::DeleteRoutingPolicy {
        organization,
        id,
        replacement,
        now: at(60),
    };
    missing(tried(store, "b", delete(&b, &old, None)));
    let theirs = rp("theirs");
    corrupt(tried(store, "a", delete(&a, &old, Some(&theirs))));
    corrupt(tried(store, "a", delete(&a, &old, Some(&old))));
    assert_eq!(done(store, "a", &[delete(&a, &old, Some(&new))]).counted, 2);
    let state = |name: &str| {
        let row = store
            .virtual_key(&a, &vk(name))
            .expect("reads")
            .expect("one");
        (
            row.routing_mode,
            row.routing_policy_id,
            row.revision,
            row.updated_at,
        )
    };
    let moved = (RoutingMode::Policy, Some(new.clone()), 3, at(60));
    assert_eq!((state("1"), state("2")), (moved.clone(), moved));
    assert_eq!(read(store, "old"), None);

    assert_eq!(done(store, "a", &[delete(&a, &new, None)]).counted, 3);
    assert_eq!(state("1"), (RoutingMode::FallbackAll, None, 4, at(60)));
    assert_eq!(state("3"), (RoutingMode::FallbackAll, None, 2, at(60)));
    missing(tried(store, "a", delete(&a, &new, None)));
    let other = store
        .virtual_key(&b, &vk("4"))
        .expect("reads")
        .expect("one");
    assert_eq!((other.routing_policy_id, other.revision), (Some(theirs), 1));
}

pub(super) fn cache_rules_come_in_the_order_in_which_they_are_asked(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let full = CacheRule {
        description: text("text"),
        enabled: false,
        matchers: json!({ "vk_tags": ["x"], "time_window": { "days": [1] } }),
        action: json!({ "mode": "force", "ttl": 5 }),
        ..cache_rule("a", "full", 5)
    };
    let rows = [
        cache_rule("a", "low", 1),
        CacheRule {
            created_at: at(9),
            ..cache_rule("a", "z-older", 5)
        },
        full.clone(),
        CacheRule {
            archived_at: Some(at(11)),
            ..cache_rule("a", "gone", 9)
        },
    ];
    for row in &rows {
        done(store, "a", &[Write::InsertCacheRule(row)]);
    }
    let names = |organization| -> Vec<_> {
        let rows = store.cache_rules(organization).expect("reads");
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(&a), ["z-older", "full", "low"]);
    assert!(names(&b).is_empty());
    let read = |name: &str| store.cache_rule(&a, &rule_id(name)).expect("reads");
    assert_eq!(read("full"), Some(full.clone()));
    assert_eq!(read("gone").as_ref(), Some(&rows[3]), "archived or not");
    assert_eq!(store.cache_rule(&b, &full.id).expect("reads"), None);

    let changed = CacheRule {
        priority: 0,
        archived_at: None,
        created_at: at(77),
        updated_at: at(20),
        ..full
    };
    fn update(row: &CacheRule, expected: i64) -> Write<'_> {
        Write::UpdateCacheRule { row, expected }
    }
    done(store, "a", &[update(&changed, 1)]);
    let expected = CacheRule {
        revision: 2,
        created_at: at(10),
        ..changed.clone()
    };
    assert_eq!(read("full"), Some(expected));
    assert_eq!(names(&a), ["z-older", "low", "full"]);
    stale(tried(store, "a", update(&changed, 1)));
    let stolen = CacheRule {
        organization_id: b,
        ..changed
    };
    missing(tried(store, "b", update(&stolen, 2)));
}

pub(super) fn guardrails_are_listed_by_organization_and_project(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let full = Guardrail {
        description: text("text"),
        sealed_settings: text("lw1.settings"),
        direction: GuardrailDirection::StreamChunk,
        failure_mode: FailureMode::FailOpen,
        ..guardrail("a", "a-default", "full")
    };
    let rows = [
        full.clone(),
        Guardrail {
            created_at: at(11),
            ..guardrail("a", "a-governance", "newer")
        },
        Guardrail {
            archived_at: Some(at(20)),
            ..guardrail("a", "a-default", "gone")
        },
    ];
    for row in &rows {
        done(store, "a", &[Write::InsertGuardrail(row)]);
    }
    let names = |organization, project: Option<&str>| -> Vec<_> {
        let project = project.map(proj);
        let rows = store
            .guardrails(organization, project.as_ref())
            .expect("reads");
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(&a, None), ["newer", "full"]);
    assert_eq!(names(&a, Some("a-default")), ["full"]);
    assert!(names(&b, None).is_empty() && names(&b, Some("a-default")).is_empty());
    let read = |name: &str| store.guardrail(&a, &guard(name)).expect("reads");
    assert_eq!(read("full"), Some(full.clone()));
    assert_eq!(read("gone").as_ref(), Some(&rows[2]), "archived or not");
    assert_eq!(store.guardrail(&b, &full.id).expect("reads"), None);
    let elsewhere = guardrail("a", "b-default", "elsewhere");
    corrupt(tried(store, "a", Write::InsertGuardrail(&elsewhere)));

    fn update(row: &Guardrail, expected: i64) -> Write<'_> {
        Write::UpdateGuardrail { row, expected }
    }
    let changed = Guardrail {
        archived_at: Some(at(30)),
        created_at: at(77),
        ..full
    };
    done(store, "a", &[update(&changed, 1)]);
    let expected = Guardrail {
        revision: 2,
        created_at: at(10),
        ..changed.clone()
    };
    assert_eq!(read("full"), Some(expected));
    assert_eq!(names(&a, None), ["newer"]);
    stale(tried(store, "a", update(&changed, 1)));
    let stolen = Guardrail {
        organization_id: b,
        project_id: proj("b-default"),
        ..changed
    };
    missing(tried(store, "b", update(&stolen, 2)));
}

pub(super) fn a_price_is_unique_for_its_kind_and_model(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let any = price("a", "any", None);
    let one = price("a", "one", Some("openai"));
    let other = ModelPrice {
        model: String::from("earlier"),
        ..price("a", "other", None)
    };
    for row in [&one, &any, &other] {
        done(store, "a", &[Write::InsertModelPrice(row)]);
    }
    done(
        store,
        "b",
        &[Write::InsertModelPrice(&price("b", "theirs", None))],
    );
    for twin in [price("a", "t1", None), price("a", "t2", Some("openai"))] {
        conflicts(tried(store, "a", Write::InsertModelPrice(&twin)), "model");
    }
    let rows = store.model_prices(&a).expect("reads");
    assert_eq!(rows, [other.clone(), any.clone(), one.clone()]);
    fn update(row: &ModelPrice, expected: i64) -> Write<'_> {
        Write::UpdateModelPrice { row, expected }
    }
    let moved = ModelPrice {
        model: String::from("model"),
        ..other
    };
    conflicts(tried(store, "a", update(&moved, 1)), "model");
    let changed = ModelPrice {
        rates: BTreeMap::new(),
        created_at: at(77),
        ..one
    };
    done(store, "a", &[update(&changed, 1)]);
    let expected = ModelPrice {
        revision: 2,
        created_at: at(10),
        ..changed.clone()
    };
    assert_eq!(
        store.model_price(&a, &changed.id).expect("reads"),
        Some(expected)
    );
    stale(tried(store, "a", update(&changed, 1)));
    assert_eq!(store.model_price(&b, &changed.id).expect("reads"), None);
    let stolen = ModelPrice {
        organization_id: b.clone(),
        model: String::from("x"),
        ..changed
    };
    missing(tried(store, "b", update(&stolen, 2)));

    let delete = |organization| Write::DeleteModelPrice {
        organization,
        id: &any.id,
    };
    missing(tried(store, "b", delete(&b)));
    done(store, "a", &[delete(&a)]);
    missing(tried(store, "a", delete(&a)));
}
