//! Tenants, projects, accounts and API keys.

use super::*;

pub(super) fn a_first_start_happens_once_and_whole(store: &dyn Engine) {
    assert!(store.is_empty().expect("reads"));
    let start = first_start();
    let mut broken = start.clone();
    broken.tenant.governance_project.team_id = team("nowhere");
    let refused = store.first_start(&broken, &quiet("a"));
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    assert!(
        store.is_empty().expect("reads"),
        "nothing of the refused start is there"
    );

    store.first_start(&start, &quiet("a")).expect("starts");
    assert!(!store.is_empty().expect("reads"));
    conflicts(store.first_start(&start, &quiet("a")), "organization");

    let organization = start.tenant.organization;
    assert_eq!(
        store.organization(&org("a")).expect("reads"),
        Some(organization.clone())
    );
    assert_eq!(
        store.organization_by_slug("a").expect("reads"),
        Some(organization)
    );
    assert_eq!(store.organization(&org("b")).expect("reads"), None);
    assert_eq!(store.organization_by_slug("b").expect("reads"), None);
    assert_eq!(
        store.teams(&org("a")).expect("reads"),
        [start.tenant.default_team, start.tenant.hidden_team]
    );
    assert_eq!(
        store.projects(&org("a")).expect("reads"),
        [
            start.tenant.default_project,
            start.tenant.governance_project
        ]
    );
    let found = store.api_key_by_lookup_id("lookup-first").expect("reads");
    assert_eq!(found, Some(start.api_key));
    let members = store.members(&org("a")).expect("reads");
    assert_eq!(members.len(), 1);
    assert_eq!(
        (&members[0].user, members[0].role),
        (&start.administrator, MemberRole::Admin)
    );
    assert_eq!(
        store.audit(&org("a"), 10, None).expect("reads").rows.len(),
        1
    );
}

pub(super) fn slugs_are_unique_where_they_must_be(store: &dyn Engine) {
    two_tenants(store);
    let mut again = tenant("c");
    again.organization.slug = String::from("a");
    conflicts(store.create_organization(&again, &quiet("a")), "slug");
    let mut again = tenant("b");
    again.organization.slug = String::from("b2");
    conflicts(store.create_organization(&again, &quiet("b")), "id");

    let row = Team {
        id: team("other"),
        ..team_row("a", "default", false)
    };
    conflicts(store.create_team(&row, &quiet("a")), "slug");
    let row = Project {
        id: proj("other"),
        ..project_row("a", "default", "default", ProjectKind::Application)
    };
    conflicts(store.create_project(&row, &quiet("a")), "slug");
    store
        .create_team(&team_row("a", "shop", false), &quiet("a"))
        .expect("creates");
    store
        .create_team(&team_row("b", "shop", false), &quiet("b"))
        .expect("creates");
}

pub(super) fn a_project_belongs_to_a_team_of_its_own_organization(store: &dyn Engine) {
    two_tenants(store);
    let mut row = project_row("a", "default", "stray", ProjectKind::Application);
    row.team_id = team("b-default");
    let refused = store.create_project(&row, &quiet("a"));
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    assert_eq!(store.project(&org("a"), &row.id).expect("reads"), None);
}

pub(super) fn projects_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = project_row("a", "default", "default", ProjectKind::Application);
    assert_eq!(
        store.project(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );
    assert_eq!(store.project(&org("b"), &row.id).expect("reads"), None);
}

pub(super) fn the_governance_project_is_the_oldest_live_one(store: &dyn Engine) {
    two_tenants(store);
    let mut row = project_row("a", "governance", "older", ProjectKind::InternalGovernance);
    row.created_at = at(0);
    store.create_project(&row, &quiet("a")).expect("creates");
    let mut gone = project_row("a", "governance", "gone", ProjectKind::InternalGovernance);
    (gone.created_at, gone.archived_at) = (at(-1), Some(at(5)));
    store.create_project(&gone, &quiet("a")).expect("creates");
    assert_eq!(
        store.governance_project(&org("a")).expect("reads"),
        Some(row)
    );
    let other = store
        .governance_project(&org("b"))
        .expect("reads")
        .expect("there is one");
    assert_eq!(other.id, proj("b-governance"));
    assert_eq!(store.governance_project(&org("c")).expect("reads"), None);
}

pub(super) fn scopes_resolve_by_id_then_by_slug_inside_the_organization(store: &dyn Engine) {
    two_tenants(store);
    // A slug that reads like the id of another team.
    let mut trap = team_row("a", "trap", false);
    trap.slug = String::from("team_a-default");
    store.create_team(&trap, &quiet("a")).expect("creates");
    let mut gone = project_row("a", "default", "gone", ProjectKind::Application);
    gone.archived_at = Some(at(5));
    store.create_project(&gone, &quiet("a")).expect("creates");

    let resolve = |kind, text: &str| {
        store
            .resolve_scope(&org("a"), kind, text)
            .expect("the store answers")
    };
    assert_eq!(resolve(ScopeKind::Organization, "a"), Some(whole("a")));
    assert_eq!(resolve(ScopeKind::Organization, "org_a"), Some(whole("a")));
    assert_eq!(resolve(ScopeKind::Organization, "org_b"), None);
    assert_eq!(resolve(ScopeKind::Organization, "b"), None);
    assert_eq!(
        resolve(ScopeKind::Team, "default"),
        Some(Scope::Team(team("a-default")))
    );
    assert_eq!(
        resolve(ScopeKind::Team, "team_a-default"),
        Some(Scope::Team(team("a-default")))
    );
    assert_eq!(resolve(ScopeKind::Team, "team_b-default"), None);
    assert_eq!(resolve(ScopeKind::Team, "governance"), None, "hidden");
    assert_eq!(
        resolve(ScopeKind::Project, "default"),
        Some(Scope::Project(proj("a-default")))
    );
    assert_eq!(
        resolve(ScopeKind::Project, "proj_a-governance").map(|_| ()),
        Some(())
    );
    assert_eq!(resolve(ScopeKind::Project, "proj_b-default"), None);
    assert_eq!(resolve(ScopeKind::Project, "gone"), None);
    assert_eq!(resolve(ScopeKind::Project, "proj_a-gone"), None);
    assert_eq!(resolve(ScopeKind::Project, ""), None);
}

// People and API keys.

pub(super) fn an_account_is_completed_and_found_by_its_email(store: &dyn Engine) {
    two_tenants(store);
    let mut row = first_start().administrator;
    row.email = Some(String::from("Ada@Example.COM"));
    row.password_hash = Some(String::from("$argon2id$"));
    assert!(
        store
            .update_user(&row, &quiet("a"))
            .expect("writes")
            .is_some()
    );
    row.email = Some(String::from("ada@example.com"));
    assert_eq!(store.user(&row.id).expect("reads"), Some(row.clone()));
    assert_eq!(
        store.user_by_email("ADA@example.com").expect("reads"),
        Some(row.clone())
    );
    assert_eq!(store.user_by_email("bob@example.com").expect("reads"), None);

    let memberships = store.memberships(&row.id).expect("reads");
    assert_eq!(memberships.len(), 1);
    assert_eq!(memberships[0].organization.id, org("a"));
    assert_eq!(memberships[0].role, MemberRole::Admin);
    assert!(store.members(&org("b")).expect("reads").is_empty());

    row.id = UserId::parse("user_nobody").expect("an id");
    row.email = None;
    let audited = store.audit(&org("a"), 10, None).expect("reads").rows.len();
    assert_eq!(store.update_user(&row, &quiet("a")).expect("answers"), None);
    assert_eq!(store.user(&row.id).expect("reads"), None);
    assert_eq!(
        store.audit(&org("a"), 10, None).expect("reads").rows.len(),
        audited
    );
}

pub(super) fn an_api_key_is_found_by_its_public_part_and_touched_forwards(store: &dyn Engine) {
    two_tenants(store);
    let row = api_key("second");
    store.create_api_key(&row, &quiet("a")).expect("creates");
    let twin = ApiKey {
        lookup_id: row.lookup_id.clone(),
        ..api_key("third")
    };
    conflicts(store.create_api_key(&twin, &quiet("a")), "lookup_id");
    conflicts(
        store.create_api_key(
            &ApiKey {
                lookup_id: String::from("x"),
                ..row.clone()
            },
            &quiet("a"),
        ),
        "id",
    );
    assert_eq!(store.api_key_by_lookup_id("unknown").expect("reads"), None);
    for (touch, seen) in [(20, 20), (10, 20), (30, 30)] {
        store.touch_api_key(&row.id, at(touch)).expect("writes");
        let found = store
            .api_key_by_lookup_id(&row.lookup_id)
            .expect("reads")
            .expect("a key");
        assert_eq!(found.last_used_at, Some(at(seen)));
    }
}

// Model providers.
