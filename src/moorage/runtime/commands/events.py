"""`events`: what a container uses, at intervals or once, and when it lacks memory."""

from __future__ import annotations

import json
import select
import sys
import time

from moorage.cgroups import events as cgroup_events
from moorage.runtime import containers
from moorage.runtime.errors import ContainerStateError
from moorage.runtime.state_file import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from moorage.cgroups.stats import Stats
    from moorage.runtime.containers import ContainerRecord
    from moorage.runtime.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--interval", default="5s", help="set the stats collection interval")
    parser.add_argument("--stats", action="store_true", help="display the container's stats then exit")
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Print events, one JSON object per line, until the container ends."""
    record = containers.load(invocation.root, options.container_id)
    interval = parse_duration(options.interval)
    if record.status() is Status.STOPPED:
        raise ContainerStateError(f"container with id {record.container_id} is not running")
    if options.stats:
        _print("stats", record.container_id, stats_data(record.cgroup().stats()))
        return 0
    _watch(record, interval)
    return 0


def _watch(record: ContainerRecord, interval: float) -> None:
    cgroup = record.cgroup()
    process_fd, oom_fd = record.open_pidfd(), cgroup.events_fd()
    poll = select.poll()
    poll.register(process_fd, select.POLLIN)
    if oom_fd >= 0:
        poll.register(oom_fd, select.POLLIN)
    due = time.monotonic() + interval
    while True:
        ready = {fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)}
        if process_fd in ready:
            return
        if oom_fd in ready:
            cgroup_events.drain(oom_fd)
            _print("oom", record.container_id, None)
        if time.monotonic() >= due:
            _print("stats", record.container_id, stats_data(cgroup.stats()))
            due += interval


def _print(kind: str, container_id: str, data: dict[str, Any] | None) -> None:
    event: dict[str, Any] = {"type": kind, "id": container_id}
    if data is not None:
        event["data"] = data
    sys.stdout.write(f"{json.dumps(event)}\n")
    sys.stdout.flush()


def parse_duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it: "5s", "100ms", "1m".

    Raises:
        ContainerStateError: It is none, or not above zero.
    """
    for unit, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit() and float(number) > 0:
            return float(number) * seconds
    raise ContainerStateError("duration interval must be greater than 0")


def stats_data(stats: Stats) -> dict[str, Any]:
    """Return statistics in the shape that runc prints."""
    return {
        "cpu": {
            "usage": {
                "total": stats.cpu.total,
                "percpu": list(stats.cpu.percpu),
                "kernel": stats.cpu.kernel,
                "user": stats.cpu.user,
            },
            "throttling": {
                "periods": stats.cpu.periods,
                "throttledPeriods": stats.cpu.throttled_periods,
                "throttledTime": stats.cpu.throttled_time,
            },
        },
        "memory": {
            "usage": {
                "usage": stats.memory.usage,
                "max": stats.memory.max_usage,
                "failcnt": stats.memory.failcnt,
                "limit": _limit(stats.memory.limit),
            },
            "raw": dict(stats.memory.detail),
        },
        "pids": {"current": stats.pids, "limit": stats.pids_limit or 0},
        "blkio": {_camel(name): [_entry(entry) for entry in found] for name, found in stats.block_io.items()},
        "hugetlb": {
            size: {"usage": usage, "max": highest, "failcnt": failures}
            for size, (usage, highest, failures) in stats.hugetlb.items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _limit(limit: int | None) -> int:
    return (1 << 64) - 1 if limit is None else limit


def _entry(entry: tuple[int, int, str, int]) -> dict[str, Any]:
    major, minor, operation, value = entry
    return {"major": major, "minor": minor, "op": operation, "value": value}
