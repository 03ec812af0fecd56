"""The syntax of ``--mount``: comma-separated ``key=value`` fields.

Pure.
"""

import csv
from typing import Any, Final

from moorage.api.mounts import BindOptions, Mount, TmpfsOptions, VolumeDriverConfig, VolumeOptions
from moorage.cli.quantities import parse_bytes
from moorage.errors import InvalidParameterError

_TRUE: Final = frozenset({"", "1", "t", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "false", "FALSE", "False"})
_ALIASES: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_BIND: Final = frozenset({"bind-propagation", "bind-nonrecursive", "bind-recursive"})
_VOLUME: Final = frozenset({"volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath"})
_TMPFS: Final = frozenset({"tmpfs-size", "tmpfs-mode"})


class MountSyntaxError(InvalidParameterError):
    """A ``--mount`` value can't be understood."""


def parse_mount(text: str) -> Mount:
    """Parse one ``--mount`` value.

    Raises:
        MountSyntaxError: In Docker's words.
    """
    fields = _fields(text)
    kind = fields.pop("type", ["volume"])[-1]
    if not fields.get("target"):
        raise MountSyntaxError("target is required")
    known: dict[str, Any] = {
        "type": kind,
        "source": fields.pop("source", [""])[-1],
        "target": fields.pop("target")[-1],
        "read_only": _boolean("readonly", fields.pop("readonly", ["false"])[-1]),
        "consistency": fields.pop("consistency", [""])[-1],
    }
    groups = {"bind": _BIND, "volume": _VOLUME, "tmpfs": _TMPFS}
    for name in fields:
        owner = next((owner for owner, names in groups.items() if name in names), None)
        if owner is None:
            raise MountSyntaxError(f"unexpected key '{name}' in '{name}={fields[name][-1]}'")
        if owner != kind:
            raise MountSyntaxError(f"cannot mix '{owner}-*' options with mount type '{kind}'")
    if fields:
        known[f"{kind}_options"] = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs}[kind](fields)
    return Mount(**known)


def _fields(text: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for field in next(csv.reader([text])) if text else []:
        name, separator, value = field.partition("=")
        name = _ALIASES.get(name.lower(), name.lower())
        if not separator and name not in {"readonly", "volume-nocopy", "bind-nonrecursive"}:
            raise MountSyntaxError(f"invalid field '{field}' must be a key=value pair")
        fields.setdefault(name, []).append(value)
    return fields


def _boolean(name: str, value: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise MountSyntaxError(f"invalid value for {name}: {value}")
    return value in _TRUE


def _bind(fields: dict[str, list[str]]) -> BindOptions:
    recursive = fields.get("bind-recursive", ["enabled"])[-1]
    if recursive not in {"enabled", "disabled", "writable", "readonly"}:
        raise MountSyntaxError(
            f"invalid value for bind-recursive: {recursive} (must be 'enabled', 'disabled', 'writable', or 'readonly')"
        )
    plain = _boolean("bind-nonrecursive", fields["bind-nonrecursive"][-1]) if "bind-nonrecursive" in fields else False
    return BindOptions(
        propagation=fields.get("bind-propagation", [""])[-1].lower(),
        non_recursive=plain or recursive == "disabled",
        read_only_non_recursive=recursive == "writable",
        read_only_force_recursive=recursive == "readonly",
    )


def _volume(fields: dict[str, list[str]]) -> VolumeOptions:
    options = _pairs(fields.get("volume-opt", []))
    name = fields.get("volume-driver", [""])[-1]
    return VolumeOptions(
        no_copy=_boolean("volume-nocopy", fields["volume-nocopy"][-1]) if "volume-nocopy" in fields else False,
        labels=_pairs(fields.get("volume-label", [])),
        subpath=fields.get("volume-subpath", [""])[-1],
        driver_config=VolumeDriverConfig(name=name, options=options) if name or options else None,
    )


def _pairs(texts: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _tmpfs(fields: dict[str, list[str]]) -> TmpfsOptions:
    try:
        size = parse_bytes(fields.get("tmpfs-size", ["0"])[-1])
        mode = int(fields.get("tmpfs-mode", ["0"])[-1], 8)
    except ValueError as error:
        raise MountSyntaxError(f"invalid value for tmpfs: {error}") from None
    return TmpfsOptions(size_bytes=size, mode=mode)
