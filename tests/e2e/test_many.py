"""Many containers: nothing is quadratic, nothing is leaked, and a stuck one is only itself.

Sixty of them run always, three hundred with `--exhaustive`.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(400)]


def entries(own: Daemon, of: str) -> int:
    """Return how many descriptors (`fd`) or threads (`task`) the daemon has."""
    return sum(1 for _ in Path(f"/proc/{own.pid}/{of}").iterdir())


@contextlib.contextmanager
def timed(times: dict[str, float], what: str, *, share: int = 1) -> Iterator[None]:
    began = time.monotonic()
    yield
    times[what] = round((time.monotonic() - began) / share, 3)


def freeze_shim(own: Daemon, name: str) -> None:
    init = own.inspect(name, ".State.Pid")
    os.kill(int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGSTOP)


def test_many_containers_beside_a_stuck_one(own: Daemon, request: pytest.FixtureRequest) -> None:
    count = 300 if request.config.getoption("--exhaustive") else 60
    own.docker("run", "-d", "--name", "stuck", "busybox", "sleep", "10000")
    freeze_shim(own, "stuck")
    before = entries(own, "fd")
    times: dict[str, float] = {}
    with timed(times, "start each", share=count), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: own.docker("run", "-d", "busybox", "sleep", "10000"), range(count)))
    with timed(times, "ps, inspect and stats"):
        running = own.docker("ps", "-q").split()
        own.docker("inspect", *running)
        own.docker("stats", "--no-stream", timeout=120)
    with timed(times, "restart"):
        own.restart()
    assert own.docker("ps", "-q").split() == running
    assert len(running) == count + 1
    # A connection to each shim, and some for the daemon itself.
    assert entries(own, "fd") < before + count + 32
    others = [name for name in own.docker("ps", "--format", "{{.Names}}").split() if name != "stuck"]
    with timed(times, "stop each", share=count):
        own.docker("stop", "-t", "0", *others, timeout=300)
    with timed(times, "remove each", share=count):
        own.docker("rm", *others, timeout=300)
    assert entries(own, "task") < 40
    assert entries(own, "fd") < before + 32
    own.docker("rm", "-f", "stuck", timeout=60)
    own.assert_no_leaks()
    sys.stdout.write(f"{times}\n")
