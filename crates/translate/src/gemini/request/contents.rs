//! Reads `contents`: turns, parts, and which response answers which call.
//!
//! Google's ids of calls are optional. A call without one gets an id by its position, so that the same
//! conversation always has the same ids; a response without one answers the first open call of its name.

use data_encoding::BASE64;
use serde_json::value::RawValue;

use crate::Problem;
use crate::gemini::fields::Fields;
use crate::gemini::seal;
use crate::ir::{Media, Part, Role, Source, Text, Thinking, ToolCall, ToolResult, Turn};
use crate::json;

/// Reads the conversation: a list of contents, one content, or texts in their place.
pub(super) fn turns(raw: &RawValue) -> Result<Vec<Turn>, Problem> {
    let mut calls = Calls::default();
    if !raw.get().starts_with('[') {
        return Ok(vec![turn(raw, "contents", &mut calls)?]);
    }
    let contents = json::list(raw, "contents")?;
    let contents = contents.into_iter().enumerate();
    contents
        .map(|(n, content)| turn(content, &format!("contents[{n}]"), &mut calls))
        .collect()
}

/// Reads instructions: a text, a part, or a content of texts.
pub(super) fn instructions(raw: &RawValue) -> Result<Vec<Part>, Problem> {
    const AT: &str = "systemInstruction";
    let read = if raw.get().starts_with('[') {
        parts(raw, AT, &mut Calls::default())?
    } else if json::is_text(raw) {
        vec![Part::text(text(raw))]
    } else {
        let mut fields = Fields::read(raw, AT)?;
        match fields.take("parts") {
            Some(list) => parts(list, "systemInstruction.parts", &mut Calls::default())?,
            None => vec![part(raw, AT, &mut Calls::default())?],
        }
    };
    if read.iter().all(|part| matches!(part, Part::Text(_))) {
        Ok(read)
    } else {
        Err(Problem::bad(
            "`systemInstruction` may only have text parts",
            AT,
        ))
    }
}

fn turn(raw: &RawValue, at: &str, calls: &mut Calls) -> Result<Turn, Problem> {
    if json::is_text(raw) {
        return Ok(Turn {
            role: Role::User,
            parts: vec![Part::text(text(raw))],
        });
    }
    let mut fields = Fields::read(raw, at)?;
    let role = match fields.text("role")?.as_deref() {
        None | Some("" | "user" | "function") => Role::User,
        Some("model") => Role::Assistant,
        Some(other) => {
            return Err(Problem::bad(
                format!("`{at}.role` must be `user` or `model`, not `{other}`"),
                format!("{at}.role"),
            ));
        }
    };
    let parts = match fields.take("parts") {
        Some(list) => parts(list, &format!("{at}.parts"), calls)?,
        None => Vec::new(),
    };
    Ok(Turn { role, parts })
}

fn parts(raw: &RawValue, at: &str, calls: &mut Calls) -> Result<Vec<Part>, Problem> {
    let mut read: Vec<Part> = Vec::new();
    if !raw.get().starts_with('[') {
        return Ok(vec![part(raw, at, calls)?]);
    }
    for (n, one) in json::list(raw, at)?.into_iter().enumerate() {
        let next = part(one, &format!("{at}[{n}]"), calls)?;
        match (read.last_mut(), next) {
            // A stream gave the thought in pieces, and its seal at the end.
            (Some(Part::Thinking(open)), Part::Thinking(more))
                if open.signature.is_none() && !more.redacted =>
            {
                open.text.push_str(&more.text);
                open.signature = more.signature;
            }
            (_, next) => read.push(next),
        }
    }
    Ok(read)
}

fn text(raw: &RawValue) -> String {
    json::text(raw).unwrap_or_default()
}

fn part(raw: &RawValue, at: &str, calls: &mut Calls) -> Result<Part, Problem> {
    if json::is_text(raw) {
        return Ok(Part::text(text(raw)));
    }
    let mut fields = Fields::read(raw, at)?;
    let thought = fields.flag("thought")?.unwrap_or_default();
    let sealed = fields
        .text("thoughtSignature")?
        .filter(|text| !text.is_empty())
        .map(|text| seal::read(&text));
    let signature = sealed.as_ref().map(|(signature, _)| signature.clone());
    let words = fields.text("text")?;
    if thought || words.is_none() && only_a_seal(&fields, sealed.is_some()) {
        return Ok(Part::Thinking(Thinking {
            text: words.unwrap_or_default(),
            redacted: sealed.is_some_and(|(_, redacted)| redacted),
            signature,
            id: None,
        }));
    }
    if let Some(text) = words {
        return Ok(Part::Text(Text {
            text,
            signature,
            ..Text::default()
        }));
    }
    if let Some(call) = fields.object("functionCall")? {
        let mut call = function_call(call, calls)?;
        call.signature = signature;
        return Ok(Part::ToolCall(call));
    }
    if let Some(result) = fields.object("functionResponse")? {
        return Ok(Part::ToolResult(function_response(result, calls)?));
    }
    if let Some(media) = media(&mut fields)? {
        return Ok(media);
    }
    other(fields, raw, at)
}

/// Whether a part without text carries nothing but a seal.
fn only_a_seal(fields: &Fields<'_>, sealed: bool) -> bool {
    sealed && fields.is_empty()
}

/// A block of a tool that Google runs, or something that we do not know.
fn other(fields: Fields<'_>, raw: &RawValue, at: &str) -> Result<Part, Problem> {
    const HOSTED: [&str; 4] = [
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    ];
    let rest = fields.rest();
    let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
    let kinds = names.iter().map(|name| crate::gemini::fields::camel(name));
    if let Some(kind) = kinds
        .into_iter()
        .find(|kind| HOSTED.contains(&kind.as_str()))
    {
        return Ok(Part::Hosted {
            kind,
            raw: raw.to_owned(),
        });
    }
    let message = match names.first() {
        Some(name) => format!("`{at}` is a part of the unknown kind `{name}`"),
        None => format!("`{at}` is a part without content"),
    };
    Err(Problem::bad(message, at))
}

fn function_call(mut call: Fields<'_>, calls: &mut Calls) -> Result<ToolCall, Problem> {
    let id = call.text("id")?;
    let name = required(&mut call, "name")?;
    let arguments = match call.take("args") {
        Some(args) if args.get().starts_with('{') => args.get().to_owned(),
        Some(_) => {
            let at = call.path("args");
            return Err(Problem::bad(format!("`{at}` must be an object"), at));
        }
        None => "{}".to_owned(),
    };
    Ok(ToolCall {
        id: calls.begin(id, &name),
        name,
        arguments,
        freeform: false,
        signature: None,
        cache: None,
    })
}

fn required(fields: &mut Fields<'_>, key: &str) -> Result<String, Problem> {
    let at = fields.path(key);
    let found = fields.text(key)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| Problem::bad(format!("`{at}` is missing"), at))
}

fn function_response(mut result: Fields<'_>, calls: &mut Calls) -> Result<ToolResult, Problem> {
    let id = result.text("id")?;
    let name = required(&mut result, "name")?;
    let at = result.path("response");
    let mut is_error = false;
    let mut content = Vec::new();
    match result.take("response") {
        Some(response) if response.get().starts_with('{') => {
            let (text, error) = returned(response, &at)?;
            is_error = error;
            content.push(Part::text(text));
        }
        Some(_) => return Err(Problem::bad(format!("`{at}` must be an object"), at)),
        None => {}
    }
    let at = result.path("parts");
    for (n, raw) in result.list("parts")?.into_iter().flatten().enumerate() {
        let mut fields = Fields::read(raw, &format!("{at}[{n}]"))?;
        match media(&mut fields)? {
            Some(part) => content.push(part),
            None => {
                let at = format!("{at}[{n}]");
                return Err(Problem::bad(
                    format!("`{at}` must have `inlineData` or `fileData`"),
                    at,
                ));
            }
        }
    }
    Ok(ToolResult {
        call_id: calls.answer(id, &name),
        name: Some(name),
        content,
        is_error,
        freeform: false,
        cache: None,
    })
}

/// What a function returned, and whether that is an error. A text that stands alone under one of the
/// customary names is that text; everything else stays the JSON that it is.
fn returned(response: &RawValue, at: &str) -> Result<(String, bool), Problem> {
    let fields = Fields::read(response, at)?;
    let whole = response.get().to_owned();
    let members = fields.rest();
    let [(name, value)] = members.as_slice() else {
        return Ok((whole, false));
    };
    Ok(match (name.as_str(), json::text(value)) {
        ("result" | "output", Some(text)) => (text, false),
        ("error", Some(text)) => (text, true),
        ("error", None) => (value.get().to_owned(), true),
        _ => (whole, false),
    })
}

/// A part whose bytes stand in the body or at an address.
fn media(fields: &mut Fields<'_>) -> Result<Option<Part>, Problem> {
    if let Some(mut inline) = fields.object("inlineData")? {
        let media_type = inline.text("mimeType")?.unwrap_or_default();
        let media_type = media_type.to_ascii_lowercase();
        let name = inline.text("displayName")?;
        let data = standard(&required(&mut inline, "data")?);
        let words = media_type
            .starts_with("text/")
            .then(|| BASE64.decode(data.as_bytes()).ok())
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let kind = media_type.clone();
        let source = match words {
            Some(words) => Source::Text(words),
            None => Source::Inline { media_type, data },
        };
        return Ok(Some(of_kind(&kind, source, name)));
    }
    if let Some(mut file) = fields.object("fileData")? {
        let kind = file.text("mimeType")?;
        let name = file.text("displayName")?;
        let url = required(&mut file, "fileUri")?;
        let kind = kind.or_else(|| super::turns::media_type_of(&url).map(str::to_owned));
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        return Ok(Some(of_kind(&kind, Source::Url(url), name)));
    }
    Ok(None)
}

fn of_kind(media_type: &str, source: Source, name: Option<String>) -> Part {
    let mut media = Media::new(source);
    media.name = name;
    match media_type.split('/').next() {
        Some("image") => Part::Image(media),
        Some("audio") => Part::Audio(media),
        _ => Part::Document(media),
    }
}

/// Base64 as everybody else writes it: some clients of Google's use the other alphabet, without padding.
fn standard(data: &str) -> String {
    let mut out: String = data
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .map(|letter| match letter {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// The calls of a conversation and which of them are answered.
#[derive(Debug, Default)]
struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    /// The id is the caller's own.
    own: bool,
    answered: bool,
}

impl Calls {
    /// A call begins; answers its id.
    fn begin(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty());
        let own = id.is_some();
        let id = id.unwrap_or_else(|| made(self.0.len()));
        self.0.push(Call {
            id: id.clone(),
            name: name.to_owned(),
            own,
            answered: false,
        });
        id
    }

    /// The id of the call that a response is for.
    fn answer(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty());
        let own = id.as_deref().and_then(|id| {
            let same = |call: &Call| call.id == id;
            let open = self.0.iter().position(|call| same(call) && !call.answered);
            open.or_else(|| self.0.iter().rposition(same))
        });
        let by_name = || {
            let fits = |call: &Call| call.name == name && !(call.own && id.is_some());
            let open = self.0.iter().position(|call| fits(call) && !call.answered);
            open.or_else(|| self.0.iter().rposition(fits))
        };
        match own.or_else(by_name).and_then(|at| self.0.get_mut(at)) {
            Some(call) => {
                call.answered = true;
                call.id.clone()
            }
            None => id.unwrap_or_else(|| made(self.0.len())),
        }
    }
}

/// The id of the n-th call.
fn made(n: usize) -> String {
    format!("call_{n:024x}")
}
