"""An agent with the SDK that tells what is by chance in it, and how it came to be."""

import os
import random
import secrets
import ssl
import sys
import tempfile
import threading
import uuid

import loaded
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
STARTED = {"name": __name__, "file": __file__, "argv": sys.argv, "path": sys.path[0], "threads": threading.active_count()}
memory = {}


def client_random() -> str:
    """The 32 random bytes of a TLS handshake's first message."""
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()[11:43].hex()


def by_chance() -> dict:
    return {
        "urandom": os.urandom(16).hex(),
        "uuid4": str(uuid.uuid4()),
        "random": random.random(),
        "secrets": secrets.token_hex(16),
        "tls": client_random(),
        "file name": next(tempfile._get_candidate_names()),
    }


@app.entrypoint
def invoke(payload, context):
    if "remember" in payload:
        memory["word"] = payload["remember"]
    return {
        "by chance": by_chance(),
        "started": STARTED,
        "loaded by": loaded.PID,
        "word": loaded.WORD,
        "remembered": memory.get("word"),
        "pid": os.getpid(),
        "environment": dict(os.environ),
    }


if __name__ == "__main__":
    app.run()
