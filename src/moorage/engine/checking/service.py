"""The check of the whole store, part by part.

Spec: Moorage's own, POST /system/check.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from moorage.api.checks import CheckLine
from moorage.engine.checking.content import ContentCheck
from moorage.engine.checking.directories import DirectoryCheck
from moorage.engine.checking.findings import Tally
from moorage.engine.checking.layers import LayerCheck
from moorage.engine.checking.orphans import OrphanCheck
from moorage.errors import ConflictError, InvalidParameterError
from moorage.oci.digest import Digest


class CheckUnderWayError(ConflictError):
    """Somebody else checks the store already."""

    def __init__(self) -> None:
        super().__init__("a check of the store is under way already")


class ContradictoryCheckError(InvalidParameterError):
    """A check can't leave contents out and compare them all."""

    def __init__(self) -> None:
        super().__init__("conflicting options: quick and contents")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """Checks the store, and mends it if that is asked for."""

    directories: DirectoryCheck
    content: ContentCheck
    layers: LayerCheck
    orphans: OrphanCheck
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, *, repair: bool, quick: bool, contents: bool = False) -> AsyncIterator[CheckLine]:
        """Yield each finding as it is made, and the summary at the end.

        Raises:
            CheckUnderWayError: One is.
            ContradictoryCheckError: It is to be both quick and thorough.
        """
        if quick and contents:
            raise ContradictoryCheckError
        if self._lock.locked():
            raise CheckUnderWayError
        async with self._lock:
            tally = Tally(repair=repair, quick=quick, contents=contents)
            damaged: set[Digest] = set()
            async for finding in self.directories.check(tally):
                yield CheckLine(finding=finding)
            # Where a directory is not there, all that was in it would be a finding, and some of it lost by a repair.
            for findings in (
                ()
                if tally.summary().left
                else (
                    self.content.check_blobs(tally, damaged),
                    self.content.check_images(tally, damaged),
                    self.content.check_indexes(tally, damaged),
                    self.layers.check(tally, damaged),
                    self.orphans.check(tally),
                )
            ):
                async for finding in findings:
                    yield CheckLine(finding=finding)
            yield CheckLine(summary=tally.summary())
