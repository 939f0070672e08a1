// Pages in Chromium that talk to agents: takes steps as JSON and prints what each of them came to. Each step is a page of an origin,
// and one thing that its script does: a request, or a socket that says one word.
import { chromium } from "playwright-core";

const { program, steps } = JSON.parse(process.argv[2]);

async function request({ url, init }) {
  try {
    const answer = await fetch(url, init);
    return { status: answer.status, session: answer.headers.get("x-amzn-bedrock-agentcore-runtime-session-id"), body: await answer.text() };
  } catch (error) {
    return { blocked: error.name };
  }
}

function socket({ url, protocols, word }) {
  return new Promise((resolve) => {
    const heard = [];
    const socket = new WebSocket(url, protocols);
    socket.onmessage = ({ data }) => {
      heard.push(data);
      if (heard.length === 1) socket.send(word);
      if (heard.length === 2) socket.close(1000);
    };
    socket.onclose = ({ code }) => resolve({ heard, code, protocol: socket.protocol });
  });
}

// Pages are ours alone: no walls around them, which root cannot have anyway.
// It may take its time where much else runs.
const browser = await chromium.launch({ executablePath: program, timeout: 90_000, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const results = [];
  for (const { origin, does, ...what } of steps) {
    const page = await browser.newPage();
    await page.goto(origin);
    results.push(await page.evaluate(does === "request" ? request : socket, what));
    await page.close();
  }
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
}
