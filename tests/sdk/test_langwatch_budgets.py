"""The budgets of LangWatch's own Python package against our management API and the gateway behind it."""

import subprocess
import sys
from decimal import Decimal

import pytest
from langwatch.api_errors import (
    LangWatchApiConflictError,
    LangWatchApiNotFoundError,
    LangWatchApiValidationError,
)
from langwatch.gateway_budgets import GatewayBudgetsFacade

from official import ask, chat, organization, rest
from stack import DEADLINE, OPENAI_MODEL, marker, price, until


@pytest.fixture
def budgets(stack):
    return GatewayBudgetsFacade(rest(stack))


@pytest.fixture(scope="session")
def targets(stack) -> dict[str, dict]:
    """A scope of each kind."""
    team = ask(stack, "POST", "/api/teams", json={"name": marker()})["id"]
    project = ask(
        stack,
        *("POST", "/api/projects"),
        json={"name": marker(), "language": "x", "framework": "x", "teamId": team},
    )["id"]
    group = ask(stack, "POST", "/api/groups", json={"name": marker()})["id"]
    user = ask(stack, "GET", "/api/organization/members")["members"][0]["userId"]
    key, _ = stack.mint("of many budgets")
    return {
        "organization": {"organization_id": organization(stack)},
        "team": {"team_id": team},
        "project": {"project_id": project},
        "virtual_key": {"virtual_key_id": key},
        "principal": {"principal_user_id": user},
        "group": {"group_id": group},
        "attributed_user": {"anchor_virtual_key_id": key},
    }


def of_key(key: str) -> dict:
    return {"kind": "virtual_key", "virtual_key_id": key}


@pytest.mark.parametrize(
    "kind",
    ["organization", "team", "project", "virtual_key", "principal", "group", "attributed_user"],
)
def test_a_budget_of_each_kind_lives_from_create_to_archive(budgets, targets, kind):
    target = targets[kind]
    made = budgets.create(
        scope={"kind": kind, **target},
        name="from python",
        window="month",
        limit_usd="5000.5",
        on_breach="warn",
        description="made by the package",
        metadata={"team": "search"},
        external_id=(external := marker()),
    )
    assert made["scope_type"] == kind
    if kind != "attributed_user":
        assert made["scope_id"] in target.values()
    assert (made["limit_usd"], made["limit_nano_usd"]) == ("5000.5", 5_000_500_000_000)
    assert made["spent_usd"] is None if kind == "attributed_user" else Decimal(made["spent_usd"]) >= 0
    assert made["on_breach"] == "warn"
    assert made["resets_at"] > made["current_period_started_at"]

    budget = budgets.get(made["id"])
    assert (budget["description"], budget["metadata"]) == ("made by the package", {"team": "search"})
    assert [each["id"] for each in budgets.list(external_id=external)] == [made["id"]]
    assert made["id"] in [each["id"] for each in budgets.iterate(scope_types=[kind], limit=1)]
    page = budgets.list_page(scope_types=[kind])
    assert {each["scope_type"] for each in page["data"]} == {kind}
    assert isinstance(page["spend_available"], bool)

    changed = budgets.update(made["id"], name="renamed", limit_usd="7", description=None, metadata={})
    assert (changed["name"], changed["limit_usd"]) == ("renamed", "7")
    assert (changed["description"], changed["metadata"]) == (None, {})
    assert changed["scope_type"] == kind
    reset = budgets.reset(made["id"], reason="a new contract")
    assert reset["last_reset_at"] and reset["current_period_started_at"] >= made["created_at"]

    assert budgets.archive(made["id"])["archived_at"]
    with pytest.raises(LangWatchApiNotFoundError) as caught:
        budgets.get(made["id"])
    assert caught.value.code == "budget_not_found"
    assert budgets.list(external_id=external) == []


def test_every_window_is_taken_and_only_cyclic_ones_can_be_anchored(stack, budgets):
    key, _ = stack.mint("of every window")
    anchored = []
    for window in ("minute", "hour", "day", "week", "month", "total", "manual"):
        made = budgets.create(scope=of_key(key), name=window, window=window, limit_usd="1")
        assert made["window"] == window
        never = made["resets_at"] == "9999-12-31T00:00:00.000Z"
        assert never == (window in ("total", "manual"))
        try:
            budgets.create(
                scope=of_key(key),
                name="anchored",
                window=window,
                limit_usd="1",
                cycle_anchor_at="2026-01-17T09:00:00Z",
            )
            anchored.append(window)
        except LangWatchApiValidationError as refusal:
            assert refusal.code == "gateway_budget_cycle_anchor_invalid"
    assert anchored == ["minute", "hour", "day", "week", "month"]
    assert len(ask(stack, "GET", f"/api/gateway/v1/virtual-keys/{key}/budgets")["data"]) >= 12


def test_what_a_call_costs_counts_until_the_period_begins_anew(stack, budgets):
    key, secret = stack.mint("counted")
    budget = budgets.create(scope=of_key(key), name="counted", window="manual", limit_usd="1")["id"]
    answer = chat(stack, secret)
    usage = answer.json()["usage"]
    cost = price(OPENAI_MODEL, usage["prompt_tokens"], usage["completion_tokens"])
    until(lambda: Decimal(budgets.get(budget)["spent_usd"]) == cost, "the spend of the budget")
    [listed] = [each for each in budgets.list() if each["id"] == budget]
    assert Decimal(listed["spent_usd"]) == cost
    assert listed["spent_nano_usd"] == cost * 1_000_000_000
    assert Decimal(budgets.reset(budget)["spent_usd"]) == 0


def test_a_budget_that_is_used_up_blocks_its_key_until_its_limit_is_raised(stack, budgets):
    key, secret = stack.mint("capped")
    budget = budgets.create(scope=of_key(key), name="capped", window="total", limit_usd="100")["id"]

    def refusal() -> dict | None:
        answer = chat(stack, secret)
        return None if answer.status_code == 200 else answer.json()["error"]

    assert refusal() is None
    until(lambda: Decimal(budgets.get(budget)["spent_usd"]) > 0, "the spend of the budget")
    budgets.update(budget, limit_usd="0.000001")
    spent = refusal()
    assert spent["code"] == spent["type"] == "budget_exceeded"
    assert spent["meta"]["budget_id"] == budget
    assert spent["meta"]["budget_scope"] == "virtual_key"
    budgets.update(budget, limit_usd="100")
    assert refusal() is None


def test_a_call_that_does_not_fit_into_a_budget_is_refused_before_it_is_made(stack, budgets):
    key, secret = stack.mint("tight")
    budgets.create(scope=of_key(key), name="tight", window="total", limit_usd="0.000001")
    refused = chat(stack, secret)
    assert refused.status_code == 402
    assert refused.headers["x-langwatch-budget-blocked-by"] == "virtual_key:total"


def test_the_bucket_of_one_end_user_is_reset_alone(stack, budgets):
    key, _ = stack.mint("per user")
    template = budgets.create(
        scope={"kind": "attributed_user", "anchor_virtual_key_id": key},
        name="per user",
        window="day",
        limit_usd="1",
    )
    kept = budgets.reset(template["id"], end_user_id="user/1 ü", reason="asked for it")
    assert kept["current_period_started_at"] == template["current_period_started_at"]


def test_a_create_with_the_same_idempotency_key_makes_one_budget(stack, budgets):
    key, _ = stack.mint("of one budget")
    word, replays = marker(), []

    def create(limit: str = "1") -> dict:
        return budgets.create(
            scope=of_key(key),
            name=word,
            window="day",
            limit_usd=limit,
            idempotency_key=word,
            on_idempotent_replay=lambda: replays.append(word),
        )

    assert create() == create()
    assert replays == [word]
    with pytest.raises(LangWatchApiConflictError) as caught:
        create(limit="2")
    assert caught.value.code == "idempotency_error"


def test_refusals_raise_the_packages_typed_errors(stack, budgets):
    key, _ = stack.mint("of refused budgets")

    def refusal(error: type[Exception], call, *words, **fields) -> str:
        with pytest.raises(error) as caught:
            call(*words, **fields)
        return caught.value.code

    good = {"scope": of_key(key), "name": "x", "window": "day", "limit_usd": "1"}
    for wrong in (
        {"window": "year"},
        {"limit_usd": "0"},
        {"limit_usd": "0.0000001"},
        {"name": ""},
        {"scope": {"kind": "galaxy"}},
        {"on_breach": "explode"},
        {"metadata": {"a": 1}},
    ):
        code = refusal(LangWatchApiValidationError, budgets.create, **{**good, **wrong})
        assert code == "validation_error", wrong
    gone = {**good, "scope": of_key("vk_no-such-key")}
    assert refusal(LangWatchApiNotFoundError, budgets.create, **gone) == "virtual_key_not_found"
    assert refusal(LangWatchApiNotFoundError, budgets.get, "bgt_none") == "budget_not_found"
    for call in (budgets.update, budgets.reset, budgets.archive):
        assert refusal(LangWatchApiNotFoundError, call, "bgt_none") == "gateway_budget_not_found"
    word = marker()
    budgets.create(**good, external_id=word)
    again = refusal(LangWatchApiConflictError, budgets.create, **good, external_id=word)
    assert again == "external_id_conflict"


def test_a_program_reads_budgets_through_the_module(stack):
    program = "import langwatch; print(type(langwatch.gateway_budgets.list()).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "list"
