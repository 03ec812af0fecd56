"""What many containers cost: their stats, their list, a restart of the daemon; and how soon an event tells."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from comparison.engines import IMAGE, RunningEngine, restart
from comparison.measures import (
    Measure,
    _checked,
    _idle_containers,
    _milliseconds,
    _open,
    _post,
    _read_answer,
    _remove_all,
    _stopped_containers,
)

_POLITE: Final = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 10 & wait; done"]


def _all_stats(engine: RunningEngine) -> float:
    """One sample of each container, all asked for at once: Docker takes a second for any."""
    identities = [container.id for container in engine.api.containers()]

    def sample(identity: str) -> None:
        with _open(engine) as connection:
            path = f"/containers/{identity}/stats?stream=0&one-shot=1"
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            _read_answer(connection)

    with ThreadPoolExecutor(len(identities)) as pool:
        return _milliseconds(lambda: list(pool.map(sample, identities)))


def _event_latency(engine: RunningEngine) -> float:
    """From the request to start a container to the event that it started."""
    identity = _post(engine, "/containers/create", {
        "Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"},
    })["Id"]  # fmt: skip
    filters = '{"container":["' + identity + '"],"event":["start"]}'
    with _open(engine) as events:
        query = filters.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
        events.sendall(f"GET /events?filters={query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while b"\r\n\r\n" not in events.recv(65536):
            pass
        begin = time.perf_counter()
        starter = threading.Thread(target=_post, args=(engine, f"/containers/{identity}/start"))
        starter.start()
        events.recv(65536)
        took = (time.perf_counter() - begin) * 1000
        starter.join()
    _checked(engine, "rm", "-f", identity)
    return took


def _fifty_and_three_hundred(engine: RunningEngine) -> None:
    for _ in range(50):
        engine.api.start(IMAGE, _POLITE, network="none")
    _stopped_containers(300)(engine)


def _restart(engine: RunningEngine) -> float:
    """From the end of the daemon to its first list: Moorage is killed, Docker is stopped, as by its service."""
    return _milliseconds(lambda: restart(engine, kill=engine.name == "moorage"))


SCALE_MEASURES: Final = (
    Measure(
        name="stats of 100 running", unit="ms", goal=1, run=_all_stats, rounds=3,
        prepare=_idle_containers(100), finish=_remove_all,
    ),
    Measure(
        name="docker ps -a of 500", unit="ms", goal=1, rounds=5, prepare=_stopped_containers(500), finish=_remove_all,
        run=lambda engine: _milliseconds(lambda: _checked(engine, "ps", "-a")),
    ),
    Measure(name="start to its event", unit="ms", goal=1, run=_event_latency),
    Measure(
        name="daemon restart, 50 running of 350", unit="ms", goal=1, run=_restart, rounds=1,
        prepare=_fifty_and_three_hundred, finish=_remove_all,
    ),
)  # fmt: skip
