"""Operations that are Moorage's own, beside those of Docker's Engine API."""

from typing import Any, Final

from moorage.api import checks
from moorage.api.endpoint import Endpoint, NoBody
from moorage.api.streams import JSONLines

SYSTEM_CHECK: Final = Endpoint(
    method="POST", path="/system/check", operation="SystemCheck", area="moorage",
    summary="find and mend what a crash or a human broke in the store",
    query=checks.CheckQuery, body=NoBody, result=JSONLines[checks.CheckLine],
)  # fmt: skip
SYSTEM_GC: Final = Endpoint(
    method="POST", path="/system/gc", operation="SystemGC", area="moorage",
    summary="remove unused images until the disk is below the low watermark",
    query=checks.CleaningQuery, body=NoBody, result=checks.CleaningReport,
)  # fmt: skip

#: Every operation that Docker does not have.
OWN_ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any], ...]] = (SYSTEM_CHECK, SYSTEM_GC)
