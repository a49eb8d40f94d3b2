//! The matrix of roles as a golden file, cases, and the rules against an oracle.

mod oracle;

use std::fmt::Write as _;

use super::*;

fn permission(text: &str) -> Permission {
    Permission::parse(text).expect(text)
}

fn team(name: &str) -> TeamId {
    TeamId::parse(name).expect(name)
}

fn project(name: &str) -> ProjectId {
    ProjectId::parse(name).expect(name)
}

fn person(membership: Membership, grants: Vec<Grant>) -> Owner {
    Owner {
        membership,
        enabled: true,
        grants,
    }
}

/// Who appears in the matrix, each as a column.
fn columns() -> Vec<(&'static str, Access)> {
    let at_team = || Level::Team(team("team_a"));
    let service = |role, level| Access::key(vec![Grant::of(role, level)], None, Mode::All);
    let lite = person(
        Membership::External,
        vec![Grant::of(Role::Admin, at_team())],
    );
    vec![
        ("viewer", service(Role::Viewer, at_team())),
        ("member", service(Role::Member, at_team())),
        ("admin", service(Role::Admin, at_team())),
        ("org-viewer", service(Role::Viewer, Level::Organization)),
        ("org-member", service(Role::Member, Level::Organization)),
        ("org-admin", service(Role::Admin, Level::Organization)),
        ("lite", Access::person(lite)),
        ("legacy", Access::everything_at_project(project("proj_1"))),
    ]
}

#[test]
fn the_matrix_of_roles_is_the_published_one() {
    let place = Place::project(project("proj_1"), team("team_a"));
    let columns = columns();
    let mut out = format!("{:<36}", "at a project of the team");
    for (name, _) in &columns {
        write!(out, " {name:<10}").expect("a text");
    }
    for each in Permission::all() {
        write!(out, "\n{:<36}", each.to_string()).expect("a text");
        for (_, access) in &columns {
            let mark = if access.may(each, &place) { "yes" } else { "." };
            write!(out, " {mark:<10}").expect("a text");
        }
    }
    let out: Vec<_> = out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(out.join("\n"));
}

#[test]
fn the_vocabulary_of_custom_roles_is_the_published_one() {
    let mut out = String::new();
    for (resource, actions) in vocabulary() {
        let actions: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
        let mark = if resource.organization_exclusive() {
            " (organization)"
        } else {
            ""
        };
        writeln!(out, "{}{mark}: {}", resource.as_str(), actions.join(" ")).expect("a text");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn permissions_are_read_and_written_alike() {
    for each in Permission::all() {
        assert_eq!(Permission::parse(&each.to_string()), Some(each));
    }
    for text in [
        "",
        "virtualKeys",
        "virtualkeys:view",
        "x:view",
        "virtualKeys:view:x",
        "virtualKeys: view",
    ] {
        assert_eq!(Permission::parse(text), None, "{text}");
    }
    for role in Role::ALL {
        assert_eq!(Role::parse(role.as_str()), Some(*role));
    }
    for mode in [Mode::All, Mode::ReadOnly, Mode::Restricted] {
        assert_eq!(Mode::parse(mode.as_str()), Some(mode));
    }
}

#[test]
fn one_malformed_entry_makes_a_list_malformed() {
    let read = |texts: &[&str]| Permission::parse_list(texts.iter().copied());
    assert_eq!(
        read(&["traces:view", "ops:view"]),
        Some(vec![permission("traces:view"), permission("ops:view")])
    );
    assert_eq!(read(&["traces:view", "traces:fly"]), None);
    assert_eq!(read(&[]), Some(vec![]));
}

#[test]
fn what_is_bound_to_a_team_holds_in_its_projects_and_nowhere_else() {
    let level = Level::Team(team("team_a"));
    let access = Access::key(vec![Grant::of(Role::Admin, level)], None, Mode::All);
    let wanted = permission("virtualKeys:manage");
    let own = Place::project(project("proj_1"), team("team_a"));
    let other = Place::project(project("proj_2"), team("team_b"));
    assert!(access.may(wanted, &Place::team(team("team_a"))));
    assert!(access.may(wanted, &own));
    assert!(!access.may(wanted, &other));
    assert!(!access.may(wanted, &Place::team(team("team_b"))));
    assert!(!access.may(wanted, &Place::organization()));
}

#[test]
fn demoting_the_owner_degrades_the_key_at_once() {
    let place = Place::team(team("team_a"));
    let everything = vec![Grant::of(Role::Admin, Level::Organization)];
    let with = |owner| Access::key(everything.clone(), Some(owner), Mode::All);
    let rotate = permission("virtualKeys:rotate");
    let viewing = vec![Grant::of(Role::Viewer, Level::Team(team("team_a")))];
    assert!(with(person(Membership::Admin, vec![])).may(rotate, &place));
    let viewer = with(person(Membership::Member, viewing));
    assert!(!viewer.may(rotate, &place));
    assert!(viewer.may(permission("virtualKeys:view"), &place));
    let mut gone = person(Membership::Admin, vec![]);
    gone.enabled = false;
    assert_eq!(with(gone).permissions_at(&place), []);
}

#[test]
fn a_key_mints_by_an_explicit_list_and_a_member_does_not() {
    let level = || Level::Team(team("team_a"));
    let place = Place::project(project("proj_1"), team("team_a"));
    let create = permission("virtualKeys:create");
    let listing = |text, owner| {
        let grant = Grant::custom(vec![permission(text)], level());
        Access::key(vec![grant], owner, Mode::Restricted).explicitly(create, &place)
    };
    let member = || person(Membership::Member, vec![Grant::of(Role::Member, level())]);
    let viewer = || person(Membership::Member, vec![Grant::of(Role::Viewer, level())]);
    assert!(listing("virtualKeys:create", None));
    assert!(listing("virtualKeys:create", Some(member())));
    assert!(!listing("virtualKeys:create", Some(viewer())));
    assert!(!listing("virtualKeys:manage", None));
    let built_in = Access::key(vec![Grant::of(Role::Member, level())], None, Mode::All);
    assert!(built_in.may(create, &place));
    assert!(!built_in.explicitly(create, &place));
    assert!(!Access::person(member()).explicitly(create, &place));
}

#[test]
fn a_new_key_never_exceeds_its_maker() {
    let place = Place::team(team("team_a"));
    let level = || Level::Team(team("team_a"));
    let owner = person(Membership::Member, vec![Grant::of(Role::Member, level())]);
    let maker = Access::person(owner);
    let custom = |text| Grant::custom(vec![permission(text)], level());
    for (wanted, fits) in [
        (Grant::of(Role::Viewer, level()), true),
        (Grant::of(Role::Member, level()), true),
        (Grant::of(Role::Admin, level()), false),
        (custom("virtualKeys:rotate"), true),
        (custom("virtualKeys:manage"), false),
        // Nobody is granted these two here, so nothing is exceeded.
        (custom("ops:view"), true),
        (custom("gatewaySpend:view"), true),
    ] {
        assert_eq!(maker.within(&wanted, &place), fits, "{wanted:?}");
    }
    let everywhere = Grant::of(Role::Admin, Level::Organization);
    assert!(!maker.within(&everywhere, &Place::organization()));
    let runs_it = Access::person(person(Membership::Admin, vec![]));
    assert!(runs_it.within(&everywhere, &Place::organization()));
}

#[test]
fn the_levels_are_those_that_the_caller_is_bound_at() {
    let level = Level::Team(team("team_a"));
    let owner = |membership| person(membership, vec![Grant::of(Role::Viewer, level.clone())]);
    let levels = |access: &Access| access.levels().cloned().collect::<Vec<_>>();
    assert_eq!(
        levels(&Access::person(owner(Membership::Member))),
        [Level::Organization, level.clone()]
    );
    let lite = Access::person(owner(Membership::External));
    assert!(lite.levels().eq([&level]));
    let key = Access::key(
        vec![Grant::of(Role::Viewer, level.clone())],
        Some(owner(Membership::Admin)),
        Mode::All,
    );
    assert_eq!(levels(&key), [Level::Organization, level.clone(), level]);
    assert_eq!(key.bound_projects().count(), 0);
    let own = project("proj_1");
    assert_eq!(
        levels(&Access::everything_at_project(own.clone())),
        [Level::Project(own)]
    );
}
