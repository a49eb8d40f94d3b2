"""The vendors' own declarations of each dialect, for `strict`: requests, answers, and events of streams.

Used on what the gateway sends (`test_matrix.py`) and on golden files (`strict_goldens.py`).
"""

import contextlib
import json

import anthropic.types
import botocore.loaders
import botocore.model
import botocore.validate
import openai
from google.genai import types as google
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk, CompletionCreateParams
from openai.types.responses import Response, ResponseCreateParams, ResponseStreamEvent
from pydantic import BaseModel, Field

import strict
from lanes import CHAT, GEMINI, MESSAGES, RESPONSES
from spoken import CONVERSE


class GenerateContent(BaseModel):
    """The body of Gemini's method: the SDK declares its parts, not the whole."""

    contents: list[google.Content]
    tools: list[google.Tool] | None = None
    tool_config: google.ToolConfig | None = Field(None, alias="toolConfig")
    system_instruction: google.Content | None = Field(None, alias="systemInstruction")
    generation_config: google.GenerationConfig | None = Field(None, alias="generationConfig")
    safety_settings: list[google.SafetySetting] | None = Field(None, alias="safetySettings")
    cached_content: str | None = Field(None, alias="cachedContent")
    labels: dict[str, str] | None = None


REQUESTS = {
    CHAT: CompletionCreateParams,
    RESPONSES: ResponseCreateParams,
    MESSAGES: anthropic.types.MessageCreateParams,
    GEMINI: GenerateContent,
}
ANSWERS = {
    CHAT: ChatCompletion,
    RESPONSES: Response,
    MESSAGES: anthropic.types.Message,
    GEMINI: google.GenerateContentResponse,
}
EVENTS = {
    CHAT: ChatCompletionChunk,
    RESPONSES: ResponseStreamEvent,
    MESSAGES: anthropic.types.RawMessageStreamEvent,
    GEMINI: google.GenerateContentResponse,
}

BESIDE = {
    # Reasoning in chat is no standard; these names are what most vendors and their clients use.
    CHAT: frozenset(
        {"reasoning", "reasoning_content", "reasoning_details", "extra_content", "extra_fields"}
        | {"cache_creation_tokens"}
    ),
    # `store` is in every real answer, and in no declaration; `name` of a call whose arguments are done was
    # declared until 2, and is sent.
    RESPONSES: frozenset({"cache_creation_tokens", "extra_fields", "name", "store"}),
    # The newest SDK dropped them from its signature; the API takes them.
    MESSAGES: frozenset({"temperature", "top_p", "top_k"}),
    GEMINI: frozenset(),
}
"""What is taken beside the declarations: providers.md 15 to 17."""

UNDECLARED = {CHAT: frozenset(), RESPONSES: frozenset(), GEMINI: frozenset()} | {
    # Pings are of the protocol and not of the union.
    MESSAGES: frozenset({"ping"}),
}


def request_problems(dialect: str, body: dict) -> list[str]:
    if dialect == CONVERSE:
        return converse_problems("Converse", body)
    return strict.problems(body, REQUESTS[dialect], BESIDE[dialect])


def answer_problems(dialect: str, body: dict) -> list[str]:
    if dialect == CONVERSE:
        return converse_problems("Converse", body, answer=True)
    return strict.problems(body, ANSWERS[dialect], BESIDE[dialect])


def event_problems(dialect: str, event: dict) -> list[str]:
    if event.get("type") in UNDECLARED[dialect]:
        return []
    return strict.problems(event, EVENTS[dialect], BESIDE[dialect])


AZURE_OPENS_WITH = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
"""Azure's first chunk names nothing: it tells what its filter says of the prompt, and only that."""


def stream_problems(dialect: str, text: str, *, opens_bare: bool = False) -> list[str]:
    """Of a whole stream of server-sent events, frame by frame; `opens_bare`: of Azure's chat, as it came."""
    found = events(dialect, text)
    if opens_bare:
        first = dict(found.pop(0))
        assert first.pop("prompt_filter_results")
        assert first == AZURE_OPENS_WITH
    return [
        f"event {n}{problem}"
        for n, event in enumerate(found, start=int(opens_bare))
        for problem in event_problems(dialect, event)
    ]


def events(dialect: str, text: str) -> list[dict]:
    """The events of a stream; the end marker of chat must be there, and nowhere else."""
    frames = [frame for frame in text.replace("\r\n", "\n").split("\n\n") if frame.strip()]
    found = []
    for frame in frames:
        fields = [line.partition(":")[::2] for line in frame.split("\n")]
        fields = [(name, value.removeprefix(" ")) for name, value in fields if name]
        data = "\n".join(value for name, value in fields if name == "data")
        if data:
            found.append((dict(fields).get("event"), data))
    ends = [n for n, (_, data) in enumerate(found) if data == "[DONE]"]
    assert ends == ([len(found) - 1] if dialect == CHAT else []), f"[DONE] at {ends}"
    read = [(name, json.loads(data)) for name, data in found if data != "[DONE]"]
    if dialect in {RESPONSES, MESSAGES}:
        for name, event in read:
            assert name == event["type"], f"an event named {name} holds a {event['type']}"
    return [event for _, event in read]


def gathered(chunks):
    """A streamed chat put together by the SDK; it complains of answers that were cut, which is no fault."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        with contextlib.suppress(
            openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError
        ):
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


def bedrock() -> botocore.model.ServiceModel:
    model = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    return botocore.model.ServiceModel(model)


def converse_problems(operation: str, body: dict, *, answer: bool = False) -> list[str]:
    """By AWS's own validator and service model."""
    declared = bedrock().operation_model(operation)
    shape = declared.output_shape if answer else declared.input_shape
    # What stands in the address, not in the body.
    whole = body if answer else {"modelId": "model", **body}
    report = botocore.validate.ParamValidator().validate(blobs(whole, shape), shape)
    return report.generate_report().splitlines() if report.has_errors() else []


def blobs(value, shape):
    """Blobs as bytes, which is how the validator wants them."""
    if shape.type_name == "blob":
        return b"" if strict.is_base64(value) else value
    if shape.type_name == "structure" and isinstance(value, dict) and not shape.is_document_type:
        return {
            key: blobs(one, shape.members[key]) if key in shape.members else one
            for key, one in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [blobs(one, shape.member) for one in value]
    return value
