"""Which containers a list shows.

The values of a request become one predicate per key; a list is then a single walk.

Spec: Engine API, GET /containers/json, "filters".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from moorage.api.containers import PortSummary
from moorage.api.filters import Filters
from moorage.engine.containers.errors import ContainerNotFoundError, RequestFailedError, RequestRefusedError
from moorage.engine.containers.records import ContainerRecord, ContainerStatus
from moorage.engine.containers.registry import ContainerRegistry
from moorage.errors import MoorageError

Predicate = Callable[[ContainerRecord], bool]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_HEALTH: Final = frozenset({"starting", "healthy", "unhealthy", "none"})
_LAST_PORT: Final = 65535


class ListFacts(Protocol):
    """What filters look up outside a container's record."""

    def ancestors(self, image: str) -> frozenset[str]:
        """Return the IDs of an image and of all images made from it."""

    def ports(self, record: ContainerRecord) -> Iterable[PortSummary]:
        """Return a running container's ports, published or only exposed."""

    def attached(self, record: ContainerRecord) -> Iterable[tuple[str, str]]:
        """Return name and ID of the networks a container is attached to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """What a client asks of a list.

    Attributes:
        everything: Those that do not run too.
        limit: The newest so many, running or not; 0 is no limit.
        size: With the sizes of their files.
    """

    everything: bool = False
    limit: int = 0
    size: bool = False
    filters: Filters = field(default_factory=Filters)


def select(registry: ContainerRegistry, request: ListRequest, facts: ListFacts) -> Iterator[ContainerRecord]:
    """Yield the containers of a list, the newest first.

    Raises:
        InvalidParameterError: A filter has a value it cannot have.
        ContainerNotFoundError: `before` or `since` names no container.
    """
    filters = request.filters
    everything = request.everything or request.limit > 0 or "status" in filters
    predicates = list(_predicates(filters, facts))
    if "id" in filters:
        predicates.append(_by_id(filters, registry))
    records = sorted(registry.all(), key=lambda record: -record.definition.created_ns)
    shown = 0
    for record in _between(registry, records, filters):
        if not record.state.running and not everything:
            continue
        if all(predicate(record) for predicate in predicates):
            yield record
            shown += 1
            if shown == request.limit:
                return


def _between(
    registry: ContainerRegistry, records: list[ContainerRecord], filters: Filters
) -> Iterator[ContainerRecord]:
    before = [_named(registry, value).definition.created_ns for value in filters.get("before")]
    since = [_named(registry, value).definition.created_ns for value in filters.get("since")]
    for record in records:
        created = record.definition.created_ns
        if all(created < limit for limit in before) and all(created > limit for limit in since):
            yield record


def _named(registry: ContainerRegistry, reference: str) -> ContainerRecord:
    try:
        return registry.resolve(reference)
    except MoorageError:
        raise ContainerNotFoundError(reference) from None


def _predicates(filters: Filters, facts: ListFacts) -> Iterator[Predicate]:
    yield from (make(filters) for key, make in _BY_RECORD.items() if key in filters)
    yield from (make(filters, facts) for key, make in _BY_FACTS.items() if key in filters)


def _by_id(filters: Filters, registry: ContainerRegistry) -> Predicate:
    # A beginning that several IDs have means none of them, as everywhere else.
    wanted = {found.id for value in filters.get("id") if (found := registry.with_prefix(value)) is not None}
    return lambda record: record.id in wanted


def _by_name(filters: Filters) -> Predicate:
    patterns = [_pattern(value) for value in filters.get("name")]
    return lambda record: any(p(record.name) or p(f"/{record.name}") for p in patterns)


def _pattern(text: str) -> Callable[[str], bool]:
    try:
        search = re.compile(text).search
    except re.error:
        return lambda name: name == text
    return lambda name: name == text or search(name) is not None


def _by_label(filters: Filters) -> Predicate:
    return lambda record: filters.matches_labels(record.config.labels)


def _by_status(filters: Filters) -> Predicate:
    wanted = filters.get("status")
    known = [status.value for status in ContainerStatus]
    for value in wanted:
        if value not in known:
            names = ", ".join(known)
            raise RequestRefusedError(
                f"invalid filter 'status={value}': invalid value for state ({value}): must be one of {names}"
            )
    return lambda record: record.state.status.value in wanted


def _by_exit_code(filters: Filters) -> Predicate:
    codes: set[int] = set()
    for value in filters.get("exited"):
        if not _INTEGER.fullmatch(value):
            raise RequestRefusedError(
                f"invalid filter 'exited={value}': strconv.Atoi: parsing \"{value}\": invalid syntax"
            )
        codes.add(int(value))
    return lambda record: record.state.status is ContainerStatus.EXITED and record.state.exit_code in codes


def _by_health(filters: Filters) -> Predicate:
    wanted = filters.get("health")
    for value in wanted:
        if value not in _HEALTH:
            raise RequestRefusedError(
                f"invalid filter 'health={value}': invalid value for health ({value}): "
                "must be one of none, starting, healthy, unhealthy"
            )
    return lambda record: (record.state.health.status.value if record.state.health else "none") in wanted


def _by_task(filters: Filters) -> Predicate:
    wanted = filters.boolean("is-task", default=False)
    return lambda _: not wanted


def _by_volume(filters: Filters) -> Predicate:
    wanted = set(filters.get("volume"))
    return lambda record: any(
        wanted & {mount.destination, mount.name or mount.source} for mount in record.definition.mounts
    )


def _by_isolation(_: Filters) -> Predicate:
    # Linux has one kind of isolation, and Docker does not look at the value there.
    return lambda _: True


def _by_ports(filters: Filters, facts: ListFacts) -> Predicate:
    """Either key is enough: `publish` looks at the host's ports, `expose` at the container's."""
    published, exposed = _port_set("publish", filters), _port_set("expose", filters)
    return lambda record: any(
        f"{port.public_port}/{port.type}" in published or f"{port.private_port}/{port.type}" in exposed
        for port in facts.ports(record)
    )


def _by_ancestor(filters: Filters, facts: ListFacts) -> Predicate:
    images = frozenset[str]().union(*(facts.ancestors(value) for value in filters.get("ancestor")))
    return lambda record: record.definition.image_id in images


def _by_network(filters: Filters, facts: ListFacts) -> Predicate:
    wanted = filters.get("network")
    return lambda record: any(
        name in wanted or (network_id and network_id.startswith(wanted)) for name, network_id in facts.attached(record)
    )


def _port_set(key: str, filters: Filters) -> set[str]:
    ports: set[str] = set()
    for value in filters.get(key):
        if ":" in value:
            raise RequestFailedError(f"filter for '{key}' should not contain ':': {value}")
        try:
            ports.update(_port_range(value))
        except ValueError as error:
            # Docker counts this one as its own failure.
            raise RequestFailedError(f"error while looking up for {key} {value}: {error}") from None
    return ports


def _port_range(text: str) -> Iterator[str]:
    if not text:
        raise ValueError("invalid port range: value is empty")
    ports, _, protocol = text.partition("/")
    first, dash, last = ports.partition("-")
    lowest = _port("start", first)
    highest = _port("end", last) if dash and last != first else lowest
    if highest < lowest:
        raise ValueError(f"invalid port range: {text}")
    return (f"{port}/{protocol.lower() or 'tcp'}" for port in range(lowest, highest + 1))


def _port(which: str, text: str) -> int:
    if not text:
        raise ValueError(f"invalid {which} port '': value is empty")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"invalid {which} port '{text}': invalid syntax")
    if int(text) > _LAST_PORT:
        raise ValueError(f"invalid {which} port '{text}': value out of range")
    return int(text)


_BY_RECORD: Final[dict[str, Callable[[Filters], Predicate]]] = {
    "name": _by_name,
    "label": _by_label,
    "status": _by_status,
    "exited": _by_exit_code,
    "health": _by_health,
    "is-task": _by_task,
    "volume": _by_volume,
    "isolation": _by_isolation,
}
_BY_FACTS: Final[dict[str, Callable[[Filters, ListFacts], Predicate]]] = {
    "publish": _by_ports,
    "expose": _by_ports,
    "ancestor": _by_ancestor,
    "network": _by_network,
}
