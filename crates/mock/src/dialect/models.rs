//! The model lists of both dialects: a few names that gateways and clients expect to exist.
//!
//! Any other model name is still answered on the generating endpoints. Start at [`list`].

use crate::json::Obj;

const OPENAI: [&str; 10] = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5.5",
    "gpt-6.2-sol",
    "o4-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
];
const ANTHROPIC: [(&str, &str); 6] = [
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-opus-4-5", "Claude Opus 4.5"),
    ("claude-sonnet-4-5", "Claude Sonnet 4.5"),
    ("claude-haiku-4-5", "Claude Haiku 4.5"),
];

pub(crate) fn list(anthropic: bool) -> String {
    if !anthropic {
        let all: Vec<String> = OPENAI.iter().map(|id| openai(id)).collect();
        let data = format!("[{}]", all.join(","));
        return Obj::new().str("object", "list").raw("data", &data).end();
    }
    let all: Vec<String> = ANTHROPIC
        .iter()
        .map(|(id, name)| claude(id, name))
        .collect();
    let [(first, _), .., (last, _)] = ANTHROPIC;
    Obj::new()
        .raw("data", &format!("[{}]", all.join(",")))
        .raw("has_more", "false")
        .str("first_id", first)
        .str("last_id", last)
        .end()
}

/// One model, if it is on the list.
pub(crate) fn one(id: &str, anthropic: bool) -> Option<String> {
    if anthropic {
        let (id, name) = ANTHROPIC.iter().find(|(known, _)| *known == id)?;
        return Some(claude(id, name));
    }
    OPENAI
        .iter()
        .find(|known| **known == id)
        .map(|id| openai(id))
}

fn openai(id: &str) -> String {
    Obj::new()
        .str("id", id)
        .str("object", "model")
        .num("created", 1_715_367_049)
        .str("owned_by", "system")
        .end()
}

fn claude(id: &str, name: &str) -> String {
    Obj::new()
        .str("type", "model")
        .str("id", id)
        .str("display_name", name)
        .str("created_at", "2025-11-24T00:00:00Z")
        .end()
}
