"""Runtimes that a user configures beside the native one.

Spec: dockerd(8), "Configure runtimes using daemon.json".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NATIVE_RUNTIME: Final = "moorage"
NATIVE_ALIAS: Final = "runc"
"""Clients ask for Docker's default runtime by this name; it means the native one, unless configured otherwise."""

_KEYS: Final = frozenset({"path", "runtimeArgs", "runtimeType", "options"})
# containerd's name for what runs a program with runc's command line.
_RUNC_TYPES: Final = frozenset({"io.containerd.runc.v1", "io.containerd.runc.v2"})
_RUNC_PROGRAM: Final = "runc"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProgram:
    """Another OCI runtime: its program, and arguments before the sub-command."""

    path: str
    arguments: tuple[str, ...] = ()


def read_runtimes(value: Any) -> dict[str, RuntimeProgram]:
    """Return the runtimes of daemon.json, or of `["name=path"]`, by name.

    Raises:
        ValueError: One can't be used.
    """
    found = _from_file(value) if isinstance(value, Mapping) else _from_flags(value)
    if NATIVE_RUNTIME in found:
        raise ValueError(f"runtime name '{NATIVE_RUNTIME}' is reserved")
    return found


def _from_flags(texts: Any) -> dict[str, RuntimeProgram]:
    found: dict[str, RuntimeProgram] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not path:
            raise ValueError(f"invalid runtime option: {text}: use name=path")
        if name in found:
            raise ValueError(f"runtime '{name}' was already registered")
        found[name] = RuntimeProgram(path=path)
    return found


def _from_file(settings: Mapping[str, Any]) -> dict[str, RuntimeProgram]:
    found: dict[str, RuntimeProgram] = {}
    for name, runtime in settings.items():
        if not isinstance(runtime, Mapping):
            raise ValueError(f"runtime {name} is no object")  # noqa: TRY004 - every wrong value is one kind here
        try:
            found[name] = _program(runtime)
        except ValueError as error:
            raise ValueError(f"runtime {name}: {error}") from None
    return found


def _program(runtime: Mapping[str, Any]) -> RuntimeProgram:
    if unknown := sorted(runtime.keys() - _KEYS):
        raise ValueError(f"unknown setting {unknown[0]}")
    path, kind, options = runtime.get("path") or "", runtime.get("runtimeType") or "", runtime.get("options") or {}
    arguments = _arguments(runtime.get("runtimeArgs") or [])
    if not path and not kind:
        raise ValueError("either a runtimeType or a path must be configured")
    if not path:
        return _by_type(kind, options, arguments)
    if kind:
        raise ValueError("cannot configure both path and runtimeType for the same runtime")
    if options:
        raise ValueError("options cannot be used with a path runtime")
    return RuntimeProgram(path=path, arguments=arguments)


def _by_type(kind: str, options: Any, arguments: tuple[str, ...]) -> RuntimeProgram:
    if kind not in _RUNC_TYPES:
        raise ValueError(f"the runtimeType {kind} is not supported by Moorage: give a program with runc's command line")
    if arguments:
        raise ValueError("runtimeArgs cannot be used with a runtimeType")
    if not isinstance(options, Mapping):
        raise ValueError("options are no object")  # noqa: TRY004 - every wrong value is one kind here
    if unknown := sorted(options.keys() - {"BinaryName", "Root"}):
        raise ValueError(f"the option {unknown[0]} is not supported by Moorage")
    root = ("--root", str(options["Root"])) if options.get("Root") else ()
    return RuntimeProgram(path=str(options.get("BinaryName") or _RUNC_PROGRAM), arguments=root)


def _arguments(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("runtimeArgs must be a list of strings")
    return tuple(value)
