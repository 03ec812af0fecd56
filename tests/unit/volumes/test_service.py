"""Volumes by Docker's rules, on a real database and real directories."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from moorage.api.filters import Filters
from moorage.errors import MoorageError
from moorage.state.database import Database
from moorage.state.migrations import MIGRATIONS
from moorage.state.volumes import VolumeRows
from moorage.volumes.local import spec_mount
from moorage.volumes.models import ANONYMOUS_LABEL, Volume, VolumeInUseError, VolumeNotFoundError
from moorage.volumes.service import VolumeService
from moorage.volumes.store import VolumeStore

T = TypeVar("T")


@dataclass
class FakeHost:
    """The rest of the engine, as volumes see it."""

    users: dict[str, tuple[str, ...]] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    jobs: list[asyncio.Task[Any]] = field(default_factory=list)

    def using_volume(self, name: str) -> tuple[str, ...]:
        return self.users.get(name, ())

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None) -> None:
        self.published.append(f"{kind} {action} {actor_id}".strip())

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self.jobs.append(task)
        return task

    async def remove_tree(self, path: Path) -> None:
        shutil.rmtree(path)

    async def disk_usage(self, path: Path) -> int:
        return sum(file.stat().st_size for file in path.rglob("*"))


@dataclass
class Rig:
    """A service, what it stands on, and a way to start it again."""

    directory: Path
    database: Database
    host: FakeHost
    service: VolumeService

    async def restarted(self) -> VolumeService:
        store = VolumeStore(self.directory / "volumes", VolumeRows(self.database))
        service = VolumeService(store, self.host, self.host, self.host, self.host)
        await service.open()
        return service


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    database = Database.open(tmp_path / "state.db", migrations=MIGRATIONS)
    host = FakeHost()
    store = VolumeStore(tmp_path / "volumes", VolumeRows(database))
    service = VolumeService(store, host, host, host, host)
    await service.open()
    yield Rig(tmp_path, database, host, service)
    await database.close()


async def test_a_volume_survives_a_restart(rig: Rig) -> None:
    created = await rig.service.create("data", labels={"a": "b"})
    assert Path(created.mountpoint).is_dir()
    assert (await rig.restarted()).get("data") == created


async def test_an_existing_name_returns_the_existing_volume(rig: Rig) -> None:
    first = await rig.service.create("data", labels={"a": "b"})
    assert await rig.service.create("data", labels={"c": "d"}) == first
    assert rig.host.published == ["volume create data"]


async def test_no_name_makes_an_anonymous_volume(rig: Rig) -> None:
    volume = await rig.service.create()
    assert len(volume.name) == 64
    assert volume.labels == {ANONYMOUS_LABEL: ""}


@pytest.mark.parametrize(
    ("name", "driver", "options", "message"),
    [
        ("a", "local", {}, "volume name is too short, names should be at least two alphanumeric characters"),
        ("../up", "local", {}, "includes invalid characters for a local volume name"),
        ("data", "nfs", {}, 'create data: error looking up volume plugin nfs: plugin "nfs" not found'),
        ("data", "local", {"colour": "blue"}, 'create data: invalid option: "colour"'),
        ("data", "local", {"type": "none"}, 'create data: missing required option: "device"'),
        ("data", "local", {"size": "1g"}, "no quota support"),
    ],
)
async def test_create_refuses(rig: Rig, name: str, driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(MoorageError, match=message):
        await rig.service.create(name, driver=driver, options=options)
    assert list((rig.directory / "volumes").iterdir()) == []


async def test_a_used_volume_stays(rig: Rig) -> None:
    await rig.service.create("data")
    rig.host.users["data"] = ("c1", "c2")
    with pytest.raises(VolumeInUseError, match=r"remove data: volume is in use - \[c1, c2\]"):
        await rig.service.remove("data", force=True)


async def test_removal_leaves_nothing(rig: Rig) -> None:
    volume = await rig.service.create("data")
    (Path(volume.mountpoint) / "file").write_text("content")
    await rig.service.remove("data")
    assert list((rig.directory / "volumes").iterdir()) == []
    with pytest.raises(VolumeNotFoundError, match="get data: no such volume"):
        rig.service.get("data")
    with pytest.raises(VolumeNotFoundError):
        await rig.service.remove("data")
    await rig.service.remove("data", force=True)


async def test_a_removal_that_was_cut_is_finished_at_the_next_start(rig: Rig) -> None:
    volume = await rig.service.create("data")
    (Path(volume.mountpoint) / "file").write_text("content")
    await rig.service.store.take_away(volume)
    service = await rig.restarted()
    assert service.store.all() == []
    assert list((rig.directory / "volumes").iterdir()) == []


async def test_a_creation_that_was_cut_leaves_nothing_and_loses_no_data(rig: Rig) -> None:
    root = rig.directory / "volumes"
    (root / "empty" / "_data").mkdir(parents=True)
    (root / "full" / "_data").mkdir(parents=True)
    (root / "full" / "_data" / "file").write_text("precious")
    service = await rig.restarted()
    assert [volume.name for volume in service.store.all()] == ["full"]
    assert [entry.name for entry in root.iterdir()] == ["full"]


async def test_prune_takes_anonymous_ones_unless_told(rig: Rig) -> None:
    await rig.service.create("named")
    used = await rig.service.create()
    unused = await rig.service.create()
    rig.host.users[used.name] = ("c1",)
    (Path(unused.mountpoint) / "file").write_bytes(b"x" * 10)
    pruned = await rig.service.prune(Filters(), named=False)
    assert (pruned.names, pruned.bytes) == ((unused.name,), 10)
    pruned = await rig.service.prune(Filters(), named=True)
    assert pruned.names == ("named",)


async def test_filters(rig: Rig) -> None:
    await rig.service.create("red", labels={"colour": "red"})
    await rig.service.create("blue", labels={"colour": "blue"})
    rig.host.users["red"] = ("c1",)

    def names(**filters: list[str]) -> list[str]:
        wanted = Filters({key: tuple(values) for key, values in filters.items()})
        return [volume.name for volume in rig.service.matching(wanted)]

    assert names() == ["blue", "red"]
    assert names(dangling=["true"]) == ["blue"]
    assert names(dangling=["0"]) == ["red"]
    assert names(name=["re"]) == ["red"]
    assert names(label=["colour"]) == ["blue", "red"]
    assert names(label=["colour=red"]) == ["red"]
    assert names(driver=["other"]) == []


def test_a_plain_volume_is_bound_and_one_with_a_device_is_mounted() -> None:
    plain = Volume(name="v1", created_at="", mountpoint="/v/_data")
    assert spec_mount(plain, destination="/d", options=["rbind", "ro"])["source"] == "/v/_data"
    share = Volume(name="v2", created_at="", mountpoint="/v", options={"type": "nfs", "device": ":/x", "o": "addr=h"})
    mount = spec_mount(share, destination="/d", options=["rbind", "ro"])
    assert (mount["type"], mount["source"], mount["options"]) == ("nfs", ":/x", ["addr=h", "ro"])
    bound = Volume(name="v3", created_at="", mountpoint="/v", options={"type": "none", "device": "/x", "o": "bind"})
    assert spec_mount(bound, destination="/d", options=["rbind"])["source"] == "/x"


async def test_a_client_that_leaves_does_not_cut_a_removal(rig: Rig) -> None:
    volume = await rig.service.create("data")
    Path(volume.mountpoint, "file").write_text("x")
    request = asyncio.create_task(rig.service.remove("data"))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.gather(*rig.host.jobs)
    assert list((rig.directory / "volumes").iterdir()) == []
    assert rig.host.published[-1] == "volume destroy data"


async def test_a_volume_that_cannot_be_recorded_is_not_listed(rig: Rig) -> None:
    await rig.database.close()
    with pytest.raises(MoorageError, match="closed"):
        await rig.service.create("data")
    assert rig.service.matching(Filters()) == []
