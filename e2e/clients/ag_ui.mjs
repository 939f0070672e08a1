// What test_ag_ui.py has the AG-UI client for TypeScript do: a run, and one that the agent refuses. Reads one JSON object from its first
// argument, url, token and session, and prints one.
import { HttpAgent } from "@ag-ui/client";

const { url, token, session } = JSON.parse(process.argv[2]);
const headers = { Authorization: `Bearer ${token}`, "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": session };

const agent = new HttpAgent({ url, headers, threadId: "a thread" });
agent.messages = [{ id: "1", role: "user", content: "one two three" }];
const types = [];
const { newMessages } = await agent.runAgent({ runId: "a run" }, { onEvent: ({ event }) => void types.push(event.type) });

// No message, which the agent does not expect.
class Refused extends HttpAgent {
  requestInit(input) {
    return { ...super.requestInit(input), body: "{}" };
  }
}
let refused;
await new Refused({ url, headers, threadId: "another" })
  .runAgent({}, { onRunErrorEvent: ({ event }) => void (refused = event.code) })
  .catch(() => {});

console.log(JSON.stringify({ types, answer: newMessages.map((message) => message.content).join(""), refused }));
