//! Policy refusals in the audit log (data-plane 11, domain 19).
//!
//! The data plane says which refusals are to be kept; it bounds how many. Runs on the traces thread. Start at
//! [`keep`].

use lw_core::Entropy;
use lw_core::id::ulid;
use lw_proxy::refusals::PolicyRefusal;
use lw_store::StoreError;
use lw_store::config::{AuditRow, Change, ConfigStore};
use lw_store::trace::Violated;
use serde_json::json;

/// Writes them all in one transaction.
///
/// # Errors
/// The store could not be written: none of them is there. They stand on their traces all the same.
pub(crate) fn keep(
    store: &dyn ConfigStore,
    entropy: &dyn Entropy,
    refusals: Vec<PolicyRefusal>,
) -> Result<(), StoreError> {
    let change = Change {
        audit: refusals.into_iter().map(|one| row(one, entropy)).collect(),
        ..Change::default()
    };
    store.commit(&[], &change)?;
    Ok(())
}

fn row(refusal: PolicyRefusal, entropy: &dyn Entropy) -> AuditRow {
    let PolicyRefusal {
        request_id,
        at,
        organization_id,
        project_id,
        virtual_key_id,
        principal,
        violated,
        left_out,
    } = refusal;
    let Violated {
        kind,
        pattern,
        value,
    } = violated;
    let args = json!({
        "kind": kind,
        "pattern": pattern,
        "value": value,
        "gateway_request_id": request_id.to_string(),
    });
    let metadata = (left_out > 0).then(|| json!({ "refusals_left_out": left_out }).to_string());
    AuditRow {
        id: format!("audit_{}", ulid(at, entropy)),
        created_at: at,
        user_id: Some(principal.unwrap_or_else(|| format!("svc_{project_id}"))),
        organization_id: Some(organization_id),
        project_id: Some(project_id),
        action: "gateway.policy.blocked".to_owned(),
        target_kind: Some("virtual_key".to_owned()),
        target_id: Some(virtual_key_id.to_string()),
        before: None,
        after: None,
        args: Some(args.to_string()),
        metadata,
        error: None,
        ip_address: None,
        user_agent: None,
    }
}

#[cfg(test)]
mod tests {
    use lw_core::{OrganizationId, ProjectId, RequestId, SystemEntropy, UnixMicros, VirtualKeyId};

    use super::*;

    fn refusal(principal: Option<&str>, left_out: u64) -> PolicyRefusal {
        PolicyRefusal {
            request_id: RequestId::from_bytes([1; 15]),
            at: UnixMicros(1_000_000),
            organization_id: OrganizationId::parse("org_a").expect("an id"),
            project_id: ProjectId::parse("proj_a").expect("an id"),
            virtual_key_id: VirtualKeyId::parse("vk_a").expect("an id"),
            principal: principal.map(str::to_owned),
            violated: Violated {
                kind: "tools".to_owned(),
                pattern: None,
                value: "shell".to_owned(),
            },
            left_out,
        }
    }

    #[test]
    fn an_entry_names_the_person_of_a_personal_key_and_the_project_of_any_other() {
        let of = |principal| row(refusal(principal, 0), &SystemEntropy).user_id;
        assert_eq!(of(Some("user_a")), Some("user_a".to_owned()));
        assert_eq!(of(None), Some("svc_proj_a".to_owned()));
    }

    #[test]
    fn an_entry_says_what_was_refused_and_how_many_others_left_none() {
        let quiet = row(refusal(None, 0), &SystemEntropy);
        assert_eq!(quiet.metadata, None);
        let args = quiet.args.expect("arguments");
        assert!(args.contains("\"value\":\"shell\""), "{args}");
        assert!(args.contains("\"pattern\":null"), "{args}");
        let loud = row(refusal(None, 7), &SystemEntropy);
        assert_eq!(loud.metadata.as_deref(), Some("{\"refusals_left_out\":7}"));
    }
}
