//! What accompanies every write: the change event for gateways and the row of the audit log.
//!
//! Both land in the transaction of the row (domain 1); [`announce`] then tells this process, before the
//! caller has its answer. Must never be given a secret, a hash or a credential: `before` and `after` are
//! what callers see of the row. Start at [`Act`].

use lw_core::UnixMicros;
use lw_store::config::{AuditRow, Change, ChangeEvent};
use serde_json::{Value, json};

use crate::Admin;
use crate::caller::Caller;

/// One act of a caller on one row.
#[derive(Debug)]
pub(crate) struct Act<'a> {
    /// `gateway.virtual_key.created`.
    pub(crate) action: &'static str,
    /// `virtual_key`.
    pub(crate) target_kind: &'static str,
    /// The row.
    pub(crate) target_id: &'a str,
    /// The row before, as callers see it.
    pub(crate) before: Option<Value>,
    /// The row after, as callers see it.
    pub(crate) after: Option<Value>,
    /// What the caller said beyond the row.
    pub(crate) args: Option<Value>,
    /// What gateways are told.
    pub(crate) event: ChangeEvent,
}

impl Act<'_> {
    /// What the store keeps of the act.
    pub(crate) fn by(self, admin: &Admin, caller: &Caller, now: UnixMicros) -> Change {
        let Self {
            action,
            target_kind,
            target_id,
            before,
            after,
            args,
            event,
        } = self;
        let audit = AuditRow {
            id: format!("audit_{}", lw_core::id::ulid(now, admin.entropy.as_ref())),
            created_at: now,
            user_id: Some(caller.actor()),
            organization_id: Some(caller.organization.id.clone()),
            project_id: caller.project.as_ref().map(|project| project.id.clone()),
            action: action.to_owned(),
            target_kind: Some(target_kind.to_owned()),
            target_id: Some(target_id.to_owned()),
            before: before.map(|value| value.to_string()),
            after: after.map(|value| value.to_string()),
            args: args.map(|value| value.to_string()),
            metadata: Some(json!({ "api_key_id": caller.api_key() }).to_string()),
            error: None,
            ip_address: caller.ip.map(|ip| ip.to_string()),
            user_agent: caller.user_agent.clone(),
        };
        Change {
            event: Some(event),
            audit,
        }
    }
}

/// Tells this process of a committed change.
pub(crate) fn announce(admin: &Admin, change: &Change) {
    if let Some(event) = &change.event {
        admin.freshness.changed(event);
    }
}
