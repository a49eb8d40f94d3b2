//! The smallest body that asks for the parts of a request, in the dialect of its route.
//!
//! Only what decisions look at is in it: a model, names of tools, addresses, limits. Must never be sent to a
//! provider. Start at [`Dialect::of`] and [`Parts::body`].

use serde_json::{Map, Value, json};

/// What a text says where the caller gave no address to put into it.
const NOTHING_TO_SAY: &str = "Hello";
/// `/v1/messages` needs a limit; this one stands where the caller named none.
const USUAL_LIMIT: u64 = 1024;

/// The shape of a route's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Chat,
    Messages,
    CountTokens,
    Responses,
    Embeddings,
    Gemini(Method),
}

/// A method of a Gemini model that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Also as a stream.
    Generate,
    Count,
    Embed,
    EmbedBatch,
}

/// The routes that parts can be given for, as an error names them.
pub(super) const ROUTES: &str = "/v1/chat/completions, /v1/messages, /v1/messages/count_tokens, \
                                 /v1/responses, /v1/embeddings, /v1beta/models/{model}:generateContent";

impl Dialect {
    /// The dialect of a path without its query; `None` for routes whose bodies are not made here.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => return Some(Self::Chat),
            "/v1/messages" => return Some(Self::Messages),
            "/v1/messages/count_tokens" => return Some(Self::CountTokens),
            "/v1/responses" => return Some(Self::Responses),
            "/v1/embeddings" => return Some(Self::Embeddings),
            _ => {}
        }
        let (_, method) = addressed(path)?;
        Some(Self::Gemini(match method {
            "generateContent" | "streamGenerateContent" => Method::Generate,
            "countTokens" => Method::Count,
            "embedContent" => Method::Embed,
            "batchEmbedContents" => Method::EmbedBatch,
            _ => return None,
        }))
    }

    /// Whether tools can be offered on it.
    pub(super) const fn takes_tools(self) -> bool {
        match self {
            Self::Chat | Self::Messages | Self::CountTokens | Self::Responses => true,
            Self::Gemini(method) => matches!(method, Method::Generate | Method::Count),
            Self::Embeddings => false,
        }
    }

    /// Whether the body says that the answer is to be a stream. Gemini says it in the path.
    pub(super) const fn takes_stream(self) -> bool {
        matches!(self, Self::Chat | Self::Messages | Self::Responses)
    }

    /// Whether the answer has a length.
    pub(super) const fn takes_limit(self) -> bool {
        match self {
            Self::Chat | Self::Messages | Self::Responses => true,
            Self::Gemini(method) => matches!(method, Method::Generate),
            Self::CountTokens | Self::Embeddings => false,
        }
    }
}

/// The model and the method of a path that addresses a model, `/v1beta/models/{model}:{method}`.
pub(super) fn addressed(path: &str) -> Option<(&str, &str)> {
    let rest = path
        .strip_prefix("/v1beta/models/")
        .or_else(|| path.strip_prefix("/v1/models/"))?;
    rest.rsplit_once(':')
}

/// The parts of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// The model as a caller would name it; not in the body where the path names it.
    pub(super) model: Option<String>,
    /// Names of tools.
    pub(super) tools: Vec<String>,
    /// MCP servers, by name or by address.
    pub(super) mcp: Vec<String>,
    /// Addresses that stand in the text.
    pub(super) urls: Vec<String>,
    /// Whether the answer is to be a stream.
    pub(super) stream: bool,
    /// The most tokens of the answer.
    pub(super) max_output_tokens: Option<u64>,
}

impl Parts {
    /// The body. What a dialect does not take is left out: the caller was told before.
    pub(super) fn body(&self, dialect: Dialect) -> Value {
        let text = self.text();
        let mut out = Map::new();
        if let (Some(model), false) = (&self.model, matches!(dialect, Dialect::Gemini(_))) {
            out.insert("model".into(), json!(model));
        }
        let message = json!([{ "role": "user", "content": text }]);
        match dialect {
            Dialect::Chat | Dialect::Messages | Dialect::CountTokens => {
                out.insert("messages".into(), message);
            }
            Dialect::Responses => {
                out.insert("input".into(), message);
            }
            Dialect::Embeddings => {
                out.insert("input".into(), json!(text));
            }
            Dialect::Gemini(method) => self.gemini(method, &text, &mut out),
        }
        if dialect.takes_stream() && self.stream {
            out.insert("stream".into(), json!(true));
        }
        self.limit(dialect, &mut out);
        if dialect.takes_tools() {
            self.tools(dialect, &mut out);
        }
        out.into()
    }

    fn text(&self) -> String {
        if self.urls.is_empty() {
            NOTHING_TO_SAY.to_owned()
        } else {
            self.urls.join("\n")
        }
    }

    fn gemini(&self, method: Method, text: &str, out: &mut Map<String, Value>) {
        let said = json!({ "parts": [{ "text": text }] });
        match method {
            Method::Generate | Method::Count => {
                let contents = json!([{ "role": "user", "parts": [{ "text": text }] }]);
                out.insert("contents".into(), contents);
            }
            Method::Embed => {
                out.insert("content".into(), said);
            }
            Method::EmbedBatch => {
                let model = self.model.as_deref().unwrap_or_default();
                let request = json!({ "model": format!("models/{model}"), "content": said });
                out.insert("requests".into(), json!([request]));
            }
        }
    }

    fn limit(&self, dialect: Dialect, out: &mut Map<String, Value>) {
        let given = self.max_output_tokens.filter(|_| dialect.takes_limit());
        let (name, limit) = match (dialect, given) {
            (Dialect::Messages, given) => ("max_tokens", json!(given.unwrap_or(USUAL_LIMIT))),
            (Dialect::Chat, Some(limit)) => ("max_completion_tokens", json!(limit)),
            (Dialect::Responses, Some(limit)) => ("max_output_tokens", json!(limit)),
            (Dialect::Gemini(_), Some(limit)) => {
                ("generationConfig", json!({ "maxOutputTokens": limit }))
            }
            _ => return,
        };
        out.insert(name.into(), limit);
    }

    fn tools(&self, dialect: Dialect, out: &mut Map<String, Value>) {
        let nothing = json!({ "type": "object" });
        let mut tools: Vec<Value> = Vec::new();
        for name in &self.tools {
            tools.push(match dialect {
                Dialect::Messages | Dialect::CountTokens => {
                    json!({ "name": name, "input_schema": nothing })
                }
                Dialect::Responses => {
                    json!({ "type": "function", "name": name, "parameters": nothing })
                }
                Dialect::Gemini(_) => json!({ "functionDeclarations": [{ "name": name }] }),
                Dialect::Chat | Dialect::Embeddings => {
                    json!({ "type": "function", "function": { "name": name, "parameters": nothing } })
                }
            });
        }
        let mut servers: Vec<Value> = Vec::new();
        for server in &self.mcp {
            let is_address = server.contains("://");
            if dialect == Dialect::Responses {
                let said = if is_address {
                    "server_url"
                } else {
                    "server_label"
                };
                tools.push(json!({ "type": "mcp", said: server }));
            } else {
                let said = if is_address { "url" } else { "name" };
                servers.push(json!({ "type": "url", said: server }));
            }
        }
        for (name, list) in [("tools", tools), ("mcp_servers", servers)] {
            if !list.is_empty() {
                out.insert(name.into(), list.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 10] = [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/embeddings",
        "/v1beta/models/m:generateContent",
        "/v1/models/m:streamGenerateContent",
        "/v1beta/models/m:countTokens",
        "/v1beta/models/m:embedContent",
        "/v1beta/models/m:batchEmbedContents",
    ];

    #[test]
    fn each_route_has_the_body_that_its_clients_would_send() {
        let all = Parts {
            model: Some("m".into()),
            tools: vec!["shell".into()],
            mcp: vec!["files".into(), "https://mcp.example.com".into()],
            urls: vec![
                "https://a.example.com".into(),
                "https://b.example.com".into(),
            ],
            stream: true,
            max_output_tokens: Some(7),
        };
        let least = Parts {
            model: Some("m".into()),
            ..Parts::default()
        };
        let mut lines = Vec::new();
        for path in PATHS {
            let dialect = Dialect::of(path).expect("a route");
            lines.push(format!(
                "{path}\n  {}\n  {}",
                least.body(dialect),
                all.body(dialect)
            ));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn only_routes_whose_bodies_are_known_take_parts() {
        for path in [
            "",
            "/v1/chat/completions/",
            "/v1/models",
            "/v1/models/m",
            "/v1beta/models/m:deleteModel",
            "/v1beta/files",
        ] {
            assert_eq!(Dialect::of(path), None, "{path}");
        }
        let deep = addressed("/v1beta/models/models/a:b:generateContent");
        assert_eq!(deep, Some(("models/a:b", "generateContent")));
    }
}
