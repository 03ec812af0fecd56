"""Byte ranges: which part of a blob is wanted, and where a chunk of an upload belongs.

Pure.

Spec: RFC 9110, "Range Requests"; distribution-spec, "Pushing a blob in chunks".
"""

import re
from dataclasses import dataclass
from typing import Final

from moorage.distribution.errors import RegistryRefusal

_RANGE: Final = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")
# Docker's clients write the unit, the specification does not.
_CHUNK: Final = re.compile(r"(?:bytes[= ])?(?P<first>\d{1,18})-(?P<last>\d{1,18})(?:/(?:\d{1,18}|\*))?")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def content_range(self, size: int) -> str:
        """Return the Content-Range header of this part of `size` bytes."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


def wanted_part(header: str | None, *, size: int) -> Part | None:
    """Return the part of a blob that a Range header asks for; None means all of it.

    What is no single range of bytes is ignored, as the RFC allows.

    Raises:
        RegistryRefusal: RANGE_INVALID: the part is outside the blob.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        start, end = max(0, size - int(match["last"])), size
    else:
        start = int(match["first"])
        end = min(size, int(match["last"]) + 1) if match["last"] else size
        if match["last"] and int(match["last"]) < start:
            return None
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise RegistryRefusal("RANGE_INVALID", "requested range is not satisfiable", headers=headers)
    return Part(start, end)


def chunk_part(header: str | None) -> Part | None:
    """Return where a chunk belongs by its Content-Range; None when it does not say.

    Raises:
        RegistryRefusal: RANGE_INVALID: the header is no range.
    """
    if header is None:
        return None
    match = _CHUNK.fullmatch(header.strip())
    if match is None or int(match["last"]) < int(match["first"]):
        raise RegistryRefusal("RANGE_INVALID", "invalid content range", detail={"range": header})
    return Part(int(match["first"]), int(match["last"]) + 1)
