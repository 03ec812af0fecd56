"""Volumes that live in memory, and starts that wait for one another because of one."""

import pytest

from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers import memory_volumes
from moorage.engine.containers.memory_volumes import MemoryVolumes, VolumeAwaitedError
from moorage.engine.containers.records import ContainerRecord
from moorage.volumes.models import Volume
from tests.unit.engine.fakes import FakeEngine, record


@pytest.fixture
def shared(engine: FakeEngine) -> MemoryVolumes:
    options = {"type": "tmpfs", "device": "tmpfs"}
    for name in ("one", "two"):
        engine.volumes.volumes[name] = Volume(name=name, created_at="", mountpoint="/v", options=options)
    return MemoryVolumes(registry=engine.registry, volumes=engine.volumes)


def user(letter: str, *volumes: str) -> ContainerRecord:
    mounts = tuple(PlannedMount(kind=MountKind.VOLUME, destination=f"/{name}", name=name) for name in volumes)
    return record(letter * 64, letter, mounts=mounts)


async def test_a_start_that_hangs_is_not_waited_for_without_end(
    shared: MemoryVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_volumes, "_PATIENCE", 0.01)
    async with shared.first_use(user("a", "two")):
        with pytest.raises(VolumeAwaitedError, match="volume two: "):
            async with shared.first_use(user("b", "one", "two")):
                pass
        # The one that failed holds nothing.
        async with shared.first_use(user("c", "one")):
            pass
    async with shared.first_use(user("b", "one", "two")):
        pass
