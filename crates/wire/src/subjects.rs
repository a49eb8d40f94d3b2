//! What policy rules judge of a body: tools, MCP servers, URLs, each with its place (data-plane 11).
