// What test_clients_javascript.py has the AWS SDK for JavaScript do: create, invoke, stream, be refused, stop, delete. Reads one
// JSON object from its first argument and prints one. The endpoint, the region and the key come from the environment alone.
import {
  BedrockAgentCoreClient,
  InvokeAgentRuntimeCommand,
  InvokeAgentRuntimeCommandCommand,
  StopRuntimeSessionCommand,
} from "@aws-sdk/client-bedrock-agentcore";
import {
  BedrockAgentCoreControlClient,
  CreateAgentRuntimeCommand,
  DeleteAgentRuntimeCommand,
  GetAgentRuntimeCommand,
  ListAgentRuntimeEndpointsCommand,
  paginateListAgentRuntimes,
} from "@aws-sdk/client-bedrock-agentcore-control";
import { setTimeout as sleep } from "node:timers/promises";

const { definition, session } = JSON.parse(process.argv[2]);
const control = new BedrockAgentCoreControlClient({});
const data = new BedrockAgentCoreClient({});

const { agentRuntimeId, agentRuntimeArn } = await control.send(new CreateAgentRuntimeCommand(definition));
let runtime;
for (let waited = 0; runtime === undefined || runtime.status === "CREATING"; waited += 100) {
  if (waited > 60_000) throw new Error(`still ${runtime.status}: ${runtime.failureReason}`);
  await sleep(100);
  runtime = await control.send(new GetAgentRuntimeCommand({ agentRuntimeId }));
}

const invoke = (payload) =>
  data.send(
    new InvokeAgentRuntimeCommand({
      agentRuntimeArn,
      runtimeSessionId: session,
      contentType: "application/json",
      payload: Buffer.from(payload),
    }),
  );
const plain = await invoke(JSON.stringify({ prompt: "grüß dich" }));
const streamed = await invoke(JSON.stringify({ prompt: "one two", stream: true }));
const command = await data.send(
  new InvokeAgentRuntimeCommandCommand({
    agentRuntimeArn,
    runtimeSessionId: session,
    body: { command: "echo grüß; echo err >&2; exit 3" },
  }),
);
const events = [];
for await (const event of command.stream) events.push(event.chunk);
const refused = await invoke("this is not JSON").catch((error) => error);

const names = [];
for await (const page of paginateListAgentRuntimes({ client: control, pageSize: 1 }, {})) {
  names.push(...page.agentRuntimes.map((each) => each.agentRuntimeName));
}
const { runtimeEndpoints } = await control.send(new ListAgentRuntimeEndpointsCommand({ agentRuntimeId }));

const printed = {
  status: runtime.status,
  createdAt: runtime.createdAt.getTime() / 1000,
  plain: JSON.parse(await plain.response.transformToString()),
  streamed: { contentType: streamed.contentType, text: await streamed.response.transformToString() },
  events,
  refused: { name: refused.name, status: refused.$metadata?.httpStatusCode, attempts: refused.$metadata?.attempts },
  names,
  endpoints: runtimeEndpoints.map((each) => [each.name, each.liveVersion, each.createdAt instanceof Date]),
  stopped: (await data.send(new StopRuntimeSessionCommand({ agentRuntimeArn, runtimeSessionId: session }))).runtimeSessionId,
  deleted: (await control.send(new DeleteAgentRuntimeCommand({ agentRuntimeId }))).status,
};
console.log(JSON.stringify(printed));
