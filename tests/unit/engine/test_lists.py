"""Which containers a list shows, and what it says of them."""

from collections.abc import Iterable

import msgspec
import pytest

from moorage.api.filters import Filters
from moorage.api.versions import MAXIMUM
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import ContainerNotFoundError
from moorage.engine.containers.list_filters import ListRequest, select
from moorage.engine.containers.listing import ContainerLister
from moorage.engine.containers.records import ContainerRecord, ContainerState, Health, HealthStatus
from moorage.engine.containers.sizes import ContainerSizes
from moorage.errors import InvalidParameterError
from moorage.images.errors import ImageNotFoundError
from tests.unit.engine.fakes import FakeEngine, FakeFiles, changed, record

IMAGE = "sha256:" + "1" * 64


class Facts:
    """What filters look up."""

    def ancestors(self, image: str) -> frozenset[str]:
        return frozenset({IMAGE} if image == "busybox" else ())

    def published(self, record: ContainerRecord) -> Iterable[str]:
        return ["80/tcp"] if record.name == "web" else []

    def attached(self, record: ContainerRecord) -> Iterable[tuple[str, str]]:
        return [("bridge", "b" * 64)]


class NoImages:
    """A catalogue from which everything was removed."""

    def resolve(self, reference: str, *, platform: object = None) -> object:
        raise ImageNotFoundError(reference)

    def children(self, image_id: object) -> list[object]:
        return []


@pytest.fixture
async def busy(engine: FakeEngine) -> FakeEngine:
    up = ContainerState(running=True, started_at_ns=1)
    await engine.add(record("a" * 64, "web", created_ns=3, state=up, config={"labels": {"k": "v"}}))
    healthy = Health(status=HealthStatus.HEALTHY)
    await engine.add(changed(record("b" * 64, "db", created_ns=2, state=up), paused=True, health=healthy))
    gone = ContainerState(started_at_ns=1, finished_at_ns=2, exit_code=3)
    volume = PlannedMount(kind=MountKind.VOLUME, destination="/data", name="vol")
    await engine.add(
        record("c" * 64, "old", created_ns=1, state=gone, mounts=(volume,), config={"exposed_ports": {"53/udp": {}}})
    )
    return engine


def names(engine: FakeEngine, key: str = "", value: str = "", *, everything: bool = False, limit: int = 0) -> list[str]:
    filters = Filters({key: (value,)}) if key else Filters()
    request = ListRequest(everything=everything, limit=limit, filters=filters)
    return [each.name for each in select(engine.registry, request, Facts())]


async def test_running_ones_newest_first(busy: FakeEngine) -> None:
    assert names(busy) == ["web", "db"]
    assert names(busy, everything=True) == ["web", "db", "old"]


async def test_a_limit_shows_stopped_ones_too(busy: FakeEngine) -> None:
    assert names(busy, limit=3) == ["web", "db", "old"]
    assert names(busy, limit=1) == ["web"]


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("name", "we", ["web"]),
        ("name", "^/web$", ["web"]),
        ("name", "^db$", ["db"]),
        ("id", "bb", ["db"]),
        ("label", "k=v", ["web"]),
        ("label", "k=w", []),
        ("status", "paused", ["db"]),
        ("status", "exited", ["old"]),
        ("exited", "3", ["old"]),
        ("exited", "0", []),
        ("health", "healthy", ["db"]),
        ("volume", "vol", ["old"]),
        ("volume", "/data", ["old"]),
        ("network", "bridge", ["web", "db", "old"]),
        ("network", "bbb", ["web", "db", "old"]),
        ("expose", "50-60/udp", ["old"]),
        ("publish", "80", ["web"]),
        ("ancestor", "busybox", ["web", "db", "old"]),
        ("ancestor", "nothing", []),
        ("before", "web", ["db", "old"]),
        ("since", "old", ["web", "db"]),
        ("is-task", "true", []),
    ],
)
async def test_filters(busy: FakeEngine, key: str, value: str, found: list[str]) -> None:
    assert names(busy, key, value, everything=True) == found


@pytest.mark.parametrize(
    ("key", "value"), [("status", "up"), ("exited", "x"), ("health", "well"), ("publish", "1:2"), ("expose", "x")]
)
async def test_values_that_cannot_be(busy: FakeEngine, key: str, value: str) -> None:
    with pytest.raises(InvalidParameterError):
        names(busy, key, value)


async def test_before_nobody(busy: FakeEngine) -> None:
    with pytest.raises(ContainerNotFoundError):
        names(busy, "before", "nobody")


def lister(engine: FakeEngine) -> ContainerLister:
    return ContainerLister(
        registry=engine.registry,
        images=NoImages(),  # type: ignore[arg-type]  # it only ever refuses
        networks=engine.networks,
        sizes=ContainerSizes(snapshots=engine.snapshots, files=FakeFiles(), paths=engine.paths),
        facts=Facts(),
    )


async def test_the_json_follows_every_change(busy: FakeEngine) -> None:
    made = lister(busy)
    request = ListRequest()
    first = msgspec.json.decode(made.encoded(request, version=MAXIMUM))
    assert [each["State"] for each in first] == ["running", "paused"]
    assert first[0]["Names"] == ["/web"]
    assert first[0]["Status"].startswith("Up ")
    # The image is gone, so the ID stands for it.
    assert first[0]["Image"] == IMAGE
    await busy.registry.change_state("a" * 64, paused=True)
    second = msgspec.json.decode(made.encoded(request, version=MAXIMUM))
    assert [each["State"] for each in second] == ["paused", "paused"]


async def test_annotations_only_for_versions_that_know_them(busy: FakeEngine) -> None:
    await busy.add(record("d" * 64, "noted", host={"annotations": {"x": "y"}}))
    request = ListRequest(everything=True, filters=Filters({"name": ("noted",)}))
    new, old = (
        msgspec.json.decode(lister(busy).encoded(request, version=version))[0]["HostConfig"]
        for version in (MAXIMUM, type(MAXIMUM)(1, 45))
    )
    assert new == {"NetworkMode": "bridge", "Annotations": {"x": "y"}}
    assert old == {"NetworkMode": "bridge"}
