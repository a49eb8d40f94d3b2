use proptest::prelude::*;

use super::*;

fn found(body: &str) -> Vec<(&'static str, String)> {
    let found = references(body.as_bytes(), Some("127.0.0.1:9000")).expect("a readable body");
    found
        .into_iter()
        .map(|Reference { param, id }| (param, id))
        .collect()
}

fn ids(body: &str) -> Vec<String> {
    found(body).into_iter().map(|(_, id)| id).collect()
}

#[test]
fn every_kind_of_reference_is_found() {
    for (body, expected) in [
        (r#"{"previous_response_id":"resp_1"}"#, vec!["resp_1"]),
        (r#"{"conversation":"conv_1"}"#, vec!["conv_1"]),
        (r#"{"conversation":{"id":"conv_1"}}"#, vec!["conv_1"]),
        (
            r#"{"prompt":{"id":"pmpt_1","variables":{"x":{"type":"input_file","file_id":"file-1"}}}}"#,
            vec!["file-1", "pmpt_1"],
        ),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"},{"type":"input_image","file_id":"file-2"}]}]}"#,
            vec!["file-1", "file-2"],
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
            vec!["file-1"],
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}"#,
            vec!["file_1"],
        ),
        (
            r#"{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}"#,
            vec!["audio_1"],
        ),
        (r#"{"container":"container_1"}"#, vec!["container_1"]),
        (
            r#"{"container":{"id":"container_1","skills":[{"type":"anthropic","skill_id":"pptx"},{"type":"custom","skill_id":"skill_1"}]}}"#,
            vec!["container_1", "skill_1"],
        ),
        (
            r#"{"tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]}]}"#,
            vec!["vs_1", "vs_2"],
        ),
        (
            r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}]}"#,
            vec!["file-1"],
        ),
        (
            r#"{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}"#,
            vec!["cntr_1"],
        ),
        (
            r#"{"input":[{"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1","code":"1"}]}"#,
            vec!["cntr_1"],
        ),
        (
            r#"{"generateContentRequest":{"cachedContent":"cachedContents/1"}}"#,
            vec!["cachedContents/1"],
        ),
        (
            r#"{"cached_content":"cachedContents/1"}"#,
            vec!["cachedContents/1"],
        ),
        (
            r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a-1"}},{"file_data":{"file_uri":"files/b"}}]}]}"#,
            vec!["files/a-1", "files/b"],
        ),
    ] {
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        let mut found = ids(body);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn an_item_is_a_reference_when_the_provider_has_to_look_it_up() {
    for (item, looked_up) in [
        (r#"{"type":"item_reference","id":"x"}"#, true),
        (r#"{"id":"x","type":"item_reference"}"#, true),
        (r#"{"id":"x"}"#, true),
        (r#"{"id":"x","type":null}"#, true),
        (r#"{"id":"x","role":"assistant","content":"y"}"#, false),
        (
            r#"{"id":"x","type":"message","role":"assistant","content":[]}"#,
            false,
        ),
        (
            r#"{"id":"x","type":"function_call","call_id":"c","arguments":"{}"}"#,
            false,
        ),
        (r#"{"id":"x","type":"reasoning","summary":[]}"#, true),
        (
            r#"{"id":"x","type":"reasoning","encrypted_content":null}"#,
            true,
        ),
        (
            r#"{"id":"x","type":"reasoning","encrypted_content":"e"}"#,
            false,
        ),
        (
            r#"{"id":"x","type":"reasoning","encrypted_content":"e","encrypted_content":null}"#,
            true,
        ),
        (r#"{"id":"x","type":"image_generation_call"}"#, true),
        (
            r#"{"id":"x","type":"image_generation_call","result":"aGk="}"#,
            false,
        ),
        // Which of two types is read is not known.
        (
            r#"{"id":"x","type":"message","type":"item_reference"}"#,
            true,
        ),
    ] {
        let body = format!(r#"{{"input":[{item}]}}"#);
        assert_eq!(!ids(&body).is_empty(), looked_up, "{body}");
    }
}

#[test]
fn what_belongs_to_the_application_is_no_reference() {
    for body in [
        r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"file_id":"mine","container":"box"}}]}]}"#,
        r#"{"tools":[{"name":"f","input_schema":{"properties":{"file_id":{"type":"string","default":"x"}}}}]}"#,
        r#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":{"file_uri":"files/x"}}},{"functionResponse":{"response":{"file_id":"x"}}}]}]}"#,
        r#"{"metadata":{"file_id":"x"},"messages":[{"content":"file_id: x, \"file_id\":\"y\""}]}"#,
        r#"{"input":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"t","annotations":[{"type":"file_citation","file_id":"x"}]}]}]}"#,
        r#"{"messages":[{"content":[{"type":"bash_code_execution_tool_result","content":{"content":[{"type":"bash_code_execution_output","file_id":"x"}]}}]}]}"#,
        r#"{"audio":{"voice":"alloy","id":"x"},"previous_response_id":null,"container":{"skills":[]}}"#,
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://example.com/files/x.pdf"}},{"fileData":{"fileUri":"gs://bucket/files/x"}},{"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}},{"fileData":{"fileUri":"https://storage.googleapis.com/b/files/x"}}]}]}"#,
    ] {
        assert_eq!(found(body), [], "{body}");
    }
}

#[test]
fn no_spelling_hides_a_reference() {
    for body in [
        r#"{"messages":[{"content":[{"f\u0069le_id":"x"}]}]}"#,
        r#"{"messages":[{"content":[{"file_id":"\u0078"}]}]}"#,
        r#"{"\u0063ontainer":"x"}"#,
        r#"{"conversation":{"id":"mine","id":"x"}}"#,
        r#"{"previous_response_id":"mine","previous_response_id":"x"}"#,
        r#"{"content":[{"type":"bash_code_execution_output","type":"document","file_id":"x"}]}"#,
        r#"{"fileData":{"fileUri":"HTTPS://GenerativeLanguage.GoogleAPIs.com./v1beta/files/x"}}"#,
        r#"{"fileData":{"fileUri":"http://a@generativelanguage.googleapis.com:443/v1/files/x:download?alt=media"}}"#,
        r#"{"fileData":{"fileUri":"//generativelanguage.googleapis.com/v1beta/files/x"}}"#,
        r#"{"fileData":{"fileUri":"http://127.0.0.1:9000/v1beta/files/x"}}"#,
    ] {
        let ids = ids(body);
        assert!(
            ids.iter().any(|id| id == "x" || id == "files/x"),
            "{body}: {ids:?}"
        );
    }
    // An address of Google's that names no file is nobody's.
    let odd = r#"{"fileUri":"https://generativelanguage.googleapis.com/v1beta/%66iles/x"}"#;
    assert_eq!(ids(odd).len(), 1);
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(references(deep.as_bytes(), None), Err(Unclear::Unreadable));
    let skipped = format!(r#"{{"arguments":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(references(skipped.as_bytes(), None), Ok(Vec::new()));
    let many: Vec<String> = (0..=MOST).map(|n| format!("\"f{n}\"")).collect();
    let many = format!(r#"{{"file_ids":[{}]}}"#, many.join(","));
    assert_eq!(references(many.as_bytes(), None), Err(Unclear::TooMany));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = references(&body, None);
    }

    #[test]
    fn a_file_is_found_at_any_depth_in_any_company(
        before in "\\PC{0,20}", id in "[a-z0-9-]{1,20}", depth in 0..40_usize,
    ) {
        let mut tree = serde_json::json!({"text": before, "file_id": id, "n": 1.5, "none": null});
        for level in 0..depth {
            tree = if level % 2 == 0 {
                serde_json::json!([{"content": tree, "type": "x"}])
            } else {
                serde_json::json!({"source": tree, "cache_control": {"type": "ephemeral"}})
            };
        }
        let body = serde_json::json!({"messages": tree}).to_string();
        prop_assert_eq!(ids(&body), [id]);
    }
}
