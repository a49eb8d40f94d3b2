//! What providers say, and what it costs.
//!
//! The rates are made up so that a wrong class, tier or length shows, and so that sums end on half a
//! nano-dollar. The cost of a report is written as its sum and its rounded end; nothing here is computed.

use super::lanes::Dialect;

/// The prices of the models in `lanes.rs`, whoever serves them: clouds that have no row of their own charge what
/// the vendor does.
///
/// In nano-dollars for one token:
///
/// | | input | read | write 5m | write 1h | output | audio in | audio out |
/// |---|---|---|---|---|---|---|---|
/// | usual | 2 000 | 200 | 2 500 | 4 000 | 10 000.5 | 32 000 | 64 000 |
/// | prompts over 5 000 | 4 000 | 400 | 5 000 | 8 000 | 15 000.75 | | |
/// | flex | 1 000 | 100 | | | 5 000.25 | | |
/// | priority | 4 000 | | | | 20 001 | | |
/// | batch | 1 000 | | | | 5 000 | | |
/// | fast | 12 000 | | | | 60 000 | | |
pub(super) fn prices() -> String {
    const ROW: &str = r#"
        "context_window": 200000, "max_output": 64000,
        "rates": {
            "input": "0.000002", "cache_read": "2e-7", "cache_write": "2.5e-6", "cache_write_1h": "4e-6",
            "output": "1.00005e-5", "audio_input": "3.2e-5", "audio_output": "6.4e-5"
        },
        "long_context": {"above_tokens": 5000, "rates": {
            "input": "4e-6", "cache_read": "4e-7", "cache_write": "5e-6", "cache_write_1h": "8e-6",
            "output": "1.500075e-5"
        }},
        "tiers": {
            "flex": {"rates": {"input": "1e-6", "cache_read": "1e-7", "output": "5.00025e-6"}},
            "priority": {"rates": {"input": "4e-6", "output": "2.0001e-5"}},
            "batch": {"rates": {"input": "1e-6", "output": "5e-6"}},
            "fast": {"rates": {"input": "1.2e-5", "output": "6e-5"}}
        }"#;
    let rows = [
        ("openai", "gpt-5-bill"),
        ("anthropic", "claude-bill-9"),
        ("gemini", "gemini-9-bill"),
        ("custom", "house-bill"),
        ("xai", "grok-bill"),
        ("groq", "openai/gpt-oss-bill"),
    ];
    let rows =
        rows.map(|(kind, model)| format!(r#""{kind}/{model}": {{"provider": "{kind}", {ROW}}}"#));
    format!(r#"{{"models": {{{}}}}}"#, rows.join(","))
}

/// What the provider says in place of its own words.
#[derive(Debug)]
pub(super) enum Said {
    /// This usage, in an answer of the mock's own, whole and as a stream.
    Usage(&'static str),
    /// This whole answer.
    Whole(&'static str),
    /// These events.
    Stream(&'static str),
}

/// One row of the bill.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: &'static str,
    /// What the provider is spoken to in.
    pub(super) dialect: Dialect,
    pub(super) said: Said,
    /// A header of the answer.
    pub(super) header: Option<(&'static str, &'static str)>,
    /// Input, cache read, cache written for five minutes and for an hour, output, audio in, audio out.
    pub(super) classes: [u64; 7],
    /// In nano-dollars.
    pub(super) nano: i64,
}

/// The table.
pub(super) static TABLE: [Report; 59] = [
    Report {
        name: "Chat: a plain report",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // 200 000 + 70 003.5, half a nano-dollar up
        nano: 270_004,
    },
    Report {
        name: "Chat: cached input, and thinking inside the output",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":1893,"completion_tokens":207,"prompt_tokens_details":{"cached_tokens":1024},"completion_tokens_details":{"reasoning_tokens":64}}"#,
        ),
        header: None,
        classes: [869, 1_024, 0, 0, 207, 0, 0],
        // 1 738 000 + 204 800 + 2 070 103.5
        nano: 4_012_904,
    },
    Report {
        name: "Chat: input written to the cache",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":1000,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":200,"cache_write_tokens":300}}"#,
        ),
        header: None,
        classes: [500, 200, 300, 0, 2, 0, 0],
        // 1 000 000 + 40 000 + 750 000 + 20 001
        nano: 1_810_001,
    },
    Report {
        name: "Chat: numbers as texts",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":"100","completion_tokens":" 7 "}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // as a plain report
        nano: 270_004,
    },
    Report {
        name: "Chat: whole numbers with a fraction",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":1e2,"completion_tokens":7.0}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // as a plain report
        nano: 270_004,
    },
    Report {
        name: "Chat: sound both ways",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":150,"completion_tokens":30,"prompt_tokens_details":{"audio_tokens":50},"completion_tokens_details":{"audio_tokens":20}}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 10, 50, 20],
        // 200 000 + 100 005 + 1 600 000 + 1 280 000
        nano: 3_180_005,
    },
    Report {
        name: "Chat: the cache as DeepSeek tells it",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":100,"completion_tokens":2,"prompt_cache_hit_tokens":40,"prompt_cache_miss_tokens":60}"#,
        ),
        header: None,
        classes: [60, 40, 0, 0, 2, 0, 0],
        // 120 000 + 8 000 + 20 001
        nano: 148_001,
    },
    Report {
        name: "Chat: the cache as Moonshot tells it",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":100,"completion_tokens":2,"cached_tokens":40}"#),
        header: None,
        classes: [60, 40, 0, 0, 2, 0, 0],
        // 120 000 + 8 000 + 20 001
        nano: 148_001,
    },
    Report {
        name: "Chat: thinking beside the completion, as xAI tells it",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":12,"completion_tokens":200,"total_tokens":362,"completion_tokens_details":{"reasoning_tokens":150}}"#,
        ),
        header: None,
        classes: [12, 0, 0, 0, 350, 0, 0],
        // 24 000 + 3 500 175
        nano: 3_524_175,
    },
    Report {
        name: "Chat: parts larger than their whole",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}"#,
        ),
        header: None,
        classes: [5, 0, 0, 0, 1, 0, 0],
        // 10 000 + 10 000.5
        nano: 20_001,
    },
    Report {
        name: "Chat: the longest short prompt",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":5000,"completion_tokens":1}"#),
        header: None,
        classes: [5_000, 0, 0, 0, 1, 0, 0],
        // 10 000 000 + 10 000.5
        nano: 10_010_001,
    },
    Report {
        name: "Chat: the shortest long prompt",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":5001,"completion_tokens":1}"#),
        header: None,
        classes: [5_001, 0, 0, 0, 1, 0, 0],
        // 20 004 000 + 15 000.75
        nano: 20_019_001,
    },
    Report {
        name: "Chat: a prompt that is long by its cached part",
        dialect: Dialect::Chat,
        said: Said::Usage(
            r#"{"prompt_tokens":6000,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5500}}"#,
        ),
        header: None,
        classes: [500, 5_500, 0, 0, 2, 0, 0],
        // 2 000 000 + 2 200 000 + 30 001.5
        nano: 4_230_002,
    },
    Report {
        name: "Chat: a report of zero",
        dialect: Dialect::Chat,
        said: Said::Usage(r#"{"prompt_tokens":0,"completion_tokens":0}"#),
        header: None,
        classes: [0, 0, 0, 0, 0, 0, 0],
        // nothing was used, says the provider
        nano: 0,
    },
    Report {
        name: "Chat: the flex tier",
        dialect: Dialect::Chat,
        said: Said::Whole(
            r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":2},"service_tier":"flex"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000.5
        nano: 110_001,
    },
    Report {
        name: "Chat: a tier without a price",
        dialect: Dialect::Chat,
        said: Said::Whole(
            r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":2},"service_tier":"scale"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: usage in a late chunk, and an empty one behind it",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":2}}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}

data: [DONE]

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: usage that grows with every chunk",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":90}}}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":2}}

data: [DONE]

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // the last report alone: 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: usage in the choice, as Moonshot streams it",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":100,"completion_tokens":2}}]}

data: [DONE]

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: usage in Groq's own block",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":100,"completion_tokens":2}}}

data: [DONE]

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: no end marker",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":2}}

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Chat: a tier that the last chunk knows",
        dialect: Dialect::Chat,
        said: Said::Stream(
            r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"auto","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":2},"service_tier":"priority"}

data: [DONE]

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 400 000 + 40 002
        nano: 440_002,
    },
    Report {
        name: "Responses: a plain report",
        dialect: Dialect::Responses,
        said: Said::Usage(r#"{"input_tokens":100,"output_tokens":7,"total_tokens":107}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // 200 000 + 70 003.5
        nano: 270_004,
    },
    Report {
        name: "Responses: cached input, thinking, and numbers as texts",
        dialect: Dialect::Responses,
        said: Said::Usage(
            r#"{"input_tokens":"1893","input_tokens_details":{"cached_tokens":"1024"},"output_tokens":"207","output_tokens_details":{"reasoning_tokens":64}}"#,
        ),
        header: None,
        classes: [869, 1_024, 0, 0, 207, 0, 0],
        // 1 738 000 + 204 800 + 2 070 103.5
        nano: 4_012_904,
    },
    Report {
        name: "Responses: input written to the cache",
        dialect: Dialect::Responses,
        said: Said::Usage(
            r#"{"input_tokens":1000,"output_tokens":2,"input_tokens_details":{"cached_tokens":200,"cache_write_tokens":300}}"#,
        ),
        header: None,
        classes: [500, 200, 300, 0, 2, 0, 0],
        // 1 000 000 + 40 000 + 750 000 + 20 001
        nano: 1_810_001,
    },
    Report {
        name: "Responses: a long prompt",
        dialect: Dialect::Responses,
        said: Said::Usage(r#"{"input_tokens":5001,"output_tokens":1}"#),
        header: None,
        classes: [5_001, 0, 0, 0, 1, 0, 0],
        // 20 004 000 + 15 000.75
        nano: 20_019_001,
    },
    Report {
        name: "Responses: a report of zero",
        dialect: Dialect::Responses,
        said: Said::Usage(r#"{"input_tokens":0,"output_tokens":0}"#),
        header: None,
        classes: [0, 0, 0, 0, 0, 0, 0],
        // nothing was used, says the provider
        nano: 0,
    },
    Report {
        name: "Responses: the flex tier",
        dialect: Dialect::Responses,
        said: Said::Whole(
            r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":100,"output_tokens":2},"service_tier":"flex"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000.5
        nano: 110_001,
    },
    Report {
        name: "Responses: a tier that only the end knows",
        dialect: Dialect::Responses,
        said: Said::Stream(
            r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[],"usage":null,"service_tier":"auto"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":1,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"hi"}

event: response.completed
data: {"type":"response.completed","sequence_number":2,"response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":100,"output_tokens":2},"service_tier":"priority"}}

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 400 000 + 40 002
        nano: 440_002,
    },
    Report {
        name: "Responses: an answer that was cut",
        dialect: Dialect::Responses,
        said: Said::Stream(
            r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":0,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"hi"}

event: response.incomplete
data: {"type":"response.incomplete","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":1,"status":"incomplete","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":100,"output_tokens":2},"incomplete_details":{"reason":"max_output_tokens"}}}

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Messages: a plain report",
        dialect: Dialect::Messages,
        said: Said::Usage(r#"{"input_tokens":100,"output_tokens":7}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // 200 000 + 70 003.5
        nano: 270_004,
    },
    Report {
        name: "Messages: every class of the cache",
        dialect: Dialect::Messages,
        said: Said::Usage(
            r#"{"input_tokens":120,"cache_read_input_tokens":800,"cache_creation_input_tokens":200,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":35}"#,
        ),
        header: None,
        classes: [120, 800, 150, 50, 35, 0, 0],
        // 240 000 + 160 000 + 375 000 + 200 000 + 350 017.5
        nano: 1_325_018,
    },
    Report {
        name: "Messages: cache writes without a split",
        dialect: Dialect::Messages,
        said: Said::Usage(
            r#"{"input_tokens":120,"cache_read_input_tokens":800,"cache_creation_input_tokens":200,"output_tokens":35}"#,
        ),
        header: None,
        classes: [120, 800, 200, 0, 35, 0, 0],
        // 240 000 + 160 000 + 500 000 + 350 017.5
        nano: 1_250_018,
    },
    Report {
        name: "Messages: a split without its total, as texts",
        dialect: Dialect::Messages,
        said: Said::Usage(
            r#"{"input_tokens":"120","cache_creation":{"ephemeral_5m_input_tokens":"150","ephemeral_1h_input_tokens":"50"},"output_tokens":"35"}"#,
        ),
        header: None,
        classes: [120, 0, 150, 50, 35, 0, 0],
        // 240 000 + 375 000 + 200 000 + 350 017.5
        nano: 1_165_018,
    },
    Report {
        name: "Messages: the priority tier",
        dialect: Dialect::Messages,
        said: Said::Usage(r#"{"input_tokens":100,"output_tokens":2,"service_tier":"priority"}"#),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 400 000 + 40 002
        nano: 440_002,
    },
    Report {
        name: "Messages: the batch tier",
        dialect: Dialect::Messages,
        said: Said::Usage(r#"{"input_tokens":100,"output_tokens":2,"service_tier":"batch"}"#),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000
        nano: 110_000,
    },
    Report {
        name: "Messages: the fast mode",
        dialect: Dialect::Messages,
        said: Said::Usage(
            r#"{"input_tokens":100,"output_tokens":2,"service_tier":"standard","speed":"fast"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 1 200 000 + 120 000
        nano: 1_320_000,
    },
    Report {
        name: "Messages: a conversation that the provider shortened first",
        dialect: Dialect::Messages,
        said: Said::Usage(
            r#"{"input_tokens":1000,"output_tokens":20,"iterations":[{"type":"compaction","input_tokens":3000,"output_tokens":50},{"type":"message","input_tokens":1000,"output_tokens":20}]}"#,
        ),
        header: None,
        classes: [4_000, 0, 0, 0, 70, 0, 0],
        // 8 000 000 + 700 035
        nano: 8_700_035,
    },
    Report {
        name: "Messages: a prompt that is long by its cached part",
        dialect: Dialect::Messages,
        said: Said::Usage(r#"{"input_tokens":1,"cache_read_input_tokens":5000,"output_tokens":1}"#),
        header: None,
        classes: [1, 5_000, 0, 0, 1, 0, 0],
        // 4 000 + 2 000 000 + 15 000.75
        nano: 2_019_001,
    },
    Report {
        name: "Messages: a report of zero",
        dialect: Dialect::Messages,
        said: Said::Usage(r#"{"input_tokens":0,"output_tokens":0}"#),
        header: None,
        classes: [0, 0, 0, 0, 0, 0, 0],
        // nothing was used, says the provider
        nano: 0,
    },
    Report {
        name: "Messages: input at the start, output at the end, zeros between",
        dialect: Dialect::Messages,
        said: Said::Stream(
            r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":120,"cache_read_input_tokens":800,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":35}}

event: message_stop
data: {"type":"message_stop"}

"#,
        ),
        header: None,
        classes: [120, 800, 0, 0, 35, 0, 0],
        // 240 000 + 160 000 + 350 017.5
        nano: 750_018,
    },
    Report {
        name: "Messages: everything at the end, as servers that imitate the API do",
        dialect: Dialect::Messages,
        said: Said::Stream(
            r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":120,"cache_read_input_tokens":800,"output_tokens":35}}

event: message_stop
data: {"type":"message_stop"}

"#,
        ),
        header: None,
        classes: [120, 800, 0, 0, 35, 0, 0],
        // 240 000 + 160 000 + 350 017.5
        nano: 750_018,
    },
    Report {
        name: "Gemini: a plain report",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":100,"candidatesTokenCount":7,"totalTokenCount":107}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // 200 000 + 70 003.5
        nano: 270_004,
    },
    Report {
        name: "Gemini: cached input, and thinking beside the candidates",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":15,"thoughtsTokenCount":5}"#,
        ),
        header: None,
        classes: [100, 40, 0, 0, 20, 0, 0],
        // 200 000 + 8 000 + 200 010
        nano: 408_010,
    },
    Report {
        name: "Gemini: what a tool of the provider brought, as texts",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":"7","toolUsePromptTokenCount":"50","candidatesTokenCount":"2"}"#,
        ),
        header: None,
        classes: [57, 0, 0, 0, 2, 0, 0],
        // 114 000 + 20 001
        nano: 134_001,
    },
    Report {
        name: "Gemini: sound both ways, some of it cached",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":30,"candidatesTokenCount":10,"promptTokensDetails":[{"modality":"TEXT","tokenCount":40},{"modality":"AUDIO","tokenCount":60}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":20},{"modality":"TEXT","tokenCount":10}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":8}]}"#,
        ),
        header: None,
        classes: [30, 30, 0, 0, 2, 40, 8],
        // 60 000 + 6 000 + 20 001 + 1 280 000 + 512 000
        nano: 1_878_001,
    },
    Report {
        name: "Gemini: flexible traffic",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":100,"candidatesTokenCount":2,"trafficType":"ON_DEMAND_FLEX"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000.5
        nano: 110_001,
    },
    Report {
        name: "Gemini: the priority tier",
        dialect: Dialect::Gemini,
        said: Said::Usage(
            r#"{"promptTokenCount":100,"candidatesTokenCount":2,"serviceTier":"PRIORITY"}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 400 000 + 40 002
        nano: 440_002,
    },
    Report {
        name: "Gemini: a tier that the head tells",
        dialect: Dialect::Gemini,
        said: Said::Usage(r#"{"promptTokenCount":100,"candidatesTokenCount":2}"#),
        header: Some(("x-gemini-service-tier", "flex")),
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000.5
        nano: 110_001,
    },
    Report {
        name: "Gemini: a long prompt",
        dialect: Dialect::Gemini,
        said: Said::Usage(r#"{"promptTokenCount":5001,"candidatesTokenCount":1}"#),
        header: None,
        classes: [5_001, 0, 0, 0, 1, 0, 0],
        // 20 004 000 + 15 000.75
        nano: 20_019_001,
    },
    Report {
        name: "Gemini: a report that a later one takes back",
        dialect: Dialect::Gemini,
        said: Said::Stream(
            r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"index":0}],"usageMetadata":{"promptTokenCount":140,"cachedContentTokenCount":40},"modelVersion":"m","responseId":"r1"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"!"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":140,"candidatesTokenCount":2},"modelVersion":"m","responseId":"r1"}

"#,
        ),
        header: None,
        classes: [140, 0, 0, 0, 2, 0, 0],
        // the last report alone: 280 000 + 20 001
        nano: 300_001,
    },
    Report {
        name: "Gemini: usage behind the reason to stop, and an empty one behind it",
        dialect: Dialect::Gemini,
        said: Said::Stream(
            r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"!"}]},"finishReason":"STOP","index":0}],"modelVersion":"m","responseId":"r1"}

data: {"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":2},"modelVersion":"m","responseId":"r1"}

data: {"usageMetadata":{"promptTokenCount":0},"modelVersion":"m","responseId":"r1"}

"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 200 000 + 20 001
        nano: 220_001,
    },
    Report {
        name: "Converse: a plain report",
        dialect: Dialect::Converse,
        said: Said::Usage(r#"{"inputTokens":100,"outputTokens":7,"totalTokens":107}"#),
        header: None,
        classes: [100, 0, 0, 0, 7, 0, 0],
        // 200 000 + 70 003.5
        nano: 270_004,
    },
    Report {
        name: "Converse: every class of the cache, some as texts",
        dialect: Dialect::Converse,
        said: Said::Usage(
            r#"{"inputTokens":120,"outputTokens":"35","cacheReadInputTokens":800,"cacheWriteInputTokens":200,"cacheDetails":[{"ttl":"1h","inputTokens":50},{"ttl":"5m","inputTokens":"150"}]}"#,
        ),
        header: None,
        classes: [120, 800, 150, 50, 35, 0, 0],
        // 240 000 + 160 000 + 375 000 + 200 000 + 350 017.5
        nano: 1_325_018,
    },
    Report {
        name: "Converse: a split larger than its total",
        dialect: Dialect::Converse,
        said: Said::Usage(
            r#"{"inputTokens":1,"outputTokens":1,"cacheWriteInputTokens":2,"cacheDetails":[{"ttl":"1h","inputTokens":4}]}"#,
        ),
        header: None,
        classes: [1, 0, 0, 4, 1, 0, 0],
        // 2 000 + 16 000 + 10 000.5
        nano: 28_001,
    },
    Report {
        name: "Converse: a long prompt",
        dialect: Dialect::Converse,
        said: Said::Usage(r#"{"inputTokens":5001,"outputTokens":1}"#),
        header: None,
        classes: [5_001, 0, 0, 0, 1, 0, 0],
        // 20 004 000 + 15 000.75
        nano: 20_019_001,
    },
    Report {
        name: "Converse: a tier that the head tells",
        dialect: Dialect::Converse,
        said: Said::Usage(r#"{"inputTokens":100,"outputTokens":2}"#),
        header: Some(("x-amzn-bedrock-service-tier", "flex")),
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 100 000 + 10 000.5
        nano: 110_001,
    },
    Report {
        name: "Converse: the priority tier",
        dialect: Dialect::Converse,
        said: Said::Whole(
            r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":100,"outputTokens":2,"totalTokens":102},"metrics":{"latencyMs":1},"serviceTier":{"type":"priority"}}"#,
        ),
        header: None,
        classes: [100, 0, 0, 0, 2, 0, 0],
        // 400 000 + 40 002
        nano: 440_002,
    },
    Report {
        name: "Converse: a report of zero",
        dialect: Dialect::Converse,
        said: Said::Usage(r#"{"inputTokens":0,"outputTokens":0}"#),
        header: None,
        classes: [0, 0, 0, 0, 0, 0, 0],
        // nothing was used, says the provider
        nano: 0,
    },
];

/// Streams whose last report cannot be true, though an earlier one could.
pub(super) const SPOILED: [(Dialect, &str); 4] = [
    (
        Dialect::Chat,
        r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}],"usage":{"prompt_tokens":100,"completion_tokens":1}}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":2}}

data: [DONE]

"#,
    ),
    (
        Dialect::Messages,
        r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":120,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-35}}

event: message_stop
data: {"type":"message_stop"}

"#,
    ),
    (
        Dialect::Gemini,
        r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"index":0}],"usageMetadata":{"promptTokenCount":140,"candidatesTokenCount":1},"modelVersion":"m","responseId":"r1"}

data: {"candidates":[{"content":{"role":"model","parts":[{"text":"!"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":140,"candidatesTokenCount":"many"},"modelVersion":"m","responseId":"r1"}

"#,
    ),
    (
        Dialect::Responses,
        r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":0,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"hi"}

event: response.completed
data: {"type":"response.completed","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}],"usage":{"input_tokens":100,"output_tokens":1e18}}}

"#,
    ),
];
