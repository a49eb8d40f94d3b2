use super::*;
use crate::resolve::{LaneFacts, ModelList, resolve};

fn lane(id: &str, kind: &str) -> LaneFacts {
    LaneFacts {
        id: id.into(),
        kind: kind.into(),
        ..LaneFacts::default()
    }
}

fn reach() -> Reach {
    Reach {
        lanes: vec![
            lane("mp_o", "openai"),
            LaneFacts {
                handle: Some("eu".into()),
                ..lane("mp_a", "anthropic")
            },
            lane("mp_o2", "openai"),
            LaneFacts {
                models: vec!["gpt-5-mini".into()],
                ..lane("mp_c", "custom")
            },
            lane("mp_g", "gemini"),
        ],
        aliases: [
            ("fast".to_owned(), "gpt-4o".to_owned()),
            ("typed".to_owned(), "openai/gpt-4o".to_owned()),
            ("home".to_owned(), "eu/claude-x".to_owned()),
        ]
        .into(),
        ..Reach::default()
    }
}

fn walked(reach: &Reach, routing: &Routing, name: &str, crosses: bool) -> Vec<String> {
    let table = Equivalents::shipped().expect("the table");
    let resolved = resolve(reach, name, "/v1/x", |_| true).expect("is placed");
    let chain = chain(
        reach,
        routing,
        &table,
        &resolved,
        crosses,
        |_| true,
        |_, _| true,
    );
    chain
        .into_iter()
        .map(|candidate| {
            let id = &reach.lanes[candidate.lane].id;
            let mark = if candidate.substituted { "~" } else { "" };
            format!("{id}:{mark}{}", candidate.model)
        })
        .collect()
}

fn routing(mode: Mode) -> Routing {
    Routing {
        mode,
        ..Routing::default()
    }
}

#[test]
fn a_policy_falls_over_to_models_that_stand_for_the_one_that_was_asked() {
    let reach = reach();
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "gpt-4o", true),
        [
            "mp_o:gpt-4o",
            "mp_o2:gpt-4o",
            "mp_a:~claude-sonnet-4-6",
            "mp_g:~gemini-2.5-pro"
        ]
    );
    // An alias of a bare name as well.
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "fast", true).len(),
        4
    );
}

#[test]
fn without_a_policy_only_what_is_mapped_or_declared_crosses_vendors() {
    let reach = reach();
    assert_eq!(
        walked(&reach, &routing(Mode::All), "gpt-4o", true),
        ["mp_o:gpt-4o", "mp_o2:gpt-4o"]
    );
    let mut mapped = routing(Mode::All);
    let to = |provider: &str, model: &str| [(provider.to_owned(), model.to_owned())].into();
    mapped.model_map = [
        ("gpt-*".to_owned(), to("anthropic", "claude-a")),
        ("openai/gpt-4o".to_owned(), to("mp_a", "anthropic/claude-b")),
        ("gpt-4*".to_owned(), to("gemini", "gemini-x")),
    ]
    .into();
    assert_eq!(
        walked(&reach, &mapped, "gpt-4o", true),
        [
            "mp_o:gpt-4o",
            "mp_o2:gpt-4o",
            "mp_a:~claude-b",
            "mp_g:~gemini-x"
        ]
    );
}

#[test]
fn pinned_names_vectors_and_mode_none_never_cross_vendors() {
    let reach = reach();
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "openai/gpt-4o", true),
        ["mp_o:gpt-4o", "mp_o2:gpt-4o"],
    );
    // An alias says which model is meant, not that its vendor has to serve.
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "typed", true).len(),
        4
    );
    for name in ["eu/claude-x", "home"] {
        assert_eq!(
            walked(&reach, &routing(Mode::Policy), name, true),
            ["mp_a:claude-x"]
        );
    }
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "gpt-4o", false),
        ["mp_o:gpt-4o", "mp_o2:gpt-4o"]
    );
    assert_eq!(
        walked(&reach, &routing(Mode::First), "gpt-4o", true).len(),
        2,
        "the walk takes the first of them"
    );
}

#[test]
fn a_substitute_must_be_allowed_itself() {
    let mut reach = reach();
    reach.models_allowed = Some(ModelList::new(vec!["gpt-4o".into(), "gemini/*".into()]));
    assert_eq!(
        walked(&reach, &routing(Mode::Policy), "gpt-4o", true),
        ["mp_o:gpt-4o", "mp_o2:gpt-4o", "mp_g:~gemini-2.5-pro"]
    );
}

#[test]
fn what_comes_after_an_attempt_is_narrowed_by_the_list_of_triggers() {
    let all = routing(Mode::All);
    for label in [
        "retryable_5xx",
        "timeout",
        "rate_limit",
        "network",
        "not_found",
    ] {
        assert!(all.goes_on_after(label), "{label}");
        assert!(!routing(Mode::First).goes_on_after(label), "{label}");
    }
    for label in ["success", "non_retryable", "context_done", "circuit_open"] {
        assert!(!all.goes_on_after(label), "{label}");
    }
    let narrow = Routing {
        on: Triggers::of(["5xx", "network", "nonsense"]),
        ..routing(Mode::All)
    };
    assert!(narrow.goes_on_after("retryable_5xx") && narrow.goes_on_after("network"));
    assert!(!narrow.goes_on_after("timeout") && !narrow.goes_on_after("rate_limit"));
    let never = Routing {
        on: Triggers::of([]),
        ..routing(Mode::All)
    };
    assert!(!never.goes_on_after("retryable_5xx"));
}

#[test]
fn attempts_are_counted() {
    let mut routing = routing(Mode::All);
    assert!(routing.has_attempt_left(2) && !routing.has_attempt_left(3));
    routing.max_attempts = 0;
    assert!(routing.has_attempt_left(u16::MAX));
    routing.mode = Mode::First;
    assert!(routing.has_attempt_left(0) && !routing.has_attempt_left(1));
}

#[test]
fn the_shipped_table_substitutes_within_a_tier() {
    let table = Equivalents::shipped().expect("the table");
    for (model, kind, expected) in [
        ("gpt-5-mini", "anthropic", Some("claude-haiku-4-5-20251001")),
        ("claude-haiku-4-5@20251001", "openai", Some("gpt-5-mini")),
        ("o3", "gemini", Some("gemini-2.5-pro")),
        ("o3", "groq", None),
        ("unknown", "openai", None),
    ] {
        assert_eq!(table.substitute(model, kind), expected, "{model} {kind}");
    }
    assert!(Equivalents::parse("{\"tiers\":[],\"other\":1}").is_err());
}
