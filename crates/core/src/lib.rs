//! The words that every other crate uses: ids, money, time, chance, token counts, secrets, errors.
//!
//! Holds values and pure functions. Must never do I/O, spawn, or read a clock, the environment or a
//! source of randomness on its own: [`Clock`] and [`Entropy`] are passed in.
//!
//! Start at [`id`] for identifiers, [`money`] for amounts and [`error`] for the table of codes.

pub mod body;
pub mod budget;
pub mod civil;
pub mod entropy;
pub mod error;
pub mod id;
pub mod money;
pub mod secret;
pub mod time;
pub mod trace;
pub mod usage;

pub use body::BodyForm;
pub use budget::BudgetTarget;
pub use entropy::{Entropy, SystemEntropy};
pub use error::{Code, Error, Fault};
pub use id::{
    ApiKeyId, BudgetId, CacheRuleId, GroupId, GuardrailId, InviteId, ModelPriceId, ModelProviderId,
    OrganizationId, ProjectId, RequestId, RoleBindingId, RoleId, RoutingPolicyId, TeamId, UserId,
    VirtualKeyId,
};
pub use money::{NanoUsd, PricePerMTok};
pub use secret::Secret;
pub use time::{Clock, ManualClock, SystemClock, UnixMicros};
pub use trace::{SpanId, TraceContext, TraceId};
pub use usage::Usage;
