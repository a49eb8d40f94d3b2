//! Token counts by class.
//!
//! The classes are disjoint (billing 5, observability 13.3): `input` excludes cache reads, cache writes
//! and audio; `output` excludes audio. `reasoning` is the one exception: a part of `output`, shown and
//! never priced by itself.

use serde::{Deserialize, Serialize};

/// What one call consumed, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fresh input.
    #[serde(rename = "input_tokens")]
    pub input: u64,
    /// Input read from the provider's prompt cache.
    #[serde(rename = "cache_read_input_tokens")]
    pub cache_read: u64,
    /// Input written to the cache for five minutes.
    #[serde(rename = "cache_creation_5m_tokens")]
    pub cache_write_5m: u64,
    /// Input written to the cache for one hour.
    #[serde(rename = "cache_creation_1h_tokens")]
    pub cache_write_1h: u64,
    /// Output, thinking included.
    #[serde(rename = "output_tokens")]
    pub output: u64,
    /// The part of `output` that was thinking; never priced by itself.
    #[serde(rename = "reasoning_tokens")]
    pub reasoning: u64,
    /// Audio input.
    #[serde(rename = "input_audio_tokens")]
    pub input_audio: u64,
    /// Audio output.
    #[serde(rename = "output_audio_tokens")]
    pub output_audio: u64,
}

impl Usage {
    /// All that was sent to the model: fresh, cached, written to the cache, audio.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write())
            .saturating_add(self.input_audio)
    }

    /// Cache writes of both lifetimes.
    #[must_use]
    pub const fn cache_write(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }

    /// All that the model wrote.
    #[must_use]
    pub const fn completion(&self) -> u64 {
        self.output.saturating_add(self.output_audio)
    }

    /// Whether nothing was consumed.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.prompt() == 0 && self.completion() == 0
    }
}
