//! Guardrails from a caller's request to the trace: what may pass to a provider, and back (data-plane 16).
//!
//! Every case runs through the real binary on every surface, natively and translated. What is asserted is what the
//! caller got, what the provider received, what the ledger holds and what the trace shows. Start at [`World`].

mod answers;
mod callouts;
mod changes;
mod requests;
mod service;
mod streams;

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Gateway, Key, parsed, provider, text};

/// Where guardrails are kept.
const GUARDRAILS: &str = "/api/gateway/v1/guardrails";
/// What no text may hold.
const WORD: &str = "swordfish";
/// What is taken out of texts, and what stands there then.
const MAIL: &str = "ann@example.com";
const TAKEN_OUT: &str = "[EMAIL]";

/// A gateway in front of a mock that is OpenAI, Anthropic and Gemini.
struct World {
    gateway: Gateway,
    mock: MockProvider,
}

impl World {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let builder = environment
            .iter()
            .fold(Gateway::builder(), |builder, (name, value)| {
                builder.env(name, value)
            });
        let (gateway, mock) = (builder.start(), provider());
        gateway.openai(&mock, "sk-guarded-openai");
        gateway.anthropic(&mock, "sk-guarded-anthropic");
        gateway.create_provider(&json!({
            "provider": "gemini", "name": "Mock Gemini",
            "custom_keys": {"GEMINI_API_KEY": "mock-guarded-gemini"},
            "provider_config": {"base_url": mock.base_url()},
        }));
        Self { gateway, mock }
    }

    /// A guardrail of the default project that fails closed; returns its id.
    fn guardrail(&self, direction: &str, slug: &str, settings: &Value) -> String {
        self.guardrail_with(direction, slug, settings, "fail_closed")
    }

    fn guardrail_with(&self, direction: &str, slug: &str, settings: &Value, mode: &str) -> String {
        let body = json!({
            "name": "the guard", "project_id": "default", "direction": direction, "failure_mode": mode,
            "evaluator": {"slug": slug, "settings": settings},
        });
        let made = self.gateway.api("POST", GUARDRAILS, Some(&body)).fine(201);
        made["guardrail"]["id"].as_str().expect("an id").to_owned()
    }

    /// One that blocks [`WORD`].
    fn blocks(&self, direction: &str) -> String {
        self.guardrail(direction, "keyword-list", &json!({"words": [WORD]}))
    }

    /// One that takes e-mail addresses out.
    fn redacts(&self, direction: &str) -> String {
        let settings = json!({"kinds": ["email"], "action": "redact"});
        self.guardrail(direction, "pii-check", &settings)
    }

    /// A key of the default project with these guardrails, by direction, in order.
    fn key(&self, attached: &[(&str, &[&str])]) -> Key {
        self.gateway.create_key_with(json!({
            "scopes": [{"scope_type": "project", "scope_id": "default"}],
            "config": {"guardrailAttachments": attachments(attached)},
        }))
    }

    /// A key with this one guardrail.
    fn key_of(&self, direction: &str, guardrail: &str) -> Key {
        self.key(&[(direction, &[guardrail])])
    }

    fn ask(&self, key: &Key, way: &Way) -> Answer {
        self.gateway.call(&way.with(key))
    }

    /// How often a provider was called so far.
    fn called(&self) -> usize {
        self.mock.requests().len()
    }

    /// The body that the provider received last.
    fn received(&self) -> String {
        let seen = self.mock.requests().pop().expect("a request");
        seen.body.expect("a body")
    }

    /// The attributes of the request's span, as an administrator reads them.
    fn attributes(&self, request_id: &str) -> Value {
        self.gateway.book().trace(request_id);
        let path = format!("/api/traces/{request_id}");
        let trace = self.gateway.api("GET", &path, None).fine(200);
        trace["spans"][0]["attributes"].clone()
    }

    /// How often a direction came to a verdict; zero when it never did.
    fn verdicts(&self, direction: &str, verdict: &str) -> u64 {
        let metrics = self.gateway.get("/metrics").text();
        let labels = format!(
            "gateway_guardrail_verdicts_total{{direction=\"{direction}\",verdict=\"{verdict}\"}} "
        );
        let line = metrics.lines().find_map(|line| line.strip_prefix(&labels));
        line.map_or(0, |count| count.parse().expect("a count"))
    }
}

fn attachments(attached: &[(&str, &[&str])]) -> Value {
    let one =
        |(direction, ids): &(&str, &[&str])| json!({"direction": direction, "guardrailIds": ids});
    attached.iter().map(one).collect()
}

/// A question on one surface to one provider.
struct Way {
    name: &'static str,
    path: String,
    body: Value,
    /// The provider speaks the caller's dialect.
    native: bool,
}

impl Way {
    fn with(&self, key: &Key) -> Ask {
        Ask::post(&self.path, &key.secret, &self.body)
    }

    /// Whether its stream is a JSON list.
    fn is_list(&self) -> bool {
        self.path.ends_with(":streamGenerateContent")
    }

    fn is_anthropic(&self) -> bool {
        self.path == "/v1/messages"
    }

    /// Whether errors of its streams say `"type": "error"` at the top.
    fn types_errors(&self) -> bool {
        self.is_anthropic() || self.path == "/v1/responses"
    }
}

/// `text` on every conversational surface, to a provider of the same dialect and to one of another.
fn ways(text: &str, stream: bool) -> Vec<Way> {
    let way = |name, path: &str, native, mut body: Value| {
        if stream && path.starts_with("/v1/") {
            body["stream"] = json!(true);
        }
        let path = path.to_owned();
        Way {
            name,
            path,
            body,
            native,
        }
    };
    let turn = json!([{"role": "user", "content": text}]);
    let contents = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]});
    let mut ways = Vec::new();
    for (native, openai, anthropic, gemini) in [
        (true, "gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"),
        (
            false,
            "anthropic/claude-haiku-4-5",
            "openai/gpt-4o-mini",
            "openai%2Fgpt-4o-mini",
        ),
    ] {
        let chat = json!({"model": openai, "messages": turn});
        ways.push(way("chat", "/v1/chat/completions", native, chat));
        let responses = json!({"model": openai, "input": text});
        ways.push(way("responses", "/v1/responses", native, responses));
        let messages = json!({"model": anthropic, "max_tokens": 256, "messages": turn});
        ways.push(way("messages", "/v1/messages", native, messages));
        let methods: &[(&str, &str)] = match stream {
            true => &[
                ("gemini events", "streamGenerateContent?alt=sse"),
                ("gemini list", "streamGenerateContent"),
            ],
            false => &[("gemini", "generateContent")],
        };
        for (name, method) in methods {
            let path = format!("/v1beta/models/{gemini}:{method}");
            ways.push(way(name, &path, native, contents.clone()));
        }
    }
    ways
}

/// All that the caller reads in an answer, whole or streamed, in any dialect: every string that is called `text`,
/// `content`, `delta` or `output_text`.
fn spoken(body: &str) -> String {
    fn words(value: &Value, found: &mut String) {
        match value {
            Value::Array(list) => list.iter().for_each(|item| words(item, found)),
            Value::Object(map) => map.iter().for_each(|(name, item)| match item {
                Value::String(text)
                    if ["text", "content", "delta", "output_text"].contains(&name.as_str()) =>
                {
                    found.push_str(text);
                }
                item => words(item, found),
            }),
            _ => {}
        }
    }
    let mut found = String::new();
    if body.starts_with(['{', '[']) {
        words(&parsed(body), &mut found);
    }
    let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
    for event in events.filter(|data| data.starts_with('{')) {
        words(&parsed(event), &mut found);
    }
    found
}

/// The captured side of a trace, as text.
fn captured(side: Option<&lw_store::trace::Captured>) -> String {
    side.map(|side| text(&side.pieces.concat()))
        .unwrap_or_default()
}
