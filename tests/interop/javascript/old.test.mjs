// The client of A2A 0.3 in @a2a-js/sdk 0.3, unmodified: JSON-RPC is what we serve of 0.3.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import {
  ClientFactory,
  JsonRpcTransportFactory,
  PushNotificationNotSupportedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from "a2a-sdk-0.3/client";
import { agent, agentWithoutPush, all, gate, receiver, short, until } from "./support.mjs";

function connect(url = agent, clientConfig = {}) {
  return new ClientFactory({ transports: [new JsonRpcTransportFactory()], clientConfig }).createFromUrl(url);
}

function message(text, { configuration, ...fields } = {}) {
  const parts = [{ kind: "text", text }];
  return { message: { kind: "message", messageId: randomUUID(), role: "user", parts, ...fields }, configuration };
}

const texts = (artifact) => (artifact?.parts ?? []).map((part) => part.text);
const out = (task) => texts(task.artifacts.find((artifact) => artifact.artifactId === "out"));
const state = (event) => event.status?.state;
const chunk = (event) => (event.kind === "artifact-update" ? texts(event.artifact).join("") : undefined);
const chunks = (events) => events.map(chunk).filter((text) => text !== undefined);
// The SDK wraps an error that a stream begins with into one of no kind.
const causedBy = (kind) => (error) => error.cause instanceof kind;
const code = (expected) => (error) => error.code === expected || new RegExp(`${expected}`).test(error.message);

describe("the client of 0.3", { concurrency: true, timeout: 60_000 }, () => {
  test("finds the agent by its card", async () => {
    const card = await (await connect()).getAgentCard();
    assert.deepEqual([card.name, card.protocolVersion, card.preferredTransport], ["scripted", "0.3.0", "JSONRPC"]);
    assert.ok(card.capabilities.streaming && card.capabilities.pushNotifications);
  });

  test("sends and gets the task that has ended", async () => {
    const client = await connect();
    const task = await client.sendMessage(message("bench"));
    assert.deepEqual([task.kind, task.status.state], ["task", "completed"]);
    assert.deepEqual(short(out(task)), Array.from({ length: 10 }, (_, n) => `chunk ${n + 1}`));
    assert.deepEqual(await client.getTask({ id: task.id }), task);
    assert.equal((await client.getTask({ id: task.id, historyLength: 0 })).history?.length ?? 0, 0);
  });

  test("sends without waiting, and subscribes", async (t) => {
    const file = gate(t);
    const client = await connect(agent, { polling: true });
    const task = await client.sendMessage(message(`wait-file ${file.path}`));
    assert.ok(["submitted", "working"].includes(task.status.state));
    const events = client.resubscribeTask({ id: task.id });
    assert.equal((await events.next()).value.id, task.id);
    file.open();
    assert.equal(state((await all(events)).at(-1)), "completed");
  });

  test("streams every chunk in order, up to the event that is final", async () => {
    const events = await all((await connect()).sendMessageStream(message("chunks 300 100")));
    assert.equal(events[0].kind, "task");
    assert.deepEqual(short(chunks(events)), Array.from({ length: 300 }, (_, n) => `chunk ${n + 1}`));
    assert.deepEqual([state(events.at(-1)), events.at(-1).final], ["completed", true]);
    assert.ok(events.slice(0, -1).every((event) => !event.final));
  });

  test("cancels a running task, once", async () => {
    const client = await connect();
    const events = client.sendMessageStream(message("hang"));
    const [{ id }] = await until(events, (event) => state(event) === "working");
    assert.equal((await client.cancelTask({ id })).status.state, "canceled");
    assert.equal(state((await all(events)).at(-1)), "canceled");
    await assert.rejects(client.cancelTask({ id }), TaskNotCancelableError);
  });

  test("leaves in mid-stream, comes back, and has missed nothing", async (t) => {
    const file = gate(t);
    const client = await connect();
    const leaving = new AbortController();
    const asked = message(`chunks 3 && wait-file ${file.path} && chunks 3`);
    const first = client.sendMessageStream(asked, { signal: leaving.signal });
    const [{ id }] = await until(first, (event) => chunk(event) === "waiting; ");
    leaving.abort();
    await assert.rejects(first.next());
    const again = client.resubscribeTask({ id });
    const snapshot = (await again.next()).value;
    assert.deepEqual(short(out(snapshot)), ["chunk 1", "chunk 2", "chunk 3", "waiting; "]);
    file.open();
    const rest = await all(again);
    assert.deepEqual(short(chunks(rest)), ["chunk 1", "chunk 2", "chunk 3"]);
    assert.deepEqual(out(await client.getTask({ id })), [...out(snapshot), ...chunks(rest)]);
  });

  test("answers a question, by send and by stream", async () => {
    const client = await connect();
    const asked = await client.sendMessage(message("echo before && ask who? && ask and you? && echo after"));
    assert.equal(asked.status.state, "input-required");
    assert.deepEqual(asked.status.message.parts, [{ kind: "text", text: "who?" }]);
    const { id: taskId, contextId } = asked;
    const again = await client.sendMessage(message("Ada", { taskId, contextId }));
    assert.equal(again.status.state, "input-required");
    const events = await all(client.sendMessageStream(message("Bob", { taskId })));
    assert.equal(state(events.at(-1)), "completed");
    assert.deepEqual(out(await client.getTask({ id: taskId })), ["before", "Ada", "Bob", "after"]);
  });

  test("gives an authorization, and cancels a task that asks", async () => {
    const client = await connect();
    const asked = await client.sendMessage(message("authorize may I?"));
    assert.equal(asked.status.state, "auth-required");
    const task = await client.sendMessage(message("yes", { taskId: asked.id }));
    assert.deepEqual([task.status.state, out(task)], ["completed", ["yes"]]);
    const { id } = await client.sendMessage(message("ask who?"));
    assert.equal((await client.cancelTask({ id })).status.state, "canceled");
  });

  test("is told of failures and rejections", async () => {
    const client = await connect();
    const failed = await client.sendMessage(message("chunks 2 && fail the disk is on fire"));
    assert.deepEqual([failed.status.state, texts(failed.status.message)], ["failed", ["the disk is on fire"]]);
    assert.equal((await client.sendMessage(message("reject not my job"))).status.state, "rejected");
  });

  test("keeps parts of every kind", async () => {
    const client = await connect();
    const asked = message("bench");
    const metadata = { a: [1, null] };
    asked.message.parts.push(
      { kind: "file", file: { bytes: "AP8=", name: "bytes", mimeType: "application/octet-stream" }, metadata },
      { kind: "file", file: { uri: "https://example.org/", name: "page" } },
      { kind: "data", data: { deep: [{ a: 1 }] }, metadata },
    );
    const { id } = await client.sendMessage(asked);
    assert.deepEqual((await client.getTask({ id })).history[0].parts, asked.message.parts);
  });

  test("has every event pushed, in order", async (t) => {
    const hook = await receiver(t);
    const client = await connect();
    const authentication = { schemes: ["Bearer"], credentials: "secret" };
    const pushNotificationConfig = { id: "hook", url: hook.url, token: "shared", authentication };
    const task = await client.sendMessage(message("chunks 3", { configuration: { pushNotificationConfig } }));
    // What is posted is that of 0.3: the task.
    const got = await hook.until((event) => event.status?.state === "completed");
    assert.ok(got.every(({ event }) => [event.id, event.taskId].includes(task.id)));
    for (const { headers } of got) {
      assert.equal(headers.authorization, "Bearer secret");
      assert.equal(headers["x-a2a-notification-token"], "shared");
    }
  });

  test("creates, reads, lists and deletes push configurations", async (t) => {
    const hook = await receiver(t);
    const client = await connect();
    const { id: taskId } = await client.sendMessage(message("ask who?"));
    const config = { taskId, pushNotificationConfig: { id: "hook", url: hook.url, token: "t" } };
    assert.deepEqual(await client.setTaskPushNotificationConfig(config), config);
    const named = { id: taskId, pushNotificationConfigId: "hook" };
    assert.deepEqual(await client.getTaskPushNotificationConfig(named), config);
    assert.deepEqual(await client.listTaskPushNotificationConfig({ id: taskId }), [config]);
    await client.deleteTaskPushNotificationConfig(named);
    assert.deepEqual(await client.listTaskPushNotificationConfig({ id: taskId }), []);
  });

  test("is refused push notifications where there are none", async () => {
    // The client itself looks at the card first, so its transport is asked, which does not.
    const { transport } = await connect(agentWithoutPush);
    const config = { taskId: "x", pushNotificationConfig: { url: "https://example.org/" } };
    await assert.rejects(transport.setTaskPushNotificationConfig(config), PushNotificationNotSupportedError);
    await assert.rejects(transport.listTaskPushNotificationConfig({ id: "x" }), PushNotificationNotSupportedError);
  });

  test("is told that a task is not there", async () => {
    const client = await connect();
    const id = randomUUID();
    await assert.rejects(client.getTask({ id }), TaskNotFoundError);
    await assert.rejects(client.cancelTask({ id }), TaskNotFoundError);
    await assert.rejects(all(client.resubscribeTask({ id })), causedBy(TaskNotFoundError));
    await assert.rejects(client.sendMessage(message("bench", { taskId: id })), TaskNotFoundError);
    const stream = client.sendMessageStream(message("bench", { taskId: id }));
    await assert.rejects(all(stream), causedBy(TaskNotFoundError));
  });

  test("is told that a task has ended", async () => {
    const client = await connect();
    const { id } = await client.sendMessage(message("bench"));
    await assert.rejects(client.cancelTask({ id }), TaskNotCancelableError);
    await assert.rejects(all(client.resubscribeTask({ id })), causedBy(UnsupportedOperationError));
    await assert.rejects(client.sendMessage(message("more", { taskId: id })), UnsupportedOperationError);
  });

  test("is told what is wrong with its parameters", async () => {
    const client = await connect();
    await assert.rejects(client.sendMessage(message("bench", { parts: [] })), code(-32602));
    await assert.rejects(client.sendMessage(message("bench", { parts: [{ kind: "smell" }] })), code(-32602));
  });

  test("is told that there is no extended card", async () => {
    const { transport } = await connect();
    await assert.rejects(transport.getExtendedAgentCard(), UnsupportedOperationError);
  });
});
