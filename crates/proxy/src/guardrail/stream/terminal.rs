//! The last frame of a stream that a guardrail ended (data-plane 17.4).

use bytes::Bytes;
use lw_core::BodyForm;

use crate::guardrail::Blocked;

/// The frame that tells the caller, in the form of its stream. `begun`: bytes went out before.
///
/// The order of the keys and the `null` are part of it. Gemini's own object has no room for our code.
#[must_use]
pub fn blocked_frame(form: BodyForm, blocked: &Blocked, begun: bool) -> Bytes {
    let message = serde_json::Value::from(blocked.message());
    let gemini =
        format!(r#"{{"error":{{"code":403,"message":{message},"status":"PERMISSION_DENIED"}}}}"#);
    let outer = match form {
        BodyForm::GeminiStream => return format!("data: {gemini}\r\n\r\n").into(),
        BodyForm::GeminiJson => {
            let open = if begun { ",\r\n" } else { "[" };
            return format!("{open}{gemini}]").into();
        }
        BodyForm::MessagesStream | BodyForm::ResponsesStream => r#""type":"error","#,
        BodyForm::ChatStream
        | BodyForm::ChatJson
        | BodyForm::ResponsesJson
        | BodyForm::MessagesJson
        | BodyForm::EmbeddingsJson
        | BodyForm::Opaque
        | BodyForm::Messages => "",
    };
    format!(
        "event: error\ndata: {{{outer}\"error\":{{\"type\":\"guardrail_blocked\",\
         \"code\":\"stream_chunk_blocked\",\"message\":{message},\"param\":null}}}}\n\n"
    )
    .into()
}
