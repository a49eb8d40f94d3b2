//! Embeddings: a request in the form of OpenAI or Gemini, the calls that another provider needs for it,
//! and one answer out of theirs (providers 19).
//!
//! Some providers take one text per call or a limited number, so a request becomes a [`Plan`] of calls, to
//! be made in any order; [`Plan::merge`] takes the answers in the order of the calls. Numbers of a vector
//! stay as they were written. Must never reorder: the n-th vector is that of the n-th text.
//!
//! Start at [`read_openai`], [`read_gemini`] and [`plan`].

mod merge;
mod read;
mod target;
mod write;

#[cfg(test)]
mod tests;

use crate::Dialect;
use crate::ir::Raw;

pub use read::{read_gemini, read_openai};
pub use target::plan;
pub use write::{write_gemini, write_openai};

/// A request for vectors.
#[derive(Debug, Clone)]
pub struct EmbeddingsRequest {
    /// The caller's dialect: [`Dialect::Chat`] stands for OpenAI's.
    pub from: Dialect,
    /// The model as the body names it; empty where the path has it.
    pub model: String,
    /// The texts. Never empty.
    pub inputs: Vec<String>,
    /// Numbers per vector.
    pub dimensions: Option<u64>,
    /// How the vectors are written.
    pub encoding: Encoding,
    /// Several vectors were asked for as a list, even when it has one (Gemini `batchEmbedContents`).
    pub batch: bool,
    /// `drop_tuning_params`: `false` refuses instead of leaving out.
    pub drop_tuning: bool,
    /// Further fields, in the order of the body.
    pub rest: Vec<(String, Raw)>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As lists of numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// One call to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingCall {
    /// The provider's name for it: `embedContent`, `batchEmbedContents`, `predict`, `invoke`, or
    /// `embeddings` for the OpenAI dialect.
    pub operation: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The calls that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The calls, in the order of the texts.
    pub calls: Vec<EmbeddingCall>,
    /// Names of what was left out, sorted.
    pub dropped: Vec<String>,
    /// How the answers are read.
    form: Form,
    /// How many texts each call has.
    sizes: Vec<usize>,
}

/// The form of a provider's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OpenAi,
    Gemini,
    Vertex,
    Titan,
    Cohere,
}

/// One answer of a provider.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingAnswer<'a> {
    /// The body.
    pub body: &'a [u8],
    /// Input tokens that the headers tell (Bedrock: `x-amzn-bedrock-input-token-count`), for bodies that do
    /// not.
    pub header_tokens: Option<u64>,
}

/// The vectors, in the order of the texts.
#[derive(Debug, Clone)]
pub struct Vectors {
    /// Each a JSON list of numbers.
    pub values: Vec<Raw>,
    /// Input tokens in all; `None` when a provider does not tell.
    pub tokens: Option<u64>,
}
