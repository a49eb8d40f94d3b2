//! Model providers, and which of them a key reaches (domain 6 and 9).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use lw_core::{ModelProviderId, OrganizationId};
use lw_store::config::{Cursor, ModelProviderFilter, Page};
use lw_store::rows::{DeclaredModel, ModelProvider, RateLimit, Scope};
use rusqlite::{Connection, Row};

use super::columns::{
    count, count_option, get, id, json_option, micros, page, time, time_option, to_json,
};
use super::scopes::PROVIDERS;
use super::statement::{Fields, Select};
use super::tenants::team_of;
use crate::sqlite::{DbError, all, one};

pub(super) fn insert(db: &Connection, row: &ModelProvider) -> Result<(), DbError> {
    fields(row)?.insert(db)?;
    PROVIDERS.put(db, &row.organization_id, row.id.as_str(), &row.scopes)
}

pub(super) fn update(db: &Connection, row: &ModelProvider, expected: i64) -> Result<(), DbError> {
    fields(row)?.update(db, Some(expected))?;
    PROVIDERS.put(db, &row.organization_id, row.id.as_str(), &row.scopes)
}

pub(super) fn delete(
    db: &Connection,
    organization: &OrganizationId,
    id: &ModelProviderId,
    expected: Option<i64>,
) -> Result<(), DbError> {
    key(organization, id).delete(db, expected)
}

fn key<'a>(organization: &'a OrganizationId, id: &'a ModelProviderId) -> Fields<'a> {
    Fields::counted("model_providers")
        .key("organization_id", organization.as_str())
        .key("id", id.as_str())
}

/// The row without its scopes.
fn fields(row: &ModelProvider) -> Result<Fields<'_>, DbError> {
    let ModelProvider {
        id,
        organization_id,
        name,
        provider,
        routing_handle,
        enabled,
        scopes: _,
        sealed_keys,
        sealed_extra_headers,
        custom_models,
        custom_embeddings_models,
        deployment_mapping,
        rate_limit:
            RateLimit {
                rpm,
                tpm,
                rpd,
                concurrent,
            },
        fallback_priority_global,
        provider_config,
        disabled_at,
        revision: _,
        created_at,
        updated_at,
    } = row;
    let names = |models: &Option<Vec<DeclaredModel>>| {
        let models = models.as_ref();
        models
            .map(|models| to_json("custom_models", models))
            .transpose()
    };
    let mapping = deployment_mapping
        .as_ref()
        .map(|map| to_json("deployment_mapping", map))
        .transpose()?;
    Ok(key(organization_id, id)
        .keep("created_at", created_at.0)
        .set("name", name)
        .set("provider", provider)
        .set("routing_handle", routing_handle)
        .set("enabled", enabled)
        .set("sealed_keys", sealed_keys)
        .set("sealed_extra_headers", sealed_extra_headers)
        .set("custom_models", names(custom_models)?)
        .set("custom_embeddings_models", names(custom_embeddings_models)?)
        .set("deployment_mapping", mapping)
        .set("rate_limit_rpm", count(*rpm))
        .set("rate_limit_tpm", count(*tpm))
        .set("rate_limit_rpd", count(*rpd))
        .set("rate_limit_concurrent", count(*concurrent))
        .set("fallback_priority_global", fallback_priority_global)
        .set("provider_config", provider_config)
        .set("disabled_at", micros(*disabled_at))
        .set("updated_at", updated_at.0))
}

pub(super) fn get_one(
    db: &Connection,
    organization: &OrganizationId,
    id: &str,
) -> Result<Option<ModelProvider>, DbError> {
    one(
        db,
        "SELECT * FROM model_providers WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id],
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
    let ModelProviderFilter { provider, scopes } = filter;
    let rows = match scopes {
        Some(scopes) => PROVIDERS
            .newest(db, organization, scopes, most, after, |select| {
                select.when("r.provider =", provider.as_ref())
            })?
            .iter()
            .filter_map(|id| get_one(db, organization, id).transpose())
            .collect::<Result<Vec<_>, _>>()?,
        None => Select::new(
            "SELECT * FROM model_providers WHERE organization_id =",
            organization.as_str(),
        )
        .when("provider =", provider.as_ref())
        .newest("created_at", "id", most, after)
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
           AND p.enabled = 1 AND p.disabled_at IS NULL AND p.provider <> 'azure_safety'",
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
           AND p.enabled = 1 AND p.disabled_at IS NULL AND p.provider <> 'azure_safety'",
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
           AND p.enabled = 1 AND p.disabled_at IS NULL AND p.provider <> 'azure_safety'",
        [organization.as_str(), project],
        read,
    )
}

fn with_scopes(db: &Connection, row: ModelProvider) -> Result<ModelProvider, DbError> {
    let scopes = PROVIDERS.of(db, row.id.as_str())?;
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
            concurrent: count_option(row, "rate_limit_concurrent")?,
        },
        fallback_priority_global: get(row, "fallback_priority_global")?,
        provider_config: get(row, "provider_config")?,
        disabled_at: time_option(row, "disabled_at")?,
        revision: get(row, "revision")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}
