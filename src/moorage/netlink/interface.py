"""A sandbox's network interfaces: from the plans in launch.json to veth pairs that work.

A plan is a dictionary:

    {"host": "veth3f9c0a1", "name": "eth0", "mac": "02:…", "mtu": 1500,
     "bridge": "moorage0", "isolated": false, "hairpin": false,
     "addresses": ["172.17.0.2/16"], "gateways": ["172.17.0.1"],
     "routes": [{"to": "10.0.0.0/8", "via": "172.17.0.1"}],
     "existing": false}

With "existing" the interface is there already, and only gets what else is named.

Only a process with one thread may call this: it enters the sandbox's namespace for a
moment. Nothing needs to be deleted later: a veth dies with its namespace.
"""

from __future__ import annotations

import errno
import os
import socket
import time

from moorage.netlink import address, link, neighbour, route
from moorage.netlink.socket import NetlinkSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from moorage.netlink.codec import Message

_PATIENCE: Final = 0.1
"""Seconds to wait for a device that is up to pass packets; it takes a few milliseconds at most."""


def connect(plans: Sequence[Mapping[str, Any]], *, namespace_fd: int, loopback: bool = True) -> None:
    """Create every plan's veth with its peer in the namespace, and configure the inside.

    Args:
        namespace_fd: The network namespace's file; it stays the caller's.
        loopback: Bring the namespace's loopback device up too.

    Raises:
        OSError: The kernel refused a step; no device of these plans is left.
    """
    created: list[str] = []
    new = [plan for plan in plans if not plan.get("existing")]
    with NetlinkSocket() as outside:
        try:
            for plan in new:
                _create(outside, plan, namespace_fd=namespace_fd, created=created)
            if plans or loopback:
                with NetlinkSocket(namespace_fd=namespace_fd) as inside:
                    _configure(inside, plans, loopback=loopback)
                    _wait_operational(outside, inside, new)
        except OSError:
            for name in created:
                _delete_if_there(outside, name)
            raise


def disconnect(name: str, *, namespace_fd: int) -> None:
    """Delete the interface `name` of the namespace, and with it its end on the host.

    Raises:
        OSError: ENODEV: there is none.
    """
    with NetlinkSocket(namespace_fd=namespace_fd) as inside:
        inside.send(link.delete(name))


def inside_messages(plan: Mapping[str, Any], *, index: int, ipv6: bool) -> list[Message]:
    """Return what configures a plan's interface once it is in its namespace.

    Args:
        index: The interface's index there.
        ipv6: Whether this kernel has IPv6 at all.
    """
    wants_ipv6 = any(":" in one for one in plan["addresses"])
    # Without IPv6 in the kernel, or on this device, there is nothing to turn off either.
    may_have_ipv6 = ipv6 and plan["mtu"] >= link.IPV6_MINIMUM_MTU
    first = [] if plan.get("existing") else [link.announce(index, ipv6=wants_ipv6 or not may_have_ipv6)]
    return [
        *first,
        *(address.add(index, address=one) for one in plan["addresses"]),
        link.up(index),
        *(route.add(index, gateway=one) for one in plan.get("gateways", ())),
        *(route.add(index, gateway=one.get("via") or "", destination=one["to"]) for one in plan.get("routes", ())),
    ]


def _index_of(bridge: str) -> int:
    try:
        return socket.if_nametoindex(bridge)
    except OSError as error:
        # The call itself says nothing but "no interface with this name".
        raise OSError(errno.ENODEV, f"{os.strerror(errno.ENODEV)} (bridge {bridge})") from error


def _create(outside: NetlinkSocket, plan: Mapping[str, Any], *, namespace_fd: int, created: list[str]) -> None:
    name, bridge = plan["host"], _index_of(plan["bridge"])
    pair = link.veth(
        name, peer=plan["name"], namespace_fd=namespace_fd, master=bridge, mtu=plan["mtu"], mac=plan["mac"]
    )
    # The host may still know this address by the MAC of the container that had it before.
    known = (neighbour.replace(bridge, address=one, mac=plan["mac"]) for one in plan["addresses"])
    created.append(name)
    try:
        outside.send(pair, *known)
    except FileExistsError:
        # Somebody else's device: it must not be deleted by whoever cleans up.
        created.pop()
        raise
    if plan.get("isolated") or plan.get("hairpin"):
        outside.send(_port(plan))


def _port(plan: Mapping[str, Any]) -> Message:
    index = socket.if_nametoindex(plan["host"])
    return link.bridge_port(index, isolated=bool(plan.get("isolated")), hairpin=bool(plan.get("hairpin")))


def _configure(inside: NetlinkSocket, plans: Sequence[Mapping[str, Any]], *, loopback: bool) -> None:
    messages = [link.up(link.LOOPBACK_INDEX)] if loopback else []
    has_ipv6 = os.access("/proc/sys/net/ipv6", os.F_OK)
    for plan in plans:
        index = link.get(inside, name=plan["name"]).index
        messages += inside_messages(plan, index=index, ipv6=has_ipv6)
    inside.send(*messages)


def _wait_operational(outside: NetlinkSocket, inside: NetlinkSocket, plans: Sequence[Mapping[str, Any]]) -> None:
    """Return when the devices pass packets.

    Else the first ones of a program that starts at once are lost: a question to a name
    server would be repeated after five seconds, a connection after one.
    """
    waiting = [(outside, plan["host"]) for plan in plans] + [(outside, plan["bridge"]) for plan in plans]
    # IPv4 works inside as soon as the other end does; IPv6 looks at the device's state.
    waiting += [(inside, plan["name"]) for plan in plans if any(":" in one for one in plan["addresses"])]
    until = time.monotonic() + _PATIENCE
    for netlink, name in waiting:
        while not link.is_operational(netlink, name=name) and time.monotonic() < until:
            time.sleep(0.0005)


def _delete_if_there(outside: NetlinkSocket, name: str) -> None:
    try:
        outside.send(link.delete(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
