"""Manifests and indexes, in OCI's and Docker's form.

Never re-encode a manifest that was received: its digest covers the exact bytes.

Spec: image-spec, manifest.md and image-index.md; Docker's "Image Manifest Version 2, Schema 2".
"""

from typing import Final

import msgspec

from moorage.errors import InvalidParameterError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.reference import InvalidReferenceError, check_digest

MANIFEST_SIZE_LIMIT: Final = 4 << 20
"""Bytes; what registries promise to store. A longer manifest is refused before it is parsed."""


# Both documents must say so; msgspec leaves out what is equal to a plain default, never what a factory gave.
_SCHEMA_VERSION: Final = 2


class InvalidManifestError(InvalidParameterError):
    """The bytes are not a manifest this engine can use."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image for one platform: its image config and its layers, base first."""

    schema_version: int = msgspec.field(default_factory=lambda: _SCHEMA_VERSION)
    media_type: str = msgspec.field(default_factory=lambda: media_types.OCI_MANIFEST)
    config: Descriptor
    layers: tuple[Descriptor, ...] = msgspec.field(default_factory=lambda: ())
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Manifests by platform; Docker calls it a manifest list."""

    schema_version: int = msgspec.field(default_factory=lambda: _SCHEMA_VERSION)
    media_type: str = msgspec.field(default_factory=lambda: media_types.OCI_INDEX)
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None


_ABSENT: Final = msgspec.Raw()


class _Header(msgspec.Struct, rename="camel"):
    """What is looked at before the form of a manifest is known."""

    schema_version: int = 0
    media_type: str | None = None
    manifests: msgspec.Raw = _ABSENT
    config: msgspec.Raw = _ABSENT
    fs_layers: msgspec.Raw = _ABSENT

    def has(self, name: str) -> bool:
        """Tell whether a field is there; null counts as absent."""
        return bytes(getattr(self, name)) not in {b"", b"null"}


_HEADER: Final = msgspec.json.Decoder(_Header)
_MANIFEST: Final = msgspec.json.Decoder(Manifest)
_INDEX: Final = msgspec.json.Decoder(Index)


def decode_manifest(raw: bytes, *, media_type: str | None = None) -> Manifest | Index:
    """Read a manifest or an index.

    Args:
        media_type: What the registry's Content-Type said; used when the document itself names none.

    Raises:
        InvalidManifestError: Not JSON, schema 1, neither of the two forms, or both at once.
    """
    try:
        header = _HEADER.decode(raw)
        kind = _kind_of(header, media_type=media_type)
        document: Manifest | Index
        if kind in media_types.INDEXES:
            document = _INDEX.decode(raw)
            _check_digests(document.manifests)
        else:
            document = _MANIFEST.decode(raw)
            _check_digests((document.config, *document.layers))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidManifestError(f"invalid manifest: {error}") from error
    return msgspec.structs.replace(document, media_type=kind)


def _kind_of(header: _Header, *, media_type: str | None) -> str:
    kind = header.media_type or (media_type or "").partition(";")[0].strip()
    if header.schema_version == 1 or kind in media_types.SCHEMA1 or header.has("fs_layers"):
        raise InvalidManifestError(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported;"
            " upgrade the image to the OCI Format or Docker Image manifest v2, schema 2"
        )
    # A document that can be read as both lets two readers see two images under one digest (CVE-2021-41190).
    if header.has("manifests") and header.has("config"):
        raise InvalidManifestError("invalid manifest: it has both manifests and config")
    if kind not in media_types.INDEXES | media_types.MANIFESTS:
        kind = media_types.OCI_INDEX if header.has("manifests") else media_types.OCI_MANIFEST
    if (kind in media_types.INDEXES) != header.has("manifests"):
        raise InvalidManifestError(f"unsupported manifest media type and no fallback: {kind}")
    return kind


def _check_digests(descriptors: tuple[Descriptor, ...]) -> None:
    for descriptor in descriptors:
        try:
            check_digest(descriptor.digest)
        except InvalidReferenceError as error:
            raise InvalidManifestError(f"invalid manifest: {error}") from error
