//! What an empty installation begins with (README, "First start").

use lw_core::{
    ApiKeyId, Clock, Entropy, OrganizationId, ProjectId, Secret, TeamId, UserId, id::ulid,
};
use lw_crypto::{Pepper, api_key, password};
use lw_store::StoreError;
use lw_store::config::{AuditRow, Change, ConfigStore, FirstStart, Tenant};
use lw_store::rows::{ApiKey, Organization, Project, ProjectKind, Team, User};

use crate::config::Config;

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstStartError {
    #[error("the configuration database cannot be used")]
    Store(#[from] StoreError),
    #[error("LANGWATCH_INIT_ADMIN_PASSWORD cannot be hashed")]
    Password(#[source] lw_crypto::CryptoError),
    #[error("LANGWATCH_INIT_API_KEY is malformed")]
    ApiKey,
}

/// Sets an empty store up. Returns the organization-wide API key when one was minted, to be shown once;
/// `None` when the store was set up before, or with a key that somebody brought and therefore knows.
pub(crate) fn first_start(
    store: &dyn ConfigStore,
    config: &Config,
    credential_pepper: &Pepper,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Option<Secret>, FirstStartError> {
    if !store.is_empty()? {
        return Ok(None);
    }
    let now = clock.now();
    let (token, lookup_id, secret) = match &config.init_api_key {
        Some(token) => {
            let parts = api_key::parse(token.expose()).ok_or(FirstStartError::ApiKey)?;
            (token.clone(), parts.lookup_id, parts.secret)
        }
        None => {
            let minted = api_key::mint(entropy);
            (minted.token, minted.lookup_id, minted.secret)
        }
    };
    let tenant = tenant(&config.init_org, now, entropy);
    let password_hash = match &config.init_admin_password {
        Some(password) => {
            Some(password::hash(password, entropy).map_err(FirstStartError::Password)?)
        }
        None => None,
    };
    let organization_id = tenant.organization.id.clone();
    let start = FirstStart {
        administrator: User {
            id: UserId::mint(now, entropy),
            email: config
                .init_admin_email
                .as_ref()
                .map(|email| email.to_lowercase()),
            name: "Administrator".to_owned(),
            password_hash,
            created_at: now,
        },
        api_key: ApiKey {
            id: ApiKeyId::mint(now, entropy),
            organization_id: organization_id.clone(),
            name: "First organization key".to_owned(),
            lookup_id,
            hashed_secret: credential_pepper.hash(secret.expose()),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        },
        tenant,
    };
    let change = Change {
        event: None,
        audit: AuditRow {
            id: format!("audit_{}", ulid(now, entropy)),
            created_at: now,
            user_id: Some("instance-admin".to_owned()),
            organization_id: Some(organization_id.clone()),
            project_id: None,
            action: "management.organization.provision".to_owned(),
            target_kind: None,
            target_id: Some(organization_id.to_string()),
            before: None,
            after: None,
            args: None,
            metadata: None,
            error: None,
            ip_address: None,
            user_agent: None,
        },
    };
    store.first_start(&start, &change)?;
    Ok(config.init_api_key.is_none().then_some(token))
}

fn tenant(slug: &str, now: lw_core::UnixMicros, entropy: &dyn Entropy) -> Tenant {
    let organization_id = OrganizationId::mint(now, entropy);
    let team = |name: &str, slug: &str, hidden| Team {
        id: TeamId::mint(now, entropy),
        organization_id: organization_id.clone(),
        name: name.to_owned(),
        slug: slug.to_owned(),
        hidden,
        created_at: now,
    };
    let default_team = team("Default team", "default", false);
    let hidden_team = team("Governance", "internal-governance", true);
    let project = |team: &Team, name: &str, slug: &str, kind| Project {
        id: ProjectId::mint(now, entropy),
        team_id: team.id.clone(),
        organization_id: organization_id.clone(),
        name: name.to_owned(),
        slug: slug.to_owned(),
        kind,
        archived_at: None,
        created_at: now,
    };
    let default_project = project(
        &default_team,
        "Default project",
        "default",
        ProjectKind::Application,
    );
    let governance_project = project(
        &hidden_team,
        "Governance",
        "internal-governance",
        ProjectKind::InternalGovernance,
    );
    Tenant {
        organization: Organization {
            id: organization_id.clone(),
            name: slug.to_owned(),
            slug: slug.to_owned(),
            created_at: now,
            updated_at: now,
        },
        default_team,
        default_project,
        hidden_team,
        governance_project,
    }
}
