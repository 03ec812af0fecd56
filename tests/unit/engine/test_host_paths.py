"""Paths that users name are known from the kernel's cache, or a worker looks at them."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from moorage.api.host_config import DeviceMapping
from moorage.engine.bundles.bind_syntax import InvalidMountError
from moorage.engine.bundles.devices import _foreign_mounts
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.host_paths import HostPaths
from moorage.kernel.openat import lookup_cached
from moorage.snapshots import jobs
from moorage.snapshots.errors import PathSilentError
from moorage.snapshots.jobs import FileJobs, Looked
from moorage.snapshots.workers import Worker
from tests.unit.engine.fakes import record


class Looker:
    """Remembers what it had to look at, and finds nothing."""

    def __init__(self, **found: Any) -> None:
        self.looked: list[str] = []
        self._found = Looked(**found)

    async def look(self, *, paths: Sequence[str] = (), directories: Sequence[str] = ()) -> Looked:
        self.looked += [*paths, *directories]
        return self._found


def bind(source: str, *, create: bool = False, subpath: str = "") -> PlannedMount:
    return PlannedMount(
        kind=MountKind.BIND, source=source, destination="/mnt", create_source=create, subpath=subpath
    )  # fmt: skip


async def test_what_the_kernel_knows_is_not_looked_at(tmp_path: Path) -> None:
    looker = Looker()
    if lookup_cached(str(tmp_path)) is None:
        pytest.skip("this kernel cannot say what it has cached")
    await HostPaths(looker).check_sources([bind(str(tmp_path))])
    assert HostPaths(looker).unsettled(record(mounts=(bind(str(tmp_path), create=True),))) == ([], [])
    assert looker.looked == []


async def test_what_is_missing_is_refused_in_dockers_words(tmp_path: Path) -> None:
    source = str(tmp_path / "none")
    with pytest.raises(InvalidMountError, match=f"bind source path does not exist: {source}"):
        await HostPaths(Looker(missing=(source,))).check_sources([bind(source)])


async def test_a_start_settles_subpaths_foreign_devices_and_missing_sources(tmp_path: Path) -> None:
    devices = [DeviceMapping(path_on_host="/far/node"), DeviceMapping(path_on_host="/dev/null")]
    source = str(tmp_path / "none")
    paths, directories = HostPaths(Looker()).unsettled(
        record(mounts=(bind("/far", subpath="a"), bind(source, create=True)), host={"devices": devices})
    )
    assert (paths, directories) == (["/far/a", "/far/node"], [source])


async def test_a_directory_that_cannot_be_made_is_told() -> None:
    with pytest.raises(RequestFailedError, match="while creating mount source path '/far': read-only file system"):
        await HostPaths(Looker(failed={"/far": "Read-only file system"})).settle([], ["/far"])


class Hanging:
    """Workers that never answer."""

    left = False

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        return self

    async def message(self) -> Mapping[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def result(self) -> Mapping[str, Any]:
        return await self.message()

    async def stop(self) -> None:
        raise AssertionError

    def leave(self) -> None:
        self.left = True


async def test_a_silent_disk_is_named_and_its_worker_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_PATH_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "_QUIET_SECONDS", 0.01)
    workers = Hanging()
    with pytest.raises(PathSilentError, match="no answer from the file system of /far"):
        await FileJobs(workers).look(paths=["/far"])
    assert workers.left
    with pytest.raises(PathSilentError, match="/volume"):
        await FileJobs(workers).disk_usage(Path("/volume"))


def test_file_systems_below_dev_that_hold_no_devices() -> None:
    mounts = ("/dev rw - devtmpfs udev rw", "/dev/pts rw shared:3 - devpts x rw", "/dev/far rw - fuse dead rw")
    mountinfo = "".join(f"1 0 0:5 / {line}\n" for line in mounts)
    assert _foreign_mounts(mountinfo) == {"/dev/far"}
