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

mod changes;
mod keys;
mod providers;
mod tenants;

use changes::*;
use keys::*;
use providers::*;
use tenants::*;

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
