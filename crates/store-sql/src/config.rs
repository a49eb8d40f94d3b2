//! The management plane's rows on SQLite: [`ConfigStore`] for the control plane, [`KeySource`] for the
//! data plane, over one file.
//!
//! Each method is one transaction. A mutation writes its row, then `changes.rs` appends the change event
//! and the audit row, then it commits. Reads come from one moment.
//!
//! Must never return a row of another organization than the one that was asked for; composite foreign
//! keys refuse to store one that crosses. Start at [`SqliteConfig::open`]; the statements are in one file
//! per aggregate.

mod changes;
mod columns;
mod keys;
mod people;
mod providers;
mod tenants;
#[cfg(test)]
mod tests;

use std::path::Path;

use lw_core::{
    ApiKeyId, ModelProviderId, OrganizationId, ProjectId, UnixMicros, UserId, VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::bundle::{KeyRecord, KeySource};
use lw_store::config::{
    AuditRow, Change, ChangeRevision, ChangeRow, ConfigStore, Cursor, FirstStart, Member,
    MemberRole, Membership, ModelProviderFilter, Page, ScopeKind, Tenant, VirtualKeyFilter,
};
use lw_store::rows::{ApiKey, ModelProvider, Organization, Project, Scope, Team, User, VirtualKey};

use crate::migrations::Migration;
use crate::sqlite::{Database, Tuning};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    sql: include_str!("config/0001_first.sql"),
}];

/// The configuration database in one SQLite file.
#[derive(Debug)]
pub struct SqliteConfig {
    db: Database,
}

impl SqliteConfig {
    /// Opens the file, or creates it readable by its owner only, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or is locked by another process;
    /// [`StoreError::Corrupt`] when it is not a database, or was written by a newer version.
    pub fn open(path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        Database::open(path, tuning, MIGRATIONS).map(|db| Self { db })
    }
}

impl KeySource for SqliteConfig {
    fn key_by_hash(&self, hashes: &[String]) -> Result<Option<KeyRecord>, StoreError> {
        self.db.read(|db| keys::by_hash(db, hashes))
    }
}

impl ConfigStore for SqliteConfig {
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.db.read(tenants::is_empty)
    }

    fn first_start(
        &self,
        start: &FirstStart,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError> {
        let FirstStart {
            tenant,
            administrator,
            api_key,
        } = start;
        self.db.write(|db| {
            if !tenants::is_empty(db)? {
                return Err(StoreError::Conflict {
                    field: "organization",
                }
                .into());
            }
            tenants::insert_tenant(db, tenant)?;
            people::insert_user(
                db,
                administrator,
                &tenant.organization.id,
                MemberRole::Admin,
            )?;
            people::insert_api_key(db, api_key)?;
            changes::record(db, change)
        })
    }

    fn create_organization(
        &self,
        tenant: &Tenant,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            tenants::insert_tenant(db, tenant)?;
            changes::record(db, change)
        })
    }

    fn create_team(&self, row: &Team, change: &Change) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            tenants::insert_team(db, row)?;
            changes::record(db, change)
        })
    }

    fn create_project(&self, row: &Project, change: &Change) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            tenants::insert_project(db, row)?;
            changes::record(db, change)
        })
    }

    fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError> {
        self.db.read(|db| tenants::organization(db, id))
    }

    fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, StoreError> {
        self.db.read(|db| tenants::organization_by_slug(db, slug))
    }

    fn teams(&self, organization: &OrganizationId) -> Result<Vec<Team>, StoreError> {
        self.db.read(|db| tenants::teams(db, organization))
    }

    fn projects(&self, organization: &OrganizationId) -> Result<Vec<Project>, StoreError> {
        self.db.read(|db| tenants::projects(db, organization))
    }

    fn project(
        &self,
        organization: &OrganizationId,
        id: &ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        self.db.read(|db| tenants::project(db, organization, id))
    }

    fn governance_project(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<Project>, StoreError> {
        self.db
            .read(|db| tenants::governance_project(db, organization))
    }

    fn resolve_scope(
        &self,
        organization: &OrganizationId,
        kind: ScopeKind,
        id_or_slug: &str,
    ) -> Result<Option<Scope>, StoreError> {
        self.db
            .read(|db| tenants::resolve_scope(db, organization, kind, id_or_slug))
    }

    fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.db.read(|db| people::user(db, id))
    }

    fn user_by_email(&self, email: &str) -> Result<Option<User>, StoreError> {
        self.db.read(|db| people::user_by_email(db, email))
    }

    fn members(&self, organization: &OrganizationId) -> Result<Vec<Member>, StoreError> {
        self.db.read(|db| people::members(db, organization))
    }

    fn memberships(&self, user: &UserId) -> Result<Vec<Membership>, StoreError> {
        self.db.read(|db| people::memberships(db, user))
    }

    fn update_user(
        &self,
        row: &User,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError> {
        self.db.write(|db| {
            if people::update_user(db, row)? {
                changes::record(db, change).map(Some)
            } else {
                Ok(None)
            }
        })
    }

    fn api_key_by_lookup_id(&self, lookup_id: &str) -> Result<Option<ApiKey>, StoreError> {
        self.db
            .read(|db| people::api_key_by_lookup_id(db, lookup_id))
    }

    fn create_api_key(&self, row: &ApiKey, change: &Change) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            people::insert_api_key(db, row)?;
            changes::record(db, change)
        })
    }

    fn touch_api_key(&self, id: &ApiKeyId, at: UnixMicros) -> Result<(), StoreError> {
        self.db.write(|db| people::touch_api_key(db, id, at))
    }

    fn create_model_provider(
        &self,
        row: &ModelProvider,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            providers::insert(db, row)?;
            changes::record(db, change)
        })
    }

    fn update_model_provider(
        &self,
        row: &ModelProvider,
        expected: i64,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError> {
        self.db
            .write(|db| match providers::update(db, row, expected)? {
                Some(()) => changes::record(db, change).map(Some),
                None => Ok(None),
            })
    }

    fn delete_model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError> {
        self.db.write(|db| {
            if providers::delete(db, organization, id)? {
                changes::record(db, change).map(Some)
            } else {
                Ok(None)
            }
        })
    }

    fn model_provider(
        &self,
        organization: &OrganizationId,
        id: &ModelProviderId,
    ) -> Result<Option<ModelProvider>, StoreError> {
        self.db.read(|db| providers::get_one(db, organization, id))
    }

    fn model_providers(
        &self,
        organization: &OrganizationId,
        filter: &ModelProviderFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<ModelProvider>, StoreError> {
        self.db
            .read(|db| providers::list(db, organization, filter, limit, after))
    }

    fn reachable_providers(
        &self,
        organization: &OrganizationId,
        scopes: &[Scope],
    ) -> Result<Vec<ModelProvider>, StoreError> {
        self.db
            .read(|db| providers::reachable(db, organization, scopes))
    }

    fn create_virtual_key(
        &self,
        row: &VirtualKey,
        change: &Change,
    ) -> Result<ChangeRevision, StoreError> {
        self.db.write(|db| {
            keys::insert(db, row)?;
            changes::record(db, change)
        })
    }

    fn update_virtual_key(
        &self,
        row: &VirtualKey,
        expected: i64,
        change: &Change,
    ) -> Result<Option<ChangeRevision>, StoreError> {
        self.db.write(|db| match keys::update(db, row, expected)? {
            Some(()) => changes::record(db, change).map(Some),
            None => Ok(None),
        })
    }

    fn virtual_key(
        &self,
        organization: &OrganizationId,
        id: &VirtualKeyId,
    ) -> Result<Option<VirtualKey>, StoreError> {
        self.db.read(|db| keys::get_one(db, organization, id))
    }

    fn virtual_keys(
        &self,
        organization: &OrganizationId,
        filter: &VirtualKeyFilter,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<VirtualKey>, StoreError> {
        self.db
            .read(|db| keys::list(db, organization, filter, limit, after))
    }

    fn touch_virtual_keys(&self, touched: &[(VirtualKeyId, UnixMicros)]) -> Result<(), StoreError> {
        if touched.is_empty() {
            return Ok(());
        }
        self.db.write(|db| keys::touch(db, touched))
    }

    fn latest_change(&self) -> Result<ChangeRevision, StoreError> {
        self.db.read(changes::latest)
    }

    fn changes_since(
        &self,
        revision: ChangeRevision,
        limit: usize,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        self.db.read(|db| changes::since(db, revision, limit))
    }

    fn audit(
        &self,
        organization: &OrganizationId,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Page<AuditRow>, StoreError> {
        self.db
            .read(|db| changes::audit(db, organization, limit, after))
    }
}
