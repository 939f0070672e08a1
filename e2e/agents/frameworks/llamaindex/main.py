"""An agent of LlamaIndex with one tool. The model is the one that the environment names."""

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
    os.environ["MODEL"], api_base=os.environ["OPENAI_BASE_URL"], is_chat_model=True, is_function_calling_model=True
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
