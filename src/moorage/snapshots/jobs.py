"""Everything the daemon does with files of containers and volumes; workers do it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moorage import faults
from moorage.snapshots.errors import PathSilentError
from moorage.snapshots.intake import pump_to
from moorage.snapshots.paths import Change, ChangeKind, PathStat, displayable
from moorage.snapshots.pumping import Source, make_pipe
from moorage.snapshots.reading import read_pipe
from moorage.snapshots.rootfs import Rootfs
from moorage.snapshots.workers import Worker, WorkerPool, run_insistently, working

_KINDS: Final = tuple(ChangeKind)
_QUIET_SECONDS: Final = 10.0
"""How long a walk may find nothing at all before its disk is taken for dead."""
_PATH_SECONDS: Final = 30.0
"""How long the host's file systems may take: one that is mounted on demand needs some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something of the host that is mounted in a container.

    Attributes:
        target: Where, as the container sees it.
        entry: The runtime-spec mount, if it is more than `source`.
    """

    source: Path
    target: str
    read_only: bool
    entry: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunningRoot:
    """The root of a running container, with all that is mounted in it.

    Attributes:
        pid: Of its init process, on the host.
    """

    pid: int

    def request(self) -> dict[str, Any]:
        """Return the `root` of a worker's request."""
        return {"pid": self.pid}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFiles:
    """The files of a container, as they are reached.

    Attributes:
        root: A running container's must be given as such: its layers are mounted, and
            mounting them twice would damage them.
        mounts: Its volumes and binds. A running container has them mounted already; they
            then only tell what may be written.
        read_only: The root file system may not be written.
    """

    root: Rootfs | RunningRoot
    mounts: Sequence[Mount] = ()
    read_only: bool = False

    def request(self) -> dict[str, Any]:
        """Return the arguments of archive jobs."""
        mounts = [
            {
                "source": str(mount.source),
                "target": mount.target,
                "read_only": mount.read_only,
                "entry": mount.entry,
            }
            for mount in self.mounts
        ]
        return {"root": self.root.request(), "mounts": mounts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of some paths.

    Attributes:
        missing: Those that are not there.
        failed: Directories that cannot be made, with the system's reason.
    """

    missing: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


class Archive:
    """A tar archive while it is made; iterate over it once.

    Attributes:
        stat: What the archive is of; only of `FileJobs.archive_get`.
    """

    def __init__(self, worker: Worker, pipe_fd: int, *, stat: PathStat | None = None) -> None:
        self._worker = worker
        self._pipe_fd = pipe_fd
        self.stat = stat

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in read_pipe(self._pipe_fd):
            yield chunk
        # Only now it is known whether that was all.
        await self._worker.result()


class FileJobs:
    """Starts workers for single jobs, and returns what they found."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers

    async def remove_tree(self, path: Path) -> None:
        """Remove a file or a directory with all in it; it may be gone already."""
        await run_insistently(self._workers, "remove_tree", {"path": str(path)})

    async def disk_usage(self, path: Path) -> int:
        """Return the bytes of all files below a directory, as Docker counts them.

        Raises:
            PathNotFoundError: There is no such directory.
            PathSilentError: Its disk does not answer.
        """
        worker = await self._workers.start("disk_usage", {"path": str(path)})
        try:
            while True:
                async with asyncio.timeout(_QUIET_SECONDS):
                    message = await worker.message()
                if message.get("ok"):
                    return int(message["size"])
        except TimeoutError:
            raise PathSilentError([str(path)]) from None
        finally:
            worker.leave()

    async def look(self, *, paths: Sequence[str] = (), directories: Sequence[str] = ()) -> Looked:
        """Look at paths of the host, and make directories that are missing.

        Raises:
            PathSilentError: A disk does not answer.
        """
        arguments = {"paths": list(paths), "directories": list(directories)}
        worker = await self._workers.start("look", arguments)
        try:
            async with asyncio.timeout(_PATH_SECONDS):
                result = await worker.result()
        except TimeoutError:
            raise PathSilentError([*paths, *directories]) from None
        finally:
            worker.leave()
        return Looked(missing=tuple(result["missing"]), failed=dict(result["failed"]))

    async def abort_root(self, pids: Sequence[int]) -> None:
        """Free the processes of a container from the program that serves their root, if it does not answer.

        Args:
            pids: On the host; one that has not ended is enough.

        Raises:
            PathSilentError: Even this has no end.
        """
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                await self._run("abort_root", {"pids": list(pids)})
        except TimeoutError:
            raise PathSilentError([f"/proc/{pid}/root" for pid in pids[:1]]) from None

    async def relabel(self, path: Path, label: str) -> None:
        """Give a file, or a directory with all in it, another SELinux label."""
        await self._run("relabel", {"path": str(path), "label": label})

    async def copy_up(self, rootfs: Rootfs, *, path: str, volume: Path) -> bool:
        """Fill an empty volume with what the image has at `path`.

        Returns:
            False if the image has no directory there, or the volume is not empty.
        """
        arguments = {**rootfs.image_request(), "path": path, "volume": str(volume)}
        result = await self._run("copy_up", arguments)
        return bool(result["copied"])

    async def make_directory(self, rootfs: Rootfs, path: str) -> None:
        """Make a directory of a container that is not running, and those above it.

        Raises:
            JobFailedError: Something else is in its place, in Docker's words.
        """
        await self._run("make_directory", {"root": rootfs.request(), "path": path})

    async def archive_stat(self, files: ContainerFiles, path: str) -> PathStat:
        """Describe a path of a container.

        Raises:
            PathNotFoundError: It does not exist.
        """
        return PathStat.parse(await self._run("archive_stat", {**files.request(), "path": path}))

    @contextlib.asynccontextmanager
    async def archive_get(self, files: ContainerFiles, path: str) -> AsyncIterator[Archive]:
        """Read a path of a container as an archive that begins with its last component.

        Raises:
            PathNotFoundError: It does not exist; before anything is read.
        """
        async with self._reading("archive_get", {**files.request(), "path": path}) as archive:
            yield archive

    async def archive_put(
        self,
        files: ContainerFiles,
        path: str,
        source: Source,
        *,
        no_overwrite_dir_non_dir: bool = False,
        chown: tuple[int, int] | None = None,
    ) -> None:
        """Unpack an archive, compressed or not, into a directory of a container.

        Args:
            chown: Gives everything to this user and group.

        Raises:
            PathNotFoundError: There is no such directory.
            JobInvalidError: It is no directory, or read-only, or the archive can't be
                unpacked there; Docker's words.
        """
        arguments = {
            **files.request(),
            "path": path,
            "read_only": files.read_only,
            "no_overwrite_dir_non_dir": no_overwrite_dir_non_dir,
            "owner": chown,
        }
        reader, writer = make_pipe()
        try:
            worker = await self._workers.start("archive_put", arguments, [reader])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        faults.point("archive_put:begun")
        try:
            await pump_to(worker, source, out_fd=writer)
            await worker.result()
            faults.point("archive_put:done")
        finally:
            await worker.stop()

    @contextlib.asynccontextmanager
    async def export(self, files: ContainerFiles) -> AsyncIterator[Archive]:
        """Read the whole root file system, without what is mounted in it."""
        root = files.root.request()
        if isinstance(files.root, RunningRoot):
            root["bare"] = True
        async with self._reading("export", {"root": root}) as archive:
            yield archive

    @contextlib.asynccontextmanager
    async def pack(self, rootfs: Rootfs) -> AsyncIterator[Archive]:
        """Read what a container changed as a layer. A running one should be paused."""
        async with self._reading("pack", rootfs.changes_request()) as archive:
            yield archive

    async def changes(self, rootfs: Rootfs) -> list[Change]:
        """List what a container changed, in the order of paths."""
        data = bytearray()
        async with self._reading("changes", rootfs.changes_request()) as lines:
            async for chunk in lines:
                data += chunk
        found = json.loads(b"[" + b",".join(data.splitlines()) + b"]")
        return [Change(kind=_KINDS[kind], path=displayable(path)) for kind, path in found]

    async def _run(self, job: str, arguments: Mapping[str, object]) -> Mapping[str, Any]:
        async with working(self._workers, job, arguments) as worker:
            return await worker.result()

    @contextlib.asynccontextmanager
    async def _reading(self, job: str, arguments: Mapping[str, object]) -> AsyncIterator[Archive]:
        reader, writer = make_pipe()
        try:
            try:
                worker = await self._workers.start(job, arguments, [writer])
            finally:
                os.close(writer)
            try:
                # A job that can't begin says so here, while the client can still be told.
                opened = await worker.message()
                stat = PathStat.parse(opened["stat"]) if "stat" in opened else None
                faults.point(f"{job}:begun")
                yield Archive(worker, reader, stat=stat)
            finally:
                # It changes nothing, so nobody needs to know when it is gone.
                worker.leave()
        finally:
            os.close(reader)
