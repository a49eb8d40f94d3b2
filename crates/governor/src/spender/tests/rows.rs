//! Rows as the store takes them: everything that does not matter here is the same everywhere.

use std::collections::BTreeMap;

use lw_core::{
    BudgetId, GroupId, ModelProviderId, NanoUsd, OrganizationId, ProjectId, TeamId, UnixMicros,
    UserId, VirtualKeyId,
};
use lw_store::config::Tenant;
use lw_store::rows::{
    BoundRole, Budget, BudgetTarget, Enforcement, Group, KeyPurpose, KeyStatus, OnBreach,
    Organization, OrganizationSettings, PiiRedactionLevel, Project, ProjectKind, RoutingMode,
    Scope, Team, TeamMember, User, VirtualKey,
};

macro_rules! ids {
    ($($function:ident -> $kind:ident),+ $(,)?) => {
        $(pub(super) fn $function(name: impl std::fmt::Display) -> $kind {
            $kind::parse(&format!("{}{name}", $kind::PREFIX)).expect("an id")
        })+
    };
}

ids! {
    org -> OrganizationId,
    team -> TeamId,
    proj -> ProjectId,
    user -> UserId,
    vk -> VirtualKeyId,
    grp -> GroupId,
    bgt -> BudgetId,
    mp -> ModelProviderId,
}

const AT: UnixMicros = UnixMicros(1_000_000);

pub(super) fn ended(yes: bool) -> Option<UnixMicros> {
    yes.then_some(AT)
}

/// An organization with a default and a hidden team, each with a project.
pub(super) fn tenant(name: &str) -> Tenant {
    let places = |place: &str, kind| {
        let id = format!("{name}-{place}");
        (
            team_row(name, &id, None, false),
            project_row(name, &id, &id, kind, false),
        )
    };
    let (default_team, default_project) = places("default", ProjectKind::Application);
    let (hidden_team, governance_project) = places("hidden", ProjectKind::InternalGovernance);
    Tenant {
        organization: Organization {
            id: org(name),
            name: name.to_owned(),
            slug: name.to_owned(),
            settings: OrganizationSettings::default(),
            created_at: AT,
            updated_at: AT,
        },
        default_team,
        default_project,
        hidden_team,
        governance_project,
    }
}

pub(super) fn team_row(
    organization: &str,
    name: &str,
    owner: Option<UserId>,
    archived: bool,
) -> Team {
    Team {
        id: team(name),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        hidden: false,
        personal_owner: owner,
        archived_at: ended(archived),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn project_row(
    organization: &str,
    team_name: &str,
    name: &str,
    kind: ProjectKind,
    archived: bool,
) -> Project {
    Project {
        id: proj(name),
        team_id: team(team_name),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        kind,
        language: String::from("other"),
        framework: String::from("other"),
        pii_redaction_level: PiiRedactionLevel::Essential,
        key: None,
        archived_at: ended(archived),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn person_row(id: UserId) -> User {
    User {
        name: id.to_string(),
        id,
        email: None,
        password_hash: None,
        created_at: AT,
    }
}

pub(super) fn place_row(team_id: TeamId, user_id: UserId) -> TeamMember {
    TeamMember {
        team_id,
        user_id,
        role: BoundRole::Member,
        custom_role_id: None,
    }
}

pub(super) fn group_row(organization: &str, id: GroupId) -> Group {
    Group {
        organization_id: org(organization),
        name: id.to_string(),
        slug: id.to_string(),
        id,
        external_id: None,
        scim_source: None,
        created_at: AT,
        updated_at: AT,
    }
}

/// A key whose hash is `name`.
pub(super) fn key_row(
    organization: &str,
    name: &str,
    scopes: Vec<Scope>,
    trace_project_id: ProjectId,
    principal_user_id: Option<UserId>,
) -> VirtualKey {
    VirtualKey {
        id: vk(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        status: KeyStatus::Active,
        purpose: KeyPurpose::User,
        env: String::from("live"),
        external_id: None,
        metadata: BTreeMap::new(),
        scopes,
        trace_project_id,
        principal_user_id,
        routing_mode: RoutingMode::None,
        routing_policy_id: None,
        expires_at: None,
        config: String::from("{}"),
        revision: 1,
        hashed_secret: name.to_owned(),
        display_prefix: String::from("vk-lw-0123456"),
        previous_hashed_secret: None,
        previous_secret_valid_until: None,
        disabled_reason: None,
        disabled_at: None,
        revoked_at: None,
        revoked_by: None,
        last_used_at: None,
        created_by: String::from("user_0"),
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn budget_row(
    organization: &str,
    name: &str,
    target: BudgetTarget,
    filtered: bool,
    archived: bool,
) -> Budget {
    Budget {
        id: bgt(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        target,
        provider_key: filtered.then(|| mp("1")),
        window: String::from("month"),
        limit: NanoUsd(5_000_000_000),
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: None,
        current_period_started_at: AT,
        resets_at: AT,
        last_reset_at: None,
        external_id: None,
        metadata: BTreeMap::new(),
        managed_by_virtual_key_id: None,
        archived_at: ended(archived),
        created_by: String::from("user_0"),
        made_from: None,
        revision: 1,
        created_at: AT,
        updated_at: AT,
    }
}
