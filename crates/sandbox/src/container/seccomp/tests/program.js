// What agents in JavaScript do.
const { Worker } = require("node:worker_threads");
const { spawnSync, fork } = require("node:child_process");
const { once } = require("node:events");
const crypto = require("node:crypto");
const dns = require("node:dns").promises;
const fs = require("node:fs");
const http = require("node:http");

async function main() {
  const worker = new Worker("require('node:worker_threads').parentPort.postMessage(42)", { eval: true });
  const [answer] = await once(worker, "message");
  if (answer !== 42) throw new Error("worker");
  if (spawnSync("echo", ["a"]).stdout.toString() !== "a\n") throw new Error("child");
  crypto.scryptSync("a", "b", 32);
  await fs.promises.writeFile("file", "text");
  await fs.promises.cp("file", "copy");
  fs.watch(".").close();
  await dns.lookup("localhost");
  const server = http.createServer((_, response) => response.end("pong"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const [response] = await once(http.get({ port: server.address().port, host: "127.0.0.1", agent: false }), "response");
  for await (const chunk of response) if (chunk.toString() !== "pong") throw new Error("http");
  server.close();
  if (require("node:os").networkInterfaces() === undefined) throw new Error("interfaces");
}

main().then(() => console.log("all of it works"), (error) => { console.error(error); process.exit(1); });
