//! What an empty installation begins with (README, "First start").

use lw_core::{ApiKeyId, Clock, Entropy, RoleBindingId, Secret, UserId, id::ulid};
use lw_crypto::{Pepper, Sealer, api_key, password};
use lw_store::StoreError;
use lw_store::config::{AuditRow, Change, ConfigStore, Write};
use lw_store::rows::{
    ApiKey, BoundRole, MemberRole, PermissionMode, Principal, RoleBinding, Scope, User,
};

use crate::config::Config;

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstStartError {
    #[error("the configuration database cannot be used")]
    Store(#[from] StoreError),
    #[error("LANGWATCH_INIT_ADMIN_PASSWORD cannot be hashed")]
    Password(#[source] lw_crypto::CryptoError),
    #[error("the keys of the first projects cannot be sealed")]
    Seal(#[source] lw_crypto::CryptoError),
    #[error("LANGWATCH_INIT_API_KEY is malformed")]
    ApiKey,
}

/// What a first start works with.
pub(crate) struct Means<'a> {
    pub(crate) credential_pepper: &'a Pepper,
    pub(crate) sealer: &'a Sealer,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) entropy: &'a dyn Entropy,
}

/// Sets an empty store up. Returns the organization-wide API key when one was minted, to be shown once;
/// `None` when the store was set up before, or with a key that somebody brought and therefore knows.
pub(crate) fn first_start(
    store: &dyn ConfigStore,
    config: &Config,
    means: &Means<'_>,
) -> Result<Option<Secret>, FirstStartError> {
    if !store.is_empty()? {
        return Ok(None);
    }
    let Means {
        credential_pepper,
        sealer,
        clock,
        entropy,
    } = *means;
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
    let slug = &config.init_org;
    let tenant = lw_admin::new_tenant(slug, slug, now, entropy, credential_pepper, sealer)
        .map_err(FirstStartError::Seal)?;
    let password_hash = match &config.init_admin_password {
        Some(password) => {
            Some(password::hash(password, entropy).map_err(FirstStartError::Password)?)
        }
        None => None,
    };
    let organization = tenant.organization.id.clone();
    let administrator = User {
        id: UserId::mint(now, entropy),
        email: config
            .init_admin_email
            .as_ref()
            .map(|email| email.to_lowercase()),
        name: "Administrator".to_owned(),
        password_hash,
        created_at: now,
    };
    let key = ApiKey {
        id: ApiKeyId::mint(now, entropy),
        organization_id: organization.clone(),
        name: "First organization key".to_owned(),
        description: None,
        lookup_id,
        hashed_secret: credential_pepper.hash(secret.expose()),
        user_id: None,
        created_by_user_id: None,
        permission_mode: PermissionMode::All,
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let binding = RoleBinding {
        id: RoleBindingId::mint(now, entropy),
        organization_id: organization.clone(),
        principal: Principal::ApiKey(key.id.clone()),
        role: BoundRole::Admin,
        custom_role_id: None,
        scope: Scope::Organization(organization.clone()),
        created_at: now,
    };
    let audit = AuditRow {
        id: format!("audit_{}", ulid(now, entropy)),
        created_at: now,
        user_id: Some("instance-admin".to_owned()),
        organization_id: Some(organization.clone()),
        project_id: None,
        action: "management.organization.provision".to_owned(),
        target_kind: None,
        target_id: Some(organization.to_string()),
        before: None,
        after: None,
        args: None,
        metadata: None,
        error: None,
        ip_address: None,
        user_agent: None,
    };
    let writes = [
        Write::FirstOrganization(&tenant),
        Write::InsertUser(&administrator),
        Write::PutMember {
            organization: &organization,
            user: &administrator.id,
            role: MemberRole::Admin,
            disabled_at: None,
            now,
        },
        Write::InsertApiKey(&key),
        Write::InsertBinding(&binding),
    ];
    let change = Change {
        audit: vec![audit],
        ..Change::default()
    };
    store.commit(&writes, &change)?;
    Ok(config.init_api_key.is_none().then_some(token))
}
