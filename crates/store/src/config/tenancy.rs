//! Reading organizations, teams and projects.

use lw_core::{OrganizationId, ProjectId, TeamId};

use super::ScopeKind;
use crate::StoreError;
use crate::rows::{Organization, Project, Scope, Team};

/// An organization with what every organization starts with (domain 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The organization.
    pub organization: Organization,
    /// Its first team.
    pub default_team: Team,
    /// A project in the first team.
    pub default_project: Project,
    /// The team that holds the governance project.
    pub hidden_team: Team,
    /// The project of kind `internal_governance`.
    pub governance_project: Project,
}

/// Organizations, teams and projects. Errors: see [`super::ConfigStore`].
pub trait Tenancy {
    /// Whether no organization exists yet.
    fn is_empty(&self) -> Result<bool, StoreError>;

    /// All organizations of the installation, oldest first.
    fn organizations(&self) -> Result<Vec<Organization>, StoreError>;

    /// An organization by its id.
    fn organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError>;

    /// An organization by its slug.
    fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>, StoreError>;

    /// All teams of an organization, oldest first: hidden, personal and archived ones too.
    fn teams(&self, organization: &OrganizationId) -> Result<Vec<Team>, StoreError>;

    /// A team of an organization, archived or not.
    fn team(&self, organization: &OrganizationId, id: &TeamId) -> Result<Option<Team>, StoreError>;

    /// All projects of an organization, oldest first, archived and governance ones too.
    fn projects(&self, organization: &OrganizationId) -> Result<Vec<Project>, StoreError>;

    /// The projects of one team, oldest first, archived ones too.
    fn projects_of_team(
        &self,
        organization: &OrganizationId,
        team: &TeamId,
    ) -> Result<Vec<Project>, StoreError>;

    /// A project of an organization by its id, archived or not.
    fn project(
        &self,
        organization: &OrganizationId,
        id: &ProjectId,
    ) -> Result<Option<Project>, StoreError>;

    /// The live project whose legacy key has this hash, with its organization (domain 5.2).
    fn project_by_key_hash(
        &self,
        hash: &str,
    ) -> Result<Option<(Organization, Project)>, StoreError>;

    /// The oldest live project of kind `internal_governance` (domain 10, rule 3).
    fn governance_project(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<Project>, StoreError>;

    /// Turns what a caller wrote into a scope: an exact id wins, else a slug inside the organization
    /// (domain C-3). Archived projects and teams and hidden teams do not resolve.
    fn resolve_scope(
        &self,
        organization: &OrganizationId,
        kind: ScopeKind,
        id_or_slug: &str,
    ) -> Result<Option<Scope>, StoreError>;
}
