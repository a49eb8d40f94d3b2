//! Traces: found by trace id, prefix and request id; shown with spans; nobody else's.

use bytes::Bytes;
use http::Method;
use lw_core::{
    BodyForm, ModelProviderId, NanoUsd, RequestId, SpanId, TraceId, Usage, VirtualKeyId,
};
use lw_store::trace::{
    Attempt, CacheControl, Captured, Decision, Facts, Governance, TraceRecord, TraceStore as _,
    Violated,
};
use serde_json::{Value, json};

use super::{NOW, Plane, organization, project};

/// A request of an organization's governance project, told apart by `number`.
pub(super) fn record(org: &str, number: u8) -> TraceRecord {
    let body = |text: &str| Captured {
        pieces: vec![Bytes::copy_from_slice(text.as_bytes())],
        form: BodyForm::ChatJson,
        truncated: false,
    };
    let attempt = |span: u8, provider: &str, outcome: &str, status| Attempt {
        span_id: SpanId::from_bytes([span; 8]).expect("a span id"),
        start_us: u64::from(span) * 1_000,
        duration_us: 200_000,
        provider: provider.to_owned(),
        model_provider_id: ModelProviderId::parse(&format!("mp_{provider}")).expect("an id"),
        model: "gpt-5-mini".into(),
        outcome: outcome.to_owned(),
        status: Some(status),
        server: "api.example.com:443".into(),
        circuit: Some("closed".into()),
    };
    let mut trace = [0xAB; 16];
    trace[15] = number;
    let mut request = [number; 15];
    request[0] = 0;
    TraceRecord {
        request_id: RequestId::from_bytes(request),
        trace_id: TraceId::from_bytes(trace).expect("a trace id"),
        span_id: SpanId::from_bytes([number; 8]).expect("a span id"),
        parent_span_id: None,
        organization_id: organization(org),
        project_id: project(org, "governance"),
        virtual_key_id: VirtualKeyId::parse("vk_1").expect("an id"),
        started_at: NOW.plus_micros(i64::from(number) * 1_000_000),
        duration_us: 1_240_000,
        http_status: 200,
        error: false,
        facts: Facts {
            request_type: "chat".into(),
            endpoint: "/v1/chat/completions".into(),
            display_prefix: "vk-lw-01HZX9N".into(),
            provider: Some("openai".into()),
            model_provider_id: Some(ModelProviderId::parse("mp_openai").expect("an id")),
            requested_model: Some("fast".into()),
            model: Some("gpt-5-mini".into()),
            model_source: Some("alias".into()),
            streaming: true,
            parameters: vec![
                ("temperature".into(), "0.5".into()),
                ("stop".into(), "\"x\"".into()),
            ],
            response_id: Some("chatcmpl-1".into()),
            response_model: Some("gpt-5-mini-2026".into()),
            finish_reasons: vec!["stop".into()],
            usage: Some(Usage {
                input: 10,
                cache_read: 5,
                output: 7,
                reasoning: 2,
                ..Usage::default()
            }),
            cost: Some(NanoUsd(656_850)),
            status: "success".into(),
            end_user_id: Some("u1".into()),
            thread_id: Some("t1".into()),
            request_metadata: Some(r#"{"customer_id":"c1","ticket":7}"#.into()),
            trace_metadata: Some(r#"{"run":"nightly"}"#.into()),
            client_name: Some("openai-python".into()),
            labels: vec!["prod".into()],
            first_byte_us: Some(300_000),
            chunk_count: Some(4),
            payload_capture: "raw".into(),
            attempts: vec![
                attempt(90, "anthropic", "retryable_5xx", 503),
                attempt(91, "openai", "fallback_success", 200),
            ],
            ..Facts::default()
        },
        input: Some(body(
            r#"{"model":"fast","messages":[{"role":"user","content":"Say hi"}]}"#,
        )),
        output: Some(body(
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi there"},"finish_reason":"stop"}]}"#,
        )),
    }
}

/// The span of a request that everything had a say in.
#[tokio::test]
async fn what_governed_a_request_stands_on_its_span_and_in_its_digest() {
    let plane = Plane::new();
    let mut record = record("acme", 1);
    record.facts.governance = Governance {
        policy: Some(Violated {
            kind: "tools".into(),
            pattern: Some("^sh".into()),
            value: "shell".into(),
        }),
        policy_broken: Some("urls:deny".into()),
        rate_limit: Some("rpm".into()),
        cache: Some(CacheControl {
            mode: "force".into(),
            source: "rule".into(),
            rule_id: Some("crule_1".into()),
            rule_priority: Some(10),
        }),
        budgets: 2,
        budget_warnings: Some("team:91".into()),
        budget_blocked: Some("team:month".into()),
    };
    let guardrails = [
        ("verdict.request", "modify"),
        ("verdict.response", "block"),
        ("fail_open.stream_chunk", "timeout"),
        ("post.skipped", "tool_calls"),
        ("post_flag", "block: secrets"),
    ];
    record.facts.guardrails = guardrails
        .map(|(fact, word)| (fact.to_owned(), word.to_owned()))
        .into();
    record.facts.substituted_model = Some("gpt-5-mini".into());
    if let Some(first) = record.facts.attempts.first_mut() {
        first.outcome = "rate_limit".into();
        first.status = None;
        first.circuit = Some("half_open".into());
    }
    record.facts.decisions = vec![
        Decision {
            stage: "model".into(),
            outcome: "info".into(),
            detail: "`fast` is an alias of `gpt-5-mini`".into(),
        },
        Decision {
            stage: "policy_tools".into(),
            outcome: "refuse".into(),
            detail: "The tool `shell` is denied.".into(),
        },
    ];
    plane
        .traces
        .append(std::slice::from_ref(&record))
        .expect("stored");
    let path = format!("/api/traces/{}", record.trace_id);
    let got = plane.get(&path).await.fine(200);
    let spans = got["spans"].as_array().expect("spans");
    let of = |span: &Value, prefixes: &[&str]| {
        let all = span["attributes"].as_object().expect("attributes").iter();
        let wanted = all.filter(|(name, _)| prefixes.iter().any(|one| name.starts_with(one)));
        let wanted: serde_json::Map<String, Value> = wanted
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        wanted
    };
    let governed = [
        "langwatch.policy.",
        "langwatch.ratelimit.",
        "langwatch.cache.",
        "langwatch.budget.",
        "langwatch.guardrail.",
        "langwatch.fallback.",
        "langwatch.provider.circuit",
    ];
    let shown: Vec<_> = spans.iter().map(|span| of(span, &governed)).collect();
    insta::assert_json_snapshot!(json!({
        "attributes": shown, "decisions": spans[0]["decisions"],
    }));
    let digest = plane.get(&format!("{path}?format=digest")).await.fine(200);
    let text = digest["formatted_trace"].as_str().expect("a text");
    let section = text.split("## Decisions\n").nth(1).expect("a section");
    insta::assert_snapshot!(section, @r"
    info model: `fast` is an alias of `gpt-5-mini`
    refuse policy_tools: The tool `shell` is denied.
    ");
}

async fn search(plane: &Plane, more: Value) -> Value {
    let mut body = json!({ "startDate": "2026-11-01", "endDate": "2026-12-01" });
    body.as_object_mut()
        .expect("one")
        .extend(more.as_object().expect("one").clone());
    plane.post("/api/traces/search", body).await.fine(200)
}

fn ids(found: &Value) -> Vec<String> {
    let rows = found["traces"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["trace_id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn a_trace_is_shown_with_the_spans_of_its_request() {
    let plane = Plane::new();
    let record = record("acme", 1);
    plane
        .traces
        .append(std::slice::from_ref(&record))
        .expect("stored");
    let got = plane
        .get(&format!("/api/traces/{}", record.trace_id))
        .await
        .fine(200);
    insta::assert_json_snapshot!(got);
    let digest = plane
        .get(&format!("/api/traces/{}?format=digest", record.trace_id))
        .await
        .fine(200);
    insta::assert_snapshot!(digest["formatted_trace"].as_str().expect("a text"));
}

#[tokio::test]
async fn a_trace_is_found_by_id_prefix_and_request_id() {
    let plane = Plane::new();
    let (one, two) = (record("acme", 1), record("acme", 2));
    plane
        .traces
        .append(&[one.clone(), two.clone()])
        .expect("stored");
    let whole = plane
        .get(&format!("/api/traces/{}", one.trace_id))
        .await
        .fine(200);
    assert_eq!(
        plane
            .get(&format!("/api/traces/{}", one.request_id))
            .await
            .fine(200),
        whole
    );
    let upper = one.trace_id.to_string().to_uppercase();
    assert_eq!(
        plane.get(&format!("/api/traces/{upper}")).await.fine(200),
        whole
    );

    let shared = &one.trace_id.to_string()[..8];
    let got = plane.get(&format!("/api/traces/{shared}")).await;
    assert_eq!(got.status.as_u16(), 409);
    assert_eq!(
        got.json()["candidateTraceIds"].as_array().map(Vec::len),
        Some(2)
    );
    let prefix = &two.trace_id.to_string()[..31];
    let got = plane.get(&format!("/api/traces/{prefix}")).await;
    assert_eq!(
        got.status.as_u16(),
        409,
        "they differ in the last character"
    );
    for unknown in ["ffffffff", "abababa", "zzzzzzzzzz", "req_x"] {
        let got = plane.get(&format!("/api/traces/{unknown}")).await;
        assert_eq!(got.status.as_u16(), 404, "{unknown}");
        assert_eq!(got.json()["message"], "Trace not found.");
    }
}

#[tokio::test]
async fn a_trace_that_two_organizations_share_shows_each_its_own() {
    let plane = Plane::new();
    let ours = record("acme", 1);
    let mut theirs = record("globex", 2);
    theirs.trace_id = ours.trace_id;
    plane
        .traces
        .append(&[ours.clone(), theirs.clone()])
        .expect("stored");
    let path = format!("/api/traces/{}", ours.trace_id);
    for (token, own, other) in [
        (&plane.acme, &ours, &theirs),
        (&plane.globex, &theirs, &ours),
    ] {
        let got = plane.call_with(token, Method::GET, &path, &[], None).await;
        got.fine(200);
        assert!(got.text.contains(&own.request_id.to_string()));
        assert!(!got.text.contains(&other.request_id.to_string()));
        let foreign = format!("/api/gateway/v1/requests/{}", other.request_id);
        let got = plane
            .call_with(token, Method::GET, &foreign, &[], None)
            .await;
        assert_eq!(got.code(), (404, "request_not_found".into()));
    }
    let headers = [("x-project-id", "default")];
    let got = plane
        .call_with(&plane.acme, Method::GET, &path, &headers, None)
        .await;
    assert_eq!(got.status.as_u16(), 404, "it is the governance project's");
}

#[tokio::test]
async fn search_pages_filters_and_finds_by_text_and_by_request_id() {
    let plane = Plane::new();
    let mut records: Vec<TraceRecord> = (1..=5).map(|number| record("acme", number)).collect();
    records[2].error = true;
    records[2].http_status = 502;
    records[2].facts.status = "provider_error".into();
    records[2].facts.model = Some("o9-special".into());
    plane.traces.append(&records).expect("stored");
    plane.traces.append(&[record("globex", 9)]).expect("stored");

    let first = search(&plane, json!({ "pageSize": 3 })).await;
    let newest: Vec<String> = records
        .iter()
        .rev()
        .map(|row| row.trace_id.to_string())
        .collect();
    assert_eq!(ids(&first), newest[..3]);
    assert_eq!(first["pagination"]["totalHits"], 5);
    let scroll = first["pagination"]["scrollId"].clone();
    let second = search(&plane, json!({ "pageSize": 3, "scrollId": scroll })).await;
    assert_eq!(ids(&second), newest[3..]);
    assert_eq!(second["pagination"].get("scrollId"), None);

    let failed = search(&plane, json!({ "filters": { "traces.error": ["true"] } })).await;
    assert_eq!(ids(&failed), [records[2].trace_id.to_string()]);
    assert_eq!(failed["traces"][0]["error"]["has_error"], true);
    let other = search(&plane, json!({ "filters": { "traces.origin": ["sdk"] } })).await;
    assert_eq!(other["pagination"]["totalHits"], 0);
    let text = search(&plane, json!({ "query": "o9-special" })).await;
    assert_eq!(ids(&text), [records[2].trace_id.to_string()]);
    let id = records[0].request_id.to_string();
    let early = json!({ "query": id, "startDate": 0, "endDate": 1 });
    assert_eq!(
        ids(&search(&plane, early).await),
        [records[0].trace_id.to_string()]
    );
    let prefix = &records[0].trace_id.to_string()[..10];
    assert_eq!(
        ids(&search(&plane, json!({ "query": prefix })).await),
        newest
    );
    let named = json!({ "traceIds": [records[1].trace_id.to_string(), "nope"] });
    assert_eq!(
        ids(&search(&plane, named).await),
        [records[1].trace_id.to_string()]
    );
    let spans = search(&plane, json!({ "includeSpans": true, "pageSize": 1 })).await;
    assert_eq!(
        spans["traces"][0]["spans"].as_array().map(Vec::len),
        Some(3)
    );
    let digest = search(&plane, json!({ "llmMode": true, "pageSize": 1 })).await;
    assert!(
        digest["traces"][0]["formatted_trace"]
            .as_str()
            .expect("a text")
            .contains("Say hi")
    );
}

#[tokio::test]
async fn a_request_is_looked_up_from_its_trace() {
    let plane = Plane::new();
    let record = record("acme", 1);
    plane
        .traces
        .append(std::slice::from_ref(&record))
        .expect("stored");
    let path = format!("/api/gateway/v1/requests/{}", record.request_id);
    insta::assert_json_snapshot!(plane.get(&path).await.fine(200));
}
