"""What a registry reads of a manifest: its type, what it needs, what it refers to.

Pure. A registry stores what it is given byte for byte, also of types it has never heard of.

Spec: image-spec, manifest.md, image-index.md; distribution-spec, "Pushing Manifests".
"""

from typing import Final

import msgspec

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.names import check_digest
from moorage.oci import media_types
from moorage.oci.digest import Digest

MANIFEST_LIMIT: Final = 4 << 20
"""Bytes of the longest manifest that is stored, as the specification suggests."""

_NONDISTRIBUTABLE: Final = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    media_type: str = ""
    urls: list[str] | None = None


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int = 0
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    blobs: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


class StoredManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry knows of a manifest.

    Attributes:
        blobs: Config and layers that must be in the repository.
        foreign: Layers that may be elsewhere.
        manifests: Children of an index; they may come later, or never.
        artifact_type: Empty if there is none; the config's type for an image manifest without one.
    """

    media_type: str
    blobs: tuple[Digest, ...] = ()
    foreign: tuple[Digest, ...] = ()
    manifests: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: dict[str, str] | None = None


_DOCUMENT: Final = msgspec.json.Decoder(_Document)


def read_manifest(raw: bytes, *, content_type: str = "") -> StoredManifest:
    """Read a manifest that a client pushes, or that is stored already.

    Args:
        content_type: Of the request; it must be what the document says of itself, if it says anything.

    Raises:
        RegistryRefusal: MANIFEST_INVALID.
    """
    try:
        document = _DOCUMENT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"not a manifest: {error}") from error
    sent = content_type.partition(";")[0].strip()
    media_type = document.media_type or sent or _guess(document)
    if document.media_type and sent and document.media_type != sent:
        raise _invalid(f"the content type {sent} is not the document's own {document.media_type}")
    if media_type in media_types.SCHEMA1 or document.schema_version == 1:
        raise _invalid("schema 1 manifests are not supported")
    if document.manifests is not None and (document.layers is not None or document.config is not None):
        # Two readers could see two images under one digest (CVE-2021-41190).
        raise _invalid("it has both manifests and layers")
    return _stored(document, media_type)


def _stored(document: _Document, media_type: str) -> StoredManifest:
    contents = [*([document.config] if document.config else ()), *(document.layers or ()), *(document.blobs or ())]
    foreign = [each for each in contents if each.urls or each.media_type.startswith(_NONDISTRIBUTABLE)]
    artifact_type = document.artifact_type or (document.config.media_type if document.config else "")
    return StoredManifest(
        media_type=media_type,
        blobs=tuple(check_digest(each.digest) for each in contents if each not in foreign),
        foreign=tuple(check_digest(each.digest) for each in foreign),
        manifests=tuple(check_digest(each.digest) for each in document.manifests or ()),
        subject=check_digest(document.subject.digest) if document.subject else None,
        artifact_type=artifact_type,
        annotations=document.annotations,
    )


def _guess(document: _Document) -> str:
    return media_types.OCI_MANIFEST if document.manifests is None else media_types.OCI_INDEX


def _invalid(reason: str) -> RegistryRefusal:
    return RegistryRefusal("MANIFEST_INVALID", f"manifest invalid: {reason}")
