"""Holds golden files of translations against the vendors' own SDKs:

    python strict_goldens.py crates/translate/tests/goldens

Requests by the declarations of the SDKs' parameters, answers by their models, streams event by event and
then through the SDK's own way of putting a stream together. Prints what is wrong, and fails if anything is
or if there is nothing to look at. `LAYOUT` says where files stand; they are named as the product names
things.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import boto3
import botocore.awsrequest
import httpx2
import openai
from botocore.config import Config
from google import genai
from google.genai import types as google

import dialects
from lanes import CHAT, GEMINI, MESSAGES, RESPONSES
from spoken import CONVERSE

LAYOUT = (
    ("requests", "*.json"),
    ("answers", "*.json"),
    ("streams", "*.sse"),
    ("streams", "*.eventstream"),
)
"""What is judged: a folder below that of a dialect, and files in it, at any depth."""

FOLDERS = {
    "chat": CHAT,
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gemini": GEMINI,
    "converse": CONVERSE,
    # Claude on other clouds: its model stands in the address.
    "vertex-claude": MESSAGES,
    "bedrock-claude": MESSAGES,
}
"""The folders of dialects, and whose declarations hold in each."""

ELSEWHERE = {"vertex-claude", "bedrock-claude"}

NOWHERE = "http://127.0.0.1:9"
"""No SDK gets as far as to connect."""


def judge(dialect: str, what: str, file: Path, folder: str) -> list[str]:
    """What is wrong with one file."""
    if what == "streams" and dialect == CONVERSE:
        return converse_stream(file.read_bytes())
    if what == "streams":
        return stream(dialect, file.read_text())
    body = json.loads(file.read_text())
    if what == "answers":
        return dialects.answer_problems(dialect, body)
    if folder in ELSEWHERE:
        return elsewhere(body)
    return dialects.request_problems(dialect, body)


def elsewhere(body: dict) -> list[str]:
    """Claude's request on other clouds: its model is in the address, its version and betas in the body."""
    found = [".model: stands in the address"] if "model" in body else []
    if not isinstance(body.get("anthropic_version"), str):
        found.append(".anthropic_version: missing")
    rest = {key: body[key] for key in body.keys() - {"anthropic_version", "anthropic_beta"}}
    return found + dialects.request_problems(MESSAGES, {"model": "m", **rest})


def stream(dialect: str, text: str) -> list[str]:
    try:
        found = dialects.stream_problems(dialect, text)
    except (AssertionError, ValueError) as error:
        return [str(error)]
    try:
        whole = GATHER[dialect](replay(text, "text/event-stream"))
    except Exception as error:  # Whatever an SDK raises over a stream is the finding.
        return [*found, f"the SDK: {type(error).__name__}: {error}"]
    again = whole.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    return found if again else [*found, "the SDK read nothing"]


def replay(text: str, content_type: str) -> httpx2.Client:
    """A client to which every server answers this."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": content_type}
        return httpx2.Response(200, headers=headers, content=text.encode(), request=request)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


USER = [{"role": "user", "content": "hi"}]


def chat(http: httpx2.Client):
    client = openai.OpenAI(base_url=NOWHERE, api_key="k", http_client=http)
    chunks = client.chat.completions.create(model="m", messages=USER, stream=True)
    return dialects.gathered(chunks)


def responses(http: httpx2.Client):
    client = openai.OpenAI(base_url=NOWHERE, api_key="k", http_client=http)
    with client.responses.stream(model="m", input="hi") as stream:
        for event in stream:
            if event.type in {"response.incomplete", "response.failed"}:
                # The SDK gathers completed ones alone.
                return event.response
        return stream.get_final_response()


def messages(http: httpx2.Client):
    client = anthropic.Anthropic(base_url=NOWHERE, api_key="k", http_client=http)
    with client.messages.stream(model="m", max_tokens=1, messages=USER) as stream:
        return stream.get_final_message()


def gemini(http: httpx2.Client):
    options = google.HttpOptions(base_url=NOWHERE, httpx_client=http)
    client = genai.Client(api_key="k", http_options=options)
    frames = list(client.models.generate_content_stream(model="m", contents="hi"))
    assert frames[-1].candidates and frames[-1].candidates[0].finish_reason, "no reason at the end"
    return frames[-1]


GATHER: dict[str, Callable] = {
    CHAT: chat,
    RESPONSES: responses,
    MESSAGES: messages,
    GEMINI: gemini,
}


def converse_stream(data: bytes) -> list[str]:
    """Of an event stream of AWS, read by boto3: its checksums, its frames and its shapes."""

    def answer(request, **_):
        headers = {"content-type": "application/vnd.amazon.eventstream"}
        return botocore.awsrequest.AWSResponse(request.url, 200, headers, Raw(data))

    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=NOWHERE,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send.bedrock-runtime.ConverseStream", answer)
    asked = [{"role": "user", "content": [{"text": "hi"}]}]
    try:
        events = list(client.converse_stream(modelId="m", messages=asked)["stream"])
    except Exception as error:  # Likewise.
        return [f"boto3: {type(error).__name__}: {error}"]
    kinds = [next(iter(event)) for event in events]
    ends = kinds[:1] == ["messageStart"] and kinds[-2:] == ["messageStop", "metadata"]
    return [] if ends else [f"events in the order {kinds}"]


class Raw:
    """The body of an answer, as urllib3 hands it to botocore."""

    def __init__(self, data: bytes):
        self.data = data

    def stream(self, *_, **__) -> Iterator[bytes]:
        yield self.data

    def close(self) -> None:
        pass


def files(root: Path) -> Iterator[tuple[str, str, Path]]:
    for folder in sorted(path.name for path in root.iterdir() if path.is_dir()):
        for what, pattern in LAYOUT:
            for file in sorted((root / folder / what).rglob(pattern)):
                yield folder, what, file


def main(root: Path) -> int:
    judged = failed = 0
    for folder, what, file in files(root):
        judged += 1
        if folder not in FOLDERS:
            found = [f"`{folder}` is no dialect: FOLDERS says which there are"]
        else:
            found = judge(FOLDERS[folder], what, file, folder)
        failed += bool(found)
        for problem in found:
            print(f"{file.relative_to(root)}: {problem}")
    print(f"{judged} golden files, {failed} refused")
    return 1 if failed or not judged else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
