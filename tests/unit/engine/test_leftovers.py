"""What is left of containers whose start failed."""

from pathlib import Path
from typing import cast

import pytest

from moorage.engine.containers import leftovers
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.leftovers import Leftovers
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Tasks
from moorage.engine.jobs import Jobs
from tests.unit.engine.fakes import ID, record


class LateGroups:
    """A cgroup that a dying process makes once more after it was removed."""

    def __init__(self) -> None:
        self.cleared: list[str] = []

    def path(self, one: ContainerRecord) -> str:
        return f"/docker/{one.id}"

    async def cleared_within(self, one: ContainerRecord, *, seconds: float) -> bool:
        assert seconds > 0
        return await self.try_clear(self.path(one))

    async def try_clear(self, path: str) -> bool:
        self.cleared.append(path)
        return True


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> LateGroups:
    monkeypatch.setattr(leftovers, "_FIRST_PAUSE", 0.0)
    return LateGroups()


def of(groups: LateGroups, notes: Path, jobs: Jobs) -> Leftovers:
    return Leftovers(
        groups=cast("ContainerGroups", groups), locks=ContainerLocks(), tasks=Tasks(), jobs=jobs, notes=notes
    )


async def test_it_looks_again(groups: LateGroups, tmp_path: Path) -> None:
    jobs, notes = Jobs(), tmp_path / "notes"
    await of(groups, notes, jobs).clear(record())
    await jobs.share(f"clear:{ID}", _never)
    assert groups.cleared == [f"/docker/{ID}"] * 2
    assert list(notes.iterdir()) == []


async def test_so_does_the_next_daemon(groups: LateGroups, tmp_path: Path) -> None:
    jobs, notes = Jobs(), tmp_path / "notes"
    await of(groups, notes, jobs).clear(record())
    await jobs.finish(timeout=5)
    assert [note.name for note in notes.iterdir()] == [ID]
    of(groups, notes, jobs).resume()
    await jobs.share(f"clear:{ID}", _never)
    assert list(notes.iterdir()) == []


async def _never() -> None:
    raise AssertionError("no job looks again")
