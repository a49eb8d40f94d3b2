//! Whether a stream keeps the rules of its dialect (providers 17, data-plane 17.2 and 17.4).
//!
//! Written from the rules, not from the writers.

mod chat;
mod gemini;
mod messages;
mod responses;

use lw_translate::Dialect;
use serde_json::Value;

use super::extract::frames;

/// What is wrong with a stream.
type Legal = Result<(), String>;

/// One frame: its event name, its data, and the data as a tree.
struct Frame {
    event: Option<String>,
    data: String,
    json: Value,
}

impl Frame {
    fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }

    fn is_error(&self) -> bool {
        self.event.as_deref() == Some("error") || self.json.get("error").is_some()
    }
}

/// Checks a caller's stream.
pub(crate) fn stream(dialect: Dialect, bytes: &[u8]) -> Legal {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    ensure(text.ends_with("\n\n"), || {
        "the last frame is not closed".to_owned()
    })?;
    let mut parsed = Vec::new();
    for (event, data) in frames(bytes) {
        let json = if data == "[DONE]" {
            Value::Null
        } else {
            serde_json::from_str(&data).map_err(|error| format!("{data}: {error}"))?
        };
        parsed.push(Frame { event, data, json });
    }
    ensure(!parsed.is_empty(), || "nothing was written".to_owned())?;
    if let Some(at) = parsed.iter().position(Frame::is_error) {
        ensure(at + 1 == parsed.len(), || {
            "frames follow an error".to_owned()
        })?;
        error(dialect, &parsed[at])?;
    }
    match dialect {
        Dialect::Chat => chat::check(&parsed),
        Dialect::Responses => responses::check(&parsed),
        Dialect::Messages => messages::check(&parsed),
        Dialect::Gemini | Dialect::Converse => gemini::check(&parsed),
    }
}

/// The frame of a failure is exact: keys, their order, and the `null` (data-plane 17.4).
fn error(dialect: Dialect, frame: &Frame) -> Legal {
    let error = &frame.json["error"];
    let message = error["message"].as_str().unwrap_or_default();
    ensure(!message.is_empty(), || {
        "an error without a message".to_owned()
    })?;
    let head = match dialect {
        Dialect::Chat => r#"{"error":{"type":"#,
        Dialect::Responses | Dialect::Messages => r#"{"type":"error","error":{"type":"#,
        Dialect::Gemini | Dialect::Converse => r#"{"error":{"code":"#,
    };
    ensure(frame.data.starts_with(head), || {
        format!("{} does not begin {head}", frame.data)
    })?;
    if matches!(dialect, Dialect::Gemini | Dialect::Converse) {
        return ensure(frame.event.is_none(), || {
            "Gemini has no event names".to_owned()
        });
    }
    let named = frame.event.as_deref() == Some("error");
    ensure(named, || "an error frame without its event name".to_owned())?;
    ensure(frame.data.ends_with(r#""param":null}}"#), || {
        format!("{} does not end with the param", frame.data)
    })
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Legal {
    if holds { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use lw_translate::Dialect;

    fn sse(frames: &[&str]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| format!("{frame}\n\n").into_bytes())
            .collect()
    }

    /// Every stream that lacks one of its frames, or has one twice, is illegal.
    fn guards(dialect: Dialect, frames: &[&str], loose: &[usize]) {
        let legal = |frames: &[&str]| super::stream(dialect, &sse(frames));
        legal(frames).expect("the whole stream is legal");
        for at in (0..frames.len()).filter(|at| !loose.contains(at)) {
            let mut less = frames.to_vec();
            let frame = less.remove(at);
            assert!(legal(&less).is_err(), "{dialect:?} without {frame}");
            let mut more = frames.to_vec();
            more.insert(at, frame);
            assert!(legal(&more).is_err(), "{dialect:?} with another {frame}");
        }
    }

    #[test]
    fn a_chat_stream_needs_each_of_its_frames() {
        let chunk = |rest: &str| {
            format!(
                r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m",{rest}}}"#
            )
        };
        let choice = |delta: &str, reason: &str| {
            chunk(&format!(
                r#""choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]"#
            ))
        };
        let frames = [
            choice(r#"{"role":"assistant","content":""}"#, "null"),
            choice(
                r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
                "null",
            ),
            choice(
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#,
                "null",
            ),
            choice("{}", r#""tool_calls""#),
            chunk(r#""choices":[],"usage":{"prompt_tokens":1}"#),
            "data: [DONE]".to_owned(),
        ];
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        // Pieces of arguments may be many, and usage may be unwanted.
        guards(Dialect::Chat, &frames, &[2, 4]);
    }

    #[test]
    fn a_messages_stream_needs_each_of_its_frames() {
        let frames = [
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}",
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":1}}",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}",
        ];
        guards(Dialect::Messages, &frames, &[2]);
    }

    #[test]
    fn a_responses_stream_needs_each_of_its_frames() {
        let item = r#"{"id":"i","type":"message","content":[{"type":"output_text","text":"ab"}]}"#;
        let place = r#""item_id":"i","output_index":0,"content_index":0"#;
        let events = [
            (
                "created",
                r#""response":{"status":"in_progress"}"#.to_owned(),
            ),
            (
                "output_item.added",
                r#""output_index":0,"item":{"id":"i","type":"message"}"#.to_owned(),
            ),
            ("content_part.added", place.to_owned()),
            ("output_text.delta", format!(r#"{place},"delta":"a""#)),
            ("output_text.delta", format!(r#"{place},"delta":"b""#)),
            ("output_text.done", format!(r#"{place},"text":"ab""#)),
            ("content_part.done", place.to_owned()),
            (
                "output_item.done",
                format!(r#""output_index":0,"item":{item}"#),
            ),
            (
                "completed",
                format!(r#""response":{{"status":"completed","output":[{item}]}}"#),
            ),
        ];
        let frames: Vec<String> = events
            .iter()
            .enumerate()
            .map(|(n, (kind, rest))| {
                let kind = format!("response.{kind}");
                format!(
                    "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{n},{rest}}}"
                )
            })
            .collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        guards(Dialect::Responses, &frames, &[]);
    }

    #[test]
    fn an_error_ends_a_stream_in_its_exact_form() {
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"code\":\"x\",\"message\":\"m\",\"param\":null}}";
        assert_eq!(super::stream(Dialect::Messages, &sse(&[error])), Ok(()));
        assert!(super::stream(Dialect::Messages, &sse(&[error, error])).is_err());
        let unnamed = error.trim_start_matches("event: error\n");
        assert!(super::stream(Dialect::Messages, &sse(&[unnamed])).is_err());
        assert!(super::stream(Dialect::Chat, &sse(&[error])).is_err());
    }
}
