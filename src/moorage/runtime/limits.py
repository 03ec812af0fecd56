"""Limits and priorities of one process: rlimits, OOM score, scheduler, I/O, memory policy.

Spec: runtime-spec, config.md "POSIX process", "Linux Process"; config-linux.md "Memory policy".
"""

from __future__ import annotations

import os

from moorage.kernel import personality, rlimits, sched
from moorage.runtime.errors import InvalidSpecError, StartError, describe
from moorage.runtime.specification import section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from enum import IntEnum
    from typing import Any

    from moorage.runtime.specification import Spec


def set_rlimits(limits: Iterable[Mapping[str, Any]], *, warn: Callable[[str], None]) -> None:
    """Set the caller's resource limits.

    A limit above the inherited hard limit takes CAP_SYS_RESOURCE. Where nobody has that,
    the inherited one is all there is to give.
    """
    for entry in limits:
        number = rlimits.NUMBERS[entry["type"]]
        soft, hard = entry.get("soft") or 0, entry.get("hard") or 0
        try:
            rlimits.prlimit(0, number, (soft, hard))
        except PermissionError:
            _, most = rlimits.prlimit(0, number)
            rlimits.prlimit(0, number, (min(soft, most), most))
            warn(f"{entry['type']} limited to {most} instead of {hard}: raising it needs CAP_SYS_RESOURCE")
        except (OSError, ValueError) as error:
            raise StartError(f"error setting rlimit type {entry['type']} to {soft}:{hard}: {error}") from error


def set_oom_score(pid: int, score: int, *, warn: Callable[[str], None]) -> None:
    """Set how likely the kernel ends a process when memory is short.

    Lowering the score takes CAP_SYS_RESOURCE: without it the lowest allowed one stays.
    """
    fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(fd, str(score).encode())
    except PermissionError:
        warn(f"oom_score_adj stays {os.read(fd, 16).decode().strip()}: {score} needs CAP_SYS_RESOURCE")
    finally:
        os.close(fd)


def set_priorities(process: Spec) -> None:
    """Set scheduling policy and I/O priority of the caller.

    Raises:
        StartError: A name is unknown or the kernel refuses the value.
    """
    scheduler, io_priority = section(process, "scheduler"), section(process, "ioPriority")
    try:
        if scheduler:
            sched.sched_setattr(0, _scheduler_attributes(scheduler))
        if io_priority:
            io_class = _member(sched.IoClass, io_priority.get("class"), "ioPriority class")
            sched.ioprio_set(0, io_class, io_priority.get("priority") or 0)
    except OSError as error:
        raise StartError(f"error setting scheduler or I/O priority: {describe(error)}") from error


def _scheduler_attributes(scheduler: Mapping[str, Any]) -> bytes:
    flags = 0
    for name in scheduler.get("flags") or ():
        flags |= _flag(sched.SchedFlag, name, "scheduler flag")
    times = tuple(int(scheduler.get(name) or 0) for name in ("runtime", "deadline", "period"))
    return sched.attributes(
        _member(sched.Policy, scheduler.get("policy"), "scheduler policy"),
        flags=flags,
        nice=scheduler.get("nice") or 0,
        priority=scheduler.get("priority") or 0,
        deadline=(times[0], times[1], times[2]),
    )


def set_memory_policy(policy: Mapping[str, Any]) -> None:
    """Set the caller's NUMA policy, as `linux.memoryPolicy` says.

    Raises:
        StartError: A name is unknown or the kernel refuses the value.
    """
    if not policy:
        return
    flags = 0
    for name in policy.get("flags") or ():
        flags |= _flag(sched.MemoryPolicyFlag, name, "memory policy flag")
    mode = _member(sched.MemoryPolicy, policy.get("mode"), "memory policy mode")
    try:
        sched.set_mempolicy(mode, parse_list(policy.get("nodes") or ""), flags)
    except OSError as error:
        raise StartError(f"error setting memory policy: {describe(error)}") from error


def set_personality(domain: str) -> None:
    """Set the execution domain: LINUX or LINUX32."""
    try:
        personality.personality(personality.Personality[domain])
    except OSError as error:
        raise StartError(f"error setting personality {domain}: {describe(error)}") from error


def parse_list(text: str) -> list[int]:
    """Return the numbers of a list such as "0-3,7".

    Raises:
        InvalidSpecError: It is not such a list.
    """
    numbers: list[int] = []
    try:
        for part in filter(None, text.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise InvalidSpecError(f"invalid list of numbers: {text!r}") from error
    return numbers


def set_affinity(cpus: str) -> None:
    """Bind the caller to processors: a list such as "0-3,7", or "" for no change."""
    if not cpus:
        return
    try:
        sched.sched_setaffinity(0, parse_list(cpus))
    except OSError as error:
        raise StartError(f"error setting CPU affinity {cpus}: {describe(error)}") from error


def _member(kind: type[IntEnum], name: object, what: str) -> int:
    if name not in kind.__members__:
        raise InvalidSpecError(f"unknown {what} {name!r}")
    return int(kind[str(name)])


def _flag(kind: Any, name: object, what: str) -> int:
    if name not in kind.__members__:
        raise InvalidSpecError(f"unknown {what} {name!r}")
    return int(kind[str(name)])
