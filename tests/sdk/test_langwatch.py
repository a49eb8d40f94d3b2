"""LangWatch's own Python package against our management API: virtual keys, traces, providers, tenants."""

import base64
import json
import subprocess
import sys
from decimal import Decimal

import httpx
import pytest
from langwatch.api_errors import (
    LangWatchApiAuthenticationError,
    LangWatchApiConflictError,
    LangWatchApiError,
    LangWatchApiNotFoundError,
    LangWatchApiValidationError,
)
from langwatch.model_providers import ModelProvidersFacade
from langwatch.projects import ProjectsFacade
from langwatch.teams import TeamsFacade
from langwatch.traces import TracesFacade
from langwatch.utils.exceptions import extract_api_error_reasons
from langwatch.virtual_keys import VirtualKeysFacade

from official import ask, chat, over_the_organization, rest
from stack import DEADLINE, OPENAI_MODEL, echo, letters, marker, price, running, until


@pytest.fixture
def keys(stack):
    return VirtualKeysFacade(rest(stack))


# The package writes its log to the standard output too.
PROGRAM = """
import json, langwatch
print(json.dumps([key["display_prefix"] for key in langwatch.virtual_keys.list()]))
"""


def test_a_program_sets_two_environment_variables_and_calls_the_module(stack):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert stack.key[:13] in json.loads(done.stdout.splitlines()[-1])


def test_a_key_lives_from_create_to_revoke(stack, keys):
    made = keys.create(
        name="from python",
        description="made by the package",
        scopes=over_the_organization(stack),
        metadata={"team": "search"},
        config={"models_allowed": [OPENAI_MODEL]},
    )
    key, secret = made["virtual_key"], made["secret"]
    assert secret.startswith(key["display_prefix"])
    assert key["metadata"] == {"team": "search"}
    assert chat(stack, secret).json()["choices"][0]["message"]["content"] == echo("hi")

    assert keys.get(key["id"])["description"] == "made by the package"
    renamed = keys.update(key["id"], name="renamed", config={"cache": {"mode": "disable"}})
    assert renamed["name"] == "renamed"
    assert renamed["config"]["cache"]["mode"] == "disable"
    assert renamed["config"]["modelsAllowed"] == [OPENAI_MODEL]

    rotated = keys.rotate(key["id"])
    assert rotated["virtual_key"]["id"] == key["id"]
    assert rotated["secret"] != secret
    # The old one keeps working for a day.
    assert {chat(stack, each).status_code for each in (secret, rotated["secret"])} == {200}

    assert keys.disable(key["id"], reason="on holiday")["status"] == "disabled"
    refused = chat(stack, rotated["secret"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "virtual_key_disabled")
    assert keys.enable(key["id"])["status"] == "active"
    assert chat(stack, rotated["secret"]).status_code == 200

    assert keys.revoke(key["id"])["status"] == "revoked"
    refused = chat(stack, rotated["secret"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "virtual_key_revoked")


def test_keys_are_listed_page_by_page_and_found_by_external_id(stack, keys):
    scopes, word = over_the_organization(stack), marker()
    made = {
        keys.create(name=f"page {n}", scopes=scopes, external_id=f"{word}-{n}")["virtual_key"]["id"]
        for n in range(3)
    }
    page = keys.list_page(limit=2)
    assert len(page["data"]) == 2 and page["next_cursor"]
    walked = [key["id"] for key in keys.iterate(limit=2)]
    assert made <= set(walked)
    assert len(walked) == len(set(walked)) == len(keys.list())
    [found] = keys.list(external_id=f"{word}-1")
    assert found["name"] == "page 1"


def test_a_key_made_for_a_project_needs_no_scope(stack, keys):
    organization_key = keys.create(name="anywhere", scopes=over_the_organization(stack))
    project = organization_key["virtual_key"]["project_id"]
    inside = VirtualKeysFacade(rest(stack), project_id=project)
    made = inside.create(name="in a project")
    key = made["virtual_key"]
    assert key["scopes"] == [{"scope_type": "project", "scope_id": project}]
    assert key["trace_project_id"] == project
    assert inside.get(key["id"])["name"] == "in a project"
    assert chat(stack, made["secret"]).status_code == 200


def test_the_spend_of_a_key_is_what_its_calls_cost(stack, keys):
    made = keys.create(name="spender", scopes=over_the_organization(stack))
    answer = chat(stack, made["secret"])
    usage = answer.json()["usage"]
    stack.billed(
        answer.headers["x-langwatch-request-id"],
        OPENAI_MODEL,
        prompt=usage["prompt_tokens"],
        completion=usage["completion_tokens"],
    )
    key_id = made["virtual_key"]["id"]
    # The sums of a key follow its traces a moment later.
    until(lambda: keys.spend(key_id)["requests"] == 1, "the spend of the key")
    cost = price(OPENAI_MODEL, usage["prompt_tokens"], usage["completion_tokens"])
    assert Decimal(keys.spend(key_id)["spent_usd"]) == cost


def test_refusals_raise_the_packages_typed_errors(stack, keys):
    with pytest.raises(LangWatchApiNotFoundError) as caught:
        keys.get("vk_no-such-key")
    assert caught.value.code == "virtual_key_not_found"

    with pytest.raises(LangWatchApiValidationError) as caught:
        keys.create(name="", scopes=over_the_organization(stack))
    assert caught.value.code == "validation_error"
    assert "name" in str(caught.value)

    with pytest.raises(LangWatchApiValidationError) as caught:
        keys.create(name="nowhere")
    assert caught.value.code == "project_required"

    scopes, word = over_the_organization(stack), marker()
    keys.create(name="first", scopes=scopes, external_id=word)
    with pytest.raises(LangWatchApiConflictError) as caught:
        keys.create(name="second", scopes=scopes, external_id=word)
    assert caught.value.code == "external_id_conflict"

    with pytest.raises(LangWatchApiAuthenticationError) as caught:
        VirtualKeysFacade(rest(stack, "sk-lw-wrong")).list()
    assert caught.value.status == 401
    assert caught.value.code == "invalid_credentials"


def test_a_validation_error_names_its_fields_to_the_package(stack, keys):
    with pytest.raises(LangWatchApiValidationError) as caught:
        keys.create(name="", scopes=over_the_organization(stack))
    [reason] = extract_api_error_reasons(caught.value.body)
    assert reason.startswith("name: ")


def test_a_create_with_the_same_idempotency_key_mints_one_key(stack, keys):
    scopes, word = over_the_organization(stack), marker()
    replays = []

    def create(name: str = word) -> dict:
        return keys.create(
            name=name,
            scopes=scopes,
            idempotency_key=word,
            on_idempotent_replay=lambda: replays.append(word),
        )

    first = create()
    assert replays == []
    assert create() == first
    assert replays == [word]
    assert [key["name"] for key in keys.list()].count(word) == 1
    with pytest.raises(LangWatchApiConflictError) as caught:
        create(name="another body")
    assert caught.value.code == "idempotency_error"
    assert caught.value.body["error"]["meta"]["reason"] == "body_mismatch"


def test_what_is_revoked_can_be_neither_changed_nor_enabled(stack, keys):
    key = keys.create(name="gone", scopes=over_the_organization(stack))["virtual_key"]["id"]
    keys.revoke(key)
    for change in (keys.enable, keys.disable, keys.rotate, lambda id: keys.update(id, name="x")):
        with pytest.raises(LangWatchApiValidationError) as caught:
            change(key)
        assert (caught.value.status, caught.value.code) == (400, "bad_request")
        assert "revoked" in str(caught.value)


def test_an_update_can_set_and_drop_a_budget_and_an_expiry(stack, keys):
    key = keys.create(name="changing", scopes=over_the_organization(stack))["virtual_key"]["id"]
    changed = keys.update(
        key,
        expires_at="2999-01-01T00:00:00Z",
        budget={"limit_usd": 5, "window": "day"},
        metadata={"a": "b"},
    )
    assert changed["expires_at"] == "2999-01-01T00:00:00.000Z"
    assert changed["metadata"] == {"a": "b"}
    own = ask(stack, "GET", f"/api/gateway/v1/virtual-keys/{key}/budgets")["data"]
    assert ("virtual_key", "5", "day") in [
        (budget["scope_type"], budget["limit_usd"], budget["window"]) for budget in own
    ]
    cleared = keys.update(key, expires_at=None, budget=None, metadata={})
    assert (cleared["expires_at"], cleared["metadata"]) == (None, {})
    own = ask(stack, "GET", f"/api/gateway/v1/virtual-keys/{key}/budgets")["data"]
    assert "virtual_key" not in [budget["scope_type"] for budget in own]


def test_a_secret_and_a_project_travel_in_every_way_that_official_clients_send_them(stack, keys):
    project = keys.create(name="x", scopes=over_the_organization(stack))["virtual_key"]["project_id"]
    basic = base64.b64encode(f"{project}:{stack.api_key}".encode()).decode()
    project_key = ask(stack, "GET", f"/api/projects/{project}/api-key")["apiKey"]
    for headers in (
        {"Authorization": f"Bearer {stack.api_key}", "X-Project-Id": project},
        {"Authorization": f"Basic {basic}"},
        {"X-Auth-Token": stack.api_key, "X-Project-Id": project},
        {"Authorization": f"Bearer {stack.api_key}", "X-Auth-Token": stack.api_key, "X-Project-Id": project},
        {"Authorization": f"Bearer {project_key}", "X-Auth-Token": project_key},
        {"X-Auth-Token": project_key},
    ):
        facade = VirtualKeysFacade(rest(stack, headers=headers))
        made = facade.create(name="in its project")["virtual_key"]
        assert made["scopes"] == [{"scope_type": "project", "scope_id": project}], headers
        assert facade.revoke(made["id"])["status"] == "revoked"


def test_a_credential_that_may_not_is_told_which_permission_it_lacks(stack, keys):
    project = keys.create(name="x", scopes=over_the_organization(stack))["virtual_key"]["project_id"]
    restricted = ask(
        stack,
        *("POST", "/api/api-keys"),
        json={
            "keyType": "service",
            "name": marker(),
            "permissionMode": "restricted",
            "permissions": ["virtualKeys:view"],
            "bindings": [{"role": "CUSTOM", "scopeType": "PROJECT", "scopeId": project}],
        },
    )["token"]
    facade = VirtualKeysFacade(rest(stack, restricted), project_id=project)
    assert isinstance(facade.list(), list)
    with pytest.raises(LangWatchApiAuthenticationError) as caught:
        facade.create(name="refused")
    assert (caught.value.status, caught.value.code) == (403, "api_key_permission_denied")
    assert caught.value.body["error"]["meta"]["permission"] == "virtualKeys:create"


def test_a_token_may_only_call_so_often_in_a_minute(request, tmp_path):
    limit = 20
    binary = request.getfixturevalue("stack").binary
    with running(binary, tmp_path, LW_MANAGEMENT_RATE_LIMIT_RPM=str(limit)) as stack:
        keys = VirtualKeysFacade(rest(stack))
        with pytest.raises(LangWatchApiError) as caught:
            for _ in range(limit + 1):
                keys.list_page()
        assert (caught.value.status, caught.value.code) == (429, "rate_limited")
        again = httpx.get(
            f"{stack.control}/api/gateway/v1/virtual-keys",
            headers={"authorization": f"Bearer {stack.api_key}"},
        )
        assert 1 <= int(again.headers["retry-after"]) <= 60


def test_model_providers_are_listed_and_set_without_showing_their_keys(stack, keys):
    team = TeamsFacade(rest(stack)).create(marker())["id"]
    project = ProjectsFacade(rest(stack)).create(
        name=marker(), language="python", framework="none", team_id=team
    )
    headers = {"Authorization": f"Bearer {stack.api_key}", "X-Project-Id": project["id"]}
    providers = ModelProvidersFacade(rest(stack, headers=headers))
    assert providers.list()["gemini"]["enabled"] is False
    secret = f"AIza{letters(20)}"
    answer = providers.set(
        "google", params={"enabled": True, "customKeys": {"GOOGLE_API_KEY": secret}}
    )
    assert answer["gemini"]["enabled"] is True
    assert answer["gemini"]["id"] == providers.list()["gemini"]["id"]
    assert secret not in json.dumps(answer)
    with pytest.raises(ValueError, match="Bad request"):
        providers.set("no such provider", params={"enabled": True})
    with pytest.raises(RuntimeError, match="Authentication failed"):
        ModelProvidersFacade(rest(stack, "sk-lw-wrong")).list()


def test_teams_and_projects_are_made_walked_and_archived(stack):
    teams, projects = TeamsFacade(rest(stack)), ProjectsFacade(rest(stack))
    name = marker()
    team = teams.create(name)
    assert team["name"] == name
    assert team["id"] in [each["id"] for each in teams.iterate(limit=1)]
    made = projects.create(name=name, language="python", framework="langchain", team_id=team["id"])
    # The project's own credential works at once.
    own = VirtualKeysFacade(rest(stack, made["serviceApiKey"]), project_id=made["id"])
    assert own.create(name="its first")["virtual_key"]["trace_project_id"] == made["id"]
    assert made["id"] in [each["id"] for each in projects.list(limit=1)]
    assert projects.archive(made["id"])["archivedAt"]
    assert made["id"] not in [each["id"] for each in projects.list()]
    with pytest.raises(LangWatchApiNotFoundError):
        projects.archive(made["id"])
    beside = projects.create(name=name, language="x", framework="x", new_team_name=marker())
    assert beside["teamId"] != team["id"]


def test_traces_are_searched_and_read_by_request_id(stack):
    traces = TracesFacade(rest(stack))
    answer = chat(stack, stack.key)
    request_id = answer.headers["x-langwatch-request-id"]
    stack.trace(request_id)
    assert traces.get(request_id)["output"]["value"] == echo("hi")
    found = traces.search(params={"query": request_id, "startDate": 0, "endDate": 4102444800000})
    assert found["pagination"]["totalHits"] == 1
    assert found["traces"][0]["trace_id"] == answer.headers["x-langwatch-trace-id"]
    with pytest.raises(ValueError, match="Trace not found"):
        traces.get("0" * 32)
