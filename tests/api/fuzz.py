"""Starts the product and fuzzes it as each kind of caller. Started by ./run; start at `main`.

    fuzz.py PATH-OF-LANGWATCH [arguments of schemathesis]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from stack import OPENAI_MODEL, running

HERE = Path(__file__).parent

HUNTS = {
    "as the administrator": ("administrator", "--phases=fuzzing", "--max-examples=12"),
    "as the administrator, at the edges": ("administrator", "--phases=coverage"),
    "as a project": ("project", "--phases=fuzzing", "--max-examples=3"),
    "as a restricted API key": ("restricted", "--phases=fuzzing", "--max-examples=3"),
}
"""Who calls, and how schemathesis looks when the arguments do not say. Everybody but the administrator is
refused most of the time, which takes fewer examples to see. All run at the same time."""

NEVER_SERVED = {
    # Gone for good.
    "GET /api/gateway/v1/providers",
    "POST /api/gateway/v1/providers",
    "PATCH /api/gateway/v1/providers/{id}",
    "DELETE /api/gateway/v1/providers/{id}",
    # The only member stays.
    "DELETE /api/organization/members/{userId}",
    # Ten in a minute, and the other name of this path has used them up.
    "POST /api/gateway-platform/v1/model-providers/{id}/test",
    "POST /api/gateway/v1/model-providers/{id}/test",
}
"""What never succeeds here even for the administrator. Everything else must, or else the fuzzer only ever
sees refusals of it: then hooks.py has to learn how to call it."""


def main() -> int:
    binary, more = Path(sys.argv[1]).resolve(), sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Errors only: whatever the log then holds is a finding.
        with running(binary, folder, LOG_LEVEL="error", LOG_FORMAT="json") as stack:
            environment = {
                **os.environ,
                "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
                "FUZZ_ENDPOINT": stack.control,
                "FUZZ_API_KEY": stack.api_key,
                "FUZZ_INSTANCE_KEY": stack.instance_key,
                "FUZZ_PROVIDER": stack.provider,
                "FUZZ_REQUEST": served(stack),
            }
            with ThreadPoolExecutor(len(HUNTS)) as pool:
                hunts = [
                    pool.submit(hunt, stack.control, folder, name, more, environment)
                    for name in HUNTS
                ]
                failed = [name for name in HUNTS if not hunts.pop(0).result()]
            problems = [f"findings {name}" for name in failed]
            if stack.server.poll() is not None:
                problems.append(f"the server stopped with status {stack.server.returncode}")
        problems += logged(folder / "server.log")
        if not more:
            problems += unreached(folder / "as the administrator.json")
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


def served(stack) -> str:
    """The id of a request that the gateway has answered, so that there is a trace to read."""
    answer = httpx.post(
        f"{stack.openai_url}/chat/completions",
        headers={"authorization": f"Bearer {stack.key}"},
        json={"model": OPENAI_MODEL, "messages": [{"role": "user", "content": "hi"}]},
    ).raise_for_status()
    request = answer.headers["x-langwatch-request-id"]
    stack.trace(request)
    return request


def hunt(url: str, folder: Path, name: str, more: list[str], environment: dict[str, str]) -> bool:
    """Whether schemathesis found nothing; prints what it said."""
    caller, *how = HUNTS[name]
    began = time.monotonic()
    own = folder / name.replace(" ", "-")
    own.mkdir()
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file"),
            *(HERE / "schemathesis.toml", "run", f"{url}/api/openapi.json"),
            # The seed is fixed so that a failure in CI is one that everybody has.
            *("--seed=1", *how, *more),
        ],
        cwd=own,
        env={**environment, "FUZZ_CALLER": caller, "FUZZ_REPORT": str(folder / f"{name}.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    said = done.stdout if done.returncode else "\n".join(done.stdout.splitlines()[-5:])
    print(f"== {name}, {time.monotonic() - began:.0f} s\n{said}", flush=True)
    return done.returncode == 0


def logged(log: Path) -> list[str]:
    """What the server logged."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [f"the server logged: {line}" for line in lines[:40]]


def unreached(report: Path) -> list[str]:
    """The operations that never succeeded and should have."""
    seen = json.loads(report.read_text())
    served = {
        operation
        for operation, statuses in seen.items()
        if any(status.startswith("2") for status in statuses)
    }
    missed = seen.keys() - served - NEVER_SERVED
    return [f"{operation} never succeeded: {seen[operation]}" for operation in sorted(missed)]


if __name__ == "__main__":
    sys.exit(main())
