"""An OCI image layout in a directory, as a place to copy from and to.

Spec: image-spec, image-layout.md.
"""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from moorage.errors import InvalidParameterError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest, digest_of, hex_of
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Index, Manifest, decode_manifest
from moorage.oci.reference import is_digest
from moorage.registry.errors import BlobAnswerError, RegistryAnswerError
from moorage.registry.manifests import FetchedManifest
from moorage.registry.uploads import Content

_NAME: Final = "org.opencontainers.image.ref.name"
_VERSION: Final = {"imageLayoutVersion": "1.0.0"}
_PIECE: Final = 1 << 20


class LayoutDirectoryError(InvalidParameterError):
    """A directory is not an OCI image layout that can be used."""


class LayoutDirectory:
    """One layout.

    Args:
        root: Its directory.
        make: Make it if it is missing.

    Raises:
        LayoutDirectoryError: It is no layout.
    """

    def __init__(self, root: Path, *, make: bool = False) -> None:
        self._root = root
        if make and not (root / "oci-layout").exists():
            self._make()
        try:
            self._index = self._read_index()
        except (OSError, InvalidParameterError, msgspec.MsgspecError) as error:
            raise LayoutDirectoryError(f"{root} is not an OCI image layout: {error}") from error

    async def manifest(self, target: str) -> FetchedManifest:
        """Return the manifest of a name in the index, or of a digest; without a name, the only one.

        Raises:
            RegistryAnswerError: There is none; its status is 404.
            LayoutDirectoryError: It is damaged.
        """
        digest = Digest(target) if is_digest(target) else self._named(target)
        path = self._blob(digest)
        try:
            raw = await asyncio.to_thread(_read_bounded, path)
        except FileNotFoundError:
            raise _missing(self._root, digest) from None
        if digest_of(raw) != digest:
            raise LayoutDirectoryError(f"{path} is damaged: it has another digest")
        return FetchedManifest(raw=raw, digest=digest, document=decode_manifest(raw))

    async def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List the manifests in the index that refer to one."""
        found = []
        for entry in self._index.manifests:
            if entry.media_type not in media_types.INDEXES | media_types.MANIFESTS:
                continue
            subject = (await self.manifest(entry.digest)).document.subject
            if subject is not None and subject.digest == digest:
                found.append(entry)
        return tuple(found)

    async def blob(self, descriptor: Descriptor, *, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield a blob from `offset` on; its digest is for the receiver to verify."""
        try:
            file = await asyncio.to_thread(self._blob(descriptor.digest).open, "rb")
        except FileNotFoundError:
            raise _missing(self._root, descriptor.digest) from None
        with file:
            file.seek(offset)
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece

    async def has_blob(self, digest: Digest) -> bool:
        """Tell whether a blob is there."""
        return self._blob(digest).exists()

    async def upload(self, blob: Descriptor, content: Content, *, sources: Sequence[str] = ()) -> str | None:
        """Write a blob, verified; `sources` say nothing here.

        Raises:
            BlobAnswerError: It has another digest.
        """
        del sources
        part = self._root / f".{uuid.uuid4().hex}.part"
        hashed = hashlib.sha256()
        try:
            with part.open("wb") as file:
                async for piece in content(0):
                    hashed.update(piece)
                    await asyncio.to_thread(file.write, piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if f"sha256:{hashed.hexdigest()}" != blob.digest:
                raise BlobAnswerError(f"filesystem layer verification failed for digest {blob.digest}")
            part.rename(self._blob(blob.digest))
        finally:
            part.unlink(missing_ok=True)
        return None

    async def put_manifest(self, raw: bytes, *, target: str, media_type: str) -> bool:
        """Write a manifest; one with a name, or that refers to another, is noted in the index."""
        digest = digest_of(raw)
        document = decode_manifest(raw, media_type=media_type)
        self._write(self._blob(digest), raw)
        name = None if is_digest(target) else target
        if name is not None or document.subject is not None:
            self._note(digest, raw, document, name=name)
        return True

    def _note(self, digest: Digest, raw: bytes, document: Manifest | Index, *, name: str | None) -> None:
        entry = Descriptor(
            media_type=document.media_type, digest=digest, size=len(raw), artifact_type=document.artifact_type,
            annotations={_NAME: name} if name else None,
        )  # fmt: skip
        others = [
            each
            for each in self._index.manifests
            if (_name_of(each) != name if name else each.digest != digest or _name_of(each))
        ]
        self._index = msgspec.structs.replace(self._index, manifests=(*others, entry))
        self._write(self._root / "index.json", msgspec.json.encode(self._index))

    def _named(self, name: str) -> Digest:
        found = [entry for entry in self._index.manifests if not name or _name_of(entry) == name]
        if not found:
            raise _missing(self._root, name)
        if len(found) > 1:
            raise LayoutDirectoryError(f"{self._root} holds several images: say which")
        return found[0].digest

    def _blob(self, digest: Digest) -> Path:
        return self._root / "blobs" / "sha256" / hex_of(digest)

    def _make(self) -> None:
        (self._root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        self._write(self._root / "index.json", msgspec.json.encode(Index(manifests=())))
        self._write(self._root / "oci-layout", msgspec.json.encode(_VERSION))

    def _read_index(self) -> Index:
        if msgspec.json.decode((self._root / "oci-layout").read_bytes()) != _VERSION:
            raise LayoutDirectoryError("its version is unknown")
        index = decode_manifest(_read_bounded(self._root / "index.json"), media_type=media_types.OCI_INDEX)
        if not isinstance(index, Index):
            raise LayoutDirectoryError("index.json is no index")
        return index

    def _write(self, path: Path, data: bytes) -> None:
        part = self._root / f".{uuid.uuid4().hex}.part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)


def _name_of(entry: Descriptor) -> str | None:
    return (entry.annotations or {}).get(_NAME)


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MANIFEST_SIZE_LIMIT + 1)
    if len(raw) > MANIFEST_SIZE_LIMIT:
        raise LayoutDirectoryError(f"{path} is too long for what it is")
    return raw


def _missing(root: Path, name: str) -> RegistryAnswerError:
    return RegistryAnswerError(f"{root}: no {name} in it", status=404)
