"""What the descriptions inside an image archive say: Docker's `manifest.json`, and the index of an OCI layout.

Pure. Names inside an archive are text from a stranger: they are only ever looked up among the archive's own members.

Spec: image-spec, image-layout.md; Docker's "Image Tarball Specification v1.2".
"""

import posixpath
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.errors import InvalidParameterError
from moorage.oci.descriptor import Descriptor
from moorage.oci.manifest import Index, decode_manifest
from moorage.oci.reference import InvalidReferenceError, Reference, parse_reference
from moorage.oci.referrer_tags import is_tag_of_referrers

NAME_ANNOTATION: Final = "io.containerd.image.name"
"""containerd's and Docker's place for the full name."""

REFERENCE_ANNOTATION: Final = "org.opencontainers.image.ref.name"
"""The specification's: a tag, or whatever the writer had."""

DESCRIPTION_LIMIT: Final = 16 << 20
DESCRIPTIONS: Final = frozenset({"manifest.json", "index.json", "oci-layout", "repositories"})


class InvalidArchiveError(InvalidParameterError):
    """The archive holds no image that can be loaded."""


class DockerEntry(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One image in `manifest.json`."""

    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutEntry:
    """One entry of an OCI index, with the name its annotations give it."""

    descriptor: Descriptor
    name: Reference | None


def read_docker_entries(raw: bytes) -> list[DockerEntry]:
    """Read `manifest.json`.

    Raises:
        InvalidArchiveError: It is not what it should be.
    """
    try:
        return msgspec.json.decode(raw, type=list[DockerEntry])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArchiveError(f"invalid manifest.json: {error}") from error


def read_layout_entries(raw: bytes) -> list[LayoutEntry]:
    """Read `index.json` of an OCI layout; what only belongs to its images, as a signature does, is left out.

    Raises:
        InvalidArchiveError: It is not an index.
    """
    index = decode_manifest(raw)
    if not isinstance(index, Index):
        raise InvalidArchiveError("invalid index.json: it is not an index")
    return [
        LayoutEntry(descriptor=descriptor, name=_name_of(descriptor))
        for descriptor in index.manifests
        if not is_tag_of_referrers((descriptor.annotations or {}).get(REFERENCE_ANNOTATION, ""))
    ]


def read_tags(entry: DockerEntry) -> list[Reference]:
    """Return the names of an image in `manifest.json`.

    Raises:
        InvalidReferenceError: One of them is none.
    """
    return [parse_reference(tag).with_default_tag() for tag in entry.repo_tags or ()]


def member_name(name: bytes) -> str:
    """Return a member's path in the archive, in one spelling."""
    return posixpath.normpath("/" + name.decode(errors="surrogateescape")).lstrip("/")


def link_target(name: str, *, linkname: bytes, symbolic: bool) -> str:
    """Return the member a link stands for: Docker 20.10 writes a layer that occurs twice as a link."""
    target = linkname.decode(errors="surrogateescape")
    directory = posixpath.dirname(name) if symbolic and not target.startswith("/") else ""
    return posixpath.normpath(posixpath.join("/", directory, target)).lstrip("/")


def _name_of(descriptor: Descriptor) -> Reference | None:
    annotations = descriptor.annotations or {}
    for text in (annotations.get(NAME_ANNOTATION), annotations.get(REFERENCE_ANNOTATION)):
        # A lone tag names no image.
        if not text or not {"/", ":", "@"} & set(text):
            continue
        try:
            return parse_reference(text).with_default_tag()
        except InvalidReferenceError:
            continue
    return None
