"""The daemon's configuration: command line, daemon.json and environment become one frozen value.

This is the only reader of the environment and of daemon.json.

Spec: dockerd(8), "DAEMON CONFIGURATION FILE".
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from moorage.api.host_config import LogConfig, Ulimit
from moorage.api.versions import MAXIMUM, MINIMUM, MalformedVersionError, Version, read_version
from moorage.daemon.options import UNSUPPORTED
from moorage.errors import InvalidParameterError

DEFAULT_CONFIG_FILE: Final = Path("/etc/moorage/daemon.json")
DEFAULT_DATA_ROOT: Final = Path("/var/lib/moorage")
DEFAULT_EXEC_ROOT: Final = Path("/run/moorage")
NATIVE_RUNTIME: Final = "moorage"
NATIVE_ALIAS: Final = "runc"
"""Clients ask for Docker's default runtime by this name; it means the native one, unless configured otherwise."""

_LEVELS: Final = frozenset({"debug", "info", "warn", "error", "fatal"})
_SIZE: Final = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)
_OLDEST_VARIABLE: Final = "DOCKER_MIN_API_VERSION"
_FAULT_VARIABLE: Final = "MOORAGE_FAULT"


class ConfigurationError(InvalidParameterError):
    """The configuration cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProgram:
    """Another OCI runtime: its program, and arguments before the sub-command."""

    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """Everything a user can set.

    Attributes:
        hosts: Addresses to listen on.
        fault: For crash tests: the name of the point at which this process kills itself.
    """

    hosts: tuple[str, ...]
    data_root: Path = DEFAULT_DATA_ROOT
    exec_root: Path = DEFAULT_EXEC_ROOT
    pidfile: Path | None = None
    config_file: Path = DEFAULT_CONFIG_FILE
    group: str = "docker"
    debug: bool = False
    experimental: bool = False
    log_level: str = "info"
    tls: bool = False
    tls_verify: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    bridge: str = "moorage0"
    bip: str = ""
    fixed_cidr: str = ""
    mtu: int = 1500
    icc: bool = True
    ip_masquerade: bool = True
    ipv6: bool = False
    publish_address: str = "0.0.0.0"  # noqa: S104 - Docker's default: published means reachable
    address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_gateways: tuple[str, ...] = ()
    default_runtime: str = NATIVE_RUNTIME
    runtimes: Mapping[str, RuntimeProgram] = field(default_factory=dict)
    registry_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    log: LogConfig = field(default_factory=lambda: LogConfig(type="json-file", config={}))
    ulimits: tuple[Ulimit, ...] = ()
    storage_driver: str = ""
    cgroup_parent: str = "/docker"
    init: bool = False
    init_path: str = ""
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = ""
    default_shm_size: int = 0
    default_stop_timeout: int = 10
    shutdown_timeout: int = 15
    seccomp_profile: str = ""
    no_new_privileges: bool = False
    userns_remap: str = ""
    labels: tuple[str, ...] = ()
    minimum_api_version: Version = MINIMUM
    fault: str = ""


def load(options: Mapping[str, Any], *, environment: Mapping[str, str] = os.environ) -> DaemonConfig:
    """Merge the command line with daemon.json and return the configuration.

    Raises:
        ConfigurationError: A value is wrong, or given in both places.
    """
    given = dict(options)
    explicit = given.pop("config-file", given.pop("config_file", None))
    path = Path(explicit) if explicit else DEFAULT_CONFIG_FILE
    settings = read_file(path, required=explicit is not None)
    _check_conflicts(given, settings)
    merged = settings | given
    if oldest := environment.get(_OLDEST_VARIABLE):
        # As in Docker, where the variable came first.
        merged["min-api-version"] = oldest
    fault = environment.get(_FAULT_VARIABLE, "")
    return _build(merged, config_file=path, fault=fault)


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """Return the content of a daemon.json; a missing one is empty unless it was named.

    Raises:
        ConfigurationError: It is no JSON object, or has a key that is unknown or not supported.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if required:
            raise ConfigurationError(
                f"unable to configure the daemon with file {path}: open {path}: no such file or directory"
            ) from None
        return {}
    try:
        settings: dict[str, Any] = msgspec.json.decode(content or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"unable to configure the daemon with file {path}: {error}") from None
    for key in settings:
        if key in UNSUPPORTED:
            raise ConfigurationError(
                f"unable to configure the daemon with file {path}: the directive {key} is not supported by Moorage"
            )
    unknown = sorted(settings.keys() - _KNOWN)
    if unknown:
        raise ConfigurationError(
            f"unable to configure the daemon with file {path}: the following directives don't match any "
            f"configuration option: {', '.join(unknown)}"
        )
    return settings


def _check_conflicts(given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    both = sorted(given.keys() & settings.keys())
    if both:
        texts = [f"{key}: (from flag: {given[key]}, from file: {settings[key]})" for key in both]
        raise ConfigurationError(
            "the following directives are specified both as a flag and in the configuration file: " + ", ".join(texts)
        )


def _build(merged: Mapping[str, Any], *, config_file: Path, fault: str) -> DaemonConfig:
    exec_root = Path(merged.get("exec-root", DEFAULT_EXEC_ROOT))
    values: dict[str, Any] = {
        "hosts": tuple(_host(text) for text in merged.get("hosts", ())) or (f"unix://{exec_root}/moorage.sock",),
        "config_file": config_file,
        "fault": fault,
    }
    for key, (name, convert) in _FIELDS.items():
        if key in merged:
            try:
                values[name] = convert(merged[key])
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"invalid value for {key}: {error}") from None
    log = {"type": merged.get("log-driver", "json-file"), "config": _mapping(merged.get("log-opts", {}))}
    values["log"] = LogConfig(**log)
    config = DaemonConfig(**values)
    _check(config, merged)
    return config


def _check(config: DaemonConfig, merged: Mapping[str, Any]) -> None:
    if merged.get("live-restore", True) is not True:
        # Containers outlive the daemon by construction; that cannot be switched off.
        raise ConfigurationError("live-restore=false is not supported by Moorage: containers always outlive the daemon")
    if config.storage_driver not in {"", "overlay2", "vfs"}:
        raise ConfigurationError(f"the storage driver {config.storage_driver} is not supported by Moorage")
    if config.log_level not in _LEVELS:
        raise ConfigurationError(f"invalid logging level: {config.log_level}")
    if config.default_runtime not in {NATIVE_RUNTIME, NATIVE_ALIAS} and config.default_runtime not in config.runtimes:
        raise ConfigurationError(f"specified default runtime '{config.default_runtime}' does not exist")
    _check_log(config.log)
    for label in config.labels:
        if "=" not in label:
            raise ConfigurationError(f"bad attribute format: {label}")
    _check_tls(config)


def _check_log(log: LogConfig) -> None:
    if log == LogConfig(type="json-file", config={}):
        return
    # Imported only where somebody has chosen: the usual start need not wait for it.
    from moorage.logs.options import validate_log_options  # noqa: PLC0415

    try:
        validate_log_options(log.type, log.config or {})
    except InvalidParameterError as error:
        raise ConfigurationError(f"failed to set log opts: {error}") from None


def _check_tls(config: DaemonConfig) -> None:
    if config.tls_verify and config.tls_ca is None:
        raise ConfigurationError("--tlsverify needs --tlscacert")
    if (config.tls or config.tls_verify) and (config.tls_certificate is None or config.tls_key is None):
        raise ConfigurationError("TLS needs --tlscert and --tlskey")


def _host(text: str) -> str:
    if text in {"fd://", "npipe://"} or text.startswith(("fd:", "npipe:")):
        raise ConfigurationError(f"the host {text} is not supported by Moorage: use unix:// or tcp://")
    return text if "://" in text else f"tcp://{text}"


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of strings is needed")
    return tuple(value)


def _mapping(value: Any) -> dict[str, str]:
    """Return `{"name": "value"}` of daemon.json, or `["name=value"]` of the command line."""
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    return {name: text for name, _, text in (str(item).partition("=") for item in value)}


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a number is needed")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is needed")
    return value


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"invalid size: '{value}'")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[match[2].lower()]


def _api_version(value: Any) -> Version:
    text = str(value)
    try:
        version = read_version(text)
    except MalformedVersionError:
        raise ValueError(f"{text!r} is not a version such as {MAXIMUM}") from None
    if version < MINIMUM:
        raise ValueError(f"minimum supported API version is {MINIMUM}: {text}")
    if version > MAXIMUM:
        raise ValueError(f"maximum supported API version is {MAXIMUM}: {text}")
    return version


def _runtimes(value: Any) -> dict[str, RuntimeProgram]:
    """Return `{"name": {"path":..., "runtimeArgs":[...]}}` of daemon.json, or `["name=path"]`."""
    found: dict[str, RuntimeProgram] = {}
    if isinstance(value, Mapping):
        for name, program in value.items():
            if not program.get("path"):
                raise ValueError(f"runtime {name} has no path; runtimeType is not supported by Moorage")
            found[name] = RuntimeProgram(path=program["path"], arguments=_texts(program.get("runtimeArgs") or []))
    else:
        for text in value:
            name, separator, path = text.partition("=")
            if not separator or not path:
                raise ValueError(f"invalid runtime option: {text}: use name=path")
            found[name] = RuntimeProgram(path=path)
    if NATIVE_RUNTIME in found:
        raise ValueError(f"runtime name '{NATIVE_RUNTIME}' is reserved")
    return found


def _ulimits(value: Any) -> tuple[Ulimit, ...]:
    """Return `{"nofile": {"Name":..., "Soft":..., "Hard":...}}`, or `["nofile=soft[:hard]"]`."""
    if isinstance(value, Mapping):
        return tuple(
            Ulimit(name=limit.get("Name", name), soft=limit.get("Soft", 0), hard=limit.get("Hard", 0))
            for name, limit in value.items()
        )
    found: list[Ulimit] = []
    for text in value:
        name, _, numbers = text.partition("=")
        soft, _, hard = numbers.partition(":")
        found.append(Ulimit(name=name, soft=int(soft), hard=int(hard or soft)))
    return tuple(found)


def _pools(value: Any) -> tuple[tuple[str, int], ...]:
    """Return `[{"base":..., "size":...}]`, or `["base=...,size=..."]`."""
    found: list[tuple[str, int]] = []
    for item in value:
        fields = item if isinstance(item, Mapping) else dict(part.split("=", 1) for part in item.split(","))
        found.append((str(fields["base"]), int(fields["size"])))
    return tuple(found)


_FIELDS: Final[dict[str, tuple[str, Any]]] = {
    "data-root": ("data_root", Path),
    "exec-root": ("exec_root", Path),
    "pidfile": ("pidfile", Path),
    "group": ("group", str),
    "debug": ("debug", _switch),
    "experimental": ("experimental", _switch),
    "log-level": ("log_level", str),
    "tls": ("tls", _switch),
    "tlsverify": ("tls_verify", _switch),
    "tlscacert": ("tls_ca", Path),
    "tlscert": ("tls_certificate", Path),
    "tlskey": ("tls_key", Path),
    "bridge": ("bridge", str),
    "bip": ("bip", str),
    "fixed-cidr": ("fixed_cidr", str),
    "mtu": ("mtu", _number),
    "icc": ("icc", _switch),
    "ip-masq": ("ip_masquerade", _switch),
    "ipv6": ("ipv6", _switch),
    "ip": ("publish_address", str),
    "default-address-pools": ("address_pools", _pools),
    "dns": ("dns", _texts),
    "dns-search": ("dns_search", _texts),
    "dns-opts": ("dns_options", _texts),
    "host-gateway-ips": ("host_gateways", _texts),
    "default-runtime": ("default_runtime", str),
    "runtimes": ("runtimes", _runtimes),
    "registry-mirrors": ("registry_mirrors", _texts),
    "insecure-registries": ("insecure_registries", _texts),
    "max-concurrent-downloads": ("max_concurrent_downloads", _number),
    "max-concurrent-uploads": ("max_concurrent_uploads", _number),
    "max-download-attempts": ("max_download_attempts", _number),
    "default-ulimits": ("ulimits", _ulimits),
    "storage-driver": ("storage_driver", str),
    "cgroup-parent": ("cgroup_parent", str),
    "init": ("init", _switch),
    "init-path": ("init_path", str),
    "default-ipc-mode": ("default_ipc_mode", str),
    "default-cgroupns-mode": ("default_cgroupns_mode", str),
    "default-shm-size": ("default_shm_size", _size),
    "default-stop-timeout": ("default_stop_timeout", _number),
    "shutdown-timeout": ("shutdown_timeout", _number),
    "seccomp-profile": ("seccomp_profile", str),
    "no-new-privileges": ("no_new_privileges", _switch),
    "userns-remap": ("userns_remap", str),
    "labels": ("labels", _texts),
    "min-api-version": ("minimum_api_version", _api_version),
}
#: Every key of daemon.json that does something.
_KNOWN: Final = frozenset(_FIELDS) | {"hosts", "live-restore", "log-driver", "log-opts"}
