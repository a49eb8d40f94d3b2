//! The suite on SQLite, and what only SQLite does: locks, files, damage.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::access::*;
use super::budgets::*;
use super::bundle::*;
use super::changes::*;
use super::commit::*;
use super::keys::*;
use super::people::*;
use super::policies::*;
use super::providers::*;
use super::reach::*;
use super::tenants::*;
use super::*;
use crate::Tuning;
use crate::config::SqliteConfig;

const HASTY: Tuning = Tuning {
    busy_timeout: Duration::from_millis(1),
    cache_kib: 512,
    readers: 2,
    durable: false,
};

/// Many writers take turns here.
const PATIENT: Tuning = Tuning {
    busy_timeout: Duration::from_secs(30),
    ..HASTY
};

fn open() -> (SqliteConfig, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteConfig::open(&folder.path().join("config.db"), PATIENT).expect("opens");
    (store, folder)
}

fn open_at() -> (SqliteConfig, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.db");
    let store = SqliteConfig::open(&path, HASTY).expect("opens");
    (store, folder, path)
}

/// Runs every test of the suite on one engine. `$open` gives an empty store and what keeps it alive.
macro_rules! engine_tests {
    ($open:path; $($test:ident),+ $(,)?) => {
        mod suite {
            $(#[test]
            fn $test() {
                let (store, _alive) = $open();
                super::$test(&store);
            })+
        }
    };
}

engine_tests! {
    super::open;
    a_bound_role_is_not_deleted,
    a_budget_is_about_something_of_its_own_organization,
    a_budget_keeps_every_field,
    a_budget_outlives_its_target,
    a_change_that_cannot_be_recorded_does_not_happen,
    a_deleted_group_takes_its_members_and_bindings_along,
    a_deleted_provider_is_gone_with_its_scopes,
    a_first_start_happens_once_and_whole,
    a_guardrail_bumps_the_keys_that_attach_it,
    a_handle_is_unique_in_its_organization_only,
    a_hash_of_an_old_pepper_is_replaced_where_it_stands,
    a_key_is_found_with_the_attached_guardrails_of_its_project,
    a_key_is_found_with_the_cache_rules_that_are_asked,
    a_key_is_found_with_the_live_budgets_that_could_apply_to_it,
    a_key_is_found_with_the_person_it_belongs_to,
    a_key_is_touched_forwards_without_a_new_revision,
    a_key_keeps_every_field,
    a_key_meets_what_it_files_into_and_what_it_is_scoped_to,
    a_key_without_a_shared_team_counts_for_the_teams_of_its_principal,
    a_key_written_twice_from_one_read_is_stale,
    a_membership_is_put_changed_and_read_from_both_sides,
    a_new_default_takes_the_flag_from_those_that_share_a_scope,
    a_personal_key_meets_its_person_and_their_groups,
    a_place_in_a_team_is_put_replaced_and_taken,
    a_policy_keeps_every_field,
    a_presented_key_is_found_by_its_current_or_previous_hash,
    a_price_is_unique_for_its_kind_and_model,
    a_project_belongs_to_a_team_of_its_own_organization,
    a_project_keeps_every_field,
    a_project_key_finds_live_projects_in_live_teams_only,
    a_provider_keeps_every_field,
    a_provider_written_twice_from_one_read_is_stale,
    a_receipt_is_kept_until_it_expires_and_then_replaced,
    a_team_keeps_every_field,
    a_team_scope_meets_its_team_and_not_its_projects,
    a_walk_over_budgets_passes_over_archived_ones_and_other_kinds,
    a_walk_over_keys_is_stable_under_writes_and_filters,
    a_walk_over_providers_is_stable_under_writes,
    a_write_that_fails_takes_the_writes_before_it_along,
    an_account_is_completed_and_found_by_its_email,
    an_api_key_is_found_by_its_public_part_and_touched_forwards,
    an_api_key_keeps_every_field_and_changes_only_what_may_change,
    an_organization_key_is_above_teams_projects_and_groups,
    archiving_the_budgets_of_a_target_tells_of_each,
    bindings_are_kept_changed_and_found_by_principal_and_scope,
    budgets_of_targets_come_sorted_by_scope_type_and_id,
    cache_rules_come_in_the_order_in_which_they_are_asked,
    changes_are_numbered_in_one_order,
    events_keep_every_field_and_the_time_of_the_first_audit_row,
    events_of_the_change_come_before_those_of_its_writes,
    external_ids_and_managers_of_budgets_are_unique,
    external_ids_are_unique_in_their_organization_and_hashes_everywhere,
    groups_hold_members_of_their_own_organization,
    guardrails_are_listed_by_organization_and_project,
    invitations_are_listed_newest_first_and_changed,
    joining_and_leaving_tells_of_the_live_budgets_in_the_same_transaction,
    keys_of_another_organization_are_unknown,
    of_many_writers_with_one_revision_exactly_one_wins,
    organizations_are_changed_and_listed_oldest_first,
    policies_are_listed_with_the_defaults_first,
    private_roles_go_with_the_last_binding_that_names_them,
    projects_of_another_organization_are_unknown,
    providers_of_another_organization_are_unknown,
    reachable_providers_come_in_dispatch_order,
    role_names_are_unique_except_for_private_roles,
    scopes_resolve_by_id_then_by_slug_inside_the_organization,
    slugs_are_unique_where_they_must_be,
    the_access_of_a_key_comes_with_that_of_its_owner,
    the_audit_log_is_filtered_by_all_conditions_at_once,
    the_audit_log_is_read_newest_first_by_its_own_organization,
    the_governance_project_is_the_oldest_live_one,
    the_keys_of_a_person_are_revoked_with_the_budgets_that_end_with_them,
    the_keys_of_a_policy_are_bumped_and_moved,
    the_period_of_a_bucket_is_moved_and_forgotten,
    the_projects_that_keys_file_into_are_named_and_counted,
    the_very_first_event_needs_no_time,
    who_leaves_an_organization_leaves_its_teams_groups_and_bindings,
    without_an_active_key_nothing_is_met,
}

#[test]
fn a_locked_database_is_unavailable_for_writes_and_still_read() {
    let (store, _folder, path) = open_at();
    two_tenants(&store);
    let other = Connection::open(&path).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    let row = key("a", "k", &[whole("a")]);
    let refused = store.commit(&[Write::InsertVirtualKey(&row)], &quiet("a"));
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
        .commit(&[Write::InsertVirtualKey(&row)], &quiet("a"))
        .expect("creates");
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let (store, _folder, path) = open_at();
    two_tenants(&store);
    let row = key("a", "k", &[whole("a")]);
    store
        .commit(
            &[Write::InsertVirtualKey(&row)],
            &loud("a", ChangeKind::VkCreated),
        )
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
fn a_receipt_clears_a_bounded_number_of_expired_ones_away() {
    let (store, _folder, path) = open_at();
    two_tenants(&store);
    let other = Connection::open(&path).expect("opens");
    let fill = "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40)
        INSERT INTO idempotency_receipts SELECT 'proj_1', 'k' || i, 'f', 201, 's', 0, i FROM c";
    other.execute(fill, []).expect("fills");
    let left = || -> i64 {
        let sql = "SELECT count(*) FROM idempotency_receipts";
        other.query_row(sql, [], |row| row.get(0)).expect("counts")
    };
    for (key, expected) in [("x", 9), ("y", 2), ("z", 3)] {
        let change = Change {
            receipt: Some(receipt("proj_1", key, 10, 20)),
            ..quiet("a")
        };
        store.commit(&[], &change).expect("commits");
        assert_eq!(left(), expected, "{key}");
    }
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
        .commit(&[Write::InsertVirtualKey(&row)], &quiet("a"))
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
    let row = budget("a", "b", BudgetTarget::Organization(org("a")));
    done(&store, "a", &[Write::InsertBudget(&row)]);
    for damage in [
        "UPDATE budgets SET doc = replace(doc, 'strict', 'private')",
        "UPDATE budgets SET doc = '{\"private\":'",
    ] {
        other.execute(damage, []).expect("damages");
        let error = store.budget(&org("a"), &row.id).expect_err("refuses");
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("doc") && !text.contains("private"), "{text}");
    }
}

#[test]
fn readers_and_the_writer_work_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteConfig::open(&folder.path().join("c.db"), PATIENT).expect("opens");
    two_tenants(&store);
    let row = key("a", "k", &[whole("a")]);
    store
        .commit(&[Write::InsertVirtualKey(&row)], &quiet("a"))
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
                        match store.commit(
                            &[Write::UpdateVirtualKey {
                                row: &found,
                                expected: found.revision,
                            }],
                            &change,
                        ) {
                            Ok(_) => break,
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
