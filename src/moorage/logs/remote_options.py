"""Options of the drivers that send to a server: what is accepted, and their plans."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from moorage.api.timestamps import MalformedDurationError, read_duration
from moorage.logs.attributes import LoggedContainer, attributes, tag
from moorage.logs.errors import LogDriverStartError, LogOptionError
from moorage.logs.journald import field_name
from moorage.logs.values import (
    URL,
    ValueRefusedError,
    read_boolean,
    read_integer,
    read_size,
    read_unsigned,
    read_url,
    split_host,
)

if TYPE_CHECKING:
    from moorage.api.shim import DeliveryPlan

_COMMON: Final = frozenset({"env", "env-regex", "labels", "labels-regex", "tag"})
_BUFFER_SIZE: Final = 1_000_000
"""Bytes that a non-blocking log keeps by default."""

_FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("", "", "", ""),
    *(f"local{number}" for number in range(8)),
)
_SYSLOG: Final = _COMMON | {
    "syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key",
    "syslog-tls-skip-verify",
}  # fmt: skip
_SYSLOG_FORMATS: Final = frozenset({"", "rfc3164", "rfc5424", "rfc5424micro"})
_SYSLOG_PORT: Final = 514

_FLUENTD: Final = _COMMON | {
    "fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-read-timeout", "fluentd-request-ack", "fluentd-retry-wait",
    "fluentd-sub-second-precision", "fluentd-write-timeout",
}  # fmt: skip
_FLUENTD_HOST: Final = "127.0.0.1"
_FLUENTD_PORT: Final = 24224
_MAX_RETRIES: Final = (1 << 31) - 1
_BUFFER_LIMIT: Final = 1024 * 1024
_SECOND: Final = 1_000_000_000
_RECONNECT_INTERVALS: Final = range(_SECOND // 10, 10 * _SECOND + 1)

_TRANSPORTS: Final = ("tcp://", "tcp+tls://", "udp://", "unix://", "unixgram://")
_COMPRESSIONS: Final = frozenset({"gzip", "zlib", "none"})
_COMPRESSION_LEVELS: Final = frozenset(map(str, range(-1, 10)))
_BEST_SPEED: Final = 1


def validate(driver: str, options: Mapping[str, str]) -> None:
    """Check the options of a driver, as at container creation.

    Raises:
        LogOptionError: With Docker's text.
    """
    try:
        _VALIDATORS[driver](options)
    except (ValueRefusedError, MalformedDurationError) as error:
        raise LogOptionError(str(error)) from error


def delivery_plan(driver: str, options: Mapping[str, str], container: LoggedContainer) -> DeliveryPlan:
    """Return how a container's output gets to the server.

    Raises:
        LogDriverStartError: With Docker's text.
    """
    try:
        settings = _PLANNERS[driver](options, container)
    except (ValueRefusedError, MalformedDurationError) as error:
        raise LogDriverStartError(str(error)) from error
    limit, in_lines = _limit(driver, options)
    return {"driver": {"driver": driver, **settings}, "limit": limit, "limit_in_lines": in_lines}


def _limit(driver: str, options: Mapping[str, str]) -> tuple[int | None, bool]:
    if options.get("mode") == "non-blocking":
        size = options.get("max-buffer-size")
        return (read_size(size, unit=1024) if size else _BUFFER_SIZE), False
    if driver == "fluentd" and _is_async(options):
        return _buffer_limit(options), True
    return None, False


def _check_names(options: Mapping[str, str], known: frozenset[str], driver: str) -> None:
    for name in options:
        if name not in known:
            raise ValueRefusedError(f"unknown log opt '{name}' for {driver} log driver")


# syslog


def _validate_syslog(options: Mapping[str, str]) -> None:
    _check_names(options, _SYSLOG, "syslog")
    _syslog_address(options)
    _facility(options.get("syslog-facility", ""))
    _syslog_format(options)


def _plan_syslog(options: Mapping[str, str], container: LoggedContainer) -> dict[str, Any]:
    plan: dict[str, Any] = {
        "facility": _facility(options.get("syslog-facility", "")),
        "format": _syslog_format(options),
        "tag": tag(options, container),
        "hostname": container.hostname,
        "counted": False,
    }
    if (address := _syslog_address(options)) is not None:
        plan["address"] = address
        if address["network"] == "tls":
            address["tls"] = _tls(options)
            plan["counted"] = plan["format"].startswith("rfc5424")
    return plan


def _syslog_address(options: Mapping[str, str]) -> dict[str, Any] | None:
    text = options.get("syslog-address", "")
    if not text:
        return None
    url = read_url(text)
    if url.scheme in {"unix", "unixgram"}:
        if not Path(url.path).exists():
            raise ValueRefusedError(f"stat {url.path}: no such file or directory")
        return {"network": url.scheme, "path": url.path}
    if url.scheme not in {"udp", "tcp", "tcp+tls"}:
        raise ValueRefusedError(f"unsupported scheme: '{url.scheme}'")
    host, port = split_host(url.host)
    return {
        "network": "tls" if url.scheme == "tcp+tls" else url.scheme,
        "host": host or "localhost",
        "port": _port(port) if port else _SYSLOG_PORT,
    }


def _port(text: str) -> int:
    try:
        return read_unsigned(text, bits=16)
    except ValueRefusedError as error:
        raise ValueRefusedError(f"invalid port: {error}") from error


def _facility(text: str) -> int:
    if not text:
        text = "daemon"
    if text in _FACILITIES:
        return _FACILITIES.index(text) << 3
    if text.isdecimal() and int(text) < len(_FACILITIES):
        return int(text) << 3
    raise ValueRefusedError("invalid syslog facility")


def _syslog_format(options: Mapping[str, str]) -> str:
    text = options.get("syslog-format", "")
    if text not in _SYSLOG_FORMATS:
        raise ValueRefusedError("Invalid syslog format")
    return text


def _tls(options: Mapping[str, str]) -> dict[str, Any]:
    settings = {name: options.get(f"syslog-tls-{option}", "") for name, option in _TLS_FILES.items()}
    if settings["ca"]:
        _check_readable(settings["ca"], f'could not read CA certificate "{settings["ca"]}"')
    for name in ("cert", "key"):
        if settings["cert"] or settings["key"]:
            _check_readable(settings[name], "could not load X509 key pair")
    return {**settings, "skip_verify": "syslog-tls-skip-verify" in options}


_TLS_FILES: Final = {"ca": "ca-cert", "cert": "cert", "key": "key"}


def _check_readable(path: str, problem: str) -> None:
    if not os.access(path, os.R_OK):
        raise ValueRefusedError(f"{problem}: open {path}: no such file or directory")


# journald


def _validate_journald(options: Mapping[str, str]) -> None:
    _check_names(options, _COMMON, "journald")


def _plan_journald(options: Mapping[str, str], container: LoggedContainer) -> dict[str, Any]:
    text = tag(options, container)
    fields = {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": container.name,
        "CONTAINER_TAG": text,
        "IMAGE_NAME": container.image_name,
        "SYSLOG_IDENTIFIER": text,
    }
    fields |= {field_name(name): value for name, value in attributes(options, container).items()}
    return {"fields": fields}


# gelf


def _validate_gelf(options: Mapping[str, str]) -> None:
    network = _gelf_address(options)["network"]
    for name, value in options.items():
        if name in _COMMON or name == "gelf-address":
            continue
        if name not in _GELF_CHECKS:
            raise ValueRefusedError(f'unknown log opt "{name}" for gelf log driver')
        _GELF_CHECKS[name](name, value, network)


def _check_compression_level(name: str, value: str, network: str) -> None:
    _check_compressible(network)
    if value not in _COMPRESSION_LEVELS:
        raise ValueRefusedError(f'unknown value "{value}" for log opt "{name}" for gelf log driver')


def _check_compression_type(name: str, value: str, network: str) -> None:
    _check_compressible(network)
    if value not in _COMPRESSIONS:
        raise ValueRefusedError(f'unknown value "{value}" for log opt "{name}" for gelf log driver')


def _check_compressible(network: str) -> None:
    if network != "udp":
        raise ValueRefusedError("compression is only supported on UDP")


def _check_reconnecting(name: str, value: str, network: str) -> None:
    if network != "tcp":
        raise ValueRefusedError(f'"{name}" is only valid for TCP')
    if not value.isdecimal():
        raise ValueRefusedError(f'"{name}" must be a positive integer')


_GELF_CHECKS: Final[Mapping[str, Callable[[str, str, str], None]]] = {
    "gelf-compression-level": _check_compression_level,
    "gelf-compression-type": _check_compression_type,
    "gelf-tcp-max-reconnect": _check_reconnecting,
    "gelf-tcp-reconnect-delay": _check_reconnecting,
}


def _gelf_address(options: Mapping[str, str]) -> dict[str, Any]:
    text = options.get("gelf-address", "")
    if not text:
        raise ValueRefusedError("gelf-address is a required parameter")
    if not text.startswith(_TRANSPORTS):
        raise ValueRefusedError(f"gelf-address should be in form proto://address, got {text}")
    url = read_url(text)
    if url.scheme not in {"udp", "tcp"}:
        raise ValueRefusedError("gelf: endpoint needs to be TCP or UDP")
    try:
        host, port = split_host(url.host)
    except ValueRefusedError:
        host, port = "", None
    if port is None:
        raise ValueRefusedError("gelf: please provide gelf-address as proto://host:port")
    return {"network": url.scheme, "host": host or "localhost", "port": _port(port)}


def _plan_gelf(options: Mapping[str, str], container: LoggedContainer) -> dict[str, Any]:
    extra: dict[str, Any] = {
        "_command": " ".join(container.command),
        "_container_id": container.id,
        "_container_name": container.name,
        "_created": container.created,
        "_image_id": container.image_id,
        "_image_name": container.image_name,
        "_tag": tag(options, container),
    }
    extra |= {
        name if name.startswith("_") else f"_{name}": value for name, value in attributes(options, container).items()
    }
    return {
        "address": _gelf_address(options),
        "hostname": container.hostname,
        "extra": dict(sorted(extra.items())),
        "compression": options.get("gelf-compression-type", "gzip"),
        "level": read_integer(options.get("gelf-compression-level", str(_BEST_SPEED))),
        "max_reconnect": int(options.get("gelf-tcp-max-reconnect", "3")),
        "reconnect_delay": int(options.get("gelf-tcp-reconnect-delay", "1")),
    }


# fluentd


def _validate_fluentd(options: Mapping[str, str]) -> None:
    _check_names(options, _FLUENTD, "fluentd")
    _fluentd_settings(options)


def _plan_fluentd(options: Mapping[str, str], container: LoggedContainer) -> dict[str, Any]:
    record = {"container_id": container.id, "container_name": f"/{container.name}", **attributes(options, container)}
    return {**_fluentd_settings(options), "tag": tag(options, container), "record": record}


def _fluentd_settings(options: Mapping[str, str]) -> dict[str, Any]:
    _buffer_limit(options)
    return {
        "address": _fluentd_address(options),
        "async": _is_async(options),
        "reconnect_interval": _reconnect_interval(options),
        "retry_wait": read_duration(options.get("fluentd-retry-wait") or "1s") / _SECOND,
        "max_retries": _max_retries(options),
        "sub_second": _switch(options, "fluentd-sub-second-precision"),
        "request_ack": _switch(options, "fluentd-request-ack"),
        "write_timeout": _timeout(options, "fluentd-write-timeout"),
        "read_timeout": _timeout(options, "fluentd-read-timeout"),
    }


def _fluentd_address(options: Mapping[str, str]) -> dict[str, Any]:
    given = options.get("fluentd-address", "")
    try:
        return _forward_address(read_url(given if "://" in given else f"tcp://{given}"))
    except ValueRefusedError as error:
        raise ValueRefusedError(f"invalid fluentd-address ({given}): {error}") from error


def _forward_address(url: URL) -> dict[str, Any]:
    if url.scheme == "unix":
        if not url.path.strip("/"):
            raise ValueRefusedError("path is empty")
        return {"network": "unix", "path": url.path}
    if url.scheme not in {"tcp", "tls"}:
        raise ValueRefusedError(f"unsupported scheme: '{url.scheme}'")
    if url.path:
        raise ValueRefusedError("should not contain a path element")
    host, port = split_host(url.host)
    return {"network": url.scheme, "host": host or _FLUENTD_HOST, "port": _port(port) if port else _FLUENTD_PORT}


def _switch(options: Mapping[str, str], name: str) -> bool:
    return read_boolean(options[name]) if options.get(name) else False


def _is_async(options: Mapping[str, str]) -> bool:
    if options.get("fluentd-async") and options.get("fluentd-async-connect"):
        raise ValueRefusedError("conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect'")
    return _switch(options, "fluentd-async") or _switch(options, "fluentd-async-connect")


def _buffer_limit(options: Mapping[str, str]) -> int:
    text = options.get("fluentd-buffer-limit", "")
    return read_size(text, unit=1024) if text else _BUFFER_LIMIT


def _max_retries(options: Mapping[str, str]) -> int:
    text = options.get("fluentd-max-retries", "")
    retries = read_unsigned(text, bits=32) if text else _MAX_RETRIES
    if retries > _MAX_RETRIES:
        raise ValueRefusedError("invalid fluentd-max-retries: value out of range")
    return retries


def _reconnect_interval(options: Mapping[str, str]) -> float:
    name = "fluentd-async-reconnect-interval"
    text = options.get(name, "")
    if not text:
        return 0.0
    try:
        interval = read_duration(text)
    except MalformedDurationError as error:
        raise ValueRefusedError(f"invalid value for {name}: {error}") from error
    if interval and interval not in _RECONNECT_INTERVALS:
        raise ValueRefusedError(f'invalid value for {name}: value ("{text}") must be between 100ms and 10s')
    return interval / _SECOND


def _timeout(options: Mapping[str, str], name: str) -> float:
    text = options.get(name, "")
    if not text:
        return 0.0
    try:
        limit = read_duration(text)
    except MalformedDurationError as error:
        raise ValueRefusedError(f"invalid value for {name}: value must be a duration: {error}") from error
    if limit < 0:
        raise ValueRefusedError(f"invalid value for {name}: value must be a duration that is non-negative")
    return limit / _SECOND


_VALIDATORS: Final[Mapping[str, Callable[[Mapping[str, str]], None]]] = {
    "syslog": _validate_syslog,
    "journald": _validate_journald,
    "gelf": _validate_gelf,
    "fluentd": _validate_fluentd,
}
_PLANNERS: Final[Mapping[str, Callable[[Mapping[str, str], LoggedContainer], dict[str, Any]]]] = {
    "syslog": _plan_syslog,
    "journald": _plan_journald,
    "gelf": _plan_gelf,
    "fluentd": _plan_fluentd,
}
