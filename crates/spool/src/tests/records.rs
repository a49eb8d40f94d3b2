//! Lines: what is written is what internal-protocol 10 names, and reads back as it was.

use lw_core::{NanoUsd, UnixMicros, Usage};
use lw_store::ledger::{Certainty, EntryKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{at, ids, request};
use crate::record::both_ways;
use crate::{Admission, Outcome, Period, Record};

fn line(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out).expect("encodes");
    out.extend_from_slice(b",\"pod_id\":\"gw-a-0\",\"pod_seq\":41}\n");
    out
}

#[test]
fn an_admission_has_the_names_of_the_protocol() {
    let ids = ids();
    let value: Value =
        serde_json::from_slice(&line(|out| ids.admission(1, 900).encode(out))).expect("is JSON");
    assert_eq!(
        value,
        json!({"command": "admitSpend", "pod_id": "gw-a-0", "pod_seq": 41, "payload": {
            "gateway_request_id": request(1).to_string(), "occurred_at": at(1).millis(),
            "organization_id": ids.organization, "project_id": ids.project,
            "virtual_key_id": ids.key, "request_type": "chat", "end_user_id": "u-172",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "labels": ["tier:pro"],
            "period": "2026-11", "attempt": 0, "model": "gpt-5-mini",
            "model_provider_id": ids.provider, "hold_nano_usd": 900, "priced": true,
            "price_version": "registry@2026-11-01", "outcome_carries_attribution": true,
        }})
    );
}

#[test]
fn an_outcome_has_the_names_of_the_protocol_and_its_attribution() {
    let ids = ids();
    let usage = Usage {
        cache_write_5m: 3,
        cache_write_1h: 4,
        ..Usage::default()
    };
    let outcome = Outcome {
        usage,
        ..ids.failure(1)
    };
    let value: Value = serde_json::from_slice(&line(|out| outcome.encode(out))).expect("is JSON");
    assert_eq!(
        value,
        json!({"command": "failSpend", "pod_id": "gw-a-0", "pod_seq": 41, "payload": {
            "gateway_request_id": request(1).to_string(), "admitted_at": at(1).millis(),
            "occurred_at": at(1).millis() + 3_878,
            "organization_id": ids.organization, "project_id": ids.project,
            "virtual_key_id": ids.key, "request_type": "chat", "end_user_id": "u-172",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "labels": ["tier:pro"],
            "period": "2026-11", "attempt": 0, "model": "gpt-5-mini-2026-01",
            "model_provider_id": ids.provider,
            "usage": {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 7,
                "cache_creation_5m_tokens": 3, "cache_creation_1h_tokens": 4},
            "cost_nano_usd": 0, "certainty": "exact", "priced": true,
            "price_version": "registry@2026-11-01", "http_status": 502, "duration_ms": 3_878,
            "error": {"type": "provider_error", "http_status": 502},
        }})
    );
}

#[test]
fn outcomes_become_the_rows_of_the_rule() {
    let ids = ids();
    let kind = |outcome: &Outcome<'_>| {
        let (record, seq) = Record::parse(&line(|out| outcome.encode(out))).expect("reads");
        assert_eq!(seq, 41);
        record.into_entry().kind
    };
    let usage = Usage {
        output: 1,
        ..Usage::default()
    };
    let free = Outcome {
        usage: Usage::default(),
        ..ids.outcome(1, 0)
    };
    assert_eq!(kind(&ids.outcome(1, 300)), EntryKind::Settle);
    assert_eq!(kind(&free), EntryKind::Settle);
    assert_eq!(kind(&ids.failure(1)), EntryKind::Release);
    assert_eq!(
        kind(&Outcome {
            usage,
            ..ids.failure(1)
        }),
        EntryKind::Settle
    );
    assert_eq!(
        kind(&Outcome {
            cost: NanoUsd(1),
            ..ids.failure(1)
        }),
        EntryKind::Settle
    );
}

#[test]
fn unknown_fields_are_ignored_and_known_ones_are_checked() {
    let text = format!(
        r#"{{"command":"confirmSpend","new":[1],"payload":{{"gateway_request_id":"{}",
        "occurred_at":5000,"organization_id":"org_a","project_id":"proj_a","virtual_key_id":"vk_a",
        "model_provider_id":"something else","usage":{{"input_tokens":5,"input_chars":9,
        "cache_creation_input_tokens":7,"cache_creation_1h_tokens":4}},"later":{{}}}},"pod_seq":3}}"#,
        request(1)
    );
    let (record, _) = Record::parse(text.as_bytes()).expect("reads");
    let entry = record.into_entry();
    assert_eq!(entry.at, UnixMicros(5_000_000));
    assert_eq!(
        (entry.usage.cache_write_5m, entry.usage.cache_write_1h),
        (3, 4)
    );
    assert_eq!(
        (entry.period.as_str(), entry.model_provider_id),
        ("1970-01", None)
    );
    for broken in [
        text.replace("confirmSpend", "refundSpend"),
        text.replace("confirmSpend", "failSpend"),
        text.replace("org_a", "vk_a"),
        text.replace("req_", "r_"),
        text.replace("\"virtual_key_id\":\"vk_a\",", ""),
        text.replace("5000", "\"5000\""),
        String::from("{}"),
        String::from("garbage"),
    ] {
        assert!(Record::parse(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn oversized_fields_are_cut_and_an_oversized_echo_is_dropped() {
    let ids = ids();
    let labels: Vec<String> = (0..70).map(|_| "x".repeat(300)).collect();
    let (echo, model) = (
        format!("{{\"a\":\"{}\"}}", "b".repeat(4_096)),
        "é".repeat(400),
    );
    let mut who = ids.who(1);
    (who.labels, who.metadata) = (&labels, Some(echo.as_str()));
    let admission = Admission {
        who,
        model: &model,
        ..ids.admission(1, 1)
    };
    let (record, _) = Record::parse(&line(|out| admission.encode(out))).expect("reads");
    let entry = record.into_entry();
    assert_eq!(entry.model, "é".repeat(256));
    assert_eq!(entry.detail.metadata, None);
    assert_eq!(entry.detail.labels.len(), 64);
    assert!(entry.detail.labels.iter().all(|label| label.len() == 256));
}

#[test]
fn ids_that_are_too_many_too_long_or_none_are_left_out() {
    let ids = ids();
    let mut made = vec!["x".repeat(257), String::from("a b"), String::from("resp_1")];
    made.extend((0..200).map(|n| format!("item_{n}")));
    let outcome = Outcome {
        made: &made,
        ..ids.outcome(1, 1)
    };
    let (record, _) = Record::parse(&line(|out| outcome.encode(out))).expect("reads");
    let entry = record.into_entry();
    assert_eq!(entry.made.len(), 128);
    assert_eq!(entry.made.first().map(String::as_str), Some("resp_1"));
}

const BUCKETS: &str = r#"["bgt_a","bgt_b:user_1","bgt_c:end \"user\": 7é"]"#;

#[test]
fn buckets_are_written_as_they_were_rendered_and_each_line_has_its_own() {
    let ids = ids();
    let admission = Admission {
        budgets: BUCKETS,
        ..ids.admission(1, 900)
    };
    let outcome = Outcome {
        budgets: r#"["bgt_d"]"#,
        ..ids.failure(1)
    };
    for (bytes, budgets) in [
        (line(|out| admission.encode(out)), BUCKETS),
        (line(|out| outcome.encode(out)), r#"["bgt_d"]"#),
        (line(|out| ids.admission(1, 900).encode(out)), ""),
        (line(|out| ids.outcome(1, 900).encode(out)), ""),
    ] {
        let text = String::from_utf8(bytes.clone()).expect("text");
        let written = format!(",\"budgets\":{budgets}");
        assert_eq!(text.contains(&written), !budgets.is_empty(), "{text}");
        let (record, _) = Record::parse(&bytes).expect("reads");
        assert!(!record.is_partly_malformed());
        assert_eq!(record.into_entry().budgets, budgets);
    }
}

#[test]
fn buckets_that_would_break_the_line_are_left_out() {
    let ids = ids();
    let long = format!("[\"bgt_{}\"]", "a".repeat(70_000));
    for budgets in ["bgt_a", "[\"bgt_a\n\"]", "{}", "[", "]", &long] {
        let admission = Admission {
            budgets,
            ..ids.admission(1, 900)
        };
        let (record, _) = Record::parse(&line(|out| admission.encode(out))).expect("reads");
        assert_eq!(record.into_entry().budgets, "", "{budgets}");
    }
}

#[test]
fn buckets_that_cannot_be_read_are_none_and_told() {
    let ids = ids();
    let outcome = Outcome {
        budgets: "[\"bgt_a\"]",
        ..ids.outcome(1, 300)
    };
    let good = String::from_utf8(line(|out| outcome.encode(out))).expect("text");
    for (value, budgets, malformed) in [
        (
            "[ \"bgt_a\", \"bgt_b\" ]",
            "[ \"bgt_a\", \"bgt_b\" ]",
            false,
        ),
        ("[]", "[]", false),
        ("null", "", false),
        ("[1]", "", true),
        ("[\"bgt_a\",[]]", "", true),
        ("\"bgt_a\"", "", true),
        ("{\"bgt_a\":1}", "", true),
    ] {
        let bytes = good.replace("[\"bgt_a\"]", value).into_bytes();
        let (ours, general) = both_ways(&bytes);
        assert!(ours.is_none() || ours == general, "{value}");
        let (record, _) = Record::parse(&bytes).expect("the rest is good");
        assert_eq!(record.is_partly_malformed(), malformed, "{value}");
        let entry = record.into_entry();
        assert_eq!((entry.budgets.as_str(), entry.amount.0), (budgets, 300));
    }
}

#[test]
fn periods_are_months_in_utc() {
    for (text, period) in [
        ("1970-01-01T00:00:00Z", "1970-01"),
        ("2024-02-29T23:59:59Z", "2024-02"),
        ("2026-11-30T23:59:59.999Z", "2026-11"),
        ("2026-12-01T00:30:00+01:00", "2026-11"),
        ("2026-12-01T00:00:00Z", "2026-12"),
        ("2100-02-28T12:00:00Z", "2100-02"),
        ("1969-12-31T23:59:59Z", "1969-12"),
    ] {
        let at = UnixMicros::parse_rfc3339(text).expect("a time");
        assert_eq!(Period::of(at).as_str(), period, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        model in "\\PC{0,20}", user in proptest::option::of("[\\PC\u{1}\"\\\\]{1,20}"),
        hold in 0_i64..i64::MAX, cost in 0_i64..i64::MAX, attempt: u16, priced: bool,
        counts in proptest::array::uniform8(0_u64..1 << 60), estimated: bool,
        error in proptest::option::of("[a-z_]{1,20}"), status in 100_u16..600,
        made in proptest::collection::vec("[!-~]{1,30}", 0..4),
        buckets in proptest::collection::vec("bgt_[a-z0-9]{1,9}(:[\\PC\"\\\\\u{1}]{0,9})?", 0..4),
    ) {
        let ids = ids();
        let budgets = json!(buckets).to_string();
        let mut who = ids.who(5);
        who.end_user_id = user.as_deref();
        let admission = Admission { who, attempt, model: &model, hold: NanoUsd(hold), priced,
            budgets: &budgets, ..ids.admission(5, 0) };
        let (ours, general) = both_ways(&line(|out| admission.encode(out)));
        prop_assert!(ours.is_some(), "our own line is read the fast way");
        prop_assert_eq!(ours, general);
        let (record, _) = Record::parse(&line(|out| admission.encode(out))).expect("reads");
        let entry = record.into_entry();
        prop_assert_eq!((entry.kind, entry.attempt), (EntryKind::Hold, attempt));
        prop_assert_eq!((entry.amount.0, entry.priced, entry.at), (hold, priced, at(5)));
        prop_assert_eq!(&entry.model, &model);
        prop_assert_eq!(&entry.budgets, &budgets);
        prop_assert_eq!(entry.detail.end_user_id.as_deref(), user.as_deref());
        let [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, input_audio,
            output_audio] = counts;
        let usage = Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning,
            input_audio, output_audio };
        let certainty = if estimated { Certainty::Estimated } else { Certainty::Exact };
        let outcome = Outcome { who, attempt, model: &model, usage, cost: NanoUsd(cost), certainty,
            error_type: error.as_deref(), http_status: status, priced, made: &made,
            budgets: &budgets, ..ids.outcome(5, 0) };
        let (ours, general) = both_ways(&line(|out| outcome.encode(out)));
        prop_assert!(ours.is_some(), "our own line is read the fast way");
        prop_assert_eq!(ours, general);
        let (record, _) = Record::parse(&line(|out| outcome.encode(out))).expect("reads");
        let entry = record.into_entry();
        prop_assert_eq!((entry.usage, entry.amount.0), (usage, cost));
        prop_assert_eq!((entry.certainty, entry.priced, entry.at), (certainty, priced, at(5)));
        prop_assert_eq!(entry.detail.error_type.as_deref(), error.as_deref());
        prop_assert_eq!(entry.detail.http_status, Some(status));
        prop_assert_eq!(entry.detail.duration_ms, Some(3_878));
        prop_assert_eq!(entry.made, made);
        prop_assert_eq!(entry.budgets, budgets);
    }

    #[test]
    fn a_damaged_line_is_never_read_as_something_else(
        place in 0_usize..900, byte in proptest::sample::select(b"0\"\\{},:-x\x01".to_vec()), cut: bool,
    ) {
        let ids = ids();
        let outcome = Outcome { budgets: BUCKETS, ..ids.outcome(5, 300) };
        let mut bytes = line(|out| outcome.encode(out));
        let place = place % bytes.len();
        if cut {
            bytes.remove(place);
        } else {
            bytes[place] = byte;
        }
        let (ours, general) = both_ways(&bytes);
        if ours.is_some() {
            prop_assert_eq!(ours, general, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn any_bytes_are_safe_to_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::parse(&bytes);
    }
}
