//! A scripted answer that names no dialect, and the quirks of vendors that are nearly OpenAI.
//!
//! One [`Answer`] is rendered natively by every writer in `dialect`, so a test can ask for the same
//! answer on each side of a translation. Never says anything about the wire. Start at [`Answer`].

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An answer, part by part.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// What the model says and does, in order.
    pub parts: Vec<Part>,
    /// Why it ends; if not given, `tool` when a tool is called, else `end`.
    pub stop: Option<StopReason>,
    /// The sequence that was met, for `stop_sequence`.
    pub stop_sequence: Option<String>,
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model had said all.
    End,
    /// The output cap was reached.
    Length,
    /// The caller shall run tools.
    Tool,
    /// The vendor's filter cut it.
    Filter,
    /// A stop sequence was met.
    StopSequence,
    /// The model refused.
    Refusal,
    /// A long turn that the caller shall resume.
    Pause,
}

/// One part of an answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "PartFields", into = "PartFields")]
pub enum Part {
    /// `{"text": "..."}`
    Text(String),
    /// `{"thinking": "...", "signature": "..."}`; a signature that is not given is made.
    Thinking {
        /// The thought.
        thinking: String,
        /// What proves it, opaque to callers.
        signature: Option<String>,
    },
    /// `{"redacted": "..."}`: a thought that the vendor keeps sealed.
    Redacted(String),
    /// `{"tool": {"name": "...", "arguments": {...}, "id": "..."}}`
    Tool(ToolCall),
    /// `{"refusal": "..."}`
    Refusal(String),
    /// `{"server_tool": {"name": "...", "input": {...}, "result": ...}}`: run by the vendor itself.
    ServerTool(ServerTool),
}

/// A call of the caller's tool.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// A JSON object, kept verbatim.
    pub arguments: Box<RawValue>,
    /// The call's id; made if not given.
    #[serde(default)]
    pub id: Option<String>,
}

/// A call of the vendor's own tool, with its result.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTool {
    /// The tool, for example `web_search`.
    pub name: String,
    /// A JSON object, kept verbatim.
    pub input: Box<RawValue>,
    /// What the tool gave; an empty list if not given.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct PartFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<ToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool: Option<ServerTool>,
}

impl TryFrom<PartFields> for Part {
    type Error = &'static str;

    fn try_from(fields: PartFields) -> Result<Self, Self::Error> {
        let PartFields {
            text,
            thinking,
            signature,
            redacted,
            tool,
            refusal,
            server_tool,
        } = fields;
        if signature.is_some() && thinking.is_none() {
            return Err("`signature` belongs to `thinking`");
        }
        let is_object = |raw: &RawValue| raw.get().trim_start().starts_with('{');
        if tool
            .as_ref()
            .is_some_and(|tool| !is_object(&tool.arguments))
            || server_tool
                .as_ref()
                .is_some_and(|tool| !is_object(&tool.input))
        {
            return Err("the arguments of a tool must be an object");
        }
        let thinking = thinking.map(|thinking| Self::Thinking {
            thinking,
            signature,
        });
        let given = [
            text.map(Self::Text),
            thinking,
            redacted.map(Self::Redacted),
            tool.map(Self::Tool),
            refusal.map(Self::Refusal),
            server_tool.map(Self::ServerTool),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(part), None) => Ok(part),
            (_, _) => Err(
                "a part is one of `text`, `thinking`, `redacted`, `tool`, `refusal`, `server_tool`",
            ),
        }
    }
}

impl From<Part> for PartFields {
    fn from(part: Part) -> Self {
        let mut fields = Self::default();
        match part {
            Part::Text(text) => fields.text = Some(text),
            Part::Thinking {
                thinking,
                signature,
            } => {
                fields.thinking = Some(thinking);
                fields.signature = signature;
            }
            Part::Redacted(data) => fields.redacted = Some(data),
            Part::Tool(tool) => fields.tool = Some(tool),
            Part::Refusal(text) => fields.refusal = Some(text),
            Part::ServerTool(tool) => fields.server_tool = Some(tool),
        }
        fields
    }
}

impl Answer {
    /// The answer of a tool loop that has come so far: each answer waits for as many tool results
    /// as the ones before it called tools. One that calls none is the last.
    pub(crate) fn of_turns(turns: &[Self], results: u64) -> Option<&Self> {
        let mut wanted = 0;
        for turn in turns {
            let calls = turn
                .parts
                .iter()
                .filter(|part| matches!(part, Part::Tool(_)));
            let calls = u64::try_from(calls.count()).unwrap_or(u64::MAX);
            wanted += calls;
            if calls == 0 || results < wanted {
                return Some(turn);
            }
        }
        turns.last()
    }
}

/// How a chat stream of a nearly-OpenAI vendor differs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// `data:` without the space.
    pub no_space: bool,
    /// Lines end in CR LF.
    pub crlf: bool,
    /// Comment lines and extra blank lines between the events.
    pub comments: bool,
    /// No `[DONE]` at the end.
    pub no_done: bool,
    /// `[done]` instead.
    pub done_lower: bool,
    /// Usage on the chunk with the finish reason, and no chunk with empty `choices`.
    pub usage_in_last_chunk: bool,
    /// No usage, whatever was asked.
    pub no_usage: bool,
    /// Thinking goes out in this field of the message and of the deltas.
    pub reasoning_field: Option<String>,
    /// `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens` beside the usual names.
    pub cache_hit_names: bool,
}

#[cfg(test)]
mod tests {
    use super::{Answer, Part};

    fn read(json: &str) -> Result<Answer, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_part_is_exactly_one_thing() {
        let answer = read(
            r#"{"parts":[{"text":"a"},{"tool":{"name":"f","arguments":{"b":1,"a":1.10}}}],"stop":"stop_sequence"}"#,
        )
        .expect("well formed");
        let Some(Part::Tool(tool)) = answer.parts.get(1) else {
            panic!("a tool");
        };
        assert_eq!(tool.arguments.get(), r#"{"b":1,"a":1.10}"#);
        for wrong in [
            r#"{"parts":[{}]}"#,
            r#"{"parts":[{"text":"a","refusal":"b"}]}"#,
            r#"{"parts":[{"signature":"s"}]}"#,
            r#"{"parts":[{"tool":{"name":"f","arguments":[]}}]}"#,
            r#"{"parts":[],"stop":"never"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let again = serde_json::to_string(&answer).expect("JSON");
        assert!(again.contains(r#"{"b":1,"a":1.10}"#), "{again}");
    }

    #[test]
    fn a_tool_loop_waits_for_every_result() {
        let call = r#"{"tool":{"name":"f","arguments":{}}}"#;
        let turns: Vec<Answer> = serde_json::from_str(&format!(
            r#"[{{"parts":[{call},{call}]}},{{"parts":[{call}]}},{{"parts":[{{"text":"done"}}]}}]"#
        ))
        .expect("well formed");
        let at = |results| {
            let turn = Answer::of_turns(&turns, results).expect("one");
            turns.iter().position(|known| std::ptr::eq(known, turn))
        };
        let met: Vec<_> = (0..6).map(at).collect();
        assert_eq!(met, [0, 0, 1, 2, 2, 2].map(Some));
        assert!(Answer::of_turns(&[], 3).is_none());
    }
}
