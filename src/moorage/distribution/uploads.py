"""Blobs on their way in: sessions that take bytes in order, from one request or from many.

The bytes are in a local file; what was hashed of them is in memory, and hashed again from
the file if this process was started anew meanwhile.

Spec: distribution-spec, "Pushing Blobs".
"""

import asyncio
import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.names import DEFAULT_ALGORITHM, algorithm_of
from moorage.distribution.ranges import Part
from moorage.oci.digest import Digest

_BATCH: Final = 1 << 20
_IDS: Final = 36


class Upload:
    """One session.

    Attributes:
        id: What the client knows it by.
        repository: Where the blob belongs.
        file: The bytes so far.
        size: Their number.
    """

    def __init__(self, session: str, repository: str, file: Path, *, algorithm: str) -> None:
        self.id = session
        self.repository = repository
        self.file = file
        self.size = 0
        self.lock = asyncio.Lock()
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)

    async def append(self, chunks: AsyncIterator[bytes], *, part: Part | None = None) -> None:
        """Take more bytes; call it while the lock is held.

        Args:
            part: Where the client says that they belong.

        Raises:
            RegistryRefusal: RANGE_INVALID, SIZE_INVALID: they belong elsewhere, or are not as many. Nothing is kept.
        """
        if part is not None and part.start != self.size:
            raise RegistryRefusal("RANGE_INVALID", "chunk is out of order", headers=self.headers())
        before, hashed = self.size, self._hash.copy()
        batch = bytearray()
        try:
            async for chunk in chunks:
                batch += chunk
                if len(batch) >= _BATCH:
                    full, batch = batch, bytearray()
                    await asyncio.to_thread(self._write, full)
        finally:
            # One that is cut off counts as far as it came: the client asks, and goes on from there.
            await asyncio.to_thread(self._write, batch)
        if part is not None and self.size != part.end:
            # One that lied is no part of the blob.
            self._hash, self.size = hashed, before
            await asyncio.to_thread(os.truncate, self.file, before)
            raise RegistryRefusal("SIZE_INVALID", "chunk is not as long as its range", headers=self.headers())

    async def verify(self, digest: Digest) -> None:
        """Check that the bytes are what the client says.

        Raises:
            RegistryRefusal: DIGEST_INVALID.
        """
        algorithm = algorithm_of(digest)
        if algorithm != self._algorithm:
            await asyncio.to_thread(self.rehash, algorithm)
        if f"{algorithm}:{self._hash.hexdigest()}" != digest:
            message = "provided digest did not match uploaded content"
            raise RegistryRefusal("DIGEST_INVALID", message, detail={"digest": digest})

    def headers(self) -> dict[str, str]:
        """Return what an answer about the session says."""
        return {
            "Location": f"/v2/{self.repository}/blobs/uploads/{self.id}",
            "Range": f"0-{max(0, self.size - 1)}",
            "Docker-Upload-UUID": self.id,
        }

    def rehash(self, algorithm: str) -> None:
        """Hash what is there from the beginning; blocks."""
        with self.file.open("rb") as file:
            self._hash = hashlib.file_digest(file, algorithm)
            self._algorithm, self.size = algorithm, file.tell()

    def _write(self, batch: bytearray) -> None:
        try:
            with self.file.open("ab") as file:
                file.write(batch)
        except OSError:
            # What came before is whole, and a client may go on from there.
            os.truncate(self.file, self.size)
            raise
        self._hash.update(batch)
        self.size += len(batch)


class Uploads:
    """All sessions.

    Args:
        directory: Where their files are; on the store's own file system, if it is a directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sessions: dict[str, Upload] = {}
        directory.mkdir(parents=True, exist_ok=True)

    async def begin(self, repository: str, *, algorithm: str = DEFAULT_ALGORITHM) -> Upload:
        """Open a session."""
        session = str(uuid.uuid4())
        file = self._file(repository, session)
        await asyncio.to_thread(_make_file, file)
        upload = self._sessions[session] = Upload(session, repository, file, algorithm=algorithm)
        return upload

    async def get(self, repository: str, session: str) -> Upload:
        """Return an open session.

        Raises:
            RegistryRefusal: BLOB_UPLOAD_UNKNOWN.
        """
        if (upload := self._sessions.get(session)) is None:
            upload = await self._recover(repository, session)
        if upload.repository != repository:
            raise _unknown(session)
        return upload

    def check_open(self, upload: Upload) -> None:
        """Refuse a session that another request has ended while this one waited for its lock.

        Raises:
            RegistryRefusal: BLOB_UPLOAD_UNKNOWN.
        """
        if self._sessions.get(upload.id) is not upload:
            raise _unknown(upload.id)

    async def end(self, upload: Upload) -> None:
        """Close a session; its file goes, unless it has become a blob."""
        self._sessions.pop(upload.id, None)
        await asyncio.to_thread(_discard, upload.file)

    async def expire(self, *, before: float) -> int:
        """Close the sessions whose last byte came before a time, in seconds since 1970; return how many."""
        expired = 0
        for file in await asyncio.to_thread(lambda: list(self._directory.rglob("*"))):
            with contextlib.suppress(FileNotFoundError):
                if file.is_file() and file.stat().st_mtime < before:
                    self._sessions.pop(file.name, None)
                    await asyncio.to_thread(_discard, file)
                    expired += 1
        return expired

    async def _recover(self, repository: str, session: str) -> Upload:
        file = self._file(repository, session)
        try:
            uuid.UUID(session)
        except ValueError:
            raise _unknown(session) from None
        if len(session) != _IDS or not file.exists():
            raise _unknown(session)
        upload = Upload(session, repository, file, algorithm=DEFAULT_ALGORITHM)
        await asyncio.to_thread(upload.rehash, DEFAULT_ALGORITHM)
        return self._sessions.setdefault(session, upload)

    def _file(self, repository: str, session: str) -> Path:
        return self._directory / repository.replace("/", "@") / session


def _make_file(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.touch()
    os.utime(file, (time.time(),) * 2)


def _discard(file: Path) -> None:
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        file.parent.rmdir()


def _unknown(session: str) -> RegistryRefusal:
    return RegistryRefusal("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", detail={"session": session})
