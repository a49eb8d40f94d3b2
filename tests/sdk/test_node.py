"""The SDKs for Node: one test here for every test in `sdk.test.mjs`, which runs once."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = HERE / "sdk.test.mjs"
NAMES = re.findall(r'^test\("([^"]+)"', SCRIPT.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def run(stack, request):
    modules = request.config.getoption("--node-modules")
    if not modules:
        pytest.skip("the SDKs for Node are not installed (--node-modules)")
    modules = Path(modules).resolve()
    environment = stack.environment(
        GATEWAY=stack.gateway,
        KEY=stack.key,
        OPENAI_MODULE=(modules / "openai/index.mjs").as_uri(),
        ANTHROPIC_MODULE=(modules / "@anthropic-ai/sdk/index.mjs").as_uri(),
    )
    node = shutil.which("node")
    return subprocess.run(
        [node, "--test", "--test-reporter=tap", str(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_node(run, name):
    result = re.search(rf"^\s*(not ok|ok) \d+ - {re.escape(name)}$", run.stdout, re.MULTILINE)
    assert result, run.stdout + run.stderr
    assert result[1] == "ok", run.stdout[result.start() :].partition("\n    ...")[0]


def test_node_calls_leave_traces_with_their_cost(run, stack):
    billed = re.findall(r"billed (req_\w+)", run.stdout)
    assert len(billed) == 4, run.stdout
    for request_id in billed:
        metrics = stack.trace(request_id)["metrics"]
        assert metrics["total_cost"] > 0
        assert metrics["tokens_estimated"] is False
