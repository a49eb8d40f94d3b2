//! What a model can do, told by its name: families, output limits, forms of thinking (providers 14, 15.1).
//!
//! Names come with prefixes and suffixes of clouds (`us.anthropic.claude-…-v1:0`, `claude-…@20251001`,
//! `publishers/anthropic/models/…`); what counts is the family inside.

/// Whose model it is, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Claude with its version, such as 4.6; 0.0 when the name does not tell.
    Claude {
        /// Opus, Sonnet, Haiku.
        tier: ClaudeTier,
        /// Major and minor version.
        version: (u8, u8),
    },
    /// Amazon Nova.
    Nova,
    /// Gemini with its major version.
    Gemini {
        /// Such as 2 or 3.
        major: u8,
        /// Pro, Flash, Flash-Lite.
        tier: GeminiTier,
    },
    /// Anything else.
    Other,
}

/// Sizes of Claude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the vendor's")]
pub enum ClaudeTier {
    Opus,
    Sonnet,
    Haiku,
    Unknown,
}

/// Sizes of Gemini.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the vendor's")]
pub enum GeminiTier {
    Pro,
    Flash,
    FlashLite,
}

impl Family {
    /// From a model's name, however a cloud decorates it.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if let Some(at) = name.find("claude") {
            return claude(name.get(at..).unwrap_or_default());
        }
        if name.contains("nova-") {
            return Self::Nova;
        }
        if let Some(at) = name.find("gemini-") {
            let rest = name.get(at + "gemini-".len()..).unwrap_or_default();
            let major = rest
                .bytes()
                .next()
                .filter(u8::is_ascii_digit)
                .map_or(0, |digit| digit - b'0');
            let tier = if rest.contains("flash-lite") {
                GeminiTier::FlashLite
            } else if rest.contains("flash") {
                GeminiTier::Flash
            } else {
                GeminiTier::Pro
            };
            return Self::Gemini { major, tier };
        }
        Self::Other
    }

    /// Whether the model is told how hard to think (`thinking: adaptive` with an effort) instead of how many
    /// tokens: Opus and Sonnet from 4.6 on.
    #[must_use]
    pub fn is_adaptive_claude(self) -> bool {
        matches!(self, Self::Claude { tier: ClaudeTier::Opus | ClaudeTier::Sonnet, version } if version >= (4, 6))
            || matches!(self, Self::Claude { version, .. } if version >= (5, 0))
    }

    /// Whether it is Claude.
    #[must_use]
    pub const fn is_claude(self) -> bool {
        matches!(self, Self::Claude { .. })
    }

    /// Whether Bedrock keeps a prompt of the model for an hour, if it is asked to.
    #[must_use]
    pub fn keeps_an_hour_on_bedrock(self) -> bool {
        matches!(self, Self::Claude { version, .. } if version >= (4, 5))
    }

    /// Whether a Claude model can think at all: from 3.7 on.
    #[must_use]
    pub fn claude_thinks(self) -> bool {
        matches!(self, Self::Claude { version, .. } if version >= (3, 7) || version == (0, 0))
    }

    /// The output limit of Claude (providers 15.1), where the price table does not know better.
    #[must_use]
    pub fn claude_max_output(self) -> u64 {
        let Self::Claude { tier, version } = self else {
            return 4_096;
        };
        match (tier, version) {
            (ClaudeTier::Opus, version) if version >= (4, 6) => 128_000,
            (ClaudeTier::Opus, (4, _)) => 32_000,
            (_, version) if version >= (3, 7) => 64_000,
            (_, (3, 5)) => 8_192,
            _ => 4_096,
        }
    }
}

fn claude(name: &str) -> Family {
    let tier = if name.contains("opus") {
        ClaudeTier::Opus
    } else if name.contains("sonnet") {
        ClaudeTier::Sonnet
    } else if name.contains("haiku") {
        ClaudeTier::Haiku
    } else {
        ClaudeTier::Unknown
    };
    // `claude-3-5-sonnet-20241022`, `claude-sonnet-4-20250514`, `claude-opus-4-6@default`: the version is
    // the first one or two numbers of one or two digits.
    let mut numbers = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .skip_while(|word| !is_version(word))
        .take_while(|word| is_version(word))
        .filter_map(|word| word.parse::<u8>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Family::Claude { tier, version }
}

fn is_version(word: &str) -> bool {
    (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_in_decorated_names() {
        for (name, tier, version, most, adaptive) in [
            (
                "claude-3-5-sonnet-20241022",
                ClaudeTier::Sonnet,
                (3, 5),
                8_192,
                false,
            ),
            (
                "claude-sonnet-4-20250514",
                ClaudeTier::Sonnet,
                (4, 0),
                64_000,
                false,
            ),
            (
                "us.anthropic.claude-haiku-4-5-20251001-v1:0",
                ClaudeTier::Haiku,
                (4, 5),
                64_000,
                false,
            ),
            (
                "claude-opus-4-1@20250805",
                ClaudeTier::Opus,
                (4, 1),
                32_000,
                false,
            ),
            (
                "publishers/anthropic/models/claude-opus-4-6",
                ClaudeTier::Opus,
                (4, 6),
                128_000,
                true,
            ),
            (
                "us.anthropic.claude-sonnet-4-6",
                ClaudeTier::Sonnet,
                (4, 6),
                64_000,
                true,
            ),
            (
                "anthropic.claude-3-haiku-20240307-v1:0",
                ClaudeTier::Haiku,
                (3, 0),
                4_096,
                false,
            ),
        ] {
            let family = Family::of(name);
            assert_eq!(family, Family::Claude { tier, version }, "{name}");
            assert_eq!(family.claude_max_output(), most, "{name}");
            assert_eq!(family.is_adaptive_claude(), adaptive, "{name}");
        }
        assert_eq!(Family::of("amazon.nova-pro-v1:0"), Family::Nova);
        assert_eq!(
            Family::of("gemini-2.5-flash-lite"),
            Family::Gemini {
                major: 2,
                tier: GeminiTier::FlashLite
            }
        );
        assert_eq!(Family::of("gpt-5"), Family::Other);
    }
}
