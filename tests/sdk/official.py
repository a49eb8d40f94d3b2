"""What the tests of LangWatch's own Python package share: its client, and the organization it works in."""

import httpx
from langwatch.generated.langwatch_rest_api_client.client import Client
from langwatch.utils.auth import build_auth_headers

from stack import OPENAI_MODEL


def rest(stack, api_key: str | None = None, headers: dict[str, str] | None = None) -> Client:
    """What `langwatch.setup` builds, without the process-wide tracing it also starts."""
    headers = headers or build_auth_headers(api_key or stack.api_key)
    return Client(base_url=stack.control, headers=headers)


def ask(stack, method: str, path: str, **more) -> dict:
    """What the management API answers the administrator, for what the package has no method for."""
    headers = {"authorization": f"Bearer {stack.api_key}"}
    answer = httpx.request(method, stack.control + path, headers=headers, **more)
    return answer.raise_for_status().json()


def organization(stack) -> str:
    return ask(stack, "GET", "/api/organization")["id"]


def over_the_organization(stack) -> list[dict]:
    return [{"scope_type": "organization", "scope_id": organization(stack)}]


def chat(stack, secret: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{stack.openai_url}/chat/completions",
        headers={"authorization": f"Bearer {secret}", **headers},
        json={"model": OPENAI_MODEL, "messages": [{"role": "user", "content": "hi"}]},
    )
