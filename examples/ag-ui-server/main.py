"""An AG-UI agent that repeats what it is told, word by word, on `ag-ui-protocol`, with the `bedrock-agentcore` SDK's server around it.

Deploy it with `--protocol AGUI`. It answers with events, over HTTP (`POST /invocations`) and over a WebSocket (`/ws`).
"""

import asyncio
import uuid

from ag_ui.core import (
    RunFinishedEvent, RunStartedEvent, TextMessageContentEvent, TextMessageEndEvent, TextMessageStartEvent,
)
from bedrock_agentcore.runtime import serve_ag_ui


async def repeat(run):
    yield RunStartedEvent(thread_id=run.thread_id, run_id=run.run_id)
    message = str(uuid.uuid4())
    yield TextMessageStartEvent(message_id=message, role="assistant")
    for word in run.messages[-1].content.split():
        yield TextMessageContentEvent(message_id=message, delta=f"{word} ")
        await asyncio.sleep(0.1)
    yield TextMessageEndEvent(message_id=message)
    yield RunFinishedEvent(thread_id=run.thread_id, run_id=run.run_id)


if __name__ == "__main__":
    serve_ag_ui(repeat)
