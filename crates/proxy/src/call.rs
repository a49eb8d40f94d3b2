//! One request from its first byte to its last: what is known of it so far, and how it ends.
//!
//! A [`Call`] is an append-only record that the stages fill. It ends exactly once, whatever ends it: the
//! last frame, a refusal, a failing provider, or its drop, which means that the caller left. Its end
//! writes the outcome to the spool, hands the trace over, and is the only place that does.
//!
//! Start at [`Call::end`].

mod attempt;
mod bill;
mod facts;
mod stamp;

use std::sync::Arc;

use http::header::HeaderValue;
use http::{HeaderMap, Method};
use lw_core::error::{Correlation, Dialect};
use lw_core::{
    BodyForm, Code, Error, NanoUsd, RequestId, SpanId, TraceContext, TraceId, UnixMicros,
};
use lw_engine::breaker::State;
use lw_engine::cache_rule::Decision;
use lw_engine::limit::Standing;
use lw_governor::books::Hold;
use lw_governor::limits::Grant;
use lw_spool::{Admission, Attribution as Who, Outcome, SpoolError};
use lw_store::ledger::Certainty;
use lw_wire::Surface;
use lw_wire::tap::{Observed, Tap};
use tokio::time::Instant;

pub(crate) use self::attempt::{Dispatch, Earlier, Funding, Tried};
use self::bill::Bill;
pub(crate) use self::bill::HIDDEN_INPUT_TOKENS;
pub(crate) use self::facts::{EndFacts, compact};
use self::facts::{capture_bodies, is_probe};
pub(crate) use self::stamp::Stamp;
use crate::attribution::{self, Attribution};
use crate::budget::{self, Checked};
use crate::bundle::Bundle;
use crate::decisions::Notes;
use crate::ended::Ended;
use crate::gate::Pass;
use crate::guarded::{self, Afterwards};
use crate::headers;
use crate::inbound::Inbound;
use crate::lane::Lane;
use crate::record::{Access, Finished};
use crate::worker::Worker;

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
    /// The gateway ended the answer after it had begun.
    Stopped(&'a Error),
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
    /// Attempts before the present one, and candidates that were passed over, in order.
    pub(crate) tried: Vec<Tried>,
    /// Number of the present attempt in spool and ledger.
    attempt: u16,
    /// What attempts before the present one cost.
    spent_before: NanoUsd,
    /// What is done about the provider's prompt cache.
    pub(crate) cache: Decision,
    /// What guardrails did.
    pub(crate) guardrails: guarded::Facts,
    /// The check of a stream that has gone out.
    pub(crate) afterwards: Option<Box<Afterwards>>,
    /// What the key's rate limits reserved for the request.
    pub(crate) grant: Option<Grant>,
    /// What is known of its budgets.
    pub(crate) checked: Checked,
    /// What else was decided about it.
    pub(crate) notes: Notes,
    /// What the present attempt holds of its provider.
    pub(crate) pass: Pass,
    /// What it holds in budgets, and their buckets where they are not the bundle's own.
    pub(crate) hold: Option<Hold>,
    pub(crate) buckets: Option<String>,
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
            tried: Vec::new(),
            attempt: 0,
            spent_before: NanoUsd::ZERO,
            cache: Decision::default(),
            guardrails: guarded::Facts::default(),
            afterwards: None,
            grant: None,
            checked: Checked::default(),
            notes: Notes::default(),
            pass: Pass::default(),
            hold: None,
            buckets: None,
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
            cache_mode: self.cache.mode.as_str(),
            fallbacks: self.fallbacks(),
            walked: self.dispatch.is_some() || !self.tried.is_empty(),
            limits: self.limits(),
            budget_warning: self.checked.warning.clone(),
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

    /// What is left of the key's ceilings, for the headers.
    fn limits(&self) -> Option<(Standing, UnixMicros, Dialect)> {
        let (standing, now) = self.standing()?;
        Some((standing, now, self.dialect()))
    }

    /// Brings a stamp up to date with the end of the request, which returned what its limits had reserved.
    pub(crate) fn restamp(&self, stamp: &mut Stamp) {
        stamp.limits = self.limits();
    }

    /// Candidates that were tried or passed over before the one that the answer comes from (data-plane 13.6).
    fn fallbacks(&self) -> u16 {
        let before = u16::try_from(self.tried.len()).unwrap_or(u16::MAX);
        match self.dispatch {
            Some(_) => before,
            None => before.saturating_sub(1),
        }
    }

    /// Until when the present attempt's answer must have begun.
    pub(crate) fn attempt_deadline(&self) -> Instant {
        let deadline = self
            .dispatch
            .as_ref()
            .and_then(|dispatch| dispatch.deadline);
        deadline.unwrap_or_else(|| Instant::now() + self.worker.gateway.settings.timeouts.head)
    }

    /// Whether the time for the whole request is over.
    pub(crate) fn is_out_of_time(&self) -> bool {
        let total = self.worker.gateway.settings.timeouts.total;
        !total.is_zero() && self.start.elapsed() >= total
    }

    /// Labels the present attempt (data-plane 13.2).
    pub(crate) fn came_to(&mut self, outcome: &'static str) {
        if let Some(dispatch) = self.dispatch.as_mut() {
            dispatch.outcome = outcome;
        }
    }

    /// The present attempt's answer broke off, or cannot be read. One that was an error already stays the
    /// error that its status says.
    pub(crate) fn broke_off(&mut self, error: &Error) {
        let answered = self.dispatch.as_ref().and_then(|dispatch| dispatch.status);
        if answered.is_none_or(|status| (200..300).contains(&status)) {
            self.came_to(match error.code() {
                Code::UpstreamTimeout => "timeout",
                _ => "network",
            });
        }
    }

    /// The present attempt's answer is going to be the caller's.
    pub(crate) fn accepted(&mut self) {
        if !self.tried.is_empty() {
            self.came_to("fallback_success");
        }
    }

    /// The present attempt is over and another follows: its outcome goes to the spool now.
    pub(crate) fn close_attempt(&mut self, ending: &Ending<'_>, tap: Option<&mut Tap>) {
        let mut none = Tap::new(BodyForm::Opaque, 0);
        let tap = tap.unwrap_or(&mut none);
        tap.finish();
        let bill = self.bill(ending, tap);
        let end = EndFacts::of(self, ending);
        if self.admitted
            && let Err(error) = self.spool(&bill, &end, tap.observed())
        {
            tracing::error!(request_id = %self.request_id, %error, "outcome could not be recorded");
        }
        if self.admitted {
            self.attempt = self.attempt.saturating_add(1);
        }
        self.settle(&bill, ending);
        self.spent_before = self.spent_before + bill.cost;
        self.admitted = false;
        self.funding = None;
        self.status = 0;
        if let Some(dispatch) = self.dispatch.take() {
            let duration_us = micros(dispatch.started);
            self.tried.push(Tried {
                dispatch,
                duration_us,
                why: None,
            });
        }
    }

    /// Makes sure that budgets which are kept softly hold enough for `output` tokens, with some to spare.
    ///
    /// # Errors
    /// What is left of one of them is not enough: the answer has to end.
    pub(crate) fn cover(&mut self, output: u64) -> Result<(), Error> {
        let (Some(hold), Some(funding)) = (self.hold.as_mut(), self.funding.as_mut()) else {
            return Ok(());
        };
        let (_, covered) = funding.usual_tokens;
        if output <= covered {
            return Ok(());
        }
        let gateway = &self.worker.gateway;
        let now = gateway.clock.now();
        let spare = gateway.settings.governance.usual_output_tokens.div_ceil(4);
        let before = funding.usual_tokens;
        let more = funding.more_for(output.saturating_add(spare));
        if hold.grow(more, now).is_ok() {
            return Ok(());
        }
        // Not with something to spare, then.
        funding.usual_tokens = before;
        let more = funding.more_for(output);
        hold.grow(more, now).map_err(|refusal| {
            funding.usual_tokens = before;
            budget::ran_out(&refusal)
        })
    }

    /// The present candidate is passed over: it was not asked, and `why` not.
    pub(crate) fn pass_over(&mut self, outcome: &'static str, why: &Error) {
        self.funding = None;
        if let Some(mut dispatch) = self.dispatch.take() {
            dispatch.outcome = outcome;
            if why.code() == Code::CircuitOpen {
                dispatch.circuit = Some(State::Open.as_str());
            }
            self.tried.push(Tried {
                dispatch,
                duration_us: 0,
                why: Some(why.clone()),
            });
        }
    }

    /// Notes what is left of the key's ceilings now that the request is counted.
    pub(crate) fn note_limits(&mut self) {
        self.notes.standing = self.standing().map(|(standing, _)| standing);
    }

    /// When the request arrived, by the clock of the world: what ledger and budgets know it by.
    pub(crate) const fn at(&self) -> UnixMicros {
        self.at
    }

    /// Whether the request costs money: everything but counting tokens.
    pub(crate) fn is_billed(&self) -> bool {
        self.has_spend()
    }

    /// Returns what the present attempt holds: its cost takes the place of the hold, and the provider's
    /// circuit and limits hear how it went.
    fn settle(&mut self, bill: &Bill, ending: &Ending<'_>) {
        if let Some(hold) = self.hold.take() {
            hold.settle(bill.cost);
        }
        self.buckets = None;
        let tokens = bill
            .usage
            .map_or(0, |usage| usage.prompt() + usage.completion());
        let verdict = self.verdict(ending);
        let now = self.worker.gateway.clock.now();
        let turned = std::mem::take(&mut self.pass).over(now, verdict, tokens);
        if let (Some(state), Some(lane)) = (turned, self.lane()) {
            let (credential_id, provider) = (lane.id.as_str(), lane.kind.as_str());
            match state {
                State::Closed => tracing::info!(credential_id, provider, "circuit_closed"),
                _ => tracing::warn!(credential_id, provider, "circuit_opened"),
            }
        }
    }

    /// What the present attempt says of its credential (data-plane 13.5).
    fn verdict(&self, ending: &Ending<'_>) -> Option<bool> {
        let dispatch = self.dispatch.as_ref()?;
        match (ending, dispatch.outcome) {
            (Ending::CallerLeft, _) => None,
            (Ending::Stopped(_), _) => Some(true),
            (Ending::BrokeOff(_), _) | (_, "retryable_5xx" | "timeout" | "network") => Some(false),
            // An address that cannot be called says nothing of the credential.
            (_, "non_retryable") => dispatch.status.map(|_| true),
            _ => Some(true),
        }
    }

    /// Ends the reservation of the key's rate limits.
    fn return_grant(&mut self, bill: &Bill, ending: &Ending<'_>) {
        let Some(grant) = self.grant.take() else {
            return;
        };
        let now = self.worker.gateway.clock.now();
        match ending {
            // Nothing was sent because of the provider's limits, not the key's (data-plane 10.3).
            Ending::Failed(error) if error.code() == Code::ProviderRateLimitExceeded => {
                grant.give_back(now);
            }
            _ => {
                let tokens = bill
                    .usage
                    .map_or(0, |usage| usage.prompt() + usage.completion());
                grant.settle(now, tokens);
            }
        }
    }

    /// What is left of the key's ceilings, when it has any.
    fn standing(&self) -> Option<(Standing, UnixMicros)> {
        let key = &self.bundle.as_ref()?.governed.key;
        if key.ceilings.is_empty() {
            return None;
        }
        let gateway = &self.worker.gateway;
        let now = gateway.clock.now();
        let standing = match &self.grant {
            Some(grant) => grant.standing(&key.ceilings, now),
            None => gateway.limits.standing(&key.subject, &key.ceilings, now),
        };
        Some((standing, now))
    }

    /// The buckets that the present attempt is debited to, as the spool writes them.
    fn buckets(&self) -> &str {
        if !self.admitted && self.hold.is_none() {
            return "";
        }
        if let Some(own) = &self.buckets {
            return own;
        }
        let lane = self.dispatch.as_ref().map(|dispatch| dispatch.lane);
        let governed = self.bundle.as_ref().map(|bundle| &bundle.governed);
        let lane = governed
            .zip(lane)
            .and_then(|(governed, lane)| governed.lanes.get(lane));
        lane.map_or("", |lane| &lane.buckets)
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
        if let (Some(hold), Some(dispatch)) = (&self.hold, self.dispatch.as_mut()) {
            let amounts = self.funding.as_ref().and_then(Funding::amounts);
            dispatch.held = Some((amounts.unwrap_or_default(), hold.accounts().iter().len()));
        }
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

    /// The caller's user (data-plane 9.1).
    pub(crate) fn end_user(&self) -> Option<&str> {
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
            attempt: self.attempt,
            model: self.requested_model().unwrap_or("unknown"),
            model_provider_id: self.lane().map(|lane| &lane.id),
            hold: self
                .funding
                .as_ref()
                .map_or(NanoUsd::ZERO, |funding| funding.hold),
            priced: price.is_some(),
            price_version: price.map(|price| &*price.version),
            budgets: self.buckets(),
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
        if self.notes.standing.is_none() {
            self.note_limits();
        }
        self.settle(&bill, ending);
        self.return_grant(&bill, ending);
        self.hand_over(&bill, end, tap);
        spooled
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
            attempt: self.attempt,
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
            budgets: self.buckets(),
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

    fn hand_over(&mut self, bill: &Bill, mut end: EndFacts, tap: &mut Tap) {
        let duration_us = micros(self.start);
        let fallbacks = self.fallbacks();
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
            fallback_count: (dispatch.is_some() || !self.tried.is_empty()).then_some(fallbacks),
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
            provider_us: dispatch.as_ref().map(|dispatch| {
                let before: u64 = self.tried.iter().map(|tried| tried.duration_us).sum();
                before + micros(dispatch.started)
            }),
            first_chunk_us: self.first_byte_us.filter(|_| stream),
            usage_missing: stream && tap.observed().usage.is_none(),
            refusal: end.refusal.take(),
        };
        let ended = self.ended(bill, end, dispatch, tap, duration_us);
        let captured = ended.as_ref().map_or(0, |ended| ended.captured());
        let finished = Finished {
            access,
            ended,
            captured,
        };
        match (
            self.afterwards.take(),
            tokio::runtime::Handle::try_current(),
        ) {
            // The record waits for what guardrails say of a stream that has gone out.
            (Some(check), Ok(runtime)) => check.before(finished, self.worker.clone(), &runtime),
            _ => self.worker.gateway.records.put(self.worker.index, finished),
        }
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
            start: self.start,
            dispatch_us: dispatch
                .as_ref()
                .map_or(0, |dispatch| micros(dispatch.started)),
            dispatch,
            tried: std::mem::take(&mut self.tried),
            cache: std::mem::take(&mut self.cache),
            checked: std::mem::take(&mut self.checked),
            notes: std::mem::take(&mut self.notes),
            surface,
            route: self.route,
            attribution: std::mem::take(&mut self.attribution),
            inbound: inbound.without_body(),
            observed: tap.take_texts(),
            guardrails: std::mem::take(&mut self.guardrails),
            stream: tap.is_stream(),
            usage: bill.usage,
            cost: (priced || self.spent_before > NanoUsd::ZERO)
                .then_some(bill.cost + self.spent_before),
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

/// Microseconds since `start`.
pub(crate) fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
