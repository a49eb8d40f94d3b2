//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

const ALL: [BodyForm; 11] = [
    BodyForm::ChatJson,
    BodyForm::ChatStream,
    BodyForm::ResponsesJson,
    BodyForm::ResponsesStream,
    BodyForm::MessagesJson,
    BodyForm::MessagesStream,
    BodyForm::EmbeddingsJson,
    BodyForm::GeminiJson,
    BodyForm::GeminiStream,
    BodyForm::Opaque,
    BodyForm::Messages,
];

/// JSON as `serde_json` may write it, strings that need escapes included.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "source",
        "data",
        "image_url",
        "url",
        "tool_calls",
        "input",
        "output",
        "call_id",
        "arguments",
        "summary",
        "messages",
        "system",
        "choices",
        "delta",
        "index",
        "message",
        "error",
        "contents",
        "parts",
        "candidates",
        "functionCall",
        "functionResponse",
        "systemInstruction",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "system",
            "assistant",
            "base64",
            "image",
            "message",
            "function_call",
            "reasoning",
            "tool_result",
            "data:image/png;base64,AAAA",
            "response.output_text.delta",
            "content_block_delta",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

fn holds_for_every_form(bytes: &[u8], limit: usize) -> Result<(), TestCaseError> {
    for form in ALL {
        prop_assert!(input_messages(form, bytes).is_array());
        prop_assert!(output_messages(form, bytes).is_array());
        let kept = cut(form, bytes, limit);
        prop_assert!(kept.bytes.len() <= limit + SLACK);
        if kept.form == BodyForm::Messages && form != BodyForm::Messages {
            prop_assert!(
                serde_json::from_slice::<Value>(&kept.bytes)
                    .unwrap()
                    .is_array()
            );
        }
        if std::str::from_utf8(bytes).is_ok() {
            prop_assert!(std::str::from_utf8(&kept.bytes).is_ok());
        }
    }
    Ok(())
}

proptest! {
    // Each case is eight bodies in nine forms.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arbitrary_json_never_fails(
        messages in prop::collection::vec(any_json(), 0..12),
        system in any_json(),
        limit in 0usize..2000,
    ) {
        for body in [
            json!({"messages": messages, "system": system}),
            json!({"input": messages, "instructions": system}),
            json!({"choices": messages}),
            json!({"output": messages, "error": system}),
            json!({"content": messages}),
            json!({"data": messages}),
            json!(messages),
        ] {
            let body = body.to_string();
            holds_for_every_form(body.as_bytes(), limit)?;
        }
        let stream: String = messages.iter().map(|event| format!("data: {event}\n\n")).collect();
        holds_for_every_form(stream.as_bytes(), limit)?;
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_fail(bytes in prop::collection::vec(any::<u8>(), 0..400), limit in 0usize..500) {
        holds_for_every_form(&bytes, limit)?;
    }

    #[test]
    fn a_stream_cut_anywhere_gives_a_prefix_of_the_text(
        pieces in prop::collection::vec(any::<String>(), 1..8),
        at in any::<prop::sample::Index>(),
        crlf in any::<bool>(),
    ) {
        let whole = pieces.concat();
        let mut responses = responses_events();
        responses.truncate(7);
        let mut messages = messages_events();
        messages.truncate(10);
        let mut chat = Vec::new();
        for piece in &pieces {
            chat.push(delta(json!({"content": piece})));
            messages.push(json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": piece}}));
            responses.push(json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": piece}));
        }
        let item = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": whole}]});
        responses.push(json!({"type": "response.output_item.done", "output_index": 1, "item": item}));
        responses.push(json!({"type": "response.completed", "response": {"status": "completed", "output": [item]}}));
        messages.push(json!({"type": "message_stop"}));
        for (form, stream) in [
            (BodyForm::ChatStream, chunks(&chat)),
            (BodyForm::MessagesStream, named(&messages)),
            (BodyForm::ResponsesStream, named(&responses)),
        ] {
            let stream = if crlf { stream.replace('\n', "\r\n") } else { stream };
            prop_assert_eq!(&output_text(form, stream.as_bytes()), &whole);
            let cut = &stream.as_bytes()[..at.index(stream.len())];
            let text = output_text(form, cut);
            prop_assert!(whole.starts_with(&text), "{:?} of {:?}", text, whole);
        }
    }

    #[test]
    fn events_are_those_that_the_observer_of_streams_sees(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["data: ", "data:", "event: x", ": c", "{}", "\n", "\r", "\r\n", "\n\n"]),
            0..30,
        ),
    ) {
        let stream = pieces.concat();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        stream::events(stream.as_bytes(), |data| ours.push(data.to_vec()));
        let mut observer = crate::sse::Events::default();
        observer.push(stream.as_bytes(), |data| theirs.push(data.to_vec()));
        observer.finish(|data| theirs.push(data.to_vec()));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn strings_are_parted_between_characters(text in any::<String>(), escaped in any::<bool>(), at in 0usize..200) {
        let inner = if escaped {
            text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
        } else {
            let quoted = Value::from(text.clone()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        let at = at.min(inner.len());
        let parted = raw::boundary(&inner, at);
        prop_assert!(parted <= at && at - parted < 12);
        let (head, tail) = inner.split_at(parted);
        prop_assert_eq!(format!("{}{}", raw::unescape(head), raw::unescape(tail)), text);
    }

    #[test]
    fn what_is_small_enough_once_read_is_whole(
        turns in prop::collection::vec(any::<String>(), 0..20),
        padding in 3000usize..4000,
    ) {
        let turns: Vec<_> = turns.iter().map(|text| json!({"role": "user", "content": text})).collect();
        let body = json!({"messages": turns, "padding": "x".repeat(padding)}).to_string();
        let messages = json!(turns);
        let limit = messages.to_string().len() + 256;
        prop_assume!(body.len() > limit);
        let kept = cut(BodyForm::ChatJson, body.as_bytes(), limit);
        prop_assert!(!kept.truncated);
        prop_assert_eq!(serde_json::from_slice::<Value>(&kept.bytes).unwrap(), messages);
    }
}
