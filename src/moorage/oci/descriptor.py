"""Descriptors: typed, sized, verifiable pointers to blobs.

Spec: image-spec, descriptor.md.
"""

from typing import Annotated

import msgspec

from moorage.oci.digest import Digest


class PlatformFields(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The platform of an index entry as written on the wire; `moorage.oci.platform` gives it meaning."""

    architecture: str = ""
    os: str = ""
    os_version: str | None = msgspec.field(name="os.version", default=None)
    os_features: tuple[str, ...] | None = msgspec.field(name="os.features", default=None)
    variant: str | None = None


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A typed, sized, verifiable pointer to a blob.

    Attributes:
        size: Length of the blob as stored, in bytes. A reader stops there: a longer
            answer from a registry is an attack, not a surprise.
        urls: Other places that offer the blob; never followed.
    """

    media_type: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    data: str | None = None
    platform: PlatformFields | None = None
    artifact_type: str | None = None
