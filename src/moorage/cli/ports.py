"""The syntax of ``--publish`` and ``--expose``.

Pure.
"""

import re
from collections.abc import Iterable
from typing import Final

from moorage.api.host_config import PortBinding
from moorage.cli.flag_checks import is_address
from moorage.errors import InvalidParameterError

_PROTOCOLS: Final = frozenset({"tcp", "udp", "sctp"})
_PUBLISH: Final = re.compile(
    r"(?:(?:(?P<ip>\[[^\]]*\]|[^:\[\]]*):)?(?P<host>[^:]*):)?(?P<container>[^:/]+)(?:/(?P<protocol>\w+))?"
)

Bindings = dict[str, list[PortBinding] | None]


class InvalidPortError(InvalidParameterError):
    """A port or a range of ports can't be understood."""


def publish(texts: Iterable[str]) -> Bindings:
    """Return the bindings of ``[[IP:][HOST]:]CONTAINER[/PROTOCOL]`` texts, each part a port or a range.

    A range of host ports for one container port is kept as a range: the engine takes the
    first free one.

    Raises:
        InvalidPortError: In Docker's words.
    """
    bindings: Bindings = {}
    for text in texts:
        for port, binding in _one(text):
            found = bindings.setdefault(port, [])
            if found is not None:
                found.append(binding)
    return bindings


def _one(text: str) -> list[tuple[str, PortBinding]]:
    match = _PUBLISH.fullmatch(text)
    if match is None:
        raise InvalidPortError(
            f"invalid publish opts format (should be name=value but got '{text}')"
            if "=" in text
            else (f"no port specified: {text}<empty>" if text.endswith(":") else f"invalid containerPort: {text}")
        )
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidPortError(f"invalid proto: {protocol}")
    container = port_range(match["container"], what="containerPort")
    address = (match["ip"] or "").strip("[]")
    if address and not is_address(address):
        raise InvalidPortError(f"invalid IP address: {address}")
    host_text = match["host"] or ""
    host = port_range(host_text, what="hostPort") if host_text else range(0)
    if host and len(container) not in {1, len(host)}:
        raise InvalidPortError(
            f"invalid ranges specified for container and host Ports: {match['container']} and {host_text}"
        )
    if host and len(container) == 1 and len(host) > 1:
        return [(f"{container[0]}/{protocol}", PortBinding(host_ip=address, host_port=host_text))]
    return [
        (f"{port}/{protocol}", PortBinding(host_ip=address, host_port=str(host[index]) if host else ""))
        for index, port in enumerate(container)
    ]


def expose(texts: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return the exposed ports of ``PORT[-PORT][/PROTOCOL]`` texts.

    Raises:
        InvalidPortError: In Docker's words.
    """
    exposed: dict[str, dict[str, object]] = {}
    for text in texts:
        ports, _, protocol = text.partition("/")
        if ":" in ports:
            raise InvalidPortError(f"invalid port format for --expose: {text}")
        exposed.update(
            {f"{port}/{protocol or 'tcp'}": {} for port in port_range(ports, what="range format for --expose")}
        )
    return exposed


def port_range(text: str, *, what: str) -> range:
    """Return the ports of ``80`` or ``80-90``.

    Raises:
        InvalidPortError: It is neither, or a port is out of range.
    """
    first, separator, last = text.partition("-")
    if not first.isdecimal() or (separator and not last.isdecimal()):
        raise InvalidPortError(f"invalid {what}: {text}")
    start, stop = int(first), int(last if separator else first)
    if start > stop or stop > 65535:
        raise InvalidPortError(f"invalid {what}: {text}")
    return range(start, stop + 1)
