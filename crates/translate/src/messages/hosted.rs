//! Which blocks of Messages belong to tools that Anthropic runs itself.

/// Blocks of such tools whose names do not end as those of calls and results do.
const NAMED: [&str; 2] = ["server_tool_use", "container_upload"];

/// Whether a content block is part of a tool that the provider runs: no other vendor can be given it.
/// The caller's own `tool_use` and `tool_result` are not.
pub(super) fn is_hosted_block(kind: &str) -> bool {
    NAMED.contains(&kind) || kind.ends_with("_tool_use") || kind.ends_with("_tool_result")
}
