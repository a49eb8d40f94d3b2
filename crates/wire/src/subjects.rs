//! What policy rules judge of a body: tools, MCP servers, URLs, each with its place (data-plane 11).
//!
//! A body is walked once, as text, without building a tree; every value is handed out the moment it is
//! read, in document order. What a rule is about must not slip past it, so wherever two readers of a body
//! could understand it differently, all readings are handed out:
//!
//! - Text is judged after its escapes are undone, member names too.
//! - Members that stand twice are judged twice, because providers differ on which one counts.
//! - Member names that decide something are found in any letter case, with and without underscores, and with
//!   the two letters that are not ASCII but fold to it, because readers written in Go do so.
//! - Every shape of a tool is looked for on every surface: a body may travel on to a provider that reads
//!   more than its surface promises. Where a list is expected, its only element will do, as for Google.
//! - A body that is not strict JSON is [`Unreadable`], and so is a judged value with half a character.
//!
//! A choice of a tool (`tool_choice`, `function_call`, `allowedFunctionNames`) is not judged: it can only
//! name what the body declares, and that is. Normalising texts (full-width letters, characters without
//! width) is left out on purpose: to a provider such a name is another name. What a body merely points at,
//! such as a stored prompt with tools of its own, cannot be seen here.
//!
//! Must never skip what a provider reads, and never take time out of proportion to the body. Start at
//! [`visit`].

mod scan;
mod urls;
mod walk;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use self::walk::{Halt, Walk};
use crate::Surface;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The name of a tool, or the type of one that the provider runs.
    Tool,
    /// The name, label, id or address of an MCP server.
    Mcp,
    /// A URL in any text.
    Url,
}

/// Which kinds are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// [`Kind::Tool`].
    pub tools: bool,
    /// [`Kind::Mcp`].
    pub mcp: bool,
    /// [`Kind::Url`].
    pub urls: bool,
}

impl Wants {
    const fn kind(self, kind: Kind) -> bool {
        let Self { tools, mcp, urls } = self;
        match kind {
            Kind::Tool => tools,
            Kind::Mcp => mcp,
            Kind::Url => urls,
        }
    }
}

/// One value that rules judge.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// What it is.
    pub kind: Kind,
    /// The value, decoded.
    pub value: &'s str,
    /// Another name of the same thing: `google_search` for `googleSearch`, `web_search` for
    /// `web_search_20250305`. A denied one denies both, an allowed one allows both.
    pub alias: Option<&'s str>,
    /// Where it stands.
    pub place: Place<'s>,
}

/// Where a value stands in a body. Displayed as `tools[0].function.name`: members as they are written
/// in the body, cut at [`LONGEST_PLACE`] bytes or a little less.
#[derive(Debug, Clone, Copy)]
pub struct Place<'s>(&'s [Step<'s>]);

/// The most bytes of a displayed [`Place`], before the mark that something was cut.
pub const LONGEST_PLACE: usize = 256;

/// One step from a value to a value inside of it.
#[derive(Debug, Clone)]
enum Step<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for step in self.0 {
            let piece = match step {
                Step::Element(index) => format!("[{index}]"),
                Step::Member(key) if key.len() > LONGEST_PLACE => return f.write_str("…"),
                Step::Member(key) => {
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-$".contains(&byte);
                    if key.is_empty() || !key.bytes().all(plain) {
                        format!("[{}]", serde_json::Value::from(key.as_ref()))
                    } else if written == 0 {
                        key.clone().into_owned()
                    } else {
                        format!(".{key}")
                    }
                }
            };
            written += piece.len();
            if written > LONGEST_PLACE {
                return f.write_str("…");
            }
            f.write_str(&piece)?;
        }
        Ok(())
    }
}

/// Why a body cannot be judged. A request whose rules need the body must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not JSON.
    NotJson {
        /// Where that shows, in bytes.
        at: usize,
    },
    /// It is JSON, but no object.
    NotAnObject,
    /// It is nested deeper than anybody reads.
    TooDeep,
    /// A value that rules judge has half of a surrogate pair, which every reader mends in its own way.
    HalfCharacter,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { at } => {
                write!(f, "the body cannot be parsed: it is not JSON at byte {at}")
            }
            Self::NotAnObject => f.write_str("the body cannot be parsed: it is not a JSON object"),
            Self::TooDeep => f.write_str("the body cannot be parsed: it is nested too deeply"),
            Self::HalfCharacter => f.write_str(
                "the body cannot be parsed: a tool, MCP server or URL in it has an unpaired surrogate",
            ),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Hands out what `wants` asks for, in document order, until `found` breaks; what it broke with is the
/// answer. A body of no bytes has nothing to judge.
///
/// A URL that the body repeats is handed out once, with its first place; only after a thousand
/// different ones it may come again.
///
/// # Errors
/// See [`Unreadable`]. What stood before the fault was handed out.
pub fn visit<B>(
    surface: Surface,
    body: &[u8],
    wants: Wants,
    mut found: impl FnMut(&Subject<'_>) -> ControlFlow<B>,
) -> Result<Option<B>, Unreadable> {
    if body.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotJson {
        at: error.valid_up_to(),
    })?;
    stoppable(&mut found, |found| {
        Walk::new(surface, text, wants, found).run()
    })
}

/// Hands out the URLs of a text that is no JSON, such as a part of a form, which `part` names.
pub fn visit_text<B>(
    part: &str,
    text: &str,
    mut found: impl FnMut(&Subject<'_>) -> ControlFlow<B>,
) -> Option<B> {
    let place = [Step::Member(Cow::Borrowed(part))];
    let mut broke = None;
    let _ = urls::urls(text, |url| {
        let subject = Subject {
            kind: Kind::Url,
            value: &url,
            alias: None,
            place: Place(&place),
        };
        match found(&subject) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(with) => {
                broke = Some(with);
                ControlFlow::Break(())
            }
        }
    });
    broke
}

/// What the walk calls with each subject; it breaks to stop the walk.
type Found<'f> = dyn FnMut(&Subject<'_>) -> ControlFlow<()> + 'f;

/// Runs a walk that does not know what its caller breaks with.
fn stoppable<B>(
    found: &mut impl FnMut(&Subject<'_>) -> ControlFlow<B>,
    walk: impl FnOnce(&mut Found<'_>) -> Result<(), Halt>,
) -> Result<Option<B>, Unreadable> {
    let mut broke = None;
    let walked = walk(&mut |subject| match found(subject) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(with) => {
            broke = Some(with);
            ControlFlow::Break(())
        }
    });
    match walked {
        Ok(()) | Err(Halt::Stopped) => Ok(broke),
        Err(Halt::Unreadable(why)) => Err(why),
    }
}
