//! Tools and the choice among them, as callers write them.
//!
//! A namespace groups functions; elsewhere there are none, so that its functions get its name before
//! theirs ([`flat_name`]), and calls of them are given back with the two apart ([`Namespaces`]).

use serde_json::value::RawValue;

use crate::Problem;
use crate::ir::{Function, Raw, Tool, ToolChoice};
use crate::json::{self, Object};

use super::freeform::described;
use super::read::{cache_marker_of, required_text};
use super::under;

/// The name of a function of a namespace where there are none.
pub(super) fn flat_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None | Some("") => name.to_owned(),
        Some(space) if space.ends_with('_') => format!("{space}{name}"),
        Some(space) => format!("{space}__{name}"),
    }
}

/// Reads one entry of `tools`.
pub(super) fn read(
    raw: &RawValue,
    at: &str,
    namespace: Option<&str>,
    tools: &mut Vec<Tool>,
) -> Result<(), Problem> {
    let mut object = Object::read(raw, at)?;
    let kind = required_text(&mut object, "type", at)?;
    match kind.as_str() {
        "function" => tools.push(Tool::Function(function(object, at, namespace)?)),
        "custom" => tools.push(Tool::Function(custom(object, at, namespace)?)),
        "namespace" => {
            let name = required_text(&mut object, "name", at)?;
            let inner = under(at, object.list("tools"))?.unwrap_or_default();
            for (n, tool) in inner.into_iter().enumerate() {
                read_inner(tool, &format!("{at}.tools[{n}]"), &name, tools)?;
            }
        }
        "mcp" => {
            return Err(Problem::Unsupported {
                param: "tools".to_owned(),
                message: format!(
                    "`{at}` of type `mcp` cannot be sent to the chosen provider: it calls no MCP \
                     servers; remove it, give the server's tools as functions, or use a model of OpenAI"
                ),
            });
        }
        _ => tools.push(Tool::Hosted {
            kind,
            raw: raw.to_owned(),
        }),
    }
    Ok(())
}

fn read_inner(
    raw: &RawValue,
    at: &str,
    namespace: &str,
    tools: &mut Vec<Tool>,
) -> Result<(), Problem> {
    let kind = Object::read(raw, at)?.get("type").and_then(json::text);
    if kind.as_deref() == Some("namespace") {
        return Err(Problem::bad(
            format!("`{at}` is a namespace in a namespace"),
            at,
        ));
    }
    read(raw, at, Some(namespace), tools)
}

fn function(
    mut object: Object<'_>,
    at: &str,
    namespace: Option<&str>,
) -> Result<Function, Problem> {
    let name = required_text(&mut object, "name", at)?;
    Ok(Function {
        name: flat_name(namespace, &name),
        description: under(at, object.text("description"))?,
        schema: object.take("parameters").map(ToOwned::to_owned),
        strict: under(at, object.flag("strict"))?,
        freeform: false,
        cache: under(at, object.object("cache_control"))?
            .as_ref()
            .map(cache_marker_of),
    })
}

fn custom(mut object: Object<'_>, at: &str, namespace: Option<&str>) -> Result<Function, Problem> {
    let name = required_text(&mut object, "name", at)?;
    let description = under(at, object.text("description"))?;
    let description = match under(at, object.object("format"))? {
        Some(format) => with_grammar(format, description, at)?,
        None => description,
    };
    Ok(Function {
        name: flat_name(namespace, &name),
        description,
        schema: None,
        strict: None,
        freeform: true,
        cache: None,
    })
}

fn with_grammar(
    mut format: Object<'_>,
    description: Option<String>,
    at: &str,
) -> Result<Option<String>, Problem> {
    let at = format!("{at}.format");
    if under(&at, format.text("type"))?.as_deref() != Some("grammar") {
        return Ok(description);
    }
    let syntax = under(&at, format.text("syntax"))?.unwrap_or_default();
    let definition = under(&at, format.text("definition"))?.unwrap_or_default();
    Ok(Some(described(description, &syntax, &definition)))
}

/// The tools that `tool_choice` leaves.
pub(super) struct Allowed(Vec<String>);

impl Allowed {
    /// Whether a tool is among them.
    pub(super) fn holds(&self, tool: &Tool) -> bool {
        let own = match tool {
            Tool::Function(function) => &function.name,
            Tool::Hosted { kind, .. } => kind,
        };
        self.0.contains(own)
    }
}

/// Reads `tool_choice`. A choice of tools that only the provider knows goes to `rest`.
pub(super) fn choice(
    object: &mut Object<'_>,
    rest: &mut Vec<(String, Raw)>,
) -> Result<(Option<ToolChoice>, Option<Allowed>), Problem> {
    let Some(raw) = object.take("tool_choice") else {
        return Ok((None, None));
    };
    if let Some(word) = json::text(raw) {
        return Ok((Some(word_choice(&word, "tool_choice")?), None));
    }
    let mut choice = Object::read(raw, "tool_choice")?;
    match required_text(&mut choice, "type", "tool_choice")?.as_str() {
        "function" | "custom" => {
            let namespace = under("tool_choice", choice.text("namespace"))?;
            let name = required_text(&mut choice, "name", "tool_choice")?;
            let name = flat_name(namespace.as_deref(), &name);
            Ok((Some(ToolChoice::Named(name)), None))
        }
        "allowed_tools" => {
            let mode = under("tool_choice", choice.text("mode"))?;
            let mode = word_choice(mode.as_deref().unwrap_or("auto"), "tool_choice.mode")?;
            let mut allowed = Vec::new();
            let list = under("tool_choice", choice.list("tools"))?.unwrap_or_default();
            for (n, tool) in list.into_iter().enumerate() {
                let at = format!("tool_choice.tools[{n}]");
                let mut tool = Object::read(tool, &at)?;
                let kind = required_text(&mut tool, "type", &at)?;
                let namespace = under(&at, tool.text("namespace"))?;
                let name = under(&at, tool.text("name"))?;
                allowed.push(name.map_or(kind, |name| flat_name(namespace.as_deref(), &name)));
            }
            Ok((Some(mode), Some(Allowed(allowed))))
        }
        _ => {
            rest.push(("tool_choice".to_owned(), raw.to_owned()));
            Ok((None, None))
        }
    }
}

fn word_choice(word: &str, at: &str) -> Result<ToolChoice, Problem> {
    match word {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Any),
        _ => Err(Problem::bad(
            format!("`{at}` must be `auto`, `none` or `required`"),
            at,
        )),
    }
}

/// Which flat names stand for functions of a namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces(Vec<Member>);

#[derive(Debug)]
struct Member {
    flat: String,
    namespace: String,
    name: String,
}

impl Namespaces {
    /// From the caller's own `tools`.
    pub(super) fn of(tools: Option<&RawValue>) -> Self {
        let mut members = Vec::new();
        let list = tools.and_then(|raw| json::list(raw, "tools").ok());
        for raw in list.unwrap_or_default() {
            let Ok(mut space) = Object::read(raw, "tools") else {
                continue;
            };
            if space.get("type").and_then(json::text).as_deref() != Some("namespace") {
                continue;
            }
            let Some(namespace) = space.take("name").and_then(json::text) else {
                continue;
            };
            let inner = space
                .take("tools")
                .and_then(|raw| json::list(raw, "tools").ok());
            for tool in inner.unwrap_or_default() {
                let name = Object::read(tool, "tools")
                    .ok()
                    .and_then(|mut tool| tool.take("name").and_then(json::text));
                if let Some(name) = name {
                    members.push(Member {
                        flat: flat_name(Some(&namespace), &name),
                        namespace: namespace.clone(),
                        name,
                    });
                }
            }
        }
        Self(members)
    }

    /// The namespace and the name in it; a name that stands in none is given back.
    pub(super) fn split<'a>(&'a self, flat: &'a str) -> (Option<&'a str>, &'a str) {
        let member = self.0.iter().find(|member| member.flat == flat);
        member.map_or((None, flat), |member| {
            (Some(member.namespace.as_str()), member.name.as_str())
        })
    }
}
