"""One conversation through each official SDK, with the same words for all of them.

A `Talk` keeps its history in the SDK's own shapes: what the SDK gave is what the next turn sends. Every
answer and every event of a stream is held against the SDK's declarations as it came from the wire.
"""

import json
from dataclasses import dataclass

import anthropic
import httpx2
import openai
from anthropic.types import Message
from google import genai
from google.genai import types as google

import dialects
from lanes import CHAT, GEMINI, MESSAGES, RESPONSES, Kind
from stack import DEADLINE, Stack

ROOMY = 4096
"""An output cap that no answer meets, where a dialect wants one."""


class Tee(httpx2.BaseTransport):
    """Sends as ever, and keeps what came back: the SDKs forget what they could not read."""

    def __init__(self):
        self.inner = httpx2.HTTPTransport()
        self.body = b""
        self.headers = httpx2.Headers()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self.inner.handle_request(request)
        assert "content-encoding" not in response.headers
        self.body, self.headers = b"", response.headers
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=Copied(self, response.stream),
            extensions=response.extensions,
        )


class Copied(httpx2.SyncByteStream):
    def __init__(self, tee: Tee, stream):
        self.tee, self.stream = tee, stream

    def __iter__(self):
        for piece in self.stream:
            self.tee.body += piece
            yield piece

    def close(self):
        self.stream.close()


@dataclass(frozen=True)
class Tool:
    name: str
    schema: dict
    description: str = "A tool of the test"


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: dict


@dataclass(frozen=True)
class Usage:
    prompt: int
    """All input, what came from a cache included."""
    completion: int
    """All output, reasoning included."""
    cached: int
    reasoning: int | None
    """`None` where the dialect cannot say."""


@dataclass(frozen=True)
class Asked:
    """What one request wants; every SDK spells it in its own way."""

    system: str | None = None
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    """`auto`, `any`, `none` or the name of a tool."""
    schema: dict | None = None
    stop: tuple[str, ...] = ()
    cap: int | None = None
    think: bool = False
    stream: bool = False


@dataclass(frozen=True)
class Said:
    text: str
    calls: tuple[Call, ...]
    stop: str
    """`end`, `tool`, `length`, `stop_sequence` or `filter`; `end` also where a dialect cannot tell."""
    usage: Usage
    thought: str
    model: str


class Talk:
    surface: str

    def __init__(self, stack: Stack, kind: Kind, key: str | None = None):
        self.kind = kind
        self.tee = Tee()
        self.history: list = []
        self.client = self.connect(stack, key or stack.key, httpx2.Client(transport=self.tee))

    @property
    def headers(self) -> httpx2.Headers:
        """Of the last answer."""
        return self.tee.headers

    def ask(self, **asked) -> Said:
        """One request; its answer becomes part of the history."""
        asked = Asked(**asked)
        native = self.streamed(asked) if asked.stream else self.plain(asked)
        text = self.tee.body.decode()
        if asked.stream:
            opens_bare = self.surface == CHAT and self.kind.provider == "azure"
            found = dialects.stream_problems(self.surface, text, opens_bare=opens_bare)
        else:
            found = dialects.answer_problems(self.surface, json.loads(text))
        assert not found, "\n".join(found)
        assert self.headers["x-langwatch-provider"] == self.kind.answers_as
        self.remember(native)
        return self.said(native)


def arguments(text: str) -> dict:
    return json.loads(text) if text else {}


class Chat(Talk):
    surface = CHAT

    def connect(self, stack, key, http):
        return openai.OpenAI(
            base_url=stack.openai_url, api_key=key, max_retries=0, timeout=DEADLINE, http_client=http
        )

    def user(self, text: str, image: str | None = None) -> None:
        content = text
        if image:
            picture = {"type": "image_url", "image_url": {"url": image}}
            content = [{"type": "text", "text": text}, picture]
        self.history.append({"role": "user", "content": content})

    def results(self, *results: tuple[Call, str, bool]) -> None:
        self.history += [
            {"role": "tool", "tool_call_id": call.id, "content": text} for call, text, _ in results
        ]

    def body(self, asked: Asked) -> dict:
        body = {"model": self.kind.name, "messages": list(self.history)}
        if asked.system:
            body["messages"].insert(0, {"role": "system", "content": asked.system})
        if asked.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.schema,
                    },
                }
                for tool in asked.tools
            ]
        if asked.choice:
            named = {"type": "function", "function": {"name": asked.choice}}
            spelt = {"any": "required", "auto": "auto", "none": "none"}
            body["tool_choice"] = spelt.get(asked.choice, named)
        if asked.schema:
            schema = {"name": "answer", "schema": asked.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if asked.stop:
            body["stop"] = list(asked.stop)
        if asked.cap:
            body["max_completion_tokens"] = asked.cap
        if asked.think:
            body["reasoning_effort"] = "low"
        return body

    def plain(self, asked: Asked):
        return self.client.chat.completions.create(**self.body(asked))

    def streamed(self, asked: Asked):
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = self.client.chat.completions.create(**self.body(asked), **options)
        return dialects.gathered(chunks)

    def remember(self, native) -> None:
        # The whole message, with what the SDK does not declare: reasoning has to come back.
        message = native.choices[0].message.to_dict(exclude_none=True)
        for call in message.get("tool_calls", []):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        message.pop("parsed", None)
        self.history.append(message)

    def said(self, native) -> Said:
        [choice] = native.choices
        usage = native.usage
        read, written = usage.prompt_tokens_details, usage.completion_tokens_details
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        ends = {"stop": "end", "tool_calls": "tool", "content_filter": "filter"}
        return Said(
            text=choice.message.content or "",
            calls=tuple(
                Call(call.id, call.function.name, arguments(call.function.arguments))
                for call in choice.message.tool_calls or ()
            ),
            stop=ends.get(choice.finish_reason, choice.finish_reason),
            usage=Usage(
                usage.prompt_tokens,
                usage.completion_tokens,
                (read and read.cached_tokens) or 0,
                (written and written.reasoning_tokens) or 0,
            ),
            thought=(choice.message.model_extra or {}).get("reasoning") or "",
            model=native.model,
        )


class Responses(Talk):
    surface = RESPONSES
    connect = Chat.connect

    def user(self, text: str, image: str | None = None) -> None:
        content = [{"type": "input_text", "text": text}]
        if image:
            content.append({"type": "input_image", "image_url": image, "detail": "auto"})
        self.history.append({"type": "message", "role": "user", "content": content})

    def results(self, *results: tuple[Call, str, bool]) -> None:
        self.history += [
            {"type": "function_call_output", "call_id": call.id, "output": text}
            for call, text, _ in results
        ]

    def body(self, asked: Asked) -> dict:
        body = {"model": self.kind.name, "input": list(self.history), "store": False}
        if asked.system:
            body["instructions"] = asked.system
        if asked.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.schema,
                    "strict": False,
                }
                for tool in asked.tools
            ]
        if asked.choice:
            spelt = {"any": "required", "auto": "auto", "none": "none"}
            named = {"type": "function", "name": asked.choice}
            body["tool_choice"] = spelt.get(asked.choice, named)
        if asked.schema:
            schema = {"type": "json_schema", "name": "answer", "schema": asked.schema}
            body["text"] = {"format": schema | {"strict": True}}
        if asked.cap:
            body["max_output_tokens"] = asked.cap
        if asked.think:
            body["reasoning"] = {"effort": "low", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        return body

    def plain(self, asked: Asked):
        return self.client.responses.create(**self.body(asked))

    def streamed(self, asked: Asked):
        events = list(self.client.responses.create(**self.body(asked), stream=True))
        numbers = [event.sequence_number for event in events]
        assert numbers == sorted(set(numbers))
        last = events[-1]
        assert last.type in {"response.completed", "response.incomplete"}, last
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == last.response.output_text
        done = [event.item for event in events if event.type == "response.output_item.done"]
        assert [item.to_dict() for item in done] == [it.to_dict() for it in last.response.output]
        return last.response

    def remember(self, native) -> None:
        self.history += [item.to_dict(exclude_none=True) for item in native.output]

    def said(self, native) -> Said:
        usage = native.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        calls = [item for item in native.output if item.type == "function_call"]
        why = native.incomplete_details and native.incomplete_details.reason
        ends = {"max_output_tokens": "length", "content_filter": "filter"}
        assert (native.status == "incomplete") == bool(why)
        return Said(
            text=native.output_text,
            calls=tuple(Call(it.call_id, it.name, arguments(it.arguments)) for it in calls),
            stop=ends[why] if why else "tool" if calls else "end",
            usage=Usage(
                usage.input_tokens,
                usage.output_tokens,
                usage.input_tokens_details.cached_tokens,
                usage.output_tokens_details.reasoning_tokens,
            ),
            thought="".join(
                part.text for it in native.output if it.type == "reasoning" for part in it.summary
            ),
            model=native.model,
        )


class Messages(Talk):
    surface = MESSAGES

    def connect(self, stack, key, http):
        return anthropic.Anthropic(
            base_url=stack.gateway, api_key=key, max_retries=0, timeout=DEADLINE, http_client=http
        )

    def user(self, text: str, image: str | None = None) -> None:
        content: list[dict] = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image", "source": messages_source(image)})
        self.history.append({"role": "user", "content": content})

    def results(self, *results: tuple[Call, str, bool]) -> None:
        blocks = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": text,
                "is_error": is_error,
            }
            for call, text, is_error in results
        ]
        self.history.append({"role": "user", "content": blocks})

    def body(self, asked: Asked) -> dict:
        cap = asked.cap or ROOMY
        body = {"model": self.kind.name, "max_tokens": cap, "messages": list(self.history)}
        if asked.system:
            body["system"] = asked.system
        if asked.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
                for tool in asked.tools
            ]
        if asked.choice:
            known = asked.choice in {"any", "auto", "none"}
            named = {"type": "tool", "name": asked.choice}
            body["tool_choice"] = {"type": asked.choice} if known else named
        if asked.schema:
            format = {"type": "json_schema", "schema": asked.schema}
            body["output_config"] = {"format": format}
        if asked.stop:
            body["stop_sequences"] = list(asked.stop)
        if asked.think:
            # Said in so many words: of OpenAI a summary has to be asked for, and not everybody may.
            shown = {"display": "summarized"}
            body["thinking"] = {"type": "enabled", "budget_tokens": 1024, **shown}
        return body

    def plain(self, asked: Asked) -> Message:
        return self.client.messages.create(**self.body(asked))

    def streamed(self, asked: Asked) -> Message:
        with self.client.messages.stream(**self.body(asked)) as stream:
            return stream.get_final_message()

    def remember(self, native) -> None:
        content = [block.to_dict(exclude_none=True) for block in native.content]
        self.history.append({"role": "assistant", "content": content})

    def said(self, native) -> Said:
        usage = native.usage
        cached = usage.cache_read_input_tokens or 0
        written = usage.cache_creation_input_tokens or 0
        ends = {"end_turn": "end", "tool_use": "tool", "max_tokens": "length", "refusal": "filter"}
        return Said(
            text="".join(block.text for block in native.content if block.type == "text"),
            calls=tuple(
                Call(it.id, it.name, it.input) for it in native.content if it.type == "tool_use"
            ),
            stop=ends.get(native.stop_reason, native.stop_reason),
            usage=Usage(usage.input_tokens + cached + written, usage.output_tokens, cached, None),
            thought="".join(it.thinking for it in native.content if it.type == "thinking"),
            model=native.model,
        )


def messages_source(image: str) -> dict:
    if image.startswith("data:"):
        media, _, data = image.removeprefix("data:").partition(";base64,")
        return {"type": "base64", "media_type": media, "data": data}
    return {"type": "url", "url": image}


class Gemini(Talk):
    surface = GEMINI

    def connect(self, stack, key, http):
        options = google.HttpOptions(base_url=stack.gateway, httpx_client=http)
        return genai.Client(api_key=key, http_options=options)

    def user(self, text: str, image: str | None = None) -> None:
        parts = [google.Part(text=text)]
        if image and image.startswith("data:"):
            media, _, data = image.removeprefix("data:").partition(";base64,")
            blob = google.Blob.model_validate({"mimeType": media, "data": data})
            parts.append(google.Part(inline_data=blob))
        elif image:
            parts.append(google.Part(file_data=google.FileData(file_uri=image, mime_type="image/png")))
        self.history.append(google.Content(role="user", parts=parts))

    def results(self, *results: tuple[Call, str, bool]) -> None:
        parts = [
            google.Part(
                function_response=google.FunctionResponse(
                    id=call.id or None,
                    name=call.name,
                    response={"error" if is_error else "result": text},
                )
            )
            for call, text, is_error in results
        ]
        self.history.append(google.Content(role="user", parts=parts))

    def config(self, asked: Asked) -> google.GenerateContentConfig:
        config: dict = {}
        if asked.system:
            config["system_instruction"] = asked.system
        if asked.tools:
            functions = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters_json_schema": tool.schema,
                }
                for tool in asked.tools
            ]
            config["tools"] = [{"function_declarations": functions}]
        if asked.choice:
            known = asked.choice in {"any", "auto", "none"}
            calling = {"mode": asked.choice.upper() if known else "ANY"}
            if not known:
                calling["allowed_function_names"] = [asked.choice]
            config["tool_config"] = {"function_calling_config": calling}
        if asked.schema:
            config["response_mime_type"] = "application/json"
            config["response_json_schema"] = asked.schema
        if asked.stop:
            config["stop_sequences"] = list(asked.stop)
        if asked.cap:
            config["max_output_tokens"] = asked.cap
        if asked.think:
            config["thinking_config"] = {"include_thoughts": True, "thinking_budget": 1024}
        return google.GenerateContentConfig(**config)

    def plain(self, asked: Asked) -> google.GenerateContentResponse:
        return self.client.models.generate_content(
            model=self.kind.name, contents=list(self.history), config=self.config(asked)
        )

    def streamed(self, asked: Asked) -> google.GenerateContentResponse:
        frames = list(
            self.client.models.generate_content_stream(
                model=self.kind.name, contents=list(self.history), config=self.config(asked)
            )
        )
        parts = [part for frame in frames for part in parts_of(frame)]
        last = frames[-1].model_copy(deep=True)
        last.candidates[0].content = google.Content(role="model", parts=joined(parts))
        return last

    def remember(self, native) -> None:
        self.history.append(google.Content(role="model", parts=parts_of(native)))

    def said(self, native) -> Said:
        parts = parts_of(native)
        calls = tuple(
            Call(part.function_call.id or "", part.function_call.name, part.function_call.args or {})
            for part in parts
            if part.function_call
        )
        usage = native.usage_metadata
        thoughts = usage.thoughts_token_count or 0
        reason = native.candidates[0].finish_reason.name
        ends = {"STOP": "end", "MAX_TOKENS": "length", "SAFETY": "filter"}
        return Said(
            text="".join(part.text for part in parts if part.text and not part.thought),
            calls=calls,
            stop="tool" if calls and reason == "STOP" else ends.get(reason, reason),
            usage=Usage(
                usage.prompt_token_count,
                (usage.candidates_token_count or 0) + thoughts,
                usage.cached_content_token_count or 0,
                thoughts,
            ),
            thought="".join(part.text for part in parts if part.text and part.thought),
            model=native.model_version,
        )


def parts_of(frame: google.GenerateContentResponse) -> list[google.Part]:
    content = frame.candidates[0].content if frame.candidates else None
    return (content and content.parts) or []


def joined(parts: list[google.Part]) -> list[google.Part]:
    """Pieces of one text as one part, which is what an application shows and sends back."""
    done: list[google.Part] = []
    for part in parts:
        before = done[-1] if done else None
        plain = part.text is not None and not part.thought_signature
        if before and plain and before.text is not None and before.thought == part.thought:
            done[-1] = before.model_copy(update={"text": before.text + part.text})
        else:
            done.append(part)
    return done


TALKS = {talk.surface: talk for talk in (Chat, Responses, Messages, Gemini)}


def talk(stack: Stack, surface: str, kind: Kind, key: str | None = None) -> Talk:
    return TALKS[surface](stack, kind, key)

