//! Envelopes and bounds: what goes wrong before a handler has a say.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use lw_store::StoreError;
use serde_json::json;

use super::Plane;

#[tokio::test]
async fn errors_have_their_envelopes() {
    let plane = Plane::new();
    let mut golden = String::new();
    let long = "x".repeat(300);
    for (token, method, path, body) in [
        (&plane.acme, Method::GET, "/api/nowhere", None),
        (&plane.acme, Method::PUT, "/api/organization", None),
        (
            &String::new(),
            Method::GET,
            "/api/gateway/v1/virtual-keys",
            None,
        ),
        (&String::new(), Method::GET, "/api/organization", None),
        (&plane.revoked, Method::GET, "/api/organization", None),
        (
            &plane.acme,
            Method::GET,
            "/api/gateway/v1/virtual-keys?limit=201&cursor=x",
            None,
        ),
        (
            &plane.acme,
            Method::GET,
            "/api/gateway/v1/virtual-keys?cursor=%25%25",
            None,
        ),
        (&plane.acme, Method::GET, "/api/projects?page=0", None),
        (
            &plane.acme,
            Method::POST,
            "/api/gateway/v1/virtual-keys",
            Some(json!([1])),
        ),
        (
            &plane.acme,
            Method::POST,
            "/api/gateway/v1/virtual-keys",
            Some(json!({
                "name": long, "scopes": [], "budget": { "limit_usd": 1 }, "routing_mode": "policy",
                "routing_policy_id": "rp_1", "expires_at": "tomorrow", "metadata": { "a": 1 },
                "config": {
                    "cache": { "mode": "maybe", "ttl_s": -1 },
                    "fallback": { "on": ["5xx", "moon"], "maxAttempts": 0 },
                    "modelsAllowed": ["gpt-*-x"],
                    "guardrailAttachments": [{ "direction": "pre", "guardrailIds": ["g"] }],
                    "policyRules": { "tool": {}, "tools": { "deny": "x" } },
                    "capturePayload": "some",
                },
            })),
        ),
        (
            &plane.acme,
            Method::POST,
            "/api/traces/search",
            Some(json!({ "groupBy": "x" })),
        ),
        (&plane.acme, Method::GET, "/api/traces/abc", None),
        (&plane.acme, Method::GET, "/api/gateway/v1/providers", None),
        (
            &plane.acme,
            Method::GET,
            "/api/gateway/v1/requests/req_1",
            None,
        ),
    ] {
        let got = plane
            .call_with(token, method.clone(), path, &[], body)
            .await;
        let pretty = serde_json::to_string_pretty(&got.json()).expect("JSON");
        golden.push_str(&format!("{method} {path}\n{}\n{pretty}\n\n", got.status));
    }
    insta::assert_snapshot!(golden);
}

#[tokio::test]
async fn malformed_json_names_the_body_and_not_its_content() {
    let plane = Plane::new();
    let request = Request::post("/api/gateway/v1/virtual-keys")
        .header("authorization", format!("Bearer {}", plane.acme))
        .body(Body::from(r#"{"name": "sk-very-secret"#))
        .expect("a request");
    let got = plane.send(request).await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    assert_eq!(got.json()["error"]["meta"]["target"], "json");
    assert!(!got.text.contains("sk-very-secret"));
}

#[tokio::test]
async fn a_wrong_method_says_which_would_do() {
    let plane = Plane::new();
    let got = plane
        .call(Method::DELETE, "/api/gateway/v1/virtual-keys", None)
        .await;
    assert_eq!(got.status.as_u16(), 405);
    let allow = got.header("allow").expect("Allow");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let open = plane.call(Method::POST, "/healthz", None).await;
    assert_eq!(open.status.as_u16(), 405);
}

#[tokio::test]
async fn bodies_are_bounded_and_strangers_bodies_are_not_read() {
    let plane = Plane::new();
    let big = |token: &str| {
        Request::post("/api/gateway/v1/virtual-keys")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(vec![b' '; 1024 * 1024 + 1]))
            .expect("a request")
    };
    assert_eq!(
        plane.send(big(&plane.acme)).await.code(),
        (413, "payload_too_large".into())
    );
    assert_eq!(
        plane.send(big("nobody")).await.code(),
        (401, "invalid_credentials".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_after_thirty_seconds() {
    let plane = Plane::new();
    let request = Request::post("/api/gateway/v1/virtual-keys")
        .header("authorization", format!("Bearer {}", plane.acme))
        .body(Body::from_stream(futures_util::stream::pending::<
            Result<String, std::io::Error>,
        >()))
        .expect("a request");
    let begun = tokio::time::Instant::now();
    let got = plane.send(request).await;
    assert_eq!(got.code(), (408, "request_timeout".into()));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_trailing_slash_is_accepted_and_a_double_one_is_not() {
    let plane = Plane::new();
    plane.get("/api/organization/").await.fine(200);
    assert_eq!(plane.get("/api//organization").await.status.as_u16(), 404);
}

/// A store that is gone.
pub(super) struct Gone;

impl lw_store::ledger::Ledger for Gone {
    fn append(
        &self,
        _: &[lw_store::ledger::Entry],
        _: &[lw_store::ledger::Progress],
    ) -> Result<u64, StoreError> {
        Err(gone())
    }
    fn progress(&self) -> Result<Vec<lw_store::ledger::Progress>, StoreError> {
        Err(gone())
    }
    fn forget(&self, _: &[String]) -> Result<(), StoreError> {
        Err(gone())
    }
    fn charge_orphans(&self, _: lw_core::UnixMicros) -> Result<u64, StoreError> {
        Err(gone())
    }
    fn request(
        &self,
        _: lw_core::RequestId,
    ) -> Result<Option<lw_store::ledger::SpendRecord>, StoreError> {
        Err(gone())
    }
    fn key_spend(
        &self,
        _: &lw_core::VirtualKeyId,
        _: lw_core::UnixMicros,
        _: lw_core::UnixMicros,
    ) -> Result<lw_store::ledger::KeySpend, StoreError> {
        Err(gone())
    }
    fn spent(&self, _: &lw_store::ledger::SpendQuery) -> Result<lw_core::NanoUsd, StoreError> {
        Err(gone())
    }
    fn budget_spent(
        &self,
        _: &lw_core::BudgetId,
        _: &str,
        _: lw_core::UnixMicros,
    ) -> Result<lw_core::NanoUsd, StoreError> {
        Err(gone())
    }
    fn budget_spent_in_all(
        &self,
        _: &lw_core::BudgetId,
        _: lw_core::UnixMicros,
    ) -> Result<lw_core::NanoUsd, StoreError> {
        Err(gone())
    }
    fn budget_members(
        &self,
        _: &lw_core::BudgetId,
        _: lw_core::UnixMicros,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(String, lw_core::NanoUsd)>, StoreError> {
        Err(gone())
    }
    fn last_opened(&self) -> Result<Option<lw_core::BudgetId>, StoreError> {
        Err(gone())
    }
    fn open_budgets(
        &self,
        _: &[(lw_core::BudgetId, Vec<lw_store::ledger::Opening>)],
    ) -> Result<(), StoreError> {
        Err(gone())
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("disk 7 is on fire".into())
}

#[tokio::test]
async fn a_store_that_is_gone_is_503_and_says_nothing_else() {
    let plane = Plane::with(|admin| admin.ledger = Arc::new(Gone));
    let got = plane
        .get("/api/gateway/v1/requests/req_000000000000000000000000000001")
        .await;
    assert_eq!(got.code(), (503, "internal_error".into()));
    assert_eq!(got.json()["error"]["message"], "An unknown error occurred");
    assert_eq!(got.header("retry-after"), Some("1"));
    assert!(!got.text.contains("disk"));
}

#[tokio::test]
async fn over_a_real_socket_the_audit_log_knows_where_a_change_came_from() {
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let plane = Plane::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = plane
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });

    let body = r#"{"name":"k","scopes":[{"scope_type":"organization","scope_id":"acme"}]}"#;
    let request = format!(
        "POST /api/gateway/v1/virtual-keys HTTP/1.1\r\nhost: x\r\nuser-agent: test/1\r\n\
         authorization: Bearer {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        plane.acme,
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let audit = plane.audit();
    assert_eq!(audit[0].ip_address.as_deref(), Some("127.0.0.1"));
    assert_eq!(audit[0].user_agent.as_deref(), Some("test/1"));
    server.abort();
}

/// Passes the news on to whoever waits for it.
struct Told(std::sync::mpsc::SyncSender<&'static str>);

impl lw_store::config::Freshness for Told {
    fn changed(&self, change: &lw_store::config::ChangeEvent) {
        let _ = self.0.send(change.kind.as_str());
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_cannot_come_between_a_commit_and_its_news() {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;
    const PATIENCE: Duration = Duration::from_secs(10);

    let (told, news) = sync_channel(1);
    let (inside, entered) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let released = parking_lot::Mutex::new(released);
    let plane = Arc::new(Plane::with(|admin| {
        admin.freshness = Arc::new(Told(told));
        // The handler stands still before its write until the caller has gone.
        admin.base_url_policy = Arc::new(move |_| {
            let _ = inside.send(());
            released
                .lock()
                .recv_timeout(PATIENCE)
                .map_err(|error| error.to_string())
        });
    }));
    let caller = {
        let plane = Arc::clone(&plane);
        let keys = json!({ "CUSTOM_BASE_URL": "https://a.example.com" });
        let body = json!({ "provider": "custom", "custom_keys": keys });
        tokio::spawn(async move { plane.post("/api/gateway/v1/model-providers", body).await })
    };
    let waited = tokio::task::spawn_blocking(move || entered.recv_timeout(PATIENCE));
    waited.await.expect("a thread").expect("the handler began");
    caller.abort();
    assert!(caller.await.expect_err("it was aborted").is_cancelled());
    release.send(()).expect("the handler waits");
    let heard = tokio::task::spawn_blocking(move || news.recv_timeout(PATIENCE));
    assert_eq!(heard.await.expect("a thread"), Ok("MODEL_PROVIDER_UPDATED"));
    let listed = plane.get("/api/gateway/v1/model-providers").await.fine(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_path_that_is_no_text_is_asked_for_a_credential_and_finds_nothing() {
    let plane = Plane::new();
    for (path, code) in [
        ("/api/gateway/v1/virtual-keys/%ff", "virtual_key_not_found"),
        ("/api/teams/%ff", "team_not_found"),
    ] {
        let stranger = plane.call_with("", Method::GET, path, &[], None).await;
        assert_eq!(stranger.status.as_u16(), 401, "{}", stranger.text);
        let got = plane.get(path).await;
        assert_eq!(got.status.as_u16(), 404, "{}", got.text);
        assert!(got.text.contains(code), "{}", got.text);
    }
    // What a family does not serve is refused in its envelope.
    let got = plane.call(Method::PUT, "/api/teams", None).await;
    assert_eq!(
        (got.status.as_u16(), got.json()["error"].is_string()),
        (405, true)
    );
    let got = plane
        .call(Method::PUT, "/api/gateway/v1/budgets", None)
        .await;
    assert_eq!(
        (got.status.as_u16(), got.json()["error"].is_object()),
        (405, true)
    );
}
