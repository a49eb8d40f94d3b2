"""The Anthropic SDK, unchanged but for its base URL and its key."""

import asyncio
import hashlib
import json

import anthropic
import httpx
import pytest

from stack import ANTHROPIC_MODEL, DEADLINE, echo, marker, said, until

REQUEST_ID = "x-langwatch-request-id"
TOOL = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}},
}


@pytest.fixture
def client(stack):
    with anthropic.Anthropic(
        base_url=stack.gateway, api_key=stack.key, max_retries=0, timeout=DEADLINE
    ) as client:
        yield client


def ask(text: str) -> dict:
    return {
        "model": ANTHROPIC_MODEL,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": text}],
    }


def test_an_application_changes_two_environment_variables_and_nothing_else(stack, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", stack.gateway)
    monkeypatch.setenv("ANTHROPIC_API_KEY", stack.key)
    with anthropic.Anthropic() as client:
        answer = client.messages.create(**ask("two values"))
    assert answer.content[0].text == echo("two values")


def test_a_message_is_answered_and_its_trace_shows_text_tokens_and_cost(client, stack):
    raw = client.messages.with_raw_response.create(**ask("hello there"), system="be brief")
    answer = raw.parse()
    assert answer.content[0].text == echo("hello there")
    assert answer.stop_reason == "end_turn"
    trace = stack.billed(
        raw.headers[REQUEST_ID],
        ANTHROPIC_MODEL,
        prompt=answer.usage.input_tokens,
        completion=answer.usage.output_tokens,
    )
    assert "hello there" in trace["input"]["value"]
    assert trace["output"]["value"] == echo("hello there")


def test_every_answer_carries_the_gateways_headers_and_the_providers(client):
    raw = client.messages.with_raw_response.create(**ask("headers"))
    headers = raw.headers
    assert headers[REQUEST_ID] == headers["x-langwatch-gateway-request-id"]
    trace_id, span_id = headers["x-langwatch-trace-id"], headers["x-langwatch-span-id"]
    assert headers["traceparent"] == f"00-{trace_id}-{span_id}-01"
    assert headers["x-langwatch-provider"] == "anthropic"
    assert headers["x-langwatch-model"] == ANTHROPIC_MODEL
    assert headers["anthropic-ratelimit-requests-limit"] == "4000"
    assert raw.parse()._request_id == headers["request-id"]
    assert headers["request-id"].startswith("req_mock_")


def test_a_key_is_taken_from_either_header(stack):
    for header in ({"x-api-key": stack.key}, {"authorization": f"Bearer {stack.key}"}):
        answer = httpx.post(
            f"{stack.gateway}/v1/messages",
            headers={**header, "anthropic-version": "2023-06-01"},
            json=ask("either"),
        )
        assert answer.status_code == 200, answer.text
    with anthropic.Anthropic(base_url=stack.gateway, auth_token=stack.key) as client:
        assert client.messages.create(**ask("bearer")).content[0].text == echo("bearer")


def test_the_query_reaches_the_provider(client, stack):
    word = marker()
    client.messages.create(**ask(word), extra_query={"beta": "true"})
    [seen] = stack.saw(word)
    assert seen["path"] == "/v1/messages?beta=true"


def test_version_and_beta_reach_the_provider_and_the_virtual_key_does_not(client, stack):
    word = marker()
    client.beta.messages.create(**ask(word), betas=["context-1m-2025-08-07"])
    [seen] = stack.saw(word)
    # Newer lines of the SDK leave the query out.
    assert seen["path"] in ("/v1/messages", "/v1/messages?beta=true")
    headers = seen["headers"]
    assert headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert headers["anthropic-version"] == client.default_headers["anthropic-version"]
    real = hashlib.sha256(b"sk-ant-the-real-anthropic-key").hexdigest()
    assert headers["x-api-key"] == f"sha256:{real}"
    assert "authorization" not in headers
    assert stack.key not in json.dumps(seen)
    sent = json.loads(seen["body"])
    assert sent == ask(word)


def test_the_stream_helper_gives_the_text_and_the_whole_message(client, stack):
    with client.messages.stream(**ask("stream please")) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
        headers = stream.response.headers
    assert text == answer.content[0].text == echo("stream please")
    assert answer.stop_reason == "end_turn"
    trace = stack.billed(
        headers[REQUEST_ID],
        ANTHROPIC_MODEL,
        prompt=answer.usage.input_tokens,
        completion=answer.usage.output_tokens,
    )
    assert trace["output"]["value"] == echo("stream please")


def test_a_plain_event_stream_keeps_every_event_in_order(client):
    events = [event.type for event in client.messages.create(**ask("events"), stream=True)]
    assert events[0] == "message_start"
    assert events[-2:] == ["message_delta", "message_stop"]
    starts = events.index("content_block_start"), events.index("content_block_stop")
    assert starts[0] < starts[1]


def test_a_tool_is_called_with_its_arguments(client, stack):
    raw = client.messages.with_raw_response.create(
        **ask(said("weather in Paris", tool_call=True)), tools=[TOOL]
    )
    answer = raw.parse()
    assert answer.stop_reason == "tool_use"
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("weather", {"input": "weather in Paris"})
    trace = stack.trace(raw.headers[REQUEST_ID])
    assert trace["metrics"]["completion_tokens"] == answer.usage.output_tokens


def test_a_streamed_tool_call_adds_up_to_its_arguments(client):
    with client.messages.stream(
        **ask(said("weather in Rome", tool_call=True)), tools=[TOOL]
    ) as stream:
        answer = stream.get_final_message()
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert call.input == {"input": "weather in Rome"}


def test_thinking_arrives_before_the_text_and_is_billed(client, stack):
    budget = {"type": "enabled", "budget_tokens": 1024}
    asked = ask("think about it") | {"max_tokens": 4096, "thinking": budget}
    raw = client.messages.with_raw_response.create(**asked)
    answer = raw.parse()
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking
    stack.billed(
        raw.headers[REQUEST_ID],
        ANTHROPIC_MODEL,
        prompt=answer.usage.input_tokens,
        completion=answer.usage.output_tokens,
    )
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == ["thinking", "text"]


def test_tokens_are_counted_without_a_bill(client):
    raw = client.messages.with_raw_response.count_tokens(
        model=ANTHROPIC_MODEL, messages=[{"role": "user", "content": "four words of text"}]
    )
    assert raw.parse().input_tokens == 4


def test_models_are_listed_in_the_vendors_own_shape(client):
    listed = {model.id: model.type for model in client.models.list()}
    assert listed[ANTHROPIC_MODEL] == "model"
    found = client.models.retrieve(ANTHROPIC_MODEL)
    assert (found.id, found.type) == (ANTHROPIC_MODEL, "model")
    assert found.display_name


def test_a_prefix_names_the_vendor_and_never_reaches_it(client, stack):
    word = marker()
    client.messages.create(**ask(word) | {"model": f"anthropic/{ANTHROPIC_MODEL}"})
    [seen] = stack.saw(word)
    assert json.loads(seen["body"])["model"] == ANTHROPIC_MODEL


def test_the_async_client_asks_ten_times_at_once(stack):
    async def all_of_them():
        async with anthropic.AsyncAnthropic(
            base_url=stack.gateway, api_key=stack.key, max_retries=0
        ) as client:

            async def one(n: int) -> str:
                async with client.messages.stream(**ask(f"number {n}")) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(one(n) for n in range(10)))

    assert asyncio.run(all_of_them()) == [echo(f"number {n}") for n in range(10)]


TYPED = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: "RequestTooLargeError",
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: "OverloadedError",
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", TYPED)
def test_an_error_of_the_provider_raises_its_own_exception(client, stack, status, stream):
    kind = TYPED[status]
    if isinstance(kind, str):
        from anthropic import _exceptions

        kind = getattr(_exceptions, kind)
    directive = {"status": status, "error_message": f"said with {status}"}
    with pytest.raises(kind) as caught:
        client.messages.create(**ask(said("fail", **directive)), stream=stream)
    error = caught.value
    assert type(error) is kind
    assert error.status_code == status
    assert error.body["error"]["message"] == f"said with {status}"
    headers = error.response.headers
    assert headers["x-langwatch-provider"] == "anthropic"
    assert "x-langwatch-handled-error" not in headers
    assert error.request_id == headers["request-id"]
    trace = stack.trace(headers[REQUEST_ID])
    assert trace["error"] is not None
    assert not trace["metrics"]["total_cost"]


def test_the_providers_own_complaint_about_max_tokens_is_passed_on(client):
    with pytest.raises(anthropic.BadRequestError, match="max_tokens") as caught:
        body = ask("no limit")
        del body["max_tokens"]
        client.post("/v1/messages", body=body, cast_to=object)
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert "x-langwatch-handled-error" not in caught.value.response.headers


def test_a_wrong_key_raises_an_authentication_error(stack):
    with anthropic.Anthropic(base_url=stack.gateway, api_key="vk-lw-wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(**ask("let me in"))
    assert_ours(caught.value, "invalid_api_key")


def test_a_model_outside_the_keys_list_raises_permission_denied(stack):
    _, secret = stack.mint("claude only", {"modelsAllowed": [ANTHROPIC_MODEL]})
    with anthropic.Anthropic(base_url=stack.gateway, api_key=secret) as client:
        assert client.messages.create(**ask("allowed")).content
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            client.messages.create(**ask("denied") | {"model": "claude-opus-4-5"})
    assert_ours(caught.value, "model_not_allowed")


def test_a_request_without_a_model_raises_bad_request(client):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.post("/v1/messages", body={"max_tokens": 1, "messages": []}, cast_to=object)
    assert_ours(caught.value, "missing_model")


def test_an_unknown_path_raises_not_found(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.post("/v1/no-such-thing", body={"model": ANTHROPIC_MODEL}, cast_to=object)
    assert caught.value.body["error"]["code"] == "not_found"


def assert_ours(error: anthropic.APIStatusError, code: str) -> None:
    """An error that the gateway authored, in the frame that this SDK reads."""
    assert error.body["type"] == "error"
    assert error.body["error"]["code"] == code
    assert error.body["error"]["message"] in str(error)
    headers = error.response.headers
    assert headers["x-langwatch-handled-error"] == code
    assert headers[REQUEST_ID].startswith("req_")
    assert "x-langwatch-provider" not in headers


def test_the_sdk_tries_again_when_the_provider_is_overloaded(stack):
    word = marker()
    stack.script({"match": {"body_contains": word}, "status": 529, "retry_after": "0.1"})
    with anthropic.Anthropic(base_url=stack.gateway, api_key=stack.key, max_retries=1) as client:
        assert client.messages.create(**ask(word)).content
    assert len(stack.saw(word)) == 2


BREAKS = {
    "the connection is reset": {"reset_after_frames": 2},
    "the connection is closed": {"close_after_frames": 2},
}


@pytest.mark.parametrize("directive", BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_raises_after_what_had_arrived(client, stack, directive):
    text = []
    with client.messages.stream(**ask(said("break here", **directive))) as stream:
        request_id = stream.response.headers[REQUEST_ID]
        with pytest.raises(anthropic.APIError) as caught:
            for piece in stream.text_stream:
                text.append(piece)
    assert "".join(text) == "You said: "
    assert caught.value.body["error"]["type"] == "api_error"
    assert caught.value.body["error"]["code"] == "upstream_mid_stream_failure"
    trace = stack.trace(request_id)
    assert trace["error"] is not None
    assert trace["output"]["value"] == "You said: "


def test_a_stream_in_which_the_provider_reports_an_error_raises_its_words(client, stack):
    directive = {"error_event_after_frames": 2, "error_message": "come back later"}
    with client.messages.stream(**ask(said("break here", **directive))) as stream:
        request_id = stream.response.headers[REQUEST_ID]
        with pytest.raises(anthropic.APIError, match="come back later") as caught:
            stream.until_done()
    assert caught.value.body["error"]["type"] == "overloaded_error"
    assert stack.trace(request_id)["error"] is not None


def test_a_client_that_gives_up_raises_a_timeout_and_the_provider_is_let_go(client, stack):
    gone = stack.disconnects()
    prompt = said("never", stall_before_head=True)
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=1).messages.create(**ask(prompt))
    until(lambda: stack.disconnects() > gone, "the provider to be let go")


def test_what_coding_tools_send_first_is_answered_with_nothing(stack):
    answer = httpx.head(f"{stack.gateway}/")
    assert (answer.status_code, answer.content) == (200, b"")
