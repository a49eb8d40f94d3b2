//! Tools that Anthropic defines and the caller runs: shell, text editor, computer, memory.
//!
//! Claude knows their schemas by heart, so a request names only a type. Another vendor's model needs them
//! spelled out as ordinary functions. Start at [`function`].

use crate::ir::{Function, Raw};
use crate::json;

/// A tool and what its model has to be told.
struct Known {
    /// How its versioned type begins.
    prefix: &'static str,
    description: &'static str,
    schema: fn(&str) -> String,
}

const KNOWN: [Known; 4] = [
    Known {
        prefix: "bash_",
        description: "Runs a command in a shell session that keeps its state between calls. Give \
                      `restart` instead of a command to begin a new session.",
        schema: |_| {
            r#"{"type":"object","properties":{"command":{"type":"string","description":"The command to run."},"restart":{"type":"boolean","description":"True starts the session anew."}}}"#
                .to_owned()
        },
    },
    Known {
        prefix: "text_editor_",
        description: "Looks at, creates and edits files. `view` shows a file or a folder, \
                      `str_replace` changes one exact and unique piece of text, `insert` puts text \
                      behind a line, `create` writes a whole file.",
        schema: text_editor,
    },
    Known {
        prefix: "computer_",
        description: "Operates a computer by mouse and keyboard, and takes screenshots of its display. \
                      Coordinates are pixels from the upper left corner.",
        schema: computer,
    },
    Known {
        prefix: "memory_",
        description: "Reads and keeps notes in files below /memories that outlive the conversation. \
                      Look there before starting to work.",
        schema: |_| memory(),
    },
];

/// The function for a tool of type `kind` with the caller's name for it; `None` when the type is not one
/// that the caller runs. `display` is the size of the screen, where the tool has one.
pub(super) fn function(kind: &str, name: String, display: Option<(u64, u64)>) -> Option<Function> {
    let known = KNOWN.iter().find(|known| {
        kind.strip_prefix(known.prefix)
            .is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
    })?;
    let mut description = known.description.to_owned();
    if let Some((width, height)) = display {
        description.push_str(&format!(" The display has {width} x {height} pixels."));
    }
    Some(Function {
        name,
        description: Some(description),
        schema: Some(raw((known.schema)(kind))),
        strict: None,
        freeform: false,
        cache: None,
    })
}

fn raw(schema: String) -> Raw {
    json::raw(schema)
}

/// A list of words as JSON.
fn words(words: &[&str]) -> String {
    json::array(words.iter().map(|word| format!("\"{word}\"")))
}

fn text_editor(kind: &str) -> String {
    let mut commands = vec!["view", "create", "str_replace", "insert"];
    if matches!(kind, "text_editor_20241022" | "text_editor_20250124") {
        commands.push("undo_edit");
    }
    let commands = words(&commands);
    format!(
        r#"{{"type":"object","properties":{{"command":{{"type":"string","enum":{commands}}},"path":{{"type":"string","description":"The file or folder."}},"view_range":{{"type":"array","items":{{"type":"integer"}},"description":"First and last line to view; -1 is the end."}},"file_text":{{"type":"string","description":"The text of a file to create."}},"old_str":{{"type":"string","description":"The text to replace."}},"new_str":{{"type":"string","description":"The text to put there."}},"insert_line":{{"type":"integer","description":"The line to insert behind; 0 is the beginning."}},"insert_text":{{"type":"string","description":"The text to insert."}}}},"required":["command","path"]}}"#
    )
}

fn computer(kind: &str) -> String {
    let mut actions = vec![
        "screenshot",
        "key",
        "type",
        "mouse_move",
        "left_click",
        "left_click_drag",
        "right_click",
        "middle_click",
        "double_click",
        "cursor_position",
    ];
    let mut more = String::new();
    if kind != "computer_20241022" {
        actions.extend([
            "triple_click",
            "left_mouse_down",
            "left_mouse_up",
            "scroll",
            "hold_key",
            "wait",
        ]);
        more.push_str(r#","scroll_direction":{"type":"string","enum":["up","down","left","right"]},"scroll_amount":{"type":"integer","description":"Steps to scroll."},"duration":{"type":"number","description":"Seconds to hold or to wait."}"#);
    }
    if !matches!(kind, "computer_20241022" | "computer_20250124") {
        actions.push("zoom");
        more.push_str(r#","region":{"type":"array","items":{"type":"integer"},"description":"Left, top, right and bottom of what to zoom into."}"#);
    }
    let actions = words(&actions);
    format!(
        r#"{{"type":"object","properties":{{"action":{{"type":"string","enum":{actions}}},"coordinate":{{"type":"array","items":{{"type":"integer"}},"description":"Where: x and y."}},"start_coordinate":{{"type":"array","items":{{"type":"integer"}},"description":"Where a drag begins: x and y."}},"text":{{"type":"string","description":"What to type, or the keys to press."}}{more}}},"required":["action"]}}"#
    )
}

fn memory() -> String {
    let commands = words(&[
        "view",
        "create",
        "str_replace",
        "insert",
        "delete",
        "rename",
    ]);
    format!(
        r#"{{"type":"object","properties":{{"command":{{"type":"string","enum":{commands}}},"path":{{"type":"string","description":"The file or folder below /memories."}},"view_range":{{"type":"array","items":{{"type":"integer"}}}},"file_text":{{"type":"string"}},"old_str":{{"type":"string"}},"new_str":{{"type":"string"}},"insert_line":{{"type":"integer"}},"insert_text":{{"type":"string"}},"old_path":{{"type":"string","description":"What to rename."}},"new_path":{{"type":"string","description":"Its new name."}}}},"required":["command"]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn tools_of_the_caller_get_a_schema_and_others_do_not() {
        for (kind, field, allowed, missing) in [
            ("bash_20250124", "command", None, None),
            (
                "text_editor_20250124",
                "command",
                Some("undo_edit"),
                Some("rename"),
            ),
            (
                "text_editor_20250728",
                "command",
                Some("str_replace"),
                Some("undo_edit"),
            ),
            ("computer_20241022", "action", Some("key"), Some("scroll")),
            ("computer_20250124", "action", Some("scroll"), Some("zoom")),
            ("computer_20251124", "action", Some("zoom"), None),
            ("memory_20250818", "command", Some("rename"), None),
        ] {
            let tool = function(kind, "t".to_owned(), Some((1024, 768))).expect(kind);
            assert!(
                tool.description
                    .is_some_and(|text| text.contains("1024 x 768"))
            );
            let schema: Value = serde_json::from_str(tool.schema.expect("one").get()).expect(kind);
            assert_eq!(schema["type"], "object", "{kind}");
            let choices = &schema["properties"][field]["enum"];
            let has = |word: &str| {
                choices
                    .as_array()
                    .is_some_and(|list| list.contains(&word.into()))
            };
            assert!(allowed.is_none_or(has), "{kind}");
            assert!(!missing.is_some_and(has), "{kind}");
        }
        for kind in ["web_search_20250305", "code_execution_20250825", "bash_x"] {
            assert!(function(kind, "t".to_owned(), None).is_none(), "{kind}");
        }
    }
}
