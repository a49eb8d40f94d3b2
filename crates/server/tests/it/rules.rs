//! Rules on tools, MCP servers, URLs and models: on every surface, from every side, and never past
//! (data-plane 11). Whoever is refused is told where and why, and no provider hears of it.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use lw_mock::MockProvider;
use lw_store::ledger::EntryKind;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Gateway, Key, chat, messages, once, parsed, provider};

const CHAT: &str = "/v1/chat/completions";
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const POLICIES: &str = "/api/gateway/v1/routing-policies";

/// A gateway in front of a mock that is OpenAI, Anthropic and Gemini.
struct World {
    gateway: Gateway,
    mock: MockProvider,
    /// Ids of OpenAI, Anthropic and Gemini.
    providers: [String; 3],
}

impl World {
    fn start() -> Self {
        let (gateway, mock) = (Gateway::start(), provider());
        let providers = [
            gateway.openai(&mock, "sk-rules-openai"),
            gateway.anthropic(&mock, "sk-rules-anthropic"),
            gateway.create_provider(&json!({
                "provider": "gemini", "name": "Mock Gemini",
                "custom_keys": {"GEMINI_API_KEY": "mock-rules-gemini"},
                "provider_config": {"base_url": mock.base_url()},
            })),
        ];
        Self {
            gateway,
            mock,
            providers,
        }
    }

    /// A key with these rules of its own.
    fn key(&self, rules: &Value) -> Key {
        self.gateway
            .create_key_with(json!({"config": {"policyRules": rules}}))
    }

    /// A routing policy over all providers with these rules; returns its id.
    fn policy(&self, rules: &Value) -> String {
        let body = json!({
            "name": "ruled", "model_provider_ids": self.providers, "policy_rules": rules,
        });
        let made = self.gateway.api("POST", POLICIES, Some(&body)).fine(201);
        let id = made["routing_policy"]["id"].as_str();
        id.expect("an id").to_owned()
    }

    fn ask(&self, key: &Key, path: &str, body: impl ToString) -> Answer {
        self.gateway.call(&Ask::post(path, &key.secret, body))
    }

    /// How often a provider was called so far.
    fn called(&self) -> usize {
        self.mock.requests().len()
    }

    /// Sends `body` as it is; it must reach the provider.
    fn passes(&self, key: &Key, path: &str, body: &Value) {
        let before = self.called();
        let answer = self.ask(key, path, body);
        assert_eq!(answer.status(), 200, "{path} {body}: {}", answer.text());
        assert_eq!(self.called(), before + 1, "{path} {body}");
    }

    /// Sends a body that must be refused before anybody is called; returns the error.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "bodies are made where they are sent"
    )]
    fn refused(&self, key: &Key, path: &str, body: impl ToString, code: &str) -> Value {
        let body = body.to_string();
        let before = self.called();
        let answer = self.ask(key, path, &body);
        let at = format!("{path} {body}: {}", answer.text());
        assert_eq!(answer.code(), (403, code.to_owned()), "{at}");
        assert_eq!(
            answer.header("x-langwatch-handled-error"),
            Some(code),
            "{at}"
        );
        for absent in [
            "x-langwatch-provider",
            "x-langwatch-model",
            "x-langwatch-cache-mode",
            "x-langwatch-fallback-count",
        ] {
            assert_eq!(answer.header(absent), None, "{absent}: {at}");
        }
        assert_eq!(self.called(), before, "{at}");
        let top = match path.starts_with("/v1/messages") {
            true => json!("error"),
            false => Value::Null,
        };
        assert_eq!(answer.json()["type"], top, "{at}");
        answer.json()["error"].clone()
    }
}

fn deny(dimension: &str, patterns: &[&str]) -> Value {
    json!({dimension: {"deny": patterns, "allow": null}})
}

fn allow(dimension: &str, patterns: &[&str]) -> Value {
    json!({dimension: {"deny": [], "allow": patterns}})
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
}

fn gemini(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

/// On every surface, a body that names the tool, and where it does.
fn on_every_surface(tool: &str) -> Vec<(&'static str, Value, &'static str)> {
    let flat = json!([{"type": "function", "name": tool, "parameters": {"type": "object"}}]);
    let of_anthropic = json!([{"name": tool, "input_schema": {"type": "object"}}]);
    let of_google = json!([{"functionDeclarations": [{"name": tool}]}]);
    let declared = "tools[0].functionDeclarations[0].name";
    let embedded = json!({"model": "text-embedding-3-small", "input": "hi"});
    let counted =
        json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}]});
    let kept =
        json!({"model": "models/gemini-2.5-flash", "contents": gemini("keep this")["contents"]});
    vec![
        (
            CHAT,
            with(chat("hi"), "tools", json!([function(tool)])),
            "tools[0].function.name",
        ),
        (
            CHAT,
            with(
                chat("hi"),
                "functions",
                json!([{"name": tool, "parameters": {"type": "object"}}]),
            ),
            "functions[0].name",
        ),
        (
            "/v1/messages",
            with(messages("hi", false), "tools", of_anthropic.clone()),
            "tools[0].name",
        ),
        (
            "/v1/messages",
            with(messages("hi", true), "tools", of_anthropic.clone()),
            "tools[0].name",
        ),
        (
            "/v1/messages/count_tokens",
            with(counted, "tools", of_anthropic),
            "tools[0].name",
        ),
        (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": "hi", "tools": flat}),
            "tools[0].name",
        ),
        (
            GENERATE,
            with(gemini("hi"), "tools", of_google.clone()),
            declared,
        ),
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            with(gemini("hi"), "tools", of_google.clone()),
            declared,
        ),
        (
            "/v1/models/gemini-2.5-flash:generateContent",
            with(gemini("hi"), "tools", of_google.clone()),
            declared,
        ),
        (
            "/v1beta/models/gemini-2.5-flash:countTokens",
            with(gemini("hi"), "tools", of_google.clone()),
            declared,
        ),
        (
            "/v1beta/cachedContents",
            with(kept, "tools", of_google),
            declared,
        ),
        (
            "/v1/embeddings",
            with(embedded, "tools", flat),
            "tools[0].name",
        ),
    ]
}

#[test]
fn a_denied_tool_is_refused_on_every_surface_and_no_provider_is_called() {
    let world = World::start();
    let key = world.key(&deny("tools", &[r"^shell\.exec$"]));
    let book = world.gateway.book();
    for (path, body, place) in on_every_surface("shell.exec") {
        let error = world.refused(&key, path, &body, "tool_not_allowed");
        assert_eq!(error["param"], place, "{path}");
        assert_eq!(error["type"], "tool_not_allowed", "{path}");
        assert_eq!(error["fault"], "customer", "{path}");
        let meta = json!({
            "tool": "shell.exec", "dimension": "tools", "pattern": r"^shell\.exec$", "list": "deny",
            "policies_triggered": ["policy_violation_tools"],
        });
        assert_eq!(error["meta"], meta, "{path}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("shell.exec") && message.contains("policy_rules.tools"),
            "{message}"
        );
    }
    assert_eq!(world.called(), 0);
    // A refusal is a record, not a silence.
    let answer = world.ask(&key, CHAT, &on_every_surface("shell.exec")[0].1);
    let entry = book.ended(&answer.request_id());
    assert_eq!(entry.kind, EntryKind::Release, "{entry:?}");
    assert_eq!(entry.detail.error_type.as_deref(), Some("tool_not_allowed"));
    let trace = book.trace(&answer.request_id());
    assert_eq!(trace.http_status, 403);
    assert!(trace.facts.attempts.is_empty(), "{trace:?}");

    // The same bodies with another tool pass, and a key without rules is not asked.
    let free = world.gateway.create_key();
    for (path, body, _) in on_every_surface("shell_execute") {
        if path != "/v1/embeddings" {
            world.passes(&key, path, &body);
        }
    }
    world.passes(&free, CHAT, &on_every_surface("shell_exec")[0].1);
}

#[test]
fn a_body_cannot_hide_a_tool_from_a_rule() {
    let world = World::start();
    let key = world.key(&deny("tools", &["^exec$", "^web_search"]));
    let tool = r#"{"type":"function","function":{"name":"exec"}}"#;
    let harmless = r#"{"type":"function","function":{"name":"fine"}}"#;
    let begin = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]"#;
    for body in [
        // Escaped, in another place of the list, under another name of the member.
        format!(
            r#"{begin},"tools":[{}]}}"#,
            tool.replace("exec", r"\u0065xec")
        ),
        format!(r#"{begin},"\u0074ools":[{tool}]}}"#),
        format!(r#"{begin},"Tools":[{tool}]}}"#),
        format!(r#"{begin},"tools":[{harmless},{tool}]}}"#),
        format!(r#"{begin},"tools":{tool}}}"#),
        // What the provider runs by itself.
        format!(r#"{begin},"tools":[{{"type":"web_search_preview"}}]}}"#),
        format!(r#"{begin},"web_search_options":{{}}}}"#),
        // Long enough to be looked through beside the data threads.
        format!(
            r#"{begin},"pad":"{}","tools":[{tool}]}}"#,
            "x".repeat(400_000)
        ),
    ] {
        world.refused(&key, CHAT, &body, "tool_not_allowed");
    }
    // Members that stand twice: whichever counts, the denied one does not get through.
    for (one, two) in [(tool, harmless), (harmless, tool)] {
        let body = format!(r#"{begin},"tools":[{one}],"tools":[{two}]}}"#);
        let answer = world.ask(&key, CHAT, &body);
        assert!([400, 403].contains(&answer.status()), "{}", answer.text());
    }
    // Compressed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let body = with(chat("hi"), "tools", json!([function("exec")]));
    encoder
        .write_all(body.to_string().as_bytes())
        .expect("memory");
    let ask = Ask::post(CHAT, &key.secret, "")
        .header("Content-Encoding", "gzip")
        .body(encoder.finish().expect("memory"));
    let answer = world.gateway.call(&ask);
    assert_eq!(answer.code(), (403, "tool_not_allowed".to_owned()));
    // Dated types of Anthropic, and what Google runs.
    let search = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let body = with(messages("hi", false), "tools", search);
    world.refused(&key, "/v1/messages", &body, "tool_not_allowed");
    let google = world.key(&deny("tools", &["^google_search$"]));
    let body = with(gemini("hi"), "tools", json!([{"googleSearch": {}}]));
    let error = world.refused(&google, GENERATE, &body, "tool_not_allowed");
    assert_eq!(error["param"], "tools[0].googleSearch");
    assert_eq!(world.called(), 0);
}

#[test]
fn a_request_must_pass_the_rules_of_its_key_and_those_of_its_routing_policy() {
    let world = World::start();
    let rules = |deny: &str, allow: &[&str]| json!({"tools": {"deny": [deny], "allow": allow}});
    let policy = world.policy(&rules("^bad_for_all$", &["^shared", "^of_policy", "bad"]));
    let key = world.gateway.create_key_with(json!({
        "routing_policy_id": policy,
        "config": {"policyRules": rules("^bad_here$", &["^shared", "^of_key", "bad"])},
    }));
    let body = |tool: &str| with(chat("hi"), "tools", json!([function(tool)]));
    world.passes(&key, CHAT, &body("shared_tool"));
    world.passes(&key, CHAT, &body("merely_bad"));
    for (tool, list, pattern) in [
        ("bad_for_all", "deny", json!("^bad_for_all$")),
        ("bad_here", "deny", json!("^bad_here$")),
        // Nothing matched, and what would have is not for the caller to know.
        ("of_policy", "allow", Value::Null),
        ("of_key", "allow", Value::Null),
        ("of_nobody", "allow", Value::Null),
    ] {
        let error = world.refused(&key, CHAT, body(tool), "tool_not_allowed");
        assert_eq!(error["meta"]["list"], list, "{error}");
        assert_eq!(error["meta"]["pattern"], pattern, "{error}");
    }
}

#[test]
fn mcp_servers_are_judged_by_name_and_by_address_wherever_they_stand() {
    let world = World::start();
    let key = world.key(&json!({"mcp": {
        "deny": ["evil"], "allow": ["^https://mcp\\.example\\.com(/|$)", "^files$"],
    }}));
    let server = |name: &str, url: &str| json!([{"type": "url", "name": name, "url": url}]);
    let good = "https://mcp.example.com/v1";
    let anthropic = |servers: Value| with(messages("hi", false), "mcp_servers", servers);
    let openai = |label: &str, url: &str| {
        let tool = json!({"type": "mcp", "server_label": label, "server_url": url});
        json!({"model": "gpt-4o-mini", "input": "hi", "tools": [tool]})
    };
    world.passes(&key, "/v1/messages", &anthropic(server("files", good)));
    world.passes(&key, "/v1/responses", &openai("files", good));
    let bad = "https://mcp.evil.example";
    let cases: Vec<(&str, Value, &str, &str)> = vec![
        (
            "/v1/messages",
            anthropic(server("files", bad)),
            "mcp_servers[0].url",
            bad,
        ),
        (
            "/v1/messages",
            anthropic(server("mail", good)),
            "mcp_servers[0].name",
            "mail",
        ),
        (
            "/v1/responses",
            openai("files", bad),
            "tools[0].server_url",
            bad,
        ),
        (
            "/v1/responses",
            openai("mail", good),
            "tools[0].server_label",
            "mail",
        ),
        (
            CHAT,
            with(chat("hi"), "mcps", json!(["files", "evil"])),
            "mcps[1]",
            "evil",
        ),
        (
            CHAT,
            with(chat("hi"), "mcp", json!([{"id": "mail"}])),
            "mcp[0].id",
            "mail",
        ),
        (
            GENERATE,
            with(
                gemini("hi"),
                "tools",
                json!([{"mcpServers": [{"name": "files", "streamableHttpTransport": {"url": bad}}]}]),
            ),
            "tools[0].mcpServers[0].streamableHttpTransport.url",
            bad,
        ),
    ];
    for (path, body, place, value) in cases {
        let error = world.refused(&key, path, &body, "tool_not_allowed");
        assert_eq!(error["param"], place, "{path} {body}");
        assert_eq!(error["meta"]["mcp_server"], value, "{path} {body}");
        assert_eq!(error["meta"]["dimension"], "mcp");
        assert_eq!(
            error["meta"]["policies_triggered"],
            json!(["policy_violation_mcp"])
        );
    }
}

#[test]
fn addresses_are_found_however_they_are_escaped() {
    let world = World::start();
    let key = world.key(&allow("urls", &[r"^https://[a-z.]*example\.com(/|$)"]));
    let said = |text: &str| {
        format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    for (text, url) in [
        (r"see http:\/\/evil.example\/x.", "http://evil.example/x"),
        (r"see \u0068ttp://evil.example/x)", "http://evil.example/x"),
        (
            "see HTTPS://evil.example/x, or not",
            "HTTPS://evil.example/x",
        ),
        (
            r"https://example.com/a\nhttps://evil.example/b",
            "https://evil.example/b",
        ),
        (
            "https://example.com.evil.example/",
            "https://example.com.evil.example/",
        ),
    ] {
        let error = world.refused(&key, CHAT, said(text), "url_not_allowed");
        assert_eq!(error["meta"]["url"], url, "{text}");
        assert_eq!(error["param"], "messages[0].content", "{text}");
        assert_eq!(error["meta"]["dimension"], "urls");
        assert_eq!(
            error["meta"]["policies_triggered"],
            json!(["policy_violation_urls"])
        );
    }
    let evil = "read https://evil.example/x";
    let picture = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://evil.example/cat.png"}},
    ]}]);
    let elsewhere: Vec<(&str, Value, &str)> = vec![
        (
            CHAT,
            json!({"model": "gpt-4o-mini", "messages": picture}),
            "messages[0].content[0].image_url.url",
        ),
        (
            "/v1/messages",
            with(
                messages("hi", true),
                "system",
                json!([{"type": "text", "text": evil}]),
            ),
            "system[0].text",
        ),
        (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": evil}),
            "input",
        ),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-small", "input": ["fine", evil]}),
            "input[1]",
        ),
        (GENERATE, gemini(evil), "contents[0].parts[0].text"),
        (
            "/v1beta/models/gemini-embedding-001:embedContent",
            json!({"content": {"parts": [{"text": evil}]}}),
            "content.parts[0].text",
        ),
        (
            "/v1beta/cachedContents",
            with(gemini(evil), "model", json!("models/gemini-2.5-flash")),
            "contents[0].parts[0].text",
        ),
    ];
    for (path, body, place) in elsewhere {
        let error = world.refused(&key, path, &body, "url_not_allowed");
        assert_eq!(error["param"], place, "{path} {body}");
    }
    // What is allowed goes on as it was sent.
    for text in [
        "see https://docs.example.com/a and say hi",
        "no address here",
        "http:",
    ] {
        let body = said(text);
        assert_eq!(world.ask(&key, CHAT, &body).status(), 200, "{text}");
        let seen = world.mock.requests().pop().expect("a request");
        assert_eq!(seen.body.as_deref(), Some(body.as_str()), "{text}");
    }
}

#[test]
fn models_are_judged_in_both_spellings_after_their_aliases() {
    let world = World::start();
    let asked = |model: &str| with(chat("hi"), "model", json!(model));
    let aliases = json!({"fast": "openai/gpt-4o", "slow": "gpt-4o-mini"});
    let key = |rules: Value| {
        world
            .gateway
            .create_key_with(json!({"config": {"policyRules": rules, "modelAliases": aliases}}))
    };
    for pattern in ["^gpt-4o$", "^openai/gpt-4o$"] {
        let key = key(deny("models", &[pattern]));
        for model in ["gpt-4o", "openai/gpt-4o", "fast"] {
            let error = world.refused(&key, CHAT, asked(model), "model_not_allowed");
            assert_eq!(error["param"], "model");
            assert_eq!(error["meta"]["model"], "gpt-4o", "{error}");
            assert_eq!(error["meta"]["pattern"], pattern);
            let policies = json!(["policy_violation_models"]);
            assert_eq!(error["meta"]["policies_triggered"], policies);
        }
        world.passes(&key, CHAT, &asked("slow"));
    }
    let only = key(allow("models", &["^anthropic/", "^text-embedding"]));
    world.passes(&only, "/v1/messages", &messages("hi", false));
    let embedded = |model: &str| json!({"model": model, "input": "hi"});
    world.passes(&only, "/v1/embeddings", &embedded("text-embedding-3-small"));
    world.refused(&only, CHAT, chat("hi"), "model_not_allowed");
    world.refused(&only, GENERATE, gemini("hi"), "model_not_allowed");
    let kept = with(gemini("keep"), "model", json!("models/gemini-2.5-flash"));
    world.refused(&only, "/v1beta/cachedContents", kept, "model_not_allowed");
    let counted =
        json!({"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    world.refused(
        &only,
        "/v1/messages/count_tokens",
        counted,
        "model_not_allowed",
    );
}

#[test]
fn a_substitute_that_a_rule_denies_is_not_fallen_over_to() {
    let world = World::start();
    let policy = world.policy(&json!({}));
    let rules = |patterns: &[&str]| json!({"routing_policy_id": policy, "config": {"policyRules": deny("models", patterns)}});
    let down = || once(&world.mock, &json!({"status": 503}));
    let ask = with(chat("hi"), "model", json!("gpt-5-mini"));
    let free = world.gateway.create_key_with(rules(&["^nothing$"]));
    down();
    let answer = world.ask(&free, CHAT, &ask);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-provider"), Some("anthropic"));
    let before = world.called();
    let bound = world
        .gateway
        .create_key_with(rules(&["^anthropic/", "^gemini/"]));
    down();
    let answer = world.ask(&bound, CHAT, &ask);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.header("x-langwatch-provider"), Some("openai"));
    assert_eq!(world.called(), before + 1);
}

/// Writes what the API would not take into the key's row.
fn damage(gateway: &Gateway, key: &Key, rules: &Value) {
    let store = Connection::open(gateway.data().join("config.db")).expect("the store");
    let config: String = store
        .query_row(
            "SELECT config FROM virtual_keys WHERE id = ?1",
            [&key.id],
            |row| row.get(0),
        )
        .expect("the key");
    let mut config = parsed(config);
    config["policyRules"] = rules.clone();
    let changed = store.execute(
        "UPDATE virtual_keys SET config = ?2 WHERE id = ?1",
        [&key.id, &config.to_string()],
    );
    assert_eq!(changed.expect("written"), 1);
}

#[test]
fn a_pattern_that_cannot_be_enforced_refuses_every_request_until_it_is_mended() {
    let world = World::start();
    let refused = world.gateway.patch_key(
        &world.gateway.create_key(),
        &json!({"config": {"policyRules": deny("tools", &["["])}}),
    );
    assert_eq!(refused.status(), 400, "{}", refused.text());
    for (rules, dimension, list) in [
        (deny("tools", &["["]), "tools", "deny"),
        (allow("mcp", &["(?=x)"]), "mcp", "allow"),
        (deny("urls", &["fine", r"(a)\1"]), "urls", "deny"),
        (allow("models", &["gpt", "*"]), "models", "allow"),
        (json!({"tools": {"deny": "shell"}}), "tools", "deny"),
    ] {
        let key = world.gateway.create_key();
        damage(&world.gateway, &key, &rules);
        let before = world.called();
        for (path, body) in [
            (CHAT, chat("hi")),
            ("/v1/messages", messages("hi", true)),
            (
                "/v1/embeddings",
                json!({"model": "text-embedding-3-small", "input": "hi"}),
            ),
            (GENERATE, gemini("hi")),
            (
                "/v1beta/cachedContents",
                with(gemini("hi"), "model", json!("models/gemini-2.5-flash")),
            ),
        ] {
            let answer = world.ask(&key, path, &body);
            let at = format!("{rules} {path}: {}", answer.text());
            let code = "policy_rules_invalid_regex";
            assert_eq!(answer.code(), (503, code.to_owned()), "{at}");
            assert_eq!(
                answer.header("x-langwatch-handled-error"),
                Some(code),
                "{at}"
            );
            let error = &answer.json()["error"];
            assert_eq!(error["type"], "service_unavailable", "{at}");
            assert_eq!(error["fault"], "customer", "{at}");
            assert_eq!(error["meta"]["dimension"], dimension, "{at}");
            assert_eq!(error["meta"]["list"], list, "{at}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(
                message.contains(dimension) && message.contains(list),
                "{at}"
            );
            // Why, and the other patterns, are not for callers.
            assert!(!answer.text().contains("fine"), "{at}");
        }
        assert_eq!(world.called(), before, "{rules}");
        let mended = json!({"config": {"policyRules": deny("tools", &["^x$"])}});
        world.gateway.patch_key(&key, &mended).fine(200);
        world.passes(&key, CHAT, &chat("hi"));
    }
    let log = world.gateway.stdout() + &world.gateway.stderr();
    assert_eq!(
        log.matches("policy_rules_compile_failed").count(),
        5,
        "{log}"
    );
}

#[test]
fn a_body_that_rules_cannot_read_is_refused_and_without_rules_it_is_the_providers_to_judge() {
    let world = World::start();
    let key = world.key(&deny("tools", &["^exec$"]));
    let half = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"\ud800exec"}}]}"#;
    let deep = format!(
        r#"{{"model":"gpt-4o-mini","messages":[],"deep":{}1{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    for body in [
        "{",
        "[]",
        r#""exec""#,
        "nonsense",
        r#"{"model":"gpt-4o-mini","tools":[{"name":"exec"}"#,
        r#"{"model":"gpt-4o-mini"} {"tools":[{"name":"exec"}]}"#,
        r#"{"model":"gpt-4o-mini",}"#,
        half,
        &deep,
    ] {
        let answer = world.ask(&key, CHAT, body);
        let at = format!("{}: {}", body.get(..60).unwrap_or(body), answer.text());
        assert_eq!(answer.code(), (400, "bad_request".to_owned()), "{at}");
    }
    for body in ["{", "nonsense", r#"{"contents":[],}"#] {
        let answer = world.ask(&key, GENERATE, body);
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
        let answer = world.ask(&key, "/v1beta/cachedContents", body);
        assert_eq!(answer.status(), 400, "{body}: {}", answer.text());
    }
    assert_eq!(world.called(), 0);
    let free = world.gateway.create_key();
    world.ask(&free, CHAT, half);
    let seen = world.mock.requests().pop().expect("a request");
    assert_eq!(seen.body.as_deref(), Some(half));
}

#[test]
fn a_change_of_rules_holds_from_the_next_request_on() {
    let world = World::start();
    let policy = world.policy(&json!({}));
    let key = world
        .gateway
        .create_key_with(json!({"routing_policy_id": policy}));
    let body = with(chat("hi"), "tools", json!([function("exec")]));
    let of_key = format!("/api/gateway/v1/virtual-keys/{}", key.id);
    let of_policy = format!("{POLICIES}/{policy}");
    let denied = deny("tools", &["^exec$"]);
    let key_rules = |rules: &Value| json!({"config": {"policyRules": rules}});
    let policy_rules = |rules: &Value| json!({"policy_rules": rules});
    let none = deny("tools", &[]);
    for (path, body_of_change, passes) in [
        (&of_key, key_rules(&denied), false),
        (&of_key, key_rules(&Value::Null), true),
        (&of_policy, policy_rules(&denied), false),
        (&of_key, key_rules(&allow("tools", &["exec"])), false),
        (&of_policy, policy_rules(&none), true),
        (&of_key, key_rules(&allow("tools", &["^other$"])), false),
        (&of_key, key_rules(&none), true),
    ] {
        world
            .gateway
            .api("PATCH", path, Some(&body_of_change))
            .fine(200);
        if passes {
            world.passes(&key, CHAT, &body);
        } else {
            world.refused(&key, CHAT, &body, "tool_not_allowed");
        }
    }
}

#[test]
fn what_gemini_is_to_keep_is_checked_by_guardrails_too() {
    let world = World::start();
    let guardrail = |settings: Value| {
        let body = json!({
            "name": format!("pii {settings}"), "project_id": "default", "direction": "pre",
            "evaluator": {"slug": "pii-check", "settings": settings},
        });
        let path = "/api/gateway/v1/guardrails";
        let made = world.gateway.api("POST", path, Some(&body)).fine(201);
        let id = made.pointer("/guardrail/id").or_else(|| made.get("id"));
        id.and_then(Value::as_str).expect("an id").to_owned()
    };
    let ids = [
        guardrail(json!({"kinds": ["credit_card"], "action": "block"})),
        guardrail(json!({"kinds": ["email"], "action": "redact"})),
    ];
    let key = world.gateway.create_key_with(json!({
        "scopes": [{"scope_type": "project", "scope_id": "default"}],
        "config": {"guardrailAttachments": [{"direction": "pre", "guardrailIds": ids}]},
    }));
    let keep = |text: &str| with(gemini(text), "model", json!("models/gemini-2.5-flash"));
    let path = "/v1beta/cachedContents";
    let card = keep("My card is 4111 1111 1111 1111.");
    world.refused(&key, path, card, "guardrail_blocked");
    world.passes(&key, path, &keep("Write to ann@example.com."));
    let seen = world.mock.requests().pop().expect("a request");
    let body = seen.body.unwrap_or_default();
    assert!(
        body.contains("Write to") && !body.contains("ann@example.com"),
        "{body}"
    );
    // The lifetime of what is kept has no text to check.
    let list = Ask::get(path).bearer(&key.secret);
    assert_eq!(world.gateway.call(&list).status(), 200);
}
