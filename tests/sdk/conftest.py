import os
from pathlib import Path

import pytest

from stack import running


def pytest_addoption(parser):
    parser.addoption("--langwatch", help="path of the binary under test")
    parser.addoption("--node-modules", help="folder with the Node SDKs")


def pytest_configure(config):
    # The SDKs read these; the tests name every endpoint themselves.
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_", "LANGWATCH_")) or name.upper() in PROXIES:
            del os.environ[name]
    config.stash[LOGS] = []


PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
LOGS = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def stack(request, tmp_path_factory):
    given = request.config.getoption("--langwatch")
    assert given, "say which binary: pytest --langwatch PATH"
    folder = tmp_path_factory.mktemp("langwatch")
    request.config.stash[LOGS].append(folder / "server.log")
    with running(Path(given).resolve(), folder) as stack:
        yield stack


def pytest_terminal_summary(terminalreporter, config):
    """The server's own words, when something failed."""
    if not (terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")):
        return
    for log in config.stash[LOGS]:
        if log.exists():
            terminalreporter.section("server log, last lines")
            terminalreporter.write_line("\n".join(log.read_text().splitlines()[-40:]))
