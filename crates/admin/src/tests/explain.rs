//! `POST /virtual-keys/:id/check-request`: what reaches the data plane, and what comes back.

use std::sync::Arc;

use lw_core::{Code, Error, ModelProviderId, OrganizationId, VirtualKeyId};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Plane;
use crate::explain::{
    Candidate, Explaining, Explains, Explanation, Question, Refusal, Step, Verdict, read,
};

/// A data plane that knows of no decision.
pub(super) struct Silent;

impl Explains for Silent {
    fn explain<'a>(
        &'a self,
        _: &'a OrganizationId,
        _: &'a VirtualKeyId,
        _: Question,
    ) -> Explaining<'a> {
        Box::pin(std::future::ready(Ok(Explanation {
            steps: Vec::new(),
            would_dispatch: Vec::new(),
            refusal: None,
        })))
    }
}

/// Answers with what it was given, and keeps what it was asked.
struct Recorder {
    asked: Mutex<Vec<(OrganizationId, VirtualKeyId, Question)>>,
    answer: Result<Explanation, Code>,
}

impl Explains for Recorder {
    fn explain<'a>(
        &'a self,
        organization: &'a OrganizationId,
        key: &'a VirtualKeyId,
        question: Question,
    ) -> Explaining<'a> {
        Box::pin(async move {
            // What is asked may wait for other tasks of the runtime.
            tokio::task::yield_now().await;
            let asked = (organization.clone(), key.clone(), question);
            self.asked.lock().push(asked);
            self.answer
                .clone()
                .map_err(|code| Error::new(code, "the data plane is down"))
        })
    }
}

/// A data plane that never answers.
struct Stuck;

impl Explains for Stuck {
    fn explain<'a>(
        &'a self,
        _: &'a OrganizationId,
        _: &'a VirtualKeyId,
        _: Question,
    ) -> Explaining<'a> {
        Box::pin(std::future::pending())
    }
}

fn step(stage: &str, outcome: Verdict, detail: &str) -> Step {
    Step {
        stage: stage.into(),
        outcome,
        detail: detail.into(),
    }
}

fn refused() -> Explanation {
    Explanation {
        steps: vec![
            step("authentication", Verdict::Pass, "The key is active."),
            step(
                "budget",
                Verdict::Refuse,
                "`web-monthly` is spent: $5.00 of $5.00.",
            ),
        ],
        would_dispatch: Vec::new(),
        refusal: Some(Refusal {
            code: "budget_exceeded".into(),
            status: 402,
            message: "The project's budget of the month is spent.".into(),
        }),
    }
}

fn dispatched() -> Explanation {
    let candidate = |provider: &str, model: &str, note: Option<&str>| Candidate {
        provider: provider.into(),
        model_provider_id: ModelProviderId::parse(&format!("mp_{provider}")).expect("an id"),
        model: model.into(),
        note: note.map(str::to_owned),
    };
    Explanation {
        steps: vec![
            step(
                "model",
                Verdict::Info,
                "`fast` is an alias of `openai/gpt-5-mini`.",
            ),
            step("budget", Verdict::Warn, "`web-monthly`: 91 % of $5.00."),
            step("guardrails", Verdict::Skip, "None is attached."),
        ],
        would_dispatch: vec![
            candidate("openai", "gpt-5-mini", None),
            candidate("anthropic", "claude-haiku-4-5", Some("a substitute")),
        ],
        refusal: None,
    }
}

fn plane(answer: Result<Explanation, Code>) -> (Plane, Arc<Recorder>) {
    let recorder = Arc::new(Recorder {
        asked: Mutex::default(),
        answer,
    });
    let explainer = Arc::clone(&recorder);
    let plane = Plane::with(|admin| admin.explainer = explainer);
    (plane, recorder)
}

async fn key(plane: &Plane) -> (String, String) {
    let body = json!({
        "name": "k", "scopes": [{ "scope_type": "project", "scope_id": "default" }],
    });
    let minted = plane
        .post("/api/gateway/v1/virtual-keys", body)
        .await
        .fine(201);
    let id = minted["virtual_key"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    (
        format!("/api/gateway/v1/virtual-keys/{id}/check-request"),
        id,
    )
}

#[tokio::test]
async fn every_decision_and_the_refusal_come_back_in_order() {
    for (name, answer) in [("refused", refused()), ("dispatched", dispatched())] {
        let (plane, recorder) = plane(Ok(answer));
        let (path, id) = key(&plane).await;
        plane.announced();
        let got = plane
            .post(&path, json!({ "model": "fast" }))
            .await
            .fine(200);
        insta::assert_json_snapshot!(name, got);
        let asked = recorder.asked.lock();
        let [(organization, key, _)] = asked.as_slice() else {
            panic!("asked once: {asked:?}");
        };
        assert_eq!(
            (organization.as_str(), key.as_str()),
            ("org_acme", id.as_str())
        );
        assert_eq!(plane.announced(), Vec::<&str>::new(), "nothing changes");
    }
}

#[tokio::test]
async fn a_whole_body_is_asked_about_byte_for_byte() {
    let (plane, recorder) = plane(Ok(dispatched()));
    let (path, _) = key(&plane).await;
    let body = r#"{ "z":1.10, "model" : "gp\u0074-5","model":"b", "n":12345678901234567890123 }"#;
    let text = format!(r#"{{"endpoint":"/v1/messages?beta=true","body":{body}}}"#);
    let request = http::Request::builder()
        .method("POST")
        .uri(&path)
        .header("authorization", format!("Bearer {}", plane.acme));
    let request = request
        .body(axum::body::Body::from(text))
        .expect("a request");
    plane.send(request).await.fine(200);
    plane
        .post(&path, json!({ "body": "{\"model\":" }))
        .await
        .fine(200);
    let asked: Vec<Question> = recorder
        .asked
        .lock()
        .iter()
        .map(|it| it.2.clone())
        .collect();
    assert_eq!(
        asked,
        [
            Question {
                path: "/v1/messages?beta=true".into(),
                headers: Vec::new(),
                body: body.into(),
            },
            Question {
                path: "/v1/chat/completions".into(),
                headers: Vec::new(),
                body: "{\"model\":".into(),
            },
        ]
    );
}

#[tokio::test]
async fn a_data_plane_that_cannot_say_is_a_failure_of_ours() {
    let (plane, _) = plane(Err(Code::AuthUpstreamUnavailable));
    let (path, _) = key(&plane).await;
    let got = plane.post(&path, json!({})).await;
    assert_eq!(got.code(), (503, "internal_error".into()));
    assert!(!got.text.contains("down"), "{}", got.text);
}

#[tokio::test]
async fn a_data_plane_that_does_not_answer_is_not_waited_for() {
    let plane = Plane::with(|admin| admin.explainer = Arc::new(Stuck));
    let (path, _) = key(&plane).await;
    // A thread that blocks keeps the clock from running on by itself.
    tokio::time::pause();
    let hours = async {
        loop {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
    };
    let got = tokio::select! {
        got = plane.post(&path, json!({})) => got,
        () = hours => panic!("the clock stopped"),
    };
    assert_eq!(got.code(), (503, "internal_error".into()));
    assert_eq!(got.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said_by_field() {
    let (plane, recorder) = plane(Ok(dispatched()));
    let (path, _) = key(&plane).await;
    let long = "x".repeat(2049);
    let cases = [
        json!({ "endpoint": "v1/messages", "tool": ["a"], "headers": { "a b": "c", "d": 1, "e": "\n" } }),
        json!({ "endpoint": "/v1/audio/speech", "model": "tts-1" }),
        json!({ "endpoint": "/v1/embeddings", "tools": ["a"], "stream": true, "max_output_tokens": 0 }),
        json!({ "endpoint": "/v1beta/models/m:generateContent", "model": "other", "stream": true }),
        json!({ "endpoint": "/v1beta/models/{model}:generateContent" }),
        json!({ "endpoint": "/v1beta/models/{model}:generateContent", "model": "a?b" }),
        json!({ "body": {}, "model": "m", "tools": [], "urls": ["u"], "stream": false }),
        json!({ "body": 7 }),
        json!({ "endpoint": null, "model": long, "tools": vec!["t"; 101], "end_user_id": "\u{7}" }),
    ];
    let mut lines = Vec::new();
    for case in cases {
        let got = plane.post(&path, case).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{}", got.text);
        let error = &got.json()["error"]["meta"]["reasons"];
        for reason in error.as_array().expect("reasons") {
            let (field, text) = (&reason["meta"]["field"], &reason["message"]);
            lines.push(format!(
                "{} {}",
                field.as_str().expect("a field"),
                text.as_str().expect("a text")
            ));
        }
        lines.push(String::new());
    }
    insta::assert_snapshot!(lines.join("\n"));
    assert_eq!(recorder.asked.lock().len(), 0);
}

fn question(body: &Value) -> Question {
    let whole = body.get("body").map(Value::to_string);
    read(body.as_object().expect("an object"), whole.as_deref()).expect("a good question")
}

#[test]
fn parts_become_a_body_and_the_end_user_a_header() {
    let asked = question(&json!({
        "endpoint": "/v1/responses", "model": "gpt-5", "tools": ["shell"],
        "urls": ["https://example.com"], "end_user_id": "u-1",
        "headers": { "X-LangWatch-Cache": "force", "x-langwatch-end-user-id": "other" },
    }));
    let headers = [
        ("x-langwatch-cache", "force"),
        ("x-langwatch-end-user-id", "u-1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked.headers, headers);
    let body: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!(body["model"], "gpt-5");
    assert_eq!(body["tools"][0]["name"], "shell");
    assert_eq!(body["input"][0]["content"], "https://example.com");
}

#[test]
fn the_model_takes_its_place_in_a_path() {
    let endpoint = "/v1beta/models/{model}:streamGenerateContent?alt=sse";
    let asked = question(&json!({ "endpoint": endpoint, "model": "gemini-2.5-flash" }));
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    assert_eq!(asked.path, path);
    assert!(!asked.body.contains("gemini"), "{}", asked.body);
    let asked = question(&json!({
        "endpoint": endpoint, "model": "gemini-2.5-flash", "body": { "contents": [] },
    }));
    assert_eq!(
        (asked.path.as_str(), asked.body.as_str()),
        (path, r#"{"contents":[]}"#)
    );
}

proptest! {
    /// Whatever headers are pasted, none that carries a credential goes on.
    #[test]
    fn no_credential_goes_on(
        spelling in proptest::collection::vec(any::<bool>(), 20),
        value in "[ -~]{0,40}",
    ) {
        let mut headers = Map::new();
        for name in [
            "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key",
            "x-goog-api-key", "xi-api-key", "x-kept",
        ] {
            let shouted: String = name
                .chars()
                .zip(spelling.iter().cycle())
                .map(|(c, up)| if *up { c.to_ascii_uppercase() } else { c })
                .collect();
            headers.insert(shouted, json!(value));
        }
        let asked = question(&json!({ "headers": headers }));
        prop_assert_eq!(asked.headers, vec![("x-kept".to_owned(), value)]);
    }
}
