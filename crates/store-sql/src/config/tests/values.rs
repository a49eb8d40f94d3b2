//! Rows to test with, and two tenants to keep them apart.

use super::*;

macro_rules! ids {
    ($($function:ident -> $kind:ident),+ $(,)?) => {
        $(pub(super) fn $function(name: &str) -> $kind {
            $kind::parse(&format!("{}{name}", $kind::PREFIX)).expect("an id")
        })+
    };
}

ids! {
    org -> OrganizationId,
    team -> TeamId,
    proj -> ProjectId,
    user -> UserId,
    mp -> ModelProviderId,
    vk -> VirtualKeyId,
    ak -> ApiKeyId,
    grp -> GroupId,
    role_id -> RoleId,
    rb -> RoleBindingId,
    inv -> InviteId,
    rp -> RoutingPolicyId,
    bgt -> BudgetId,
    rule_id -> CacheRuleId,
    guard -> GuardrailId,
    price_id -> ModelPriceId,
}

pub(super) fn at(second: i64) -> UnixMicros {
    UnixMicros(second * 1_000_000)
}

pub(super) fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

pub(super) fn whole(organization: &str) -> Scope {
    Scope::Organization(org(organization))
}

pub(super) fn team_scope(name: &str) -> Scope {
    Scope::Team(team(name))
}

pub(super) fn project_scope(name: &str) -> Scope {
    Scope::Project(proj(name))
}

// Tenants.

pub(super) fn organization_row(name: &str) -> Organization {
    Organization {
        id: org(name),
        name: name.to_owned(),
        slug: name.to_owned(),
        settings: OrganizationSettings::default(),
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn team_row(organization: &str, name: &str, hidden: bool) -> Team {
    Team {
        id: team(&format!("{organization}-{name}")),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        hidden,
        personal_owner: None,
        archived_at: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn project_row(
    organization: &str,
    team_name: &str,
    name: &str,
    kind: ProjectKind,
) -> Project {
    Project {
        id: proj(&format!("{organization}-{name}")),
        team_id: team(&format!("{organization}-{team_name}")),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        kind,
        language: String::from("other"),
        framework: String::from("other"),
        pii_redaction_level: PiiRedactionLevel::Essential,
        key: None,
        archived_at: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn tenant(name: &str) -> Tenant {
    Tenant {
        organization: organization_row(name),
        default_team: team_row(name, "default", false),
        default_project: project_row(name, "default", "default", ProjectKind::Application),
        hidden_team: team_row(name, "governance", true),
        governance_project: project_row(
            name,
            "governance",
            "governance",
            ProjectKind::InternalGovernance,
        ),
    }
}

// People.

pub(super) fn person(name: &str) -> User {
    User {
        id: user(name),
        email: None,
        name: name.to_owned(),
        password_hash: None,
        created_at: at(1),
    }
}

pub(super) fn api_key(organization: &str, name: &str) -> ApiKey {
    ApiKey {
        id: ak(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        lookup_id: format!("lookup-{name}"),
        hashed_secret: String::from("hash"),
        user_id: None,
        created_by_user_id: None,
        permission_mode: PermissionMode::All,
        created_at: at(1),
        expires_at: Some(at(99)),
        revoked_at: None,
        last_used_at: None,
    }
}

pub(super) fn group(organization: &str, name: &str) -> Group {
    Group {
        id: grp(name),
        organization_id: org(organization),
        name: name.to_owned(),
        slug: name.to_owned(),
        external_id: None,
        scim_source: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn role(organization: &str, name: &str, kind: RoleKind) -> CustomRole {
    CustomRole {
        id: role_id(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        permissions: vec![String::from("virtualKeys:view")],
        kind,
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(super) fn binding(
    organization: &str,
    name: &str,
    principal: Principal,
    role: BoundRole,
    scope: Scope,
) -> RoleBinding {
    RoleBinding {
        id: rb(name),
        organization_id: org(organization),
        principal,
        role,
        custom_role_id: None,
        scope,
        created_at: at(1),
    }
}

pub(super) fn place(team_name: &str, person: &str, role: BoundRole) -> TeamMember {
    TeamMember {
        team_id: team(team_name),
        user_id: user(person),
        role,
        custom_role_id: None,
    }
}

pub(super) fn invite(organization: &str, name: &str) -> Invite {
    Invite {
        id: inv(name),
        organization_id: org(organization),
        email: format!("{name}@example.com"),
        role: MemberRole::Member,
        teams: vec![InvitedTo {
            team_id: team(&format!("{organization}-default")),
            role: BoundRole::Member,
        }],
        hashed_code: format!("code-{name}"),
        status: InviteStatus::Pending,
        expires_at: at(99),
        created_by: String::from("user_admin"),
        created_at: at(1),
    }
}

// Providers and keys.

pub(super) fn provider(organization: &str, name: &str, scopes: &[Scope]) -> ModelProvider {
    ModelProvider {
        id: mp(name),
        organization_id: org(organization),
        name: name.to_owned(),
        provider: String::from("openai"),
        routing_handle: None,
        enabled: true,
        scopes: scopes.to_vec(),
        sealed_keys: String::from("lw1.sealed"),
        sealed_extra_headers: None,
        custom_models: None,
        custom_embeddings_models: None,
        deployment_mapping: None,
        rate_limit: RateLimit::default(),
        fallback_priority_global: None,
        provider_config: None,
        disabled_at: None,
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

pub(super) fn key(organization: &str, name: &str, scopes: &[Scope]) -> VirtualKey {
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
        scopes: scopes.to_vec(),
        trace_project_id: proj(&format!("{organization}-governance")),
        principal_user_id: None,
        routing_mode: RoutingMode::None,
        routing_policy_id: None,
        expires_at: None,
        config: String::from("{}"),
        revision: 1,
        hashed_secret: format!("hash-{name}"),
        display_prefix: String::from("vk-lw-0123456"),
        previous_hashed_secret: None,
        previous_secret_valid_until: None,
        disabled_reason: None,
        disabled_at: None,
        revoked_at: None,
        revoked_by: None,
        last_used_at: None,
        created_by: String::from("user_admin"),
        created_at: at(10),
        updated_at: at(10),
    }
}

// Policies.

pub(super) fn policy(organization: &str, name: &str, scopes: &[Scope]) -> RoutingPolicy {
    RoutingPolicy {
        id: rp(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        strategy: Strategy::Ordered,
        model_provider_ids: vec![mp("1")],
        model_aliases: BTreeMap::new(),
        default_model: None,
        policy_rules: json!({}),
        fallback: None,
        is_default: false,
        scopes: scopes.to_vec(),
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

pub(super) fn budget(organization: &str, name: &str, target: BudgetTarget) -> Budget {
    Budget {
        id: bgt(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        target,
        provider_key: None,
        window: String::from("month"),
        limit: NanoUsd(5_000_000_000),
        on_breach: OnBreach::Block,
        enforcement: Enforcement::Strict,
        timezone: None,
        cycle_anchor_at: None,
        current_period_started_at: at(10),
        resets_at: at(99),
        last_reset_at: None,
        external_id: None,
        metadata: BTreeMap::new(),
        managed_by_virtual_key_id: None,
        archived_at: None,
        created_by: String::from("user_admin"),
        made_from: None,
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

pub(super) fn cache_rule(organization: &str, name: &str, priority: i64) -> CacheRule {
    CacheRule {
        id: rule_id(name),
        organization_id: org(organization),
        name: name.to_owned(),
        description: None,
        priority,
        enabled: true,
        matchers: json!({ "model": "m" }),
        action: json!({ "mode": "force" }),
        archived_at: None,
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

pub(super) fn guardrail(organization: &str, project: &str, name: &str) -> Guardrail {
    Guardrail {
        id: guard(name),
        organization_id: org(organization),
        project_id: proj(project),
        name: name.to_owned(),
        description: None,
        evaluator_id: format!("eval-{name}"),
        evaluator_slug: String::from("regex"),
        settings: json!({ "patterns": ["a"] }),
        sealed_settings: None,
        direction: GuardrailDirection::Pre,
        failure_mode: FailureMode::FailClosed,
        archived_at: None,
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

pub(super) fn price(organization: &str, name: &str, provider: Option<&str>) -> ModelPrice {
    ModelPrice {
        id: price_id(name),
        organization_id: org(organization),
        provider: provider.map(str::to_owned),
        model: String::from("model"),
        rates: BTreeMap::from([(String::from("input_cost_per_token"), String::from("0.01"))]),
        revision: 1,
        created_at: at(10),
        updated_at: at(10),
    }
}

// Changes.

pub(super) fn audit_row(organization: &str) -> AuditRow {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AuditRow {
        id: format!("aud_{number:06}"),
        created_at: at(1_000 + number),
        user_id: Some(String::from("user_admin")),
        organization_id: Some(org(organization)),
        project_id: None,
        action: String::from("gateway.virtual_key.created"),
        target_kind: Some(String::from("virtual_key")),
        target_id: Some(String::from("vk_1")),
        before: None,
        after: Some(String::from("{}")),
        args: None,
        metadata: None,
        error: None,
        ip_address: Some(String::from("127.0.0.1")),
        user_agent: None,
    }
}

pub(super) fn quiet(organization: &str) -> Change {
    Change {
        events: Vec::new(),
        audit: vec![audit_row(organization)],
        receipt: None,
    }
}

pub(super) fn loud(organization: &str, kind: ChangeKind) -> Change {
    Change {
        events: vec![event(organization, kind)],
        ..quiet(organization)
    }
}

pub(super) fn event(organization: &str, kind: ChangeKind) -> ChangeEvent {
    ChangeEvent {
        virtual_key_id: Some(vk("1")),
        project_id: Some(proj("p")),
        ..ChangeEvent::of(kind, org(organization))
    }
}

pub(super) fn receipt(scope: &str, key: &str, created: i64, expires: i64) -> Receipt {
    Receipt {
        scope_id: scope.to_owned(),
        key: key.to_owned(),
        fingerprint: String::from("fingerprint"),
        status: 201,
        sealed_body: String::from("lw1.answer"),
        created_at: at(created),
        expires_at: at(expires),
    }
}

// Acts.

/// The first organization, `a`, with its administrator and a key.
pub(super) fn start(store: &dyn Engine) -> Result<Committed, StoreError> {
    store.commit(
        &[
            Write::FirstOrganization(&tenant("a")),
            Write::InsertUser(&person("admin")),
            Write::PutMember {
                organization: &org("a"),
                user: &user("admin"),
                role: MemberRole::Admin,
                disabled_at: None,
                now: at(1),
            },
            Write::InsertApiKey(&api_key("a", "first")),
            Write::InsertBinding(&binding(
                "a",
                "first",
                Principal::ApiKey(ak("first")),
                BoundRole::Admin,
                whole("a"),
            )),
        ],
        &quiet("a"),
    )
}

/// Two tenants, `a` and `b`, alike but for their ids; `a` has an administrator and an API key.
pub(super) fn two_tenants(store: &dyn Engine) {
    start(store).expect("starts");
    done(store, "b", &[Write::InsertOrganization(&tenant("b"))]);
}

/// Commits without an event.
#[track_caller]
pub(super) fn done(store: &dyn Engine, organization: &str, writes: &[Write<'_>]) -> Committed {
    store.commit(writes, &quiet(organization)).expect("commits")
}

/// Tries to commit without an event.
pub(super) fn tried(
    store: &dyn Engine,
    organization: &str,
    write: Write<'_>,
) -> Result<Committed, StoreError> {
    store.commit(&[write], &quiet(organization))
}

/// A person who is a member of the organization.
pub(super) fn joined(store: &dyn Engine, organization: &str, name: &str) -> UserId {
    done(
        store,
        organization,
        &[
            Write::InsertUser(&person(name)),
            Write::PutMember {
                organization: &org(organization),
                user: &user(name),
                role: MemberRole::Member,
                disabled_at: None,
                now: at(5),
            },
        ],
    );
    user(name)
}

#[track_caller]
pub(super) fn conflicts<T: std::fmt::Debug>(answer: Result<T, StoreError>, expected: &str) {
    match answer {
        Err(StoreError::Conflict { field }) => assert_eq!(field, expected),
        other => panic!("a conflict on {expected} was expected: {other:?}"),
    }
}

#[track_caller]
pub(super) fn missing<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    match answer {
        Err(StoreError::Missing) => {}
        other => panic!("missing was expected: {other:?}"),
    }
}

#[track_caller]
pub(super) fn stale<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    match answer {
        Err(StoreError::Stale) => {}
        other => panic!("stale was expected: {other:?}"),
    }
}

#[track_caller]
pub(super) fn corrupt<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    match answer {
        Err(StoreError::Corrupt(_)) => {}
        other => panic!("corrupt was expected: {other:?}"),
    }
}

/// The audit log of an organization, newest first.
pub(super) fn all_audited(store: &dyn Engine, organization: &str) -> Vec<AuditRow> {
    let page = store.audit(&org(organization), &AuditFilter::default(), 99, None);
    page.expect("reads").rows
}
