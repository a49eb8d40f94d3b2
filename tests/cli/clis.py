"""The coding command lines: how each is run without a screen, and what its tools are called.

`README.md` says the same for people. Start at `CLIS`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lanes import CHAT, GEMINI, MESSAGES, RESPONSES

ANSWER_TIME = 60.0
"""Seconds until a call of a tool counts as hanging; each takes one to five."""


def tool(name: str, **arguments) -> dict:
    return {"tool": {"name": name, "arguments": arguments}}


def patch(file: Path, before: str, after: str) -> str:
    """One line replaced, in the format of Codex."""
    return "\n".join(
        [
            "*** Begin Patch",
            f"*** Update File: {file.name}",
            "@@",
            f"-{before}",
            f"+{after}",
            "*** End Patch",
        ]
    )


@dataclass(frozen=True)
class Place:
    """Where one call happens."""

    home: Path
    work: Path
    gateway: str
    key: str


@dataclass(frozen=True)
class Cli:
    program: str
    """In `node_modules/.bin`."""
    environment: Callable[[Place], dict[str, str]]
    arguments: Callable[[str, str], list[str]]
    """From model and prompt."""
    shell: Callable[[str], dict]
    """The tool call that runs a command."""
    edit: Callable[[Path, str, str], list[dict]]
    """Tool calls, one a turn, that replace one line of a file."""
    settings: Callable[[Place], None] = lambda place: None
    """Writes its settings into its home."""
    beside: int = 0
    """Requests that it makes for each prompt beside those that answer it."""
    asks_for: frozenset[str] = field(default_factory=frozenset)
    """Other hosts that it asks for and can do without."""


def claude_environment(place: Place) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": place.gateway,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def claude_arguments(model: str, prompt: str) -> list[str]:
    tools = "Bash Read Edit Write"
    return ["-p", prompt, "--model", model, "--allowedTools", tools]


def claude_edit(file: Path, before: str, after: str) -> list[dict]:
    # It refuses to edit what it has not read.
    return [
        tool("Read", file_path=str(file)),
        tool("Edit", file_path=str(file), old_string=before, new_string=after),
    ]


CODEX_SETTINGS = """
model_provider = "langwatch"
check_for_update_on_startup = false

[analytics]
enabled = false

[features]
apps = false
plugins = false
remote_plugin = false

[model_providers.langwatch]
name = "LangWatch"
base_url = "{gateway}/v1"
env_key = "LANGWATCH_VIRTUAL_KEY"
wire_api = "responses"
"""


def codex_settings(place: Place) -> None:
    folder = place.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(CODEX_SETTINGS.format(gateway=place.gateway))


def codex_arguments(model: str, prompt: str) -> list[str]:
    # Its sandbox needs namespaces, which containers seldom allow.
    free = "--dangerously-bypass-approvals-and-sandbox"
    return ["exec", "--skip-git-repo-check", free, "-m", model, prompt]


def codex_shell(command: str) -> dict:
    return tool("exec_command", cmd=command)


def codex_edit(file: Path, before: str, after: str) -> list[dict]:
    # It recognizes its own patches among the commands.
    return [codex_shell(f"apply_patch <<'EOF'\n{patch(file, before, after)}\nEOF")]


def gemini_environment(place: Place) -> dict[str, str]:
    return {"GOOGLE_GEMINI_BASE_URL": place.gateway, "GEMINI_API_KEY": place.key}


def gemini_settings(place: Place) -> None:
    # The base address alone makes it ask for a way to sign in that it cannot validate.
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    }
    folder = place.home / ".gemini"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))


def gemini_arguments(model: str, prompt: str) -> list[str]:
    # Without a screen, tools that would ask are left out unless all are approved.
    return ["--skip-trust", "--approval-mode", "yolo", "-m", model, "-p", prompt]


def gemini_edit(file: Path, before: str, after: str) -> list[dict]:
    return [
        tool(
            "replace",
            file_path=str(file),
            instruction=f"write {after}",
            old_string=before,
            new_string=after,
        )
    ]


def opencode(package: str) -> Cli:
    """opencode with the provider package that speaks a surface."""

    def environment(place: Place) -> dict[str, str]:
        # The package adds no version to the address, whatever the vendor.
        options = {"baseURL": f"{place.gateway}/v1", "apiKey": "{env:LANGWATCH_VIRTUAL_KEY}"}
        models = {name: {} for name in ("gpt-5-mini", "claude-haiku-4-5")}
        provider = {"npm": package, "name": "LangWatch", "options": options, "models": models}
        settings = {"autoupdate": False, "share": "disabled", "provider": {"langwatch": provider}}
        return {
            "LANGWATCH_VIRTUAL_KEY": place.key,
            "OPENCODE_CONFIG_CONTENT": json.dumps(settings),
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
        }

    return Cli(
        program="opencode",
        environment=environment,
        arguments=lambda model, prompt: ["run", "--auto", "-m", f"langwatch/{model}", prompt],
        shell=lambda command: tool("bash", command=command, description="asked for"),
        edit=opencode_edit,
        # A title for the session.
        beside=1,
        # For a package of types that its plug-ins import.
        asks_for=frozenset({"registry.npmjs.org"}),
    )


def opencode_edit(file: Path, before: str, after: str) -> list[dict]:
    return [
        tool("read", filePath=str(file)),
        tool("edit", filePath=str(file), oldString=before, newString=after),
    ]


CLIS = {
    "claude": Cli(
        program="claude",
        environment=claude_environment,
        arguments=claude_arguments,
        shell=lambda command: tool("Bash", command=command, description="asked for"),
        edit=claude_edit,
    ),
    "codex": Cli(
        program="codex",
        environment=lambda place: {"LANGWATCH_VIRTUAL_KEY": place.key},
        settings=codex_settings,
        arguments=codex_arguments,
        shell=codex_shell,
        edit=codex_edit,
    ),
    "gemini": Cli(
        program="gemini",
        environment=gemini_environment,
        settings=gemini_settings,
        arguments=gemini_arguments,
        shell=lambda command: tool("run_shell_command", command=command, description="asked for"),
        edit=gemini_edit,
    ),
    "opencode-chat": opencode("@ai-sdk/openai-compatible"),
    "opencode-messages": opencode("@ai-sdk/anthropic"),
    "opencode-responses": opencode("@ai-sdk/openai"),
}

RUNS = (
    ("claude", MESSAGES, "claude-haiku-4-5", "lane-anthropic"),
    ("claude", MESSAGES, "claude-haiku-4-5", "lane-openai"),
    ("claude", MESSAGES, "claude-haiku-4-5", "lane-bedrock"),
    ("claude", MESSAGES, "claude-haiku-4-5", "lane-gemini"),
    ("codex", RESPONSES, "gpt-5-mini", "lane-openai"),
    ("codex", RESPONSES, "gpt-5-mini", "lane-anthropic"),
    ("codex", RESPONSES, "gpt-5-mini", "lane-bedrock"),
    ("codex", RESPONSES, "gpt-5-mini", "lane-gemini"),
    ("codex", RESPONSES, "gpt-5-mini", "lane-custom"),
    ("codex", RESPONSES, "gpt-5.5", "lane-anthropic"),
    ("gemini", GEMINI, "gemini-2.5-flash", "lane-gemini"),
    ("gemini", GEMINI, "gemini-2.5-flash", "lane-anthropic"),
    ("gemini", GEMINI, "gemini-2.5-flash", "lane-openai"),
    ("gemini", GEMINI, "gemini-2.5-flash", "lane-bedrock"),
    ("opencode-chat", CHAT, "claude-haiku-4-5", "lane-custom"),
    ("opencode-chat", CHAT, "claude-haiku-4-5", "lane-anthropic"),
    ("opencode-chat", CHAT, "claude-haiku-4-5", "lane-gemini"),
    ("opencode-messages", MESSAGES, "claude-haiku-4-5", "lane-anthropic"),
    ("opencode-messages", MESSAGES, "claude-haiku-4-5", "lane-openai"),
    ("opencode-responses", RESPONSES, "claude-haiku-4-5", "lane-openai"),
    ("opencode-responses", RESPONSES, "claude-haiku-4-5", "lane-anthropic"),
)
"""Tool, surface, the model that it is told, and the lane to which an alias of the key leads that name."""
