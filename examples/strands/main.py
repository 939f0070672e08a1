"""An agent of Strands with a tool, which remembers its session's conversation: a plain answer, or with `"stream": true` the model's words as
they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
"""

import os

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


# A session has this process to itself, and so the conversation that the agent keeps.
agent = Agent(model=OpenAIModel(model_id=os.environ.get("MODEL", "gpt-5-mini")), tools=[multiply], callback_handler=None)


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
    app.run()
