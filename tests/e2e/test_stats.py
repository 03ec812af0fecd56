"""Samples of what containers use, and their process tables."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
ZERO = "0001-01-01T00:00:00Z"


def sample(moord: Daemon, name: str, query: str = "stream=0&one-shot=1", version: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(moord.api("GET", f"{version}/containers/{name}/stats?{query}"))
    return found


@contextmanager
def streamed(moord: Daemon, name: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Have the samples of a stream, as they come."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(stretched(20))
        connection.connect(str(moord.socket))
        connection.sendall(f"GET /containers/{name}/stats HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
        lines = connection.makefile("rb")
        yield (json.loads(line) for line in lines if line.startswith(b"{"))


def test_a_sample_has_every_part(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "busy", "--pids-limit", "40", "-m", "64m", "busybox", "sh", "-c", ":; sleep 1000"
    )
    found = sample(moord, "busy", "stream=0")
    assert (found["name"], found["id"], found["os_type"]) == ("/busy", moord.inspect("busy", ".Id"), "linux")
    assert found["preread"][:4] == found["read"][:4] > "2000"
    assert found["cpu_stats"]["system_cpu_usage"] > found["precpu_stats"]["system_cpu_usage"] > 0
    assert found["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert found["cpu_stats"]["throttling_data"] == {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    assert (found["pids_stats"], found["num_procs"], found["storage_stats"]) == ({"current": 1, "limit": 40}, 0, {})
    assert found["memory_stats"]["limit"] == 64 << 20 > found["memory_stats"]["usage"] > 0
    assert found["memory_stats"]["stats"]["inactive_file"] >= 0
    assert list(found["networks"]) == ["eth0"]
    assert set(found["blkio_stats"]) == {
        "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
        "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
    }  # fmt: skip
    shot = sample(moord, "busy")
    assert (shot["preread"], shot["precpu_stats"]["cpu_usage"]["total_usage"]) == (ZERO, 0)
    # Before 1.41 nobody could ask for less than two samples.
    assert sample(moord, "busy", version="/v1.40")["preread"] > ZERO


@pytest.mark.parametrize("query", ["one-shot=1", "one-shot=1&stream=1"])
def test_one_sample_is_no_stream(moord: Daemon, query: str) -> None:
    moord.docker("create", "--name", "idle", "busybox", "true")
    answers = [moord.api("GET", f"/containers/{name}/stats?{query}", check=False) for name in ("idle", "nosuch")]
    assert [json.loads(answer)["message"] for answer in answers] == [
        "cannot have stream=true and one-shot=true", "No such container: nosuch",
    ]  # fmt: skip


def test_a_stream_goes_on_after_the_end_and_stops_with_the_removal(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "brief", *SLEEP)
    with streamed(moord, "brief") as samples:
        first, second = next(samples), next(samples)
        assert (first["preread"], "system_cpu_usage" in first["precpu_stats"]) == (ZERO, False)
        assert second["preread"] == first["read"]
        assert second["precpu_stats"] == first["cpu_stats"]
        moord.docker("stop", "-t", "0", "brief")
        ended = next(found for found in samples if found["read"] == ZERO)
        assert (ended["name"], ended["memory_stats"], ended["pids_stats"]) == ("/brief", {}, {})
        assert sample(moord, "brief", "stream=0")["cpu_stats"] == ended["cpu_stats"]
        moord.docker("rm", "brief")
        assert all(found["read"] == ZERO for found in samples)


def test_networks_of_others(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "owner", *SLEEP)
    for mode, shown in (("host", []), ("none", []), ("container:owner", ["eth0"])):
        name = mode.partition(":")[0]
        moord.docker("run", "-d", "--name", name, "--network", mode, *SLEEP)
        assert list(sample(moord, name).get("networks", {})) == shown


def test_the_command_shows_them(moord: Daemon) -> None:
    for name in ("one", "two"):
        moord.docker("run", "-d", "--name", name, *SLEEP)
    moord.docker("create", "--name", "idle", *SLEEP)
    shown = moord.docker("stats", "--no-stream", "-a", "--format", "{{.Name}} {{.PIDs}} {{.CPUPerc}}")
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert sorted(rows) == ["idle", "one", "two"]
    assert rows["one"].startswith("1 ")
    full = moord.docker("stats", "--no-stream", "--no-trunc", "one").splitlines()
    assert full[1].split()[0] == moord.inspect("one", ".Id")


def test_moor_follows_what_starts_and_ends(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "early", *SLEEP)
    program = [sys.executable, "-c", "from moorage.cli.main import main; main()", "-H", f"unix://{moord.socket}"]
    command = [*program, "stats", "--format", "{{.Name}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        lines = (line.strip() for line in client.stdout)
        assert next(lines) == "early"
        moord.docker("run", "-d", "--name", "late", *SLEEP)
        assert "late" in lines
        moord.docker("rm", "-f", "early")
        # Of one round, and then of the next, there is one line only.
        assert any((line, next(lines)) == ("late", "late") for line in lines)
        client.kill()


def test_top(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "host", "busybox", "sh", "-c", "sleep 1111 & sleep 2222")
    moord.docker("run", "-d", "--name", "guest", "--pid", "container:host", "busybox", "sleep", "3333")
    wait_until(lambda: "2222" in moord.docker("top", "host"), what="the shell to start both")
    rows = moord.docker("top", "host", "-eo", "pid,args").splitlines()
    assert rows[0].split() == ["PID", "COMMAND"]
    assert sorted(row.split()[-1] for row in rows[1:])[:2] == ["1111", "2222"]
    # Who shares the process IDs is not of the same container.
    assert "3333" not in moord.docker("top", "host")
    assert moord.docker("top", "guest", "-o", "pid=PID", "-o", "args").splitlines()[1].split()[1:] == ["sleep", "3333"]
    for arguments, text in (
        (("-o", "args"), "Couldn't find PID field in ps output"),
        (("-eo", "user=PIDX,pid"), 'specifying "user=PIDX,pid" is not allowed'),
        (("zz",), "ps: error: unsupported option (BSD syntax)"),
    ):
        assert text in moord.run("top", "host", *arguments).stderr
    moord.docker("stop", "-t", "0", "guest")
    assert "is not running" in moord.run("top", "guest").stderr
