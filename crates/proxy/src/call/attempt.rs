//! One attempt at a provider: what it was funded with, and how it went.

use std::sync::Arc;

use lw_core::{Entropy, Error, NanoUsd, SpanId};
use lw_engine::price::{HoldBound, ModelPrice};
use lw_governor::books::Amounts;
use tokio::time::Instant;

use crate::access::Authorised;
use crate::stages::Step;

/// What the hold was computed from, fixed at admission.
#[derive(Debug, Clone)]
pub(crate) struct Funding {
    /// The model's price; `None`: unpriced.
    pub(crate) price: Option<Arc<ModelPrice>>,
    /// The most that the call may cost.
    pub(crate) hold: NanoUsd,
    /// What it usually costs: what budgets that are kept softly hold.
    pub(crate) usual: NanoUsd,
    /// Input and output tokens that [`Self::usual`] covers.
    pub(crate) usual_tokens: (u64, u64),
    /// The most input tokens that the hold covers.
    pub(crate) input_most: u64,
    /// The most output tokens that the hold covers, when that is bounded.
    pub(crate) output_most: Option<u64>,
}

impl Funding {
    /// What more must be held for `output` tokens instead of those that are covered, which it then says are
    /// more. Budgets that are kept exactly hold the worst case already.
    pub(crate) fn more_for(&mut self, output: u64) -> Amounts {
        let (input, covered) = self.usual_tokens;
        let cost = |output: u64| {
            self.price.as_ref().map_or(NanoUsd::ZERO, |price| {
                price.hold(&HoldBound {
                    input_tokens_max: input,
                    output_tokens_max: Some(output),
                })
            })
        };
        let more = cost(output) - cost(covered);
        self.usual_tokens = (input, output.max(covered));
        Amounts {
            strict: NanoUsd::ZERO,
            soft: more.max(NanoUsd::ZERO),
        }
    }

    /// What budgets hold for the attempt; `None` when the model has no price.
    pub(crate) fn amounts(&self) -> Option<Amounts> {
        self.price.as_ref().map(|_| Amounts {
            strict: self.hold,
            soft: self.usual,
        })
    }
}

/// What earlier calls to the provider took that make up the same request: vectors of one text a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// There were none, or they are a part of what is told.
    #[default]
    None,
    /// Input tokens.
    Counted(u64),
    /// Nobody told.
    Uncounted,
}

/// The provider that was chosen, and how the call to it went.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// Index into the bundle's lanes.
    pub(crate) lane: usize,
    /// The model as dispatched.
    pub(crate) model: String,
    /// When dialling began, from the start of the request.
    pub(crate) started: Instant,
    /// The attempt's own span.
    pub(crate) span_id: SpanId,
    /// The provider's status.
    pub(crate) status: Option<u16>,
    /// It began to answer: it worked, whatever the answer turned out to be.
    pub(crate) served: bool,
    /// The provider may have seen the request: it may cost money whatever came back.
    pub(crate) reached: bool,
    /// The service tier as the head of the answer names it.
    pub(crate) tier: Option<String>,
    /// Calls before the last one. They were answered, and cost what they cost.
    pub(crate) earlier: Earlier,
    /// The outcome label of data-plane 13.2.
    pub(crate) outcome: &'static str,
    /// Whether the model is another than the caller's name resolved to.
    pub(crate) substituted: bool,
    /// Until when the answer must have begun.
    pub(crate) deadline: Option<Instant>,
    /// The circuit of the credential as the attempt met it, when it was not closed.
    pub(crate) circuit: Option<&'static str>,
    /// `max_tokens` left under its newer name.
    pub(crate) renamed_max_tokens: bool,
    /// Names of parameters that were left out (providers 13), sorted.
    pub(crate) dropped: Vec<String>,
    /// What authorised the call.
    pub(crate) authorised: Authorised,
    /// What it holds in budgets, and how many they are.
    pub(crate) held: Option<(Amounts, usize)>,
}

/// An attempt that is over, or a candidate that was passed over.
#[derive(Debug)]
pub(crate) struct Tried {
    /// What it was.
    pub(crate) dispatch: Dispatch,
    /// Microseconds that it took; zero when nothing was dialled.
    pub(crate) duration_us: u64,
    /// Why it was passed over; `None` when it was dialled.
    pub(crate) why: Option<Error>,
}

impl Dispatch {
    /// A call to the candidate `step`.
    pub(crate) fn to(step: &Step, entropy: &dyn Entropy) -> Self {
        Self {
            substituted: step.substituted,
            ..Self::new(step.lane, step.model.clone(), entropy)
        }
    }

    /// A call that is about to be made.
    pub(crate) fn new(lane: usize, model: String, entropy: &dyn Entropy) -> Self {
        Self {
            lane,
            model,
            started: Instant::now(),
            span_id: SpanId::mint(entropy),
            status: None,
            served: false,
            reached: false,
            tier: None,
            earlier: Earlier::None,
            outcome: "network",
            substituted: false,
            deadline: None,
            circuit: None,
            renamed_max_tokens: false,
            dropped: Vec::new(),
            authorised: Authorised::Plainly,
            held: None,
        }
    }
}
