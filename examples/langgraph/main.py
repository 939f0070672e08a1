"""A graph of LangGraph, a model and a tool, which remembers its session's conversation: a plain answer, or with `"stream": true` the model's
words as they come.

Its environment says which model, anything behind OpenAI's API: `OPENAI_API_KEY`, `OPENAI_BASE_URL` if it is not OpenAI's own, and `MODEL`.
"""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

app = BedrockAgentCoreApp()


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


model = ChatOpenAI(model=os.environ.get("MODEL", "gpt-5-mini")).bind_tools([multiply])


async def think(state: MessagesState):
    return {"messages": [await model.ainvoke(state["messages"])]}


def graph_of_both():
    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([multiply]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    # A session has this process to itself: what it holds in memory is that session's.
    return graph.compile(checkpointer=InMemorySaver())


graph = graph_of_both()


@app.entrypoint
async def invoke(payload, context):
    asked = {"messages": [("user", payload["prompt"])]}
    config = {"configurable": {"thread_id": context.session_id}}
    if payload.get("stream"):
        return stream(asked, config)
    return {"text": (await graph.ainvoke(asked, config))["messages"][-1].text}


async def stream(asked, config):
    async for message, _ in graph.astream(asked, config, stream_mode="messages"):
        if isinstance(message, AIMessageChunk) and message.text:
            yield {"text": message.text}


if __name__ == "__main__":
    app.run()
