//! Dialects: what the gateway reads from bodies and streams, and the few edits it makes.
//!
//! Pure: bytes in, facts or bytes out. Must never do I/O, never re-serialise a caller's body, and never
//! fail a stream because it could not be understood.
//!
//! Start at [`envelope`] for requests and [`tap`] for responses.

pub mod cache;
pub mod capture;
pub mod envelope;
pub mod meter;
pub mod speech;
pub mod splice;
pub mod sse;
pub mod stored;
pub mod subjects;
pub mod tap;
pub mod usage;

/// The inbound surfaces, one for each route that forwards to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`, also under `/v1`.
    Generate,
    /// `POST /v1beta/models/{model}:countTokens`.
    GeminiCount,
    /// `POST /v1beta/models/{model}:embedContent` and `:batchEmbedContents`.
    GeminiEmbed,
    /// `/v1beta/cachedContents` and `/v1beta/files`: what is stored at the provider, without a model.
    GeminiFiles,
}

impl Surface {
    /// The request type label of data-plane 2.1.
    #[must_use]
    pub const fn request_type(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages | Self::CountTokens => "messages",
            Self::Generate | Self::GeminiCount | Self::GeminiEmbed | Self::GeminiFiles => {
                "passthrough"
            }
        }
    }

    /// The route, as labels name it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::Generate => "/v1beta/models/{model}:generateContent",
            Self::GeminiCount => "/v1beta/models/{model}:countTokens",
            Self::GeminiEmbed => "/v1beta/models/{model}:embedContent",
            Self::GeminiFiles => "/v1beta/{resource}",
        }
    }

    /// Whether the caller speaks the Gemini dialect here.
    #[must_use]
    pub const fn is_gemini(self) -> bool {
        matches!(
            self,
            Self::Generate | Self::GeminiCount | Self::GeminiEmbed | Self::GeminiFiles
        )
    }

    /// Whether a model writes an answer here: a conversation, in any dialect.
    #[must_use]
    pub const fn is_conversation(self) -> bool {
        matches!(
            self,
            Self::Chat | Self::Responses | Self::Messages | Self::Generate
        )
    }

    /// Whether texts become vectors here.
    #[must_use]
    pub const fn is_embeddings(self) -> bool {
        matches!(self, Self::Embeddings | Self::GeminiEmbed)
    }

    /// Whether the call is billed: counting tokens and what is stored at the provider is not.
    #[must_use]
    pub const fn is_billed(self) -> bool {
        !matches!(
            self,
            Self::CountTokens | Self::GeminiCount | Self::GeminiFiles
        )
    }

    /// Whether the caller speaks the Anthropic dialect here.
    #[must_use]
    pub const fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens)
    }

    /// How the request body is to be read.
    #[must_use]
    pub const fn request_form(self) -> lw_core::BodyForm {
        match self {
            Self::Chat => lw_core::BodyForm::ChatJson,
            Self::Responses => lw_core::BodyForm::ResponsesJson,
            Self::Embeddings => lw_core::BodyForm::EmbeddingsJson,
            Self::Messages | Self::CountTokens => lw_core::BodyForm::MessagesJson,
            Self::Generate | Self::GeminiCount => lw_core::BodyForm::GeminiJson,
            Self::GeminiEmbed | Self::GeminiFiles => lw_core::BodyForm::Opaque,
        }
    }

    /// How the answer is to be read, given whether it is an event stream.
    #[must_use]
    pub const fn response_form(self, event_stream: bool) -> lw_core::BodyForm {
        match (self, event_stream) {
            (Self::Chat, false) => lw_core::BodyForm::ChatJson,
            (Self::Chat, true) => lw_core::BodyForm::ChatStream,
            (Self::Responses, false) => lw_core::BodyForm::ResponsesJson,
            (Self::Responses, true) => lw_core::BodyForm::ResponsesStream,
            (Self::Messages, false) => lw_core::BodyForm::MessagesJson,
            (Self::Messages, true) => lw_core::BodyForm::MessagesStream,
            (Self::Embeddings, false) => lw_core::BodyForm::EmbeddingsJson,
            (Self::Generate, false) => lw_core::BodyForm::GeminiJson,
            (Self::Generate, true) => lw_core::BodyForm::GeminiStream,
            (Self::Embeddings, true)
            | (Self::CountTokens | Self::GeminiCount | Self::GeminiEmbed | Self::GeminiFiles, _) => {
                lw_core::BodyForm::Opaque
            }
        }
    }
}
