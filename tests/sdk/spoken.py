"""What a provider was asked, read from its own dialect into one form, for tests to compare.

Shares nothing with the product's translation. Each request is also held against the vendor's own
declarations (`dialects.py`). Start at `Spoken.of`.
"""

import json
import urllib.parse
from dataclasses import dataclass, field

from lanes import CHAT, GEMINI, MESSAGES, RESPONSES

CONVERSE = "converse"


def dialect_of(path: str) -> str:
    path = urllib.parse.urlsplit(path).path
    operation = path.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    return {
        "completions": CHAT,
        "responses": RESPONSES,
        "messages": MESSAGES,
        "count_tokens": MESSAGES,
        "rawPredict": MESSAGES,
        "streamRawPredict": MESSAGES,
        "generateContent": GEMINI,
        "streamGenerateContent": GEMINI,
        "converse": CONVERSE,
        "converse-stream": CONVERSE,
    }[operation]


@dataclass
class Spoken:
    """One request; texts in the order in which they stand."""

    dialect: str
    body: dict
    system: str = ""
    said: list[tuple[str, str]] = field(default_factory=list)
    """Role (`user` or `assistant`) and text."""
    calls: list[tuple[str, dict]] = field(default_factory=list)
    results: list[tuple[str, bool | None]] = field(default_factory=list)
    """Text of the result, and whether it is marked as an error, where that can be said."""
    images: list[str] = field(default_factory=list)
    """Base64, or an address."""
    thoughts: list[tuple[str, str]] = field(default_factory=list)
    """Text and signature."""
    tools: list[str] = field(default_factory=list)
    choice: object = None
    """`auto`, `none`, `any`, or the name of a tool in a list."""
    stop: list[str] = field(default_factory=list)
    cap: int | None = None
    temperature: float | None = None
    schema: dict | None = None

    @classmethod
    def of(cls, request: dict) -> "Spoken":
        """From a record of the mock."""
        dialect = dialect_of(request["path"])
        spoken = cls(dialect, json.loads(request["body"]))
        READERS[dialect](spoken, spoken.body)
        return spoken

    def says(self, text: str) -> bool:
        return any(text in said for _, said in self.said)


def pieces(content) -> list[dict]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def data_of(url: str) -> str:
    """The data of a data address; any other address as it is."""
    return url.partition(";base64,")[2] or url


def chat(it: Spoken, body: dict) -> None:
    for message in body["messages"]:
        role = message["role"]
        texts = []
        for piece in pieces(message.get("content")):
            if piece["type"] == "image_url":
                it.images.append(data_of(piece["image_url"]["url"]))
            else:
                texts.append(piece["text"])
        text = "".join(texts)
        if role in {"system", "developer"}:
            it.system += text
        elif role == "tool":
            it.results.append((text, None))
        elif text:
            it.said.append((role, text))
        for call in message.get("tool_calls") or []:
            function = call["function"]
            it.calls.append((function["name"], json.loads(function["arguments"])))
        for detail in message.get("reasoning_details") or []:
            it.thoughts.append((detail.get("text", ""), detail.get("signature", "")))
    it.tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    it.choice = openai_choice(body.get("tool_choice"))
    stop = body.get("stop") or []
    it.stop = [stop] if isinstance(stop, str) else stop
    it.cap = body.get("max_completion_tokens", body.get("max_tokens"))
    it.temperature = body.get("temperature")
    it.schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")


def openai_choice(choice):
    if isinstance(choice, dict):
        return [choice.get("function", choice)["name"]]
    return {"required": "any"}.get(choice, choice)


def responses(it: Spoken, body: dict) -> None:
    it.system = body.get("instructions") or ""
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        match item.get("type", "message"):
            case "message":
                responses_message(it, item)
            case "function_call":
                it.calls.append((item["name"], json.loads(item["arguments"])))
            case "function_call_output":
                it.results.append((text_of(item["output"]), None))
            case "reasoning":
                summary = "".join(part["text"] for part in item["summary"])
                it.thoughts.append((summary, item.get("encrypted_content") or ""))
            case other:
                raise AssertionError(f"an input item of type {other}")
    it.tools = [tool["name"] for tool in body.get("tools", [])]
    it.choice = openai_choice(body.get("tool_choice"))
    it.cap = body.get("max_output_tokens")
    it.temperature = body.get("temperature")
    it.schema = (body.get("text") or {}).get("format", {}).get("schema")


def responses_message(it: Spoken, item: dict) -> None:
    texts = []
    for piece in pieces(item["content"]):
        if piece["type"] == "input_image":
            it.images.append(data_of(piece["image_url"]))
        else:
            texts.append(piece["text"])
    text = "".join(texts)
    if item["role"] in {"system", "developer"}:
        it.system += text
    elif text:
        it.said.append((item["role"], text))


def text_of(content) -> str:
    return "".join(piece.get("text", "") for piece in pieces(content))


def messages(it: Spoken, body: dict) -> None:
    it.system = text_of(body.get("system"))
    for message in body["messages"]:
        for piece in pieces(message["content"]):
            match piece["type"]:
                case "text":
                    it.said.append((message["role"], piece["text"]))
                case "image":
                    source = piece["source"]
                    it.images.append(source.get("data") or source["url"])
                case "tool_use":
                    it.calls.append((piece["name"], piece["input"]))
                case "tool_result":
                    result = text_of(piece.get("content"))
                    it.results.append((result, piece.get("is_error", False)))
                case "thinking":
                    it.thoughts.append((piece["thinking"], piece["signature"]))
                case "redacted_thinking":
                    it.thoughts.append(("", piece["data"]))
                case other:
                    raise AssertionError(f"a block of type {other}")
    it.tools = [tool["name"] for tool in body.get("tools", [])]
    choice = body.get("tool_choice") or {}
    it.choice = [choice["name"]] if choice.get("type") == "tool" else choice.get("type")
    it.stop = body.get("stop_sequences") or []
    it.cap = body["max_tokens"]
    it.temperature = body.get("temperature")
    it.schema = (body.get("output_config") or {}).get("format", {}).get("schema")


def gemini(it: Spoken, body: dict) -> None:
    system = body.get("systemInstruction") or {"parts": []}
    it.system = "".join(part.get("text", "") for part in system["parts"])
    for content in body["contents"]:
        role = {"model": "assistant"}.get(content.get("role", "user"), "user")
        for part in content["parts"]:
            gemini_part(it, role, part)
    functions = [f for tool in body.get("tools", []) for f in tool.get("functionDeclarations", [])]
    it.tools = [function["name"] for function in functions]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = (calling.get("mode") or "").lower() or None
    it.choice = calling.get("allowedFunctionNames") or mode
    config = body.get("generationConfig") or {}
    it.stop = config.get("stopSequences") or []
    it.cap = config.get("maxOutputTokens")
    it.temperature = config.get("temperature")
    it.schema = config.get("responseJsonSchema") or config.get("responseSchema")


def gemini_part(it: Spoken, role: str, part: dict) -> None:
    signature = part.get("thoughtSignature", "")
    if part.get("thought") or signature:
        it.thoughts.append((part.get("text", "") if part.get("thought") else "", signature))
    if "functionCall" in part:
        it.calls.append((part["functionCall"]["name"], part["functionCall"].get("args", {})))
    elif "functionResponse" in part:
        response = part["functionResponse"]["response"]
        it.results.append((json.dumps(response), "error" in response or None))
    elif "inlineData" in part:
        # Google's SDK writes bytes in the alphabet for addresses.
        it.images.append(part["inlineData"]["data"].replace("-", "+").replace("_", "/"))
    elif "fileData" in part:
        file = part["fileData"]
        # Google's SDK writes some names with underscores, which Google takes.
        it.images.append(file.get("fileUri") or file["file_uri"])
    elif "text" in part and not part.get("thought"):
        it.said.append((role, part["text"]))


def converse(it: Spoken, body: dict) -> None:
    it.system = "".join(block.get("text", "") for block in body.get("system", []))
    for message in body["messages"]:
        for block in message["content"]:
            converse_block(it, message["role"], block)
    config = body.get("toolConfig") or {}
    it.tools = [tool["toolSpec"]["name"] for tool in config.get("tools", []) if "toolSpec" in tool]
    choice = config.get("toolChoice") or {}
    it.choice = [choice["tool"]["name"]] if "tool" in choice else next(iter(choice), None)
    inference = body.get("inferenceConfig") or {}
    it.stop = inference.get("stopSequences") or []
    it.cap = inference.get("maxTokens")
    it.temperature = inference.get("temperature")
    more = body.get("additionalModelRequestFields") or {}
    it.schema = (more.get("output_config") or {}).get("format", {}).get("schema")


def converse_block(it: Spoken, role: str, block: dict) -> None:
    match block:
        case {"text": text}:
            it.said.append((role, text))
        case {"image": {"source": {"bytes": data}}}:
            it.images.append(data)
        case {"toolUse": use}:
            it.calls.append((use["name"], use["input"]))
        case {"toolResult": result}:
            text = "".join(
                one["text"] if "text" in one else json.dumps(one) for one in result["content"]
            )
            it.results.append((text, result.get("status") == "error"))
        case {"reasoningContent": {"reasoningText": thought}}:
            it.thoughts.append((thought["text"], thought.get("signature", "")))
        case {"cachePoint": _}:
            pass
        case _:
            raise AssertionError(f"a block {block}")


READERS = {
    CHAT: chat,
    RESPONSES: responses,
    MESSAGES: messages,
    GEMINI: gemini,
    CONVERSE: converse,
}
