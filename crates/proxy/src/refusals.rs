//! Policy refusals on their way to the audit log (data-plane 11, domain 19).
//!
//! A client that loops must not fill the log: a key leaves so many entries a minute, all keys together so
//! many, and the next entry of a key says how many of its refusals were left out. They are all on their
//! traces. Runs on the traces thread. Start at [`Refusals::of`].

use std::collections::HashMap;

use lw_core::{OrganizationId, ProjectId, RequestId, UnixMicros, VirtualKeyId};
use lw_store::trace::{TraceRecord, Violated};

/// Entries that one key leaves in a minute.
const OF_KEY: u32 = 10;
/// Entries that all keys leave in a minute.
const OF_ALL: u32 = 300;
/// Keys that are remembered.
const KEYS: usize = 10_000;
/// Microseconds of a minute.
const MINUTE_US: i64 = 60_000_000;

/// A request that a policy rule refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRefusal {
    /// The request.
    pub request_id: RequestId,
    /// When it arrived.
    pub at: UnixMicros,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The project that it is filed in.
    pub project_id: ProjectId,
    /// The key.
    pub virtual_key_id: VirtualKeyId,
    /// The person that the key belongs to, if it is a personal one.
    pub principal: Option<String>,
    /// The rule and the value.
    pub violated: Violated,
    /// Refusals of the key before this one that left no entry.
    pub left_out: u64,
}

/// What is remembered of refusals, so that there are not too many entries.
#[derive(Debug, Default)]
pub struct Refusals {
    all: Window,
    keys: HashMap<VirtualKeyId, Window>,
}

/// Entries of one minute.
#[derive(Debug, Default)]
struct Window {
    began: UnixMicros,
    entries: u32,
    left_out: u64,
}

impl Window {
    /// Begins another minute if this one is over. A clock that went back does too.
    fn turn(&mut self, now: UnixMicros) {
        if self.is_over(now) {
            self.began = now;
            self.entries = 0;
        }
    }

    fn is_over(&self, now: UnixMicros) -> bool {
        let end = self.began.plus_micros(MINUTE_US);
        now >= end || now < self.began.plus_micros(-MINUTE_US)
    }
}

impl Refusals {
    /// The entry that a finished request leaves: none when no rule refused it, or when there are too many.
    pub fn of(&mut self, trace: &TraceRecord, principal: Option<String>) -> Option<PolicyRefusal> {
        let violated = trace.facts.governance.policy.as_ref()?;
        let now = trace.started_at;
        if self.keys.len() >= KEYS && !self.keys.contains_key(&trace.virtual_key_id) {
            self.forget(now);
        }
        self.all.turn(now);
        let key = self.keys.entry(trace.virtual_key_id.clone()).or_default();
        key.turn(now);
        if key.entries >= OF_KEY || self.all.entries >= OF_ALL {
            key.left_out = key.left_out.saturating_add(1);
            return None;
        }
        key.entries += 1;
        self.all.entries += 1;
        Some(PolicyRefusal {
            request_id: trace.request_id,
            at: now,
            organization_id: trace.organization_id.clone(),
            project_id: trace.project_id.clone(),
            virtual_key_id: trace.virtual_key_id.clone(),
            principal,
            violated: violated.clone(),
            left_out: std::mem::take(&mut key.left_out),
        })
    }

    /// Makes room: for keys that have nothing left to tell, else for all. The bound for all keys stays.
    fn forget(&mut self, now: UnixMicros) {
        self.keys
            .retain(|_, window| !window.is_over(now) || window.left_out > 0);
        if self.keys.len() >= KEYS {
            self.keys.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use lw_core::{SpanId, TraceId};
    use lw_store::trace::{Facts, Governance};

    use super::*;

    fn refused(key: &str, second: i64) -> TraceRecord {
        let policy = Violated {
            kind: "tools".to_owned(),
            pattern: Some("^sh".to_owned()),
            value: "shell".to_owned(),
        };
        TraceRecord {
            request_id: RequestId::from_bytes([1; 15]),
            trace_id: TraceId::from_bytes([1; 16]).expect("not zero"),
            span_id: SpanId::from_bytes([1; 8]).expect("not zero"),
            parent_span_id: None,
            organization_id: OrganizationId::parse("org_a").expect("an id"),
            project_id: ProjectId::parse("proj_a").expect("an id"),
            virtual_key_id: VirtualKeyId::parse(key).expect("an id"),
            started_at: UnixMicros(second * 1_000_000),
            duration_us: 1,
            http_status: 403,
            error: true,
            facts: Facts {
                governance: Governance {
                    policy: Some(policy),
                    ..Governance::default()
                },
                ..Facts::default()
            },
            input: None,
            output: None,
        }
    }

    #[test]
    fn a_looping_client_leaves_ten_entries_a_minute_and_then_how_many_were_left_out() {
        let mut refusals = Refusals::default();
        let told: Vec<_> = (0..100)
            .filter_map(|_| refusals.of(&refused("vk_a", 1_000), None))
            .collect();
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|entry| entry.left_out == 0));
        // Another key is not in its shadow.
        assert!(refusals.of(&refused("vk_b", 1_000), None).is_some());
        let later = refusals
            .of(&refused("vk_a", 1_060), None)
            .expect("an entry");
        assert_eq!(later.left_out, 90);
        let next = refusals
            .of(&refused("vk_a", 1_061), None)
            .expect("an entry");
        assert_eq!(next.left_out, 0);
    }

    #[test]
    fn all_keys_together_leave_so_many_entries_a_minute_however_many_they_are() {
        let mut refusals = Refusals::default();
        let mut told = |second: i64| {
            (0..25_000)
                .filter(|number| {
                    let key = format!("vk_{number}");
                    refusals.of(&refused(&key, second), None).is_some()
                })
                .count()
        };
        assert_eq!(told(1_000), 300);
        assert_eq!(told(1_030), 0);
        assert_eq!(told(1_060), 300);
        assert!(refusals.keys.len() <= KEYS);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_the_log() {
        let mut refusals = Refusals::default();
        for _ in 0..20 {
            let _ = refusals.of(&refused("vk_a", 100_000), None);
        }
        assert!(refusals.of(&refused("vk_a", 1_000), None).is_some());
    }

    #[test]
    fn a_request_that_no_rule_refused_leaves_nothing() {
        let mut trace = refused("vk_a", 1_000);
        trace.facts.governance.policy = None;
        assert_eq!(Refusals::default().of(&trace, None), None);
    }
}
