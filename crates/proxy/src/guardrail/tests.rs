//! Guardrails against a real service on a real socket.

mod calls;
mod service;
mod streams;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use lw_core::{GuardrailId, OrganizationId, ProjectId, SystemEntropy, UnixMicros};
use lw_crypto::{Place, Sealer, SealingKey};
use lw_store::rows::{FailureMode, Guardrail, GuardrailDirection};
use lw_upstream::{AddressGuard, Pool};
use serde_json::{Value, json};

use super::*;

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn checker_with(limits: GuardrailTimes, allow_private: bool) -> Checker {
    let guard = AddressGuard {
        allow_private,
        ..AddressGuard::default()
    };
    // Reading the machine's certificates takes a while.
    static TLS: LazyLock<Arc<rustls::ClientConfig>> =
        LazyLock::new(|| lw_upstream::tls::client_config(false).expect("TLS"));
    Checker {
        pool: Pool::new(Arc::new(guard), TLS.clone()),
        user_agent: HeaderValue::from_static("test"),
        limits,
        bytes: ByteBudget::new(64 << 20),
    }
}

fn patient() -> GuardrailTimes {
    GuardrailTimes {
        request: PATIENCE,
        response: PATIENCE,
        stream_chunk: PATIENCE,
        window_chars: 0,
    }
}

fn checker() -> Checker {
    checker_with(patient(), true)
}

fn sealer() -> Sealer {
    let (key, _) = SealingKey::generate(&SystemEntropy);
    Sealer::new(&key, &[])
}

fn who() -> Who {
    Who {
        vk_id: "vk_1".to_owned(),
        project_id: "proj_1".to_owned(),
        gateway_request_id: "req_1".to_owned(),
        model: Some("gpt-5-mini".to_owned()),
        principal_id: None,
    }
}

fn row(name: &str, direction: GuardrailDirection, slug: &str, settings: Value) -> Guardrail {
    Guardrail {
        id: GuardrailId::parse(&format!("guard_{name}")).expect("an id"),
        organization_id: OrganizationId::parse("org_a").expect("an id"),
        project_id: ProjectId::parse("proj_1").expect("an id"),
        name: name.to_owned(),
        description: None,
        evaluator_id: "ev_1".to_owned(),
        evaluator_slug: slug.to_owned(),
        settings,
        sealed_settings: None,
        direction,
        failure_mode: FailureMode::FailClosed,
        archived_at: None,
        revision: 1,
        created_at: UnixMicros(0),
        updated_at: UnixMicros(0),
    }
}

fn open(mut row: Guardrail) -> Guardrail {
    row.failure_mode = FailureMode::FailOpen;
    row
}

/// All rows, attached in order.
fn compiled(rows: &[Guardrail]) -> Guards {
    let attachment = |direction| Attachment {
        direction,
        guardrail_ids: rows.iter().map(|row| row.id.to_string()).collect(),
    };
    use GuardrailDirection::{Post, Pre, StreamChunk};
    let attachments = [Pre, Post, StreamChunk].map(attachment);
    Guards::compile(rows, &attachments, &sealer())
}

fn redacts(name: &str, direction: GuardrailDirection) -> Guardrail {
    let settings = json!({ "kinds": ["email"], "action": "redact" });
    row(name, direction, "pii-check", settings)
}

fn forbids(name: &str, direction: GuardrailDirection, word: &str) -> Guardrail {
    row(name, direction, "keyword-list", json!({ "words": [word] }))
}

fn chat(text: &str) -> Bytes {
    json!({ "messages": [{ "role": "user", "content": text }], "temperature": 1 })
        .to_string()
        .into()
}

#[test]
fn only_live_guardrails_of_the_direction_run_in_the_order_of_attachment() {
    use GuardrailDirection::{Post, Pre};
    let mut archived = forbids("archived", Pre, "x");
    archived.archived_at = Some(UnixMicros(1));
    let rows = [
        forbids("a", Pre, "x"),
        forbids("b", Pre, "x"),
        archived,
        forbids("c", Post, "x"),
    ];
    let ids = |ids: &[&str]| ids.iter().map(|id| format!("guard_{id}")).collect();
    let attachments = [
        Attachment {
            direction: Pre,
            guardrail_ids: ids(&["b", "archived", "gone", "c"]),
        },
        Attachment {
            direction: Pre,
            guardrail_ids: ids(&["a", "b"]),
        },
    ];
    let guards = Guards::compile(&rows, &attachments, &sealer());
    let found: Vec<&str> = guards
        .ids(Direction::Request)
        .map(GuardrailId::as_str)
        .collect();
    assert_eq!(found, ["guard_b", "guard_a"]);
    assert!(guards.is_empty(Direction::Response));
    let read: Attachment =
        serde_json::from_value(json!({ "direction": "stream_chunk", "guardrailIds": ["guard_1"] }))
            .expect("the stored form");
    assert_eq!(read.direction, GuardrailDirection::StreamChunk);
}

#[test]
fn a_header_of_a_callout_is_opened_and_never_shown() {
    let sealer = sealer();
    let settings = json!({ "url": "https://guard.example.com/check?key=hush", "timeout_ms": 100 });
    let mut row = row("a", GuardrailDirection::Pre, "http-callout", settings);
    let place = Place {
        table: "guardrails",
        column: "sealed_settings",
        row_id: "guard_a",
    };
    let sealed = sealer.seal(br#"{"x-key":"hush"}"#, place, &SystemEntropy);
    row.sealed_settings = Some(sealed.expect("seals"));
    let attachments = [Attachment {
        direction: GuardrailDirection::Pre,
        guardrail_ids: vec!["guard_a".to_owned()],
    }];
    let guards = Guards::compile(std::slice::from_ref(&row), &attachments, &sealer);
    let [
        Guard {
            check: Check::Callout(callout),
            ..
        },
    ] = &guards.request.guards[..]
    else {
        panic!("no callout");
    };
    assert_eq!(callout.header("x-key"), Some("hush"));
    assert!(!format!("{guards:?}").contains("hush"), "{guards:?}");
    // With another key it stays on the list, and fails.
    let guards = Guards::compile(&[row], &attachments, &self::sealer());
    assert!(matches!(
        &guards.request.guards[..],
        [Guard {
            check: Check::Broken(_),
            ..
        }]
    ));
}
