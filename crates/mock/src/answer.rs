//! The answer before it has a dialect: its text in content frames, and its token counts.
//!
//! Deterministic. The counting rule: a token is a word between white space; input is all text of
//! the request (directives removed), output is the text of the answer plus the thinking. What a
//! directive's `usage` gives replaces that. Knows no wire format. Start at [`Draft`].

use serde_json::Value;

use crate::directive::{Directive, UsageSpec};
use crate::json::quote;
use crate::record::Usage;
use crate::request::{Ask, words};
use crate::scripted::{Answer, Part, Quirks, ServerTool, StopReason, ToolCall};
use crate::seal::sign;

/// What the mock thinks, whenever it thinks.
const THOUGHT: &str = "The user said something, so I will say it back.";
const ECHO_WORDS: usize = 40;
/// Letters of a scripted tool call's arguments in one frame.
const ARGUMENT_FRAME: usize = 12;
/// Above this a given count is a fault to report, not a number to bill.
const SANE: u64 = 1_000_000_000_000;

/// One answer, ready to be written in a dialect.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The number in its id.
    pub(crate) n: u64,
    pub(crate) model: String,
    pub(crate) created: u64,
    pub(crate) blocks: Vec<Block>,
    pub(crate) stop: StopReason,
    pub(crate) stop_sequence: Option<String>,
    /// The finish reason that a directive gives verbatim.
    pub(crate) finish: Option<String>,
    /// The prompt was refused, and there is no answer.
    pub(crate) blocked: Option<String>,
    pub(crate) include_usage: bool,
    /// The caller asked for sealed reasoning.
    pub(crate) sealed: bool,
    /// The caller asked to see a summary of the reasoning.
    pub(crate) summary: bool,
    pub(crate) previous: Option<String>,
    pub(crate) quirks: Quirks,
    pub(crate) bill: Bill,
}

/// One part of an answer, cut into what goes into each frame.
#[derive(Debug)]
pub(crate) enum Block {
    Text(Vec<String>),
    Refusal(Vec<String>),
    Thinking {
        frames: Vec<String>,
        signature: String,
    },
    Redacted(String),
    Tool {
        /// Its place among the calls of this answer.
        call: u64,
        id: Option<String>,
        name: String,
        /// The arguments as JSON text.
        frames: Vec<String>,
    },
    Server {
        name: String,
        input: String,
        result: String,
    },
}

/// The counts, and how they are reported.
#[derive(Debug)]
pub(crate) struct Bill {
    pub(crate) usage: Usage,
    spec: UsageSpec,
    absent: bool,
    verbatim: Option<String>,
}

impl Draft {
    pub(crate) fn new(n: u64, created: u64, ask: &Ask, directive: &Directive) -> Self {
        let scripted = Answer::of_turns(&directive.turns, ask.tool_results);
        let (blocks, stop, stop_sequence) = match scripted.or(directive.answer.as_ref()) {
            Some(answer) => told(answer),
            None => made_up(ask, directive),
        };
        let (spoken, thought) = (spoken(&blocks), thought(&blocks));
        let bill = Bill::new(ask.words, spoken, thought, directive);
        let model = directive
            .model
            .clone()
            .or_else(|| ask.model.clone())
            .unwrap_or_default();
        Self {
            n,
            model,
            created,
            blocks,
            stop,
            stop_sequence,
            finish: directive.finish_reason.clone(),
            blocked: directive.block_reason.clone(),
            include_usage: ask.include_usage,
            sealed: ask.sealed,
            summary: ask.summary,
            previous: ask.previous.clone(),
            quirks: directive.quirks.clone(),
            bill,
        }
    }

    /// All text of the answer, refusals and thoughts left out.
    pub(crate) fn text(&self) -> String {
        let text = |block: &Block| match block {
            Block::Text(frames) => frames.concat(),
            _ => String::new(),
        };
        self.blocks.iter().map(text).collect()
    }

    pub(crate) fn refusal(&self) -> Option<String> {
        self.blocks.iter().find_map(|block| match block {
            Block::Refusal(frames) => Some(frames.concat()),
            _ => None,
        })
    }

    /// All thoughts that can be read.
    pub(crate) fn thoughts(&self) -> String {
        let thought = |block: &Block| match block {
            Block::Thinking { frames, .. } => frames.concat(),
            _ => String::new(),
        };
        self.blocks.iter().map(thought).collect()
    }

    pub(crate) fn calls_tools(&self) -> bool {
        let is_call = |block: &Block| matches!(block, Block::Tool { .. });
        self.blocks.iter().any(is_call)
    }

    /// Bytes of text and arguments.
    pub(crate) fn text_bytes(&self) -> u64 {
        let bytes = self.blocks.iter().flat_map(Block::heard).map(String::len);
        count(bytes.sum())
    }

    pub(crate) fn words(&self) -> u64 {
        spoken(&self.blocks)
    }

    /// Makes the last word of the text longer: the token count stays. False without a text.
    pub(crate) fn pad(&mut self, padding: &str) -> bool {
        let last = self.blocks.iter_mut().rev().find_map(|block| match block {
            Block::Text(frames) => Some(frames),
            _ => None,
        });
        let Some(frames) = last else {
            return false;
        };
        match frames.last_mut() {
            Some(last) => last.push_str(padding),
            None => frames.push(padding.to_owned()),
        }
        true
    }

    /// How many frames a stream has, more or less.
    pub(crate) fn frames(&self) -> usize {
        let frames = |block: &Block| match block {
            Block::Text(frames) | Block::Refusal(frames) => frames.len() + 4,
            Block::Thinking { frames, .. } | Block::Tool { frames, .. } => frames.len() + 4,
            Block::Redacted(_) | Block::Server { .. } => 4,
        };
        self.blocks.iter().map(frames).sum::<usize>() + 8
    }

    /// An id for the call at this place: plain for the first one, as most answers have only one.
    pub(crate) fn call_id(&self, prefix: &str, call: u64) -> String {
        match call {
            0 => format!("{prefix}_mock_{}", self.n),
            _ => format!("{prefix}_mock_{}_{call}", self.n),
        }
    }
}

impl Block {
    /// The frames that the caller sees as text or arguments.
    fn heard(&self) -> &[String] {
        match self {
            Self::Text(frames) | Self::Refusal(frames) | Self::Tool { frames, .. } => frames,
            Self::Thinking { .. } | Self::Redacted(_) | Self::Server { .. } => &[],
        }
    }
}

/// Each frame with the one before it.
pub(crate) fn with_before(frames: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let before = std::iter::once("").chain(frames.iter().map(String::as_str));
    before.zip(frames.iter().map(String::as_str))
}

type Told = (Vec<Block>, StopReason, Option<String>);

/// What a directive scripted.
fn told(answer: &Answer) -> Told {
    let Answer {
        parts,
        stop,
        stop_sequence,
    } = answer;
    let mut calls = 0;
    let block = |part: &Part| match part {
        Part::Text(text) => Block::Text(pieces(text)),
        Part::Refusal(text) => Block::Refusal(pieces(text)),
        Part::Thinking {
            thinking,
            signature,
        } => Block::Thinking {
            frames: pieces(thinking),
            signature: signature.clone().unwrap_or_else(|| sign(thinking)),
        },
        Part::Redacted(data) => Block::Redacted(data.clone()),
        Part::Tool(tool) => {
            let ToolCall {
                name,
                arguments,
                id,
            } = tool;
            calls += 1;
            Block::Tool {
                call: calls - 1,
                id: id.clone(),
                name: name.clone(),
                frames: slices(arguments.get(), ARGUMENT_FRAME),
            }
        }
        Part::ServerTool(tool) => {
            let ServerTool {
                name,
                input,
                result,
            } = tool;
            Block::Server {
                name: name.clone(),
                input: input.get().to_owned(),
                result: result
                    .as_ref()
                    .map_or_else(|| String::from("[]"), |result| result.get().to_owned()),
            }
        }
    };
    let blocks: Vec<Block> = parts.iter().map(block).collect();
    let usual = if calls > 0 {
        StopReason::Tool
    } else {
        StopReason::End
    };
    (blocks, stop.unwrap_or(usual), stop_sequence.clone())
}

/// What the mock says when nobody told it what to say.
fn made_up(ask: &Ask, directive: &Directive) -> Told {
    let mut blocks = Vec::new();
    let mut thought = 0;
    if directive.thinking.unwrap_or(ask.thinks) {
        thought = words(THOUGHT);
        blocks.push(Block::Thinking {
            frames: pieces(THOUGHT),
            signature: sign(THOUGHT),
        });
    }
    let stop = match ask.tool.clone().filter(|_| directive.tool_call) {
        Some(name) => {
            blocks.push(Block::Tool {
                call: 0,
                id: None,
                name,
                frames: arguments(ask, directive),
            });
            StopReason::Tool
        }
        None => {
            let (frames, stop) = text_parts(ask, directive, thought);
            blocks.push(Block::Text(frames));
            stop
        }
    };
    (blocks, stop, None)
}

fn spoken(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| words_in(block.heard())).sum()
}

fn thought(blocks: &[Block]) -> u64 {
    let words = |block: &Block| match block {
        Block::Thinking { frames, .. } => words_in(frames),
        _ => 0,
    };
    blocks.iter().map(words).sum()
}

impl Bill {
    pub(crate) fn new(input_words: u64, spoken: u64, thought: u64, directive: &Directive) -> Self {
        let spec = directive.usage.clone().unwrap_or_default();
        let cached_read = sane(spec.cached_tokens.as_ref()).unwrap_or(0);
        let cache_write_5m = sane(spec.cache_creation_5m.as_ref()).unwrap_or(0);
        let cache_write_1h = sane(spec.cache_creation_1h.as_ref()).unwrap_or(0);
        let fresh = sane(spec.input_tokens.as_ref()).or_else(|| {
            let all = sane(spec.prompt_tokens.as_ref())?;
            Some(all.saturating_sub(cached_read + cache_write_5m + cache_write_1h))
        });
        let input = fresh.unwrap_or(input_words);
        let reasoning = sane(spec.reasoning_tokens.as_ref()).unwrap_or(thought);
        let usage = Usage {
            input,
            cached_read,
            cache_write_5m,
            cache_write_1h,
            output: sane(spec.completion_tokens.as_ref()).unwrap_or(spoken + reasoning),
            reasoning,
            audio_input: sane(spec.audio_input_tokens.as_ref()).unwrap_or(0),
            audio_output: sane(spec.audio_output_tokens.as_ref()).unwrap_or(0),
        };
        let verbatim = directive.usage_raw.as_ref().map(|raw| raw.get().to_owned());
        Self {
            usage,
            spec,
            absent: directive.no_usage,
            verbatim,
        }
    }

    /// All input, as the OpenAI dialect counts it.
    pub(crate) fn prompt(&self) -> String {
        let usage = &self.usage;
        let all = usage.input + usage.cached_read + usage.cache_write_5m + usage.cache_write_1h;
        shown(self.spec.prompt_tokens.as_ref(), all)
    }

    /// Input outside the caches, as the Anthropic dialect counts it.
    pub(crate) fn fresh(&self) -> String {
        let given = self.spec.prompt_tokens.as_ref();
        let absurd = given.filter(|value| sane(Some(value)).is_none());
        shown(self.spec.input_tokens.as_ref().or(absurd), self.usage.input)
    }

    pub(crate) fn output(&self) -> String {
        shown(self.spec.completion_tokens.as_ref(), self.usage.output)
    }

    pub(crate) fn total(&self) -> String {
        let number = |text: String| text.parse::<u64>().unwrap_or(0);
        let sum = number(self.prompt()).saturating_add(number(self.output()));
        shown(self.spec.total_tokens.as_ref(), sum)
    }

    pub(crate) fn cached(&self) -> String {
        shown(self.spec.cached_tokens.as_ref(), self.usage.cached_read)
    }

    pub(crate) fn write_5m(&self) -> String {
        shown(
            self.spec.cache_creation_5m.as_ref(),
            self.usage.cache_write_5m,
        )
    }

    pub(crate) fn write_1h(&self) -> String {
        shown(
            self.spec.cache_creation_1h.as_ref(),
            self.usage.cache_write_1h,
        )
    }

    /// Output without the reasoning, as Gemini counts it.
    pub(crate) fn candidates(&self) -> String {
        let counted = self.usage.output.saturating_sub(self.usage.reasoning);
        let given = self.spec.completion_tokens.as_ref();
        let absurd = given.filter(|value| sane(Some(value)).is_none());
        shown(absurd, counted)
    }

    /// The cached input, if there is any to tell of.
    pub(crate) fn has_cached(&self) -> bool {
        self.spec.cached_tokens.is_some()
    }

    /// Both kinds of cache writes.
    pub(crate) fn written(&self) -> u64 {
        self.usage.cache_write_5m + self.usage.cache_write_1h
    }

    pub(crate) fn reasoning(&self) -> String {
        shown(self.spec.reasoning_tokens.as_ref(), self.usage.reasoning)
    }

    pub(crate) fn audio_input(&self) -> String {
        shown(
            self.spec.audio_input_tokens.as_ref(),
            self.usage.audio_input,
        )
    }

    pub(crate) fn audio_output(&self) -> String {
        shown(
            self.spec.audio_output_tokens.as_ref(),
            self.usage.audio_output,
        )
    }

    /// The usage object to put on the wire: verbatim if the directive says so, nothing, or `made`.
    pub(crate) fn reported(&self, made: impl FnOnce() -> String) -> Option<String> {
        if self.absent {
            return None;
        }
        Some(self.verbatim.clone().unwrap_or_else(made))
    }
}

fn sane(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64).filter(|count| *count <= SANE)
}

fn shown(given: Option<&Value>, counted: u64) -> String {
    given.map_or_else(|| counted.to_string(), Value::to_string)
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn words_in(parts: &[String]) -> u64 {
    words(&parts.concat())
}

/// Text cut behind its spaces, so that each piece is a word.
fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn text_parts(ask: &Ask, directive: &Directive, thought: u64) -> (Vec<String>, StopReason) {
    let text = directive.text.clone().unwrap_or_else(|| echo(&ask.prompt));
    let mut parts = pieces(&text);
    if directive.frames.is_some() || directive.frame_text_bytes.is_some() {
        return (shaped(&parts, directive), StopReason::End);
    }
    let given = directive.text.is_some()
        || directive
            .usage
            .as_ref()
            .is_some_and(|usage| usage.completion_tokens.is_some());
    let room = ask
        .max_tokens
        .map_or(u64::MAX, |max| max.saturating_sub(thought).max(1));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if given || parts.len() <= room {
        return (parts, StopReason::End);
    }
    parts.truncate(room);
    (parts, StopReason::Length)
}

fn echo(prompt: &str) -> String {
    let said: Vec<&str> = prompt.split_whitespace().take(ECHO_WORDS).collect();
    if said.is_empty() {
        return String::from("You said nothing, and the mock provider answers all the same.");
    }
    format!("You said: {}. This is the mock provider.", said.join(" "))
}

fn arguments(ask: &Ask, directive: &Directive) -> Vec<String> {
    let json = directive.text.clone().unwrap_or_else(|| {
        let said: Vec<&str> = ask.prompt.split_whitespace().take(ECHO_WORDS).collect();
        format!("{{\"input\": {}}}", quote(&said.join(" ")))
    });
    let Some(frames) = directive
        .frames
        .and_then(|frames| usize::try_from(frames).ok())
    else {
        return pieces(&json);
    };
    let letters = json.chars().count();
    slices(&json, letters.div_ceil(frames.max(1)).max(1))
}

/// Pieces of so many letters.
fn slices(text: &str, size: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(size)
        .map(|chunk| chunk.iter().collect())
        .collect()
}

/// The words over and over until there are as many frames as asked for, each of the size asked for.
fn shaped(parts: &[String], directive: &Directive) -> Vec<String> {
    let frames = directive
        .frames
        .and_then(|frames| usize::try_from(frames).ok());
    let frames = frames.unwrap_or(parts.len());
    let words = parts
        .iter()
        .map(|part| part.trim_end())
        .cycle()
        .take(frames);
    words
        .map(|word| padded(word, directive.frame_text_bytes))
        .collect()
}

fn padded(word: &str, size: Option<usize>) -> String {
    let Some(size) = size else {
        return format!("{word} ");
    };
    let Some(room) = size.checked_sub(1) else {
        return String::new();
    };
    let mut kept = String::with_capacity(size);
    for letter in word
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric())
    {
        if kept.len() < room {
            kept.push(letter);
        }
    }
    kept.extend(std::iter::repeat_n('x', room - kept.len()));
    kept.push(' ');
    kept
}
