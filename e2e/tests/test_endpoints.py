"""Endpoints: which version serves, also while it changes, when that fails, and when the server dies in the middle of it."""

import uuid

import pytest
from botocore.exceptions import ClientError

from harness import AGENTS, ROLE, Agent, new_session, processes, wait_for

SERVED_BY = "PROBE_VERSION"  # each version of these tests carries its own number


@pytest.fixture(scope="module")
def artifact(server):
    return server.artifact(AGENTS / "probe")


class Deployed(Agent):
    """A runtime whose versions tell which they are."""

    @staticmethod
    def create(server, artifact=None, wait=True, name=None, **environment):
        made = server.control.create_agent_runtime(
            agentRuntimeName=name or f"endpoints_{uuid.uuid4().hex[:8]}", agentRuntimeArtifact=artifact or server.artifact(AGENTS / "probe"),
            roleArn=ROLE, environmentVariables={SERVED_BY: "1", **environment},
        )
        deployed = Deployed(server, made["agentRuntimeArn"], made["agentRuntimeId"])
        if wait:
            assert server.settled(deployed.id)["status"] == "READY"
        return deployed

    def update(self, wait=True, **environment) -> str:
        got = self.server.control.get_agent_runtime(agentRuntimeId=self.id)
        version = str(int(got["agentRuntimeVersion"]) + 1)
        updated = self.server.control.update_agent_runtime(
            agentRuntimeId=self.id, agentRuntimeArtifact=got["agentRuntimeArtifact"], roleArn=ROLE,
            environmentVariables={SERVED_BY: version, **environment},
        )
        assert updated["agentRuntimeVersion"] == version
        if wait:
            self.server.settled(self.id)
        return version

    def endpoint(self, name="prod") -> dict:
        return self.server.control.get_agent_runtime_endpoint(agentRuntimeId=self.id, endpointName=name)

    def state(self, name="prod") -> tuple:
        """Status, live and target version."""
        got = self.endpoint(name)
        return got["status"], got.get("liveVersion"), got.get("targetVersion")

    def point(self, version: str, name="prod", wait=True):
        """Creates the endpoint, or moves it."""
        control = self.server.control
        try:
            control.update_agent_runtime_endpoint(agentRuntimeId=self.id, endpointName=name, agentRuntimeVersion=version)
        except control.exceptions.ResourceNotFoundException:
            control.create_agent_runtime_endpoint(agentRuntimeId=self.id, name=name, agentRuntimeVersion=version)
        if wait:
            wait_for(f"{name} to serve {version}", lambda: self.state(name) == ("READY", version, version))

    def served_by(self, session=None, qualifier="prod") -> str:
        return self.ask({"do": "facts"}, session or new_session(), qualifier=qualifier)["environment"][SERVED_BY]

    def delete(self, **which):
        self.server.control.delete_agent_runtime(agentRuntimeId=self.id, **which)

    def gone(self, **which):
        def look():
            try:
                self.server.control.get_agent_runtime(agentRuntimeId=self.id, **which)
            except self.server.control.exceptions.ResourceNotFoundException:
                return True
            return False

        wait_for(f"{self.id} {which} to be gone", look)


def refused(code, call, **members) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response
    return caught.value.response["Error"]["Message"]


# --- moves -------------------------------------------------------------------------------------------------------------


@pytest.mark.host
def test_an_endpoint_serves_what_is_live_until_its_target_is_made(server, artifact, tmp_path):
    deployed, hold = Deployed.create(server, artifact), tmp_path / "hold"
    deployed.point("1")
    hold.touch()
    deployed.update(wait=False, PROBE_HOLD=str(hold))
    deployed.point("2", wait=False)
    for name in ("prod", "DEFAULT"):
        assert deployed.state(name) == ("UPDATING", "1", "2")
        assert deployed.served_by(qualifier=name) == "1"
    listed = server.control.list_agent_runtime_endpoints(agentRuntimeId=deployed.id)["runtimeEndpoints"]
    assert [(item["liveVersion"], item["targetVersion"]) for item in listed] == [("1", "2")] * 2
    refused("ConflictException", server.control.update_agent_runtime_endpoint, agentRuntimeId=deployed.id, endpointName="prod",
            agentRuntimeVersion="1")
    hold.unlink()
    for name in ("prod", "DEFAULT"):
        wait_for(f"{name} to have moved", lambda: deployed.state(name) == ("READY", "2", "2"))
        assert deployed.served_by(qualifier=name) == "2"
    deployed.delete()


def test_a_running_session_keeps_its_version_and_begins_again_with_the_new_one(server, artifact):
    deployed, session = Deployed.create(server, artifact), new_session()
    deployed.point("1")
    assert deployed.served_by(session) == "1"
    deployed.update()
    deployed.point("2")
    assert deployed.served_by(session) == "1" and deployed.served_by() == "2"
    server.data.stop_runtime_session(agentRuntimeArn=deployed.arn, runtimeSessionId=session, qualifier="prod")
    assert deployed.served_by(session) == "2"
    # Back is a move like any other.
    deployed.point("1")
    assert deployed.served_by(session) == "2" and deployed.served_by() == "1"
    deployed.delete()


@pytest.mark.host
def test_a_move_that_fails_keeps_what_was_live_and_says_why(server, artifact, tmp_path):
    deployed, hold = Deployed.create(server, artifact), tmp_path / "hold"
    deployed.point("1")
    hold.touch()
    deployed.update(wait=False, PROBE_HOLD=str(hold), PROBE_PORT="no port")
    deployed.point("2", wait=False)
    hold.unlink()
    assert server.settled(deployed.id)["status"] == "UPDATE_FAILED"
    wait_for("the move to end", lambda: deployed.state() == ("UPDATE_FAILED", "1", "2"))
    assert "exit code 1" in deployed.endpoint()["failureReason"]
    assert deployed.served_by() == "1"
    message = refused("ConflictException", server.control.update_agent_runtime_endpoint, agentRuntimeId=deployed.id,
                      endpointName="prod", agentRuntimeVersion="2")
    assert "UPDATE_FAILED" in message
    # The next move clears it.
    deployed.point("1")
    assert "failureReason" not in deployed.endpoint()
    deployed.delete()


# --- DEFAULT -----------------------------------------------------------------------------------------------------------


def test_default_follows_the_newest_and_named_endpoints_stay(server, artifact):
    deployed = Deployed.create(server, artifact)
    assert deployed.state("DEFAULT") == ("READY", "1", "1")
    deployed.point("1")
    deployed.update()
    assert deployed.state("DEFAULT") == ("READY", "2", "2") and deployed.state() == ("READY", "1", "1")
    assert deployed.served_by(qualifier="DEFAULT") == "2" and deployed.served_by() == "1"
    # Without a version an endpoint begins with the newest.
    server.control.create_agent_runtime_endpoint(agentRuntimeId=deployed.id, name="newest")
    wait_for("it to serve", lambda: deployed.state("newest") == ("READY", "2", "2"))
    deployed.delete()


def test_default_is_nobody_s_to_change(server, artifact):
    deployed, control = Deployed.create(server, artifact), server.control
    named = {"agentRuntimeId": deployed.id}
    refused("ConflictException", control.create_agent_runtime_endpoint, **named, name="DEFAULT")
    refused("ConflictException", control.update_agent_runtime_endpoint, **named, endpointName="DEFAULT", agentRuntimeVersion="1")
    refused("ConflictException", control.delete_agent_runtime_endpoint, **named, endpointName="DEFAULT")
    assert deployed.served_by(qualifier="DEFAULT") == "1"
    deployed.delete()


# --- deletion ----------------------------------------------------------------------------------------------------------


def test_a_version_that_is_served_is_not_deleted_and_its_number_never_comes_again(server, artifact):
    deployed = Deployed.create(server, artifact)
    deployed.point("1")
    deployed.update()
    deployed.update()
    for served in ("1", "3"):
        refused("ConflictException", deployed.delete, agentRuntimeVersion=served)
    deployed.delete(agentRuntimeVersion="2")
    deployed.gone(agentRuntimeVersion="2")
    refused("ResourceNotFoundException", server.control.create_agent_runtime_endpoint, agentRuntimeId=deployed.id, name="two",
            agentRuntimeVersion="2")
    deployed.point("3")
    deployed.delete(agentRuntimeVersion="1")
    deployed.gone(agentRuntimeVersion="1")
    listed = server.control.list_agent_runtime_versions(agentRuntimeId=deployed.id)["agentRuntimes"]
    assert [item["agentRuntimeVersion"] for item in listed] == ["3"]
    assert deployed.update() == "4"
    deployed.delete()


def test_an_endpoint_that_is_deleted_takes_its_sessions_along_and_no_others(server, artifact):
    deployed, session, other = Deployed.create(server, artifact), new_session(), new_session()
    deployed.point("1")
    deployed.served_by(session)
    deployed.served_by(other, "DEFAULT")
    server.control.delete_agent_runtime_endpoint(agentRuntimeId=deployed.id, endpointName="prod")
    wait_for("it to be gone", lambda: "prod" not in [item["name"] for item in endpoints(server, deployed)])
    wait_for("its session to be gone", lambda: [view["sessionId"] for view in sessions(server, deployed)] == [other])
    refused("ResourceNotFoundException", server.data.invoke_agent_runtime, agentRuntimeArn=deployed.arn, qualifier="prod", payload=b"{}")
    # An endpoint of the same name is another one.
    deployed.point("1")
    assert deployed.served_by(session) == "1"
    deployed.delete()


def endpoints(server, deployed):
    return server.control.list_agent_runtime_endpoints(agentRuntimeId=deployed.id)["runtimeEndpoints"]


def sessions(server, deployed):
    return server.request("GET", f"/innkeep/v1/sessions?runtime={deployed.id}").json()["sessions"]


def test_a_runtime_that_is_deleted_leaves_nothing_behind(own_server):
    server = own_server
    deployed = Deployed.create(server, name="once")
    deployed.point("1")
    server.control.tag_resource(resourceArn=deployed.arn, tags={"team": "one"})
    for qualifier in ("prod", "DEFAULT"):
        deployed.served_by(qualifier=qualifier)
    deployed.delete()
    deployed.gone()
    assert sessions(server, deployed) == []
    wait_for("no sandbox", lambda: not list((server.data_dir / "sandboxes").iterdir()))
    wait_for("no process but the server", lambda: set(processes(str(server.data_dir))) == {server.pid})
    for call in (server.control.list_tags_for_resource, server.control.get_resource_policy):
        refused("ResourceNotFoundException", call, resourceArn=deployed.arn)
    refused("ResourceNotFoundException", server.data.invoke_agent_runtime, agentRuntimeArn=deployed.arn, payload=b"{}")
    assert server.request("GET", "/innkeep/v1/runtimes").json()["runtimes"] == []
    # One of the same name has nothing of it, either.
    again = Deployed.create(server, name="once")
    assert again.id != deployed.id
    assert server.control.list_tags_for_resource(resourceArn=again.arn)["tags"] == {}
    assert [item["name"] for item in endpoints(server, again)] == ["DEFAULT"]


# --- kill -9 in the middle ---------------------------------------------------------------------------------------------


@pytest.mark.host
def test_a_server_that_dies_while_something_is_made_or_moved_takes_it_up_again(own_server, tmp_path):
    (hold := tmp_path / "hold").touch()
    deployed = Deployed.create(own_server, wait=False, PROBE_HOLD=str(hold))
    restart(own_server, deployed, hold)
    assert own_server.settled(deployed.id)["status"] == "READY"
    deployed.point("1")

    (hold := tmp_path / "another").touch()
    deployed.update(wait=False, PROBE_HOLD=str(hold))
    deployed.point("2", wait=False)
    own_server.control.create_agent_runtime_endpoint(agentRuntimeId=deployed.id, name="fresh", agentRuntimeVersion="2")
    restart(own_server, deployed, hold, expect=[("prod", ("UPDATING", "1", "2")), ("DEFAULT", ("UPDATING", "1", "2")),
                                                ("fresh", ("CREATING", None, "2"))])
    assert own_server.settled(deployed.id)["status"] == "READY"
    for name in ("prod", "DEFAULT", "fresh"):
        wait_for(f"{name} to have moved", lambda: deployed.state(name) == ("READY", "2", "2"))
        assert deployed.served_by(qualifier=name) == "2"


def restart(server, deployed, hold, expect=()):
    """Kills the server while an agent holds its start, starts it again, looks, and lets the agent go on."""
    wait_for("the agent to be started", lambda: running_agents(server))
    server.kill()
    server.start()
    assert server.control.get_agent_runtime(agentRuntimeId=deployed.id)["status"] in ("CREATING", "UPDATING")
    for name, state in expect:
        assert deployed.state(name) == state
    if expect:
        assert deployed.served_by(qualifier="prod") == "1"
    hold.unlink()


def running_agents(server) -> list[int]:
    return [pid for pid, command in processes(str(server.data_dir)).items() if "main.py" in command]


def test_a_server_that_dies_after_it_took_a_delete_finishes_it(own_server):
    deployed = Deployed.create(own_server)
    deployed.point("1")
    deployed.update()
    deployed.served_by()
    own_server.control.delete_agent_runtime_endpoint(agentRuntimeId=deployed.id, endpointName="prod")
    own_server.kill()
    own_server.start()
    wait_for("the endpoint to be gone", lambda: [item["name"] for item in endpoints(own_server, deployed)] == ["DEFAULT"])
    deployed.served_by(qualifier="DEFAULT")
    deployed.delete()
    own_server.kill()
    own_server.start()
    deployed.gone()
    wait_for("no process but the server", lambda: set(processes(str(own_server.data_dir))) == {own_server.pid})
