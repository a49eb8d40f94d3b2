//! The walk through a body: which member means what.
//!
//! A value has a [`Role`], told by where it stands; whatever has none is searched for URLs alone. Must
//! never leave a value unread, so that all of a body is known to be JSON. Start at [`Walk::run`].

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::scan::{Next, Scan, Text};
use super::urls::urls;
use super::{Found, Kind, Place, Step, Subject, Unreadable, Wants};
use crate::Surface;

/// The most different URLs that are remembered, so that none is handed out twice.
const REMEMBERED: usize = 1_024;

/// Types of tools whose names are their callers' own, or that stand for MCP servers or for lists of tools.
/// Every other type is a tool that the provider runs.
const NOT_A_TOOL: [&str; 5] = ["function", "custom", "namespace", "mcp", "mcp_toolset"];

/// Tools that Google runs: a tool has one of them as its member. Folded.
const OF_GOOGLE: [&str; 10] = [
    "googlesearch",
    "googlesearchretrieval",
    "googlemaps",
    "codeexecution",
    "computeruse",
    "enterprisewebsearch",
    "filesearch",
    "parallelaisearch",
    "retrieval",
    "urlcontext",
];

/// Why a walk ends before its body does.
#[derive(Debug)]
pub(super) enum Halt {
    Unreadable(Unreadable),
    /// Whoever is handed the subjects wants no more.
    Stopped,
}

impl From<Unreadable> for Halt {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

/// What a value is. A list of something has the same role as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The request, or one inside of another: `session` (realtime), `generateContentRequest` (Gemini).
    Request,
    /// A tool.
    Tool,
    /// What tells the name of a tool: the `function` of a chat tool, a declaration of Gemini.
    Function,
    /// The name of a tool.
    Name,
    /// The MCP servers: a list, or an object with a member for each.
    Servers,
    /// An MCP server.
    Server,
    /// How an MCP server is reached, for Gemini.
    Transport,
    /// The name or the address of an MCP server.
    Label,
    /// An input item of the Responses API.
    Item,
    /// A cache marker, whose texts no model reads.
    Marker,
    /// Anything else.
    Plain,
}

/// A value that comes next.
#[derive(Debug, Clone, Copy)]
struct Part {
    role: Role,
    /// Whether a cache marker may be a member of it: it lies on the way to a system prompt, a message,
    /// a block of content or a tool.
    marked: bool,
}

impl Part {
    const fn new(role: Role) -> Self {
        Self {
            role,
            marked: false,
        }
    }

    /// An element of this list.
    fn element(self) -> Self {
        let role = match self.role {
            Role::Servers => Role::Server,
            role => role,
        };
        Self { role, ..self }
    }

    /// The member `key` of this, in the role that it has there.
    fn member(self, key: &str, role: Role) -> Self {
        let carries = match self.role {
            Role::Request => ["system", "messages", "tools", "input"].contains(&key),
            _ => ["content", "source"].contains(&key),
        };
        Self {
            role,
            marked: self.marked && carries,
        }
    }
}

/// A walk through one body.
pub(super) struct Walk<'a, 'f, 'g> {
    scan: Scan<'a>,
    wants: Wants,
    /// Whether every unknown member of a tool is a tool.
    google: bool,
    path: Vec<Step<'a>>,
    seen: HashSet<Box<str>>,
    found: &'f mut Found<'g>,
}

impl<'a, 'f, 'g> Walk<'a, 'f, 'g> {
    pub(super) fn new(
        surface: Surface,
        body: &'a str,
        wants: Wants,
        found: &'f mut Found<'g>,
    ) -> Self {
        Self {
            scan: Scan::new(body),
            wants,
            google: surface.is_gemini(),
            path: Vec::new(),
            seen: HashSet::new(),
            found,
        }
    }

    /// Reads the body to its end.
    pub(super) fn run(mut self) -> Result<(), Halt> {
        let part = Part {
            role: Role::Request,
            marked: true,
        };
        let next = self.scan.next()?;
        self.rest(next, part)?;
        self.scan.end()?;
        if next == Next::Object {
            Ok(())
        } else {
            Err(Unreadable::NotAnObject.into())
        }
    }

    fn value(&mut self, part: Part) -> Result<(), Halt> {
        let next = self.scan.next()?;
        self.rest(next, part)
    }

    /// Reads the rest of a value that has begun.
    fn rest(&mut self, next: Next<'a>, part: Part) -> Result<(), Halt> {
        match next {
            Next::Null | Next::Scalar => Ok(()),
            Next::Text(text) => {
                match part.role {
                    Role::Tool | Role::Function | Role::Name => {
                        self.give_text(Kind::Tool, text, None)?;
                    }
                    Role::Servers | Role::Server | Role::Label => {
                        self.give_text(Kind::Mcp, text, None)?
                    }
                    Role::Marker => return Ok(()),
                    Role::Request | Role::Transport | Role::Item | Role::Plain => {}
                }
                self.urls(text)
            }
            Next::Array => {
                let part = part.element();
                let mut index = 0;
                while self.scan.element(index == 0)? {
                    self.path.push(Step::Element(index));
                    self.value(part)?;
                    self.path.pop();
                    index += 1;
                }
                Ok(())
            }
            Next::Object => match part.role {
                Role::Request => self.request(part),
                Role::Tool => self.tool(part),
                Role::Servers | Role::Server => self.server(part),
                Role::Function => self.one_of(part, &["name"], Role::Name),
                Role::Transport => self.one_of(part, &["url"], Role::Label),
                Role::Item => self.one_of(part, &["tools"], Role::Tool),
                Role::Marker => self.members(part, |walk, _| walk.value(part)),
                Role::Name | Role::Label | Role::Plain => self.one_of(part, &[], Role::Plain),
            },
        }
    }

    /// Reads an object up to its end. `each` reads the value of one member.
    fn members(
        &mut self,
        part: Part,
        mut each: impl FnMut(&mut Self, &Cow<'a, str>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut first = true;
        while let Some(text) = self.scan.member(first)? {
            first = false;
            let (key, _) = text.decode();
            self.path.push(Step::Member(key.clone()));
            if part.role != Role::Marker {
                self.urls(text)?;
            }
            if part.marked && key == "cache_control" {
                let next = self.scan.next()?;
                let role = match next {
                    Next::Object => Role::Marker,
                    _ => Role::Plain,
                };
                self.rest(next, Part::new(role))?;
            } else {
                each(self, &key)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// An object of which only the members `keys` have a role.
    fn one_of(&mut self, part: Part, keys: &[&str], role: Role) -> Result<(), Halt> {
        self.members(part, |walk, key| {
            let known = !keys.is_empty() && keys.contains(&folded(key).as_str());
            let role = if known { role } else { Role::Plain };
            walk.value(part.member(key, role))
        })
    }

    fn request(&mut self, part: Part) -> Result<(), Halt> {
        self.members(part, |walk, key| {
            let role = match folded(key).as_str() {
                "tools" | "functions" => Role::Tool,
                "mcpservers" | "mcp" | "mcps" => Role::Servers,
                "input" => Role::Item,
                "session" | "generatecontentrequest" => Role::Request,
                // Chat models of OpenAI and xAI search the web because of these, without any tool.
                "websearchoptions" | "searchparameters" => {
                    return walk.switch(part, key, Some("web_search"));
                }
                _ => Role::Plain,
            };
            walk.value(part.member(key, role))
        })
    }

    fn tool(&mut self, part: Part) -> Result<(), Halt> {
        let mut types = Vec::new();
        let mut names = Vec::new();
        self.members(part, |walk, key| {
            let folded = folded(key);
            let role = match folded.as_str() {
                "name" => Role::Name,
                "function" | "custom" | "functiondeclarations" => Role::Function,
                "tools" => Role::Tool,
                "serverlabel" | "serverurl" | "connectorid" | "mcpservername" => Role::Label,
                "mcpservers" => Role::Servers,
                "type" => Role::Plain,
                name if walk.google || OF_GOOGLE.contains(&name) => {
                    return walk.switch(part, key, other_case(key).as_deref());
                }
                _ => Role::Plain,
            };
            let next = walk.scan.next()?;
            if let Next::Text(text) = next {
                match folded.as_str() {
                    "name" => names.push(text),
                    "type" => types.push((key.clone(), text)),
                    _ => {}
                }
            }
            walk.rest(next, part.member(key, role))
        })?;
        let alone = match (names.as_slice(), types.len()) {
            ([name], 1) => Some(name.decode().0),
            _ => None,
        };
        for (key, text) in types {
            let kind = text.decode().0;
            if NOT_A_TOOL.contains(&kind.as_ref()) {
                continue;
            }
            // Anthropic dates the types of its tools: `web_search_20250305` is `web_search`.
            let dated = |name: &&str| {
                let date = kind
                    .strip_prefix(name)
                    .and_then(|end| end.strip_prefix('_'));
                date.is_some_and(|date| {
                    !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit())
                })
            };
            let alias = alone.as_deref().filter(dated);
            self.path.push(Step::Member(key));
            self.give_text(Kind::Tool, text, alias)?;
            self.path.pop();
        }
        Ok(())
    }

    fn server(&mut self, part: Part) -> Result<(), Halt> {
        let mut ids = Vec::new();
        let mut named = false;
        self.members(part, |walk, key| {
            let next = walk.scan.next()?;
            let role = match (folded(key).as_str(), next) {
                ("name", Next::Text(_)) => {
                    named = true;
                    Role::Label
                }
                ("id", Next::Text(text)) => {
                    ids.push((key.clone(), text));
                    Role::Plain
                }
                ("url" | "serverurl" | "serverlabel", _) => Role::Label,
                ("streamablehttptransport" | "transport", _) => Role::Transport,
                ("toolconfiguration" | "headers", _) => Role::Plain,
                (_, Next::Object) if part.role == Role::Servers => {
                    walk.give(Kind::Mcp, key, None)?;
                    Role::Server
                }
                _ => Role::Plain,
            };
            walk.rest(next, part.member(key, role))
        })?;
        if named {
            return Ok(());
        }
        for (key, text) in ids {
            self.path.push(Step::Member(key));
            self.give_text(Kind::Mcp, text, None)?;
            self.path.pop();
        }
        Ok(())
    }

    /// A member whose presence is a tool, unless it is `null`.
    fn switch(&mut self, part: Part, key: &str, alias: Option<&str>) -> Result<(), Halt> {
        let next = self.scan.next()?;
        if next != Next::Null {
            self.give(Kind::Tool, key, alias)?;
        }
        self.rest(next, part.member(key, Role::Plain))
    }

    fn give_text(&mut self, kind: Kind, text: Text<'_>, alias: Option<&str>) -> Result<(), Halt> {
        if !self.wants.kind(kind) {
            return Ok(());
        }
        match text.decode() {
            (value, true) => self.give(kind, &value, alias),
            (_, false) => Err(Unreadable::HalfCharacter.into()),
        }
    }

    fn give(&mut self, kind: Kind, value: &str, alias: Option<&str>) -> Result<(), Halt> {
        if !self.wants.kind(kind) {
            return Ok(());
        }
        let subject = Subject {
            kind,
            value,
            alias,
            place: Place(&self.path),
        };
        match (self.found)(&subject) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Halt::Stopped),
        }
    }

    /// Hands out the URLs of a text.
    fn urls(&mut self, text: Text<'_>) -> Result<(), Halt> {
        if !self.wants.urls || !text.may_have_colon() {
            return Ok(());
        }
        let (text, whole) = text.decode();
        let mut halt = Ok(());
        let _ = urls(&text, |url| {
            if self.seen.contains(url.as_ref()) {
                return ControlFlow::Continue(());
            }
            halt = if !whole && url.contains(char::REPLACEMENT_CHARACTER) {
                Err(Unreadable::HalfCharacter.into())
            } else {
                self.give(Kind::Url, &url, None)
            };
            if halt.is_err() {
                return ControlFlow::Break(());
            }
            if self.seen.len() < REMEMBERED {
                self.seen.insert(url.into());
            }
            ControlFlow::Continue(())
        });
        halt
    }
}

/// A member name as the laxest reader compares it: without case, without underscores, and with the letters
/// that Unicode folds to ASCII. A name that is longer than any that decides something folds to nothing.
fn folded(key: &str) -> String {
    if key.len() > 64 {
        return String::new();
    }
    key.chars()
        .filter(|letter| *letter != '_')
        .map(|letter| match letter {
            'ſ' => 's',
            '\u{212a}' => 'k',
            letter => letter.to_ascii_lowercase(),
        })
        .collect()
}

/// `googleSearch` for `google_search` and the other way round, which are the same to Google; `None` for a
/// single word.
fn other_case(key: &str) -> Option<String> {
    let mut out = String::with_capacity(key.len() + 4);
    if key.contains('_') {
        let mut words = key.split('_');
        out.push_str(words.next()?);
        for word in words {
            let mut letters = word.chars();
            out.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            out.push_str(letters.as_str());
        }
    } else {
        for letter in key.chars() {
            if letter.is_ascii_uppercase() && !out.is_empty() {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        }
    }
    (out != key).then_some(out)
}
