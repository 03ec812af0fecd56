"""A host that goes down takes its containers with it, politely, and brings them back."""

from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.systemd import FakeSystemd

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

POLITE = ("busybox", "sh", "-c", "trap 'echo bye; exit 7' USR1; echo ready; while :; do sleep 0.1; done")


@pytest.fixture
def systemd(own: Daemon) -> Iterator[FakeSystemd]:
    """A systemd that the daemon finds instead of the host's; the daemon is started again to see it."""
    own.in_network("mount", "-t", "tmpfs", "none", "/run")
    own.in_network("mkdir", "-p", "/run/systemd/system")
    made = FakeSystemd(own.root / "run" / "systemd")
    own.restart()
    yield made
    made.close()


def run_polite(own: Daemon, name: str, *options: str) -> None:
    own.docker("run", "-d", "--name", name, "--stop-signal", "USR1", *options, *POLITE)
    wait_until(lambda: "ready" in own.docker("logs", name), what="the program to run")


def states(own: Daemon) -> dict[str, str]:
    lines = own.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    return dict(line.split() for line in lines)


def test_containers_are_stopped_with_the_host_and_their_policies_hold(own: Daemon, systemd: FakeSystemd) -> None:
    for name, options in {
        "once": [], "passing": ["--rm"], "always": ["--restart=always"], "mine": ["--restart=unless-stopped"],
        "failing": ["--restart=on-failure:3"], "stopped": ["--restart=unless-stopped"],
    }.items():  # fmt: skip
        run_polite(own, name, *options)
    own.docker("run", "-d", "--name", "cold", "--restart", "always", "busybox", "sleep", "1000")
    own.docker("pause", "cold")
    own.docker("stop", "stopped")
    systemd.state = "stopping"
    own.stop()
    wait_until(lambda: not own.processes(), what="everything to end", log=own.log)

    systemd.state = "running"
    own.start()
    for name in ("always", "mine", "failing", "cold"):
        wait_until(lambda name=name: states(own)[name] == "running", what=f"{name} to come back")  # type: ignore[misc]
    assert {name: state for name, state in states(own).items() if state != "running"} == {
        "once": "exited", "stopped": "exited",
    }  # fmt: skip
    assert own.inspect("once", ".State.ExitCode") == "7"
    assert "bye" in own.docker("logs", "once")


def test_containers_outlive_a_daemon_that_is_stopped_alone(own: Daemon, systemd: FakeSystemd) -> None:
    run_polite(own, "kept")
    pid = own.inspect("kept", ".State.Pid")
    systemd.state = "degraded"
    own.stop()
    own.start()
    assert own.inspect("kept", ".State.Pid") == pid
    systemd.failures["Get"] = "org.freedesktop.DBus.Error.NoReply"
    own.stop()
    own.start()
    assert own.inspect("kept", ".State.Pid") == pid
