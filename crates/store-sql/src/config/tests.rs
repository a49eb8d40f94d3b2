//! The conformance suite of [`ConfigStore`] and [`KeySource`]: every method, on every engine.
//!
//! A test takes an empty store and knows no engine; [`engine_tests`] runs all of them on one. What only
//! SQLite does is tested in [`sqlite`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use lw_core::{
    ApiKeyId, ModelProviderId, OrganizationId, ProjectId, TeamId, UnixMicros, UserId, VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::bundle::KeySource;
use lw_store::config::{
    AuditRow, Change, ChangeEvent, ChangeKind, ChangeRevision, ConfigStore, Cursor, FirstStart,
    MemberRole, ModelProviderFilter, Page, ScopeKind, Tenant, VirtualKeyFilter,
};
use lw_store::rows::{
    ApiKey, KeyStatus, ModelProvider, Organization, Project, ProjectKind, RateLimit, Scope, Team,
    User, VirtualKey,
};

/// What an engine gives to the suite.
trait Engine: ConfigStore + KeySource {}
impl<T: ConfigStore + KeySource> Engine for T {}

/// Runs every test of the suite on one engine. `$open` gives an empty store and what keeps it alive.
macro_rules! engine_tests {
    ($open:path; $($test:ident),+ $(,)?) => {
        $(#[test]
        fn $test() {
            let (store, _alive) = $open();
            super::$test(&store);
        })+
    };
}

// Values.

fn org(name: &str) -> OrganizationId {
    OrganizationId::parse(&format!("org_{name}")).expect("an id")
}

fn team(name: &str) -> TeamId {
    TeamId::parse(&format!("team_{name}")).expect("an id")
}

fn proj(name: &str) -> ProjectId {
    ProjectId::parse(&format!("proj_{name}")).expect("an id")
}

fn mp(name: &str) -> ModelProviderId {
    ModelProviderId::parse(&format!("mp_{name}")).expect("an id")
}

fn vk(name: &str) -> VirtualKeyId {
    VirtualKeyId::parse(&format!("vk_{name}")).expect("an id")
}

fn at(second: i64) -> UnixMicros {
    UnixMicros(second * 1_000_000)
}

fn team_row(organization: &str, name: &str, hidden: bool) -> Team {
    Team {
        id: team(&format!("{organization}-{name}")),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        hidden,
        created_at: at(1),
    }
}

fn project_row(organization: &str, team_name: &str, name: &str, kind: ProjectKind) -> Project {
    Project {
        id: proj(&format!("{organization}-{name}")),
        team_id: team(&format!("{organization}-{team_name}")),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        kind,
        archived_at: None,
        created_at: at(1),
    }
}

fn tenant(name: &str) -> Tenant {
    Tenant {
        organization: Organization {
            id: org(name),
            name: name.to_owned(),
            slug: name.to_owned(),
            created_at: at(1),
            updated_at: at(1),
        },
        default_team: team_row(name, "default", false),
        default_project: project_row(name, "default", "default", ProjectKind::Application),
        hidden_team: team_row(name, "governance", true),
        governance_project: project_row(
            name,
            "governance",
            "governance",
            ProjectKind::InternalGovernance,
        ),
    }
}

fn api_key(name: &str) -> ApiKey {
    ApiKey {
        id: ApiKeyId::parse(&format!("ak_{name}")).expect("an id"),
        organization_id: org("a"),
        name: name.to_owned(),
        lookup_id: format!("lookup-{name}"),
        hashed_secret: String::from("hash"),
        created_at: at(1),
        expires_at: Some(at(99)),
        revoked_at: None,
        last_used_at: None,
    }
}

fn first_start() -> FirstStart {
    FirstStart {
        tenant: tenant("a"),
        administrator: User {
            id: UserId::parse("user_admin").expect("an id"),
            email: None,
            name: String::from("Admin"),
            password_hash: None,
            created_at: at(1),
        },
        api_key: api_key("first"),
    }
}

fn provider(organization: &str, name: &str, scopes: &[Scope]) -> ModelProvider {
    ModelProvider {
        id: mp(name),
        organization_id: org(organization),
        name: name.to_owned(),
        provider: String::from("openai"),
        routing_handle: None,
        enabled: true,
        scopes: scopes.to_vec(),
        sealed_keys: String::from("lw1.sealed"),
        sealed_extra_headers: None,
        custom_models: None,
        custom_embeddings_models: None,
        deployment_mapping: None,
        rate_limit: RateLimit::default(),
        fallback_priority_global: None,
        provider_config: None,
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

fn key(organization: &str, name: &str, scopes: &[Scope]) -> VirtualKey {
    VirtualKey {
        id: vk(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        status: KeyStatus::Active,
        env: String::from("live"),
        external_id: None,
        metadata: BTreeMap::new(),
        scopes: scopes.to_vec(),
        trace_project_id: proj(&format!("{organization}-governance")),
        principal_user_id: None,
        routing_mode: String::from("none"),
        expires_at: None,
        config: String::from("{}"),
        revision: 1,
        hashed_secret: format!("hash-{name}"),
        display_prefix: String::from("vk-lw-0123456"),
        previous_hashed_secret: None,
        previous_secret_valid_until: None,
        disabled_reason: None,
        disabled_at: None,
        revoked_at: None,
        last_used_at: None,
        created_by: String::from("user_admin"),
        created_at: at(10),
        updated_at: at(10),
    }
}

fn audit_row(organization: &str) -> AuditRow {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AuditRow {
        id: format!("aud_{number:06}"),
        created_at: at(1_000 + number),
        user_id: Some(String::from("user_admin")),
        organization_id: Some(org(organization)),
        project_id: None,
        action: String::from("gateway.virtual_key.created"),
        target_kind: Some(String::from("virtual_key")),
        target_id: Some(String::from("vk_1")),
        before: None,
        after: Some(String::from("{}")),
        args: None,
        metadata: None,
        error: None,
        ip_address: Some(String::from("127.0.0.1")),
        user_agent: None,
    }
}

fn quiet(organization: &str) -> Change {
    Change {
        event: None,
        audit: audit_row(organization),
    }
}

fn loud(organization: &str, kind: ChangeKind) -> Change {
    let event = ChangeEvent {
        kind,
        organization_id: org(organization),
        virtual_key_id: Some(vk("1")),
        model_provider_id: None,
        project_id: Some(proj("p")),
    };
    Change {
        event: Some(event),
        audit: audit_row(organization),
    }
}

/// Two tenants, `a` and `b`, alike but for their ids.
fn two_tenants(store: &dyn Engine) {
    store
        .first_start(&first_start(), &quiet("a"))
        .expect("starts");
    store
        .create_organization(&tenant("b"), &quiet("b"))
        .expect("creates");
}

fn whole(organization: &str) -> Scope {
    Scope::Organization(org(organization))
}

fn names(rows: &[ModelProvider]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

#[track_caller]
fn conflicts<T: std::fmt::Debug>(answer: Result<T, StoreError>, expected: &str) {
    match answer {
        Err(StoreError::Conflict { field }) => assert_eq!(field, expected),
        other => panic!("a conflict on {expected} was expected: {other:?}"),
    }
}

// First start and tenants.

fn a_first_start_happens_once_and_whole(store: &dyn Engine) {
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

fn slugs_are_unique_where_they_must_be(store: &dyn Engine) {
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

fn a_project_belongs_to_a_team_of_its_own_organization(store: &dyn Engine) {
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

fn projects_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = project_row("a", "default", "default", ProjectKind::Application);
    assert_eq!(
        store.project(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );
    assert_eq!(store.project(&org("b"), &row.id).expect("reads"), None);
}

fn the_governance_project_is_the_oldest_live_one(store: &dyn Engine) {
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

fn scopes_resolve_by_id_then_by_slug_inside_the_organization(store: &dyn Engine) {
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

fn an_account_is_completed_and_found_by_its_email(store: &dyn Engine) {
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

fn an_api_key_is_found_by_its_public_part_and_touched_forwards(store: &dyn Engine) {
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

fn a_provider_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        Scope::Project(proj("a-default")),
        whole("a"),
        Scope::Team(team("a-default")),
    ];
    let mut row = provider("a", "full", &scopes);
    row.routing_handle = Some(String::from("main"));
    row.sealed_extra_headers = Some(String::from("lw1.headers"));
    row.custom_models = Some(vec![String::from("m1"), String::from("m2")]);
    row.custom_embeddings_models = Some(vec![String::from("e1")]);
    row.deployment_mapping = Some(BTreeMap::from([(String::from("m1"), String::from("d1"))]));
    row.rate_limit = RateLimit {
        rpm: Some(1),
        tpm: Some(2),
        rpd: Some(3),
    };
    row.fallback_priority_global = Some(-4);
    row.provider_config = Some(String::from(r#"{"region":"eu"}"#));
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );

    let plain = provider("a", "plain", &[whole("a")]);
    let changed = ModelProvider {
        id: row.id.clone(),
        updated_at: at(20),
        ..plain
    };
    let written = store
        .update_model_provider(&changed, 1, &quiet("a"))
        .expect("writes");
    assert!(written.is_some());
    let found = store.model_provider(&org("a"), &row.id).expect("reads");
    assert_eq!(
        found,
        Some(ModelProvider {
            revision: 2,
            ..changed
        })
    );
}

fn a_provider_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    store
        .update_model_provider(&row, 1, &loud("a", ChangeKind::ModelProviderUpdated))
        .expect("ok");
    let before = store.latest_change().expect("reads");
    let change = loud("a", ChangeKind::ModelProviderUpdated);
    let stale = store.update_model_provider(&row, 1, &change);
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert_eq!(
        store.latest_change().expect("reads"),
        before,
        "nothing was announced"
    );
    assert!(
        store
            .update_model_provider(&row, 2, &change)
            .expect("writes")
            .is_some()
    );
}

fn a_handle_is_unique_in_its_organization_only(store: &dyn Engine) {
    two_tenants(store);
    let handled = |organization: &str, name: &str| ModelProvider {
        routing_handle: Some(String::from("main")),
        ..provider(organization, name, &[whole(organization)])
    };
    store
        .create_model_provider(&handled("a", "1"), &quiet("a"))
        .expect("creates");
    conflicts(
        store.create_model_provider(&handled("a", "2"), &quiet("a")),
        "routing_handle",
    );
    store
        .create_model_provider(&handled("b", "3"), &quiet("b"))
        .expect("creates");
    for name in ["4", "5"] {
        let row = provider("a", name, &[whole("a")]);
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("no handle is no conflict");
    }
    conflicts(
        store.update_model_provider(&handled("a", "5"), 1, &quiet("a")),
        "routing_handle",
    );
    conflicts(
        store.create_model_provider(&provider("a", "1", &[]), &quiet("a")),
        "id",
    );
}

fn a_deleted_provider_is_gone_with_its_scopes(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    let change = loud("a", ChangeKind::ModelProviderUpdated);
    let foreign = store
        .delete_model_provider(&org("b"), &row.id, &quiet("b"))
        .expect("answers");
    assert_eq!(foreign, None);
    assert!(
        store
            .delete_model_provider(&org("a"), &row.id, &change)
            .expect("writes")
            .is_some()
    );
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        None
    );
    assert!(
        store
            .reachable_providers(&org("a"), &[whole("a")])
            .expect("reads")
            .is_empty()
    );
    let again = loud("a", ChangeKind::ModelProviderUpdated);
    assert_eq!(
        store
            .delete_model_provider(&org("a"), &row.id, &again)
            .expect("answers"),
        None
    );
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("its id is free again");
}

fn providers_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = provider("a", "p", &[whole("a")]);
    store
        .create_model_provider(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.model_provider(&org("b"), &row.id).expect("reads"),
        None
    );
    let stolen = ModelProvider {
        organization_id: org("b"),
        scopes: vec![],
        ..row.clone()
    };
    assert_eq!(
        store
            .update_model_provider(&stolen, 1, &quiet("b"))
            .expect("answers"),
        None
    );
    let page = store.model_providers(&org("b"), &ModelProviderFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());
    for scope in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        let crossing = provider("a", "crossing", &[scope]);
        let refused = store.create_model_provider(&crossing, &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
        let moved = ModelProvider {
            id: row.id.clone(),
            ..crossing
        };
        let refused = store.update_model_provider(&moved, 1, &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        store.model_provider(&org("a"), &row.id).expect("reads"),
        Some(row)
    );
}

fn a_walk_over_providers_is_stable_under_writes(store: &dyn Engine) {
    two_tenants(store);
    // Two share each instant: the id decides.
    for number in 0..6_i64 {
        let mut row = provider("a", &format!("p{number}"), &[whole("a")]);
        row.created_at = at(10 + number / 2);
        if number == 5 {
            row.provider = String::from("anthropic");
        }
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("creates");
    }
    let list = |kind: Option<&str>, limit, after: Option<&Cursor>| {
        let filter = ModelProviderFilter {
            provider: kind.map(str::to_owned),
        };
        store
            .model_providers(&org("a"), &filter, limit, after)
            .expect("reads")
    };
    let first = list(None, 2, None);
    assert_eq!(names(&first.rows), ["p5", "p4"]);
    // The row that the cursor names goes, and a newer one comes.
    store
        .delete_model_provider(&org("a"), &mp("p4"), &quiet("a"))
        .expect("deletes");
    let newer = ModelProvider {
        created_at: at(99),
        ..provider("a", "new", &[whole("a")])
    };
    store
        .create_model_provider(&newer, &quiet("a"))
        .expect("creates");
    let second = list(None, 3, first.next.as_ref());
    assert_eq!(names(&second.rows), ["p3", "p2", "p1"]);
    let third = list(None, 2, second.next.as_ref());
    assert_eq!(names(&third.rows), ["p0"]);
    assert_eq!(third.next, None);
    assert_eq!(names(&list(Some("anthropic"), 9, None).rows), ["p5"]);
    assert_eq!(
        list(Some("nobody"), 9, None),
        Page {
            rows: vec![],
            next: None
        }
    );
    assert_eq!(
        list(None, 5, None).next.map(|cursor| cursor.id),
        Some(String::from("mp_p1"))
    );
}

fn reachable_providers_come_in_dispatch_order(store: &dyn Engine) {
    two_tenants(store);
    store
        .create_team(&team_row("a", "shop", false), &quiet("a"))
        .expect("creates");
    let row = project_row("a", "shop", "cart", ProjectKind::Application);
    store.create_project(&row, &quiet("a")).expect("creates");
    let (shop, cart) = (Scope::Team(team("a-shop")), Scope::Project(proj("a-cart")));
    let default = Scope::Project(proj("a-default"));
    let rows: [(&str, &[Scope], Option<i64>, i64); 8] = [
        ("unset-old", &[whole("a")], None, 1),
        ("unset-b", &[whole("a")], None, 2),
        ("unset-a", &[whole("a")], None, 2),
        (
            "second",
            &[whole("a"), shop.clone(), cart.clone()],
            Some(2),
            9,
        ),
        ("first", std::slice::from_ref(&cart), Some(-1), 9),
        ("second-older", std::slice::from_ref(&shop), Some(2), 8),
        ("default", &[default], Some(0), 1),
        ("off", &[whole("a")], Some(0), 1),
    ];
    for (name, scopes, priority, created) in rows {
        let mut row = provider("a", name, scopes);
        (row.fallback_priority_global, row.created_at) = (priority, at(created));
        row.enabled = name != "off";
        store
            .create_model_provider(&row, &quiet("a"))
            .expect("creates");
    }
    let safety = ModelProvider {
        provider: String::from("azure_safety"),
        ..provider("a", "safety", &[whole("a")])
    };
    store
        .create_model_provider(&safety, &quiet("a"))
        .expect("creates");
    let foreign = provider(
        "b",
        "foreign",
        &[whole("b"), Scope::Team(team("b-default"))],
    );
    store
        .create_model_provider(&foreign, &quiet("b"))
        .expect("creates");

    let reach = |scopes: &[Scope]| {
        let rows = store.reachable_providers(&org("a"), scopes).expect("reads");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    let organization = ["second", "unset-old", "unset-a", "unset-b"];
    assert_eq!(reach(&[whole("a")]), organization);
    assert_eq!(
        reach(&[]),
        organization,
        "its own organization is always reached"
    );
    for elsewhere in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        assert_eq!(reach(&[elsewhere]), organization, "another one never is");
    }
    assert_eq!(
        reach(std::slice::from_ref(&shop)),
        ["second-older", "second", "unset-old", "unset-a", "unset-b"]
    );
    assert_eq!(
        reach(&[cart.clone(), shop]),
        [
            "first",
            "second-older",
            "second",
            "unset-old",
            "unset-a",
            "unset-b"
        ]
    );
    let rows = store
        .reachable_providers(&org("a"), &[cart])
        .expect("reads");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[2].scopes.len(), 3, "scopes are complete");
}

// Virtual keys.

fn a_key_keeps_every_field(store: &dyn Engine) {
    two_tenants(store);
    let scopes = [
        Scope::Team(team("a-default")),
        whole("a"),
        Scope::Project(proj("a-default")),
    ];
    let mut row = key("a", "full", &scopes);
    row.description = Some(String::from("text"));
    row.status = KeyStatus::Disabled;
    row.external_id = Some(String::from("ext"));
    row.metadata = BTreeMap::from([(String::from("k"), String::from("v"))]);
    row.principal_user_id = Some(UserId::parse("user_admin").expect("an id"));
    row.expires_at = Some(at(50));
    row.config = String::from(r#"{"cache":{"mode":"force"}}"#);
    row.previous_hashed_secret = Some(String::from("old"));
    row.previous_secret_valid_until = Some(at(51));
    row.disabled_reason = Some(String::from("why"));
    row.disabled_at = Some(at(52));
    row.revoked_at = Some(at(53));
    row.last_used_at = Some(at(54));
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(row.clone())
    );

    let plain = VirtualKey {
        id: row.id.clone(),
        created_by: String::from("somebody"),
        created_at: at(77),
        ..key("a", "plain", &[whole("a")])
    };
    assert!(
        store
            .update_virtual_key(&plain, 1, &quiet("a"))
            .expect("writes")
            .is_some()
    );
    let expected = VirtualKey {
        revision: 2,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        ..plain
    };
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(expected)
    );
}

fn a_key_written_twice_from_one_read_is_stale(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    store
        .update_virtual_key(&row, 1, &quiet("a"))
        .expect("writes");
    let stale = store.update_virtual_key(&row, 1, &quiet("a"));
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    let nobody = VirtualKey {
        id: vk("nobody"),
        ..row
    };
    assert_eq!(
        store
            .update_virtual_key(&nobody, 1, &quiet("a"))
            .expect("answers"),
        None
    );
}

fn external_ids_are_unique_in_their_organization_and_hashes_everywhere(store: &dyn Engine) {
    two_tenants(store);
    let named = |organization: &str, name: &str| VirtualKey {
        external_id: Some(String::from("ext")),
        ..key(organization, name, &[whole(organization)])
    };
    store
        .create_virtual_key(&named("a", "1"), &quiet("a"))
        .expect("creates");
    conflicts(
        store.create_virtual_key(&named("a", "2"), &quiet("a")),
        "external_id",
    );
    store
        .create_virtual_key(&named("b", "3"), &quiet("b"))
        .expect("creates");
    let twin = VirtualKey {
        hashed_secret: String::from("hash-1"),
        ..key("b", "4", &[whole("b")])
    };
    conflicts(
        store.create_virtual_key(&twin, &quiet("b")),
        "hashed_secret",
    );
    let row = key("a", "5", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    conflicts(
        store.update_virtual_key(&named("a", "5"), 1, &quiet("a")),
        "external_id",
    );
    conflicts(store.create_virtual_key(&row, &quiet("a")), "id");
}

fn keys_of_another_organization_are_unknown(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    assert_eq!(store.virtual_key(&org("b"), &row.id).expect("reads"), None);
    let stolen = VirtualKey {
        trace_project_id: proj("b-default"),
        ..VirtualKey {
            organization_id: org("b"),
            scopes: vec![whole("b")],
            ..row.clone()
        }
    };
    assert_eq!(
        store
            .update_virtual_key(&stolen, 1, &quiet("b"))
            .expect("answers"),
        None
    );
    let page = store.virtual_keys(&org("b"), &VirtualKeyFilter::default(), 9, None);
    assert!(page.expect("reads").rows.is_empty());
    let elsewhere = VirtualKey {
        trace_project_id: proj("b-default"),
        ..row.clone()
    };
    let refused = store.update_virtual_key(&elsewhere, 1, &quiet("a"));
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    for scope in [
        whole("b"),
        Scope::Team(team("b-default")),
        Scope::Project(proj("b-default")),
    ] {
        let refused = store.create_virtual_key(&key("a", "crossing", &[scope]), &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Corrupt(_))),
            "{refused:?}"
        );
    }
    assert_eq!(
        store.virtual_key(&org("a"), &row.id).expect("reads"),
        Some(row)
    );
}

fn a_walk_over_keys_is_stable_under_writes_and_filters(store: &dyn Engine) {
    two_tenants(store);
    for number in 0..5_i64 {
        let mut row = key("a", &format!("k{number}"), &[whole("a")]);
        row.created_at = at(10 + number / 2);
        row.external_id = Some(format!("ext{number}"));
        if number % 2 == 1 {
            row.status = KeyStatus::Revoked;
        }
        store
            .create_virtual_key(&row, &quiet("a"))
            .expect("creates");
    }
    let list = |filter: &VirtualKeyFilter, limit, after: Option<&Cursor>| {
        let page = store
            .virtual_keys(&org("a"), filter, limit, after)
            .expect("reads");
        let names: Vec<_> = page.rows.into_iter().map(|row| row.name).collect();
        (names, page.next)
    };
    let every = VirtualKeyFilter::default();
    let (first, next) = list(&every, 2, None);
    assert_eq!(first, ["k4", "k3"]);
    let changed = VirtualKey {
        name: String::from("renamed"),
        ..key("a", "k3", &[whole("a")])
    };
    store
        .update_virtual_key(&changed, 1, &quiet("a"))
        .expect("writes");
    let newer = VirtualKey {
        created_at: at(99),
        ..key("a", "new", &[whole("a")])
    };
    store
        .create_virtual_key(&newer, &quiet("a"))
        .expect("creates");
    let (second, next) = list(&every, 3, next.as_ref());
    assert_eq!(second, ["k2", "k1", "k0"]);
    let (third, next) = list(&every, 3, next.as_ref());
    assert!(third.is_empty() && next.is_none());

    let revoked = VirtualKeyFilter {
        status: Some(KeyStatus::Revoked),
        ..every.clone()
    };
    assert_eq!(list(&revoked, 9, None).0, ["k1"]);
    let named = VirtualKeyFilter {
        external_id: Some(String::from("ext2")),
        ..every
    };
    assert_eq!(list(&named, 9, None).0, ["k2"]);
    let both = VirtualKeyFilter {
        status: Some(KeyStatus::Revoked),
        ..named
    };
    assert!(list(&both, 9, None).0.is_empty());
}

fn a_key_is_touched_forwards_without_a_new_revision(store: &dyn Engine) {
    two_tenants(store);
    let row = key("a", "k", &[whole("a")]);
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");
    let before = store.latest_change().expect("reads");
    store.touch_virtual_keys(&[]).expect("nothing to do");
    for (touch, seen) in [(20, 20), (10, 20), (30, 30)] {
        store
            .touch_virtual_keys(&[(vk("nobody"), at(1)), (vk("k"), at(touch))])
            .expect("writes");
        let found = store
            .virtual_key(&org("a"), &row.id)
            .expect("reads")
            .expect("a key");
        assert_eq!((found.last_used_at, found.revision), (Some(at(seen)), 1));
    }
    assert_eq!(store.latest_change().expect("reads"), before);
}

fn a_presented_key_is_found_by_its_current_or_previous_hash(store: &dyn Engine) {
    two_tenants(store);
    let project = Scope::Project(proj("a-default"));
    store
        .create_model_provider(&provider("a", "org", &[whole("a")]), &quiet("a"))
        .expect("ok");
    let near = ModelProvider {
        fallback_priority_global: Some(1),
        ..provider("a", "near", std::slice::from_ref(&project))
    };
    store
        .create_model_provider(&near, &quiet("a"))
        .expect("creates");
    let mut row = key("a", "k", &[project]);
    row.previous_hashed_secret = Some(String::from("old"));
    // The grace is over; the caller is the one with a clock.
    row.previous_secret_valid_until = Some(at(0));
    store
        .create_virtual_key(&row, &quiet("a"))
        .expect("creates");

    let find = |hashes: &[&str]| {
        let hashes: Vec<_> = hashes.iter().map(|hash| (*hash).to_owned()).collect();
        store.key_by_hash(&hashes).expect("reads")
    };
    let found = find(&["hash-k"]).expect("a key");
    assert_eq!(found.key, row);
    assert!(!found.previous_secret);
    assert_eq!(found.trace_project.id, proj("a-governance"));
    assert_eq!(names(&found.providers), ["near", "org"]);
    assert!(find(&["old"]).expect("a key").previous_secret);
    assert!(
        !find(&["under another pepper", "hash-k"])
            .expect("a key")
            .previous_secret
    );
    assert!(find(&["nobody"]).is_none());
    assert!(find(&[]).is_none());

    let other = VirtualKey {
        hashed_secret: String::from("old2"),
        ..key("b", "o", &[whole("b")])
    };
    store
        .create_virtual_key(&other, &quiet("b"))
        .expect("creates");
    let first = find(&["old2", "hash-k"]).expect("a key");
    assert_eq!(first.key.id, other.id, "the first hash wins");
    assert!(first.providers.is_empty());
}

// The record of changes.

fn changes_are_numbered_in_one_order(store: &dyn Engine) {
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(0));
    two_tenants(store);
    assert_eq!(
        store.latest_change().expect("reads"),
        ChangeRevision(0),
        "nothing to tell"
    );
    let mut given = Vec::new();
    for (name, organization) in [("1", "a"), ("2", "b"), ("3", "a")] {
        let row = key(organization, name, &[whole(organization)]);
        let change = loud(organization, ChangeKind::VkCreated);
        given.push(store.create_virtual_key(&row, &change).expect("creates"));
    }
    assert_eq!(given, [1, 2, 3].map(ChangeRevision));
    let quietly = store
        .create_team(&team_row("a", "shop", false), &quiet("a"))
        .expect("creates");
    assert_eq!(
        quietly,
        ChangeRevision(3),
        "a change without an event names the newest"
    );

    let twin = key("a", "1", &[whole("a")]);
    let refused = store.create_virtual_key(&twin, &loud("a", ChangeKind::VkCreated));
    conflicts(refused, "id");
    assert_eq!(
        store.latest_change().expect("reads"),
        ChangeRevision(3),
        "no gap, no ghost"
    );

    let rows = store.changes_since(ChangeRevision(0), 2).expect("reads");
    assert_eq!(
        rows.iter().map(|row| row.revision).collect::<Vec<_>>(),
        given[..2]
    );
    let rows = store.changes_since(ChangeRevision(2), 9).expect("reads");
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0].event,
        loud("a", ChangeKind::VkCreated).event.expect("an event")
    );
    assert!(
        store
            .changes_since(ChangeRevision(3), 9)
            .expect("reads")
            .is_empty()
    );
}

fn a_change_that_cannot_be_audited_does_not_happen(store: &dyn Engine) {
    two_tenants(store);
    let change = loud("a", ChangeKind::VkCreated);
    store
        .create_virtual_key(&key("a", "1", &[whole("a")]), &change)
        .expect("creates");
    // The same audit id again.
    conflicts(
        store.create_virtual_key(&key("a", "2", &[whole("a")]), &change),
        "id",
    );
    assert_eq!(store.virtual_key(&org("a"), &vk("2")).expect("reads"), None);
    assert_eq!(store.latest_change().expect("reads"), ChangeRevision(1));
}

fn the_audit_log_is_read_newest_first_by_its_own_organization(store: &dyn Engine) {
    two_tenants(store);
    let mut written = Vec::new();
    for name in ["1", "2", "3"] {
        let change = quiet("a");
        let row = Team {
            id: team(name),
            slug: name.to_owned(),
            ..team_row("a", "t", false)
        };
        store.create_team(&row, &change).expect("creates");
        written.insert(0, change.audit);
    }
    let first = store.audit(&org("a"), 2, None).expect("reads");
    assert_eq!(first.rows, written[..2]);
    let rest = store
        .audit(&org("a"), 9, first.next.as_ref())
        .expect("reads");
    assert_eq!(rest.rows.len(), 2, "the third team and the first start");
    assert_eq!(rest.rows[0], written[2]);
    assert_eq!(rest.next, None);
    assert_eq!(
        store.audit(&org("b"), 9, None).expect("reads").rows.len(),
        1
    );
}

mod sqlite {
    use std::path::PathBuf;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::*;
    use crate::Tuning;
    use crate::config::SqliteConfig;

    const HASTY: Tuning = Tuning {
        busy_timeout: Duration::from_millis(1),
        cache_kib: 512,
        readers: 2,
        durable: false,
    };

    fn open() -> (SqliteConfig, tempfile::TempDir) {
        let (store, folder, _) = open_at();
        (store, folder)
    }

    fn open_at() -> (SqliteConfig, tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.db");
        let store = SqliteConfig::open(&path, HASTY).expect("opens");
        (store, folder, path)
    }

    engine_tests! {
        open;
        a_change_that_cannot_be_audited_does_not_happen,
        a_deleted_provider_is_gone_with_its_scopes,
        a_first_start_happens_once_and_whole,
        a_handle_is_unique_in_its_organization_only,
        a_key_is_touched_forwards_without_a_new_revision,
        a_key_keeps_every_field,
        a_key_written_twice_from_one_read_is_stale,
        a_presented_key_is_found_by_its_current_or_previous_hash,
        a_project_belongs_to_a_team_of_its_own_organization,
        a_provider_keeps_every_field,
        a_provider_written_twice_from_one_read_is_stale,
        a_walk_over_keys_is_stable_under_writes_and_filters,
        a_walk_over_providers_is_stable_under_writes,
        an_account_is_completed_and_found_by_its_email,
        an_api_key_is_found_by_its_public_part_and_touched_forwards,
        changes_are_numbered_in_one_order,
        external_ids_are_unique_in_their_organization_and_hashes_everywhere,
        keys_of_another_organization_are_unknown,
        projects_of_another_organization_are_unknown,
        providers_of_another_organization_are_unknown,
        reachable_providers_come_in_dispatch_order,
        scopes_resolve_by_id_then_by_slug_inside_the_organization,
        slugs_are_unique_where_they_must_be,
        the_audit_log_is_read_newest_first_by_its_own_organization,
        the_governance_project_is_the_oldest_live_one,
    }

    #[test]
    fn a_locked_database_is_unavailable_for_writes_and_still_read() {
        let (store, _folder, path) = open_at();
        two_tenants(&store);
        let other = Connection::open(&path).expect("opens");
        other.execute_batch("BEGIN EXCLUSIVE").expect("locks");
        let row = key("a", "k", &[whole("a")]);
        let refused = store.create_virtual_key(&row, &quiet("a"));
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        assert!(!store.is_empty().expect("readers do not wait for writers"));
        let refused = SqliteConfig::open(&path, HASTY);
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
        other.execute_batch("ROLLBACK").expect("unlocks");
        store
            .create_virtual_key(&row, &quiet("a"))
            .expect("creates");
    }

    #[test]
    fn what_was_written_is_there_after_opening_again() {
        let (store, _folder, path) = open_at();
        two_tenants(&store);
        let row = key("a", "k", &[whole("a")]);
        store
            .create_virtual_key(&row, &loud("a", ChangeKind::VkCreated))
            .expect("creates");
        drop(store);
        let store = SqliteConfig::open(&path, HASTY).expect("opens");
        assert_eq!(
            store.virtual_key(&org("a"), &row.id).expect("reads"),
            Some(row)
        );
        assert_eq!(store.latest_change().expect("reads"), ChangeRevision(1));
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused() {
        let (store, _folder, path) = open_at();
        drop(store);
        let other = Connection::open(&path).expect("opens");
        other
            .execute("INSERT INTO schema_version (version) VALUES (999)", [])
            .expect("writes");
        let error = SqliteConfig::open(&path, HASTY)
            .expect_err("refuses")
            .to_string();
        assert!(error.contains("newer version"), "{error}");
    }

    #[test]
    fn a_damaged_row_is_corrupt_and_is_not_quoted() {
        let (store, _folder, path) = open_at();
        two_tenants(&store);
        let row = key("a", "k", &[whole("a")]);
        store
            .create_virtual_key(&row, &quiet("a"))
            .expect("creates");
        let other = Connection::open(&path).expect("opens");
        for (damage, column) in [
            (
                "UPDATE virtual_keys SET metadata = '{\"private\":'",
                "metadata",
            ),
            (
                "UPDATE virtual_keys SET status = 'private', metadata = '{}'",
                "status",
            ),
        ] {
            other.execute(damage, []).expect("damages");
            let error = store.virtual_key(&org("a"), &row.id).expect_err("refuses");
            assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(column) && !text.contains("private"), "{text}");
        }
    }

    #[test]
    fn readers_and_the_writer_work_side_by_side() {
        let patient = Tuning {
            busy_timeout: Duration::from_secs(30),
            ..HASTY
        };
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteConfig::open(&folder.path().join("c.db"), patient).expect("opens");
        two_tenants(&store);
        let row = key("a", "k", &[whole("a")]);
        store
            .create_virtual_key(&row, &quiet("a"))
            .expect("creates");
        let writers = 2_i64;
        std::thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    for _ in 0..50 {
                        // Whoever read an old revision tries again.
                        loop {
                            let found = store.virtual_key(&org("a"), &row.id).expect("reads");
                            let found = found.expect("a key");
                            let change = loud("a", ChangeKind::VkConfigUpdated);
                            match store.update_virtual_key(&found, found.revision, &change) {
                                Ok(written) => break assert!(written.is_some()),
                                Err(StoreError::Stale) => {}
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    }
                });
            }
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut seen = ChangeRevision(0);
                    while seen < ChangeRevision(writers * 50) {
                        for change in store.changes_since(seen, 1_000).expect("reads") {
                            assert_eq!(change.revision.0, seen.0 + 1, "in order, without gaps");
                            seen = change.revision;
                        }
                    }
                });
            }
        });
        let found = store
            .virtual_key(&org("a"), &row.id)
            .expect("reads")
            .expect("a key");
        assert_eq!(found.revision, 1 + writers * 50);
    }

    #[test]
    fn lists_walk_along_their_indexes() {
        let (_store, _folder, path) = open_at();
        let other = Connection::open(&path).expect("opens");
        for sql in [
            "SELECT * FROM virtual_keys WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
             ORDER BY created_at DESC, id DESC LIMIT $4",
            "SELECT * FROM model_providers WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
             ORDER BY created_at DESC, id DESC LIMIT $4",
            "SELECT * FROM audit_log WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
             ORDER BY created_at DESC, id DESC LIMIT $4",
            "SELECT * FROM virtual_keys WHERE previous_hashed_secret = $1",
        ] {
            let mut plan = other.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("explains");
            // No parameter is bound: NULL, which does not change the plan.
            let steps: Vec<String> = plan
                .raw_query()
                .mapped(|row| row.get("detail"))
                .collect::<Result<_, _>>()
                .expect("a plan");
            let steps = steps.join("; ");
            assert!(steps.contains("USING INDEX"), "{sql}: {steps}");
            assert!(!steps.contains("TEMP B-TREE"), "{sql}: {steps}");
        }
    }
}
