//! The bill at the prices that ship with the product: names as clouds spell them, long prompts, tiers.

use serde_json::json;

use super::Stand;
use super::lanes::Surface;
use crate::support::once;

/// One call at a published price.
struct Row {
    surface: Surface,
    model: &'static str,
    usage: &'static str,
    header: Option<(&'static str, &'static str)>,
    nano: i64,
}

const fn row(surface: Surface, model: &'static str, usage: &'static str, nano: i64) -> Row {
    Row {
        surface,
        model,
        usage,
        header: None,
        nano,
    }
}

/// Rates in dollars for a million tokens stand in front of each group. Sums are in nano-dollars.
const ROWS: [Row; 32] = [
    // gpt-5-mini: 0.25 in, 0.025 cached, 2 out.
    // 869 * 250 + 1 024 * 25 + 207 * 2 000
    row(
        Surface::Chat,
        "openai/gpt-5-mini",
        r#"{"prompt_tokens":1893,"completion_tokens":207,"prompt_tokens_details":{"cached_tokens":1024}}"#,
        656_850,
    ),
    row(
        Surface::Messages,
        "openai/gpt-5-mini-2025-08-07",
        r#"{"input_tokens":1893,"output_tokens":207,"input_tokens_details":{"cached_tokens":1024}}"#,
        656_850,
    ),
    // Azure: by the model that the deployment stands for.
    row(
        Surface::Chat,
        "azure/gpt-5-mini",
        r#"{"prompt_tokens":1893,"completion_tokens":207,"prompt_tokens_details":{"cached_tokens":1024}}"#,
        656_850,
    ),
    row(
        Surface::Chat,
        "azure/the-small-deployment",
        r#"{"prompt_tokens":1893,"completion_tokens":207,"prompt_tokens_details":{"cached_tokens":1024}}"#,
        656_850,
    ),
    row(
        Surface::Generate,
        "azure/gpt-5-mini",
        r#"{"input_tokens":1893,"output_tokens":207,"input_tokens_details":{"cached_tokens":1024}}"#,
        656_850,
    ),
    // gpt-audio: 2.5 in, 32 for sound; 10 out, 64 for sound.
    // 100 * 2 500 + 50 * 32 000 + 10 * 10 000 + 20 * 64 000
    row(
        Surface::Chat,
        "openai/gpt-audio",
        r#"{"prompt_tokens":150,"completion_tokens":30,"prompt_tokens_details":{"audio_tokens":50},"completion_tokens_details":{"audio_tokens":20}}"#,
        3_230_000,
    ),
    // gpt-5.4: 2.5 in, 15 out; above 272 000 tokens 5 in, 0.5 cached, 22.5 out.
    // 200 000 * 2 500 + 10 * 15 000
    row(
        Surface::Chat,
        "openai/gpt-5.4",
        r#"{"prompt_tokens":200000,"completion_tokens":10}"#,
        500_150_000,
    ),
    // 72 001 * 5 000 + 200 000 * 500 + 10 * 22 500
    row(
        Surface::Responses,
        "openai/gpt-5.4",
        r#"{"input_tokens":272001,"output_tokens":10,"input_tokens_details":{"cached_tokens":200000}}"#,
        460_230_000,
    ),
    // claude-sonnet-4-5: 3 in, 0.3 read, 3.75 and 6 written, 15 out.
    // 120 * 3 000 + 800 * 300 + 150 * 3 750 + 50 * 6 000 + 35 * 15 000
    row(
        Surface::Messages,
        "anthropic/claude-sonnet-4-5",
        CLASSES,
        1_987_500,
    ),
    row(
        Surface::Responses,
        "anthropic/claude-sonnet-4-5-20250929",
        CLASSES,
        1_987_500,
    ),
    row(
        Surface::Messages,
        "vertex_ai/claude-sonnet-4-5@20250929",
        CLASSES,
        1_987_500,
    ),
    row(
        Surface::Chat,
        "vertex_ai/publishers/anthropic/models/claude-sonnet-4-5@20250929",
        CLASSES,
        1_987_500,
    ),
    row(
        Surface::Messages,
        "invoked/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        CLASSES,
        1_987_500,
    ),
    // Vertex, above 200 000 tokens: 6 in, 0.6 read, 22.5 out.
    // 1 * 6 000 + 200 000 * 600 + 2 * 22 500
    row(
        Surface::Generate,
        "vertex_ai/claude-sonnet-4-5@20250929",
        r#"{"input_tokens":1,"cache_read_input_tokens":200000,"output_tokens":2}"#,
        120_051_000,
    ),
    // Bedrock behind a geography is a tenth dearer: 3.3 in, 0.33 read, 4.125 and 6.6 written, 16.5 out.
    // 120 * 3 300 + 800 * 330 + 150 * 4 125 + 50 * 6 600 + 35 * 16 500
    row(
        Surface::Chat,
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        CONVERSE,
        2_186_250,
    ),
    row(
        Surface::Messages,
        "bedrock/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        CONVERSE,
        2_186_250,
    ),
    row(
        Surface::Messages,
        "invoked/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        CLASSES,
        2_186_250,
    ),
    // Above 200 000 tokens: 6.6 in, 24.75 out. 200 001 * 6 600 + 2 * 24 750
    row(
        Surface::Messages,
        "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        r#"{"inputTokens":200001,"outputTokens":2}"#,
        1_320_056_100,
    ),
    // claude-haiku-4-5 as a batch: 0.5 in, 2.5 out. 100 * 500 + 2 * 2 500
    row(
        Surface::Messages,
        "anthropic/claude-haiku-4-5",
        r#"{"input_tokens":100,"output_tokens":2,"service_tier":"batch"}"#,
        55_000,
    ),
    // gemini-2.5-pro: 1.25 in, 0.125 cached, 10 out; above 200 000: 2.5, 0.25, 15.
    // 100 * 1 250 + 40 * 125 + 20 * 10 000
    row(
        Surface::Generate,
        "gemini/gemini-2.5-pro",
        r#"{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":15,"thoughtsTokenCount":5}"#,
        330_000,
    ),
    row(
        Surface::Messages,
        "vertex_ai/gemini-2.5-pro",
        r#"{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":15,"thoughtsTokenCount":5}"#,
        330_000,
    ),
    // 200 000 * 1 250 + 1 * 10 000
    row(
        Surface::Generate,
        "gemini/gemini-2.5-pro",
        r#"{"promptTokenCount":200000,"candidatesTokenCount":1}"#,
        250_010_000,
    ),
    // 200 001 * 2 500 + 1 * 15 000
    row(
        Surface::Generate,
        "gemini/gemini-2.5-pro",
        r#"{"promptTokenCount":200001,"candidatesTokenCount":1}"#,
        500_017_500,
    ),
    row(
        Surface::Chat,
        "vertex_ai/gemini-2.5-pro",
        r#"{"promptTokenCount":200001,"candidatesTokenCount":1}"#,
        500_017_500,
    ),
    // Priority: 2.25 in, 18 out; above 200 000: 4.5, 27. 100 * 2 250 + 2 * 18 000
    row(
        Surface::Responses,
        "vertex_ai/gemini-2.5-pro",
        r#"{"promptTokenCount":100,"candidatesTokenCount":2,"trafficType":"ON_DEMAND_PRIORITY"}"#,
        261_000,
    ),
    // 200 001 * 4 500 + 2 * 27 000
    row(
        Surface::Generate,
        "vertex_ai/gemini-2.5-pro",
        r#"{"promptTokenCount":200001,"candidatesTokenCount":2,"trafficType":"ON_DEMAND_PRIORITY"}"#,
        900_058_500,
    ),
    // gemini-2.5-flash: 0.3 in, 1 for sound, 2.5 out. 40 * 300 + 60 * 1 000 + 2 * 2 500
    row(
        Surface::Messages,
        "gemini/gemini-2.5-flash",
        r#"{"promptTokenCount":100,"candidatesTokenCount":2,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":60}]}"#,
        77_000,
    ),
    // nova-pro: 0.8 in, 3.2 out. 100 * 800 + 2 * 3 200
    row(
        Surface::Chat,
        "bedrock/us.amazon.nova-pro-v1:0",
        r#"{"inputTokens":100,"outputTokens":2}"#,
        86_400,
    ),
    // Flex: 0.4 in, 1.6 out. 100 * 400 + 2 * 1 600
    Row {
        surface: Surface::Messages,
        model: "bedrock/amazon.nova-pro-v1:0",
        usage: r#"{"inputTokens":100,"outputTokens":2}"#,
        header: Some(("x-amzn-bedrock-service-tier", "flex")),
        nano: 43_200,
    },
    // gemini-2.5-flash-lite on flex, as its head says: 0.05 in, 0.2 out. 100 * 50 + 2 * 200
    Row {
        surface: Surface::Chat,
        model: "gemini/gemini-2.5-flash-lite",
        usage: r#"{"promptTokenCount":100,"candidatesTokenCount":2}"#,
        header: Some(("x-gemini-service-tier", "flex")),
        nano: 5_400,
    },
    // grok-4.20: 1.25 in, 2.5 out, thinking beside the completion. 12 * 1 250 + 350 * 2 500
    row(
        Surface::Messages,
        "xai/grok-4.20",
        r#"{"prompt_tokens":12,"completion_tokens":200,"total_tokens":362,"completion_tokens_details":{"reasoning_tokens":150}}"#,
        890_000,
    ),
    // gpt-oss-120b on Groq: 0.15 in, 0.075 cached, 0.6 out. 60 * 150 + 40 * 75 + 2 * 600
    row(
        Surface::Responses,
        "groq/openai/gpt-oss-120b",
        r#"{"prompt_tokens":100,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":40}}"#,
        13_200,
    ),
];

const CLASSES: &str = r#"{"input_tokens":120,"cache_read_input_tokens":800,"cache_creation_input_tokens":200,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":35}"#;
const CONVERSE: &str = r#"{"inputTokens":120,"outputTokens":35,"cacheReadInputTokens":800,"cacheWriteInputTokens":200,"cacheDetails":[{"ttl":"1h","inputTokens":50},{"ttl":"5m","inputTokens":150}]}"#;

#[test]
fn shipped_prices_hold_for_the_names_that_clouds_give_to_models() {
    let stand = Stand::start();
    // A report of so many tokens is believed only of a prompt that may have them.
    let long = "word ".repeat(60_000);
    let mut asked = Vec::new();
    for row in &ROWS {
        let Row {
            surface,
            model,
            usage,
            header,
            nano,
        } = row;
        let usage: Box<serde_json::value::RawValue> = serde_json::from_str(usage).expect("JSON");
        let mut directive = json!({ "usage_raw": usage });
        if let Some((name, value)) = header {
            directive["headers"] = json!({ *name: value });
        }
        for stream in [false, true] {
            once(&stand.mock, &directive);
            let ask = surface.ask(&stand.key.secret, model, stream, &long);
            let answer = stand.gateway.call(&ask);
            assert_eq!(answer.status(), 200, "{model}: {}", answer.text());
            let what = format!("{surface:?} {model} stream={stream} {directive}");
            asked.push((what, answer.request_id(), *nano));
        }
    }
    let book = stand.gateway.book();
    for (what, id, nano) in &asked {
        let entry = book.ended(id);
        assert_eq!(entry.amount.0, *nano, "{what} {entry:#?}");
        let version = entry.price_version.as_deref().unwrap_or_default();
        assert!(version.starts_with("registry@"), "{what} {version}");
    }
}

#[test]
fn tiers_of_whole_answers_have_their_shipped_prices() {
    let stand = Stand::start();
    // gpt-5-mini: flex 0.125 in and 1 out, priority 0.45 and 3.6. Whoever asks, however it is told.
    for (tier, nano) in [
        ("flex", 100 * 125 + 2 * 1_000),
        ("priority", 100 * 450 + 2 * 3_600),
        ("default", 100 * 250 + 2 * 2_000),
    ] {
        let chat = format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","service_tier":"{tier}",
            "choices":[{{"index":0,"message":{{"role":"assistant","content":"hi"}},"finish_reason":"stop"}}],
            "usage":{{"prompt_tokens":100,"completion_tokens":2}}}}"#
        );
        let responses = format!(
            r#"{{"id":"r","object":"response","created_at":1,"status":"completed","model":"m","output":[],
            "service_tier":"{tier}","usage":{{"input_tokens":100,"output_tokens":2}}}}"#
        );
        for (surface, body) in [
            (Surface::Chat, &chat),
            (Surface::Responses, &responses),
            (Surface::Messages, &responses),
            (Surface::Generate, &responses),
        ] {
            let directive = json!({ "body_raw": body });
            let id = stand.said(surface, "openai/gpt-5-mini", false, &directive);
            let entry = stand.gateway.book().ended(&id);
            assert_eq!(entry.amount.0, nano, "{tier} {surface:?} {entry:#?}");
        }
    }
}
