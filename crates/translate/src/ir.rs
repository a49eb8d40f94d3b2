//! The neutral form of a conversation: what every dialect is read into and written from.
//!
//! It holds meaning, not spelling. JSON that is only carried (schemas, metadata) stays the caller's bytes,
//! so that order, numbers and escapes survive. Must never hold a provider's own type names where a neutral
//! word exists. Start at [`Request`], [`Answer`] and [`Event`].

use lw_core::Usage;
use lw_wire::usage::Reading;
use serde_json::Number;
use serde_json::value::RawValue;

use crate::cache::CacheWish;
use crate::signature::Signature;
use crate::{Caller, Dialect};

/// JSON that is carried as it was written.
pub type Raw = Box<RawValue>;

/// A request for one answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// The dialect that it was read from: names of parameters in messages to the caller follow it.
    pub from: Dialect,
    /// The model as the body names it; empty where the path has it.
    pub model: String,
    /// An event stream is wanted.
    pub stream: bool,
    /// `stream_options.include_usage` of Chat Completions.
    pub include_usage: Option<bool>,
    /// Instructions, in order. Only [`Part::Text`].
    pub system: Vec<Part>,
    /// The conversation, oldest first.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// What it must call.
    pub tool_choice: Option<ToolChoice>,
    /// `false`: at most one call in an answer.
    pub parallel_tools: Option<bool>,
    /// Most output tokens, thinking included.
    pub max_output: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    pub top_p: Option<Number>,
    /// Top-k sampling.
    pub top_k: Option<Number>,
    /// Presence penalty.
    pub presence_penalty: Option<Number>,
    /// Frequency penalty.
    pub frequency_penalty: Option<Number>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Log probabilities are wanted, with so many alternatives.
    pub logprobs: Option<u64>,
    /// The form of the answer's text.
    pub output: Option<OutputFormat>,
    /// How much the model shall think.
    pub reasoning: Option<Reasoning>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// Who the request is for, as the caller's own application names them.
    pub end_user: Option<String>,
    /// A cache marker for the whole prompt.
    pub cache: Option<CacheMarker>,
    /// What the gateway shall do about caches when the request is written.
    pub cache_wish: CacheWish,
    /// `drop_tuning_params`: `false` refuses instead of leaving out (providers 13).
    pub drop_tuning: bool,
    /// Top-level fields of the caller's dialect that have no neutral counterpart, in the order of the body.
    /// A writer takes those that its provider knows ([`Request::take`]); the rest is judged by
    /// [`crate::drops`].
    pub rest: Vec<(String, Raw)>,
    /// Fields that the answer repeats (Responses): name and JSON.
    pub echo: Vec<(String, Raw)>,
    /// Names of the body's fields in their order (Chat Completions): of several that a provider cannot be
    /// given, the first is named ([`crate::policy`]).
    pub order: Vec<String>,
    /// The answer shall not show what was thought (`reasoning.exclude` of Chat Completions).
    pub hide_thinking: bool,
}

impl Request {
    /// An empty request in a dialect.
    #[must_use]
    pub const fn new(from: Dialect) -> Self {
        Self {
            from,
            model: String::new(),
            stream: false,
            include_usage: None,
            system: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tools: None,
            max_output: None,
            temperature: None,
            top_p: None,
            top_k: None,
            presence_penalty: None,
            frequency_penalty: None,
            stop: Vec::new(),
            logprobs: None,
            output: None,
            reasoning: None,
            service_tier: None,
            end_user: None,
            cache: None,
            cache_wish: CacheWish::None,
            drop_tuning: true,
            rest: Vec::new(),
            echo: Vec::new(),
            order: Vec::new(),
            hide_thinking: false,
        }
    }

    /// Takes a field that has no neutral counterpart out of [`Request::rest`].
    pub fn take(&mut self, name: &str) -> Option<Raw> {
        let at = self.rest.iter().position(|(key, _)| key == name)?;
        Some(self.rest.remove(at).1)
    }

    /// The name of the tool that a call id belongs to, as the conversation tells it.
    #[must_use]
    pub fn tool_of_call(&self, id: &str) -> Option<&str> {
        let parts = self.turns.iter().flat_map(|turn| &turn.parts);
        parts
            .filter_map(|part| match part {
                Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
                _ => None,
            })
            .next_back()
    }

    /// Addresses of images and documents that a provider of this dialect cannot fetch itself, each once
    /// (providers 15.1).
    #[must_use]
    pub fn remote_sources(&self, to: Dialect) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let parts = self.turns.iter().flat_map(|turn| &turn.parts);
        visit_sources(parts, &mut |source, file| {
            if let Source::Url(url) = source
                && !to.fetches(url, file)
                && !found.contains(url)
            {
                found.push(url.clone());
            }
        });
        found
    }

    /// Puts what was fetched from `url` in its place: media type and base64 text.
    pub fn inline(&mut self, url: &str, media_type: &str, data: &str) {
        for turn in &mut self.turns {
            inline(&mut turn.parts, url, media_type, data);
        }
    }
}

/// Calls `see` with every source and whether it is a document or a sound.
fn visit_sources<'a>(
    parts: impl IntoIterator<Item = &'a Part>,
    see: &mut dyn FnMut(&'a Source, bool),
) {
    for part in parts {
        match part {
            Part::Image(media) => see(&media.source, false),
            Part::Document(media) | Part::Audio(media) => see(&media.source, true),
            Part::ToolResult(result) => visit_sources(&result.content, see),
            _ => {}
        }
    }
}

fn inline(parts: &mut [Part], url: &str, media_type: &str, data: &str) {
    for part in parts {
        match part {
            Part::Image(media) | Part::Document(media) | Part::Audio(media) => {
                if matches!(&media.source, Source::Url(own) if own == url) {
                    media.source = Source::Inline {
                        media_type: media_type.to_owned(),
                        data: data.to_owned(),
                    };
                }
            }
            Part::ToolResult(result) => inline(&mut result.content, url, media_type, data),
            _ => {}
        }
    }
}

impl Dialect {
    /// Whether a provider of this dialect fetches such an address itself; `file`: of a document or a sound.
    fn fetches(self, url: &str, file: bool) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| url.starts_with(prefix));
        match self {
            // Chat Completions has addresses for pictures alone.
            Self::Chat => !file,
            Self::Responses | Self::Messages => true,
            Self::Gemini => starts(&[
                "gs://",
                "https://generativelanguage.googleapis.com/",
                "https://www.youtube.com/",
                "https://youtu.be/",
            ]),
            Self::Converse => starts(&["s3://"]),
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller's side; tool results stand here.
    User,
    /// The model.
    Assistant,
}

/// One turn of the conversation. Readers keep turns as they stand; writers join what their dialect wants
/// joined.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// A piece of a turn or of an answer.
#[derive(Debug, Clone)]
pub enum Part {
    /// Text.
    Text(Text),
    /// A picture.
    Image(Media),
    /// A document: PDF, plain text.
    Document(Media),
    /// Sound.
    Audio(Media),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool returned.
    ToolResult(ToolResult),
    /// The model's thinking.
    Thinking(Thinking),
    /// The model refuses to answer, and says so.
    Refusal(String),
    /// A block of a tool that the provider runs. Only its own dialect knows it: other writers leave it out
    /// and say so.
    Hosted {
        /// The block's type in its dialect.
        kind: String,
        /// The block.
        raw: Raw,
    },
}

/// Text and what belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The prompt up to here shall be cached.
    pub cache: Option<CacheMarker>,
    /// Where it is from.
    pub citations: Vec<Citation>,
    /// The provider's seal on it (Gemini).
    pub signature: Option<Signature>,
}

impl Part {
    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text {
            text: text.into(),
            ..Text::default()
        })
    }

    /// Its marker, as [`Part::cache_mut`].
    #[must_use]
    pub const fn cache(&self) -> Option<Option<CacheMarker>> {
        match self {
            Self::Text(text) => Some(text.cache),
            Self::Image(media) | Self::Document(media) | Self::Audio(media) => Some(media.cache),
            Self::ToolCall(call) => Some(call.cache),
            Self::ToolResult(result) => Some(result.cache),
            Self::Thinking(_) | Self::Refusal(_) | Self::Hosted { .. } => None,
        }
    }

    /// The place for its marker; `None` where it cannot have one.
    pub const fn cache_mut(&mut self) -> Option<&mut Option<CacheMarker>> {
        match self {
            Self::Text(text) => Some(&mut text.cache),
            Self::Image(media) | Self::Document(media) | Self::Audio(media) => {
                Some(&mut media.cache)
            }
            Self::ToolCall(call) => Some(&mut call.cache),
            Self::ToolResult(result) => Some(&mut result.cache),
            Self::Thinking(_) | Self::Refusal(_) | Self::Hosted { .. } => None,
        }
    }
}

/// A source that the model names for what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// Address, when it is on the web.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
    /// The words that are cited, when they are given.
    pub cited_text: Option<String>,
    /// First and one-past-last character in the text that cites, when they are given.
    pub span: Option<(u64, u64)>,
}

/// How long the provider shall keep a cached prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheMarker {
    /// One hour instead of the usual five minutes.
    pub one_hour: bool,
}

impl CacheMarker {
    /// From `type` and `ttl` of a caller's `cache_control`. The type `persistent` stands for the longest
    /// there is.
    #[must_use]
    pub fn of(kind: Option<&RawValue>, ttl: Option<&str>) -> Self {
        let is_persistent = kind.is_some_and(|kind| kind.get() == "\"persistent\"");
        Self {
            one_hour: is_persistent || matches!(ttl, Some("1h" | "persistent")),
        }
    }
}

/// A picture, document or sound.
#[derive(Debug, Clone)]
pub struct Media {
    /// Where its bytes are.
    pub source: Source,
    /// File name or title.
    pub name: Option<String>,
    /// OpenAI's `detail` of an image.
    pub detail: Option<String>,
    /// Citations are wanted (Anthropic documents).
    pub citations: bool,
    /// The prompt up to here shall be cached.
    pub cache: Option<CacheMarker>,
}

impl Media {
    /// From a source, with nothing beside it.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self {
            source,
            name: None,
            detail: None,
            citations: false,
            cache: None,
        }
    }
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the body.
    Inline {
        /// Such as `image/png`.
        media_type: String,
        /// Standard base64 with padding.
        data: String,
    },
    /// Plain text in the body.
    Text(String),
    /// At an address.
    Url(String),
    /// At the provider, under an id of its own.
    File(String),
}

/// The model calls a tool.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments as JSON text; plain text when the tool is free-form. See [`ToolCall::object`].
    pub arguments: String,
    /// The arguments are plain text (Responses `custom`).
    pub freeform: bool,
    /// The provider's seal on it (Gemini).
    pub signature: Option<Signature>,
    /// The prompt up to here shall be cached.
    pub cache: Option<CacheMarker>,
}

impl ToolCall {
    /// The arguments as a JSON object: empty is `{}`, text of a free-form tool is `{"input": text}`, and
    /// what is no JSON object is `{"_raw": text}`, so that a broken history does not fail the turn.
    #[must_use]
    pub fn object(&self) -> String {
        let wrapped = |key: &str| {
            let text = serde_json::Value::from(self.arguments.as_str());
            format!("{{\"{key}\":{text}}}")
        };
        if self.freeform {
            return wrapped("input");
        }
        let trimmed = self.arguments.trim();
        if trimmed.is_empty() {
            return "{}".to_owned();
        }
        let is_json = serde_json::from_str::<&RawValue>(trimmed).is_ok();
        if is_json && trimmed.starts_with('{') {
            trimmed.to_owned()
        } else {
            wrapped("_raw")
        }
    }
}

/// What a tool returned.
#[derive(Debug, Clone)]
pub struct ToolResult {
    /// The call that it answers.
    pub call_id: String,
    /// The tool, when the dialect says it.
    pub name: Option<String>,
    /// Text, images, documents.
    pub content: Vec<Part>,
    /// The tool failed.
    pub is_error: bool,
    /// The call was free-form (Responses `custom_tool_call_output`).
    pub freeform: bool,
    /// The prompt up to here shall be cached.
    pub cache: Option<CacheMarker>,
}

/// The model's thinking.
#[derive(Debug, Clone, Default)]
pub struct Thinking {
    /// What it thought, or a summary; empty when it is hidden.
    pub text: String,
    /// The provider's seal; without it the provider does not take it back.
    pub signature: Option<Signature>,
    /// All of it is hidden in the seal (Anthropic `redacted_thinking`).
    pub redacted: bool,
    /// The provider's id of the item (Responses).
    pub id: Option<String>,
}

/// Something that the model may call.
#[derive(Debug, Clone)]
pub enum Tool {
    /// A function of the caller.
    Function(Function),
    /// A tool that a provider runs (`web_search`, `code_execution`, ...).
    Hosted {
        /// Its type in its dialect.
        kind: String,
        /// The whole entry.
        raw: Raw,
    },
}

/// A function of the caller.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub schema: Option<Raw>,
    /// Arguments must follow the schema exactly.
    pub strict: Option<bool>,
    /// Its input is plain text: elsewhere it becomes a function with one text argument `input`.
    pub freeform: bool,
    /// The prompt up to here shall be cached.
    pub cache: Option<CacheMarker>,
}

impl Function {
    /// The schema of an absent one is that of an object with nothing in it (providers 15.1); that of a
    /// free-form tool is one required text named `input`.
    #[must_use]
    pub fn schema(&self) -> &str {
        match &self.schema {
            _ if self.freeform => {
                r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#
            }
            Some(schema) => schema.get(),
            None => r#"{"type":"object","properties":{}}"#,
        }
    }
}

/// What the model must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// Nothing.
    None,
    /// Something.
    Any,
    /// This.
    Named(String),
}

/// The form of the answer's text.
#[derive(Debug, Clone)]
pub enum OutputFormat {
    /// Some JSON object.
    Json,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name; dialects without names lose it.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema.
        schema: Raw,
        /// It must be followed exactly.
        strict: Option<bool>,
    },
}

/// How much the model shall think.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// As a level.
    pub effort: Option<Effort>,
    /// As tokens; -1: as few as possible.
    pub budget: Option<i64>,
    /// Thinking is switched on (`Some(true)`, level left to the model when none is given) or off.
    pub enabled: Option<bool>,
    /// A summary of the thinking is wanted in the answer (Responses `summary`, Gemini `includeThoughts`).
    pub summary: Option<String>,
}

/// A level of thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words are the vendors'")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    /// All of them, weakest first.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Minimal,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::XHigh,
        Self::Max,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// From the word on the wire.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == word)
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The provider's id.
    pub id: Option<String>,
    /// The model as the provider names it.
    pub model: Option<String>,
    /// When it was made, seconds since the epoch.
    pub created: Option<u64>,
    /// What the model said, in order.
    pub parts: Vec<Part>,
    /// Why it stopped.
    pub stop: Stop,
    /// Tokens.
    pub usage: Option<Usage>,
    /// The service tier that served.
    pub service_tier: Option<String>,
    /// Log probabilities in the form of Chat Completions (`choices[].logprobs`).
    pub logprobs: Option<Raw>,
}

impl Answer {
    /// Rules that hold for every writer: structured output that came as a forced tool call becomes text,
    /// and a tool call makes a plain stop a tool use (providers 16).
    pub fn settle(&mut self, caller: &Caller) {
        if caller.json_tool {
            for part in &mut self.parts {
                if let Part::ToolCall(call) = part
                    && call.name == JSON_TOOL
                {
                    *part = Self::json_text(call);
                    if self.stop == Stop::ToolUse {
                        self.stop = Stop::End;
                    }
                }
            }
        }
        let calls = self
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolCall(_)));
        if calls && matches!(self.stop, Stop::End | Stop::Other) {
            self.stop = Stop::ToolUse;
        }
    }

    fn json_text(call: &ToolCall) -> Part {
        Part::text(call.object())
    }
}

/// The tool that stands in for structured output on models without it (providers 15.1).
pub const JSON_TOOL: &str = "json_output";

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It had said everything.
    End,
    /// It came to a stop sequence; which, when the provider tells.
    Sequence(Option<String>),
    /// It waits for tools.
    ToolUse,
    /// It came to a limit of tokens.
    Length,
    /// The provider held something back.
    Filtered,
    /// A tool that the provider runs takes long: the same conversation may be sent again.
    Paused,
    /// Something else.
    Other,
}

/// The provider failed, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status, when it had one.
    pub status: Option<u16>,
    /// Type: `rate_limit_error`, `RESOURCE_EXHAUSTED`, `ThrottlingException`, ...
    pub kind: Option<String>,
    /// Code beside the type (OpenAI).
    pub code: Option<String>,
    /// What happened.
    pub message: String,
    /// The parameter that is to blame (OpenAI).
    pub param: Option<String>,
}

/// What a provider's stream says, in neutral words. Readers may emit these in the provider's order,
/// however odd; [`crate::sequencer`] makes a legal sequence of them.
#[derive(Debug, Clone)]
pub enum Event {
    /// The answer begins. Later ones only fill in what was missing.
    Start {
        /// The provider's id.
        id: Option<String>,
        /// The model as the provider names it.
        model: Option<String>,
    },
    /// A block opens. `block` is the provider's own key for it.
    Open {
        /// Key of the block; text, thinking and calls share one space of keys.
        block: u32,
        /// What it is.
        kind: BlockKind,
    },
    /// More of a block. It opens by itself when it had not.
    Delta {
        /// Key of the block.
        block: u32,
        /// What comes.
        delta: Delta,
    },
    /// A block is complete.
    Close {
        /// Key of the block.
        block: u32,
    },
    /// The tokens of all that came so far. A later report replaces an earlier one unless it is all zero;
    /// one that cannot be true leaves nothing known.
    Usage(Reading),
    /// The service tier that serves.
    Tier(String),
    /// Why it stopped.
    Stop(Stop),
    /// Nothing, to keep the line open.
    Ping,
    /// The provider failed: nothing comes after it.
    Failed(Failure),
    /// The provider says that this was all.
    End,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockKind {
    /// Text.
    Text,
    /// The model's refusal, in words.
    Refusal,
    /// Thinking. The provider's id of the item, when it has one.
    Thinking {
        /// Id of the item.
        id: Option<String>,
        /// All of it is in the signature.
        redacted: bool,
    },
    /// A tool call.
    Tool {
        /// The call's id.
        id: Option<String>,
        /// The tool.
        name: String,
    },
}

/// More of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Of text or of a refusal.
    Text(String),
    /// Of thinking.
    Thinking(String),
    /// The seal on thinking, on text or on a call; whole.
    Signature(Signature),
    /// Of a call's arguments.
    Arguments(String),
    /// A source of the text.
    Citation(Citation),
    /// Log probabilities of the text, as Chat Completions has them.
    Logprobs(String),
}
