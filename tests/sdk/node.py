"""Runs test programs for Node, and reads what became of each test in them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_node(request, stack, script: str, **environment: str) -> subprocess.CompletedProcess:
    modules = request.config.getoption("--node-modules")
    if not modules:
        pytest.skip("the SDKs for Node are not installed (--node-modules)")
    return subprocess.run(
        [shutil.which("node"), "--test", "--test-reporter=tap", HERE / script],
        env=stack.environment(
            GATEWAY=stack.gateway,
            KEY=stack.key,
            NODE_MODULES=str(Path(modules).resolve()),
            **environment,
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_ok(run: subprocess.CompletedProcess, name: str) -> None:
    result = re.search(rf"^\s*(not ok|ok) \d+ - {re.escape(name)}$", run.stdout, re.MULTILINE)
    assert result, run.stdout + run.stderr
    assert result[1] == "ok", run.stdout[result.start() :].partition("\n    ...")[0]
