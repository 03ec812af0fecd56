"""Specifications of the Container Device Interface: what a vendor's device changes about a container.

Pure.

Spec: Container Device Interface, SPEC.md.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from moorage.errors import InvalidParameterError

_VERSIONS: Final = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_VENDOR: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_LONGEST_PATH: Final = 4096
HOOKS: Final = frozenset({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})


class InvalidSpecificationError(InvalidParameterError):
    """A file is no specification of devices."""


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A JSON or YAML object of a specification; an unknown key is a mistake."""


class DeviceNode(_Object, frozen=True):
    """A node in `/dev`; what is missing is as on the host."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None


class NetDevice(_Object, frozen=True):
    """An interface of the host that moves into the container."""

    host_interface_name: str
    name: str


class Mount(_Object, frozen=True):
    """A file or directory of the host."""

    host_path: str
    container_path: str
    options: list[str] | None = None
    type: str = ""


class Hook(_Object, frozen=True):
    """A program of the host to run at a moment of the container's life."""

    hook_name: str
    path: str
    args: list[str] | None = None
    env: list[str] | None = None
    timeout: int | None = None


class IntelRdt(_Object, frozen=True):
    """Shares of the processor's cache and memory bandwidth."""

    clos_id: str = msgspec.field(default="", name="closID")
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    schemata: list[str] | None = None
    enable_monitoring: bool = False


class ContainerEdits(_Object, frozen=True):
    """Changes to a container's configuration."""

    env: list[str] | None = None
    device_nodes: list[DeviceNode] | None = None
    net_devices: list[NetDevice] | None = None
    hooks: list[Hook] | None = None
    mounts: list[Mount] | None = None
    intel_rdt: IntelRdt | None = None
    additional_gids: list[int] | None = None


class Device(_Object, frozen=True):
    """One device of a kind."""

    name: str
    annotations: dict[str, str] | None = None
    container_edits: ContainerEdits = ContainerEdits()


class Specification(_Object, frozen=True):
    """The devices of one kind, and the edits that go with any of them."""

    cdi_version: str
    kind: str
    annotations: dict[str, str] | None = None
    devices: list[Device] | None = None
    container_edits: ContainerEdits = ContainerEdits()

    def edits(self) -> Iterator[ContainerEdits]:
        """Yield all edits in it."""
        yield self.container_edits
        for device in self.devices or ():
            yield device.container_edits


def parse_specification(text: bytes, *, yaml: bool) -> Specification:
    """Parse and check a specification.

    Raises:
        InvalidSpecificationError: It is not one; the message says why.
    """
    try:
        found = (
            msgspec.convert(_load_yaml(text), Specification) if yaml else msgspec.json.decode(text, type=Specification)
        )
    except msgspec.ValidationError as error:
        raise InvalidSpecificationError(f"failed to unmarshal CDI Spec: {error}") from None
    except msgspec.DecodeError as error:
        raise InvalidSpecificationError(f"failed to unmarshal CDI Spec: {error}") from None
    _check(found)
    return found


def _load_yaml(text: bytes) -> Any:
    # Of use on the few hosts that have such devices only.
    import yaml  # noqa: PLC0415

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSpecificationError(f"failed to unmarshal CDI Spec: {' '.join(str(error).split())}") from None


def _check(found: Specification) -> None:
    for problem in (*_own_problems(found), *(text for edits in found.edits() for text in _problems(edits))):
        raise InvalidSpecificationError(f"invalid CDI Spec: {problem}")


def _own_problems(found: Specification) -> Iterator[str]:
    version = found.cdi_version.removeprefix("v")
    if version not in _VERSIONS:
        yield f'invalid version "{found.cdi_version}"'
    elif _VERSIONS.index(version) < _VERSIONS.index(least := minimum_version(found)):
        yield f"the spec version must be at least v{least}"
    vendor, slash, device_class = found.kind.partition("/")
    if not (slash and _VENDOR.fullmatch(vendor) and _VENDOR.fullmatch(device_class)):
        yield f'invalid kind "{found.kind}"'
    if not found.devices:
        yield "invalid spec, no devices"
    yield from _device_problems(found.devices or ())


def _device_problems(devices: Sequence[Device]) -> Iterator[str]:
    names = [device.name for device in devices]
    for device in devices:
        if not _NAME.fullmatch(device.name):
            yield f'invalid device name "{device.name}"'
        if names.count(device.name) > 1:
            yield f'invalid spec, multiple device "{device.name}"'
        if device.container_edits == ContainerEdits():
            yield f'device "{device.name}": invalid device, empty device edits'


def minimum_version(found: Specification) -> str:
    """Return the version of the interface that has everything a specification uses."""
    uses = {
        "1.1.0": any(
            edits.net_devices or (edits.intel_rdt and (edits.intel_rdt.schemata or edits.intel_rdt.enable_monitoring))
            for edits in found.edits()
        ),
        "0.7.0": any(edits.intel_rdt or edits.additional_gids for edits in found.edits()),
        "0.6.0": bool(found.annotations)
        or any(device.annotations for device in found.devices or ())
        or "." in found.kind.partition("/")[2],
        "0.5.0": any(device.name[:1].isdecimal() for device in found.devices or ())
        or any(node.host_path for edits in found.edits() for node in edits.device_nodes or ()),
        "0.4.0": any(mount.type for edits in found.edits() for mount in edits.mounts or ()),
    }
    return next((version for version, used in uses.items() if used), "0.3.0")


def _problems(edits: ContainerEdits) -> Iterator[str]:
    yield from _variables(edits.env or ())
    for node in edits.device_nodes or ():
        yield from _node_problems(node)
    for hook in edits.hooks or ():
        yield from _hook_problems(hook)
    for mount in edits.mounts or ():
        if not mount.host_path or not mount.container_path:
            yield f"invalid mount, empty {'container' if mount.host_path else 'host'} path"
    if edits.intel_rdt:
        yield from _rdt_problems(edits.intel_rdt)
    yield from _interface_problems(edits.net_devices or ())


def _node_problems(node: DeviceNode) -> Iterator[str]:
    if not node.path:
        yield "invalid (empty) device path"
    if node.type not in {"", "b", "c", "u", "p"}:
        yield f'device "{node.path}": invalid type "{node.type}"'
    if not set(node.permissions) <= set("rwm"):
        yield f'device "{node.path}": invalid permissions "{node.permissions}"'


def _hook_problems(hook: Hook) -> Iterator[str]:
    if hook.hook_name not in HOOKS:
        yield f'invalid hook name "{hook.hook_name}"'
    if not hook.path:
        yield f'invalid hook "{hook.hook_name}" with empty path'
    yield from _variables(hook.env or ())


def _rdt_problems(rdt: IntelRdt) -> Iterator[str]:
    clos = rdt.clos_id
    if clos != "/" and (len(clos) >= _LONGEST_PATH or clos in {".", ".."} or "/" in clos or "\n" in clos):
        yield "invalid ClosID"


def _interface_problems(devices: Sequence[NetDevice]) -> Iterator[str]:
    for what, names in (
        ("HostInterfaceName", [device.host_interface_name for device in devices]),
        ("Name", [device.name for device in devices]),
    ):
        if not all(names):
            yield f"invalid linux net device, empty {what}"
        if len(set(names)) < len(names):
            yield f"invalid linux net device, duplicate {what}"


def _variables(env: Iterable[str]) -> Iterator[str]:
    for variable in env:
        if variable.find("=") <= 0:
            yield f'invalid environment variable "{variable}"'
