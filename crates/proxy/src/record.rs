//! Finished requests on their way out of the data threads: to the trace store, the metrics and the log.
//!
//! Each data thread puts what it finished into a bounded box of its own; one writer thread empties the
//! boxes every few milliseconds, so a request pays for one push and no wake-up. Telemetry fails open: a box that
//! is full drops the record and counts it. Money does not come this way (see the spool).

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use lw_core::{Error, Fault, RequestId, UnixMicros, VirtualKeyId};
use lw_store::trace::{BodyForm, Captured, TraceRecord, TraceStore, Violated};
use lw_wire::capture;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::decisions::violated;
use crate::ended::Ended;
use crate::metrics::Metrics;
use crate::refusals::{PolicyRefusal, Refusals};

/// How often the boxes are emptied while requests come: often, so that what waits stays small and warm
/// and the work does not come in bursts that requests have to wait for.
const BUSY_TICK: Duration = Duration::from_millis(20);
/// How often they are looked at while nothing comes.
const IDLE_TICK: Duration = Duration::from_millis(100);
/// Records that one data thread may have waiting.
const BOX_RECORDS: usize = 16_384;
/// The most bytes of one side of a body that the trace keeps (observability 7).
const SIDE_BYTES: usize = 32 * 1024;
/// A key's last use is noted at most this often.
const NOTE_EVERY_SECONDS: i64 = 60;
/// The service as the log names it.
const SERVICE: &str = "langwatch-gateway";
/// Keys whose last note is remembered; beyond it the memory starts afresh.
const NOTED_KEYS: usize = 50_000;

/// One request as the access log shows it (observability 12).
#[derive(Debug, Serialize)]
pub struct Access {
    /// The request.
    pub request_id: RequestId,
    /// When it arrived.
    #[serde(skip)]
    pub at: UnixMicros,
    /// The method as sent.
    #[serde(serialize_with = "method")]
    pub method: Method,
    /// The route pattern, or `unmatched`.
    pub route: &'static str,
    /// The status that the caller saw; 499 when the caller left before one.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Arrival to last byte.
    #[serde(skip)]
    pub duration_us: u64,
    /// Our error code, or the provider's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The log's own text of the failure. Never shown to a caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whose fault it is.
    #[serde(skip)]
    pub fault: Option<Fault>,
    /// The provider's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'static str>,
    /// The model as dispatched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vk_id: Option<VirtualKeyId>,
    /// The caller's own `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// Candidates tried or skipped before the one that answered, when one was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_count: Option<u16>,
    /// Microseconds that the provider took, summed over attempts.
    #[serde(skip)]
    pub provider_us: Option<u64>,
    /// Microseconds to the first byte of a stream.
    #[serde(skip)]
    pub first_chunk_us: Option<u64>,
    /// Whether a stream ended without usage.
    #[serde(skip)]
    pub usage_missing: bool,
    /// The error of ours that ended it.
    #[serde(skip)]
    pub refusal: Option<Error>,
}

fn method<S: serde::Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// What a data thread hands over at the end of a request.
#[derive(Debug)]
pub struct Finished {
    /// For the log and the metrics.
    pub access: Access,
    /// For the trace store; `None` for a request without a tenant.
    pub(crate) ended: Option<Box<Ended>>,
    /// Bytes of captured bodies, counted against the process-wide cap.
    pub captured: usize,
}

impl Finished {
    /// With what guardrails say of a stream that has gone out.
    pub(crate) fn with_post_flag(mut self, flag: Option<String>) -> Self {
        if let Some(ended) = self.ended.as_mut() {
            ended.guardrails.flag(flag);
        }
        self
    }
}

/// A data thread's box.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Vec<Finished>>,
}

/// What the data threads and the writer share.
#[derive(Debug)]
pub struct Records {
    outboxes: Vec<Arc<Outbox>>,
    captured: AtomicUsize,
    captured_max: usize,
    depth: AtomicUsize,
    dropped: AtomicU64,
    stored: AtomicU64,
    stopping: AtomicBool,
    wake: (Mutex<()>, Condvar),
}

impl Records {
    /// Boxes for `threads` data threads and at most `captured_max` bytes of captured bodies in them.
    #[must_use]
    pub fn new(threads: usize, captured_max: usize) -> Arc<Self> {
        Arc::new(Self {
            outboxes: (0..threads).map(|_| Arc::default()).collect(),
            captured: AtomicUsize::new(0),
            captured_max,
            depth: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            wake: Default::default(),
        })
    }

    /// Hands a finished request over. Never waits.
    pub fn put(&self, thread: usize, mut finished: Finished) {
        let Some(outbox) = self.outboxes.get(thread) else {
            return;
        };
        if finished.captured > 0
            && self
                .captured
                .fetch_add(finished.captured, Ordering::Relaxed)
                + finished.captured
                > self.captured_max
        {
            // The record stays, its bodies go: the cap is for the process.
            self.captured
                .fetch_sub(finished.captured, Ordering::Relaxed);
            finished.captured = 0;
            if let Some(ended) = &mut finished.ended {
                ended.drop_bodies();
            }
        }
        let mut waiting = outbox.waiting.lock();
        if waiting.len() >= BOX_RECORDS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.captured
                .fetch_sub(finished.captured, Ordering::Relaxed);
            return;
        }
        waiting.push(finished);
        self.depth.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that are not stored yet.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Records that were dropped because a box was full or the store refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Traces that were stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Lets the writer empty the boxes once more and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake.1.notify_all();
    }
}

/// Notes that keys were used; called off the data threads.
pub type OnUsed = Box<dyn Fn(&[(VirtualKeyId, UnixMicros)]) + Send>;

/// Keeps policy refusals for the audit log; called off the data threads.
pub type OnRefused = Box<dyn Fn(Vec<PolicyRefusal>) + Send>;

/// The thread that empties the boxes.
pub struct Writer {
    /// The boxes.
    pub records: Arc<Records>,
    /// Where traces go.
    pub traces: Arc<dyn TraceStore>,
    /// Counted here, off the data threads.
    pub metrics: Arc<Metrics>,
    /// Where uses of keys are noted.
    pub on_used: OnUsed,
    /// Where refusals by policy rules are kept.
    pub on_refused: OnRefused,
    /// Whether successful requests are logged.
    pub access_log: bool,
    /// The product's version, for the log.
    pub version: String,
}

/// Traces that wait to be stored.
#[derive(Default)]
struct Backlog {
    traces: Vec<TraceRecord>,
    /// Their captured bytes as they were counted when they came.
    captured: usize,
    failures: u32,
}

/// What the writer remembers of keys from one batch to the next.
#[derive(Default)]
struct Memory {
    /// When each key's last use was noted, in seconds.
    noted: HashMap<VirtualKeyId, i64>,
    refusals: Refusals,
}

impl Memory {
    /// Whether the use of a key at `at` is to be noted: the last note is old enough.
    fn notes(&mut self, key: &VirtualKeyId, at: UnixMicros) -> bool {
        let last = self.noted.get(key).copied().unwrap_or_default();
        if at.seconds() - last < NOTE_EVERY_SECONDS {
            return false;
        }
        if self.noted.len() >= NOTED_KEYS {
            self.noted.clear();
        }
        self.noted.insert(key.clone(), at.seconds());
        true
    }
}

impl Writer {
    /// Runs until [`Records::stop`] and the boxes are empty.
    pub fn run(self) {
        let mut memory = Memory::default();
        let mut backlog = Backlog::default();
        loop {
            let stopping = self.records.stopping.load(Ordering::SeqCst);
            for outbox in &self.records.outboxes {
                let batch = std::mem::take(&mut *outbox.waiting.lock());
                self.take(batch, &mut backlog, &mut memory);
            }
            let tick = if backlog.traces.is_empty() {
                IDLE_TICK
            } else {
                BUSY_TICK
            };
            self.store(&mut backlog, stopping);
            if stopping && self.records.depth() == 0 {
                return;
            }
            let mut guard = self.records.wake.0.lock();
            if !self.records.stopping.load(Ordering::SeqCst) {
                self.records.wake.1.wait_for(&mut guard, tick);
            }
        }
    }

    /// Stores what waits. While the store refuses, what waits is kept, up to a bound.
    fn store(&self, backlog: &mut Backlog, stopping: bool) {
        if backlog.traces.is_empty() {
            return;
        }
        let count = backlog.traces.len();
        match self.traces.append(&backlog.traces) {
            Ok(()) => {
                backlog.failures = 0;
                self.records
                    .stored
                    .fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) => {
                backlog.failures += 1;
                if backlog.failures.is_power_of_two() {
                    tracing::warn!(%error, failures = backlog.failures, "traces could not be stored");
                }
                if count <= BOX_RECORDS && !stopping {
                    return;
                }
                self.records
                    .dropped
                    .fetch_add(count as u64, Ordering::Relaxed);
            }
        }
        self.records.depth.fetch_sub(count, Ordering::Relaxed);
        self.records
            .captured
            .fetch_sub(backlog.captured, Ordering::Relaxed);
        backlog.captured = 0;
        backlog.traces.clear();
    }

    fn take(&self, batch: Vec<Finished>, backlog: &mut Backlog, memory: &mut Memory) {
        let mut lines = Vec::new();
        let mut used = Vec::new();
        let mut refused = Vec::new();
        for Finished {
            access,
            ended,
            captured,
        } in batch
        {
            self.metrics.finished(&access, ended.as_deref());
            self.log(&access, &mut lines);
            let Some(ended) = ended else {
                self.records.depth.fetch_sub(1, Ordering::Relaxed);
                continue;
            };
            let principal = ended.bundle.governed.principal_id.clone();
            let mut trace = ended.into_record(access.refusal.as_ref());
            if trace.facts.provider.is_some()
                && memory.notes(&trace.virtual_key_id, trace.started_at)
            {
                used.push((trace.virtual_key_id.clone(), trace.started_at));
            }
            refused.extend(memory.refusals.of(&trace, principal));
            trace.input = trace.input.map(bounded);
            trace.output = trace.output.map(bounded);
            backlog.captured += captured;
            backlog.traces.push(trace);
        }
        if !lines.is_empty() {
            // A log that cannot be written must not stop the writer.
            let _ = std::io::stdout().lock().write_all(&lines);
        }
        if !used.is_empty() {
            (self.on_used)(&used);
        }
        if !refused.is_empty() {
            (self.on_refused)(refused);
        }
    }

    /// The lines of a finished request (observability 12): what was refused, and why, and that it is over.
    fn log(&self, access: &Access, lines: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            level: &'static str,
            msg: &'static str,
            service: &'static str,
            version: &'a str,
            #[serde(flatten)]
            access: &'a Access,
            duration_ms: f64,
        }
        let level = match access.fault {
            Some(Fault::Platform) => "error",
            Some(Fault::Provider) => "warn",
            Some(Fault::Customer) | None => "info",
        };
        if level == "info" && !self.access_log {
            return;
        }
        if let Some(error) = &access.refusal {
            self.log_refusal(access, error, level, lines);
        }
        #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
        let duration_ms = access.duration_us as f64 / 1_000.0;
        let line = Line {
            time: access.at.to_rfc3339(),
            level,
            msg: "request_completed",
            service: SERVICE,
            version: &self.version,
            access,
            duration_ms,
        };
        if serde_json::to_writer(&mut *lines, &line).is_ok() {
            lines.push(b'\n');
        }
    }
}

impl Writer {
    /// `gateway_request_failed`, with the rule when one refused.
    fn log_refusal(
        &self,
        access: &Access,
        error: &Error,
        level: &'static str,
        lines: &mut Vec<u8>,
    ) {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            level: &'static str,
            msg: &'static str,
            service: &'static str,
            version: &'a str,
            request_id: RequestId,
            #[serde(skip_serializing_if = "Option::is_none")]
            vk_id: Option<&'a VirtualKeyId>,
            fault: Fault,
            code: &'static str,
            message: &'a str,
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            policy: Option<Violated>,
        }
        let row = error.code().row();
        let line = Line {
            time: access.at.to_rfc3339(),
            level,
            msg: "gateway_request_failed",
            service: SERVICE,
            version: &self.version,
            request_id: access.request_id,
            vk_id: access.vk_id.as_ref(),
            fault: row.fault,
            code: row.name,
            message: error.message(),
            status: access.status,
            policy: violated(error),
        };
        if serde_json::to_writer(&mut *lines, &line).is_ok() {
            lines.push(b'\n');
        }
    }
}

/// Cuts one side of a body to what the trace keeps.
fn bounded(captured: Captured) -> Captured {
    let total: usize = captured.pieces.iter().map(bytes::Bytes::len).sum();
    if total <= SIDE_BYTES || captured.form == BodyForm::Opaque && total <= 2 * SIDE_BYTES {
        return captured;
    }
    let whole;
    let bytes: &[u8] = match captured.pieces.as_slice() {
        [one] => one,
        many => {
            whole = many.concat();
            &whole
        }
    };
    let cut = capture::cut(captured.form, bytes, SIDE_BYTES);
    Captured {
        pieces: vec![cut.bytes.into()],
        form: cut.form,
        truncated: captured.truncated || cut.truncated,
    }
}
