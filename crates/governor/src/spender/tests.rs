//! Whole organizations in a real store, and domain 13.1 said again in other words.

mod rows;

use lw_store::bundle::KeySource as _;
use lw_store::config::{Change, ConfigStore as _, Write};
use lw_store::rows::MemberRole;
use lw_store_sql::Tuning;
use lw_store_sql::config::SqliteConfig;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use self::rows::*;
use super::*;

const PEOPLE: usize = 3;
const TEAMS: usize = 4;
const PROJECTS: usize = 4;
const GROUPS: usize = 3;
const KEYS: usize = 3;

#[derive(Debug, Clone)]
struct TeamSpec {
    owner: Option<usize>,
    archived: bool,
    members: [bool; PEOPLE],
}

#[derive(Debug, Clone)]
struct ProjectSpec {
    team: usize,
    kind: ProjectKind,
    archived: bool,
}

#[derive(Debug, Clone)]
struct KeySpec {
    organization: bool,
    teams: Vec<usize>,
    projects: Vec<usize>,
    trace_project: usize,
    principal: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Organization,
    Team(usize),
    Project(usize),
    Key(usize),
    Person(usize),
    Group(usize),
    EndUsersOfKey(usize),
    EndUsersOfProject(usize),
}

#[derive(Debug, Clone)]
struct BudgetSpec {
    target: Target,
    filtered: bool,
    archived: bool,
}

/// An organization `a`, all of it by number.
#[derive(Debug, Clone)]
struct World {
    teams: Vec<TeamSpec>,
    projects: Vec<ProjectSpec>,
    groups: Vec<[bool; PEOPLE]>,
    keys: Vec<KeySpec>,
    budgets: Vec<BudgetSpec>,
}

fn worlds() -> impl Strategy<Value = World> {
    let seldom = || prop::bool::weighted(0.2);
    let team = (
        option::weighted(0.4, 0..PEOPLE),
        seldom(),
        any::<[bool; PEOPLE]>(),
    );
    let kinds = prop::sample::select(vec![
        ProjectKind::Application,
        ProjectKind::InternalGovernance,
        ProjectKind::Personal,
    ]);
    let project = (0..TEAMS, kinds, seldom());
    let key = (
        any::<bool>(),
        vec(0..TEAMS, 0..3),
        vec(0..PROJECTS, 0..2),
        0..PROJECTS,
        option::weighted(0.75, 0..PEOPLE),
    );
    let target = prop_oneof![
        Just(Target::Organization),
        (0..TEAMS).prop_map(Target::Team),
        (0..TEAMS).prop_map(Target::Team),
        (0..PROJECTS).prop_map(Target::Project),
        (0..KEYS).prop_map(Target::Key),
        (0..PEOPLE).prop_map(Target::Person),
        (0..GROUPS).prop_map(Target::Group),
        (0..KEYS).prop_map(Target::EndUsersOfKey),
        (0..PROJECTS).prop_map(Target::EndUsersOfProject),
    ];
    let budget = (target, any::<bool>(), seldom());
    (
        vec(
            team.prop_map(|(owner, archived, members)| TeamSpec {
                owner,
                archived,
                members,
            }),
            TEAMS,
        ),
        vec(
            project.prop_map(|(team, kind, archived)| ProjectSpec {
                team,
                kind,
                archived,
            }),
            PROJECTS,
        ),
        vec(any::<[bool; PEOPLE]>(), GROUPS),
        vec(
            key.prop_map(
                |(organization, teams, projects, trace_project, principal)| KeySpec {
                    organization,
                    teams,
                    projects,
                    trace_project,
                    principal,
                },
            ),
            KEYS,
        ),
        vec(
            budget.prop_map(|(target, filtered, archived)| BudgetSpec {
                target,
                filtered,
                archived,
            }),
            0..20,
        ),
    )
        .prop_map(|(teams, projects, groups, keys, budgets)| World {
            teams,
            projects,
            groups,
            keys,
            budgets,
        })
}

impl World {
    /// Domain 13.1 and C-15 said again.
    fn applies(&self, key: usize, target: Target, people_bring_teams: bool) -> bool {
        let spec = &self.keys[key];
        let home = &self.projects[spec.trace_project];
        match target {
            Target::Organization => true,
            Target::Key(other) | Target::EndUsersOfKey(other) => other == key,
            Target::Project(project) | Target::EndUsersOfProject(project) => {
                project == spec.trace_project
            }
            Target::Person(person) => spec.principal == Some(person),
            Target::Group(group) => spec
                .principal
                .is_some_and(|person| self.groups[group][person]),
            Target::Team(team) => {
                let own = home.team == team || spec.teams.contains(&team);
                let all_alone = spec.teams.iter().all(|id| self.teams[*id].owner.is_some())
                    && home.kind != ProjectKind::Application;
                let facts = &self.teams[team];
                let shared_and_alive = facts.owner.is_none() && !facts.archived;
                let through_person = spec.principal.is_some_and(|person| facts.members[person]);
                own || (people_bring_teams && all_alone && shared_and_alive && through_person)
            }
        }
    }

    /// What is to come out: scope type, budget, member, whether it is a template.
    fn expected(&self, key: usize, people_bring_teams: bool) -> Vec<(&str, String, String, bool)> {
        let mut rows = Vec::new();
        for (n, budget) in self.budgets.iter().enumerate() {
            if budget.archived || !self.applies(key, budget.target, people_bring_teams) {
                continue;
            }
            let (word, member, template) = match budget.target {
                Target::Organization => ("organization", None, false),
                Target::Team(_) => ("team", None, false),
                Target::Project(_) => ("project", None, false),
                Target::Key(_) => ("virtual_key", None, false),
                Target::Person(_) => ("principal", None, false),
                Target::Group(_) => ("group", self.keys[key].principal, false),
                Target::EndUsersOfKey(_) | Target::EndUsersOfProject(_) => {
                    ("attributed_user", None, true)
                }
            };
            let member = member.map_or_else(String::new, |person| format!("user_{person}"));
            rows.push((word, format!("bgt_{n:02}"), member, template));
        }
        rows.sort();
        rows
    }

    fn target(target: Target) -> BudgetTarget {
        match target {
            Target::Organization => BudgetTarget::Organization(org("a")),
            Target::Team(n) => BudgetTarget::Team(team(n)),
            Target::Project(n) => BudgetTarget::Project(proj(n)),
            Target::Key(n) => BudgetTarget::VirtualKey(vk(n)),
            Target::Person(n) => BudgetTarget::Principal(user(n)),
            Target::Group(n) => BudgetTarget::Group(grp(n)),
            Target::EndUsersOfKey(n) => BudgetTarget::EndUsersOfKey(vk(n)),
            Target::EndUsersOfProject(n) => BudgetTarget::EndUsersOfProject(proj(n)),
        }
    }

    /// The organization in a store, beside another one that has the same people and a budget for all that
    /// they share.
    fn stored(&self) -> (SqliteConfig, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let tuning = Tuning {
            durable: false,
            ..Tuning::default()
        };
        let path = folder.path().join("config.db");
        let store = SqliteConfig::open(&path, tuning).expect("opens");
        self.put_places(&store);
        self.put_keys_and_budgets(&store);
        (store, folder)
    }

    fn put_places(&self, store: &SqliteConfig) {
        put(store, &[Write::FirstOrganization(&tenant("a"))]);
        put(store, &[Write::InsertOrganization(&tenant("b"))]);
        put(store, &[Write::InsertGroup(&group_row("b", grp("b")))]);
        for person in (0..PEOPLE).map(user) {
            put(store, &[Write::InsertUser(&person_row(person.clone()))]);
            for organization in [org("a"), org("b")] {
                put(
                    store,
                    &[Write::PutMember {
                        organization: &organization,
                        user: &person,
                        role: MemberRole::Member,
                        disabled_at: None,
                        now: lw_core::UnixMicros(1),
                    }],
                );
            }
            put(
                store,
                &[
                    Write::PutTeamMember {
                        organization: &org("b"),
                        row: &place_row(team("b-default"), person.clone()),
                    },
                    Write::AddGroupMember {
                        organization: &org("b"),
                        group: &grp("b"),
                        user: &person,
                    },
                ],
            );
        }
        let here = org("a");
        for (n, spec) in self.teams.iter().enumerate() {
            let row = team_row("a", &n.to_string(), spec.owner.map(user), spec.archived);
            put(store, &[Write::InsertTeam(&row)]);
            for person in members(&spec.members) {
                let row = &place_row(team(n), person);
                let organization = &here;
                put(store, &[Write::PutTeamMember { organization, row }]);
            }
        }
        for (n, spec) in self.projects.iter().enumerate() {
            let (name, home) = (n.to_string(), spec.team.to_string());
            let row = project_row("a", &home, &name, spec.kind, spec.archived);
            put(store, &[Write::InsertProject(&row)]);
        }
        for (n, spec) in self.groups.iter().enumerate() {
            put(store, &[Write::InsertGroup(&group_row("a", grp(n)))]);
            for person in members(spec) {
                put(
                    store,
                    &[Write::AddGroupMember {
                        organization: &here,
                        group: &grp(n),
                        user: &person,
                    }],
                );
            }
        }
    }

    fn put_keys_and_budgets(&self, store: &SqliteConfig) {
        for (n, spec) in self.keys.iter().enumerate() {
            let mut scopes = Vec::new();
            scopes.extend(spec.organization.then(|| Scope::Organization(org("a"))));
            scopes.extend(spec.teams.iter().map(|n| Scope::Team(team(n))));
            scopes.extend(spec.projects.iter().map(|n| Scope::Project(proj(n))));
            let home = proj(spec.trace_project);
            let row = key_row("a", &n.to_string(), scopes, home, spec.principal.map(user));
            put(store, &[Write::InsertVirtualKey(&row)]);
        }
        for (n, spec) in self.budgets.iter().enumerate() {
            let target = Self::target(spec.target);
            let name = format!("{n:02}");
            let row = budget_row("a", &name, target, spec.filtered, spec.archived);
            put(store, &[Write::InsertBudget(&row)]);
        }
        let elsewhere = [
            BudgetTarget::Organization(org("b")),
            BudgetTarget::Team(team("b-default")),
            BudgetTarget::Group(grp("b")),
        ];
        let people = (0..PEOPLE).map(|n| BudgetTarget::Principal(user(n)));
        for (n, target) in elsewhere.into_iter().chain(people).enumerate() {
            let row = budget_row("b", &format!("b{n}"), target, false, false);
            put(store, &[Write::InsertBudget(&row)]);
        }
    }
}

fn members(who: &[bool; PEOPLE]) -> impl Iterator<Item = lw_core::UserId> {
    (0..PEOPLE).filter(|n| who[*n]).map(user)
}

#[track_caller]
fn put(store: &SqliteConfig, writes: &[Write<'_>]) {
    let change = Change {
        events: Vec::new(),
        audit: Vec::new(),
        receipt: None,
    };
    store.commit(writes, &change).expect("commits");
}

fn read(store: &SqliteConfig, key: usize) -> KeyRecord {
    let found = store.key_by_hash(&[key.to_string()]).expect("reads");
    found.expect("a key")
}

fn shown<'a>(applied: &[Applied<'a>]) -> Vec<(&'a str, String, String, bool)> {
    applied
        .iter()
        .map(|each| {
            let Applied {
                budget,
                member,
                template,
            } = each;
            let id = budget.id.to_string();
            let word = budget.target.scope_type();
            (word, id, (*member).to_owned(), *template)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_applies_to_a_key_is_what_the_rules_say_of_its_organization(world in worlds()) {
        let (store, _alive) = world.stored();
        for key in 0..KEYS {
            let record = read(&store, key);
            for (rule, wide) in [(TeamRule::WithPrincipals, true), (TeamRule::Narrow, false)] {
                prop_assert_eq!(shown(&applied(&record, rule)), world.expected(key, wide));
            }
        }
    }
}

/// Person 0 is a member of team 0, in group 0, and owns team 1 with project 1; project 0 is team 0's.
fn office() -> World {
    let nobody = [false; PEOPLE];
    let first = [true, false, false];
    let team = |owner, members| TeamSpec {
        owner,
        archived: false,
        members,
    };
    let project = |team, kind| ProjectSpec {
        team,
        kind,
        archived: false,
    };
    let key = |teams: &[usize], trace_project| KeySpec {
        organization: false,
        teams: teams.to_vec(),
        projects: Vec::new(),
        trace_project,
        principal: Some(0),
    };
    let budget = |target| BudgetSpec {
        target,
        filtered: false,
        archived: false,
    };
    World {
        teams: vec![
            team(None, first),
            team(Some(0), first),
            team(None, nobody),
            team(None, nobody),
        ],
        projects: vec![
            project(0, ProjectKind::Application),
            project(1, ProjectKind::Personal),
        ],
        groups: vec![first],
        keys: vec![key(&[1], 1), key(&[2], 1), key(&[], 0)],
        budgets: vec![
            budget(Target::Team(0)),
            budget(Target::Team(2)),
            budget(Target::Group(0)),
            budget(Target::Group(0)),
            budget(Target::EndUsersOfKey(0)),
        ],
    }
}

#[test]
fn a_personal_key_counts_toward_its_persons_team_and_group_by_member() {
    let (store, _alive) = office().stored();
    let ids = |key, rule| {
        let record = read(&store, key);
        let rows = shown(&applied(&record, rule)).into_iter();
        rows.map(|(_, id, member, template)| format!("{id} {member} {template}"))
            .collect::<Vec<_>>()
    };
    let of_group = ["bgt_02 user_0 false", "bgt_03 user_0 false"];
    let template = "bgt_04  true";
    let [first, second] = of_group;
    let (own, scoped) = ("bgt_00  false", "bgt_01  false");
    let wide = TeamRule::WithPrincipals;
    assert_eq!(ids(0, wide), [template, first, second, own]);
    assert_eq!(ids(0, TeamRule::Narrow), [template, first, second]);
    assert_eq!(ids(1, wide), [first, second, scoped], "a shared team");
    assert_eq!(
        ids(2, TeamRule::Narrow),
        [first, second, own],
        "filed there"
    );
}
