"""The daemon's configuration: command line, daemon.json and environment become one frozen value.

This is the only reader of the environment and of daemon.json.

Spec: dockerd(8), "DAEMON CONFIGURATION FILE".
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import msgspec

from moorage.api.host_config import LogConfig, Ulimit
from moorage.api.versions import MAXIMUM, MINIMUM, MalformedVersionError, Version, read_version
from moorage.daemon.options import FIXED, UNSUPPORTED
from moorage.daemon.retention import read_retention
from moorage.daemon.runtimes import NATIVE_ALIAS, NATIVE_RUNTIME, RuntimeProgram, read_runtimes
from moorage.engine.bundles.validation import check_slice
from moorage.errors import InvalidParameterError
from moorage.images.retention import RetentionPolicy
from moorage.signatures.settings import SigningKey, read_signing_keys
from moorage.snapshots.drivers import DriverName

DEFAULT_CONFIG_FILE: Final = Path("/etc/moorage/daemon.json")
DEFAULT_DATA_ROOT: Final = Path("/var/lib/moorage")
DEFAULT_EXEC_ROOT: Final = Path("/run/moorage")

#: The one feature that can be turned off here; it is on by default.
_CDI: Final = "cdi"
_LEVELS: Final = frozenset({"debug", "info", "warn", "error", "fatal"})
_SIZE: Final = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)
_PROXY_SCHEMES: Final = ("http", "https", "no")
_OLDEST_VARIABLE: Final = "DOCKER_MIN_API_VERSION"
_FAULT_VARIABLE: Final = "MOORAGE_FAULT"


T = TypeVar("T")


class ConfigurationError(InvalidParameterError):
    """The configuration cannot be used."""


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
    network_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_gateways: tuple[str, ...] = ()
    default_runtime: str = NATIVE_RUNTIME
    runtimes: Mapping[str, RuntimeProgram] = field(default_factory=dict)
    registry_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    signature_policy: Path | None = None
    signing: tuple[SigningKey, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    log: LogConfig = field(default_factory=lambda: LogConfig(type="json-file", config={}))
    ulimits: tuple[Ulimit, ...] = ()
    storage_driver: DriverName | None = None
    cgroup_driver: str = "cgroupfs"
    cgroup_parent: str = ""
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cdi_spec_dirs: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
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
    selinux: bool = False
    labels: tuple[str, ...] = ()
    minimum_api_version: Version = MINIMUM
    log_format: str = "text"
    metrics_address: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    authorization_plugins: tuple[str, ...] = ()
    forward_guard: bool = True
    image_retention: RetentionPolicy | None = None
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
    merged = settings | _with_proxies(given)
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
    unknown = sorted(settings.keys() - KNOWN_KEYS)
    if unknown:
        raise ConfigurationError(
            f"unable to configure the daemon with file {path}: the following directives don't match any "
            f"configuration option: {', '.join(unknown)}"
        )
    return settings


def _with_proxies(given: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the proxies that the command line names one by one."""
    names = [f"{scheme}-proxy" for scheme in _PROXY_SCHEMES]
    proxies = {name: given[name] for name in names if name in given}
    rest = {key: value for key, value in given.items() if key not in names}
    return rest | ({"proxies": proxies} if proxies else {})


def _check_conflicts(given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    both = sorted(given.keys() & settings.keys())
    if both:
        texts = [f"{key}: (from flag: {given[key]}, from file: {settings[key]})" for key in both]
        raise ConfigurationError(
            "the following directives are specified both as a flag and in the configuration file: " + ", ".join(texts)
        )


def _build(merged: Mapping[str, Any], *, config_file: Path, fault: str) -> DaemonConfig:
    values: dict[str, Any] = {"config_file": config_file, "fault": fault}
    for key, (name, convert) in _FIELDS.items():
        if key in merged:
            values[name] = _converted(key, convert, merged[key])
    exec_root = values.get("exec_root", DEFAULT_EXEC_ROOT)
    hosts = tuple(_host(text) for text in _converted("hosts", _texts, merged.get("hosts", ())))
    # The same address twice is one listener.
    values["hosts"] = tuple(dict.fromkeys(hosts)) or (f"unix://{exec_root}/moorage.sock",)
    values["log"] = LogConfig(
        type=_converted("log-driver", _text, merged.get("log-driver", "json-file")),
        config=_converted("log-opts", _mapping, merged.get("log-opts", {})),
    )
    config = DaemonConfig(**values)
    _check(config, merged)
    if not _converted("features", _features, merged.get("features", {})).get(_CDI, True):
        return replace(config, cdi_spec_dirs=())
    return config


def _converted(key: str, convert: Callable[[Any], T], value: Any) -> T:
    try:
        return convert(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"invalid value for {key}: {error}") from None


def _check(config: DaemonConfig, merged: Mapping[str, Any]) -> None:
    _check_fixed(merged)
    if config.log_level not in _LEVELS:
        raise ConfigurationError(f"invalid logging level: {config.log_level}")
    if config.default_runtime not in {NATIVE_RUNTIME, NATIVE_ALIAS} and config.default_runtime not in config.runtimes:
        raise ConfigurationError(f"specified default runtime '{config.default_runtime}' does not exist")
    _check_log(config.log)
    _check_cgroups(config)
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


def _check_cgroups(config: DaemonConfig) -> None:
    if config.cgroup_driver == "systemd" and config.cgroup_parent:
        check_slice(config.cgroup_parent)


def _check_fixed(merged: Mapping[str, Any]) -> None:
    for key, (allowed, reason) in FIXED.items():
        if key in merged and merged[key] not in allowed:
            shown = str(merged[key]).lower() if isinstance(merged[key], bool) else merged[key]
            raise ConfigurationError(f"{key}={shown} is not supported by Moorage: {reason}")
    for name, wanted in _converted("features", _features, merged.get("features", {})).items():
        if wanted and name != _CDI:
            raise ConfigurationError(f"the feature {name} is not supported by Moorage")


def _check_tls(config: DaemonConfig) -> None:
    if config.tls_verify and config.tls_ca is None:
        raise ConfigurationError("--tlsverify needs --tlscacert")
    if (config.tls or config.tls_verify) and (config.tls_certificate is None or config.tls_key is None):
        raise ConfigurationError("TLS needs --tlscert and --tlskey")


def _features(value: Any) -> dict[str, bool]:
    """Return `{"name": true}` of daemon.json, or `["name=true"]` of the command line."""
    if isinstance(value, Mapping):
        return {str(name): _switch(wanted) for name, wanted in value.items()}
    return {name: text in {"", "1", "true"} for name, _, text in (str(item).partition("=") for item in value)}


def _host(text: str) -> str:
    if text in {"fd://", "npipe://"} or text.startswith(("fd:", "npipe:")):
        raise ConfigurationError(f"the host {text} is not supported by Moorage: use unix:// or tcp://")
    return text if "://" in text else f"tcp://{text}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is needed")
    return value


def _path(value: Any) -> Path:
    return Path(_text(value))


def _one_of(*choices: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if (text := _text(value)) not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def _driver(value: Any) -> DriverName | None:
    text = _text(value)
    for name in get_args(DriverName):
        if text == name:
            return name  # type: ignore[no-any-return]  # one of the literals it was made of
    if text:
        raise ConfigurationError(f"the storage driver {text} is not supported by Moorage")
    return None


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of strings is needed")
    return tuple(value)


def _mapping(value: Any) -> dict[str, str]:
    """Return `{"name": "value"}` of daemon.json, or `["name=value"]` of the command line."""
    if isinstance(value, Mapping):
        return {str(key): _text(item) for key, item in value.items()}
    return {name: text for name, _, text in (str(item).partition("=") for item in value)}


def _cgroup_driver(value: Any) -> str:
    """Return the driver of `["native.cgroupdriver=..."]`, the only option there is."""
    driver = "cgroupfs"
    for text in _texts(value):
        name, _, driver = text.partition("=")
        if name.lower() != "native.cgroupdriver":
            raise ValueError(f"unknown option: '{name}'")
        if driver == "none":
            raise ValueError("native.cgroupdriver option none is internally used and cannot be specified manually")
        if driver not in {"cgroupfs", "systemd"}:
            raise ValueError(f"native.cgroupdriver option {driver} not supported")
    return driver


def _spec_dirs(value: Any) -> tuple[Path, ...]:
    """Return the directories of CDI specifications; one empty text is none."""
    return tuple(Path(text) for text in _texts(value) if text)


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


def _proxies(value: Any) -> dict[str, str]:
    """Return `{"http-proxy": ..., "https-proxy": ..., "no-proxy": ...}` by scheme."""
    unknown = sorted(value.keys() - {f"{scheme}-proxy" for scheme in _PROXY_SCHEMES})
    if unknown:
        raise ValueError(f"unknown proxy {unknown[0]}")
    return {name.removesuffix("-proxy"): str(text) for name, text in value.items() if text}


def _ulimits(value: Any) -> tuple[Ulimit, ...]:
    """Return `{"nofile": {"Name":..., "Soft":..., "Hard":...}}`, or `["nofile=soft[:hard]"]`."""
    if isinstance(value, Mapping):
        return tuple(
            Ulimit(
                name=_text(limit.get("Name", name)),
                soft=_number(limit.get("Soft", 0)),
                hard=_number(limit.get("Hard", 0)),
            )
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


def _network_options(value: Any) -> Mapping[str, Mapping[str, str]]:
    """Return `{"bridge": {option: value}}`, also from `["bridge=option=value"]`, by driver."""
    if isinstance(value, Mapping):
        return {
            str(driver): {str(key): _text(item) for key, item in options.items()} for driver, options in value.items()
        }
    found: dict[str, dict[str, str]] = {}
    for text in value:
        driver, option, written = str(text).split("=", 2)
        found.setdefault(driver, {})[option] = written
    return found


_FIELDS: Final[dict[str, tuple[str, Any]]] = {
    "data-root": ("data_root", _path),
    "exec-root": ("exec_root", _path),
    "pidfile": ("pidfile", _path),
    "group": ("group", _text),
    "debug": ("debug", _switch),
    "log-level": ("log_level", _text),
    "tls": ("tls", _switch),
    "tlsverify": ("tls_verify", _switch),
    "tlscacert": ("tls_ca", _path),
    "tlscert": ("tls_certificate", _path),
    "tlskey": ("tls_key", _path),
    "bridge": ("bridge", _text),
    "bip": ("bip", _text),
    "fixed-cidr": ("fixed_cidr", _text),
    "mtu": ("mtu", _number),
    "icc": ("icc", _switch),
    "ip-masq": ("ip_masquerade", _switch),
    "ipv6": ("ipv6", _switch),
    "ip": ("publish_address", _text),
    "default-address-pools": ("address_pools", _pools),
    "default-network-opts": ("network_options", _network_options),
    "dns": ("dns", _texts),
    "dns-search": ("dns_search", _texts),
    "dns-opts": ("dns_options", _texts),
    "host-gateway-ips": ("host_gateways", _texts),
    "default-runtime": ("default_runtime", _text),
    "runtimes": ("runtimes", read_runtimes),
    "registry-mirrors": ("registry_mirrors", _texts),
    "insecure-registries": ("insecure_registries", _texts),
    "signature-policy": ("signature_policy", _path),
    "signing": ("signing", read_signing_keys),
    "max-concurrent-downloads": ("max_concurrent_downloads", _number),
    "max-concurrent-uploads": ("max_concurrent_uploads", _number),
    "max-download-attempts": ("max_download_attempts", _number),
    "default-ulimits": ("ulimits", _ulimits),
    "storage-driver": ("storage_driver", _driver),
    "exec-opts": ("cgroup_driver", _cgroup_driver),
    "cgroup-parent": ("cgroup_parent", _text),
    "cpu-rt-period": ("cpu_rt_period", _number),
    "cpu-rt-runtime": ("cpu_rt_runtime", _number),
    "cdi-spec-dirs": ("cdi_spec_dirs", _spec_dirs),
    "init": ("init", _switch),
    "init-path": ("init_path", _text),
    "default-ipc-mode": ("default_ipc_mode", _one_of("private", "shareable")),
    "default-cgroupns-mode": ("default_cgroupns_mode", _one_of("private", "host")),
    "default-shm-size": ("default_shm_size", _size),
    "default-stop-timeout": ("default_stop_timeout", _number),
    "shutdown-timeout": ("shutdown_timeout", _number),
    "seccomp-profile": ("seccomp_profile", _text),
    "no-new-privileges": ("no_new_privileges", _switch),
    "userns-remap": ("userns_remap", _text),
    "selinux-enabled": ("selinux", _switch),
    "labels": ("labels", _texts),
    "min-api-version": ("minimum_api_version", _api_version),
    "experimental": ("experimental", _switch),
    "log-format": ("log_format", _one_of("text", "json")),
    "metrics-addr": ("metrics_address", _text),
    "proxies": ("proxies", _proxies),
    "ip-forward-no-drop": ("forward_guard", lambda value: not _switch(value)),
    "authorization-plugins": ("authorization_plugins", _texts),
    "image-gc": ("image_retention", read_retention),
    "host-gateway-ip": ("host_gateways", lambda value: (_text(value),)),
}
#: Every key that daemon.json may have.
KNOWN_KEYS: Final = frozenset(_FIELDS) | FIXED.keys() | {"features", "hosts", "log-driver", "log-opts"}
