//! Requests: [`read_request`] takes those of Gemini's callers, [`write_request`] makes those for Gemini
//! and Vertex AI.
//!
//! What only Google knows travels in [`crate::ir::Request::rest`]: `safety_settings`, `labels` and
//! `cached_content` under the names that Chat Completions callers use for them too, fields of the
//! generation config as `generationConfig.<name>`, those of the tool config as `toolConfig.<name>`.

mod contents;
mod read;
mod turns;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use read::read_request;
pub(crate) use write::write_request;

/// Top-level fields of Google's and their names in [`crate::ir::Request::rest`].
const CARRIED: [(&str, &str); 3] = [
    ("safetySettings", "safety_settings"),
    ("cachedContent", "cached_content"),
    ("labels", "labels"),
];

/// What stands before the name of a field of the generation config.
const CONFIG: &str = "generationConfig.";

/// What stands before the name of a field of the tool config.
const TOOL_CONFIG: &str = "toolConfig.";
