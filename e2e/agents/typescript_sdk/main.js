// The app server of the service's TypeScript SDK: a plain answer, a stream, and work that outlives its request.
import { BedrockAgentCoreApp } from "bedrock-agentcore/runtime";
import { setTimeout as sleep } from "node:timers/promises";

let turns = 0;

async function* count(to) {
  for (let n = 1; n <= to; n++) yield { data: { n } };
}

const app = new BedrockAgentCoreApp({
  invocationHandler: {
    process: async (request, context) => {
      if (request.stream) return count(request.stream);
      if (request.task) {
        app.asyncTask(async () => sleep(request.task * 1000))();
        return { task: "started" };
      }
      return { echo: request, session: context.sessionId, turn: ++turns };
    },
  },
});
app.run();
