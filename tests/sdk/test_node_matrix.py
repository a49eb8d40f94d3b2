"""The SDKs for Node over every lane: one test here for every client, lane and case of `matrix.test.mjs`."""

import json

import pytest

from lanes import CHAT, GEMINI, MESSAGES, PAIRS, RESPONSES
from node import assert_ok, run_node

CLIENTS = {
    CHAT: ("openai", "ai with openai-compatible"),
    RESPONSES: ("openai", "ai with openai"),
    MESSAGES: ("anthropic", "ai with anthropic"),
    GEMINI: ("google", "ai with google"),
}
CASES = ("plain", "streamed", "tools", "structured", "error")
NAMES = [
    (surface, f"{client} to {kind.name}: {case}")
    for surface, kind in PAIRS
    for client in CLIENTS[surface]
    for case in CASES
]


@pytest.fixture(scope="module")
def run(connected, request):
    lanes = json.dumps([(surface, kind.name) for surface, kind in PAIRS])
    return run_node(request, connected, "matrix.test.mjs", LANES=lanes)


@pytest.mark.parametrize(("surface", "name"), NAMES, ids=[f"{s}: {n}" for s, n in NAMES])
def test_node(run, surface, name):
    assert_ok(run, name)


def test_node_ran_nothing_else(run):
    assert f"# tests {len(NAMES)}\n" in run.stdout, run.stdout
