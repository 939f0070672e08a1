"""What a server holds does not grow with what it has done. Descriptors, processes and directories of every server of the suite are
counted when it ends (harness.Server.rest and stop); this adds what only repetition shows: memory."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, new_session, resident

ROUNDS = 6
GROWTH_MIB = 12


def test_a_server_that_did_it_all_again_and_again_is_no_larger(own_server):
    agent = own_server.deploy(AGENTS / "probe")
    at_rest = []
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: a_session_s_life(agent), range(16)))
        own_server.rest()
        at_rest.append(resident(own_server.pid))
    # The first rounds fill caches and pools; from then on there is nothing new to keep.
    assert at_rest[-1] - at_rest[1] < GROWTH_MIB, at_rest


def a_session_s_life(agent):
    session = new_session()
    for _ in range(5):
        agent.ask({"do": "remember", "word": "x" * 1000}, session)
    agent.ask(raw=bytes(3 << 20), session=session, contentType="application/octet-stream")
    left = agent.invoke({"do": "download", "count": 3 << 20}, session)["response"]
    left.read(1)
    left.close()
    assert agent.server.request("POST", agent.path, b"{}", sign=False).status == 403
    with pytest.raises(ClientError):
        agent.ask({"do": "exit", "code": 3}, session)
    agent.ask({"do": "facts"}, session)
