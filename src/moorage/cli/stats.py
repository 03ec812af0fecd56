"""``moor stats``."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

import click

from moorage.api import endpoints
from moorage.api.containers import ContainerListQuery, ContainerStatsQuery
from moorage.api.stats import ContainerStats
from moorage.api.streams import LineReader
from moorage.cli.formatting import Row, print_rows
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import binary_size, human_size, short_id
from moorage.client.calls import call
from moorage.errors import MoorageError

_COLUMNS: Final = {
    "ID": "CONTAINER ID",
    "Container": "CONTAINER",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_DEFAULT: Final = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_CLEAR: Final = "\x1b[2J\x1b[H"


@click.command(cls=Command, usage="[OPTIONS] [CONTAINER...]")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all containers (default shows just running)")
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("--no-stream", is_flag=True, help="Disable streaming stats and only pull the first result")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output")
@click.argument("containers", nargs=-1)
@pass_session
def stats(
    session: Session, /, containers: tuple[str, ...], *, all_: bool, format_text: str, no_stream: bool, no_trunc: bool
) -> None:
    """Display a live stream of container(s) resource usage statistics."""
    session.connection.version()
    watched: dict[str, _Watch] = {}
    while True:
        _follow(session, watched, list(containers) or _names(session, everything=all_), stream=not no_stream)
        for watch in watched.values():
            watch.sampled.wait(timeout=3)
        for watch in watched.values():
            if watch.error is not None and (containers or no_stream):
                raise watch.error
        rows = [_row(watch.name, watch.latest, full=no_trunc) for watch in watched.values() if watch.error is None]
        if not no_stream and not format_text:
            sys.stdout.write(_CLEAR)
        print_rows(rows, columns=_COLUMNS, format_text=format_text, default=_DEFAULT)
        sys.stdout.flush()
        if no_stream:
            return
        time.sleep(0.5)


def _names(session: Session, *, everything: bool) -> list[str]:
    listed = session.perform(call(endpoints.CONTAINER_LIST, query=ContainerListQuery(all=everything)))
    return [container.id for container in listed]


def _follow(session: Session, watched: "dict[str, _Watch]", names: Sequence[str], *, stream: bool) -> None:
    """Watch these containers and no others: without names, some start and some end meanwhile."""
    for gone in watched.keys() - set(names):
        # Its stream ends with the program; nobody looks at it.
        del watched[gone]
    for name in names:
        if name not in watched:
            watched[name] = _Watch(session, name)
            watched[name].begin(stream=stream)


class _Watch:
    """The samples of one container, read by a thread of its own: each is a stream."""

    def __init__(self, session: Session, name: str) -> None:
        self.name = name
        self.latest = ContainerStats()
        self.error: MoorageError | None = None
        self.sampled = threading.Event()
        self._session = session

    def begin(self, *, stream: bool) -> None:
        """Start reading."""
        threading.Thread(target=self._read, kwargs={"stream": stream}, daemon=True).start()

    def _read(self, *, stream: bool) -> None:
        query = ContainerStatsQuery(stream=stream)
        lines = LineReader(ContainerStats)
        try:
            request = call(endpoints.CONTAINER_STATS, path={"id": self.name}, query=query)
            with self._session.connection.begin(request) as exchange:
                for chunk in exchange.checked().chunks():
                    for sample in lines.feed(chunk):
                        self.latest = sample
                        # The first sample of a stream has nothing to be compared with.
                        if sample.precpu_stats.system_cpu_usage or not stream:
                            self.sampled.set()
                for sample in lines.finish():
                    self.latest = sample
        except MoorageError as error:
            self.error = error
        self.sampled.set()


def cpu_percent(sample: ContainerStats) -> float:
    """Return the share of one processor, in percent, between two samples."""
    used = sample.cpu_stats.cpu_usage.total_usage - sample.precpu_stats.cpu_usage.total_usage
    passed = sample.cpu_stats.system_cpu_usage - sample.precpu_stats.system_cpu_usage
    cpus = sample.cpu_stats.online_cpus or len(sample.cpu_stats.cpu_usage.percpu_usage) or 1
    return used / passed * cpus * 100 if used > 0 and passed > 0 else 0.0


def used_memory(memory: int, counters: Mapping[str, int]) -> int:
    """Return the memory in use without the page cache that the kernel may drop."""
    cache = next((counters[name] for name in ("total_inactive_file", "inactive_file") if name in counters), 0)
    return memory - cache if cache < memory else memory


def _row(name: str, sample: ContainerStats, *, full: bool) -> Row:
    if not sample.id or sample.read.startswith("0001"):
        blank = {"CPUPerc": "--", "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--", "PIDs": "--"}
        return {
            "ID": name if full else short_id(name),
            "Container": name,
            "Name": sample.name.removeprefix("/") or name,
            **blank,
        }
    memory = used_memory(sample.memory_stats.usage, sample.memory_stats.stats)
    limit = sample.memory_stats.limit
    received = sum(network.rx_bytes for network in sample.networks.values())
    sent = sum(network.tx_bytes for network in sample.networks.values())
    entries = sample.blkio_stats.io_service_bytes_recursive or []
    read = sum(entry.value for entry in entries if entry.op.lower() == "read")
    written = sum(entry.value for entry in entries if entry.op.lower() == "write")
    return {
        "ID": sample.id if full else short_id(sample.id),
        "Container": name,
        "Name": sample.name.removeprefix("/"),
        "CPUPerc": f"{cpu_percent(sample):.2f}%",
        "MemUsage": f"{binary_size(memory)} / {binary_size(limit)}",
        "MemPerc": f"{memory / limit * 100 if limit else 0:.2f}%",
        "NetIO": f"{human_size(received, digits=3)} / {human_size(sent, digits=3)}",
        "BlockIO": f"{human_size(read, digits=3)} / {human_size(written, digits=3)}",
        "PIDs": str(sample.pids_stats.current),
    }
