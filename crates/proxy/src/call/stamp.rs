//! The headers of every answer that tell about its request (data-plane 19).

use http::HeaderMap;
use http::header::HeaderValue;
use lw_core::error::Dialect;
use lw_core::{RequestId, SpanId, TraceId, UnixMicros};
use lw_engine::limit::Standing;

use crate::{headers, limit};

/// The headers of data-plane 19 that tell about a request.
pub(crate) struct Stamp {
    pub(super) request_id: RequestId,
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) client_request_id: Option<HeaderValue>,
    pub(super) version: HeaderValue,
    pub(super) renamed_max_tokens: bool,
    /// What is left of the key's ceilings, at an instant, for clients of a dialect.
    pub(super) limits: Option<(Standing, UnixMicros, Dialect)>,
    /// Budgets that are nearly spent.
    pub(super) budget_warning: Option<HeaderValue>,
    /// What was done about the provider's prompt cache.
    pub(super) cache_mode: &'static str,
    /// Candidates before the one that answered.
    pub(super) fallbacks: u16,
    /// Candidates were tried or passed over.
    pub(super) walked: bool,
    /// Parameters that were left out.
    pub(super) dropped: Option<HeaderValue>,
    /// The provider's type and the model, on a dispatched answer.
    pub(super) dispatched: Option<(&'static str, Option<HeaderValue>)>,
}

impl Stamp {
    /// Writes the headers that every answer carries, over whatever stands there.
    pub(crate) fn write(&self, answer: &mut HeaderMap) {
        let ascii = |bytes: &[u8]| HeaderValue::from_bytes(bytes);
        if let Ok(id) = ascii(&self.request_id.to_ascii()) {
            answer.insert(headers::REQUEST_ID, id.clone());
            answer.insert(headers::GATEWAY_REQUEST_ID, id.clone());
            match &self.client_request_id {
                Some(theirs) => {
                    answer.insert(headers::X_REQUEST_ID, theirs.clone());
                }
                None => {
                    answer.entry(headers::X_REQUEST_ID).or_insert(id);
                }
            }
        }
        answer.insert(headers::VERSION, self.version.clone());
        if let Some((standing, now, dialect)) = &self.limits {
            limit::write(answer, *dialect, standing, *now);
        }
        if let Some(warning) = &self.budget_warning {
            answer.insert(headers::BUDGET_WARNING, warning.clone());
        }
        for (name, value) in [
            (headers::TRACE_ID, ascii(&self.trace_id.to_ascii())),
            (headers::SPAN_ID, ascii(&self.span_id.to_ascii())),
            (
                headers::TRACEPARENT,
                ascii(&lw_core::trace::traceparent(self.trace_id, self.span_id)),
            ),
        ] {
            if let Ok(value) = value {
                answer.insert(name, value);
            }
        }
    }

    /// Writes the count that a failed walk carries too; nothing when no provider was chosen.
    pub(crate) fn write_fallback_count(&self, answer: &mut HeaderMap) {
        if self.walked {
            answer.insert(headers::FALLBACK_COUNT, HeaderValue::from(self.fallbacks));
        }
    }

    /// Writes those that a dispatched answer carries as well.
    pub(crate) fn write_dispatched(&self, answer: &mut HeaderMap) {
        let Some((provider, model)) = &self.dispatched else {
            return;
        };
        answer.insert(headers::PROVIDER, HeaderValue::from_static(provider));
        if let Some(model) = model {
            answer.insert(headers::MODEL, model.clone());
        }
        answer.insert(headers::FALLBACK_COUNT, HeaderValue::from(self.fallbacks));
        answer.insert(
            headers::CACHE_MODE,
            HeaderValue::from_static(self.cache_mode),
        );
        if self.renamed_max_tokens {
            let renamed = HeaderValue::from_static("max_tokens->max_completion_tokens");
            answer.insert(headers::COMPAT, renamed);
        }
        if let Some(dropped) = &self.dropped {
            answer.insert(headers::PARAMS_DROPPED, dropped.clone());
        }
    }
}
