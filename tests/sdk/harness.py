"""What every folder of tests that runs against a real server needs of pytest. Imported by `conftest.py`."""

import os
from pathlib import Path

import pytest

import lanes
from stack import running

PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
LOGS = pytest.StashKey[list]()

READ_BY_CLIENTS = (
    "OPENAI_",
    "ANTHROPIC_",
    "CLAUDE_",
    "CODEX_",
    "GEMINI_",
    "GOOGLE_",
    "OPENCODE_",
    "AWS_",
    "LANGWATCH_",
)
"""Beginnings of the variables by which clients can be led elsewhere; the tests name every endpoint."""


def pytest_addoption(parser):
    parser.addoption("--langwatch", help="path of the binary under test")
    parser.addoption("--node-modules", help="folder with what npm installed for these tests")


def pytest_configure(config):
    for name in list(os.environ):
        if name.startswith(READ_BY_CLIENTS) or name.upper() in PROXIES:
            del os.environ[name]
    config.stash[LOGS] = []


def pytest_collection_modifyitems(items):
    """A case over pairs that the product does not have yet is no test, and none that is skipped."""
    items[:] = [item for item in items if not any(map(over_nothing, item.iter_markers("skip")))]


def over_nothing(mark: pytest.Mark) -> bool:
    return mark.kwargs.get("reason", "").startswith("got empty parameter set")


def start(request, tmp_path_factory, name: str):
    """A context: a server and a provider, in a folder of this name."""
    given = request.config.getoption("--langwatch")
    assert given, "say which binary: pytest --langwatch PATH"
    folder = tmp_path_factory.mktemp(name)
    request.config.stash[LOGS].append(folder / "server.log")
    return running(Path(given).resolve(), folder)


@pytest.fixture(scope="session")
def stack(request, tmp_path_factory):
    with start(request, tmp_path_factory, "langwatch") as stack:
        yield stack


@pytest.fixture(scope="session")
def connected(request, tmp_path_factory):
    """A server of its own, with a row for every lane that is served."""
    with start(request, tmp_path_factory, "lanes") as stack:
        lanes.connect(stack)
        _, stack.key = stack.mint("every lane", {"model_aliases": lanes.aliases()})
        yield stack


def pytest_terminal_summary(terminalreporter, config):
    """The servers' own words, when something failed."""
    if not (terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")):
        return
    for log in config.stash[LOGS]:
        if log.exists():
            terminalreporter.section(f"{log.parent.name}: server log, last lines")
            terminalreporter.write_line("\n".join(log.read_text().splitlines()[-40:]))
