//! How the bytes of a body are to be read: the dialect and whether they are a stream.

use serde::{Deserialize, Serialize};

/// The form of a request or response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum BodyForm {
    /// OpenAI Chat Completions JSON.
    ChatJson = 0,
    /// OpenAI Chat Completions event stream.
    ChatStream = 1,
    /// OpenAI Responses JSON.
    ResponsesJson = 2,
    /// OpenAI Responses event stream.
    ResponsesStream = 3,
    /// Anthropic Messages JSON.
    MessagesJson = 4,
    /// Anthropic Messages event stream.
    MessagesStream = 5,
    /// OpenAI embeddings JSON.
    EmbeddingsJson = 6,
    /// Anything else: shown as text.
    Opaque = 7,
    /// Already a JSON array of messages (a body that was too large to keep whole was cut to this).
    Messages = 8,
    /// Gemini `generateContent` JSON, or a JSON array of its chunks.
    GeminiJson = 9,
    /// Gemini `streamGenerateContent` event stream.
    GeminiStream = 10,
}

impl BodyForm {
    /// From the number that the trace store keeps; unknown numbers read as [`Self::Opaque`].
    #[must_use]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::ChatJson,
            1 => Self::ChatStream,
            2 => Self::ResponsesJson,
            3 => Self::ResponsesStream,
            4 => Self::MessagesJson,
            5 => Self::MessagesStream,
            6 => Self::EmbeddingsJson,
            8 => Self::Messages,
            9 => Self::GeminiJson,
            10 => Self::GeminiStream,
            _ => Self::Opaque,
        }
    }
}
