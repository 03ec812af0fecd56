"""What a request means in the version of the API that its client speaks.

Fields that a version does not have yet are ignored or refused, defaults are those of its
time, and what later versions moved elsewhere is moved.

Spec: Engine API, version history.
"""

import dataclasses
from typing import Final

import msgspec

from moorage.api.containers import ContainerCreateRequest, HealthConfig
from moorage.api.host_config import HostConfig, PortBinding, PortMap, UpdateRequest
from moorage.api.mounts import BindOptions, Mount
from moorage.api.networks import EndpointSettings, NetworkingConfig
from moorage.api.versions import Version
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.validation import DEVICE_LIMITS
from moorage.engine.containers.errors import RequestRefusedError

_AUTO_REMOVE: Final = Version(1, 25)
_PRIVATE_IPC: Final = Version(1, 40)
_PIDS_UPDATE: Final = Version(1, 40)
_DEVICE_LIMITS_UPDATE: Final = Version(1, 55)
_CGROUP_NAMESPACES: Final = Version(1, 41)
_CHECKED_MOUNT_OPTIONS: Final = Version(1, 42)
_CONSOLE_SIZE: Final = Version(1, 42)
_ANNOTATIONS: Final = Version(1, 43)
_START_INTERVAL: Final = Version(1, 44)
_RECURSIVE_READ_ONLY: Final = Version(1, 44)
_SEVERAL_NETWORKS: Final = Version(1, 44)
_ENDPOINT_MAC: Final = Version(1, 44)
_SUBPATH: Final = Version(1, 45)
_GATEWAY_PRIORITY: Final = Version(1, 48)
_IMAGE_MOUNTS: Final = Version(1, 48)
_VOLUME_DRIVER_WARNING: Final = Version(1, 48)
_WITHOUT_CONTAINER_MAC: Final = Version(1, 52)
_EMPTY_PORT_WARNING: Final = Version(1, 52)

_OPTIONS_OF: Final = (
    ("VolumeOptions", "volume_options", "volume"),
    ("BindOptions", "bind_options", "bind"),
    ("TmpfsOptions", "tmpfs_options", "tmpfs"),
)
_MAC_DEPRECATED: Final = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)
_DRIVER_IGNORED: Final = (
    "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. "
    "Use '--mount type=volume,volume-driver=...' instead"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedCreation:
    """A creation request in today's terms, and what its sender should hear.

    Attributes:
        recursive_read_only: Whether `Binds` that are read-only are so all the way down; `Mounts` say it themselves.
    """

    request: ContainerCreateRequest
    warnings: tuple[str, ...] = ()
    recursive_read_only: bool = True


def adapt_creation(request: ContainerCreateRequest, version: Version) -> AdaptedCreation:
    """Return a creation request as a client of this version means it.

    Raises:
        RequestRefusedError: The client asks for what its version does not have.
    """
    host = request.host_config or HostConfig()
    endpoints = dict((request.networking_config and request.networking_config.endpoints_config) or {})
    if len(endpoints) > 1 and version < _SEVERAL_NETWORKS:
        raise RequestRefusedError(
            f"Container cannot be created with multiple network endpoints: {', '.join(sorted(endpoints))}"
        )
    endpoints, warnings = _with_mac(request, endpoints, version)
    if version < _GATEWAY_PRIORITY:
        endpoints = {
            name: settings and msgspec.structs.replace(settings, gw_priority=0) for name, settings in endpoints.items()
        }
    host, more = _host_config(host, version)
    adapted = msgspec.structs.replace(
        request,
        mac_address="",
        host_config=host,
        networking_config=NetworkingConfig(endpoints_config=endpoints) if endpoints else request.networking_config,
        healthcheck=_health(request.healthcheck, version),
    )
    return AdaptedCreation(
        request=adapted, warnings=(*warnings, *more), recursive_read_only=version >= _RECURSIVE_READ_ONLY
    )


def adapt_update(request: UpdateRequest, version: Version) -> UpdateRequest:
    """Return an update as a client of this version means it."""
    unknown: dict[str, object] = {}
    if version < _PIDS_UPDATE:
        unknown["pids_limit"] = None
    if version < _DEVICE_LIMITS_UPDATE:
        unknown |= dict.fromkeys(DEVICE_LIMITS)
    return msgspec.structs.replace(request, **unknown) if unknown else request


def _host_config(host: HostConfig, version: Version) -> tuple[HostConfig, list[str]]:
    changes: dict[str, object] = {}
    if version < _AUTO_REMOVE:
        # These clients remove the container themselves.
        changes["auto_remove"] = False
    if version < _CONSOLE_SIZE:
        changes["console_size"] = (0, 0)
    if version < _CGROUP_NAMESPACES and not host.cgroupns_mode:
        changes["cgroupns_mode"] = "host"
    if version < _PRIVATE_IPC and not host.ipc_mode:
        changes["ipc_mode"] = "shareable"
    if version < _ANNOTATIONS and host.annotations:
        changes["annotations"] = {}
    if host.mounts:
        changes["mounts"] = [_mount(mount, version) for mount in host.mounts]
    ports, warnings = _port_bindings(host, version)
    changes["port_bindings"] = ports
    if version >= _VOLUME_DRIVER_WARNING and host.volume_driver and any(_takes_driver(mount) for mount in host.mounts):
        warnings.append(_DRIVER_IGNORED)
    return msgspec.structs.replace(host, **changes), warnings


def _health(health: HealthConfig | None, version: Version) -> HealthConfig | None:
    if health is None or version >= _START_INTERVAL:
        return health
    return msgspec.structs.replace(health, start_interval=0)


def _mount(mount: Mount, version: Version) -> Mount:
    mount = _with_checked_options(mount, version)
    options = mount.bind_options
    if mount.type == "bind" and version < _RECURSIVE_READ_ONLY:
        if options and options.read_only_force_recursive:
            raise RequestRefusedError("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
        if mount.read_only:
            options = msgspec.structs.replace(options or BindOptions(), read_only_non_recursive=True)
            mount = msgspec.structs.replace(mount, bind_options=options)
    if version < _SUBPATH and mount.volume_options and mount.volume_options.subpath:
        raise RequestRefusedError("VolumeOptions.Subpath needs API v1.45 or newer")
    if version < _IMAGE_MOUNTS and mount.type == "image":
        raise RequestRefusedError('Mount type "Image" needs API v1.48 or newer')
    return mount


def _with_checked_options(mount: Mount, version: Version) -> Mount:
    """Refuse options of another type of mount, which versions before 1.42 passed over."""
    foreign = [
        (name, attribute)
        for name, attribute, kind in _OPTIONS_OF
        if getattr(mount, attribute) is not None and mount.type != kind
    ]
    if version >= _CHECKED_MOUNT_OPTIONS:
        for name, _ in foreign:
            raise RequestRefusedError(f'{name} must not be specified on mount type "{mount.type}"')
        return mount
    # Those of a bind are refused later: no version passed over them.
    changes: dict[str, object] = {attribute: None for name, attribute in foreign if name != "BindOptions"}
    if mount.type == "bind" and mount.bind_options is not None:
        changes["bind_options"] = msgspec.structs.replace(mount.bind_options, create_mountpoint=False)
    return msgspec.structs.replace(mount, **changes)


def _takes_driver(mount: Mount) -> bool:
    options = mount.volume_options
    return mount.type == "volume" and not (options and options.driver_config and options.driver_config.name)


def _port_bindings(host: HostConfig, version: Version) -> tuple[PortMap | None, list[str]]:
    """Publish ports that come with an empty list anywhere, as Docker still does."""
    bindings = host.port_bindings
    empty = sorted(port for port, hosts in (bindings or {}).items() if not hosts)
    if bindings is None or not empty:
        return bindings, []
    filled: PortMap = {port: hosts or [PortBinding()] for port, hosts in bindings.items()}
    warning = (
        f"Following container port(s) have an empty list of port-bindings: {', '.join(empty)}. "
        "Such bindings will be discarded in a future version."
    )
    return filled, [] if version < _EMPTY_PORT_WARNING else [warning]


_Endpoints = dict[str, EndpointSettings | None]


def _with_mac(request: ContainerCreateRequest, endpoints: _Endpoints, version: Version) -> tuple[_Endpoints, list[str]]:
    """Give the container-wide address of older clients to the endpoint of the network mode."""
    mac = request.mac_address
    if version < _ENDPOINT_MAC and not mac:
        # What that version did not have yet, its engine did not look at.
        return {name: one and msgspec.structs.replace(one, mac_address="") for name, one in endpoints.items()}, []
    if not mac:
        return endpoints, []
    if version >= _WITHOUT_CONTAINER_MAC:
        raise RequestRefusedError(
            "container-wide MAC address no longer supported; use endpoint-specific MAC address instead"
        )
    mode = (request.host_config or HostConfig()).network_mode
    addressable = mode not in {"host", "none"} and joined_container(mode) is None
    if version < _ENDPOINT_MAC and not addressable:
        raise RequestRefusedError("conflicting options: mac-address and the network mode")
    warnings = [] if version < _ENDPOINT_MAC else [_MAC_DEPRECATED]
    if not addressable:
        return endpoints, warnings
    name = mode if mode in endpoints or not endpoints else next(iter(endpoints))
    settings = endpoints.get(name) or EndpointSettings()
    if version >= _ENDPOINT_MAC and settings.mac_address not in {"", mac}:
        raise RequestRefusedError(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
            "or be left empty"
        )
    return {**endpoints, name or "default": msgspec.structs.replace(settings, mac_address=mac)}, warnings
