"""Digests, diff IDs and chain IDs.

Pure: no I/O, so every rule here is tested without a file system.

Spec: image-spec, descriptor.md "Digests"; config.md "Layer DiffID", "Layer ChainID".
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import NewType

from moorage.errors import InvalidParameterError

Digest = NewType("Digest", str)
"""The digest of any blob as stored or sent, e.g. a compressed layer."""

DiffID = NewType("DiffID", str)
"""The digest of a layer's uncompressed tar archive."""

ChainID = NewType("ChainID", str)
"""The identity of a stack of layers, applied in order."""

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigestError(InvalidParameterError):
    """The text is not a digest this engine can verify."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid digest: {text!r}")


def parse_digest(text: str) -> Digest:
    """Check the form of a digest; no content is read.

    Raises:
        InvalidDigestError: Not ``sha256:`` and 64 lower-case hex digits.
    """
    if not _SHA256.fullmatch(text):
        raise InvalidDigestError(text)
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """Return the digest of a blob held in memory."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def hex_of(digest: Digest | DiffID | ChainID) -> str:
    """Return the 64 hex digits: what files and directories are named after."""
    return digest.removeprefix("sha256:")


def chain_ids(diff_ids: Sequence[DiffID]) -> list[ChainID]:
    """Return the chain ID of every prefix of a stack, base first.

    Spec: image-spec, config.md "Layer ChainID".
    """
    if not diff_ids:
        return []
    return list(itertools.accumulate(diff_ids[1:], stack, initial=ChainID(diff_ids[0])))


def chain_id(diff_ids: Sequence[DiffID]) -> ChainID:
    """Return the chain ID of layers listed from the base upwards.

    Raises:
        ValueError: No layer; an empty stack has no chain ID.
    """
    if not diff_ids:
        raise ValueError("chain_id() needs at least one diff ID")
    return chain_ids(diff_ids)[-1]


def stack(below: ChainID | None, top: DiffID) -> ChainID:
    """Return the chain ID of one layer put on a stack; None is the empty stack."""
    if below is None:
        return ChainID(top)
    return ChainID("sha256:" + hashlib.sha256(f"{below} {top}".encode()).hexdigest())
