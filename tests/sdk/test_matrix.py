"""Every official SDK against every kind of provider: what an application asks for reaches the provider in
the provider's own dialect, and what the provider answers reaches the application in the SDK's own types.

A case is written once for all pairs. `lanes.SERVED` says which pairs there are; what a pair cannot do
stands in the tables here, with the reason.
"""

import base64
import contextlib
import http.server
import json
import threading

import anthropic
import openai
import pytest
from anthropic import _exceptions as anthropic_exceptions
from google.genai import errors as google_errors

import dialects
from lanes import CHAT, GEMINI, MESSAGES, PAIRS, RESPONSES, Kind
from spoken import CONVERSE, Spoken
from stack import marker, said
from surfaces import Tool, Usage, talk

over_every_pair = pytest.mark.parametrize(
    ("surface", "kind"), PAIRS, ids=[f"{surface}-to-{kind.name}" for surface, kind in PAIRS]
)
plain_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])

PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER, TIME = Tool("weather", PLACE), Tool("local_time", PLACE)

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one point, as base64."""

TELLS_STOP_SEQUENCES = {MESSAGES, CONVERSE}
"""Dialects that tell a stop sequence from an end; the others say `stop` for both."""

TAKES_NO_STOP = {RESPONSES}
"""Dialects without stop sequences."""

SPELLS_STOP = {
    CHAT: "stop",
    MESSAGES: "stop_sequences",
    GEMINI: "generationConfig.stopSequences",
}
"""What the callers of a dialect know them by."""

TAKES_NO_ADDRESS = {CONVERSE, GEMINI}
"""Dialects for which the gateway fetches a picture: they take no web address."""

SHOWS_NO_THOUGHT = {CHAT}
"""OpenAI's chat keeps its reasoning to itself; only its count is told."""

COUNTS_THOUGHT = {CHAT, RESPONSES, GEMINI}
"""Dialects that count reasoning apart."""

MARKS_ERRORS = {MESSAGES, CONVERSE}
"""Dialects whose tool results can be marked as failed, by the callers and at the provider."""


@pytest.fixture
def open_talk(connected):
    return lambda surface, kind: talk(connected, surface, kind)


def answer(*parts: dict, **more) -> dict:
    return {"answer": {"parts": list(parts), **more}}


def turns(*parts: list[dict] | dict) -> dict:
    """The directive of a tool loop."""
    return {"turns": [{"parts": it if isinstance(it, list) else [it]} for it in parts]}


def call(name: str, place: str) -> dict:
    return {"tool": {"name": name, "arguments": {"place": place}}}


def last_asked(stack, word: str, surface: str, kind: Kind) -> Spoken:
    """The newest request with this word as the provider got it, which must be a proper one."""
    request = stack.saw(word)[-1]
    spoken = Spoken.of(request)
    native = surface in kind.natives
    assert spoken.dialect == surface if native else spoken.dialect in {kind.dialect, RESPONSES}
    problems = [] if native else dialects.request_problems(spoken.dialect, judged(kind, spoken))
    assert not problems, "\n".join(problems)
    return spoken


def judged(kind: Kind, spoken: Spoken) -> dict:
    """A body as the vendor's SDK declares it: Claude's has its model in the address on other clouds."""
    body = dict(spoken.body)
    if spoken.dialect == MESSAGES and kind.provider != "anthropic":
        body.pop("anthropic_version")
        body.pop("anthropic_beta", None)
        assert "model" not in body
        body["model"] = kind.model
    return body


@over_every_pair
@plain_and_streamed
def test_an_answer_arrives(connected, open_talk, surface, kind, stream):
    word = marker()
    it = open_talk(surface, kind)
    it.user(said(f"hello {word}", text="What was asked for, in Zürich — 東京 🙂."))
    got = it.ask(stream=stream)
    assert (got.text, got.stop, got.calls) == ("What was asked for, in Zürich — 東京 🙂.", "end", ())
    assert last_asked(connected, word, surface, kind).says(f"hello {word}")
    if surface not in kind.natives:
        assert got.model == kind.name, "a translated answer goes by the caller's name for the model"


@over_every_pair
@plain_and_streamed
def test_a_system_prompt_and_the_turns_before_reach_the_provider(
    connected, open_talk, surface, kind, stream
):
    word, rule = marker(), marker()
    it = open_talk(surface, kind)
    for text, reply in (("first", "one"), ("second", "two")):
        it.user(said(f"{text} {word}", text=reply))
        assert it.ask(system=f"Obey {rule}.", stream=stream).text == reply
    asked = last_asked(connected, word, surface, kind)
    assert asked.system == f"Obey {rule}."
    roles = [role for role, _ in asked.said]
    assert roles == ["user", "assistant", "user"]
    assert asked.said[0][1].startswith(f"first {word}")
    assert asked.said[1][1] == "one"


@over_every_pair
@plain_and_streamed
def test_a_tool_is_called_and_its_result_goes_back(connected, open_talk, surface, kind, stream):
    word = marker()
    it = open_talk(surface, kind)
    it.user(said(f"weather {word}", **turns([call("weather", "Oslo")], [{"text": "It rains."}])))
    got = it.ask(tools=(WEATHER, TIME), stream=stream)
    [made] = got.calls
    assert (made.name, made.arguments, got.stop) == ("weather", {"place": "Oslo"}, "tool")
    it.results((made, '{"rain": true}', False))
    got = it.ask(tools=(WEATHER, TIME), stream=stream)
    assert (got.text, got.stop) == ("It rains.", "end")
    asked = last_asked(connected, word, surface, kind)
    assert asked.tools == ["weather", "local_time"]
    assert asked.calls == [("weather", {"place": "Oslo"})]
    [(result, _)] = asked.results
    assert "rain" in result


@over_every_pair
@plain_and_streamed
def test_two_tools_are_called_at_once_and_keep_their_order(
    connected, open_talk, surface, kind, stream
):
    word, first, second = marker(), marker(), marker()
    both = [{"text": "Both."}, call("weather", "Oslo"), call("local_time", "Lima")]
    it = open_talk(surface, kind)
    it.user(said(f"both {word}", **turns(both, [{"text": "Done."}])))
    got = it.ask(tools=(WEATHER, TIME), stream=stream)
    assert got.text == "Both."
    assert [(made.name, made.arguments) for made in got.calls] == [
        ("weather", {"place": "Oslo"}),
        ("local_time", {"place": "Lima"}),
    ]
    assert surface == GEMINI or len({made.id for made in got.calls}) == 2
    it.results((got.calls[0], first, False), (got.calls[1], second, False))
    assert it.ask(tools=(WEATHER, TIME), stream=stream).text == "Done."
    asked = last_asked(connected, word, surface, kind)
    assert [name for name, _ in asked.calls] == ["weather", "local_time"]
    assert [first in asked.results[0][0], second in asked.results[1][0]] == [True, True]


@over_every_pair
def test_a_tool_that_failed_is_told_to_the_provider(connected, open_talk, surface, kind):
    word, why = marker(), marker()
    it = open_talk(surface, kind)
    it.user(said(f"fail {word}", **turns([call("weather", "Oslo")], [{"text": "Sorry."}])))
    [made] = it.ask(tools=(WEATHER,)).calls
    it.results((made, why, True))
    assert it.ask(tools=(WEATHER,)).text == "Sorry."
    [(result, is_error)] = last_asked(connected, word, surface, kind).results
    assert why in result
    if {surface, last_asked(connected, word, surface, kind).dialect} <= MARKS_ERRORS:
        assert is_error is True


@over_every_pair
@pytest.mark.parametrize("choice", ["auto", "any", "none", "local_time"])
def test_the_choice_of_tools_reaches_the_provider(connected, open_talk, surface, kind, choice):
    word = marker()
    it = open_talk(surface, kind)
    it.user(said(word, text="fine"))
    it.ask(tools=(WEATHER, TIME), choice=choice)
    asked = last_asked(connected, word, surface, kind)
    if choice == "none" and asked.dialect == CONVERSE:
        # Converse has no word for it.
        assert (asked.tools, asked.choice) == ([], None)
        return
    assert asked.choice == (["local_time"] if choice == "local_time" else choice)


@over_every_pair
@plain_and_streamed
def test_a_schema_reaches_the_provider_and_its_answer_reads(
    connected, open_talk, surface, kind, stream
):
    word = marker()
    schema = PLACE | {"additionalProperties": False, "description": word}
    it = open_talk(surface, kind)
    it.user(said("where", text='{"place": "Lima"}'))
    got = it.ask(schema=schema, stream=stream)
    assert json.loads(got.text) == {"place": "Lima"}
    asked = last_asked(connected, word, surface, kind)
    assert asked.schema["properties"] == PLACE["properties"]


@over_every_pair
def test_a_picture_reaches_the_provider(connected, open_talk, surface, kind):
    word = marker()
    it = open_talk(surface, kind)
    it.user(said(f"what is this {word}", text="a point"), image=f"data:image/png;base64,{PIXEL}")
    assert it.ask().text == "a point"
    assert last_asked(connected, word, surface, kind).images == [PIXEL]


@over_every_pair
def test_a_picture_on_the_web_reaches_the_provider(connected, open_talk, surface, kind):
    word = marker()
    it = open_talk(surface, kind)
    with gallery() as address:
        it.user(said(f"what is this {word}", text="a point"), image=address)
        assert it.ask().text == "a point"
    asked = last_asked(connected, word, surface, kind)
    fetched = surface not in kind.natives and asked.dialect in TAKES_NO_ADDRESS
    assert asked.images == [PIXEL if fetched else address]


@contextlib.contextmanager
def gallery():
    """A web server with one picture."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = base64.b64decode(PIXEL)
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/point.png"
        server.shutdown()


@over_every_pair
@plain_and_streamed
def test_reasoning_arrives_and_goes_back_as_it_came(connected, open_talk, surface, kind, stream):
    if surface == kind.dialect == CHAT:
        # Nothing to see, and nothing to give back.
        return
    word, thought = marker(), "First I look at the map."
    parts = [{"thinking": thought}, call("weather", "Oslo")]
    it = open_talk(surface, kind)
    it.user(said(f"think {word}", **turns(parts, [{"text": "It rains."}])))
    got = it.ask(tools=(WEATHER,), think=True, stream=stream)
    asked = last_asked(connected, word, surface, kind)
    if asked.dialect not in SHOWS_NO_THOUGHT:
        assert got.thought == thought
    [made] = got.calls
    it.results((made, "rain", False))
    # The mock refuses a signature that it has not made.
    assert it.ask(tools=(WEATHER,), think=True, stream=stream).text == "It rains."
    asked = last_asked(connected, word, surface, kind)
    if asked.dialect not in SHOWS_NO_THOUGHT:
        assert any(signature for _, signature in asked.thoughts)


@over_every_pair
@plain_and_streamed
def test_stop_sequences_reach_the_provider_or_are_named_as_dropped(
    connected, open_talk, surface, kind, stream
):
    if surface in TAKES_NO_STOP:
        return
    word = marker()
    it = open_talk(surface, kind)
    stopped = answer({"text": "until here"}, stop="stop_sequence", stop_sequence="END")
    it.user(said(word, **stopped))
    got = it.ask(stop=("END", "FIN"), stream=stream)
    assert got.text == "until here"
    asked = last_asked(connected, word, surface, kind)
    if asked.dialect in TAKES_NO_STOP:
        dropped = it.headers["x-langwatch-params-dropped"].split(",")
        assert SPELLS_STOP[surface] in {name.strip() for name in dropped}
        return
    assert asked.stop == ["END", "FIN"]
    told = surface in TELLS_STOP_SEQUENCES and asked.dialect in TELLS_STOP_SEQUENCES
    assert got.stop == ("stop_sequence" if told else "end")


@over_every_pair
@plain_and_streamed
def test_an_output_cap_reaches_the_provider_and_is_told_when_met(
    connected, open_talk, surface, kind, stream
):
    word = marker()
    it = open_talk(surface, kind)
    it.user(said(word, **answer({"text": "cut off"}, stop="length")))
    got = it.ask(cap=321, stream=stream)
    assert (got.text, got.stop) == ("cut off", "length")
    assert last_asked(connected, word, surface, kind).cap == 321


@over_every_pair
@plain_and_streamed
def test_an_answer_that_the_filter_cut_is_told(connected, open_talk, surface, kind, stream):
    it = open_talk(surface, kind)
    it.user(said("rude", **answer({"text": "I"}, stop="filter")))
    assert it.ask(stream=stream).stop == "filter"


@over_every_pair
@plain_and_streamed
def test_usage_is_what_the_provider_counted(connected, open_talk, surface, kind, stream):
    word = marker()
    counted = {
        "prompt_tokens": 2100,
        "completion_tokens": 130,
        "cached_tokens": 500,
        "reasoning_tokens": 30,
    }
    it = open_talk(surface, kind)
    it.user(said(word, text="counted", usage=counted))
    got = it.ask(stream=stream)
    dialect = last_asked(connected, word, surface, kind).dialect
    apart = surface in COUNTS_THOUGHT and dialect in COUNTS_THOUGHT
    reasoning = None if surface == MESSAGES else 30 if apart else 0
    assert got.usage == Usage(2100, 130, 500, reasoning)
    trace = connected.trace(it.headers["x-langwatch-request-id"])
    metrics = trace["metrics"]
    # Classes of tokens stand beside one another in traces, where each has its price.
    assert metrics["prompt_tokens"] == 2100 - 500
    assert metrics["cache_read_input_tokens"] == 500
    assert metrics["completion_tokens"] == 130
    assert metrics["tokens_estimated"] is False


OPENAI_ERRORS = {
    500: openai.InternalServerError,
    401: openai.AuthenticationError,
    529: openai.InternalServerError,
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}
"""Failures of the server stand apart: ten in a row would open the circuit of a row."""

ERRORS = {
    CHAT: OPENAI_ERRORS,
    RESPONSES: OPENAI_ERRORS,
    MESSAGES: {
        500: anthropic.InternalServerError,
        401: anthropic.AuthenticationError,
        529: anthropic_exceptions.OverloadedError,
        400: anthropic.BadRequestError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
    },
    GEMINI: {
        500: google_errors.ServerError,
        401: google_errors.ClientError,
        529: google_errors.ServerError,
        400: google_errors.ClientError,
        404: google_errors.ClientError,
        429: google_errors.ClientError,
    },
}


@over_every_pair
@plain_and_streamed
@pytest.mark.parametrize("status", OPENAI_ERRORS)
def test_an_error_of_the_provider_raises_the_sdks_own_exception(
    connected, open_talk, surface, kind, stream, status
):
    why = f"said with {status}"
    directive = {"status": status, "error_message": why}
    if status == 429:
        directive["retry_after"] = "7"
    it = open_talk(surface, kind)
    it.user(said("fail", **directive))
    with pytest.raises(ERRORS[surface][status]) as caught:
        it.ask(stream=stream)
    error = caught.value
    assert type(error) is ERRORS[surface][status]
    assert why in str(error)
    assert (error.code if surface == GEMINI else error.status_code) == status
    assert it.headers["x-langwatch-provider"] == kind.answers_as
    assert "x-langwatch-handled-error" not in it.headers
    assert it.headers.get("retry-after") == ("7" if status == 429 else None)
