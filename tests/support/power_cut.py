"""A program: do something to the stores on a disk that then loses its power, or look at what is left.

Usage: unshare --mount --net --propagation private python -m tests.support.power_cut DIRECTORY STEP CUT TYPE

It mounts a small file system of its own, takes a STEP in a child, and when that has been reported as done (or at the
CUT-th message of its progress) shuts the file system down as a power cut does: what was not synced is gone, the
journal too. Then it mounts the disk again and checks. Nothing is committed by a timer, so that a sync that is missing
shows every time. btrfs can't be shut down: the disk is copied at that moment, and the copy looked at.

Spec: ext4's EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, and xfs's like it.
"""

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from moorage.api.progress import ProgressMessage
from moorage.content.store import BlobStore
from moorage.daemon.foundations import read_engine_id
from moorage.distribution.storage.directory import DirectoryStore
from moorage.netlink import link
from moorage.netlink.socket import NetlinkSocket
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.state.database import Database
from moorage.state.migrations import MIGRATIONS
from moorage.state.volumes import VolumeRows
from moorage.volumes.store import VolumeStore
from tests.support.images import Engine, in_pieces, open_engine, tree
from tests.support.registry import FakeRegistry, digest_of, fake_registry, layer_tar

_SHUTDOWN: Final = 0x8004587D
_WITHOUT_LOG: Final = 2
_MEBIBYTE: Final = 1 << 20
_ATTEMPTS: Final = 200
_LEFT: Final = "disk-left"
# The least that each takes, and how it is made and mounted.
_SIZES: Final = {"ext4": 96 * _MEBIBYTE, "xfs": 320 * _MEBIBYTE, "btrfs": 160 * _MEBIBYTE}
_OPTIONS: Final = {"ext4": "loop,commit=1000", "xfs": "loop", "btrfs": "loop,commit=300"}


def _bytes(seed: int, size: int = _MEBIBYTE) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same in both processes, no secret


DATA: Final = _bytes(0, 3 * _MEBIBYTE)
FILES: Final = {"a": _bytes(1), "dir/b": _bytes(2), "empty": b""}
LAYERS: Final = [layer_tar({f"layer{number}": _bytes(10 + number)}) for number in range(3)]
CONTAINER: Final = "c" * 64
PORT: Final = 18731


def cut(root: Path) -> None:
    """Take the disk's power, and end."""
    directory = root.parent.parent
    if file_system(directory) == "btrfs":
        subprocess.run(["cp", "--sparse=always", str(directory / "disk"), str(directory / _LEFT)], check=True)
        os._exit(0)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
    os._exit(0)


# What is done; when it returns, its caller is told that it is done.


async def put_blob(root: Path) -> None:
    await BlobStore.open(root / "content").put(DATA)


async def stream_blob(root: Path) -> None:
    async with BlobStore.open(root / "content").ingest(None) as ingest:
        async for chunk in in_pieces(DATA):
            await ingest.write(chunk)
        await ingest.commit()


async def set_aside(root: Path) -> None:
    store = BlobStore.open(root / "content")
    store.set_aside(await store.put(DATA))


async def apply_layer(root: Path) -> None:
    async with open_engine(root) as engine:
        await engine.snapshots.apply(parent=None, diff_id=None, source=in_pieces(layer_tar(FILES)))
        cut(root)


async def replace_layer(root: Path) -> None:
    async with open_engine(root) as engine:
        image = await engine.import_(layer_tar(FILES), "made:1")
        (layer,) = image.layers
        (engine.snapshots.lower_dirs(layer.chain_id)[0] / "a").unlink()
        os.sync()
        assert await engine.snapshots.replace(
            layer.chain_id, engine.blobs.path(layer.blob.digest), allowed=lambda: True
        )
        cut(root)


async def import_image(root: Path) -> None:
    async with open_engine(root) as engine:
        await engine.import_(layer_tar(FILES), "made:1")
        cut(root)


async def remove_image(root: Path) -> None:
    async with open_engine(root) as engine:
        await engine.import_(layer_tar(FILES), "made:1")
        os.sync()
        await engine.remover.remove("made:1")
        cut(root)


async def write_objects(root: Path) -> None:
    store = DirectoryStore(root / "registry")
    os.sync()
    await store.write("repositories/app/link", b"digest")
    (root / "registry/upload").write_bytes(DATA)
    await store.adopt("blobs/sha256/0", root / "registry/upload")


async def add_volume(root: Path) -> None:
    database = Database.open(root / "moorage.db", migrations=MIGRATIONS)
    (root / "volumes").mkdir()
    os.sync()
    store = VolumeStore(root / "volumes", VolumeRows(database))
    await store.add("data", options=None, labels=None)
    await database.close()


async def make_container(root: Path) -> None:
    async with open_engine(root) as engine:
        image = await engine.import_(layer_tar(FILES), "made:1")
        os.sync()
        await engine.snapshots.prepare_container(CONTAINER, image.chain_id)
        # As the container's row is stored next.
        await engine.tagger.tag("made:1", name=parse_reference("other:1"))
        cut(root)


async def make_engine_id(root: Path) -> None:
    read_engine_id(root / "engine-id")


async def pull(root: Path, at: int) -> None:
    """Pull; the power goes at a message of the progress, or at the end."""
    left = [at]

    def report(_: ProgressMessage) -> None:
        left[0] -= 1
        if left[0] == 0:
            cut(root)

    async with open_engine(root) as engine, serving() as registry:
        name = parse_reference(f"{registry.host}/app:1")
        await engine.puller.pull(name, report=report)
        cut(root)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[FakeRegistry]:
    async with fake_registry(port=PORT) as registry:
        registry.add_image("app", "1", layers=LAYERS)
        yield registry


# What must be true afterwards.


async def has_blob(root: Path) -> None:
    store = BlobStore.open(root / "content")
    digest = Digest(digest_of(DATA))
    assert store.hash_of(digest) == digest


async def has_blob_aside(root: Path) -> None:
    store = BlobStore.open(root / "content")
    digest = Digest(digest_of(DATA))
    assert not store.contains(digest)
    assert (root / "content/damaged" / digest.removeprefix("sha256:")).read_bytes() == DATA


async def has_layer(root: Path) -> None:
    archive = root.parent / "layer.tar"
    archive.write_bytes(layer_tar(FILES))
    async with open_engine(root) as engine:
        (snapshot,) = engine.snapshots.list()
        assert (await engine.snapshots.compare(snapshot.chain_id, archive)).count == 0
        found = {name: (engine.snapshots.lower_dirs(snapshot.chain_id)[0] / name).read_bytes() for name in FILES}
        assert found == FILES


async def has_image(root: Path) -> None:
    async with open_engine(root) as engine:
        assert tree(engine, engine.catalog.resolve("made:1")) == FILES
        await assert_consistent(engine)


async def has_removed_image(root: Path) -> None:
    """The removal was told when the row was gone; a crash leaves content for the next collection, and no name."""
    async with open_engine(root) as engine:
        assert engine.catalog.images() == []
        await engine.collector.collect()
        assert (engine.blobs.list(), engine.snapshots.list()) == ([], [])


async def has_objects(root: Path) -> None:
    store = DirectoryStore(root / "registry")
    assert await store.read("repositories/app/link") == b"digest"
    assert await store.read("blobs/sha256/0") == DATA


async def has_volume(root: Path) -> None:
    database = Database.open(root / "moorage.db", migrations=MIGRATIONS)
    store = VolumeStore(root / "volumes", VolumeRows(database))
    await store.open()
    assert [volume.name for volume in store.all()] == ["data"]
    assert (root / "volumes/data/_data").is_dir()
    await database.close()


async def has_container(root: Path) -> None:
    async with open_engine(root) as engine:
        engine.catalog.resolve("other:1")
        assert (root / "containers" / CONTAINER / "upper").is_dir()
        assert (root / "containers" / CONTAINER / "work").is_dir()


async def has_engine_id(root: Path) -> None:
    assert len((root / "engine-id").read_text().strip()) == 36


async def is_pulled(root: Path, *, finished: bool) -> None:
    async with open_engine(root) as engine:
        await engine.collector.collect()
        await assert_consistent(engine)
        assert len(engine.catalog.images()) == 1 or not finished
        async with serving() as registry:
            await engine.pull(f"{registry.host}/app:1")
            wanted = {f"layer{number}": _bytes(10 + number) for number in range(3)}
            assert tree(engine, engine.catalog.resolve(f"{registry.host}/app:1")) == wanted
        await assert_consistent(engine)


async def assert_consistent(engine: Engine) -> None:
    """Every blob is what its name says, every image has all its parts, every layer holds what its blob says."""
    for blob in engine.blobs.list():
        assert engine.blobs.hash_of(blob.digest) == blob.digest
    assert engine.blobs.strays(now=time.time()) == []
    assert engine.snapshots.strays() == []
    assert await engine.collector.unneeded_blobs() == []
    for image in engine.catalog.images():
        assert engine.blobs.contains(image.manifest)
        for layer in image.layers:
            assert engine.snapshots.is_complete(layer.chain_id)
            found = await engine.snapshots.compare(layer.chain_id, engine.blobs.path(layer.blob.digest))
            assert found.count == 0, found


Step = Callable[[Path], Awaitable[None]]
STEPS: Final[Mapping[str, tuple[Step, Step]]] = {
    "put-blob": (put_blob, has_blob),
    "stream-blob": (stream_blob, has_blob),
    "set-aside": (set_aside, has_blob_aside),
    "apply-layer": (apply_layer, has_layer),
    "replace-layer": (replace_layer, has_image),
    "import-image": (import_image, has_image),
    "remove-image": (remove_image, has_removed_image),
    "write-objects": (write_objects, has_objects),
    "add-volume": (add_volume, has_volume),
    "make-container": (make_container, has_container),
    "make-engine-id": (make_engine_id, has_engine_id),
}


async def act(root: Path, step: str, at: int) -> None:
    """Do it, and cut."""
    if step == "pull":
        await pull(root, at)
    await STEPS[step][0](root)
    cut(root)


async def look(root: Path, step: str, at: int) -> None:
    """Check what is left."""
    await (is_pulled(root, finished=not at) if step == "pull" else STEPS[step][1](root))


def file_system(directory: Path) -> str:
    """Return the type of the disk in a directory."""
    return (directory / "type").read_text()


def mount(disk: Path, root: Path) -> None:
    options = _OPTIONS[file_system(disk.parent)]
    subprocess.run(["mount", "-o", options, str(disk), str(root)], check=True)


def unmount(root: Path) -> None:
    """Unmount as soon as the workers of the process that was cut are gone."""
    for _ in range(_ATTEMPTS):
        if subprocess.run(["umount", str(root)], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the disk is still in use")


def main() -> None:
    """Mount, act, cut, mount again, look."""
    directory, step, at, kind = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    (directory / "type").write_text(kind)
    disk, root = directory / "disk", directory / "mnt"
    root.mkdir()
    with NetlinkSocket() as socket:
        socket.send(link.up(1))
    with disk.open("wb") as file:
        file.truncate(_SIZES[kind])
    subprocess.run([f"mkfs.{kind}", "-q", str(disk)], check=True)
    mount(disk, root)
    (root / "data").mkdir()
    os.sync()
    if (child := os.fork()) == 0:
        asyncio.run(act(root / "data", step, at))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    unmount(root)
    if (left := directory / _LEFT).exists():
        left.replace(disk)
    mount(disk, root)
    try:
        asyncio.run(look(root / "data", step, at))
    finally:
        unmount(root)
        shutil.rmtree(root)
        disk.unlink()


if __name__ == "__main__":
    main()
