"""The product as a user runs it: the real binary in front of the mock provider, set up by its CLI.

Start at `running`. Everything listens on a free port, everything lives in one temporary folder.
"""

import contextlib
import json
import os
import secrets
import string
import subprocess
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx

DEADLINE = 30.0
"""Seconds until something that must happen counts as not happening."""

PAUSE = 0.02
"""Seconds between two looks at something that is about to happen."""

OPENAI_MODEL = "gpt-5-mini"
ANTHROPIC_MODEL = "claude-haiku-4-5"
EMBEDDING_MODEL = "text-embedding-3-small"

PRICES = {
    OPENAI_MODEL: ("0.25", "2"),
    ANTHROPIC_MODEL: ("1", "5"),
    EMBEDDING_MODEL: ("0.02", "0"),
}
"""US dollars for a million tokens of input and of output: the vendors' price lists."""


def price(model: str, prompt: int, completion: int) -> Decimal:
    into, out = (Decimal(text) / 1_000_000 for text in PRICES[model])
    return into * prompt + out * completion


def said(prompt: str, **directive) -> str:
    """A prompt that tells the mock provider how to answer."""
    return f"{prompt} [[mock:{json.dumps(directive)}]]"


def echo(text: str) -> str:
    """What the mock provider answers when it is told nothing."""
    return f"You said: {text}. This is the mock provider."


def inherited() -> dict[str, str]:
    """What a child process needs of our environment; nothing of the person who runs the tests."""
    return {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}


@dataclass
class Stack:
    binary: Path
    folder: Path
    control: str
    gateway: str
    provider: str
    api_key: str
    instance_key: str
    server: subprocess.Popen
    key: str = ""
    """A virtual key that reaches both providers."""

    @property
    def openai_url(self) -> str:
        return f"{self.gateway}/v1"

    def environment(self, **more: str) -> dict[str, str]:
        """For a command or a program of a user of this server."""
        return {
            **inherited(),
            "HOME": str(self.folder),
            "LANGWATCH_ENDPOINT": self.control,
            "LANGWATCH_API_KEY": self.api_key,
            **more,
        }

    def try_cli(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.binary, *words],
            env=self.environment(**environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def cli(self, *words: str, **environment: str):
        """What `langwatch <words> --format json` prints."""
        done = self.try_cli(*words, "--format", "json", **environment)
        assert done.returncode == 0, f"langwatch {' '.join(words)}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout)

    def mint(self, name: str, config: dict | None = None) -> tuple[str, str]:
        """Id and secret of a new key over the whole organization."""
        more = ["--config-json", json.dumps(config)] if config else []
        made = self.cli("virtual-keys", "create", "--name", name, "--scope", "ORG:acme", *more)
        return made["virtual_key"]["id"], made["secret"]

    def trace(self, request_id: str) -> dict:
        """The trace of a request, as soon as it is stored."""
        assert request_id.startswith("req_"), request_id

        def get() -> str:
            done = self.try_cli("trace", "get", request_id, "--format", "json")
            if done.returncode == 0:
                return done.stdout
            assert "trace_not_found" in done.stdout, done.stdout + done.stderr
            return ""

        return json.loads(until(get, f"the trace of {request_id}"))

    def billed(self, request_id: str, model: str, *, prompt: int, completion: int) -> dict:
        """The trace of a request, which must show exactly these tokens and their price."""
        trace = self.trace(request_id)
        metrics = trace["metrics"]
        counted = (metrics["prompt_tokens"], metrics["completion_tokens"])
        assert counted == (prompt, completion)
        assert Decimal(str(metrics["total_cost"])) == price(model, prompt, completion)
        assert metrics["tokens_estimated"] is False
        assert trace["metadata"]["gateway_request_ids"] == [request_id]
        return trace

    def seen(self) -> list[dict]:
        """What the provider received so far, oldest first."""
        return httpx.get(f"{self.provider}/_mock/requests").raise_for_status().json()["data"]

    def saw(self, marker: str) -> list[dict]:
        """The provider's requests whose body contains this."""
        return [request for request in self.seen() if marker in (request["body"] or "")]

    def generations(self) -> int:
        """How often the provider was asked for an answer so far."""
        return len(httpx.get(f"{self.provider}/_mock/truth").raise_for_status().json()["data"])

    def disconnects(self) -> int:
        stats = httpx.get(f"{self.provider}/_mock/stats").raise_for_status().json()
        return stats["disconnects"]

    def script(self, *entries: dict) -> None:
        """Queues directives at the provider; each names what it is for in `match`."""
        httpx.post(f"{self.provider}/_mock/script", json=list(entries)).raise_for_status()


def until(condition, what: str):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + DEADLINE
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(PAUSE)
    return answer


def marker() -> str:
    """A word that no other test uses."""
    return f"marker-{secrets.token_hex(6)}"


def letters(size: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(size))


@contextlib.contextmanager
def running(binary: Path, folder: Path, **settings: str):
    """Server and provider, ready, with both vendors stored and one key minted."""
    api_key = f"sk-lw-{letters(16)}_{letters(48)}"
    instance_key = f"instance-{letters(32)}"
    base = {**inherited(), "HOME": str(folder)}
    data = folder / "data"
    serve = ["serve", "--gateway-addr", "127.0.0.1:0", "--control-addr", "127.0.0.1:0"]
    serve_env = {
        **base,
        "LANGWATCH_INIT_ORG": "acme",
        "LANGWATCH_INIT_API_KEY": api_key,
        "LANGWATCH_INSTANCE_ADMIN_API_KEY": instance_key,
        "LANGWATCH_ALLOW_PRIVATE_UPSTREAMS": "127.0.0.0/8",
        # Tests call more often than people do.
        "LW_MANAGEMENT_RATE_LIMIT_RPM": "0",
        # Tests make providers fail one after the other: their circuits stay closed.
        "LW_GATEWAY_CIRCUIT_THRESHOLD": "10000",
        # No load balancer has to notice that it stops.
        "SERVER_DRAIN_DELAY_SECONDS": "0",
        **settings,
    }
    with contextlib.ExitStack() as started:

        def start(words: list[str], environment: dict[str, str], name: str, stdout=None):
            log = started.enter_context(open(folder / f"{name}.log", "wb"))
            process = subprocess.Popen(
                [binary, *words], env=environment, cwd=folder, stdout=stdout or log, stderr=log
            )
            started.callback(stop, process)
            return process

        mock = start(
            ["mock-provider", "--addr", "127.0.0.1:0"], base, "provider", stdout=subprocess.PIPE
        )
        server = start([*serve, "--data-dir", str(data)], serve_env, "server")
        provider = json.loads(mock.stdout.readline())["base_url"]
        listening = data / "listening.json"

        def is_up():
            assert server.poll() is None, (folder / "server.log").read_text()
            return listening.exists()

        until(is_up, "the server")
        ports = json.loads(listening.read_text())
        stack = Stack(
            binary=binary,
            folder=folder,
            control=f"http://{ports['control']}",
            gateway=f"http://{ports['gateway']}",
            provider=provider,
            api_key=api_key,
            instance_key=instance_key,
            server=server,
        )
        stack.cli(
            *("model-provider", "create", "--provider", "openai", "--scope", "org:acme"),
            *("--key-from-env", "OPENAI_API_KEY", "--key", f"OPENAI_BASE_URL={provider}/v1"),
            OPENAI_API_KEY="sk-the-real-openai-key",
        )
        stack.cli(
            *("model-provider", "create", "--provider", "anthropic", "--scope", "org:acme"),
            *("--key-from-env", "ANTHROPIC_API_KEY", "--key", f"ANTHROPIC_BASE_URL={provider}"),
            ANTHROPIC_API_KEY="sk-ant-the-real-anthropic-key",
        )
        minted = stack.cli(
            *("virtual-keys", "create", "--name", "dev-migration", "--env", "live"),
            *("--scope", "ORG:acme"),
        )
        stack.key = minted["secret"]
        yield stack


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
