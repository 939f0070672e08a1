"""An agent of Google's ADK with a tool, its model by way of LiteLLM: a plain answer, or with `"stream": true` the model's words as they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
With `LITELLM_LOCAL_MODEL_COST_MAP=True`, LiteLLM does not fetch its table of prices when it is imported.
"""

import os

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


agent = Agent(name="multiplier", model=LiteLlm(f"openai/{os.environ.get('MODEL', 'gpt-5-mini')}"), tools=[multiply])
runner = InMemoryRunner(agent, app_name="multiplier")


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
    app.run()
