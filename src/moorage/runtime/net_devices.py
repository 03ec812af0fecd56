"""Network devices of the host that a container takes over.

Spec: runtime-spec, config-linux.md "Network Devices".
"""

from __future__ import annotations

import socket

from moorage.netlink import address, link
from moorage.netlink.socket import NetlinkSocket
from moorage.runtime.errors import StartError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_LOOPBACK: Final = bytes(15) + b"\1"
_LINK_LOCAL: Final = 0xFE80
"""The first ten bits of such addresses, RFC 4291 section 2.5.6."""


def move_devices(devices: Mapping[str, Mapping[str, Any]], *, namespace_fd: int) -> None:
    """Move devices into a network namespace with their global addresses, and set them up.

    Raises:
        StartError: One is missing, or its name is taken.
    """
    with NetlinkSocket() as outside, NetlinkSocket(namespace_fd=namespace_fd) as inside:
        for name, settings in devices.items():
            try:
                _move(outside, inside, name, settings.get("name") or name, namespace_fd)
            except OSError as error:
                raise StartError(f"cannot move the network device {name}: {describe(error)}") from error


def _move(outside: NetlinkSocket, inside: NetlinkSocket, name: str, new_name: str, namespace_fd: int) -> None:
    index = link.get(outside, name=name).index
    kept = [text for owner, text in address.every(outside) if owner == index and _is_global(text)]
    before = {device.name for device in link.every(inside)}
    # The kernel makes a number of %d, and refuses a name that is taken.
    outside.send(link.move(index, namespace_fd=namespace_fd, name=new_name))
    (moved,) = [device for device in link.every(inside) if device.name not in before]
    inside.send(link.up(moved.index), *(address.add(moved.index, address=text) for text in kept))


def _is_global(text: str) -> bool:
    address = text.partition("/")[0]
    if ":" not in address:
        return not address.startswith(("127.", "169.254."))
    packed = socket.inet_pton(socket.AF_INET6, address)
    return packed != _LOOPBACK and int.from_bytes(packed[:2], "big") & 0xFFC0 != _LINK_LOCAL
