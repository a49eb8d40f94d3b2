//! The plain text of messages, for search and for the one line that lists show.

use serde_json::Value;

/// All that was said, in order, a line for each piece: text, refusals, tool calls as `name arguments`,
/// tool results and error messages. Reasoning and media are not text.
#[must_use]
pub fn text_of(messages: &Value) -> String {
    let mut text = String::new();
    for message in messages.as_array().into_iter().flatten() {
        of_message(message, true, &mut text);
    }
    text
}

/// What stands for the messages in a list: the newest thing that a user or, in an answer, the model
/// said; failing that, all the text.
#[must_use]
pub fn preview_of(messages: &Value) -> String {
    let list = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    let said_by = |role: &str| {
        list.iter()
            .rev()
            .filter(|message| at(message, "/role") == role)
            .find_map(|message| {
                let mut text = String::new();
                of_message(message, false, &mut text);
                (!text.is_empty()).then_some(text)
            })
    };
    said_by("user")
        .or_else(|| said_by("assistant"))
        .unwrap_or_else(|| text_of(messages))
}

fn of_message(message: &Value, tools: bool, text: &mut String) {
    of_content(at(message, "/content"), tools, text);
    line(at(message, "/refusal"), text);
    line(at(message, "/audio/transcript"), text);
    if tools {
        for call in at(message, "/tool_calls").as_array().into_iter().flatten() {
            of_call(
                at(call, "/function/name"),
                at(call, "/function/arguments"),
                text,
            );
        }
        line(at(message, "/error"), text);
        line(at(message, "/error/message"), text);
    }
}

fn of_content(content: &Value, tools: bool, text: &mut String) {
    line(content, text);
    for part in content.as_array().into_iter().flatten() {
        match at(part, "/type").as_str() {
            Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
                if tools {
                    of_call(at(part, "/name"), at(part, "/input"), text);
                }
            }
            Some("tool_result") => {
                if tools {
                    of_content(at(part, "/content"), tools, text);
                }
            }
            Some(_) | None => {
                line(part, text);
                line(at(part, "/text"), text);
                line(at(part, "/refusal"), text);
                line(at(part, "/transcript"), text);
            }
        }
    }
}

fn of_call(name: &Value, arguments: &Value, text: &mut String) {
    line(name, text);
    if let (Some(_), false) = (name.as_str(), arguments.is_null()) {
        text.push(' ');
        match arguments {
            Value::String(arguments) => text.push_str(arguments),
            arguments => text.push_str(&arguments.to_string()),
        }
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Adds a string on a line of its own; anything else is not text.
fn line(value: &Value, text: &mut String) {
    if let Some(piece) = value.as_str().filter(|piece| !piece.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(piece);
    }
}
