//! Streams: checked piece by piece, in order, and ended by one frame when something must not pass.

use lw_store::ledger::{Certainty, EntryKind};
use serde_json::{Value, json};

use super::service::{Say, Service};
use super::{MAIL, TAKEN_OUT, WORD, Way, World, captured, spoken, ways};
use crate::support::{Answer, Key, eventually, once, parsed, text};

/// The last frame of a stream, as JSON, and the name of its event.
fn last_frame(way: &Way, body: &str) -> (Option<String>, Value) {
    if way.is_list() {
        let list = parsed(body);
        let frames = list.as_array().expect("a list");
        return (None, frames.last().expect("a frame").clone());
    }
    let frame = body.trim_end().rsplit("\n\n").next().expect("a frame");
    let frame = frame.rsplit("\r\n\r\n").next().expect("a frame");
    let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
    let event = line("event: ").map(str::to_owned);
    (event, parsed(line("data: ").expect("data")))
}

/// Asserts that the stream ends with the frame of data-plane 17.4, and nothing after it.
fn ends_blocked(way: &Way, body: &str) {
    let at = format!("{} native {}: {body}", way.name, way.native);
    let (event, frame) = last_frame(way, body);
    let error = &frame["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let told = "the stream was blocked by the guardrail `the guard`: ";
    assert!(message.starts_with(told) && !message.contains(WORD), "{at}");
    if way.name.starts_with("gemini") {
        let shape =
            json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}});
        assert_eq!((event, &frame), (None, &shape), "{at}");
    } else {
        let top = if way.types_errors() {
            r#""type":"error","#
        } else {
            ""
        };
        let frame = format!(
            "event: error\ndata: {{{top}\"error\":{{\"type\":\"guardrail_blocked\",\
             \"code\":\"stream_chunk_blocked\",\"message\":{},\"param\":null}}}}\n\n",
            Value::from(message)
        );
        assert!(body.ends_with(&frame), "{at}");
    }
    assert!(!body.contains("[DONE]"), "{at}");
}

#[test]
fn a_blocked_piece_ends_the_stream_and_the_call_and_what_was_delivered_is_paid() {
    let world = World::start();
    let guard = world.blocks("stream_chunk");
    let key = world.key_of("stream_chunk", &guard);
    let book = world.gateway.book();
    for way in ways("hello", true) {
        // The provider would go on; it is not heard any more.
        once(
            &world.mock,
            &json!({"text": format!("alpha beta gamma {WORD} delta epsilon"), "stall_after_frames": 4}),
        );
        let left = world.mock.disconnects();
        let answer = world.ask(&key, &way);
        let (body, at) = (answer.text(), format!("{} native {}", way.name, way.native));
        assert!(!answer.cut, "{at}: {body}");
        assert!(spoken(&body).contains("alpha beta gamma"), "{at}: {body}");
        assert!(!body.contains(WORD), "{at}: {body}");
        ends_blocked(&way, &body);
        eventually("the provider's connection is closed", || {
            (world.mock.disconnects() == left + 1).then_some(())
        });
        let truth = world.mock.truth().pop().expect("a generation");
        let entry = book.ended(&answer.request_id());
        assert_eq!(entry.kind, EntryKind::Settle, "{at}");
        assert_eq!(entry.certainty, Certainty::Estimated, "{at}");
        assert!(entry.amount.0 > 0, "{at}: {entry:?}");
        let spoken_of = 1..=4 * truth.delivered_text_bytes;
        assert!(
            spoken_of.contains(&entry.usage.output),
            "{at}: {:?}",
            entry.usage
        );
        assert!(entry.usage.prompt() > 0, "{at}: {:?}", entry.usage);
        let error = entry.detail.error_type.as_deref();
        assert_eq!(error, Some("stream_chunk_blocked"), "{at}");
        let trace = book.trace(&answer.request_id());
        assert!(!captured(trace.output.as_ref()).contains(WORD), "{at}");
        let attributes = world.attributes(&answer.request_id());
        assert_eq!(
            attributes["langwatch.status"], "blocked_by_guardrail",
            "{at}"
        );
        assert_eq!(attributes["langwatch.guardrail.verdict"], "block", "{at}");
    }
    assert_eq!(world.verdicts("stream_chunk", "block"), 10);
    // The provider did nothing wrong.
    let metrics = world.gateway.get("/metrics").text();
    let open = metrics
        .lines()
        .find(|line| line.starts_with("gateway_circuit_state{") && !line.ends_with(" 0"));
    assert_eq!(open, None);
}

#[test]
fn a_stream_whose_first_piece_is_blocked_says_nothing_else() {
    let world = World::start();
    let guard = world.blocks("stream_chunk");
    let key = world.key_of("stream_chunk", &guard);
    for way in ways("hello", true) {
        once(&world.mock, &json!({"text": format!("{WORD} alpha")}));
        let answer = world.ask(&key, &way);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(!answer.text().contains("alpha"), "{}", answer.text());
        ends_blocked(&way, &answer.text());
    }
}

#[test]
fn pieces_lose_what_is_taken_out_of_them_and_keep_their_order_however_the_bytes_are_cut() {
    let world = World::start();
    let guard = world.redacts("stream_chunk");
    let key = world.key_of("stream_chunk", &guard);
    let book = world.gateway.book();
    for way in ways("hello", true) {
        for split in [1, 7, 64, 4096] {
            once(
                &world.mock,
                &json!({"text": format!("one {MAIL} two three"), "split_every": split}),
            );
            let answer = world.ask(&key, &way);
            let (body, at) = (
                answer.text(),
                format!("{} native {} by {split}", way.name, way.native),
            );
            let told = format!("one {TAKEN_OUT} two three");
            assert!(spoken(&body).contains(&told), "{at}: {body}");
            assert!(!body.contains(MAIL), "{at}: {body}");
            let truth = world.mock.truth().pop().expect("a generation");
            let kind = match truth.dialect.as_str() {
                "anthropic" => "anthropic",
                "gemini" => "gemini",
                _ => "openai",
            };
            book.charged_exactly(&answer.request_id(), kind, &truth);
            let trace = book.trace(&answer.request_id());
            let output = captured(trace.output.as_ref());
            assert!(
                output.contains(TAKEN_OUT) && !output.contains(MAIL),
                "{at}: {output}"
            );
        }
    }
}

/// A chat stream with these texts, as a provider writes it.
fn chat_frames(texts: &[&str]) -> String {
    let mut body = String::new();
    let frame = |delta: Value, reason: Value| {
        let frame = json!({
            "id": "chatcmpl-1", "model": "gpt-4o-mini",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        });
        format!("data:  {frame}\r\n\r\n")
    };
    body += ": a comment\n\n";
    body += &frame(json!({"role": "assistant"}), Value::Null);
    for text in texts {
        body += &frame(json!({"content": text}), Value::Null);
    }
    body += &frame(json!({}), json!("stop"));
    body + "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9,\"total_tokens\":14}}\n\ndata: [DONE]\n\n"
}

#[test]
fn everything_but_the_changed_text_is_the_providers_byte_for_byte() {
    let world = World::start();
    let guard = world.redacts("stream_chunk");
    let key = world.key_of("stream_chunk", &guard);
    let way = ways("hello", true).remove(0);
    let body = chat_frames(&[
        "one",
        " \u{1F41F} ",
        MAIL,
        "\n\"two\"",
        "a@b.example c@d.example",
        "",
    ]);
    for split in [1, 3, 50] {
        let directive =
            json!({"body_raw": body, "content_type": "text/event-stream", "split_every": split});
        once(&world.mock, &directive);
        let answer = world.ask(&key, &way);
        let expected = body
            .replace(MAIL, TAKEN_OUT)
            .replace("a@b.example c@d.example", "[EMAIL] [EMAIL]");
        assert_eq!(answer.text(), expected, "by {split}");
        let attributes = world.attributes(&answer.request_id());
        // The comment, the role, the empty text, the end, the usage and the mark.
        let skipped = &attributes["langwatch.guardrail.stream_chunk.skipped"];
        assert_eq!(*skipped, 6, "{attributes}");
        assert_eq!(attributes["langwatch.guardrail.applied"], json!([guard]));
    }
}

#[test]
fn a_pattern_that_is_cut_over_pieces_is_found_with_a_window() {
    let text = "the big bang theory";
    let ask = |world: &World| {
        let words = json!({"words": ["big bang"]});
        let guard = world.guardrail("stream_chunk", "keyword-list", &words);
        let key = world.key_of("stream_chunk", &guard);
        let all = ways("hello", true).into_iter();
        let answered = all.map(|way| {
            once(&world.mock, &json!({"text": text}));
            let answer = world.ask(&key, &way);
            (way, answer)
        });
        answered.collect::<Vec<(Way, Answer)>>()
    };
    for (way, answer) in ask(&World::start()) {
        assert!(
            spoken(&answer.text()).contains(text),
            "{}: {}",
            way.name,
            answer.text()
        );
    }
    for (way, answer) in ask(&World::start_with(&[(
        "GUARDRAIL_STREAM_WINDOW_CHARS",
        "16",
    )])) {
        let body = answer.text();
        assert!(spoken(&body).contains("the big"), "{}: {body}", way.name);
        assert!(!body.contains("bang"), "{}: {body}", way.name);
        ends_blocked(&way, &body);
    }
}

#[test]
fn a_check_that_is_too_slow_lets_its_piece_pass_in_its_place() {
    // More than the usual 50 ms: on a busy machine, what is not held must not be late.
    let world = World::start_with(&[("GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS", "300")]);
    let service = Service::start();
    let guard = world.guardrail("stream_chunk", "http-callout", &service.settings());
    let key = world.key_of("stream_chunk", &guard);
    service.answers(|asked| match asked.body["content"]["chunk"].as_str() {
        Some(text) if text.contains("two") => Say::Hold,
        _ => Say::allow(),
    });
    for way in ways("hello", true) {
        let before = world.verdicts("stream_chunk", "fail_open");
        once(&world.mock, &json!({"text": "one two three"}));
        let answer = world.ask(&key, &way);
        let at = format!("{}: {}", way.name, answer.text());
        assert!(spoken(&answer.text()).contains("one two three"), "{at}");
        let attributes = world.attributes(&answer.request_id());
        let reason = &attributes["langwatch.guardrail.stream_chunk_fail_open"];
        assert_eq!(*reason, "timeout", "{at}");
        assert_eq!(
            attributes["langwatch.guardrail.timeout"], "stream_chunk",
            "{at}"
        );
        assert_eq!(attributes["langwatch.guardrail.fail_open"], true, "{at}");
        assert_eq!(
            world.verdicts("stream_chunk", "fail_open"),
            before + 1,
            "{at}"
        );
    }
    let warned = world.gateway.stdout();
    assert_eq!(
        warned.matches("guardrail_fail_open").count(),
        10,
        "{warned}"
    );
}

#[test]
fn a_failed_check_of_a_piece_passes_even_where_the_guardrail_fails_closed() {
    let world = World::start_with(&[("GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS", "4000")]);
    let service = Service::start();
    let guard = world.guardrail("stream_chunk", "http-callout", &service.settings());
    let key = world.key_of("stream_chunk", &guard);
    let way = ways("hello", true).remove(0);
    for (say, reason) in [
        (Say::HangUp, "unreachable"),
        (Say::Raw(500, "", "no".to_owned()), "bad_answer"),
        (Say::Json(json!({"decision": "maybe"})), "bad_answer"),
    ] {
        service.says(say);
        once(&world.mock, &json!({"text": "one two"}));
        let answer = world.ask(&key, &way);
        assert!(
            spoken(&answer.text()).contains("one two"),
            "{}",
            answer.text()
        );
        let attributes = world.attributes(&answer.request_id());
        let said = &attributes["langwatch.guardrail.stream_chunk_fail_open"];
        assert_eq!(*said, reason);
    }
}

/// A world in which a check may take as long as it wants, and a key whose pieces are held.
fn patient() -> (World, Service, Key) {
    let world = World::start_with(&[("GUARDRAIL_STREAM_CHUNK_TIMEOUT_MS", "4000")]);
    let service = Service::start();
    let guard = world.guardrail("stream_chunk", "http-callout", &service.settings());
    let key = world.key_of("stream_chunk", &guard);
    service.answers(|asked| match asked.body["content"]["chunk"].as_str() {
        Some(text) if text.contains("held") => Say::Hold,
        _ => Say::allow(),
    });
    (world, service, key)
}

#[test]
fn a_provider_that_breaks_while_a_check_is_pending_is_told_after_what_was_checked() {
    for fault in ["close_after_frames", "reset_after_frames"] {
        let (world, service, key) = patient();
        let book = world.gateway.book();
        for (at, way) in ways("hello", true).into_iter().enumerate() {
            if at > 0 && way.name != "gemini list" {
                continue;
            }
            once(
                &world.mock,
                &json!({"text": "one held three four", fault: 3}),
            );
            let mut stream = world.gateway.stream(&way.with(&key));
            let mut seen = stream.until("one");
            eventually("the piece is asked about", || {
                let asked = service.asked();
                let held = |text: &str| text.contains("held");
                asked
                    .iter()
                    .any(|asked| asked.body["content"]["chunk"].as_str().is_some_and(held))
                    .then_some(())
            });
            service.release();
            let (rest, whole) = stream.rest();
            seen.extend(rest);
            let body = text(&seen);
            assert!(spoken_loosely(&body).contains("held"), "{fault}: {body}");
            // A list that the provider wrote has no place for a frame of ours: its connection breaks.
            let broken = way.is_list() && way.native;
            assert_eq!(whole, !broken, "{fault} {}: {body}", way.name);
            if whole {
                let (_, frame) = last_frame(&way, &body);
                let message = frame["error"]["message"].as_str().unwrap_or_default();
                let told = "the provider's stream failed after chunk";
                assert!(message.starts_with(told), "{fault}: {body}");
                assert!(!body.contains("[DONE]"), "{fault}: {body}");
            }
            let entry = book.ended(&stream.request_id());
            assert_eq!(entry.certainty, Certainty::Estimated, "{entry:?}");
            let error = entry.detail.error_type.as_deref();
            assert_eq!(error, Some("upstream_mid_stream_failure"));
        }
    }
}

/// The words in a body that may be cut anywhere.
fn spoken_loosely(body: &str) -> String {
    if body.starts_with('[') {
        body.to_owned()
    } else {
        spoken(body)
    }
}

#[test]
fn a_caller_who_leaves_while_a_check_is_pending_ends_the_call() {
    let (world, service, key) = patient();
    let book = world.gateway.book();
    for (many, way) in ways("hello", true).into_iter().enumerate() {
        once(
            &world.mock,
            &json!({"text": "one held three four", "stall_after_frames": 2}),
        );
        let left = world.mock.disconnects();
        let mut stream = world.gateway.stream(&way.with(&key));
        stream.until("one");
        eventually("the piece is asked about", || {
            let held = |text: &str| text.contains("held");
            let asked = service.asked();
            let asked = asked
                .iter()
                .filter(|asked| asked.body["content"]["chunk"].as_str().is_some_and(held));
            (asked.count() == many + 1).then_some(())
        });
        let id = stream.request_id();
        drop(stream);
        eventually("the provider's connection is closed", || {
            (world.mock.disconnects() == left + 1).then_some(())
        });
        let entry = book.ended(&id);
        let at = format!("{} native {}: {entry:?}", way.name, way.native);
        assert_eq!(entry.certainty, Certainty::Estimated, "{at}");
        assert!(entry.usage.output > 0, "{at}");
        let trace = book.trace(&id);
        assert_eq!(trace.http_status, 499, "{at}");
        let output = captured(trace.output.as_ref());
        assert!(
            output.contains("one") && !output.contains("held"),
            "{at} {output}"
        );
        assert_eq!(
            world.attributes(&id)["langwatch.guardrail.verdict"],
            "allow",
            "{at}"
        );
    }
}

#[test]
fn a_stream_is_checked_as_a_whole_after_it_went_out_and_only_flagged() {
    let world = World::start();
    let phrase = json!({"words": ["big bang"]});
    let guard = world.guardrail("post", "keyword-list", &phrase);
    let redacts = world.redacts("post");
    let key = world.key(&[("post", &[&guard, &redacts])]);
    let ask = |way: &Way, say: &str| {
        once(&world.mock, &json!({"text": say}));
        let answer = world.ask(&key, way);
        assert!(
            spoken(&answer.text()).contains(say),
            "{}: {}",
            way.name,
            answer.text()
        );
        world.attributes(&answer.request_id())["langwatch.guardrail.post_flag"].clone()
    };
    for way in ways("hello", true) {
        let at = format!("{} native {}", way.name, way.native);
        assert_eq!(ask(&way, "the big bang theory"), "block: the guard", "{at}");
        let flag = ask(&way, &format!("to {MAIL} now"));
        assert_eq!(flag, format!("modify: {redacts}"), "{at}");
        assert_eq!(ask(&way, "fine"), Value::Null, "{at}");
    }
    assert_eq!(world.verdicts("response", "block"), 10);
    assert_eq!(world.verdicts("response", "allow"), 10);

    // Of a stream that is checked piece by piece, what is flagged is what was delivered.
    let pieces = world.redacts("stream_chunk");
    let key = world.key(&[("post", &[&redacts]), ("stream_chunk", &[&pieces])]);
    once(&world.mock, &json!({"text": format!("to {MAIL} now")}));
    let answer = world.ask(&key, &ways("hello", true).remove(0));
    let attributes = world.attributes(&answer.request_id());
    assert_eq!(attributes["langwatch.guardrail.post_flag"], Value::Null);
    assert_eq!(attributes["langwatch.guardrail.verdict"], "modify");
}

#[test]
fn the_check_of_a_whole_stream_delays_nothing_and_a_stop_does_not_lose_its_record() {
    let mut world = World::start();
    let service = Service::start();
    service.says(Say::Hold);
    let guard = world.guardrail("post", "http-callout", &service.settings());
    let key = world.key_of("post", &guard);
    once(&world.mock, &json!({"text": "one two three"}));
    let answer = world.ask(&key, &ways("hello", true).remove(0));
    assert!(
        answer.text().ends_with("data: [DONE]\n\n"),
        "{}",
        answer.text()
    );
    eventually("the whole is asked about", || {
        let asked = service.asked().pop()?;
        assert_eq!(asked.body["content"]["output"], "one two three");
        Some(())
    });
    // The service has not answered yet.
    world.gateway.stop();
    let trace = world.gateway.book().trace(&answer.request_id());
    assert_eq!(trace.http_status, 200);
    assert!(captured(trace.output.as_ref()).contains("two"));
}

#[test]
fn a_coded_stream_passes_and_is_counted_as_unchecked() {
    let world = World::start();
    let chunk = world.blocks("stream_chunk");
    let post = world.blocks("post");
    let key = world.key(&[("stream_chunk", &[&chunk]), ("post", &[&post])]);
    for way in ways("hello", true).iter().filter(|way| way.native) {
        let before = world.verdicts("stream_chunk", "fail_open");
        once(
            &world.mock,
            &json!({"text": "coded", "headers": {"content-encoding": "gzip"}}),
        );
        let answer = world.ask(&key, way);
        assert_eq!(answer.status(), 200, "{}: {}", way.name, answer.text());
        assert_eq!(
            world.verdicts("stream_chunk", "fail_open"),
            before + 1,
            "{}",
            way.name
        );
        let attributes = world.attributes(&answer.request_id());
        let reason = &attributes["langwatch.guardrail.stream_chunk_fail_open"];
        assert_eq!(*reason, "unreadable", "{}", way.name);
        let flag = &attributes["langwatch.guardrail.post_flag"];
        assert_eq!(*flag, "unavailable: unreadable", "{}", way.name);
    }
}
