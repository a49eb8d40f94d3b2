//! How a key's routing mode and policy follow from what was sent and what is stored (C-7,
//! management-api 8.3, 8.4).
//!
//! Start at [`decide`].

use lw_core::{Code, Error};
use lw_store::rows::RoutingMode;

use crate::input::Given;

/// The mode and the policy afterwards. `P` names a policy.
///
/// # Errors
/// `routing_policy_required` for the mode `policy` without a policy, `routing_policy_conflict` for a
/// policy beside another mode.
pub(super) fn decide<P: Clone>(
    mode: Option<RoutingMode>,
    policy: &Given<P>,
    stored: (RoutingMode, Option<P>),
) -> Result<(RoutingMode, Option<P>), Error> {
    let (stored_mode, stored_policy) = stored;
    match (mode, policy) {
        (None, Given::Absent) => Ok((stored_mode, stored_policy)),
        (None | Some(RoutingMode::Policy), Given::Value(policy)) => {
            Ok((RoutingMode::Policy, Some(policy.clone())))
        }
        (None, Given::Null) if stored_mode == RoutingMode::Policy => Ok((RoutingMode::None, None)),
        (None, Given::Null) => Ok((stored_mode, None)),
        (Some(RoutingMode::Policy), Given::Absent) if stored_policy.is_some() => {
            Ok((RoutingMode::Policy, stored_policy))
        }
        (Some(RoutingMode::Policy), Given::Absent | Given::Null) => {
            let message =
                "The routing mode `policy` needs a policy: name one in `routing_policy_id`.";
            Err(Error::new(Code::RoutingPolicyRequired, message))
        }
        (Some(_), Given::Value(_)) => {
            let message = "A routing policy is named beside another routing mode. Send \
                           `routing_mode: \"policy\"`, or leave one of the two out.";
            Err(Error::new(Code::RoutingPolicyConflict, message))
        }
        (Some(mode), Given::Absent | Given::Null) => Ok((mode, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_policy_follow_from_each_other() {
        use RoutingMode::{FallbackAll, None as Nothing, Policy};
        let with = (Policy, Some("old"));
        let without = (Nothing, None);
        let all = (FallbackAll, None);
        let new = Given::Value("new");
        for (mode, policy, stored, expected) in [
            (None, Given::Absent, with, Ok(with)),
            (None, Given::Absent, all, Ok(all)),
            (None, new.clone(), without, Ok((Policy, Some("new")))),
            (None, new.clone(), with, Ok((Policy, Some("new")))),
            (None, Given::Null, with, Ok(without)),
            (None, Given::Null, all, Ok(all)),
            (
                Some(Policy),
                new.clone(),
                without,
                Ok((Policy, Some("new"))),
            ),
            (Some(Policy), Given::Absent, with, Ok(with)),
            (
                Some(Policy),
                Given::Absent,
                without,
                Err(Code::RoutingPolicyRequired),
            ),
            (
                Some(Policy),
                Given::Null,
                with,
                Err(Code::RoutingPolicyRequired),
            ),
            (Some(FallbackAll), Given::Absent, with, Ok(all)),
            (Some(Nothing), Given::Null, with, Ok(without)),
            (
                Some(Nothing),
                new.clone(),
                with,
                Err(Code::RoutingPolicyConflict),
            ),
            (
                Some(FallbackAll),
                new,
                without,
                Err(Code::RoutingPolicyConflict),
            ),
        ] {
            let found = decide(mode, &policy, stored).map_err(|error| error.code());
            assert_eq!(found, expected, "{mode:?} {policy:?} over {stored:?}");
        }
    }
}
