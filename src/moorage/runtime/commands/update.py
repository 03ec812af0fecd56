"""`update`: other limits for a running container."""

from __future__ import annotations

import json
import sys

from moorage.runtime import containers
from moorage.runtime.errors import ContainerStateError, InvalidSpecError
from moorage.runtime.resctrl import ResctrlGroup
from moorage.runtime.specification import section
from moorage.runtime.state_file import Status

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, Final

    from moorage.runtime.invocation import Invocation

# option -> (part of `linux.resources`, property, how to read it)
_OPTIONS: Final = {
    "blkio-weight": ("blockIO", "weight", int),
    "cpu-period": ("cpu", "period", int),
    "cpu-quota": ("cpu", "quota", int),
    "cpu-burst": ("cpu", "burst", int),
    "cpu-rt-period": ("cpu", "realtimePeriod", int),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", int),
    "cpu-share": ("cpu", "shares", int),
    "cpu-idle": ("cpu", "idle", int),
    "cpuset-cpus": ("cpu", "cpus", str),
    "cpuset-mems": ("cpu", "mems", str),
    "memory": ("memory", "limit", "size"),
    "memory-reservation": ("memory", "reservation", "size"),
    "memory-swap": ("memory", "swap", "size"),
    "pids-limit": ("pids", "limit", int),
}
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("-r", "--resources", default="", help="file with the resources to update, - for stdin")
    for name, (part, prop, _) in _OPTIONS.items():
        parser.add_argument(f"--{name}", help=f"set {part}.{prop}")
    parser.add_argument("--l3-cache-schema", help="the string of Intel RDT/CAT L3 cache schema")
    parser.add_argument("--mem-bw-schema", help="the string of Intel RDT/MBA memory bandwidth schema")
    parser.add_argument("container_id", metavar="<container-id>")


def run(options: argparse.Namespace, invocation: Invocation) -> int:
    """Change the limits, and remember them."""
    record = containers.load(invocation.root, options.container_id)
    record.require(Status.RUNNING, Status.CREATED, Status.PAUSED, action="update")
    schemas = {"l3CacheSchema": options.l3_cache_schema, "memBwSchema": options.mem_bw_schema}
    schemas = {name: text for name, text in schemas.items() if text}
    if schemas:
        group = section(record.spec, "linux", "intelRdt")
        ResctrlGroup({"closID": group.get("closID"), **schemas}, container_id=record.container_id).update()
    resources = _read(options.resources) if options.resources else requested(vars(options))
    # Device rules are no limits: a list of them would replace the container's.
    resources.pop("devices", None)
    record.cgroup().apply(resources)
    linux = record.spec.setdefault("linux", {})
    if schemas:
        linux["intelRdt"] = {**(linux.get("intelRdt") or {}), **schemas}
    kept = linux["resources"] = dict(linux.get("resources") or {})
    for part, values in resources.items():
        kept[part] = {**(kept.get(part) or {}), **values} if isinstance(values, dict) else values
    record.save()
    return 0


def requested(options: dict[str, Any]) -> dict[str, Any]:
    """Return the resources that the command line asks for.

    Raises:
        ContainerStateError: A value is no number or size.
    """
    resources: dict[str, Any] = {}
    for name, (part, prop, kind) in _OPTIONS.items():
        text = options.get(name.replace("-", "_"))
        if text is not None:
            resources.setdefault(part, {})[prop] = _value(name, text, kind)
    return resources


def _value(name: str, text: str, kind: object) -> int | str:
    if kind is str:
        return text
    try:
        return parse_size(text) if kind == "size" else int(text)
    except ValueError as error:
        raise ContainerStateError(f"invalid value for --{name}: {text!r}") from error


def parse_size(text: str) -> int:
    """Return the bytes of a size such as "64m"; -1 stays: no limit.

    Raises:
        ValueError: It is none.
    """
    lowered = text.strip().lower().removesuffix("b") or "0"
    unit = lowered[-1] if lowered[-1] in _UNITS else ""
    return int(float(lowered.removesuffix(unit)) * _UNITS[unit]) if unit else int(lowered)


def _read(path: str) -> dict[str, Any]:
    try:
        if path == "-":
            found = json.load(sys.stdin)
        else:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
    except ValueError as error:
        raise InvalidSpecError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise InvalidSpecError(f"{path} is not a JSON object")
    return {part: values for part, values in found.items() if values}
