//! The model lists of the dialects: a few names that gateways and clients expect to exist.
//!
//! Any other model name is still answered on the generating endpoints. Start at [`list`].

use crate::json::Obj;
use crate::target::{Dialect, Target, Vendor};

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

const GEMINI: [&str; 6] = [
    "gemini-3-pro-preview",
    "gemini-3-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-embedding-001",
];

pub(crate) fn list(target: &Target<'_>) -> String {
    let joined = |all: Vec<String>| format!("[{}]", all.join(","));
    match target.dialect {
        Dialect::OpenAi if target.vendor == Vendor::Gemini => {
            let all = GEMINI.iter().map(|id| openai(&format!("models/{id}")));
            let data = joined(all.collect());
            Obj::new().str("object", "list").raw("data", &data).end()
        }
        Dialect::OpenAi | Dialect::Bedrock => {
            let data = joined(OPENAI.iter().map(|id| openai(id)).collect());
            Obj::new().str("object", "list").raw("data", &data).end()
        }
        Dialect::Gemini => {
            let models = joined(GEMINI.iter().map(|id| google(id)).collect());
            Obj::new().raw("models", &models).end()
        }
        Dialect::Anthropic => {
            let all = ANTHROPIC.iter().map(|(id, name)| claude(id, name));
            let [(first, _), .., (last, _)] = ANTHROPIC;
            Obj::new()
                .raw("data", &joined(all.collect()))
                .raw("has_more", "false")
                .str("first_id", first)
                .str("last_id", last)
                .end()
        }
    }
}

/// One model, if it is on the list.
pub(crate) fn one(id: &str, dialect: Dialect) -> Option<String> {
    let on = |list: &[&str]| list.contains(&id);
    match dialect {
        Dialect::OpenAi | Dialect::Bedrock => on(&OPENAI).then(|| openai(id)),
        Dialect::Gemini => on(&GEMINI).then(|| google(id)),
        Dialect::Anthropic => {
            let (id, name) = ANTHROPIC.iter().find(|(known, _)| *known == id)?;
            Some(claude(id, name))
        }
    }
}

fn google(id: &str) -> String {
    let methods = if id.contains("embedding") {
        r#"["embedContent","batchEmbedContents","countTokens"]"#
    } else {
        r#"["generateContent","streamGenerateContent","countTokens"]"#
    };
    Obj::new()
        .str("name", &format!("models/{id}"))
        .str("version", "001")
        .str("displayName", id)
        .num("inputTokenLimit", 1_048_576)
        .num("outputTokenLimit", 65_536)
        .raw("supportedGenerationMethods", methods)
        .end()
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
