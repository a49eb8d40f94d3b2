//! The budgets of a key, and the spend of a budget, against the rule written down once more (domain 13.1,
//! C-15).

use std::collections::BTreeSet;

use lw_core::UserId;
use lw_store::rows::ProjectKind;
use proptest::prelude::*;

use super::*;
use crate::tests::{project_row, team_row};

const TEAMS: [&str; 3] = ["default", "second", "anna"];
/// Projects and the teams that they are in; the last two are nobody's to share.
const PROJECTS: [(&str, &str); 4] = [
    ("default", "default"),
    ("second", "second"),
    ("governance", "hidden"),
    ("anna", "anna"),
];
const PEOPLE: [&str; 2] = ["anna", "otto"];
const SCOPES: [(&str, &str); 5] = [
    ("organization", "acme"),
    ("team", "default"),
    ("team", "second"),
    ("team", "anna"),
    ("project", "default"),
];

/// A key, in numbers of the lists above.
#[derive(Debug, Clone)]
struct Key {
    scopes: BTreeSet<usize>,
    filed: usize,
    principal: Option<usize>,
}

/// What is random.
#[derive(Debug, Clone)]
struct Facts {
    principals_count: bool,
    keys: Vec<Key>,
    /// (person, team) and (person, group).
    in_teams: BTreeSet<(usize, usize)>,
    in_groups: BTreeSet<(usize, usize)>,
}

fn facts() -> impl Strategy<Value = Facts> {
    let pairs = |most| proptest::collection::btree_set((0..PEOPLE.len(), 0..most), 0..5);
    let key = (
        proptest::collection::btree_set(0..SCOPES.len(), 1..3),
        0..PROJECTS.len(),
        proptest::option::weighted(0.8, 0..PEOPLE.len()),
    )
        .prop_map(|(scopes, filed, principal)| Key {
            scopes,
            filed,
            principal,
        });
    (
        any::<bool>(),
        proptest::collection::vec(key, 1..5),
        pairs(TEAMS.len()),
        pairs(2),
    )
        .prop_map(|(principals_count, keys, in_teams, in_groups)| Facts {
            principals_count,
            keys,
            in_teams,
            in_groups,
        })
}

/// What a budget is for, in numbers of the lists above.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    Organization,
    Team(usize),
    Project(usize),
    Key(usize),
    Person(usize),
    Group(usize),
    UsersOfKey(usize),
    UsersOfProject(usize),
}

impl Facts {
    /// Every target that there could be.
    fn targets(&self) -> Vec<For> {
        let mut all = vec![For::Organization];
        all.extend((0..TEAMS.len()).map(For::Team));
        all.extend((0..PROJECTS.len()).flat_map(|n| [For::Project(n), For::UsersOfProject(n)]));
        all.extend((0..self.keys.len()).flat_map(|n| [For::Key(n), For::UsersOfKey(n)]));
        all.extend((0..PEOPLE.len()).map(For::Person));
        all.extend((0..2).map(For::Group));
        all
    }

    /// The rule of 13.1.
    fn counts(&self, number: usize, target: For) -> bool {
        let key = &self.keys[number];
        match target {
            For::Organization => true,
            For::Key(n) | For::UsersOfKey(n) => n == number,
            For::Project(n) | For::UsersOfProject(n) => key.filed == n,
            For::Person(n) => key.principal == Some(n),
            For::Group(n) => key
                .principal
                .is_some_and(|person| self.in_groups.contains(&(person, n))),
            For::Team(n) => {
                let scoped = |team: &str| {
                    let scopes = key.scopes.iter().map(|scope| SCOPES[*scope]);
                    scopes.into_iter().any(|scope| scope == ("team", team))
                };
                let of_nobody = ["governance", "anna"].contains(&PROJECTS[key.filed].0);
                let no_shared = !scoped("default") && !scoped("second") && of_nobody;
                let through_person = self.principals_count
                    && no_shared
                    && TEAMS[n] != "anna"
                    && key
                        .principal
                        .is_some_and(|person| self.in_teams.contains(&(person, n)));
                PROJECTS[key.filed].1 == TEAMS[n] || scoped(TEAMS[n]) || through_person
            }
        }
    }
}

async fn check(facts: Facts) -> Result<(), TestCaseError> {
    let count = facts.principals_count;
    let plane = Plane::with(|admin| admin.settings.team_budget_principals = count);
    plane.further_team("acme", "second");
    let people = PEOPLE.map(|name| plane.member("acme", name, MemberRole::Member));
    workspace(&plane, &people[0]);
    for (person, team) in &facts.in_teams {
        plane.in_team("acme", TEAMS[*team], &people[*person], BoundRole::Member);
    }
    for (number, name) in ["first", "other"].into_iter().enumerate() {
        let inside = |n: &usize| facts.in_groups.contains(&(*n, number));
        let members: Vec<&UserId> = (0..2).filter(inside).map(|n| &people[n]).collect();
        group(&plane, name, &members);
    }
    let mut keys = Vec::new();
    for (number, key) in facts.keys.iter().enumerate() {
        let scopes = key.scopes.iter().map(|scope| SCOPES[*scope]);
        let scopes: Vec<Value> = scopes
            .map(|(kind, id)| json!({ "scope_type": kind, "scope_id": id }))
            .collect();
        let filed = project("acme", PROJECTS[key.filed].0);
        let minted = mint(
            &plane,
            json!({
                "scopes": scopes, "trace_project_id": filed,
                "principal_user_id": key.principal.map(|person| &people[person]),
            }),
        )
        .await;
        let id = id_of(&minted);
        spend(&plane, &id, &filed, None, &dollars(number), -HOUR);
        keys.push(id);
    }
    let mut budgets = Vec::new();
    for target in facts.targets() {
        let scope = match target {
            For::Organization => json!({ "kind": "organization", "organization_id": "acme" }),
            For::Team(n) => json!({ "kind": "team", "team_id": TEAMS[n] }),
            For::Project(n) => {
                json!({ "kind": "project", "project_id": project("acme", PROJECTS[n].0) })
            }
            For::Key(n) => json!({ "kind": "virtual_key", "virtual_key_id": keys[n] }),
            For::Person(n) => json!({ "kind": "principal", "principal_user_id": people[n] }),
            For::Group(n) => {
                let group = ["grp_first", "grp_other"][n];
                json!({ "kind": "group", "group_id": group })
            }
            For::UsersOfKey(n) => {
                json!({ "kind": "attributed_user", "anchor_virtual_key_id": keys[n] })
            }
            For::UsersOfProject(n) => {
                let id = project("acme", PROJECTS[n].0);
                json!({ "kind": "attributed_user", "anchor_project_id": id })
            }
        };
        let wish = json!({ "scope": scope, "allow_unreachable": true });
        let (path, budget) = create(&plane, wish.clone()).await;
        let counting = (0..keys.len()).filter(|n| facts.counts(*n, target));
        let reach = if counting.clone().next().is_some() {
            "reachable"
        } else {
            "unreachable"
        };
        prop_assert_eq!(&budget["scope_reach"], reach, "{:?}", target);
        let spent = match target {
            For::UsersOfKey(_) | For::UsersOfProject(_) => Value::Null,
            _ => json!(sum(counting)),
        };
        prop_assert_eq!(&budget["spent_usd"], &spent, "{:?}", target);
        prop_assert_eq!(
            &plane.get(&path).await.fine(200)["budget"],
            &budget,
            "{:?}",
            target
        );
        let (gone, _) = create(&plane, wish).await;
        plane.call(Method::DELETE, &gone, None).await.fine(200);
        budgets.push((target, budget));
    }
    for (number, key) in keys.iter().enumerate() {
        let path = format!("/api/gateway/v1/virtual-keys/{key}/budgets");
        let listed = plane.get(&path).await.fine(200);
        let mut expected: Vec<&(For, Value)> = budgets
            .iter()
            .filter(|(target, _)| facts.counts(number, *target))
            .collect();
        expected.sort_by_key(|(_, budget)| {
            let text = |field: &str| budget[field].as_str().map(str::to_owned);
            (text("scope_type"), text("id"))
        });
        let rows = listed["data"].as_array().expect("rows");
        let ids = |row: &Value| row["id"].clone();
        prop_assert_eq!(
            rows.iter().map(ids).collect::<Vec<_>>(),
            expected.iter().map(|(_, row)| ids(row)).collect::<Vec<_>>()
        );
        let person = facts.keys[number].principal;
        for ((target, budget), row) in expected.iter().zip(rows) {
            // Of a group's budget only what this key's person spent is told.
            let spent = match target {
                For::Group(_) => {
                    let of_person = (0..keys.len()).filter(|n| facts.keys[*n].principal == person);
                    json!(sum(of_person))
                }
                _ => budget["spent_usd"].clone(),
            };
            prop_assert_eq!(&row["spent_usd"], &spent, "{:?}", target);
        }
    }
    Ok(())
}

/// What the key of this number spends: no two sums are alike.
fn dollars(number: usize) -> String {
    format!("1{}", "0".repeat(number))
}

fn sum(keys: impl Iterator<Item = usize>) -> String {
    let each = keys.map(|n| dollars(n).parse::<u64>().expect("a number"));
    each.sum::<u64>().to_string()
}

/// Anna's own team and project.
fn workspace(plane: &Plane, anna: &UserId) {
    let mut team = team_row("acme", "anna", false);
    team.personal_owner = Some(anna.clone());
    let project = project_row("acme", &team, "anna", ProjectKind::Personal, &plane.pepper);
    let writes = [Write::InsertTeam(&team), Write::InsertProject(&project)];
    plane
        .store
        .commit(&writes, &quiet("workspace"))
        .expect("a workspace");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn budgets_apply_and_add_up_as_the_rule_says(facts in facts()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(check(facts))?;
    }
}
