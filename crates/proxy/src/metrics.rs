//! Counters of the data plane in Prometheus text format (observability 10).
//!
//! Requests are counted by the record writer, off the data threads; the data threads touch a few atomic
//! gauges only. Labels come from closed sets: a model name is folded onto the first hundred distinct
//! ones or `other`, and ids of keys, providers and rules are bounded ([`by_id`]). Must never use an id of a
//! person or anything of a header or a body as a label. Start at [`Metrics::finished`].

mod by_id;
mod governance;

use std::collections::HashSet;
use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use lw_core::UnixMicros;
use lw_governor::breakers::Circuit;

use self::governance::Governance;
use crate::ended::Ended;
use crate::record::Access;

/// Buckets of all duration histograms, seconds (observability 10).
const BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
/// Distinct model labels before they fold onto `other`.
const MODEL_LABELS: usize = 100;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
    provider: &'static str,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    route: &'static str,
    provider: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StreamLabels {
    provider: &'static str,
}

/// Values that live elsewhere and are read when somebody scrapes.
#[derive(Debug, Clone, Default)]
pub struct Sampled {
    /// When.
    pub now: UnixMicros,
    /// Circuits of credentials.
    pub circuits: Vec<Circuit>,
    /// Keys and providers whose rate limits are remembered.
    pub limit_subjects: u64,
    /// Budgets' buckets held in memory.
    pub budget_accounts: u64,
    /// Keys held in memory.
    pub key_cache_size: u64,
    /// Bytes of spend records that are not in the ledger yet.
    pub spool_bytes: u64,
    /// Spend records written.
    pub spool_appended: u64,
    /// Seconds that the oldest of them has waited.
    pub spool_lag_seconds: u64,
    /// Requests whose outcome reached the ledger.
    pub folded: u64,
    /// Finished requests that are not stored as traces yet.
    pub trace_queue_depth: u64,
    /// Traces stored.
    pub traces_stored: u64,
    /// Traces lost.
    pub traces_dropped: u64,
}

/// The registry and its handles.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    provider_durations: Family<ProviderLabels, Histogram>,
    first_chunk: Family<StreamLabels, Histogram>,
    usage_missing: Family<ProviderLabels, Counter>,
    governance: Governance,
    models: Mutex<HashSet<String>>,
    /// Requests being handled.
    pub in_flight: Gauge,
    /// Streams being relayed.
    pub streaming: Gauge,
    /// 1 after the signal to stop.
    pub draining: Gauge,
    /// Lookups of keys.
    pub key_lookups: Counter,
    /// Lookups answered from memory.
    pub key_hits: Counter,
    /// Bytes of bodies held right now.
    pub bytes_in_flight: Gauge<i64, AtomicI64>,
}

#[expect(clippy::cast_precision_loss, reason = "histograms are floats")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            provider_durations: Family::new_with_constructor(histogram),
            first_chunk: Family::new_with_constructor(histogram),
            usage_missing: Family::default(),
            governance: Governance::default(),
            models: Mutex::default(),
            in_flight: Gauge::default(),
            streaming: Gauge::default(),
            draining: Gauge::default(),
            key_lookups: Counter::default(),
            key_hits: Counter::default(),
            bytes_in_flight: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "gateway_http_requests",
            "Requests served",
            self.requests.clone(),
        );
        registry.register(
            "gateway_http_request_duration_seconds",
            "Arrival to last byte",
            self.durations.clone(),
        );
        registry.register(
            "gateway_provider_duration_seconds",
            "One observation per attempt",
            self.provider_durations.clone(),
        );
        registry.register(
            "gateway_stream_first_chunk_seconds",
            "Time to the first byte of a stream",
            self.first_chunk.clone(),
        );
        registry.register(
            "gateway_streaming_usage_missing",
            "Streams that ended without usage",
            self.usage_missing.clone(),
        );
        self.governance.register(registry);
        registry.register(
            "gateway_in_flight_requests",
            "Being handled",
            self.in_flight.clone(),
        );
        registry.register(
            "gateway_streaming_active",
            "Open streams",
            self.streaming.clone(),
        );
        registry.register(
            "gateway_draining",
            "1 after the signal to stop",
            self.draining.clone(),
        );
        registry.register(
            "gateway_auth_cache_lookups",
            "Key lookups",
            self.key_lookups.clone(),
        );
        registry.register(
            "gateway_auth_cache_hits",
            "Key lookups answered from memory",
            self.key_hits.clone(),
        );
        registry.register(
            "gateway_bytes_in_flight",
            "Bytes of bodies held right now",
            self.bytes_in_flight.clone(),
        );
    }

    /// Counts verdicts of guardrails in one direction (data-plane 16.5).
    pub fn guardrail_verdicts(&self, direction: &'static str, verdict: &'static str, count: u64) {
        self.governance.verdicts(direction, verdict, count);
    }

    /// Counts a finished request. `ended`: what is left of it, where it had a tenant.
    pub(crate) fn finished(&self, access: &Access, ended: Option<&Ended>) {
        self.governance.finished(access, ended);
        let provider = access.provider.unwrap_or("unknown");
        let model = self.model_label(access.model.as_deref());
        let labels = RequestLabels {
            route: access.route,
            status: access.status,
            provider,
            model: model.clone(),
        };
        self.requests.get_or_create(&labels).inc();
        let labels = DurationLabels {
            route: access.route,
            provider,
        };
        self.durations
            .get_or_create(&labels)
            .observe(seconds(access.duration_us));
        let labels = ProviderLabels { provider, model };
        match (ended, access.provider_us) {
            (Some(ended), _) => self.attempts(ended),
            (None, Some(micros)) => {
                self.provider_durations
                    .get_or_create(&labels)
                    .observe(seconds(micros));
            }
            (None, None) => {}
        }
        if access.usage_missing {
            self.usage_missing.get_or_create(&labels).inc();
        }
        if let Some(micros) = access.first_chunk_us {
            self.first_chunk
                .get_or_create(&StreamLabels { provider })
                .observe(seconds(micros));
        }
    }

    /// Observes how long each attempt took; a candidate that was passed over took no time.
    fn attempts(&self, ended: &Ended) {
        for (dispatch, micros) in ended.walk() {
            let Some(lane) = ended.bundle.lanes.get(dispatch.lane) else {
                continue;
            };
            if micros == 0 {
                continue;
            }
            let labels = ProviderLabels {
                provider: lane.kind.as_str(),
                model: self.model_label(Some(&dispatch.model)),
            };
            self.provider_durations
                .get_or_create(&labels)
                .observe(seconds(micros));
        }
    }

    fn model_label(&self, model: Option<&str>) -> String {
        let Some(model) = model else {
            return "unknown".to_owned();
        };
        let mut models = self.models.lock();
        if models.contains(model) {
            return model.to_owned();
        }
        if models.len() < MODEL_LABELS && model.len() <= 128 {
            models.insert(model.to_owned());
            return model.to_owned();
        }
        "other".to_owned()
    }

    /// The exposition.
    #[must_use]
    pub fn render(&self, sampled: Sampled) -> String {
        self.governance.forget_idle(sampled.now);
        let mut text = String::new();
        // Writing into a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        let body = text.strip_suffix("# EOF\n").unwrap_or(&text).len();
        text.truncate(body);
        let Sampled {
            now: _,
            circuits,
            limit_subjects,
            budget_accounts,
            key_cache_size,
            spool_bytes,
            spool_appended,
            spool_lag_seconds,
            folded,
            trace_queue_depth,
            traces_stored,
            traces_dropped,
        } = sampled;
        for (name, kind, help, value) in [
            (
                "gateway_auth_cache_size",
                "gauge",
                "Keys held in memory",
                key_cache_size,
            ),
            (
                "gateway_rate_limit_subjects",
                "gauge",
                "Keys and providers whose rate limits are remembered",
                limit_subjects,
            ),
            (
                "gateway_budget_accounts",
                "gauge",
                "Buckets of budgets held in memory",
                budget_accounts,
            ),
            (
                "gateway_spend_spool_bytes",
                "gauge",
                "Spend records not in the ledger yet",
                spool_bytes,
            ),
            (
                "gateway_spend_spool_appended_total",
                "counter",
                "Spend records written",
                spool_appended,
            ),
            (
                "gateway_spend_spool_dropped_total",
                "counter",
                "Spend records lost; stays 0",
                0,
            ),
            (
                "gateway_spend_drain_lag_seconds",
                "gauge",
                "Age of the oldest of them",
                spool_lag_seconds,
            ),
            (
                "gateway_spend_records_folded_total",
                "counter",
                "Requests settled in the ledger",
                folded,
            ),
            (
                "gateway_trace_queue_depth",
                "gauge",
                "Finished requests not stored yet",
                trace_queue_depth,
            ),
            (
                "gateway_traces_stored_total",
                "counter",
                "Traces stored",
                traces_stored,
            ),
            (
                "gateway_customer_trace_spans_dropped_total",
                "counter",
                "Traces lost",
                traces_dropped,
            ),
        ] {
            text.push_str(&format!(
                "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n"
            ));
        }
        text.push_str(
            "# HELP gateway_circuit_state 0 closed, 1 open, 2 half-open.\n\
             # TYPE gateway_circuit_state gauge\n",
        );
        for Circuit { id, state, .. } in circuits {
            let state = state.gauge();
            text.push_str(&format!(
                "gateway_circuit_state{{credential_id=\"{id}\"}} {state}\n"
            ));
        }
        text
    }
}
