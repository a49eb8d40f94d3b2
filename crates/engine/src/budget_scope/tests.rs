//! The published example, C-15 case by case, and the rules against an oracle of texts.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

fn team(name: &str) -> TeamId {
    TeamId::parse(name).expect(name)
}

fn project(name: &str) -> ProjectId {
    ProjectId::parse(name).expect(name)
}

fn key(name: &str) -> VirtualKeyId {
    VirtualKeyId::parse(name).expect(name)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect(name)
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect(name)
}

fn provider(name: &str) -> ModelProviderId {
    ModelProviderId::parse(name).expect(name)
}

fn organization() -> OrganizationId {
    OrganizationId::parse("org_1").expect("an id")
}

fn trace_project(name: &str, team_name: &str, shared: bool) -> Option<TraceProject> {
    Some(TraceProject {
        id: project(name),
        team: team(team_name),
        shared,
    })
}

/// The key of billing's example: organization scope, a principal, filed into the governance project.
fn engineer() -> Spender {
    Spender {
        organization: organization(),
        key: Some(key("vk_1")),
        scopes: vec![KeyScope::Organization],
        trace_project: trace_project("proj_gov", "team_hidden", false),
        principal: Some(Principal {
            user: user("user_a"),
            teams: vec![team("team_9")],
            groups: vec![group("grp_3")],
        }),
    }
}

#[test]
fn one_outcome_lands_in_the_buckets_of_the_published_example() {
    let cases = [
        (
            BudgetTarget::Organization(organization()),
            None,
            Some("org_1"),
        ),
        (BudgetTarget::Team(team("team_9")), None, Some("team_9")),
        (BudgetTarget::Project(project("proj_x")), None, None),
        (
            BudgetTarget::VirtualKey(key("vk_1")),
            Some("mp_a"),
            Some("vk_1|provider:mp_a"),
        ),
        (BudgetTarget::VirtualKey(key("vk_1")), Some("mp_b"), None),
        (
            BudgetTarget::Principal(user("user_a")),
            None,
            Some("user_a"),
        ),
        (
            BudgetTarget::Group(group("grp_3")),
            None,
            Some("grp_3:user_a"),
        ),
        (
            BudgetTarget::EndUsersOfKey(key("vk_1")),
            None,
            Some("vk_1:u1"),
        ),
    ];
    for (n, (target, filter, expected)) in cases.into_iter().enumerate() {
        let filter = filter.map(provider);
        let id = BudgetId::parse(&format!("bgt_{n}")).expect("an id");
        let facts = BudgetFacts {
            id: &id,
            target: &target,
            provider: filter.as_ref(),
        };
        let applied = applicable(&engineer(), TeamRule::WithPrincipals, &[facts], Some("u1"));
        let row = applied
            .iter()
            .find(|each| each.budget.counts(Some(&provider("mp_a"))))
            .and_then(|each| each.bucket.as_deref());
        assert_eq!(row, expected, "{target:?}");
    }
}

#[test]
fn a_personal_key_counts_toward_its_persons_teams_unless_it_has_one_of_its_own() {
    let nine = BudgetTarget::Team(team("team_9"));
    let counts = |spender: &Spender| spender.counts_toward(&nine, TeamRule::WithPrincipals);
    let scoped = |scopes| Spender {
        scopes,
        ..engineer()
    };
    let at = |name, personal| KeyScope::Team {
        id: team(name),
        personal,
    };
    assert!(counts(&engineer()));
    assert!(!engineer().counts_toward(&nine, TeamRule::Narrow));
    // A personal team is nobody's shared one, another team is.
    assert!(counts(&scoped(vec![at("team_own", true)])));
    assert!(!counts(&scoped(vec![at("team_7", false)])));
    assert!(!counts(&scoped(vec![
        KeyScope::Organization,
        at("team_7", false)
    ])));
    assert!(
        scoped(vec![at("team_7", false)])
            .counts_toward(&BudgetTarget::Team(team("team_7")), TeamRule::Narrow)
    );
    let filed = |trace_project| Spender {
        trace_project,
        ..engineer()
    };
    assert!(counts(&filed(trace_project("proj_own", "team_own", false))));
    assert!(!counts(&filed(trace_project("proj_7", "team_7", true))));
    assert!(counts(&filed(trace_project("proj_9", "team_9", true))));
    assert!(!counts(&filed(None)));
    assert!(!counts(&Spender {
        principal: None,
        ..engineer()
    }));
}

#[test]
fn buckets_of_members_and_end_users_need_one() {
    let members = BudgetTarget::Group(group("grp_3"));
    let users = BudgetTarget::EndUsersOfProject(project("proj_1"));
    assert_eq!(bucket_id(&members, None, Some("u"), None), None);
    assert_eq!(bucket_id(&users, Some(&user("user_a")), None, None), None);
    // An end user may look like anything.
    assert_eq!(
        bucket_id(
            &users,
            None,
            Some("a:b|provider:x"),
            Some(&provider("mp_1"))
        )
        .as_deref(),
        Some("proj_1:a:b|provider:x|provider:mp_1")
    );
}

#[test]
fn a_dispatch_without_a_provider_counts_only_on_unfiltered_budgets() {
    let id = BudgetId::parse("bgt_1").expect("an id");
    let target = BudgetTarget::Organization(organization());
    let (one, two) = (provider("mp_1"), provider("mp_2"));
    for (filter, served, counts) in [
        (None, None, true),
        (None, Some(&one), true),
        (Some(&one), Some(&one), true),
        (Some(&one), Some(&two), false),
        (Some(&one), None, false),
    ] {
        let facts = BudgetFacts {
            id: &id,
            target: &target,
            provider: filter,
        };
        assert_eq!(facts.counts(served), counts, "{filter:?} {served:?}");
    }
}

#[test]
fn a_budget_that_nobody_can_meet_is_refused_unless_somebody_stands_above_it() {
    let service = |scopes| Spender {
        scopes,
        principal: None,
        ..engineer()
    };
    let at = |name| KeyScope::Team {
        id: team(name),
        personal: false,
    };
    let (five, proj) = (
        BudgetTarget::Team(team("team_5")),
        BudgetTarget::Project(project("proj_5")),
    );
    let (people, person) = (
        BudgetTarget::Group(group("grp_5")),
        BudgetTarget::Principal(user("user_5")),
    );
    let accepts = |target: &BudgetTarget, keys: &[Spender], allow| {
        let of = team("team_5");
        let reach = Reach::of(target, Some(&of), TeamRule::WithPrincipals, keys);
        (reach.as_str(), reach.accepts(target, allow))
    };
    let elsewhere = [service(vec![at("team_7")])];
    for target in [&five, &proj, &people] {
        assert_eq!(
            accepts(target, &[], false),
            ("unreachable", true),
            "{target:?}"
        );
        assert_eq!(
            accepts(target, &elsewhere, false),
            ("unreachable", false),
            "{target:?}"
        );
        assert_eq!(
            accepts(target, &elsewhere, true),
            ("unreachable", true),
            "{target:?}"
        );
        let above = [service(vec![KeyScope::Organization])];
        assert_eq!(
            accepts(target, &above, false),
            ("unreachable", true),
            "{target:?}"
        );
    }
    let in_team = [service(vec![at("team_5")])];
    assert_eq!(accepts(&five, &in_team, false), ("reachable", true));
    assert_eq!(accepts(&proj, &in_team, false), ("unreachable", true));
    assert_eq!(accepts(&people, &in_team, false), ("unreachable", false));
    assert_eq!(accepts(&person, &in_team, false), ("unreachable", true));
}

/// The predicates of domain 13.1 as texts, read line by line.
fn oracle(spender: &Spender, rule: TeamRule) -> BTreeSet<String> {
    let mut out = BTreeSet::from([format!("organization {}", spender.organization)]);
    if let Some(key) = &spender.key {
        out.insert(format!("virtual_key {key}"));
        out.insert(format!("attributed_user {key}"));
    }
    let mut shared_team = false;
    for scope in &spender.scopes {
        if let KeyScope::Team { id, personal } = scope {
            out.insert(format!("team {id}"));
            if !personal {
                shared_team = true;
            }
        }
    }
    let mut lands_in_nobodys = false;
    if let Some(project) = &spender.trace_project {
        out.insert(format!("project {}", project.id));
        out.insert(format!("attributed_user {}", project.id));
        out.insert(format!("team {}", project.team));
        lands_in_nobodys = !project.shared;
    }
    if let Some(person) = &spender.principal {
        out.insert(format!("principal {}", person.user));
        for group in &person.groups {
            out.insert(format!("group {group}"));
        }
        if rule == TeamRule::WithPrincipals && !shared_team && lands_in_nobodys {
            for team in &person.teams {
                out.insert(format!("team {team}"));
            }
        }
    }
    out
}

fn word(target: &BudgetTarget) -> String {
    format!("{} {}", target.scope_type(), target.scope_id())
}

const TEAMS: [&str; 3] = ["team_a", "team_b", "team_c"];
const PROJECTS: [(&str, &str); 3] = [
    ("proj_1", "team_a"),
    ("proj_2", "team_b"),
    ("proj_3", "team_b"),
];

fn every_target() -> Vec<BudgetTarget> {
    let mut out = vec![
        BudgetTarget::Organization(organization()),
        BudgetTarget::Organization(OrganizationId::parse("org_2").expect("an id")),
    ];
    out.extend(TEAMS.map(|name| BudgetTarget::Team(team(name))));
    for (name, _) in PROJECTS {
        out.push(BudgetTarget::Project(project(name)));
        out.push(BudgetTarget::EndUsersOfProject(project(name)));
    }
    for n in ["1", "2"] {
        out.push(BudgetTarget::VirtualKey(key(&format!("vk_{n}"))));
        out.push(BudgetTarget::EndUsersOfKey(key(&format!("vk_{n}"))));
        out.push(BudgetTarget::Principal(user(&format!("user_{n}"))));
        out.push(BudgetTarget::Group(group(&format!("grp_{n}"))));
    }
    out
}

fn some_spender() -> impl Strategy<Value = Spender> {
    let mut scopes = vec![KeyScope::Organization];
    for (name, personal) in [("team_a", false), ("team_b", false), ("team_c", true)] {
        let id = team(name);
        scopes.push(KeyScope::Team { id, personal });
    }
    scopes.extend(PROJECTS.map(|(name, _)| KeyScope::Project(project(name))));
    let filed =
        (select(PROJECTS.to_vec()), any::<bool>()).prop_map(|((name, of), shared)| TraceProject {
            id: project(name),
            team: team(of),
            shared,
        });
    let person = (
        1_u8..3,
        subsequence(TEAMS.to_vec(), 0..3),
        subsequence(vec!["grp_1", "grp_2"], 0..2),
    )
        .prop_map(|(n, teams, groups)| Principal {
            user: user(&format!("user_{n}")),
            teams: teams.into_iter().map(team).collect(),
            groups: groups.into_iter().map(group).collect(),
        });
    (
        option::of((1_u8..3).prop_map(|n| key(&format!("vk_{n}")))),
        subsequence(scopes, 0..3),
        option::weighted(0.9, filed),
        option::weighted(0.7, person),
    )
        .prop_map(|(key, scopes, trace_project, principal)| Spender {
            organization: organization(),
            key,
            scopes,
            trace_project,
            principal,
        })
}

fn some_rule() -> impl Strategy<Value = TeamRule> {
    select(vec![TeamRule::WithPrincipals, TeamRule::Narrow])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_key_counts_toward_what_the_predicates_say(
        spender in some_spender(),
        rule in some_rule(),
    ) {
        let expected = oracle(&spender, rule);
        let targets = spender.targets(rule);
        let words: Vec<String> = targets.iter().map(word).collect();
        let unique: BTreeSet<String> = words.iter().cloned().collect();
        prop_assert_eq!(&unique, &expected);
        prop_assert_eq!(unique.len(), words.len());
        for target in every_target() {
            let counts = spender.counts_toward(&target, rule);
            prop_assert_eq!(counts, expected.contains(&word(&target)), "{:?}", &target);
            prop_assert_eq!(counts, targets.contains(&target), "{:?}", &target);
        }
    }

    #[test]
    fn budgets_that_apply_come_in_one_order_each_with_its_bucket(
        spender in some_spender(),
        rule in some_rule(),
        picked in vec((select(every_target()), option::of(select(vec!["mp_1", "mp_2"]))), 0..8),
        end_user in option::of(select(vec!["u1", "u:2"])),
    ) {
        let ids: Vec<BudgetId> = (0..picked.len())
            .map(|n| BudgetId::parse(&format!("bgt_{n}")).expect("an id"))
            .collect();
        let filters: Vec<_> = picked.iter().map(|(_, filter)| filter.map(provider)).collect();
        let mut budgets = Vec::new();
        for ((id, (target, _)), filter) in ids.iter().zip(&picked).zip(&filters) {
            budgets.push(BudgetFacts { id, target, provider: filter.as_ref() });
        }
        let expected = {
            let predicates = oracle(&spender, rule);
            let mut rows = Vec::new();
            for (n, (target, filter)) in picked.iter().enumerate() {
                if !predicates.contains(&word(target)) {
                    continue;
                }
                let suffix = filter.map_or(String::new(), |id| format!("|provider:{id}"));
                let whose = match target.scope_type() {
                    "group" => spender.principal.as_ref().map(|person| person.user.to_string()),
                    "attributed_user" => end_user.map(str::to_owned),
                    _ => Some(String::new()),
                };
                let bucket = whose.map(|whose| {
                    let colon = if whose.is_empty() { "" } else { ":" };
                    format!("{}{colon}{whose}{suffix}", target.scope_id())
                });
                rows.push((target.scope_type(), format!("bgt_{n}"), bucket));
            }
            rows.sort();
            rows
        };
        let rows = |budgets: &[BudgetFacts<'_>]| -> Vec<_> {
            applicable(&spender, rule, budgets, end_user)
                .into_iter()
                .map(|each| {
                    (each.budget.target.scope_type(), each.budget.id.to_string(), each.bucket)
                })
                .collect()
        };
        prop_assert_eq!(&rows(&budgets), &expected);
        // However the rows arrive.
        budgets.reverse();
        prop_assert_eq!(&rows(&budgets), &expected);
    }

    #[test]
    fn the_reach_of_a_budget_is_what_its_keys_say(
        target in select(every_target()),
        keys in vec(some_spender(), 0..3),
        rule in some_rule(),
        allow in any::<bool>(),
    ) {
        let of = PROJECTS.iter().find(|(name, _)| *name == target.scope_id());
        let of = of.map(|(_, of)| team(of));
        let reach = Reach::of(&target, of.as_ref(), rule, &keys);
        let reachable = keys.iter().any(|key| oracle(key, rule).contains(&word(&target)));
        let kind = target.scope_type();
        let mut above = false;
        for scope in keys.iter().flat_map(|key| &key.scopes) {
            above |= match scope {
                KeyScope::Organization => ["team", "project", "group"].contains(&kind),
                KeyScope::Team { id, .. } => kind == "project" && of.as_ref() == Some(id),
                KeyScope::Project(_) => false,
            };
        }
        prop_assert_eq!(reach, Reach { reachable, any_key: !keys.is_empty(), ancestor_key: above });
        let guarded = ["team", "project", "group"].contains(&kind);
        let refused = guarded && !keys.is_empty() && !reachable && !allow && !above;
        prop_assert_eq!(reach.accepts(&target, allow), !refused);
    }
}
