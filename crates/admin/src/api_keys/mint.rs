//! New API keys and what they are bound to: rows only (domain 5.1).
//!
//! The permissions of a restricted key stand in a role of its own, which its CUSTOM bindings name and which
//! nobody else can. Must never decide whether a caller may have the key. Start at [`Draft`].

use lw_core::{
    ApiKeyId, Entropy, OrganizationId, RoleBindingId, RoleId, Secret, UnixMicros, UserId,
};
use lw_crypto::Pepper;
use lw_store::config::Write;
use lw_store::rows::{
    ApiKey, BoundRole, CustomRole, PermissionMode, Principal, RoleBinding, RoleKind, Scope,
};

use super::view::detail;
use crate::write::Act;

/// A key that is about to be minted.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) organization: OrganizationId,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// The person whose rights are its ceiling; a service key has none.
    pub(crate) owner: Option<UserId>,
    /// The person who mints it, when it is a person.
    pub(crate) maker: Option<UserId>,
    pub(crate) mode: PermissionMode,
    pub(crate) expires_at: Option<UnixMicros>,
    /// What its CUSTOM bindings allow.
    pub(crate) permissions: Vec<String>,
    pub(crate) bindings: Vec<(BoundRole, Scope)>,
}

/// A minted key with its token, which exists nowhere else.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) token: Secret,
    pub(crate) key: ApiKey,
    pub(crate) grants: Grants,
}

/// What a key is bound to.
#[derive(Debug)]
pub(crate) struct Grants {
    /// Its private role.
    pub(crate) role: Option<CustomRole>,
    pub(crate) bindings: Vec<RoleBinding>,
}

impl Draft {
    /// Mints it.
    pub(crate) fn mint(self, now: UnixMicros, entropy: &dyn Entropy, pepper: &Pepper) -> Minted {
        let Self {
            organization,
            name,
            description,
            owner,
            maker,
            mode,
            expires_at,
            permissions,
            bindings,
        } = self;
        let minted = lw_crypto::api_key::mint(entropy);
        let key = ApiKey {
            id: ApiKeyId::mint(now, entropy),
            organization_id: organization,
            name,
            description,
            lookup_id: minted.lookup_id,
            hashed_secret: pepper.hash(minted.secret.expose()),
            user_id: owner,
            created_by_user_id: maker,
            permission_mode: mode,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let grants = Grants::of(&key, permissions, &bindings, now, entropy);
        Minted {
            token: minted.token,
            key,
            grants,
        }
    }
}

impl Grants {
    /// The rows that let `key` do all this.
    pub(crate) fn of(
        key: &ApiKey,
        permissions: Vec<String>,
        bindings: &[(BoundRole, Scope)],
        now: UnixMicros,
        entropy: &dyn Entropy,
    ) -> Self {
        let custom = bindings.iter().any(|(role, _)| *role == BoundRole::Custom);
        let role = custom.then(|| CustomRole {
            id: RoleId::mint(now, entropy),
            organization_id: key.organization_id.clone(),
            name: format!("Private role of {}", key.id),
            description: None,
            permissions,
            kind: RoleKind::SystemApiKey,
            created_at: now,
            updated_at: now,
        });
        let bindings = bindings.iter().map(|(bound, scope)| RoleBinding {
            id: RoleBindingId::mint(now, entropy),
            organization_id: key.organization_id.clone(),
            principal: Principal::ApiKey(key.id.clone()),
            role: *bound,
            custom_role_id: role
                .as_ref()
                .filter(|_| *bound == BoundRole::Custom)
                .map(|role| role.id.clone()),
            scope: scope.clone(),
            created_at: now,
        });
        Self {
            bindings: bindings.collect(),
            role,
        }
    }

    /// What is to be written.
    pub(crate) fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        let Self { role, bindings } = self;
        let role = role.iter().map(Write::InsertRole);
        role.chain(bindings.iter().map(Write::InsertBinding))
    }

    /// What the CUSTOM bindings allow.
    pub(crate) fn permissions(&self) -> Vec<String> {
        let role = self.role.as_ref();
        role.map(|role| role.permissions.clone())
            .unwrap_or_default()
    }
}

impl Minted {
    /// What is to be written.
    pub(crate) fn writes(&self) -> Vec<Write<'_>> {
        std::iter::once(Write::InsertApiKey(&self.key))
            .chain(self.grants.writes())
            .collect()
    }

    /// What the audit log keeps of it.
    pub(crate) fn created(&self) -> Act<'_> {
        let Self {
            token: _,
            key,
            grants,
        } = self;
        Act {
            action: "management.apiKey.create",
            target_id: key.id.as_str(),
            after: Some(detail(key, &grants.bindings, &grants.permissions())),
            ..Act::default()
        }
    }
}
