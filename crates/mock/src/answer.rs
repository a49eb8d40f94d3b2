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

/// What the mock thinks, whenever it thinks.
const THOUGHT: &str = "The user said something, so I will say it back.";
const ECHO_WORDS: usize = 40;
/// Above this a given count is a fault to report, not a number to bill.
const SANE: u64 = 1_000_000_000_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    End,
    Length,
    Tool,
}

/// One answer, ready to be written in a dialect.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The number in its id.
    pub(crate) n: u64,
    pub(crate) model: String,
    pub(crate) created: u64,
    /// The text, or the tool's arguments, one element per content frame.
    pub(crate) parts: Vec<String>,
    /// The tool that is called, when `parts` are its arguments.
    pub(crate) tool: Option<String>,
    /// Thinking, one element per frame.
    pub(crate) thought: Vec<String>,
    pub(crate) stop: Stop,
    pub(crate) include_usage: bool,
    pub(crate) bill: Bill,
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
        let thinks = directive.thinking.unwrap_or(ask.thinks);
        let thought = if thinks { pieces(THOUGHT) } else { Vec::new() };
        let tool = ask.tool.clone().filter(|_| directive.tool_call);
        let (parts, stop) = match &tool {
            Some(_) => (arguments(ask, directive), Stop::Tool),
            None => text_parts(ask, directive, words_in(&thought)),
        };
        let spoken = words_in(&parts);
        let bill = Bill::new(ask.words, spoken, words_in(&thought), directive);
        let model = directive
            .model
            .clone()
            .or_else(|| ask.model.clone())
            .unwrap_or_default();
        let include_usage = ask.include_usage;
        Self {
            n,
            model,
            created,
            parts,
            tool,
            thought,
            stop,
            include_usage,
            bill,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.parts.concat()
    }

    pub(crate) fn text_bytes(&self) -> u64 {
        count(self.parts.iter().map(String::len).sum())
    }

    pub(crate) fn words(&self) -> u64 {
        words_in(&self.parts)
    }
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

fn text_parts(ask: &Ask, directive: &Directive, thought: u64) -> (Vec<String>, Stop) {
    let text = directive.text.clone().unwrap_or_else(|| echo(&ask.prompt));
    let mut parts = pieces(&text);
    if directive.frames.is_some() || directive.frame_text_bytes.is_some() {
        return (shaped(&parts, directive), Stop::End);
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
        return (parts, Stop::End);
    }
    parts.truncate(room);
    (parts, Stop::Length)
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
    let letters: Vec<char> = json.chars().collect();
    let size = letters.len().div_ceil(frames.max(1)).max(1);
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
