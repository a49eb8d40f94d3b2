//! Anthropic Messages: the rules of the framer, one to nine.

use serde_json::Value;

use super::{Frame, Legal, ensure};

pub(super) fn check(frames: &[Frame]) -> Legal {
    let mut order = Order::default();
    for frame in frames {
        let kind = frame.kind();
        let named = frame.event.as_deref() == Some(kind);
        ensure(named, || format!("event name {:?} of {kind}", frame.event))?;
        order.take(kind, &frame.json)?;
    }
    ensure(order.over, || "no end".to_owned())
}

#[derive(Default)]
struct Order {
    started: bool,
    /// The open block: its number and kind.
    open: Option<(u64, String)>,
    next: u64,
    /// `message_delta` came.
    told: bool,
    over: bool,
}

impl Order {
    fn take(&mut self, kind: &str, json: &Value) -> Legal {
        ensure(!self.over, || format!("{kind} after the end"))?;
        let early = !self.started && !matches!(kind, "message_start" | "error");
        ensure(!early, || format!("{kind} before the start"))?;
        match kind {
            "message_start" => {
                ensure(!self.started, || "a second start".to_owned())?;
                self.started = true;
                start(&json["message"])
            }
            "content_block_start" => {
                ensure(self.open.is_none(), || "two open blocks".to_owned())?;
                ensure(json["index"] == self.next, || {
                    "an index out of order".to_owned()
                })?;
                let block = &json["content_block"];
                let kind = block["type"].as_str().ok_or("a block without a type")?;
                block_start(kind, block)?;
                self.open = Some((self.next, kind.to_owned()));
                self.next += 1;
                Ok(())
            }
            "content_block_delta" => {
                let (index, block) = self.open.as_ref().ok_or("a delta without a block")?;
                ensure(json["index"] == *index, || {
                    "a delta of another block".to_owned()
                })?;
                let delta = json["delta"]["type"].as_str().unwrap_or_default();
                let fits = match delta {
                    "text_delta" | "citations_delta" => block == "text",
                    "thinking_delta" | "signature_delta" => block == "thinking",
                    "input_json_delta" => block == "tool_use",
                    _ => false,
                };
                ensure(fits, || format!("{delta} in a {block} block"))
            }
            "content_block_stop" => {
                let (index, _) = self.open.take().ok_or("a stop without a block")?;
                ensure(json["index"] == index, || {
                    "a stop of another block".to_owned()
                })
            }
            "message_delta" => {
                ensure(self.open.is_none() && !self.told, || {
                    "message_delta too early".to_owned()
                })?;
                self.told = true;
                let reason = &json["delta"];
                let whole = reason["stop_reason"].is_string()
                    && reason.get("stop_sequence").is_some()
                    && json["usage"]["output_tokens"].is_u64();
                ensure(whole, || format!("an incomplete message_delta: {json}"))
            }
            "message_stop" => {
                ensure(self.told, || {
                    "message_stop without message_delta".to_owned()
                })?;
                self.over = true;
                Ok(())
            }
            "error" => {
                // What was cut off stays open: nobody may take it for whole.
                self.over = true;
                Ok(())
            }
            "ping" => Ok(()),
            other => Err(format!("{other} is no event of this dialect")),
        }
    }
}

fn start(message: &Value) -> Legal {
    let whole = message["id"].is_string()
        && message["type"] == "message"
        && message["role"] == "assistant"
        && message["model"].is_string()
        && message["content"] == Value::Array(Vec::new())
        && message.get("stop_reason") == Some(&Value::Null)
        && message.get("stop_sequence") == Some(&Value::Null)
        && message["usage"]["input_tokens"].is_u64()
        && message["usage"]["output_tokens"].is_u64();
    ensure(whole, || format!("an incomplete message_start: {message}"))
}

fn block_start(kind: &str, block: &Value) -> Legal {
    let whole = match kind {
        "text" => block["text"] == "",
        "thinking" => block["thinking"] == "" && block["signature"].is_string(),
        "redacted_thinking" => block["data"].is_string(),
        "tool_use" => {
            let named = |key: &str| block[key].as_str().is_some_and(|text| !text.is_empty());
            let empty = block["input"]
                .as_object()
                .is_some_and(serde_json::Map::is_empty);
            named("id") && named("name") && empty
        }
        _ => false,
    };
    ensure(whole, || format!("an incomplete block: {block}"))
}
