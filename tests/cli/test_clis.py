"""Coding command lines, unchanged but for address and key: they answer, run tools and edit files.

Each runs in a home of its own behind a proxy that refuses everything, so that whatever it wants beside
the gateway is known.
"""

import subprocess

import httpx
import pytest

from clis import ANSWER_TIME, CLIS, RUNS, Place
from lanes import KINDS, SERVED
from outside import outside
from stack import inherited, marker

SERVED_RUNS = [run for run in RUNS if (run[1], run[3]) in SERVED]
over_every_run = pytest.mark.parametrize(
    ("name", "surface", "model", "lane"),
    SERVED_RUNS,
    ids=[f"{name}-{model}-to-{lane}" for name, _, model, lane in SERVED_RUNS],
)


@pytest.fixture(scope="module")
def world():
    with outside() as world:
        yield world


@pytest.fixture(scope="module")
def keys(connected):
    """For a model and a lane, a key whose alias leads the one to the other."""
    made: dict[tuple[str, str], str] = {}

    def key(model: str, lane: str) -> str:
        if (model, lane) not in made:
            kind = KINDS[lane]
            aliases = {model: f"{kind.row}/{kind.model}"}
            _, made[model, lane] = connected.mint(f"{model} {lane}", {"model_aliases": aliases})
        return made[model, lane]

    return key


@pytest.fixture
def run(connected, world, keys, tmp_path, request):
    """Runs a tool on a prompt, and counts what it asked the provider for, titles aside."""
    programs = request.config.getoption("--node-modules")
    assert programs, "say where npm put the tools: pytest --node-modules PATH"

    def run(name: str, model: str, lane: str, prompt: str, files: dict[str, str] = {}):
        cli = CLIS[name]
        home, work = tmp_path / "home", tmp_path / "work"
        home.mkdir()
        work.mkdir()
        for file, text in files.items():
            (work / file).write_text(text)
        place = Place(home, work, connected.gateway, keys(model, lane))
        cli.settings(place)
        world.asked_for()
        before = connected.generations()
        done = subprocess.run(
            [f"{programs}/.bin/{cli.program}", *cli.arguments(model, prompt)],
            env={
                **inherited(),
                "HOME": str(home),
                "TMPDIR": str(home),
                "HTTP_PROXY": world.url,
                "HTTPS_PROXY": world.url,
                "NO_PROXY": "127.0.0.1",
                **cli.environment(place),
            },
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_TIME,
            check=False,
        )
        assert world.asked_for() <= cli.asks_for
        return done, connected.generations() - before - cli.beside

    yield run
    httpx.delete(f"{connected.provider}/_mock/script").raise_for_status()


TITLE = {"match": {"body_contains": "title generator"}, "times": 0, "text": "A title"}
"""opencode asks for one beside the answer."""


def play(stack, word: str, *answers: dict) -> None:
    """What the provider says to conversations with this word: a directive, or the turns of a loop."""
    stack.script(TITLE, *({"match": {"body_contains": word}, "times": 0} | it for it in answers))


def turns(*parts: list[dict]) -> dict:
    return {"turns": [{"parts": said} for said in parts]}


def assert_done(done: subprocess.CompletedProcess, reply: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert reply in done.stdout, said


@over_every_run
def test_an_answer_is_printed(connected, run, name, surface, model, lane):
    word, reply = marker(), marker()
    play(connected, word, {"text": reply})
    done, calls = run(name, model, lane, f"say {word}")
    assert_done(done, reply)
    assert calls == 1


@over_every_run
def test_a_tool_runs_and_its_result_goes_back(connected, run, name, surface, model, lane, tmp_path):
    word, reply, made = marker(), marker(), marker()
    # The reply is for those alone who have seen what the command printed.
    result = {"match": {"body_contains": f"{made}-ran"}, "times": 0, "text": reply}
    call = CLIS[name].shell(f"printf '%s-%s' {made} ran | tee made.txt")
    connected.script(result)
    play(connected, word, turns([{"text": "one moment"}, call]))
    done, calls = run(name, model, lane, f"do {word}")
    assert_done(done, reply)
    assert (tmp_path / "work" / "made.txt").read_text() == f"{made}-ran"
    assert calls == 2


@over_every_run
def test_a_file_is_edited(connected, run, name, surface, model, lane, tmp_path):
    word, reply = marker(), marker()
    poem = tmp_path / "work" / "poem.txt"
    edits = CLIS[name].edit(poem, "roses are blue", "roses are red")
    play(connected, word, turns(*([edit] for edit in edits), [{"text": reply}]))
    text = "roses are {}\nviolets are too\n"
    done, calls = run(name, model, lane, f"fix {word}", {poem.name: text.format("blue")})
    assert_done(done, reply)
    assert poem.read_text() == text.format("red")
    assert calls == len(edits) + 1


@over_every_run
def test_what_the_provider_refuses_is_told(connected, run, name, surface, model, lane):
    # Letters alone: opencode tries again whatever names a number like 429, wherever it stands.
    word, why = marker(), "refused for a reason of its own"
    play(connected, word, {"status": 400, "error_message": why})
    done, _ = run(name, model, lane, f"say {word}")
    assert why in done.stdout + done.stderr
