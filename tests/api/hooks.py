"""Makes the fuzzer reach what a random id never does: real rows, real references, each family's credential.

Schemathesis imports this and calls `before_call` and `after_call`. The rows are made by the administrator,
whoever calls, and made anew once the fuzzer has deleted or revoked them. Start at `before_call`; to reach
a new kind of row, add its maker to `CREATES`.
"""

import atexit
import base64
import collections
import dataclasses
import itertools
import json
import os
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import schemathesis

ENDPOINT = os.environ["FUZZ_ENDPOINT"]
API_KEY = os.environ["FUZZ_API_KEY"]
INSTANCE_KEY = os.environ["FUZZ_INSTANCE_KEY"]
PROVIDER = os.environ["FUZZ_PROVIDER"]
REQUEST = os.environ["FUZZ_REQUEST"]
CALLER = os.environ["FUZZ_CALLER"]

REAL = 0.8
"""How often an id is one of a real row."""

PATIENCE = 6
"""After how many calls of an operation without a success one is made right in every part."""

VALID = 0.4
"""How often the required fields of a create are made right."""

OWN = 0.3
"""How often such a body keeps what the fuzzer thought of for one of its other fields."""

CHANCE = random.Random(1)
NUMBERS = itertools.count()
LOCK = threading.Lock()

GATEWAY = "/api/gateway/v1"


def call(method, path, body=None):
    """What the administrator is answered, who must not be refused."""
    request = urllib.request.Request(
        ENDPOINT + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = f"{method} {path} {body}: {error.code} {error.read().decode()}"
        raise AssertionError(f"a row for the fuzzer cannot be made: {text}") from None


def post(path, **body):
    return call("POST", path, body)


def new():
    """A name that no row has."""
    return f"fuzz {os.getpid()} {CALLER} {next(NUMBERS)}"


def everywhere():
    return [{"scope_type": "organization", "scope_id": row("organizations")}]


def in_project(role):
    return {"role": role, "scopeType": "PROJECT", "scopeId": row("projects")}


def budget_scope():
    return CHANCE.choice(
        [
            {"kind": "organization", "organization_id": row("organizations")},
            {"kind": "team", "team_id": row("teams")},
            {"kind": "project", "project_id": row("projects")},
            {"kind": "virtual_key", "virtual_key_id": row("virtual-keys")},
            {"kind": "principal", "principal_user_id": row("members")},
            {"kind": "group", "group_id": row("groups")},
            {"kind": "attributed_user", "anchor_project_id": row("projects")},
            {"kind": "attributed_user", "anchor_virtual_key_id": row("virtual-keys")},
        ]
    )


@dataclasses.dataclass
class Create:
    """How a row of a kind is made."""

    path: Callable[[], str]
    body: Callable[[], dict]
    id: str
    """Where the answer has the id of the row, separated by dots."""

    def make(self):
        found = post(self.path(), **self.body())
        for step in self.id.split("."):
            found = found[int(step) if step.isdigit() else step]
        return found


def creates(path, id, body):
    return Create((lambda: path) if isinstance(path, str) else path, body, id)


# By the segment of a path before the parameter; with its parent where that decides.
CREATES = {
    "teams": creates("/api/teams", "id", lambda: {"name": new()}),
    "teams/members": creates(
        lambda: f"/api/teams/{row('teams')}/members", "userId", lambda: {"userId": row("members")}
    ),
    "projects": creates(
        "/api/projects",
        "id",
        lambda: {"name": new(), "language": "x", "framework": "x", "newTeamName": new()},
    ),
    "model-providers": creates(
        f"{GATEWAY}/model-providers",
        "model_provider.id",
        lambda: {
            "provider": "openai",
            "custom_keys": {"OPENAI_API_KEY": "sk-fuzz", "OPENAI_BASE_URL": f"{PROVIDER}/v1"},
        },
    ),
    "virtual-keys": creates(
        f"{GATEWAY}/virtual-keys",
        "virtual_key.id",
        lambda: {"name": new(), "scopes": everywhere()},
    ),
    "budgets": creates(
        f"{GATEWAY}/budgets",
        "budget.id",
        lambda: {"name": new(), "window": "month", "limit_usd": 5, "scope": budget_scope()},
    ),
    "routing-policies": creates(
        f"{GATEWAY}/routing-policies",
        "routing_policy.id",
        lambda: {
            "name": new(),
            "scopes": everywhere(),
            "model_provider_ids": [row("model-providers")],
        },
    ),
    "cache-rules": creates(
        f"{GATEWAY}/cache-rules",
        "cache_rule.id",
        lambda: {
            "name": new(),
            "matchers": {"model": "gpt-5"},
            "action": {"mode": "force", "ttl": 60},
        },
    ),
    "guardrails": creates(
        f"{GATEWAY}/guardrails",
        "guardrail.id",
        lambda: {
            "name": new(),
            "project_id": row("projects"),
            "direction": "pre",
            "evaluator": {"slug": "length", "settings": {"max_chars": 10}},
        },
    ),
    "model-prices": creates(
        f"{GATEWAY}/model-prices",
        "model_price.id",
        lambda: {"model": new(), "rates": {"input_cost_per_token": "0.000001"}},
    ),
    "roles": creates(
        "/api/roles", "id", lambda: {"name": new(), "permissions": ["virtualKeys:view"]}
    ),
    "groups": creates("/api/groups", "id", lambda: {"name": new()}),
    "groups/members": creates(
        lambda: f"/api/groups/{row('groups')}/members", "userId", lambda: {"userId": row("members")}
    ),
    "groups/bindings": creates(
        lambda: f"/api/groups/{row('groups')}/bindings", "id", lambda: in_project("VIEWER")
    ),
    "role-bindings": creates(
        "/api/role-bindings",
        "id",
        lambda: {
            "groupId": row("groups"),
            **in_project("MEMBER"),
            # One principal only, whatever the fuzzer thought of.
            "userId": None,
            "apiKeyId": None,
            "customRoleId": None,
        },
    ),
    "api-keys": creates(
        "/api/api-keys",
        "apiKey.id",
        lambda: {"keyType": "service", "name": new(), "bindings": [in_project("VIEWER")]},
    ),
    "invites": creates(
        "/api/organization/invites",
        "invites.0.id",
        lambda: {
            "invites": [
                {"email": f"{os.getpid()}-{next(NUMBERS)}@example.com", "role": "MEMBER"},
            ]
        },
    ),
}

# What is there without being made.
FOUND = {
    "provider-kinds": lambda: "openai",
    "organizations": lambda: call("GET", "/api/organization")["id"],
    "members": lambda: call("GET", "/api/organization/members")["members"][0]["userId"],
    "requests": lambda: REQUEST,
    "traces": lambda: REQUEST,
}

# The bodies of the writes that make no row of their own, but are rarely right by chance.
BODIES = {
    "/api/traces/search": lambda: {"startDate": 0, "endDate": 4102444800000},
    "/api/organizations": lambda: {"name": new()},
    "/api/role-bindings/{id}": lambda: {"role": "VIEWER"},
    "/api/model-providers/{provider}": lambda: {
        "enabled": True,
        "customKeys": {"OPENAI_API_KEY": "sk-fuzz"},
    },
}


OF_A_PROJECT = {"/api/me/project"}
"""What only works when a project is named."""


def valid_body(template):
    """A body that is taken at this path, or nothing."""
    if template in BODIES:
        return BODIES[template]()
    if template.endswith("}"):
        return None
    segments = [*template.split("/"), ""]
    create = CREATES.get(kind_at(segments, len(segments) - 1))
    return create.body() if create else None


def kind_at(segments, place):
    """The kind of row that a path names at a place."""
    before = segments[place - 1]
    if segments[place] == "{provider}":
        return "provider-kinds"
    parent = f"{segments[max(place - 3, 0)]}/{before}"
    return parent if parent in CREATES else before


# What the fields of bodies and queries refer to, in either spelling.
REFERENCES = {
    "organizationid": "organizations",
    "teamid": "teams",
    "projectid": "projects",
    "projectids": "projects",
    "traceprojectid": "projects",
    "anchorprojectid": "projects",
    "virtualkeyid": "virtual-keys",
    "anchorvirtualkeyid": "virtual-keys",
    "vkid": "virtual-keys",
    "modelproviderids": "model-providers",
    "providersallowed": "model-providers",
    "routingpolicyid": "routing-policies",
    "guardrailids": "guardrails",
    "evaluatorid": "guardrails",
    "groupid": "groups",
    "customroleid": "roles",
    "apikeyid": "api-keys",
    "userid": "members",
    "memberids": "members",
    "principaluserid": "members",
    "assignedtouserid": "members",
    "traceids": "traces",
}

ROWS = {}
SEEN = {}


@atexit.register
def report():
    """How often each operation answered with each status."""
    with open(os.environ["FUZZ_REPORT"], "w") as file:
        json.dump(SEEN, file)


def row(kind):
    """The id of the row of a kind, which is made if there is none."""
    if kind not in ROWS:
        ROWS[kind] = FOUND[kind]() if kind in FOUND else CREATES[kind].make()
    return ROWS[kind]


def refers_to(name, siblings):
    """The kind of row that a field names, or nothing."""
    plain = name.replace("_", "").lower()
    if plain == "scopeid":
        scope = siblings.get("scope_type") or siblings.get("scopeType")
        return {"organization": "organizations", "team": "teams", "project": "projects"}.get(
            str(scope).lower()
        )
    return REFERENCES.get(plain)


def referring(value):
    """`value` with real ids where it names rows, most of the time."""
    if isinstance(value, list):
        return [referring(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, item in value.items():
        kind = refers_to(name, value) if isinstance(name, str) else None
        if kind and isinstance(item, str) and CHANCE.random() < REAL:
            out[name] = row(kind)
        elif kind and isinstance(item, list) and item and CHANCE.random() < REAL:
            out[name] = [row(kind)]
        else:
            out[name] = referring(item)
    return out


def credential():
    """What the caller sends, by the kind of credential."""
    if CALLER == "administrator":
        return {"Authorization": f"Bearer {API_KEY}"}
    projects = call("GET", "/api/projects")["data"]
    project = next(each["id"] for each in projects if each["kind"] == "application")
    if CALLER == "project":
        return {"X-Auth-Token": call("GET", f"/api/projects/{project}/api-key")["apiKey"]}
    permissions = ["virtualKeys:view", "virtualKeys:create", "gatewayBudgets:view", "traces:view"]
    token = post(
        "/api/api-keys",
        keyType="service",
        name=new(),
        permissionMode="restricted",
        permissions=permissions,
        bindings=[{"role": "CUSTOM", "scopeType": "PROJECT", "scopeId": project}],
    )["token"]
    basic = base64.b64encode(f"{project}:{token}".encode()).decode()
    return {"Authorization": f"Basic {basic}"}


def pillars():
    """The ids of what everything else stands on. The fuzzer learns ids from answers, and with these gone
    it would see nothing but refusals."""
    lists = [
        call("GET", "/api/projects?limit=1000")["data"],
        call("GET", "/api/teams?limit=1000")["data"],
        call("GET", "/api/api-keys")["data"],
        call("GET", "/api/role-bindings?limit=1000")["bindings"],
    ]
    return {each["id"] for rows in lists for each in rows}


CREDENTIAL = credential()
PILLARS = pillars()
CREDENTIAL_HEADERS = {"authorization", "x-auth-token", "x-project-id"}


def is_overdue(operation):
    """Whether it is time for a call that must succeed: chance had its turn."""
    seen = SEEN.get(operation.label, {})
    served = any(200 <= status < 300 for status in seen)
    return CALLER == "administrator" and not served and sum(seen.values()) >= PATIENCE


def real_path(case, real):
    """Real ids in the path, each with the chance `real`."""
    segments = case.operation.path.split("/")
    for place, segment in enumerate(segments):
        name = segment.strip("{}")
        if segment == name or name not in (case.path_parameters or {}):
            continue
        kept = case.path_parameters[name] in PILLARS and case.operation.method.upper() != "GET"
        kind = kind_at(segments, place)
        if (kind in CREATES or kind in FOUND) and (kept or CHANCE.random() < real):
            case.path_parameters[name] = row(kind)


def better_body(template, body, overdue):
    """The fuzzer's body with real references; sometimes with what is required made right."""
    valid = valid_body(template)
    if overdue:
        return valid or {}
    body = referring(body)
    if valid and CHANCE.random() < VALID:
        # A few of the fuzzer's own fields stay.
        own = {name: item for name, item in body.items() if CHANCE.random() < OWN}
        return {**own, **valid}
    return body


def credential_for(template):
    """The headers of the caller's credential in the family of a path."""
    instance = template == "/api/organizations" or template.startswith("/api/organizations/")
    if instance and CALLER == "administrator":
        return {"Authorization": f"Bearer {INSTANCE_KEY}"}
    return CREDENTIAL


@schemathesis.hook
def before_call(context, case, kwargs):
    """Real ids in most places, and the credential that the family takes."""
    template = case.operation.path
    with LOCK:
        overdue = is_overdue(case.operation)
        if overdue:
            # Rows of which nothing else has come to depend.
            ROWS.clear()
        real_path(case, 1 if overdue else REAL)
        if isinstance(case.body, dict) or (overdue and case.operation.body):
            case.body = better_body(template, case.body, overdue)
        if case.query:
            case.query = {} if overdue else referring(dict(case.query))
        headers = {
            name: value
            for name, value in (case.headers or {}).items()
            if not overdue and name.lower() not in CREDENTIAL_HEADERS
        }
        headers.update(credential_for(template))
        # Naming a project narrows the context of an organization's credential.
        if CALLER == "administrator" and (
            template in OF_A_PROJECT if overdue else CHANCE.random() < 0.2
        ):
            headers["X-Project-Id"] = row("projects")
        case.headers = headers


@schemathesis.hook
def after_call(context, case, response):
    """Forgets every row once one may be gone: what is gone can take others with it."""
    ends = case.operation.method.upper() == "DELETE" or case.operation.path.endswith("/revoke")
    with LOCK:
        SEEN.setdefault(case.operation.label, collections.Counter())[response.status_code] += 1
        named = any(id in ROWS.values() for id in (case.path_parameters or {}).values())
        if named and (response.status_code == 404 or (ends and response.status_code == 200)):
            ROWS.clear()
