"""An agent of the OpenAI Agents SDK with a tool: a plain answer, or with `"stream": true` the model's words as they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
"""

import os

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


model = OpenAIChatCompletionsModel(os.environ.get("MODEL", "gpt-5-mini"), AsyncOpenAI())
agent = Agent(name="Multiplier", model=model, tools=[multiply])


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
    app.run()
