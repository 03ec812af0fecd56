"""Objects in a bucket of a store that speaks Amazon's S3 protocol.

Such a store replaces an object as a whole, so every write here is atomic without further ado.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from moorage.distribution.configuration import Settings
from moorage.distribution.storage.ports import ObjectFacts, ObjectMissingError

_CHUNK: Final = 8 << 20


def open_bucket(settings: Settings) -> "BucketStore":
    """Return the store that the settings name; nothing is asked of it yet."""
    plain = settings.s3_endpoint.startswith("http://")
    optional = {
        "region": settings.s3_region,
        "endpoint": settings.s3_endpoint,
        "access_key_id": settings.s3_access_key,
        "secret_access_key": settings.s3_secret_key,
    }
    store = S3Store(
        settings.s3_bucket,
        prefix=settings.s3_prefix.strip("/") or None,
        client_options={"allow_http": plain},
        **{name: value for name, value in optional.items() if value},  # type: ignore[arg-type]
    )
    return BucketStore(store)


class BucketStore:
    """A bucket, or the part of one below a prefix."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def facts(self, name: str) -> ObjectFacts:
        """Describe an object."""
        with _worded(name):
            found = await obstore.head_async(self._store, name)
        return ObjectFacts(size=found["size"], changed_at=found["last_modified"].timestamp())

    async def read(self, name: str) -> bytes:
        """Return a small object."""
        with _worded(name):
            answer = await obstore.get_async(self._store, name)
            return bytes(await answer.bytes_async())

    async def write(self, name: str, data: bytes) -> None:
        """Put an object in place."""
        with _worded(name), _in_a_bucket():
            await obstore.put_async(self._store, name, data)

    async def adopt(self, name: str, file: Path) -> None:
        """Upload a file, in parts if it is large."""
        with _worded(name), _in_a_bucket():
            await obstore.put_async(self._store, name, file)
        await asyncio.to_thread(file.unlink, missing_ok=True)

    async def stream(self, name: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield a part of an object."""
        while start < end:
            until = min(end, start + _CHUNK)
            with _worded(name):
                part = bytes(await obstore.get_range_async(self._store, name, start=start, end=until))
            start = until
            yield part

    def local_file(self, name: str) -> Path | None:
        """Objects of a bucket are no files."""
        return None

    async def names(self, directory: str) -> list[str]:
        """List what is directly below a directory."""
        with _worded(directory):
            found = await obstore.list_with_delimiter_async(self._store, f"{directory}/")
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    async def remove(self, name: str) -> None:
        """Remove an object, or all whose names begin with this and a slash."""
        with _worded(name):
            inner = [entry["path"] async for batch in obstore.list(self._store, f"{name}/") for entry in batch]
            # One that is gone already is no error for such a store.
            await obstore.delete_async(self._store, [name, *inner])


@contextlib.contextmanager
def _in_a_bucket() -> Iterator[None]:
    """Say what is missing when something can't be put: not the object."""
    try:
        yield
    except FileNotFoundError as error:
        raise OSError(f"the object store failed: {str(error).partition(chr(10))[0]}") from error


@contextlib.contextmanager
def _worded(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ObjectMissingError(name) from None
    except BaseError as error:
        raise OSError(f"the object store failed: {str(error).partition(chr(10))[0]}") from error
