//! Gemini bodies.

use super::*;

fn request() -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": "What is on this?"},
                {"inlineData": {"mimeType": "image/png", "data": base64(30)}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/a.pdf"}},
            ]},
            {"role": "model", "parts": [
                {"text": "I should look.", "thought": true},
                {"functionCall": {"id": "c1", "name": "look", "args": {"deep": 1.5}}, "thoughtSignature": "CpcB"},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "c1", "name": "look", "response": {"output": "a cat"}}},
                {"function_response": {"name": "look", "response": {"kind": "cat"}}},
            ]},
        ],
        "generationConfig": {"temperature": 0.5},
    })
}

fn chunks() -> Vec<Value> {
    let said = |part: Value| json!({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], "responseId": "r"});
    vec![
        said(json!({"text": "Let me ", "thought": true})),
        said(json!({"text": "look.", "thought": true})),
        said(json!({"text": "A "})),
        said(json!({"text": "cat."})),
        said(json!({"functionCall": {"name": "pet", "args": {}}})),
        json!({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}]}),
    ]
}

fn events(chunks: &[Value]) -> String {
    chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\r\n\r\n"))
        .collect()
}

#[test]
fn contents_become_messages() {
    insta::assert_json_snapshot!("gemini_request", input(BodyForm::GeminiJson, &request()));
    for body in [
        json!({"system_instruction": "S", "contents": "hi"}),
        json!({"systemInstruction": {"text": "S"}, "contents": {"parts": [{"text": "hi"}]}}),
        json!({"systemInstruction": {"parts": "S"}, "contents": [{"parts": "hi"}]}),
    ] {
        let expected =
            json!([{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]);
        assert_eq!(input(BodyForm::GeminiJson, &body), expected, "{body}");
    }
    assert_eq!(
        input_text(BodyForm::GeminiJson, request().to_string().as_bytes()),
        "Be brief.\nWhat is on this?\nlook {\"deep\":1.5}\na cat"
    );
}

#[test]
fn an_answer_is_the_same_whole_streamed_and_as_a_list() {
    let streamed = output_messages(BodyForm::GeminiStream, events(&chunks()).as_bytes());
    insta::assert_json_snapshot!("gemini_answer", streamed);
    let whole = json!({"candidates": [{"content": {"parts": [
        {"text": "Let me look.", "thought": true},
        {"text": "A cat."},
        {"functionCall": {"name": "pet", "args": {}}},
    ]}, "finishReason": "STOP"}]});
    assert_eq!(output(BodyForm::GeminiJson, &whole), streamed);
    assert_eq!(output(BodyForm::GeminiJson, &json!(chunks())), streamed);
    assert_eq!(output(BodyForm::GeminiStream, &json!(chunks())), streamed);
}

#[test]
fn broken_blocked_and_failed_answers_say_so() {
    let begun = &chunks()[..3];
    let messages = output_messages(BodyForm::GeminiStream, events(begun).as_bytes());
    assert_eq!(messages[0]["incomplete"], true);
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
    assert_eq!(
        output(BodyForm::GeminiJson, &blocked),
        json!([{"role": "assistant", "content": null, "finish_reason": "SAFETY"}])
    );
    let failed = json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}});
    let messages = output_messages(BodyForm::GeminiStream, events(&[failed]).as_bytes());
    assert_eq!(messages[0]["error"]["status"], "UNAVAILABLE");
}

#[test]
fn a_long_conversation_keeps_its_instructions_and_its_newest_turn() {
    let mut body = request();
    let turns: Vec<Value> = (0..400)
        .map(|n| json!({"role": "user", "parts": [{"text": format!("turn {n} {}", "x".repeat(200))}]}))
        .collect();
    body["contents"] = json!(turns);
    let kept = cut(BodyForm::GeminiJson, body.to_string().as_bytes(), 8192);
    assert_eq!((kept.form, kept.truncated), (BodyForm::Messages, true));
    assert!(kept.bytes.len() <= 8192 + SLACK);
    let messages: Value = serde_json::from_slice(&kept.bytes).unwrap();
    let messages = messages.as_array().unwrap();
    assert_eq!(messages[0]["content"], "Be brief.");
    assert_eq!(messages[1]["role"], "left_out");
    assert!(
        messages.last().unwrap()["content"]
            .as_str()
            .unwrap()
            .starts_with("turn 399 ")
    );
}
