"""``hosts.toml``: where the content of one registry is really fetched from and pushed to.

Pure: text in, entries out. The file of a registry is ``/etc/moorage/certs.d/<host>/hosts.toml``
(or below /etc/docker/certs.d), and ``_default`` stands for all that have none. The form is containerd's.

Spec: containerd, "Registry Host Configuration".
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from moorage.errors import InvalidParameterError

_CAPABILITIES: Final = frozenset({"pull", "resolve", "push"})
_KEYS: Final = frozenset({"capabilities", "ca", "client", "skip_verify", "header", "override_path"})


class InvalidHostsError(InvalidParameterError):
    """A hosts.toml can't be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One server that may be asked.

    Attributes:
        url: Scheme and host, perhaps a path; without the trailing slash.
        capabilities: ``pull``, ``resolve`` (of tags) and ``push``.
        skip_verify: Any certificate will do.
        authorities: Files of certificates that are believed, besides the system's.
        certificates: Files of certificate and key that this engine shows; the key may be in the same file.
        headers: Sent with each request.
        override_path: The URL is that of the API itself: no ``/v2`` follows.
    """

    url: str
    capabilities: frozenset[str] = _CAPABILITIES
    skip_verify: bool = False
    authorities: tuple[str, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    override_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What a file says of one registry.

    Attributes:
        server: The registry itself, asked when no other host could answer; None stands for its own name.
        hosts: Asked before, in this order.
    """

    server: Host | None = None
    hosts: tuple[Host, ...] = ()


def parse_hosts(text: str, *, directory: Path) -> Hosts:
    """Read a file.

    Args:
        directory: Where it lies; relative paths of certificates begin there.

    Raises:
        InvalidHostsError: It is no TOML, or has a key of another kind or name.
    """
    place = directory / "hosts.toml"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidHostsError(f"{place}: {error}") from error
    try:
        return _hosts(document, directory)
    except InvalidHostsError as error:
        raise InvalidHostsError(f"{place}: {error}") from None


def _hosts(document: dict[str, Any], directory: Path) -> Hosts:
    tables = document.pop("host", {})
    server = document.pop("server", None)
    if not isinstance(tables, dict):
        raise InvalidHostsError('"host" must be a table')
    # What stands at the top describes the registry itself.
    own = _host(server, document, directory) if server is not None else None
    if server is None and document:
        raise InvalidHostsError(f'{", ".join(sorted(document))}: only with "server"')
    return Hosts(server=own, hosts=tuple(_host(url, table, directory) for url, table in tables.items()))


def _host(url: Any, table: Any, directory: Path) -> Host:
    if not isinstance(table, dict):
        raise InvalidHostsError(f'host "{url}" must be a table')
    if unknown := table.keys() - _KEYS:
        raise InvalidHostsError(f'host "{url}": unknown key {", ".join(sorted(unknown))}')
    capabilities = frozenset(_texts(table.get("capabilities", sorted(_CAPABILITIES)), "capabilities"))
    if wrong := capabilities - _CAPABILITIES:
        raise InvalidHostsError(f'host "{url}": unknown capability {", ".join(sorted(wrong))}')
    return Host(
        url=_url(url),
        capabilities=capabilities,
        skip_verify=_flag(table, "skip_verify"),
        authorities=tuple(str(directory / path) for path in _texts(table.get("ca", []), "ca")),
        certificates=tuple(_pair(entry, directory) for entry in _list(table.get("client", []))),
        headers=tuple(_headers(table.get("header", {}))),
        override_path=_flag(table, "override_path"),
    )


def _url(text: Any) -> str:
    if not isinstance(text, str):
        raise InvalidHostsError('"server" must be text')
    url = text if "://" in text else f"https://{text}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise InvalidHostsError(f'"{text}" is no URL of a registry')
    return url.rstrip("/")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any, name: str) -> list[str]:
    found = _list(value)
    if not all(isinstance(text, str) for text in found):
        raise InvalidHostsError(f'"{name}" must be text or a list of texts')
    return found


def _flag(table: Mapping[str, Any], name: str) -> bool:
    value = table.get(name, False)
    if not isinstance(value, bool):
        raise InvalidHostsError(f'"{name}" must be true or false')
    return value


def _pair(entry: Any, directory: Path) -> tuple[str, str]:
    files = [str(directory / path) for path in _texts(entry, "client")]
    if not 1 <= len(files) <= 2:
        raise InvalidHostsError('"client" must name a certificate, and its key if that is in another file')
    return files[0], files[-1]


def _headers(table: Any) -> list[tuple[str, str]]:
    if not isinstance(table, dict):
        raise InvalidHostsError('"header" must be a table')
    return [(name, text) for name, values in table.items() for text in _texts(values, f"header {name}")]
