"""An agent of LlamaIndex with one tool, and beside it, in its own sandbox, the model that it talks to: `model_server.py`, which the test
puts here. (Agents reach no address of the host.)"""

import subprocess
import sys

from bedrock_agentcore import BedrockAgentCoreApp
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.llms.openai_like import OpenAILike

app = BedrockAgentCoreApp()


def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


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
    model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
    base_url = f"http://127.0.0.1:{int(model.stdout.readline())}/v1"
    llm = OpenAILike("scripted-1", api_base=base_url, api_key="none", is_chat_model=True, is_function_calling_model=True)
    agent = FunctionAgent(tools=[multiply], llm=llm)
    app.run()
