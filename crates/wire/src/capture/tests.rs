mod bodies;
mod cutting;
mod gemini;
mod properties;

use super::*;
use bodies::*;

/// What `cut` may add to the limit when the limit is too small for a note.
const SLACK: usize = 256;

fn input(form: BodyForm, body: &Value) -> Value {
    input_messages(form, body.to_string().as_bytes())
}

fn output(form: BodyForm, body: &Value) -> Value {
    output_messages(form, body.to_string().as_bytes())
}

#[test]
fn requests_of_each_dialect_become_messages() {
    insta::assert_json_snapshot!("chat_request", input(BodyForm::ChatJson, &chat_request()));
    insta::assert_json_snapshot!(
        "messages_request",
        input(BodyForm::MessagesJson, &messages_request())
    );
    insta::assert_json_snapshot!(
        "responses_request",
        input(BodyForm::ResponsesJson, &responses_request())
    );
}

#[test]
fn answers_of_each_dialect_become_messages() {
    insta::assert_json_snapshot!("chat_answer", output(BodyForm::ChatJson, &chat_answer()));
    insta::assert_json_snapshot!(
        "messages_answer",
        output(BodyForm::MessagesJson, &messages_answer())
    );
    insta::assert_json_snapshot!(
        "responses_answer",
        output(BodyForm::ResponsesJson, &responses_answer())
    );
}

#[test]
fn small_requests_become_messages() {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let table = [
        (
            BodyForm::MessagesJson,
            json!({"system": "S", "messages": [said("user", "hi")]}),
            json!([said("system", "S"), said("user", "hi")]),
        ),
        (
            BodyForm::ResponsesJson,
            json!({"input": "hi"}),
            json!([said("user", "hi")]),
        ),
        (
            BodyForm::ResponsesJson,
            json!({"instructions": "S", "input": "hi"}),
            json!([said("system", "S"), said("user", "hi")]),
        ),
        (
            BodyForm::ResponsesJson,
            json!({"instructions": "S", "prompt": {"id": "p"}}),
            json!([said("system", "S")]),
        ),
        (
            BodyForm::EmbeddingsJson,
            json!({"input": "hi"}),
            json!([said("user", "hi")]),
        ),
        (
            BodyForm::EmbeddingsJson,
            json!({"input": ["a", "b"]}),
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
        ),
        (
            BodyForm::EmbeddingsJson,
            json!({"input": [1, 2, 3]}),
            json!([{"role": "user", "content": [{"type": "text", "text": "[3 tokens]"}]}]),
        ),
        (
            BodyForm::EmbeddingsJson,
            json!({"input": [[1, 2], [3]]}),
            json!([{"role": "user", "content": [{"type": "text", "text": "[2 tokens]"}, {"type": "text", "text": "[1 tokens]"}]}]),
        ),
        (BodyForm::ChatJson, json!({"messages": []}), json!([])),
    ];
    for (form, body, messages) in table {
        assert_eq!(input(form, &body), messages, "{body}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_as_text_and_that_is_said() {
    let raw = |text: &str| json!([{"role": "user", "content": text, "unparsed": true}]);
    for body in [
        "hello",
        "{\"messages\": [",
        "[]",
        "{}",
        "{\"messages\": 3}",
        "<html>",
        "\"x\"",
    ] {
        assert_eq!(
            input_messages(BodyForm::ChatJson, body.as_bytes()),
            raw(body)
        );
        assert_eq!(
            output_messages(BodyForm::ChatStream, body.as_bytes())[0]["content"],
            body
        );
    }
    assert_eq!(
        output_messages(BodyForm::Opaque, b"a\xffb"),
        json!([{"role": "assistant", "content": "a\u{fffd}b", "lossy": true}])
    );
    assert_eq!(
        input_messages(BodyForm::Opaque, b"RIFF\0\0"),
        json!([{"role": "user", "content": [{"type": "binary", "bytes": 6}]}])
    );
    assert_eq!(input_messages(BodyForm::ChatJson, b""), json!([]));
}

#[test]
fn escaped_keys_duplicates_and_half_characters_are_read_as_providers_read_them() {
    let body = br#"{"messages":[],"m\u0065ssages":[{"role":"user","content":"half \ud83d, \ud83d\ude00 \/"}]}"#;
    assert_eq!(
        input_messages(BodyForm::ChatJson, body),
        json!([{"role": "user", "content": "half \u{fffd}, 😀 /"}])
    );
}

#[test]
fn numbers_that_a_double_would_change_stay_readable() {
    let body = br#"{"messages":[{"role":"user","content":[{"n":12345678901234567890123,"e":1e999,"x":1.10,"i":18446744073709551615}]}]}"#;
    assert_eq!(
        input_messages(BodyForm::ChatJson, body)[0]["content"][0],
        json!({"n": "12345678901234567890123", "e": "1e999", "x": 1.1, "i": u64::MAX})
    );
}

#[test]
fn a_stream_gives_what_the_body_gives() {
    let chat = chat_stream();
    let messages = named(&messages_events());
    let responses = named(&responses_events());
    let no_final = named(&responses_events()[..responses_events().len() - 1]);
    let whole = output(BodyForm::ResponsesJson, &responses_answer());
    assert_eq!(
        output_messages(BodyForm::ChatStream, chat.as_bytes()),
        output(BodyForm::ChatJson, &chat_answer())
    );
    assert_eq!(
        output_messages(BodyForm::MessagesStream, messages.as_bytes()),
        output(BodyForm::MessagesJson, &messages_answer())
    );
    assert_eq!(
        output_messages(BodyForm::ResponsesStream, responses.as_bytes()),
        whole
    );

    let mut expected = whole;
    let last = expected[1].as_object_mut().unwrap();
    last.remove("finish_reason");
    last.insert("incomplete".into(), true.into());
    assert_eq!(
        output_messages(BodyForm::ResponsesStream, no_final.as_bytes()),
        expected
    );
}

#[test]
fn line_endings_comments_and_a_wrong_form_do_not_matter() {
    let plain = chat_stream();
    let wanted = output_messages(BodyForm::ChatStream, plain.as_bytes());
    let variants = [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}: OPENROUTER PROCESSING\n\n{plain}"),
        plain.replace("data: ", "data:"),
        plain.replace("data: [DONE]\n\n", ""),
        plain.trim_end().to_owned(),
        plain.replacen("data: {", "data: oops\n\ndata: {", 2),
        plain.replacen("\"choices\":", "\ndata: \"choices\":", 3),
    ];
    for stream in variants {
        assert_eq!(
            output_messages(BodyForm::ChatStream, stream.as_bytes()),
            wanted,
            "{stream}"
        );
    }
    assert_eq!(
        output_messages(BodyForm::ChatJson, plain.as_bytes()),
        wanted
    );
    assert_eq!(
        output_messages(BodyForm::ChatStream, chat_answer().to_string().as_bytes()),
        wanted
    );
}

#[test]
fn errors_are_shown_with_what_came_before_them() {
    let error = json!({"type": "overloaded_error", "message": "Overloaded"});
    let mut events = messages_events();
    events.truncate(11);
    events.push(json!({"type": "error", "error": error}));
    let messages = output_messages(BodyForm::MessagesStream, named(&events).as_bytes());
    assert_eq!(messages[0]["error"], error);
    assert_eq!(messages[0]["content"][2]["text"], "Let me ");
    assert!(messages[0].get("incomplete").is_none());

    let alone = json!([{"role": "assistant", "content": null, "error": error}]);
    let body = json!({"type": "error", "error": error});
    for form in [
        BodyForm::MessagesJson,
        BodyForm::MessagesStream,
        BodyForm::ChatJson,
        BodyForm::ResponsesStream,
    ] {
        assert_eq!(output(form, &body), alone, "{form:?}");
    }
    let frame = format!("data: {}\n\n", json!({"error": error}));
    for form in [
        BodyForm::ChatStream,
        BodyForm::ResponsesStream,
        BodyForm::MessagesStream,
    ] {
        assert_eq!(output_messages(form, frame.as_bytes()), alone, "{form:?}");
    }
    let failed = named(&[
        json!({"type": "response.failed", "response": {"status": "failed", "output": [], "error": error}}),
    ]);
    assert_eq!(
        output_messages(BodyForm::ResponsesStream, failed.as_bytes()),
        alone
    );
    let event = named(&[json!({"type": "error", "code": "server_error", "message": "Oops"})]);
    let messages = output_messages(BodyForm::ResponsesStream, event.as_bytes());
    assert_eq!(
        messages[0]["error"],
        json!({"code": "server_error", "message": "Oops"})
    );
    assert_eq!(text_of(&messages), "Oops");
}

#[test]
fn tool_calls_are_told_apart_without_indices() {
    let call = |id: &str, arguments: &str| json!({"id": id, "function": {"name": "f", "arguments": arguments}});
    let mut zero = call("b", "2");
    zero["index"] = json!(0);
    let mut first = call("a", "1");
    first["index"] = json!(0);
    for (one, two) in [(call("a", "1"), call("b", "2")), (first, zero)] {
        let stream = chunks(&[
            delta(json!({"tool_calls": [one]})),
            delta(json!({"tool_calls": [two]})),
        ]);
        let messages = output_messages(BodyForm::ChatStream, stream.as_bytes());
        assert_eq!(messages[0]["tool_calls"].as_array().unwrap().len(), 2);
        assert_eq!(messages[0]["tool_calls"][1]["function"]["arguments"], "2");
    }
}

#[test]
fn embeddings_are_counted() {
    let vector = json!({"data": [{"embedding": [0.1, 0.2, 0.3], "index": 0}, {"embedding": [0.1, 0.2, 0.3]}]});
    let packed = json!({"data": [{"embedding": "AAAAAAAAAAAAAAAA"}, {}]});
    for body in [vector, packed] {
        assert_eq!(
            output(BodyForm::EmbeddingsJson, &body),
            json!([{"role": "assistant", "content": [{"type": "embeddings", "count": 2, "dimensions": 3}]}])
        );
    }
}

#[test]
fn media_becomes_its_kind_and_size() {
    let long = base64(600);
    let uri = format!("data:image\\/png;base64,{long}");
    let table = [
        (
            format!(r#"{{"type":"image_url","image_url":{{"url":"{uri}"}}}}"#),
            json!({"type": "image", "mime": "image/png", "bytes": 600}),
        ),
        (
            format!(r#"{{"type":"input_image","image_url":"{uri}"}}"#),
            json!({"type": "image", "mime": "image/png", "bytes": 600}),
        ),
        (
            format!(r#"{{"anything":["{uri}"]}}"#),
            json!({"anything": [{"type": "image", "mime": "image/png", "bytes": 600}]}),
        ),
        (
            format!(r#"{{"inlineData":{{"mimeType":"audio/wav","data":"{long}"}}}}"#),
            json!({"type": "audio", "mime": "audio/wav", "bytes": 600}),
        ),
        (
            format!(r#"{{"type":"image","data":"{long}","mimeType":"image/gif"}}"#),
            json!({"type": "image", "mime": "image/gif", "bytes": 600}),
        ),
        (
            format!(r#"{{"id":"audio_1","data":"{long}","transcript":"Hi","expires_at":1}}"#),
            json!({"type": "audio", "bytes": 600, "transcript": "Hi"}),
        ),
        (
            format!(r#"{{"b64_json":"{long}"}}"#),
            json!({"b64_json": {"type": "base64", "bytes": 600}}),
        ),
        (
            r#"{"type":"file","file":{"file_id":"file-1"}}"#.to_owned(),
            json!({"type": "file", "file": {"file_id": "file-1"}}),
        ),
        (
            r#"{"data":"some words"}"#.to_owned(),
            json!({"data": "some words"}),
        ),
        (
            r#"{"text":"data:image/png;base64, is how they begin"}"#.to_owned(),
            json!({"text": "data:image/png;base64, is how they begin"}),
        ),
    ];
    for (part, wanted) in table {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
        let messages = input_messages(BodyForm::ChatJson, body.as_bytes());
        assert_eq!(messages[0]["content"][0], wanted, "{part}");
    }
}

#[test]
fn text_and_preview_say_what_was_said() {
    let body = chat_request();
    assert_eq!(
        input_text(BodyForm::ChatJson, body.to_string().as_bytes()),
        "Be brief.\nWhat is on these?\nweather {\"city\":\"Zürich\"}\n12 °C"
    );
    assert_eq!(
        preview_of(&input(BodyForm::ChatJson, &body)),
        "What is on these?"
    );
    assert_eq!(
        output_text(
            BodyForm::MessagesStream,
            named(&messages_events()).as_bytes()
        ),
        "Let me see.\nweather {\"city\":\"Paris\",\"days\":3}\ntime {}"
    );
    assert_eq!(
        preview_of(&input(BodyForm::MessagesJson, &messages_request())),
        "What is on the picture?"
    );
    assert_eq!(
        preview_of(&output(BodyForm::ResponsesJson, &responses_answer())),
        "Let me see."
    );
}
