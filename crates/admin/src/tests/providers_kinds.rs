//! Kinds of providers: what each stores, what it shows, and what it cannot do without.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Plane;
use super::providers::{PROVIDERS, openai, store};
use crate::providers::PLACEHOLDER;

fn account() -> String {
    json!({
        "type": "service_account", "client_email": "gw@acme.iam.gserviceaccount.com",
        "private_key": "-----BEGIN PRIVATE KEY-----\nvery-secret\n-----END PRIVATE KEY-----\n",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

/// What each kind is given, under other names where it has any.
fn bags() -> Vec<(&'static str, Value)> {
    let key = "k-very-secret";
    vec![
        (
            "openai",
            json!({ "OPENAI_API_KEY": key, "BASE_URL": "https://eu.example.com/v1" }),
        ),
        (
            "openai",
            json!({ "base_url": "https://keyless.example.com" }),
        ),
        ("anthropic", json!({ "ANTHROPIC_API_KEY": key })),
        ("google", json!({ "GOOGLE_API_KEY": key })),
        (
            "google_gemini",
            json!({ "GEMINI_API_KEY": key, "GEMINI_PROJECT": "p-1", "GEMINI_LOCATION": "global" }),
        ),
        (
            "google_agent_platform",
            json!({ "GOOGLE_AGENT_PLATFORM_API_KEY": key, "GOOGLE_PROJECT_ID": "p-1", "GOOGLE_REGION": "us-east1" }),
        ),
        (
            "azure_openai",
            json!({
                "api-key": key, "AZURE_API_GATEWAY_BASE_URL": "https://acme.openai.azure.com",
                "AZURE_API_GATEWAY_VERSION": "2024-10-21",
            }),
        ),
        (
            "aws_bedrock",
            json!({
                "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key, "AWS_SESSION_TOKEN": key,
                "AWS_REGION": "eu-central-1",
            }),
        ),
        ("bedrock", json!({ "AWS_BEARER_TOKEN_BEDROCK": key })),
        ("bedrock", json!({})),
        (
            "vertex",
            json!({
                "VERTEXAI_SERVICE_ACCOUNT_JSON": account(), "GOOGLE_PROJECT_ID": "p-1",
                "VERTEXAI_PROJECT_NUMBER": "42", "GOOGLE_REGION": "europe-west4",
            }),
        ),
        ("deepseek", json!({ "DEEPSEEK_API_KEY": key })),
        ("xai", json!({ "XAI_API_KEY": key })),
        ("cerebras", json!({ "CEREBRAS_API_KEY": key })),
        ("groq", json!({ "GROQ_API_KEY": key })),
        (
            "cloudflare",
            json!({ "CLOUDFLARE_API_KEY": key, "CLOUDFLARE_ACCOUNT_ID": "acc1" }),
        ),
        ("mistral", json!({ "MISTRAL_API_KEY": key })),
        (
            "cohere",
            json!({ "COHERE_API_KEY": key, "BASE_URL": "https://c.example.com" }),
        ),
        ("fireworks_ai", json!({ "FIREWORKS_API_KEY": key })),
        (
            "custom_openai",
            json!({ "CUSTOM_BASE_URL": "https://llm.example.com/v1" }),
        ),
        (
            "elevenlabs",
            json!({ "ELEVENLABS_API_KEY": key, "ELEVENLABS_WEBHOOK_SECRET": key }),
        ),
        (
            "openai_codex",
            json!({ "CODEX_ACCESS_TOKEN": key, "CODEX_ACCOUNT_ID": "acc-1" }),
        ),
        ("voyage", json!({ "VOYAGE_API_KEY": key })),
        (
            "azure_safety",
            json!({
                "AZURE_CONTENT_SAFETY_KEY": key,
                "AZURE_CONTENT_SAFETY_ENDPOINT": "https://acme.cognitiveservices.azure.com",
            }),
        ),
        (
            "acme_ai",
            json!({ "ACME_API_KEY": key, "ACME_TOKEN": key, "ACME_REGION": "eu", "base_url": "https://acme.example.com" }),
        ),
    ]
}

#[tokio::test]
async fn every_kind_is_stored_in_its_own_spelling_and_shows_only_what_is_public() {
    let plane = Plane::new();
    let mut golden = String::new();
    for (kind, keys) in bags() {
        let body = json!({ "provider": kind, "custom_keys": keys });
        let (_, stored) = store(&plane, body).await;
        assert!(!stored.to_string().contains("very-secret"), "{stored}");
        let keys = stored["custom_keys"]
            .to_string()
            .replace(PLACEHOLDER, "***");
        let (name, provider) = (&stored["name"], &stored["provider"]);
        writeln!(golden, "{kind} -> {provider}, {name}: {keys}").expect("written");
    }
    insta::assert_snapshot!(golden);
    let all = format!("{:?}", plane.audit());
    assert!(!all.contains("very-secret"), "{all}");
}

#[tokio::test]
async fn each_kind_says_what_it_lacks() {
    let plane = Plane::new();
    let mut golden = String::new();
    let cases = [
        ("openai", json!({})),
        ("anthropic", json!({ "OPENAI_API_KEY": "k" })),
        (
            "gemini",
            json!({ "GEMINI_API_KEY": "k", "GEMINI_PROJECT": "p" }),
        ),
        ("google_agent_platform", json!({ "GEMINI_API_KEY": "k" })),
        ("azure", json!({ "AZURE_OPENAI_API_VERSION": "a/b" })),
        ("azure", json!({})),
        ("bedrock", json!({ "AWS_ACCESS_KEY_ID": "k" })),
        (
            "bedrock",
            json!({ "AWS_SESSION_TOKEN": "k", "AWS_REGION_NAME": "x.example.com/" }),
        ),
        ("bedrock", json!({ "AWS_SESSION_TOKEN": "k" })),
        ("vertex_ai", json!({})),
        (
            "vertex_ai",
            json!({ "GOOGLE_APPLICATION_CREDENTIALS": "/srv/key.json" }),
        ),
        (
            "vertex_ai",
            json!({ "GOOGLE_APPLICATION_CREDENTIALS": account().replace("https://oauth2.googleapis.com", "http://10.0.0.1") }),
        ),
        ("cloudflare", json!({ "CLOUDFLARE_API_KEY": "k" })),
        ("groq", json!({ "BASE_URL": "https://x.example.com" })),
        ("openai_codex", json!({})),
        ("azure_safety", json!({})),
        ("acme_ai", json!({ "ACME_TOKEN": "k" })),
        ("acme_ai", json!({ "acme-key": "k" })),
        (
            "openai",
            json!({ "OPENAI_BASE_URL": "https://a.example.com", "BASE_URL": "https://b.example.com" }),
        ),
        ("openai", json!({ "OPENAI_API_KEY": 7 })),
        ("Open AI", json!({})),
    ];
    for (kind, keys) in cases {
        let body = json!({ "provider": kind, "custom_keys": keys });
        let got = plane.post(PROVIDERS, body).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{kind}");
        let reasons = got.json()["error"]["meta"]["reasons"].clone();
        for reason in reasons.as_array().expect("reasons") {
            let (field, text) = (&reason["meta"]["field"], &reason["message"]);
            writeln!(golden, "{kind}: {field} {text}").expect("written");
        }
    }
    insta::assert_snapshot!(golden);
}

#[tokio::test]
async fn settings_stand_for_the_fields_that_they_override() {
    let plane = Plane::new();
    for (kind, keys, config) in [
        (
            "azure",
            json!({ "AZURE_API_KEY": "k" }),
            json!({ "endpoint": "https://a.example.com" }),
        ),
        (
            "custom",
            json!({}),
            json!({ "base_url": "https://a.example.com" }),
        ),
        (
            "vertex_ai",
            json!({}),
            json!({ "project_id": "p", "region": "global" }),
        ),
        (
            "acme_ai",
            json!({}),
            json!({ "base_url": "https://a.example.com" }),
        ),
    ] {
        let body = json!({ "provider": kind, "custom_keys": keys, "provider_config": config });
        let (path, _) = store(&plane, body).await;
        let got = plane.patch(&path, json!({ "provider_config": null })).await;
        assert_eq!(
            got.code(),
            (400, "validation_error".into()),
            "{kind} lost it"
        );
    }
}

#[tokio::test]
async fn settings_that_the_gateway_reads_are_checked_and_others_are_kept() {
    let plane = Plane::new();
    let mut body = openai();
    body["provider_config"] = json!({
        "base_url": "http://10.1.1.1", "endpoint": 1, "region": "evil.example.com/", "timeout_ms": -1,
        "auth_mode": "basic", "auth_header": "a b", "responses_api": "yes", "extra_body": [],
        "deployment_map": { "a": 1 }, "rotation_policy": "random", "organization": "",
        "bedrock_runtime_endpoint": "https://amazonaws.com.example.com", "extra_headers": 7,
    });
    let got = plane.post(PROVIDERS, body.clone()).await;
    assert_eq!(got.code(), (400, "validation_error".into()));
    insta::assert_json_snapshot!(got.json()["error"]["meta"]["reasons"]);

    body["provider_config"] = json!({
        "base_url": null, "responses_api": null, "acme": { "deep": null }, "timeout_ms": 500,
        "bedrock_runtime_endpoint": "http://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
    });
    let (_, stored) = store(&plane, body).await;
    let kept = json!({
        "acme": { "deep": null }, "timeout_ms": 500,
        "bedrock_runtime_endpoint": "http://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
    });
    assert_eq!(stored["provider_config"], kept);
}

#[tokio::test]
async fn extra_headers_among_the_settings_are_sealed_with_the_others() {
    let plane = Plane::new();
    let mut body = openai();
    body["provider_config"] =
        json!({ "extra_headers": { "X-Key": "very-secret" }, "region": "eu" });
    let (path, stored) = store(&plane, body).await;
    assert_eq!(stored["provider_config"], json!({ "region": "eu" }));
    let shown = json!([{ "key": "x-key", "value": PLACEHOLDER }]);
    assert_eq!(stored["extra_headers"], shown);
    assert!(!format!("{:?}", plane.audit()).contains("very-secret"));
    let twice = json!({
        "extra_headers": [], "provider_config": { "extra_headers": [{ "key": "a", "value": "b" }] },
    });
    let got = plane.patch(&path, twice).await;
    assert_eq!(got.code(), (400, "validation_error".into()));
}

#[tokio::test]
async fn declared_models_are_names_or_entries_and_come_back_as_they_were() {
    let plane = Plane::new();
    let mut body = openai();
    let models = json!([
        "gpt-5-mini",
        { "modelId": "m2", "displayName": "M 2", "mode": "chat", "maxTokens": 8192 },
        { "id": "m3" },
    ]);
    body["custom_models"] = models.clone();
    body["custom_embeddings_models"] = json!([{ "name": "e1", "mode": "embedding" }]);
    let (path, stored) = store(&plane, body).await;
    assert_eq!(stored["custom_models"], models);
    assert_eq!(plane.get(&path).await.fine(200)["model_provider"], stored);
    for wrong in [
        json!([7]),
        json!([""]),
        json!([{ "mode": "chat" }]),
        json!([{ "id": 7 }]),
        json!([{ "id": "m", "notes": "x".repeat(5000) }]),
        json!("m"),
        Value::Array(vec![json!("m"); 1001]),
    ] {
        let got = plane.patch(&path, json!({ "custom_models": wrong })).await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{wrong:.80}");
    }
}

#[tokio::test]
async fn a_handle_is_no_kind_and_no_other_name_of_one() {
    let plane = Plane::new();
    let (path, _) = store(&plane, openai()).await;
    for handle in [
        "openai",
        "google",
        "vertex",
        "azure_openai",
        "custom_openai",
        "fireworks_ai",
        "GROQ",
        "google_agent_platform",
        "azure_safety",
        "google_vertex",
    ] {
        let got = plane
            .patch(&path, json!({ "routing_handle": handle }))
            .await;
        assert_eq!(got.code(), (400, "validation_error".into()), "{handle}");
    }
    let got = plane
        .patch(&path, json!({ "routing_handle": "openai-eu" }))
        .await;
    assert_eq!(
        got.fine(200)["model_provider"]["routing_handle"],
        "openai-eu"
    );
}

#[tokio::test]
async fn a_list_of_a_kind_takes_its_other_names() {
    let plane = Plane::new();
    let body = json!({ "provider": "google", "custom_keys": { "GOOGLE_API_KEY": "k" } });
    let (path, stored) = store(&plane, body).await;
    store(&plane, openai()).await;
    for name in ["gemini", "google", "google_gemini"] {
        let listed = plane
            .get(&format!("{PROVIDERS}?provider={name}"))
            .await
            .fine(200);
        assert_eq!(listed["data"], json!([stored]), "{name}");
    }
    // Saying again what it is changes nothing.
    plane
        .patch(&path, json!({ "provider": "google" }))
        .await
        .fine(200);
}

#[tokio::test]
async fn a_credential_among_the_settings_is_refused_and_not_repeated() {
    let plane = Plane::new();
    let (path, _) = store(&plane, openai()).await;
    for name in [
        "api_key",
        "API-Key",
        "apiKeys",
        "access_key",
        "secret_key",
        "session_token",
        "access_tokens",
        "aws_access_key_id",
        "aws_secret_access_key",
        "clientSecret",
        "PASSWORD",
        "db.password",
        "private_key",
        "Authorization",
        "auth_credentials",
        "service_account_json",
    ] {
        for (config, field) in [
            (json!({ name: "sk-inclear" }), name.to_owned()),
            (json!({ name: ["sk-inclear"] }), name.to_owned()),
            (
                json!({ "extra_body": { "a": [{ name: "sk-inclear" }] } }),
                format!("extra_body.a.0.{name}"),
            ),
            (
                json!({ "note": { name: { "value": "sk-inclear" } } }),
                format!("note.{name}"),
            ),
        ] {
            let got = plane
                .patch(&path, json!({ "provider_config": config }))
                .await;
            assert_eq!(
                got.code(),
                (400, "validation_error".into()),
                "{name}: {}",
                got.text
            );
            assert!(!got.text.contains("sk-inclear"), "{}", got.text);
            assert!(got.text.contains("custom_keys"), "{}", got.text);
            let fields = got.json()["error"]["meta"]["fields"].clone();
            assert_eq!(fields, json!([format!("provider_config.{field}")]));
        }
    }
    let harmless = json!({
        "max_tokens": 5, "routing_key": "eu", "api_key": null,
        "extra_body": {
            "prompt_cache_key": "k", "max_completion_tokens": 5, "skip_special_tokens": true,
            "stop_token_ids": [1], "thinking": { "budget_tokens": 5 }, "eos_token": "</s>",
        },
        "deployment_map": { "gpt-4o": "api_key" },
    });
    let got = plane
        .patch(&path, json!({ "provider_config": harmless }))
        .await
        .fine(200);
    assert_eq!(got["model_provider"]["provider_config"], harmless);
}

#[tokio::test]
async fn an_account_is_one_segment_of_a_path() {
    let plane = Plane::new();
    for (account, status) in [
        ("a1b2", 201),
        ("a.b", 201),
        (".", 400),
        ("..", 400),
        ("a/b", 400),
        ("a?b", 400),
        ("a#b", 400),
        ("%2e%2e", 400),
    ] {
        let keys = json!({ "CLOUDFLARE_API_KEY": "k", "CLOUDFLARE_ACCOUNT_ID": account });
        let body = json!({ "provider": "cloudflare", "custom_keys": keys });
        let got = plane.post(PROVIDERS, body).await;
        assert_eq!(got.status, status, "{account}: {}", got.text);
    }
}
