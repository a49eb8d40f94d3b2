//! What is kept of bodies that are too large.

use super::*;

fn cut_messages(form: BodyForm, body: &str, limit: usize) -> (Value, bool) {
    let cut = cut(form, body.as_bytes(), limit);
    assert_eq!(cut.form, BodyForm::Messages);
    assert!(cut.bytes.len() <= limit, "{} > {limit}", cut.bytes.len());
    (serde_json::from_slice(&cut.bytes).unwrap(), cut.truncated)
}

#[test]
fn a_body_that_fits_is_kept_as_it_is() {
    let body = chat_request().to_string();
    let kept = cut(BodyForm::ChatJson, body.as_bytes(), body.len());
    assert_eq!(
        kept,
        Cut {
            bytes: body.into_bytes(),
            form: BodyForm::ChatJson,
            truncated: false
        }
    );
}

#[test]
fn the_middle_goes_and_the_system_message_and_the_newest_turns_stay() {
    let turn = |n: usize| json!({"role": if n.is_multiple_of(2) { "user" } else { "assistant" }, "content": format!("turn {n} {}", "é".repeat(200))});
    let turns: Vec<_> = (0..100).map(turn).collect();
    let mut chat = vec![json!({"role": "system", "content": "Be brief."})];
    chat.extend(turns.clone());
    let bodies = [
        (BodyForm::ChatJson, json!({"messages": chat})),
        (
            BodyForm::MessagesJson,
            json!({"system": "Be brief.", "messages": turns}),
        ),
        (BodyForm::Messages, json!(chat)),
        (
            BodyForm::ResponsesJson,
            json!({"instructions": "Be brief.", "input": turns}),
        ),
    ];
    for (form, body) in bodies {
        let (messages, truncated) = cut_messages(form, &body.to_string(), 4096);
        let list = messages.as_array().unwrap();
        assert!(truncated);
        assert_eq!(list[0], json!({"role": "system", "content": "Be brief."}));
        assert_eq!(list[1]["role"], "left_out");
        assert_eq!(list.last(), turns.last());
        assert_eq!(list[list.len() - 2], turns[98]);
        let said = list
            .iter()
            .filter(|m| m["role"] == "user" || m["role"] == "assistant")
            .count();
        assert_eq!(list[1]["left_out"], 100 - said, "{form:?}");
        assert!(said >= 6, "{said}");
    }
}

#[test]
fn media_and_tool_definitions_cost_no_message() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64(50_000)}});
    let turns: Vec<_> = (0..20).map(|n| json!({"role": "user", "content": [{"type": "text", "text": format!("shot {n}")}, image]})).collect();
    let body = json!({"tools": [{"name": "t", "description": "x".repeat(50_000)}], "system": "S", "messages": turns});
    let (messages, truncated) = cut_messages(BodyForm::MessagesJson, &body.to_string(), 8192);
    assert!(!truncated);
    assert_eq!(messages, input(BodyForm::MessagesJson, &body));
}

#[test]
fn one_huge_result_hides_neither_the_question_nor_its_own_ends() {
    let huge = format!("first line\n{}\nlast line", "\"ü😀\\".repeat(100_000));
    let body = json!({"messages": [
        {"role": "system", "content": "s".repeat(40_000)},
        {"role": "user", "content": "the question"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": huge},
    ]});
    let (messages, truncated) = cut_messages(BodyForm::ChatJson, &body.to_string(), 32 * 1024);
    assert!(truncated);
    assert_eq!(messages.as_array().unwrap().len(), 4);
    assert_eq!(messages[1], body["messages"][1]);
    assert_eq!(messages[2], body["messages"][2]);
    assert_eq!(messages[3]["tool_call_id"], "c");
    let kept = messages[3]["content"].as_str().unwrap();
    assert!(
        kept.starts_with("first line\n\"ü😀\\\"ü") && kept.ends_with("😀\\\nlast line"),
        "{kept}"
    );
    assert!(kept.contains(" bytes left out]") && !kept.contains('\u{fffd}'));
    assert!(messages[0]["content"].as_str().unwrap().len() > 7_000);
    assert!(messages.to_string().len() > 16 * 1024);
}

#[test]
fn answers_are_put_together_before_they_are_cut() {
    let text: String = "Ein längeres Wort ".repeat(5_000);
    let events: Vec<_> = text
        .as_bytes()
        .chunks(7 * 19)
        .map(|piece| delta(json!({"content": String::from_utf8_lossy(piece)})))
        .collect();
    let (messages, truncated) = cut_messages(BodyForm::ChatStream, &chunks(&events), 8192);
    assert!(truncated);
    assert!(
        messages[0]["content"]
            .as_str()
            .unwrap()
            .starts_with("Ein längeres Wort Ein")
    );

    // The envelope of the events is most of a stream: the text alone fits.
    let (messages, truncated) = cut_messages(BodyForm::ChatStream, &chunks(&events[..20]), 3000);
    assert!(!truncated);
    assert!(text.starts_with(&text_of(&messages)[..100]));

    let body = json!({"choices": [{"message": {"role": "assistant", "content": text}}], "x": 1});
    let (messages, _) = cut_messages(BodyForm::ChatJson, &body.to_string(), 8192);
    assert_eq!(messages[0]["role"], "assistant");
}

#[test]
fn what_cannot_be_read_is_cut_as_text() {
    let body = format!("<html>{}ß</html>", "ä".repeat(10_000));
    for form in [
        BodyForm::ChatJson,
        BodyForm::ChatStream,
        BodyForm::Opaque,
        BodyForm::Messages,
    ] {
        let kept = cut(form, body.as_bytes(), 1001);
        assert_eq!((kept.form, kept.truncated), (form, true));
        let text = String::from_utf8(kept.bytes).unwrap();
        assert!(text.len() <= 1001 && text.starts_with("<html>ä") && text.ends_with("äß</html>"));
        let shown = output_messages(form, text.as_bytes());
        assert_eq!(shown[0]["content"], text);
        assert!(shown[0].get("lossy").is_none());
    }
}

#[test]
fn hostile_shapes_are_bounded() {
    let n = 40_000;
    let shapes = [
        format!("{}{}", "[".repeat(n), "]".repeat(n)),
        format!("[{}0]", "0,".repeat(n)),
        format!("[{}{{}}]", "{},".repeat(n)),
        format!("[{}1e9]", "1e9,".repeat(n)),
        format!("[{{{}\"k\":1}}]", "\"k\":1,".repeat(n)),
        format!(
            "[{{{}\"k\":1}}]",
            (0..n / 10)
                .map(|i| format!("\"k{i}\":1,"))
                .collect::<String>()
        ),
        format!("[{{\"{}\":1}}]", "k".repeat(n)),
        format!("[{}]", "1".repeat(n)),
        format!("[\"{}\"]", "\\u0001".repeat(n)),
        format!("[\"{}\"]", "\\ud83d\\ude00".repeat(n)),
        format!("[{}{}]", r#"{"a":["#.repeat(n), "]}".repeat(n)),
        format!(
            "{}0{}",
            format!("[{}", "0,".repeat(40)).repeat(n / 80),
            "]".repeat(n / 80)
        ),
        format!("{}0{}", "[0,".repeat(n), "]".repeat(n)),
        format!(
            r#"[{{"role":"system"}},{{"role":"system","content":"{}"}}]"#,
            "\\\\".repeat(n)
        ),
    ];
    for shape in &shapes {
        let bodies = [
            (BodyForm::ChatJson, format!("{{\"messages\":{shape}}}")),
            (
                BodyForm::MessagesJson,
                format!("{{\"system\":{shape},\"messages\":{shape}}}"),
            ),
            (
                BodyForm::ResponsesJson,
                format!("{{\"instructions\":{shape},\"input\":{shape}}}"),
            ),
            (BodyForm::EmbeddingsJson, format!("{{\"input\":{shape}}}")),
            (
                BodyForm::GeminiJson,
                format!("{{\"systemInstruction\":{shape},\"contents\":{shape}}}"),
            ),
            (
                BodyForm::GeminiJson,
                format!("{{\"contents\":[{{\"role\":\"user\",\"parts\":{shape}}}]}}"),
            ),
            (BodyForm::Messages, shape.clone()),
        ];
        for (form, body) in bodies {
            for limit in [0, 1000, 32 * 1024] {
                let kept = cut(form, body.as_bytes(), limit);
                assert_eq!(kept.form, BodyForm::Messages);
                assert!(
                    kept.bytes.len() <= limit + SLACK,
                    "{} > {limit} {form:?} {}",
                    kept.bytes.len(),
                    &shape[..20]
                );
                assert!(
                    serde_json::from_slice::<Value>(&kept.bytes)
                        .unwrap()
                        .is_array()
                );
            }
        }
    }
}
