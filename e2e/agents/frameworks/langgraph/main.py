"""A graph of LangGraph, a model and one tool, and beside it, in its own sandbox, the model that it talks to: `model_server.py`, which the
test puts here. (Agents reach no address of the host.)"""

import subprocess
import sys

from bedrock_agentcore import BedrockAgentCoreApp
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

app = BedrockAgentCoreApp()


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


def graph_of(base_url):
    model = ChatOpenAI(model="scripted-1", base_url=base_url, api_key="none").bind_tools([multiply])

    async def think(state: MessagesState):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([multiply]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    return graph.compile()


@app.entrypoint
async def invoke(payload):
    asked = {"messages": [("user", payload["prompt"])]}
    if payload.get("stream"):
        return stream(asked)
    return {"text": (await graph.ainvoke(asked))["messages"][-1].text}


async def stream(asked):
    async for message, _ in graph.astream(asked, stream_mode="messages"):
        if isinstance(message, AIMessageChunk) and message.text:
            yield {"text": message.text}


if __name__ == "__main__":
    model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
    graph = graph_of(f"http://127.0.0.1:{int(model.stdout.readline())}/v1")
    app.run()
