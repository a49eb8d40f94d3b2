//! The gate before a candidate is dialled: its circuit, its own rate limit, the budgets that a call to it
//! counts toward (data-plane 10.1, 13.2, 15).
//!
//! What is taken here is returned when the attempt is over ([`Pass`]). Nothing waits. Start at [`enter`].

use lw_core::{Code, Error, NanoUsd, UnixMicros};
use lw_engine::breaker::State;
use lw_engine::limit::{Ceilings, Denied, estimate};
use lw_governor::books::{Amounts, Hold};
use lw_governor::breakers::Ticket;
use lw_governor::limits::{Grant, Limits};

use crate::budget;
use crate::bundle::Bundle;
use crate::governed::GovernedLane;
use crate::stages::Step;

/// What an attempt holds while it lasts.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    ticket: Option<Ticket>,
    grant: Option<Grant>,
}

/// Why a candidate is passed over.
#[derive(Debug)]
pub(crate) struct Skipped {
    /// The outcome label.
    pub(crate) outcome: &'static str,
    /// What is answered when nobody else can serve.
    pub(crate) error: Error,
}

/// Asks circuit and ceilings of a candidate.
///
/// # Errors
/// It is to be passed over.
pub(crate) fn enter(
    limits: &Limits,
    lane: &GovernedLane,
    kind: &'static str,
    now: UnixMicros,
    (characters, output_cap): (u64, Option<u64>),
) -> Result<Pass, Skipped> {
    let ticket = lane.breaker.admit(now).map_err(|refused| Skipped {
        outcome: "circuit_open",
        error: Error::new(
            Code::CircuitOpen,
            format!("the provider `{kind}` keeps failing and is left alone for a while"),
        )
        .with("provider", kind)
        .tip("Try again later, or let the key fall over to another provider.")
        .retry_after(refused.retry_after_s),
    })?;
    let ceilings = &lane.limited.ceilings;
    let grant = if ceilings.is_empty() {
        None
    } else {
        let tokens = estimate(characters, output_cap, ceilings);
        let taken = limits.take(&lane.limited.subject, ceilings, now, tokens);
        Some(taken.map_err(|denied| Skipped {
            outcome: "rate_limit",
            error: denial(Code::ProviderRateLimitExceeded, denied, ceilings).with("provider", kind),
        })?)
    };
    Ok(Pass {
        ticket: Some(ticket),
        grant,
    })
}

impl Pass {
    /// The circuit as this call met it.
    pub(crate) fn circuit(&self) -> Option<&'static str> {
        self.ticket.as_ref().map(|ticket| ticket.met().as_str())
    }

    /// Nothing was sent.
    pub(crate) fn unused(self, now: UnixMicros) {
        if let Some(grant) = self.grant {
            grant.give_back(now);
        }
    }

    /// The attempt is over. `verdict` is what it says of the credential: `None` says nothing, as with a
    /// caller that left. Returns the state that the circuit has turned to, if it did.
    pub(crate) fn over(self, now: UnixMicros, verdict: Option<bool>, tokens: u64) -> Option<State> {
        if let Some(grant) = self.grant {
            grant.settle(now, tokens);
        }
        let ticket = self.ticket?;
        match verdict? {
            true => ticket.succeed().then_some(State::Closed),
            false => ticket.fail(now).then_some(State::Open),
        }
    }
}

/// The refusal of data-plane 10.3.
pub(crate) fn denial(code: Code, denied: Denied, ceilings: &Ceilings) -> Error {
    let Denied {
        dimension,
        retry_after_s,
    } = denied;
    let limit = match dimension.as_str() {
        "rpm" => ceilings
            .rpm
            .map(|limit| format!("{limit} requests a minute")),
        "tpm" => ceilings.tpm.map(|limit| format!("{limit} tokens a minute")),
        "rpd" => ceilings.rpd.map(|limit| format!("{limit} requests a day")),
        _ => ceilings
            .concurrent
            .map(|limit| format!("{limit} requests at the same time")),
    };
    let whose = if code == Code::ProviderRateLimitExceeded {
        "the provider"
    } else {
        "the virtual key"
    };
    Error::new(
        code,
        format!(
            "{whose} is over its rate limit `{}`: {}",
            dimension.as_str(),
            limit.unwrap_or_default()
        ),
    )
    .with("dimension", dimension.as_str())
    .retry_after(retry_after_s)
}

/// Holds what the attempt may cost in every budget that it counts toward.
///
/// # Errors
/// A budget that refuses has no room for it, or the model has no price and a budget is kept exactly.
pub(crate) fn hold(
    bundle: &Bundle,
    step: &Step,
    amounts: Option<Amounts>,
    accounts: &lw_governor::books::Accounts,
    now: UnixMicros,
) -> Result<Option<Hold>, Error> {
    if accounts.is_empty() {
        return Ok(None);
    }
    let held = accounts.hold(asked(bundle, step, amounts)?, now);
    held.map(Some)
        .map_err(|refusal| budget::exceeded_by(&refusal))
}

/// Whether [`hold`] would find room, without holding anything.
///
/// # Errors
/// As [`hold`].
pub(crate) fn room(
    bundle: &Bundle,
    step: &Step,
    amounts: Option<Amounts>,
    accounts: &lw_governor::books::Accounts,
    now: UnixMicros,
) -> Result<(), Error> {
    let room = accounts.room(asked(bundle, step, amounts)?, now);
    room.map_err(|refusal| budget::exceeded_by(&refusal))
}

/// What budgets are asked for: nothing for a model without a price, where none is kept exactly.
fn asked(bundle: &Bundle, step: &Step, amounts: Option<Amounts>) -> Result<Amounts, Error> {
    let lane = bundle.lanes.get(step.lane);
    match amounts {
        Some(amounts) => Ok(amounts),
        None if lane.is_some_and(|lane| bundle.governed.is_strict_for(&lane.id)) => {
            Err(unpriced(&step.name))
        }
        None => Ok(Amounts {
            strict: NanoUsd::ZERO,
            soft: NanoUsd::ZERO,
        }),
    }
}

fn unpriced(model: &str) -> Error {
    Error::new(
        Code::ModelUnpriced,
        format!("nobody knows what `{model}` costs, and a strict budget applies to this request"),
    )
    .at("model")
    .with("model", model)
    .tip("An administrator can set a price (`langwatch model-prices`), or make the budget `soft`.")
}
