"""The judge of golden files refuses what an SDK would trip over."""

import json
import struct
import zlib

import pytest

from strict_goldens import main

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: dict, reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps(CHUNK | {'choices': [choice]})}\n\n"


STREAM = chunk({"role": "assistant", "content": "hi"}, None) + chunk({}, "stop")


def frame(kind: str, payload: dict) -> bytes:
    """One frame of AWS's event stream."""
    headers = b""
    for name, value in ((":event-type", kind), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07"
        headers += struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(payload).encode()
    start = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    start += struct.pack(">I", zlib.crc32(start))
    whole = start + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


CONVERSE = b"".join(
    [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame(
            "metadata",
            {
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                "metrics": {"latencyMs": 1},
            },
        ),
    ]
)


@pytest.fixture
def judged(tmp_path, capsys):
    """Exit code and words over one file."""

    def judged(name: str, content: str | bytes):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return main(tmp_path), capsys.readouterr().out

    return judged


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat/requests/deep/down.json", json.dumps(REQUEST)),
        ("chat/streams/one.sse", STREAM + "data: [DONE]\n\n"),
        ("converse/streams/one.eventstream", CONVERSE),
        ("converse/requests/one.json", '{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'),
    ],
)
def test_good_files_pass(judged, name, content):
    code, words = judged(name, content)
    assert (code, words) == (0, "1 golden files, 0 refused\n")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("chat/requests/one.json", json.dumps(REQUEST | {"modle": "m"}), "no `modle`"),
        ("chat/streams/one.sse", STREAM, "[DONE]"),
        ("chat/streams/one.sse", "data: [DONE]\n\n", "the SDK"),
        ("converse/streams/one.eventstream", CONVERSE[:-1] + b"x", "ChecksumMismatch"),
        ("converse/streams/one.eventstream", frame("messageStop", {"stopReason": "x"}), "order"),
        ("converse/requests/one.json", '{"messages":[{"role":"user","content":"hi"}]}', "content"),
        ("vertex-claude/requests/one.json", '{"model":"m"}', "in the address"),
        ("esperanto/requests/one.json", "{}", "no dialect"),
        ("chat/notes/one.json", "{}", "0 golden files"),
    ],
)
def test_bad_files_are_refused(judged, name, content, says):
    code, words = judged(name, content)
    assert code == 1
    assert says in words
