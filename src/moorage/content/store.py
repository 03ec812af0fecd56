"""Blobs by digest, as an OCI image layout.

A blob's file is complete and verified if it is there: it is written under another name,
checked, synced and renamed. What was cut off stays in `ingest/` under the digest it should
have, and the next attempt goes on from there.

Spec: image-spec, image-layout.md.
"""

import asyncio
import contextlib
import hashlib
import itertools
import os
import re
import uuid
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Self

from moorage.content.errors import BlobNotFoundError, BlobTooLargeError
from moorage.content.ingest import Blob, Ingest
from moorage.content.layout import sync_directory, write_durably
from moorage.oci.digest import Digest, digest_of, hex_of

MANIFEST_LIMIT: Final = 4 << 20
"""Bytes of the largest manifest that any registry takes."""

_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
# Images are named in the database; the file is there because the layout demands it.
_INDEX: Final = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
_UNNAMED: Final = "unnamed-"
_BLOB_NAME: Final = re.compile("[0-9a-f]{64}")
_PARTIAL: Final = ".partial"
_PIECE: Final = 1 << 20
_LARGE: Final = 1 << 20
"""Bytes of a file whose end takes the kernel long enough to be worth a thread."""
_PAUSE: Final = 0.05
"""Seconds between a removal and the work of giving its room back, which takes processors from whoever is answered."""
_PARTIAL_SECONDS: Final = 7 * 86400.0


class Hold:
    """Keeps blobs from garbage collection while nothing in the database names them yet."""

    def __init__(self) -> None:
        self.digests: set[Digest] = set()

    def add(self, *digests: Digest) -> None:
        """Keep these, too."""
        self.digests.update(digests)


class BlobStore:
    """The blobs below one directory. Made by `open`."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs" / "sha256"
        self._ingest = root / "ingest"
        self._damaged = root / "damaged"
        self._unnamed: set[str] = set()
        # Whoever stores a blob of unknown digest can't hold it before it is there.
        self._arriving: list[Ingest] = []
        self._deleting: set[Digest] = set()
        self._holds: list[Hold] = []
        self._freeing: set[asyncio.Task[None]] = set()
        self._locks: weakref.WeakValueDictionary[Digest, asyncio.Lock] = weakref.WeakValueDictionary()

    @classmethod
    def open(cls, root: Path) -> Self:
        """Make the layout if it is missing, and drop what can't be resumed; blocks."""
        store = cls(root)
        store.make_directories()
        for name, content in (("oci-layout", _LAYOUT), ("index.json", _INDEX)):
            if not (root / name).exists():
                write_durably(root / name, content)
        for left in store._ingest.glob(f"{_UNNAMED}*"):
            left.unlink()
        return store

    def make_directories(self) -> None:
        """Make the directories that are missing; blocks."""
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where everything is."""
        return self._blobs, self._ingest

    def path(self, digest: Digest) -> Path:
        """Return where a blob is, or would be."""
        return self._blobs / hex_of(digest)

    def contains(self, digest: Digest) -> bool:
        """Tell whether a blob is here, whole, and to stay."""
        return digest not in self._deleting and self.path(digest).exists()

    def size(self, digest: Digest) -> int:
        """Return a blob's length in bytes.

        Raises:
            BlobNotFoundError: It is not here.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise BlobNotFoundError(digest) from None

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading; the caller closes it.

        Raises:
            BlobNotFoundError: It is not here.
        """
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise BlobNotFoundError(digest) from None

    def list(self) -> list[Blob]:
        """Return all blobs, in no order."""
        with os.scandir(self._blobs) as entries:
            return [
                Blob(digest=Digest(f"sha256:{entry.name}"), size=entry.stat().st_size)
                for entry in entries
                if _BLOB_NAME.fullmatch(entry.name)
            ]

    async def read(self, digest: Digest, *, limit: int = MANIFEST_LIMIT) -> bytes:
        """Return a small blob.

        Raises:
            BlobNotFoundError: It is not here.
            BlobTooLargeError: It is longer than `limit` bytes.
        """
        return await asyncio.to_thread(self._read, digest, limit)

    async def put(self, data: bytes) -> Digest:
        """Store a small blob; one that is here already is left alone."""
        digest = digest_of(data)
        async with self.ingest(digest, size=len(data)) as ingest:
            if not ingest.complete:
                await ingest.restart()
                await ingest.write(data)
                await ingest.commit()
        return digest

    async def delete(self, digest: Digest) -> bool:
        """Remove a blob and what was kept of it, unless somebody holds it; return whether it is gone.

        Who writes it meanwhile waits, and then writes it anew. The room of a large one is given
        back afterwards: see `wait_freed`.
        """
        if digest in self.held():
            return False
        async with self._lock_for(digest):
            self._deleting.add(digest)
            try:
                last_fd = await asyncio.to_thread(self._delete, digest)
            finally:
                self._deleting.discard(digest)
        if last_fd is not None:
            freeing = asyncio.get_running_loop().create_task(_free(last_fd))
            self._freeing.add(freeing)
            freeing.add_done_callback(self._freeing.discard)
        return True

    async def wait_freed(self) -> None:
        """Wait until the room of what was removed so far is given back."""
        if self._freeing:
            await asyncio.wait(set(self._freeing))

    @contextlib.asynccontextmanager
    async def ingest(self, digest: Digest | None, *, size: int | None = None) -> AsyncIterator[Ingest]:
        """Write a blob; a second writer of the same waits, and then finds it complete.

        Left without a commit, the partial file of a known digest stays for the next attempt.

        Args:
            digest: None when it is not known before the end.
            size: Bytes by the descriptor; None when not known.
        """
        if digest is None:
            name = f"{_UNNAMED}{uuid.uuid4().hex}"
            self._unnamed.add(name)
            arriving = Ingest(self._ingest / name, self._blobs, digest=None, size=size, lock_for=self._lock_for)
            self._arriving.append(arriving)
            try:
                async with self._begin(arriving) as ingest:
                    yield ingest
            finally:
                self._arriving.remove(arriving)
                self._unnamed.discard(name)
            return
        async with self._lock_for(digest):
            partial = self._ingest / f"{hex_of(digest)}{_PARTIAL}"
            ingest = Ingest(partial, self._blobs, digest=digest, size=size)
            if await asyncio.to_thread(self.contains, digest):
                ingest.complete = True
                yield ingest
                return
            async with self._begin(ingest, keep=True):
                yield ingest

    @contextlib.contextmanager
    def hold(self) -> Iterator[Hold]:
        """Keep blobs from garbage collection until the block ends."""
        hold = Hold()
        self._holds.append(hold)
        try:
            yield hold
        finally:
            self._holds.remove(hold)

    def expire_partials(self, *, now: float) -> None:
        """Drop what was fetched of blobs that nobody has come back for in a week."""
        for partial in self._ingest.glob(f"*{_PARTIAL}"):
            if self._is_expired(partial, now=now):
                partial.unlink(missing_ok=True)

    def strays(self, *, now: float) -> Sequence[Path]:
        """Return what lies among the blobs and the downloads and is neither; blocks."""
        found = [path for path in self._blobs.iterdir() if not _BLOB_NAME.fullmatch(path.name)]
        for path in self._ingest.iterdir():
            known = path.name in self._unnamed or bool(_BLOB_NAME.fullmatch(path.name.removesuffix(_PARTIAL)))
            if not known or self._is_expired(path, now=now):
                found.append(path)
        return found

    def hash_of(self, digest: Digest) -> Digest:
        """Return the digest of what is stored under a digest; blocks.

        Raises:
            BlobNotFoundError: It is not here.
        """
        hashed = hashlib.sha256()
        with self.open_blob(digest) as file:
            while chunk := file.read(_PIECE):
                hashed.update(chunk)
        return Digest(f"sha256:{hashed.hexdigest()}")

    def set_aside(self, digest: Digest) -> Path:
        """Take a damaged blob out of the store, so that it is fetched again, and return where it lies now; blocks."""
        self._damaged.mkdir(exist_ok=True)
        name = hex_of(digest)
        # What was set aside before is not ours to throw away.
        names = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(1)))
        aside = next(path for path in (self._damaged / each for each in names) if not os.path.lexists(path))
        self.path(digest).rename(aside)
        sync_directory(self._damaged)
        sync_directory(self._blobs)
        return aside

    def _is_expired(self, partial: Path, *, now: float) -> bool:
        if not partial.name.endswith(_PARTIAL):
            return False
        digest = Digest(f"sha256:{partial.name.removesuffix(_PARTIAL)}")
        try:
            return now - partial.stat().st_mtime > _PARTIAL_SECONDS and digest not in self.held()
        except FileNotFoundError:
            return False

    def held(self) -> set[Digest]:
        """Return what garbage collection must leave alone: held, or being written."""
        written = {digest for digest, lock in self._locks.items() if lock.locked()}
        arriving = {ingest.found for ingest in self._arriving if ingest.found is not None}
        return written.union(arriving, *(hold.digests for hold in self._holds))

    def _lock_for(self, digest: Digest) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    @contextlib.asynccontextmanager
    async def _begin(self, ingest: Ingest, *, keep: bool = False) -> AsyncIterator[Ingest]:
        try:
            await ingest.begin()
            yield ingest
        finally:
            await ingest.end(keep=keep)

    def _read(self, digest: Digest, limit: int) -> bytes:
        with self.open_blob(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise BlobTooLargeError(digest, limit)
        return data

    def _delete(self, digest: Digest) -> int | None:
        """Remove a blob's names; return a descriptor whose end gives back the room, which takes some time."""
        path = self.path(digest)
        last_fd = None
        # Without one, because there are too many, the room is given back at once.
        with contextlib.suppress(OSError):
            if path.stat().st_size >= _LARGE:
                last_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        path.unlink(missing_ok=True)
        (self._ingest / f"{hex_of(digest)}{_PARTIAL}").unlink(missing_ok=True)
        return last_fd


async def _free(last_fd: int) -> None:
    """Give the room of a removed blob back, a little later than the answer to who asked for it."""
    try:
        await asyncio.sleep(_PAUSE)
    finally:
        await asyncio.to_thread(os.close, last_fd)
