"""What LangWatch's own CLI sends, replayed against the real binary.

`official_cli.json` has one entry for each call, in the order of a session; to add a call, add an entry:

- `command`: who sends it; names the entry in a failure.
- `family`: decides the headers, see `headers`.
- `organization_key`: that the key of a project may not do this.
- `method`, `path`, `body`: sent as they are; `{name}` stands for what `session` or an earlier `keep` knows.
- `status`: the answer's.
- `reads`: JSON pointers that the CLI follows in the answer, and the types that it can show.
- `shape`: pointers to objects of which the CLI reads what `shapes` lists.
- `equals`: pointers and what stands there.
- `keep`: names for what stands at a pointer, for later entries.

The newest `langwatch` on the npm registry is older than the commands for keys and budgets and cannot be
run in its place: it has `login`, which only writes a file, and `prompt`, which is not the gateway's.
"""

import base64
import json
from pathlib import Path

import httpx
import pytest

from stack import OPENAI_MODEL, marker

RECORDING = json.loads((Path(__file__).parent / "official_cli.json").read_text())

TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}

OF_A_PROJECT = "the key of a project"

STYLES = ["an organization key", "an organization key and LANGWATCH_PROJECT_ID", OF_A_PROJECT]
"""How a person can be signed in."""


def is_for(entry: dict, style: str) -> bool:
    """Whether somebody who is signed in like this gets anywhere with this call."""
    organization = entry["family"] == "organization" or entry.get("organization_key", False)
    return style != OF_A_PROJECT or not organization


def headers(style: str, family: str, key: str, project: str) -> dict[str, str]:
    """The credential as the CLI sends it."""
    bearer = {"Authorization": f"Bearer {key}"}
    named = style.endswith("LANGWATCH_PROJECT_ID")
    if family == "organization":
        return bearer
    if family == "gateway":
        return {**bearer, "X-Project-Id": project} if named else bearer
    if named:
        pair = base64.b64encode(f"{project}:{key}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {**bearer, "X-Auth-Token": key}


@pytest.fixture(scope="module")
def tenant(stack) -> dict[str, str]:
    """What the recording takes to be there."""

    administrator = httpx.Client(
        base_url=stack.control, headers={"authorization": f"Bearer {stack.api_key}"}
    )

    def ask(method: str, path: str, body: dict | None = None) -> dict:
        return administrator.request(method, path, json=body).raise_for_status().json()

    word = marker()
    team = ask("POST", "/api/teams", {"name": word})["id"]
    project = ask(
        *("POST", "/api/projects"),
        {"name": word, "language": "python", "framework": "none", "teamId": team},
    )["id"]
    minted = ask(
        *("POST", "/api/gateway/v1/virtual-keys"),
        {"name": word, "scopes": [{"scope_type": "project", "scope_id": project}]},
    )
    answer = httpx.post(
        f"{stack.openai_url}/chat/completions",
        headers={"authorization": f"Bearer {minted['secret']}"},
        json={"model": OPENAI_MODEL, "messages": [{"role": "user", "content": "hi"}]},
    ).raise_for_status()
    request = answer.headers["x-langwatch-request-id"]
    stack.trace(request)
    providers = ask("GET", "/api/gateway/v1/model-providers?provider=openai")["data"]
    return {
        "organization": ask("GET", "/api/organization")["id"],
        "team": team,
        "project": project,
        "group": ask("POST", "/api/groups", {"name": word})["id"],
        "user": ask("GET", "/api/organization/members")["members"][0]["userId"],
        "provider": providers[0]["id"],
        "request": request,
        "project_key": ask("GET", f"/api/projects/{project}/api-key")["apiKey"],
    }


def filled(value, known: dict[str, str]):
    """`value` with what is known in place of `{name}`."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [filled(item, known) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, known) for name, item in value.items()}
    return value


def at(answer, pointer: str):
    for step in pointer.split("/")[1:]:
        answer = answer[int(step)] if isinstance(answer, list) else answer[step]
    return answer


def shows(answer, pointer: str, types: str) -> bool:
    """Whether something of one of these types stands there."""
    try:
        found = at(answer, pointer)
    except (KeyError, IndexError, TypeError):
        return False
    wanted = types.split("|")
    if isinstance(found, bool) and "boolean" not in wanted:
        return False
    return any(isinstance(found, TYPES[name]) for name in wanted)


def problems(entry: dict, answer, known: dict[str, str]) -> list[str]:
    """What the CLI would stumble over."""
    reads = dict(entry.get("reads", {}))
    for place, shape in entry.get("shape", {}).items():
        for pointer, types in RECORDING["shapes"][shape].items():
            reads[place + pointer] = types
    found = [
        f"no {types} at {pointer}"
        for pointer, types in reads.items()
        if not shows(answer, pointer, types)
    ]
    for pointer, value in filled(entry.get("equals", {}), known).items():
        if not shows(answer, pointer, "|".join(TYPES)) or at(answer, pointer) != value:
            found.append(f"not {json.dumps(value)} at {pointer}")
    return found


@pytest.mark.parametrize("style", STYLES)
def test_every_call_of_the_official_cli_is_answered_as_it_reads_it(stack, tenant, style):
    key = tenant["project_key"] if style == OF_A_PROJECT else stack.api_key
    known = {**tenant, "word": marker()}
    cli = httpx.Client(base_url=stack.control)
    failures = []
    for entry in RECORDING["calls"]:
        if not is_for(entry, style):
            continue
        # It says what it sends even when it sends nothing.
        sent = {
            "Content-Type": "application/json",
            **headers(style, entry["family"], key, tenant["project"]),
        }
        answer = cli.request(
            entry["method"],
            filled(entry["path"], known),
            headers=sent,
            content=json.dumps(filled(entry["body"], known)) if "body" in entry else None,
        )
        command = filled(entry["command"], known)
        if answer.status_code != entry["status"]:
            failures.append(f"{command}: {answer.status_code} {answer.text}")
            continue
        body = answer.json()
        failures += [f"{command}: {problem}: {body}" for problem in problems(entry, body, known)]
        for name, pointer in entry.get("keep", {}).items():
            known[name] = at(body, pointer)
    assert not failures, "\n".join(failures)
