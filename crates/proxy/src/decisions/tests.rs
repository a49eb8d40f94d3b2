use lw_core::{Code, Error, NanoUsd};
use lw_engine::limit::{Ceilings, Gauge, Standing};
use lw_engine::rules::{self, Dimension, Rules};
use lw_governor::books;
use serde_json::json;

use super::{Stage, broken, figures, judges, left, violated};

fn rules() -> Rules {
    let stored = json!({
        "tools": {"deny": ["^sh"], "allow": null},
        "urls": {"deny": [], "allow": ["^https://good[.]example/"]},
        "models": {"deny": ["("], "allow": null},
    });
    Rules::compile([&stored])
}

fn refused(dimension: Dimension, value: &str) -> Error {
    let rules = rules();
    let judge = rules.stage(rules::Stage::Body).expect("not broken");
    let judge = judge.expect("rules");
    let violation = judge.judge(dimension, &[value], "here");
    violation.expect_err("a violation").error()
}

#[test]
fn a_refusal_by_a_rule_keeps_its_kind_its_pattern_and_the_value() {
    let denied = violated(&refused(Dimension::Tools, "shell")).expect("a rule");
    assert_eq!(denied.kind, "tools");
    assert_eq!(denied.pattern.as_deref(), Some("^sh"));
    assert_eq!(denied.value, "shell");
    // What an allow-list would let pass is not told.
    let missing = violated(&refused(Dimension::Urls, "https://bad.example/")).expect("a rule");
    assert_eq!((missing.kind.as_str(), missing.pattern), ("urls", None));
    let other = Error::new(Code::KeyRateLimitExceeded, "too many").with("dimension", "rpm");
    assert_eq!(violated(&other), None);
    let unknown = Error::new(Code::ModelNotAllowed, "no such model").with("model", "gpt-9");
    assert_eq!(violated(&unknown), None);
}

#[test]
fn a_rule_that_cannot_be_enforced_is_no_violation_but_broken() {
    let rules = rules();
    let error = rules
        .stage(rules::Stage::Models)
        .expect_err("broken")
        .error();
    assert_eq!(broken(&error).as_deref(), Some("models:deny"));
    assert_eq!(violated(&error), None);
    assert_eq!(Stage::of(&error, false), Stage::PolicyModels);
    assert!(!judges(&rules, Dimension::Models));
    assert!(judges(&rules, Dimension::Tools));
    assert!(!judges(&rules, Dimension::Mcp));
    assert_eq!(broken(&refused(Dimension::Tools, "shell")), None);
}

#[test]
fn every_refusal_belongs_to_the_stage_that_it_is_from() {
    let of = |code| Stage::of(&Error::new(code, "no"), false).as_str();
    for (code, stage) in [
        (Code::KeyRateLimitExceeded, "rate_limit"),
        (Code::CacheOverrideInvalid, "cache"),
        (Code::MissingModel, "model"),
        (Code::ModelNotAllowed, "model"),
        (Code::BudgetExceeded, "budget"),
        (Code::EndUserRequired, "budget"),
        (Code::ModelUnpriced, "budget"),
        (Code::GuardrailBlocked, "guardrail"),
        (Code::CircuitOpen, "candidates"),
        (Code::ProviderRateLimitExceeded, "candidates"),
        (Code::BadRequest, "body"),
        (Code::PayloadTooLarge, "body"),
    ] {
        assert_eq!(of(code), stage, "{code:?}");
    }
    let late = Stage::of(&Error::new(Code::UpstreamTimeout, "no"), true);
    assert_eq!(late, Stage::Attempt);
    let tool = Stage::of(&refused(Dimension::Tools, "shell"), false);
    assert_eq!(tool, Stage::PolicyTools);
    // What stands before a refusal passed: the order is that of the pipeline.
    assert!(Stage::RateLimit < tool && tool < Stage::Model && Stage::Model < Stage::Budget);
}

#[test]
fn what_is_left_of_ceilings_is_told_for_those_that_there_are() {
    let gauge = |limit, remaining| Gauge {
        limit,
        remaining,
        reset_us: 0,
    };
    let mut standing = Standing {
        requests: Some(gauge(60, 59)),
        tokens: Some(gauge(40_000, 39_000)),
        open: 1,
    };
    let mut ceilings = Ceilings {
        rpm: Some(60),
        tpm: Some(40_000),
        rpd: None,
        concurrent: Some(5),
    };
    assert_eq!(
        left(&ceilings, &standing),
        "59 of 60 requests left, 39000 of 40000 tokens left, 1 of 5 at the same time"
    );
    standing.tokens = None;
    ceilings.concurrent = None;
    assert_eq!(left(&ceilings, &standing), "59 of 60 requests left");
}

#[test]
fn the_figures_of_a_budget_are_exact() {
    let standing = books::Standing {
        limit: NanoUsd(5_000_000_000),
        spent: NanoUsd(4_550_000_001),
        reserved: NanoUsd::ZERO,
        percent: 91,
    };
    assert_eq!(figures(&standing), "91 %, $4.550000001 spent of $5");
    let held = books::Standing {
        reserved: NanoUsd(10_000_000),
        ..standing
    };
    assert_eq!(
        figures(&held),
        "91 %, $4.550000001 spent and $0.01 held of $5"
    );
}
