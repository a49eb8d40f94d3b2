// The OpenAI and Anthropic SDKs for Node, unchanged but for base URL and key. `test_node.py` runs
// this with a gateway; by hand: GATEWAY=http://127.0.0.1:5563 KEY=vk-lw-... node --test
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const { GATEWAY, KEY, NODE_MODULES } = process.env;
// Installed outside of the work tree, so not found by their names alone.
const load = createRequire(NODE_MODULES ? `${NODE_MODULES}/tests.js` : import.meta.url);
const OpenAI = load("openai");
const Anthropic = load("@anthropic-ai/sdk");

const openai = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0 });

const said = (prompt, directive) => `${prompt} [[mock:${JSON.stringify(directive)}]]`;
const echo = (prompt) => `You said: ${prompt}. This is the mock provider.`;
const chat = (content) => ({ model: "gpt-5-mini", messages: [{ role: "user", content }] });
const message = (content) => ({
  model: "claude-haiku-4-5",
  max_tokens: 1024,
  messages: [{ role: "user", content }],
});

// The request id of a billed call, for the Python side to look up its trace.
const billed = (headers) => console.log(`billed ${headers.get("x-langwatch-request-id")}`);

test("openai: a chat is answered", async () => {
  const { data, response } = await openai.chat.completions.create(chat("hello")).withResponse();
  assert.equal(data.choices[0].message.content, echo("hello"));
  assert.equal(response.headers.get("x-langwatch-provider"), "openai");
  billed(response.headers);
});

test("openai: a chat stream arrives in pieces and ends with usage", async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const call = openai.chat.completions.create({ ...chat("stream"), ...options });
  const { data, response } = await call.withResponse();
  let text = "";
  let last;
  for await (const chunk of data) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.equal(text, echo("stream"));
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.completion_tokens > 0);
  billed(response.headers);
});

test("openai: the stream helper gathers a completion", async () => {
  const stream = openai.chat.completions.stream(chat("gather"));
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, echo("gather"));
});

test("openai: a response is answered", async () => {
  const call = openai.responses.create({ model: "gpt-5-mini", input: "respond" });
  const { data, response } = await call.withResponse();
  assert.equal(data.output_text, echo("respond"));
  billed(response.headers);
});

test("openai: a response stream ends completed", async () => {
  const stream = await openai.responses.create({ model: "gpt-5-mini", input: "go", stream: true });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.equal(events.at(-1).type, "response.completed");
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), echo("go"));
});

test("openai: embeddings are unpacked", async () => {
  const input = ["one", "two"];
  const packed = await openai.embeddings.create({ model: "text-embedding-3-small", input });
  assert.equal(packed.data.length, 2);
  assert.equal(typeof packed.data[0].embedding[0], "number");
});

test("openai: models are listed", async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  assert.ok(ids.includes("gpt-5-mini"));
});

test("openai: a wrong key is an AuthenticationError with the gateway's code", async () => {
  const wrong = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: "vk-lw-wrong", maxRetries: 0 });
  await assert.rejects(wrong.chat.completions.create(chat("hi")), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.status, 401);
    assert.equal(error.code, "invalid_api_key");
    assert.equal(error.requestID, error.headers.get("x-request-id"));
    return true;
  });
});

test("openai: an error of the provider is its own class", async () => {
  const classes = {
    400: OpenAI.BadRequestError,
    404: OpenAI.NotFoundError,
    429: OpenAI.RateLimitError,
    500: OpenAI.InternalServerError,
  };
  for (const [status, kind] of Object.entries(classes)) {
    const call = openai.chat.completions.create(chat(said("fail", { status: Number(status) })));
    await assert.rejects(call, (error) => error instanceof kind && error.status === Number(status));
  }
});

test("openai: a stream that breaks throws after what had arrived", async () => {
  const asked = chat(said("break", { reset_after_frames: 2 }));
  const stream = await openai.chat.completions.create({ ...asked, stream: true });
  let text = "";
  await assert.rejects(
    async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    },
    (error) => {
      assert.ok(error instanceof OpenAI.APIError);
      assert.equal(error.code, "upstream_mid_stream_failure");
      return true;
    },
  );
  assert.equal(text, "You said: ");
});

test("anthropic: a message is answered", async () => {
  const { data, response } = await anthropic.messages.create(message("hello")).withResponse();
  assert.equal(data.content[0].text, echo("hello"));
  assert.equal(response.headers.get("x-langwatch-provider"), "anthropic");
  billed(response.headers);
});

test("anthropic: the stream helper gathers a message", async () => {
  const stream = anthropic.messages.stream(message("stream"));
  let text = "";
  stream.on("text", (piece) => {
    text += piece;
  });
  const answer = await stream.finalMessage();
  assert.equal(text, echo("stream"));
  assert.equal(answer.content[0].text, text);
  assert.ok(answer.usage.output_tokens > 0);
});

test("anthropic: a beta message is answered and tokens are counted", async () => {
  const answer = await anthropic.beta.messages.create(message("beta"));
  assert.equal(answer.content[0].text, echo("beta"));
  const { max_tokens, ...counted } = message("three words here");
  assert.equal((await anthropic.messages.countTokens(counted)).input_tokens, 3);
});

test("anthropic: a wrong key is an AuthenticationError", async () => {
  const wrong = new Anthropic({ baseURL: GATEWAY, apiKey: "vk-lw-wrong", maxRetries: 0 });
  await assert.rejects(wrong.messages.create(message("hi")), (error) => {
    assert.ok(error instanceof Anthropic.AuthenticationError);
    assert.equal(error.error.type, "error");
    assert.equal(error.error.error.code, "invalid_api_key");
    return true;
  });
});

test("anthropic: an error of the provider is its own class", async () => {
  const classes = {
    400: Anthropic.BadRequestError,
    429: Anthropic.RateLimitError,
    529: Anthropic.InternalServerError,
  };
  for (const [status, kind] of Object.entries(classes)) {
    const call = anthropic.messages.create(message(said("fail", { status: Number(status) })));
    await assert.rejects(call, (error) => error instanceof kind && error.status === Number(status));
  }
});

test("anthropic: a stream that breaks throws", async () => {
  const stream = anthropic.messages.stream(message(said("break", { reset_after_frames: 2 })));
  await assert.rejects(stream.finalMessage(), (error) => error instanceof Anthropic.APIError);
});
