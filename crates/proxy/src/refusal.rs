//! Answers of ours that say no: the error in the caller's envelope, and the end of the call with it.
//!
//! Start at [`refuse`].

use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use lw_core::error::render;
use lw_core::{Code, Error};
use lw_wire::tap::Tap;

use crate::call::{Call, Ending};
use crate::headers;
use crate::reply::{Reply, ReplyBody};

pub(crate) fn lost(why: &'static str) -> Error {
    Error::new(Code::InternalError, "the request was lost").because(why)
}

/// Ends `call` with an error of ours and renders it.
pub(crate) fn refuse(call: &mut Call, error: Error) -> Reply {
    refuse_after(call, error, None)
}

/// [`refuse`] for a call whose answer had begun: `tap` saw that beginning.
pub(crate) fn refuse_after(call: &mut Call, error: Error, tap: Option<&mut Tap>) -> Reply {
    let mut stamp = call.stamp();
    let mut body = render(&error, call.dialect(), call.correlation());
    call.bytes_out = body.len() as u64;
    let error = match call.end(&Ending::Failed(&error), tap) {
        Ok(()) => error,
        // A refusal that leaves no record would be a silence: say that records cannot be taken.
        Err(full) => {
            let error = spool_error(&full);
            body = render(&error, call.dialect(), call.correlation());
            error
        }
    };
    call.restamp(&mut stamp);
    let mut reply = error_reply(&error, body);
    stamp.write(reply.headers_mut());
    stamp.write_fallback_count(reply.headers_mut());
    reply
}

pub(crate) fn spool_error(cause: &lw_spool::SpoolError) -> Error {
    Error::new(
        Code::BudgetUnavailable,
        "the spend of the request cannot be recorded right now; try again",
    )
    .because(cause)
    .retry_after(1)
}

fn error_reply(error: &Error, body: String) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(vec![body.into()]));
    *reply.status_mut() =
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = reply.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(
        headers::HANDLED_ERROR,
        HeaderValue::from_static(error.code().row().name),
    );
    if let Some(seconds) = error.retry_after_seconds() {
        map.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some((name, value)) = told(error)
        && let Ok(value) = HeaderValue::try_from(value)
    {
        map.insert(name, value);
    }
    if error.code() == Code::PayloadTooLarge {
        // The rest of the body is not going to be read.
        map.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// Facts of a refusal that stand in its head too (data-plane 10.3, 15.4).
fn told(error: &Error) -> Option<(HeaderName, String)> {
    let fact = |key: &str| error.meta(key).and_then(|value| value.as_str());
    match error.code() {
        Code::KeyRateLimitExceeded | Code::ProviderRateLimitExceeded => {
            Some((headers::RATE_LIMIT_DIMENSION, fact("dimension")?.to_owned()))
        }
        Code::BudgetExceeded => {
            let (scope, window) = (fact("budget_scope")?, fact("budget_window")?);
            Some((headers::BUDGET_BLOCKED_BY, format!("{scope}:{window}")))
        }
        _ => None,
    }
}
