//! The inputs, and where they go.

use std::fs;
use std::path::PathBuf;

use lw_translate::stream::{Framing, Translator};
use lw_translate::{Caller, Dialect, Target};
use serde_json::Value;
use serde_json::value::RawValue;

/// Dialects with the names of their folders.
pub(crate) const DIALECTS: [(Dialect, &str); 5] = [
    (Dialect::Chat, "chat"),
    (Dialect::Responses, "responses"),
    (Dialect::Messages, "messages"),
    (Dialect::Gemini, "gemini"),
    (Dialect::Converse, "converse"),
];

/// The dialects that callers speak.
pub(crate) const CALLERS: [Dialect; 4] = [
    Dialect::Chat,
    Dialect::Responses,
    Dialect::Messages,
    Dialect::Gemini,
];

/// A provider that requests are written for, and the name of its goldens.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) to: Dialect,
    provider: &'static str,
    model: &'static str,
}

impl Lane {
    pub(crate) fn target(&self) -> Target<'static> {
        Target {
            provider: self.provider,
            model: self.model,
            name: self.model,
            max_output: None,
        }
    }
}

const fn lane(
    name: &'static str,
    to: Dialect,
    provider: &'static str,
    model: &'static str,
) -> Lane {
    Lane {
        name,
        to,
        provider,
        model,
    }
}

/// Every lane: one for each dialect, and one more where families of models are told things differently.
pub(crate) const LANES: [Lane; 8] = [
    lane("chat", Dialect::Chat, "custom", "test-model"),
    lane("responses", Dialect::Responses, "openai", "gpt-5"),
    lane(
        "messages",
        Dialect::Messages,
        "anthropic",
        "claude-sonnet-4-5-20250929",
    ),
    lane(
        "messages-adaptive",
        Dialect::Messages,
        "anthropic",
        "claude-opus-4-6",
    ),
    lane("gemini", Dialect::Gemini, "gemini", "gemini-2.5-flash"),
    lane("gemini3", Dialect::Gemini, "gemini", "gemini-3-pro-preview"),
    lane(
        "converse",
        Dialect::Converse,
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    lane(
        "converse-nova",
        Dialect::Converse,
        "bedrock",
        "amazon.nova-pro-v1:0",
    ),
];

/// Claude on other clouds, in its own dialect: written as for Anthropic, but for the place of a cache marker.
pub(crate) const CLAUDE_ELSEWHERE: [Lane; 2] = [
    lane(
        "vertex",
        Dialect::Messages,
        "vertex",
        "claude-sonnet-4-5@20250929",
    ),
    lane(
        "bedrock-invoke",
        Dialect::Messages,
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
];

/// One input.
pub(crate) struct Case {
    pub(crate) from: Dialect,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Case {
    /// The body as a tree.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{}/{}: {error}", word(self.from), self.name))
    }
}

/// A dialect's folder.
pub(crate) fn word(dialect: Dialect) -> &'static str {
    let found = DIALECTS.iter().find(|(one, _)| *one == dialect);
    found
        .map(|(_, word)| *word)
        .expect("every dialect has a folder")
}

/// A folder beside the tests.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// All inputs of a kind (`requests`, `answers`, `streams`), by dialect and name.
pub(crate) fn all(kind: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (from, word) in DIALECTS {
        let at = folder("cases").join(kind).join(word);
        let Ok(entries) = fs::read_dir(&at) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let stem = path.file_stem().expect("a name").to_string_lossy();
            cases.push(Case {
                from,
                name: stem.into_owned(),
                bytes: fs::read(&path).expect("a readable case"),
            });
        }
    }
    assert!(!cases.is_empty(), "there are cases of {kind}");
    cases
}

/// The caller that answers are written for.
pub(crate) fn caller() -> Caller {
    Caller {
        model: "test-model".to_owned(),
        request_hex: "0123456789abcdef0123456789abcd".to_owned(),
        created: 1_700_000_000,
        ..Caller::default()
    }
}

/// A stream on its way, with the framing that the dialect has.
pub(crate) fn translator(from: Dialect, to: Dialect) -> Translator {
    let framing = match from {
        Dialect::Converse => Framing::Cut,
        _ => Framing::Sse,
    };
    Translator::new(from, framing, to, caller())
}

/// The frames of a Converse case: name and payload.
pub(crate) fn converse_frames(bytes: &[u8]) -> Vec<(String, Box<RawValue>)> {
    #[derive(serde::Deserialize)]
    struct Frame {
        r#type: String,
        payload: Box<RawValue>,
    }
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let frames = text.lines().map(|line| {
        let Frame { r#type, payload } = serde_json::from_str(line).expect("a frame");
        (r#type, payload)
    });
    frames.collect()
}

/// Ends a stream as the gateway does: one that its provider did not complete fails.
pub(crate) fn end(translator: &mut Translator, out: &mut Vec<u8>) {
    translator.end(out);
    if !translator.is_over() {
        let frames = translator.seen().frames;
        let failure = lw_translate::ir::Failure {
            code: Some("upstream_mid_stream_failure".to_owned()),
            message: format!("chunk {frames}: the provider closed the connection"),
            ..lw_translate::ir::Failure::default()
        };
        translator.fail(failure, out);
    }
}

/// What a caller gets of a whole stream.
pub(crate) fn stream(case: &Case, to: Dialect) -> Vec<u8> {
    let mut translator = translator(case.from, to);
    let mut out = Vec::new();
    if case.from == Dialect::Converse {
        for (name, payload) in converse_frames(&case.bytes) {
            translator.frame(Some(&name), payload.get().as_bytes(), &mut out);
        }
    } else {
        translator.push(&case.bytes, &mut out);
    }
    end(&mut translator, &mut out);
    out
}
