"""Options of log drivers: what is accepted, and the plan the shim gets.

Docker refuses an unknown option when a container is created, and some bad values only when
it starts; clients see these texts, so both moments and the wording are kept.

The option `mode` may be "non-blocking" for every driver; those that write files never keep
output waiting, so that for them both values mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from moorage.logs import local, remote_options
from moorage.logs.attributes import LoggedContainer, attributes, tag
from moorage.logs.errors import LogDriverStartError, LogOptionError
from moorage.logs.values import ValueRefusedError, read_boolean, read_integer, read_size

if TYPE_CHECKING:
    from moorage.api.shim import LogPlan

DRIVERS: Final = ("fluentd", "gelf", "journald", "json-file", "local", "syslog")
"""Those that can be chosen, without "none", which is the absence of one."""

_NOT_HERE: Final = frozenset({"awslogs", "etwlogs", "gcplogs", "splunk"})
"""Those of Docker that are bound to somebody's service, or to another system."""

CACHE_OPTIONS: Final = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_OF_EVERY_DRIVER: Final = CACHE_OPTIONS | {"mode", "max-buffer-size"}
_OF_LOCAL: Final = frozenset({"max-file", "max-size", "compress"})
_OF_JSON_FILE: Final = _OF_LOCAL | {"labels", "labels-regex", "env", "env-regex", "tag"}


def validate_log_options(driver: str, options: Mapping[str, str]) -> None:
    """Check a driver and its options, as at container creation.

    Raises:
        LogOptionError: With Docker's text.
    """
    if driver == "none":
        return
    _check_mode(options)
    _check_cache(options)
    if driver in _NOT_HERE:
        raise LogOptionError(f"logger: no log driver named '{driver}' is registered")
    if driver not in DRIVERS:
        raise LogOptionError(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    own = {name: value for name, value in options.items() if name not in _OF_EVERY_DRIVER}
    if driver == "json-file":
        _check_names(own, _OF_JSON_FILE, where="json-file log driver")
    elif driver == "local":
        _check_names(own, _OF_LOCAL, where="log driver local")
    else:
        remote_options.validate(driver, own)


def log_path(driver: str, directory: Path, container_id: str) -> Path | None:
    """Return where clients may look for a container's log, given the container's directory; None for nowhere."""
    return directory / f"{container_id}-json.log" if driver == "json-file" else None


def readable_path(driver: str, options: Mapping[str, str], directory: Path, container_id: str) -> Path | None:
    """Return the file that a container's log can be read from; None if the driver keeps none."""
    match driver:
        case "json-file":
            return log_path(driver, directory, container_id)
        case "local":
            return directory / "local-logs" / "container.log"
        case "none":
            return None
        case _ if options.get("cache-disabled") and read_boolean(options["cache-disabled"]):
            return None
        case _:
            return directory / "container-cached.log"


def log_plan(driver: str, options: Mapping[str, str], *, path: Path | None, container: LoggedContainer) -> LogPlan:
    """Return the plan the shim opens the log by.

    Args:
        path: As `readable_path` says.

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
        "delivery": None,
    }
    try:
        match driver:
            case "json-file":
                _plan_json_file(plan, options)
                plan["attrs"] = attributes(options, container)
                if options.get("tag"):
                    plan["attrs"]["tag"] = tag(options, container)
            case "local":
                _plan_local(plan, options)
            case "none":
                pass
            case _:
                plan["delivery"] = remote_options.delivery_plan(driver, options, container)
                plan["driver"] = "local" if path else "none"
                _plan_local(plan, _cache_options(options))
    except ValueRefusedError as error:
        raise LogDriverStartError(str(error)) from error
    return plan


def _check_names(options: Mapping[str, str], known: frozenset[str], *, where: str) -> None:
    for name in options:
        if name not in known:
            raise LogOptionError(f"unknown log opt '{name}' for {where}")


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in {"", "blocking", "non-blocking"}:
        raise LogOptionError(f"logger: logging mode not supported: {mode}")
    if (size := options.get("max-buffer-size")) is None:
        return
    if mode != "non-blocking":
        raise LogOptionError("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    try:
        read_size(size)
    except ValueRefusedError as error:
        raise LogOptionError(f"error parsing option max-buffer-size: {error}") from error


def _check_cache(options: Mapping[str, str]) -> None:
    if disabled := options.get("cache-disabled"):
        try:
            read_boolean(disabled)
        except ValueRefusedError as error:
            raise LogOptionError(f"invalid value for option cache-disabled: {disabled}") from error


def _cache_options(options: Mapping[str, str]) -> dict[str, str]:
    """Return the cache's options by the names that the driver `local` has for them: the cache is written by it."""
    prefix = "cache-"
    return {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}


def _plan_json_file(plan: LogPlan, options: Mapping[str, str]) -> None:
    if (size := options.get("max-size")) is not None:
        plan["max_size"] = read_size(size)
        if plan["max_size"] <= 0:
            raise LogDriverStartError("max-size must be a positive number")
    if (count := options.get("max-file")) is not None:
        plan["max_file"] = read_integer(count)
        if plan["max_file"] < 1:
            raise LogDriverStartError("max-file cannot be less than 1")
    if (compress := options.get("compress")) is not None:
        plan["compress"] = read_boolean(compress)
        if plan["compress"] and (plan["max_file"] == 1 or not plan["max_size"]):
            raise LogDriverStartError("compress cannot be true when max-file is less than 2 or max-size is not set")


def _plan_local(plan: LogPlan, options: Mapping[str, str]) -> None:
    plan["max_size"] = _read(options, "max-size", read_size, default=local.MAX_SIZE)
    plan["max_file"] = _read(options, "max-file", read_integer, default=local.MAX_FILE)
    if plan["max_file"] < 0:
        raise LogDriverStartError("max file count cannot be less than 0")
    if "compress" in options:
        try:
            plan["compress"] = read_boolean(options["compress"])
        except ValueRefusedError as error:
            raise LogDriverStartError(f"error reading compress log option: {error}") from error
        if plan["compress"] and plan["max_file"] < 2:
            raise LogDriverStartError("max file count must be greater than 1 when compression is enabled")
    else:
        plan["compress"] = local.COMPRESS and plan["max_file"] > 1


def _read(options: Mapping[str, str], name: str, read: Callable[[str], int], *, default: int) -> int:
    if name not in options:
        return default
    try:
        return read(options[name])
    except ValueRefusedError as error:
        raise LogDriverStartError(f"invalid value for {name}: {options[name]}: {error}") from error
