"""What users ask for when they attach a container: reading it, and refusing what cannot be."""

import dataclasses
import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final

from moorage.api.networks import EndpointSettings
from moorage.netlink.link import mac_bytes
from moorage.networks.errors import InvalidAttachmentError
from moorage.networks.models import DEFAULT_NETWORK, PREDEFINED, Attachment, Network

ENDPOINT_INTERFACE: Final = "com.docker.network.endpoint.ifname"
ENDPOINT_SYSCTLS: Final = "com.docker.network.endpoint.sysctls"
_PARAMETER: Final = re.compile(r"[a-z0-9_]+")
_INTERFACE_WORD: Final = "IFNAME"
# Spec: Linux, dev_valid_name(): IFNAMSIZ less the zero at its end.
_INTERFACE: Final = re.compile(r"(?!\.\.?$)[!-.0-9;-~]{1,15}")

_STATIC_ON_PREDEFINED: Final = "user specified IP address is supported on user defined networks only"
_ALIAS_ON_PREDEFINED: Final = "network-scoped aliases are only supported for user-defined networks"
_STATIC_ON_CHOSEN: Final = (
    "user specified IP address is supported only when connecting to networks with user configured subnets"
)


def network_of_mode(mode: str) -> str:
    """Return the network that a `HostConfig.NetworkMode` names."""
    return DEFAULT_NETWORK if mode in {"", "default"} else mode


def read_attachments(endpoints: Mapping[str, EndpointSettings | None] | None, *, mode: str) -> tuple[Attachment, ...]:
    """Return a new container's attachments.

    Args:
        endpoints: `NetworkingConfig.EndpointsConfig`.
    """
    main = network_of_mode(mode)
    read = [read_attachment(name, settings) for name, settings in (endpoints or {}).items()]
    read = [dataclasses.replace(one, network=main) if one.network == "default" else one for one in read]
    if not read or (main not in PREDEFINED and all(one.network != main for one in read)):
        read.insert(0, Attachment(network=main))
    # The mode's network is the first interface, whatever the order of a JSON object.
    read.sort(key=lambda one: one.network != main)
    return tuple(read)


def read_attachment(network: str, settings: EndpointSettings | None) -> Attachment:
    """Return what the API's settings ask for; what they report of a running endpoint is ignored."""
    if settings is None:
        return Attachment(network=network)
    addresses = settings.ipam_config
    return Attachment(
        network=network,
        aliases=tuple(settings.aliases or ()),
        links=tuple(settings.links or ()),
        ipv4=addresses.ipv4_address if addresses else "",
        ipv6=addresses.ipv6_address if addresses else "",
        link_local=tuple(addresses.link_local_ips) if addresses else (),
        mac=settings.mac_address.lower(),
        driver_options=settings.driver_opts or {},
        gateway_priority=settings.gw_priority,
    )


def validate(attachment: Attachment, network: Network) -> None:
    """Check that a container can be attached like this.

    Raises:
        InvalidAttachmentError: Lists every reason why not.
    """
    mistakes = [*_address_mistakes(attachment, network), *_sysctl_mistakes(attachment)]
    mistakes += [f"invalid link-local IP address: {one}" for one in attachment.link_local if not _is_link_local(one)]
    interface = chosen_interface(attachment)
    if interface and not _INTERFACE.fullmatch(interface):
        mistakes.append(f"invalid interface name: {interface}")
    if attachment.aliases and not network.user_defined:
        mistakes.append(_ALIAS_ON_PREDEFINED)
    if attachment.mac:
        try:
            mac_bytes(attachment.mac)
        except ValueError:
            mistakes.append(f"invalid MAC address: {attachment.mac}")
    if mistakes:
        raise InvalidAttachmentError(
            f"invalid config for network {attachment.network}: invalid endpoint settings:\n" + "\n".join(mistakes)
        )


def chosen_interface(attachment: Attachment) -> str:
    """Return the name that a user wants for this interface, "" for any."""
    return attachment.driver_options.get(ENDPOINT_INTERFACE, "")


def endpoint_sysctls(attachment: Attachment, *, interface: str) -> dict[str, str]:
    """Return the kernel settings that a user wants for this interface."""
    written = attachment.driver_options.get(ENDPOINT_SYSCTLS, "")
    pairs = (one.strip().partition("=") for one in written.split(",") if one.strip())
    return {name.replace(_INTERFACE_WORD, interface): value for name, _, value in pairs}


def require_compatible(networks: Sequence[Network]) -> None:
    """Check that one container can be on all of these networks.

    Raises:
        InvalidAttachmentError: The host's network, or none, cannot be combined with others.
    """
    if len(networks) < 2:
        return
    if any(network.driver == "host" for network in networks):
        raise InvalidAttachmentError(
            "container sharing network namespace with another container or host "
            "cannot be connected to any other network"
        )
    if any(network.driver == "null" for network in networks):
        raise InvalidAttachmentError(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )


def _address_mistakes(attachment: Attachment, network: Network) -> list[str]:
    if (attachment.ipv4 or attachment.ipv6) and not network.user_defined:
        return [_STATIC_ON_PREDEFINED]
    found = []
    for version, written in ((4, attachment.ipv4), (6, attachment.ipv6)):
        if not written:
            continue
        if not _is_address(written, version):
            found.append(f"invalid IPv{version} address: {written}")
            continue
        chosen = [pool for pool in network.pools if pool.user_chosen]
        if not chosen:
            found.append(_STATIC_ON_CHOSEN)
        elif not any(ipaddress.ip_address(written) in ipaddress.ip_network(pool.subnet) for pool in chosen):
            found.append(f"no configured subnet contains IP address {written}")
    return found


def _sysctl_mistakes(attachment: Attachment) -> list[str]:
    found = []
    for name, value in endpoint_sysctls(attachment, interface=_INTERFACE_WORD).items():
        family, _, rest = name.partition(f".{_INTERFACE_WORD}.")
        shaped = _PARAMETER.fullmatch(rest) and family in {
            "net.ipv4.conf",
            "net.ipv6.conf",
            "net.ipv4.neigh",
            "net.ipv6.neigh",
        }
        if not shaped:
            found.append(f"unrecognised network interface sysctl '{name}={value}'")
    return found


def _is_address(text: str, version: int) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # An IPv4 address in IPv6's clothes is neither.
    return address.version == version and getattr(address, "ipv4_mapped", None) is None


def _is_link_local(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_link_local
    except ValueError:
        return False
