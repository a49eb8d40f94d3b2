//! The provider rows and surfaces that the bill is checked on.

use lw_mock::MockProvider;
use serde_json::{Value, json};

use crate::support::{Ask, Conn, Gateway};

/// What a provider is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Chat,
    Responses,
    Messages,
    Gemini,
    Converse,
}

/// What a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Chat,
    Responses,
    Messages,
    Generate,
}

/// All of them.
pub(super) const SURFACES: [Surface; 4] = [
    Surface::Chat,
    Surface::Responses,
    Surface::Messages,
    Surface::Generate,
];

/// A provider row and a model of it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: &'static str,
    /// As a caller asks for it. The rates of these models stand in `table.rs`.
    pub(super) model: &'static str,
    /// What it is spoken to in: native surfaces in their own, the others in this.
    pub(super) dialect: Dialect,
    natives: &'static [Surface],
    /// Its streams are in the framing of AWS.
    pub(super) framed: bool,
}

impl Lane {
    /// The dialect in which the provider answers a caller of this surface.
    pub(super) fn speaks(&self, surface: Surface) -> Dialect {
        if !self.natives.contains(&surface) {
            return self.dialect;
        }
        match surface {
            Surface::Chat => Dialect::Chat,
            Surface::Responses => Dialect::Responses,
            Surface::Messages => Dialect::Messages,
            Surface::Generate => Dialect::Gemini,
        }
    }
}

/// Every kind of row. Compatible vendors by their own names, because prices go by them.
pub(super) const LANES: [Lane; 11] = [
    Lane {
        name: "openai",
        model: "openai/gpt-5-bill",
        dialect: Dialect::Responses,
        natives: &[Surface::Chat, Surface::Responses],
        framed: false,
    },
    Lane {
        name: "azure",
        model: "azure/gpt-5-bill",
        dialect: Dialect::Responses,
        natives: &[Surface::Chat, Surface::Responses],
        framed: false,
    },
    Lane {
        name: "anthropic",
        model: "anthropic/claude-bill-9",
        dialect: Dialect::Messages,
        natives: &[Surface::Messages],
        framed: false,
    },
    Lane {
        name: "bedrock",
        model: "bedrock/us.anthropic.claude-bill-9-20300101-v1:0",
        dialect: Dialect::Converse,
        natives: &[],
        framed: true,
    },
    Lane {
        name: "bedrock invoke",
        model: "invoked/anthropic.claude-bill-9-20300101-v1:0",
        dialect: Dialect::Messages,
        natives: &[Surface::Messages],
        framed: true,
    },
    Lane {
        name: "vertex claude",
        model: "vertex_ai/claude-bill-9@20300101",
        dialect: Dialect::Messages,
        natives: &[Surface::Messages],
        framed: false,
    },
    Lane {
        name: "vertex gemini",
        model: "vertex_ai/gemini-9-bill",
        dialect: Dialect::Gemini,
        natives: &[Surface::Generate],
        framed: false,
    },
    Lane {
        name: "gemini",
        model: "gemini/gemini-9-bill",
        dialect: Dialect::Gemini,
        natives: &[Surface::Generate],
        framed: false,
    },
    Lane {
        name: "custom",
        model: "custom/house-bill",
        dialect: Dialect::Chat,
        natives: &[Surface::Chat],
        framed: false,
    },
    Lane {
        name: "xai",
        model: "xai/grok-bill",
        dialect: Dialect::Chat,
        natives: &[Surface::Chat],
        framed: false,
    },
    Lane {
        name: "groq",
        model: "groq/openai/gpt-oss-bill",
        dialect: Dialect::Chat,
        natives: &[Surface::Chat],
        framed: false,
    },
];

/// A model of the row whose token has to be fetched first.
pub(super) const WITH_A_TOKEN: &str = "vertex_ai/gemini-9-bill";

/// What the mock's own cloud account is called.
const AWS: (&str, &str) = ("AKIAMOCKMOCKMOCKMOCK", "mock-secret");

/// Stores the rows.
pub(super) fn connect(gateway: &Gateway, mock: &MockProvider) {
    let at = mock.base_url();
    let account = Conn::open(mock.addr())
        .call(&Ask::get(&format!(
            "/_mock/service-account.json?token_uri={at}/token"
        )))
        .text();
    let aws = json!({
        "AWS_ACCESS_KEY_ID": AWS.0, "AWS_SECRET_ACCESS_KEY": AWS.1, "AWS_REGION_NAME": "us-east-1",
    });
    let row = |provider: &str, keys: Value, more: Value| {
        let mut body = json!({"provider": provider, "name": provider, "custom_keys": keys});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        gateway.create_provider(&body);
    };
    gateway.openai(mock, "sk-mock-openai");
    gateway.anthropic(mock, "sk-mock-anthropic");
    row(
        "azure",
        json!({
            "AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_ENDPOINT": at,
            "AZURE_OPENAI_API_VERSION": "2025-04-01-preview",
        }),
        // The deployment's name says nothing: the model that it stands for has the price.
        json!({"deployment_mapping": {
            "gpt-5-bill": "the-deployment", "gpt-5-mini": "the-small-deployment",
        }}),
    );
    row(
        "bedrock",
        aws.clone(),
        json!({"provider_config": {"endpoint": at}}),
    );
    row(
        "bedrock",
        aws,
        json!({
            "routing_handle": "invoked",
            "provider_config": {"endpoint": at, "anthropic_invoke": true},
        }),
    );
    row(
        "vertex_ai",
        json!({
            "GOOGLE_APPLICATION_CREDENTIALS": account, "VERTEXAI_PROJECT": "acme-project",
            "VERTEXAI_LOCATION": "europe-west4",
        }),
        json!({"provider_config": {"base_url": at, "token_uri": format!("{at}/token")}}),
    );
    row(
        "gemini",
        json!({"GEMINI_API_KEY": "gemini-key"}),
        json!({"provider_config": {"base_url": at}}),
    );
    row(
        "custom",
        json!({"CUSTOM_API_KEY": "custom-key", "CUSTOM_BASE_URL": format!("{at}/v1")}),
        json!({}),
    );
    for (vendor, key) in [
        ("xai", "XAI_API_KEY"),
        ("groq", "GROQ_API_KEY"),
        ("voyage", "VOYAGE_API_KEY"),
    ] {
        row(
            vendor,
            json!({key: "vendor-key"}),
            json!({"provider_config": {"base_url": format!("{at}/v1")}}),
        );
    }
}

impl Surface {
    /// A request of this surface.
    pub(crate) fn ask(self, key: &str, model: &str, stream: bool, text: &str) -> Ask {
        let user = json!([{"role": "user", "content": text}]);
        let (path, body) = match self {
            Self::Chat => (
                "/v1/chat/completions".to_owned(),
                json!({"model": model, "stream": stream, "messages": user}),
            ),
            Self::Responses => (
                "/v1/responses".to_owned(),
                json!({"model": model, "stream": stream, "input": text}),
            ),
            Self::Messages => (
                "/v1/messages".to_owned(),
                json!({"model": model, "stream": stream, "max_tokens": 1_000, "messages": user}),
            ),
            Self::Generate => (
                format!(
                    "/v1beta/models/{model}:{}",
                    if stream {
                        "streamGenerateContent?alt=sse"
                    } else {
                        "generateContent"
                    }
                ),
                json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
            ),
        };
        Ask::post(&path, key, body)
    }
}
