// What the clients of both versions need: the agents they talk to, a file that a worker waits for, and a receiver of
// push notifications.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

function given(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run this by tests/interop/a2a/test_javascript_client.py`);
  return value;
}

/** The binding to speak; only the client of 1.0 has a choice. */
export const binding = given("A2A_BINDING");
/** An agent, and one that sends no push notifications. */
export const agent = given("A2A_AGENT");
export const agentWithoutPush = given("A2A_AGENT_WITHOUT_PUSH");

/** Everything that a stream has. */
export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** Reads a stream up to the first event for which the condition holds. The stream stays open. */
export async function until(stream, condition) {
  const seen = [];
  for (;;) {
    const { value, done } = await stream.next();
    assert.ok(!done, `the stream ended after ${JSON.stringify(seen)}`);
    seen.push(value);
    if (condition(value)) return seen;
  }
}

/** A file that is not there yet, for `wait-file`. */
export function gate(context) {
  const folder = mkdtempSync(join(tmpdir(), "a2a-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "go");
  return { path, open: () => writeFileSync(path, "") };
}

/** Takes push notifications; `ended` waits for the one for which the condition holds. */
export async function receiver(context) {
  const got = [];
  let arrived = () => {};
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    got.push({ headers: request.headers, event: JSON.parse(body) });
    response.writeHead(200).end();
    arrived();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const until = async (condition) => {
    while (!got.some(({ event }) => condition(event))) await new Promise((resolve) => (arrived = resolve));
    return got;
  };
  return { url: `http://127.0.0.1:${server.address().port}/hook`, until };
}

/** `chunk 1 of 3 …` as `chunk 1`. */
export const short = (texts) => texts.map((text) => text.split(" of ")[0]);
