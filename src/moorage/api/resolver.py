"""The files that tell a container's resolver who has which name; standard library only.

The daemon writes them, the resolver in the container's shim reads them again whenever
they changed. Both are JSON documents that are replaced as a whole.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Upstream(TypedDict):
        """A name server to ask about names that are nobody's here.

        Attributes:
            inside: Whether it is asked from the container's network namespace.
        """

        server: str
        inside: bool

    class ZonePath(TypedDict):
        """A network's zone file, and the network's name: "web.front" is "web" on "front"."""

        file: str
        network: str

    class ResolverFile(TypedDict):
        """What one container's resolver does.

        Attributes:
            links: Names that only this container knows, each for a name in the zones.
            upstream: In the order to ask them; none for a container that may not ask.
        """

        zones: list[ZonePath]
        links: dict[str, str]
        upstream: list[Upstream]

    class Holder(TypedDict):
        """One endpoint: its names, and its addresses of both families."""

        names: list[str]
        addresses: list[str]

    class ZoneFile(TypedDict):
        """All endpoints of one network."""

        network: str
        holders: list[Holder]
