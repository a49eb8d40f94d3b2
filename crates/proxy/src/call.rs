//! One request from its first byte to its last: what is known of it so far, and how it ends.
//!
//! A [`Call`] is an append-only record that the stages fill. It ends exactly once, whatever ends it: the
//! last frame, a refusal, a failing provider, or its drop, which means that the caller left. Its end
//! writes the outcome to the spool, hands the trace over, and is the only place that does.
//!
//! Start at [`Call::end`].

use std::sync::Arc;

use http::header::HeaderValue;
use http::{HeaderMap, Method};
use lw_core::error::{Correlation, Dialect};
use lw_core::{
    BodyForm, Entropy, Error, Fault, NanoUsd, RequestId, SpanId, TraceContext, TraceId, UnixMicros,
    Usage,
};
use lw_engine::price::{ModelPrice, estimate_between};
use lw_spool::{Admission, Attribution as Who, Outcome, SpoolError};
use lw_store::ledger::Certainty;
use lw_store::trace::Captured;
use lw_wire::tap::{Observed, Tap};
use lw_wire::{Surface, capture};
use tokio::time::Instant;

use crate::access::Authorised;
use crate::attribution::{self, Attribution};
use crate::bundle::{Bundle, Capture};
use crate::ended::Ended;
use crate::headers;
use crate::inbound::Inbound;
use crate::lane::Lane;
use crate::record::{Access, Finished};
use crate::worker::Worker;

/// Bytes of a body that count as one token when nobody counted.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a provider may add to a prompt on its own (tool instructions).
pub(crate) const HIDDEN_INPUT_TOKENS: u64 = 1_024;
/// A report of so many tokens is believed whatever the hold covers.
const PLAUSIBLE_TOKENS: u64 = 65_536;

/// What the hold was computed from, fixed at admission.
#[derive(Debug, Clone)]
pub(crate) struct Funding {
    /// The model's price; `None`: unpriced.
    pub(crate) price: Option<Arc<ModelPrice>>,
    /// The most that the call may cost.
    pub(crate) hold: NanoUsd,
    /// The most input tokens that the hold covers.
    pub(crate) input_most: u64,
    /// The most output tokens that the hold covers, when that is bounded.
    pub(crate) output_most: Option<u64>,
}

/// What earlier calls to the provider took that make up the same request: vectors of one text a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// There were none, or they are a part of what is told.
    #[default]
    None,
    /// Input tokens.
    Counted(u64),
    /// Nobody told.
    Uncounted,
}

/// The provider that was chosen, and how the call to it went.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// Index into the bundle's lanes.
    pub(crate) lane: usize,
    /// The model as dispatched.
    pub(crate) model: String,
    /// When dialling began, from the start of the request.
    pub(crate) started: Instant,
    /// The attempt's own span.
    pub(crate) span_id: SpanId,
    /// The provider's status.
    pub(crate) status: Option<u16>,
    /// The provider may have seen the request: it may cost money whatever came back.
    pub(crate) reached: bool,
    /// The service tier as the head of the answer names it.
    pub(crate) tier: Option<String>,
    /// Calls before the last one. They were answered, and cost what they cost.
    pub(crate) earlier: Earlier,
    /// The outcome label of data-plane 13.2.
    pub(crate) outcome: &'static str,
    /// `max_tokens` left under its newer name.
    pub(crate) renamed_max_tokens: bool,
    /// Names of parameters that were left out (providers 13), sorted.
    pub(crate) dropped: Vec<String>,
    /// What authorised the call.
    pub(crate) authorised: Authorised,
}

impl Dispatch {
    /// A call that is about to be made.
    pub(crate) fn new(lane: usize, model: String, entropy: &dyn Entropy) -> Self {
        Self {
            lane,
            model,
            started: Instant::now(),
            span_id: SpanId::mint(entropy),
            status: None,
            reached: false,
            tier: None,
            earlier: Earlier::None,
            outcome: "network",
            renamed_max_tokens: false,
            dropped: Vec::new(),
            authorised: Authorised::Plainly,
        }
    }
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Ending<'a> {
    /// The provider's answer was passed on to its end.
    Complete,
    /// The provider answered with an error, which was passed on. Its type or code, when it has one.
    ProviderRefused(Option<String>),
    /// The gateway answered with an error of its own.
    Failed(&'a Error),
    /// The provider broke off after the answer had begun.
    BrokeOff(String),
    /// The caller hung up.
    CallerLeft,
}

/// One request. See the module.
pub(crate) struct Call {
    pub(crate) worker: Arc<Worker>,
    pub(crate) request_id: RequestId,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    parent: Option<SpanId>,
    at: UnixMicros,
    pub(crate) start: Instant,
    method: Method,
    route: &'static str,
    pub(crate) surface: Option<Surface>,
    client_request_id: Option<HeaderValue>,
    /// What the headers say about who asks.
    pub(crate) attribution: Attribution,
    /// The key, once it is known.
    pub(crate) bundle: Option<Arc<Bundle>>,
    /// The body and what was read from it.
    pub(crate) inbound: Option<Inbound>,
    pub(crate) funding: Option<Funding>,
    pub(crate) dispatch: Option<Dispatch>,
    /// The admission is in the spool: an outcome is owed.
    pub(crate) admitted: bool,
    /// The status that went out; 0 while none did.
    pub(crate) status: u16,
    /// Bytes of the answer's body that went out.
    pub(crate) bytes_out: u64,
    /// Microseconds to the first byte of the answer.
    pub(crate) first_byte_us: Option<u64>,
    ended: bool,
}

impl Call {
    pub(crate) fn new(
        worker: Arc<Worker>,
        method: Method,
        route: &'static str,
        surface: Option<Surface>,
        request: &HeaderMap,
    ) -> Self {
        let gateway = &worker.gateway;
        gateway.metrics.in_flight.inc();
        let at = gateway.clock.now();
        let entropy = &*gateway.entropy;
        let TraceContext { trace_id, parent } = attribution::trace_context(request);
        Self {
            request_id: RequestId::mint(at, entropy),
            trace_id: trace_id.unwrap_or_else(|| TraceId::mint(at, entropy)),
            span_id: SpanId::mint(entropy),
            parent,
            at,
            start: Instant::now(),
            method,
            route,
            surface,
            client_request_id: request.get(headers::X_REQUEST_ID).cloned(),
            attribution: attribution::read(request),
            bundle: None,
            inbound: None,
            funding: None,
            dispatch: None,
            admitted: false,
            status: 0,
            bytes_out: 0,
            first_byte_us: None,
            ended: false,
            worker,
        }
    }

    /// The envelope that the caller understands.
    pub(crate) fn dialect(&self) -> Dialect {
        if self.surface.is_some_and(Surface::is_anthropic) {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        }
    }

    /// The ids that an error body repeats.
    pub(crate) const fn correlation(&self) -> Correlation {
        Correlation {
            trace_id: Some(self.trace_id),
            span_id: Some(self.span_id),
        }
    }

    /// The lane that was chosen.
    pub(crate) fn lane(&self) -> Option<&Lane> {
        self.bundle
            .as_ref()?
            .lanes
            .get(self.dispatch.as_ref()?.lane)
            .map(|lane| &**lane)
    }

    /// Whether what the answer leaves at the provider has to be known as this project's.
    pub(crate) fn is_guarded(&self) -> bool {
        let bundle = self.bundle.as_ref();
        let guarded = |lane: &Lane| bundle.is_some_and(|bundle| lane.guards(&bundle.project_id));
        self.lane().is_some_and(guarded)
    }

    /// What a provider wrote about a failure, without our secrets.
    pub(crate) fn without_secrets(&self, bytes: bytes::Bytes) -> bytes::Bytes {
        let bytes = match self.lane() {
            Some(lane) => lane.secrets.take_out(bytes),
            None => bytes,
        };
        match &self.dispatch {
            Some(dispatch) => dispatch.authorised.take_out(bytes),
            None => bytes,
        }
    }

    /// What the headers of the answer say about the request, as far as it is known.
    pub(crate) fn stamp(&self) -> Stamp {
        let dispatched = self.lane().zip(self.dispatch.as_ref());
        Stamp {
            dropped: self.dispatch.as_ref().and_then(|dispatch| {
                let names = dispatch.dropped.join(",");
                (!names.is_empty()).then(|| HeaderValue::from_str(&names).ok())?
            }),
            renamed_max_tokens: self
                .dispatch
                .as_ref()
                .is_some_and(|dispatch| dispatch.renamed_max_tokens),
            request_id: self.request_id,
            trace_id: self.trace_id,
            span_id: self.span_id,
            client_request_id: self.client_request_id.clone(),
            version: self.worker.gateway.version_header.clone(),
            dispatched: dispatched.map(|(lane, dispatch)| {
                let model = HeaderValue::from_str(&dispatch.model).ok();
                // What is kept is asked for without one.
                (lane.kind.as_str(), model.filter(|model| !model.is_empty()))
            }),
        }
    }

    /// Ends an operational request, which leaves no record.
    pub(crate) fn forget(mut self) {
        self.ended = true;
        self.worker.gateway.metrics.in_flight.dec();
    }

    /// Whether the client named the request itself.
    pub(crate) const fn client_names_request(&self) -> bool {
        self.client_request_id.is_some()
    }

    /// Whether the request leaves a spend record: everything but counting tokens (observability 13.1).
    fn has_spend(&self) -> bool {
        self.surface.is_some_and(Surface::is_billed)
    }

    /// Writes the admission: from here on an outcome is owed.
    ///
    /// # Errors
    /// The spool is full or unwritable; nothing was dialled and nothing may be.
    pub(crate) fn admit(&mut self) -> Result<(), SpoolError> {
        if !self.has_spend() {
            return Ok(());
        }
        let Some(bundle) = self.bundle.clone() else {
            return Ok(());
        };
        let admission = self.admission(&bundle);
        self.worker.spool.lock().append_admission(&admission)?;
        self.admitted = true;
        Ok(())
    }

    fn who<'a>(&'a self, bundle: &'a Bundle) -> Who<'a> {
        Who {
            request_id: self.request_id,
            admitted_at: self.at,
            organization_id: &bundle.organization_id,
            project_id: &bundle.project_id,
            virtual_key_id: &bundle.key_id,
            request_type: self.surface.map_or("", Surface::request_type),
            end_user_id: self.end_user(),
            trace_id: Some(self.trace_id),
            labels: &bundle.labels,
            metadata: self.attribution.metadata.as_deref(),
        }
    }

    fn end_user(&self) -> Option<&str> {
        let body = || self.inbound.as_ref()?.user.as_deref();
        self.attribution.end_user.as_deref().or_else(body)
    }

    fn requested_model(&self) -> Option<&str> {
        self.inbound.as_ref()?.model.as_deref()
    }

    fn admission<'a>(&'a self, bundle: &'a Bundle) -> Admission<'a> {
        let price = self
            .funding
            .as_ref()
            .and_then(|funding| funding.price.as_deref());
        Admission {
            who: self.who(bundle),
            attempt: 0,
            model: self.requested_model().unwrap_or("unknown"),
            model_provider_id: self.lane().map(|lane| &lane.id),
            hold: self
                .funding
                .as_ref()
                .map_or(NanoUsd::ZERO, |funding| funding.hold),
            priced: price.is_some(),
            price_version: price.map(|price| &*price.version),
            budgets: "",
        }
    }

    /// Ends the request. Later calls change nothing. `tap` is what saw the answer.
    ///
    /// Returns the error to answer with instead when the end of a refused request could not be recorded.
    pub(crate) fn end(
        &mut self,
        ending: &Ending<'_>,
        tap: Option<&mut Tap>,
    ) -> Result<(), SpoolError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.worker.gateway.metrics.in_flight.dec();
        let mut none = Tap::new(BodyForm::Opaque, 0);
        let tap = tap.unwrap_or(&mut none);
        tap.finish();
        let bill = self.bill(ending, tap);
        let mut end = EndFacts::of(self, ending);
        if end.error_type.is_none() && tap.is_stream() && tap.observed().usage.is_none() {
            end.word = "success_no_usage".to_owned();
        }
        let spooled = self.spool(&bill, &end, tap.observed());
        self.hand_over(&bill, end, tap);
        spooled
    }

    /// What the call cost.
    fn bill(&self, ending: &Ending<'_>, tap: &Tap) -> Bill {
        let observed = tap.observed();
        let price = self
            .funding
            .as_ref()
            .and_then(|funding| funding.price.as_deref());
        let cost = |usage: &Usage| {
            let tier = observed
                .service_tier
                .as_deref()
                .or_else(|| self.dispatch.as_ref()?.tier.as_deref());
            price.map_or(NanoUsd::ZERO, |price| price.cost(usage, tier))
        };
        let reported = observed.billable().filter(|usage| self.is_plausible(usage));
        let served = self.dispatch.as_ref().is_some_and(|dispatch| {
            dispatch
                .status
                .is_some_and(|status| (200..300).contains(&status))
        });
        let refused = self
            .dispatch
            .as_ref()
            .is_some_and(|dispatch| dispatch.status.is_some_and(|status| status >= 300));
        let reached = self.admitted
            && self
                .dispatch
                .as_ref()
                .is_some_and(|dispatch| dispatch.reached);
        let finished = observed.complete || matches!(ending, Ending::Complete);
        let earlier = self
            .dispatch
            .as_ref()
            .map_or(Earlier::None, |dispatch| dispatch.earlier);
        match reported {
            // What a stream reported before it broke off is a part: the estimate counts the rest.
            Some(usage) if finished => Bill {
                usage: Some(usage),
                cost: cost(&usage),
                certainty: Certainty::Exact,
            },
            partial if served || (reached && !refused) || earlier == Earlier::Uncounted => {
                let usage = self.delivered(partial, tap);
                let hold = self
                    .funding
                    .as_ref()
                    .map_or(NanoUsd::ZERO, |funding| funding.hold);
                let cost = if price.is_some() {
                    estimate_between(cost(&usage), hold)
                } else {
                    NanoUsd::ZERO
                };
                Bill {
                    usage: Some(usage),
                    cost,
                    certainty: Certainty::Estimated,
                }
            }
            // The last call was refused; those before it were answered.
            _ => {
                let usage = match earlier {
                    Earlier::Counted(input) => Some(Usage {
                        input,
                        ..Usage::default()
                    }),
                    Earlier::None | Earlier::Uncounted => None,
                };
                Bill {
                    usage,
                    cost: usage.as_ref().map_or(NanoUsd::ZERO, cost),
                    certainty: Certainty::Exact,
                }
            }
        }
    }

    /// Whether a report can be true. Servers count thinking and hidden prompts differently, so a report
    /// may exceed what the hold covers; twice as much and a generous constant is no longer an opinion.
    fn is_plausible(&self, usage: &Usage) -> bool {
        let Some(funding) = &self.funding else {
            return true;
        };
        let most = |bound: u64| bound.saturating_mul(2).max(PLAUSIBLE_TOKENS);
        usage.prompt() <= most(funding.input_most)
            && funding
                .output_most
                .is_none_or(|bound| usage.completion() <= most(bound))
    }

    /// An estimate of what was delivered: the reported part, and the rest counted from the bytes.
    fn delivered(&self, partial: Option<Usage>, tap: &Tap) -> Usage {
        let partial = partial.unwrap_or_default();
        let body = self
            .inbound
            .as_ref()
            .map_or(0, |inbound| inbound.body.len() as u64);
        let output = if self.surface.is_some_and(Surface::is_embeddings) {
            0
        } else {
            let bytes = tap.delivered_text_bytes();
            bytes.div_ceil(BYTES_PER_TOKEN).max(tap.content_events())
        };
        let input = if partial.prompt() > 0 {
            partial.input
        } else {
            body.div_ceil(BYTES_PER_TOKEN)
        };
        Usage {
            input,
            output: partial.output.max(output),
            ..partial
        }
    }

    fn spool(&self, bill: &Bill, end: &EndFacts, observed: &Observed) -> Result<(), SpoolError> {
        let Some(bundle) = self.bundle.as_deref().filter(|_| self.has_spend()) else {
            return Ok(());
        };
        let price = self
            .funding
            .as_ref()
            .and_then(|funding| funding.price.as_deref());
        let dispatched = self
            .dispatch
            .as_ref()
            .map(|dispatch| dispatch.model.as_str());
        let made = observed.made.as_deref().unwrap_or_default();
        let outcome = Outcome {
            who: self.who(bundle),
            attempt: 0,
            at: self.worker.gateway.clock.now(),
            model: dispatched.or(self.requested_model()).unwrap_or("unknown"),
            model_provider_id: self.lane().map(|lane| &lane.id),
            usage: bill.usage.unwrap_or_default(),
            cost: bill.cost,
            certainty: bill.certainty,
            priced: price.is_some(),
            price_version: price.map(|price| &*price.version),
            response_id: observed.response_id.as_deref(),
            made,
            http_status: end.status,
            // A caller that left after some usage was known is confirmed (observability 13.1).
            error_type: end
                .error_type
                .as_deref()
                .filter(|_| end.status != 499 || observed.usage.is_none()),
            duration_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            budgets: "",
        };
        if let (Some(lane), false) = (self.lane(), made.is_empty()) {
            let custody = &self.worker.gateway.custody;
            custody.learn(&lane.id, &bundle.project_id, made);
        }
        let mut spool = self.worker.spool.lock();
        if self.admitted {
            if let Err(error) = spool.append_outcome(&outcome) {
                tracing::error!(request_id = %self.request_id, %error, "outcome could not be recorded");
            }
            return Ok(());
        }
        spool.append_refused(&self.admission(bundle), &outcome)
    }

    fn hand_over(&mut self, bill: &Bill, end: EndFacts, tap: &mut Tap) {
        let duration_us = micros(self.start);
        let mut dispatch = self.dispatch.take();
        if let Some(dispatch) = dispatch
            .as_mut()
            .filter(|dispatch| dispatch.status.is_none())
            && end.status == 499
        {
            dispatch.outcome = "context_done";
        }
        let stream = tap.is_stream();
        let access = Access {
            request_id: self.request_id,
            at: self.at,
            method: self.method.clone(),
            client_request_id: self.attribution.client_request_id.clone(),
            fallback_count: dispatch.as_ref().map(|_| 0),
            route: self.route,
            status: end.status,
            bytes: self.bytes_out,
            duration_us,
            error_code: end.error_type.clone(),
            error: end.internal.clone(),
            fault: end.fault,
            provider: dispatch.as_ref().and_then(|dispatch| {
                Some(
                    self.bundle
                        .as_ref()?
                        .lanes
                        .get(dispatch.lane)?
                        .kind
                        .as_str(),
                )
            }),
            model: dispatch.as_ref().map(|dispatch| dispatch.model.clone()),
            vk_id: self.bundle.as_ref().map(|bundle| bundle.key_id.clone()),
            provider_us: dispatch.as_ref().map(|dispatch| micros(dispatch.started)),
            first_chunk_us: self.first_byte_us.filter(|_| stream),
            usage_missing: stream && tap.observed().usage.is_none(),
        };
        let ended = self.ended(bill, end, dispatch, tap, duration_us);
        let captured = ended.as_ref().map_or(0, |ended| ended.captured());
        let finished = Finished {
            access,
            ended,
            captured,
        };
        self.worker.gateway.records.put(self.worker.index, finished);
    }

    /// What the trace is made of; `None` for a request without a tenant and for probes.
    fn ended(
        &mut self,
        bill: &Bill,
        end: EndFacts,
        dispatch: Option<Dispatch>,
        tap: &mut Tap,
        duration_us: u64,
    ) -> Option<Box<Ended>> {
        let bundle = self.bundle.clone()?;
        let surface = self.surface?;
        let error = end.error_type.is_some() && end.status != 499;
        if !error && is_probe(surface, bill, tap) {
            return None;
        }
        let inbound = self.inbound.take().unwrap_or_default();
        let (input, output, payload_capture) = capture_bodies(&bundle, surface, &inbound, tap);
        let priced = self
            .funding
            .as_ref()
            .is_some_and(|funding| funding.price.is_some());
        Some(Box::new(Ended {
            request_id: self.request_id,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent: self.parent,
            at: self.at,
            duration_us,
            dispatch_start_us: dispatch.as_ref().map_or(0, |dispatch| {
                u64::try_from((dispatch.started - self.start).as_micros()).unwrap_or(0)
            }),
            dispatch_us: dispatch
                .as_ref()
                .map_or(0, |dispatch| micros(dispatch.started)),
            dispatch,
            surface,
            route: self.route,
            attribution: std::mem::take(&mut self.attribution),
            inbound: inbound.without_body(),
            observed: tap.take_texts(),
            stream: tap.is_stream(),
            usage: bill.usage,
            cost: priced.then_some(bill.cost),
            estimated: bill.certainty == Certainty::Estimated,
            end,
            error,
            first_byte_us: self.first_byte_us,
            input,
            output,
            payload_capture,
            bundle,
        }))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error =
                Error::new(lw_core::Code::InternalError, "the gateway failed").because("panic");
            let _ = self.end(&Ending::Failed(&error), None);
        }
        // Nobody finished it: the caller left while it was being worked on.
        let _ = self.end(&Ending::CallerLeft, None);
    }
}

/// The headers of data-plane 19 that tell about a request.
pub(crate) struct Stamp {
    request_id: RequestId,
    trace_id: TraceId,
    span_id: SpanId,
    client_request_id: Option<HeaderValue>,
    version: HeaderValue,
    renamed_max_tokens: bool,
    /// Parameters that were left out.
    dropped: Option<HeaderValue>,
    /// The provider's type and the model, on a dispatched answer.
    dispatched: Option<(&'static str, Option<HeaderValue>)>,
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
        if self.dispatched.is_some() {
            answer.insert(headers::FALLBACK_COUNT, HeaderValue::from_static("0"));
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
        answer.insert(headers::FALLBACK_COUNT, HeaderValue::from_static("0"));
        answer.insert(headers::CACHE_MODE, HeaderValue::from_static("respect"));
        if self.renamed_max_tokens {
            let renamed = HeaderValue::from_static("max_tokens->max_completion_tokens");
            answer.insert(headers::COMPAT, renamed);
        }
        if let Some(dropped) = &self.dropped {
            answer.insert(headers::PARAMS_DROPPED, dropped.clone());
        }
    }
}

/// What a request cost, and how sure that is.
struct Bill {
    usage: Option<Usage>,
    cost: NanoUsd,
    certainty: Certainty,
}

/// How the end looks to those who read about it.
#[derive(Debug)]
pub(crate) struct EndFacts {
    pub(crate) status: u16,
    /// `langwatch.status`.
    pub(crate) word: String,
    pub(crate) error_type: Option<String>,
    pub(crate) message: Option<String>,
    internal: Option<String>,
    fault: Option<Fault>,
}

impl EndFacts {
    fn of(call: &Call, ending: &Ending<'_>) -> Self {
        let failed = |status, word: &str, fault| Self {
            status,
            word: word.to_owned(),
            error_type: Some(word.to_owned()),
            message: None,
            internal: None,
            fault: Some(fault),
        };
        match ending {
            Ending::Complete => Self {
                status: call.status,
                word: "success".to_owned(),
                error_type: None,
                message: None,
                internal: None,
                fault: None,
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
                    ..failed(row.status, row.name, row.fault)
                }
            }
            Ending::BrokeOff(why) => Self {
                internal: Some(why.clone()),
                ..failed(call.status, "upstream_mid_stream_failure", Fault::Provider)
            },
            Ending::CallerLeft => failed(499, "client_disconnected", Fault::Customer),
        }
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
fn is_probe(surface: Surface, bill: &Bill, tap: &Tap) -> bool {
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

fn capture_bodies(
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

/// Microseconds since `start`.
pub(crate) fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Text bytes that the answer delivered, for an estimate. See [`Tap`].
trait Delivered {
    fn delivered_text_bytes(&self) -> u64;
    fn content_events(&self) -> u64;
}

impl Delivered for Tap {
    fn delivered_text_bytes(&self) -> u64 {
        match self.held_copy() {
            Some(held) => capture::output_text(self.form(), &held).len() as u64,
            // Not kept, as the key wants it: the events are counted instead.
            None if self.is_stream() => 0,
            None => self.total(),
        }
    }

    fn content_events(&self) -> u64 {
        self.observed().events
    }
}
