// What test_mcp.py has the MCP client for TypeScript do: begin a session, list and call tools, end. Reads one JSON object from its first
// argument, url and token, and prints one.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { url, token } = JSON.parse(process.argv[2]);
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
const said = [await call("remember", { word: "red" }), await call("remember", { word: "green" })];
const refusal = await call("nothing", {}).catch((error) => `${error.code} ${error.message}`);
const session = transport.sessionId;
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name).sort(), said, refusal, session }));
