//! Every path that a secret could leave by, walked once.
//!
//! Start at [`Walk::store_providers`] and go down.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use data_encoding::BASE64;
use lw_core::{Clock as _, SystemClock, SystemEntropy};
use lw_mock::{MockProvider, Script};
use serde_json::{Value, json};

use super::super::support::{Ask, Conn, Gateway, chat, directive, eventually, messages, once};
use super::{Flock, ORG, Sink, hatch, ran};

/// The secrets of an installation.
pub(super) struct Secrets {
    pub(super) api_key: String,
    pub(super) password: String,
    pub(super) pepper: String,
    pub(super) openai: String,
    pub(super) anthropic: String,
    /// What the OpenAI credential is rotated to.
    pub(super) next: String,
    pub(super) header: String,
    /// Secrets that are sent and were never valid here.
    pub(super) wrong_api_key: String,
    pub(super) wrong_key: String,
    pub(super) misplaced: String,
}

impl Secrets {
    pub(super) fn hatch(flock: &mut Flock) -> Self {
        let minted = || {
            lw_crypto::api_key::mint(&SystemEntropy)
                .token
                .expose()
                .to_owned()
        };
        let now = SystemClock.now();
        let wrong_key = lw_crypto::virtual_key::mint(now, &SystemEntropy);
        let secrets = Self {
            api_key: minted(),
            // Characters that every encoding spells differently.
            password: format!("p\"w\\/+&= {}", hatch("admin")),
            pepper: hatch("pepper"),
            openai: hatch("sk-openai"),
            anthropic: hatch("sk-ant"),
            next: hatch("sk-openai-next"),
            header: format!("a/b+c={}", hatch("header")),
            wrong_api_key: minted(),
            wrong_key: wrong_key.expose().to_owned(),
            misplaced: hatch("misplaced"),
        };
        let Self {
            api_key,
            password,
            pepper,
            openai,
            anthropic,
            next,
            header,
            wrong_api_key,
            wrong_key,
            misplaced,
        } = &secrets;
        // The part before the `_` finds the row of an API key; the first 13 characters show a key.
        let lookup = "sk-lw-".len() + 17;
        for (canary, value, public) in [
            ("the management key", api_key, lookup),
            ("the administrator's password", password, 0),
            ("the pepper", pepper, 0),
            ("the OpenAI credential", openai, 0),
            ("the Anthropic credential", anthropic, 0),
            ("the next OpenAI credential", next, 0),
            ("the extra header", header, 0),
            ("a wrong management key", wrong_api_key, lookup),
            ("a wrong virtual key", wrong_key, 13),
            ("a credential in the wrong place", misplaced, 0),
        ] {
            flock.add(canary, value, public);
        }
        secrets
    }
}

/// The virtual keys, by what became of them.
pub(super) struct Keys {
    pub(super) live: Minted,
    /// Before the rotation, and after.
    pub(super) rotated: (Minted, String),
    pub(super) revoked: Minted,
    pub(super) disabled: Minted,
}

pub(super) struct Minted {
    pub(super) id: String,
    pub(super) secret: String,
}

/// Walks every path and keeps what comes out.
pub(super) struct Walk<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) mock: &'a MockProvider,
    pub(super) secrets: &'a Secrets,
    pub(super) flock: Flock,
    pub(super) sinks: Vec<Sink>,
}

pub(super) const PROVIDERS: &str = "/api/gateway/v1/model-providers";
pub(super) const KEYS: &str = "/api/gateway/v1/virtual-keys";

impl Walk<'_> {
    /// A call of either plane, head and body kept. Returns the status and the body.
    pub(super) fn ask(&mut self, addr: SocketAddr, name: &str, ask: &Ask) -> (u16, String) {
        let answer = Conn::open(addr).try_call(ask);
        let Ok(answer) = answer else {
            return (0, String::new());
        };
        let text = answer.text();
        let shown = format!("{:?}\n{text}", answer.head);
        self.sinks
            .push(Sink::new(&format!("the answer to {name}"), shown));
        (answer.status(), text)
    }

    /// A management call with the management key.
    pub(super) fn api(&mut self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let mut ask = Ask::new(method, path).bearer(&self.secrets.api_key);
        if let Some(body) = body {
            ask = ask
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        self.ask(self.gateway.control, &format!("{method} {path}"), &ask)
    }

    /// A management call that must succeed.
    pub(super) fn fine(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, text) = self.api(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {text}"
        );
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A management call whose answer holds a secret on purpose: it is not kept.
    pub(super) fn minted(&mut self, path: &str, body: &Value) -> Minted {
        let ask = Ask::post(path, &self.secrets.api_key, body);
        let answer = Conn::open(self.gateway.control).call(&ask);
        assert!(answer.status() < 300, "{path}: {}", answer.text());
        let answer = answer.json();
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str);
        let secret = text("/secret").expect("a secret").to_owned();
        self.flock
            .add(&format!("a virtual key of {path}"), &secret, 13);
        Minted {
            id: text("/virtual_key/id").expect("an id").to_owned(),
            secret,
        }
    }

    pub(super) fn store_providers(&mut self) -> String {
        let base = self.mock.base_url();
        let Secrets {
            openai,
            anthropic,
            header,
            ..
        } = self.secrets;
        let body = json!({
            "provider": "openai", "name": "OpenAI",
            "custom_keys": {"OPENAI_API_KEY": openai, "OPENAI_BASE_URL": format!("{base}/v1")},
            "extra_headers": [{"key": "X-Canary", "value": header}],
        });
        let stored = self.fine("POST", PROVIDERS, Some(body));
        let id = stored.pointer("/model_provider/id").or(stored.get("id"));
        let id = id.and_then(Value::as_str).expect("an id").to_owned();
        let body = json!({
            "provider": "anthropic", "name": "Anthropic",
            "custom_keys": {"ANTHROPIC_API_KEY": anthropic, "ANTHROPIC_BASE_URL": base},
            "extra_headers": [{"key": "X-Canary", "value": header}],
        });
        self.fine("POST", PROVIDERS, Some(body));
        id
    }

    /// Secrets in places where they do not belong: the mistake is named, the value is not.
    pub(super) fn manage_badly(&mut self, provider: &str) {
        let secret = &self.secrets.misplaced;
        let one = format!("{PROVIDERS}/{provider}");
        for body in [
            json!(secret),
            json!([secret]),
            json!({"provider": "openai", "custom_keys": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": [secret]}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": {"value": secret}}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": format!("{secret}\u{e9}")}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": format!("{secret}\nx")}}),
            json!({"provider": "openai", "custom_keys": {"ANTHROPIC_API_KEY": secret}}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("https://u:{secret}@example.com")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("https://example.com/?key={secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("http://10.0.0.1/#{secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {
                "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": format!("not a url {secret}")
            }}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"}, "extra_headers": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": [{"key": "x-a", "value": [secret]}]}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": [{"key": "x a", "value": secret}]}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "extra_headers": {"x-a": secret}}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "fallback_priority_global": secret}),
            json!({"provider": "openai", "custom_keys": {"OPENAI_API_KEY": "sk-x"},
                "provider_config": {"base_url": format!("https://u:{secret}@example.com")}}),
        ] {
            self.api("PATCH", &one, Some(body.clone()));
            let (status, text) = self.api("POST", PROVIDERS, Some(body.clone()));
            assert!((400..500).contains(&status), "{body}: {status} {text}");
        }
        let torn = format!("{{\"custom_keys\": {{\"OPENAI_API_KEY\": \"{secret}\", oops");
        let control = self.gateway.control;
        for body in [torn, secret.clone(), format!("\"{secret}")] {
            let ask = Ask::post(PROVIDERS, &self.secrets.api_key, body);
            self.ask(control, "a body that is no JSON", &ask);
        }
        // Credentials that are wrong, in every place where one may stand.
        let wrong = &self.secrets.wrong_api_key;
        let basic = BASE64.encode(format!("project:{wrong}").as_bytes());
        for (name, value) in [
            ("Authorization", format!("Bearer {wrong}")),
            ("Authorization", format!("Basic {basic}")),
            ("Authorization", wrong.clone()),
            ("Authorization", format!("Bearer {secret}")),
            ("X-Auth-Token", wrong.clone()),
            ("X-API-Key", wrong.clone()),
            ("Cookie", format!("session={wrong}")),
            // A virtual key is none of the control plane's credentials.
            (
                "Authorization",
                format!("Bearer {}", self.secrets.wrong_key),
            ),
        ] {
            for path in [KEYS, "/api/organization", "/api/traces/search", "/nowhere"] {
                let ask = Ask::get(path).header(name, &value);
                let (status, _) = self.ask(control, path, &ask);
                assert!(status >= 400, "{name} {path}: {status}");
            }
        }
    }

    pub(super) fn mint_keys(&mut self) -> Keys {
        let mut mint = |name: &str| {
            let scopes = json!([{"scope_type": "organization", "scope_id": ORG}]);
            self.minted(KEYS, &json!({"name": name, "scopes": scopes}))
        };
        let (live, old, revoked, disabled) = (
            mint("live"),
            mint("rotated"),
            mint("revoked"),
            mint("disabled"),
        );
        let rotated = self.minted(&format!("{KEYS}/{}/rotate", old.id), &json!({}));
        for (key, action) in [(&revoked, "revoke"), (&disabled, "disable")] {
            self.fine(
                "POST",
                &format!("{KEYS}/{}/{action}", key.id),
                Some(json!({})),
            );
        }
        Keys {
            live,
            rotated: (old, rotated.secret),
            revoked,
            disabled,
        }
    }

    /// A call of the data plane.
    pub(super) fn model(&mut self, path: &str, key: &str, body: &Value) -> (u16, String) {
        self.ask(self.gateway.addr, path, &Ask::post(path, key, body))
    }

    /// Everything that succeeds, and everything that a provider can do wrong.
    pub(super) fn call(&mut self, keys: &Keys) {
        let key = keys.live.secret.clone();
        let talk = |stream| {
            let mut chat = chat("a-prompt-may-be-stored");
            chat["stream"] = Value::Bool(stream);
            let responses = json!({"model": "gpt-4o-mini", "stream": stream, "input": "hello"});
            [
                ("/v1/chat/completions", chat),
                ("/v1/messages", messages("hello", stream)),
                ("/v1/responses", responses),
            ]
        };
        let embeddings = json!({"model": "text-embedding-3-small", "input": "hello"});
        let count =
            json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "a"}]});
        let mut calls: Vec<(&str, Value)> = talk(false).into_iter().chain(talk(true)).collect();
        calls.push(("/v1/embeddings", embeddings));
        calls.push(("/v1/messages/count_tokens", count));
        for (path, body) in &calls {
            let (status, text) = self.model(path, &key, body);
            assert_eq!(status, 200, "{path}: {text}");
        }
        self.ask(
            self.gateway.addr,
            "models",
            &Ask::get("/v1/models").bearer(&key),
        );
        let Secrets {
            openai,
            anthropic,
            header,
            ..
        } = self.secrets;
        for (path, body) in &calls {
            let ours = if path.starts_with("/v1/messages") {
                anthropic
            } else {
                openai
            };
            let echo = json!({"echo_credential_in_error": true});
            for fault in [
                echo.clone(),
                json!({"echo_credential_in_error": true, "status": 400}),
                json!({"echo_credential_in_error": true, "status": 500}),
                json!({"status": 401, "error_message": format!("the header X-Canary: {header} is bad")}),
                json!({"status": 403, "error_type": ours, "error_message": "named after the key"}),
                json!({"status": 429, "retry_after": "1", "headers": {"x-echo": ours, "set-cookie": ours}}),
                json!({"status": 400, "body_raw": format!("no JSON but {ours} and {header}")}),
                json!({"status": 401, "body_raw": format!("{{\"error\":\"{ours}\"}}"), "split_every": 7}),
                json!({"status": 502, "response_bytes": 300_000}),
                json!({"reset_before_head": true}),
                json!({"close_before_head": true}),
                json!({"malformed_json": true}),
                json!({"reset_after_frames": 1}),
            ] {
                once(self.mock, &fault);
                let (status, text) = self.model(path, &key, body);
                let refused = fault.get("status").is_some() || fault == echo;
                assert!(!refused || status >= 400, "{path} {fault}: {status} {text}");
            }
        }
        // In the middle of a stream there is an error event instead, whole or in pieces.
        for (path, body) in talk(true) {
            let ours = if path == "/v1/messages" {
                anthropic
            } else {
                openai
            };
            let message = format!("Incorrect API key provided: {ours}, with {header}");
            let fault = json!({"error_event_after_frames": 1, "error_message": message});
            for pieces in [json!({}), json!({"split_every": 30, "pace_ms": 2})] {
                let mut fault = fault.clone();
                if let (Some(fault), Some(pieces)) = (fault.as_object_mut(), pieces.as_object()) {
                    fault.extend(pieces.clone());
                }
                once(self.mock, &fault);
                self.model(path, &key, &body);
            }
        }
        // An error event that never ends: cut off after the secret, or only its empty line is missing.
        for (path, body) in talk(true) {
            let ours = if path == "/v1/messages" {
                anthropic
            } else {
                openai
            };
            let start = format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"x\",\"message\":\"{ours} {header}"
            );
            for end in ["", "\"}}", "\"}}\n"] {
                once(self.mock, &json!({"body_raw": format!("{start}{end}")}));
                self.model(path, &key, &body);
            }
        }
        // A caller that leaves.
        let stall = directive(&json!({"stall_after_frames": 1}));
        self.mock.script(Script::once(stall));
        let (path, body) = &talk(true)[0];
        let mut stream = self.gateway.stream(&Ask::post(path, &key, body));
        stream.until("data:");
        drop(stream);
        let mock = self.mock;
        eventually("the provider sees it", || {
            (mock.disconnects() > 0).then_some(())
        });
    }

    /// Everything that is refused before a provider is asked.
    pub(super) fn call_badly(&mut self, keys: &Keys) {
        let addr = self.gateway.addr;
        let chat = chat("hello");
        let Secrets {
            wrong_key,
            misplaced,
            api_key,
            ..
        } = self.secrets;
        let (old, new) = (&keys.rotated.0.secret, &keys.rotated.1);
        for (key, expected) in [
            (old, 200),
            (new, 200),
            (&keys.revoked.secret, 403),
            (&keys.disabled.secret, 403),
            (wrong_key, 401),
            (misplaced, 401),
            (api_key, 401),
        ] {
            for (path, body) in [
                ("/v1/chat/completions", &chat),
                ("/v1/messages", &messages("hello", false)),
            ] {
                let (status, text) = self.model(path, key, body);
                let fine = status == expected || (expected == 403 && status == 401);
                assert!(fine, "{path}: {status} instead of {expected}: {text}");
            }
            let ask = Ask::get("/v1/models").bearer(key);
            self.ask(addr, "/v1/models", &ask);
            for name in ["x-api-key", "api-key", "x-goog-api-key", "xi-api-key"] {
                let ask = Ask::new("POST", "/v1/chat/completions")
                    .header(name, key)
                    .header("content-type", "application/json")
                    .body(chat.to_string());
                self.ask(addr, name, &ask);
            }
        }
        let key = &keys.live.secret;
        for body in [
            "{".to_owned(),
            "[]".to_owned(),
            "{\"messages\":[]}".to_owned(),
            "{\"model\":\"no-such-model\"}".to_owned(),
            "{\"model\":7}".to_owned(),
        ] {
            self.ask(
                addr,
                "a bad body",
                &Ask::post("/v1/chat/completions", key, body),
            );
        }
        for path in ["/v1/models", "/v1/chat/completions", "/nowhere", "/metrics"] {
            let path = format!("{path}?key={misplaced}&api_key={misplaced}");
            let ask = Ask::post(&path, misplaced, &chat);
            self.ask(addr, "a key in the query", &ask);
            self.ask(addr, "a key in the query", &Ask::get(&path));
        }
        for (method, path) in [
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/nothing"),
            ("POST", "/v1/messages/batches"),
            ("DELETE", "/metrics"),
        ] {
            self.ask(
                addr,
                path,
                &Ask::new(method, path).bearer(key).header("x-api-key", key),
            );
        }
        // Every header that may carry a key at once: the provider gets none of them.
        let ask = Ask::post("/v1/chat/completions", key, &chat)
            .header("x-api-key", key)
            .header("api-key", key)
            .header("x-goog-api-key", key)
            .header("xi-api-key", key)
            .header("cookie", &format!("key={key}"))
            .header("proxy-authorization", &format!("Bearer {key}"))
            .header("x-langwatch-metadata", "{\"a\":1}");
        let (status, text) = self.ask(addr, "all headers", &ask);
        assert_eq!(status, 200, "{text}");
    }

    /// Everything that can be read.
    pub(super) fn look_around(&mut self, provider: &str, keys: &Keys) {
        let next = json!({"custom_keys": {"OPENAI_API_KEY": self.secrets.next}});
        self.fine("PATCH", &format!("{PROVIDERS}/{provider}"), Some(next));
        let (status, text) = self.model("/v1/chat/completions", &keys.live.secret, &chat("hello"));
        assert_eq!(status, 200, "{text}");
        once(self.mock, &json!({"echo_credential_in_error": true}));
        self.model("/v1/chat/completions", &keys.live.secret, &chat("hello"));
        let mut paths = vec![
            PROVIDERS.to_owned(),
            format!("{PROVIDERS}/{provider}"),
            format!("/api/gateway-platform/v1/model-providers/{provider}"),
            KEYS.to_owned(),
            "/api/organization".to_owned(),
            "/api/teams".to_owned(),
            "/api/projects".to_owned(),
        ];
        for key in [&keys.live, &keys.rotated.0, &keys.revoked, &keys.disabled] {
            paths.push(format!("{KEYS}/{}", key.id));
            paths.push(format!("{KEYS}/{}/spend", key.id));
        }
        for path in paths {
            self.fine("GET", &path, None);
        }
        self.fine(
            "PATCH",
            &format!("{KEYS}/{}", keys.live.id),
            Some(json!({"description": "looked at"})),
        );
        // A provider that cannot be reached, and one that does not speak TLS.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let closed = free.local_addr().expect("an address");
        drop(free);
        let mock = self.mock.addr();
        for base in [
            format!("http://{closed}/v1"),
            format!("https://{mock}/v1"),
            format!("http://{mock}/v1"),
        ] {
            let moved = json!({"custom_keys": {"OPENAI_BASE_URL": base}});
            self.fine("PATCH", &format!("{PROVIDERS}/{provider}"), Some(moved));
            let path = "/v1/chat/completions";
            let (status, text) = self.model(path, &keys.live.secret, &chat("hello"));
            assert_eq!(
                status == 200,
                base.starts_with(&format!("http://{mock}")),
                "{text}"
            );
        }
        for (id, trace) in self.traces() {
            self.fine("GET", &format!("/api/traces/{trace}"), None);
            self.api("GET", &format!("/api/gateway/v1/requests/{id}"), None);
        }
        for path in [
            "/metrics",
            "/health",
            "/healthz",
            "/readyz",
            "/startupz",
            "/",
        ] {
            self.ask(self.gateway.addr, path, &Ask::get(path));
            self.ask(self.gateway.control, path, &Ask::get(path));
        }
    }

    /// Ids of requests and their traces, once all of them are stored.
    pub(super) fn traces(&mut self) -> Vec<(String, String)> {
        let search = json!({"pageSize": 1000, "startDate": 0, "endDate": 9_999_999_999_999_u64});
        let found = self.fine("POST", "/api/traces/search", Some(search));
        let traces = found["traces"].as_array().expect("traces");
        assert!(traces.len() > 100, "{} traces", traces.len());
        let text = |trace: &Value, names: &[&str]| {
            let found = names.iter().find_map(|name| trace.get(*name)?.as_str());
            found.unwrap_or_default().to_owned()
        };
        let ids = traces.iter().map(|trace| {
            let id = text(trace, &["request_id", "requestId", "gatewayRequestId"]);
            (id, text(trace, &["trace_id", "traceId", "id"]))
        });
        ids.collect()
    }

    /// The commands that show things, in both of their forms, and those that fail.
    pub(super) fn use_the_command_line(&mut self, provider: &str, keys: &Keys) {
        let (_, trace) = self.traces().swap_remove(0);
        let key = &keys.live.id;
        let set = format!("OPENAI_API_KEY={}", self.secrets.next);
        let misplaced = &self.secrets.misplaced;
        let wrong_name = format!("={misplaced}");
        let wrong_url = format!("OPENAI_BASE_URL=https://u:{misplaced}@example.com");
        let unknown = format!("OPENAI_API_KEYS={misplaced}");
        let commands: [&[&str]; 27] = [
            &["whoami"],
            &["model-provider", "list"],
            &["model-provider", "list", "--all"],
            &["model-provider", "get", provider],
            &["model-provider", "update", provider, "--key", &set],
            &[
                "model-provider",
                "set",
                "openai",
                "--api-key",
                &self.secrets.next,
            ],
            &["model-provider", "test", provider],
            &["model-provider", "disable", provider],
            &["model-provider", "enable", provider],
            &["virtual-keys", "list"],
            &["virtual-keys", "get", key],
            &["virtual-keys", "disable", key],
            &["virtual-keys", "enable", key],
            &["virtual-keys", "revoke", key],
            &["trace", "search"],
            &["trace", "get", &trace],
            &["config", "list"],
            // Mistakes.
            &["model-provider", "update", provider, "--key", misplaced],
            &["model-provider", "update", provider, "--key", &wrong_name],
            &["model-provider", "update", provider, "--key", &wrong_url],
            &["model-provider", "update", provider, "--key", &unknown],
            &["model-provider", "create", "--key", misplaced],
            &[
                "model-provider",
                "create",
                "--provider",
                "openai",
                "--bogus",
                "--key",
                &unknown,
            ],
            &[
                "model-provider",
                "set",
                "openai",
                "--api-key",
                misplaced,
                "--bogus",
            ],
            &["login", "--api-key", misplaced, "--bogus"],
            &["env", "--key", misplaced],
            &["virtual-keys", "get", "vk_nothing"],
        ];
        for command in commands {
            for form in [&[][..], &["--format", "json"]] {
                let all = [command, form].concat();
                self.cli(&all, &self.secrets.api_key);
            }
        }
        for credential in [
            &self.secrets.wrong_api_key,
            misplaced,
            &self.secrets.wrong_key,
        ] {
            self.cli(&["whoami"], credential);
            self.cli(&["virtual-keys", "list", "--format", "json"], credential);
        }
    }

    /// Runs a client command and keeps what it prints.
    pub(super) fn cli(&mut self, arguments: &[&str], credential: &str) {
        let endpoint = format!("http://{}", self.gateway.control);
        let environment = BTreeMap::from([
            ("LANGWATCH_ENDPOINT", endpoint),
            ("LANGWATCH_API_KEY", credential.to_owned()),
            ("LANGWATCH_NO_DAEMON", "1".to_owned()),
        ]);
        let (shown, _) = ran(arguments, &environment);
        let name = arguments[..arguments.len().min(2)].join(" ");
        self.sinks.push(Sink::new(&name, shown));
    }

    /// The provider got its own credential and header, and nothing of ours.
    pub(super) fn what_the_provider_got(&mut self, keys: &Keys) {
        let seen = self.mock.requests();
        assert!(seen.len() > 100, "{} requests", seen.len());
        let digest = |key: &String| lw_mock::key_digest(key);
        let Secrets {
            openai,
            anthropic,
            next,
            header,
            ..
        } = self.secrets;
        let ours = [openai, anthropic, next].map(digest);
        let theirs = [&keys.live.secret, &keys.rotated.0.secret, &keys.rotated.1].map(digest);
        for request in &seen {
            let all = format!("{:?}", request.headers);
            assert!(
                ours.iter().any(|key| all.contains(key)),
                "no credential: {all}"
            );
            assert!(
                !theirs.iter().any(|key| all.contains(key)),
                "a virtual key: {all}"
            );
            assert_eq!(request.headers.get("x-canary"), Some(header));
            let mut rest = request.headers.clone();
            rest.remove("x-canary");
            let body = request.body.clone().unwrap_or_default();
            let shown = format!("{}\n{rest:?}\n{body}", request.path);
            self.sinks.push(Sink::new("what the provider got", shown));
        }
    }
}
