//! The rules of domain 4.3 to 4.5 once more, as sets of texts and plain loops, against random bindings.
//!
//! Shares no table and no function with the code under test; only the names of teams and projects.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::{project, team};

type Set = BTreeSet<String>;

const ACTIONS: &str =
    "view create update delete manage share rotate attach detach viewOtherPersonal";
const UNDER_MANAGE: &str = "view create update delete rotate attach detach";
const GATEWAY: &str = "virtualKeys gatewayBudgets gatewayProviders modelProviders routingPolicies \
    gatewayGuardrails gatewayLogs gatewayUsage gatewayCacheRules webhookEndpoints gatewaySpend \
    auditLog";
const PLATFORM: &str = "organization team project traces analytics cost annotations evaluations \
    datasets triggers workflows experiments prompts scenarios secrets playground governance \
    ingestionSources anomalyRules complianceExport activityMonitor aiTools ops langy";
const EXCLUSIVE: &str = "organization governance ingestionSources anomalyRules complianceExport \
    activityMonitor aiTools webhookEndpoints gatewaySpend";
/// Resources without a row of their own in the table of roles.
const SILENT: &str = "analytics cost annotations evaluations datasets triggers workflows \
    experiments prompts scenarios secrets playground langy";

const VIEWER: &str = "virtualKeys:view gatewayBudgets:view gatewayProviders:view \
    routingPolicies:view gatewayGuardrails:view gatewayCacheRules:view gatewayLogs:view \
    auditLog:view gatewayUsage:view traces:view project:view team:view";
const MEMBER: &str = "virtualKeys:create virtualKeys:update virtualKeys:rotate traces:create \
    traces:update traces:share project:create project:update";
const ADMIN: &str = "virtualKeys:delete virtualKeys:manage virtualKeys:viewOtherPersonal \
    gatewayBudgets:create gatewayBudgets:update gatewayBudgets:delete gatewayBudgets:manage \
    gatewayProviders:update gatewayProviders:manage routingPolicies:manage \
    gatewayGuardrails:attach gatewayGuardrails:detach gatewayGuardrails:manage \
    gatewayCacheRules:create gatewayCacheRules:update gatewayCacheRules:delete \
    gatewayCacheRules:manage project:delete project:manage team:manage";
const LITE: &str = "project:view analytics:view traces:view annotations:view annotations:create \
    annotations:update evaluations:view datasets:view workflows:view experiments:view \
    prompts:view scenarios:view secrets:view team:view";

fn words(text: &str) -> Set {
    text.split_whitespace().map(str::to_owned).collect()
}

fn cross(resources: &str, actions: &str) -> Set {
    let mut out = Set::new();
    for resource in resources.split_whitespace() {
        for action in actions.split_whitespace() {
            out.insert(format!("{resource}:{action}"));
        }
    }
    out
}

fn everything() -> Set {
    let mut out = cross(GATEWAY, ACTIONS);
    out.extend(cross(PLATFORM, ACTIONS));
    out.extend(cross("ops", ACTIONS));
    out
}

/// Adds what `manage` brings and the other spelling of providers.
fn expand(listed: &Set) -> Set {
    let mut out = listed.clone();
    for held in listed {
        if let Some(resource) = held.strip_suffix(":manage") {
            out.extend(cross(resource, UNDER_MANAGE));
        }
    }
    for held in out.clone() {
        out.insert(twin(&held));
    }
    out
}

fn twin(held: &str) -> String {
    if let Some(action) = held.strip_prefix("gatewayProviders:") {
        format!("modelProviders:{action}")
    } else if let Some(action) = held.strip_prefix("modelProviders:") {
        format!("gatewayProviders:{action}")
    } else {
        held.to_owned()
    }
}

fn role_set(role: Role) -> Set {
    let mut out = words(VIEWER);
    out.extend(cross(SILENT, "view"));
    if role == Role::Member || role == Role::Admin {
        out.extend(words(MEMBER));
        out.extend(cross(SILENT, "create update"));
    }
    if role == Role::Admin {
        out.extend(words(ADMIN));
        out.extend(cross(SILENT, ACTIONS));
    }
    expand(&out)
}

/// All that a binding grants where it applies.
fn binding_set(grant: &Grant) -> Set {
    let at_organization = grant.level == Level::Organization;
    let listed: Set = match (&grant.role, &grant.permissions) {
        (Role::Custom, Some(list)) => list.iter().map(ToString::to_string).collect(),
        _ => Set::new(),
    };
    let mut out = if !listed.is_empty() {
        expand(&listed)
    } else if at_organization && grant.role == Role::Admin {
        everything()
    } else if at_organization {
        words("organization:view aiTools:view")
    } else {
        role_set(grant.role)
    };
    let exclusive = words(EXCLUSIVE);
    out.retain(|held| {
        let (resource, _) = held.split_once(':').expect("two segments");
        resource != "ops" && (at_organization || !exclusive.contains(resource))
    });
    out
}

/// A place of the small world below and the levels at and above it.
fn world() -> Vec<(Place, Vec<Level>)> {
    let org = || Level::Organization;
    let in_team = |name| Level::Team(team(name));
    let in_project = |name| Level::Project(project(name));
    let mut out = vec![(Place::organization(), vec![org()])];
    for name in ["team_a", "team_b"] {
        out.push((Place::team(team(name)), vec![in_team(name), org()]));
    }
    for (name, of) in [
        ("proj_1", "team_a"),
        ("proj_2", "team_a"),
        ("proj_3", "team_b"),
    ] {
        out.push((
            Place::project(project(name), team(of)),
            vec![in_project(name), in_team(of), org()],
        ));
    }
    out
}

fn grants_set(grants: &[Grant], above: &[Level]) -> Set {
    let mut out = Set::new();
    for grant in grants {
        if above.contains(&grant.level) {
            out.extend(binding_set(grant));
        }
    }
    out
}

fn person_set(owner: &Owner, above: &[Level]) -> Set {
    if !owner.enabled {
        return Set::new();
    }
    let mut out = match owner.membership {
        Membership::External => {
            let bound = owner
                .grants
                .iter()
                .any(|grant| grant.level != Level::Organization && above.contains(&grant.level));
            return if bound { words(LITE) } else { Set::new() };
        }
        Membership::Member => words("organization:view aiTools:view"),
        Membership::Admin => binding_set(&Grant::of(Role::Admin, Level::Organization)),
    };
    out.extend(grants_set(&owner.grants, above));
    out
}

fn key_set(grants: &[Grant], owner: Option<&Owner>, mode: Mode, above: &[Level]) -> Set {
    let mut out = grants_set(grants, above);
    if let Some(owner) = owner {
        let ceiling = person_set(owner, above);
        out.retain(|held| ceiling.contains(held));
    }
    if mode == Mode::ReadOnly {
        out.retain(|held| held.ends_with(":view"));
    }
    out
}

/// Whether a key lists `wanted` itself; `ceiling` is all that its owner may do, if it has one.
fn explicit(
    grants: &[Grant],
    ceiling: Option<&Set>,
    mode: Mode,
    above: &[Level],
    wanted: &str,
) -> bool {
    let (resource, action) = wanted.split_once(':').expect("two segments");
    let reserved = EXCLUSIVE.split_whitespace().any(|name| name == resource);
    let mut listed = false;
    for grant in grants {
        let fits = grant.role == Role::Custom
            && above.contains(&grant.level)
            && (!reserved || grant.level == Level::Organization);
        for entry in grant.permissions.iter().flatten() {
            let entry = entry.to_string();
            listed |= fits && (entry == wanted || entry == twin(wanted));
        }
    }
    let ceiling = ceiling.is_none_or(|held| held.contains(wanted));
    listed && ceiling && resource != "ops" && (mode != Mode::ReadOnly || action == "view")
}

fn texts(list: &[Permission]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn some_permission() -> impl Strategy<Value = Permission> {
    // Half of the lists are made of permissions about which some rule says something special.
    let special: Vec<Permission> = [
        "virtualKeys:create",
        "virtualKeys:manage",
        "gatewayProviders:manage",
        "gatewayProviders:create",
        "modelProviders:view",
        "modelProviders:update",
        "gatewaySpend:manage",
        "webhookEndpoints:view",
        "organization:manage",
        "ops:view",
        "ops:manage",
        "traces:share",
        "secrets:viewOtherPersonal",
    ]
    .iter()
    .filter_map(|text| Permission::parse(text))
    .collect();
    prop_oneof![
        select(special),
        select(Permission::all().collect::<Vec<_>>())
    ]
}

fn some_grant() -> impl Strategy<Value = Grant> {
    let levels: Vec<Level> = world()
        .into_iter()
        .map(|(_, above)| above[0].clone())
        .collect();
    let role = prop_oneof![
        select(vec![Role::Viewer, Role::Member, Role::Admin]),
        Just(Role::Custom)
    ];
    (
        role,
        option::of(vec(some_permission(), 0..5)),
        select(levels),
    )
        .prop_map(|(role, permissions, level)| Grant {
            role,
            permissions,
            level,
        })
}

fn some_owner() -> impl Strategy<Value = Owner> {
    let membership = select(vec![
        Membership::Admin,
        Membership::Member,
        Membership::Member,
        Membership::External,
    ]);
    (
        membership,
        prop::bool::weighted(0.9),
        vec(some_grant(), 0..4),
    )
        .prop_map(|(membership, enabled, grants)| Owner {
            membership,
            enabled,
            grants,
        })
}

fn some_mode() -> impl Strategy<Value = Mode> {
    select(vec![Mode::All, Mode::Restricted, Mode::ReadOnly])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn a_key_may_what_its_bindings_and_its_owner_both_grant(
        grants in vec(some_grant(), 0..4),
        owner in option::of(some_owner()),
        mode in some_mode(),
        (place, above) in select(world()),
        wanted in option::of(vec(some_permission(), 0..4)),
    ) {
        let access = Access::key(grants.clone(), owner.clone(), mode);
        let expected = key_set(&grants, owner.as_ref(), mode, &above);
        let ceiling = owner.as_ref().map(|owner| person_set(owner, &above));
        for each in Permission::all() {
            let text = each.to_string();
            prop_assert_eq!(
                access.may(each, &place),
                expected.contains(&text),
                "{} at {:?}", &text, &place
            );
            prop_assert_eq!(
                access.explicitly(each, &place),
                explicit(&grants, ceiling.as_ref(), mode, &above, &text),
                "{} listed at {:?}", &text, &place
            );
        }
        // A set of texts is sorted as the console's list is.
        let listed: Vec<String> = expected.iter().cloned().collect();
        prop_assert_eq!(texts(&access.permissions_at(&place)), listed);
        for role in Role::ALL {
            let wanted = Grant { role: *role, permissions: wanted.clone(), level: above[0].clone() };
            prop_assert_eq!(
                access.within(&wanted, &place),
                binding_set(&wanted).is_subset(&expected),
                "{:?}", &wanted
            );
        }
    }

    #[test]
    fn a_person_may_what_the_membership_and_the_bindings_grant(
        owner in some_owner(),
        (place, above) in select(world()),
    ) {
        let access = Access::person(owner.clone());
        let expected: Vec<String> = person_set(&owner, &above).into_iter().collect();
        prop_assert_eq!(texts(&access.permissions_at(&place)), expected);
    }

    #[test]
    fn what_fits_under_the_ceiling_never_widens_it(
        maker in some_owner(),
        wanted in some_grant(),
        (place, _) in select(world()),
    ) {
        let maker_access = Access::person(maker);
        let own = world().into_iter().find(|(_, above)| above[0] == wanted.level);
        let (own, _) = own.expect("a place of the level");
        if !maker_access.within(&wanted, &own) {
            return Ok(());
        }
        let key = Access::key(vec![wanted.clone()], None, Mode::All);
        // Also at the places below the level of the grant.
        for each in key.permissions_at(&place) {
            prop_assert!(maker_access.may(each, &place), "{} at {:?}", each, &place);
        }
    }
}

#[test]
fn a_legacy_key_may_everything_at_exactly_its_project() {
    let access = Access::everything_at_project(project("proj_1"));
    for (place, above) in world() {
        let own = above[0] == Level::Project(project("proj_1"));
        let mut expected = everything();
        let exclusive = words(EXCLUSIVE);
        expected.retain(|held| {
            let (resource, _) = held.split_once(':').expect("two segments");
            own && resource != "ops" && !exclusive.contains(resource)
        });
        let expected: Vec<String> = expected.into_iter().collect();
        assert_eq!(texts(&access.permissions_at(&place)), expected);
    }
}
