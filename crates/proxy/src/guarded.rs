//! A key's guardrails on the way of a request: before its provider is asked, on a whole answer, and on a
//! stream (data-plane 16).
//!
//! What a check says is the runner's ([`crate::guardrail`]); here it becomes another body, a refusal, or a
//! stream that is checked piece by piece. A key without guardrails costs nothing. Start at [`request`].

mod facts;

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use lw_core::{BodyForm, Code, Error};
use lw_wire::Surface;
use lw_wire::speech::Answer;
use tokio::runtime::Handle;

use crate::bundle::Bundle;
use crate::call::Call;
use crate::foreign::body_of;
use crate::guardrail::stream::{Listener, Step, StreamGuard};
use crate::guardrail::{
    Checked, Checker, Direction, Guards, Outcome, Unavailable, Unreadable, Who,
};
use crate::metrics::Metrics;
use crate::record::Finished;
use crate::worker::Worker;
pub(crate) use facts::Facts;

/// Whether answers of this key are checked as a whole.
pub(crate) fn checks_answers(call: &Call) -> bool {
    guards(call).is_some_and(|guards| !guards.is_empty(Direction::Response))
}

/// Whether requests of this key are checked.
pub(crate) fn checks_requests(bundle: &Bundle) -> bool {
    !bundle.governed.guards.is_empty(Direction::Request)
}

fn guards(call: &Call) -> Option<&Arc<Guards>> {
    call.bundle.as_ref().map(|bundle| &bundle.governed.guards)
}

fn who(call: &Call, bundle: &Bundle) -> Who {
    Who {
        vk_id: bundle.key_id.to_string(),
        project_id: bundle.project_id.to_string(),
        gateway_request_id: String::from_utf8_lossy(&call.request_id.to_ascii()).into_owned(),
        model: call
            .inbound
            .as_ref()
            .and_then(|inbound| inbound.model.clone()),
        principal_id: bundle.governed.principal_id.clone(),
    }
}

/// Checks the request. Returns whether its body is another one now.
///
/// # Errors
/// It is blocked, or a check could not be made and the direction fails closed.
pub(crate) async fn request(call: &mut Call, bundle: &Bundle) -> Result<bool, Error> {
    let guards = bundle.governed.guards.clone();
    if guards.is_empty(Direction::Request) {
        return Ok(false);
    }
    let checker = Checker::of(&call.worker);
    let who = who(call, bundle);
    let body = body_of(call);
    let checked = checker.request(&guards, &who, &body).await;
    match noted(call, Direction::Request, checked)? {
        Outcome::Allow => Ok(false),
        Outcome::Block(blocked) => Err(blocked.error()),
        Outcome::Modify { content, .. } => {
            if let Some(inbound) = call.inbound.as_mut() {
                inbound.body = content;
            }
            Ok(true)
        }
    }
}

/// Checks a whole answer in the caller's dialect and returns what goes out.
///
/// # Errors
/// It is blocked, or a check could not be made and the direction fails closed.
pub(crate) async fn answer(call: &mut Call, form: BodyForm, body: Bytes) -> Result<Bytes, Error> {
    let Some(bundle) = call.bundle.clone() else {
        return Ok(body);
    };
    let guards = &bundle.governed.guards;
    if guards.is_empty(Direction::Response) || !call.surface.is_some_and(Surface::is_conversation) {
        return Ok(body);
    }
    let checker = Checker::of(&call.worker);
    let who = who(call, &bundle);
    let read = match form {
        // A coding that nobody asked for, or nothing that is known.
        BodyForm::Opaque => Err(Unreadable::NotAnObject),
        form => Answer::read(form, &body),
    };
    let read = match read {
        Ok(read) => read,
        Err(unreadable) => {
            // Without its texts nothing can be said of it: as if a check had failed.
            let checked = checker.unreadable(guards, Direction::Response, unreadable);
            noted(call, Direction::Response, checked)?;
            return Ok(body);
        }
    };
    if let Some(skip) = read.skipped {
        call.guardrails.skip(skip.as_str());
        return Ok(body);
    }
    let texts = read
        .outputs
        .iter()
        .map(|output| output.text.clone())
        .collect();
    let checked = checker
        .texts(guards, &who, Direction::Response, texts)
        .await;
    match noted(call, Direction::Response, checked)? {
        Outcome::Allow => Ok(body),
        Outcome::Block(blocked) => Err(blocked.error()),
        Outcome::Modify { content, .. } => {
            let edits = read.with_texts(&content);
            Ok(edits.apply(&body).into_inner().concat().into())
        }
    }
}

/// Writes down what came of a check.
fn noted<T>(
    call: &mut Call,
    direction: Direction,
    checked: Result<Checked<T>, Unavailable>,
) -> Result<Outcome<T>, Error> {
    match checked {
        Ok(checked) => {
            let metrics = &call.worker.gateway.metrics;
            call.guardrails.note(metrics, direction, &checked);
            Ok(checked.outcome)
        }
        Err(unavailable) => {
            call.guardrails.failed(&unavailable);
            Err(unavailable.error())
        }
    }
}

/// What checks a stream of this form piece by piece; `None` for a key that checks none. A stream that cannot be
/// read passes, as a piece does whose check fails, and that is noted.
pub(crate) fn of_stream(call: &mut Call, form: BodyForm) -> Option<Box<StreamGuard>> {
    let guards = guards(call)?.clone();
    let conversation = call.surface.is_some_and(Surface::is_conversation);
    if !conversation || guards.is_empty(Direction::StreamChunk) {
        return None;
    }
    if !has_frames(form) {
        let metrics = &call.worker.gateway.metrics;
        call.guardrails.stream_unreadable(metrics);
        return None;
    }
    let who = Arc::new(who(call, call.bundle.as_ref()?));
    let checker = Checker::of(&call.worker);
    Some(Box::new(StreamGuard::new(checker, guards, who, form)))
}

/// Whether what is streamed in this form comes in frames that can be read.
const fn has_frames(form: BodyForm) -> bool {
    match form {
        BodyForm::ChatStream
        | BodyForm::ResponsesStream
        | BodyForm::MessagesStream
        | BodyForm::GeminiStream
        | BodyForm::GeminiJson => true,
        BodyForm::ChatJson
        | BodyForm::ResponsesJson
        | BodyForm::MessagesJson
        | BodyForm::EmbeddingsJson
        | BodyForm::Opaque
        | BodyForm::Messages => false,
    }
}

/// What hears a stream that is checked when it has gone out; `None` for a key that checks no answers.
pub(crate) fn listener(call: &mut Call, form: BodyForm) -> Option<Box<Listener>> {
    let conversation = call.surface.is_some_and(Surface::is_conversation);
    if !conversation || !checks_answers(call) {
        return None;
    }
    if !has_frames(form) {
        let flag = "unavailable: unreadable".to_owned();
        call.guardrails.flag(Some(flag));
        return None;
    }
    Some(Box::new(Listener::new(&Checker::of(&call.worker), form)))
}

/// Checks a stream that is there as a whole. Returns what goes out, and the error that it ends with.
pub(crate) async fn events(
    call: &mut Call,
    form: BodyForm,
    events: Vec<u8>,
) -> (Vec<u8>, Option<Error>) {
    let Some(mut guard) = of_stream(call, form) else {
        return (events, None);
    };
    guard.push(&events);
    guard.end();
    let mut out = Vec::with_capacity(events.len());
    while let Some(step) = poll_fn(|cx| guard.poll(cx)).await {
        match step {
            Step::Pass(bytes) => out.extend_from_slice(&bytes),
            Step::Block(bytes) => {
                out.extend_from_slice(&bytes);
                let error = blocked(&guard);
                call.guardrails.stream(&call.worker.gateway.metrics, &guard);
                return (out, Some(error));
            }
        }
    }
    call.guardrails.stream(&call.worker.gateway.metrics, &guard);
    (out, None)
}

/// The error that a stream which was blocked ends with.
pub(crate) fn blocked(guard: &StreamGuard) -> Error {
    let message = guard.facts().blocked.as_ref().map_or_else(
        || "a guardrail ended the stream".to_owned(),
        |blocked| blocked.message(),
    );
    Error::new(Code::StreamChunkBlocked, message)
}

/// The check of a stream that has gone out, to be made when the record is written.
pub(crate) struct Afterwards {
    checker: Checker,
    guards: Arc<Guards>,
    who: Who,
    texts: Vec<String>,
}

impl Afterwards {
    /// Of the texts that a stream delivered, when the key checks whole answers.
    pub(crate) fn of(call: &Call, texts: Option<Vec<String>>) -> Option<Box<Self>> {
        let bundle = call.bundle.as_ref()?;
        let guards = bundle.governed.guards.clone();
        if guards.is_empty(Direction::Response) {
            return None;
        }
        Some(Box::new(Self {
            checker: Checker::of(&call.worker),
            guards,
            who: who(call, bundle),
            texts: texts?,
        }))
    }

    /// Makes the check and hands the record over with what it says.
    pub(crate) fn before(self, finished: Finished, worker: Arc<Worker>, runtime: &Handle) {
        let mut waiting = Waiting {
            worker,
            finished: Some(finished),
        };
        runtime.spawn(async move {
            let flag = self.flag(&waiting.worker.gateway.metrics).await;
            waiting.flagged(flag);
        });
    }

    /// The flag for the span: what a whole answer like this would have met.
    async fn flag(self, metrics: &Metrics) -> Option<String> {
        let Self {
            checker,
            guards,
            who,
            texts,
        } = self;
        let checked = checker
            .texts(&guards, &who, Direction::Response, texts)
            .await;
        let checked = match checked {
            Ok(checked) => checked,
            Err(unavailable) => {
                return Some(format!("unavailable: {}", unavailable.failure.as_str()));
            }
        };
        metrics.guardrail_verdicts(Direction::Response.as_str(), checked.verdict(), 1);
        match checked.outcome {
            Outcome::Allow => None,
            Outcome::Block(blocked) => Some(format!("block: {}", blocked.guardrail)),
            Outcome::Modify { applied, .. } => {
                let names: Vec<&str> = applied.iter().map(lw_core::GuardrailId::as_str).collect();
                Some(format!("modify: {}", names.join(",")))
            }
        }
    }
}

/// A record that waits for a check. Dropping it hands it over: when the check is made, and when the process stops
/// before that.
struct Waiting {
    worker: Arc<Worker>,
    finished: Option<Finished>,
}

impl Waiting {
    /// The check was made.
    fn flagged(&mut self, flag: Option<String>) {
        let finished = self.finished.take();
        self.hand_over(finished.map(|finished| finished.with_post_flag(flag)));
    }

    fn hand_over(&self, finished: Option<Finished>) {
        if let Some(finished) = finished {
            self.worker.gateway.records.put(self.worker.index, finished);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let finished = self.finished.take();
        self.hand_over(finished);
    }
}
