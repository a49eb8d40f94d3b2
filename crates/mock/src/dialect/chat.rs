//! OpenAI chat completions.
//!
//! Usage of a stream goes in a last chunk with empty `choices`, and only if the caller asked.
//! Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Draft, Stop};
use crate::json::{Obj, quote};
use crate::plan::Piece;

pub(crate) fn id(draft: &Draft) -> String {
    format!("chatcmpl-mock-{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let mut message = Obj::new().str("role", "assistant");
    message = match &draft.tool {
        Some(tool) => message
            .raw("content", "null")
            .raw("tool_calls", &tool_calls(draft, tool)),
        None => message.str("content", &draft.text()),
    };
    let message = message
        .raw("refusal", "null")
        .raw("annotations", "[]")
        .end();
    let choice = Obj::new()
        .num("index", 0)
        .raw("message", &message)
        .raw("logprobs", "null")
        .str("finish_reason", finish(draft.stop))
        .end();
    Obj::new()
        .str("id", &id(draft))
        .str("object", "chat.completion")
        .num("created", draft.created)
        .str("model", &draft.model)
        .raw("choices", &format!("[{choice}]"))
        .raw_if(
            "usage",
            draft.bill.reported(|| usage(&draft.bill)).as_deref(),
        )
        .str("service_tier", "default")
        .str("system_fingerprint", "fp_mock")
        .end()
}

pub(crate) fn stream(draft: &Draft) -> Vec<Piece> {
    let head = Obj::new()
        .str("id", &id(draft))
        .str("object", "chat.completion.chunk")
        .num("created", draft.created)
        .str("model", &draft.model)
        .str("service_tier", "default")
        .str("system_fingerprint", "fp_mock")
        .end();
    let head = head.strip_suffix('}').unwrap_or(&head);
    let rest = if draft.include_usage {
        ",\"usage\":null"
    } else {
        ""
    };
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{rest}}}\n\n"
        )
    };
    let mut pieces = Vec::with_capacity(draft.parts.len() + 4);
    match &draft.tool {
        None => {
            let first = r#"{"role":"assistant","content":"","refusal":null}"#;
            pieces.push(Piece::lead(chunk(first, "null")));
            for part in &draft.parts {
                let delta = format!("{{\"content\":{}}}", quote(part));
                pieces.push(Piece::content(chunk(&delta, "null"), part));
            }
        }
        Some(tool) => {
            let call = format!(
                r#"{{"index":0,"id":"call_mock_{}","type":"function","function":{{"name":{},"arguments":""}}}}"#,
                draft.n,
                quote(tool)
            );
            let first = format!(
                r#"{{"role":"assistant","content":null,"tool_calls":[{call}],"refusal":null}}"#
            );
            pieces.push(Piece::lead(chunk(&first, "null")));
            for part in &draft.parts {
                let delta = format!(
                    r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{}}}}}]}}"#,
                    quote(part)
                );
                pieces.push(Piece::content(chunk(&delta, "null"), part));
            }
        }
    }
    pieces.push(Piece::lead(chunk("{}", &quote(finish(draft.stop)))));
    if draft.include_usage
        && let Some(usage) = draft.bill.reported(|| usage(&draft.bill))
    {
        let last = format!("data: {head},\"choices\":[],\"usage\":{usage}}}\n\n");
        pieces.push(Piece::usage(last, true));
    }
    pieces.push(Piece::lead(String::from("data: [DONE]\n\n")));
    pieces
}

/// The error that OpenAI puts into a stream that has begun.
pub(crate) fn error_event(kind: &str, message: &str) -> String {
    let error = Obj::new()
        .str("message", message)
        .str("type", kind)
        .raw("param", "null")
        .raw("code", "null")
        .end();
    format!("data: {{\"error\":{error}}}\n\n")
}

fn tool_calls(draft: &Draft, tool: &str) -> String {
    let function = Obj::new()
        .str("name", tool)
        .str("arguments", &draft.text())
        .end();
    let call = Obj::new()
        .str("id", &format!("call_mock_{}", draft.n))
        .str("type", "function")
        .raw("function", &function)
        .end();
    format!("[{call}]")
}

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Length => "length",
        Stop::Tool => "tool_calls",
    }
}

fn usage(bill: &Bill) -> String {
    let input = Obj::new()
        .raw("cached_tokens", &bill.cached())
        .raw("audio_tokens", &bill.audio_input())
        .num("cache_write_tokens", bill.written())
        .end();
    let output = Obj::new()
        .raw("reasoning_tokens", &bill.reasoning())
        .raw("audio_tokens", &bill.audio_output())
        .num("accepted_prediction_tokens", 0)
        .num("rejected_prediction_tokens", 0)
        .end();
    Obj::new()
        .raw("prompt_tokens", &bill.prompt())
        .raw("completion_tokens", &bill.output())
        .raw("total_tokens", &bill.total())
        .raw("prompt_tokens_details", &input)
        .raw("completion_tokens_details", &output)
        .end()
}
