"""Indexes: several platforms' images, and what is attached to them, under one name.

An index is kept byte for byte as it came, so it can be passed on under its own digest. Of what
it lists only that is here which was asked for.

Pure.

Spec: image-spec, image-index.md; BuildKit, "Attestation storage".
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index
from moorage.oci.media_types import INDEXES, MANIFESTS

_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_REFERENCE_DIGEST: Final = "vnd.docker.reference.digest"
_ATTESTATION: Final = "attestation-manifest"


class EntryKind(enum.StrEnum):
    """What an entry of an index is, in the Engine API's words."""

    IMAGE = "image"
    ATTESTATION = "attestation"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptIndex:
    """An index whose bytes are in the content store.

    Attributes:
        digest: Of those bytes.
    """

    digest: Digest
    size: int
    document: Index

    def images(self) -> list[Descriptor]:
        """Return the entries that are images."""
        return [entry for entry in self.document.manifests if kind_of(entry) is EntryKind.IMAGE]

    def attestations(self, manifest: Digest) -> list[Descriptor]:
        """Return the entries that speak about one of the images."""
        return [entry for entry in self.document.manifests if subject_of(entry) == manifest]


def kind_of(entry: Descriptor) -> EntryKind:
    """Tell what an entry of an index is."""
    if (entry.annotations or {}).get(_REFERENCE_TYPE) == _ATTESTATION:
        return EntryKind.ATTESTATION
    unknown = entry.platform is not None and "unknown" in {entry.platform.os, entry.platform.architecture}
    if unknown or entry.artifact_type or entry.media_type not in MANIFESTS | INDEXES:
        return EntryKind.UNKNOWN
    return EntryKind.IMAGE


def subject_of(entry: Descriptor) -> Digest | None:
    """Return the manifest that an attestation speaks about; None for what is none."""
    if kind_of(entry) is not EntryKind.ATTESTATION:
        return None
    subject = (entry.annotations or {}).get(_REFERENCE_DIGEST)
    return Digest(subject) if subject else None


def attestation_manifests(indexes: Iterable[KeptIndex], present: set[Digest]) -> list[Digest]:
    """Return the manifests that speak about images that are here.

    Args:
        present: Digests of the manifests of those images.
    """
    return [entry.digest for index in indexes for entry in index.document.manifests if subject_of(entry) in present]
