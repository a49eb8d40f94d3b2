//! What is kept at a provider is reachable only for the project whose request created it.
//!
//! Two projects share one credential of the organization; the mock, like the vendors, would give either of
//! them everything. Start at [`Tenants`].

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Gateway, Key, ORG, parsed, provider, responses, whenever};

/// Two projects with a key each, on providers of the whole organization.
struct Tenants {
    gateway: Gateway,
    mock: MockProvider,
    openai: String,
    ours: Key,
    theirs: Key,
}

impl Tenants {
    fn start() -> Self {
        let (gateway, mock) = (Gateway::start(), provider());
        let openai = gateway.openai(&mock, "sk-mock-openai-credential");
        gateway.anthropic(&mock, "sk-mock-anthropic-credential");
        gateway.create_provider(&json!({
            "provider": "gemini", "name": "Mock Gemini",
            "custom_keys": {"GEMINI_API_KEY": "mock-gemini-credential"},
            "provider_config": {"base_url": mock.base_url()},
        }));
        let other = json!({
            "name": "Other", "language": "other", "framework": "other", "newTeamName": "Others",
        });
        gateway.api("POST", "/api/projects", Some(&other)).fine(201);
        Self {
            openai,
            ours: of_project(&gateway, "default"),
            theirs: of_project(&gateway, "other"),
            gateway,
            mock,
        }
    }

    /// Asks as the owner of the key; the second part is how many requests reached the provider.
    fn ask(&self, key: &Key, path: &str, body: &Value) -> (Answer, usize) {
        self.sent(&Ask::post(path, &key.secret, body))
    }

    fn sent(&self, ask: &Ask) -> (Answer, usize) {
        let before = self.mock.requests().len();
        let answer = self.gateway.call(ask);
        (answer, self.mock.requests().len() - before)
    }

    /// What one asks of what Gemini keeps.
    fn kept(&self, key: &Key, method: &str, path: &str, body: Option<&Value>) -> (Answer, usize) {
        let mut ask = Ask::new(method, path).header("x-goog-api-key", &key.secret);
        if let Some(body) = body {
            ask = ask
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        self.sent(&ask)
    }
}

fn of_project(gateway: &Gateway, project: &str) -> Key {
    gateway.create_key_with(json!({
        "scopes": [{"scope_type": "project", "scope_id": project}],
    }))
}

/// A question that goes on from an earlier answer.
fn after(id: &str) -> Value {
    let mut body = responses("and then", false);
    body["previous_response_id"] = json!(id);
    body
}

fn id_of(answer: &Answer) -> String {
    let answer = answer.fine(200);
    answer["id"].as_str().expect("an id").to_owned()
}

/// The refusal of what is another's or nobody's: nothing reached the provider.
fn refused((answer, reached): (Answer, usize), what: &str) -> String {
    assert_eq!(answer.status(), 404, "{what}: {}", answer.text());
    assert_eq!(reached, 0, "{what}: the provider was asked");
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], "not_found", "{what}: {error}");
    assert_eq!(error["meta"]["reason"], "not_created_by_this_project");
    assert!(
        error["tips"].to_string().contains("shared_state"),
        "{error}"
    );
    error["message"].as_str().expect("a text").to_owned()
}

/// It reached the provider, whatever that made of it.
fn passed((answer, reached): (Answer, usize), what: &str) -> Answer {
    assert_eq!(reached, 1, "{what}: {}", answer.text());
    answer
}

#[test]
fn a_conversation_goes_on_only_for_its_own_project() {
    let mut tenants = Tenants::start();
    let question = responses("a secret", false);
    let (first, _) = tenants.ask(&tenants.ours, "/v1/responses", &question);
    let first = id_of(&first);
    // Right after the answer, before anything was folded.
    let next = tenants.ask(&tenants.ours, "/v1/responses", &after(&first));
    let next = id_of(&passed(next, "our own"));
    let foreign = refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after(&first)),
        "another's",
    );
    let unknown = refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after("resp_none")),
        "nobody's",
    );
    assert_eq!(foreign.replace(&first, "resp_none"), unknown);

    let stream = responses("a streamed secret", true);
    let (streamed, _) = tenants.ask(&tenants.ours, "/v1/responses", &stream);
    let text = streamed.text();
    let at = text.find("\"resp_").expect("an id");
    let streamed: String = text[at + 1..].split('"').next().expect("an id").to_owned();
    let again = tenants.ask(&tenants.ours, "/v1/responses", &after(&streamed));
    passed(again, "our own stream").fine(200);
    refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after(&streamed)),
        "another's stream",
    );

    tenants.gateway.restart();
    for id in [&first, &next, &streamed] {
        let ours = tenants.ask(&tenants.ours, "/v1/responses", &after(id));
        passed(ours, "our own after a restart");
        let theirs = tenants.ask(&tenants.theirs, "/v1/responses", &after(id));
        refused(theirs, "another's after a restart");
    }
}

#[test]
fn a_conversation_survives_a_kill() {
    let mut tenants = Tenants::start();
    let (first, _) = tenants.ask(&tenants.ours, "/v1/responses", &responses("a", false));
    let first = id_of(&first);
    tenants.gateway.kill9();
    tenants.gateway.restart();
    let ours = tenants.ask(&tenants.ours, "/v1/responses", &after(&first));
    passed(ours, "our own after a kill");
    refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after(&first)),
        "another's after a kill",
    );
}

#[test]
fn items_and_containers_of_an_answer_are_its_projects() {
    let tenants = Tenants::start();
    let body = json!({
        "id": "resp_x", "object": "response", "status": "completed", "model": "gpt-4o-mini",
        "conversation": {"id": "conv_x"},
        "output": [
            {"type": "reasoning", "id": "rs_x", "summary": []},
            {"type": "code_interpreter_call", "id": "ci_x", "container_id": "cntr_x"},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    });
    whenever(
        &tenants.mock,
        "make them",
        &json!({"status": 200, "body_raw": body.to_string()}),
    );
    let (made, _) = tenants.ask(
        &tenants.ours,
        "/v1/responses",
        &responses("make them", false),
    );
    made.fine(200);
    for body in [
        json!({"input": [{"type": "item_reference", "id": "rs_x"}]}),
        json!({"input": [{"type": "reasoning", "id": "rs_x", "summary": []}]}),
        json!({"input": "x", "conversation": {"id": "conv_x"}}),
        json!({"input": "x", "tools": [{"type": "code_interpreter", "container": "cntr_x"}]}),
    ] {
        let mut body = body;
        body["model"] = json!("gpt-4o-mini");
        let what = body.to_string();
        refused(tenants.ask(&tenants.theirs, "/v1/responses", &body), &what);
        passed(tenants.ask(&tenants.ours, "/v1/responses", &body), &what);
    }
}

#[test]
fn a_file_that_nobodys_request_made_is_nobodys() {
    let tenants = Tenants::start();
    let chat = |part: &str| {
        format!(
            r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":[{{"type":"file","file":{part}}}]}}]}}"#
        )
    };
    let message = |source: Value| {
        json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "document", "source": source}]}]})
    };
    let file = json!({"type": "file", "file_id": "file_1"});
    let gemini = |uri: &str| json!({"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": uri}}]}]});
    let uri = "https://generativelanguage.googleapis.com/v1beta/files/abc";
    let generate = "/v1beta/models/gemini-2.5-flash:generateContent";
    for (path, body) in [
        ("/v1/chat/completions", chat(r#"{"file_id":"file-1"}"#)),
        ("/v1/chat/completions", chat(r#"{"f\u0069le_id":"file-1"}"#)),
        (
            "/v1/responses",
            json!({"model": "gpt-4o-mini", "input": "x", "tools": [
                {"type": "file_search", "vector_store_ids": ["vs_1"]}]})
            .to_string(),
        ),
        ("/v1/messages", message(file.clone()).to_string()),
        ("/v1/messages/count_tokens", message(file).to_string()),
        (
            "/v1/messages",
            json!({"model": "claude-haiku-4-5", "max_tokens": 9, "container": "container_1",
                "messages": [{"role": "user", "content": "x"}]})
            .to_string(),
        ),
        (generate, gemini(uri).to_string()),
        (
            generate,
            json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}],
                "cachedContent": "cachedContents/1"})
            .to_string(),
        ),
        // Written for Gemini by the gateway.
        (
            "/v1/chat/completions",
            json!({"model": "gemini-2.5-flash", "cached_content": "cachedContents/1",
                "messages": [{"role": "user", "content": "x"}]})
            .to_string(),
        ),
    ] {
        let asked = tenants.sent(&Ask::post(path, &tenants.ours.secret, &body));
        refused(asked, &format!("{path} {body}"));
    }
    // What the tools of an application call so is none of this.
    let tool = json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "toolu_1", "name": "open", "input": {"file_id": "mine"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "y"}]},
    ]});
    passed(
        tenants.ask(&tenants.ours, "/v1/messages", &tool),
        "a tool's argument",
    )
    .fine(200);
}

#[test]
fn a_provider_of_one_project_and_one_that_says_so_ask_nothing() {
    let tenants = Tenants::start();
    let (first, _) = tenants.ask(&tenants.ours, "/v1/responses", &responses("a", false));
    let first = id_of(&first);
    let config = |shared: bool| json!({"provider_config": {"shared_state": shared}});
    tenants
        .gateway
        .patch_provider(&tenants.openai, &config(true));
    let theirs = tenants.ask(&tenants.theirs, "/v1/responses", &after(&first));
    passed(theirs, "shared").fine(200);
    tenants
        .gateway
        .patch_provider(&tenants.openai, &config(false));
    refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after(&first)),
        "no longer shared",
    );
    let narrow = json!({"scopes": [{"scope_type": "project", "scope_id": "other"}]});
    tenants.gateway.patch_provider(&tenants.openai, &narrow);
    let theirs = tenants.ask(&tenants.theirs, "/v1/responses", &after(&first));
    passed(theirs, "the only project").fine(200);
    let wrong = json!({"provider_config": {"shared_state": "yes"}});
    let path = format!("/api/gateway/v1/model-providers/{}", tenants.openai);
    let answer = tenants.gateway.api("PATCH", &path, Some(&wrong));
    assert_eq!(answer.status(), 400, "{}", answer.text());
    let wide = json!({"scopes": [{"scope_type": "organization", "scope_id": ORG}]});
    tenants.gateway.patch_provider(&tenants.openai, &wide);
    refused(
        tenants.ask(&tenants.theirs, "/v1/responses", &after(&first)),
        "wide again",
    );
}

#[test]
fn a_cache_of_gemini_is_its_projects() {
    let mut tenants = Tenants::start();
    let shelf = "/v1beta/cachedContents";
    let new = json!({
        "model": "models/gemini-2.5-flash", "displayName": "ours",
        "contents": [{"role": "user", "parts": [{"text": "a long book"}]}],
    });
    let made = tenants.kept(&tenants.ours, "POST", shelf, Some(&new));
    let made = passed(made, "create").fine(200);
    let name = made["name"].as_str().expect("a name").to_owned();
    let sent = tenants.mock.requests();
    let sent = sent.last().expect("a request");
    let body = sent.body.clone().expect("a body");
    assert_eq!(parsed(body.as_bytes()), new);
    assert!(!sent.path.contains("key="), "{}", sent.path);
    let one = format!("/v1beta/{name}");
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let used = json!({
        "contents": [{"role": "user", "parts": [{"text": "and?"}]}], "cachedContent": name,
    });
    let chat = json!({
        "model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "x"}],
        "cached_content": name,
    });
    let uses = |tenants: &Tenants| {
        let (ours, theirs) = (&tenants.ours, &tenants.theirs);
        passed(tenants.ask(ours, path, &used), "use").fine(200);
        refused(tenants.ask(theirs, path, &used), "another's use");
        passed(tenants.ask(ours, "/v1/chat/completions", &chat), "chat").fine(200);
        refused(
            tenants.ask(theirs, "/v1/chat/completions", &chat),
            "another's chat",
        );
        let got = passed(tenants.kept(ours, "GET", &one, None), "get");
        assert_eq!(got.fine(200)["displayName"], "ours");
        for method in ["GET", "DELETE", "PATCH"] {
            let body = (method == "PATCH").then(|| json!({"ttl": "60s"}));
            let asked = tenants.kept(theirs, method, &one, body.as_ref());
            refused(asked, method);
        }
        let list = passed(tenants.kept(ours, "GET", shelf, None), "list").fine(200);
        assert_eq!(list["cachedContents"][0]["name"], name.as_str());
        let listed = passed(tenants.kept(theirs, "GET", shelf, None), "their list");
        assert_eq!(listed.fine(200), json!({}));
    };
    uses(&tenants);
    tenants.gateway.restart();
    uses(&tenants);
    let asked = tenants.kept(&tenants.ours, "DELETE", &one, None);
    passed(asked, "delete").fine(200);
    // No money: what was asked of the shelf left no row when what came after it did.
    let listed = passed(tenants.kept(&tenants.ours, "GET", shelf, None), "list");
    let plain = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]});
    let (charged, _) = tenants.ask(&tenants.ours, path, &plain);
    let book = tenants.gateway.book();
    book.ended(&charged.request_id());
    assert!(book.entries(&listed.request_id()).is_empty());
}

#[test]
fn what_gemini_keeps_is_asked_for_by_the_rules_of_the_key() {
    let tenants = Tenants::start();
    let shelf = "/v1beta/cachedContents";
    let new = |model: &str| json!({"model": model, "contents": [{"role": "user", "parts": [{"text": "x"}]}]});
    let limited = tenants.gateway.create_key_with(json!({
        "config": {
            "modelsAllowed": ["gemini-2.5-flash"],
            "modelAliases": {"book": "gemini-2.5-flash"},
        },
    }));
    let (answer, reached) =
        tenants.kept(&limited, "POST", shelf, Some(&new("models/gemini-2.5-pro")));
    assert_eq!(
        (answer.code(), reached),
        ((403, "model_not_allowed".into()), 0)
    );
    let aliased = tenants.kept(&limited, "POST", shelf, Some(&new("book")));
    let aliased = passed(aliased, "an alias").fine(200);
    assert_eq!(aliased["model"], "models/gemini-2.5-flash");
    let (answer, reached) = tenants.kept(&limited, "POST", shelf, Some(&json!({"contents": []})));
    assert_eq!((answer.code(), reached), ((400, "missing_model".into()), 0));
    for (method, path, status) in [
        ("POST", "/upload/v1beta/files", 404),
        ("POST", "/v1beta/files", 404),
        ("PUT", shelf, 405),
        ("PATCH", "/v1beta/files/a", 405),
        ("GET", "/v1beta/cachedContents/a/b", 404),
        ("GET", "/v1beta/files/a", 404),
    ] {
        let (answer, reached) = tenants.kept(&limited, method, path, None);
        assert_eq!((answer.status(), reached), (status, 0), "{method} {path}");
    }
    let (files, reached) = tenants.kept(&limited, "GET", "/v1beta/files?pageSize=5", None);
    assert_eq!((files.fine(200), reached), (json!({}), 1));
    let seen = tenants.mock.requests();
    assert!(
        seen.last()
            .expect("one")
            .path
            .ends_with("/files?pageSize=5")
    );
    tenants.gateway.act(&limited, "disable");
    let (answer, reached) = tenants.kept(&limited, "GET", shelf, None);
    assert_eq!(
        (answer.code(), reached),
        ((403, "virtual_key_disabled".into()), 0)
    );
}
