//! What is answered without a key: probes, metrics, the product's name (data-plane 2.2, 24.1).
//!
//! Must never do I/O or show a tenant's data.

use std::sync::atomic::Ordering;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::metrics::Sampled;
use crate::reply::{Reply, ReplyBody};
use crate::worker::Gateway;

/// The operational routes and the methods that they take.
pub(crate) fn methods(path: &str) -> Option<&'static [Method]> {
    const READ: &[Method] = &[Method::GET, Method::HEAD];
    match path {
        "/"
        | "/health"
        | "/healthz"
        | "/readyz"
        | "/startupz"
        | "/metrics"
        | "/debug/control-plane" => Some(READ),
        _ => None,
    }
}

/// Answers an operational route.
pub(crate) fn answer(gateway: &Gateway, path: &str) -> Reply {
    let draining = gateway.draining.load(Ordering::Relaxed);
    match path {
        "/" => text(format!(
            "LangWatch AI gateway {}\n",
            gateway.settings.version
        )),
        "/metrics" => {
            let mut reply = text(gateway.metrics.render(sampled(gateway)));
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            reply.headers_mut().insert(CONTENT_TYPE, kind);
            reply
        }
        "/health" => {
            let mut reply = json_reply(
                200,
                &json!({"status": "ok", "checks": {"gateway": "ok", "control_plane": "ok"}}),
            );
            reply
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            reply
        }
        "/debug/control-plane" => {
            let url = &gateway.settings.control_plane_base_url;
            let mut reply = json_reply(200, &json!({ "control_plane_base_url": url }));
            reply
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            reply
        }
        "/healthz" => json_reply(200, &probe(gateway, "ok")),
        _ if draining => json_reply(503, &probe(gateway, "draining")),
        _ => match spool_state(gateway) {
            "ok" => json_reply(200, &probe(gateway, "ok")),
            // Every request would be refused: this process cannot serve.
            _ => json_reply(503, &probe(gateway, "degraded")),
        },
    }
}

fn spool_state(gateway: &Gateway) -> &'static str {
    let stats = gateway.spool.stats(gateway.clock.now());
    if stats.backlog_bytes >= stats.max_bytes {
        "full"
    } else {
        "ok"
    }
}

fn probe(gateway: &Gateway, status: &str) -> Value {
    let uptime = gateway.clock.now().seconds() - gateway.started_at.seconds();
    json!({
        "status": status,
        "version": gateway.settings.version,
        "uptime_s": uptime.max(0),
        "checks": {"spool": spool_state(gateway)},
    })
}

fn sampled(gateway: &Gateway) -> Sampled {
    let now = gateway.clock.now();
    let spool = gateway.spool.stats(now);
    gateway
        .metrics
        .bytes_in_flight
        .set(i64::try_from(gateway.bytes.used()).unwrap_or(i64::MAX));
    Sampled {
        now,
        circuits: gateway.lookups.live.breakers.circuits(now),
        limit_subjects: gateway.limits.len() as u64,
        budget_accounts: gateway.lookups.live.books.len() as u64,
        key_cache_size: gateway.keys.len() as u64,
        spool_bytes: spool.backlog_bytes,
        spool_appended: spool.appended,
        spool_lag_seconds: spool.oldest_unfolded.as_secs(),
        // Every request leaves two records: its admission and its outcome.
        folded: spool.folded / 2,
        trace_queue_depth: gateway.records.depth() as u64,
        traces_stored: gateway.records.stored(),
        traces_dropped: gateway.records.dropped(),
    }
}

fn text(body: String) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(vec![body.into()]));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// A JSON answer.
pub(crate) fn json_reply(status: u16, body: &Value) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(vec![body.to_string().into()]));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
