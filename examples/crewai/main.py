"""A crew of CrewAI, one agent with a tool: a plain answer, or with `"stream": true` the model's words as they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
With `CREWAI_DISABLE_TELEMETRY=true` it starts no thread that reports to its makers.
"""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from crewai.types.streaming import StreamChunkType

app = BedrockAgentCoreApp()


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


def crew(prompt, stream):
    llm = LLM(f"openai/{os.environ.get('MODEL', 'gpt-5-mini')}", base_url=os.environ.get("OPENAI_BASE_URL"), stream=stream)
    agent = Agent(role="Multiplier", goal="Answer questions", backstory="You are good with numbers.", llm=llm, tools=[multiply])
    task = Task(description=prompt, expected_output="The answer", agent=agent)
    return Crew(agents=[agent], tasks=[task], stream=stream)


@app.entrypoint
async def invoke(payload):
    if payload.get("stream"):
        return stream(payload["prompt"])
    return {"text": (await crew(payload["prompt"], False).kickoff_async()).raw}


async def stream(prompt):
    async for chunk in await crew(prompt, True).kickoff_async():
        if chunk.chunk_type == StreamChunkType.TEXT and chunk.content:
            yield {"text": chunk.content}


if __name__ == "__main__":
    app.run()
