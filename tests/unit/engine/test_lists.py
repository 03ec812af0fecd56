"""Which containers a list shows, and what it says of them."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from moorage.api.containers import PortSummary
from moorage.api.filters import Filters
from moorage.api.versions import MAXIMUM
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import ContainerNotFoundError
from moorage.engine.containers.list_filters import ListRequest, select
from moorage.engine.containers.listing import ContainerLister
from moorage.engine.containers.records import ContainerRecord, ContainerState, Health, HealthStatus
from moorage.engine.containers.sizes import ContainerSizes
from moorage.errors import MoorageError, SystemFailureError
from moorage.images.errors import ImageNotFoundError
from tests.unit.engine.fakes import FakeEngine, FakeFiles, changed, record

IMAGE = "sha256:" + "1" * 64


class Facts:
    """What filters look up."""

    def ancestors(self, image: str) -> frozenset[str]:
        return frozenset({IMAGE} if image == "busybox" else ())

    def ports(self, record: ContainerRecord) -> Iterable[PortSummary]:
        if record.name != "web":
            return []
        return [PortSummary(private_port=80, public_port=8080, type="tcp"), PortSummary(private_port=53, type="udp")]

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
        ("expose", "50-60/UDP", ["web"]),
        ("expose", "8080", []),
        ("publish", "80", []),
        ("publish", "8080/tcp", ["web"]),
        ("publish", "8000-9000", ["web"]),
        ("ancestor", "busybox", ["web", "db", "old"]),
        ("ancestor", "nothing", []),
        ("before", "web", ["db", "old"]),
        ("since", "old", ["web", "db"]),
        ("is-task", "true", []),
    ],
)
async def test_filters(busy: FakeEngine, key: str, value: str, found: list[str]) -> None:
    assert names(busy, key, value, everything=True) == found


async def test_either_kind_of_port_is_enough(busy: FakeEngine) -> None:
    filters = Filters({"publish": ("1",), "expose": ("80",)})
    assert [each.name for each in select(busy.registry, ListRequest(filters=filters), Facts())] == ["web"]


async def test_a_beginning_of_several_ids_means_none(busy: FakeEngine) -> None:
    await busy.add(record("a" * 63 + "b", "other"))
    assert names(busy, "id", "a", everything=True) == []
    assert names(busy, "id", "a" * 64, everything=True) == ["web"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("status", "up", "invalid filter 'status=up': invalid value for state (up): must be one of created, "),
        ("exited", "x", "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("health", "well", "invalid filter 'health=well': invalid value for health (well): must be one of none, "),
        ("is-task", "x", "invalid filter 'is-task=[x]'"),
        ("publish", "1:2", "filter for 'publish' should not contain ':': 1:2"),
        ("expose", "x", "error while looking up for expose x: invalid start port 'x': invalid syntax"),
        (
            "expose",
            "1-70000",
            "error while looking up for expose 1-70000: invalid end port '70000': value out of range",
        ),
        ("publish", "9-8", "error while looking up for publish 9-8: invalid port range: 9-8"),
    ],
)
async def test_values_that_cannot_be(busy: FakeEngine, key: str, value: str, message: str) -> None:
    with pytest.raises(MoorageError) as refusal:
        names(busy, key, value)
    assert str(refusal.value).startswith(message)


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


async def test_a_container_that_is_removed_while_it_is_measured_is_left_out(busy: FakeEngine) -> None:
    class VanishingFiles(FakeFiles):
        """The files of a container that somebody removes meanwhile."""

        async def disk_usage(self, path: Path) -> int:
            if "b" * 64 in str(path):
                await busy.registry.remove("b" * 64)
                raise SystemFailureError(f"open {path}: no such file or directory")
            return 1

    made = dataclasses.replace(
        lister(busy), sizes=ContainerSizes(snapshots=busy.snapshots, files=VanishingFiles(), paths=busy.paths)
    )
    found = await made.with_sizes(ListRequest(everything=True), version=MAXIMUM)
    assert "b" * 64 not in {each.id for each in found}
    assert "a" * 64 in {each.id for each in found}
