//! Whole answers: what each caller gets for each case.

use lw_translate::{Dialect, read_answer, write_answer};
use serde_json::{Value, json};

use super::cases::{CALLERS, Case, all, caller, word};
use super::extract::{self, Said};
use super::golden::{Goldens, check, pretty};

fn pairs() -> Vec<(Case, Dialect)> {
    let mut pairs = Vec::new();
    for to in CALLERS {
        let foreign = all("answers").into_iter().filter(|case| case.from != to);
        pairs.extend(foreign.map(|case| (case, to)));
    }
    pairs
}

#[test]
fn every_answer_is_written_for_every_caller_as_its_golden_says() {
    let mut goldens = Goldens::new();
    for (case, to) in pairs() {
        let path = format!("{}-{}/{}.json", word(case.from), word(to), case.name);
        let text = match read_answer(case.from, &case.bytes) {
            Ok(answer) => String::from_utf8(write_answer(to, answer, &caller())).expect("UTF-8"),
            Err(problem) => json!({"problem": problem.to_string()}).to_string(),
        };
        goldens.insert(path, pretty(&text));
    }
    check("answers", &goldens);
}

#[test]
fn what_the_provider_says_is_what_the_caller_hears() {
    let mut problems = Vec::new();
    for (case, to) in pairs() {
        let label = format!("{} -> {}, {}", word(case.from), word(to), case.name);
        let Ok(answer) = read_answer(case.from, &case.bytes) else {
            problems.push(format!("{label}: it cannot be read"));
            continue;
        };
        let written = write_answer(to, answer, &caller());
        let Ok(written) = serde_json::from_slice::<Value>(&written) else {
            problems.push(format!("{label}: what is written is not JSON"));
            continue;
        };
        let source = extract::answer(case.from, &case.json());
        let heard = extract::answer(to, &written);
        for (fact, detail) in differences(case.from, to, &source, &heard) {
            if !is_allowed(word(case.from), word(to), &case.name, fact) {
                problems.push(format!("{label}: {fact}: {detail}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What may differ, and why: from, to, case, fact, reason. `*` is any.
const ALLOWED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "*",
        "messages",
        "refusal",
        "stop",
        "Anthropic says by its reason to stop that the model refused",
    ),
    (
        "gemini",
        "*",
        "no_parts",
        "stop",
        "a candidate without parts has used up its cap by thinking (providers 16)",
    ),
];

/// Whether a difference is in the table.
pub(crate) fn is_allowed(from: &str, to: &str, case: &str, fact: &str) -> bool {
    let fits = |pattern: &str, word: &str| pattern == "*" || pattern == word;
    ALLOWED.iter().any(|(a, b, c, d, why)| {
        assert!(!why.is_empty(), "an exception has a reason");
        fits(a, from) && fits(b, to) && fits(c, case) && fits(d, fact)
    })
}

/// What was said and is not heard, or the other way round.
pub(crate) fn differences(
    from: Dialect,
    to: Dialect,
    source: &Said,
    heard: &Said,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut compare = |name: &'static str, a: String, b: String| {
        if a != b {
            found.push((name, format!("{a} became {b}")));
        }
    };
    compare("text", source.text.clone(), heard.text.clone());
    compare("thinking", source.thinking.clone(), heard.thinking.clone());
    compare(
        "calls",
        format!("{:?}", source.calls),
        format!("{:?}", heard.calls),
    );
    compare(
        "failed",
        source.failed.to_string(),
        heard.failed.to_string(),
    );
    if !source.failed {
        compare(
            "stop",
            format!("{:?}", source.stop),
            format!("{:?}", heard.stop),
        );
    }
    let (a, b) = (
        source.usage.unwrap_or_default(),
        heard.usage.unwrap_or_default(),
    );
    if source.failed && heard.usage.is_none() {
        return found;
    }
    compare("prompt", a.prompt.to_string(), b.prompt.to_string());
    compare(
        "completion",
        a.completion.to_string(),
        b.completion.to_string(),
    );
    compare("cache read", a.read.to_string(), b.read.to_string());
    if to != Dialect::Gemini {
        compare("cache write", a.write.to_string(), b.write.to_string());
    }
    // Neither Anthropic nor Bedrock tells thinking apart.
    let tells = |dialect| !matches!(dialect, Dialect::Messages | Dialect::Converse);
    if tells(from) && tells(to) {
        compare(
            "reasoning",
            a.reasoning.to_string(),
            b.reasoning.to_string(),
        );
    }
    found
}
