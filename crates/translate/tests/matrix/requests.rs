//! Requests: what each provider is sent for each case.

use lw_translate::cache::CacheWish;
use lw_translate::{Outgoing, Problem, read_request, write_request};
use serde_json::{Value, json};

use super::cases::{Case, LANES, Lane, all, word};
use super::extract::{self, Asked};
use super::golden::{Goldens, check, pretty};

/// Reads and writes, with caches as the caller has them.
pub(crate) fn translate(case: &Case, lane: &Lane) -> Result<Outgoing, Problem> {
    translate_with(case, lane, CacheWish::None)
}

/// Reads and writes; remote pictures and documents are there, as the gateway would have fetched them.
pub(crate) fn translate_with(
    case: &Case,
    lane: &Lane,
    wish: CacheWish,
) -> Result<Outgoing, Problem> {
    let mut request = read_request(case.from, &case.bytes)?;
    request.cache_wish = wish;
    for url in request.remote_sources(lane.to) {
        let (media_type, data) = if url.ends_with(".pdf") {
            ("application/pdf", "JVBERi0xLjQK")
        } else {
            ("image/png", "iVBORw0KGgo=")
        };
        request.inline(&url, media_type, data);
    }
    write_request(lane.to, request, &lane.target())
}

fn pairs() -> Vec<(Case, &'static Lane)> {
    pairs_of(&LANES)
}

/// Every case with every lane of another dialect.
pub(crate) fn pairs_of(lanes: &'static [Lane]) -> Vec<(Case, &'static Lane)> {
    let mut pairs = Vec::new();
    for lane in lanes {
        let foreign = all("requests")
            .into_iter()
            .filter(|case| case.from != lane.to);
        pairs.extend(foreign.map(|case| (case, lane)));
    }
    pairs
}

fn golden(translated: &Result<Outgoing, Problem>) -> String {
    let json = match translated {
        Ok(outgoing) => {
            let Outgoing {
                body,
                dropped,
                betas,
                json_tool,
            } = outgoing;
            let body = std::str::from_utf8(body).expect("UTF-8");
            let (dropped, betas) = (json!(dropped), json!(betas));
            format!(
                r#"{{"body":{body},"dropped":{dropped},"betas":{betas},"json_tool":{json_tool}}}"#
            )
        }
        Err(problem) => {
            let (kind, param, message) = match problem {
                Problem::Bad { message, param } => ("bad", param, message),
                Problem::Unsupported { param, message } => ("unsupported", param, message),
            };
            json!({"problem": {"kind": kind, "param": param, "message": message}}).to_string()
        }
    };
    pretty(&json)
}

#[test]
fn every_request_is_written_for_every_provider_as_its_golden_says() {
    let mut goldens = Goldens::new();
    for (case, lane) in pairs() {
        let path = format!("{}-{}/{}.json", word(case.from), lane.name, case.name);
        goldens.insert(path, golden(&translate(&case, lane)));
    }
    check("requests", &goldens);
}

/// What may differ, and why: from, to, case, fact, reason. `*` at the end stands for any end.
const ALLOWED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "*",
        "responses",
        "reasoning_off",
        "thinks",
        "gpt-5 always thinks: it is told to think least",
    ),
    (
        "*",
        "gemini3",
        "reasoning_off",
        "thinks",
        "Gemini 3 always thinks: it is told to think least",
    ),
    (
        "responses",
        "*",
        "freeform_tool",
        "tools",
        "the grammar of a free-form tool is told in its description",
    ),
    (
        "responses",
        "*",
        "coding_agent",
        "tools",
        "the grammar of a free-form tool is told in its description",
    ),
    (
        "responses",
        "*",
        "namespace_tools",
        "calls",
        "only Responses has namespaces: elsewhere they are part of the name",
    ),
    (
        "responses",
        "*",
        "namespace_tools",
        "results",
        "only Responses has namespaces: elsewhere they are part of the name",
    ),
    (
        "*",
        "chat",
        "document_text",
        "*",
        "documents of plain text are text",
    ),
    (
        "messages",
        "responses",
        "document_text",
        "*",
        "documents of plain text are text",
    ),
    (
        "gemini",
        "responses",
        "document_text",
        "*",
        "documents of plain text are text",
    ),
    (
        "gemini",
        "*",
        "google_schema_output",
        "schema",
        "Google's form of schemas becomes JSON Schema",
    ),
    (
        "messages",
        "chat",
        "document_blocks",
        "*",
        "documents of plain text are text",
    ),
    (
        "messages",
        "responses",
        "document_blocks",
        "*",
        "documents of plain text are text",
    ),
    (
        "messages",
        "*",
        "document_blocks",
        "user",
        "what is said about a document is said before it",
    ),
    (
        "messages",
        "*",
        "search_result",
        "user",
        "search results are text elsewhere",
    ),
    (
        "messages",
        "*",
        "search_result",
        "documents",
        "search results are documents elsewhere",
    ),
    (
        "messages",
        "*",
        "client_tools",
        "tools",
        "only Claude knows these tools by their names: elsewhere they are described",
    ),
];

fn is_allowed(from: &str, to: &str, case: &str, fact: &str) -> bool {
    let fits = |pattern: &str, word: &str| match pattern.strip_suffix('*') {
        Some(head) => word.starts_with(head),
        None => pattern == word,
    };
    ALLOWED.iter().any(|(a, b, c, d, why)| {
        assert!(!why.is_empty(), "an exception has a reason");
        fits(a, from) && fits(b, to) && fits(c, case) && fits(d, fact)
    })
}

#[test]
fn what_is_asked_for_is_what_the_provider_is_asked_for() {
    let mut problems = Vec::new();
    for (case, lane) in pairs() {
        let Ok(outgoing) = translate(&case, lane) else {
            continue;
        };
        let body: Value = serde_json::from_slice(&outgoing.body).expect("the body is JSON");
        let source = extract::request(case.from, &case.json());
        let written = extract::request(lane.to, &body);
        for fact in differences(&source, &written, &outgoing) {
            let (name, detail) = fact;
            if !is_allowed(word(case.from), lane.name, &case.name, name) {
                let (from, to) = (word(case.from), lane.name);
                problems.push(format!("{from} -> {to}, {}: {name}: {detail}", case.name));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What one side has and the other has not. A number or choice may be missing when its name is among what
/// was dropped.
fn differences(
    source: &Asked,
    written: &Asked,
    outgoing: &Outgoing,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut compare = |name: &'static str, a: String, b: String| {
        if a != b {
            found.push((name, format!("{a} became {b}")));
        }
    };
    let dropped = |words: &[&str]| {
        let said = |name: &String| words.iter().any(|word| name.contains(word));
        outgoing.dropped.iter().any(said)
    };
    compare("system", source.system.clone(), written.system.clone());
    compare("user", source.user.clone(), written.user.clone());
    compare(
        "assistant",
        source.assistant.clone(),
        written.assistant.clone(),
    );
    compare(
        "calls",
        format!("{:?}", source.calls),
        format!("{:?}", written.calls),
    );
    compare(
        "results",
        format!("{:?}", source.results),
        format!("{:?}", written.results),
    );
    compare(
        "images",
        source.images.to_string(),
        written.images.to_string(),
    );
    compare(
        "documents",
        source.documents.to_string(),
        written.documents.to_string(),
    );

    if !(source.thinks && dropped(&["reasoning", "thinking", "output_config"])) {
        compare(
            "thinks",
            source.thinks.to_string(),
            written.thinks.to_string(),
        );
    }
    // Thinking goes back to its own vendor, or not at all.
    if !written.thinking.is_empty() {
        compare(
            "thinking",
            source.thinking.clone(),
            written.thinking.clone(),
        );
    }
    let tools = |asked: &Asked| {
        let own = asked.tools.iter().filter(|(name, _)| name != "json_output");
        format!("{:?}", own.collect::<Vec<_>>())
    };
    let forbidden = source.choice.as_deref() == Some("none") && written.tools.is_empty();
    let undeclared = source.tools.is_empty() && !source.calls.is_empty();
    if !forbidden && !undeclared {
        compare("tools", tools(source), tools(written));
        if !outgoing.json_tool && !dropped(&["tool_choice", "toolConfig", "functionCallingConfig"])
        {
            let choice = |asked: &Asked| asked.choice.clone().unwrap_or_else(|| "auto".to_owned());
            compare("choice", choice(source), choice(written));
        }
    }
    if !outgoing.json_tool {
        compare(
            "schema",
            format!("{:?}", source.schema),
            format!("{:?}", written.schema),
        );
    }
    for (name, words) in [
        ("max", &["max"][..]),
        ("temperature", &["temperature"]),
        ("top_p", &["top_p", "topP"]),
        ("top_k", &["top_k", "topK"]),
        ("stop", &["stop"]),
        ("presence", &["presence"]),
        ("frequency", &["frequency"]),
    ] {
        let (asked, got) = (source.numbers.get(name), written.numbers.get(name));
        if asked.is_some() && asked != got && !(got.is_none() && dropped(words)) {
            compare(name, format!("{asked:?}"), format!("{got:?}"));
        }
    }
    found
}
