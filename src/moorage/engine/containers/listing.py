"""List containers.

What a list shows of a container changes only with its record, except for the text that
says how long ago; so each container's JSON is encoded once per record, around a gap for
that text. Polling clients ask several times per second: the whole answer is kept for a
tenth of one.

Spec: Engine API, GET /containers/json.
"""

import time
from dataclasses import dataclass, field
from typing import Final

import msgspec

from moorage.api.containers import (
    ContainerSummary,
    SummaryHealth,
    SummaryHostConfig,
    SummaryNetworkSettings,
)
from moorage.api.versions import Version
from moorage.engine.bundles.mounts import mount_point
from moorage.engine.containers.links import linked_names
from moorage.engine.containers.list_filters import ListFacts, ListRequest, select
from moorage.engine.containers.ports import Images, Networks
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import container_networks
from moorage.engine.containers.sizes import ContainerSizes
from moorage.engine.containers.status_text import status_text
from moorage.errors import MoorageError, SystemFailureError

_GAP: Final = "\x00status\x00"
_ENCODED_GAP: Final = msgspec.json.encode(_GAP)
_SHOWS_ANNOTATIONS: Final = Version(1, 46)
_SHOWS_HEALTH: Final = Version(1, 52)
_KEPT_NS: Final = 100_000_000

_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Piece:
    """One container's JSON around the gap, and the record it was made of."""

    record: ContainerRecord
    head: bytes
    tail: bytes


@dataclass(slots=True)
class _Cache:
    pieces: dict[tuple[str, tuple[bool, bool], tuple[str, ...]], _Piece] = field(default_factory=dict)
    whole_key: object = None
    whole: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLister:
    """Lists containers."""

    registry: ContainerRegistry
    images: Images
    networks: Networks
    sizes: ContainerSizes
    facts: ListFacts
    _cache: _Cache = field(default_factory=_Cache)

    def encoded(self, request: ListRequest, *, version: Version) -> bytes:
        """Return the JSON of a list without sizes.

        Raises:
            InvalidParameterError: A filter has a value it cannot have.
        """
        now_ns = time.time_ns()
        key = (self.registry.generation, now_ns // _KEPT_NS, request, version)
        if self._cache.whole_key == key:
            return self._cache.whole
        traits = (version >= _SHOWS_ANNOTATIONS, version >= _SHOWS_HEALTH)
        parts: list[bytes] = []
        links = linked_names(self.registry.all(), self.registry.resolve)
        for record in select(self.registry, request, self.facts):
            piece = self._piece(record, traits, tuple(links.get(record.name, ())))
            parts.append(piece.head + _encoder.encode(status_text(record.state, now_ns=now_ns)) + piece.tail)
        self._cache.whole = b"[" + b",".join(parts) + b"]\n"
        self._cache.whole_key = key
        return self._cache.whole

    async def with_sizes(self, request: ListRequest, *, version: Version) -> list[ContainerSummary]:
        """Return a list with the sizes of the containers' files.

        Raises:
            InvalidParameterError: A filter has a value it cannot have.
        """
        traits = (version >= _SHOWS_ANNOTATIONS, version >= _SHOWS_HEALTH)
        found: list[ContainerSummary] = []
        links = linked_names(self.registry.all(), self.registry.resolve)
        for record in list(select(self.registry, request, self.facts)):
            try:
                sizes = await self.sizes.of(record)
            except SystemFailureError:
                if self.registry.find(record.id) is None:
                    # It was removed while its files were looked at.
                    continue
                raise
            text = status_text(record.state, now_ns=time.time_ns())
            summary = self._summary(record, traits, tuple(links.get(record.name, ())))
            found.append(msgspec.structs.replace(summary, status=text, size_rw=sizes.own, size_root_fs=sizes.whole))
        return found

    def _piece(self, record: ContainerRecord, traits: tuple[bool, bool], links: tuple[str, ...]) -> _Piece:
        key = (record.id, traits, links)
        piece = self._cache.pieces.get(key)
        if piece is None or piece.record is not record:
            encoded = _encoder.encode(self._summary(record, traits, links))
            head, _, tail = encoded.partition(_ENCODED_GAP)
            piece = _Piece(record, head, tail)
            if len(self._cache.pieces) > 4 * len(self.registry) + 64:
                self._cache.pieces.clear()
            self._cache.pieces[key] = piece
        return piece

    def _summary(self, record: ContainerRecord, traits: tuple[bool, bool], links: tuple[str, ...]) -> ContainerSummary:
        annotations, health = traits
        networks = container_networks(record)
        host = record.host_config
        return ContainerSummary(
            id=record.id,
            names=[f"/{record.name}", *links],
            image=self._image_name(record),
            image_id=record.definition.image_id,
            command=_command(record),
            created=record.definition.created_ns // 1_000_000_000,
            ports=self.networks.port_summaries(networks),
            labels=record.config.labels or {},
            state=record.state.status.value,
            status=_GAP,
            host_config=SummaryHostConfig(
                network_mode=host.network_mode, annotations=host.annotations if annotations else {}
            ),
            network_settings=SummaryNetworkSettings(networks=self.networks.endpoint_settings(networks)),
            mounts=[mount_point(mount) for mount in record.definition.mounts if mount.listed],
            health=_health(record) if health else None,
        )

    def _image_name(self, record: ContainerRecord) -> str:
        """Return the name it was created by, or the ID once the name means another image."""
        image, image_id = record.definition.image, record.definition.image_id
        try:
            return image if self.images.resolve(image).id == image_id else image_id
        except MoorageError:
            return image_id


def _command(record: ContainerRecord) -> str:
    path, *args = record.command
    return " ".join([path, *(f"'{arg}'" if " " in arg else arg for arg in args)])


def _health(record: ContainerRecord) -> SummaryHealth:
    health = record.state.health
    if health is None:
        return SummaryHealth(status="none")
    return SummaryHealth(status=health.status.value, failing_streak=health.failing_streak)
