mod random;

use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::*;

const ALL: Wants = Wants {
    tools: true,
    mcp: true,
    urls: true,
};

const SURFACES: [Surface; 9] = [
    Surface::Chat,
    Surface::Responses,
    Surface::Embeddings,
    Surface::Messages,
    Surface::CountTokens,
    Surface::Generate,
    Surface::GeminiCount,
    Surface::GeminiEmbed,
    Surface::GeminiFiles,
];

/// A subject that outlives its walk: kind, value, alias, place.
type Seen = (Kind, String, Option<String>, String);

fn kept(subject: &Subject<'_>) -> Seen {
    let Subject {
        kind,
        value,
        alias,
        place,
    } = subject;
    let alias = alias.map(str::to_owned);
    (*kind, (*value).to_owned(), alias, place.to_string())
}

fn all(surface: Surface, body: &[u8], wants: Wants) -> Result<Vec<Seen>, Unreadable> {
    let mut seen = Vec::new();
    let broke = visit(surface, body, wants, |subject| {
        seen.push(kept(subject));
        ControlFlow::<()>::Continue(())
    })?;
    assert_eq!(broke, None);
    Ok(seen)
}

fn chat(body: &str) -> Vec<Seen> {
    all(Surface::Chat, body.as_bytes(), ALL).expect("a readable body")
}

/// One line for each subject.
fn lines(surface: Surface, body: &str) -> String {
    let seen = all(surface, body.as_bytes(), ALL).expect("a readable body");
    let mut out = String::new();
    for (kind, value, alias, place) in seen {
        let alias = alias.map(|alias| format!(" ({alias})")).unwrap_or_default();
        writeln!(out, "    {kind:?} {value}{alias} at {place}").expect("a string");
    }
    out
}

fn values(body: &str) -> Vec<String> {
    chat(body)
        .into_iter()
        .map(|(_, value, _, _)| value)
        .collect()
}

#[test]
fn every_dialect_shows_its_tools_servers_and_urls() {
    let cases = [
        (
            Surface::Chat,
            r#"{"tools":[{"type":"function","function":{"name":"shell.exec","description":"see http://a.example/x."}},
            {"type":"custom","custom":{"name":"patch"}},{"name":"bare"},{"type":"web_search"}]}"#,
        ),
        (
            Surface::Chat,
            r#"{"functions":[{"name":"old"}],"function_call":{"name":"old"},"web_search_options":{}}"#,
        ),
        (
            Surface::Chat,
            r#"{"search_parameters":{"mode":"on"},"web_search_options":null,"tool_choice":{"type":"function","function":{"name":"other"}}}"#,
        ),
        (
            Surface::Chat,
            r#"{"mcp_servers":["plain",{"name":"n","id":"unread","url":"https://mcp.example/sse"},{"id":"i"}],
            "mcp":{"one":{"url":"https://one.example"}},"mcps":{"name":"alone","tool_configuration":{"enabled":true}}}"#,
        ),
        (
            Surface::Chat,
            r#"{"messages":[{"role":"user","content":"hi"},{"role":"user","content":"see http://b.example/y"},
            {"role":"user","content":[{"type":"image_url","image_url":{"url":"HTTPS://c.example/z.png"}}]}]}"#,
        ),
        (
            Surface::Responses,
            r#"{"tools":[{"type":"function","name":"f"},{"type":"custom","name":"c"},{"type":"web_search_preview"},
            {"type":"code_interpreter","container":{"type":"auto"}},
            {"type":"mcp","server_label":"wiki","server_url":"https://wiki.example/mcp","allowed_tools":["ask"]},
            {"type":"mcp","server_label":"mail","connector_id":"connector_gmail"},
            {"type":"namespace","name":"crm","tools":[{"type":"function","name":"inner"}]}],
            "input":[{"type":"tool_search_output","tools":[{"type":"function","name":"late"}]}]}"#,
        ),
        (
            Surface::Messages,
            r#"{"tools":[{"name":"get","input_schema":{"type":"object"}},{"type":"custom","name":"own"},
            {"type":"web_search_20250305","name":"web_search"},{"name":"bash","type":"bash_20250124"},
            {"type":"text_editor_20250728","name":"str_replace_based_edit_tool"},
            {"type":"mcp_toolset","mcp_server_name":"m"}],
            "mcp_servers":[{"type":"url","url":"https://m.example/sse","name":"m"}]}"#,
        ),
        (
            Surface::Generate,
            r#"{"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]},{"function_declarations":{"name":"c"}},
            {"googleSearch":{}},{"code_execution":{}},{"urlContext":null},{"somethingNew":{}},
            {"mcpServers":[{"name":"s","streamableHttpTransport":{"url":"https://s.example/mcp"}}]}]}"#,
        ),
        (
            Surface::Generate,
            r#"{"tools":{"functionDeclarations":[{"name":"single"}]},"contents":{"parts":{"text":"http://d.example/"}}}"#,
        ),
        (
            Surface::GeminiCount,
            r#"{"generateContentRequest":{"tools":[{"functionDeclarations":[{"name":"counted"}]}]}}"#,
        ),
        (
            Surface::Chat,
            r#"{"tools":[{"functionDeclarations":[{"name":"g"}]},{"google_search":{}},{"unknown":{}},"word",[{"name":"deep"}]]}"#,
        ),
    ];
    let mut table = String::new();
    for (surface, body) in cases {
        let shown: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(table, "{surface:?} {shown}\n{}", lines(surface, body)).expect("a string");
    }
    insta::assert_snapshot!("dialects", table);
}

#[test]
fn a_tool_in_any_shape_is_found_on_every_surface() {
    for (tool, place) in [
        (
            r#"{"type":"function","function":{"name":"shell.exec"}}"#,
            "tools[0].function.name",
        ),
        (r#"{"name":"shell.exec"}"#, "tools[0].name"),
        (
            r#"{"type":"custom","custom":{"name":"shell.exec"}}"#,
            "tools[0].custom.name",
        ),
        (r#"{"type":"shell.exec"}"#, "tools[0].type"),
        (
            r#"{"functionDeclarations":[{"x":1},{"name":"shell.exec"}]}"#,
            "tools[0].functionDeclarations[1].name",
        ),
        (
            r#"{"function_declarations":[{"name":"shell.exec"}]}"#,
            "tools[0].function_declarations[0].name",
        ),
        (r#""shell.exec""#, "tools[0]"),
    ] {
        let body = format!(r#"{{"model":"m","tools":[{tool}]}}"#);
        for surface in SURFACES {
            let found = all(surface, body.as_bytes(), ALL).expect("a readable body");
            let one = (Kind::Tool, "shell.exec".to_owned(), None, place.to_owned());
            assert_eq!(found, [one], "{surface:?} {body}");
        }
    }
}

#[test]
fn members_are_known_by_every_spelling_that_some_reader_takes() {
    for body in [
        r#"{"to\u006fls":[{"n\u0061me":"f"}]}"#,
        r#"{"Tools":[{"NAME":"f"}]}"#,
        "{\"tool\u{17f}\":[{\"name\":\"f\"}]}",
        r#"{"tool\u017f":[{"name":"f"}]}"#,
        r#"{"tools":[{"fun_ction":{"name":"f"}}]}"#,
        r#"{"FUNCTIONS":[{"name":"f"}]}"#,
        r#"{"tools":[{"FunctionDeclarations":[{"Name":"f"}]}]}"#,
        r#"{"mcpServers":["f"]}"#,
        r#"{"MCP":{"id":"f"}}"#,
    ] {
        assert_eq!(values(body), ["f"], "{body}");
    }
}

#[test]
fn whatever_stands_twice_is_judged_twice() {
    assert_eq!(
        values(
            r#"{"tools":[{"name":"a","name":"b","function":{"name":"c","name":"d"}}],"tools":[{"name":"e"}]}"#
        ),
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(
        values(r#"{"tools":[{"type":"x","type":"function","type":"y"}]}"#),
        ["x", "y"]
    );
    assert_eq!(
        values(
            r#"{"mcp":[{"id":"a","id":"b"},{"name":"c","id":"unread","name":"d","url":"u","url":"v"}]}"#
        ),
        ["a", "b", "c", "d", "u", "v"]
    );
}

#[test]
fn a_dated_type_and_a_name_are_one_tool_only_where_they_agree() {
    let aliases = |tool: &str| -> Vec<(String, Option<String>)> {
        let seen = chat(&format!(r#"{{"tools":[{tool}]}}"#));
        seen.into_iter()
            .map(|(_, value, alias, _)| (value, alias))
            .collect()
    };
    let alone = |value: &str| (value.to_owned(), None);
    assert_eq!(
        aliases(r#"{"type":"web_search_20250305","name":"web_search"}"#),
        [
            alone("web_search"),
            (
                "web_search_20250305".to_owned(),
                Some("web_search".to_owned())
            )
        ]
    );
    for tool in [
        r#"{"type":"code_interpreter","name":"get_weather"}"#,
        r#"{"type":"bash_20250124","name":"get_weather"}"#,
        r#"{"type":"web_search_preview","name":"web_search"}"#,
        r#"{"type":"web_search_","name":"web_search"}"#,
        r#"{"type":"web_search_2025","name":"web_search","name":"web_search"}"#,
    ] {
        assert!(
            aliases(tool).iter().all(|(_, alias)| alias.is_none()),
            "{tool}"
        );
    }
}

#[test]
fn urls_are_seen_through_every_disguise() {
    for (text, expected) in [
        (r"http:\/\/evil.example\/x", vec!["http://evil.example/x"]),
        (r"\u0068ttp://evil.example", vec!["http://evil.example"]),
        (
            r"http\u003a\u002f\u002Fevil.example",
            vec!["http://evil.example"],
        ),
        ("hTTpS://evil.example", vec!["hTTpS://evil.example"]),
        ("xhttp://evil.example", vec!["http://evil.example"]),
        (
            r"a\nhttp://one.example\nhttp://two.example\tb",
            vec!["http://one.example", "http://two.example"],
        ),
        (
            r#"<a href=\"http://evil.example\">"#,
            vec!["http://evil.example"],
        ),
        ("see (http://evil.example).", vec!["http://evil.example"]),
        (r"http://evil.example/\\", vec!["http://evil.example/"]),
        ("http://evil.example/%68", vec!["http://evil.example/%68"]),
        (
            r#"{\"u\":\"https:\\/\\/evil.example\\/x\"}"#,
            vec!["https://evil.example/x"],
        ),
        (
            r#"{\"u\":\"https:\\\\\\/\\\\\\/evil.example\"}"#,
            vec!["https://evil.example"],
        ),
        (
            "https://a.example/,http://evil.example",
            vec![
                "https://a.example/,http://evil.example",
                "https://a.example/",
                "http://evil.example",
            ],
        ),
        (
            "[http://a.example](http://evil.example)",
            vec![
                "http://a.example](http://evil.example",
                "http://a.example](",
                "http://evil.example",
            ],
        ),
        (
            "http://http://evil.example",
            vec!["http://http://evil.example", "http://evil.example"],
        ),
        ("http://a", vec![]),
        ("https://", vec![]),
        (
            "http:/evil.example ftp://evil.example httpx://evil.example ://",
            vec![],
        ),
        (r"http://\ud83d\ude00.example", vec!["http://😀.example"]),
        (
            r"\ud83d half an emoji, and http://fine.example",
            vec!["http://fine.example"],
        ),
    ] {
        let body = format!(r#"{{"a":[0,"{text}"]}}"#);
        let expected: Vec<Seen> = expected
            .into_iter()
            .map(|url| (Kind::Url, url.to_owned(), None, "a[1]".to_owned()))
            .collect();
        for surface in SURFACES {
            assert_eq!(
                all(surface, body.as_bytes(), ALL),
                Ok(expected.clone()),
                "{body}"
            );
        }
    }
}

#[test]
fn keys_are_searched_and_a_repeated_url_keeps_its_first_place() {
    let body = r#"{"a":{"http://k.example/":"http://v.example/"},"b":"http:\/\/v.example\/ http://k.example/"}"#;
    let seen: Vec<(String, String)> = chat(body)
        .into_iter()
        .map(|(_, value, _, place)| (value, place))
        .collect();
    let expected = [
        ("http://k.example/", r#"a["http://k.example/"]"#),
        ("http://v.example/", r#"a["http://k.example/"]"#),
    ];
    assert_eq!(
        seen,
        expected.map(|(value, place)| (value.to_owned(), place.to_owned()))
    );
}

#[test]
fn only_a_cache_marker_is_passed_over() {
    let marker =
        r#""cache_control":{"type":"ephemeral","http://evil.example":["http://evil.example"]}"#;
    for unread in [
        format!(r"{{{marker}}}"),
        format!(r#"{{"system":[{{{marker}}}],"tools":[{{{marker}}}]}}"#),
        format!(r#"{{"messages":[{{"content":[{{"content":[{{{marker}}}]}}]}}]}}"#),
    ] {
        assert_eq!(values(&unread), Vec::<String>::new(), "{unread}");
    }
    for read in [
        format!(r#"{{"tools":[{{"input_schema":{{"properties":{{{marker}}}}}}}]}}"#),
        format!(r#"{{"messages":[{{"content":[{{"input":{{{marker}}}}}]}}]}}"#),
        format!(r#"{{"messages":[{{"function":{{{marker}}}}}]}}"#),
        r#"{"cache_control":"http://evil.example"}"#.to_owned(),
        r#"{"Cache_Control":{"a":"http://evil.example"}}"#.to_owned(),
    ] {
        assert_eq!(values(&read), ["http://evil.example"], "{read}");
    }
}

#[test]
fn what_no_strict_reader_takes_is_no_way_around() {
    let deep = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(
        all(Surface::Chat, deep(127).as_bytes(), ALL),
        Ok(Vec::new())
    );
    let nested = format!("{}1{}", r#"{"a":"#.repeat(128), "}".repeat(128));
    assert_eq!(all(Surface::Chat, nested.as_bytes(), ALL), Ok(Vec::new()));
    for (body, why) in [
        (deep(128).into_bytes(), Unreadable::TooDeep),
        (b"[{}]".to_vec(), Unreadable::NotAnObject),
        (b"7".to_vec(), Unreadable::NotAnObject),
        (b" ".to_vec(), Unreadable::NotJson { at: 1 }),
        (b"{} x".to_vec(), Unreadable::NotJson { at: 3 }),
        (b"{}{}".to_vec(), Unreadable::NotJson { at: 2 }),
        (b"\xef\xbb\xbf{}".to_vec(), Unreadable::NotJson { at: 0 }),
        (b"{\"a\":\"\xff\"}".to_vec(), Unreadable::NotJson { at: 6 }),
        (b"{\0}".to_vec(), Unreadable::NotJson { at: 1 }),
        (br#"{"a":1,}"#.to_vec(), Unreadable::NotJson { at: 7 }),
        (br#"{"a":[1,]}"#.to_vec(), Unreadable::NotJson { at: 8 }),
        (br"{'a':1}".to_vec(), Unreadable::NotJson { at: 1 }),
        (br#"{"a":NaN}"#.to_vec(), Unreadable::NotJson { at: 5 }),
        (br#"{"a":01}"#.to_vec(), Unreadable::NotJson { at: 6 }),
        (b"{\"a\":\"\n\"}".to_vec(), Unreadable::NotJson { at: 6 }),
        (br#"{"a":"\x41"}"#.to_vec(), Unreadable::NotJson { at: 6 }),
        (br#"{"a":/**/1}"#.to_vec(), Unreadable::NotJson { at: 5 }),
        (
            br#"{"tools":[{"name":"a\ud800"}]}"#.to_vec(),
            Unreadable::HalfCharacter,
        ),
        (
            br#"{"tools":[{"type":"\udc00a"}]}"#.to_vec(),
            Unreadable::HalfCharacter,
        ),
        (
            br#"{"mcp":["\ud800\u0041"]}"#.to_vec(),
            Unreadable::HalfCharacter,
        ),
        (
            br#"{"a":"http://ev\ud800il.example"}"#.to_vec(),
            Unreadable::HalfCharacter,
        ),
    ] {
        let shown = String::from_utf8_lossy(&body).into_owned();
        for surface in SURFACES {
            assert_eq!(all(surface, &body, ALL), Err(why), "{shown}");
        }
    }
    assert_eq!(all(Surface::GeminiFiles, b"", ALL), Ok(Vec::new()));
}

#[test]
fn only_what_is_wanted_is_handed_out_and_a_break_ends_the_walk() {
    let body = br#"{"tools":[{"name":"t"},{"type":"mcp","server_label":"m"}],"x":"http://u.example","tools":"no\ud800"}"#;
    let kinds = |wants| -> Result<Vec<Kind>, Unreadable> {
        let seen = all(Surface::Chat, body, wants)?;
        Ok(seen.into_iter().map(|(kind, _, _, _)| kind).collect())
    };
    let mut wants = Wants::default();
    assert_eq!(kinds(wants), Ok(vec![]));
    wants.mcp = true;
    assert_eq!(kinds(wants), Ok(vec![Kind::Mcp]));
    wants.urls = true;
    assert_eq!(kinds(wants), Ok(vec![Kind::Mcp, Kind::Url]));
    wants.tools = true;
    assert_eq!(kinds(wants), Err(Unreadable::HalfCharacter));
    let first = visit(Surface::Chat, body, wants, |subject| {
        ControlFlow::Break(kept(subject))
    });
    let expected = (Kind::Tool, "t".to_owned(), None, "tools[0].name".to_owned());
    assert_eq!(first, Ok(Some(expected)));
}

/// What would take hours if anything in it were looked at again and again.
#[test]
fn a_hostile_body_takes_no_more_time_than_its_length_is_worth() {
    let text = |text: &str, times: usize| format!(r#"{{"a":"{}"}}"#, text.repeat(times));
    let tool = |member: &str| format!(r#"{{"tools":[{{{}"x":1}}]}}"#, member.repeat(100_000));
    let nested = format!(r#"{{"a":"http:\\/\\/{}"}}"#, r"x\\/".repeat(300_000));
    for (body, expected) in [
        (text("http://x.example/", 50_000), 2),
        (text("http://", 300_000), 1),
        (text(r"http:\\\\\\", 200_000), 0),
        (text(r"\ud800", 300_000), 0),
        (nested, 1),
        (tool(r#""type":"a_1","name":"a","#), 200_000),
        (tool(r#""mcp_servers":{"id":"a"},"#), 100_000),
    ] {
        let found = all(Surface::Chat, body.as_bytes(), ALL).expect("a readable body");
        assert_eq!(found.len(), expected, "{}", &body[..60]);
    }
}

#[test]
fn a_text_part_shows_its_urls_under_its_own_name() {
    let seen = visit_text("prompt", "say \"http://a.example/\" aloud", |subject| {
        ControlFlow::Break(kept(subject))
    });
    let expected = (
        Kind::Url,
        "http://a.example/".to_owned(),
        None,
        "prompt".to_owned(),
    );
    assert_eq!(seen, Some(expected));
    let broke = visit_text("prompt", "nothing", |_| ControlFlow::Break(()));
    assert_eq!(broke, None);
}

#[test]
fn a_place_is_short_whatever_the_caller_named_his_members() {
    let long = "k".repeat(300);
    let body = format!(r#"{{"a b":{{"":{{"{long}":"http://u.example"}}}}}}"#);
    let seen = chat(&body);
    assert_eq!(seen[0].3, r#"["a b"][""]…"#);
    let body = format!(
        r#"{}"http://u.example"{}"#,
        r#"{"abcdefgh":"#.repeat(60),
        "}".repeat(60)
    );
    let place = &chat(&body)[0].3;
    assert!(
        place.len() <= LONGEST_PLACE + 3 && place.ends_with('…'),
        "{place}"
    );
}
