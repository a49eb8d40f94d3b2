"""The judge itself: it must refuse, or its approval is worth nothing."""

import typing

import pydantic
import pytest
from anthropic.types import MessageCreateParams, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, CompletionCreateParams
from openai.types.responses import ResponseCreateParams, ResponseStreamEvent

from strict import problems

CHAT = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
MESSAGES = {
    "model": "m",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
}
RESPONSES = {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}]}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "hi", "refusal": None},
        }
    ],
}


def changed(value: dict, path: str, to) -> dict:
    """A copy with another value at a path; `...` takes it away."""
    key, _, rest = path.partition(".")
    place = int(key) if isinstance(value, list) else key
    copy = list(value) if isinstance(value, list) else dict(value)
    if rest:
        copy[place] = changed(copy[place], rest, to)
    elif to is ...:
        del copy[place]
    else:
        copy[place] = to
    return copy


def test_good_ones_pass():
    assert problems(CHAT, CompletionCreateParams) == []
    assert problems(MESSAGES, MessageCreateParams) == []
    assert problems(RESPONSES, ResponseCreateParams) == []
    assert problems(ANSWER, ChatCompletion) == []
    assert problems({"type": "ping"}, RawMessageStreamEvent) != []


@pytest.mark.parametrize(
    ("value", "hint", "path", "to", "says"),
    [
        (CHAT, CompletionCreateParams, "messages", ..., "without `messages`"),
        (CHAT, CompletionCreateParams, "top_k", 1, "no `top_k`"),
        (CHAT, CompletionCreateParams, "messages.0.content.0.type", "txt", ".type: 'txt'"),
        (CHAT, CompletionCreateParams, "messages.0.role", "owner", "'owner'"),
        (CHAT, CompletionCreateParams, "messages.0.content.0.text", 1, ".text: 1 is no str"),
        (CHAT, CompletionCreateParams, "temperature", True, "True is no"),
        (MESSAGES, MessageCreateParams, "max_tokens", ..., "without `max_tokens`"),
        (MESSAGES, MessageCreateParams, "max_tokens", 1.5, "1.5 is no int"),
        (MESSAGES, MessageCreateParams, "messages.0.content.0.txt", "x", "no `txt`"),
        (RESPONSES, ResponseCreateParams, "input.0.type", "bogus", "'bogus'"),
        (ANSWER, ChatCompletion, "choices.0.finish_reason", "end", "'end' is none of"),
        (ANSWER, ChatCompletion, "choices.0.message.thoughts", "x", "no `thoughts`"),
        (ANSWER, ChatCompletion, "id", ..., "without `id`"),
    ],
)
def test_bad_ones_are_refused_with_their_place(value, hint, path, to, says):
    found = problems(changed(value, path, to), hint)
    assert any(says in one for one in found), found


def test_an_event_that_nobody_declared_is_refused():
    assert problems({"type": "response.bogus", "sequence_number": 1}, ResponseStreamEvent)


def test_what_is_allowed_beside_is_not_refused():
    value = changed(ANSWER, "choices.0.message.reasoning", "x")
    assert problems(value, ChatCompletion)
    assert problems(value, ChatCompletion, frozenset({"reasoning"})) == []


def test_keys_go_by_their_name_on_the_wire():
    class Item(pydantic.BaseModel):
        from_: str = pydantic.Field(alias="from")

    assert problems({"from": "a"}, Item) == []
    assert problems({"from_": "a"}, Item) != []
    assert problems([{"from": "a"}], typing.Iterable[Item]) == []
