//! Every field of every section, as the REST API names them.

use super::shape::{Field, Kind, Object, Preset, Shape};

use Preset::{EmptyList, EmptyMap, Null, Unknown};
use Shape::{Any, AnyMap, Blankable, Flag, List, Nullable, OneOf, Ref, Set, Text, Whole};

const NAME: Shape = Text(128);
const LONG: Shape = Text(4096);
const MODEL: Shape = Text(256);
const LIMIT: Shape = Nullable(&Whole(0, i64::MAX));

const KINDS: Shape = OneOf(
    &[],
    &[
        ("google", "gemini"),
        ("google_gemini", "gemini"),
        ("vertex", "vertex_ai"),
    ],
);

/// Kinds that a model map may name without a provider of that kind being stored.
pub(super) const PROVIDER_KINDS: [&str; 17] = [
    "openai",
    "anthropic",
    "gemini",
    "azure",
    "bedrock",
    "vertex_ai",
    "deepseek",
    "xai",
    "cerebras",
    "groq",
    "cloudflare",
    "custom",
    "elevenlabs",
    "openai_codex",
    "voyage",
    "mistral",
    "cohere",
];

const SCOPES: Field = Field::new("scopes", Shape::Some(&Set(&Shape::Scope)), Unknown);
const DESCRIPTION: Field = Field::new("description", Nullable(&LONG), Null);
const EXTERNAL_ID: Field = Field::new("external_id", Nullable(&NAME), Null);
const METADATA: Field = Field::new("metadata", Shape::Texts(500), EmptyMap);
const ENABLED: Field = Field::new("enabled", Flag, Preset::Flag(true));

const RATE_LIMIT: &[Field] = &[
    Field::new("rpm", LIMIT, Null),
    Field::new("tpm", LIMIT, Null),
    Field::new("rpd", LIMIT, Null),
    Field::new("concurrent", LIMIT, Null),
];

const PROVIDERS: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    Field::new("provider", KINDS, Unknown).fixed(),
    SCOPES,
    ENABLED,
    Field::new("routing_handle", Nullable(&Shape::Handle(32)), Null),
    Field::new("custom_keys", Shape::CustomKeys, EmptyMap),
    Field::new("extra_headers", Blankable(&Shape::Headers), Null),
    Field::new("custom_models", Blankable(&List(&Any)), Null),
    Field::new("custom_embeddings_models", Blankable(&List(&Any)), Null),
    Field::new("deployment_mapping", Blankable(&AnyMap), Null),
    Field::new(
        "rate_limit",
        Shape::Object(Object {
            fields: RATE_LIMIT,
            filled: true,
            keeps: false,
        }),
        EmptyMap,
    ),
    Field::new(
        "fallback_priority_global",
        Nullable(&Whole(i32::MIN as i64, i32::MAX as i64)),
        Null,
    ),
    Field::new("provider_config", Blankable(&AnyMap), Null),
];

const DIRECTION: Shape = OneOf(&["pre", "post", "stream_chunk"], &[]);

const GUARDRAILS: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    Field::new("project_id", Shape::Project, Unknown)
        .also(&["project"])
        .fixed()
        .required(),
    DESCRIPTION,
    Field::new("direction", DIRECTION, Unknown),
    Field::new(
        "failure_mode",
        OneOf(&["fail_closed", "fail_open"], &[]),
        Preset::Word("fail_closed"),
    ),
    Field::new(
        "evaluator",
        Shape::Object(Object::of(&[
            Field::new("slug", NAME, Unknown).required(),
            Field::new("settings", Shape::EvaluatorSettings, EmptyMap),
        ])),
        Unknown,
    ),
];

const RULE_SET: Shape = Shape::Object(Object {
    fields: &[
        Field::new("deny", List(&LONG), EmptyList),
        Field::new("allow", Blankable(&List(&LONG)), Null),
    ],
    filled: true,
    keeps: false,
});
const RULES: Shape = Shape::Object(Object {
    fields: &[
        Field::new("tools", RULE_SET, EmptyMap),
        Field::new("mcp", RULE_SET, EmptyMap),
        Field::new("urls", RULE_SET, EmptyMap),
        Field::new("models", RULE_SET, EmptyMap),
    ],
    filled: true,
    keeps: false,
});

const FALL_BACK_ON: Shape = Nullable(&Set(&OneOf(
    &["5xx", "timeout", "rate_limit", "network_error", "404"],
    &[
        ("rate_limit_exceeded", "rate_limit"),
        ("network", "network_error"),
        ("not_found", "404"),
    ],
)));
const ATTEMPT_MS: Shape = Nullable(&Whole(1, 840_000));

const POLICIES: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    DESCRIPTION,
    SCOPES,
    Field::new(
        "strategy",
        OneOf(&["ordered", "priority"], &[]),
        Preset::Word("ordered"),
    ),
    Field::new(
        "model_provider_ids",
        Shape::Some(&List(&Ref(Kind::Provider))),
        Unknown,
    )
    .also(&["model_providers"]),
    Field::new("model_aliases", Shape::Texts(256), EmptyMap),
    Field::new("default_model", Nullable(&MODEL), Null),
    Field::new("policy_rules", RULES, EmptyMap),
    Field::new(
        "fallback",
        Blankable(&Shape::Object(Object::of(&[
            Field::new("max_attempts", Nullable(&Whole(1, 1000)), Null),
            Field::new("on", FALL_BACK_ON, Null),
            Field::new("attempt_timeout_ms", ATTEMPT_MS, Null).also(&["timeout_ms"]),
            Field::new("model_map", Shape::ModelMap, EmptyMap),
        ]))),
        Null,
    ),
    Field::new("is_default", Flag, Preset::Flag(false)),
];

const CACHE_RULES: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    Field::new("description", Nullable(&Text(512)), Null),
    Field::new("priority", Whole(0, 1000), Preset::Whole(100)),
    ENABLED,
    Field::new(
        "matchers",
        Shape::Some(&Shape::Object(Object::of(&[
            Field::new("vk_id", Nullable(&Ref(Kind::Key)), Null).also(&["vk", "virtual_key"]),
            Field::new("vk_tags", Set(&NAME), EmptyList),
            Field::new("vk_prefix", Nullable(&NAME), Null),
            Field::new("principal_id", Nullable(&Shape::User), Null).also(&["principal"]),
            Field::new("model", Nullable(&MODEL), Null),
            Field::new("request_metadata", Shape::Texts(4096), EmptyMap),
            Field::new("time_window", Blankable(&AnyMap), Null),
        ]))),
        Unknown,
    ),
    Field::new(
        "action",
        Shape::Object(Object::of(&[
            Field::new(
                "mode",
                OneOf(&["respect", "force", "disable"], &[]),
                Unknown,
            )
            .required(),
            Field::new("ttl", Nullable(&Whole(0, 86_400)), Null),
            Field::new("salt", Nullable(&Text(64)), Null),
        ])),
        Unknown,
    ),
];

const CONFIG: &[Field] = &[
    Field::new("modelsAllowed", Nullable(&Set(&MODEL)), Null).also(&["models_allowed"]),
    Field::new(
        "providersAllowed",
        Nullable(&Shape::Some(&Set(&Ref(Kind::Provider)))),
        Null,
    )
    .also(&["providers_allowed"]),
    Field::new(
        "cache",
        Shape::Object(Object::of(&[
            Field::new(
                "mode",
                OneOf(&["respect", "force", "disable", "auto"], &[]),
                Preset::Word("respect"),
            ),
            Field::new("ttlS", Whole(0, i64::MAX), Preset::Whole(3600)).also(&["ttl_s"]),
        ])),
        EmptyMap,
    ),
    Field::new(
        "fallback",
        Shape::Object(Object::of(&[
            Field::new("maxAttempts", Whole(1, 1000), Preset::Whole(3)).also(&["max_attempts"]),
            Field::new("on", FALL_BACK_ON, Null),
            Field::new("attemptTimeoutMs", ATTEMPT_MS, Null).also(&[
                "attempt_timeout_ms",
                "timeoutMs",
                "timeout_ms",
            ]),
            Field::new("modelMap", Shape::ModelMap, EmptyMap).also(&["model_map"]),
        ])),
        EmptyMap,
    ),
    Field::new(
        "guardrailAttachments",
        List(&Shape::Object(Object::of(&[
            Field::new("direction", DIRECTION, Unknown).required(),
            Field::new("guardrailIds", List(&Ref(Kind::Guardrail)), Unknown)
                .also(&["guardrail_ids", "guardrails"])
                .required(),
        ]))),
        EmptyList,
    )
    .also(&["guardrail_attachments"]),
    Field::new(
        "rateLimits",
        Shape::Object(Object::of(RATE_LIMIT)),
        EmptyMap,
    )
    .also(&["rate_limits"]),
    Field::new(
        "realtime",
        Shape::Object(Object::of(&[Field::new(
            "maxOpenSessions",
            Nullable(&Whole(1, i64::MAX)),
            Null,
        )
        .also(&["max_open_sessions"])])),
        EmptyMap,
    ),
    Field::new(
        "semanticCache",
        Nullable(&Shape::Object(Object::of(&[
            Field::new("enabled", Flag, Unknown),
            Field::new("embeddingModelProviderId", Ref(Kind::Provider), Unknown)
                .also(&["embedding_model_provider_id"]),
            Field::new("embeddingModel", MODEL, Unknown).also(&["embedding_model"]),
            Field::new("similarityThreshold", Shape::Fraction(0.8, 1.0), Unknown)
                .also(&["similarity_threshold"]),
            Field::new("ttlSeconds", Whole(60, 86_400), Preset::Whole(3600)).also(&["ttl_seconds"]),
            Field::new("allowNondeterministic", Flag, Preset::Flag(false))
                .also(&["allow_nondeterministic"]),
        ]))),
        Null,
    )
    .also(&["semantic_cache"]),
    Field::new(
        "capturePayload",
        Nullable(&OneOf(&["raw", "redacted", "metadata_only", "none"], &[])),
        Null,
    )
    .also(&["capture_payload"]),
    Field::new("openaiCompatTranslate", Flag, Preset::Flag(false))
        .also(&["openai_compat_translate"]),
    Field::new("modelAliases", Shape::Texts(256), EmptyMap).also(&["model_aliases"]),
    Field::new("policyRules", Blankable(&RULES), Null).also(&["policy_rules"]),
    Field::new(
        "metadata",
        Shape::Object(Object::of(&[
            Field::new("label", Nullable(&LONG), Null),
            Field::new("tags", Shape::Tags, EmptyList),
        ])),
        EmptyMap,
    ),
];

const KEYS: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    DESCRIPTION,
    EXTERNAL_ID,
    METADATA,
    SCOPES,
    Field::new("principal_user_id", Nullable(&Shape::User), Null)
        .also(&["principal_user"])
        .fixed(),
    Field::new("trace_project_id", Shape::Project, Unknown).also(&["trace_project"]),
    Field::new(
        "routing_mode",
        OneOf(&["none", "fallback_all", "policy"], &[]),
        Preset::Word("none"),
    ),
    Field::new("routing_policy_id", Nullable(&Ref(Kind::Policy)), Null).also(&["routing_policy"]),
    Field::new("expires_at", Nullable(&Shape::Time), Null),
    Field::new("env", OneOf(&["live", "test"], &[]), Preset::Word("live")).fixed(),
    Field::new(
        "config",
        Shape::Object(Object {
            fields: CONFIG,
            filled: false,
            keeps: true,
        }),
        EmptyMap,
    ),
];

const BUDGETS: &[Field] = &[
    Field::new("name", NAME, Unknown).required(),
    DESCRIPTION,
    EXTERNAL_ID,
    METADATA,
    Field::new("scope", Shape::BudgetScope, Unknown).fixed(),
    Field::new(
        "window",
        OneOf(
            &["minute", "hour", "day", "week", "month", "total", "manual"],
            &[],
        ),
        Unknown,
    )
    .fixed(),
    Field::new("limit_usd", Shape::Money, Unknown),
    Field::new(
        "on_breach",
        OneOf(&["block", "warn"], &[]),
        Preset::Word("block"),
    ),
    Field::new("enforcement", OneOf(&["strict", "soft"], &[]), Unknown),
    Field::new("timezone", Nullable(&NAME), Null),
    Field::new("provider_key", Nullable(&Ref(Kind::Provider)), Null)
        .also(&["model_provider"])
        .fixed(),
    Field::new("cycle_anchor_at", Nullable(&Shape::Time), Null).fixed(),
    Field::new("allow_unreachable", Flag, Unknown).only_new(),
];

/// The fields of one entry. `id` stands beside them in every section.
pub(super) fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Provider => PROVIDERS,
        Kind::Guardrail => GUARDRAILS,
        Kind::Policy => POLICIES,
        Kind::CacheRule => CACHE_RULES,
        Kind::Key => KEYS,
        Kind::Budget => BUDGETS,
    }
}

/// What a new entry must say. The server's defaults depend on the credential that creates; a file
/// in version control should not.
pub(super) fn needed_to_create(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Provider => &["provider", "scopes"],
        Kind::Guardrail => &["direction", "evaluator"],
        Kind::Policy => &["scopes", "model_provider_ids"],
        Kind::CacheRule => &["matchers", "action"],
        Kind::Key => &["scopes"],
        Kind::Budget => &["scope", "window", "limit_usd"],
    }
}

/// A field of the API that a file cannot hold, and what to do instead.
pub(super) fn not_here(kind: Kind, name: &str) -> Option<&'static str> {
    Some(match (kind, name) {
        (Kind::Key, "budget") => {
            "add an entry to `budgets` with `scope: virtual_key:<name>` instead"
        }
        (Kind::Key, "status") => {
            "switch keys with `langwatch virtual-keys disable`, `enable` and `revoke`"
        }
        (Kind::Key, "secret" | "purpose" | "display_prefix") => "the server decides it",
        (Kind::Budget, "scope_type" | "scope_id") => {
            "write `scope: team:eng` or `scope: {kind: …}`"
        }
        (Kind::CacheRule, "mode_enum") => "it repeats `action.mode`",
        _ => return None,
    })
}
