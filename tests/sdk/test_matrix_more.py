"""What stands beside conversations, through every SDK that has it: embeddings, counted tokens, lists of models."""

import json

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as google

import strict
from lanes import COUNTS_TOKENS, EMBEDS, GEMINI, KINDS, MESSAGES, PAIRS, served
from stack import DEADLINE, marker, said


def gemini_client(stack, version: str | None = None) -> genai.Client:
    options = google.HttpOptions(base_url=stack.gateway, api_version=version)
    return genai.Client(api_key=stack.key, http_options=options)


@pytest.mark.parametrize("lane", sorted(EMBEDS))
def test_embeddings_arrive_in_the_order_of_their_texts(connected, lane):
    kind, model = KINDS[lane], EMBEDS[lane]
    with openai.OpenAI(
        base_url=connected.openai_url, api_key=connected.key, max_retries=0, timeout=DEADLINE
    ) as client:

        def embed(*texts: str, **more) -> list[list[float]]:
            raw = client.embeddings.with_raw_response.create(
                model=f"{kind.row}/{model}", input=list(texts), **more
            )
            assert raw.headers["x-langwatch-provider"] == kind.answers_as
            answer = raw.parse()
            assert [one.index for one in answer.data] == list(range(len(texts)))
            return [one.embedding for one in answer.data]

        first, second = marker(), marker()
        both = embed(first, second)
        # Asked for as base64 by the SDK, and as numbers by hand.
        for text, vector in zip((first, second), both, strict=True):
            [plain] = embed(text, encoding_format="float")
            assert vector == pytest.approx(plain, abs=1e-6)
        assert both[0] != both[1]


@pytest.mark.parametrize("kind", [kind for kind in served(MESSAGES) if kind.name in COUNTS_TOKENS])
def test_tokens_are_counted_for_the_anthropic_sdk(connected, kind):
    with anthropic.Anthropic(
        base_url=connected.gateway, api_key=connected.key, max_retries=0
    ) as client:
        counted = client.messages.count_tokens(
            model=kind.name, messages=[{"role": "user", "content": "four words of text"}]
        )
    assert counted.input_tokens == 4


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("kind", [kind for kind in served(GEMINI) if GEMINI in kind.natives])
def test_google_methods_are_served_under_both_prefixes(connected, kind, version):
    client = gemini_client(connected, version)
    text = said("hello", text="served")
    assert client.models.generate_content(model=kind.name, contents=text).text == "served"
    counted = client.models.count_tokens(model=kind.name, contents="four words of text")
    assert counted.total_tokens == 4


@pytest.mark.parametrize("kind", [kind for kind in served(GEMINI) if kind.name in EMBEDS])
def test_embeddings_arrive_through_the_google_sdk(connected, kind):
    client = gemini_client(connected)
    model = f"{kind.row}/{EMBEDS[kind.name]}"
    answer = client.models.embed_content(model=model, contents=["one text", "another one"])
    first, second = (one.values for one in answer.embeddings)
    assert first and second and first != second


def test_models_are_listed_in_the_form_that_each_sdk_reads(connected):
    names = {kind.name for _, kind in PAIRS}
    with openai.OpenAI(base_url=connected.openai_url, api_key=connected.key) as client:
        page = client.models.with_raw_response.list()
    listed = json.loads(page.content)
    strict.assert_strict(listed["data"], list[openai.types.Model])
    assert names <= {model["id"] for model in listed["data"]}
    with anthropic.Anthropic(base_url=connected.gateway, api_key=connected.key) as client:
        page = client.models.with_raw_response.list()
    listed = json.loads(page.http_response.content)
    assert names <= {model["id"] for model in listed["data"]}
    for model in listed["data"]:
        assert model["type"] == "model" and model["display_name"] and model["created_at"]
    if served(GEMINI):
        # Kept as long as the pages are read: it closes its connections when it is forgotten.
        client = gemini_client(connected, "v1beta")
        listed = [model.name for model in client.models.list()]
        assert listed and all(name.startswith("models/") for name in listed)

