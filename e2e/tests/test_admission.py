"""New sessions past a limit: refused as the contract says, with a word about when to come again. Living ones go on."""

import re
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, innkeep, new_session, running_server, wait_for


def refused(agent, code, status):
    """Begins a new session, which is refused so; returns the answer's headers."""
    with pytest.raises(ClientError) as caught:
        agent.ask({"do": "facts"}, new_session())
    return check_refusal(caught.value.response, code, status)


def check_refusal(answer, code, status):
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), answer
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-innkeep-error-source"] == "caller"
    return headers


def goes_on(agent, session, words):
    """Tells the session one word more, and whether it still knows those before."""
    return agent.ask({"do": "remember", "word": f"word {words}"}, session)["memory"] == [f"word {n}" for n in range(words + 1)]


def burst(agent, beside=lambda: None):
    """Begins more new sessions at once than are let in, so that it does not matter how long a start takes, and does something beside as
    soon as the first is throttled. Returns the headers of those that were, and what came of the other."""

    def begin(_):
        try:
            agent.ask({"do": "facts"}, new_session())
        except agent.server.data.exceptions.ThrottlingException as error:
            return check_refusal(error.response, "ThrottlingException", 429)

    with ThreadPoolExecutor(12) as pool:
        begun = [pool.submit(begin, n) for n in range(12)]
        came = beside() if any(each.result() for each in as_completed(begun)) else None
    return [headers for each in begun if (headers := each.result())], came


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
        throttled = wait_for("a burst to be throttled", lambda: burst(eager, lambda: modest.ask({}, new_session()))[0])
        waits = [int(headers["retry-after"]) for headers in throttled]
        assert 1 <= min(waits) and max(waits) <= 4, waits
        assert goes_on(eager, living, 1)

        def told_by_the_command():
            command = lambda: innkeep("invoke", eager.id, "-d", '{"do": "facts"}', data_dir=server.data_dir)
            _, ran = burst(eager, command)
            return ran if ran and ran.returncode != 0 else None  # else it came late

        ran = wait_for("the command to be throttled", told_by_the_command, 60)
        assert (ran.returncode, "too many new sessions per second; try again in" in ran.stderr) == (8, True), ran

        def let_in():
            try:
                return eager.ask({"do": "facts"}, new_session())
            except server.data.exceptions.ThrottlingException:
                return None

        # Two runtimes ask by now, so that each has half.
        wait_for("the next start", let_in, seconds=2 * max(waits) + 3)
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
        wait_for("the log to tell it", lambda: "memory is short" in server.stderr)
