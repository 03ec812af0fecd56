"""What is measured: each measure does its work once on one engine and returns one number."""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from comparison.engines import IMAGE, RunningEngine

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure.

    Attributes:
        goal: How many times better than Docker it should be.
        higher_is_better: For rates; the ratio is always "times better".
        rounds: How often each engine does it.
        prepare: Done before all rounds, for example to start containers.
        finish: Undoes that.
    """

    name: str
    unit: str
    goal: float
    run: Callable[[RunningEngine], float]
    higher_is_better: bool = False
    rounds: int = 15
    prepare: Callable[[RunningEngine], Any] | None = None
    finish: Callable[[RunningEngine], Any] | None = None


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def _run_cli(*flags: str) -> Callable[[RunningEngine], float]:
    def measure(engine: RunningEngine) -> float:
        return _milliseconds(lambda: _checked(engine, "run", "--rm", *flags, IMAGE, "true"))

    return measure


def _checked(engine: RunningEngine, *arguments: str) -> bytes:
    done = engine.docker(*arguments)
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: docker {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout


def _run_api(network: str) -> Callable[[RunningEngine], float]:
    return lambda engine: _milliseconds(lambda: engine.api.run(IMAGE, ["true"], network=network))


def _first_byte(engine: RunningEngine) -> float:
    """From the start request to the first byte of output on an attached connection."""
    api = engine.api
    created = _post(engine, "/containers/create", {
        "Image": IMAGE, "Cmd": ["echo", "x"], "AttachStdout": True, "HostConfig": {"NetworkMode": "none"},
    })  # fmt: skip
    identity = created["Id"]
    with _attach(engine, identity) as stream:
        begin = time.perf_counter()
        threading.Thread(target=lambda: _post(engine, f"/containers/{identity}/start")).start()
        stream.recv(1)
        took = (time.perf_counter() - begin) * 1000
    api.container(identity).wait()
    api.container(identity).remove(force=True)
    return took


def _open(engine: RunningEngine) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(engine.host.removeprefix("unix://"))
    return connection


def _post(engine: RunningEngine, path: str, body: object = None) -> Any:
    data = b"" if body is None else json.dumps(body).encode()
    with _open(engine) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status >= 400:
        raise RuntimeError(f"{engine.name}: POST {path}: {content.decode()}")
    start, end = content.find(b"{"), content.rfind(b"}")
    return json.loads(content[start : end + 1]) if start >= 0 else None


def _attach(engine: RunningEngine, identity: str) -> socket.socket:
    connection = _open(engine)
    connection.sendall(
        f"POST /containers/{identity}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    return connection


def _forty_runs(engine: RunningEngine) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: engine.api.run(IMAGE, ["true"], network="none"), range(40)))
    return 40 / (time.perf_counter() - begin)


def _start_target(engine: RunningEngine) -> None:
    _checked(engine, "run", "-d", "--name", "target", "--network", "none", IMAGE, "sleep", "3600")


def _remove_target(engine: RunningEngine) -> None:
    _checked(engine, "rm", "-f", "target")


def _exec_cli(engine: RunningEngine) -> float:
    return _milliseconds(lambda: _checked(engine, "exec", "target", "true"))


def _exec_api(engine: RunningEngine) -> float:
    return _milliseconds(lambda: engine.api.container("target").exec(["true"]))


def _ending(*command: str) -> Callable[[RunningEngine], float]:
    """Stop, kill or remove a container whose program ends at once when told."""

    def measure(engine: RunningEngine) -> float:
        script = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"
        identity = _checked(engine, "run", "-d", "--network", "none", IMAGE, "sh", "-c", script).decode().strip()
        time.sleep(0.05)
        took = _milliseconds(lambda: _checked(engine, *command, identity))
        engine.docker("rm", "-f", identity)
        return took

    return measure


def _idle_containers(count: int) -> Callable[[RunningEngine], None]:
    def prepare(engine: RunningEngine) -> None:
        for _ in range(count):
            engine.api.start(IMAGE, ["sleep", "3600"], network="none", labels={"idle": "1"})

    return prepare


def _stopped_containers(count: int) -> Callable[[RunningEngine], None]:
    def prepare(engine: RunningEngine) -> None:
        for _ in range(count):
            _post(engine, "/containers/create", {"Image": IMAGE, "Cmd": ["true"]})

    return prepare


def _remove_all(engine: RunningEngine) -> None:
    identities = [container.id for container in engine.api.containers(all=True)]
    for identity in identities:
        engine.api.container(identity).remove(force=True)


def _memory_per_container(engine: RunningEngine) -> float:
    before = engine.private_bytes()
    _idle_containers(20)(engine)
    time.sleep(1)
    after = engine.private_bytes()
    _remove_all(engine)
    return (after - before) / 20 / MIB


def _daemon_memory(engine: RunningEngine) -> float:
    return engine.proportional_bytes() / MIB


def _idle_cpu(engine: RunningEngine) -> float:
    """Milliseconds of processor time per second with 20 containers that do nothing."""
    time.sleep(1)
    before = engine.cpu_seconds()
    time.sleep(10)
    return (engine.cpu_seconds() - before) * 1000 / 10


def _stats_cpu(engine: RunningEngine) -> float:
    """Milliseconds of the engine's processor time for one sample of each of 20 containers, streamed."""
    identities = [found["Id"] for found in _get(engine, "/containers/json")]
    with ExitStack() as streams:
        connections = [streams.enter_context(_open(engine)) for _ in identities]
        for identity, connection in zip(identities, connections, strict=True):
            connection.sendall(f"GET /containers/{identity}/stats HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        _samples(connections, count=2)
        before = engine.cpu_seconds()
        _samples(connections, count=5)
        return (engine.cpu_seconds() - before) * 1000 / 5


def _samples(connections: Sequence[socket.socket], *, count: int) -> None:
    """Read that many samples from each connection."""
    for connection in connections:
        seen = 0
        while seen < count:
            seen += connection.recv(262144).count(b'"preread"')


def _get(engine: RunningEngine, path: str) -> Any:
    with _open(engine) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(262144):
            answer += data
    body = answer.partition(b"\r\n\r\n")[2]
    return json.loads(body[body.index(b"[") : body.rindex(b"]") + 1])


def _requests_per_second(path: str, *, connections: int, seconds: float) -> Callable[[RunningEngine], float]:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    def measure(engine: RunningEngine) -> float:
        counts = [0] * connections

        def load(index: int) -> None:
            with _open(engine) as connection:
                end = time.perf_counter() + seconds
                while time.perf_counter() < end:
                    connection.sendall(request)
                    _read_answer(connection)
                    counts[index] += 1

        threads = [threading.Thread(target=load, args=(index,)) for index in range(connections)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - begin)

    return measure


def _read_answer(connection: socket.socket) -> None:
    data = connection.recv(262144)
    while b"\r\n\r\n" not in data:
        data += connection.recv(262144)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            missing = int(line.split(b":")[1]) - len(body)
            while missing > 0:
                missing -= len(connection.recv(262144))
            return
    while not body.endswith(b"0\r\n\r\n"):
        body = body[-8:] + connection.recv(262144)


_LINE: Final = "a line of a log that is as long as lines of logs often are, eighty bytes in all"
_SIXTY_FOUR_MIB: Final = f"yes '{_LINE}' | head -c 67108864"


def _log_write(engine: RunningEngine) -> float:
    begin = time.perf_counter()
    container = engine.api.start(IMAGE, ["sh", "-c", _SIXTY_FOUR_MIB], network="none")
    container.wait()
    took = time.perf_counter() - begin
    container.remove(force=True)
    return 64 / took


def _write_log(engine: RunningEngine) -> None:
    engine.api.start(IMAGE, ["sh", "-c", _SIXTY_FOUR_MIB], network="none", name="logged").wait()


def _remove_logged(engine: RunningEngine) -> None:
    _checked(engine, "rm", "-f", "logged")


def _log_read(engine: RunningEngine) -> float:
    begin = time.perf_counter()
    with _open(engine) as connection:
        connection.sendall(b"GET /containers/logged/logs?stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        total = 0
        while piece := connection.recv(1 << 20):
            total += len(piece)
    if total < 64 * MIB:
        raise RuntimeError(f"{engine.name}: the log is short: {total}")
    return 64 / (time.perf_counter() - begin)


def _attach_throughput(engine: RunningEngine) -> float:
    created = _post(engine, "/containers/create", {
        "Image": IMAGE, "Cmd": ["dd", "if=/dev/zero", "bs=64k", "count=1024"], "AttachStdout": True,
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
    })  # fmt: skip
    identity = created["Id"]
    with _attach(engine, identity) as stream:
        begin = time.perf_counter()
        _post(engine, f"/containers/{identity}/start")
        total = 0
        while piece := stream.recv(1 << 20):
            total += len(piece)
        took = time.perf_counter() - begin
    engine.api.container(identity).remove(force=True)
    if total < 64 * MIB:
        raise RuntimeError(f"{engine.name}: the stream is short: {total}")
    return 64 / took


MEASURES: Final = (
    Measure(name="docker run --rm, no network", unit="ms", goal=4, run=_run_cli("--network", "none")),
    Measure(name="docker run --rm, bridge", unit="ms", goal=4, run=_run_cli()),
    Measure(name="API run, no network", unit="ms", goal=4, run=_run_api("none")),
    Measure(name="API run, bridge", unit="ms", goal=4, run=_run_api("bridge")),
    Measure(name="API start to first byte", unit="ms", goal=8, run=_first_byte),
    Measure(name="40 runs, 8 at a time", unit="/s", goal=8, run=_forty_runs, higher_is_better=True, rounds=3),
    Measure(
        name="docker exec", unit="ms", goal=1.7, run=_exec_cli, prepare=_start_target, finish=_remove_target
    ),
    Measure(name="API exec", unit="ms", goal=1.7, run=_exec_api, prepare=_start_target, finish=_remove_target),
    Measure(name="docker stop", unit="ms", goal=2, run=_ending("stop")),
    Measure(name="docker kill", unit="ms", goal=2, run=_ending("kill")),
    Measure(name="docker rm -f", unit="ms", goal=2, run=_ending("rm", "-f")),
    Measure(name="memory per idle container", unit="MiB", goal=3, run=_memory_per_container, rounds=2),
    Measure(name="daemon memory at rest", unit="MiB", goal=2, run=_daemon_memory, rounds=3),
    Measure(
        name="idle CPU, 20 running", unit="ms/s", goal=1, run=_idle_cpu, rounds=2,
        prepare=_idle_containers(20), finish=_remove_all,
    ),
    Measure(
        name="CPU of stats, 20 running", unit="ms/round", goal=2, run=_stats_cpu, rounds=2,
        prepare=_idle_containers(20), finish=_remove_all,
    ),
    Measure(
        name="_ping, 8 connections", unit="/s", goal=1, higher_is_better=True, rounds=5,
        run=_requests_per_second("/_ping", connections=8, seconds=1),
    ),
    Measure(
        name="list of 100, 8 connections", unit="/s", goal=5, higher_is_better=True, rounds=5,
        run=_requests_per_second("/containers/json?all=1", connections=8, seconds=1),
        prepare=_stopped_containers(100), finish=_remove_all,
    ),
    Measure(
        name="docker ps -a of 200", unit="ms", goal=1, prepare=_stopped_containers(200), finish=_remove_all,
        run=lambda engine: _milliseconds(lambda: _checked(engine, "ps", "-a")),
    ),
    Measure(name="log write", unit="MB/s", goal=3, run=_log_write, higher_is_better=True, rounds=3),
    Measure(
        name="log read", unit="MB/s", goal=3, run=_log_read, higher_is_better=True, rounds=3,
        prepare=_write_log, finish=_remove_logged,
    ),
    Measure(name="attach", unit="MB/s", goal=3, run=_attach_throughput, higher_is_better=True, rounds=5),
)  # fmt: skip
