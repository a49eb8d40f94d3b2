//! Model providers, and which of them a key reaches (domain 6 and 9).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use lw_core::{ModelProviderId, OrganizationId};
use lw_store::StoreError;
use lw_store::config::{Cursor, ModelProviderFilter, Page};
use lw_store::rows::{ModelProvider, RateLimit, Scope};
use rusqlite::{Connection, Row, params};

use super::columns::{
    below, count, count_option, get, id, json_option, limit, page, time, to_json,
};
use super::tenants::{read_scope, scope_columns, team_of};
use crate::sqlite::{DbError, all, one, run};

pub(super) fn insert(db: &Connection, row: &ModelProvider) -> Result<(), DbError> {
    let ModelProvider {
        id,
        organization_id,
        name,
        provider,
        routing_handle,
        enabled,
        scopes,
        sealed_keys,
        sealed_extra_headers,
        custom_models,
        custom_embeddings_models,
        deployment_mapping,
        rate_limit: RateLimit { rpm, tpm, rpd },
        fallback_priority_global,
        provider_config,
        revision: _,
        created_at,
        updated_at,
    } = row;
    run(
        db,
        "INSERT INTO model_providers (
             id, organization_id, name, provider, routing_handle, enabled, sealed_keys,
             sealed_extra_headers, custom_models, custom_embeddings_models, deployment_mapping,
             rate_limit_rpm, rate_limit_tpm, rate_limit_rpd, fallback_priority_global,
             provider_config, revision, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, $17, $18)",
        params![
            id.as_str(),
            organization_id.as_str(),
            name,
            provider,
            routing_handle,
            enabled,
            sealed_keys,
            sealed_extra_headers,
            names(custom_models.as_ref())?,
            names(custom_embeddings_models.as_ref())?,
            mapping(deployment_mapping.as_ref())?,
            count(*rpm),
            count(*tpm),
            count(*rpd),
            fallback_priority_global,
            provider_config,
            created_at.0,
            updated_at.0,
        ],
    )?;
    insert_scopes(db, organization_id, id, scopes)
}

/// `None` when the organization has no such provider.
pub(super) fn update(
    db: &Connection,
    row: &ModelProvider,
    expected: i64,
) -> Result<Option<()>, DbError> {
    let ModelProvider {
        id,
        organization_id,
        name,
        provider,
        routing_handle,
        enabled,
        scopes,
        sealed_keys,
        sealed_extra_headers,
        custom_models,
        custom_embeddings_models,
        deployment_mapping,
        rate_limit: RateLimit { rpm, tpm, rpd },
        fallback_priority_global,
        provider_config,
        revision: _,
        created_at: _,
        updated_at,
    } = row;
    let changed = run(
        db,
        "UPDATE model_providers SET
             name = $1, provider = $2, routing_handle = $3, enabled = $4, sealed_keys = $5,
             sealed_extra_headers = $6, custom_models = $7, custom_embeddings_models = $8,
             deployment_mapping = $9, rate_limit_rpm = $10, rate_limit_tpm = $11,
             rate_limit_rpd = $12, fallback_priority_global = $13, provider_config = $14,
             updated_at = $15, revision = revision + 1
         WHERE organization_id = $16 AND id = $17 AND revision = $18",
        params![
            name,
            provider,
            routing_handle,
            enabled,
            sealed_keys,
            sealed_extra_headers,
            names(custom_models.as_ref())?,
            names(custom_embeddings_models.as_ref())?,
            mapping(deployment_mapping.as_ref())?,
            count(*rpm),
            count(*tpm),
            count(*rpd),
            fallback_priority_global,
            provider_config,
            updated_at.0,
            organization_id.as_str(),
            id.as_str(),
            expected,
        ],
    )?;
    if changed == 0 {
        let known = one(
            db,
            "SELECT id FROM model_providers WHERE organization_id = $1 AND id = $2",
            [organization_id.as_str(), id.as_str()],
            |_| Ok(()),
        )?;
        return if known.is_some() {
            Err(StoreError::Stale.into())
        } else {
            Ok(None)
        };
    }
    run(
        db,
        "DELETE FROM model_provider_scopes WHERE model_provider_id = $1",
        [id.as_str()],
    )?;
    insert_scopes(db, organization_id, id, scopes).map(Some)
}

/// Whether the organization had such a provider.
pub(super) fn delete(
    db: &Connection,
    organization: &OrganizationId,
    id: &ModelProviderId,
) -> Result<bool, DbError> {
    let gone = run(
        db,
        "DELETE FROM model_providers WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
    )?;
    Ok(gone > 0)
}

pub(super) fn get_one(
    db: &Connection,
    organization: &OrganizationId,
    id: &ModelProviderId,
) -> Result<Option<ModelProvider>, DbError> {
    one(
        db,
        "SELECT * FROM model_providers WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
        read,
    )?
    .map(|row| with_scopes(db, row))
    .transpose()
}

pub(super) fn list(
    db: &Connection,
    organization: &OrganizationId,
    filter: &ModelProviderFilter,
    most: usize,
    after: Option<&Cursor>,
) -> Result<Page<ModelProvider>, DbError> {
    let ModelProviderFilter { provider } = filter;
    let (before, before_id) = below(after);
    let rows = all(
        db,
        "SELECT * FROM model_providers
         WHERE organization_id = $1 AND (created_at, id) < ($2, $3)
           AND (CAST($4 AS TEXT) IS NULL OR provider = $4)
         ORDER BY created_at DESC, id DESC LIMIT $5",
        params![
            organization.as_str(),
            before,
            before_id,
            provider,
            limit(most)
        ],
        read,
    )?;
    let rows = rows
        .into_iter()
        .map(|row| with_scopes(db, row))
        .collect::<Result<Vec<_>, DbError>>()?;
    Ok(page(rows, most, |row| Cursor {
        created_at: row.created_at,
        id: row.id.as_str().to_owned(),
    }))
}

/// Domain 9, steps 1 and 2 without a policy.
pub(super) fn reachable(
    db: &Connection,
    organization: &OrganizationId,
    scopes: &[Scope],
) -> Result<Vec<ModelProvider>, DbError> {
    let mut found = BTreeMap::new();
    let mut take = |rows: Vec<ModelProvider>| {
        found.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
    };
    take(of_organization(db, organization)?);
    for scope in scopes {
        match scope {
            // A key never reaches another organization, and its own one is always reached.
            Scope::Organization(_) => {}
            Scope::Team(team) => take(of_team(db, organization, team.as_str())?),
            Scope::Project(project) => {
                take(of_project(db, organization, project.as_str())?);
                if let Some(team) = team_of(db, organization, project)? {
                    take(of_team(db, organization, team.as_str())?);
                }
            }
        }
    }
    let mut rows = found
        .into_values()
        .map(|row| with_scopes(db, row))
        .collect::<Result<Vec<_>, DbError>>()?;
    rows.sort_by(dispatch_order);
    Ok(rows)
}

/// By priority with unset ones last, then by age, then by id.
fn dispatch_order(a: &ModelProvider, b: &ModelProvider) -> Ordering {
    let priority = |row: &ModelProvider| {
        (
            row.fallback_priority_global.is_none(),
            row.fallback_priority_global,
        )
    };
    priority(a)
        .cmp(&priority(b))
        .then_with(|| a.created_at.cmp(&b.created_at))
        .then_with(|| a.id.cmp(&b.id))
}

fn of_organization(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<ModelProvider>, DbError> {
    all(
        db,
        "SELECT p.* FROM model_provider_scopes s JOIN model_providers p ON p.id = s.model_provider_id
         WHERE s.organization_id = $1 AND s.team_id IS NULL AND s.project_id IS NULL
           AND p.enabled = 1 AND p.provider <> 'azure_safety'",
        [organization.as_str()],
        read,
    )
}

fn of_team(
    db: &Connection,
    organization: &OrganizationId,
    team: &str,
) -> Result<Vec<ModelProvider>, DbError> {
    all(
        db,
        "SELECT p.* FROM model_provider_scopes s JOIN model_providers p ON p.id = s.model_provider_id
         WHERE s.organization_id = $1 AND s.team_id = $2
           AND p.enabled = 1 AND p.provider <> 'azure_safety'",
        [organization.as_str(), team],
        read,
    )
}

fn of_project(
    db: &Connection,
    organization: &OrganizationId,
    project: &str,
) -> Result<Vec<ModelProvider>, DbError> {
    all(
        db,
        "SELECT p.* FROM model_provider_scopes s JOIN model_providers p ON p.id = s.model_provider_id
         WHERE s.organization_id = $1 AND s.team_id IS NULL AND s.project_id = $2
           AND p.enabled = 1 AND p.provider <> 'azure_safety'",
        [organization.as_str(), project],
        read,
    )
}

fn insert_scopes(
    db: &Connection,
    organization: &OrganizationId,
    id: &ModelProviderId,
    scopes: &[Scope],
) -> Result<(), DbError> {
    for (place, scope) in (0_i64..).zip(scopes) {
        let (team, project) = scope_columns(organization, scope)?;
        run(
            db,
            "INSERT INTO model_provider_scopes (organization_id, model_provider_id, place, team_id,
                                                project_id)
             VALUES ($1, $2, $3, $4, $5)",
            params![organization.as_str(), id.as_str(), place, team, project],
        )?;
    }
    Ok(())
}

fn with_scopes(db: &Connection, row: ModelProvider) -> Result<ModelProvider, DbError> {
    let scopes = all(
        db,
        "SELECT organization_id, team_id, project_id FROM model_provider_scopes
         WHERE model_provider_id = $1 ORDER BY place",
        [row.id.as_str()],
        read_scope,
    )?;
    Ok(ModelProvider { scopes, ..row })
}

/// The row without its scopes.
fn read(row: &Row<'_>) -> Result<ModelProvider, DbError> {
    Ok(ModelProvider {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        name: get(row, "name")?,
        provider: get(row, "provider")?,
        routing_handle: get(row, "routing_handle")?,
        enabled: get(row, "enabled")?,
        scopes: Vec::new(),
        sealed_keys: get(row, "sealed_keys")?,
        sealed_extra_headers: get(row, "sealed_extra_headers")?,
        custom_models: json_option(row, "custom_models")?,
        custom_embeddings_models: json_option(row, "custom_embeddings_models")?,
        deployment_mapping: json_option(row, "deployment_mapping")?,
        rate_limit: RateLimit {
            rpm: count_option(row, "rate_limit_rpm")?,
            tpm: count_option(row, "rate_limit_tpm")?,
            rpd: count_option(row, "rate_limit_rpd")?,
        },
        fallback_priority_global: get(row, "fallback_priority_global")?,
        provider_config: get(row, "provider_config")?,
        revision: get(row, "revision")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn names(models: Option<&Vec<String>>) -> Result<Option<String>, DbError> {
    models
        .map(|models| to_json("custom_models", models))
        .transpose()
}

fn mapping(map: Option<&BTreeMap<String, String>>) -> Result<Option<String>, DbError> {
    map.map(|map| to_json("deployment_mapping", map))
        .transpose()
}
