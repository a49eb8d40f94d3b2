//! Custom roles, role bindings, and what they come to for a person or an API key (domain 4).

use lw_core::{ApiKeyId, OrganizationId, RoleBindingId, RoleId, UserId};
use lw_store::StoreError;
use lw_store::config::{AccessOf, BindingFilter, Bound, OwnerAccess};
use lw_store::rows::{BoundRole, CustomRole, Principal, RoleBinding};
use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::columns::{
    corrupt, get, id, id_option, json_option, limit, serde_word, text, time, to_word,
};
use super::document::{self, Document, head};
use super::statement::{Fields, Select};
use super::{api_keys, people, scopes, tenants};
use crate::sqlite::{DbError, all, one};

// Roles.

impl Document for CustomRole {
    const TABLE: &'static str = "custom_roles";
    const GET: &'static str = "SELECT * FROM custom_roles WHERE organization_id = $1 AND id = $2";

    fn fields(&self) -> Result<Fields<'_>, DbError> {
        Ok(head(Self::TABLE, &self.organization_id, self.id.as_str())
            .keep("created_at", self.created_at.0)
            .set("name", &self.name)
            .set("kind", to_word(&self.kind)?))
    }

    fn restore(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        self.created_at = time(row, "created_at")?;
        Ok(())
    }
}

pub(super) fn roles(
    db: &Connection,
    organization: &OrganizationId,
) -> Result<Vec<CustomRole>, DbError> {
    all(
        db,
        "SELECT * FROM custom_roles WHERE organization_id = $1 ORDER BY created_at, id",
        [organization.as_str()],
        document::read,
    )
}

pub(super) fn delete_role(
    db: &Connection,
    organization: &OrganizationId,
    id: &RoleId,
) -> Result<(), DbError> {
    if is_bound(db, organization, id)? {
        return Err(StoreError::Conflict { field: "role" }.into());
    }
    document::delete::<CustomRole>(db, organization, id.as_str())
}

/// Whether a binding or a place in a team names the role.
fn is_bound(db: &Connection, organization: &OrganizationId, id: &RoleId) -> Result<bool, DbError> {
    for sql in [
        "SELECT 1 FROM role_bindings WHERE organization_id = $1 AND custom_role_id = $2 LIMIT 1",
        "SELECT 1 FROM team_users WHERE organization_id = $1 AND custom_role_id = $2 LIMIT 1",
    ] {
        let found = one(db, sql, [organization.as_str(), id.as_str()], |_| Ok(()))?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

// Bindings.

pub(super) fn insert_binding(db: &Connection, row: &RoleBinding) -> Result<(), DbError> {
    binding_fields(row)?.insert(db)
}

pub(super) fn update_binding(db: &Connection, row: &RoleBinding) -> Result<(), DbError> {
    binding_fields(row)?.update(db, None)
}

fn binding_fields(row: &RoleBinding) -> Result<Fields<'_>, DbError> {
    let RoleBinding {
        id,
        organization_id,
        principal,
        role,
        custom_role_id,
        scope,
        created_at,
    } = row;
    let (team, project) = scopes::columns(organization_id, scope)?;
    let (user, group, api_key) = match principal {
        Principal::User(id) => (Some(id.as_str()), None, None),
        Principal::Group(id) => (None, Some(id.as_str()), None),
        Principal::ApiKey(id) => (None, None, Some(id.as_str())),
    };
    Ok(binding_key(organization_id, id)
        .keep("created_at", created_at.0)
        .set("user_id", user)
        .set("group_id", group)
        .set("api_key_id", api_key)
        .set("role", to_word(role)?)
        .set("custom_role_id", text(custom_role_id.as_ref()))
        .set("team_id", team)
        .set("project_id", project))
}

fn binding_key<'a>(organization: &'a OrganizationId, id: &'a RoleBindingId) -> Fields<'a> {
    Fields::of("role_bindings")
        .key("organization_id", organization.as_str())
        .key("id", id.as_str())
}

pub(super) fn delete_binding(
    db: &Connection,
    organization: &OrganizationId,
    id: &RoleBindingId,
) -> Result<(), DbError> {
    binding_key(organization, id).delete(db, None)
}

pub(super) fn delete_bindings_of(
    db: &Connection,
    organization: &OrganizationId,
    principal: &Principal,
) -> Result<(), DbError> {
    let private = of_principal(
        Select::new(
            "SELECT DISTINCT r.id FROM role_bindings b
             JOIN custom_roles r ON r.organization_id = b.organization_id AND r.id = b.custom_role_id
             WHERE r.kind = 'system_api_key' AND b.organization_id =",
            organization.as_str(),
        ),
        principal,
    )
    .all(db, |row| id::<RoleId>(row, "id"))?;
    of_principal(
        Select::new(
            "DELETE FROM role_bindings AS b WHERE b.organization_id =",
            organization.as_str(),
        ),
        principal,
    )
    .run(db)?;
    for role in private {
        if !is_bound(db, organization, &role)? {
            document::delete::<CustomRole>(db, organization, role.as_str())?;
        }
    }
    Ok(())
}

/// Only bindings of a principal; the table is called `b`.
fn of_principal<'a>(select: Select<'a>, principal: &'a Principal) -> Select<'a> {
    match principal {
        Principal::User(id) => select.and("b.user_id =", id.as_str()),
        Principal::Group(id) => select.and("b.group_id =", id.as_str()),
        Principal::ApiKey(id) => select.and("b.api_key_id =", id.as_str()),
    }
}

pub(super) fn bindings(
    db: &Connection,
    organization: &OrganizationId,
    filter: &BindingFilter,
    offset: usize,
    most: usize,
) -> Result<(Vec<RoleBinding>, u64), DbError> {
    let BindingFilter { principal, scope } = filter;
    let narrow = |mut select| {
        if let Some(principal) = principal {
            select = of_principal(select, principal);
        }
        if let Some(scope) = scope {
            select = scopes::exactly(select, "b", organization, scope);
        }
        select
    };
    let rows = narrow(Select::new(
        "SELECT b.* FROM role_bindings b WHERE b.organization_id =",
        organization.as_str(),
    ))
    .text(" ORDER BY b.created_at, b.id LIMIT")
    .value(limit(most))
    .text(" OFFSET")
    .value(limit(offset))
    .all(db, read_binding)?;
    let total = narrow(Select::new(
        "SELECT count(*) AS total FROM role_bindings b WHERE b.organization_id =",
        organization.as_str(),
    ))
    .all(db, |row| get::<i64>(row, "total"))?;
    let total = u64::try_from(total.into_iter().sum::<i64>());
    Ok((rows, total.map_err(|error| corrupt("total", &error))?))
}

pub(super) fn binding(
    db: &Connection,
    organization: &OrganizationId,
    id: &RoleBindingId,
) -> Result<Option<RoleBinding>, DbError> {
    one(
        db,
        "SELECT * FROM role_bindings WHERE organization_id = $1 AND id = $2",
        [organization.as_str(), id.as_str()],
        read_binding,
    )
}

fn read_binding(row: &Row<'_>) -> Result<RoleBinding, DbError> {
    let user = id_option(row, "user_id")?.map(Principal::User);
    let group = || Ok::<_, DbError>(id_option(row, "group_id")?.map(Principal::Group));
    let principal = match user.map_or_else(group, |user| Ok(Some(user)))? {
        Some(principal) => principal,
        None => Principal::ApiKey(id(row, "api_key_id")?),
    };
    Ok(RoleBinding {
        id: id(row, "id")?,
        organization_id: id(row, "organization_id")?,
        principal,
        role: serde_word(row, "role")?,
        custom_role_id: id_option(row, "custom_role_id")?,
        scope: scopes::read(row)?,
        created_at: time(row, "created_at")?,
    })
}

// What it comes to.

/// Bindings with what their role allows. Archived teams grant nothing.
const BOUND: &str = "SELECT b.role, r.doc, b.organization_id, b.team_id, b.project_id
    FROM role_bindings b
    LEFT JOIN custom_roles r ON r.organization_id = b.organization_id AND r.id = b.custom_role_id
    LEFT JOIN teams t ON t.organization_id = b.organization_id AND t.id = b.team_id
    LEFT JOIN projects p ON p.organization_id = b.organization_id AND p.id = b.project_id";

pub(super) fn by_lookup_id(db: &Connection, lookup_id: &str) -> Result<Option<AccessOf>, DbError> {
    let Some(key) = api_keys::by_lookup_id(db, lookup_id)? else {
        return Ok(None);
    };
    let organization = tenants::owner(db, &key.organization_id)?;
    let bound = of_api_key(db, &key.organization_id, &key.id)?;
    let owner = key
        .user_id
        .as_ref()
        .map(|user| of_user(db, &key.organization_id, user))
        .transpose()?;
    Ok(Some(AccessOf {
        key,
        organization,
        bound,
        owner,
    }))
}

fn of_api_key(
    db: &Connection,
    organization: &OrganizationId,
    key: &ApiKeyId,
) -> Result<Vec<Bound>, DbError> {
    all(
        db,
        &format!(
            "{BOUND} WHERE b.organization_id = $1 AND b.api_key_id = $2
               AND t.archived_at IS NULL AND p.archived_at IS NULL
             ORDER BY b.created_at, b.id"
        ),
        [organization.as_str(), key.as_str()],
        read_bound,
    )
}

pub(super) fn of_user(
    db: &Connection,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<Option<OwnerAccess>, DbError> {
    let Some(member) = people::member(db, organization, user)? else {
        return Ok(None);
    };
    let who = [organization.as_str(), user.as_str()];
    let own = format!(
        "{BOUND} WHERE b.organization_id = $1 AND b.user_id = $2
           AND t.archived_at IS NULL AND p.archived_at IS NULL
         ORDER BY b.created_at, b.id"
    );
    let of_groups = format!(
        "{BOUND} WHERE b.organization_id = $1 AND b.group_id IN (
             SELECT g.group_id FROM group_members g
             WHERE g.organization_id = $1 AND g.user_id = $2)
           AND t.archived_at IS NULL AND p.archived_at IS NULL
         ORDER BY b.group_id, b.created_at, b.id"
    );
    let places = "SELECT m.role, r.doc, m.organization_id, m.team_id, NULL AS project_id
         FROM team_users m
         JOIN teams t ON t.organization_id = m.organization_id AND t.id = m.team_id
         LEFT JOIN custom_roles r ON r.organization_id = m.organization_id
                                 AND r.id = m.custom_role_id
         WHERE m.organization_id = $1 AND m.user_id = $2 AND t.archived_at IS NULL
         ORDER BY m.team_id";
    let mut bound = Vec::new();
    for sql in [own.as_str(), of_groups.as_str(), places] {
        bound.extend(all(db, sql, who, read_bound)?);
    }
    Ok(Some(OwnerAccess {
        role: member.role,
        enabled: member.disabled_at.is_none(),
        bound,
    }))
}

fn read_bound(row: &Row<'_>) -> Result<Bound, DbError> {
    /// The part of a role's document that counts here.
    #[derive(Deserialize)]
    struct Allowed {
        permissions: Vec<String>,
    }
    let role: BoundRole = serde_word(row, "role")?;
    let allowed: Option<Allowed> = json_option(row, "doc")?;
    Ok(Bound {
        role,
        permissions: allowed.map(|allowed| allowed.permissions),
        scope: scopes::read(row)?,
    })
}
