"""Every operation is cut at every step, and what is found afterwards is whole or gone.

Each case arms a point (see `moorage.faults`), runs one command, and starts another daemon.
Then the container is in a state in which Docker leaves one, can be used, and leaves
nothing when it is removed. A few cases run always, all of them with `--exhaustive`.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moorage.shim.faults import Point
from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
CREATE = ("create", "--name", "it", "-p", "7000:80", "-v", "/v", *SLEEP)
RUN = ("run", "-d", "--name", "it", "-p", "7000:80", "-v", "/v", *SLEEP)
POLITE = ("run", "-d", "--name", "it", "busybox", "sh", "-c", "trap 'exit 0' TERM; touch /up; sleep 1000 & wait")
RUNNING = frozenset({"running"})
STOPPED = frozenset({"exited", "created"})
EITHER = RUNNING | STOPPED
GONE = "gone"


@dataclass(frozen=True)
class Case:
    """One operation.

    Attributes:
        points: Where to cut it.
        first: Commands before.
        command: What is cut.
        left: States in which the container may be found.
        check: More to insist on.
    """

    points: tuple[str, ...]
    first: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    left: frozenset[str]
    check: Callable[[Daemon], None] = lambda _: None


def is_renamed_or_not(own: Daemon) -> None:
    names = own.docker("ps", "-a", "--format", "{{.Names}}").split()
    assert names in (["it"], ["other"])
    if names == ["other"]:
        own.docker("rename", "other", "it")
    # The other name is free.
    own.docker("create", "--name", "other", *SLEEP)
    own.docker("rm", "other")


def image_is_whole_or_not(own: Daemon) -> None:
    if own.docker("images", "-q", "made"):
        own.docker("run", "--rm", "made", "true")
        own.docker("rmi", "made")
    if own.inspect("it", ".State.Status") == "paused":
        own.docker("unpause", "it")


def has_consistent_networks(own: Daemon) -> None:
    shown = own.inspect("it", "len .NetworkSettings.Networks")
    interfaces = own.docker("exec", "it", "ls", "/sys/class/net").split()
    # The loopback, and one for each network.
    assert len(interfaces) - 1 == int(shown), (interfaces, shown)
    if own.run("network", "disconnect", "net", "it").returncode:
        own.docker("network", "connect", "net", "it")


def network_is_usable(own: Daemon) -> None:
    if "new" in own.docker("network", "ls", "--format", "{{.Name}}").split():
        own.docker("run", "--rm", "--network", "new", "busybox", "true")
        own.docker("network", "rm", "new")
    own.docker("network", "create", "new")
    own.docker("network", "rm", "new")


def volume_is_usable(own: Daemon) -> None:
    own.docker("run", "--rm", "-v", "new:/v", "busybox", "touch", "/v/file")
    own.docker("volume", "rm", "new")


CASES = {
    "create": Case(
        ("create:named", "create:files-made", "create:volumes-made", "create:recorded"),
        (), CREATE, frozenset({GONE, "created"}),
    ),
    "start": Case(
        ("start:network-open", "start:bundle-written", "start:shim-asked", "start:running",
         *(f"shim:{point}" for point in Point)),
        (CREATE,), ("start", "it"), EITHER,
    ),
    "exec": Case(("exec:described", "exec:started"), (RUN,), ("exec", "it", "sleep", "1000"), RUNNING),
    "stop": Case(
        ("kill:sent", "exit:network-closed", "exit:recorded", "exit:released"), (POLITE,), ("stop", "it"), STOPPED
    ),
    "kill": Case(("kill:sent", "exit:recorded", "exit:released"), (RUN,), ("kill", "it"), STOPPED),
    "restart": Case(
        ("kill:sent", "exit:recorded", "restart:stopped", "start:shim-asked"),
        (RUN,), ("restart", "-t", "0", "it"), EITHER,
    ),
    "pause": Case(("pause:frozen",), (RUN,), ("pause", "it"), frozenset({"paused", "running"})),
    "unpause": Case(("unpause:thawed",), (RUN, ("pause", "it")), ("unpause", "it"), frozenset({"paused", "running"})),
    "commit": Case(
        ("commit:frozen", "commit:layer-added"), (RUN, ("exec", "it", "touch", "/new")), ("commit", "it", "made"),
        frozenset({"running", "paused"}), image_is_whole_or_not,
    ),
    "copy-in": Case(("archive_put:begun",), (RUN,), ("cp", "/etc/hostname", "it:/"), RUNNING),
    "copy-out": Case(("archive_get:begun",), (RUN,), ("cp", "it:/etc/group", "-"), RUNNING),
    "export": Case(("export:begun",), (RUN,), ("export", "-o", "/tmp/moor-crash-export", "it"), RUNNING),
    "rename": Case(("rename:reserved", "rename:saved"), (RUN,), ("rename", "it", "other"),
        frozenset({"running", GONE}), is_renamed_or_not),
    "update": Case(("update:applied",), (RUN,), ("update", "--pids-limit", "77", "it"), RUNNING),
    "remove": Case(
        ("remove:marked", "remove:volumes-gone", "volume:taken-away", "volume:row-gone", "remove:record-gone"),
        (CREATE,), ("rm", "-v", "it"), frozenset({GONE}),
    ),
    "remove-running": Case(
        ("kill:sent", "exit:recorded", "remove:marked", "remove:record-gone"), (RUN,), ("rm", "-fv", "it"),
        frozenset({GONE, *STOPPED}),
    ),
    "prune": Case(("remove:record-gone",), (CREATE,), ("container", "prune", "-f"), frozenset({GONE})),
    "connect": Case(
        ("network:attachments-saved", "network:plugged"), (("network", "create", "net"), RUN),
        ("network", "connect", "net", "it"), RUNNING, has_consistent_networks,
    ),
    "disconnect": Case(
        ("network:unplugged",),
        (("network", "create", "net"), RUN, ("network", "connect", "net", "it")),
        ("network", "disconnect", "net", "it"), RUNNING, has_consistent_networks,
    ),
    "network-create": Case(
        ("network:recorded", "network:device-made"), (), ("network", "create", "new"), frozenset({GONE}),
        network_is_usable,
    ),
    "network-remove": Case(
        ("network:device-gone",), (("network", "create", "new"),), ("network", "rm", "new"), frozenset({GONE}),
        network_is_usable,
    ),
    "volume-create": Case(
        ("volume:directory-made",), (), ("volume", "create", "new"), frozenset({GONE}), volume_is_usable
    ),
    "volume-remove": Case(
        ("volume:taken-away", "volume:row-gone"), (("volume", "create", "new"),), ("volume", "rm", "new"),
        frozenset({GONE}), volume_is_usable,
    ),
}  # fmt: skip
ALWAYS = {
    ("exec", "exec:started"), ("restart", "restart:stopped"), ("pause", "pause:frozen"), ("commit", "commit:frozen"),
    ("copy-in", "archive_put:begun"), ("rename", "rename:saved"), ("update", "update:applied"),
    ("connect", "network:attachments-saved"), ("connect", "network:plugged"), ("disconnect", "network:unplugged"),
    ("network-create", "network:recorded"), ("network-remove", "network:device-gone"),
    ("volume-remove", "volume:taken-away"), ("start", "shim:before-start"), ("start", "shim:before-started"),
    ("remove-running", "exit:recorded"),
}  # fmt: skip


def cases() -> Iterator[object]:
    for operation, case in CASES.items():
        for point in case.points:
            marks = [] if (operation, point) in ALWAYS else [pytest.mark.exhaustive]
            yield pytest.param(operation, point, marks=marks, id=f"{operation}-{point.replace(':', '-')}")


@pytest.fixture(scope="module")
def crashing() -> Iterator[Daemon]:
    """A daemon for all cases, which each leave it as it was."""
    with daemon() as made:
        made.start()
        made.load_busybox()
        yield made


@pytest.fixture(scope="module")
def rules(crashing: Daemon) -> str:
    """The firewall without any container."""
    return crashing.firewall()


def state(own: Daemon) -> str:
    return own.docker("inspect", "-f", "{{.State.Status}}", "it", check=False) or GONE


@pytest.mark.parametrize(("operation", "point"), list(cases()))
def test_cut(crashing: Daemon, rules: str, operation: str, point: str) -> None:
    case = CASES[operation]
    for command in case.first:
        crashing.docker(*command)
    if case.first and case.first[0] is POLITE:
        wait_until(lambda: crashing.run("exec", "it", "test", "-e", "/up").returncode == 0, what="the trap")
    crashing.stop()
    crashing.start(fault=point)
    client = crashing.popen(*case.command)
    if point.startswith("shim:"):
        client.wait(timeout=stretched(30))
        crashing.kill()
    else:
        crashing.wait_crashed()
    crashing.start()
    is_usable(crashing, case)
    leaves_nothing(crashing, rules)


def is_usable(own: Daemon, case: Case) -> None:
    # What was cut may go on by itself for a moment: an exit, a removal.
    wait_until(lambda: state(own) in case.left, what=f"one of {sorted(case.left)}", log=own.log)
    case.check(own)
    if state(own) == "paused":
        own.docker("unpause", "it")
    if state(own) == GONE:
        own.docker("create", "--name", "it", "-p", "7000:80", *SLEEP)
    own.docker("start", "it")
    assert own.docker("exec", "it", "echo", "ok") == "ok"


def leaves_nothing(own: Daemon, rules: str) -> None:
    own.docker("stop", "-t", "0", "it")
    own.docker("rm", "-fv", "it")
    own.docker("network", "rm", "net", check=False)
    own.docker("volume", "prune", "-af")
    own.assert_no_leaks()
    assert own.docker("volume", "ls", "-q") == ""
    wait_until(lambda: own.firewall() == rules, what="the firewall to be as before", log=own.log)
    # The lowest address is free again.
    assert own.docker("run", "--rm", "busybox", "hostname", "-i").endswith(".2")


LAUNCHER = [
    ("start", "start:bundle-written"), ("start", "start:shim-asked"), ("start", "start:network-open"),
    ("create", "create:named"), ("commit", "commit:frozen"), ("copy-in", "archive_put:begun"), ("stop", "kill:sent"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "point"), LAUNCHER)
def test_the_launcher_dies(crashing: Daemon, rules: str, operation: str, point: str) -> None:
    case = CASES[operation]
    crashing.stop()
    crashing.start(fault=f"{point}@launcher")
    for command in case.first:
        crashing.run(*command)
    if state(crashing) == GONE and case.first:
        # It was needed for the preparation already.
        wait_until(lambda: crashing.run(*case.first[0]).returncode == 0, what="another launcher", log=crashing.log)
    elif state(crashing) == "created" and case.first[0] is RUN:
        wait_until(lambda: crashing.run("start", "it").returncode == 0, what="another launcher", log=crashing.log)
    crashing.run(*case.command)
    wait_until(lambda: crashing.run("run", "--rm", "busybox", "true").returncode == 0, what="another", log=crashing.log)
    is_usable(crashing, case)
    leaves_nothing(crashing, rules)


def test_a_part_of_a_shim_dies(crashing: Daemon, rules: str) -> None:
    """The attendant is replaced, whatever it was doing; the keeper's end is the container's."""
    crashing.docker(*RUN)
    init = int(crashing.inspect("it", ".State.Pid"))
    keeper = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
    execute = crashing.popen("exec", "it", "sleep", "999")
    wait_until(lambda: "sleep 999" in crashing.docker("top", "it"), what="the exec")
    children = [int(child) for child in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()]
    for attendant in children:
        if Path(f"/proc/{attendant}/comm").read_text().strip() == "moor-launcher":
            os.kill(attendant, signal.SIGKILL)
    wait_until(lambda: crashing.run("exec", "it", "true").returncode == 0, what="the next attendant", log=crashing.log)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: state(crashing) == "exited", what="the end", log=crashing.log)
    execute.wait(timeout=stretched(20))
    assert crashing.inspect("it", ".State.ExitCode") == "137"
    crashing.docker("start", "it")
    leaves_nothing(crashing, rules)


def work(own: Daemon, number: int, over: threading.Event, failures: list[str]) -> None:
    """Do what clients do until it is over; a client that never comes back is a failure."""
    name = f"it{number}"
    run = ("run", "-d", "--name", name, "-v", "/v", "-p", f"71{number:02}:80", *SLEEP)
    commands = (run, ("exec", name, "true"), ("stop", "-t", "0", name), ("start", name), ("rm", "-fv", name))
    while not over.is_set():
        for command in commands:
            try:
                own.run(*command, timeout=60)
            except subprocess.TimeoutExpired:
                failures.append(" ".join(command))


def test_random_crashes(crashing: Daemon, rules: str, request: pytest.FixtureRequest) -> None:
    """Clients work while the daemon dies again and again; in the end everything agrees."""
    over = threading.Event()
    failures: list[str] = []
    workers = [threading.Thread(target=work, args=(crashing, number, over, failures)) for number in range(3)]
    for worker in workers:
        worker.start()
    rounds = 12 if request.config.getoption("--exhaustive") else 4
    for number in range(rounds):
        over.wait(1.0 + 0.37 * (number % 4))
        crashing.kill()
        crashing.start()
    over.set()
    for worker in workers:
        worker.join()
    assert failures == []
    for container in crashing.docker("ps", "-aq").split():
        crashing.docker("start", container, check=False)
        crashing.docker("exec", container, "true")
        crashing.docker("rm", "-fv", container)
    crashing.docker("create", "--name", "it", *SLEEP)
    leaves_nothing(crashing, rules)
