//! Embeddings, in the shapes of OpenAI, Gemini, Vertex AI, Titan and Cohere.
//!
//! Vectors are made from a hash of the input: the same text has the same vector, and its length is
//! close to one whoever is asked. Start at [`whole`].

use crate::answer::Bill;
use crate::json::{Obj, quote};
use crate::request::{Ask, Prose};

const MOST: u64 = 8_192;

pub(crate) fn whole(ask: &Ask, model: &str, bill: &Bill) -> String {
    let default = if model.contains("3-large") {
        3_072
    } else {
        1_536
    };
    let dimensions = ask.dimensions.unwrap_or(default).clamp(1, MOST);
    let data: Vec<String> = ask
        .inputs
        .iter()
        .zip(0..)
        .map(|(input, index)| {
            let vector = vector(input, dimensions);
            let shown = if ask.base64 {
                base64(&vector)
            } else {
                floats(&vector)
            };
            Obj::new()
                .str("object", "embedding")
                .num("index", index)
                .raw("embedding", &shown)
                .end()
        })
        .collect();
    let usage = bill.reported(|| {
        let prompt = bill.prompt();
        Obj::new()
            .raw("prompt_tokens", &prompt)
            .raw("total_tokens", &prompt)
            .end()
    });
    Obj::new()
        .str("object", "list")
        .raw("data", &format!("[{}]", data.join(",")))
        .str("model", model)
        .raw_if("usage", usage.as_deref())
        .end()
}

/// Gemini: one input, or a batch.
pub(crate) fn gemini(ask: &Ask, batch: bool) -> String {
    let mut each =
        vectors(ask, 3_072).map(|values| Obj::new().raw("values", &floats(&values)).end());
    if batch {
        let all: Vec<String> = each.collect();
        return Obj::new()
            .raw("embeddings", &format!("[{}]", all.join(",")))
            .end();
    }
    Obj::new()
        .raw(
            "embedding",
            &each.next().unwrap_or_else(|| String::from("{}")),
        )
        .end()
}

/// Vertex AI, with the token count of each input.
pub(crate) fn vertex(ask: &Ask) -> String {
    let predictions: Vec<String> = ask
        .inputs
        .iter()
        .zip(vectors(ask, 768))
        .map(|(input, values)| {
            let statistics = Obj::new()
                .num("token_count", input.words)
                .raw("truncated", "false")
                .end();
            let embeddings = Obj::new()
                .raw("statistics", &statistics)
                .raw("values", &floats(&values))
                .end();
            Obj::new().raw("embeddings", &embeddings).end()
        })
        .collect();
    let letters: usize = ask.inputs.iter().map(|input| input.text.len()).sum();
    let letters = u64::try_from(letters).unwrap_or(u64::MAX);
    Obj::new()
        .raw("predictions", &format!("[{}]", predictions.join(",")))
        .raw(
            "metadata",
            &Obj::new().num("billableCharacterCount", letters).end(),
        )
        .end()
}

/// Titan takes one input a call; its second version also answers by type.
pub(crate) fn titan(ask: &Ask, model: &str, bill: &Bill) -> String {
    let is_first = model.contains("embed-text-v1");
    let size = if is_first { 1_536 } else { 1_024 };
    let values = vectors(ask, size).next().unwrap_or_default();
    let values = floats(&values);
    let made = Obj::new().raw("embedding", &values);
    let made = if is_first {
        made
    } else {
        made.raw("embeddingsByType", &Obj::new().raw("float", &values).end())
    };
    made.raw_if(
        "inputTextTokenCount",
        bill.reported(|| bill.prompt()).as_deref(),
    )
    .end()
}

/// Cohere; with `embedding_types` the vectors are one level deeper.
pub(crate) fn cohere(ask: &Ask, n: u64) -> String {
    let all: Vec<String> = vectors(ask, 1_024).map(|values| floats(&values)).collect();
    let all = format!("[{}]", all.join(","));
    let texts: Vec<String> = ask.inputs.iter().map(|input| quote(&input.text)).collect();
    let (kind, embeddings) = if ask.by_type {
        ("embeddings_by_type", Obj::new().raw("float", &all).end())
    } else {
        ("embeddings_floats", all)
    };
    Obj::new()
        .str("id", &format!("mock-{n}"))
        .str("response_type", kind)
        .raw("embeddings", &embeddings)
        .raw("texts", &format!("[{}]", texts.join(",")))
        .end()
}

fn vectors(ask: &Ask, usual: u64) -> impl Iterator<Item = Vec<f32>> {
    let size = ask.dimensions.unwrap_or(usual).clamp(1, MOST);
    ask.inputs.iter().map(move |input| vector(input, size))
}

fn vector(input: &Prose, dimensions: u64) -> Vec<f32> {
    let start = input
        .text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let scale = u16::try_from(dimensions).map_or(1.0, f32::from).sqrt();
    let mut state = start | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [low, high, ..] = state.to_le_bytes();
        // Uniform in -sqrt(3)..sqrt(3), which has variance one.
        (f32::from(u16::from_le_bytes([low, high])) / 32_767.5 - 1.0) * 1.732 / scale
    };
    (0..dimensions).map(next).collect()
}

fn floats(vector: &[f32]) -> String {
    let shown: Vec<String> = vector.iter().map(|value| format!("{value:.8}")).collect();
    format!("[{}]", shown.join(","))
}

fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    format!("\"{}\"", data_encoding::BASE64.encode(&bytes))
}
