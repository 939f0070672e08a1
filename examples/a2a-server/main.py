"""An A2A agent that repeats what it is told, word by word, on `a2a-sdk`, with the `bedrock-agentcore` SDK's server around it.

Deploy it with `--protocol A2A`. Its card, at `/.well-known/agent-card.json`, is made of the executor below.
"""

import asyncio

from a2a.helpers import get_message_text, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.tasks import TaskUpdater
from bedrock_agentcore.runtime import serve_a2a


class Agent:
    name = "innkeep example"
    description = "Repeats what it is told, word by word"


class Repeater(AgentExecutor):
    agent = Agent

    async def execute(self, context, event_queue):
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        words = get_message_text(context.message).split()
        for n, word in enumerate(words, start=1):
            await updater.add_artifact(
                [new_text_part(word)], artifact_id="echo", append=n > 1, last_chunk=n == len(words),
            )
            await asyncio.sleep(0.1)
        await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


if __name__ == "__main__":
    serve_a2a(Repeater())
