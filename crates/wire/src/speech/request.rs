//! The texts of a request in any dialect: what the caller wrote, what tools answered, what the model said before.
//!
//! Texts are found by the keys that hold them, whatever type a part claims to be: a part with a false type is
//! still read by some provider. Definitions and calls of tools are no texts, nor is reasoning, which is sealed.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Piece, Unreadable, edits, place, quoted, whole};
use crate::capture::raw;
use crate::splice::Edits;

/// How deep texts may be nested. The deepest that a dialect has is a document in a tool result: nine.
const DEEPEST: u8 = 40;

/// What guardrails look at in a request.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// All texts that reach the model, in the order of the body.
    pub texts: Vec<Piece<'a>>,
    /// Which of the texts are the parts of one message: the model reads each of these runs in one piece.
    pub runs: Vec<Range<usize>>,
    body: &'a str,
    members: Vec<(Role, &'a RawValue)>,
}

/// What a top-level member is to a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Messages,
    Input,
    System,
    Instructions,
    Prompt,
    /// Texts without a place of their own in the content of a check.
    Other,
    Tools,
    Mcps,
}

fn role(key: &str) -> Option<Role> {
    Some(match key {
        "messages" | "contents" => Role::Messages,
        "input" => Role::Input,
        "system" | "systemInstruction" | "system_instruction" => Role::System,
        "instructions" => Role::Instructions,
        "prompt" => Role::Prompt,
        "content"
        | "title"
        | "requests"
        | "prediction"
        | "generateContentRequest"
        | "generate_content_request" => Role::Other,
        "tools" => Role::Tools,
        "mcp_servers" => Role::Mcps,
        _ => return None,
    })
}

impl<'a> Request<'a> {
    /// Reads a JSON body of any surface.
    ///
    /// # Errors
    /// See [`Unreadable`]. A body that holds no text is none: its `texts` are empty.
    pub fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let (body, whole) = whole(body)?;
        if !raw::is_object(whole) {
            return Err(Unreadable::NotAnObject);
        }
        let mut request = Self {
            body,
            ..Self::default()
        };
        let mut walk = Walk {
            body,
            texts: Vec::new(),
            runs: Vec::new(),
            too_deep: false,
        };
        raw::members(whole, |key, value| {
            let Some(role) = role(&raw::name(key)) else {
                return;
            };
            match role {
                Role::Tools | Role::Mcps => {}
                Role::Prompt if raw::is_object(value) => walk.prompt(value),
                Role::System => walk.parts(value, 0),
                _ => walk.visit(value, 0),
            }
            request.members.push((role, value));
        });
        if walk.too_deep {
            return Err(Unreadable::TooDeep);
        }
        request.texts = walk.texts;
        request.runs = walk.runs;
        Ok(request)
    }

    /// The edits that put changed texts back: one for each of `self.texts`.
    #[must_use]
    pub fn with_texts(&self, texts: &[String]) -> Edits {
        let pieces = self.texts.iter().map(|piece| (&*piece.text, &piece.at));
        edits(pieces, texts)
    }

    fn member(&self, wanted: Role) -> Option<&'a RawValue> {
        let mut members = self.members.iter().rev();
        members
            .find(|(role, value)| *role == wanted && value.get() != "null")
            .map(|(_, value)| *value)
    }

    /// The list that a conversation is: `messages`, `contents`, or `input` when it is a list of items.
    fn conversation(&self) -> Option<&'a RawValue> {
        let items = || {
            let holds_items = |list: &&RawValue| {
                let mut objects = false;
                raw::elements(list, |element| objects |= raw::is_object(element));
                raw::is_array(list) && objects
            };
            self.member(Role::Input).filter(holds_items)
        };
        self.member(Role::Messages).or_else(items)
    }

    /// The content of a check (internal-protocol 9): members as they stand in the body. A request without a
    /// conversation shows its texts as messages of a user.
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        let conversation = self.conversation();
        let messages = conversation.map_or_else(
            || Messages::Made(self.made().collect()),
            Messages::AsTheyStand,
        );
        let input = self
            .member(Role::Input)
            .filter(|input| conversation.is_none_or(|list| !std::ptr::eq(list, *input)));
        Content {
            messages,
            tools: self.member(Role::Tools).map_or(List::Empty([]), List::Raw),
            mcps: self.member(Role::Mcps).map_or(List::Empty([]), List::Raw),
            input,
            system: self.member(Role::System),
            instructions: self.member(Role::Instructions),
            prompt: self.member(Role::Prompt),
        }
    }

    /// The texts that no member of their own shows, as messages.
    fn made(&self) -> impl Iterator<Item = Made<'_>> {
        let elsewhere = [Role::System, Role::Instructions].map(|role| self.member(role));
        let shown = move |piece: &Piece<'_>| {
            elsewhere.iter().flatten().any(|member| {
                let at = place(self.body, member);
                at.start <= piece.at.start && piece.at.end <= at.end
            })
        };
        let pieces = self.texts.iter().enumerate();
        pieces
            .filter(move |(_, piece)| !shown(piece))
            .map(|(index, piece)| Made {
                role: "user",
                content: &piece.text,
                index,
            })
    }

    /// The edits that put what a check answered in the place of what it was sent ([`Self::content`]).
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn with_content(&self, modified: &Modified<'_>) -> Result<Edits, Unfit> {
        let Modified {
            messages,
            input,
            system,
            instructions,
        } = modified;
        if [messages, input, system, instructions]
            .iter()
            .all(|member| member.is_none())
        {
            return Err(Unfit::Nothing);
        }
        let mut edits = Edits::default();
        let singles = [
            (Role::System, system, "system"),
            (Role::Instructions, instructions, "instructions"),
        ];
        for (role, new, name) in singles {
            if let Some(new) = new {
                let old = self.member(role).ok_or(Unfit::NotSent(name))?;
                self.replace(&mut edits, old, new, name)?;
            }
        }
        let sent = self.content();
        let changed_input = match (input, sent.input) {
            (Some(new), Some(old)) => {
                self.replace(&mut edits, old, new, "input")?;
                new.get() != old.get()
            }
            (Some(_), None) => return Err(Unfit::NotSent("input")),
            (None, _) => false,
        };
        // An answer that repeats all that it was sent and changes one spelling of the texts means that one.
        if let Some(new) = messages
            && !changed_input
        {
            self.replace_messages(&mut edits, &sent, new)?;
        }
        Ok(edits)
    }

    fn replace(
        &self,
        edits: &mut Edits,
        old: &RawValue,
        new: &RawValue,
        name: &'static str,
    ) -> Result<(), Unfit> {
        let fits = ['"', '[', '{']
            .iter()
            .any(|first| new.get().starts_with(*first));
        if !fits {
            return Err(Unfit::Shape(name));
        }
        if new.get() != old.get() {
            let text = Bytes::copy_from_slice(new.get().as_bytes());
            edits.replace(place(self.body, old), text);
        }
        Ok(())
    }

    fn replace_messages(
        &self,
        edits: &mut Edits,
        sent: &Content<'_>,
        new: &RawValue,
    ) -> Result<(), Unfit> {
        if !raw::is_array(new) {
            return Err(Unfit::Shape("messages"));
        }
        let made = match &sent.messages {
            Messages::AsTheyStand(old) => return self.replace(edits, old, new, "messages"),
            Messages::Made(made) => made,
        };
        let new: Vec<Back<'_>> =
            serde_json::from_str(new.get()).map_err(|_wrong| Unfit::Shape("messages"))?;
        if new.len() != made.len() {
            return Err(Unfit::Shape("messages"));
        }
        for (old, new) in made.iter().zip(new) {
            if let Some(piece) = self.texts.get(old.index)
                && *new.content != *old.content
            {
                edits.replace(piece.at.clone(), quoted(&new.content));
            }
        }
        Ok(())
    }
}

/// What a check is asked about a request.
#[derive(Debug, Serialize)]
pub struct Content<'a> {
    messages: Messages<'a>,
    tools: List<'a>,
    mcps: List<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Messages<'a> {
    AsTheyStand(&'a RawValue),
    Made(Vec<Made<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum List<'a> {
    Raw(&'a RawValue),
    Empty([(); 0]),
}

/// A text as a message.
#[derive(Debug, Serialize)]
struct Made<'a> {
    role: &'static str,
    content: &'a str,
    /// Which of the request's texts it is.
    #[serde(skip)]
    index: usize,
}

/// A made message as it comes back.
#[derive(Deserialize)]
struct Back<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// What a check answers in the place of [`Content`]: whole members, in the shape that they were sent.
#[derive(Debug, Default, Deserialize)]
pub struct Modified<'a> {
    /// The conversation.
    #[serde(borrow, default)]
    pub messages: Option<&'a RawValue>,
    /// The input, where it was sent by itself.
    #[serde(borrow, default)]
    pub input: Option<&'a RawValue>,
    /// The system prompt.
    #[serde(borrow, default)]
    pub system: Option<&'a RawValue>,
    /// The instructions.
    #[serde(borrow, default)]
    pub instructions: Option<&'a RawValue>,
}

/// Why an answer does not fit the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It holds none of the members.
    Nothing,
    /// It holds a member that was not sent.
    NotSent(&'static str),
    /// A member is not of the shape that was sent.
    Shape(&'static str),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("it holds no content"),
            Self::NotSent(name) => write!(f, "it holds `{name}`, which was not sent"),
            Self::Shape(name) => write!(f, "`{name}` is not of the shape that was sent"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Gathers texts.
struct Walk<'a> {
    body: &'a str,
    texts: Vec<Piece<'a>>,
    runs: Vec<Range<usize>>,
    too_deep: bool,
}

impl<'a> Walk<'a> {
    /// A value whose strings are texts, or which holds parts.
    fn visit(&mut self, value: &'a RawValue, depth: u8) {
        if depth > DEEPEST {
            self.too_deep = true;
        } else if raw::is_object(value) {
            self.object(value, depth);
        } else if raw::is_array(value) {
            raw::elements(value, |element| self.visit(element, depth + 1));
        } else if let Some(piece) = Piece::of(self.body, value) {
            self.texts.push(piece);
        }
    }

    /// A value that is a text, or a list of the parts of one.
    fn parts(&mut self, value: &'a RawValue, depth: u8) {
        let (first, inner) = (self.texts.len(), self.runs.len());
        self.visit(value, depth);
        // The innermost list is the run: otherwise nested lists would multiply the texts.
        let run = first..self.texts.len();
        if raw::is_array(value) && run.len() > 1 && self.runs.len() == inner {
            self.runs.push(run);
        }
    }

    fn object(&mut self, object: &'a RawValue, depth: u8) {
        let mut members: Vec<(Cow<'a, str>, &'a RawValue)> = Vec::new();
        raw::members(object, |key, value| members.push((raw::name(key), value)));
        let values = |name: &'static str| members.iter().filter(move |(key, _)| key == name);
        let mut types = values("type").filter_map(|(_, value)| raw::string(value));
        let kind = types.next().unwrap_or_default();
        // Twice is a trick.
        let certain = types.next().is_none();
        let sealed = matches!(&*kind, "thinking" | "redacted_thinking" | "reasoning")
            || values("thought").any(|(_, value)| value.get() == "true");
        if sealed && certain && values("thought").count() <= 1 {
            return;
        }
        let plain_source = kind == "text" || !certain;
        for (key, value) in &members {
            match &**key {
                "content"
                | "contents"
                | "text"
                | "parts"
                | "output"
                | "refusal"
                | "transcript"
                | "stdout"
                | "stderr"
                | "results"
                | "title"
                | "context"
                | "source"
                | "system"
                | "systemInstruction"
                | "system_instruction"
                | "codeExecutionResult"
                | "code_execution_result" => self.parts(value, depth + 1),
                "data" if plain_source => self.visit(value, depth + 1),
                "functionResponse" | "function_response" => {
                    if let Some(response) = raw::member(value, "response") {
                        self.every(response, depth + 1);
                    }
                }
                _ => {}
            }
        }
    }

    /// A value that a tool made: all of its strings are texts.
    fn every(&mut self, value: &'a RawValue, depth: u8) {
        if depth > DEEPEST {
            self.too_deep = true;
        } else if raw::is_object(value) {
            raw::members(value, |_key, value| self.every(value, depth + 1));
        } else if raw::is_array(value) {
            raw::elements(value, |element| self.every(element, depth + 1));
        } else if let Some(piece) = Piece::of(self.body, value) {
            self.texts.push(piece);
        }
    }

    /// A stored prompt: the caller's words are what its variables are filled with.
    fn prompt(&mut self, prompt: &'a RawValue) {
        raw::members(prompt, |key, variables| {
            if raw::name(key) == "variables" {
                raw::members(variables, |_name, value| self.visit(value, 0));
            }
        });
    }
}
