//! Chat Completions.

use serde_json::Value;

use super::{Frame, Legal, ensure};

pub(super) fn check(frames: &[Frame]) -> Legal {
    let failed = frames.last().is_some_and(Frame::is_error);
    let (chunks, rest): (Vec<&Frame>, Vec<&Frame>) = frames
        .iter()
        .partition(|frame| frame.json["object"] == "chat.completion.chunk");
    if failed {
        ensure(rest.len() == 1, || {
            "only the error stands beside the chunks".to_owned()
        })?;
    } else {
        let done = frames.last().is_some_and(|frame| frame.data == "[DONE]");
        ensure(done, || "the last frame is not [DONE]".to_owned())?;
        let warned = |frame: &&Frame| frame.event.as_deref() == Some("warning");
        let others = rest.iter().filter(|frame| !warned(frame)).count();
        ensure(others == 1, || "a frame that is no chunk".to_owned())?;
    }
    let mut finished = false;
    let mut calls = 0_u64;
    for (n, chunk) in chunks.iter().enumerate() {
        let json = &chunk.json;
        ensure(chunk.event.is_none(), || {
            "a chunk with an event name".to_owned()
        })?;
        for key in ["id", "created", "model"] {
            let first = &chunks[0].json[key];
            ensure(json[key] == *first && !first.is_null(), || {
                format!("{key} changes")
            })?;
        }
        let choices = json["choices"]
            .as_array()
            .ok_or("a chunk without choices")?;
        let Some(choice) = choices.first() else {
            ensure(finished && json["usage"].is_object(), || {
                "an empty chunk".to_owned()
            })?;
            ensure(n + 1 == chunks.len(), || {
                "chunks follow the usage".to_owned()
            })?;
            continue;
        };
        ensure(!finished, || "a choice after its finish".to_owned())?;
        ensure(choice["index"] == 0, || "another choice".to_owned())?;
        let role = &choice["delta"]["role"];
        ensure((*role == "assistant") == (n == 0), || {
            "the role stands once, first".to_owned()
        })?;
        tool_calls(&choice["delta"], &mut calls)?;
        finished = !choice["finish_reason"].is_null();
        let empty = choice["delta"]
            .as_object()
            .is_some_and(serde_json::Map::is_empty);
        ensure(!finished || empty, || "a finish with a delta".to_owned())?;
    }
    ensure(finished || failed, || "no finish_reason".to_owned())
}

/// New calls have the next index, an id, a name and empty arguments; later pieces have their index only.
fn tool_calls(delta: &Value, calls: &mut u64) -> Legal {
    for call in delta["tool_calls"].as_array().into_iter().flatten() {
        let index = call["index"].as_u64().ok_or("a call without an index")?;
        let is_new = call.get("id").is_some();
        if is_new {
            ensure(index == *calls, || {
                format!("call {index} opens after {calls} calls")
            })?;
            *calls += 1;
            let named = call["function"]["name"].is_string() && call["type"] == "function";
            ensure(named, || "a call without its name".to_owned())?;
            ensure(call["id"] != "", || "a call with an empty id".to_owned())?;
        }
        ensure(index < *calls, || format!("call {index} was never opened"))?;
        // Google's seal comes behind the arguments, in a field of its own.
        let says = call["function"]["arguments"].is_string() || call["extra_content"].is_object();
        ensure(says || is_new, || "no arguments".to_owned())?;
    }
    Ok(())
}
