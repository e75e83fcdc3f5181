// The client of A2A 1.0 in @a2a-js/sdk, unmodified, by the binding in A2A_BINDING.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import { Role, TaskState } from "@a2a-js/sdk";
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";
import {
  PushNotificationNotSupportedError,
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
  VersionNotSupportedError,
} from "@a2a-js/sdk/errors";
import { agent, agentWithoutPush, all, binding, gate, receiver, short, until } from "./support.mjs";

const { TASK_STATE_AUTH_REQUIRED, TASK_STATE_CANCELED, TASK_STATE_COMPLETED, TASK_STATE_FAILED } = TaskState;
const { TASK_STATE_INPUT_REQUIRED, TASK_STATE_REJECTED, TASK_STATE_SUBMITTED, TASK_STATE_WORKING } = TaskState;

function connect(url = agent, clientConfig = {}) {
  const transports = [
    new JsonRpcTransportFactory(),
    new RestTransportFactory(),
    new GrpcTransportFactory({ grpcChannelCredentials: credentials.createInsecure() }),
  ];
  return new ClientFactory({ transports, preferredTransports: [binding], clientConfig }).createFromUrl(url);
}

function message(text, { configuration, ...fields } = {}) {
  const content = { content: { $case: "text", value: text }, metadata: undefined, filename: "", mediaType: "" };
  const rest = { contextId: "", taskId: "", metadata: undefined, extensions: [], referenceTaskIds: [] };
  return {
    tenant: "",
    message: { messageId: randomUUID(), role: Role.ROLE_USER, parts: [content], ...rest, ...fields },
    configuration,
    metadata: undefined,
  };
}

const byId = (id, fields) => ({ tenant: "", id, ...fields });
const texts = (artifact) => (artifact?.parts ?? []).map((part) => part.content.value);
const out = (task) => texts(task.artifacts.find((artifact) => artifact.artifactId === "out"));
const state = ({ payload }) => payload.value.status?.state;
const kind = ({ payload }) => payload.$case;
const chunk = (event) => (kind(event) === "artifactUpdate" ? texts(event.payload.value.artifact).join("") : undefined);
const chunks = (events) => events.map(chunk).filter((text) => text !== undefined);
const waits = (event) => chunk(event) === "waiting; ";

describe(`the client of 1.0 by ${binding}`, { concurrency: true, timeout: 60_000 }, () => {
  test("finds the binding in the card", async () => {
    const client = await connect();
    const card = await client.getAgentCard();
    assert.equal(card.name, "scripted");
    assert.ok(card.capabilities.streaming && card.capabilities.pushNotifications);
    assert.equal(client.transport.protocolName, binding);
    assert.equal(client.protocolVersion, "1.0");
  });

  test("sends and gets the task that has ended", async () => {
    const client = await connect();
    const task = await client.sendMessage(message("bench"));
    assert.equal(task.status.state, TASK_STATE_COMPLETED);
    assert.deepEqual(short(out(task)), Array.from({ length: 10 }, (_, n) => `chunk ${n + 1}`));
    assert.deepEqual(await client.getTask(byId(task.id)), task);
    assert.deepEqual((await client.getTask(byId(task.id, { historyLength: 0 }))).history, []);
  });

  test("sends without waiting, and subscribes", async (t) => {
    const file = gate(t);
    const client = await connect(agent, { polling: true });
    const task = await client.sendMessage(message(`wait-file ${file.path}`));
    assert.ok([TASK_STATE_SUBMITTED, TASK_STATE_WORKING].includes(task.status.state));
    const events = client.resubscribeTask(byId(task.id));
    assert.equal((await events.next()).value.payload.value.id, task.id);
    file.open();
    assert.equal(state((await all(events)).at(-1)), TASK_STATE_COMPLETED);
  });

  test("streams every chunk in order", async () => {
    const events = await all((await connect()).sendMessageStream(message("status 2 && chunks 300 100")));
    assert.equal(kind(events[0]), "task");
    assert.deepEqual(short(chunks(events)), Array.from({ length: 300 }, (_, n) => `chunk ${n + 1}`));
    const updates = events.filter((event) => kind(event) === "artifactUpdate").map((event) => event.payload.value);
    assert.deepEqual(updates.map((update) => update.append), [false, ...Array(299).fill(true)]);
    assert.equal(updates.findIndex((update) => update.lastChunk), 299);
    assert.equal(state(events.at(-1)), TASK_STATE_COMPLETED);
  });

  test("lists all pages, the newest first", async () => {
    const client = await connect();
    const contextId = randomUUID();
    const sent = [];
    for (let n = 0; n < 5; n++) sent.push((await client.sendMessage(message(`echo ${n}`, { contextId }))).id);
    const listed = [];
    const sizes = [];
    let pageToken = "";
    do {
      const asked = { tenant: "", contextId, status: 0, pageSize: 2, pageToken };
      const page = await client.listTasks({ ...asked, statusTimestampAfter: undefined });
      assert.equal(page.totalSize, 5);
      sizes.push(page.tasks.length);
      listed.push(...page.tasks);
      pageToken = page.nextPageToken;
    } while (pageToken);
    assert.deepEqual(sizes, [2, 2, 1]);
    assert.deepEqual(listed.map((task) => task.id), sent.reverse());
    assert.ok(listed.every((task) => task.artifacts.length === 0));
    const filter = { tenant: "", contextId, status: TASK_STATE_COMPLETED, pageToken: "", includeArtifacts: true };
    const page = await client.listTasks({ ...filter, statusTimestampAfter: undefined });
    assert.deepEqual(page.tasks.map(out), [["4"], ["3"], ["2"], ["1"], ["0"]]);
  });

  test("cancels a running task, once", async () => {
    const client = await connect();
    const events = client.sendMessageStream(message("hang"));
    const [first] = await until(events, (event) => state(event) === TASK_STATE_WORKING);
    const { id } = first.payload.value;
    assert.equal((await client.cancelTask(byId(id, { metadata: undefined }))).status.state, TASK_STATE_CANCELED);
    assert.equal(state((await all(events)).at(-1)), TASK_STATE_CANCELED);
    await assert.rejects(client.cancelTask(byId(id, { metadata: undefined })), TaskNotCancelableError);
  });

  test("leaves in mid-stream, comes back, and has missed nothing", async (t) => {
    const file = gate(t);
    const client = await connect();
    const leaving = new AbortController();
    const asked = message(`chunks 3 && wait-file ${file.path} && chunks 3`);
    const first = client.sendMessageStream(asked, { signal: leaving.signal });
    const seen = await until(first, waits);
    leaving.abort();
    await assert.rejects(first.next());
    const { id } = seen[0].payload.value;
    const again = client.resubscribeTask(byId(id));
    const snapshot = (await again.next()).value.payload.value;
    assert.deepEqual(short(out(snapshot)), ["chunk 1", "chunk 2", "chunk 3", "waiting; "]);
    file.open();
    const rest = await all(again);
    assert.deepEqual(short(chunks(rest)), ["chunk 1", "chunk 2", "chunk 3"]);
    assert.equal(state(rest.at(-1)), TASK_STATE_COMPLETED);
    assert.deepEqual(out(await client.getTask(byId(id))), [...out(snapshot), ...chunks(rest)]);
  });

  test("answers a question, by send and by stream", async () => {
    const client = await connect();
    const asked = await client.sendMessage(message("echo before && ask who? && ask and you? && echo after"));
    assert.equal(asked.status.state, TASK_STATE_INPUT_REQUIRED);
    assert.deepEqual(texts(asked.status.message), ["who?"]);
    const { id, contextId } = asked;
    const again = await client.sendMessage(message("Ada", { taskId: id, contextId }));
    assert.equal(again.status.state, TASK_STATE_INPUT_REQUIRED);
    const events = await all(client.sendMessageStream(message("Bob", { taskId: id })));
    assert.equal(state(events.at(-1)), TASK_STATE_COMPLETED);
    assert.deepEqual(out(await client.getTask(byId(id))), ["before", "Ada", "Bob", "after"]);
  });

  test("subscribes to a task that asks, and gives an authorization", async () => {
    const client = await connect();
    const asked = await client.sendMessage(message("authorize may I?"));
    assert.equal(asked.status.state, TASK_STATE_AUTH_REQUIRED);
    const events = client.resubscribeTask(byId(asked.id));
    assert.equal(state((await events.next()).value), TASK_STATE_AUTH_REQUIRED);
    const task = await client.sendMessage(message("yes", { taskId: asked.id }));
    assert.deepEqual([task.status.state, out(task)], [TASK_STATE_COMPLETED, ["yes"]]);
    assert.equal(state((await all(events)).at(-1)), TASK_STATE_COMPLETED);
  });

  test("cancels a task that asks", async () => {
    const client = await connect();
    const { id } = await client.sendMessage(message("ask who?"));
    assert.equal((await client.cancelTask(byId(id, { metadata: undefined }))).status.state, TASK_STATE_CANCELED);
  });

  test("is told of failures and rejections", async () => {
    const client = await connect();
    const failed = await client.sendMessage(message("chunks 2 && fail the disk is on fire"));
    assert.deepEqual([failed.status.state, texts(failed.status.message)], [TASK_STATE_FAILED, ["the disk is on fire"]]);
    assert.equal((await client.sendMessage(message("reject not my job"))).status.state, TASK_STATE_REJECTED);
  });

  test("sends the same message again and gets the same task", async () => {
    const client = await connect();
    const messageId = randomUUID();
    const [first, second] = [message("bench", { messageId }), message("bench", { messageId })];
    assert.deepEqual(await client.sendMessage(first), await client.sendMessage(second));
  });

  test("keeps parts of every kind", async () => {
    const client = await connect();
    const asked = message("bench");
    const more = { metadata: { a: [1, null] }, filename: "file", mediaType: "application/json" };
    asked.message.parts.push(
      { content: { $case: "raw", value: Buffer.from([0, 255]) }, ...more },
      { content: { $case: "url", value: "https://example.org/" }, ...more },
      { content: { $case: "data", value: { deep: [{ a: 1 }] } }, ...more },
    );
    const { id } = await client.sendMessage(asked);
    const kept = (await client.getTask(byId(id))).history[0];
    assert.deepEqual(kept.parts, asked.message.parts);
  });

  test("has every event pushed, in order", async (t) => {
    const hook = await receiver(t);
    const client = await connect();
    const authentication = { scheme: "Bearer", credentials: "secret" };
    const config = { tenant: "", id: "hook", taskId: "", url: hook.url, token: "shared", authentication };
    const configuration = { acceptedOutputModes: [], taskPushNotificationConfig: config };
    const task = await client.sendMessage(message("chunks 3", { configuration }));
    const got = await hook.until((event) => event.statusUpdate?.status.state === "TASK_STATE_COMPLETED");
    assert.equal(got[0].event.task.id, task.id);
    const pushed = got.map(({ event }) => event.artifactUpdate?.artifact.parts[0].text).filter(Boolean);
    assert.deepEqual(pushed, out(task));
    for (const { headers } of got) {
      assert.equal(headers.authorization, "Bearer secret");
      assert.equal(headers["x-a2a-notification-token"], "shared");
    }
  });

  test("creates, reads, lists and deletes push configurations", async (t) => {
    const hook = await receiver(t);
    const client = await connect();
    const { id: taskId } = await client.sendMessage(message("ask who?"));
    const config = { tenant: "", id: "hook", taskId, url: hook.url, token: "t", authentication: undefined };
    assert.deepEqual(await client.createTaskPushNotificationConfig(config), config);
    const named = { tenant: "", taskId, id: "hook" };
    assert.deepEqual(await client.getTaskPushNotificationConfig(named), config);
    const every = { tenant: "", taskId, pageSize: 0, pageToken: "" };
    assert.deepEqual((await client.listTaskPushNotificationConfig(every)).configs, [config]);
    await client.deleteTaskPushNotificationConfig(named);
    await client.deleteTaskPushNotificationConfig(named);
    await assert.rejects(client.getTaskPushNotificationConfig(named), TaskNotFoundError);
    assert.deepEqual((await client.listTaskPushNotificationConfig(every)).configs, []);
  });

  test("is refused push notifications where there are none", async () => {
    const client = await connect(agentWithoutPush);
    const config = { tenant: "", id: "hook", taskId: "x", url: "https://example.org/", token: "" };
    const named = { tenant: "", taskId: "x", id: "hook" };
    const { transport } = client;
    const options = { serviceParameters: { "A2A-Version": "1.0" } };
    // The client itself looks at the card first, so its transport is asked, which does not.
    for (const ask of [
      () => transport.createTaskPushNotificationConfig({ ...config, authentication: undefined }, options),
      () => transport.getTaskPushNotificationConfig(named, options),
      () => transport.listTaskPushNotificationConfig({ ...named, pageSize: 0, pageToken: "" }, options),
      () => transport.deleteTaskPushNotificationConfig(named, options),
    ]) {
      await assert.rejects(ask, PushNotificationNotSupportedError);
    }
  });

  test("is told that a task is not there", async () => {
    const client = await connect();
    const id = randomUUID();
    await assert.rejects(client.getTask(byId(id)), TaskNotFoundError);
    await assert.rejects(client.cancelTask(byId(id, { metadata: undefined })), TaskNotFoundError);
    await assert.rejects(all(client.resubscribeTask(byId(id))), TaskNotFoundError);
    await assert.rejects(client.sendMessage(message("bench", { taskId: id })), TaskNotFoundError);
    await assert.rejects(all(client.sendMessageStream(message("bench", { taskId: id }))), TaskNotFoundError);
  });

  test("is told that a task has ended", async () => {
    const client = await connect();
    const { id } = await client.sendMessage(message("bench"));
    await assert.rejects(client.cancelTask(byId(id, { metadata: undefined })), TaskNotCancelableError);
    await assert.rejects(all(client.resubscribeTask(byId(id))), UnsupportedOperationError);
    await assert.rejects(client.sendMessage(message("more", { taskId: id })), UnsupportedOperationError);
  });

  test("is told what is wrong with its parameters", async () => {
    const client = await connect();
    const page = { tenant: "", contextId: "", status: 0, pageToken: "", statusTimestampAfter: undefined };
    await assert.rejects(client.listTasks({ ...page, pageSize: 101 }), RequestMalformedError);
    await assert.rejects(client.sendMessage(message("bench", { parts: [] })), RequestMalformedError);
    const { id } = await client.sendMessage(message("ask who?"));
    const elsewhere = message("Ada", { taskId: id, contextId: randomUUID() });
    await assert.rejects(client.sendMessage(elsewhere), RequestMalformedError);
  });

  test("is told that its version is not spoken", async () => {
    const later = {
      before: async ({ options }) => void (options.serviceParameters["A2A-Version"] = "99.0"),
      after: async () => {},
    };
    const client = await connect(agent, { interceptors: [later] });
    await assert.rejects(client.sendMessage(message("bench")), VersionNotSupportedError);
    await assert.rejects(client.getTask(byId("x")), VersionNotSupportedError);
  });

  test("is told that there is no extended card", async () => {
    const { transport } = await connect();
    const asked = transport.getExtendedAgentCard({ tenant: "" }, { serviceParameters: { "A2A-Version": "1.0" } });
    await assert.rejects(asked, UnsupportedOperationError);
  });
});
