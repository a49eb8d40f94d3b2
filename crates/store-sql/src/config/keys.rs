//! Virtual keys, and how a presented one is found (domain 7).

use lw_core::{OrganizationId, ProjectId, RoutingPolicyId, UnixMicros, UserId, VirtualKeyId};
use lw_store::config::{ChangeEvent, ChangeKind, Cursor, Page, VirtualKeyFilter};
use lw_store::rows::{KeyPurpose, KeyStatus, RoutingMode, VirtualKey};
use rusqlite::{Connection, Params, Row, params};

use super::columns::{
    get, id, id_option, json, micros, must_exist, page, text, time, time_option, to_json, word,
};
use super::scopes::KEYS;
use super::statement::{Fields, Select};
use super::{budgets, people, policies};
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert(db: &Connection, row: &VirtualKey) -> Result<(), DbError> {
    has_principal(db, row)?;
    fields(row)?.insert(db)?;
    put_links(db, row)
}

pub(super) fn update(db: &Connection, row: &VirtualKey, expected: i64) -> Result<(), DbError> {
    let stored = one(
        db,
        "SELECT principal_user_id FROM virtual_keys WHERE organization_id = $1 AND id = $2",
        [row.organization_id.as_str(), row.id.as_str()],
        |stored| id_option(stored, "principal_user_id"),
    )?;
    // A key outlives the membership of its principal, so only a new one is looked for.
    if stored.is_some_and(|principal| principal != row.principal_user_id) {
        has_principal(db, row)?;
    }
    fields(row)?.update(db, Some(expected))?;
    put_links(db, row)
}

/// Refuses a principal who is no member of the key's organization.
fn has_principal(db: &Connection, row: &VirtualKey) -> Result<(), DbError> {
    match &row.principal_user_id {
        Some(principal) => {
            let member = people::is_member(db, &row.organization_id, principal)?;
            must_exist(member, "person")
        }
        None => Ok(()),
    }
}

/// The row without its links.
fn fields(row: &VirtualKey) -> Result<Fields<'_>, DbError> {
    let VirtualKey {
        id,
        organization_id,
        name,
        description,
        status,
        purpose,
        env,
        external_id,
        metadata,
        scopes: _,
        trace_project_id,
        principal_user_id,
        routing_mode,
        routing_policy_id,
        expires_at,
        config,
        revision: _,
        hashed_secret,
        display_prefix,
        previous_hashed_secret,
        previous_secret_valid_until,
        disabled_reason,
        disabled_at,
        revoked_at,
        revoked_by,
        last_used_at,
        created_by,
        created_at,
        updated_at,
    } = row;
    Ok(Fields::counted("virtual_keys")
        .key("organization_id", organization_id.as_str())
        .key("id", id.as_str())
        .keep("created_by", created_by)
        .keep("created_at", created_at.0)
        .keep("last_used_at", micros(*last_used_at))
        .set("name", name)
        .set("description", description)
        .set("status", status_word(*status))
        .set("purpose", purpose_word(*purpose))
        .set("env", env)
        .set("external_id", external_id)
        .set("metadata", to_json("metadata", metadata)?)
        .set("trace_project_id", trace_project_id.as_str())
        .set("principal_user_id", text(principal_user_id.as_ref()))
        .set("routing_mode", routing_mode.as_str())
        .set("routing_policy_id", text(routing_policy_id.as_ref()))
        .set("expires_at", micros(*expires_at))
        .set("config", config)
        .set("hashed_secret", hashed_secret)
        .set("display_prefix", display_prefix)
        .set("previous_hashed_secret", previous_hashed_secret)
        .set(
            "previous_secret_valid_until",
            micros(*previous_secret_valid_until),
        )
        .set("disabled_reason", disabled_reason)
        .set("disabled_at", micros(*disabled_at))
        .set("revoked_at", micros(*revoked_at))
        .set("revoked_by", revoked_by)
        .set("updated_at", updated_at.0))
}

/// What a key points at: its scopes, its guardrails, its policy.
fn put_links(db: &Connection, row: &VirtualKey) -> Result<(), DbError> {
    if let Some(policy) = &row.routing_policy_id {
        must_exist(
            policies::exists(db, &row.organization_id, policy)?,
            "routing policy",
        )?;
    }
    KEYS.put(db, &row.organization_id, row.id.as_str(), &row.scopes)?;
    run(
        db,
        "DELETE FROM virtual_key_guardrails WHERE virtual_key_id = $1",
        [row.id.as_str()],
    )?;
    for guardrail in row.attached_guardrails() {
        Fields::of("virtual_key_guardrails")
            .key("organization_id", row.organization_id.as_str())
            .key("virtual_key_id", row.id.as_str())
            .key("guardrail_id", guardrail)
            .insert(db)?;
    }
    Ok(())
}

// Writes on many keys at once.

/// A key that such a write changed.
struct Touched {
    id: VirtualKeyId,
    trace_project: ProjectId,
}

impl Touched {
    fn event(self, kind: ChangeKind, organization: &OrganizationId) -> ChangeEvent {
        ChangeEvent {
            virtual_key_id: Some(self.id),
            project_id: Some(self.trace_project),
            ..ChangeEvent::of(kind, organization.clone())
        }
    }
}

/// Runs an update that returns the keys that it changed, in the order of their ids.
fn touched(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<Touched>, DbError> {
    let mut keys = all(db, sql, params, |row| {
        Ok(Touched {
            id: id(row, "id")?,
            trace_project: id(row, "trace_project_id")?,
        })
    })?;
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(keys)
}

/// Revokes the keys of a person with the budgets that end with them. Returns how many keys there were, and
/// the events.
pub(super) fn revoke_of(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
    by: &str,
    now: UnixMicros,
) -> Result<(usize, Vec<ChangeEvent>), DbError> {
    let keys = touched(
        db,
        "UPDATE virtual_keys
         SET status = 'REVOKED', revoked_at = $1, revoked_by = $2, updated_at = $1,
             previous_hashed_secret = NULL, previous_secret_valid_until = NULL,
             revision = revision + 1
         WHERE organization_id = $3 AND principal_user_id = $4 AND status <> 'REVOKED'
         RETURNING id, trace_project_id",
        params![now.0, by, organization.as_str(), user.as_str()],
    )?;
    let count = keys.len();
    let mut ended = Vec::new();
    for key in &keys {
        ended.extend(budgets::archive_of_key(db, organization, &key.id, now)?);
    }
    let mut events: Vec<_> = keys
        .into_iter()
        .map(|key| key.event(ChangeKind::VkRevoked, organization))
        .collect();
    events.extend(ended);
    Ok((count, events))
}

/// Counts one more revision on every key that attaches a guardrail; returns the events, one for each.
pub(super) fn bump_with_guardrail(
    db: &Connection,
    organization: &OrganizationId,
    guardrail: &str,
    now: UnixMicros,
) -> Result<Vec<ChangeEvent>, DbError> {
    let keys = touched(
        db,
        "UPDATE virtual_keys SET revision = revision + 1, updated_at = $1
         WHERE organization_id = $2 AND id IN (
             SELECT virtual_key_id FROM virtual_key_guardrails
             WHERE organization_id = $2 AND guardrail_id = $3)
         RETURNING id, trace_project_id",
        params![now.0, organization.as_str(), guardrail],
    )?;
    let keys = keys.into_iter();
    Ok(keys
        .map(|key| key.event(ChangeKind::VkConfigUpdated, organization))
        .collect())
}

/// Counts one more revision on every key that files into a project; returns the events, one for each.
pub(super) fn bump_tracing_into(
    db: &Connection,
    organization: &OrganizationId,
    project: &ProjectId,
    now: UnixMicros,
) -> Result<Vec<ChangeEvent>, DbError> {
    let keys = touched(
        db,
        "UPDATE virtual_keys SET revision = revision + 1, updated_at = $1
         WHERE organization_id = $2 AND trace_project_id = $3
         RETURNING id, trace_project_id",
        params![now.0, organization.as_str(), project.as_str()],
    )?;
    let keys = keys.into_iter();
    Ok(keys
        .map(|key| key.event(ChangeKind::VkConfigUpdated, organization))
        .collect())
}

/// Counts one more revision on every key of an organization; returns how many.
pub(super) fn bump_all(
    db: &Connection,
    organization: &OrganizationId,
    now: UnixMicros,
) -> Result<usize, DbError> {
    run(
        db,
        "UPDATE virtual_keys SET revision = revision + 1, updated_at = $1
         WHERE organization_id = $2",
        params![now.0, organization.as_str()],
    )
}

/// Counts one more revision on every key that uses a policy; returns how many.
pub(super) fn bump_with_policy(
    db: &Connection,
    organization: &OrganizationId,
    policy: &RoutingPolicyId,
    now: UnixMicros,
) -> Result<usize, DbError> {
    run(
        db,
        "UPDATE virtual_keys SET revision = revision + 1, updated_at = $1
         WHERE organization_id = $2 AND routing_policy_id = $3",
        params![now.0, organization.as_str(), policy.as_str()],
    )
}

/// Moves the keys of a policy to another one or to none; returns how many.
pub(super) fn leave_policy(
    db: &Connection,
    organization: &OrganizationId,
    policy: &RoutingPolicyId,
    replacement: Option<&RoutingPolicyId>,
    now: UnixMicros,
) -> Result<usize, DbError> {
    let mode = match replacement {
        Some(replacement) => {
            let left = replacement != policy && policies::exists(db, organization, replacement)?;
            must_exist(left, "routing policy")?;
            RoutingMode::Policy
        }
        None => RoutingMode::FallbackAll,
    };
    run(
        db,
        "UPDATE virtual_keys SET routing_mode = $1, routing_policy_id = $2,
                                 revision = revision + 1, updated_at = $3
         WHERE organization_id = $4 AND routing_policy_id = $5",
        params![
            mode.as_str(),
            text(replacement),
            now.0,
            organization.as_str(),
            policy.as_str()
        ],
    )
}

// Reads.

pub(super) fn get_one(
    db: &Connection,
    organization: &OrganizationId,
    id: &str,
) -> Result<Option<VirtualKey>, DbError> {
    one(
        db,
        "SELECT * FROM virtual_keys WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id],
        read,
    )?
    .map(|row| with_scopes(db, row))
    .transpose()
}

/// Every single condition, and none, walks along an index in the order of the page. Two conditions at once
/// walk along one of them and pass over what the other refuses.
pub(super) fn list(
    db: &Connection,
    organization: &OrganizationId,
    filter: &VirtualKeyFilter,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<VirtualKey>, DbError> {
    let VirtualKeyFilter {
        external_id,
        status,
        routing_policy_id,
        principal_user_id,
        scopes,
    } = filter;
    let narrow = |select| {
        Select::when(select, "r.external_id =", external_id.as_ref())
            .when("r.status =", status.map(status_word))
            .when("r.routing_policy_id =", text(routing_policy_id.as_ref()))
            .when("r.principal_user_id =", text(principal_user_id.as_ref()))
    };
    let rows = match scopes {
        Some(scopes) => KEYS
            .newest(db, organization, scopes, most, after, narrow)?
            .iter()
            .filter_map(|id| get_one(db, organization, id).transpose())
            .collect::<Result<Vec<_>, _>>()?,
        None => narrow(Select::new(
            "SELECT r.* FROM virtual_keys r WHERE r.organization_id =",
            organization.as_str(),
        ))
        .newest("r.created_at", "r.id", most, after)
        .all(db, read)?
        .into_iter()
        .map(|row| with_scopes(db, row))
        .collect::<Result<_, _>>()?,
    };
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_str().to_owned(),
    }))
}

pub(super) fn touch(
    db: &Connection,
    touched: &[(VirtualKeyId, UnixMicros)],
) -> Result<(), DbError> {
    for (id, at) in touched {
        run(
            db,
            "UPDATE virtual_keys SET last_used_at = $1
             WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
            params![at.0, id.as_str()],
        )?;
    }
    Ok(())
}

pub(super) fn rehash(db: &Connection, old: &str, new: &str) -> Result<(), DbError> {
    for sql in [
        "UPDATE virtual_keys SET hashed_secret = $1 WHERE hashed_secret = $2",
        "UPDATE virtual_keys SET previous_hashed_secret = $1 WHERE previous_hashed_secret = $2",
    ] {
        run(db, sql, [new, old])?;
    }
    Ok(())
}

/// A key by one of its hashes (domain 7.4), and whether it was the one before the last rotation.
pub(super) fn by_hash(
    db: &Connection,
    hashes: &[String],
) -> Result<Option<(VirtualKey, bool)>, DbError> {
    for hash in hashes {
        let current = one(
            db,
            "SELECT * FROM virtual_keys WHERE hashed_secret = $1",
            [hash],
            read,
        )?;
        if let Some(key) = current {
            return Ok(Some((with_scopes(db, key)?, false)));
        }
        let previous = one(
            db,
            "SELECT * FROM virtual_keys WHERE previous_hashed_secret = $1 ORDER BY id LIMIT 1",
            [hash],
            read,
        )?;
        if let Some(key) = previous {
            return Ok(Some((with_scopes(db, key)?, true)));
        }
    }
    Ok(None)
}

fn with_scopes(db: &Connection, row: VirtualKey) -> Result<VirtualKey, DbError> {
    let scopes = KEYS.of(db, row.id.as_str())?;
    Ok(VirtualKey { scopes, ..row })
}

/// The row without its scopes.
fn read(row: &Row<'_>) -> Result<VirtualKey, DbError> {
    Ok(VirtualKey {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        status: word(row, "status", parse_status)?,
        purpose: word(row, "purpose", parse_purpose)?,
        env: get(row, "env")?,
        external_id: get(row, "external_id")?,
        metadata: json(row, "metadata")?,
        scopes: Vec::new(),
        trace_project_id: id(row, "trace_project_id")?,
        principal_user_id: id_option(row, "principal_user_id")?,
        routing_mode: word(row, "routing_mode", RoutingMode::parse)?,
        routing_policy_id: id_option(row, "routing_policy_id")?,
        expires_at: time_option(row, "expires_at")?,
        config: get(row, "config")?,
        revision: get(row, "revision")?,
        hashed_secret: get(row, "hashed_secret")?,
        display_prefix: get(row, "display_prefix")?,
        previous_hashed_secret: get(row, "previous_hashed_secret")?,
        previous_secret_valid_until: time_option(row, "previous_secret_valid_until")?,
        disabled_reason: get(row, "disabled_reason")?,
        disabled_at: time_option(row, "disabled_at")?,
        revoked_at: time_option(row, "revoked_at")?,
        revoked_by: get(row, "revoked_by")?,
        last_used_at: time_option(row, "last_used_at")?,
        created_by: get(row, "created_by")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

const fn status_word(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "ACTIVE",
        KeyStatus::Disabled => "DISABLED",
        KeyStatus::Revoked => "REVOKED",
    }
}

fn parse_status(text: &str) -> Option<KeyStatus> {
    [KeyStatus::Active, KeyStatus::Disabled, KeyStatus::Revoked]
        .into_iter()
        .find(|status| status_word(*status) == text)
}

const fn purpose_word(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::User => "USER",
        KeyPurpose::Langy => "LANGY",
    }
}

fn parse_purpose(text: &str) -> Option<KeyPurpose> {
    [KeyPurpose::User, KeyPurpose::Langy]
        .into_iter()
        .find(|purpose| purpose_word(*purpose) == text)
}
