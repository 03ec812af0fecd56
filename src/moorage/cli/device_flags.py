"""The flags of ``run`` and ``create`` that give devices: ``--device`` and ``--gpus``.

Pure.
"""

import csv
from collections.abc import Iterable
from typing import Final

from moorage.api.host_config import DeviceMapping, DeviceRequest
from moorage.cli.environment import pairs
from moorage.cli.flag_checks import FlagError
from moorage.cli.grammar import FlagValueError

_GPU_FIELDS: Final = frozenset({"count", "device", "driver", "capabilities", "options"})
_ACCESS: Final = frozenset("rwm")


def devices(texts: Iterable[str]) -> list[DeviceMapping]:
    """Return the devices given by path: ``/dev/a[:/dev/b][:rwm]``.

    Raises:
        FlagError: A text is of another form.
    """
    return [_device(text) for text in texts if not _is_described(text)]


def device_requests(texts: Iterable[str], gpus: str) -> list[DeviceRequest] | None:
    """Return the devices given by their vendor's name, ``vendor.com/class=name``, and the GPUs.

    Raises:
        FlagValueError: The GPUs are not well described.
    """
    requests = _gpus(gpus)
    if described := [text for text in texts if _is_described(text)]:
        requests.append(DeviceRequest(driver="cdi", device_ids=described))
    return requests or None


def _is_described(text: str) -> bool:
    kind, separator, name = text.partition("=")
    return bool(separator and name) and not text.startswith("/") and kind.count("/") == 1


def _device(text: str) -> DeviceMapping:
    parts = text.split(":")
    host, inside, access = parts[0], parts[0], "rwm"
    if len(parts) > 3 or not host:
        raise FlagError(f"bad format for path: {text}")
    if len(parts) == 2 and parts[1] and set(parts[1]) <= _ACCESS:
        access = parts[1]
    elif len(parts) >= 2:
        inside = parts[1]
    if len(parts) == 3:
        access = parts[2]
    if not access or not set(access) <= _ACCESS:
        raise FlagError(f"bad mode specified: {access}")
    for path in (inside, host):
        if not path.startswith("/"):
            raise FlagError(f"{path} is not an absolute path")
    return DeviceMapping(path_on_host=host, path_in_container=inside, cgroup_permissions=access)


def _gpus(text: str) -> list[DeviceRequest]:
    """Return the request that ``--gpus`` means: ``all``, a count, or fields such as ``"device=0,1",driver=x``."""
    if not text:
        return []
    fields: dict[str, str] = {}
    for part in next(csv.reader([text])):
        key, separator, value = part.partition("=")
        if not separator:
            key, value = "count", part
        if key not in _GPU_FIELDS:
            raise FlagValueError(text, f"unexpected key '{key}' in '{part}'", flag="--gpus")
        if key in fields:
            raise FlagValueError(text, f"gpu request key '{key}' can be specified only once", flag="--gpus")
        fields[key] = value
    capabilities = [name for name in fields.get("capabilities", "").split(",") if name and name != "gpu"]
    return [
        DeviceRequest(
            driver=fields.get("driver", ""),
            count=_count(text, fields),
            device_ids=fields["device"].split(",") if "device" in fields else None,
            capabilities=[[*capabilities, "gpu"]],
            options=pairs(fields["options"].split(",")) if "options" in fields else {},
        )
    ]


def _count(text: str, fields: dict[str, str]) -> int:
    count = fields.get("count", "0" if "device" in fields else "1")
    if count == "all":
        return -1
    if not count.removeprefix("-").isdecimal():
        reason = f'invalid count ({count}): value must be either "all" or an integer: invalid syntax'
        raise FlagValueError(text, reason, flag="--gpus")
    return int(count)
