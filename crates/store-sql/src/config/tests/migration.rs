//! What becomes of a file of the first version.

use rusqlite::Connection;

use super::*;
use crate::Tuning;
use crate::config::{MIGRATIONS, SqliteConfig};
use crate::migrations::migrate;

/// Rows as the first version wrote them.
const FIRST: &str = "
INSERT INTO organizations VALUES ('org_a', 'a', 'a', 1000000, 1000000),
                                 ('org_b', 'b', 'b', 8000000, 8000000);
INSERT INTO teams VALUES ('team_a-default', 'org_a', 'default', 'default', 0, 1000000),
                         ('team_b-default', 'org_b', 'default', 'default', 1, 8000000);
INSERT INTO projects VALUES
    ('proj_a-governance', 'org_a', 'team_a-default', 'g', 'g', 'internal_governance', NULL, 1000000),
    ('proj_a-gone', 'org_a', 'team_a-default', 'x', 'x', 'application', 3000000, 2000000);
INSERT INTO users VALUES ('user_admin', 'admin@example.com', 'Admin', '$argon2id$', 5000000);
INSERT INTO organization_users VALUES ('org_a', 'user_admin', 'ADMIN'),
                                      ('org_b', 'user_admin', 'EXTERNAL');
INSERT INTO api_keys VALUES
    ('ak_01HZX9', 'org_a', 'first', 'lookup-first', 'hash', 2000000, NULL, NULL, 7000000),
    ('ak_two', 'org_b', 'second', 'lookup-second', 'hash2', 3000000, 9000000, 4000000, NULL);
INSERT INTO model_providers VALUES
    ('mp_p', 'org_a', 'p', 'openai', 'main', 1, 'lw1.sealed', NULL, NULL, NULL, NULL, 1, NULL, NULL,
     3, NULL, 4, 6000000, 7000000);
INSERT INTO model_provider_scopes VALUES ('org_a', 'mp_p', 0, NULL, NULL);
INSERT INTO virtual_keys VALUES
    ('vk_k', 'org_a', 'k', NULL, 'ACTIVE', 'live', 'ext', '{}', 'proj_a-governance', 'user_admin',
     'fallback_all', NULL, '{\"cache\":{\"mode\":\"force\"}}', 7, 'hash-k', 'vk-lw-0123456', NULL, NULL,
     NULL, NULL, NULL, 8000000, 'user_admin', 6000000, 7000000),
    ('vk_r', 'org_a', 'r', NULL, 'REVOKED', 'test', NULL, '{}', 'proj_a-governance', NULL, 'none',
     NULL, '{}', 2, 'hash-r', 'vk-lw-0123456', NULL, NULL, NULL, NULL, 7000000, NULL, 'user_admin',
     5000000, 7000000);
INSERT INTO virtual_key_scopes VALUES ('org_a', 'vk_k', 0, 'team_a-default', NULL),
                                      ('org_a', 'vk_k', 1, NULL, 'proj_a-gone'),
                                      ('org_a', 'vk_r', 0, NULL, NULL);
UPDATE change_counter SET revision = 1;
INSERT INTO change_events VALUES (1, 'org_a', 'VK_CREATED', 'vk_k', NULL, NULL, 6000000);
INSERT INTO audit_log (id, created_at, organization_id, action)
VALUES ('aud_1', 6000000, 'org_a', 'gateway.virtual_key.created');
";

fn migrated() -> (SqliteConfig, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.db");
    let mut db = Connection::open(&path).expect("opens");
    db.pragma_update(None, "foreign_keys", true).expect("sets");
    migrate(&mut db, &MIGRATIONS[..1]).expect("the first version");
    db.execute_batch(FIRST).expect("writes");
    drop(db);
    let store = SqliteConfig::open(&path, Tuning::default()).expect("migrates");
    let db = Connection::open(&path).expect("opens");
    let broken = db.query_row("PRAGMA foreign_key_check", [], |_| Ok(()));
    assert!(broken.is_err(), "no row refers to nothing");
    (store, folder)
}

#[test]
fn tenants_of_the_first_version_get_the_defaults() {
    let (store, _folder) = migrated();
    let rows = store.organizations().expect("reads");
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row.settings == OrganizationSettings::default())
    );
    let expected = Team {
        id: team("a-default"),
        updated_at: at(1),
        ..team_row("a", "default", false)
    };
    assert_eq!(store.teams(&org("a")).expect("reads"), [expected]);
    let rows = store.projects(&org("a")).expect("reads");
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(
            (row.language.as_str(), row.framework.as_str()),
            ("other", "other")
        );
        assert_eq!(row.pii_redaction_level, PiiRedactionLevel::Essential);
        assert_eq!(row.updated_at, row.created_at);
        assert_eq!(row.key, None);
    }
    assert_eq!(rows[1].archived_at, Some(at(3)));
}

#[test]
fn members_of_the_first_version_keep_their_role_and_have_joined_when_both_were_there() {
    let (store, _folder) = migrated();
    let member = |organization: &str| {
        let found = store.member(&org(organization), &user("admin"));
        let found = found.expect("reads").expect("a member");
        (found.role, found.disabled_at, found.created_at)
    };
    assert_eq!(
        member("a"),
        (MemberRole::Admin, None, at(5)),
        "the person came last"
    );
    assert_eq!(
        member("b"),
        (MemberRole::External, None, at(8)),
        "the organization did"
    );
}

#[test]
fn every_api_key_of_the_first_version_may_still_do_everything() {
    let (store, _folder) = migrated();
    for (lookup_id, organization, bound_as, created) in [
        ("lookup-first", "a", "rb_01HZX9", at(2)),
        ("lookup-second", "b", "rb_two", at(3)),
    ] {
        let access = store
            .access_by_lookup_id(lookup_id)
            .expect("reads")
            .expect("a key");
        assert_eq!(access.owner, None);
        assert_eq!(access.key.permission_mode, PermissionMode::All);
        let everything = Bound {
            role: BoundRole::Admin,
            permissions: None,
            scope: whole(organization),
        };
        assert_eq!(access.bound, [everything]);
        let every = BindingFilter::default();
        let (rows, total) = store
            .bindings(&org(organization), &every, 0, 9)
            .expect("reads");
        assert_eq!((rows.len(), total), (1, 1));
        assert_eq!(rows[0].id.as_str(), bound_as);
        assert_eq!(rows[0].principal, Principal::ApiKey(access.key.id));
        assert_eq!(rows[0].created_at, created);
    }
}

#[test]
fn keys_and_providers_of_the_first_version_serve_and_are_listed() {
    let (store, _folder) = migrated();
    let record = store.key_by_hash(&[String::from("hash-k")]);
    let record = record.expect("reads").expect("a key");
    assert_eq!(record.key.purpose, KeyPurpose::User);
    assert_eq!(record.key.routing_mode, RoutingMode::FallbackAll);
    assert_eq!(record.key.routing_policy_id, None);
    assert_eq!(
        (record.key.revision, record.key.last_used_at),
        (7, Some(at(8)))
    );
    assert_eq!(record.key.revoked_by, None);
    assert_eq!(record.providers.len(), 1);
    assert_eq!(record.providers[0].disabled_at, None);
    assert_eq!(record.organization.id, org("a"));
    assert!(record.prices.is_empty());

    let revoked = store
        .virtual_key(&org("a"), &vk("r"))
        .expect("reads")
        .expect("a key");
    assert_eq!(
        (revoked.status, revoked.revoked_by),
        (KeyStatus::Revoked, None)
    );
    // Lists by scope go by the age that scope rows repeat.
    let listed = |scopes: &[Scope]| {
        let filter = VirtualKeyFilter {
            scopes: Some(scopes.to_vec()),
            ..VirtualKeyFilter::default()
        };
        let page = store
            .virtual_keys(&org("a"), &filter, 9, None)
            .expect("reads");
        let names: Vec<_> = page.rows.into_iter().map(|row| row.name).collect();
        names.join(" ")
    };
    assert_eq!(listed(&[whole("a"), project_scope("a-gone")]), "k r");
    assert_eq!(listed(&[team_scope("a-default")]), "k");
    let filter = ModelProviderFilter {
        provider: None,
        scopes: Some(vec![whole("a")]),
    };
    let page = store
        .model_providers(&org("a"), &filter, 9, None)
        .expect("reads");
    assert_eq!(page.rows.len(), 1);

    // What was there goes on: an update, and the next revision of the changes.
    let key = VirtualKey {
        name: String::from("renamed"),
        ..record.key
    };
    let write = Write::UpdateVirtualKey {
        row: &key,
        expected: 7,
    };
    let committed = store.commit(&[write], &loud("a", ChangeKind::VkConfigUpdated));
    assert_eq!(committed.expect("commits").revision, ChangeRevision(2));
    let rows = store.changes_since(ChangeRevision(0), 9).expect("reads");
    assert_eq!(rows[0].event.budget_id, None);
    assert_eq!(rows.len(), 2);
    assert_eq!(all_audited(&store, "a").len(), 2);
}
