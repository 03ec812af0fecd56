"""Uploading blobs and manifests.

Spec: distribution-spec, "Pushing blobs", "Mounting a blob from another repository" and "Pushing Manifests".
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urljoin

from moorage.errors import MoorageError
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.distribution import parse_upload_range
from moorage.oci.media_types import ACCEPTED_MANIFESTS
from moorage.registry.connection import Connection
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.retrying import delay_after, is_transient
from moorage.registry.transport import Response

_STARTED: Final = frozenset({201, 202})
_STORED: Final = frozenset({201, 204})

_BINARY: Final = "application/octet-stream"

Content = Callable[[int], AsyncIterator[bytes]]
"""Gives the bytes of a blob from an offset on, as often as it is called."""


async def has_blob(connection: Connection, digest: Digest) -> bool:
    """Ask whether the repository has a blob."""
    return await _has(connection, f"blobs/{digest}", headers={})


async def has_manifest(connection: Connection, digest: Digest) -> bool:
    """Ask whether the repository has a manifest or an index."""
    return await _has(connection, f"manifests/{digest}", headers={"Accept": ", ".join(ACCEPTED_MANIFESTS)})


async def _has(connection: Connection, path: str, *, headers: dict[str, str]) -> bool:
    try:
        async with connection.call("HEAD", path, headers=headers, accept=frozenset({200})):
            return True
    except (RegistryError, RegistryAnswerError) as error:
        # HEAD has no body, so a missing blob looks like an answer that explains nothing.
        if error.status == 404:
            return False
        raise


async def mount_blob(connection: Connection, digest: Digest, *, source: str) -> str | None:
    """Ask the registry to take a blob over from another of its repositories.

    Returns:
        None when it did; else where the blob is to be uploaded.
    """
    path = f"blobs/uploads/?mount={quote(digest, safe=':')}&from={quote(source, safe='/')}"
    async with connection.call("POST", path, accept=_STARTED) as response:
        return None if response.status == 201 else _location(response)


async def start_upload(connection: Connection) -> str:
    """Return where a blob is to be uploaded."""
    async with connection.call("POST", "blobs/uploads/", accept=_STARTED) as response:
        return _location(response)


async def upload_blob(
    connection: Connection,
    blob: Descriptor,
    *,
    location: str,
    content: Content,
    attempts: int = 5,
    first_delay: float = 1.0,
) -> None:
    """Upload a blob; what breaks off goes on from the byte that the registry has last.

    Raises:
        MoorageError: The last attempt's error, when `attempts` in a row brought nothing.
    """
    offset, failures, refused = 0, 0, False
    while True:
        try:
            location = await _send(connection, blob, location=location, content=content, offset=offset)
            return await _finish(connection, blob, location=location)
        except MoorageError as error:
            failures += 1
            # Once: a token can run out before all of a push is done, and a new one is asked for then.
            expired = not refused and getattr(error, "status", 0) == HTTPStatus.UNAUTHORIZED
            refused = refused or expired
            if failures >= attempts or not (expired or is_transient(error) or _is_behind(error)):
                raise
            await asyncio.sleep(delay_after(error, failures=failures, first_delay=first_delay))
        location, reached = await _where(connection, location, blob)
        failures, offset = (0 if reached > offset else failures), reached


def _is_behind(error: MoorageError) -> bool:
    """Tell whether the registry has got more of what broke off than it said: it was still writing."""
    return getattr(error, "status", 0) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


async def _send(connection: Connection, blob: Descriptor, *, location: str, content: Content, offset: int) -> str:
    """Send the bytes from an offset on; return where to go on."""
    if offset == blob.size:
        return location
    headers = {"Content-Type": _BINARY, "Content-Length": str(blob.size - offset)}
    if offset:
        headers["Content-Range"] = f"{offset}-{blob.size - 1}"
    async with connection.call(
        "PATCH", location, headers=headers, body=content(offset), accept=frozenset({202})
    ) as response:
        return _location(response)


async def _finish(connection: Connection, blob: Descriptor, *, location: str) -> None:
    separator = "&" if "?" in location else "?"
    path = f"{location}{separator}digest={quote(blob.digest, safe=':')}"
    async with connection.call("PUT", path, headers={"Content-Length": "0"}, accept=_STORED):
        pass


async def _where(connection: Connection, location: str, blob: Descriptor) -> tuple[str, int]:
    """Return where an upload goes on, and how many bytes the registry has; a new one if it has forgotten."""
    try:
        async with connection.call("GET", location, accept=frozenset({200, 204})) as response:
            reached = parse_upload_range(response.headers.get("Range", "")) or 0
            place = _location(response) if "Location" in response.headers else location
    except (RegistryError, RegistryAnswerError):
        return await start_upload(connection), 0
    # One that claims more than there is has something else.
    return (place, reached) if reached <= blob.size else (await start_upload(connection), 0)


async def put_manifest(connection: Connection, raw: bytes, *, target: str, media_type: str) -> bool:
    """Store a manifest under a tag or its digest; tell whether the registry has noted what it refers to."""
    headers = {"Content-Type": media_type}
    async with connection.call("PUT", f"manifests/{target}", headers=headers, body=raw, accept=_STORED) as response:
        return "OCI-Subject" in response.headers


def _location(response: Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise RegistryAnswerError(f'Post "{response.url}": the answer names no place to upload to')
    return urljoin(str(response.url), location)
