//! Checks a stream while it passes (data-plane 16.4).
//!
//! Bytes go in as they come and frames come out in the same order, each as it was or with its visible text changed.
//! Only frames with visible text wait for a check, one after the other. A check that fails or takes too long lets
//! its frame pass. Must never keep more than [`MOST_HELD`]: when a caller pushes more, what waits passes unchecked.
//!
//! Start at [`StreamGuard::push`] and [`StreamGuard::poll`]; [`Listener`] only listens, for the check of the whole.

mod lanes;
mod terminal;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lw_core::{BodyForm, GuardrailId};
use lw_wire::speech::{Frame, Frames, Framing, Said, Spoken, said};
use tokio::time::{Instant, timeout_at};

use super::{Blocked, CheckedTexts, Checker, Direction, Guards, Outcome, Unavailable, Who};
use lanes::Lanes;
pub use terminal::blocked_frame;

/// The most bytes that wait behind a check (data-plane 17.6).
pub const MOST_HELD: usize = 1024 * 1024;

/// What comes out of a guarded stream.
#[derive(Debug)]
pub enum Step {
    /// The next bytes of the stream.
    Pass(Bytes),
    /// The last bytes: the terminal frame. What follows in the provider's stream is to be dropped, and its
    /// connection closed.
    Block(Bytes),
}

/// What is known of the checks of a stream, for spans and metrics.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Checks that were made or tried.
    pub checks: u64,
    /// Of these, how many allowed, changed, or let pass because they failed.
    pub allowed: u64,
    /// Checks that changed the text.
    pub modified: u64,
    /// Checks that let pass because they failed.
    pub fail_open: u64,
    /// Why the first of these failed.
    pub fail_open_reason: Option<&'static str>,
    /// The longest check.
    pub longest: Duration,
    /// Frames without visible text.
    pub skipped: u64,
    /// Who changed texts.
    pub applied: Vec<GuardrailId>,
    /// Who ended the stream.
    pub blocked: Option<Blocked>,
}

type Checking = BoxFuture<'static, Result<CheckedTexts, Unavailable>>;

/// The checks of one stream.
pub struct StreamGuard {
    checker: Checker,
    guards: Arc<Guards>,
    who: Arc<Who>,
    form: BodyForm,
    frames: Frames,
    lanes: Lanes,
    current: Option<Current>,
    facts: Facts,
    /// The provider's stream is over.
    ended: bool,
    /// A guardrail ended it.
    blocked: bool,
    /// Bytes went out.
    begun: bool,
    calls_tool: bool,
}

/// The frame whose texts are being checked.
struct Current {
    frame: Bytes,
    spoken: Spoken,
    /// What the texts so far become.
    done: Vec<String>,
    pending: Option<Pending>,
}

struct Pending {
    checking: Checking,
    /// What was sent along in front of the text.
    window: String,
    since: Instant,
}

impl StreamGuard {
    /// For a stream of this form. `form` is the caller's dialect, as its tap reads it; `BodyForm::GeminiJson` is
    /// Gemini's list of chunks.
    #[must_use]
    pub fn new(checker: Checker, guards: Arc<Guards>, who: Arc<Who>, form: BodyForm) -> Self {
        Self {
            lanes: Lanes::new(&checker),
            checker,
            guards,
            who,
            form,
            frames: Frames::new(framing(form)),
            current: None,
            facts: Facts::default(),
            ended: false,
            blocked: false,
            begun: false,
            calls_tool: false,
        }
    }

    /// Takes the provider's next bytes, in the caller's dialect.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.blocked {
            self.frames.push(bytes);
        }
    }

    /// No more bytes come. What is held still comes out of [`Self::poll`].
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes that wait.
    #[must_use]
    pub fn held(&self) -> usize {
        let current = self
            .current
            .as_ref()
            .map_or(0, |current| current.frame.len());
        current + self.frames.held()
    }

    /// What is known so far.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What was delivered, one text for each choice, for the check of the whole (`Direction::Response`). `None`
    /// when the model called a tool, when nothing was said, or when it was more than is kept.
    #[must_use]
    pub fn whole(&mut self) -> Option<Vec<String>> {
        if self.calls_tool {
            return None;
        }
        self.lanes.take(self.form)
    }

    /// The next bytes for the caller. `Ready(None)`: everything that was pushed has come out, or the stream is
    /// over. `Pending`: a check is being made; more may be pushed meanwhile.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        loop {
            if self.blocked {
                return Poll::Ready(None);
            }
            if self.current.is_some() {
                let step = std::task::ready!(self.poll_current(cx));
                return Poll::Ready(Some(step));
            }
            let next = match self.frames.next_frame() {
                Some(frame) => frame,
                None if self.ended => match self.frames.finish() {
                    Some(frame) => frame,
                    None => return Poll::Ready(None),
                },
                None => return Poll::Ready(None),
            };
            if let Some(bytes) = self.take(next) {
                self.begun = true;
                return Poll::Ready(Some(Step::Pass(bytes)));
            }
        }
    }

    /// Looks at a frame: one that says nothing comes back at once.
    fn take(&mut self, frame: Frame) -> Option<Bytes> {
        let Frame { bytes, whole } = frame;
        if !whole {
            self.passed_unchecked("frame_too_large");
            return Some(bytes);
        }
        let spoken = said(self.form, self.frames.framing(), &bytes);
        self.calls_tool |= spoken.calls_tool;
        if spoken.texts.is_empty() {
            self.facts.skipped += 1;
            return Some(bytes);
        }
        self.current = Some(Current {
            frame: bytes,
            spoken,
            done: Vec::new(),
            pending: None,
        });
        None
    }

    fn passed_unchecked(&mut self, why: &'static str) {
        self.facts.checks += 1;
        self.facts.fail_open += 1;
        self.facts.fail_open_reason.get_or_insert(why);
    }

    /// Goes on with the frame in hand until its last text is known.
    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            let held = self.held();
            let Some(current) = &mut self.current else {
                return Poll::Ready(Step::Pass(Bytes::new()));
            };
            let Some(said) = current.spoken.texts.get(current.done.len()).cloned() else {
                return Poll::Ready(Step::Pass(self.written()));
            };
            let Some(pending) = &mut current.pending else {
                if let Some(repeated) = self.lanes.repeated(&said) {
                    current.done.push(repeated.into_owned());
                } else if let Some(blocked) = self.begin(&said, held) {
                    return Poll::Ready(self.block(blocked));
                }
                continue;
            };
            let checked = match pending.checking.as_mut().poll(cx) {
                Poll::Ready(checked) => Some(checked),
                Poll::Pending if held <= MOST_HELD => return Poll::Pending,
                Poll::Pending => None,
            };
            let (window, took) = (std::mem::take(&mut pending.window), pending.since.elapsed());
            current.pending = None;
            self.facts.longest = self.facts.longest.max(took);
            match checked {
                Some(Ok(checked)) => {
                    if let Some(blocked) = self.decided(&said, &window, checked) {
                        return Poll::Ready(self.block(blocked));
                    }
                }
                Some(Err(unavailable)) => self.unchecked(&said, unavailable.failure.as_str()),
                None => self.unchecked(&said, "backlog"),
            }
        }
    }

    /// Begins the check of a text, and ends it when nothing has to be waited for.
    fn begin(&mut self, said: &Said, held: usize) -> Option<Blocked> {
        if held > MOST_HELD {
            self.unchecked(said, "backlog");
            return None;
        }
        let window = if said.whole {
            String::new()
        } else {
            self.lanes.window(said.lane)
        };
        let text = format!("{window}{}", said.text);
        let texts: Arc<[String]> = Arc::new([text]);
        if let Some(checked) = self.guards.check_here(Direction::StreamChunk, &texts) {
            return self.decided(said, &window, checked);
        }
        let (checker, guards, who) = (self.checker.clone(), self.guards.clone(), self.who.clone());
        let since = Instant::now();
        let deadline = since + checker.limit(Direction::StreamChunk);
        let checking: Checking = Box::pin(async move {
            let direction = Direction::StreamChunk;
            let checking = checker.texts(&guards, &who, direction, texts.to_vec());
            // Each check keeps to the limit by itself; this one holds for their sum.
            timeout_at(deadline, checking)
                .await
                .unwrap_or(Err(Unavailable {
                    direction,
                    guardrail: None,
                    failure: super::Failure::Timeout,
                }))
        });
        if let Some(current) = &mut self.current {
            current.pending = Some(Pending {
                checking,
                window,
                since,
            });
        }
        None
    }

    fn decided(&mut self, said: &Said, window: &str, checked: CheckedTexts) -> Option<Blocked> {
        self.facts.checks += 1;
        let CheckedTexts {
            outcome,
            failed_open,
        } = checked;
        if let Some((_, failure)) = failed_open.first() {
            self.facts.fail_open += 1;
            self.facts.fail_open_reason.get_or_insert(failure.as_str());
        }
        match outcome {
            Outcome::Block(blocked) => return Some(blocked),
            Outcome::Allow => {
                self.facts.allowed += u64::from(failed_open.is_empty());
                self.becomes(said, said.text.clone());
            }
            Outcome::Modify { content, applied } => {
                self.facts.modified += 1;
                for id in applied {
                    if !self.facts.applied.contains(&id) {
                        self.facts.applied.push(id);
                    }
                }
                let text = content.into_iter().next().unwrap_or_default();
                self.becomes(said, without_window(window, &said.text, &text).to_owned());
            }
        }
        None
    }

    /// A text passes because its check failed.
    fn unchecked(&mut self, said: &Said, why: &'static str) {
        self.passed_unchecked(why);
        self.becomes(said, said.text.clone());
    }

    fn becomes(&mut self, said: &Said, text: String) {
        self.lanes.add(said, &text);
        if let Some(current) = &mut self.current {
            current.done.push(text);
        }
    }

    /// The frame in hand as it goes out.
    fn written(&mut self) -> Bytes {
        self.begun = true;
        let Some(Current {
            frame,
            spoken,
            done,
            ..
        }) = self.current.take()
        else {
            return Bytes::new();
        };
        let texts: Vec<Cow<'_, str>> = done.into_iter().map(Cow::Owned).collect();
        spoken.rewritten(&frame, &texts)
    }

    fn block(&mut self, blocked: Blocked) -> Step {
        self.blocked = true;
        self.current = None;
        let frame = blocked_frame(self.form, &blocked, self.begun);
        self.facts.blocked = Some(blocked);
        Step::Block(frame)
    }
}

const fn framing(form: BodyForm) -> Framing {
    match form {
        BodyForm::GeminiJson => Framing::List,
        BodyForm::ChatJson
        | BodyForm::ChatStream
        | BodyForm::ResponsesJson
        | BodyForm::ResponsesStream
        | BodyForm::MessagesJson
        | BodyForm::MessagesStream
        | BodyForm::EmbeddingsJson
        | BodyForm::Opaque
        | BodyForm::Messages
        | BodyForm::GeminiStream => Framing::Events,
    }
}

/// What becomes of `text` when `changed` is what a check made of it with the window in front. Where the change lies
/// in the window alone, the text stays; where it begins in the window, that part is out and cannot be taken back:
/// everything from there on is new.
fn without_window<'t>(window: &str, text: &'t str, changed: &'t str) -> &'t str {
    if changed.ends_with(text) && !changed.starts_with(window) {
        return text;
    }
    let same: usize = window
        .chars()
        .zip(changed.chars())
        .take_while(|(old, new)| old == new)
        .map(|(old, _)| old.len_utf8())
        .sum();
    changed.get(same..).unwrap_or_default()
}

/// Listens to a stream without touching it, for the check of the whole when it is over.
#[derive(Debug)]
pub struct Listener {
    form: BodyForm,
    frames: Frames,
    lanes: Lanes,
    calls_tool: bool,
}

impl Listener {
    /// For a stream of this form, as for [`StreamGuard::new`].
    #[must_use]
    pub fn new(checker: &Checker, form: BodyForm) -> Self {
        Self {
            form,
            frames: Frames::new(framing(form)),
            lanes: Lanes::new(checker),
            calls_tool: false,
        }
    }

    /// Hears the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
        while let Some(frame) = self.frames.next_frame() {
            self.hear(&frame);
        }
    }

    /// The stream is over: what was said, as [`StreamGuard::whole`].
    #[must_use]
    pub fn whole(mut self) -> Option<Vec<String>> {
        if let Some(frame) = self.frames.finish() {
            self.hear(&frame);
        }
        if self.calls_tool {
            return None;
        }
        self.lanes.take(self.form)
    }

    fn hear(&mut self, frame: &Frame) {
        let spoken = said(self.form, self.frames.framing(), &frame.bytes);
        self.calls_tool |= spoken.calls_tool;
        for said in &spoken.texts {
            if self.lanes.repeated(said).is_none() {
                self.lanes.add(said, &said.text);
            }
        }
    }
}
