"""Options of log drivers: what is accepted, and the plan the shim gets.

Docker refuses an unknown option when a container is created, and a bad value only when it
starts; clients see these texts, so both moments and the wording are kept.

The option `mode` may be "non-blocking": the drivers here write to a local file, and neither
mode keeps output waiting for anything else, so both values mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from moorage.errors import InvalidParameterError, SystemFailureError
from moorage.logs import local

if TYPE_CHECKING:
    from moorage.api.shim import LogPlan

DRIVERS: Final = ("json-file", "local", "none")

_OF_EVERY_DRIVER: Final = frozenset(
    # The cache serves drivers that cannot be read back; Docker too ignores it for all others.
    {"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}
)
_OF_LOCAL: Final = frozenset({"max-file", "max-size", "compress"})
_OF_JSON_FILE: Final = _OF_LOCAL | {"labels", "labels-regex", "env", "env-regex", "tag"}
_SIZE: Final = re.compile(r"(?P<number>[0-9]*\.?[0-9]+) ?(?P<unit>[kmgtp]?)i?b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_FIELD: Final = re.compile(r"\{\{-?\s*\.(\w+)\s*-?\}\}")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class LogOptionError(InvalidParameterError):
    """A log driver or one of its options is unknown."""


class LogDriverStartError(SystemFailureError):
    """An option's value keeps the driver from starting."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"failed to initialize logging driver: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedContainer:
    """What tags and attributes can be made of.

    Attributes:
        name: Without the leading slash.
        image_id: With its algorithm, as inspect prints it.
        env: `NAME=value` words.
    """

    id: str
    name: str
    image_id: str
    image_name: str
    labels: Mapping[str, str]
    env: Sequence[str]


def validate_log_options(driver: str, options: Mapping[str, str]) -> None:
    """Check a driver and the names of its options, as at container creation.

    Raises:
        LogOptionError: With Docker's text.
    """
    if driver == "none":
        return
    _check_mode(options)
    if driver not in DRIVERS:
        raise LogOptionError(f"logger: no log driver named '{driver}' is registered")
    known = _OF_JSON_FILE if driver == "json-file" else _OF_LOCAL
    for name in options:
        if name not in known and name not in _OF_EVERY_DRIVER:
            where = "json-file log driver" if driver == "json-file" else "log driver local"
            raise LogOptionError(f"unknown log opt '{name}' for {where}")


def log_path(driver: str, directory: Path, container_id: str) -> Path | None:
    """Return where a container's log is, given the container's directory; None for no log."""
    match driver:
        case "json-file":
            return directory / f"{container_id}-json.log"
        case "local":
            return directory / "local-logs" / "container.log"
        case _:
            return None


def log_plan(driver: str, options: Mapping[str, str], *, path: Path | None, container: LoggedContainer) -> LogPlan:
    """Return the plan the shim opens the log by.

    Raises:
        LogDriverStartError: A value is bad, with Docker's text.
    """
    plan: LogPlan = {
        "driver": driver,
        "path": str(path or ""),
        "max_size": 0,
        "max_file": 1,
        "compress": False,
        "attrs": {},
    }
    if driver == "json-file":
        _plan_json_file(plan, options)
        plan["attrs"] = _attributes(options, container)
    elif driver == "local":
        _plan_local(plan, options)
    return plan


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in {"", "blocking", "non-blocking"}:
        raise LogOptionError(f"logger: logging mode not supported: {mode}")
    if (size := options.get("max-buffer-size")) is None:
        return
    if mode != "non-blocking":
        raise LogOptionError("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    if not _SIZE.fullmatch(size):
        raise LogOptionError(f"error parsing option max-buffer-size: invalid size: '{size}'")


def _plan_json_file(plan: LogPlan, options: Mapping[str, str]) -> None:
    if (size := options.get("max-size")) is not None:
        plan["max_size"] = _size(size)
        if plan["max_size"] <= 0:
            raise LogDriverStartError("max-size must be a positive number")
    if (count := options.get("max-file")) is not None:
        plan["max_file"] = _integer(count)
        if plan["max_file"] < 1:
            raise LogDriverStartError("max-file cannot be less than 1")
    if (compress := options.get("compress")) is not None:
        plan["compress"] = _boolean(compress)
        if plan["compress"] and (plan["max_file"] == 1 or not plan["max_size"]):
            raise LogDriverStartError("compress cannot be true when max-file is less than 2 or max-size is not set")


def _plan_local(plan: LogPlan, options: Mapping[str, str]) -> None:
    plan["max_size"] = _size(options["max-size"]) if "max-size" in options else local.MAX_SIZE
    plan["max_file"] = _integer(options["max-file"]) if "max-file" in options else local.MAX_FILE
    if plan["max_file"] < 0:
        raise LogDriverStartError("max file count cannot be less than 0")
    if "compress" in options:
        plan["compress"] = _boolean(options["compress"])
        if plan["compress"] and plan["max_file"] < 2:
            raise LogDriverStartError("max file count must be greater than 1 when compression is enabled")
    else:
        plan["compress"] = local.COMPRESS and plan["max_file"] > 1


def _attributes(options: Mapping[str, str], container: LoggedContainer) -> dict[str, str]:
    env = dict(word.partition("=")[::2] for word in container.env)
    attributes: dict[str, str] = {}
    for option, values in (("labels", container.labels), ("env", env)):
        names = {name for name in options.get(option, "").split(",") if name}
        pattern = _pattern(options.get(f"{option}-regex", ""))
        attributes |= {
            name: value for name, value in values.items() if name in names or (pattern and pattern.search(name))
        }
    if tag := _tag(options.get("tag", ""), container):
        attributes["tag"] = tag
    return attributes


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise LogDriverStartError(f"error parsing regexp: {error}: `{text}`") from error


def _tag(template: str, container: LoggedContainer) -> str:
    hexadecimal = container.image_id.removeprefix("sha256:")
    fields = {
        "ID": container.id[:12],
        "FullID": container.id,
        "Name": container.name,
        "FullName": f"/{container.name}",
        "ImageID": hexadecimal[:12],
        "ImageFullID": container.image_id,
        "ImageName": container.image_name,
        "DaemonName": "docker",
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in fields:
            raise LogDriverStartError(f"template: log-tag: can't evaluate field {match[1]} in type logger.Info")
        return fields[match[1]]

    text = _FIELD.sub(value, template)
    if "{{" in _FIELD.sub("", template):
        raise LogDriverStartError(f"template: log-tag: only fields are supported in {template!r}")
    return text


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        _refuse(f"invalid size: '{text}'")
    return int(float(match["number"]) * 1000 ** _POWERS[match["unit"].lower()])


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        _refuse(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _boolean(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        _refuse(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def _refuse(problem: str) -> NoReturn:
    raise LogDriverStartError(problem)
