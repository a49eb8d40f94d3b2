//! What RE2 patterns match, what is refused and with which words, and laws for random texts.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[test]
fn patterns_match_what_they_match_in_re2() {
    for (pattern, value, matches) in [
        // No anchoring is implied.
        ("shell", "my_shell_tool", true),
        (r"^shell\.exec$", "shell.exec", true),
        (r"^shell\.exec$", "xshell.exec", false),
        ("", "anything", true),
        // Perl classes and boundaries are ASCII.
        (r"^\d$", "7", true),
        (r"^\d$", "٧", false),
        (r"^\w+$", "naïve", false),
        (r"^[\w-]+$", "a-b_9", true),
        (r"^\W$", "é", true),
        (r"^[^\W]$", "é", false),
        (r"^[^\W\d]$", "x", true),
        (r"^[^\W\d]$", "7", false),
        (r"\s", "\u{a0}", false),
        (r"\s", "\u{b}", false),
        (r"\s", "\t", true),
        (r"caf\b", "café", true),
        (r"caf\B", "café", false),
        (r"\Bexec\B", "xexecx", true),
        // Everything else is Unicode.
        (r"^.$", "é", true),
        ("(?i)É", "é", true),
        (r"^\p{Greek}+$", "λόγος", true),
        (r"^\pL$", "é", true),
        (r"^\p{^L}$", "7", true),
        (r"^\P{^L}$", "7", false),
        (r"^[\p{Lu}\d]+$", "A7", true),
        // Quotes, octal and hexadecimal escapes, and braces that count nothing.
        (r"^\Qa.b*(\E+$", "a.b*((", true),
        (r"\Qa.b", "axb", false),
        (r"^\101\x42\x{43}$", "ABC", true),
        (r"^\0$", "\0", true),
        ("^a{2,3}$", "aaa", true),
        ("^a{,3}$", "a{,3}", true),
        ("^{x}$", "{x}", true),
        (r"\<a\>\_\ ", "<a>_ ", true),
        ("a]}", "a]}", true),
        // Classes hold no classes but those of POSIX.
        ("^[[a]$", "[", true),
        ("^[]a]+$", "]a", true),
        ("^[^]a]+$", "]", false),
        ("^[a&&b]+$", "&ab", true),
        ("^[+--]+$", "+,-", true),
        ("^[a~~b]+$", "~", true),
        ("^[a-]+$", "a-", true),
        ("^[-a]+$", "a-", true),
        ("^[[:alpha:]_]+$", "ab_", true),
        ("^[[:^alpha:]]+$", "12", true),
        ("^[[:]+$", "[:", true),
        (r"^[\]\-\\]+$", r"]-\", true),
        // Groups and flags.
        ("(?i)SHELL", "shell", true),
        ("(?i:S)hell", "shell", true),
        ("(?P<a>x)(?<b>y)", "xy", true),
        ("(?s)^a.b$", "a\nb", true),
        ("^a.b$", "a\nb", false),
        ("(?m)^b$", "a\nb", true),
        ("^b$", "a\nb", false),
        ("(?ii-s)A", "a", true),
        ("(?U)a+?b", "aab", true),
        (r"\Aa\z", "a", true),
        ("a||b", "", true),
        // The longest repetition of any character fits.
        ("^.{0,1000}$", "aé", true),
        (r"^[^\s]{1000}$", "a", false),
    ] {
        let compiled = Pattern::new(pattern).expect(pattern);
        assert_eq!(compiled.is_match(value), matches, "{pattern} {value:?}");
        assert_eq!(compiled.as_str(), pattern);
    }
}

#[test]
fn what_is_not_re2_is_refused_with_its_place_and_a_reason() {
    let mut out = String::new();
    for pattern in [
        "[",
        "[a",
        "[^",
        "[z-a]",
        r"[a-\d]",
        "[[:vowel:]]",
        r"[\Qa\E]",
        "(",
        "a(b",
        "a)",
        "*a",
        "a|*",
        "(+)",
        "(?i)*",
        "a**",
        "a{2}{3}",
        "a*+",
        "a{1001}",
        "a{3,2}",
        r"\",
        r"\y",
        r"\u0041",
        r"\Z",
        r"\E",
        r"\xZ1",
        r"\x{110000}",
        r"\p",
        r"\p{",
        r"\p{Klingon}",
        r"x[\pL\p{Nope}]",
        r"\p{scx=Greek}",
        "a(?=b)",
        "a(?!b)",
        "(?<=a)b",
        "(?<!a)b",
        r"(a)\1",
        r"\9",
        "(?P<n>a)(?P=n)",
        r"\k<n>",
        "(?>a)",
        "(?#x)",
        "(?x)a b",
        "(?-u)a",
        "(?)",
        "(?i-)a",
        "(?P<a b>x)",
        "(?P<a>x)(?<a>y)",
        r"(\pL{1000}){1000}",
    ] {
        let error = check(pattern).expect_err(pattern);
        writeln!(out, "{pattern}\n    {error}").expect("a text");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_list_names_its_first_pattern_that_matches() {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let list = PatternList::new(owned(&["^b", "a", r"\Qa.\E"])).expect("a list");
    for (value, found) in [("a.", Some("a")), ("ba", Some("^b")), ("c", None)] {
        assert_eq!(list.first_match(value), found, "{value}");
    }
    assert_eq!(PatternList::default().first_match("a"), None);
    assert_eq!(
        PatternList::new(owned(&["a", "b("]))
            .expect_err("a broken one")
            .to_string(),
        "pattern 1 opens a group and does not close it (at byte 1)"
    );
}

#[test]
fn many_small_patterns_do_not_add_up_to_a_large_list() {
    let heavy = (0..40)
        .map(|n| format!("{n}[^x]{{900}}"))
        .collect::<Vec<_>>();
    assert_eq!(check(&heavy[0]), Ok(()));
    assert_eq!(
        PatternList::new(heavy).expect_err("too much"),
        ListError::TooMuch
    );
}

/// Pieces that RE2 and the engine read alike, and values to try them on.
fn common_piece() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a", "b", "ab", "[ab]", "[^a]", "a*", "b+?", "(a|b)", "(?:ab)?", "a{1,2}", ".", "(?i:A)",
        "^", "$", "|", r"\.", "[a-c]", "[0-9]",
    ];
    vec(select(pieces), 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_text_is_compiled_or_refused_inside_of_itself(
        text in r"[\[\]\\(){}*+?|^$.\-:,=!<>&~PpQEdwsbxkiU0-9a-cé ]{0,16}"
    ) {
        match Pattern::new(&text) {
            Ok(pattern) => prop_assert_eq!(pattern.as_str(), &text),
            Err(error) => {
                prop_assert!(error.offset <= text.len());
                prop_assert!(text.is_char_boundary(error.offset));
                // Only the translation refuses such texts: the engine was handed what it understands.
                prop_assert!(
                    !error.message.starts_with("is refused"),
                    "{}: {}", text, error
                );
            }
        }
    }

    #[test]
    fn a_quoted_text_matches_exactly_itself(
        quoted in any::<String>(),
        other in any::<String>(),
    ) {
        prop_assume!(!quoted.contains("\\E") && !quoted.ends_with('\\'));
        let pattern = Pattern::new(&format!("^\\Q{quoted}\\E$")).expect("a quoted text");
        prop_assert!(pattern.is_match(&quoted));
        prop_assert_eq!(pattern.is_match(&other), quoted == other);
    }

    #[test]
    fn a_class_of_two_characters_holds_exactly_them(
        one in any::<char>(),
        two in any::<char>(),
        tried in any::<char>(),
    ) {
        let text = format!(r"^[\x{{{:x}}}\x{{{:x}}}]$", u32::from(one), u32::from(two));
        let pattern = Pattern::new(&text).expect("a class");
        for c in [one, two, tried] {
            prop_assert_eq!(pattern.is_match(&c.to_string()), c == one || c == two);
        }
    }

    #[test]
    fn what_both_languages_share_is_not_changed(
        pattern in common_piece(),
        value in "[abcA0.\n]{0,8}",
    ) {
        let ours = Pattern::new(&pattern).map(|compiled| compiled.is_match(&value));
        let theirs = Regex::new(&pattern).map(|compiled| compiled.is_match(&value));
        prop_assert_eq!(ours.ok(), theirs.ok());
        let list = PatternList::new(vec![pattern.clone()]);
        let listed = list.map(|list| list.first_match(&value).is_some());
        prop_assert_eq!(listed.ok(), Pattern::new(&pattern).ok().map(|one| one.is_match(&value)));
    }
}
