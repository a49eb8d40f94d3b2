//! Gemini's other endpoints, its credentials, and its faults.

use serde_json::{Value, json};

use super::client::{Got, call, start};
use crate::{MockProvider, key_digest};

const MODEL: &str = "/v1beta/models/gemini-2.5-flash";
const KEY: &str = "x-goog-api-key: g-key\r\n";
const HELLO: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello there mock"}]}]}"#;

fn post(mock: &MockProvider, path: &str, body: &str) -> Got {
    call(mock, "POST", path, KEY, body)
}

fn told(mock: &MockProvider, path: &str, directive: &str) -> Got {
    let headers = format!("{KEY}x-mock: {directive}\r\n");
    call(mock, "POST", path, &headers, HELLO)
}

#[test]
fn embeddings_counts_and_models_have_their_shapes() {
    let mock = start();
    let body = r#"{"content":{"parts":[{"text":"one two"}]},"outputDimensionality":3}"#;
    let one = post(&mock, &format!("{MODEL}:embedContent"), body).json();
    assert_eq!(one["embedding"]["values"].as_array().map(Vec::len), Some(3));
    let request = format!(r#"{{"model":"models/gemini-embedding-001",{}"#, &body[1..]);
    let batch = format!(r#"{{"requests":[{request},{request}]}}"#);
    let two = post(&mock, &format!("{MODEL}:batchEmbedContents"), &batch).json();
    assert_eq!(two["embeddings"].as_array().map(Vec::len), Some(2));
    assert_eq!(two["embeddings"][0], one["embedding"]);
    assert_eq!(mock.truth()[1].usage.input, 4);
    let count = post(&mock, &format!("{MODEL}:countTokens"), HELLO).json();
    assert_eq!(count, json!({"totalTokens": 3}));
    let whole = format!(r#"{{"generateContentRequest":{HELLO}}}"#);
    let count = post(&mock, &format!("{MODEL}:countTokens"), &whole).json();
    assert_eq!(count, json!({"totalTokens": 3}));
    let listed = call(&mock, "GET", "/v1beta/models", KEY, "").json();
    let default = call(&mock, "GET", "/v1/models", KEY, "").json();
    assert_eq!(listed, default);
    assert_eq!(listed["models"][0]["name"], "models/gemini-3-pro-preview");
    let bearer = "authorization: Bearer g-key\r\n";
    let compatible = call(&mock, "GET", "/v1beta/openai/models", bearer, "").json();
    assert_eq!(compatible["data"][0]["id"], "models/gemini-3-pro-preview");
    let missing = call(&mock, "GET", "/v1beta/models/none", KEY, "");
    assert_eq!(
        (missing.status, &missing.json()["error"]["status"]),
        (404, &json!("NOT_FOUND"))
    );
    let prefix = post(&mock, "/v1/models/gemini-x:generateContent", HELLO);
    assert_eq!(prefix.json()["modelVersion"], "gemini-x");
}

#[test]
fn what_is_kept_can_be_listed_used_and_taken_away() {
    let mock = start();
    let body = r#"{"model":"models/gemini-2.5-flash","contents":[{"role":"user","parts":[{"text":"a b c"}]}],"ttl":"60s"}"#;
    let made = post(&mock, "/v1beta/cachedContents", body).json();
    let name = made["name"].as_str().expect("a name");
    assert_eq!(made["usageMetadata"]["totalTokenCount"], 3);
    let path = format!("/v1beta/{name}");
    assert_eq!(call(&mock, "GET", &path, KEY, "").json(), made);
    assert_eq!(
        call(&mock, "GET", &format!("/v1/{name}"), KEY, "").json(),
        made
    );
    let with = |name: &str| {
        let body = HELLO.replacen('{', &format!(r#"{{"cachedContent":"{name}","#), 1);
        post(&mock, &format!("{MODEL}:generateContent"), &body).status
    };
    assert_eq!((with(name), with("cachedContents/none")), (200, 403));
    let listed = call(&mock, "GET", "/v1beta/cachedContents", KEY, "").json();
    assert_eq!(listed["cachedContents"], json!([made]));
    assert_eq!(call(&mock, "DELETE", &path, KEY, "").status, 200);
    assert_eq!(call(&mock, "DELETE", &path, KEY, "").status, 403);
    assert_eq!(with(name), 403);
    let file = r#"{"file":{"displayName":"d","mimeType":"text/plain"}}"#;
    let file = post(&mock, "/v1beta/files", file).json();
    assert_eq!(file["file"]["state"], "ACTIVE");
    let listed = call(&mock, "GET", "/v1beta/files", KEY, "").json();
    assert_eq!(listed["files"][0], file["file"]);
    mock.reset();
    let listed = call(&mock, "GET", "/v1beta/files", KEY, "").json();
    assert_eq!(listed, json!({}));
}

#[test]
fn a_key_travels_in_header_or_query_and_is_never_recorded() {
    let mock = start();
    mock.valid_keys(["g-key"]);
    let path = format!("{MODEL}:generateContent");
    assert_eq!(post(&mock, &path, HELLO).status, 200);
    let query = format!("{path}?a=1&key=g-key");
    assert_eq!(call(&mock, "POST", &query, "", HELLO).status, 200);
    let seen = mock.requests().pop().expect("two");
    let digest = key_digest("g-key");
    assert_eq!(seen.path, format!("{path}?a=1&key={digest}"));
    assert_eq!(seen.credential.as_deref(), Some(digest.as_str()));
    let wrong = call(&mock, "POST", &path, "x-goog-api-key: other\r\n", HELLO);
    let error = &wrong.json()["error"];
    assert_eq!(
        (
            wrong.status,
            &error["status"],
            &error["details"][0]["reason"]
        ),
        (400, &json!("INVALID_ARGUMENT"), &json!("API_KEY_INVALID"))
    );
    let none = call(&mock, "POST", &path, "", HELLO);
    assert_eq!(
        (none.status, &none.json()["error"]["status"]),
        (403, &json!("PERMISSION_DENIED"))
    );
}

#[test]
fn faults_come_in_both_framings() {
    let mock = start();
    let sse = format!("{MODEL}:streamGenerateContent?alt=sse");
    let array = format!("{MODEL}:streamGenerateContent");
    let got = told(&mock, &sse, r#"{"status":429,"retry_after":"3"}"#);
    assert_eq!((got.status, got.header("retry-after")), (429, Some("3")));
    assert_eq!(
        got.json()["error"],
        json!({"code": 429, "message": "Rate limit reached for requests.", "status": "RESOURCE_EXHAUSTED"})
    );
    let directive = r#"{"error_event_after_frames":2,"error_message":"gone"}"#;
    let got = told(&mock, &sse, directive);
    let last = got.body.trim_end().rsplit("data: ").next().expect("events");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(
        (&last["error"]["status"], &last["error"]["message"]),
        (&json!("UNAVAILABLE"), &json!("gone"))
    );
    let got = told(&mock, &array, directive).json();
    assert_eq!(got[2]["error"]["code"], 503);
    let got = told(&mock, &array, r#"{"error_event_after_frames":0}"#).json();
    assert_eq!(got[0]["error"]["code"], 503);
    let got = told(&mock, &sse, r#"{"close_after_frames":1}"#);
    assert!(!got.whole && got.body.matches("data: ").count() == 1);
    let got = told(&mock, &array, r#"{"cut_frame_after_frames":1}"#);
    assert!(got.whole && serde_json::from_str::<Value>(&got.body).is_err());
    let got = told(&mock, &array, r#"{"malformed_json":true}"#);
    assert!(serde_json::from_str::<Value>(&got.body).is_err());
    let usage = r#"{"usage":{"prompt_tokens":100,"cached_tokens":60,"audio_input_tokens":5,"completion_tokens":9}}"#;
    let got = told(&mock, &format!("{MODEL}:generateContent"), usage).json();
    let usage = &got["usageMetadata"];
    assert_eq!(usage["promptTokenCount"], 100);
    assert_eq!(usage["cachedContentTokenCount"], 60);
    assert_eq!(
        usage["promptTokensDetails"],
        json!([{"modality": "TEXT", "tokenCount": 95}, {"modality": "AUDIO", "tokenCount": 5}])
    );
    assert_eq!(usage["totalTokenCount"], 109);
    assert!(
        told(&mock, &sse, r#"{"no_usage":true}"#)
            .body
            .matches("usageMetadata")
            .count()
            == 0
    );
}
