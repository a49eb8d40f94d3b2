//! From a path to what is asked of whom: the vendor, the dialect, the operation, the model.
//!
//! The mock is every vendor at once, so the path alone tells them apart (and a header or two, where
//! vendors share a path). Never reads a body. Start at [`Target::of`].

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// Whose server the mock is for one request: how callers prove who they are, and which headers the
/// answer has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Vendor {
    OpenAi,
    Anthropic,
    Gemini,
    Vertex,
    Azure,
    Bedrock,
}

impl Vendor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Azure => "azure",
            Self::Bedrock => "bedrock",
        }
    }
}

/// How bodies and errors look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    Bedrock,
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route<'a> {
    Root,
    Chat,
    Responses,
    /// Counts what a response would read.
    InputTokens,
    Embeddings,
    Messages,
    CountTokens,
    Models,
    Model(&'a str),
    /// `generateContent` and its stream.
    Gemini,
    GeminiCount,
    /// `embedContent`, or the batch of them.
    GeminiEmbed {
        batch: bool,
    },
    /// Embeddings on Vertex AI.
    Predict,
    Converse,
    BedrockCount,
    Titan,
    Cohere,
    /// What Gemini keeps for later calls.
    Kept(Shelf, Option<&'a str>),
    Identity(Identity),
    WrongMethod,
    Unknown,
}

/// Where Gemini keeps things.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shelf {
    CachedContents,
    Files,
}

impl Shelf {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CachedContents => "cachedContents",
            Self::Files => "files",
        }
    }
}

/// Endpoints that hand out tokens and temporary credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    GoogleToken,
    GoogleMetadata,
    EntraToken,
    AzureMetadata,
    Sts,
    ImdsToken,
    ImdsRoles,
    ImdsCredentials,
}

impl Route<'_> {
    /// Whether it makes something that is billed.
    pub(crate) fn generates(self) -> bool {
        match self {
            Self::Chat
            | Self::Responses
            | Self::Embeddings
            | Self::Messages
            | Self::Gemini
            | Self::GeminiEmbed { .. }
            | Self::Predict
            | Self::Converse
            | Self::Titan
            | Self::Cohere => true,
            Self::Root
            | Self::InputTokens
            | Self::CountTokens
            | Self::GeminiCount
            | Self::BedrockCount
            | Self::Models
            | Self::Model(_)
            | Self::Kept(..)
            | Self::Identity(_)
            | Self::WrongMethod
            | Self::Unknown => false,
        }
    }
}

/// Everything that the head of a request says.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) vendor: Vendor,
    pub(crate) dialect: Dialect,
    pub(crate) route: Route<'a>,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// Whether it streams, where the path says so.
    pub(crate) stream: Option<bool>,
    /// A stream without `alt=sse`.
    pub(crate) array: bool,
    pub(crate) deployment: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) region: Option<String>,
}

impl<'a> Target<'a> {
    pub(crate) fn of(method: &Method, path: &'a str, query: &str, headers: &HeaderMap) -> Self {
        let is_post = method == Method::POST;
        let mut target = identity(path, is_post)
            .or_else(|| bedrock(path))
            .or_else(|| azure(path, query))
            .or_else(|| vertex(path))
            .or_else(|| gemini(path, headers, is_post))
            .unwrap_or_else(|| plain(path, headers));
        target.array =
            target.stream == Some(true) && argument(query, "alt").as_deref() != Some("sse");
        if target.route != Route::Unknown && !target.takes(method) {
            target.route = Route::WrongMethod;
        }
        target
    }

    fn new(vendor: Vendor, dialect: Dialect, route: Route<'a>) -> Self {
        Self {
            vendor,
            dialect,
            route,
            model: None,
            stream: None,
            array: false,
            deployment: None,
            api_version: None,
            region: None,
        }
    }

    fn model(mut self, model: &str, stream: bool) -> Self {
        self.model = Some(decoded(model));
        self.stream = Some(stream);
        self
    }

    fn takes(&self, method: &Method) -> bool {
        match self.route {
            Route::Root => method == Method::HEAD,
            Route::Models | Route::Model(_) => method == Method::GET,
            Route::Kept(_, None) => method == Method::GET || method == Method::POST,
            Route::Kept(_, Some(_)) => method == Method::GET || method == Method::DELETE,
            Route::Identity(Identity::ImdsToken) => method == Method::PUT,
            Route::Identity(
                Identity::GoogleMetadata
                | Identity::AzureMetadata
                | Identity::ImdsRoles
                | Identity::ImdsCredentials,
            ) => method == Method::GET,
            _ => method == Method::POST,
        }
    }
}

/// An argument of a query, decoded.
pub(crate) fn argument(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(decoded(&value.replace('+', " ")))
}

pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn plain<'a>(path: &'a str, headers: &HeaderMap) -> Target<'a> {
    let (openai, anthropic) = (Vendor::OpenAi, Vendor::Anthropic);
    let versioned = headers.contains_key("anthropic-version");
    let either = |route| {
        if versioned || path.starts_with("/v1/messages") {
            Target::new(anthropic, Dialect::Anthropic, route)
        } else {
            Target::new(openai, Dialect::OpenAi, route)
        }
    };
    match path {
        "/" => either(Route::Root),
        "/v1/chat/completions" => Target::new(openai, Dialect::OpenAi, Route::Chat),
        "/v1/responses" => Target::new(openai, Dialect::OpenAi, Route::Responses),
        "/v1/responses/input_tokens" => Target::new(openai, Dialect::OpenAi, Route::InputTokens),
        "/v1/embeddings" => Target::new(openai, Dialect::OpenAi, Route::Embeddings),
        "/v1/messages" => either(Route::Messages),
        "/v1/messages/count_tokens" => either(Route::CountTokens),
        "/v1/models" => either(Route::Models),
        _ => either(match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() => Route::Model(id),
            Some(_) | None => Route::Unknown,
        }),
    }
}

fn identity(path: &str, is_post: bool) -> Option<Target<'_>> {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials";
    let (vendor, identity) = match path {
        "/" if is_post => (Vendor::Bedrock, Identity::Sts),
        "/token" => (Vendor::Vertex, Identity::GoogleToken),
        "/latest/api/token" => (Vendor::Bedrock, Identity::ImdsToken),
        "/metadata/identity/oauth2/token" => (Vendor::Azure, Identity::AzureMetadata),
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            (Vendor::Vertex, Identity::GoogleMetadata)
        }
        _ => match path.strip_prefix(ROLES) {
            Some("" | "/") => (Vendor::Bedrock, Identity::ImdsRoles),
            Some(_) => (Vendor::Bedrock, Identity::ImdsCredentials),
            None => {
                let tenant = path.strip_suffix("/oauth2/v2.0/token")?.strip_prefix('/')?;
                if tenant.is_empty() || tenant.contains('/') {
                    return None;
                }
                (Vendor::Azure, Identity::EntraToken)
            }
        },
    };
    let dialect = match vendor {
        Vendor::Bedrock => Dialect::Bedrock,
        Vendor::Vertex => Dialect::Gemini,
        _ => Dialect::OpenAi,
    };
    Some(Target::new(vendor, dialect, Route::Identity(identity)))
}

fn bedrock(path: &str) -> Option<Target<'_>> {
    let (model, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let new = |route| Target::new(Vendor::Bedrock, Dialect::Bedrock, route);
    if model.is_empty() || model.contains('/') {
        return Some(new(Route::Unknown));
    }
    let invoked = || {
        let model = decoded(model);
        if model.contains("titan-embed") {
            Route::Titan
        } else if model.contains("cohere.embed") {
            Route::Cohere
        } else {
            Route::Messages
        }
    };
    Some(match operation {
        "converse" => new(Route::Converse).model(model, false),
        "converse-stream" => new(Route::Converse).model(model, true),
        "invoke" => new(invoked()).model(model, false),
        "invoke-with-response-stream" => new(invoked()).model(model, true),
        "count-tokens" => new(Route::BedrockCount).model(model, false),
        _ => new(Route::Unknown),
    })
}

fn azure<'a>(path: &'a str, query: &str) -> Option<Target<'a>> {
    let rest = path.strip_prefix("/openai/")?;
    let (deployment, operation) = match rest.strip_prefix("deployments/") {
        Some(rest) => {
            let (deployment, operation) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(decoded(deployment)), operation)
        }
        None => (None, rest.strip_prefix("v1/").unwrap_or(rest)),
    };
    let route = match operation {
        "chat/completions" => Route::Chat,
        "embeddings" => Route::Embeddings,
        "responses" => Route::Responses,
        "models" => Route::Models,
        _ => Route::Unknown,
    };
    Some(Target {
        model: deployment.clone(),
        deployment,
        api_version: argument(query, "api-version"),
        ..Target::new(Vendor::Azure, Dialect::OpenAi, route)
    })
}

fn vertex(path: &str) -> Option<Target<'_>> {
    let rest = path
        .strip_prefix("/v1/projects/")
        .or_else(|| path.strip_prefix("/v1beta1/projects/"))?;
    let new = |dialect, route| Target::new(Vendor::Vertex, dialect, route);
    let placed = || {
        let (_, rest) = rest.split_once("/locations/")?;
        rest.split_once('/')
    };
    let Some((region, rest)) = placed() else {
        return Some(new(Dialect::Gemini, Route::Unknown));
    };
    let mut target = if rest == "endpoints/openapi/chat/completions" {
        new(Dialect::OpenAi, Route::Chat)
    } else if let Some(rest) = rest.strip_prefix("publishers/google/models/") {
        gemini_method(rest).map_or_else(
            || new(Dialect::Gemini, Route::Unknown),
            |(model, route, stream)| new(Dialect::Gemini, route).model(model, stream),
        )
    } else if let Some(rest) = rest.strip_prefix("publishers/anthropic/models/") {
        match rest.rsplit_once(':') {
            Some(("count-tokens", "rawPredict")) => new(Dialect::Anthropic, Route::CountTokens),
            Some((model, "rawPredict")) => {
                new(Dialect::Anthropic, Route::Messages).model(model, false)
            }
            Some((model, "streamRawPredict")) => {
                new(Dialect::Anthropic, Route::Messages).model(model, true)
            }
            Some(_) | None => new(Dialect::Gemini, Route::Unknown),
        }
    } else {
        new(Dialect::Gemini, Route::Unknown)
    };
    target.region = Some(decoded(region));
    Some(target)
}

fn gemini<'a>(path: &'a str, headers: &HeaderMap, is_post: bool) -> Option<Target<'a>> {
    let new = |route| Target::new(Vendor::Gemini, Dialect::Gemini, route);
    let Some(rest) = path.strip_prefix("/v1beta/") else {
        // The SDK's default prefix, shared with the others.
        let by_key = headers.contains_key("x-goog-api-key");
        let Some(rest) = path.strip_prefix("/v1/models") else {
            return path.strip_prefix("/v1/").filter(|_| by_key).and_then(shelf);
        };
        if is_post {
            let (model, route, stream) = gemini_method(rest.strip_prefix('/')?)?;
            return Some(new(route).model(model, stream));
        }
        if !by_key {
            return None;
        }
        return match rest.strip_prefix('/') {
            Some(id) => Some(new(Route::Model(id))),
            None => rest.is_empty().then(|| new(Route::Models)),
        };
    };
    let compatible = |route| Target::new(Vendor::Gemini, Dialect::OpenAi, route);
    Some(match rest {
        "models" => new(Route::Models),
        "openai/models" => compatible(Route::Models),
        "openai/chat/completions" => compatible(Route::Chat),
        "openai/embeddings" => compatible(Route::Embeddings),
        _ => {
            if let Some(rest) = rest.strip_prefix("models/") {
                match gemini_method(rest) {
                    Some((model, route, stream)) => new(route).model(model, stream),
                    None if !rest.contains(':') => new(Route::Model(rest)),
                    None => new(Route::Unknown),
                }
            } else {
                shelf(rest).unwrap_or_else(|| new(Route::Unknown))
            }
        }
    })
}

/// A shelf, or one thing on it.
fn shelf(rest: &str) -> Option<Target<'_>> {
    let (name, id) = match rest.split_once('/') {
        Some((name, id)) => (name, Some(id)),
        None => (rest, None),
    };
    let shelf = [Shelf::CachedContents, Shelf::Files]
        .into_iter()
        .find(|shelf| shelf.name() == name)?;
    let route = match id {
        Some(id) if id.is_empty() || id.contains('/') => Route::Unknown,
        id => Route::Kept(shelf, id),
    };
    Some(Target::new(Vendor::Gemini, Dialect::Gemini, route))
}

fn gemini_method(rest: &str) -> Option<(&str, Route<'static>, bool)> {
    let (model, method) = rest.rsplit_once(':')?;
    let (route, stream) = match method {
        "generateContent" => (Route::Gemini, false),
        "streamGenerateContent" => (Route::Gemini, true),
        "countTokens" => (Route::GeminiCount, false),
        "embedContent" => (Route::GeminiEmbed { batch: false }, false),
        "batchEmbedContents" => (Route::GeminiEmbed { batch: true }, false),
        "predict" => (Route::Predict, false),
        _ => return None,
    };
    Some((model, route, stream))
}

#[cfg(test)]
mod tests {
    use super::{Route, Target, Vendor};
    use http::{HeaderMap, Method};

    fn at(method: &Method, path: &'static str, query: &str) -> Target<'static> {
        Target::of(method, path, query, &HeaderMap::new())
    }

    #[test]
    fn a_path_names_vendor_operation_and_model() {
        let bedrock = at(
            &Method::POST,
            "/model/anthropic.claude-3%3A0/converse-stream",
            "",
        );
        assert_eq!(bedrock.model.as_deref(), Some("anthropic.claude-3:0"));
        assert_eq!(
            (bedrock.route, bedrock.stream),
            (Route::Converse, Some(true))
        );
        let azure = at(
            &Method::POST,
            "/openai/deployments/my-gpt/chat/completions",
            "api-version=2024-10-21",
        );
        assert_eq!(azure.deployment.as_deref(), Some("my-gpt"));
        assert_eq!(azure.api_version.as_deref(), Some("2024-10-21"));
        let vertex = at(
            &Method::POST,
            "/v1/projects/p/locations/europe-west1/publishers/anthropic/models/claude-x@1:streamRawPredict",
            "",
        );
        assert_eq!(vertex.region.as_deref(), Some("europe-west1"));
        assert_eq!(
            (vertex.route, vertex.model.as_deref()),
            (Route::Messages, Some("claude-x@1"))
        );
        let gemini = at(&Method::POST, "/v1/models/gemini-x:generateContent", "");
        assert_eq!(
            (gemini.vendor, gemini.route),
            (Vendor::Gemini, Route::Gemini)
        );
        let stream = "/v1beta/models/g:streamGenerateContent";
        assert!(at(&Method::POST, stream, "").array);
        assert!(!at(&Method::POST, stream, "alt=sse").array);
        assert_eq!(at(&Method::GET, stream, "").route, Route::WrongMethod);
        let tuned = at(&Method::GET, "/v1/models/ft:gpt:generateContent", "");
        assert_eq!(tuned.vendor, Vendor::OpenAi);
        assert_eq!(
            at(&Method::POST, "/v1beta/nothing", "").route,
            Route::Unknown
        );
    }
}
