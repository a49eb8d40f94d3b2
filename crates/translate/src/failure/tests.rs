use super::*;
use proptest::prelude::*;

struct Case {
    dialect: Dialect,
    provider: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    content_type: &'static str,
    body: &'static str,
}

const JSON: &str = "application/json";

const fn json(dialect: Dialect, provider: &'static str, status: u16, body: &'static str) -> Case {
    Case {
        dialect,
        provider,
        status,
        headers: &[],
        content_type: JSON,
        body,
    }
}

fn cases() -> Vec<Case> {
    vec![
        json(
            Dialect::Chat,
            "openai",
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        ),
        json(
            Dialect::Chat,
            "openai",
            429,
            r#"{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
        ),
        json(
            Dialect::Responses,
            "openai",
            401,
            r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        ),
        json(
            Dialect::Responses,
            "openai",
            404,
            r#"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
        ),
        json(
            Dialect::Responses,
            "openai",
            400,
            r#"{"error":{"message":"Unknown parameter: 'x'.","type":"invalid_request_error","param":"x","code":null}}"#,
        ),
        json(
            Dialect::Chat,
            "openai",
            500,
            r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#,
        ),
        json(
            Dialect::Chat,
            "azure",
            400,
            r#"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        ),
        json(
            Dialect::Messages,
            "anthropic",
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
        ),
        json(
            Dialect::Messages,
            "vertex",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"}}"#,
        ),
        json(
            Dialect::Gemini,
            "gemini",
            429,
            r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[]}}"#,
        ),
        json(
            Dialect::Gemini,
            "vertex",
            404,
            r#"[{"error":{"code":404,"message":"Publisher Model was not found","status":"NOT_FOUND"}}]"#,
        ),
        Case {
            headers: &[(
                "X-Amzn-ErrorType",
                "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
            )],
            ..json(
                Dialect::Converse,
                "bedrock",
                429,
                r#"{"message":"Too many requests"}"#,
            )
        },
        json(
            Dialect::Converse,
            "bedrock",
            400,
            r#"{"__type":"com.amazon.coral.validate#ValidationException","Message":"bad input"}"#,
        ),
        json(
            Dialect::Converse,
            "bedrock",
            200,
            r#"{"__type":"ModelTimeoutException","message":"took too long"}"#,
        ),
        json(
            Dialect::Chat,
            "elevenlabs",
            422,
            r#"{"detail":{"status":"voice_not_found","message":"no such voice"}}"#,
        ),
        json(
            Dialect::Chat,
            "custom",
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#,
        ),
        json(Dialect::Chat, "custom", 500, r#"{"error":"out of memory"}"#),
        json(
            Dialect::Chat,
            "custom",
            400,
            r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#,
        ),
        Case {
            content_type: "text/html; charset=utf-8",
            ..json(
                Dialect::Chat,
                "openai",
                502,
                "<html><body><h1>502 Bad Gateway</h1></body></html>",
            )
        },
        Case {
            content_type: "text/plain",
            ..json(Dialect::Chat, "custom", 503, "upstream connect error\n")
        },
        json(Dialect::Messages, "anthropic", 504, ""),
        Case {
            content_type: "text/event-stream",
            ..json(
                Dialect::Messages,
                "anthropic",
                200,
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            )
        },
    ]
}

fn read_case(case: &Case) -> Failure {
    read(
        case.dialect,
        case.provider,
        case.status,
        Some(case.content_type),
        case.headers,
        case.body.as_bytes(),
    )
}

#[test]
fn every_shape_is_read_and_written_for_every_caller() {
    let mut table = String::new();
    for case in cases() {
        let failure = read_case(&case);
        table.push_str(&format!(
            "{} {} {}\n",
            case.provider,
            case.status,
            case.body.trim()
        ));
        for to in [Dialect::Chat, Dialect::Messages, Dialect::Gemini] {
            let (status, body) = write(to, &failure, case.provider);
            let body = String::from_utf8(body).expect("text");
            table.push_str(&format!("  {to:?} {status} {body}\n"));
        }
        table.push_str(&format!("  stream {}\n", stream_object(&failure)));
    }
    insta::assert_snapshot!(table);
}

/// Data-plane 20.4: what retry logic decides by.
#[test]
fn the_taxonomy_survives() {
    let code = |status: u16, kind: &str, code: Option<&str>| {
        let failure = Failure {
            status: Some(status),
            kind: Some(kind.to_owned()),
            code: code.map(ToOwned::to_owned),
            message: "no".to_owned(),
            param: None,
        };
        let (written, body) = write(Dialect::Responses, &failure, "openai");
        assert_eq!(written, status);
        let back = read(Dialect::Responses, "openai", written, None, &[], &body);
        assert_eq!(back.kind.as_deref(), Some(kind));
        let (messages, _) = write(Dialect::Messages, &failure, "openai");
        assert_eq!(messages, status);
        back.code.expect("a code")
    };
    for (status, kind, given, expected) in [
        (
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            "insufficient_quota",
        ),
        (
            429,
            "requests",
            Some("rate_limit_exceeded"),
            "rate_limit_exceeded",
        ),
        (
            401,
            "invalid_request_error",
            Some("invalid_api_key"),
            "invalid_api_key",
        ),
        (
            404,
            "invalid_request_error",
            Some("model_not_found"),
            "model_not_found",
        ),
        (400, "invalid_request_error", None, "invalid_request_error"),
        (500, "server_error", None, "server_error"),
        (529, "overloaded_error", None, "overloaded_error"),
    ] {
        assert_eq!(code(status, kind, given), expected, "{status} {kind}");
    }
}

#[test]
fn exceptions_have_a_status_where_http_has_none() {
    for (name, status) in [
        ("validationException", Some(400)),
        ("com.amazon#ThrottlingException:http://x", Some(429)),
        ("ModelStreamErrorException", Some(424)),
        ("SomethingElse", None),
    ] {
        assert_eq!(exception_status(name), status, "{name}");
    }
}

#[test]
fn a_failed_response_says_what_its_code_means() {
    let raw = json::raw(r#"{"code":"rate_limit_exceeded","message":"slow"}"#.to_owned());
    let failure = of_response(Some(&raw));
    assert_eq!(failure.status, Some(429));
    assert_eq!(failure.kind.as_deref(), Some("rate_limit_error"));
    assert!(!of_response(None).message.is_empty());
}

proptest! {
    #[test]
    fn any_body_gives_a_failure_that_can_be_written(
        status: u16,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let failure = read(Dialect::Chat, "custom", status, None, &[], &body);
        prop_assert!(!failure.message.is_empty());
        for to in [Dialect::Chat, Dialect::Messages, Dialect::Gemini] {
            let (status, body) = write(to, &failure, "custom");
            prop_assert!((400..600).contains(&status));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }
}
