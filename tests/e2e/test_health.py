"""Health checks and what restarts an unhealthy container, told by the real command line."""

import json
import time
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

OFTEN = ("--health-interval", "100ms")
SLEEP = ("busybox", "sleep", "1000")


def health(moord: Daemon, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(moord.docker("inspect", "-f", "{{json .State.Health}}", name))
    return found


def wait_status(moord: Daemon, name: str, status: str) -> None:
    wait_until(lambda: health(moord, name)["Status"] == status, what=f"{name} to be {status}")


def first_result(moord: Daemon, name: str) -> tuple[int, str]:
    wait_until(lambda: bool(health(moord, name)["Log"]), what="a result")
    result = health(moord, name)["Log"][0]
    assert result["Start"] <= result["End"]
    return result["ExitCode"], result["Output"]


def events(moord: Daemon, name: str) -> list[str]:
    until = str(int(time.time()) + 1)
    lines = moord.docker("events", "--since=0", "--until", until, "-f", f"container={name}", "--format", "{{.Action}}")
    return lines.splitlines()


def create(moord: Daemon, name: str, **config: Any) -> None:
    moord.api("POST", f"/containers/create?name={name}", {"Image": "busybox", "Cmd": ["sleep", "1000"], **config})


def test_a_probe_runs_as_the_container_does(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "as", *OFTEN, "--health-cmd", "id -u; echo $A; pwd; echo err >&2; exit 7",
        "-u", "1000", "-e", "A=b", "-w", "/tmp", *SLEEP,
    )  # fmt: skip
    assert first_result(moord, "as") == (7, "1000\nb\n/tmp\nerr\n")
    shown = events(moord, "as")
    command = "/bin/sh -c id -u; echo $A; pwd; echo err >&2; exit 7"
    at = shown.index(f"exec_create: {command}")
    assert shown[at : at + 3] == [f"exec_create: {command}", f"exec_start: {command}", "exec_die"]


def test_output_is_cut_and_five_results_are_kept(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "loud", *OFTEN, "--health-cmd", "yes 1234567 | head -c 9000", *SLEEP,
    )  # fmt: skip
    assert first_result(moord, "loud") == (0, "1234567\n" * 512 + "...")
    wait_until(lambda: len(health(moord, "loud")["Log"]) == 5, what="five results")
    oldest = health(moord, "loud")["Log"][0]["Start"]
    wait_until(lambda: health(moord, "loud")["Log"][0]["Start"] > oldest, what="a sixth result")
    assert len(health(moord, "loud")["Log"]) == 5


def test_a_probe_that_takes_too_long_is_killed(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "slow", *OFTEN, "--health-timeout", "500ms", "--health-cmd", "echo hm; exec sleep 77",
        *SLEEP,
    )  # fmt: skip
    assert first_result(moord, "slow") == (-1, "Health check exceeded timeout (500ms): hm\n")
    wait_until(
        lambda: "sleep 77" not in moord.docker("top", "slow") or len(health(moord, "slow")["Log"]) > 1, what="it"
    )
    assert moord.docker("top", "slow").count("sleep 77") <= 1


def test_what_cannot_be_run_is_a_failure_of_its_own(moord: Daemon) -> None:
    every = {"Interval": 100_000_000}
    create(moord, "none", Healthcheck={"Test": ["CMD", "nosuch"], **every})
    create(moord, "empty", Healthcheck={"Test": ["CMD"], **every})
    moord.docker("start", "none", "empty")
    code, output = first_result(moord, "none")
    assert (code, output.startswith("OCI runtime exec failed: exec failed:")) == (-1, True)
    assert 'exec: "nosuch": executable file not found in $PATH: unknown' in output
    assert first_result(moord, "empty")[1].endswith(" has no command")


def test_status_changes_and_their_events(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "well", *OFTEN, "--health-cmd", "test -e /ok", "--health-retries", "2", *SLEEP,
    )  # fmt: skip
    wait_status(moord, "well", "unhealthy")
    assert moord.docker("ps", "-q", "--no-trunc", "-f", "health=unhealthy") == moord.inspect("well", ".Id")
    (listed,) = json.loads(moord.api("GET", "/v1.52/containers/json"))
    assert listed["Health"] == {"Status": "unhealthy", "FailingStreak": listed["Health"]["FailingStreak"]}
    assert "Health" not in json.loads(moord.api("GET", "/v1.51/containers/json"))[0]
    moord.docker("exec", "well", "touch", "/ok")
    wait_status(moord, "well", "healthy")
    assert "(healthy)" in moord.docker("ps", "--format", "{{.Status}}")
    assert health(moord, "well")["FailingStreak"] == 0
    # Nobody looks after a container that is paused or stopped: Docker calls it unhealthy, and says no word.
    moord.docker("pause", "well")
    assert health(moord, "well")["Status"] == "unhealthy"
    assert "(Paused)" in moord.docker("ps", "--format", "{{.Status}}")
    last = health(moord, "well")["Log"][-1]
    moord.docker("unpause", "well")
    wait_status(moord, "well", "healthy")
    assert health(moord, "well")["Log"][-1]["Start"] > last["Start"]
    moord.docker("stop", "-t", "0", "well")
    assert health(moord, "well")["Status"] == "unhealthy"
    kept = health(moord, "well")["Log"]
    moord.docker("start", "well")
    # The container starts anew and so does its health; earlier results can still be read.
    assert len(health(moord, "well")["Log"]) >= len(kept)
    wait_status(moord, "well", "healthy")
    told = [action for action in events(moord, "well") if not action.startswith("exec")]
    assert told == [
        "create", "start", "health_status: unhealthy", "health_status: healthy", "pause", "unpause",
        "health_status: healthy", "kill", "kill", "die", "stop", "start", "health_status: healthy",
    ]  # fmt: skip


def test_the_start_period_forgives_and_has_its_own_interval(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "new", "--health-start-period", "1h", "--health-start-interval", "100ms",
        "--health-interval", "1h", "--health-retries", "1", "--health-cmd", "test -e /ok", *SLEEP,
    )  # fmt: skip
    wait_until(lambda: len(health(moord, "new")["Log"]) == 5, what="results")
    assert (health(moord, "new")["Status"], health(moord, "new")["FailingStreak"]) == ("starting", 0)
    assert "(health: starting)" in moord.docker("ps", "--format", "{{.Status}}")
    moord.docker("exec", "new", "touch", "/ok")
    wait_status(moord, "new", "healthy")


def test_checks_are_inherited_field_by_field_and_can_be_turned_off(moord: Daemon) -> None:
    create(moord, "old", Healthcheck={"Test": ["CMD", "true"], "Interval": 200_000_000, "Retries": 7})
    moord.docker("commit", "old", "checked")
    moord.docker("create", "--name", "some", "--health-retries", "2", "checked")
    moord.docker("run", "-d", "--name", "off", "--no-healthcheck", "checked")
    check = json.loads(moord.docker("inspect", "-f", "{{json .Config.Healthcheck}}", "some"))
    assert check == {"Test": ["CMD", "true"], "Interval": 200_000_000, "Retries": 2}
    assert moord.inspect("off", "json .State.Health") == "null"
    for wrong, message in (
        ({"Interval": 100}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"StartInterval": 100}, "StartInterval in Healthcheck cannot be less than 1ms"),
        ({"Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ):
        answer = moord.api("POST", "/containers/create", {"Image": "busybox", "Healthcheck": wrong}, check=False)
        assert json.loads(answer)["message"] == message


def test_health_survives_the_daemon(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "well", *OFTEN, "--health-cmd", "test -e /ok", "--health-retries", "1", *SLEEP)
    wait_status(own, "well", "unhealthy")
    own.docker("run", "-d", "--name", "idle", "--health-interval", "1h", "--health-cmd", "true", *SLEEP)
    own.stop()
    own.start()
    assert health(own, "well")["Status"] == "unhealthy"
    assert len(health(own, "well")["Log"]) > 0
    assert health(own, "idle")["Status"] == "starting"
    own.docker("exec", "well", "touch", "/ok")
    wait_status(own, "well", "healthy")
    own.restart()
    assert health(own, "well")["Status"] == "healthy"


def test_an_unhealthy_container_is_restarted_by_policy(moord: Daemon) -> None:
    polite = ("busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    moord.docker(
        "run", "-d", "--name", "ill", "--restart", "on-unhealthy:2", *OFTEN, "--health-retries", "1",
        "--health-cmd", "exit 1", *polite,
    )  # fmt: skip
    assert moord.inspect("ill", ".HostConfig.RestartPolicy") == "{on-unhealthy 2}"
    wait_until(lambda: moord.inspect("ill", ".RestartCount") == "2", what="two restarts")
    wait_status(moord, "ill", "unhealthy")
    # The limit is reached: it is left as it is.
    streak = health(moord, "ill")["FailingStreak"]
    wait_until(lambda: health(moord, "ill")["FailingStreak"] > streak + 2, what="more failures")
    assert moord.inspect("ill", ".State.Status}} {{.RestartCount") == "running 2"
    told = [action for action in events(moord, "ill") if not action.startswith("exec")]
    assert told == ["create", *(["start", "health_status: unhealthy", "kill", "die"] * 2), "start", told[-1]]
    assert told[-1] == "health_status: unhealthy"
    # A user who stops it has the last word, and a higher limit is felt at once.
    moord.docker("update", "--restart", "on-unhealthy", "ill")
    wait_until(lambda: int(moord.inspect("ill", ".RestartCount")) > 2, what="another restart")
    moord.docker("stop", "ill")
    assert moord.inspect("ill", ".State.Status") == "exited"
    # It is on-failure too.
    moord.docker(
        "run", "-d", "--name", "fails", "--restart", "on-unhealthy:1", "--health-cmd", "true", "busybox", "false"
    )
    wait_until(lambda: moord.inspect("fails", ".State.Status}} {{.RestartCount") == "exited 1", what="the last run")


def test_a_policy_that_looks_at_health_needs_a_check(moord: Daemon) -> None:
    refusal = "'on-unhealthy' can only be used with a container that has a health check"
    assert refusal in moord.run("create", "--restart", "on-unhealthy", "busybox").stderr
    moord.docker("create", "--name", "bare", "busybox")
    assert refusal in moord.run("update", "--restart", "on-unhealthy:3", "bare").stderr
    assert "can't create 'AutoRemove' container with restart policy" in moord.api(
        "POST", "/containers/create",
        {"Image": "busybox", "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "on-unhealthy"}}},
        check=False,
    )  # fmt: skip
