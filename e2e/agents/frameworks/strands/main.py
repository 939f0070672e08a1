"""An agent of Strands with one tool, and beside it, in its own sandbox, the model that it talks to: `model_server.py`, which the test puts
here. (Agents reach no address of the host.)"""

import subprocess
import sys

from bedrock_agentcore import BedrockAgentCoreApp
from strands import Agent, tool
from strands.models.openai import OpenAIModel

app = BedrockAgentCoreApp()


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a * b


@app.entrypoint
async def invoke(payload):
    if payload.get("stream"):
        return stream(payload["prompt"])
    return {"text": str(await agent.invoke_async(payload["prompt"])).strip()}


async def stream(prompt):
    async for event in agent.stream_async(prompt):
        if "data" in event:
            yield {"text": event["data"]}


if __name__ == "__main__":
    model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
    client = {"api_key": "none", "base_url": f"http://127.0.0.1:{int(model.stdout.readline())}/v1"}
    agent = Agent(model=OpenAIModel(client_args=client, model_id="scripted-1"), tools=[multiply], callback_handler=None)
    app.run()
