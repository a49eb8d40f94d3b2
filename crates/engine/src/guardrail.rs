//! The built-in evaluators of guardrails (domain 15).
