"""An agent of Google's ADK with one tool, and beside it, in its own sandbox, the model that it talks to by way of LiteLLM:
`model_server.py`, which the test puts here. (Agents reach no address of the host.)"""

import subprocess
import sys

from bedrock_agentcore import BedrockAgentCoreApp
from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Content, Part

app = BedrockAgentCoreApp()


def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


@app.entrypoint
async def invoke(payload):
    if payload.get("stream"):
        return stream(payload["prompt"])
    texts = [text async for event in events(payload["prompt"], StreamingMode.NONE) for text in texts_of(event)]
    return {"text": "".join(texts)}


async def stream(prompt):
    async for event in events(prompt, StreamingMode.SSE):
        # The last one is the whole of it once more.
        if event.partial:
            for text in texts_of(event):
                yield {"text": text}


async def events(prompt, mode):
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="user")
    message = Content(role="user", parts=[Part(text=prompt)])
    run = runner.run_async(
        user_id="user", session_id=session.id, new_message=message, run_config=RunConfig(streaming_mode=mode)
    )
    async for event in run:
        yield event


def texts_of(event):
    parts = event.content.parts if event.content and event.content.parts else []
    return [part.text for part in parts if part.text]


if __name__ == "__main__":
    model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
    base_url = f"http://127.0.0.1:{int(model.stdout.readline())}/v1"
    llm = LiteLlm("openai/scripted-1", api_base=base_url, api_key="none")
    runner = InMemoryRunner(Agent(name="multiplier", model=llm, tools=[multiply]), app_name="multiplier")
    app.run()
