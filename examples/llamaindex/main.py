"""An agent of LlamaIndex with a tool: a plain answer, or with `"stream": true` the model's words as they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
"""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.llms.openai_like import OpenAILike

app = BedrockAgentCoreApp()


def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


# It does not know the model's name, and so has to be told what the model can do.
llm = OpenAILike(
    os.environ.get("MODEL", "gpt-5-mini"), api_key=os.environ.get("OPENAI_API_KEY"),
    api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"), is_chat_model=True, is_function_calling_model=True,
)
agent = FunctionAgent(tools=[multiply], llm=llm)


@app.entrypoint
async def invoke(payload):
    if payload.get("stream"):
        return stream(payload["prompt"])
    return {"text": str(await agent.run(payload["prompt"]))}


async def stream(prompt):
    async for event in agent.run(prompt).stream_events():
        if isinstance(event, AgentStream) and event.delta:
            yield {"text": event.delta}


if __name__ == "__main__":
    app.run()
