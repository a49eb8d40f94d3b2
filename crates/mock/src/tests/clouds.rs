//! Vertex AI, Azure and Bedrock: credentials that are really checked, shapes, and faults in frames.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::client::{Got, call, frames, get, post, start};
use crate::clock::now_ms;
use crate::{MockProvider, key_digest};

const CONVERSE: &str = "/model/anthropic.claude-x%3A0/converse";
const TURN: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello there mock"}]}]}"#;
const CLAUDE: &str = r#"{"anthropic_version":"any","max_tokens":9,"messages":[{"role":"user","content":"hello there mock"}]}"#;
const CHAT_TURN: &str = r#"{"messages":[{"role":"user","content":"hello there mock"}]}"#;

fn now() -> u64 {
    now_ms() / 1_000
}

/// What a caller signs with.
#[derive(Clone)]
struct Signer {
    access_key: &'static str,
    secret_key: &'static str,
    token: Option<String>,
    region: &'static str,
    service: &'static str,
    at: u64,
}

impl Signer {
    fn usual() -> Self {
        Self {
            access_key: "AKIAMOCKMOCKMOCKMOCK",
            secret_key: "mock-secret",
            token: None,
            region: "us-east-1",
            service: "bedrock",
            at: now(),
        }
    }

    fn headers(&self, path: &str, body: &str) -> String {
        let credentials = Credentials::new(
            self.access_key,
            self.secret_key,
            self.token.clone(),
            None,
            "test",
        );
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(UNIX_EPOCH + Duration::from_secs(self.at))
            .settings(SigningSettings::default())
            .build()
            .expect("parameters");
        let headers = [("host", "mock"), ("content-type", "application/json")];
        let request = SignableRequest::new(
            "POST",
            format!("http://mock{path}"),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let signed = sign(request.expect("signable"), &params.into()).expect("signed");
        let (instructions, _) = signed.into_parts();
        let mut out = String::from("content-type: application/json\r\n");
        for (name, value) in instructions.headers() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out
    }

    fn send(&self, mock: &MockProvider, path: &str, body: &str) -> Got {
        call(mock, "POST", path, &self.headers(path, body), body)
    }
}

fn refused(got: &Got, exception: &str) {
    assert_eq!(got.status, 403, "{}", got.body);
    let header = format!("{exception}:");
    assert_eq!(got.header("x-amzn-errortype"), Some(header.as_str()));
    assert!(got.json()["message"].is_string());
}

#[test]
fn a_signature_is_checked_in_all_its_parts() {
    let mock = start();
    let signer = Signer::usual();
    for path in [
        CONVERSE,
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
        "/model/m/converse?a=1&b=%20x",
    ] {
        let got = signer.send(&mock, path, TURN);
        assert_eq!(got.status, 200, "{path}: {}", got.body);
    }
    let seen = mock.requests().remove(0);
    assert_eq!(seen.region.as_deref(), Some("us-east-1"));
    assert_eq!(
        seen.credential.as_deref(),
        Some(key_digest("AKIAMOCKMOCKMOCKMOCK").as_str())
    );
    let headers = signer.headers(CONVERSE, TURN);
    let other = TURN.replace("hello", "jello");
    refused(
        &call(&mock, "POST", CONVERSE, &headers, &other),
        "InvalidSignatureException",
    );
    refused(
        &call(&mock, "POST", "/model/other/converse", &headers, TURN),
        "InvalidSignatureException",
    );
    let changed = |change: &dyn Fn(&mut Signer), exception: &str| {
        let mut signer = Signer::usual();
        change(&mut signer);
        refused(&signer.send(&mock, CONVERSE, TURN), exception);
    };
    changed(&|s| s.secret_key = "wrong", "InvalidSignatureException");
    changed(
        &|s| s.access_key = "AKIAOTHER",
        "UnrecognizedClientException",
    );
    changed(&|s| s.service = "s3", "InvalidSignatureException");
    changed(&|s| s.at -= 400, "InvalidSignatureException");
    changed(&|s| s.at += 400, "InvalidSignatureException");
    changed(
        &|s| s.token = Some(String::from("none")),
        "UnrecognizedClientException",
    );
    refused(
        &call(&mock, "POST", CONVERSE, "", TURN),
        "MissingAuthenticationTokenException",
    );
    refused(
        &call(
            &mock,
            "POST",
            CONVERSE,
            "authorization: AWS4-HMAC-SHA256 x\r\n",
            TURN,
        ),
        "IncompleteSignatureException",
    );
}

#[test]
fn registered_pairs_have_their_token_and_region_and_bearers_their_list() {
    let mock = start();
    let pair =
        r#"{"access_key":"AKIATEST","secret_key":"s","session_token":"t","region":"eu-west-1"}"#;
    assert_eq!(post(&mock, "/_mock/aws-credentials", pair).status, 200);
    let signer = Signer {
        access_key: "AKIATEST",
        secret_key: "s",
        token: Some(String::from("t")),
        region: "eu-west-1",
        ..Signer::usual()
    };
    assert_eq!(signer.send(&mock, CONVERSE, TURN).status, 200);
    assert!(!get(&mock, "/_mock/requests").body.contains("\"t\""));
    let bare = Signer {
        token: None,
        ..signer.clone()
    };
    refused(
        &bare.send(&mock, CONVERSE, TURN),
        "UnrecognizedClientException",
    );
    let elsewhere = Signer {
        region: "us-east-1",
        ..signer
    };
    refused(
        &elsewhere.send(&mock, CONVERSE, TURN),
        "InvalidSignatureException",
    );
    mock.valid_keys(["ABSKkey"]);
    let bearer = |key: &str| {
        let headers = format!("authorization: Bearer {key}\r\n");
        call(&mock, "POST", CONVERSE, &headers, TURN)
    };
    assert_eq!(bearer("ABSKkey").status, 200);
    refused(&bearer("other"), "AccessDeniedException");
}

#[test]
fn temporary_credentials_come_from_sts_and_from_the_instance() {
    let mock = start();
    let form = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ax&RoleSessionName=s&WebIdentityToken=jwt-secret";
    let got = call(&mock, "POST", "/", "", form);
    assert_eq!(got.status, 200, "{}", got.body);
    let field = |name: &str| {
        let (_, rest) = got.body.split_once(&format!("<{name}>")).expect(name);
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let signer = Signer {
        access_key: field("AccessKeyId").leak(),
        secret_key: field("SecretAccessKey").leak(),
        token: Some(field("SessionToken")),
        ..Signer::usual()
    };
    assert_eq!(signer.send(&mock, CONVERSE, TURN).status, 200);
    assert!(!get(&mock, "/_mock/requests").body.contains("jwt-secret"));
    assert_eq!(
        post(&mock, "/_mock/tokens", r#"{"revoke":true}"#).status,
        200
    );
    refused(
        &signer.send(&mock, CONVERSE, TURN),
        "UnrecognizedClientException",
    );
    let wrong = call(&mock, "POST", "/", "", "Action=GetCallerIdentity");
    assert!(wrong.status == 400 && wrong.body.contains("<Code>InvalidAction</Code>"));

    let roles = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(call(&mock, "GET", roles, "", "").status, 401);
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
    let token = call(&mock, "PUT", "/latest/api/token", ttl, "").body;
    let headers = format!("x-aws-ec2-metadata-token: {token}\r\n");
    let role = call(&mock, "GET", roles, &headers, "").body;
    let given = call(&mock, "GET", &format!("{roles}{role}"), &headers, "").json();
    let text = |name: &str| given[name].as_str().expect(name).to_owned();
    let signer = Signer {
        access_key: text("AccessKeyId").leak(),
        secret_key: text("SecretAccessKey").leak(),
        token: Some(text("Token")),
        ..Signer::usual()
    };
    assert_eq!(signer.send(&mock, CONVERSE, TURN).status, 200);
    assert_eq!(get(&mock, "/_mock/stats").json()["token_exchanges"], 2);
}

fn bedrock(mock: &MockProvider, path: &str, directive: &str, body: &str) -> Got {
    let headers = format!("authorization: Bearer b\r\nx-mock: {directive}\r\n");
    call(mock, "POST", path, &headers, body)
}

#[test]
fn claude_is_invoked_whole_and_in_frames() {
    let mock = start();
    let whole = bedrock(&mock, "/model/anthropic.claude-x/invoke", "{}", CLAUDE);
    assert_eq!(whole.json()["type"], "message");
    assert_eq!(whole.header("x-amzn-bedrock-input-token-count"), Some("3"));
    let path = "/model/anthropic.claude-x/invoke-with-response-stream";
    let got = bedrock(&mock, path, "{}", CLAUDE);
    let events: Vec<Value> = frames(&got.bytes)
        .expect("whole frames")
        .into_iter()
        .map(|frame| {
            assert_eq!(
                (frame.message.as_str(), frame.kind.as_str()),
                ("event", "chunk")
            );
            let bytes = frame.payload["bytes"].as_str().expect("bytes");
            let event = BASE64.decode(bytes.as_bytes()).expect("base64");
            serde_json::from_slice(&event).expect("an event")
        })
        .collect();
    assert_eq!(events[0]["type"], "message_start");
    assert!(events.iter().all(|event| event["type"] != "ping"));
    let last = events.last().expect("events");
    assert_eq!(
        last["amazon-bedrock-invocationMetrics"]["inputTokenCount"],
        3
    );
    for (body, words) in [
        (
            CLAUDE.replace(r#""anthropic_version":"any","#, ""),
            "anthropic_version",
        ),
        (
            CLAUDE.replace('{', r#"{"model":"m","#).replacen(
                "{\"model\":\"m\",\"role",
                "{\"role",
                1,
            ),
            "model: Extra",
        ),
    ] {
        let got = bedrock(&mock, "/model/anthropic.claude-x/invoke", "{}", &body);
        assert!(
            got.status == 400 && got.body.contains(words),
            "{}",
            got.body
        );
    }
    let count = |input: &str| {
        let body = format!(r#"{{"input":{input}}}"#);
        bedrock(&mock, "/model/m/count-tokens", "{}", &body).json()
    };
    let converse = count(&format!(r#"{{"converse":{TURN}}}"#));
    assert_eq!(converse, json!({"inputTokens": 3}));
    let coded = BASE64.encode(CLAUDE.as_bytes());
    let invoked = count(&format!(r#"{{"invokeModel":{{"body":"{coded}"}}}}"#));
    assert_eq!(invoked, converse);
}

#[test]
fn titan_and_cohere_embed() {
    let mock = start();
    let titan = |model: &str| {
        let body = r#"{"inputText":"one two","dimensions":4}"#;
        bedrock(&mock, &format!("/model/{model}/invoke"), "{}", body).json()
    };
    let second = titan("amazon.titan-embed-text-v2%3A0");
    assert_eq!(second["inputTextTokenCount"], 2);
    assert_eq!(second["embeddingsByType"]["float"], second["embedding"]);
    assert!(
        titan("amazon.titan-embed-text-v1")
            .get("embeddingsByType")
            .is_none()
    );
    let cohere = |more: &str| {
        let body = format!(r#"{{"texts":["one two","three"],"input_type":"search_query"{more}}}"#);
        bedrock(&mock, "/model/cohere.embed-english-v3/invoke", "{}", &body)
    };
    let plain = cohere("");
    assert_eq!(plain.header("x-amzn-bedrock-input-token-count"), Some("3"));
    let plain = plain.json();
    assert_eq!(plain["embeddings"].as_array().map(Vec::len), Some(2));
    let typed = cohere(r#","embedding_types":["float"]"#).json();
    assert_eq!(typed["embeddings"]["float"], plain["embeddings"]);
    assert_eq!(typed["response_type"], "embeddings_by_type");
    assert_eq!(mock.truth()[2].usage.input, 3);
}

#[test]
fn frames_break_in_each_way() {
    let mock = start();
    let path = format!("{CONVERSE}-stream");
    let with = |directive: &str| bedrock(&mock, &path, directive, TURN);
    let got = with(r#"{"status":429,"error_type":"ThrottlingException"}"#);
    assert_eq!(got.header("x-amzn-errortype"), Some("ThrottlingException:"));
    let got = with(r#"{"error_event_after_frames":2,"error_type":"modelStreamErrorException"}"#);
    let all = frames(&got.bytes).expect("whole frames");
    let last = all.last().expect("frames");
    assert_eq!(
        (last.message.as_str(), last.kind.as_str()),
        ("exception", "modelStreamErrorException")
    );
    assert_eq!(all.len(), 4);
    let got = with(r#"{"bad_crc_after_frames":2}"#);
    assert_eq!(frames(&got.bytes).expect_err("a bad sum"), (3, "checksum"));
    let got = with(r#"{"cut_frame_after_frames":2}"#);
    assert!(got.whole);
    assert_eq!(frames(&got.bytes).expect_err("half a frame"), (3, "cut"));
    let got = with(r#"{"malformed_json":true}"#);
    let all = frames(&got.bytes).expect("whole frames");
    assert_eq!(all[1].payload, Value::Null);
    let got = with(r#"{"split_every":7}"#);
    assert!(frames(&got.bytes).is_ok());
    let got = with(r#"{"reset_after_frames":1}"#);
    assert!(!got.whole && got.reset);
    let invoke = "/model/anthropic.claude-x/invoke-with-response-stream";
    let got = bedrock(&mock, invoke, r#"{"error_event_after_frames":1}"#, CLAUDE);
    let all = frames(&got.bytes).expect("whole frames");
    assert_eq!(
        all.last().map(|frame| frame.message.as_str()),
        Some("exception")
    );
}

/// A service account's assertion over these claims.
fn assertion(account: &Value, claims: &Value) -> String {
    let pem = account["private_key"].as_str().expect("a key");
    let base64: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    let der = BASE64.decode(base64.as_bytes()).expect("base64");
    let key = RsaKeyPair::from_pkcs8(&der).expect("a key");
    let head = json!({"alg": "RS256", "typ": "JWT", "kid": account["private_key_id"]});
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&head), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn claims(account: &Value) -> Value {
    json!({
        "iss": account["client_email"],
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now(),
        "exp": now() + 3_600,
    })
}

fn exchange(mock: &MockProvider, assertion: &str) -> Got {
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
    );
    call(mock, "POST", "/token", "", &form)
}

const VERTEX: &str = "/v1/projects/p/locations/us-central1";

#[test]
fn a_service_account_gets_a_token_that_vertex_takes() {
    let mock = start();
    let account = get(&mock, "/_mock/service-account.json").json();
    assert_eq!(account["token_uri"], "http://mock/token");
    let given = get(
        &mock,
        "/_mock/service-account.json?token_uri=https%3A%2F%2Fx%2Ft",
    )
    .json();
    assert_eq!(given["token_uri"], "https://x/t");
    assert_eq!(given["private_key"], account["private_key"]);
    let signed = assertion(&account, &claims(&account));
    let got = exchange(&mock, &signed);
    assert_eq!(got.status, 200, "{}", got.body);
    let token = got.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let recorded = get(&mock, "/_mock/requests").body;
    assert!(!recorded.contains(&signed) && recorded.contains(&key_digest(&signed)));
    let vertex = |token: &str, path: &str, body: &str| {
        let headers = format!("authorization: Bearer {token}\r\n");
        call(&mock, "POST", &format!("{VERTEX}{path}"), &headers, body)
    };
    let hello = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;
    let gemini = "/publishers/google/models/gemini-x:generateContent";
    assert_eq!(vertex(&token, gemini, hello).status, 200);
    let truth = mock.truth().pop().expect("one");
    assert_eq!(
        (
            truth.vendor.as_str(),
            truth.region.as_deref(),
            truth.model.as_str()
        ),
        ("vertex", Some("us-central1"), "gemini-x")
    );
    let refused = vertex("ya29.other", gemini, hello);
    assert_eq!(
        (refused.status, &refused.json()["error"]["status"]),
        (401, &json!("UNAUTHENTICATED"))
    );
    let claude = "/publishers/anthropic/models/claude-x@1:rawPredict";
    let got = vertex(&token, claude, CLAUDE).json();
    assert_eq!(
        (&got["type"], &got["model"]),
        (&json!("message"), &json!("claude-x@1"))
    );
    let streamed = vertex(&token, &claude.replace("rawP", "streamRawP"), CLAUDE);
    assert!(streamed.body.contains("event: message_stop"));
    let unversioned = vertex(&token, claude, r#"{"max_tokens":1,"messages":[]}"#);
    assert_eq!(
        (unversioned.status, &unversioned.json()["type"]),
        (400, &json!("error"))
    );
    let count = r#"{"model":"claude-x","messages":[{"role":"user","content":"one two"}]}"#;
    let count = vertex(
        &token,
        "/publishers/anthropic/models/count-tokens:rawPredict",
        count,
    );
    assert_eq!(count.json()["input_tokens"], 2);
    let chat = CHAT_TURN.replacen('{', r#"{"model":"meta/llama","#, 1);
    let chat = vertex(&token, "/endpoints/openapi/chat/completions", &chat);
    assert_eq!(chat.json()["object"], "chat.completion");
    let predict = r#"{"instances":[{"content":"one two"},{"content":"three"}],"parameters":{"outputDimensionality":3}}"#;
    let got = vertex(
        &token,
        "/publishers/google/models/text-embedding-005:predict",
        predict,
    )
    .json();
    let first = &got["predictions"][0]["embeddings"];
    assert_eq!(first["statistics"]["token_count"], 2);
    assert_eq!(first["values"].as_array().map(Vec::len), Some(3));
    assert_eq!(mock.truth().pop().map(|truth| truth.usage.input), Some(3));
    let by_key = "x-goog-api-key: k\r\n";
    let got = call(&mock, "POST", &format!("{VERTEX}{gemini}"), by_key, hello);
    assert_eq!(got.status, 200);
}

#[test]
fn assertions_and_tokens_are_refused_for_each_fault() {
    let mock = start();
    let account = get(&mock, "/_mock/service-account.json").json();
    let with = |name: &str, value: Value| {
        let mut claims = claims(&account);
        claims[name] = value;
        exchange(&mock, &assertion(&account, &claims))
    };
    for (got, why) in [
        (with("iss", json!("else@x")), "account not found"),
        (with("aud", json!("https://else/token")), "audience"),
        (with("scope", json!(" ")), "scope"),
        (with("exp", json!(now() + 3_700)), "short-lived"),
        (with("iat", json!(now() + 600)), "timeframe"),
        (with("exp", json!(0)), "short-lived"),
    ] {
        assert_eq!(
            (got.status, &got.json()["error"]),
            (400, &json!("invalid_grant"))
        );
        assert!(got.body.contains(why), "{why} is not in {}", got.body);
    }
    assert_eq!(with("aud", json!("http://mock/token")).status, 200);
    let good = assertion(&account, &claims(&account));
    let mut changed = good.clone().into_bytes();
    let last = changed.len() - 9;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("text");
    assert!(exchange(&mock, &changed).body.contains("Signature"));
    let other = r#"{"client_email":"mine@x","public_key_pem":"nonsense"}"#;
    assert_eq!(post(&mock, "/_mock/service-accounts", other).status, 400);

    assert_eq!(
        post(&mock, "/_mock/tokens", r#"{"expires_in":0}"#).status,
        200
    );
    let token = exchange(&mock, &good).json();
    assert_eq!(token["expires_in"], 0);
    let gemini = format!("{VERTEX}/publishers/google/models/g:generateContent");
    let headers = format!(
        "authorization: Bearer {}\r\n",
        token["access_token"].as_str().expect("one")
    );
    let hello = r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#;
    assert_eq!(call(&mock, "POST", &gemini, &headers, hello).status, 401);
    let refresh = "grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r-secret";
    let token = call(
        &mock,
        "POST",
        "/token",
        "x-mock: {\"expires_in\":50}\r\n",
        refresh,
    );
    assert_eq!(token.json()["expires_in"], 50);
    mock.valid_keys(["other"]);
    assert_eq!(call(&mock, "POST", "/token", "", refresh).status, 400);
    let metadata = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(call(&mock, "GET", metadata, "", "").status, 403);
    let got = call(&mock, "GET", metadata, "Metadata-Flavor: Google\r\n", "");
    assert!(got.json()["access_token"].is_string());
    let script = r#"[{"match":{"path":"/token"},"status":503,"error_type":"unavailable"}]"#;
    assert_eq!(post(&mock, "/_mock/script", script).status, 200);
    let got = exchange(&mock, &good);
    assert_eq!(
        (got.status, &got.json()["error"]),
        (503, &json!("unavailable"))
    );
}

const AZURE: &str = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21";

#[test]
fn azure_wants_a_version_a_deployment_and_a_credential() {
    let mock = start();
    let key = "api-key: a\r\n";
    let azure = |path: &str, headers: &str| call(&mock, "POST", path, headers, CHAT_TURN);
    let got = azure(AZURE, key);
    assert_eq!((got.status, &got.json()["model"]), (200, &json!("my-gpt")));
    let truth = mock.truth().pop().expect("one");
    assert_eq!(
        (truth.deployment.as_deref(), truth.api_version.as_deref()),
        (Some("my-gpt"), Some("2024-10-21"))
    );
    let bare = AZURE.split('?').next().unwrap_or_default();
    assert_eq!(azure(bare, key).status, 404);
    assert_eq!(
        azure(&format!("{bare}?api-version=latest"), key).status,
        400
    );
    let got = azure(AZURE, "");
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (401, &json!("401"))
    );
    assert_eq!(
        post(&mock, "/_mock/deployments", r#"{"valid":["other"]}"#).status,
        200
    );
    let got = azure(AZURE, key);
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (404, &json!("DeploymentNotFound"))
    );
    assert_eq!(
        post(&mock, "/_mock/deployments", r#"{"valid":null}"#).status,
        200
    );
    let stream = CHAT_TURN.replacen('{', r#"{"stream":true,"#, 1);
    let events = call(&mock, "POST", AZURE, key, &stream).events();
    assert_eq!(events[0].1["choices"], json!([]));
    assert!(events[0].1["prompt_filter_results"].is_array());
    let headers = format!("{key}x-mock: {{\"block_reason\":\"hate\"}}\r\n");
    let got = azure(AZURE, &headers);
    let error = &got.json()["error"];
    assert_eq!(
        (got.status, &error["code"]),
        (400, &json!("content_filter"))
    );
    let inner = &error["innererror"]["content_filter_result"];
    assert_eq!(
        (&inner["hate"]["filtered"], &inner["sexual"]["filtered"]),
        (&json!(true), &json!(false))
    );
    let body = r#"{"model":"my-gpt","input":"hello"}"#;
    let got = call(
        &mock,
        "POST",
        "/openai/v1/responses?api-version=preview",
        key,
        body,
    );
    assert_eq!(got.json()["object"], "response");
    let got = call(
        &mock,
        "POST",
        "/openai/deployments/e/embeddings?api-version=2024-10-21",
        key,
        body,
    );
    assert_eq!(got.json()["object"], "list");
}

#[test]
fn entra_tokens_are_issued_for_the_right_scope_only() {
    let mock = start();
    let scope = "https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
    let entra = |scope: &str, proof: &str| {
        let form = format!("grant_type=client_credentials&client_id=c&scope={scope}&{proof}");
        call(&mock, "POST", "/tenant-1/oauth2/v2.0/token", "", &form)
    };
    let got = entra(scope, "client_secret=s");
    assert_eq!(got.status, 200, "{}", got.body);
    let token = got.json()["access_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let with = |token: &str| {
        let headers = format!("authorization: Bearer {token}\r\n");
        call(&mock, "POST", AZURE, &headers, CHAT_TURN).status
    };
    assert_eq!((with(&token), with("other")), (200, 401));
    let federated = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=";
    assert_eq!(entra(scope, &format!("{federated}a.b.c")).status, 200);
    assert_eq!(entra(scope, &format!("{federated}a.b")).status, 401);
    assert_eq!(
        entra("else", "client_secret=s").json()["error"],
        "invalid_scope"
    );
    mock.valid_keys(["good", "k1"]);
    assert_eq!(
        entra(scope, "client_secret=s").json()["error"],
        "invalid_client"
    );
    assert_eq!(entra(scope, "client_secret=good").status, 200);
    let v1 = |key: &str| {
        let headers = format!("authorization: Bearer {key}\r\n");
        let body = r#"{"model":"d","input":"hello"}"#;
        call(&mock, "POST", "/openai/v1/responses", &headers, body).status
    };
    assert_eq!((v1("k1"), v1("k2")), (200, 401));
    let managed = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com%2F";
    assert_eq!(call(&mock, "GET", managed, "", "").status, 400);
    let got = call(&mock, "GET", managed, "Metadata: true\r\n", "").json();
    assert_eq!(with(got["access_token"].as_str().expect("a token")), 200);
    assert_eq!(get(&mock, "/_mock/stats").json()["token_exchanges"], 4);
}
