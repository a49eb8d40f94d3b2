//! Gemini `generateContent`, as the Gemini API and Vertex AI both speak it.
//!
//! A stream is a list of answers that are added up: server-sent events, or a JSON array that comes
//! in pieces. Start at [`whole`] and [`stream`].

use crate::answer::{Bill, Block, Draft};
use crate::clock::rfc3339;
use crate::json::{Obj, json_or_text};
use crate::plan::Piece;
use crate::scripted::StopReason;
use crate::seal::sign;

pub(crate) fn id(draft: &Draft) -> String {
    format!("mock-{}", draft.n)
}

pub(crate) fn whole(draft: &Draft) -> String {
    let usage = draft.bill.reported(|| usage(&draft.bill, true));
    if let Some(blocked) = &draft.blocked {
        return refused_prompt(draft, blocked, usage.as_deref());
    }
    let parts: Vec<String> = draft
        .blocks
        .iter()
        .flat_map(|block| full(draft, block))
        .collect();
    answer(draft, &parts, Some(finish(draft)), usage.as_deref())
}

/// `array` is the framing without `alt=sse`.
pub(crate) fn stream(draft: &Draft, array: bool) -> Vec<Piece> {
    let mut frames = Frames {
        draft,
        array,
        pieces: Vec::with_capacity(draft.frames()),
    };
    let total = draft.bill.reported(|| usage(&draft.bill, true));
    if let Some(blocked) = &draft.blocked {
        let refusal = refused_prompt(draft, blocked, total.as_deref());
        frames.push(&refusal, |piece| piece.reporting(total.is_some()));
        return frames.end();
    }
    for block in &draft.blocks {
        match block {
            Block::Text(parts) | Block::Refusal(parts) => {
                for part in parts {
                    frames.part(&text_part(part), |piece| piece.carrying(part));
                }
            }
            Block::Thinking { frames: parts, .. } => {
                for part in parts {
                    frames.part(&thought_part(part), |piece| piece);
                }
            }
            Block::Tool { frames: parts, .. } => {
                let arguments = parts.concat();
                for part in full(draft, block) {
                    frames.part(&part, |piece| piece.carrying(&arguments));
                }
            }
            Block::Redacted(_) | Block::Server { .. } => {
                for part in full(draft, block) {
                    frames.part(&part, |piece| piece);
                }
            }
        }
    }
    let last = answer(
        draft,
        &[text_part("")],
        Some(finish(draft)),
        total.as_deref(),
    );
    frames.push(&last, |piece| piece.reporting(total.is_some()));
    frames.end()
}

/// One element of a stream, behind so many others.
pub(crate) fn framed(json: &str, array: bool, before: usize) -> String {
    match (array, before) {
        (false, _) => format!("data: {json}\r\n\r\n"),
        (true, 0) => format!("[{json}\n"),
        (true, _) => format!(",\r\n{json}\n"),
    }
}

struct Frames<'a> {
    draft: &'a Draft,
    array: bool,
    pieces: Vec<Piece>,
}

impl Frames<'_> {
    fn push(&mut self, json: &str, mark: impl FnOnce(Piece) -> Piece) {
        let text = framed(json, self.array, self.pieces.len());
        self.pieces.push(mark(Piece::lead(text)));
    }

    fn part(&mut self, part: &str, mark: impl FnOnce(Piece) -> Piece) {
        let usage = self.draft.bill.reported(|| usage(&self.draft.bill, false));
        let json = answer(self.draft, &[part.to_owned()], None, usage.as_deref());
        self.push(&json, mark);
    }

    fn end(mut self) -> Vec<Piece> {
        if self.array {
            self.pieces.push(Piece::lead(String::from("]")));
        }
        self.pieces
    }
}

fn answer(draft: &Draft, parts: &[String], finish: Option<&str>, usage: Option<&str>) -> String {
    let content = Obj::new()
        .raw("parts", &format!("[{}]", parts.join(",")))
        .str("role", "model")
        .end();
    let mut candidate = Obj::new().raw("content", &content);
    if let Some(finish) = finish {
        candidate = candidate.str("finishReason", finish);
    }
    let candidate = candidate.num("index", 0).end();
    let answer = Obj::new().raw("candidates", &format!("[{candidate}]"));
    ended(draft, answer, usage)
}

fn refused_prompt(draft: &Draft, reason: &str, usage: Option<&str>) -> String {
    let rating = Obj::new()
        .str("category", "HARM_CATEGORY_DANGEROUS_CONTENT")
        .str("probability", "HIGH")
        .raw("blocked", "true")
        .end();
    let feedback = Obj::new()
        .str("blockReason", reason)
        .raw("safetyRatings", &format!("[{rating}]"))
        .end();
    ended(draft, Obj::new().raw("promptFeedback", &feedback), usage)
}

fn ended(draft: &Draft, answer: Obj, usage: Option<&str>) -> String {
    answer
        .raw_if("usageMetadata", usage)
        .str("modelVersion", &draft.model)
        .str("createTime", &rfc3339(draft.created))
        .str("responseId", &id(draft))
        .end()
}

/// The parts of a block, in one piece each.
fn full(draft: &Draft, block: &Block) -> Vec<String> {
    match block {
        Block::Text(frames) | Block::Refusal(frames) => vec![text_part(&frames.concat())],
        Block::Thinking { frames, .. } => vec![thought_part(&frames.concat())],
        Block::Redacted(data) => {
            let part = Obj::new().str("text", "").str("thoughtSignature", data);
            vec![part.end()]
        }
        Block::Tool {
            call,
            id,
            name,
            frames,
        } => {
            let arguments = frames.concat();
            let mut function = Obj::new();
            if let Some(id) = id {
                function = function.str("id", id);
            }
            let function = function
                .str("name", name)
                .raw("args", &json_or_text(&arguments))
                .end();
            let part = Obj::new().raw("functionCall", &function);
            // Of parallel calls, the vendor signs the first.
            let part = if *call == 0 {
                part.str("thoughtSignature", &signature(draft, &arguments))
            } else {
                part
            };
            vec![part.end()]
        }
        Block::Server {
            name: _,
            input,
            result,
        } => {
            let code = Obj::new()
                .str("language", "PYTHON")
                .str("code", input)
                .end();
            let outcome = Obj::new()
                .str("outcome", "OUTCOME_OK")
                .str("output", result)
                .end();
            vec![
                Obj::new().raw("executableCode", &code).end(),
                Obj::new().raw("codeExecutionResult", &outcome).end(),
            ]
        }
    }
}

/// That of the thought in front of the call, if there is one.
fn signature(draft: &Draft, arguments: &str) -> String {
    let thought = draft.blocks.iter().find_map(|block| match block {
        Block::Thinking { signature, .. } => Some(signature.clone()),
        _ => None,
    });
    thought.unwrap_or_else(|| sign(arguments))
}

fn text_part(text: &str) -> String {
    Obj::new().str("text", text).end()
}

fn thought_part(text: &str) -> String {
    Obj::new().str("text", text).raw("thought", "true").end()
}

fn finish(draft: &Draft) -> &str {
    let usual = match draft.stop {
        StopReason::End | StopReason::Tool | StopReason::StopSequence | StopReason::Pause => "STOP",
        StopReason::Length => "MAX_TOKENS",
        StopReason::Filter | StopReason::Refusal => "SAFETY",
    };
    draft.finish.as_deref().unwrap_or(usual)
}

/// The frames before the last know the input side only.
fn usage(bill: &Bill, last: bool) -> String {
    let prompt = bill.prompt();
    let mut made = Obj::new().raw("promptTokenCount", &prompt);
    if bill.has_cached() {
        made = made.raw("cachedContentTokenCount", &bill.cached());
    }
    if last {
        made = made.raw("candidatesTokenCount", &bill.candidates());
        if bill.usage.reasoning > 0 {
            made = made.raw("thoughtsTokenCount", &bill.reasoning());
        }
        made = made.raw("totalTokenCount", &bill.total());
    } else {
        made = made.raw("totalTokenCount", &prompt);
    }
    let all = bill.usage.input + bill.usage.cached_read + bill.written();
    let modality = |name: &str, tokens: u64| {
        Obj::new()
            .str("modality", name)
            .num("tokenCount", tokens)
            .end()
    };
    let audio = bill.usage.audio_input;
    let mut details = vec![modality("TEXT", all.saturating_sub(audio))];
    if audio > 0 {
        details.push(modality("AUDIO", audio));
    }
    made.raw("promptTokensDetails", &format!("[{}]", details.join(",")))
        .end()
}
