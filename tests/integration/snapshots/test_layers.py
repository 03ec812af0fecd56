"""Stacks of layers: the same answers from overlay and from copies."""

import asyncio
import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from moorage.content.compression import CorruptStreamError
from moorage.oci.digest import DiffID, chain_ids, stack
from moorage.snapshots import drivers
from moorage.snapshots.errors import (
    DiffIDMismatchError,
    JobInvalidError,
    JobNotSupportedError,
    SnapshotInUseError,
    SnapshotNotFoundError,
)
from moorage.snapshots.jobs import ContainerFiles
from moorage.snapshots.rootfs import Rootfs
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import DirectWorkers, Worker
from tests.integration.snapshots.conftest import MOUNT_POINTS, Stand, stream
from tests.support.archives import archive, directory, file, hard_link, symlink

pytestmark = pytest.mark.needs("root", "overlay")

BASE = [
    directory("etc"), file("etc/a", b"a"), file("etc/b", b"b"), directory("data", mode=0o1777),
    file("data/x", b"x"), symlink("link", "etc"), hard_link("data/same", "data/x"),
]  # fmt: skip


async def exported(stand: Stand, rootfs: Rootfs) -> dict[str, tarfile.TarInfo]:
    async with stand.jobs.export(ContainerFiles(root=rootfs)) as chunks:
        data = b"".join([chunk async for chunk in chunks])
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {info.name: info for info in opened.getmembers() if info.name not in MOUNT_POINTS}


def left(stand: Stand) -> list[str]:
    return sorted(path.name for root in stand.root.glob("snapshots*") for path in root.iterdir())


async def test_layers_show_what_the_top_ones_say(stand: Stand) -> None:
    rootfs = await stand.container(
        BASE,
        [directory("etc"), file("etc/.wh.a"), file("etc/b", b"new"), file("data", b"a file now")],
        [directory("etc"), file("etc/c", b"c"), file(".wh.link")],
    )
    found = await exported(stand, rootfs)
    assert sorted(found) == ["data", "etc", "etc/b", "etc/c"]
    assert found["data"].isreg()
    assert found["etc/b"].size == 3


async def test_an_opaque_directory_shows_nothing_of_those_below(stand: Stand) -> None:
    rootfs = await stand.container(BASE, [directory("etc"), file("etc/.wh..wh..opq"), file("etc/only", b"1")])
    assert [name for name in await exported(stand, rootfs) if name.startswith("etc")] == ["etc", "etc/only"]


async def test_a_directory_that_was_removed_and_made_again_is_empty(stand: Stand) -> None:
    rootfs = await stand.container(BASE, [file(".wh.etc"), directory("etc"), file("etc/new")])
    assert [name for name in await exported(stand, rootfs) if name.startswith("etc")] == ["etc", "etc/new"]


async def test_an_implied_directory_keeps_the_attributes_it_had_below(stand: Stand) -> None:
    rootfs = await stand.container(BASE, [file("data/new", b"1"), file("fresh/f")])
    found = await exported(stand, rootfs)
    assert found["data"].mode == 0o1777
    assert found["fresh"].mode == 0o755


async def test_implied_directories_are_completed_when_the_parent_comes_late(stand: Stand) -> None:
    if not stand.store.stacked:
        pytest.skip("a copy needs its parent first")
    base, top = archive(*BASE), archive(file("data/new", b"1"))
    base_id, top_id = (DiffID("sha256:" + hashlib.sha256(data).hexdigest()) for data in (base, top))
    await stand.store.apply(parent=stack(None, base_id), diff_id=top_id, source=stream(top))
    with pytest.raises(SnapshotNotFoundError):
        stand.store.lower_dirs(stack(stack(None, base_id), top_id))
    store = await SnapshotStore.open(stand.root, workers=DirectWorkers(), driver=stand.store.driver_name)
    await store.apply(parent=None, diff_id=base_id, source=stream(base))
    top_dir, _ = store.lower_dirs(stack(stack(None, base_id), top_id))
    assert stat.S_IMODE((top_dir / "data").stat().st_mode) == 0o1777
    assert sorted(path.name for path in top_dir.parent.iterdir()) == ["complete", "diff"]


async def test_layers_that_imply_directories_can_be_applied_all_at_once(stand: Stand) -> None:
    layers = [archive(*BASE), *(archive(file(f"data/{index}", b"1")) for index in range(6))]
    diff_ids = [DiffID("sha256:" + hashlib.sha256(data).hexdigest()) for data in layers]
    chains = chain_ids(diff_ids)
    await asyncio.gather(
        *(
            stand.store.apply(parent=below, diff_id=diff_id, source=stream(data))
            for below, diff_id, data in zip([None, *chains], diff_ids, layers, strict=False)
        )
    )
    found = await exported(stand, await stand.store.prepare_container("c", chains[-1]))
    assert found["data"].mode == 0o1777
    assert len([name for name in found if name.startswith("data/")]) == 8


async def test_compressed_layers_have_the_diff_id_of_their_content(stand: Stand) -> None:
    data = archive(*BASE)
    snapshot = await stand.store.apply(parent=None, diff_id=None, source=stream(gzip.compress(data)))
    assert snapshot.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    # The files "a", "b" and "x" once, and where the link leads.
    assert snapshot.size == 3 + len("etc")
    assert stand.store.total_size(snapshot.chain_id) == snapshot.size


async def test_a_blob_is_unpacked_from_its_file(stand: Stand) -> None:
    blob = stand.root / "blob"
    blob.write_bytes(gzip.compress(archive(*BASE)))
    progress: list[int] = []
    await stand.store.apply(parent=None, diff_id=None, source=blob, on_progress=progress.append)
    assert progress[-1] == blob.stat().st_size


async def test_one_job_serves_all_who_ask_for_a_layer(stand: Stand) -> None:
    data = archive(*BASE)
    diff_id = DiffID("sha256:" + hashlib.sha256(data).hexdigest())
    read: list[int] = []

    async def source(reader: int) -> AsyncIterator[bytes]:
        async for chunk in stream(data):
            read.append(reader)
            yield chunk

    found = await asyncio.gather(
        *(stand.store.apply(parent=None, diff_id=diff_id, source=source(reader)) for reader in range(4))
    )
    assert set(read) == {0}
    assert len({snapshot.chain_id for snapshot in found}) == 1


async def test_when_one_fails_the_next_tries_with_its_own_source(stand: Stand) -> None:
    data = archive(*BASE)
    diff_id = DiffID("sha256:" + hashlib.sha256(data).hexdigest())

    async def broken() -> AsyncIterator[bytes]:
        yield data[:600]
        raise ConnectionResetError

    results = await asyncio.gather(
        stand.store.apply(parent=None, diff_id=diff_id, source=broken()),
        stand.store.apply(parent=None, diff_id=diff_id, source=stream(data)),
        return_exceptions=True,
    )
    assert isinstance(results[0], ConnectionResetError)
    assert stand.store.contains(stack(None, diff_id))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no archive" * 200, JobInvalidError),
        (gzip.compress(archive(*BASE))[:-20], CorruptStreamError),
        (archive(*BASE)[:-2000], JobInvalidError),
        (archive(file("../evil")), JobInvalidError),
    ],
)
async def test_a_bad_layer_leaves_nothing(stand: Stand, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await stand.store.apply(parent=None, diff_id=None, source=stream(data))
    assert left(stand) == [".mount-points"]


async def test_another_layer_than_the_config_promises_leaves_nothing(stand: Stand) -> None:
    with pytest.raises(DiffIDMismatchError, match="layers from manifest don't match image configuration"):
        await stand.store.apply(parent=None, diff_id=DiffID("sha256:" + "0" * 64), source=stream(archive(*BASE)))
    assert left(stand) == [".mount-points"]


async def test_a_cancelled_job_leaves_nothing(stand: Stand) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield archive(*BASE)[:3000]
        started.set()
        await asyncio.Event().wait()

    job = asyncio.ensure_future(stand.store.apply(parent=None, diff_id=None, source=endless()))
    await started.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert left(stand) == [".mount-points"]


async def test_a_layer_goes_when_nothing_stands_on_it(stand: Stand) -> None:
    top = await stand.stack(BASE, [file("more")])
    base = stand.store.get(top).parent
    assert base is not None
    with pytest.raises(SnapshotInUseError):
        await stand.store.remove(base)
    await stand.store.remove(top)
    await stand.store.remove(top)
    await stand.store.remove(base)
    assert stand.store.list() == []
    with pytest.raises(SnapshotNotFoundError):
        stand.store.lower_dirs(top)
    await stand.store.removals.finish()
    assert left(stand) == [".mount-points"]


async def test_a_layer_that_is_being_removed_is_no_stray_and_may_come_again(stand: Stand) -> None:
    top = await stand.stack(BASE)
    await stand.store.remove(top)
    assert [path.name for path in stand.store.removals.paths] == left(stand)[1:]
    assert stand.store.strays() == []
    assert await stand.stack(BASE) == top
    await stand.store.removals.finish()
    assert left(stand) == sorted([".mount-points", top[7:]])


async def test_an_image_without_layers_makes_a_container(stand: Stand) -> None:
    rootfs = await stand.store.prepare_container("c", None)
    assert list(await exported(stand, rootfs)) == ["etc"]
    assert await stand.jobs.changes(rootfs) == []


async def test_a_container_goes_with_all_it_has(stand: Stand) -> None:
    await stand.container(BASE)
    await stand.store.remove_container("c")
    await stand.store.remove_container("c")
    assert list((stand.root / "containers").iterdir()) == []


async def test_only_whole_layers_are_there_after_a_restart(stand: Stand) -> None:
    top = await stand.stack(BASE, [file("more")])
    (root,) = stand.root.glob("snapshots*")
    (root / ".staging-1/diff/deep").mkdir(parents=True)
    (root / ".removed-1").mkdir()
    (root / ("f" * 64) / "diff").mkdir(parents=True)
    renamed = root / ("e" * 64)
    renamed.mkdir()
    (renamed / "complete").write_bytes((root / top[7:] / "complete").read_bytes())
    (stand.root / "containers/.removed-2").mkdir(parents=True)
    again = await SnapshotStore.open(stand.root, workers=DirectWorkers(), driver=stand.store.driver_name)
    assert sorted(again.list(), key=str) == sorted(stand.store.list(), key=str)
    assert again.lower_dirs(top) == stand.store.lower_dirs(top)
    assert len(left(stand)) == 3
    assert list((stand.root / "containers").iterdir()) == []


async def test_the_store_takes_overlay_where_it_can(tmp_path: Path) -> None:
    assert (await SnapshotStore.open(tmp_path, workers=DirectWorkers())).driver_name == "overlay2"


class Refusal:
    """A worker that has found no overlay."""

    async def message(self) -> Mapping[str, Any]:
        return {"ok": True, "supported": False, "reason": "fsopen overlay: no such device"}

    async def result(self) -> Mapping[str, Any]:
        return await self.message()

    async def stop(self) -> None:
        pass

    def leave(self) -> None:
        pass


class Lacking(DirectWorkers):
    """Workers on a host where some probes fail."""

    def __init__(self, *probes: str) -> None:
        self.probes = probes

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        return Refusal() if job in self.probes else await super().start(job, arguments, fds)


@pytest.mark.needs("fuse-overlayfs")
async def test_the_store_takes_fuse_overlayfs_where_overlay_cannot_be_mounted(tmp_path: Path) -> None:
    assert (await SnapshotStore.open(tmp_path, workers=Lacking("probe_overlay"))).driver_name == "fuse-overlayfs"


async def test_the_store_takes_copies_where_neither_works(tmp_path: Path) -> None:
    lacking = Lacking("probe_overlay", "probe_fuse")
    assert (await SnapshotStore.open(tmp_path, workers=lacking)).driver_name == "vfs"
    with pytest.raises(JobNotSupportedError, match="overlay can't be mounted"):
        await SnapshotStore.open(tmp_path, workers=lacking, driver="overlay2")


async def test_fuse_overlayfs_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "find_program", lambda: "")
    with pytest.raises(JobNotSupportedError, match=r"fuse-overlayfs can't be used .*: it is not installed"):
        await SnapshotStore.open(tmp_path, workers=DirectWorkers(), driver="fuse-overlayfs")
