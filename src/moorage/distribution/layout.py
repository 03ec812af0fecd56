"""The names of a registry's objects in its storage.

Pure. Blobs, links and tags are where the reference implementation of a registry keeps them,
so that a data volume can change hands in both directions. Only the list of what refers to a
manifest is Moorage's own; others ignore it.
"""

from typing import Final

from moorage.oci.digest import Digest

ROOT: Final = "docker/registry/v2"
REPOSITORIES: Final = f"{ROOT}/repositories"
BLOBS: Final = f"{ROOT}/blobs"
MANIFESTS: Final = "_manifests"
LAYERS: Final = "_layers"
_PREFIX: Final = 2
"""Digits of a digest that its blob's directory is grouped by."""


def _split(digest: Digest) -> str:
    return digest.replace(":", "/", 1)


def blob_directory(digest: Digest) -> str:
    """Return the directory of a blob."""
    algorithm, _, encoded = digest.partition(":")
    return f"{BLOBS}/{algorithm}/{encoded[:_PREFIX]}/{encoded}"


def blob(digest: Digest) -> str:
    """Return the object that is a blob."""
    return f"{blob_directory(digest)}/data"


def repository(name: str) -> str:
    """Return the directory of a repository."""
    return f"{REPOSITORIES}/{name}"


def layers(name: str) -> str:
    """Return the directory of a repository's links to blobs, by algorithm."""
    return f"{repository(name)}/{LAYERS}"


def layer_link(name: str, digest: Digest) -> str:
    """Return the object that makes a blob part of a repository."""
    return f"{layers(name)}/{_split(digest)}/link"


def revisions(name: str) -> str:
    """Return the directory of a repository's manifests, by algorithm."""
    return f"{repository(name)}/{MANIFESTS}/revisions"


def revision_link(name: str, digest: Digest) -> str:
    """Return the object that makes a manifest part of a repository."""
    return f"{revisions(name)}/{_split(digest)}/link"


def tags(name: str) -> str:
    """Return the directory of a repository's tags."""
    return f"{repository(name)}/{MANIFESTS}/tags"


def tag(name: str, tag_name: str) -> str:
    """Return the directory of one tag."""
    return f"{tags(name)}/{tag_name}"


def tag_link(name: str, tag_name: str) -> str:
    """Return the object that says which manifest a tag stands for."""
    return f"{tag(name, tag_name)}/current/link"


def tag_index_link(name: str, tag_name: str, digest: Digest) -> str:
    """Return the object that says that a tag once stood for a manifest."""
    return f"{tag(name, tag_name)}/index/{_split(digest)}/link"


def referrers(name: str, subject: Digest) -> str:
    """Return the directory of the links to manifests whose subject this is, by algorithm."""
    return f"{repository(name)}/{MANIFESTS}/referrers/{_split(subject)}"


def referrer_link(name: str, subject: Digest, digest: Digest) -> str:
    """Return the object that says that a manifest refers to a subject."""
    return f"{referrers(name, subject)}/{_split(digest)}/link"
