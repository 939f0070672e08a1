// An agent on bare node:http: answers with what was asked so far, at once or word by word. No dependencies.
//
// Each session is a process of its own, so its memory is simply an array.
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const started = Math.floor(Date.now() / 1000);
const conversation = [];

function answer(prompt) {
  const before = conversation.length ? `; before that, ${conversation.map((p) => `"${p}"`).join(", ")}` : "";
  conversation.push(prompt);
  return `You said "${prompt}"${before}.`;
}

function sendJson(response, status, value) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

// One server-sent event per word, as a model would send its tokens.
async function sendWords(response, text) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (const word of text.split(" ")) {
    if (response.destroyed) return; // the caller left
    response.write(`data: ${JSON.stringify({ word })}\n\n`);
    await sleep(20);
  }
  response.end();
}

async function readJson(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return JSON.parse(text);
}

async function invoke(request, response) {
  const asked = await readJson(request).catch(() => null);
  if (typeof asked?.prompt !== "string") {
    return sendJson(response, 400, { error: 'expected {"prompt": "...", "stream": false}' });
  }
  const result = answer(asked.prompt);
  if (asked.stream) return sendWords(response, result);
  sendJson(response, 200, { result, turn: conversation.length });
}

const server = createServer((request, response) => {
  switch (`${request.method} ${request.url}`) {
    case "GET /ping":
      return sendJson(response, 200, { status: "Healthy", time_of_last_update: started });
    case "POST /invocations":
      return invoke(request, response);
    default:
      return sendJson(response, 404, { error: "not found" });
  }
});
server.listen(8080, "0.0.0.0");
// Node's default action for SIGTERM would cut answers short.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
