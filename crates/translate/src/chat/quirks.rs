//! What the vendors of OpenAI-like APIs take beyond the common core (providers 10).
//!
//! One row a vendor. A field that a vendor refuses must not be sent, because its servers answer 400 to
//! fields they do not know; a field that it takes must not be lost. The `developer` role is never written:
//! `system` is understood everywhere. Native lanes never come here. Start at [`Quirks::of`].

use crate::Target;
use crate::ir::Effort;

/// How a vendor is asked to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// `reasoning_effort` with one of these words.
    Effort(&'static [Effort]),
    /// OpenRouter's object `reasoning {effort | max_tokens | enabled}`.
    Router,
    /// DeepSeek's `thinking {type}` beside `reasoning_effort`.
    Switch(&'static [Effort]),
    /// Not at all.
    Unknown,
}

/// How a vendor wants to see again what was thought in earlier turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// Not at all: most servers refuse the field.
    Nothing,
    /// `reasoning_content` on the messages that call tools, empty when nothing is known.
    OnCalls,
    /// `reasoning_details` with its seals.
    Details,
}

/// A vendor's row. `true`: the field is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quirks {
    /// The name of the output cap.
    pub(super) cap: &'static str,
    /// How it is asked to think.
    pub(super) thinking: Thinking,
    /// What it sees of earlier thinking.
    pub(super) history: History,
    /// `parallel_tool_calls`.
    pub(super) parallel: bool,
    /// `response_format` of the type `json_schema`.
    pub(super) schema: bool,
    /// `strict` on functions.
    pub(super) strict: bool,
    /// `top_k`.
    pub(super) top_k: bool,
    /// `presence_penalty` and `frequency_penalty`.
    pub(super) penalties: bool,
    /// `logprobs` and `top_logprobs`.
    pub(super) logprobs: bool,
    /// `user`.
    pub(super) user: bool,
    /// `service_tier`.
    pub(super) tier: bool,
    /// `metadata`, `prompt_cache_key` and what else only OpenAI's own platform has.
    pub(super) platform: bool,
    /// `stream_options`; the others report usage unasked.
    pub(super) stream_options: bool,
    /// `cache_control` on parts and tools.
    pub(super) cache: bool,
    /// `refusal` on assistant messages; elsewhere it is text.
    pub(super) refusal: bool,
    /// Google's seals in `extra_content` of calls.
    pub(super) seals: bool,
    /// Call ids must be nine letters or digits.
    pub(super) short_ids: bool,
    /// A last message of the assistant must be marked as `prefix`.
    pub(super) prefix: bool,
}

const LEVELS: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High];
const OPENAI_LEVELS: &[Effort] = &[
    Effort::None,
    Effort::Minimal,
    Effort::Low,
    Effort::Medium,
    Effort::High,
    Effort::XHigh,
];
const DEEPSEEK_LEVELS: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High, Effort::Max];

/// A server of which nothing is known but the dialect: vLLM, Ollama, LM Studio, a proxy.
const CUSTOM: Quirks = Quirks {
    cap: "max_tokens",
    thinking: Thinking::Effort(LEVELS),
    history: History::Nothing,
    parallel: true,
    schema: true,
    strict: true,
    top_k: true,
    penalties: true,
    logprobs: true,
    user: true,
    tier: false,
    platform: false,
    stream_options: true,
    cache: false,
    refusal: false,
    seals: false,
    short_ids: false,
    prefix: false,
};

const OPENAI: Quirks = Quirks {
    cap: "max_completion_tokens",
    thinking: Thinking::Effort(OPENAI_LEVELS),
    top_k: false,
    tier: true,
    platform: true,
    refusal: true,
    ..CUSTOM
};

const OPENROUTER: Quirks = Quirks {
    thinking: Thinking::Router,
    history: History::Details,
    cache: true,
    ..CUSTOM
};

const GROQ: Quirks = Quirks {
    cap: "max_completion_tokens",
    top_k: false,
    logprobs: false,
    tier: true,
    ..CUSTOM
};

const DEEPSEEK: Quirks = Quirks {
    thinking: Thinking::Switch(DEEPSEEK_LEVELS),
    history: History::OnCalls,
    parallel: false,
    schema: false,
    strict: false,
    top_k: false,
    user: false,
    ..CUSTOM
};

/// Its reasoning models refuse `reasoning_effort`, except for those of [`xai_effort`].
const XAI: Quirks = Quirks {
    cap: "max_completion_tokens",
    thinking: Thinking::Unknown,
    top_k: false,
    penalties: false,
    ..CUSTOM
};

const MISTRAL: Quirks = Quirks {
    thinking: Thinking::Unknown,
    top_k: false,
    logprobs: false,
    user: false,
    stream_options: false,
    short_ids: true,
    prefix: true,
    ..CUSTOM
};

const CEREBRAS: Quirks = Quirks {
    cap: "max_completion_tokens",
    parallel: false,
    top_k: false,
    penalties: false,
    ..CUSTOM
};

const CLOUDFLARE: Quirks = Quirks {
    thinking: Thinking::Unknown,
    parallel: false,
    strict: false,
    logprobs: false,
    user: false,
    ..CUSTOM
};

impl Quirks {
    /// The row of a provider. A custom server is told by its kind of models where they stand for a vendor.
    pub(super) fn of(target: &Target<'_>) -> Self {
        let name = target.name.to_ascii_lowercase();
        match target.provider {
            "openai" | "azure" => OPENAI,
            "openrouter" => OPENROUTER,
            "groq" => GROQ,
            "deepseek" => DEEPSEEK,
            "mistral" => MISTRAL,
            "cerebras" => CEREBRAS,
            "cloudflare" => CLOUDFLARE,
            "xai" if xai_effort(&name) => Self {
                thinking: Thinking::Effort(LEVELS),
                ..XAI
            },
            "xai" => XAI,
            _ => custom(&name),
        }
    }
}

fn custom(name: &str) -> Quirks {
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    // Only routers of many vendors name these models so.
    if begins(&["openrouter/", "anthropic/", "google/gemini", "x-ai/"]) {
        return OPENROUTER;
    }
    if is_openai_reasoning(name) {
        return Quirks {
            cap: "max_completion_tokens",
            thinking: Thinking::Effort(OPENAI_LEVELS),
            top_k: false,
            ..CUSTOM
        };
    }
    // These models go on thinking between tool calls and miss what they thought.
    let history = if has(&["deepseek", "kimi", "glm-", "minimax"]) {
        History::OnCalls
    } else {
        History::Nothing
    };
    Quirks {
        history,
        seals: has(&["gemini-"]),
        ..CUSTOM
    }
}

/// OpenAI's reasoning models, which refuse `max_tokens` (providers 4).
fn is_openai_reasoning(name: &str) -> bool {
    let bare = name.rsplit('/').next().unwrap_or(name);
    let o_series = bare
        .strip_prefix('o')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|digit| matches!(digit, '1' | '3' | '4'));
    bare.starts_with("gpt-5") || o_series
}

/// Models of xAI that take `reasoning_effort`.
fn xai_effort(name: &str) -> bool {
    ["grok-3-mini", "grok-4.", "grok-5"]
        .iter()
        .any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(provider: &str, name: &str) -> Quirks {
        Quirks::of(&Target {
            provider,
            model: name,
            name,
            max_output: None,
        })
    }

    #[test]
    fn a_vendor_has_its_row_and_a_custom_server_is_told_by_its_models() {
        assert_eq!(row("groq", "llama-3.3-70b"), GROQ);
        assert_eq!(row("custom", "llama-3.3-70b"), CUSTOM);
        assert_eq!(row("custom", "anthropic/claude-sonnet-4"), OPENROUTER);
        assert_eq!(
            row("custom", "openai/gpt-5-mini").cap,
            "max_completion_tokens"
        );
        assert_eq!(row("custom", "o3").cap, "max_completion_tokens");
        assert_eq!(row("custom", "olmo-3").cap, "max_tokens");
        assert_eq!(row("custom", "gpt-4o").cap, "max_tokens");
        assert_eq!(row("custom", "kimi-k2-thinking").history, History::OnCalls);
        assert!(row("custom", "models/gemini-3-pro").seals);
        assert_eq!(row("xai", "grok-4").thinking, Thinking::Unknown);
        assert_eq!(row("xai", "grok-3-mini").thinking, Thinking::Effort(LEVELS));
    }
}
