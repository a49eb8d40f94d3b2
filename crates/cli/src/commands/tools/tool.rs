//! What each coding tool needs to call the gateway and nothing else.
//!
//! A plan holds variables and leading arguments. Variables that would lead the tool past the
//! gateway are taken away. Other settings of the person stay as they are. The facts come from runs
//! of the tools themselves (`tests/cli/README.md`). Start at [`Tool::plan`].

use std::ffi::OsString;

use super::gemini_settings;
use crate::context::Context;
use crate::error::CliError;
use crate::json::Json;

/// The variable in which a tool finds the key, where it lets us choose.
const KEY: &str = "LANGWATCH_VIRTUAL_KEY";

/// What Claude Code calls its own models by, besides names that hold `claude`.
const CLAUDE_ALIASES: [&str; 7] = [
    "default", "best", "sonnet", "opus", "haiku", "fable", "opusplan",
];

/// The models behind those aliases. Claude Code uses them on its own, for summaries and sub-agents.
const CLAUDE_DEFAULTS: [&str; 4] = [
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
];

/// Other doors and credentials of Claude Code, all of which it prefers or warns about.
const CLAUDE_UNSET: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_GATEWAY",
];

/// Other doors of Gemini CLI.
const GEMINI_UNSET: &[&str] = &[
    "GOOGLE_API_KEY",
    "GOOGLE_GENAI_USE_GCA",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_VERTEX_BASE_URL",
];

/// Pieces of the names of models that are not for conversations.
const NOT_CHAT: [&str; 10] = [
    "embed",
    "whisper",
    "tts",
    "dall-e",
    "moderation",
    "image",
    "imagen",
    "transcribe",
    "realtime",
    "audio",
];

/// A coding tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Claude,
    Codex,
    Gemini,
    Opencode,
}

/// What a tool is started with, besides the person's own arguments.
#[derive(Default)]
pub(super) struct Plan {
    /// Arguments before those of the person.
    pub(super) before: Vec<String>,
    /// Variables and their values. One of them is a key.
    pub(super) set: Vec<(&'static str, String)>,
    /// Variables to take away.
    pub(super) unset: &'static [&'static str],
}

impl Tool {
    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Opencode => "opencode",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Claude => "@anthropic-ai/claude-code",
            Self::Codex => "@openai/codex",
            Self::Gemini => "@google/gemini-cli",
            Self::Opencode => "opencode-ai",
        }
    }

    /// What failed, in a failure.
    pub(super) fn start(self) -> &'static str {
        match self {
            Self::Claude => "start Claude Code",
            Self::Codex => "start Codex",
            Self::Gemini => "start Gemini CLI",
            Self::Opencode => "start opencode",
        }
    }

    pub(super) fn not_installed(self) -> String {
        format!(
            "{} is not installed: there is no `{}` on the PATH. Install it with `npm install -g {}`.",
            self.name(),
            self.program(),
            self.package()
        )
    }

    /// `arguments` are the person's own, `models` what the gateway named.
    pub(super) fn plan(
        self,
        context: &mut Context<'_>,
        gateway: &str,
        key: &str,
        arguments: &[OsString],
        models: &[String],
    ) -> Result<Plan, CliError> {
        match self {
            Self::Claude => Ok(claude(context, gateway, key, arguments)),
            Self::Codex => Ok(codex(gateway, key)),
            Self::Gemini => gemini(context, gateway, key),
            Self::Opencode => opencode(context, gateway, key, arguments, models),
        }
    }
}

fn claude(context: &Context<'_>, gateway: &str, key: &str, arguments: &[OsString]) -> Plan {
    let mut set = vec![
        ("ANTHROPIC_BASE_URL", gateway.to_owned()),
        ("ANTHROPIC_AUTH_TOKEN", key.to_owned()),
    ];
    let preset = |name| {
        let value = context.env.variable(name)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    // Its small tasks name models of Anthropic, which a key for another vendor may not reach.
    let model = named_model(arguments, &["--model"]).or_else(|| preset("ANTHROPIC_MODEL"));
    if let Some(model) = model.filter(|model| !is_anthropics(model)) {
        let open = CLAUDE_DEFAULTS
            .into_iter()
            .filter(|name| preset(name).is_none());
        set.extend(open.map(|name| (name, model.clone())));
    }
    Plan {
        set,
        unset: CLAUDE_UNSET,
        ..Plan::default()
    }
}

/// Whether Claude Code can choose Anthropic's other models beside this one.
fn is_anthropics(model: &str) -> bool {
    let model = model.strip_suffix("[1m]").unwrap_or(model);
    let own = model.strip_prefix("anthropic/").unwrap_or(model);
    own.starts_with("claude-") || CLAUDE_ALIASES.contains(&own)
}

fn codex(gateway: &str, key: &str) -> Plan {
    // Text in TOML is written as in JSON.
    let text = |value: &str| Json::from(value).compact();
    let provider = format!(
        "model_providers.langwatch={{name=\"LangWatch\", base_url={}, env_key=\"{KEY}\", \
         wire_api=\"responses\"}}",
        text(&format!("{gateway}/v1"))
    );
    let settings = ["model_provider=\"langwatch\"".to_owned(), provider];
    Plan {
        before: settings
            .into_iter()
            .flat_map(|setting| ["-c".to_owned(), setting])
            .collect(),
        set: vec![(KEY, key.to_owned())],
        ..Plan::default()
    }
}

fn gemini(context: &mut Context<'_>, gateway: &str, key: &str) -> Result<Plan, CliError> {
    gemini_settings::choose_key(context)?;
    Ok(Plan {
        set: vec![
            ("GOOGLE_GEMINI_BASE_URL", gateway.to_owned()),
            ("GEMINI_API_KEY", key.to_owned()),
        ],
        unset: GEMINI_UNSET,
        ..Plan::default()
    })
}

fn opencode(
    context: &Context<'_>,
    gateway: &str,
    key: &str,
    arguments: &[OsString],
    models: &[String],
) -> Result<Plan, CliError> {
    const CONFIG: &str = "OPENCODE_CONFIG_CONTENT";
    let own = context.env.variable(CONFIG).map(str::trim);
    let mut config = match own.filter(|text| !text.is_empty()) {
        None => Json::Object(Vec::new()),
        Some(text) => match Json::parse(text) {
            Ok(value @ Json::Object(_)) => value,
            _ => {
                return Err(CliError::usage(format!(
                    "{CONFIG} is not a JSON object, so the gateway cannot be added to it."
                )));
            }
        },
    };
    let named = named_model(arguments, &["-m", "--model"]);
    let named = named.as_deref().and_then(|m| m.strip_prefix("langwatch/"));
    let listed = models.iter().map(String::as_str).filter(|m| is_chat(m));
    let mut entries = Json::Object(Vec::new());
    for model in listed.chain(named) {
        entries.set(model, opencode_model(model));
    }
    let options = Json::object([
        ("baseURL", format!("{gateway}/v1").into()),
        ("apiKey", format!("{{env:{KEY}}}").into()),
    ]);
    let provider = Json::object([
        ("npm", "@ai-sdk/openai-compatible".into()),
        ("name", "LangWatch".into()),
        ("options", options),
        ("models", entries),
    ]);
    let mut providers = config
        .take("provider")
        .unwrap_or_else(|| Json::Object(Vec::new()));
    providers.set("langwatch", provider);
    config.set("provider", providers);
    // Its other providers go past the gateway.
    config.set("enabled_providers", vec!["langwatch".into()].into());
    Ok(Plan {
        set: vec![(KEY, key.to_owned()), (CONFIG, config.compact())],
        ..Plan::default()
    })
}

/// A model with the package that speaks its vendor's own dialect, for what translation would lose.
fn opencode_model(model: &str) -> Json {
    let bare = model.rsplit('/').next().unwrap_or(model);
    if bare.contains("claude") {
        let provider = Json::object([("npm", "@ai-sdk/anthropic".into())]);
        return Json::object([("provider", provider)]);
    }
    Json::Object(Vec::new())
}

fn is_chat(model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    !NOT_CHAT.iter().any(|piece| model.contains(piece))
}

/// The model that the person's arguments name: the last one, as tools read it.
fn named_model(arguments: &[OsString], flags: &[&str]) -> Option<String> {
    let words: Vec<&str> = arguments
        .iter()
        .map_while(|word| {
            let word = word.to_str().unwrap_or_default();
            (word != "--").then_some(word)
        })
        .collect();
    let mut found = None;
    for (at, word) in words.iter().enumerate() {
        for flag in flags {
            let behind = word
                .strip_prefix(flag)
                .and_then(|rest| rest.strip_prefix('='));
            let next = || words.get(at + 1).copied().filter(|_| word == flag);
            if let Some(model) = behind.or_else(next) {
                found = Some(model.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{is_anthropics, is_chat, named_model};

    #[test]
    fn the_model_is_the_last_one_named_before_a_double_dash() {
        let named = |line: &str| {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            named_model(&words, &["-m", "--model"])
        };
        for (line, model) in [
            ("", None),
            ("-p hi", None),
            ("--model gpt-5-mini -p hi", Some("gpt-5-mini")),
            ("-p hi --model=a -m b", Some("b")),
            ("run -m", None),
            ("run --modelling x", None),
            ("run -- -m x", None),
        ] {
            assert_eq!(named(line).as_deref(), model, "{line}");
        }
    }

    #[test]
    fn names_that_claude_code_knows_need_no_more() {
        for known in [
            "sonnet",
            "opus[1m]",
            "claude-haiku-4-5",
            "anthropic/claude-opus-4-6",
        ] {
            assert!(is_anthropics(known), "{known}");
        }
        for other in [
            "gpt-5-mini",
            "bedrock/us.anthropic.claude-haiku-4-5-v1:0",
            "smart",
            "openai/gpt-5",
        ] {
            assert!(!is_anthropics(other), "{other}");
        }
    }

    #[test]
    fn models_for_vectors_and_sounds_are_not_offered() {
        for model in ["text-embedding-3-small", "gpt-4o-audio-preview", "TTS-1"] {
            assert!(!is_chat(model), "{model}");
        }
        assert!(is_chat("gpt-5-mini") && is_chat("claude-haiku-4-5"));
    }
}
