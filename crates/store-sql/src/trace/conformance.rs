//! What every [`TraceStore`] must do, whatever the engine. Each case takes an empty one.

use bytes::Bytes;
use lw_core::{
    ModelProviderId, NanoUsd, OrganizationId, ProjectId, RequestId, SpanId, TraceId, UnixMicros,
    Usage, VirtualKeyId,
};
use lw_store::trace::{
    Attempt, BodyForm, CacheControl, Captured, Decision, Facts, Governance, TraceQuery,
    TraceRecord, TraceStore, Violated,
};

/// 2026-11-23T14:00:00Z.
pub(super) const NOON: i64 = 1_795_442_400_000_000;

pub(super) fn at(n: u8) -> UnixMicros {
    UnixMicros(NOON + i64::from(n) * 1_000)
}

pub(super) fn request(n: u8) -> RequestId {
    RequestId::from_bytes([n; 15])
}

pub(super) fn trace(n: u8) -> TraceId {
    TraceId::from_bytes([n; 16]).expect("not zero")
}

pub(super) fn project(name: &str) -> ProjectId {
    ProjectId::parse(&format!("proj_{name}")).expect("an id")
}

pub(super) fn body(text: &str) -> Captured {
    Captured {
        pieces: vec![Bytes::copy_from_slice(text.as_bytes())],
        form: BodyForm::ChatJson,
        truncated: false,
    }
}

/// The request `n` of trace `n`, in project `a`.
pub(super) fn record(n: u8) -> TraceRecord {
    TraceRecord {
        request_id: request(n),
        trace_id: trace(n),
        span_id: SpanId::from_bytes([n; 8]).expect("not zero"),
        parent_span_id: None,
        organization_id: OrganizationId::parse("org_a").expect("an id"),
        project_id: project("a"),
        virtual_key_id: VirtualKeyId::parse("vk_Key1").expect("an id"),
        started_at: at(n),
        duration_us: 1_234_567,
        http_status: 200,
        error: false,
        facts: Facts {
            request_type: String::from("chat"),
            model: Some(String::from("gpt-5-mini")),
            status: String::from("success"),
            ..Facts::default()
        },
        input: None,
        output: None,
    }
}

/// A record with every field set.
fn full(n: u8) -> TraceRecord {
    let provider = ModelProviderId::parse("mp_a").expect("an id");
    let usage = Usage {
        input: 1,
        cache_read: 2,
        output: 3,
        reasoning: 1,
        ..Usage::default()
    };
    TraceRecord {
        parent_span_id: SpanId::from_bytes([9; 8]),
        http_status: 499,
        error: true,
        facts: Facts {
            request_type: String::from("chat"),
            endpoint: String::from("/v1/chat/completions"),
            display_prefix: String::from("vk-lw-AbCdEfG"),
            provider: Some(String::from("openai")),
            model_provider_id: Some(provider.clone()),
            requested_model: Some(String::from("mini")),
            model: Some(String::from("gpt-5-mini")),
            model_source: Some(String::from("alias")),
            streaming: true,
            parameters: vec![(String::from("temperature"), String::from("0.5"))],
            response_id: Some(String::from("chatcmpl-1")),
            finish_reasons: vec![String::from("stop")],
            usage: Some(usage),
            cost: Some(NanoUsd(656_850)),
            cost_estimated: true,
            status: String::from("client_disconnected"),
            error_type: Some(String::from("client_disconnected")),
            error_message: Some(String::from("the \"caller\" left")),
            end_user_id: Some(String::from("u-172")),
            labels: vec![String::from("tier:pro")],
            first_byte_us: Some(1_000),
            chunk_count: Some(17),
            grace_window: true,
            payload_capture: String::from("raw"),
            attempts: vec![Attempt {
                span_id: SpanId::from_bytes([8; 8]).expect("not zero"),
                start_us: 10,
                duration_us: 20,
                provider: String::from("openai"),
                model_provider_id: provider,
                model: String::from("gpt-5-mini"),
                outcome: String::from("success"),
                status: Some(200),
                server: String::from("api.openai.com:443"),
                circuit: Some("half_open".into()),
            }],
            governance: Governance {
                policy: Some(Violated {
                    kind: String::from("tools"),
                    pattern: Some(String::from("^sh")),
                    value: String::from("shell"),
                }),
                policy_broken: Some(String::from("urls:deny")),
                rate_limit: Some(String::from("rpm")),
                cache: Some(CacheControl {
                    mode: "force".into(),
                    source: "rule".into(),
                    rule_id: Some(String::from("crule_1")),
                    rule_priority: Some(-7),
                }),
                budgets: 2,
                budget_warnings: Some(String::from("team:91")),
                budget_blocked: Some(String::from("team:month")),
            },
            decisions: vec![Decision {
                stage: "policy_tools".into(),
                outcome: "refuse".into(),
                detail: String::from("The tool `shell` is denied."),
            }],
            ..Facts::default()
        },
        input: Some(Captured {
            truncated: true,
            ..body("{\"a\":1}")
        }),
        output: Some(Captured {
            pieces: vec![
                Bytes::from_static(b"data: \xFF"),
                Bytes::from_static(b"{}\n\n"),
            ],
            form: BodyForm::ChatStream,
            truncated: false,
        }),
        ..record(n)
    }
}

pub(super) fn query(projects: &[&str]) -> TraceQuery {
    TraceQuery {
        projects: projects.iter().map(|name| project(name)).collect(),
        limit: 50,
        ..TraceQuery::default()
    }
}

/// The requests found, by number, and the total.
fn found(traces: &dyn TraceStore, query: &TraceQuery) -> (Vec<u8>, u64) {
    let (records, total) = traces.search(query).expect("searches");
    (
        records
            .iter()
            .map(|record| record.request_id.as_bytes()[0])
            .collect(),
        total,
    )
}

type Case = (&'static str, fn(&dyn TraceStore));

const ALL: &[Case] = &[
    (
        "a record reads back as it was",
        a_record_reads_back_as_it_was,
    ),
    (
        "an empty body is not a missing one",
        an_empty_body_is_not_a_missing_one,
    ),
    (
        "the last write of a request wins",
        the_last_write_of_a_request_wins,
    ),
    (
        "a trace has all its records, oldest first",
        a_trace_has_all_its_records,
    ),
    (
        "traces are found by the beginning of their id",
        traces_are_found_by_prefix,
    ),
    (
        "lists are newest first and stay in their projects",
        lists_stay_in_their_projects,
    ),
    (
        "a range has its first instant and not its last",
        a_range_is_half_open,
    ),
    ("errors can be asked for", errors_can_be_asked_for),
    (
        "pages neither skip nor repeat",
        pages_neither_skip_nor_repeat,
    ),
    (
        "text is found in facts, keys and bodies",
        text_is_found_without_regard_to_case,
    ),
    (
        "pages of a text search neither skip nor repeat",
        text_pages_neither_skip_nor_repeat,
    ),
];

/// Runs every case on a store of its own.
pub(super) fn run<T: TraceStore>(fresh: impl Fn() -> T) {
    for (name, case) in ALL {
        println!("{name}");
        case(&fresh());
    }
}

fn a_record_reads_back_as_it_was(traces: &dyn TraceStore) {
    traces.append(&[full(1), record(2)]).expect("appends");
    let mut expected = full(1);
    let whole = Bytes::from_static(b"data: \xFF{}\n\n");
    expected.output.as_mut().expect("a body").pieces = vec![whole];
    assert_eq!(
        traces.by_request(request(1)).expect("reads"),
        Some(expected)
    );
    assert_eq!(
        traces.by_request(request(2)).expect("reads"),
        Some(record(2))
    );
    assert_eq!(traces.by_request(request(3)).expect("reads"), None);
}

fn an_empty_body_is_not_a_missing_one(traces: &dyn TraceStore) {
    let empty = Captured {
        pieces: Vec::new(),
        form: BodyForm::Opaque,
        truncated: false,
    };
    let record = TraceRecord {
        output: Some(empty),
        ..record(1)
    };
    traces
        .append(std::slice::from_ref(&record))
        .expect("appends");
    assert_eq!(traces.by_request(request(1)).expect("reads"), Some(record));
}

fn the_last_write_of_a_request_wins(traces: &dyn TraceStore) {
    traces.append(&[full(1)]).expect("appends");
    let last = TraceRecord {
        trace_id: trace(7),
        project_id: project("b"),
        ..record(1)
    };
    traces.append(&[record(1), last.clone()]).expect("appends");
    assert_eq!(traces.by_request(request(1)).expect("reads"), Some(last));
    assert_eq!(traces.by_trace(trace(1)).expect("reads"), []);
    assert_eq!(found(traces, &query(&["a"])), (vec![], 0));
    assert_eq!(found(traces, &query(&["b"])), (vec![1], 1));
}

fn a_trace_has_all_its_records(traces: &dyn TraceStore) {
    let part = |n| TraceRecord {
        trace_id: trace(9),
        ..record(n)
    };
    traces
        .append(&[part(3), part(1), record(4), part(2)])
        .expect("appends");
    assert_eq!(
        traces.by_trace(trace(9)).expect("reads"),
        [part(1), part(2), part(3)]
    );
    assert_eq!(traces.by_trace(trace(5)).expect("reads"), []);
}

fn traces_are_found_by_prefix(traces: &dyn TraceStore) {
    let other = TraceRecord {
        trace_id: TraceId::parse("0101010101010101010101010101010f").expect("an id"),
        ..record(2)
    };
    let hidden = TraceRecord {
        project_id: project("b"),
        ..record(3)
    };
    traces
        .append(&[record(1), other.clone(), hidden])
        .expect("appends");
    let ids = |prefix: &str, limit| {
        traces
            .trace_ids(&[project("a"), project("c")], prefix, limit)
            .expect("reads")
    };
    assert_eq!(ids("01010101", 10), [trace(1), other.trace_id]);
    assert_eq!(ids("01010101", 1), [trace(1)]);
    assert_eq!(
        ids("0101010101010101010101010101010F", 10),
        [other.trace_id]
    );
    assert_eq!(ids("010101010", 10).len(), 2, "an odd number of digits");
    for nothing in [
        "03030303",
        "02020202",
        "00000000",
        "nothexatall",
        "+1010101",
        "é",
    ] {
        assert_eq!(ids(nothing, 10), [], "{nothing}");
    }
    assert_eq!(ids(&"0".repeat(33), 10), []);
    assert_eq!(traces.trace_ids(&[], "01010101", 10).expect("reads"), []);
}

fn lists_stay_in_their_projects(traces: &dyn TraceStore) {
    let part = |n, name| TraceRecord {
        project_id: project(name),
        ..record(n)
    };
    traces
        .append(&[
            part(1, "a"),
            part(2, "b"),
            part(3, "c"),
            part(4, "a"),
            part(5, "b"),
        ])
        .expect("appends");
    assert_eq!(found(traces, &query(&["a", "b"])), (vec![5, 4, 2, 1], 4));
    assert_eq!(found(traces, &query(&["c"])), (vec![3], 1));
    assert_eq!(found(traces, &query(&[])), (vec![], 0));
    let few = TraceQuery {
        limit: 3,
        ..query(&["a", "b"])
    };
    assert_eq!(found(traces, &few), (vec![5, 4, 2], 4));
}

fn a_range_is_half_open(traces: &dyn TraceStore) {
    let records: Vec<TraceRecord> = (1..=6).map(record).collect();
    traces.append(&records).expect("appends");
    let range = TraceQuery {
        from: Some(at(2)),
        to: Some(at(5)),
        ..query(&["a"])
    };
    assert_eq!(found(traces, &range), (vec![4, 3, 2], 3));
}

fn errors_can_be_asked_for(traces: &dyn TraceStore) {
    traces
        .append(&[record(1), full(2), record(3), full(4)])
        .expect("appends");
    for (error, expected) in [(true, vec![4, 2]), (false, vec![3, 1])] {
        let query = TraceQuery {
            error: Some(error),
            ..query(&["a"])
        };
        assert_eq!(found(traces, &query), (expected, 2));
    }
}

/// Reads all pages of two and checks that each names the same total.
fn pages(traces: &dyn TraceStore, mut query: TraceQuery, expected: u64) -> Vec<u8> {
    query.limit = 2;
    let mut all = Vec::new();
    loop {
        let (page, total) = traces.search(&query).expect("searches");
        assert_eq!(total, expected);
        let Some(last) = page.last() else {
            return all;
        };
        query.before = Some((last.started_at, last.request_id));
        all.extend(page.iter().map(|record| record.request_id.as_bytes()[0]));
    }
}

/// Seven traces in two projects, three of them at the same instant.
fn seven() -> Vec<TraceRecord> {
    let of = |n: u8, name: &str, instant: u8| TraceRecord {
        project_id: project(name),
        started_at: at(instant),
        input: Some(body(if n == 3 { "other" } else { "The Needle" })),
        ..record(n)
    };
    vec![
        of(1, "a", 1),
        of(2, "b", 1),
        of(3, "a", 5),
        of(4, "b", 5),
        of(5, "a", 5),
        of(6, "a", 6),
        of(7, "b", 7),
    ]
}

fn pages_neither_skip_nor_repeat(traces: &dyn TraceStore) {
    traces.append(&seven()).expect("appends");
    assert_eq!(pages(traces, query(&["a", "b"]), 7), [7, 6, 5, 4, 3, 2, 1]);
}

fn text_pages_neither_skip_nor_repeat(traces: &dyn TraceStore) {
    traces.append(&seven()).expect("appends");
    let query = TraceQuery {
        text: Some(String::from("needle")),
        ..query(&["a", "b"])
    };
    assert_eq!(pages(traces, query, 6), [7, 6, 5, 4, 2, 1]);
}

fn text_is_found_without_regard_to_case(traces: &dyn TraceStore) {
    let with = |n, text: &str| TraceRecord {
        output: Some(body(text)),
        ..record(n)
    };
    traces
        .append(&[
            with(1, "The Quick Fox"),
            with(2, "grüße Ärger"),
            full(3),
            record(4),
        ])
        .expect("appends");
    for (text, expected) in [
        ("quick FOX", vec![1]),
        (" quick ", vec![1]),
        ("ÄRGER", vec![2]),
        ("U-172", vec![3]),
        ("Tier:PRO", vec![3]),
        ("VK_key1", vec![4, 3, 2, 1]),
        ("gpt-5-MINI", vec![4, 3, 2, 1]),
        ("100%", vec![]),
        ("_uick", vec![]),
        ("   ", vec![4, 3, 2, 1]),
    ] {
        let query = TraceQuery {
            text: Some(text.to_owned()),
            ..query(&["a"])
        };
        let total = u64::try_from(expected.len()).expect("small");
        assert_eq!(found(traces, &query), (expected, total), "{text}");
    }
}
