//! How a request ended, for those who read about it.

use lw_core::{Code, Error, Fault, NanoUsd};
use lw_store::trace::Captured;
use lw_wire::Surface;
use lw_wire::tap::Tap;

use super::bill::Bill;
use super::{Call, Ending};
use crate::bundle::{Bundle, Capture};
use crate::inbound::Inbound;

/// How the end looks to those who read about it.
#[derive(Debug)]
pub(crate) struct EndFacts {
    pub(crate) status: u16,
    /// `langwatch.status`.
    pub(crate) word: String,
    pub(crate) error_type: Option<String>,
    pub(crate) message: Option<String>,
    pub(super) internal: Option<String>,
    pub(super) fault: Option<Fault>,
    /// The error of ours that ended it.
    pub(super) refusal: Option<Error>,
}

impl EndFacts {
    pub(super) fn of(call: &Call, ending: &Ending<'_>) -> Self {
        let failed = |status, word: &str, fault| Self {
            status,
            word: word.to_owned(),
            error_type: Some(word.to_owned()),
            message: None,
            internal: None,
            fault: Some(fault),
            refusal: None,
        };
        match ending {
            Ending::Complete => Self {
                status: call.status,
                word: "success".to_owned(),
                error_type: None,
                message: None,
                internal: None,
                fault: None,
                refusal: None,
            },
            Ending::ProviderRefused(name) => Self {
                word: "provider_error".to_owned(),
                error_type: Some(name.clone().unwrap_or_else(|| "provider_error".to_owned())),
                ..failed(call.status, "provider_error", fault_of(call.status))
            },
            Ending::Failed(error) => {
                let row = error.code().row();
                Self {
                    message: Some(error.message().to_owned()),
                    internal: error.internal().map(str::to_owned),
                    refusal: Some((*error).clone()),
                    word: word_of(error.code()).to_owned(),
                    ..failed(row.status, row.name, row.fault)
                }
            }
            Ending::BrokeOff(why) => Self {
                internal: Some(why.clone()),
                ..failed(call.status, "upstream_mid_stream_failure", Fault::Provider)
            },
            Ending::Stopped(error) => {
                let row = error.code().row();
                Self {
                    message: Some(error.message().to_owned()),
                    internal: error.internal().map(str::to_owned),
                    refusal: Some((*error).clone()),
                    word: word_of(error.code()).to_owned(),
                    ..failed(call.status, row.name, row.fault)
                }
            }
            Ending::CallerLeft => failed(499, "client_disconnected", Fault::Customer),
        }
    }
}

/// `langwatch.status` of an error of ours (observability 4.3).
const fn word_of(code: Code) -> &'static str {
    match code {
        Code::GuardrailBlocked | Code::StreamChunkBlocked => "blocked_by_guardrail",
        code => code.row().name,
    }
}

/// A provider's 4xx is about the request; everything else is about the provider.
const fn fault_of(status: u16) -> Fault {
    if status < 500 {
        Fault::Customer
    } else {
        Fault::Provider
    }
}

/// A successful call that produced nothing and cost nothing: coding CLIs probe this way, and counting
/// tokens is no generation (observability 3).
pub(super) fn is_probe(surface: Surface, bill: &Bill, tap: &Tap) -> bool {
    match surface {
        surface if !surface.is_billed() => true,
        Surface::Chat | Surface::Messages | Surface::Generate => {
            bill.cost == NanoUsd::ZERO
                && bill.usage.is_some_and(|usage| usage.completion() == 0)
                && tap.observed().usage.is_some()
        }
        _ => false,
    }
}

pub(super) fn capture_bodies(
    bundle: &Bundle,
    surface: Surface,
    inbound: &Inbound,
    tap: &mut Tap,
) -> (Option<Captured>, Option<Captured>, &'static str) {
    if let Capture::None(why) = bundle.capture {
        return (None, None, why);
    }
    let input = (!inbound.body.is_empty()).then(|| Captured {
        pieces: compact(vec![inbound.body.clone()]),
        form: surface.request_form(),
        truncated: false,
    });
    let form = tap.form();
    let (pieces, truncated) = tap.take_held();
    let output = (!pieces.is_empty()).then(|| Captured {
        pieces: compact(pieces),
        form,
        truncated,
    });
    (input, output, "raw")
}

/// Copies a small body out of the buffer that it was read into. What waits for the trace store would
/// otherwise pin that buffer, and every request would read into fresh, cold memory.
pub(crate) fn compact(pieces: Vec<bytes::Bytes>) -> Vec<bytes::Bytes> {
    const SMALL: usize = 32 * 1024;
    let length: usize = pieces.iter().map(bytes::Bytes::len).sum();
    if length > SMALL {
        pieces
    } else {
        vec![pieces.concat().into()]
    }
}
