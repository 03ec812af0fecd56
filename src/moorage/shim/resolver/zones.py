"""Who has which name, from the files that the daemon writes."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from moorage.api.resolver import ResolverFile, Upstream, ZoneFile

_NOTHING: ResolverFile = {"zones": [], "links": {}, "upstream": []}


class Document:
    """A JSON file that is parsed again whenever it was replaced."""

    __slots__ = ("_parse", "_path", "_seen", "_value")

    def __init__(self, path: str, parse: Callable[[Any], Any]) -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, int] = (0, 0)
        self._value: Any = None

    def read(self) -> Any:
        """Return what the file says now; None without a file that can be read."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - pathlib is too slow to import here
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._seen:
                with open(self._path, "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
                    self._value = self._parse(json.load(file))
                self._seen = seen
        except (OSError, ValueError, KeyError):
            return None
        return self._value


class Zone:
    """The names of one network.

    Attributes:
        network: Its name, in lower case.
        names: Addresses by name, in lower case.
        owners: The first name by address.
    """

    __slots__ = ("names", "network", "owners")

    def __init__(self, content: ZoneFile) -> None:
        self.network = content["network"].lower()
        self.names: dict[str, list[str]] = {}
        self.owners: dict[str, str] = {}
        for holder in content["holders"]:
            for name in holder["names"]:
                self.names.setdefault(name.lower(), []).extend(holder["addresses"])
            for address in holder["addresses"]:
                self.owners[address] = holder["names"][0]


class Directory:
    """All that one container can look up.

    Args:
        path: Of its resolver file.
    """

    __slots__ = ("_settings", "_zones")

    def __init__(self, path: str) -> None:
        self._settings = Document(path, lambda content: content)
        self._zones: dict[str, Document] = {}

    def lookup(self, name: str) -> list[str] | None:
        """Return the addresses of a name in lower case; None if nobody here has it."""
        found: list[str] = []
        links = {alias.lower(): target.lower() for alias, target in self._read()["links"].items()}
        for zone in self._open():
            # A container's own name may have dots, so the name as it is comes first.
            for candidate in (name, name.removesuffix(f".{zone.network}")):
                if addresses := zone.names.get(links.get(candidate, candidate)):
                    found += addresses
                    break
        return found or None

    def owner(self, address: str) -> str | None:
        """Return the full name of whoever has an address; None if nobody here has it."""
        for zone in self._open():
            if name := zone.owners.get(address):
                return f"{name}.{zone.network}"
        return None

    def upstream(self) -> list[Upstream]:
        """Return the servers to ask about all other names."""
        return self._read()["upstream"]

    def _read(self) -> ResolverFile:
        content: ResolverFile | None = self._settings.read()
        return _NOTHING if content is None else content

    def _open(self) -> list[Zone]:
        documents = {
            zone["file"]: self._zones.get(zone["file"]) or Document(zone["file"], Zone)
            for zone in self._read()["zones"]
        }
        self._zones = documents
        return [zone for document in documents.values() if (zone := document.read()) is not None]
