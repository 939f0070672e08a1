"""An agent of the OpenAI Agents SDK with one tool, and beside it, in its own sandbox, the model that it talks to: `model_server.py`, which
the test puts here. (Agents reach no address of the host.)"""

import subprocess
import sys

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from bedrock_agentcore import BedrockAgentCoreApp
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

# Traces go to OpenAI, whoever's the model is.
set_tracing_disabled(True)
app = BedrockAgentCoreApp()


@function_tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@app.entrypoint
async def invoke(payload):
    if payload.get("stream"):
        return stream(payload["prompt"])
    return {"text": (await Runner.run(agent, payload["prompt"])).final_output}


async def stream(prompt):
    async for event in Runner.run_streamed(agent, prompt).stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            yield {"text": event.data.delta}


if __name__ == "__main__":
    model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
    client = AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{int(model.stdout.readline())}/v1")
    agent = Agent(name="Multiplier", model=OpenAIChatCompletionsModel("scripted-1", client), tools=[multiply])
    app.run()
