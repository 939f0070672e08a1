"""New sessions past a limit: refused as the contract says, with a word about when to come again. Living ones go on."""

import re
import time

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, innkeep, new_session, running_server, wait_for


def refused(agent, code, status):
    """Begins a new session, which is refused so; returns the answer's headers."""
    with pytest.raises(ClientError) as caught:
        agent.ask({"do": "facts"}, new_session())
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), answer
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-innkeep-error-source"] == "caller"
    return headers


def goes_on(agent, session, words):
    """Tells the session one word more, and whether it still knows those before."""
    return agent.ask({"do": "remember", "word": f"word {words}"}, session)["memory"] == [f"word {n}" for n in range(words + 1)]


def refusals(server) -> dict[str, int]:
    token = (server.data_dir / "operator-token").read_text().strip()
    text = server.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}, sign=False).body.decode()
    counts = re.findall(r'^innkeep_sessions_refused_total\{reason="([a-z-]+)"\} (\d+)$', text, re.MULTILINE)
    return {reason: int(n) for reason, n in counts}


def test_past_the_limit_of_sessions_the_quota_is_exceeded():
    with running_server(max_active_sessions=2) as server:
        agent = server.deploy(AGENTS / "probe")
        living = [new_session(), new_session()]
        assert all(goes_on(agent, session, 0) for session in living)
        assert "retry-after" not in refused(agent, "ServiceQuotaExceededException", 402)
        assert all(goes_on(agent, session, 1) for session in living)
        assert refusals(server) == {"sessions": 1, "start-rate": 0, "memory": 0}
        agent.stop(living[0])
        agent.wait_for_state(living[0], "Stopped")
        agent.ask({"do": "facts"}, new_session())


def test_a_burst_is_throttled_until_the_time_it_is_told_and_leaves_room_for_others():
    with running_server(max_starts_per_second=1) as server:
        eager, modest = server.deploy(AGENTS / "probe"), server.deploy(AGENTS / "counts_deliveries")
        living = new_session()
        assert goes_on(eager, living, 0)
        for _ in range(60):
            try:
                eager.ask({"do": "facts"}, new_session())
            except server.data.exceptions.ThrottlingException:
                break
        refused_at = time.monotonic()
        wait = int(refused(eager, "ThrottlingException", 429)["retry-after"])
        assert 1 <= wait <= 4
        modest.ask({}, new_session())
        assert goes_on(eager, living, 1)

        ran = innkeep("invoke", eager.id, "-d", '{"do": "facts"}', data_dir=server.data_dir)
        assert (ran.returncode, "too many new sessions per second; try again in" in ran.stderr) == (8, True), ran

        # Two runtimes ask by now, so that each has half.
        def let_in():
            try:
                return eager.ask({"do": "facts"}, new_session())
            except server.data.exceptions.ThrottlingException:
                return None

        wait_for("the next start", let_in, seconds=2 * wait + 3)
        assert time.monotonic() - refused_at > 0.5
        counted = refusals(server)
        assert counted["start-rate"] >= 3 and counted["sessions"] == counted["memory"] == 0


def test_while_memory_is_short_new_sessions_are_throttled():
    with running_server() as server:
        agent = server.deploy(AGENTS / "probe")
        living = new_session()
        assert goes_on(agent, living, 0)
        # No host has that much.
        server.kill()
        server.settings["INNKEEP_MEMORY_FLOOR_MIB"] = str(1 << 34)
        server.start()
        assert refused(agent, "ThrottlingException", 429)["retry-after"] == "5"
        assert goes_on(agent, living, 1)
        assert refusals(server) == {"sessions": 0, "start-rate": 0, "memory": 1}
        assert "memory is short" in server.stderr
