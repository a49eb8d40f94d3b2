//! The output flags that every client command takes, and what they come to.
//!
//! Precedence: `-o`, then `--json` and `--jq`, then `-f json`, then agent mode, then people.

use clap::{Args, ValueEnum};

use crate::error::CliError;
use crate::jq::{Path, select};
use crate::json::Json;
use crate::yaml::to_yaml;

/// How to print the result.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Output format; every value but json is the human form
    #[arg(
        short = 'f',
        long,
        global = true,
        value_name = "FORMAT",
        ignore_case = true
    )]
    format: Option<ShortFormat>,

    /// Output format, before every other selector; agents is compact one-line JSON
    #[arg(
        short = 'o',
        long,
        global = true,
        value_name = "FORMAT",
        ignore_case = true
    )]
    output: Option<LongFormat>,

    /// Print JSON; with FIELDS (a,b.c) only these fields
    #[arg(long, global = true, value_name = "FIELDS", num_args = 0..=1)]
    json: Option<Option<String>>,

    /// Print the part of the JSON at a path: .a.b, .items[].x, and a final "| length"
    #[arg(long, global = true, value_name = "PATH")]
    jq: Option<String>,

    /// Print for agents: compact JSON, no colour (the default inside coding agents)
    #[arg(long, global = true)]
    agent: bool,
}

impl OutputArgs {
    /// Takes the value of `--json` out when it is JSON text and not a list of fields: then it is
    /// the body of a command that accepts one, and selects no output.
    pub(crate) fn take_document(&mut self) -> Option<String> {
        let text = self.json.as_ref()?.as_deref()?.trim_start();
        if !text.starts_with(['{', '[']) {
            return None;
        }
        self.json.take().flatten()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ShortFormat {
    Json,
    Table,
    Text,
    Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum LongFormat {
    Table,
    Json,
    Agents,
    Yaml,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Human,
    Json,
    Agents,
    Yaml,
}

/// The decision, with the part of the result that was asked for.
#[derive(Debug)]
pub(crate) struct Output {
    form: Form,
    fields: Vec<String>,
    path: Option<Path>,
}

impl Output {
    /// `agent` is whether the surroundings are an agent's.
    pub(crate) fn of(args: &OutputArgs, agent: bool) -> Result<Self, (Self, CliError)> {
        let narrowed = args.json.is_some() || args.jq.is_some();
        let form = match (args.output, args.format) {
            (Some(LongFormat::Table), _) => Form::Human,
            (Some(LongFormat::Json), _) => Form::Json,
            (Some(LongFormat::Agents), _) => Form::Agents,
            (Some(LongFormat::Yaml), _) => Form::Yaml,
            (None, _) if narrowed => Form::Json,
            (None, Some(ShortFormat::Json)) => Form::Json,
            (None, Some(ShortFormat::Table | ShortFormat::Text | ShortFormat::Digest)) => {
                Form::Human
            }
            (None, None) if agent || args.agent => Form::Agents,
            (None, None) => Form::Human,
        };
        let fields = args
            .json
            .as_ref()
            .and_then(Option::as_deref)
            .unwrap_or_default();
        let fields = fields
            .split(',')
            .map(str::trim)
            .filter(|field| !field.is_empty());
        let mut output = Self {
            form,
            fields: fields.map(str::to_owned).collect(),
            path: None,
        };
        match args.jq.as_deref().map(Path::parse).transpose() {
            Ok(path) => {
                output.path = path;
                Ok(output)
            }
            Err(invalid) => Err((output, CliError::usage(invalid.to_string()))),
        }
    }

    /// Whether a program reads the result.
    pub(crate) fn is_machine(&self) -> bool {
        self.form != Form::Human
    }

    /// The asked part of the result, as text with its newline.
    pub(crate) fn render(&self, mut value: Json) -> String {
        if !self.fields.is_empty() {
            value = select(&value, &self.fields);
        }
        if let Some(path) = &self.path {
            value = path.apply(&value);
        }
        self.encode(&value)
    }

    /// The whole value, as text with its newline.
    pub(crate) fn encode(&self, value: &Json) -> String {
        match self.form {
            Form::Yaml => to_yaml(value),
            Form::Agents => format!("{}\n", value.compact()),
            Form::Json | Form::Human => format!("{}\n", value.pretty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, LongFormat, Output, OutputArgs, ShortFormat};
    use crate::json::Json;

    fn form(args: &OutputArgs, agent: bool) -> Form {
        Output::of(args, agent).expect("valid").form
    }

    #[test]
    fn precedence_is_output_then_fields_then_format_then_agent() {
        let none = OutputArgs::default();
        let text = OutputArgs {
            format: Some(ShortFormat::Text),
            ..none.clone()
        };
        let json = OutputArgs {
            format: Some(ShortFormat::Json),
            ..none.clone()
        };
        let fields = OutputArgs {
            json: Some(Some("id".into())),
            ..text.clone()
        };
        let table = OutputArgs {
            output: Some(LongFormat::Table),
            ..fields.clone()
        };
        let agent = OutputArgs {
            agent: true,
            ..none.clone()
        };
        assert_eq!(form(&none, false), Form::Human);
        assert_eq!(form(&none, true), Form::Agents);
        assert_eq!(form(&agent, false), Form::Agents);
        assert_eq!(form(&text, true), Form::Human);
        assert_eq!(form(&json, true), Form::Json);
        assert_eq!(form(&fields, true), Form::Json);
        assert_eq!(form(&table, true), Form::Human);
    }

    #[test]
    fn fields_and_path_narrow_every_machine_form() {
        let value = Json::parse(r#"[{"id":"a","n":1},{"id":"b","n":2}]"#).expect("valid");
        let args = OutputArgs {
            output: Some(LongFormat::Agents),
            json: Some(Some(" id ,x".into())),
            jq: Some(".[].id".into()),
            ..OutputArgs::default()
        };
        let output = Output::of(&args, false).expect("valid");
        assert_eq!(output.render(value), "[\"a\",\"b\"]\n");
    }
}
