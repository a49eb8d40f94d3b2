"""The SDKs for Node: one test here for every test in `sdk.test.mjs`, which runs once."""

import re

import pytest

from node import HERE, assert_ok, run_node

SCRIPT = "sdk.test.mjs"
NAMES = re.findall(r'^test\("([^"]+)"', (HERE / SCRIPT).read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def run(stack, request):
    return run_node(request, stack, SCRIPT)


@pytest.mark.parametrize("name", NAMES)
def test_node(run, name):
    assert_ok(run, name)


def test_node_calls_leave_traces_with_their_cost(run, stack):
    billed = re.findall(r"billed (req_\w+)", run.stdout)
    assert len(billed) == 4, run.stdout
    for request_id in billed:
        metrics = stack.trace(request_id)["metrics"]
        assert metrics["total_cost"] > 0
        assert metrics["tokens_estimated"] is False
