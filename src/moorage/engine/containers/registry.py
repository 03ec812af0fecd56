"""Every container of this engine, in memory and in the database.

Reading never waits. A change is made in memory in one step of the loop, so that two
changes cannot undo each other, and returns once it is durable: whoever reports a change
reports it after the await. The database applies changes in the order of the calls.
"""

import bisect
import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from moorage.engine.containers.errors import AmbiguousPrefixError, ContainerNotFoundError, DamagedContainerError
from moorage.engine.containers.links import links_of
from moorage.engine.containers.records import ContainerDefinition, ContainerRecord, ContainerState
from moorage.state import containers as table
from moorage.state.containers import ContainerRow, ContainerRows, NameTakenError
from moorage.state.images import note_use

_log = logging.getLogger(__name__)

_encoder = msgspec.json.Encoder()
_definitions = msgspec.json.Decoder(ContainerDefinition)
_states = msgspec.json.Decoder(ContainerState)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many containers are in which state, as `/info` counts them."""

    running: int
    paused: int
    stopped: int


class ContainerRegistry:
    """The records of all containers.

    Attributes:
        generation: Grows with every change; whoever caches what it read compares it.
    """

    def __init__(self, rows: ContainerRows) -> None:
        self.generation = 0
        self._rows = rows
        self._records: dict[str, ContainerRecord] = {}
        self._names: dict[str, str] = {}
        self._ids: list[str] = []
        self._damaged: dict[str, str] = {}

    def load(self) -> None:
        """Read the database; once, at the start of the daemon.

        A row that cannot be read is left alone, with its name and its files, until it is removed
        by force: the others are not less worth for it.
        """
        for row in self._rows.all():
            try:
                record = ContainerRecord(
                    id=row.id,
                    name=row.name,
                    definition=_definitions.decode(row.document),
                    state=_states.decode(row.state),
                )
            except msgspec.MsgspecError as error:
                _log.error("container %s (%s) cannot be read from the database: %s", row.name, row.id, error)
                self._damaged[row.id] = row.name
                self._names[row.name] = row.id
            else:
                self._put(record)

    def knows(self, container_id: str) -> bool:
        """Tell whether a full ID is a container's, be its record readable or not."""
        return container_id in self._records or container_id in self._damaged

    def find(self, container_id: str) -> ContainerRecord | None:
        """Return the record of a full ID, or None."""
        return self._records.get(container_id)

    def get(self, container_id: str) -> ContainerRecord:
        """Return the record of a full ID.

        Raises:
            ContainerNotFoundError: It is gone.
        """
        if (record := self._records.get(container_id)) is None:
            raise ContainerNotFoundError(container_id)
        return record

    def resolve(self, reference: str) -> ContainerRecord:
        """Find one record by full ID, name, name of a link, or unambiguous ID prefix, in this order.

        Raises:
            ContainerNotFoundError: Nothing matches.
            AmbiguousPrefixError: Several IDs begin so.
            DamagedContainerError: It is one whose row cannot be read.
        """
        if (record := self._records.get(reference)) is not None:
            return record
        if (container_id := self._names.get(reference.removeprefix("/"))) in self._records:
            return self._records[container_id]
        if "/" in reference.removeprefix("/"):
            return self._by_link(reference.removeprefix("/"))
        for damaged, name in self._damaged.items():
            if reference.removeprefix("/") == name or (reference and damaged.startswith(reference)):
                raise DamagedContainerError(name, damaged)
        return self._by_prefix(reference)

    def _by_link(self, name: str) -> ContainerRecord:
        linking, _, alias = name.rpartition("/")
        try:
            links = links_of(self.resolve(linking))
        except ContainerNotFoundError:
            links = {}
        if (container := links.get(alias)) is None:
            raise ContainerNotFoundError(name)
        return self.resolve(container)

    def with_prefix(self, prefix: str) -> ContainerRecord | None:
        """Return the one record whose ID begins so, None if there is none or there are several."""
        with contextlib.suppress(ContainerNotFoundError, AmbiguousPrefixError):
            return self._by_prefix(prefix)
        return None

    def _by_prefix(self, prefix: str) -> ContainerRecord:
        start = bisect.bisect_left(self._ids, prefix)
        if not prefix or start == len(self._ids) or not self._ids[start].startswith(prefix):
            raise ContainerNotFoundError(prefix)
        if start + 1 < len(self._ids) and self._ids[start + 1].startswith(prefix):
            raise AmbiguousPrefixError(prefix)
        return self._records[self._ids[start]]

    def all(self) -> Iterable[ContainerRecord]:
        """Return every record, in no particular order."""
        return tuple(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def counts(self) -> Counts:
        """Count by state."""
        running = paused = 0
        for record in self._records.values():
            if record.state.paused:
                paused += 1
            elif record.state.running:
                running += 1
        return Counts(running=running, paused=paused, stopped=len(self._records) - running - paused)

    def reserve_name(self, name: str, container_id: str) -> None:
        """Take a name for a container that is being made or renamed.

        Raises:
            NameTakenError: Another container has it.
        """
        holder = self._names.setdefault(name, container_id)
        if holder != container_id:
            raise NameTakenError(name, holder)

    def is_being_made(self, container_id: str) -> bool:
        """Tell whether a name is taken for an ID: its record may be about to come."""
        return container_id in self._names.values()

    def release_name(self, name: str, container_id: str) -> None:
        """Give back a reserved name."""
        if self._names.get(name) == container_id:
            del self._names[name]

    async def add(self, record: ContainerRecord) -> None:
        """Record a new container, whose name is reserved already; nobody sees it before it is durable."""
        await self._rows.apply(
            table.insert(
                ContainerRow(
                    id=record.id,
                    name=record.name,
                    document=_encoder.encode(record.definition),
                    state=_encoder.encode(record.state),
                )
            ),
            note_use(record.definition.image_id, at_ns=time.time_ns()),
        )
        self._put(record)

    async def change_state(self, container_id: str, **changes: Any) -> ContainerRecord:
        """Replace fields of a container's state.

        Raises:
            ContainerNotFoundError: It is gone.
        """
        record = self.get(container_id)
        return await self.set_state(container_id, dataclasses.replace(record.state, **changes))

    async def set_state(self, container_id: str, state: ContainerState) -> ContainerRecord:
        """Replace a container's state.

        Raises:
            ContainerNotFoundError: It is gone.
        """
        record = dataclasses.replace(self.get(container_id), state=state)
        self._put(record)
        # A removal begins so.
        await self._rows.apply(table.update_state(container_id, _encoder.encode(state)), makes_room=state.removing)
        return record

    def put_state(self, container_id: str, state: ContainerState) -> ContainerRecord:
        """Show a state that is durable already, or that a restarted daemon finds out by itself."""
        record = dataclasses.replace(self.get(container_id), state=state)
        self._put(record)
        return record

    async def write_ahead(self, container_id: str, state: ContainerState) -> None:
        """Make a state durable that is about to become true, without showing it yet."""
        await self._rows.apply(table.update_state(container_id, _encoder.encode(state)))

    async def save(self, record: ContainerRecord) -> None:
        """Replace everything about a container; a new name must be reserved already."""
        before = self.get(record.id)
        self._put(record)
        try:
            await self._rows.apply(
                table.update(
                    ContainerRow(
                        id=record.id,
                        name=record.name,
                        document=_encoder.encode(record.definition),
                        state=_encoder.encode(record.state),
                    )
                )
            )
        finally:
            if before.name != record.name:
                self.release_name(before.name, record.id)

    async def remove(self, container_id: str) -> None:
        """Forget a container; one that is gone already is no error."""
        found = self._records.get(container_id)
        used = [] if found is None else [note_use(found.definition.image_id, at_ns=time.time_ns())]
        await self._rows.apply(table.delete(container_id), *used, makes_room=True)
        if (record := self._records.pop(container_id, None)) is not None:
            self.release_name(record.name, container_id)
            del self._ids[bisect.bisect_left(self._ids, container_id)]
            self.generation += 1

    async def remove_damaged(self, container_id: str) -> None:
        """Forget a container whose row cannot be read."""
        await self._rows.apply(table.delete(container_id), makes_room=True)
        if (name := self._damaged.pop(container_id, None)) is not None:
            self.release_name(name, container_id)

    def _put(self, record: ContainerRecord) -> None:
        if record.id not in self._records:
            bisect.insort(self._ids, record.id)
        self._records[record.id] = record
        self._names[record.name] = record.id
        self.generation += 1
