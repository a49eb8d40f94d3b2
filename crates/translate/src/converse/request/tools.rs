//! Tools and the choice among them (providers 13, 15, 15.1).

use super::turns::cache_point;
use crate::Problem;
use crate::claude::schema;
use crate::drops::Drops;
use crate::ir::{Function, JSON_TOOL, OutputFormat, Part, Request, Tool, ToolChoice};
use crate::json::Obj;
use crate::models::Family;
use crate::names::Field;

/// What the body says about tools.
#[derive(Debug, Default)]
pub(super) struct Tools {
    /// `toolConfig`, when there is something to say.
    pub(super) config: Option<String>,
    /// See [`crate::Outgoing::json_tool`].
    pub(super) json_tool: bool,
}

/// Writes `toolConfig`. `schema_tool`: a forced tool stands in for structured output. `thinks`: Claude
/// thinks, so no tool can be forced.
///
/// # Errors
/// The choice names a tool that is not there, or a tool must not be left out.
pub(super) fn write(
    request: &Request,
    family: Family,
    schema_tool: bool,
    thinks: bool,
    drops: &mut Drops,
) -> Result<Tools, Problem> {
    let mut functions = functions(request, drops)?;
    let used = names_in_history(request);
    let mut choice = request.tool_choice.clone();
    match &choice {
        Some(ToolChoice::Named(name)) if !functions.iter().any(|tool| tool.name == *name) => {
            return Err(drops.refuse_field(
                Field::ToolChoice,
                &format!("no tool is named `{name}`"),
                "name one of `tools`",
            ));
        }
        Some(ToolChoice::None) if used.is_empty() => {
            functions.clear();
            choice = None;
        }
        Some(ToolChoice::None) => {
            // Bedrock refuses calls and results in the conversation when no tool is declared.
            if !functions.is_empty() {
                drops.leave_out_field(
                    Field::ToolChoice,
                    "Bedrock cannot forbid tools that the conversation has used",
                )?;
            }
            choice = None;
        }
        _ => {}
    }
    if functions.is_empty()
        && choice
            .take()
            .is_some_and(|choice| choice == ToolChoice::Any)
    {
        drops.leave_out_field(Field::ToolChoice, "there are no tools")?;
    }

    let mut specs: Vec<String> = Vec::new();
    for function in &functions {
        if function.strict == Some(true) && !super::has_schemas(family) {
            drops.leave_out("tools.strict", "the model is not held to schemas")?;
        }
        specs.push(tool_spec(function, family));
        if family.is_claude() {
            specs.extend(
                function
                    .cache
                    .and_then(|marker| cache_point(marker, family)),
            );
        }
    }
    if specs.is_empty() {
        specs.extend(used.iter().map(|name| tool_spec(&undeclared(name), family)));
    }
    let alone = specs.is_empty();
    if schema_tool
        && let Some(OutputFormat::Schema {
            schema,
            description,
            ..
        }) = &request.output
    {
        specs.push(tool_spec(
            &Function {
                description: description.clone(),
                schema: Some(schema.clone()),
                ..undeclared(JSON_TOOL)
            },
            family,
        ));
        // Beside the caller's own tools the model may call one of those first.
        choice = Some(if alone {
            ToolChoice::Named(JSON_TOOL.to_owned())
        } else {
            ToolChoice::Any
        });
    }
    if specs.is_empty() {
        return Ok(Tools::default());
    }
    if thinks && matches!(choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
        drops.note(Field::ToolChoice);
        choice = Some(ToolChoice::Auto);
    }
    let config = Obj::new()
        .list("tools", specs)
        .raw_if("toolChoice", choice.as_ref().and_then(choice_of).as_deref());
    Ok(Tools {
        config: Some(config.end()),
        json_tool: schema_tool,
    })
}

fn functions<'a>(request: &'a Request, drops: &mut Drops) -> Result<Vec<&'a Function>, Problem> {
    let mut functions = Vec::new();
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => functions.push(function),
            Tool::Hosted { kind, .. } if kind == "mcp" => {
                return Err(drops.refuse_field(
                    Field::Tools,
                    "Bedrock does not call MCP servers",
                    "call the server yourself and pass its tools as functions",
                ));
            }
            Tool::Hosted { .. } => {
                drops.leave_out_field(Field::Tools, "another provider runs one of them")?;
            }
        }
    }
    Ok(functions)
}

/// Tools that the conversation has called, each once.
fn names_in_history(request: &Request) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        let name = match part {
            Part::ToolCall(call) => call.name.as_str(),
            Part::ToolResult(result) => request
                .tool_of_call(&result.call_id)
                .or(result.name.as_deref())
                .unwrap_or("tool"),
            _ => continue,
        };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// A tool that the caller did not declare, only used.
fn undeclared(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        description: None,
        schema: None,
        strict: None,
        freeform: false,
        cache: None,
    }
}

fn tool_spec(function: &Function, family: Family) -> String {
    let schema = Obj::new()
        .raw("json", &schema::typed(function.schema()))
        .end();
    let description = function
        .description
        .as_deref()
        .filter(|text| !text.is_empty());
    let strict = function.strict == Some(true) && super::has_schemas(family);
    let spec = Obj::new()
        .str("name", &function.name)
        .str_if("description", description)
        .raw("inputSchema", &schema)
        .num_if("strict", strict.then_some(true));
    Obj::new().raw("toolSpec", &spec.end()).end()
}

fn choice_of(choice: &ToolChoice) -> Option<String> {
    match choice {
        ToolChoice::Auto => Some(r#"{"auto":{}}"#.to_owned()),
        ToolChoice::Any => Some(r#"{"any":{}}"#.to_owned()),
        ToolChoice::Named(name) => {
            let named = Obj::new().str("name", name).end();
            Some(Obj::new().raw("tool", &named).end())
        }
        ToolChoice::None => None,
    }
}
