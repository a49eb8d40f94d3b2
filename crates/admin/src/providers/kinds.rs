//! The table of kinds: names, credential fields, and what each kind cannot do without (domain 6.1).
//!
//! Names that the official command line sends (`<KIND>_API_KEY`) stand among the aliases. Must never say
//! how a field is used. Start at [`KINDS`].

use super::kind::{Holds, Key, Need, Spec};

const fn secret(name: &'static str, aliases: &'static [&'static str]) -> Key {
    key(name, aliases, Holds::Secret, &[])
}

const fn key(
    name: &'static str,
    aliases: &'static [&'static str],
    holds: Holds,
    settings: &'static [&'static str],
) -> Key {
    Key {
        name,
        aliases,
        holds,
        settings,
    }
}

/// The address of a kind whose bag may name one.
const fn base_url(name: &'static str, aliases: &'static [&'static str]) -> Key {
    key(name, aliases, Holds::Address, &["base_url"])
}

/// Names that mean the address in the bag of every kind that takes one.
const ANY_URL: &[&str] = &["BASE_URL", "base_url"];

/// The fields of Gemini, by key or through its Agent Platform.
const GEMINI: &[Key] = &[
    secret(
        "GEMINI_API_KEY",
        &[
            "GOOGLE_API_KEY",
            "GOOGLE_GEMINI_API_KEY",
            "GOOGLE_AGENT_PLATFORM_API_KEY",
        ],
    ),
    key(
        "GEMINI_PROJECT",
        &["GOOGLE_PROJECT_ID"],
        Holds::Name,
        &["project_id"],
    ),
    key(
        "GEMINI_LOCATION",
        &["GOOGLE_REGION"],
        Holds::Region,
        &["region"],
    ),
];

/// A kind that takes one key and knows its own address.
macro_rules! by_key {
    ($name:literal, $display:literal, $key:literal) => {
        Spec {
            name: $name,
            aliases: &[],
            display: $display,
            keys: &[secret($key, &[])],
            needs: &[Need::Key($key)],
        }
    };
}

/// A kind that takes one key, and an address when it is told one.
macro_rules! by_key_and_url {
    ($name:literal, $display:literal, $key:literal, $aliases:expr) => {
        Spec {
            name: $name,
            aliases: &[],
            display: $display,
            keys: &[secret($key, $aliases), base_url("BASE_URL", &["base_url"])],
            needs: &[Need::Key($key)],
        }
    };
}

/// Every kind that is known.
pub(super) const KINDS: &[Spec] = &[
    Spec {
        name: "openai",
        aliases: &[],
        display: "OpenAI",
        keys: &[
            secret("OPENAI_API_KEY", &[]),
            base_url("OPENAI_BASE_URL", ANY_URL),
        ],
        needs: &[Need::Unless("OPENAI_API_KEY", "OPENAI_BASE_URL")],
    },
    Spec {
        name: "anthropic",
        aliases: &[],
        display: "Anthropic",
        keys: &[
            secret("ANTHROPIC_API_KEY", &[]),
            base_url("ANTHROPIC_BASE_URL", ANY_URL),
        ],
        needs: &[Need::Unless("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")],
    },
    Spec {
        name: "gemini",
        aliases: &["google", "google_gemini"],
        display: "Gemini",
        keys: GEMINI,
        needs: &[
            Need::Key("GEMINI_API_KEY"),
            Need::With("GEMINI_LOCATION", "GEMINI_PROJECT"),
            Need::With("GEMINI_PROJECT", "GEMINI_LOCATION"),
        ],
    },
    Spec {
        name: "google_agent_platform",
        aliases: &[],
        display: "Google Agent Platform",
        keys: GEMINI,
        needs: &[
            Need::Key("GEMINI_API_KEY"),
            Need::Key("GEMINI_PROJECT"),
            Need::Key("GEMINI_LOCATION"),
        ],
    },
    Spec {
        name: "azure",
        aliases: &["azure_openai"],
        display: "Azure OpenAI",
        keys: &[
            secret("AZURE_OPENAI_API_KEY", &["AZURE_API_KEY", "api-key"]),
            key(
                "AZURE_OPENAI_ENDPOINT",
                &["AZURE_API_GATEWAY_BASE_URL", "BASE_URL", "base_url"],
                Holds::Address,
                &["endpoint", "base_url"],
            ),
            key(
                "AZURE_OPENAI_API_VERSION",
                &["AZURE_API_GATEWAY_VERSION"],
                Holds::Name,
                &["api_version"],
            ),
        ],
        needs: &[
            Need::Key("AZURE_OPENAI_API_KEY"),
            Need::Key("AZURE_OPENAI_ENDPOINT"),
        ],
    },
    // Without any key the gateway's own identity is used, where its operator allows that (providers 7.1).
    Spec {
        name: "bedrock",
        aliases: &["aws_bedrock"],
        display: "Bedrock",
        keys: &[
            secret("AWS_ACCESS_KEY_ID", &[]),
            secret("AWS_SECRET_ACCESS_KEY", &[]),
            secret("AWS_SESSION_TOKEN", &[]),
            key(
                "AWS_REGION_NAME",
                &["AWS_REGION"],
                Holds::Region,
                &["region"],
            ),
            secret("AWS_BEARER_TOKEN_BEDROCK", &["BEDROCK_API_KEY"]),
        ],
        needs: &[
            Need::With("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            Need::With("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            Need::With("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"),
        ],
    },
    // Without an identity the gateway's own one is used, likewise (providers 9.2).
    Spec {
        name: "vertex_ai",
        aliases: &["vertex", "google_vertex"],
        display: "Vertex AI",
        keys: &[
            key(
                "GOOGLE_APPLICATION_CREDENTIALS",
                &["VERTEXAI_SERVICE_ACCOUNT_JSON"],
                Holds::Identity,
                &[],
            ),
            key(
                "VERTEXAI_PROJECT",
                &["GOOGLE_PROJECT_ID"],
                Holds::Name,
                &["project_id"],
            ),
            key("VERTEXAI_PROJECT_NUMBER", &[], Holds::Name, &[]),
            key(
                "VERTEXAI_LOCATION",
                &["GOOGLE_REGION"],
                Holds::Region,
                &["region"],
            ),
        ],
        needs: &[
            Need::Key("VERTEXAI_PROJECT"),
            Need::Key("VERTEXAI_LOCATION"),
        ],
    },
    by_key!("deepseek", "DeepSeek", "DEEPSEEK_API_KEY"),
    by_key!("xai", "xAI", "XAI_API_KEY"),
    by_key!("cerebras", "Cerebras", "CEREBRAS_API_KEY"),
    by_key!("groq", "Groq", "GROQ_API_KEY"),
    Spec {
        name: "cloudflare",
        aliases: &[],
        display: "Cloudflare",
        keys: &[
            secret("CLOUDFLARE_API_KEY", &["CLOUDFLARE_API_TOKEN"]),
            key("CLOUDFLARE_ACCOUNT_ID", &[], Holds::Name, &[]),
        ],
        needs: &[
            Need::Key("CLOUDFLARE_API_KEY"),
            Need::Key("CLOUDFLARE_ACCOUNT_ID"),
        ],
    },
    by_key_and_url!("mistral", "Mistral", "MISTRAL_API_KEY", &[]),
    by_key_and_url!("cohere", "Cohere", "COHERE_API_KEY", &[]),
    by_key_and_url!(
        "fireworks_ai",
        "Fireworks AI",
        "FIREWORKS_AI_API_KEY",
        &["FIREWORKS_API_KEY"]
    ),
    Spec {
        name: "custom",
        aliases: &["custom_openai"],
        display: "Custom (OpenAI-compatible)",
        keys: &[
            secret("CUSTOM_API_KEY", &["CUSTOM_OPENAI_API_KEY"]),
            base_url("CUSTOM_BASE_URL", ANY_URL),
        ],
        needs: &[Need::Key("CUSTOM_BASE_URL")],
    },
    Spec {
        name: "elevenlabs",
        aliases: &[],
        display: "ElevenLabs",
        keys: &[
            secret("ELEVENLABS_API_KEY", &[]),
            base_url("ELEVENLABS_BASE_URL", ANY_URL),
            secret("ELEVENLABS_WEBHOOK_SECRET", &[]),
        ],
        needs: &[Need::Key("ELEVENLABS_API_KEY")],
    },
    Spec {
        name: "openai_codex",
        aliases: &[],
        display: "OpenAI Codex",
        keys: &[
            secret("CODEX_ACCESS_TOKEN", &[]),
            key("CODEX_ACCOUNT_ID", &[], Holds::Name, &[]),
        ],
        needs: &[
            Need::Key("CODEX_ACCESS_TOKEN"),
            Need::Key("CODEX_ACCOUNT_ID"),
        ],
    },
    by_key!("voyage", "Voyage", "VOYAGE_API_KEY"),
    Spec {
        name: "azure_safety",
        aliases: &[],
        display: "Azure Content Safety",
        keys: &[
            secret("AZURE_CONTENT_SAFETY_KEY", &["AZURE_SAFETY_API_KEY"]),
            key(
                "AZURE_CONTENT_SAFETY_ENDPOINT",
                &[],
                Holds::Address,
                &["endpoint", "base_url"],
            ),
        ],
        needs: &[
            Need::Key("AZURE_CONTENT_SAFETY_KEY"),
            Need::Key("AZURE_CONTENT_SAFETY_ENDPOINT"),
        ],
    },
];
