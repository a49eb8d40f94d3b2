//! What an attempt cost: what the provider reported, or a flagged estimate between what was delivered and the
//! hold.

use lw_core::{Code, NanoUsd, Usage};
use lw_engine::price::estimate_between;
use lw_store::ledger::Certainty;
use lw_wire::tap::Tap;
use lw_wire::{Surface, capture};

use super::{Call, Earlier, Ending};

/// Bytes of a body that count as one token when nobody counted.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a provider may add to a prompt on its own (tool instructions).
pub(crate) const HIDDEN_INPUT_TOKENS: u64 = 1_024;
/// A report of so many tokens is believed whatever the hold covers.
const PLAUSIBLE_TOKENS: u64 = 65_536;

/// What a request cost, and how sure that is.
pub(super) struct Bill {
    pub(super) usage: Option<Usage>,
    pub(super) cost: NanoUsd,
    pub(super) certainty: Certainty,
}

impl Call {
    /// What the call cost.
    pub(super) fn bill(&self, ending: &Ending<'_>, tap: &Tap) -> Bill {
        let observed = tap.observed();
        let price = self
            .funding
            .as_ref()
            .and_then(|funding| funding.price.as_deref());
        let cost = |usage: &Usage| {
            let tier = observed
                .service_tier
                .as_deref()
                .or_else(|| self.dispatch.as_ref()?.tier.as_deref());
            price.map_or(NanoUsd::ZERO, |price| price.cost(usage, tier))
        };
        let reported = observed.billable().filter(|usage| self.is_plausible(usage));
        let served = self
            .dispatch
            .as_ref()
            .is_some_and(|dispatch| dispatch.served);
        let refused = self
            .dispatch
            .as_ref()
            .is_some_and(|dispatch| dispatch.status.is_some_and(|status| status >= 300));
        let reached = self.admitted
            && self
                .dispatch
                .as_ref()
                .is_some_and(|dispatch| dispatch.reached);
        // A whole answer that a guardrail refused is not the customer's cost (billing 6).
        let refused_whole = matches!(
            ending,
            Ending::Failed(error) if error.code() == Code::GuardrailBlocked
        );
        // One that could not be checked was made and paid for; what it reported is all there is.
        let unchecked = matches!(
            ending,
            Ending::Failed(error) if error.code() == Code::GuardrailUpstreamUnavailable
        );
        let whole = refused_whole || unchecked || matches!(ending, Ending::Complete);
        let finished = observed.complete || whole;
        let earlier = self
            .dispatch
            .as_ref()
            .map_or(Earlier::None, |dispatch| dispatch.earlier);
        match reported {
            // What a stream reported before it broke off is a part: the estimate counts the rest.
            Some(usage) if finished => Bill {
                usage: Some(usage),
                cost: if refused_whole {
                    NanoUsd::ZERO
                } else {
                    cost(&usage)
                },
                certainty: Certainty::Exact,
            },
            None if refused_whole => Bill {
                usage: None,
                cost: NanoUsd::ZERO,
                certainty: Certainty::Exact,
            },
            partial if served || (reached && !refused) || earlier == Earlier::Uncounted => {
                let usage = self.delivered(partial, tap);
                let hold = self
                    .funding
                    .as_ref()
                    .map_or(NanoUsd::ZERO, |funding| funding.hold);
                let cost = if price.is_some() {
                    estimate_between(cost(&usage), hold)
                } else {
                    NanoUsd::ZERO
                };
                Bill {
                    usage: Some(usage),
                    cost,
                    certainty: Certainty::Estimated,
                }
            }
            // The last call was refused; those before it were answered.
            _ => {
                let usage = match earlier {
                    Earlier::Counted(input) => Some(Usage {
                        input,
                        ..Usage::default()
                    }),
                    Earlier::None | Earlier::Uncounted => None,
                };
                Bill {
                    usage,
                    cost: usage.as_ref().map_or(NanoUsd::ZERO, cost),
                    certainty: Certainty::Exact,
                }
            }
        }
    }

    /// Whether a report can be true. Servers count thinking and hidden prompts differently, so a report
    /// may exceed what the hold covers; twice as much and a generous constant is no longer an opinion.
    fn is_plausible(&self, usage: &Usage) -> bool {
        let Some(funding) = &self.funding else {
            return true;
        };
        let most = |bound: u64| bound.saturating_mul(2).max(PLAUSIBLE_TOKENS);
        usage.prompt() <= most(funding.input_most)
            && funding
                .output_most
                .is_none_or(|bound| usage.completion() <= most(bound))
    }

    /// An estimate of what was delivered: the reported part, and the rest counted from the bytes.
    fn delivered(&self, partial: Option<Usage>, tap: &Tap) -> Usage {
        let partial = partial.unwrap_or_default();
        let body = self
            .inbound
            .as_ref()
            .map_or(0, |inbound| inbound.body.len() as u64);
        let output = if self.surface.is_some_and(Surface::is_embeddings) {
            0
        } else {
            let bytes = tap.delivered_text_bytes();
            bytes.div_ceil(BYTES_PER_TOKEN).max(tap.content_events())
        };
        let input = if partial.prompt() > 0 {
            partial.input
        } else {
            body.div_ceil(BYTES_PER_TOKEN)
        };
        Usage {
            input,
            output: partial.output.max(output),
            ..partial
        }
    }
}

/// Text bytes that the answer delivered, for an estimate. See [`Tap`].
trait Delivered {
    fn delivered_text_bytes(&self) -> u64;
    fn content_events(&self) -> u64;
}

impl Delivered for Tap {
    fn delivered_text_bytes(&self) -> u64 {
        match self.held_copy() {
            Some(held) => capture::output_text(self.form(), &held).len() as u64,
            // Not kept, as the key wants it: the events are counted instead.
            None if self.is_stream() => 0,
            None => self.total(),
        }
    }

    fn content_events(&self) -> u64 {
        self.observed().events
    }
}
