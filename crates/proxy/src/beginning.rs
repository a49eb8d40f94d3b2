//! The first bytes of a provider's stream, before anything of it goes out.
//!
//! An answer counts as one only when its first event is there and is not about a failure (data-plane 13.2,
//! 17.1); what fails before that is an ordinary error with its own status. Where nobody else could be asked
//! instead, a stream is not kept waiting for that: what the first moment brings decides. Must never hold back
//! more than the first event. Start at [`Beginning::read`].

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use lw_core::{BodyForm, Code, Error};
use lw_translate::ir::Failure;
use lw_upstream::UpstreamBody;
use lw_wire::tap::Tap;
use tokio::time::{timeout, timeout_at};

use crate::call::Call;
use crate::convert::Conversion;
use crate::translated::own_dialect;

/// How long the head of a stream waits for its first bytes, to leave in one write with them.
const FIRST_BYTES: Duration = Duration::from_millis(20);
/// How far into a stream its first event tells that it is about a failure, bytes.
const TELLING: usize = 256;

/// A first event that is longer than this goes out while it comes: none about a failure is, bytes.
const LONGEST: usize = 256 * 1024;

/// The first bytes of a stream, in the caller's form.
pub(crate) struct Beginning {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) conversion: Option<Box<Conversion>>,
    form: BodyForm,
    /// Sees the same bytes up to the end of the first event. Only when another candidate may follow.
    first: Option<Box<Tap>>,
}

impl Beginning {
    /// Of a stream in `form`. `more`: another candidate may follow.
    pub(crate) fn new(conversion: Option<Box<Conversion>>, form: BodyForm, more: bool) -> Self {
        Self {
            pieces: Vec::new(),
            conversion,
            form,
            first: more.then(|| Box::new(Tap::new(form, 0))),
        }
    }

    /// Reads the first bytes, so that head and first bytes leave in one write: for a moment, or until the
    /// first event is whole when another candidate may follow.
    ///
    /// # Errors
    /// The provider ended its answer before that, broke it off, or took too long.
    pub(crate) async fn read(
        &mut self,
        call: &Call,
        mut body: UpstreamBody,
    ) -> Result<UpstreamBody, Error> {
        let more = self.first.is_some();
        let deadline = call.attempt_deadline();
        while !self.is_decided() {
            let next = if more {
                match timeout_at(deadline, body.frame()).await {
                    Ok(next) => next,
                    Err(_) => {
                        return Err(Error::new(
                            Code::UpstreamTimeout,
                            "the provider's stream did not begin in time",
                        ));
                    }
                }
            } else {
                match timeout(FIRST_BYTES, body.frame()).await {
                    Ok(next) => next,
                    Err(_) => break,
                }
            };
            match next {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.push(piece);
                    }
                }
                Some(Err(error)) => return Err(before_it_began().because(error)),
                None => {
                    self.over();
                    if self.is_decided() {
                        break;
                    }
                    return Err(before_it_began());
                }
            }
            if !more {
                break;
            }
        }
        Ok(body)
    }

    fn push(&mut self, piece: Bytes) {
        let piece = match &mut self.conversion {
            Some(conversion) => Bytes::from(conversion.push(&piece)),
            None => piece,
        };
        if piece.is_empty() {
            return;
        }
        if let Some(first) = &mut self.first {
            // Line by line: what stands behind the first event is not judged.
            let mut rest = piece.clone();
            while !rest.is_empty() && !has_event(first) {
                let end = rest.iter().position(|byte| *byte == b'\n');
                let line = rest.split_to(end.map_or(rest.len(), |end| end + 1));
                first.push(&line);
            }
        }
        self.pieces.push(piece);
    }

    /// The provider's bytes are over: a last event without its empty line counts.
    fn over(&mut self) {
        if let Some(first) = &mut self.first {
            first.finish();
        }
    }

    fn is_decided(&self) -> bool {
        if let Some(conversion) = &self.conversion
            && (conversion.has_begun() || conversion.failure().is_some())
        {
            return true;
        }
        if self.pieces.iter().map(Bytes::len).sum::<usize>() > LONGEST {
            return true;
        }
        match &self.first {
            // Nothing can be read in a body that is coded.
            Some(first) if first.is_stream() => has_event(first),
            _ => !self.pieces.is_empty(),
        }
    }

    /// The failure that the provider told before anything else.
    pub(crate) fn failure(&self, provider: &str) -> Option<Failure> {
        if let Some(conversion) = &self.conversion
            && let Some(failure) = conversion.failure()
        {
            return (!conversion.has_begun()).then(|| failure.clone());
        }
        let tells = |tap: &Tap| tap.observed().stream_error.is_some();
        let failed = match &self.first {
            Some(first) => tells(first),
            None => self.seems_to_fail() && tells(&self.first_event()),
        };
        failed.then(|| {
            let event = self.pieces.concat();
            let dialect = own_dialect(provider);
            lw_translate::failure::read(dialect, provider, 200, None, &[], &event)
        })
    }

    /// Whether it is worth the while to look: a stream that begins well costs nothing more.
    fn seems_to_fail(&self) -> bool {
        const NAME: &[u8] = br#""error""#;
        let start = self.pieces.first().map_or(&[][..], |piece| piece);
        let start = start.get(..TELLING).unwrap_or(start);
        start.windows(NAME.len()).any(|piece| piece == NAME)
    }

    fn first_event(&self) -> Tap {
        let mut again = Self::new(None, self.form, true);
        self.pieces
            .iter()
            .cloned()
            .for_each(|piece| again.push(piece));
        again
            .first
            .map_or_else(|| Tap::new(self.form, 0), |tap| *tap)
    }

    /// What was seen.
    pub(crate) fn tap(self, form: BodyForm) -> Tap {
        let mut tap = Tap::new(form, 0);
        self.pieces.iter().for_each(|piece| tap.push(piece));
        tap
    }
}

fn has_event(tap: &Tap) -> bool {
    let observed = tap.observed();
    observed.events > 0 || observed.complete || observed.stream_error.is_some()
}

fn before_it_began() -> Error {
    Error::new(
        Code::ProviderError,
        "the provider broke off before its answer began",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Streams, and the status of the failure that they begin with.
    const STREAMS: [(&str, BodyForm, Option<u16>); 8] = [
        (
            "data: {\"error\":{\"type\":\"server_error\",\"message\":\"no\"}}\n\ndata: [DONE]\n\n",
            BodyForm::ChatStream,
            Some(500),
        ),
        (
            ": wait\r\n\r\ndata: {\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"x\"}}\r\n\r\n",
            BodyForm::ChatStream,
            Some(429),
        ),
        (
            "data: {\"choices\":[]}\n\ndata: {\"error\":{\"type\":\"server_error\"}}\n\n",
            BodyForm::ChatStream,
            None,
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\"\"}}],\"error\":null}\n\n",
            BodyForm::ChatStream,
            None,
        ),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            BodyForm::MessagesStream,
            Some(529),
        ),
        (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n\
             event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            BodyForm::MessagesStream,
            None,
        ),
        (
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"no\"}\n\n",
            BodyForm::ResponsesStream,
            Some(500),
        ),
        (
            "data: {\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}\n\n",
            BodyForm::GeminiStream,
            Some(503),
        ),
    ];

    proptest! {
        #[test]
        fn a_stream_is_judged_by_its_first_event_however_its_bytes_arrive(
            which in 0..STREAMS.len(),
            sizes in prop::collection::vec(1..40_usize, 1..60),
        ) {
            let Some((stream, form, status)) = STREAMS.get(which).copied() else { return Ok(()) };
            let mut rest = Bytes::from_static(stream.as_bytes());
            let mut beginning = Beginning::new(None, form, true);
            for size in sizes.into_iter().chain(std::iter::repeat(7)) {
                if rest.is_empty() || beginning.is_decided() {
                    break;
                }
                beginning.push(rest.split_to(size.min(rest.len())));
            }
            prop_assert!(beginning.is_decided());
            let failure = beginning.failure("openai");
            prop_assert_eq!(failure.map(|failure| failure.status), status.map(Some));
            // Nothing is lost on the way.
            let kept = beginning.pieces.concat();
            prop_assert_eq!([&kept[..], &rest[..]].concat(), stream.as_bytes());
            // Where nobody is waited for, what came at once says the same.
            let mut at_once = Beginning::new(None, form, false);
            at_once.push(Bytes::from_static(stream.as_bytes()));
            prop_assert_eq!(at_once.failure("openai").is_some(), status.is_some());
        }
    }

    #[test]
    fn an_event_that_does_not_end_is_not_waited_for() {
        let mut beginning = Beginning::new(None, BodyForm::ChatStream, true);
        let mut pieces = 0;
        while !beginning.is_decided() {
            beginning.push(Bytes::from_static(&[b'x'; 16 * 1024]));
            pieces += 1;
        }
        assert_eq!(pieces, 17);
        assert!(beginning.failure("openai").is_none());
    }

    #[test]
    fn a_body_that_cannot_be_looked_into_is_decided_by_its_first_bytes() {
        let mut beginning = Beginning::new(None, BodyForm::Opaque, true);
        assert!(!beginning.is_decided());
        beginning.push(Bytes::from_static(b"\x1f\x8b"));
        assert!(beginning.is_decided());
        assert!(beginning.failure("openai").is_none());
    }
}
