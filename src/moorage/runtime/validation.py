"""Refuse a specification that can never be carried out, before anything is touched.

Pure. An unknown property is ignored, as the specification demands; an unsupported value
of a known property is an error.

Spec: runtime-spec, config.md, config-linux.md, runtime.md "Errors".
"""

from __future__ import annotations

import re

from moorage.kernel import rlimits
from moorage.runtime.errors import InvalidSpecError
from moorage.runtime.options import PROPAGATION
from moorage.runtime.specification import entries, namespace_paths, section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

    from moorage.runtime.specification import Spec

NAMESPACE_TYPES: Final = frozenset({"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"})
HOOK_KINDS: Final = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
DEVICE_TYPES: Final = frozenset("cbup")
_VERSION = re.compile(r"1\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_CONTAINER_ID = re.compile(r"[A-Za-z0-9_+.-]+")
_IPC_SYSCTLS: Final = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)
_NAMESPACE_FOR_SYSCTL: Final = {"kernel.domainname": "uts", "kernel.hostname": "uts"}


def check_container_id(container_id: str) -> None:
    """Refuse an ID that could not be a file name.

    Raises:
        InvalidSpecError: It is empty, a dot name or holds other characters.
    """
    if container_id in {"", ".", ".."} or not _CONTAINER_ID.fullmatch(container_id):
        raise InvalidSpecError(f"invalid container ID format: {container_id}")


def check_spec(spec: Spec) -> None:
    """Refuse a specification that can never be carried out.

    Raises:
        InvalidSpecError: It names the property and the value.
    """
    version = str(spec.get("ociVersion", ""))
    if not _VERSION.fullmatch(version):
        raise InvalidSpecError(f"unsupported ociVersion {version!r}: expected 1.x.y")
    namespaces = _check_namespaces(spec)
    _check_identity(spec, namespaces)
    _check_mounts(spec)
    _check_linux(spec, namespaces)
    _check_sysctls(section(spec, "linux", "sysctl"), namespaces)
    _check_hooks(section(spec, "hooks"))
    if spec.get("process"):
        # Only who wants to start it needs one.
        check_process(spec["process"])


def check_process(process: Spec) -> None:
    """Refuse a process that can never be started.

    Raises:
        InvalidSpecError: It names the property and the value.
    """
    cwd = process.get("cwd") or ""
    if not cwd:
        raise InvalidSpecError("Cwd property must not be empty")
    if not cwd.startswith("/"):
        raise InvalidSpecError("Cwd must be an absolute path")
    if not process.get("args"):
        raise InvalidSpecError("args must not be empty")
    for variable in process.get("env") or ():
        if "\0" in variable:
            raise InvalidSpecError(f"environment variable holds a NUL byte: {variable!r}")
    _check_rlimits(process.get("rlimits") or ())


def _check_rlimits(limits: Iterable[Mapping[str, Any]]) -> None:
    seen = set()
    for limit in limits:
        kind = limit.get("type", "")
        if kind not in rlimits.NUMBERS:
            raise InvalidSpecError(f"invalid rlimit type: {kind}")
        if kind in seen:
            raise InvalidSpecError(f"duplicate rlimit type: {kind}")
        seen.add(kind)


def _check_namespaces(spec: Spec) -> dict[str, str]:
    listed = [str(entry.get("type", "")) for entry in entries(spec, "linux", "namespaces")]
    for kind in listed:
        if kind not in NAMESPACE_TYPES:
            raise InvalidSpecError(f"unknown namespace type {kind!r}")
    if len(set(listed)) != len(listed):
        raise InvalidSpecError(f"namespaces listed twice: {', '.join(listed)}")
    namespaces = namespace_paths(spec)
    linux = section(spec, "linux")
    if "mount" not in namespaces and (linux.get("maskedPaths") or linux.get("readonlyPaths")):
        raise InvalidSpecError("unable to restrict sys entries without a private MNT namespace")
    for kind, path in namespaces.items():
        if path and not path.startswith("/"):
            raise InvalidSpecError(f"namespace path must be absolute: {kind} {path!r}")
    return namespaces


def _check_identity(spec: Spec, namespaces: Mapping[str, str]) -> None:
    linux = section(spec, "linux")
    if not section(spec, "root").get("path"):
        raise InvalidSpecError("root.path must not be empty")
    if spec.get("hostname") and "uts" not in namespaces:
        raise InvalidSpecError("unable to set hostname without a private UTS namespace")
    if spec.get("domainname") and "uts" not in namespaces:
        raise InvalidSpecError("unable to set domainname without a private UTS namespace")
    if (linux.get("uidMappings") or linux.get("gidMappings")) and "user" not in namespaces:
        raise InvalidSpecError("user namespace mappings specified, but user namespace isn't enabled in the config")
    if namespaces.get("user") == "" and not (linux.get("uidMappings") and linux.get("gidMappings")):
        raise InvalidSpecError("a new user namespace needs uidMappings and gidMappings")
    if linux.get("timeOffsets") and namespaces.get("time", "/") != "":
        raise InvalidSpecError("time offsets specified, but no new time namespace in the config")
    if linux.get("netDevices") and "network" not in namespaces:
        raise InvalidSpecError("netDevices need a network namespace")


def _check_mounts(spec: Spec) -> None:
    for mount in entries(spec, "mounts"):
        if not mount.get("destination"):
            raise InvalidSpecError("a mount's destination must not be empty")
        words = mount.get("options") or ()
        mapped = bool(mount.get("uidMappings") or mount.get("gidMappings"))
        if mapped and not (mount.get("uidMappings") and mount.get("gidMappings")):
            raise InvalidSpecError(f"mount {mount['destination']}: uidMappings and gidMappings need each other")
        if mapped and "bind" not in words and "rbind" not in words:
            raise InvalidSpecError(f"mount {mount['destination']}: only a bind mount can have ID mappings")


def _check_linux(spec: Spec, namespaces: Mapping[str, str]) -> None:
    linux = section(spec, "linux")
    propagation = linux.get("rootfsPropagation") or ""
    if propagation and propagation not in PROPAGATION:
        raise InvalidSpecError(f"rootfsPropagation={propagation} is not supported")
    for device in entries(linux, "devices"):
        _check_device(device)
    _check_absolute("maskedPaths", entries(linux, "maskedPaths"))
    _check_absolute("readonlyPaths", entries(linux, "readonlyPaths"))
    domain = section(linux, "personality").get("domain") or "LINUX"
    if domain not in {"LINUX", "LINUX32"}:
        raise InvalidSpecError(f"unsupported personality domain {domain!r}")
    if section(linux, "personality").get("flags"):
        raise InvalidSpecError("personality flags are not supported")
    for clock in section(linux, "timeOffsets"):
        if clock not in {"monotonic", "boottime"}:
            raise InvalidSpecError(f"unknown clock {clock!r} in timeOffsets")


def _check_device(device: Mapping[str, Any]) -> None:
    path, kind = device.get("path") or "", device.get("type") or ""
    if not path.startswith("/"):
        raise InvalidSpecError(f"device path must be absolute: {path!r}")
    if kind not in DEVICE_TYPES:
        raise InvalidSpecError(f"device {path}: unknown type {kind!r}")
    if kind != "p" and (device.get("major") is None or device.get("minor") is None):
        raise InvalidSpecError(f"device {path}: major and minor are required for type {kind!r}")


def _check_absolute(name: str, paths: Iterable[str]) -> None:
    for path in paths:
        if not path.startswith("/"):
            raise InvalidSpecError(f"{name}: {path!r} is not an absolute path")


def _check_sysctls(sysctls: Mapping[str, str], namespaces: Mapping[str, str]) -> None:
    for name in sysctls:
        sysctl_path(name)
        key = _dotted(name)
        if key.startswith("net."):
            if "network" not in namespaces:
                raise InvalidSpecError(f'sysctl "{name}" not allowed in host network namespace')
        elif key in _IPC_SYSCTLS or key.startswith("fs.mqueue."):
            if "ipc" not in namespaces:
                raise InvalidSpecError(f'sysctl "{name}" is not allowed in the hosts ipc namespace')
        elif _NAMESPACE_FOR_SYSCTL.get(key) not in namespaces:
            raise InvalidSpecError(f'sysctl "{name}" is not in a separate kernel namespace')


def _dotted(name: str) -> str:
    # sysctl(8) takes either separator, and the first one met is the separator: a dot
    # after a first slash belongs to an interface's name.
    first = next((character for character in name if character in "./"), ".")
    return name if first == "." else name.replace(".", "\0").replace("/", ".").replace("\0", "/")


def sysctl_path(name: str) -> str:
    """Return the file of a sysctl below /proc/sys; both separators are understood.

    Raises:
        InvalidSpecError: The name leads elsewhere than its first words say: dots of one separator's form are
            slashes of the other's, so "net.//.kernel.x" would be net/../kernel/x.
    """
    path = _dotted(name).replace("/", "\0").replace(".", "/").replace("\0", ".")
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise InvalidSpecError(f'sysctl "{name}" is not the name of a kernel parameter')
    return path


def _check_hooks(hooks: Mapping[str, Any]) -> None:
    for kind in HOOK_KINDS:
        for hook in hooks.get(kind) or ():
            path = hook.get("path") or ""
            if not path.startswith("/"):
                raise InvalidSpecError(f"{kind} hook: path {path!r} is not absolute")
            timeout = hook.get("timeout")
            if timeout is not None and timeout <= 0:
                raise InvalidSpecError(f"{kind} hook {path}: timeout must be greater than zero")
