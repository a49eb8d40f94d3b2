//! `model-provider` against a scripted server.

use data_encoding::BASE64;

use super::{API_KEY, Server, Shell, compact};
use crate::json::Json;

const ROW: &str = r#"{"id":"mp_1","organization_id":"org_1","name":"OpenAI","provider":"openai",
    "routing_handle":null,"enabled":true,"scopes":[{"scope_type":"organization","scope_id":"org_1"}],
    "custom_keys":{"OPENAI_API_KEY":"HAS_KEY••••"},"rate_limit":{"rpm":3000,"tpm":null,"rpd":null},
    "fallback_priority_global":10,"provider_config":null,"health_status":"unknown",
    "disabled_at":null,"created_at":"2026-07-01T10:00:00.000Z"}"#;

fn wrapped() -> String {
    format!(r#"{{"model_provider":{ROW}}}"#)
}

#[test]
fn create_as_in_the_guide() {
    let server = Server::answering([(201, &wrapped())]);
    let shell = Shell::at(&server).var("OPENAI_API_KEY", "sk-proj-provider-secret\n");
    let done = shell.run(
        "model-provider create --provider OpenAI --scope org:acme --key-from-env OPENAI_API_KEY \
         --priority 10 --rpm 3000 -f json",
    );
    assert_eq!(done.json().compact(), compact(ROW));
    let seen = server.only_request();
    assert_eq!(seen.line(), "POST /api/gateway/v1/model-providers");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {API_KEY}").as_str())
    );
    assert_eq!(seen.header("x-auth-token"), Some(API_KEY));
    let expected = r#"{"provider":"openai","scopes":[{"scope_type":"organization","scope_id":"acme"}],
        "custom_keys":{"OPENAI_API_KEY":"sk-proj-provider-secret"},"rate_limit":{"rpm":3000},
        "fallback_priority_global":10}"#;
    assert_eq!(seen.body, compact(expected));
}

#[test]
fn create_sends_the_advanced_fields_and_reads_a_bare_answer() {
    let server = Server::answering([(201, ROW)]);
    let done = Shell::at(&server).run_words(&[
        "model-providers",
        "create",
        "--provider",
        "custom",
        "--scope",
        "team:t",
        "--name",
        "local",
        "--key",
        "CUSTOM_API_KEY=a=b-secret",
        "--tpm",
        "5",
        "--rpd",
        "0",
        "--concurrent",
        "4",
        "--handle",
        "local",
        "--provider-config",
        r#"{"base_url":"http://x"}"#,
        "--jq",
        ".id",
    ]);
    assert_eq!(done.ok(), "\"mp_1\"\n");
    let expected = r#"{"provider":"custom","scopes":[{"scope_type":"team","scope_id":"t"}],
        "custom_keys":{"CUSTOM_API_KEY":"a=b-secret"},"name":"local","routing_handle":"local",
        "rate_limit":{"tpm":5,"rpd":0,"concurrent":4},"provider_config":{"base_url":"http://x"}}"#;
    let expected = Json::parse(expected).expect("valid");
    let body = Json::parse(&server.only_request().body).expect("JSON");
    for (name, value) in expected.fields() {
        assert_eq!(body.get(name), Some(value), "{name}");
    }
    assert_eq!(body.fields().len(), expected.fields().len());
}

#[test]
fn keys_are_never_repeated() {
    let base = "model-provider create --provider openai --scope org:acme";
    let done = Shell::new().run(&format!("{base} --key sk-proj-provider-secret"));
    assert!(done.failed().contains("NAME=VALUE") && !done.err.contains("provider-secret"));
    let done = Shell::new().run(&format!("{base} --key-from-env NOT_SET"));
    assert!(done.failed().contains("NOT_SET"), "{}", done.err);
    let refusal =
        r#"{"error":{"code":"validation_error","message":"bad key sk-proj-provider-secret"}}"#;
    let server = Server::answering([(400, refusal)]);
    let done = Shell::at(&server).run(&format!("{base} --key K=sk-proj-provider-secret -f json"));
    assert!(done.failed().contains("bad key [redacted]"), "{}", done.err);
    assert!(!done.out.contains("provider-secret"), "{}", done.out);
}

#[test]
fn a_region_given_as_a_key_is_no_secret() {
    let row = r#"{"id":"mp_2","provider_config":{"region":"eu-central-1"}}"#;
    let server = Server::answering([(201, row)]);
    let words = "model-provider create --provider bedrock --scope org:acme --key AWS_REGION=eu-central-1 -f json";
    assert_eq!(Shell::at(&server).run(words).json().compact(), row);
}

#[test]
fn a_project_turns_the_credential_into_basic() {
    let server = Server::answering([(200, ROW)]);
    let shell = Shell::at(&server).var("LANGWATCH_PROJECT_ID", "proj_1");
    shell.run("model-provider get mp_1 -f json").ok();
    let seen = server.only_request();
    let pair = BASE64.encode(format!("proj_1:{API_KEY}").as_bytes());
    assert_eq!(seen.line(), "GET /api/gateway/v1/model-providers/mp_1");
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Basic {pair}").as_str())
    );
    assert_eq!(seen.header("x-auth-token"), None);
}

#[test]
fn a_project_key_is_its_own_project() {
    let server = Server::answering([(200, ROW)]);
    let key = "sk-lw-legacyprojectkey0123456789";
    let shell = Shell::at(&server)
        .var("LANGWATCH_API_KEY", key)
        .var("LANGWATCH_PROJECT_ID", "p");
    shell.run("model-provider get mp_1 -f json").ok();
    let seen = server.only_request();
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {key}").as_str())
    );
    assert_eq!(seen.header("x-auth-token"), Some(key));
}

#[test]
fn get_for_people_shows_key_names_only() {
    let server = Server::answering([(200, &wrapped())]);
    let done = Shell::at(&server).run("model-provider get mp_1");
    insta::assert_snapshot!(done.ok(), @r"
    ID           mp_1
    Name         OpenAI
    Provider     openai
    Enabled      yes
    Scopes       org:org_1
    Keys         OPENAI_API_KEY
    Rate limits  rpm 3000
    Priority     10
    Health       unknown
    Created      2026-07-01 10:00
    ");
}

#[test]
fn update_clears_with_null() {
    let server = Server::answering([(200, &wrapped())]);
    let words = "model-provider update mp_1 --rpm 5 --clear-tpm --clear-priority -f json";
    assert_eq!(
        Shell::at(&server).run(words).json().text("id"),
        Some("mp_1")
    );
    let seen = server.only_request();
    assert_eq!(seen.line(), "PATCH /api/gateway/v1/model-providers/mp_1");
    let expected = r#"{"rate_limit":{"rpm":5,"tpm":null},"fallback_priority_global":null}"#;
    assert_eq!(seen.body, expected);
    assert!(
        Shell::new()
            .run("model-provider update mp_1")
            .failed()
            .contains("nothing to update")
    );
}

#[test]
fn switching_and_deleting() {
    for (words, line, body) in [
        (
            "enable mp_1",
            "PATCH /api/gateway/v1/model-providers/mp_1",
            r#"{"enabled":true}"#,
        ),
        (
            "disable mp_1",
            "PATCH /api/gateway/v1/model-providers/mp_1",
            r#"{"enabled":false}"#,
        ),
        (
            "delete mp_1",
            "DELETE /api/gateway/v1/model-providers/mp_1",
            "",
        ),
    ] {
        let server = Server::answering([(200, &wrapped())]);
        let done = Shell::at(&server).run(&format!("model-provider {words} -o agents"));
        assert_eq!(done.json().text("id"), Some("mp_1"));
        let seen = server.only_request();
        assert_eq!((seen.line().as_str(), seen.body.as_str()), (line, body));
    }
}

#[test]
fn a_failed_test_exits_1_with_its_result() {
    let server = Server::answering([
        (200, r#"{"ok":true,"latency_ms":120}"#),
        (200, r#"{"ok":false,"latency_ms":80,"error":"invalid key"}"#),
        (200, r#"{"ok":false,"latency_ms":80,"error":"invalid key"}"#),
    ]);
    let shell = Shell::at(&server);
    assert_eq!(
        shell.run("model-provider test mp_1").ok(),
        "The provider answered after 120 ms\n"
    );
    let done = shell.run("model-provider test mp_1");
    assert_eq!(
        (done.failed(), done.out.as_str()),
        ("", "The provider failed after 80 ms: invalid key\n")
    );
    let done = shell.run("model-provider test mp_1 -o agents");
    done.failed();
    assert_eq!(
        done.out,
        "{\"ok\":false,\"latency_ms\":80,\"error\":\"invalid key\"}\n"
    );
    let line = "POST /api/gateway/v1/model-providers/mp_1/test";
    assert!(server.requests().iter().all(|seen| seen.line() == line));
}

#[test]
fn list_is_the_official_map_and_all_is_every_row() {
    let map = r#"{"openai":{"id":"mp_1","provider":"openai","enabled":true,"customKeys":{"OPENAI_API_KEY":"HAS_KEY"}},
        "gemini":{"provider":"gemini","enabled":false,"customKeys":null}}"#;
    let rows = format!(r#"{{"data":[{ROW}],"next_cursor":null}}"#);
    let server = Server::answering([(200, map), (200, map), (200, &rows), (200, &rows)]);
    let shell = Shell::at(&server);
    assert_eq!(
        shell.run("model-provider list -f json").json().compact(),
        compact(map)
    );
    insta::assert_snapshot!(shell.run("model-provider list").ok(), @r"
    Provider  Enabled  Keys            ID
    ───────────────────────────────────────
    openai    yes      OPENAI_API_KEY  mp_1
    gemini    no       -               -
    ");
    assert_eq!(
        shell
            .run("model-provider list --all --jq .[].id")
            .json()
            .compact(),
        r#"["mp_1"]"#
    );
    insta::assert_snapshot!(shell.run("model-provider list --all").ok(), @r"
    ID    Name    Provider  Enabled  Scopes     Priority  Health
    ─────────────────────────────────────────────────────────────
    mp_1  OpenAI  openai    yes      org:org_1  10        unknown
    ");
    let seen = server.requests();
    assert_eq!(seen[0].line(), "GET /api/model-providers");
    assert_eq!(
        seen[2].line(),
        "GET /api/gateway/v1/model-providers?limit=200"
    );
}

#[test]
fn set_never_echoes_the_key() {
    let map = r#"{"google":{"enabled":true}}"#;
    let server = Server::answering([(200, map), (200, "{}")]);
    let shell = Shell::at(&server);
    let words =
        "model-provider set google --api-key AIza-provider-secret --default-model gemini-2.5-pro";
    let done = shell.run(&format!("{words} -f json"));
    let expected = r#"{"provider":"google","enabled":true,"defaultModel":"gemini-2.5-pro"}"#;
    assert_eq!(done.json().compact(), expected);
    let done = shell.run("model-provider set azure_openai --enabled false");
    assert_eq!(done.ok(), "✓ azure_openai is disabled\n");
    let seen = server.requests();
    assert_eq!(seen[0].line(), "PUT /api/model-providers/google");
    let body = r#"{"enabled":true,"customKeys":{"GOOGLE_API_KEY":"AIza-provider-secret"},"defaultModel":"gemini-2.5-pro"}"#;
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[1].body, r#"{"enabled":false}"#);
}

#[test]
fn advanced_fields_travel_and_headers_are_secrets() {
    let answer = r#"{"model_provider":{"id":"mp_1","name":"gateway-secret-value"}}"#;
    let server = Server::answering([(201, answer)]);
    let done = Shell::at(&server).run(
        "model-provider create --provider azure --scope org:o --extra-header x-key=gateway-secret-value \
         --custom-model a --custom-model b --custom-embeddings-model e --deployment gpt-5=prod-gpt \
         --idempotency-key idem-12345 -f json",
    );
    assert!(done.ok().contains("[redacted]"), "{}", done.out);
    let seen = server.only_request();
    assert_eq!(seen.header("idempotency-key"), Some("idem-12345"));
    let expected = r#"{"provider":"azure","scopes":[{"scope_type":"organization","scope_id":"o"}],"custom_keys":{},
        "extra_headers":[{"key":"x-key","value":"gateway-secret-value"}],"custom_models":["a","b"],
        "custom_embeddings_models":["e"],"deployment_mapping":{"gpt-5":"prod-gpt"}}"#;
    assert_eq!(seen.body, compact(expected));
    let done = Shell::new().run("model-provider update mp_1 --extra-header gateway-secret-value");
    assert!(done.failed().contains("NAME=VALUE") && !done.err.contains("secret-value"));
}

#[test]
fn every_field_can_be_cleared() {
    let server = Server::answering([(200, &wrapped())]);
    Shell::at(&server)
        .run(
            "model-provider update mp_1 --rpm 5 --clear-tpm --clear-concurrent --clear-priority --clear-provider-config \
             --clear-handle --clear-extra-headers --clear-custom-models --clear-deployments \
             --clear-custom-embeddings-models --key A=b-secret-value --remove-key OPENAI_BASE_URL",
        )
        .ok();
    let expected = r#"{"custom_keys":{"A":"b-secret-value","OPENAI_BASE_URL":null},
        "rate_limit":{"rpm":5,"tpm":null,"concurrent":null},"fallback_priority_global":null,"provider_config":null,
        "routing_handle":null,"extra_headers":null,"custom_models":null,
        "custom_embeddings_models":null,"deployment_mapping":null}"#;
    assert_eq!(server.only_request().body, compact(expected));
}

#[test]
fn set_names_the_key_after_the_provider_as_it_was_typed() {
    for (provider, field) in [
        ("openai", "OPENAI_API_KEY"),
        ("Azure", "AZURE_API_KEY"),
        ("google", "GOOGLE_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("cohere", "COHERE_API_KEY"),
        ("fireworks-ai", "FIREWORKS_AI_API_KEY"),
    ] {
        let server = Server::answering([(200, "{}")]);
        Shell::at(&server)
            .run(&format!(
                "model-provider set {provider} --api-key the-provider-key"
            ))
            .ok();
        let body = format!(r#"{{"enabled":true,"customKeys":{{"{field}":"the-provider-key"}}}}"#);
        assert_eq!(server.only_request().body, body);
    }
}

#[test]
fn set_reports_what_the_server_stored_under_its_own_name() {
    let map = r#"{"gemini":{"provider":"gemini","enabled":false}}"#;
    let server = Server::answering([(200, map)]);
    let done = Shell::at(&server).run("model-provider set google -o agents");
    let expected = r#"{"provider":"google","enabled":false,"defaultModel":null}"#;
    assert_eq!(done.ok().trim_end(), expected);
}

#[test]
fn declared_models_are_shown_and_header_values_are_not() {
    let row = r#"{"id":"mp_1","name":"Azure","provider":"azure","enabled":true,"scopes":[],
        "extra_headers":[{"key":"x-key","value":"HAS_KEY"}],"custom_models":["a",{"id":"b"}],
        "custom_embeddings_models":["e"],"deployment_mapping":{"gpt-5":"prod-gpt"}}"#;
    let server = Server::answering([(200, row)]);
    let done = Shell::at(&server).run("model-provider get mp_1");
    insta::assert_snapshot!(done.ok(), @r"
    ID             mp_1
    Name           Azure
    Provider       azure
    Enabled        yes
    Scopes         -
    Extra headers  x-key
    Models         a, b
    Embeddings     e
    Deployments    gpt-5 → prod-gpt
    ");
}
