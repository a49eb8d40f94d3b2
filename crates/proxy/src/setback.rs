//! An attempt that did not become the caller's answer, while nothing has gone out yet: the walk may go on to
//! the next candidate, or say the last word (data-plane 13.3).
//!
//! Start at [`Fallen`] and [`finish`].

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use lw_core::{BodyForm, Error};
use lw_wire::tap::{MOST_HELD, Tap};

use crate::call::{Call, Ending, micros};
use crate::refusal::refuse_after;
use crate::reply::{Reply, ReplyBody};

/// A call whose attempt fell through, and why.
pub(crate) struct Fallen {
    pub(crate) call: Box<Call>,
    pub(crate) setback: Setback,
}

/// What an attempt came to.
pub(crate) struct Setback {
    /// What the caller would be told.
    pub(crate) word: Word,
    /// What was seen of an answer that broke off: it may have cost something.
    pub(crate) tap: Option<Box<Tap>>,
}

/// What the caller is told if this is the end.
pub(crate) enum Word {
    /// An error of ours: there was no answer, or none that can be used.
    Ours(Error),
    /// The provider's own error.
    Theirs(Box<Held>),
}

/// A provider's error as the caller would get it.
pub(crate) struct Held {
    pub(crate) status: StatusCode,
    /// The head without what is known only at the end.
    pub(crate) head: HeaderMap,
    pub(crate) body: Bytes,
    /// Its type or code.
    pub(crate) name: Option<String>,
}

impl Held {
    /// An error of which the body is JSON of ours.
    pub(crate) fn json(
        status: StatusCode,
        mut head: HeaderMap,
        body: Bytes,
        name: Option<String>,
    ) -> Self {
        head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            head,
            body,
            name,
        }
    }
}

impl Setback {
    /// There was no usable answer.
    pub(crate) fn ours(error: Error) -> Self {
        Self {
            word: Word::Ours(error),
            tap: None,
        }
    }

    /// The provider answered with an error.
    pub(crate) fn theirs(held: Held) -> Self {
        Self {
            word: Word::Theirs(Box::new(held)),
            tap: None,
        }
    }

    /// With what was seen of the answer.
    pub(crate) fn having_seen(mut self, tap: Tap) -> Self {
        self.tap = Some(Box::new(tap));
        self
    }

    /// The end of `call` after this.
    pub(crate) fn of(self, call: Box<Call>) -> Box<Fallen> {
        Box::new(Fallen {
            call,
            setback: self,
        })
    }

    /// The attempt is over and another follows: what it cost is settled now. Returns what it said.
    pub(crate) fn close(self, call: &mut Call) -> Word {
        let Self { word, mut tap } = self;
        let ending = match &word {
            Word::Ours(error) => Ending::Failed(error),
            Word::Theirs(held) => Ending::ProviderRefused(held.name.clone()),
        };
        call.close_attempt(&ending, tap.as_deref_mut());
        word
    }
}

/// Ends the call with the last word: this setback's, or what an earlier provider answered when this one
/// answered nothing.
pub(crate) fn finish(call: &mut Call, setback: Setback, earlier: Option<Box<Held>>) -> Reply {
    let Setback { word, mut tap } = setback;
    match (word, earlier) {
        (Word::Theirs(held), _) => {
            let seen = tap.unwrap_or_else(|| {
                let mut tap = Tap::new(BodyForm::Opaque, MOST_HELD);
                tap.push(&held.body);
                Box::new(tap)
            });
            passed_on(call, *held, seen)
        }
        // What the provider before said is no part of what this one delivered.
        (Word::Ours(_), Some(held)) => {
            let seen = tap.unwrap_or_else(|| Box::new(Tap::new(BodyForm::Opaque, 0)));
            passed_on(call, *held, seen)
        }
        (Word::Ours(error), None) => refuse_after(call, error, tap.as_deref_mut()),
    }
}

fn passed_on(call: &mut Call, held: Held, mut seen: Box<Tap>) -> Reply {
    let Held {
        status,
        mut head,
        body,
        name,
    } = held;
    call.status = status.as_u16();
    call.bytes_out = body.len() as u64;
    call.first_byte_us = Some(micros(call.start));
    call.stamp().write_fallback_count(&mut head);
    let _ = call.end(&Ending::ProviderRefused(name), Some(&mut seen));
    let mut reply = Response::new(ReplyBody::whole(vec![body]));
    *reply.status_mut() = status;
    *reply.headers_mut() = head;
    reply
}
