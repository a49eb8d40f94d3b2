//! The body of an answer: one type for whole bodies, streams and answers that are still awaited.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use lw_upstream::RequestBody;
use tokio::time::{Instant, Sleep};

use crate::connection::Answering;
use crate::relay::Relay;

/// An answer.
pub(crate) type Reply = Response<ReplyBody>;

/// The body of an answer. Dropping it before its end means that the caller left.
pub(crate) struct ReplyBody {
    kind: Kind,
    /// Tells the connection when the body is over.
    answering: Option<Answering>,
}

enum Kind {
    /// Held back as a whole, or authored here.
    Whole(RequestBody),
    /// Passed on while it comes.
    Relay(Box<Relay>),
    /// Kept alive with spaces until it is there (data-plane 18).
    Awaited(Box<Awaited>),
}

struct Awaited {
    state: State,
    every: Duration,
    beat: Pin<Box<Sleep>>,
    /// The space that is owed at once: the head went out because of it.
    owed: bool,
}

enum State {
    Waiting(BoxFuture<'static, Reply>),
    Answered(ReplyBody),
}

impl ReplyBody {
    /// A body that is there.
    pub(crate) fn whole(pieces: Vec<Bytes>) -> Self {
        Self {
            kind: Kind::Whole(RequestBody::new(pieces)),
            answering: None,
        }
    }

    /// A body that is passed on.
    pub(crate) fn relay(relay: Relay) -> Self {
        Self {
            kind: Kind::Relay(Box::new(relay)),
            answering: None,
        }
    }

    /// The body of an answer that is still awaited: a space now and then `every` so often, then the body
    /// of the answer; its head is lost, because one went out already.
    pub(crate) fn awaited(answer: BoxFuture<'static, Reply>, every: Duration) -> Self {
        let awaited = Awaited {
            state: State::Waiting(answer),
            every,
            beat: Box::pin(tokio::time::sleep(every)),
            owed: true,
        };
        Self {
            kind: Kind::Awaited(Box::new(awaited)),
            answering: None,
        }
    }

    /// Ties the body to its connection.
    pub(crate) fn on(mut self, answering: Answering) -> Self {
        self.answering = Some(answering);
        self
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.kind {
            Kind::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Kind::Relay(relay) => relay.poll(cx),
            Kind::Awaited(awaited) => awaited.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(body) => body.is_end_stream(),
            Kind::Relay(relay) => relay.is_over(),
            Kind::Awaited(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(body) => body.size_hint(),
            Kind::Relay(relay) => relay
                .length()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Awaited(_) => SizeHint::default(),
        }
    }
}

impl Awaited {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let space = || Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))));
        if std::mem::take(&mut self.owed) {
            return space();
        }
        if let State::Waiting(answer) = &mut self.state
            && let Poll::Ready(reply) = answer.as_mut().poll(cx)
        {
            self.state = State::Answered(reply.into_body());
        }
        match &mut self.state {
            State::Answered(body) => Pin::new(body).poll_frame(cx),
            State::Waiting(_) => {
                if self.beat.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.beat.as_mut().reset(Instant::now() + self.every);
                space()
            }
        }
    }
}
