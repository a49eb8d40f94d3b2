//! Passes a provider's answer on, frame by frame, while a tap looks at the same bytes.
//!
//! Bytes are never changed, delayed or merged. The outcome is recorded before the last bytes leave: when
//! the body's end is known, when the stream calls itself complete, or when it breaks. Dropping a relay
//! ends the request as one whose caller left, and closes the provider's connection.
//!
//! Start at [`Relay::poll`].

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use lw_core::error::Row;
use lw_core::{BodyForm, Code, Error};
use lw_upstream::UpstreamBody;
use lw_wire::meter::Meter;
use lw_wire::tap::Tap;
use tokio::time::{Instant, Sleep};

use crate::call::{Call, Ending, compact, micros};
use crate::convert::Conversion;
use crate::guarded::{self, Afterwards};
use crate::guardrail::stream::{Listener, MOST_HELD, Step, StreamGuard};
use crate::worker::BytePermit;

/// An answer on its way.
pub(crate) struct Relay {
    call: Box<Call>,
    upstream: UpstreamBody,
    /// Frames that were read before the head went out.
    early: std::collections::VecDeque<Bytes>,
    tap: Tap,
    /// What makes the provider's bytes the caller's, when they are not.
    conversion: Option<Box<Conversion>>,
    /// What checks the stream piece by piece.
    guard: Option<Box<StreamGuard>>,
    /// Hears what a key's guardrails judge when it has gone out.
    listener: Option<Box<Listener>>,
    /// What the checks found was handed over.
    noted: bool,
    /// The provider has ended while pieces still wait for their checks: why, if it broke off.
    over: Option<Option<&'static str>>,
    /// Counts output where a budget may run out while the answer is being written.
    meter: Option<Box<Meter>>,
    /// Held bytes, counted against the process.
    permit: Option<BytePermit>,
    clock: IdleClock,
    /// Pieces of an event that may be about a failure and has not come whole: what it says may hold our
    /// secrets, so it leaves in one piece or not at all.
    withheld: Vec<Bytes>,
    /// The provider had nothing to give when it was last asked.
    waiting: bool,
    /// The length that the provider told, when it did.
    declared: Option<u64>,
    state: State,
    /// The last two bytes that went out, to know whether an event is open.
    tail: [u8; 2],
}

enum State {
    Passing,
    /// One last piece of ours, then the end.
    Closing(Bytes),
    /// The bytes cannot be completed: the connection must break, so that the caller sees it.
    Broken,
    Over,
}

/// What became of the checks of a stream.
enum Guarded {
    /// These bytes go out next.
    Out(Bytes),
    /// The stream has ended.
    Ended,
    /// There is nothing: more has to come in.
    More,
}

/// The limits between frames and in total, on one timer that is set anew only when it fires.
struct IdleClock {
    idle: Duration,
    last: Instant,
    total: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleClock {
    fn deadline(&self) -> Instant {
        let idle = self.last + self.idle;
        self.total.map_or(idle, |total| total.min(idle))
    }

    /// Ready when a limit passed. The wait for the provider begins when it has nothing to give: time that
    /// the caller took before is not the provider's.
    fn poll(&mut self, cx: &mut Context<'_>, waiting: &mut bool) -> Poll<&'static str> {
        if !std::mem::replace(waiting, true) {
            self.last = Instant::now();
        }
        let deadline = self.deadline();
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while sleep.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                let total = self.total.is_some_and(|total| total <= deadline);
                return Poll::Ready(if total {
                    "the call took too long"
                } else {
                    "the provider fell silent"
                });
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Relay {
    pub(crate) fn new(
        mut call: Box<Call>,
        upstream: UpstreamBody,
        early: Vec<Bytes>,
        tap: Tap,
        conversion: Option<Box<Conversion>>,
    ) -> Self {
        let limits = call.worker.gateway.settings.timeouts;
        let total = (!limits.total.is_zero()).then(|| call.start + limits.total);
        if tap.is_stream() {
            call.worker.gateway.metrics.streaming.inc();
        }
        if let Some(inbound) = &mut call.inbound {
            // A stream may be open for minutes: its request must not pin the buffer that it came in.
            let body = compact(vec![std::mem::take(&mut inbound.body)]);
            inbound.body = body.into_iter().next().unwrap_or_default();
        }
        let metered = call.hold.is_some()
            && (call.bundle.as_ref()).is_some_and(|bundle| bundle.governed.soft);
        let meter = metered.then(|| Meter::new(tap.form())).flatten();
        let streams = call.inbound.as_ref().is_some_and(|inbound| inbound.stream);
        let listed = conversion
            .as_ref()
            .is_some_and(|conversion| conversion.is_list());
        let form = if listed {
            BodyForm::GeminiJson
        } else {
            tap.form()
        };
        let guard = streams
            .then(|| guarded::of_stream(&mut call, form))
            .flatten();
        let listener = match &guard {
            None if streams => guarded::listener(&mut call, form),
            _ => None,
        };
        let permit = call.worker.gateway.bytes.take(0);
        let read: u64 = early.iter().map(|piece| piece.len() as u64).sum();
        let declared = match &conversion {
            Some(_) => None,
            None => upstream.size_hint().exact().map(|rest| rest + read),
        };
        Self {
            call,
            upstream,
            early: early.into(),
            tap,
            conversion,
            guard,
            listener,
            noted: false,
            over: None,
            meter: meter.map(Box::new),
            permit,
            clock: IdleClock {
                idle: limits.idle,
                last: Instant::now(),
                total,
                sleep: None,
            },
            withheld: Vec::new(),
            waiting: false,
            declared,
            state: State::Passing,
            tail: *b"\n\n",
        }
    }

    /// Whether nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The length, when the provider told it. A stream may get a last word of ours, so it has none.
    pub(crate) fn length(&self) -> Option<u64> {
        if self.tap.is_stream() || self.guard.is_some() {
            return None;
        }
        self.declared
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Broken => {
                    return Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into())));
                }
                State::Closing(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                State::Passing => self.state = State::Passing,
            }
            match self.poll_guard(cx) {
                Poll::Ready(Guarded::Out(piece)) => {
                    if let Some(piece) = self.forward(piece) {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                    continue;
                }
                Poll::Ready(Guarded::Ended) => continue,
                Poll::Ready(Guarded::More) => {}
                Poll::Pending => return Poll::Pending,
            }
            if let Some(piece) = self.early.pop_front() {
                // These are in the caller's form already.
                self.waiting = false;
                if let Some(piece) = self.offer(piece) {
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                continue;
            }
            match Pin::new(&mut self.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data()
                        && let Some(piece) = self.pass(piece)
                    {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a provider's answer broke off");
                    self.gone(Some("the connection broke"));
                }
                Poll::Ready(None) => self.gone(None),
                Poll::Pending => match self.clock.poll(cx, &mut self.waiting) {
                    Poll::Ready(why) => self.gone(Some(why)),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// One piece on its way out; `None` while it is held back.
    fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        self.waiting = false;
        let piece = match &mut self.conversion {
            Some(conversion) => Bytes::from(conversion.push(&piece)),
            None => piece,
        };
        self.offer(piece)
    }

    /// A piece in the caller's form: to its checks, where there are any, else on its way out.
    fn offer(&mut self, piece: Bytes) -> Option<Bytes> {
        match &mut self.guard {
            Some(guard) => {
                guard.push(&piece);
                None
            }
            None => self.forward(piece),
        }
    }

    /// What has passed its checks; ready for more when there is nothing.
    fn poll_guard(&mut self, cx: &mut Context<'_>) -> Poll<Guarded> {
        let Some(guard) = &mut self.guard else {
            return Poll::Ready(Guarded::More);
        };
        match guard.poll(cx) {
            Poll::Ready(Some(Step::Pass(piece))) => Poll::Ready(Guarded::Out(piece)),
            Poll::Ready(Some(Step::Block(last))) => {
                let error = guarded::blocked(guard);
                self.end(&Ending::Stopped(&error));
                self.state = State::Closing(last);
                Poll::Ready(Guarded::Ended)
            }
            Poll::Ready(None) => match self.over.take() {
                Some(why) => {
                    self.conclude(why);
                    Poll::Ready(Guarded::Ended)
                }
                None => Poll::Ready(Guarded::More),
            },
            // More may come in meanwhile, within bounds.
            Poll::Pending if self.over.is_none() && guard.held() < MOST_HELD => {
                Poll::Ready(Guarded::More)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The provider has ended, or broke off.
    fn gone(&mut self, why: Option<&'static str>) {
        let Some(guard) = &mut self.guard else {
            match why {
                None => self.ended(),
                Some(why) => self.broke(why),
            }
            return;
        };
        if let (None, Some(conversion)) = (why, &mut self.conversion) {
            guard.push(&conversion.end());
        }
        guard.end();
        self.over = Some(why);
    }

    /// Everything has passed its checks.
    fn conclude(&mut self, why: Option<&'static str>) {
        match why {
            Some(why) => self.broke(why),
            None if self.conversion.is_some() => self.conclude_converted(Bytes::new()),
            None => self.ended(),
        }
    }

    /// Hands over what the checks found, before the call ends.
    fn note_guard(&mut self) {
        if std::mem::replace(&mut self.noted, true) {
            return;
        }
        let texts = match (&mut self.guard, self.listener.take()) {
            (Some(guard), _) => {
                let metrics = &self.call.worker.gateway.metrics;
                self.call.guardrails.stream(metrics, guard);
                guard.whole()
            }
            (None, Some(listener)) => listener.whole(),
            (None, None) => return,
        };
        self.call.afterwards = Afterwards::of(&self.call, texts);
    }

    /// A piece of the caller's own bytes on its way out.
    fn forward(&mut self, piece: Bytes) -> Option<Bytes> {
        if piece.is_empty() {
            return None;
        }
        if self.call.first_byte_us.is_none() {
            self.call.first_byte_us = Some(micros(self.call.start));
        }
        self.call.bytes_out += piece.len() as u64;
        if let [.., a, b] = *piece {
            self.tail = [a, b];
        } else if let [b] = *piece {
            self.tail = [self.tail[1], b];
        }
        let held = self.tap.held_bytes();
        let failed = self.tap.observed().stream_error.is_some();
        self.tap.push(&piece);
        if let Some(listener) = &mut self.listener {
            listener.push(&piece);
        }
        let covered = match &mut self.meter {
            Some(meter) => self.call.cover(meter.push(&piece)),
            None => Ok(()),
        };
        let more = self.tap.held_bytes() - held;
        if more > 0 && !self.permit.as_mut().is_some_and(|permit| permit.grow(more)) {
            self.tap.hold_no_more();
        }
        // Behind a guard, more may wait than the provider still has to send.
        let whole = self.guard.is_none()
            && (self.declared == Some(self.call.bytes_out)
                || (self.conversion.is_none() && self.upstream.is_end_stream()));
        let last = self.early.is_empty() && whole && !self.tap.is_stream();
        let fails = !failed && self.tap.observed().stream_error.is_some();
        let piece = if self.tap.may_be_failing() {
            self.withheld.push(piece);
            None
        } else {
            Some(self.released(piece, fails))
        };
        if last || self.tap.observed().complete {
            self.settle();
        } else if let Err(error) = covered {
            // The piece in hand still goes out: it was paid for.
            self.stop(&error);
        }
        piece
    }

    /// Ends the answer with one frame of ours.
    fn stop(&mut self, error: &Error) {
        let row = error.code().row();
        let open = if &self.tail == b"\n\n" { "" } else { "\n\n" };
        let listed = self
            .conversion
            .as_mut()
            .filter(|_| self.tap.form() == BodyForm::GeminiStream);
        let frame = listed
            .and_then(|conversion| conversion.fail(error.message().to_owned()))
            .unwrap_or_else(|| {
                let frame = terminal_frame(self.tap.form(), row, error.message());
                format!("{open}{frame}").into_bytes()
            });
        self.end(&Ending::Stopped(error));
        self.state = State::Closing(frame.into());
    }

    /// `piece` behind what was held back before it, without our secrets when it is about a failure.
    fn released(&mut self, piece: Bytes, fails: bool) -> Bytes {
        let piece = if self.withheld.is_empty() {
            piece
        } else {
            self.withheld.push(piece);
            std::mem::take(&mut self.withheld).concat().into()
        };
        if fails {
            self.call.without_secrets(piece)
        } else {
            piece
        }
    }

    /// The answer is complete as far as money goes: the bytes in hand are the last that matter.
    fn settle(&mut self) {
        let ending = match self.tap.observed().stream_error.clone() {
            Some(error) => Ending::BrokeOff(error),
            None => Ending::Complete,
        };
        self.end(&ending);
    }

    /// The one way to the end of the call: with what the checks found and what the provider told. Again, it
    /// changes nothing.
    fn end(&mut self, ending: &Ending<'_>) {
        self.note_guard();
        self.tell();
        let _ = self.call.end(ending, Some(&mut self.tap));
    }

    /// What the provider reported holds, not what the caller's dialect can say of it.
    fn tell(&mut self) {
        if let Some(told) = self
            .conversion
            .as_ref()
            .and_then(|conversion| conversion.told())
        {
            self.tap.tell(told);
        }
    }

    /// The provider ended the body of a converted stream: its last events may come only now.
    fn converted_to_the_end(&mut self) {
        let Some(conversion) = &mut self.conversion else {
            return;
        };
        let last = Bytes::from(conversion.end());
        let rest = self.forward(last).unwrap_or_default();
        self.conclude_converted(rest);
    }

    /// The end of a converted stream of which all has gone out but `rest`.
    fn conclude_converted(&mut self, rest: Bytes) {
        let complete = self
            .conversion
            .as_ref()
            .and_then(|conversion| conversion.is_complete());
        let failed = self.tap.observed().stream_error.is_some();
        match complete {
            Some(false) if !failed => {
                self.broke("the stream ended early");
                if let State::Closing(closing) = &mut self.state {
                    let both = [&rest[..], &closing[..]].concat();
                    *closing = both.into();
                }
                return;
            }
            None if !self.tap.observed().complete && !failed => {
                self.broke("the stream ended early");
                return;
            }
            _ => {}
        }
        self.tap.finish();
        self.settle();
        self.state = if rest.is_empty() {
            State::Over
        } else {
            State::Closing(rest)
        };
    }

    /// The provider ended the body.
    fn ended(&mut self) {
        if self.conversion.is_some() {
            self.converted_to_the_end();
            return;
        }
        // A last event without its empty line still counts.
        self.tap.finish();
        let observed = self.tap.observed();
        let unread = !self.tap.saw_everything();
        if !self.tap.is_stream() || observed.complete || observed.stream_error.is_some() || unread {
            let rest = self.released(Bytes::new(), true);
            self.settle();
            self.state = if rest.is_empty() {
                State::Over
            } else {
                State::Closing(rest)
            };
            return;
        }
        let finished = observed.usage.is_some() || !observed.finish_reasons.is_empty();
        if self.tap.form() == BodyForm::ChatStream && finished {
            // Some servers leave the end marker out; clients wait for it (data-plane 17.2).
            let mark = if &self.tail == b"\n\n" {
                "data: [DONE]\n\n"
            } else {
                "\n\ndata: [DONE]\n\n"
            };
            let rest = self.released(Bytes::from_static(mark.as_bytes()), true);
            self.settle();
            self.state = State::Closing(rest);
            return;
        }
        self.broke("the stream ended early");
    }

    /// The provider broke off: a last event in the caller's dialect, or a broken connection where there
    /// is no place for one.
    fn broke(&mut self, why: &str) {
        let over = self.tap.observed().complete;
        let chunk = self.tap.observed().events;
        // Before the end: afterwards nobody knows whose secrets to take out.
        let next = if over {
            State::Over
        } else if self.tap.is_stream() {
            let text = format!("the provider's stream failed after chunk {chunk}: {why}");
            let converted = self.conversion.as_mut();
            let frame = converted
                .and_then(|conversion| conversion.fail(text.clone()))
                .unwrap_or_else(|| {
                    let open = if &self.tail == b"\n\n" { "" } else { "\n\n" };
                    format!("{open}{}", failure_frame(self.tap.form(), &text)).into_bytes()
                });
            State::Closing(self.released(frame.into(), true))
        } else {
            State::Broken
        };
        self.end(&Ending::BrokeOff(why.to_owned()));
        self.state = next;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.tap.is_stream() {
            self.call.worker.gateway.metrics.streaming.dec();
        }
        self.end(&Ending::CallerLeft);
    }
}

/// The terminal frame of a provider that broke off.
fn failure_frame(form: BodyForm, text: &str) -> String {
    terminal_frame(form, Code::UpstreamMidStreamFailure.row(), text)
}

/// The terminal frame of data-plane 17.4. The order of the keys and the `null` are part of it.
fn terminal_frame(form: BodyForm, row: Row, text: &str) -> String {
    let Row {
        name, kind, status, ..
    } = row;
    let message = serde_json::Value::from(text);
    if form == BodyForm::GeminiStream {
        let word = match status {
            402 => "RESOURCE_EXHAUSTED",
            403 => "PERMISSION_DENIED",
            _ => "UNAVAILABLE",
        };
        return format!(
            "data: {{\"error\":{{\"code\":{status},\"message\":{message},\"status\":\"{word}\"}}}}\r\n\r\n"
        );
    }
    let outer = match form {
        BodyForm::MessagesStream | BodyForm::ResponsesStream => r#""type":"error","#,
        _ => "",
    };
    // Anthropic's vocabulary for failures of providers (17.4).
    let kind = match (form, kind) {
        (BodyForm::MessagesStream, "provider_error") => "api_error",
        (_, kind) => kind,
    };
    format!(
        "event: error\ndata: {{{outer}\"error\":{{\"type\":\"{kind}\",\
         \"code\":\"{name}\",\"message\":{message},\"param\":null}}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_frame_is_what_each_client_expects() {
        assert_eq!(
            failure_frame(
                BodyForm::ChatStream,
                "the provider's stream failed after chunk 3: it \"broke\""
            ),
            "event: error\ndata: {\"error\":{\"type\":\"provider_error\",\"code\":\"upstream_mid_stream_failure\",\
             \"message\":\"the provider's stream failed after chunk 3: it \\\"broke\\\"\",\"param\":null}}\n\n"
        );
        let frame = failure_frame(BodyForm::MessagesStream, "x");
        assert!(
            frame.contains("data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""),
            "{frame}"
        );
    }
}
