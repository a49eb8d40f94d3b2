//! How each dialect spells the parameters that the neutral form has a field for, so that messages and the
//! list of dropped parameters use the caller's own words (providers 15).

use crate::Dialect;

/// A parameter of the neutral form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in `ir::Request`")]
pub enum Field {
    MaxOutput,
    Temperature,
    TopP,
    TopK,
    PresencePenalty,
    FrequencyPenalty,
    Stop,
    Logprobs,
    Output,
    Reasoning,
    ReasoningBudget,
    ServiceTier,
    EndUser,
    Tools,
    ToolChoice,
    ParallelTools,
    Cache,
}

impl Field {
    /// The caller's name for it.
    #[must_use]
    pub const fn spelled(self, dialect: Dialect) -> &'static str {
        use Dialect::{Chat, Converse, Gemini, Messages, Responses};
        match (self, dialect) {
            (Self::MaxOutput, Chat) => "max_completion_tokens",
            (Self::MaxOutput, Responses) => "max_output_tokens",
            (Self::MaxOutput, Messages) => "max_tokens",
            (Self::MaxOutput, Gemini) => "generationConfig.maxOutputTokens",
            (Self::MaxOutput, Converse) => "inferenceConfig.maxTokens",
            (Self::Temperature, Gemini) => "generationConfig.temperature",
            (Self::Temperature, _) => "temperature",
            (Self::TopP, Gemini) => "generationConfig.topP",
            (Self::TopP, _) => "top_p",
            (Self::TopK, Gemini) => "generationConfig.topK",
            (Self::TopK, _) => "top_k",
            (Self::PresencePenalty, Gemini) => "generationConfig.presencePenalty",
            (Self::PresencePenalty, _) => "presence_penalty",
            (Self::FrequencyPenalty, Gemini) => "generationConfig.frequencyPenalty",
            (Self::FrequencyPenalty, _) => "frequency_penalty",
            (Self::Stop, Messages) => "stop_sequences",
            (Self::Stop, Gemini) => "generationConfig.stopSequences",
            (Self::Stop, _) => "stop",
            (Self::Logprobs, Responses) => "top_logprobs",
            (Self::Logprobs, Gemini) => "generationConfig.logprobs",
            (Self::Logprobs, _) => "logprobs",
            (Self::Output, Responses) => "text.format",
            (Self::Output, Messages) => "output_config.format",
            (Self::Output, Gemini) => "generationConfig.responseMimeType",
            (Self::Output, _) => "response_format",
            (Self::Reasoning, Responses) => "reasoning",
            (Self::Reasoning, Messages) => "thinking",
            (Self::Reasoning, Gemini) => "generationConfig.thinkingConfig",
            (Self::Reasoning, _) => "reasoning_effort",
            (Self::ReasoningBudget, Chat) => "reasoning.max_tokens",
            (Self::ReasoningBudget, Messages) => "thinking.budget_tokens",
            (Self::ReasoningBudget, Gemini) => "generationConfig.thinkingConfig.thinkingBudget",
            (Self::ReasoningBudget, Responses | Converse) => "reasoning",
            (Self::ServiceTier, _) => "service_tier",
            (Self::EndUser, Messages) => "metadata.user_id",
            (Self::EndUser, _) => "user",
            (Self::Tools, _) => "tools",
            (Self::ToolChoice, Gemini) => "toolConfig",
            (Self::ToolChoice, _) => "tool_choice",
            (Self::ParallelTools, Messages) => "tool_choice.disable_parallel_tool_use",
            (Self::ParallelTools, _) => "parallel_tool_calls",
            (Self::Cache, _) => "cache_control",
        }
    }
}
