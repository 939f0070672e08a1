"""What the zygote imports, named in `zygote_modules`: uses randomness and the environment already while it is imported."""

import os
import random
import ssl
import tempfile
import uuid

PID = os.getpid()
WORD = os.environ["FORKED_WORD"]

random.random(), uuid.uuid4(), next(tempfile._get_candidate_names()), ssl.RAND_bytes(8)
