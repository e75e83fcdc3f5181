// The official TypeScript SDK, version 1 (`sdk`) or 2 (`client`), following a plan; see `real_peers.py` for its form.
import { text } from "node:stream/consumers";

const plan = JSON.parse(await text(process.stdin));
const { Client, Transport } = await load(process.argv[2]);

async function load(which) {
  if (which === "sdk") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    return { Client, Transport: StreamableHTTPClientTransport };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  return { Client, Transport: StreamableHTTPClientTransport };
}

async function step(client, wanted) {
  switch (wanted.do) {
    case "tools":
      return (await client.listTools()).tools.map((tool) => tool.name).sort();
    case "prompts":
      return (await client.listPrompts()).prompts.map((prompt) => prompt.name).sort();
    case "resources":
      return (await client.listResources()).resources.map((resource) => resource.uri).sort();
    case "prompt": {
      const got = await client.getPrompt({ name: wanted.name, arguments: wanted.arguments });
      return got.messages.map((message) => message.content.text);
    }
    case "read":
      return (await client.readResource({ uri: wanted.uri })).contents.map((part) => part.text);
  }
  const seen = [];
  const options = wanted.progress ? { onprogress: (progress) => seen.push(progress.progress) } : {};
  const params = { name: wanted.name, arguments: wanted.arguments };
  const called = process.argv[2] === "sdk"
    ? await client.callTool(params, undefined, options)
    : await client.callTool(params, options);
  const result = {
    text: called.content.map((part) => part.text ?? part.type),
    error: Boolean(called.isError),
    structured: called.structuredContent ?? null,
  };
  return wanted.progress ? { ...result, progress: seen } : result;
}

const options = plan.mode === "auto" ? {} : { versionNegotiation: { mode: plan.mode } };
const client = new Client({ name: "interop", version: "1.0.0" }, options);
await client.connect(new Transport(new URL(plan.url)));
const observed = [];
for (const wanted of plan.steps) {
  try {
    observed.push(await step(client, wanted));
  } catch (error) {
    if (typeof error.code !== "number") throw error;
    observed.push({ code: error.code });
  }
}
process.stdout.write(JSON.stringify(observed));
await client.close();
