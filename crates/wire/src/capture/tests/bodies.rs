//! Realistic bodies in the shapes that the vendors document.

use serde_json::{Value, json};

pub(super) fn base64(decoded: usize) -> String {
    "iVBORw0KGgoA"
        .chars()
        .cycle()
        .take(decoded * 4 / 3)
        .collect()
}

/// An event stream of the dialects that name their events.
pub(super) fn named(events: &[Value]) -> String {
    events
        .iter()
        .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap()))
        .collect()
}

pub(super) fn chunks(events: &[Value]) -> String {
    let mut stream: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    stream.push_str("data: [DONE]\n\n");
    stream
}

#[expect(clippy::needless_pass_by_value, reason = "takes what `json!` makes")]
pub(super) fn delta(delta: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

pub(super) fn chat_request() -> Value {
    json!({"model": "gpt-5", "stream": true, "tools": [{"type": "function", "function": {"name": "weather"}}],
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "ada", "content": [
            {"type": "text", "text": "What is on these?"},
            {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", base64(30)), "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
            {"type": "input_audio", "input_audio": {"data": base64(60), "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{}", base64(90))}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Zürich\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 °C"},
    ]})
}

pub(super) fn messages_request() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 1024,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "What is on the picture?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I should look.", "signature": "EqQBCgIYAhIM"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"deep": 1.5, "id": 12345678901234567890123_f64}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                {"type": "text", "text": "a cat"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": base64(300)}}]},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": base64(600)}, "title": "x"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            {"type": "redacted_thinking", "data": base64(120)}]},
    ]})
}

pub(super) fn responses_request() -> Value {
    json!({"model": "gpt-5-codex", "instructions": "You are a coding agent.", "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: read-only"}]},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Fix it"},
            {"type": "input_image", "image_url": format!("data:image/webp;base64,{}", base64(3000))},
            {"type": "input_file", "filename": "b.pdf", "file_data": format!("data:application/pdf;base64,{}", base64(30))}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look first."}, {"type": "summary_text", "text": "Then fix."}], "encrypted_content": "gAAAA"},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell", "arguments": "{\"cmd\":\"ls\"}"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin Patch"},
        {"type": "function_call_output", "call_id": "call_1", "output": "src"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rust"}},
        {"type": "item_reference", "id": "msg_0"},
    ]})
}

pub(super) fn chat_answer() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5", "usage": {"prompt_tokens": 9},
    "choices": [
        {"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
            "role": "assistant", "content": "Let me see: 😀", "refusal": null, "annotations": [],
            "reasoning_content": "A city is needed.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}},
                {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}]}},
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "No.", "refusal": null}},
    ]})
}

pub(super) fn chat_stream() -> String {
    let second =
        json!({"choices": [{"index": 1, "delta": {"role": "assistant", "content": "No."}}]});
    chunks(&[
        delta(json!({"role": "assistant", "content": null, "refusal": null})),
        delta(json!({"reasoning_content": "A city "})),
        delta(json!({"reasoning_content": "is needed.", "tool_calls": null})),
        delta(json!({"content": "Let me "})),
        second,
        delta(json!({"content": "see: 😀"})),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":"}}]})),
        delta(
            json!({"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"Paris\"}"}}]})),
        json!({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 9}}),
    ])
}

pub(super) fn messages_answer() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [
            {"type": "thinking", "thinking": "Which city?", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": base64(30)},
            {"type": "text", "text": "Let me see.", "citations": [{"type": "char_location", "cited_text": "x"}]},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris", "days": 3}},
            {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 5}})
}

pub(super) fn messages_events() -> Vec<Value> {
    let block = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 9}}}),
        json!({"type": "ping"}),
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(0, json!({"type": "thinking_delta", "thinking": "Which "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "city?"})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": base64(30)})),
        stop(1),
        block(2, json!({"type": "text", "text": "", "citations": []})),
        delta(2, json!({"type": "text_delta", "text": "Let me "})),
        delta(
            2,
            json!({"type": "citations_delta", "citation": {"cited_text": "x"}}),
        ),
        delta(2, json!({"type": "text_delta", "text": "see."})),
        stop(2),
        block(
            3,
            json!({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}),
        ),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(
            3,
            json!({"type": "input_json_delta", "partial_json": "{\"city\": \"Pa"}),
        ),
        delta(
            3,
            json!({"type": "input_json_delta", "partial_json": "ris\", \"days\": 3}"}),
        ),
        stop(3),
        block(
            4,
            json!({"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}),
        ),
        stop(4),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ]
}

pub(super) fn responses_answer() -> Value {
    json!({"id": "resp_1", "object": "response", "status": "completed", "error": null, "instructions": "Be brief.",
        "incomplete_details": null, "tools": [], "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Which city?"}]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "Let me see.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Paris\"}", "status": "completed"},
            {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "webp", "result": base64(3000)}]})
}

pub(super) fn responses_events() -> Vec<Value> {
    let answer = responses_answer();
    let item = |index: usize| answer["output"][index].clone();
    let added = |index: usize, item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
    let done = |index: usize| json!({"type": "response.output_item.done", "output_index": index, "item": item(index)});
    vec![
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "status": "in_progress", "output": []}}),
        added(0, json!({"type": "reasoning", "id": "rs_1", "summary": []})),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Which "}),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "city?"}),
        done(0),
        added(
            1,
            json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
        ),
        json!({"type": "response.content_part.added", "output_index": 1, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Let me "}),
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "see."}),
        json!({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Let me see."}),
        done(1),
        added(
            2,
            json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": ""}),
        ),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"city\":"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "\"Paris\"}"}),
        json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"city\":\"Paris\"}"}),
        done(2),
        added(
            3,
            json!({"type": "image_generation_call", "id": "ig_1", "status": "in_progress"}),
        ),
        done(3),
        json!({"type": "response.completed", "response": answer}),
    ]
}
