"""Figures for Prometheus, on a listener of their own (`metrics-addr`).

The names are those of Docker's engine, so that its dashboards find them. Nothing is counted
on the way of a request unless the listener was asked for.

Spec: Prometheus, "Text-based format".
"""

import functools
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moorage.api import endpoints
from moorage.api.endpoint import Endpoint
from moorage.api.system import SystemInfo
from moorage.engine.events import EventBus
from moorage.engine.exec.probing import CountedProber
from moorage.engine.system import SystemService
from moorage.server.exchange import Exchange
from moorage.server.responses import HeadWriter, Response, error_response
from moorage.server.router import Router

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds in seconds; the client library's own.
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: What is timed: the operation, and the action that Docker calls it.
_TIMED: Final[Mapping[str, Endpoint[Any, Any, Any]]] = {
    "changes": endpoints.CONTAINER_CHANGES,
    "commit": endpoints.IMAGE_COMMIT,
    "create": endpoints.CONTAINER_CREATE,
    "delete": endpoints.CONTAINER_DELETE,
    "start": endpoints.CONTAINER_START,
}


class Histogram:
    """How long things took, by action."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._counts = {action: [0] * (len(_BOUNDS) + 1) for action in actions}
        self._sums = dict.fromkeys(actions, 0.0)

    def observe(self, action: str, seconds: float) -> None:
        """Count one that took so long."""
        place = next((index for index, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
        self._counts[action][place] += 1
        self._sums[action] += seconds

    def lines(self, name: str, *, label: str) -> Iterator[str]:
        """Yield the samples; a bucket counts all that took no longer."""
        for action, counts in self._counts.items():
            total = 0
            for bound, count in zip((*_BOUNDS, "+Inf"), counts, strict=True):
                total += count
                yield f'{name}_bucket{{{label}="{action}",le="{bound}"}} {total}'
            yield f'{name}_sum{{{label}="{action}"}} {self._sums[action]}'
            yield f'{name}_count{{{label}="{action}"}} {total}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Collects the figures when somebody asks."""

    system: SystemService
    bus: EventBus
    probes: CountedProber
    actions: Histogram = field(default_factory=lambda: Histogram(tuple(_TIMED)))
    host_info: Histogram = field(default_factory=lambda: Histogram(("system_info",)))

    def instrument(self, router: Router) -> None:
        """Time the handlers whose actions are counted."""
        for action, endpoint in _TIMED.items():
            router.wrap(endpoint, functools.partial(self._timed, action))

    def _timed(self, action: str, handler: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        async def timed(call: Any) -> Any:
            start = time.perf_counter()
            result = handler(call)
            if inspect.isawaitable(result):
                result = await result
            # As in Docker, what failed is not counted.
            self.actions.observe(action, time.perf_counter() - start)
            return result

        return timed

    def text(self) -> str:
        """Return all figures as Prometheus reads them."""
        start = time.perf_counter()
        info = self.system.info()
        self.host_info.observe("system_info", time.perf_counter() - start)
        lines: list[str] = []
        for name, kind, text, samples in self._families(info):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"

    def _families(self, info: SystemInfo) -> Iterator[tuple[str, str, str, Sequence[str]]]:
        prefix = "engine_daemon"
        name = f"{prefix}_container_actions_seconds"
        text = "The number of seconds it takes to process each container action"
        yield name, "histogram", text, [*self.actions.lines(name, label="action")]
        name = f"{prefix}_container_states_containers"
        states = {
            "paused": info.containers_paused, "running": info.containers_running, "stopped": info.containers_stopped,
        }  # fmt: skip
        samples = [f'{name}{{state="{state}"}} {count}' for state, count in states.items()]
        yield name, "gauge", "The count of containers in various states", samples
        name = f"{prefix}_engine_info"
        text = "The information related to the engine and the OS it is running on"
        yield name, "gauge", text, [f"{name}{{{_labels(_identity(info))}}} 1"]
        name = f"{prefix}_host_info_functions_seconds"
        text = "The number of seconds it takes to call functions gathering info about the host"
        yield name, "histogram", text, [*self.host_info.lines(name, label="function")]
        for name, kind, text, value in (
            ("engine_cpus_cpus", "gauge", "The number of cpus that the host system of the engine has", info.ncpu),
            (
                "engine_memory_bytes", "gauge",
                "The number of bytes of memory that the host system of the engine has", info.mem_total,
            ),
            ("events_subscribers_total", "gauge", "The number of current subscribers to events", self.bus.listeners),
            ("events_total", "counter", "The number of events logged", self.bus.published),
            ("health_checks_failed_total", "counter", "The total number of failed health checks", self.probes.failed),
            ("health_checks_total", "counter", "The total number of health checks", self.probes.total),
        ):  # fmt: skip
            yield f"{prefix}_{name}", kind, text, [f"{prefix}_{name} {value}"]
        for name, kind, text, number in _process():
            yield name, kind, text, [f"{name} {number}"]


def _identity(info: SystemInfo) -> dict[str, str]:
    return {
        "architecture": info.architecture,
        "commit": "",
        "daemon_id": info.id,
        "graphdriver": info.driver,
        "kernel": info.kernel_version,
        "os": info.operating_system,
        "os_type": info.os_type,
        "os_version": info.os_version,
        "version": info.server_version,
    }


def _labels(values: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in values.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())


def _process() -> Iterator[tuple[str, str, str, float]]:
    """Yield the figures of this process, by the client library's names."""
    # Behind the program's name, which may hold blanks: state is the third field of proc(5).
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    seconds = (int(fields[11]) + int(fields[12])) / ticks
    yield "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", seconds
    open_files = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - a count needs no paths
    yield "process_open_fds", "gauge", "Number of open file descriptors.", open_files
    yield "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", int(fields[21]) * page
    yield "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", int(fields[20])


class MetricsApplication:
    """Answers GET /metrics, and nothing else."""

    def __init__(self, metrics: Metrics, *, product: str) -> None:
        self._metrics = metrics
        self.heads = HeadWriter(product=product)

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer at once."""
        if exchange.head.method in {"GET", "HEAD"} and exchange.head.path == "/metrics":
            exchange.respond(Response(body=self._metrics.text().encode(), content_type=_TYPE))
        else:
            exchange.respond(error_response(404, "page not found"))
        return None
