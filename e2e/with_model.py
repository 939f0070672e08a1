"""Becomes the agent of `agent.py`, once the model that it talks to runs beside it, in its own sandbox: agents reach no address of the host.

The test deploys it as `main.py`, with `model_server.py`."""

import os
import runpy
import subprocess
import sys

model = subprocess.Popen([sys.executable, "model_server.py"], stdout=subprocess.PIPE, text=True)
base_url = f"http://127.0.0.1:{int(model.stdout.readline())}/v1"
os.environ |= {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "MODEL": "scripted-1"}
runpy.run_path("agent.py", run_name="__main__")
