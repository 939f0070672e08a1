"""One application behind the server that $SERVER names, each set up as its own documentation says."""

import json
import os
import sys
import time

WORKERS = 3


def answer(method, path, body):
    """Returns status and JSON. A payload {"until": FILE} keeps its worker until that file is there; FILE.PID says so."""
    match method, path:
        case "GET", "/ping":
            return 200, {"status": "Healthy"}
        case "POST", "/invocations":
            asked = json.loads(body)
            deadline = time.monotonic() + 30
            if until := asked.get("until"):
                open(f"{until}.{os.getpid()}", "w").close()
                while not os.path.exists(until) and time.monotonic() < deadline:
                    time.sleep(0.01)
            return 200, {"pid": os.getpid(), "echo": asked}
    return 404, {"error": "not found"}


def flask_app():
    from flask import Flask, jsonify, request

    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def everything(path):
        status, value = answer(request.method, "/" + path, request.get_data())
        return jsonify(value), status

    return app


async def asgi_app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("no lifespan, no websockets")
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status, value = answer(scope["method"], scope["path"], body)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def gunicorn(*more):
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "--bind", "0.0.0.0:8080", "--workers", str(WORKERS), *more, "main:flask_app()"]
    run()


if __name__ == "__main__":
    match os.environ["SERVER"]:
        case "gunicorn":
            gunicorn()
        case "gunicorn-threads":
            gunicorn("--worker-class", "gthread", "--threads", "2", "--preload")
        case "flask":
            flask_app().run(host="0.0.0.0", port=8080)
        case "uvicorn":
            import uvicorn

            uvicorn.run("main:asgi_app", host="0.0.0.0", port=8080, workers=WORKERS)
        case "hypercorn":
            from hypercorn.config import Config
            from hypercorn.run import run

            config = Config()
            config.application_path, config.bind, config.workers = "main:asgi_app", ["0.0.0.0:8080"], WORKERS
            sys.exit(run(config))
        case unknown:
            sys.exit(f"no server called {unknown}")
