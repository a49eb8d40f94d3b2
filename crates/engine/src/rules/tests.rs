use std::fmt::Write as _;

use lw_core::error::{Correlation, Dialect, render};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules(sets: &[Value]) -> Rules {
    Rules::compile(sets)
}

/// The verdict about one value, in the stage that it belongs to.
fn verdict(rules: &Rules, dimension: Dimension, spellings: &[&str]) -> Result<(), Violation> {
    let judge = rules.stage(dimension.stage()).expect("no broken rule");
    judge.map_or(Ok(()), |judge| judge.judge(dimension, spellings, "place"))
}

#[test]
fn what_says_nothing_is_no_rule() {
    let empty = json!({"deny": [], "allow": null});
    for set in [
        json!(null),
        json!({}),
        json!({"tools": null, "mcp": {}, "urls": {"deny": null}, "models": {"allow": []}}),
        json!({"tools": empty, "mcp": empty, "urls": empty, "models": empty}),
        json!({"later": {"deny": ["x"]}}),
    ] {
        let rules = rules(std::slice::from_ref(&set));
        assert!(rules.is_empty(), "{set}");
        for stage in [Stage::Body, Stage::Models] {
            assert!(matches!(rules.stage(stage), Ok(None)), "{set}");
        }
    }
}

#[test]
fn a_stage_is_asked_only_for_what_is_ruled() {
    for (set, body, models) in [
        (
            json!({"tools": {"deny": ["x"]}}),
            Some([true, false, false]),
            false,
        ),
        (
            json!({"urls": {"allow": ["x"]}, "mcp": {"deny": ["x"]}}),
            Some([false, true, true]),
            false,
        ),
        (json!({"models": {"deny": ["x"]}}), None, true),
    ] {
        let rules = rules(std::slice::from_ref(&set));
        let judge = rules.stage(Stage::Body).expect("no broken rule");
        let has = judge.map(|judge| {
            [Dimension::Tools, Dimension::Mcp, Dimension::Urls].map(|each| judge.has(each))
        });
        assert_eq!(has, body, "{set}");
        assert_eq!(
            rules
                .stage(Stage::Models)
                .expect("no broken rule")
                .is_some(),
            models,
            "{set}"
        );
    }
}

#[test]
fn deny_wins_an_allow_list_must_match_and_matching_is_a_search() {
    let set = json!({"tools": {"deny": ["^shell", "exec$"], "allow": ["get_", "shell"]}});
    let rules = rules(&[set]);
    for (value, expected) in [
        ("get_weather", None),
        ("forget_me", None),
        ("shell.run", Some((List::Deny, Some("^shell")))),
        ("shell.exec", Some((List::Deny, Some("^shell")))),
        ("get_exec", Some((List::Deny, Some("exec$")))),
        ("my_shell", None),
        ("SHELL", Some((List::Allow, None))),
        ("", Some((List::Allow, None))),
    ] {
        let refused = verdict(&rules, Dimension::Tools, &[value]).err();
        let refused = refused.as_ref().map(|each| (each.list(), each.pattern()));
        assert_eq!(refused, expected, "{value}");
    }
}

#[test]
fn spellings_are_one_value() {
    let set = json!({"models": {"deny": ["^openai/gpt-3"], "allow": ["^gpt-", "^azure/"]}});
    let rules = rules(&[set]);
    for (spellings, expected) in [
        (["openai/gpt-5", "gpt-5"], None),
        (["azure/o3", "o3"], None),
        (
            ["openai/gpt-3.5", "gpt-3.5"],
            Some((List::Deny, "openai/gpt-3.5")),
        ),
        (["gpt-3.5", "openai/gpt-3.5"], Some((List::Deny, "gpt-3.5"))),
        (["openai/o3", "o3"], Some((List::Allow, "openai/o3"))),
    ] {
        let refused = verdict(&rules, Dimension::Models, &spellings).err();
        let refused = refused.as_ref().map(|each| (each.list(), each.value()));
        assert_eq!(refused, expected, "{spellings:?}");
    }
}

#[test]
fn every_set_must_be_passed_on_its_own() {
    let own = json!({"tools": {"allow": ["a"]}, "urls": {"deny": ["evil"]}});
    let policy = json!({"tools": {"allow": ["b"]}});
    let rules = rules(&[own, Value::Null, policy]);
    let passes = |value| verdict(&rules, Dimension::Tools, &[value]).is_ok();
    assert_eq!(
        ["a", "b", "ab", ""].map(passes),
        [false, false, true, false]
    );
    assert!(verdict(&rules, Dimension::Urls, &["http://evil.example"]).is_err());
    assert!(verdict(&rules, Dimension::Mcp, &["anything"]).is_ok());
}

#[test]
fn a_broken_rule_refuses_its_stage_whatever_else_is_ruled() {
    let fine = json!({"tools": {"deny": ["x"]}, "models": {"allow": ["gpt"]}});
    let mut table = String::new();
    for broken in [
        json!({"tools": {"deny": ["fine", "["], "allow": ["fine"]}}),
        json!({"mcp": {"allow": ["(?=x)"]}}),
        json!({"urls": {"deny": ["(a)\\1"], "allow": ["("]}}),
        json!({"models": {"deny": ["x{9999}"]}}),
        json!({"tools": {"deny": "no list"}}),
        json!({"tools": {"allow": [7]}}),
        json!({"tools": ["no object"]}),
        json!("no object"),
        json!([]),
    ] {
        for sets in [
            [broken.clone(), fine.clone()],
            [fine.clone(), broken.clone()],
        ] {
            let rules = rules(&sets);
            assert!(!rules.is_empty());
            let first = rules.broken().next().expect("a broken rule").clone();
            let stage = first.dimension().stage();
            assert_eq!(rules.stage(stage).err(), Some(&first), "{broken}");
            if broken.is_object() {
                let other = [Stage::Body, Stage::Models]
                    .into_iter()
                    .find(|each| *each != stage);
                let judge = rules
                    .stage(other.expect("two stages"))
                    .expect("not its stage")
                    .expect("rules");
                let refused = judge.judge(first.dimension(), &["fine"], "place");
                assert!(
                    refused.is_err(),
                    "a judge that is asked beyond its stage lets nothing pass"
                );
            }
        }
        writeln!(table, "{broken}").expect("a string");
        for each in rules(&[broken]).broken() {
            writeln!(
                table,
                "    {} {:?} {}",
                each.label(),
                each.pattern(),
                each.reason()
            )
            .expect("a string");
        }
    }
    insta::assert_snapshot!("broken", table);
}

#[test]
fn a_refused_caller_learns_what_where_and_by_which_list() {
    let long = format!("https://{}.example", "ü".repeat(80));
    let both = json!({"deny": ["^shell\\.exec$"], "allow": ["^secret-"]});
    let set = json!({"tools": both, "mcp": both, "urls": {"allow": ["^https://good"]}, "models": {"deny": ["gpt-3"]}});
    let rules = rules(&[set]);
    let mut table = String::new();
    for (dimension, spellings, place) in [
        (
            Dimension::Tools,
            vec!["shell.exec"],
            "tools[0].function.name",
        ),
        (
            Dimension::Mcp,
            vec!["https://mcp.example"],
            "mcp_servers[0].url",
        ),
        (Dimension::Urls, vec![long.as_str()], "messages[1].content"),
        (
            Dimension::Models,
            vec!["openai/gpt-3.5", "gpt-3.5"],
            "model",
        ),
    ] {
        let judge = rules
            .stage(dimension.stage())
            .expect("no broken rule")
            .expect("rules");
        let violation = judge
            .judge(dimension, &spellings, place)
            .expect_err("a refusal");
        let error = violation.error();
        let body = render(&error, Dialect::OpenAi, Correlation::default());
        assert!(!body.contains("secret") && !body.contains("good"), "{body}");
        writeln!(table, "{} {} {}", error.status(), violation.label(), body).expect("a string");
    }
    let broken = Rules::compile(&[json!({"tools": {"deny": ["["]}})]);
    let error = broken
        .stage(Stage::Body)
        .expect_err("a broken rule")
        .error();
    let body = render(&error, Dialect::OpenAi, Correlation::default());
    writeln!(table, "{} {}", error.status(), body).expect("a string");
    insta::assert_snapshot!("refusals", table);
}

#[test]
fn dimensions_and_lists_are_displayed_as_they_are_stored() {
    let names = Dimension::ALL.map(|each| each.to_string());
    assert_eq!(names, ["tools", "mcp", "urls", "models"]);
    assert_eq!(
        [List::Deny, List::Allow].map(|each| each.to_string()),
        ["deny", "allow"]
    );
}

/// One set with these lists about tools, as it is stored.
fn stored((deny, allow): &(Vec<String>, Option<Vec<String>>)) -> Value {
    json!({"tools": {"deny": deny, "allow": allow}})
}

proptest! {
    #[test]
    fn a_verdict_is_what_the_words_of_the_specification_say(
        sets in prop::collection::vec(
            (prop::collection::vec("[ab]{1,2}", 0..3), prop::option::of(prop::collection::vec("[abc]", 0..3))),
            0..3,
        ),
        spellings in prop::collection::vec("[abc]{0,3}", 1..3),
    ) {
        let rules = Rules::compile(&sets.iter().map(stored).collect::<Vec<_>>());
        let spellings: Vec<&str> = spellings.iter().map(String::as_str).collect();
        // These patterns are plain letters: to search for one is to look whether it is contained.
        let any = |list: &[String]| list.iter().any(|each| spellings.iter().any(|value| value.contains(each.as_str())));
        let passes = sets.iter().all(|(deny, allow)| {
            let allow = allow.as_deref().unwrap_or_default();
            !any(deny) && (allow.is_empty() || any(allow))
        });
        prop_assert_eq!(verdict(&rules, Dimension::Tools, &spellings).is_ok(), passes);
    }
}
