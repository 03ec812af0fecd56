"""The files by which a container knows names: hosts, resolv.conf, hostname.

Pure: the caller reads the host's files and writes the results.

Spec: hosts(5), resolv.conf(5).
"""

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from moorage.networks.errors import InvalidAttachmentError

HOST_GATEWAY: Final = "host-gateway"
# What systemd-resolved puts into /etc/resolv.conf, and where its real servers are.
RESOLVED_STUB: Final = "127.0.0.53"
RESOLVED_UPSTREAM: Final = "/run/systemd/resolve/resolv.conf"
# For hosts whose only servers are on their own localhost; Docker's choice.
FALLBACK_SERVERS: Final = ("8.8.8.8", "8.8.4.4")
FALLBACK_SERVERS6: Final = ("2001:4860:4860::8888", "2001:4860:4860::8844")

_LOCALHOST4: Final = (("127.0.0.1", "localhost"),)
_LOCALHOST6: Final = (
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hosts_file(entries: Iterable[tuple[str, str]], *, ipv6: bool) -> str:
    """Return a hosts file: localhost, then the entries.

    Args:
        entries: (address, names separated by spaces), in order.
        ipv6: Whether localhost has its IPv6 names too.
    """
    lines = [*_LOCALHOST4, *(_LOCALHOST6 if ipv6 else ()), *entries]
    return "".join(f"{address}\t{names}\n" for address, names in lines)


def extra_hosts(written: Iterable[str], *, gateways: Sequence[str]) -> list[tuple[str, str]]:
    """Return the entries of --add-host values.

    Args:
        gateways: What "host-gateway" means; several make several entries.

    Raises:
        InvalidAttachmentError: A value is not "name:address".
    """
    entries = []
    for value in written:
        name, separator, address = value.partition(":")
        address = address.strip("[]")
        if address == HOST_GATEWAY:
            if not gateways:
                raise InvalidAttachmentError("unable to derive the IP value for host-gateway")
            entries += [(gateway, name) for gateway in gateways]
            continue
        if not name or not separator:
            raise InvalidAttachmentError(f'bad format for add-host: "{value}"')
        if not _is_address(address):
            raise InvalidAttachmentError(f'invalid IP address in add-host: "{address}"')
        entries.append((address, name))
    return entries


def own_names(hostname: str, domainname: str) -> str:
    """Return the names a container's own address has in its hosts file."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = full.partition(".")[0]
    return full if short == full else f"{full} {short}"


@functools.lru_cache(maxsize=8)
def read_resolver(content: str) -> Resolver:
    """Parse a resolv.conf; what it does not know is left out, as the C library does."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in content.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        match words:
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *domains]:
                # The last such line counts.
                search = tuple(domains)
            case ["options", *given]:
                options += given
    return Resolver(servers=tuple(servers), search=search, options=tuple(options))


def overridden(host: Resolver, *, servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> Resolver:
    """Return the host's settings with a user's in their place, one by one.

    Args:
        search: "." alone means no search list.
    """
    return Resolver(
        servers=tuple(servers) or host.servers,
        search=(() if tuple(search) == (".",) else tuple(search)) if search else host.search,
        options=tuple(options) or host.options,
    )


def reachable(host: Resolver, *, ipv6: bool) -> Resolver:
    """Return the settings that still work in another network namespace.

    Servers on the host's localhost are left out, and IPv6 ones for containers without
    it; if none is left, public ones stand in.
    """
    servers = tuple(server for server in host.servers if _reachable(server, ipv6=ipv6))
    if not servers:
        servers = FALLBACK_SERVERS + (FALLBACK_SERVERS6 if ipv6 else ())
    return Resolver(servers=servers, search=host.search, options=host.options)


def embedded(wanted: Resolver, *, server: str) -> Resolver:
    """Return the settings of a container with its own resolver, which asks the wanted servers."""
    options = wanted.options
    if not any(option.startswith("ndots:") for option in options):
        # Container names have no dot: they are asked for as they are first.
        options = (*options, "ndots:0")
    return Resolver(servers=(server,), search=wanted.search, options=options)


def resolver_file(resolver: Resolver, *, comments: Iterable[str] = ()) -> str:
    """Return the content of a resolv.conf."""
    lines = [f"nameserver {server}" for server in resolver.servers]
    if resolver.search:
        lines.append("search " + " ".join(resolver.search))
    if resolver.options:
        lines.append("options " + " ".join(resolver.options))
    lines += [f"# {comment}" for comment in comments]
    return "".join(f"{line}\n" for line in lines)


def host_resolver_path(content: str) -> str:
    """Return which file says where the host's name servers really are.

    Args:
        content: Of /etc/resolv.conf.
    """
    servers = read_resolver(content).servers
    return RESOLVED_UPSTREAM if servers == (RESOLVED_STUB,) else "/etc/resolv.conf"


def link_names(link: str) -> tuple[str, str]:
    """Return (container, alias) of a --link value; the alias defaults to the container's name."""
    container, _, alias = link.partition(":")
    container = container.lstrip("/")
    # Old clients write the alias as a path below the linking container.
    return container, alias.rpartition("/")[2] or container


def dns_names(container_name: str, *, container_id: str, hostname: str, aliases: Sequence[str]) -> tuple[str, ...]:
    """Return all names of an endpoint on a user's network, without repetition."""
    return tuple(dict.fromkeys(name for name in (container_name, *aliases, container_id[:12], hostname) if name))


def appended(content: str, entries: Iterable[tuple[str, str]]) -> str:
    """Return a hosts file with more entries at its end."""
    if content and not content.endswith("\n"):
        content += "\n"
    return content + "".join(f"{address}\t{known_as}\n" for address, known_as in entries)


def without_address(content: str, addresses: Iterable[str]) -> str:
    """Return a hosts file without the lines of these addresses; all else stays as it is."""
    gone = frozenset(addresses)
    return "".join(line for line in content.splitlines(keepends=True) if line.partition("\t")[0] not in gone)


def _reachable(server: str, *, ipv6: bool) -> bool:
    try:
        address = ipaddress.ip_address(server.partition("%")[0])
    except ValueError:
        return False
    return not address.is_loopback and (ipv6 or address.version == 4)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
