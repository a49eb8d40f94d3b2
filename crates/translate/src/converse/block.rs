//! Names of content blocks that both directions use.

/// The model calls a tool.
pub(super) const TOOL_USE: &str = "toolUse";
/// What a tool returned.
pub(super) const TOOL_RESULT: &str = "toolResult";
