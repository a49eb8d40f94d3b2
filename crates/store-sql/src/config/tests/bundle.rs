//! What a key is found with: the facts that govern its calls.

use lw_store::bundle::{KeyRecord, PrincipalFacts};

use super::*;

fn found(store: &dyn Engine, name: &str) -> KeyRecord {
    let found = store.key_by_hash(&[format!("hash-{name}")]).expect("reads");
    found.expect("a key")
}

fn archived(row: Budget) -> Budget {
    Budget {
        archived_at: Some(at(20)),
        ..row
    }
}

/// Organization `a` with a shared team `shop`, an ended team `closed` and ada's own team `home`, all hers;
/// she is in the group `g`, too. The team `other` and the group `h` are not hers. In `b` she is a member of
/// the default team and in a group.
fn adas_places(store: &dyn Engine) {
    two_tenants(store);
    let (a, b) = (org("a"), org("b"));
    let ada = joined(store, "a", "ada");
    let closed = Team {
        archived_at: Some(at(20)),
        ..team_row("a", "closed", false)
    };
    let home = Team {
        personal_owner: Some(ada.clone()),
        ..team_row("a", "home", false)
    };
    let place = |name| place(name, "ada", BoundRole::Member);
    done(
        store,
        "a",
        &[
            Write::InsertTeam(&team_row("a", "shop", false)),
            Write::InsertTeam(&team_row("a", "other", false)),
            Write::InsertTeam(&closed),
            Write::InsertTeam(&home),
            Write::InsertProject(&project_row("a", "shop", "cart", ProjectKind::Application)),
            Write::InsertProject(&project_row("a", "home", "desk", ProjectKind::Personal)),
            Write::InsertGroup(&group("a", "g")),
            Write::InsertGroup(&group("a", "h")),
            Write::InsertGroup(&group("b", "b")),
            Write::PutMember {
                organization: &b,
                user: &ada,
                role: MemberRole::Member,
                disabled_at: None,
                now: at(5),
            },
        ],
    );
    for name in ["a-shop", "a-closed", "a-home"] {
        let row = &place(name);
        let organization = &a;
        done(store, "a", &[Write::PutTeamMember { organization, row }]);
    }
    let row = &place("b-default");
    let organization = &b;
    done(store, "b", &[Write::PutTeamMember { organization, row }]);
    for (organization, group) in [(&a, grp("g")), (&b, grp("b"))] {
        done(
            store,
            "a",
            &[Write::AddGroupMember {
                organization,
                group: &group,
                user: &ada,
            }],
        );
    }
}

pub(super) fn a_key_is_found_with_the_person_it_belongs_to(store: &dyn Engine) {
    adas_places(store);
    let scopes = [
        whole("a"),
        team_scope("a-other"),
        team_scope("a-home"),
        project_scope("a-desk"),
    ];
    let hers = VirtualKey {
        principal_user_id: Some(user("ada")),
        ..key("a", "hers", &scopes)
    };
    for row in [&hers, &key("a", "nobodys", &scopes)] {
        done(store, "a", &[Write::InsertVirtualKey(row)]);
    }
    let record = found(store, "hers");
    let facts = PrincipalFacts {
        user: user("ada"),
        teams: vec![team("a-shop")],
        groups: vec![grp("g")],
    };
    assert_eq!(record.principal, Some(facts));
    assert_eq!(record.personal_teams, [team("a-home")]);
    let record = found(store, "nobodys");
    assert_eq!(record.principal, None);
    assert_eq!(record.personal_teams, [team("a-home")]);
}

pub(super) fn a_key_is_found_with_the_live_budgets_that_could_apply_to_it(store: &dyn Engine) {
    adas_places(store);
    let hers = VirtualKey {
        principal_user_id: Some(user("ada")),
        trace_project_id: proj("a-desk"),
        ..key(
            "a",
            "hers",
            &[team_scope("a-other"), project_scope("a-cart")],
        )
    };
    let near = [
        ("of-team-of-project", BudgetTarget::Team(team("a-home"))),
        ("of-team-of-person", BudgetTarget::Team(team("a-shop"))),
        ("of-team-of-scope", BudgetTarget::Team(team("a-other"))),
        ("of-users", BudgetTarget::EndUsersOfKey(vk("hers"))),
        (
            "of-visitors",
            BudgetTarget::EndUsersOfProject(proj("a-desk")),
        ),
        ("of-person", BudgetTarget::Principal(user("ada"))),
        ("of-project", BudgetTarget::Project(proj("a-desk"))),
        ("of-key", BudgetTarget::VirtualKey(vk("hers"))),
        ("of-group", BudgetTarget::Group(grp("g"))),
        ("of-everybody", BudgetTarget::Organization(org("a"))),
    ];
    let far = [
        ("far-team", BudgetTarget::Team(team("a-closed"))),
        ("far-default", BudgetTarget::Team(team("a-default"))),
        ("far-scope", BudgetTarget::Project(proj("a-cart"))),
        ("far-key", BudgetTarget::VirtualKey(vk("other"))),
        ("far-users", BudgetTarget::EndUsersOfKey(vk("other"))),
        ("far-group", BudgetTarget::Group(grp("h"))),
        ("far-person", BudgetTarget::Principal(user("admin"))),
    ];
    for row in [&hers, &key("a", "other", &[whole("a")])] {
        done(store, "a", &[Write::InsertVirtualKey(row)]);
    }
    for (name, target) in near.iter().chain(&far) {
        let row = budget("a", name, target.clone());
        done(store, "a", &[Write::InsertBudget(&row)]);
    }
    let over = archived(budget("a", "over", BudgetTarget::VirtualKey(vk("hers"))));
    let elsewhere = [
        budget("b", "b-all", BudgetTarget::Organization(org("b"))),
        budget("b", "b-team", BudgetTarget::Team(team("b-default"))),
        budget("b", "b-group", BudgetTarget::Group(grp("b"))),
        budget("b", "b-person", BudgetTarget::Principal(user("ada"))),
    ];
    for row in elsewhere.iter().chain([&over]) {
        done(store, "a", &[Write::InsertBudget(row)]);
    }
    let record = found(store, "hers");
    let names: Vec<_> = record.budgets.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "of-users",
            "of-visitors",
            "of-group",
            "of-everybody",
            "of-person",
            "of-project",
            "of-team-of-person",
            "of-team-of-project",
            "of-team-of-scope",
            "of-key",
        ],
        "by scope type, then id"
    );
}

pub(super) fn a_key_is_found_with_the_cache_rules_that_are_asked(store: &dyn Engine) {
    two_tenants(store);
    let off = CacheRule {
        enabled: false,
        ..cache_rule("a", "off", 900)
    };
    let over = CacheRule {
        archived_at: Some(at(20)),
        ..cache_rule("a", "over", 800)
    };
    let older = CacheRule {
        created_at: at(9),
        ..cache_rule("a", "older", 5)
    };
    for row in [
        off,
        over,
        cache_rule("a", "newer", 5),
        older,
        cache_rule("a", "first", 700),
        cache_rule("b", "elsewhere", 999),
    ] {
        done(store, "a", &[Write::InsertCacheRule(&row)]);
    }
    done(
        store,
        "a",
        &[Write::InsertVirtualKey(&key("a", "k", &[whole("a")]))],
    );
    let record = found(store, "k");
    let names: Vec<_> = record.cache_rules.iter().map(|row| &row.name).collect();
    assert_eq!(names, ["first", "older", "newer"]);
}

pub(super) fn a_key_is_found_with_the_attached_guardrails_of_its_project(store: &dyn Engine) {
    two_tenants(store);
    let over = Guardrail {
        archived_at: Some(at(20)),
        ..guardrail("a", "a-default", "over")
    };
    for row in [
        guardrail("a", "a-default", "2"),
        guardrail("a", "a-default", "1"),
        guardrail("a", "a-default", "loose"),
        guardrail("a", "a-governance", "filed"),
        guardrail("b", "b-default", "elsewhere"),
        over,
    ] {
        done(store, "a", &[Write::InsertGuardrail(&row)]);
    }
    let all =
        ["over", "elsewhere", "filed", "2", "1", "nobody"].map(|name| format!("guard_{name}"));
    let config =
        json!({ "guardrailAttachments": [{ "guardrailIds": all }, { "guardrailIds": all }] });
    for (name, scope, expected) in [
        ("inside", project_scope("a-default"), &["1", "2"][..]),
        // Filed into the governance project.
        ("wide", whole("a"), &["filed"]),
    ] {
        let row = VirtualKey {
            config: config.to_string(),
            ..key("a", name, &[scope])
        };
        done(store, "a", &[Write::InsertVirtualKey(&row)]);
        let record = found(store, name);
        let names: Vec<_> = record.guardrails.iter().map(|row| &row.name).collect();
        assert_eq!(names, expected, "{name}");
    }
}

pub(super) fn joining_and_leaving_tells_of_the_live_budgets_in_the_same_transaction(
    store: &dyn Engine,
) {
    adas_places(store);
    let (a, ada, shop, g) = (org("a"), user("ada"), team("a-shop"), grp("g"));
    for row in [
        budget("a", "shop-2", BudgetTarget::Team(shop.clone())),
        budget("a", "shop-1", BudgetTarget::Team(shop.clone())),
        budget("a", "group", BudgetTarget::Group(g.clone())),
        archived(budget("a", "over", BudgetTarget::Group(g.clone()))),
        budget("a", "other", BudgetTarget::Team(team("a-other"))),
        budget("a", "person", BudgetTarget::Principal(ada.clone())),
    ] {
        done(store, "a", &[Write::InsertBudget(&row)]);
    }
    let told = |write| {
        let committed = done(store, "a", &[write]);
        let events = committed.events.into_iter().map(|event| {
            let expected = ChangeEvent {
                budget_id: event.budget_id.clone(),
                ..ChangeEvent::of(ChangeKind::BudgetUpdated, org("a"))
            };
            assert_eq!(event, expected);
            event.budget_id.map(|id| id.to_string()).unwrap_or_default()
        });
        events.collect::<Vec<_>>()
    };
    let of_shop = ["bgt_shop-1", "bgt_shop-2"];
    let organization = &a;
    let nobody: [&str; 0] = [];
    let put = |role| place("a-shop", "ada", role);
    let leave = Write::RemoveTeamMember {
        organization,
        team: &shop,
        user: &ada,
    };
    let (member, head) = (put(BoundRole::Member), put(BoundRole::Admin));
    let stay = Write::PutTeamMember {
        organization,
        row: &head,
    };
    let join = Write::PutTeamMember {
        organization,
        row: &member,
    };
    assert_eq!(told(stay), nobody, "another role is no other membership");
    assert_eq!(told(leave), of_shop);
    assert_eq!(told(join), of_shop);
    let join = Write::AddGroupMember {
        organization,
        group: &g,
        user: &ada,
    };
    let leave = Write::RemoveGroupMember {
        organization,
        group: &g,
        user: &ada,
    };
    assert_eq!(told(join), nobody, "once more is nothing");
    assert_eq!(told(leave), ["bgt_group"]);
    missing(tried(store, "a", leave));
    assert_eq!(told(join), ["bgt_group"]);
    let user = &ada;
    let left = told(Write::RemoveMember { organization, user });
    assert_eq!(left, ["bgt_shop-1", "bgt_shop-2", "bgt_group"]);
}
