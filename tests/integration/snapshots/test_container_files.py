"""`docker cp`, `diff`, `export` and `commit` on containers that do not run."""

import asyncio
import bz2
import gzip
import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from moorage.errors import MoorageError
from moorage.snapshots.errors import JobFailedError, JobInvalidError, PathNotFoundError
from moorage.snapshots.jobs import ContainerFiles, Mount, RunningRoot
from moorage.snapshots.paths import ChangeKind
from moorage.snapshots.rootfs import DirectoryRootfs, OverlayRootfs, Rootfs
from tests.integration.snapshots.conftest import MOUNT_POINTS, Stand, stream
from tests.support.archives import archive, directory, file, hard_link, symlink, tree
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay")

IMAGE = [
    directory("etc", mode=0o750, gid=5), file("etc/passwd", b"root", mode=0o4640, uid=3), file("etc/group", b"g"),
    directory("usr/bin"), file("usr/bin/sh", b"#!" * 200_000), hard_link("usr/bin/ash", "usr/bin/sh"),
    symlink("bin", "usr/bin"), symlink("abs", "/etc/passwd"), symlink("up", "../../../etc"), symlink("broken", "a/b"),
    symlink("loop", "loop"), directory("data"), file("data/old", b"old"),
]  # fmt: skip


async def change(stand: Stand, rootfs: Rootfs, *members: bytes) -> None:
    await stand.jobs.archive_put(ContainerFiles(root=rootfs), "/", stream(archive(*members)))


async def read(stand: Stand, files: ContainerFiles, path: str) -> dict[str, tarfile.TarInfo]:
    async with stand.jobs.archive_get(files, path) as found:
        data = b"".join([chunk async for chunk in found])
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {info.name: info for info in opened.getmembers() if not is_mount_point(info.name)}


def is_mount_point(name: str) -> bool:
    return name.replace("./", "etc/", 1).lstrip("/") in MOUNT_POINTS


def own_tree(rootfs: Rootfs) -> Path:
    return rootfs.upper if isinstance(rootfs, OverlayRootfs) else rootfs.path


@pytest.mark.parametrize(
    ("path", "name", "kind", "target"),
    [
        ("/etc", "etc", stat.S_IFDIR, ""), ("etc/passwd", "passwd", stat.S_IFREG, ""),
        ("/", "/", stat.S_IFDIR, ""), ("/bin", "bin", stat.S_IFLNK, "/usr/bin"), ("/bin/", "bin", stat.S_IFDIR, ""),
        ("/abs", "abs", stat.S_IFLNK, "/etc/passwd"), ("/up", "up", stat.S_IFLNK, "/etc"),
        ("/broken", "broken", stat.S_IFLNK, "/a/b"), ("/bin/sh", "sh", stat.S_IFREG, ""),
        ("/etc/../../bin/.", ".", stat.S_IFDIR, ""),
    ],
)  # fmt: skip
async def test_a_path_is_described(stand: Stand, path: str, name: str, kind: int, target: str) -> None:
    found = await stand.jobs.archive_stat(ContainerFiles(root=await stand.container(IMAGE)), path)
    go = {stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFREG: 0}
    assert (found.name, found.mode & (0x8F << 24), found.link_target) == (name, go[kind], target)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/no/such", PathNotFoundError), ("/broken/", PathNotFoundError), ("/etc/passwd/", JobInvalidError),
        ("/etc/passwd/x", JobInvalidError), ("/loop/", JobInvalidError),
        # What is said of a name that can't be depends on the file system.
        ("/" + "n" * 300, (JobInvalidError, PathNotFoundError)),
    ],
)  # fmt: skip
async def test_a_path_that_is_not_there_is_an_error_before_anything_is_read(
    stand: Stand, path: str, error: type[MoorageError] | tuple[type[MoorageError], ...]
) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    with pytest.raises(error):
        await stand.jobs.archive_stat(files, path)
    with pytest.raises(error):
        await read(stand, files, path)


async def test_an_archive_begins_with_the_last_name_of_the_path(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    assert list(await read(stand, files, "/etc")) == ["etc", "etc/group", "etc/passwd"]
    assert list(await read(stand, files, "/etc/")) == ["etc", "etc/group", "etc/passwd"]
    assert list(await read(stand, files, "/etc/.")) == [".", "./group", "./passwd"]
    assert list(await read(stand, files, "/up/passwd")) == ["passwd"]
    assert list(await read(stand, files, "/bin/")) == ["bin", "bin/ash", "bin/sh"]
    assert (await read(stand, files, "/bin"))["bin"].linkname == "usr/bin"
    assert "/etc/passwd" in await read(stand, files, "/")


async def test_an_archive_tells_all_that_belongs_to_a_file(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    passwd = (await read(stand, files, "/etc"))["etc/passwd"]
    assert (passwd.size, passwd.mode, passwd.uid, passwd.mtime) == (4, 0o4640, 3, 1_600_000_000)
    programs = await read(stand, files, "/usr/bin/.")
    assert (programs["./sh"].type, programs["./sh"].linkname) == (tarfile.LNKTYPE, "./ash")
    assert programs["./ash"].size == 400_000


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
async def test_an_archive_of_any_compression_is_unpacked(stand: Stand, pack: type[bytes]) -> None:
    rootfs = await stand.container(IMAGE)
    data = pack(archive(file("new", b"1", uid=42, mode=0o600), directory("sub"), file("sub/f", b"2")))
    await stand.jobs.archive_put(ContainerFiles(root=rootfs), "/data/.", stream(data))
    files = await read(stand, ContainerFiles(root=rootfs), "/data")
    assert list(files) == ["data", "data/new", "data/old", "data/sub", "data/sub/f"]
    assert (files["data/new"].uid, files["data/new"].mode) == (42, 0o600)


async def test_an_archive_can_be_given_to_one_owner(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    await stand.jobs.archive_put(files, "/bin", stream(archive(file("new", b"1", uid=42))), chown=(7, 8))
    new = (await read(stand, files, "/usr/bin/new"))["new"]
    assert (new.uid, new.gid) == (7, 8)


async def test_marker_files_are_files_when_they_are_copied(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    put = stand.jobs.archive_put(files, "/data", stream(archive(file(".wh.old", b"1"))))
    if stand.store.marked:
        with pytest.raises(JobFailedError, match=r"open /data/\.wh\.old: invalid argument"):
            await put
        return
    await put
    assert list(await read(stand, files, "/data")) == ["data", "data/.wh.old", "data/old"]


@pytest.mark.parametrize(
    ("path", "member", "message"),
    [
        ("/etc/passwd", file("x"), "extraction point is not a directory"),
        ("/abs", file("x"), "extraction point is not a directory"),
        ("/", directory("abs"), 'cannot overwrite non-directory "/abs" with directory "/"'),
        ("/etc/..", file("data"), 'cannot overwrite directory "/data" with non-directory "/"'),
        ("/data", file("../evil"), '"../evil" is outside of "/data"'),
    ],
)
async def test_what_cannot_be_unpacked_has_dockers_words(stand: Stand, path: str, member: bytes, message: str) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    with pytest.raises(JobInvalidError) as caught:
        await stand.jobs.archive_put(files, path, stream(archive(member)), no_overwrite_dir_non_dir=True)
    assert str(caught.value) == message


async def test_a_directory_that_is_missing_is_not_made(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container(IMAGE))
    with pytest.raises(PathNotFoundError):
        await stand.jobs.archive_put(files, "/no", stream(archive(file("x"))))


async def test_a_link_in_the_container_leads_to_the_container(stand: Stand, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    files = ContainerFiles(root=await stand.container([*IMAGE, symlink("escape", str(outside))]))
    with pytest.raises(PathNotFoundError):
        await stand.jobs.archive_put(files, "/escape", stream(archive(file("evil"))))
    await stand.jobs.archive_put(files, "/", stream(archive(symlink("e", "/data/.."), file("e/evil", b"x"))))
    assert list(outside.iterdir()) == []
    assert (await read(stand, files, "/evil"))["evil"].size == 1


async def test_volumes_are_part_of_what_is_copied(stand: Stand, tmp_path: Path) -> None:
    volume, inner, single = tmp_path / "volume", tmp_path / "inner", tmp_path / "single"
    (volume / "sub").mkdir(parents=True)
    inner.mkdir()
    (volume / "v").write_text("volume")
    single.write_text("a file")
    mounts = [
        Mount(source=inner, target="/data/sub", read_only=True),
        Mount(source=volume, target="/data", read_only=False),
        Mount(source=single, target="/new/place/file", read_only=False),
    ]
    rootfs = await stand.container(IMAGE)
    files = ContainerFiles(root=rootfs, mounts=mounts, read_only=True)
    assert list(await read(stand, files, "/data")) == ["data", "data/sub", "data/v"]
    assert (await read(stand, files, "/new/place/file"))["file"].size == 6
    await stand.jobs.archive_put(files, "/data", stream(archive(file("put", b"x"))))
    assert (volume / "put").read_text() == "x"
    with pytest.raises(JobInvalidError, match="mounted volume is marked read-only"):
        await stand.jobs.archive_put(files, "/data/sub", stream(archive(file("put", b"x"))))
    with pytest.raises(JobInvalidError, match="container rootfs is marked read-only"):
        await stand.jobs.archive_put(files, "/etc", stream(archive(file("put", b"x"))))
    assert list(inner.iterdir()) == []
    # Nothing was mounted where the host could see it.
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


async def test_reading_changes_nothing(stand: Stand) -> None:
    rootfs = await stand.container(IMAGE)
    before = tree(own_tree(rootfs))
    await read(stand, ContainerFiles(root=rootfs), "/")
    assert tree(own_tree(rootfs)) == before
    assert await stand.jobs.changes(rootfs) == []


async def test_changes_are_told_as_docker_tells_them(stand: Stand) -> None:
    rootfs = await stand.container(IMAGE)
    await change(stand, rootfs, file("etc/passwd", b"changed"), file("data/new/deep", b"1"), file("usr/bin/x"))
    os.utime(own_tree(rootfs) / "usr/bin", ns=(0, 1_600_000_000_123_456_789))
    if isinstance(rootfs, OverlayRootfs):
        os.mknod(rootfs.upper / "abs", stat.S_IFCHR, 0)
    else:
        (rootfs.path / "abs").unlink()
    found = [(change.kind, change.path) for change in await stand.jobs.changes(rootfs)]
    modified, added, deleted = ChangeKind.MODIFIED, ChangeKind.ADDED, ChangeKind.DELETED
    assert found == [
        (deleted, "/abs"), (modified, "/data"), (added, "/data/new"), (added, "/data/new/deep"),
        (modified, "/etc"), (modified, "/etc/passwd"),
        (modified, "/usr"), (modified, "/usr/bin"), (added, "/usr/bin/x"),
    ]  # fmt: skip


async def test_a_container_committed_and_started_again_is_the_same(stand: Stand) -> None:
    rootfs = await stand.container(IMAGE)
    await change(
        stand, rootfs, file("etc/passwd", b"changed", mode=0o600), file("data", b"a file now"),
        directory("new", mode=0o1777), file("new/f", b"1", uid=9), hard_link("new/g", "new/f"), file("bin", b"b"),
    )  # fmt: skip
    if isinstance(rootfs, OverlayRootfs):
        os.mknod(rootfs.upper / "abs", stat.S_IFCHR, 0)
    else:
        (rootfs.path / "abs").unlink()
    async with stand.jobs.pack(rootfs) as chunks:
        layer = b"".join([chunk async for chunk in chunks])
    top = stand.store.list()[0].chain_id
    committed = await stand.store.apply(parent=top, diff_id=None, source=stream(layer))
    again = await stand.store.prepare_container("again", committed.chain_id)

    def facts(files: dict[str, tarfile.TarInfo]) -> list[tuple[object, ...]]:
        return [(i.name, i.type, i.size, i.mode, i.uid, i.gid, i.mtime, i.linkname) for i in files.values()]

    first = await read(stand, ContainerFiles(root=rootfs), "/")
    second = await read(stand, ContainerFiles(root=again), "/")
    assert facts(second)[1:] == facts(first)[1:]
    with tarfile.open(fileobj=io.BytesIO(layer)) as opened:
        names = opened.getnames()
    assert names == sorted(names)
    assert ".wh.abs" in names
    assert "usr/bin/sh" not in names


async def test_an_empty_volume_is_filled_from_the_image(stand: Stand, tmp_path: Path) -> None:
    rootfs = await stand.container(IMAGE)
    volume = tmp_path / "volume"
    volume.mkdir()
    assert await stand.jobs.copy_up(rootfs, path="/up/.", volume=volume)
    names = {name: content for name, content in tree(volume).items() if f"etc/{name}" not in MOUNT_POINTS}
    assert names == {"passwd": "root", "group": "g"}
    assert (stat.S_IMODE(volume.stat().st_mode), volume.stat().st_gid) == (0o750, 5)
    passwd = (volume / "passwd").stat()
    assert (stat.S_IMODE(passwd.st_mode), passwd.st_uid, passwd.st_mtime) == (0o4640, 3, 1_600_000_000.1234567)
    assert not await stand.jobs.copy_up(rootfs, path="/usr/bin", volume=volume)


@pytest.mark.parametrize("path", ["/no/such", "/etc/passwd", "/broken"])
async def test_a_volume_stays_empty_where_the_image_has_no_directory(stand: Stand, tmp_path: Path, path: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    assert not await stand.jobs.copy_up(await stand.container(IMAGE), path=path, volume=volume)
    assert list(volume.iterdir()) == []


async def test_a_copy_keeps_hard_links_and_links(stand: Stand, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    assert await stand.jobs.copy_up(await stand.container(IMAGE), path="/", volume=volume)
    assert (volume / "usr/bin/sh").samefile(volume / "usr/bin/ash")
    assert (volume / "abs").readlink() == Path("/etc/passwd")


# A container as the kernel sees it: its own mount namespace, its own root, a volume in it.
CONTAINER = """
import os, sys, time
from moorage.kernel import mount
from moorage.kernel.mount import MountFlag, UnmountFlag
from moorage.kernel.namespaces import CloneFlag, unshare
unshare(CloneFlag.NEWNS)
mount.mount(None, "/", flags=MountFlag.REC | MountFlag.PRIVATE)
mount.mount(sys.argv[1], sys.argv[1], flags=MountFlag.BIND)
os.chdir(sys.argv[1])
mount.pivot_root(".", ".")
mount.umount2(".", UnmountFlag.DETACH)
mount.mount("tmpfs", "/volume", "tmpfs")
os.mkdir("/volume/inside")
print("ready", flush=True)
time.sleep(60)
"""


async def test_a_running_container_shows_its_volumes_but_exports_none(stand: Stand, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "volume").mkdir(parents=True)
    (root / "file").write_text("text")
    (root / "escape").symlink_to(tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONTAINER, str(root), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        files = ContainerFiles(root=RunningRoot(process.pid))
        assert list(await read(stand, files, "/")) == ["", "/escape", "/file", "/volume", "/volume/inside"]
        await stand.jobs.archive_put(files, "/volume/inside", stream(archive(file("put", b"x"))))
        assert list(await read(stand, files, "/volume/inside")) == ["inside", "inside/put"]
        with pytest.raises(PathNotFoundError):
            await stand.jobs.archive_put(files, "/escape", stream(archive(file("put", b"x"))))
        async with stand.jobs.export(files) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            assert opened.getnames() == ["escape", "file", "volume"]
    finally:
        process.kill()
        await process.wait()


async def test_a_reader_that_leaves_early_ends_the_worker(stand: Stand) -> None:
    files = ContainerFiles(root=await stand.container([*IMAGE, file("big", bytes(20 << 20))]))
    async with asyncio.timeout(stretched(10)):
        async with stand.jobs.archive_get(files, "/") as found:
            async for _ in found:
                break


def test_launch_plans_name_what_the_shim_needs(tmp_path: Path) -> None:
    overlay = OverlayRootfs(lower=(tmp_path / "l",), upper=tmp_path / "u", work=tmp_path / "w")
    assert overlay.launch(volatile=True) == {
        "lower": [f"{tmp_path}/l"], "upper": f"{tmp_path}/u", "work": f"{tmp_path}/w", "volatile": True,
        "program": "",
    }  # fmt: skip
    assert DirectoryRootfs(path=tmp_path, image=tmp_path).launch() == {"path": str(tmp_path)}
