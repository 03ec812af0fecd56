"""Every operation is cut at every step, and what is found afterwards is whole or gone.

Each case arms a point (see `moorage.faults`) and runs one command, in the middle of which the
daemon, the launcher, or one part of the container's shim is killed. The command comes to an
end; another daemon is started. Then the container is in a state in which Docker leaves one,
can be used, and leaves nothing when it is removed. A few cases run always, all of them with
`--exhaustive`.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import moorage
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


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operation.

    Attributes:
        points: Where to cut it; `launcher` and daemon die at each.
        shim: The points at which there is a shim, whose parts die at each.
        inner: Points of the shim's own.
        first: Commands before.
        command: What is cut.
        left: States in which the container may be found.
        check: More to insist on.
    """

    points: tuple[str, ...]
    shim: tuple[str, ...] = ()
    inner: tuple[Point, ...] = ()
    first: tuple[tuple[str, ...], ...] = ()
    command: tuple[str, ...]
    left: frozenset[str]
    check: Callable[[Daemon], None] = lambda _: None

    def cuts(self) -> Iterator[tuple[str, str]]:
        """Yield each point, and who dies there."""
        yield from ((point, victim) for point in self.points for victim in ("daemon", "launcher"))
        yield from ((point, victim) for point in self.shim for victim in ("keeper", "attendant"))
        yield from ((f"shim:{point}", victim) for point in self.inner for victim in ("keeper", "attendant"))


def is_renamed_or_not(own: Daemon) -> None:
    names = own.docker("ps", "-a", "--format", "{{.Names}}").split()
    assert names in (["it"], ["other"])
    if names == ["other"]:
        own.docker("rename", "other", "it")
    # The other name is free.
    own.docker("create", "--name", "other", *SLEEP)
    own.docker("rm", "other")


def image_is_whole_or_not(own: Daemon) -> None:
    """Nor is the container still held for it: it was thawed."""
    if own.docker("images", "-q", "made"):
        own.docker("run", "--rm", "made", "true")
        own.docker("rmi", "made")


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


DEATH = (Point.BEFORE_EXIT_RECORD, Point.BEFORE_EXITED, Point.AFTER_EXITED, Point.BEFORE_RELEASED)
KILL = (Point.BEFORE_KILL, Point.AFTER_KILL, *DEATH)
EXIT = ("exit:network-closed", "exit:recorded", "exit:released")
COMMIT = (
    "pause:intended", "pause:frozen", "pack:begun", "commit:frozen", "commit:layer-added", "commit:image-added",
    "unpause:thawed",
)  # fmt: skip
EXEC = ("exec:created", "exec:described", "exec:started", "exec:ended", "exec:recorded")
REMOVE = (
    "remove:marked", "remove:volumes-gone", "volume:taken-away", "volume:row-gone", "remove:record-gone",
    "remove:files-gone",
)  # fmt: skip
CASES = {
    "create": Case(
        points=("create:named", "create:files-made", "volume:directory-made", "create:volumes-made", "create:recorded"),
        command=CREATE, left=frozenset({GONE, "created"}),
    ),
    "start": Case(
        points=("start:network-open", "start:bundle-written", "start:shim-asked", "start:running"),
        shim=("start:running",),
        inner=(Point.BEFORE_CREATE, Point.BEFORE_START, Point.BEFORE_STARTED, Point.BEFORE_TELLING),
        first=(CREATE,), command=("start", "it"), left=EITHER,
    ),
    "exec": Case(
        points=EXEC, shim=EXEC,
        inner=(
            Point.BEFORE_EXEC, Point.AFTER_EXEC, Point.BEFORE_EXEC_STARTED, Point.BEFORE_EXEC_EXITED,
            Point.AFTER_EXEC_EXITED,
        ),
        first=(RUN,), command=("exec", "it", "sh", "-c", "sleep 0.5; exit 5"), left=RUNNING,
    ),
    "exec-detached": Case(
        points=("exec:started",), shim=("exec:started",), inner=(Point.AFTER_EXEC,),
        first=(RUN,), command=("exec", "-d", "it", "sleep", "1000"), left=RUNNING,
    ),
    "stop": Case(
        points=("kill:sent", *EXIT), shim=("kill:sent", *EXIT[:2]), inner=KILL,
        first=(POLITE,), command=("stop", "it"), left=STOPPED,
    ),
    "stop-by-force": Case(
        points=("stop:grace-over",), shim=("stop:grace-over",),
        first=(RUN,), command=("stop", "-t", "1", "it"), left=EITHER,
    ),
    "kill": Case(
        points=("kill:sent", *EXIT), shim=("kill:sent", *EXIT[:2]), inner=KILL,
        first=(RUN,), command=("kill", "it"), left=STOPPED,
    ),
    "restart": Case(
        points=("kill:sent", *EXIT, "restart:stopped", "start:shim-asked"), shim=("kill:sent",),
        inner=(Point.AFTER_KILL, Point.BEFORE_RELEASED),
        first=(RUN,), command=("restart", "-t", "0", "it"), left=EITHER,
    ),
    "pause": Case(
        points=("pause:frozen",), shim=("pause:frozen",), inner=(Point.AFTER_PAUSE,),
        first=(RUN,), command=("pause", "it"), left=frozenset({"paused", "running"}),
    ),
    "unpause": Case(
        points=("unpause:thawed",), shim=("unpause:thawed",), inner=(Point.AFTER_RESUME,),
        first=(RUN, ("pause", "it")), command=("unpause", "it"), left=frozenset({"paused", "running"}),
    ),
    "commit": Case(
        points=COMMIT, shim=COMMIT, inner=(Point.AFTER_PAUSE, Point.AFTER_RESUME),
        first=(RUN, ("exec", "it", "touch", "/new")), command=("commit", "it", "made"),
        left=RUNNING, check=image_is_whole_or_not,
    ),
    "copy-in": Case(
        points=("archive_put:begun", "archive_put:done"), shim=("archive_put:begun", "archive_put:done"),
        first=(RUN,), command=("cp", "/etc/hostname", "it:/"), left=RUNNING,
    ),
    "copy-out": Case(
        points=("archive_get:begun",), shim=("archive_get:begun",),
        first=(RUN,), command=("cp", "it:/etc/group", "-"), left=RUNNING,
    ),
    "diff": Case(
        points=("changes:begun",), shim=("changes:begun",), first=(RUN,), command=("diff", "it"), left=RUNNING
    ),
    "export": Case(
        points=("export:begun",), shim=("export:begun",),
        first=(RUN,), command=("export", "-o", "/tmp/moor-crash-export", "it"), left=RUNNING,
    ),
    "rename": Case(
        points=("rename:reserved", "rename:saved"), shim=("rename:reserved", "rename:saved"),
        first=(RUN,), command=("rename", "it", "other"), left=frozenset({"running", GONE}), check=is_renamed_or_not,
    ),
    "update": Case(
        points=("update:applied",), shim=("update:applied",), inner=(Point.AFTER_UPDATE,),
        first=(RUN,), command=("update", "--pids-limit", "77", "it"), left=RUNNING,
    ),
    "remove": Case(points=REMOVE, first=(CREATE,), command=("rm", "-v", "it"), left=frozenset({GONE})),
    "remove-running": Case(
        points=("kill:sent", "exit:recorded", *REMOVE), shim=("kill:sent", "exit:recorded"), inner=KILL,
        first=(RUN,), command=("rm", "-fv", "it"), left=frozenset({GONE, *STOPPED}),
    ),
    "prune": Case(
        points=("remove:record-gone",), first=(CREATE,), command=("container", "prune", "-f"), left=frozenset({GONE})
    ),
    "connect": Case(
        points=("network:attachments-saved", "network:plugged"), shim=("network:attachments-saved", "network:plugged"),
        inner=(Point.AFTER_CONNECT,),
        first=(("network", "create", "net"), RUN), command=("network", "connect", "net", "it"),
        left=RUNNING, check=has_consistent_networks,
    ),
    "disconnect": Case(
        points=("network:unplugged",), shim=("network:unplugged",), inner=(Point.AFTER_DISCONNECT,),
        first=(("network", "create", "net"), RUN, ("network", "connect", "net", "it")),
        command=("network", "disconnect", "net", "it"), left=RUNNING, check=has_consistent_networks,
    ),
    "network-create": Case(
        points=("network:recorded", "network:device-made"), command=("network", "create", "new"),
        left=frozenset({GONE}), check=network_is_usable,
    ),
    "network-remove": Case(
        points=("network:device-gone",), first=(("network", "create", "new"),), command=("network", "rm", "new"),
        left=frozenset({GONE}), check=network_is_usable,
    ),
    "volume-create": Case(
        points=("volume:directory-made",), command=("volume", "create", "new"), left=frozenset({GONE}),
        check=volume_is_usable,
    ),
    "volume-remove": Case(
        points=("volume:taken-away", "volume:row-gone"), first=(("volume", "create", "new"),),
        command=("volume", "rm", "new"), left=frozenset({GONE}), check=volume_is_usable,
    ),
}  # fmt: skip
ALWAYS = {
    ("exec", "exec:started", "daemon"), ("restart", "restart:stopped", "daemon"), ("pause", "pause:frozen", "daemon"),
    ("commit", "pause:frozen", "daemon"), ("commit", "commit:frozen", "daemon"), ("commit", "pack:begun", "launcher"),
    ("copy-in", "archive_put:begun", "daemon"), ("copy-in", "archive_put:begun", "launcher"),
    ("rename", "rename:saved", "daemon"), ("update", "update:applied", "daemon"),
    ("connect", "network:attachments-saved", "daemon"), ("connect", "network:plugged", "daemon"),
    ("disconnect", "network:unplugged", "daemon"), ("network-create", "network:recorded", "daemon"),
    ("network-remove", "network:device-gone", "daemon"), ("volume-remove", "volume:taken-away", "daemon"),
    ("remove-running", "exit:recorded", "daemon"), ("create", "create:named", "launcher"),
    ("start", "start:shim-asked", "launcher"), ("start", "start:bundle-written", "launcher"),
    ("start", "shim:before-start", "keeper"), ("start", "shim:before-started", "keeper"),
    ("start", "shim:before-telling", "attendant"), ("exec", "shim:after-exec", "attendant"),
    ("exec", "exec:started", "attendant"), ("exec", "exec:described", "keeper"),
    ("stop", "shim:after-kill", "attendant"), ("stop", "shim:before-exit-record", "keeper"),
    ("commit", "commit:frozen", "keeper"), ("commit", "shim:after-pause", "attendant"),
    ("connect", "shim:after-connect", "attendant"), ("remove-running", "shim:before-released", "attendant"),
}  # fmt: skip


def cases() -> Iterator[object]:
    for operation, case in CASES.items():
        for point, victim in case.cuts():
            marks = [] if (operation, point, victim) in ALWAYS else [pytest.mark.exhaustive]
            yield pytest.param(
                operation, point, victim, marks=marks, id=f"{operation}-{point}-{victim}".replace(":", "-")
            )


def test_no_point_is_left_out() -> None:
    """Every point that the code names is one where something is killed."""
    sources = [path.read_text() for path in (Path(moorage.__file__).parent).rglob("*.py")]
    text = "".join(sources)
    named = set(re.findall(r'faults\.point\("(.+?)"\)', text))
    assert text.count("faults.point(") == len(re.findall(r'faults\.point\("', text)) + 1
    # The one whose name is made of a job's.
    named |= {f"{job}:begun" for job in re.findall(r'self\._reading\("(\w+)"', text)}
    assert named == {point for case in CASES.values() for point in case.points}
    assert set(Point) == {point for case in CASES.values() for point in case.inner}
    assert {(operation, point, victim) for operation, case in CASES.items() for point, victim in case.cuts()} >= ALWAYS


@pytest.fixture(scope="module")
def crashing() -> Iterator[Daemon]:
    """A daemon for all cases, which each leave it as it was."""
    with daemon() as made:
        start(made)
        made.load_busybox()
        yield made


@pytest.fixture(autouse=True)
def whole(crashing: Daemon) -> Iterator[None]:
    """No case suffers from one that failed before it."""
    yield
    if "it" in crashing.docker("ps", "-a", "--format", "{{.Names}}", check=False).split() or not crashing.runs:
        disarm(crashing)
        crashing.kill()
        start(crashing)
        for name in crashing.docker("ps", "-aq").split():
            crashing.docker("rm", "-fv", name)


@pytest.fixture(scope="module")
def rules(crashing: Daemon) -> str:
    """The firewall without any container."""
    return crashing.firewall()


def state(own: Daemon) -> str:
    found = json.loads(own.api("GET", "/containers/it/json", check=False) or "{}")
    status: str = found.get("State", {}).get("Status", GONE)
    return status


@pytest.mark.parametrize(("operation", "point", "victim"), list(cases()))
def test_cut(crashing: Daemon, rules: str, operation: str, point: str, victim: str) -> None:
    case = CASES[operation]
    is_inner = point.startswith("shim:")
    fault = point if victim == "daemon" else f"{point}@{victim}"
    if is_inner:
        # What a shim is to do is said at its start.
        arm(crashing, fault)
        prepare(crashing, case)
    else:
        prepare(crashing, case)
        arm(crashing, fault)
    seen = len(crashing.log.read_text())
    client = crashing.popen(*case.command)
    if victim == "daemon":
        crashing.wait_crashed()
    else:
        # It may have succeeded or failed, but it does not hang.
        client.communicate(timeout=stretched(60))
        if not is_inner:
            # What goes on after the answer may come there later.
            killed = f"killed the {victim}"
            wait_until(lambda: killed in crashing.log.read_text()[seen:], what=killed, log=crashing.log)
        left = case.left | STOPPED if victim == "keeper" else case.left
        wait_until(lambda: state(crashing) in left, what=f"one of {sorted(left)}", log=crashing.log)
        # Nobody is told that a process did well which was cut off.
        assert operation != "exec" or client.returncode != 0
        disarm(crashing)
        crashing.kill()
    start(crashing)
    is_usable(crashing, case, keeper_died=victim == "keeper")
    leaves_nothing(crashing, rules)


def start(own: Daemon) -> None:
    own.start(fault=f"file:{own.base}/fault")


def arm(own: Daemon, fault: str) -> None:
    (own.base / "new-fault").write_text(fault)
    (own.base / "new-fault").rename(own.base / "fault")


def disarm(own: Daemon) -> None:
    (own.base / "fault").unlink(missing_ok=True)


def prepare(own: Daemon, case: Case) -> None:
    for command in case.first:
        own.docker(*command)
    if case.first and case.first[0] is POLITE:
        wait_until(lambda: own.run("exec", "it", "test", "-e", "/up").returncode == 0, what="the trap")


def is_usable(own: Daemon, case: Case, *, keeper_died: bool) -> None:
    left = case.left | STOPPED if keeper_died else case.left
    # What was cut may go on by itself for a moment: an exit, a removal.
    wait_until(lambda: state(own) in left, what=f"one of {sorted(left)}", log=own.log)
    if state(own) == "exited" and keeper_died:
        own.docker("start", "it")
    case.check(own)
    if state(own) == "paused":
        own.docker("unpause", "it")
    if state(own) == GONE:
        own.docker("create", "--name", "it", "-p", "7000:80", *SLEEP)
    own.docker("start", "it")
    assert own.docker("exec", "it", "echo", "ok") == "ok"


def leaves_nothing(own: Daemon, rules: str) -> None:
    own.api("POST", "/containers/it/stop?t=0")
    own.api("DELETE", "/containers/it?v=1")
    own.api("DELETE", "/networks/net", check=False)
    own.api("POST", '/volumes/prune?filters={"all":["true"]}')
    own.assert_no_leaks()
    assert json.loads(own.api("GET", "/volumes"))["Volumes"] == []
    wait_until(lambda: own.firewall() == rules, what="the firewall to be as before", log=own.log)
    # The lowest address is free again.
    assert own.docker("run", "--rm", "busybox", "hostname", "-i").endswith(".2")


def keeper_of(own: Daemon) -> int:
    return parent_of(int(own.inspect("it", ".State.Pid")))


def kill_attendant(own: Daemon) -> None:
    """Kill what serves the container's streams, once that has let its keeper know of two execs."""
    keeper = keeper_of(own)
    wait_until(lambda: len(pidfds(keeper)) == 3, what="the execs to be kept")
    for child in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split():
        if name_of(int(child)) in {"moor-launcher", "moor-shim"}:
            os.kill(int(child), signal.SIGKILL)


def pidfds(pid: int) -> list[Path]:
    return [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if "pidfd" in str(fd.readlink())]


def test_an_attendant_dies(crashing: Daemon, rules: str) -> None:
    """It is replaced. An exec that it served ends with it, and that is told; the container and what it says go on."""
    crashing.docker("run", "-d", "--name", "it", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done")
    followed = crashing.popen("logs", "-f", "it")
    attached = attach(crashing)
    execute = crashing.popen("exec", "it", "sleep", "999")
    crashing.docker("exec", "-d", "it", "sleep", "998")
    wait_until(lambda: "sleep 999" in crashing.docker("top", "it"), what="the exec")
    since = str(time.time())
    kill_attendant(crashing)
    assert execute.wait(timeout=stretched(20)) == 137
    with attached:
        while attached.recv(65536):
            pass  # to its end
    execs = [json.loads(crashing.api("GET", f"/exec/{one}/json")) for one in exec_ids(crashing)]
    assert sorted((one["ProcessConfig"]["arguments"], one["Running"], one["ExitCode"]) for one in execs) == [
        (["998"], True, None), (["999"], False, 137),
    ]  # fmt: skip
    told = crashing.docker("events", "--since", since, "--until", str(time.time()), "--filter", "event=exec_die")
    assert "exitCode=137" in told
    assert crashing.docker("exec", "it", "echo", "ok") == "ok"
    ticks = crashing.docker("logs", "it").count("tick")
    assert followed.stdout is not None
    for _ in range(ticks + 20):
        assert followed.stdout.readline() == "tick\n"
    with attach(crashing) as again:
        assert b"tick" in again.recv(4096)
    leaves_nothing(crashing, rules)
    followed.wait(timeout=stretched(20))


def attach(own: Daemon) -> socket.socket:
    """Attach without the command line, which waits for the container's end whatever its stream does."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(stretched(20))
    client.connect(str(own.socket))
    request = "POST /containers/it/attach?stream=1&stdout=1 HTTP/1.1"
    client.sendall(f"{request}\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert b"101 UPGRADED" in head
    return client


def exec_ids(own: Daemon) -> list[str]:
    found: list[str] = json.loads(own.docker("inspect", "-f", "{{json .ExecIDs}}", "it")) or []
    # Those that have ended are no longer listed with the container.
    bundle = own.exec_root / "containers" / own.inspect("it", ".Id") / "exec"
    return sorted({*found, *(path.name.partition(".")[0] for path in bundle.glob("*.exec"))})


def test_a_keeper_dies(crashing: Daemon, rules: str) -> None:
    """Its end is the container's, and that of whoever waits for something in it."""
    crashing.docker(*RUN)
    execute = crashing.popen("exec", "it", "sleep", "999")
    waits = crashing.popen("wait", "it")
    wait_until(lambda: "sleep 999" in crashing.docker("top", "it"), what="the exec")
    os.kill(keeper_of(crashing), signal.SIGKILL)
    wait_until(lambda: state(crashing) == "exited", what="the end", log=crashing.log)
    assert execute.wait(timeout=stretched(20)) != 0
    assert waits.communicate(timeout=stretched(20))[0] == "137\n"
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


def attendants(own: Daemon) -> list[int]:
    """Return the attendants of all shims that are awake."""
    ours = [pid for pid in own.processes() if name_of(pid) in {"moor-launcher", "moor-shim"}]
    return [pid for pid in ours if name_of(parent_of(pid)) == "moor-shim"]


def launchers(own: Daemon) -> list[int]:
    return [int((own.exec_root / "launcher.pid").read_text())]


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


@pytest.mark.timeout(600)
def test_random_crashes(crashing: Daemon, rules: str, request: pytest.FixtureRequest) -> None:
    """Clients work while the daemon, the launcher and the attendants die again and again; in the end all agrees."""
    over = threading.Event()
    failures: list[str] = []
    workers = [threading.Thread(target=work, args=(crashing, number, over, failures)) for number in range(3)]
    for worker in workers:
        worker.start()
    rounds = 12 if request.config.getoption("--exhaustive") else 4
    try:
        for number in range(rounds):
            over.wait(1.0 + 0.37 * (number % 4))
            for pid in (attendants, launchers)[number % 2](crashing):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            over.wait(0.5)
            crashing.kill()
            start(crashing)
    finally:
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
