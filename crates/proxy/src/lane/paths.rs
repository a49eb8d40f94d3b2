//! The paths of a provider's operations below its base (providers 4 to 10).
//!
//! Paths without a model in them are made once. A model that comes into a path is percent-encoded, so that
//! a name cannot lead to another operation.

use http::uri::PathAndQuery;
use lw_core::{Code, Error};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ways::{Publisher, publisher};
use super::{Address, Lane, LaneKind};

/// What a provider is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// OpenAI dialect.
    Chat,
    /// OpenAI dialect.
    Responses,
    /// OpenAI dialect.
    Embeddings,
    /// Tokens of a Responses body (`/v1/responses/input_tokens`).
    InputTokens,
    /// Anthropic dialect; on other clouds by their own operation.
    Messages {
        /// An event stream is wanted.
        stream: bool,
    },
    /// Anthropic dialect.
    CountTokens,
    /// A method of Gemini, such as `generateContent`.
    Gemini(&'a str),
    /// Bedrock's own dialect.
    Converse {
        /// An event stream is wanted.
        stream: bool,
    },
    /// A model's own body on Bedrock.
    Invoke,
    /// Tokens of a Converse body.
    CountConverse,
    /// Vertex `:predict`.
    Predict,
}

/// Paths without a model.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    chat: Option<PathAndQuery>,
    responses: Option<PathAndQuery>,
    embeddings: Option<PathAndQuery>,
    input_tokens: Option<PathAndQuery>,
    messages: Option<PathAndQuery>,
    count_tokens: Option<PathAndQuery>,
    pub(crate) models: Option<PathAndQuery>,
}

/// Everything that is not plain text of a name; `:` too, as AWS and Google encode it.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// One segment of a path.
fn segment(text: &str) -> String {
    // These two would be folded away with the segment before them, by servers and proxies.
    if text == "." || text == ".." {
        return text.replace('.', "%2E");
    }
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Fixed {
    /// For a kind below `base` (the path of the base URL): a base that ends in a version keeps it, any other
    /// gets `/v1`.
    pub(crate) fn new(kind: LaneKind, base: &str, api_version: &str) -> Self {
        let path = |text: String| PathAndQuery::try_from(text).ok();
        match kind {
            LaneKind::OpenAi | LaneKind::Compatible(_) | LaneKind::Anthropic => {
                let root = root(kind, base);
                let at = |operation: &str| path(format!("{root}/{operation}"));
                Self {
                    chat: at("chat/completions"),
                    responses: at("responses"),
                    embeddings: at("embeddings"),
                    input_tokens: at("responses/input_tokens"),
                    messages: at("messages"),
                    count_tokens: at("messages/count_tokens"),
                    models: at(if kind == LaneKind::Anthropic {
                        "models?limit=1000"
                    } else {
                        "models"
                    }),
                }
            }
            LaneKind::Azure => {
                let v1 = |operation: &str| {
                    // Older rows need to be told that the v1 routes are meant (providers 5).
                    let old = api_version.get(..7).is_some_and(|month| month < "2025-03");
                    let query = if old { "?api-version=preview" } else { "" };
                    path(format!("{base}/openai/v1/{operation}{query}"))
                };
                let named = is_v1(api_version);
                Self {
                    chat: v1("chat/completions").filter(|_| named),
                    embeddings: v1("embeddings").filter(|_| named),
                    responses: v1("responses"),
                    ..Self::default()
                }
            }
            LaneKind::Gemini => Self {
                models: path(format!("{base}/v1beta/openai/models")),
                ..Self::default()
            },
            LaneKind::Bedrock | LaneKind::Vertex => Self::default(),
        }
    }
}

/// Whether the row uses Azure's v1 routes for everything.
fn is_v1(api_version: &str) -> bool {
    matches!(api_version, "v1" | "preview" | "latest")
}

fn root(kind: LaneKind, base: &str) -> String {
    let last = base.rsplit('/').next().unwrap_or_default();
    let versioned = last
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    match kind {
        LaneKind::Anthropic => format!("{}/v1", base.strip_suffix("/v1").unwrap_or(base)),
        _ if versioned => base.to_owned(),
        _ => format!("{base}/v1"),
    }
}

impl Lane {
    /// The path of an operation with a model (as it is sent).
    ///
    /// # Errors
    /// The provider has no such operation, or the name cannot stand in a path.
    pub(crate) fn path(
        &self,
        operation: Operation<'_>,
        model: &str,
    ) -> Result<PathAndQuery, Error> {
        let fixed = &self.address.fixed;
        let made = match operation {
            Operation::Chat => fixed.chat.clone(),
            Operation::Responses => fixed.responses.clone(),
            Operation::Embeddings => fixed.embeddings.clone(),
            Operation::InputTokens => fixed.input_tokens.clone(),
            Operation::Messages { .. } => fixed.messages.clone(),
            Operation::CountTokens => fixed.count_tokens.clone(),
            _ => None,
        };
        if let Some(path) = made {
            return Ok(path);
        }
        let text = match self.kind {
            LaneKind::Azure => self.azure(operation, model),
            LaneKind::Bedrock => self.bedrock_path(operation, model),
            LaneKind::Vertex => self.vertex(operation, model),
            LaneKind::Gemini => self.gemini(operation, model),
            LaneKind::OpenAi | LaneKind::Anthropic | LaneKind::Compatible(_) => None,
        };
        let text = text.ok_or_else(|| {
            Error::new(Code::InternalError, "the provider has no such operation")
                .because(format!("{operation:?} on {}", self.kind.as_str()))
        })?;
        PathAndQuery::try_from(text).map_err(|error| {
            Error::new(Code::BadRequest, "the model cannot be addressed").because(error)
        })
    }

    /// The path of something that Gemini keeps, by its name below the version.
    ///
    /// # Errors
    /// The name cannot stand in a path.
    pub(crate) fn kept_path(&self, name: &str) -> Result<PathAndQuery, Error> {
        let path = format!("{}/v1beta/{name}", self.address.base);
        PathAndQuery::try_from(path)
            .map_err(|error| Error::new(Code::BadRequest, "it cannot be addressed").because(error))
    }

    fn azure(&self, operation: Operation<'_>, deployment: &str) -> Option<String> {
        let operation = match operation {
            Operation::Chat => "chat/completions",
            Operation::Embeddings => "embeddings",
            _ => return None,
        };
        Some(format!(
            "{}/openai/deployments/{}/{operation}?api-version={}",
            self.address.base,
            segment(deployment),
            segment(&self.address.api_version)
        ))
    }

    /// The path that lists a resource's base models: any key of the resource may ask.
    pub(crate) fn azure_models(&self) -> Result<PathAndQuery, String> {
        let Address {
            base, api_version, ..
        } = &self.address;
        let version = if is_v1(api_version) {
            "2024-10-21"
        } else {
            api_version
        };
        let path = format!("{base}/openai/models?api-version={}", segment(version));
        PathAndQuery::try_from(path).map_err(|error| error.to_string())
    }

    fn bedrock_path(&self, operation: Operation<'_>, model: &str) -> Option<String> {
        let operation = match operation {
            Operation::Converse { stream: false } => "converse",
            Operation::Converse { stream: true } => "converse-stream",
            Operation::Invoke | Operation::Messages { stream: false } => "invoke",
            Operation::Messages { stream: true } => "invoke-with-response-stream",
            Operation::CountConverse => "count-tokens",
            _ => return None,
        };
        let model = lw_cloud::sigv4::encode_model_id(model);
        Some(format!("{}/model/{model}/{operation}", self.address.base))
    }

    fn vertex(&self, operation: Operation<'_>, model: &str) -> Option<String> {
        let place = format!(
            "{}/v1/projects/{}/locations/{}",
            self.address.base,
            segment(&self.address.project),
            segment(&self.address.region)
        );
        let (publisher, name) = match (publisher(model), model.strip_prefix("publishers/")) {
            (Publisher::Other, None) => ("", model),
            (_, Some(rest)) => {
                let (publisher, rest) = rest.split_once('/')?;
                (publisher, rest.strip_prefix("models/").unwrap_or(rest))
            }
            (Publisher::Anthropic, None) => ("anthropic", model),
            (Publisher::Google, None) => ("google", model),
        };
        let method = match operation {
            Operation::Chat => return Some(format!("{place}/endpoints/openapi/chat/completions")),
            Operation::Messages { stream: false } => "rawPredict",
            Operation::Messages { stream: true } => "streamRawPredict",
            Operation::CountTokens => {
                return Some(format!(
                    "{place}/publishers/anthropic/models/count-tokens:rawPredict"
                ));
            }
            Operation::Gemini(method) => method,
            Operation::Predict => "predict",
            _ => return None,
        };
        Some(format!(
            "{place}/publishers/{}/models/{}:{method}",
            segment(publisher),
            segment(name)
        ))
    }

    fn gemini(&self, operation: Operation<'_>, model: &str) -> Option<String> {
        let Operation::Gemini(method) = operation else {
            return None;
        };
        let model = segment(model.strip_prefix("models/").unwrap_or(model));
        let Address {
            base,
            project,
            region,
            ..
        } = &self.address;
        Some(if project.is_empty() {
            format!("{base}/v1beta/models/{model}:{method}")
        } else {
            let (project, region) = (segment(project), segment(region));
            format!(
                "{base}/v1/projects/{project}/locations/{region}/publishers/google/models/{model}:{method}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_appended_to_a_versioned_base_and_get_v1_otherwise() {
        let custom = LaneKind::Compatible("custom");
        for (kind, base, expected) in [
            (LaneKind::OpenAi, "", "/v1/chat/completions"),
            (LaneKind::OpenAi, "/v1", "/v1/chat/completions"),
            (custom, "/openai/v1", "/openai/v1/chat/completions"),
            (custom, "/api/v4", "/api/v4/chat/completions"),
            (custom, "/api/vision", "/api/vision/v1/chat/completions"),
        ] {
            let fixed = Fixed::new(kind, base, "");
            assert_eq!(
                fixed.chat.as_ref().map(PathAndQuery::as_str),
                Some(expected)
            );
        }
        let fixed = Fixed::new(LaneKind::Anthropic, "/proxy/v1", "");
        let text = |path: &Option<PathAndQuery>| path.as_ref().map(ToString::to_string);
        assert_eq!(text(&fixed.messages).as_deref(), Some("/proxy/v1/messages"));
        assert_eq!(
            text(&fixed.models).as_deref(),
            Some("/proxy/v1/models?limit=1000")
        );
        assert_eq!(
            [segment(".."), segment("a/../b:c")],
            ["%2E%2E", "a%2F..%2Fb%3Ac"]
        );
        let azure = Fixed::new(LaneKind::Azure, "", "2024-10-21");
        assert_eq!(
            text(&azure.responses).as_deref(),
            Some("/openai/v1/responses?api-version=preview")
        );
        assert!(azure.chat.is_none());
        let azure = Fixed::new(LaneKind::Azure, "", "v1");
        assert_eq!(
            text(&azure.chat).as_deref(),
            Some("/openai/v1/chat/completions")
        );
    }
}
