//! What is left of a request when it is over, on its way to become a trace.
//!
//! A data thread hands it over as it is; the traces thread turns it into a record, so that a request does
//! not wait for texts that nobody reads before it is answered.

use std::borrow::Cow;
use std::sync::Arc;

use lw_core::{Error, NanoUsd, RequestId, SpanId, TraceId, UnixMicros, Usage};
use lw_engine::cache_rule;
use lw_store::trace::{Attempt, Captured, Facts, TraceRecord};
use lw_wire::Surface;
use lw_wire::tap::Observed;
use tokio::time::Instant;

use crate::attribution::Attribution;
use crate::budget::Checked;
use crate::bundle::Bundle;
use crate::call::{Dispatch, EndFacts, Tried};
use crate::decisions::{Notes, Seen};
use crate::guarded;
use crate::inbound::Inbound;

/// A request that is over. See the module.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) request_id: RequestId,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) at: UnixMicros,
    pub(crate) duration_us: u64,
    /// When the request began, by the clock of durations.
    pub(crate) start: Instant,
    /// Microseconds that the last attempt took.
    pub(crate) dispatch_us: u64,
    pub(crate) dispatch: Option<Dispatch>,
    /// Attempts and passed-over candidates before that.
    pub(crate) tried: Vec<Tried>,
    pub(crate) surface: Surface,
    pub(crate) route: &'static str,
    pub(crate) attribution: Attribution,
    /// What the body said; the body itself is in `input`.
    pub(crate) inbound: Inbound,
    pub(crate) observed: Observed,
    /// What guardrails did.
    pub(crate) guardrails: guarded::Facts,
    pub(crate) stream: bool,
    pub(crate) usage: Option<Usage>,
    /// `None` when the model has no price.
    pub(crate) cost: Option<NanoUsd>,
    pub(crate) estimated: bool,
    pub(crate) end: EndFacts,
    pub(crate) error: bool,
    pub(crate) first_byte_us: Option<u64>,
    pub(crate) input: Option<Captured>,
    pub(crate) output: Option<Captured>,
    pub(crate) payload_capture: &'static str,
    /// What is done about the provider's prompt cache.
    pub(crate) cache: cache_rule::Decision,
    /// Its budgets before the walk.
    pub(crate) checked: Checked,
    /// What else the stages noted.
    pub(crate) notes: Notes,
    pub(crate) bundle: Arc<Bundle>,
}

impl Ended {
    /// Bytes of captured bodies.
    pub(crate) fn captured(&self) -> usize {
        let sides = [&self.input, &self.output];
        sides
            .into_iter()
            .flatten()
            .flat_map(|side| &side.pieces)
            .map(bytes::Bytes::len)
            .sum()
    }

    /// Lets the bodies go: the process holds as many as it may.
    pub(crate) fn drop_bodies(&mut self) {
        self.input = None;
        self.output = None;
        self.payload_capture = "dropped_at_capacity";
    }

    /// The candidates in the order of the walk, with the microseconds that each took: those that were tried
    /// or passed over, then the last one.
    pub(crate) fn walk(&self) -> impl Iterator<Item = (&Dispatch, u64)> {
        let last = self.last();
        let before = self.tried.iter();
        let before = before.map(|tried| (&tried.dispatch, tried.duration_us));
        before.chain(last)
    }

    fn last(&self) -> Option<(&Dispatch, u64)> {
        Some((self.dispatch.as_ref()?, self.dispatch_us))
    }

    /// What is known for the record of decisions. `refusal`: the error of ours that ended it.
    pub(crate) fn seen<'a>(&'a self, refusal: Option<&'a Error>) -> Seen<'a> {
        let took = i64::try_from(self.duration_us).unwrap_or(i64::MAX);
        Seen {
            bundle: &self.bundle,
            inbound: &self.inbound,
            cache: &self.cache,
            checked: &self.checked,
            guardrails: &self.guardrails,
            notes: &self.notes,
            tried: &self.tried,
            last: self.last(),
            refusal,
            word: &self.end.word,
            ended: self.at.plus_micros(took),
        }
    }

    /// The record that the trace store keeps. `refusal`: the error of ours that ended the request.
    pub(crate) fn into_record(self, refusal: Option<&Error>) -> TraceRecord {
        let seen = self.seen(refusal);
        let (governance, decisions) = (seen.governance(), seen.decisions());
        let attempts = self
            .walk()
            .filter_map(|(dispatch, took)| attempt(&self.bundle, self.start, dispatch, took));
        let attempts: Vec<Attempt> = attempts.collect();
        let Self {
            bundle,
            dispatch,
            inbound,
            attribution,
            observed,
            end,
            ..
        } = self;
        let lane = dispatch
            .as_ref()
            .and_then(|dispatch| bundle.lanes.get(dispatch.lane));
        // A provider may echo our secrets in what it says about a failure.
        let output = match (self.output, lane) {
            (Some(captured), Some(lane)) if end.error_type.is_some() => Some(Captured {
                pieces: vec![{
                    let whole = lane.secrets.take_out(captured.pieces.concat().into());
                    match &dispatch {
                        Some(dispatch) => dispatch.authorised.take_out(whole),
                        None => whole,
                    }
                }],
                ..captured
            }),
            (output, _) => output,
        };
        let facts = Facts {
            request_type: self.surface.request_type().to_owned(),
            endpoint: self.route.to_owned(),
            display_prefix: bundle.display_prefix.clone(),
            provider: lane.map(|lane| lane.kind.as_str().to_owned()),
            model_provider_id: lane.map(|lane| lane.id.clone()),
            requested_model: inbound.model,
            model_source: inbound.source.map(|source| source.as_str().to_owned()),
            streaming: inbound.stream,
            parameters: inbound.parameters,
            params_dropped: dispatch
                .as_ref()
                .map(|dispatch| dispatch.dropped.clone())
                .unwrap_or_default(),
            response_id: observed.response_id,
            response_model: observed.model,
            finish_reasons: observed.finish_reasons,
            usage: self.usage,
            cost: self.cost,
            cost_estimated: self.estimated,
            status: end.word,
            error_type: end.error_type,
            error_message: end.message,
            end_user_id: attribution.end_user.or(inbound.user),
            conversation_id: attribution
                .session
                .or(inbound.session)
                .or_else(|| attribution.thread_id.clone()),
            thread_id: attribution.thread_id,
            request_metadata: attribution.metadata,
            trace_metadata: attribution.trace_metadata,
            client_name: attribution.client.map(str::to_owned),
            client_request_id: attribution.client_request_id,
            labels: bundle.labels.clone(),
            tracestate: attribution.tracestate,
            first_byte_us: self.first_byte_us,
            chunk_count: self.stream.then_some(observed.events),
            grace_window: bundle.grace_until.is_some(),
            payload_capture: self.payload_capture.to_owned(),
            guardrails: self.guardrails.words(),
            attempts,
            governance,
            decisions,
            substituted_model: dispatch
                .as_ref()
                .filter(|dispatch| dispatch.substituted)
                .map(|dispatch| dispatch.model.clone()),
            model: dispatch.map(|dispatch| dispatch.model),
        };
        TraceRecord {
            request_id: self.request_id,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent,
            organization_id: bundle.organization_id.clone(),
            project_id: bundle.project_id.clone(),
            virtual_key_id: bundle.key_id.clone(),
            started_at: self.at,
            duration_us: self.duration_us,
            http_status: end.status,
            error: self.error,
            facts,
            input: self.input,
            output,
        }
    }
}

/// One attempt as the trace shows it.
fn attempt(
    bundle: &Bundle,
    start: Instant,
    dispatch: &Dispatch,
    duration_us: u64,
) -> Option<Attempt> {
    let lane = bundle.lanes.get(dispatch.lane)?;
    let began = dispatch.started.saturating_duration_since(start);
    Some(Attempt {
        span_id: dispatch.span_id,
        start_us: u64::try_from(began.as_micros()).unwrap_or(0),
        duration_us,
        provider: lane.kind.as_str().to_owned(),
        model_provider_id: lane.id.clone(),
        model: dispatch.model.clone(),
        outcome: dispatch.outcome.to_owned(),
        status: dispatch.status,
        server: lane
            .endpoint
            .as_ref()
            .map_or_else(|_| String::new(), lw_upstream::Endpoint::server),
        circuit: dispatch.circuit.map(Cow::Borrowed),
    })
}
