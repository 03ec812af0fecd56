"""The process table of a container: the host's `ps`, filtered.

Spec: Engine API, GET /containers/{id}/top.
"""

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from moorage.api.containers import ContainerTopResponse
from moorage.engine.containers.errors import (
    NotRunningError,
    RequestFailedError,
    RestartingError,
)
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.registry import ContainerRegistry

_SECONDS: Final = 10.0
_RENAMED_COLUMN: Final = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)")

# Of ASCII only: a command line may hold any other blank of Unicode.
_BLANK: Final = "\t\n\f\r "
_BLANKS: Final = re.compile(f"[{_BLANK}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProcesses:
    """Lists processes."""

    registry: ContainerRegistry
    groups: ContainerGroups
    events: EventPublisher

    async def top(self, reference: str, *, ps_args: str = "") -> ContainerTopResponse:
        """Return the processes of a container as `ps` with these arguments shows them.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            NotRunningError: It does not run.
            RequestFailedError: `ps` refused the arguments, or they hide the process IDs.
        """
        arguments = ps_args or "-ef"
        for column, title in _RENAMED_COLUMN.findall(arguments):
            if column != "pid":
                raise RequestFailedError(f'specifying "{column}={title}" is not allowed')
        record = self.registry.resolve(reference)
        if not record.state.running:
            raise NotRunningError(record.id)
        if record.state.restarting:
            raise RestartingError(record.id)
        pids = self.groups.open(record).procs()
        output = await _run_ps(arguments.split(), pids)
        table = parse_table(output, pids=frozenset(pids))
        self.events.publish("container", "top", record.id, record.event_attributes())
        return table


async def _run_ps(arguments: Sequence[str], pids: Sequence[int]) -> str:
    chosen = "-q" + ",".join(map(str, pids))
    code, output, _ = await _run("ps", *arguments, chosen)
    if code != 0:
        # Some options cannot be used together with a choice of processes.
        code, output, trouble = await _run("ps", *arguments)
        if code != 0:
            raise RequestFailedError(f"ps: {trouble.partition(chr(10))[0] or f'exit status {code}'}")
    return output


async def _run(*command: str) -> tuple[int, str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise RequestFailedError('ps: exec: "ps": executable file not found in $PATH') from None
    try:
        # It reads the memory of processes, for which it may wait as long as they do.
        async with asyncio.timeout(_SECONDS):
            output, trouble = await process.communicate()
    except TimeoutError:
        raise RequestFailedError(f"ps: no answer within {_SECONDS:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode(errors="replace"), trouble.decode(errors="replace")


def parse_table(output: str, *, pids: Collection[int]) -> ContainerTopResponse:
    """Return the rows of `ps` output that are about `pids`; the last column may hold blanks.

    Raises:
        RequestFailedError: There is no column of process IDs, or something else is in it.
    """
    header, *lines = output.split("\n")
    titles = _BLANKS.split(header.strip(_BLANK))
    if "PID" not in titles:
        raise RequestFailedError("Couldn't find PID field in ps output")
    position = titles.index("PID")
    rows: list[list[str]] = []
    inside = False
    for line in filter(None, lines):
        fields = _BLANKS.split(line.strip(_BLANK))
        if len(fields) <= position:
            continue
        # A thread's row has no number of its own and belongs to the process above it.
        if fields[position] != "-":
            inside = _pid(fields[position]) in pids
        if inside:
            last = len(titles) - 1
            rows.append([*fields[:last], " ".join(fields[last:])])
    return ContainerTopResponse(titles=titles, processes=rows)


def _pid(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RequestFailedError(f"Unexpected pid '{text}': strconv.Atoi: parsing \"{text}\": invalid syntax") from None
