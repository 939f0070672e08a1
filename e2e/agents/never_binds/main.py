"""Runs, and never opens its port."""

import time

print("loading for ever", flush=True)
time.sleep(3600)
