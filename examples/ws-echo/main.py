"""Echoes what it hears over a WebSocket, with the `bedrock-agentcore` SDK: text as text, bytes as bytes, until its caller hangs up.

A text that is a JSON object is an order: `{"stream": 3}` sends three messages, `{"close": 1000}` hangs up.
"""

import json

from bedrock_agentcore import BedrockAgentCoreApp
from starlette.websockets import WebSocketDisconnect

app = BedrockAgentCoreApp()


@app.websocket
async def talk(websocket, context):
    await websocket.accept()
    await websocket.send_json({"session": context.session_id, "headers": context.request_headers})
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await websocket.send_bytes(message["bytes"])
            else:
                await answer(websocket, message["text"])
    except WebSocketDisconnect:
        pass  # the caller has gone, and there is nobody to tell


async def answer(websocket, text):
    match order(text):
        case {"stream": int(to)}:
            for n in range(1, to + 1):
                await websocket.send_json({"n": n})
        case {"close": int(code)}:
            await websocket.close(code)
        case _:
            await websocket.send_text(text)


def order(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


@app.entrypoint
async def invoke(payload, context):
    return {"echo": payload, "session": context.session_id}


if __name__ == "__main__":
    app.run()
