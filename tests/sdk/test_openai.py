"""The OpenAI SDK, unchanged but for its base URL and its key."""

import asyncio
import base64
import hashlib
import json
import struct
import time

import openai
import pydantic
import pytest

from stack import DEADLINE, EMBEDDING_MODEL, OPENAI_MODEL, echo, marker, said, until

REQUEST_ID = "x-langwatch-request-id"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"input": {"type": "string"}}},
    },
}


@pytest.fixture
def client(stack):
    with openai.OpenAI(
        base_url=stack.openai_url, api_key=stack.key, max_retries=0, timeout=DEADLINE
    ) as client:
        yield client


def ask(text: str) -> dict:
    return {"model": OPENAI_MODEL, "messages": [{"role": "user", "content": text}]}


def test_an_application_changes_two_environment_variables_and_nothing_else(stack, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", stack.openai_url)
    monkeypatch.setenv("OPENAI_API_KEY", stack.key)
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(**ask("two values"))
    assert answer.choices[0].message.content == echo("two values")


def test_a_chat_is_answered_and_its_trace_shows_text_tokens_and_cost(client, stack):
    raw = client.chat.completions.with_raw_response.create(**ask("hello there"))
    answer = raw.parse()
    assert answer.choices[0].message.content == echo("hello there")
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    trace = stack.billed(
        raw.headers[REQUEST_ID],
        OPENAI_MODEL,
        prompt=usage.prompt_tokens,
        completion=usage.completion_tokens,
    )
    assert trace["input"]["value"] == "hello there"
    assert trace["output"]["value"] == echo("hello there")
    assert trace["error"] is None


def test_every_answer_carries_the_gateways_headers_and_the_providers(client):
    raw = client.chat.completions.with_raw_response.create(**ask("headers"))
    headers = raw.headers
    assert headers[REQUEST_ID] == headers["x-langwatch-gateway-request-id"]
    trace_id, span_id = headers["x-langwatch-trace-id"], headers["x-langwatch-span-id"]
    assert headers["traceparent"] == f"00-{trace_id}-{span_id}-01"
    assert headers["x-langwatch-provider"] == "openai"
    assert headers["x-langwatch-model"] == OPENAI_MODEL
    assert headers["x-langwatch-fallback-count"] == "0"
    assert headers["x-langwatch-cache-mode"] == "respect"
    assert headers["openai-processing-ms"] == "1"
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert raw.parse()._request_id == headers["x-request-id"] == headers["x-upstream-request-id"]
    assert headers["x-request-id"].startswith("req_mock_")


def test_the_gateway_span_joins_the_callers_trace(client, stack):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    raw = client.chat.completions.with_raw_response.create(
        **ask("nested"),
        extra_headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"},
    )
    assert raw.headers["x-langwatch-trace-id"] == trace_id
    trace = stack.trace(raw.headers[REQUEST_ID])
    assert trace["trace_id"] == trace_id
    span = next(span for span in trace["spans"] if span["type"] == "llm")
    assert span["parent_id"] == "b7ad6b7169203331"


def test_the_provider_gets_its_own_key_and_never_the_virtual_one(client, stack):
    word = marker()
    client.chat.completions.create(**ask(word), extra_headers={"openai-beta": "assistants=v2"})
    [seen] = stack.saw(word)
    assert stack.key not in json.dumps(seen)
    real = hashlib.sha256(b"sk-the-real-openai-key").hexdigest()
    assert seen["headers"]["authorization"] == f"sha256:{real}"
    assert json.loads(seen["body"]) == ask(word)


def test_a_chat_stream_with_usage_ends_with_a_chunk_without_choices(client, stack):
    raw = client.chat.completions.with_raw_response.create(
        **ask("stream please"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())
    assert text_of(chunks) == echo("stream please")
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    usage = chunks[-1].usage
    trace = stack.billed(
        raw.headers[REQUEST_ID],
        OPENAI_MODEL,
        prompt=usage.prompt_tokens,
        completion=usage.completion_tokens,
    )
    assert trace["output"]["value"] == echo("stream please")


def test_a_chat_stream_without_asking_for_usage_is_billed_all_the_same(client, stack):
    raw = client.chat.completions.with_raw_response.create(**ask("no usage asked"), stream=True)
    chunks = list(raw.parse())
    assert text_of(chunks) == echo("no usage asked")
    stack.billed(raw.headers[REQUEST_ID], OPENAI_MODEL, prompt=3, completion=10)


def test_the_stream_helper_gathers_a_whole_completion(client):
    with client.chat.completions.stream(**ask("gather this")) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == echo("gather this")


def test_a_long_stream_arrives_whole_and_in_order(client, stack):
    text = " ".join(f"w{n}" for n in range(3000))
    stream = client.chat.completions.create(**ask(said("long", text=text)), stream=True)
    assert text_of(stream) == text


def text_of(chunks) -> str:
    pieces = (choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    return "".join(pieces)


def test_a_tool_call_arrives_with_its_arguments(client, stack):
    raw = client.chat.completions.with_raw_response.create(
        **ask(said("weather in Paris", tool_call=True)), tools=[TOOL]
    )
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"input": "weather in Paris"}
    trace = stack.trace(raw.headers[REQUEST_ID])
    assert "weather in Paris" in json.dumps(trace["spans"])
    assert trace["metrics"]["completion_tokens"] == answer.usage.completion_tokens


def test_a_streamed_tool_call_adds_up_to_its_arguments(client):
    with client.chat.completions.stream(
        **ask(said("weather in Rome", tool_call=True)), tools=[TOOL]
    ) as stream:
        answer = stream.get_final_completion()
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"input": "weather in Rome"},
    )


def test_a_structured_answer_parses_into_a_model(client):
    class City(pydantic.BaseModel):
        name: str

    answer = client.chat.completions.parse(
        **ask(said("name one", text='{"name": "Oslo"}')), response_format=City
    )
    assert answer.choices[0].message.parsed == City(name="Oslo")


def test_a_response_is_answered_and_billed(client, stack):
    raw = client.responses.with_raw_response.create(model=OPENAI_MODEL, input="respond to me")
    answer = raw.parse()
    assert answer.status == "completed"
    assert answer.output_text == echo("respond to me")
    trace = stack.billed(
        raw.headers[REQUEST_ID],
        OPENAI_MODEL,
        prompt=answer.usage.input_tokens,
        completion=answer.usage.output_tokens,
    )
    assert trace["input"]["value"] == "respond to me"
    assert trace["output"]["value"] == echo("respond to me")


def test_a_response_stream_ends_completed_and_is_billed(client, stack):
    raw = client.responses.with_raw_response.create(
        model=OPENAI_MODEL, input="respond in pieces", stream=True
    )
    events = list(raw.parse())
    assert events[0].type == "response.created"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == echo("respond in pieces")
    assert events[-1].type == "response.completed"
    usage = events[-1].response.usage
    trace = stack.billed(
        raw.headers[REQUEST_ID],
        OPENAI_MODEL,
        prompt=usage.input_tokens,
        completion=usage.output_tokens,
    )
    assert trace["output"]["value"] == echo("respond in pieces")


def test_the_response_stream_helper_gathers_a_whole_response(client):
    with client.responses.stream(model=OPENAI_MODEL, input="gather this") as stream:
        answer = stream.get_final_response()
    assert answer.output_text == echo("gather this")


def test_a_response_with_a_tool_and_reasoning_arrives(client):
    tool = {"type": "function", **TOOL["function"], "strict": False}
    answer = client.responses.create(
        model=OPENAI_MODEL,
        input=said("weather in Lima", tool_call=True, thinking=True),
        tools=[tool],
    )
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"input": "weather in Lima"}
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


def test_embeddings_are_asked_for_as_base64_and_equal_the_plain_ones(client, stack):
    word = marker()
    raw = client.embeddings.with_raw_response.create(model=EMBEDDING_MODEL, input=[word, "other"])
    packed = raw.parse()
    [seen] = stack.saw(word)
    assert json.loads(seen["body"])["encoding_format"] == "base64"
    plain = client.embeddings.create(
        model=EMBEDDING_MODEL, input=[word, "other"], encoding_format="float"
    )
    assert len(packed.data) == len(plain.data) == 2
    for ours, theirs in zip(packed.data, plain.data, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
    stack.billed(
        raw.headers[REQUEST_ID], EMBEDDING_MODEL, prompt=packed.usage.prompt_tokens, completion=0
    )


def test_embeddings_asked_for_as_base64_by_hand_stay_base64(client):
    answer = client.embeddings.create(model=EMBEDDING_MODEL, input="one", encoding_format="base64")
    packed = base64.b64decode(answer.data[0].embedding)
    assert len(struct.unpack(f"<{len(packed) // 4}f", packed)) > 1


def test_models_are_listed_and_found_one_by_one(client):
    listed = {model.id: model.owned_by for model in client.models.list()}
    assert listed[OPENAI_MODEL] == "openai"
    assert listed["claude-haiku-4-5"] == "anthropic"
    found = client.models.retrieve(OPENAI_MODEL)
    assert (found.id, found.object, found.owned_by) == (OPENAI_MODEL, "model", "openai")


def test_an_unknown_model_is_not_found_in_the_list(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "not_found"


def test_a_prefix_names_the_vendor_and_never_reaches_it(client, stack):
    word = marker()
    raw = client.chat.completions.with_raw_response.create(
        **ask(word) | {"model": f"openai/{OPENAI_MODEL}"}
    )
    assert raw.headers["x-langwatch-model"] == OPENAI_MODEL
    assert raw.parse().model == OPENAI_MODEL
    [seen] = stack.saw(word)
    assert json.loads(seen["body"])["model"] == OPENAI_MODEL


def test_an_alias_of_the_key_reaches_its_model(stack):
    config = {"model_aliases": {"gpt-fast": f"openai/{OPENAI_MODEL}"}}
    _, secret = stack.mint("with an alias", config)
    with openai.OpenAI(base_url=stack.openai_url, api_key=secret, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(**ask("x") | {"model": "gpt-fast"})
        assert raw.parse().model == raw.headers["x-langwatch-model"] == OPENAI_MODEL
        assert "gpt-fast" in {model.id for model in client.models.list()}
    trace = stack.trace(raw.headers[REQUEST_ID])
    span = next(span for span in trace["spans"] if span["type"] == "llm")
    assert span["attributes"]["langwatch.model_source"] == "alias"


def test_the_async_client_asks_ten_times_at_once(stack):
    async def all_of_them():
        async with openai.AsyncOpenAI(
            base_url=stack.openai_url, api_key=stack.key, max_retries=0
        ) as client:

            async def one(n: int) -> str:
                if n % 2:
                    answer = await client.chat.completions.create(**ask(f"number {n}"))
                    return answer.choices[0].message.content
                stream = await client.chat.completions.create(**ask(f"number {n}"), stream=True)
                return text_of([chunk async for chunk in stream])

            return await asyncio.gather(*(one(n) for n in range(10)))

    assert asyncio.run(all_of_them()) == [echo(f"number {n}") for n in range(10)]


TYPED = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", TYPED)
def test_an_error_of_the_provider_raises_its_own_exception(client, stack, status, stream):
    directive = {"status": status, "error_message": f"said with {status}"}
    with pytest.raises(TYPED[status]) as caught:
        client.chat.completions.create(**ask(said("fail", **directive)), stream=stream)
    error = caught.value
    assert type(error) is TYPED[status]
    assert error.status_code == status
    assert error.body["message"] == f"said with {status}"
    headers = error.response.headers
    assert headers["x-langwatch-provider"] == "openai"
    assert "x-langwatch-handled-error" not in headers
    assert error.request_id == headers["x-request-id"]
    trace = stack.trace(headers[REQUEST_ID])
    assert trace["error"] is not None
    assert not trace["metrics"]["total_cost"]


def test_a_wrong_key_raises_an_authentication_error(stack):
    with openai.OpenAI(base_url=stack.openai_url, api_key="vk-lw-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(**ask("let me in"))
    assert_ours(caught.value, "invalid_api_key")


def test_a_model_outside_the_keys_list_raises_permission_denied(stack):
    _, secret = stack.mint("with a list", {"modelsAllowed": [OPENAI_MODEL]})
    with openai.OpenAI(base_url=stack.openai_url, api_key=secret) as client:
        assert client.chat.completions.create(**ask("allowed")).choices
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(**ask("denied") | {"model": "gpt-4o"})
        assert_ours(caught.value, "model_not_allowed")
        assert "gpt-4o" in caught.value.message
        assert caught.value.param == "model"


def test_a_model_that_nobody_serves_raises_permission_denied(client):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(**ask("who") | {"model": "groq/llama"})
    assert_ours(caught.value, "model_not_allowed")


def test_a_disabled_key_is_refused_until_it_is_enabled_and_a_revoked_one_for_good(stack):
    key_id, secret = stack.mint("on and off")
    with openai.OpenAI(base_url=stack.openai_url, api_key=secret) as client:

        def refused(code: str):
            with pytest.raises(openai.PermissionDeniedError) as caught:
                client.chat.completions.create(**ask("still there?"))
            assert_ours(caught.value, code)

        assert client.chat.completions.create(**ask("before")).choices
        stack.cli("virtual-keys", "disable", key_id)
        refused("virtual_key_disabled")
        stack.cli("virtual-keys", "enable", key_id)
        assert client.chat.completions.create(**ask("after")).choices
        stack.cli("virtual-keys", "revoke", key_id)
        refused("virtual_key_revoked")


def test_a_request_without_a_model_raises_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"messages": []}, cast_to=object)
    assert_ours(caught.value, "missing_model")


def test_an_unknown_path_raises_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/no-such-thing", body={"model": OPENAI_MODEL}, cast_to=object)
    assert_ours(caught.value, "not_found")


def test_a_provider_that_hangs_up_raises_an_internal_server_error(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(**ask(said("reset", reset_before_head=True)))
    assert caught.value.status_code == 502
    assert_ours(caught.value, "provider_error")


def test_the_request_limit_of_a_key_raises_a_rate_limit_error(stack):
    _, secret = stack.mint("slow", {"rateLimits": {"rpm": 1}})
    with openai.OpenAI(base_url=stack.openai_url, api_key=secret, max_retries=0) as client:
        client.chat.completions.create(**ask("first"))
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**ask("second"))
    error = caught.value
    assert_ours(error, "vk_rate_limit_exceeded")
    assert error.type == "rate_limit_exceeded"
    assert 0 < int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["x-langwatch-ratelimit-dimension"] == "rpm"
    assert error.response.headers["x-ratelimit-limit-requests"] == "1"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


def assert_ours(error: openai.APIStatusError, code: str) -> None:
    """An error that the gateway authored."""
    assert error.code == code, error
    assert error.message and error.body["message"]
    headers = error.response.headers
    assert headers["x-langwatch-handled-error"] == code
    assert headers[REQUEST_ID].startswith("req_")
    assert error.request_id == headers["x-request-id"]
    assert "x-langwatch-provider" not in headers
    if "trace_id" in error.body:
        assert error.body["trace_id"] == headers["x-langwatch-trace-id"]


def test_the_sdk_waits_as_long_as_the_provider_says_and_tries_again(stack):
    word = marker()
    stack.script({"match": {"body_contains": word}, "status": 429, "retry_after": "1"})
    with openai.OpenAI(base_url=stack.openai_url, api_key=stack.key, max_retries=2) as client:
        before = time.monotonic()
        answer = client.chat.completions.create(**ask(word))
    # Without the header the SDK would come back after half a second at most.
    assert time.monotonic() - before >= 1
    assert answer.choices[0].message.content == echo(word)
    assert len(stack.saw(word)) == 2


def test_the_sdk_tries_again_after_a_server_error(stack):
    word = marker()
    stack.script({"match": {"body_contains": word}, "status": 500})
    with openai.OpenAI(base_url=stack.openai_url, api_key=stack.key, max_retries=1) as client:
        assert client.chat.completions.create(**ask(word)).choices
    assert len(stack.saw(word)) == 2


def test_the_sdk_does_not_try_again_when_the_provider_says_so(stack):
    word = marker()
    headers = {"x-should-retry": "false"}
    stack.script({"match": {"body_contains": word}, "status": 500, "headers": headers})
    with openai.OpenAI(base_url=stack.openai_url, api_key=stack.key, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ask(word))
    assert len(stack.saw(word)) == 1


BREAKS = {
    "the connection is reset": {"reset_after_frames": 2},
    "the connection is closed": {"close_after_frames": 2},
}


@pytest.mark.parametrize("directive", BREAKS.values(), ids=BREAKS)
def test_a_chat_stream_that_breaks_raises_after_what_had_arrived(client, stack, directive):
    raw = client.chat.completions.with_raw_response.create(
        **ask(said("break here", **directive)), stream=True
    )
    chunks = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in raw.parse():
            chunks.append(chunk)
    assert text_of(chunks) == "You said: "
    assert caught.value.code == "upstream_mid_stream_failure"
    assert caught.value.type == "provider_error"
    trace = stack.trace(raw.headers[REQUEST_ID])
    assert trace["error"] is not None
    assert trace["output"]["value"] == "You said: "


def test_a_chat_stream_in_which_the_provider_reports_an_error_raises_its_words(client, stack):
    directive = {"error_event_after_frames": 2, "error_message": "out of capacity"}
    raw = client.chat.completions.with_raw_response.create(
        **ask(said("break here", **directive)), stream=True
    )
    chunks = []
    with pytest.raises(openai.APIError, match="out of capacity"):
        for chunk in raw.parse():
            chunks.append(chunk)
    assert text_of(chunks) == "You said: "
    assert stack.trace(raw.headers[REQUEST_ID])["error"] is not None


@pytest.mark.parametrize("directive", BREAKS.values(), ids=BREAKS)
def test_a_response_stream_that_breaks_raises(client, directive):
    stream = client.responses.create(
        model=OPENAI_MODEL, input=said("break here", **directive), stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "upstream_mid_stream_failure"


def test_a_client_that_gives_up_raises_a_timeout_and_the_provider_is_let_go(client, stack):
    gone, word = stack.disconnects(), marker()
    prompt = said(word, stall_before_head=True)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=1).chat.completions.create(**ask(prompt))
    until(lambda: stack.disconnects() > gone, "the provider to be let go")
    [found] = until(
        lambda: stack.cli("trace", "search", "-q", word)["traces"], "the trace of the lost call"
    )
    [request_id] = found["metadata"]["gateway_request_ids"]
    assert "client_disconnected" in json.dumps(stack.trace(request_id)["spans"])


def test_a_client_that_leaves_a_stream_lets_the_provider_go(client, stack):
    gone = stack.disconnects()
    raw = client.chat.completions.with_raw_response.create(
        **ask(said("leave early", stall_after_frames=2)), stream=True
    )
    stream = raw.parse()
    next(iter(stream))
    stream.close()
    until(lambda: stack.disconnects() > gone, "the provider to be let go")
    trace = stack.trace(raw.headers[REQUEST_ID])
    assert "client_disconnected" in json.dumps(trace["spans"])
