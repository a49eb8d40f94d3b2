//! What guardrails said about a request, as attributes of its span (observability 4.4).
//!
//! The record names them in words of its own ([`lw_store::trace::Facts::guardrails`]); a name that is not known here
//! is not shown. Start at [`attributes`].

use lw_store::trace::TraceRecord;
use serde_json::{Value, json};

/// From the mildest verdict to the worst.
const VERDICTS: [&str; 5] = ["allow", "fail_open", "modify", "fail_closed", "block"];

/// `langwatch.guardrail.*`; nothing for a request that met no guardrail.
pub(super) fn attributes(record: &TraceRecord) -> Vec<(&'static str, Value)> {
    let said = Words(&record.facts.guardrails);
    let mut found: Vec<(&'static str, Value)> = Vec::new();
    let mut put = |name: &'static str, value: Option<Value>| {
        found.extend(value.map(|value| (name, value)));
    };
    put(
        "langwatch.guardrail.verdict",
        said.worst("").map(Value::from),
    );
    let opened: Vec<&str> = said
        .below("fail_open.")
        .map(|(direction, _)| direction)
        .collect();
    if !opened.is_empty() {
        put("langwatch.guardrail.fail_open", Some(json!(true)));
        put(
            "langwatch.guardrail.direction",
            Some(json!(opened.join(","))),
        );
    }
    let list = |ids: Vec<&str>| (!ids.is_empty()).then(|| json!(ids));
    put(
        "langwatch.guardrail.applied",
        list(said.all("applied").collect()),
    );
    put(
        "langwatch.guardrail.policies_triggered",
        list(said.all("policy").collect()),
    );
    put(
        "langwatch.guardrail.post.verdict",
        said.worst("response").map(Value::from),
    );
    put("langwatch.guardrail.post.skipped", said.one("post.skipped"));
    put("langwatch.guardrail.post_flag", said.one("post_flag"));
    put("langwatch.guardrail.timeout", said.one("timeout"));
    put(
        "langwatch.guardrail.stream_chunk_fail_open",
        said.one("fail_open.stream_chunk"),
    );
    let frames = said
        .all("stream_chunk.skipped")
        .find_map(|text| text.parse::<u64>().ok());
    put(
        "langwatch.guardrail.stream_chunk.skipped",
        frames.map(Value::from),
    );
    found
}

struct Words<'a>(&'a [(String, String)]);

impl<'a> Words<'a> {
    /// The words under a name.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, word)| word.as_str())
    }

    fn one(&self, name: &'static str) -> Option<Value> {
        self.all(name).next().map(Value::from)
    }

    /// Names that begin like this, without that beginning, and their words.
    fn below(&self, prefix: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.iter();
        pairs.filter_map(move |(name, word)| Some((name.strip_prefix(prefix)?, word.as_str())))
    }

    /// The worst verdict of a direction; of all for an empty one.
    fn worst(&self, direction: &str) -> Option<&'static str> {
        let of_direction = self
            .below("verdict.")
            .filter(|(known, _)| direction.is_empty() || *known == direction);
        let rank = |(_, word): (&str, &str)| VERDICTS.iter().position(|known| *known == word);
        let worst = of_direction.filter_map(rank).max()?;
        VERDICTS.get(worst).copied()
    }
}
