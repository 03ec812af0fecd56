"""Unpack a layer of 20,000 small files and one of 200 MB: Moorage's worker against tar(1).

    python bench/unpack.py [--directory DIR] [--rounds N]

Tar and the worker read the same uncompressed archive; "store" is the whole way of a pull
without the network: gunzip, digest, worker, sync, rename.
"""

import argparse
import asyncio
import gzip
import io
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from moorage.snapshots.pumping import make_pipe
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import DirectWorkers, working

SMALL_FILES = 20_000
LARGE_FILES = 50
LARGE_SIZE = 4 << 20


def write_small(path: Path) -> None:
    """Write an archive of 20,000 files of 0 to 7 kB in 400 directories."""
    noise = os.urandom(8192)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for index in range(SMALL_FILES):
            if index % 50 == 0:
                directory = tarfile.TarInfo(f"usr/share/package-{index // 500}/part-{index // 50}")
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(directory)
            name = f"usr/share/package-{index // 500}/part-{index // 50}/file-{index}.txt"
            info = tarfile.TarInfo(name)
            info.size, info.mtime = index * 7 % 7000, 1_700_000_000 + index % 100
            archive.addfile(info, io.BytesIO(noise[: info.size]))


def write_large(path: Path) -> None:
    """Write an archive of 200 MB in 50 files that compress about twofold."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for index in range(LARGE_FILES):
            info = tarfile.TarInfo(f"lib/library-{index}.so")
            info.size = LARGE_SIZE
            archive.addfile(info, io.BytesIO(os.urandom(LARGE_SIZE // 2) + bytes(LARGE_SIZE // 2)))


def by_tar(archive: Path, target: Path) -> float:
    """Return the seconds tar takes."""
    start = time.perf_counter()
    subprocess.run(["tar", "-x", "-f", str(archive), "-C", str(target), "--numeric-owner"], check=True)
    return time.perf_counter() - start


async def by_worker(archive: Path, target: Path) -> float:
    """Return the seconds a worker takes once it is there: a fork of the launcher is there at once."""
    reader, writer = make_pipe()
    report = os.open("/dev/null", os.O_WRONLY)
    arguments = {"target": str(target), "whiteouts": "overlay", "limit": None}
    async with working(DirectWorkers(), "unpack", arguments, fds=[reader, report]) as worker:
        os.close(reader)
        os.close(report)
        await asyncio.sleep(0.5)
        start = time.perf_counter()
        await asyncio.to_thread(_copy, archive, writer)
        await worker.result()
        return time.perf_counter() - start


def _copy(archive: Path, writer: int) -> None:
    with archive.open("rb", buffering=0) as file:
        while os.sendfile(writer, file.fileno(), None, 1 << 20):
            pass
    os.close(writer)


async def by_store(archive: Path, target: Path) -> float:
    """Return the seconds of the whole way from a compressed blob to a layer in the store."""
    store = await SnapshotStore.open(target, workers=DirectWorkers())
    start = time.perf_counter()
    await store.apply(parent=None, diff_id=None, source=archive)
    return time.perf_counter() - start


Run = Callable[[Path, Path], Awaitable[float] | float]


async def compare(directory: Path, rounds: int) -> None:
    """Run both archives all three ways, in turn."""
    for name, write, files in (("small", write_small, SMALL_FILES), ("large", write_large, LARGE_FILES)):
        archive, packed = directory / f"{name}.tar", directory / f"{name}.tar.gz"
        write(archive)
        packed.write_bytes(gzip.compress(archive.read_bytes(), 1))
        size = archive.stat().st_size
        print(f"{name}: {files} files, {size / 1e6:.0f} MB, {packed.stat().st_size / 1e6:.0f} MB compressed")
        tar, worker, whole = await medians(
            directory,
            rounds,
            (("tar -x", by_tar, archive), ("worker", by_worker, archive), ("store", by_store, packed)),
        )
        print(f"  worker/tar {worker / tar:.2f}; {worker / files * 1e6:.1f} µs per file")
        print(f"  whole way {whole / tar:.2f} of tar -x, {size / whole / 1e6:.0f} MB/s")


async def medians(directory: Path, rounds: int, ways: Sequence[tuple[str, Run, Path]]) -> list[float]:
    """Print and return the median of each way.

    Nothing is removed before the end: ext4 looks at every inode that was freed in the last
    minute before it takes a new one, which would be measured instead.
    """
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for times, (_, run, archive) in zip(taken, ways, strict=True):
            target = Path(tempfile.mkdtemp(dir=directory))
            await asyncio.to_thread(os.sync)
            result = run(archive, target)
            times.append(result if isinstance(result, float) else await result)
    found = [statistics.median(times) for times in taken]
    for (label, _, _), median in zip(ways, found, strict=True):
        print(f"  {label:8} {median * 1000:6.0f} ms")
    return found


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="moorage-bench-") as directory:
        asyncio.run(compare(Path(directory), arguments.rounds))


if __name__ == "__main__":
    main()
