//! The conformance suite of [`ConfigStore`] and [`KeySource`]: every method, on every engine.
//!
//! A test takes an empty store and knows no engine; [`sqlite`] runs all of them. What only
//! SQLite does is tested in [`sqlite`], [`migration`] and [`plans`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use lw_core::{
    ApiKeyId, BudgetId, CacheRuleId, GroupId, GuardrailId, InviteId, ModelPriceId, ModelProviderId,
    NanoUsd, OrganizationId, ProjectId, RoleBindingId, RoleId, RoutingPolicyId, TeamId, UnixMicros,
    UserId, VirtualKeyId,
};
use lw_store::StoreError;
use lw_store::bundle::KeySource;
use lw_store::config::{
    AuditFilter, AuditRow, BindingFilter, Bound, BudgetFilter, BudgetReach, Change, ChangeEvent,
    ChangeKind, ChangeLog as _, ChangeRevision, Committed, ConfigStore, Cursor,
    ModelProviderFilter, ModelProviders as _, OwnerAccess, People as _, Policies, Receipt,
    ScopeKind, Tenancy as _, Tenant, VirtualKeyFilter, VirtualKeys as _, Write,
};
use lw_store::rows::{
    ApiKey, BoundRole, Budget, BudgetTarget, CacheRule, CaptureMode, CustomRole, Enforcement,
    FailureMode, Group, Guardrail, GuardrailDirection, Invite, InviteStatus, InvitedTo, KeyPurpose,
    KeyStatus, MemberRole, ModelPrice, ModelProvider, OnBreach, Organization, OrganizationSettings,
    PermissionMode, PiiRedactionLevel, Principal, Project, ProjectKey, ProjectKind, RateLimit,
    RoleBinding, RoleKind, RoutingMode, RoutingPolicy, Scope, Strategy, Team, TeamMember, User,
    VirtualKey,
};
use serde_json::json;

/// What an engine gives to the suite.
trait Engine: ConfigStore + KeySource {}
impl<T: ConfigStore + KeySource> Engine for T {}

mod access;
mod budgets;
mod bundle;
mod changes;
mod commit;
mod documents;
mod keys;
mod migration;
mod people;
mod plans;
mod policies;
mod providers;
mod reach;
mod sqlite;
mod tenants;
mod values;

use values::*;
