//! Organizations, teams and projects.

use super::*;

pub(super) fn a_first_start_happens_once_and_whole(store: &dyn Engine) {
    assert!(store.is_empty().expect("reads"));
    let mut broken = tenant("a");
    broken.governance_project.team_id = team("nowhere");
    corrupt(tried(store, "a", Write::FirstOrganization(&broken)));
    assert!(
        store.is_empty().expect("reads"),
        "nothing of the refused start is there"
    );

    start(store).expect("starts");
    assert!(!store.is_empty().expect("reads"));
    conflicts(start(store), "organization");
    let second = tenant("b");
    conflicts(
        tried(store, "b", Write::FirstOrganization(&second)),
        "organization",
    );

    let first = tenant("a");
    let organization = Some(first.organization);
    assert_eq!(store.organization(&org("a")).expect("reads"), organization);
    let by_slug = store.organization_by_slug("a").expect("reads");
    assert_eq!(by_slug, organization);
    assert_eq!(store.organization(&org("b")).expect("reads"), None);
    assert_eq!(store.organization_by_slug("b").expect("reads"), None);
    assert_eq!(
        store.teams(&org("a")).expect("reads"),
        [first.default_team, first.hidden_team]
    );
    assert_eq!(
        store.projects(&org("a")).expect("reads"),
        [first.default_project, first.governance_project]
    );
    let access = store.access_by_lookup_id("lookup-first").expect("reads");
    assert_eq!(access.expect("a key").key, api_key("a", "first"));
    let members = store.members(&org("a")).expect("reads");
    assert_eq!(members.len(), 1);
    assert_eq!(
        (&members[0].user, members[0].role),
        (&person("admin"), MemberRole::Admin)
    );
    assert_eq!(members[0].created_at, at(1));
    assert_eq!(all_audited(store, "a").len(), 1);
}

pub(super) fn organizations_are_changed_and_listed_oldest_first(store: &dyn Engine) {
    two_tenants(store);
    let mut third = tenant("c");
    third.organization.created_at = at(0);
    done(store, "c", &[Write::InsertOrganization(&third)]);
    let ids: Vec<_> = store.organizations().expect("reads");
    let ids: Vec<_> = ids.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["org_c", "org_a", "org_b"]);

    let mut row = organization_row("a");
    row.name = String::from("New");
    row.slug = String::from("new");
    row.settings.support_contact = text("help@example.com");
    row.settings.max_session_duration_days = 7;
    row.settings.payload_capture_enabled = false;
    row.settings.payload_capture_default = CaptureMode::MetadataOnly;
    row.created_at = at(77);
    row.updated_at = at(78);
    done(store, "a", &[Write::UpdateOrganization(&row)]);
    row.created_at = at(1);
    assert_eq!(store.organization(&org("a")).expect("reads"), Some(row));
    let taken = Organization {
        slug: String::from("b"),
        ..organization_row("a")
    };
    conflicts(tried(store, "a", Write::UpdateOrganization(&taken)), "slug");
    let nobody = organization_row("nobody");
    missing(tried(store, "a", Write::UpdateOrganization(&nobody)));
    assert_eq!(
        store.organization(&org("b")).expect("reads"),
        Some(organization_row("b"))
    );
}

pub(super) fn slugs_are_unique_where_they_must_be(store: &dyn Engine) {
    two_tenants(store);
    let mut again = tenant("c");
    again.organization.slug = String::from("a");
    conflicts(tried(store, "a", Write::InsertOrganization(&again)), "slug");
    let mut again = tenant("b");
    again.organization.slug = String::from("b2");
    conflicts(tried(store, "b", Write::InsertOrganization(&again)), "id");

    let row = Team {
        id: team("other"),
        ..team_row("a", "default", false)
    };
    conflicts(tried(store, "a", Write::InsertTeam(&row)), "slug");
    let row = Project {
        id: proj("other"),
        ..project_row("a", "default", "default", ProjectKind::Application)
    };
    conflicts(tried(store, "a", Write::InsertProject(&row)), "slug");
    for organization in ["a", "b"] {
        let row = team_row(organization, "shop", false);
        done(store, organization, &[Write::InsertTeam(&row)]);
    }
    let row = Team {
        slug: String::from("default"),
        ..team_row("a", "shop", false)
    };
    conflicts(tried(store, "a", Write::UpdateTeam(&row)), "slug");
}

pub(super) fn a_team_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let mut row = team_row("a", "own", false);
    row.personal_owner = Some(user("admin"));
    row.archived_at = Some(at(4));
    row.updated_at = at(5);
    done(store, "a", &[Write::InsertTeam(&row)]);
    let found = |id: &TeamId| store.team(&org("a"), id).expect("reads");
    assert_eq!(found(&row.id), Some(row.clone()));
    assert_eq!(store.team(&org("b"), &row.id).expect("reads"), None);

    let changed = Team {
        id: row.id.clone(),
        created_at: at(88),
        updated_at: at(9),
        ..team_row("a", "renamed", true)
    };
    done(store, "a", &[Write::UpdateTeam(&changed)]);
    let expected = Team {
        created_at: at(1),
        ..changed.clone()
    };
    assert_eq!(found(&row.id), Some(expected.clone()));

    let stolen = Team {
        organization_id: org("b"),
        ..changed
    };
    missing(tried(store, "b", Write::UpdateTeam(&stolen)));
    assert_eq!(found(&row.id), Some(expected));
    let stranger = Team {
        personal_owner: Some(user("admin")),
        ..team_row("b", "own", false)
    };
    corrupt(tried(store, "b", Write::InsertTeam(&stranger)));
}

pub(super) fn a_project_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let mut row = project_row("a", "default", "full", ProjectKind::Personal);
    row.language = String::from("python");
    row.framework = String::from("none");
    row.pii_redaction_level = PiiRedactionLevel::Strict;
    row.key = Some(ProjectKey {
        hash: String::from("hash"),
        sealed: String::from("lw1.key"),
    });
    row.archived_at = Some(at(4));
    row.updated_at = at(5);
    done(store, "a", &[Write::InsertProject(&row)]);
    let found = |id: &ProjectId| store.project(&org("a"), id).expect("reads");
    assert_eq!(found(&row.id), Some(row.clone()));

    let changed = Project {
        id: row.id.clone(),
        created_at: at(88),
        updated_at: at(9),
        ..project_row("a", "governance", "moved", ProjectKind::Application)
    };
    done(store, "a", &[Write::UpdateProject(&changed)]);
    let expected = Project {
        created_at: at(1),
        ..changed.clone()
    };
    assert_eq!(found(&row.id), Some(expected.clone()));

    let elsewhere = Project {
        team_id: team("b-default"),
        ..changed.clone()
    };
    corrupt(tried(store, "a", Write::UpdateProject(&elsewhere)));
    let stolen = Project {
        organization_id: org("b"),
        team_id: team("b-default"),
        ..changed
    };
    missing(tried(store, "b", Write::UpdateProject(&stolen)));
    assert_eq!(found(&row.id), Some(expected));
}

pub(super) fn a_project_belongs_to_a_team_of_its_own_organization(store: &dyn Engine) {
    two_tenants(store);
    let mut row = project_row("a", "default", "stray", ProjectKind::Application);
    row.team_id = team("b-default");
    corrupt(tried(store, "a", Write::InsertProject(&row)));
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

pub(super) fn a_project_key_finds_live_projects_in_live_teams_only(store: &dyn Engine) {
    two_tenants(store);
    let keyed = |name: &str, hash: &str| Project {
        key: Some(ProjectKey {
            hash: hash.to_owned(),
            sealed: String::from("lw1.key"),
        }),
        ..project_row("a", "default", name, ProjectKind::Application)
    };
    let mut row = keyed("p", "h1");
    done(store, "a", &[Write::InsertProject(&row)]);
    let find = |hash: &str| store.project_by_key_hash(hash).expect("reads");
    let expected = Some((organization_row("a"), row.clone()));
    assert_eq!(find("h1"), expected);
    assert_eq!(find("h2"), None);
    let twin = keyed("q", "h1");
    conflicts(tried(store, "a", Write::InsertProject(&twin)), "key_hash");

    row.archived_at = Some(at(9));
    done(store, "a", &[Write::UpdateProject(&row)]);
    assert_eq!(find("h1"), None, "archived");
    row.archived_at = None;
    let mut around = team_row("a", "default", false);
    around.archived_at = Some(at(9));
    done(
        store,
        "a",
        &[Write::UpdateProject(&row), Write::UpdateTeam(&around)],
    );
    assert_eq!(find("h1"), None, "its team is archived");
    around.archived_at = None;
    done(store, "a", &[Write::UpdateTeam(&around)]);
    assert_eq!(find("h1"), expected);
}

pub(super) fn the_governance_project_is_the_oldest_live_one(store: &dyn Engine) {
    two_tenants(store);
    let mut row = project_row("a", "governance", "older", ProjectKind::InternalGovernance);
    row.created_at = at(0);
    let mut gone = project_row("a", "governance", "gone", ProjectKind::InternalGovernance);
    (gone.created_at, gone.archived_at) = (at(-1), Some(at(5)));
    done(
        store,
        "a",
        &[Write::InsertProject(&row), Write::InsertProject(&gone)],
    );
    let governance = |organization| store.governance_project(&org(organization)).expect("reads");
    assert_eq!(governance("a"), Some(row));
    assert_eq!(governance("b").expect("one").id, proj("b-governance"));
    assert_eq!(governance("c"), None);
}

pub(super) fn scopes_resolve_by_id_then_by_slug_inside_the_organization(store: &dyn Engine) {
    two_tenants(store);
    // A slug that reads like the id of another team.
    let mut trap = team_row("a", "trap", false);
    trap.slug = String::from("team_a-default");
    let mut gone = project_row("a", "default", "gone", ProjectKind::Application);
    gone.archived_at = Some(at(5));
    let mut over = team_row("a", "over", false);
    over.archived_at = Some(at(5));
    done(
        store,
        "a",
        &[
            Write::InsertTeam(&trap),
            Write::InsertTeam(&over),
            Write::InsertProject(&gone),
        ],
    );

    let resolve = |kind, text: &str| {
        store
            .resolve_scope(&org("a"), kind, text)
            .expect("the store answers")
    };
    let default_team = Some(team_scope("a-default"));
    for (kind, text, expected) in [
        (ScopeKind::Organization, "a", Some(whole("a"))),
        (ScopeKind::Organization, "org_a", Some(whole("a"))),
        (ScopeKind::Organization, "org_b", None),
        (ScopeKind::Organization, "b", None),
        (ScopeKind::Team, "default", default_team.clone()),
        (ScopeKind::Team, "team_a-default", default_team),
        (ScopeKind::Team, "team_b-default", None),
        (ScopeKind::Team, "governance", None),
        (ScopeKind::Team, "over", None),
        (ScopeKind::Team, "team_a-over", None),
        (
            ScopeKind::Project,
            "default",
            Some(project_scope("a-default")),
        ),
        (
            ScopeKind::Project,
            "proj_a-governance",
            Some(project_scope("a-governance")),
        ),
        (ScopeKind::Project, "proj_b-default", None),
        (ScopeKind::Project, "gone", None),
        (ScopeKind::Project, "proj_a-gone", None),
        (ScopeKind::Project, "", None),
    ] {
        assert_eq!(resolve(kind, text), expected, "{kind:?} {text}");
    }
}
