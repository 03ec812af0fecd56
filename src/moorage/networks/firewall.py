"""The firewall table as data: what it holds, and the messages that change it.

Pure: builds nf_tables messages; `firewall_table` sends them. Each function returns what
makes up one atomic change.

The table has fixed rules that look things up in sets and maps. So a published port or a
new network is an element, not a rule: adding it costs the same with one container and
with a thousand.

What happens to a packet, by chain:

- `guard`: drops what a container sends to 127.0.0.0/8. The bridges route these addresses
  (`route_localnet`), so that ports published on localhost can be translated; without
  this rule a container could reach services that listen on the host's localhost only.
- `prerouting` and `output`: what goes to an address of the host and to a published
  port gets the container's address and port as its destination.
- `forward`: to a container pass replies, published ports and the same network; from a
  container everything but what leaves an internal network.
- `postrouting`: containers go out under the host's address. So do those that come to a
  container of their own network by way of a published port, and the host's localhost:
  their answers would not find the way back through the translation.

A verdict "accept" here ends this table only: the rules of others, such as a FORWARD
policy of iptables, still apply to the packet.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from moorage.netlink import nft_expressions as expr
from moorage.netlink import nftables as nft
from moorage.netlink.codec import Message
from moorage.networks.models import PublishedPort

PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}

_BRIDGES: Final = "bridges"
_SAME_BRIDGE: Final = "same_bridge"
_INTERNAL: Final = "internal"
_SUBNETS4: Final = "subnets4"
_SUBNETS6: Final = "subnets6"
_MASQUERADED4: Final = "masqueraded4"
_MASQUERADED6: Final = "masqueraded6"
_PORTS4: Final = "ports4"
_PORTS6: Final = "ports6"
_ADDRESS_PORTS4: Final = "address_ports4"
_ADDRESS_PORTS6: Final = "address_ports6"

_INTERFACE: Final = (nft.TYPE_INTERFACE, 16)
_IPV4: Final = (nft.TYPE_IPV4, 4)
_IPV6: Final = (nft.TYPE_IPV6, 16)
_PROTOCOL: Final = (nft.TYPE_PROTOCOL, 1)
_PORT: Final = (nft.TYPE_PORT, 2)

_Fields = tuple[tuple[int, int], ...]
# Name -> (key, data, flags); the position is the set's ID in the batch that makes it.
_SETS: Final[dict[str, tuple[_Fields, _Fields, int]]] = {
    _BRIDGES: ((_INTERFACE,), (), 0),
    _SAME_BRIDGE: ((_INTERFACE, _INTERFACE), (), 0),
    _INTERNAL: ((_INTERFACE,), (), 0),
    _SUBNETS4: ((_IPV4,), (), nft.SET_INTERVAL),
    _SUBNETS6: ((_IPV6,), (), nft.SET_INTERVAL),
    _MASQUERADED4: ((_IPV4,), (), nft.SET_INTERVAL),
    _MASQUERADED6: ((_IPV6,), (), nft.SET_INTERVAL),
    _PORTS4: ((_PROTOCOL, _PORT), (_IPV4, _PORT), 0),
    _PORTS6: ((_PROTOCOL, _PORT), (_IPV6, _PORT), 0),
    _ADDRESS_PORTS4: ((_IPV4, _PROTOCOL, _PORT), (_IPV4, _PORT), 0),
    _ADDRESS_PORTS6: ((_IPV6, _PROTOCOL, _PORT), (_IPV6, _PORT), 0),
}
_SET_IDS: Final = {name: number for number, name in enumerate(_SETS, start=1)}

_NFPROTO_IPV4: Final = bytes((2,))
_NFPROTO_IPV6: Final = bytes((10,))
_PRIORITY_RAW: Final = -300
_PRIORITY_DESTINATION: Final = -100
_PRIORITY_FILTER: Final = 0
_PRIORITY_SOURCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredNetwork:
    """What the firewall knows of a network.

    Attributes:
        internal: Nothing leaves it, and nothing but itself comes in.
        masquerade: Its containers go out under the host's address.
    """

    bridge: str
    subnets: tuple[str, ...]
    internal: bool = False
    masquerade: bool = True


def table_of(bridge: str) -> nft.Table:
    """Return the table of the daemon whose default bridge has this name."""
    return nft.Table(nft.FAMILY_INET, "moorage" if bridge == "moorage0" else f"moorage-{bridge}")


def replace_all(
    table: nft.Table, *, networks: Iterable[FilteredNetwork], ports: Sequence[PublishedPort], forward_guard: bool
) -> list[Message]:
    """Return the change that makes the table hold exactly this, whatever it held before.

    Args:
        forward_guard: Drop what goes from one interface of the host to another, if
            neither is a bridge.
    """
    messages = [
        # Deleting fails if there is no table, adding does not if there is one.
        nft.add_table(table),
        nft.delete_table(table),
        nft.add_table(table),
        *(_set(table, name) for name in _SETS),
        *_chains(table),
        *_guard_rules(table),
        *_translation_rules(table),
        *_forward_rules(table, forward_guard=forward_guard),
        *_masquerade_rules(table),
    ]
    for network in networks:
        messages += add_network(table, network)
    return messages + publish(table, ports)


def remove_all(table: nft.Table) -> list[Message]:
    """Return the change that deletes the table, present or not."""
    return [nft.add_table(table), nft.delete_table(table)]


def add_network(table: nft.Table, network: FilteredNetwork) -> list[Message]:
    """Return the change that lets a network's packets pass."""
    return [
        nft.add_elements(table, name=name, elements=elements) for name, elements in _network_elements(network).items()
    ]


def remove_network(table: nft.Table, network: FilteredNetwork) -> list[Message]:
    """Return the change that forgets a network."""
    return [
        nft.delete_elements(table, name=name, elements=elements)
        for name, elements in _network_elements(network).items()
    ]


def publish(table: nft.Table, ports: Sequence[PublishedPort]) -> list[Message]:
    """Return the change that translates these ports; those only a proxy can serve are left out."""
    return [nft.add_elements(table, name=name, elements=elements) for name, elements in _port_elements(ports).items()]


def unpublish(table: nft.Table, ports: Sequence[PublishedPort]) -> list[Message]:
    """Return the change that translates these ports no longer."""
    return [
        nft.delete_elements(table, name=name, elements=elements) for name, elements in _port_elements(ports).items()
    ]


def _set(table: nft.Table, name: str) -> Message:
    key, data, flags = _SETS[name]
    return nft.add_set(table, name=name, set_id=_SET_IDS[name], key=key, data=data, flags=flags)


def _network_elements(network: FilteredNetwork) -> dict[str, list[nft.Element]]:
    name = nft.interface(network.bridge)
    elements = {_BRIDGES: [nft.Element(name)], _SAME_BRIDGE: [nft.Element(name + name)]}
    if network.internal:
        elements[_INTERNAL] = [nft.Element(name)]
    for subnet in network.subnets:
        parsed = ipaddress.ip_network(subnet)
        covered = nft.interval(parsed.network_address.packed, parsed.broadcast_address.packed)
        elements.setdefault(_SUBNETS4 if parsed.version == 4 else _SUBNETS6, []).extend(covered)
        if network.masquerade and not network.internal:
            elements.setdefault(_MASQUERADED4 if parsed.version == 4 else _MASQUERADED6, []).extend(covered)
    return elements


def _port_elements(ports: Iterable[PublishedPort]) -> dict[str, list[nft.Element]]:
    elements: dict[str, list[nft.Element]] = {}
    for port in ports:
        if not port.translated:
            continue
        target = ipaddress.ip_address(port.target_ip)
        host = ipaddress.ip_address(port.host_ip)
        key = nft.pad(bytes((PROTOCOLS[port.protocol],)), nft.port(port.host_port))
        data = nft.pad(target.packed, nft.port(port.target_port))
        if host.is_unspecified:
            name = _PORTS4 if host.version == 4 else _PORTS6
        else:
            name = _ADDRESS_PORTS4 if host.version == 4 else _ADDRESS_PORTS6
            key = host.packed + key
        elements.setdefault(name, []).append(nft.Element(key, data))
    return elements


def _chains(table: nft.Table) -> list[Message]:
    hooked = (
        ("guard", "filter", nft.HOOK_PREROUTING, _PRIORITY_RAW),
        ("prerouting", "nat", nft.HOOK_PREROUTING, _PRIORITY_DESTINATION),
        ("output", "nat", nft.HOOK_OUTPUT, _PRIORITY_DESTINATION),
        ("forward", "filter", nft.HOOK_FORWARD, _PRIORITY_FILTER),
        ("postrouting", "nat", nft.HOOK_POSTROUTING, _PRIORITY_SOURCE),
    )
    return [
        *(nft.add_chain(table, name=name) for name in ("published", "to_container", "from_container")),
        *(
            nft.add_hooked_chain(table, name=name, kind=kind, hook=hook, priority=priority)
            for name, kind, hook, priority in hooked
        ),
    ]


def _guard_rules(table: nft.Table) -> list[Message]:
    rule = (*_from_bridge(), *_to_localhost4(), expr.counter(), expr.verdict(nft.VERDICT_DROP))
    return [nft.add_rule(table, chain="guard", expressions=rule, comment="localhost is the host's own")]


def _translation_rules(table: nft.Table) -> list[Message]:
    goto = (*expr.destination_is_local(), expr.verdict(nft.VERDICT_GOTO, chain="published"))
    leave = expr.verdict(nft.VERDICT_RETURN)
    rules: list[tuple[str, tuple[bytes, ...], str]] = [
        # Packets of the host's own to localhost passed `output`; these came from outside.
        ("prerouting", (*_to_localhost4(), leave), "localhost from outside"),
        ("prerouting", goto, ""),
        # The kernel has no route_localnet for IPv6: here the shim's listener answers.
        ("output", (*_to_localhost6(), leave), "localhost of IPv6 is proxied"),
        ("output", goto, ""),
        ("published", _translation(_ADDRESS_PORTS4, version=4, by_address=True), ""),
        ("published", _translation(_PORTS4, version=4, by_address=False), ""),
        ("published", _translation(_ADDRESS_PORTS6, version=6, by_address=True), ""),
        ("published", _translation(_PORTS6, version=6, by_address=False), ""),
    ]
    return [
        nft.add_rule(table, chain=chain, expressions=expressions, comment=comment)
        for chain, expressions, comment in rules
    ]


def _translation(name: str, *, version: int, by_address: bool) -> tuple[bytes, ...]:
    words = 1 if version == 4 else 4
    after_address = expr.REGISTER + (words if by_address else 0)
    address = (_destination(version),) if by_address else ()
    return (
        *_family(version),
        *address,
        expr.meta(expr.META_PROTOCOL, register=after_address),
        expr.payload(base=expr.BASE_TRANSPORT, offset=2, length=2, register=after_address + 1),
        expr.map_lookup(name, set_id=_SET_IDS[name]),
        expr.translate_destination(family=2 if version == 4 else 10, address=expr.REGISTER, port=expr.REGISTER + words),
    )


def _forward_rules(table: nft.Table, *, forward_guard: bool) -> list[Message]:
    accept, drop = expr.verdict(nft.VERDICT_ACCEPT), expr.verdict(nft.VERDICT_DROP)
    is_bridge = expr.equal(nft.interface("bridge"))
    same_bridge = (
        expr.meta(expr.META_INPUT_NAME),
        expr.meta(expr.META_OUTPUT_NAME, register=expr.REGISTER + 4),
        _in(_SAME_BRIDGE),
    )
    from_internal = (expr.meta(expr.META_INPUT_NAME), _in(_INTERNAL))
    rules: list[tuple[str, tuple[bytes, ...], str]] = [
        ("forward", (*_to_bridge(), expr.verdict(nft.VERDICT_GOTO, chain="to_container")), ""),
        ("forward", (*_from_bridge(), expr.verdict(nft.VERDICT_GOTO, chain="from_container")), ""),
        ("to_container", (*_established(), accept), "replies"),
        ("to_container", (*same_bridge, accept), "the same network"),
        ("to_container", (*from_internal, expr.counter(), drop), "out of an internal network"),
        ("to_container", (*_translated(), accept), "published ports"),
        ("to_container", (expr.counter(), drop), "not published"),
        ("from_container", (*_established(), accept), "replies"),
        ("from_container", (*from_internal, expr.counter(), drop), "out of an internal network"),
    ]
    if forward_guard:
        # A device without a kind (a physical one) ends a rule that asks for its kind, so
        # the rules name those who pass.
        rules += [
            ("forward", (expr.meta(expr.META_INPUT_KIND), is_bridge, accept), ""),
            ("forward", (expr.meta(expr.META_OUTPUT_KIND), is_bridge, accept), ""),
            ("forward", (expr.counter(), drop), "the host routes for bridges only"),
        ]
    return [
        nft.add_rule(table, chain=chain, expressions=expressions, comment=comment)
        for chain, expressions, comment in rules
    ]


def _masquerade_rules(table: nft.Table) -> list[Message]:
    rules: list[tuple[tuple[bytes, ...], str]] = []
    for version, subnets, masqueraded in ((4, _SUBNETS4, _MASQUERADED4), (6, _SUBNETS6, _MASQUERADED6)):
        from_any = (*_family(version), _source(version), _in(subnets))
        from_masqueraded = (*_family(version), _source(version), _in(masqueraded))
        rules += [
            ((*_translated(), *from_any, *_to_bridge(), expr.masquerade()), "back to its own network"),
            ((*from_masqueraded, *_not_to_bridge(), expr.masquerade()), "out under the host's address"),
        ]
    localhost = (*_family(4), _source(4), *_localhost4())
    rules.append(((*localhost, *_to_bridge(), expr.masquerade()), "the host's localhost"))
    return [
        nft.add_rule(table, chain="postrouting", expressions=expressions, comment=comment)
        for expressions, comment in rules
    ]


def _in(name: str, *, inverted: bool = False) -> bytes:
    return expr.in_set(name, set_id=_SET_IDS[name], inverted=inverted)


def _from_bridge() -> tuple[bytes, ...]:
    return expr.meta(expr.META_INPUT_NAME), _in(_BRIDGES)


def _to_bridge() -> tuple[bytes, ...]:
    return expr.meta(expr.META_OUTPUT_NAME), _in(_BRIDGES)


def _not_to_bridge() -> tuple[bytes, ...]:
    return expr.meta(expr.META_OUTPUT_NAME), _in(_BRIDGES, inverted=True)


def _family(version: int) -> tuple[bytes, ...]:
    return expr.meta(expr.META_FAMILY), expr.equal(_NFPROTO_IPV4 if version == 4 else _NFPROTO_IPV6)


def _source(version: int) -> bytes:
    offset, length = (12, 4) if version == 4 else (8, 16)
    return expr.payload(base=expr.BASE_NETWORK, offset=offset, length=length)


def _destination(version: int) -> bytes:
    offset, length = (16, 4) if version == 4 else (24, 16)
    return expr.payload(base=expr.BASE_NETWORK, offset=offset, length=length)


def _localhost4() -> tuple[bytes, ...]:
    return expr.mask(bytes((255, 0, 0, 0))), expr.equal(bytes((127, 0, 0, 0)))


def _to_localhost4() -> tuple[bytes, ...]:
    return (*_family(4), _destination(4), *_localhost4())


def _to_localhost6() -> tuple[bytes, ...]:
    return (*_family(6), _destination(6), expr.equal(ipaddress.IPv6Address("::1").packed))


def _established() -> tuple[bytes, ...]:
    states = expr.bits(expr.STATE_ESTABLISHED | expr.STATE_RELATED)
    return expr.conntrack(expr.CT_STATE), expr.mask(states), expr.unequal(expr.bits(0))


def _translated() -> tuple[bytes, ...]:
    status = expr.bits(expr.STATUS_DESTINATION_TRANSLATED)
    return expr.conntrack(expr.CT_STATUS), expr.mask(status), expr.unequal(expr.bits(0))
