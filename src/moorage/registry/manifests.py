"""Fetching manifests, indexes and lists of tags.

Spec: distribution-spec, "Pulling manifests" and "Listing Tags".
"""

from collections.abc import Sized
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from moorage.errors import InvalidParameterError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest, digest_of
from moorage.oci.distribution import next_link
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Index, Manifest, decode_manifest
from moorage.oci.reference import is_digest
from moorage.oci.referrer_tags import referrers_tag
from moorage.registry.connection import Connection, read_bounded
from moorage.registry.errors import RegistryAnswerError

_ACCEPT: Final = ", ".join(media_types.ACCEPTED_MANIFESTS)
_PAGES_LIMIT: Final = 1000
# Lists have no natural end, and a registry may make one up as it goes.
_NAMES_LIMIT: Final = 1_000_000
# Registries that are older than the list of referrers do not know its path, and say so in different ways.
_REFERRERS_ANSWERS: Final = frozenset({200, 400, 404, 405, 501})


class ManifestDigestError(InvalidParameterError):
    """A registry sent another manifest than the one asked for by digest."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"manifest verification failed for digest {digest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedManifest:
    """A manifest or an index with the exact bytes its digest covers."""

    raw: bytes
    digest: Digest
    document: Manifest | Index


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


async def fetch_manifest(connection: Connection, target: str) -> FetchedManifest:
    """Fetch the manifest that a tag or a digest stands for.

    Raises:
        ManifestDigestError: The bytes have another digest than `target`.
        InvalidManifestError: They are no manifest.
    """
    async with connection.call("GET", f"manifests/{target}", headers={"Accept": _ACCEPT}) as response:
        raw = await read_bounded(response, limit=MANIFEST_SIZE_LIMIT)
        media_type = response.headers.get("Content-Type")
    digest = digest_of(raw)
    if is_digest(target) and digest != target:
        raise ManifestDigestError(Digest(target))
    return FetchedManifest(raw=raw, digest=digest, document=decode_manifest(raw, media_type=media_type))


async def fetch_manifest_digest(connection: Connection, target: str) -> Digest | None:
    """Ask which manifest a tag stands for; None when the registry keeps it to itself.

    It costs nothing of the allowance that Docker Hub gives for pulls. The digest is only a hint:
    whoever goes on with it fetches, and then verifies, by digest.
    """
    async with connection.call("HEAD", f"manifests/{target}", headers={"Accept": _ACCEPT}) as response:
        digest = response.headers.get("Docker-Content-Digest", "")
    return Digest(digest) if is_digest(digest) else None


async def fetch_referrers(connection: Connection, digest: Digest) -> tuple[Descriptor, ...]:
    """List the manifests that refer to one; a registry that keeps no such list may have it under a tag.

    Spec: distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
    """
    found: list[Descriptor] = []
    path: str | None = f"referrers/{digest}"
    for _ in range(_PAGES_LIMIT):
        page, path = await _fetch_referrers_page(connection, path or "")
        if page is None:
            break
        found += page
        if path is None:
            return tuple(found)
        _check_length(found)
    listed, _ = await _fetch_referrers_page(connection, f"manifests/{referrers_tag(digest)}")
    return (*found, *(listed or ()))


async def _fetch_referrers_page(connection: Connection, path: str) -> tuple[tuple[Descriptor, ...] | None, str | None]:
    """Return one page of a list, None if there is none, and where the next one is."""
    headers = {"Accept": media_types.OCI_INDEX}
    async with connection.call("GET", path, headers=headers, accept=_REFERRERS_ANSWERS) as response:
        raw = await read_bounded(response, limit=MANIFEST_SIZE_LIMIT)
        if response.status != 200:
            return None, None
        link = next_link(response.headers.get("Link", ""))
    document = decode_manifest(raw, media_type=media_types.OCI_INDEX)
    page = document.manifests if isinstance(document, Index) else ()
    return page, _next_path(link, directory="referrers") if link else None


async def fetch_tags(connection: Connection) -> list[str]:
    """List all tags of the repository, page by page."""
    tags: list[str] = []
    path = "tags/list"
    for _ in range(_PAGES_LIMIT):
        async with connection.call("GET", path) as response:
            raw = await read_bounded(response, limit=MANIFEST_SIZE_LIMIT)
            link = next_link(response.headers.get("Link", ""))
        try:
            tags += msgspec.json.decode(raw, type=_Tags).tags or []
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RegistryAnswerError(f"invalid list of tags: {error}") from error
        _check_length(tags)
        if link is None:
            break
        path = _next_path(link, directory="tags")
    return tags


def _check_length(found: Sized) -> None:
    if len(found) > _NAMES_LIMIT:
        raise RegistryAnswerError(f"a list of the registry is longer than {_NAMES_LIMIT} entries")


def _next_path(link: str, *, directory: str) -> str:
    parts = urlsplit(link)
    # Only path and query count: a page on another host would be given our token.
    return (parts.path if parts.path.startswith("/") else f"{directory}/{parts.path}") + f"?{parts.query}"
