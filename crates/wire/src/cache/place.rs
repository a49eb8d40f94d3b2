//! Where a new marker can stand in a Messages body.
//!
//! Anthropic refuses markers on thinking, on empty text and on tools that are loaded later; then it is the
//! last block before those. What cannot be judged, because a deciding key stands twice in it, gets no
//! marker. Start at [`in_content`] and [`in_tools`].

use std::borrow::Cow;
use std::ops::Range;

use super::DIRECTIVE;
use super::scan::{elements, is, members, text, text_is};

/// Blocks that take a marker.
const MARKABLE: [&str; 16] = [
    "text",
    "image",
    "document",
    "search_result",
    "tool_use",
    "tool_result",
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
    "container_upload",
];

/// How a marker is put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// As the last member of an object that is not empty; its closing brace stands here.
    Member {
        /// Offset of the brace.
        close: usize,
    },
    /// In the place of the `null` that says there is none.
    Null(Range<usize>),
    /// On the block that the text here becomes.
    Text(Range<usize>),
}

/// What can be done with an element.
enum Verdict {
    /// It takes no marker: one before it may.
    Unsuited,
    /// It has one, or nobody can tell: nothing is done.
    Taken,
    /// It takes one.
    Free(Place),
}

/// The last place in what may stand under `system` or `content`: a text, or a list of blocks.
pub(super) fn in_content(body: &[u8], value: &Range<usize>) -> Option<Place> {
    match body.get(value.start)? {
        b'"' => is_said(body, value).then(|| Place::Text(value.clone())),
        _ => last(body, value, block),
    }
}

/// The last place in the last of some messages.
pub(super) fn in_last_message(body: &[u8], messages: &Range<usize>) -> Option<Place> {
    let last = elements(body, messages).pop()?;
    let message = members(body, &last);
    match named(body, &message, "content") {
        Named::Once(content) => in_content(body, content),
        Named::Never | Named::Twice => None,
    }
}

/// The last place in a list of tools.
pub(super) fn in_tools(body: &[u8], tools: &Range<usize>) -> Option<Place> {
    last(body, tools, tool)
}

fn last(body: &[u8], list: &Range<usize>, judge: fn(&[u8], &Members) -> bool) -> Option<Place> {
    let verdicts = elements(body, list).into_iter().rev();
    for at in verdicts {
        match verdict(body, &at, judge) {
            Verdict::Unsuited => {}
            Verdict::Taken => return None,
            Verdict::Free(place) => return Some(place),
        }
    }
    None
}

type Members = [(Range<usize>, Range<usize>)];

fn verdict(body: &[u8], at: &Range<usize>, is_suited: fn(&[u8], &Members) -> bool) -> Verdict {
    let found = members(body, at);
    let place = match named(body, &found, DIRECTIVE) {
        Named::Never => Place::Member {
            close: at.end.saturating_sub(1),
        },
        Named::Once(value) if is(body, value, "null") => Place::Null(value.clone()),
        Named::Once(_) | Named::Twice => return Verdict::Taken,
    };
    if is_suited(body, &found) {
        Verdict::Free(place)
    } else {
        Verdict::Unsuited
    }
}

/// How often a member stands in an object.
enum Named<'a> {
    Never,
    Once(&'a Range<usize>),
    Twice,
}

fn named<'a>(body: &[u8], members: &'a Members, name: &str) -> Named<'a> {
    let mut values = members
        .iter()
        .filter(|(key, _)| text_is(body, key, name))
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Named::Never,
        (Some(value), None) => Named::Once(value),
        (Some(_), Some(_)) => Named::Twice,
    }
}

fn word<'a>(body: &'a [u8], members: &Members, name: &str) -> Option<Cow<'a, str>> {
    match named(body, members, name) {
        Named::Once(value) => text(body, value),
        Named::Never | Named::Twice => None,
    }
}

/// Whether a content block takes a marker.
fn block(body: &[u8], members: &Members) -> bool {
    let Some(kind) = word(body, members, "type") else {
        return false;
    };
    match &*kind {
        "text" => match named(body, members, "text") {
            Named::Once(value) => is_said(body, value),
            Named::Never | Named::Twice => false,
        },
        kind => MARKABLE.contains(&kind),
    }
}

/// Whether a tool takes a marker: not one that is loaded when it is searched for, nor a set of tools that
/// only their server knows.
fn tool(body: &[u8], members: &Members) -> bool {
    let is_later = match named(body, members, "defer_loading") {
        Named::Never => false,
        Named::Once(value) => !is(body, value, "false") && !is(body, value, "null"),
        Named::Twice => true,
    };
    let is_set = word(body, members, "type").is_some_and(|kind| kind == "mcp_toolset");
    !members.is_empty() && !is_later && !is_set
}

/// Whether there is more than blanks in the text at `value`.
fn is_said(body: &[u8], value: &Range<usize>) -> bool {
    text(body, value).is_some_and(|text| !text.trim().is_empty())
}
