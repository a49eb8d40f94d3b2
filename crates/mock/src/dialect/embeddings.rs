//! OpenAI embeddings.
//!
//! Vectors are made from a hash of the input: the same text has the same vector, and its length is
//! close to one. Start at [`whole`].

use crate::answer::Bill;
use crate::json::Obj;
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
