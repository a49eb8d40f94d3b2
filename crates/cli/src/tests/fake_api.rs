//! The management API in memory, as its specification has it: enough to apply and export against.
//!
//! It answers one request at a time, remembers what it was sent, masks what the real one masks, and
//! can be told to fail at one of the writes.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Map, Value, json};

use super::{Seen, read_request};

/// How one write goes wrong. Writes count from one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trouble {
    None,
    /// Refused with 500 before anything happens.
    Refuses(usize),
    /// Done, but the connection ends before the answer.
    Vanishes(usize),
    /// Nothing outside of these may be listed.
    ProjectKey,
    /// Refused with 429 before anything happens.
    Limits(usize),
}

pub(super) struct FakeApi {
    pub(super) endpoint: String,
    seen: Receiver<Seen>,
}

impl FakeApi {
    pub(super) fn new() -> Self {
        Self::with(Trouble::None)
    }

    pub(super) fn with(trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let (tx, seen) = channel();
        std::thread::spawn(move || {
            let mut api = Api::new(trouble);
            while let Ok((mut stream, _)) = listener.accept() {
                let request = read_request(&mut stream);
                let answer = api.answer(&request);
                if tx.send(request).is_err() {
                    return;
                }
                if let Some((status, headers, body)) = answer {
                    respond(&mut stream, status, headers, &body);
                }
            }
        });
        Self { endpoint, seen }
    }

    /// The requests since the last time, without those that only read.
    pub(super) fn writes(&self) -> Vec<Seen> {
        let seen = self.seen.try_iter();
        seen.filter(|request| request.method != "GET").collect()
    }
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &Value) {
    let body = body.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream
        .write_all(answer.as_bytes())
        .expect("the client reads");
}

/// Path, wrapper, id prefix.
const KINDS: [(&str, &str, &str); 6] = [
    ("/api/gateway/v1/model-providers", "model_provider", "mp_"),
    ("/api/gateway/v1/guardrails", "guardrail", "guard_"),
    ("/api/gateway/v1/routing-policies", "routing_policy", "rp_"),
    ("/api/gateway/v1/cache-rules", "cache_rule", "rule_"),
    ("/api/gateway/v1/virtual-keys", "virtual_key", "vk_"),
    ("/api/gateway/v1/budgets", "budget", "bgt_"),
];

type Answer = (u16, &'static str, Value);

struct Api {
    trouble: Trouble,
    writes: usize,
    next: usize,
    rows: Vec<Vec<Value>>,
    receipts: Vec<(String, String, Value)>,
}

impl Api {
    fn new(trouble: Trouble) -> Self {
        Self {
            trouble,
            writes: 0,
            next: 1,
            rows: vec![Vec::new(); KINDS.len()],
            receipts: Vec::new(),
        }
    }

    fn answer(&mut self, request: &Seen) -> Option<Answer> {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if let Some(answer) = self.tenants(path) {
            return Some(answer);
        }
        if request.method != "GET" {
            self.writes += 1;
            if self.trouble == Trouble::Refuses(self.writes) {
                let error = json!({"type": "internal_error", "code": "internal_error", "message": "An unknown error occurred"});
                return Some((500, "", json!({"error": error})));
            }
            if self.trouble == Trouble::Limits(self.writes) {
                let error =
                    json!({"type": "rate_limited", "code": "rate_limited", "message": "Slow down"});
                return Some((429, "retry-after: 2\r\n", json!({"error": error})));
            }
        }
        let kind = KINDS.iter().position(|(base, ..)| path.starts_with(base));
        let Some(kind) = kind else {
            return Some(not_found());
        };
        let rest = path.strip_prefix(KINDS[kind].0).expect("prefix");
        let body: Value = serde_json::from_str(&request.body).unwrap_or(Value::Null);
        let answer = match (request.method.as_str(), rest) {
            ("GET", "") => self.list(kind, query),
            ("POST", "") => {
                let key = request.header("idempotency-key").expect("a key");
                self.create(kind, key, &request.body, &body)
            }
            (method, rest) => self.one(kind, method, rest.trim_start_matches('/'), &body),
        };
        let vanishes = request.method != "GET" && self.trouble == Trouble::Vanishes(self.writes);
        (!vanishes).then_some(answer)
    }

    fn tenants(&self, path: &str) -> Option<Answer> {
        let page = |rows: Value| {
            let total = rows.as_array().map_or(0, Vec::len);
            let pagination = json!({"page": 1, "limit": 200, "total": total});
            json!({"data": rows, "pagination": pagination})
        };
        let closed = self.trouble == Trouble::ProjectKey;
        let answer = match path {
            "/api/me/project" => json!({"id": "proj_web", "name": "Web", "slug": "web"}),
            "/api/organization"
            | "/api/teams"
            | "/api/projects"
            | "/api/groups"
            | "/api/organization/members"
                if closed =>
            {
                let body = json!({"error": "credential_class_mismatch", "message": "No."});
                return Some((401, "", body));
            }
            "/api/organization" => json!({"id": "org_1", "name": "Acme", "slug": "acme"}),
            "/api/teams" => page(json!([
                {"id": "team_1", "name": "Engineering", "slug": "eng"},
                {"id": "team_2", "name": "Data", "slug": "data"},
            ])),
            "/api/projects" => page(json!([
                {"id": "proj_web", "name": "Web", "slug": "web", "teamId": "team_1"},
                {"id": "proj_bot", "name": "Bot", "slug": "bot", "teamId": "team_1"},
            ])),
            "/api/groups" => page(json!([{"id": "grp_1", "name": "Analysts", "slug": "analysts"}])),
            "/api/organization/members" => json!({
                "members": [{"userId": "user_1", "name": "Ada", "email": "ada@acme.example"}],
                "totalCount": 1,
            }),
            _ => return None,
        };
        Some((200, "", answer))
    }

    /// Small pages, so that every walk has to walk.
    fn list(&self, kind: usize, query: &str) -> Answer {
        let cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="));
        let from: usize = cursor.map_or(0, |text| text.parse().expect("our cursor"));
        let live = self.rows[kind]
            .iter()
            .filter(|row| row["archived_at"].is_null());
        let page: Vec<&Value> = live.clone().skip(from).take(2).collect();
        let more = live.count() > from + 2;
        let next = more.then(|| (from + 2).to_string());
        (200, "", json!({"data": page, "next_cursor": next}))
    }

    fn create(&mut self, kind: usize, key: &str, text: &str, body: &Value) -> Answer {
        if let Some((_, known, answer)) = self.receipts.iter().find(|(k, ..)| k == key) {
            if known != text {
                return (
                    409,
                    "",
                    json!({"error": {"code": "idempotency_error", "message": "m"}}),
                );
            }
            return (201, "x-idempotent-replay: true\r\n", answer.clone());
        }
        let (_, wrapper, prefix) = KINDS[kind];
        let mut row = defaults(kind);
        row["id"] = format!("{prefix}{}", self.next).into();
        merge(kind, &mut row, body);
        let secret = format!("vk-lw-01HZX9N3NDEKTSV4RRFFQ6{:04}", self.next);
        self.next += 1;
        let mut answer = json!({ wrapper: row.clone() });
        if wrapper == "virtual_key" {
            answer["secret"] = secret.into();
        }
        let (id, default) = (row["id"].clone(), row["is_default"] == true);
        self.rows[kind].push(row);
        if default {
            self.only_default(&id);
        }
        self.receipts
            .push((key.to_owned(), text.to_owned(), answer.clone()));
        (201, "", answer)
    }

    fn one(&mut self, kind: usize, method: &str, rest: &str, body: &Value) -> Answer {
        let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(at) = self.rows[kind].iter().position(|row| row["id"] == id) else {
            return not_found();
        };
        match (method, verb) {
            ("GET", "") => {}
            ("PATCH", "") => merge(kind, &mut self.rows[kind][at], body),
            ("POST", "set-default") => self.only_default(&id.into()),
            ("POST", "revoke") => self.rows[kind][at]["status"] = "revoked".into(),
            ("DELETE", "") => {
                let row = self.rows[kind].remove(at);
                return (200, "", json!({ KINDS[kind].1: row }));
            }
            _ => return not_found(),
        }
        (200, "", json!({ KINDS[kind].1: self.rows[kind][at] }))
    }

    /// The flag leaves every policy that shares a scope.
    fn only_default(&mut self, id: &Value) {
        let chosen = self.rows[2].iter().find(|policy| policy["id"] == *id);
        let scopes = chosen.expect("a policy")["scopes"].clone();
        let scopes = scopes.as_array().expect("a list");
        for policy in &mut self.rows[2] {
            let mut own = policy["scopes"].as_array().expect("a list").iter();
            if policy["id"] == *id {
                policy["is_default"] = true.into();
            } else if own.any(|scope| scopes.contains(scope)) {
                policy["is_default"] = false.into();
            }
        }
    }
}

fn not_found() -> Answer {
    (
        404,
        "",
        json!({"error": {"code": "not_found", "message": "Nothing here"}}),
    )
}

fn defaults(kind: usize) -> Value {
    match kind {
        0 => json!({"organization_id": "org_1", "name": "", "provider": "", "routing_handle": null,
            "enabled": true, "scopes": [], "custom_keys": {}, "extra_headers": null,
            "custom_models": null, "custom_embeddings_models": null, "deployment_mapping": null,
            "rate_limit": {"rpm": null, "tpm": null, "rpd": null, "concurrent": null}, "fallback_priority_global": null,
            "provider_config": null, "health_status": "unknown", "disabled_at": null}),
        1 => json!({"project_id": null, "name": "", "description": null, "direction": "pre",
            "failure_mode": "fail_closed", "evaluator": {}, "archived_at": null}),
        2 => json!({"organization_id": "org_1", "name": "", "description": null,
            "strategy": "ordered", "model_provider_ids": [], "model_aliases": {},
            "default_model": null, "policy_rules": {"tools": {"deny": [], "allow": null},
            "mcp": {"deny": [], "allow": null}, "urls": {"deny": [], "allow": null},
            "models": {"deny": [], "allow": null}}, "is_default": false, "scopes": []}),
        3 => json!({"organization_id": "org_1", "name": "", "description": null, "priority": 100,
            "enabled": true, "matchers": {}, "action": {}, "mode_enum": "respect", "archived_at": null}),
        4 => {
            json!({"organization_id": "org_1", "name": "", "description": null, "status": "active",
            "purpose": "user", "display_prefix": "vk-lw-01HZX9N", "principal_user_id": null,
            "trace_project_id": "proj_governance", "external_id": null, "metadata": {}, "scopes": [],
            "routing_policy_id": null, "routing_mode": "none", "config": {"modelsAllowed": null,
            "providersAllowed": null, "cache": {"mode": "respect", "ttlS": 3600},
            "fallback": {"maxAttempts": 3}, "guardrailAttachments": [],
            "rateLimits": {"rpm": null, "tpm": null, "rpd": null},
            "realtime": {"maxOpenSessions": null}, "metadata": {"tags": []}},
            "revision": "1", "expires_at": null, "env": "live"})
        }
        _ => json!({"organization_id": "org_1", "name": "", "description": null, "window": "month",
            "on_breach": "block", "limit_usd": "0", "spent_usd": "0", "timezone": null,
            "provider_key": null, "external_id": null, "metadata": {}, "cycle_anchor_at": null,
            "archived_at": null, "scope_reach": "reachable", "enforcement": "strict"}),
    }
}

fn merge(kind: usize, row: &mut Value, body: &Value) {
    let empty = Map::new();
    for (name, value) in body.as_object().unwrap_or(&empty) {
        match (kind, name.as_str()) {
            (0, "custom_keys") => {
                for (key, value) in value.as_object().expect("a map") {
                    let stored = match value {
                        Value::Null => {
                            row["custom_keys"]
                                .as_object_mut()
                                .expect("a map")
                                .remove(key);
                            continue;
                        }
                        clear if key.contains("URL") || key.contains("REGION") => clear.clone(),
                        _ => mask(),
                    };
                    row["custom_keys"][key] = stored;
                }
            }
            (0, "extra_headers") if value.is_array() => {
                row["extra_headers"] = value.clone();
                for header in row["extra_headers"].as_array_mut().expect("a list") {
                    header["value"] = mask();
                }
            }
            (0, "rate_limit") => {
                for (key, value) in value.as_object().expect("a map") {
                    row["rate_limit"][key] = value.clone();
                }
            }
            (1, "evaluator") => {
                row["evaluator"] = value.clone();
                let headers = row.pointer_mut("/evaluator/settings/headers");
                for (_, value) in headers.and_then(Value::as_object_mut).into_iter().flatten() {
                    *value = mask();
                }
            }
            (4, "config") => {
                for (key, value) in value.as_object().expect("a map") {
                    // What is not said inside takes its default, as the API has it.
                    let mut whole = defaults(4)["config"][key].clone();
                    match (&mut whole, value) {
                        (Value::Object(whole), Value::Object(value)) => {
                            whole.extend(value.clone());
                        }
                        (whole, value) => *whole = value.clone(),
                    }
                    row["config"][key] = whole;
                }
            }
            (4, "budget") => panic!("a key's own budget cannot be read back"),
            (5, "scope") => {
                let scope = value.as_object().expect("a map");
                row["scope_type"] = scope["kind"].clone();
                let id = scope
                    .iter()
                    .find(|(name, _)| *name != "kind")
                    .expect("an id")
                    .1;
                row["scope_id"] = id.clone();
            }
            (5, "allow_unreachable") => {}
            (_, name) => row[name] = value.clone(),
        }
    }
    if kind == 4 {
        row["routing_mode"] = match (body.get("routing_policy_id"), body.get("routing_mode")) {
            (Some(Value::String(_)), None) => "policy".into(),
            _ => row["routing_mode"].clone(),
        };
        if row["routing_mode"] != "policy" {
            row["routing_policy_id"] = Value::Null;
        }
    }
}

fn mask() -> Value {
    format!("HAS_KEY{}", "\u{2022}".repeat(24)).into()
}
