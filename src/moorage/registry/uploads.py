"""Uploading blobs and manifests.

Spec: distribution-spec, "Pushing blobs", "Mounting a blob from another repository" and "Pushing Manifests".
"""

from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import quote, urljoin

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.registry.connection import Connection
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.transport import Response

_STARTED: Final = frozenset({201, 202})
_STORED: Final = frozenset({201, 204})

Content = Callable[[], AsyncIterator[bytes]]
"""Gives the bytes of a blob from its start, as often as it is called."""


async def has_blob(connection: Connection, digest: Digest) -> bool:
    """Ask whether the repository has a blob."""
    try:
        async with connection.call("HEAD", f"blobs/{digest}", accept=frozenset({200})):
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


async def upload_blob(connection: Connection, blob: Descriptor, *, location: str, content: Content) -> None:
    """Upload a blob in one request."""
    separator = "&" if "?" in location else "?"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
    path = f"{location}{separator}digest={quote(blob.digest, safe=':')}"
    async with connection.call("PUT", path, headers=headers, body=content(), accept=_STORED):
        pass


async def put_manifest(connection: Connection, raw: bytes, *, target: str, media_type: str) -> None:
    """Store a manifest under a tag or its digest."""
    headers = {"Content-Type": media_type}
    async with connection.call("PUT", f"manifests/{target}", headers=headers, body=raw, accept=_STORED):
        pass


def _location(response: Response) -> str:
    location = response.headers.get("Location")
    if not location:
        raise RegistryAnswerError(f'Post "{response.url}": the answer names no place to upload to')
    return urljoin(str(response.url), location)
