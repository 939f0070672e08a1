"""Echoes what it is sent, with the `bedrock-agentcore` SDK: a plain answer, a stream, and work that outlives its request."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.async_task
async def work(seconds):
    """While it runs, /ping answers HealthyBusy, and the session does not idle out."""
    await asyncio.sleep(seconds)


async def count(to):
    for i in range(1, to + 1):
        yield {"n": i}
        await asyncio.sleep(0.05)


@app.entrypoint
async def invoke(payload, context):
    match payload:
        case {"stream": int(to)}:
            return count(to)
        case {"task": int() | float() as seconds}:
            asyncio.create_task(work(seconds))
            return {"task": "started", "seconds": seconds}
    return {"echo": payload, "session": context.session_id}


if __name__ == "__main__":
    app.run()
