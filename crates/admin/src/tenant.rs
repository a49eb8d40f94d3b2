//! What every organization begins with, and the keys of projects (domain 3.1, 5.2).
//!
//! The key of a project is stored twice: hashed, to be found by, and sealed, to be shown again and to be
//! handed to gateways. Must never return one in clear. Start at [`new_tenant`].

use lw_core::{Entropy, OrganizationId, ProjectId, Secret, TeamId, UnixMicros};
use lw_crypto::{CryptoError, Pepper, Place, Sealer, api_key};
use lw_store::config::Tenant;
use lw_store::rows::{
    Organization, OrganizationSettings, PiiRedactionLevel, Project, ProjectKey, ProjectKind, Team,
};

/// A new organization with a team, a project, and the hidden team that holds its governance project. Both
/// projects have keys. Nothing is stored.
///
/// # Errors
/// A key could not be sealed.
pub fn new_tenant(
    name: &str,
    slug: &str,
    now: UnixMicros,
    entropy: &dyn Entropy,
    pepper: &Pepper,
    sealer: &Sealer,
) -> Result<Tenant, CryptoError> {
    let organization_id = OrganizationId::mint(now, entropy);
    let team = |name: &str, slug: &str, hidden| Team {
        id: TeamId::mint(now, entropy),
        organization_id: organization_id.clone(),
        name: name.to_owned(),
        slug: slug.to_owned(),
        hidden,
        personal_owner: None,
        archived_at: None,
        created_at: now,
        updated_at: now,
    };
    let default_team = team("Default team", "default", false);
    let hidden_team = team("Governance", "internal-governance", true);
    let project = |team: &Team, name: &str, slug: &str, kind| {
        let id = ProjectId::mint(now, entropy);
        Ok::<_, CryptoError>(Project {
            key: Some(project_key(&id, entropy, pepper, sealer)?),
            id,
            team_id: team.id.clone(),
            organization_id: organization_id.clone(),
            name: name.to_owned(),
            slug: slug.to_owned(),
            kind,
            language: "other".to_owned(),
            framework: "other".to_owned(),
            pii_redaction_level: PiiRedactionLevel::default(),
            archived_at: None,
            created_at: now,
            updated_at: now,
        })
    };
    let default_project = project(
        &default_team,
        "Default project",
        "default",
        ProjectKind::Application,
    )?;
    let governance_project = project(
        &hidden_team,
        "Governance",
        "internal-governance",
        ProjectKind::InternalGovernance,
    )?;
    Ok(Tenant {
        organization: Organization {
            id: organization_id,
            name: name.to_owned(),
            slug: slug.to_owned(),
            settings: OrganizationSettings::default(),
            created_at: now,
            updated_at: now,
        },
        default_team,
        default_project,
        hidden_team,
        governance_project,
    })
}

/// A new key for a project, as it is stored.
///
/// # Errors
/// It could not be sealed.
pub(crate) fn project_key(
    project: &ProjectId,
    entropy: &dyn Entropy,
    pepper: &Pepper,
    sealer: &Sealer,
) -> Result<ProjectKey, CryptoError> {
    let token = api_key::mint_legacy(entropy);
    Ok(ProjectKey {
        hash: pepper.hash(token.expose()),
        sealed: sealer.seal(token.expose().as_bytes(), place(project), entropy)?,
    })
}

/// The key of a project in clear; `None` when it was sealed for something else or damaged.
pub(crate) fn opened(project: &ProjectId, key: &ProjectKey, sealer: &Sealer) -> Option<Secret> {
    let plain = sealer.open(&key.sealed, place(project)).ok()?;
    let text = std::str::from_utf8(&plain).ok()?;
    Some(Secret::new(text))
}

fn place(project: &ProjectId) -> Place<'_> {
    Place {
        table: "projects",
        column: "sealed_key",
        row_id: project.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use lw_core::SystemEntropy;
    use lw_crypto::SealingKey;

    use super::*;

    #[test]
    fn a_new_tenant_hangs_together_and_its_keys_open_in_their_own_project_only() {
        let (key, _) = SealingKey::generate(&SystemEntropy);
        let (sealer, pepper) = (Sealer::new(&key, &[]), Pepper::new(&Secret::new("p")));
        let tenant = new_tenant(
            "Acme",
            "acme",
            UnixMicros(7),
            &SystemEntropy,
            &pepper,
            &sealer,
        )
        .expect("a tenant");
        let Tenant {
            organization,
            default_team,
            default_project,
            hidden_team,
            governance_project,
        } = tenant;
        assert!(hidden_team.hidden && !default_team.hidden);
        for (project, team, other) in [
            (&default_project, &default_team, &governance_project),
            (&governance_project, &hidden_team, &default_project),
        ] {
            assert_eq!(project.organization_id, organization.id);
            assert_eq!(team.organization_id, organization.id);
            assert_eq!(project.team_id, team.id);
            let key = project.key.as_ref().expect("a key");
            let token = opened(&project.id, key, &sealer).expect("it opens");
            assert_eq!(pepper.hash(token.expose()), key.hash);
            assert!(api_key::is_legacy_project_key(token.expose()));
            assert!(opened(&other.id, key, &sealer).is_none());
        }
    }
}
