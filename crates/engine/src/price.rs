//! What a call costs, and the most that it may cost.
//!
//! A [`PriceCatalogue`] finds the [`ModelPrice`] of a model on a provider (billing 5, rule 1); the
//! price turns measured [`Usage`] into [`NanoUsd`] ([`ModelPrice::cost`]) and bounds a call before it
//! is made ([`ModelPrice::hold`], data-plane 15). For any call within its bound, cost never exceeds
//! hold, and more of anything never costs less; property tests guard both.
//!
//! Must never: touch a float, price reasoning tokens by themselves, show a model without a price as
//! free, or take another vendor's price for a custom server. Does no I/O and knows no clock.
//!
//! Start at [`PriceCatalogue::lookup`], then [`ModelPrice::cost`].

use std::sync::Arc;

use lw_core::money::{NanoUsd, PricePerMTok, hold_sum, settle_sum};
use lw_core::usage::Usage;
use serde::Deserialize;

mod catalogue;
mod names;

pub use catalogue::{ANY_PROVIDER, OwnPrice, PriceCatalogue, PriceError};

/// Tokens that a model is taken to write at most when nothing says how many (128 k).
pub const DEFAULT_MAX_OUTPUT: u64 = 128 * 1024;

/// The price of one model on one provider kind, with what bounds a call to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    /// Provider kind as in data-plane 12.2, or [`ANY_PROVIDER`].
    pub provider: Arc<str>,
    /// The model as that provider spells it.
    pub model: Box<str>,
    /// What it does: `chat`, `embedding`, `responses`, `audio_speech`, ...
    pub mode: Arc<str>,
    /// The name points at whatever is newest (domain 10: not concrete enough for a routing policy).
    pub floating: bool,
    /// Most input tokens of one call.
    pub context_window: Option<u64>,
    /// Most output tokens of one call.
    pub max_output: Option<u64>,
    /// What a call costs without a surcharge or service tier.
    pub rates: Rates,
    /// What replaces those rates when the prompt is long.
    pub long_context: Option<Box<LongContext>>,
    /// What replaces them when the provider served another service tier.
    pub tiers: Box<[TierRates]>,
    /// Which catalogue states the price.
    pub source: Arc<str>,
    /// Day on which the row last changed, `YYYY-MM-DD`.
    pub date: Option<Arc<str>>,
    /// `rate_version` of a spend record (billing 5): `registry@2026-07-15` or `operator@<hash>`.
    pub version: Arc<str>,
}

/// Prices by class of quantity. Absent is not zero: the fallbacks of billing 5 apply.
///
/// In the catalogue's file every rate is the decimal text of dollars for *one* unit. The long names
/// of billing 5 are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Fresh input tokens; absent is 0.
    #[serde(alias = "input_cost_per_token", deserialize_with = "catalogue::rate")]
    pub input: Option<PricePerMTok>,
    /// Output tokens; absent is 0.
    #[serde(alias = "output_cost_per_token", deserialize_with = "catalogue::rate")]
    pub output: Option<PricePerMTok>,
    /// Input tokens read from the prompt cache; absent is `input`.
    #[serde(
        alias = "cache_read_cost_per_token",
        deserialize_with = "catalogue::rate"
    )]
    pub cache_read: Option<PricePerMTok>,
    /// Input tokens written to the cache for five minutes; absent is `input`.
    #[serde(
        alias = "cache_creation_cost_per_token",
        deserialize_with = "catalogue::rate"
    )]
    pub cache_write: Option<PricePerMTok>,
    /// Input tokens written to the cache for one hour; absent is `cache_write`.
    #[serde(
        alias = "cache_creation_1h_cost_per_token",
        deserialize_with = "catalogue::rate"
    )]
    pub cache_write_1h: Option<PricePerMTok>,
    /// Audio input tokens; absent is `input`.
    #[serde(
        alias = "input_audio_cost_per_token",
        deserialize_with = "catalogue::rate"
    )]
    pub audio_input: Option<PricePerMTok>,
    /// Audio output tokens; absent is `output`.
    #[serde(
        alias = "output_audio_cost_per_token",
        deserialize_with = "catalogue::rate"
    )]
    pub audio_output: Option<PricePerMTok>,
    /// Characters of input, priced for a million of them; absent is 0.
    #[serde(
        alias = "input_cost_per_character",
        deserialize_with = "catalogue::rate"
    )]
    pub input_char: Option<PricePerMTok>,
    /// Seconds of audio, priced for a million of them; absent is 0.
    #[serde(alias = "input_cost_per_second", deserialize_with = "catalogue::rate")]
    pub input_second: Option<PricePerMTok>,
}

/// Rates of a long prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    /// They apply to the whole call once its prompt, cached parts included, is longer than this.
    pub above_tokens: u64,
    /// What changes; what is absent stays as in a short call.
    pub rates: Rates,
}

/// Rates of one service tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierRates {
    /// Which tier.
    pub tier: ServiceTier,
    /// What changes; what is absent is as without a tier.
    pub rates: Rates,
    /// What changes in a long prompt of this tier.
    pub long_context: Rates,
}

/// A provider's service tier that has its own prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
    /// Answered within a day.
    Batch,
    /// Anthropic's fast mode (`speed`).
    Fast,
    /// OpenAI's tier above priority.
    Ultrafast,
}

impl ServiceTier {
    /// The tier that a provider's answer names. `None` for the usual one (`default`, `standard`,
    /// `auto`) and for names without prices of their own.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        [
            ("flex", Self::Flex),
            ("on_demand_flex", Self::Flex),
            ("priority", Self::Priority),
            ("on_demand_priority", Self::Priority),
            ("batch", Self::Batch),
            ("batches", Self::Batch),
            ("fast", Self::Fast),
            ("ultrafast", Self::Ultrafast),
        ]
        .into_iter()
        .find_map(|(known, tier)| known.eq_ignore_ascii_case(name).then_some(tier))
    }
}

/// What is measured but not in tokens (billing 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures {
    /// Characters of input to speech synthesis.
    pub input_chars: u64,
    /// Milliseconds of audio.
    pub audio_ms: u64,
}

/// What a call may use at most (data-plane 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldBound {
    /// Bound of [`Usage::prompt`]. The caller has already weighed body and context window.
    pub input_tokens_max: u64,
    /// Bound of [`Usage::completion`]: the caller's own cap. `None`: whatever the model can write.
    pub output_tokens_max: Option<u64>,
}

impl ModelPrice {
    /// This price with the bounds of a call that only the published row knows.
    #[must_use]
    pub fn bounded_by(&self, published: Option<&Self>) -> Self {
        Self {
            context_window: self.context_window.or_else(|| published?.context_window),
            max_output: self.max_output.or_else(|| published?.max_output),
            ..self.clone()
        }
    }

    /// What `usage` costs, rounded once (billing 5). `service_tier` is the tier that the provider
    /// says it served; one without prices of its own costs what the usual one does.
    #[must_use]
    pub fn cost(&self, usage: &Usage, service_tier: Option<&str>) -> NanoUsd {
        self.cost_with(usage, Measures::default(), service_tier)
    }

    /// [`Self::cost`] of a call that was also measured in characters or seconds.
    #[must_use]
    pub fn cost_with(
        &self,
        usage: &Usage,
        measures: Measures,
        service_tier: Option<&str>,
    ) -> NanoUsd {
        let long = self.is_long(usage.prompt());
        settle_sum(
            self.applied(self.tier(service_tier), long)
                .sum(usage, measures),
        )
    }

    /// The most that a call within `bound` may cost, in whichever service tier, rounded up.
    ///
    /// Every input token at the dearest input class and every output token at the dearest output
    /// class; long-context rates count only when the bound allows a prompt that long.
    #[must_use]
    pub fn hold(&self, bound: &HoldBound) -> NanoUsd {
        self.hold_with(bound, Measures::default())
    }

    /// [`Self::hold`] of a call that is also bounded in characters or seconds.
    #[must_use]
    pub fn hold_with(&self, bound: &HoldBound, measures_max: Measures) -> NanoUsd {
        let output = bound
            .output_tokens_max
            .or(self.max_output)
            .or(self.context_window)
            .unwrap_or(DEFAULT_MAX_OUTPUT);
        // A long prompt never costs less than a short one, so the longest allowed is the worst.
        let long = self.is_long(bound.input_tokens_max);
        let worst = std::iter::once(None)
            .chain(self.tiers.iter().map(Some))
            .map(|tier| self.applied(tier, long))
            .map(|rates| rates.worst(bound.input_tokens_max, output, measures_max))
            .max();
        hold_sum(worst.unwrap_or(0))
    }

    /// Whether something was measured and this price has no rate above zero for any of it: what
    /// billing 5.5 logs as `spend_rating.unpriced_quantities`.
    #[must_use]
    pub fn prices_nothing_of(
        &self,
        usage: &Usage,
        measures: Measures,
        service_tier: Option<&str>,
    ) -> bool {
        let measured = !usage.is_zero() || measures != Measures::default();
        let long = self.is_long(usage.prompt());
        measured
            && self
                .applied(self.tier(service_tier), long)
                .sum(usage, measures)
                == 0
    }

    fn is_long(&self, prompt: u64) -> bool {
        self.long_context
            .as_ref()
            .is_some_and(|long| prompt > long.above_tokens)
    }

    fn tier(&self, name: Option<&str>) -> Option<&TierRates> {
        let tier = ServiceTier::from_wire(name?)?;
        self.tiers.iter().find(|rates| rates.tier == tier)
    }

    /// The rate of every class for one tier and length, fallbacks applied.
    fn applied(&self, tier: Option<&TierRates>, long: bool) -> Applied {
        let short = tier.map_or(self.rates, |tier| tier.rates.or(self.rates));
        let Some(surcharged) = self.long_context.as_ref().filter(|_| long) else {
            return short.applied();
        };
        let Some(tier) = tier else {
            return surcharged.rates.or(short).applied();
        };
        // A class that the tier does not price for long prompts: the surcharge that everybody pays,
        // unless the tier is dearer already.
        tier.long_context
            .or(surcharged.rates)
            .or(short)
            .applied()
            .max(&short.applied())
    }

    /// The first class in which a long prompt is said to cost less than a short one. Catalogues with
    /// one are refused: a bill must not fall when a call grows.
    fn discounts_length(&self) -> Option<&'static str> {
        let long = self.long_context.as_ref()?;
        std::iter::once((self.rates, long.rates))
            .chain(
                self.tiers
                    .iter()
                    .map(|tier| (tier.rates.or(self.rates), tier.long_context)),
            )
            .find_map(|(short, long)| {
                let (short, long) = (short.applied(), long.or(short).applied());
                Applied::CLASSES
                    .iter()
                    .find(|(_, rate)| rate(&long) < rate(&short))
                    .map(|(name, _)| *name)
            })
    }
}

/// What to charge for a call whose usage the provider did not report: what was delivered, as far as
/// it was reserved (data-plane 15). Never negative, never more than `hold`.
#[must_use]
pub fn estimate_between(delivered: NanoUsd, hold: NanoUsd) -> NanoUsd {
    delivered.clamp(NanoUsd::ZERO, hold.max(NanoUsd::ZERO))
}

impl Rates {
    /// Whether no class has a rate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Class by class, `self` where it says something, else `other`.
    fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            cache_write_1h: self.cache_write_1h.or(other.cache_write_1h),
            audio_input: self.audio_input.or(other.audio_input),
            audio_output: self.audio_output.or(other.audio_output),
            input_char: self.input_char.or(other.input_char),
            input_second: self.input_second.or(other.input_second),
        }
    }

    /// The table of billing 5.
    fn applied(self) -> Applied {
        let input = self.input.unwrap_or_default();
        let output = self.output.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or(input);
        Applied {
            input,
            output,
            cache_read: self.cache_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            audio_input: self.audio_input.unwrap_or(input),
            audio_output: self.audio_output.unwrap_or(output),
            input_char: self.input_char.unwrap_or_default(),
            input_second: self.input_second.unwrap_or_default(),
        }
    }
}

/// Rates with every fallback applied.
struct Applied {
    input: PricePerMTok,
    output: PricePerMTok,
    cache_read: PricePerMTok,
    cache_write: PricePerMTok,
    cache_write_1h: PricePerMTok,
    audio_input: PricePerMTok,
    audio_output: PricePerMTok,
    input_char: PricePerMTok,
    input_second: PricePerMTok,
}

impl Applied {
    #[expect(
        clippy::type_complexity,
        reason = "a table of names and fields, used once"
    )]
    const CLASSES: [(&'static str, fn(&Self) -> PricePerMTok); 9] = [
        ("input", |r| r.input),
        ("output", |r| r.output),
        ("cache_read", |r| r.cache_read),
        ("cache_write", |r| r.cache_write),
        ("cache_write_1h", |r| r.cache_write_1h),
        ("audio_input", |r| r.audio_input),
        ("audio_output", |r| r.audio_output),
        ("input_char", |r| r.input_char),
        ("input_second", |r| r.input_second),
    ];

    /// Class by class, the dearer of the two.
    fn max(&self, other: &Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            audio_input: self.audio_input.max(other.audio_input),
            audio_output: self.audio_output.max(other.audio_output),
            input_char: self.input_char.max(other.input_char),
            input_second: self.input_second.max(other.input_second),
        }
    }

    /// The sum of quantity times rate, not yet rounded. `reasoning` is a part of `output`.
    fn sum(&self, usage: &Usage, measures: Measures) -> i128 {
        let Usage {
            input,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning: _,
            input_audio,
            output_audio,
        } = *usage;
        total([
            self.input.times(input),
            self.cache_read.times(cache_read),
            self.cache_write.times(cache_write_5m),
            self.cache_write_1h.times(cache_write_1h),
            self.output.times(output),
            self.audio_input.times(input_audio),
            self.audio_output.times(output_audio),
            self.measured(measures),
        ])
    }

    /// No usage of at most so many tokens sums to more.
    fn worst(&self, input: u64, output: u64, measures: Measures) -> i128 {
        let dearest_input = self
            .input
            .max(self.cache_read)
            .max(self.cache_write)
            .max(self.cache_write_1h)
            .max(self.audio_input);
        let dearest_output = self.output.max(self.audio_output);
        total([
            dearest_input.times(input),
            dearest_output.times(output),
            self.measured(measures),
        ])
    }

    fn measured(&self, measures: Measures) -> i128 {
        // Flooring here is exact: the one rounding that follows is the floor of a quotient, too.
        let seconds = self.input_second.times(measures.audio_ms).div_euclid(1_000);
        total([self.input_char.times(measures.input_chars), seconds])
    }
}

fn total<const N: usize>(parts: [i128; N]) -> i128 {
    parts.into_iter().fold(0, i128::saturating_add)
}

#[cfg(test)]
mod tests;
