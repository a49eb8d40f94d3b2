//! The kinds of providers that can be stored, and which credential fields each has (domain 6.1).
//!
//! A new kind is a variant, and the compiler asks for the rest. Must never hold how a kind is spoken to:
//! that is the engine's. Start at [`Kind`].

/// A kind that this version stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenAi,
    Anthropic,
    Custom,
}

/// One field of a credential bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) is: Holds,
    pub(crate) required: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A secret: masked on read.
    Secret,
    /// A base URL: shown in clear, checked against the address policy.
    BaseUrl,
}

const fn key(name: &'static str, is: Holds, required: bool) -> Key {
    Key { name, is, required }
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Custom];

    /// The name on the wire and in the store.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Custom => "custom",
        }
    }

    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    /// What a row is called when nobody names it.
    pub(crate) const fn display_name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Custom => "Custom (OpenAI-compatible)",
        }
    }

    /// The credential fields.
    pub(crate) const fn keys(self) -> &'static [Key] {
        const OPENAI: &[Key] = &[
            key("OPENAI_API_KEY", Holds::Secret, true),
            key("OPENAI_BASE_URL", Holds::BaseUrl, false),
        ];
        const ANTHROPIC: &[Key] = &[
            key("ANTHROPIC_API_KEY", Holds::Secret, true),
            key("ANTHROPIC_BASE_URL", Holds::BaseUrl, false),
        ];
        const CUSTOM: &[Key] = &[
            key("CUSTOM_API_KEY", Holds::Secret, false),
            key("CUSTOM_BASE_URL", Holds::BaseUrl, true),
        ];
        match self {
            Self::OpenAi => OPENAI,
            Self::Anthropic => ANTHROPIC,
            Self::Custom => CUSTOM,
        }
    }
}

/// The kinds, as a sentence lists them.
pub(crate) fn supported() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

/// Names that a routing handle may not take: `<kind>/<model>` must keep its meaning, also for kinds
/// that a later version brings.
pub(crate) const RESERVED: [&str; 21] = [
    "openai",
    "anthropic",
    "custom",
    "gemini",
    "google_gemini",
    "google",
    "azure",
    "bedrock",
    "vertex_ai",
    "vertex",
    "deepseek",
    "xai",
    "cerebras",
    "groq",
    "cloudflare",
    "mistral",
    "cohere",
    "fireworks_ai",
    "elevenlabs",
    "openai_codex",
    "voyage",
];
