"""Handlers of Moorage's own operations on the store."""

import dataclasses

from moorage.api import own_endpoints
from moorage.api.checks import CheckLine, CheckQuery, CleaningQuery, CleaningReport
from moorage.api.endpoint import NoBody
from moorage.api.streams import JSONLines
from moorage.engine.checking.service import StoreCheck
from moorage.images.cleaning import ImageCleaner
from moorage.server.calls import Call
from moorage.server.router import Router


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreHandlers:
    """Checks and cleans what is stored."""

    check: StoreCheck
    cleaner: ImageCleaner

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(own_endpoints.SYSTEM_CHECK, self.run_check)
        router.bind(own_endpoints.SYSTEM_GC, self.clean)

    def run_check(self, call: Call[CheckQuery, NoBody]) -> JSONLines[CheckLine]:
        """Answer POST /system/check."""
        query = call.query
        return JSONLines(self.check.run(repair=query.repair, quick=query.quick, contents=query.contents))

    async def clean(self, call: Call[CleaningQuery, NoBody]) -> CleaningReport:
        """Answer POST /system/gc."""
        return await self.cleaner.clean(dry_run=call.query.dry_run)
