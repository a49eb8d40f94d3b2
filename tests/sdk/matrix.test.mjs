// The SDKs for Node against every lane that is served. `test_node_matrix.py` runs this, says which lanes
// there are, and expects a test of each name that it can make of its own tables.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const { GATEWAY, KEY, LANES, NODE_MODULES } = process.env;
// Installed outside of the work tree, so not found by their names alone.
const load = createRequire(`${NODE_MODULES}/tests.js`);

const OpenAI = load("openai");
const Anthropic = load("@anthropic-ai/sdk");
const { GoogleGenAI, ApiError } = load("@google/genai");
const { APICallError, Output, generateText, jsonSchema, stepCountIs, streamText, tool } = load("ai");
const { createOpenAI } = load("@ai-sdk/openai");
const { createOpenAICompatible } = load("@ai-sdk/openai-compatible");
const { createAnthropic } = load("@ai-sdk/anthropic");
const { createGoogleGenerativeAI } = load("@ai-sdk/google");

const said = (prompt, directive) => `${prompt} [[mock:${JSON.stringify(directive)}]]`;
const PLACE = {
  type: "object",
  properties: { place: { type: "string" } },
  required: ["place"],
  additionalProperties: false,
};
const LOOP = {
  turns: [
    { parts: [{ tool: { name: "weather", arguments: { place: "Oslo" } } }] },
    { parts: [{ text: "It rains." }] },
  ],
};
const WHY = "said with 429";
const REFUSED = { status: 429, error_message: WHY };

// What each client does with a model: text in, text out; `call` is one tool call, run and given back.
const openai = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY, maxRetries: 0 });

const chat = {
  messages: (content) => [{ role: "user", content }],
  async plain(model, content) {
    const answer = await openai.chat.completions.create({ model, messages: chat.messages(content) });
    return answer.choices[0].message.content;
  },
  async streamed(model, content) {
    const stream = openai.chat.completions.stream({ model, messages: chat.messages(content) });
    return (await stream.finalChatCompletion()).choices[0].message.content;
  },
  async call(model, content, run) {
    const runner = openai.chat.completions.runTools({
      model,
      messages: chat.messages(content),
      tools: [
        {
          type: "function",
          function: { name: "weather", parse: JSON.parse, function: run, parameters: PLACE },
        },
      ],
    });
    return runner.finalContent();
  },
  async structured(model, content) {
    const format = { type: "json_schema", json_schema: { name: "it", schema: PLACE, strict: true } };
    const messages = chat.messages(content);
    const answer = await openai.chat.completions.create({ model, messages, response_format: format });
    return JSON.parse(answer.choices[0].message.content);
  },
  refused: (error) => error instanceof OpenAI.RateLimitError,
};

const responses = {
  async plain(model, input) {
    return (await openai.responses.create({ model, input, store: false })).output_text;
  },
  async streamed(model, input) {
    const stream = openai.responses.stream({ model, input, store: false });
    return (await stream.finalResponse()).output_text;
  },
  async call(model, content, run) {
    const tools = [{ type: "function", name: "weather", parameters: PLACE, strict: true }];
    const input = [{ role: "user", content }];
    const first = await openai.responses.create({ model, input, tools, store: false });
    const [call] = first.output.filter((item) => item.type === "function_call");
    const output = await run(JSON.parse(call.arguments));
    input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output });
    return (await openai.responses.create({ model, input, tools, store: false })).output_text;
  },
  async structured(model, input) {
    const text = { format: { type: "json_schema", name: "it", schema: PLACE, strict: true } };
    const answer = await openai.responses.create({ model, input, text, store: false });
    return JSON.parse(answer.output_text);
  },
  refused: (error) => error instanceof OpenAI.RateLimitError,
};

const anthropic = new Anthropic({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0 });
const textOf = (message) =>
  message.content.map((block) => (block.type === "text" ? block.text : "")).join("");

const messages = {
  body: (model, content) => ({ model, max_tokens: 1024, messages: [{ role: "user", content }] }),
  async plain(model, content) {
    return textOf(await anthropic.messages.create(messages.body(model, content)));
  },
  async streamed(model, content) {
    return textOf(await anthropic.messages.stream(messages.body(model, content)).finalMessage());
  },
  async call(model, content, run) {
    const body = messages.body(model, content);
    body.tools = [{ name: "weather", input_schema: PLACE }];
    const first = await anthropic.messages.stream(body).finalMessage();
    const [call] = first.content.filter((block) => block.type === "tool_use");
    const result = { type: "tool_result", tool_use_id: call.id, content: await run(call.input) };
    body.messages.push({ role: "assistant", content: first.content });
    body.messages.push({ role: "user", content: [result] });
    return textOf(await anthropic.messages.create(body));
  },
  async structured(model, content) {
    const output_config = { format: { type: "json_schema", schema: PLACE } };
    const body = { ...messages.body(model, content), output_config };
    return JSON.parse(textOf(await anthropic.messages.create(body)));
  },
  refused: (error) => error instanceof Anthropic.RateLimitError,
};

const google = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: GATEWAY } });

const gemini = {
  async plain(model, contents) {
    return (await google.models.generateContent({ model, contents })).text;
  },
  async streamed(model, contents) {
    let text = "";
    for await (const frame of await google.models.generateContentStream({ model, contents })) {
      text += frame.text ?? "";
    }
    return text;
  },
  async call(model, content, run) {
    const functionDeclarations = [{ name: "weather", parametersJsonSchema: PLACE }];
    const config = { tools: [{ functionDeclarations }] };
    const contents = [{ role: "user", parts: [{ text: content }] }];
    const first = await google.models.generateContent({ model, contents, config });
    const [{ id, name, args }] = first.functionCalls;
    const response = { result: await run(args) };
    contents.push(first.candidates[0].content);
    contents.push({ role: "user", parts: [{ functionResponse: { id, name, response } }] });
    return (await google.models.generateContent({ model, contents, config })).text;
  },
  async structured(model, contents) {
    const config = { responseMimeType: "application/json", responseJsonSchema: PLACE };
    return JSON.parse((await google.models.generateContent({ model, contents, config })).text);
  },
  refused: (error) => error instanceof ApiError && error.status === 429,
};

// Vercel's `ai` over one of its providers.
const vercel = (provider) => ({
  async plain(name, prompt) {
    return (await generateText({ model: provider(name), prompt, maxRetries: 0 })).text;
  },
  async streamed(name, prompt) {
    return streamText({ model: provider(name), prompt, maxRetries: 0 }).text;
  },
  async call(name, prompt, run) {
    const weather = tool({ inputSchema: jsonSchema(PLACE), execute: run });
    const stream = streamText({
      model: provider(name),
      prompt,
      tools: { weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    return stream.text;
  },
  async structured(name, prompt) {
    const output = Output.object({ schema: jsonSchema(PLACE) });
    return (await generateText({ model: provider(name), prompt, output, maxRetries: 0 })).output;
  },
  refused: (error) => APICallError.isInstance(error) && error.statusCode === 429,
});
const at = { baseURL: `${GATEWAY}/v1`, apiKey: KEY };

const CLIENTS = {
  chat: {
    openai: chat,
    "ai with openai-compatible": vercel(
      createOpenAICompatible({ ...at, name: "langwatch", supportsStructuredOutputs: true }),
    ),
  },
  responses: { openai: responses, "ai with openai": vercel(createOpenAI(at)) },
  messages: { anthropic: messages, "ai with anthropic": vercel(createAnthropic(at)) },
  gemini: {
    google: gemini,
    "ai with google": vercel(
      createGoogleGenerativeAI({ apiKey: KEY, baseURL: `${GATEWAY}/v1beta` }),
    ),
  },
};

const CASES = {
  plain: async (client, lane) => {
    const text = "Zürich — 東京 🙂";
    assert.equal(await client.plain(lane, said("hello", { text })), text);
  },
  streamed: async (client, lane) => {
    const text = "one two three — 東京 🙂";
    assert.equal(await client.streamed(lane, said("hello", { text })), text);
  },
  tools: async (client, lane) => {
    const ran = [];
    const run = async ({ place }) => {
      ran.push(place);
      return "rain";
    };
    assert.equal(await client.call(lane, said("weather", LOOP), run), "It rains.");
    assert.deepEqual(ran, ["Oslo"]);
  },
  structured: async (client, lane) => {
    const answer = await client.structured(lane, said("where", { text: '{"place":"Lima"}' }));
    assert.deepEqual(answer, { place: "Lima" });
  },
  error: async (client, lane) => {
    await assert.rejects(client.plain(lane, said("fail", REFUSED)), (error) => {
      assert.ok(client.refused(error), String(error));
      assert.ok(String(error.message).includes(WHY), String(error));
      return true;
    });
  },
};

for (const [surface, lane] of JSON.parse(LANES)) {
  for (const [name, client] of Object.entries(CLIENTS[surface])) {
    for (const [what, run] of Object.entries(CASES)) {
      test(`${name} to ${lane}: ${what}`, () => run(client, lane));
    }
  }
}
