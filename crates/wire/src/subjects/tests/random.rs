//! Random bodies, held against a slow reader that builds a tree.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use super::super::scan::{Next, Scan};
use super::super::*;
use super::{ALL, SURFACES, Seen, all, chat};

/// The text that `value` writes, with every choice that JSON leaves open taken by `chance`.
fn write(value: &Value, chance: &mut impl Iterator<Item = u8>, out: &mut String) {
    let mut next = || chance.next().unwrap_or_default();
    let blank =
        |byte: u8, out: &mut String| out.push_str([" ", "", "\n", "\t\r "][usize::from(byte % 4)]);
    blank(next(), out);
    match value {
        Value::String(text) => string(text, &mut next, out),
        Value::Array(list) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, chance, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, member)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(key, &mut || chance.next().unwrap_or_default(), out);
                blank(chance.next().unwrap_or_default(), out);
                out.push(':');
                write(member, chance, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
    blank(chance.next().unwrap_or_default(), out);
}

fn string(text: &str, next: &mut impl FnMut() -> u8, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match (next() % 3, letter) {
            (0, '/') => out.push_str("\\/"),
            (1, _) | (_, '"' | '\\' | '\0'..='\u{1f}') => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}").expect("a string");
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// What stands in a tree, found the slow way. It knows only plain spellings.
fn oracle(tree: &Value) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut add = |kind, value: &Value, place: String| {
        if let Some(text) = value.as_str() {
            seen.push((kind, text.to_owned(), None, place));
        }
    };
    for list in ["tools", "functions"] {
        for (n, tool) in tree[list].as_array().into_iter().flatten().enumerate() {
            add(Kind::Tool, &tool["name"], format!("{list}[{n}].name"));
            add(
                Kind::Tool,
                &tool["function"]["name"],
                format!("{list}[{n}].function.name"),
            );
            if tool["type"] != "function" && tool["type"] != "mcp" {
                add(Kind::Tool, &tool["type"], format!("{list}[{n}].type"));
            }
            for (m, declared) in tool["functionDeclarations"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                add(
                    Kind::Tool,
                    &declared["name"],
                    format!("{list}[{n}].functionDeclarations[{m}].name"),
                );
            }
            for key in ["server_label", "server_url"] {
                add(Kind::Mcp, &tool[key], format!("{list}[{n}].{key}"));
            }
        }
    }
    for list in ["mcp_servers", "mcps"] {
        for (n, server) in tree[list].as_array().into_iter().flatten().enumerate() {
            add(Kind::Mcp, server, format!("{list}[{n}]"));
            let key = if server["name"].is_string() {
                "name"
            } else {
                "id"
            };
            add(Kind::Mcp, &server[key], format!("{list}[{n}].{key}"));
            add(Kind::Mcp, &server["url"], format!("{list}[{n}].url"));
        }
    }
    let mut places = Vec::new();
    texts(tree, "", &mut places);
    let mut known = std::collections::BTreeSet::new();
    for (text, place) in places {
        for url in plain_urls(&text) {
            if known.insert(url.clone()) {
                seen.push((Kind::Url, url, None, place.clone()));
            }
        }
    }
    seen.sort();
    seen
}

fn texts(value: &Value, place: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => out.push((text.clone(), place.to_owned())),
        Value::Array(list) => {
            for (n, element) in list.iter().enumerate() {
                texts(element, &format!("{place}[{n}]"), out);
            }
        }
        Value::Object(map) => {
            for (key, member) in map {
                let place = if place.is_empty() {
                    key.clone()
                } else {
                    format!("{place}.{key}")
                };
                texts(member, &place, out);
            }
        }
        _ => {}
    }
}

/// The URLs of a text without backslashes, by the words of the specification; its parts after the whole.
fn plain_urls(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for token in text.split([' ', '\t', '\n', '\r', '"', '\'', '<', '>']) {
        let lower = token.to_ascii_lowercase();
        let mut starts: Vec<usize> = ["http://", "https://"]
            .iter()
            .flat_map(|scheme| lower.match_indices(scheme).map(|(at, _)| at))
            .collect();
        starts.sort_unstable();
        let mut parts: Vec<&str> = Vec::new();
        if let [first, _, ..] = starts[..] {
            parts.push(&token[first..]);
        }
        let ends = starts.iter().skip(1).copied().chain([token.len()]);
        parts.extend(
            starts
                .iter()
                .zip(ends)
                .map(|(start, end)| &token[*start..end]),
        );
        let trimmed = parts
            .iter()
            .map(|part| part.trim_end_matches(|end| ",.;:)]}".contains(end)));
        out.extend(trimmed.filter(|url| url.len() > 8).map(str::to_owned));
    }
    out
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-f]{0,3}",
        "(function|mcp|web_search)",
        "(see |\"|x,)?([hH]ttps?://)(a\\.example/?|é😀)(,|\\)|>|\\.|\n)?(https?://[bc]{0,9})?.?[^\\\\]?",
        "[^\\\\]{0,6}",
    ]
    .prop_map(|text: String| text.replace('\\', ""))
}

fn object(
    keys: &'static [&'static str],
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Value> {
    prop::collection::btree_map(prop::sample::select(keys), value, 0..4)
        .prop_map(|map| {
            Value::Object(
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            )
        })
        .boxed()
}

fn body() -> impl Strategy<Value = Value> {
    let scalar = || {
        prop_oneof![
            6 => text().prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => Just(Value::Null),
            1 => any::<bool>().prop_map(Value::from),
        ]
    };
    let named = object(&["name", "description", "x"], scalar());
    let declared =
        prop::collection::vec(object(&["name", "x"], scalar()), 0..3).prop_map(Value::from);
    let tool = (
        object(
            &["name", "type", "server_label", "server_url", "description"],
            scalar(),
        ),
        prop::option::of(named),
        prop::option::of(declared),
    )
        .prop_map(|(mut tool, function, declared)| {
            if let Some(function) = function {
                tool["function"] = function;
            }
            if let Some(declared) = declared {
                tool["functionDeclarations"] = declared;
            }
            tool
        })
        .boxed();
    let server = prop_oneof![scalar(), object(&["name", "id", "url", "x"], scalar())].boxed();
    let list = |what: BoxedStrategy<Value>| prop::collection::vec(what, 0..4).prop_map(Value::from);
    (
        prop::option::of(list(tool.clone())),
        prop::option::of(list(tool)),
        prop::option::of(list(server.clone())),
        prop::option::of(list(server)),
        list(object(&["role", "content", "tools", "url"], scalar())),
    )
        .prop_map(|(tools, functions, servers, others, messages)| {
            let members = [
                ("tools", tools),
                ("functions", functions),
                ("mcp_servers", servers),
                ("mcps", others),
                ("messages", Some(messages)),
            ];
            let members = members
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)));
            Value::Object(members.collect())
        })
}

/// A read of a whole JSON text that only says whether it is one.
fn is_json(text: &str) -> Result<(), Unreadable> {
    fn value(scan: &mut Scan<'_>) -> Result<(), Unreadable> {
        let mut first = true;
        match scan.next()? {
            Next::Object => {
                while scan.member(first)?.is_some() {
                    first = false;
                    value(scan)?;
                }
            }
            Next::Array => {
                while scan.element(first)? {
                    first = false;
                    value(scan)?;
                }
            }
            Next::Text(_) | Next::Scalar | Next::Null => {}
        }
        Ok(())
    }
    let mut scan = Scan::new(text);
    value(&mut scan)?;
    scan.end()
}

proptest! {
    #[test]
    fn however_a_body_is_written_the_same_is_found(tree in body(), chance in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut text = String::new();
        write(&tree, &mut chance.into_iter().cycle(), &mut text);
        let read = serde_json::from_str::<Value>(&text).ok();
        prop_assert_eq!(read.as_ref(), Some(&tree));
        let mut seen = chat(&text);
        seen.sort();
        // The members of `tree` are sorted, so that the first place of a URL is the same.
        prop_assert_eq!(seen, oracle(&tree));
    }

    #[test]
    fn a_member_that_stands_twice_hides_nothing(first in body(), second in body()) {
        let (one, two) = (first.to_string(), second.to_string());
        let both = format!("{{{},{}}}", &one[1..one.len() - 1], &two[1..two.len() - 1]);
        let places = |seen: Vec<Seen>| -> std::collections::BTreeSet<Seen> {
            seen.into_iter().filter(|(kind, ..)| *kind != Kind::Url).collect()
        };
        let expected = oracle(&first).into_iter().chain(oracle(&second)).collect();
        prop_assert_eq!(places(chat(&both)), places(expected));
    }

    #[test]
    fn the_same_texts_are_json_as_for_a_strict_reader(text in "[\\[\\]{},: \n\"\\\\u0d8aefnlrtsb1\\-+.E\u{1}é]{0,14}") {
        let strict = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(is_json(&text).is_ok(), strict, "{}", text);
    }

    #[test]
    fn strings_are_decoded_as_a_strict_reader_decodes_them(raw in "([a-z é😀/]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud[89ab][0-9a-f]{2}\\\\ud[c-f][0-9a-f]{2}){0,6}") {
        let json = format!("\"{raw}\"");
        let Ok(Next::Text(text)) = Scan::new(&json).next() else {
            return Err(TestCaseError::fail("no text"));
        };
        let (mine, whole) = text.decode();
        let theirs = serde_json::from_str::<String>(&json);
        prop_assert_eq!(whole, theirs.is_ok(), "{}", json);
        if let Ok(theirs) = theirs {
            prop_assert_eq!(mine.as_ref(), theirs);
        }
    }

    #[test]
    fn bytes_of_strangers_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..60), surface in 0..9_usize) {
        let _ = all(SURFACES[surface], &body, ALL);
    }
}
