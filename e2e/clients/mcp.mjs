// What test_mcp.py has the MCP client for TypeScript do: find its own way from a 401 to a token, begin a session, list and call tools, end.
// Reads one JSON object from its first argument: the url, and what the token's issuer knows the client by; and prints one.
import { ClientCredentialsProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { url, ...known } = JSON.parse(process.argv[2]);
const statuses = [];
const counted = async (...request) => {
  const answer = await fetch(...request);
  if (new URL(request[0]).pathname.endsWith("/invocations")) statuses.push(answer.status);
  return answer;
};
const authProvider = new ClientCredentialsProvider(known);
const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider, fetch: counted });
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
const said = [await call("remember", { word: "red" }), await call("remember", { word: "green" })];
const refusal = await call("nothing", {}).catch((error) => `${error.code} ${error.message}`);
const session = transport.sessionId;
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name).sort(), said, refusal, session, statuses }));
