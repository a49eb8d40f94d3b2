"""Every way through the gateway that the SDKs and the coding tools are run on: surface by provider.

A surface is the API that a caller speaks; a kind is a provider row of the real product, all of them in
front of the mock provider. `SERVED` says which pairs the product has: nothing is run, and nothing is
skipped, outside of it. Add a pair there and every test of it runs.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

CHAT, RESPONSES, MESSAGES, GEMINI = "chat", "responses", "messages", "gemini"
SURFACES = (CHAT, RESPONSES, MESSAGES, GEMINI)


@dataclass(frozen=True)
class Kind:
    """A provider row: how it is stored, and what a request to it looks like from outside."""

    name: str
    """In the names of tests, and the alias by which every key reaches it."""
    row: str
    """Handle of the stored row; two kinds may share one."""
    provider: str
    """`--provider` of the command line."""
    answers_as: str
    """The `X-LangWatch-Provider` header."""
    model: str
    """What the provider calls the model."""
    dialect: str
    """What the provider is spoken to in, when the surface leaves a choice: its own."""
    keys: Callable[[str], dict[str, str]]
    """Fields of the credential, from the address of the mock."""
    config: Callable[[str], dict] = field(default=lambda mock: {})
    """The advanced settings, likewise."""
    more: tuple[str, ...] = ()
    """Further words of the command line."""
    natives: frozenset[str] = frozenset()
    """Surfaces whose bytes pass through."""


def service_account(mock: str) -> str:
    """The account that the mock knows, exchanging its assertions at the mock."""
    made = httpx.get(
        f"{mock}/_mock/service-account.json", params={"token_uri": f"{mock}/token"}
    )
    return json.dumps(made.raise_for_status().json())


def vertex(mock: str) -> dict[str, str]:
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": service_account(mock),
        "VERTEXAI_PROJECT": "acme-project",
        "VERTEXAI_LOCATION": "europe-west4",
    }


def at_mock(mock: str) -> dict:
    return {"base_url": mock}


AWS_KEY = ("AKIAMOCKMOCKMOCKMOCK", "mock-secret")
"""The pair that the mock verifies signatures with."""

BEDROCK_MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="lane-openai",
            row="row-openai",
            provider="openai",
            answers_as="openai",
            model="gpt-5-mini",
            dialect=CHAT,
            keys=lambda mock: {"OPENAI_API_KEY": "sk-lane", "OPENAI_BASE_URL": f"{mock}/v1"},
            natives=frozenset({CHAT, RESPONSES}),
        ),
        Kind(
            name="lane-azure",
            row="row-azure",
            provider="azure",
            answers_as="azure",
            model="gpt-5-mini",
            dialect=CHAT,
            keys=lambda mock: {
                "AZURE_OPENAI_API_KEY": "azure-lane",
                "AZURE_OPENAI_ENDPOINT": mock,
                "AZURE_OPENAI_API_VERSION": "2025-04-01-preview",
            },
            more=("--deployment", "gpt-5-mini=the-mini-deployment"),
            natives=frozenset({CHAT, RESPONSES}),
        ),
        Kind(
            name="lane-anthropic",
            row="row-anthropic",
            provider="anthropic",
            answers_as="anthropic",
            model="claude-haiku-4-5",
            dialect=MESSAGES,
            keys=lambda mock: {"ANTHROPIC_API_KEY": "sk-ant-lane", "ANTHROPIC_BASE_URL": mock},
            natives=frozenset({MESSAGES}),
        ),
        Kind(
            name="lane-bedrock",
            row="row-bedrock",
            provider="bedrock",
            answers_as="bedrock",
            model=BEDROCK_MODEL,
            dialect="converse",
            keys=lambda mock: {
                "AWS_ACCESS_KEY_ID": AWS_KEY[0],
                "AWS_SECRET_ACCESS_KEY": AWS_KEY[1],
                "AWS_REGION_NAME": "us-east-1",
            },
            config=lambda mock: {"endpoint": mock},
        ),
        Kind(
            name="lane-vertex-gemini",
            row="row-vertex",
            provider="vertex_ai",
            answers_as="vertex",
            model="gemini-2.5-flash",
            dialect=GEMINI,
            keys=vertex,
            config=at_mock,
            natives=frozenset({GEMINI}),
        ),
        Kind(
            name="lane-vertex-claude",
            row="row-vertex",
            provider="vertex_ai",
            answers_as="vertex",
            model="claude-haiku-4-5@20251001",
            dialect=MESSAGES,
            keys=vertex,
            config=at_mock,
            natives=frozenset({MESSAGES}),
        ),
        Kind(
            name="lane-gemini",
            row="row-gemini",
            provider="gemini",
            answers_as="gemini",
            model="gemini-2.5-flash",
            dialect=GEMINI,
            keys=lambda mock: {"GEMINI_API_KEY": "gemini-lane"},
            config=at_mock,
            natives=frozenset({GEMINI}),
        ),
        Kind(
            name="lane-custom",
            row="row-custom",
            provider="custom",
            answers_as="custom",
            model="llama-3.3-70b",
            dialect=CHAT,
            keys=lambda mock: {"CUSTOM_API_KEY": "custom-lane", "CUSTOM_BASE_URL": f"{mock}/v1"},
            more=("--custom-model", "llama-3.3-70b"),
            natives=frozenset({CHAT}),
        ),
    )
}

SERVED = frozenset((surface, kind) for surface in SURFACES for kind in KINDS)
"""The pairs that the product has."""

EMBEDS = {
    "lane-openai": "text-embedding-3-small",
    "lane-azure": "text-embedding-3-small",
    "lane-bedrock": "amazon.titan-embed-text-v2:0",
    "lane-vertex-gemini": "gemini-embedding-001",
    "lane-gemini": "gemini-embedding-001",
    "lane-custom": "nomic-embed-text",
}
"""Lanes that serve embeddings, and their model for it."""

COUNTS_TOKENS = {
    "lane-openai",
    "lane-anthropic",
    "lane-bedrock",
    "lane-vertex-gemini",
    "lane-vertex-claude",
    "lane-gemini",
}
"""Lanes whose tokens can be counted over the Messages API."""

PAIRS = tuple(
    (surface, kind) for surface in SURFACES for kind in KINDS.values() if (surface, kind.name) in SERVED
)


def served(surface: str) -> list[Kind]:
    return [kind for ours, kind in PAIRS if ours == surface]


def aliases() -> dict[str, str]:
    """For a key: each lane under its own name."""
    return {kind.name: f"{kind.row}/{kind.model}" for _, kind in PAIRS}


def connect(stack) -> None:
    """Stores the rows of every served lane, as an administrator does."""
    for kind in {kind.row: kind for _, kind in PAIRS}.values():
        keys = kind.keys(stack.provider)
        stack.cli(
            *("model-provider", "create", "--provider", kind.provider, "--scope", "org:acme"),
            *("--name", kind.row, "--handle", kind.row),
            *(word for name in keys for word in ("--key-from-env", name)),
            *kind.more,
            *("--provider-config", json.dumps(kind.config(stack.provider))),
            **keys,
        )
