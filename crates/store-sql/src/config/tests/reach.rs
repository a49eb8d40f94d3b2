//! Whom a budget would meet.

use super::*;

/// Organization `a` with a team `shop` that has a project `cart` and the member ada, who is in the group
/// `g` too, and a personal team `home` of hers with a project.
fn people_and_places(store: &dyn Engine) {
    two_tenants(store);
    let a = org("a");
    let ada = joined(store, "a", "ada");
    let home = Team {
        personal_owner: Some(ada.clone()),
        ..team_row("a", "home", false)
    };
    done(
        store,
        "a",
        &[
            Write::InsertTeam(&team_row("a", "shop", false)),
            Write::InsertTeam(&home),
            Write::InsertProject(&project_row("a", "shop", "cart", ProjectKind::Application)),
            Write::InsertProject(&project_row("a", "home", "desk", ProjectKind::Personal)),
            Write::PutTeamMember {
                organization: &a,
                row: &place("a-shop", "ada", BoundRole::Member),
            },
            Write::PutTeamMember {
                organization: &a,
                row: &place("a-home", "ada", BoundRole::Admin),
            },
            Write::InsertGroup(&group("a", "g")),
            Write::AddGroupMember {
                organization: &a,
                group: &grp("g"),
                user: &ada,
            },
        ],
    );
}

fn put(store: &dyn Engine, row: &VirtualKey) {
    done(store, "a", &[Write::InsertVirtualKey(row)]);
}

fn filing(row: VirtualKey, project: &str) -> VirtualKey {
    VirtualKey {
        trace_project_id: proj(project),
        ..row
    }
}

fn of_ada(row: VirtualKey) -> VirtualKey {
    VirtualKey {
        principal_user_id: Some(user("ada")),
        ..row
    }
}

fn ask(store: &dyn Engine, target: &BudgetTarget, principal_teams: bool) -> BudgetReach {
    let reach = store.budget_reach(&org("a"), target, principal_teams);
    reach.expect("reads")
}

fn reaches(store: &dyn Engine, target: &BudgetTarget) -> bool {
    ask(store, target, true).reachable
}

fn targets() -> [(&'static str, BudgetTarget); 8] {
    [
        ("organization", BudgetTarget::Organization(org("a"))),
        ("shop", BudgetTarget::Team(team("a-shop"))),
        ("cart", BudgetTarget::Project(proj("a-cart"))),
        ("key", BudgetTarget::VirtualKey(vk("k"))),
        ("ada", BudgetTarget::Principal(user("ada"))),
        ("group", BudgetTarget::Group(grp("g"))),
        ("users of key", BudgetTarget::EndUsersOfKey(vk("k"))),
        (
            "users of cart",
            BudgetTarget::EndUsersOfProject(proj("a-cart")),
        ),
    ]
}

/// The names of the targets that are met.
fn met(store: &dyn Engine) -> Vec<&'static str> {
    targets()
        .into_iter()
        .filter(|(_, target)| reaches(store, target))
        .map(|(name, _)| name)
        .collect()
}

pub(super) fn without_an_active_key_nothing_is_met(store: &dyn Engine) {
    people_and_places(store);
    let theirs = key("b", "theirs", &[whole("b")]);
    done(store, "b", &[Write::InsertVirtualKey(&theirs)]);
    for (name, status) in [("k", KeyStatus::Revoked), ("k2", KeyStatus::Disabled)] {
        let scopes = [whole("a"), team_scope("a-shop")];
        let row = VirtualKey {
            status,
            ..of_ada(filing(key("a", name, &scopes), "a-cart"))
        };
        put(store, &row);
    }
    assert!(met(store).is_empty());
    for (name, target) in targets() {
        assert_eq!(ask(store, &target, true), BudgetReach::default(), "{name}");
    }
}

pub(super) fn a_key_meets_what_it_files_into_and_what_it_is_scoped_to(store: &dyn Engine) {
    people_and_places(store);
    put(store, &key("a", "plain", &[whole("a")]));
    assert_eq!(met(store), ["organization"]);
    assert!(!reaches(store, &BudgetTarget::Organization(org("b"))));

    put(store, &filing(key("a", "k", &[whole("a")]), "a-cart"));
    let filed = [
        "organization",
        "shop",
        "cart",
        "key",
        "users of key",
        "users of cart",
    ];
    assert_eq!(met(store), filed);
}

pub(super) fn a_team_scope_meets_its_team_and_not_its_projects(store: &dyn Engine) {
    people_and_places(store);
    put(store, &key("a", "scoped", &[team_scope("a-shop")]));
    assert_eq!(met(store), ["organization", "shop"]);
    let cart = ask(store, &BudgetTarget::Project(proj("a-cart")), true);
    assert!(
        cart.any_key && cart.ancestor_key,
        "the team is above its project"
    );
    let team = ask(store, &BudgetTarget::Team(team("a-shop")), true);
    assert!(!team.ancestor_key, "nothing is scoped to the organization");
    assert!(!ask(store, &BudgetTarget::Group(grp("g")), true).ancestor_key);
}

pub(super) fn an_organization_key_is_above_teams_projects_and_groups(store: &dyn Engine) {
    people_and_places(store);
    put(store, &key("a", "plain", &[whole("a")]));
    for (name, target) in targets() {
        let expected = ["shop", "cart", "group", "users of cart"].contains(&name);
        let reach = ask(store, &target, true);
        assert_eq!(reach.ancestor_key, expected, "{name}");
        assert!(reach.any_key, "{name}");
    }
}

pub(super) fn a_personal_key_meets_its_person_and_their_groups(store: &dyn Engine) {
    people_and_places(store);
    put(
        store,
        &of_ada(filing(key("a", "own", &[whole("a")]), "a-default")),
    );
    assert_eq!(met(store), ["organization", "ada", "group"]);
}

pub(super) fn a_key_without_a_shared_team_counts_for_the_teams_of_its_principal(
    store: &dyn Engine,
) {
    people_and_places(store);
    let shop = BudgetTarget::Team(team("a-shop"));
    let desk = [project_scope("a-desk")];
    let mut row = of_ada(filing(key("a", "own", &desk), "a-desk"));
    put(store, &row);
    let mut revision = 1;
    let mut change = |row: &VirtualKey| {
        let expected = revision;
        done(store, "a", &[Write::UpdateVirtualKey { row, expected }]);
        revision += 1;
    };
    assert!(reaches(store, &shop), "it files into a personal project");
    assert!(!ask(store, &shop, false).reachable, "the narrow rule");

    row.trace_project_id = proj("a-governance");
    row.scopes = vec![whole("a"), team_scope("a-home")];
    change(&row);
    assert!(reaches(store, &shop), "a personal team is no shared one");

    row.scopes = vec![whole("a"), team_scope("a-default")];
    change(&row);
    assert!(!reaches(store, &shop), "it names a shared team of its own");

    row.scopes = vec![whole("a")];
    row.trace_project_id = proj("a-default");
    change(&row);
    assert!(!reaches(store, &shop), "it files into a shared project");

    row.trace_project_id = proj("a-governance");
    change(&row);
    assert!(reaches(store, &shop));
    let over = Team {
        archived_at: Some(at(9)),
        ..team_row("a", "shop", false)
    };
    done(store, "a", &[Write::UpdateTeam(&over)]);
    assert!(!reaches(store, &shop), "the team is archived");
    let home = BudgetTarget::Team(team("a-home"));
    assert!(
        !reaches(store, &home),
        "a personal team is nobody's shared one"
    );
}

pub(super) fn the_projects_that_keys_file_into_are_named_and_counted(store: &dyn Engine) {
    people_and_places(store);
    for number in 0..12 {
        let name = format!("p{number:02}");
        let mut project = project_row("a", "shop", &name, ProjectKind::Application);
        if number == 3 {
            project.archived_at = Some(at(9));
        }
        let row = filing(key("a", &name, &[whole("a")]), &format!("a-{name}"));
        let twin = filing(
            key("a", &format!("twin-{name}"), &[whole("a")]),
            &format!("a-{name}"),
        );
        done(store, "a", &[Write::InsertProject(&project)]);
        put(store, &row);
        put(store, &twin);
    }
    let reach = ask(store, &BudgetTarget::Team(team("a-default")), true);
    assert!(!reach.reachable);
    assert_eq!(reach.project_count, 11);
    let names: Vec<_> = reach.projects.iter().map(|id| id.as_str()).collect();
    assert_eq!(names.len(), 10);
    assert_eq!(
        (names[0], names[3], names[9]),
        ("proj_a-p00", "proj_a-p04", "proj_a-p10")
    );
}
