//! Tables of what each evaluator says, and what holds for any text.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const EVERY_KIND: [&str; 7] = [
    "email",
    "phone",
    "credit_card",
    "iban",
    "ip",
    "ssn",
    "api_key",
];

fn built(slug: &str, settings: impl std::borrow::Borrow<Value>) -> BuiltIn {
    match Evaluator::compile(slug, settings.borrow()).expect("settings that compile") {
        Evaluator::BuiltIn(built) => built,
        Evaluator::HttpCallout(callout) => panic!("{callout:?}"),
    }
}

fn hit(evaluator: &BuiltIn, texts: &[&str]) -> Option<String> {
    match evaluator.check(texts) {
        Verdict::Allow => None,
        Verdict::Block { policies, .. } | Verdict::Modify { policies, .. } => {
            Some(policies.join(" "))
        }
    }
}

fn redacted(kinds: &[&str], text: &str) -> String {
    let evaluator = built("pii-check", json!({ "kinds": kinds, "action": "redact" }));
    match evaluator.check(&[text]) {
        Verdict::Modify { mut texts, .. } => texts.remove(0),
        Verdict::Allow => text.to_owned(),
        verdict @ Verdict::Block { .. } => panic!("{verdict:?}"),
    }
}

#[test]
fn patterns_match_any_all_or_none() {
    let of = |how: &str| {
        built(
            "regex",
            json!({ "patterns": ["cat", "(?i)dog"], "match": how }),
        )
    };
    for (texts, any, all, none) in [
        (&["a cat"][..], Some("patterns.0"), None, None),
        (&["a DOG"], Some("patterns.1"), None, None),
        (
            &["a cat", "and a dog"],
            Some("patterns.0"),
            Some("patterns"),
            None,
        ),
        (&["a bird"], None, None, Some("patterns")),
        (&[""], None, None, Some("patterns")),
    ] {
        assert_eq!(hit(&of("any"), texts).as_deref(), any, "any {texts:?}");
        assert_eq!(hit(&of("all"), texts).as_deref(), all, "all {texts:?}");
        assert_eq!(hit(&of("none"), texts).as_deref(), none, "none {texts:?}");
    }
    assert!(hit(&built("regex", json!({ "patterns": ["cat"] })), &["cat"]).is_some());
}

#[test]
fn a_reason_never_repeats_the_text() {
    for (slug, settings) in [
        ("regex", json!({ "patterns": ["hush.*"] })),
        ("keyword-list", json!({ "words": ["hush"] })),
        ("pii-check", json!({ "kinds": ["email"] })),
        (
            "json-schema",
            json!({ "schema": { "type": "object", "required": ["x"] } }),
        ),
        (
            "json-schema",
            json!({ "schema": { "additionalProperties": false } }),
        ),
        ("length", json!({ "max_chars": 1 })),
    ] {
        for text in ["hush@hush.example", r#"{"hush": "hush@hush.example"}"#] {
            if let Verdict::Block { reason, .. } = built(slug, settings.clone()).check(&[text]) {
                assert!(!reason.contains("hush"), "{slug}: {reason}");
            }
        }
    }
}

#[test]
fn words_are_found_as_words_or_anywhere() {
    let find = |settings: Value, text: &str| hit(&built("keyword-list", settings), &[text]);
    let usual = || json!({ "words": ["foo", "foobar", "C++", "Straße", "two words", "机密"] });
    for (text, found) in [
        ("a Foo, b", Some("words.0")),
        ("foobar", Some("words.1")),
        ("foobarx", None),
        ("xfoo", None),
        ("foo_x", None),
        ("(c++)", Some("words.2")),
        ("c++17", Some("words.2")),
        ("STRASSE", None),
        ("die STRAßE", Some("words.3")),
        ("Two Words!", Some("words.4")),
        ("two  words", None),
        ("这是机密文件", Some("words.5")),
        ("", None),
    ] {
        assert_eq!(find(usual(), text).as_deref(), found, "{text}");
    }
    let inside = json!({ "words": ["foo"], "whole_word": false, "case_sensitive": true });
    assert!(find(inside.clone(), "xfoox").is_some());
    assert!(find(inside, "xFoox").is_none());
    assert!(find(json!({ "words": ["ΟΔΟΣ"] }), "οδος").is_some());
    assert!(find(json!({ "words": [""] }), "anything").is_none());
}

#[test]
fn personal_data_is_told_from_what_only_looks_like_it() {
    let rows = [
        // Addresses.
        (
            "mail me at jo.doe+x@mail.example.com.",
            "mail me at [EMAIL].",
        ),
        ("<jürgen@bücher.example>", "<[EMAIL]>"),
        (
            "a@b, @user, user@, x@localhost, @a.b",
            "a@b, @user, user@, x@localhost, @a.b",
        ),
        ("one@x.example two@y.example", "[EMAIL] [EMAIL]"),
        (
            "mailto:o'neil@x.example?subject=a",
            "mailto:[EMAIL]?subject=a",
        ),
        // Telephone numbers.
        ("call +49 (0)30 1234-5678 now", "call [PHONE] now"),
        ("+14155550123", "[PHONE]"),
        ("0049 30 12345678", "[PHONE]"),
        ("(415) 555-0123 or 415.555.0123", "[PHONE] or [PHONE]"),
        ("1-800-555-0199", "[PHONE]"),
        ("Tel. 030 1234567", "Tel. [PHONE]"),
        ("020 7946 0958", "[PHONE]"),
        ("4155550123", "4155550123"),
        (
            "2024-01-15 10:30, 12.05.2024",
            "2024-01-15 10:30, 12.05.2024",
        ),
        ("0012345678", "0012345678"),
        ("v415-555-0123", "v415-555-0123"),
        // Cards.
        ("4111 1111 1111 1111", "[CREDIT_CARD]"),
        (
            "no 12 4111-1111-1111-1111 exp 12/27",
            "no 12 [CREDIT_CARD] exp 12/27",
        ),
        ("12 4111 1111 1111 1111", "12 [CREDIT_CARD]"),
        ("378282246310005", "[CREDIT_CARD]"),
        ("4111111111111112", "4111111111111112"),
        ("0.4111111111111111", "0.4111111111111111"),
        ("1234567812345670", "1234567812345670"),
        // Account numbers.
        ("DE89 3704 0044 0532 0130 00", "[IBAN]"),
        ("gb82west12345698765432", "[IBAN]"),
        ("DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"),
        ("XDE89370400440532013000", "XDE89370400440532013000"),
        // Network addresses.
        ("from 192.168.0.1:8080.", "from [IP]:8080."),
        ("see 2001:db8::1: it", "see [IP]: it"),
        ("::ffff:10.0.0.1", "[IP]"),
        (
            "1.2.3, 1.2.3.4.5, 256.1.1.1, v1.2.3.4",
            "1.2.3, 1.2.3.4.5, 256.1.1.1, v1.2.3.4",
        ),
        (
            "std::vec a::b 12:30:45 00:1a:2b:3c:4d:5e",
            "std::vec a::b 12:30:45 00:1a:2b:3c:4d:5e",
        ),
        // Social security numbers.
        ("SSN 123-45-6789, 123 45 6789", "SSN [SSN], [SSN]"),
        (
            "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
            "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
        ),
        ("123-45 6789, 123-45-6789-1", "123-45 6789, 123-45-6789-1"),
        // Credentials.
        ("key=sk-proj-abcdefghijklmnopqrst0123", "key=[API_KEY]"),
        ("AKIAIOSFODNN7EXAMPLE", "[API_KEY]"),
        ("vk-lw-01J9Z3NDEKTSV4RRFFQ69G5FAV!", "[API_KEY]!"),
        (
            "task-force, sk-1, disk-abcdefghijklmnopqrstuvwxyz",
            "task-force, sk-1, disk-abcdefghijklmnopqrstuvwxyz",
        ),
    ];
    for (text, wanted) in rows {
        assert_eq!(redacted(&EVERY_KIND, text), wanted, "{text}");
    }
}

#[test]
fn only_the_wanted_kinds_are_looked_for() {
    let text = "jo@x.example 4111111111111111";
    assert_eq!(redacted(&["email"], text), "[EMAIL] 4111111111111111");
    let evaluator = built("pii-check", json!({ "kinds": ["credit_card", "email"] }));
    let Verdict::Block { reason, policies } = evaluator.check(&["-", text]) else {
        panic!("not blocked");
    };
    assert_eq!(reason, "it holds an email address, a payment card number");
    assert_eq!(policies, ["email", "credit_card"]);
}

#[test]
fn a_schema_stands_by_itself_and_is_kept() {
    let person = json!({ "schema": {
        "type": "object", "required": ["age"],
        "properties": { "age": { "type": "integer" } },
    } });
    let evaluator = built("json-schema", person);
    assert_eq!(hit(&evaluator, &[r#"{"age": 3}"#]), None);
    assert_eq!(hit(&evaluator, &[r#"{"age":"#, "3}"]), None);
    assert_eq!(
        hit(&evaluator, &[r#"{"age": "x"}"#]).as_deref(),
        Some("schema")
    );
    assert_eq!(
        evaluator.check(&["not JSON"]),
        Verdict::Block {
            reason: "it is not JSON".to_owned(),
            policies: vec!["schema".to_owned()],
        }
    );
    for schema in [
        json!({ "$ref": "https://example.com/a.json" }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "type": 7 }),
        json!({ "pattern": "(" }),
        json!({ "pattern": "(?=x)y" }),
    ] {
        let compiled = Evaluator::compile("json-schema", &json!({ "schema": schema }));
        assert!(matches!(compiled, Err(CompileError::Schema(_))), "{schema}");
    }
}

#[test]
fn a_schema_that_leads_back_to_itself_ends() {
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "$ref": "#" } } }),
        json!({ "not": { "$ref": "#" } }),
    ] {
        if let Ok(Evaluator::BuiltIn(evaluator)) =
            Evaluator::compile("json-schema", &json!({ "schema": schema }))
        {
            let _any = evaluator.check(&["{}"]);
        }
    }
}

#[test]
fn what_is_forbidden_is_found_in_parts_put_together() {
    for (slug, settings, found) in [
        ("regex", json!({ "patterns": ["sesame"] }), true),
        (
            "regex",
            json!({ "patterns": ["sesame"], "match": "none" }),
            false,
        ),
        ("keyword-list", json!({ "words": ["sesame"] }), true),
        ("pii-check", json!({ "kinds": ["email"] }), true),
        (
            "pii-check",
            json!({ "kinds": ["email"], "action": "redact" }),
            false,
        ),
        ("length", json!({ "max_chars": 1 }), false),
    ] {
        let verdict = built(slug, &settings).check_together(&["open sesame jo@x.example"]);
        assert_eq!(verdict != Verdict::Allow, found, "{slug} {settings}");
    }
}

#[test]
fn length_counts_characters_of_all_texts() {
    let evaluator = built("length", json!({ "min_chars": 2, "max_chars": 4 }));
    assert_eq!(hit(&evaluator, &["ä"]).as_deref(), Some("min_chars"));
    assert_eq!(hit(&evaluator, &["ä", "öü"]), None);
    assert_eq!(
        hit(&evaluator, &["äöü", "xx"]).as_deref(),
        Some("max_chars")
    );
    let open = built("length", json!({ "min_chars": null, "max_chars": 1 }));
    assert_eq!(hit(&open, &[]), None);
}

#[test]
fn a_setting_that_nobody_reads_is_no_evaluator() {
    for (slug, settings) in [
        ("regex", json!({ "patterns": ["a"], "flags": "i" })),
        ("regex", json!({ "patterns": ["("] })),
        ("regex", json!({ "patterns": ["a", "("], "match": "all" })),
        ("pii-check", json!({ "kinds": ["passport"] })),
        ("length", json!({ "max_words": 1 })),
        ("keyword-list", json!({})),
        ("toxicity", json!({})),
    ] {
        assert!(
            Evaluator::compile(slug, &settings).is_err(),
            "{slug} {settings}"
        );
    }
}

#[test]
fn a_callout_is_only_described() {
    let settings = json!({ "url": "https://guard.example.com/x?y=1", "timeout_ms": 90_000 });
    let Ok(Evaluator::HttpCallout(callout)) = Evaluator::compile("http-callout", &settings) else {
        panic!("not a callout");
    };
    assert_eq!(callout.url, "https://guard.example.com/x?y=1");
    assert_eq!(callout.timeout, Duration::from_millis(4_500));
}

/// Long division, digit by digit.
fn remainder_97(account: &str) -> u32 {
    let (head, rest) = account.split_at(4);
    let mut decimal = String::new();
    for letter in rest.chars().chain(head.chars()) {
        decimal.push_str(
            &letter
                .to_digit(36)
                .expect("a digit or a letter")
                .to_string(),
        );
    }
    decimal.chars().fold(0, |sum, digit| {
        (sum * 10 + digit.to_digit(10).expect("a digit")) % 97
    })
}

proptest! {
    #[test]
    fn every_card_with_a_right_check_digit_is_found_and_no_other(
        body in prop::collection::vec(0u8..10, 14),
        check in 0u8..10,
        separator in prop::sample::select(vec!["", " ", "-"]),
    ) {
        let mut digits = vec![4u8];
        digits.extend(body);
        // The naive way: double every second digit from the right, add the digits of what comes out.
        let sum: u32 = digits.iter().rev().enumerate().map(|(place, digit)| {
            let value = u32::from(*digit) * if place % 2 == 0 { 2 } else { 1 };
            value / 10 + value % 10
        }).sum();
        let right = (10 - sum % 10) % 10;
        digits.push(check);
        prop_assert_eq!(super::pii::luhn(&digits), u32::from(check) == right);
        let text: String = digits.iter().map(u8::to_string).collect();
        let groups: Vec<&str> = [0, 4, 8, 12].iter().map(|at| &text[*at..at + 4]).collect();
        let text = format!("card {} end", groups.join(separator));
        let found = redacted(&["credit_card"], &text) != text;
        // A part of it may be a card of 13 digits by itself only when it is in groups of its own: never here.
        prop_assert_eq!(found, u32::from(check) == right);
    }

    #[test]
    fn the_check_of_account_numbers_is_long_division(account in "[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}") {
        prop_assert_eq!(super::pii::mod_97(account.as_bytes()), Some(remainder_97(&account)));
    }

    #[test]
    fn every_account_number_with_right_check_digits_is_found(body in "[0-9]{18}", grouped in any::<bool>()) {
        let check = 98 - remainder_97(&format!("DE00{body}"));
        let account = format!("DE{check:02}{body}");
        let written: String = if grouped {
            account.as_bytes().chunks(4).map(|four| String::from_utf8_lossy(four)).collect::<Vec<_>>().join(" ")
        } else {
            account
        };
        prop_assert_eq!(redacted(&["iban"], &format!("to {written}.")), "to [IBAN].");
    }

    #[test]
    fn what_was_taken_out_once_is_not_found_again(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "jo@x.example", "4111 1111 1111 1111", "123-45-6789", "+49 30 1234567", "10.0.0.1", "::1", "2001:db8::7",
            "DE89370400440532013000", "sk-proj-abcdefghijklmnopqrst0123", "AKIAIOSFODNN7EXAMPLE", "(415) 555-0123",
            " ", "-", ".", ":", "+", "0", "12", "a", "@", "(", ")", "ä", "\u{a0}", "_", ",",
        ]), 0..24),
        kinds in prop::sample::subsequence(EVERY_KIND.to_vec(), 1..=7),
    ) {
        let text = pieces.concat();
        let once = redacted(&kinds, &text);
        prop_assert_eq!(redacted(&kinds, &once), once.clone(), "{}", text);
        let blocks = built("pii-check", json!({ "kinds": kinds }));
        prop_assert_eq!(hit(&blocks, &[&once]), None);
        prop_assert_eq!(hit(&blocks, &[&text]).is_some(), once != text);
    }

    #[test]
    fn any_text_is_safe(text in "\\PC{0,80}", words in prop::collection::vec("\\PC{0,4}", 1..4)) {
        let _ = redacted(&EVERY_KIND, &text);
        let evaluator = built("keyword-list", json!({ "words": words, "whole_word": false, "case_sensitive": true }));
        let holds = words.iter().any(|word| !word.is_empty() && text.contains(word.as_str()));
        prop_assert_eq!(hit(&evaluator, &[&text]).is_some(), holds);
    }
}
