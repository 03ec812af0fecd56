"""Which containers a list shows.

The values of a request become one predicate per key; a list is then a single walk.

Spec: Engine API, GET /containers/json, "filters".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from moorage.api.filters import Filters, InvalidFilterError
from moorage.engine.containers.errors import ContainerNotFoundError, RequestRefusedError
from moorage.engine.containers.records import ContainerRecord, ContainerStatus
from moorage.engine.containers.registry import ContainerRegistry
from moorage.errors import MoorageError

Predicate = Callable[[ContainerRecord], bool]

_HEALTH: Final = frozenset({"starting", "healthy", "unhealthy", "none"})
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")


class ListFacts(Protocol):
    """What filters look up outside a container's record."""

    def ancestors(self, image: str) -> frozenset[str]:
        """Return the IDs of an image and of all images made from it."""

    def published(self, record: ContainerRecord) -> Iterable[str]:
        """Return the container ports that are published, as `80/tcp`."""

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


def _by_id(filters: Filters) -> Predicate:
    return lambda record: filters.matches_prefix("id", record.id)


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
    try:
        codes = {int(value) for value in filters.get("exited")}
    except ValueError:
        raise InvalidFilterError("exited", filters.get("exited")) from None
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


def _by_expose(filters: Filters) -> Predicate:
    wanted = _port_set("expose", filters)
    return lambda record: not wanted.isdisjoint(record.config.exposed_ports)


def _by_isolation(_: Filters) -> Predicate:
    # Linux has one kind of isolation, and Docker does not look at the value there.
    return lambda _: True


def _by_publish(filters: Filters, facts: ListFacts) -> Predicate:
    wanted = _port_set("publish", filters)
    return lambda record: not wanted.isdisjoint(facts.published(record))


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
            raise RequestRefusedError(f"filter for '{key}' should not contain ':': {value}")
        match = _PORTS.fullmatch(value)
        if match is None:
            raise RequestRefusedError(f"error while looking up for {key} {value}: invalid port")
        first, last, protocol = int(match[1]), int(match[2] or match[1]), match[3] or "tcp"
        ports |= {f"{port}/{protocol}" for port in range(first, min(last, 65535) + 1)}
    return ports


_BY_RECORD: Final[dict[str, Callable[[Filters], Predicate]]] = {
    "id": _by_id,
    "name": _by_name,
    "label": _by_label,
    "status": _by_status,
    "exited": _by_exit_code,
    "health": _by_health,
    "is-task": _by_task,
    "volume": _by_volume,
    "expose": _by_expose,
    "isolation": _by_isolation,
}
_BY_FACTS: Final[dict[str, Callable[[Filters, ListFacts], Predicate]]] = {
    "publish": _by_publish,
    "ancestor": _by_ancestor,
    "network": _by_network,
}
